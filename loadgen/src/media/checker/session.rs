//! One watched session: what comes back is decoded, its voice recognised, and compared with what
//! must come back wherever that is known bit for bit.

use std::sync::Arc;

use codec::Decoder;
use protocol::Ssrc;

use super::{CheckerReport, Golden, LONGEST_PACKET_SAMPLES, Sample, Tools};
use crate::integrity::golden_chain::GoldenChain;
use crate::integrity::golden_payloads::Returned;
use crate::integrity::recogniser::{Evidence, Recogniser, Stream};

/// What is remembered of one session.
pub(super) struct Session {
    pub(super) ssrc: Ssrc,
    decoder: Decoder,
    stream: Stream,
    /// As long as every answer came, in order: what the gateway's coders must be like.
    chain: Option<GoldenChain>,
    /// The frame that the chain expects.
    next: u64,
}

impl Session {
    /// The session of `sample`, before its first answer; `None` without memory for coders.
    pub(super) fn new(sample: &Sample, tools: &Tools) -> Option<Self> {
        let chain = match tools.golden {
            Golden::Echo { complexity, devices } if sample.device < devices => Some(
                GoldenChain::new(tools.voices[sample.speech.voice].frame, complexity, true).ok()?,
            ),
            _ => None,
        };
        Some(Self {
            ssrc: sample.ssrc,
            decoder: Decoder::new(super::RATE).ok()?,
            stream: Stream::new(sample.speech),
            chain,
            next: 0,
        })
    }

    /// Judges one packet that came back.
    pub(super) fn check(
        &mut self,
        sample: &Sample,
        tools: &Tools,
        recogniser: Option<&mut Recogniser>,
        report: &mut CheckerReport,
    ) {
        let mut pcm = [0; LONGEST_PACKET_SAMPLES];
        report.decoded += 1;
        let Ok(samples) = self.decoder.decode(&sample.opus, &mut pcm) else {
            report.failed += 1;
            return;
        };
        let Some(frame) = sample.frame else { return };
        match tools.golden {
            Golden::Relay => compare_payload(sample, frame, tools, report),
            Golden::Echo { .. } => self.compare_with_chain(sample, frame, tools, report),
            Golden::Unknown => {}
        }
        if let Some(recogniser) = recogniser {
            match recogniser.hear(&mut self.stream, frame, &pcm[..samples]) {
                Some(Evidence::Own { .. }) => report.recognised += 1,
                Some(Evidence::Foreign { voice, .. }) => report.foreign(sample, voice),
                Some(Evidence::Unrecognised) => report.unrecognised += 1,
                Some(Evidence::Silent) => report.silent(sample),
                None => {}
            }
        }
    }

    fn compare_with_chain(
        &mut self,
        sample: &Sample,
        frame: u64,
        tools: &Tools,
        report: &mut CheckerReport,
    ) {
        if frame != self.next {
            // After a gap the gateway's coders are in another state; nothing can be said.
            self.chain = None;
        }
        self.next = frame + 1;
        let Some(chain) = &mut self.chain else { return };
        let packet = tools.payloads.expected(sample.speech, frame);
        let Ok(golden) = chain.next(packet) else { return };
        report.golden_compared += 1;
        if golden != &*sample.opus {
            report.mismatch(sample, "audio is not what its own coders would have made");
        }
    }
}

fn compare_payload(sample: &Sample, frame: u64, tools: &Tools, report: &mut CheckerReport) {
    report.golden_compared += 1;
    match tools.payloads.compare(sample.speech, frame, &sample.opus) {
        Returned::Same | Returned::Ambiguous { same: true } => {}
        Returned::OtherVoice { voice, .. } => {
            report.mismatch(sample, "relayed audio is not what was sent");
            report.foreign(sample, voice);
        }
        Returned::OtherFrame { .. } | Returned::Unknown | Returned::Ambiguous { same: false } => {
            report.mismatch(sample, "relayed audio is not what was sent");
        }
    }
}

impl Tools {
    /// A recogniser of the run's voices; `None` when no reference could be made of them.
    pub(super) fn recogniser(&self) -> Option<Recogniser> {
        let references = crate::integrity::reference_voices::ReferenceVoices::new(&self.voices);
        references.ok().map(|references| Recogniser::new(Arc::new(references)))
    }
}

//! Recognises whose voice a decoded stream is, whatever codec it passed.
//!
//! Gathers the envelopes of about a second of active speech and asks whether they move as the
//! device's own voice does at that place of its clip; when they do not, all voices are searched at
//! all places.
//!
//! A frame costs 12 µs, and a search some 4 ms in each second of speech that does not fit (of our
//! 112 s of voices; it grows with their length). Of five frames two may be lost.
//!
//! What it cannot see: single foreign frames. Where one in twenty is foreign all is own, where one
//! in ten is, about half is unrecognised, and where one in five is, nearly all. Silence is
//! evidence only where the device spoke for two seconds. Clips must be speech: what does not move
//! is like nothing.

use std::sync::Arc;
use std::time::Duration;

use super::Speech;
use super::envelope::{Envelope, EnvelopeMeter, SLOT};
use super::reference_voices::{Pattern, ReferenceVoices, SLOT_HOPS};

/// Slots of active speech that make evidence: 1 s.
const WINDOW: usize = 50;
/// Slots of the device's own speech after which less than a window of sound is silence: 2 s.
const SILENCE: usize = 2 * WINDOW;
/// How much later than the frame that it answers own speech may be, in hops: 25 ms, three passes
/// of a codec of 6.5 ms and a resampler. A frame of 60 ms late is elsewhere.
const LATEST_HOPS: usize = 5;
/// From here on two sounds are the same speech.
///
/// Measured with our voices, 1 s each, all clips twice (libopus 1.3.1). Own speech: at least 0.953
/// through the reference gateway (median 0.98), 0.903 through SILK at 12 kbit/s, 0.788 at 6 kbit/s.
/// The best fit of all voices at all places but the own one: at most 0.673, median 0.43.
const SAME: f32 = 0.75;

/// Recognises streams; one for all those of a thread.
#[derive(Debug)]
pub struct Recogniser {
    references: Arc<ReferenceVoices>,
    meter: EnvelopeMeter,
}

/// What was heard of one session since its last evidence; 3 KB.
#[derive(Clone, Debug)]
pub struct Stream {
    speech: Speech,
    /// The frame after the last one heard.
    next: u64,
    /// Active slots, each with its hop, counted from the start of the clip.
    slots: Vec<(u64, Envelope)>,
    /// Slots in which the device itself spoke, of the frames that were answered.
    spoken: usize,
}

/// Whose speech a second of a stream is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Evidence {
    /// The device's own, where it should be.
    Own {
        /// 1 the same, 0 unrelated.
        similarity: f32,
    },
    /// Somebody else's: of another voice, or of the same one elsewhere in its clip.
    Foreign {
        /// Which of the run's voices.
        voice: usize,
        /// The place in its clip, to 5 ms.
        position: Duration,
        /// 1 the same, 0 unrelated.
        similarity: f32,
    },
    /// Sound that is like no voice of the run: noise, a wrong key, damage.
    Unrecognised,
    /// The device said two seconds of speech, and less than half as much sound came back.
    Silent,
}

impl Stream {
    /// A session of a device that says `speech`, before its first answer.
    pub fn new(speech: Speech) -> Self {
        Self { speech, next: 0, slots: Vec::with_capacity(WINDOW), spoken: 0 }
    }
}

impl Recogniser {
    /// A recogniser of these voices.
    pub fn new(references: Arc<ReferenceVoices>) -> Self {
        Self { references, meter: EnvelopeMeter::new() }
    }

    /// Hears `pcm`, the decoded answer to `frame` at 24 kHz, and gives evidence when a second of
    /// active speech is together, or two are missing. An answer that comes after a later one is not
    /// listened to.
    pub fn hear(&mut self, stream: &mut Stream, frame: u64, pcm: &[i16]) -> Option<Evidence> {
        if frame < stream.next {
            return None;
        }
        stream.next = frame + 1;
        let first = (stream.speech.first_packet as u64 + frame)
            * self.references.frame_hops(stream.speech.voice);
        let (slots, _) = pcm.as_chunks::<SLOT>();
        for (hop, slot) in (first..).step_by(SLOT_HOPS).zip(slots) {
            stream.spoken += usize::from(self.references.speaks(stream.speech.voice, hop));
            if let Some(envelope) = self.meter.active(slot) {
                stream.slots.push((hop, envelope));
            }
        }
        if stream.slots.len() >= WINDOW {
            stream.spoken = 0;
            return Some(self.judge(stream));
        }
        (stream.spoken >= SILENCE).then(|| {
            stream.spoken = 0;
            stream.slots.clear();
            Evidence::Silent
        })
    }

    fn judge(&self, stream: &mut Stream) -> Evidence {
        let first = stream.slots[0].0;
        let since = |hop: u64| usize::try_from(hop - first).expect("a call has few hops");
        let heard = stream.slots.drain(..).map(|(hop, envelope)| (since(hop), envelope));
        let pattern = Pattern::new(heard.collect());
        let own = self.references.fit(&pattern, stream.speech.voice, first, LATEST_HOPS);
        if own.similarity >= SAME {
            return Evidence::Own { similarity: own.similarity };
        }
        let best = self.references.search(&pattern);
        if best.similarity < SAME {
            return Evidence::Unrecognised;
        }
        let (voice, position, similarity) = (best.voice, best.position(), best.similarity);
        Evidence::Foreign { voice, position, similarity }
    }
}

#[cfg(test)]
mod tests;

//! Really decodes what comes back, for the devices that the scenario says, on a thread of its own.
//!
//! Every returned packet has its duration checked in passing; decoding costs a thousand times as
//! much, so it is done for the first devices only and never on a thread that measures. Whose voice
//! came back is recognised there too, and where it is known bit for bit what must come back, that is
//! compared. What the thread cannot keep up with is left out and counted, which makes a run SUSPECT.

mod session;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use codec::Complexity;
use protocol::{Moment, SampleRate, Ssrc};

use super::call::Call;
use crate::integrity::Speech;
use crate::integrity::golden_payloads::GoldenPayloads;
use crate::schedule::DeviceNumber;
use crate::voice::Voice;

use session::Session;

/// Packets that may wait to be decoded: 2 s of 100 devices.
const QUEUE: usize = 4096;
/// What packets are decoded to: the rate of the reference gateway's answers.
const RATE: SampleRate = SampleRate::HZ_24000;
/// 120 ms, the longest packet, at [`RATE`].
const LONGEST_PACKET_SAMPLES: usize = 2880;
/// Findings that are remembered with their device; more are only counted.
const FINDINGS: usize = 100;

/// What is checked, and against what.
pub struct CheckerPlan {
    /// How many devices, from the first on, are watched.
    pub devices: u32,
    /// What the devices say.
    pub voices: Vec<Arc<Voice>>,
    /// What must come back, as far as it is known.
    pub golden: Golden,
}

/// What must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Golden {
    /// The gateway is not ours, or has another libopus: only whose voice it is can be told.
    Unknown,
    /// What was sent, byte for byte.
    Relay,
    /// What coders of this complexity make of it, for the first so many devices: it costs as much as
    /// the gateway's own work.
    Echo {
        /// The encoder's.
        complexity: Complexity,
        /// Devices that are compared.
        devices: u32,
    },
}

/// A checker at work; stops when dropped or told to.
pub struct Checker {
    inbox: CheckerInbox,
    thread: JoinHandle<CheckerReport>,
}

/// Where packets are handed in.
#[derive(Clone)]
pub struct CheckerInbox {
    devices: u32,
    queue: Option<SyncSender<Sample>>,
    left_out: Arc<AtomicU64>,
}

struct Sample {
    device: DeviceNumber,
    /// Tells one session of a device from the next: each begins with a fresh decoder.
    ssrc: Ssrc,
    /// What the device says.
    speech: Speech,
    /// The frame that it is the first answer to.
    frame: Option<u64>,
    /// When that frame was planned.
    planned: Moment,
    opus: Box<[u8]>,
}

/// What sessions are checked with.
struct Tools {
    voices: Vec<Arc<Voice>>,
    payloads: GoldenPayloads,
    golden: Golden,
}

/// Something that is wrong with what a device received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The device.
    pub device: DeviceNumber,
    /// When the frame was planned that it answers.
    pub at: Moment,
    /// What is wrong.
    pub what: String,
}

/// What a checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckerReport {
    /// Packets that were decoded, successfully or not.
    pub decoded: u64,
    /// Packets that libopus could not decode.
    pub failed: u64,
    /// Packets that were left out because the queue was full.
    pub left_out: u64,
    /// Seconds of active speech that were the device's own, at its place.
    pub recognised: u64,
    /// Seconds, or relayed packets, of somebody else's.
    pub foreign: u64,
    /// Seconds of sound that is like no voice of the run.
    pub unrecognised: u64,
    /// Times a device said two seconds of speech and silence came back.
    pub silent: u64,
    /// Packets that were compared with what must come back.
    pub golden_compared: u64,
    /// Packets that were something else.
    pub golden_mismatch: u64,
    /// The first of what was found.
    pub findings: Vec<Finding>,
}

impl CheckerReport {
    fn foreign(&mut self, sample: &Sample, voice: usize) {
        self.foreign += 1;
        let what = if voice == sample.speech.voice {
            "the device's voice at another time: another device's, or late".to_owned()
        } else {
            format!("the audio of another device: voice {voice}")
        };
        self.find(sample, what);
    }

    fn silent(&mut self, sample: &Sample) {
        self.silent += 1;
        self.find(sample, "the device spoke and silence came back".to_owned());
    }

    fn mismatch(&mut self, sample: &Sample, what: &str) {
        self.golden_mismatch += 1;
        self.find(sample, what.to_owned());
    }

    fn find(&mut self, sample: &Sample, what: String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(Finding { device: sample.device, at: sample.planned, what });
        }
    }
}

impl Checker {
    /// Starts a thread that checks what the first devices receive.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(plan: CheckerPlan) -> io::Result<Self> {
        let CheckerPlan { devices, voices, golden } = plan;
        let (queue, samples) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new().name("din-checker".to_owned()).spawn(move || {
            let payloads = GoldenPayloads::new(&voices);
            check(&samples, &Tools { voices, payloads, golden })
        })?;
        let inbox = CheckerInbox { devices, queue: Some(queue), left_out: Arc::default() };
        Ok(Self { inbox, thread })
    }

    /// Where the listener hands packets in.
    pub fn inbox(&self) -> CheckerInbox {
        self.inbox.clone()
    }

    /// Decodes what was handed in and ends the thread; all other inboxes must be gone.
    pub fn stop(mut self) -> CheckerReport {
        self.inbox.queue = None;
        let report = self.thread.join().expect("the checker does not panic");
        CheckerReport { left_out: self.inbox.left_out.load(Ordering::Relaxed), ..report }
    }
}

impl CheckerInbox {
    /// An inbox for measurements in which nothing is decoded.
    pub fn nobody() -> Self {
        Self { devices: 0, queue: None, left_out: Arc::default() }
    }

    /// Hands in a packet that `call` received, the first answer to `frame` if to any, if its device
    /// is one that is watched.
    pub fn offer(&self, call: &Arc<Call>, frame: Option<u64>, opus: &[u8]) {
        if call.device >= self.devices {
            return;
        }
        let planned = call.due(frame.unwrap_or(0));
        let (device, ssrc, speech) = (call.device, call.ssrc, call.speech);
        let sample = Sample { device, ssrc, speech, frame, planned, opus: opus.into() };
        // A full queue leaves the packet out: measuring must not wait for decoding.
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(sample).is_err()) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn check(samples: &Receiver<Sample>, tools: &Tools) -> CheckerReport {
    let mut sessions: HashMap<DeviceNumber, Session> = HashMap::new();
    let mut report = CheckerReport::default();
    // References cost a third of a second, so they are made when there is something to recognise.
    let mut recogniser = None;
    for sample in samples {
        if sessions.get(&sample.device).is_none_or(|current| current.ssrc != sample.ssrc) {
            // Without a decoder nothing is decoded, and `integrity.decoded` stays at zero.
            let Some(fresh) = Session::new(&sample, tools) else { continue };
            sessions.insert(sample.device, fresh);
        }
        let session = sessions.get_mut(&sample.device).expect("inserted above");
        // The gateway's own speech is no voice of the run.
        if sample.frame.is_some() && recogniser.is_none() {
            recogniser = Some(tools.recogniser());
        }
        let recogniser = recogniser.as_mut().and_then(Option::as_mut);
        session.check(&sample, tools, recogniser, &mut report);
    }
    report
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::integrity::golden_chain::GoldenChain;
    use crate::media::call::tests::call_to;
    use crate::voice;
    use codec::EncoderSettings;
    use protocol::FrameDuration;
    use std::net::UdpSocket;

    fn voices() -> Vec<Arc<Voice>> {
        let voices = voice::load(&[], &EncoderSettings::firmware_uplink()).unwrap();
        voices.into_iter().map(Arc::new).collect()
    }

    /// A checker that watches so many devices and knows of nothing that must come back.
    pub(crate) fn checker(devices: u32) -> Checker {
        Checker::start(CheckerPlan { devices, voices: voices(), golden: Golden::Unknown }).unwrap()
    }

    /// What is found of these answers to the frames of device 0, from frame 0 on.
    fn found(golden: Golden, answers: impl IntoIterator<Item = Vec<u8>>) -> CheckerReport {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let call = Arc::new(call_to(&peer, 0, Moment::START));
        let plan = CheckerPlan { devices: 1, voices: voices(), golden };
        let checker = Checker::start(plan).unwrap();
        let inbox = checker.inbox();
        for (frame, answer) in (0..).zip(answers) {
            inbox.offer(&call, Some(frame), &answer);
        }
        drop(inbox);
        checker.stop()
    }

    /// What voice `voice` says from the start of its clip on.
    fn said(voice: usize, packets: usize) -> Vec<Vec<u8>> {
        voices()[voice].packets.iter().cycle().take(packets).map(|packet| packet.to_vec()).collect()
    }

    #[test]
    fn watched_devices_are_decoded_and_garbage_is_found() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let checker = checker(2);
        let inbox = checker.inbox();
        for device in 0..3 {
            let call = Arc::new(call_to(&peer, device, Moment::START));
            for packet in &voices()[0].packets[..10] {
                inbox.offer(&call, None, packet);
            }
            // SILK wideband with a frame count of 0: well-formed for nobody.
            inbox.offer(&call, None, &[9 << 3 | 3, 0]);
        }
        drop(inbox);
        let report = checker.stop();
        assert_eq!((report.decoded, report.failed, report.left_out), (22, 2, 0));
    }

    #[test]
    fn what_is_relayed_is_compared_byte_for_byte_and_anothers_voice_is_named() {
        let own = found(Golden::Relay, said(0, 60));
        assert_eq!((own.golden_compared, own.golden_mismatch, own.foreign), (60, 0, 0));
        assert!(own.recognised > 0 && own.findings.is_empty(), "{own:?}");
        let others = found(Golden::Relay, said(3, 60));
        assert!(others.golden_mismatch > 50 && others.foreign > 50, "{others:?}");
        let named = others.findings.iter().any(|one| one.what.ends_with("voice 3"));
        assert!(named, "{:?}", others.findings);
    }

    #[test]
    fn what_is_transcoded_is_compared_with_coders_of_its_own_until_a_frame_is_missing() {
        let complexity = Complexity::new(5).unwrap();
        let golden = Golden::Echo { complexity, devices: 1 };
        let echoed = |spoil: Option<usize>| {
            let mut chain = GoldenChain::new(FrameDuration::MS_60, complexity, true).unwrap();
            let mut answers: Vec<Vec<u8>> =
                said(0, 60).iter().map(|packet| chain.next(packet).unwrap().to_vec()).collect();
            if let Some(frame) = spoil {
                // Coders that ran another stream in between.
                let mut other = GoldenChain::new(FrameDuration::MS_60, complexity, true).unwrap();
                for packet in said(5, 3) {
                    other.next(&packet).unwrap();
                }
                answers[frame] = other.next(&said(0, frame + 1)[frame]).unwrap().to_vec();
            }
            found(golden, answers)
        };
        let clean = echoed(None);
        assert_eq!((clean.golden_compared, clean.golden_mismatch, clean.foreign), (60, 0, 0));
        assert!(clean.recognised > 0 && clean.unrecognised == 0, "{clean:?}");
        let shared = echoed(Some(20));
        assert_eq!((shared.golden_compared, shared.golden_mismatch), (60, 1));
    }
}

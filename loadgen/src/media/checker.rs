//! Really decodes what comes back, for the devices that the scenario says, on a thread of its own.
//!
//! Every returned packet has its duration checked in passing; decoding costs a thousand times as
//! much, so it is done for the first devices only and never on a thread that measures. What the
//! thread cannot keep up with is left out and counted, which makes a run SUSPECT.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use codec::Decoder;
use protocol::{SampleRate, Ssrc};

use super::call::Call;
use crate::schedule::DeviceNumber;

/// Packets that may wait to be decoded: 2 s of 100 devices.
const QUEUE: usize = 4096;
/// 120 ms, the longest packet, at 48 kHz, the highest rate.
const LONGEST_PACKET_SAMPLES: usize = 5760;

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
    opus: Box<[u8]>,
}

/// What a checker found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckerReport {
    /// Packets that were decoded, successfully or not.
    pub decoded: u64,
    /// Packets that libopus could not decode.
    pub failed: u64,
    /// Packets that were left out because the queue was full.
    pub left_out: u64,
}

impl Checker {
    /// Starts a thread that decodes what the first `devices` devices receive, to `rate`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(devices: u32, rate: SampleRate) -> io::Result<Self> {
        let (queue, samples) = mpsc::sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("din-checker".to_owned())
            .spawn(move || check(&samples, rate))?;
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
    /// Hands in a packet that `call` received, if its device is one that is watched.
    pub fn offer(&self, call: &Arc<Call>, opus: &[u8]) {
        if call.device >= self.devices {
            return;
        }
        let sample = Sample { device: call.device, ssrc: call.ssrc, opus: opus.into() };
        // A full queue leaves the packet out: measuring must not wait for decoding.
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(sample).is_err()) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn check(samples: &Receiver<Sample>, rate: SampleRate) -> CheckerReport {
    let mut decoders: HashMap<DeviceNumber, (Ssrc, Decoder)> = HashMap::new();
    let mut pcm = vec![0; LONGEST_PACKET_SAMPLES];
    let mut report = CheckerReport::default();
    for Sample { device, ssrc, opus } in samples {
        if decoders.get(&device).is_none_or(|(current, _)| *current != ssrc) {
            // Without a decoder nothing is decoded, and `integrity.decoded` stays at zero.
            let Ok(fresh) = Decoder::new(rate) else { continue };
            decoders.insert(device, (ssrc, fresh));
        }
        let (_, decoder) = decoders.get_mut(&device).expect("inserted above");
        report.decoded += 1;
        report.failed += u64::from(decoder.decode(&opus, &mut pcm).is_err());
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::voice;
    use codec::EncoderSettings;
    use protocol::Moment;
    use std::net::UdpSocket;

    #[test]
    fn watched_devices_are_decoded_and_garbage_is_found() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let voices = voice::load(&[], &EncoderSettings::firmware_uplink()).unwrap();
        let checker = Checker::start(2, SampleRate::HZ_24000).unwrap();
        let inbox = checker.inbox();
        for device in 0..3 {
            let call = Arc::new(call_to(&peer, device, Moment::START));
            for packet in &voices[0].packets[..10] {
                inbox.offer(&call, packet);
            }
            // SILK wideband with a frame count of 0: well-formed for nobody.
            inbox.offer(&call, &[9 << 3 | 3, 0]);
        }
        drop(inbox);
        assert_eq!(checker.stop(), CheckerReport { decoded: 22, failed: 2, left_out: 0 });
    }
}

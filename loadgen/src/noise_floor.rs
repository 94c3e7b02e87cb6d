//! What this host adds by itself: frames sent to a socket of our own that returns them at once.
//!
//! The frames take the way of a run: the same pacer, listener, cipher and sockets, at the same
//! priority. Where a run has a gateway stands a `mirror`, a thread of that priority which
//! returns each datagram as it is. No gateway can be seen to be faster than that on this host.

mod mirror;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use measure::Metric;
use measure::noise_floor::NoiseFloorRecord;
use measure::record::Measurements;
use platform::{Clock, Priority, UdpOptions, connect_udp, thread_cpu_times};
use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::{FrameDuration, Moment, SampleRate, Ssrc};

use crate::experience;
use crate::integrity::Speech;
use crate::media::call::{Call, CallParts};
use crate::media::checker::CheckerInbox;
use crate::media::listener::Listener;
use crate::media::pacer::Pacer;
use crate::media::talkspurt::Talkspurts;
use crate::media::uplink::Uplink;
use crate::scenario::Phase;
use crate::schedule::{PhaseTimes, SLOT};
use crate::timer_probe::{PERIOD, TimerLateness, TimerProbe, granted};
use crate::voice::Voice;

use mirror::Mirror;

/// How long the threads run before the first frame, at least: they start, and their first wakes
/// are cold. Each device has so much more to be told of.
const LEAD: Duration = Duration::from_millis(40);
const LEAD_PER_DEVICE: Duration = Duration::from_micros(100);
/// How long the last answers are awaited.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a packet, as speech at 16 kbit/s has them in 60 ms.
const PACKET_LEN: usize = 120;

/// How the floor is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloorPlan {
    /// Devices that send, spread evenly over a frame.
    pub devices: u32,
    /// From one frame of a device to the next.
    pub frame: FrameDuration,
    /// For how long each sends.
    pub length: Duration,
    /// How much before others the threads shall run.
    pub priority: Priority,
}

impl FloorPlan {
    /// What fits before a run: 300 frames of 20 devices in 300 ms.
    pub fn brief(priority: Priority) -> Self {
        Self {
            devices: 20,
            frame: FrameDuration::MS_20,
            length: Duration::from_millis(300),
            priority,
        }
    }

    /// Frames that each device sends.
    fn frames(&self) -> u64 {
        let frames = self.length.as_nanos().div_ceil(self.frame.as_duration().as_nanos());
        u64::try_from(frames).unwrap_or(u64::MAX)
    }
}

/// What was measured.
#[derive(Debug)]
pub struct NoiseFloor {
    /// How.
    pub plan: FloorPlan,
    /// By the names of a run: latencies, lags, and what the devices experienced.
    pub measured: Measurements,
    /// How late timers were meanwhile.
    pub timer: TimerLateness,
    /// What the pacing thread was granted.
    pub priority: Priority,
    /// Processor time of the pacing thread.
    pub pacer_cpu: Duration,
    /// Processor time of the receiving thread.
    pub listener_cpu: Duration,
}

/// Measures the floor, for the length of `plan` and some 50 ms.
///
/// # Errors
/// When the operating system gives no thread, socket or port.
pub fn measure(plan: FloorPlan) -> io::Result<NoiseFloor> {
    let mirror = Mirror::start(plan.priority)?;
    let voice = Arc::new(silence(plan.frame));
    let calls = (0..plan.devices)
        .map(|device| call(&plan, device, &mirror, &voice).map(Arc::new))
        .collect::<io::Result<Vec<_>>>()?;
    // Sockets take their time; threads are what the lead is for.
    let clock = Clock::start();
    let phases =
        PhaseTimes::new(&[Phase::plain("probe", plan.devices, Duration::ZERO, plan.length)]);
    let timer = TimerProbe::start(clock, Moment::START + LEAD / 2, PERIOD, plan.priority)?;
    let nobody = CheckerInbox::nobody();
    let listener = Listener::start(clock, phases.clone(), nobody, plan.priority)?;
    let pacer = Pacer::start(clock, phases, plan.priority, Duration::ZERO)?;
    for call in &calls {
        listener.listen(Arc::clone(call));
        pacer.join(Uplink::new(Arc::clone(call), Arc::clone(&voice), 0));
    }
    let end = calls.iter().map(|call| call.leave).max().unwrap_or(Moment::START);
    clock.sleep_until(end);
    let planned = plan.frames() * u64::from(plan.devices);
    while clock.now() < end + PATIENCE && (pacer.sent() < planned || listener.answered() < planned)
    {
        clock.sleep_until(clock.now() + Duration::from_millis(1));
    }
    let timer = timer.stop();
    let threads = thread_cpu_times().unwrap_or_default();
    let cpu = |name: &str| {
        threads.iter().filter(|thread| thread.name == name).map(|thread| thread.cpu_time).sum()
    };
    let (pacer_cpu, listener_cpu) = (cpu("din-pacer"), cpu("din-listener"));
    let ((sent, _), (received, _)) = (pacer.stop(), listener.stop());
    mirror.stop();

    let mut measured = Measurements::new();
    for (phase, arrivals) in sent.phases.iter().zip(&received.phases) {
        measured.count(Metric::FramesSent, phase.sent);
        measured.samples(Metric::SendLag, &phase.send_lag);
        measured.samples(Metric::ResponseLatency, &arrivals.response_latency);
        measured.samples(Metric::ServiceLatency, &arrivals.service_latency);
        measured.samples(Metric::ReceiveLag, &arrivals.receive_lag);
        for &(metric, count) in &arrivals.counts {
            measured.count(metric, count);
        }
    }
    experience::add(&received, &mut measured);
    Ok(NoiseFloor { plan, measured, timer, priority: sent.priority, pacer_cpu, listener_cpu })
}

/// The metrics of a floor that stand in a record: how fast, how even.
const RECORDED: [Metric; 8] = [
    Metric::ResponseLatency,
    Metric::ServiceLatency,
    Metric::SendLag,
    Metric::ReceiveLag,
    Metric::Ipdv,
    Metric::Pdv,
    Metric::Rfc3550Jitter,
    Metric::InterarrivalSigma,
];

impl NoiseFloor {
    /// Frames sent.
    pub fn sent(&self) -> u64 {
        self.measured.counted(Metric::FramesSent).unwrap_or(0)
    }

    /// Frames that came back.
    pub fn answered(&self) -> u64 {
        self.measured.counted(Metric::FramesReceived).unwrap_or(0)
    }

    /// The form of the run record.
    pub fn to_record(&self) -> NoiseFloorRecord {
        let mut metrics = self.measured.to_map();
        metrics.retain(|name, _| RECORDED.iter().any(|metric| metric.name() == name));
        NoiseFloorRecord {
            devices: self.plan.devices,
            frame_ms: self.plan.frame.as_millis(),
            frames_sent: self.sent(),
            frames_answered: self.answered(),
            priority: granted(self.priority).to_owned(),
            timer_lateness: self.timer.summary(),
            metrics,
        }
    }
}

/// A call to the mirror. Its key is nobody's secret.
fn call(plan: &FloorPlan, device: u32, mirror: &Mirror, voice: &Arc<Voice>) -> io::Result<Call> {
    let socket = connect_udp(mirror.address, UdpOptions::default())?;
    let nonce = NonceTemplate::new(Ssrc::new(device + 1), 0);
    // On a slot of the pacer, as the lead is one too.
    let lead = LEAD + LEAD_PER_DEVICE * plan.devices.next_multiple_of(5);
    let first_due = Moment::START + lead + phase_offset(plan, device);
    Ok(Call::new(CallParts {
        device,
        socket,
        cipher: MediaCipher::new(&MediaKey::new([0; 16]), nonce),
        nonce,
        frame: plan.frame,
        period: plan.frame.as_duration(),
        downlink_frame: plan.frame,
        downlink_rate: SampleRate::HZ_24000,
        speech: Speech { voice: 0, first_packet: 0 },
        voice: Arc::clone(voice),
        first_due,
        leave: first_due + plan.length,
        talkspurts: Talkspurts::Endless,
        ways: None,
    }))
}

/// The device's place in a frame: evenly spread, on a slot of the pacer.
fn phase_offset(plan: &FloorPlan, device: u32) -> Duration {
    let slots = plan.frame.as_duration().as_nanos() / SLOT.as_nanos();
    let slot = slots * u128::from(device) / u128::from(plan.devices);
    SLOT * u32::try_from(slot).expect("a frame has 120 slots at most")
}

/// What the devices say: packets of one frame, as far as their table of contents goes.
fn silence(frame: FrameDuration) -> Voice {
    // RFC 6716, table 2: SILK, narrow band, of 20, 40 and 60 ms.
    let configuration: u8 = match frame.as_millis() {
        20 => 1,
        40 => 2,
        _ => 3,
    };
    let mut packet = vec![0; PACKET_LEN];
    packet[0] = configuration << 3;
    Voice { name: "noise floor".to_owned(), frame, packets: vec![packet.into()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::record::MetricRecord;

    #[test]
    fn every_frame_comes_back_and_is_timed() {
        let plan = FloorPlan::brief(Priority::Ordinary);
        let floor = measure(plan).unwrap();
        assert_eq!((floor.sent(), floor.answered()), (300, 300));
        assert_eq!(floor.measured.counted(Metric::FramesUnmatched), Some(0));
        assert_eq!(floor.measured.counted(Metric::WrongDuration), Some(0));
        assert!(floor.timer.lateness.count() > 0);
        assert!(floor.pacer_cpu > Duration::ZERO && floor.listener_cpu > Duration::ZERO);
        let record = floor.to_record();
        assert_eq!((record.devices, record.frame_ms, record.frames_answered), (20, 20, 300));
        assert_eq!(record.metrics.len(), RECORDED.len());
        for (name, metric) in record.metrics {
            let samples = match metric {
                MetricRecord::Distribution(summary) => summary.count,
                MetricRecord::PerDevice(summary) => summary.devices,
                MetricRecord::Value { .. } => 0,
            };
            assert!(samples >= 20, "{name}: {samples}");
        }
    }

    #[test]
    fn devices_are_spread_over_the_frame_on_slots() {
        let plan = FloorPlan { devices: 500, ..FloorPlan::brief(Priority::Ordinary) };
        let offsets: Vec<_> = (0..500).map(|device| phase_offset(&plan, device)).collect();
        assert_eq!(offsets[0], Duration::ZERO);
        assert!(offsets.is_sorted() && offsets[499] < plan.frame.as_duration());
        assert!(offsets.iter().all(|offset| offset.as_nanos() % SLOT.as_nanos() == 0));
    }
}

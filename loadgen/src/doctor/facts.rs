//! What is known of a host: the form of `din doctor --json`, units at the end of names.

use measure::record::Summary;
use serde::{Deserialize, Serialize};

/// A fact, or why it is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T> {
    /// The fact.
    Measured(T),
    /// Why it is not known.
    Unknown {
        /// What the system said.
        unknown: String,
    },
}

impl<T, E: ToString> From<Result<T, E>> for Known<T> {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(fact) => Self::Measured(fact),
            Err(error) => Self::Unknown { unknown: error.to_string() },
        }
    }
}

impl<T> Known<T> {
    /// The fact, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Measured(fact) => Some(fact),
            Self::Unknown { .. } => None,
        }
    }
}

/// Everything that was measured or read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// For how long it was looked.
    pub seconds: f64,
    /// Timers at the priority that the pacer is granted.
    pub timer: Known<TimerFacts>,
    /// Timers of an ordinary thread.
    pub ordinary_timer: Known<TimerFacts>,
    /// Frames to a socket of this host that returns them, few at a time.
    pub loopback: Known<LoopbackFacts>,
    /// The same with more devices, for what a frame costs.
    pub crowd: Known<LoopbackFacts>,
    /// Buffers of sockets.
    pub buffers: Known<BufferFacts>,
    /// Files that this process may open.
    pub open_files: Known<FileFacts>,
    /// Ports that this host gives away.
    pub ports: Known<PortFacts>,
    /// The processors, and what else they do.
    pub processors: Known<ProcessorFacts>,
    /// Where time comes from.
    pub clock: ClockFacts,
    /// The codec library.
    pub codec: Known<CodecFacts>,
}

/// How late timers are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimerFacts {
    /// What the thread was granted: `real-time (SCHED_RR 1)`, `raised (nice -12)`, `ordinary`.
    pub priority: String,
    /// From one instant to the next.
    pub period_ms: f64,
    /// From the instant to the thread running.
    pub lateness: Summary,
}

/// Frames sent to a socket of this host that returns them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopbackFacts {
    /// Devices that sent.
    pub devices: u32,
    /// Milliseconds between two frames of a device.
    pub frame_ms: u32,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames that came back.
    pub frames_answered: u64,
    /// From the planned instant to the kernel receiving the answer.
    pub response_latency: Summary,
    /// From the send call to the kernel receiving the answer.
    pub service_latency: Summary,
    /// From the planned instant to the send call.
    pub send_lag: Summary,
    /// Processor time of the pacing thread for each frame, in microseconds.
    pub send_cpu_us: f64,
    /// Processor time of the receiving thread for each frame, in microseconds.
    pub receive_cpu_us: f64,
}

/// Buffers of sockets, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BufferFacts {
    /// What a socket of a run asks for (`SO_RCVBUF`).
    pub asked_bytes: u64,
    /// What it gets; the kernel doubles what is asked for.
    pub granted_bytes: u64,
    /// `net.core.rmem_max`.
    pub receive_max_bytes: Option<u64>,
    /// `net.core.wmem_max`.
    pub send_max_bytes: Option<u64>,
}

/// Files that this process may open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// What holds now; a run raises it.
    pub soft: u64,
    /// What it can be raised to.
    pub hard: u64,
    /// Devices that fit into the hard limit: 2 files each, and 64 beside.
    pub devices: u64,
}

/// Ports that this host gives away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFacts {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// Kept back within.
    pub reserved: u32,
    /// Devices that fit: a UDP and a TCP port each, to one target.
    pub devices: u64,
}

/// The processors, and what else they do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorFacts {
    /// `AMD EPYC`.
    pub model: String,
    /// Those that are switched on.
    pub online: u32,
    /// Those that this process may use at once.
    pub usable: u32,
    /// The first one's frequency; `null` where it is not told.
    pub megahertz: Option<f64>,
    /// How the frequency is chosen; `null` where it is not told, as on most virtual machines.
    pub governor: Option<String>,
    /// Share of the processors' time that the host of this machine took away during the probe.
    pub steal_percent: Option<f64>,
    /// Threads that ran or wanted to, on average over the minute before the probe.
    pub load_average: Option<f64>,
    /// The kernel's release.
    pub kernel: String,
    /// The host's name.
    pub hostname: String,
}

/// Where time comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockFacts {
    /// `tsc`, `kvm-clock`; `null` where it is not told.
    pub source: Option<String>,
    /// What a reading costs, in nanoseconds, the median of [`batches`](Self::batches).
    pub reading_ns: f64,
    /// Batches of 1,000 readings.
    pub batches: u64,
    /// The step between the kernel's stamps and the monotonic clock during the probe.
    pub step_us: f64,
}

/// The codec library.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CodecFacts {
    /// `libopus 1.3.1`.
    pub version: String,
    /// Processor time to decode a frame of 60 ms, to 24 kHz.
    pub decode: Summary,
    /// Processor time to encode a frame of 60 ms, at 24 kHz and complexity 5, as the reference gateway does.
    pub encode: Summary,
}

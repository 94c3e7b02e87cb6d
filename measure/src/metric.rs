//! The catalogue: every metric's name, unit and meaning, in one table.
//!
//! The names are a contract: scenarios, `run.json`, reports and other people's tools use them.

/// What a metric counts or measures, and so its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A span of time: recorded in nanoseconds, shown in milliseconds.
    Time,
    /// Percent of one processor core: recorded in thousandths.
    CpuPercent,
    /// Percent of a whole: recorded in thousandths.
    Percent,
    /// A number that need not be whole: recorded in thousandths.
    Number,
    /// A whole number that is sampled; exact up to 2,047.
    Whole,
    /// Memory: recorded in bytes, shown in mebibytes.
    Memory,
    /// A plain count.
    Count,
}

impl Quantity {
    /// The unit in `run.json` and in reports.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Time => "ms",
            Self::CpuPercent => "% of one core",
            Self::Percent => "%",
            Self::Memory => "MiB",
            Self::Number | Self::Whole | Self::Count => "",
        }
    }

    /// Recorded units in one shown unit.
    pub const fn recorded_per_shown(self) -> f64 {
        match self {
            Self::Time => 1e6,
            Self::CpuPercent | Self::Percent | Self::Number => 1e3,
            Self::Memory => 1_048_576.0,
            Self::Whole | Self::Count => 1.0,
        }
    }

    /// The range that a recorder of this quantity keeps apart, in recorded units; `None` for
    /// counts, which are summed and not distributed.
    pub(crate) const fn recorded_range(self) -> Option<(u64, u64)> {
        match self {
            // 1 µs to 60 s.
            Self::Time => Some((1_000, 60_000_000_000)),
            // 0.01 % to 1,000 cores.
            Self::CpuPercent => Some((10, 100_000_000)),
            // 0.001 to 1,000,000.
            Self::Percent | Self::Number => Some((1, 1_000_000_000)),
            // Up to a million.
            Self::Whole => Some((1, 1_000_000)),
            // 1 KiB to 16 TiB.
            Self::Memory => Some((1 << 10, 1 << 44)),
            Self::Count => None,
        }
    }
}

macro_rules! catalogue {
    ($($variant:ident, $name:literal, $quantity:ident, $doc:literal;)*) => {
        /// One metric of a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Metric {
            $(#[doc = $doc] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order of reports.
            pub const ALL: &[Metric] = &[$(Metric::$variant,)*];

            /// The name in scenarios, records and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Metric::$variant => $name,)* }
            }

            /// What it counts or measures.
            pub const fn quantity(self) -> Quantity {
                match self { $(Metric::$variant => Quantity::$quantity,)* }
            }

            /// Its meaning, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Metric::$variant => $doc,)* }
            }
        }
    };
}

catalogue! {
    ArrivalLag, "arrival_lag", Time,
        "From the device's planned arrival to the generator beginning to connect; part of the connect time.";
    ConnectTime, "connect_time", Time,
        "From the device's planned arrival to the MQTT connection being accepted.";
    HelloTime, "hello_time", Time,
        "From publishing hello to the gateway's usable answer.";
    FirstAudio, "first_audio", Time,
        "From the device's planned arrival to the first frame that came back.";
    ResponseLatency, "response_latency", Time,
        "From the instant a frame was planned to be sent to the kernel receiving its answer; the number that limits are about.";
    ServiceLatency, "service_latency", Time,
        "From the instant a frame was really sent to the kernel receiving its answer; hides the generator's own delay, so it stands beside the response latency and never replaces it.";
    SendLag, "send_lag", Time,
        "From the instant a frame was planned to be sent to the send call.";
    ImpairmentLag, "impairment_lag", Time,
        "How late a frame was sent that the simulated network had held, after the instant at which it was to let it go.";
    Ipdv, "ipdv", Time,
        "Size of the difference in delay between an answer and the one before it (RFC 3393), over all devices' packets.";
    Pdv, "pdv", Time,
        "Delay of an answer above the smallest of its device (RFC 5481), over all devices' packets: its quantiles are the buffer depths that would lose the rest.";
    Rfc3550Jitter, "rfc3550_jitter", Time,
        "A device's interarrival jitter (RFC 3550, A.8), the mean of the estimator over its packets, without its start; pooled: the mean over devices.";
    InterarrivalSigma, "interarrival_sigma", Time,
        "Standard deviation of a device's gaps between arrivals from the gaps that were due; pooled: the mean over devices.";
    EffectiveLoss, "effective_loss", Percent,
        "Share of frames that the device could not play: lost, too late, or without room in its queue.";
    BurstRatio, "burst_ratio", Number,
        "Mean run of frames that were not played over the mean run that random loss would give (G.107): above 1 for bursts.";
    LongestLossRun, "longest_loss_run", Number,
        "Most frames in a row that were not answered; pooled: the most of any device.";
    QueueOverflow, "queue_overflow", Number,
        "Frames that found the device's queue of 40 packets full; pooled: of all devices.";
    StutterPerMinute, "stutter_per_minute", Number,
        "Audible gaps of 40 ms and more in what the device played, in a minute.";
    InterruptionsPerMinute, "interruptions_per_minute", Number,
        "Gaps of 150 ms and more in what the device played, in a minute.";
    ConcealedRatio, "concealed_ratio", Percent,
        "Share of what the device put out that was not original.";
    LongestGap, "longest_gap", Time,
        "The longest gap in what the device played; pooled: the longest of any.";
    PlayoutDepth, "playout_depth", Time,
        "Depth of a fixed buffer with which at most 1 % of the answers would have been late; rounded up.";
    MosIndicative, "mos_indicative", Number,
        "Indicative opinion score by the E-model, from effective loss, burst ratio and mean latency; for comparing, not a measurement of calls.";
    ReceiveLag, "receive_lag", Time,
        "From the kernel receiving an answer to the generator looking at it.";
    TurnLatency, "turn_latency", Time,
        "From the planned end of a half-duplex device's listening to the kernel receiving the first packet of the gateway's speech; the gateway's thinking is part of it.";
    TurnLag, "turn_lag", Time,
        "From the planned end of listening to the generator publishing listen stop; part of the turn latency.";
    BargeIn, "barge_in", Time,
        "From publishing abort to the kernel receiving the last packet of the speech that it interrupts; 0 where none came after it.";
    SessionsPlanned, "sessions_planned", Count,
        "Audio sessions that the schedule called for.";
    SessionsOpened, "sessions_opened", Count,
        "Audio sessions whose handshake was completed.";
    SessionsFailed, "sessions_failed", Count,
        "Audio sessions whose handshake failed.";
    SessionsLost, "sessions_lost", Count,
        "Audio sessions that ended before the schedule said so.";
    FramesPlanned, "frames_planned", Count,
        "Frames that were due while their session was open.";
    FramesSent, "frames_sent", Count,
        "Frames handed to the kernel.";
    FramesAwaited, "frames_awaited", Count,
        "Of the frames sent, those that each have their answer: those of full-duplex devices.";
    FramesUnserved, "frames_unserved", Count,
        "Frames that the schedule called for while the device had no session, because its handshake failed or took its time, or because the session was lost.";
    FramesReceived, "frames_received", Count,
        "Frames awaited that were answered, each counted once.";
    FramesLost, "frames_lost", Count,
        "Frames awaited that were not answered until the end of the drain.";
    FramesReordered, "frames_reordered", Count,
        "Answers that arrived after the answer to a later frame (RFC 4737); a device drops them.";
    FramesDuplicate, "frames_duplicate", Count,
        "Answers to a frame that had been answered before.";
    FramesUnmatched, "frames_unmatched", Count,
        "Media packets whose timestamp is that of no frame sent, or that are no media packet of the session.";
    SendRefused, "send_refused", Count,
        "Send calls that the kernel refused because the media port is closed.";
    ImpairedLost, "impaired_lost", Count,
        "Packets that the simulated network lost, of both directions together.";
    NatRebinds, "nat_rebinds", Count,
        "Times a simulated NAT gave a device another source port.";
    Turns, "turns", Count,
        "Turns of half-duplex devices that were over before their call was: answered, or given up.";
    TurnsAnswered, "turns_answered", Count,
        "Of these, turns in which the gateway spoke.";
    TurnsUnanswered, "turns_unanswered", Count,
        "Of these, turns in which no packet of speech came within the answer timeout.";
    SpeechReceived, "speech_received", Count,
        "Packets of the gateway's speech that half-duplex devices received, each counted once.";
    SpeechLost, "speech_lost", Count,
        "Packets of the gateway's speech that never came, by the gaps in their sequence.";
    Decoded, "integrity.decoded", Count,
        "Returned frames that were really decoded: those of the first devices, as the scenario says.";
    DecodeFailed, "integrity.decode_failed", Count,
        "Returned frames that libopus could not decode.";
    Recognised, "integrity.recognised", Count,
        "Seconds of active speech in what came back that were the device's own, at its place; of the devices that are decoded.";
    ForeignAudio, "integrity.foreign_audio", Count,
        "Seconds of active speech, or relayed frames, in which a device received somebody else's audio.";
    Unrecognised, "integrity.unrecognised", Count,
        "Seconds of sound in what came back that are like no voice of the run: noise, damage, a wrong key.";
    Silent, "integrity.silent", Count,
        "Times a device said two seconds of speech and less than half as much sound came back in the answers; of the devices that are decoded.";
    GoldenCompared, "integrity.golden_compared", Count,
        "Returned frames that were compared with what had to come back, bit for bit.";
    GoldenMismatch, "integrity.golden_mismatch", Count,
        "Of these, frames that were something else.";
    KeystreamReuse, "integrity.keystream_reuse", Count,
        "Media packets sealed with keystream that an earlier packet of the session had used, in either direction or across both.";
    ReplayedNonce, "integrity.replayed_nonce", Count,
        "Grants whose key or nonce had been handed out before in this run.";
    WrongSession, "integrity.wrong_session", Count,
        "Media packets that name another session than the one of the socket they came to.";
    Undecipherable, "integrity.undecipherable", Count,
        "Returned packets of the session whose payload opens to no well-formed Opus packet: sealed with another key than the granted one, or no audio; checked on every frame.";
    WrongDuration, "integrity.wrong_duration", Count,
        "Returned frames that are a well-formed Opus packet of another duration than the agreed one; checked on every frame.";
    GatewayExits, "gateway_exits", Count,
        "Times the reference gateway ended while it was needed.";
    GatewayCpu, "gateway_cpu", CpuPercent,
        "Processor time of the reference gateway, sampled each second.";
    GatewayRss, "gateway_rss", Memory,
        "Resident memory of the reference gateway, sampled each second.";
    GatewayQueueDelay, "gateway_queue_delay", Time,
        "From the reference gateway's kernel receiving a frame to a worker taking it, for every frame that a worker ran.";
    GatewayWork, "gateway_work", Time,
        "For how long a worker of the reference gateway had a frame in its hands.";
    PathUp, "path_up", Time,
        "From the send call of a frame to the reference gateway's kernel receiving it: the sender's kernel and the network.";
    PathBack, "path_back", Time,
        "From the reference gateway's worker being done with a frame to our kernel receiving the answer: sending, the network, and what the gateway held it back on purpose.";
    GatewayLoad, "gateway_load", Percent,
        "Production's load, looked at each second: frames pending per worker, over 5.";
    Workers, "workers", Whole,
        "Workers of the reference gateway that took work, counted each second.";
    WorkersBusy, "workers_busy", Number,
        "How many workers of the reference gateway were at work on average, for each second.";
    WorkerBalance, "worker_balance", Number,
        "Jain's index of the workers' busy times, for each second in which they were busy for over 20 %: 1 when all did the same, 1/n when one did everything.";
    IdleWhileWaiting, "idle_while_waiting", Percent,
        "Share of each second in which a worker was idle while work waited for another; 0 for one queue.";
    ScalingChanges, "scaling_changes", Count,
        "Times the reference gateway changed the number of its workers.";
    WorkerTimeouts, "worker_timeouts", Count,
        "Frames that waited longer for a worker than they may, and were dropped.";
    WorkerPanics, "worker_panics", Count,
        "Times a worker of the reference gateway panicked and lost the frame in its hands.";
    GatewayUndecipherable, "gateway_undecipherable", Count,
        "Packets of live sessions that the reference gateway could not open to an Opus packet of the agreed duration, and dropped: it uses another key than it granted.";
    GeneratorCpu, "generator_cpu", CpuPercent,
        "Processor time of the load generator, sampled each second.";
    GeneratorRss, "generator_rss", Memory,
        "Resident memory of the load generator, sampled each second.";
    MachinePace, "machine_pace", Time,
        "How long the same piece of arithmetic takes on this machine, 20 times a second: longer while something else works on the cores that its processors share, or they are clocked down. To be compared within one build of Din.";
}

impl Metric {
    /// The metric of this name.
    pub fn by_name(name: &str) -> Option<Metric> {
        Metric::ALL.iter().copied().find(|metric| metric.name() == name)
    }

    /// Whether it is a distribution of samples rather than a count or a number a device.
    pub fn is_distribution(self) -> bool {
        self.quantity().recorded_range().is_some() && !self.is_per_device()
    }

    /// Whether each device has it once, and all of them together.
    pub const fn is_per_device(self) -> bool {
        matches!(
            self,
            Self::Rfc3550Jitter
                | Self::InterarrivalSigma
                | Self::EffectiveLoss
                | Self::BurstRatio
                | Self::LongestLossRun
                | Self::QueueOverflow
                | Self::StutterPerMinute
                | Self::InterruptionsPerMinute
                | Self::ConcealedRatio
                | Self::LongestGap
                | Self::PlayoutDepth
                | Self::MosIndicative
        )
    }

    /// Whether it is known for the whole run only, and not for a phase of it.
    pub const fn is_whole_run_only(self) -> bool {
        self.is_per_device()
            || matches!(
                self,
                Self::Ipdv
                    | Self::Pdv
                    | Self::SpeechLost
                    | Self::Decoded
                    | Self::Recognised
                    | Self::ForeignAudio
                    | Self::Unrecognised
                    | Self::Silent
                    | Self::GoldenCompared
                    | Self::GoldenMismatch
                    | Self::KeystreamReuse
                    | Self::ReplayedNonce
                    | Self::WrongSession
                    | Self::DecodeFailed
                    | Self::GatewayExits
                    | Self::ScalingChanges
                    | Self::WorkerTimeouts
                    | Self::WorkerPanics
                    | Self::GatewayUndecipherable
            )
    }

    /// Whether it is known while the run goes on, second by second.
    pub const fn is_known_each_second(self) -> bool {
        matches!(
            self,
            Self::ResponseLatency
                | Self::ServiceLatency
                | Self::SendLag
                | Self::ReceiveLag
                | Self::TurnLatency
                | Self::TurnLag
                | Self::BargeIn
                | Self::Turns
                | Self::TurnsAnswered
                | Self::TurnsUnanswered
                | Self::FramesSent
                | Self::FramesReceived
                | Self::GatewayCpu
                | Self::GatewayRss
                | Self::GatewayQueueDelay
                | Self::GatewayWork
                | Self::GatewayLoad
                | Self::Workers
                | Self::WorkersBusy
                | Self::WorkerBalance
                | Self::IdleWhileWaiting
                | Self::GeneratorCpu
                | Self::GeneratorRss
        )
    }

    /// Whether only the reference gateway, being a process of ours, has it.
    pub const fn needs_reference_gateway(self) -> bool {
        matches!(self, Self::GatewayExits | Self::GatewayCpu | Self::GatewayRss)
            || self.needs_telemetry()
    }

    /// Whether it is what the reference gateway tells about itself.
    pub const fn needs_telemetry(self) -> bool {
        matches!(
            self,
            Self::GatewayQueueDelay
                | Self::GatewayWork
                | Self::PathUp
                | Self::PathBack
                | Self::GatewayLoad
                | Self::Workers
                | Self::WorkersBusy
                | Self::WorkerBalance
                | Self::IdleWhileWaiting
                | Self::ScalingChanges
                | Self::WorkerTimeouts
                | Self::WorkerPanics
                | Self::GatewayUndecipherable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_found_again() {
        let names: HashSet<_> = Metric::ALL.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), Metric::ALL.len());
        for &metric in Metric::ALL {
            assert_eq!(Metric::by_name(metric.name()), Some(metric));
        }
        assert_eq!(Metric::by_name("jitter"), None);
    }
}

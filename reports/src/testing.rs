//! A run directory as a run leaves it, for tests.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use measure::interval_log::IntervalLog;
use measure::record::{Measurements, PhaseRecord, RunRecord};
use measure::{Distribution, Metric, Quantity};

use crate::run_files::RunFiles;

pub(crate) use crate::terminal::tests::{run, threshold};

/// Two phases of two seconds each; in the second one is late.
pub(crate) fn record() -> RunRecord {
    let phase = |name: &str, start_ms: f64, work_ms: u64| {
        let mut measured = Measurements::new();
        for (metric, millis) in [
            (Metric::SendLag, 1),
            (Metric::PathUp, 1),
            (Metric::GatewayQueueDelay, 3),
            (Metric::GatewayWork, work_ms),
            (Metric::PathBack, 1),
        ] {
            measured.sample(metric, millis * 1_000_000);
        }
        let end_ms = start_ms + 2000.0;
        PhaseRecord {
            name: name.to_owned(),
            start_ms,
            end_ms,
            devices: 2,
            metrics: measured.to_map(),
        }
    };
    let phases = vec![phase("calm", 0.0, 2), phase("burst", 2000.0, 20)];
    RunRecord { phases, duration_ms: 4000.0, ..run() }
}

/// Seconds of `histograms.hlog`: milliseconds of each answer.
pub(crate) const SECONDS: [&[u64]; 4] = [&[1, 2, 3], &[2, 2], &[2, 80, 90], &[4]];

/// `timeline.csv`; the gateway told nothing in the third second.
pub(crate) const TIMELINE: &str = "t_s,phase,devices,frames_sent,frames_answered,\
response_latency_p50_ms,response_latency_p99_ms,response_latency_max_ms,gateway_cpu_percent,\
gateway_rss_mib,generator_cpu_percent,generator_rss_mib,workers,workers_starting,workers_draining,\
workers_busy,gateway_load_percent,gateway_pending,gateway_queue_delay_p50_ms,\
gateway_queue_delay_p99_ms,gateway_queue_delay_max_ms,worker_balance,idle_while_waiting_share,\
frames_awaited,frames_lost,stutters
1.000,calm,2,33,30,2.000,3.000,3.000,10.5,8.25,5.0,16.00,2,0,0,0.250,10.0,1,0.100,0.200,0.300,,0.0100,33,0,0
2.000,calm,2,33,33,2.000,2.000,2.000,11.0,8.50,5.1,16.00,2,0,0,0.500,0.0,0,0.100,0.200,0.400,0.9900,0.0000,33,0,1
3.000,burst,2,34,30,80.000,90.000,90.000,,,5.2,16.00,,,,,,,,,,,,34,3,4
4.000,burst,0,20,27,4.000,4.000,4.000,12.0,9.00,5.3,16.00,3,0,0,1.500,20.0,2,0.500,5.000,9.000,0.8000,0.2500,20,0,0
";

pub(crate) const DEVICES: &str = "device,client_id,voice,sessions,frames_sent,frames_answered,\
frames_lost,frames_reordered,frames_duplicate,response_latency_mean_ms,response_latency_max_ms,\
group,turns,turns_answered,speech_received,rfc3550_jitter_ms,interarrival_sigma_ms,\
stutter_per_minute,longest_gap_ms,effective_loss_percent
0,GID_a,0,1,60,60,0,0,0,2.500,3.000,all,0,0,0,0.100,0.200,0.000,0.000,0.000
1,GID_b,1,1,60,57,3,0,0,30.500,90.000,all,0,0,0,4.100,9.200,12.500,88.000,5.000
";

/// Frame 2 was lost, and the next one came late.
pub(crate) const WORST: &str = "device,t_s,frame,delay_ms,gap_ms
1,0.500,0,2.0,
1,0.560,1,3.0,
1,0.620,2,,
1,0.680,3,28.0,85.0
";

/// Writes a whole run into `directory`.
pub(crate) fn write(directory: &Path, record: &RunRecord) {
    let write = |name: &str, text: &[u8]| std::fs::write(directory.join(name), text).unwrap();
    write("run.json", serde_json::to_string_pretty(record).unwrap().as_bytes());
    write("timeline.csv", TIMELINE.as_bytes());
    write("devices.csv", DEVICES.as_bytes());
    write("worst_device.csv", WORST.as_bytes());
    let mut log = IntervalLog::begin(Vec::new(), UNIX_EPOCH).unwrap();
    for (second, millis) in (0..).map(Duration::from_secs).zip(SECONDS) {
        let mut times = Distribution::new(Quantity::Time);
        for millis in millis {
            times.record(millis * 1_000_000);
        }
        for metric in [Metric::ResponseLatency, Metric::SendLag] {
            log.interval(metric, &times, second, Duration::from_secs(1)).unwrap();
        }
    }
    write("histograms.hlog", &log.into_inner());
}

/// The same, written and read back.
pub(crate) fn files(record: &RunRecord) -> RunFiles {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), record);
    RunFiles {
        name: "20261126-200000-test".to_owned(),
        ..RunFiles::read(directory.path()).unwrap()
    }
}

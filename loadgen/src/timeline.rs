//! `timeline.csv`: one row a second.
//!
//! Rows are written when their second is over, and kept until the end, when the file is written once
//! more as a whole: some 300 bytes a second, 1 MiB an hour,
//! 25 MiB in the 24 h that a run may last. They are the only list that grows with the length of a run.

use std::collections::BTreeMap;

use measure::gateway_record::GatewayRecord;
use measure::record::{ActionRecord, Measurements};
use protocol::Moment;

use crate::in_flight::InFlight;
use crate::live::Course;
use crate::pool_account::PoolSecond;
use crate::resources::{HostDuring, ProcessUsage, SecondUsage};

/// The run second by second.
#[derive(Debug, Default)]
pub struct Timeline {
    /// One row for each second.
    pub rows: Vec<Row>,
    /// Samples of processor time and memory, by segment index.
    pub resources: BTreeMap<usize, Measurements>,
    /// What the gateway told of its pool, by segment index.
    pub pool: BTreeMap<usize, Measurements>,
    /// The same of the whole run; `None` when it told nothing.
    pub gateway: Option<GatewayRecord>,
    /// Frames under way, at random moments.
    pub in_flight: InFlight,
    /// What became of each threshold second by second.
    pub courses: Vec<Course>,
    /// What was done to the run.
    pub actions: Vec<ActionRecord>,
    /// What the machine went through meanwhile.
    pub host: HostDuring,
}

/// What happened in one second.
#[derive(Clone, Debug)]
pub struct Row {
    /// The end of the second.
    pub at: Moment,
    /// The phase that was under way.
    pub phase: String,
    /// Sessions that were open.
    pub devices: u32,
    /// Frames sent.
    pub sent: u64,
    /// Of these, frames that each have their answer.
    pub awaited: u64,
    /// Frames answered.
    pub answered: u64,
    /// Median response latency.
    pub latency_p50_ms: Option<f64>,
    /// 99th percentile.
    pub latency_p99_ms: Option<f64>,
    /// The largest.
    pub latency_max_ms: Option<f64>,
    /// Processor time and memory.
    pub usage: SecondUsage,
    /// The gateway's pool; `None` when it did not tell.
    pub pool: Option<PoolSecond>,
    /// Frames planned in it that were not answered; known when the run is over.
    pub lost: Option<u64>,
    /// Audible gaps that ended in it; known when the run is over.
    pub stutters: Option<u64>,
}

/// The file's name in the run directory.
pub const FILE: &str = "timeline.csv";

/// Its first line.
pub(crate) const HEADER: &str = "t_s,phase,devices,frames_sent,frames_answered,response_latency_p50_ms,\
response_latency_p99_ms,response_latency_max_ms,gateway_cpu_percent,gateway_rss_mib,\
generator_cpu_percent,generator_rss_mib,workers,workers_starting,workers_draining,workers_busy,\
gateway_load_percent,gateway_pending,gateway_queue_delay_p50_ms,gateway_queue_delay_p99_ms,\
gateway_queue_delay_max_ms,worker_balance,idle_while_waiting_share,frames_awaited,frames_lost,\
stutters\n";

impl Timeline {
    /// The file's text; cells without a measurement are empty.
    pub fn to_csv(&self) -> String {
        let rows = self.rows.iter().map(Row::to_csv);
        std::iter::once(HEADER.to_owned()).chain(rows).collect()
    }
}

impl Row {
    /// Its line in the file; cells without a measurement are empty.
    pub fn to_csv(&self) -> String {
        let (gateway_cpu, gateway_rss) = cells(self.usage.gateway);
        let (generator_cpu, generator_rss) = cells(self.usage.generator);
        format!(
            "{:.3},{},{},{},{},{},{},{},{gateway_cpu},{gateway_rss},{generator_cpu},{generator_rss},{},{},{},{}\n",
            self.at.since_start().as_secs_f64(),
            self.phase,
            self.devices,
            self.sent,
            self.answered,
            cell(self.latency_p50_ms, 3),
            cell(self.latency_p99_ms, 3),
            cell(self.latency_max_ms, 3),
            pool_cells(self.pool.as_ref()),
            self.awaited,
            whole(self.lost),
            whole(self.stutters),
        )
    }
}

fn cells(usage: Option<ProcessUsage>) -> (String, String) {
    let mib = |usage: ProcessUsage| usage.resident_bytes as f64 / 1_048_576.0;
    (cell(usage.map(|usage| usage.cpu_percent), 1), cell(usage.map(mib), 2))
}

fn pool_cells(pool: Option<&PoolSecond>) -> String {
    let count = |of: fn(&PoolSecond) -> u64| whole(pool.map(of));
    let number = |of: fn(&PoolSecond) -> Option<f64>, decimals| cell(pool.and_then(of), decimals);
    [
        count(|pool| pool.serving),
        count(|pool| pool.starting),
        count(|pool| pool.draining),
        number(|pool| Some(pool.span?.busy), 3),
        number(|pool| Some(pool.load_percent), 1),
        count(|pool| pool.pending),
        number(|pool| pool.queue_delay_p50_ms, 3),
        number(|pool| pool.queue_delay_p99_ms, 3),
        number(|pool| pool.queue_delay_max_ms, 3),
        number(|pool| pool.span?.balance, 4),
        number(|pool| Some(pool.span?.idle_while_waiting), 4),
    ]
    .join(",")
}

fn whole(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map(|value| format!("{value:.decimals$}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool_account::Span;

    #[test]
    fn every_row_has_a_cell_for_every_column_and_unknown_ones_are_empty() {
        let row = Row {
            at: Moment::from_millis(1001),
            phase: "talk".to_owned(),
            devices: 3,
            sent: 50,
            awaited: 48,
            answered: 47,
            latency_p50_ms: Some(1.5),
            latency_p99_ms: None,
            latency_max_ms: Some(2.25),
            usage: SecondUsage {
                gateway: None,
                generator: Some(ProcessUsage { cpu_percent: 12.34, resident_bytes: 3 << 20 }),
            },
            pool: Some(PoolSecond {
                serving: 2,
                span: Some(Span { busy: 0.5, idle_while_waiting: 0.25, balance: None }),
                load_percent: 10.0,
                pending: 1,
                queue_delay_max_ms: Some(0.125),
                ..PoolSecond::default()
            }),
            lost: None,
            stutters: Some(2),
        };
        let untold = Row { pool: None, ..row.clone() };
        let csv = Timeline { rows: vec![row, untold], ..Timeline::default() }.to_csv();
        let mut lines = csv.lines();
        let columns = lines.next().unwrap().split(',').count();
        for pool in ["2,0,0,0.500,10.0,1,,,0.125,,0.2500", ",,,,,,,,,,"] {
            let row = lines.next().unwrap();
            assert_eq!(row, format!("1.001,talk,3,50,47,1.500,,2.250,,,12.3,3.00,{pool},48,,2"));
            assert_eq!(row.split(',').count(), columns);
        }
    }
}

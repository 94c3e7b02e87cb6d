//! Keeps the pool at the size that the autoscaler decides, and remembers what it decided.
//!
//! A task of the control thread: every tick it takes from the pool and the ledgers what the policy
//! looks at. Processor time is sampled each second.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use protocol::Moment;
use tokio::time::{MissedTickBehavior, interval};

use crate::autoscale::{AutoscaleSettings, Autoscaler, Decision, PoolView, Saw, TICK, Tally};
use crate::media_session::MediaSession;
use crate::pool::{Pool, QueueView, WorkerState};
use crate::telemetry::Observer;

/// How often processor time is sampled.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How many changes are remembered.
const CHANGES: usize = 100;

/// What was decided, as far as it changed something.
#[derive(Debug, Default)]
pub(crate) struct ScalingLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    by_reason: BTreeMap<&'static str, u64>,
    newest: VecDeque<Change>,
}

/// A change of the number of workers.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Moment,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// For tools.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) sentence: String,
    /// What the policy looked at.
    pub(crate) saw: Saw,
}

impl ScalingLog {
    fn add(&self, at: Moment, decision: &Decision) {
        let change = Change {
            at,
            from: decision.from,
            to: decision.target,
            reason: decision.reason.code(),
            sentence: decision.to_string(),
            saw: decision.saw,
        };
        let mut entries = self.entries();
        *entries.by_reason.entry(change.reason).or_default() += 1;
        if entries.newest.len() == CHANGES {
            entries.newest.pop_front();
        }
        entries.newest.push_back(change);
    }

    /// How many changes had which reason.
    pub(crate) fn by_reason(&self) -> BTreeMap<&'static str, u64> {
        self.entries().by_reason.clone()
    }

    /// The newest changes, oldest first.
    pub(crate) fn newest(&self) -> Vec<Change> {
        self.entries().newest.iter().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("nothing panics while it holds the log of changes")
    }
}

/// Who keeps the pool at its size.
#[derive(Debug)]
pub(crate) struct Scaler {
    autoscaler: Autoscaler,
    observer: Arc<Observer>,
    accepted_before: u64,
    sample_due: Moment,
    /// Whether the last change could not be made.
    stuck: bool,
}

impl Scaler {
    pub(crate) fn new(settings: &AutoscaleSettings, observer: Arc<Observer>) -> Self {
        Self {
            autoscaler: Autoscaler::new(settings),
            observer,
            accepted_before: 0,
            sample_due: Moment::START + SAMPLE_EVERY,
            stuck: false,
        }
    }

    /// Looks after `pool` until it is dropped.
    pub(crate) async fn keep(mut self, pool: &Pool<MediaSession>) -> Infallible {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.tick(pool);
        }
    }

    fn tick(&mut self, pool: &Pool<MediaSession>) {
        let view = self.view(&pool.queue().view());
        let now = self.observer.common.clock.now();
        let decision = self.autoscaler.decide(now, &view);
        if decision.direction().is_none() {
            return;
        }
        match pool.resize(decision.target) {
            Ok(()) => {
                self.stuck = false;
                tracing::info!("{decision}");
                self.observer.scaling.add(now, &decision);
            }
            // It is asked for again with every tick; what was decided has not come about.
            Err(_) if self.stuck => {}
            Err(error) => {
                tracing::error!(%error, "cannot start a worker: {decision}");
                self.stuck = true;
            }
        }
    }

    fn view(&mut self, queue: &QueueView) -> PoolView {
        let Observer { common, ledgers, vitals, .. } = &*self.observer;
        let mut since = Tally::default();
        for ledger in ledgers {
            ledger.take_tally(&mut since);
        }
        let (accepted, now) = (common.counters.accepted(), common.clock.now());
        since.arrived(accepted - self.accepted_before);
        self.accepted_before = accepted;
        if now >= self.sample_due {
            self.sample_due += SAMPLE_EVERY;
            let mut vitals = vitals.lock().expect("nothing panics while it holds the vitals");
            vitals.sample(now);
            if let Some(percent) = vitals.latest_cpu_percent() {
                since.cpu(percent);
            }
        }
        pool_view(queue, common.counters.pending(), since)
    }
}

/// What a policy sees. Of the `pending` frames all that no worker has are waiting.
fn pool_view(queue: &QueueView, pending: u64, since: Tally) -> PoolView {
    let with_workers = queue.pending.iter().sum::<usize>();
    let pending = usize::try_from(pending).unwrap_or(usize::MAX);
    // One that is up while one before it is not yet is shown to nobody.
    let serving = queue.pending.len();
    let active = queue.count(WorkerState::Serving) + queue.count(WorkerState::Starting);
    PoolView {
        serving,
        starting: active - serving,
        draining: queue.count(WorkerState::Draining),
        pending: queue.pending.clone(),
        waiting: pending.saturating_sub(with_workers),
        oldest_wait: queue.oldest_wait,
        since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscale::Reason;

    #[test]
    fn frames_without_a_worker_are_waiting_and_workers_out_of_turn_are_starting() {
        use WorkerState::{Draining, Gone, Serving, Starting};
        let queue = QueueView {
            workers: vec![Serving, Serving, Starting, Serving, Draining, Gone],
            pending: vec![3, 1],
            oldest_wait: Duration::from_millis(7),
            idle_while_waiting: Duration::ZERO,
        };
        let view = pool_view(&queue, 9, Tally::default());
        assert_eq!((view.serving, view.starting, view.draining), (2, 2, 1));
        assert_eq!((view.waiting, view.pending(), view.active()), (5, 9, 4));
    }

    #[test]
    fn all_changes_are_counted_and_the_newest_remembered() {
        let log = ScalingLog::default();
        let mut decision =
            Decision { from: 2, target: 3, reason: Reason::BelowMinimum, saw: Saw::default() };
        for millis in 0..150 {
            log.add(Moment::from_millis(millis), &decision);
        }
        decision.reason = Reason::Idle;
        log.add(Moment::from_millis(150), &decision);
        assert_eq!(log.by_reason(), BTreeMap::from([("below-minimum", 150), ("idle", 1)]));
        let newest = log.newest();
        assert_eq!((newest.len(), newest[0].at), (CHANGES, Moment::from_millis(51)));
        assert_eq!(
            newest[99].sentence,
            "2 to 3 workers: load, CPU and latency are low and nothing is pending"
        );
    }
}

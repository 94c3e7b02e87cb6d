//! Performs a scenario: everything that runs at the same time, begun and ended in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use codec::{Complexity, EncoderSettings};
use measure::record::Measurements;
use platform::{Clock, Priority};
use protocol::Moment;
use protocol::identity::SignatureKey;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::baseline::Baseline;
use crate::collect::{Collected, Parts, collect};
use crate::device::{self, CallOutcome, Fleet, OutcomeSlot};
use crate::gateway_process::GatewayProcess;
use crate::histogram_log::HistogramLog;
use crate::live_files::LiveFiles;
use crate::media::call_registry::CallRegistry;
use crate::media::checker::{Checker, CheckerPlan, Golden};
use crate::media::listener::{Listener, ListenerReport};
use crate::media::pacer::{Pacer, PacerReport, WARM_UP};
use crate::pace_probe::PaceProbe;
use crate::preflight;
use crate::progress::Progress;
use crate::run::{RunError, system};
use crate::scenario::{Action, Backend, Group, Network, Scenario, networks};
use crate::schedule::Schedule;
use crate::telemetry::AT_LAST;
use crate::timeline::Timeline;
use crate::timer_probe::{RUN_PERIOD, TimerLateness, TimerProbe};
use crate::traits::Population;
use crate::turn_book::TurnBook;
use crate::voice::Voices;
use crate::watch::{EndedEarly, Interrupt, Watch, WatchParts};

/// Devices whose echo is compared bit for bit: 2 % of a core.
const GOLDEN_DEVICES: u32 = 4;

/// What is needed to perform a scenario.
pub struct Stage<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// The gateway's MQTT address.
    pub mqtt: SocketAddr,
    /// The gateway's process, if it is one of ours.
    pub gateway: Option<GatewayProcess>,
    /// What the devices say.
    pub voices: Voices,
    /// An earlier run that thresholds compare with.
    pub baseline: Option<&'a Baseline>,
    /// How much before others the media threads shall run.
    pub priority: Priority,
    /// Where progress is shown.
    pub progress: Progress,
    /// Where the histogram log goes.
    pub histograms: File,
    /// Where others see how far it is.
    pub files: LiveFiles,
}

/// What a performance left behind.
pub struct Performed {
    /// The whole load, as it was decided.
    pub schedule: Schedule,
    /// Where the gateway was.
    pub mqtt: SocketAddr,
    /// What the reference gateway said when it was up; `None` for a foreign one.
    pub announced: Option<Value>,
    /// The reference gateway's counters at its end.
    pub counters: Value,
    /// From the start of the run to the end of the drain.
    pub duration: Duration,
    /// When the load ended.
    pub load_end: Moment,
    /// Why the run ended before its time.
    pub ended_early: Option<EndedEarly>,
    /// Measurements and failures.
    pub collected: Collected,
    /// What the pacer did.
    pub sent: PacerReport,
    /// What the listener heard.
    pub received: ListenerReport,
    /// One row a second.
    pub timeline: Timeline,
    /// How late timers were while the load lasted, without its first second.
    pub timer: TimerLateness,
    /// How long the same piece of arithmetic took while the load lasted, by segment.
    pub pace: BTreeMap<usize, Measurements>,
    /// Sessions that could not be attempted because this host gave no socket or port for them.
    pub not_attempted: u64,
    /// Why the histogram log ends before the run does; `None` when it does not.
    pub histograms_broken_off: Option<String>,
    /// Returned frames that should have been decoded and were not, for lack of time.
    pub decodes_left_out: u64,
    /// Who took part, and what their traits were drawn from.
    pub population: Population,
}

impl Stage<'_> {
    /// Checks the target, holds all calls, and takes down what was put up.
    ///
    /// # Errors
    /// [`RunError`] when the target is none or a thread cannot be had; nothing has run then.
    pub async fn perform(mut self) -> Result<Performed, RunError> {
        let key = std::env::var(SignatureKey::VARIABLE).ok().and_then(SignatureKey::new);
        let mut interrupt = Interrupt::new().map_err(system("listen for Ctrl-C"))?;
        tokio::select! {
            answered = preflight::handshake(self.scenario, self.mqtt, key.clone()) => answered?,
            () = interrupt.next() => return Err(RunError::Interrupted),
        }

        let schedule = Schedule::of(self.scenario);
        let (stop, stopping) = watch::channel(false);
        let (fleet, checker) = self.assemble(&schedule, key, stopping)?;
        let warm = Moment::START + WARM_UP;
        let timer = TimerProbe::start(fleet.clock, warm, RUN_PERIOD, self.priority)
            .map_err(system("start the timer probe"))?;
        let pace = PaceProbe::start(fleet.clock, schedule.segments.clone())
            .map_err(system("start the pace probe"))?;
        let mut histograms = HistogramLog::begin(self.histograms, fleet.clock)
            .map_err(system("write the histogram log"))?;
        let mut calls = JoinSet::new();
        let mut slots = Vec::with_capacity(schedule.calls.len());
        for chain in schedule.chains() {
            let chain: Vec<_> =
                chain.into_iter().map(|planned| (planned, OutcomeSlot::default())).collect();
            slots.extend(chain.iter().map(|(planned, slot)| (*planned, Arc::clone(slot))));
            calls.spawn(device::calls(Arc::clone(&fleet), chain));
        }
        let (gateway, progress) = (self.gateway.as_mut(), &mut self.progress);
        let mut watch = Watch::new(WatchParts {
            fleet: &fleet,
            scenario: self.scenario,
            schedule: &schedule,
            gateway,
            baseline: self.baseline,
            progress,
            histograms: &mut histograms,
            files: &mut self.files,
        });
        // The gateway remembers the way of frames from the first time it is asked on.
        watch.look_at_the_gateway(AT_LAST).await;
        let ended_early = watch.until_over(&mut calls, &stop, &mut interrupt).await;
        let duration = fleet.clock.now().since_start();
        let timer = timer.stop();
        let pace = pace.stop();
        watch.look_at_the_gateway(AT_LAST).await;
        let timeline = watch.finish();
        self.progress.end();

        // Calls that did not end in time still share the fleet; what they have noted counts.
        calls.shutdown().await;
        let outcomes: Vec<_> =
            slots.into_iter().map(|(planned, slot)| (planned, taken(&slot))).collect();
        for media in outcomes.iter().filter_map(|(_, outcome)| outcome.media.as_ref()) {
            media.end(fleet.clock.now());
        }
        let fleet = Arc::into_inner(fleet).expect("all calls have ended");
        let (sent, unlogged) = fleet.pacer.stop();
        for interval in &unlogged {
            histograms.sent(interval);
        }
        let (received, unlogged) = fleet.listener.stop();
        for interval in &unlogged {
            histograms.answered(interval);
        }
        let checked = checker.stop();
        let planned_end = schedule.phases.end();
        let load_end = ended_early.as_ref().map_or(planned_end, |end| end.at().min(planned_end));
        let collected = collect(&Parts {
            segments: &schedule.segments,
            groups: &fleet.groups,
            members: &fleet.population.members,
            load_end,
            calls: &outcomes,
            sent: &sent,
            received: &received,
            checked: &checked,
            turns: fleet.turns.lock().unwrap_or_else(PoisonError::into_inner).segments(),
            replayed_nonces: fleet.grants.lock().map_or(0, |grants| grants.replayed),
        });
        Ok(Performed {
            schedule,
            mqtt: self.mqtt,
            announced: self.gateway.as_ref().map(|gateway| gateway.announced.clone()),
            counters: self.gateway.map_or(Value::Null, GatewayProcess::stop),
            duration,
            load_end,
            ended_early,
            collected,
            sent,
            received,
            timeline,
            timer,
            pace,
            not_attempted: outcomes.iter().filter(|(_, call)| is_our_own(call)).count() as u64,
            histograms_broken_off: histograms.broken_off().map(ToString::to_string),
            decodes_left_out: checked.left_out,
            population: fleet.population,
        })
    }

    /// Starts the media threads and the run's clock.
    fn assemble(
        &mut self,
        schedule: &Schedule,
        key: Option<SignatureKey>,
        stop: watch::Receiver<bool>,
    ) -> Result<(Arc<Fleet>, Checker), RunError> {
        let devices = &self.scenario.devices;
        let clock = Clock::start();
        let checker = Checker::start(CheckerPlan {
            devices: devices.decode,
            voices: self.voices.all.clone(),
            golden: self.golden(),
        })
        .map_err(system("start the checker"))?;
        let segments = &schedule.segments;
        let listener = Listener::start(clock, segments.clone(), checker.inbox(), self.priority)
            .map_err(system("start the listener"))?;
        let spin = self.scenario.generator.spin;
        let pacer = Pacer::start(clock, segments.clone(), self.priority, spin)
            .map_err(system("start the pacer"))?;
        let fleet = Fleet {
            clock,
            mqtt: self.mqtt,
            key,
            groups: devices.groups.clone(),
            networks: impaired(&devices.groups, &self.scenario.actions),
            population: Population::of(self.scenario, &self.voices),
            voices: std::mem::take(&mut self.voices.all),
            turns: Mutex::new(TurnBook::new(schedule.segments.clone())),
            drain: self.scenario.drain,
            calls: CallRegistry::default(),
            grants: Mutex::default(),
            pacer,
            listener,
            stop,
            open: AtomicU32::new(0),
        };
        Ok((Arc::new(fleet), checker))
    }
}

/// The simulated network of each group over the run; `None` where nothing ever touches a packet.
fn impaired(groups: &[Group], actions: &[Action]) -> Vec<Option<Vec<(Moment, Network)>>> {
    let of = |group: &Group| {
        let networks = networks(&group.name, &group.network, actions);
        networks.iter().any(|(_, network)| !network.is_clear()).then_some(networks)
    };
    groups.iter().map(of).collect()
}

impl Stage<'_> {
    /// What must come back: known of our own gateway, and bit for bit only with its libopus.
    fn golden(&self) -> Golden {
        let Some(gateway) = &self.gateway else { return Golden::Unknown };
        let settings = &self.scenario.gateway;
        let same_libopus = gateway.announced["libopus"] == codec::library_version();
        let default = Ok(EncoderSettings::gateway_downlink().complexity);
        let complexity = settings.complexity.map_or(default, |level| Complexity::new(level.into()));
        match (settings.backend, complexity) {
            (Some(Backend::Relay), _) => Golden::Relay,
            (Some(Backend::Assistant), _) => Golden::Unknown,
            (_, Ok(complexity)) if same_libopus => {
                Golden::Echo { complexity, devices: GOLDEN_DEVICES }
            }
            _ => Golden::Unknown,
        }
    }
}

fn taken(slot: &OutcomeSlot) -> CallOutcome {
    std::mem::take(&mut *slot.lock().unwrap_or_else(PoisonError::into_inner))
}

fn is_our_own(call: &CallOutcome) -> bool {
    call.failed.as_ref().is_some_and(|(failure, _)| failure.is_our_own())
}

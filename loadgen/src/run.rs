//! One run, from the scenario to the record: gateway up, devices through their phases, drain,
//! measurements, validity, verdict.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use measure::record::{RunRecord, Verdict};
use measure::validity::State;
use measure::{Distribution, Quantity, Statistic};
use platform::Clock;
use protocol::Moment;
use protocol::identity::SignatureKey;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::collect::{Parts, collect};
use crate::device::{self, CallOutcome, Fleet};
use crate::gateway_process::{GatewayError, GatewayProcess};
use crate::media::checker::Checker;
use crate::media::listener::{Listener, ListenerReport};
use crate::media::pacer::{Pacer, PacerReport};
use crate::preflight::{self, PreflightError};
use crate::progress::{Progress, Snapshot};
use crate::resources::Resources;
use crate::run_directory::RunDirectory;
use crate::run_record::{self, Ran};
use crate::scenario::Scenario;
use crate::schedule::{PlannedCall, Schedule};
use crate::timeline::{Row, Timeline};
use crate::voice::{self, VoiceError};

/// How often the run looks at the gateway's process.
const TICK: Duration = Duration::from_millis(100);
/// Ticks in a second.
const TICKS_PER_SECOND: u64 = 10;
/// How long calls may take to say goodbye after the load, beside the drain.
const FAREWELL: Duration = Duration::from_secs(15);

/// What to run, and how.
pub struct RunRequest {
    /// The scenario.
    pub scenario: Scenario,
    /// A gateway of somebody else's; none: the reference gateway is started.
    pub target: Option<String>,
    /// The run directory; none: one under `target/runs/` by time and scenario.
    pub out: Option<PathBuf>,
    /// The reference gateway's binary; none: beside ours, or along `PATH`.
    pub gateway_binary: Option<PathBuf>,
    /// No progress.
    pub quiet: bool,
}

/// A run that was done, whatever it showed.
pub struct RunDone {
    /// What happened.
    pub record: RunRecord,
    /// Where it is kept.
    pub directory: PathBuf,
}

/// A run that could not be done.
#[derive(Debug)]
pub enum RunError {
    /// It would not have worked.
    Preflight(PreflightError),
    /// An audio file cannot be used.
    Voice(VoiceError),
    /// The reference gateway did not come up.
    Gateway(GatewayError),
    /// The operating system did not give what the run needs.
    System {
        /// What was tried.
        doing: String,
        /// What the operating system said.
        error: io::Error,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preflight(error) => write!(f, "{error}"),
            Self::Voice(error) => write!(f, "{error}"),
            Self::Gateway(error) => write!(f, "{error}"),
            Self::System { doing, error } => write!(f, "cannot {doing}: {error}"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<PreflightError> for RunError {
    fn from(error: PreflightError) -> Self {
        Self::Preflight(error)
    }
}

fn system(doing: &str) -> impl FnOnce(io::Error) -> RunError {
    let doing = doing.to_owned();
    move |error| RunError::System { doing, error }
}

/// Does the run. Nothing that the gateway does wrong is an error: it is in the record.
///
/// # Errors
/// [`RunError`] when the run could not be begun; nothing is left running then.
pub fn run(request: &RunRequest) -> Result<RunDone, RunError> {
    let started = SystemTime::now();
    let scenario = &request.scenario;
    preflight::open_files(scenario)?;
    let foreign = request.target.as_deref().map(preflight::target).transpose()?;
    if foreign.is_some() {
        preflight::thresholds_for_foreign(scenario)?;
    }
    let voices =
        voice::load(&scenario.devices.audio, &scenario.devices.encoder).map_err(RunError::Voice)?;
    let directory =
        RunDirectory::create(request.out.as_deref(), &scenario.name, started).map_err(|error| {
            RunError::System {
                doing: format!("use the run directory {}", error.path.display()),
                error: error.source,
            }
        })?;
    let gateway = match foreign {
        Some(_) => None,
        None => Some(
            GatewayProcess::start(
                request.gateway_binary.as_deref(),
                &scenario.gateway,
                directory.path(),
            )
            .map_err(RunError::Gateway)?,
        ),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the control runtime"))?;
    let voices = voices.into_iter().map(Arc::new).collect();
    let stage = Stage { scenario, foreign, voices, progress: Progress::new(request.quiet) };
    let performed = runtime.block_on(stage.perform(gateway))?;
    let ran = Ran {
        scenario,
        started_unix_s: started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        performed,
    };
    let record = run_record::assemble(ran, &directory).map_err(system("write the run record"))?;
    Ok(RunDone { record, directory: directory.path().to_owned() })
}

/// The exit code of a run: interrupted, then INVALID, then failed, then passed.
pub fn exit_code(interrupted: bool, validity: State, verdict: Verdict) -> u8 {
    match (interrupted, validity, verdict) {
        (true, ..) => 130,
        (_, State::Invalid, _) => 3,
        (_, _, Verdict::Fail) => 1,
        (_, _, Verdict::Pass) => 0,
    }
}

/// What is needed to perform a scenario.
struct Stage<'a> {
    scenario: &'a Scenario,
    foreign: Option<std::net::SocketAddr>,
    voices: Vec<Arc<voice::Voice>>,
    progress: Progress,
}

/// What a performance left behind.
pub struct Performed {
    /// The whole load, as it was decided.
    pub schedule: Schedule,
    /// Where the gateway was.
    pub mqtt: std::net::SocketAddr,
    /// What the reference gateway said when it was up; `None` for a foreign one.
    pub announced: Option<serde_json::Value>,
    /// The reference gateway's counters at its end.
    pub counters: serde_json::Value,
    /// From the start of the run to the end of the drain.
    pub duration: Duration,
    /// When the load ended.
    pub load_end: Moment,
    /// Why the run ended before its time.
    pub ended_early: Option<EndedEarly>,
    /// Measurements and failures.
    pub collected: crate::collect::Collected,
    /// What the pacer did.
    pub sent: PacerReport,
    /// What the listener heard.
    pub received: ListenerReport,
    /// One row a second.
    pub timeline: Timeline,
    /// How many voices were spoken.
    pub voices: usize,
}

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndedEarly {
    /// Ctrl-C or SIGTERM, at this moment.
    Interrupted(Moment),
    /// The reference gateway ended by itself.
    GatewayExited {
        /// When it was noticed.
        at: Moment,
        /// How it ended.
        exit: String,
    },
}

impl fmt::Display for EndedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(at) => write!(f, "interrupted after {at}"),
            Self::GatewayExited { at, exit } => {
                write!(f, "the reference gateway ended after {at} ({exit})")
            }
        }
    }
}

impl Stage<'_> {
    async fn perform(mut self, mut gateway: Option<GatewayProcess>) -> Result<Performed, RunError> {
        let scenario = self.scenario;
        let key = std::env::var(SignatureKey::VARIABLE).ok().and_then(SignatureKey::new);
        let mqtt = match (&gateway, self.foreign) {
            (Some(gateway), _) => gateway.mqtt,
            (None, Some(foreign)) => foreign,
            (None, None) => unreachable!("there is a target or a gateway of ours"),
        };
        let mut interrupt = Interrupt::new().map_err(system("listen for Ctrl-C"))?;
        tokio::select! {
            checked = preflight::handshake(scenario, mqtt, key.clone(), Clock::start()) => checked?,
            () = interrupt.next() => {
                return Err(system("start")(io::Error::from(io::ErrorKind::Interrupted)));
            }
        }

        let schedule = Schedule::new(&scenario.phases);
        let clock = Clock::start();
        let checker = Checker::start(scenario.devices.decode, protocol::SampleRate::HZ_24000)
            .map_err(system("start the checker"))?;
        let listener = Listener::start(clock, schedule.phases.clone(), checker.inbox())
            .map_err(system("start the listener"))?;
        let pacer =
            Pacer::start(clock, schedule.phases.clone()).map_err(system("start the pacer"))?;
        let (stop, stopping) = watch::channel(false);
        let voices = std::mem::take(&mut self.voices);
        let voice_count = voices.len();
        let fleet = Arc::new(Fleet {
            clock,
            mqtt,
            key,
            uplink: scenario.devices.format(),
            timeouts: scenario.devices.timeouts(),
            voices,
            seed: scenario.seed,
            drain: scenario.drain,
            pacer,
            listener,
            stop: stopping,
            open: AtomicU32::new(0),
        });
        let mut calls = JoinSet::new();
        for &planned in &schedule.calls {
            let call = device::call(Arc::clone(&fleet), planned);
            calls.spawn(async move { (planned, call.await) });
        }
        let mut watch = Watch {
            fleet: &fleet,
            scenario,
            schedule: &schedule,
            resources: Resources::new(clock, gateway.as_ref().map(GatewayProcess::pid)),
            timeline: Timeline::default(),
            progress: &mut self.progress,
            interval: Distribution::new(Quantity::Time),
            sent_before: 0,
            answered_before: 0,
        };
        let (outcomes, ended_early) =
            watch.until_over(&mut calls, &stop, &mut interrupt, gateway.as_mut()).await;
        let timeline = watch.finish();
        self.progress.end();

        let duration = clock.now().since_start();
        let load_end = match &ended_early {
            Some(EndedEarly::Interrupted(at) | EndedEarly::GatewayExited { at, .. }) => {
                (*at).min(schedule.phases.end())
            }
            None => schedule.phases.end(),
        };
        // Calls that did not end in time still share the fleet.
        calls.abort_all();
        while calls.join_next().await.is_some() {}
        let fleet = Arc::into_inner(fleet).expect("all calls have ended");
        let sent = fleet.pacer.stop();
        let received = fleet.listener.stop();
        let checked = checker.stop();
        let collected = collect(&Parts {
            phases: &schedule.phases,
            frame: scenario.devices.encoder.frame,
            load_end,
            calls: &outcomes,
            sent: &sent,
            received: &received,
            checked,
        });
        let announced = gateway.as_ref().map(|gateway| gateway.announced.clone());
        let counters = gateway.map_or(serde_json::Value::Null, GatewayProcess::stop);
        Ok(Performed {
            schedule,
            mqtt,
            announced,
            counters,
            duration,
            load_end,
            ended_early,
            collected,
            sent,
            received,
            timeline,
            voices: voice_count,
        })
    }
}

/// Looks after a run while it goes on.
struct Watch<'a> {
    fleet: &'a Fleet,
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    resources: Resources,
    timeline: Timeline,
    progress: &'a mut Progress,
    interval: Distribution,
    sent_before: u64,
    answered_before: u64,
}

type Outcomes = Vec<(PlannedCall, CallOutcome)>;

impl Watch<'_> {
    async fn until_over(
        &mut self,
        calls: &mut JoinSet<(PlannedCall, CallOutcome)>,
        stop: &watch::Sender<bool>,
        interrupt: &mut Interrupt,
        mut gateway: Option<&mut GatewayProcess>,
    ) -> (Outcomes, Option<EndedEarly>) {
        let mut outcomes = Vec::with_capacity(calls.len());
        let mut ended_early = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut tick = 0;
        // After this moment nobody is waited for.
        let mut patience = self.schedule.phases.end() + self.scenario.drain + FAREWELL;
        loop {
            tokio::select! {
                ended = calls.join_next() => match ended {
                    Some(ended) => outcomes.push(ended.expect("calls neither panic nor are aborted")),
                    None => return (outcomes, ended_early),
                },
                _ = ticks.tick() => {
                    tick += 1;
                    if tick % TICKS_PER_SECOND == 0 {
                        self.look();
                    }
                    let now = self.fleet.clock.now();
                    let exit = gateway.as_mut().and_then(|gateway| gateway.exited());
                    if let (Some(exit), None) = (exit, &ended_early) {
                        let ended = EndedEarly::GatewayExited { at: now, exit: exit.to_string() };
                        self.end(ended, &mut ended_early, stop, &mut patience);
                    }
                    if now >= patience {
                        return (outcomes, ended_early);
                    }
                }
                () = interrupt.next() => {
                    let now = self.fleet.clock.now();
                    if matches!(ended_early, Some(EndedEarly::Interrupted(_))) {
                        // A second Ctrl-C waits for nobody, but what ran is still reported.
                        return (outcomes, ended_early);
                    }
                    self.end(EndedEarly::Interrupted(now), &mut ended_early, stop, &mut patience);
                }
            }
        }
    }

    fn end(
        &mut self,
        why: EndedEarly,
        ended_early: &mut Option<EndedEarly>,
        stop: &watch::Sender<bool>,
        patience: &mut Moment,
    ) {
        self.progress
            .note(&format!("{why}; waiting for the last answers, then the report follows"));
        *ended_early = Some(why);
        *patience = self.fleet.clock.now() + self.scenario.drain + FAREWELL;
        // Fails only when every call has ended.
        let _ = stop.send(true);
    }

    /// Once a second: resources, a row of the timeline, a line of progress.
    fn look(&mut self) {
        let now = self.fleet.clock.now();
        let phase = self.schedule.phases.phase_at(now);
        self.fleet.listener.take_interval(&mut self.interval);
        let (sent, answered) = (self.fleet.pacer.sent(), self.fleet.listener.answered());
        let usage = self.resources.sample(phase);
        let latency = |statistic| self.interval.statistic(statistic);
        let row = Row {
            at: now,
            phase: self.scenario.phases[phase].name.clone(),
            devices: self.fleet.open.load(Ordering::Relaxed),
            sent: sent - self.sent_before,
            answered: answered - self.answered_before,
            latency_p50_ms: latency(Statistic::Quantile(0.5)),
            latency_p99_ms: latency(Statistic::Quantile(0.99)),
            latency_max_ms: latency(Statistic::Max),
            usage,
        };
        self.progress.show(&Snapshot {
            elapsed: now.since_start(),
            length: self.scenario.length(),
            phase: &row.phase,
            devices: row.devices,
            devices_most: self.scenario.most_devices(),
            frames_per_second: row.sent,
            unanswered: sent.saturating_sub(answered),
            latency_p99_ms: row.latency_p99_ms,
        });
        (self.sent_before, self.answered_before) = (sent, answered);
        self.timeline.rows.push(row);
    }

    fn finish(self) -> Timeline {
        Timeline { resources: self.resources.into_phases(), ..self.timeline }
    }
}

/// Ctrl-C, or being asked to end.
struct Interrupt {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

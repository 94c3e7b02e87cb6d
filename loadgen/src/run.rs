//! One run, from the scenario to the record: checks, gateway up, performance, record written.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use measure::record::{RunRecord, Verdict};
use measure::validity::State;
use platform::Priority;

use crate::baseline::{self, Baseline, BaselineError};
use crate::gateway_process::{GatewayError, GatewayProcess};
use crate::histogram_log;
use crate::live_files::LiveFiles;
use crate::noise_floor::{self, FloorPlan};
use crate::preflight::{self, PreflightError};
use crate::progress::Progress;
use crate::run_directory::RunDirectory;
use crate::run_record::{self, Ran};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::voice::{VoiceError, Voices};

/// What to run, and how.
pub struct RunRequest {
    /// The scenario.
    pub scenario: Scenario,
    /// A gateway of somebody else's; none: the reference gateway is started.
    pub target: Option<String>,
    /// The run directory; none: one under `target/runs/` by time and scenario.
    pub out: Option<PathBuf>,
    /// An earlier run that thresholds compare with: its directory or its `run.json`.
    pub baseline: Option<PathBuf>,
    /// The reference gateway's binary; none: beside ours, or along `PATH`.
    pub gateway_binary: Option<PathBuf>,
    /// How much before others the media threads shall run, as far as that is granted.
    pub priority: Priority,
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
    /// The earlier run cannot be compared with.
    Baseline(BaselineError),
    /// The reference gateway did not come up.
    Gateway(GatewayError),
    /// Ctrl-C or SIGTERM before the first call.
    Interrupted,
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
            Self::Baseline(error) => write!(f, "{error}"),
            Self::Gateway(error) => write!(f, "{error}"),
            Self::Interrupted => f.write_str("interrupted before the first call: nothing ran"),
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

/// Makes what the operating system said into an error of what was tried.
pub(crate) fn system(doing: &str) -> impl FnOnce(io::Error) -> RunError {
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
    preflight::ports(scenario)?;
    let foreign = request.target.as_deref().map(preflight::target).transpose()?;
    if foreign.is_some() {
        preflight::thresholds_for_foreign(scenario)?;
        preflight::actions_for_foreign(scenario)?;
    }
    let baseline = request.baseline.as_deref().map(Baseline::load).transpose();
    let baseline = baseline.map_err(RunError::Baseline)?;
    baseline::check(scenario, baseline.as_ref()).map_err(RunError::Baseline)?;
    let voices = Voices::load(&scenario.devices.groups).map_err(RunError::Voice)?;
    // Before there is a gateway: what this host adds by itself.
    let noise_floor = noise_floor::measure(FloorPlan::brief(request.priority));
    let directory =
        RunDirectory::create(request.out.as_deref(), &scenario.name, started).map_err(|error| {
            RunError::System {
                doing: format!("use the run directory {}", error.path.display()),
                error: error.source,
            }
        })?;
    let binary = request.gateway_binary.as_deref();
    let (mqtt, gateway) = if let Some(foreign) = foreign {
        (foreign, None)
    } else {
        let gateway = GatewayProcess::start(binary, &scenario.gateway, directory.path())
            .map_err(RunError::Gateway)?;
        (gateway.mqtt, Some(gateway))
    };
    let stage = Stage {
        scenario,
        mqtt,
        gateway,
        voices,
        baseline: baseline.as_ref(),
        priority: request.priority,
        progress: Progress::new(request.quiet),
        histograms: directory
            .create_file(histogram_log::FILE)
            .map_err(system("create the histogram log"))?,
        files: LiveFiles::begin(&directory).map_err(system("create the timeline"))?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("start the control runtime"))?;
    let performed = runtime.block_on(stage.perform());
    // A name that is still being looked up must not hold up the end.
    runtime.shutdown_background();
    let performed = performed?;
    let started_unix_s = started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let baseline = baseline.as_ref();
    let ran = Ran { scenario, started_unix_s, baseline, noise_floor, performed };
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

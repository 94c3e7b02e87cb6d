//! What the command line takes: commands, their arguments and what is said of them.

mod import;
mod study;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadgen::report_command::Format;
use loadgen::starter;

pub(crate) use import::{Import, ImportRunArgs, LogArgs, MahimahiArgs, PcapArgs};
pub(crate) use study::{BaselineCommand, CompareArgs, HistoryArgs, PlanArgs, SearchArgs};

/// Load tests for voice gateways: devices that speak MQTT and stream encrypted Opus over UDP.
#[derive(Parser)]
#[command(name = "din", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 pass, 1 a threshold failed, 2 bad input, 3 run INVALID, \
4 a comparison or a search was inconclusive, \
130 interrupted (the report of what ran is still written)

Colour is for terminals; NO_COLOR=1 leaves it out there, CLICOLOR_FORCE=1 puts it into logs.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Validate scenarios and print what they will do
    Check(CheckArgs),
    /// Show the scenarios of a directory with their questions
    List(ListArgs),
    /// Write a commented scenario to begin with
    New(NewArgs),
    /// Print the JSON Schema of scenario files, with its documentation: for editors
    Schema,
    /// Run a scenario and judge it
    Run(RunArgs),
    /// Play again what was recorded, and say how close it comes to the original
    Replay(ReplayArgs),
    /// Search for the most devices with which a scenario meets its limits
    Search(SearchArgs),
    /// Say how many workers so many devices need, from searches at several numbers of workers
    Plan(PlanArgs),
    /// Run two settings, gateways or builds in pairs under the same load, and say whether B is better
    Compare(CompareArgs),
    /// Keep records of runs to compare later runs with
    #[command(subcommand)]
    Baseline(BaselineCommand),
    /// Show where the numbers of a scenario changed, over the runs of a directory
    History(HistoryArgs),
    /// Show a run that goes on as a web page that changes each second
    Watch(WatchArgs),
    /// Write the report of a run again, or of several laid over each other
    Report(ReportArgs),
    /// Explain a preset of a network: what it does to packets, and the line for `tc` that does the same
    Network(NetworkArgs),
    /// Make a trace and a scenario of what was recorded elsewhere
    #[command(subcommand)]
    Import(Import),
    /// Find the smallest impairment that explains a trace, and say what it leaves unexplained
    Fit(FitArgs),
    /// Measure this host: what it adds to latencies, and how many devices it can be trusted with
    Doctor(DoctorArgs),
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// Scenario files
    #[arg(required = true)]
    pub(crate) scenarios: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// The directory
    #[arg(value_name = "DIR", default_value = starter::SCENARIOS)]
    pub(crate) directory: PathBuf,
    /// As an index in Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Args)]
pub(crate) struct NewArgs {
    /// Its name: scenarios/NAME.toml is written; or the path of a .toml file
    #[arg(default_value = starter::DEFAULT_NAME)]
    pub(crate) name: String,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The scenario file
    pub(crate) scenario: PathBuf,
    /// A gateway that is running, as mqtt://HOST:PORT; without it the reference gateway is started
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    #[command(flatten)]
    pub(crate) how: How,
    /// An earlier run, or the name of a baseline, for thresholds such as "< 110% baseline"
    #[arg(long, value_name = "RUN_DIR")]
    pub(crate) baseline: Option<PathBuf>,
    /// Run what was before the incident was mended: the scenario with its `before` laid over it
    #[arg(long)]
    pub(crate) before: bool,
    /// Run what was before, then the scenario, and say in one line what improved; exit code 0 when
    /// the first fails and the second passes
    #[arg(long, conflicts_with_all = ["before", "json", "baseline"])]
    pub(crate) both: bool,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// A trace, a run directory, or what `din import` wrote
    #[arg(value_name = "TRACE|RUN|DIR")]
    pub(crate) what: PathBuf,
    /// A gateway that is running, as mqtt://HOST:PORT; without it the reference gateway is started
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How a run is done and told.
#[derive(Args)]
pub(crate) struct How {
    /// The run directory [default: target/runs/TIME-SCENARIO]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    #[command(flatten)]
    pub(crate) means: Means,
    #[command(flatten)]
    pub(crate) say: Say,
}

/// What a run is done with.
#[derive(Args)]
pub(crate) struct Means {
    /// The reference gateway's binary [default: din-gateway beside din, or along PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_binary: Option<PathBuf>,
    /// How the pacing and receiving threads run, as far as this user may
    #[arg(long, value_enum, default_value_t = Priority::RealTime)]
    pub(crate) priority: Priority,
}

/// How a run is told.
#[derive(Args)]
pub(crate) struct Say {
    /// No progress, and one line instead of the summary
    #[arg(long)]
    pub(crate) quiet: bool,
    /// Print the run record instead of the summary
    #[arg(long, conflicts_with = "github")]
    pub(crate) json: bool,
    /// Write JUnit XML, in which each threshold is a test case
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// For GitHub Actions: annotate the scenario's lines, and append a Markdown summary to the
    /// step's, or print it where there is no step
    #[arg(long)]
    pub(crate) github: bool,
}

#[derive(Args)]
pub(crate) struct WatchArgs {
    /// The run directory [default: the newest run under target/runs that goes on]
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: Option<PathBuf>,
    /// The port to serve at; 0: one that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
    /// The address to serve at: whoever can reach it can see the run
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,
}

#[derive(Args)]
pub(crate) struct NetworkArgs {
    /// Its name; without one all are listed
    #[arg(value_name = "PRESET")]
    pub(crate) preset: Option<String>,
}

#[derive(Args)]
pub(crate) struct FitArgs {
    /// The trace, as `din import` writes it
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// Audio in each frame of the devices, in ms
    #[arg(long, value_name = "MS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(10..=120))]
    pub(crate) frame: u64,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    /// Run directories, or their run.json; several are laid over each other
    #[arg(required = true, value_name = "RUN_DIR")]
    pub(crate) runs: Vec<PathBuf>,
    /// What to write: html, md, png, junit, csv
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [ReportFormat::Html])]
    pub(crate) format: Vec<ReportFormat>,
    /// Where to [default: the run directory; of several runs target/reports/TIME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Show the page in the browser
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// report.html: everything, in one file
    Html,
    /// report.md: a screenful, for pull requests
    Md,
    /// plots/NAME.png: each plot
    Png,
    /// junit.xml: each threshold is a test case
    Junit,
    /// plots/NAME.csv: the numbers behind each plot
    Csv,
}

impl From<ReportFormat> for Format {
    fn from(format: ReportFormat) -> Self {
        match format {
            ReportFormat::Html => Self::Html,
            ReportFormat::Md => Self::Markdown,
            ReportFormat::Png => Self::Png,
            ReportFormat::Junit => Self::Junit,
            ReportFormat::Csv => Self::Csv,
        }
    }
}

#[derive(Args)]
pub(crate) struct DoctorArgs {
    /// For how long it measures
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Print the facts and findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Overrides {
    /// Where all random choices come from, instead of the scenario's seed
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Change a setting of the scenario, for example gateway.backend=relay or phase.0.devices=100
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Priority {
    /// Before everything else on this host
    RealTime,
    /// With more weight than ordinary threads
    Raised,
    /// Like any other thread
    Ordinary,
}

impl From<Priority> for platform::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::RealTime => Self::RealTime,
            Priority::Raised => Self::Raised,
            Priority::Ordinary => Self::Ordinary,
        }
    }
}

impl Overrides {
    pub(crate) fn all(&self) -> Vec<String> {
        self.set.iter().cloned().chain(self.seed.map(|seed| format!("seed={seed}"))).collect()
    }
}

//! What the command line takes: commands, their arguments and what is said of them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use loadgen::report_command::Format;
use loadgen::starter;
use loadgen::{baseline, judged};

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
pub(crate) struct SearchArgs {
    /// The scenario file: of one phase, whose devices are what the search begins with; or with a `[search]`
    /// that says which setting is varied
    pub(crate) scenario: PathBuf,
    /// A gateway that is running, as mqtt://HOST:PORT; without it the reference gateway is started
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// How long a trial is, in seconds, after 2 s or more in which devices arrive, 500 a second at most
    /// [default: 10; with a `[search]` as long as the scenario]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(2..=3600))]
    pub(crate) trial: Option<u32>,
    /// Time of trials at one load that decides it, in seconds [default: of 7 trials, with --quick of 3]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(2..=36_000))]
    pub(crate) sum: Option<u32>,
    /// Share of that time that may be bad, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 50.0, value_parser = percent)]
    pub(crate) exceed: f64,
    /// How wide the bracket may be, in percent of its lower end [default: 2, with --quick 5]
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(crate) width: Option<f64>,
    /// For CI: two of three trials decide a load, and the bracket is wider
    #[arg(long)]
    pub(crate) quick: bool,
    /// The most that is tried [default: 20000, or what the `[search]` says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub(crate) most: Option<u32>,
    /// How long the search may go on, in minutes; the best bracket by then is told
    #[arg(long, value_name = "MIN", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) budget: u32,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// The directory of all trials and of search.json, from which a search goes on that was broken off
    /// [default: target/runs/TIME-SCENARIO]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// The reference gateway's binary [default: din-gateway beside din, or along PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_binary: Option<PathBuf>,
    /// How the pacing and receiving threads run, as far as this user may
    #[arg(long, value_enum, default_value_t = Priority::RealTime)]
    pub(crate) priority: Priority,
}

#[derive(Args)]
pub(crate) struct PlanArgs {
    /// Directories of searches of devices, each with another gateway.workers; 3 at least, 6 are better
    #[arg(required = true, value_name = "SEARCH")]
    pub(crate) searches: Vec<PathBuf>,
    /// Plan for so many devices; may be given several times [default: a quarter, half, all and twice of what
    /// was measured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) devices: Vec<u32>,
    /// Print plan.json instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Write plan.json and report.html into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum BaselineCommand {
    /// Keep the record of a run, for thresholds such as "< 110% baseline" and for din history
    Save {
        /// The run's directory
        run: PathBuf,
        /// The name [default: the scenario's]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// The commit that was tested [default: what the environment of the run said, as `GITHUB_SHA` or
        /// `CI_COMMIT_SHA`]
        #[arg(long, value_name = "ID")]
        commit: Option<String>,
        /// The directory of baselines
        #[arg(long = "in", value_name = "DIR", default_value = baseline::DIRECTORY)]
        directory: PathBuf,
        /// Take the place of one that has the name
        #[arg(long)]
        replace: bool,
    },
    /// List what is kept
    List {
        /// The directory of baselines
        #[arg(long = "in", value_name = "DIR", default_value = baseline::DIRECTORY)]
        directory: PathBuf,
    },
    /// Show what one holds
    Show {
        /// Its name
        name: String,
        /// The directory of baselines
        #[arg(long = "in", value_name = "DIR", default_value = baseline::DIRECTORY)]
        directory: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct HistoryArgs {
    /// A directory of run directories, or of what din baseline save keeps
    pub(crate) directory: PathBuf,
    /// The scenario, where there are runs of several
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Option<String>,
    /// Write report.html, with a plot of each number, into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// The scenario file
    pub(crate) scenario: PathBuf,
    /// What A has instead, for example gateway.dispatch=round-robin
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) a: Vec<String>,
    /// What B has instead
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    pub(crate) b: Vec<String>,
    /// A is the scenario with its `before` laid over it, B the scenario
    #[arg(long)]
    pub(crate) before: bool,
    /// A's gateway, as mqtt://HOST:PORT; without it the reference gateway is started
    #[arg(long, value_name = "URL")]
    pub(crate) a_target: Option<String>,
    /// B's gateway
    #[arg(long, value_name = "URL")]
    pub(crate) b_target: Option<String>,
    /// A's build of the reference gateway
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_binary_a: Option<PathBuf>,
    /// B's build of the reference gateway
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_binary_b: Option<PathBuf>,
    /// Pairs of runs; 7 are the fewest that can tell a difference
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) pairs: u32,
    /// Differences up to this, in percent, do not matter
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = percent)]
    pub(crate) margin: f64,
    /// The number that decides [default: the first]
    #[arg(long, value_name = "NUMBER", value_parser = clap::builder::PossibleValuesParser::new(judged::names()))]
    pub(crate) metric: Option<String>,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// The directory of all runs and of compare.json [default: target/runs/TIME-SCENARIO]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// How the pacing and receiving threads run, as far as this user may
    #[arg(long, value_enum, default_value_t = Priority::RealTime)]
    pub(crate) priority: Priority,
    /// Print compare.json instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

/// From 0 to 100.
fn percent(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.trim_end_matches('%').trim().parse().ok();
    number
        .filter(|percent| (0.0..=100.0).contains(percent))
        .ok_or_else(|| "write a number from 0 to 100".to_owned())
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
    /// The reference gateway's binary [default: din-gateway beside din, or along PATH]
    #[arg(long, value_name = "FILE")]
    pub(crate) gateway_binary: Option<PathBuf>,
    /// How the pacing and receiving threads run, as far as this user may
    #[arg(long, value_enum, default_value_t = Priority::RealTime)]
    pub(crate) priority: Priority,
    #[command(flatten)]
    pub(crate) say: Say,
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

#[derive(Subcommand)]
pub(crate) enum Import {
    /// Of a packet capture (pcap or pcapng) of devices or a gateway: each call's delays and losses
    Pcap(PcapArgs),
    /// Of a recorded link, as the tools of mahimahi play it: a millisecond in each line
    Mahimahi(MahimahiArgs),
    /// Of a gateway's log: how long requests took, for the reference gateway to take as long
    Log(LogArgs),
    /// Of an earlier run: its scenario, and what its worst device went through
    Run(ImportRunArgs),
}

#[derive(Args)]
pub(crate) struct MahimahiArgs {
    /// The link to the gateway
    #[arg(value_name = "UPLINK")]
    pub(crate) uplink: PathBuf,
    /// The link to the device
    #[arg(value_name = "DOWNLINK")]
    pub(crate) downlink: Option<PathBuf>,
    /// The directory for trace.csv and scenario.toml [default: the uplink's name without its ending]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct LogArgs {
    /// The log
    #[arg(value_name = "FILE")]
    pub(crate) log: PathBuf,
    /// A regular expression with groups named latency, timeout, mean or max, and unit (us, ms, s)
    /// [default: timeouts, latencies and metrics as gateways write them]
    #[arg(long, value_name = "REGEX")]
    pub(crate) pattern: Option<String>,
    /// The directory for scenario.toml [default: the log's name without its ending]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ImportRunArgs {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    /// The directory for scenario.toml and trace.csv
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct PcapArgs {
    /// The capture, for example of `tcpdump -w FILE udp`
    #[arg(value_name = "FILE")]
    pub(crate) capture: PathBuf,
    /// The media address of the gateway whose calls are taken [default: the one with most frames]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) gateway: Option<SocketAddr>,
    /// The directory for trace.csv and scenario.toml [default: the capture's name without its ending]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
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

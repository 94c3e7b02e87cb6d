//! Arguments of the commands about more than one run.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use loadgen::{baseline, judged};

use super::{Means, Overrides, Priority};

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
    #[command(flatten)]
    pub(crate) means: Means,
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
        #[command(flatten)]
        kept: KeptIn,
        /// Take the place of one that has the name
        #[arg(long)]
        replace: bool,
    },
    /// List what is kept
    List {
        #[command(flatten)]
        kept: KeptIn,
    },
    /// Show what one holds
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        kept: KeptIn,
    },
}

#[derive(Args)]
pub(crate) struct KeptIn {
    /// The directory of baselines
    #[arg(long = "in", value_name = "DIR", default_value = baseline::DIRECTORY)]
    pub(crate) directory: PathBuf,
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

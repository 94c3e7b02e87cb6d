//! Arguments of `din import`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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

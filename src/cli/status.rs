//! `zfsync status`: how far targets are behind.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::{Selection, Ssh, duration};

/// `zfsync status`.
#[derive(Debug, Args)]
#[command(override_usage = "zfsync status [OPTIONS] SOURCE TARGET...\n       zfsync status [OPTIONS] JOB")]
#[command(after_help = "Examples:
  zfsync status tank/data backup:pool/data offsite:pool/data
  zfsync status --warn 2h --crit 1d tank/data backup:pool/data     as a plugin of a monitoring system
  zfsync status data                                               all sources and targets of a job of /etc/zfsync.toml
  zfsync status --prometheus tank/data backup:pool/data >/var/lib/node_exporter/zfsync.prom.new

How far behind in time: the age of the oldest snapshot that the target lacks, of those newer than the newest common one. A \
dataset without new snapshots is in sync, however old its newest is. No lock is taken: it may run beside a push.

Exit codes: 0 fine, 1 something is further behind than --warn, 2 than --crit, or missing, in conflict or unreachable \
(or a usage error), 3 there is nothing to replicate, or SOURCE can't be listed, 130/143 interrupted.")]
pub struct Status {
    /// The dataset, with all below it: DATASET on this machine, or [USER@]HOST:DATASET; alone: a job of the configuration file
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The targets: [USER@]HOST:DATASET, or a DATASET on this machine; all are asked at the same time
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The file that has JOB [default: /etc/zfsync.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Tell also what became of each dataset in the last run that kept its results in this folder
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,

    /// Exit with 1 when a dataset is further behind than this; times as 90s, 5m, 2h, 1d
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    pub warn: Option<Duration>,
    /// Exit with 2 when a dataset is further behind than this
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Limits")]
    pub crit: Option<Duration>,
    /// A target that has not answered everything after so long counts as unreachable
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration, help_heading = "Limits")]
    pub timeout: Duration,
    /// The way to the targets.
    #[command(flatten)]
    pub ssh: Ssh,

    /// Estimate how many bytes each target lacks: costs a process or two for each dataset that is behind
    #[arg(long, help_heading = "Output")]
    pub bytes: bool,
    /// Show the datasets in sync one by one, too
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// One JSON object a line for each dataset and target
    #[arg(long, conflicts_with_all = ["prometheus", "verbose"], help_heading = "Output")]
    pub json: bool,
    /// Metrics for the textfile collector of Prometheus' node exporter
    #[arg(long, conflicts_with = "verbose", help_heading = "Output")]
    pub prometheus: bool,
}

//! `zfsync status`: how far targets are behind.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::{Selection, Ssh};
use crate::format::parse_duration;

/// `zfsync status`.
#[derive(Debug, Args)]
#[command(override_usage = "zfsync status [OPTIONS] SOURCE TARGET...\n       zfsync status [OPTIONS] JOB")]
#[command(after_help = "Examples:
  zfsync status tank/data backup:pool/data offsite:pool/data
  zfsync status --warn 2h --crit 1d tank/data backup:pool/data     as a monitoring plugin
  zfsync status data                                               all sources and targets of a job of /etc/zfsync.toml
  zfsync status --prometheus tank/data backup:pool/data >/var/lib/node_exporter/zfsync.prom.new

A dataset is behind by the age of the oldest snapshot that the target lacks, of those newer than the newest common one. A \
dataset without new snapshots is in sync, however old its newest one is. No lock is taken, so status can run during a push.

Exit codes: 0 OK, 1 a dataset is behind by more than --warn, 2 by more than --crit, or is missing or in conflict, or a target is \
unreachable (or usage error), 3 there is nothing to replicate, or SOURCE can't be listed, 130/143 interrupted.")]
pub struct Status {
    /// The dataset, with all datasets below it: DATASET on this machine, or [USER@]HOST:DATASET; or, without TARGET, a job of the configuration file
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The targets: [USER@]HOST:DATASET, or DATASET on this machine; all are queried at the same time
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// The configuration file with JOB [default: /etc/zfsync.toml]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Also show the result of each dataset in the last run that saved its results in this directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,

    /// Exit with 1 if a dataset is behind by more than TIME, such as 90s, 5min, 1.5h or 1d
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Limits")]
    pub warn: Option<Duration>,
    /// Exit with 2 if a dataset is behind by more than TIME
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = "Limits")]
    pub crit: Option<Duration>,
    /// Report a target as unreachable if it has not answered in full within TIME
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration, help_heading = "Limits")]
    pub timeout: Duration,
    /// The way to the targets.
    #[command(flatten)]
    pub ssh: Ssh,

    /// Estimate how many bytes each target lacks; runs zfs send -n for each dataset that is behind
    #[arg(long, help_heading = "Output")]
    pub bytes: bool,
    /// Also list the datasets that are in sync
    #[arg(short, long, action = ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
    /// Print one JSON object per line for each dataset and target
    #[arg(long, conflicts_with_all = ["prometheus", "verbose"], help_heading = "Output")]
    pub json: bool,
    /// Print metrics for the textfile collector of the Prometheus node exporter
    #[arg(long, conflicts_with = "verbose", help_heading = "Output")]
    pub prometheus: bool,
}

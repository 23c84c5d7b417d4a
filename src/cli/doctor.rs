//! `zfsync doctor`: whether a first run would work.

use std::path::PathBuf;

use clap::Args;

use super::Ssh;

/// `zfsync doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync doctor backup                                    check the connection, and zfsync and OpenZFS on backup
  zfsync doctor backup:pool/data                          also check the target of a push
  zfsync doctor --source tank/data root@backup:pool/data  check both ends of a push, with features and encryption
  zfsync doctor --source web:tank/data --local pool/web   check both ends of a pull
  zfsync doctor --job nightly                             check a job of /etc/zfsync.toml

With both ends, doctor also plans a push between them, as push --dry-run does: a conflict is a failure; a missing snapshot that cron \
and run would take is a warning. No dataset is changed. Up to ten sessions are briefly opened over one connection, to count how many \
sshd permits. Bandwidth is not measured.

Exit codes: 0 no failures (there may be warnings), 1 a run would fail, 2 usage error, 3 can't connect, or no helper \
starts, 130/143 interrupted.")]
pub struct Doctor {
    /// The target's host, with or without the dataset to receive into
    #[arg(value_name = "[USER@]HOST[:DATASET]", required_unless_present_any = ["local", "source", "job"], conflicts_with = "local")]
    pub target: Option<String>,
    /// Also check the source: DATASET on this machine, or [USER@]HOST:DATASET
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// Check a target on this machine
    #[arg(long, value_name = "DATASET")]
    pub local: Option<String>,
    /// Check both ends of each target of a job in the configuration file
    #[arg(long, value_name = "JOB", conflicts_with_all = ["target", "source", "local"])]
    pub job: Option<String>,
    /// The configuration file with JOB [default: /etc/zfsync.toml]
    #[arg(short, long, value_name = "FILE", requires = "job")]
    pub config: Option<PathBuf>,
    /// Print one JSON object, or with --job one per line for each target
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// The way to the other host.
    #[command(flatten)]
    pub ssh: Ssh,
}

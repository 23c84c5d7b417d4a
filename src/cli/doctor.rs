//! `zfsync doctor`: what a first run would meet.

use clap::Args;

use super::Ssh;

/// `zfsync doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync doctor backup                                    the connection, zfsync and OpenZFS there
  zfsync doctor backup:pool/data                          and what a push into pool/data would meet
  zfsync doctor --source tank/data root@backup:pool/data  both ends: features, space, encryption too
  zfsync doctor --source web:tank/data --local pool/web   both ends of a pull

Nothing is changed. Up to ten sessions are opened over one connection for a moment, to see how many are granted. The bandwidth \
is not measured.

Exit codes: 0 nothing speaks against a run (warnings apart), 1 something does, 2 usage error, 3 can't connect, or there is no \
zfsync, 130/143 interrupted.")]
pub struct Doctor {
    /// The target's host, with or without the dataset that is to be received into
    #[arg(value_name = "[USER@]HOST[:DATASET]", required_unless_present_any = ["local", "source"], conflicts_with = "local")]
    pub target: Option<String>,
    /// The source: DATASET on this machine, or [USER@]HOST:DATASET
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// A target on this machine
    #[arg(long, value_name = "DATASET")]
    pub local: Option<String>,
    /// One JSON object
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// The way to the other host.
    #[command(flatten)]
    pub ssh: Ssh,
}

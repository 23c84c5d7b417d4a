//! `zfsync verify`: whether a copy is what its source is.

use clap::Args;

use super::{Output, Selection, Ssh};

/// `zfsync verify`.
#[derive(Debug, Args)]
#[command(
    mut_arg("verbose", |arg| arg.help("Show the datasets that are the same one by one, too")),
    mut_arg("json", |arg| arg.help("One JSON object a line for each dataset").conflicts_with_all(["verbose", "quiet"])),
    mut_arg("no_progress", |arg| arg.help("Don't show how far the reading is"))
)]
#[command(after_help = "Examples:
  zfsync verify tank/data backup:pool/data              all snapshots of both sides, by guid
  zfsync verify --content tank/data backup:pool/data    and reads the newest that both have, on both sides

A dataset is the same when the target has its newest snapshot, and no snapshot under a name that another has here. Older \
snapshots that only one side has are counted: each side may be thinned by its own rules.

--content reads a snapshot of each dataset on both sides with zfs send and compares checksums of all that it holds. Nothing \
is mounted and nothing is left behind. Copies that are encrypted as the source is are compared as they are stored, without \
keys; others need the keys of both sides. It takes as long as reading everything takes.

Exit codes: 0 all is the same, 1 something is missing, behind or different, or could not be compared, 2 usage error, 3 could \
not start, 130/143 interrupted.")]
pub struct Verify {
    /// The dataset, with all below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// Its copy: [USER@]HOST:DATASET, or a DATASET on this machine
    pub target: String,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Read the newest snapshot that both sides have of each dataset, and compare what it holds
    #[arg(long)]
    pub content: bool,
    /// The way to the target.
    #[command(flatten)]
    pub ssh: Ssh,

    /// What is said of it.
    #[command(flatten)]
    pub output: Output,
}

//! `zfsync verify`: whether a copy is what its source is.

use clap::Args;

use super::{Output, Selection, Ssh};

/// `zfsync verify`.
#[derive(Debug, Args)]
#[command(
    mut_arg("verbose", |arg| arg.help("Also list the datasets that are identical")),
    mut_arg("json", |arg| arg.help("Print one JSON object per line for each dataset").conflicts_with_all(["verbose", "quiet"])),
    mut_arg("no_progress", |arg| arg.help("Don't show the progress of reading"))
)]
#[command(after_help = "Examples:
  zfsync verify tank/data backup:pool/data              compare the GUIDs of all snapshots
  zfsync verify --content tank/data backup:pool/data    also read the newest common snapshot on both sides

A dataset is identical if the target has its newest snapshot, and no snapshot with the name of a source snapshot but another \
GUID. Older snapshots that only one side has are counted, but are no difference, as each side may be pruned by its own rules.

--content reads one snapshot of each dataset on both sides with zfs send, and compares checksums of its content. Nothing is \
mounted, and nothing is left behind. Raw copies of encrypted datasets are compared as they are stored, without keys; otherwise \
the keys must be loaded on both sides. It takes as long as reading all the data.

Exit codes: 0 all datasets are identical, 1 a dataset is missing, behind or different, or could not be compared, 2 usage error, \
3 could not start, 130/143 interrupted.")]
pub struct Verify {
    /// The dataset, with all datasets below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// Its copy: [USER@]HOST:DATASET, or DATASET on this machine
    pub target: String,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Read the newest common snapshot of each dataset on both sides, and compare its content
    #[arg(long)]
    pub content: bool,
    /// The way to the target.
    #[command(flatten)]
    pub ssh: Ssh,

    /// What is said of it.
    #[command(flatten)]
    pub output: Output,
}

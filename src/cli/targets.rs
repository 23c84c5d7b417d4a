//! `zfsync targets` and `zfsync forget`: which targets SOURCE is known to have.

use clap::Args;

use super::Ssh;

/// `zfsync targets`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync targets tank/data             the targets of tank/data, since when, and how current they are
  zfsync targets --json tank/data

The first push to a target records it on SOURCE, in a user property. The newest snapshot that it has received is known from \
bookmarks on SOURCE; zfsync targets connects to no target (zfsync status does). prune and cron keep the snapshots that a recorded \
target may still need, until it has received them or zfsync forget removes its record.")]
pub struct Targets {
    /// The source, as it was given to push or pull: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// Print one JSON object per line for each target
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// The way to SOURCE's host, where that is another one.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// `zfsync forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync forget -n tank/data backup:pool/data       show what would be removed
  zfsync forget tank/data 0123456789abcdef          by the ID that zfsync targets prints

Removes the record of a target from SOURCE, and the bookmarks that zfsync has created for it on SOURCE and below. Nothing on the \
target is changed. You can push to it again, but snapshots that are pruned in the meantime may be those that it still needs.")]
pub struct Forget {
    /// The source, as it was given to push or pull: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// The target, as it was given to push, or its ID
    pub target: String,
    /// Show what would be removed and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// The way to the target, where that tells which one it is; nobody connects to it.
    #[command(flatten)]
    pub ssh: Ssh,
    /// Print nothing unless something is wrong
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

//! `zfsync targets` and `zfsync forget`: which targets SOURCE is known to have.

use clap::Args;

use super::Ssh;

/// `zfsync targets`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync targets tank/data             who gets tank/data, since when, and how far that is
  zfsync targets --json tank/data

A target is noted on SOURCE (as a user property) by the first push to it. What it has arrived at is known by bookmarks on \
SOURCE alone: no target is asked (zfsync status asks). Prune and cron keep what a noted target may need, until it has got it \
or zfsync forget drops it.")]
pub struct Targets {
    /// The dataset, as it was pushed or pulled: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// One JSON object a line for each target
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// The way to SOURCE's host, where that is another one.
    #[command(flatten)]
    pub ssh: Ssh,
}

/// `zfsync forget`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync forget -n tank/data backup:pool/data       what would be dropped
  zfsync forget tank/data 0123456789abcdef          by the ID that zfsync targets shows

Drops what SOURCE keeps in mind of a target: its note, and the bookmarks that zfsync has made for it on SOURCE and below. \
Nothing on the target is touched. It can be pushed to again; but what is pruned meanwhile may be what it lacks.")]
pub struct Forget {
    /// The dataset, as it was pushed or pulled: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// The target: as it was written for push, or its ID
    pub target: String,
    /// Show what would be dropped and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// The way to the target, where that tells which one it is; nobody connects to it.
    #[command(flatten)]
    pub ssh: Ssh,
    /// Say nothing unless something is wrong
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
}

//! The command for a crontab's line.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Faults, LogFormat, Missing, Naming, Selection, Ssh, count_parser};
use crate::plan::{Periods, Zone};

/// `zfsync cron`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(disable_help_flag = true)]
#[command(after_help = "Examples:
  */10 * * * * root zfsync cron tank/data backup:pool/data
  */10 * * * * root zfsync cron -h 24 -d 14 -o /var/log/zfsync/data.log tank/data alpha:pool/data beta:pool/data

A snapshot is of class S when the one before it is of the same minute, M of the same hour, H of the same day, else D. All \
targets are served at the same time. The first run says what is kept on either side; otherwise nothing is said unless \
something is wrong; then one report on stderr, which cron mails. \
Exit codes: 0 all is well, 1 a target or the thinning failed, 2 usage error, 3 could not start, \
4 another run has a target, and nothing failed.")]
pub struct Cron {
    /// The dataset, with all below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// Where to, one or more: [USER@]HOST:DATASET, or a DATASET on this machine
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Keep so many snapshots of class S
    #[arg(short, value_name = "N", default_value_t = 1, help_heading = "Thinning")]
    pub s: usize,
    /// Keep so many of class M
    #[arg(short, value_name = "N", default_value_t = 4, help_heading = "Thinning")]
    pub m: usize,
    /// Keep so many of class H (of the other commands -h is --help; here that is -H)
    #[arg(short, value_name = "N", default_value_t = 3, help_heading = "Thinning")]
    pub h: usize,
    /// Keep so many of class D
    #[arg(short, value_name = "N", default_value_t = 2, help_heading = "Thinning")]
    pub d: usize,
    /// Thin the targets by the same counts too (their helpers need --allow destroy)
    #[arg(long, help_heading = "Thinning")]
    pub thin_targets: bool,
    /// Thin the targets to the newest snapshot of each period, as 24h,7d,4w,12m: see zfsync prune --keep
    #[arg(long, value_name = "PERIODS", help_heading = "Thinning")]
    pub keep_targets: Option<Periods>,
    /// Whose hours and days count for that: see zfsync prune
    #[arg(long, value_name = "ZONE", help_heading = "Thinning")]
    pub time_zone: Option<Zone>,
    /// Heed only the targets that are named, not those that are known by bookmarks alone
    #[arg(long, help_heading = "Thinning")]
    pub only_named_targets: bool,

    /// Streams to each target at the same time
    #[arg(short = 't', long, value_name = "N", default_value_t = 4, value_parser = count_parser())]
    pub channels: u16,
    /// Take no snapshot if there is an own snapshot of the present window: the time since 1970 is cut into windows of SECONDS
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub window: Option<u64>,
    /// Write down all that happens; folders are made (of the other commands --log-file, where -o is --ssh-option)
    #[arg(short = 'o', long, visible_alias = "log-file", value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How that is written
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Keep the last result of each dataset in this folder, a JSON file each; it is made
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Leave out of the snapshot what has not changed
    #[arg(long)]
    pub if_changed: bool,
    /// Don't send snapshots before the newest in which nothing was written since the one before
    #[arg(long)]
    pub skip_empty: bool,
    /// Receive several snapshots at a time from a SOURCE on another host, which you trust as this machine; it is faster
    #[arg(long)]
    pub trust_source: bool,
    /// Store what the source has unencrypted below an encrypted dataset unencrypted below its raw copy too
    #[arg(long)]
    pub allow_unencrypted: bool,
    /// Send from a bookmark though nothing proves that the dataset was not rolled back behind it
    #[arg(long)]
    pub allow_unproven_bookmarks: bool,
    /// Report what went well too
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
    /// Print help
    #[arg(short = 'H', long, action = ArgAction::Help)]
    pub help: Option<bool>,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// What the snapshots are called.
    #[command(flatten)]
    pub naming: Naming,
    /// What the source has no more.
    #[command(flatten)]
    pub missing: Missing,
    /// Faults.
    #[command(flatten)]
    pub faults: Faults,
    /// The way to the targets.
    #[command(flatten)]
    pub ssh: Ssh,
}

//! The command for a crontab's line.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{Direct, Faults, LogFormat, Missing, Naming, Selection, Ssh, count_parser};
use crate::format::Rate;
use crate::plan::{Periods, Zone};

/// `zfsync cron`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(disable_help_flag = true)]
#[command(after_help = "Examples:
  */10 * * * * root /usr/local/bin/zfsync cron tank/data backup:pool/data
  */10 * * * * root /usr/local/bin/zfsync cron -h 24 -d 14 -o /var/log/zfsync/data.log tank/data alpha:pool/data beta:pool/data

These are lines of /etc/cron.d/zfsync. In a user's own crontab (crontab -e) leave out the user, here root.

A snapshot is of class S if the previous one was taken in the same minute, M if in the same hour, H if on the same day, and D \
otherwise. All targets are updated at the same time. The first run reports which snapshots are kept on either side; later ones \
print nothing on success, and one report on stderr, which cron mails, if anything fails.

Exit codes: 0 success, 1 the snapshot, a target or pruning failed, 2 usage error, 3 could not start, 4 another run holds the \
lock of a target, and nothing failed, 130/143 interrupted.")]
pub struct Cron {
    /// The dataset to replicate, with all datasets below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// One or more datasets to receive it as: [USER@]HOST:DATASET, or DATASET on this machine
    #[arg(required = true, value_name = "TARGET")]
    pub targets: Vec<String>,

    /// Number of snapshots of class S to keep
    #[arg(short, value_name = "N", default_value_t = 1, help_heading = "Retention")]
    pub s: usize,
    /// Number of snapshots of class M to keep
    #[arg(short, value_name = "N", default_value_t = 4, help_heading = "Retention")]
    pub m: usize,
    /// Number of snapshots of class H to keep (-h is not --help here; use -H)
    #[arg(short, value_name = "N", default_value_t = 3, help_heading = "Retention")]
    pub h: usize,
    /// Number of snapshots of class D to keep
    #[arg(short, value_name = "N", default_value_t = 2, help_heading = "Retention")]
    pub d: usize,
    /// Also prune the targets, by the same numbers (their helpers need --allow destroy)
    #[arg(long, help_heading = "Retention")]
    pub prune_targets: bool,
    /// Prune the targets to the newest snapshot of each period, as in 24h,7d,4w,12m; see --keep of zfsync prune
    #[arg(long, value_name = "PERIODS", help_heading = "Retention")]
    pub keep_targets: Option<Periods>,
    /// Time zone of these periods; see zfsync prune
    #[arg(long, value_name = "ZONE", help_heading = "Retention")]
    pub time_zone: Option<Zone>,
    /// Consider only the targets given here, and ignore those known from records and bookmarks on SOURCE
    #[arg(long, help_heading = "Retention")]
    pub only_named_targets: bool,

    /// Number of streams to send to each target at the same time
    #[arg(short = 't', long, value_name = "N", default_value_t = 4, value_parser = count_parser())]
    pub channels: u16,
    /// Limit the streams to all targets together to RATE bytes per second, as in 500K, 50M or 1.5GiB (units of 1024), or 50MB
    #[arg(long, value_name = "RATE")]
    pub bwlimit: Option<Rate>,
    /// Take no snapshot if zfsync has already taken one in the current window of SECONDS; windows are counted from 1970
    #[arg(short = 'w', long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub window: Option<u64>,
    /// Write a log to FILE; missing directories are created (in other commands, -o is --ssh-option)
    #[arg(short = 'o', long, visible_alias = "log-file", value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Format of the log
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
    /// Save the last result of each dataset in this directory, as one JSON file each; created if missing
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Take no snapshots of datasets that have not changed
    #[arg(long)]
    pub if_changed: bool,
    /// Skip snapshots in which nothing was written since the previous one; the newest is always sent
    #[arg(long)]
    pub skip_empty: bool,
    /// Trust a SOURCE on another host as much as this machine: several snapshots are received at a time, which is faster
    #[arg(long)]
    pub trust_source: bool,
    /// Also store unencrypted on the target what is unencrypted below an encrypted dataset on the source
    #[arg(long)]
    pub allow_unencrypted: bool,
    /// Send increments from a bookmark even if nothing proves that the source was not rolled back past it
    #[arg(long)]
    pub allow_unproven_bookmarks: bool,
    /// Also report what succeeded
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
    /// What no longer exists on the source.
    #[command(flatten)]
    pub missing: Missing,
    /// Faults.
    #[command(flatten)]
    pub faults: Faults,
    /// The way to the targets.
    #[command(flatten)]
    pub ssh: Ssh,
    /// The way between two other hosts.
    #[command(flatten)]
    pub direct: Direct,
}

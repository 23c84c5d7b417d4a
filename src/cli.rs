//! The command line: clap types and nothing else. What the words mean is decided in [`crate::config`].

#![allow(rustdoc::broken_intra_doc_links, reason = "comments here are help texts, where [USER@]HOST is no link")]

mod cron;
mod direct;
mod doctor;
mod examples;
mod helper;
mod missing;
mod output;
mod recv;
mod restore;
mod run;
mod status;
mod targets;
mod value;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::format::{Rate, parse_duration};
use crate::plan::{DEFAULT_FORMAT, Format, PerClass, Periods, Zone};
use crate::remote::bootstrap::HelperFrom;
pub use cron::Cron;
pub use direct::{Direct, DirectStdio};
pub use doctor::Doctor;
pub use helper::{Helper, HelperInstall, HelperRemove, HelperWhat};
pub use missing::{DeleteMissing, Missing};
pub use output::{LogTo, Output, Talk};
pub use recv::{Recv, Send};
pub use restore::Restore;
pub(crate) use run::DEFAULT_CONFIG;
pub use run::{CheckConfig, Run};
pub use status::Status;
pub use targets::{Forget, Targets};
pub use verify::Verify;
use zfs::Volmode;

/// The whole command line. `zfsync cron` has flags of its own where the others have `-o` and `-h`.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().mut_subcommand("cron", |cron| cron.mut_arg("ssh_option", |option| option.short(None)))
}

/// Reads the command line.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut matches = command().mut_subcommands(examples::stacked).try_get_matches()?;
    Cli::from_arg_matches_mut(&mut matches)
}

/// Replicate trees of ZFS datasets between hosts over SSH. There is no daemon, and other hosts need no zfsync.
#[derive(Debug, Parser)]
#[command(name = "zfsync", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 all datasets are in sync, 1 a dataset failed or is in conflict, or there is nothing to replicate, 2 usage error, \
    3 could not start, 4 another run holds the lock, 130/143 interrupted. Some commands differ: see zfsync COMMAND --help."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replicate SOURCE and all datasets below it to another host or pool
    Push(Box<Push>),
    /// Replicate SOURCE and all datasets below it from another host to this machine
    Pull(Box<Pull>),
    /// Take snapshots, replicate them to all targets, and prune; for crontabs
    Cron(Box<Cron>),
    /// Run jobs from a configuration file
    Run(Run),
    /// Check a configuration file and show what its jobs would do
    CheckConfig(CheckConfig),
    /// Take snapshots of datasets and all below them, atomically within each pool
    Snapshot(Snapshot),
    /// Destroy old snapshots by retention rules, but none that a target still needs
    Prune(Box<Prune>),
    /// Show how far targets are behind SOURCE; changes nothing
    Status(Box<Status>),
    /// List the known targets of SOURCE and the newest snapshots that they have received; connects to none of them
    Targets(Targets),
    /// Remove the record of a target from SOURCE, and the bookmarks made for it
    Forget(Forget),
    /// Check whether a first run would work: connection, hosts, permissions, space; changes nothing
    Doctor(Doctor),
    /// Install the helper on another host, or remove what earlier runs have left there
    Helper(Helper),
    /// Compare a copy with SOURCE by the GUIDs of all snapshots, with --content also by their content; changes nothing
    Verify(Box<Verify>),
    /// Restore a copy as a new dataset that can be written and mounted
    Restore(Box<Restore>),
    /// Receiving helper on the target's host, which zfsync push starts over ssh; not for use by hand
    Recv(Recv),
    /// Sending helper on the source's host, which zfsync pull starts over ssh; not for use by hand
    Send(Send),
    /// Carry out a push for another host, which starts it by --direct
    #[command(hide = true)]
    Direct(DirectStdio),
}

/// `zfsync pull`: a push whose source is another host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync pull web:tank/data pool/web                  replicate tank/data from the host web
  zfsync pull -n 'root@[fd00::2]:tank/data' pool/web  show what would be done
  zfsync pull web:tank/data vault:pool/web            from one host to another, through this machine
  zfsync pull --direct web:tank/data vault:pool/web   the same, straight from web to vault

Options, conflicts and exit codes are those of zfsync push. The source's host needs zfsync, which is started there over ssh \
(zfsync send); nothing is changed there except zfsync's own bookmarks and user properties. If SOURCE and TARGET are on two other \
hosts, all data passes through this machine unless --direct is given, and the port and key for each come from ssh_config.")]
pub struct Pull {
    /// All of it.
    #[command(flatten)]
    pub push: Push,
}

/// `zfsync push`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(after_help = "Examples:
  zfsync push tank/data backup:pool/data               replicate tank/data to the host backup
  zfsync push -n tank/data 'root@[fd00::2]:pool/data'  show what would be done
  zfsync push --exclude '**/tmp' tank usb/tank         to another pool on this machine

Unless you ask for it (--rollback, --set-aside, --replace, --delete-missing, --follow-renames), nothing on the target is rolled \
back, overwritten, renamed or destroyed. A dataset that can't be replicated without that is reported as a conflict; all others are \
still replicated, and the exit code is 1.

Exit codes: 0 all datasets are in sync, 1 a dataset failed or is in conflict, or there is nothing to replicate, 2 usage error, \
3 could not start, 4 another run holds the lock, 130/143 interrupted.")]
pub struct Push {
    /// The dataset to replicate, with all datasets below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// The dataset to receive it as: [USER@]HOST:DATASET, or DATASET on this machine
    pub target: String,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Send only the newest snapshot of each dataset, without intermediate ones
    #[arg(long, help_heading = "Selection")]
    pub newest_only: bool,
    /// Skip snapshots in which nothing was written since the previous one; the newest is always sent
    #[arg(long, help_heading = "Selection")]
    pub skip_empty: bool,

    /// Send encrypted datasets decrypted (their keys must be loaded); by default they are sent raw and stay encrypted
    #[arg(long, help_heading = "Transfer")]
    pub decrypt: bool,
    /// The volmode property of newly received volumes; see zfsprops(7)
    #[arg(long, value_name = "WHAT", value_parser = value::volmode(), default_value = "none", help_heading = "Transfer")]
    pub volmode: Volmode,
    /// Also store unencrypted on the target what is unencrypted below an encrypted dataset on the source
    #[arg(long, help_heading = "Transfer")]
    pub allow_unencrypted: bool,
    /// Send raw increments even to a copy that inherits another key on the target, after which it may not be mountable
    #[arg(long, help_heading = "Transfer")]
    pub allow_key_mismatch: bool,
    /// Let a raw increment from another host replace the wrapped key of the copy; for a single run after zfs change-key on the source
    #[arg(long, help_heading = "Transfer")]
    pub allow_rekey: bool,
    /// Trust a SOURCE on another host as much as this machine: several snapshots are received at a time, which is faster
    #[arg(long, help_heading = "Transfer")]
    pub trust_source: bool,
    /// Send increments from a bookmark even if nothing proves that the source was not rolled back past it
    #[arg(long, help_heading = "Transfer")]
    pub allow_unproven_bookmarks: bool,
    /// Show the plan with estimated sizes and change nothing
    #[arg(short = 'n', long, help_heading = "Transfer")]
    pub dry_run: bool,
    /// Number of streams to send at the same time
    #[arg(short = 'j', long, value_name = "N", default_value_t = 4, value_parser = count_parser(), help_heading = "Transfer")]
    pub channels: u16,
    /// Number of SSH connections to use; by default it depends on the amount of data
    #[arg(long, value_name = "N", value_parser = count_parser(), help_heading = "Transfer")]
    pub connections: Option<u16>,
    /// Limit the streams of this run to RATE bytes per second, all together, as in 500K, 50M or 1.5GiB (units of 1024), or 50MB
    #[arg(long, value_name = "RATE", help_heading = "Transfer")]
    pub bwlimit: Option<Rate>,

    /// Don't make receives resumable, and discard partially received state
    #[arg(long, help_heading = "Transfer")]
    pub no_resume: bool,
    /// Don't create bookmarks on the source; the newest common snapshot must then be kept
    #[arg(long, help_heading = "Transfer")]
    pub no_bookmark: bool,

    /// Roll a diverged or modified target back to the newest common snapshot; its own changes since then are lost
    #[arg(long, help_heading = "Conflicts")]
    pub rollback: bool,
    /// Rename a target in conflict to NAME.zfsync-DATE, with all datasets below it, and continue from the newest common snapshot, or
    /// send it in full where there is none; nothing is lost
    #[arg(long, conflicts_with = "rollback", help_heading = "Conflicts")]
    pub set_aside: bool,
    /// Destroy DATASET on the target if it is in conflict, and send it in full; can be given several times
    #[arg(long, value_name = "DATASET", help_heading = "Conflicts")]
    pub replace: Vec<String>,

    /// What no longer exists on the source.
    #[command(flatten)]
    pub missing: Missing,
    /// Faults.
    #[command(flatten)]
    pub faults: Faults,
    /// The way to the other host.
    #[command(flatten)]
    pub ssh: Ssh,
    /// The way between two other hosts.
    #[command(flatten)]
    pub direct: Direct,

    /// What is said of it.
    #[command(flatten)]
    pub output: Output,
    /// What is written down.
    #[command(flatten)]
    pub log: LogTo,
    /// Save the last result of each dataset in this directory, as one JSON file each; created if missing
    #[arg(long, value_name = "DIR", help_heading = "Logging")]
    pub state_dir: Option<PathBuf>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Plain text
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// `zfsync prune`.
#[derive(Debug, Args)]
#[command(mut_arg("verbose", |arg| arg.help("Also print the snapshots that are destroyed, and why others are kept")))]
#[command(after_help = "Examples:
  zfsync prune -n --keep 24h,7d,4w,12m tank/data                  show what would be destroyed and the space freed
  zfsync prune --keep 24h,7d,4w,12m tank/data backup:pool/data    prune both sides
  zfsync prune --keep-class s=1,m=4,h=3,d=2 tank/data             by the classes in the names

A snapshot that any rule keeps is kept. Only snapshots taken by zfsync (whose names match --format) are destroyed, unless \
--foreign is given. Never destroyed: the newest snapshot of a dataset; the newest one that a target has, and those that it \
still lacks; snapshots with holds or clones. Targets are those given here, those recorded on the dataset (listed by \
zfsync targets), and those for which zfsync left a bookmark on it.

Exit codes: 0 success, 1 some snapshots could not be destroyed, or no dataset is selected, 2 usage error, 3 could not start, \
4 another run holds the lock of a target, 130/143 interrupted.")]
pub struct Prune {
    /// Datasets on this machine, each with all datasets below it; a single one can be followed by its targets,
    /// [USER@]HOST:DATASET, which are pruned by the same rules
    #[arg(required_unless_present = "source", value_name = "DATASET")]
    pub datasets: Vec<String>,
    /// A source on another host, [USER@]HOST:DATASET, instead of DATASETs on this machine
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// A target of the single DATASET on this machine (as an argument, a name without HOST is another DATASET); can be given several times
    #[arg(long, value_name = "TARGET")]
    pub target: Vec<String>,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,

    /// Keep the newest snapshot of each of the last N periods that have one, as in 24h,7d,4w,12m; units: min, h, d, w, m (months), y
    #[arg(long, value_name = "PERIODS", help_heading = "Retention")]
    pub keep: Option<Periods>,
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", help_heading = "Retention")]
    pub keep_last: Option<usize>,
    /// Keep N snapshots of each class, as in s=1,m=4,h=3,d=2; all snapshots of other classes, or of no class, are kept
    #[arg(long, value_name = "CLASSES", help_heading = "Retention")]
    pub keep_class: Option<PerClass>,
    /// Time zone of the periods: UTC, local, or a name such as Europe/Berlin; by default that of the snapshot names
    #[arg(long, value_name = "ZONE", help_heading = "Retention")]
    pub time_zone: Option<Zone>,
    /// Prune only snapshots whose names match; can be given several times
    #[arg(long, value_name = "GLOB", help_heading = "Retention")]
    pub snapshot: Vec<String>,
    /// Don't prune snapshots whose names match; overrides --snapshot
    #[arg(long, value_name = "GLOB", help_heading = "Retention")]
    pub exclude_snapshot: Vec<String>,
    /// Also prune snapshots that were not taken by zfsync
    #[arg(long, help_heading = "Retention")]
    pub foreign: bool,
    /// Consider only the targets given here, and ignore those known from records and bookmarks on the dataset
    #[arg(long, help_heading = "Retention")]
    pub only_named_targets: bool,
    /// What own snapshots are called.
    #[command(flatten)]
    pub naming: Naming,

    /// List the snapshots that would be destroyed and the space that would be freed, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait up to TIME for another run on the same target to finish
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_duration)]
    pub wait_lock: Duration,
    /// Directory for the log of destroyed snapshots [default: /var/lib/zfsync, or ~/.local/state/zfsync]
    #[arg(long, value_name = "DIR", help_heading = "Logging")]
    pub state_dir: Option<PathBuf>,
    /// What is written down.
    #[command(flatten)]
    pub log: LogTo,
    /// The way to the targets.
    #[command(flatten)]
    pub ssh: Ssh,

    /// What is said of it.
    #[command(flatten)]
    pub talk: Talk,
}

/// Which datasets take part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Selection {
    /// Include all datasets below (this is the default)
    #[arg(short, long, conflicts_with = "no_recursive", help_heading = "Selection")]
    pub recursive: bool,
    /// Include at most N levels of datasets below; 0 is the same as --no-recursive
    #[arg(long, value_name = "N", conflicts_with = "no_recursive", help_heading = "Selection")]
    pub depth: Option<usize>,
    /// Don't include the datasets below
    #[arg(long, help_heading = "Selection")]
    pub no_recursive: bool,
    /// Include only datasets that match, and all below them; relative to the given dataset; '*' matches within a component, '**' across components
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub include: Vec<String>,
    /// Exclude datasets that match, and all below them; overrides --include
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub exclude: Vec<String>,
}

/// What is done about faults.
#[derive(Debug, Clone, Args)]
pub struct Faults {
    /// Number of retries without progress, after lost connections, refused sessions, busy datasets and killed receives
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Retries and timeouts")]
    pub retries: u32,
    /// Maximum wait between two retries
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration, help_heading = "Retries and timeouts")]
    pub retry_max_wait: Duration,
    /// Abort a transfer that makes no progress for TIME; 0 means never
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration, help_heading = "Retries and timeouts")]
    pub stall_timeout: Duration,
    /// Wait up to TIME for another run on the same TARGET to finish
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = parse_duration, help_heading = "Retries and timeouts")]
    pub wait_lock: Duration,
}

/// How to get to the other host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Ssh {
    /// Port of the SSH server
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..), help_heading = "SSH")]
    pub port: Option<u16>,
    /// Private key file for ssh
    #[arg(short, long, value_name = "FILE", value_parser = value::key(), help_heading = "SSH")]
    pub identity: Option<PathBuf>,
    /// Use FILE as ssh's only configuration: ssh then ignores ~/.ssh/config and /etc/ssh/ssh_config
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "SSH")]
    pub ssh_config: Option<PathBuf>,
    /// An option for ssh, as in ssh_config(5); can be given several times
    #[arg(short = 'o', long, value_name = "OPTION", help_heading = "SSH")]
    pub ssh_option: Vec<String>,
    /// Command that runs zfsync on the other host, such as 'sudo zfsync'
    #[arg(long, value_name = "COMMAND", help_heading = "SSH")]
    pub remote_zfsync: Option<String>,
    /// Command that runs zfs on the other host where no helper is used, such as 'sudo -n zfs'; implies --helper plain
    #[arg(long, value_name = "COMMAND", help_heading = "SSH")]
    pub remote_zfs: Option<String>,
    /// Which helper to run on the other host: auto uses the installed zfsync, sends a helper along if there is none, and runs
    /// zfs alone where no helper can run [default: auto]
    #[arg(long, value_name = "WHERE", value_parser = value::helper_from(), help_heading = "SSH")]
    pub helper: Option<HelperFrom>,
}

/// `zfsync snapshot`.
#[derive(Debug, Args)]
#[command(mut_arg("verbose", |arg| {
    arg.help("Print every snapshot, and every dataset that is skipped; can be repeated for more detail")
}))]
#[command(after_help = "Examples:
  zfsync snapshot tank/data                      of tank/data and all datasets below it
  zfsync snapshot --if-changed tank usb/tank     only of datasets that were written to since their newest snapshot
  zfsync snapshot --exclude '**/tmp' -v tank     print the name of each snapshot

All snapshots of a run have the same name, and those of a pool are taken in one transaction: all of them or none.

Exit codes: 0 all snapshots taken, or nothing has changed, 1 the snapshots of some pool could not be taken, or no dataset is \
selected, 2 usage error, 3 could not start.")]
pub struct Snapshot {
    /// The filesystems and volumes to take snapshots of, with all datasets below them
    #[arg(required = true)]
    pub dataset: Vec<String>,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Skip datasets that were not written to since their newest snapshot
    #[arg(long, help_heading = "Selection")]
    pub if_changed: bool,

    /// What the snapshots are called
    #[command(flatten)]
    pub naming: Naming,

    /// Show what would be done and change nothing
    #[arg(short = 'n', long, help_heading = "Output")]
    pub dry_run: bool,
    /// What is said of it.
    #[command(flatten)]
    pub talk: Talk,
    /// What is written down.
    #[command(flatten)]
    pub log: LogTo,
}

/// What own snapshots are called.
#[derive(Debug, Clone, Args)]
pub struct Naming {
    /// Format of the snapshot names: strftime(3) conversions, and {class} for S, M, H or D (see zfsync-snapshot(1))
    #[arg(long, value_name = "FORMAT", default_value = DEFAULT_FORMAT, help_heading = "Snapshot names")]
    pub format: Format,
    /// Use local time in the snapshot names instead of UTC
    #[arg(long, help_heading = "Snapshot names")]
    pub local_time: bool,
}

fn count_parser() -> fn(&str) -> Result<u16, String> {
    |text| {
        let number = text.parse().ok().filter(|number| (1..=64).contains(number));
        number.ok_or_else(|| "expected a number from 1 to 64".to_owned())
    }
}

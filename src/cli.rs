//! The command line: clap types and nothing else. What the words mean is decided in [`crate::config`].

#![allow(rustdoc::broken_intra_doc_links, reason = "comments here are help texts, where [USER@]HOST is no link")]

mod cron;
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

use crate::plan::{DEFAULT_FORMAT, Format, PerClass, Periods, Zone};
use crate::remote::bootstrap::HelperFrom;
pub use cron::Cron;
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
use zfs::name::DatasetName;

/// The whole command line. `zfsync cron` has flags of its own where the others have `-o` and `-h`.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command().mut_subcommand("cron", |cron| cron.mut_arg("ssh_option", |option| option.short(None)))
}

/// Reads the command line.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut matches = command().try_get_matches()?;
    Cli::from_arg_matches_mut(&mut matches)
}

/// Replicates trees of ZFS datasets to another host over SSH, fast and safe. Neither host needs a daemon, and the other host no zfsync.
#[derive(Debug, Parser)]
#[command(name = "zfsync", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(
    after_help = "Exit codes: 0 all in sync (or taken), 1 some dataset failed or is in conflict, or there is none, 2 usage error, 3 could not \
    start, 4 another run holds the lock, 130/143 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings a tree of datasets on another host (or pool) in sync with SOURCE
    Push(Box<Push>),
    /// Brings a tree of datasets on this machine in sync with SOURCE on another host
    Pull(Box<Pull>),
    /// A crontab's line: takes snapshots, brings all targets in sync, thins out
    Cron(Box<Cron>),
    /// The same for the jobs of a configuration file
    Run(Run),
    /// Tells what the jobs of a configuration file would do, or what is wrong with it
    CheckConfig(CheckConfig),
    /// Takes snapshots of trees of datasets, all of a pool at the same moment
    Snapshot(Snapshot),
    /// Thins out snapshots by class, number and age; never takes what a target still needs
    Prune(Box<Prune>),
    /// Tells how far targets are behind SOURCE; changes nothing
    Status(Box<Status>),
    /// Lists the targets that SOURCE is known to have, and how far they are; asks none of them
    Targets(Targets),
    /// Drops what SOURCE keeps in mind of a target: its note and its bookmarks
    Forget(Forget),
    /// Compares a copy with SOURCE: all snapshots by guid, and with --content what they hold; changes nothing
    Verify(Box<Verify>),
    /// Brings a copy back: a push the other way, into a new name, of which all can be used
    Restore(Box<Restore>),
    /// The helper on a target's host, started over ssh; for forced commands, not for use by hand
    Recv(Recv),
    /// The helper on a source's host, started over ssh; for forced commands, not for use by hand
    Send(Send),
    /// Writes the shell completions and man pages
    #[command(hide = true)]
    Generate {
        /// The directory that has (or gets) completions/ and man/
        dir: PathBuf,
    },
}

/// `zfsync pull`: a push whose source is another host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  zfsync pull web:tank/data pool/web                 the tree tank/data of the host web, over ssh
  zfsync pull -n root@[fd00::2]:tank/data pool/web   only shows what would be done
  zfsync pull web:tank/data vault:pool/web           from one host to another, through this machine

Options, conflicts and exit codes are those of a push. The source's host needs zfsync, which is started there over ssh (zfsync send); \
nothing is changed there but zfsync's own bookmarks and user properties. With SOURCE and TARGET on two other hosts all data passes \
through this machine, and port and key of each come from ssh_config.")]
pub struct Pull {
    /// All of it.
    #[command(flatten)]
    pub push: Push,
}

/// `zfsync push`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
#[command(after_help = "Examples:
  zfsync push tank/data backup:pool/data            the tree tank/data, over ssh
  zfsync push -n tank/data root@[fd00::2]:pool/data  only shows what would be done
  zfsync push --exclude '**/tmp' tank usb/tank       to another pool of this machine

Nothing on the target is rolled back, overwritten, renamed or destroyed. A dataset that can't be brought in sync without \
that is reported as a conflict, the others go on, and the exit code is 1. So it is where none of them has a snapshot.")]
pub struct Push {
    /// The dataset to replicate, with all below it: DATASET on this machine, or [USER@]HOST:DATASET
    pub source: String,
    /// Where to: [USER@]HOST:DATASET, or DATASET on this machine; SOURCE's own content goes to DATASET itself
    pub target: String,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Send only the newest snapshot of each dataset, leaving out those between
    #[arg(long, help_heading = "Selection")]
    pub newest_only: bool,
    /// Leave out snapshots before the newest in which nothing was written since the one before
    #[arg(long, help_heading = "Selection")]
    pub skip_empty: bool,

    /// Send encrypted datasets decrypted (their keys must be loaded); by default they stay encrypted (raw)
    #[arg(long, help_heading = "Transfer")]
    pub decrypt: bool,
    /// Device nodes of volumes that are received anew: none, or what the dataset above says; see volmode in zfsprops(7)
    #[arg(long, value_name = "WHAT", value_parser = value::volmode(), default_value = "none", help_heading = "Transfer")]
    pub volmode: Volmode,
    /// Store what the source has unencrypted below an encrypted dataset unencrypted below its raw copy too
    #[arg(long, help_heading = "Transfer")]
    pub allow_unencrypted: bool,
    /// Send raw increments to a copy that inherits a key over there, though it may be unmountable then
    #[arg(long, help_heading = "Transfer")]
    pub allow_key_mismatch: bool,
    /// Let a raw increment from another host replace the wrapped key of the copy: for one run after zfs change-key on the source
    #[arg(long, help_heading = "Transfer")]
    pub allow_rekey: bool,
    /// Receive several snapshots at a time from a SOURCE on another host, which you trust as this machine; it is faster
    #[arg(long, help_heading = "Transfer")]
    pub trust_source: bool,
    /// Send from a bookmark though nothing proves that the dataset was not rolled back behind it
    #[arg(long, help_heading = "Transfer")]
    pub allow_unproven_bookmarks: bool,
    /// Show the plan with estimated sizes and change nothing
    #[arg(short = 'n', long, help_heading = "Transfer")]
    pub dry_run: bool,
    /// Streams at the same time
    #[arg(short = 'j', long, value_name = "N", default_value_t = 4, value_parser = count_parser(), help_heading = "Transfer")]
    pub channels: u16,
    /// SSH connections to spread them over; by default as many as the amount of data deserves
    #[arg(long, value_name = "N", value_parser = count_parser(), help_heading = "Transfer")]
    pub connections: Option<u16>,

    /// Don't make receives resumable, and drop what is left of cut ones
    #[arg(long, help_heading = "Transfer")]
    pub no_resume: bool,
    /// Leave no bookmarks on the source; without them the newest common snapshot must stay
    #[arg(long, help_heading = "Transfer")]
    pub no_bookmark: bool,

    /// Roll a diverged or modified target back to the newest common snapshot: what only it has since then is lost
    #[arg(long, help_heading = "Conflicts")]
    pub rollback: bool,
    /// Rename a target in conflict to NAME.zfsync-DATE, with all below it, and receive anew; nothing is lost
    #[arg(long, help_heading = "Conflicts")]
    pub set_aside: bool,
    /// Destroy this dataset of the target if it is in conflict, and receive it anew; can be given several times
    #[arg(long, value_name = "DATASET", help_heading = "Conflicts")]
    pub replace: Vec<String>,

    /// What the source has no more.
    #[command(flatten)]
    pub missing: Missing,
    /// Faults.
    #[command(flatten)]
    pub faults: Faults,
    /// The way to the other host.
    #[command(flatten)]
    pub ssh: Ssh,

    /// What is said of it.
    #[command(flatten)]
    pub output: Output,
    /// What is written down.
    #[command(flatten)]
    pub log: LogTo,
    /// Keep the last result of each dataset in this folder, a JSON file each; it is made
    #[arg(long, value_name = "DIR", help_heading = "Records")]
    pub state_dir: Option<PathBuf>,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// `zfsync prune`.
#[derive(Debug, Args)]
#[command(mut_arg("verbose", |arg| arg.help("Say more: the snapshots that go, and why others stay")))]
#[command(after_help = "Examples:
  zfsync prune -n --keep 24h,7d,4w,12m tank/data                  what would go, and how much that frees
  zfsync prune --keep 24h,7d,4w,12m tank/data backup:pool/data    thins both sides
  zfsync prune --keep-class s=1,m=4,h=3,d=2 tank/data             by the classes in the names

What one rule keeps, stays. Only snapshots that zfsync has taken (their names fit --format) are touched. Never destroyed: \
the newest snapshot of a dataset; the newest one that a target has, and any that a target still lacks; what is held or \
cloned. Targets are those that are named, those that a push has noted on the dataset (zfsync targets lists them), and those \
of which it has a bookmark by zfsync.")]
pub struct Prune {
    /// Datasets of this machine, each with all below it; behind a single one its targets, [USER@]HOST:DATASET, which are
    /// thinned by the same rules
    #[arg(required_unless_present = "source", value_name = "DATASET")]
    pub datasets: Vec<String>,
    /// A source on another host, [USER@]HOST:DATASET, in place of DATASETs of this machine
    #[arg(long, value_name = "SOURCE")]
    pub source: Option<String>,
    /// A target of the single DATASET that is on this machine, where a name without HOST would be one more DATASET; can be given several
    /// times
    #[arg(long, value_name = "TARGET")]
    pub target: Vec<String>,
    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,

    /// Keep the newest snapshot of each of the newest 24 hours, 7 days, ... that have one, as 24h,7d,4w,12m; min, h, d, w, m, y
    #[arg(long, value_name = "PERIODS", help_heading = "Rules")]
    pub keep: Option<Periods>,
    /// Keep the newest N
    #[arg(long, value_name = "N", help_heading = "Rules")]
    pub keep_last: Option<usize>,
    /// Keep so many of each class, as s=1,m=4,h=3,d=2; of a class that isn't named, and of what has none, all
    #[arg(long, value_name = "CLASSES", help_heading = "Rules")]
    pub keep_class: Option<PerClass>,
    /// Whose hours and days count: UTC, local, a name such as Europe/Berlin; that of the names without this
    #[arg(long, value_name = "ZONE", help_heading = "Rules")]
    pub time_zone: Option<Zone>,
    /// Only snapshots whose names match; can be given several times
    #[arg(long, value_name = "GLOB", help_heading = "Rules")]
    pub snapshot: Vec<String>,
    /// Not the snapshots whose names match; wins over --snapshot
    #[arg(long, value_name = "GLOB", help_heading = "Rules")]
    pub exclude_snapshot: Vec<String>,
    /// Also snapshots that zfsync has not taken
    #[arg(long, help_heading = "Rules")]
    pub foreign: bool,
    /// Heed only the targets that are named, not those that are known by notes and bookmarks on the dataset
    #[arg(long, help_heading = "Rules")]
    pub only_named_targets: bool,
    /// What own snapshots are called.
    #[command(flatten)]
    pub naming: Naming,

    /// List what would go, with the space that frees, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Wait so long for another run on the same target to end
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration)]
    pub wait_lock: Duration,
    /// Keep the record of what was destroyed in this folder [default: /var/lib/zfsync, or ~/.local/state/zfsync]
    #[arg(long, value_name = "DIR", help_heading = "Records")]
    pub state_dir: Option<PathBuf>,
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
    /// With all datasets below: so it is anyway, as long as nothing here says otherwise
    #[arg(short, long, conflicts_with = "no_recursive", help_heading = "Selection")]
    pub recursive: bool,
    /// Go at most N levels below the dataset that is named; 0 is that alone
    #[arg(long, value_name = "N", conflicts_with = "no_recursive", help_heading = "Selection")]
    pub depth: Option<usize>,
    /// Without the datasets below
    #[arg(long, help_heading = "Selection")]
    pub no_recursive: bool,
    /// Only datasets that match, and all below them; relative to what is named, '*' within a component, '**' across
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub include: Vec<String>,
    /// Not the datasets that match, nor any below them; wins over --include
    #[arg(long, value_name = "GLOB", help_heading = "Selection")]
    pub exclude: Vec<String>,
}

/// What is done about faults.
#[derive(Debug, Clone, Args)]
pub struct Faults {
    /// Try again so often without progress: lost connections, refused sessions, busy datasets, killed receives
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Faults")]
    pub retries: u32,
    /// Longest pause between two tries
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Faults")]
    pub retry_max_wait: Duration,
    /// End a transfer that shows no sign of life for so long; 0 for never
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration, help_heading = "Faults")]
    pub stall_timeout: Duration,
    /// Wait so long for another run on the same TARGET to end
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration, help_heading = "Faults")]
    pub wait_lock: Duration,
}

/// How to get to the other host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct Ssh {
    /// Port of the SSH server
    #[arg(short, long, value_parser = clap::value_parser!(u16).range(1..), help_heading = "SSH")]
    pub port: Option<u16>,
    /// Private key for ssh
    #[arg(short, long, value_name = "FILE", help_heading = "SSH")]
    pub identity: Option<PathBuf>,
    /// Use FILE in place of ~/.ssh/config
    #[arg(short = 'F', long, value_name = "FILE", help_heading = "SSH")]
    pub ssh_config: Option<PathBuf>,
    /// An option for ssh, as in ssh_config; can be given several times
    #[arg(short = 'o', long, value_name = "OPTION", help_heading = "SSH")]
    pub ssh_option: Vec<String>,
    /// How to call zfsync on the other host
    #[arg(long, value_name = "COMMAND", help_heading = "SSH")]
    pub remote_zfsync: Option<String>,
    /// Where the helper on the other host is taken from: auto is the installed zfsync, or one that is sent along [default: auto]
    #[arg(long, value_name = "WHERE", value_parser = value::helper_from(), help_heading = "SSH")]
    pub helper: Option<HelperFrom>,
}

/// `zfsync snapshot`.
#[derive(Debug, Args)]
#[command(mut_arg("verbose", |arg| {
    arg.help("Name every snapshot, and every dataset that is left out; twice or three times for still more")
}))]
#[command(after_help = "Examples:
  zfsync snapshot tank/data                      of tank/data and all below it
  zfsync snapshot --if-changed tank usb/tank     only where something was written since the newest snapshot
  zfsync snapshot --exclude '**/tmp' -v tank     prints the name of each snapshot

All snapshots of a run have the same name, and those of a pool are taken in one transaction: all of them or none. \
Exit codes: 0 all taken, or nothing has changed, 1 those of some pool could not be taken, or no dataset is selected, 2 usage error, 3 could not start.")]
pub struct Snapshot {
    /// The datasets to take snapshots of, with all below them; filesystems and volumes
    #[arg(required = true)]
    pub dataset: Vec<DatasetName>,

    /// Which datasets.
    #[command(flatten)]
    pub selection: Selection,
    /// Leave out datasets to which nothing was written since their newest snapshot
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
}

/// What own snapshots are called.
#[derive(Debug, Clone, Args)]
pub struct Naming {
    /// The names of own snapshots: strftime(3)'s conversions, and {class} for S, M, H or D: how far the one before is
    #[arg(long, value_name = "FORMAT", default_value = DEFAULT_FORMAT, help_heading = "Names")]
    pub format: Format,
    /// Local time in the names, in place of UTC
    #[arg(long, help_heading = "Names")]
    pub local_time: bool,
}

/// `90`, `90s`, `5m`, `1h`, `2d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).filter(|s| *s <= MAX_SECONDS);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a number with s, m, h or d behind it, as 90s or 5m".into())
}

/// Longer times are mistakes, and sums with them would overflow clocks.
const MAX_SECONDS: u64 = 366 * 24 * 3600;

fn count_parser() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=64)
}

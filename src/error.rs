//! How a run can end, and the exit codes that say so.

mod file;

pub use file::{Excerpt, FileError};

use std::process::ExitCode;

use thiserror::Error;

use crate::format::duration;
use crate::plan::{FilterError, SnapshotError};
use crate::remote::client::HelperError;
use crate::remote::direct::DirectError;
use crate::remote::plain::{by_hand, options};
use crate::remote::ssh::ConnectError;
use crate::remote::target::TargetError;
use zfs::Allow;

/// The end of a run, as scripts see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Exit {
    /// Everything selected is in sync (or, in a dry run, could be brought so).
    #[default]
    InSync,
    /// Some dataset failed or is in conflict.
    Failed,
    /// Nothing was started: the command line or configuration is wrong.
    Usage,
    /// Nothing was started: connecting, authenticating, listing failed, or the helper is missing.
    NotStarted,
    /// Of a status: there is nothing to replicate, so nobody can say whether all is well.
    Unknown,
    /// Another run works on the same target tree.
    Locked,
    /// Of a status: something is further behind than `--warn`.
    Warning,
    /// Of a status: something is further behind than `--crit`, or wrong.
    Critical,
    /// A signal ended the run.
    Interrupted(Signal),
}

/// The signals that end a run in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// `kill`, systemd, or (as SIGHUP) a lost terminal.
    Terminate,
}

impl Exit {
    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Failed | Self::Warning => 1,
            Self::Usage | Self::Critical => 2,
            Self::NotStarted | Self::Unknown => 3,
            Self::Locked => 4,
            Self::Interrupted(Signal::Interrupt) => 130,
            Self::Interrupted(Signal::Terminate) => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why a run did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// SOURCE is no legal dataset name.
    #[error("SOURCE: {0}")]
    Source(zfs::name::NameError),
    /// SOURCE can't be understood.
    #[error("SOURCE: {0}")]
    SourceLocation(TargetError),
    /// SOURCE looks like a dataset of another host.
    #[error("{0:?} is on another host, but a dataset on this machine is needed here")]
    RemoteSource(String),
    /// TARGET can't be understood.
    #[error("TARGET: {0}")]
    Target(#[from] TargetError),
    /// A glob can't be understood.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// `--remote-zfsync` or `--remote-zfs` is no command.
    #[error("{option} {command:?} is not a valid command: {reason}")]
    RemoteCommand {
        /// Which of them.
        option: &'static str,
        /// As it was written.
        command: String,
        /// What is wrong.
        reason: String,
    },
    /// `--replace` names what can't be meant.
    #[error("--replace {0:?}: {1}")]
    Replace(String, String),
    /// The configuration file is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Config(Vec<FileError>),
    /// A job of a configuration file took too long.
    #[error("stopped: it took longer than its job-timeout of {}", duration(*.0))]
    TooLong(std::time::Duration),
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// SOURCE and TARGET are the same dataset or one is within the other.
    #[error(
        "SOURCE {source_dataset} and TARGET {target} overlap on this machine: a dataset can't be replicated into itself"
    )]
    Overlap {
        /// SOURCE.
        source_dataset: String,
        /// TARGET.
        target: String,
    },
    /// SOURCE, or a dataset in it, is a copy of TARGET, or of a dataset in that.
    #[error(
        "{target} is recorded as the source of the copy {source_dataset}: are SOURCE and TARGET swapped? To bring the copy back as a new \
         dataset: zfsync restore {source_dataset} NEW. If the copy is to be the source from now on, run this on its host: zfs inherit -r \
         zfsync:received '{dataset}'"
    )]
    Swapped {
        /// The copy, with its host.
        source_dataset: String,
        /// The same without.
        dataset: String,
        /// What it has come from.
        target: String,
    },
    /// The snapshots can't be taken as asked for.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A restore goes into a new name.
    #[error(
        "{0} already exists, and a restore creates a new dataset: choose another name, and rename both datasets afterwards; or continue an interrupted restore with --into-existing, which overwrites nothing"
    )]
    NotNew(String),
    /// Another run works on the same target tree.
    #[error("another zfsync run is already working on {target}: {holder}")]
    Locked {
        /// TARGET.
        target: String,
        /// Who, and what to do.
        holder: String,
    },
    /// Another sender works on the same target tree.
    #[error("another run is already working on {target} on {host}, or on a dataset above or below it: {holder}")]
    LockedThere {
        /// The target's host.
        host: String,
        /// TARGET.
        target: String,
        /// Who, in the helper's words, and what to do.
        holder: String,
    },
    /// The helper may not touch the target.
    #[error(
        "the helper on {host} may only access {roots}, and TARGET is {target}: choose a target below that, or change --root in the helper's command on {host} (authorized_keys)"
    )]
    OutsideRoot {
        /// The target's host.
        host: String,
        /// Its roots.
        roots: String,
        /// TARGET.
        target: String,
    },
    /// The helper is that of the other end.
    #[error(
        "{host} started zfsync {is} --stdio, but zfsync {wanted} --stdio is needed: is this the key for the other direction? Check its command in authorized_keys on {host}"
    )]
    WrongHelper {
        /// The host.
        host: String,
        /// What it has started.
        is: &'static str,
        /// What it should have.
        wanted: &'static str,
    },
    /// The helper may not send the source.
    #[error(
        "the helper on {host} may only send {roots}, and SOURCE is {source_dataset}: choose a source below that, or change --root in the helper's command on {host} (authorized_keys)"
    )]
    SourceOutsideRoot {
        /// The source's host.
        host: String,
        /// Its roots.
        roots: String,
        /// SOURCE.
        source_dataset: String,
    },
    /// The helper may not do what the flags ask for.
    #[error(
        "{1}: not permitted: the helper on {host} does not allow {0}; {2}add --allow {0} to the helper's command there (authorized_keys), or leave that out",
        what.word(), options(*what), by_hand(*what, host)
    )]
    NotAllowed {
        /// The target's host.
        host: String,
        /// What is missing.
        what: Allow,
    },
    /// Without a helper on the host that can't be done.
    #[error(
        "{host} is accessed by plain zfs, without a helper, which rules out {options}: leave that out, or install zfsync on {host}; \
         nothing was changed"
    )]
    NotByPlainZfs {
        /// The host.
        host: String,
        /// What is asked for.
        options: &'static str,
    },
    /// The lock file can't be made.
    #[error("can't take the lock {path}: {}", zfs::text::os_words(.error))]
    Lock {
        /// The lock file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file of zfsync's own, or a directory for them, can't be used.
    #[error("can't {what} {}: {}", path.display(), zfs::text::os_words(.error))]
    File {
        /// What was attempted with what.
        what: &'static str,
        /// Its path.
        path: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No helper.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// The source's host can't be had to do it.
    #[error(transparent)]
    Direct(#[from] DirectError),
    /// A push that the source's host was to carry out has not started there.
    #[error("{host}: {words}{}", around(*unreached))]
    There {
        /// That host.
        host: String,
        /// Its words.
        words: String,
        /// Whether it could not reach the target's host.
        unreached: bool,
        /// How the push has ended.
        exit: Exit,
    },
    /// No `zfs` on this machine.
    #[error(
        "no zfs command on this machine (looked in PATH, /sbin, /usr/sbin, /usr/local/sbin): is OpenZFS installed?{}",
        target.as_deref().map_or_else(String::new, no_colon)
    )]
    NoZfsHere {
        /// TARGET, where it is a dataset of this machine: its pool may be meant as a host.
        target: Option<String>,
    },
    /// No `zfs` on the target host.
    #[error("no zfs command on {0} (looked in PATH, /sbin, /usr/sbin, /usr/local/sbin): is OpenZFS installed there?")]
    NoZfsThere(String),
    /// What is to be pruned as a target doesn't exist.
    #[error(
        "{host} has no dataset {target}: nothing was pruned; zfsync targets {source_dataset} lists the known targets, and zfsync push creates a \
         new one"
    )]
    NoTarget {
        /// Where.
        host: String,
        /// TARGET's dataset.
        target: String,
        /// SOURCE.
        source_dataset: String,
    },
    /// A target to forget that nobody knows.
    #[error("{source_dataset} has no known target {target}: zfsync targets {source_dataset} lists the known ones")]
    UnknownTarget {
        /// As it was named.
        target: String,
        /// SOURCE.
        source_dataset: String,
    },
    /// What is to be pruned beside other datasets is a copy.
    #[error(
        "{0} is a copy received by zfsync: to prune it as a target of the other dataset, use --target {0}; to prune it by itself, name it alone; \
         nothing was pruned"
    )]
    IsCopy(String),
    /// A note of a target makes no sense, so nobody knows what that one needs.
    #[error(
        "nothing of {dataset} on {host} was destroyed: its property {property} records a target that may need it, but can't be read by this \
         version of zfsync: if it is damaged, push to that target once more, or remove it (zfsync targets {dataset} has the command); if a newer \
         version has set it, upgrade zfsync here, or name the targets and use --only-named-targets"
    )]
    UnreadNote {
        /// Where.
        host: String,
        /// The dataset.
        dataset: String,
        /// The property.
        property: String,
    },
    /// Listing the source failed.
    #[error("can't list {dataset} on {host}: {words}")]
    List {
        /// Where.
        host: String,
        /// SOURCE.
        dataset: String,
        /// The words of zfs.
        words: String,
    },
    /// The target host can't be asked.
    #[error("can't query {dataset} on {host}: zfs says: {words}{}", hint(words))]
    Ask {
        /// The host.
        host: String,
        /// TARGET.
        dataset: String,
        /// The words of zfs.
        words: String,
    },
    /// What lies below an empty dataset that is to be filled can't be found out.
    #[error(
        "can't tell what lies below {dataset} on {host}, which is empty: {words}{}\n  nothing was sent: datasets of others there would lie \
         in a copy that is read-only and not mounted; see what zfs list -r {} says there, or name another TARGET, one that does not exist yet",
        hint(words),
        shell_words::quote(dataset)
    )]
    Below {
        /// The host.
        host: String,
        /// TARGET, or the top of a tree below it.
        dataset: String,
        /// Why: the words of zfs, or what is wrong with its list.
        words: String,
    },
    /// The helper has fallen silent before the run.
    #[error("{host} has not answered for {seconds} s (--stall-timeout): is a pool suspended? Check zpool status there")]
    NoAnswer {
        /// The host.
        host: String,
        /// So long.
        seconds: u64,
    },
    /// The target's pool doesn't exist.
    #[error(
        "{host} has no pool {pool:?}{}: create or import it {}, or choose another target (zpool list shows the pools{}){}",
        if pool == dataset { String::new() } else { format!(" for {dataset}") },
        if *local { "here" } else { "there" },
        similar_names(near),
        colon(*local, dataset)
    )]
    NoPool {
        /// The host.
        host: String,
        /// Whether that is this machine, as TARGET names no host.
        local: bool,
        /// The pool.
        pool: String,
        /// TARGET.
        dataset: String,
        /// Pools with similar names.
        near: Vec<String>,
    },
    /// The target's pool takes nothing.
    #[error("nothing was sent: pool {pool:?} on {host} {why}, so nothing can be received there; on its host, {advice}")]
    Pool {
        /// The host.
        host: String,
        /// The pool.
        pool: String,
        /// How it is.
        why: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// A signal came before anything was sent.
    #[error("interrupted before anything was sent")]
    Interrupted(Signal),
    /// Something of the operating system failed.
    #[error("{what}: {}", zfs::text::os_words(.error))]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        error: std::io::Error,
    },
}

fn may_pass(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull, TimedOut};
    matches!(error.kind(), QuotaExceeded | ReadOnlyFilesystem | StorageFull | TimedOut)
}

/// Names that may have been meant, behind something else.
fn similar_names(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; similar names: {}", near.join(", ")) }
}

fn colon(local: bool, dataset: &str) -> String {
    if local { no_colon(dataset) } else { String::new() }
}

/// Whoever forgets the colon after a host names a pool that isn't there.
fn no_colon(dataset: &str) -> String {
    match dataset.split_once('/') {
        Some((host, below)) => {
            format!("\n  if it is on another host, write HOST:{dataset}; if {host:?} is the host, write {host}:{below}")
        }
        None => format!("\n  did you mean the host {dataset:?}? Then write {dataset}:DATASET"),
    }
}

fn around(unreached: bool) -> &'static str {
    if !unreached {
        return "";
    }
    "\n  with --direct this host connects to the target's with its own ssh configuration and keys, and can't prompt for anything; \
         without --direct the data passes through this machine"
}

fn hint(words: &str) -> &'static str {
    let lacks = zfs::Refusal::from_words(&zfs::text::unquoted(words)) == zfs::Refusal::Permission;
    if lacks { "\n  the remote user lacks permission: log in as root, or delegate it with zfs allow" } else { "" }
}

impl StartError {
    /// Whether the same may work a little later: the connection was lost after it had been there.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Helper(HelperError::Lost { .. }))
    }

    /// Its exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Source(_)
            | Self::SourceLocation(_)
            | Self::RemoteSource(_)
            | Self::Target(_)
            | Self::Filter(_)
            | Self::RemoteCommand { .. }
            | Self::Replace(..)
            | Self::Usage(_)
            | Self::IsCopy(_)
            | Self::UnknownTarget { .. }
            | Self::Config(_)
            | Self::Overlap { .. }
            | Self::Swapped { .. } => Exit::Usage,
            Self::Snapshot(why) if !matches!(why, SnapshotError::TooMany { .. }) => Exit::Usage,
            // A wrong path is a mistake of whoever wrote it; a disk may have room again, and a file server come back.
            Self::File { error, .. } if !may_pass(error) => Exit::Usage,
            Self::There { exit, .. } => *exit,
            Self::Locked { .. } | Self::LockedThere { .. } => Exit::Locked,
            Self::Interrupted(signal) => Exit::Interrupted(*signal),
            Self::TooLong(_) => Exit::Failed,
            _ => Exit::NotStarted,
        }
    }
}

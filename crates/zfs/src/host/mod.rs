//! What the helper needs of its host, as an interface: real ZFS in [`super::LocalHost`], something tame in tests.

mod away;
mod base;
mod boot;
mod children;
mod claims;
mod dataset;
mod empty;
mod examine;
mod hold;
mod intake;
mod list;
mod local;
mod portions;
mod process;
mod prune;
mod query;
mod records;
mod remount;
mod resolve;
mod run;
mod run_away;
mod whole;
mod wrapped_key;

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::Signal;

use crate::Resolution;
use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::record::Features;
use crate::{Failure, Hello, Pruned, Receive, Rename, TargetFacts};
pub use examine::Account;
pub use hold::{HELPER_PROCESS, OF_ANOTHER_ACCOUNT};
pub use intake::Intake;
pub use local::LocalHost;
pub use prune::{MAX_PRUNE, NEEDED_FURTHER, prune};
pub use run::{HANGS, Watched};

use crate::{
    Answer, BaseFacts, Examination, Examine, Lacking, Note, Noted, Part, Query, Reading, Record, Refusal, StreamSpec,
    WrappedKey,
};

/// So many snapshots at most go to a [`Sink`] at a time: a message has room for them.
pub const SNAPSHOTS_A_CALL: usize = 2000;

/// A snapshot as it goes over the wire.
pub type Snapshot = (SnapshotName, Guid, Txg);

/// Those of the asked names that exist.
pub type Found = HashMap<String, (Guid, Txg)>;

/// Takes what a listing finds; an error ends the listing.
pub type Sink<'a> = dyn FnMut(&DatasetName, TargetFacts, Vec<Snapshot>) -> io::Result<()> + 'a;

/// Takes the names of what exists and can't be read, each with the words of zfs.
pub type Unread<'a> = dyn FnMut(&str, &str) + 'a;

/// Takes the names of datasets, one after the other; an error ends the listing.
pub type NameSink<'a> = dyn FnMut(&str) -> io::Result<()> + 'a;

/// Takes the records of a pool's history, one after the other; an error ends the reading.
pub type RecordSink<'a> = dyn FnMut(Record) -> io::Result<()> + 'a;

/// Takes the bytes that have been read of a snapshot, and its checksums; an error ends the reading.
pub type Tell<'a> = dyn FnMut(u64, Option<Part>) -> io::Result<()> + 'a;

/// ZFS on the helper's host. Called from several threads at a time.
pub trait Host: Send + Sync + 'static {
    /// What the greeting says. Free: no process is started for it.
    fn hello(&self) -> Hello;

    /// Which of these datasets and snapshots exist. The names are legal ones.
    fn find(&self, names: &[&str], unread: &mut Unread<'_>) -> Result<Found, Failure>;

    /// Lists the snapshots of each of the datasets that exist: at least one call of `sink` for each.
    fn list(&self, datasets: &[DatasetName], sink: &mut Sink<'_>, unread: &mut Unread<'_>) -> Result<(), Failure>;

    /// A dataset and all below it; none if it doesn't exist.
    fn tree(&self, dataset: &DatasetName) -> Result<Vec<DatasetName>, Failure>;

    /// The pool's disabled features, and whether the dataset is encrypted.
    fn probe(&self, dataset: &DatasetName) -> Result<(Vec<String>, bool), Failure>;

    /// What the pool of a dataset lacks of what a stream with these features needs; nothing where nobody can tell.
    fn lacking(&self, dataset: &DatasetName, stream: Features, resumable: bool) -> Lacking {
        let _ = (dataset, stream, resumable);
        Lacking::default()
    }

    /// Creates a filesystem that only holds others, read-only if it is the `top` of a tree; fine if it exists already.
    fn create_placeholder(&self, dataset: &DatasetName, top: bool) -> Result<(), Failure>;

    /// Drops the state of a receive that was cut.
    fn clear(&self, dataset: &DatasetName) -> Result<(), Failure>;

    /// When these snapshots were made, in seconds since 1970, as far as they exist.
    fn dates(&self, names: &[&str]) -> Result<Vec<(String, i64)>, Failure>;

    /// What datasets say of these snapshots of theirs, or (a dataset's name) of how they are encrypted, as far as they exist.
    fn bases(&self, names: &[&str], iv_sets_only: bool) -> Result<HashMap<String, BaseFacts>, Failure> {
        let _ = (names, iv_sets_only);
        Ok(HashMap::new())
    }

    /// Gets a conflict out of the way, or (`dry_run`) only checks whether that would be done; the text says what is odd although
    /// nothing is lost.
    fn resolve(&self, resolution: &Resolution, dry_run: bool) -> Result<Option<String>, Failure>;

    /// Destroys those of these snapshots that are still the same and that nothing pins, or tells what that would free.
    fn prune(
        &self,
        dataset: &DatasetName,
        snapshots: &[(SnapshotName, Guid)],
        dry_run: bool,
    ) -> Result<Pruned, Failure>;

    /// Renames a dataset that has this snapshot.
    fn rename(&self, rename: &Rename) -> Result<(), Failure>;

    /// What is noted of a tree's datasets.
    fn notes_below(&self, dataset: &DatasetName) -> Result<Vec<Noted>, Failure>;

    /// What is noted of these snapshots, as far as they exist.
    fn notes_on(&self, snapshots: &[&str]) -> Result<Vec<Noted>, Failure>;

    /// Takes a note on these datasets and snapshots, or drops it.
    fn note(&self, note: Note, value: Option<&str>, names: &[&str]) -> Result<(), Failure>;

    /// Destroys a dataset that has these snapshots and nothing else that could be missed, or (`dry_run`) only checks whether that would
    /// be done once those are gone of which this was asked before.
    fn destroy(&self, dataset: &DatasetName, snapshots: &[Guid], dry_run: bool) -> Result<(), Failure>;

    /// Who has claimed a tree, or a part of it.
    fn claimed(&self, dataset: &DatasetName) -> Option<String> {
        let _ = dataset;
        None
    }

    /// How much can be stored in a dataset that exists.
    fn available(&self, dataset: &DatasetName) -> Option<u64> {
        let _ = dataset;
        None
    }

    /// What speaks for or against a replication. What can't be found out is left out.
    fn examine(&self, what: &Examine) -> Result<Examination, Failure> {
        let _ = what;
        Err(Failure::new(Refusal::Other, "it can't be examined here"))
    }

    /// Claims a tree for a run until this process ends; the text says why others can't be kept away from it.
    fn claim(&self, dataset: &DatasetName, run: u64, owner: &str) -> Result<Option<String>, Failure>;

    /// The dataset whose key the data of this one is stored with; `None` when it isn't encrypted, or that can't be told.
    fn encryption_root(&self, dataset: &DatasetName) -> Option<DatasetName> {
        let _ = dataset;
        None
    }

    /// How the key of an existing dataset is wrapped; `base` is perhaps one of its snapshots. `None`: it isn't encrypted, or has no
    /// snapshot that could become unreadable.
    fn wrapped_key(&self, dataset: &DatasetName, base: Option<&SnapshotName>) -> Result<Option<WrappedKey>, Failure> {
        let _ = (dataset, base);
        Ok(None)
    }

    /// Whether a dataset has any snapshot.
    fn has_snapshots(&self, dataset: &DatasetName) -> Result<bool, Failure>;

    /// Whether nothing at all would be lost if the dataset were replaced. `false` in doubt.
    fn is_empty(&self, dataset: &DatasetName) -> Result<bool, Failure>;

    /// Reads what a snapshot holds; `tell` as in [`crate::read_content`].
    fn content(&self, reading: &Reading, tell: &mut Tell<'_>) -> Result<(), Failure> {
        let _ = (reading, tell);
        Err(Failure::new(Refusal::Other, "it can't be read here"))
    }

    /// Starts `zfs recv`, for a stream of one snapshot that gets this name, or for a package of several.
    fn receive(&self, receive: &Receive, snapshot: Option<&SnapshotName>) -> Result<Started, Failure>;

    /// Answers a question about a source, or does what it asks for.
    fn query(&self, query: &Query) -> Result<Answer, Failure> {
        let _ = query;
        Err(Failure::new(Refusal::Other, "it can't be asked here"))
    }

    /// [`Query::Names`], whose answer may be long, in pieces.
    fn names(&self, each: &mut NameSink<'_>) -> Result<(), Failure> {
        let Answer::Names(names) = self.query(&Query::Names)? else { return Err(of_another_kind()) };
        names.iter().try_for_each(|name| each(name)).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))
    }

    /// [`Query::History`], whose answer may be very long, in pieces.
    fn history(&self, pool: &str, since: Txg, each: &mut RecordSink<'_>) -> Result<(), Failure> {
        let query = Query::History { pool: pool.to_owned(), since };
        let Answer::Records(records) = self.query(&query)? else { return Err(of_another_kind()) };
        records.into_iter().try_for_each(each).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))
    }

    /// Starts a stream that leaves this host.
    fn stream(&self, stream: &StreamSpec) -> Result<Outgoing, Failure> {
        let _ = stream;
        Err(Failure::new(Refusal::Other, "nothing can be sent from here"))
    }

    /// Called after a receive into an empty dataset has succeeded; `mountable`: it may be mounted, also if zfsync made it to hold others.
    fn filled(&self, dataset: &DatasetName, mountable: bool);
}

fn of_another_kind() -> Failure {
    Failure::new(Refusal::Other, "the answer is of another kind than the question")
}

/// A receive that has begun.
pub struct Started {
    /// Takes the stream; writes to it return instead of waiting.
    pub stdin: Intake,
    /// What it says; at its end when the process has ended.
    pub words: Box<dyn Read + Send>,
    /// Itself.
    pub process: Arc<dyn Process>,
}

/// A stream that has begun to leave: that of `zfs send`, or the lines of `zfs list`.
pub struct Outgoing {
    /// The stream.
    pub output: OwnedFd,
    /// What it says beside it; at its end when the process has ended.
    pub words: Box<dyn Read + Send>,
    /// Itself.
    pub process: Arc<dyn Process>,
}

/// How a process has ended when that was not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Died {
    /// The exit status, in words.
    pub status: String,
    /// Somebody has killed it.
    pub killed: bool,
}

impl Died {
    /// A fault of its own is no kill: libzfs aborts at an errno that it doesn't know, and would again.
    fn by(status: ExitStatus) -> Self {
        const FAULTS: [Signal; 7] =
            [Signal::ABORT, Signal::BUS, Signal::FPE, Signal::ILL, Signal::SEGV, Signal::SYS, Signal::TRAP];
        let killed = status.signal().is_some_and(|signal| FAULTS.iter().all(|fault| fault.as_raw() != signal));
        Self { status: status.to_string(), killed }
    }

    /// Whether it was killed, with these words beside that: they may be those of a shell that has run it, or tell that a signal has
    /// interrupted it.
    #[must_use]
    pub fn is_killed(&self, words: &str) -> bool {
        match Refusal::from_words(words) {
            Refusal::Other => self.killed,
            refusal => refusal == Refusal::Killed,
        }
    }
}

impl std::fmt::Display for Died {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.status)
    }
}

/// A process that takes or gives a stream.
pub trait Process: Send + Sync {
    /// Waits until it has ended; an error says how it ended when that was not well. Called once.
    fn wait(&self) -> Result<(), Died>;

    /// The processor time that it has taken, in whatever unit; always 0 where that can't be known.
    fn cpu_time(&self) -> u64 {
        0
    }

    /// Asks it to end, or (`force`) ends it; nothing if it has ended already.
    fn end(&self, force: bool);
}

#[cfg(test)]
mod away_tests;

//! The record of destructions: whatever a run destroys or moves, here or on a target, is written down before and after, so that
//! somebody can find out later what has become of a snapshot, when, and by which rule.
//!
//! Each thing has a line in phase `begin`, written before zfs is told to go ahead, and one that says what came of it. Where the
//! run was killed in between there is no second line: what the first one names may be gone.

mod file;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;

use serde::Serialize;

pub use file::NAME;

use crate::file_thread::{self, FileThread};
use crate::report::Versioned;
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::text::os_words;
use zfs::{Failure, Pruned, Refusal};

/// What is done to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// A snapshot or dataset is destroyed.
    Destroy,
    /// A dataset goes back to an older snapshot; what was written since is lost.
    Rollback,
    /// A dataset's content is given up for another.
    Replace,
    /// The rest of a cut receive is dropped.
    DropPartial,
    /// A dataset gets another name; nothing is lost.
    Rename,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// It is about to be done.
    Begin,
    /// It was done.
    Done,
    /// It was not done.
    Kept,
    /// Nobody knows whether it was done.
    Unclear,
}

/// Something that is destroyed or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What is done to it.
    pub deed: Deed,
    /// Its full name, without the host.
    pub name: String,
    /// Of a snapshot.
    pub guid: Option<Guid>,
    /// The new name of what is renamed, the snapshot to which something goes back.
    pub to: Option<String>,
}

impl Thing {
    /// A dataset.
    #[must_use]
    pub fn dataset(deed: Deed, name: &DatasetName) -> Self {
        Self { deed, name: name.to_string(), guid: None, to: None }
    }

    /// The same with another name, or a snapshot, to which it goes.
    #[must_use]
    pub fn moved(deed: Deed, name: &DatasetName, to: String) -> Self {
        Self { to: Some(to), ..Self::dataset(deed, name) }
    }

    /// Snapshots that are destroyed.
    pub fn snapshots<'a>(
        dataset: &'a DatasetName,
        snapshots: impl IntoIterator<Item = &'a (SnapshotName, Guid)> + 'a,
    ) -> impl Iterator<Item = Self> + 'a {
        snapshots.into_iter().map(|(name, guid)| Self {
            deed: Deed::Destroy,
            name: dataset.at(name.as_str()),
            guid: Some(*guid),
            to: None,
        })
    }
}

/// One line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    time: String,
    phase: Phase,
    deed: Deed,
    host: Option<&'a str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    rule: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    #[serde(flatten)]
    by: &'a Origin,
}

/// Who does it: the same in all lines of a process.
#[derive(Debug, Serialize)]
struct Origin {
    run: String,
    user: String,
    command: String,
}

/// More of a command line is not kept.
const MAX_COMMAND: usize = 1000;

static ORIGIN: LazyLock<Origin> = LazyLock::new(|| {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let command: String = words.join(" ").chars().take(MAX_COMMAND).collect();
    let seed = std::hash::RandomState::new();
    let run = std::hash::BuildHasher::hash_one(&seed, std::process::id());
    Origin { run: format!("{run:016x}"), user: user(), command }
});

fn user() -> String {
    let uid = rustix::process::geteuid();
    let known = if uid.is_root() { Some("root".to_owned()) } else { std::env::var("USER").ok() };
    known.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("uid {}", uid.as_raw()))
}

/// Where the record lies.
#[derive(Debug, Clone)]
pub struct Record(Option<PathBuf>);

impl Record {
    /// In the folder that the user has named, else in `ZFSYNC_STATE_DIR`, else where this account keeps its state.
    #[must_use]
    pub fn of(state_dir: Option<&Path>) -> Self {
        let named = state_dir.map(Path::to_owned);
        Self(named.or_else(|| absolute("ZFSYNC_STATE_DIR")).or_else(own_folder))
    }

    /// Writes down what is about to be done on `host` (`None`: this machine), and by which rule. What comes of it is to be told by
    /// what is returned.
    pub fn begin(&self, host: Option<String>, rule: &str, things: Vec<Thing>) -> Begun {
        let mut open = Begun { record: self.clone(), host, rule: rule.to_owned(), rest: things, told: Vec::new() };
        let lines: Vec<Vec<u8>> = open.rest.iter().map(|thing| open.line(thing, Phase::Begin, None)).collect();
        self.write(lines, true);
        open.told.reserve(open.rest.len());
        open
    }

    /// That it can't be written is told, once, even where little is said; nothing is stopped for it: a disk that is full would
    /// otherwise keep retention from making room.
    fn write(&self, lines: Vec<Vec<u8>>, sync: bool) {
        static TOLD: AtomicBool = AtomicBool::new(false);
        if lines.is_empty() {
            return;
        }
        let written = match &self.0 {
            Some(folder) => {
                append(folder, lines, sync).map_err(|error| format!("{}: {}", folder.display(), os_words(&error)))
            }
            None => Err("there is no --state-dir and no home directory".to_owned()),
        };
        if let Err(why) = written
            && !TOLD.swap(true, Ordering::Relaxed)
        {
            tracing::error!("can't log what is destroyed (the run continues): {why}");
        }
    }
}

/// So long a file system may take for lines of the record: the run stands still meanwhile, as they come before what they tell of.
const PATIENCE: Duration = Duration::from_secs(10);

/// Appends lines, in the only thread that does. A file server that hangs may keep that; then nobody waits for it until it has gone on.
fn append(folder: &Path, lines: Vec<Vec<u8>>, sync: bool) -> io::Result<()> {
    static THREAD: LazyLock<io::Result<FileThread<()>>> = LazyLock::new(|| FileThread::start("record", |_| ()));
    static HANGS: AtomicBool = AtomicBool::new(false);
    let thread = THREAD.as_ref().map_err(|error| io::Error::from(error.kind()))?;
    let ((tell, told), folder) = (mpsc::channel(), folder.to_owned());
    thread.put(move |()| {
        // Somebody may have waited too long.
        let _ = tell.send(file::append(&folder, &lines, sync));
        HANGS.store(false, Ordering::Relaxed);
        true
    });
    let patience = if HANGS.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    if let Ok(told) = told.recv_timeout(patience) {
        return told;
    }
    HANGS.store(true, Ordering::Relaxed);
    match told.try_recv() {
        // It has just gone on.
        Ok(told) => {
            HANGS.store(false, Ordering::Relaxed);
            told
        }
        Err(_) => Err(file_thread::late(PATIENCE)),
    }
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn own_folder() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        let state = if cfg!(target_os = "freebsd") { "/var/db" } else { "/var/lib" };
        return Some(Path::new(state).join("zfsync"));
    }
    let home = || Some(absolute("HOME")?.join(".local/state"));
    Some(absolute("XDG_STATE_HOME").or_else(home)?.join("zfsync"))
}

/// What has begun. What nobody tells the end of has an end that isn't known.
#[derive(Debug)]
#[must_use = "what came of it must be told"]
pub struct Begun {
    record: Record,
    host: Option<String>,
    rule: String,
    rest: Vec<Thing>,
    told: Vec<Vec<u8>>,
}

impl Begun {
    fn line(&self, thing: &Thing, phase: Phase, why: Option<&str>) -> Vec<u8> {
        let line = Line {
            time: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            phase,
            deed: thing.deed,
            host: self.host.as_deref(),
            name: &thing.name,
            guid: thing.guid.map(|guid| guid.0.to_string()),
            to: thing.to.as_deref(),
            rule: &self.rule,
            why,
            by: &ORIGIN,
        };
        let mut line = zfs::text::json(serde_json::to_vec(&Versioned::of(line)).unwrap_or_default());
        line.push(b'\n');
        line
    }

    /// Tells the end of all the rest; their names.
    fn tell(&mut self, phase: Phase, why: Option<&str>) -> Vec<String> {
        let told = std::mem::take(&mut self.rest);
        let lines: Vec<Vec<u8>> = told.iter().map(|thing| self.line(thing, phase, why)).collect();
        self.told.extend(lines);
        told.into_iter().map(|thing| thing.name).collect()
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// All the rest was done; the names.
    #[expect(clippy::must_use_candidate, reason = "the record is what it is for")]
    pub fn done(mut self) -> Vec<String> {
        self.tell(Phase::Done, None)
    }

    /// Nothing of the rest was done.
    pub fn refused(mut self, why: &str) {
        self.tell(Phase::Kept, Some(why));
    }

    /// Nobody knows what of the rest was done.
    pub fn unclear(mut self, why: &str) {
        self.tell(Phase::Unclear, Some(why));
    }

    /// What came of it by zfs's answer; the names of what is gone or moved.
    #[expect(clippy::must_use_candidate, reason = "the record is what it is for")]
    pub fn ended(self, failure: Option<&Failure>) -> Vec<String> {
        match failure {
            None => self.done(),
            Some(Failure { refusal, words }) => {
                // `zfs rollback -r` destroys snapshots before it finds out that the dataset is busy.
                let late = *refusal == Refusal::Busy && self.rest.iter().any(|thing| thing.deed == Deed::Rollback);
                if *refusal == Refusal::NotAllowed || refusal.is_a_reason_to_stay() && !late {
                    self.refused(words);
                } else {
                    // Several commands may stand behind one request.
                    self.unclear(&format!("failed: {words}"));
                }
                Vec::new()
            }
        }
    }

    /// What came of pruning, by the portions in which it was asked for; the names of what is gone.
    pub fn pruned<'a>(
        mut self,
        portions: &'a [(DatasetName, Vec<(SnapshotName, Guid)>)],
        done: impl IntoIterator<Item = &'a Result<Pruned, Failure>>,
    ) -> Vec<String> {
        let mut gone = Vec::new();
        // Those of a portion stand together, in the order in which they began.
        let mut rest = std::mem::take(&mut self.rest).into_iter();
        for ((_, some), result) in portions.iter().zip(done) {
            let things: Vec<Thing> = rest.by_ref().take(some.len()).collect();
            for (thing, (name, _)) in things.into_iter().zip(some) {
                let (phase, why) = outcome(name, result);
                let line = self.line(&thing, phase, why.as_deref());
                self.told.push(line);
                if phase == Phase::Done {
                    gone.push(thing.name);
                }
            }
        }
        self.rest = rest.collect();
        gone
    }
}

fn outcome(name: &SnapshotName, result: &Result<Pruned, Failure>) -> (Phase, Option<String>) {
    match result {
        Ok(pruned) if pruned.absent.contains(name) => {
            (Phase::Kept, Some("it no longer existed, or was another one".into()))
        }
        Ok(pruned) => match pruned.pinned.iter().find(|(pinned, _)| pinned == name) {
            Some((_, why)) => (Phase::Kept, Some(why.clone())),
            None => (Phase::Done, None),
        },
        // Some parts of it may have been through.
        Err(failure) => (Phase::Unclear, Some(format!("failed: {}", failure.words))),
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.tell(Phase::Unclear, Some("the outcome is unknown to the run"));
        self.record.write(std::mem::take(&mut self.told), false);
    }
}

#[cfg(test)]
mod tests;

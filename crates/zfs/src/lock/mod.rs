//! Locks that die with their process, whatever ends it: one for the runs of a sender, and one for the trees of a target's
//! host, so that two senders don't meet. A lock's file goes with it; one that a killed run has left goes with the next lock of its name.
//!
//! All runs of an account must meet, however they are started (a crontab, a service, a login): so no variable of a session says where
//! the locks are.

mod accounts;
mod places;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::hash;
use crate::name::DatasetName;

pub use accounts::{Announcement, Holder, announce, holders};

/// Held as long as it lives.
#[derive(Debug, Default)]
pub struct Lock {
    files: Vec<(PathBuf, File)>,
    doubt: Option<String>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        for (path, file) in &self.files {
            // Whoever has it alone may remove it; whoever waits for it looks again afterwards.
            if file.try_lock().is_ok() {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("{holder} (lock {path})")]
    Held {
        /// Who, as far as known.
        holder: String,
        /// The number that the holder's run gave, as far as known.
        run: Option<u64>,
        /// What the holder has locked, as far as known: a tree, all of it.
        tree: Option<DatasetName>,
        /// The file.
        path: String,
    },
    /// The file can't be made.
    #[error("can't take the lock {path}: {}", crate::text::os_words(.error))]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// Locks whatever `key` names, or says who has it.
pub fn take(key: &str, run: u64, owner: &str) -> Result<Lock, LockError> {
    Lock::take(&places::candidates(), key, run, owner)
}

/// Locks a dataset with all that lies below it: excludes those who lock it, a part of it, or what it is a part of.
pub fn take_tree(dataset: &DatasetName, run: u64, owner: &str) -> Result<Lock, LockError> {
    Lock::take_tree(&places::candidates(), dataset, run, owner)
}

/// Who of this account has locked a tree, what it lies in, or a part of it, as far as known. Makes nothing and holds nobody up.
#[must_use]
pub fn tree_holder(dataset: &DatasetName) -> Option<String> {
    places::those_there().iter().find_map(|dir| holder_in(dir, dataset))
}

fn holder_in(dir: &Path, dataset: &DatasetName) -> Option<String> {
    let above = dataset.ancestors().into_iter().chain([dataset.clone()]);
    // What lies below a tree has a shared lock on its file.
    let mut alone =
        above.filter_map(|name| look(&tree_path(dir, &name)).filter(|file| file.try_lock_shared().is_err()));
    let note = alone.find_map(|mut file| Note::read(&mut file)).or_else(|| below(dir, dataset, 0))?;
    Some(format!("{}, for {}", note.owner, note.what))
}

/// What the holder of a lock leaves in its file.
struct Note {
    run: u64,
    /// What is locked.
    what: String,
    owner: String,
}

impl Note {
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        // Who holds it is only for messages.
        file.rewind().and_then(|()| file.take(16 * 1024).read_to_string(&mut text)).ok()?;
        let mut lines = text.lines();
        Some(Self { run: lines.next()?.parse().ok()?, what: lines.next()?.to_owned(), owner: lines.next()?.to_owned() })
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        let line = |text: &str| text.replace(|ch: char| ch.is_control(), " ");
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}\n{}\n{}\n", self.run, line(&self.what), line(&self.owner))
    }
}

impl Lock {
    fn take(dirs: &[PathBuf], key: &str, run: u64, owner: &str) -> Result<Self, LockError> {
        let note = Note { run, what: key.to_owned(), owner: owner.to_owned() };
        let name = format!("={:016x}.lock", hash::stable(key));
        let take = |lock: &mut Self, dir: &Path| {
            let path = dir.join(&name);
            let file = exclusive(&path, &note).map_err(|error| held(error, &path, || None))?;
            lock.files.push((path, file));
            Ok(())
        };
        Self::in_all(dirs, take, |dir| held_alone(&dir.join(&name)))
    }

    /// Each holder has an exclusive lock on the file of its dataset and shared ones on those of the datasets above.
    fn take_tree(dirs: &[PathBuf], dataset: &DatasetName, run: u64, owner: &str) -> Result<Self, LockError> {
        let note = Note { run, what: dataset.to_string(), owner: owner.to_owned() };
        let take = |lock: &mut Self, dir: &Path| {
            for above in dataset.ancestors() {
                let path = tree_path(dir, &above);
                let file = shared(&path).map_err(|error| held(error, &path, || None))?;
                lock.files.push((path, file));
            }
            let path = tree_path(dir, dataset);
            let file = exclusive(&path, &note).map_err(|error| held(error, &path, || below(dir, dataset, run)))?;
            lock.files.push((path, file));
            Ok(())
        };
        Self::in_all(dirs, take, |dir| holder_of_tree(dir, dataset, run))
    }

    /// Takes a lock in the first place that takes one, and then in all later ones that are there. A place of ours that takes none, as it
    /// can't be written, is looked at last: whoever can write it looks at later ones once he has a lock there, so one of the two meets
    /// the other. Whatever is wrong with a later place, what is held stays held.
    fn in_all(
        dirs: &[PathBuf],
        take: impl Fn(&mut Self, &Path) -> Result<(), LockError>,
        holder: impl Fn(&Path) -> Option<LockError>,
    ) -> Result<Self, LockError> {
        let (mut lock, mut known, mut unwritable, mut failed) = (Self::default(), Vec::new(), Vec::new(), None);
        for dir in dirs {
            let is_first = lock.files.is_empty();
            let mut here = Self::default();
            let taken = match if is_first { places::make_own(dir) } else { places::own(dir) } {
                // Two names of one directory are one place: a lock would be in its own way.
                Ok(which) if known.contains(&which) => continue,
                Ok(which) => {
                    known.push(which);
                    take(&mut here, dir).inspect_err(|_| unwritable.push(dir))
                }
                Err(error) => Err(LockError::Io { path: dir.display().to_string(), error }),
            };
            match taken {
                Ok(()) => lock.files.append(&mut here.files),
                Err(LockError::Io { path, error }) if says_no_place(&error) => {
                    failed = failed.or(Some(LockError::Io { path, error }));
                }
                Err(error @ LockError::Io { .. }) if !is_first => {
                    lock.doubt.get_or_insert_with(|| format!("{error}: runs with a lock only there are not noticed"));
                }
                Err(error) => return Err(error),
            }
        }
        if lock.files.is_empty() {
            let none = || LockError::Io { path: String::new(), error: io::ErrorKind::NotFound.into() };
            return Err(failed.unwrap_or_else(none));
        }
        unwritable.into_iter().find_map(|dir| holder(dir)).map_or(Ok(lock), Err)
    }

    /// Why somebody who has it, too, may not have been noticed.
    #[must_use]
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }
}

/// Whether an error only says that no lock can be made in a place. A full one can still be looked into.
fn says_no_place(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        NotFound | NotADirectory | PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded
    )
}

/// Who has the lock of this file alone, found out without a lock.
fn held_alone(path: &Path) -> Option<LockError> {
    let file = look(path)?;
    let is_held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    is_held.then(|| held(TryLockError::WouldBlock, path, || None))
}

/// The same of a tree, what it lies in, or a part of it.
fn holder_of_tree(dir: &Path, dataset: &DatasetName, run: u64) -> Option<LockError> {
    let above = dataset.ancestors().into_iter().chain([dataset.clone()]);
    let path = tree_path(dir, dataset);
    let below = || below(dir, dataset, run).map(|note| held(TryLockError::WouldBlock, &path, || Some(note)));
    above.into_iter().find_map(|name| held_alone(&tree_path(dir, &name))).or_else(below)
}

/// The file of a tree has its whole name, so that nobody can make up a dataset that shares it. As long as the name itself: 255 bytes at
/// most, which is what file systems take. No dataset's name has `=` in it (zfs(8)).
fn tree_path(dir: &Path, dataset: &DatasetName) -> PathBuf {
    dir.join(dataset.as_str().replace('/', "="))
}

/// Whether a file is a tree's. That of another lock begins with `=`.
fn is_tree(path: &Path) -> bool {
    path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"="))
}

fn exclusive(path: &Path, note: &Note) -> Result<File, TryLockError> {
    let mut file = locked(path, File::try_lock)?;
    note.write(&mut file).map_err(TryLockError::Error)?;
    Ok(file)
}

fn shared(path: &Path) -> Result<File, TryLockError> {
    locked(path, File::try_lock_shared)
}

fn locked(path: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<File, TryLockError> {
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(TryLockError::Error)?;
        lock(&file)?;
        // Whoever had it before may have removed it meanwhile.
        let own = file.metadata().map_err(TryLockError::Error)?;
        if std::fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (own.dev(), own.ino())) {
            return Ok(file);
        }
    }
}

/// To look at who has it.
fn look(path: &Path) -> Option<File> {
    OpenOptions::new().read(true).open(path).ok()
}

/// Says who has a lock. A file that can be locked for sharing has no holder of its own: then `others` looks for one.
fn held(error: TryLockError, path: &Path, others: impl FnOnce() -> Option<Note>) -> LockError {
    let path_text = path.display().to_string();
    match error {
        TryLockError::Error(error) => LockError::Io { path: path_text, error },
        TryLockError::WouldBlock => {
            let own = look(path).filter(|file| file.try_lock_shared().is_err());
            let note = own.and_then(|mut file| Note::read(&mut file)).or_else(others);
            let run = note.as_ref().map(|note| note.run);
            let tree = note.as_ref().filter(|_| is_tree(path)).and_then(|note| note.what.parse().ok());
            let holder = note.map_or_else(|| "unknown".into(), |note| format!("{}, for {}", note.owner, note.what));
            LockError::Held { holder, run, tree, path: path_text }
        }
    }
}

/// One who has locked something below a dataset: somebody else than this run, if there is one.
fn below(dir: &Path, dataset: &DatasetName, run: u64) -> Option<Note> {
    let files = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let mut notes: Vec<Note> = files
        .filter(|path| is_tree(path))
        .filter_map(|path| look(&path))
        .filter(|file| file.try_lock_shared().is_err())
        .filter_map(|mut file| Note::read(&mut file))
        .filter(|note| note.what.parse().is_ok_and(|other: DatasetName| other.is_within(dataset)))
        .collect();
    let other = notes.iter().position(|note| note.run != run).unwrap_or(0);
    (other < notes.len()).then(|| notes.swap_remove(other))
}

#[cfg(test)]
mod tests;

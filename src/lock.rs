//! Locks that die with their process, whatever ends it: one for the runs of a sender, and one for the trees of a target's
//! host, so that two senders don't meet. The files stay: to remove one would let two runs lock two files of one name.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::hash;
use crate::name::DatasetName;

/// How the files of trees end.
const TREE: &str = "tree";

/// Held as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _files: Vec<File>,
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
        /// The file.
        path: String,
    },
    /// The file can't be made.
    #[error("can't take the lock {path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
}

/// Where locks are: in the user's runtime directory, else root's, else a directory of the user's own among the temporary
/// files.
#[must_use]
pub fn directory() -> PathBuf {
    let user = rustix::process::geteuid();
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("zfsync"),
        None if user.is_root() => PathBuf::from("/run/zfsync"),
        None => std::env::temp_dir().join(format!("zfsync-{}", user.as_raw())),
    }
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
    /// Locks whatever `key` names, or says who has it.
    pub fn take(dir: &Path, key: &str, run: u64, owner: &str) -> Result<Self, LockError> {
        let path = dir.join(format!("{:016x}.lock", hash::stable(key)));
        let note = Note { run, what: key.to_owned(), owner: owner.to_owned() };
        let file = exclusive(&path, &note).map_err(|error| held(error, &path, || None))?;
        Ok(Self { _files: vec![file] })
    }

    /// Locks a dataset with all that lies below it: excludes those who lock it, a part of it, or what it is a part of. Each
    /// holder has an exclusive lock on the file of its dataset and shared ones on those of the datasets above.
    pub fn take_tree(dir: &Path, dataset: &DatasetName, run: u64, owner: &str) -> Result<Self, LockError> {
        let mut files = Vec::new();
        for above in dataset.ancestors() {
            let path = tree_path(dir, &above);
            files.push(shared(&path).map_err(|error| held(error, &path, || None))?);
        }
        let path = tree_path(dir, dataset);
        let note = Note { run, what: dataset.to_string(), owner: owner.to_owned() };
        files.push(exclusive(&path, &note).map_err(|error| held(error, &path, || below(dir, dataset)))?);
        Ok(Self { _files: files })
    }
}

fn tree_path(dir: &Path, dataset: &DatasetName) -> PathBuf {
    dir.join(format!("{:016x}.{TREE}", hash::stable(dataset.as_str())))
}

fn exclusive(path: &Path, note: &Note) -> Result<File, TryLockError> {
    let mut file = open(path).map_err(TryLockError::Error)?;
    file.try_lock()?;
    note.write(&mut file).map_err(TryLockError::Error)?;
    Ok(file)
}

fn shared(path: &Path) -> Result<File, TryLockError> {
    let file = open(path).map_err(TryLockError::Error)?;
    file.try_lock_shared()?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Anybody may make directories among the temporary files.
        let found = std::fs::symlink_metadata(dir)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            let reason = format!("{} belongs to somebody else, or is no directory", dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
    }
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Says who has a lock. A file that can be locked for sharing has no holder of its own: then `others` looks for one.
fn held(error: TryLockError, path: &Path, others: impl FnOnce() -> Option<Note>) -> LockError {
    let path_text = path.display().to_string();
    match error {
        TryLockError::Error(error) => LockError::Io { path: path_text, error },
        TryLockError::WouldBlock => {
            let own = open(path).ok().filter(|file| file.try_lock_shared().is_err());
            let note = own.and_then(|mut file| Note::read(&mut file)).or_else(others);
            let run = note.as_ref().map(|note| note.run);
            let holder = note.map_or_else(|| "unknown".into(), |note| format!("{}, for {}", note.owner, note.what));
            LockError::Held { holder, run, path: path_text }
        }
    }
}

/// One who has locked something below a dataset.
fn below(dir: &Path, dataset: &DatasetName) -> Option<Note> {
    let files = std::fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let trees = files.filter(|path| path.extension().is_some_and(|extension| extension == TREE));
    trees
        .filter_map(|path| open(&path).ok())
        .filter(|file| file.try_lock_shared().is_err())
        .filter_map(|mut file| Note::read(&mut file))
        .find(|note| note.what.parse().is_ok_and(|other: DatasetName| other.is_within(dataset)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(dir: &Path, dataset: &str, run: u64) -> Result<Lock, LockError> {
        Lock::take_tree(dir, &dataset.parse().unwrap(), run, &format!("run {run}"))
    }

    fn holder(taken: Result<Lock, LockError>) -> String {
        match taken {
            Err(LockError::Held { holder, .. }) => holder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_second_run_is_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let take = |key: &str| Lock::take(dir.path(), key, 7, "process 5");
        let first = take("beta:p/a").unwrap();
        assert_eq!(holder(take("beta:p/a")), "process 5, for beta:p/a");
        drop(take("beta:p/b").unwrap());
        drop(first);
        drop(take("beta:p/a").unwrap());
    }

    #[test]
    fn trees_exclude_what_contains_them() {
        let dir = tempfile::tempdir().unwrap();
        let middle = tree(dir.path(), "p/a", 1).unwrap();
        assert_eq!(holder(tree(dir.path(), "p/a", 2)), "run 1, for p/a");
        assert_eq!(holder(tree(dir.path(), "p/a/b", 2)), "run 1, for p/a");
        assert_eq!(holder(tree(dir.path(), "p", 2)), "run 1, for p/a");
        let beside = tree(dir.path(), "p/b", 2).unwrap();
        drop(tree(dir.path(), "p/ab", 3).unwrap());
        drop(middle);
        assert_eq!(holder(tree(dir.path(), "p", 3)), "run 2, for p/b", "p/a's file still has its note");
        drop(beside);
        drop(tree(dir.path(), "p", 3).unwrap());
    }

    #[test]
    fn the_directory_must_be_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(matches!(tree(&link, "p", 1), Err(LockError::Io { .. })));
    }
}

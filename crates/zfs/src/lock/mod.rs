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
    /// the other.
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
                Err(LockError::Io { path, error }) if passed_over(&error, is_first) => {
                    failed = failed.or(Some(LockError::Io { path, error }));
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
}

/// Whether an error only says that there is no place for locks. A full one is none either, as long as there is no other; later ones
/// must be known to be free.
fn passed_over(error: &io::Error, is_first: bool) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        NotFound | NotADirectory | PermissionDenied | ReadOnlyFilesystem => true,
        StorageFull | QuotaExceeded => is_first,
        _ => false,
    }
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
mod tests {
    use super::*;

    fn tree(dir: &Path, dataset: &str, run: u64) -> Result<Lock, LockError> {
        Lock::take_tree(&[dir.to_owned()], &dataset.parse().unwrap(), run, &format!("run {run}"))
    }

    #[test]
    fn who_only_looks_makes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let looked = |dataset: &str| holder_in(dir.path(), &dataset.parse().unwrap());
        assert_eq!(looked("b/x"), None);
        let lock = tree(dir.path(), "b/x/y", 1).unwrap();
        for (dataset, found) in [("b", true), ("b/x", true), ("b/x/y", true), ("b/x/y/z", true), ("b/x/z", false)] {
            assert_eq!(looked(dataset), found.then(|| "run 1, for b/x/y".to_owned()), "{dataset}");
        }
        drop(lock);
        assert_eq!(looked("b/x"), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
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
        let take = |key: &str| Lock::take(&[dir.path().to_owned()], key, 7, "process 5");
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
    fn who_holds_something_below_is_told_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let held = |taken: Result<Lock, LockError>| match taken {
            Err(LockError::Held { run, tree, .. }) => (run, tree.map(|tree| tree.to_string())),
            other => panic!("{other:?}"),
        };
        let (_own, _other) = (tree(dir.path(), "p/a", 1).unwrap(), tree(dir.path(), "p/b", 2).unwrap());
        assert_eq!(
            held(tree(dir.path(), "p", 1)),
            (Some(2), Some("p/b".into())),
            "a run of its own doesn't hide another"
        );
        assert_eq!(held(tree(dir.path(), "p", 2)), (Some(1), Some("p/a".into())));
        assert_eq!(held(tree(dir.path(), "p/a/x", 3)), (Some(1), Some("p/a".into())));
    }

    #[test]
    fn names_of_any_length_have_a_file_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("p/{}", "x".repeat(crate::name::MAX_NAME - 2));
        let _one = tree(dir.path(), &long, 1).unwrap();
        assert_eq!(holder(tree(dir.path(), &long, 2)), format!("run 1, for {long}"));
    }

    #[test]
    fn a_lock_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let files = || std::fs::read_dir(dir.path()).unwrap().count();
        let (one, other) = (tree(dir.path(), "p/a/b", 1).unwrap(), tree(dir.path(), "p/a/c", 2).unwrap());
        assert_eq!(files(), 4);
        drop(one);
        assert_eq!(files(), 3, "p and p/a are still shared");
        assert!(tree(dir.path(), "p/a", 3).is_err());
        drop(other);
        assert_eq!(files(), 0);
        drop(Lock::take(&[dir.path().to_owned()], "key", 1, "me").unwrap());
        assert_eq!(files(), 0);
    }

    #[test]
    fn one_at_a_time_however_fast_they_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, most) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for run in 0..4 {
                let (dir, inside, most) = (dir.path(), &inside, &most);
                scope.spawn(move || {
                    for _ in 0..500 {
                        let Ok(_lock) = tree(dir, "p/a", run) else { continue };
                        let now = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
                        most.fetch_max(now, std::sync::atomic::Ordering::SeqCst);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }

    #[test]
    fn one_that_is_held_in_one_place_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let places = ["run", "tmp"].map(|name| dir.path().join(name));
        for place in &places {
            std::fs::create_dir(place).unwrap();
        }
        let files = || places.each_ref().map(|place| std::fs::read_dir(place).unwrap().count());
        let key = |dirs: &[PathBuf], run| Lock::take(dirs, "key", run, "me");
        let tree = |dirs: &[PathBuf], run| Lock::take_tree(dirs, &"p/a".parse().unwrap(), run, "me");
        for take in [&key as &dyn Fn(&[PathBuf], u64) -> Result<Lock, LockError>, &tree] {
            for (one, other) in [(&places[..], &places[1..]), (&places[1..], &places[..]), (&places[..1], &places[..])]
            {
                let lock = take(one, 1).unwrap();
                let before = files();
                assert!(holder(take(other, 2)).starts_with("me, for "));
                assert_eq!(files(), before, "what was not taken leaves nothing");
                drop(lock);
                drop(take(other, 2).unwrap());
                assert_eq!(files(), [0, 0]);
            }
        }
    }

    /// Takes a lock in these places; those that are named can't be written, for such a reason.
    fn take_beside(dirs: &[PathBuf], bad: &[PathBuf], kind: io::ErrorKind) -> Result<Lock, LockError> {
        let path = |dir: &Path| dir.join("lock");
        let take = |lock: &mut Lock, dir: &Path| {
            if bad.iter().any(|bad| bad == dir) {
                return Err(LockError::Io { path: path(dir).display().to_string(), error: kind.into() });
            }
            let note = Note { run: 1, what: "key".into(), owner: "me".into() };
            let file = exclusive(&path(dir), &note).map_err(|error| held(error, &path(dir), || None))?;
            lock.files.push((path(dir), file));
            Ok(())
        };
        Lock::in_all(dirs, take, |dir| held_alone(&path(dir)))
    }

    fn two_places(dir: &Path) -> [PathBuf; 2] {
        let places = ["run", "tmp"].map(|name| dir.join(name));
        for place in &places {
            std::fs::create_dir(place).unwrap();
        }
        places
    }

    #[test]
    fn who_cannot_write_to_a_place_meets_those_who_can() {
        let dir = tempfile::tempdir().unwrap();
        let all @ [run, tmp] = &two_places(dir.path());
        for kind in [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull] {
            let dirs =
                |lock: &Lock| lock.files.iter().map(|(path, _)| path.parent().unwrap().to_owned()).collect::<Vec<_>>();
            let without = || take_beside(all, std::slice::from_ref(run), kind);
            let lock = without().unwrap();
            assert_eq!(dirs(&lock), std::slice::from_ref(tmp), "{kind}");
            assert_eq!(holder(take_beside(all, &[], kind)), "me, for key");
            drop(lock);
            let lock = take_beside(std::slice::from_ref(run), &[], kind).unwrap();
            assert_eq!(holder(without()), "me, for key");
            drop(lock);
            let lock = take_beside(all, &[], kind).unwrap();
            assert_eq!(dirs(&lock), all);
        }
    }

    #[test]
    fn a_tree_is_seen_where_nothing_can_be_written() {
        let dir = tempfile::tempdir().unwrap();
        let seen = |dataset: &str| match holder_of_tree(dir.path(), &dataset.parse().unwrap(), 2) {
            Some(LockError::Held { run, tree, .. }) => Some((run.unwrap(), tree.unwrap().to_string())),
            other => other.map(|other| panic!("{other:?}")),
        };
        assert_eq!(seen("b/x"), None);
        let lock = tree(dir.path(), "b/x/y", 1).unwrap();
        for (dataset, found) in [("b", true), ("b/x", true), ("b/x/y", true), ("b/x/y/z", true), ("b/x/z", false)] {
            assert_eq!(seen(dataset), found.then(|| (1, "b/x/y".to_owned())), "{dataset}");
        }
        drop(lock);
        assert_eq!(seen("b/x/y"), None);
    }

    #[test]
    fn what_speaks_for_no_missing_place_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let all @ [run, tmp] = &two_places(dir.path());
        let (files, full) = (io::Error::from_raw_os_error(24).kind(), io::ErrorKind::StorageFull);
        for (bad, kind) in [(run, files), (tmp, files), (tmp, full)] {
            let taken = take_beside(all, std::slice::from_ref(bad), kind);
            let Err(LockError::Io { error, .. }) = taken else { panic!("{kind} at {}: {taken:?}", bad.display()) };
            assert_eq!(error.kind(), kind);
            assert_eq!(std::fs::read_dir(run).unwrap().count(), 0, "what was not taken leaves nothing");
        }
        let taken = take_beside(all, all, full);
        assert!(matches!(&taken, Err(LockError::Io { error, .. }) if error.kind() == full), "{taken:?}");
    }
}

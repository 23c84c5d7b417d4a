//! Locks of a few runs, in directories of their own.

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
    assert_eq!(held(tree(dir.path(), "p", 1)), (Some(2), Some("p/b".into())), "a run of its own doesn't hide another");
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
        for (one, other) in [(&places[..], &places[1..]), (&places[1..], &places[..]), (&places[..1], &places[..])] {
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
fn a_lock_that_is_held_stays_held_whatever_is_wrong_with_a_later_place() {
    let dir = tempfile::tempdir().unwrap();
    let all @ [run, tmp] = &two_places(dir.path());
    let (files, full) = (io::Error::from_raw_os_error(24).kind(), io::ErrorKind::StorageFull);
    for (kind, doubted) in [(full, false), (io::ErrorKind::QuotaExceeded, false), (files, true)] {
        let without = || take_beside(all, std::slice::from_ref(tmp), kind);
        let lock = without().unwrap();
        assert_eq!(lock.files.len(), 1, "{kind}");
        assert_eq!(lock.doubt().is_some_and(|words| words.contains("/tmp/lock: ")), doubted, "{:?}", lock.doubt());
        assert_eq!(holder(take_beside(all, &[], kind)), "me, for key");
        drop(lock);
        // Who has it there is seen.
        let lock = take_beside(std::slice::from_ref(tmp), &[], kind).unwrap();
        assert_eq!(holder(without()), "me, for key");
        drop(lock);
        assert_eq!(std::fs::read_dir(run).unwrap().count(), 0, "what was not taken leaves nothing");
    }
}

#[test]
fn without_any_lock_that_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let all @ [run, _] = &two_places(dir.path());
    let (files, full) = (io::Error::from_raw_os_error(24).kind(), io::ErrorKind::StorageFull);
    for (bad, kind) in [(std::slice::from_ref(run), files), (&all[..], files), (&all[..], full)] {
        let taken = take_beside(all, bad, kind);
        assert!(matches!(&taken, Err(LockError::Io { error, .. }) if error.kind() == kind), "{taken:?}");
        assert_eq!(std::fs::read_dir(run).unwrap().count(), 0, "what was not taken leaves nothing");
    }
}

//! The helper's session over real pipes, with a fake host.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::Config;
use super::fake::{Session, begin, receive};
use crate::wire::{FrameKind, Header, MAX_DATA, MAX_NAMES, Reply, Request};
use zfs::name::{Guid, Txg};
use zfs::record::SIZE;
use zfs::{Allow, Failure, Receive, Refusal, Resolution, permission};

fn session() -> Session {
    Session::start(Config::default())
}

/// An increment with `len` bytes in a WRITE record, which the fake host takes for complete.
pub(super) fn stream(len: usize) -> Vec<u8> {
    let mut end = [0; SIZE];
    end[0] = 5;
    end[SIZE - 3..].copy_from_slice(b"end");
    let begin = begin(Some(Guid(1)), "p/x@s").to_bytes();
    [&begin[..], &write(len), &vec![7; len], &end].concat()
}

/// The record before so many bytes of compressed content.
pub(super) fn write(len: usize) -> [u8; SIZE] {
    let mut record = [0; SIZE];
    let mut put = |at: usize, value: usize| record[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
    for (at, number) in [(0, 3), (8, 1), (32, len.next_multiple_of(512)), (96, len)] {
        put(at, number);
    }
    record[50] = 15;
    record
}

/// A full stream of that kind.
fn full() -> Vec<u8> {
    let mut end = [0; SIZE];
    end[0] = 5;
    end[SIZE - 3..].copy_from_slice(b"end");
    [begin(None, "p/x@s").to_bytes(), end].concat()
}

#[test]
fn a_stream_arrives() {
    let mut session = session();
    session.receive(1, "b/x");
    let bytes = stream(3_000_001);
    for part in bytes.chunks(MAX_DATA) {
        session.data(part);
    }
    session.data(b"");
    session.mark(FrameKind::End);
    // `b"end"` is the end of the stream although an empty frame follows.
    assert_eq!(session.done(), (1, None));
    assert_eq!(session.host.received.lock().unwrap()["b/x"], bytes.len());
    session.close().unwrap();
}

#[test]
fn what_zfs_complains_of_comes_along() {
    let mut session = session();
    session.receive(1, "b/warn");
    session.data(&stream(10));
    session.mark(FrameKind::End);
    let grant = permission::allow("", permission::RECEIVE, &"b/warn".parse().unwrap());
    let warning = Some(format!(
        "cannot receive canmount property on b/warn: permission denied\nroot on the target's host{}{grant}",
        permission::GRANT
    ));
    assert_eq!(session.reply(), Some(Reply::Done { id: 1, failure: None, warning }));
    session.close().unwrap();
}

#[test]
fn a_refusal_is_told_at_once_and_the_rest_dropped() {
    // Nothing of the stream has to be seen before its receive is started.
    let mut session = Session::start(Config { allow: vec![Allow::Rekey], ..Config::default() });
    session.receive(1, "b/refuse");
    // Before any data or `End`.
    assert_eq!(session.done(), (1, Some(Refusal::Modified)));
    for _ in 0..5 {
        session.data(&stream(MAX_DATA)[..MAX_DATA]);
    }
    session.mark(FrameKind::End);
    session.receive(2, "b/x");
    session.data(&stream(100));
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (2, None));
    session.close().unwrap();
}

#[test]
fn one_that_is_killed_is_told_as_that_whatever_a_shell_adds() {
    for (dataset, more) in [("b/killed", ""), ("b/killed-shell", ": zfsync: line 1: 7578 Killed")] {
        let mut session = session();
        session.receive(1, dataset);
        session.data(&stream(1000));
        session.mark(FrameKind::End);
        let words = format!("zfs receive was killed by SIGKILL{more}");
        let failure = Some(Failure::new(Refusal::Killed, &words));
        assert_eq!(session.reply(), Some(Reply::Done { id: 1, failure, warning: None }));
        session.close().unwrap();
    }
}

#[test]
fn one_that_aborts_is_told_in_its_words() {
    let mut session = session();
    session.receive(1, "b/aborted");
    session.data(&stream(1000));
    session.mark(FrameKind::End);
    let failure = Some(Failure::new(Refusal::Other, "internal error: cannot receive: No such process"));
    assert_eq!(session.reply(), Some(Reply::Done { id: 1, failure, warning: None }));
    session.close().unwrap();
}

#[test]
fn an_abort_is_a_failure_whatever_has_arrived() {
    for dataset in ["b/x", "b/early", "b/stuck"] {
        let mut session = session();
        session.receive(1, dataset);
        session.data(&stream(1000));
        if dataset == "b/early" {
            thread::sleep(Duration::from_millis(100));
        }
        session.mark(FrameKind::Abort);
        // Whatever `zfs recv` made of it: `b/x` and `b/early` got all that they wanted.
        assert_eq!(session.done(), (1, Some(Refusal::Stream)), "{dataset}");
        session.close().unwrap();
        assert_eq!(session.host.running.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn an_incomplete_stream_is_a_failure() {
    let mut session = session();
    session.receive(1, "b/x");
    session.data(b"half");
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, Some(Refusal::Stream)));
    session.close().unwrap();
}

#[test]
fn a_receive_that_ends_before_the_end_mark_waits_for_it() {
    let mut session = session();
    session.receive(1, "b/punctual");
    session.data(&stream(100));
    thread::sleep(Duration::from_millis(200));
    session.request(&Request::Probe { id: 2, dataset: "b".parse().unwrap() });
    // The probe's answer comes first: nothing was said of the receive.
    assert!(matches!(session.reply(), Some(Reply::Probed { id: 2, encrypted: true, .. })));
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, None));
    session.close().unwrap();
}

#[test]
fn a_receive_that_ends_well_before_its_stream_does_has_failed() {
    let mut session = session();
    session.receive(1, "b/early");
    stream(3 << 20).chunks(1 << 16).for_each(|part| session.data(part));
    session.mark(FrameKind::End);
    let (id, failure) = session.done();
    assert_eq!((id, failure), (1, Some(Refusal::Stream)));
    session.close().unwrap();
}

#[test]
fn the_next_stream_runs_while_one_settles() {
    let mut session = session();
    for (id, dataset) in (0..).zip(["b/until-2", "b/until-3", "b/until-4", "b/x"]) {
        session.receive(id, dataset);
        session.data(&stream(5000));
        session.mark(FrameKind::End);
    }
    (0..4).for_each(|_| assert_eq!(session.done().1, None));
    assert_eq!(session.host.most_running.load(Ordering::SeqCst), 2, "two at a time");
    session.close().unwrap();
}

#[test]
fn a_vanished_sender_leaves_no_receive_behind() {
    for cut_in_frame in [false, true] {
        for dataset in ["b/x", "b/stuck"] {
            let mut session = session();
            session.receive(1, dataset);
            session.data(&stream(1000)[..1000]);
            if cut_in_frame {
                session.raw(&Header { kind: FrameKind::Data, len: 1000 }.encode());
                session.raw(&[0; 10]);
            }
            let closed = session.close();
            assert_eq!(closed.is_err(), cut_in_frame, "{closed:?}");
            assert_eq!(session.host.running.load(Ordering::SeqCst), 0);
        }
    }
}

#[test]
fn a_full_pipe_to_a_stuck_receive_does_not_hold_the_helper() {
    let mut session = session();
    session.receive(1, "b/stuck");
    session.data(&[begin(Some(Guid(1)), "p/x@s").to_bytes(), write(200_000)].concat());
    // More than fits anywhere: the feeder's pipe stays full.
    let feeder = session.input.take().unwrap();
    let fed = thread::spawn(move || {
        use std::io::Write;
        let mut feeder = feeder;
        let header = Header { kind: FrameKind::Data, len: 100_000 }.encode();
        feeder.write_all(&header).and_then(|()| feeder.write_all(&vec![0; 100_000]))
    });
    fed.join().unwrap().unwrap();
    let started = Instant::now();
    assert!(session.close().is_err());
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(session.host.running.load(Ordering::SeqCst), 0);
}

#[test]
fn a_sender_that_stops_reading_is_gone() {
    let mut session = session();
    session.receive(1, "b/x");
    session.output = None;
    // Its stdin is still open.
    let input = session.input.take();
    session.close().unwrap();
    drop(input);
}

#[test]
fn questions_are_answered_by_place() {
    let mut session = session();
    let names = ["b/x", "b/no", "b/x@s", "b/x", "-x", "b/x@", "b//x", "b/x#m"].map(String::from).to_vec();
    session.request(&Request::Ask { id: 9, names });
    let found = vec![(0, Guid(3), Txg(1)), (2, Guid(5), Txg(1)), (3, Guid(3), Txg(1))];
    assert_eq!(session.reply(), Some(Reply::Found { id: 9, found }));
    session.request(&Request::Ask { id: 10, names: vec!["b/fail".into()] });
    assert_eq!(session.done(), (10, Some(Refusal::Permission)));
    session.request(&Request::Ask { id: 11, names: vec!["b".into(); MAX_NAMES + 1] });
    assert_eq!(session.done(), (11, Some(Refusal::Other)));
    session.request(&Request::Ask { id: 12, names: vec!["-r".into()] });
    assert_eq!(session.reply(), Some(Reply::Found { id: 12, found: vec![] }));
    assert_eq!(session.host.finds.load(Ordering::SeqCst), 2);
    session.request(&Request::List { id: 13, datasets: vec!["b/x".parse().unwrap(), "b/no".parse().unwrap()] });
    assert!(matches!(session.reply(), Some(Reply::Listed { id: 13, snapshots, .. }) if snapshots.len() == 1));
    assert_eq!(session.done(), (13, None));
    session.close().unwrap();
}

#[test]
fn what_cannot_be_read_is_told_beside_the_rest() {
    let mut session = session();
    let names = vec!["b/x".into(), "b/torn@s".into(), "b/torn".into(), "b/torn".into()];
    session.request(&Request::Ask { id: 1, names });
    for name in ["b/torn@s", "b/torn"] {
        assert!(matches!(session.reply(), Some(Reply::Unread { id: 1, name: told, .. }) if told == name));
    }
    assert!(matches!(session.reply(), Some(Reply::Found { id: 1, found }) if found.len() == 1));
    session.request(&Request::List { id: 2, datasets: vec!["b/torn".parse().unwrap(), "b/x".parse().unwrap()] });
    assert!(matches!(session.reply(), Some(Reply::Unread { id: 2, name, .. }) if name == "b/torn"));
    assert!(matches!(session.reply(), Some(Reply::Listed { id: 2, .. })));
    assert!(matches!(session.reply(), Some(Reply::Done { id: 2, failure: None, .. })));
}

#[test]
fn a_tree_is_listed_as_its_datasets_are() {
    let roots = vec!["b/x".parse().unwrap(), "x/b/x y".parse().unwrap()];
    let mut session = Session::start(Config { roots, allow: vec![], ..Config::default() });
    let tree = |id, dataset: &str| Request::Tree { id, dataset: dataset.parse().unwrap() };
    session.request(&tree(1, "b/x"));
    for name in ["b/x", "b/x/x y", "b/x/no"] {
        let told = session.reply();
        assert!(matches!(&told, Some(Reply::Listed { id: 1, dataset, .. }) if dataset.as_str() == name), "{told:?}");
    }
    assert_eq!(session.done(), (1, None));
    // Neither what lies beside a root nor what lies above one.
    for (id, dataset) in [(2, "b/xx"), (3, "x/b"), (4, "b")] {
        session.request(&tree(id, dataset));
        assert_eq!(session.done(), (id, Some(Refusal::NotAllowed)));
    }
    session.close().unwrap();
    let mut open = self::session();
    open.request(&tree(5, "b/no"));
    assert!(matches!(open.reply(), Some(Reply::Listed { dataset, .. }) if dataset.as_str() == "b/no/x y"));
    assert_eq!(open.done(), (5, None));
    open.close().unwrap();
}

#[test]
fn a_few_questions_run_at_a_time_and_streams_pass_them() {
    let mut session = session();
    for id in 0..10 {
        session.request(&Request::Ask { id, names: vec!["b/slow".into()] });
    }
    session.receive(100, "b/x");
    session.data(&stream(10));
    session.mark(FrameKind::End);
    let mut ids: Vec<u64> = (0..11)
        .map(|_| match session.reply().unwrap() {
            Reply::Found { id, .. } | Reply::Done { id, failure: None, .. } => id,
            other => panic!("{other:?}"),
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..10).chain([100]).collect::<Vec<_>>());
    assert_eq!(session.host.asked.1.load(Ordering::SeqCst), 4);
    session.close().unwrap();
}

#[test]
fn answers_still_come_after_the_sender_closed_its_end() {
    let mut session = session();
    session.request(&Request::Ask { id: 1, names: vec!["b/slow".into()] });
    session.close().unwrap();
    assert!(matches!(session.reply(), Some(Reply::Found { id: 1, .. })));
}

#[test]
fn ancestors_come_first_and_their_failure_is_the_streams() {
    let mut session = session();
    let ancestors = ["b/a", "b/a/c"].map(|name| name.parse().unwrap()).to_vec();
    session.request(&Request::Receive { id: 1, receive: Receive { ancestors, ..receive("b/a/c/x") } });
    session.data(&stream(10));
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, None));
    assert_eq!(*session.host.created.lock().unwrap(), ["b/a", "b/a/c"]);
    let ancestors = vec!["b/denied".parse().unwrap()];
    session.request(&Request::Receive { id: 2, receive: Receive { ancestors, ..receive("b/denied/x") } });
    let Some(Reply::Done { id: 2, failure: Some(failure), .. }) = session.reply() else { panic!() };
    assert_eq!(failure.refusal, Refusal::Permission);
    // Nothing can be allowed on what doesn't exist, nor need it be in the whole pool.
    assert!(failure.words.contains("zfs create -o canmount=off 'b/denied' && zfs allow "), "{}", failure.words);
    assert!(failure.words.ends_with(" 'b/denied'"), "{}", failure.words);
    session.data(&stream(10));
    session.mark(FrameKind::Abort);
    session.close().unwrap();
}

#[test]
fn only_what_is_empty_is_filled() {
    let mut session = session();
    session.request(&Request::Receive { id: 1, receive: Receive { into_empty: true, ..receive("b/full") } });
    session.data(&full());
    assert_eq!(session.done(), (1, Some(Refusal::Exists)));
    session.mark(FrameKind::End);
    session.request(&Request::Receive { id: 2, receive: Receive { into_empty: true, ..receive("b/empty") } });
    session.data(&full());
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (2, None));
    assert_eq!(*session.host.filled.lock().unwrap(), ["b/empty"]);
    session.close().unwrap();
}

#[test]
fn nothing_outside_its_roots_is_told_or_touched() {
    let mut session =
        Session::start(Config { roots: vec!["b/x".parse().unwrap()], allow: vec![], ..Config::default() });
    let names = ["b/x", "b/xx", "b/x/x@s"].map(String::from).to_vec();
    session.request(&Request::Ask { id: 1, names });
    assert!(matches!(session.reply(), Some(Reply::Found { found, .. }) if found.len() == 2 && found[1].0 == 2));
    session.receive(2, "b/xx");
    assert_eq!(session.done(), (2, Some(Refusal::NotAllowed)));
    session.mark(FrameKind::Abort);
    let ancestors = vec!["b".parse().unwrap()];
    session.request(&Request::Receive { id: 3, receive: Receive { ancestors, ..receive("b/x/y") } });
    assert_eq!(session.done(), (3, Some(Refusal::NotAllowed)));
    session.mark(FrameKind::Abort);
    session.request(&Request::List { id: 4, datasets: vec!["b/xx".parse().unwrap()] });
    assert_eq!(session.done(), (4, None));
    session.request(&Request::Probe { id: 5, dataset: "c".parse().unwrap() });
    assert_eq!(session.done(), (5, Some(Refusal::NotAllowed)));
    assert!(session.host.created.lock().unwrap().is_empty());
    session.close().unwrap();
}

#[test]
fn a_silent_sender_is_taken_for_dead_and_pings_are_heard() {
    let silence = Duration::from_secs(2);
    let mut session = Session::start(Config { silence: Some(silence), ..Config::default() });
    session.receive(1, "b/x");
    let began = Instant::now();
    while began.elapsed() < silence + Duration::from_millis(500) {
        thread::sleep(Duration::from_millis(100));
        session.mark(FrameKind::Ping);
    }
    session.data(&stream(1000)[..=SIZE]);
    assert_eq!(session.done(), (1, Some(Refusal::Stream)), "its receive is ended, and nobody has closed anything");
    assert!(session.reply().is_none());
}

#[test]
fn what_lies_above_a_root_may_be_known() {
    let mut session =
        Session::start(Config { roots: vec!["x/b/c".parse().unwrap()], allow: vec![], ..Config::default() });
    let names = ["x", "x/b", "x/b@x", "x/d"].map(String::from).to_vec();
    session.request(&Request::Ask { id: 1, names });
    let told = session.reply();
    assert!(matches!(&told, Some(Reply::Found { found, .. }) if found.iter().map(|f| f.0).eq([0, 1])), "{told:?}");
    session.request(&Request::Probe { id: 2, dataset: "x/b".parse().unwrap() });
    assert!(matches!(session.reply(), Some(Reply::Probed { id: 2, .. })));
    session.close().unwrap();
}

fn resolutions() -> [Resolution; 3] {
    let dataset: zfs::name::DatasetName = "b/x".parse().unwrap();
    let aside = "b/x.zfsync-1".parse().unwrap();
    let (to, to_guid, loses) = ("s".parse().unwrap(), Guid(1), vec![Guid(2)]);
    [
        Resolution::Rollback { dataset: dataset.clone(), to, to_guid, loses: loses.clone() },
        Resolution::SetAside { dataset: dataset.clone(), aside, restore: vec![], top: true },
        Resolution::Replace { dataset, loses, whole: false },
    ]
}

#[test]
fn cures_need_their_permission() {
    let all = [Allow::Rollback, Allow::Rename, Allow::Destroy];
    for allowed in 0..=all.len() {
        let allow: Vec<Allow> = all[..allowed].to_vec();
        let mut session = Session::start(Config { roots: vec![], allow, ..Config::default() });
        for (at, resolution) in resolutions().into_iter().enumerate() {
            session.request(&Request::Resolve { id: at as u64, resolution });
            let Some(Reply::Done { failure, warning, .. }) = session.reply() else { panic!("no answer") };
            if at < allowed {
                assert_eq!((failure, warning.as_deref()), (None, Some("it was odd")));
            } else {
                let failure = failure.unwrap();
                assert_eq!(failure.refusal, Refusal::NotAllowed);
                assert!(failure.words.contains(&format!("--allow {}", all[at].word())), "{}", failure.words);
            }
        }
        assert_eq!(session.host.resolved.lock().unwrap().len(), allowed);
        let overwrite = Receive { overwrite: true, ..receive("b/plain") };
        session.request(&Request::Receive { id: 9, receive: overwrite.clone() });
        if allowed == all.len() {
            session.data(&full());
            session.mark(FrameKind::End);
            assert_eq!(session.done(), (9, None));
            let overwrite = Receive { dataset: "b/snap".parse().unwrap(), ..overwrite };
            session.request(&Request::Receive { id: 10, receive: overwrite });
            session.data(&full());
            assert_eq!(session.done(), (10, Some(Refusal::Changed)), "it has snapshots");
        } else {
            assert_eq!(session.done(), (9, Some(Refusal::NotAllowed)));
        }
        session.mark(FrameKind::Abort);
        session.close().unwrap();
    }
}

#[test]
fn a_cure_that_is_only_tried_needs_its_permission_and_changes_nothing() {
    let [rollback, ..] = resolutions();
    for (allow, refusal) in [(vec![], Refusal::NotAllowed), (vec![Allow::Rollback], Refusal::Held)] {
        let mut session = Session::start(Config { allow, ..Config::default() });
        session.request(&Request::TryResolve { id: 1, resolution: rollback.clone() });
        assert_eq!(session.done(), (1, Some(refusal)));
        session.close().unwrap();
        assert!(session.host.touched().is_empty());
    }
}

#[test]
fn cures_stay_within_the_roots() {
    let allow = vec![Allow::Rollback, Allow::Rename, Allow::Destroy];
    let [rollback, set_aside, replace] = resolutions();
    // Of the root itself only the snapshots may go; what is below it may move within it.
    let refused = Some(Refusal::NotAllowed);
    for (root, refusals) in [("b/x", [None, refused, refused]), ("b", [None, None, None])] {
        let roots = vec![root.parse().unwrap()];
        let mut session = Session::start(Config { roots, allow: allow.clone(), ..Config::default() });
        for (resolution, refusal) in [&rollback, &set_aside, &replace].into_iter().zip(refusals) {
            session.request(&Request::Resolve { id: 1, resolution: resolution.clone() });
            assert_eq!(session.done(), (1, refusal), "{root}: {resolution:?}");
        }
        session.close().unwrap();
    }
}

#[test]
fn a_tree_is_claimed_and_dates_are_told() {
    let mut session = Session::start(Config::default());
    let claim = |id, dataset: &str| {
        let (dataset, owner) = (dataset.parse().unwrap(), "me".into());
        Request::Lock { id, dataset, run: 7, owner }
    };
    session.request(&claim(1, "b/x"));
    assert_eq!(session.done(), (1, None));
    session.request(&claim(2, "b/taken"));
    assert_eq!(session.done(), (2, Some(Refusal::Locked)));
    let names = ["b/x@s", "b/x", "-r@s", "b/x@longer"].map(String::from).to_vec();
    session.request(&Request::Dates { id: 3, names });
    assert_eq!(session.reply(), Some(Reply::Dated { id: 3, dates: vec![(0, 5), (3, 10)] }));
    session.close().unwrap();
}

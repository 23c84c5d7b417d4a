//! Calls for another machine end within their limits, whatever that machine does; sessions are played by scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::process::start;
use super::run::{HANGS, run};
use crate::command::Turns;
use crate::{Away, Failure, Limits, Zfs};

const STARTS: &str = "echo ZFSYNC-PLAIN; echo ZFSYNC-PLAIN >&2;";

/// A host whose sessions are this script.
fn host(script: &str, turns: &Arc<Turns>, limits: Limits) -> Zfs {
    let session = ("sh".into(), vec!["-c".into(), script.into()]);
    Zfs::on(Away::new(session, vec!["zfs".into()], Arc::clone(turns), || {})).within(limits)
}

fn patient(milliseconds: u64) -> Limits {
    Limits { silence: Some(Duration::from_millis(milliseconds)), given_up: None }
}

fn ask(zfs: &Zfs, args: &[&str]) -> Result<(), Failure> {
    run(zfs.command(args), |mut output| Ok(std::io::copy(&mut output, &mut std::io::sink()).map(drop)?))
}

/// Two calls that hang, for each of which somebody waits.
fn two_that_hang(zfs: &Zfs) -> Vec<thread::JoinHandle<Result<(), Failure>>> {
    let spawn = |_| {
        let zfs = zfs.clone();
        thread::spawn(move || ask(&zfs, &["list"]))
    };
    (0..2).map(spawn).collect()
}

#[test]
fn the_wait_for_a_turn_counts() {
    let (turns, given_up) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let limits = Limits { silence: None, given_up: Some(Arc::clone(&given_up)) };
    let hanging = two_that_hang(&host("exec sleep 1000", &turns, limits));
    while turns.running() < [0, 2] {
        thread::yield_now();
    }
    let words = ask(&host(STARTS, &turns, patient(300)), &["list"]).unwrap_err().words;
    assert_eq!(
        words,
        "can't run zfs: as many sessions of its kind are open over the connection as may be (2), and none has ended in time"
    );
    given_up.store(true, Ordering::Relaxed);
    assert!(hanging.into_iter().all(|call| call.join().unwrap().unwrap_err().words == HANGS));
    // They have left their places.
    assert_eq!(ask(&host(STARTS, &turns, patient(60_000)), &["list"]), Ok(()));
}

#[test]
fn one_that_is_given_up_waits_for_no_turn() {
    let (turns, given_up) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    let others = Arc::new(AtomicBool::new(false));
    let limits = Limits { silence: None, given_up: Some(Arc::clone(&others)) };
    let hanging = two_that_hang(&host("exec sleep 1000", &turns, limits));
    while turns.running() < [0, 2] {
        thread::yield_now();
    }
    let limits = Limits { silence: None, given_up: Some(given_up) };
    assert!(ask(&host(STARTS, &turns, limits), &["list"]).unwrap_err().words.contains("none has ended in time"));
    others.store(true, Ordering::Relaxed);
    for call in hanging {
        assert_eq!(call.join().unwrap().unwrap_err().words, HANGS);
    }
}

#[test]
fn a_host_that_reads_no_arguments_holds_up_nobody() {
    let long = "x".repeat(100);
    let args = vec![long.as_str(); 20_000];
    let words = ask(&host("exec sleep 1000", &Arc::default(), patient(300)), &args).unwrap_err().words;
    assert_eq!(words, "can't run zfs: the host does not read its arguments");
}

#[test]
fn somebody_who_keeps_stderr_open_holds_up_nobody() {
    let script = format!("{STARTS} sleep 10 >/dev/null & exit 0");
    assert_eq!(ask(&host(&script, &Arc::default(), patient(500)), &["list"]).unwrap_err().words, HANGS);
}

#[test]
fn a_stream_gets_all_arguments_whatever_a_pipe_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("read");
    let script = format!("{STARTS} cat >{}", file.display());
    let zfs = host(&script, &Arc::default(), patient(60_000));
    let long = "x".repeat(3_000_000);
    let started = start(zfs.command(["recv", &long]), super::claims::Passage::default());
    let Ok(super::Started { stdin, mut words, process }) = started else { panic!("it was not started") };
    drop(stdin);
    std::io::copy(&mut words, &mut std::io::sink()).unwrap();
    assert_eq!(process.wait(), Ok(()));
    assert_eq!(std::fs::read_to_string(file).unwrap(), format!("3\n\x1f\nzfs\x1frecv\x1f{long}\n"));
}

/// As ssh does where sshd permits no session more (MaxSessions).
const REFUSES: &str =
    "{ echo 'mux_client_request_session: session request failed: Session open refused by peer' >&2; exit 255; }";

/// A host that refuses the first session, and then runs this.
fn refusing(dir: &std::path::Path, script: &str) -> String {
    let once = dir.join("refused");
    format!("mkdir {} 2>/dev/null && {REFUSES}; {script}", once.display())
}

#[test]
fn a_question_whose_session_is_refused_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let turns = Arc::default();
    let script = refusing(dir.path(), &format!("{STARTS} cat >{}", dir.path().join("read").display()));
    assert_eq!(ask(&host(&script, &turns, patient(60_000)), &["list"]), Ok(()));
    assert_eq!(std::fs::read_to_string(dir.path().join("read")).unwrap(), "2\n\x1f\nzfs\x1flist\n");
    // A host that refuses all of them is lost.
    let lost = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&lost);
    let session = ("sh".into(), vec!["-c".into(), REFUSES.into()]);
    let away = Away::new(session, vec!["zfs".into()], turns, move || tell.store(true, Ordering::Relaxed));
    let words = ask(&Zfs::on(away), &["list"]).unwrap_err().words;
    assert!(words.contains("Session open refused by peer") && lost.load(Ordering::Relaxed), "{words}");
}

#[test]
fn a_stream_whose_session_is_refused_gets_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let turns = Arc::default();
    let script = refusing(dir.path(), &format!("{STARTS} cat >{}", dir.path().join("read").display()));
    // More than a pipe holds: nobody reads what the first one was given.
    let long = "x".repeat(3_000_000);
    let started = start(host(&script, &turns, patient(60_000)).command(["recv", &long]), <_>::default());
    let Ok(super::Started { stdin, mut words, process }) = started else { panic!("it was not started") };
    drop(stdin);
    std::io::copy(&mut words, &mut std::io::sink()).unwrap();
    assert_eq!(process.wait(), Ok(()));
    let read = std::fs::read_to_string(dir.path().join("read")).unwrap();
    assert!(read == format!("3\n\x1f\nzfs\x1frecv\x1f{long}\n"), "{} bytes", read.len());
    let script = refusing(&dir.path().join("none"), REFUSES);
    let failure = start(host(&script, &turns, patient(60_000)).command(["recv", "p/x"]), <_>::default()).err().unwrap();
    assert!(failure.words.contains("Session open refused by peer"), "{}", failure.words);
}

#[test]
fn a_stream_that_nobody_waits_for_waits_for_no_turn() {
    let (turns, given_up) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let receives = host(&format!("{STARTS} exec cat >/dev/null"), &turns, patient(60_000));
    let start_one = |zfs: &Zfs| start(zfs.command(["recv", "p/x"]), super::claims::Passage::default());
    let others: Vec<_> = (0..crate::STREAMS).map(|_| start_one(&receives).ok().unwrap()).collect();
    let limits = Limits { silence: None, given_up: Some(Arc::clone(&given_up)) };
    let (tell, told) = std::sync::mpsc::channel();
    let waiting = host(STARTS, &turns, limits);
    thread::spawn(move || tell.send(start_one(&waiting).err().map(|failure| failure.words)));
    given_up.store(true, Ordering::Relaxed);
    let words = told.recv_timeout(Duration::from_secs(20)).expect("it waits for its turn").unwrap();
    assert!(words.contains("none has ended in time"), "{words}");
    // Its own limit counts, too.
    let words = start_one(&host(STARTS, &turns, patient(300))).err().unwrap().words;
    assert!(words.contains("none has ended in time"), "{words}");
    for super::Started { stdin, process, .. } in others {
        drop(stdin);
        assert_eq!(process.wait(), Ok(()));
    }
}

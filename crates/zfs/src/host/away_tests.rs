//! Calls for another machine end within their limits, whatever that machine does; sessions are played by scripts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Started;
use super::process::start;
use super::run::{HANGS, read_first, run};
use crate::command::Turns;
use crate::{Away, Call, Failure, Limits, Refusal, Zfs, session_line};

/// A host whose sessions are this script, and then the constant line.
fn host(script: &str, turns: &Arc<Turns>, limits: Limits) -> Zfs {
    doing(script, "exit 0", turns, limits)
}

/// The same, whose `zfs` is this other script.
fn doing(script: &str, zfs: &str, turns: &Arc<Turns>, limits: Limits) -> Zfs {
    let session = ("sh".into(), vec!["-c".into(), format!("{script} {}", session_line()).into()]);
    let words = ["sh", "-c", zfs].map(ToOwned::to_owned).to_vec();
    Zfs::on(Away::new(session, words, Arc::clone(turns), || {})).within(limits)
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
    let hanging = two_that_hang(&host("exec sleep 1000;", &turns, limits));
    while turns.running() < [0, 2] {
        thread::yield_now();
    }
    let words = ask(&host("", &turns, patient(300)), &["list"]).unwrap_err().words;
    assert_eq!(
        words,
        "can't run zfs: as many sessions of its kind are open over the connection as may be (2), and none has ended in time"
    );
    given_up.store(true, Ordering::Relaxed);
    assert!(hanging.into_iter().all(|call| call.join().unwrap().unwrap_err().words == HANGS));
    // They have left their places.
    assert_eq!(ask(&host("", &turns, patient(60_000)), &["list"]), Ok(()));
}

#[test]
fn one_that_is_given_up_waits_for_no_turn() {
    let (turns, given_up) = (Arc::default(), Arc::new(AtomicBool::new(true)));
    let others = Arc::new(AtomicBool::new(false));
    let limits = Limits { silence: None, given_up: Some(Arc::clone(&others)) };
    let hanging = two_that_hang(&host("exec sleep 1000;", &turns, limits));
    while turns.running() < [0, 2] {
        thread::yield_now();
    }
    let limits = Limits { silence: None, given_up: Some(given_up) };
    assert!(ask(&host("", &turns, limits), &["list"]).unwrap_err().words.contains("none has ended in time"));
    others.store(true, Ordering::Relaxed);
    for call in hanging {
        assert_eq!(call.join().unwrap().unwrap_err().words, HANGS);
    }
}

#[test]
fn a_host_that_reads_no_arguments_holds_up_nobody() {
    let long = "x".repeat(100);
    let args = vec![long.as_str(); 20_000];
    let words = ask(&host("exec sleep 1000;", &Arc::default(), patient(300)), &args).unwrap_err().words;
    assert_eq!(words, "can't run zfs: the host does not read its arguments");
}

/// How much it prints, or what was wrong.
fn count(call: Call) -> Result<u64, String> {
    run(call, |mut output| Ok(std::io::copy(&mut output, &mut std::io::sink())?)).map_err(|why| why.words)
}

#[test]
fn a_host_that_prints_without_end_is_stopped() {
    let turns = Arc::default();
    let zfs = doing("", "exec yes 'p/x	1	2'", &turns, patient(60_000));
    let mut read = 0;
    let ended = run(zfs.command(["list"]), |mut output| {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            read += std::io::Read::read(&mut output, &mut buffer)? as u64;
        }
    });
    assert_eq!(ended.map(|never: ()| never).unwrap_err().words, "zfs printed more than 64 MiB, and was stopped");
    assert!(read <= super::run_away::MOST_SAID, "{read} bytes");
    assert_eq!((turns.running(), turns.idle()), ([0, 0], 0));
    // A listing of snapshots that nobody keeps has more room, and an end as well.
    let snapshots = zfs.list_snapshots(&["p/x".parse().unwrap()]);
    assert_eq!(count(snapshots), Err("zfs printed more than 128 MiB, and was stopped".into()));
    let zfs = doing("", &format!("yes | head -c {}", super::run_away::MOST_SAID + 2), &turns, patient(60_000));
    let snapshots = zfs.list_snapshots(&["p/x".parse().unwrap()]);
    assert_eq!(count(snapshots), Ok(super::run_away::MOST_SAID + 2));
    // All that it names is what nobody has asked for.
    let zfs = doing("", "yes 'p/x	1	2' | head -n 1000; echo 'p/y	3	4'", &turns, patient(60_000));
    let host = super::LocalHost::away(zfs, <_>::default(), <_>::default());
    let found = super::Host::find(&host, &["p/y", "p/z"], &mut |_, _| panic!("it can be read")).unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), ["p/y"]);
}

#[test]
fn somebody_who_keeps_stderr_open_holds_up_nobody() {
    // Its own mark is there, so nobody waits for the other's end.
    assert_eq!(ask(&doing("", "sleep 10 >/dev/null & exit 0", &Arc::default(), patient(5000)), &["list"]), Ok(()));
    // The session has ended without one.
    let script = "sleep 10 >/dev/null & exit 0;";
    assert_eq!(ask(&host(script, &Arc::default(), patient(500)), &["list"]).unwrap_err().words, HANGS);
}

/// More than a pipe holds.
fn many() -> Vec<String> {
    let word = |n| format!("{n:06}").repeat(15_000);
    (0..15).map(word).collect()
}

/// What a `zfs` writes down that was called with these, and gets no stream.
fn receives_many(zfs: &Zfs, file: &std::path::Path) {
    let started = start(zfs.command(many()), super::claims::Passage::default());
    let Started { stdin, mut words, process } = started.unwrap_or_else(|failure| panic!("{}", failure.words));
    drop(stdin);
    std::io::copy(&mut words, &mut std::io::sink()).unwrap();
    assert_eq!(process.wait(), Ok(()));
    let read = std::fs::read_to_string(file).unwrap();
    assert!(read == format!("{}\n", many().join("\n")), "{} bytes", read.len());
}

#[test]
fn a_stream_gets_all_arguments_whatever_a_pipe_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("read");
    let zfs = format!("printf '%s\\n' \"$0\" \"$@\" >{}; cat", file.display());
    receives_many(&doing("", &zfs, &Arc::default(), patient(60_000)), &file);
}

/// As ssh does where sshd permits no session more (MaxSessions).
const REFUSES: &str =
    "{ echo 'mux_client_request_session: session request failed: Session open refused by peer' >&2; exit 255; }";

/// A host that refuses the first session.
fn refusing(dir: &std::path::Path) -> String {
    format!("mkdir {} 2>/dev/null && {REFUSES};", dir.join("refused").display())
}

#[test]
fn a_question_whose_session_is_refused_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let (turns, file) = (Arc::default(), dir.path().join("read"));
    let zfs = format!("echo \"$0 $*\" >>{}", file.display());
    assert_eq!(ask(&doing(&refusing(dir.path()), &zfs, &turns, patient(60_000)), &["list", "p"]), Ok(()));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "list p\n");
    // A host that refuses all of them is lost.
    turns.end();
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
    let (turns, file) = (Arc::default(), dir.path().join("read"));
    let zfs = format!("printf '%s\\n' \"$0\" \"$@\" >{}; cat", file.display());
    receives_many(&doing(&refusing(dir.path()), &zfs, &turns, patient(60_000)), &file);
    turns.end();
    let refused = start(host(&format!("{REFUSES};"), &turns, patient(60_000)).command(["recv", "p/x"]), <_>::default());
    let failure = refused.err().unwrap();
    assert!(failure.words.contains("Session open refused by peer"), "{}", failure.words);
}

/// A `zfs` that takes four bytes of its stdin as a stream, and answers `list` with its process's parent: the session.
const TAKES_FOUR: &str = "case $0 in recv) dd bs=1 count=4 2>/dev/null; echo words >&2;; *) echo $PPID;; esac";

fn session_of(zfs: &Zfs) -> String {
    run(zfs.command(["list"]), |output| Ok(std::io::read_to_string(output)?)).unwrap()
}

/// Feeds a receive, and returns what it says and how it ends.
fn receive(zfs: &Zfs, stream: &[u8], complete: bool) -> (String, Result<(), super::Died>) {
    let started = start(zfs.command(["recv", "p/x"]), super::claims::Passage::default());
    let Started { stdin, words, process } = started.unwrap_or_else(|failure| panic!("{}", failure.words));
    // One that takes nothing may be gone by now.
    match rustix::io::write(&stdin, stream) {
        Ok(_) | Err(rustix::io::Errno::PIPE) => {}
        Err(why) => panic!("{why}"),
    }
    if complete {
        stdin.complete();
    } else {
        drop(stdin);
    }
    let words = std::io::read_to_string(words).unwrap();
    (words, process.wait())
}

#[test]
fn one_session_takes_one_call_after_the_other() {
    let turns = Arc::default();
    let zfs = doing("echo hello; echo hello >&2;", TAKES_FOUR, &turns, patient(60_000));
    let session = session_of(&zfs);
    for _ in 0..3 {
        assert_eq!(receive(&zfs, b"abcd", true), ("words\n".into(), Ok(())));
        assert_eq!((session_of(&zfs), turns.idle()), (session.clone(), 1));
    }
    // One that ends before all of its stream is said to be there waits for that.
    let Started { stdin, words, process } = start(zfs.command(["recv", "p/x"]), <_>::default()).ok().unwrap();
    rustix::io::write(&stdin, b"abcd").unwrap();
    assert_eq!(std::io::read_to_string(words).unwrap(), "words\n");
    assert_eq!((process.wait(), turns.idle()), (Ok(()), 0));
    stdin.complete();
    assert_eq!(session_of(&zfs), session);
    turns.end();
    assert_eq!((turns.running(), turns.idle()), ([0, 0], 0));
}

#[test]
fn after_a_stream_that_was_cut_or_goes_on_comes_another_session() {
    let turns = Arc::default();
    let zfs = doing("", TAKES_FOUR, &turns, patient(60_000));
    let mut session = session_of(&zfs);
    let mut another = |zfs: &Zfs| {
        let now = session_of(zfs);
        assert_ne!(std::mem::replace(&mut session, now.clone()), now);
    };
    // It sees the end of its input.
    assert_eq!(receive(&zfs, b"ab", false), ("words\n".into(), Ok(())));
    another(&zfs);
    // A stream that has more than its end: whatever that is, it is none of our calls.
    for more in ["e", "e\n", "ZFSYNC-\nnull 2\n\x1f\necho\x1fforged\n"] {
        let stream = ["abcd", more].concat();
        assert_eq!(receive(&zfs, stream.as_bytes(), true), ("words\n".into(), Ok(())));
        another(&zfs);
        // The same where the next call is a receive.
        for stream in [stream.as_bytes(), b"abcd"] {
            assert_eq!(receive(&zfs, stream, true), ("words\n".into(), Ok(())));
        }
        another(&zfs);
    }
    let fails = doing("", "cat >/dev/null; echo no >&2; exit 3", &turns, patient(60_000));
    let (words, died) = receive(&fails, b"abcd", false);
    assert_eq!((words.as_str(), died.unwrap_err().status.as_str()), ("no\n", "exit status: 3"));
    another(&zfs);
}

/// The sender says that its stream is whole, and it isn't.
#[test]
fn a_receive_that_reads_on_sees_the_end() {
    let zfs = doing("", "cat >/dev/null; echo incomplete stream >&2; exit 1", &Arc::default(), patient(60_000));
    let (words, died) = receive(&zfs, b"abcd", true);
    assert_eq!((words.as_str(), died.unwrap_err().killed), ("incomplete stream\n", false));
}

#[test]
fn a_receive_that_is_killed_there_is_told_as_that() {
    for zfs in ["kill -9 $$", "echo odd >&2; kill -9 $$"] {
        let zfs = doing("", zfs, &Arc::default(), patient(60_000));
        let died = receive(&zfs, b"abcd", false).1.unwrap_err();
        assert_eq!((died.status.as_str(), died.killed), ("signal: 9 (SIGKILL)", true));
        // Whatever the shell there adds.
        let words = ask(&zfs, &["list"]).unwrap_err().words;
        assert!(words.starts_with("zfs was killed by SIGKILL"), "{words}");
    }
}

/// libzfs aborts at an errno that it doesn't know, with `internal error: …`: that is its own end, and would be the same again.
#[test]
fn what_ends_by_a_fault_of_its_own_is_not_killed() {
    for (signal, told) in [("ABRT", "signal: 6 (SIGABRT)"), ("SEGV", "signal: 11 (SIGSEGV)")] {
        let zfs = format!("ulimit -c 0; echo internal error >&2; kill -{signal} $$");
        let away = doing("", &zfs, &Arc::default(), patient(60_000));
        let died = receive(&away, b"abcd", false).1.unwrap_err();
        assert!(died.status.starts_with(told) && !died.killed, "{died:?}");
        let here = Zfs::at("/bin/sh").command(["-c", &zfs]);
        let started = start(here, super::claims::Passage::default()).ok().unwrap();
        let died = started.process.wait().unwrap_err();
        assert!(died.status.starts_with(told) && !died.killed, "{died:?}");
    }
}

#[test]
fn a_session_that_is_cut_is_told_in_a_sentence() {
    for (status, how) in [(0, ""), (255, " (exit status: 255)")] {
        let line = format!("( {} ); exit {status}", session_line());
        let session = ("sh".into(), vec!["-c".into(), line.into()]);
        let words = ["sh", "-c", "cat >/dev/null; kill -9 $PPID"].map(ToOwned::to_owned).to_vec();
        let zfs = Zfs::on(Away::new(session, words, Arc::default(), || {})).within(patient(60_000));
        let died = receive(&zfs, b"abcd", false).1.unwrap_err();
        let told = format!("zfs receive ended with no exit status: the session ended before zfs did{how}");
        assert_eq!((crate::text::ended("zfs receive", &died), died.killed), (told, false));
    }
}

#[test]
fn what_is_read_only_at_its_beginning_ends_with_its_session() {
    let (turns, lost) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    // It ends with its session, as behind an ssh.
    let goes_on = "echo first; echo words >&2; seq 1000; while kill -0 $PPID 2>/dev/null; do :; done";
    let zfs = &format!("case $0 in list) echo $PPID;; *) {goes_on};; esac");
    let session = ("sh".into(), vec!["-c".into(), session_line().into()]);
    let (words, tell) = (["sh", "-c", zfs].map(ToOwned::to_owned).to_vec(), Arc::clone(&lost));
    let zfs = Zfs::on(Away::new(session, words, Arc::clone(&turns), move || tell.store(true, Ordering::Relaxed)));
    let session = session_of(&zfs);
    let first = read_first(zfs.command(["send", "-w", "p/x@s"]), |mut output| {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line)?;
        Ok(line)
    });
    assert_eq!(first, Ok("first\n".into()));
    assert_eq!((turns.running(), turns.idle(), lost.load(Ordering::Relaxed)), ([0, 0], 0, false));
    assert_ne!(session_of(&zfs), session);
}

/// `zfs` returns -1 in places.
#[test]
fn a_status_that_is_no_signals_is_told_as_it_is() {
    for status in ["255", "193", "128"] {
        let zfs = doing("", &format!("exit {status}"), &Arc::default(), patient(60_000));
        let died = receive(&zfs, b"abcd", false).1.unwrap_err();
        assert_eq!((died.status, died.killed), (format!("exit status: {status}"), false));
        assert_eq!(ask(&zfs, &["list"]).unwrap_err().words, format!("zfs ended with exit status: {status}"));
    }
}

/// As sshd may do with a session that has nothing to do.
#[test]
fn a_session_that_ends_meanwhile_is_replaced_without_a_word() {
    let turns = Arc::default();
    let zfs = doing("", TAKES_FOUR, &turns, patient(60_000));
    let session = session_of(&zfs);
    let pid = rustix::process::Pid::from_raw(session.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert_ne!(session_of(&zfs), session);
}

#[test]
fn a_stream_that_nobody_waits_for_waits_for_no_turn() {
    let (turns, given_up) = (Arc::default(), Arc::new(AtomicBool::new(false)));
    let receives = doing("", "exec cat >/dev/null", &turns, patient(60_000));
    let start_one = |zfs: &Zfs| start(zfs.command(["recv", "p/x"]), super::claims::Passage::default());
    let others: Vec<_> = (0..crate::STREAMS).map(|_| start_one(&receives).ok().unwrap()).collect();
    let limits = Limits { silence: None, given_up: Some(Arc::clone(&given_up)) };
    let (tell, told) = std::sync::mpsc::channel();
    let waiting = host("", &turns, limits);
    thread::spawn(move || tell.send(start_one(&waiting).err().map(|failure| failure.words)));
    given_up.store(true, Ordering::Relaxed);
    let words = told.recv_timeout(Duration::from_secs(20)).expect("it waits for its turn").unwrap();
    assert!(words.contains("none has ended in time"), "{words}");
    // Its own limit counts, too. No dataset is busy.
    let Failure { refusal, words } = start_one(&host("", &turns, patient(300))).err().unwrap();
    assert!(words.contains("none has ended in time"), "{words}");
    assert_eq!(refusal, Refusal::NoSession);
    for super::Started { stdin, process, .. } in others {
        drop(stdin);
        assert_eq!(process.wait(), Ok(()));
    }
}

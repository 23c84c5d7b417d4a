//! Log and state files on a file system that doesn't answer hold up no run, and signals are heard meanwhile; that they lack something is
//! told. With a pipe that nobody reads, and with a FUSE file system of nobody in a mount namespace of the run's own.

mod support;

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal};
use support::{Bed, Ended, eventually, signal, zfsync};

/// Less than the time after which a file system is not waited for any longer.
const SOON: Duration = Duration::from_secs(15);

/// A pipe that takes nothing more, as long as nobody reads.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    (reader, writer)
}

/// Sends a signal again and again until the process has ended, which must be soon.
#[track_caller]
fn ends_by(mut child: Child, signals: Signal) -> Ended {
    let began = Instant::now();
    assert!(eventually(|| {
        signal(&child, signals);
        child.try_wait().unwrap().is_some()
    }));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    Ended::of(child)
}

#[test]
fn a_log_that_takes_nothing_holds_up_no_run() {
    let bed = Bed::new();
    bed.world_with_work(3);
    let (_reader, writer) = full_pipe();
    let mut command = bed.command(&["push", "--log-file", "/dev/stdout", "s", "d"]);
    let ended = Ended::of(command.stdout(writer).spawn().unwrap());
    ended.expect(
        0,
        &[
            "3 datasets in sync (3 updated",
            "lines are missing in the log /dev/stdout",
            "the file system has not answered for 20 s",
        ],
    );
}

#[test]
fn signals_are_heard_while_a_log_takes_nothing() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("on-recv", "touch \"$here/receiving\"; exec sleep 1000\n");
    let (_reader, writer) = full_pipe();
    let mut command = bed.command(&["push", "--log-file", "/dev/stdout", "s", "d"]);
    let child = command.stdout(writer).spawn().unwrap();
    bed.wait_for_file("receiving");
    ends_by(child, Signal::INT).expect(130, &["interrupted after", "lines are missing in the log", "a signal ended"]);
    bed.wait_for_no_process();
}

/// For a script of the fake `zfs`: from here on nobody gets an answer from the bed's `state`, in the run's mount namespace.
const SILENCE: &str = "mkdir -p \"$here/state\"; exec 3<>/dev/fuse\n\
     mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none \"$here/state\" || exit 9\n\
     sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >\"$here/keeper\"; exec 3<&-\n";

/// zfsync in a mount namespace of its own, after this program if there is one; `None` where that, or such a file system, isn't permitted.
fn apart(bed: &Bed, before: Option<&str>, args: &[&str]) -> Option<Child> {
    let may = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none /mnt";
    let tried = Command::new("unshare").args(["-m", "--", "sh", "-c", may]).stderr(Stdio::null()).status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("skipped: may not mount");
        return None;
    }
    let inner = bed.command(args);
    let mut command = Command::new("unshare");
    command.args(["-m", "--"]).args(before.map(|name| bed.path(name))).arg(zfsync()).args(args).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// The same where nobody gets an answer from the start.
fn apart_in_silence(bed: &Bed, args: &[&str]) -> Option<Child> {
    bed.script("silence", &format!("#!/bin/sh\nhere=${{0%/*}}\n{SILENCE}exec \"$@\"\n"));
    apart(bed, Some("silence"), args)
}

/// Ends what holds the silent file system.
struct Keeper<'a>(&'a Bed);

impl Drop for Keeper<'_> {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.0.path("keeper")).ok().and_then(|pid| pid.trim().parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_state_folder_that_does_not_answer_holds_up_no_run() {
    let bed = Bed::new();
    let state = bed.path("state").display().to_string();
    bed.world_with_work(3);
    bed.write("on-recv", &format!("case $last in d/1*)\n{SILENCE};; esac\n"));
    let Some(child) = apart(&bed, None, &["push", "-j", "1", "--state-dir", &state, "s", "d"]) else { return };
    let _keeper = Keeper(&bed);
    let words = ["3 datasets in sync (3 updated", "can't save results in the state directory", "not answered for 20 s"];
    Ended::of(child).expect(0, &words);
}

#[test]
fn signals_are_heard_while_a_state_folder_does_not_answer() {
    let bed = Bed::new();
    let state = bed.path("state").display().to_string();
    bed.world_with_work(2);
    bed.write(
        "on-recv",
        &format!("case $last in d/1*)\n{SILENCE};; *) touch \"$here/receiving\"; exec sleep 1000;; esac\n"),
    );
    let Some(child) = apart(&bed, None, &["push", "-j", "1", "--state-dir", &state, "s", "d"]) else { return };
    let keeper = Keeper(&bed);
    bed.wait_for_file("receiving");
    // The first one has arrived, and its result can't be written.
    assert!(eventually(|| bed.read("world").contains("d/1@b")));
    ends_by(child, Signal::TERM).expect(143, &["interrupted after", "can't save results in the state directory"]);
    drop(keeper);
    bed.wait_for_no_process();
}

#[test]
fn a_run_does_not_start_with_a_state_folder_that_does_not_answer() {
    let bed = Bed::new();
    let state = bed.path("state").display().to_string();
    bed.world_with_work(1);
    let Some(child) = apart_in_silence(&bed, &["push", "--state-dir", &state, "s", "d"]) else { return };
    let _keeper = Keeper(&bed);
    Ended::of(child).expect(3, &["can't use the state directory", "not answered for 20 s"]);
    assert!(!bed.read("world").contains("d/1@b"));
}

#[test]
fn what_is_destroyed_waits_only_so_long_for_its_record() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s@b", 12, 3)]);
    let prune = ["prune", "--foreign", "--keep-last", "1", "s"];
    let Some(child) = apart_in_silence(&bed, &prune) else { return };
    let _keeper = Keeper(&bed);
    let words = ["can't log what is destroyed (the run continues)", "not answered for 10 s"];
    Ended::of(child).expect(0, &words);
    assert!(bed.calls().iter().any(|call| call.starts_with("zfs destroy ")), "{:#?}", bed.calls());
}

#[test]
fn targets_that_were_never_tried_share_one_wait_for_a_state_folder() {
    let bed = Bed::new();
    let state = bed.path("state").display().to_string();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2)]);
    // It hangs from the moment on in which the snapshot fails.
    bed.write("on-snapshot", &format!("{SILENCE}echo 'cannot create snapshots: out of space' >&2; exit 1\n"));
    let began = Instant::now();
    let args = ["cron", "--state-dir", &state, "s", "d", "e", "f", "g"];
    let Some(child) = apart(&bed, None, &args) else { return };
    let _keeper = Keeper(&bed);
    let ended = Ended::of(child);
    assert!(ended.stderr.contains("out of space") && bed.path("keeper").exists(), "{}", ended.stderr);
    // Once for all four: 20 s each would be 80.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

//! Whatever stops moving is noticed, ended and told, and signals are heard meanwhile: a helper that doesn't greet, a host that
//! doesn't answer, a `zfs` that hangs, ssh's prompts. With a fake `zfs`, and over ssh with a loopback sshd of the test's own.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::sshd::{Manners, Sshd, available, left_clean, pushing, reached};
use support::terminal::Terminal;
use support::{Bed, Ended, eventually, signal};

/// No test may take so long that it could only have been ended by something else.
const SOON: Duration = Duration::from_secs(40);

fn in_time(command: &mut Command) -> Ended {
    let began = Instant::now();
    let ended = Ended::of(command.spawn().unwrap());
    assert!(began.elapsed() < SOON, "it took {:?}: {ended:#?}", began.elapsed());
    ended
}

/// Puts a script in front of the fake `zfs`; it ends with a call of that one.
fn before_zfs(bed: &Bed, script: &str) {
    fs::create_dir(bed.path("real")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    fs::create_dir(bed.path("real/bin")).unwrap();
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{script}\nexec \"$here/real/zfs\" \"$@\"\n"));
    // The fake one calls itself.
    fs::hard_link(bed.path("real/zfs"), bed.path("real/bin/zfs")).unwrap();
}

#[test]
fn a_helper_that_never_greets() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(1);
    for (script, words) in [
        ("exec sleep 20", "  nothing"),
        ("echo 'Which terminal?'; exec sleep 20", "  | Which terminal?"),
        ("while printf Z; do sleep .1; done", "  | ZZ"),
        ("exec yes ''", "no greeting from the helper on beta"),
    ] {
        bed.script("there", &format!("#!/bin/sh\n{script}\n"));
        let ended = in_time(&mut pushing(&bed, &["--stall-timeout", "1s", "s", "beta:d"]));
        ended.expect(3, &["no greeting from the helper on beta", words]);
    }
    left_clean(&bed);
}

/// The first channel greets, the others don't: the run does with what it has.
#[test]
fn further_helpers_that_never_greet() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(4);
    let there = bed.read("there");
    let once = format!("mkdir {} 2>/dev/null || exec sleep 20\nexec ", bed.path("greeted").display());
    bed.script("there", &there.replace("exec ", &once));
    let ended = in_time(&mut pushing(&bed, &["-j", "3", "--stall-timeout", "5s", "s", "beta:d"]));
    ended.expect(0, &["4 datasets in sync (4 updated"]);
    left_clean(&bed);
}

/// A lost connection is replaced by one whose helper never greets.
#[test]
fn a_replaced_connection_that_never_greets() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(1);
    let there = bed.read("there");
    let once = format!(
        "mkdir {} 2>/dev/null || exec sleep 20\necho $$ >{}\nexec ",
        bed.path("greeted").display(),
        bed.path("helper").display()
    );
    bed.script("there", &there.replace("exec ", &once));
    // The helper is killed as soon as it receives.
    bed.write("on-recv", "kill -9 $(cat \"$here/helper\")\nsleep 1\n");
    let args = ["-j", "1", "--retries", "1", "--stall-timeout", "5s", "s", "beta:d"];
    in_time(&mut pushing(&bed, &args)).expect(1, &["no connection left", "no greeting from the helper on beta"]);
    left_clean(&bed);
}

#[test]
fn a_run_reaches_its_later_jobs() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(1);
    bed.script("there", "#!/bin/sh\nexec sleep 20\n");
    bed.script("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", bed.path("ssh_config").display()));
    let config = format!(
        "[defaults]\nsnapshot.enabled = false\n[job.a]\nstall-timeout = '1s'\nsource = 's'\ntargets = ['beta:d']\n\
         ssh.remote-zfsync = '{}'\n[job.b]\nsource = 's'\ntargets = ['d']\n",
        bed.path("there").display()
    );
    bed.write("z.toml", &config);
    let ended = in_time(&mut bed.command(&["run", "--config", bed.path("z.toml").to_str().unwrap(), "-v"]));
    ended.expect(1, &["zfsync: a on ", "no greeting from the helper on beta", "\nd: ok"]);
    assert!(bed.read("world").contains("d/1@b"), "the second job did nothing: {ended:#?}");
}

/// Signals and the job's time limit are heard while the source's host is connected to.
#[test]
fn a_source_that_is_never_reached() {
    let bed = Bed::new();
    bed.script(
        "bin/ssh",
        "#!/bin/sh\ncase $* in *' -G '*|'-G '*) exit 0 ;; esac\n: >\"${0%/*}/../asked\"\nexec sleep 60\n",
    );
    let job = |limit: &str| format!("[job.a]\nsource = 'beta:s'\n{limit}");
    let config = bed.path("z.toml").display().to_string();
    bed.write("z.toml", &job(""));
    let mut child = bed.command(&["run", "--config", &config]).spawn().unwrap();
    bed.wait_for_file("asked");
    let began = Instant::now();
    signal(&child, Signal::INT);
    let code = child.wait().unwrap().code();
    assert!(began.elapsed() < SOON && code == Some(130), "{code:?} after {:?}", began.elapsed());
    left_clean(&bed);
    bed.write("z.toml", &job("job-timeout = '1s'\n"));
    in_time(&mut bed.command(&["run", "--config", &config])).expect(1, &["longer than its job-timeout"]);
    left_clean(&bed);
}

/// The time that ssh_config allows for it is all that a silent sshd gets.
#[test]
fn a_silent_sshd() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(1);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    bed.write("ssh_config", &format!("Host beta\n HostName 127.0.0.1\n Port {port}\n ConnectTimeout 1\n"));
    bed.write("there", "");
    let taken = Arc::new((Mutex::new(Vec::new()), AtomicUsize::new(0)));
    let kept = Arc::clone(&taken);
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            kept.1.fetch_add(1, Ordering::Relaxed);
            kept.0.lock().unwrap().push(connection);
        }
    });
    in_time(&mut pushing(&bed, &["s", "beta:d"])).expect(3, &["can't connect to beta", "timed out"]);
    assert_eq!(taken.1.load(Ordering::Relaxed), 1);
    left_clean(&bed);
}

/// The source's `zfs list` hangs after a refusal: other datasets go on, and the run ends by itself.
#[test]
fn a_zfs_list_that_hangs() {
    let bed = hanging_after_a_refusal();
    let child = bed.command(&["push", "-j", "2", "--stall-timeout", "4s", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("hangs");
    assert!(eventually(|| bed.read("world").contains("d/2@b")), "the other dataset waits");
    let began = Instant::now();
    // The plan does without what hangs.
    Ended::of(child).expect(0, &["2 datasets in sync (2 updated"]);
    assert!(began.elapsed() < SOON);
    bed.wait_for_no_process();
}

#[test]
fn signals_are_heard_while_zfs_list_hangs() {
    for (stop, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let bed = hanging_after_a_refusal();
        let child = bed.command(&["push", "-j", "2", "s", "d"]).spawn().unwrap();
        bed.wait_for_file("hangs");
        assert!(eventually(|| bed.read("world").contains("d/2@b")), "the other dataset waits");
        let began = Instant::now();
        signal(&child, stop);
        Ended::of(child).expect(code, &["interrupted after"]);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        bed.wait_for_no_process();
    }
}

/// The first receive into `d/1` is refused, and what the source is then asked about `s/1` never comes. `s/2` is sent after that.
fn hanging_after_a_refusal() -> Bed {
    let bed = Bed::new();
    bed.world_with_work(2);
    before_zfs(
        &bed,
        "case \"$*\" in\n'list -Hp -t filesystem,volume '*' s/1')\n[ ! -e \"$here/refused\" ] || { touch \"$here/hangs\"; exec sleep 1000; }\nesac",
    );
    bed.write(
        "on-recv",
        "case $last in d/1*) [ -e \"$here/refused\" ] || { touch \"$here/refused\"; echo 'cannot receive incremental stream: most \
         recent snapshot of d/1 does not match incremental source' >&2; exit 1; } ;; esac\n",
    );
    bed.write("on-send", "case $last in s/2*) while [ ! -e \"$here/hangs\" ]; do sleep .05; done ;; esac\n");
    bed
}

/// The bookmarks at the end hang: the first signal shortens the wait, the second ends it at once.
#[test]
fn two_signals_while_the_last_bookmarks_hang() {
    let bed = Bed::new();
    bed.world_with_work(1);
    before_zfs(&bed, "case \"$1\" in bookmark|program) touch \"$here/hangs\"; exec sleep 1000 ;; esac");
    let child = bed.command(&["push", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("hangs");
    assert!(eventually(|| bed.read("world").contains("d/1@b")));
    let began = Instant::now();
    signal(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, Signal::INT);
    Ended::of(child).expect(130, &["some bookmarks"]);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// A stream that takes longer than the stall timeout on the lowest channel: what is asked about another dataset meanwhile must neither
/// wait for it nor end it.
#[test]
fn a_question_beside_a_long_stream() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.write(
        "on-recv",
        "case $last in d/2*) [ -e \"$here/refused\" ] || { touch \"$here/refused\"; echo 'cannot receive incremental stream: most \
         recent snapshot of d/2 does not match incremental source' >&2; exit 1; } ;; esac\n",
    );
    // Until the other one has arrived, and some time more.
    bed.write(
        "on-send",
        "case $last in s/1*)\ncat \"$here/records/filesystem-increment\"\nmore=20\nwhile [ $more -gt 0 ]; do\n\
         cat \"$here/records/content\"\nprintf '\\nfiller %-504.504s' x\nsleep .2\n\
         grep -q d/2@b \"$here/world\" && more=$((more - 1))\ndone\n\
         cat \"$here/records/content\"\nprintf '\\nbrings %-504.504s' \"$(grep ^s/1@b \"$here/world\")\"\n\
         cat \"$here/records/end\"\nexit 0 ;;\nesac\n",
    );
    let ended = in_time(&mut bed.command(&["push", "-j", "2", "--stall-timeout", "3s", "s", "d"]));
    ended.expect(0, &["2 datasets in sync (2 updated"]).without(&["has not answered", "taken over", "interrupted"]);
    let sends = bed.calls().iter().filter(|call| call.starts_with("zfs send") && call.ends_with("s/1@b")).count();
    assert_eq!(sends, 1, "the long stream was destroyed: {:#?}", bed.calls());
}

/// With a single channel the question goes before the next stream.
#[test]
fn a_question_before_the_next_stream() {
    let bed = Bed::new();
    bed.world_with_work(3);
    bed.write(
        "on-recv",
        "case $last in d/1*) [ -e \"$here/refused\" ] || { touch \"$here/refused\"; echo 'cannot receive incremental stream: most \
         recent snapshot of d/1 does not match incremental source' >&2; exit 1; } ;; esac\n",
    );
    in_time(&mut bed.command(&["push", "-j", "1", "--stall-timeout", "3s", "s", "d"]))
        .expect(0, &["3 datasets in sync"]);
}

fn asking_bed() -> Option<(Bed, Sshd)> {
    let setsid = Command::new("setsid").arg("--version").output().is_ok_and(|output| output.status.success());
    if !available() || !setsid {
        eprintln!("skipped: needs ssh, sshd and setsid (util-linux)");
        return None;
    }
    let bed = Bed::new();
    bed.world_with_work(1);
    let sshd = Sshd::start(&bed, &Manners::default());
    let (old, new) = ("", "secret");
    let key = bed.path("key");
    let made = Command::new("ssh-keygen").args(["-q", "-p", "-P", old, "-N", new, "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    Some((bed, sshd))
}

fn asking(bed: &Bed) -> Vec<String> {
    let (config, there) = (bed.path("ssh_config"), bed.path("there"));
    ["push", "-F", config.to_str().unwrap(), "--remote-zfsync", there.to_str().unwrap(), "s", "beta:d"]
        .map(String::from)
        .to_vec()
}

#[test]
fn nothing_is_drawn_over_a_prompt() {
    let Some((bed, _sshd)) = asking_bed() else { return };
    let args = asking(&bed);
    let mut terminal = Terminal::start(&bed, &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(eventually(|| terminal.shown().contains("passphrase") && !terminal.echoes()), "{:?}", terminal.shown());
    // Long enough for many a spinner.
    std::thread::sleep(Duration::from_secs(1));
    let shown = terminal.shown();
    assert!(shown.ends_with(": ") && !shown.contains('\u{1b}'), "{shown:?}");
    terminal.master.write_all(b"secret\n").unwrap();
    assert!(terminal.child.wait().unwrap().success(), "{:?}", terminal.shown());
    // What it wrote last may still be on its way.
    assert!(eventually(|| terminal.shown().contains("in sync")), "{:?}", terminal.shown());
    left_clean(&bed);
}

#[test]
fn a_signal_at_a_prompt_leaves_the_terminal_as_it_was() {
    let Some((bed, _sshd)) = asking_bed() else { return };
    let args = asking(&bed);
    let mut terminal = Terminal::start(&bed, &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(eventually(|| terminal.shown().contains("passphrase") && !terminal.echoes()), "{:?}", terminal.shown());
    // setsid -w is its parent.
    let own = bed.processes().into_iter().find(|line| line.contains(" push ") && !line.contains("setsid")).unwrap();
    let pid = own.split(' ').next().unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    assert_eq!(terminal.child.wait().unwrap().code(), Some(143), "{:?}", terminal.shown());
    assert!(eventually(|| terminal.echoes()), "the terminal shows nothing any more");
    left_clean(&bed);
}

/// Runs of one account meet, whatever their session says.
#[test]
fn a_crontab_and_a_login_have_the_same_locks() {
    let bed = Bed::new();
    let target = format!("d/meet{}", std::process::id());
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 2, 1)]);
    bed.write("on-recv", "touch \"$here/receiving\"\nwhile [ ! -e \"$here/go\" ]; do sleep .05; done\n");
    let push = |runtime: Option<&str>| {
        let mut command = bed.command(&["push", "--retries", "0", "s", &target]);
        command.env_remove("ZFSYNC_LOCK_DIR").env_remove("XDG_RUNTIME_DIR");
        if let Some(dir) = runtime {
            command.env("XDG_RUNTIME_DIR", dir);
        }
        command
    };
    let first = push(None).spawn().unwrap();
    bed.wait_for_file("receiving");
    let own = bed.path("run");
    for runtime in [None, own.to_str(), Some("/nowhere/at/all"), Some("/root"), Some("/usr")] {
        in_time(&mut push(runtime)).expect(4, &["another zfsync run is already working on"]);
    }
    bed.write("go", "");
    Ended::of(first).expect(0, &[]);
    in_time(&mut push(own.to_str())).expect(0, &["nothing to do"]);
}

/// What `-j` asks for and doesn't get is told.
#[test]
fn more_streams_than_a_connection_carries() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(2);
    let words = ["-j 64: 1 connection carries 8 streams", "for 64 add --connections 8"];
    in_time(&mut pushing(&bed, &["-j", "64", "s", "beta:d"])).expect(0, &words);
    in_time(&mut pushing(&bed, &["-j", "8", "s", "beta:d"])).expect(0, &[]).without(&["-j 8"]);
}

/// A resolution waits until the stream that is to follow has begun. A signal meanwhile ends the run, and nothing is given up.
#[test]
fn a_signal_while_a_stream_is_tried_resolves_nothing() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 2, 1), ("d/t", 3, 1), ("d/t@own", 13, 3)]);
    bed.write(
        "on-send",
        ": >\"$here/tried\"; n=0\nuntil [ -e \"$here/go\" ] || [ $n -ge 600 ]; do sleep .05; n=$((n + 1)); done\n",
    );
    let child = bed.command(&["push", "--set-aside", "s", "d/t"]).spawn().unwrap();
    bed.wait_for_file("tried");
    signal(&child, Signal::TERM);
    let ended = Ended::of(child);
    bed.write("go", "");
    ended.expect(143, &[]);
    bed.wait_for_no_process();
    let takes = |call: &String| ["zfs rename ", "zfs recv "].iter().any(|start| call.starts_with(start));
    assert!(!bed.changes().iter().any(takes), "{:#?}", bed.changes());
    // Without a signal it does.
    bed.run(&["push", "--set-aside", "s", "d/t"])
        .expect(1, &["it could not be resolved: the fake zfs does not know: rename d/t "]);
    assert!(bed.changes().iter().any(|call| call.starts_with("zfs rename ")), "{:#?}", bed.changes());
}

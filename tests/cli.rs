//! The command line: usage errors, exit codes, what is printed. Where a run needs a `zfs` there is a fake one
//! (support/fake-zfs) and a TARGET on the same machine, so the helper is a child of zfsync. A fake proves nothing about
//! ZFS: what these tests show is how zfsync behaves towards whoever calls it.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;
use support::{Bed, Ended, eventually, has_zfs, signal};

/// Each line: arguments, and what stderr has to say.
#[track_caller]
fn usage_errors(cases: &[(&[&str], &str)]) {
    let bed = Bed::new();
    for (args, words) in cases {
        let ended = bed.run(args);
        ended.expect(2, &[words]);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains("--help"), "{args:?} is not told where to read more: {}", ended.stderr);
    }
    assert_eq!(bed.calls(), [""; 0], "something was started");
}

#[test]
fn missing_and_surplus_arguments() {
    usage_errors(&[
        (&["push"], "<SOURCE>"),
        (&["push", "a"], "<TARGET>"),
        (&["push", "a", "b", "c"], "unexpected argument 'c'"),
        (&["push", "a", "b", "--nope"], "unexpected argument '--nope'"),
        (&["recv"], "--stdio"),
        (&["nope"], "unrecognized subcommand 'nope'"),
    ]);
}

#[test]
fn options_out_of_range_or_in_conflict() {
    usage_errors(&[
        (&["push", "a", "b", "-j", "0"], "'0' for '--channels <N>': 0 is not in 1..=64"),
        (&["push", "a", "b", "-j", "65"], "65 is not in 1..=64"),
        (&["push", "a", "b", "--connections", "0"], "0 is not in 1..=64"),
        (&["push", "a", "b", "-j", "many"], "invalid digit"),
        (&["push", "a", "b", "-p", "65536"], "65536 is not in 1..=65535"),
        (&["push", "a", "b", "--depth", "-1"], "'-1'"),
        (&["push", "a", "b", "--depth", "1", "--no-recursive"], "cannot be used with"),
        (&["push", "a", "b", "-v", "-q"], "cannot be used with"),
        (&["push", "a", "b", "--exclude", "["], "--exclude \"[\": unclosed character class"),
        (&["push", "a", "b", "--include", "{x"], "--include \"{x\": "),
        (&["push", "a", "b:c", "--remote-zfsync", "'x"], "--remote-zfsync \"'x\" is no command: missing closing quote"),
        (&["push", "a", "b:c", "--remote-zfsync", ""], "is no command: it is empty"),
    ]);
}

#[test]
fn sources_that_are_none() {
    let long = format!("p/{}", "x".repeat(254));
    usage_errors(&[
        (&["push", "", "b"], "SOURCE: the name is empty"),
        (&["push", "p/a@s", "b"], "SOURCE: \"p/a@s\" is a snapshot; name the dataset (without '@...')"),
        (&["push", "p/a#m", "b"], "SOURCE: \"p/a#m\" is a bookmark"),
        (&["push", "p//a", "b"], "SOURCE: \"p//a\" has an empty component"),
        (&["push", "/p", "b"], "\"/p\" has an empty component"),
        (&["push", "p/", "b"], "\"p/\" has an empty component"),
        (&["push", "p/../q", "b"], "'.' or '..' as a component"),
        (&["push", "p/a;b", "b"], "SOURCE: \"p/a;b\" has the character ';'"),
        (&["push", "p/\u{e4}", "b"], "has the character '\u{e4}'"),
        (&["push", "p/a\nb", "b"], "has the character '\\n'"),
        (&["push", "1p", "b"], "a pool's name starts with a letter"),
        (&["push", &long, "b"], "SOURCE: the name has 256 bytes; ZFS allows 255"),
        (&["push", "beta:p", "b"], "SOURCE \"beta:p\" names a host"),
        (&["push", "me@beta:p", "b"], "names a host"),
    ]);
}

#[test]
fn targets_that_are_none() {
    let long = format!("beta:p/{}", "x".repeat(254));
    usage_errors(&[
        (&["push", "p", ""], "TARGET: the target's dataset: the name is empty"),
        (&["push", "p", ":b"], "TARGET: \":b\": the host is missing in front of ':'"),
        (&["push", "p", "me@:b"], "the host is missing"),
        (&["push", "p", "@beta:b"], "the host is missing"),
        (&["push", "p", "beta:"], "TARGET: \"beta:\": the dataset is missing behind ':'"),
        (&["push", "p", "[::1:b"], "an IPv6 address goes in brackets"),
        (&["push", "p", "--", "-oProxyCommand=x:b"], "TARGET: \"-oProxyCommand=x\" is no host or user name"),
        (&["push", "p", "--", "-l@beta:b"], "\"-l\" is no host or user name"),
        (&["push", "p", "me@-x:b"], "\"-x\" is no host or user name"),
        (&["push", "p", "be ta:b"], "\"be ta\" is no host or user name"),
        (&["push", "p", "$(x):b"], "\"$(x)\" is no host or user name"),
        (&["push", "p", "beta:b@s"], "the target's dataset: \"b@s\" is a snapshot"),
        (&["push", "p", "beta:b*"], "\"b*\" has the character '*'"),
        (&["push", "p", "beta:b//c"], "has an empty component"),
        (&["push", "p", &long], "the target's dataset: the name has 256 bytes; ZFS allows 255"),
    ]);
}

#[test]
fn a_tree_is_not_sent_into_itself() {
    let words = "overlap on the same machine: a tree can't be replicated into itself";
    usage_errors(&[
        (&["push", "p/a", "p/a"], words),
        (&["push", "p/a", "p/a/b"], words),
        (&["push", "p/a/b", "p"], words),
    ]);
}

#[test]
fn a_name_that_gets_too_long_over_there() {
    let bed = Bed::new();
    let long = format!("s/{}", "x".repeat(200));
    bed.world(&[("s", 1, 1), (&long, 2, 2), (&format!("{long}@a"), 3, 3), ("d", 4, 1)]);
    let target = format!("d/{}", "y".repeat(100));
    bed.run(&["push", "s", &target]).expect(2, &[&long, "the name has 303 bytes; ZFS allows 255"]);
}

#[test]
fn help_and_version() {
    let bed = Bed::without_zfs();
    let help = bed.run(&["--help"]);
    assert!(help.expect(0, &[]).stdout.contains("Exit codes:") && help.stderr.is_empty());
    let help = bed.run(&["push", "--help"]);
    for word in ["--dry-run", "--remote-zfsync", "Examples:", "SOURCE"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    assert!(!bed.run(&["--help"]).stdout.contains("generate"), "it is hidden");
    assert_eq!(bed.run(&["--version"]).expect(0, &[]).stdout, format!("zfsync {}\n", env!("CARGO_PKG_VERSION")));
    // Without any argument the help is the error.
    bed.run(&[]).expect(2, &["Usage: zfsync"]);
}

#[test]
fn nobody_reads_stdout_or_stderr() {
    let bed = Bed::new();
    bed.world_with_work(1);
    // Everything into a pipe that nobody reads: writes fail from the first on.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for args in [&["--help"][..], &["--version"], &["push", "--help"]] {
        let child = bed.command(args).stdout(closed()).spawn().unwrap();
        Ended::of(child).expect(0, &[]);
    }
    let child = bed.command(&["push", "-n", "s", "d"]).stdout(closed()).spawn().unwrap();
    Ended::of(child).expect(0, &[]);
    // Whoever wanted the events has not got them; the run itself goes on to its end.
    for args in [&["push", "-n", "--json", "s", "d"][..], &["push", "--json", "s", "d"]] {
        let child = bed.command(args).stdout(closed()).spawn().unwrap();
        Ended::of(child).expect(1, &["stdout was closed or not read"]);
    }
    assert_eq!(bed.calls().iter().filter(|call| call.starts_with("zfs recv")).count(), 1);
    // Neither stderr; the exit code still tells.
    let child = bed.command(&["push", "-v", "s", "d"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(Ended::of(child).code, Some(0));
    let child = bed.command(&["push", "s"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(Ended::of(child).code, Some(2));
}

#[test]
fn no_zfs_here() {
    if has_zfs() {
        return eprintln!("skipped: this machine has a zfs of its own");
    }
    let bed = Bed::without_zfs();
    let words =
        "no zfs command on this machine (looked in PATH, /sbin, /usr/sbin, /usr/local/sbin): is OpenZFS installed?";
    bed.run(&["push", "p", "beta:b"]).expect(3, &[words]);
    for path in ["", "bin:.", "/nonexistent"] {
        let child = bed.command(&["push", "p", "b"]).env("PATH", path).spawn().unwrap();
        Ended::of(child).expect(3, &[words]);
    }
    let child = bed.command(&["push", "p", "b"]).env_remove("PATH").spawn().unwrap();
    Ended::of(child).expect(3, &[words]);
    // What is called zfs and can't be run is none.
    bed.write("bin/zfs", "#!/bin/sh\n");
    bed.run(&["push", "p", "b"]).expect(3, &[words]);
}

/// Starts `recv --stdio`, writes `input`, closes, and returns how it ended.
fn helper(bed: &Bed, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = bed.command(&["recv", "--stdio"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have given up already.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_helper_greets_and_goes() {
    let bed = Bed::new();
    let (code, greeting, stderr) = helper(&bed, b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let greeting = String::from_utf8(greeting).unwrap();
    let json = greeting.strip_prefix("ZFSYNC-HELPER/2 ").and_then(|rest| rest.strip_suffix('\n')).unwrap();
    let hello: Value = serde_json::from_str(json).unwrap();
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["zfs_path"].as_str(), bed.path("bin/zfs").to_str());
    assert_eq!(bed.calls(), [""; 0], "a greeting must cost nothing");
    // Also with a stdin that was never open.
    let child = bed.command(&["recv", "--stdio"]).spawn().unwrap();
    Ended::of(child).expect(0, &[]);
}

#[test]
fn the_helper_survives_garbage() {
    let bed = Bed::new();
    let announced = [&[0, 0, 0, 9, 1, 0, 0, 0][..], b"{\"verb\":"].concat();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0",
        &[0xff; 4096],
        &[0, 0, 0, 2, 1, 0, 0, 0, b'{', b'}'],
        &[0, 0, 0, 1, 2, 0, 0, 0, b'x'],
        &announced,
    ] {
        let (code, _, stderr) = helper(&bed, garbage);
        assert_eq!(code, Some(1), "{garbage:?}: {stderr}");
        assert!(stderr.starts_with("zfsync helper: ") && !stderr.contains("panicked"), "{stderr}");
    }
}

#[test]
fn nothing_to_do() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s/x", 2, 1), ("s/x@a", 12, 2)]);
    bed.world(&[("d", 3, 1), ("d@a", 11, 5), ("d/x", 4, 1), ("d/x@a", 12, 5)]);
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(0, &["zfsync: 2 datasets in sync, nothing to do ("]);
    assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
    let before = bed.calls().len();
    bed.run(&["push", "s", "d"]).expect(0, &["nothing to do ("]);
    let calls = bed.calls().split_off(before);
    assert_eq!(
        calls.len(),
        3,
        "one listing here, one question and one list of names there, the bookmarks are there: {calls:#?}"
    );
    let before = bed.calls().len();
    let quiet = bed.run(&["push", "-q", "s", "d"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(bed.calls().len() - before, 2, "nobody would read what only the target has");
}

#[test]
fn something_to_do() {
    let bed = Bed::new();
    bed.world_with_work(3);
    bed.world(&[("s/4", 50, 9), ("s/5", 60, 9), ("s/5@z", 61, 10)]);
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(
        0,
        &[
            "6 datasets, 0 in sync, 4 steps to do",
            "s/1: @a -> @b, 1 snapshot",
            "s/5: full -> @z, 1 snapshot",
            "s/4: it has no snapshots, so there is nothing to send",
            "zfsync: 4 datasets in sync (4 updated, 2 without snapshots), 4 snapshots, ",
        ],
    );
    assert_eq!(ended.stdout, "");
    bed.run(&["push", "s", "d"]).expect(0, &["nothing to do"]);
    bed.wait_for_no_process();
}

#[test]
fn quiet_says_nothing_when_all_is_fine() {
    let bed = Bed::new();
    bed.world_with_work(2);
    let quiet = bed.run(&["push", "-q", "s", "d"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    assert!(bed.read("world").contains("d/2@b\t22\t"), "it was received");
}

#[test]
fn an_unknown_source() {
    let bed = Bed::new();
    bed.world(&[("d", 3, 1)]);
    bed.run(&["push", "s/none", "d"]).expect(3, &["can't list s/none on this machine", "dataset does not exist"]);
}

#[test]
fn no_pool_over_there() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2)]);
    bed.run(&["push", "s", "d/x"]).expect(3, &["this machine has no pool \"d\" for d/x"]);
}

#[test]
fn nothing_is_selected() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.run(&["push", "--include", "nothing", "s", "d"]).expect(0, &["no dataset is selected"]);
}

#[test]
fn nothing_in_common() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.world(&[("s/2", 90, 1), ("s/2@mine", 91, 2), ("d/2", 92, 1), ("d/2@yours", 93, 2)]);
    let words = [
        "s/2 -> d/2: conflict: no common snapshot",
        "common: -",
        "only here: @mine",
        "only there: @yours",
        "nothing was touched",
    ];
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &words).expect(1, &["zfsync: 1 of 3 datasets failed", "1 in sync (1 updated"]);
    assert!(bed.read("world").contains("d/1@b\t"), "the others go on");
    // Not even then is -q silent.
    bed.run(&["push", "-q", "s", "d"]).expect(1, &words);
    let dry = bed.run(&["push", "-n", "s", "d"]);
    assert!(dry.expect(1, &[]).stdout.contains("only there: @yours"), "{dry:#?}");
}

#[test]
fn diverged() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s@b", 12, 3), ("d", 2, 1), ("d@a", 11, 2), ("d@own", 13, 3)]);
    bed.write(
        "on-recv",
        "cat >/dev/null\nprintf 'cannot receive incremental stream: most recent snapshot of d does not\\nmatch incremental source\\n' >&2\nexit 1\n",
    );
    bed.run(&["push", "s", "d"]).expect(
        1,
        &["s -> d: conflict: the target has diverged after @a", "common: @a", "only here: @b", "only there: @own"],
    );
}

#[test]
fn no_permission_over_there() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("on-recv", "cat >/dev/null\necho \"cannot receive incremental stream: permission denied\" >&2\nexit 1\n");
    bed.run(&["push", "s", "d"]).expect(
        1,
        &["s/1 -> d/1: failed: cannot receive incremental stream: permission denied", "1 of 2 datasets failed"],
    );
    bed.wait_for_no_process();
}

#[test]
fn a_receive_that_ends_early() {
    let bed = Bed::new();
    bed.world_with_work(2);
    // It fails before it has read anything, while the stream is as long as it likes.
    bed.write("on-send", "cat \"$here/records/filesystem-increment\" /dev/zero\nexit\n");
    bed.write("on-recv", "echo 'cannot receive: out of space' >&2\nexit 1\n");
    bed.run(&["push", "s", "d"]).expect(1, &["out of space", "make room on the target", "2 of 3 datasets failed"]);
    bed.wait_for_no_process();
}

#[test]
fn a_send_that_fails() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.write("on-send", "case $last in s/1@*) echo 'warning: cannot send: unloaded keys' >&2; exit 1 ;; esac\n");
    bed.run(&["push", "s", "d"]).expect(1, &["s/1", "cannot send: unloaded keys", "1 of 3 datasets failed; 1 in sync"]);
    assert!(!bed.read("world").contains("d/1@b\t"));
    assert!(bed.read("world").contains("d/2@b\t"));
}

#[test]
fn a_second_run_finds_the_lock_held() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("on-send", "echo $$ >\"$here/sending\"\nexec sleep 1000\n");
    let first = bed.command(&["push", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("sending");
    let holder = format!("process {}", first.id());
    bed.run(&["push", "s", "d"]).expect(4, &["another zfsync run already works on d", &holder, "(lock "]);
    // To look is allowed, and so is another target.
    bed.run(&["push", "-n", "s", "d"]).expect(0, &[]);
    bed.run(&["push", "--no-recursive", "s", "d/1"]).without(&["another zfsync"]);
    signal(&first, Signal::TERM);
    Ended::of(first).expect(143, &[]);
    bed.wait_for_no_process();
    fs::remove_file(bed.path("on-send")).unwrap();
    bed.run(&["push", "s", "d"]).expect(0, &[]);
}

#[test]
fn signals_end_a_run_in_good_order() {
    for (what, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 143)] {
        let bed = Bed::new();
        bed.world_with_work(6);
        // The stream never ends, and the receive waits for more of it.
        bed.write("on-send", "exec sleep 1000\n");
        bed.write("on-recv", "echo $$ >\"$here/receiving\"\n");
        let run = bed.command(&["push", "s", "d"]).spawn().unwrap();
        bed.wait_for_file("receiving");
        signal(&run, what);
        Ended::of(run).expect(code, &["interrupted after", "nothing arrived"]);
        bed.wait_for_no_process();
        assert!(!bed.read("world").contains("d/1@b\t"));
    }
}

#[test]
fn a_signal_while_a_receive_hangs() {
    let bed = Bed::new();
    bed.world_with_work(1);
    // It reads nothing and goes away only when told.
    bed.write("on-send", "cat \"$here/records/filesystem-increment\" /dev/zero\nexit\n");
    bed.write("on-recv", "echo $$ >\"$here/receiving\"\nexec sleep 1000\n");
    let run = bed.command(&["push", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("receiving");
    signal(&run, Signal::INT);
    Ended::of(run).expect(130, &["interrupted after"]);
    bed.wait_for_no_process();
}

#[test]
fn the_second_signal_ends_at_once() {
    let bed = Bed::new();
    bed.world_with_work(1);
    // The whole stream is sent, and the receive never settles.
    bed.write(
        "on-recv",
        "cat >/dev/null\necho $$ >\"$here/receiving\"\nwhile [ ! -e \"$here/go\" ]; do sleep 0.05; done\n",
    );
    let mut run = bed.command(&["push", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("receiving");
    assert!(eventually(|| {
        if run.try_wait().unwrap().is_some() {
            return true;
        }
        signal(&run, Signal::INT);
        false
    }));
    Ended::of(run).expect(130, &["interrupted after"]);
    // The helper still gives the receive its time, as all of the stream is there.
    bed.write("go", "");
    bed.wait_for_no_process();
}

#[test]
fn the_dry_run_as_a_table() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.world(&[("s/3", 50, 9), ("s/4", 60, 9), ("s/4@y", 61, 10), ("s/4@z", 62, 11)]);
    let before = bed.read("world");
    let ended = bed.run(&["push", "--dry-run", "s", "d"]);
    ended.expect(0, &[]);
    assert_eq!(ended.stderr, "");
    let rows: Vec<Vec<&str>> = ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["DATASET", "TARGET", "ACTION", "FROM", "TO", "SNAPSHOTS", "SIZE"], "{}", ended.stdout);
    for row in [
        &["s/1", "d/1", "incremental", "@a", "@b", "1", "4.88", "KiB"][..],
        &["s/3", "d/3", "no", "snapshots"],
        &["s/4", "d/4", "full"],
    ] {
        assert!(rows.iter().any(|there| there.starts_with(row)), "no {row:?} in\n{}", ended.stdout);
    }
    assert_eq!(bed.read("world"), before);
    assert!(bed.calls().iter().all(|call| !call.starts_with("zfs recv") && !call.starts_with("zfs create")));
    assert_eq!(fs::read_dir(bed.path("run")).unwrap().count(), 0, "not even a lock is left");
}

#[test]
fn the_dry_run_as_json() {
    let bed = Bed::new();
    bed.world_with_work(2);
    let ended = bed.run(&["push", "-n", "--json", "s", "d"]);
    ended.expect(0, &[]);
    assert_eq!(ended.stderr, "");
    // Lines as those of a run, the last of them the plan.
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["event"].is_string()), "{lines:?}");
    let plan = lines.last().unwrap();
    assert_eq!((&plan["event"], &plan["bytes"]), (&Value::from("plan"), &Value::from(10_000)));
    let rows = plan["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["dataset"] == "s/2").unwrap();
    assert_eq!(row["target"], "d/2");
    assert_eq!(row["action"], "incremental");
    assert_eq!((&row["from"], &row["to"]), (&Value::from("@a"), &Value::from("@b")));
    assert_eq!((&row["snapshots"], &row["bytes"]), (&Value::from(1), &Value::from(5_000)));
}

/// The events of a run with `--json`, whose lines all are objects with a time that never goes back.
fn events(stdout: &str) -> Vec<Value> {
    assert!(stdout.ends_with('\n'));
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let times: Vec<&str> = events.iter().map(|event| event["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    events
}

#[test]
fn events_come_in_order() {
    let bed = Bed::new();
    bed.world_with_work(5);
    let ended = bed.run(&["push", "--json", "s", "d"]);
    ended.expect(0, &[]);
    assert_eq!(ended.stderr, "");
    let events = events(&ended.stdout);
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds[..2], ["connected", "planned"]);
    assert_eq!(kinds.iter().filter(|kind| **kind == "finished").count(), 1);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "finished");
    assert_eq!((&last["in_sync"], &last["updated"], &last["failed"]), (&5.into(), &5.into(), &0.into()), "{last}");
    let mut steps: Vec<u64> = events.iter().filter_map(|event| event["step"].as_u64()).collect();
    steps.sort_unstable();
    steps.dedup();
    assert_eq!(steps.len(), 5);
    for step in steps {
        let own: Vec<&Value> = events.iter().filter(|event| event["step"] == step).collect();
        let own_kinds: Vec<&str> = own.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let place = |kind: &str| {
            own_kinds.iter().position(|own| *own == kind).unwrap_or_else(|| panic!("no {kind}: {own_kinds:?}"))
        };
        assert_eq!(place("step_started"), 0);
        assert!(
            place("step_estimated") < place("step_done") && place("step_sent") < place("step_done"),
            "{own_kinds:?}"
        );
        assert_eq!(own_kinds.last(), Some(&"step_done"));
        assert!(own.last().unwrap()["bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn a_failure_is_an_event_too() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.world(&[("s/3", 90, 1), ("s/3@mine", 91, 2), ("d/3", 92, 1), ("d/3@yours", 93, 2)]);
    let ended = bed.run(&["push", "--json", "s", "d"]);
    ended.expect(1, &[]);
    let events = events(&ended.stdout);
    let failed = events.iter().find(|event| event["event"] == "dataset_failed").unwrap();
    assert_eq!(
        (&failed["dataset"], &failed["target"], &failed["kind"]),
        (&"s/3".into(), &"d/3".into(), &"conflict".into())
    );
    let finished = events.last().unwrap();
    assert_eq!((&finished["failed"], &finished["failures"][0][0]), (&1.into(), &"s/3".into()));
}

#[test]
fn output_goes_out_while_it_happens() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("on-send", "while [ ! -e \"$here/go\" ]; do sleep 0.05; done\n");
    let mut run = bed.command(&["push", "--json", "s", "d"]).spawn().unwrap();
    let mut stdout = run.stdout.take().unwrap();
    // The step waits for us to have read of its start.
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("step_started") {
        let mut some = [0; 4096];
        let read = stdout.read(&mut some).unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&some[..read]);
    }
    bed.write("go", "");
    stdout.read_to_end(&mut seen).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert!(String::from_utf8(seen).unwrap().contains("\"finished\""));
}

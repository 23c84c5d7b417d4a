//! A push as whoever calls it sees it: what is printed, exit codes, signals, the dry run, events. With a fake `zfs`
//! (support/fake-zfs) and a TARGET on the same machine, so the helper is a child of zfsync. A fake proves nothing about ZFS.

mod support;

use std::fs;
use std::io::Read;

use rustix::process::Signal;
use serde_json::Value;
use support::{Bed, Ended, eventually, signal};

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
        4,
        "one listing and one look at the notes here, one question and one list of names there, the bookmarks are there: {calls:#?}"
    );
    let before = bed.calls().len();
    let quiet = bed.run(&["push", "-q", "s", "d"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(bed.calls().len() - before, 3, "nobody would read what only the target has");
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
            "s/4: no snapshots, so there is nothing to send",
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
    bed.run(&["push", "s/none", "d"]).expect(
        3,
        &[
            "can't list s/none on this machine",
            "dataset does not exist",
            "'zfs list' shows the datasets of this machine",
        ],
    );
}

#[test]
fn no_pool_over_there() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2)]);
    bed.run(&["push", "s", "d/x"]).expect(
        3,
        &[
            "this machine has no pool \"d\" for d/x",
            "if it is on another host, write HOST:d/x; if \"d\" is the host, write d:x",
        ],
    );
    bed.run(&["push", "s", "d"]).expect(
        3,
        &[
            "this machine has no pool \"d\": create or import it here",
            "did you mean the host \"d\"? Then write d:DATASET\n",
        ],
    );
    bed.world(&[("backup7", 2, 1)]);
    bed.run(&["push", "s", "backup8/x"])
        .expect(3, &["no pool \"backup8\" for backup8/x", "(zpool list shows the pools; similar names: backup7)"]);
}

#[test]
fn nothing_is_selected() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let words = "nothing to replicate: no dataset of s is selected; check --include and --exclude";
    for flags in [&[][..], &["-q"], &["-n"], &["--json"]] {
        let ended = bed.run(&[&["push", "--include", "nothing"], flags, &["s", "d"]].concat());
        ended.expect(1, &[]);
        assert!([&ended.stderr, &ended.stdout].iter().any(|said| said.contains(words)), "{flags:?}: {ended:#?}");
    }
}

/// To call it a success would claim a copy. One dataset with a snapshot is enough.
#[test]
fn there_is_no_snapshot() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s/x", 2, 1), ("d", 3, 1)]);
    let words = ["nothing to replicate: none of the 2 selected datasets has a snapshot", "zfsync snapshot s"];
    bed.run(&["push", "s", "d"]).expect(1, &words);
    bed.run(&["push", "-q", "s", "d"]).expect(1, &words);
    bed.run(&["push", "-n", "s", "d"]).expect(1, &words);
    let state = bed.path("state").display().to_string();
    bed.run(&["push", "-q", "--state-dir", &state, "s", "d"]).expect(1, &words);
    bed.run(&["status", "--state-dir", &state, "s", "d"]).expect(3, &words);
    bed.world(&[("s/x@a", 4, 2)]);
    bed.run(&["push", "s", "d"]).expect(0, &["1 dataset in sync", "1 without snapshots"]);
}

#[test]
fn nothing_in_common() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.world(&[("s/2", 90, 1), ("s/2@mine", 91, 2), ("d/2", 92, 1), ("d/2@yours", 93, 2)]);
    let words = [
        "s/2 -> d/2: conflict: no common snapshot",
        "only on the source: @mine",
        "only on the target: @yours",
        "nothing was changed",
    ];
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &words).expect(1, &["zfsync: 1 of 3 datasets in conflict", "1 in sync (1 updated"]);
    assert!(bed.read("world").contains("d/1@b\t"), "all others are still replicated");
    // Not even then is -q silent.
    bed.run(&["push", "-q", "s", "d"]).expect(1, &words);
    let dry = bed.run(&["push", "-n", "s", "d"]);
    assert!(dry.expect(1, &[]).stdout.contains("only on the target: @yours"), "{dry:#?}");
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
        &[
            "s -> d: conflict: the target has diverged after @a",
            "common: @a",
            "only on the source: @b",
            "only on the target: @own",
        ],
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
    bed.run(&["push", "s", "d"]).expect(1, &["out of space", "free space on the target", "2 of 3 datasets failed"]);
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

/// Another tool prunes meanwhile: the base goes when it is about to be sent from, then what was to be sent.
#[test]
fn what_is_pruned_meanwhile_is_planned_anew() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s@b", 12, 3), ("s@c", 13, 4), ("s@d", 14, 5)]);
    bed.world(&[("d", 2, 1), ("d@a", 11, 2), ("d@b", 12, 3)]);
    let prune = |first: &str| {
        format!(
            "if mkdir \"$here/pruned\" 2>/dev/null; then grep -v {first} \"$here/world\" >\"$here/w\"; mv \"$here/w\" \"$here/world\"; fi
            for name in \"$last\" \"${{last%%@*}}$base\"; do
                cut -f 1 \"$here/world\" | grep -qxF \"$name\" || {{ echo \"cannot open '$name': dataset does not exist\" >&2; exit 1; }}
            done\n"
        )
    };
    bed.write("on-send", &prune("'s@b'"));
    // Without a bookmark of the base, which would do as well.
    let told = bed.run(&["push", "-v", "--no-bookmark", "s", "d"]);
    told.expect(0, &["s: refused, listing the target to plan anew: ", "s: @a -> @d", "1 dataset in sync"]);
    assert!(bed.read("world").contains("d@d\t14\t"), "{}", bed.read("world"));
    std::fs::remove_dir(bed.path("pruned")).unwrap();
    bed.world(&[("s@e", 15, 6), ("s@f", 16, 7)]);
    bed.write("on-send", &prune("'s@f'"));
    bed.run(&["push", "s", "d"]).expect(0, &["s: @d -> @e", "1 dataset in sync"]);
    // Without end it isn't tried.
    bed.world(&[("s@g", 17, 8)]);
    bed.write("on-send", "echo \"cannot open '$last': dataset does not exist\" >&2; exit 1\n");
    bed.run(&["push", "s", "d"])
        .expect(1, &["destroyed or renamed on the source's host during the run", "1 of 1 dataset failed"]);
}

#[test]
fn a_second_run_finds_the_lock_held() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("on-send", "echo $$ >\"$here/sending\"\nexec sleep 1000\n");
    let first = bed.command(&["push", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("sending");
    let holder = format!("process {}", first.id());
    let look = format!("see ps -o pid,stat,etime,args -p {} on this machine", first.id());
    bed.run(&["push", "s", "d"])
        .expect(4, &["another zfsync run is already working on d", &format!("{holder}, since 2"), "(lock ", &look]);
    // To look is allowed, and so is another target.
    bed.run(&["push", "-n", "s", "d"]).expect(0, &[]);
    bed.run(&["push", "--no-recursive", "s", "d/1"])
        .expect(4, &["another run is already working on d/1", &holder, " (helper process ", "kill -CONT "])
        .without(&["another zfsync", &look]);
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
        Ended::of(run).expect(code, &["interrupted after", "no snapshot received; the next run continues"]);
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
fn a_dry_run_tells_what_only_the_target_has_in_its_rows_or_beside_them() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.world(&[("d/9", 70, 1), ("d/9@a", 71, 2)]);
    let words = "only on the target: 1 dataset";
    let beside = bed.run(&["push", "-n", "s", "d"]);
    assert!(beside.stderr.contains(words) && !beside.stdout.contains("d/9"), "{beside:#?}");
    let in_rows = bed.run(&["push", "-n", "--delete-missing", "datasets", "s", "d"]);
    assert!(in_rows.stdout.contains("d/9") && !in_rows.stderr.contains(words), "{in_rows:#?}");
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

/// A copy is not pushed onto what it is a copy of, whatever the options; restored it can be, and it can become the source.
#[test]
fn source_and_target_swapped() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s/x", 3, 1), ("d", 2, 1), ("d@a", 11, 2), ("d@b", 12, 3)]);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by = zfs::hash::stable(&format!("{host}:s")) >> 32;
    let at = zfs::hash::stable("") & 0xffff_ffff;
    bed.write("properties", &format!("d\tzfsync:received\t{by:08x}.{at:08x}-000000000000000b\n"));
    let words = [
        "s is recorded as the source of the copy d: are SOURCE and TARGET swapped?",
        "zfs inherit -r zfsync:received 'd'",
    ];
    for options in [&[][..], &["-n"], &["--rollback"]] {
        bed.run(&[&["push"], options, &["d", "s"]].concat()).expect(2, &words);
    }
    assert!(!bed.read("world").contains("s@b"));
    bed.run(&["push", "s", "d"]).expect(0, &[]);
    // What is something else, or does not exist yet, is not where it came from.
    bed.world(&[("e", 9, 1)]);
    bed.run(&["push", "d", "e/further"]).expect(0, &["1 dataset in sync"]).without(&["swapped"]);
    bed.run(&["push", "d", "s/new"]).expect(0, &["1 dataset in sync"]).without(&["swapped"]);
    bed.run(&["restore", "d", "s/back"]).expect(0, &["1 dataset in sync"]);
    bed.write("properties", "");
    bed.run(&["push", "d", "s"]).expect(0, &["d: @a -> @b"]).without(&["swapped"]);
}

#[test]
fn a_new_target_that_got_nothing_can_be_forgotten() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("e", 9, 1)]);
    bed.write("on-recv", "echo 'cannot receive: permission denied' >&2; exit 1\n");
    let words = "no snapshot is known to have arrived at e/typo, but it is recorded on s: pruning keeps the snapshots that it may need; \
                 if it was named by mistake: zfsync forget s e/typo";
    bed.run(&["push", "--retries", "0", "s", "e/typo"]).expect(1, &["permission denied", words]);
    bed.run(&["push", "--retries", "0", "s", "e/typo"]).expect(1, &[words]);
    bed.run(&["forget", "s", "e/typo"]).expect(0, &[]);
    fs::remove_file(bed.path("on-recv")).unwrap();
    bed.run(&["push", "s", "e/right"]).expect(0, &[]).without(&["zfsync forget"]);
    bed.write("on-recv", "echo 'cannot receive: permission denied' >&2; exit 1\n");
    bed.world(&[("s@b", 12, 9)]);
    bed.run(&["push", "--retries", "0", "s", "e/right"]).expect(1, &["permission denied"]).without(&["zfsync forget"]);
}

#[test]
fn a_replace_that_names_nothing_in_conflict_is_told() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 3), ("d", 2, 1), ("d@a", 11, 3)]);
    for args in [&["push", "-n"][..], &["push"]] {
        let ended = bed.run(&[args, &["--replace", "d/nix", "--replace", "d", "s", "d"]].concat());
        let told = |name: &str| format!("--replace '{name}': no such dataset is in conflict; ignored\n");
        ended.expect(0, &[&told("d/nix"), &told("d")]);
    }
}

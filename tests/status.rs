//! `zfsync status` on the command line, with a fake `zfs` and targets on this machine: exit codes, what is printed and where,
//! and that nothing is changed.

mod support;

use rustix::process::Signal;
use serde_json::Value;
use support::{Bed, Ended, eventually, signal};

/// One dataset in sync, one behind, and another target where everything is missing.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("s", 1, 1),
        ("s@a", 11, 3),
        ("s/x y", 2, 1),
        ("s/x y@a", 21, 3),
        ("s/x y@b", 22, 5),
        ("d", 3, 1),
        ("d@a", 11, 9),
        ("d/x y", 4, 1),
        ("d/x y@a", 21, 9),
        ("e", 5, 1),
    ]);
    bed
}

#[test]
fn what_is_behind_is_listed_and_the_rest_is_counted() {
    let bed = bed();
    let ended = bed.run(&["status", "s", "d"]);
    ended.expect(0, &[]);
    assert!(ended.stdout.starts_with("s -> d: 2 datasets: 1 behind, 1 in sync\n"), "{ended:#?}");
    assert_eq!(ended.stdout.lines().count(), 3, "{ended:#?}");
    let calls = bed.calls();
    assert!(calls.iter().all(|call| call.starts_with("zfs list ")), "more than listings: {calls:#?}");
    let left: Vec<_> = std::fs::read_dir(bed.path("run")).unwrap().collect();
    assert!(left.is_empty(), "a lock or something else was left: {left:?}");
}

#[test]
fn limits_decide_the_exit_code() {
    let bed = bed();
    // Made in 1970: behind by more than a year.
    for (args, code, word) in [
        (&["status", "--warn", "1h", "s", "d"][..], 1, "WARNING - 1 behind for more than 1 h 0 min, 1 in sync"),
        (
            &["status", "--warn", "1h", "--crit", "2d", "s", "d"],
            2,
            "CRITICAL - 1 behind for more than 2 d 0 h, 1 in sync",
        ),
        (&["status", "--crit", "2d", "--exclude", "x*", "s", "d"], 0, "OK - 1 in sync"),
        (&["status", "--crit", "2d", "s", "d", "e/f"], 2, "CRITICAL - 2 missing, 1 behind"),
        (&["status", "s", "d", "e/f"], 2, "s -> d: "),
    ] {
        let ended = bed.run(args);
        ended.expect(code, &[]);
        assert!(ended.stdout.starts_with(word), "{args:?}: {ended:#?}");
    }
    bed.run(&["status", "nope", "d"]).expect(3, &["dataset does not exist"]);
    bed.run(&["status", "s", "s/x"]).expect(2, &["overlap", "zfsync status --help"]);
}

#[test]
fn nothing_to_compare_is_unknown() {
    let bed = bed();
    bed.world(&[("v", 9, 1), ("v/kid", 8, 1)]);
    for (args, line) in [
        (&["status", "v", "d"][..], "v -> d: "),
        (&["status", "--crit", "1h", "v", "d"], "UNKNOWN - nothing to replicate (v on 1 target)"),
    ] {
        let ended = bed.run(args);
        ended.expect(3, &["none of the 2 selected datasets has a snapshot", "zfsync snapshot v"]);
        assert!(ended.stdout.starts_with(line), "{ended:#?}");
    }
    bed.run(&["status", "--include", "nothing", "s", "d"]).expect(3, &["no dataset of s is selected"]);
}

#[test]
fn a_target_that_was_written_to_is_in_conflict() {
    let bed = bed();
    bed.write("modified", "d\t1024\nd/x y\t2048\n");
    let ended = bed.run(&["status", "s", "d"]);
    ended.expect(2, &[]);
    for words in [
        "s -> d: 2 datasets: 1 in conflict, 1 in sync\n",
        "s: the target was written to since its newest snapshot (1.00 KiB); a push of a newer one reports a conflict\n",
        "s/x y: the target was written to since @a, the newest common snapshot (2.00 KiB); a push reports a conflict\n",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended:#?}");
    }
    // By the questions that are asked anyway.
    let calls = bed.calls();
    assert!(calls.iter().all(|call| !call.contains("written@")), "{calls:#?}");
}

#[test]
fn globs_that_match_nothing_are_told() {
    let bed = bed();
    let hint = "--exclude \"nope\" matches no dataset of s";
    let of = |form: &[&str]| bed.run(&[&["status", "--exclude", "nope", "--exclude", "x*", "s", "d"], form].concat());
    of(&["-v"]).expect(0, &[hint]).without(&["\"x*\""]);
    // Not again and again to what reads it.
    for form in [&[][..], &["--json"][..], &["--prometheus"], &["--warn", "1d"], &["--crit", "1d"]] {
        of(form).expect(0, &[]).without(&[hint]);
    }
}

#[test]
fn a_glob_needs_to_match_in_one_of_the_sources_of_a_job() {
    let bed = bed();
    bed.world(&[("t", 6, 1), ("t@a", 61, 3)]);
    bed.write("z.toml", "[job.a]\nsources = ['s', 't']\ntargets = ['e']\nexclude = ['x*', 'nope']\n");
    let config = bed.path("z.toml").display().to_string();
    let ended = bed.run(&["status", "-v", "-c", &config, "a"]);
    ended.expect(2, &["--exclude \"nope\" matches no dataset of s, t\n"]).without(&["\"x*\""]);
    assert_eq!(ended.stderr.matches("matches no dataset").count(), 1, "{ended:#?}");
}

#[test]
fn every_target_has_its_lines() {
    let bed = bed();
    let ended = bed.run(&["status", "--json", "--bytes", "s", "d", "e"]);
    ended.expect(2, &[]);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &Value| ["target", "dataset", "state"].map(|key| line[key].as_str().unwrap().to_owned());
    let told: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(
        told,
        [
            ["d", "s", "in_sync"],
            ["d", "s/x y", "behind"],
            // It may hold data, as far as this zfs tells.
            ["e", "s", "conflict"],
            ["e", "s/x y", "missing"],
        ]
    );
    assert_eq!(lines[1]["common"]["creation"], 3000);
    assert_eq!(lines[1]["behind_seconds"].as_i64().unwrap(), lines[1]["time"].as_i64().unwrap() - 5000);
    assert_eq!((&lines[1]["behind_bytes"], &lines[3]["behind_bytes"]), (&Value::from(5000), &Value::from(10_000)));
    let ended = bed.run(&["status", "--prometheus", "s", "d"]);
    ended.expect(0, &[]);
    let line = "zfsync_behind_snapshots{source=\"s\",target=\"d\",dataset=\"s/x y\"} 1\n";
    assert!(ended.stdout.contains(line), "{ended:#?}");
}

#[test]
fn a_reader_that_left_is_no_error() {
    let bed = bed();
    let mut child = bed.command(&["status", "s", "d"]).spawn().unwrap();
    drop(child.stdout.take());
    Ended::of(child).expect(0, &[]);
}

#[test]
fn a_signal_ends_it_at_once() {
    let bed = bed();
    let zfs = bed.read("bin/zfs");
    bed.script("bin/zfs", &zfs.replacen("here=", "echo >>\"${0%/*}/../hangs\"; sleep 1000; here=", 1));
    let child = bed.command(&["status", "s", "d"]).spawn().unwrap();
    assert!(eventually(|| bed.path("hangs").exists()));
    let started = std::time::Instant::now();
    signal(&child, Signal::TERM);
    Ended::of(child).expect(143, &["interrupted"]);
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn a_target_without_its_pool_is_unknown() {
    let bed = bed();
    let ended = bed.run(&["status", "s", "nix/f"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(all.contains("has no pool \"nix\"") && !all.contains("missing"), "{ended:#?}");
}

#[test]
fn the_only_pool_was_exported() {
    let bed = bed();
    std::fs::remove_file(bed.path("bin/zpool")).unwrap();
    bed.script("bin/zpool", "#!/bin/sh\nexit 0\n");
    let ended = bed.run(&["status", "s", "nix/f"]);
    assert_eq!(ended.code, Some(2), "{ended:#?}");
    let all = format!("{}{}", ended.stdout, ended.stderr);
    assert!(
        all.contains("has no pool \"nix\" for nix/f: create or import it") && !all.contains("missing"),
        "{ended:#?}"
    );
    // Nobody knows of a host that doesn't tell its pools.
    bed.script("bin/zpool", "#!/bin/sh\nexit 1\n");
    assert!(bed.run(&["status", "s", "nix/f"]).expect(2, &[]).stdout.contains("2 datasets missing"));
}

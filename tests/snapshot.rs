//! `zfsync snapshot` on the command line: usage errors, what is run, what is printed, exit codes. The `zfs` is a fake one
//! (support/fake-zfs), which proves nothing about ZFS.

mod support;

use support::{Bed, Ended};

/// The `zfs snapshot` that were run.
fn snapshots(bed: &Bed) -> Vec<String> {
    bed.calls().into_iter().filter(|call| call.starts_with("zfs snapshot")).collect()
}

fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("p", 1, 1),
        ("p/a", 2, 2),
        ("p/a/tmp", 3, 3),
        ("p/a b", 4, 4),
        ("q", 5, 1),
        ("q/x", 6, 2),
        ("p@old", 7, 5),
        ("p/a@old", 8, 5),
    ]);
    bed
}

/// A format whose names tests can know.
const DAY: [&str; 2] = ["--format", "day-%Y%m%d"];

fn today() -> String {
    jiff::Timestamp::now().strftime("day-%Y%m%d").to_string()
}

fn run(bed: &Bed, args: &[&str]) -> Ended {
    bed.run(&[&["snapshot"], &DAY[..], args].concat())
}

#[test]
fn usage_errors() {
    let bed = bed();
    let long = format!("p/{}", "x".repeat(254));
    for (args, words) in [
        (&["snapshot"][..], "<DATASET>..."),
        (&["snapshot", "p@s"], "\"p@s\" is a snapshot"),
        (&["snapshot", "p", ""], "the name is empty"),
        (&["snapshot", "p//a"], "empty component"),
        (&["snapshot", "p/$(x)"], "has the character '$'"),
        (&["snapshot", &long], "has 256 bytes"),
        (&["snapshot", "--format", "fixed", "p"], "\"fixed\" is not a valid format for snapshot names"),
        (&["snapshot", "--format", "%Y/%m/%d", "p"], "is not a valid format"),
        (&["snapshot", "--format", "", "p"], "is not a valid format"),
        (&["snapshot", "--depth", "1", "--no-recursive", "p"], "cannot be used with"),
        (&["snapshot", "-v", "-q", "p"], "cannot be used with"),
        (&["snapshot", "--exclude", "[", "p"], "--exclude \"[\": unclosed character class"),
        (&["snapshot", "--include", "", "p"], "--include \"\": the glob is empty"),
    ] {
        let ended = bed.run(args);
        ended.expect(2, &[words, "--help"]);
        assert_eq!(ended.stdout, "", "{args:?}");
    }
    assert_eq!(bed.calls(), [""; 0], "something was started");
}

#[test]
fn a_whole_tree() {
    let bed = bed();
    let name = today();
    let ended = run(&bed, &["p/a"]);
    ended.expect(0, &[&format!("zfsync: took @{name} of 2 datasets (")]);
    assert_eq!(ended.stdout, format!("p/a@{name}\n"));
    assert_eq!(snapshots(&bed), [format!("zfs snapshot -r p/a@{name}")]);
    // Slow columns are asked of those only that have no snapshot.
    let slow: Vec<String> = bed.calls().into_iter().filter(|call| call.contains("written")).collect();
    assert_eq!(slow, ["zfs list -Hp -t filesystem,volume -o name,written,inconsistent p/a/tmp"]);
}

#[test]
fn the_default_name_is_the_time() {
    let bed = bed();
    let name = |ended: &Ended| ended.stdout.trim().rsplit_once('@').unwrap().1.to_owned();
    let format: zfsync::plan::Format = zfsync::plan::DEFAULT_FORMAT.parse().unwrap();
    let first = name(bed.run(&["snapshot", "p"]).expect(0, &[]));
    assert!(format.parse(&first).is_some() && first.ends_with("_D"), "{first}");
    // The zone is that of TZ.
    let child = bed.command(&["snapshot", "--local-time", "q"]).env("TZ", "UTC-12").spawn().unwrap();
    let local = name(Ended::of(child).expect(0, &[]));
    let apart = format.parse(&local).unwrap().time.duration_since(format.parse(&first).unwrap().time);
    assert!((11 * 3600..13 * 3600).contains(&apart.as_secs()), "{first} {local}");
}

#[test]
fn names_do_not_collide() {
    let bed = bed();
    let name = today();
    for number in ["", "-2", "-3"] {
        let ended = run(&bed, &["p/a"]);
        assert_eq!(ended.expect(0, &[]).stdout, format!("p/a@{name}{number}\n"));
    }
}

#[test]
fn several_trees_and_pools() {
    let bed = bed();
    let name = today();
    let ended = run(&bed, &["-v", "q/x", "p/a b", "p/a", "q/x", "p/a/tmp"]);
    ended.expect(0, &[&format!("took @{name} of 4 datasets")]);
    assert_eq!(ended.stdout, format!("q/x@{name}\np/a@{name}\np/a/tmp@{name}\np/a b@{name}\n"));
    assert_eq!(
        snapshots(&bed),
        [format!("zfs snapshot -r q/x@{name}"), format!("zfs snapshot -r p/a b@{name} p/a@{name}")]
    );
}

#[test]
fn parts_of_a_tree() {
    let bed = bed();
    let name = today();
    let ended = run(&bed, &["--exclude", "**/tmp", "p"]);
    assert_eq!(ended.expect(0, &[]).stdout, format!("p@{name}\n"));
    run(&bed, &["--no-recursive", "q"]).expect(0, &["of 1 dataset ("]);
    assert_eq!(
        snapshots(&bed),
        [format!("zfs snapshot p@{name} p/a@{name} p/a b@{name}"), format!("zfs snapshot q@{name}")]
    );
    let ended = run(&bed, &["--include", "nothing", "p"]);
    ended.expect(1, &["zfsync: error: nothing to take: no dataset is selected; check --include and --exclude"]);
    run(&bed, &["-q", "-n", "--include", "nothing", "p"]).expect(1, &["no dataset is selected"]);
    assert_eq!((ended.stdout.as_str(), snapshots(&bed).len()), ("", 2));
}

#[test]
fn globs_that_match_nothing_are_told() {
    let bed = bed();
    let refused = "--exclude \"p/a\": globs are relative to p: did you mean \"a\"?";
    for args in
        [&["--exclude", "p/a", "p"][..], &["-q", "-n", "--exclude", "p/a", "p"], &["--exclude", "p/a", "p", "q"]]
    {
        let before = snapshots(&bed).len();
        run(&bed, args).expect(2, &[refused]).without(&["matches no dataset"]);
        assert_eq!(snapshots(&bed).len(), before);
    }
    // It is enough if one of several trees has something that it matches.
    run(&bed, &["--exclude", "x", "p", "q"]).expect(0, &[]).without(&["matches no dataset"]);
    run(&bed, &["--exclude", "y", "p", "q"]).expect(0, &["--exclude \"y\" matches no dataset of p, q"]);
    run(&bed, &["-q", "--exclude", "y", "p", "q"]).expect(0, &[]).without(&["matches no dataset"]);
}

#[test]
fn only_what_has_changed() {
    let bed = bed();
    let name = today();
    bed.write("written", "p\t0\t0\np/a\t512\t0\np/a/tmp\t0\t0\n");
    let ended = run(&bed, &["-v", "--if-changed", "p"]);
    ended.expect(0, &["of 3 datasets", "; skipped 1 dataset without changes", "p: nothing written since"]);
    assert_eq!(ended.stdout, format!("p/a@{name}\np/a/tmp@{name}\np/a b@{name}\n"), "without a snapshot: taken");
    assert_eq!(snapshots(&bed), [format!("zfs snapshot p/a@{name} p/a/tmp@{name} p/a b@{name}")]);
    // The name counts for the whole tree, though its top has none.
    assert_eq!(run(&bed, &["--if-changed", "q"]).expect(0, &[]).stdout, format!("q@{name}\n"));

    bed.write("written", "p\t0\t0\np/a\t0\t0\np/a/tmp\t0\t0\np/a b\t0\t0\n");
    let ended = run(&bed, &["--if-changed", "p"]);
    ended.expect(0, &["zfsync: nothing to take: 4 datasets without changes since the newest snapshot"]);
    assert_eq!((ended.stdout.as_str(), snapshots(&bed).len()), ("", 2));
    let ended = run(&bed, &["-q", "--if-changed", "p"]);
    assert_eq!((ended.expect(0, &[]).stdout.as_str(), ended.stderr.as_str()), ("", ""));
}

#[test]
fn a_dry_run_changes_nothing() {
    let bed = bed();
    let (name, before) = (today(), bed.read("world"));
    let ended = run(&bed, &["-n", "p/a", "q"]);
    ended.expect(
        0,
        &[
            &format!("would take @{name} of 4 datasets"),
            &format!("  zfs snapshot -r 'p/a@{name}'"),
            &format!("  zfs snapshot -r 'q@{name}'"),
        ],
    );
    assert_eq!(ended.stdout, format!("would take p/a@{name}\nwould take q@{name}\n"));
    let ended = run(&bed, &["-n", "-v", "q"]);
    assert!(ended.stdout.lines().all(|line| line.starts_with("would take q")), "{ended:#?}");
    assert_eq!((bed.read("world"), snapshots(&bed).len()), (before, 0));
}

#[test]
fn quiet_unless_something_is_wrong() {
    let bed = bed();
    let ended = run(&bed, &["-q", "p"]);
    assert_eq!((ended.expect(0, &[]).stdout.as_str(), ended.stderr.as_str()), ("", ""));
    bed.write("on-snapshot", "echo \"cannot create snapshots : permission denied\" >&2; exit 1\n");
    let ended = run(&bed, &["-q", "p"]);
    ended.expect(1, &["permission denied"]);
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_pool_that_fails_does_not_stop_the_others() {
    let bed = bed();
    let name = today();
    bed.write("on-snapshot", "case $* in *' p'*) echo 'cannot create snapshots : out of space' >&2; exit 1;; esac\n");
    let ended = run(&bed, &["p/a", "q"]);
    let words = format!(
        "zfsync: error: can't take @{name} of p/a, with all datasets below; in pool p, none of the 2 snapshots was taken"
    );
    ended.expect(1, &[&words, "zfs says: cannot create snapshots : out of space", "took", "of 2 datasets"]);
    ended.without(&["zfs allow"]);
    assert_eq!(ended.stdout, format!("q@{name}\n"));
}

#[test]
fn the_usage_of_zfs_is_not_repeated() {
    let bed = bed();
    bed.write(
        "on-snapshot",
        "printf '%s\\n' \"cannot open 'p/a': dataset does not exist\" usage: '\tsnapshot' >&2; exit 2\n",
    );
    run(&bed, &["p/a"]).expect(1, &["cannot open 'p/a': dataset does not exist"]).without(&["usage", "\tsnapshot"]);
}

#[test]
fn what_zfs_leaves_out_is_told() {
    let bed = bed();
    let name = today();
    bed.write("on-snapshot", "without=p/a/tmp\n");
    let ended = run(&bed, &["-v", "p/a"]);
    ended.expect(0, &["p/a/tmp: skipped: ", "of 1 dataset ("]);
    assert_eq!(ended.stdout, format!("p/a@{name}\n"));
}

#[test]
fn success_needs_proof() {
    let bed = bed();
    bed.write("on-snapshot", "echo >\"$here/no-names\"\n");
    let ended = run(&bed, &["p"]);
    ended.expect(
        1,
        &[&format!("took @{} in pool p, but can't tell which of its 4 datasets have it", today()), "I/O error"],
    );
    assert!(!ended.stdout.contains("p@"), "{}", ended.stdout);
}

#[test]
fn what_is_being_received_is_left_out() {
    let bed = bed();
    let name = today();
    bed.write("written", "q\t0\t0\nq/x\t5\t1\n");
    run(&bed, &["--exclude", "none", "q"]).expect(0, &["q/x: skipped: ", "of 1 dataset ("]);
    assert_eq!(snapshots(&bed), [format!("zfs snapshot q@{name}")]);
    run(&bed, &["-n", "q/x"]).expect(1, &["took no snapshot: the selected dataset no longer exists"]);
    let ended = run(&bed, &["q/x"]);
    assert_eq!(
        ended.expect(1, &["q/x: skipped: ", "took no snapshot: the selected dataset no longer exists"]).stdout,
        ""
    );
    assert_eq!(snapshots(&bed).len(), 1);
}

#[test]
fn a_dataset_that_is_not_there_stops_all() {
    let bed = bed();
    let ended = run(&bed, &["q", "p/nosuch"]);
    ended.expect(3, &["can't list p/nosuch on this machine: cannot open 'p/nosuch': dataset does not exist"]);
    assert_eq!((ended.stdout.as_str(), snapshots(&bed).len()), ("", 0));
}

#[test]
fn too_many_names() {
    let bed = Bed::new();
    let names: Vec<String> = (0..2500).map(|n| format!("p/{n:0>180}\t{n}\t1\n")).collect();
    bed.write("world", &format!("p\t1\t1\n{}", names.concat()));
    let ended = run(&bed, &["--exclude", "none", "p"]);
    ended.expect(3, &["the names of 2501 snapshots in pool p have", "one command takes 409600"]);
    assert_eq!(snapshots(&bed).len(), 0);
    let long = format!("p/{}", "x".repeat(245));
    bed.world(&[(&long, 1, 1)]);
    run(&bed, &["p"]).expect(2, &[&long, "ZFS allows 255: give a shorter --format", "zfsync snapshot --help"]);
    assert_eq!(snapshots(&bed).len(), 0);
}

#[test]
fn nobody_reads_what_it_says() {
    let bed = bed();
    let closed = || std::io::pipe().unwrap().1;
    for args in [&["snapshot", "-v", "p"][..], &["snapshot", "-n", "p"]] {
        let child = bed.command(args).stdout(closed()).stderr(closed()).spawn().unwrap();
        assert_eq!(Ended::of(child).code, Some(0));
    }
    let child = bed.command(&["snapshot", "nosuch"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(Ended::of(child).code, Some(3));
}

#[test]
fn what_was_taken_goes_into_a_log() {
    let bed = bed();
    let (name, log) = (today(), bed.path("logs/snapshots"));
    let with = |args: &[&str]| run(&bed, &[&["--log-file", log.to_str().unwrap()], args].concat());
    with(&["-n", "p"]).expect(0, &["would take"]);
    assert!(!log.exists(), "a dry run changes nothing");
    with(&["-q", "q"]).expect(0, &[]);
    bed.write("on-snapshot", "echo 'cannot create snapshots : out of space' >&2; exit 1\n");
    with(&["-q", "q"]).expect(1, &["out of space"]);
    with(&["-q", "--log-format", "json", "nosuch"]).expect(3, &["can't list nosuch"]);
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains(&format!("Z snapshot: took @{name} of ")), "{text}");
    assert!(lines[1].contains("Z snapshot: can't take @") && text.contains("out of space"), "{text}");
    let last: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!((&last["about"], &last["job"]), (&"snapshot".into(), &"nosuch".into()));
}

#[test]
fn what_may_have_been_meant() {
    let bed = Bed::new();
    bed.world(&[("tank/data", 1, 1), ("tank/data@a", 11, 2), ("tank/other", 2, 1)]);
    for source in ["tank/datax", "tnak/data"] {
        bed.run(&["push", source, "d"]).expect(3, &[source, "does not exist", "similar names: tank/data"]);
    }
}

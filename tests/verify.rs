//! `zfsync verify` on the command line, with a fake `zfs` and a target on this machine: what agrees, what doesn't, and what
//! can't be compared.

mod support;

use serde_json::Value;
use support::{Bed, Ended};

/// One dataset that is the same although each side was pruned, and one that is behind.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("s", 1, 1),
        ("s@a", 11, 3),
        ("s@b", 1, 4),
        ("s/x y", 2, 1),
        ("s/x y@a", 21, 3),
        ("s/x y@b", 22, 5),
        ("d", 3, 1),
        ("d@b", 1, 9),
        ("d/x y", 4, 1),
        ("d/x y@a", 21, 9),
        ("d/more", 5, 1),
    ]);
    bed
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_does_not_agree_is_listed_and_the_rest_is_counted() {
    let bed = bed();
    let ended = bed.run(&["verify", "s", "d"]);
    ended.expect(1, &[]);
    assert_eq!(
        ended.stdout,
        "s -> d: 3 datasets: 1 behind, 1 identical, 1 only on the target\n\
         d/more: only the target has it\n\
         s/x y: behind: the newest common snapshot is @a, 1 snapshot on both sides, 1 only on the source\n"
    );
    let calls = bed.calls();
    let asks = |call: &String| call.starts_with("zfs list ") || call.starts_with("zfs userspace ");
    assert!(calls.iter().all(asks), "more than questions: {calls:#?}");
    bed.run(&["verify", "-q", "--exclude", "x*", "s", "d"]).expect(0, &[]);
    let ended = bed.run(&["verify", "-v", "--no-recursive", "s", "d"]);
    ended.expect(0, &[]);
    assert!(ended.stdout.contains("s: identical, 1 snapshot on both sides, 1 only on the source\n"), "{ended:#?}");
    bed.run(&["verify", "--include", "nope", "s", "e"]).expect(1, &["--include \"nope\" matches no dataset of s"]);
    bed.run(&["verify", "-q", "--exclude", "nope", "s", "d"]).expect(1, &[]).without(&["matches no dataset"]);
    // Nothing is wrong, and nothing is a copy.
    bed.world(&[("bare", 6, 1), ("copy", 7, 1), ("copy@old", 8, 2)]);
    bed.run(&["verify", "-q", "bare", "copy"]).expect(1, &["nothing to compare"]);
    bed.run(&["verify", "nope", "d"]).expect(3, &["dataset does not exist"]);
    bed.run(&["verify", "s", "s/x"]).expect(2, &["overlap", "zfsync verify --help"]);
}

#[test]
fn a_name_that_stands_for_two_snapshots_is_told() {
    let bed = bed();
    bed.world(&[("d@a", 99, 8)]);
    let ended = bed.run(&["verify", "--json", "--no-recursive", "s", "d"]);
    ended.expect(1, &[]);
    let all = lines(&ended);
    assert_eq!((all[0]["state"].as_str(), all[0]["clashes"][0].as_str()), (Some("different"), Some("a")));
    assert_eq!(all[0]["ok"], false);
}

#[test]
fn contents_are_read_on_both_sides() {
    let bed = bed();
    let args = ["verify", "--content", "--json", "--no-recursive", "s", "d"];
    // This zfs puts the dataset's name into its streams: one object that differs.
    let ended = bed.run(&args);
    ended.expect(1, &[]);
    let all = lines(&ended);
    assert_eq!((all[0]["state"].as_str(), all[0]["content"].as_str()), (Some("same"), Some("different")));
    assert_eq!(all[0]["content_objects"], serde_json::json!([1]));
    let ended = bed.run(&["verify", "--content", "--no-recursive", "s", "d"]);
    ended.expect(1, &[]);
    assert!(ended.stdout.contains("THE CONTENT OF @b DIFFERS in object 1 "), "{ended:#?}");
    bed.write("on-send", "cat \"$here/records/filesystem-\" \"$here/records/end\"; exit 0\n");
    let ended = bed.run(&args);
    ended.expect(0, &[]);
    assert_eq!(lines(&ended)[0]["content"], "same");
    let sends: Vec<String> = bed.calls().into_iter().filter(|call| call.starts_with("zfs send")).collect();
    assert!(sends.iter().all(|call| call.starts_with("zfs send -L ")), "{sends:#?}");
}

#[test]
fn what_can_not_be_read_is_told_and_is_no_success() {
    for (script, words) in [
        ("echo \"cannot open: dataset key must be loaded\" >&2; exit 1\n", "dataset key must be loaded"),
        ("cat \"$here/records/filesystem-\"; exit 0\n", "failed to fill whole buffer"),
        ("cat \"$here/records/filesystem-increment\" | head -c 40; exit 0\n", "failed to fill whole buffer"),
        ("head -c 400 /dev/zero; exit 0\n", "it is not a zfs send stream"),
    ] {
        let bed = bed();
        bed.write("on-send", script);
        let ended = bed.run(&["verify", "--content", "--json", "--no-recursive", "s", "d"]);
        ended.expect(1, &[]);
        let all = lines(&ended);
        assert_eq!(all[0]["content"], "unreadable", "{ended:#?}");
        assert!(all[0]["content_error"].as_str().unwrap().contains(words), "{script}: {ended:#?}");
    }
    // Another snapshot has taken the name since the listing.
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 3), ("d", 3, 1), ("d@a", 11, 9)]);
    let ended = bed.run(&["verify", "--content", "s", "d"]);
    ended.expect(1, &[]);
    assert!(
        ended.stdout.contains("could not be compared: on this machine: the snapshot of this name now has"),
        "{ended:#?}"
    );
}

#[test]
fn no_copy_is_no_success() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s/x", 2, 1), ("d", 3, 1), ("d/y", 4, 1), ("d/y@a", 41, 3)]);
    for args in [
        &["verify", "s", "d"][..],
        &["verify", "-q", "s", "d"],
        &["verify", "--content", "s", "d"],
        &["verify", "s", "e"],
    ] {
        bed.run(args).expect(1, &["nothing to compare"]);
    }
}

//! A TARGET that was never a copy of SOURCE, such as one level too high: nothing lands beside what is there. With a fake `zfs`.

mod support;

use support::{Bed, Ended};

/// SOURCE with a child, and somebody's datasets where TARGET is.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("s", 1, 1),
        ("s@a", 11, 2),
        ("s/home", 2, 1),
        ("s/home@a", 12, 2),
        ("s/new", 3, 1),
        ("s/new@a", 13, 2),
    ]);
    bed.world(&[("d", 21, 1), ("d@own", 31, 2), ("d/home", 22, 1), ("d/home@own", 32, 2)]);
    bed
}

/// Nothing was sent or received, made or destroyed.
fn nothing_was_sent(bed: &Bed, ended: &Ended) {
    assert_eq!(bed.changes(), [""; 0], "{ended:#?}");
}

#[test]
fn nothing_is_sent_beside_what_is_there() {
    let bed = bed();
    let words = [
        "s -> d: conflict: no common snapshot, and no record that the target was ever received from this source",
        "nothing is sent below it either (2 datasets)",
        "to continue: name another TARGET, for example 'd/s', which leaves this one as it is",
        "\n  2 datasets skipped: nothing is sent: no dataset of the source has a snapshot in common with the one in its place in 'd' (-v lists them)",
    ];
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &words);
    assert!(!ended.stderr.contains("s/home") && !ended.stderr.contains("s/new"), "one line: {ended:#?}");
    bed.run(&["push", "-v", "s", "d"]).expect(
        1,
        &[
            "s/home -> d/home: skipped: nothing is sent: no dataset of the source has a snapshot in common with the one in its place in 'd'",
            "s/new -> d/new: skipped: nothing is sent",
        ],
    );
    nothing_was_sent(&bed, &ended);
    let dry = bed.run(&["push", "-n", "s", "d"]);
    assert!(dry.expect(1, &[]).stdout.contains("nothing to send; 1 in conflict, 2 skipped"), "{dry:#?}");
    nothing_was_sent(&bed, &dry);
    // Nothing below it could be withheld.
    let alone = bed.run(&["push", "--no-recursive", "s", "d"]);
    alone.expect(1, &["to continue: name another TARGET, for example 'd/s'"]);
    assert!(!alone.stderr.contains("below it either"), "{alone:#?}");
    bed.world(&[("d/s", 29, 3)]);
    bed.run(&["push", "s", "d"]).expect(1, &["to continue: name another TARGET, one that does not exist yet"]);
}

#[test]
fn what_has_something_in_common_goes_on() {
    let bed = bed();
    bed.world(&[("d/new", 23, 1), ("d/new@a", 13, 2), ("s/late", 4, 3), ("s/late@a", 14, 4)]);
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &["s -> d: conflict: no common snapshot", "s/home -> d/home: conflict: no common snapshot"]);
    assert!(!ended.stderr.contains("skipped") && !ended.stderr.contains("another TARGET"), "{ended:#?}");
    assert!(bed.read("world").contains("d/late@a\t"), "what is new is sent: {ended:#?}");
}

/// Nothing is sent, in full or otherwise, so nothing is said of that.
#[test]
fn nothing_is_said_of_a_copy_under_another_name_where_nothing_is_sent() {
    let bed = bed();
    bed.run(&["push", "s", "d/copy"]).expect(0, &[]);
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &["s -> d: conflict: no common snapshot", "2 datasets skipped: nothing is sent"]);
    assert!(!ended.stderr.contains("the target has it already"), "{ended:#?}");
    // With a dataset that has a snapshot in common the rest is sent, and told.
    bed.world(&[("d/new", 23, 1), ("d/new@a", 13, 2), ("s/late", 4, 3), ("s/late@a", 14, 4)]);
    bed.run(&["push", "--no-recursive", "s/late", "d/old"]).expect(0, &[]);
    bed.run(&["push", "s", "d"]).expect(1, &["s/late: the target has it already as d/old: it was renamed"]);
}

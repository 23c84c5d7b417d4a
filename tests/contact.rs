//! A TARGET that was never a copy of SOURCE, such as one level too high: nothing lands beside what is there. With a fake `zfs`.

mod support;

use std::fs;

use support::sshd::{login_shell, reached};
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
        "zfsync: 1 of 3 datasets in conflict, 2 skipped; 0 in sync; no snapshot received (",
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

/// SOURCE with a child, and an empty dataset where TARGET is.
fn empty_bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s/home", 2, 1), ("s/home@a", 12, 2), ("d", 21, 1)]);
    // Its root directory.
    bed.write("on-userspace", "printf 'POSIX User\\t0\\t1\\n'; exit 0\n");
    bed
}

/// Whatever the answer looks like, nothing shows that nobody's datasets lie below TARGET.
#[test]
fn an_empty_target_is_not_filled_while_nobody_tells_what_lies_below() {
    for (answer, words) in [
        ("echo \"cannot open 'd/vms': I/O error\" >&2; exit 1", "which is empty: cannot open 'd/vms': I/O error"),
        (
            "echo d; echo \"cannot iterate filesystems: I/O error\" >&2; exit 0",
            "which is empty: cannot iterate filesystems: I/O error",
        ),
        ("printf 'd\\nd/ho'; exit 0", "which is empty: the output of zfs ends within a line: \"d/ho\""),
        ("echo d; echo 'd/a b//c'; exit 0", "which is empty: zfs printed an unexpected line ("),
        ("exit 0", "which is empty: the list of its datasets lacks the dataset itself"),
    ] {
        let bed = empty_bed();
        bed.write("on-names", answer);
        let all: [&[&str]; 4] = [&["push"], &["push", "--no-recursive"], &["push", "-n"], &["push", "--set-aside"]];
        // What is done doesn't hang on how the answer is wrong.
        for flags in all.into_iter().take(if answer.contains("vms") { 4 } else { 1 }) {
            let ended = bed.run(&[flags, &["s", "d"]].concat());
            ended.expect(
                3,
                &[
                    "can't tell what lies below d on this machine, which is empty: ",
                    words,
                    "see what zfs list -r d says there",
                    "\n  nothing was sent: datasets of others there would lie in a copy that is read-only and not mounted; ",
                    "name another TARGET, one that does not exist yet",
                ],
            );
            nothing_was_sent(&bed, &ended);
        }
    }
    let bed = empty_bed();
    bed.world(&[("d/a b", 22, 1)]);
    bed.write("on-names", "exit 0\n");
    bed.run(&["push", "s", "d/a b"]).expect(3, &["see what zfs list -r 'd/a b' says there"]);
    let bed = empty_bed();
    bed.run(&["push", "s", "d"]).expect(0, &[]);
    assert!(bed.read("world").contains("d/home@a\t"));
}

/// What isn't empty is told as ever; but nothing is replaced, and that isn't offered.
#[test]
fn nothing_is_replaced_while_nobody_tells_what_lies_below() {
    let bed = bed();
    let words = "cannot iterate filesystems: I/O error";
    bed.write("on-names", &format!("echo d/home; echo '{words}' >&2; exit 0\n"));
    let why = format!(
        "--replace destroys nothing below it, and datasets there that are not copies of this source would be read-only, and not \
         mounted; they can't be listed: {words}"
    );
    for flags in [&[][..], &["-n"]] {
        // Only what is in the way is told, not what the target alone has.
        let told = |more: &[&str]| {
            let ended = bed.run(&[&["push", "-q"], flags, more, &["s/home", "d/home"]].concat());
            ended.expect(1, &[]);
            nothing_was_sent(&bed, &ended);
            format!("{}{}", ended.stdout, ended.stderr)
        };
        let plainly = told(&[]);
        assert!(plainly.contains("no common snapshot") && !plainly.contains("--replace"), "{plainly}");
        let replaced = told(&["--replace", "d/home"]);
        assert!(replaced.contains("no common snapshot") && replaced.contains(&why), "{replaced}");
    }
    fs::remove_file(bed.path("on-names")).unwrap();
    bed.run(&["push", "-q", "s/home", "d/home"]).expect(1, &["or --replace 'd/home'"]);
}

/// Whoever may receive into it is told what lies below it.
#[test]
fn an_empty_target_is_filled_by_a_restricted_key_and_without_a_helper() {
    for plain in [false, true] {
        let Some((bed, _sshd)) = reached(empty_bed()) else { return };
        let config = bed.path("ssh_config").display().to_string();
        let there = bed.path("there").display().to_string();
        let mut args = vec!["push", "-F", &config];
        if plain {
            args.extend(["--helper", "plain"]);
            fs::create_dir(bed.path("home")).unwrap();
            login_shell(&bed, "sh", "");
        } else {
            let key = bed.read("key.pub");
            bed.write("authorized_keys", &format!("command=\"{there} recv --stdio --root d\" {key}"));
        }
        bed.write("on-names", "echo \"cannot open 'd/vms': permission denied\" >&2; exit 1\n");
        let pushed = || bed.run(&[&args[..], &["--no-recursive", "s", "beta:d"]].concat());
        let ended = pushed();
        ended.expect(
            3,
            &["can't tell what lies below d on beta, which is empty: cannot open 'd/vms': permission denied"],
        );
        nothing_was_sent(&bed, &ended);
        fs::remove_file(bed.path("on-names")).unwrap();
        pushed().expect(0, &[]);
        assert!(bed.read("world").contains("d@a\t"), "{}", bed.read("world"));
    }
}

/// What is not selected counts as well: it would lie in the copy all the same.
#[test]
fn a_depth_is_no_reason_not_to_look_below_an_empty_target() {
    let bed = empty_bed();
    bed.world(&[("d/vms", 22, 1), ("d/vms/live", 23, 1), ("d/vms/live@own", 33, 2)]);
    let words = "the target is empty, but has datasets below it that are not copies of this source: ";
    // What is there for s/home is none of them.
    bed.world(&[("d/home", 24, 1)]);
    for flags in [&["--no-recursive"][..], &["--depth", "1"], &[], &["--exclude", "home"]] {
        let ended = bed.run(&[&["push"], flags, &["s", "d"]].concat());
        ended.expect(1, &[&format!("{words}'d/vms', 'd/vms/live'")]);
        nothing_was_sent(&bed, &ended);
    }
}

/// Each dataset would fail: that is told once, and before anything is tried.
#[test]
fn a_pool_that_takes_nothing_ends_the_run_at_once() {
    let bed = bed();
    bed.world(&[("d/s", 25, 1), ("d/s@a", 11, 2), ("s@b", 14, 3), ("s/home@b", 15, 3)]);
    for (state, words) in [
        (
            "ONLINE\ton",
            "was imported read-only, so nothing can be received there; on its host, zpool export and zpool import",
        ),
        ("SUSPENDED\toff", "is suspended, so nothing can be received there; on its host, zpool status says why"),
    ] {
        bed.write("pools", &format!("s\tONLINE\toff\nd\t{state}\n"));
        for flags in [&[][..], &["-n"], &["--set-aside"]] {
            let ended = bed.run(&[&["push"], flags, &["s", "d/s"]].concat());
            ended.expect(3, &[&format!("nothing was sent: pool \"d\" on this machine {words}")]);
            nothing_was_sent(&bed, &ended);
        }
    }
    // A source may be read-only, and where nothing is sent nothing has to be received.
    bed.write("pools", "s\tONLINE\ton\nd\tDEGRADED\toff\n");
    bed.run(&["push", "--no-recursive", "s", "d/s"]).expect(0, &[]);
    bed.write("pools", "s\tONLINE\ton\nd\tONLINE\ton\n");
    bed.run(&["push", "--no-recursive", "s", "d/s"]).expect(0, &["nothing to do"]);
}

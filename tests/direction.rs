//! Whether SOURCE and TARGET are swapped, where the records of copies can't be read, and where the source has another name by now: with a
//! fake `zfs` (support/fake-zfs), which proves nothing about ZFS.

mod support;

use std::fs;

use support::Bed;

/// What is recorded on all of the source's datasets.
const BELOW: &str = r#""get -Hp -r "*" all s""#;
/// What is recorded on SOURCE itself.
const TOP: &str = r#""get -Hp -s local,inherited "*" all s""#;

/// A target that is one snapshot behind and has no bookmark on the source, so that each dataset is asked for what it has come from;
/// and a `zfs` that can't answer this question.
fn unreadable(question: &str) -> Bed {
    let bed = Bed::new();
    bed.world_with_work(1);
    failing(bed, question, "s/1")
}

/// The same with a `zfs` that can't answer this question, because of that dataset.
fn failing(bed: Bed, question: &str, dataset: &str) -> Bed {
    fs::create_dir(bed.path("real")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    let fails = format!(r#"case "$*" in {question}) echo "cannot open '{dataset}': I/O error" >&2; exit 1 ;; esac"#);
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{fails}\nexec \"$here/real/zfs\" \"$@\"\n"));
    bed
}

#[test]
fn what_may_be_lost_is_not_risked_where_nobody_knows_the_direction() {
    for flags in [
        &["--rollback"][..],
        &["--set-aside"],
        &["--replace", "d/1"],
        &["--follow-renames"],
        &["--delete-missing", "snapshots"],
        &["--rollback", "-n"],
    ] {
        for question in [BELOW, TOP] {
            let bed = unreadable(question);
            let ended = bed.run(&[&["push"], flags, &["s", "d"]].concat());
            ended.expect(3, &["can't list s on this machine: cannot open 's/1': I/O error", "are swapped"]);
            assert_eq!(bed.changes(), [""; 0], "{flags:?} {question}");
        }
    }
}

#[test]
fn without_such_flags_it_is_told() {
    let bed = unreadable(BELOW);
    let words = "whether SOURCE and TARGET are swapped is unknown, as the records zfsync:received of s can't be read: \
                 cannot open 's/1': I/O error";
    bed.run(&["push", "s", "d"]).expect(0, &[words]);
    // Once there are bookmarks of this target, it is known.
    bed.run(&["push", "s", "d"]).expect(0, &[]).without(&["swapped"]);
}

const COPIES: &str = "s\tzfsync:received\t00000001-000000000000000b\ns/1\tzfsync:received\t00000001-000000000000000b\n";

/// A target that is one snapshot behind: what is set on both ends, here and there.
fn recorded(settings: &str, properties: &str) -> Bed {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write("settings", settings);
    bed.write("properties", properties);
    bed
}

/// How often the records on the target were asked for.
fn questions(bed: &Bed) -> usize {
    bed.calls().iter().filter(|call| call.starts_with("zfs get") && call.ends_with(" all d")).count()
}

#[test]
fn what_a_copy_was_sent_from_is_known_under_every_name() {
    for record in [
        r#"{"as":"x:s","host":"x:22","dataset":"old","pool":1,"top":1,"since":17}"#,
        // Of an older version.
        r#"{"as":"x:s","dataset":"s","pool":1,"since":17}"#,
        r#"{"as":"x:s/1","dataset":"s/0","pool":1,"top":10,"since":17}"#,
    ] {
        let on = if record.contains("s/1") { "d/1" } else { "d" };
        let properties = format!("{on}\tzfsync:target-0123456789abcdef\t{record}\n");
        for args in [&["s", "d"][..], &["--rollback", "s", "d"], &["-n", "s", "d"], &["s/1", "d/1"]] {
            let bed = recorded(COPIES, &properties);
            bed.run(&[&["push"], args].concat())
                .expect(2, &["is recorded as the source of the copy", "are SOURCE and TARGET swapped?"]);
            assert_eq!(bed.changes(), [""; 0], "{args:?} {record}");
        }
    }
}

#[test]
fn who_is_no_copy_of_the_target_goes_there() {
    let of = |record: &str| format!("d\tzfsync:target-0123456789abcdef\t{record}\n");
    let swapped = of(r#"{"as":"x:s","dataset":"s","pool":1,"top":1,"since":17}"#);
    for (settings, properties, asked) in [
        // Once the copy is none any more, or the source has forgotten it.
        ("", &*swapped, 0),
        (COPIES, "", 2),
        // Another target: of another pool, and another dataset of this one.
        (COPIES, &of(r#"{"as":"x:s","dataset":"s","pool":7,"top":1,"since":17}"#), 2),
        (COPIES, &of(r#"{"as":"x:s","dataset":"s","pool":1,"top":5,"since":17}"#), 2),
        (COPIES, &of(r#"{"as":"x:s","dataset":"t","pool":1,"since":17}"#), 2),
    ] {
        let bed = recorded(settings, properties);
        bed.run(&["push", "s", "d"]).expect(0, &[]).without(&["swapped"]);
        assert_eq!(questions(&bed), asked, "{properties}");
        // The bookmarks tell it from now on.
        bed.run(&["push", "s", "d"]).expect(0, &[]).without(&["swapped"]);
        assert_eq!(questions(&bed), asked, "{properties}");
    }
}

#[test]
fn records_of_the_target_that_cannot_be_read_are_no_proof() {
    let unreadable = || failing(recorded(COPIES, ""), "\"get -Hp -r \"*\" all d\"", "d/1");
    let bed = unreadable();
    bed.run(&["push", "--rollback", "s", "d"]).expect(3, &["d", "cannot open 'd/1': I/O error", "are swapped"]);
    assert_eq!(bed.changes(), [""; 0]);
    let words = "whether SOURCE and TARGET are swapped is unknown, as the records zfsync:target-* of d can't be read: \
                 cannot open 'd/1': I/O error";
    unreadable().run(&["push", "s", "d"]).expect(0, &[words]);
}

#[test]
fn a_damaged_record_of_a_target_is_no_proof() {
    let damaged = || recorded(COPIES, "d\tzfsync:target-0123456789abcdef\tdamaged\n");
    let bed = damaged();
    let words = "zfsync:target-0123456789abcdef on d is damaged, or a newer version of zfsync made it";
    bed.run(&["push", "--rollback", "s", "d"]).expect(3, &[words, "are swapped"]);
    assert_eq!(bed.changes(), [""; 0]);
    damaged()
        .run(&["push", "s", "d"])
        .expect(0, &["is unknown, as the records zfsync:target-* of d can't be read", words]);
}

#[test]
fn guids_of_the_source_that_cannot_be_read_are_no_proof() {
    let record = r#"{"as":"x:s","dataset":"s","pool":1,"top":5,"since":17}"#;
    let blind = || {
        let bed = recorded(COPIES, &format!("d\tzfsync:target-0123456789abcdef\t{record}\n"));
        failing(
            bed,
            r#""list -Hp -t filesystem,volume,snapshot "*" s/1"|"list -Hp -t filesystem,volume,snapshot "*" s""#,
            "s/1",
        )
    };
    let bed = blind();
    bed.run(&["push", "--rollback", "s", "d"])
        .expect(3, &["cannot open 's/1': I/O error", "the GUIDs of its datasets tell"]);
    assert_eq!(bed.changes(), [""; 0]);
    let words = "whether SOURCE and TARGET are swapped is unknown, as the GUIDs of s can't be read: cannot open 's/1': I/O error";
    blind().run(&["push", "s", "d"]).expect(0, &[words]);
}

#[test]
fn what_only_gets_recorded_must_not_be_the_source_either() {
    let record = r#"{"as":"x:s","dataset":"s","pool":1,"top":1,"since":17}"#;
    let bed = recorded(COPIES, "");
    bed.run(&["push", "--no-bookmark", "s", "d"]).expect(0, &[]);
    bed.write("properties", &format!("d\tzfsync:target-0123456789abcdef\t{record}\n"));
    let args = ["push", "--no-bookmark", "--delete-missing", "both", "s", "d"];
    bed.run(&args).expect(2, &["are SOURCE and TARGET swapped?"]);
}

//! Whether SOURCE and TARGET are swapped, where the records of copies can't be read: with a fake `zfs` (support/fake-zfs), which proves
//! nothing about ZFS.

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
    fs::create_dir(bed.path("real")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    let fails = format!(r#"case "$*" in {question}) echo "cannot open 's/1': I/O error" >&2; exit 1 ;; esac"#);
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{fails}\nexec \"$here/real/zfs\" \"$@\"\n"));
    bed
}

fn changed(bed: &Bed) -> Vec<String> {
    let changes = ["zfs recv", "zfs rollback", "zfs rename", "zfs destroy", "zfs send"];
    bed.calls().into_iter().filter(|call| changes.iter().any(|change| call.starts_with(change))).collect()
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
            assert_eq!(changed(&bed), [""; 0], "{flags:?} {question}");
        }
    }
}

#[test]
fn without_such_flags_it_is_told() {
    let bed = unreadable(BELOW);
    let words = "whether SOURCE and TARGET are swapped is unknown, as the records of s can't be read: cannot open 's/1': I/O error";
    bed.run(&["push", "s", "d"]).expect(0, &[words]);
    // Once there are bookmarks of this target, it is known.
    bed.run(&["push", "s", "d"]).expect(0, &[]).without(&["swapped"]);
}

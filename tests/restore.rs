//! `zfsync restore` on the command line, with a fake `zfs` and NEW on this machine.

mod support;

use std::fs;

use support::Bed;

/// A copy with a placeholder's child, something that was set aside, and a dataset that is younger than the rest.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[
        ("s", 1, 1),
        ("s@a", 11, 3),
        ("s@b", 12, 5),
        ("s/new", 2, 1),
        ("s/new@b", 21, 5),
        ("s/x.zfsync-20241122-031500", 3, 1),
        ("s/x.zfsync-20241122-031500@a", 31, 3),
        ("n", 9, 1),
    ]);
    bed.write("settings", "s\tcompression\tzstd\ns\treadonly\ton\n");
    bed
}

#[test]
fn all_that_comes_can_be_used() {
    let bed = bed();
    bed.run(&["restore", "--no-progress", "s", "n/back"]).expect(
        0,
        &[
            "s: set on the copy, but not restored: compression=zstd",
            "s/x.zfsync-20241122-031500: it was set aside on the copy, and is not restored",
            "n/back is writable and not mounted yet",
            "zfs mount -a",
        ],
    );
    let calls = bed.calls();
    let receives: Vec<&String> = calls.iter().filter(|call| call.starts_with("zfs recv ")).collect();
    assert!(!receives.is_empty() && receives.iter().all(|call| !call.contains(" -o ")), "{receives:#?}");
    assert!(
        !calls.iter().any(|call| call.starts_with("zfs bookmark ") || call.starts_with("zfs program ")),
        "{calls:#?}"
    );
    let world = bed.read("world");
    assert!(world.contains("n/back@a\t11\t") && world.contains("n/back/new@b\t21\t"), "{world}");
    assert!(!world.contains("n/back/x.zfsync"), "{world}");
    // It is there now.
    bed.run(&["restore", "s", "n/back"]).expect(3, &["n/back already exists", "--into-existing"]);
    bed.run(&["restore", "--into-existing", "-q", "s", "n/back"]).expect(0, &[]);
}

#[test]
fn as_it_was_at_a_snapshot() {
    let bed = bed();
    bed.run(&["restore", "s@nope", "n/back"]).expect(2, &["no dataset of s has a snapshot @nope"]);
    bed.run(&["restore", "-n", "s@a", "n/back"]).expect(0, &["s/new: it has no snapshot @a, and is not restored"]);
    assert!(!bed.read("world").contains("n/back"));
    // What was there then and has lost that snapshot is no success.
    bed.world(&[("s/pruned", 6, 1), ("s/pruned@0", 61, 2), ("s/pruned@c", 62, 9)]);
    let lost = "s/pruned -> n/lacks/pruned: failed: it has snapshots older than @a, but not that one";
    bed.run(&["restore", "-n", "-q", "s@a", "n/lacks"]).expect(1, &[lost]);
    bed.run(&["restore", "-q", "s@a", "n/lacks"]).expect(1, &[lost, "--exclude"]);
    assert!(bed.read("world").contains("n/lacks@a"));
    // Where dates can't be told, it may have been there.
    bed.write("no-dates", "");
    let unknown = "s/pruned -> n/lacks/pruned: unread: it has no snapshot @a; whether it existed then is unknown";
    bed.run(&["restore", "-n", "-q", "s@a", "n/other"]).expect(1, &[&unknown.replace("lacks", "other")]);
    std::fs::remove_file(bed.path("no-dates")).unwrap();
    bed.run(&["restore", "--exclude", "pruned", "s@a", "n/back"]).expect(0, &[]);
    let world = bed.read("world");
    assert!(
        world.contains("n/back@a\t11\t") && !world.contains("n/back@b") && !world.contains("n/back/new"),
        "{world}"
    );
}

#[test]
fn what_was_never_received_completely_is_no_success() {
    let bed = bed();
    bed.world(&[("s/cut", 6, 1), ("s/plain", 7, 1), ("s/x.zfsync-20241122-031500/cut", 8, 1)]);
    bed.write("written", "s/cut\t0\t1\ns/plain\t0\t0\ns/x.zfsync-20241122-031500/cut\t0\t1\n");
    let cut = "s/cut -> n/back/cut: failed: only partially received; nothing of it can be restored";
    let dry = bed.run(&["restore", "-n", "s", "n/back"]);
    dry.expect(1, &[cut]).without(&["s/cut: no snapshots", "031500/cut -> "]);
    let ended = bed.run(&["restore", "--no-progress", "s", "n/back"]);
    ended.expect(1, &[cut, "s/plain: no snapshots", "1 of 4 datasets failed"]).without(&["s/cut: no snapshots"]);
    bed.run(&["restore", "--exclude", "cut", "s", "n/other"]).expect(0, &["s/plain: no snapshots"]);
    // It may have been there at that time.
    bed.run(&["restore", "-n", "s@a", "n/then"]).expect(1, &["s/cut -> n/then/cut: failed: only partially received"]);
}

/// NEW is a copy of what is to be restored: whoever meant a push, or has swapped the two, is told so.
#[test]
fn a_copy_is_not_restored_from_what_it_is_a_copy_of() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s@b", 12, 3), ("n", 9, 1), ("n/copy", 2, 1), ("n/copy@a", 11, 3)]);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let by = zfs::hash::stable(&format!("{host}:s")) >> 32;
    let at = zfs::hash::stable("") & 0xffff_ffff;
    let noted = |by| bed.write("noted", &format!("n/copy\tzfsync:received\t{by:08x}.{at:08x}-000000000000000b\n"));
    noted(by);
    for options in [&["-n"][..], &[]] {
        let words = "n/copy is recorded as a copy of s: are COPY and NEW swapped? To bring the copy up to date: zfsync push s n/copy";
        bed.run(&[&["restore", "--into-existing"], options, &["s", "n/copy"]].concat()).expect(2, &[words]);
    }
    // Nor where nobody tells what it is.
    bed.write("no-notes", "");
    bed.run(&["restore", "--into-existing", "s", "n/copy"])
        .expect(3, &["can't query n/copy on this machine: zfs says: cannot open 'n/copy': I/O error"]);
    fs::remove_file(bed.path("no-notes")).unwrap();
    assert!(!bed.read("world").contains("n/copy@b"));
    // That of another source is none of this one.
    noted(by ^ 1);
    let ended = bed.run(&["restore", "--into-existing", "s", "n/copy"]);
    ended.expect(0, &["n/copy is writable; mount what is not mounted yet. Next:"]);
}

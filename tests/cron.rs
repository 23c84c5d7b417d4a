//! `zfsync cron` on the command line, with a fake `zfs` and targets on this machine: windows, locks that can't be had, what holds the
//! pruning up.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Bed, Ended, signal};

/// A source without snapshots.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@mine", 11, 3), ("d", 2, 1), ("d@mine", 11, 3), ("e", 3, 1), ("e@mine", 11, 3)]);
    bed
}

fn own(bed: &Bed, dataset: &str) -> Vec<String> {
    let names = bed.read("world");
    let names = names.lines().filter_map(|line| line.split('\t').next());
    let own = names.filter_map(|name| name.strip_prefix(dataset)?.strip_prefix('@')).filter(|name| *name != "mine");
    own.map(ToOwned::to_owned).collect()
}

/// So long a window that no test crosses its end but one in years.
const WINDOW: &str = "1000000000";

#[test]
fn a_window_is_one_of_the_snapshot_and_not_of_the_targets() {
    let bed = bed();
    bed.run(&["cron", "-w", WINDOW, "s", "d"]).expect(0, &["cron keeps these snapshots of s: the newest"]);
    let taken = own(&bed, "s");
    assert_eq!((taken.len(), own(&bed, "d"), own(&bed, "e").len()), (1, taken.clone(), 0));
    // Another line of the crontab, with another target.
    bed.run(&["cron", "-w", WINDOW, "s", "e"]).expect(0, &[]);
    assert_eq!((own(&bed, "s"), own(&bed, "e")), (taken.clone(), taken.clone()));
    // In sync there is nothing to do, nor to say.
    bed.write("calls", "");
    let ended = bed.run(&["cron", "-w", WINDOW, "s", "d"]);
    assert_eq!((ended.expect(0, &[]).stderr.as_str(), own(&bed, "s")), ("", taken));
    assert!(!bed.calls().iter().any(|call| call.starts_with("zfs send ") || call.starts_with("zfs snapshot ")));
}

#[test]
fn a_snapshot_taken_by_hand_is_pushed_all_the_same() {
    let bed = bed();
    bed.run(&["snapshot", "s"]).expect(0, &[]);
    bed.run(&["cron", "-w", WINDOW, "s", "d"]).expect(0, &[]);
    assert_eq!((own(&bed, "s").len(), own(&bed, "d")), (1, own(&bed, "s")));
}

#[test]
fn a_target_that_was_down_gets_it_later_in_the_window() {
    let bed = bed();
    bed.write("on-recv", "echo 'cannot receive: out of space' >&2; exit 1\n");
    bed.run(&["cron", "-w", WINDOW, "--retries", "0", "s", "d"]).expect(1, &["d: failed", "out of space"]);
    assert_eq!((own(&bed, "s").len(), own(&bed, "d").len()), (1, 0));
    bed.run(&["cron", "-w", WINDOW, "--retries", "0", "s", "d"]).expect(1, &["d: failed"]);
    fs::remove_file(bed.path("on-recv")).unwrap();
    bed.run(&["cron", "-w", WINDOW, "s", "d"]).expect(0, &[]);
    assert_eq!((own(&bed, "s").len(), own(&bed, "d")), (1, own(&bed, "s")));
}

/// More snapshots than are kept, and a `zfs` that doesn't come back when one is to be destroyed.
fn stuck() -> Bed {
    let bed = Bed::new();
    let days: Vec<String> = (1..=9).map(|day| format!("@24010{day}-000000_D")).collect();
    let names = |top: &str| days.iter().map(|day| format!("{top}{day}")).collect::<Vec<_>>();
    bed.world(&[("s", 1, 1), ("d", 2, 1)]);
    for top in ["s", "d"] {
        for (number, name) in (1..).zip(names(top)) {
            bed.world(&[(&name, number, number)]);
        }
    }
    fs::create_dir(bed.path("real")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    let hangs = r#"case "$*" in *userrefs*) touch "$here/stuck"; exec sleep 1000 ;; esac"#;
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{hangs}\nexec \"$here/real/zfs\" \"$@\"\n"));
    bed
}

#[test]
fn a_thinning_that_hangs_is_ended_by_a_signal() {
    let bed = stuck();
    let child = bed.command(&["cron", "-d", "1", "--only-named-targets", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("stuck");
    let began = Instant::now();
    signal(&child, Signal::TERM);
    Ended::of(child).expect(143, &["pruning s: interrupted"]);
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
fn a_thinning_that_hangs_is_ended_by_the_limit_of_its_job() {
    let bed = stuck();
    bed.write(
        "z.toml",
        "[job.a]\nsource = 's'\ntargets = ['d']\nsnapshot.enabled = false\nonly-named-targets = true\nkeep.last = 1\n",
    );
    let config = bed.path("z.toml").display().to_string();
    let began = Instant::now();
    let ended = bed.run(&["run", "--config", &config, "--job-timeout", "5s"]);
    ended.expect(1, &["a: stopped: it took longer than its job-timeout"]);
    assert!(bed.path("stuck").exists() && began.elapsed() < Duration::from_secs(40), "{ended:#?}");
}

#[test]
fn a_lock_that_can_not_be_had_is_told() {
    let bed = bed();
    let place = bed.path("run/zfsync");
    bed.run(&["snapshot", "s"]).expect(0, &[]);
    fs::write(&place, "not a directory").unwrap();
    let ended = bed.run(&["cron", "-w", WINDOW, "s", "d"]);
    ended.expect(1, &["d: ok", "pruning s: failed", "can't take the lock"]);
    assert_eq!(own(&bed, "d"), own(&bed, "s"));
}

#[test]
fn what_a_copy_keeps_for_its_own_targets_is_told_once() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("d", 2, 1)]);
    for (number, day) in (11..).zip(["240101", "240102", "240103"]) {
        for top in ["s", "d"] {
            bed.world(&[(&format!("{top}@{day}-000000_D"), number, number)]);
        }
    }
    let cron = || bed.run(&["cron", "-w", WINDOW, "-d", "99", "--keep-targets", "1d", "s", "d"]);
    bed.world(&[("d#zfsync-0123abcd-240101-000000_D", 11, 11)]);
    let words = "zfsync: pruning d: 2 snapshots are kept: targets of this copy may need them: zfsync targets d names these targets; if one \
                 no longer exists: zfsync forget d TARGET\n  This notice is printed once.\n";
    assert_eq!(cron().expect(0, &[]).stderr, words);
    assert_eq!(cron().expect(0, &[]).stderr, "");
    // When it has kept nothing for a while, it is told anew.
    let world = bed.read("world");
    bed.write("world", "s\t1\t1\ns@240103-000000_D\t13\t13\nd\t2\t1\nd@240103-000000_D\t13\t13\n");
    assert_eq!(cron().expect(0, &[]).stderr, "");
    bed.write("world", &world);
    assert_eq!(cron().expect(0, &[]).stderr, words);
}

#[test]
fn what_a_source_that_is_a_copy_keeps_is_told_again_when_it_recurs() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("d", 2, 1)]);
    for (number, day) in (11..).zip(["240101", "240102"]) {
        for top in ["s", "d"] {
            bed.world(&[(&format!("{top}@{day}-000000_D"), number, number)]);
        }
    }
    // The newer one was taken there.
    bed.write("marked", "s@240102-000000_D\ton\n");
    bed.write("settings", "s\tzfsync:received\t00000001-000000000000000b\n");
    bed.write("properties", "s\tzfsync:received\t00000001-000000000000000b\n");
    let cron = || bed.run(&["cron", "-w", WINDOW, "-d", "1", "s", "d"]);
    let words = "zfsync: pruning s: 1 snapshot is kept: the source of this copy may continue from there; if it no longer exists: zfs inherit \
                 -r zfsync:received 's'\n  This notice is printed once.\n";
    cron().expect(0, &[words]);
    assert_eq!(cron().expect(0, &[]).stderr, "");
    // Its source has gone on from another one: nothing is kept for a while.
    let world = bed.read("world");
    bed.write("world", &world.replace("s@240101-000000_D\t11\t11\n", ""));
    assert_eq!(cron().expect(0, &[]).stderr, "");
    bed.write("world", &world);
    assert_eq!(cron().expect(0, &[]).stderr, words);
}

/// A target is noted by a version of zfsync that says it in another way: nobody here knows what it needs.
#[test]
fn a_note_of_a_target_that_can_not_be_read_keeps_everything() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s@b", 12, 3)]);
    bed.write("settings", "s\tzfsync:target-0123456789abcdef\t{\"version\":9}\n");
    let words =
        ["zfsync:target-0123456789abcdef", "nothing of s on this machine was destroyed", "--only-named-targets"];
    bed.run(&["prune", "--foreign", "--keep-last", "1", "s"]).expect(3, &words);
    assert!(bed.calls().iter().all(|call| !call.starts_with("zfs destroy")), "{:#?}", bed.calls());
}

/// A copy below the dataset of which snapshots are taken, as on a host that keeps what others push to it.
fn copy_below() -> Bed {
    let bed = Bed::new();
    bed.world(&[("p", 1, 1), ("p/copy", 2, 2), ("p/copy@241101-000000_D", 11, 3)]);
    bed.write("settings", "p/copy\tzfsync:received\t00000001-000000000000000b\n");
    bed.write("properties", "p/copy\tzfsync:received\t00000001-000000000000000b\n");
    bed
}

#[test]
fn what_a_copy_continues_from_stays_where_snapshots_are_taken_above_it() {
    let bed = copy_below();
    bed.run(&["snapshot", "p"]).expect(0, &[]);
    assert_eq!(bed.read("marked").lines().count(), 2, "{}", bed.read("marked"));
    bed.run(&["prune", "--keep-last", "1", "p"]).expect(0, &[]);
    let destroyed =
        |bed: &Bed| bed.calls().into_iter().filter(|call| call.starts_with("zfs destroy")).collect::<Vec<_>>();
    assert_eq!(destroyed(&bed), [""; 0]);
    // Of its own one more goes; what came from its source doesn't.
    let first = own(&bed, "p/copy").pop().unwrap();
    bed.run(&["snapshot", "--format", "%y%m%d-%H%M%S_H", "--no-recursive", "p/copy"]).expect(0, &[]);
    bed.run(&["prune", "-n", "--keep-last", "1", "p/copy"]).expect(0, &[]);
    assert_eq!(destroyed(&bed), [format!("zfs destroy -nvp p/copy@{first}")]);
}

#[test]
fn what_is_no_copy_and_has_none_gets_no_mark() {
    let bed = bed();
    bed.run(&["snapshot", "s"]).expect(0, &[]);
    assert!(!bed.path("marked").exists());
    // --no-recursive takes none of what lies below.
    let bed = copy_below();
    bed.run(&["snapshot", "--no-recursive", "p"]).expect(0, &[]);
    assert!(!bed.path("marked").exists());
    bed.run(&["snapshot", "p/copy"]).expect(0, &[]);
    assert_eq!(bed.read("marked").lines().count(), 1);
}

/// Where nobody knows whether there is a copy, the mark is set: it harms nothing.
#[test]
fn what_may_be_a_copy_gets_the_mark() {
    let bed = bed();
    fs::create_dir(bed.path("real")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    let fails = r#"case "$*" in "get "*" all "*) echo "cannot open 's': I/O error" >&2; exit 1 ;; esac"#;
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{fails}\nexec \"$here/real/zfs\" \"$@\"\n"));
    bed.run(&["snapshot", "s"]).expect(0, &[]);
    assert_eq!(bed.read("marked").lines().count(), 1);
}

/// A user without the permission `userprop` can take snapshots, but not mark them.
#[test]
fn without_the_permission_for_the_mark_the_snapshot_is_taken_all_the_same() {
    let bed = copy_below();
    bed.write(
        "on-snapshot",
        "case \"$*\" in *taken-here*) echo 'cannot create snapshots : permission denied' >&2; exit 1 ;; esac\n",
    );
    bed.run(&["snapshot", "p"]).expect(0, &[]);
    let taken = bed.calls().into_iter().filter(|call| call.starts_with("zfs snapshot")).collect::<Vec<_>>();
    assert_eq!((taken.len(), own(&bed, "p").len(), bed.path("marked").exists()), (2, 1, false), "{taken:#?}");
}

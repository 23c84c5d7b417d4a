//! What a person is told, and how often.

mod support;

use support::terminal::Terminal;
use support::{Bed, eventually};

#[test]
fn one_command_grants_what_all_datasets_lack() {
    let bed = Bed::new();
    bed.world_with_work(3);
    // As the helper of a user says it.
    let grant = "root on the target's host can delegate the permission: zfs allow u receive";
    bed.write("on-recv", &format!("echo \"cannot receive: permission denied\n{grant} '${{last%@*}}'\" >&2\nexit 1\n"));
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(
        1,
        &["s/1 -> d/1: failed: cannot receive: permission denied\n", "permissions are missing for 3 datasets:\n"],
    );
    assert_eq!(ended.stderr.matches("zfs allow").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("{grant} 'd'\n")), "{}", ended.stderr);
}

/// Words are kept whole on a narrow terminal, and so is a command that somebody may copy.
#[test]
fn long_lines_are_broken_between_words_on_a_terminal() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let grant = "zfs allow u receive,create,mount,canmount,readonly,volmode,userprop";
    let words = format!(
        "cannot receive: permission denied\nroot on the target's host can delegate the permission: {grant} 'd'"
    );
    bed.write("on-recv", &format!("while [ ! -e \"$here/go\" ]; do sleep .05; done\necho \"{words}\" >&2\nexit 1\n"));
    let mut terminal = Terminal::start(&bed, &["push", "s", "d"]);
    terminal.resize(50);
    assert!(eventually(|| terminal.shown().contains("0/1 steps")), "{:?}", terminal.shown());
    bed.write("go", "");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(1), "{:?}", terminal.shown());
    let expected = format!(
        "permissions are missing for 1 dataset:\r\n  | root on the target's host can delegate the\r\n  |     permission:\r\n  |     {grant} 'd'\r\n"
    );
    assert!(eventually(|| terminal.shown().contains(&expected)), "{:?}", terminal.shown());
    // Without a terminal a line is a line.
    let ended = bed.run(&["push", "s", "d"]);
    ended.expect(1, &[&format!("can delegate the permission: {grant} 'd'\n")]);
}

/// Whoever isn't root may not count the files of each user (`zfs userspace`).
#[test]
fn a_target_that_may_be_empty_is_not_said_to_hold_data() {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 2, 1), ("d/x", 3, 1)]);
    let push = || bed.run(&["push", "s", "d/x"]);
    push().expect(1, &["the target has no snapshots but holds data", "--replace 'd/x'"]);
    let denied = "cannot get used/quota for d/x: permission denied";
    bed.write("on-userspace", &format!("echo '{denied}' >&2\nexit 1\n"));
    let ended = push();
    let unsure = "the target has no snapshots, and ZFS can't tell whether it holds data\n";
    let allowed = "who are allowed userused,userquota,userobjused,userobjquota, says: cannot get used/quota for d/x: permission denied\n";
    ended.expect(
        1,
        &[unsure, allowed, "to continue: name another TARGET, for example 'd/x/s', which leaves", "--replace 'd/x'"],
    );
    assert!(!ended.stderr.contains("but holds data"), "{}", ended.stderr);
}

/// Those below a dataset that failed are told of it.
#[test]
fn what_lies_below_a_dataset_that_could_not_be_sent() {
    let bed = Bed::new();
    bed.world(&[
        ("s", 1, 1),
        ("s@a", 11, 2),
        ("s/b", 2, 1),
        ("s/b@a", 12, 2),
        ("s/b/c", 3, 1),
        ("s/b/c@a", 13, 2),
        ("d", 4, 1),
    ]);
    bed.write("on-send", "echo 'cannot hold: permission denied' >&2\nexit 1\n");
    let ended = bed.run(&["push", "s", "d/x"]);
    ended.expect(1, &["cannot hold: permission denied", "s above it could not be replicated"]);
    assert_eq!(ended.stderr.matches("above it could not be replicated").count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("\n  2 datasets skipped: s above it could not be replicated (-v"),
        "{}",
        ended.stderr
    );
}

#[test]
fn globs_that_match_nothing_are_told() {
    let bed = Bed::new();
    bed.world_with_work(2);
    let refused = "--exclude \"s/1\": globs are relative to s: did you mean \"1\"?";
    for command in [&["push"][..], &["push", "-n"], &["status"], &["verify"], &["cron"]] {
        bed.run(&[command, &["--exclude", "s/1", "--exclude", "2", "s", "d"]].concat()).expect(2, &[refused]);
    }
    bed.run(&["prune", "--keep-last", "1", "--include", "s/1", "s"]).expect(2, &["did you mean \"1\"?"]);
    let run = bed.run(&["push", "--exclude", "x/1", "--exclude", "2", "s", "d"]);
    run.expect(0, &["--exclude \"x/1\" matches no dataset of s"]).without(&["--exclude \"2\""]);
    bed.run(&["push", "--exclude", "1", "s", "d"]).expect(0, &[]).without(&["matches no dataset"]);
}

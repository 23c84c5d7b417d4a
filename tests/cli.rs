//! The command line: usage errors, help, closed output, no `zfs`; and the helper as it is called. What a push says is in
//! push.rs.

mod support;

use std::io::{BufRead as _, Write};
use std::process::Stdio;

use serde_json::Value;
use support::{Bed, Ended, has_zfs};

/// Each line: arguments, and what stderr has to say.
#[track_caller]
fn usage_errors(cases: &[(&[&str], &str)]) {
    let bed = Bed::new();
    for (args, words) in cases {
        let ended = bed.run(args);
        ended.expect(2, &[words]);
        assert!(ended.stderr.starts_with("zfsync: error: "), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains("--help"), "{args:?} is not told where to read more: {}", ended.stderr);
    }
    assert_eq!(bed.calls(), [""; 0], "something was started");
}

#[test]
fn missing_and_surplus_arguments() {
    usage_errors(&[
        (&["push"], "<SOURCE>"),
        (&["push", "a"], "<TARGET>"),
        (&["push", "a", "b", "c"], "unexpected argument 'c'"),
        (&["push", "a", "b", "--nope"], "unexpected argument '--nope'"),
        (&["recv"], "--stdio"),
        (&["nope"], "unrecognized subcommand 'nope'"),
    ]);
}

#[test]
fn options_out_of_range_or_in_conflict() {
    usage_errors(&[
        (&["push", "a", "b", "-j", "0"], "'0' for '--channels <N>': expected a number from 1 to 64"),
        (&["push", "a", "b", "-j", "65"], "expected a number from 1 to 64"),
        (&["push", "a", "b", "--connections", "0"], "expected a number from 1 to 64"),
        (&["push", "a", "b", "-j", "many"], "expected a number from 1 to 64"),
        (&["push", "a", "b", "-p", "65536"], "65536 is not in 1..=65535"),
        (&["push", "a", "b", "--depth", "-1"], "'-1'"),
        (&["push", "a", "b", "--depth", "1", "--no-recursive"], "cannot be used with"),
        (&["push", "a", "b", "-r", "--no-recursive"], "cannot be used with"),
        (&["push", "a", "b", "-v", "-q"], "cannot be used with"),
        (&["push", "a", "b", "--exclude", "["], "--exclude \"[\": unclosed character class"),
        (&["push", "a", "b", "--include", "{x"], "--include \"{x\": "),
        (
            &["push", "a", "b:c", "--remote-zfsync", "'x"],
            "--remote-zfsync \"'x\" is not a valid command: missing closing quote",
        ),
        (&["push", "a", "b:c", "--remote-zfsync", ""], "is not a valid command: it is empty"),
    ]);
}

#[test]
fn sources_that_are_none() {
    let long = format!("p/{}", "x".repeat(254));
    usage_errors(&[
        (&["push", "", "b"], "SOURCE: the name is empty"),
        (&["push", "p/a@s", "b"], "SOURCE: \"p/a@s\" is a snapshot; name the dataset (without '@...')"),
        (&["push", "p/a#m", "b"], "SOURCE: \"p/a#m\" is a bookmark"),
        (&["push", "p//a", "b"], "SOURCE: \"p//a\" has an empty component"),
        (&["push", "/p/x", "b"], "SOURCE: \"/p/x\" is a path, not a dataset name; did you mean \"p/x\""),
        (&["push", "p/", "b"], "\"p/\" has an empty component"),
        (&["push", "p/../q", "b"], "a component '.' or '..'"),
        (&["push", "p/a;b", "b"], "SOURCE: \"p/a;b\" has the character ';'"),
        (&["push", "p/\u{e4}", "b"], "has the character '\u{e4}'"),
        (&["push", "p/a\nb", "b"], "has the character '\\n'"),
        (&["push", "1p", "b"], "a pool name that doesn't begin with a letter"),
        (&["push", &long, "b"], "has 256 bytes; ZFS allows 255 for a whole name"),
        (&["push", ":p", "b"], "SOURCE: \":p\" has no host before the ':'"),
        (
            &["pull", "me@beta/p/a", "b"],
            "SOURCE: \"me@beta/p/a\" has no ':' after the host: write [USER@]HOST:DATASET; did you mean \"me@beta:p/a\"?",
        ),
        (&["pull", "beta:", "b"], "SOURCE: \"beta:\" has no dataset after the ':'"),
        (&["pull", "beta:p@s", "b"], "is a snapshot; name the dataset"),
        (&["push", "-p", "22", "beta:p", "gamma:p"], "-p is ambiguous with SOURCE and TARGET on two other hosts"),
        (&["pull", "-i", "/dev/null", "beta:p", "gamma:p"], "-i is ambiguous"),
        (&["pull", "-i", "/nokey", "beta:p", "q"], "invalid value '/nokey' for '--identity <FILE>': no such file"),
        (&["push", "-i", "/nokey", "p", "beta:q"], "invalid value '/nokey' for '--identity <FILE>': no such file"),
        (&["doctor", "-i", "/nokey", "beta:q"], "invalid value '/nokey' for '--identity <FILE>': no such file"),
        (&["status", "-i", "/nokey", "p", "beta:q"], "invalid value '/nokey' for '--identity <FILE>': no such file"),
        (&["helper", "remove", "-i", "/nokey", "beta"], "invalid value '/nokey' for '--identity <FILE>': no such file"),
        (&["pull", "-o", "User=me", "beta:p", "gamma:p"], "-o User is ambiguous"),
        (&["push", "-o", "hostname 10.0.0.1", "beta:p", "gamma:p"], "-o hostname is ambiguous"),
    ]);
}

#[test]
fn targets_that_are_none() {
    let long = format!("beta:p/{}", "x".repeat(254));
    usage_errors(&[
        (&["push", "p", ""], "TARGET: the name is empty"),
        (&["push", "p", ":b"], "TARGET: \":b\" has no host before the ':'"),
        (&["push", "p", "me@:b"], "has no host before the ':'"),
        (&["push", "p", "@beta:b"], "has no host before the ':'"),
        (&["push", "p", "beta:"], "TARGET: \"beta:\" has no dataset after the ':'"),
        (&["push", "p", "[::1:b"], "write an IPv6 address in brackets"),
        (&["push", "p", "--", "-oProxyCommand=x:b"], "TARGET: \"-oProxyCommand=x\" is not a valid host or user name"),
        (&["push", "p", "--", "-l@beta:b"], "\"-l\" is not a valid host or user name"),
        (&["push", "p", "me@-x:b"], "\"-x\" is not a valid host or user name"),
        (&["push", "p", "be ta:b"], "\"be ta\" is not a valid host or user name"),
        (&["push", "p", "$(x):b"], "\"$(x)\" is not a valid host or user name"),
        (&["push", "p", "beta:b@s"], "\"b@s\" is a snapshot"),
        (&["push", "p", "beta:b*"], "\"b*\" has the character '*'"),
        (&["push", "p", "beta:b//c"], "has an empty component"),
        (
            &["push", "p", "me@beta:/b/c/"],
            "\"me@beta:/b/c/\" has a path after the ':', not a dataset name; did you mean \"me@beta:b/c\"?",
        ),
        (&["push", "p", "me@beta"], "\"me@beta\" has no ':' after the host: write [USER@]HOST:DATASET"),
        (
            &["push", "p", "me@beta/b/c"],
            "\"me@beta/b/c\" has no ':' after the host: write [USER@]HOST:DATASET; did you mean \"me@beta:b/c\"?",
        ),
        (&["push", "p", "b@s"], "a snapshot can't be a target"),
        (&["push", "p", "b/c@s"], "TARGET: \"b/c@s\" is a snapshot; name the dataset"),
        (&["push", "p", &long], "has 256 bytes; ZFS allows 255 for a whole name"),
    ]);
}

#[test]
fn a_dataset_of_another_host_where_one_of_this_machine_is_meant() {
    let there = "is on another host, and snapshots are taken on this machine: run zfsync snapshot there, for example: ";
    usage_errors(&[
        (&["snapshot", "beta:p/a"], &format!("\"beta:p/a\" {there}ssh beta zfsync snapshot p/a")),
        (&["snapshot", "p", "me@beta:p/a"], &format!("\"me@beta:p/a\" {there}ssh me@beta zfsync snapshot p/a")),
        (&["snapshot", "me@beta/p/a"], "DATASET: \"me@beta/p/a\" has no ':' after the host"),
        (&["prune", "--keep-last", "1", "beta:p"], "beta:p is a target without its source: name the source first"),
        (
            &["prune", "--keep-last", "1", "me@beta:p"],
            "if me@beta:p is to be pruned as a source, use --source me@beta:p",
        ),
    ]);
}

#[test]
fn a_prune_needs_a_rule() {
    let words = "no retention rule given: use at least one of --keep, --keep-last and --keep-class (without one, every snapshot that is \
                 not protected would be destroyed)";
    usage_errors(&[
        (&["prune", "p"], words),
        (&["prune", "p", "beta:q"], words),
        (&["prune", "--source", "beta:p"], words),
    ]);
}

#[test]
fn what_replace_names_by_mistake() {
    usage_errors(&[
        (&["push", "--replace", "p/a/m", "p/a", "b:q/a"], "it is not within the target q/a; did you mean q/a/m?"),
        (&["push", "--replace", "b:q/a/m", "p/a", "b:q/a"], "; did you mean q/a/m?"),
        (&["push", "--replace", "x/y", "p/a", "b:q/a"], "\"x/y\": it is not within the target q/a\n"),
    ]);
}

#[test]
fn options_and_commands_that_zfs_has() {
    usage_errors(&[
        (&["push", "-R", "a", "b:c"], "tip: all datasets below SOURCE and their snapshots are included by default"),
        (
            &["pull", "--compress=lz4", "b:c", "a"],
            "tip: blocks that are compressed on disk are sent compressed by default",
        ),
        (&["push", "--raw", "a", "b:c"], "tip: encrypted datasets are sent raw by default"),
        (&["push", "--force", "a", "b:c"], "--rollback, --set-aside or --replace"),
        (&["push", "--set-aside", "--rollback", "a", "b:c"], "cannot be used with"),
        (
            &["send", "tank/x"],
            "'zfsync send' is the helper that ssh starts on the source's host: to replicate a dataset to another host, use 'zfsync push'",
        ),
        (&["send"], "use 'zfsync push'"),
        (&["recv", "tank/x"], "use 'zfsync pull'"),
        (&["push", "-Z", "a", "b:c"], "For more information, try 'zfsync push --help'."),
        (&["helpme"], "For more information, try 'zfsync --help'."),
    ]);
    let bed = Bed::new();
    for misleading in
        [&["push", "-R", "a", "b:c"][..], &["push", "--compress", "a", "b:c"], &["push", "-Z", "a", "b:c"]]
    {
        bed.run(misleading).expect(2, &[]).without(&["as a value", "similar argument"]);
    }
}

#[test]
fn a_tree_is_not_sent_into_itself() {
    let words = "overlap on this machine: a dataset can't be replicated into itself";
    usage_errors(&[
        (&["push", "p/a", "p/a"], words),
        (&["push", "p/a", "p/a/b"], words),
        (&["push", "p/a/b", "p"], words),
    ]);
}

#[test]
fn a_name_that_gets_too_long_over_there() {
    let bed = Bed::new();
    let long = format!("s/{}", "x".repeat(200));
    let snapshot = format!("s/a@{}", "z".repeat(200));
    bed.world(&[("s", 1, 1), ("s@a", 9, 3), (&long, 2, 2), (&format!("{long}@a"), 3, 3), ("d", 4, 1)]);
    bed.world(&[("s/a", 5, 2), (&snapshot, 6, 3), ("s/ok", 7, 2), ("s/ok@a", 8, 3)]);
    let target = format!("d/{}", "y".repeat(100));
    let ended = bed.run(&["push", "s", &target]);
    ended.expect(
        1,
        &["2 of 4 datasets failed; 2 in sync", "has 303 bytes; ZFS allows 255 for a whole name", "a shorter TARGET"],
    );
    ended.expect(1, &[&format!("s/a -> {target}/a: failed: "), &format!("{target}/a@z"), "has 305 bytes"]);
    assert!(bed.read("world").contains(&format!("{target}/ok@a\t8\t")), "the neighbour has arrived");
    let dry = bed.run(&["push", "-n", "s", &target]);
    assert_eq!(dry.expect(1, &[]).stdout.matches("has 30").count(), 2, "{dry:#?}");
}

#[test]
fn a_filter_that_matches_nothing_is_a_mistake() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let words = "zfsync: error: nothing to prune: no dataset is selected; check --include and --exclude";
    bed.run(&["prune", "-q", "--keep-last", "1", "--include", "nothing", "s"]).expect(1, &[words]);
    bed.run(&["prune", "-n", "--keep-last", "1", "--include", "nothing", "s"]).expect(1, &[words, "no dataset of s"]);
}

#[test]
fn help_and_version() {
    let bed = Bed::without_zfs();
    let help = bed.run(&["--help"]);
    assert!(help.expect(0, &[]).stdout.contains("Exit codes:") && help.stderr.is_empty());
    let help = bed.run(&["push", "--help"]);
    for word in ["--dry-run", "--remote-zfsync", "Examples:", "SOURCE"] {
        assert!(help.stdout.contains(word), "{word}");
    }
    assert!(!bed.run(&["--help"]).stdout.contains("generate"), "it is hidden");
    assert_eq!(bed.run(&["--version"]).expect(0, &[]).stdout, format!("zfsync {}\n", env!("CARGO_PKG_VERSION")));
    for command in [
        "push",
        "pull",
        "cron",
        "run",
        "check-config",
        "snapshot",
        "prune",
        "status",
        "targets",
        "forget",
        "doctor",
        "verify",
        "restore",
        "recv",
        "send",
    ] {
        let usage = format!("Usage: zfsync {command}");
        let help = bed.run(&["help", command]).expect(0, &[]).stdout.clone();
        assert!(help.contains(&usage), "{help}");
        assert_eq!(bed.run(&[command, "--help"]).expect(0, &[]).stdout, help);
        let short = if command == "cron" { "-H" } else { "-h" };
        assert!(bed.run(&[command, short]).expect(0, &[]).stdout.contains(&usage), "{command}");
    }
    assert_eq!(bed.run(&["help"]).expect(0, &[]).stdout, bed.run(&["--help"]).stdout);
    assert!(bed.run(&["push", "-h"]).stdout.contains("-r, --recursive"));
    // Without any argument the help is the error.
    bed.run(&[]).expect(2, &["Usage: zfsync"]);
}

#[test]
fn nobody_reads_stdout_or_stderr() {
    let bed = Bed::new();
    bed.world_with_work(1);
    // Everything into a pipe that nobody reads: writes fail from the first on.
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for args in [&["--help"][..], &["--version"], &["push", "--help"]] {
        let child = bed.command(args).stdout(closed()).spawn().unwrap();
        Ended::of(child).expect(0, &[]);
    }
    let child = bed.command(&["push", "-n", "s", "d"]).stdout(closed()).spawn().unwrap();
    Ended::of(child).expect(0, &[]);
    // Whoever wanted the events has not got them; the run itself goes on to its end.
    for args in [&["push", "-n", "--json", "s", "d"][..], &["push", "--json", "s", "d"]] {
        let child = bed.command(args).stdout(closed()).spawn().unwrap();
        Ended::of(child).expect(1, &["stdout was closed or not read"]);
    }
    assert_eq!(bed.calls().iter().filter(|call| call.starts_with("zfs recv")).count(), 1);
    // Neither stderr; the exit code still tells.
    let child = bed.command(&["push", "-v", "s", "d"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(Ended::of(child).code, Some(0));
    let child = bed.command(&["push", "s"]).stdout(closed()).stderr(closed()).spawn().unwrap();
    assert_eq!(Ended::of(child).code, Some(2));
}

/// Whoever stops to read stderr, or never has, stops no run.
#[test]
fn a_reader_of_stderr_who_leaves_stops_no_run() {
    for (ends, verbose) in [
        ("2>&-", "-v"),
        ("2>&-", "-vvv"),
        (">&- 2>&-", "-vvv"),
        ("2> >(head -n 1 >&2)", "-vvv"),
        ("2> >(exit)", "-vvv"),
    ] {
        let bed = Bed::new();
        bed.world_with_work(3);
        let mut shell = bed.command(&[]);
        let path = shell.get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        let line = format!("\"$0\" push {verbose} s d {ends}");
        let mut command = std::process::Command::new("/bin/bash");
        command.args(["-c", &line]).arg(support::zfsync()).env_clear();
        command
            .envs(shell.stdin(Stdio::null()).get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("PATH", path);
        let ended =
            Ended::of(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        assert_eq!(ended.code, Some(0), "{line}: {ended:#?}");
        assert!(!ended.stderr.contains("panicked"), "{line}: {ended:#?}");
        let received = bed.calls().iter().filter(|call| call.starts_with("zfs recv")).count();
        assert_eq!(received, 3, "{line}: {ended:#?}");
    }
    // Both into a pager that is left early.
    let bed = Bed::new();
    bed.world_with_work(3);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = bed.command(&["push", "-vvv", "s", "d"]);
    let child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
    drop(command);
    let mut first = String::new();
    std::io::BufReader::new(reader).read_line(&mut first).unwrap();
    assert_eq!(Ended::of(child).code, Some(0), "{first}");
    assert_eq!(bed.calls().iter().filter(|call| call.starts_with("zfs recv")).count(), 3);
}

/// The conventions of no-color.org and bixense.com/clicolors.
#[test]
fn the_environment_decides_about_colours() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let shown = |args: &[&str], set: &[(&str, &str)]| {
        Ended::of(bed.command(args).env("TERM", "xterm").envs(set.iter().copied()).spawn().unwrap())
    };
    for (set, colours) in [
        (&[][..], false),
        (&[("CLICOLOR", "1")], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "")], false),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], true),
    ] {
        let plan = shown(&["push", "-n", "s", "d"], set);
        assert_eq!(plan.expect(0, &[]).stdout.contains("\x1b[32mincremental \x1b[0m"), colours, "{set:?}: {plan:#?}");
        let usage = shown(&["push", "--nonsense"], set);
        assert_eq!(usage.expect(2, &["nonsense"]).stderr.contains('\x1b'), colours, "{set:?}: {usage:#?}");
    }
}

#[test]
fn a_prune_is_logged() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let log = bed.path("log");
    let prune = ["prune", "--foreign", "--keep-last", "9", "--log-file", log.to_str().unwrap()];
    bed.run(&[&prune[..], &["-n", "s"]].concat()).expect(0, &["nothing would be destroyed"]);
    assert!(!log.exists(), "a dry run changes nothing");
    bed.run(&[&prune[..], &["-q", "s"]].concat()).expect(0, &[]);
    bed.run(&[&prune[..], &["nosuch"]].concat()).expect(3, &["can't list nosuch"]);
    let text = bed.read("log");
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
    assert!(lines[0].starts_with("pruning: s: nothing to destroy; kept: "), "{text}");
    assert!(lines[1].starts_with("pruning: can't list nosuch"), "{text}");
}

/// What was asked for and can't be written is an error; what only tells of what was done is none.
#[test]
fn stdout_is_full() {
    let bed = Bed::new();
    bed.world_with_work(1);
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for (args, what) in [
        (&["status", "s", "d"][..], "status"),
        (&["verify", "s", "d"], "comparison"),
        (&["push", "-n", "s", "d"], "plan"),
        (&["prune", "-n", "--foreign", "--keep-last", "1", "s"], "list"),
        (&["snapshot", "s"], "names of the snapshots"),
    ] {
        let child = bed.command(args).stdout(full()).spawn().unwrap();
        Ended::of(child).expect(3, &[&format!("zfsync: error: can't print the {what}: No space left on device")]);
    }
    let child = bed.command(&["targets", "s"]).stdout(full()).spawn().unwrap();
    Ended::of(child).expect(0, &[]).without(&["error"]);
    // A reader who has left the list has perhaps not seen all that would go.
    let child =
        bed.command(&["prune", "-n", "--foreign", "--keep-last", "1", "s"]).stdout(std::io::pipe().unwrap().1).spawn();
    Ended::of(child.unwrap()).expect(3, &["can't print the list: Broken pipe"]);
}

/// In one terminal the words about a tree stand below its list.
#[test]
fn stdout_and_stderr_come_in_their_order() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.world(&[("v", 91, 1), ("v@a", 92, 2), ("v@b", 93, 3)]);
    for (args, wanted) in [
        (
            &["prune", "-n", "--foreign", "--keep-last", "1", "s", "v"][..],
            &["s/1@a", "zfsync: s: 1 snapshot", "v@a", "zfsync: v: 1 snapshot"][..],
        ),
        (&["snapshot", "-n", "s"], &["would take s@", "zfsync: would take @", "  zfs snapshot -r 's@"]),
    ] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = bed.command(args);
        let mut child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(command);
        let mut text = String::new();
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        assert!(child.wait().unwrap().success(), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), wanted.len(), "{text}");
        assert!(lines.iter().zip(wanted).all(|(line, start)| line.starts_with(start)), "{text}");
    }
}

#[test]
fn no_zfs_here() {
    if has_zfs() {
        return eprintln!("skipped: this machine has a zfs of its own");
    }
    let bed = Bed::without_zfs();
    let words =
        "no zfs command on this machine (looked in PATH, /sbin, /usr/sbin, /usr/local/sbin): is OpenZFS installed?";
    bed.run(&["push", "p", "beta:b"]).expect(3, &[words]).without(&["did you mean"]);
    bed.run(&["push", "tank", "backup"])
        .expect(3, &[words, "did you mean the host \"backup\"? Then write backup:DATASET"]);
    bed.run(&["push", "-n", "tank", "backup/a/b"])
        .expect(3, &["if it is on another host, write HOST:backup/a/b; if \"backup\" is the host, write backup:a/b"]);
    for path in ["", "bin:.", "/nonexistent"] {
        let child = bed.command(&["push", "p", "b"]).env("PATH", path).spawn().unwrap();
        Ended::of(child).expect(3, &[words]);
    }
    let child = bed.command(&["push", "p", "b"]).env_remove("PATH").spawn().unwrap();
    Ended::of(child).expect(3, &[words]);
    // What is called zfs and can't be run is none.
    bed.write("bin/zfs", "#!/bin/sh\n");
    bed.run(&["push", "p", "b"]).expect(3, &[words]);
}

/// Starts `recv --stdio`, writes `input`, closes, and returns how it ended.
fn helper(bed: &Bed, input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = bed.command(&["recv", "--stdio"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have given up already.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_helper_greets_and_goes() {
    let bed = Bed::new();
    let (code, greeting, stderr) = helper(&bed, b"");
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let greeting = String::from_utf8(greeting).unwrap();
    let json = greeting.strip_prefix("ZFSYNC-HELPER/2 ").and_then(|rest| rest.strip_suffix('\n')).unwrap();
    let hello: Value = serde_json::from_str(json).unwrap();
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(hello["zfs_path"].as_str(), bed.path("bin/zfs").to_str());
    assert_eq!(bed.calls(), [""; 0], "a greeting must cost nothing");
    // Also with a stdin that was never open.
    let child = bed.command(&["recv", "--stdio"]).spawn().unwrap();
    Ended::of(child).expect(0, &[]);
}

#[test]
fn the_helper_survives_garbage() {
    let bed = Bed::new();
    let announced = [&[0, 0, 0, 9, 1, 0, 0, 0][..], b"{\"verb\":"].concat();
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0",
        &[0xff; 4096],
        &[0, 0, 0, 2, 1, 0, 0, 0, b'{', b'}'],
        &[0, 0, 0, 1, 2, 0, 0, 0, b'x'],
        &announced,
    ] {
        let (code, _, stderr) = helper(&bed, garbage);
        assert_eq!(code, Some(1), "{garbage:?}: {stderr}");
        assert!(stderr.starts_with("zfsync helper: ") && !stderr.contains("panicked"), "{stderr}");
    }
}

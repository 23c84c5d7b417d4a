//! `zfsync run` and `zfsync check-config` on the command line: what is told of a file, its errors, hooks, time limits.
//! A fake `zfs` and targets on this machine.

mod support;

use std::time::{Duration, Instant};

use support::{Bed, Ended};

/// A bed with a source and a file; `BED` in the text is its directory.
fn bed(text: &str) -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 3)]);
    let dir = bed.path("").display().to_string();
    bed.write("z.toml", &text.replace("BED", dir.trim_end_matches('/')));
    bed
}

fn run(bed: &Bed, args: &[&str]) -> Ended {
    let config = bed.path("z.toml").display().to_string();
    bed.run(&[&args[..1], &["--config", &config], &args[1..]].concat())
}

const TWO: &str = "[job.one]\nsource = 's'\n[job.two]\nsource = 's'\nsnapshot.enabled = false\nkeep.last = 3\n";

#[test]
fn a_good_file_is_told_in_plain_words() {
    let bed = bed(TWO);
    let ended = run(&bed, &["check-config"]);
    ended.expect(0, &[]);
    assert!(ended.stdout.starts_with("one\n  takes snapshots named "), "{ended:#?}");
    assert!(ended.stdout.contains("\n\ntwo\n  takes no snapshots\n"), "{ended:#?}");
    assert_eq!(ended.stderr, "");
    let ended = run(&bed, &["check-config", "two"]);
    assert!(ended.stdout.starts_with("two\n"), "{ended:#?}");
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was asked");
}

#[test]
fn a_source_on_another_host_is_told_with_it() {
    let bed = bed(
        "[job.web]\nsource = 'web:p/s'\ntargets = ['vault:q/t']\nkeep.last = 3\nsource-ssh.port = 2222\nbwlimit = '50M'\n",
    );
    let ended = run(&bed, &["check-config"]);
    ended.expect(0, &[]);
    for words in [
        "  replicates web:p/s, with all datasets below, to vault:q/t,",
        "  sends 50.0 MiB/s at most, to all targets together\n",
        "  prunes web:p/s: keeps the newest 3",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {ended:#?}");
    }
}

#[test]
fn errors_have_their_place() {
    let bed = bed("[job.one]\nsource = 's'\ntarget = ['d']\n");
    for command in ["check-config", "run"] {
        run(&bed, &[command])
            .expect(2, &["z.toml:3: job one: unknown key \"target\" in [job.one]: did you mean \"targets\"?"]);
    }
    bed.write("z.toml", "[job.one]\n[job.two]\n");
    run(&bed, &["check-config"]).expect(2, &["z.toml:1: job one: source is missing", "z.toml:2: job two: source is"]);
    bed.run(&["run", "--config", "/nonexistent/z.toml"]).expect(
        2,
        &["/nonexistent/z.toml: can't read the file", "create it (zfsync.toml(5)), or name another one with --config"],
    );
    bed.run(&["run", "--config", "/dev/zero"]).expect(2, &["larger than 1 MiB"]);
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was asked");
}

#[test]
fn unknown_jobs_are_refused() {
    let bed = bed(TWO);
    for command in ["check-config", "run"] {
        run(&bed, &[command, "one", "tow"]).expect(2, &["no job \"tow\": did you mean \"two\"? (jobs: one, two)"]);
    }
    run(&bed, &["run", "--job-timeout", "0", "one"]).expect(2, &["must be greater than 0"]);
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was asked");
}

/// The hooks leave their environment in a file.
const HOOKS: &str = r#"
[defaults]
source = "s"
snapshot.enabled = false
targets = ["nopool/x"]
retries = 0
[job.bad]
pre-push = "sh -c 'echo no disk; exit 7'"
post-push = "touch BED/never"
[job.late]
hook-timeout = "1s"
pre-push = "sleep 1000"
[job.good]
pre-push = "sh -c 'env | grep ^ZFSYNC_ | grep -v _DIR= | sort >BED/pre'"
post-push = { command = "env | grep ^ZFSYNC_ | sort >BED/post; exit 3", shell = true }
"#;

#[test]
fn hooks_stop_their_job_alone() {
    let bed = bed(HOOKS);
    let ended = run(&bed, &["run"]);
    ended.expect(1, &["zfsync: bad on ", "pre-push hook: failed", "exit status 7", "no disk", "zfsync: late on "]);
    ended.expect(1, &["sleep 1000: killed: it took longer than 1.0 s", "post-push hook: failed", "exit status 3"]);
    assert!(!bed.path("never").exists(), "the job went on");
    assert_eq!(bed.read("pre"), "ZFSYNC_JOB=good\nZFSYNC_SOURCE=s\nZFSYNC_TARGETS=nopool/x\n");
    let post = bed.read("post");
    assert!(post.contains("ZFSYNC_RESULT=") && !post.contains("ZFSYNC_RESULT=0\n"), "{post}");
    bed.wait_for_no_process();
}

/// Several jobs may share a log.
#[test]
fn a_log_names_the_job_of_each_part() {
    let bed = bed(
        "[defaults]\nsource = 's'\nlog = 'BED/log'\n[job.one]\npre-snapshot = 'echo ready'\nkeep.last = 1\n[job.two]\nsnapshot.format = \
         'two-%Y-%m-%d-%H-%M-%S'\n",
    );
    run(&bed, &["run"]).expect(0, &[]);
    let log = bed.read("log");
    let lines: Vec<&str> = log.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    for begin in
        ["one: pre-snapshot hook: ready", "one: snapshot: took @", "one: pruning s: ", "two: snapshot: took @two"]
    {
        assert_eq!(lines.iter().filter(|line| line.starts_with(begin)).count(), 1, "{begin}: {log}");
    }
}

/// A job's result goes to one of two hooks.
const RESULTS: &str = r#"
[defaults]
source = "s"
snapshot.enabled = false
on-success = "tee BED/success"
on-failure = { command = "cat >BED/failure; echo $ZFSYNC_RESULT >>BED/failure", shell = true }
[job.bad]
targets = ["nopool/x"]
pre-push = "sh -c 'echo no disk; exit 7'"
[job.good]
targets = []
[job.unheard]
targets = []
on-success = "sh -c 'echo no network; exit 1'"
"#;

#[test]
fn the_result_of_a_job_goes_to_a_hook() {
    let bed = bed(RESULTS);
    run(&bed, &["run", "good"]).expect(0, &[]);
    assert!(!bed.path("failure").exists(), "{}", bed.read("failure"));
    let success: serde_json::Value = serde_json::from_str(&bed.read("success")).unwrap();
    assert_eq!((&success["schema_version"], &success["job"]), (&1.into(), &"good".into()));
    assert_eq!((&success["result"], &success["exit_code"]), (&"success".into(), &0.into()));

    std::fs::remove_file(bed.path("success")).unwrap();
    run(&bed, &["run", "bad"]).expect(1, &["on-failure hook: ok"]);
    assert!(!bed.path("success").exists());
    let failure = bed.read("failure");
    let (failure, exit) = failure.trim_end().split_once('\n').unwrap();
    let failure: serde_json::Value = serde_json::from_str(failure).unwrap();
    assert_eq!((&failure["result"], &failure["exit_code"], exit), (&"failed".into(), &1.into(), "1"));
    assert_eq!(failure["targets"], serde_json::json!(["nopool/x"]));
    let part = &failure["parts"][0];
    assert_eq!((&part["part"], &part["result"]), (&"pre-push hook".into(), &"failed".into()));
    assert!(part["message"].as_str().unwrap().contains("no disk"), "{part}");

    run(&bed, &["run", "unheard"]).expect(1, &["on-success hook: failed", "no network"]);
}

#[test]
fn the_second_signal_ends_a_result_hook() {
    let bed = bed(
        "[job.a]\nsource = 's'\nsnapshot.enabled = false\ntargets = []\non-success = \"sh -c 'echo >BED/began; sleep 1000'\"\n",
    );
    let config = bed.path("z.toml").display().to_string();
    let began = Instant::now();
    let child = bed.command(&["run", "--config", &config]).spawn().unwrap();
    bed.wait_for_file("began");
    // Two kinds, as two of one kind that come at once are one.
    support::signal(&child, rustix::process::Signal::HUP);
    support::signal(&child, rustix::process::Signal::TERM);
    Ended::of(child).expect(143, &["the job was stopped"]);
    assert!(began.elapsed() < Duration::from_secs(200), "{:?}", began.elapsed());
    bed.wait_for_no_process();
}

#[test]
fn a_hook_written_for_a_shell_is_refused() {
    let bed = bed("[job.a]\nsource = 's'\npre-snapshot = 'db freeze && sync'\n");
    for command in ["check-config", "run"] {
        run(&bed, &[command]).expect(2, &["z.toml:3: ", "has && outside of quotes", "shell = true"]);
    }
    assert_eq!(bed.calls(), [] as [&str; 0], "something was started");
}

#[test]
fn nothing_is_done_after_a_pre_snapshot_hook_that_fails() {
    let bed = bed("[job.a]\nsource = 's'\ntargets = ['d']\npre-snapshot = 'false'\n");
    run(&bed, &["run"]).expect(1, &["pre-snapshot failed, nothing was done\n", "pre-snapshot hook: failed"]);
    assert!(!bed.calls().iter().any(|call| call.starts_with("zfs snapshot ") || call.starts_with("zfs recv ")));
}

#[test]
fn a_job_that_takes_too_long_is_stopped() {
    let bed = bed(
        "[job.a]\nsource = 's'\ntargets = ['d']\npre-snapshot = 'sleep 1000'\n[job.b]\nsource = 's'\nsnapshot.enabled = false\n",
    );
    let began = Instant::now();
    let ended = run(&bed, &["run", "--job-timeout", "1s", "-v"]);
    ended.expect(
        1,
        &["zfsync: a on ", "killed: the job was stopped", "a: stopped: it took longer than its job-timeout"],
    );
    // Each says which job it is about.
    let ended = run(&bed, &["run", "-v", "b"]);
    let told = ended.stderr.lines().next().unwrap();
    assert!(told.starts_with("zfsync: b on ") && told.ends_with(": success"), "{ended:#?}");
    run(&bed, &["run", "b"]).expect(0, &[]).without(&["zfsync: b on "]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    bed.wait_for_no_process();
}

#[test]
fn a_signal_ends_all_jobs() {
    let bed =
        bed("[job.a]\nsource = 's'\npre-snapshot = \"sh -c 'touch BED/began; sleep 1000'\"\n[job.b]\nsource = 's'\n");
    let config = bed.path("z.toml").display().to_string();
    let child = bed.command(&["run", "--config", &config]).spawn().unwrap();
    bed.wait_for_file("began");
    support::signal(&child, rustix::process::Signal::TERM);
    let ended = Ended::of(child);
    ended.expect(143, &["interrupted"]).without(&["zfsync: b on "]);
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was called");
    bed.wait_for_no_process();
}

/// `push`, `cron` and a file's job leave out what changes nothing, and ask for the slow column only then.
#[test]
fn snapshots_that_change_nothing_are_left_out() {
    let names = ["s@a", "s@b", "s@c", "s@d", "s@e", "s@f"];
    let world = |bed: &Bed| {
        let all: Vec<_> = (1..).zip(names).map(|(number, name)| (name, number, number)).collect();
        bed.write("world", "s\t90\t1\nd\t91\t1\nd@a\t1\t1\n");
        bed.world(&all);
        bed.write("written", "s@b\t0\ns@c\t4096\ns@d\t512\ns@e\t0\ns@f\t0\n");
        bed.write("calls", "");
    };
    let sends = |bed: &Bed| -> Vec<String> {
        let calls = bed.calls().into_iter().filter(|call| call.starts_with("zfs send ") && !call.contains(" -n "));
        calls.filter_map(|call| call.find(" -i ").or(call.find(" -I ")).map(|at| call[at + 1..].to_owned())).collect()
    };
    let asked = |bed: &Bed| bed.calls().into_iter().filter(|call| call.contains("name,written s@")).collect::<Vec<_>>();
    let bed = bed("[job.one]\nsource = 's'\ntargets = ['d']\nsnapshot.enabled = false\nskip-empty = true\n");
    world(&bed);
    run(&bed, &["run"]).expect(0, &[]);
    assert_eq!(sends(&bed), ["-i @a s@c", "-i @c s@d", "-i @d s@f"]);
    assert_eq!(asked(&bed), ["zfs list -Hp -t snapshot -o name,written s@b s@c s@d s@e"]);
    // The same for push, which is in sync then.
    world(&bed);
    let ended = bed.run(&["push", "-n", "--skip-empty", "s", "d"]);
    ended.expect(0, &[]);
    for words in ["@a -> @c", "@c -> @d", "@d -> @f"] {
        let row: Vec<&str> = words.split(" -> ").collect();
        assert!(ended.stdout.lines().any(|line| row.iter().all(|name| line.contains(name))), "{words} in {ended:#?}");
    }
    assert_eq!(sends(&bed), [""; 0]);
    bed.run(&["push", "--skip-empty", "s", "d"]).expect(0, &["3 snapshots"]);
    bed.write("calls", "");
    bed.run(&["push", "--skip-empty", "s", "d"]).expect(0, &["nothing to do"]);
    assert_eq!((asked(&bed), sends(&bed)), (vec![], vec![]));
    // cron takes a snapshot, so @f is one of those between.
    world(&bed);
    bed.run(&["cron", "--skip-empty", "s", "d"]).expect(0, &[]);
    assert_eq!(sends(&bed)[..2], ["-i @a s@c", "-i @c s@d"]);
    assert_eq!(asked(&bed), ["zfs list -Hp -t snapshot -o name,written s@b s@c s@d s@e s@f"]);
    // Without it nobody asks.
    world(&bed);
    bed.run(&["push", "s", "d"]).expect(0, &["5 snapshots"]);
    assert_eq!((asked(&bed), sends(&bed)), (vec![], vec!["-I @a s@f".to_owned()]));
}

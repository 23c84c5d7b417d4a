//! What is left of runs for others to read: the state folder, logs in both forms, and what a status makes of them. A fake
//! `zfs` and targets on this machine.

mod support;

use std::fs;

use serde_json::Value;
use support::{Bed, Ended};

/// `s/1` and `s/2` are behind on `d` by a snapshot, and `s/c` has nothing in common with what is there.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.world(&[("s/c", 90, 2), ("s/c@a", 91, 3), ("d/c", 92, 2), ("d/c@x", 93, 3)]);
    bed
}

fn path(bed: &Bed, name: &str) -> String {
    bed.path(name).display().to_string()
}

fn json(bed: &Bed, name: &str) -> Value {
    serde_json::from_str(&bed.read(name)).unwrap()
}

fn names(bed: &Bed, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(bed.path(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Text that must be the moment of a log or of a result.
fn is_time(text: &Value) -> bool {
    text.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok())
}

#[test]
fn a_run_leaves_its_results() {
    let bed = bed();
    let dir = path(&bed, "new/state");
    let push = |args: &[&str]| bed.run(&[&["push", "--state-dir", &dir], args, &["s", "d"]].concat());
    push(&["-n"]).expect(1, &[]);
    assert!(!bed.path("new").exists(), "a dry run left something");
    push(&[]).expect(1, &["s/c -> d/c: conflict"]);
    let all = ["run.json", "s%2F1.json", "s%2F2.json", "s%2Fc.json", "s.json"];
    assert_eq!(names(&bed, "new/state/d"), all);
    let run = json(&bed, "new/state/d/run.json");
    assert_eq!((&run["exit_code"], &run["error"], &run["source"]), (&1.into(), &Value::Null, &"s".into()));
    assert_eq!((&run["counts"]["in_sync"], &run["counts"]["failed"]), (&2.into(), &1.into()));
    assert_eq!(run["not_in_sync"], serde_json::json!({"s": "no_snapshots", "s/c": "conflict"}));
    assert!(is_time(&run["started"]) && is_time(&run["ended"]), "{run}");
    let one = json(&bed, "new/state/d/s%2F1.json");
    let told = ["dataset", "target", "target_dataset", "result", "newest"].map(|key| one[key].as_str().unwrap());
    assert_eq!(told, ["s/1", "d", "d/1", "in_sync", "b"]);
    assert_eq!((&one["snapshots"], &one["error"]), (&1.into(), &Value::Null));
    assert!(one["bytes"].as_u64().unwrap() > 0 && is_time(&one["time"]) && one["time"] == one["last_success"], "{one}");
    let conflict = json(&bed, "new/state/d/s%2Fc.json");
    assert!(conflict["error"].as_str().unwrap().contains("no common snapshot"), "{conflict}");
    assert_eq!(conflict["last_success"], Value::Null);
    // Nothing is left to do for the others: their files are left alone.
    let before = fs::metadata(bed.path("new/state/d/s%2F1.json")).unwrap().modified().unwrap();
    push(&["--exclude", "c"]).expect(0, &["nothing to do"]);
    assert_eq!(fs::metadata(bed.path("new/state/d/s%2F1.json")).unwrap().modified().unwrap(), before);
    let run = json(&bed, "new/state/d/run.json");
    assert_eq!((&run["exit_code"], &run["not_looked_at"]), (&0.into(), &serde_json::json!(["s/c"])));
    assert_eq!(names(&bed, "new/state/d"), all);
}

#[test]
fn a_target_that_is_not_there() {
    let bed = bed();
    let dir = path(&bed, "state");
    bed.script("bin/ssh", "#!/bin/sh\nexit 255\n");
    bed.run(&["push", "-q", "--retries", "0", "--state-dir", &dir, "s", "b:d"]).expect(3, &["can't connect to b"]);
    let run = json(&bed, "state/b%3Ad/run.json");
    assert_eq!((&run["exit_code"], &run["counts"], &run["target"]), (&3.into(), &Value::Null, &"b:d".into()));
    assert!(run["error"].as_str().unwrap().contains("can't connect to b"), "{run}");
    assert_eq!(names(&bed, "state/b%3Ad"), ["run.json"]);
}

#[test]
fn a_folder_that_cant_be_used_is_told_before_anything_starts() {
    let bed = bed();
    bed.write("file", "");
    let dir = path(&bed, "file/state");
    bed.run(&["push", "--state-dir", &dir, "s", "d"]).expect(2, &["can't use the state directory"]);
    bed.run(&["cron", "--state-dir", &dir, "s", "d"]).expect(2, &["can't use the state directory"]);
    bed.run(&["push", "--log-file", &dir, "s", "d"]).expect(2, &["can't write the log"]);
    bed.run(&["push", "--log-format", "json", "s", "d"]).expect(2, &["--log-file is missing"]);
    bed.run(&["push", "--log-format", "xml", "s", "d"]).expect(2, &["text, json"]);
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was asked");
}

#[test]
fn what_comes_before_the_pushes_is_told_in_run_json() {
    let bed = bed();
    let dir = path(&bed, "state");
    bed.run(&["cron", "--state-dir", &dir, "nope", "d"]).expect(3, &["dataset does not exist"]);
    let run = json(&bed, "state/d/run.json");
    assert_eq!((&run["exit_code"], &run["source"]), (&3.into(), &"nope".into()));
    assert!(run["error"].as_str().unwrap().contains("dataset does not exist"), "{run}");
    bed.write("z.toml", &format!("[job.a]\nsource = 's'\ntargets = ['e']\nstate-dir = '{dir}'\npre-push = 'false'\n"));
    bed.run(&["run", "--config", &path(&bed, "z.toml")]).expect(1, &["pre-push hook: failed"]);
    let error = json(&bed, "state/e/run.json")["error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("pre-push hook: "), "{error}");
}

/// Lines of a log in JSON: `[about, event]` of each.
fn log_lines(bed: &Bed, name: &str, job: &str) -> Vec<[String; 2]> {
    let text = bed.read(name);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| {
            assert!(is_time(&line["time"]) && line["job"] == job, "{line}");
            ["about", "event"].map(|key| line[key].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn logs_in_both_forms() {
    let bed = bed();
    let log = |name: &str| path(&bed, name);
    let shown = bed.run(&["push", "-q", "--log-file", &log("logs/push"), "s", "d"]);
    shown.expect(1, &["s/c -> d/c: conflict"]).without(&["received @"]);
    let text = bed.read("logs/push");
    for words in
        ["Z d: s/1: received @b, 1 snapshot", "Z d: s/c -> d/c: conflict: no common", "Z d: zfsync: 1 of 4 datasets"]
    {
        assert!(text.contains(words), "{words}\nin {text}");
    }
    assert!(text.lines().all(|line| line.split(' ').next().unwrap().parse::<jiff::Timestamp>().is_ok()), "{text}");
    bed.run(&["push", "--json", "--log-file", &log("json"), "--log-format", "json", "s", "d"]).expect(1, &[]);
    let lines = log_lines(&bed, "json", "s");
    assert_eq!(lines.last().unwrap(), &["d", "finished"]);
    assert!(
        lines.contains(&["d".into(), "dataset_failed".into()]) && !lines.iter().any(|line| line[1] == "dataset_ended")
    );
    // A run that could not start is in the log too, and the file is appended to.
    bed.run(&["push", "--log-file", &log("json"), "--log-format", "json", "nope", "d"]).expect(3, &[]);
    let text = bed.read("json");
    assert!(text.lines().count() > lines.len() && text.lines().last().unwrap().contains("does not exist"), "{text}");
    bed.run(&["cron", "-o", &log("cron"), "--log-format", "json", "s", "d"]).expect(1, &[]);
    let lines = log_lines(&bed, "cron", "s");
    for about in ["snapshot", "d", "pruning s"] {
        assert!(lines.iter().any(|line| line[0] == about), "{about}: {lines:?}");
    }
    let text = format!("[job.night]\nsource = 's'\ntargets = ['d']\nlog = '{}'\nlog-format = 'json'\n", log("nightly"));
    bed.write("z.toml", &text);
    let config = log("z.toml");
    let ended = bed.run(&["check-config", "--config", &config]);
    assert!(ended.stdout.contains("/nightly, as JSON lines\n"), "{ended:#?}");
    bed.run(&["run", "--config", &config]).expect(1, &[]);
    assert!(!log_lines(&bed, "nightly", "night").is_empty());
    bed.write("z.toml", &text.replace("'json'", "'xml'"));
    bed.run(&["run", "--config", &config]).expect(2, &["z.toml:5: job night: ", "xml"]);
}

#[test]
fn without_a_terminal_there_are_plain_lines() {
    let bed = bed();
    let mut command = bed.command(&["push", "-vvv", "s", "d"]);
    // What tells that colours are understood, and no terminal: as under systemd.
    command.env("TERM", "xterm-256color").env("CLICOLOR", "1").env("FORCE_COLOR", "1").env("COLORTERM", "truecolor");
    let ended = Ended::of(command.spawn().unwrap());
    ended.expect(1, &["s/1: received @b", "s/c -> d/c: conflict"]);
    assert!(!ended.stderr.contains(['\u{1b}', '\r']), "{ended:#?}");
}

const JOBS: &str = "
[defaults]
state-dir = 'BED/state'
snapshot.enabled = false
[job.data]
source = 's'
targets = ['d', 'e']
exclude = ['2']
[job.both]
sources = ['s/1', 's/2']
targets = ['d']
[job.alone]
source = 's'
";

#[test]
fn the_status_of_a_job() {
    let bed = bed();
    bed.world(&[("e", 70, 1), ("e/1", 71, 1), ("e/1@a", 11, 3)]);
    bed.write("z.toml", &JOBS.replace("BED", path(&bed, "").trim_end_matches('/')));
    let config = path(&bed, "z.toml");
    let status = |args: &[&str]| bed.run(&[&["status", "--config", &config], args].concat());
    let lines = |ended: &Ended| -> Vec<Value> {
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let before = status(&["--json", "data"]);
    before.expect(2, &[]);
    let told: Vec<Value> = lines(&before);
    let place = |line: &Value| ["target", "dataset"].map(|key| line[key].as_str().unwrap().to_owned());
    assert_eq!(
        told.iter().map(place).collect::<Vec<_>>(),
        [["d", "s"], ["d", "s/1"], ["d", "s/c"], ["e", "s"], ["e", "s/1"], ["e", "s/c"]]
    );
    for key in ["last_result", "last_error", "last_success", "last_run"] {
        assert!(told.iter().all(|line| line[key].is_null()), "{key}");
    }
    bed.run(&["run", "--config", &config, "data"]).expect(1, &["no common"]);
    let told = lines(&status(&["--json", "data"]));
    let (one, conflict) = (&told[1], &told[2]);
    assert_eq!(
        (&one["state"], &one["last_result"], &one["last_error"]),
        (&"in_sync".into(), &"in_sync".into(), &Value::Null)
    );
    assert_eq!(one["last_success"], one["last_run"]);
    assert_eq!((&conflict["last_result"], &conflict["last_success"]), (&"conflict".into(), &Value::Null));
    assert!(conflict["last_error"].as_str().unwrap().contains("no common"), "{conflict}");
    assert!(conflict["last_run"].as_i64().unwrap() > 1_700_000_000, "{conflict}");
    let table = status(&["-v", "data"]);
    let heads = table.stdout.lines().filter(|line| line.starts_with("DATASET ") && line.ends_with("  LAST RUN"));
    assert_eq!(heads.count(), 2, "{table:#?}");
    let row = table.stdout.lines().find(|line| line.starts_with("s/1 ")).unwrap();
    assert!(row.contains("  in sync ") && row.ends_with(" s ago"), "{row}");
    assert!(table.stdout.contains(" ago with exit code 1\n"), "{table:#?}");
    let metrics = status(&["--prometheus", "data"]);
    for line in [
        "zfsync_last_run_exit_code{source=\"s\",target=\"d\"} 1\n",
        "zfsync_dataset_last_result{source=\"s\",target=\"d\",dataset=\"s/c\",result=\"conflict\"} 1\n",
        "# TYPE zfsync_last_run_timestamp_seconds gauge\nzfsync_last_run_timestamp_seconds{source=\"s\",target=\"d\"} 1",
    ] {
        assert!(metrics.stdout.contains(line), "{line}\nin {metrics:#?}");
    }
    // Named one by one they know of the last run with the folder alone.
    let dir = path(&bed, "state");
    let plain = bed.run(&["status", "-v", "s", "d"]);
    assert!(!plain.stdout.contains("LAST RUN"), "{plain:#?}");
    assert!(!bed.run(&["status", "--prometheus", "s", "d"]).stdout.contains("last_run"));
    let told = lines(&bed.run(&["status", "--json", "--state-dir", &dir, "s", "d"]));
    assert_eq!(told[1]["last_result"], "in_sync");
}

#[test]
fn the_status_of_a_job_with_several_sources() {
    let bed = bed();
    bed.write("z.toml", &JOBS.replace("BED", path(&bed, "").trim_end_matches('/')));
    let config = path(&bed, "z.toml");
    let status = |args: &[&str]| bed.run(&[&["status", "--config", &config], args].concat());
    let ended = status(&["both"]);
    ended.expect(0, &[]);
    assert!(ended.stdout.starts_with("s/1 -> d/1: 1 dataset behind\n"), "{ended:#?}");
    assert!(ended.stdout.contains("\n\ns/2 -> d/2: 1 dataset behind\n"), "{ended:#?}");
    let ended = status(&["--crit", "1d", "both"]);
    ended.expect(2, &[]);
    assert!(
        ended.stdout.starts_with("CRITICAL - 2 behind for more than 1 d 0 h (2 sources on 2 targets)\n"),
        "{ended:#?}"
    );
    let metrics = status(&["--prometheus", "both"]).stdout;
    let mut heads: Vec<&str> = metrics.lines().filter(|line| line.starts_with('#')).collect();
    let all = heads.len();
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len(), all, "{metrics}");
    assert_eq!(metrics.matches("\nzfsync_target_up{").count(), 2, "{metrics}");
    status(&["bth"]).expect(2, &["no job \"bth\": did you mean \"both\"? (jobs: data, both, alone)"]);
    status(&["alone"]).expect(2, &["job alone has no targets"]);
    bed.run(&["status", "s/1"]).expect(2, &["TARGET is missing"]);
    bed.run(&["status"]).expect(2, &["SOURCE"]);
    if !std::path::Path::new("/etc/zfsync.toml").exists() {
        bed.run(&["status", "s"]).expect(2, &["\"s\" without a TARGET is a job, but /etc/zfsync.toml does not exist"]);
    }
}

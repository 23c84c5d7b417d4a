//! What the program really writes as JSON is as docs/zfsync.schema.json says, nothing more and nothing less.

#[path = "support/schema.rs"]
mod schema;
mod support;

use serde_json::Value;
use support::{Bed, Ended};

/// One dataset each to update, in conflict, and new; one that only the target has.
fn bed() -> Bed {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.world(&[("s/mine", 90, 1), ("s/mine@a", 91, 2), ("d/mine", 92, 1), ("d/mine@b", 93, 2)]);
    bed.world(&[("s/new", 80, 1), ("s/new@a", 81, 2), ("d/other", 70, 1), ("d/other@a", 71, 2)]);
    bed
}

#[track_caller]
fn conform(definition: &str, ended: &Ended) -> Vec<Value> {
    let lines = schema::lines(&ended.stdout);
    assert!(!lines.is_empty(), "{ended:#?}");
    schema::conform(definition, &lines);
    assert!(lines.iter().all(|line| line["schema_version"] == 1));
    lines
}

#[test]
fn runs() {
    let bed = bed();
    let planned = bed.run(&["push", "-n", "--json", "s", "d"]);
    let lines = conform("event", &planned);
    schema::conform("plan", [lines.last().unwrap()]);
    let log = bed.path("log").to_str().unwrap().to_owned();
    let ended = bed.run(&["push", "-v", "--log-file", &log, "--log-format", "json", "s", "d"]);
    ended.expect(1, &["conflict"]);
    let logged = schema::lines(&bed.read("log"));
    schema::conform("event", &logged);
    let kinds =
        |lines: &[Value]| lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    for kind in ["connected", "planned", "step_started", "progress", "step_done", "dataset_failed", "finished"] {
        assert!(kinds(&logged).contains(&kind.to_owned()), "no {kind}: {logged:#?}");
    }
    assert!(logged.iter().all(|line| line["job"] == "s" && line["about"] == "d"), "{logged:#?}");
    let lines = conform("event", &bed.run(&["push", "--json", "s", "d"]));
    assert!(lines.iter().all(|line| line.get("job").is_none()), "{lines:#?}");
}

#[test]
fn questions() {
    let bed = bed();
    bed.run(&["push", "-q", "s", "d"]).expect(1, &["conflict"]);
    conform("status", &bed.run(&["status", "--json", "--bytes", "s", "d", "e"]));
    conform("verify", &bed.run(&["verify", "--json", "s", "d"]));
    conform("targets", &bed.run(&["targets", "--json", "s"]));
}

#[test]
fn what_runs_leave_behind() {
    let bed = bed();
    let state = bed.path("state").to_str().unwrap().to_owned();
    bed.run(&["push", "-q", "--state-dir", &state, "--replace", "d/mine", "s", "d"]);
    let read = |name: &str| serde_json::from_str::<Value>(&bed.read(&format!("state/d/{name}.json"))).unwrap();
    schema::conform("run_result", [&read("run")]);
    schema::conform("dataset_result", [&read("s%2F1"), &read("s%2Fmine")]);
    let destroyed = schema::lines(&bed.read("state/destroyed.jsonl"));
    assert_eq!(destroyed[0]["phase"], "begin");
    schema::conform("destruction", &destroyed);
}

#[test]
fn what_a_hook_reads() {
    let bed = bed();
    bed.script("hook", "#!/bin/sh\nexec cat >\"${0%/*}/result\"\n");
    let hook = bed.path("hook").display().to_string();
    bed.write("jobs", &format!("[job.night]\nsource = 's'\ntargets = ['d']\non-failure = '{hook}'\n"));
    bed.run(&["run", "-c", bed.path("jobs").to_str().unwrap()]).expect(1, &["conflict"]);
    let result: Value = serde_json::from_str(&bed.read("result")).unwrap();
    assert_eq!((&result["job"], &result["result"]), (&"night".into(), &"failed".into()));
    schema::conform("job_result", [&result]);
}

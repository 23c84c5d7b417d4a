//! All forms of the same status.

use std::time::Duration;

use super::*;
use crate::plan::{HostRole, Last, LastRun, Limits, TargetStatus};
use crate::report::look::Look;

const PLAIN: Page = Page { look: Look { colour: false, utf8: false }, width: None };
const NOW: i64 = 1_800_000_000;

fn moment(name: &str, ago: i64) -> Option<Moment> {
    let name = name.parse().ok();
    name.map(|name| Moment { name, creation: Some(NOW - ago), asked: (HostRole::Sender, String::new()) })
}

fn row(name: &str, state: SyncState) -> DatasetStatus {
    DatasetStatus {
        dataset: format!("tank/{name}").trim_end_matches('/').into(),
        target: format!("pool/{name}").trim_end_matches('/').into(),
        state,
        clash: None,
        unchanged: None,
        own: vec![],
        partial: false,
        written: Some(0),
        newest_here: moment("s3", 60),
        newest_there: moment("s3", 60),
        common: moment("s3", 60),
        oldest_lacking: None,
        lacking: 0,
        steps: vec![],
        bytes: None,
        last: None,
    }
}

fn rows() -> Vec<DatasetStatus> {
    let behind = DatasetStatus {
        newest_there: moment("s1", 8000),
        common: moment("s1", 8000),
        oldest_lacking: moment("s2", 7400),
        lacking: 2,
        ..row("a b", SyncState::Behind)
    };
    let conflict = DatasetStatus {
        clash: Some(Clash::Diverged),
        own: (1..8).map(|n| format!("own{n}").parse().unwrap()).collect(),
        ..DatasetStatus { dataset: "tank/c".into(), ..behind.clone() }
    };
    vec![
        row("", SyncState::InSync),
        behind,
        DatasetStatus { state: SyncState::Conflict, ..conflict },
        DatasetStatus {
            newest_there: None,
            common: None,
            lacking: 3,
            oldest_lacking: moment("s1", 9000),
            ..row("m", SyncState::Missing)
        },
        DatasetStatus { newest_here: None, common: None, ..row("old", SyncState::TargetOnly) },
        DatasetStatus { newest_here: None, newest_there: None, common: None, ..row("void", SyncState::NoSnapshots) },
    ]
}

fn status(limits: Limits, found: Vec<Result<Vec<DatasetStatus>, String>>) -> Status {
    let targets = found.into_iter().zip(["backup:pool", "off:pool"]);
    let targets = targets
        .map(|(found, target)| TargetStatus { target: target.into(), found, kept: false, last_run: None })
        .collect();
    Status { source: "tank".parse().unwrap(), now: NOW, limits, targets }
}

fn limits(warn: u64, crit: u64) -> Limits {
    Limits { warn: Some(Duration::from_secs(warn)), crit: Some(Duration::from_secs(crit)) }
}

fn text(status: &Status, form: Form, page: Page) -> String {
    let mut out = Vec::new();
    write(std::slice::from_ref(status), form, page, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What stands around the table is broken as other messages are.
#[test]
fn prose_is_broken_on_a_narrow_page() {
    let status = status(limits(60, 7200), vec![Ok(rows()), Err("ssh says: there is no route to the host off".into())]);
    let whole = text(&status, Form::Table { all: false }, PLAIN);
    let narrow = text(&status, Form::Table { all: false }, Page { width: Some(60), ..PLAIN });
    assert!(narrow.lines().all(|line| line.len() <= 60), "{narrow}");
    assert!(whole.contains("tank/c: the target has diverged after @s1: only it has @own1, @own2,"), "{whole}");
    assert!(narrow.contains("\ntank/c: the target has diverged after @s1: only it has\n    @own1, @own2,"), "{narrow}");
}

#[test]
fn a_table_for_each_target() {
    let status = status(Limits::default(), vec![Ok(rows()), Err("ssh says:\n  no route\u{1b}\n".into())]);
    insta::assert_snapshot!(text(&status, Form::Table { all: false }, PLAIN), @r#"
    tank -> backup:pool: 6 datasets: 1 in conflict, 1 missing, 1 behind, 1 without snapshots, 1 only on the target, 1 in sync
    DATASET    STATE         SOURCE NEWEST  SOURCE AGE  TARGET NEWEST  TARGET AGE      BEHIND  MISSING
    tank/a b   behind        @s3             1 min 0 s  @s1            2 h 13 min   2 h 3 min        2
    tank/c     conflict      @s3             1 min 0 s  @s1            2 h 13 min   2 h 3 min        2
    tank/m     missing       @s3             1 min 0 s  -                       -  2 h 30 min        3
    pool/old   target only   -                       -  @s3             1 min 0 s           -        -
    tank/void  no snapshots  -                       -  -                       -           -        -
    tank/c: the target has diverged after @s1: only it has @own1, @own2, @own3, @own4, @own5 and 2 more

    tank -> off:pool: unreachable: ssh says:
        no route\u{1b}
    "#);
    let all = text(&status, Form::Table { all: true }, PLAIN);
    assert_eq!(all.matches("in sync").count(), 2, "{all}");
    let coloured =
        text(&status, Form::Table { all: false }, Page { look: Look { colour: true, utf8: true }, width: None });
    assert!(coloured.contains("tank/a b   \x1b[33mbehind      \x1b[0m  @s3"), "{coloured}");
    let name = format!("home/{}", "user/".repeat(7));
    let long = DatasetStatus { last: None, ..row(&name, SyncState::Behind) };
    let long = self::status(Limits::default(), vec![Ok(vec![long])]);
    let narrow = text(&long, Form::Table { all: false }, Page { width: Some(80), ..PLAIN });
    assert!(narrow.lines().skip(1).all(|line| line.len() <= 80) && narrow.contains("MISSING"), "{narrow}");
    let sized = DatasetStatus { bytes: Some(2048), ..rows()[1].clone() };
    let sized = self::status(Limits::default(), vec![Ok(vec![sized])]);
    assert!(text(&sized, Form::Table { all: false }, PLAIN).contains("        2  2.00 KiB\n"));
}

#[test]
fn a_target_that_was_written_to_is_told() {
    let stuck = DatasetStatus {
        clash: Some(Clash::Modified),
        state: SyncState::Conflict,
        written: Some(12 << 10),
        ..rows()[1].clone()
    };
    let soon = DatasetStatus { written: Some(1 << 20), ..row("in", SyncState::InSync) };
    let status = status(Limits::default(), vec![Ok(vec![stuck, soon, row("", SyncState::InSync)])]);
    insta::assert_snapshot!(text(&status, Form::Table { all: false }, PLAIN), @r#"
    tank -> backup:pool: 3 datasets: 1 in conflict, 2 in sync
    DATASET   STATE     SOURCE NEWEST  SOURCE AGE  TARGET NEWEST  TARGET AGE     BEHIND  MISSING
    tank/a b  conflict  @s3             1 min 0 s  @s1            2 h 13 min  2 h 3 min        2
    tank/in   in sync   @s3             1 min 0 s  @s3             1 min 0 s          -        -
    tank/a b: the target was written to since @s1, the newest common snapshot (12.0 KiB); a push reports a conflict
    tank/in: the target was written to since its newest snapshot (1.00 MiB); a push of a newer one reports a conflict
    "#);
}

#[test]
fn what_is_in_sync_is_one_line() {
    let status =
        status(Limits::default(), vec![Ok(vec![row("", SyncState::InSync), row("a", SyncState::InSync)]), Ok(vec![])]);
    insta::assert_snapshot!(text(&status, Form::Table { all: false }, PLAIN), @r#"
    tank -> backup:pool: 2 datasets in sync

    tank -> off:pool: nothing is selected, and nothing exists
    "#);
}

#[test]
fn the_first_line_is_a_plugins() {
    let first = |limits, found| {
        text(&status(limits, found), Form::Table { all: false }, PLAIN).lines().next().unwrap().to_owned()
    };
    let behind = || Ok(vec![row("", SyncState::InSync), rows().remove(1)]);
    assert_eq!(
        first(limits(7400, 9000), vec![behind()]),
        "OK - 1 behind within the limits, 1 in sync (tank on 1 target)"
    );
    assert_eq!(
        first(limits(7200, 9000), vec![behind()]),
        "WARNING - 1 behind for more than 2 h 0 min, 1 in sync (tank on 1 target)"
    );
    assert_eq!(
        first(limits(60, 7200), vec![Ok(rows()), Err("gone".into())]),
        "CRITICAL - 1 unreachable, 1 in conflict, 1 missing, 1 behind for more than 2 h 0 min, 1 in sync (tank on 2 targets)"
    );
    assert_eq!(first(limits(1, 1), vec![Ok(vec![])]), "UNKNOWN - nothing to replicate (tank on 1 target)");
}

#[test]
fn json_is_one_object_a_line() {
    let status = status(limits(1, 1), vec![Ok(rows()), Err("no\nroute".into())]);
    let text = text(&status, Form::Json, PLAIN);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 7);
    insta::assert_snapshot!(text.lines().nth(2).unwrap(), @r#"{"schema_version":1,"source":"tank","target":"backup:pool","dataset":"tank/c","target_dataset":"pool/a b","state":"conflict","conflict":"diverged","reason":"the target has diverged after @s1: only it has @own1, @own2, @own3, @own4, @own5 and 2 more","source_newest":{"name":"s3","creation":1799999940},"target_newest":{"name":"s1","creation":1799992000},"common":{"name":"s1","creation":1799992000},"behind_seconds":7400,"behind_snapshots":2,"behind_bytes":null,"gap_seconds":7940,"partial":false,"target_written_bytes":0,"last_result":null,"last_error":null,"last_success":null,"last_run":null,"time":1800000000}"#);
    insta::assert_snapshot!(text.lines().last().unwrap(), @r#"{"schema_version":1,"source":"tank","target":"off:pool","dataset":null,"target_dataset":null,"state":"unreachable","conflict":null,"reason":"no\nroute","source_newest":null,"target_newest":null,"common":null,"behind_seconds":null,"behind_snapshots":null,"behind_bytes":null,"gap_seconds":null,"partial":false,"target_written_bytes":null,"last_result":null,"last_error":null,"last_success":null,"last_run":null,"time":1800000000}"#);
    assert!(lines.iter().all(|line| line.as_object().unwrap().len() == 22));
    assert_eq!(lines[4]["behind_snapshots"], serde_json::Value::Null);
    assert_eq!(lines[0]["behind_seconds"], 0);
}

#[test]
fn metrics_are_grouped_and_escaped() {
    let found = vec![Ok(rows()[..2].to_vec()), Err("gone".into())];
    let mut status = status(Limits::default(), found);
    insta::assert_snapshot!(text(&status, Form::Metrics, PLAIN), @r#"
    # HELP zfsync_dataset_state State of a dataset on a target: 1 for its current state.
    # TYPE zfsync_dataset_state gauge
    zfsync_dataset_state{source="tank",target="backup:pool",dataset="tank",state="in_sync"} 1
    zfsync_dataset_state{source="tank",target="backup:pool",dataset="tank/a b",state="behind"} 1
    # HELP zfsync_behind_seconds Age of the oldest snapshot that the target lacks; 0 when it lacks none.
    # TYPE zfsync_behind_seconds gauge
    zfsync_behind_seconds{source="tank",target="backup:pool",dataset="tank"} 0
    zfsync_behind_seconds{source="tank",target="backup:pool",dataset="tank/a b"} 7400
    # HELP zfsync_behind_snapshots Snapshots newer than the newest common one, which the target lacks.
    # TYPE zfsync_behind_snapshots gauge
    zfsync_behind_snapshots{source="tank",target="backup:pool",dataset="tank"} 0
    zfsync_behind_snapshots{source="tank",target="backup:pool",dataset="tank/a b"} 2
    # HELP zfsync_newest_common_timestamp_seconds Creation time of the newest common snapshot.
    # TYPE zfsync_newest_common_timestamp_seconds gauge
    zfsync_newest_common_timestamp_seconds{source="tank",target="backup:pool",dataset="tank"} 1799999940
    zfsync_newest_common_timestamp_seconds{source="tank",target="backup:pool",dataset="tank/a b"} 1799992000
    # HELP zfsync_target_up Whether the target could be reached and listed.
    # TYPE zfsync_target_up gauge
    zfsync_target_up{source="tank",target="backup:pool"} 1
    zfsync_target_up{source="tank",target="off:pool"} 0
    # HELP zfsync_status_timestamp_seconds Time of this status.
    # TYPE zfsync_status_timestamp_seconds gauge
    zfsync_status_timestamp_seconds{source="tank"} 1800000000
    "#);
    status.targets[0].target = "a\"b\\c\nd".into();
    assert!(text(&status, Form::Metrics, PLAIN).contains("target=\"a\\\"b\\\\c\\nd\"} 1\n"));
    let sized = DatasetStatus { bytes: Some(2048), ..rows()[1].clone() };
    let sized = self::status(Limits::default(), vec![Ok(vec![sized])]);
    assert!(text(&sized, Form::Metrics, PLAIN).contains(
        "# TYPE zfsync_behind_bytes gauge\nzfsync_behind_bytes{source=\"tank\",target=\"backup:pool\",dataset=\"tank/a b\"} 2048\n"
    ));
}

/// A target whose last run was not good, and another source without a state folder.
fn remembered() -> Vec<Status> {
    let last = |result, error: Option<&str>, ago: i64| {
        Some(Last { result, error: error.map(Into::into), time: Some(NOW - ago), success: Some(NOW - 90) })
    };
    let mut rows = rows()[..3].to_vec();
    rows[0].last = last(LastResult::InSync, None, 90);
    rows[2].last = last(LastResult::Conflict, Some("all\nwords"), 3700);
    let mut one = status(Limits::default(), vec![Ok(rows), Err("gone".into())]);
    for target in &mut one.targets {
        target.kept = true;
        target.last_run = Some(LastRun { ended: Some(NOW - 90), exit_code: 3, error: Some("no route\nto it".into()) });
    }
    let other = Status {
        source: "fast".parse().unwrap(),
        ..status(Limits::default(), vec![Ok(vec![row("", SyncState::InSync)])])
    };
    vec![one, other]
}

fn all_text(all: &[Status], form: Form) -> String {
    let mut out = Vec::new();
    write(all, form, PLAIN, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_last_run_is_told_where_it_is_known() {
    insta::assert_snapshot!(all_text(&remembered(), Form::Table { all: true }), @r#"
    tank -> backup:pool: 3 datasets: 1 in conflict, 1 behind, 1 in sync
    DATASET   STATE     SOURCE NEWEST  SOURCE AGE  TARGET NEWEST  TARGET AGE     BEHIND  MISSING  LAST RUN
    tank      in sync   @s3             1 min 0 s  @s3             1 min 0 s          -        -  in sync 1 min 30 s ago
    tank/a b  behind    @s3             1 min 0 s  @s1            2 h 13 min  2 h 3 min        2  -
    tank/c    conflict  @s3             1 min 0 s  @s1            2 h 13 min  2 h 3 min        2  conflict 1 h 1 min ago
    tank/c: the target has diverged after @s1: only it has @own1, @own2, @own3, @own4, @own5 and 2 more
    the last run ended 1 min 30 s ago with exit code 3: no route

    tank -> off:pool: unreachable: gone
    the last run ended 1 min 30 s ago with exit code 3: no route

    fast -> backup:pool: 1 dataset in sync
    DATASET  STATE    SOURCE NEWEST  SOURCE AGE  TARGET NEWEST  TARGET AGE  BEHIND  MISSING
    tank     in sync  @s3             1 min 0 s  @s3             1 min 0 s       -        -
    "#);
    let text = all_text(&remembered(), Form::Json);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = |line: &serde_json::Value| {
        ["last_result", "last_error", "last_success", "last_run"].map(|key| line[key].to_string())
    };
    let told: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(told[0], ["\"in_sync\"", "null", "1799999910", "1799999910"]);
    assert_eq!(told[1], ["null", "null", "null", "1799999910"]);
    assert_eq!(told[2], ["\"conflict\"", "\"all\\nwords\"", "1799999910", "1799999910"]);
    assert_eq!(told[3], ["null", "\"no route\\nto it\"", "null", "1799999910"], "unreachable");
    assert_eq!(told[4], ["null"; 4]);
}

#[test]
fn several_sources_share_the_metrics() {
    let text = all_text(&remembered(), Form::Metrics);
    insta::assert_snapshot!(text[text.find("# HELP zfsync_target_up").unwrap()..], @r#"
    # HELP zfsync_target_up Whether the target could be reached and listed.
    # TYPE zfsync_target_up gauge
    zfsync_target_up{source="tank",target="backup:pool"} 1
    zfsync_target_up{source="tank",target="off:pool"} 0
    zfsync_target_up{source="fast",target="backup:pool"} 1
    # HELP zfsync_last_run_timestamp_seconds When the last run to the target ended.
    # TYPE zfsync_last_run_timestamp_seconds gauge
    zfsync_last_run_timestamp_seconds{source="tank",target="backup:pool"} 1799999910
    zfsync_last_run_timestamp_seconds{source="tank",target="off:pool"} 1799999910
    # HELP zfsync_last_run_exit_code The exit code of that run.
    # TYPE zfsync_last_run_exit_code gauge
    zfsync_last_run_exit_code{source="tank",target="backup:pool"} 3
    zfsync_last_run_exit_code{source="tank",target="off:pool"} 3
    # HELP zfsync_dataset_last_result Result of a dataset in the last run that included it: 1 for the result.
    # TYPE zfsync_dataset_last_result gauge
    zfsync_dataset_last_result{source="tank",target="backup:pool",dataset="tank",result="in_sync"} 1
    zfsync_dataset_last_result{source="tank",target="backup:pool",dataset="tank/c",result="conflict"} 1
    # HELP zfsync_status_timestamp_seconds Time of this status.
    # TYPE zfsync_status_timestamp_seconds gauge
    zfsync_status_timestamp_seconds{source="tank"} 1800000000
    zfsync_status_timestamp_seconds{source="fast"} 1800000000
    "#);
    let heads: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    assert!(heads.iter().all(|head| heads.iter().filter(|other| other == &head).count() == 1), "{text}");
}

#[test]
fn json_is_as_the_schema_says() {
    let clashes = [
        Clash::NoCommon,
        Clash::DataWithoutSnapshots,
        Clash::Modified,
        Clash::Diverged,
        Clash::Ahead,
        Clash::NameTaken,
    ];
    let results = [
        LastResult::InSync,
        LastResult::Failed,
        LastResult::Conflict,
        LastResult::Skipped,
        LastResult::NoSnapshots,
        LastResult::Interrupted,
    ];
    let conflict = |clash| DatasetStatus { clash: Some(clash), partial: true, ..rows()[2].clone() };
    let last = |result| {
        let (error, time, success) = (Some("why".into()), Some(NOW), Some(NOW));
        DatasetStatus { last: Some(Last { result, error, time, success }), ..row("", SyncState::InSync) }
    };
    let undated = Moment { creation: None, ..moment("s3", 60).unwrap() };
    let undated = DatasetStatus { newest_here: Some(undated), ..row("", SyncState::InSync) };
    let each = SyncState::ALL.map(|state| row("x", state));
    let sized = DatasetStatus { bytes: Some(u64::MAX), ..rows()[1].clone() };
    let found = clashes.map(conflict).into_iter().chain(results.map(last)).chain(each).chain([undated, sized]);
    let mut status = status(limits(1, 1), vec![Ok(found.collect()), Err("no\nroute".into())]);
    let last_run = LastRun { ended: Some(NOW), exit_code: 3, error: Some("why".into()) };
    status.targets[1].last_run = Some(last_run.clone());
    status.targets[0].last_run = Some(LastRun { error: None, ..last_run });
    crate::schema::cover("status", &crate::schema::lines(&text(&status, Form::Json, PLAIN)));
}

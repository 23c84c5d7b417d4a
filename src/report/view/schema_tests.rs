//! Each JSON line that a command prints, against docs/zfsync.schema.json.

use std::time::Duration;

use serde_json::Value;

use super::dry_run::{self, PlanAction, PlanRow};
use super::targets::{KnownTarget, Targets};
use super::{Page, View, doctor, targets, verify};
use crate::plan::doctor::tests::{both, end};
use crate::plan::doctor::{Diagnosis, EndFacts, Ends, Examined, Planned, Reasons, Runner};
use crate::plan::{Agreement, Arrived, Compared, Content, Given, HostRole, Pair, Registry, Seen};
use crate::report::event::{Event, Summary, Telling};
use crate::report::fake::{self, FakeClock, Page as Text};
use crate::report::lines::{Json, Label};
use crate::report::{Reporter as _, look::Look};
use crate::schema;
use zfs::name::Guid;

/// The name of an event. With a new one this doesn't compile: it needs a line here, a sample in [`samples`], and its definition in
/// docs/zfsync.schema.json.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Connected { .. } => "connected",
        Event::Planned { .. } => "planned",
        Event::Problem { .. } => "problem",
        Event::Notice { .. } => "notice",
        Event::StepStarted { .. } => "step_started",
        Event::StepEstimated { .. } => "step_estimated",
        Event::Progress { .. } => "progress",
        Event::StepSent { .. } => "step_sent",
        Event::StepDone { .. } => "step_done",
        Event::StepFailed { .. } => "step_failed",
        Event::DatasetFailed { .. } => "dataset_failed",
        Event::OnlyThere { .. } => "only_there",
        Event::Destroyed { .. } => "destroyed",
        Event::Cleared { .. } => "cleared",
        Event::Finished(_) => "finished",
    }
}

/// All fields are written out: with a new one this doesn't compile.
fn samples() -> Vec<Event> {
    let text = || "a\nb \u{7}".to_owned();
    let pair = || ("q/y".to_owned(), "is held".to_owned());
    let took = Duration::from_millis(1500);
    let failed = ["conflict", "failed", "skipped", "unread", "lost"].map(|kind| Event::DatasetFailed {
        dataset: "p/a".into(),
        target: "q/a".into(),
        kind: kind.into(),
        error: text(),
    });
    let one = vec![
        Event::Connected { host: None, helper: "0.1.0".into(), took },
        Event::Connected { host: Some("b".into()), helper: "0.1.0".into(), took },
        fake::planned(3),
        Event::Problem { text: text() },
        fake::notice(None),
        fake::notice(Some("p/a")),
        Event::StepStarted { step: 2, dataset: "p".into(), from: None, resumed: true, to: "s".into(), snapshots: 1 },
        fake::started(1, "p/a"),
        fake::estimated(1, u64::MAX),
        fake::progress(1, 7),
        fake::sent(1, 9),
        fake::done(1, "p/a", 9),
        fake::step_failed(2, "p", true),
        Event::OnlyThere {
            datasets: vec!["q/x".into()],
            snapshots: vec![("q".into(), vec!["s".into()])],
            listed: true,
            told: Telling::Now,
        },
        Event::Destroyed { host: None, names: vec!["p@x".into()], rule: "--keep 24h".into() },
        Event::Destroyed { host: Some("b".into()), names: vec!["q@x".into()], rule: "--keep 24h".into() },
        Event::Cleared {
            datasets: vec!["q/z".into()],
            snapshots: vec!["q@s".into()],
            freed: u64::MAX,
            datasets_wait: 2,
            snapshots_wait: 3,
            next: Some(-4),
            stay: vec![pair()],
            failed: vec![pair()],
            verbose: true,
        },
        Event::Finished(Summary::default()),
        Event::Finished(Summary {
            datasets: 9,
            in_sync: 1,
            updated: 2,
            failed: 3,
            conflicts: 2,
            without_snapshots: 4,
            snapshots: 5,
            bytes: u64::MAX,
            took,
            interrupted: true,
            nothing: Some("no dataset is selected".into()),
            failures: vec![pair()],
            ..Summary::default()
        }),
    ];
    one.into_iter().chain(failed).collect()
}

fn shown(view: View) -> Vec<Value> {
    let mut out = Vec::new();
    view(Page { look: Look { colour: false, utf8: false }, width: None }, &mut out).unwrap();
    schema::lines(&String::from_utf8(out).unwrap())
}

fn plan() -> Vec<Value> {
    let all = [
        PlanAction::Full,
        PlanAction::Incremental,
        PlanAction::Resume,
        PlanAction::InSync,
        PlanAction::NoSnapshots,
        PlanAction::Conflict,
        PlanAction::Fails,
        PlanAction::Skipped,
        PlanAction::Rollback,
        PlanAction::SetAside,
        PlanAction::Replace,
        PlanAction::Rename,
        PlanAction::Destroy,
        PlanAction::Waits,
        PlanAction::Stays,
    ];
    let row = |action| PlanRow {
        dataset: "p".into(),
        target: "q".into(),
        action,
        from: Some("@a".into()),
        to: Some("b".into()),
        snapshots: 1,
        bytes: Some(u64::MAX),
        note: Some("why".into()),
        until_next_snapshot: action == PlanAction::Conflict,
        withheld: false,
    };
    let bare = PlanRow { from: None, to: None, bytes: None, note: None, ..row(PlanAction::Full) };
    shown(dry_run::view(all.map(row).into_iter().chain([bare]).collect(), true))
}

#[test]
fn events() {
    let (mut values, mut names) = (plan(), vec!["plan".to_owned()]);
    let label = || Label { job: "nightly".into(), about: "b:q".into() };
    for event in samples() {
        let (text, clock) = (Text::default(), FakeClock::new());
        let json = || Json::new(Box::new(text.clone()), Box::new(clock.clone()));
        // Progress and its estimate need a step that has begun.
        for mut json in [json(), json().labelled(label())] {
            json.event(&fake::started(1, "p/a"));
            json.event(&fake::estimated(1, 9));
            text.take();
            json.event(&event);
            let lines = schema::lines(&text.take());
            assert!(lines.iter().any(|line| line["event"] == name(&event)), "{event:?}: {lines:?}");
            names.extend(lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()));
            values.extend(lines);
        }
    }
    schema::cover("event", &values);
    let published = schema::published();
    let defined = published["$defs"]["event"]["oneOf"].as_array().unwrap();
    let defined = defined.iter().map(|one| one["$ref"].as_str().unwrap().rsplit('/').next().unwrap());
    let mut defined: Vec<String> = defined.map(|name| name.trim_start_matches("event_").to_owned()).collect();
    defined.sort();
    names.sort();
    names.dedup();
    assert_eq!(names, defined);
}

#[test]
fn verifications() {
    let row = |agreement, content| Compared {
        dataset: "p".into(),
        target: "q".into(),
        agreement,
        common: 1,
        only_here: 2,
        only_there: 3,
        clashes: vec!["c".parse().unwrap()],
        newest: Some(Pair { here: "s".parse().unwrap(), there: "t".parse().unwrap(), guid: Guid(1) }),
        bookmarked: None,
        encrypted: false,
        content,
    };
    let rows = vec![
        row(Agreement::Same, Content::Same(u64::MAX)),
        Compared { newest: None, clashes: vec![], ..row(Agreement::NoSnapshots, Content::NotCompared) },
        row(Agreement::TargetOnly, Content::NotCompared),
        row(Agreement::Behind, Content::Different(vec![1, u64::MAX])),
        Compared {
            newest: None,
            bookmarked: Some("t".parse().unwrap()),
            ..row(Agreement::Behind, Content::NotCompared)
        },
        row(Agreement::Missing, Content::Unreadable("why".into())),
        row(Agreement::Different, Content::Different(vec![])),
    ];
    schema::cover("verify", &shown(verify::view("p".into(), "b:q".into(), rows, verify::Form::Json)));
}

#[test]
fn targets_of_a_source() {
    let all = Given::default();
    let (written, host, dataset) = ("me@beta:b/t".into(), "beta:2222".into(), "b/t".parse().unwrap());
    let seen = Seen { written, host, dataset, pool: Guid(7), top: None, now: 1000, selected: &all };
    let target = Registry::default().identify(&seen).target;
    let known =
        |newest, date| KnownTarget { target: target.clone(), arrived: Arrived { with: 2, without: 1, newest }, date };
    let newest = Some(("t/a#m".to_owned(), "t/a@s".to_owned()));
    let targets = vec![known(newest, Some(1060)), known(None, None)];
    let (source, written, host) = ("t/a".parse().unwrap(), "alpha:t/a".into(), "alpha".into());
    let (above, others) = (Vec::new(), Vec::new());
    schema::cover(
        "targets",
        &shown(targets::view(
            Targets {
                source,
                written,
                host,
                now: 1120,
                targets,
                above,
                unread: vec!["0123456789abcdef".into()],
                others,
            },
            true,
        )),
    );
}

/// Ends about which there is something to say.
fn diagnoses() -> Vec<Diagnosis> {
    let troubled = |change: fn(&mut EndFacts)| {
        let mut target = end(HostRole::Receiver, "b/a");
        change(&mut target);
        Diagnosis::of(Ends { source: None, target: Some(target) }, "2.0.0")
    };
    let mut planned = Diagnosis::of(both(), "1.0.0");
    planned.plan(&Planned::Failed(Reasons::of(["why".into()])), &Runner::Any);
    vec![
        planned,
        Diagnosis::of(both(), "1.0.0"),
        troubled(|target| target.examined = Examined::Failed("why".into())),
        troubled(|target| target.examined = Examined::Older),
        troubled(|target| target.examined = Examined::Unreachable("why".into())),
        troubled(|target| target.direct = Some("gamma".into())),
        troubled(|target| {
            let connection = target.connection.as_mut().unwrap();
            (connection.clock, connection.round_trip) = (Some(-7200), None);
            (connection.cipher, connection.method) = (None, None);
        }),
    ]
}

#[test]
fn doctors() {
    schema::cover(
        "doctor",
        &diagnoses().into_iter().flat_map(|found| shown(doctor::view(found, true))).collect::<Vec<_>>(),
    );
}

use super::told::Told;
use super::*;
use crate::report::Summary;
use crate::report::event::ResolvedConflicts;
use crate::report::view::dry_run::PlanAction;

fn read(told: &Told) -> Result<Told, String> {
    Told::read(&crate::remote::direct::line(told).unwrap(), "alpha")
}

fn event(event: Event) -> Event {
    match read(&Told::Event(event)) {
        Ok(Told::Event(event)) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn events_arrive_as_they_were() {
    let summary = Summary {
        datasets: 3,
        bytes: u64::MAX,
        took: Duration::from_millis(1500),
        failures: vec![("p/a".into(), "why".into())],
        resolved: ResolvedConflicts { rolled_back: 1, set_aside: 2, replaced: 3 },
        withheld: Some("3 not destroyed: more than --max-delete".into()),
        kept: u64::MAX,
        ..Summary::default()
    };
    let (dataset, to) = ("p/a".to_owned(), "s".to_owned());
    for one in [
        Event::Connected { host: None, helper: "h".into(), took: Duration::from_millis(20) },
        Event::Planned { datasets: 1, in_sync: 2, steps: 3 },
        Event::Notice { dataset: Some("p".into()), text: "t".into() },
        Event::StepStarted {
            step: 1,
            dataset: dataset.clone(),
            from: Some("@a".into()),
            resumed: true,
            to: to.clone(),
            snapshots: 2,
        },
        Event::StepEstimated { step: 1, total: u64::MAX },
        Event::Progress { step: 1, bytes: 7 },
        Event::StepSent { step: 1, bytes: 7 },
        Event::StepDone { step: 1, dataset: dataset.clone(), to, snapshots: 2, bytes: 7, took: Duration::from_secs(2) },
        Event::StepFailed {
            step: 1,
            dataset: dataset.clone(),
            retry: true,
            wait: Duration::from_secs(1),
            error: "e".into(),
        },
        Event::DatasetFailed { dataset, target: "q/a".into(), kind: "conflict".into(), error: "e\nf".into() },
        Event::OnlyThere {
            datasets: vec!["q/x".into()],
            snapshots: vec![("q".into(), vec!["s".into()])],
            listed: true,
            told: Telling::Now,
        },
        Event::Destroyed { host: Some("b".into()), names: vec!["q@x".into()], rule: "r".into() },
        Event::Cleared {
            datasets: vec![],
            snapshots: vec!["q@s".into()],
            freed: 1,
            datasets_wait: 2,
            snapshots_wait: 3,
            next: Some(-4),
            stay: vec![("q/y".into(), "held".into())],
            failed: vec![],
            verbose: false,
        },
        Event::Finished(summary),
        Event::Finished(Summary::default()),
    ] {
        assert_eq!(event(one.clone()), one);
    }
}

#[test]
fn what_is_said_of_the_run_bears_the_hosts_name() {
    let text = "no \u{1b}[2J".to_owned();
    let said = event(Event::Notice { dataset: None, text: text.clone() });
    assert_eq!(said, Event::Notice { dataset: None, text: "alpha: no \\u{1b}[2J".into() });
    assert_eq!(event(Event::Problem { text }), Event::Problem { text: "alpha: no \\u{1b}[2J".into() });
    // What is this machine there is another one here.
    let over = Over { exit: 3, error: Some("no zfs command on this machine".into()), unreached: true };
    let Ok(Told::Over(over)) = read(&Told::Over(over)) else { panic!("no end") };
    assert_eq!((over.error.as_deref(), over.unreached), (Some("no zfs command on alpha"), true));
}

#[test]
fn rows_and_ends_arrive() {
    let row = PlanRow {
        dataset: "p".into(),
        target: "q".into(),
        action: PlanAction::SetAside,
        from: None,
        to: Some("@s".into()),
        snapshots: 1,
        bytes: Some(2),
        note: Some("n".into()),
        until_next_snapshot: true,
        withheld: true,
    };
    assert!(matches!(read(&Told::Row(row.clone())), Ok(Told::Row(again)) if again == row));
    let end = crate::report::DatasetEnd {
        dataset: "p",
        target: "q",
        result: crate::plan::LastResult::NoSnapshots,
        updated: true,
        error: Some("e"),
        newest: None,
    };
    assert!(matches!(read(&Told::Dataset(told::Ended::of(&end))), Ok(Told::Dataset(again)) if again.as_end() == end));
}

/// What only another zfsync is told is in its lines alone, and an older one's lines lack it.
#[test]
fn what_only_zfsync_is_told_is_left_out_where_there_is_none() {
    let line = |told: &Told| String::from_utf8(crate::remote::direct::line(told).unwrap()).unwrap();
    let summary = Summary { kept: 7, ..Summary::default() };
    let said = line(&Told::Event(Event::Finished(summary.clone())));
    assert!(said.contains("\"kept\":7") && !said.contains("resolved") && !said.contains("withheld"), "{said}");
    for public in [Event::Finished(Summary { kept: 0, ..summary.clone() }), Event::Finished(summary)] {
        let public = serde_json::to_value(public).unwrap();
        assert!(["resolved", "withheld", "kept"].iter().all(|field| public.get(field).is_none()), "{public}");
        let old = format!("{{\"event\":{public}}}");
        assert!(matches!(
            Told::read(old.as_bytes(), "alpha"),
            Ok(Told::Event(Event::Finished(summary))) if summary == Summary::default()
        ));
    }
}

#[test]
fn only_ends_of_a_push_are_ends() {
    let exit = |exit: u8, error: bool| Over { exit, error: error.then(String::new), unreached: false }.exit();
    let known: Vec<u8> = (0..=u8::MAX).filter(|code| exit(*code, false).is_some()).collect();
    assert_eq!(known, [0, 1, 2, 3, 4, 130, 143]);
    assert_eq!((exit(0, true), exit(4, true)), (None, Some(Exit::Locked)));
    assert!(Told::read(b"{\"over\":{\"exit\":300,\"error\":null}}", "alpha").is_err());
}

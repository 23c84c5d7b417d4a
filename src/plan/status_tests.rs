//! Each state by example.

use crate::plan::fixture::{self, placed as versions};
use std::collections::HashMap;
use std::time::Duration;

use super::*;

const NOW: i64 = 10_000;

/// Name, guid, createtxg.
type List<'a> = &'a [(&'a str, u64, u64)];

fn source(path: &str, snapshots: List<'_>, bookmarks: List<'_>) -> SourceDataset {
    let name: DatasetName = if path.is_empty() { "s".into() } else { format!("s/{path}") }.parse().unwrap();
    let path = name.below(&"s".parse().unwrap()).unwrap();
    SourceDataset { path, snapshots: versions(snapshots), bookmarks: versions(bookmarks), ..SourceDataset::default() }
}

fn target(snapshots: List<'_>) -> TargetDataset {
    let snapshots = versions(snapshots);
    fixture::target(snapshots)
}

fn all(filter: &Filter, here: &[SourceDataset], there: Vec<(&str, TargetDataset)>) -> Vec<DatasetStatus> {
    let there: HashMap<DatasetName, TargetDataset> =
        there.into_iter().map(|(name, dataset)| (name.parse().unwrap(), dataset)).collect();
    compare((&"s".parse().unwrap(), here), (&"t/x".parse().unwrap(), &there), filter)
}

fn everything() -> Filter {
    Filter::new(None, &[], &[]).unwrap()
}

fn one(here: &SourceDataset, there: Option<TargetDataset>) -> DatasetStatus {
    let there = there.into_iter().map(|dataset| ("t/x", dataset)).collect();
    all(&everything(), std::slice::from_ref(here), there).remove(0)
}

/// As if each snapshot `sN` had been made at second 1000 N.
fn dated(mut row: DatasetStatus) -> DatasetStatus {
    for side in [HostRole::Sender, HostRole::Receiver] {
        let names = row.undated(side).into_iter();
        let told = names.map(|name| (name.clone(), name.rsplit_once("@s").unwrap().1.parse::<i64>().unwrap() * 1000));
        row.date(side, &told.collect());
    }
    row
}

const THREE: List<'_> = &[("s1", 1, 10), ("s2", 2, 20), ("s3", 3, 30)];

#[test]
fn in_sync_is_told_by_guid_and_not_by_name_or_age() {
    let here = source("", THREE, &[]);
    let row = dated(one(&here, Some(target(&[("renamed", 3, 700)]))));
    assert_eq!((row.state, row.lacking, row.behind(i64::MAX)), (SyncState::InSync, 0, Some(0)));
    assert_eq!(row.common.as_ref().unwrap().creation, Some(3000));
    // The target's own name is shown, and the source asked for the date.
    let newest = row.newest_there.unwrap();
    assert_eq!((newest.name.as_str(), newest.creation), ("renamed", Some(3000)));
    // What the target has beyond that is no conflict for a push either.
    let row = one(&here, Some(target(&[("s3", 3, 700), ("own", 9, 800)])));
    assert_eq!(
        (row.state, row.newest_there.unwrap().asked),
        (SyncState::InSync, (HostRole::Receiver, "t/x@own".to_owned()))
    );
    let cut = TargetDataset { partial: true, ..target(&[("s3", 3, 700)]) };
    let row = one(&here, Some(cut));
    assert_eq!((row.state, row.partial), (SyncState::InSync, true));
    // The same name with another guid is nothing in common.
    let row = one(&here, Some(target(&[("s3", 99, 700)])));
    assert_eq!((row.state, row.clash), (SyncState::Conflict, Some(Clash::NoCommon)));
}

#[test]
fn behind_counts_from_the_newest_common_one() {
    let here = source("", &[("s1", 1, 10), ("s2", 2, 20), ("s3", 3, 30), ("s4", 4, 40)], &[]);
    let row = dated(one(&here, Some(target(&[("s1", 1, 5), ("s2", 2, 6)]))));
    assert_eq!((row.state, row.lacking), (SyncState::Behind, 2));
    // Since the oldest that is lacking was made; and from the newest common one to the newest.
    assert_eq!((row.behind(NOW), row.gap()), (Some(7000), Some(2000)));
    assert_eq!(row.oldest_lacking.unwrap().name.as_str(), "s3");
    let steps: Vec<_> = row.steps.iter().map(|step| (step.base.as_ref().unwrap().marked(), step.to.as_str())).collect();
    assert_eq!(steps, [("@s2".to_owned(), "s4")]);
    // Older ones that the target has pruned are not lacking.
    assert_eq!(one(&here, Some(target(&[("s3", 3, 6)]))).lacking, 1);
    // A clock that is wrong.
    assert_eq!(dated(one(&here, Some(target(&[("s3", 3, 6)])))).behind(0), Some(0));
}

#[test]
fn a_bookmark_is_common_too_and_its_date_is_the_targets() {
    let here = source("", &[("s3", 3, 30), ("s4", 4, 40)], &[("zfsync-mark", 2, 20)]);
    let row = dated(one(&here, Some(target(&[("s2", 2, 6)]))));
    assert_eq!((row.state, row.lacking, row.behind(NOW), row.gap()), (SyncState::Behind, 2, Some(7000), Some(2000)));
    let common = row.common.unwrap();
    assert_eq!((common.name.as_str(), common.asked), ("s2", (HostRole::Receiver, "t/x@s2".to_owned())));
    assert_eq!(row.steps.len(), 2);
    let ahead = source("", &[("s1", 1, 10)], &[("mark", 2, 20)]);
    let row = one(&ahead, Some(target(&[("s2", 2, 6)])));
    assert_eq!((row.state, row.clash), (SyncState::Conflict, Some(Clash::Ahead)));
}

#[test]
fn missing_partial_and_conflicts() {
    let here = source("", THREE, &[]);
    let state =
        |row: DatasetStatus| (row.state, row.clash, row.own.iter().map(ToString::to_string).collect::<Vec<_>>());
    let none = Vec::<String>::new;
    let missing = dated(one(&here, None));
    assert_eq!((missing.lacking, missing.behind(NOW), missing.gap(), missing.steps.len()), (3, Some(9000), None, 2));
    assert_eq!(state(missing), (SyncState::Missing, None, none()));
    let empty = TargetDataset { empty: true, ..target(&[]) };
    assert_eq!(state(one(&here, Some(empty.clone()))), (SyncState::Missing, None, none()));
    let first = TargetDataset { partial: true, ..target(&[]) };
    assert_eq!(state(one(&here, Some(first))), (SyncState::Partial, None, none()));
    let cut = TargetDataset { partial: true, ..target(&[("s1", 1, 5)]) };
    let row = dated(one(&here, Some(cut)));
    assert_eq!(row.behind(NOW), Some(8000));
    assert_eq!(state(row), (SyncState::Partial, None, none()));
    // Whoever was written to takes no increment; what is in sync is in sync all the same.
    let written = |snapshots, written| TargetDataset { written: Some(written), ..target(snapshots) };
    let row = one(&here, Some(written(&[("s1", 1, 5)], 512)));
    assert!(row.is_modified() && row.steps.is_empty(), "{row:?}");
    assert_eq!(state(row), (SyncState::Conflict, Some(Clash::Modified), none()));
    assert_eq!(state(one(&here, Some(written(&[("s1", 1, 5)], 0)))), (SyncState::Behind, None, none()));
    let row = one(&here, Some(written(&[("s3", 3, 5)], 512)));
    assert!(row.is_modified());
    assert_eq!(state(row), (SyncState::InSync, None, none()));
    let full = Some(Clash::DataWithoutSnapshots);
    assert_eq!(state(one(&here, Some(target(&[])))), (SyncState::Conflict, full, none()));
    let own = target(&[("s1", 1, 5), ("own", 8, 6), ("mine", 9, 7)]);
    let names = vec!["own".to_owned(), "mine".to_owned()];
    assert_eq!(state(one(&here, Some(own))), (SyncState::Conflict, Some(Clash::Diverged), names));
    let taken = target(&[("s3", 8, 4), ("s1", 1, 5)]);
    let names = vec!["s3".to_owned()];
    assert_eq!(state(one(&here, Some(taken))), (SyncState::Conflict, Some(Clash::NameTaken), names));
    let nothing = source("", &[], &[("mark", 1, 1)]);
    for there in [None, Some(empty), Some(target(&[("x", 1, 1)]))] {
        let row = one(&nothing, there);
        assert_eq!((row.state, row.behind(NOW), row.lacking), (SyncState::NoSnapshots, None, 0));
    }
}

#[test]
fn the_whole_tree_is_told_in_its_order_and_only_what_is_selected() {
    let here = [source("", THREE, &[]), source("a", THREE, &[]), source("a/z", &[], &[]), source("a b", THREE, &[])];
    let there = || {
        vec![
            ("t/x/a/old", target(&[("s1", 77, 1)])),
            ("t/x", target(THREE)),
            ("t/x/a b", target(THREE)),
            ("t/x/gone", target(&[])),
            ("t/xx", target(THREE)),
        ]
    };
    let rows = all(&everything(), &here, there());
    let told: Vec<_> = rows.iter().map(|row| (row.dataset.as_str(), row.target.as_str(), row.state)).collect();
    assert_eq!(
        told,
        [
            ("s", "t/x", SyncState::InSync),
            ("s/a", "t/x/a", SyncState::Missing),
            ("s/a/old", "t/x/a/old", SyncState::TargetOnly),
            ("s/a/z", "t/x/a/z", SyncState::NoSnapshots),
            ("s/a b", "t/x/a b", SyncState::InSync),
            ("s/gone", "t/x/gone", SyncState::TargetOnly),
        ]
    );
    assert_eq!(rows[2].undated(HostRole::Receiver), ["t/x/a/old@s1"]);
    assert_eq!(rows[2].behind(NOW), None);
    let filter = Filter::new(None, &[], &["a".into(), "gone".into()]).unwrap();
    let here: Vec<_> = here.into_iter().filter(|dataset| filter.selects(&dataset.path)).collect();
    let rows = all(&filter, &here, there());
    assert_eq!(rows.iter().map(|row| row.dataset.as_str()).collect::<Vec<_>>(), ["s", "s/a b"]);
}

#[test]
fn a_name_that_is_too_long_there_is_missing() {
    let here: DatasetName = format!("s/{}", "x".repeat(253)).parse().unwrap();
    let path = here.below(&"s".parse().unwrap()).unwrap();
    let row = one(&SourceDataset { path, ..source("", THREE, &[]) }, None);
    assert_eq!((row.state, row.target.len()), (SyncState::Missing, 257));
}

#[test]
fn limits_are_about_time_alone() {
    let limits = |warn: Option<u64>, crit: Option<u64>| Limits {
        warn: warn.map(Duration::from_secs),
        crit: crit.map(Duration::from_secs),
    };
    let here = source("", THREE, &[]);
    let behind = dated(one(&here, Some(target(&[("s2", 2, 5)]))));
    assert_eq!(behind.behind(NOW), Some(7000));
    for (limits, level) in [
        (limits(None, None), Level::Ok),
        (limits(Some(7000), Some(7000)), Level::Ok),
        (limits(Some(6999), None), Level::Warning),
        (limits(Some(6999), Some(7000)), Level::Warning),
        (limits(Some(1), Some(6999)), Level::Critical),
        (limits(None, Some(6999)), Level::Critical),
    ] {
        assert_eq!(behind.level(&limits, NOW), level, "{limits:?}");
    }
    // Nobody knows since when.
    let undated = one(&here, Some(target(&[("s2", 2, 5)])));
    assert_eq!(undated.level(&limits(None, None), NOW), Level::Ok);
    assert_eq!(undated.level(&limits(Some(1), Some(1)), NOW), Level::Warning);
    assert_eq!(undated.level(&limits(None, Some(1)), NOW), Level::Critical);
    // Whatever the limits.
    let long = limits(Some(1_000_000), None);
    assert_eq!(dated(one(&here, None)).level(&long, NOW), Level::Critical);
    assert_eq!(one(&here, Some(target(&[("s3", 3, 5)]))).level(&limits(Some(0), Some(0)), i64::MAX), Level::Ok);
    let found = Ok(vec![behind.clone(), one(&here, Some(target(&[("s3", 3, 5)])))]);
    let mut status = Status {
        source: "s".parse().unwrap(),
        now: NOW,
        limits: limits(Some(1), None),
        targets: vec![TargetStatus { target: "b:t/x".into(), found, kept: false, last_run: None }],
    };
    assert_eq!(status.level(), Level::Warning);
    status.targets.push(TargetStatus {
        target: "c:t/x".into(),
        found: Err("gone".into()),
        kept: false,
        last_run: None,
    });
    assert_eq!(status.level(), Level::Critical);
    status.targets.clear();
    assert_eq!(status.level(), Level::Ok);
}

#[test]
fn nothing_to_replicate_is_not_well() {
    let found_there = |found| TargetStatus { target: "b:t/x".into(), found, kept: false, last_run: None };
    let mut status = Status { source: "s".parse().unwrap(), now: NOW, limits: Limits::default(), targets: Vec::new() };
    let none = one(&source("", &[], &[]), None);
    assert_eq!(none.state, SyncState::NoSnapshots);
    for (rows, words) in [(Vec::new(), "no dataset of s is selected"), (vec![none.clone()], "has no snapshot")] {
        status.targets = vec![found_there(Ok(rows))];
        assert_eq!(status.level(), Level::Unknown);
        assert!(status.nothing().unwrap().to_string().contains(words));
    }
    // One with a copy is enough, and what is wrong counts for more.
    let good = one(&source("", THREE, &[]), Some(target(&[("s3", 3, 5)])));
    status.targets = vec![found_there(Ok(vec![none.clone(), good]))];
    assert_eq!((status.level(), status.nothing()), (Level::Ok, None));
    status.targets = vec![found_there(Ok(vec![none])), found_there(Err("gone".into()))];
    assert_eq!(status.level(), Level::Critical);
}

#[test]
fn own_snapshots_without_changed_data_are_no_conflict() {
    let here = source("", THREE, &[]);
    let told = |there: &TargetDataset, written: &[(&str, u64)]| {
        let mut row = one(&here, Some(there.clone()));
        row.changed(&written.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect());
        (row.state, row.clash, row.own.len(), row.steps.len())
    };
    let diverged = (SyncState::Conflict, Some(Clash::Diverged), 1, 0);
    let there = target(&[("old", 2, 6), ("own", 9, 7)]);
    assert_eq!(one(&here, Some(there.clone())).unchanged.unwrap().since, "t/x@old");
    for (written, is) in [
        (&[][..], diverged),
        (&[("t/x@old", 1)], diverged),
        (&[("t/x@other", 0)], diverged),
        (&[("t/x@old", 0)], (SyncState::Behind, None, 0, 1)),
    ] {
        assert_eq!(told(&there, written), is, "{written:?}");
    }
    let nothing = [("t/x@s2", 0)];
    let taken = target(&[("s2", 2, 6), ("s3", 9, 7)]);
    assert_eq!(told(&taken, &nothing), (SyncState::Conflict, Some(Clash::NameTaken), 1, 0));
    let cut = TargetDataset { partial: true, ..target(&[("s2", 2, 6), ("own", 9, 7)]) };
    assert_eq!(told(&cut, &nothing), (SyncState::Partial, None, 0, 1));
}

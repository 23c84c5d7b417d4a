//! A hundred thousand datasets: nothing may grow with their square.

use crate::plan::{Negotiation, SourceDataset, SourceFacts, Verdict};
use zfs::Versions;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};

const DATASETS: u64 = 100_000;

fn snapshots(of: u64) -> Versions {
    let mut all = Versions::default();
    for (txg, name) in (1..).zip(["one", "two", "three"]) {
        all.push(&name.parse::<SnapshotName>().unwrap(), Guid(of * 10 + txg), Txg(txg));
    }
    all
}

/// Some flat, some deep, every tenth without snapshots.
fn source() -> (DatasetName, Vec<SourceDataset>) {
    let top: DatasetName = "apool/s".parse().unwrap();
    let dataset = |number: u64| {
        let name = match number % 3 {
            0 => format!("apool/s/d{number}"),
            1 => format!("apool/s/d{}/x", number - 1),
            _ => format!("apool/s/d{}/x/y", number - 2),
        };
        let path = name.parse::<DatasetName>().unwrap().below(&top).unwrap();
        let snapshots = if number.is_multiple_of(10) { Versions::default() } else { snapshots(number) };
        SourceDataset { path, snapshots, ..SourceDataset::default() }
    };
    let all = (0..DATASETS).map(dataset).collect();
    (top, all)
}

#[test]
fn everything_is_new() {
    let (source, datasets) = source();
    let mut negotiation = Negotiation::new(&source, &"bpool/t".parse().unwrap(), datasets, false);
    let names = negotiation.questions();
    assert_eq!(names[0], "bpool");
    negotiation.answers(&[(0, Guid(1), Txg(1))]);
    assert!(negotiation.questions().is_empty());
    let wanted = negotiation.wants_facts(false);
    let facts = SourceFacts { kind: zfs::Kind::Filesystem, encrypted: false, root_up: 0 };
    negotiation.facts(&wanted.into_iter().map(|name| (name, facts)).collect());
    let plan = negotiation.plan();
    assert_eq!(plan.steps() as u64, 2 * DATASETS * 9 / 10);
    let again = |index| {
        negotiation.relist(index, None);
        negotiation.relisted(index, None);
        negotiation.facts(&[(plan.datasets[index].source.clone(), facts)].into());
        negotiation.replan(index).unwrap().verdict
    };
    let sent = (0..plan.datasets.len()).map(again).filter(|verdict| matches!(verdict, Verdict::Send(_)));
    assert_eq!(sent.count() as u64, DATASETS * 9 / 10);
}

#[test]
fn everything_needs_every_question() {
    let (source, datasets) = source();
    let mut negotiation = Negotiation::new(&source, &"bpool/t".parse().unwrap(), datasets, false);
    let mut rounds = 0;
    loop {
        let names = negotiation.questions();
        if names.is_empty() {
            break;
        }
        rounds += 1;
        let there = (0..).zip(&names).filter(|(_, name)| !name.contains('@'));
        let found: Vec<_> = there.map(|(place, _)| (place, Guid(1), Txg(1))).collect();
        negotiation.answers(&found);
    }
    assert_eq!(rounds, 3);
    assert_eq!(negotiation.unlisted().len() as u64, DATASETS * 9 / 10);
    negotiation.listed(std::collections::HashMap::new());
    assert_eq!(negotiation.plan().steps() as u64, 2 * DATASETS * 9 / 10);
}

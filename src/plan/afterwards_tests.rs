//! A dry run with resolutions shows of what is missing what the run finds at its end.

use std::collections::HashMap;

use crate::plan::fixture::{self, numbered as versions};
use crate::plan::missing_fixture::{There, both, goes, name, negotiation_with, there};
use crate::plan::{Missing, Negotiation, Notes, Resolutions, TargetDataset, When};
use zfs::name::DatasetName;

type Source<'a> = &'a [(&'a str, &'a [(&'a str, u64)])];

const STAMP: &str = "20261129-220000";

/// What a dry run with `--set-aside` finds in the target as it is, and the run in what it leaves.
fn dry_and_run(source: Source<'_>, before: There<'_>, after: There<'_>) -> (Missing, Missing) {
    let resolutions = Resolutions { set_aside: true, ..Resolutions::default() };
    dry_and_run_with(&resolutions, source, before, after)
}

fn dry_and_run_with(
    resolutions: &Resolutions,
    source: Source<'_>,
    before: There<'_>,
    after: There<'_>,
) -> (Missing, Missing) {
    let look = |(datasets, notes): (HashMap<DatasetName, TargetDataset>, HashMap<DatasetName, Notes>), when| {
        let mut negotiation = negotiation_with(source, &[], &datasets).with_resolutions(resolutions.clone(), STAMP);
        negotiation.below(&negotiation.target.clone(), &datasets.keys().cloned().collect::<Vec<_>>());
        negotiation.missing(&datasets, &notes, &both(), when)
    };
    (look(there(before), When::Before), look(there(after), When::After))
}

/// What is told of it: what goes, what stays, and of how much that is.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    snapshots: Vec<String>,
    datasets: Vec<String>,
    stay: Vec<String>,
    foreign: Vec<String>,
    total: (usize, usize),
}

fn told(found: &Missing) -> Told {
    let foreign = found.foreign.iter().flat_map(|(name, all)| all.iter().map(|one| name.at(one.as_str())));
    let mut stay: Vec<String> = found.stay.iter().map(|(name, why)| format!("{name}: {why}")).collect();
    stay.sort();
    Told {
        snapshots: found.undated(),
        datasets: goes(found).into_iter().map(str::to_owned).collect(),
        stay,
        foreign: foreign.collect(),
        total: found.total,
    }
}

fn same(source: Source<'_>, before: There<'_>, after: There<'_>) -> (Missing, Missing) {
    let (dry, run) = dry_and_run(source, before, after);
    assert_eq!(told(&dry), told(&run));
    (dry, run)
}

/// It comes back with all up to the common snapshot, its note included, and nothing of what lies below.
#[test]
fn set_aside_at_the_top() {
    let (dry, _) = same(
        &[("", &[("s1", 11), ("s2", 22)])],
        &[("", &[("s0", 10), ("s1", 11), ("s2", 99)], "b@11"), ("/old", &[("x", 50)], "32@50")],
        &[("", &[("s0", 10), ("s1", 11), ("s2", 22)], "b@11")],
    );
    assert_eq!((dry.undated(), goes(&dry), dry.total), (vec!["b/t@s0".to_owned()], vec![], (1, 3)));
}

/// What has a common snapshot comes back, what has none is sent in full, all else stays in what was set aside.
#[test]
fn set_aside_with_datasets_below() {
    let aside = "/a.zfsync-20261129-220000";
    let moved = |path: &str| format!("{aside}{path}");
    let (kid, odd, gone, deep) = (moved("/kid"), moved("/odd"), moved("/gone"), moved("/odd/deep"));
    let (dry, _) = same(
        &[
            ("", &[("t", 1)]),
            ("/a", &[("s1", 11), ("s2", 22)]),
            ("/a/kid", &[("s1", 31), ("s2", 42)]),
            ("/a/odd", &[("new", 60)]),
            ("/a/odd/deep", &[("s1", 71)]),
        ],
        &[
            ("", &[("t", 1)], "1@1"),
            ("/a", &[("s0", 10), ("s1", 11), ("s2", 99)], "b@11"),
            ("/a/kid", &[("own", 29), ("s0", 30), ("s1", 31), ("s2", 98)], "1f@31"),
            ("/a/odd", &[("x", 50)], "-"),
            ("/a/odd/deep", &[("s0", 70), ("s1", 71)], "47@71"),
            ("/a/gone", &[("x", 80)], "50@80"),
            ("/gone", &[("x", 90)], "5a@90"),
        ],
        &[
            ("", &[("t", 1)], "1@1"),
            ("/a", &[("s0", 10), ("s1", 11), ("s2", 22)], "b@11"),
            ("/a/kid", &[("own", 29), ("s0", 30), ("s1", 31), ("s2", 42)], "1f@31"),
            ("/a/odd", &[("new", 60)], "3c"),
            ("/a/odd/deep", &[("s1", 71)], "47"),
            (aside, &[("s2", 99)], "b@11"),
            (kid.as_str(), &[("s2", 98)], "1f@31"),
            (odd.as_str(), &[("x", 50)], "-"),
            (deep.as_str(), &[("s0", 70), ("s1", 71)], "47@71"),
            (gone.as_str(), &[("x", 80)], "50@80"),
            ("/gone", &[("x", 90)], "5a@90"),
        ],
    );
    assert_eq!(goes(&dry), ["b/t/gone"]);
    assert_eq!(dry.undated(), ["b/t/a@s0", "b/t/a/kid@own", "b/t/a/kid@s0"]);
    assert_eq!(dry.stay.len(), 5, "all that was set aside: {:?}", dry.stay);
}

/// Without a common snapshot it is sent in full, and is this source's then, whoever has put it there.
#[test]
fn set_aside_for_a_full_stream() {
    let (dry, _) = same(
        &[("", &[("t", 1)]), ("/a", &[("s1", 11)])],
        &[("", &[("t", 1)], "1@1"), ("/a", &[("x", 50), ("y", 51)], "7-33@51")],
        &[
            ("", &[("t", 1)], "1@1"),
            ("/a", &[("s1", 11)], "b"),
            ("/a.zfsync-20261129-220000", &[("x", 50), ("y", 51)], "7-33@51"),
        ],
    );
    assert_eq!(dry.total, (2, 2));
}

#[test]
fn replaced_for_a_full_stream() {
    let resolutions = Resolutions { replace: [name("b/t/a")].into(), ..Resolutions::default() };
    let (dry, run) = dry_and_run_with(
        &resolutions,
        &[("", &[("t", 1)]), ("/a", &[("s1", 11)])],
        &[("", &[("t", 1)], "1@1"), ("/a", &[("x", 50), ("y", 51)], "7-33@51")],
        &[("", &[("t", 1)], "1@1"), ("/a", &[("s1", 11)], "b")],
    );
    assert_eq!(told(&dry), told(&run));
    assert_eq!(dry.total, (2, 2));
}

/// A copy that is renamed in this run, too, is called by its name of now.
#[test]
fn set_aside_after_a_rename() {
    let source: Source<'_> = &[("", &[("t", 1)]), ("/new", &[("s1", 11), ("s2", 22)])];
    let (mut datasets, notes) =
        there(&[("", &[("t", 1)], "1@1"), ("/old", &[("s0", 10), ("s1", 11), ("s2", 99)], "b@11")]);
    let resolutions = Resolutions { set_aside: true, ..Resolutions::default() };
    let mut negotiation = negotiation_with(source, &[], &datasets).with_resolutions(resolutions, STAMP);
    let guess = crate::plan::Guess {
        index: 1,
        from: name("b/t/old"),
        snapshot: "s1".parse().unwrap(),
        guid: zfs::name::Guid(11),
    };
    let moves = negotiation.moves(&[guess]);
    negotiation.moved(&moves);
    let copy = datasets.get(&name("b/t/old")).cloned();
    negotiation.relisted(1, copy);
    let found = negotiation.missing(&datasets, &notes, &both(), When::Before);
    assert_eq!((found.undated(), found.total), (vec!["b/t/old@s0".to_owned()], (2, 4)));
    datasets.insert(name("b/t/x"), fixture::target(versions(&[])));
    assert_eq!(goes(&negotiation.missing(&datasets, &notes, &both(), When::Before)), Vec::<&str>::new());
}

/// Where the target's host refuses the resolution, the dataset stays in conflict.
#[test]
fn what_will_not_be_resolved_is_not_in_sync() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/x", &[("s3", 4)])];
    let (datasets, notes) = there(&[("", &[("s1", 1)], "1"), ("/gone", &[("s1", 9)], "9"), ("/x", &[("own", 3)], "-")]);
    let resolutions = Resolutions { set_aside: true, ..Resolutions::default() };
    let mut talk = negotiation_with(source, &[], &datasets).with_resolutions(resolutions, "20261130-020000");
    let before = |talk: &Negotiation| talk.missing(&datasets, &notes, &both(), When::Before);
    assert_eq!(goes(&before(&talk)), ["b/t/gone"]);
    talk.refused([1]);
    let found = before(&talk);
    assert_eq!((goes(&found).len(), found.not_in_sync), (0, vec![name("a/s/x")]));
}

//! Trees: one with one of each case, what must be created before a dataset, and what appears meanwhile.

use insta::assert_snapshot;

use super::shorthand::{push, side};
use crate::plan::Placement;
use crate::plan::model::{Job, PushOutcome};
use zfs::Kind;
use zfs::name::DatasetName;

/// That a dataset couldn't be created tells nothing about the one that somebody else has just made.
#[test]
fn an_empty_dataset_that_appears_meanwhile_is_filled() {
    let (source, target): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let job = Job {
        source,
        target: target.clone(),
        selects: &|_| true,
        newest_only: false,
        skip_empty: false,
        resolutions: crate::plan::Resolutions::default(),
    };
    let (here, mut there) = (side("a/s", &[("", "a b")]), side("b/t", &[]));
    let mut calls = 0;
    let report = job.push(&here, &mut there, &mut |there| {
        calls += 1;
        // After the plan is made.
        if calls == 3 {
            there.create(&target, Kind::Filesystem).unwrap();
        }
    });
    assert_eq!((report.refused, &report.ends[&target]), (1, &PushOutcome::InSync));
}

/// Relatives of zelta's `match` table (R19): one tree with one of each.
#[test]
fn a_tree_with_one_of_each() {
    let here = [
        ("", "a b"),
        ("basic", "a b c"),
        ("bookmark", "#a b"),
        ("diverged", "a b"),
        ("empty", "a"),
        ("new", "a b"),
        ("new/below", "a"),
        ("none", ""),
        ("none/below", "a"),
        ("renamed", "x=a b"),
        ("uptodate", "a"),
        ("vol", "volume a"),
        ("written", "a b"),
    ];
    let there = [
        ("", "a b"),
        ("basic", "a"),
        ("bookmark", "a"),
        ("diverged", "a x"),
        ("empty", ""),
        ("only there", "z"),
        ("renamed", "a"),
        ("uptodate", "a"),
        ("vol", "a=z"),
        ("written", "a !"),
    ];
    let (here, mut there) = (side("a/s", &here), side("b/t", &there));
    let first = push(&here, &mut there, false);
    let second = push(&here, &mut there, false);
    assert_snapshot!(first, @r"
    rounds 3, listed 3, refused 2
    : [] InSync
    basic: [-I @a @c] InSync
    bookmark: [-i #a @b] InSync
    diverged: [] the target has diverged after @a: it has snapshots of its own
      common: @a
      only on the source: @b
      only on the target: @x
      nothing was changed; to continue: run again with
        --rollback, which loses @x and what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t/diverged', which destroys its 2 snapshots and sends it in full
    empty: [@a] InSync
    new: [@a, -i @a @b] InSync
    new/below: [@a] InSync
    none: [] NoSnapshots
    none/below: [@a] InSync
    renamed: [-i @x @b] InSync
    uptodate: [] InSync
    vol: [] the source is a volume and the target is a filesystem
      only on the source: @a
      only on the target: @a
      nothing was changed; to continue: run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t/vol', which destroys its only snapshot and sends it in full
    written: [] the target has been modified since @a, the newest common snapshot
      common: @a
      only on the source: @b
      only on the target: changes that are in no snapshot
      nothing was changed; to continue: run again with
        --rollback, which loses what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t/written', which destroys its only snapshot and sends it in full
    ");
    assert_snapshot!(second, @r"
    rounds 2, listed 1, refused 2
    : [] InSync
    basic: [] InSync
    bookmark: [] InSync
    diverged: [] the target has diverged after @a: it has snapshots of its own
      common: @a
      only on the source: @b
      only on the target: @x
      nothing was changed; to continue: run again with
        --rollback, which loses @x and what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t/diverged', which destroys its 2 snapshots and sends it in full
    empty: [] InSync
    new: [] InSync
    new/below: [] InSync
    none: [] NoSnapshots
    none/below: [] InSync
    renamed: [] InSync
    uptodate: [] InSync
    vol: [] the source is a volume and the target is a filesystem
      only on the source: @a
      only on the target: @a
      nothing was changed; to continue: run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t/vol', which destroys its only snapshot and sends it in full
    written: [] the target has been modified since @a, the newest common snapshot
      common: @a
      only on the source: @b
      only on the target: changes that are in no snapshot
      nothing was changed; to continue: run again with
        --rollback, which loses what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t/written', which destroys its only snapshot and sends it in full
    ");
}

/// What must be created before a dataset, and who does it.
#[test]
fn what_must_be_there_before() {
    let plan = |here: &[(&str, &str)], there: &[(&str, &str)]| {
        let (source, target) = ("a/s".parse().unwrap(), "b/p/t".parse().unwrap());
        let job = Job {
            source,
            target,
            selects: &|path| path.as_str() != "x",
            newest_only: false,
            skip_empty: false,
            resolutions: crate::plan::Resolutions::default(),
        };
        let (_, plan) = job.negotiate(
            &side("a/s", here),
            &mut side("b/p/t", there),
            &mut |_| {},
            &mut crate::plan::model::Report::default(),
        );
        let line = |planned: &crate::plan::PlannedDataset| {
            let above: Vec<&str> = planned.ancestors.iter().map(DatasetName::as_str).collect();
            let place = match planned.placement {
                Placement::Existing => "existing",
                Placement::Create => "create",
                Placement::IntoEmpty => "into empty",
                Placement::Overwrite => "overwrite",
            };
            let top = if planned.top { " top".to_owned() } else { String::new() };
            let top = planned.top_ancestor.as_ref().map_or(top, |above| format!(" below new top {above}"));
            format!("{} {place}{top} {above:?} after {:?}", planned.target, planned.after)
        };
        plan.datasets.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(plan(&[("", "a"), ("k", "a"), ("k/l", "a")], &[]), @r#"
    b/p/t create top ["b/p"] after None
    b/p/t/k create [] after Some(0)
    b/p/t/k/l create [] after Some(1)
    "#);
    assert_snapshot!(plan(&[("", ""), ("k", ""), ("k/l", "a"), ("x", "a"), ("x/y", "a")], &[]), @r#"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create below new top b/p/t ["b/p", "b/p/t", "b/p/t/k"] after None
    b/p/t/x/y create below new top b/p/t ["b/p", "b/p/t", "b/p/t/x"] after None
    "#);
    let tree = [("", "a"), ("k", ""), ("k/l", "a"), ("x", "a"), ("x/y", "a"), ("x/y/z", "a")];
    assert_snapshot!(plan(&tree, &[("", "a"), ("x", "")]), @r#"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create ["b/p/t/k"] after None
    b/p/t/x/y create [] after None
    b/p/t/x/y/z create [] after Some(3)
    "#);
    // Nothing is created below what a cut receive has left half made, nor below a volume.
    assert_snapshot!(plan(&[("", "a"), ("k", "a"), ("k/l", "a")], &[("", "a"), ("k", "partial")]), @r"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create top [] after Some(1)
    ");
    assert_snapshot!(plan(&[("", "a"), ("k", "a"), ("k/l", "a")], &[("", "a"), ("k", "volume z")]), @r"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create top [] after Some(1)
    ");
    // What is created below something else than a copy inherits nothing from it; what is there may hold others' datasets, which inherit.
    let tree = [("", "a"), ("k", ""), ("k/l", "a"), ("m", "a"), ("m/y", "a"), ("m/y/z", "a"), ("m/z", "a")];
    assert_snapshot!(plan(&tree, &[("", "a"), ("m", "z"), ("m/z", "")]), @r#"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create ["b/p/t/k"] after None
    b/p/t/m existing [] after None
    b/p/t/m/y create top [] after None
    b/p/t/m/y/z create [] after Some(4)
    b/p/t/m/z into empty top [] after None
    "#);
    assert_snapshot!(plan(&tree, &[("", "z"), ("m", "a")]), @r#"
    b/p/t existing [] after None
    b/p/t/k existing [] after None
    b/p/t/k/l create top ["b/p/t/k"] after None
    b/p/t/m existing [] after None
    b/p/t/m/y create [] after None
    b/p/t/m/y/z create [] after Some(4)
    b/p/t/m/z create [] after None
    "#);
}

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use zfs::Version;
use zfs::name::{Guid, Txg};

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

fn now() -> Timestamp {
    "2024-11-22T03:15:30Z".parse().unwrap()
}

fn naming() -> Naming {
    Naming { format: Format::default(), zone: TimeZone::UTC }
}

fn planned(
    selection: &Selection<'_>,
    states: &HashMap<DatasetName, SnapshotState>,
) -> Result<SnapshotPlan, SnapshotError> {
    let newest = selection.newest_own(&Format::default());
    let moment = newest.map(|(_, stamp)| stamp.moment(&TimeZone::UTC, None).unwrap());
    selection.plan(states, &naming(), moment.map(|moment| Timestamp::from_second(moment).unwrap()), now())
}

/// A tree from `dataset: snapshot snapshot`, the first line being its top; the txgs count on through all lines.
fn tree(lines: &[&str]) -> Tree {
    let mut txg = 0;
    let mut split = lines.iter().map(|line| line.split_once(':').unwrap_or((line, "")));
    let top = dataset(split.clone().next().unwrap().0);
    let datasets = split.by_ref().map(|(name, snapshots)| {
        let versions = snapshots.split_whitespace().map(|name| {
            txg += 1;
            Version { name, guid: Guid(txg), txg: Txg(txg) }
        });
        let snapshots = versions.collect();
        SourceDataset { path: dataset(name).below(&top).unwrap(), snapshots, ..SourceDataset::default() }
    });
    Tree { datasets: datasets.collect(), top: top.clone() }
}

fn filter(depth: Option<usize>, include: &[&str], exclude: &[&str]) -> Filter {
    let own = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    Filter::new(depth, &own(include), &own(exclude)).unwrap()
}

fn all() -> Filter {
    filter(None, &[], &[])
}

/// With `written`, what has not changed is left out.
fn plan(trees: &[Tree], filter: &Filter, written: Option<&[(&str, u64)]>) -> Result<SnapshotPlan, SnapshotError> {
    let state = |bytes| SnapshotState { written: Some(bytes), incomplete: false };
    let states = written.iter().flat_map(|all| all.iter()).map(|(name, bytes)| (dataset(name), state(*bytes)));
    planned(&Selection::new(trees, filter, written.is_some()), &states.collect())
}

fn name_of(trees: &[Tree], filter: &Filter) -> String {
    plan(trees, filter, None).unwrap().name.to_string()
}

/// `-r a b = a a/x b`, a pool a line
fn commands(plan: &SnapshotPlan) -> Vec<String> {
    lines(&plan.pools)
}

fn lines(pools: &[PoolSnapshots]) -> Vec<String> {
    let join = |all: &[DatasetName]| all.iter().map(DatasetName::as_str).collect::<Vec<_>>().join(" ");
    let line = |pool: &PoolSnapshots| {
        format!("{}{} = {}", if pool.recursive { "-r " } else { "" }, join(&pool.named), join(&pool.datasets))
    };
    pools.iter().map(line).collect()
}

#[test]
fn whole_trees_are_taken_recursively() {
    let trees = [tree(&["p/a", "p/a/x", "p/a/x y"]), tree(&["p/b:s"])];
    let plan = plan(&trees, &all(), None).unwrap();
    assert_eq!(commands(&plan), ["-r p/a p/b = p/a p/a/x p/a/x y p/b"]);
    assert_eq!((plan.name.as_str(), plan.unchanged.len()), ("241122-031530_D", 0));
}

#[test]
fn parts_of_trees_are_named() {
    let trees = [tree(&["p/a", "p/a/x", "p/a/x/y", "p/a/z"])];
    let named = |filter: Filter| commands(&plan(&trees, &filter, None).unwrap()).concat();
    assert_eq!(named(filter(Some(0), &[], &[])), "p/a = p/a");
    assert_eq!(named(filter(Some(1), &[], &[])), "p/a p/a/x p/a/z = p/a p/a/x p/a/z");
    assert_eq!(named(filter(None, &[], &["x"])), "p/a p/a/z = p/a p/a/z");
    assert_eq!(named(filter(None, &["x"], &[])), "p/a/x p/a/x/y = p/a/x p/a/x/y");
    // What matches nothing now may match what is made before the command runs.
    assert_eq!(named(filter(None, &[], &["none"])), "p/a p/a/x p/a/x/y p/a/z = p/a p/a/x p/a/x/y p/a/z");
    assert_eq!(named(filter(None, &["none"], &[])), "");
}

#[test]
fn each_dataset_counts_once() {
    let outer = tree(&["p/a", "p/a/b", "p/a/b/c"]);
    let inner = tree(&["p/a/b", "p/a/b/c"]);
    let trees = [inner.clone(), outer, inner];
    assert_eq!(commands(&plan(&trees, &all(), None).unwrap()), ["-r p/a = p/a p/a/b p/a/b/c"]);
    assert_eq!(
        commands(&plan(&trees, &filter(Some(0), &[], &[]), None).unwrap()),
        ["p/a p/a/b = p/a p/a/b"],
        "each on its own"
    );
    // Excluded from one tree, and the top of another.
    assert_eq!(
        commands(&plan(&trees, &filter(None, &[], &["b"]), None).unwrap()),
        ["p/a p/a/b p/a/b/c = p/a p/a/b p/a/b/c"]
    );
}

#[test]
fn pools_in_the_order_of_the_command_line() {
    let trees = [tree(&["q/a"]), tree(&["p", "p/x"]), tree(&["q/b"])];
    assert_eq!(commands(&plan(&trees, &all(), None).unwrap()), ["-r q/a q/b = q/a q/b", "-r p = p p/x"]);
    // A pool of which all is wanted is taken whole, whatever the others are like.
    let trees = [tree(&["q/a:s", "q/a/x:s"]), tree(&["p:s", "p/x"])];
    let plan = plan(&trees, &all(), Some(&[("q/a", 0), ("q/a/x", 1), ("p", 1)])).unwrap();
    assert_eq!(commands(&plan), ["q/a/x = q/a/x", "-r p = p p/x"]);
}

#[test]
fn what_has_not_changed_is_left_out() {
    let trees = [tree(&["p:s", "p/a:s", "p/new", "p/gone:s"])];
    let everything = all();
    assert_eq!(Selection::new(&trees, &everything, false).questions(), [dataset("p/new")]);
    assert_eq!(Selection::new(&trees, &everything, true).questions().len(), 4);
    let found = plan(&trees, &everything, Some(&[("p", 0), ("p/a", 4096), ("p/new", 0)])).unwrap();
    assert_eq!(found.unchanged, [dataset("p")]);
    assert_eq!(commands(&found), ["p/a p/gone p/new = p/a p/gone p/new"], "without snapshots, or unknown: taken");
    let found = plan(&[tree(&["p:s", "p/a:s"])], &everything, Some(&[("p", 0), ("p/a", 0)])).unwrap();
    assert_eq!((commands(&found).len(), found.unchanged.len()), (0, 2));
    let found = plan(&[tree(&["p:s", "p/a:s"])], &everything, Some(&[("p", 1), ("p/a", 1)])).unwrap();
    assert_eq!(commands(&found), ["-r p = p p/a"], "all of them have changed");
}

#[test]
fn what_is_incomplete_is_left_out() {
    let trees = [tree(&["p:s", "p/part", "p/new", "p/kept:s"]), tree(&["q"])];
    let part = SnapshotState { written: Some(0), incomplete: true };
    let states = ["p/part", "p/kept", "q"].map(|name| (dataset(name), part)).into();
    let commands_with = |filter: &Filter| {
        let plan = planned(&Selection::new(&trees, filter, false), &states).unwrap();
        assert_eq!((plan.incomplete, plan.unchanged), (vec![dataset("p/part"), dataset("q")], vec![]));
        lines(&plan.pools)
    };
    assert_eq!(commands_with(&all()), ["-r p = p p/kept p/new"]);
    assert_eq!(commands_with(&filter(None, &[], &["none"])), ["p p/kept p/new = p p/kept p/new"]);
}

#[test]
fn the_class_is_that_of_the_first_dataset() {
    let hour_ago = "241122-021530_D";
    for (lines, class) in [
        (&["p"][..], 'D'),
        (&["p:foreign 241122-031500_H"], 'S'),
        (&["p:241122-031400_H"], 'M'),
        (&["p:241122-021530_D foreign"], 'H'),
        (&["p:241121-031530_D"], 'D'),
        // By createtxg and not by name.
        (&["p:241122-031500_S 241122-021530_D"], 'H'),
        // Others' own snapshots say nothing about this one's.
        (&["p:241122-021530_D", "p/a:241122-031500_S"], 'H'),
    ] {
        assert_eq!(name_of(&[tree(lines)], &all()), format!("241122-031530_{class}"), "{lines:?}");
    }
    let second = tree(&["p/second:241122-031500_S"]);
    assert_eq!(name_of(&[tree(&[&format!("p/first:{hour_ago}")]), second], &all()), "241122-031530_H");
}

#[test]
fn where_the_first_dataset_may_be_left_out_the_others_tell_the_class() {
    let trees = [tree(&["p:241121-000000_D", "p/a:241122-031500_M", "p/out:241122-031529_S"])];
    assert_eq!(name_of(&trees, &all()), "241122-031530_D");
    assert_eq!(name_of(&trees, &filter(None, &["a"], &[])), "241122-031530_S");
    let sparse = plan(&trees, &filter(None, &[], &["out"]), Some(&[("p", 0)])).unwrap();
    assert_eq!(sparse.name.as_str(), "241122-031530_S");
    let trees = [tree(&["p:241121-000000_D", "p/a:241122-021500_M"])];
    assert_eq!(plan(&trees, &all(), Some(&[])).unwrap().name.as_str(), "241122-031530_H");
}

#[test]
fn names_that_are_taken_get_a_number() {
    let trees = [tree(&["p", "p/a:241122-031530_D", "p/b:241122-031530_D-2"]), tree(&["q:241122-031530_D-3"])];
    assert_eq!(name_of(&trees, &all()), "241122-031530_D-4");
    assert_eq!(name_of(&trees, &filter(None, &[], &["*"])), "241122-031530_D", "in what is selected only");
}

#[test]
fn names_that_are_too_long() {
    let long = format!("p/{}", "x".repeat(239));
    let fits = [tree(&["p", &long[..long.len() - 2]])];
    assert_eq!(plan(&fits, &all(), None).unwrap().pools.len(), 1);
    let error = plan(&[tree(&["p", &long])], &all(), None).unwrap_err();
    assert_eq!(error, SnapshotError::Name { full: format!("{long}@241122-031530_D") });
    assert!(error.to_string().contains("has 257 bytes; ZFS allows 255: give a shorter --format"), "{error}");
}

#[test]
fn too_many_names_for_one_command() {
    let names: Vec<String> = (0..2500).map(|n| format!("p/{n:0>180}")).collect();
    let lines: Vec<&str> = std::iter::once("p").chain(names.iter().map(String::as_str)).collect();
    let trees = [tree(&["q"]), tree(&lines)];
    assert_eq!(commands(&plan(&trees, &all(), None).unwrap()).len(), 2, "whole trees have no limit");
    let error = plan(&trees, &filter(None, &[], &["none"]), None).unwrap_err();
    let bytes = 2500 * (182 + 17) + 18;
    assert_eq!(error, SnapshotError::TooMany { pool: "p".into(), datasets: 2501, bytes });
    assert!(error.to_string().contains("in pool p"), "{error}");
}

/// All from `top` down, each with a snapshot.
fn tree_of(world: &[&str], top: &str) -> Tree {
    let below = world.iter().filter(|name| *name != &top && dataset(name).is_within(&dataset(top)));
    let lines: Vec<String> = std::iter::once(&top).chain(below).map(|name| format!("{name}:s")).collect();
    tree(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn every_selected_dataset_is_taken_or_left_out(
        picks in prop::collection::vec((0_usize..12, 0_u64..3), 0..12),
        tops in prop::collection::vec(0_usize..12, 1..4),
        depth in prop::option::of(0_usize..3),
        sparse: bool,
    ) {
        let world = ["p", "p/a", "p/a/b", "p/a b", "p/a/c", "q", "q/a", "q/a/b", "q/b", "q/b/c", "q/b/c/d", "p/z"];
        let trees: Vec<Tree> = tops.iter().map(|top| tree_of(&world, world[*top])).collect();
        let written: Vec<(&str, u64)> = picks.iter().map(|(at, bytes)| (world[*at], *bytes)).collect();
        let filter = filter(depth, &[], &[]);
        let plan = plan(&trees, &filter, sparse.then_some(&written[..])).unwrap();
        let mut found = plan.unchanged.clone();
        for pool in &plan.pools {
            prop_assert!(pool.datasets.iter().chain(&pool.named).all(|one| one.pool() == pool.pool));
            let within = |one: &DatasetName, top| one == top || pool.recursive && one.is_within(top);
            let all = world.iter().map(|one| dataset(one));
            let mut taken: Vec<_> = all.filter(|one| pool.named.iter().any(|top| within(one, top))).collect();
            taken.sort_unstable();
            let mut told = pool.datasets.clone();
            told.sort_unstable();
            prop_assert_eq!(&taken, &told, "what the command takes, and what is said");
            found.extend(taken);
        }
        let selects = |one: &DatasetName, tree: &Tree| one.below(&tree.top).is_some_and(|path| filter.selects(&path));
        let all = world.iter().map(|one| dataset(one));
        let mut selected: Vec<_> = all.filter(|one| trees.iter().any(|tree| selects(one, tree))).collect();
        selected.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, selected, "each once");
    }
}

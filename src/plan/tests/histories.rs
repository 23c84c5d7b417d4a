//! Random histories on two sides, then a push: it ends in sync or in a conflict that is true, and destroys nothing.

use proptest::prelude::*;

use crate::plan::model::{Dataset, Job, ModelHost, PushOutcome, Report, Snap, config};
use crate::plan::{ConflictKind, Placement, PlannedDataset, Step, Verdict};
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};
use zfs::{Kind, Refusal};

const SOURCE: &str = "apool/s";
const TARGET: &str = "bpool/t/u";
const PATHS: [&str; 7] = ["", "a", "a/b", "a/b/c", "a b", "a b/d", "v"];
const NAMES: [&str; 5] = ["s1", "s2", "s3", "s4", "s 5"];

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create {
        volume: bool,
        raw: bool,
    },
    Snapshot(usize),
    Series(u8),
    Bookmark(usize, usize),
    /// Data and snapshot, as a source lives.
    WriteAndSnapshot(usize),
    DestroySnapshots {
        from: usize,
        count: usize,
    },
    DestroyBookmark(usize),
    Rename(usize, usize),
    Write,
    Destroy,
    Cut,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Here(usize, Change),
    There(usize, Change),
    Push { newest_only: bool, selected: u8 },
}

fn change() -> impl Strategy<Value = Change> {
    let name = || 0..NAMES.len();
    prop_oneof![
        3 => (prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(|(volume, raw)| Change::Create { volume, raw }),
        3 => name().prop_map(Change::Snapshot),
        1 => (1..20_u8).prop_map(Change::Series),
        2 => (0..20_usize, name()).prop_map(|(at, name)| Change::Bookmark(at, name)),
        6 => name().prop_map(Change::WriteAndSnapshot),
        2 => (0..20_usize, 1..9_usize).prop_map(|(from, count)| Change::DestroySnapshots { from, count }),
        1 => (0..9_usize).prop_map(Change::DestroyBookmark),
        2 => (0..20_usize, name()).prop_map(|(at, name)| Change::Rename(at, name)),
        2 => Just(Change::Write),
        1 => Just(Change::Destroy),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let there = prop_oneof![12 => change(), 1 => Just(Change::Cut)];
    prop_oneof![
        10 => (0..PATHS.len(), change()).prop_map(|(path, change)| Op::Here(path, change)),
        3 => (0..PATHS.len(), there).prop_map(|(path, change)| Op::There(path, change)),
        3 => (any::<bool>(), prop_oneof![3 => Just(0x7f_u8), 1 => any::<u8>()])
            .prop_map(|(newest_only, selected)| Op::Push { newest_only, selected }),
    ]
}

fn within(top: &str, path: usize) -> DatasetName {
    let rel = PATHS[path];
    if rel.is_empty() { top.parse().unwrap() } else { format!("{top}/{rel}").parse().unwrap() }
}

/// Two sides and the numbers that make things distinct.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub here: ModelHost,
    pub there: ModelHost,
    numbers: u64,
    /// Whether pushes leave out snapshots that change nothing.
    pub skip_empty: bool,
}

impl World {
    pub fn new() -> Self {
        let mut world =
            Self { here: ModelHost::new("apool"), there: ModelHost::new("bpool"), numbers: 0, skip_empty: false };
        world.change(true, 0, &Change::Create { volume: false, raw: false });
        world
    }

    fn change(&mut self, here: bool, path: usize, change: &Change) {
        self.numbers += 100;
        let mut number = self.numbers;
        let (side, name) =
            if here { (&mut self.here, within(SOURCE, path)) } else { (&mut self.there, within(TARGET, path)) };
        match change {
            Change::Create { volume, raw } => {
                let kind = if *volume { Kind::Volume } else { Kind::Filesystem };
                if side.create(&name, kind).is_ok() {
                    side.datasets.get_mut(&name).unwrap().raw = *raw;
                }
                return;
            }
            Change::Destroy => return side.destroy(&name),
            Change::Snapshot(at) => return side.snapshot(&name, NAMES[*at], number),
            Change::WriteAndSnapshot(at) => {
                write(side, &name, number);
                return side.snapshot(&name, NAMES[*at], number);
            }
            Change::Series(count) => {
                for _ in 0..*count {
                    number += 1;
                    write(side, &name, number);
                    side.snapshot(&name, &format!("auto-{number}"), number);
                }
                return;
            }
            Change::Write => return write(side, &name, number),
            Change::Cut => {
                // A first receive that was cut leaves a dataset that can't have children.
                let mut below = side.datasets.keys().filter(|other| **other != name && other.is_within(&name));
                if below.next().is_some()
                    && side.datasets.get(&name).is_some_and(|dataset| dataset.snapshots.is_empty())
                {
                    return;
                }
                let partial = |dataset: &mut Dataset| dataset.partial = true;
                if side.create(&name, Kind::Filesystem).is_ok() || side.datasets.contains_key(&name) {
                    side.datasets.get_mut(&name).map(partial);
                }
                return;
            }
            _ => {}
        }
        let Some(dataset) = side.datasets.get_mut(&name) else { return };
        match change {
            Change::Bookmark(at, called) => {
                let Some(snap) = dataset.snapshots.get(at % dataset.snapshots.len().max(1)).cloned() else { return };
                if !dataset.bookmarks.iter().any(|mark| mark.name == NAMES[*called]) {
                    dataset.bookmarks.push(Snap { name: NAMES[*called].into(), ..snap });
                }
            }
            Change::DestroySnapshots { from, count } => {
                let from = from % dataset.snapshots.len().max(1);
                // What a partially received increment starts from has a clone: ZFS destroys nothing of that.
                let last = dataset.snapshots.len().saturating_sub(usize::from(dataset.partial));
                let until = last.min(from + count);
                dataset.snapshots.drain(from.min(until)..until);
            }
            Change::DestroyBookmark(at) => {
                let at = at % dataset.bookmarks.len().max(1);
                if at < dataset.bookmarks.len() {
                    dataset.bookmarks.remove(at);
                }
            }
            Change::Rename(at, called) => {
                let at = at % dataset.snapshots.len().max(1);
                if at < dataset.snapshots.len() && !dataset.snapshots.iter().any(|snap| snap.name == NAMES[*called]) {
                    dataset.snapshots[at].name = NAMES[*called].into();
                }
            }
            _ => unreachable!("done above"),
        }
    }

    /// Whether a snapshot would be sent to a target that has an older one.
    pub fn sends(&self, source: &Dataset, snap: &Snap, newest_only: bool) -> bool {
        let at = source.snapshots.iter().position(|other| other.guid == snap.guid).unwrap();
        let before = at.checked_sub(1).map(|before| source.snapshots[before].data);
        at + 1 == source.snapshots.len() || !(newest_only || self.skip_empty && before == Some(snap.data))
    }

    /// Some of a source's snapshots get the data of the one before.
    pub fn empty_out(&mut self, path: usize, from: usize, count: usize) {
        let name = within(SOURCE, path % PATHS.len());
        let Some(dataset) = self.here.datasets.get_mut(&name) else { return };
        let unseen = |guid| !self.there.datasets.values().any(|there| there.has(guid));
        for at in from.max(1)..dataset.snapshots.len().min(from + count) {
            if unseen(dataset.snapshots[at].guid) {
                dataset.snapshots[at].data = dataset.snapshots[at - 1].data;
            }
        }
    }

    /// Applies one; pushes go to `push`.
    pub fn apply(&mut self, op: &Op, push: &mut dyn FnMut(&mut Self, bool, u8)) {
        match op {
            Op::Here(path, change) => self.change(true, *path, change),
            Op::There(path, change) => self.change(false, *path, change),
            Op::Push { newest_only, selected } => push(self, *newest_only, *selected),
        }
    }
}

fn write(side: &mut ModelHost, name: &DatasetName, data: u64) {
    if let Some(dataset) =
        side.datasets.get_mut(name).filter(|dataset| !dataset.partial || !dataset.snapshots.is_empty())
    {
        dataset.data = data;
    }
}

pub(crate) fn selects(selected: u8) -> impl Fn(&RelPath) -> bool {
    move |path| PATHS.iter().position(|known| *known == path.as_str()).is_none_or(|at| selected >> at & 1 == 1)
}

pub(crate) fn names() -> (DatasetName, DatasetName) {
    (SOURCE.parse().unwrap(), TARGET.parse().unwrap())
}

fn push(world: &mut World, newest_only: bool, selected: u8, between: &mut dyn FnMut(&mut ModelHost)) -> Report {
    let (source, target) = names();
    let job = Job {
        source,
        target,
        selects: &selects(selected),
        newest_only,
        skip_empty: world.skip_empty,
        resolutions: crate::plan::Resolutions::default(),
    };
    job.push(&world.here, &mut world.there, between)
}

pub(super) fn push_and_check(world: &mut World, newest_only: bool, selected: u8) {
    let before = world.there.clone();
    let report = push(world, newest_only, selected, &mut |_| {});
    nothing_is_lost(&before, &world.there, &report);
    for (target, end) in &report.ends {
        judge(world, target, end, newest_only);
    }
    // A second run has nothing to do, and finds so out with one question.
    let (there, ends) = (world.there.clone(), report.ends);
    let again = push(world, newest_only, selected, &mut |_| {});
    assert_eq!(again.ends, ends);
    assert!(world.there == there || !again.sent.is_empty());
    let (source, target) = names();
    // Unless its newest snapshot has been renamed on one side.
    let by_name = |name: &DatasetName| {
        let newest = world.here.datasets[&source.join(&name.below(&target).unwrap()).unwrap()].newest().unwrap();
        world.there.datasets[name].snapshots.iter().any(|snap| (&snap.name, snap.guid) == (&newest.name, newest.guid))
    };
    assert!(again.sent.iter().all(|(name, _)| !by_name(name)));
    if ends.iter().all(|(name, end)| *end == PushOutcome::NoSnapshots || *end == PushOutcome::InSync && by_name(name)) {
        assert!(again.rounds <= 1 && again.listed == 0, "{again:?}");
    }
}

/// Everything that was there still is; only datasets of this push have changed, and only by what arrived.
pub(crate) fn nothing_is_lost(before: &ModelHost, after: &ModelHost, report: &Report) {
    for (name, was) in &before.datasets {
        let now = &after.datasets[name];
        let kept = now.snapshots.get(..was.snapshots.len());
        assert_eq!(kept, Some(&was.snapshots[..]), "{name}");
        if !report.sent.iter().any(|(sent, _)| sent == name) && report.refused == 0 {
            assert_eq!(now, was, "{name}");
        }
    }
}

/// Whether what was told of a dataset is true.
pub(crate) fn judge(world: &World, target: &DatasetName, end: &PushOutcome, newest_only: bool) {
    let path = target.below(&TARGET.parse().unwrap()).unwrap();
    let source = &world.here.datasets[&SOURCE.parse::<DatasetName>().unwrap().join(&path).unwrap()];
    let there = world.there.datasets.get(target);
    let newest = source.newest();
    match end {
        PushOutcome::NoSnapshots => assert!(newest.is_none()),
        PushOutcome::InSync => {
            let there = there.expect("it is in sync");
            assert!(there.has(newest.unwrap().guid), "{target}");
            assert_eq!(there.kind, source.kind);
        }
        PushOutcome::Conflict(conflict) => {
            let there = there.expect("a conflict is with something");
            assert!(
                // It could be filled, and what lies below would be in it.
                matches!(conflict.kind, ConflictKind::HoldsOthers { .. })
                    || !possible(source, there, &|snap| world.sends(source, snap, newest_only)),
                "{target}: {conflict}\n{source:?}\n{there:?}"
            );
            explains(conflict, source, there);
        }
        // It fails where its parent has no snapshots here, so that nobody looked at what stands there in its place.
        PushOutcome::Skipped | PushOutcome::Failed(Refusal::Other) => {
            assert!(nothing_fits_below(&world.there, target) || shares_nothing(world, target), "{target}");
        }
        PushOutcome::Failed(_) | PushOutcome::SendFailed => panic!("{target}: {end:?}"),
    }
}

/// Whether neither TARGET, which is there and was never received, nor this dataset has anything in common with its source.
fn shares_nothing(world: &World, target: &DatasetName) -> bool {
    let (source, top) = names();
    let is_stranger = |name: &DatasetName| {
        let here = &world.here.datasets[&source.join(&name.below(&top).unwrap()).unwrap()];
        let shares = |there: &Dataset| here.snapshots.iter().chain(&here.bookmarks).any(|snap| there.has(snap.guid));
        !world.there.datasets.get(name).is_some_and(|there| shares(there) || there.came)
    };
    world.there.datasets.contains_key(&top) && is_stranger(&top) && is_stranger(target)
}

/// Whether the nearest dataset above can have no children.
fn nothing_fits_below(there: &ModelHost, target: &DatasetName) -> bool {
    let above = target.ancestors().into_iter().rev().find_map(|name| there.datasets.get(&name)).unwrap();
    above.kind == Kind::Volume || above.partial
}

fn explains(conflict: &crate::plan::Conflict, source: &Dataset, there: &Dataset) {
    let both = source.snapshots.iter().chain(&source.bookmarks).filter(|snap| there.has(snap.guid));
    let common = both.max_by_key(|snap| snap.txg);
    let common_there = common.map(|common| there.snapshots.iter().rfind(|snap| snap.guid == common.guid).unwrap());
    let named = conflict.common.as_ref().map(SnapshotName::as_str);
    match common {
        None => assert_eq!(named, None),
        Some(common) => {
            let held = source.snapshots.iter().find(|snap| snap.guid == common.guid).or(common_there);
            assert_eq!(named, held.map(|snap| snap.name.as_str()));
        }
    }
    let newer = |snaps: &[Snap], than: Option<&Snap>| -> Vec<SnapshotName> {
        let newer = snaps.iter().filter(|snap| than.is_none_or(|than| snap.txg > than.txg));
        newer.map(|snap| snap.name.parse().unwrap()).collect()
    };
    assert_eq!(conflict.only_here, newer(&source.snapshots, common));
    assert_eq!(conflict.only_there, newer(&there.snapshots, common_there));
    assert!(
        source
            .snapshots
            .iter()
            .all(|snap| !conflict.only_here.iter().any(|n| n.as_str() == snap.name) || !there.has(snap.guid))
    );
    match &conflict.kind {
        ConflictKind::Partial => assert!(there.partial),
        ConflictKind::Diverged => assert!(common.is_some() && !conflict.only_there.is_empty()),
        ConflictKind::Modified => assert!(conflict.only_there.is_empty() && common_there.unwrap().data != there.data),
        ConflictKind::Ahead => assert!(conflict.only_here.is_empty() && common.is_some()),
        ConflictKind::NameTaken { names } => {
            assert!(!names.is_empty());
            for name in names {
                assert!(there.snapshots.iter().any(|snap| snap.name == name.as_str()));
                assert!(conflict.only_here.contains(name));
            }
        }
        ConflictKind::Encryption => assert!(source.raw && !there.raw),
        ConflictKind::EncryptedInPlace => assert!((source.raw || there.raw) && there.snapshots.is_empty()),
        ConflictKind::OwnSnapshots => {
            assert!(source.raw && common.is_some() && !conflict.only_there.is_empty());
        }
        ConflictKind::IvSet { .. } | ConflictKind::KeyMismatch => unreachable!("the model has no keys"),
        ConflictKind::LargeBlocks => unreachable!("the model has no blocks"),
        ConflictKind::NoCommon => assert!(common.is_none() && !there.snapshots.is_empty() && there.came),
        ConflictKind::Unrelated { recorded } => {
            assert!(common.is_none() && !there.snapshots.is_empty() && !there.came && !recorded);
        }
        ConflictKind::DataWithoutSnapshots => {
            assert!(there.snapshots.is_empty() && (there.data != 0 || there.kind == Kind::Volume));
        }
        ConflictKind::HoldsOthers { datasets } => {
            assert!(!datasets.is_empty() && there.snapshots.is_empty() && there.data == 0);
        }
        ConflictKind::TypeClash { source: s, target: t } => {
            assert!((*s, *t) == (source.kind, there.kind) && s != t);
        }
    }
}

/// Whether any stream at all would bring the target in sync: everything is tried, on copies.
fn possible(source: &Dataset, there: &Dataset, sends: &dyn Fn(&Snap) -> bool) -> bool {
    let Some(newest) = source.newest() else { return false };
    let name: DatasetName = "bpool/x".parse().unwrap();
    let mut side = ModelHost::new("bpool");
    side.datasets.insert(name.clone(), there.clone());
    let mut copy = ModelHost::new("apool");
    let from: DatasetName = "apool/x".parse().unwrap();
    copy.datasets.insert(from.clone(), source.clone());
    let step = |base: Option<crate::plan::Base>, to: &Snap| Step {
        base,
        resume: None,
        to: to.name.parse().unwrap(),
        to_guid: Guid(to.guid),
        snapshots: 1,
        intermediates: false,
    };
    let planned = PlannedDataset {
        source: from.clone(),
        target: name.clone(),
        verdict: Verdict::InSync,
        placement: Placement::Existing,
        kind: source.kind,
        encrypted: None,
        unencrypted: false,
        shares_key_with: None,
        top: false,
        ancestors: Vec::new(),
        top_ancestor: None,
        after: None,
        above: None,
    };
    // From each snapshot or bookmark, one by one to the newest, or at once.
    let marks = source.snapshots.iter().map(|snap| (snap, crate::plan::BaseKind::Snapshot));
    let marks = marks.chain(source.bookmarks.iter().map(|mark| (mark, crate::plan::BaseKind::Bookmark)));
    for (mark, kind) in marks {
        let mut side = side.clone();
        let mut base = crate::plan::Base { kind, name: mark.name.parse().unwrap(), guid: Guid(mark.guid) };
        let newer = source.snapshots.iter().filter(|snap| snap.txg > mark.txg);
        for snap in newer.filter(|snap| sends(snap)) {
            let stream = copy.send(&from, &step(Some(base), snap)).unwrap();
            if side.receive(&planned, Placement::Existing, &stream).is_err() {
                break;
            }
            let kind = crate::plan::BaseKind::Snapshot;
            base = crate::plan::Base { kind, name: snap.name.parse().unwrap(), guid: Guid(snap.guid) };
        }
        if side.datasets[&name].has(newest.guid) {
            return true;
        }
    }
    let full = copy.send(&from, &step(None, newest)).unwrap();
    side.receive(&planned, Placement::IntoEmpty, &full).is_ok()
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn a_push_ends_in_sync_or_in_a_true_conflict(ops in prop::collection::vec(op(), 1..60), newest_only: bool) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op, &mut push_and_check);
        }
        push_and_check(&mut world, newest_only, 0xff);
    }

    /// The target changes while it is asked: nobody can plan rightly then, but nothing may break.
    #[test]
    fn a_target_that_changes_meanwhile_does_no_harm(
        ops in prop::collection::vec(op(), 1..40),
        meanwhile in prop::collection::vec((0..4_usize, 0..PATHS.len(), change()), 1..12),
        newest_only: bool,
    ) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op, &mut |world, newest_only, selected| push_and_check(world, newest_only, selected));
        }
        let mut other = world.clone();
        let mut meanwhile = meanwhile.iter();
        push(&mut world, newest_only, 0xff, &mut |there| {
            if let Some((often, path, change)) = meanwhile.next() {
                std::mem::swap(&mut other.there, there);
                for _ in 0..*often {
                    other.change(false, *path, change);
                }
                std::mem::swap(&mut other.there, there);
            }
        });
        // Left alone, the next run is right.
        push_and_check(&mut world, newest_only, 0xff);
    }
}

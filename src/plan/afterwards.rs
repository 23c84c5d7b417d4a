//! What the target will have once the plan has been carried out: so a dry run judges what is missing by the same rules as the run, which
//! looks at the end.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::diff::{full, newest_common};
use super::item::Item;
use super::missing::Notes;
use super::negotiate::Negotiation;
use super::set_aside::{Asides, Lot};
use super::step::{BaseKind, Step};
use super::{TargetDataset, Verdict};
use zfs::name::{DatasetName, Guid, RelPath, Txg};
use zfs::{Resolution, Restore, Version, Versions};

/// What the target will have, and what will be noted of it. What is renamed in this run by `--follow-renames` keeps the name that it has
/// now.
pub(super) struct Afterwards {
    pub datasets: HashMap<DatasetName, TargetDataset>,
    pub notes: HashMap<DatasetName, Notes>,
    target: DatasetName,
    /// The datasets' paths, where something may be moved or destroyed with what lies below it.
    paths: BTreeSet<RelPath>,
    asides: Asides,
}

impl Negotiation {
    /// What the target will have, given what it has.
    pub(super) fn afterwards(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
    ) -> Afterwards {
        let mut after = Afterwards {
            datasets: there.clone(),
            notes: notes.clone(),
            target: self.target.clone(),
            paths: BTreeSet::new(),
            asides: Asides::default(),
        };
        if self.resolutions.touch_below() {
            after.paths = there.keys().filter_map(|name| name.below(&self.target)).collect();
        }
        // Those above come first.
        for item in &self.items {
            self.carry_out(item, there.contains_key(item.name_now()), &mut after);
        }
        after
    }

    fn carry_out(&self, item: &Item, was_there: bool, after: &mut Afterwards) {
        let name = item.name_now();
        let verdict = self.verdict(item);
        let resolution = verdict.resolution();
        match after.asides.lot(name, resolution) {
            Lot::Leaves if was_there => return after.receive(item, &full(&item.source, self.newest_only)),
            Lot::ComesBack => {
                // It comes back without what was in the way.
                let copy = after.datasets.get(name);
                let common = copy.and_then(|copy| newest_common(&item.source, copy));
                let common = common.filter(|_| !matches!(verdict, Verdict::Blocked(_)));
                let steps = common.map(|common| common.steps(&item.source, self.newest_only)).unwrap_or_default();
                return after.receive(item, &steps);
            }
            Lot::Leaves | Lot::Untouched => {}
        }
        match resolution {
            Some(Resolution::Rollback { loses, .. }) => after.roll_back(name, loses),
            Some(Resolution::SetAside { aside, restore, .. }) => self.set_aside(name, aside, restore, after),
            Some(Resolution::Replace { .. }) => after.replace(name),
            None => {}
        }
        after.receive(item, verdict.steps());
    }

    /// Renames a dataset with all below it. What comes back has the snapshots up to the common one, and the notes, but isn't missing.
    fn set_aside(&self, dataset: &DatasetName, aside: &DatasetName, restore: &[Restore], after: &mut Afterwards) {
        let name_now = |one: &Restore| {
            let item = one.dataset.below(&self.target).and_then(|path| self.find(&path));
            (item.map_or(&one.dataset, Item::name_now).clone(), one.guid)
        };
        let restore: HashMap<DatasetName, Guid> = restore.iter().map(name_now).collect();
        let mut back = HashMap::new();
        for name in after.tree(dataset) {
            let (Some(copy), notes) = (after.remove(&name), after.notes.remove(&name)) else { continue };
            let to = restore.get(&name).and_then(|guid| copy.snapshots.iter().find(|version| version.guid == *guid));
            let to = to.map(|version| (version.guid, version.txg));
            let comes_back = |version: &Version<'_>| to.is_some_and(|(_, txg)| version.txg <= txg);
            let (old, new): (Vec<_>, Vec<_>) = copy.snapshots.iter().partition(comes_back);
            let with = |versions: Vec<Version<'_>>| TargetDataset {
                snapshots: versions.into_iter().collect(),
                ..copy.clone()
            };
            if let Some((guid, _)) = to {
                after.insert(&name, with(old));
                after.notes.extend(notes.clone().map(|notes| (name.clone(), Notes { since: None, ..notes })));
                back.insert(name.clone(), guid);
            }
            // TARGET itself is set aside to where nobody looks.
            let aside = name.below(dataset).and_then(|rest| aside.join(&rest).ok());
            if let Some(aside) = aside.filter(|aside| aside.is_within(&self.target)) {
                after.insert(&aside, with(new));
                after.notes.extend(notes.map(|notes| (aside, notes)));
            }
        }
        after.asides.push(dataset, back);
    }
}

impl Afterwards {
    /// A dataset with all below it.
    fn tree(&self, dataset: &DatasetName) -> Vec<DatasetName> {
        let Some(path) = dataset.below(&self.target) else { return Vec::new() };
        let all = self.paths.range((Included(path), Unbounded)).filter_map(|path| self.target.join(path).ok());
        all.take_while(|name| name.is_within(dataset)).collect()
    }

    /// Whether something lies below a dataset.
    fn holds_any(&self, dataset: &DatasetName) -> bool {
        let Some(path) = dataset.below(&self.target) else { return false };
        let next = self.paths.range((Excluded(path), Unbounded)).next();
        next.and_then(|next| self.target.join(next).ok()).is_some_and(|next| next.is_within(dataset))
    }

    fn insert(&mut self, name: &DatasetName, copy: TargetDataset) {
        self.paths.extend(name.below(&self.target));
        self.datasets.insert(name.clone(), copy);
    }

    fn remove(&mut self, name: &DatasetName) -> Option<TargetDataset> {
        name.below(&self.target).map(|path| self.paths.remove(&path));
        self.datasets.remove(name)
    }

    fn roll_back(&mut self, name: &DatasetName, loses: &[Guid]) {
        let loses: HashSet<Guid> = loses.iter().copied().collect();
        if let Some(copy) = self.datasets.get_mut(name) {
            copy.snapshots = copy.snapshots.iter().filter(|version| !loses.contains(&version.guid)).collect();
        }
    }

    /// Only where nothing lies below it the dataset itself is made anew.
    fn replace(&mut self, name: &DatasetName) {
        if let Some(copy) = self.datasets.get_mut(name) {
            copy.snapshots = Versions::default();
        }
        if !self.holds_any(name) {
            self.notes.remove(name);
        }
    }

    fn receive(&mut self, item: &Item, steps: &[Step]) {
        if !steps.is_empty() {
            let name = item.name_now();
            let there = self.datasets.get_mut(name).map(|copy| std::mem::take(&mut copy.snapshots));
            let snapshots = with_steps(there.unwrap_or_default(), item, steps);
            match self.datasets.get_mut(name) {
                Some(copy) => copy.snapshots = snapshots,
                None => self.insert(name, TargetDataset::received(snapshots)),
            }
        }
    }
}

impl Item {
    /// What the target's dataset is called as long as nothing was renamed in this run.
    pub(super) fn name_now(&self) -> &DatasetName {
        self.was.as_ref().unwrap_or(&self.target_name)
    }
}

/// What these steps bring comes after all that is there.
fn with_steps(mut there: Versions, item: &Item, steps: &[Step]) -> Versions {
    let mut txg = there.newest().map_or(0, |newest| newest.txg.0);
    for version in steps.iter().flat_map(|step| brought(item, step)) {
        txg = txg.saturating_add(1);
        there.push(&version.snapshot_name(), version.guid, Txg(txg));
    }
    there
}

/// The snapshots that arrive with a step.
fn brought<'a>(item: &'a Item, step: &Step) -> Vec<Version<'a>> {
    let all: Vec<Version<'a>> = item.source.snapshots.iter().collect();
    let place = |guid: Guid| all.iter().position(|version| version.guid == guid);
    let Some(to) = place(step.to_guid) else { return Vec::new() };
    let base = step.base.as_ref().filter(|base| step.intermediates && base.kind == BaseKind::Snapshot);
    let from = base.and_then(|base| place(base.guid)).map_or(to, |base| base + 1);
    all.get(from..=to).unwrap_or_default().to_vec()
}

#[cfg(test)]
#[path = "afterwards_tests.rs"]
mod tests;

//! What the target will have once the plan has been carried out: so a dry run judges what is missing by the same rules as the run, which
//! looks at the end.

use std::collections::{HashMap, HashSet};

use super::diff::{full, newest_common};
use super::in_turn::is_set_aside_for_more;
use super::item::Item;
use super::missing::Notes;
use super::negotiate::Negotiation;
use super::step::{BaseKind, Step};
use super::{TargetDataset, Verdict};
use zfs::name::{DatasetName, Guid, Txg};
use zfs::{Resolution, Restore, Version, Versions};

/// What the target will have, and what will be noted of it. What is renamed in this run by `--follow-renames` keeps the name that it has
/// now.
pub(super) struct Afterwards {
    pub datasets: HashMap<DatasetName, TargetDataset>,
    pub notes: HashMap<DatasetName, Notes>,
    /// What comes back after `--set-aside`, and up to which snapshot.
    back: HashMap<DatasetName, Guid>,
}

impl Negotiation {
    /// What the target will have, given what it has.
    pub(super) fn afterwards(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
    ) -> Afterwards {
        let mut after = Afterwards { datasets: there.clone(), notes: notes.clone(), back: HashMap::new() };
        // Those above come first.
        for item in &self.items {
            self.carry_out(item, there.contains_key(item.name_now()), &mut after);
        }
        after
    }

    fn carry_out(&self, item: &Item, was_there: bool, after: &mut Afterwards) {
        let name = item.name_now();
        // Set aside with a dataset above it, and not brought back.
        if was_there && !after.datasets.contains_key(name) {
            return after.receive(item, &full(&item.source, self.newest_only));
        }
        let verdict = self.verdict(item);
        let resolution = verdict.resolution();
        if let Some(guid) = after.back.get(name).copied()
            && !is_set_aside_for_more(resolution, guid)
        {
            // It comes back without what was in the way.
            let copy = after.datasets.get(name);
            let common = copy.and_then(|copy| newest_common(&item.source, copy));
            let common = common.filter(|_| !matches!(verdict, Verdict::Blocked(_)));
            let steps = common.map(|common| common.steps(&item.source, self.newest_only)).unwrap_or_default();
            return after.receive(item, &steps);
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
        let moving: Vec<_> = after.datasets.keys().filter(|name| name.is_within(dataset)).cloned().collect();
        for name in moving {
            let (Some(copy), notes) = (after.datasets.remove(&name), after.notes.remove(&name)) else { continue };
            let to = restore.get(&name).and_then(|guid| copy.snapshots.iter().find(|version| version.guid == *guid));
            let to = to.map(|version| (version.guid, version.txg));
            let comes_back = |version: &Version<'_>| to.is_some_and(|(_, txg)| version.txg <= txg);
            let (old, new): (Vec<_>, Vec<_>) = copy.snapshots.iter().partition(comes_back);
            let with = |versions: Vec<Version<'_>>| TargetDataset {
                snapshots: versions.into_iter().collect(),
                ..copy.clone()
            };
            if let Some((guid, _)) = to {
                after.datasets.insert(name.clone(), with(old));
                after.notes.extend(notes.clone().map(|notes| (name.clone(), Notes { since: None, ..notes })));
                after.back.insert(name.clone(), guid);
            }
            // TARGET itself is set aside to where nobody looks.
            let aside = name.below(dataset).and_then(|rest| aside.join(&rest).ok());
            if let Some(aside) = aside.filter(|aside| aside.is_within(&self.target)) {
                after.datasets.insert(aside.clone(), with(new));
                after.notes.extend(notes.map(|notes| (aside, notes)));
            }
        }
    }
}

impl Afterwards {
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
        if !self.datasets.keys().any(|other| other != name && other.is_within(name)) {
            self.notes.remove(name);
        }
    }

    fn receive(&mut self, item: &Item, steps: &[Step]) {
        if !steps.is_empty() {
            let copy = self
                .datasets
                .entry(item.name_now().clone())
                .or_insert_with(|| TargetDataset::received(Versions::default()));
            copy.snapshots = with_steps(std::mem::take(&mut copy.snapshots), item, steps);
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

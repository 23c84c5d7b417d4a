//! What the target will have once the plan has been carried out: so a dry run judges what is missing by the same rules as the run, which
//! looks at the end.

use std::collections::{HashMap, HashSet};

use super::TargetDataset;
use super::item::Item;
use super::negotiate::Negotiation;
use super::step::{BaseKind, Step};
use zfs::name::{DatasetName, Guid, Txg};
use zfs::{Encryption, Kind, Resolution, Version, Versions};

impl Negotiation {
    /// What the target will have, given what it has. What is renamed in this run keeps the name that it has now.
    pub(super) fn afterwards(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
    ) -> HashMap<DatasetName, TargetDataset> {
        let mut after = there.clone();
        for item in &self.items {
            let verdict = self.verdict(item);
            let resolution = verdict.resolution();
            if verdict.steps().is_empty() && resolution.is_none() {
                continue;
            }
            let copy = after.remove(item.name_now());
            let kept = copy.as_ref().map(|copy| kept(copy, resolution)).unwrap_or_default();
            let snapshots = with_steps(kept, item, verdict.steps());
            let copy = match copy {
                Some(copy) => TargetDataset { snapshots, ..copy },
                None => received(snapshots),
            };
            after.insert(item.name_now().clone(), copy);
        }
        after
    }
}

impl Item {
    /// What the target's dataset is called as long as nothing was renamed in this run.
    pub(super) fn name_now(&self) -> &DatasetName {
        self.was.as_ref().unwrap_or(&self.target_name)
    }
}

/// What of a copy is left by what is done about its conflict.
fn kept(copy: &TargetDataset, resolution: Option<&Resolution>) -> Versions {
    let loses: HashSet<Guid> = match resolution {
        None => HashSet::new(),
        Some(Resolution::Rollback { loses, .. }) => loses.iter().copied().collect(),
        Some(Resolution::SetAside { .. } | Resolution::Replace { .. }) => return Versions::default(),
    };
    let mut kept = Versions::default();
    for version in copy.snapshots.iter().filter(|version| !loses.contains(&version.guid)) {
        kept.push(&version.snapshot_name(), version.guid, version.txg);
    }
    kept
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

/// A dataset that is made by its first receive.
fn received(snapshots: Versions) -> TargetDataset {
    TargetDataset {
        kind: Kind::Filesystem,
        partial: false,
        resume: None,
        unborn: false,
        empty: false,
        unsure: None,
        written: None,
        encryption: Encryption::Off,
        snapshots,
    }
}

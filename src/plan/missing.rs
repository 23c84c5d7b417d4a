//! What the target has and the source has no more: which of it zfsync has put there and may clear away again, and when.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::diff::newest_common;
use super::homes::Homes;
use super::item::Item;
use super::max_delete::MaxDelete;
use super::negotiate::Negotiation;
use super::not_destroyed::{NotDestroyed, is_set_aside};
use super::provenance::{MAX_FOREIGN, Provenance};
use super::verdict::Verdict;
use super::{Filter, Format, SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName, Txg};
use zfs::{Put, Version, place};

/// How closely the target follows what goes away or gets another name at the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MissingPolicy {
    /// Whether datasets that the source has no more go.
    pub datasets: bool,
    /// Whether snapshots that the source has no more go.
    pub snapshots: bool,
    /// So long after they were first found missing.
    pub grace: Duration,
    /// How much may go in one run.
    pub max: MaxDelete,
    /// Whether a dataset that has another name at the source is renamed.
    pub follow_renames: bool,
    /// Snapshots with such names have come with the first transfer, where they are older than what the note has room for.
    pub format: Format,
    /// Stands for the source in what is noted: what another one has put there is none of ours, though it lies below the target.
    pub by: u32,
}

impl MissingPolicy {
    /// Whether anything may be destroyed.
    #[must_use]
    pub fn destroys(&self) -> bool {
        self.datasets || self.snapshots
    }
}

/// What is noted of a dataset of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// What zfsync has put there.
    pub put: Option<Put>,
    /// Since when the source lacks it, in seconds since 1970.
    pub since: Option<i64>,
    /// It was made only to hold others.
    pub placeholder: bool,
}

/// A dataset that the source has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The target's dataset.
    pub dataset: DatasetName,
    /// All that it has: if there is more by then, it stays.
    pub snapshots: Vec<(SnapshotName, Guid)>,
    /// The newest of these.
    pub newest: Option<SnapshotName>,
    /// Since when, if that is noted.
    pub since: Option<i64>,
}

/// What the target has and the source has no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Datasets that may go, those below before those above.
    pub datasets: Vec<Doomed>,
    /// Snapshots that may go, of datasets that both sides have.
    pub snapshots: Vec<(DatasetName, Vec<(SnapshotName, Guid)>)>,
    /// Datasets that stay, and why.
    pub stay: Vec<(DatasetName, NotDestroyed)>,
    /// Snapshots that stay, as the source has them, or bookmarks of them, in another dataset.
    pub elsewhere: Vec<(DatasetName, SnapshotName, NotDestroyed)>,
    /// Snapshots that stay, as they may come from elsewhere.
    pub foreign: Vec<(DatasetName, Vec<SnapshotName>)>,
    /// What is to be noted as put there by zfsync.
    pub puts: Vec<(DatasetName, Put)>,
    /// Datasets that the source has again, if under another name: they are no longer missing.
    pub back: Vec<DatasetName>,
    /// Snapshots, by their full names, that the source has again and that may still be noted as missing.
    pub snapshots_back: Vec<String>,
    /// Selected datasets that are not in sync: nothing is deemed missing before they are.
    pub not_in_sync: Vec<DatasetName>,
    /// How many datasets and snapshots the target has of this source.
    pub total: (usize, usize),
}

impl Missing {
    /// The snapshots that the source has in another dataset by their full names, and where.
    pub fn elsewhere(&self) -> impl Iterator<Item = (String, &NotDestroyed)> {
        self.elsewhere.iter().map(|(name, snapshot, why)| (name.at(snapshot.as_str()), why))
    }
}

impl Negotiation {
    /// What was left out, so that it isn't taken for missing: the filter, and the source's datasets that it doesn't select.
    #[must_use]
    pub fn with_surroundings(mut self, filter: &Filter, unselected: Vec<SourceDataset>) -> Self {
        self.unselected = unselected.into_iter().map(|dataset| (dataset.path.clone(), dataset)).collect();
        self.filter = filter.clone();
        self
    }

    /// Says whether all of the source could be listed.
    #[must_use]
    pub fn with_complete(mut self, complete: bool) -> Self {
        self.complete = complete;
        self
    }

    /// Takes the places of datasets that a run won't bring in sync, as an attempt has told: their resolution would be refused, or
    /// nothing can be sent.
    pub fn refused(&mut self, places: impl IntoIterator<Item = usize>) {
        self.refused = places.into_iter().collect();
    }

    /// Whether all of the source could be listed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Those of these datasets of the target that the source has no more, in tree order.
    #[must_use]
    pub fn only_there<'a>(&self, names: impl IntoIterator<Item = &'a DatasetName>) -> Vec<DatasetName> {
        let mut paths: Vec<RelPath> = names
            .into_iter()
            .filter_map(|name| name.below(&self.target))
            .filter(|path| path.depth() > 0 && self.filter.selects(path) && !self.has(path))
            .collect();
        paths.sort();
        paths.into_iter().filter_map(|path| self.target.join(&path).ok()).filter(|name| !self.is_moving(name)).collect()
    }

    /// Snapshots that only the target has, of datasets that both sides have: older than the newest common one, so that what a push
    /// reports as a conflict is not told twice.
    #[must_use]
    pub fn snapshots_only_there(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
    ) -> Vec<(DatasetName, Vec<SnapshotName>)> {
        let of = |item: &Item| {
            let names =
                only_there(item, there.get(&item.target_name)?).map(|version| version.snapshot_name()).collect();
            Some((item.target_name.clone(), names))
        };
        self.items.iter().filter_map(of).filter(|(_, names): &(_, Vec<_>)| !names.is_empty()).collect()
    }

    /// Whether the source has a dataset, selected or not.
    pub(super) fn has(&self, path: &RelPath) -> bool {
        self.find(path).is_some() || self.unselected.contains_key(path)
    }

    /// The selected datasets that are not in sync, going by what the target has after the run; before it (in a dry run) those too
    /// that can't be brought so. One without snapshots is only where the target has a copy of it.
    fn not_in_sync(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &MissingPolicy,
        when: When,
    ) -> Vec<DatasetName> {
        let lacks = |(place, item): &(usize, &Item)| {
            let name = when.name_of(item);
            let copy = there.get(name);
            match (item.source.snapshots.newest(), when) {
                (None, _) => {
                    let put = notes.get(name).and_then(|notes| notes.put.as_ref());
                    put.is_some_and(|put| put.by == mirror.by) && copy.is_some_and(|copy| !copy.snapshots.is_empty())
                }
                (Some(newest), When::After) => !copy.is_some_and(|copy| has(copy, newest.guid)),
                (Some(_), When::Before) => match self.verdict(item) {
                    Verdict::Conflict(_) | Verdict::Blocked(_) | Verdict::Unresolved => true,
                    _ => self.refused.contains(place),
                },
            }
        };
        let misfits = self.misfits.iter().filter(|misfit| !misfit.without_snapshots);
        let items = self.items.iter().enumerate().filter(lacks).map(|(_, item)| item.source_name.clone());
        items.chain(misfits.map(|misfit| misfit.source.clone())).collect()
    }

    /// What is missing at the source, given all that the target has. Nothing is while a selected dataset is not in sync: what looks
    /// missing may be what that one lacks.
    #[must_use]
    pub fn missing(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &MissingPolicy,
        when: When,
    ) -> Missing {
        let afterwards = (when == When::Before).then(|| self.afterwards(there, notes));
        let (there, notes) = afterwards.as_ref().map_or((there, notes), |after| (&after.datasets, &after.notes));
        let mut missing = Missing { total: self.count_ours(there, notes, mirror, when), ..Missing::default() };
        let none = Notes::default();
        let homes = self.homes(self.items.iter().filter_map(|item| there.get(when.name_of(item))));
        for item in &self.items {
            let name = when.name_of(item);
            let Some(target) = there.get(name) else { continue };
            let notes = notes.get(name).unwrap_or(&none);
            if notes.since.is_some() {
                missing.back.push(name.clone());
            }
            only_there_of(&OnBothSides { item, name, target, notes }, mirror, &homes, &mut missing);
        }
        let unselected = self.unselected.keys().filter_map(|path| self.target.join(path).ok());
        missing.back.extend(unselected.filter(|name| notes.get(name).is_some_and(|notes| notes.since.is_some())));
        if mirror.datasets {
            self.doom(there, notes, mirror, when, &mut missing);
        }
        missing.not_in_sync = self.not_in_sync(there, notes, mirror, when);
        if !missing.not_in_sync.is_empty() || !self.complete {
            missing.datasets.clear();
            missing.snapshots.clear();
        }
        missing
    }

    /// How many datasets, and snapshots of these, are this source's: not those of another source in the same tree, nor what was set
    /// aside or somebody has made there.
    fn count_ours(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &MissingPolicy,
        when: When,
    ) -> (usize, usize) {
        let selected: HashSet<&DatasetName> = self.items.iter().map(|item| when.name_of(item)).collect();
        let is_ours = |name: &DatasetName| match notes.get(name) {
            _ if is_set_aside(name) => false,
            Some(Notes { put: Some(put), .. }) => put.by == mirror.by,
            Some(Notes { placeholder: true, .. }) => true,
            _ => selected.contains(name),
        };
        let ours = there.iter().filter(|(name, _)| is_ours(name)).map(|(_, dataset)| dataset.snapshots.len());
        ours.fold((0, 0), |(datasets, snapshots), some| (datasets + 1, snapshots + some))
    }
}

/// A dataset that both sides have.
struct OnBothSides<'a> {
    item: &'a Item,
    name: &'a DatasetName,
    target: &'a TargetDataset,
    notes: &'a Notes,
}

/// What of the snapshots that only the target has goes or stays, and what is noted of all of them.
fn only_there_of(both: &OnBothSides<'_>, mirror: &MissingPolicy, homes: &Homes<'_>, missing: &mut Missing) {
    let &OnBothSides { item, name, target, notes } = both;
    let Some(common) = newest_common(&item.source, target) else { return };
    let ours = notes.put.as_ref().filter(|put| put.by == mirror.by);
    let provenance = Provenance::new(target, ours, &mirror.format);
    let (mut goes, mut foreign) = (Vec::new(), Vec::new());
    // Whoever has noted it.
    let mut strangers: HashSet<Guid> = notes.put.iter().flat_map(|put| put.foreign.iter().copied()).collect();
    for version in only_there(item, target) {
        let put = provenance.put(&version);
        if !put {
            strangers.insert(version.guid);
        }
        // A clone that was promoted, or a dataset that was made anew from another one, has them now.
        if let Some(why) = homes.elsewhere(version.guid) {
            if mirror.snapshots {
                missing.elsewhere.push((name.clone(), version.snapshot_name(), why));
            }
            continue;
        }
        let list = if put { &mut goes } else { &mut foreign };
        list.push((version.snapshot_name(), version.guid));
    }
    let gone: HashSet<Guid> = goes.iter().map(|(_, guid)| *guid).collect();
    // Without a grace nothing is noted.
    let notes_all = mirror.snapshots && !mirror.grace.is_zero();
    let may_miss = |guid: Guid| notes.put.as_ref().is_some_and(|put| put.may_miss(guid));
    let all = || target.snapshots.iter().map(|version| version.guid);
    let put = Put {
        by: mirror.by,
        at: Some(place(&item.source.path)),
        upto: common.there.guid,
        txg: Some(common.there.txg),
        came: Vec::new(),
        foreign: all().filter(|guid| strangers.contains(guid)).collect(),
        missing: None,
    };
    let put = put.with_missing(all().filter(|guid| gone.contains(guid) && (notes_all || may_miss(*guid))));
    if is_proven(both, ours, &provenance, &common.there)
        && put.foreign.len() <= MAX_FOREIGN
        && notes.put.as_ref() != Some(&put)
    {
        missing.puts.push((name.clone(), put));
    }
    let back = target.snapshots.iter().filter(|version| !gone.contains(&version.guid) && may_miss(version.guid));
    missing.snapshots_back.extend(back.map(|version| name.at(version.name)));
    if mirror.snapshots && !goes.is_empty() {
        missing.snapshots.push((name.clone(), goes));
    }
    if mirror.snapshots && !foreign.is_empty() {
        let names = foreign.into_iter().map(|(name, _)| name).collect();
        missing.foreign.push((name.clone(), names));
    }
}

/// Whether what both sides have has come from this source: all of it where the dataset is in sync. Else a common snapshot may be a shared
/// past, of a copy that was made by hand or from another source; then the note must say already that it is ours, and lose nothing.
fn is_proven(both: &OnBothSides<'_>, ours: Option<&Put>, provenance: &Provenance<'_>, common: &Version<'_>) -> bool {
    let is_in_sync = both.item.source.snapshots.newest().is_some_and(|newest| has(both.target, newest.guid));
    let mut after = both.target.snapshots.iter().filter(|version| version.txg > common.txg);
    is_in_sync || ours.is_some() && !after.any(|version| provenance.put(&version))
}

/// Whether what the target has is looked at before the run or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before it: a dry run.
    Before,
    /// After it.
    After,
}

impl When {
    /// What the copy of an item is called then.
    pub(super) fn name_of(self, item: &Item) -> &DatasetName {
        match self {
            Self::Before => item.name_now(),
            Self::After => &item.target_name,
        }
    }
}

pub(super) fn has(dataset: &TargetDataset, guid: Guid) -> bool {
    dataset.snapshots.iter().any(|version| version.guid == guid)
}

/// The snapshots that only the target has, of those before the newest common one; none without that.
fn only_there<'a>(item: &'a Item, target: &'a TargetDataset) -> impl Iterator<Item = Version<'a>> {
    let common = newest_common(&item.source, target);
    let here: HashSet<Guid> = match &common {
        Some(_) => item.source.snapshots.iter().chain(item.source.bookmarks.iter()).map(|one| one.guid).collect(),
        None => HashSet::new(),
    };
    let before = common.map_or(Txg(0), |common| common.there.txg);
    target.snapshots.iter().filter(move |version| version.txg < before && !here.contains(&version.guid))
}

#[cfg(test)]
#[path = "missing_tests.rs"]
mod tests;

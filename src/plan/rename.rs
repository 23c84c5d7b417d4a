//! Datasets that have another name at the source now: found by zfsync's own bookmarks, which a rename takes along, or by
//! snapshots of the same guid; and the renames that follow them on the target.

use std::collections::{HashMap, HashSet};

use super::TargetDataset;
use super::Verdict;
use super::item::OnTarget;
use super::negotiate::Negotiation;
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{KnownTarget, Put, Tag, known_targets, place, snapshot_of};

/// A guess that a dataset of the target is an item's, under its old name: to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guess {
    /// The item.
    pub index: usize,
    /// What it may be called on the target.
    pub from: DatasetName,
    /// The snapshot that both must have: its name there, if nobody has renamed it.
    pub snapshot: SnapshotName,
    /// Its identity.
    pub guid: Guid,
}

/// One `zfs rename` on the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The old name.
    pub from: DatasetName,
    /// The new one.
    pub to: DatasetName,
    /// What it must have, to be the right one.
    pub snapshot: SnapshotName,
    /// The snapshot's identity.
    pub guid: Guid,
    /// Datasets to create before, the highest first.
    pub ancestors: Vec<DatasetName>,
    /// That one of them which is the top of a new tree on the target.
    pub top_ancestor: Option<DatasetName>,
}

/// Whether a dataset of TARGET is, by its note, the copy of another target of the same source: one that lies within TARGET.
#[must_use]
pub fn is_of_another_target(name: &DatasetName, target: &DatasetName, put: Option<&Put>) -> bool {
    let Some(at) = put.and_then(|put| put.at) else { return false };
    let is_at = |top: &DatasetName| name.below(top).is_some_and(|path| place(&path) == at);
    let within = |top: &DatasetName| top != target && top.below(target).is_some();
    !is_at(target) && name.ancestors().iter().chain([name]).any(|top| within(top) && is_at(top))
}

impl Negotiation {
    /// Which of the datasets that only the target has may be items under an old name, going by the bookmarks of the items that
    /// the target lacks.
    #[must_use]
    pub fn guesses(&self, only_there: &[DatasetName]) -> Vec<Guess> {
        let Some(tags) = &self.tags else { return Vec::new() };
        let lacking: Vec<(usize, Vec<_>)> = (self.lacking())
            .map(|(index, item)| (index, known_targets(&item.source.bookmarks)))
            .filter(|(_, known)| !known.is_empty())
            .collect();
        if lacking.is_empty() {
            return Vec::new();
        }
        let of_tags: Vec<(Tag, &DatasetName)> = only_there.iter().map(|name| (tags.of(name), name)).collect();
        let by_tag: HashMap<&str, &DatasetName> =
            of_tags.iter().flat_map(|(tag, dataset)| tag.names().map(|name| (name, *dataset))).collect();
        let guess = |index, known: KnownTarget<'_>| {
            let (from, mark) = ((*known.tag.names().find_map(|name| by_tag.get(name))?).clone(), known.newest);
            Some(Guess { index, from, snapshot: snapshot_of(&mark).parse().ok()?, guid: mark.guid })
        };
        lacking
            .into_iter()
            .flat_map(|(index, known)| known.into_iter().filter_map(move |one| guess(index, one)).collect::<Vec<_>>())
            .collect()
    }

    /// The same, having listed what only the target has: whatever has a snapshot in common with an item.
    #[must_use]
    pub fn guesses_by_guid(&self, there: &HashMap<DatasetName, TargetDataset>) -> Vec<Guess> {
        let mut by_guid: HashMap<Guid, (&DatasetName, &str)> = HashMap::new();
        for (name, target) in there {
            by_guid.extend(target.snapshots.iter().map(|version| (version.guid, (name, version.name))));
        }
        let guess = |(index, item): (usize, &super::item::Item)| {
            let mut versions = item.source.snapshots.iter().rev().chain(item.source.bookmarks.iter().rev());
            let (guid, (from, name)) =
                versions.find_map(|version| Some((version.guid, *by_guid.get(&version.guid)?)))?;
            Some(Guess { index, from: from.clone(), snapshot: SnapshotName::from_checked(name), guid })
        };
        self.lacking().filter_map(guess).collect()
    }

    /// The items that would be sent in full as the target has nothing of such a name.
    fn lacking(&self) -> impl Iterator<Item = (usize, &super::item::Item)> {
        self.items
            .iter()
            .enumerate()
            .filter(|(_, item)| matches!(item.on_target, OnTarget::Missing) && !item.source.snapshots.is_empty())
    }

    /// Whether TARGET itself exists.
    #[must_use]
    pub fn target_exists(&self) -> bool {
        self.target_exists
    }

    /// Whether there is an item that the target lacks.
    #[must_use]
    pub fn lacks_any(&self) -> bool {
        self.lacking().next().is_some()
    }

    /// The source's dataset and the target's of an item.
    #[must_use]
    pub fn names(&self, index: usize) -> Option<(&DatasetName, &DatasetName)> {
        self.items.get(index).map(|item| (&item.source_name, &item.target_name))
    }

    /// These items are on the target under another name; those that were not renamed there are sent anew all the same.
    pub fn sent_anew(&mut self, renamed: &[Guess]) {
        for guess in renamed {
            if let Some(item) = self.items.get(guess.index).filter(|item| item.was.is_none()) {
                self.renamed.insert(guess.from.clone(), item.target_name.clone());
            }
        }
    }

    /// The item that a dataset of the target is under another name, if it is sent anew.
    pub(super) fn renamed_from(&self, from: &DatasetName) -> Option<&DatasetName> {
        self.renamed.get(from)
    }

    /// Whether a dataset of the target, or one above it, is about to get another name.
    pub(super) fn is_moving(&self, name: &DatasetName) -> bool {
        self.moving.iter().any(|from| name.is_within(from))
    }

    /// The renames that bring these items where they belong, parents first. A child that comes along with its parent needs none
    /// of its own. One old name can't become two new ones: the first gets it, the others are sent in full.
    #[must_use]
    pub fn moves(&self, renamed: &[Guess]) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        let mut taken = HashSet::new();
        let mut renamed: Vec<&Guess> = renamed.iter().collect();
        // Items are in tree order.
        renamed.sort_by_key(|guess| guess.index);
        for guess in renamed {
            let Some(item) = self.items.get(guess.index) else { continue };
            let to = &item.target_name;
            if !taken.insert(guess.from.clone()) || moves.iter().any(|other| other.to == *to) {
                continue;
            }
            let from = carried(&guess.from, &moves);
            // Nothing goes into itself, and what lies below a new place of its own parent is there already.
            if from == *to || to.is_within(&from) {
                continue;
            }
            let made = |name: &DatasetName| {
                moves.iter().any(|other| name.is_within(&other.to) || other.ancestors.contains(name))
            };
            let ancestors: Vec<DatasetName> = (to.ancestors().into_iter())
                .filter(|name| name.is_within(&self.target) && !self.exists_there(name) && !made(name))
                .collect();
            let top_ancestor = ancestors.first().filter(|first| **first == self.target).cloned();
            let (snapshot, guid) = (guess.snapshot.clone(), guess.guid);
            moves.push(Move { from, to: to.clone(), snapshot, guid, ancestors, top_ancestor });
        }
        moves
    }

    /// Whether a dataset of the target is known to exist.
    fn exists_there(&self, name: &DatasetName) -> bool {
        if self.existing.contains(name) {
            return true;
        }
        let item = name.below(&self.target).and_then(|path| self.find(&path));
        item.is_some_and(|item| match &item.on_target {
            OnTarget::Based(..) | OnTarget::Listed(_) | OnTarget::Unlisted => true,
            OnTarget::Settled(verdict) => *verdict != Verdict::NoSnapshots,
            OnTarget::Asked { .. } | OnTarget::Missing => false,
        })
    }

    /// These renames are done, or are taken for done in a dry run: what is at the new places, or below, must be listed.
    pub fn moved(&mut self, moves: &[Move]) {
        for one in moves {
            self.existing.extend(one.ancestors.iter().cloned());
            self.existing.insert(one.to.clone());
        }
        for item in &mut self.items {
            let was = before(&item.target_name, moves);
            if was != item.target_name {
                item.was = Some(was);
                if matches!(item.on_target, OnTarget::Missing) {
                    item.on_target = OnTarget::Unlisted;
                }
            }
        }
        self.moving.extend(moves.iter().map(|one| before(&one.to, moves)));
    }

    /// The name that the item at this target had before the renames of this run.
    #[must_use]
    pub fn old_name(&self, index: usize) -> Option<&DatasetName> {
        self.items.get(index)?.was.as_ref()
    }

    /// The same, by the dataset's name now.
    #[must_use]
    pub fn name_before(&self, target: &DatasetName) -> Option<&DatasetName> {
        self.find(&target.below(&self.target)?)?.was.as_ref()
    }
}

/// What a dataset was called before these renames.
fn before(name: &DatasetName, moves: &[Move]) -> DatasetName {
    let mut name = name.clone();
    for one in moves.iter().rev() {
        if let Some(old) = name.below(&one.to).and_then(|path| one.from.join(&path).ok()) {
            name = old;
        }
    }
    name
}

/// What a dataset is called after these renames.
fn carried(name: &DatasetName, moves: &[Move]) -> DatasetName {
    let mut name = name.clone();
    for one in moves {
        if let Some(moved) = name.below(&one.from).and_then(|path| one.to.join(&path).ok()) {
            name = moved;
        }
    }
    name
}

#[cfg(test)]
#[path = "rename_tests.rs"]
mod tests;

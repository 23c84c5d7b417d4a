//! Datasets that have another name at the source now: found by zfsync's own bookmarks, which a rename takes along, or by
//! snapshots of the same guid; and the renames that follow them on the target.

use std::collections::{HashMap, HashSet};

use super::Verdict;
use super::item::OnTarget;
use super::negotiate::{EncryptedAs, Negotiation};
use super::not_destroyed::{NotDestroyed, is_set_aside, not_put_there};
use super::renames::{Renames, up};
use super::{Notes, TargetDataset};
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

/// A rename that isn't followed, as something must be received first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The rename.
    pub guess: Guess,
    /// The dataset above its new place that is to be sent first.
    pub parent: DatasetName,
    /// How many others are left out with it, below both of its names.
    pub below: usize,
}

/// A dataset of the target that has snapshots in common with an item that is sent in full, and isn't renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namesake {
    /// The item.
    pub index: usize,
    /// What it is called on the target.
    pub name: DatasetName,
    /// Why not.
    pub why: String,
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
    /// the target lacks. A bookmark of ours says that a copy has that name; but another source may have taken it over, as its note tells.
    #[must_use]
    pub fn guesses(&self, only_there: &[DatasetName], notes: &HashMap<DatasetName, Notes>, by: u32) -> Vec<Guess> {
        let Some(tags) = &self.tags else { return Vec::new() };
        let lacking: Vec<(usize, Vec<_>)> = (self.lacking())
            .map(|(index, item)| (index, known_targets(&item.source.bookmarks)))
            .filter(|(_, known)| !known.is_empty())
            .collect();
        if lacking.is_empty() {
            return Vec::new();
        }
        let put = |name: &DatasetName| notes.get(name)?.put.as_ref();
        let ours = only_there.iter().filter(|name| put(name).is_none_or(|put| put.by == by));
        let of_tags: Vec<(Tag, &DatasetName)> = ours.map(|name| (tags.of(name), name)).collect();
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

    /// The same, having listed what only the target has: the copy of this source that has the newest snapshot in common with an item. And
    /// what has snapshots in common too, but isn't one, or isn't the only one.
    #[must_use]
    pub fn guesses_by_guid(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        by: u32,
    ) -> (Vec<Guess>, Vec<Namesake>) {
        let mut by_guid: HashMap<Guid, Vec<(&DatasetName, &str)>> = HashMap::new();
        let mut names: Vec<_> = there.iter().collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        for (name, target) in names {
            for version in target.snapshots.iter() {
                by_guid.entry(version.guid).or_default().push((name, version.name));
            }
        }
        let (mut guesses, mut namesakes) = (Vec::new(), Vec::new());
        for (index, item) in self.lacking() {
            let versions = item.source.snapshots.iter().rev().chain(item.source.bookmarks.iter().rev());
            let found = versions.filter_map(|version| Some((version.guid, by_guid.get(&version.guid)?)));
            let mut no_copy: Option<Namesake> = None;
            for (guid, all) in found {
                let why = |name: &DatasetName| self.not_received(name, notes, by);
                let ours: Vec<_> = all.iter().filter(|(name, _)| why(name).is_none()).collect();
                match ours[..] {
                    [] => {
                        let first = all.first().and_then(|(name, _)| Some(((*name).clone(), why(name)?.to_string())));
                        no_copy = no_copy.or_else(|| first.map(|(name, why)| Namesake { index, name, why }));
                        continue;
                    }
                    [(name, snapshot)] => {
                        let (from, snapshot) = ((*name).clone(), SnapshotName::from_checked(snapshot));
                        guesses.push(Guess { index, from, snapshot, guid });
                    }
                    [(name, _), (other, _), ..] => {
                        let why = format!("{other} has the same snapshots, so it is unknown which of them was renamed");
                        namesakes.push(Namesake { index, name: (*name).clone(), why });
                    }
                }
                no_copy = None;
                break;
            }
            namesakes.extend(no_copy);
        }
        (guesses, namesakes)
    }

    /// Why a dataset of the target is no copy that this source has put there.
    #[must_use]
    pub fn not_received(
        &self,
        name: &DatasetName,
        notes: &HashMap<DatasetName, Notes>,
        by: u32,
    ) -> Option<NotDestroyed> {
        if is_set_aside(name) {
            return Some(NotDestroyed::SetAside);
        }
        let put = notes.get(name).and_then(|notes| notes.put.as_ref());
        not_put_there(put, &name.below(&self.target).unwrap_or_default(), by)
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

    /// What is sent in full although the target has it under another name: the source's dataset, that name, and the target's.
    #[must_use]
    pub fn sent_again(&self) -> Vec<(&DatasetName, &DatasetName, &DatasetName)> {
        if self.renamed.is_empty() || self.withholds_all() {
            return Vec::new();
        }
        let mut again: Vec<_> = self.renamed.iter().collect();
        again.sort_unstable();
        let of = |to: &DatasetName| self.find(&to.below(&self.target)?);
        again.into_iter().filter_map(|(from, to)| Some((&of(to)?.source_name, from, to))).collect()
    }

    /// The item that a dataset of the target is under another name, if it is sent anew.
    pub(super) fn renamed_from(&self, from: &DatasetName) -> Option<&DatasetName> {
        self.renamed.get(from)
    }

    /// Whether a dataset of the target, or one above it, is about to get another name.
    pub(super) fn is_moving(&self, name: &DatasetName) -> bool {
        !self.moving.is_empty() && up(name).any(|above| self.moving.contains(&above))
    }

    /// Datasets of the source that are to be sent, and above whose copies' places these items have theirs: to rename those at once would
    /// make something else there. What they are must be known for [`Negotiation::can_follow`].
    #[must_use]
    pub fn new_parents(&self, renamed: &[Guess]) -> Vec<DatasetName> {
        let made = self.moves(renamed).into_iter().flat_map(|one| one.ancestors);
        let parents = made.filter_map(|name| self.item_of(&name).filter(|item| !item.source.snapshots.is_empty()));
        parents.map(|item| item.source_name.clone()).collect()
    }

    /// Divides these renames: those that can be followed, and those that can't. A rename would make an empty one there, and where one of both is encrypted no stream takes its place. `encrypted`: what is
    /// made on the target is.
    #[must_use]
    pub fn can_follow(&self, renamed: &[Guess], encrypted: bool) -> (Vec<Guess>, Vec<LeftOut>) {
        let raw = self.encryption.sent == EncryptedAs::Raw;
        let is_to_come = |name: &DatasetName| {
            self.item_of(name).is_some_and(|item| {
                matches!(item.on_target, OnTarget::Missing)
                    && !item.source.snapshots.is_empty()
                    && (encrypted || raw && item.facts.is_none_or(|facts| facts.encrypted))
            })
        };
        let mut renamed: Vec<&Guess> = renamed.iter().collect();
        renamed.sort_by_key(|guess| guess.index);
        let (mut can, mut cannot, mut places) = (Vec::new(), Vec::<LeftOut>::new(), HashSet::new());
        // By their new names, each with its place among those that are told.
        let mut left = HashMap::new();
        for guess in renamed {
            let Some(item) = self.items.get(guess.index) else { continue };
            // The highest: what is sent into it alone makes nothing above it.
            let mut above = item.target_name.ancestors().into_iter();
            if let Some(parent) = above.find(|name| !places.contains(name) && is_to_come(name)) {
                let over = item.target_name.ancestors().into_iter().rev().find_map(|name| left.get(&name).copied());
                let over = over.filter(|at: &usize| guess.from.is_within(&cannot[*at].guess.from));
                match over {
                    Some(at) => cannot[at].below += 1,
                    None => cannot.push(LeftOut { guess: guess.clone(), parent, below: 0 }),
                }
                left.insert(item.target_name.clone(), over.unwrap_or(cannot.len() - 1));
            } else {
                places.insert(item.target_name.clone());
                can.push(guess.clone());
            }
        }
        (can, cannot)
    }

    /// The renames that bring these items where they belong, parents first. A child that comes along with its parent needs none
    /// of its own. One old name can't become two new ones: the first gets it, the others are sent in full.
    #[must_use]
    pub fn moves(&self, renamed: &[Guess]) -> Vec<Move> {
        let mut moves: Vec<Move> = Vec::new();
        let (mut before, mut created, mut taken) = (Renames::default(), HashSet::new(), HashSet::new());
        let mut renamed: Vec<&Guess> = renamed.iter().collect();
        // Items are in tree order.
        renamed.sort_by_key(|guess| guess.index);
        for guess in renamed {
            let Some(item) = self.items.get(guess.index) else { continue };
            let to = &item.target_name;
            if !taken.insert(guess.from.clone()) || before.gives(to) {
                continue;
            }
            let from = before.after(&guess.from);
            // Nothing goes into itself, and what lies below a new place of its own parent is there already.
            if from == *to || to.is_within(&from) {
                continue;
            }
            let made = |name: &DatasetName| created.contains(name) || before.reaches(name);
            let ancestors: Vec<DatasetName> = (to.ancestors().into_iter())
                .filter(|name| name.is_within(&self.target) && !self.exists_there(name) && !made(name))
                .collect();
            let top_ancestor = ancestors.first().filter(|first| **first == self.target).cloned();
            let (snapshot, guid) = (guess.snapshot.clone(), guess.guid);
            created.extend(ancestors.iter().cloned());
            let one = Move { from, to: to.clone(), snapshot, guid, ancestors, top_ancestor };
            before.push(&one);
            moves.push(one);
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
        let renames: Renames = moves.iter().collect();
        for item in &mut self.items {
            let was = renames.before(&item.target_name);
            if was != item.target_name {
                item.was = Some(was);
                if matches!(item.on_target, OnTarget::Missing) {
                    item.on_target = OnTarget::Unlisted;
                }
            }
        }
        self.moving.extend(moves.iter().map(|one| renames.before(&one.to)));
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

#[cfg(test)]
#[path = "rename_tests.rs"]
mod tests;

//! Which of the datasets that only the target has may go, and why the others stay.

use std::collections::{HashMap, HashSet};

use super::TargetDataset;
use super::homes::{Home, Homes};
use super::missing::{Doomed, Missing, MissingPolicy, Notes, When};
use super::negotiate::Negotiation;
use super::not_destroyed::{NotDestroyed, is_set_aside, not_put_there};
use super::provenance::Provenance;
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};

impl Negotiation {
    /// Goes through what only the target has, from below.
    pub(super) fn doom(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &MissingPolicy,
        when: When,
        missing: &mut Missing,
    ) {
        let only_there = self.only_there(there.keys());
        let doomed: HashSet<&DatasetName> = only_there.iter().collect();
        // Parents of what stays: that can be something that isn't selected, too.
        let is_moving = |name: &DatasetName| when == When::Before && self.is_moving(name);
        let moved = self.items.iter().filter(|item| item.was.is_some()).map(|item| &item.target_name);
        let stay = there.keys().filter(|name| !doomed.contains(name) && !is_moving(name));
        let mut holding: HashSet<DatasetName> = stay.chain(moved).flat_map(DatasetName::ancestors).collect();
        let homes = self.homes(only_there.iter().filter_map(|name| there.get(name)));
        let mut copies = Copies { there, when, guids: HashMap::new() };
        let none = Notes::default();
        for name in only_there.iter().rev() {
            let (Some(target), notes) = (there.get(name), notes.get(name).unwrap_or(&none)) else { continue };
            let renamed = self.renamed_from(name).map(|to| NotDestroyed::Renamed(to.clone()));
            let below = holding.contains(name).then_some(NotDestroyed::Below);
            let path = name.below(&self.target).unwrap_or_default();
            let stays = renamed.or(below).or_else(|| stays(name, &path, target, notes, mirror, &homes));
            if let Some(stays) = stays.or_else(|| copies.lives_on(target, mirror, &homes)) {
                holding.extend(name.ancestors());
                if notes.since.is_some() && stays.is_on_the_source() {
                    missing.back.push(name.clone());
                }
                missing.stay.push((name.clone(), stays));
            } else {
                let snapshots =
                    target.snapshots.iter().map(|version| (version.snapshot_name(), version.guid)).collect();
                let newest = target.snapshots.newest().map(|version| version.snapshot_name());
                missing.datasets.push(Doomed { dataset: name.clone(), snapshots, newest, since: notes.since });
            }
        }
        missing.stay.reverse();
    }
}

/// What the copies of the source's datasets have; put in sets once each, as there can be very many snapshots.
struct Copies<'a> {
    there: &'a HashMap<DatasetName, TargetDataset>,
    when: When,
    guids: HashMap<&'a DatasetName, HashSet<Guid>>,
}

impl<'a> Copies<'a> {
    fn of(&mut self, name: &DatasetName) -> Option<&HashSet<Guid>> {
        let (name, copy): (&'a DatasetName, _) = self.there.get_key_value(name)?;
        let guids = || copy.snapshots.iter().map(|version| version.guid).collect();
        Some(self.guids.entry(name).or_insert_with(guids))
    }

    /// Why a dataset stays that the source has under another name, by the guids of its snapshots.
    fn lives_on(&mut self, target: &TargetDataset, mirror: &MissingPolicy, homes: &Homes<'_>) -> Option<NotDestroyed> {
        // Of each copy, whether it is in sync and has all that may not go.
        let mut complete: HashMap<&DatasetName, bool> = HashMap::new();
        let when = self.when;
        for guid in target.snapshots.iter().map(|version| version.guid) {
            for home in homes.all(guid) {
                let item = match home {
                    Home::Item(item) => item,
                    Home::Unselected(_) => return homes.name(home).map(NotDestroyed::Unselected),
                };
                let has_more = || Some(NotDestroyed::HasMore(item.target_name.clone()));
                let Some(copy) = self.of(when.name_of(item)) else { return has_more() };
                let is_complete = complete.entry(&item.target_name).or_insert_with(|| {
                    let in_sync = item.source.snapshots.newest().is_some_and(|newest| copy.contains(&newest.guid));
                    // What the source has no more goes where snapshots go.
                    let mut all = target.snapshots.iter();
                    in_sync && (mirror.snapshots || all.all(|version| copy.contains(&version.guid)))
                });
                // What the source still has must be there.
                if !*is_complete || !copy.contains(&guid) {
                    return has_more();
                }
            }
        }
        None
    }
}

/// Why a dataset that only the target has stays, going by itself alone. `homes`: where the source has snapshots of it.
fn stays(
    name: &DatasetName,
    path: &RelPath,
    target: &TargetDataset,
    notes: &Notes,
    mirror: &MissingPolicy,
    homes: &Homes<'_>,
) -> Option<NotDestroyed> {
    if is_set_aside(name) {
        return Some(NotDestroyed::SetAside);
    }
    if target.snapshots.is_empty() {
        return match notes {
            Notes { placeholder: true, .. } => None,
            // It has never been whole, or mounted, so that nothing is in it but what was sent.
            _ if target.unborn => {
                not_put_there(notes.put.as_ref(), path, mirror.by).map(|_| NotDestroyed::Unborn(name.clone()))
            }
            Notes { put: Some(_), .. } => Some(NotDestroyed::NoSnapshots),
            _ => Some(NotDestroyed::NotOurs),
        };
    }
    let not_ours = not_put_there(notes.put.as_ref(), path, mirror.by);
    if not_ours.is_some() {
        return not_ours;
    }
    let provenance = Provenance::new(target, notes.put.as_ref(), &mirror.format);
    let foreign: Vec<SnapshotName> = target
        .snapshots
        .iter()
        .filter(|version| provenance.is_noted_foreign(version) || !provenance.put(version) && !homes.has(version.guid))
        .map(|version| version.snapshot_name())
        .collect();
    (!foreign.is_empty()).then_some(NotDestroyed::Foreign(foreign))
}

//! Where the source has what the target's datasets have, by guid: so what was renamed, moved or promoted there is found.

use std::collections::{HashMap, HashSet};

use super::TargetDataset;
use super::item::Item;
use super::negotiate::Negotiation;
use super::not_destroyed::NotDestroyed;
use zfs::name::{DatasetName, Guid, RelPath};

/// A dataset of the source.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home<'a> {
    /// It is replicated.
    Item(&'a Item),
    /// It isn't.
    Unselected(&'a RelPath),
}

/// The source's datasets that have a snapshot, or a bookmark of it.
#[derive(Debug, Clone, Default)]
struct At<'a> {
    snapshots: Vec<Home<'a>>,
    bookmarks: Vec<Home<'a>>,
}

/// Where the source has the snapshots of some datasets of the target.
pub(super) struct Homes<'a> {
    source: &'a DatasetName,
    of: HashMap<Guid, At<'a>>,
}

impl Negotiation {
    /// Where the source has the snapshots of these.
    pub(super) fn homes<'a>(&self, targets: impl Iterator<Item = &'a TargetDataset>) -> Homes<'_> {
        let theirs: HashSet<Guid> = targets.flat_map(|target| target.snapshots.iter()).map(|one| one.guid).collect();
        let mut of: HashMap<Guid, At<'_>> = HashMap::new();
        let items = self.items.iter().map(|item| (Home::Item(item), &item.source));
        let others = self.unselected.values().map(|dataset| (Home::Unselected(&dataset.path), dataset));
        for (home, dataset) in items.chain(others) {
            for version in dataset.snapshots.iter().filter(|version| theirs.contains(&version.guid)) {
                of.entry(version.guid).or_default().snapshots.push(home);
            }
            for version in dataset.bookmarks.iter().filter(|version| theirs.contains(&version.guid)) {
                of.entry(version.guid).or_default().bookmarks.push(home);
            }
        }
        Homes { source: &self.source, of }
    }
}

impl<'a> Homes<'a> {
    /// Whether the source has a snapshot anywhere, or a bookmark of it.
    pub(super) fn has(&self, guid: Guid) -> bool {
        self.of.contains_key(&guid)
    }

    /// All that have it, or a bookmark of it.
    pub(super) fn all(&self, guid: Guid) -> impl Iterator<Item = Home<'a>> {
        self.of.get(&guid).into_iter().flat_map(|at| at.snapshots.iter().chain(&at.bookmarks).copied())
    }

    /// Why a snapshot stays that its own dataset lacks at the source.
    pub(super) fn elsewhere(&self, guid: Guid) -> Option<NotDestroyed> {
        let At { snapshots, bookmarks } = self.of.get(&guid)?;
        match (snapshots.first(), bookmarks.first()) {
            (Some(home), _) => self.name(*home).map(NotDestroyed::Elsewhere),
            (None, Some(home)) => self.name(*home).map(NotDestroyed::Bookmarked),
            (None, None) => None,
        }
    }

    /// What a dataset of the source is called.
    pub(super) fn name(&self, home: Home<'_>) -> Option<DatasetName> {
        match home {
            Home::Item(item) => Some(item.source_name.clone()),
            Home::Unselected(path) => self.source.join(path).ok(),
        }
    }
}

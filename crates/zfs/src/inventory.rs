//! What one side has: snapshots and bookmarks with their identities, stored compactly, since a pool can hold a million.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::name::{Guid, RelPath, SnapshotName, Txg};

/// A filesystem or a volume: the two kinds of dataset that can be replicated, and not one into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A filesystem.
    Filesystem,
    /// A volume (zvol).
    Volume,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Filesystem => "filesystem",
            Self::Volume => "volume",
        })
    }
}

/// One snapshot or bookmark, borrowed from a [`Versions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'a> {
    /// What follows `@` or `#`; checked when it was parsed.
    pub name: &'a str,
    /// Its identity.
    pub guid: Guid,
    /// Its place in the order of its dataset.
    pub txg: Txg,
}

impl Version<'_> {
    /// The name as an owned, typed one.
    #[must_use]
    pub fn snapshot_name(&self) -> SnapshotName {
        SnapshotName::from_checked(self.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    end: u32,
    guid: Guid,
    txg: Txg,
}

/// The snapshots (or the bookmarks) of one dataset, oldest first by createtxg.
///
/// All names share one string: a million snapshots cost some 45 bytes each instead of 80.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Versions {
    names: String,
    entries: Vec<Entry>,
}

impl Versions {
    /// Adds one; call [`Versions::sort`] once after the last.
    ///
    /// # Panics
    /// Never in practice: the names of one dataset would have to exceed 4 GiB.
    pub fn push(&mut self, name: &SnapshotName, guid: Guid, txg: Txg) {
        self.add(name.as_str(), guid, txg);
    }

    fn add(&mut self, name: &str, guid: Guid, txg: Txg) {
        self.names.push_str(name);
        let end = u32::try_from(self.names.len()).expect("the names of one dataset's snapshots stay below 4 GiB");
        self.entries.push(Entry { end, guid, txg });
    }

    /// Brings the versions into createtxg order (equal ones keep the order in which they came) and frees spare memory. One that came
    /// twice counts once; whether there was one.
    pub fn sort(&mut self) -> bool {
        if self.entries.is_sorted_by_key(|entry| entry.txg) && !self.has_twins() {
            self.names.shrink_to_fit();
            self.entries.shrink_to_fit();
            return false;
        }
        let mut order: Vec<usize> = (0..self.entries.len()).collect();
        order.sort_by_key(|&index| self.entries[index].txg);
        let mut sorted =
            Self { names: String::with_capacity(self.names.len()), entries: Vec::with_capacity(order.len()) };
        let mut of_txg: (Txg, HashSet<(&str, Guid)>) = (Txg(0), HashSet::new());
        for index in order {
            let Version { name, guid, txg } = self.at(index);
            if of_txg.0 != txg {
                // Not cleared: that takes as long as the largest of them was.
                of_txg = (txg, HashSet::new());
            }
            if of_txg.1.insert((name, guid)) {
                sorted.add(name, guid, txg);
            }
        }
        let twice = sorted.entries.len() < self.entries.len();
        *self = sorted;
        twice
    }

    /// Whether sorted ones may have one that came twice: its like has the same place.
    fn has_twins(&self) -> bool {
        self.entries.windows(2).any(|pair| pair[0].txg == pair[1].txg && pair[0].guid == pair[1].guid)
            || self.entries.windows(3).any(|three| three[0].txg == three[2].txg)
    }

    fn at(&self, index: usize) -> Version<'_> {
        let start = if index == 0 { 0 } else { self.entries[index - 1].end as usize };
        let Entry { end, guid, txg } = self.entries[index];
        Version { name: &self.names[start..end as usize], guid, txg }
    }

    /// The version at `index`, 0 being the oldest.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Version<'_>> {
        (index < self.entries.len()).then(|| self.at(index))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All, oldest first; reversible.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Version<'_>> + ExactSizeIterator {
        (0..self.entries.len()).map(|index| self.at(index))
    }

    /// The newest.
    #[must_use]
    pub fn newest(&self) -> Option<Version<'_>> {
        self.entries.len().checked_sub(1).map(|index| self.at(index))
    }

    /// The oldest.
    #[must_use]
    pub fn oldest(&self) -> Option<Version<'_>> {
        self.get(0)
    }
}

impl<'a> FromIterator<Version<'a>> for Versions {
    fn from_iter<I: IntoIterator<Item = Version<'a>>>(versions: I) -> Self {
        let mut all = Self::default();
        for version in versions {
            all.push(&version.snapshot_name(), version.guid, version.txg);
        }
        all.sort();
        all
    }
}

/// What one dataset of a tree has, as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Its path below the top of the tree.
    pub path: RelPath,
    /// Its snapshots.
    pub snapshots: Versions,
    /// Its bookmarks: each can be the base of an increment after its snapshot is gone.
    pub bookmarks: Versions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_txg_and_keep_names() {
        let mut all = Versions::default();
        for (name, txg) in [("c", 30), ("a", 10), (" b ", 20)] {
            all.push(&name.parse().unwrap(), Guid(txg * 7), Txg(txg));
        }
        all.sort();
        let seen: Vec<_> = all.iter().map(|v| (v.name, v.guid.0)).collect();
        assert_eq!(seen, [("a", 70), (" b ", 140), ("c", 210)]);
        assert_eq!(all.newest().unwrap().name, "c");
        assert_eq!(all.oldest().unwrap().name, "a");
        assert_eq!(all.get(3), None);
    }
}

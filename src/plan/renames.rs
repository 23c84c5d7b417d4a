//! The renames of a run, one after the other: what a dataset is called after them, and what it was called before.

use std::collections::HashMap;

use super::Move;
use zfs::name::DatasetName;

/// Renames, each of which names what there is after those before it.
#[derive(Debug, Default)]
pub struct Renames {
    /// The old name and the new one of each.
    all: Vec<(DatasetName, DatasetName)>,
    /// Their places by the old names, in order.
    from: HashMap<DatasetName, Vec<usize>>,
    /// By the new ones.
    to: HashMap<DatasetName, Vec<usize>>,
}

impl Renames {
    /// One more.
    pub(super) fn push(&mut self, one: &Move) {
        let place = self.all.len();
        self.from.entry(one.from.clone()).or_default().push(place);
        self.to.entry(one.to.clone()).or_default().push(place);
        self.all.push((one.from.clone(), one.to.clone()));
    }

    /// What a dataset is called after them.
    #[must_use]
    pub fn after(&self, name: &DatasetName) -> DatasetName {
        let (mut name, mut start) = (name.clone(), 0);
        let first = |all: &Vec<usize>, start| all.get(all.partition_point(|place| *place < start)).copied();
        while let Some(next) = up(&name).filter_map(|top| first(self.from.get(&top)?, start)).min() {
            let (from, to) = &self.all[next];
            name = instead(&name, from, to).unwrap_or(name);
            start = next + 1;
        }
        name
    }

    /// What a dataset was called before them.
    pub(super) fn before(&self, name: &DatasetName) -> DatasetName {
        let (mut name, mut end) = (name.clone(), self.all.len());
        let last = |all: &Vec<usize>, end| all[..all.partition_point(|place| *place < end)].last().copied();
        while let Some(next) = up(&name).filter_map(|top| last(self.to.get(&top)?, end)).max() {
            let (from, to) = &self.all[next];
            name = instead(&name, to, from).unwrap_or(name);
            end = next;
        }
        name
    }

    /// Whether one of them gives a dataset this name.
    pub(super) fn gives(&self, name: &DatasetName) -> bool {
        self.to.contains_key(name)
    }

    /// Whether one of them gives this name to a dataset, or to one above.
    pub(super) fn reaches(&self, name: &DatasetName) -> bool {
        up(name).any(|top| self.gives(&top))
    }
}

impl<'a> FromIterator<&'a Move> for Renames {
    fn from_iter<I: IntoIterator<Item = &'a Move>>(moves: I) -> Self {
        let mut all = Self::default();
        moves.into_iter().for_each(|one| all.push(one));
        all
    }
}

/// The name of a dataset and of those above it, upwards.
pub(super) fn up(name: &DatasetName) -> impl Iterator<Item = DatasetName> + use<> {
    std::iter::successors(Some(name.clone()), DatasetName::parent)
}

/// The name with one part at its start in place of another; `None`: it doesn't start so, or would be too long.
fn instead(name: &DatasetName, old: &DatasetName, new: &DatasetName) -> Option<DatasetName> {
    new.join(&name.below(old)?).ok()
}

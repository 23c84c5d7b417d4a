//! What a dataset that is set aside takes along, and what of it comes back: reckoned before anything is done, for a dry run.

use std::collections::HashMap;

use super::renames::up;
use zfs::name::{DatasetName, Guid};
use zfs::{Resolution, Restore};

/// What was set aside so far, those above first.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// The places of the datasets, by the names that they had.
    places: HashMap<DatasetName, usize>,
    /// What comes back after each of them, and up to which snapshot.
    back: Vec<HashMap<DatasetName, Guid>>,
}

/// What that does to a dataset which the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lot {
    /// Nothing; or it comes back, and has to be set aside once more.
    Untouched,
    /// It leaves with the one above it.
    Leaves,
    /// It comes back, up to a snapshot.
    ComesBack,
}

impl Asides {
    /// One more, and what of it comes back.
    pub fn push(&mut self, dataset: &DatasetName, back: HashMap<DatasetName, Guid>) {
        self.places.insert(dataset.clone(), self.back.len());
        self.back.push(back);
    }

    /// What becomes of this dataset, for which this resolution is planned.
    pub fn lot(&self, name: &DatasetName, resolution: Option<&Resolution>) -> Lot {
        // The last one decides, as it is the nearest.
        let above = if self.back.is_empty() { None } else { up(name).filter_map(|top| self.places.get(&top)).max() };
        let Some(back) = above.and_then(|place| self.back.get(*place)) else { return Lot::Untouched };
        match back.get(name) {
            None => Lot::Leaves,
            Some(guid) if is_set_aside_for_more(resolution, *guid) => Lot::Untouched,
            Some(_) => Lot::ComesBack,
        }
    }
}

/// Whether what comes back up to this snapshot has to be set aside once more.
fn is_set_aside_for_more(resolution: Option<&Resolution>, guid: Guid) -> bool {
    let Some(Resolution::SetAside { restore, .. }) = resolution else { return false };
    restore.first().is_none_or(|one: &Restore| one.guid != guid)
}

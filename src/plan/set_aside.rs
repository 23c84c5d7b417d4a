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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatasetName {
        text.parse().unwrap()
    }

    /// What is set aside here, if what comes back has this snapshot.
    fn for_more(dataset: &str, back: Option<u64>) -> Resolution {
        let restore =
            back.map(|guid| Restore { dataset: name(dataset), snapshot: "s".parse().unwrap(), guid: Guid(guid) });
        let aside = name(&format!("{dataset}.zfsync-20261130-090000"));
        Resolution::SetAside { dataset: name(dataset), aside, restore: restore.into_iter().collect(), top: false }
    }

    #[test]
    fn the_nearest_one_above_decides() {
        let back = |all: &[(&str, u64)]| all.iter().map(|(dataset, guid)| (name(dataset), Guid(*guid))).collect();
        let mut asides = Asides::default();
        assert_eq!(asides.lot(&name("t/a"), None), Lot::Untouched);
        asides.push(&name("t/a"), back(&[("t/a", 1), ("t/a/kid", 2), ("t/a/odd", 3), ("t/a/odd/deep", 4)]));
        asides.push(&name("t/a/odd"), back(&[("t/a/odd/deep", 5)]));
        for (dataset, lot) in [
            ("t", Lot::Untouched),
            ("t/a", Lot::ComesBack),
            ("t/a/kid", Lot::ComesBack),
            ("t/a/kid/x", Lot::Leaves),
            ("t/a/gone", Lot::Leaves),
            ("t/a/odd", Lot::Leaves),
            ("t/a/odd/deep", Lot::ComesBack),
            ("t/a/odd/deep/x", Lot::Leaves),
            ("t/ab", Lot::Untouched),
        ] {
            assert_eq!(asides.lot(&name(dataset), None), lot, "{dataset}");
        }
    }

    /// What comes back is in conflict again, unless it is set aside for the very snapshot up to which it comes back.
    #[test]
    fn what_comes_back_may_be_set_aside_once_more() {
        let mut asides = Asides::default();
        asides.push(&name("t"), [(name("t/kid"), Guid(2))].into());
        for (more, lot) in [(Some(2), Lot::ComesBack), (Some(1), Lot::Untouched), (None, Lot::Untouched)] {
            assert_eq!(asides.lot(&name("t/kid"), Some(&for_more("t/kid", more))), lot, "{more:?}");
        }
        let rollback = Resolution::Rollback {
            dataset: name("t/kid"),
            to: "s".parse().unwrap(),
            to_guid: Guid(1),
            loses: Vec::new(),
        };
        assert_eq!(asides.lot(&name("t/kid"), Some(&rollback)), Lot::ComesBack);
        // What doesn't come back leaves, whatever is planned for it.
        assert_eq!(asides.lot(&name("t/x"), Some(&for_more("t/x", None))), Lot::Leaves);
    }
}

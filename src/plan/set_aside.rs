//! What a dataset that is set aside takes along, and what of it comes back: reckoned before anything is done, for a dry run, and told at
//! the end of a run.

use std::collections::HashMap;
use std::fmt;

use super::contact::all_below;
use super::negotiate::Negotiation;
use super::renames::up;
use crate::format::first_of;
use zfs::name::{DatasetName, Guid};
use zfs::{MountState, Resolution, Restore};

/// So many datasets are named.
const NAMED: usize = 3;

/// What goes along with a dataset that is set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Along {
    /// Whether it is known that nothing lies below it.
    pub alone: bool,
    /// Those below it that are only there then, by the names that they had: this run doesn't send them again.
    pub stay_away: Vec<DatasetName>,
}

impl Along {
    /// What there is in its place then, in words.
    pub(super) fn what_comes(&self, restore: &[Restore]) -> String {
        const CLONE: &str = "comes back as a clone of the common snapshot";
        let mut text = match restore {
            [] if self.alone => "it is sent in full".into(),
            [] => "the dataset itself is sent in full".into(),
            [_] if self.alone => format!("it {CLONE}"),
            [_] => format!("the dataset itself {CLONE}, without them"),
            [_, below @ ..] => {
                format!("it {CLONE}, with {}", first_of(below, NAMED, |one| one.dataset.to_string()))
            }
        };
        if !self.stay_away.is_empty() {
            let names = first_of(&self.stay_away, NAMED, ToString::to_string);
            text = format!("{text}; not replicated in this run, and so only there then: {names}");
        }
        text
    }
}

/// After the name under which it is set aside.
impl fmt::Display for Along {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.alone { "" } else { " with all datasets below it" })
    }
}

/// What was set aside in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// What it was called.
    pub dataset: DatasetName,
    /// What it is called now.
    pub name: DatasetName,
    /// What has gone along.
    pub along: Along,
    /// How it is mounted now, as far as that is known.
    pub mount: Option<MountState>,
    /// Whether the target's host has confirmed it.
    pub confirmed: bool,
    /// Whether the run has brought everything in sync, so that it isn't the only copy.
    pub settled: bool,
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dataset, name: aside, along, mount, confirmed, settled } = self;
        let how = if *confirmed { "set aside" } else { "probably set aside, as the answer was lost" };
        let below = if along.alone { "" } else { ", with all datasets below it" };
        write!(f, "{how}: {aside}{below}")?;
        match mount {
            Some(MountState { mountpoint, mounted: true, .. }) => write!(f, "; it is mounted at '{mountpoint}'")?,
            Some(MountState { mountpoint, .. }) if mountpoint.starts_with('/') => {
                f.write_str("; it is not mounted now")?;
            }
            _ => {}
        }
        if !along.stay_away.is_empty() {
            // By the names that they have now.
            let moved = |name: &DatasetName| name.below(dataset).and_then(|rest| aside.join(&rest).ok());
            let names = first_of(along.stay_away.iter().filter_map(moved), NAMED, |name| name.to_string());
            write!(f, "; not replicated in this run, and so only there now: {names} (zfs rename brings one back)")?;
        }
        if *settled {
            write!(f, "; when nothing of it is needed any more, on the target's host: zfs destroy -r '{aside}'")
        } else {
            f.write_str("; it may be the only copy: keep it until a run ends with everything in sync")
        }
    }
}

impl Negotiation {
    /// What goes along with a dataset that is set aside after these others of this run. What lay below one of them has gone with that.
    #[must_use]
    pub fn along<'a>(&self, dataset: &DatasetName, others: impl IntoIterator<Item = &'a DatasetName>) -> Along {
        let tree = &self.records.tree;
        let is_sent = |name: &DatasetName| {
            let item = name.below(&self.target).and_then(|path| self.find(&path));
            item.is_some_and(|item| !item.source.snapshots.is_empty())
        };
        if others.into_iter().any(|other| dataset != other && dataset.is_within(other)) {
            return Along::default();
        }
        Along {
            alone: tree.binary_search(dataset).is_ok() && all_below(tree, dataset).next().is_none(),
            stay_away: all_below(tree, dataset).filter(|name| !is_sent(name)).cloned().collect(),
        }
    }
}

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

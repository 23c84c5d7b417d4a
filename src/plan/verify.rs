//! Whether a copy is what its source is: all snapshots of both sides by guid, and then what one of each dataset holds. Pure;
//! the reading is done by [`crate::exec`].

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;

use serde::Serialize;

use super::Filter;
use super::{SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};
use zfs::{Part, Version};

/// How a dataset and its copy agree, as far as their snapshots tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// The copy has the source's newest snapshot.
    Same,
    /// The source has no snapshot, so there is nothing that could have been copied.
    NoSnapshots,
    /// Only the target has it.
    TargetOnly,
    /// The copy lacks the newest snapshot.
    Behind,
    /// There is no copy, or none that has a snapshot of the source.
    Missing,
    /// A snapshot of the copy has the name of another one of the source; or none is common.
    Different,
}

impl Agreement {
    /// Whether a copy is as it should be.
    #[must_use]
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Same | Self::NoSnapshots | Self::TargetOnly)
    }
}

/// A snapshot that both sides have, perhaps under different names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its name at the source.
    pub here: SnapshotName,
    /// Its name on the target.
    pub there: SnapshotName,
    /// Its identity.
    pub guid: Guid,
}

/// What came of comparing what a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nobody has compared it.
    NotCompared,
    /// So many bytes were read here, and all is the same there.
    Same(u64),
    /// These objects differ, or are missing on a side; the first ones. None: the streams differ in how they are cut.
    Different(Vec<u64>),
    /// It can't be read on a side: why.
    Unreadable(String),
}

/// One dataset and its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The source's dataset; for one that only the target has, how it would be called.
    pub dataset: String,
    /// The target's.
    pub target: String,
    /// How they agree.
    pub agreement: Agreement,
    /// How many snapshots both have.
    pub common: usize,
    /// How many only the source has.
    pub only_here: usize,
    /// How many only the target has.
    pub only_there: usize,
    /// Names that stand for different snapshots on both sides.
    pub clashes: Vec<SnapshotName>,
    /// The newest snapshot that both have.
    pub newest: Option<Pair>,
    /// The newest snapshot of the target that the source has only as a bookmark, where no snapshot is common.
    pub bookmarked: Option<SnapshotName>,
    /// Whether both sides are encrypted.
    pub encrypted: bool,
    /// What came of comparing what it holds.
    pub content: Content,
}

impl Compared {
    /// Whether all that was looked at is as it should be. What was to be compared and could not be isn't.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.agreement.is_fine() && matches!(self.content, Content::NotCompared | Content::Same(_))
    }
}

/// Whether rows show a copy that is as it should be: no dataset is wrong, and at least one is the same. `contents`: what they hold was to
/// be compared.
#[must_use]
pub fn is_a_copy(rows: &[Compared], contents: bool) -> bool {
    let same =
        |row: &Compared| row.agreement == Agreement::Same && (!contents || matches!(row.content, Content::Same(_)));
    rows.iter().all(Compared::is_fine) && rows.iter().any(same)
}

/// Compares the datasets of a source (those that `filter` selects) with the whole tree of a target, in tree order.
#[must_use]
pub fn verify<S: BuildHasher>(
    (source, datasets): (&DatasetName, &[SourceDataset]),
    (target, there): (&DatasetName, &HashMap<DatasetName, TargetDataset, S>),
    filter: &Filter,
) -> Vec<Compared> {
    let row = |path: &RelPath, agreement| {
        let full = |top: &DatasetName| match path.as_str() {
            "" => top.to_string(),
            path => format!("{top}/{path}"),
        };
        empty(full(source), full(target), agreement)
    };
    let mut all: Vec<(RelPath, Compared)> = Vec::new();
    for dataset in datasets {
        let copy = target.join(&dataset.path).ok().and_then(|name| there.get(&name));
        all.push((dataset.path.clone(), compare(row(&dataset.path, Agreement::Missing), dataset, copy)));
    }
    let known: HashSet<&RelPath> = datasets.iter().map(|dataset| &dataset.path).collect();
    for (name, dataset) in there {
        let Some(path) = name.below(target).filter(|path| !known.contains(path) && filter.selects(path)) else {
            continue;
        };
        let row = Compared { only_there: dataset.snapshots.len(), ..row(&path, Agreement::TargetOnly) };
        all.push((path, row));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, row)| row).collect()
}

fn empty(dataset: String, target: String, agreement: Agreement) -> Compared {
    Compared {
        dataset,
        target,
        agreement,
        common: 0,
        only_here: 0,
        only_there: 0,
        clashes: Vec::new(),
        newest: None,
        bookmarked: None,
        encrypted: false,
        content: Content::NotCompared,
    }
}

fn compare(row: Compared, dataset: &SourceDataset, copy: Option<&TargetDataset>) -> Compared {
    let here = &dataset.snapshots;
    let nothing = zfs::Versions::default();
    let there = copy.map_or(&nothing, |copy| &copy.snapshots);
    let by_guid: HashMap<Guid, Version<'_>> = there.iter().map(|version| (version.guid, version)).collect();
    let by_name: HashMap<&str, Guid> = there.iter().map(|version| (version.name, version.guid)).collect();
    let common: Vec<Version<'_>> = here.iter().filter(|version| by_guid.contains_key(&version.guid)).collect();
    let clashes: Vec<SnapshotName> = here
        .iter()
        .filter(|version| !by_guid.contains_key(&version.guid) && by_name.contains_key(version.name))
        .map(|version| version.snapshot_name())
        .collect();
    let newest = common.last().and_then(|version| {
        let other = by_guid.get(&version.guid)?;
        Some(Pair { here: version.snapshot_name(), there: other.snapshot_name(), guid: version.guid })
    });
    let has_newest = here.newest().is_some_and(|version| by_guid.contains_key(&version.guid));
    let marks = dataset.bookmarks.iter().filter(|_| common.is_empty());
    let bookmarked = marks.filter_map(|mark| Some((mark.txg, by_guid.get(&mark.guid)?))).max_by_key(|(txg, _)| *txg);
    let bookmarked = bookmarked.map(|(_, there)| there.snapshot_name());
    let agreement = match () {
        () if here.is_empty() => Agreement::NoSnapshots,
        () if there.is_empty() => Agreement::Missing,
        () if clashes.is_empty() && bookmarked.is_some() => Agreement::Behind,
        () if !clashes.is_empty() || common.is_empty() => Agreement::Different,
        () if has_newest => Agreement::Same,
        () => Agreement::Behind,
    };
    Compared {
        agreement,
        common: common.len(),
        only_here: here.len() - common.len(),
        only_there: there.len() - common.len(),
        clashes,
        newest,
        bookmarked,
        encrypted: copy.is_some_and(|copy| copy.encryption.is_on()),
        ..row
    }
}

/// The parts that differ, or that only one side has, by their first objects.
#[must_use]
pub fn contents_differ(here: &[Part], there: &[Part]) -> Vec<u64> {
    let (ours, theirs): (HashMap<u64, &str>, HashMap<u64, &str>) = (by_object(here), by_object(there));
    let all: HashSet<u64> = ours.keys().chain(theirs.keys()).copied().collect();
    let mut differ: Vec<u64> = all.into_iter().filter(|object| ours.get(object) != theirs.get(object)).collect();
    differ.sort_unstable();
    differ
}

fn by_object(parts: &[Part]) -> HashMap<u64, &str> {
    parts.iter().map(|(object, sum)| (*object, sum.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture;
    use zfs::Versions;
    use zfs::name::Txg;

    fn versions(all: &[(&str, u64)]) -> Versions {
        let mut versions = Versions::default();
        for (txg, (name, guid)) in (1..).zip(all) {
            versions.push(&name.parse().unwrap(), Guid(*guid), Txg(txg));
        }
        versions
    }

    fn there(all: &[(&str, u64)]) -> TargetDataset {
        fixture::target(versions(all))
    }

    fn compared(here: &[(&str, u64)], copy: Option<&[(&str, u64)]>) -> Compared {
        let (source, target): (DatasetName, DatasetName) = ("s".parse().unwrap(), "t".parse().unwrap());
        let datasets = [SourceDataset { snapshots: versions(here), ..SourceDataset::default() }];
        let all: HashMap<DatasetName, TargetDataset> =
            copy.map(|copy| (target.clone(), there(copy))).into_iter().collect();
        let mut rows = verify((&source, &datasets), (&target, &all), &Filter::new(None, &[], &[]).unwrap());
        assert_eq!(rows.len(), 1);
        rows.remove(0)
    }

    #[test]
    fn guids_decide() {
        use Agreement::{Behind, Different, Missing, NoSnapshots, Same};
        let abc = &[("a", 1), ("b", 2), ("c", 3)][..];
        for (here, copy, agreement, numbers) in [
            (abc, Some(abc), Same, (3, 0, 0)),
            // Pruned on either side, and snapshots of the target's own.
            (abc, Some(&[("b", 2), ("c", 3), ("own", 9)][..]), Same, (2, 1, 1)),
            // Under another name.
            (abc, Some(&[("a", 1), ("renamed", 3)][..]), Same, (2, 1, 0)),
            (abc, Some(&[("a", 1), ("b", 2)][..]), Behind, (2, 1, 0)),
            (abc, Some(&[("a", 7), ("c", 3)][..]), Different, (1, 2, 1)),
            (abc, Some(&[("x", 7)][..]), Different, (0, 3, 1)),
            (abc, Some(&[][..]), Missing, (0, 3, 0)),
            (abc, None, Missing, (0, 3, 0)),
            (&[][..], None, NoSnapshots, (0, 0, 0)),
        ] {
            let row = compared(here, copy);
            assert_eq!(row.agreement, agreement, "{copy:?}");
            assert_eq!((row.common, row.only_here, row.only_there), numbers, "{copy:?}");
        }
        let row = compared(abc, Some(&[("a", 1), ("renamed", 3)][..]));
        assert_eq!(
            row.newest.map(|pair| (pair.here.to_string(), pair.there.to_string())),
            Some(("c".into(), "renamed".into()))
        );
        assert_eq!(compared(abc, Some(&[("a", 7), ("c", 3)][..])).clashes[0].as_str(), "a");
    }

    #[test]
    fn a_base_that_is_only_a_bookmark_is_behind() {
        let (source, target): (DatasetName, DatasetName) = ("s".parse().unwrap(), "t".parse().unwrap());
        let bookmarks = versions(&[("x", 7), ("m", 1), ("n", 2)]);
        let datasets = [SourceDataset { snapshots: versions(&[("c", 3)]), bookmarks, ..SourceDataset::default() }];
        let verdict = |copy: &[(&str, u64)]| {
            let all: HashMap<DatasetName, TargetDataset> = [(target.clone(), there(copy))].into_iter().collect();
            let row = verify((&source, &datasets), (&target, &all), &Filter::new(None, &[], &[]).unwrap()).remove(0);
            (row.agreement, row.bookmarked.map(|name| name.to_string()))
        };
        assert_eq!(verdict(&[("a", 1), ("b", 2)]), (Agreement::Behind, Some("b".into())));
        assert_eq!(verdict(&[("a", 1), ("c", 9)]).0, Agreement::Different, "another one has the name");
        assert_eq!(verdict(&[("a", 8)]), (Agreement::Different, None));
        assert_eq!(verdict(&[("a", 1), ("c", 3)]), (Agreement::Same, None));
    }

    #[test]
    fn what_only_the_target_has_is_told() {
        let (source, target): (DatasetName, DatasetName) = ("s".parse().unwrap(), "t".parse().unwrap());
        let all: HashMap<DatasetName, TargetDataset> =
            [("t/x".parse().unwrap(), there(&[("a", 1)]))].into_iter().collect();
        let rows = verify((&source, &[]), (&target, &all), &Filter::new(None, &[], &[]).unwrap());
        assert_eq!((rows[0].dataset.as_str(), rows[0].agreement), ("s/x", Agreement::TargetOnly));
        assert!(rows[0].is_fine());
        let rows = verify((&source, &[]), (&target, &all), &Filter::new(None, &[], &["x".into()]).unwrap());
        assert_eq!(rows, []);
    }

    #[test]
    fn what_could_not_be_compared_is_not_fine() {
        let mut row = compared(&[("a", 1)], Some(&[("a", 1)]));
        for (content, fine) in [
            (Content::NotCompared, true),
            (Content::Same(1), true),
            (Content::Different(vec![]), false),
            (Content::Unreadable("no key".into()), false),
        ] {
            row.content = content;
            assert_eq!(row.is_fine(), fine);
        }
    }

    #[test]
    fn parts_that_one_side_lacks_differ() {
        let part = |object, sum: &str| (object, sum.to_owned());
        let here = [part(0, "a"), part(1024, "b"), part(2048, "c")];
        assert!(contents_differ(&here, &here).is_empty());
        assert_eq!(contents_differ(&here, &[part(0, "a"), part(1024, "x"), part(4096, "c")]), [1024, 2048, 4096]);
    }
}

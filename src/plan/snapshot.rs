//! What a run of `zfsync snapshot` takes: which datasets, under which name, with which command in each pool.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use thiserror::Error;

use super::SourceDataset;
use super::{Class, Filter, FilterError, Format, FormatError, Naming, Stamp};
use zfs::SnapshotState;
use zfs::Versions;
use zfs::name::{DatasetName, MAX_NAME, SnapshotName};

/// So many bytes of names go into the one command of a pool; FreeBSD's limit is 512 KiB for all arguments and the
/// environment, Linux's is higher.
pub const MAX_ARGV: usize = 400 * 1024;

/// Why no snapshot can be taken of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// A glob begins with the name of a dataset that is named.
    #[error(transparent)]
    Glob(#[from] FilterError),
    /// The format gives no name now.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A full name is longer than ZFS allows.
    #[error("{full:?} has {} bytes; ZFS allows {MAX_NAME}: give a shorter --format", full.len())]
    Name {
        /// `dataset@snapshot`.
        full: String,
    },
    /// The snapshots of a pool have to be named one by one, and don't fit into one command.
    #[error(
        "the names of {datasets} snapshots in pool {pool} have {bytes} bytes, and one command takes {MAX_ARGV}; two commands would not be \
         one point in time. Take snapshots of whole trees (without --include, --exclude, --depth and --if-changed), or of smaller trees in \
         separate runs"
    )]
    TooMany {
        /// The pool.
        pool: String,
        /// So many snapshots.
        datasets: usize,
        /// So long are their names.
        bytes: usize,
    },
}

/// What lies in one DATASET of the command line: the dataset itself and those below it, their paths relative to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The dataset.
    pub top: DatasetName,
    /// It, and what was listed below it.
    pub datasets: Vec<SourceDataset>,
}

/// All snapshots of one pool, taken by one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSnapshots {
    /// The pool.
    pub pool: String,
    /// The datasets that the command names.
    pub named: Vec<DatasetName>,
    /// Whether it takes all below them, too.
    pub recursive: bool,
    /// Every dataset that gets a snapshot, as far as known.
    pub datasets: Vec<DatasetName>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// The name of all snapshots, without its `@`.
    pub name: SnapshotName,
    /// Pool by pool, in the order of the command line.
    pub pools: Vec<PoolSnapshots>,
    /// Left out, as nothing was written since their newest snapshots.
    pub unchanged: Vec<DatasetName>,
    /// Left out, as they can't have one: see [`SnapshotState::incomplete`].
    pub incomplete: Vec<DatasetName>,
    /// Whether there was no own snapshot before.
    pub is_first: bool,
    /// What `zfs` said where it could not list all.
    pub unread: Vec<String>,
    /// Globs that match nothing.
    pub idle: Vec<String>,
}

/// The datasets that a command line selects, each of them once.
#[derive(Debug)]
pub struct Selection<'a> {
    trees: &'a [Tree],
    filter: &'a Filter,
    /// Whether what has not changed is left out.
    if_changed: bool,
    /// In the order in which a tree is read.
    datasets: BTreeMap<Place, (DatasetName, &'a Versions)>,
}

/// Where a dataset stands in the order: by components, so that "a b" doesn't come between "a" and "a/c".
type Place = Vec<String>;

impl<'a> Selection<'a> {
    /// Applies the filter to each tree; trees may lie within one another.
    #[must_use]
    pub fn new(trees: &'a [Tree], filter: &'a Filter, if_changed: bool) -> Self {
        let mut datasets = BTreeMap::new();
        for tree in trees {
            for dataset in tree.datasets.iter().filter(|dataset| filter.selects(&dataset.path)) {
                // What was listed has a name that ZFS allows.
                let Ok(name) = tree.top.join(&dataset.path) else { continue };
                datasets.insert(place(&name), (name, &dataset.snapshots));
            }
        }
        Self { trees, filter, if_changed, datasets }
    }

    /// What is to be said of globs that match nothing; an error where one can't mean what it says.
    pub fn idle(&self) -> Result<Vec<String>, FilterError> {
        let paths = |tree: &'a Tree| tree.datasets.iter().map(|dataset| &dataset.path).collect();
        let trees: Vec<_> = self.trees.iter().map(|tree| (&tree.top, paths(tree))).collect();
        self.filter.check(&trees)?;
        Ok(self.filter.idle(&trees).iter().map(ToString::to_string).collect())
    }

    /// The datasets of which the [`SnapshotState`] must be known: those without snapshots may be incomplete, those with some may be
    /// unchanged.
    #[must_use]
    pub fn questions(&self) -> Vec<DatasetName> {
        let asked = self.datasets.values().filter(|(_, snapshots)| self.if_changed || snapshots.is_empty());
        asked.map(|(dataset, _)| dataset.clone()).collect()
    }

    /// Decides. A dataset whose state isn't known gets its snapshot. The one `before` is [`Self::newest_own`].
    pub fn plan(
        &self,
        states: &HashMap<DatasetName, SnapshotState>,
        naming: &Naming,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<SnapshotPlan, SnapshotError> {
        let taken = |name: &str| self.datasets.values().any(|(_, all)| all.iter().any(|version| version.name == name));
        let now = now.to_zoned(naming.zone.clone());
        let name = naming.format.name(now.datetime(), Class::after(before, &now), taken)?;
        let (mut wanted, mut unchanged, mut incomplete) = (Vec::new(), Vec::new(), Vec::new());
        for (dataset, snapshots) in self.datasets.values() {
            let state = states.get(dataset);
            let place = if snapshots.is_empty() && state.is_some_and(|state| state.incomplete) {
                &mut incomplete
            } else if self.if_changed && !snapshots.is_empty() && state.is_some_and(|state| state.written == Some(0)) {
                &mut unchanged
            } else {
                &mut wanted
            };
            place.push(dataset.clone());
        }
        if let Some(dataset) = wanted.iter().find(|dataset| dataset.at(name.as_str()).len() > MAX_NAME) {
            return Err(SnapshotError::Name { full: dataset.at(name.as_str()) });
        }
        let pools = self.pools(&wanted, &unchanged);
        pools.iter().try_for_each(|pool| pool.check(&name))?;
        Ok(SnapshotPlan {
            name,
            pools,
            unchanged,
            incomplete,
            is_first: before.is_none(),
            unread: Vec::new(),
            idle: Vec::new(),
        })
    }

    /// The newest own snapshot of the first DATASET: its full name, and what that tells. Where that dataset may be left out
    /// again and again, those below it count as well: otherwise every snapshot would be the first of its day.
    #[must_use]
    pub fn newest_own(&self, format: &Format) -> Option<(String, Stamp)> {
        let first = self.trees.first()?;
        let tree = self.if_changed || !self.datasets.contains_key(&place(&first.top));
        let newest = |dataset: &SourceDataset| {
            let mut own = dataset.snapshots.iter().rev().filter_map(|one| Some((one, format.parse(one.name)?)));
            let (version, stamp) = own.next()?;
            Some((version.txg, (first.top.join(&dataset.path).ok()?.at(version.name), stamp)))
        };
        let counts = |dataset: &&SourceDataset| dataset.path.depth() == 0 || tree && self.filter.selects(&dataset.path);
        let all = first.datasets.iter().filter(counts).filter_map(newest);
        all.max_by_key(|(txg, _)| *txg).map(|(_, own)| own)
    }

    /// Divides the wanted datasets by pool, in the order of the command line. What is incomplete does not speak against
    /// taking all: `zfs snapshot -r` passes it over.
    fn pools(&self, wanted: &[DatasetName], unchanged: &[DatasetName]) -> Vec<PoolSnapshots> {
        let mut pools: Vec<PoolSnapshots> = Vec::new();
        for Tree { top, .. } in self.trees {
            let pool = top.pool();
            if pools.iter().any(|done| done.pool == pool) {
                continue;
            }
            let datasets: Vec<DatasetName> = wanted.iter().filter(|one| one.pool() == pool).cloned().collect();
            let recursive = self.filter.is_everything() && !unchanged.iter().any(|one| one.pool() == pool);
            let named = if recursive { self.tops(pool) } else { datasets.clone() };
            pools.push(PoolSnapshots { pool: pool.to_owned(), named, recursive, datasets });
        }
        pools.retain(|pool| !pool.datasets.is_empty());
        pools
    }

    /// The DATASETs of a pool that aren't within another one.
    fn tops(&self, pool: &str) -> Vec<DatasetName> {
        let tops: Vec<&DatasetName> =
            self.trees.iter().map(|tree| &tree.top).filter(|top| top.pool() == pool).collect();
        let mut outermost: Vec<DatasetName> = Vec::new();
        for top in &tops {
            let within = tops.iter().any(|other| other != top && top.is_within(other));
            if !within && !outermost.contains(top) {
                outermost.push((*top).clone());
            }
        }
        outermost
    }
}

impl PoolSnapshots {
    fn check(&self, name: &SnapshotName) -> Result<(), SnapshotError> {
        // Each with its '@' and its final NUL.
        let bytes = self.named.iter().map(|dataset| dataset.as_str().len() + name.as_str().len() + 2).sum();
        if bytes > MAX_ARGV {
            return Err(SnapshotError::TooMany { pool: self.pool.clone(), datasets: self.named.len(), bytes });
        }
        Ok(())
    }
}

fn place(name: &DatasetName) -> Place {
    name.as_str().split('/').map(ToOwned::to_owned).collect()
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;

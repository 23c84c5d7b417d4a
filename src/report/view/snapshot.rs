//! What came of taking snapshots: their names, and what there is to say beside them.

use std::time::Duration;

use crate::format::{count, duration};
use zfs::name::{DatasetName, SnapshotName};

/// What came of it.
#[derive(Debug)]
pub struct Taken {
    /// The name of all snapshots, without its `@`.
    pub name: SnapshotName,
    /// The datasets that have got one.
    pub datasets: Vec<DatasetName>,
    /// Left out, as nothing was written since their newest snapshots.
    pub unchanged: Vec<DatasetName>,
    /// Left out, as they can't have one: gone meanwhile, or only a part of what is being received.
    pub missed: Vec<DatasetName>,
    /// Whether there was no own snapshot before.
    pub is_first: bool,
    /// Globs that match nothing.
    pub idle: Vec<String>,
    /// One text for each pool in which none was taken: what was attempted, what zfs said, what to do. Or that nothing is selected.
    pub failures: Vec<String>,
}

impl Taken {
    /// The lines for stdout: each snapshot, or the name for each of `tops` in which one was taken.
    #[must_use]
    pub fn names(&self, tops: &[DatasetName], verbose: bool) -> Vec<String> {
        let name = self.name.as_str();
        if verbose {
            return self.datasets.iter().map(|dataset| dataset.at(name)).collect();
        }
        let has = |top: &&DatasetName| self.datasets.iter().any(|dataset| dataset.is_within(top));
        tops.iter().filter(has).map(|top| top.at(name)).collect()
    }

    /// The lines for stderr. `took`: how long it took; `None` for a dry run.
    #[must_use]
    pub fn words(&self, verbose: bool, took: Option<Duration>) -> Vec<String> {
        let Self { name, datasets, unchanged, missed, failures, .. } = self;
        let mut lines = self.idle.clone();
        if verbose {
            lines.extend(
                unchanged.iter().map(|dataset| format!("{dataset}: nothing written since its newest snapshot")),
            );
        }
        let why = "skipped: it no longer exists, or its first receive is not complete";
        lines.extend(missed.iter().map(|dataset| format!("{dataset}: {why}")));
        let left = match unchanged.len() {
            0 => String::new(),
            n => format!("; skipped {} without changes since the newest snapshot", count(n, "dataset")),
        };
        let all = count(datasets.len(), "dataset");
        match took {
            None if !datasets.is_empty() => lines.push(format!("zfsync: would take @{name} of {all}{left}")),
            Some(took) if !datasets.is_empty() => {
                lines.push(format!("zfsync: took @{name} of {all} ({}){left}", duration(took)));
            }
            _ if !unchanged.is_empty() && failures.is_empty() => {
                let all = count(unchanged.len(), "dataset");
                lines.push(format!("zfsync: nothing to take: {all} without changes since the newest snapshot"));
            }
            _ => {}
        }
        lines
    }
}

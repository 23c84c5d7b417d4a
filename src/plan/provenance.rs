//! Which snapshots of the target zfsync has put there, by the note on each dataset.

use super::Format;
use super::TargetDataset;
use zfs::name::Txg;
use zfs::{Put, Version};

/// More strangers than a property has room for (8 KiB).
pub(super) const MAX_FOREIGN: usize = 400;

/// Tells which snapshots of a dataset zfsync has put there.
pub(super) struct Provenance<'a> {
    put: Option<&'a Put>,
    upto: Option<Txg>,
    /// The oldest that the note of a first transfer has room for: what is older came with it, too, if it has a name of ours.
    oldest: Option<Txg>,
    format: &'a Format,
}

impl<'a> Provenance<'a> {
    pub(super) fn new(target: &TargetDataset, put: Option<&'a Put>, format: &'a Format) -> Self {
        // What is older than the newest that came needn't have come: only a comparison tells.
        let upto = put.and_then(|put| {
            let there = target.snapshots.iter().find(|version| version.guid == put.upto);
            put.txg.map(|txg| there.map_or(txg, |version| version.txg))
        });
        let oldest = put.filter(|put| put.is_full()).and_then(|put| {
            let came = target.snapshots.iter().filter(|version| put.came.contains(&version.guid));
            came.map(|version| version.txg).min()
        });
        Self { put, upto, oldest, format }
    }

    /// Whether somebody has found out that it did not come from the source. That stays true wherever the source has it now: a copy that
    /// was restored there may have taken it along.
    pub(super) fn is_noted_foreign(&self, version: &Version<'_>) -> bool {
        self.put.is_some_and(|put| put.foreign.contains(&version.guid))
    }

    pub(super) fn put(&self, version: &Version<'_>) -> bool {
        if self.is_noted_foreign(version) {
            return false;
        }
        let received = self.put.is_some_and(|put| {
            let before = self.upto.is_some_and(|upto| version.txg <= upto);
            before || version.guid == put.upto || put.came.contains(&version.guid)
        });
        // A name alone proves nothing: whoever has the target may take snapshots there with `zfsync snapshot`.
        let is_older = self.oldest.is_some_and(|oldest| version.txg < oldest);
        received || is_older && self.format.parse(version.name).is_some()
    }
}

#[cfg(test)]
#[path = "provenance_tests.rs"]
mod tests;

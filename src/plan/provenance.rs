//! Which snapshots of the target zfsync has put there, by the note on each dataset and by their names.

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
    format: &'a Format,
}

impl<'a> Provenance<'a> {
    pub(super) fn new(target: &TargetDataset, put: Option<&'a Put>, format: &'a Format) -> Self {
        // What is older than the newest that came needn't have come: only a comparison tells.
        let upto = put.and_then(|put| {
            let there = target.snapshots.iter().find(|version| version.guid == put.upto);
            put.txg.map(|txg| there.map_or(txg, |version| version.txg))
        });
        Self { put, upto, format }
    }

    pub(super) fn put(&self, version: &Version<'_>) -> bool {
        let received = self.put.is_some_and(|put| {
            let before = self.upto.is_some_and(|upto| version.txg <= upto) && !put.foreign.contains(&version.guid);
            before || version.guid == put.upto || put.came.contains(&version.guid)
        });
        // A name alone proves nothing: a target that was a source before has such snapshots of its own.
        let may_be_ours = self.put.is_some_and(|put| !put.foreign.contains(&version.guid));
        received || may_be_ours && self.format.parse(version.name).is_some()
    }
}

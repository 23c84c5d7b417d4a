//! What a resolution takes away, by name: for the record of destructions.

use super::Negotiation;
use super::item::OnTarget;
use zfs::Resolution;
use zfs::name::{Guid, SnapshotName};

impl Negotiation {
    /// The snapshots that this resolution destroys of the dataset at this place in the plan, as far as the target was listed.
    #[must_use]
    pub fn losses(&self, place: usize, resolution: &Resolution) -> Vec<(SnapshotName, Guid)> {
        let (Resolution::Rollback { loses, .. } | Resolution::Replace { loses, .. }) = resolution else {
            return Vec::new();
        };
        let Some(OnTarget::Listed(target)) = self.items.get(place).map(|item| &item.on_target) else {
            return Vec::new();
        };
        let lost = target.snapshots.iter().filter(|version| loses.contains(&version.guid));
        lost.map(|version| (version.snapshot_name(), version.guid)).collect()
    }
}

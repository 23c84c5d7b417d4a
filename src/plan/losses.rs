//! What a resolution takes away, by name: for the record of destructions.

use super::Negotiation;
use super::item::OnTarget;
use zfs::Cure;
use zfs::name::{Guid, SnapshotName};

impl Negotiation {
    /// The snapshots that this resolution destroys of the dataset at this place in the plan, as far as the target was listed.
    #[must_use]
    pub fn losses(&self, place: usize, resolution: &Cure) -> Vec<(SnapshotName, Guid)> {
        let (Cure::Rollback { loses, .. } | Cure::Replace { loses, .. }) = resolution else { return Vec::new() };
        let Some(OnTarget::Listed(target)) = self.items.get(place).map(|item| &item.on_target) else {
            return Vec::new();
        };
        let lost = target.snapshots.iter().filter(|version| loses.contains(&version.guid));
        lost.map(|version| (version.snapshot_name(), version.guid)).collect()
    }
}

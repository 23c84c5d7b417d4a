//! What a resolution takes away, by name: for the record of destructions.

use super::Negotiation;
use super::item::Known;
use zfs::Cure;
use zfs::name::{Guid, SnapshotName};

impl Negotiation {
    /// The snapshots that this resolution destroys of the dataset at this place in the plan, as far as the target was listed.
    #[must_use]
    pub fn losses(&self, place: usize, resolution: &Cure) -> Vec<(SnapshotName, Guid)> {
        let (Cure::Rollback { loses, .. } | Cure::Replace { loses, .. }) = resolution else { return Vec::new() };
        let Some(Known::Listed(target)) = self.items.get(place).map(|item| &item.known) else { return Vec::new() };
        let lost = target.snapshots.iter().filter(|version| loses.contains(&version.guid));
        lost.map(|version| (version.snapshot_name(), version.guid)).collect()
    }
}

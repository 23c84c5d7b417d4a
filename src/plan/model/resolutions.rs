//! What resolutions do to the model's target, as the helper and ZFS do it.

use super::{Dataset, ModelHost, Snap};
use crate::plan::PlannedDataset;
use zfs::name::DatasetName;
use zfs::{Refusal, Resolution, Restore};

impl ModelHost {
    /// Carries a resolution out.
    pub fn resolve(&mut self, resolution: &Resolution) -> Result<(), Refusal> {
        match resolution {
            Resolution::Rollback { dataset, to, to_guid, loses } => {
                let found = self.datasets.get_mut(dataset).ok_or(Refusal::Missing)?;
                let is_it = |snap: &Snap| snap.name == to.as_str() && snap.guid == to_guid.0;
                let at = found.snapshots.iter().position(is_it).ok_or(Refusal::Changed)?;
                let gone = found.snapshots.split_off(at + 1);
                assert!(gone.iter().all(|snap| loses.iter().any(|guid| guid.0 == snap.guid)));
                (found.data, found.partial) = (found.snapshots[at].data, false);
                Ok(())
            }
            Resolution::SetAside { dataset, aside, restore, .. } => {
                assert!(!self.datasets.contains_key(aside) && dataset.parent() == aside.parent());
                let moved: Vec<DatasetName> =
                    self.datasets.keys().filter(|name| name.is_within(dataset)).cloned().collect();
                for name in moved {
                    let gone = self.datasets.remove(&name).unwrap();
                    self.datasets.insert(aside.join(&name.below(dataset).unwrap()).unwrap(), gone);
                }
                for one in restore {
                    self.bring_back(dataset, aside, one);
                }
                Ok(())
            }
            Resolution::Replace { dataset, loses, whole } => {
                let below = self.datasets.keys().filter(|name| name.is_within(dataset)).count();
                if *whole && below > 1 {
                    return Err(Refusal::Exists);
                }
                let found = self.datasets.get_mut(dataset).ok_or(Refusal::Missing)?;
                assert!(found.snapshots.drain(..).all(|snap| loses.iter().any(|guid| guid.0 == snap.guid)));
                found.partial = false;
                if below == 1 {
                    self.datasets.remove(dataset);
                }
                Ok(())
            }
        }
    }

    /// A clone, promoted: it has the snapshots up to its origin, and the other one the newer ones.
    fn bring_back(&mut self, dataset: &DatasetName, aside: &DatasetName, restore: &Restore) {
        assert!(
            self.datasets.contains_key(&restore.dataset.parent().unwrap()),
            "a clone needs its parent: {restore:?}"
        );
        let from = aside.join(&restore.dataset.below(dataset).unwrap()).unwrap();
        let old = self.datasets.get_mut(&from).unwrap();
        let is_it = |snap: &Snap| snap.name == restore.snapshot.as_str() && snap.guid == restore.guid.0;
        let at = old.snapshots.iter().position(is_it).expect("the plan knows what is there");
        let newer = old.snapshots.split_off(at + 1);
        let snapshots = std::mem::replace(&mut old.snapshots, newer);
        let data = snapshots[at].data;
        let new = Dataset { snapshots, data, partial: false, bookmarks: Vec::new(), ..old.clone() };
        self.datasets.insert(restore.dataset.clone(), new);
    }

    /// `zfs recv -F` of a full stream into what `--replace` has left.
    pub(super) fn overwrite(&mut self, planned: &PlannedDataset, snap: &Snap) -> Result<(), Refusal> {
        let found = self.datasets.get_mut(&planned.target).ok_or(Refusal::Missing)?;
        if !found.snapshots.is_empty() || found.partial {
            return Err(Refusal::Changed);
        }
        found.data = 0;
        self.arrive(&planned.target, snap);
        Ok(())
    }
}

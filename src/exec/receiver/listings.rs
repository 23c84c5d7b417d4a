//! What a target's listings tell, put together from the frames in which they come.

use std::collections::HashMap;

use super::Listed;
use crate::plan::TargetDataset;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{TargetFacts, Versions};

/// Gathers the parts of listings.
#[derive(Debug, Default)]
pub struct Listings(HashMap<DatasetName, (TargetFacts, Versions)>);

impl Listings {
    /// Takes a part.
    pub fn add(&mut self, dataset: DatasetName, facts: TargetFacts, snapshots: Vec<(SnapshotName, Guid, Txg)>) {
        let (_, versions) = self.0.entry(dataset).or_insert_with(|| (facts, Versions::default()));
        for (name, guid, txg) in snapshots {
            versions.push(&name, guid, txg);
        }
    }

    /// All that was listed, each with the token of its cut receive.
    #[must_use]
    pub fn finish(self) -> Listed {
        let dataset = |(facts, mut snapshots): (TargetFacts, Versions)| {
            snapshots.sort();
            let TargetFacts { kind, partial, token, unborn, empty, unsure, written, encryption } = facts;
            let resume = None;
            (TargetDataset { kind, partial, resume, unborn, empty, unsure, written, encryption, snapshots }, token)
        };
        self.0.into_iter().map(|(name, listed)| (name, dataset(listed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::Version;

    #[test]
    fn listings_come_in_parts_and_get_sorted() {
        let facts = TargetFacts {
            kind: zfs::Kind::Filesystem,
            partial: false,
            token: None,
            unborn: false,
            empty: false,
            unsure: None,
            written: None,
            encryption: zfs::Encryption::Off,
        };
        let mut listings = Listings::default();
        let snapshot = |name: &str, txg| (name.parse().unwrap(), Guid(txg), Txg(txg));
        listings.add("p/a".parse().unwrap(), facts.clone(), vec![snapshot("b", 2)]);
        listings.add("p/a".parse().unwrap(), facts, vec![snapshot("a", 1)]);
        let all = listings.finish();
        let names: Vec<String> =
            all[&"p/a".parse().unwrap()].0.snapshots.iter().map(|v: Version<'_>| v.name.to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}

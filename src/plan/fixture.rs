//! What tests of the plan are made of.

use super::TargetDataset;
use zfs::name::{Guid, Txg};
use zfs::{Encryption, Kind, Versions};

/// Versions with their GUIDs and createtxgs.
pub fn placed(all: &[(&str, u64, u64)]) -> Versions {
    let mut versions = Versions::default();
    for (name, guid, txg) in all {
        versions.push(&name.parse().unwrap(), Guid(*guid), Txg(*txg));
    }
    versions.sort();
    versions
}

/// Versions with a number each that is both.
pub fn numbered(all: &[(&str, u64)]) -> Versions {
    placed(&all.iter().map(|(name, number)| (*name, *number, *number)).collect::<Vec<_>>())
}

/// Versions in their order; the same name is the same snapshot.
pub fn named(names: &[&str]) -> Versions {
    let guid = |name: &str| name.bytes().fold(7_u64, |sum, byte| sum * 131 + u64::from(byte));
    placed(&(1..).zip(names).map(|(txg, name)| (*name, guid(name), txg)).collect::<Vec<_>>())
}

/// A filesystem on the target that has these snapshots, and is neither encrypted nor received in part.
pub fn target(snapshots: Versions) -> TargetDataset {
    TargetDataset {
        kind: Kind::Filesystem,
        partial: false,
        resume: None,
        unborn: false,
        empty: false,
        unsure: None,
        written: None,
        encryption: Encryption::Off,
        snapshots,
    }
}

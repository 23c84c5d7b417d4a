//! What a host tells whoever wants to know whether a replication would work, before the first one.

use serde::{Deserialize, Serialize};

use crate::name::DatasetName;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Examine {
    /// Nothing: the answer is an empty one, and the time that it takes is the round trip's.
    Nothing,
    /// OpenZFS and the pools.
    Host,
    /// The same, and a dataset: one that exists, or one that is to be received.
    Dataset(DatasetName),
}

/// What there is. What can't be found out is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examination {
    /// The version of the `zfs` command.
    #[serde(default)]
    pub userland: Option<String>,
    /// The version of the kernel module.
    #[serde(default)]
    pub module: Option<String>,
    /// The imported pools, as far as they may be told of; `None` where they can't be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<PoolState>>,
    /// The dataset that was asked for.
    #[serde(default)]
    pub place: Option<Place>,
}

/// How a pool is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Its health, in the words of `zpool list`.
    pub health: String,
    /// Whether it was imported read-only.
    pub readonly: bool,
}

/// Where a dataset is, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The dataset itself, or the nearest one above that exists; `None` where not even the pool does, or with [`Place::unread`].
    #[serde(default)]
    pub nearest: Option<DatasetName>,
    /// Why the dataset can't be read, in the words of `zfs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Features of the pool that a stream can need.
    #[serde(default)]
    pub features: Vec<Feature>,
    /// How much can be stored there.
    #[serde(default)]
    pub available: Option<u64>,
    /// How much the dataset takes, with its snapshots and all below it.
    #[serde(default)]
    pub used: Option<u64>,
    /// How [`Place::nearest`] is encrypted.
    #[serde(default)]
    pub encryption: Option<EncryptionState>,
    /// How [`Place::nearest`] is mounted.
    #[serde(default)]
    pub mount: Option<MountState>,
    /// Who has claimed the tree, or a part of it.
    #[serde(default)]
    pub locked: Option<String>,
    /// What the user of the helper may do.
    #[serde(default)]
    pub rights: Rights,
}

/// A feature of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// Its name, without `feature@`.
    pub name: String,
    /// In which state it is.
    pub state: FeatureState,
}

/// The state of a feature (zpool-features(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureState {
    /// In use.
    Active,
    /// Can be used.
    Enabled,
    /// Can't be used.
    Disabled,
    /// The host's OpenZFS has no such feature.
    Unknown,
}

/// How a dataset is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptionState {
    /// The dataset whose key it is stored with; `None` where it isn't encrypted, or that one may not be told of.
    #[serde(default)]
    pub root: Option<DatasetName>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether the key is loaded.
    pub key_loaded: bool,
}

/// How a dataset is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountState {
    /// Where.
    pub mountpoint: String,
    /// Whether it is mounted now.
    pub mounted: bool,
    /// The property `canmount`; helpers of older versions don't tell.
    #[serde(default)]
    pub canmount: Option<String>,
    /// Whether the property `readonly` is on; helpers of older versions don't tell.
    #[serde(default)]
    pub readonly: Option<bool>,
}

/// What a user may do with a dataset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rights {
    /// It can't be told.
    #[default]
    Unknown,
    /// Everything: the user is root.
    All,
    /// Nothing, as the pool's property `delegation` is off.
    DelegationOff,
    /// What `zfs allow` grants on the dataset, and on those below it.
    Granted(Granted),
}

/// What `zfs allow` grants a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// On the dataset.
    pub here: Vec<String>,
    /// On those below it, whoever creates them, and on those that the user creates.
    pub below: Vec<String>,
}

impl Rights {
    /// Those of the permissions `needed` (separated by commas) that the user lacks; `None` where nobody can tell.
    #[must_use]
    pub fn lacking<'a>(&self, needed: &'a str) -> Option<Vec<&'a str>> {
        let all = needed.split(',');
        match self {
            Self::Unknown => None,
            Self::All => Some(Vec::new()),
            Self::DelegationOff => Some(all.collect()),
            Self::Granted(Granted { here, below }) => {
                let has = |needed: &str| [here, below].iter().all(|granted| granted.iter().any(|one| one == needed));
                Some(all.filter(|needed| !has(needed)).collect())
            }
        }
    }
}

impl Examination {
    /// The pool of this name.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&PoolState> {
        self.pools.iter().flatten().find(|pool| pool.name == name)
    }
}

impl Place {
    /// The state of a feature, where it was told.
    #[must_use]
    pub fn feature(&self, name: &str) -> Option<FeatureState> {
        self.features.iter().find(|feature| feature.name == name).map(|feature| feature.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_lacks() {
        let granted = |here: &[&str], below: &[&str]| {
            let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
            Rights::Granted(Granted { here: owned(here), below: owned(below) })
        };
        let needed = "receive,create,mount";
        assert_eq!(Rights::Unknown.lacking(needed), None);
        assert_eq!(Rights::All.lacking(needed), Some(vec![]));
        assert_eq!(Rights::DelegationOff.lacking(needed).unwrap().len(), 3);
        let all = ["create", "mount", "receive"];
        assert_eq!(granted(&all, &all).lacking(needed), Some(vec![]));
        assert_eq!(granted(&all, &["create"]).lacking(needed), Some(vec!["receive", "mount"]));
        assert_eq!(granted(&["mount"], &all).lacking(needed), Some(vec!["receive", "create"]));
    }
}

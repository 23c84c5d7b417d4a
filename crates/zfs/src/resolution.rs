//! What gets a conflict out of the way on the target.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, Guid, SnapshotName};

/// What gets a conflict out of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Resolution {
    /// `zfs rollback -r`: destroys the newer snapshots, and what was written since.
    Rollback {
        /// Which dataset.
        dataset: DatasetName,
        /// Back to this snapshot of it.
        to: SnapshotName,
        /// Its identity, checked before.
        to_guid: Guid,
        /// The snapshots that go; if there are others by then, nothing is done.
        loses: Vec<Guid>,
    },
    /// Renames it, and with it all below; what has a common snapshot comes back as a promoted clone of that.
    SetAside {
        /// Which dataset.
        dataset: DatasetName,
        /// Its new name.
        aside: DatasetName,
        /// The dataset and those below it that come back, the highest first.
        restore: Vec<Restore>,
        /// Whether the dataset is the top of the tree on the target: gets `readonly=on`.
        top: bool,
    },
    /// Destroys the snapshots of a dataset; the dataset too when nothing lies below it.
    Replace {
        /// Which dataset.
        dataset: DatasetName,
        /// The snapshots that go; if there are others by then, nothing is done.
        loses: Vec<Guid>,
        /// Only where nothing lies below: what comes can't be received into what would be left (`zfs receive -F` neither takes
        /// nor gives encrypted datasets).
        #[serde(default)]
        whole: bool,
    },
}

impl Resolution {
    /// The dataset in conflict.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        match self {
            Self::Rollback { dataset, .. } | Self::SetAside { dataset, .. } | Self::Replace { dataset, .. } => dataset,
        }
    }

    /// Whether what lies below the dataset moves or goes with it.
    #[must_use]
    pub fn moves_below(&self) -> bool {
        !matches!(self, Self::Rollback { .. })
    }
}

/// A dataset that comes back after [`Resolution::SetAside`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restore {
    /// Its name before and after.
    pub dataset: DatasetName,
    /// It comes back as of this snapshot of it.
    pub snapshot: SnapshotName,
    /// The snapshot's identity, checked before.
    pub guid: Guid,
}

//! What the plan knows of one dataset on either side: what was listed there, and what has come to light since.

use std::collections::HashSet;

use zfs::name::{Guid, RelPath, ResumeToken};
use zfs::{Encryption, Inventory, Kind, Versions};

/// One dataset of the source.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceDataset {
    /// Its path below SOURCE.
    pub path: RelPath,
    /// Its snapshots.
    pub snapshots: Versions,
    /// Its bookmarks: each can be the base of an increment after its snapshot is gone.
    pub bookmarks: Versions,
    /// Bookmarks of it that no longer belong to its history: nothing can start from them.
    pub false_bookmarks: Versions,
    /// Those of its snapshots that change nothing and can be left out; only known where it was asked for.
    pub empty: HashSet<Guid>,
}

impl From<Inventory> for SourceDataset {
    fn from(listed: Inventory) -> Self {
        let Inventory { path, snapshots, bookmarks } = listed;
        Self { path, snapshots, bookmarks, ..Self::default() }
    }
}

/// A cut receive that the source can go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumePoint {
    /// For `zfs send -t`.
    pub token: ResumeToken,
    /// The snapshot that its stream brings.
    pub to: Guid,
}

/// A target dataset listed in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetDataset {
    /// Filesystem or volume.
    pub kind: Kind,
    /// Whether it has partially received state and can be resumed.
    pub partial: bool,
    /// How this source can go on with it; `None` when it can't, or when that isn't known yet.
    pub resume: Option<ResumePoint>,
    /// Whether it is but the rest of its own first receive.
    pub unborn: bool,
    /// Whether the helper found it to be a filesystem that never held data (no snapshot, no file).
    pub empty: bool,
    /// The words of ZFS where it can't tell that.
    pub unsure: Option<String>,
    /// How many bytes were written to it since its newest snapshot, as far as that was told.
    pub written: Option<u64>,
    /// How it is encrypted.
    pub encryption: Encryption,
    /// Its snapshots.
    pub snapshots: Versions,
}

impl TargetDataset {
    /// A filesystem that has these snapshots, as one is that was made by a receive; neither encrypted nor received in part.
    pub(super) fn received(snapshots: Versions) -> Self {
        Self {
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
}

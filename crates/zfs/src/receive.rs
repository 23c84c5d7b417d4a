//! What one receive, and one rename, on a host is to do.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, Guid, SnapshotName};
use crate::{Kind, Put, Volmode};

/// What a stream brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brings {
    /// One snapshot, which gets this name.
    Snapshot(SnapshotName),
    /// Several snapshots of one dataset, each on top of the one before it: what `zfs send -I` makes.
    Snapshots,
}

/// One receive. The helper takes no stream that isn't what this says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the message")]
pub struct Receive {
    /// The dataset that receives.
    pub dataset: DatasetName,
    /// Filesystems to create first where they don't exist yet, the highest first: unmounted, `canmount=off`.
    #[serde(default)]
    pub ancestors: Vec<DatasetName>,
    /// That one of them which is the top of a new tree: gets `readonly=on`.
    #[serde(default)]
    pub top_ancestor: Option<DatasetName>,
    /// What the dataset is; decides which properties can be set.
    pub kind: Kind,
    /// What comes.
    pub brings: Brings,
    /// Whether it comes into being with this receive, and so gets the properties that keep it unmounted.
    #[serde(default)]
    pub create: bool,
    /// Whether it is the top of a new tree: gets `readonly=on`.
    #[serde(default)]
    pub top: bool,
    /// It exists and is believed to be empty: the helper checks that again and only then replaces it (`recv -F`).
    #[serde(default)]
    pub into_empty: bool,
    /// Its content is to be replaced (`recv -F`), as the user has said by `--replace`; it has no snapshots any more.
    #[serde(default)]
    pub overwrite: bool,
    /// What a new volume's device nodes are.
    #[serde(default)]
    pub volmode: Volmode,
    /// It comes into being unencrypted, below whatever dataset (`recv -o encryption=off`). Refused unless the helper's command line
    /// allows it.
    #[serde(default)]
    pub unencrypted: bool,
    /// A new filesystem may be mounted, and is writable. Refused unless the helper's command line allows it.
    #[serde(default)]
    pub mountable: bool,
    /// Whether a cut receive leaves something to go on with (`recv -s`).
    #[serde(default = "yes")]
    pub resumable: bool,
    /// What is noted on a new dataset: which source it has come from, and what will be its newest snapshot once all has arrived.
    #[serde(default)]
    pub put: Option<Put>,
    /// What the dataset's snapshot should be called that an increment starts from: a hint where to look first, of which nothing is
    /// believed.
    #[serde(default)]
    pub base: Option<SnapshotName>,
    /// The guid of the snapshot that comes, or of the last of several: no other is taken. `None`: whatever comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_guid: Option<Guid>,
    /// The same for what the first stream starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_guid: Option<Guid>,
    /// Others on the target share its key and get no increment now: a raw one must bring the same key, or one that is wrapped as theirs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_key: bool,
}

/// One rename on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// The old name.
    pub from: DatasetName,
    /// The new one; nothing may be there.
    pub to: DatasetName,
    /// It must have this snapshot, to be the right one.
    pub snapshot: SnapshotName,
    /// The snapshot's identity.
    pub guid: Guid,
    /// Filesystems to create first, as in [`Receive::ancestors`].
    pub ancestors: Vec<DatasetName>,
    /// As [`Receive::top_ancestor`].
    #[serde(default)]
    pub top_ancestor: Option<DatasetName>,
}

fn yes() -> bool {
    true
}

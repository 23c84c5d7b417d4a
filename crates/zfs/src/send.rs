//! What one stream is that leaves a host.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, ResumeToken, SnapshotName};

/// What a `zfs send` may put into its stream to save work. ZFS drops silently what the source doesn't use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of one command line")]
pub struct SendFlags {
    /// `-L`: blocks above 128 KiB stay whole.
    pub large_blocks: bool,
    /// `-e`: blocks that live inside their pointers are sent as such.
    pub embedded: bool,
    /// `-c`: blocks are sent as they are compressed on disk.
    pub compressed: bool,
    /// `-w`: blocks are sent as they are on disk, encrypted ones still encrypted. For an unencrypted dataset the same as
    /// the three above together.
    pub raw: bool,
}

/// What an increment starts from; the name is the part behind `@` or `#`, of the dataset that is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendBase {
    /// `-i @name`: one step, without the snapshots between.
    SnapshotOne(SnapshotName),
    /// `-I @name`: with all snapshots between.
    SnapshotAll(SnapshotName),
    /// `-i #name`. There is no `-I` from a bookmark (openzfs #12415).
    Bookmark(SnapshotName),
}

/// One `zfs send`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendSpec {
    /// The dataset.
    pub dataset: DatasetName,
    /// The snapshot that the stream ends with.
    pub to: SnapshotName,
    /// Where it starts; `None` for a full stream.
    pub base: Option<SendBase>,
    /// How blocks are packed.
    pub flags: SendFlags,
}

/// What a host is to give as a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamSpec {
    /// A `zfs send`.
    Send(SendSpec),
    /// The rest of one that was cut; the token holds all of its flags.
    Resume {
        /// The dataset that it is of; the token says so too.
        dataset: DatasetName,
        /// For `zfs send -t`.
        token: ResumeToken,
    },
    /// The lines of [`crate::Zfs::list_source`].
    List {
        /// The top of the tree.
        dataset: DatasetName,
        /// So many levels below it; all without one.
        depth: Option<usize>,
    },
}

impl StreamSpec {
    /// The dataset that it is of, or the top of them.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        match self {
            Self::Send(send) => &send.dataset,
            Self::Resume { dataset, .. } | Self::List { dataset, .. } => dataset,
        }
    }
}

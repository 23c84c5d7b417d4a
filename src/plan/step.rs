//! One `zfs send | zfs recv`, and what it starts from.

use serde::Serialize;

use zfs::Version;
use zfs::name::{Guid, ResumeToken, SnapshotName};

/// What an increment starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseKind {
    /// A snapshot of the source.
    Snapshot,
    /// A bookmark of the source; `-I` can't start at one (openzfs #12415).
    Bookmark,
}

/// The common snapshot or bookmark that an increment starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Base {
    /// Snapshot or bookmark.
    pub kind: BaseKind,
    /// The source's name of it.
    pub name: SnapshotName,
    /// Its identity, the same on both sides.
    pub guid: Guid,
}

impl Base {
    pub(super) fn snapshot(version: Version<'_>) -> Self {
        Self { kind: BaseKind::Snapshot, name: version.snapshot_name(), guid: version.guid }
    }

    /// With `@` or `#` in front.
    #[must_use]
    pub fn marked(&self) -> String {
        match self.kind {
            BaseKind::Snapshot => format!("@{}", self.name),
            BaseKind::Bookmark => format!("#{}", self.name),
        }
    }
}

/// Numbers one step within a run.
pub type StepId = u64;

/// One `zfs send | zfs recv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Where the increment starts; `None` for a full stream.
    pub base: Option<Base>,
    /// Goes on with a stream that was cut, whose flags and base the token holds.
    pub resume: Option<ResumeToken>,
    /// The snapshot that is the target's newest afterwards.
    pub to: SnapshotName,
    /// Its identity.
    pub to_guid: Guid,
    /// How many snapshots arrive.
    pub snapshots: usize,
    /// Whether those between base and `to` come too (`-I`); never set when there are none, as `-i` costs less.
    pub intermediates: bool,
}

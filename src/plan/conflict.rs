//! Why a dataset can't be brought in sync without losing something, with all that a reader needs to judge it.

use std::fmt;

use serde::Serialize;

use super::{Kind, Versions};
use crate::name::{SnapshotName, Txg};

/// How many names of a list are printed before "and N more".
const SHOWN: usize = 8;

/// Which kind of conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ConflictKind {
    /// The target has snapshots of its own after the newest common one, and the stream doesn't fit on top of them.
    Diverged,
    /// The target's data has changed since its newest snapshot, which is common.
    Modified,
    /// The newest common snapshot is newer than all that the source still has: only its bookmark is left there.
    Ahead,
    /// Names that snapshots on their way to the target need are in use there, by other snapshots.
    NameTaken {
        /// These names.
        names: Vec<SnapshotName>,
    },
    /// Both sides have snapshots; none is common.
    NoCommon,
    /// The target has no snapshot, but data (or ZFS can't tell that it has none).
    DataWithoutSnapshots,
    /// A filesystem here and a volume there, or the other way round.
    TypeClash {
        /// What the source is.
        source: Kind,
        /// What the target is.
        target: Kind,
    },
    /// A receive into the target was cut, and its partial state is in the way.
    Partial,
}

/// A conflict: nothing was touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Which kind.
    #[serde(flatten)]
    pub kind: ConflictKind,
    /// The newest snapshot that both sides have, by the source's name of it; where the source has but a bookmark of it, by
    /// the target's name.
    pub common: Option<SnapshotName>,
    /// Snapshots that only the source has and that are newer than the common one, oldest first.
    pub only_here: Vec<SnapshotName>,
    /// Snapshots that only the target has and that are newer than the common one, oldest first.
    pub only_there: Vec<SnapshotName>,
}

impl Conflict {
    /// Collects the lists from both sides. `common` is the newest common version: its name, its createtxg here and there.
    pub(super) fn new(
        kind: ConflictKind,
        common: Option<(&str, Txg, Txg)>,
        source: &Versions,
        target: &Versions,
    ) -> Self {
        let newer = |versions: &Versions, than: Option<Txg>| -> Vec<SnapshotName> {
            let all = versions.iter().filter(|version| than.is_none_or(|txg| version.txg > txg));
            all.map(|version| version.snapshot_name()).collect()
        };
        Self {
            kind,
            common: common.map(|(name, ..)| SnapshotName::from_checked(name)),
            only_here: newer(source, common.map(|(_, here, _)| here)),
            only_there: newer(target, common.map(|(.., there)| there)),
        }
    }

    /// One line: what is the matter.
    #[must_use]
    pub fn headline(&self) -> String {
        let common = self.common.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
        match &self.kind {
            ConflictKind::Diverged => format!("the target has diverged after {common}: it has snapshots of its own"),
            ConflictKind::Modified => {
                format!("the target has been modified since {common}, the newest common snapshot")
            }
            ConflictKind::Ahead => {
                format!("the target is ahead: its {common} is newer than all snapshots that the source still has")
            }
            ConflictKind::NameTaken { names } => {
                let names: Vec<String> = names.iter().map(|name| format!("@{name}")).collect();
                format!("the target has other snapshots under names that the source's need: {}", names.join(" "))
            }
            ConflictKind::NoCommon => {
                "no common snapshot: the target holds something else, or all common ones are gone".into()
            }
            ConflictKind::DataWithoutSnapshots => "the target has no snapshots but holds data".into(),
            ConflictKind::TypeClash { source, target } => {
                format!("the source is a {source} and the target is a {target}")
            }
            ConflictKind::Partial => "a receive into the target was cut, and its partial state is in the way".into(),
        }
    }

    fn advice(&self) -> &'static str {
        match self.kind {
            ConflictKind::Diverged | ConflictKind::Modified => {
                "to go on: roll the target back to the common snapshot by hand (zfs rollback; loses what only it has), \
                 or rename it out of the way (zfs rename) and run again"
            }
            ConflictKind::Ahead => "nothing is lost, and the source's next snapshot will go on from its bookmark",
            ConflictKind::NameTaken { .. } => "to go on: rename them on the target host (zfs rename) and run again",
            ConflictKind::NoCommon | ConflictKind::DataWithoutSnapshots | ConflictKind::TypeClash { .. } => {
                "to go on: choose another target, or rename this one out of the way (zfs rename) and run again"
            }
            ConflictKind::Partial => {
                "to go on: drop the partial state on the target host (zfs receive -A DATASET; loses only what was \
                 received of the cut stream) and run again"
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, names: &[SnapshotName]) -> fmt::Result {
    write!(f, "\n  {title}:")?;
    if names.is_empty() {
        return f.write_str(" -");
    }
    // The newest are what matters when a list is long.
    let hidden = names.len().saturating_sub(SHOWN);
    if hidden > 0 {
        write!(f, " ({hidden} older and)")?;
    }
    for name in &names[hidden..] {
        write!(f, " @{name}")?;
    }
    Ok(())
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.common {
            Some(name) => write!(f, "\n  common: @{name}")?,
            None => f.write_str("\n  common: -")?,
        }
        list(f, "only here", &self.only_here)?;
        list(f, "only there", &self.only_there)?;
        write!(f, "\n  nothing was touched; {}", self.advice())
    }
}

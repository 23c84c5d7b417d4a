//! Why something that only the target has is neither destroyed nor renamed, going by its name and by what is noted of it.

use std::fmt;

use crate::format::first_of;
use zfs::name::{DatasetName, RelPath, SnapshotName};
use zfs::{Put, place};

/// Why something that only the target has stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDestroyed {
    /// Nothing says that zfsync has put it there.
    NotOurs,
    /// Another source has put it there.
    OfAnother,
    /// It has snapshots that may come from elsewhere.
    Foreign(Vec<SnapshotName>),
    /// Something below it stays.
    Below,
    /// `--set-aside` has put it out of the way.
    SetAside,
    /// It has data and no snapshots.
    NoSnapshots,
    /// It is the rest of this dataset's first receive, which was cut, and nothing says that this source has sent it.
    Unborn(DatasetName),
    /// It is what has another name at the source now, and is sent anew in this run.
    Renamed(DatasetName),
    /// The source still has it as this dataset, which takes no part in this replication.
    Unselected(DatasetName),
    /// It is what the target has as this dataset too, which lacks some of its snapshots.
    HasMore(DatasetName),
    /// zfsync has put it there under another name.
    OtherName,
    /// A snapshot that the source still has, in this dataset.
    Elsewhere(DatasetName),
    /// A snapshot of which the source has a bookmark in this dataset.
    Bookmarked(DatasetName),
    /// The source has it again since the run has begun.
    Back,
}

impl NotDestroyed {
    /// Whether the source has it under another name, or again: then it isn't missing.
    pub(super) fn is_on_the_source(&self) -> bool {
        match self {
            Self::Renamed(_)
            | Self::Unselected(_)
            | Self::HasMore(_)
            | Self::Elsewhere(_)
            | Self::Bookmarked(_)
            | Self::Back => true,
            Self::NotOurs
            | Self::OfAnother
            | Self::Foreign(_)
            | Self::Below
            | Self::SetAside
            | Self::NoSnapshots
            | Self::Unborn(_)
            | Self::OtherName => false,
        }
    }
}

impl fmt::Display for NotDestroyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("it is not known to be received by zfsync"),
            Self::OfAnother => f.write_str("it was received by zfsync from another source"),
            Self::Foreign(names) => {
                let some = first_of(names, 3, |name| format!("@{name}"));
                write!(f, "it has snapshots that are not known to be received by zfsync: {some}")
            }
            Self::Below => f.write_str("a dataset below it is kept"),
            Self::SetAside => f.write_str("it was set aside (--set-aside)"),
            Self::NoSnapshots => f.write_str("it has no snapshots, so its content is unknown"),
            Self::Unborn(name) => {
                write!(f, "it is partially received, and not known to come from this source; to discard it there: {}", discard(name))
            }
            Self::Renamed(to) => write!(f, "it was renamed to {to} on the source, which is being sent"),
            Self::Unselected(name) => {
                write!(f, "it still exists on the source as {name}, which is not replicated to this target")
            }
            Self::Elsewhere(name) => write!(f, "it still exists on the source in {name}"),
            Self::Bookmarked(name) => write!(f, "the source has a bookmark of it in {name}"),
            Self::Back => f.write_str("it exists on the source again"),
            Self::HasMore(copy) => write!(f, "it has snapshots that {copy}, its new copy, lacks"),
            Self::OtherName => {
                f.write_str("it was received by zfsync under another name: it was renamed on the target, or belongs to another target")
            }
        }
    }
}

/// The command that discards the rest of a receive.
#[must_use]
pub fn discard(dataset: &DatasetName) -> String {
    format!("zfs receive -A {}", shell_words::quote(dataset.as_str()))
}

/// What speaks against it that this source has put a dataset there, at this path below the target.
pub(super) fn not_put_there(put: Option<&Put>, path: &RelPath, by: u32) -> Option<NotDestroyed> {
    match put {
        None => Some(NotDestroyed::NotOurs),
        Some(put) if put.by != by => Some(NotDestroyed::OfAnother),
        Some(put) if put.at.is_some_and(|at| at != place(path)) => Some(NotDestroyed::OtherName),
        Some(_) => None,
    }
}

/// Whether this, or what it lies in, has a name that `--set-aside` gives.
pub(super) fn is_set_aside(name: &DatasetName) -> bool {
    name.as_str().split('/').any(|part| {
        let stamp = part.rsplit_once(".zfsync-").map(|(_, stamp)| stamp.as_bytes());
        stamp.is_some_and(|stamp| {
            stamp.len() == 15
                && stamp
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| if at == 8 { *byte == b'-' } else { byte.is_ascii_digit() })
        })
    })
}

//! Why nothing can be received into a dataset although nothing is in the way.

use std::fmt;

use super::proof::Sign;
use super::shared_key::Sharer;
use zfs::Refusal;
use zfs::name::{DatasetName, NameError, SnapshotName};
use zfs::text::unquoted;

/// Why nothing can be received into a dataset although nothing is in the way. Nothing that a flag could destroy would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// The stream is plain, and what it would be encrypted with over there isn't loaded.
    KeyNotLoaded {
        /// The dataset whose key it is, where the helper tells.
        root: Option<DatasetName>,
    },
    /// It would lie in the copy of another source.
    InAnothers {
        /// That dataset of the target.
        above: DatasetName,
    },
    /// It isn't encrypted, and what lies above it is, and comes raw: its copy could only be stored with a key that is not loaded
    /// over there.
    PlainBelowRaw {
        /// The copy of what lies above it.
        above: DatasetName,
    },
    /// The target's dataset exists and can't be read.
    Unreadable {
        /// The words of zfs.
        words: String,
    },
    /// It would start from a bookmark of a snapshot that is gone, and nothing proves that the dataset has not gone back behind it.
    UnprovenBookmark {
        /// The bookmark.
        mark: SnapshotName,
        /// What makes that likely.
        sign: Sign,
    },
    /// It shares its key on the target with others that get no increment, and the helper there wouldn't notice a new one.
    KeyUnguarded {
        /// One of them.
        sharer: Sharer,
    },
    /// A name that is fine at the source is longer than ZFS allows below the target.
    NameTooLong {
        /// The whole name of the dataset or snapshot.
        name: String,
    },
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyNotLoaded { root: Some(root) } => {
                write!(
                    f,
                    "the key of '{root}' is not loaded on the target's host: zfs load-key '{root}' there, and run again"
                )
            }
            Self::KeyNotLoaded { root: None } => {
                f.write_str("the key of the target is not loaded on its host: zfs load-key there, and run again")
            }
            Self::Unreadable { words } if Refusal::from_words(&unquoted(words)) == Refusal::Suspended => {
                write!(
                    f,
                    "the target can't be read: zfs says: {words}\n  its pool is suspended: zpool status -v on its host says why, and zpool clear \
                     resumes it once the devices are back"
                )
            }
            Self::Unreadable { words } => {
                write!(
                    f,
                    "the target can't be read: zfs says: {words}\n  check zpool status -v on its host; zpool scrub finds other damage, and zfs rename \
                     makes room for a new copy"
                )
            }
            Self::UnprovenBookmark { mark, sign } => {
                write!(
                    f,
                    "it would be sent from the bookmark #{mark}, whose snapshot no longer exists, and nothing proves that the dataset was not \
                     rolled back past it: the copy could differ from its source\n  something seems to have been received into it ({}), and a \
                     receive with -F rolls back regardless of bookmarks\n  run again as root on the source's host, who can read the pool's \
                     history (zpool history -i); --allow-unproven-bookmarks sends from it anyway",
                    sign.describe()
                )
            }
            Self::KeyUnguarded { sharer } => {
                write!(
                    f,
                    "{sharer}: a raw increment could bring a new key that opens only one of them, which zfsync on the target's host is too \
                     old to notice\n  update zfsync there, and run again; --allow-key-mismatch sends the increment anyway"
                )
            }
            Self::NameTooLong { name } => {
                write!(
                    f,
                    "its name would be too long on the target: {}\n  choose a shorter TARGET, or rename it on the source (zfs rename); or skip the dataset with --exclude",
                    NameError::TooLong(name.clone())
                )
            }
            Self::InAnothers { above } => {
                write!(
                    f,
                    "it would be created in {above}, which zfsync received from another source, and which has no snapshot in common \
                     with the parent dataset on the source\n  choose another TARGET"
                )
            }
            Self::PlainBelowRaw { above } => {
                write!(
                    f,
                    "it is not encrypted, and would be below the raw copy '{above}', whose key is not loaded on the target\n  \
                     --allow-unencrypted stores it unencrypted, as on the source; with the key loaded (zfs load-key) it would be \
                     encrypted on the target; --exclude skips it"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scrub can't even begin there, and neither can a rename.
    #[test]
    fn a_suspended_pool_is_resumed() {
        let told = |words: &str| Blocked::Unreadable { words: words.into() }.to_string();
        let suspended = told("cannot open 'b/x': pool I/O is currently suspended");
        assert!(suspended.contains("zpool status -v") && suspended.contains("zpool clear"), "{suspended}");
        assert!(!suspended.contains("scrub") && !suspended.contains("rename"), "{suspended}");
        assert!(told("cannot open 'b/x': I/O error").contains("zpool scrub"));
    }
}

//! What a host tells of itself and of its datasets.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, Guid, ResumeToken, SnapshotName};
use crate::{Allow, Encryption, Kind};

/// Which start of which system this is. Where that isn't known it is the same as none, and not even as itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(String);

impl BootId {
    /// As the system writes it; empty where unknown.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// For whoever passes it on.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.trim()
    }

    /// Whether both are known to be the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        !self.as_str().is_empty() && self.as_str() == other.as_str()
    }
}

/// The capability of what stands in for a helper where only `zfs` runs on the host.
pub const PLAIN: &str = "plain";

/// The capability of a helper that heeds [`crate::Receive::keeps_key`].
pub const KEEPS_KEY: &str = "keeps-key";

/// The helper's greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The helper's own version.
    pub version: String,
    /// Its OpenZFS version as the kernel module gives it, where that is free to ask.
    #[serde(default)]
    pub zfs: Option<String>,
    /// Where it found the `zfs` command; `None` when there is none.
    #[serde(default)]
    pub zfs_path: Option<String>,
    /// Tells whether both ends are the same running system.
    #[serde(default)]
    pub boot_id: BootId,
    /// The host's own name, for messages.
    #[serde(default)]
    pub host: String,
    /// What this helper can do beyond the first version; unknown words are ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The user that the helper runs as, for messages.
    #[serde(default)]
    pub user: String,
    /// The datasets that the helper is confined to; none: all.
    #[serde(default)]
    pub roots: Vec<DatasetName>,
    /// What it may do beside receiving, as on its command line.
    #[serde(default)]
    pub allow: Vec<String>,
    /// What its clock says, in seconds since 1970; helpers of older versions don't tell.
    #[serde(default)]
    pub clock: Option<i64>,
}

impl Hello {
    /// Whether no helper runs on the host, but only `zfs`.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.capabilities.iter().any(|word| word == PLAIN)
    }

    /// Whether a raw increment may bring a new key, and the helper would not notice that others have the old one: it is of an older version,
    /// and trusts its sender.
    #[must_use]
    pub fn leaves_keys_unguarded(&self) -> bool {
        let trusts = [Allow::Rekey, Allow::Packages].iter().any(|allow| self.allow.iter().any(|it| it == allow.word()));
        trusts && !self.capabilities.iter().any(|word| word == KEEPS_KEY)
    }

    /// Whether both may be of the same running system: the host is, and its boot as far as the host tells.
    #[must_use]
    pub fn may_be_same_boot(&self, other: &Self) -> bool {
        self.host == other.host && self.boot_id.as_str() == other.boot_id.as_str()
    }
}

/// What the helper knows of a listed dataset beside its snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetFacts {
    /// Filesystem or volume.
    pub kind: Kind,
    /// A receive into it was cut and can be resumed.
    #[serde(default)]
    pub partial: bool,
    /// What `zfs send -t` needs for that.
    #[serde(default)]
    pub token: Option<ResumeToken>,
    /// It is but the rest of its own first receive, which was cut.
    #[serde(default)]
    pub unborn: bool,
    /// A filesystem that has no snapshot and never held a file, as far as ZFS can tell.
    #[serde(default)]
    pub empty: bool,
    /// The words of ZFS where it can't tell that: it counts as not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsure: Option<String>,
    /// How many bytes were written to it since its newest snapshot, as `written` says; helpers of older versions don't tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// How it is encrypted.
    #[serde(default)]
    pub encryption: Encryption,
}

/// What came of a [`crate::Query::Prune`], or of the same request to a target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// How many were destroyed, or would be.
    pub destroyed: usize,
    /// How many bytes that freed, or would.
    pub freed: u64,
    /// What stays although it was to go, and why.
    #[serde(default)]
    pub pinned: Vec<(SnapshotName, String)>,
    /// What was gone already, or is another snapshot by now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<SnapshotName>,
}

impl Pruned {
    /// Whether each of these snapshots is accounted for, once: the others than those named count as destroyed, so their number has
    /// to be right.
    #[must_use]
    pub fn accounts_for(&self, snapshots: &[(SnapshotName, Guid)]) -> bool {
        let mut left: HashSet<&SnapshotName> = snapshots.iter().map(|(name, _)| name).collect();
        let mut kept = self.pinned.iter().map(|(name, _)| name).chain(&self.absent);
        kept.all(|name| left.remove(name)) && left.len() == self.destroyed
    }
}

/// What a run would find on the target's host, as things are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Who has claimed the tree, or a part of it.
    #[serde(default)]
    pub locked: Option<String>,
    /// How much can be stored there (`available` of the tree, or of the nearest dataset above that exists), as far as known.
    #[serde(default)]
    pub available: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pruned_adds_up() {
        let named = |name: &str| name.parse::<SnapshotName>().unwrap();
        let asked: Vec<_> = (0..4).map(|number| (named(&format!("s{number}")), Guid(number))).collect();
        let pruned = |destroyed, pinned: &[&str], absent: &[&str]| Pruned {
            destroyed,
            pinned: pinned.iter().map(|name| (named(name), "is held".into())).collect(),
            absent: absent.iter().map(|name| named(name)).collect(),
            ..Pruned::default()
        };
        assert!(pruned(4, &[], &[]).accounts_for(&asked));
        assert!(pruned(2, &["s1"], &["s3"]).accounts_for(&asked));
        assert!(pruned(0, &["s0", "s1", "s2", "s3"], &[]).accounts_for(&asked));
        for wrong in [
            pruned(0, &[], &[]),
            pruned(3, &[], &[]),
            pruned(3, &["s9"], &[]),
            pruned(2, &["s1", "s1"], &[]),
            pruned(3, &["s1"], &["s1"]),
        ] {
            assert!(!wrong.accounts_for(&asked), "{wrong:?}");
        }
        assert!(Pruned::default().accounts_for(&[]));
    }

    #[test]
    fn a_boot_that_is_unknown_is_the_same_as_none() {
        let same = |one: &str, other: &str| BootId::new(one).is_same(&BootId::new(other));
        assert!(same("a\n", "a") && !same("a", "b") && !same("a", "") && !same("", "") && !same(" \n", " \n"));
        // A host that tells of none can be used all the same.
        let hello = |boot: &str| Hello { host: "h".into(), boot_id: BootId::new(boot), ..Hello::default() };
        assert!(hello("a\n").may_be_same_boot(&hello("a")) && hello("").may_be_same_boot(&hello("\n")));
        assert!(!hello("a").may_be_same_boot(&hello("b")) && !hello("a").may_be_same_boot(&hello("")));
        assert!(!hello("").may_be_same_boot(&Hello { host: "other".into(), ..hello("") }));
        assert_eq!(serde_json::to_string(&BootId::new("a")).unwrap(), "\"a\"");
    }
}

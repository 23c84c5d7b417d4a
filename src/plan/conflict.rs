//! Why a dataset can't be brought in sync without losing something, with all that a reader needs to judge it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::contact::FirstContact;
use crate::format::{count, first_of};
use zfs::name::{DatasetName, SnapshotName, Txg};
use zfs::permission::COUNT;
use zfs::{Kind, Versions};

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
    /// The same, and as far as zfsync has recorded the target was never received from this source.
    Unrelated {
        /// Whether it is recorded as received from another one.
        recorded: bool,
    },
    /// The target has no snapshot, but data (or ZFS can't tell that it has none).
    DataWithoutSnapshots,
    /// TARGET is an empty dataset, and below it lie datasets that nothing shows to be copies of SOURCE.
    HoldsOthers {
        /// These datasets.
        datasets: Vec<DatasetName>,
    },
    /// A filesystem here and a volume there, or the other way round.
    TypeClash {
        /// What the source is.
        source: Kind,
        /// What the target is.
        target: Kind,
    },
    /// One side is encrypted in a way that the other can't go on from.
    Encryption,
    /// The target exists, and ZFS puts no full stream in its place, as one of both is encrypted.
    EncryptedInPlace,
    /// The target has snapshots of its own after the newest common one, and the increment is raw: it fits on the newest alone.
    OwnSnapshots,
    /// An increment was received decrypted on top of a raw copy: raw ones don't fit any more.
    IvSet {
        /// The newest common snapshot that came raw, by the target's name, where that is known.
        last_raw: Option<SnapshotName>,
    },
    /// The copy's key is that of a dataset above it, which is not the one whose key the source's is.
    KeyMismatch,
    /// The target's snapshots have blocks above 128 KiB and the source's have not, as one of both was received without `-L`: ZFS takes
    /// no increment between them (`recv_check_large_blocks` in `module/zfs/dmu_recv.c`).
    LargeBlocks,
    /// A receive into the target was cut, and its partial state is in the way.
    Partial,
}

impl ConflictKind {
    /// Whether both sides have snapshots and none is common.
    pub(super) fn is_no_common(&self) -> bool {
        matches!(self, Self::NoCommon | Self::Unrelated { .. })
    }
}

/// Resolutions that are no help although the kind of conflict speaks for them: they have been tried, or can't be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vain {
    /// `--rollback`.
    pub rollback: bool,
    /// `--set-aside`.
    pub set_aside: bool,
    /// `--replace`.
    pub replace: bool,
}

impl Vain {
    /// These, and those.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            rollback: self.rollback || other.rollback,
            set_aside: self.set_aside || other.set_aside,
            replace: self.replace || other.replace,
        }
    }

    /// These, but not those.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            rollback: self.rollback && !other.rollback,
            set_aside: self.set_aside && !other.set_aside,
            replace: self.replace && !other.replace,
        }
    }
}

/// What keeps all resolutions from being offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// They need a helper on the target's host, which there is not.
    NoHelper,
    /// What any of them would be for can't be sent: that is why the one that was asked for is not carried out.
    CannotSend,
}

/// What other datasets of the target have to do with a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// These below it are not copies of this source, and it has no snapshots: each may be why it doesn't count as empty.
    OthersBelow(Vec<DatasetName>),
    /// Which one is its copy instead, and what to do about that, in words.
    CopyIs(String),
}

/// When snapshots were made, in seconds since 1970; as far as somebody asked.
pub type Dates = BTreeMap<SnapshotName, i64>;

/// A conflict: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// Which kind.
    #[serde(flatten)]
    pub kind: ConflictKind,
    /// The dataset on the target; `None` where nobody has told.
    pub target: Option<DatasetName>,
    /// The newest snapshot that both sides have, by the source's name of it; where the source has but a bookmark of it, by
    /// the target's name.
    pub common: Option<SnapshotName>,
    /// Snapshots that only the source has and that are newer than the common one, oldest first.
    pub only_here: Vec<SnapshotName>,
    /// Snapshots that only the target has and that are newer than the common one, oldest first.
    pub only_there: Vec<SnapshotName>,
    /// How many snapshots the target has.
    pub total_there: usize,
    /// Whether the target is an encryption root and the stream is plain: what takes its place would be stored in plaintext.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub would_decrypt: bool,
    /// Of TARGET itself, where nothing shows that it was ever a copy of SOURCE.
    #[serde(skip)]
    pub first_contact: Option<Box<FirstContact>>,
    /// What is not offered.
    #[serde(skip)]
    pub vain: Vain,
    /// Why none is offered at all.
    #[serde(skip)]
    pub hindrance: Option<Hindrance>,
    /// What is not offered only because the helper's own command on the target's host forbids it.
    #[serde(skip)]
    pub forbidden: Vain,
    /// The words of ZFS where it can't tell whether the target holds data.
    #[serde(skip)]
    pub unsure: Option<Box<str>>,
    /// What other datasets of the target have to do with it.
    #[serde(skip)]
    pub beside: Option<Box<Beside>>,
    /// Why the resolution that was asked for can't be carried out.
    #[serde(skip)]
    pub why_not: Option<String>,
    /// Dates of the source's snapshots.
    pub dates_here: Dates,
    /// Dates of the target's.
    pub dates_there: Dates,
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
            target: None,
            common: common.map(|(name, ..)| SnapshotName::from_checked(name)),
            only_here: newer(source, common.map(|(_, here, _)| here)),
            only_there: newer(target, common.map(|(.., there)| there)),
            total_there: target.len(),
            would_decrypt: false,
            first_contact: None,
            vain: Vain::default(),
            hindrance: None,
            forbidden: Vain::default(),
            unsure: None,
            beside: None,
            why_not: None,
            dates_here: Dates::new(),
            dates_there: Dates::new(),
        }
    }

    /// One about which nothing else is known.
    #[cfg(test)]
    pub(crate) fn bare(kind: ConflictKind) -> Self {
        Self::new(kind, None, &Versions::default(), &Versions::default())
    }

    /// The snapshots here and there whose dates a reader wants to know: those that get printed.
    #[must_use]
    pub fn wants_dates(&self) -> (Vec<&SnapshotName>, Vec<&SnapshotName>) {
        let shown = |names: &'_ [SnapshotName]| names.len().saturating_sub(SHOWN);
        let here = self.common.iter().chain(&self.only_here[shown(&self.only_here)..]).collect();
        let there = self.common.iter().chain(&self.only_there[shown(&self.only_there)..]).collect();
        (here, there)
    }

    /// One line: what is the matter.
    #[must_use]
    pub fn headline(&self) -> String {
        let common = self.common.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
        match &self.kind {
            ConflictKind::Diverged => {
                let text = format!("the target has diverged after {common}: it has snapshots of its own");
                match self.taken() {
                    taken if taken.is_empty() => text,
                    taken => format!("{text}, with names of snapshots to be received: {}", listed(&taken)),
                }
            }
            ConflictKind::Modified => {
                format!("the target has been modified since {common}, the newest common snapshot")
            }
            ConflictKind::Ahead => {
                format!("the target is ahead: its {common} is newer than all snapshots that the source still has")
            }
            ConflictKind::NameTaken { names } => {
                let names: Vec<&SnapshotName> = names.iter().collect();
                format!("other snapshots on the target have the names of snapshots to be received: {}", listed(&names))
            }
            ConflictKind::NoCommon => {
                "no common snapshot: the target has other content, or all common snapshots were destroyed".into()
            }
            ConflictKind::Unrelated { recorded: true } => "no common snapshot: the target was received from another source".into(),
            ConflictKind::Unrelated { recorded: false } => {
                "no common snapshot, and no record that the target was ever received from this source".into()
            }
            ConflictKind::DataWithoutSnapshots if self.unsure.is_some() => {
                "the target has no snapshots, and ZFS can't tell whether it holds data".into()
            }
            ConflictKind::DataWithoutSnapshots => match self.beside.as_deref() {
                Some(Beside::OthersBelow(datasets)) => format!(
                    "the target has no snapshots, and holds data or has mounted filesystems below it; datasets below it are not copies of \
                     this source: {}",
                    some_of(datasets)
                ),
                _ => "the target has no snapshots but holds data".into(),
            },
            ConflictKind::HoldsOthers { datasets } => {
                let datasets = some_of(datasets);
                format!("the target is empty, but has datasets below it that are not copies of this source: {datasets}")
            }
            ConflictKind::TypeClash { source, target } => {
                format!("the source is a {source} and the target is a {target}")
            }
            ConflictKind::Encryption => "the encryption of source and target doesn't match".into(),
            ConflictKind::EncryptedInPlace => {
                "the target exists, and zfs can't replace it with a full stream, as one of them is encrypted".into()
            }
            ConflictKind::OwnSnapshots => {
                format!("the target has snapshots of its own after {common}, and a raw increment can only be received on top of the newest snapshot")
            }
            ConflictKind::IvSet { last_raw } => {
                let text = "the target is a raw copy that has received a decrypted increment, so raw increments can no longer be received";
                match last_raw {
                    Some(name) => format!("{text}; its last raw snapshot is @{name}"),
                    None => text.into(),
                }
            }
            ConflictKind::KeyMismatch => {
                "the copy inherits a key on the target that is not the source's (zfs change-key -i), and could not be mounted after a raw \
                 increment"
                    .into()
            }
            ConflictKind::LargeBlocks => {
                "the target's snapshots have large blocks (above 128 KiB) that are split on the source, as one of them was received from a \
                 stream without zfs send -L: zfs can't receive an increment"
                    .into()
            }
            ConflictKind::Partial => "the target has partially received state of an interrupted receive, which is in the way".into(),
        }
    }

    /// Names that both sides have given to snapshots of their own, after the common one.
    fn taken(&self) -> Vec<&SnapshotName> {
        self.only_there.iter().filter(|name| self.only_here.contains(name)).collect()
    }

    /// Whether nothing more than the source's next snapshot is needed.
    #[must_use]
    pub fn ends_with_next_snapshot(&self) -> bool {
        self.kind == ConflictKind::Ahead && !self.would_decrypt
    }

    /// Whether going back to the common snapshot solves it.
    pub(super) fn rollback_helps(&self) -> bool {
        let helps = matches!(
            self.kind,
            ConflictKind::Diverged
                | ConflictKind::Modified
                | ConflictKind::OwnSnapshots
                | ConflictKind::IvSet { last_raw: Some(_) }
        );
        helps && self.common.is_some()
    }

    /// Whether another dataset in its place solves it.
    pub(super) fn new_start_helps(&self) -> bool {
        // A pool's root can neither be renamed nor destroyed.
        let is_root = self.target.as_ref().is_some_and(|target| target.parent().is_none());
        !is_root
            && !self.would_decrypt
            && !matches!(self.kind, ConflictKind::Partial | ConflictKind::Ahead | ConflictKind::KeyMismatch)
    }

    /// The snapshot that a dataset in its place can start from.
    pub(super) fn restart(&self) -> Option<&SnapshotName> {
        // A name that is in use at or before the common snapshot would come back with it.
        let again = matches!(
            self.kind,
            ConflictKind::Encryption
                | ConflictKind::IvSet { .. }
                // What comes back of the target would have the large blocks again.
                | ConflictKind::LargeBlocks
                | ConflictKind::TypeClash { .. }
                | ConflictKind::NameTaken { .. }
        );
        self.common.as_ref().filter(|_| !again)
    }

    fn date(&self, name: &SnapshotName, there: bool) -> String {
        let dates = if there { &self.dates_there } else { &self.dates_here };
        dates.get(name).map(|seconds| format!(" ({})", date(*seconds))).unwrap_or_default()
    }

    fn list(&self, names: &[SnapshotName], there: bool) -> String {
        // The newest are what matters when a list is long.
        let hidden = names.len().saturating_sub(SHOWN);
        let mut text = if hidden > 0 { format!(" ({hidden} older and)") } else { String::new() };
        let shown = names[hidden..].iter().map(|name| format!(" @{name}{}", self.date(name, there)));
        text.push_str(&shown.collect::<Vec<_>>().join(","));
        text
    }

    /// What a rollback takes away.
    pub(super) fn rollback_cost(&self) -> String {
        let common = self.common.as_ref().map(|name| format!("@{name}")).unwrap_or_default();
        if self.only_there.is_empty() {
            return format!("what was written there since {common}");
        }
        format!("{} and what was written there since {common}", self.list(&self.only_there, true).trim_start())
    }
}

/// `@a, @b`
fn listed(names: &[&SnapshotName]) -> String {
    names.iter().map(|name| format!("@{name}")).collect::<Vec<_>>().join(", ")
}

/// The first of these datasets, and how many more there are.
pub(super) fn some_of<'a>(datasets: impl IntoIterator<Item = &'a DatasetName>) -> String {
    first_of(datasets, SHOWN, |name| format!("'{name}'"))
}

/// `2026-11-20 14:03`, in UTC.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.common {
            Some(name) if self.dates_here.contains_key(name) => {
                write!(f, "\n  common: @{name}{}", self.date(name, false))?;
            }
            Some(name) => write!(f, "\n  common: @{name}{}", self.date(name, true))?,
            None => {}
        }
        if !self.only_here.is_empty() {
            write!(f, "\n  only on the source:{}", self.list(&self.only_here, false))?;
        }
        match (self.only_there.is_empty(), &self.kind) {
            (false, _) => write!(f, "\n  only on the target:{}", self.list(&self.only_there, true))?,
            (true, ConflictKind::Modified) => f.write_str("\n  only on the target: changes that are in no snapshot")?,
            (true, _) => {}
        }
        if let Some(words) = &self.unsure {
            write!(
                f,
                "\n  zfs userspace, which counts files for root and for users who are allowed {COUNT}, says: {words}"
            )?;
        }
        if let Some(why) = self.why_not.as_ref().filter(|_| self.hindrance == Some(Hindrance::CannotSend)) {
            return write!(f, "\n  nothing was changed, as what would be sent then can't be: {why}");
        }
        if let Some(why) = &self.why_not {
            write!(f, "\n  {why}")?;
        }
        if let Some(FirstContact { withheld: more @ 1.., .. }) = self.first_contact.as_deref() {
            write!(
                f,
                "\n  nothing is sent below it either ({}): none has a snapshot in common with the one in its place there",
                count(*more, "dataset")
            )?;
        }
        let advice = self.advice();
        let other = self.would_decrypt
            || (self.unsure.is_some() && self.first_contact.is_none())
            || matches!(
                self.kind,
                ConflictKind::Ahead
                    | ConflictKind::NameTaken { .. }
                    | ConflictKind::Encryption
                    | ConflictKind::EncryptedInPlace
                    | ConflictKind::IvSet { last_raw: None }
                    | ConflictKind::KeyMismatch
                    | ConflictKind::Partial
            );
        let mut ways: Vec<Cow<'_, str>> =
            self.first_contact.iter().map(|contact| contact.instead.as_str().into()).collect();
        let helper_helps =
            self.hindrance == Some(Hindrance::NoHelper) && (self.rollback_helps() || self.new_start_helps());
        if let Some(Beside::CopyIs(words)) = self.beside.as_deref() {
            ways.push(words.as_str().into());
        }
        if other || helper_helps || (advice.is_empty() && ways.is_empty()) {
            ways.push(self.other_advice());
        }
        write!(f, "\n  nothing was changed; to continue: {}", ways.join("; or "))?;
        if !advice.is_empty() {
            f.write_str(if ways.is_empty() { "run again with\n    " } else { "; or run again with\n    " })?;
            f.write_str(&advice.join("\n    or "))?;
        }
        Ok(())
    }
}

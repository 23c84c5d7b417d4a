//! One selected dataset on its way to a verdict: what is known of its target, and the base on which both sides agree.

use std::collections::HashMap;

use super::diff::{Attempt, from_bookmark, from_snapshot};
use super::proof::Proof;
use super::step::{BaseKind, Step};
use super::verdict::Verdict;
use super::{SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid, Txg};
use zfs::{BaseFacts, Kind, Tags, Version};

/// What the plan must know of a source dataset beyond names, asked only where it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// Filesystem or volume.
    pub kind: Kind,
    /// Whether its `encryption` is not `off`.
    pub encrypted: bool,
    /// How many levels above it its encryption root is; 0 for one that is its own, and where it isn't encrypted.
    pub root_up: usize,
}

/// How much is known of a target dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OnTarget {
    /// So far nothing agreed; so many of the newest snapshots and bookmarks were asked for.
    Asked { snapshots: usize, bookmarks: usize },
    /// Settled by names and guids: nothing is to be sent.
    Settled(Verdict),
    /// Settled by names and guids: the base, and its place among the source's snapshots or bookmarks.
    Based(BaseKind, usize),
    /// It doesn't exist.
    Missing,
    /// Only a full listing helps.
    Unlisted,
    /// Listed in full.
    Listed(TargetDataset),
}

/// What has been asked of a dataset on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The snapshot that was asked for.
    pub base: Option<Guid>,
    /// The answer.
    pub facts: BaseFacts,
    /// The IV set of the source's.
    pub iv_set_here: Option<Guid>,
    /// Where raw increments don't fit: the newest common snapshot that came raw.
    pub last_raw: Option<Guid>,
}

impl Seen {
    /// Something is done to the dataset: what was written to it may change, its key is still the same.
    pub fn is_old(&mut self) {
        self.base = None;
        self.facts.written = None;
        self.last_raw = None;
    }
}

/// One selected dataset on its way to a verdict.
#[derive(Debug)]
pub(super) struct Item {
    pub source: SourceDataset,
    pub source_name: DatasetName,
    pub target_name: DatasetName,
    pub on_target: OnTarget,
    pub attempt: Option<Attempt>,
    pub facts: Option<SourceFacts>,
    /// What was asked of its target as the end of an increment.
    pub seen: Option<Seen>,
    /// What the user has allowed to be done about a conflict was done in this run.
    pub resolved: bool,
    /// What the target's dataset was called before this run renamed it.
    pub was: Option<DatasetName>,
    /// From this snapshot on it is known which ones change nothing.
    pub weighed_from: Option<usize>,
    /// What was found out of its bookmarks whose snapshots are gone.
    pub proofs: HashMap<Guid, Proof>,
    /// The best agreement so far.
    pub(super) agreed: Option<Agreed>,
}

/// A snapshot of the source, or the one that a bookmark of it is of, that was found on the target by name and guid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    kind: BaseKind,
    /// Its place among the source's snapshots or bookmarks.
    at: usize,
    txg: Txg,
}

impl Item {
    /// Of which nothing is known yet but what the source has.
    pub(super) fn new(source: SourceDataset, source_name: DatasetName, target_name: DatasetName) -> Self {
        let on_target = if source.snapshots.is_empty() {
            OnTarget::Settled(Verdict::NoSnapshots)
        } else {
            OnTarget::Asked { snapshots: 0, bookmarks: 0 }
        };
        Self {
            source,
            source_name,
            target_name,
            on_target,
            attempt: None,
            facts: None,
            seen: None,
            resolved: false,
            was: None,
            weighed_from: None,
            agreed: None,
            proofs: HashMap::new(),
        }
    }

    /// One snapshot or bookmark was asked for by name: agreement is remembered, a stranger of the same name means that
    /// only the full list tells the story.
    pub(super) fn compare(&mut self, there: Option<Guid>, kind: BaseKind, at: usize) {
        let version = match kind {
            BaseKind::Snapshot => self.source.snapshots.get(at),
            BaseKind::Bookmark => self.source.bookmarks.get(at),
        };
        let Some((found, Version { guid, txg, .. })) = there.zip(version) else { return };
        if found != guid {
            // A bookmark can be called anything; only for a snapshot is the same name with another guid suspicious.
            if kind == BaseKind::Snapshot && self.on_target != OnTarget::Missing {
                self.on_target = OnTarget::Unlisted;
            }
            return;
        }
        // At equal createtxg it is the same snapshot, and the snapshot itself is the better base.
        let better = |best: Agreed| txg > best.txg || (txg == best.txg && kind == BaseKind::Snapshot);
        if self.agreed.is_none_or(better) {
            self.agreed = Some(Agreed { kind, at, txg });
        }
    }

    /// Takes the best agreement for the base if everything newer has been asked for and isn't there, or if our own bookmark
    /// says that it was the target's newest. Should the target have got another since, the receive will refuse.
    pub(super) fn settle(&mut self, tags: Option<&Tags>) {
        let (OnTarget::Asked { snapshots, .. }, Some(Agreed { kind, at, txg })) = (&self.on_target, self.agreed) else {
            return;
        };
        let bookmark = (kind == BaseKind::Bookmark).then(|| self.source.bookmarks.get(at)).flatten();
        let asked_back_to = self.source.snapshots.len().saturating_sub((*snapshots).max(1));
        let unasked = asked_back_to.checked_sub(1).and_then(|newest| self.source.snapshots.get(newest));
        let owned = |bookmark: Version<'_>| tags.is_some_and(|tags| tags.of(&self.target_name).owns(bookmark.name));
        let believed = bookmark.is_some_and(owned);
        if !believed && unasked.is_some_and(|version| version.txg > txg) {
            return;
        }
        let snapshots = &self.source.snapshots;
        let is_newest = |at: usize| at + 1 == snapshots.len();
        self.on_target = match bookmark {
            // `-I` can start at a snapshot and not at its bookmark.
            Some(bookmark) => match snapshots.iter().position(|version| version.guid == bookmark.guid) {
                Some(at) if !is_newest(at) => OnTarget::Based(BaseKind::Snapshot, at),
                None if snapshots.newest().is_some_and(|newest| newest.txg > bookmark.txg) => {
                    OnTarget::Based(BaseKind::Bookmark, at)
                }
                // It is newer than all snapshots, so the target is ahead; the listing explains it.
                _ => OnTarget::Unlisted,
            },
            None if is_newest(at) => OnTarget::Settled(Verdict::InSync),
            None => OnTarget::Based(BaseKind::Snapshot, at),
        };
    }

    /// The steps from the base at this place.
    pub(super) fn steps(&self, kind: BaseKind, at: usize, newest_only: bool) -> Vec<Step> {
        match kind {
            BaseKind::Snapshot => from_snapshot(&self.source, at, newest_only),
            BaseKind::Bookmark => {
                let mark = self.source.bookmarks.get(at);
                mark.map(|mark| from_bookmark(&self.source, mark, newest_only)).unwrap_or_default()
            }
        }
    }
}

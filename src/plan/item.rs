//! One selected dataset on its way to a verdict: what is known of its target, and the base on which both sides agree.

use std::collections::HashMap;

use super::diff::{Attempt, BaseKind, Step, from_bookmark, from_snapshot};
use super::foresee::Seen;
use super::proof::Proof;
use super::verdict::Verdict;
use super::{SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid, Txg};
use zfs::{Kind, Tags, Version};

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
pub(super) enum Known {
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

/// One selected dataset on its way to a verdict.
#[derive(Debug)]
pub(super) struct Item {
    pub source: SourceDataset,
    pub source_name: DatasetName,
    pub target_name: DatasetName,
    pub known: Known,
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
    /// The best agreement so far: which of its versions, and its place in the order.
    pub(super) mark: Option<(u64, Txg)>,
}

impl Item {
    /// One snapshot or bookmark was asked for by name: agreement is remembered, a stranger of the same name means that
    /// only the full list tells the story.
    pub(super) fn compare(&mut self, there: Option<Guid>, guid: Guid, txg: Txg, at: u64, bookmark: bool) {
        let Some(found) = there else { return };
        if found != guid {
            // A bookmark can be called anything; only for a snapshot is the same name with another guid suspicious.
            if !bookmark && self.known != Known::Missing {
                self.known = Known::Unlisted;
            }
            return;
        }
        // At equal createtxg it is the same snapshot, and the snapshot itself is the better base.
        let better = self.mark.is_none_or(|(_, best)| txg > best || (txg == best && !bookmark));
        if better {
            self.mark = Some((at << 1 | u64::from(bookmark), txg));
        }
    }

    /// Takes the best agreement for the base if everything newer has been asked for and isn't there, or if our own bookmark
    /// says that it was the target's newest. Should the target have got another since, the receive will refuse.
    pub(super) fn settle(&mut self, tags: Option<&Tags>) {
        let (Known::Asked { snapshots, .. }, Some((mark, txg))) = (&self.known, self.mark) else { return };
        let at = usize::try_from(mark >> 1).unwrap_or(0);
        let bookmark = (mark & 1 == 1).then(|| self.source.bookmarks.get(at)).flatten();
        let asked_back_to = self.source.snapshots.len().saturating_sub((*snapshots).max(1));
        let unasked = asked_back_to.checked_sub(1).and_then(|newest| self.source.snapshots.get(newest));
        let owned = |bookmark: Version<'_>| tags.is_some_and(|tags| tags.of(&self.target_name).owns(bookmark.name));
        let believed = bookmark.is_some_and(owned);
        if !believed && unasked.is_some_and(|version| version.txg > txg) {
            return;
        }
        let snapshots = &self.source.snapshots;
        let is_newest = |at: usize| at + 1 == snapshots.len();
        self.known = match bookmark {
            // `-I` can start at a snapshot and not at its bookmark.
            Some(bookmark) => match snapshots.iter().position(|version| version.guid == bookmark.guid) {
                Some(at) if !is_newest(at) => Known::Based(BaseKind::Snapshot, at),
                None if snapshots.newest().is_some_and(|newest| newest.txg > bookmark.txg) => {
                    Known::Based(BaseKind::Bookmark, at)
                }
                // It is newer than all snapshots, so the target is ahead; the listing explains it.
                _ => Known::Unlisted,
            },
            None if is_newest(at) => Known::Settled(Verdict::InSync),
            None => Known::Based(BaseKind::Snapshot, at),
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

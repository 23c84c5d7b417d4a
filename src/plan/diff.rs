//! Source and target of one dataset → the steps that bring the target in sync, or the conflict that prevents it.

use std::collections::HashMap;

use super::conflict::{Conflict, ConflictKind};
use super::step::{Base, BaseKind, Step};
use super::{ResumePoint, SourceDataset, TargetDataset, Verdict};
use zfs::name::{Guid, Txg};
use zfs::{Kind, Refusal, Version};

/// A receive that ZFS refused, and so a reason to relist its dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The base of the refused step; `None` for a full stream.
    pub base: Option<Guid>,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// Compares the source's dataset with the fully listed target's. `kind` is the source's; `attempt` is what has just been
/// refused, so that the same is not tried again.
#[must_use]
pub fn diff(
    source: &SourceDataset,
    kind: Kind,
    target: &TargetDataset,
    attempt: Option<Attempt>,
    newest_only: bool,
) -> Verdict {
    let Some(newest) = source.snapshots.newest() else { return Verdict::NoSnapshots };
    if target.snapshots.iter().any(|version| version.guid == newest.guid) {
        return Verdict::InSync;
    }
    let common = newest_common(source, target);
    let conflict = |kind| Verdict::Conflict(conflict_of(kind, source, target));
    if let Some(kind) = attempt.and_then(|attempt| refused_for_good(attempt.refusal)) {
        return conflict(kind);
    }
    if target.partial {
        return partial(source, target, newest_only).unwrap_or_else(conflict);
    }
    let Some(common) = &common else {
        return match () {
            () if target.kind != kind => conflict(ConflictKind::TypeClash { source: kind, target: target.kind }),
            () if !target.snapshots.is_empty() => conflict(ConflictKind::NoCommon),
            () if !target.empty || attempt.is_some_and(|attempt| attempt.base.is_none()) => {
                conflict(ConflictKind::DataWithoutSnapshots)
            }
            () => Verdict::with(Verdict::FillEmpty, full(source, newest_only)),
        };
    };
    if common.version.txg > newest.txg {
        return conflict(ConflictKind::Ahead);
    }
    // The target's own newer snapshots are tolerated as long as ZFS does (no data changed), but no name can exist twice.
    let taken: HashMap<&str, Txg> = target.snapshots.iter().map(|version| (version.name, version.txg)).collect();
    let arriving = source.snapshots.iter().enumerate().filter(|(at, version)| {
        version.txg > common.version.txg && taken.contains_key(version.name) && source.sends(*at, newest_only)
    });
    // A rollback would get newer ones out of the way, and lose them in vain as long as there are older ones.
    let (newer, older): (Vec<Version<'_>>, Vec<Version<'_>>) =
        arriving.map(|(_, version)| version).partition(|version| taken[version.name] > common.there.txg);
    if !older.is_empty() {
        let names = older.iter().map(Version::snapshot_name).collect();
        return conflict(ConflictKind::NameTaken { names });
    }
    let has_own = target.snapshots.newest().is_some_and(|version| version.txg > common.there.txg);
    // Another refusal than these tells of something that has changed by now: a new attempt finds out.
    let refused = attempt.filter(|attempt| attempt.base == Some(common.version.guid)).map(|attempt| attempt.refusal);
    match refused {
        _ if !newer.is_empty() => return conflict(ConflictKind::Diverged),
        Some(Refusal::Modified | Refusal::NotNewest) if has_own => return conflict(ConflictKind::Diverged),
        Some(Refusal::Modified) => return conflict(ConflictKind::Modified),
        _ => {}
    }
    Verdict::with(Verdict::Send, common.steps(source, newest_only))
}

/// What such a refusal tells by itself, whatever both sides have.
fn refused_for_good(refusal: Refusal) -> Option<ConflictKind> {
    match refusal {
        Refusal::Encryption => Some(ConflictKind::Encryption),
        Refusal::EncryptedInPlace => Some(ConflictKind::EncryptedInPlace),
        Refusal::LargeBlocks => Some(ConflictKind::LargeBlocks),
        Refusal::IvSet => Some(ConflictKind::IvSet { last_raw: None }),
        _ => None,
    }
}

/// How partially received state goes on, if it can.
fn partial(source: &SourceDataset, target: &TargetDataset, newest_only: bool) -> Result<Verdict, ConflictKind> {
    let steps = target.resume.as_ref().and_then(|point| resumed(source, point, newest_only));
    let steps = steps.ok_or(ConflictKind::Partial)?;
    match () {
        () if target.unborn || !target.snapshots.is_empty() => Ok(Verdict::with(Verdict::Send, steps)),
        // A first stream into what was there: it needs `-F` as the first time (ZFS_ERR_RESUME_EXISTS in `module/zfs/dmu_recv.c`).
        () if target.empty => Ok(Verdict::with(Verdict::FillEmpty, steps)),
        // What `--replace` has given up: nobody has agreed to that again.
        () => Err(ConflictKind::DataWithoutSnapshots),
    }
}

/// A conflict of this kind, with what both sides have.
fn conflict_of(kind: ConflictKind, source: &SourceDataset, target: &TargetDataset) -> Conflict {
    let common = newest_common(source, target);
    let common = common.as_ref().map(|common| (common.name, common.version.txg, common.there.txg));
    let unsure = target.unsure.clone().filter(|_| kind == ConflictKind::DataWithoutSnapshots);
    let unsure = unsure.map(String::into_boxed_str);
    Conflict { unsure, ..Conflict::new(kind, common, &source.snapshots, &target.snapshots) }
}

/// The newest version that both sides have: a snapshot or a bookmark here, a snapshot there.
pub(super) struct Common<'a> {
    pub kind: BaseKind,
    /// The source's.
    pub version: Version<'a>,
    /// Its name as a snapshot: the target's where the source has but a bookmark.
    pub name: &'a str,
    /// Index among the source's snapshots, for [`BaseKind::Snapshot`].
    index: usize,
    /// The same on the target.
    pub there: Version<'a>,
}

pub(super) fn newest_common<'a>(source: &'a SourceDataset, target: &'a TargetDataset) -> Option<Common<'a>> {
    newest_common_of(source, target, &|_| true)
}

/// The newest of those that fit.
pub(super) fn newest_common_of<'a>(
    source: &'a SourceDataset,
    target: &'a TargetDataset,
    fits: &dyn Fn(Guid) -> bool,
) -> Option<Common<'a>> {
    let fitting = target.snapshots.iter().filter(|version| fits(version.guid));
    let there: HashMap<Guid, Version<'a>> = fitting.map(|version| (version.guid, version)).collect();
    let snapshot = (source.snapshots.iter().enumerate().rev()).find_map(|(index, version)| {
        let there = *there.get(&version.guid)?;
        Some(Common { kind: BaseKind::Snapshot, version, name: version.name, index, there })
    });
    let bookmark = source.bookmarks.iter().rev().find_map(|version| {
        let there = *there.get(&version.guid)?;
        Some(Common { kind: BaseKind::Bookmark, version, name: there.name, index: 0, there })
    });
    match (snapshot, bookmark) {
        // A snapshot is preferred to its own bookmark: `-I` can start at it.
        (Some(snapshot), Some(bookmark)) if bookmark.version.txg > snapshot.version.txg => Some(bookmark),
        (Some(snapshot), _) => Some(snapshot),
        (None, bookmark) => bookmark,
    }
}

impl Common<'_> {
    pub fn steps(&self, source: &SourceDataset, newest_only: bool) -> Vec<Step> {
        match self.kind {
            BaseKind::Snapshot => from_snapshot(source, self.index, newest_only),
            BaseKind::Bookmark => from_bookmark(source, self.version, newest_only),
        }
    }
}

/// The resumed stream, which brings one snapshot only (openzfs #16764), then what comes after that.
fn resumed(source: &SourceDataset, point: &ResumePoint, newest_only: bool) -> Option<Vec<Step>> {
    let (index, version) = source.snapshots.iter().enumerate().find(|(_, version)| version.guid == point.to)?;
    let step = Step { resume: Some(point.token.clone()), ..one(None, version) };
    Some(std::iter::once(step).chain(from_snapshot(source, index, newest_only)).collect())
}

/// A step that brings one snapshot.
fn one(base: Option<Base>, to: Version<'_>) -> Step {
    Step { base, resume: None, to: to.snapshot_name(), to_guid: to.guid, snapshots: 1, intermediates: false }
}

/// The steps of a first transfer: the oldest snapshot in full, then all others in one increment; or the newest alone.
pub(super) fn full(source: &SourceDataset, newest_only: bool) -> Vec<Step> {
    let last = source.snapshots.len().saturating_sub(1);
    let first = if newest_only { last } else { 0 };
    let Some(version) = source.snapshots.get(first) else { return Vec::new() };
    let step = one(None, version);
    std::iter::once(step).chain(from_snapshot(source, first, newest_only)).collect()
}

/// From the source's snapshot at `index` to its newest: one increment, unless some on the way are left out. No step when
/// that is the newest.
pub(super) fn from_snapshot(source: &SourceDataset, index: usize, newest_only: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut from = index;
    for (to, intermediates) in source.hops(index, newest_only) {
        let (Some(base), Some(version)) = (source.snapshots.get(from), source.snapshots.get(to)) else { break };
        let snapshots = if intermediates { to - from } else { 1 };
        steps.push(Step { snapshots, intermediates, ..one(Some(Base::snapshot(base)), version) });
        from = to;
    }
    steps
}

/// From a bookmark: one increment to the next snapshot, as `-I` can't start at a bookmark, then on from there.
pub(super) fn from_bookmark(source: &SourceDataset, bookmark: Version<'_>, newest_only: bool) -> Vec<Step> {
    let newer = source.snapshots.iter().position(|version| version.txg > bookmark.txg);
    let Some(first) = newer.and_then(|next| source.next_sent(next, newest_only)) else { return Vec::new() };
    let Some(version) = source.snapshots.get(first) else { return Vec::new() };
    let base = Base { kind: BaseKind::Bookmark, name: bookmark.snapshot_name(), guid: bookmark.guid };
    let step = one(Some(base), version);
    std::iter::once(step).chain(from_snapshot(source, first, newest_only)).collect()
}

//! IV sets: what tells a raw copy from one that has got decrypted increments. A raw increment needs its base to have the same on
//! both sides; on top of an increment that came decrypted none fits any more, and the way back is to the last raw snapshot.

use std::collections::HashMap;

use super::diff::{Common, newest_common, newest_common_of};
use super::item::{Item, OnTarget};
use super::negotiate::{EncryptedAs, Negotiation};
use super::verdict::Verdict;
use super::{Conflict, ConflictKind, TargetDataset};
use zfs::BaseFacts;
use zfs::name::{DatasetName, Guid};

/// So many common snapshots at most are looked through for the last raw one.
const MOST: usize = 1000;

/// A common snapshot whose IV sets are to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPair {
    /// The item's place.
    index: usize,
    guid: Guid,
    /// The target's full name of it.
    pub there: String,
    /// The source's.
    pub here: String,
}

impl Negotiation {
    /// The common snapshots of what went on with decrypted increments, the newest first.
    #[must_use]
    pub fn wants_history(&self) -> Vec<SnapshotPair> {
        let mut all = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let OnTarget::Listed(target) = &item.on_target else { continue };
            let known = item.seen.as_ref().is_none_or(|seen| seen.last_raw.is_some());
            if known
                || !self
                    .speaks_against(item, Some(target))
                    .is_some_and(|kind| matches!(kind, ConflictKind::IvSet { .. }))
            {
                continue;
            }
            let name = item.was.as_ref().unwrap_or(&item.target_name);
            let there: HashMap<Guid, String> =
                target.snapshots.iter().map(|version| (version.guid, name.at(version.name))).collect();
            let pairs = item.source.snapshots.iter().rev().filter_map(|version| {
                let there = there.get(&version.guid)?.clone();
                Some(SnapshotPair { index, guid: version.guid, there, here: item.source_name.at(version.name) })
            });
            all.extend(pairs.take(MOST));
        }
        all
    }

    /// Takes the IV sets of both sides: the target's by the place in `asked`, the source's by name.
    pub fn history(&mut self, asked: &[SnapshotPair], there: &[(u32, BaseFacts)], here: &[(String, Guid)]) {
        let here: HashMap<&str, Guid> = here.iter().map(|(name, iv_set)| (name.as_str(), *iv_set)).collect();
        let there: HashMap<usize, Guid> =
            there.iter().filter_map(|(place, facts)| Some((usize::try_from(*place).ok()?, facts.iv_set?))).collect();
        for (place, pair) in asked.iter().enumerate() {
            let same = there.get(&place).is_some_and(|iv_set| here.get(pair.here.as_str()) == Some(iv_set));
            if let Some(seen) = self.items.get_mut(pair.index).and_then(|item| item.seen.as_mut())
                && same
                && seen.last_raw.is_none()
            {
                seen.last_raw = Some(pair.guid);
            }
        }
    }

    /// What an increment can start from, once the conflict is out of the way.
    pub(super) fn common_behind<'a>(
        item: &'a Item,
        target: &'a TargetDataset,
        kind: &ConflictKind,
    ) -> Option<Common<'a>> {
        match (kind, item.seen.as_ref().and_then(|seen| seen.last_raw)) {
            (ConflictKind::IvSet { .. }, Some(last)) => newest_common_of(&item.source, target, &|guid| guid == last),
            _ => newest_common(&item.source, target),
        }
    }

    /// The conflict of this kind, with what both sides have.
    pub(super) fn conflict_of(item: &Item, target: &TargetDataset, kind: ConflictKind) -> Conflict {
        let common = Self::common_behind(item, target, &kind);
        let kind = match kind {
            ConflictKind::IvSet { .. } => {
                let last_raw = item.seen.as_ref().and_then(|seen| seen.last_raw).and(common.as_ref());
                ConflictKind::IvSet { last_raw: last_raw.map(|common| common.there.snapshot_name()) }
            }
            kind => kind,
        };
        let common = common.as_ref().map(|common| (common.name, common.version.txg, common.there.txg));
        Conflict::new(kind, common, &item.source.snapshots, &target.snapshots)
    }

    /// Raw copies that are about to get an increment in plaintext, and what that means.
    #[must_use]
    pub fn warnings(&self) -> Vec<(DatasetName, String)> {
        let decrypts = |item: &&Item| {
            let Verdict::Send(steps) = self.verdict(item) else { return false };
            let seen = item.seen.as_ref();
            steps.first().is_some_and(|step| step.base.is_some())
                && seen.is_some_and(|seen| seen.facts.iv_set.is_some() && seen.facts.iv_set == seen.iv_set_here)
        };
        if self.encryption.sent == EncryptedAs::Raw {
            return Vec::new();
        }
        let text = |item: &Item| {
            let text = format!(
                "{} is a raw copy: after this decrypted increment, it can't receive raw ones until it is rolled back to its last raw \
                 snapshot (--rollback without --decrypt does that; only an increment is sent then)",
                item.target_name
            );
            (item.source_name.clone(), text)
        };
        self.items.iter().filter(decrypts).map(text).collect()
    }
}

#[cfg(test)]
#[path = "iv_sets_tests.rs"]
mod tests;

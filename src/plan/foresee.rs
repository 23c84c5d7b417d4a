//! What the receive will refuse, as far as that can be told before: so a dry run shows what the run would meet, nothing is given up
//! for a stream that can't be received, and the right key is asked for.

use std::collections::{BTreeSet, HashSet};

use super::blocked::Blocked;
use super::diff::newest_common;
use super::item::{Item, OnTarget, Seen};
use super::negotiate::{EncryptedAs, Listing, Negotiation};
use super::step::{BaseKind, Step};
use super::verdict::Verdict;
use super::{ConflictKind, TargetDataset};
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};
use zfs::{BaseFacts, snapshot_of};

/// The snapshot that an increment starts from, on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BaseNames {
    guid: Guid,
    /// The source's full name of it, or of its bookmark.
    here: String,
    /// The target's name of it.
    there: SnapshotName,
}

/// Where a dataset will be made.
enum Place {
    /// Below a dataset that is there.
    Below(DatasetName),
    /// Below a raw copy that comes into being before: nobody has loaded its key.
    BelowNew(DatasetName),
    /// Where nothing is encrypted.
    Plain,
}

impl Item {
    /// Whether the target has the key of a dataset above, and the source doesn't have it of the dataset at that place. A raw increment
    /// brings the key as the source has it wrapped, and what the copy inherits doesn't open that.
    fn has_foreign_key(&self) -> bool {
        let root = self.seen.as_ref().and_then(|seen| seen.facts.encryption_root.as_ref());
        let up = root.and_then(|root| self.target_name.below(root)).map_or(0, |path| path.depth());
        up > 0 && self.facts.is_some_and(|facts| facts.root_up != up)
    }

    fn base_names(&self) -> Option<BaseNames> {
        let here = |kind, name: &str| match kind {
            BaseKind::Snapshot => self.source_name.at(name),
            BaseKind::Bookmark => format!("{}#{name}", self.source_name),
        };
        match &self.on_target {
            OnTarget::Based(kind @ BaseKind::Snapshot, at) => {
                let version = self.source.snapshots.get(*at)?;
                let there = version.snapshot_name();
                Some(BaseNames { guid: version.guid, here: here(*kind, version.name), there })
            }
            OnTarget::Based(kind @ BaseKind::Bookmark, at) => {
                let mark = self.source.bookmarks.get(*at)?;
                let there = snapshot_of(&mark).parse().ok()?;
                Some(BaseNames { guid: mark.guid, here: here(*kind, mark.name), there })
            }
            OnTarget::Listed(target) => {
                let common = newest_common(&self.source, target)?;
                let there = common.there.snapshot_name();
                Some(BaseNames { guid: common.version.guid, here: here(common.kind, common.version.name), there })
            }
            _ => None,
        }
    }
}

impl Negotiation {
    /// What of the target is listed in full, before anything is said or done.
    #[must_use]
    pub fn with_listing(mut self, listing: Listing) -> Self {
        self.listing = listing;
        self
    }

    /// Whether the streams of an item are raw; `None` where that isn't known.
    pub(super) fn sends_raw(&self, item: &Item) -> Option<bool> {
        Some(item.facts?.encrypted && self.encryption.sent == EncryptedAs::Raw)
    }

    /// Snapshots and datasets of the target of which more must be known, each with its item: those that will be sent to, where
    /// the user must see the truth or one of both sides may be encrypted.
    #[must_use]
    pub fn wants_bases(&self) -> Vec<(usize, String)> {
        let wanted = |(index, item): (usize, &Item)| {
            let encrypted = item.facts.is_some_and(|facts| facts.encrypted);
            let listed = matches!(item.on_target, OnTarget::Listed(_));
            if item.seen.is_some() || !(encrypted || self.listing == Listing::AllBehind && listed) {
                return None;
            }
            let there = item.was.as_ref().unwrap_or(&item.target_name);
            match item.base_names() {
                Some(base) => Some((index, there.at(base.there.as_str()))),
                None => listed.then(|| (index, there.to_string())),
            }
        };
        let items = self.items.iter().enumerate().filter(|(_, item)| !self.is_in_sync(item));
        items.filter_map(wanted).collect()
    }

    fn is_in_sync(&self, item: &Item) -> bool {
        matches!(self.verdict(item), Verdict::InSync | Verdict::NoSnapshots)
    }

    /// Takes the answers, by their items. What nobody has told isn't asked for again.
    pub fn bases(&mut self, asked: &[(usize, String)], answers: Vec<(u32, BaseFacts)>) {
        for (index, _) in asked {
            if let Some(item) = self.items.get_mut(*index) {
                item.seen = Some(Seen::default());
            }
        }
        for (place, facts) in answers {
            let index = usize::try_from(place).ok().and_then(|place| asked.get(place)).map(|(index, _)| *index);
            let Some(item) = index.and_then(|index| self.items.get_mut(index)) else { continue };
            let base = item.base_names().map(|base| base.guid);
            item.seen = Some(Seen { base, facts, ..Seen::default() });
        }
    }

    /// Snapshots and bookmarks of the source whose IV sets are to be compared with the target's.
    #[must_use]
    pub fn wants_iv_sets(&self) -> Vec<String> {
        let asked = |item: &&Item| {
            (item.seen.as_ref()).is_some_and(|seen| seen.facts.iv_set.is_some() && seen.iv_set_here.is_none())
        };
        self.items.iter().filter(asked).filter_map(Item::base_names).map(|base| base.here).collect()
    }

    /// Takes them. What the target's answers speak against is listed then, as the user must be told in full.
    pub fn iv_sets(&mut self, found: &[(String, Guid)]) {
        let found: std::collections::HashMap<&str, Guid> =
            found.iter().map(|(name, iv_set)| (name.as_str(), *iv_set)).collect();
        for item in &mut self.items {
            let here = item.base_names().and_then(|base| found.get(base.here.as_str()).copied());
            if let Some(seen) = &mut item.seen {
                seen.iv_set_here = seen.iv_set_here.or(here);
            }
        }
        let doubtful: Vec<usize> = (self.items.iter().enumerate())
            .filter(|(_, item)| {
                matches!(item.on_target, OnTarget::Based(..)) && self.speaks_against(item, None).is_some()
            })
            .map(|(index, _)| index)
            .collect();
        for index in doubtful {
            self.items[index].on_target = OnTarget::Unlisted;
        }
    }

    /// What the target's answers say against an increment: first what nothing on the target helps against. Without a listing it isn't
    /// known whether the base is the newest there.
    pub(super) fn speaks_against(&self, item: &Item, target: Option<&TargetDataset>) -> Option<ConflictKind> {
        let raw = self.sends_raw(item)?;
        let seen = item.seen.as_ref();
        let base = item.base_names().map(|base| base.guid);
        let (written, iv_sets) = match seen.filter(|seen| seen.base.is_some() && seen.base == base) {
            Some(seen) => (seen.facts.written, seen.facts.iv_set.zip(seen.iv_set_here)),
            None => (None, None),
        };
        let encrypted_there = target.map_or_else(
            || seen.is_none_or(|seen| seen.base.is_none() || seen.facts.encryption_root.is_some()),
            |target| target.encryption.is_on(),
        );
        if raw && !encrypted_there {
            return Some(ConflictKind::Encryption);
        }
        // No rollback helps against this one.
        if raw && item.has_foreign_key() && !self.encryption.allow_key_mismatch {
            return Some(ConflictKind::KeyMismatch);
        }
        if raw && iv_sets.is_some_and(|(there, here)| there != here) {
            return Some(ConflictKind::IvSet { last_raw: None });
        }
        let newer = target.and_then(|target| {
            let newest = target.snapshots.newest()?;
            Some(base.is_some_and(|base| newest.guid != base))
        });
        let has_own = newer.unwrap_or(false);
        let written = written.is_some_and(|written| written > 0);
        match (has_own, written) {
            // A raw increment fits on top of the newest snapshot alone.
            (true, false) if raw => Some(ConflictKind::OwnSnapshots),
            (true, true) => Some(ConflictKind::Diverged),
            (false, true) => Some(ConflictKind::Modified),
            _ => None,
        }
    }

    /// Whether a plain stream would need a key that isn't loaded over there.
    pub(super) fn blocked(&self, item: &Item) -> Option<Blocked> {
        let plain = !self.sends_raw(item)?;
        let facts = &item.seen.as_ref()?.facts;
        let root = facts.encryption_root.clone().filter(|_| plain && !facts.key_loaded)?;
        Some(Blocked::KeyNotLoaded { root: Some(root) })
    }

    /// The item right above, in whose target it will be made.
    pub(super) fn holder(&self, item: &Item) -> Option<&Item> {
        let mut up = std::iter::successors(item.source.path.parent(), RelPath::parent);
        up.find_map(|path| self.find(&path).filter(|above| !above.source.snapshots.is_empty()))
    }

    /// Whether it isn't encrypted, and what lies right above it is sent raw.
    pub(super) fn is_plain_below_raw(&self, item: &Item) -> bool {
        item.facts.is_some_and(|facts| !facts.encrypted)
            && self.holder(item).is_some_and(|above| self.sends_raw(above) == Some(true))
    }

    /// Where a dataset that doesn't exist yet will be made, as far as what is there decides how it is stored.
    fn place_of(&self, item: &Item) -> Place {
        match self.holder(item) {
            Some(above) if above.on_target != OnTarget::Missing => Place::Below(above.target_name.clone()),
            Some(above) if self.sends_raw(above) == Some(true) => Place::BelowNew(above.target_name.clone()),
            Some(above) if self.encryption.allow_unencrypted && self.is_plain_below_raw(above) => Place::Plain,
            Some(above) => self.place_of(above),
            None => {
                let up = std::iter::successors(item.target_name.parent(), DatasetName::parent);
                up.into_iter().find(|name| self.existing.contains(name)).map_or(Place::Plain, Place::Below)
            }
        }
    }

    /// Datasets of the target of which it must be known how they are encrypted, as plain streams will make others below them.
    #[must_use]
    pub fn wants_holders(&self) -> Vec<DatasetName> {
        let missing =
            self.items.iter().filter(|item| item.on_target == OnTarget::Missing && self.sends_raw(item) == Some(false));
        let wanted = missing
            .filter(|item| self.listing == Listing::AllBehind || self.is_plain_below_raw(item))
            .filter_map(|item| match self.place_of(item) {
                Place::Below(name) if !self.holders.contains_key(&name) && !self.unread.contains(&name) => Some(name),
                _ => None,
            });
        wanted.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Takes the answers, by the place in `asked`.
    pub fn holders(&mut self, asked: &[DatasetName], answers: Vec<(u32, BaseFacts)>) {
        for (place, facts) in answers {
            if let Some(name) = usize::try_from(place).ok().and_then(|place| asked.get(place)) {
                self.holders.insert(name.clone(), facts);
            }
        }
    }

    /// Datasets of the target that will be made only to hold others.
    pub(super) fn placeholders_to_make(&self) -> HashSet<DatasetName> {
        self.plan().datasets.into_iter().flat_map(|planned| planned.ancestors).collect()
    }

    /// Datasets without snapshots whose placeholders no stream will ever fill, and what that means: ZFS puts no full stream in the
    /// place of something where one of both is encrypted. `encrypted`: what is made on the target inherits encryption.
    #[must_use]
    pub fn unfillable(&self, encrypted: bool) -> Vec<(DatasetName, String)> {
        let made = self.placeholders_to_make();
        let stays =
            |item: &&Item| made.contains(&item.target_name) && self.sends_raw(item).is_some_and(|raw| raw || encrypted);
        let text = |item: &Item| {
            let text = format!(
                "it has no snapshot, so {} is created to hold the datasets below; a stream can't be received into that later, as one of them is \
                 encrypted: take a snapshot of it first to avoid this",
                item.target_name
            );
            (item.source_name.clone(), text)
        };
        self.items.iter().filter(stays).map(text).collect()
    }

    /// Datasets of the target in which some will be made, although they have nothing in common with what lies above those here.
    #[must_use]
    pub fn strangers(&self) -> BTreeSet<DatasetName> {
        let missing =
            self.items.iter().filter(|item| item.on_target == OnTarget::Missing && !item.source.snapshots.is_empty());
        // Many lie below the same ones.
        let above: HashSet<RelPath> =
            missing.flat_map(|item| std::iter::successors(item.source.path.parent(), RelPath::parent)).collect();
        let strangers = above.iter().filter_map(|path| self.find(path)).filter(|above| self.is_stranger(above));
        strangers.map(|above| above.target_name.clone()).collect()
    }

    /// Whether a dataset of the target has nothing in common with its source.
    fn is_stranger(&self, item: &Item) -> bool {
        let listed = matches!(item.on_target, OnTarget::Listed(_));
        listed && matches!(self.verdict(item), Verdict::Conflict(conflict) if conflict.kind.is_no_common())
    }

    /// Whether a dataset that doesn't exist yet would be made in another source's copy.
    pub(super) fn in_anothers(&self, item: &Item) -> Option<Blocked> {
        let mut up = std::iter::successors(item.source.path.parent(), RelPath::parent);
        // The verdict is what takes long, and there are few of those.
        let above = up.find_map(|path| {
            self.find(&path).filter(|above| self.is_anothers(&above.target_name) && self.is_stranger(above))
        })?;
        Some(Blocked::InAnothers { above: above.target_name.clone() })
    }

    /// Why a dataset that doesn't exist yet can't be made.
    pub(super) fn blocked_above(&self, item: &Item) -> Option<Blocked> {
        let mixed = self.is_plain_below_raw(item);
        if self.sends_raw(item)? || (mixed && self.encryption.allow_unencrypted) {
            return None;
        }
        match self.place_of(item) {
            Place::Plain => None,
            Place::BelowNew(above) => Some(Blocked::PlainBelowRaw { above }),
            Place::Below(above) => {
                let facts = self.holders.get(&above).filter(|facts| !facts.key_loaded)?;
                let root = facts.encryption_root.clone()?;
                Some(if mixed { Blocked::PlainBelowRaw { above } } else { Blocked::KeyNotLoaded { root: Some(root) } })
            }
        }
    }

    /// The verdict about a listed target with what can be told before.
    pub(super) fn foresee(&self, item: &Item, target: &TargetDataset, verdict: Verdict) -> Verdict {
        let kind = match &verdict {
            Verdict::FillEmpty(steps) if from_the_start(steps) => {
                // `zfs receive -F` destroys nothing encrypted, and puts nothing encrypted in the place of something.
                let refused = self.sends_raw(item) == Some(true) || target.encryption.is_on();
                refused.then_some(ConflictKind::EncryptedInPlace)
            }
            Verdict::Send(steps) if steps.first().is_some_and(|step| step.resume.is_none() && step.base.is_some()) => {
                if let Some(blocked) = self.blocked(item) {
                    return Verdict::Blocked(blocked);
                }
                self.speaks_against(item, Some(target))
            }
            // A rollback would be in vain where encryption speaks against the increment, too; and the receive's words don't tell own
            // snapshots from this.
            Verdict::Conflict(conflict) if conflict.kind == ConflictKind::Diverged => {
                let says_less = |kind: &ConflictKind| matches!(kind, ConflictKind::Diverged | ConflictKind::Modified);
                self.speaks_against(item, Some(target)).filter(|kind| !says_less(kind))
            }
            _ => None,
        };
        let kind = kind.or_else(|| self.holds_others(item, &verdict));
        kind.map_or(verdict, |kind| Verdict::Conflict(Self::conflict_of(item, target, kind)))
    }
}

pub(super) fn from_the_start(steps: &[Step]) -> bool {
    steps.first().is_some_and(|step| step.resume.is_none() && step.base.is_none())
}

#[cfg(test)]
#[path = "foresee_tests.rs"]
mod tests;

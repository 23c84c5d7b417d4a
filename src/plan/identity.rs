//! What a negotiation tells of who the target is, and of what it has.

use super::SourceDataset;
use super::item::{Item, OnTarget};
use super::registry::has_old;
use super::{BaseKind, Negotiation, Plan, Verdict};
use zfs::name::Guid;
use zfs::{Tags, Version};

impl Negotiation {
    /// Believes what our own bookmarks for this target say: each stands for what was the target's newest snapshot after the
    /// last run, however many newer ones the source has by now.
    #[must_use]
    pub fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = Some(tags);
        self
    }

    /// The same, once it is known who the target is.
    pub fn believe(&mut self, tags: Tags) {
        self.tags = Some(tags);
    }

    /// The guid of the target's pool's root dataset, once the target has told it. Unlike the pool's own it takes no other command than
    /// `zfs list`, which everybody may use, and comes with the first answers.
    #[must_use]
    pub fn pool_guid(&self) -> Option<Guid> {
        self.guids.iter().find(|(name, _)| name.as_str() == self.target.pool()).map(|(_, guid)| *guid)
    }

    /// The guid of TARGET's dataset, if it exists.
    #[must_use]
    pub fn top_guid(&self) -> Option<Guid> {
        self.guids.get(&self.target).copied()
    }

    /// Whether the target has what bookmarks with old tags say that it has, where there are none of newer ones: then they are its
    /// own.
    #[must_use]
    pub fn has_old_marks(&self, tags: &Tags) -> bool {
        self.items.iter().any(|item| has_old(&item.source, &tags.of(&item.target_name), |guid| item.target_has(guid)))
    }

    /// Whether the target has something of the source, or gets it by this plan.
    #[must_use]
    pub fn is_served(&self, plan: &Plan) -> bool {
        let gets = |verdict: &Verdict| {
            !matches!(verdict, Verdict::NoSnapshots | Verdict::Conflict(_) | Verdict::Blocked(_) | Verdict::Withheld(_))
        };
        let mut all = plan.datasets.iter().enumerate();
        all.any(|(index, planned)| gets(&planned.verdict) || self.newest_common(index).is_some())
    }

    /// The newest snapshot of the source that the target has too, where the target was listed in full.
    #[must_use]
    pub fn newest_common(&self, index: usize) -> Option<Version<'_>> {
        let Item { source, on_target: OnTarget::Listed(target), .. } = self.items.get(index)? else { return None };
        let there: std::collections::HashSet<Guid> = target.snapshots.iter().map(|one| one.guid).collect();
        let SourceDataset { snapshots, bookmarks, .. } = source;
        let common = snapshots.iter().rev().find(|one| there.contains(&one.guid))?;
        // A bookmark that is newer tells more.
        let newer = bookmarks.iter().any(|mark| mark.txg > common.txg && there.contains(&mark.guid));
        (!newer).then_some(common)
    }
}

impl Item {
    /// Whether the target is known to have this snapshot.
    fn target_has(&self, guid: Guid) -> bool {
        let is_it = |version: Option<Version<'_>>| version.is_some_and(|version| version.guid == guid);
        match &self.on_target {
            OnTarget::Settled(Verdict::InSync) => is_it(self.source.snapshots.newest()),
            OnTarget::Based(BaseKind::Snapshot, at) => is_it(self.source.snapshots.get(*at)),
            OnTarget::Based(BaseKind::Bookmark, at) => is_it(self.source.bookmarks.get(*at)),
            OnTarget::Listed(target) => target.snapshots.iter().any(|version| version.guid == guid),
            _ => false,
        }
    }
}

//! Which bookmarks a plan may start from: those that are proven to belong to the history of their dataset. See [`super::proof`].

use super::blocked::Blocked;
use super::diff::newest_common;
use super::item::{Item, OnTarget};
use super::negotiate::Negotiation;
use super::proof::{Doubt, Proof, Proofs, Sign};
use super::step::BaseKind;
use super::verdict::Verdict;
use zfs::name::{DatasetName, Guid};

/// What became of doubts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// What the user should know of a dataset.
    pub notices: Vec<(DatasetName, String)>,
    /// Datasets that go on from a bookmark that nothing proves, and that nothing speaks against.
    pub unproven: Vec<DatasetName>,
}

impl Negotiation {
    /// Believes bookmarks that nothing proves, too.
    #[must_use]
    pub fn with_unproven_bookmarks(mut self, allowed: bool) -> Self {
        self.allow_unproven = allowed;
        self
    }

    /// What is to be found out about bookmarks before anything starts from them; ask once all that must be listed is.
    #[must_use]
    pub fn wants_proofs(&self) -> Vec<Doubt> {
        (0..self.items.len()).filter_map(|index| self.wants_proof_of(index)).collect()
    }

    /// The same for one dataset.
    #[must_use]
    pub fn wants_proof_of(&self, index: usize) -> Option<Doubt> {
        let item = self.items.get(index)?;
        item.base_mark().filter(|guid| !item.proofs.contains_key(guid))?;
        let idle = matches!(self.verdict(item), Verdict::InSync | Verdict::NoSnapshots);
        (!idle).then(|| item.source.doubt(index, &item.source_name))
    }

    /// Takes what was found out. A bookmark behind which its dataset went back is none any more; what would have started from it is
    /// to be listed.
    pub fn proofs(&mut self, found: Proofs) -> Settled {
        let mut settled = Settled::default();
        for (index, proofs) in found {
            let Some(item) = self.items.get_mut(index) else { continue };
            let base = item.base_mark();
            item.proofs.extend(proofs);
            match base.and_then(|base| item.proofs.get(&base)) {
                Some(Proof::WentBack(txg)) => {
                    let mark = base.and_then(|base| item.source.bookmarks.iter().find(|mark| mark.guid == base));
                    let name = mark.map(|mark| mark.name).unwrap_or_default();
                    let text = format!(
                        "the bookmark #{name} no longer belongs to this dataset's history: a receive rolled the dataset back past it \
                         (zpool history -i, txg {}); nothing is sent from it",
                        txg.0
                    );
                    settled.notices.push((item.source_name.clone(), text));
                }
                Some(Proof::Unknown(Sign::None)) => settled.unproven.push(item.source_name.clone()),
                Some(Proof::Unknown(_)) if self.allow_unproven => settled.unproven.push(item.source_name.clone()),
                _ => {}
            }
            item.drop_false_marks();
        }
        settled.unproven.sort();
        settled
    }

    /// Whether the target was found to have this snapshot.
    #[must_use]
    pub fn target_has(&self, index: usize, guid: Guid) -> bool {
        match self.items.get(index).map(|item| &item.on_target) {
            Some(OnTarget::Listed(target)) => target.snapshots.iter().any(|snapshot| snapshot.guid == guid),
            _ => false,
        }
    }

    /// Whether the target was found to have neither this nor anything newer of the source: a bookmark that tells otherwise is wrong.
    #[must_use]
    pub fn target_lacks(&self, index: usize, guid: Guid) -> bool {
        let Some(item) = self.items.get(index) else { return false };
        let target = match &item.on_target {
            OnTarget::Missing => return true,
            OnTarget::Listed(target) if !target.snapshots.iter().any(|snapshot| snapshot.guid == guid) => target,
            _ => return false,
        };
        let place = item.source.place_of(guid);
        let common = newest_common(&item.source, target).map(|common| common.version.txg);
        // What the target has pruned itself is no doubt about what is newer.
        place.zip(common).is_none_or(|(place, common)| common < place)
    }

    /// Why steps must not start where they would.
    pub(super) fn unproven(&self, item: &Item, verdict: &Verdict) -> Option<Blocked> {
        let base = verdict.steps().first()?.base.as_ref().filter(|base| base.kind == BaseKind::Bookmark)?;
        let sign = item.proofs.get(&base.guid)?.objection(self.allow_unproven)?;
        Some(Blocked::UnprovenBookmark { mark: base.name.clone(), sign })
    }
}

impl Item {
    /// The bookmark of a snapshot that is gone, from which its increments would start.
    fn base_mark(&self) -> Option<Guid> {
        match &self.on_target {
            OnTarget::Based(BaseKind::Bookmark, at) => Some(self.source.bookmarks.get(*at)?.guid),
            OnTarget::Listed(target) => {
                let common = newest_common(&self.source, target)?;
                (common.kind == BaseKind::Bookmark).then_some(common.version.guid)
            }
            _ => None,
        }
    }

    /// Forgets the bookmarks that are known to be false.
    pub(super) fn drop_false_marks(&mut self) {
        let proofs = &self.proofs;
        let changed = self.source.disown(|guid| matches!(proofs.get(&guid), Some(Proof::WentBack(_))));
        // Its place is another's now.
        if changed && matches!(self.on_target, OnTarget::Based(BaseKind::Bookmark, _)) {
            self.on_target = OnTarget::Unlisted;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::plan::SourceDataset;
    use crate::plan::fixture::{self, numbered as versions};
    use zfs::name::Txg;

    fn source() -> SourceDataset {
        SourceDataset {
            snapshots: versions(&[("new", 9)]),
            bookmarks: versions(&[("mark", 5)]),
            ..SourceDataset::default()
        }
    }

    /// A target that has what the bookmark is of.
    fn listed() -> Negotiation {
        let names = ("p/s".parse().unwrap(), "p/t".parse().unwrap());
        let mut negotiation = Negotiation::new(&names.0, &names.1, vec![source()], false);
        negotiation.relist(0, None);
        negotiation.relisted(0, Some(fixture::target(versions(&[("old", 5)]))));
        negotiation
    }

    fn found(proof: Proof) -> Proofs {
        Proofs::from([(0, HashMap::from([(Guid(5), proof)]))])
    }

    #[test]
    fn what_is_proven_is_proven_until_the_source_is_listed_anew() {
        let mut negotiation = listed();
        assert_eq!(negotiation.wants_proof_of(0).unwrap().marks, [(Guid(5), Txg(5))]);
        assert_eq!(negotiation.proofs(found(Proof::Holds)), Settled::default());
        assert_eq!(negotiation.wants_proof_of(0), None);
        negotiation.source_relisted(0, source());
        assert!(negotiation.wants_proof_of(0).is_some(), "what took snapshots away may have gone back behind it");
    }

    #[test]
    fn what_went_back_stays_so() {
        let mut negotiation = listed();
        let settled = negotiation.proofs(found(Proof::WentBack(Txg(7))));
        assert!(settled.notices[0].1.contains("#mark no longer belongs"), "{settled:?}");
        for _ in 0..2 {
            assert!(negotiation.source(0).unwrap().bookmarks.is_empty());
            assert_eq!(negotiation.source(0).unwrap().false_bookmarks.len(), 1);
            negotiation.source_relisted(0, source());
        }
    }

    #[test]
    fn what_nothing_proves_needs_leave_where_something_is_received() {
        for (sign, allowed, sends) in [(Sign::None, false, true), (Sign::Note, false, false), (Sign::Note, true, true)]
        {
            let mut negotiation = listed().with_unproven_bookmarks(allowed);
            let settled = negotiation.proofs(found(Proof::Unknown(sign)));
            assert_eq!(settled.unproven.len(), usize::from(sends), "{sign:?} {allowed}");
            let verdict = negotiation.verdict(&negotiation.items[0]);
            assert_eq!(matches!(verdict, Verdict::Send(_)), sends, "{verdict:?}");
        }
    }
}

//! What comes of the datasets above changes what is done with those below. A run learns it as it goes; a dry run can only reckon.

use std::collections::HashMap;

use super::contact::Withheld;
use super::diff::{full, newest_common};
use super::item::{Item, OnTarget};
use super::negotiate::Negotiation;
use super::{ConflictKind, Placement, Plan, Verdict};
use zfs::name::{DatasetName, Guid};
use zfs::{Resolution, Restore};

/// A dataset that will be set aside with all below it, and what comes back.
struct Aside<'a> {
    dataset: &'a DatasetName,
    restored: HashMap<&'a DatasetName, Guid>,
}

impl Negotiation {
    /// The plan as a run carries it out. What lies below a dataset that is set aside continues from the snapshot up to which it comes
    /// back, or is sent in full; what needs a dataset above it that can't be replicated isn't sent. `refused`: whether the dataset at this place has been tried, and its resolution is
    /// refused or nothing can be sent.
    #[must_use]
    pub fn in_turn(&self, plan: &Plan, refused: &dyn Fn(usize) -> bool) -> Plan {
        let mut turned = plan.clone();
        let mut aside: Vec<Aside<'_>> = Vec::new();
        let mut fails: HashMap<usize, &DatasetName> = HashMap::new();
        // Those above come first.
        for (place, (planned, item)) in turned.datasets.iter_mut().zip(&self.items).enumerate() {
            let verdict = &plan.datasets[place].verdict;
            // The nearest.
            let moved = aside.iter().rev().find(|above| item.target_name.is_within(above.dataset));
            if let Some(changed) = moved.and_then(|above| self.after_set_aside(item, verdict, above)) {
                planned.verdict = changed;
            } else if let Some(Resolution::SetAside { dataset, restore, .. }) = verdict.resolution()
                && !refused(place)
            {
                let restored = restore.iter().map(|one| (&one.dataset, one.guid)).collect();
                aside.push(Aside { dataset, restored });
            }
            match &planned.verdict {
                Verdict::Conflict(_) | Verdict::Blocked(_) | Verdict::Unresolved => {
                    fails.insert(place, &item.source_name);
                }
                _ if refused(place) && planned.placement == Placement::Create => {
                    fails.insert(place, &item.source_name);
                }
                verdict if !verdict.steps().is_empty() && planned.placement == Placement::Create => {
                    if let Some(above) = planned.after.and_then(|above| fails.get(&above).copied()) {
                        // What lies below is told what has gone wrong, not what came of that.
                        fails.insert(place, above);
                        planned.verdict = Verdict::Withheld(Withheld::Above(above.clone()));
                    }
                }
                _ => {}
            }
        }
        turned
    }

    /// `None`: it stays as it was planned.
    fn after_set_aside(&self, item: &Item, verdict: &Verdict, above: &Aside<'_>) -> Option<Verdict> {
        if matches!(verdict, Verdict::NoSnapshots) || item.on_target == OnTarget::Missing {
            return None;
        }
        let Some(guid) = above.restored.get(&item.target_name) else {
            let sent = Verdict::with(Verdict::Send, full(&item.source, self.newest_only));
            return Some(item.name_too_long(&sent).map_or(sent, Verdict::Blocked));
        };
        let in_the_way = match verdict {
            // To come back is no help against these.
            Verdict::Conflict(conflict) => !matches!(conflict.kind, ConflictKind::KeyMismatch | ConflictKind::Ahead),
            verdict => matches!(verdict, Verdict::Resolve(_)),
        };
        if !in_the_way || is_set_aside_for_more(verdict.resolution(), *guid) {
            return None;
        }
        // It comes back without what was in the way.
        let OnTarget::Listed(target) = &item.on_target else { return None };
        let steps = newest_common(&item.source, target)?.steps(&item.source, self.newest_only);
        Some(if steps.is_empty() { Verdict::InSync } else { Verdict::with(Verdict::Send, steps) })
    }
}

/// Whether what comes back up to this snapshot has to be set aside once more.
pub(super) fn is_set_aside_for_more(resolution: Option<&Resolution>, guid: Guid) -> bool {
    let Some(Resolution::SetAside { restore, .. }) = resolution else { return false };
    restore.first().is_none_or(|one: &Restore| one.guid != guid)
}

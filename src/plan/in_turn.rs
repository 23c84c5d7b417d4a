//! What comes of the datasets above changes what is done with those below. A run learns it as it goes; a dry run can only reckon.

use std::collections::HashMap;

use super::contact::Withheld;
use super::diff::{full, newest_common};
use super::item::{Item, OnTarget};
use super::negotiate::Negotiation;
use super::set_aside::{Asides, Lot};
use super::{ConflictKind, Placement, Plan, Verdict};
use zfs::Resolution;
use zfs::name::DatasetName;

impl Negotiation {
    /// The plan as a run carries it out. What lies below a dataset that is set aside continues from the snapshot up to which it comes
    /// back, or is sent in full; what needs a dataset above it that can't be replicated isn't sent. `refused`: whether the dataset at this place has been tried, and its resolution is
    /// refused or nothing can be sent.
    #[must_use]
    pub fn in_turn(&self, plan: &Plan, refused: &dyn Fn(usize) -> bool) -> Plan {
        let mut turned = plan.clone();
        let mut asides = Asides::default();
        let mut fails: HashMap<usize, &DatasetName> = HashMap::new();
        // Those above come first.
        for (place, (planned, item)) in turned.datasets.iter_mut().zip(&self.items).enumerate() {
            let verdict = &plan.datasets[place].verdict;
            if let Some(changed) = self.after_set_aside(item, verdict, &asides) {
                planned.verdict = changed;
            } else if let Some(Resolution::SetAside { dataset, restore, .. }) = verdict.resolution()
                && !refused(place)
            {
                asides.push(dataset, restore.iter().map(|one| (one.dataset.clone(), one.guid)).collect());
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
    fn after_set_aside(&self, item: &Item, verdict: &Verdict, asides: &Asides) -> Option<Verdict> {
        if matches!(verdict, Verdict::NoSnapshots) || item.on_target == OnTarget::Missing {
            return None;
        }
        match asides.lot(&item.target_name, verdict.resolution()) {
            Lot::Untouched => None,
            Lot::Leaves => {
                let sent = Verdict::with(Verdict::Send, full(&item.source, self.newest_only));
                Some(item.name_too_long(&sent).map_or(sent, Verdict::Blocked))
            }
            Lot::ComesBack => {
                let in_the_way = match verdict {
                    // To come back is no help against these.
                    Verdict::Conflict(conflict) => {
                        !matches!(conflict.kind, ConflictKind::KeyMismatch | ConflictKind::Ahead)
                    }
                    verdict => matches!(verdict, Verdict::Resolve(_)),
                };
                // It comes back without what was in the way.
                let OnTarget::Listed(target) = &item.on_target else { return None };
                let common = newest_common(&item.source, target).filter(|_| in_the_way)?;
                let steps = common.steps(&item.source, self.newest_only);
                Some(if steps.is_empty() { Verdict::InSync } else { Verdict::with(Verdict::Send, steps) })
            }
        }
    }
}

//! Datasets whose copies have each other's names on the target: said of a conflict, as far as what was listed anyway tells.

use std::collections::{HashMap, HashSet};

use super::conflict::Beside;
use super::item::OnTarget;
use super::negotiate::Negotiation;
use super::placement::PlannedDataset;
use super::{ConflictKind, Verdict};
use zfs::name::{DatasetName, Guid};

impl Negotiation {
    /// Tells the conflicts of datasets of which another one of TARGET has the snapshots.
    pub(super) fn mark_swapped(&self, datasets: &mut [PlannedDataset]) {
        let is_foreign = |planned: &PlannedDataset| match &planned.verdict {
            Verdict::Conflict(conflict) => conflict.kind == ConflictKind::NoCommon,
            _ => false,
        };
        let strangers: Vec<usize> = (0..datasets.len()).filter(|at| is_foreign(&datasets[*at])).collect();
        if strangers.len() < 2 {
            return;
        }
        let mut there: HashMap<Guid, usize> = HashMap::new();
        for at in &strangers {
            if let OnTarget::Listed(target) = &self.items[*at].on_target {
                there.extend(target.snapshots.iter().map(|version| (version.guid, *at)));
            }
        }
        // Newest first: that is the copy that goes on.
        let copy_of = |at: &usize| {
            let here = self.items[*at].source.snapshots.iter().rev();
            Some((*at, *here.map(|version| version.guid).find_map(|guid| there.get(&guid))?))
        };
        let copies: HashMap<usize, usize> = strangers.iter().filter_map(copy_of).collect();
        let mut moved: HashSet<DatasetName> = HashSet::new();
        for at in strangers {
            let Some(copy) = copies.get(&at) else { continue };
            let (name, other) = (&self.items[at].target_name, &self.items[*copy].target_name);
            let mut text = format!("'{other}' has its snapshots");
            let goes_along = name.ancestors().iter().any(|above| moved.contains(above));
            let is_swapped = copies.get(copy) == Some(&at);
            if is_swapped && *copy < at && moved.contains(other) {
                text = format!(
                    "{text}, and the other way round: the conflict of {} has the commands",
                    self.items[*copy].source_name
                );
            } else if is_swapped && !goes_along && !name.is_within(other) && !other.is_within(name) {
                moved.extend([name.clone(), other.clone()]);
                text = format!("{text}, and the other way round: {}", swap(name, other));
            } else {
                text += "; rename it, or what is above it, on the target's host (zfs rename), and run again";
            }
            if let Verdict::Conflict(conflict) = &mut datasets[at].verdict {
                conflict.beside = Some(Box::new(Beside::CopyIs(text)));
            }
        }
    }
}

/// What gives each the other's name.
fn swap(one: &DatasetName, other: &DatasetName) -> String {
    let rename = |from: &str, to: &str| format!("zfs rename {} {}", shell_words::quote(from), shell_words::quote(to));
    let aside = format!("{one}.swap");
    format!(
        "{}; {}; {} on the target's host, and run again",
        rename(one.as_str(), &aside),
        rename(other.as_str(), one.as_str()),
        rename(&aside, other.as_str())
    )
}

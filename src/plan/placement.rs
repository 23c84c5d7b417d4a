//! From verdicts to the plan: where each stream goes, what must exist before it, and who waits for whom.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::item::{Item, OnTarget};
use super::negotiate::Negotiation;
use super::shared_key::Sharer;
use super::{Conflict, ConflictKind, Misfit, Verdict};
use zfs::name::{DatasetName, RelPath};
use zfs::{Kind, Resolution};

/// Where a dataset's first stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// Into the dataset that is there.
    Existing,
    /// It comes into being with the stream.
    Create,
    /// Into an existing filesystem that is empty, which the stream replaces.
    IntoEmpty,
    /// Into an existing filesystem whose snapshots `--replace` has destroyed, in place of its content.
    Overwrite,
}

/// One dataset of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDataset {
    /// Here.
    pub source: DatasetName,
    /// There.
    pub target: DatasetName,
    /// What is to be done.
    pub verdict: Verdict,
    /// Where its first stream goes.
    pub placement: Placement,
    /// What it is; `Filesystem` where nobody needed to know.
    pub kind: Kind,
    /// Whether the source is encrypted; `None` where nobody needed to know.
    pub encrypted: Option<bool>,
    /// Whether it comes into being unencrypted, below an encrypted dataset.
    pub unencrypted: bool,
    /// What of the target has the same key and gets no increment, while this one gets a raw one.
    pub shares_key_with: Option<Sharer>,
    /// Whether it is the top of a new tree on the target, or comes into being below what is no copy: it gets `readonly=on`.
    pub top: bool,
    /// Datasets of the target to create before, the highest first.
    pub ancestors: Vec<DatasetName>,
    /// That one of them which is the top of a new tree.
    pub top_ancestor: Option<DatasetName>,
    /// The place in the plan of the dataset that must be received before this one can be created; where that one is in
    /// conflict and not there, this one can't be.
    pub after: Option<usize>,
    /// The place in the plan of the nearest dataset above.
    pub above: Option<usize>,
}

/// The plan for all selected datasets, parents before children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The datasets.
    pub datasets: Vec<PlannedDataset>,
    /// Those that can't be called so on the target.
    pub misfits: Vec<Misfit>,
    /// The nearest dataset of the target, at TARGET or above, that exists; `None` when not even the pool does.
    pub nearest: Option<DatasetName>,
    /// Whether each dataset has to wait until the one above it is through, since a resolution could move or destroy it.
    pub gated: bool,
}

impl Plan {
    /// How many steps are known so far.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.datasets.iter().map(|planned| planned.verdict.steps().len()).sum()
    }

    /// What conflicts are to be resolved by, each with the place of its dataset. What lies below another one is left out: a run
    /// relists it after that.
    #[must_use]
    pub fn resolutions(&self) -> Vec<(usize, Resolution)> {
        let (mut all, mut above) = (Vec::new(), HashSet::new());
        for (place, planned) in self.datasets.iter().enumerate() {
            let Verdict::Resolve(solvable) = &planned.verdict else { continue };
            if !planned.target.ancestors().iter().any(|name| above.contains(name)) {
                all.push((place, solvable.resolution.clone()));
            }
            above.insert(planned.target.clone());
        }
        all
    }
}

impl PlannedDataset {
    /// Whether datasets can be created below the target as it is now. Not below what doesn't exist yet, nor below one that
    /// a cut receive has left half made (to drop that must stay possible), nor below a volume.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let in_the_way = match &self.verdict {
            Verdict::Conflict(Conflict { kind: ConflictKind::Partial, common: None, only_there, .. }) => {
                only_there.is_empty()
            }
            Verdict::Conflict(Conflict { kind: ConflictKind::TypeClash { target, .. }, .. }) => *target == Kind::Volume,
            _ => false,
        };
        self.placement == Placement::Existing && !in_the_way
    }
}

impl Negotiation {
    /// The plan, once nothing is left to ask.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let mut created: HashMap<&RelPath, usize> = HashMap::new();
        let mut datasets = Vec::with_capacity(self.items.len());
        for (index, item) in self.items.iter().enumerate() {
            let planned = self.place(item, &created, &datasets);
            if !planned.is_there() {
                created.insert(&item.source.path, index);
            }
            datasets.push(planned);
        }
        self.mark_swapped(&mut datasets);
        self.withhold(&mut datasets);
        let misfits = self.misfits.clone();
        Plan { datasets, misfits, nearest: self.nearest(), gated: self.resolutions.touch_below() }
    }

    /// The plan of one item alone, after a refusal; what it would wait for has been received already.
    #[must_use]
    pub fn replan(&self, index: usize) -> Option<PlannedDataset> {
        let mut planned = self.place(self.items.get(index)?, &HashMap::new(), &[]);
        self.mark_first_contact(&mut planned);
        Some(planned)
    }

    /// The nearest dataset at or above TARGET that exists.
    #[must_use]
    pub fn nearest(&self) -> Option<DatasetName> {
        let up = std::iter::successors(Some(self.target.clone()), DatasetName::parent);
        up.into_iter().find(|name| self.existing.contains(name) && !self.unread.contains(name))
    }

    /// `earlier`: those of the plan that come before it, as far as it is made.
    fn place(&self, item: &Item, created: &HashMap<&RelPath, usize>, earlier: &[PlannedDataset]) -> PlannedDataset {
        let mut verdict = self.if_names_fit(item, self.verdict(item));
        self.tell_others_below(item, &mut verdict);
        let placement = match (&verdict, &item.on_target) {
            (Verdict::FillEmpty(_), _) => Placement::IntoEmpty,
            (Verdict::Overwrite(_), _) => Placement::Overwrite,
            (Verdict::Send(_) | Verdict::Blocked(_), OnTarget::Missing) => Placement::Create,
            _ => Placement::Existing,
        };
        let mut planned = PlannedDataset {
            source: item.source_name.clone(),
            target: item.target_name.clone(),
            verdict,
            placement,
            kind: item.facts.map_or(Kind::Filesystem, |facts| facts.kind),
            encrypted: item.facts.map(|facts| facts.encrypted),
            unencrypted: self.encryption.allow_unencrypted && self.is_plain_below_raw(item),
            shares_key_with: self.straggler(item),
            top: false,
            ancestors: Vec::new(),
            top_ancestor: None,
            after: None,
            above: self.above(item),
        };
        if planned.placement != Placement::Existing {
            // What others have below a dataset that is overwritten would inherit it; where they have any, nothing is filled.
            let overwrites = planned.placement == Placement::Overwrite;
            planned.top = if overwrites { self.holder(item).is_none() } else { self.is_top_after(item, earlier) };
            self.look_up(item, created, &mut planned);
        }
        planned
    }

    /// The nearest item above.
    fn above(&self, item: &Item) -> Option<usize> {
        let mut up = std::iter::successors(item.source.path.parent(), RelPath::parent);
        up.find_map(|path| self.index_of(&path))
    }

    /// Whether no copy above it hands `readonly=on` down to it, so that it needs its own: there is none, or what lies there is none.
    /// What somebody has set on a copy is their wish, and is inherited.
    pub(super) fn is_top(&self, item: &Item) -> bool {
        self.is_top_after(item, &[])
    }

    /// The same. The verdict on what is planned already isn't made again, for each below it: it looks at all that others have there.
    fn is_top_after(&self, item: &Item, earlier: &[PlannedDataset]) -> bool {
        let is_sent =
            |verdict: &Verdict| matches!(verdict, Verdict::Send(_) | Verdict::FillEmpty(_) | Verdict::Overwrite(_));
        let is_copy = |above: &Item| {
            let planned = || self.index_of(&above.source.path).and_then(|at| earlier.get(at));
            !matches!(above.on_target, OnTarget::Listed(_))
                || above.common_there().is_some()
                || planned().map_or_else(|| is_sent(&self.verdict(above)), |planned| is_sent(&planned.verdict))
        };
        !self.holder(item).is_some_and(is_copy)
    }

    /// Walks up from a dataset that will be created to what is there, or will be there by then.
    fn look_up(&self, item: &Item, created: &HashMap<&RelPath, usize>, planned: &mut PlannedDataset) {
        let mut path = item.source.path.parent();
        while let Some(rel) = path {
            if self.find(&rel).is_some_and(|above| !above.source.snapshots.is_empty()) {
                planned.after = created.get(&rel).copied();
                break;
            }
            if let Ok(name) = self.target.join(&rel)
                && !self.existing.contains(&name)
            {
                planned.ancestors.push(name);
            }
            path = rel.parent();
        }
        if self.holder(item).is_none() {
            let above = std::iter::successors(self.target.parent(), DatasetName::parent);
            planned.ancestors.extend(above.filter(|name| !self.existing.contains(name)));
        }
        planned.ancestors.reverse();
        // TARGET itself comes into being only to hold others: then it is the top, and they inherit from it.
        if planned.ancestors.contains(&self.target) {
            planned.top = false;
            planned.top_ancestor = Some(self.target.clone());
        }
    }
}

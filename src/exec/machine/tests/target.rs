//! The target of a simulated run: what is really there, and the plans that a look at it leads to.

use proptest::sample::Index;

use super::{planned, step};
use crate::plan::{Conflict, ConflictKind, Placement, Plan, PlannedDataset, Solvable, Steps, Verdict};
use zfs::Resolution;
use zfs::name::{Guid, ResumeToken};

/// What gets a simulated conflict out of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Rollback,
    SetAside,
    Replace,
}

/// A conflict of a simulated dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    Solvable(How),
    /// Nothing may be done about it.
    Stays,
    /// A cut receive of somebody else has left it half made: nothing can be created below.
    HalfMade,
}

/// What a dataset of a random plan is like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub parent: Index,
    pub below: bool,
    pub snapshots: u64,
    pub there: bool,
    pub has: u64,
    pub clash: Option<Clash>,
}

/// What is true of one dataset.
#[derive(Debug, Clone)]
pub(super) struct Truth {
    pub above: Option<usize>,
    /// The source's snapshots, and how many of them are there; the first ones.
    pub total: u64,
    pub done: u64,
    pub there: bool,
    /// It is there, but empty as it was replaced.
    pub emptied: bool,
    pub clash: Option<Clash>,
    /// How much of the next step a cut receive has kept.
    pub partial: u64,
}

/// What a run knows of a dataset: from its plan, and from the steps that were told to be through since.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub next: u64,
    pub resume: Option<ResumeToken>,
    /// Where the next step goes.
    pub placement: Placement,
}

#[derive(Debug)]
pub(super) struct Target {
    pub all: Vec<Truth>,
    pub told: Vec<Told>,
    pub gated: bool,
}

impl Target {
    pub fn new(shapes: &[Shape], gated: bool) -> Self {
        let mut all: Vec<Truth> = Vec::new();
        let moves = |shape: &Shape| matches!(shape.clash, Some(Clash::Solvable(How::SetAside | How::Replace)));
        let gated = gated || shapes.iter().any(moves);
        for (at, shape) in shapes.iter().enumerate() {
            let above = (at > 0 && shape.below).then(|| shape.parent.index(at));
            let below_nothing = above.is_some_and(|above| !all[above].there);
            let total = shape.snapshots;
            let clash = shape.clash.filter(|_| total > 0 && !below_nothing);
            let half_made = clash == Some(Clash::HalfMade);
            let there = !below_nothing && !half_made && (shape.there || clash.is_some());
            let done = match clash {
                // There must be something to go back to.
                Some(Clash::Solvable(How::Rollback)) => shape.has.clamp(1, total),
                _ if there => shape.has.min(total),
                _ => 0,
            };
            all.push(Truth { above, total, done, there, emptied: false, clash, partial: 0 });
        }
        let told = vec![Told { next: 0, resume: None, placement: Placement::Existing }; all.len()];
        Self { all, told, gated }
    }

    /// The plan that a run starts with.
    pub fn plan(&mut self) -> Plan {
        let mut datasets: Vec<PlannedDataset> = Vec::new();
        for index in 0..self.all.len() {
            let mut planned = self.relist(index);
            if planned.placement != Placement::Existing {
                planned.after = self.holder(index).filter(|above| !datasets[*above].is_there());
            }
            datasets.push(planned);
        }
        Plan { datasets, misfits: Vec::new(), nearest: Some("b".parse().unwrap()), gated: self.gated }
    }

    /// What a look at a dataset leads to; what it would wait for has been received by then.
    pub fn relist(&mut self, index: usize) -> PlannedDataset {
        let truth = &self.all[index];
        let resume = (truth.partial > 0).then(|| ResumeToken(format!("{index}-{}", truth.partial)));
        let steps = || {
            let mut steps: Vec<_> = (truth.done..truth.total).map(step).collect();
            if let Some(first) = steps.first_mut() {
                first.resume.clone_from(&resume);
            }
            Steps::new(steps).unwrap()
        };
        let (verdict, placement) = match truth {
            Truth { total: 0, .. } => (Verdict::NoSnapshots, Placement::Existing),
            Truth { clash: Some(clash), .. } => (clash.verdict(), Placement::Existing),
            Truth { there: false, .. } => (Verdict::Send(steps()), Placement::Create),
            Truth { emptied: true, .. } => (Verdict::Overwrite(steps()), Placement::Overwrite),
            Truth { done, total, .. } if done == total => (Verdict::InSync, Placement::Existing),
            Truth { done: 0, partial: 0, .. } => (Verdict::FillEmpty(steps()), Placement::IntoEmpty),
            _ => (Verdict::Send(steps()), Placement::Existing),
        };
        self.told[index] = Told { next: truth.done, resume, placement };
        let mut planned = planned(index, placement, None, verdict);
        planned.above = self.all[index].above;
        planned
    }

    /// The datasets above one, the nearest first.
    pub fn above(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.all[index].above, |above| self.all[*above].above)
    }

    /// The nearest one above that gets received; those between come into being with what lies below.
    pub fn holder(&self, index: usize) -> Option<usize> {
        self.above(index).find(|above| self.all[*above].total > 0)
    }

    pub fn below(&self, index: usize) -> Vec<usize> {
        (0..self.all.len()).filter(|other| self.above(*other).any(|above| above == index)).collect()
    }

    /// Whether the step to this snapshot would be taken now.
    pub fn takes(&self, index: usize, number: u64) -> bool {
        let truth = &self.all[index];
        truth.clash.is_none() && truth.done == number && self.holder(index).is_none_or(|above| self.all[above].there)
    }

    /// A step has arrived, told or not.
    pub fn arrive(&mut self, index: usize, number: u64) {
        let empty: Vec<usize> = self.above(index).take_while(|above| self.all[*above].total == 0).collect();
        for index in empty {
            self.all[index].there = true;
        }
        let truth = &mut self.all[index];
        (truth.there, truth.emptied, truth.partial, truth.done) = (true, false, 0, number + 1);
    }

    /// A step was cut, and some more of it is kept.
    pub fn keep_some(&mut self, index: usize, number: u64) {
        let replaces = matches!(self.told[index].placement, Placement::IntoEmpty | Placement::Overwrite);
        if self.takes(index, number) && !replaces {
            self.all[index].there = true;
            self.all[index].partial += 1;
        }
    }

    /// The conflict is got out of the way, and some or nothing of what was there is there afterwards. Gives what moved.
    pub fn resolve(&mut self, index: usize, some: bool) -> Vec<usize> {
        let Some(Clash::Solvable(how)) = self.all[index].clash.take() else { return Vec::new() };
        self.all[index].partial = 0;
        match how {
            How::Rollback => {
                self.all[index].done = 1;
                vec![index]
            }
            How::SetAside => {
                let moved = [vec![index], self.below(index)].concat();
                for one in &moved {
                    let comes_back = some && self.all[*one].done > 0 && self.all[*one].clash.is_none();
                    let up = self.all[*one].above.is_none_or(|above| *one == index || self.all[above].there);
                    let truth = &mut self.all[*one];
                    (truth.clash, truth.partial, truth.emptied) = (None, 0, false);
                    truth.there = comes_back && up;
                    truth.done = u64::from(truth.there);
                }
                moved
            }
            How::Replace => {
                let stays = self.below(index).iter().any(|below| self.all[*below].there);
                let truth = &mut self.all[index];
                (truth.there, truth.emptied, truth.done) = (stays, stays, 0);
                vec![index]
            }
        }
    }
}

impl Clash {
    pub fn verdict(self) -> Verdict {
        let how = match self {
            Self::HalfMade => return Verdict::Conflict(Conflict::bare(ConflictKind::Partial)),
            Self::Stays => return Verdict::Conflict(Conflict::bare(ConflictKind::Diverged)),
            Self::Solvable(how) => how,
        };
        let name = |text: &str| text.parse().unwrap();
        let resolution = match how {
            How::Rollback => {
                Resolution::Rollback { dataset: name("b"), to: "s".parse().unwrap(), to_guid: Guid(1), loses: vec![] }
            }
            How::SetAside => Resolution::SetAside { dataset: name("b"), aside: name("c"), restore: vec![], top: false },
            How::Replace => Resolution::Replace { dataset: name("b"), loses: vec![], whole: false },
        };
        Verdict::Resolve(Box::new(Solvable {
            conflict: Conflict::bare(ConflictKind::Diverged),
            resolution,
            then: vec![],
        }))
    }
}

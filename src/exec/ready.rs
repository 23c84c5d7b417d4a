//! What a run starts with, and how its plan's steps become `zfs send` commands.

use std::process::Command;

use crate::config::PushJob;
use crate::name::DatasetName;
use crate::plan::{BaseKind, Due, Missing, Move, Negotiation, Plan, PlannedDataset, Step, TargetLimits};
use crate::remote::client::ChannelId;
use crate::zfs::{SendBase, SendFlags, SendSpec, Zfs};

/// What is known when the first step could start.
pub struct Ready {
    /// The plan.
    pub plan: Plan,
    /// To plan single datasets anew.
    pub negotiation: Negotiation,
    /// What streams may carry.
    pub limits: TargetLimits,
    /// The first channel: its helper has greeted.
    pub first: ChannelId,
    /// Datasets of the target that were renamed, or (in a dry run) would be.
    pub moves: Vec<Move>,
    /// In a dry run what would be cleared away on the target.
    pub cleared: Option<(Missing, Due)>,
}

impl Ready {
    /// The `zfs send` of a step.
    pub fn send(&self, zfs: &Zfs, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> Command {
        match &step.resume {
            Some(token) => zfs.resume(token),
            None => zfs.send(&self.spec(dataset, step, job)),
        }
    }

    /// The same, only to learn its size.
    pub fn estimate(&self, zfs: &Zfs, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> Command {
        match &step.resume {
            Some(token) => zfs.estimate_rest(token),
            None => zfs.estimate(&self.spec(dataset, step, job)),
        }
    }

    fn spec(&self, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> SendSpec {
        spec(&dataset.source, step, self.limits.flags(dataset.encrypted, job.decrypt))
    }
}

/// The `zfs send` of a step that isn't the rest of a cut one.
pub fn spec(dataset: &DatasetName, step: &Step, flags: SendFlags) -> SendSpec {
    let base = step.base.as_ref().map(|base| match (base.kind, step.intermediates) {
        (BaseKind::Bookmark, _) => SendBase::Bookmark(base.name.clone()),
        (BaseKind::Snapshot, true) => SendBase::SnapshotAll(base.name.clone()),
        (BaseKind::Snapshot, false) => SendBase::SnapshotOne(base.name.clone()),
    });
    SendSpec { dataset: dataset.clone(), to: step.to.clone(), base, flags }
}

//! What a run starts with, and how its plan's steps become `zfs send` commands.

use std::collections::HashMap;

use super::targets::Met;
use crate::config::PushJob;
use crate::error::StartError;
use crate::plan::{
    BaseKind, Clocks, Due, Missing, Move, Negotiation, Plan, PlannedDataset, Step, TargetLimits, TooMuch,
};
use crate::remote::client::ChannelId;
use crate::remote::link::Ends;
use crate::report::Event;
use zfs::name::{DatasetName, RelPath, SnapshotName};
use zfs::{Failure, Outlook, SendBase, SendFlags, SendSpec, StreamSpec};

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
    /// Who the target is.
    pub met: Met,
    /// Datasets of the target that were renamed, or (in a dry run) would be.
    pub moves: Vec<Move>,
    /// In a dry run what would be cleared away on the target.
    pub cleared: Option<Cleared>,
    /// In a dry run what speaks against resolutions over there, by the place of the dataset in the plan.
    pub refused: HashMap<usize, Failure>,
    /// In a dry run what else a run would find over there.
    pub outlook: Outlook,
    /// What could not be read on either side: the run is no success.
    pub unread: Vec<Unread>,
}

/// What the source has no more, and what comes of it.
pub struct Cleared {
    /// All of it.
    pub missing: Missing,
    /// What goes now.
    pub due: Due,
    /// Why nothing goes.
    pub too_much: Option<TooMuch>,
    /// In a dry run what would stay although it was to go: names, and why.
    pub refused: HashMap<String, Failure>,
    /// What the clocks said.
    pub clocks: Clocks,
    /// Why these can't tell what may go.
    pub wrong_clock: Option<String>,
}

impl Cleared {
    /// Whether something that is missing can't go before the user has looked.
    pub fn is_withheld(&self) -> bool {
        self.too_much.is_some() || self.wrong_clock.is_some() || !self.missing.not_in_sync.is_empty()
    }
}

/// A listing that left something out.
pub struct Unread {
    /// SOURCE or TARGET.
    pub dataset: String,
    target: String,
    /// In one word.
    kind: &'static str,
    /// What that means, and what `zfs` said.
    pub error: String,
}

impl Unread {
    /// Of the source.
    pub fn source(ends: &Ends, words: &str) -> Self {
        let error = format!(
            "zfs can't list it completely: {words}\n  what is listed is replicated, but nothing is destroyed, rolled back or renamed on the target \
             (check zpool status on the source's host)"
        );
        Self { dataset: ends.source.dataset.to_string(), target: ends.target.to_string(), kind: "unread", error }
    }

    /// Of a copy: what was to come back and is not there any more.
    pub fn lost(ends: &Ends, path: &RelPath, snapshot: &SnapshotName) -> Self {
        let error = format!(
            "it has snapshots older than @{snapshot}, but not that one\n  restore it separately from another of its snapshots, or exclude \
             it (--exclude)"
        );
        Self::left_out(ends, path, "lost", error)
    }

    /// Of a copy: what has never been received completely.
    pub fn partial(ends: &Ends, path: &RelPath) -> Self {
        let error = "only partially received; nothing of it can be restored\n  let its replication finish and restore it separately, or exclude it \
                     (--exclude)";
        Self::left_out(ends, path, "lost", error.to_owned())
    }

    /// Of a copy: what may have been there.
    pub fn undated(ends: &Ends, path: &RelPath, snapshot: &SnapshotName, why: &str) -> Self {
        let error = format!(
            "it has no snapshot @{snapshot}; whether it existed then is unknown, as the creation time of its oldest snapshot or \
             of @{snapshot} can't be read: {why}\n  run again, restore it separately from one of its snapshots, or exclude it (--exclude)"
        );
        Self::left_out(ends, path, "unread", error)
    }

    fn left_out(ends: &Ends, path: &RelPath, kind: &'static str, error: String) -> Self {
        let full =
            |top: &DatasetName| top.join(path).map_or_else(|_| path.as_str().to_owned(), |name| name.to_string());
        Self { dataset: full(&ends.source.dataset), target: full(&ends.target.dataset), kind, error }
    }

    /// Of the target.
    pub fn target(ends: &Ends, why: &StartError) -> Self {
        let error = format!(
            "the datasets that only the target has are unknown, so none of them is renamed or destroyed: {why}"
        );
        Self { dataset: ends.source.dataset.to_string(), target: ends.target.to_string(), kind: "unread", error }
    }

    /// Tells it.
    pub fn event(&self) -> Event {
        let (dataset, target, error) = (self.dataset.clone(), self.target.clone(), self.error.clone());
        Event::DatasetFailed { dataset, target, kind: self.kind.into(), error }
    }
}

impl Ready {
    /// The `zfs send` of a step.
    pub fn stream(&self, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> StreamSpec {
        stream(&self.limits, dataset, step, job)
    }
}

/// The `zfs send` of a step to a target with these limits.
pub fn stream(limits: &TargetLimits, dataset: &PlannedDataset, step: &Step, job: &PushJob) -> StreamSpec {
    match &step.resume {
        Some(token) => StreamSpec::Resume { dataset: dataset.source.clone(), token: token.clone() },
        None => StreamSpec::Send(spec(&dataset.source, step, limits.flags(dataset.encrypted, job.decrypt))),
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

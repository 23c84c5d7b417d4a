//! Closer pending at single datasets of the target: listing, clearing the rest of a cut receive, getting a conflict out of the way,
//! dates for one that stays. Each is a question over a channel that carries no stream just then: it must not wait behind one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::machine::{BELIEVED, advice};
use super::{Input, Later, REQUESTS, Resolved, Run};
use crate::exec::ask::Listings;
use crate::exec::{dates, recorded, resume};
use crate::plan::{Attempt, Blocked, PlannedDataset, Verdict};
use crate::remote::client::ChannelId;
use crate::report::Event;
use crate::state::record::Begun;
use helper::wire::Request;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{Failure, Refusal, TargetFacts};

/// What is asked of the helper.
enum Stage {
    Listing(Listings),
    Clearing,
    Resolving,
    /// The plan is made, a conflict; these snapshots' dates are asked for.
    Dating(Box<PlannedDataset>, Vec<SnapshotName>),
}

/// A request about one dataset.
struct Pending {
    dataset: usize,
    channel: ChannelId,
    stage: Stage,
    asked: Instant,
    /// When the last part of an answer came.
    heard: Instant,
}

/// What waits for a channel without a stream.
enum Waiting {
    Listing,
    Clearing(String),
    Resolving,
    Dating(Box<PlannedDataset>),
}

/// All such requests that are not answered yet.
pub(super) struct PendingRequests {
    open: HashMap<u64, Pending>,
    waiting: Vec<(usize, Waiting)>,
    /// What is destroyed or moved just now, by datasets.
    records: HashMap<usize, Begun>,
    last: u64,
}

impl PendingRequests {
    pub fn new() -> Self {
        Self { open: HashMap::new(), waiting: Vec::new(), records: HashMap::new(), last: REQUESTS }
    }

    pub fn has(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// A number for a request.
    pub fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub fn listed(
        &mut self,
        id: u64,
        dataset: DatasetName,
        facts: TargetFacts,
        snapshots: Vec<(SnapshotName, Guid, Txg)>,
    ) {
        if let Some(Pending { stage: Stage::Listing(listings), heard, .. }) = self.open.get_mut(&id) {
            *heard = Instant::now();
            listings.add(dataset, facts, snapshots);
        }
    }
}

impl Run<'_> {
    pub(super) fn look(&mut self, dataset: usize, attempt: Option<Attempt>, wait: Duration) {
        self.ready.negotiation.relist(dataset, attempt);
        if wait.is_zero() {
            return self.ask_listing(dataset);
        }
        let later = self.later.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = later.send(Later::Look(dataset));
        });
    }

    /// A channel that carries no stream; one on which nothing settles either is better, as its helper has read all that it was sent.
    fn idle_channel(&self) -> Option<ChannelId> {
        let on = |id: ChannelId| self.steps.values().filter(move |live| live.channel == id);
        let idle = self
            .greeted
            .iter()
            .copied()
            .filter(|id| self.connections.channel(*id).is_some() && on(*id).all(|live| live.sent));
        idle.min_by_key(|id| (on(*id).count(), *id))
    }

    /// Sends a request about a dataset; gives the stage back when no channel is free for it.
    fn ask(&mut self, dataset: usize, stage: Stage, request: impl FnOnce(u64) -> Request) -> Result<(), Stage> {
        let idle = self.idle_channel();
        let Some((id, channel)) = idle.and_then(|id| Some((id, self.connections.channel(id)?))) else {
            return Err(stage);
        };
        let number = self.pending.number();
        channel.request(request(number));
        let now = Instant::now();
        self.pending.open.insert(number, Pending { dataset, channel: id, stage, asked: now, heard: now });
        Ok(())
    }

    pub(super) fn target(&self, dataset: usize) -> DatasetName {
        self.ready.plan.datasets[dataset].target.clone()
    }

    pub(super) fn ask_listing(&mut self, dataset: usize) {
        let datasets = vec![self.target(dataset)];
        if self.ask(dataset, Stage::Listing(Listings::default()), |id| Request::List { id, datasets }).is_err() {
            self.pending.waiting.push((dataset, Waiting::Listing));
        }
    }

    /// Gets a conflict out of the way, as the user has said.
    pub(super) fn resolve(&mut self, dataset: usize) {
        let planned = &self.ready.plan.datasets[dataset];
        let Verdict::Resolve(solvable) = &planned.verdict else {
            let resolved = Resolved::Refused("there is no conflict to solve".into());
            return self.input(Input::Resolved { dataset, resolved });
        };
        let (resolution, text) = (solvable.resolution.clone(), solvable.describe());
        let source = Some(planned.source.to_string());
        if self.idle_channel().is_some() {
            let open = recorded::resolution(self.job, &self.ready.negotiation, dataset, &resolution);
            self.pending.records.insert(dataset, open);
        }
        if self.ask(dataset, Stage::Resolving, |id| Request::Resolve { id, resolution }).is_ok() {
            self.reporter.event(&Event::Notice { dataset: source, text });
        } else {
            self.pending.waiting.push((dataset, Waiting::Resolving));
        }
    }

    /// A channel may be free: what waits for one goes on.
    pub(super) fn resume_pending(&mut self) {
        if self.idle_channel().is_none() {
            return;
        }
        for (dataset, waiting) in std::mem::take(&mut self.pending.waiting) {
            match waiting {
                Waiting::Listing => self.ask_listing(dataset),
                Waiting::Clearing(why) => self.clear(dataset, why),
                Waiting::Resolving => self.resolve(dataset),
                Waiting::Dating(planned) => self.ask_dates(dataset, planned),
            }
        }
    }

    /// A channel is gone: what was asked over it is asked again, but nobody knows what became of a resolution.
    pub(super) fn lose_pending(&mut self, channel: ChannelId, why: &str) {
        let lost: Vec<u64> =
            self.pending.open.iter().filter(|(_, look)| look.channel == channel).map(|(id, _)| *id).collect();
        for look in lost.iter().filter_map(|id| self.pending.open.remove(id)).collect::<Vec<_>>() {
            let dataset = look.dataset;
            // Nobody knows what became of it.
            self.pending.records.remove(&dataset);
            match look.stage {
                Stage::Listing(_) | Stage::Clearing => self.ask_listing(dataset),
                Stage::Resolving => self.input(Input::Resolved { dataset, resolved: Resolved::Lost(why.to_owned()) }),
                Stage::Dating(planned, _) => self.planned(dataset, Ok(planned)),
            }
        }
    }

    /// A request that nobody answers: its channel is given up. A resolution takes the time it takes, and whoever receives well is not given up
    /// for a slow answer.
    pub(super) fn watch_pending(&mut self) {
        let Some(limit) = self.job.faults.stall_timeout else { return };
        let carries = |channel| self.steps.values().any(|live| live.channel == channel);
        let late = |look: &&Pending| {
            !matches!(look.stage, Stage::Resolving)
                && (look.heard.elapsed() > limit && !carries(look.channel) || look.asked.elapsed() > limit * BELIEVED)
        };
        let Some(channel) = self.pending.open.values().find(late).map(|look| look.channel) else { return };
        let host = self.job.ends.target.link.name();
        self.unanswered(
            channel,
            format!("{host} has not answered for {} s: look at zpool status there", limit.as_secs()),
        );
    }

    /// A request is through.
    pub(super) fn look_done(&mut self, id: u64, failure: Option<Failure>, warning: Option<String>) {
        let Some(Pending { dataset, stage, .. }) = self.pending.open.remove(&id) else { return };
        self.close_record(dataset, failure.as_ref());
        match (stage, failure) {
            (Stage::Resolving, failure) => self.resolve_done(dataset, failure, warning),
            (Stage::Dating(planned, _), _) => self.planned(dataset, Ok(planned)),
            (Stage::Clearing, Some(failure)) => {
                let why = format!("clearing the rest of a cut receive failed: {}", failure.words);
                self.planned(dataset, Err(why));
            }
            (Stage::Clearing, None) => self.ask_listing(dataset),
            (Stage::Listing(_), Some(failure)) => {
                let advice = advice(failure.refusal);
                self.planned(dataset, Err(format!("listing the target failed: {}{advice}", failure.words)));
            }
            (Stage::Listing(listings), None) => self.looked(dataset, listings),
        }
    }

    /// What was to be listed exists and can't be read.
    pub(super) fn unread(&mut self, id: u64, words: &str) {
        if let Some(look) = self.pending.open.remove(&id) {
            let blocked = Blocked::Unreadable { words: words.to_owned() };
            self.planned(look.dataset, Err(blocked.to_string()));
        }
    }

    /// What was begun is through.
    fn close_record(&mut self, dataset: usize, failure: Option<&Failure>) {
        let Some(open) = self.pending.records.remove(&dataset) else { return };
        let rule = open.rule().to_owned();
        recorded::tell(self.job, &rule, open.ended(failure), self.reporter);
    }

    fn resolve_done(&mut self, dataset: usize, failure: Option<Failure>, warning: Option<String>) {
        let planned = &self.ready.plan.datasets[dataset];
        if let Some(text) = warning {
            self.reporter.event(&Event::Notice { dataset: Some(planned.source.to_string()), text });
        }
        let resolved = match (failure, &planned.verdict) {
            (None, _) => {
                self.ready.negotiation.resolved(dataset);
                Resolved::Done
            }
            (Some(failure), Verdict::Resolve(solvable)) => {
                let advice = match failure.refusal {
                    Refusal::Changed => "\n  the next run sees what is there now",
                    _ => "",
                };
                Resolved::Refused(format!("{}\n  it could not be solved: {}{advice}", solvable.conflict, failure.words))
            }
            (Some(failure), _) => Resolved::Refused(failure.words),
        };
        self.input(Input::Resolved { dataset, resolved });
    }

    pub(super) fn planned(&mut self, dataset: usize, planned: Result<Box<PlannedDataset>, String>) {
        if let Ok(planned) = &planned {
            self.ready.plan.datasets[dataset] = (**planned).clone();
            if let Some(bookmarks) = &mut self.bookmarks {
                bookmarks.replanned(dataset, planned, &self.ready.negotiation);
            }
        }
        self.input(Input::Replanned { dataset, planned });
    }

    /// Has the rest of a cut receive dropped; a new listing follows.
    pub(super) fn clear(&mut self, dataset: usize, why: String) {
        let target = self.target(dataset);
        if self.idle_channel().is_some() {
            self.pending.records.insert(dataset, recorded::partial(self.job, &target));
        }
        if self.ask(dataset, Stage::Clearing, |id| Request::Clear { id, dataset: target }).is_ok() {
            let source = &self.ready.plan.datasets[dataset].source;
            self.reporter.event(&resume::cleared(source, &why));
        } else {
            self.pending.waiting.push((dataset, Waiting::Clearing(why)));
        }
    }

    /// A conflict that stays is told with the dates of the target's snapshots, too.
    pub(super) fn ask_dates(&mut self, dataset: usize, planned: Box<PlannedDataset>) {
        let there = dates::wanted_there(&planned);
        if there.is_empty() {
            return self.planned(dataset, Ok(planned));
        }
        let names = there.iter().map(|name| planned.target.at(name.as_str())).collect();
        let asked = self.ask(dataset, Stage::Dating(planned, there), |id| Request::Dates { id, names });
        if let Err(Stage::Dating(planned, _)) = asked {
            self.pending.waiting.push((dataset, Waiting::Dating(planned)));
        }
    }

    pub(super) fn dated(&mut self, id: u64, found: &[(u32, i64)]) {
        let Some(Pending { dataset, stage, .. }) = self.pending.open.remove(&id) else { return };
        if let Stage::Dating(mut planned, names) = stage {
            dates::there(&mut planned, &names, found);
            self.planned(dataset, Ok(planned));
        }
    }
}

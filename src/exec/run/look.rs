//! Closer looks at single datasets of the target, and what they lead to: listing, clearing the rest of a cut receive, getting a
//! conflict out of the way, dates for one that stays.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::machine::advice;
use super::{Cured, Input, REQUESTS, Run};
use crate::exec::ask::Listings;
use crate::exec::resume::{self, Judged};
use crate::exec::{dates, source};
use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::plan::{Attempt, PlannedDataset, TargetDataset, Verdict};
use crate::remote::client::ChannelId;
use crate::remote::wire::{Failure, Request, TargetFacts};
use crate::report::Event;
use crate::zfs::Refusal;

/// What is asked of the helper.
enum Stage {
    Listing(Listings),
    Clearing,
    Curing,
    /// The plan is made, a conflict; these snapshots' dates are asked for.
    Dating(Box<PlannedDataset>, Vec<SnapshotName>),
}

/// A request about one dataset.
struct Look {
    dataset: usize,
    channel: ChannelId,
    stage: Stage,
    /// When the last part of an answer came.
    heard: Instant,
}

/// All such requests that are not answered yet.
pub(super) struct Looks {
    open: HashMap<u64, Look>,
    /// Datasets that wait for a channel, and whether they are to be cured.
    waiting: Vec<(usize, bool)>,
    last: u64,
}

impl Looks {
    pub fn new() -> Self {
        Self { open: HashMap::new(), waiting: Vec::new(), last: REQUESTS }
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
        if let Some(Look { stage: Stage::Listing(listings), heard, .. }) = self.open.get_mut(&id) {
            *heard = Instant::now();
            listings.add(dataset, facts, snapshots);
        }
    }
}

impl Run<'_> {
    pub(super) fn look(&mut self, dataset: usize, attempt: Option<Attempt>, wait: Duration) {
        self.ready.negotiation.look_again(dataset, attempt);
        if wait.is_zero() {
            return self.ask_listing(dataset);
        }
        let later = self.later.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = later.send(dataset);
        });
    }

    /// Sends a request about a dataset over any channel; `false` when there is none.
    fn ask(&mut self, dataset: usize, stage: Stage, request: impl FnOnce(u64) -> Request) -> bool {
        let greeted = self.greeted.iter().copied().filter_map(|id| self.fleet.channel(id).map(|channel| (id, channel)));
        let Some((id, channel)) = greeted.min_by_key(|(id, _)| *id) else { return false };
        let number = self.looks.number();
        channel.request(request(number));
        let look = Look { dataset, channel: id, stage, heard: Instant::now() };
        self.looks.open.insert(number, look);
        true
    }

    fn target(&self, dataset: usize) -> DatasetName {
        self.ready.plan.datasets[dataset].target.clone()
    }

    pub(super) fn ask_listing(&mut self, dataset: usize) {
        let datasets = vec![self.target(dataset)];
        if !self.ask(dataset, Stage::Listing(Listings::default()), |id| Request::List { id, datasets }) {
            self.looks.waiting.push((dataset, false));
        }
    }

    /// Gets a conflict out of the way, as the user has said.
    pub(super) fn cure(&mut self, dataset: usize) {
        let planned = &self.ready.plan.datasets[dataset];
        let Verdict::Cure(remedy) = &planned.verdict else {
            let cured = Cured::Refused("there is no conflict to solve".into());
            return self.input(Input::Cured { dataset, cured });
        };
        let (cure, text) = (remedy.cure.clone(), remedy.describe());
        let source = Some(planned.source.to_string());
        if self.ask(dataset, Stage::Curing, |id| Request::Cure { id, cure }) {
            self.reporter.event(&Event::Notice { dataset: source, text });
        } else {
            self.looks.waiting.push((dataset, true));
        }
    }

    /// A channel is there: what waited for one goes on.
    pub(super) fn resume_looks(&mut self) {
        for (dataset, cure) in std::mem::take(&mut self.looks.waiting) {
            if cure { self.cure(dataset) } else { self.ask_listing(dataset) }
        }
    }

    /// A channel is gone: what was asked over it is asked again, but nobody knows what became of a cure.
    pub(super) fn lose_looks(&mut self, channel: ChannelId, why: &str) {
        let lost: Vec<u64> =
            self.looks.open.iter().filter(|(_, look)| look.channel == channel).map(|(id, _)| *id).collect();
        for look in lost.iter().filter_map(|id| self.looks.open.remove(id)).collect::<Vec<_>>() {
            let dataset = look.dataset;
            match look.stage {
                Stage::Listing(_) | Stage::Clearing => self.ask_listing(dataset),
                Stage::Curing => self.input(Input::Cured { dataset, cured: Cured::Lost(why.to_owned()) }),
                Stage::Dating(planned, _) => self.planned(dataset, Ok(planned)),
            }
        }
    }

    /// A request that nobody answers: its channel is given up. A cure takes the time it takes.
    pub(super) fn watch_looks(&mut self) {
        let Some(limit) = self.job.faults.stall_timeout else { return };
        let late = self.looks.open.values().filter(|look| !matches!(look.stage, Stage::Curing));
        let Some(channel) = late.filter(|look| look.heard.elapsed() > limit).map(|look| look.channel).next() else {
            return;
        };
        let host = crate::exec::ask::host_name(self.job);
        let why = format!("{host} has not answered for {} s: look at zpool status there", limit.as_secs());
        self.closed(channel, why);
    }

    /// A request is through.
    pub(super) async fn look_done(&mut self, id: u64, failure: Option<Failure>, warning: Option<String>) {
        let Some(Look { dataset, channel, stage, .. }) = self.looks.open.remove(&id) else { return };
        match (stage, failure) {
            (Stage::Curing, failure) => self.cure_done(dataset, failure, warning),
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
            (Stage::Listing(listings), None) => self.looked(dataset, channel, listings).await,
        }
    }

    fn cure_done(&mut self, dataset: usize, failure: Option<Failure>, warning: Option<String>) {
        let planned = &self.ready.plan.datasets[dataset];
        if let Some(text) = warning {
            self.reporter.event(&Event::Notice { dataset: Some(planned.source.to_string()), text });
        }
        let cured = match (failure, &planned.verdict) {
            (None, _) => {
                self.ready.negotiation.cured(dataset);
                Cured::Done
            }
            (Some(failure), Verdict::Cure(remedy)) => {
                let advice = match failure.refusal {
                    Refusal::Changed => "\n  the next run sees what is there now",
                    _ => "",
                };
                Cured::Refused(format!("{}\n  it could not be solved: {}{advice}", remedy.conflict, failure.words))
            }
            (Some(failure), _) => Cured::Refused(failure.words),
        };
        self.input(Input::Cured { dataset, cured });
    }

    /// A dataset's target is listed: plans it anew.
    async fn looked(&mut self, dataset: usize, channel: ChannelId, listings: Listings) {
        let listed = listings.finish().remove(&self.target(dataset));
        let (mut target, token) = listed.map_or((None, None), |(target, token)| (Some(target), token));
        if let (Some(target), Some(token)) = (&mut target, token) {
            let source = &self.ready.plan.datasets[dataset].source;
            match resume::judge(self.zfs, source, token, self.job).await {
                Judged::Resumable(point) => target.resume = Some(point),
                Judged::Unclear(why) => self.reporter.event(&resume::kept(source, &why)),
                Judged::Useless(why) => return self.clear(dataset, channel, &why),
            }
        }
        let planned = self.replan(dataset, target).await;
        if let Ok(planned) = &planned
            && let Verdict::Conflict(_) = planned.verdict
        {
            return self.ask_dates(dataset, planned.clone()).await;
        }
        self.planned(dataset, planned);
    }

    fn planned(&mut self, dataset: usize, planned: Result<Box<PlannedDataset>, String>) {
        if let Ok(planned) = &planned {
            self.ready.plan.datasets[dataset] = (**planned).clone();
        }
        self.input(Input::Replanned { dataset, planned });
    }

    /// Has the rest of a cut receive dropped; a new listing follows.
    fn clear(&mut self, dataset: usize, on: ChannelId, why: &str) {
        let planned = &self.ready.plan.datasets[dataset];
        self.reporter.event(&resume::cleared(&planned.source, why));
        let target = planned.target.clone();
        let Some(channel) = self.fleet.channel(on) else { return self.ask_listing(dataset) };
        let id = self.looks.number();
        channel.request(Request::Clear { id, dataset: target });
        let look = Look { dataset, channel: on, stage: Stage::Clearing, heard: Instant::now() };
        self.looks.open.insert(id, look);
    }

    async fn replan(&mut self, dataset: usize, target: Option<TargetDataset>) -> Result<Box<PlannedDataset>, String> {
        self.ready.negotiation.looked(dataset, target);
        let source = self.ready.plan.datasets[dataset].source.clone();
        match source::facts(self.zfs.clone(), vec![source]).await {
            Ok(facts) => self.ready.negotiation.facts(&facts),
            // The plan does without; the receive will tell.
            Err(error) => tracing::info!("{error}"),
        }
        let written = source::written(self.zfs.clone(), self.ready.negotiation.wants_written_of(dataset)).await;
        self.ready.negotiation.written(&written);
        self.ready.negotiation.replan(dataset).map(Box::new).ok_or_else(|| "it is not in the plan".to_owned())
    }

    /// A conflict that stays is told with the dates of the snapshots in it.
    async fn ask_dates(&mut self, dataset: usize, mut planned: Box<PlannedDataset>) {
        dates::here(self.zfs, std::slice::from_mut(&mut *planned)).await;
        let there = dates::wanted_there(&planned);
        let names = there.iter().map(|name| planned.target.at(name.as_str())).collect();
        let plan = planned.clone();
        if there.is_empty() || !self.ask(dataset, Stage::Dating(planned, there), |id| Request::Dates { id, names }) {
            self.planned(dataset, Ok(plan));
        }
    }

    pub(super) fn dated(&mut self, id: u64, found: &[(u32, i64)]) {
        let Some(Look { dataset, stage, .. }) = self.looks.open.remove(&id) else { return };
        if let Stage::Dating(mut planned, names) = stage {
            dates::there(&mut planned, &names, found);
            self.planned(dataset, Ok(planned));
        }
    }
}

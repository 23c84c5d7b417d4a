//! Questions about single datasets of the target during the run: listing, clearing partially received state, getting a conflict out
//! of the way, dates for one that stays. Each goes over a channel that carries no stream just then, as it must not wait behind one; a
//! task awaits the answer, and the run hears of it as of everything else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::machine::{BELIEVED, advice};
use super::{Input, Later, Resolved, Run};
use crate::endpoint::may_begin_later;
use crate::exec::foresee::unsendable;
use crate::exec::receiver::Listings;
use crate::exec::{dates, permitted, recorded, resume};
use crate::plan::{Along, Aside, Attempt, Blocked, PlannedDataset, Verdict};
use crate::remote::client::{Call, Channel, ChannelId, HelperError};
use crate::report::Event;
use crate::state::record::Begun;
use helper::wire::{Reply, Request};
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Failure, Refusal, Resolution};

/// What came of a question about a dataset.
pub(super) enum Answered {
    /// It is listed, or can't be.
    Listed(Result<Listings, String>),
    /// The rest of a cut receive is gone, or why it is not.
    Cleared(Option<Failure>),
    /// Why nothing could take the place of what its resolution takes away; `None`: that is permitted.
    Permitted(Option<Failure>),
    /// The channel is gone, and with it such a question; why it is gone.
    NotPermitted(String),
    /// Its conflict is out of the way, with a warning, or why it is not.
    Resolved(Option<Failure>, Option<String>),
    /// Its conflict, with the dates of the target's snapshots as far as they are known.
    Dated(Box<PlannedDataset>),
    /// The channel is gone: it must be listed anew.
    NotListed,
    /// The channel is gone, and nobody knows what became of the resolution; why it is gone.
    Unclear(String),
}

/// A question that is under way about a dataset.
struct Pending {
    channel: ChannelId,
    asked: Instant,
    /// A resolution takes the time it takes.
    resolves: bool,
}

impl Pending {
    fn over(channel: ChannelId) -> Self {
        Self { channel, asked: Instant::now(), resolves: false }
    }
}

/// What waits for a channel without a stream.
enum Waiting {
    Listing,
    Clearing(String),
    Permitting,
    Resolving,
    Dating(Box<PlannedDataset>),
}

/// All such questions that are not answered yet.
#[derive(Default)]
pub(super) struct PendingQuestions {
    /// At most one about each dataset.
    open: HashMap<usize, Pending>,
    waiting: Vec<(usize, Waiting)>,
    /// What is destroyed or moved just now, by datasets.
    records: HashMap<usize, Begun>,
    /// Channels that are gone, and why; until all that was asked over them is told.
    gone: HashMap<ChannelId, String>,
}

impl PendingQuestions {
    /// Why a channel is gone.
    pub fn why_gone(&self, channel: ChannelId) -> String {
        self.gone.get(&channel).cloned().unwrap_or_else(|| "the channel is closed".into())
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

    /// Asks about a dataset, and has the answer awaited.
    fn ask<F: Future<Output = Answered> + Send + 'static>(
        &mut self,
        dataset: usize,
        pending: Pending,
        request: impl FnOnce(u64) -> Request,
        answer: impl FnOnce(Call) -> F,
    ) {
        let Some(channel) = self.connections.channel(pending.channel) else { return };
        let answer = answer(channel.call(request));
        self.await_answer(dataset, pending, answer);
    }

    fn await_answer(
        &mut self,
        dataset: usize,
        pending: Pending,
        answer: impl Future<Output = Answered> + Send + 'static,
    ) {
        let later = self.later.0.clone();
        self.pending.open.insert(dataset, pending);
        tokio::spawn(async move {
            // The run may have ended.
            let _ = later.send(Later::Answered(dataset, answer.await));
        });
    }

    /// Whether nothing may be begun any more.
    fn is_stopped(&self) -> bool {
        self.stop.is_some() || self.taken
    }

    pub(super) fn target(&self, dataset: usize) -> DatasetName {
        self.ready.plan.datasets[dataset].target.clone()
    }

    pub(super) fn ask_listing(&mut self, dataset: usize) {
        let Some(channel) = self.idle_channel() else {
            return self.pending.waiting.push((dataset, Waiting::Listing));
        };
        let datasets = vec![self.target(dataset)];
        self.ask(dataset, Pending::over(channel), |id| Request::List { id, datasets }, listing);
    }

    /// Gets a conflict out of the way, as the user has said, once it is known that something can take the place of what is given up.
    pub(super) fn resolve(&mut self, dataset: usize) {
        let planned = &self.ready.plan.datasets[dataset];
        let Verdict::Resolve(solvable) = &planned.verdict else { return self.carry_out(dataset) };
        let raw = !self.job.decrypt && planned.encrypted == Some(true);
        let resolution = solvable.resolution.clone();
        let Some(id) = self.idle_channel() else {
            return self.pending.waiting.push((dataset, Waiting::Permitting));
        };
        let Some(channel) = self.connections.channel(id).cloned() else { return };
        self.await_answer(dataset, Pending::over(id), async move { permitting(&channel, &resolution, raw).await });
    }

    fn permitted(&mut self, dataset: usize, failure: Option<Failure>) {
        if self.is_stopped() {
            return;
        }
        match (failure, &self.ready.plan.datasets[dataset].verdict) {
            (Some(failure), Verdict::Resolve(solvable)) => {
                let resolved = Resolved::NotBegun(solvable.refused(&failure));
                self.input(Input::Resolved { dataset, resolved });
            }
            _ => self.try_stream(dataset),
        }
    }

    /// The same, once it is known that what is to be sent then can be.
    fn try_stream(&mut self, dataset: usize) {
        let planned = &self.ready.plan.datasets[dataset];
        let Some(step) = planned.verdict.steps().first() else { return self.carry_out(dataset) };
        let (sender, stream) = (self.sender.clone(), self.ready.stream(planned, step, self.job));
        let later = self.later.0.clone();
        tokio::spawn(async move {
            // The run may have ended.
            let _ = later.send(Later::Tried(dataset, sender.try_stream(stream).await));
        });
    }

    pub(super) fn tried(&mut self, dataset: usize, tried: Result<(), Failure>) {
        // It has ended by then, and nothing would come in the place of what is given up.
        if self.is_stopped() {
            return;
        }
        match tried {
            Ok(()) => self.carry_out(dataset),
            // Nothing was begun; it is tried again, as a step would be.
            Err(Failure { refusal, words }) if may_begin_later(refusal) => {
                self.input(Input::Resolved { dataset, resolved: Resolved::NotBegunYet(words) });
            }
            Err(failure) => {
                let resolved = match &self.ready.plan.datasets[dataset].verdict {
                    Verdict::Resolve(solvable) => Resolved::NotBegun(unsendable(solvable, &failure)),
                    _ => Resolved::NotBegun(failure.words),
                };
                self.input(Input::Resolved { dataset, resolved });
            }
        }
    }

    fn carry_out(&mut self, dataset: usize) {
        let planned = &self.ready.plan.datasets[dataset];
        let Verdict::Resolve(solvable) = &planned.verdict else {
            let resolved = Resolved::Refused("there is no conflict to resolve".into());
            return self.input(Input::Resolved { dataset, resolved });
        };
        let Some(channel) = self.idle_channel() else {
            return self.pending.waiting.push((dataset, Waiting::Resolving));
        };
        let along = self.along(solvable.resolution.dataset());
        let (resolution, text) =
            (solvable.resolution.clone(), solvable.describe(&Along { stay_away: Vec::new(), ..along }));
        let source = Some(planned.source.to_string());
        let open = recorded::resolution(self.job, &self.ready.negotiation, dataset, &resolution);
        self.pending.records.insert(dataset, open);
        let pending = Pending { resolves: true, ..Pending::over(channel) };
        self.ask(dataset, pending, |id| Request::Resolve { id, resolution }, resolving);
        self.reporter.event(&Event::Notice { dataset: source, text });
    }

    /// A channel may be free: what waits for one goes on.
    pub(super) fn resume_pending(&mut self) {
        if self.is_stopped() || self.idle_channel().is_none() {
            return;
        }
        for (dataset, waiting) in std::mem::take(&mut self.pending.waiting) {
            match waiting {
                Waiting::Listing => self.ask_listing(dataset),
                Waiting::Clearing(why) => self.clear(dataset, why),
                Waiting::Permitting => self.resolve(dataset),
                Waiting::Resolving => self.carry_out(dataset),
                Waiting::Dating(planned) => self.ask_dates(dataset, planned),
            }
        }
    }

    /// A channel is gone. The machine hears of it once all is told that was asked over it: with the last channel it ends what nobody
    /// has told it of.
    pub(super) fn down(&mut self, channel: ChannelId, why: String) {
        self.pending.gone.insert(channel, why);
        self.tell_gone(channel);
    }

    fn tell_gone(&mut self, channel: ChannelId) {
        if self.pending.open.values().any(|one| one.channel == channel) {
            return;
        }
        if let Some(why) = self.pending.gone.remove(&channel) {
            self.input(Input::ChannelDown { channel, why });
        }
    }

    /// A question that nobody answers: its channel is given up. A resolution takes the time it takes, and whoever receives well is not
    /// given up for a slow answer.
    pub(super) fn watch_pending(&mut self) {
        let Some(limit) = self.job.faults.stall_timeout else { return };
        let carries = |channel| self.steps.values().any(|live| live.channel == channel);
        let late = |one: &&Pending| {
            let Some(channel) = self.connections.channel(one.channel).filter(|_| !one.resolves) else { return false };
            let heard = channel.heard().map_or(one.asked, |heard| heard.max(one.asked));
            heard.elapsed() > limit && !carries(one.channel) || one.asked.elapsed() > limit * BELIEVED
        };
        let Some(channel) = self.pending.open.values().find(late).map(|one| one.channel) else { return };
        let host = self.job.ends.target.link.name();
        self.unanswered(
            channel,
            format!("{host} has not answered for {} s: check zpool status there", limit.as_secs()),
        );
    }

    /// A question is answered, or its channel is gone.
    pub(super) fn answered(&mut self, dataset: usize, answer: Answered) {
        let channel = self.pending.open.remove(&dataset).map(|pending| pending.channel);
        self.take(dataset, answer);
        if let Some(channel) = channel {
            self.tell_gone(channel);
        }
    }

    fn take(&mut self, dataset: usize, answer: Answered) {
        match answer {
            Answered::Listed(Ok(listings)) => self.looked(dataset, listings),
            Answered::Listed(Err(why)) => self.planned(dataset, Err(why)),
            Answered::Cleared(failure) => {
                self.close_record(dataset, failure.as_ref());
                match failure {
                    None => self.ask_listing(dataset),
                    Some(failure) => {
                        let why = format!("discarding the partially received state failed: {}", failure.words);
                        self.planned(dataset, Err(why));
                    }
                }
            }
            Answered::Permitted(failure) => self.permitted(dataset, failure),
            Answered::NotPermitted(why) => {
                self.input(Input::Resolved { dataset, resolved: Resolved::NotBegunYet(why) });
            }
            Answered::Resolved(failure, warning) => {
                self.close_record(dataset, failure.as_ref());
                self.resolve_done(dataset, failure, warning);
            }
            Answered::Dated(planned) => self.planned(dataset, Ok(planned)),
            // What was begun and not ended stays so in the record.
            Answered::NotListed => {
                self.pending.records.remove(&dataset);
                self.ask_listing(dataset);
            }
            Answered::Unclear(why) => {
                self.pending.records.remove(&dataset);
                self.set_aside(dataset, false);
                self.input(Input::Resolved { dataset, resolved: Resolved::Lost(why) });
            }
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
                self.set_aside(dataset, true);
                self.count_resolved(dataset);
                self.ready.negotiation.resolved(dataset);
                Resolved::Done
            }
            (Some(failure), Verdict::Resolve(solvable)) => {
                let advice = match failure.refusal {
                    Refusal::Changed => "\n  the next run starts from the current state",
                    _ => "",
                };
                Resolved::Refused(solvable.refused(&failure) + advice)
            }
            (Some(failure), _) => Resolved::Refused(failure.words),
        };
        self.input(Input::Resolved { dataset, resolved });
    }

    fn count_resolved(&mut self, dataset: usize) {
        let Verdict::Resolve(solvable) = &self.ready.plan.datasets[dataset].verdict else { return };
        let resolved = &mut self.summary.resolved;
        *match &solvable.resolution {
            Resolution::Rollback { .. } => &mut resolved.rolled_back,
            Resolution::SetAside { .. } => &mut resolved.set_aside,
            Resolution::Replace { .. } => &mut resolved.replaced,
        } += 1;
    }

    /// Keeps in mind that this dataset of the target was set aside, if that was its resolution.
    fn set_aside(&mut self, dataset: usize, confirmed: bool) {
        if let Verdict::Resolve(solvable) = &self.ready.plan.datasets[dataset].verdict
            && let Resolution::SetAside { dataset, aside, .. } = &solvable.resolution
        {
            self.asides.retain(|one| one.name != *aside);
            let along = self.along(dataset);
            let (dataset, name) = (dataset.clone(), aside.clone());
            self.asides.push(Aside { dataset, name, along, mount: None, confirmed, settled: false });
        }
    }

    /// What goes along with this dataset of the target when it is set aside.
    fn along(&self, dataset: &DatasetName) -> Along {
        self.ready.negotiation.along(dataset, self.asides.iter().map(|one| &one.dataset))
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

    /// Has partially received state dropped; a new listing follows.
    pub(super) fn clear(&mut self, dataset: usize, why: String) {
        let Some(channel) = self.idle_channel() else {
            return self.pending.waiting.push((dataset, Waiting::Clearing(why)));
        };
        let target = self.target(dataset);
        self.pending.records.insert(dataset, recorded::partial(self.job, &target));
        self.ask(dataset, Pending::over(channel), |id| Request::Clear { id, dataset: target }, clearing);
        let source = &self.ready.plan.datasets[dataset].source;
        self.reporter.event(&resume::cleared(source, &why));
    }

    /// A conflict that stays is told with the dates of the target's snapshots, too.
    pub(super) fn ask_dates(&mut self, dataset: usize, planned: Box<PlannedDataset>) {
        let there = dates::wanted_there(&planned);
        if there.is_empty() {
            return self.planned(dataset, Ok(planned));
        }
        let Some(channel) = self.idle_channel() else {
            return self.pending.waiting.push((dataset, Waiting::Dating(planned)));
        };
        let names = there.iter().map(|name| planned.target.at(name.as_str())).collect();
        let dating = move |call| dating(call, planned, there);
        self.ask(dataset, Pending::over(channel), |id| Request::Dates { id, names }, dating);
    }
}

async fn listing(mut call: Call) -> Answered {
    let mut listings = Listings::default();
    loop {
        match call.next().await {
            Ok(Reply::Listed { dataset, facts, snapshots, .. }) => listings.add(dataset, facts, snapshots),
            Ok(Reply::Unread { words, .. }) => {
                return Answered::Listed(Err(Blocked::Unreadable { words }.to_string()));
            }
            Ok(Reply::Done { failure: None, .. }) => return Answered::Listed(Ok(listings)),
            Ok(Reply::Done { failure: Some(failure), .. }) => {
                let advice = advice(failure.refusal);
                return Answered::Listed(Err(format!("listing the target failed: {}{advice}", failure.words)));
            }
            Ok(_) => {}
            Err(_) => return Answered::NotListed,
        }
    }
}

async fn clearing(mut call: Call) -> Answered {
    match done(&mut call).await {
        Ok((failure, _)) => Answered::Cleared(failure),
        // The listing tells what became of it.
        Err(_) => Answered::NotListed,
    }
}

async fn permitting(channel: &Channel, resolution: &Resolution, raw: bool) -> Answered {
    match permitted::refusal(channel, resolution, raw, &mut HashMap::new()).await {
        Ok(failure) => Answered::Permitted(failure),
        Err(why) => Answered::NotPermitted(why.to_string()),
    }
}

async fn resolving(mut call: Call) -> Answered {
    match done(&mut call).await {
        Ok((failure, warning)) => Answered::Resolved(failure, warning),
        Err(why) => Answered::Unclear(why.to_string()),
    }
}

/// Waits until something is done; why it failed, and what could not be done beside it.
async fn done(call: &mut Call) -> Result<(Option<Failure>, Option<String>), HelperError> {
    loop {
        if let Reply::Done { failure, warning, .. } = call.next().await? {
            return Ok((failure, warning));
        }
    }
}

/// Told without dates where there are none.
async fn dating(mut call: Call, mut planned: Box<PlannedDataset>, names: Vec<SnapshotName>) -> Answered {
    if let Ok(Reply::Dated { dates: found, .. }) = call.next().await {
        dates::there(&mut planned, &names, &found);
    }
    Answered::Dated(planned)
}

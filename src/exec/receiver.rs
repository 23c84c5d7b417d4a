//! The receiver: the host of the target, asked over one channel. Each kind of question is one batch, and the answers are put
//! together again.

mod content;
mod foresee;
mod listings;

pub use listings::Listings;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::connections::ConnectionPool;
use super::lock::{advice_there, owner};
use super::machine::BELIEVED;
use crate::error::StartError;
use crate::plan::TargetDataset;
use crate::plan::TargetLimits;
use crate::remote::client::{Call, Channel, ChannelId, HelperError};
use crate::remote::link::{Ends, Link};
use helper::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use zfs::{
    Answer, BaseFacts, Examination, Examine, Failure, MountState, Note, Noted, PoolState, Property, Pruned, Query,
    Refusal, Rename, Resolution, SentTo, TARGET_PROPERTY,
};

/// So many bytes, and so many names, go into one question: its answer must fit into a frame too.
const QUESTION: (usize, usize) = (256 * 1024, 8000);

/// So many dates are asked for at a time.
const DATES: usize = 500;

/// So long the pools are waited for.
const POOLS: Duration = Duration::from_secs(10);

/// How often a tree that another run has is claimed again.
const CLAIM_AGAIN: Duration = Duration::from_millis(500);

/// Listed datasets, each with the token of its cut receive.
pub type Listed = HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)>;

/// The host of the target.
pub struct Receiver<'a> {
    channel: Channel,
    /// Between which ends it stands.
    pub ends: &'a Ends,
    /// When the last question was asked.
    asked: Instant,
    /// The claim of the tree, while it isn't answered.
    claim: Option<Call>,
    /// Why the claim keeps nobody away, where that is so.
    pub unlocked: Option<String>,
    /// The question for names that was asked beside something else.
    ahead: Option<(DatasetName, Call)>,
    /// What exists and can't be read, with the words of zfs: datasets and snapshots that were asked for.
    pub unread: Vec<(String, String)>,
    /// What is noted on TARGET's tree, once somebody has asked.
    noted: Option<Vec<Noted>>,
}

impl<'a> Receiver<'a> {
    /// Asks over this channel, whose helper has greeted. It must be dropped before the connections are closed.
    pub fn over(connections: &ConnectionPool, channel: ChannelId, ends: &'a Ends) -> Result<Self, StartError> {
        let lost = || HelperError::Lost { host: ends.target.link.name(), reason: "the channel is closed".into() };
        let channel = connections.channel(channel).ok_or_else(lost)?.clone();
        let (claim, unlocked, ahead) = (None, None, None);
        Ok(Self { channel, ends, asked: Instant::now(), claim, unlocked, ahead, unread: Vec::new(), noted: None })
    }

    /// What it is called in messages.
    pub fn host(&self) -> String {
        self.ends.target.link.name()
    }

    /// So long it may say nothing.
    pub fn stall(&self) -> Option<Duration> {
        self.ends.target.link.silence
    }

    fn call(&mut self, request: impl FnOnce(u64) -> Request) -> Call {
        self.asked = Instant::now();
        self.channel.call(request)
    }

    /// Claims the target's tree for this run, until the helper ends. The answer is awaited with the next one, so that it
    /// costs no round trip; unless another run may be waited for, as it changes what is there.
    pub async fn claim(&mut self, run: u64, wait: Duration) -> Result<(), StartError> {
        let waiting_since = Instant::now();
        loop {
            let (dataset, owner) = (self.ends.target.dataset.clone(), owner(self.ends));
            self.claim = Some(self.call(|id| Request::Lock { id, dataset, run, owner }));
            if wait.is_zero() {
                return Ok(());
            }
            match self.claimed().await {
                Err(StartError::LockedThere { .. }) if waiting_since.elapsed() < wait => {
                    tokio::time::sleep(CLAIM_AGAIN).await;
                }
                answered => return answered,
            }
        }
    }

    /// Waits until the claim is granted, if it isn't yet.
    pub async fn claimed(&mut self) -> Result<(), StartError> {
        let Some(claim) = &mut self.claim else { return Ok(()) };
        let reply = next(claim, &self.ends.target.link, self.asked).await?;
        self.claim = None;
        let Reply::Done { failure, warning, .. } = reply else { return Ok(()) };
        self.unlocked = warning;
        let Some(failure) = failure else { return Ok(()) };
        let (host, target) = (self.host(), self.ends.target.dataset.to_string());
        Err(match failure.refusal {
            Refusal::Locked => {
                let holder = format!("{}{}", failure.words, advice_there(&failure.words, &host));
                StartError::LockedThere { host, target, holder }
            }
            _ => self.failed(failure),
        })
    }

    /// The next reply to a question. A helper answers a claim before all that was asked after it; one that is refused ends everything.
    async fn reply(&mut self, call: &mut Call) -> Result<Reply, StartError> {
        self.claimed().await?;
        loop {
            match next(call, &self.ends.target.link, self.asked).await? {
                Reply::Unread { name, words, .. } => self.unread.push((name, words)),
                reply => return Ok(reply),
            }
        }
    }

    /// The same; a failure is an error.
    async fn answer(&mut self, call: &mut Call) -> Result<Reply, StartError> {
        match self.reply(call).await? {
            Reply::Done { failure: Some(failure), .. } => Err(self.failed(failure)),
            reply => Ok(reply),
        }
    }

    /// Waits until something is done; the failure when zfs refuses.
    async fn done(&mut self, mut call: Call) -> Result<Option<Failure>, StartError> {
        loop {
            if let Reply::Done { failure, .. } = self.reply(&mut call).await? {
                return Ok(failure);
            }
        }
    }

    fn failed(&self, failure: Failure) -> StartError {
        StartError::Ask { host: self.host(), dataset: self.ends.target.to_string(), words: failure.words }
    }

    /// Which of these datasets and snapshots exist, by their place.
    pub async fn ask(&mut self, names: &[String]) -> Result<Vec<(u32, Guid, Txg)>, StartError> {
        let mut all = Vec::new();
        for (offset, mut call) in self.parts(names, |id, names| Request::Ask { id, names }) {
            if let Reply::Found { found, .. } = self.answer(&mut call).await? {
                all.extend(found.into_iter().map(|(place, guid, txg)| (place.saturating_add(offset), guid, txg)));
            }
        }
        Ok(all)
    }

    /// Asks about names, in as many questions as it takes; each with the place of its first name.
    fn parts(&mut self, names: &[String], request: impl Fn(u64, Vec<String>) -> Request) -> Vec<(u32, Call)> {
        let (mut all, mut start) = (Vec::new(), 0);
        for some in question_parts(names) {
            let call = self.call(|id| request(id, some.to_vec()));
            all.push((u32::try_from(start).unwrap_or(u32::MAX), call));
            start += some.len();
        }
        all
    }

    /// When these snapshots were made, by their place.
    pub async fn dates(&mut self, names: &[String]) -> Result<Vec<(u32, i64)>, StartError> {
        let mut all = Vec::new();
        for (part, some) in (0..).zip(names.chunks(DATES)) {
            let names = some.to_vec();
            let mut call = self.call(|id| Request::Dates { id, names });
            match self.reply(&mut call).await? {
                Reply::Dated { dates, .. } => {
                    let offset = part * u32::try_from(DATES).unwrap_or(0);
                    all.extend(dates.into_iter().map(|(place, date)| (place.saturating_add(offset), date)));
                }
                // A conflict is told without dates too.
                _ => break,
            }
        }
        Ok(all)
    }

    /// What the target says of these bases of increments, by their place.
    pub async fn bases(&mut self, names: &[String], iv_sets_only: bool) -> Result<Vec<(u32, BaseFacts)>, StartError> {
        let mut all = Vec::new();
        for (offset, mut call) in self.parts(names, |id, names| Request::Bases { id, names, iv_sets_only }) {
            if let Reply::Bases { bases, .. } = self.answer(&mut call).await? {
                all.extend(bases.into_iter().map(|(place, facts)| (place.saturating_add(offset), facts)));
            }
        }
        Ok(all)
    }

    /// Drops the rest of a cut receive; the failure when zfs refuses.
    pub async fn clear(&mut self, dataset: DatasetName) -> Result<Option<Failure>, StartError> {
        let call = self.call(|id| Request::Clear { id, dataset });
        self.done(call).await
    }

    /// Has snapshots destroyed, or told what that would free: for each of these portions what came of it.
    pub async fn prune(
        &mut self,
        portions: &[(DatasetName, Vec<(SnapshotName, Guid)>)],
        dry_run: bool,
    ) -> Result<Vec<Result<Pruned, Failure>>, StartError> {
        let mut calls = Vec::with_capacity(portions.len());
        for (dataset, snapshots) in portions {
            let (dataset, snapshots) = (dataset.clone(), snapshots.clone());
            calls.push(self.call(|id| Request::Prune { id, dataset, snapshots, dry_run }));
        }
        let mut all = Vec::with_capacity(portions.len());
        for (call, (_, snapshots)) in calls.iter_mut().zip(portions) {
            all.push(match self.reply(call).await? {
                Reply::Pruned { pruned, .. } if pruned.accounts_for(snapshots) => Ok(pruned),
                Reply::Done { failure: Some(failure), .. } => Err(failure),
                _ => Err(crate::endpoint::unaccounted()),
            });
        }
        Ok(all)
    }

    /// What speaks against each of these resolutions over there; `None`: nothing. Nothing is changed.
    pub async fn try_resolutions(&mut self, resolutions: Vec<Resolution>) -> Result<Vec<Option<Failure>>, StartError> {
        let request = |resolution| move |id| Request::TryResolve { id, resolution };
        let calls: Vec<Call> = resolutions.into_iter().map(|one| self.call(request(one))).collect();
        let mut all = Vec::with_capacity(calls.len());
        for call in calls {
            all.push(self.done(call).await?);
        }
        Ok(all)
    }

    /// Lists these datasets in full; one that doesn't exist is left out. For whoever needs all of them.
    pub async fn list(&mut self, datasets: Vec<DatasetName>) -> Result<Listed, StartError> {
        let listed = self.list_readable(datasets).await?;
        self.all_read().map(|()| listed)
    }

    fn all_read(&mut self) -> Result<(), StartError> {
        let unread = std::mem::take(&mut self.unread);
        let words = unread.into_iter().next().map(|(_, words)| words);
        words.map_or(Ok(()), |words| Err(self.failed(Failure { refusal: Refusal::Other, words })))
    }

    /// The same as far as they can be read; [`Receiver::unread`] has the others.
    pub async fn list_readable(&mut self, datasets: Vec<DatasetName>) -> Result<Listed, StartError> {
        let request = |some: &[DatasetName]| {
            let datasets = some.to_vec();
            move |id| Request::List { id, datasets }
        };
        let calls = datasets.chunks(1000).map(|some| self.call(request(some))).collect();
        self.listed(calls).await
    }

    /// Lists a dataset and all below it in full; nothing if it doesn't exist. What can't be listed is looked at once more, as
    /// something may have been on its way.
    pub async fn tree(&mut self, dataset: DatasetName) -> Result<Listed, StartError> {
        self.claimed().await?;
        let top = dataset.clone();
        let call = self.call(|id| Request::Tree { id, dataset });
        let listed = match self.listed(vec![call]).await {
            Err(StartError::Ask { .. }) => {
                let call = self.call(|id| Request::Tree { id, dataset: top });
                self.listed(vec![call]).await
            }
            listed => listed,
        }?;
        self.all_read().map(|()| listed)
    }

    /// Takes the answers to these listings.
    async fn listed(&mut self, calls: Vec<Call>) -> Result<Listed, StartError> {
        let mut listings = Listings::default();
        for mut call in calls {
            while let Reply::Listed { dataset, facts, snapshots, .. } = self.answer(&mut call).await? {
                listings.add(dataset, facts, snapshots);
            }
        }
        Ok(listings.finish())
    }

    /// Asks for the datasets that are there, from this one down; [`Receiver::names`] has the answer. It costs no round trip when
    /// something else is asked in between.
    pub fn ask_names(&mut self, dataset: DatasetName) {
        let call = self.call(|id| Request::Names { id, dataset: dataset.clone() });
        self.ahead = Some((dataset, call));
    }

    /// The datasets that were asked for; none if the first doesn't exist.
    pub async fn names(&mut self) -> Result<Vec<DatasetName>, StartError> {
        self.claimed().await?;
        let Some((dataset, call)) = self.ahead.take() else { return Ok(Vec::new()) };
        match self.named(call).await {
            Err(StartError::Ask { .. }) => {
                // A second look, as for a tree.
                let call = self.call(|id| Request::Names { id, dataset });
                self.named(call).await
            }
            named => named,
        }
    }

    /// Takes the answer to such a question.
    async fn named(&mut self, mut call: Call) -> Result<Vec<DatasetName>, StartError> {
        let mut names = Vec::new();
        while let Reply::Names { datasets, .. } = self.answer(&mut call).await? {
            names.extend(datasets);
        }
        Ok(names)
    }

    /// What is noted of the datasets of TARGET's tree. It is asked for once, until something is changed there.
    pub async fn notes(&mut self) -> Result<Vec<Noted>, StartError> {
        if self.noted.is_none() {
            let dataset = Some(self.ends.target.dataset.clone());
            let call = self.call(|id| Request::Notes { id, dataset, snapshots: Vec::new() });
            self.noted = Some(self.noted_in(vec![call]).await?);
        }
        Ok(self.noted.clone().unwrap_or_default())
    }

    /// The same; nothing where zfs refuses to tell.
    pub async fn readable_notes(&mut self) -> Result<Vec<Noted>, StartError> {
        match self.notes().await {
            Err(StartError::Ask { .. }) => Ok(Vec::new()),
            noted => noted,
        }
    }

    /// The same of these snapshots.
    pub async fn notes_on(&mut self, snapshots: &[String]) -> Result<Vec<Noted>, StartError> {
        let of = |id, snapshots| Request::Notes { id, dataset: None, snapshots };
        let calls = self.parts(snapshots, of).into_iter().map(|(_, call)| call).collect();
        self.noted_in(calls).await
    }

    /// Which targets the datasets of TARGET's tree, and those above it, are recorded to have themselves; the failure when zfs, or the
    /// helper, refuses to tell.
    pub async fn sent(&mut self) -> Result<Result<Vec<(DatasetName, SentTo)>, Failure>, StartError> {
        let dataset = &self.ends.target.dataset;
        let queries =
            [Query::Properties { dataset: dataset.clone() }, Query::PropertiesBelow { dataset: dataset.clone() }];
        let calls = queries.map(|query| self.call(|id| Request::Query { id, query }));
        let mut all = Vec::new();
        for mut call in calls {
            loop {
                match self.reply(&mut call).await? {
                    Reply::Answer { part: Answer::Properties(some), .. } => all.extend(some),
                    Reply::Done { failure: Some(failure), .. } => return Ok(Err(failure)),
                    _ => break,
                }
            }
        }
        let records = all.into_iter().filter(|one| one.name.starts_with(TARGET_PROPERTY));
        let read = |one: Property| match SentTo::read(&one.value) {
            Some(record) => Ok((one.on, record)),
            None => Err(damaged(&one)),
        };
        Ok(records.map(read).collect())
    }

    async fn noted_in(&mut self, calls: Vec<Call>) -> Result<Vec<Noted>, StartError> {
        let mut all = Vec::new();
        for mut call in calls {
            while let Reply::Notes { notes, .. } = self.answer(&mut call).await? {
                all.extend(notes);
            }
        }
        Ok(all)
    }

    /// Takes these notes, each on some datasets and snapshots, or drops it (without a value); the first failure when zfs
    /// refuses one.
    pub async fn note(
        &mut self,
        notes: Vec<(Note, Option<String>, Vec<String>)>,
    ) -> Result<Option<Failure>, StartError> {
        self.noted = None;
        let mut calls = Vec::new();
        for (note, value, names) in notes {
            let of = |id, names| Request::Note { id, note, value: value.clone(), names };
            calls.extend(self.parts(&names, of));
        }
        let mut first = None;
        for (_, call) in calls {
            first = first.or(self.done(call).await?);
        }
        Ok(first)
    }

    /// Renames a dataset; the failure when zfs refuses.
    pub async fn rename(&mut self, rename: Rename) -> Result<Option<Failure>, StartError> {
        self.noted = None;
        let call = self.call(|id| Request::Rename { id, rename });
        self.done(call).await
    }

    /// Destroys a dataset that has these snapshots and nothing else; the failure when that isn't so, or when zfs refuses.
    pub async fn destroy(&mut self, dataset: DatasetName, snapshots: Vec<Guid>) -> Result<Option<Failure>, StartError> {
        self.noted = None;
        let call = self.call(|id| Request::Destroy { id, dataset, snapshots });
        self.done(call).await
    }

    /// Asks for the pools that are imported there, if the helper can tell; [`Receiver::told`] has the answer.
    pub fn ask_pools(&mut self) -> Option<Call> {
        self.channel.examines().then(|| self.call(|id| Request::Examine { id, what: Examine::Host }))
    }

    /// These pools, if they are told soon: nothing depends on them.
    pub async fn told(&mut self, call: Call) -> Option<Vec<PoolState>> {
        self.examined(call).await?.pools
    }

    /// How this dataset is mounted, if the helper tells that soon: nothing depends on it.
    pub async fn mount(&mut self, dataset: &DatasetName) -> Option<MountState> {
        let what = Examine::Dataset(dataset.clone());
        let call = self.channel.examines().then(|| self.call(|id| Request::Examine { id, what }))?;
        let place = self.examined(call).await?.place?;
        place.mount.filter(|_| place.nearest.as_ref() == Some(dataset))
    }

    async fn examined(&mut self, mut call: Call) -> Option<Examination> {
        match tokio::time::timeout(POOLS, self.answer(&mut call)).await {
            Ok(Ok(Reply::Examined { examination, .. })) => Some(*examination),
            _ => None,
        }
    }

    /// Their names; for an error that there is already.
    pub async fn pools(&mut self) -> Option<Vec<String>> {
        let call = self.ask_pools()?;
        Some(self.told(call).await?.into_iter().map(|pool| pool.name).collect())
    }

    /// What the target's pool and its nearest dataset allow streams to carry.
    pub async fn probe(&mut self, dataset: DatasetName) -> Result<TargetLimits, StartError> {
        let mut call = self.call(|id| Request::Probe { id, dataset });
        loop {
            if let Reply::Probed { disabled, encrypted, .. } = self.answer(&mut call).await? {
                return Ok(TargetLimits { disabled, encrypted });
            }
        }
    }
}

/// Why nobody knows which target a record is of.
fn damaged(Property { on, name, .. }: &Property) -> Failure {
    let words =
        format!("{name} on {on} is damaged, or a newer version of zfsync made it: see zfsync targets '{on}' there");
    Failure { refusal: Refusal::Other, words }
}

/// The next reply to a question, in time: the host may be silent for so long, and a whole answer take so many times as long. What it
/// says to another question is a sign of life too.
async fn next(call: &mut Call, link: &Link, asked: Instant) -> Result<Reply, StartError> {
    let Some(stall) = link.silence else { return Ok(call.next().await?) };
    let began = Instant::now();
    loop {
        let heard = call.heard().map_or(began, |heard| heard.max(began));
        let end = (heard + stall).min(asked + stall * BELIEVED);
        if let Ok(reply) = tokio::time::timeout_at(end.into(), call.next()).await {
            return Ok(reply?);
        }
        if call.heard().is_none_or(|at| at <= heard) || end >= asked + stall * BELIEVED {
            return Err(StartError::NoAnswer { host: link.name(), seconds: stall.as_secs() });
        }
    }
}

/// Cuts a list of names into parts that are fit for one question each.
fn question_parts(mut rest: &[String]) -> impl Iterator<Item = &[String]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take(QUESTION.1).take_while(|name| {
            bytes += name.len() + 3;
            bytes <= QUESTION.0
        });
        let (now, later) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

#[cfg(test)]
mod tests;

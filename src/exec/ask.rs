//! Questions to the helper before the run: each kind one batch, and the answers put together again.

mod content;
mod foresee;
mod listings;

pub use listings::Listings;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::connections::ConnectionPool;
use super::lock::owner;
use super::machine::BELIEVED;
use crate::error::StartError;
use crate::plan::TargetDataset;
use crate::plan::TargetLimits;
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel, HelperError};
use crate::remote::link::Ends;
use helper::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use zfs::{BaseFacts, Failure, Note, Noted, Refusal, Rename, Resolution, Thinned};

/// So many bytes, and so many names, go into one question: its answer must fit into a frame too.
const QUESTION: (usize, usize) = (256 * 1024, 8000);

/// Ids of questions start here: the run that follows must never take a late answer for that to one of its steps.
const QUESTIONS: u64 = 1 << 56;
/// So many dates are asked for at a time.
const DATES: usize = 500;

/// How often a tree that another run has is claimed again.
const CLAIM_AGAIN: Duration = Duration::from_millis(500);

/// Listed datasets, each with the token of its cut receive.
pub type Listed = HashMap<DatasetName, (TargetDataset, Option<ResumeToken>)>;

/// Asks the helper on the first channel, one batch after the other.
pub struct Asker<'a> {
    connections: &'a mut ConnectionPool,
    events: &'a mut UnboundedReceiver<FromChannel>,
    channel: ChannelId,
    /// Between which ends.
    pub ends: &'a Ends,
    next: u64,
    /// When the last question was asked.
    asked: Instant,
    /// The claim of the tree, while it isn't answered.
    claim: Option<u64>,
    /// Why the claim keeps nobody away, where that is so.
    pub unlocked: Option<String>,
    /// Names of datasets that were asked for beside something else.
    ahead: Option<Ahead>,
    /// What exists and can't be read, with the words of zfs: datasets and snapshots that were asked for.
    pub unread: Vec<(String, String)>,
}

/// An answer that comes in the midst of others.
struct Ahead {
    id: u64,
    names: Vec<DatasetName>,
    /// What came of it, once it is through.
    end: Option<Result<(), Failure>>,
}

impl<'a> Asker<'a> {
    /// Asks over this channel, whose helper has greeted. While it lives nobody else takes the channels' events.
    pub fn new(
        connections: &'a mut ConnectionPool,
        events: &'a mut UnboundedReceiver<FromChannel>,
        channel: ChannelId,
        ends: &'a Ends,
    ) -> Self {
        Self {
            connections,
            events,
            channel,
            ends,
            next: QUESTIONS,
            asked: Instant::now(),
            claim: None,
            unlocked: None,
            ahead: None,
            unread: Vec::new(),
        }
    }

    /// What the target's host is called in messages.
    pub fn host(&self) -> String {
        self.ends.target.link.name()
    }

    /// So long nothing may come from there.
    pub fn stall(&self) -> Option<Duration> {
        self.ends.target.link.silence
    }

    fn send(&mut self, request: impl FnOnce(u64) -> Request) -> Result<u64, StartError> {
        let id = self.next;
        self.next += 1;
        self.asked = Instant::now();
        let lost = || HelperError::Lost { host: self.host(), reason: "the channel is closed".into() };
        self.connections.channel(self.channel).ok_or_else(lost)?.request(request(id));
        Ok(id)
    }

    /// Claims the target's tree for this run, until the helper ends. The answer is awaited with the next one, so that it
    /// costs no round trip; unless another run may be waited for, as it changes what is there.
    pub async fn claim(&mut self, run: u64, wait: Duration) -> Result<(), StartError> {
        let waiting_since = Instant::now();
        loop {
            let (dataset, owner) = (self.ends.target.dataset.clone(), owner(self.ends));
            self.claim = Some(self.send(|id| Request::Lock { id, dataset, run, owner })?);
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
        while self.claim.is_some() {
            self.answer().await?;
        }
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply, StartError> {
        loop {
            if let Some(reply) = self.answer().await? {
                return Ok(reply);
            }
        }
    }

    /// The next answer. A claim that is refused ends everything.
    async fn answer(&mut self) -> Result<Option<Reply>, StartError> {
        let event = match self.stall() {
            None => self.events.recv().await,
            Some(stall) => {
                // An answer may come in many parts, but not for ever.
                let limit = stall.min((stall * BELIEVED).saturating_sub(self.asked.elapsed()));
                tokio::time::timeout(limit, self.events.recv()).await.map_err(|_| {
                    let host = self.host();
                    StartError::NoAnswer { host, seconds: stall.as_secs() }
                })?
            }
        };
        match event.map(|from| from.event) {
            Some(ChannelEvent::Reply(Reply::Done { id, failure, warning })) if self.claim == Some(id) => {
                (self.claim, self.unlocked) = (None, warning);
                let Some(failure) = failure else { return Ok(None) };
                let (host, target) = (self.host(), self.ends.target.dataset.to_string());
                Err(match failure.refusal {
                    Refusal::Locked => StartError::LockedThere { host, target, holder: failure.words },
                    _ => self.failed(failure),
                })
            }
            Some(ChannelEvent::Reply(reply)) => Ok(self.set_apart(reply)),
            Some(ChannelEvent::Closed(error)) => Err(error.into()),
            Some(_) => Ok(None),
            None => {
                let reason = "the channel is closed".into();
                Err(HelperError::Lost { host: self.host(), reason }.into())
            }
        }
    }

    fn failed(&self, failure: Failure) -> StartError {
        StartError::Ask { host: self.host(), dataset: self.ends.target.to_string(), words: failure.words }
    }

    /// Which of these datasets and snapshots exist, by their place.
    pub async fn ask(&mut self, names: &[String]) -> Result<Vec<(u32, Guid, Txg)>, StartError> {
        let mut offsets = HashMap::new();
        let mut start = 0;
        for some in question_parts(names) {
            let names = some.to_vec();
            offsets.insert(self.send(|id| Request::Ask { id, names })?, start);
            start += some.len();
        }
        let mut all = Vec::new();
        while !offsets.is_empty() {
            match self.reply().await? {
                Reply::Found { id, found } => {
                    let offset = u32::try_from(offsets.remove(&id).unwrap_or(0)).unwrap_or(u32::MAX);
                    all.extend(found.into_iter().map(|(place, guid, txg)| (place.saturating_add(offset), guid, txg)));
                }
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
        Ok(all)
    }

    /// When these snapshots were made, by their place.
    pub async fn dates(&mut self, names: &[String]) -> Result<Vec<(u32, i64)>, StartError> {
        let mut all = Vec::new();
        for (part, some) in (0..).zip(names.chunks(DATES)) {
            let names = some.to_vec();
            self.send(|id| Request::Dates { id, names })?;
            match self.reply().await? {
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
        let mut offsets = HashMap::new();
        let mut start = 0;
        for some in question_parts(names) {
            let names = some.to_vec();
            offsets.insert(self.send(|id| Request::Bases { id, names, iv_sets_only })?, start);
            start += some.len();
        }
        let mut all = Vec::new();
        while !offsets.is_empty() {
            match self.reply().await? {
                Reply::Bases { id, bases } => {
                    let offset = u32::try_from(offsets.remove(&id).unwrap_or(0)).unwrap_or(u32::MAX);
                    all.extend(bases.into_iter().map(|(place, facts)| (place.saturating_add(offset), facts)));
                }
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
        }
        Ok(all)
    }

    /// Drops the rest of a cut receive; the failure when zfs refuses.
    pub async fn clear(&mut self, dataset: DatasetName) -> Result<Option<Failure>, StartError> {
        let asked = self.send(|id| Request::Clear { id, dataset })?;
        self.all_done(HashSet::from([asked])).await
    }

    /// Has snapshots destroyed, or told what that would free: for each of these portions what came of it.
    pub async fn thin(
        &mut self,
        portions: &[(DatasetName, Vec<(SnapshotName, Guid)>)],
        dry_run: bool,
    ) -> Result<Vec<Result<Thinned, Failure>>, StartError> {
        let mut places = HashMap::new();
        for (place, (dataset, snapshots)) in portions.iter().enumerate() {
            let (dataset, snapshots) = (dataset.clone(), snapshots.clone());
            places.insert(self.send(|id| Request::Thin { id, dataset, snapshots, dry_run })?, place);
        }
        let mut all: Vec<Result<Thinned, Failure>> = vec![Ok(Thinned::default()); portions.len()];
        while !places.is_empty() {
            let (id, result) = match self.reply().await? {
                Reply::Thinned { id, thinned } => (id, Ok(thinned)),
                Reply::Done { id, failure: Some(failure), .. } => (id, Err(failure)),
                _ => continue,
            };
            if let Some(place) = places.remove(&id) {
                all[place] = result;
            }
        }
        Ok(all)
    }

    /// What speaks against each of these resolutions over there; `None`: nothing. Nothing is changed.
    pub async fn try_resolutions(&mut self, resolutions: Vec<Resolution>) -> Result<Vec<Option<Failure>>, StartError> {
        let (mut places, mut all) = (HashMap::new(), vec![None; resolutions.len()]);
        for (place, resolution) in resolutions.into_iter().enumerate() {
            places.insert(self.send(|id| Request::TryResolve { id, resolution })?, place);
        }
        while !places.is_empty() {
            let Reply::Done { id, failure, .. } = self.reply().await? else { continue };
            if let Some(place) = places.remove(&id) {
                all[place] = failure;
            }
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

    /// The same as far as they can be read; [`Asker::unread`] has the others.
    pub async fn list_readable(&mut self, datasets: Vec<DatasetName>) -> Result<Listed, StartError> {
        let mut open = 0;
        for some in datasets.chunks(1000) {
            let datasets = some.to_vec();
            self.send(|id| Request::List { id, datasets })?;
            open += 1;
        }
        self.listed(open).await
    }

    /// Lists a dataset and all below it in full; nothing if it doesn't exist. What can't be listed is looked at once more, as
    /// something may have been on its way.
    pub async fn tree(&mut self, dataset: DatasetName) -> Result<Listed, StartError> {
        let top = dataset.clone();
        self.send(|id| Request::Tree { id, dataset })?;
        let listed = match self.listed(1).await {
            Err(StartError::Ask { .. }) => {
                self.send(|id| Request::Tree { id, dataset: top })?;
                self.listed(1).await
            }
            listed => listed,
        }?;
        self.all_read().map(|()| listed)
    }

    /// Takes the answers to so many listings.
    async fn listed(&mut self, mut open: usize) -> Result<Listed, StartError> {
        let mut listings = Listings::default();
        while open > 0 {
            match self.reply().await? {
                Reply::Listed { dataset, facts, snapshots, .. } => listings.add(dataset, facts, snapshots),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                Reply::Done { .. } => open -= 1,
                _ => {}
            }
        }
        Ok(listings.finish())
    }

    /// Asks for the datasets that are there, from this one down; [`Asker::names`] has the answer. It costs no round trip when
    /// something else is asked in between.
    pub fn ask_names(&mut self, dataset: DatasetName) -> Result<(), StartError> {
        let id = self.send(|id| Request::Names { id, dataset })?;
        self.ahead = Some(Ahead { id, names: Vec::new(), end: None });
        Ok(())
    }

    /// The datasets that were asked for; none if the first doesn't exist.
    pub async fn names(&mut self) -> Result<Vec<DatasetName>, StartError> {
        self.named().await?;
        if self.ahead.as_ref().is_some_and(|ahead| matches!(ahead.end, Some(Err(_)))) {
            // A second look, as for a tree.
            self.ask_names(self.ends.target.dataset.clone())?;
            self.named().await?;
        }
        match self.ahead.take() {
            Some(Ahead { end: Some(Err(failure)), .. }) => Err(self.failed(failure)),
            Some(Ahead { names, .. }) => Ok(names),
            None => Ok(Vec::new()),
        }
    }

    /// Waits until the names are there, or can't be.
    async fn named(&mut self) -> Result<(), StartError> {
        while self.ahead.as_ref().is_some_and(|ahead| ahead.end.is_none()) {
            self.answer().await?;
        }
        Ok(())
    }

    /// Keeps what belongs to [`Asker::ask_names`], and what can't be read.
    fn set_apart(&mut self, reply: Reply) -> Option<Reply> {
        if let Reply::Unread { name, words, .. } = reply {
            self.unread.push((name, words));
            return None;
        }
        let Some(ahead) = &mut self.ahead else { return Some(reply) };
        match reply {
            Reply::Names { id, datasets } if id == ahead.id => ahead.names.extend(datasets),
            Reply::Done { id, failure, .. } if id == ahead.id => {
                ahead.end = Some(failure.map_or(Ok(()), Err));
            }
            other => return Some(other),
        }
        None
    }

    /// What is noted of a tree's datasets, and of these snapshots.
    pub async fn notes(
        &mut self,
        dataset: Option<DatasetName>,
        snapshots: &[String],
    ) -> Result<Vec<Noted>, StartError> {
        let mut open = HashSet::new();
        if dataset.is_some() {
            open.insert(self.send(|id| Request::Notes { id, dataset, snapshots: Vec::new() })?);
        }
        for snapshots in question_parts(snapshots) {
            let snapshots = snapshots.to_vec();
            open.insert(self.send(|id| Request::Notes { id, dataset: None, snapshots })?);
        }
        let mut all = Vec::new();
        while !open.is_empty() {
            match self.reply().await? {
                Reply::Notes { notes, .. } => all.extend(notes),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                Reply::Done { id, .. } => _ = open.remove(&id),
                _ => {}
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
        let mut open = HashSet::new();
        for (note, value, names) in notes {
            for names in question_parts(&names) {
                let (names, value) = (names.to_vec(), value.clone());
                open.insert(self.send(|id| Request::Note { id, note, value, names })?);
            }
        }
        self.all_done(open).await
    }

    /// Renames a dataset; the failure when zfs refuses.
    pub async fn rename(&mut self, rename: Rename) -> Result<Option<Failure>, StartError> {
        let asked = self.send(|id| Request::Rename { id, rename })?;
        self.all_done(HashSet::from([asked])).await
    }

    /// Destroys a dataset that has these snapshots and nothing else; the failure when that isn't so, or when zfs refuses.
    pub async fn destroy(&mut self, dataset: DatasetName, snapshots: Vec<Guid>) -> Result<Option<Failure>, StartError> {
        let asked = self.send(|id| Request::Destroy { id, dataset, snapshots })?;
        self.all_done(HashSet::from([asked])).await
    }

    /// Waits until all these requests are through; the first failure.
    async fn all_done(&mut self, mut open: HashSet<u64>) -> Result<Option<Failure>, StartError> {
        let mut first = None;
        while !open.is_empty() {
            if let Reply::Done { id, failure, .. } = self.reply().await? {
                open.remove(&id);
                first = first.or(failure);
            }
        }
        Ok(first)
    }

    /// What the target's pool and its nearest dataset allow streams to carry.
    pub async fn probe(&mut self, dataset: DatasetName) -> Result<TargetLimits, StartError> {
        self.send(|id| Request::Probe { id, dataset })?;
        loop {
            match self.reply().await? {
                Reply::Probed { disabled, encrypted, .. } => return Ok(TargetLimits { disabled, encrypted }),
                Reply::Done { failure: Some(failure), .. } => return Err(self.failed(failure)),
                _ => {}
            }
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

//! One end of a replication, here or there: the host of a source is asked the same questions and gives the same streams whether it is
//! this machine or another one.

mod list;

mod trial;

pub use trial::may_begin_later;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use helper::wire::{Reply, Request};
use tokio::sync::Semaphore;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{
    Answer, DatasetFacts, Failure, Hello, Host as _, Limits, LocalHost, NewBookmark, Part, Property, Pruned, Query,
    Reading, Record, Refusal, SnapshotState, StreamSpec, Traces, Zfs,
};

use crate::error::StartError;
use crate::remote::client::Sending;
use crate::remote::link::Access;
use crate::remote::source::Remote;

/// So many names go into one question to another host: the question, and its answer, have room in a frame.
const NAMES: usize = 2000;
/// So many datasets go into a question about all snapshots of each.
const WITH_SNAPSHOTS: usize = 200;

/// The end of a replication that sends.
#[derive(Debug, Clone)]
pub struct Endpoint {
    place: Arc<Place>,
    access: Access,
    /// Of those who try whether streams begin.
    trials: Arc<Semaphore>,
}

/// How snapshots are taken.
#[derive(Debug, Clone, Copy)]
pub struct Taking {
    /// Of all datasets below those that are named, too.
    pub recursive: bool,
    /// With [`zfs::TAKEN_HERE`].
    pub taken_here: bool,
}

#[derive(Debug)]
enum Place {
    Here(Arc<LocalHost>),
    There(Box<Remote>),
}

/// Tells whoever works for a question that nobody waits for the answer any more.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Endpoint {
    /// This machine.
    pub fn here() -> Result<Self, StartError> {
        let zfs = Zfs::find().ok_or(StartError::NoZfsHere { target: None })?;
        Ok(Self::at(Place::Here(Arc::new(LocalHost::with(zfs)))))
    }

    /// This machine, by this `zfs`.
    #[cfg(test)]
    pub fn with(zfs: Zfs) -> Self {
        Self::at(Place::Here(Arc::new(LocalHost::with(zfs))))
    }

    /// Another host, whose helper has greeted.
    #[must_use]
    pub fn there(remote: Remote) -> Self {
        Self::at(Place::There(Box::new(remote)))
    }

    fn at(place: Place) -> Self {
        let trials = Arc::new(trial::turns(&place));
        Self { place: Arc::new(place), access: Access::Full, trials }
    }

    /// The same end for somebody who may do no more than this with it.
    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// The other host, if it is one.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self.place.as_ref() {
            Place::Here(_) => None,
            Place::There(remote) => Some(remote),
        }
    }

    /// Ends the connection in good order, if there is one.
    pub async fn close(&self) {
        if let Some(remote) = self.remote() {
            remote.close().await;
        }
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        self.host().unwrap_or_else(|| "this machine".into())
    }

    /// The other host's name, if it is one.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        self.remote().map(|remote| remote.host().to_string())
    }

    /// A dataset of it, as it is written on this machine.
    #[must_use]
    pub fn full_name(&self, dataset: &DatasetName) -> String {
        self.host().map_or_else(|| dataset.to_string(), |host| format!("{host}:{dataset}"))
    }

    /// What it says of itself.
    #[must_use]
    pub fn hello(&self) -> Hello {
        match self.place.as_ref() {
            Place::Here(host) => host.hello(),
            Place::There(remote) => remote.hello().clone(),
        }
    }

    /// A stream of it, which begins when it is taken over a channel of `lane`.
    #[must_use]
    pub fn sending(&self, stream: StreamSpec, lane: Option<&crate::remote::client::Channel>) -> Sending {
        match (self.place.as_ref(), lane) {
            (Place::Here(host), _) => Sending::Here(Arc::clone(host), stream),
            (Place::There(_), Some(lane)) => Sending::There(lane.clone(), stream),
            (Place::There(remote), None) => Sending::There(remote.channel(), stream),
        }
    }

    /// Asks it. `silence`: it says nothing for so long, and is given up.
    async fn ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        self.access.check(query.changes(), || query.what())?;
        match self.place.as_ref() {
            Place::Here(host) => {
                let (given_up, limits) = limits(silence);
                let host = host.within(limits);
                let answer = tokio::task::spawn_blocking(move || host.query(&query)).await;
                drop(given_up);
                answer.unwrap_or_else(|error| Err(Failure::new(Refusal::Other, &error.to_string())))
            }
            Place::There(remote) => remote.ask(query, silence).await,
        }
    }

    /// Asks about names, as many at a time as there is room for, and puts the answers together.
    async fn ask_all<T: Clone>(
        &self,
        items: &[T],
        silence: Option<Duration>,
        query: impl Fn(Vec<T>) -> Query,
    ) -> Result<Option<Answer>, Failure> {
        self.ask_in_parts(items, NAMES, silence, query).await
    }

    /// The same with so many at a time where another host is asked.
    async fn ask_in_parts<T: Clone>(
        &self,
        items: &[T],
        most: usize,
        silence: Option<Duration>,
        query: impl Fn(Vec<T>) -> Query,
    ) -> Result<Option<Answer>, Failure> {
        let at_once = if self.remote().is_some() { most } else { usize::MAX };
        let mut all: Option<Answer> = None;
        for some in items.chunks(at_once.min(items.len().max(1))) {
            let answer = self.ask(query(some.to_vec()), silence).await?;
            match &mut all {
                None => all = Some(answer),
                Some(all) => {
                    if !all.append(answer) {
                        return Err(odd());
                    }
                }
            }
        }
        Ok(all)
    }

    /// Which of these snapshots exist.
    pub async fn find(
        &self,
        names: &[String],
        silence: Option<Duration>,
    ) -> Result<HashSet<(DatasetName, Guid)>, Failure> {
        match self.ask_all(names, silence, |names| Query::Find { names }).await? {
            None => Ok(HashSet::new()),
            Some(Answer::Found(found)) => Ok(found.into_iter().collect()),
            Some(_) => Err(odd()),
        }
    }

    /// What these datasets are; one that has gone is left out.
    pub async fn facts(
        &self,
        datasets: &[DatasetName],
        silence: Option<Duration>,
    ) -> Result<Vec<DatasetFacts>, Failure> {
        match self.ask_all(datasets, silence, |datasets| Query::Facts { datasets }).await? {
            None => Ok(Vec::new()),
            Some(Answer::Facts(facts)) => Ok(facts),
            Some(_) => Err(odd()),
        }
    }

    /// What speaks against snapshots of these datasets; one that has gone is left out.
    pub async fn states(
        &self,
        datasets: &[DatasetName],
        silence: Option<Duration>,
    ) -> Result<HashMap<DatasetName, SnapshotState>, Failure> {
        match self.ask_all(datasets, silence, |datasets| Query::States { datasets }).await? {
            None => Ok(HashMap::new()),
            Some(Answer::States(states)) => Ok(states.into_iter().collect()),
            Some(_) => Err(odd()),
        }
    }

    /// How much was written between each of these snapshots and the one before it, as far as zfs tells.
    pub async fn written(&self, names: &[String], silence: Option<Duration>) -> Vec<(String, u64)> {
        match self.ask_all(names, silence, |names| Query::Written { names }).await {
            Ok(Some(Answer::Numbers(written))) => written,
            _ => Vec::new(),
        }
    }

    /// When snapshots and bookmarks were made, in seconds since 1970, as far as they exist.
    pub async fn dates(&self, names: &[String], silence: Option<Duration>) -> Result<Vec<(String, i64)>, Failure> {
        match self.ask_all(names, silence, |names| Query::Dates { names }).await? {
            None => Ok(Vec::new()),
            Some(Answer::Dates(dates)) => Ok(dates),
            Some(_) => Err(odd()),
        }
    }

    /// The IV sets of these snapshots and bookmarks, as far as zfs tells.
    pub async fn iv_sets(&self, names: &[String], silence: Option<Duration>) -> Vec<(String, Guid)> {
        match self.ask_all(names, silence, |names| Query::IvSets { names }).await {
            Ok(Some(Answer::IvSets(iv_sets))) => iv_sets,
            _ => Vec::new(),
        }
    }

    /// Whether a pool may have encrypted datasets. One that can't be asked may.
    pub async fn may_have_encrypted(&self, pool: &str, silence: Option<Duration>) -> bool {
        !matches!(self.ask(Query::Encrypted { pool: pool.to_owned() }, silence).await, Ok(Answer::Maybe(false)))
    }

    /// How many bytes a stream would have; `None` where that isn't known.
    pub async fn estimate(&self, stream: StreamSpec, silence: Option<Duration>) -> Option<u64> {
        match self.ask(Query::Estimate { stream }, silence).await {
            Ok(Answer::Size(size)) => size,
            _ => None,
        }
    }

    /// The history of a pool from a transaction group on, as only root is told it.
    pub async fn history(&self, pool: &str, since: Txg, silence: Option<Duration>) -> Result<Vec<Record>, Failure> {
        match self.ask(Query::History { pool: pool.to_owned(), since }, silence).await? {
            Answer::Records(records) => Ok(records),
            _ => Err(odd()),
        }
    }

    /// What tells of receives into these datasets; who can't be asked tells nothing.
    pub async fn traces(&self, datasets: &[DatasetName], silence: Option<Duration>) -> HashMap<String, Traces> {
        match self.ask_all(datasets, silence, |datasets| Query::Traces { datasets }).await {
            Ok(Some(Answer::Traces(traces))) => traces.into_iter().collect(),
            _ => HashMap::new(),
        }
    }

    /// What the snapshots of these datasets say by a property of zfsync's.
    pub async fn snapshot_notes(
        &self,
        property: &str,
        datasets: &[DatasetName],
        silence: Option<Duration>,
    ) -> Result<HashMap<String, String>, Failure> {
        let query = |datasets| Query::SnapshotNotes { property: property.to_owned(), datasets };
        match self.ask_in_parts(datasets, WITH_SNAPSHOTS, silence, query).await? {
            None => Ok(HashMap::new()),
            Some(Answer::Texts(notes)) => Ok(notes.into_iter().collect()),
            Some(_) => Err(odd()),
        }
    }

    /// What was set on a dataset, and above it as far as it counts for it.
    pub async fn properties(&self, dataset: &DatasetName, silence: Option<Duration>) -> Result<Vec<Property>, Failure> {
        match self.ask(Query::Properties { dataset: dataset.clone() }, silence).await? {
            Answer::Properties(properties) => Ok(properties),
            _ => Err(odd()),
        }
    }

    /// What was set on a dataset and below it.
    pub async fn properties_below(
        &self,
        dataset: &DatasetName,
        silence: Option<Duration>,
    ) -> Result<Vec<Property>, Failure> {
        match self.ask(Query::PropertiesBelow { dataset: dataset.clone() }, silence).await? {
            Answer::Properties(properties) => Ok(properties),
            _ => Err(odd()),
        }
    }

    /// All datasets of the host; none where zfs doesn't tell.
    pub async fn names(&self, silence: Option<Duration>) -> Vec<String> {
        match self.ask(Query::Names, silence).await {
            Ok(Answer::Names(names)) => names,
            _ => Vec::new(),
        }
    }

    /// Makes bookmarks; why each of them failed, if it did.
    pub async fn bookmark(
        &self,
        new: Vec<NewBookmark>,
        silence: Option<Duration>,
    ) -> Result<Vec<Option<Failure>>, Failure> {
        failures(self.ask_all(&new, silence, |new| Query::Bookmark { new }).await?, new.len())
    }

    /// Destroys bookmarks; why each of them failed, if it did.
    pub async fn drop_bookmarks(
        &self,
        bookmarks: Vec<(DatasetName, SnapshotName)>,
        silence: Option<Duration>,
    ) -> Result<Vec<Option<Failure>>, Failure> {
        let gone = self.ask_all(&bookmarks, silence, |bookmarks| Query::DropBookmarks { bookmarks }).await?;
        failures(gone, bookmarks.len())
    }

    /// Sets a property of zfsync's on a dataset or a snapshot of it, or drops it.
    pub async fn set_property(
        &self,
        (dataset, snapshot): (&DatasetName, Option<SnapshotName>),
        property: &str,
        value: Option<String>,
        silence: Option<Duration>,
    ) -> Result<(), Failure> {
        let (dataset, property) = (dataset.clone(), property.to_owned());
        self.ask(Query::SetProperty { dataset, snapshot, property, value }, silence).await.map(drop)
    }

    /// Takes snapshots of datasets of one pool.
    pub async fn snapshot(
        &self,
        datasets: Vec<DatasetName>,
        name: SnapshotName,
        Taking { recursive, taken_here }: Taking,
        silence: Option<Duration>,
    ) -> Result<(), Failure> {
        self.ask(Query::Snapshot { datasets, name, recursive, taken_here }, silence).await.map(drop)
    }

    /// Destroys snapshots of a dataset, or tells what that would free.
    pub async fn prune(
        &self,
        dataset: DatasetName,
        snapshots: Vec<(SnapshotName, Guid)>,
        dry_run: bool,
        silence: Option<Duration>,
    ) -> Result<Pruned, Failure> {
        match self.ask(Query::Prune { dataset, snapshots: snapshots.clone(), dry_run }, silence).await? {
            Answer::Pruned(pruned) if pruned.accounts_for(&snapshots) => Ok(pruned),
            Answer::Pruned(_) => Err(unaccounted()),
            _ => Err(odd()),
        }
    }

    /// Reads what a snapshot holds; `heard` is told how far that is.
    pub async fn content(
        &self,
        reading: &Reading,
        heard: impl Fn(u64) + Send + 'static,
        silence: Option<Duration>,
    ) -> Result<Vec<Part>, Failure> {
        match self.place.as_ref() {
            Place::Here(host) => {
                let (given_up, limits) = limits(silence);
                let (host, reading) = (host.within(limits), reading.clone());
                let read = tokio::task::spawn_blocking(move || {
                    let parts = Mutex::new(Vec::new());
                    host.content(&reading, &mut |bytes, part| {
                        heard(bytes);
                        parts.lock().unwrap_or_else(PoisonError::into_inner).extend(part);
                        Ok(())
                    })?;
                    Ok(parts.into_inner().unwrap_or_else(PoisonError::into_inner))
                });
                let read = read.await;
                drop(given_up);
                read.unwrap_or_else(|error| Err(Failure::new(Refusal::Other, &error.to_string())))
            }
            Place::There(remote) => {
                let reading = reading.clone();
                let channel = remote.channel();
                let mut call = channel.call(|id| Request::Content { id, reading });
                let mut all = Vec::new();
                loop {
                    match Remote::next(&channel, &mut call, silence).await? {
                        Reply::Content { bytes, parts, .. } => {
                            heard(bytes);
                            all.extend(parts);
                        }
                        Reply::Done { failure: None, .. } => return Ok(all),
                        Reply::Done { failure: Some(failure), .. } => return Err(failure),
                        _ => return Err(odd()),
                    }
                }
            }
        }
    }
}

/// What came of so many bookmarks.
fn failures(answer: Option<Answer>, len: usize) -> Result<Vec<Option<Failure>>, Failure> {
    match answer {
        None => Ok(Vec::new()),
        Some(Answer::Failures(failures)) if failures.len() == len => Ok(failures),
        Some(_) => Err(odd()),
    }
}

/// What is said of an answer from which nobody can tell which snapshots are destroyed.
pub fn unaccounted() -> Failure {
    Failure::new(Refusal::Other, "its answer doesn't account for each snapshot: any of them may have been destroyed")
}

/// An answer that is none to the question.
fn odd() -> Failure {
    Failure::new(Refusal::Other, "its answer doesn't match the request")
}

fn limits(silence: Option<Duration>) -> (GiveUp, Limits) {
    let given_up = Arc::new(AtomicBool::new(false));
    (GiveUp(Arc::clone(&given_up)), Limits { silence, given_up: Some(given_up) })
}

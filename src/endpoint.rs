//! One end of a replication, here or there: the host of a source is asked the same questions and gives the same streams whether it is
//! this machine or another one.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use helper::read_report;
use helper::wire::{Reply, Request};
use zfs::host::{HANGS, Watched};
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::text::quoted;
use zfs::{
    Answer, DatasetFacts, Ended, Failure, Hello, Host as _, Inventory, Limits, LocalHost, Most, NewBookmark, Part,
    Property, Query, Reading, Record, Refusal, SnapshotState, StreamSpec, Thinned, Traces, Zfs, read_source,
    read_source_within,
};

use crate::error::StartError;
use crate::remote::client::{ENDED_WITHIN, Report, Sending};
use crate::remote::source::Remote;

/// So many names go into one question to another host: the question, and its answer, have room in a frame.
const NAMES: usize = 2000;

/// The end of a replication that sends.
#[derive(Debug, Clone)]
pub struct Endpoint(Arc<Place>);

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
        let zfs = Zfs::find().ok_or(StartError::NoZfsHere)?;
        Ok(Self(Arc::new(Place::Here(Arc::new(LocalHost::with(zfs))))))
    }

    /// This machine, by this `zfs`.
    #[cfg(test)]
    pub fn with(zfs: Zfs) -> Self {
        Self(Arc::new(Place::Here(Arc::new(LocalHost::with(zfs)))))
    }

    /// Another host, whose helper has greeted.
    #[must_use]
    pub fn there(remote: Remote) -> Self {
        Self(Arc::new(Place::There(Box::new(remote))))
    }

    /// The other host, if it is one.
    #[must_use]
    pub fn remote(&self) -> Option<&Remote> {
        match self.0.as_ref() {
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
        match self.0.as_ref() {
            Place::Here(host) => host.hello(),
            Place::There(remote) => remote.hello().clone(),
        }
    }

    /// A stream of it, which begins when it is taken over a channel of `lane`.
    #[must_use]
    pub fn sending(&self, stream: StreamSpec, lane: Option<&crate::remote::client::Channel>) -> Sending {
        match (self.0.as_ref(), lane) {
            (Place::Here(host), _) => Sending::Here(Arc::clone(host), stream),
            (Place::There(_), Some(lane)) => Sending::There(lane.clone(), stream),
            (Place::There(remote), None) => Sending::There(remote.channel(), stream),
        }
    }

    /// Asks it. `silence`: it says nothing for so long, and is given up.
    async fn ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        match self.0.as_ref() {
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
        let at_once = if self.remote().is_some() { NAMES } else { usize::MAX };
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
        match self.ask_all(datasets, silence, query).await? {
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
        recursive: bool,
        silence: Option<Duration>,
    ) -> Result<(), Failure> {
        self.ask(Query::Snapshot { datasets, name, recursive }, silence).await.map(drop)
    }

    /// Destroys snapshots of a dataset, or tells what that would free.
    pub async fn thin(
        &self,
        dataset: DatasetName,
        snapshots: Vec<(SnapshotName, Guid)>,
        dry_run: bool,
        silence: Option<Duration>,
    ) -> Result<Thinned, Failure> {
        match self.ask(Query::Thin { dataset, snapshots, dry_run }, silence).await? {
            Answer::Thinned(thinned) => Ok(thinned),
            _ => Err(odd()),
        }
    }

    /// Lists a dataset and what lies so many levels below it, with all snapshots and bookmarks; and how that ended.
    pub async fn list(
        &self,
        top: &DatasetName,
        depth: Option<usize>,
        silence: Option<Duration>,
    ) -> Result<(Vec<Inventory>, Ended), Failure> {
        let stream = StreamSpec::List { dataset: top.clone(), depth };
        let mut again = self.remote();
        loop {
            let (given_up, limits) = limits(silence);
            let (own, stream, top) = (self.clone(), stream.clone(), top.clone());
            let listed = tokio::task::spawn_blocking(move || own.read_list(stream, &top, &limits)).await;
            drop(given_up);
            let listed = listed.unwrap_or_else(|error| Err(Failure::new(Refusal::Other, &error.to_string())));
            let lost = matches!(listed, Err(Failure { refusal: Refusal::Lost, .. }));
            match again.take().filter(|_| lost) {
                Some(remote) => remote.revive().await?,
                None => return listed,
            }
        }
    }

    fn read_list(
        &self,
        stream: StreamSpec,
        top: &DatasetName,
        limits: &Limits,
    ) -> Result<(Vec<Inventory>, Ended), Failure> {
        let system = |error: io::Error| Failure::new(Refusal::Other, &error.to_string());
        let input = |output: OwnedFd| BufReader::with_capacity(256 * 1024, Watched::new(output, limits.clone()));
        match self.0.as_ref() {
            Place::Here(host) => {
                let zfs::host::Outgoing { output, words, process } = host.stream(&stream)?;
                let words = std::thread::Builder::new().spawn(move || read_report(words, |_| {})).map_err(system)?;
                let read = read_source(input(output), top);
                if let Err(error) = &read {
                    process.end(true);
                    if is_late(error) {
                        return Err(Failure::new(Refusal::Other, HANGS));
                    }
                }
                let died = process.wait().err();
                let words = words.join().unwrap_or_default();
                let ended = Ended {
                    words,
                    killed: died.as_ref().is_some_and(|died| died.killed),
                    status: died.map(|died| died.status),
                };
                told(read, ended)
            }
            Place::There(remote) => {
                let channel = remote.channel();
                let (output, reports, id) = channel.ask_stream(stream).map_err(system)?;
                let read = read_source_within(input(output), top, Most::ANYWHERE);
                if let Err(error) = &read {
                    channel.cancel_stream(id);
                    if is_late(error) {
                        return Err(Failure::new(Refusal::Other, HANGS));
                    }
                }
                loop {
                    match reports.recv_timeout(ENDED_WITHIN) {
                        Ok(Report::Estimated(_)) => {}
                        Ok(Report::Ended(ended, true)) => return told(read, ended),
                        Ok(Report::Ended(..)) => {
                            // It was stopped because of what was read.
                            let words = read.err().map_or("its listing broke off".into(), |error| error.to_string());
                            return Err(Failure::new(Refusal::Other, &words));
                        }
                        Ok(Report::Refused(why)) => return Err(why),
                        Err(RecvTimeoutError::Timeout) => return Err(Failure::new(Refusal::Other, HANGS)),
                        Err(RecvTimeoutError::Disconnected) => return Err(remote.lost()),
                    }
                }
            }
        }
    }

    /// Reads what a snapshot holds; `heard` is told how far that is.
    pub async fn content(
        &self,
        reading: &Reading,
        heard: impl Fn(u64) + Send + 'static,
        silence: Option<Duration>,
    ) -> Result<Vec<Part>, Failure> {
        match self.0.as_ref() {
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
                let mut call = remote.call(|id| Request::Content { id, reading });
                let mut all = Vec::new();
                loop {
                    match remote.next(&mut call, silence).await? {
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

/// An answer that is none to the question.
fn odd() -> Failure {
    Failure::new(Refusal::Other, "its answer doesn't fit the question")
}

fn limits(silence: Option<Duration>) -> (GiveUp, Limits) {
    let given_up = Arc::new(AtomicBool::new(false));
    (GiveUp(Arc::clone(&given_up)), Limits { silence, given_up: Some(given_up) })
}

fn is_late(error: &zfs::ParseError) -> bool {
    matches!(error, zfs::ParseError::Io(error) if error.kind() == io::ErrorKind::TimedOut)
}

/// What was listed, with how it ended: what `zfs` says of it is told in its words.
fn told(read: Result<Vec<Inventory>, zfs::ParseError>, ended: Ended) -> Result<(Vec<Inventory>, Ended), Failure> {
    let words = if ended.words.is_empty() { String::new() } else { quoted(&ended.words) };
    let status =
        |status: &str| Failure::new(Refusal::from_words(&words), if words.is_empty() { status } else { &words });
    match (&ended.status, read) {
        (Some(died), _) if words.is_empty() || ended.killed => Err(status(died)),
        (_, Err(error)) => Err(Failure::new(Refusal::Other, &error.to_string())),
        (_, Ok(all)) if all.is_empty() && !words.is_empty() => Err(status("")),
        (_, Ok(all)) => Ok((all, Ended { words, ..ended })),
    }
}

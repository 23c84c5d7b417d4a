//! Finds out how far targets are behind: asks all of them at the same time, beside the source's listing. Takes no lock and
//! changes nothing, so that it can run beside a push.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::connections::ConnectionPool;
use super::inquire::no_pool;
use super::link::{check_helper, close, first_channel, sender_of};
use super::ready::spec;
use super::receiver::Receiver;
use super::signals::Signals;
use super::source;
use crate::config::StatusJob;
use crate::endpoint::Endpoint;
use crate::error::{Signal, StartError};
use crate::file_thread;
use crate::plan::{
    DatasetStatus, HostRole, SourceDataset, Status, Step, TargetDataset, TargetLimits, TargetStatus, compare,
};
use crate::remote::client::{ChannelId, FromChannel};
use crate::remote::link::{Access, Ends};
use crate::state::results::Remembered;
use zfs::name::{DatasetName, RelPath};
use zfs::{BaseFacts, StreamSpec};

/// So long a listing of the source may stand still.
const STALL: Duration = Duration::from_secs(300);
/// So many sizes are estimated at a time.
const AT_ONCE: usize = 4;
/// So long the connections may take to close after a signal.
const CLOSING: Duration = Duration::from_secs(6);

/// Looks at all sides, at one source after the other; also tells of globs that match nothing in any of these.
pub async fn status(jobs: &[StatusJob]) -> Result<(Vec<Status>, Vec<String>), StartError> {
    let (mut all, mut paths) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for job in jobs {
        let (status, listed) = look(job).await?;
        all.push(status);
        paths.push(listed);
    }
    let trees: Vec<_> = jobs.iter().zip(&paths).map(|(job, paths)| (&job.source, paths.iter().collect())).collect();
    // A file's job has the same globs for all its sources.
    let idle = jobs.first().map(|job| job.filter.idle(&trees)).unwrap_or_default();
    let idle = idle.iter().map(ToString::to_string).collect();
    Ok((all, idle))
}

async fn look(job: &StatusJob) -> Result<(Status, Vec<RelPath>), StartError> {
    let mut signals = Signals::listen()?;
    let sender = tokio::select! {
        sender = sender_of(&job.origin, std::slice::from_ref(&job.source)) => sender?.with_access(Access::ReadOnly),
        signal = signals.next() => return Err(StartError::Interrupted(signal)),
    };
    let stop = watch::Sender::new(false);
    let mut work = std::pin::pin!(run(job, &sender, &stop));
    tokio::select! {
        status = &mut work => {
            sender.close().await;
            status
        }
        signal = signals.next() => {
            stop.send_replace(true);
            let _ = tokio::time::timeout(CLOSING, work).await;
            Err(StartError::Interrupted(signal))
        }
    }
}

async fn run(
    job: &StatusJob,
    sender: &Endpoint,
    stop: &watch::Sender<bool>,
) -> Result<(Status, Vec<RelPath>), StartError> {
    let end = Deadline { deadline: Instant::now() + job.timeout, stop: stop.subscribe() };
    let looks = each(job.targets.iter().map(|target| Peer::look(target.clone(), sender.clone(), end.clone())));
    let (peers, datasets) = tokio::join!(looks, list(job, sender, stop));
    let (mut targets, mut open) = (Vec::new(), Vec::new());
    for (peer, target) in peers.into_iter().zip(&job.targets) {
        let found = peer.unwrap_or_else(|| Err("an internal thread failed".into())).map(|peer| {
            let there = (&target.target.dataset, &peer.listed);
            let rows =
                datasets.as_ref().map(|(all, _)| compare((&job.source, all), there, &job.filter)).unwrap_or_default();
            let undated = rows.iter().flat_map(|row| row.undated(HostRole::Receiver)).collect::<Vec<_>>();
            let bases = rows.iter().filter_map(|row| Some(row.unchanged.as_ref()?.since.clone())).collect::<Vec<_>>();
            open.push((targets.len(), peer, (undated, bases)));
            rows
        });
        let kept = job.state_dir.is_some();
        targets.push(TargetStatus { target: target.target.to_string(), found, kept, last_run: None });
    }
    // Whatever became of the source, the connections are closed in good order.
    let told = each(open.into_iter().map(|(at, peer, names)| {
        let end = end.clone();
        async move { (at, peer.asked(names, end).await) }
    }));
    let (told, here) = tokio::join!(told, unless_stopped(stop, dates_here(sender, &targets)));
    let here = here.unwrap_or_default();
    let (_, paths) = datasets?;
    for (at, (dates, written)) in told.into_iter().flatten() {
        rows_of(&mut targets[at]).for_each(|row| {
            row.date(HostRole::Receiver, &dates);
            row.changed(&written);
        });
    }
    targets.iter_mut().flat_map(rows_of).for_each(|row| row.date(HostRole::Sender, &here));
    if job.bytes {
        unless_stopped(stop, estimate(sender, &mut targets)).await;
    }
    if let Some(dir) = &job.state_dir {
        unless_stopped(stop, remember(dir, &mut targets, &job.targets)).await.transpose()?;
    }
    let now = jiff::Timestamp::now().as_second();
    Ok((Status { source: job.source.clone(), now, limits: job.limits, targets }, paths))
}

/// Adds what the last runs have left in their state folders.
async fn remember(dir: &Path, targets: &mut [TargetStatus], ends: &[Arc<Ends>]) -> Result<(), StartError> {
    let names = |target: &mut TargetStatus| rows_of(target).map(|row| row.dataset.clone()).collect();
    let wanted: Vec<(String, Vec<String>)> =
        targets.iter_mut().zip(ends).map(|(target, ends)| (ends.key(), names(target))).collect();
    let folder = dir.to_owned();
    let read = file_thread::once(move |beat| {
        let read = wanted.into_iter().map(|(target, names)| {
            let remembered = Remembered::of(&folder, &target);
            let last = names.iter().map(|name| remembered.dataset(name)).inspect(|_| beat.tick());
            (remembered.run(), last.collect::<Vec<_>>())
        });
        Ok(read.collect::<Vec<_>>())
    });
    let cant = |error| StartError::File { what: "read the state directory", path: dir.to_owned(), error };
    for (target, (run, last)) in targets.iter_mut().zip(read.await.map_err(cant)?) {
        target.last_run = run;
        rows_of(target).zip(last).for_each(|(row, last)| row.last = last);
    }
    Ok(())
}

/// Lists the source: what is selected, and the paths of all. When that fails nobody needs to wait for the targets.
async fn list(
    job: &StatusJob,
    sender: &Endpoint,
    stop: &watch::Sender<bool>,
) -> Result<(Vec<SourceDataset>, Vec<RelPath>), StartError> {
    let listing = source::list(sender, job.source.clone(), job.filter.depth(), Some(STALL));
    // Nobody hears the error when there was a signal.
    let listed = unless_stopped(stop, listing).await.unwrap_or(Err(StartError::Interrupted(Signal::Interrupt)));
    if listed.is_err() {
        stop.send_replace(true);
    }
    let listed = listed?;
    let paths = listed.iter().map(|dataset| dataset.path.clone()).collect();
    Ok((listed.into_iter().filter(|dataset| job.filter.selects(&dataset.path)).collect(), paths))
}

/// What came of this; `None` when it was overtaken.
async fn unless_stopped<T>(stop: &watch::Sender<bool>, work: impl Future<Output = T>) -> Option<T> {
    let mut stopped = stop.subscribe();
    tokio::select! {
        done = work => Some(done),
        _ = stopped.wait_for(|stop| *stop) => None,
    }
}

/// Until when targets are asked.
#[derive(Clone)]
struct Deadline {
    deadline: Instant,
    stop: watch::Receiver<bool>,
}

impl Deadline {
    /// What came of this; `None` when the time was over before.
    async fn before<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = tokio::time::sleep_until(self.deadline) => None,
            _ = self.stop.wait_for(|stop| *stop) => None,
        }
    }
}

fn rows_of(target: &mut TargetStatus) -> impl Iterator<Item = &mut DatasetStatus> {
    target.found.iter_mut().flatten()
}

/// Runs all of these at the same time; the results in their order, `None` for one that broke down.
async fn each<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<Option<T>> {
    let mut running = JoinSet::new();
    for (at, work) in work.enumerate() {
        running.spawn(async move { (at, work.await) });
    }
    let mut all: Vec<Option<T>> = std::iter::repeat_with(|| None).take(running.len()).collect();
    while let Some(done) = running.join_next().await {
        if let Ok((at, result)) = done {
            all[at] = Some(result);
        }
    }
    all
}

/// A target that has answered.
struct Peer {
    ends: Arc<Ends>,
    connections: ConnectionPool,
    first: ChannelId,
    listed: HashMap<DatasetName, TargetDataset>,
}

impl Peer {
    /// Connects and lists the target's tree; or says why that isn't possible.
    async fn look(ends: Arc<Ends>, sender: Endpoint, mut end: Deadline) -> Result<Self, String> {
        let (mut connections, mut events) = ConnectionPool::new(ends.target.link.clone(), None, Access::ReadOnly);
        match end.before(tree(&ends, &sender, &mut connections, &mut events)).await {
            Some(Ok((first, listed))) => Ok(Self { ends, connections, first, listed }),
            Some(Err(error)) => {
                close(connections).await;
                Err(error.to_string())
            }
            None => {
                close(connections).await;
                Err(format!("{} did not answer in time (--timeout)", ends.target.link.name()))
            }
        }
    }

    /// When these snapshots of the target were made, and what was written there since those of the other ones, as far as it tells in
    /// time; then the connection is closed.
    async fn asked(self, (names, bases): (Vec<String>, Vec<String>), mut end: Deadline) -> (Told<i64>, Told<u64>) {
        let (mut dates, mut written) = (HashMap::new(), HashMap::new());
        let name = |names: &[String], place: u32| names.get(usize::try_from(place).ok()?).cloned();
        if !names.is_empty() {
            let told = async { Receiver::over(&self.connections, self.first, &self.ends)?.dates(&names).await };
            if let Some(Ok(told)) = end.before(told).await {
                dates.extend(told.into_iter().filter_map(|(place, date)| Some((name(&names, place)?, date))));
            }
        }
        if !bases.is_empty() {
            let told = async { Receiver::over(&self.connections, self.first, &self.ends)?.bases(&bases, false).await };
            if let Some(Ok(told)) = end.before(told).await {
                let one = |(place, facts): (u32, BaseFacts)| Some((name(&bases, place)?, facts.written?));
                written.extend(told.into_iter().filter_map(one));
            }
        }
        close(self.connections).await;
        (dates, written)
    }
}

/// What a target tells of snapshots, by their full names.
type Told<T> = HashMap<String, T>;

async fn tree(
    ends: &Ends,
    sender: &Endpoint,
    connections: &mut ConnectionPool,
    events: &mut UnboundedReceiver<FromChannel>,
) -> Result<(ChannelId, HashMap<DatasetName, TargetDataset>), StartError> {
    connections.connect(1, Duration::ZERO);
    let (first, hello) = first_channel(connections, events).await?;
    check_helper(ends, sender, &hello)?;
    let mut receiver = Receiver::over(connections, first, ends)?;
    let listed = receiver.tree(ends.target.dataset.clone()).await?;
    if listed.is_empty() {
        // A host that doesn't tell them may have it.
        if let Some(pools) = receiver.pools().await
            && !pools.iter().any(|pool| pool == ends.target.dataset.pool())
        {
            return Err(no_pool(ends, &pools));
        }
    }
    Ok((first, listed.into_iter().map(|(name, (dataset, _))| (name, dataset)).collect()))
}

/// The dates of this machine's snapshots, asked for once for all targets.
async fn dates_here(sender: &Endpoint, targets: &[TargetStatus]) -> HashMap<String, i64> {
    let rows = targets.iter().flat_map(|target| target.found.iter().flatten());
    let names: HashSet<String> = rows.flat_map(|row| row.undated(HostRole::Sender)).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    sender.dates(&names.into_iter().collect::<Vec<_>>(), Some(STALL)).await.unwrap_or_default().into_iter().collect()
}

/// Fills in how many bytes each dataset lacks; unknown where one of its steps can't be estimated.
async fn estimate(sender: &Endpoint, targets: &mut [TargetStatus]) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut rows: Vec<&mut DatasetStatus> =
        targets.iter_mut().flat_map(rows_of).filter(|row| !row.steps.is_empty()).collect();
    let work = |row: &&mut DatasetStatus| {
        let (sender, turns, steps, dataset) =
            (sender.clone(), turns.clone(), row.steps.clone(), row.dataset.parse().ok());
        async move {
            let _turn = turns.acquire_owned().await;
            size(&sender, &dataset?, &steps).await
        }
    };
    let work: Vec<_> = rows.iter().map(work).collect();
    for (row, bytes) in rows.iter_mut().zip(each(work.into_iter()).await) {
        row.bytes = bytes.flatten();
    }
}

async fn size(sender: &Endpoint, dataset: &DatasetName, steps: &[Step]) -> Option<u64> {
    let flags = TargetLimits::default().flags(None, false);
    let mut sum = 0_u64;
    for step in steps {
        let stream = StreamSpec::Send(spec(dataset, step, flags));
        sum = sum.saturating_add(sender.estimate(stream, Some(STALL)).await?);
    }
    Some(sum)
}

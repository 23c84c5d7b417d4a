//! Compares a copy with its source: lists both sides in full, and reads on both at the same time what snapshots hold. Takes no
//! lock and changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::connections::ConnectionPool;
use super::link::{check_helper, close, first_channel, open_sender};
use super::receiver::Receiver;
use super::signals::Signals;
use super::source;
use crate::config::VerifyJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Compared, Content, Pair, contents_differ, verify as compare};
use crate::remote::client::FromChannel;
use crate::remote::link::Access;
use crate::report::live::Progress;
use zfs::name::{DatasetName, Guid};
use zfs::{PART, Part, Reading};

/// So long the connections may take to close after a signal.
const CLOSING: Duration = Duration::from_secs(6);
/// How often it is shown how far it is.
const TICK: Duration = Duration::from_millis(500);
/// So many objects that differ are told.
const TOLD: usize = 10;

/// What came of a comparison.
pub struct Verified {
    /// Each dataset.
    pub rows: Vec<Compared>,
    /// What is to be said of globs that match nothing.
    pub idle: Vec<String>,
}

/// Compares both sides. `progress` hears how far the reading is.
pub async fn verify(job: &VerifyJob, progress: &mut dyn Progress) -> Result<Verified, StartError> {
    let mut signals = Signals::listen()?;
    let sender = tokio::select! {
        sender = open_sender(&job.ends) => sender?.with_access(Access::ReadOnly),
        signal = signals.next() => return Err(StartError::Interrupted(signal)),
    };
    let (mut connections, mut events) = ConnectionPool::new(job.ends.target.link.clone(), None, Access::ReadOnly);
    let result = tokio::select! {
        compared = run(job, &sender, &mut connections, &mut events, progress) => compared,
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    };
    let closing = async {
        close(connections).await;
        sender.close().await;
    };
    let _ = tokio::time::timeout(CLOSING, closing).await;
    result
}

async fn run(
    job: &VerifyJob,
    sender: &Endpoint,
    connections: &mut ConnectionPool,
    events: &mut UnboundedReceiver<FromChannel>,
    progress: &mut dyn Progress,
) -> Result<Verified, StartError> {
    let ends = &job.ends;
    connections.connect(1, Duration::ZERO);
    let looks = async {
        let (first, hello) = first_channel(connections, events).await?;
        check_helper(ends, sender, &hello)?;
        let listed = Receiver::over(connections, first, ends)?.tree(ends.target.dataset.clone()).await?;
        Ok((first, listed))
    };
    let listing = source::list(sender, ends.source.dataset.clone(), job.filter.depth(), ends.source.link.silence);
    let ((first, listed), here) = tokio::try_join!(looks, listing)?;
    let idle = job.filter.idle(&[(&ends.source.dataset, here.iter().map(|dataset| &dataset.path).collect())]);
    let idle = idle.iter().map(ToString::to_string).collect();
    let here: Vec<_> = here.into_iter().filter(|dataset| job.filter.selects(&dataset.path)).collect();
    let there: HashMap<DatasetName, _> = listed.into_iter().map(|(name, (dataset, _))| (name, dataset)).collect();
    let mut rows = compare((&ends.source.dataset, &here), (&ends.target.dataset, &there), &job.filter);
    if job.content {
        let mut receiver = Receiver::over(connections, first, ends)?;
        read_all(sender, &mut receiver, &mut rows, progress).await?;
    }
    Ok(Verified { rows, idle })
}

/// Reads what the newest common snapshots hold, one dataset after the other, both sides of it at the same time.
async fn read_all(
    sender: &Endpoint,
    receiver: &mut Receiver<'_>,
    rows: &mut [Compared],
    progress: &mut dyn Progress,
) -> Result<(), StartError> {
    let raw = same_keys(sender, receiver, rows).await?;
    let readable = rows.iter().filter(|row| row.newest.is_some()).count();
    let mut done = 0;
    for row in rows {
        let Some(pair) = row.newest.clone() else { continue };
        progress.begins(done, readable, &row.dataset, &pair);
        let raw = raw.get(&row.dataset).copied().unwrap_or(false);
        row.content = compare_content(sender, receiver, row, &pair, raw, progress).await?;
        done += 1;
    }
    progress.ends();
    Ok(())
}

/// Which of the datasets are stored on both sides with the same keys and IVs, so that what is stored can be compared.
async fn same_keys(
    sender: &Endpoint,
    receiver: &mut Receiver<'_>,
    rows: &[Compared],
) -> Result<HashMap<String, bool>, StartError> {
    let encrypted: Vec<(&Compared, &Pair)> =
        rows.iter().filter(|row| row.encrypted).filter_map(|row| Some((row, row.newest.as_ref()?))).collect();
    if encrypted.is_empty() {
        return Ok(HashMap::new());
    }
    let name = |dataset: &str, snapshot: &zfs::name::SnapshotName| format!("{dataset}@{snapshot}");
    let here: Vec<String> = encrypted.iter().map(|(row, pair)| name(&row.dataset, &pair.here)).collect();
    let there: Vec<String> = encrypted.iter().map(|(row, pair)| name(&row.target, &pair.there)).collect();
    let stall = receiver.stall();
    let (ours, theirs) =
        tokio::try_join!(async { Ok(sender.iv_sets(&here, stall).await) }, receiver.bases(&there, true))?;
    let ours: HashMap<String, Guid> = ours.into_iter().collect();
    let theirs: HashMap<u32, Guid> =
        theirs.into_iter().filter_map(|(place, facts)| Some((place, facts.iv_set?))).collect();
    let same = (0..).zip(&encrypted).zip(&here).map(|((place, (row, _)), name)| {
        let same = ours.get(name).is_some_and(|ours| theirs.get(&place) == Some(ours));
        (row.dataset.clone(), same)
    });
    Ok(same.collect())
}

async fn compare_content(
    sender: &Endpoint,
    receiver: &mut Receiver<'_>,
    row: &Compared,
    pair: &Pair,
    raw: bool,
    progress: &mut dyn Progress,
) -> Result<Content, StartError> {
    let (Ok(dataset), Ok(target)) = (row.dataset.parse(), row.target.parse()) else {
        return Ok(Content::Unreadable("the name is too long".into()));
    };
    let of = |dataset, snapshot: &zfs::name::SnapshotName, only| Reading {
        dataset,
        snapshot: snapshot.clone(),
        guid: pair.guid,
        raw,
        only,
    };
    let (here, there) = (of(dataset, &pair.here, None), of(target, &pair.there, None));
    let ((ours, theirs), bytes) = match read(sender, receiver, &here, &there, progress).await? {
        Ok(read) => read,
        Err(why) => return Ok(Content::Unreadable(why)),
    };
    let differ = contents_differ(&ours, &theirs);
    let Some(first) = differ.first() else { return Ok(Content::Same(bytes)) };
    // Once more, to tell which objects of the first part that differs.
    let only = Some((*first, first.saturating_add(PART)));
    let (here, there) = (Reading { only, ..here }, Reading { only, ..there });
    Ok(match read(sender, receiver, &here, &there, progress).await? {
        Ok(((ours, theirs), _)) => {
            let mut objects = contents_differ(&ours, &theirs);
            objects.truncate(TOLD);
            Content::Different(objects)
        }
        Err(_) => Content::Different(Vec::new()),
    })
}

type Both = ((Vec<Part>, Vec<Part>), u64);

/// Reads both sides; the checksums of both and how much was read here, or why a side can't be read.
async fn read(
    sender: &Endpoint,
    receiver: &mut Receiver<'_>,
    here: &Reading,
    there: &Reading,
    progress: &mut dyn Progress,
) -> Result<Result<Both, String>, StartError> {
    let (stall, host) = (receiver.stall(), receiver.host());
    let (ours, theirs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let count = |counter: &Arc<AtomicU64>| {
        let counter = counter.clone();
        move |bytes| counter.store(bytes, Ordering::Relaxed)
    };
    let source =
        async { Ok::<_, StartError>(sender.content(here, count(&ours), stall).await.map_err(|why| why.words)) };
    // The target's answer is awaited also when this side has failed: what would come later belongs to no question then.
    let both = async { tokio::try_join!(source, receiver.content(there, count(&theirs))) };
    let mut both = std::pin::pin!(both);
    let (mine, other) = loop {
        tokio::select! {
            both = &mut both => break both?,
            () = tokio::time::sleep(TICK) => {
                progress.read(ours.load(Ordering::Relaxed), theirs.load(Ordering::Relaxed));
            }
        }
    };
    let bytes = ours.load(Ordering::Relaxed);
    Ok(match (mine, other) {
        (Ok(mine), Ok(other)) => Ok(((mine, other), bytes)),
        (Err(why), _) => Err(format!("on {}: {}", sender.name(), why.trim())),
        (_, Err(failure)) => Err(format!("on {host}: {}", failure.words.trim())),
    })
}

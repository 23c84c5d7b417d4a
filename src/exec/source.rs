//! What this machine's `zfs` tells about the source.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::{local, nearest};
use crate::error::StartError;
use crate::plan::SourceDataset;
use crate::plan::SourceFacts;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::text::quoted;
use zfs::{
    ContentError, Estimate, ParseError, Part, Reading, Record, SnapshotState, Zfs, feature_is_active, read_content,
    read_creations, read_facts, read_history, read_iv_sets, read_listed, read_source, read_states, read_written,
};

/// So many bytes of names go into one argv; FreeBSD's limit is 512 KiB for all arguments and the environment.
const ARGV: usize = 128 * 1024;

/// So many snapshots are asked for at a time, whatever their names: 255 bytes each at most.
const NAMES: usize = 500;

/// A listing of the source, as far as it goes.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// What could be read: every dataset with its snapshots and bookmarks.
    pub datasets: Vec<SourceDataset>,
    /// What `zfs` said of the rest, where it left something out. It may exit with 0 all the same: "cannot iterate filesystems: I/O
    /// error" leaves out the rest of a level.
    pub unread: Option<String>,
}

/// Lists all of the source, or nothing: every dataset down to `depth` with its snapshots and bookmarks. For whoever would take
/// what isn't listed for missing.
///
/// `stall`: nothing comes for so long, and it is given up; the pool may be suspended, and `zfs` waits then for ever.
pub async fn list(
    zfs: Zfs,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Vec<SourceDataset>, StartError> {
    match list_readable(zfs, dataset.clone(), depth, stall).await? {
        Source { datasets, unread: None } => Ok(datasets),
        Source { unread: Some(words), .. } => Err(StartError::List { dataset: dataset.to_string(), words }),
    }
}

/// The same as far as it can be read. Where `zfs` complains it is asked once more: what went away or broke down meanwhile may have
/// been the reason.
pub async fn list_readable(
    zfs: Zfs,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Source, StartError> {
    let first = match list_once(zfs.clone(), dataset.clone(), depth, stall).await {
        Ok(first) => first,
        Err(error) => return Err(nearest::advise(&zfs, error).await),
    };
    if first.unread.is_none() {
        return Ok(first);
    }
    list_once(zfs, dataset, depth, stall).await
}

async fn list_once(
    zfs: Zfs,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Source, StartError> {
    let read = Arc::new(AtomicU64::new(0));
    let stalled = stalled(read.clone(), stall);
    let hangs = StartError::List { dataset: dataset.to_string(), words: format!("zfs list: {}", local::HANGS) };
    tokio::select! {
        listed = list_all(zfs, dataset, depth, read) => listed,
        () = stalled => Err(hangs),
    }
}

/// Ends when a counter has not changed for so long.
async fn stalled(counter: Arc<AtomicU64>, limit: Option<Duration>) {
    let Some(limit) = limit else { return std::future::pending().await };
    loop {
        let before = counter.load(Ordering::Relaxed);
        tokio::time::sleep(limit).await;
        if counter.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

/// Counts what passes.
struct Counted<R> {
    input: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

async fn list_all(
    zfs: Zfs,
    dataset: DatasetName,
    depth: Option<usize>,
    read: Arc<AtomicU64>,
) -> Result<Source, StartError> {
    let words = |words: String| StartError::List { dataset: dataset.to_string(), words };
    let system = |error: io::Error| words(error.to_string());
    let mut child = local::start(zfs.list_source(&dataset, depth)).map_err(system)?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(words("no pipes to a command".into()));
    };
    let stdout = local::for_a_thread(stdout).map_err(system)?;
    let top = dataset.clone();
    // Long ones are parsed while they come, on a thread.
    let listing = tokio::task::spawn_blocking(move || {
        let input = Counted { input: std::fs::File::from(stdout), read };
        read_source(BufReader::with_capacity(256 * 1024, input), &top)
            .map(|all| all.into_iter().map(SourceDataset::from).collect::<Vec<_>>())
    });
    let mut complaints = Vec::new();
    let (listed, said) = tokio::join!(listing, stderr.read_to_end(&mut complaints));
    said.map_err(system)?;
    let status = child.wait().await.map_err(system)?;
    let said = String::from_utf8_lossy(&complaints);
    let said = said.trim();
    let said = if said.is_empty() { None } else { Some(quoted(said)) };
    if !status.success() && (said.is_none() || status.code().is_none()) {
        return Err(words(said.unwrap_or_else(|| status.to_string())));
    }
    let datasets = listed.map_err(|error| words(error.to_string()))?;
    match (datasets.map_err(|error| words(error.to_string()))?, said) {
        (datasets, Some(said)) if datasets.is_empty() => Err(words(said)),
        (datasets, unread) => Ok(Source { datasets, unread }),
    }
}

/// Reads what a snapshot of this machine holds; `read` hears how far that is. The words of zfs when it refuses.
pub async fn content(
    zfs: &Zfs,
    reading: &Reading,
    read: impl Fn(u64) + Send + 'static,
    stall: Option<Duration>,
) -> Result<Vec<Part>, String> {
    let counter = Arc::new(AtomicU64::new(0));
    tokio::select! {
        read = content_of(zfs, reading, read, counter.clone()) => read,
        () = stalled(counter, stall) => Err(format!("zfs send: {}", local::HANGS)),
    }
}

async fn content_of(
    zfs: &Zfs,
    reading: &Reading,
    read: impl Fn(u64) + Send + 'static,
    counter: Arc<AtomicU64>,
) -> Result<Vec<Part>, String> {
    let system = |error: io::Error| error.to_string();
    let mut child = local::start(zfs.send_content(reading)).map_err(system)?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("no pipes to a command".into());
    };
    let stdout = local::for_a_thread(stdout).map_err(system)?;
    let own = reading.clone();
    let reader = tokio::task::spawn_blocking(move || {
        let mut input = BufReader::with_capacity(256 * 1024, std::fs::File::from(stdout));
        let mut all = Vec::new();
        let done = read_content(&mut input, &own, &mut |bytes, part| {
            counter.store(bytes, Ordering::Relaxed);
            read(bytes);
            all.extend(part);
            Ok(())
        });
        done.map(|()| all)
    });
    let mut complaints = Vec::new();
    let (done, said) = tokio::join!(reader, stderr.read_to_end(&mut complaints));
    said.map_err(system)?;
    let done = done.map_err(|error| error.to_string())?;
    let status = child.wait().await.map_err(system)?;
    match done {
        Ok(_) | Err(ContentError::Io(_)) if !status.success() && !complaints.trim_ascii().is_empty() => {
            Err(quoted(String::from_utf8_lossy(&complaints).trim()))
        }
        Ok(_) if !status.success() => Err(status.to_string()),
        done => done.map_err(|error| error.to_string()),
    }
}

/// The history of a pool of this machine from a transaction group on; the words of zpool when it refuses, as it does to all but root.
pub async fn history(zfs: &Zfs, pool: &str, since: Txg, stall: Option<Duration>) -> Result<Vec<Record>, String> {
    let read = Arc::new(AtomicU64::new(0));
    tokio::select! {
        records = all_history(zfs, pool, since, read.clone()) => records,
        () = stalled(read, stall) => Err(local::HANGS.into()),
    }
}

async fn all_history(zfs: &Zfs, pool: &str, since: Txg, read: Arc<AtomicU64>) -> Result<Vec<Record>, String> {
    let system = |error: io::Error| error.to_string();
    let mut child = local::start(zfs.history(pool)).map_err(system)?;
    let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("no pipes to a command".into());
    };
    let stdout = local::for_a_thread(stdout).map_err(system)?;
    // It can have a gigabyte.
    let reader = tokio::task::spawn_blocking(move || {
        let input = Counted { input: std::fs::File::from(stdout), read };
        read_history(BufReader::with_capacity(256 * 1024, input), since)
    });
    let mut complaints = Vec::new();
    let (records, said) = tokio::join!(reader, stderr.read_to_end(&mut complaints));
    said.map_err(system)?;
    let status = child.wait().await.map_err(system)?;
    if !status.success() || !complaints.trim_ascii().is_empty() {
        return Err(quoted(String::from_utf8_lossy(&complaints).trim()));
    }
    records.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Kind and encryption of these datasets; one that has gone is left out.
pub async fn facts(
    zfs: &Zfs,
    datasets: &[DatasetName],
    stall: Option<Duration>,
) -> Result<HashMap<DatasetName, SourceFacts>, StartError> {
    let mut all = HashMap::with_capacity(datasets.len());
    for some in chunks(datasets, 0) {
        let output = run(zfs.facts(some), &some[0], stall).await?;
        let facts = read_facts(output.stdout.as_slice()).map_err(|error| unreadable(&some[0], &error))?;
        let facts = facts.into_iter();
        all.extend(facts.map(|fact| {
            (fact.name, SourceFacts { kind: fact.kind, encrypted: fact.encryption.is_on(), root_up: fact.root_up })
        }));
    }
    Ok(all)
}

/// What speaks against snapshots of these datasets; one that has gone is left out.
pub async fn states(
    zfs: &Zfs,
    datasets: &[DatasetName],
    stall: Option<Duration>,
) -> Result<HashMap<DatasetName, SnapshotState>, StartError> {
    let mut all = HashMap::with_capacity(datasets.len());
    for some in chunks(datasets, 0) {
        let output = run(zfs.states(some), &some[0], stall).await?;
        all.extend(read_states(output.stdout.as_slice()).map_err(|error| unreadable(&some[0], &error))?);
    }
    Ok(all)
}

/// Which of these datasets have a snapshot of this name.
pub async fn having(
    zfs: &Zfs,
    datasets: &[DatasetName],
    name: &SnapshotName,
    stall: Option<Duration>,
) -> Result<HashSet<DatasetName>, StartError> {
    let mut all = HashSet::with_capacity(datasets.len());
    for some in chunks(datasets, name.as_str().len() + 1) {
        let names: Vec<String> = some.iter().map(|dataset| dataset.at(name.as_str())).collect();
        let output = run(zfs.list_names(&names), &some[0], stall).await?;
        let read = read_listed(output.stdout.as_slice(), |listed| {
            all.insert(listed.dataset);
            Ok::<_, ParseError>(())
        });
        read.map_err(|error| unreadable(&some[0], &error))?;
    }
    Ok(all)
}

/// The guids of these snapshots, with their datasets, as far as they exist; nothing where zfs doesn't tell.
pub async fn guids(zfs: &Zfs, names: &[String], stall: Option<Duration>) -> HashSet<(DatasetName, Guid)> {
    let read = |output: &[u8]| {
        let mut all = Vec::new();
        read_listed(output, |listed| {
            all.push((listed.dataset, listed.guid));
            Ok::<_, ParseError>(())
        })?;
        Ok(all)
    };
    told(names, stall, |some| zfs.list_names(some), read).await.into_iter().collect()
}

/// When snapshots were made, as far as they exist; nothing where zfs doesn't tell.
pub async fn dates(zfs: &Zfs, names: &[String], stall: Option<Duration>) -> Vec<(String, i64)> {
    told(names, stall, |some| zfs.creation_of(some), |output| read_creations(output)).await
}

/// How much was written between each of these snapshots and the one before it, as far as zfs tells: what it doesn't tell is
/// only not left out.
pub async fn written(zfs: &Zfs, names: &[String], stall: Option<Duration>) -> Vec<(String, u64)> {
    told(names, stall, |some| zfs.written_of(some), |output| read_written(output)).await
}

/// The IV sets of these snapshots and bookmarks, as far as zfs tells.
pub async fn iv_sets(zfs: &Zfs, names: &[String], stall: Option<Duration>) -> Vec<(String, Guid)> {
    told(names, stall, |some| zfs.iv_sets(some), |output| read_iv_sets(output)).await
}

/// What zfs tells of these names, a command line full of them at a time; nothing where one can't be asked.
async fn told<T>(
    names: &[String],
    stall: Option<Duration>,
    ask: impl Fn(&[String]) -> Command,
    read: impl Fn(&[u8]) -> Result<Vec<T>, ParseError>,
) -> Vec<T> {
    let mut all = Vec::with_capacity(names.len());
    for some in names.chunks(NAMES) {
        let Ok(output) = local::output(ask(some), stall).await else { return Vec::new() };
        all.extend(read(output.stdout.as_slice()).unwrap_or_default());
    }
    all
}

/// Whether a pool may have encrypted datasets. One that can't be asked may.
pub async fn has_encrypted(zfs: &Zfs, pool: &str, stall: Option<Duration>) -> bool {
    let asked = local::output(zfs.encryption_feature(pool), stall).await;
    asked.ok().is_none_or(|output| !output.status.success() || feature_is_active(&output.stdout))
}

/// How many bytes a step's stream will have, as this `zfs send -n` thinks; `None` where it doesn't say.
pub async fn estimate(command: Command, stall: Option<Duration>) -> Option<u64> {
    let output = local::output(command, stall).await.ok()?;
    let mut estimate = Estimate::default();
    // -P writes to stdout with -n, and to stderr without.
    for line in String::from_utf8_lossy(&output.stdout).lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
        estimate.add(line);
    }
    estimate.total()
}

async fn run(command: Command, about: &DatasetName, stall: Option<Duration>) -> Result<Output, StartError> {
    local::output(command, stall).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => StartError::List { dataset: about.to_string(), words: local::HANGS.into() },
        _ => StartError::System { what: "can't run zfs", error },
    })
}

fn unreadable(about: &DatasetName, error: &ParseError) -> StartError {
    StartError::List { dataset: about.to_string(), words: error.to_string() }
}

/// Cuts a list so that each part fits into one argv, each name with so many bytes behind it.
pub(super) fn chunks(datasets: &[DatasetName], more: usize) -> impl Iterator<Item = &[DatasetName]> {
    let mut rest = datasets;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|name| {
            bytes += name.as_str().len() + more + 1;
            bytes <= ARGV
        });
        let (now, later) = rest.split_at(fits.count());
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `zfs` that runs this script.
    fn fake(dir: &std::path::Path, script: &str) -> Zfs {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.join("zfs");
        std::fs::write(&path, format!("#!/bin/sh\ncd {}\n{script}\n", dir.display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Zfs::at(path)
    }

    #[tokio::test]
    async fn a_listing_that_complains_leaves_something_out() {
        let top: DatasetName = "p/s".parse().unwrap();
        let says = "printf 'p/s\\t1\\t1\\n'; echo 'cannot iterate filesystems: I/O error' >&2";
        for code in [0, 1] {
            let dir = tempfile::tempdir().unwrap();
            let zfs = fake(dir.path(), &format!("{says}; exit {code}"));
            let listed = list_readable(zfs.clone(), top.clone(), None, None).await.unwrap();
            assert_eq!(listed.datasets.len(), 1);
            assert!(listed.unread.unwrap().contains("I/O error"));
            let error = list(zfs, top.clone(), None, None).await.unwrap_err();
            assert!(error.to_string().contains("I/O error"), "{error}");
        }
        // What was on its way at the first look is fine at the second.
        let dir = tempfile::tempdir().unwrap();
        let zfs =
            fake(dir.path(), &format!("if [ -e seen ]; then printf 'p/s\\t1\\t1\\n'; else touch seen; {says}; fi"));
        assert_eq!(list_readable(zfs, top.clone(), None, None).await.unwrap().unread, None);
        let dir = tempfile::tempdir().unwrap();
        let zfs = fake(dir.path(), "echo \"cannot open 'p/s': dataset does not exist\" >&2; exit 1");
        assert!(list_readable(zfs, top, None, None).await.unwrap_err().to_string().contains("does not exist"));
    }

    #[test]
    fn chunks_fit_and_lose_nothing() {
        let names: Vec<DatasetName> = (0..3000).map(|n| format!("p/{n:0>200}").parse().unwrap()).collect();
        let parts: Vec<&[DatasetName]> = chunks(&names, 0).collect();
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.iter().map(|name| name.as_str().len() + 1).sum::<usize>() <= ARGV));
        assert_eq!(parts.concat(), names);
        assert_eq!(chunks(&[], 0).count(), 0);
    }
}

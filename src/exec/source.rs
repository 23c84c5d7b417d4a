//! What this machine's `zfs` tells about the source, run as blocking processes off the run's own thread.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::StartError;
use crate::name::{DatasetName, Guid, SnapshotName};
use crate::plan::{SnapshotState, SourceDataset, SourceFacts};
use crate::text::quoted;
use crate::zfs::{
    Estimate, ParseError, Zfs, feature_is_active, read_creations, read_facts, read_iv_sets, read_listed, read_source,
    read_states, read_written,
};

/// So many bytes of names go into one argv; FreeBSD's limit is 512 KiB for all arguments and the environment.
const ARGV: usize = 128 * 1024;

/// So many snapshots are asked for at a time, whatever their names: 255 bytes each at most.
const NAMES: usize = 500;

/// Lists the source: every dataset down to `depth` with its snapshots and bookmarks.
///
/// `stall`: nothing comes for so long, and it is given up; the pool may be suspended, and `zfs` waits then for ever.
pub async fn list(
    zfs: Zfs,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Vec<SourceDataset>, StartError> {
    let read = Arc::new(AtomicU64::new(0));
    let stalled = stalled(read.clone(), stall);
    let hangs = StartError::List {
        dataset: dataset.to_string(),
        words: "zfs list says nothing any more: is the pool suspended? Look at zpool status".into(),
    };
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
) -> Result<Vec<SourceDataset>, StartError> {
    blocking(move || {
        let words = |words: String| StartError::List { dataset: dataset.to_string(), words };
        let mut command = zfs.list_source(&dataset, depth);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| words(e.to_string()))?;
        let complaints = child
            .stderr
            .take()
            .map(|stderr| std::thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default()));
        let listed = match child.stdout.take() {
            Some(input) => read_source(BufReader::with_capacity(256 * 1024, Counted { input, read }), &dataset),
            None => Ok(Vec::new()),
        };
        let status = child.wait().map_err(|error| words(error.to_string()))?;
        let complaints = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
        if !status.success() {
            let said = complaints.trim();
            return Err(words(if said.is_empty() { status.to_string() } else { quoted(said) }));
        }
        listed.map_err(|error| words(error.to_string()))
    })
    .await
}

/// Kind and encryption of these datasets; one that has gone is left out.
pub async fn facts(zfs: Zfs, datasets: Vec<DatasetName>) -> Result<HashMap<DatasetName, SourceFacts>, StartError> {
    blocking(move || {
        let mut all = HashMap::with_capacity(datasets.len());
        for some in chunks(&datasets, 0) {
            let output = run(&mut zfs.facts(some))?;
            let facts = read_facts(output.stdout.as_slice());
            let list = |error| StartError::List { dataset: some[0].to_string(), words: format!("{error}") };
            for fact in facts.map_err(list)? {
                all.insert(
                    fact.name,
                    SourceFacts { kind: fact.kind, encrypted: fact.encryption.is_on(), root_up: fact.root_up },
                );
            }
        }
        Ok(all)
    })
    .await
}

/// What speaks against snapshots of these datasets; one that has gone is left out.
pub async fn states(zfs: Zfs, datasets: Vec<DatasetName>) -> Result<HashMap<DatasetName, SnapshotState>, StartError> {
    blocking(move || {
        let mut all = HashMap::with_capacity(datasets.len());
        for some in chunks(&datasets, 0) {
            let output = run(&mut zfs.states(some))?;
            let list = |error| StartError::List { dataset: some[0].to_string(), words: format!("{error}") };
            all.extend(read_states(output.stdout.as_slice()).map_err(list)?);
        }
        Ok(all)
    })
    .await
}

/// Which of these datasets have a snapshot of this name.
pub async fn having(
    zfs: Zfs,
    datasets: Vec<DatasetName>,
    name: SnapshotName,
) -> Result<HashSet<DatasetName>, StartError> {
    blocking(move || {
        let mut all = HashSet::with_capacity(datasets.len());
        for some in chunks(&datasets, name.as_str().len() + 1) {
            let names: Vec<String> = some.iter().map(|dataset| dataset.at(name.as_str())).collect();
            let output = run(&mut zfs.list_names(&names))?;
            let list = |error: ParseError| StartError::List { dataset: names[0].clone(), words: format!("{error}") };
            let read = read_listed(output.stdout.as_slice(), |listed| {
                all.insert(listed.dataset);
                Ok::<_, ParseError>(())
            });
            read.map_err(list)?;
        }
        Ok(all)
    })
    .await
}

/// When snapshots were made, as far as they exist; nothing where zfs doesn't tell.
pub async fn dates(zfs: Zfs, names: Vec<String>) -> Vec<(String, i64)> {
    let asked = blocking(move || {
        let mut all = Vec::with_capacity(names.len());
        for some in names.chunks(NAMES) {
            let output = run(&mut zfs.creation_of(some))?;
            all.extend(read_creations(output.stdout.as_slice()).unwrap_or_default());
        }
        Ok(all)
    });
    asked.await.unwrap_or_default()
}

/// How much was written between each of these snapshots and the one before it, as far as zfs tells: what it doesn't tell is
/// only not left out.
pub async fn written(zfs: Zfs, names: Vec<String>) -> Vec<(String, u64)> {
    let asked = blocking(move || {
        let mut all = Vec::with_capacity(names.len());
        for some in names.chunks(NAMES) {
            let output = run(&mut zfs.written_of(some))?;
            all.extend(read_written(output.stdout.as_slice()).unwrap_or_default());
        }
        Ok(all)
    });
    asked.await.unwrap_or_default()
}

/// The IV sets of these snapshots and bookmarks, as far as zfs tells.
pub async fn iv_sets(zfs: Zfs, names: Vec<String>) -> Vec<(String, Guid)> {
    let asked = blocking(move || {
        let mut all = Vec::with_capacity(names.len());
        for some in names.chunks(NAMES) {
            let output = run(&mut zfs.iv_sets(some))?;
            all.extend(read_iv_sets(output.stdout.as_slice()).unwrap_or_default());
        }
        Ok(all)
    });
    asked.await.unwrap_or_default()
}

/// Whether a pool may have encrypted datasets. One that can't be asked may.
pub async fn has_encrypted(zfs: Zfs, pool: String) -> bool {
    let asked = blocking(move || run(&mut zfs.encryption_feature(&pool)));
    asked.await.ok().is_none_or(|output| !output.status.success() || feature_is_active(&output.stdout))
}

/// How many bytes a step's stream will have, as this `zfs send -n` thinks; `None` where it doesn't say.
pub async fn estimate(mut command: Command) -> Option<u64> {
    let output = blocking(move || run(&mut command)).await.ok()?;
    let mut estimate = Estimate::default();
    // -P writes to stdout with -n, and to stderr without.
    for line in String::from_utf8_lossy(&output.stdout).lines().chain(String::from_utf8_lossy(&output.stderr).lines()) {
        estimate.add(line);
    }
    estimate.total()
}

fn run(command: &mut Command) -> Result<Output, StartError> {
    command.output().map_err(|error| StartError::System { what: "can't run zfs", error })
}

/// Cuts a list so that each part fits into one argv, each name with so many bytes behind it.
fn chunks(datasets: &[DatasetName], more: usize) -> impl Iterator<Item = &[DatasetName]> {
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, StartError> {
    let failed = |error| StartError::System { what: "a worker thread failed", error };
    tokio::task::spawn_blocking(work).await.map_err(|error| failed(std::io::Error::other(error)))?
}

#[cfg(test)]
mod tests {
    use super::*;

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

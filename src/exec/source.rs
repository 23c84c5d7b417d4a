//! What the sender's `zfs` tells about the source, as a plan takes it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::nearest;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{SourceDataset, SourceFacts};
use crate::remote::client::HelperError;
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Failure, Refusal};

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
    sender: &Endpoint,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Vec<SourceDataset>, StartError> {
    match list_readable(sender, dataset.clone(), depth, stall).await? {
        Source { datasets, unread: None } => Ok(datasets),
        Source { unread: Some(words), .. } => {
            Err(StartError::List { host: sender.name(), dataset: dataset.to_string(), words })
        }
    }
}

/// The same as far as it can be read. Where `zfs` complains it is asked once more: what went away or broke down meanwhile may have
/// been the reason.
pub async fn list_readable(
    sender: &Endpoint,
    dataset: DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Source, StartError> {
    let first = match list_once(sender, &dataset, depth, stall).await {
        Ok(first) => first,
        Err(error) => return Err(nearest::advise(sender, error).await),
    };
    if first.unread.is_none() {
        return Ok(first);
    }
    list_once(sender, &dataset, depth, stall).await
}

async fn list_once(
    sender: &Endpoint,
    dataset: &DatasetName,
    depth: Option<usize>,
    stall: Option<Duration>,
) -> Result<Source, StartError> {
    let listed = sender.list(dataset, depth, stall).await;
    let (datasets, ended) = listed.map_err(|why| failed(sender, dataset, why))?;
    let unread = Some(ended.words).filter(|words| !words.is_empty());
    Ok(Source { datasets: datasets.into_iter().map(SourceDataset::from).collect(), unread })
}

/// Why the sender can't tell about a dataset.
pub fn failed(sender: &Endpoint, dataset: &DatasetName, why: Failure) -> StartError {
    match why {
        Failure { refusal: Refusal::Lost, words } => HelperError::Lost { host: sender.name(), reason: words }.into(),
        Failure { words, .. } => StartError::List { host: sender.name(), dataset: dataset.to_string(), words },
    }
}

/// Kind and encryption of these datasets; one that has gone is left out.
pub async fn facts(
    sender: &Endpoint,
    datasets: &[DatasetName],
    stall: Option<Duration>,
) -> Result<HashMap<DatasetName, SourceFacts>, StartError> {
    let Some(first) = datasets.first() else { return Ok(HashMap::new()) };
    let facts = sender.facts(datasets, stall).await.map_err(|why| failed(sender, first, why))?;
    let one =
        |fact: zfs::DatasetFacts| SourceFacts { kind: fact.kind, encrypted: fact.encrypted, root_up: fact.root_up };
    Ok(facts.into_iter().map(|fact| (fact.name.clone(), one(fact))).collect())
}

/// Which of these datasets have a snapshot of this name.
pub async fn having(
    sender: &Endpoint,
    datasets: &[DatasetName],
    name: &SnapshotName,
    stall: Option<Duration>,
) -> Result<HashSet<DatasetName>, StartError> {
    let Some(first) = datasets.first() else { return Ok(HashSet::new()) };
    let names: Vec<String> = datasets.iter().map(|dataset| dataset.at(name.as_str())).collect();
    let found = sender.find(&names, stall).await.map_err(|why| failed(sender, first, why))?;
    Ok(found.into_iter().map(|(dataset, _)| dataset).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::Zfs;
    use zfs::testing::write_script;

    /// A `zfs` that runs this script.
    fn fake(dir: &std::path::Path, script: &str) -> Endpoint {
        let path = dir.join("zfs");
        write_script(&path, &format!("#!/bin/sh\ncd {}\n{script}\n", dir.display()));
        Endpoint::with(Zfs::at(path))
    }

    #[tokio::test]
    async fn a_listing_that_complains_leaves_something_out() {
        let top: DatasetName = "p/s".parse().unwrap();
        let says = "printf 'p/s\\t1\\t1\\n'; echo 'cannot iterate filesystems: I/O error' >&2";
        for code in [0, 1] {
            let dir = tempfile::tempdir().unwrap();
            let sender = fake(dir.path(), &format!("{says}; exit {code}"));
            let listed = list_readable(&sender, top.clone(), None, None).await.unwrap();
            assert_eq!(listed.datasets.len(), 1);
            assert!(listed.unread.unwrap().contains("I/O error"));
            let error = list(&sender, top.clone(), None, None).await.unwrap_err();
            assert!(error.to_string().contains("I/O error"), "{error}");
        }
        // What was on its way at the first look is fine at the second.
        let dir = tempfile::tempdir().unwrap();
        let sender =
            fake(dir.path(), &format!("if [ -e seen ]; then printf 'p/s\\t1\\t1\\n'; else touch seen; {says}; fi"));
        assert_eq!(list_readable(&sender, top.clone(), None, None).await.unwrap().unread, None);
        let dir = tempfile::tempdir().unwrap();
        let sender = fake(dir.path(), "echo \"cannot open 'p/s': dataset does not exist\" >&2; exit 1");
        assert!(list_readable(&sender, top, None, None).await.unwrap_err().to_string().contains("does not exist"));
    }
}

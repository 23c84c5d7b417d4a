//! What a restore does beside the push that it is: it chooses what comes, refuses a NEW that is there, and tells what the
//! copy's datasets have set that doesn't come along.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::link::open_sender;
use super::ready::Unread;
use crate::config::{PushJob, Restore};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Restorable, SourceDataset, restorable, wanted_dates};
use crate::report::{Event, Reporter};
use zfs::Property;
use zfs::name::{DatasetName, RelPath, SnapshotName};

/// So long zfs may say nothing.
const STALL: Duration = Duration::from_secs(300);

/// Chooses what of the copy comes back, and tells what doesn't; what should and can't is a failure.
pub async fn choose(
    job: &PushJob,
    restore: &Restore,
    sender: &Endpoint,
    listed: Vec<SourceDataset>,
    reporter: &mut dyn Reporter,
) -> Result<(Vec<SourceDataset>, Vec<Unread>), StartError> {
    let dates = match &restore.until {
        Some(until) => dates(sender, &job.source, wanted_dates(&listed, until)).await,
        None => Vec::new(),
    };
    let Restorable { datasets, set_aside, without, lost } = restorable(listed, restore.until.as_ref(), &dates);
    let lost = lost.into_iter().filter(|path| job.filter.selects(path));
    let lost = lost.filter_map(|path| Some(Unread::lost(job, &path, restore.until.as_ref()?))).collect();
    let told = [
        (set_aside, "it was set aside on the copy, and is not restored: to restore it, name it directly".to_owned()),
        (
            without,
            format!("it has no snapshot @{}, and is skipped", restore.until.as_ref().map_or("", |name| name.as_str())),
        ),
    ];
    for (paths, text) in told {
        for path in paths.into_iter().filter(|path| job.filter.selects(path)) {
            let dataset = job.source.join(&path).ok().map(|name| name.to_string());
            reporter.event(&Event::Notice { dataset, text: text.clone() });
        }
    }
    match &restore.until {
        Some(until) if datasets.is_empty() => {
            Err(StartError::Usage(format!("no dataset of {} has a snapshot @{until}", job.source)))
        }
        _ => Ok((datasets, lost)),
    }
}

/// When these snapshots were made. Nothing where the date of the first is not known.
async fn dates(sender: &Endpoint, top: &DatasetName, wanted: Vec<(RelPath, SnapshotName)>) -> Vec<(RelPath, i64)> {
    let full = |path: &RelPath, name: &SnapshotName| {
        top.join(path).map(|dataset| dataset.at(name.as_str())).unwrap_or_default()
    };
    let names: Vec<String> = wanted.iter().map(|(path, name)| full(path, name)).collect();
    let found: HashMap<String, i64> = sender.dates(&names, Some(STALL)).await.into_iter().collect();
    let is_known = names.first().is_some_and(|first| found.contains_key(first));
    let dates = wanted.into_iter().zip(&names).filter_map(|((path, _), name)| Some((path, *found.get(name)?)));
    dates.filter(|_| is_known).collect()
}

/// Refuses a NEW that is there already.
pub fn check_new(job: &PushJob, exists: bool) -> Result<(), StartError> {
    match &job.restore {
        Some(restore) if exists && !restore.into_existing => Err(StartError::NotNew(job.target.to_string())),
        _ => Ok(()),
    }
}

/// Tells what is set on the copy's datasets and doesn't come along, as a stream has no properties.
pub async fn before(job: &PushJob, reporter: &mut dyn Reporter) {
    // The run itself says so.
    let Ok(sender) = open_sender(job).await else { return };
    let set = sender.properties_below(&job.source, Some(STALL)).await;
    sender.close().await;
    let Ok(set) = set else { return };
    let mut all: BTreeMap<DatasetName, Vec<String>> = BTreeMap::new();
    for Property { on: dataset, name: property, value } in set.into_iter().filter(Property::is_the_users) {
        let selected = dataset.below(&job.source).is_some_and(|path| job.filter.selects(&path));
        if selected {
            all.entry(dataset).or_default().push(format!("{property}={value}"));
        }
    }
    for (dataset, settings) in all {
        let text = format!("set on the copy, but not restored: {}", settings.join(", "));
        reporter.event(&Event::Notice { dataset: Some(dataset.to_string()), text });
    }
}

/// What is to be done with what has come.
pub async fn next_steps(job: &PushJob) -> String {
    let encrypted = match &job.origin.host {
        // Not worth a connection.
        Some(_) => true,
        None => match Endpoint::here() {
            Ok(sender) => sender.may_have_encrypted(job.source.pool(), Some(STALL)).await,
            Err(_) => true,
        },
    };
    let (new, at) =
        (&job.target.dataset, job.target.host.as_ref().map_or_else(String::new, |host| format!(" on {host}")));
    let key = if encrypted {
        format!("zfs load-key -r '{new}'  (encrypted datasets need their keys first)\n  ")
    } else {
        String::new()
    };
    format!(
        "{new} is writable and not mounted yet. Next{at}:\n  {key}zfs mount -a\nOther properties of the original (mountpoint, quota, \
         compression, shares) were not replicated: set them with zfs set. See docs/restore.md."
    )
}

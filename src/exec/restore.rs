//! What a restore does beside the push that it is: it chooses what comes, refuses a NEW that is there, and tells what the
//! copy's datasets have set that doesn't come along.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::ready::Unread;
use super::source;
use crate::config::{PushJob, Restore};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Restorable, SourceDataset, comes_back, restorable, wanted_dates};
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
    let (partial, listed) = without_partial(job, sender, listed).await?;
    let Dates { dates, why } = match &restore.until {
        Some(until) => dates(sender, &job.ends.source.dataset, wanted_dates(&listed, until)).await,
        None => Dates::default(),
    };
    let Restorable { datasets, set_aside, without, lost, unknown } = restorable(listed, restore.until.as_ref(), &dates);
    let failures = restore.until.iter().flat_map(|until| {
        let lost = lost.iter().map(|path| (path, Unread::lost(&job.ends, path, until)));
        let unknown = unknown.iter().map(|path| (path, Unread::undated(&job.ends, path, until, &why)));
        lost.chain(unknown).filter(|(path, _)| job.filter.selects(path)).map(|(_, failure)| failure)
    });
    let partial = partial.iter().map(|path| Unread::partial(&job.ends, path));
    let failures = partial.chain(failures).collect();
    let told = [
        (set_aside, "it was set aside on the copy, and is not restored: to restore it, name it directly".to_owned()),
        (
            without,
            format!(
                "it has no snapshot @{}, and is not restored",
                restore.until.as_ref().map_or("", |name| name.as_str())
            ),
        ),
    ];
    for (paths, text) in told {
        for path in paths.into_iter().filter(|path| job.filter.selects(path)) {
            let dataset = job.ends.source.dataset.join(&path).ok().map(|name| name.to_string());
            reporter.event(&Event::Notice { dataset, text: text.clone() });
        }
    }
    match &restore.until {
        Some(until) if datasets.is_empty() => Err(StartError::Usage(format!(
            "no dataset of {0} has a snapshot @{until}: zfs list -t snapshot -r {0}, on its host, lists what there is",
            job.ends.source.dataset
        ))),
        _ => Ok((datasets, failures)),
    }
}

/// Parts the selected datasets whose first receive was cut from all others: they look like those that never had a snapshot.
async fn without_partial(
    job: &PushJob,
    sender: &Endpoint,
    listed: Vec<SourceDataset>,
) -> Result<(Vec<RelPath>, Vec<SourceDataset>), StartError> {
    let top = &job.ends.source.dataset;
    let bare = listed.iter().map(|dataset| (&dataset.path, dataset.snapshots.is_empty()));
    let bare = bare.filter(|(path, bare)| *bare && comes_back(path) && job.filter.selects(path));
    let bare: Vec<DatasetName> = bare.filter_map(|(path, _)| top.join(path).ok()).collect();
    let states = sender.states(&bare, Some(STALL)).await.map_err(|why| source::failed(sender, top, why))?;
    let is_partial = |dataset: &SourceDataset| {
        top.join(&dataset.path).ok().and_then(|name| states.get(&name)).is_some_and(|state| state.incomplete)
    };
    let (partial, others): (Vec<_>, Vec<_>) = listed.into_iter().partition(is_partial);
    Ok((partial.into_iter().map(|dataset| dataset.path).collect(), others))
}

/// When snapshots were made.
#[derive(Default)]
struct Dates {
    /// Each with its dataset's path, as far as that can be told.
    dates: Vec<(RelPath, Option<i64>)>,
    /// Why some can't be told.
    why: String,
}

async fn dates(sender: &Endpoint, top: &DatasetName, wanted: Vec<(RelPath, SnapshotName)>) -> Dates {
    let full = |path: &RelPath, name: &SnapshotName| {
        top.join(path).map(|dataset| dataset.at(name.as_str())).unwrap_or_default()
    };
    let names: Vec<String> = wanted.iter().map(|(path, name)| full(path, name)).collect();
    let (found, why) = match sender.dates(&names, Some(STALL)).await {
        Ok(found) => (found.into_iter().collect(), "zfs skipped it".to_owned()),
        Err(why) => (HashMap::new(), why.words),
    };
    let dates = wanted.into_iter().zip(&names).map(|((path, _), name)| (path, found.get(name).copied()));
    Dates { dates: dates.collect(), why }
}

/// Refuses a NEW that is there already.
pub fn check_new(job: &PushJob, exists: bool) -> Result<(), StartError> {
    match &job.restore {
        Some(restore) if exists && !restore.into_existing => Err(StartError::NotNew(job.ends.target.to_string())),
        _ => Ok(()),
    }
}

/// Tells what is set on the copy's datasets and doesn't come along, as a stream has no properties.
pub async fn tell_settings(job: &PushJob, sender: &Endpoint, reporter: &mut dyn Reporter) {
    // Where the copy can't be asked the run itself says so.
    let set = sender.properties_below(&job.ends.source.dataset, Some(STALL)).await;
    let Ok(set) = set else { return };
    let mut all: BTreeMap<DatasetName, Vec<String>> = BTreeMap::new();
    for Property { on: dataset, name: property, value } in set.into_iter().filter(Property::is_the_users) {
        let selected = dataset.below(&job.ends.source.dataset).is_some_and(|path| job.filter.selects(&path));
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
    let encrypted = match job.ends.source.host() {
        // Not worth a connection.
        Some(_) => true,
        None => match Endpoint::here() {
            Ok(sender) => sender.may_have_encrypted(job.ends.source.dataset.pool(), Some(STALL)).await,
            Err(_) => true,
        },
    };
    let (new, at) =
        (&job.ends.target.dataset, job.ends.target.host().map_or_else(String::new, |host| format!(" on {host}")));
    let key = if encrypted {
        format!("zfs load-key -r '{new}'  (only if it is encrypted; its keys are needed first)\n  ")
    } else {
        String::new()
    };
    // What was there before may be mounted.
    let into_existing = job.restore.as_ref().is_some_and(|restore| restore.into_existing);
    let state = if into_existing { "writable; mount what is not mounted yet" } else { "writable and not mounted yet" };
    format!(
        "{new} is {state}. Next{at}:\n  {key}zfs mount -a  (or zfs mount NAME, for one filesystem; volumes need no mounting)\nOther properties of the original (mountpoint, quota, \
         compression, shares) were not replicated: set them with zfs set. See docs/restore.md."
    )
}

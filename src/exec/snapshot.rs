//! `zfsync snapshot`: lists, lets [`crate::plan`] decide, runs one `zfs snapshot` for each pool, and looks at what came of it.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;

use super::link::sender_of;
use super::source;
use super::stop::Stop;
use crate::config::SnapshotJob;
use crate::endpoint::{Endpoint, Taking};
use crate::error::StartError;
use crate::format::count;
use crate::plan::{Naming, PoolSnapshots, Selection, SnapshotPlan, Tree};
use crate::remote::link::Access;
use crate::report::view::snapshot::Taken;
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Failure, Note, Property, Refusal, permission};

/// A listing that says nothing for so long is given up: the pool may be suspended.
const SILENCE: Duration = Duration::from_secs(300);
/// No other command of zfs takes so long, unless its pool is suspended.
const LIMIT: Duration = Duration::from_secs(1800);
/// So many lines of zfs, and so many names, are quoted.
const QUOTED: usize = 5;

/// Takes the snapshots, or only finds out which those would be; then also the commands that would take them.
pub async fn snapshot(job: &SnapshotJob) -> Result<(Taken, Vec<String>), StartError> {
    let sender = sender_of(&job.origin, &job.datasets).await?.with_access(Access::of(job.dry_run));
    if job.dry_run {
        return Ok(would_take(look(job, &sender).await?));
    }
    Ok((take(job, &sender, &Stop::default()).await?, Vec::new()))
}

/// Takes the snapshots; none when the run is stopped before any was taken. An error means that none was.
pub async fn take(job: &SnapshotJob, sender: &Endpoint, stop: &Stop) -> Result<Taken, StartError> {
    let plan = stop.unless(look(job, sender)).await?;
    Ok(carry_out(job, sender, plan).await)
}

/// When the newest own snapshot was made.
pub async fn newest_own(job: &SnapshotJob, sender: &Endpoint, stop: &Stop) -> Result<Option<Timestamp>, StartError> {
    let newest = async {
        let (trees, _) = trees(job, sender, 1).await?;
        let selection = Selection::new(&trees, &job.filter, job.if_changed);
        Ok(moment_of_newest(&selection, &job.naming, sender).await)
    };
    stop.unless(newest).await
}

/// The first so many DATASETs, listed; and what `zfs` said where it could not list all.
async fn trees(job: &SnapshotJob, sender: &Endpoint, first: usize) -> Result<(Vec<Tree>, Vec<String>), StartError> {
    let (mut trees, mut unread) = (Vec::with_capacity(job.datasets.len()), Vec::new());
    for top in job.datasets.iter().take(first) {
        let listed = source::list_readable(sender, top.clone(), job.filter.depth(), Some(SILENCE)).await?;
        let datasets = listed.datasets;
        let told = |words| StartError::List { host: sender.name(), dataset: top.to_string(), words }.to_string();
        unread.extend(listed.unread.map(told));
        trees.push(Tree { top: top.clone(), datasets });
    }
    Ok((trees, unread))
}

/// When the newest own snapshot was made, as its name tells; which of two times a name means when clocks were set back, ZFS
/// tells.
async fn moment_of_newest(selection: &Selection<'_>, naming: &Naming, sender: &Endpoint) -> Option<Timestamp> {
    let (name, stamp) = selection.newest_own(&naming.format)?;
    let mut moment = stamp.moment(&naming.zone, None);
    if moment.is_none() {
        let creation = limited(sender.dates(&[name], Some(SILENCE))).await.and_then(Result::ok).unwrap_or_default();
        // The earlier one, if it doesn't tell.
        let creation = creation.first().map_or(0, |(_, creation)| *creation);
        moment = stamp.moment(&naming.zone, Some(creation));
    }
    moment.and_then(|moment| Timestamp::from_second(moment).ok())
}

/// Lists and decides.
async fn look(job: &SnapshotJob, sender: &Endpoint) -> Result<SnapshotPlan, StartError> {
    let (trees, unread) = trees(job, sender, usize::MAX).await?;
    let selection = Selection::new(&trees, &job.filter, job.if_changed);
    let questions = selection.questions();
    let asked = limited(sender.states(&questions, None)).await.ok_or_else(|| hangs("zfs list"))?;
    let about = questions.first().or(job.datasets.first());
    let states = match (asked, about) {
        (Ok(states), _) => states,
        (Err(why), Some(about)) => return Err(source::failed(sender, about, why)),
        (Err(_), None) => HashMap::new(),
    };
    let before = moment_of_newest(&selection, &job.naming, sender).await;
    let plan = selection.plan(&states, &job.naming, before, Timestamp::now())?;
    let idle = if unread.is_empty() { selection.idle()? } else { Vec::new() };
    Ok(SnapshotPlan { unread, idle, ..plan })
}

async fn carry_out(job: &SnapshotJob, sender: &Endpoint, plan: SnapshotPlan) -> Taken {
    let mut failures = nothing_selected(&plan);
    let SnapshotPlan { name, pools, unchanged, incomplete, is_first, unread, idle } = plan;
    failures.extend(unread);
    let mut all = Taken { name, datasets: Vec::new(), unchanged, missed: incomplete, is_first, idle, failures };
    for pool in pools {
        let taken_here = may_be_of_a_copy(job, sender, &pool.pool).await;
        let taken = take_of(sender, &pool, &all.name, taken_here).await;
        // Where the answer was lost, what is there tells.
        let found = match &taken {
            Err(why) if why.refusal != Refusal::Lost => Ok(HashSet::new()),
            _ => there(sender, &pool.datasets, &all.name).await,
        };
        match (taken, found) {
            (Err(why), Ok(found)) if found.is_empty() => {
                all.failures.push(failure(job, sender, &pool, &all.name, &why.words));
            }
            (_, Ok(found)) => {
                let (taken, missed): (Vec<_>, Vec<_>) =
                    pool.datasets.into_iter().partition(|dataset| found.contains(dataset));
                all.datasets.extend(taken);
                all.missed.extend(missed);
            }
            (Ok(()), Err(why)) => all.failures.push(format!(
                "took @{} in pool {}, but can't tell which of its {} have it: {why}",
                all.name,
                pool.pool,
                count(pool.datasets.len(), "dataset")
            )),
            (Err(lost), Err(_)) => all.failures.push(format!(
                "@{} may be missing in pool {}: check zfs list -t snapshot there\n  {}",
                all.name, pool.pool, lost.words
            )),
        }
    }
    all.failures.extend(none_taken(&all));
    all
}

/// To select nothing is a mistake: whoever counts on a snapshot must not hear that all is well.
fn nothing_selected(plan: &SnapshotPlan) -> Vec<String> {
    let selected = plan.pools.len() + plan.unchanged.len() + plan.incomplete.len();
    let words = "nothing to take: no dataset is selected; check --include and --exclude";
    if selected == 0 { vec![words.into()] } else { Vec::new() }
}

/// To take none is no success, unless nothing has changed.
fn none_taken(taken: &Taken) -> Option<String> {
    if !(taken.failures.is_empty() && taken.datasets.is_empty() && taken.unchanged.is_empty()) {
        return None;
    }
    let which = match taken.missed.len() {
        0 => return None,
        1 => "the selected dataset".to_owned(),
        missed => format!("each of the {missed} selected datasets"),
    };
    Some(format!("took no snapshot: {which} no longer exists, or its first receive is not complete"))
}

/// Whether a snapshot of these DATASETs may be one of a copy: a prune must tell it from those that have come from the copy's source. A
/// DATASET may be the copy, lie in one or have one below it. Where that can't be told it counts as one: elsewhere the mark says nothing.
async fn may_be_of_a_copy(job: &SnapshotJob, sender: &Endpoint, pool: &str) -> bool {
    let takes_below = job.filter.depth() != Some(0);
    for top in job.datasets.iter().filter(|top| top.pool() == pool) {
        let has_note = |set: &[Property]| set.iter().any(|one| one.name == Note::Received.property());
        let around = async {
            let set = sender.properties(top, Some(SILENCE)).await?;
            if has_note(&set) || !takes_below {
                return Ok::<_, Failure>(has_note(&set));
            }
            Ok(has_note(&sender.properties_below(top, Some(SILENCE)).await?))
        };
        if !matches!(limited(around).await, Some(Ok(false))) {
            return true;
        }
    }
    false
}

/// Takes the snapshots of a pool.
async fn take_of(
    sender: &Endpoint,
    pool: &PoolSnapshots,
    name: &SnapshotName,
    taken_here: bool,
) -> Result<(), Failure> {
    let taking =
        sender.snapshot(pool.named.clone(), name.clone(), Taking { recursive: pool.recursive, taken_here }, None);
    let hanging = || Err(Failure::new(Refusal::Other, &hangs("zfs snapshot").to_string()));
    limited(taking).await.unwrap_or_else(hanging)
}

/// Which of the datasets have the snapshot: `zfs` leaves out without a word what can't have one.
async fn there(
    sender: &Endpoint,
    datasets: &[DatasetName],
    name: &SnapshotName,
) -> Result<HashSet<DatasetName>, StartError> {
    limited(source::having(sender, datasets, name, None)).await.unwrap_or_else(|| Err(hangs("zfs list")))
}

async fn limited<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LIMIT, work).await.ok()
}

fn hangs(what: &'static str) -> StartError {
    let minutes = LIMIT.as_secs() / 60;
    let error = format!("it has not finished within {minutes} minutes: is the pool suspended? Check zpool status");
    StartError::System { what, error: std::io::Error::other(error) }
}

/// The text for a pool without snapshots: what was attempted, what zfs said, what to do.
fn failure(job: &SnapshotJob, sender: &Endpoint, pool: &PoolSnapshots, name: &SnapshotName, said: &str) -> String {
    let below = if pool.recursive { ", with all datasets below" } else { "" };
    let mut text = format!(
        "can't take @{name} of {}{below}; in pool {}, none of the {} was taken\n  zfs says: {}",
        some(pool.named.iter().map(DatasetName::as_str), ", "),
        pool.pool,
        count(pool.datasets.len(), "snapshot"),
        some(said.lines(), "\n    "),
    );
    // The helper of another host has explained it itself.
    if sender.remote().is_none() && Refusal::from_words(said) == Refusal::Permission {
        let user = sender.hello().user;
        let tops = job.datasets.iter().filter(|top| top.pool() == pool.pool);
        let mut grants: Vec<_> =
            tops.filter_map(|top| permission::grant(&user, said, permission::SNAPSHOT, top)).collect();
        grants.dedup();
        if !grants.is_empty() {
            let _ =
                write!(text, "\n  root can delegate the permission: {}", some(grants.iter().map(String::as_str), "; "));
        }
    }
    text
}

/// The first few of them, and how many more there are.
fn some<'a>(all: impl Iterator<Item = &'a str> + Clone, between: &str) -> String {
    let rest = all.clone().skip(QUOTED).count();
    let mut text = all.take(QUOTED).collect::<Vec<_>>().join(between);
    if rest > 0 {
        let _ = write!(text, "{between}and {rest} more");
    }
    text
}

/// What a dry run shows: as if all had gone well, and the commands.
fn would_take(plan: SnapshotPlan) -> (Taken, Vec<String>) {
    let mut failures = nothing_selected(&plan);
    let SnapshotPlan { name, pools, unchanged, incomplete, is_first, unread, idle } = plan;
    failures.extend(unread);
    let command = |pool: &PoolSnapshots| {
        let flag = if pool.recursive { " -r" } else { "" };
        let names: Vec<String> = pool.named.iter().map(|dataset| format!("'{}'", dataset.at(name.as_str()))).collect();
        format!("  zfs snapshot{flag} {}", some(names.iter().map(String::as_str), " "))
    };
    let commands = pools.iter().map(command).collect();
    let datasets = pools.into_iter().flat_map(|pool| pool.datasets).collect();
    let mut taken = Taken { name, datasets, unchanged, missed: incomplete, is_first, idle, failures };
    taken.failures.extend(none_taken(&taken));
    (taken, commands)
}

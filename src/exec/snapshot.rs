//! `zfsync snapshot`: lists, lets [`crate::plan`] decide, runs one `zfs snapshot` for each pool, and looks at what came of it.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::source;
use crate::config::SnapshotJob;
use crate::error::{Exit, StartError};
use crate::plan::{Naming, PoolSnapshots, Selection, SnapshotPlan, Tree};
use crate::report::format::{count, duration, sanitise};
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Refusal, Zfs, permission, without_usage};

/// A listing that says nothing for so long is given up: the pool may be suspended.
const SILENCE: Duration = Duration::from_secs(300);
/// No other command of zfs takes so long, unless its pool is suspended.
const LIMIT: Duration = Duration::from_secs(1800);
/// So many lines of zfs, and so many names, are quoted.
const QUOTED: usize = 5;

/// What came of it.
#[derive(Debug)]
pub struct Taken {
    /// The name of all snapshots, without its `@`.
    pub name: SnapshotName,
    /// The datasets that have got one.
    pub datasets: Vec<DatasetName>,
    /// Left out, as nothing was written since their newest snapshots.
    pub unchanged: Vec<DatasetName>,
    /// Left out, as they can't have one: gone meanwhile, or only a part of what is being received.
    pub missed: Vec<DatasetName>,
    /// Whether there was no own snapshot before.
    pub is_first: bool,
    /// One text for each pool in which none was taken: what was attempted, what zfs said, what to do. Or that nothing is selected.
    pub failures: Vec<String>,
}

/// How much is said.
#[derive(Debug, Clone, Copy)]
pub struct Say {
    /// Every dataset.
    pub verbose: bool,
    /// Only what is wrong.
    pub quiet: bool,
}

/// Takes the snapshots, or only says which, and tells what came of it.
pub fn snapshot(job: &SnapshotJob, say: Say) -> Result<Exit, StartError> {
    let began = Instant::now();
    let zfs = Zfs::find().ok_or(StartError::NoZfsHere)?;
    let (taken, recursive) = if job.dry_run { would_take(plan(job, &zfs)?) } else { (take(job, &zfs)?, Vec::new()) };
    if !say.quiet {
        print(&names(job, &taken, say.verbose));
        for line in words(job, &taken, say.verbose, began.elapsed()).into_iter().chain(recursive) {
            complain(&line);
        }
    }
    for failure in &taken.failures {
        complain(&format!("zfsync: error: {failure}"));
    }
    Ok(if taken.failures.is_empty() { Exit::InSync } else { Exit::Failed })
}

/// What is to be done. Blocks; not for use within a runtime.
pub fn plan(job: &SnapshotJob, zfs: &Zfs) -> Result<SnapshotPlan, StartError> {
    wait_for(look(job, zfs))
}

/// Takes the snapshots and prints nothing. Blocks; not for use within a runtime. An error means that none was taken.
pub fn take(job: &SnapshotJob, zfs: &Zfs) -> Result<Taken, StartError> {
    take_until(job, zfs, None)
}

/// The same; when it is late before anything was taken, nothing is.
pub fn take_until(job: &SnapshotJob, zfs: &Zfs, until: Option<Instant>) -> Result<Taken, StartError> {
    wait_for(async {
        let plan = in_time(until, look(job, zfs)).await?;
        Ok(carry_out(job, zfs, plan).await)
    })
}

fn wait_for<T>(work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    let system = |error| StartError::System { what: "can't start the runtime", error };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    let result = runtime.block_on(work);
    // What waits for a suspended pool must not hold us up.
    runtime.shutdown_background();
    result
}

/// When the newest own snapshot was made. Blocks; not for use within a runtime.
pub fn newest_own(job: &SnapshotJob, zfs: &Zfs, until: Option<Instant>) -> Result<Option<Timestamp>, StartError> {
    wait_for(in_time(until, async {
        let (trees, _) = trees(job, zfs, 1).await?;
        let selection = Selection::new(&trees, &job.filter, job.if_changed);
        Ok(moment_of_newest(&selection, &job.naming, zfs).await)
    }))
}

async fn in_time<T>(
    until: Option<Instant>,
    work: impl Future<Output = Result<T, StartError>>,
) -> Result<T, StartError> {
    match until {
        None => work.await,
        Some(until) => tokio::time::timeout_at(until.into(), work).await.unwrap_or_else(|_| Err(hangs("zfs list"))),
    }
}

/// The first so many DATASETs, listed; and what `zfs` said where it could not list all.
async fn trees(job: &SnapshotJob, zfs: &Zfs, first: usize) -> Result<(Vec<Tree>, Vec<String>), StartError> {
    let (mut trees, mut unread) = (Vec::with_capacity(job.datasets.len()), Vec::new());
    for top in job.datasets.iter().take(first) {
        let listed = source::list_readable(zfs.clone(), top.clone(), job.filter.depth(), Some(SILENCE)).await?;
        let datasets = listed.datasets;
        unread.extend(listed.unread.map(|words| StartError::List { dataset: top.to_string(), words }.to_string()));
        trees.push(Tree { top: top.clone(), datasets });
    }
    Ok((trees, unread))
}

/// When the newest own snapshot was made, as its name tells; which of two times a name means when clocks were set back, ZFS
/// tells.
async fn moment_of_newest(selection: &Selection<'_>, naming: &Naming, zfs: &Zfs) -> Option<Timestamp> {
    let (name, stamp) = selection.newest_own(&naming.format)?;
    let mut moment = stamp.moment(&naming.zone, None);
    if moment.is_none() {
        let creation = limited(source::dates(zfs, &[name], Some(SILENCE))).await.unwrap_or_default();
        // The earlier one, if it doesn't tell.
        let creation = creation.first().map_or(0, |(_, creation)| *creation);
        moment = stamp.moment(&naming.zone, Some(creation));
    }
    moment.and_then(|moment| Timestamp::from_second(moment).ok())
}

/// Lists and decides.
async fn look(job: &SnapshotJob, zfs: &Zfs) -> Result<SnapshotPlan, StartError> {
    let (trees, unread) = trees(job, zfs, usize::MAX).await?;
    let selection = Selection::new(&trees, &job.filter, job.if_changed);
    let asked = limited(source::states(zfs, &selection.questions(), None)).await;
    let states = asked.unwrap_or_else(|| Err(hangs("zfs list")))?;
    let before = moment_of_newest(&selection, &job.naming, zfs).await;
    let plan = selection.plan(&states, &job.naming, before, Timestamp::now())?;
    Ok(SnapshotPlan { unread, ..plan })
}

async fn carry_out(job: &SnapshotJob, zfs: &Zfs, plan: SnapshotPlan) -> Taken {
    let mut failures = nothing_selected(&plan);
    let SnapshotPlan { name, pools, unchanged, incomplete, is_first, unread } = plan;
    failures.extend(unread);
    let mut all = Taken { name, datasets: Vec::new(), unchanged, missed: incomplete, is_first, failures };
    for pool in pools {
        match run(zfs.snapshot(&pool.named, &all.name, pool.recursive)).await {
            Ok(()) => {
                let found = there(zfs, &pool.datasets, &all.name).await;
                let (taken, missed): (Vec<_>, Vec<_>) = pool
                    .datasets
                    .into_iter()
                    .partition(|dataset| found.as_ref().is_none_or(|all| all.contains(dataset)));
                all.datasets.extend(taken);
                all.missed.extend(missed);
            }
            Err(said) => all.failures.push(failure(job, &pool, &all.name, &said)),
        }
    }
    all.failures.extend(none_taken(&all));
    all
}

/// To select nothing is a mistake: whoever counts on a snapshot must not hear that all is well.
fn nothing_selected(plan: &SnapshotPlan) -> Vec<String> {
    let selected = plan.pools.len() + plan.unchanged.len() + plan.incomplete.len();
    let words = "nothing to take: no dataset is selected: look at --include, --exclude";
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
    Some(format!("took no snapshot: {which} is gone, or its first receive is not complete"))
}

/// Runs a command; an error is what zfs has said.
async fn run(mut command: Command) -> Result<(), String> {
    let ended = limited(tokio::task::spawn_blocking(move || command.output())).await;
    let ended = ended.ok_or_else(|| hangs("zfs snapshot").to_string())?;
    let output = ended.map_err(|error| error.to_string())?.map_err(|error| format!("can't run zfs: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = without_usage(&said);
    Err(if said.is_empty() { output.status.to_string() } else { said.to_owned() })
}

/// Which of the datasets have the snapshot: `zfs` leaves out without a word what can't have one. `None`: it doesn't tell.
async fn there(zfs: &Zfs, datasets: &[DatasetName], name: &SnapshotName) -> Option<HashSet<DatasetName>> {
    limited(source::having(zfs, datasets, name, None)).await?.ok()
}

async fn limited<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LIMIT, work).await.ok()
}

fn hangs(what: &'static str) -> StartError {
    let minutes = LIMIT.as_secs() / 60;
    let error = format!("it has not ended for {minutes} minutes: is the pool suspended? Look at zpool status");
    StartError::System { what, error: std::io::Error::other(error) }
}

/// The text for a pool without snapshots: what was attempted, what zfs said, what to do.
fn failure(job: &SnapshotJob, pool: &PoolSnapshots, name: &SnapshotName, said: &str) -> String {
    let below = if pool.recursive { ", with all below" } else { "" };
    let mut text = format!(
        "can't take @{name} of {}{below}; pool {} has got none of its {}\n  zfs says: {}",
        some(pool.named.iter().map(DatasetName::as_str), ", "),
        pool.pool,
        count(pool.datasets.len(), "snapshot"),
        some(said.lines(), "\n    "),
    );
    if Refusal::from_words(said) == Refusal::Permission {
        let user = permission::user_name();
        let tops = job.datasets.iter().filter(|top| top.pool() == pool.pool);
        let mut grants: Vec<_> =
            tops.filter_map(|top| permission::grant(&user, said, permission::SNAPSHOT, top)).collect();
        grants.dedup();
        if !grants.is_empty() {
            let _ = write!(text, "\n  root can allow it: {}", some(grants.iter().map(String::as_str), "; "));
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
    let SnapshotPlan { name, pools, unchanged, incomplete, is_first, unread } = plan;
    failures.extend(unread);
    let command = |pool: &PoolSnapshots| {
        let flag = if pool.recursive { " -r" } else { "" };
        let names: Vec<String> = pool.named.iter().map(|dataset| format!("'{}'", dataset.at(name.as_str()))).collect();
        format!("  zfs snapshot{flag} {}", some(names.iter().map(String::as_str), " "))
    };
    let commands = pools.iter().map(command).collect();
    let datasets = pools.into_iter().flat_map(|pool| pool.datasets).collect();
    let mut taken = Taken { name, datasets, unchanged, missed: incomplete, is_first, failures };
    taken.failures.extend(none_taken(&taken));
    (taken, commands)
}

/// The lines for stdout: each snapshot, or the name for each DATASET in which one was taken.
fn names(job: &SnapshotJob, taken: &Taken, verbose: bool) -> Vec<String> {
    let name = taken.name.as_str();
    if verbose {
        return taken.datasets.iter().map(|dataset| dataset.at(name)).collect();
    }
    let has = |top: &&DatasetName| taken.datasets.iter().any(|dataset| dataset.is_within(top));
    job.datasets.iter().filter(has).map(|top| top.at(name)).collect()
}

/// The lines for stderr.
fn words(job: &SnapshotJob, taken: &Taken, verbose: bool, took: Duration) -> Vec<String> {
    let Taken { name, datasets, unchanged, missed, failures, .. } = taken;
    let mut lines = Vec::new();
    if verbose {
        lines.extend(unchanged.iter().map(|dataset| format!("{dataset}: nothing written since its newest snapshot")));
    }
    let why = "left out: it has gone meanwhile, or its first receive is not complete";
    lines.extend(missed.iter().map(|dataset| format!("{dataset}: {why}")));
    let left = match unchanged.len() {
        0 => String::new(),
        n => format!("; left out {} without changes since the newest snapshot", count(n, "dataset")),
    };
    let all = count(datasets.len(), "dataset");
    if !datasets.is_empty() && job.dry_run {
        lines.push(format!("zfsync: would take @{name} of {all}{left}"));
    } else if !datasets.is_empty() {
        lines.push(format!("zfsync: took @{name} of {all} ({}){left}", duration(took)));
    } else if !unchanged.is_empty() && failures.is_empty() {
        let all = count(unchanged.len(), "dataset");
        lines.push(format!("zfsync: nothing to take: {all} without changes since the newest snapshot"));
    }
    lines
}

fn print(lines: &[String]) {
    let mut out = std::io::stdout().lock();
    // Nobody may be left to read it; what was to be done is done.
    let _ = lines.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush());
}

fn complain(line: &str) {
    let _ = writeln!(crate::report::output::stderr(), "{}", sanitise(line));
}

//! A crontab's job: a snapshot, all targets at the same time, then the pruning. One that is slow or dead delays no other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::hook;
use super::link::sender_of;
use super::notice;
use super::overlap;
use super::parts::{Done, Part, Report, Tell, Told, report_of, worst, written};
use super::prune::{prune_by_bookmarks, prune_until};
use super::push::push_listed;
use super::result_hook;
use super::snapshot;
use super::source::{self, Source};
use super::stop::Stop;
use crate::config::{Branch, CronJob, PruneJob, PushJob, SnapshotJob, When};
use crate::endpoint::Endpoint;
use crate::error::{Exit, StartError};
use crate::plan::same_window;
use crate::remote::link::End;
use crate::report;
use crate::report::lines::{Kept, LogFile};
use crate::state::results::{self, Untried};
use zfs::lock::{self, Lock, LockError};
use zfs::name::DatasetName;

/// So long another run's snapshot or pruning of the same source is waited for: both are short.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(200);

/// Does the job. An error means that nothing was sent.
pub async fn cron(job: &CronJob, tell: Tell<'_>) -> Result<Report, StartError> {
    let done = carry_out(job, &Stop::default(), tell).await;
    if let Some(error) = done.error {
        return Err(error);
    }
    Ok(report_of(job, &done.parts, None))
}

/// Does the job, until something stops it.
pub async fn carry_out(job: &CronJob, stop: &Stop, tell: Tell<'_>) -> Done {
    let not_begun = |error, log| Done { parts: Vec::new(), error: Some(error), taken: None, log };
    let log = match open_log(job, stop).await {
        Ok(log) => log,
        Err(error) => return not_begun(error, None),
    };
    let mut work = match Work::new(job, stop, tell, log.clone()).await {
        Ok(work) => work,
        Err(error) => return not_begun(error, log),
    };
    let error = work.all().await.err();
    work.note_rest(error.as_ref()).await;
    if let (Some(log), Some(error)) = (&work.log, &error) {
        log.note(job.label(), &error.to_string());
    }
    work.sender.close().await;
    written(work.log.as_ref()).await;
    Done { parts: work.parts, error, taken: work.taken, log: work.log }
}

async fn open_log(job: &CronJob, stop: &Stop) -> Result<Option<LogFile>, StartError> {
    match &job.log {
        Some(log) => {
            let log = stop.unless(LogFile::open(log, job.label())).await?;
            Ok(Some(log.naming_job(!job.tells)))
        }
        None => Ok(None),
    }
}

/// A job at work.
struct Work<'a> {
    job: &'a CronJob,
    stop: &'a Stop,
    tell: Tell<'a>,
    sender: Endpoint,
    log: Option<LogFile>,
    /// The name of the snapshot, once it is there.
    taken: Option<String>,
    /// Whether it is the first of its kind.
    is_first: bool,
    /// How many branches got as far as to their targets.
    tried: usize,
    /// Whether the window has its snapshot from another run.
    is_early: bool,
    parts: Vec<Part>,
    untried: Untried,
}

impl<'a> Work<'a> {
    async fn new(job: &'a CronJob, stop: &'a Stop, tell: Tell<'a>, log: Option<LogFile>) -> Result<Self, StartError> {
        for push in job.branches.iter().flat_map(|branch| &branch.targets) {
            if let Some(dir) = &push.state_dir {
                stop.unless(results::check(dir, &push.ends.key())).await?;
            }
        }
        let tops: Vec<DatasetName> = job.sources().cloned().collect();
        let sender = match stop.unless(sender_of(&job.origin, &tops)).await {
            Ok(sender) => sender,
            Err(error) => {
                let (exit, why) = (error.exit(), error.to_string());
                note_not_tried(&mut Untried::default(), &job.branches, exit, &why, log.as_ref()).await;
                if let Some(log) = &log {
                    log.note(job.label(), &why);
                }
                written(log.as_ref()).await;
                return Err(error);
            }
        };
        Ok(Self {
            job,
            stop,
            tell,
            sender,
            log,
            taken: None,
            is_first: false,
            tried: 0,
            is_early: true,
            parts: Vec::new(),
            untried: Untried::default(),
        })
    }

    async fn all(&mut self) -> Result<(), StartError> {
        self.stop.check()?;
        // Without one the targets are served all the same: the snapshot of this window may be another run's, or of one that got no further.
        if let Some(snapshot) = &self.job.snapshot
            && self.is_due(snapshot).await?
        {
            overlap::check(self.job, &self.sender, self.stop).await?;
            if !self.hook(When::PreSnapshot, None).await {
                return self.stop.check();
            }
            let taken = self.snapshot(snapshot).await;
            self.hook(When::PostSnapshot, None).await;
            taken?;
        }
        self.stop.check()?;
        // Before anything is destroyed.
        self.tell_what_stays().await;
        let sends = self.job.branches.iter().any(|branch| !branch.targets.is_empty());
        if sends && !self.hook(When::PrePush, None).await {
            return self.stop.check();
        }
        let served = self.serve().await;
        if sends {
            let exit =
                served.as_ref().err().map_or_else(|| worst(self.parts.iter().map(|part| part.exit)), StartError::exit);
            self.hook(When::PostPush, Some(exit)).await;
        }
        served
    }

    /// Whether there is no own snapshot of the present window.
    async fn is_due(&self, snapshot: &SnapshotJob) -> Result<bool, StartError> {
        let Some(window) = self.job.window else { return Ok(true) };
        let newest = snapshot::newest_own(snapshot, &self.sender, self.stop).await?;
        let now = Timestamp::now().as_second();
        Ok(newest.is_none_or(|newest| !same_window(newest.as_second(), now, window)))
    }

    /// Takes the snapshot, unless another run has just done so for the present window.
    async fn snapshot(&mut self, snapshot: &SnapshotJob) -> Result<(), StartError> {
        let turns = source_locks(self.job, self.stop).await?;
        if !self.is_due(snapshot).await? {
            return Ok(());
        }
        self.is_early = false;
        let taken = snapshot::take(snapshot, &self.sender, self.stop).await?;
        self.parts.push(Part::of_snapshot(&taken).logged(self.log.as_ref()));
        self.taken = Some(taken.name.to_string());
        self.is_first = taken.is_first;
        drop(turns);
        Ok(())
    }

    async fn serve(&mut self) -> Result<(), StartError> {
        for branch in &self.job.branches {
            self.stop.check()?;
            self.tried += 1;
            let served = serve_all(branch, self.stop, &self.sender, self.log.as_ref()).await;
            if let Err(error) = &served {
                let (branches, log) = (std::slice::from_ref(branch), self.log.as_ref());
                note_not_tried(&mut self.untried, branches, error.exit(), &error.to_string(), log).await;
            }
            match served {
                Ok(mut parts) => {
                    for part in &mut parts {
                        self.leave_to_others(part);
                    }
                    self.tell_what_copies_keep(branch, &parts).await;
                    self.parts.append(&mut parts);
                }
                Err(error) if self.job.branches.len() == 1 => return Err(error),
                Err(error) => {
                    let part = Part::new(branch.source.as_str(), error.exit(), error.to_string());
                    self.parts.push(part.logged(self.log.as_ref()));
                }
            }
            let interrupted = |part: &Part| matches!(part.exit, Exit::Interrupted(_));
            if !self.parts.iter().any(interrupted) {
                continue;
            }
            if let Err(error @ StartError::TooLong(_)) = self.stop.check() {
                self.parts.iter_mut().filter(|part| interrupted(part)).for_each(|part| part.exit = Exit::Failed);
                return Err(error);
            }
            return Ok(());
        }
        Ok(())
    }

    /// A run that isn't due leaves a target to the run that has it, without a word: else a crontab would mail each minute of a long
    /// transfer. The exit code still says that this run has not served it.
    fn leave_to_others(&self, part: &mut Part) {
        if self.job.window.is_some() && self.is_early && part.exit == Exit::Locked {
            part.words.clear();
        }
    }

    /// Says what it keeps, if that must be said.
    async fn tell_what_stays(&mut self) {
        if !self.job.tells {
            return;
        }
        let Some(words) = notice::notice(self.job, &self.sender, self.is_first).await else { return };
        if let Some(log) = &self.log {
            log.note(self.job.label(), &words);
        }
        // Whatever becomes of the rest: that goes into the report.
        (self.tell)(Told::Keeps(&words));
    }

    /// Says which copies keep snapshots for targets of their own, if that must be said: a run that is well says nothing else.
    async fn tell_what_copies_keep(&mut self, branch: &Branch, parts: &[Part]) {
        if parts.iter().any(|part| matches!(part.exit, Exit::Interrupted(_))) {
            return;
        }
        for words in notice::of_copies(branch, &self.sender, parts).await {
            (self.tell)(Told::Keeps(&words));
        }
    }

    /// Targets that nobody got to, as something before them went wrong, have no other record of this run.
    async fn note_rest(&mut self, error: Option<&StartError>) {
        let wrong = self.parts.iter().rev().find(|part| part.exit != Exit::InSync);
        let why = match (error, wrong) {
            (Some(error), _) => (error.exit(), error.to_string()),
            (None, Some(part)) => (part.exit, format!("{}: {}", part.label, part.words.trim_end())),
            (None, None) => return,
        };
        let rest = self.job.branches.get(self.tried..).unwrap_or_default();
        note_not_tried(&mut self.untried, rest, why.0, &why.1, self.log.as_ref()).await;
    }

    /// Runs a hook if there is one; whether the job may go on.
    async fn hook(&mut self, when: When, result: Option<Exit>) -> bool {
        let Some(command) = self.job.hooks.command(when) else { return true };
        let env = result_hook::env(self.job, self.taken.as_deref(), result);
        // It may read the log.
        written(self.log.as_ref()).await;
        // What tidies up is not cut short.
        let stop = when.is_before().then_some(self.stop);
        let ended = hook::run(command, env, Vec::new(), self.job.hooks.timeout, stop).await;
        let part = Part::of_hook(when, ended);
        let exit = part.exit;
        self.parts.push(part.logged(self.log.as_ref()));
        exit == Exit::InSync
    }
}

async fn note_not_tried(untried: &mut Untried, branches: &[Branch], exit: Exit, why: &str, log: Option<&LogFile>) {
    // The run that has the lock has its own record.
    if exit == Exit::Locked {
        return;
    }
    let pushes = branches.iter().flat_map(|branch| &branch.targets);
    let with_dir = pushes.filter_map(|push| Some((push.state_dir.as_deref()?, &*push.ends)));
    for (ends, error) in untried.note(with_dir, exit, why).await {
        if let Some(log) = log {
            log.note(
                &ends.target.to_string(),
                &format!("can't save the result in the state directory: {}", zfs::text::os_words(&error)),
            );
        }
    }
}

/// One run at a time takes snapshots of a source, and prunes it. All take them in the same order.
async fn source_locks(job: &CronJob, stop: &Stop) -> Result<Vec<Lock>, StartError> {
    let mut sources: Vec<End> = job.branches.iter().map(Branch::end).collect();
    sources.sort_unstable_by(|one, other| one.dataset.as_str().cmp(other.dataset.as_str()));
    let mut locks = Vec::with_capacity(sources.len());
    for source in sources {
        locks.push(source_lock(&source, stop).await?);
    }
    Ok(locks)
}

/// Datasets of the same name on two hosts have nothing to do with each other.
fn lock_key(source: &End) -> String {
    format!("cron {}", source.key())
}

/// Who works on a source, for the message that others get.
fn owner_of_source(source: &End) -> String {
    super::lock::owner_of(&format!("cron {source}"))
}

/// Tells that somebody may not have been noticed.
fn try_lock(source: &End, owner: &str) -> Result<Lock, LockError> {
    let lock = lock::take(&lock_key(source), 0, owner)?;
    if let Some(doubt) = lock.doubt() {
        tracing::warn!("{source}: {doubt}");
    }
    Ok(lock)
}

async fn source_lock(source: &End, stop: &Stop) -> Result<Lock, StartError> {
    let began = Instant::now();
    let owner = owner_of_source(source);
    loop {
        stop.check()?;
        match try_lock(source, &owner) {
            Ok(lock) => return Ok(lock),
            Err(LockError::Held { .. }) if began.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            Err(LockError::Held { holder, path, .. }) => {
                return Err(super::lock::held(source.to_string(), &holder, &path, false));
            }
            Err(LockError::Io { path, error }) => return Err(StartError::Lock { path, error }),
        }
    }
}

/// All targets, each on its own; then the source.
async fn serve_all(
    branch: &Branch,
    stop: &Stop,
    sender: &Endpoint,
    log: Option<&LogFile>,
) -> Result<Vec<Part>, StartError> {
    let until = stop.until();
    // A source that sends by itself lists by itself.
    let listed = match branch.targets.iter().find(|target| target.direct.is_none()) {
        Some(first) => {
            let (depth, stall) = (first.filter.depth(), first.faults.stall_timeout);
            // A run that may destroy something must know what lies below.
            let depth = depth.filter(|_| branch.targets.iter().all(|target| !target.missing.destroys()));
            stop.unless(source::list_readable(sender, branch.source.clone(), depth, stall)).await?
        }
        None => Source::default(),
    };
    let listed = Arc::new(listed);
    let mut running = JoinSet::new();
    for (at, target) in branch.targets.iter().enumerate() {
        let (target, prune) = (PushJob { until, ..target.clone() }, branch.prune_targets.get(at).cloned());
        let (listed, log) = (listed.clone(), log.cloned());
        running.spawn(async move { (at, serve(target, prune, listed, log).await) });
    }
    let mut parts: Vec<(usize, Vec<Part>)> = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(part) => parts.push(part),
            Err(error) => {
                let words = format!("an internal task failed: {error}");
                parts.push((usize::MAX, vec![Part::new("zfsync", Exit::Failed, words)]));
            }
        }
    }
    parts.sort_by_key(|(at, _)| *at);
    let mut parts: Vec<Part> = parts.into_iter().flat_map(|(_, parts)| parts).collect();
    if !parts.iter().any(|part| matches!(part.exit, Exit::Interrupted(_))) {
        parts.extend(prune_source_side(branch, until, sender, log).await);
    }
    Ok(parts)
}

/// One target: the push, and the pruning if it is wanted.
async fn serve(target: PushJob, prune: Option<PruneJob>, listed: Arc<Source>, log: Option<LogFile>) -> Vec<Part> {
    let (label, kept, until) = (target.ends.target.to_string(), Kept::default(), target.until);
    let mut reporter = report::logged(report::kept(Box::new(kept.clone())), log.as_ref(), &label);
    let pushed = push_listed(target, listed, reporter.as_mut()).await;
    let (exit, words) = match pushed {
        Ok(pushed) => (pushed.exit, kept.text()),
        Err(error) => {
            let words = error.to_string();
            if let Some(log) = &log {
                log.note(&label, &words);
            }
            (error.exit(), words)
        }
    };
    let started = !matches!(exit, Exit::NotStarted | Exit::Locked | Exit::Interrupted(_) | Exit::Usage);
    let mut parts = vec![Part::new(label.clone(), exit, words)];
    if let Some(prune) = prune.filter(|_| started) {
        parts.push(Part::of_pruned(&label, prune_until(&prune, until).await).logged(log.as_ref()));
    }
    parts
}

async fn prune_source_side(
    branch: &Branch,
    until: Option<Instant>,
    sender: &Endpoint,
    log: Option<&LogFile>,
) -> Option<Part> {
    let prune = branch.prune.as_ref()?;
    let end = branch.end();
    let part = match try_lock(&end, &owner_of_source(&end)) {
        Ok(_turn) => {
            let targets: Vec<_> = branch.targets.iter().map(|push| push.ends.clone()).collect();
            Part::of_pruned(branch.source.as_str(), prune_by_bookmarks(prune, sender, &targets, until).await)
        }
        // Whoever has it takes a snapshot, or is about to prune as well.
        Err(LockError::Held { holder, .. }) => {
            let words = format!("skipped: another run is working on the source: {holder}");
            Part::new(format!("pruning {}", branch.source), Exit::InSync, words)
        }
        Err(LockError::Io { path, error }) => {
            Part::of_pruned(branch.source.as_str(), Err(StartError::Lock { path, error }))
        }
    };
    Some(part.logged(log))
}

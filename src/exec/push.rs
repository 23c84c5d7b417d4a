//! A push from its start to the plan: lock, connection and listing side by side, questions, then the run itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use super::connections::{self, ConnectionPool};
use super::direction::Direction;
use super::inquire::negotiate;
use super::link::{Connected, check_helper, close, first_channel, sender_over};
use super::parts::Pushed;
use super::ready::{Cleared, Ready, Unread};
use super::receiver::Receiver;
use super::signals::{Signals, signalled};
use super::source::{self, Source};
use super::targets::{self, Targets};
use super::{asides, dates, direct, dry_run, foresee, lock, missing, restore, run};
use crate::config::{PushJob, source_tag};
use crate::endpoint::Endpoint;
use crate::error::{Exit, StartError};
use crate::format::added;
use crate::plan::{
    Clocks, EncryptedAs, EncryptionRules, Listing, MissingPolicy, Negotiation, Nothing, Plan, Resolutions,
    SourceDataset, TargetLimits, Verdict, When,
};
use crate::remote::client::FromChannel;
use crate::remote::link::Access;
use crate::report::{Event, Reporter};
use crate::state::results::Recorder;
use zfs::lock::Lock;
use zfs::{Failure, Hello, Outlook};

/// Brings the target in sync with the source, or finds out what that would take.
pub async fn push(job: PushJob, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    recorded(job, Ahead::default(), reporter).await
}

/// The same where the source has been listed already, for several targets at once: all of SOURCE, whatever the job selects.
pub async fn push_listed(job: PushJob, listed: Arc<Source>, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    recorded(job, Ahead { listed: Some(listed), ..Ahead::default() }, reporter).await
}

/// The same where both ends are connected already.
pub async fn push_over(job: PushJob, connected: Connected, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    recorded(job, Ahead { connected, ..Ahead::default() }, reporter).await
}

/// What was done before.
#[derive(Default)]
struct Ahead {
    listed: Option<Arc<Source>>,
    connected: Connected,
}

async fn recorded(job: PushJob, ahead: Ahead, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    let Some(dir) = job.state_dir.clone().filter(|_| !job.dry_run) else {
        return carried_out(job, ahead, reporter).await;
    };
    let mut recorder = Recorder::new(&dir, &job.ends, reporter).await?;
    let result = carried_out(job, ahead, &mut recorder).await;
    recorder.finish(result.as_ref().map(|pushed| pushed.exit), signalled()).await;
    result
}

/// Here, or where the source is.
async fn carried_out(job: PushJob, ahead: Ahead, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    match &job.direct {
        Some(there) => direct::push(&job, there, reporter).await,
        None => Box::pin(locked_push(job, ahead, reporter)).await,
    }
}

/// A run whose ends are open.
struct Open {
    job: Arc<PushJob>,
    sender: Endpoint,
    connections: ConnectionPool,
    events: UnboundedReceiver<FromChannel>,
    /// What is to be done, or why that couldn't be found out.
    ready: Result<Ready, StartError>,
}

async fn locked_push(job: PushJob, ahead: Ahead, reporter: &mut dyn Reporter) -> Result<Pushed, StartError> {
    let started = Instant::now();
    if job.ends.source.host().is_none() {
        // Before anything else is tried.
        Endpoint::here().map_err(|error| match error {
            StartError::NoZfsHere { .. } => {
                let target = Some(&job.ends.target).filter(|target| target.host().is_none());
                StartError::NoZfsHere { target: target.map(|target| target.dataset.to_string()) }
            }
            error => error,
        })?;
    }
    let mut signals = Signals::listen_until(job.until)?;
    let _lock = locked(&job, &mut signals, reporter).await?;
    let Open { job, sender, connections, events, ready } = open(job, ahead, started, &mut signals, reporter).await?;
    let result = match ready {
        Err(error) => Err(error),
        Ok(ready) if job.dry_run => planned(&job, &sender, &ready, &mut signals, reporter).await,
        Ok(ready) => {
            let open = Replication { job: &job, sender: &sender, connections, events };
            let exit = Box::pin(open.carry_out(ready, started, &mut signals, reporter)).await;
            close_before(sender.close(), &mut signals, matches!(exit, Exit::Interrupted(_))).await;
            return Ok(Pushed { exit, plan: None, nothing: None });
        }
    };
    let closing = async {
        close(connections).await;
        sender.close().await;
    };
    close_before(closing, &mut signals, matches!(result, Err(StartError::Interrupted(_)))).await;
    result
}

/// Takes the lock of the target's tree on this machine; a dry run needs none.
async fn locked(job: &PushJob, signals: &mut Signals, reporter: &mut dyn Reporter) -> Result<Option<Lock>, StartError> {
    if job.dry_run {
        return Ok(None);
    }
    let (lock, without) = tokio::select! {
        lock = lock::take(&job.ends, job.run, Some(job.faults.wait_lock)) => lock?,
        signal = signals.next() => return Err(StartError::Interrupted(signal)),
    };
    if let Some(text) = without {
        reporter.event(&Event::Notice { dataset: None, text });
    }
    Ok(lock)
}

/// Opens both ends and finds out what is to be done, with as many tries as the job has.
async fn open(
    job: PushJob,
    Ahead { listed, mut connected }: Ahead,
    started: Instant,
    signals: &mut Signals,
    reporter: &mut dyn Reporter,
) -> Result<Open, StartError> {
    let (mut job, mut tries) = (Arc::new(job), 0);
    let access = Access::of(job.dry_run);
    loop {
        // What has failed once is connected anew.
        let Connected { source, target } = std::mem::take(&mut connected);
        let opened = tokio::select! {
            opened = Box::pin(sender_over(source, &job.ends)) => opened,
            signal = signals.next() => return Err(StartError::Interrupted(signal)),
        };
        let error = match opened {
            Err(error) => error,
            Ok(sender) => {
                let sender = sender.with_access(access);
                job = known_to(&job, &sender);
                let (connections, mut events) =
                    ConnectionPool::new(job.ends.target.link.clone(), Some(sender.clone()), access);
                let mut connections = connections.with_target(target);
                let preparing = async {
                    if job.restore.is_some() && tries == 0 {
                        restore::tell_settings(&job, &sender, reporter).await;
                    }
                    prepare(&job, &sender, listed.clone(), &mut connections, &mut events, started, reporter).await
                };
                let ready = tokio::select! {
                    ready = Box::pin(preparing) => ready,
                    signal = signals.next() => Err(StartError::Interrupted(signal)),
                };
                match ready {
                    Err(error) if error.retryable() && run::limits(&job).pause(tries).is_some() => {
                        close(connections).await;
                        sender.close().await;
                        error
                    }
                    ready => return Ok(Open { job, sender, connections, events, ready }),
                }
            }
        };
        before_next_try(&job, tries, error, signals, reporter).await?;
        tries += 1;
    }
}

/// What a dry run shows.
async fn planned(
    job: &PushJob,
    sender: &Endpoint,
    ready: &Ready,
    signals: &mut Signals,
    reporter: &mut dyn Reporter,
) -> Result<Pushed, StartError> {
    let nothing = nothing(job, ready);
    if let Some(nothing) = &nothing {
        reporter.event(&Event::Notice { dataset: None, text: nothing.to_string() });
    }
    tokio::select! {
        rows = dry_run::rows(job, sender, ready, reporter) => {
            let exit = if nothing.is_some() { Exit::Failed } else { dry_run::exit(ready, &rows) };
            Ok(Pushed { exit, plan: Some(rows), nothing })
        }
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    }
}

/// A run that is no dry one.
struct Replication<'a> {
    job: &'a Arc<PushJob>,
    sender: &'a Endpoint,
    connections: ConnectionPool,
    events: UnboundedReceiver<FromChannel>,
}

impl Replication<'_> {
    /// Carries the plan out, and then what comes behind it.
    async fn carry_out(
        mut self,
        ready: Ready,
        started: Instant,
        signals: &mut Signals,
        reporter: &mut dyn Reporter,
    ) -> Exit {
        let (first, newcomer, recorded) = (ready.first, ready.met.newcomer.clone(), ready.met.is_recorded_now);
        let (job, sender) = (self.job, self.sender);
        let running = run::run(job, sender, ready, &mut self.connections, &mut self.events, signals, started, reporter);
        let mut ended = running.await;
        let receiver = || Receiver::over(&self.connections, first, &job.ends);
        Box::pin(asides::tell(&mut ended, receiver(), signals, reporter)).await;
        let idle = ended.summary.snapshots == 0 && ended.summary.bytes == 0;
        if ended.exit == Exit::Failed && idle && (recorded || newcomer.is_some()) {
            reporter.event(&Event::Notice { dataset: None, text: targets::how_to_forget(job, sender) });
        }
        if let (Some(newcomer), Exit::InSync | Exit::Failed) = (newcomer, ended.exit) {
            tokio::select! {
                () = Box::pin(targets::note_top(sender, newcomer, receiver())) => {}
                // The next run does it.
                signal = signals.next() => {
                    ended.exit = Exit::Interrupted(signal);
                    ended.summary.interrupted = true;
                }
            }
        }
        // Whoever destroys needs the tree for itself, and the run's helpers have its lock.
        close_before(close(self.connections), signals, matches!(ended.exit, Exit::Interrupted(_))).await;
        finish(job, sender, ended, signals, reporter).await
    }
}

/// Waits a while, unless the error is one that no other try would change, or there were enough of them.
async fn before_next_try(
    job: &PushJob,
    tries: u32,
    error: StartError,
    signals: &mut Signals,
    reporter: &mut dyn Reporter,
) -> Result<(), StartError> {
    let pause = run::limits(job).pause(tries).filter(|_| error.retryable());
    let Some(pause) = pause else { return Err(error) };
    let text = added(&error.to_string(), &format!("; trying again in {} s", pause.as_secs_f32().round()));
    reporter.event(&Event::Notice { dataset: None, text });
    tokio::select! {
        () = tokio::time::sleep(pause) => Ok(()),
        signal = signals.next() => Err(StartError::Interrupted(signal)),
    }
}

/// The job, with what is known of a source's host now: how the notes on a target call it.
fn known_to(job: &Arc<PushJob>, sender: &Endpoint) -> Arc<PushJob> {
    let Some(remote) = sender.remote() else { return job.clone() };
    let by = source_tag(&remote.hello().host, &job.ends.source.dataset);
    Arc::new(PushJob { missing: MissingPolicy { by, ..job.missing.clone() }, ..job.as_ref().clone() })
}

/// Why a run would have nothing to replicate.
fn nothing(job: &PushJob, ready: &Ready) -> Option<Nothing> {
    let (Plan { datasets, misfits, .. }, source) = (&ready.plan, &job.ends.source);
    let without = datasets.iter().filter(|dataset| dataset.verdict == Verdict::NoSnapshots).count()
        + misfits.iter().filter(|misfit| misfit.without_snapshots).count();
    Some(Nothing::of(&source.dataset, datasets.len() + misfits.len(), without)?.on(source.host()))
}

/// Closes the connections. Who has told the run to end already, and does so again, wants that at once.
async fn close_before(closing: impl Future<Output = ()>, signals: &mut Signals, stopped: bool) {
    tokio::select! {
        () = closing => {}
        _ = signals.next(), if stopped => {}
    }
}

/// Clears away on the target what the source has no more, if that is wanted, and tells the end of the run.
async fn finish(
    job: &Arc<PushJob>,
    sender: &Endpoint,
    ended: run::Ended,
    signals: &mut Signals,
    reporter: &mut dyn Reporter,
) -> Exit {
    let run::Ended { mut exit, mut summary, negotiation, .. } = ended;
    let failed = exit == Exit::Failed;
    if job.missing.destroys() && failed {
        let text = "nothing that is missing on the source is destroyed on the target: not every selected dataset is in sync, \
                    or not all could be listed (see above)";
        reporter.event(&Event::Problem { text: text.into() });
    }
    if job.missing.destroys() && (failed || exit == Exit::InSync) {
        let began = Instant::now();
        let swept = tokio::select! {
            swept = missing::sweep_or_note(failed, job, sender, &negotiation, reporter) => swept,
            signal = signals.next() => Err(StartError::Interrupted(signal)),
        };
        match swept {
            Ok(swept) => (exit, summary.withheld) = (if swept.failed { Exit::Failed } else { exit }, swept.withheld),
            Err(StartError::Interrupted(signal)) => {
                exit = Exit::Interrupted(signal);
                summary.interrupted = true;
            }
            Err(error) => {
                exit = Exit::Failed;
                let what = if failed {
                    "what was received is not recorded"
                } else {
                    "what no longer exists on the source is kept"
                };
                reporter.event(&Event::Problem { text: format!("{what} on the target: {error}") });
                summary.withheld = (!failed).then(|| format!("{what} on the target"));
            }
        }
        summary.took += began.elapsed();
    }
    reporter.event(&Event::Finished(summary));
    exit
}

async fn prepare(
    job: &PushJob,
    sender: &Endpoint,
    listed: Option<Arc<Source>>,
    connections: &mut ConnectionPool,
    events: &mut UnboundedReceiver<FromChannel>,
    started: Instant,
    reporter: &mut dyn Reporter,
) -> Result<Ready, StartError> {
    connections.connect(1, Duration::ZERO);
    let greeting = async {
        let (first, hello) = first_channel(connections, events).await?;
        let clocks = missing::clocks(&hello);
        Ok((first, hello, clocks))
    };
    let known = async { Ok(Targets::read(&job.ends, sender).await) };
    let ((first, hello, clocks), listed, mut targets) =
        tokio::try_join!(greeting, listing(job, sender, listed), known)?;
    check_helper(&job.ends, sender, &hello)?;
    tell_connected(job, sender, &hello, started.elapsed(), reporter);
    let Source { datasets: listed, unread } = listed;
    let complete = unread.is_none();
    let mut unread: Vec<Unread> = unread.into_iter().map(|words| Unread::source(&job.ends, &words)).collect();
    if complete {
        tell_idle_globs(job, &listed, reporter);
    }
    let listed = match &job.restore {
        Some(restore) => {
            let (chosen, lost) = restore::choose(job, restore, sender, listed, reporter).await?;
            unread.extend(lost);
            chosen
        }
        None => listed,
    };
    let mut negotiation = negotiation(job, listed, complete)
        .with_plain_target(hello.is_plain())
        .with_confined_helper(&hello)
        .of_restore(job.restore.is_some())
        .with_marks(job.bookmarks || job.missing.destroys())
        .with_target_host(&job.ends.target.host().map_or_else(String::new, |host| format!("{host}:")));
    let mut receiver = Receiver::over(connections, first, &job.ends)?;
    if !job.dry_run {
        receiver.claim(job.run, job.faults.wait_lock).await?;
    }
    let mut direction = Direction::new(job, sender, &hello.host);
    direction.check_top(targets.copied(), &mut receiver).await?;
    if (job.looks_around() || targets.has_strangers(job, &negotiation)) && complete {
        // In the same breath as the questions.
        receiver.ask_names(job.ends.target.dataset.clone());
    }
    let (limits, moves) =
        negotiate(&mut direction, &mut negotiation, &mut receiver, &mut targets, &mut unread, reporter).await?;
    let mut plan = negotiation.plan();
    for text in job.resolutions.idle(&plan) {
        reporter.event(&Event::Notice { dataset: None, text });
    }
    let met = targets.note(job, sender, &negotiation, &plan, reporter).await;
    dates::fill(sender, &mut receiver, &mut plan.datasets).await?;
    receiver.claimed().await?;
    if let Some(words) = receiver.unlocked.take() {
        let text =
            format!("{}: {words}: other runs there are not prevented from working on this target", receiver.host());
        reporter.event(&Event::Notice { dataset: None, text });
    }
    let Foreseen { cleared, outlook, refused } =
        foreseen(&direction, &mut negotiation, (&plan, &limits), &mut receiver, clocks).await?;
    if let Some(notice) = foresee::lock_notice(&job.ends.target, &outlook) {
        reporter.event(&notice);
    }
    for one in &unread {
        reporter.event(&one.event());
    }
    Ok(Ready { plan, negotiation, limits, first, met, moves, cleared, refused, outlook, unread })
}

/// What the source has, as far as it can be read.
async fn listing(job: &PushJob, sender: &Endpoint, listed: Option<Arc<Source>>) -> Result<Source, StartError> {
    if let Some(listed) = listed {
        return Ok(listed.as_ref().clone());
    }
    // A run that may destroy something must know what lies below.
    let depth = job.filter.depth().filter(|_| !job.missing.destroys());
    source::list_readable(sender, job.ends.source.dataset.clone(), depth, job.faults.stall_timeout).await
}

/// What only a dry run asks for.
#[derive(Default)]
struct Foreseen {
    cleared: Option<Cleared>,
    outlook: Outlook,
    refused: HashMap<usize, Failure>,
}

async fn foreseen(
    direction: &Direction<'_>,
    negotiation: &mut Negotiation,
    (plan, limits): (&Plan, &TargetLimits),
    receiver: &mut Receiver<'_>,
    clocks: Clocks,
) -> Result<Foreseen, StartError> {
    let job = direction.job;
    if !job.dry_run {
        return Ok(Foreseen::default());
    }
    let refused = foresee::refused(job, direction.sender, (plan, limits), receiver).await?;
    negotiation.refused(refused.keys().copied());
    let mut cleared = None;
    if job.missing.destroys() {
        let found = cleared.insert(missing::look(job, negotiation, receiver, When::Before, clocks).await?);
        foresee::what_stays(receiver, found).await?;
    }
    let outlook = receiver.outlook(job.ends.target.dataset.clone()).await?;
    Ok(Foreseen { cleared, outlook, refused })
}

/// Tells which globs match nothing of what the source has.
fn tell_idle_globs(job: &PushJob, listed: &[SourceDataset], reporter: &mut dyn Reporter) {
    let paths = listed.iter().map(|dataset| &dataset.path).collect();
    for idle in job.filter.idle(&[(&job.ends.source.dataset, paths)]) {
        reporter.event(&Event::Notice { dataset: None, text: idle.to_string() });
    }
}

/// Tells which helpers have greeted.
fn tell_connected(job: &PushJob, sender: &Endpoint, target: &Hello, took: Duration, reporter: &mut dyn Reporter) {
    let connected = |host: Option<String>, hello: &Hello| Event::Connected {
        host,
        helper: format!("zfsync {}, OpenZFS {}", hello.version, hello.zfs.as_deref().unwrap_or("unknown")),
        took,
    };
    if let Some(remote) = sender.remote() {
        reporter.event(&connected(Some(remote.host().to_string()), remote.hello()));
    }
    if sender.remote().is_none() || job.ends.target.host().is_some() {
        reporter.event(&connected(job.ends.target.host().map(ToString::to_string), target));
    }
    if let Some(text) = connections::too_many_streams(job) {
        reporter.event(&Event::Notice { dataset: None, text });
    }
}

/// What is to be asked of the target about these datasets of the source, by the job's rules.
fn negotiation(job: &PushJob, listed: Vec<SourceDataset>, complete: bool) -> Negotiation {
    let (selected, unselected): (Vec<SourceDataset>, Vec<SourceDataset>) =
        listed.into_iter().partition(|dataset| job.filter.selects(&dataset.path));
    Negotiation::new(&job.ends.source.dataset, &job.ends.target.dataset, selected, job.newest_only)
        .with_surroundings(&job.filter, unselected)
        .with_complete(complete)
        .with_dry_run(job.dry_run)
        .with_skip_empty(job.skip_empty)
        .with_unproven_bookmarks(job.allow_unproven_bookmarks)
        .with_encryption(EncryptionRules {
            sent: if job.decrypt { EncryptedAs::Plaintext } else { EncryptedAs::Raw },
            allow_unencrypted: job.allow_unencrypted,
            allow_key_mismatch: job.allow_key_mismatch,
        })
        // What isn't listed is no reason to give up what the target has.
        .with_resolutions(if complete { job.resolutions.clone() } else { Resolutions::default() }, &stamp())
        .with_listing(if job.dry_run || job.resolutions.any() || job.missing.destroys() {
            Listing::AllBehind
        } else {
            Listing::AsNeeded
        })
}

/// Goes into the names of what is set aside: the date and time, in UTC.
fn stamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

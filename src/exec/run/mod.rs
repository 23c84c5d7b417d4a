//! The run itself: turns what happens into inputs of the [`Machine`] and its actions into processes, requests and events.

mod channels;
mod ends;
mod pending;
mod replan;
mod steps;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bookmarks::BookmarkKeeper;
use super::connections::ConnectionPool;
use super::machine::{Action, DatasetOutcome, Input, Limits, Machine, Resolved};
use super::ready::Ready;
use super::signals::Signals;
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::{Exit, Signal};
use crate::plan::{Aside, LastResult, Negotiation, Nothing, StepId};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel};
use crate::report::{Event, Reporter, Summary};
use crate::state::record::Begun;
use pending::{Answered, PendingQuestions};
use replan::Found;
use zfs::name::Guid;
use zfs::{Failure, Refusal};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);
/// After the first signal streams get so long to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the machine is told that time goes by.
const WATCH: Duration = Duration::from_secs(1);
/// So long a first transfer waits for its bookmarks.
const ANNOUNCED: Duration = Duration::from_secs(10);
/// So long the last bookmarks may take.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// What a run may do.
pub fn limits(job: &PushJob) -> Limits {
    Limits {
        channels: job.channels,
        auto: job.connections.is_none() && job.ends.target.host().or(job.ends.source.host()).is_some(),
        retries: job.faults.retries,
        max_wait: job.faults.retry_max_wait,
        stall: job.faults.stall_timeout,
        seed: job.run,
    }
}

/// How a run has ended.
pub struct Ended {
    /// The exit code.
    pub exit: Exit,
    /// The figures; [`Event::Finished`] is still to be told.
    pub summary: Summary,
    /// What is known of both sides.
    pub negotiation: Negotiation,
    /// What was set aside; still to be told.
    pub asides: Vec<Aside>,
}

/// Carries the plan out until every dataset has reached its end, or a signal ends the run.
#[expect(clippy::too_many_arguments, reason = "each is a part of its own, put together in one place")]
pub async fn run(
    job: &Arc<PushJob>,
    sender: &Endpoint,
    ready: Ready,
    connections: &mut ConnectionPool,
    from_channels: &mut UnboundedReceiver<FromChannel>,
    signals: &mut Signals,
    started: Instant,
    reporter: &mut dyn Reporter,
) -> Ended {
    let (machine, actions) = Machine::new(&ready.plan, &limits(job));
    let first = ready.first;
    let mut bookmarks = job.bookmarks.then(|| BookmarkKeeper::open(sender, ready.met.tags.clone()));
    if let Some(bookmarks) = &mut bookmarks {
        bookmarks.planned(&ready.plan, &ready.negotiation);
    }
    let mut run = Run {
        bookmarks,
        job,
        sender,
        ready,
        connections,
        machine,
        reporter,
        steps: HashMap::new(),
        pending: PendingQuestions::default(),
        later: unbounded_channel(),
        greeted: HashSet::from([first]),
        claims: HashSet::new(),
        claimed: HashSet::from([first]),
        began: Instant::now(),
        watched: Instant::now(),
        summary: Summary::default(),
        stop: None,
        asides: Vec::new(),
        cut: HashMap::new(),
        taken: false,
    };
    run.announce(signals).await;
    run.start(first, actions);
    if run.stop.is_some() {
        run.input(Input::Stop);
    }
    run.go(from_channels, signals).await;
    run.close_bookmarks(signals).await;
    run.finish(started)
}

/// A step that runs.
struct Live {
    dataset: usize,
    channel: ChannelId,
    to_guid: Guid,
    to: String,
    snapshots: usize,
    progress: Arc<AtomicU64>,
    abort: Arc<AtomicBool>,
    /// Whether it waits for its turn within the limit of the run.
    held: Arc<AtomicBool>,
    reported: u64,
    sent: bool,
    started: Instant,
    /// Of what it takes the place of.
    record: Option<Begun>,
}

/// What comes back from a pause, or from a task that asks one of the ends.
enum Later {
    /// It is time to look at this dataset.
    Look(usize),
    /// What was found out about this dataset at the source.
    Found(usize, Found),
    /// Whether the stream can begin for which this dataset of the target gives something up.
    Tried(usize, Result<(), Failure>),
    /// What came of a question about this dataset of the target.
    Answered(usize, Answered),
    /// The claim of the tree over this channel is granted, or why it is not.
    Claimed(ChannelId, Option<Failure>),
}

struct Run<'a> {
    job: &'a Arc<PushJob>,
    sender: &'a Endpoint,
    ready: Ready,
    /// `None` without bookmarks of our own.
    bookmarks: Option<BookmarkKeeper>,
    connections: &'a mut ConnectionPool,
    machine: Machine,
    reporter: &'a mut dyn Reporter,
    steps: HashMap<StepId, Live>,
    pending: PendingQuestions,
    /// What was to come later has come.
    later: (UnboundedSender<Later>, UnboundedReceiver<Later>),
    greeted: HashSet<ChannelId>,
    /// Channels over which the target's tree is claimed, and those of them whose claim is not answered yet.
    claimed: HashSet<ChannelId>,
    claims: HashSet<ChannelId>,
    /// What the machine counts from.
    began: Instant,
    watched: Instant,
    summary: Summary,
    stop: Option<(Signal, Instant)>,
    /// What was set aside.
    asides: Vec<Aside>,
    /// How much of a dataset's stream was sent in this run before it was cut, until it starts anew.
    cut: HashMap<usize, u64>,
    /// Another run has the target's tree now.
    taken: bool,
}

impl Run<'_> {
    /// Announces the plan, then starts with the channel that is there while others are still coming up.
    fn start(&mut self, first: ChannelId, actions: Vec<Action>) {
        self.summary.datasets = self.ready.plan.datasets.len() + self.ready.plan.misfits.len();
        let in_sync = actions
            .iter()
            .filter(|action| matches!(action, Action::DatasetEnded { end: DatasetOutcome::InSync { .. }, .. }));
        self.reporter.event(&Event::Planned {
            datasets: self.summary.datasets,
            in_sync: in_sync.count(),
            steps: self.ready.plan.steps(),
        });
        self.misfits_ended();
        self.apply(actions);
        let wanted = self.machine.wants_channels();
        let connection = self.connections.connection_of(first);
        self.input(Input::ChannelUp { channel: first, connection });
        let connections = self.job.connections.unwrap_or(1).min(wanted);
        if connections > 1 {
            let each = wanted.div_ceil(connections);
            self.connections.open(connection, each.saturating_sub(1));
            for _ in 1..connections {
                self.connections.connect(each, Duration::ZERO);
            }
        } else {
            self.connections.open(connection, wanted.saturating_sub(1));
        }
    }

    /// Others learn by bookmarks that something is on its way to a target that has nothing yet.
    async fn announce(&mut self, signals: &mut Signals) {
        let Some(bookmarks) = &self.bookmarks else { return };
        tokio::select! {
            () = bookmarks.announced(ANNOUNCED) => {}
            signal = signals.next() => self.stop = Some((signal, Instant::now())),
        }
    }

    async fn go(&mut self, from_channels: &mut UnboundedReceiver<FromChannel>, signals: &mut Signals) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.machine.is_done() {
            tokio::select! {
                Some(FromChannel { channel, event }) = from_channels.recv() => self.channel_event(channel, event),
                opened = self.connections.opened() => self.opened(opened),
                Some(later) = self.later.1.recv() => self.come(later),
                _ = tick.tick() => self.tick(),
                signal = signals.next() => {
                    if self.stop.is_some() {
                        return;
                    }
                    self.stop = Some((signal, Instant::now()));
                    self.input(Input::Stop);
                }
            }
            if self.stop.is_some_and(|(_, since)| since.elapsed() > PATIENCE) {
                return;
            }
        }
    }

    fn input(&mut self, input: Input) {
        let actions = self.machine.handle(self.began.elapsed(), input);
        self.apply(actions);
    }

    fn apply(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { channel, step, dataset, send, into } => {
                    self.start_step(channel, step, dataset, &send, into);
                }
                Action::Abort(step) => {
                    if let Some(live) = self.steps.get(&step) {
                        live.abort.store(true, Ordering::Relaxed);
                    }
                }
                Action::Relist { dataset, source: true, .. } => self.relist(dataset),
                Action::Relist { dataset, attempt, wait, source: false } => self.look(dataset, attempt, wait),
                Action::Resolve { dataset } => self.resolve(dataset),
                Action::Connect { wait } => self.connect(wait),
                Action::Reopen { connection } => self.connections.open(connection, 1),
                Action::Drop { channel } => self.drop_channel(channel),
                Action::StepDone { step, bytes } => self.step_done(step, bytes),
                Action::StepFailed { step, retry, error } => self.step_failed(step, retry, error),
                Action::DatasetEnded { dataset, end } => self.dataset_ended(dataset, end),
            }
        }
    }

    fn channel_event(&mut self, channel: ChannelId, event: ChannelEvent) {
        match event {
            ChannelEvent::Ready(hello) => {
                tracing::debug!("channel {channel}: helper {} is ready", hello.version);
                self.greeted.insert(channel);
                self.channel_up(channel);
            }
            ChannelEvent::Estimated { id, total } => {
                self.reporter.event(&Event::StepEstimated { step: id, total });
                self.input(Input::Estimated { step: id, total });
            }
            ChannelEvent::Sent { id, bytes, failure } => {
                if let Some(live) = self.steps.get_mut(&id) {
                    live.sent = true;
                    self.reporter.event(&Event::Progress { step: id, bytes });
                    if failure.is_none() {
                        self.reporter.event(&Event::StepSent { step: id, bytes });
                    }
                }
                // Before the channel gets its next stream, behind which a question would have to wait.
                self.resume_pending();
                self.input(Input::Sent { step: id, bytes, failure });
            }
            ChannelEvent::Beat { id } => self.input(Input::Heartbeat { step: id }),
            ChannelEvent::Received { id, failure, warning } => {
                if let Some(words) = warning {
                    self.received_but(id, &words);
                }
                // The claim was refused before: that answer is on its way here too.
                if failure.as_ref().is_some_and(|failure| failure.refusal == Refusal::Locked) {
                    self.claim_answered(channel, failure.clone());
                }
                if let Some(failure) = &failure {
                    self.kept(id, failure);
                }
                self.input(Input::Received { step: id, failure });
            }
            ChannelEvent::Closed(error) => self.closed(channel, error.to_string()),
        }
    }

    /// The bookmarks are part of the job: the run waits for them, though not for ever, and not for whoever wants to leave at once.
    async fn close_bookmarks(&mut self, signals: &mut Signals) {
        let Some(bookmarks) = self.bookmarks.take() else { return };
        let closing = bookmarks.close(BOOKMARKS);
        tokio::pin!(closing);
        let mut signalled = self.stop.map(|_| Instant::now());
        let told = loop {
            let left = signalled.map(|since| PATIENCE.saturating_sub(since.elapsed()));
            tokio::select! {
                told = &mut closing => break told,
                () = passed(left) => break vec![format!("zfs on {} has not created all bookmarks within {PATIENCE:?}", self.sender.name())],
                signal = signals.next() => {
                    if self.stop.is_some() {
                        break vec![format!("some bookmarks on {} may not have been created", self.sender.name())];
                    }
                    (self.stop, signalled) = (Some((signal, Instant::now())), Some(Instant::now()));
                }
            }
        };
        for text in told {
            self.reporter.event(&Event::Notice { dataset: None, text });
        }
    }

    fn tick(&mut self) {
        let mut moved = Vec::new();
        for (step, live) in self.steps.iter_mut().filter(|(_, live)| !live.sent) {
            let bytes = live.progress.load(Ordering::Relaxed);
            if bytes != live.reported {
                live.reported = bytes;
                moved.push(*step);
                self.reporter.event(&Event::Progress { step: *step, bytes });
            } else if live.held.load(Ordering::Relaxed) {
                // It could move.
                moved.push(*step);
            }
        }
        for step in moved {
            self.input(Input::Moved { step });
        }
        if self.watched.elapsed() >= WATCH {
            self.watched = Instant::now();
            self.input(Input::Tick);
            self.watch_pending();
        }
    }

    fn finish(mut self, started: Instant) -> Ended {
        for live in self.steps.values() {
            live.abort.store(true, Ordering::Relaxed);
        }
        // Nobody waited for their ends.
        for dataset in self.steps.values().map(|live| live.dataset).collect::<HashSet<_>>() {
            self.told(dataset, LastResult::Interrupted);
        }
        self.summary.took = started.elapsed();
        self.summary.interrupted = self.stop.is_some();
        for one in &self.ready.unread {
            self.summary.failed += 1;
            self.summary.datasets += 1;
            let headline = one.error.lines().next().unwrap_or_default().to_owned();
            self.summary.failures.push((one.dataset.clone(), headline));
        }
        self.summary.failures.sort();
        let (selected, without) = (self.summary.datasets, self.summary.without_snapshots);
        let source = &self.job.ends.source;
        let nothing = Nothing::of(&source.dataset, selected, without).filter(|_| self.stop.is_none());
        self.summary.nothing = nothing.map(|nothing| nothing.on(source.host()).to_string());
        let failed = self.summary.failed > 0 || self.taken || self.summary.nothing.is_some();
        let exit = match self.stop {
            Some((signal, _)) => Exit::Interrupted(signal),
            None if failed => Exit::Failed,
            None => Exit::InSync,
        };
        Ended { exit, summary: self.summary, negotiation: self.ready.negotiation, asides: self.asides }
    }
}

/// Ends when the time is over; never without one.
async fn passed(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn either_end_on_another_host_may_have_more_connections() {
        for (words, auto) in [
            ("push p/a q/a", false),
            ("push p/a b:q/a", true),
            ("push --connections 1 p/a b:q/a", false),
            ("push b:p/a q/a", true),
        ] {
            let cli = Cli::try_parse_from(format!("zfsync {words}").split(' ')).unwrap();
            let Command::Push(args) = cli.command else { panic!("{cli:?}") };
            assert_eq!(limits(&PushJob::new(&args).unwrap()).auto, auto, "{words}");
        }
    }
}

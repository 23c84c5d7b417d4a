//! The run itself: turns what happens into inputs of the [`Machine`] and its actions into processes, requests and events.

mod ends;
mod look;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bookmarks::Books;
use super::fleet::{Fleet, Opened};
use super::machine::{Action, Cured, End, Input, Limits, Machine};
use super::ready::Ready;
use super::signals::Signals;
use crate::config::PushJob;
use crate::error::{Exit, Signal};
use crate::name::Guid;
use crate::plan::{LastResult, Negotiation, Placement, Put, Step};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel, Stream};
use crate::remote::wire::{Brings, Receive, Reply, Request};
use crate::report::{Event, Reporter, StepId, Summary};
use crate::zfs::Zfs;
use look::Looks;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);
/// After the first signal streams get so long to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the machine is told that time goes by.
const WATCH: Duration = Duration::from_secs(1);
/// So long the last bookmarks may take.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// Ids of requests that are no steps start here.
const REQUESTS: u64 = 1 << 48;

/// What a run may do.
pub fn limits(job: &PushJob) -> Limits {
    Limits {
        channels: job.channels,
        auto: job.connections.is_none() && job.target.host.is_some(),
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
}

/// Carries the plan out until every dataset has reached its end, or a signal ends the run.
#[expect(clippy::too_many_arguments, reason = "each is a part of its own, put together in one place")]
pub async fn run(
    job: &PushJob,
    zfs: &Zfs,
    ready: Ready,
    fleet: &mut Fleet,
    from_channels: &mut UnboundedReceiver<FromChannel>,
    signals: &mut Signals,
    started: Instant,
    reporter: &mut dyn Reporter,
) -> Ended {
    let (machine, actions) = Machine::new(&ready.plan, &limits(job));
    let first = ready.first;
    let books = job.bookmarks.then(|| {
        let mut books = Books::open(zfs.clone(), job.tags());
        books.planned(&ready.plan, &ready.negotiation);
        books
    });
    let mut run = Run {
        books,
        job,
        zfs,
        ready,
        fleet,
        machine,
        reporter,
        steps: HashMap::new(),
        looks: Looks::new(),
        later: unbounded_channel(),
        greeted: HashSet::from([first]),
        claim: Claim { holder: first, request: 0 },
        began: Instant::now(),
        watched: Instant::now(),
        summary: Summary::default(),
        stop: None,
        taken: false,
    };
    run.start(first, actions);
    run.go(from_channels, signals).await;
    run.close_books().await;
    run.finish(started)
}

/// A step that runs.
struct Live {
    dataset: usize,
    to_guid: Guid,
    to: String,
    snapshots: usize,
    progress: Arc<AtomicU64>,
    abort: Arc<AtomicBool>,
    reported: u64,
    sent: bool,
    started: Instant,
}

/// The channel whose helper has the lock of the target's tree.
struct Claim {
    holder: ChannelId,
    /// The request by which another channel claims it, after the holder was lost.
    request: u64,
}

struct Run<'a> {
    job: &'a PushJob,
    zfs: &'a Zfs,
    ready: Ready,
    /// `None` without bookmarks of our own.
    books: Option<Books>,
    fleet: &'a mut Fleet,
    machine: Machine,
    reporter: &'a mut dyn Reporter,
    steps: HashMap<StepId, Live>,
    looks: Looks,
    /// Datasets to look at after a pause.
    later: (UnboundedSender<usize>, UnboundedReceiver<usize>),
    greeted: HashSet<ChannelId>,
    claim: Claim,
    /// What the machine counts from.
    began: Instant,
    watched: Instant,
    summary: Summary,
    stop: Option<(Signal, Instant)>,
    /// Another run has the target's tree now.
    taken: bool,
}

impl Run<'_> {
    /// Announces the plan, then starts with the channel that is there while others are still coming up.
    fn start(&mut self, first: ChannelId, actions: Vec<Action>) {
        self.summary.datasets = self.ready.plan.datasets.len();
        let in_sync =
            actions.iter().filter(|action| matches!(action, Action::DatasetEnded { end: End::InSync { .. }, .. }));
        self.reporter.event(&Event::Planned {
            datasets: self.summary.datasets,
            in_sync: in_sync.count(),
            steps: self.ready.plan.steps(),
        });
        self.apply(actions);
        let wanted = self.machine.wants_channels();
        let connection = self.fleet.connection_of(first);
        self.input(Input::ChannelUp { channel: first, connection });
        let connections = self.job.connections.unwrap_or(1).min(wanted);
        if connections > 1 {
            let each = wanted.div_ceil(connections);
            self.fleet.open(connection, each.saturating_sub(1));
            for _ in 1..connections {
                self.fleet.connect(each, Duration::ZERO);
            }
        } else {
            self.fleet.open(connection, wanted.saturating_sub(1));
        }
    }

    async fn go(&mut self, from_channels: &mut UnboundedReceiver<FromChannel>, signals: &mut Signals) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.machine.is_done() {
            tokio::select! {
                Some(FromChannel { channel, event }) = from_channels.recv() => self.channel_event(channel, event).await,
                opened = self.fleet.opened() => self.opened(opened),
                Some(dataset) = self.later.1.recv() => self.ask_listing(dataset),
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
                Action::Start { channel, step, dataset, send, first } => {
                    self.start_step(channel, step, dataset, &send, first);
                }
                Action::Abort(step) => {
                    if let Some(live) = self.steps.get(&step) {
                        live.abort.store(true, Ordering::Relaxed);
                    }
                }
                Action::Look { dataset, attempt, wait } => self.look(dataset, attempt, wait),
                Action::Cure { dataset } => self.cure(dataset),
                Action::Connect { wait } => self.connect(wait),
                Action::Reopen { connection } => self.fleet.open(connection, 1),
                Action::Drop { channel } => self.drop_channel(channel),
                Action::StepDone { step, bytes } => self.step_done(step, bytes),
                Action::StepFailed { step, retry, error } => self.step_failed(step, retry, error),
                Action::DatasetEnded { dataset, end } => self.dataset_ended(dataset, end),
            }
        }
    }

    async fn channel_event(&mut self, channel: ChannelId, event: ChannelEvent) {
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
                self.input(Input::Sent { step: id, bytes, failure });
            }
            ChannelEvent::Reply(reply) => self.reply(reply).await,
            ChannelEvent::Closed(error) => self.closed(channel, error.to_string()),
        }
    }

    async fn reply(&mut self, reply: Reply) {
        match reply {
            Reply::Done { id, failure, warning } => {
                if self.claim.request == id {
                    return self.claimed(failure);
                }
                if self.looks.has(id) {
                    return self.look_done(id, failure, warning).await;
                }
                if let Some(words) = warning {
                    self.received_but(id, &words);
                }
                self.input(Input::Received { step: id, failure });
            }
            Reply::Beat { id } => self.input(Input::Moved { step: id }),
            Reply::Listed { id, dataset, facts, snapshots } => self.looks.listed(id, dataset, facts, snapshots),
            Reply::Dated { id, dates } => self.dated(id, &dates),
            Reply::Found { .. }
            | Reply::Probed { .. }
            | Reply::Bases { .. }
            | Reply::Thinned { .. }
            | Reply::Names { .. }
            | Reply::Notes { .. } => {}
        }
    }

    /// Greeting and handle come by different ways: the channel can be used when both are there.
    fn channel_up(&mut self, channel: ChannelId) {
        if !self.greeted.contains(&channel) || self.fleet.channel(channel).is_none() {
            return;
        }
        let connection = self.fleet.connection_of(channel);
        self.input(Input::ChannelUp { channel, connection });
        if self.claim.holder == 0 {
            self.claim_on(channel);
        }
        self.resume_looks();
    }

    /// The tree is claimed anew over this channel; the helper that had it is gone or about to go.
    fn claim_on(&mut self, channel: ChannelId) {
        let Some(handle) = self.fleet.channel(channel) else { return };
        let id = self.looks.number();
        let (dataset, owner) = (self.job.target.dataset.clone(), super::ask::owner(self.job));
        handle.request(Request::Lock { id, dataset, run: self.job.run, owner });
        self.claim = Claim { holder: channel, request: id };
    }

    /// Somebody else took the tree while the connection was lost: what still runs may run to its end.
    fn claimed(&mut self, failure: Option<crate::remote::wire::Failure>) {
        let Some(failure) = failure else { return };
        let text = format!("another run has taken over the target while the connection was lost: {}", failure.words);
        self.reporter.event(&Event::Notice { dataset: None, text });
        self.taken = true;
        self.input(Input::Stop);
    }

    /// The data arrived, and a property could not be set: a delegated user may receive without the right to keep the
    /// result unmounted.
    fn received_but(&mut self, step: StepId, words: &str) {
        let Some(live) = self.steps.get(&step) else { return };
        let dataset = Some(self.ready.plan.datasets[live.dataset].source.to_string());
        self.reporter.event(&Event::Notice { dataset, text: format!("received, but zfs on the target says: {words}") });
    }

    fn closed(&mut self, channel: ChannelId, why: String) {
        tracing::info!("channel {channel}: {why}");
        let was_up = self.greeted.remove(&channel) && self.fleet.channel(channel).is_some();
        self.lose_looks(channel, &why);
        if was_up {
            self.fleet.remove(channel);
            self.lost_claim(channel);
            self.input(Input::ChannelDown { channel, why });
        } else {
            self.never_up(channel, why);
        }
    }

    fn lost_claim(&mut self, channel: ChannelId) {
        if self.claim.holder != channel {
            return;
        }
        self.claim = Claim { holder: 0, request: 0 };
        let other = self.greeted.iter().copied().filter(|id| self.fleet.channel(*id).is_some()).min();
        if let Some(other) = other {
            self.claim_on(other);
        }
    }

    /// A channel that doesn't answer: what it may still say counts no more.
    fn drop_channel(&mut self, channel: ChannelId) {
        tracing::warn!("channel {channel} is given up: it doesn't answer");
        self.greeted.remove(&channel);
        self.lose_looks(channel, "no answer");
        self.fleet.remove(channel);
        self.lost_claim(channel);
    }

    /// A session that the host refused: the run goes on with what it has. Told once for each connection, when its last
    /// channel is gone.
    fn never_up(&mut self, channel: ChannelId, why: String) {
        let connection = self.fleet.connection_of(channel);
        if self.fleet.remove(channel) && !self.fleet.carries_any(connection) {
            self.input(Input::ConnectFailed { connection, why, fatal: false });
        }
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Opened::Connection { connection, channels, master: Ok(master) } => {
                self.fleet.connected(connection, channels, master);
            }
            Opened::Connection { connection, master: Err(error), .. } => {
                tracing::info!("no further connection: {error}");
                let (why, fatal) = (error.to_string(), error.fatal());
                self.input(Input::ConnectFailed { connection, why, fatal });
            }
            Opened::Channel { channel, opened: Ok(handle) } => {
                self.fleet.add(channel, handle);
                self.channel_up(channel);
            }
            Opened::Channel { channel, opened: Err(error) } => {
                tracing::info!("no further channel: {error}");
                self.never_up(channel, error.to_string());
            }
        }
    }

    fn connect(&mut self, wait: Duration) {
        let channels = self.job.channels.div_ceil(self.machine.connections() + 1);
        self.fleet.connect(channels, wait);
    }

    fn start_step(&mut self, channel: ChannelId, step: StepId, dataset: usize, send: &Step, first: bool) {
        let planned = &self.ready.plan.datasets[dataset];
        let new = first && planned.placement != Placement::Existing;
        let receive = Receive {
            dataset: planned.target.clone(),
            ancestors: if new { planned.ancestors.clone() } else { Vec::new() },
            top_ancestor: planned.top_ancestor.clone().filter(|_| new),
            kind: planned.kind,
            brings: if send.intermediates { Brings::Snapshots } else { Brings::Snapshot(send.to.clone()) },
            create: first && planned.placement == Placement::Create,
            top: new && planned.top,
            into_empty: first && planned.placement == Placement::IntoEmpty,
            overwrite: first && planned.placement == Placement::Overwrite,
            volmode: self.job.volmode,
            unencrypted: first && planned.placement == Placement::Create && planned.unencrypted,
            resumable: self.job.resume,
            put: (self.ready.negotiation.source(dataset))
                .and_then(|source| source.snapshots.newest())
                .map(|newest| Put::new(self.job.mirror.by, newest.guid)),
        };
        let command = self.ready.send(self.zfs, planned, send, self.job);
        self.reporter.event(&Event::StepStarted {
            step,
            dataset: planned.source.to_string(),
            from: send.base.as_ref().map(crate::plan::Base::marked),
            resumed: send.resume.is_some(),
            to: send.to.to_string(),
            snapshots: send.snapshots,
        });
        let (progress, abort) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        if let Some(books) = &mut self.books {
            books.step(dataset, planned, &self.ready.negotiation, send);
        }
        let live = Live {
            dataset,
            to_guid: send.to_guid,
            to: send.to.to_string(),
            snapshots: send.snapshots,
            progress: progress.clone(),
            abort: abort.clone(),
            reported: 0,
            sent: false,
            started: Instant::now(),
        };
        self.steps.insert(step, live);
        match self.fleet.channel(channel) {
            Some(channel) => channel.stream(Stream { id: step, receive, send: command, progress, abort }),
            // Never silently: a step that nobody carries would be waited for without end.
            None => self.input(Input::ChannelDown { channel, why: "the channel is closed".into() }),
        }
    }

    fn step_done(&mut self, step: StepId, bytes: u64) {
        let Some(live) = self.steps.remove(&step) else { return };
        self.summary.snapshots += live.snapshots;
        self.summary.bytes += bytes;
        if let Some(books) = &mut self.books {
            books.received(live.dataset, live.to_guid);
        }
        self.reporter.event(&Event::StepDone {
            step,
            dataset: self.ready.plan.datasets[live.dataset].source.to_string(),
            to: live.to,
            snapshots: live.snapshots,
            bytes,
            took: live.started.elapsed(),
        });
    }

    fn step_failed(&mut self, step: StepId, retry: Option<Duration>, error: String) {
        let Some(live) = self.steps.remove(&step) else { return };
        let dataset = self.ready.plan.datasets[live.dataset].source.to_string();
        let (retry, wait) = (retry.is_some(), retry.unwrap_or_default());
        self.reporter.event(&Event::StepFailed { step, dataset, retry, wait, error });
    }

    /// The bookmarks are part of the job: the run waits for them, though not for ever.
    async fn close_books(&mut self) {
        let Some(books) = self.books.take() else { return };
        let patience = if self.stop.is_some() { PATIENCE } else { BOOKMARKS };
        for text in books.close(patience).await {
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
            }
        }
        for step in moved {
            self.input(Input::Moved { step });
        }
        if self.watched.elapsed() >= WATCH {
            self.watched = Instant::now();
            self.input(Input::Tick);
            self.watch_looks();
        }
    }

    fn finish(mut self, started: Instant) -> Ended {
        for live in self.steps.values() {
            live.abort.store(true, Ordering::Relaxed);
        }
        // Nobody waited for their ends.
        for dataset in self.steps.values().map(|live| live.dataset).collect::<HashSet<_>>() {
            self.told(dataset, LastResult::Interrupted, None);
        }
        self.summary.took = started.elapsed();
        self.summary.interrupted = self.stop.is_some();
        self.summary.failures.sort();
        let failed = self.summary.failed > 0 || self.taken;
        let exit = match self.stop {
            Some((signal, _)) => Exit::Interrupted(signal),
            None if failed => Exit::Failed,
            None => Exit::InSync,
        };
        Ended { exit, summary: self.summary, negotiation: self.ready.negotiation }
    }
}

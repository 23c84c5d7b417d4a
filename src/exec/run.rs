//! The run itself: turns what happens into inputs of the [`Machine`] and its actions into processes, requests and events.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ask::Listings;
use super::fleet::{Fleet, Opened};
use super::machine::{Action, End, Input, Machine};
use super::ready::Ready;
use super::resume::{self, Judged};
use super::signals::Signals;
use super::source;
use crate::config::PushJob;
use crate::error::{Exit, Signal};
use crate::plan::{Attempt, Placement, PlannedDataset, Step, TargetDataset};
use crate::remote::client::{ChannelEvent, ChannelId, FromChannel, Stream};
use crate::remote::wire::{Failure, Receive, Reply, Request};
use crate::report::{Event, Reporter, StepId, Summary};
use crate::zfs::{Refusal, Zfs};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);
/// After the first signal streams get so long to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// After a lost connection, or when the target is busy, a look waits so long.
const SETTLE: Duration = Duration::from_secs(2);
/// Ids of requests that are no steps start here.
const REQUESTS: u64 = 1 << 48;

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
) -> Exit {
    let auto = job.connections.is_none() && job.target.host.is_some();
    let (machine, actions) = Machine::new(&ready.plan, job.channels, auto);
    let first = ready.first;
    let mut run = Run {
        job,
        zfs,
        ready,
        fleet,
        machine,
        reporter,
        steps: HashMap::new(),
        looks: HashMap::new(),
        waiting: Vec::new(),
        later: unbounded_channel(),
        greeted: HashSet::from([first]),
        requests: REQUESTS,
        summary: Summary::default(),
        stop: None,
    };
    run.start(first, actions);
    run.go(from_channels, signals).await;
    run.finish(started)
}

/// A step that runs.
struct Live {
    dataset: usize,
    to: String,
    snapshots: usize,
    progress: Arc<AtomicU64>,
    abort: Arc<AtomicBool>,
    reported: u64,
    sent: bool,
    started: Instant,
}

/// A dataset whose target is being listed.
struct Look {
    dataset: usize,
    channel: ChannelId,
    listings: Listings,
    /// It is not a listing, but the clearing before one.
    clearing: bool,
}

struct Run<'a> {
    job: &'a PushJob,
    zfs: &'a Zfs,
    ready: Ready,
    fleet: &'a mut Fleet,
    machine: Machine,
    reporter: &'a mut dyn Reporter,
    steps: HashMap<StepId, Live>,
    looks: HashMap<u64, Look>,
    /// Datasets to look at as soon as there is a channel.
    waiting: Vec<usize>,
    /// Datasets to look at after a pause.
    later: (UnboundedSender<usize>, UnboundedReceiver<usize>),
    greeted: HashSet<ChannelId>,
    requests: u64,
    summary: Summary,
    stop: Option<(Signal, Instant)>,
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
        let actions = self.machine.handle(input);
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
                Action::Look { dataset, attempt } => self.look(dataset, attempt),
                Action::Connect { losses } => self.connect(losses),
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
            Reply::Listed { id, dataset, facts, snapshots } => {
                if let Some(look) = self.looks.get_mut(&id) {
                    look.listings.add(dataset, facts, snapshots);
                }
            }
            Reply::Done { id, failure, warning } => {
                if let Some(words) = warning {
                    self.received_but(id, &words);
                }
                match self.looks.remove(&id) {
                    Some(look) => self.looked(look, failure).await,
                    None => self.input(Input::Received { step: id, failure }),
                }
            }
            Reply::Found { .. } | Reply::Probed { .. } => {}
        }
    }

    /// Greeting and handle come by different ways: the channel can be used when both are there.
    fn channel_up(&mut self, channel: ChannelId) {
        if !self.greeted.contains(&channel) || self.fleet.channel(channel).is_none() {
            return;
        }
        let connection = self.fleet.connection_of(channel);
        self.input(Input::ChannelUp { channel, connection });
        for dataset in std::mem::take(&mut self.waiting) {
            self.ask_listing(dataset);
        }
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
        let lost: Vec<u64> = self.looks.iter().filter(|(_, look)| look.channel == channel).map(|(id, _)| *id).collect();
        let was_up = self.greeted.remove(&channel) && self.fleet.channel(channel).is_some();
        for id in lost {
            if let Some(look) = self.looks.remove(&id) {
                self.ask_listing(look.dataset);
            }
        }
        if was_up {
            self.fleet.remove(channel);
            self.input(Input::ChannelDown { channel, why });
        } else {
            self.never_up(channel, why);
        }
    }

    /// A session that the host refused: the run goes on with what it has. Told once for each connection, when its last
    /// channel is gone.
    fn never_up(&mut self, channel: ChannelId, why: String) {
        let connection = self.fleet.connection_of(channel);
        if self.fleet.remove(channel) && !self.fleet.carries_any(connection) {
            self.input(Input::ConnectFailed { why });
        }
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Opened::Connection { connection, channels, master: Ok(master) } => {
                self.fleet.connected(connection, channels, master);
            }
            Opened::Connection { master: Err(error), .. } => {
                tracing::info!("no further connection: {error}");
                self.input(Input::ConnectFailed { why: error.to_string() });
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

    fn connect(&mut self, losses: u32) {
        let channels = self.job.channels.div_ceil(self.machine.connections() + 1);
        let pause = if losses == 0 { Duration::ZERO } else { Duration::from_millis(250) * 2_u32.pow(losses.min(8)) };
        self.fleet.connect(channels, pause);
    }

    fn start_step(&mut self, channel: ChannelId, step: StepId, dataset: usize, send: &Step, first: bool) {
        let planned = &self.ready.plan.datasets[dataset];
        let new = first && planned.placement != Placement::Existing;
        let receive = Receive {
            dataset: planned.target.clone(),
            ancestors: if new { planned.ancestors.clone() } else { Vec::new() },
            top_ancestor: planned.top_ancestor.clone().filter(|_| new),
            kind: planned.kind,
            create: first && planned.placement == Placement::Create,
            top: new && planned.top,
            into_empty: first && planned.placement == Placement::IntoEmpty,
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
        let live = Live {
            dataset,
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

    fn look(&mut self, dataset: usize, attempt: Option<Attempt>) {
        self.ready.negotiation.look_again(dataset, attempt);
        if attempt.is_none_or(|attempt| attempt.refusal == Refusal::Busy) {
            // The receive that was cut may still be storing what it got.
            let later = self.later.0.clone();
            tokio::spawn(async move {
                tokio::time::sleep(SETTLE).await;
                let _ = later.send(dataset);
            });
        } else {
            self.ask_listing(dataset);
        }
    }

    fn ask_listing(&mut self, dataset: usize) {
        let greeted = self.greeted.iter().copied().filter_map(|id| self.fleet.channel(id).map(|channel| (id, channel)));
        let Some((id, channel)) = greeted.min_by_key(|(id, _)| *id) else {
            self.waiting.push(dataset);
            return;
        };
        self.requests += 1;
        let datasets = vec![self.ready.plan.datasets[dataset].target.clone()];
        channel.request(Request::List { id: self.requests, datasets });
        self.looks.insert(self.requests, Look { dataset, channel: id, listings: Listings::default(), clearing: false });
    }

    /// A dataset's target is listed: plans it anew.
    async fn looked(&mut self, look: Look, failure: Option<Failure>) {
        let Look { dataset, channel, listings, clearing } = look;
        let planned = match failure {
            Some(failure) if clearing => Err(format!("clearing the rest of a cut receive failed: {}", failure.words)),
            Some(failure) => Err(format!("listing the target failed: {}", failure.words)),
            None if clearing => return self.ask_listing(dataset),
            None => {
                let listed = listings.finish().remove(&self.ready.plan.datasets[dataset].target);
                let (mut target, token) = listed.map_or((None, None), |(target, token)| (Some(target), token));
                if let (Some(target), Some(token)) = (&mut target, token) {
                    match resume::judge(self.zfs, &self.ready.plan.datasets[dataset].source, token, self.job.decrypt)
                        .await
                    {
                        Judged::Resumable(point) => target.resume = Some(point),
                        Judged::Useless(why) => return self.clear(dataset, channel, &why),
                    }
                }
                self.replan(dataset, target).await
            }
        };
        if let Ok(planned) = &planned {
            self.ready.plan.datasets[dataset] = (**planned).clone();
        }
        self.input(Input::Replanned { dataset, planned });
    }

    /// Has the rest of a cut receive dropped; a new listing follows.
    fn clear(&mut self, dataset: usize, on: ChannelId, why: &str) {
        let planned = &self.ready.plan.datasets[dataset];
        self.reporter.event(&resume::cleared(&planned.source, why));
        let Some(channel) = self.fleet.channel(on) else { return self.ask_listing(dataset) };
        self.requests += 1;
        channel.request(Request::Clear { id: self.requests, dataset: planned.target.clone() });
        let look = Look { dataset, channel: on, listings: Listings::default(), clearing: true };
        self.looks.insert(self.requests, look);
    }

    async fn replan(&mut self, dataset: usize, target: Option<TargetDataset>) -> Result<Box<PlannedDataset>, String> {
        self.ready.negotiation.looked(dataset, target);
        let source = self.ready.plan.datasets[dataset].source.clone();
        match source::facts(self.zfs.clone(), vec![source]).await {
            Ok(facts) => self.ready.negotiation.facts(&facts),
            // The plan does without; the receive will tell.
            Err(error) => tracing::info!("{error}"),
        }
        self.ready.negotiation.replan(dataset).map(Box::new).ok_or_else(|| "it is not in the plan".to_owned())
    }

    fn step_done(&mut self, step: StepId, bytes: u64) {
        let Some(live) = self.steps.remove(&step) else { return };
        self.summary.snapshots += live.snapshots;
        self.summary.bytes += bytes;
        self.reporter.event(&Event::StepDone {
            step,
            dataset: self.ready.plan.datasets[live.dataset].source.to_string(),
            to: live.to,
            snapshots: live.snapshots,
            bytes,
            took: live.started.elapsed(),
        });
    }

    fn step_failed(&mut self, step: StepId, retry: bool, error: String) {
        let Some(live) = self.steps.remove(&step) else { return };
        let dataset = self.ready.plan.datasets[live.dataset].source.to_string();
        self.reporter.event(&Event::StepFailed { step, dataset, retry, error });
    }

    fn dataset_ended(&mut self, dataset: usize, end: End) {
        let planned = &self.ready.plan.datasets[dataset];
        let (source, target) = (planned.source.to_string(), planned.target.to_string());
        let (kind, error) = match end {
            End::InSync { updated } => {
                self.summary.in_sync += 1;
                self.summary.updated += usize::from(updated);
                return;
            }
            End::NoSnapshots => {
                self.summary.without_snapshots += 1;
                let text = "it has no snapshots, so there is nothing to send".into();
                return self.reporter.event(&Event::Notice { dataset: Some(source), text });
            }
            End::Interrupted => return,
            End::Conflict(error) => ("conflict", error),
            End::Failed(error) => ("failed", error),
            End::Skipped(error) => ("skipped", error),
        };
        self.summary.failed += 1;
        let headline = error.lines().next().unwrap_or_default().to_owned();
        self.summary.failures.push((source.clone(), headline));
        self.reporter.event(&Event::DatasetFailed { dataset: source, target, kind, error });
    }

    fn tick(&mut self) {
        for (step, live) in self.steps.iter_mut().filter(|(_, live)| !live.sent) {
            let bytes = live.progress.load(Ordering::Relaxed);
            if bytes != live.reported {
                live.reported = bytes;
                self.reporter.event(&Event::Progress { step: *step, bytes });
            }
        }
    }

    fn finish(mut self, started: Instant) -> Exit {
        for live in self.steps.values() {
            live.abort.store(true, Ordering::Relaxed);
        }
        self.summary.took = started.elapsed();
        self.summary.interrupted = self.stop.is_some();
        self.summary.failures.sort();
        let failed = self.summary.failed > 0;
        self.reporter.event(&Event::Finished(self.summary));
        match self.stop {
            Some((signal, _)) => Exit::Interrupted(signal),
            None if failed => Exit::Failed,
            None => Exit::InSync,
        }
    }
}

//! Decides what happens next: takes what happened, gives what to do. Synchronous and without effects, so that every
//! decision under failure can be tested without a process.

mod event;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use event::advice;
pub use event::{Action, ConnectionId, End, Input};

use crate::plan::{Attempt, Plan, PlannedDataset, Step, Verdict};
use crate::remote::client::ChannelId;
use crate::remote::wire::Failure;
use crate::report::StepId;
use crate::zfs::Refusal;

/// So often a dataset is looked at again after a refusal or a lost connection before it is given up.
const LOOKS: u32 = 3;
/// So often in a run a lost connection is replaced.
const RECONNECTS: u32 = 5;
/// A connection more is worth its cost when so many bytes are still to come over each of those that are there.
const BYTES_PER_CONNECTION: u64 = 256 * 1024 * 1024;
/// More connections than that are only made when the user asks for them.
const AUTO_CONNECTIONS: usize = 4;

#[derive(Debug)]
enum State {
    /// Waits for a channel, or for its parent.
    Waiting,
    Running,
    Looking,
    Ended,
}

#[derive(Debug)]
struct Dataset {
    steps: Vec<Step>,
    next: usize,
    created: bool,
    updated: bool,
    after: Option<usize>,
    state: State,
    looks: u32,
    children: Vec<usize>,
}

#[derive(Debug)]
struct Running {
    dataset: usize,
    channel: ChannelId,
    sent: Option<(u64, Option<String>)>,
    received: Option<Result<(), Failure>>,
    estimate: u64,
    aborted: bool,
}

#[derive(Debug)]
struct Channel {
    connection: ConnectionId,
    sending: Option<StepId>,
    /// Sent and not yet answered.
    settling: BTreeSet<StepId>,
}

/// The state of a run.
#[derive(Debug)]
pub struct Machine {
    datasets: Vec<Dataset>,
    ready: BTreeSet<usize>,
    channels: BTreeMap<ChannelId, Channel>,
    running: BTreeMap<StepId, Running>,
    next_step: StepId,
    open: usize,
    limit: usize,
    /// How many connections may be made without being asked for; 0 where there are none (a target on this machine).
    auto_connections: usize,
    connecting: bool,
    reconnects: u32,
    stopped: bool,
}

impl Machine {
    /// Starts with a plan; `limit` is the number of streams at the same time, `auto` whether more connections may be
    /// made when the data deserves them.
    #[must_use]
    pub fn new(plan: &Plan, limit: usize, auto: bool) -> (Self, Vec<Action>) {
        let mut machine = Self {
            datasets: plan.datasets.iter().map(Dataset::new).collect(),
            ready: BTreeSet::new(),
            channels: BTreeMap::new(),
            running: BTreeMap::new(),
            next_step: 1,
            open: plan.datasets.len(),
            limit,
            auto_connections: if auto { limit.min(AUTO_CONNECTIONS) } else { 0 },
            connecting: false,
            reconnects: 0,
            stopped: false,
        };
        for (index, planned) in plan.datasets.iter().enumerate() {
            if let Some(parent) = planned.after {
                machine.datasets[parent].children.push(index);
            }
        }
        let mut actions = Vec::new();
        for (index, planned) in plan.datasets.iter().enumerate() {
            machine.settle(index, &planned.verdict, &mut actions);
        }
        (machine, actions)
    }

    /// Whether every dataset has reached its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open == 0
    }

    /// Datasets that wait for a channel now or will: how many streams could run at the same time.
    #[must_use]
    pub fn wants_channels(&self) -> usize {
        let busy = self.datasets.iter().filter(|dataset| !matches!(dataset.state, State::Ended)).count();
        busy.min(self.limit)
    }

    /// Takes what happened, gives what to do.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::ChannelUp { channel, connection } => {
                self.connecting &= self.channels.values().any(|other| other.connection == connection);
                self.channels.insert(channel, Channel { connection, sending: None, settling: BTreeSet::new() });
            }
            Input::ChannelDown { channel, why } => self.channel_down(channel, &why, &mut actions),
            Input::ConnectFailed { why } => {
                if std::mem::take(&mut self.connecting) {
                    // One more only for speed is not worth another try.
                    self.auto_connections = self.auto_connections.min(self.connections());
                }
                self.reconnect(&why, &mut actions);
            }
            Input::Estimated { step, total } => self.estimated(step, total, &mut actions),
            Input::Sent { step, bytes, failure } => self.sent(step, bytes, failure, &mut actions),
            Input::Received { step, failure } => self.received(step, failure, &mut actions),
            Input::Replanned { dataset, planned } => self.replanned(dataset, planned, &mut actions),
            Input::Stop => self.stop(&mut actions),
        }
        self.assign(&mut actions);
        actions
    }

    /// Takes a verdict, first or new.
    fn settle(&mut self, index: usize, verdict: &Verdict, actions: &mut Vec<Action>) {
        if matches!(self.datasets[index].state, State::Ended) {
            return;
        }
        let updated = self.datasets[index].updated;
        match verdict {
            Verdict::NoSnapshots => self.end(index, End::NoSnapshots, actions),
            Verdict::InSync => self.end(index, End::InSync { updated }, actions),
            Verdict::Conflict(conflict) => self.end(index, End::Conflict(conflict.to_string()), actions),
            Verdict::Send(steps) | Verdict::FillEmpty(steps) => {
                let dataset = &mut self.datasets[index];
                dataset.steps.clone_from(steps);
                dataset.next = 0;
                dataset.state = State::Waiting;
                if steps.is_empty() {
                    self.end(index, End::InSync { updated }, actions);
                } else if self.datasets[index].after.is_none() {
                    self.ready.insert(index);
                }
            }
        }
    }

    fn end(&mut self, index: usize, end: End, actions: &mut Vec<Action>) {
        if matches!(self.datasets[index].state, State::Ended) {
            return;
        }
        self.datasets[index].state = State::Ended;
        self.ready.remove(&index);
        self.open -= 1;
        let children = std::mem::take(&mut self.datasets[index].children);
        let created = self.datasets[index].created;
        let interrupted = end == End::Interrupted;
        actions.push(Action::DatasetEnded { dataset: index, end });
        for child in children {
            if created {
                self.release(child);
            } else if interrupted {
                self.end(child, End::Interrupted, actions);
            } else {
                self.end(
                    child,
                    End::Skipped("the dataset above it could not be created on the target".into()),
                    actions,
                );
            }
        }
    }

    fn release_children(&mut self, index: usize) {
        for child in std::mem::take(&mut self.datasets[index].children) {
            self.release(child);
        }
    }

    /// The parent is there: the child needn't wait any more.
    fn release(&mut self, child: usize) {
        self.datasets[child].after = None;
        if matches!(self.datasets[child].state, State::Waiting) {
            self.ready.insert(child);
        }
    }

    /// Hands ready steps to channels, the least busy connection first.
    fn assign(&mut self, actions: &mut Vec<Action>) {
        while !self.stopped {
            let sending = self.channels.values().filter(|channel| channel.sending.is_some()).count();
            if sending >= self.limit {
                return;
            }
            let Some(&index) = self.ready.first() else { return };
            let Some(channel) = self.idle_channel() else { return };
            self.ready.remove(&index);
            let step = self.next_step;
            self.next_step += 1;
            let dataset = &mut self.datasets[index];
            dataset.state = State::Running;
            let send = dataset.steps[dataset.next].clone();
            let first = !dataset.created && dataset.next == 0;
            if let Some(channel) = self.channels.get_mut(&channel) {
                channel.sending = Some(step);
            }
            let running = Running { dataset: index, channel, sent: None, received: None, estimate: 0, aborted: false };
            self.running.insert(step, running);
            actions.push(Action::Start { channel, step, dataset: index, send, first });
        }
    }

    /// A channel that isn't sending; one that has nothing settling either is better, and so is an idle connection.
    fn idle_channel(&self) -> Option<ChannelId> {
        let load = |connection| {
            self.channels
                .values()
                .filter(|channel| channel.connection == connection && channel.sending.is_some())
                .count()
        };
        let idle = self.channels.iter().filter(|(_, channel)| channel.sending.is_none() && channel.settling.len() < 2);
        idle.min_by_key(|(id, channel)| (channel.settling.len(), load(channel.connection), **id)).map(|(id, _)| *id)
    }

    fn sent(&mut self, step: StepId, bytes: u64, failure: Option<String>, actions: &mut Vec<Action>) {
        let Some(running) = self.running.get_mut(&step) else { return };
        running.sent = Some((bytes, failure));
        if let Some(channel) = self.channels.get_mut(&running.channel) {
            channel.sending = None;
            channel.settling.insert(step);
        }
        self.conclude(step, actions);
    }

    fn received(&mut self, step: StepId, failure: Option<Failure>, actions: &mut Vec<Action>) {
        let Some(running) = self.running.get_mut(&step) else { return };
        if failure.is_some() && running.sent.is_none() && !running.aborted {
            running.aborted = true;
            actions.push(Action::Abort(step));
        }
        running.received = Some(failure.map_or(Ok(()), Err));
        self.conclude(step, actions);
    }

    /// A step is over when both ends have spoken.
    fn conclude(&mut self, step: StepId, actions: &mut Vec<Action>) {
        let Some(running) = self.running.get(&step) else { return };
        if running.sent.is_none() || running.received.is_none() {
            return;
        }
        let Some(Running {
            dataset,
            channel,
            sent: Some((bytes, send_failure)),
            received: Some(received),
            aborted,
            ..
        }) = self.running.remove(&step)
        else {
            return;
        };
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.settling.remove(&step);
        }
        match (send_failure, received) {
            (None, Ok(())) => self.step_done(dataset, step, bytes, actions),
            // Who spoke first doesn't tell whose fault it was: the receiver's complaint can be the echo of our broken stream.
            (Some(words), Err(Failure { refusal: Refusal::Stream, words: theirs })) if aborted => {
                self.step_failed(dataset, step, format!("{theirs} (on this side: {words})"), actions);
            }
            (_, Err(failure)) if aborted => self.step_refused(dataset, step, &failure, actions),
            // Our own stream broke off; what the receiver says then is only the echo.
            (Some(words), _) => self.step_failed(dataset, step, words, actions),
            (None, Err(failure)) => self.step_refused(dataset, step, &failure, actions),
        }
    }

    fn step_done(&mut self, index: usize, step: StepId, bytes: u64, actions: &mut Vec<Action>) {
        actions.push(Action::StepDone { step, bytes });
        let dataset = &mut self.datasets[index];
        (dataset.created, dataset.updated, dataset.state) = (true, true, State::Waiting);
        dataset.next += 1;
        let through = dataset.next >= dataset.steps.len();
        self.release_children(index);
        self.reconnects = 0;
        if through {
            self.end(index, End::InSync { updated: true }, actions);
        } else if self.stopped {
            self.end(index, End::Interrupted, actions);
        } else {
            self.ready.insert(index);
        }
    }

    fn step_failed(&mut self, index: usize, step: StepId, words: String, actions: &mut Vec<Action>) {
        if self.stopped {
            return self.end(index, End::Interrupted, actions);
        }
        actions.push(Action::StepFailed { step, retry: false, error: words.clone() });
        self.end(index, End::Failed(words), actions);
    }

    /// The receiver refused: where a closer look can help, one is taken.
    fn step_refused(&mut self, index: usize, step: StepId, failure: &Failure, actions: &mut Vec<Action>) {
        if self.stopped {
            return self.end(index, End::Interrupted, actions);
        }
        let dataset = &mut self.datasets[index];
        let base = dataset.steps[dataset.next].base.as_ref().map(|base| base.guid);
        let worth = matches!(
            failure.refusal,
            Refusal::Modified | Refusal::NotNewest | Refusal::Exists | Refusal::Partial | Refusal::Busy
        ) || (failure.refusal == Refusal::Missing && base.is_some());
        let retry = worth && dataset.looks < LOOKS;
        actions.push(Action::StepFailed { step, retry, error: failure.words.clone() });
        if retry {
            dataset.looks += 1;
            dataset.state = State::Looking;
            actions.push(Action::Look { dataset: index, attempt: Some(Attempt { base, refusal: failure.refusal }) });
        } else {
            let advice = advice(failure.refusal);
            self.end(index, End::Failed(format!("{}{advice}", failure.words)), actions);
        }
    }

    fn replanned(&mut self, index: usize, planned: Result<Box<PlannedDataset>, String>, actions: &mut Vec<Action>) {
        // It may have been given up while it was looked at.
        if !self.datasets.get(index).is_some_and(|dataset| matches!(dataset.state, State::Looking)) {
            return;
        }
        match planned {
            Ok(planned) => {
                self.datasets[index].created = planned.is_there();
                if planned.is_there() {
                    self.release_children(index);
                }
                self.settle(index, &planned.verdict, actions);
            }
            Err(why) => self.end(index, End::Failed(why), actions),
        }
    }

    fn estimated(&mut self, step: StepId, total: u64, actions: &mut Vec<Action>) {
        if let Some(running) = self.running.get_mut(&step) {
            running.estimate = total;
        }
        let coming: u64 = self.running.values().filter(|step| step.sent.is_none()).map(|step| step.estimate).sum();
        let connections = self.connections();
        let streams = self.running.values().filter(|step| step.sent.is_none()).count() + self.ready.len();
        let deserves = coming / BYTES_PER_CONNECTION >= connections as u64 && streams > connections;
        if deserves && !self.stopped && connections < self.auto_connections && !self.connecting {
            self.connecting = true;
            actions.push(Action::Connect { losses: 0 });
        }
    }

    /// How many connections have a channel that is ready.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.channels.values().map(|channel| channel.connection).collect::<BTreeSet<_>>().len()
    }

    /// Everything that the channel carried is looked at again: what arrived of it only the target knows.
    fn channel_down(&mut self, channel: ChannelId, why: &str, actions: &mut Vec<Action>) {
        self.channels.remove(&channel);
        let lost: Vec<StepId> =
            self.running.iter().filter(|(_, running)| running.channel == channel).map(|(step, _)| *step).collect();
        for step in lost {
            let Some(running) = self.running.remove(&step) else { continue };
            let index = running.dataset;
            if self.stopped {
                self.end(index, End::Interrupted, actions);
                continue;
            }
            let dataset = &mut self.datasets[index];
            let retry = dataset.looks < LOOKS;
            actions.push(Action::StepFailed { step, retry, error: why.to_owned() });
            if retry {
                dataset.looks += 1;
                dataset.state = State::Looking;
                actions.push(Action::Look { dataset: index, attempt: None });
            } else {
                self.end(index, End::Failed(why.to_owned()), actions);
            }
        }
        self.reconnect(why, actions);
    }

    /// With no channel left a new connection is made, a few times; then the rest fails.
    fn reconnect(&mut self, why: &str, actions: &mut Vec<Action>) {
        if !self.channels.is_empty() || self.is_done() || self.connecting || self.stopped {
            return;
        }
        if self.reconnects < RECONNECTS {
            self.reconnects += 1;
            self.connecting = true;
            actions.push(Action::Connect { losses: self.reconnects });
            return;
        }
        for index in 0..self.datasets.len() {
            self.end(index, End::Failed(format!("no connection left: {why}")), actions);
        }
    }

    /// Streams are cut, nothing new starts; what was received stays.
    fn stop(&mut self, actions: &mut Vec<Action>) {
        self.stopped = true;
        for (step, running) in &mut self.running {
            if running.sent.is_none() && !running.aborted {
                running.aborted = true;
                actions.push(Action::Abort(*step));
            }
        }
        for index in 0..self.datasets.len() {
            if matches!(self.datasets[index].state, State::Waiting | State::Looking) {
                self.end(index, End::Interrupted, actions);
            }
        }
    }
}

impl Dataset {
    fn new(planned: &PlannedDataset) -> Self {
        Self {
            steps: Vec::new(),
            next: 0,
            created: planned.is_there(),
            updated: false,
            after: planned.after,
            state: State::Waiting,
            looks: 0,
            children: Vec::new(),
        }
    }
}

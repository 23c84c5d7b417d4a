//! Decides what happens next: takes what happened, gives what to do. Synchronous and without effects, so that every
//! decision under failure can be tested without a process.

mod backoff;
mod channels;
mod event;
mod reached;
mod steps;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backoff::Backoff;
use channels::{AUTO_CONNECTIONS, Channel, Lost};
pub use event::{Action, ConnectionId, DatasetOutcome, Input, Limits, Resolved, advice, source_advice};
use reached::Reached;
pub use watch::BELIEVED;

use crate::plan::{
    Attempt, FirstContact, Placement, Plan, PlannedDataset, Sharer, Step, StepId, UNRESOLVED, Verdict, Withheld,
};
use crate::remote::client::{ChannelId, SendFailure};
use zfs::Failure;
use zfs::name::DatasetName;

/// So often in one run a dataset that is resumed elsewhere has got further. Where it has is the other host's word: one that
/// names another place each time must not keep a run busy for ever.
const MAX_RESUMES: u32 = 1000;

#[derive(Debug)]
enum Phase {
    /// Waits for a channel, or for its parent.
    Waiting,
    Running,
    Relisting,
    /// A conflict is being got out of the way, in a way that moves or destroys what lies below, or not.
    Resolving {
        moves_below: bool,
    },
    /// Waits until the dataset above it is through; then its verdict counts, if nothing has been moved.
    Gated(Box<Verdict>),
    Ended,
}

/// What of a dataset is on the target, as far as the machine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is there, and others can be created below it.
    There,
    /// Its next stream goes there, and until then nothing can be created below it.
    Awaited(Placement),
    /// A resolution may have moved or destroyed it, or what lies above it: only relisting it can tell.
    Unknown,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts that don't depend on each other")]
struct Dataset {
    source: DatasetName,
    steps: Vec<Step>,
    next: usize,
    standing: Standing,
    updated: bool,
    after: Option<usize>,
    phase: Phase,
    /// How often it was relisted after refusals since the last progress.
    relists: u32,
    /// Tries since the last progress.
    tries: u32,
    /// Where the last attempt was resumed: another place means progress.
    resumed_at: Option<Reached>,
    /// How often that was progress.
    resumes: u32,
    /// A resolution was begun in this run.
    resolved: bool,
    /// A resolution has moved or destroyed it, or what lies above it: what was known of it counts no more.
    moved: bool,
    /// Whether it was there when the run began.
    existed: bool,
    /// A dataset above it, that may be missing: it can't be created, only gone on with.
    orphan: Option<usize>,
    children: Vec<usize>,
    /// Why nothing is sent below it if its conflict stays.
    withholds: Option<Withheld>,
    /// What of the target has its key and gets no increment.
    shares_key_with: Option<Sharer>,
    /// What it is called on the target.
    target: DatasetName,
}

#[derive(Debug)]
struct Running {
    dataset: usize,
    channel: ChannelId,
    sent: Option<(u64, Option<SendFailure>)>,
    received: Option<Result<(), Failure>>,
    estimate: u64,
    aborted: bool,
    /// When it last showed a sign of life.
    alive: Duration,
    /// When bytes last moved, or its stream ended.
    moved: Duration,
    /// Since when it is being ended as it shows none.
    stalled: Option<Duration>,
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
    /// Connections that have carried a channel.
    carried: BTreeSet<ConnectionId>,
    /// Channels that were lost while others live.
    lost: Option<Lost>,
    /// Connections and channels opened in place of lost ones since the last progress.
    reconnects: u32,
    stopped: bool,
    backoff: Backoff,
    stall: Option<Duration>,
    /// The time of the input that is being handled.
    now: Duration,
}

impl Machine {
    /// Starts with a plan.
    #[must_use]
    pub fn new(plan: &Plan, limits: &Limits) -> (Self, Vec<Action>) {
        let limit = limits.channels;
        let mut machine = Self {
            datasets: plan.datasets.iter().map(Dataset::new).collect(),
            ready: BTreeSet::new(),
            channels: BTreeMap::new(),
            running: BTreeMap::new(),
            next_step: 1,
            open: plan.datasets.len(),
            limit,
            auto_connections: if limits.auto { limit.min(AUTO_CONNECTIONS) } else { 0 },
            connecting: false,
            carried: BTreeSet::new(),
            lost: None,
            reconnects: 0,
            stopped: false,
            backoff: Backoff::new(limits),
            stall: limits.stall,
            now: Duration::ZERO,
        };
        let mut actions = Vec::new();
        for (index, planned) in plan.datasets.iter().enumerate() {
            let waits_for = if plan.gated { planned.above } else { planned.after };
            if let Some(parent) = waits_for {
                machine.datasets[parent].children.push(index);
            }
        }
        for (index, planned) in plan.datasets.iter().enumerate() {
            if plan.gated && planned.above.is_some() {
                machine.datasets[index].phase = Phase::Gated(Box::new(planned.verdict.clone()));
            }
        }
        // Chosen before: to settle one can release others.
        let free: Vec<usize> = (0..plan.datasets.len())
            .filter(|index| !matches!(machine.datasets[*index].phase, Phase::Gated(_)))
            .collect();
        for index in free {
            machine.settle(index, &plan.datasets[index].verdict, &mut actions);
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
        let busy = self.datasets.iter().filter(|dataset| !matches!(dataset.phase, Phase::Ended)).count();
        busy.min(self.limit)
    }

    /// Takes what happened, and when (since the start, never going back); gives what to do.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        match input {
            Input::ChannelUp { channel, connection } => self.channel_up(channel, connection),
            Input::ChannelDown { channel, why } => self.channel_down(channel, &why, &mut actions),
            Input::ConnectFailed { connection, why, fatal } => {
                self.connect_failed(connection, &why, fatal, &mut actions);
            }
            Input::Estimated { step, total } => self.estimated(step, total, &mut actions),
            Input::Sent { step, bytes, failure } => self.sent(step, bytes, failure, &mut actions),
            Input::Moved { step } => self.moved(step),
            Input::Heartbeat { step } => self.heartbeat(step),
            Input::Tick => {
                self.watch(&mut actions);
                self.replace_lost(&mut actions);
            }
            Input::Resolved { dataset, resolved } => self.resolved(dataset, resolved, &mut actions),
            Input::Received { step, failure } => self.received(step, failure, &mut actions),
            Input::Replanned { dataset, planned } => self.replanned(dataset, planned, &mut actions),
            Input::Stop => self.stop(&mut actions),
        }
        self.assign(&mut actions);
        actions
    }

    /// Takes a verdict, first or new.
    fn settle(&mut self, index: usize, verdict: &Verdict, actions: &mut Vec<Action>) {
        if matches!(self.datasets[index].phase, Phase::Ended) {
            return;
        }
        let updated = self.datasets[index].updated;
        match verdict {
            Verdict::NoSnapshots => self.end(index, DatasetOutcome::NoSnapshots, actions),
            Verdict::InSync => self.end(index, DatasetOutcome::InSync { updated }, actions),
            Verdict::Unresolved => self.end(index, DatasetOutcome::Failed(UNRESOLVED.into()), actions),
            Verdict::Conflict(conflict) => self.end(index, DatasetOutcome::Conflict(conflict.to_string()), actions),
            Verdict::Blocked(blocked) => self.end(index, DatasetOutcome::Failed(blocked.to_string()), actions),
            Verdict::Withheld(why) => self.end(index, DatasetOutcome::Skipped(why.to_string()), actions),
            Verdict::Resolve(solvable) if self.datasets[index].resolved => {
                self.end(index, DatasetOutcome::Conflict(solvable.conflict.to_string()), actions);
            }
            Verdict::Resolve(solvable) => {
                self.datasets[index].phase = Phase::Resolving { moves_below: solvable.resolution.moves_below() };
                self.datasets[index].resolved = true;
                actions.push(Action::Resolve { dataset: index });
            }
            Verdict::Send(steps) | Verdict::FillEmpty(steps) | Verdict::Overwrite(steps) => {
                let dataset = &mut self.datasets[index];
                let resumed_at = steps.first().and_then(|step| step.resume.as_ref()).map(Reached::of);
                if resumed_at.is_some() && resumed_at != dataset.resumed_at && dataset.resumes < MAX_RESUMES {
                    // More has arrived than at the last try.
                    (dataset.tries, dataset.relists) = (0, 0);
                    dataset.resumes += 1;
                    dataset.resumed_at = resumed_at;
                    self.reconnects = 0;
                }
                dataset.steps = steps.to_vec();
                dataset.next = 0;
                dataset.phase = Phase::Waiting;
                if self.datasets[index].after.is_none() {
                    self.ready.insert(index);
                }
            }
        }
    }

    fn end(&mut self, index: usize, end: DatasetOutcome, actions: &mut Vec<Action>) {
        if matches!(self.datasets[index].phase, Phase::Ended) {
            return;
        }
        self.datasets[index].phase = Phase::Ended;
        self.ready.remove(&index);
        self.open -= 1;
        let Dataset { standing, moved, orphan, .. } = self.datasets[index];
        let children = std::mem::take(&mut self.datasets[index].children);
        let withholds = self.datasets[index].withholds.take();
        let interrupted = end == DatasetOutcome::Interrupted;
        // One without snapshots comes into being with what lies below, if there is something above to hold it.
        let there = standing == Standing::There && !(orphan.is_some() && end == DatasetOutcome::NoSnapshots);
        // What lies below is told what has gone wrong, not what came of that.
        let blameless = matches!(end, DatasetOutcome::NoSnapshots | DatasetOutcome::Skipped(_));
        let missing = orphan.filter(|_| blameless).unwrap_or(index);
        actions.push(Action::DatasetEnded { dataset: index, end });
        for child in children {
            if interrupted {
                self.end(child, DatasetOutcome::Interrupted, actions);
                continue;
            }
            let below = &mut self.datasets[child];
            if let Some(why) = &withholds {
                below.withholds = Some(why.clone());
                if below.has_nothing() {
                    self.release(child, actions);
                } else {
                    self.end(child, DatasetOutcome::Skipped(why.to_string()), actions);
                }
                continue;
            }
            // Where it is then, only relisting it can tell.
            if moved {
                (below.moved, below.standing) = (true, Standing::Unknown);
            }
            below.orphan = (!there).then_some(missing);
            // What was there before, and be it moved by a resolution, doesn't need what failed.
            if there || below.existed {
                self.release(child, actions);
            } else {
                let end = self.orphaned(missing);
                self.end(child, end, actions);
            }
        }
    }

    fn orphaned(&self, above: usize) -> DatasetOutcome {
        let above = &self.datasets[above].source;
        DatasetOutcome::Skipped(Withheld::Above(above.clone()).to_string())
    }

    /// The dataset is there: those that wait only for that needn't any more.
    fn release_children(&mut self, index: usize, actions: &mut Vec<Action>) {
        let children = std::mem::take(&mut self.datasets[index].children);
        let (gated, free): (Vec<usize>, Vec<usize>) =
            children.into_iter().partition(|child| matches!(self.datasets[*child].phase, Phase::Gated(_)));
        self.datasets[index].children = gated;
        for child in free {
            self.release(child, actions);
        }
    }

    fn release(&mut self, child: usize, actions: &mut Vec<Action>) {
        self.datasets[child].after = None;
        match std::mem::replace(&mut self.datasets[child].phase, Phase::Waiting) {
            Phase::Gated(_) if self.datasets[child].moved => self.relist(child, None, Duration::ZERO, actions),
            Phase::Gated(verdict) => self.settle(child, &verdict, actions),
            Phase::Waiting => _ = self.ready.insert(child),
            other => self.datasets[child].phase = other,
        }
    }

    fn relist(&mut self, index: usize, attempt: Option<Attempt>, wait: Duration, actions: &mut Vec<Action>) {
        self.datasets[index].phase = Phase::Relisting;
        actions.push(Action::Relist { dataset: index, attempt, wait, source: false });
    }

    /// The same of both sides, where the source is no longer what the plan was made for.
    fn relist_both(&mut self, index: usize, actions: &mut Vec<Action>) {
        self.datasets[index].phase = Phase::Relisting;
        actions.push(Action::Relist { dataset: index, attempt: None, wait: Duration::ZERO, source: true });
    }

    /// What stood in the way is gone, or could not be got out of it.
    fn resolved(&mut self, index: usize, resolved: Resolved, actions: &mut Vec<Action>) {
        let Some(dataset) = self.datasets.get_mut(index) else { return };
        let Phase::Resolving { moves_below } = dataset.phase else { return };
        // How far a failed one got, nobody knows. Unless it was refused, only relisting it can tell what is there now.
        let moves_below = moves_below && !matches!(resolved, Resolved::NotBegun(_) | Resolved::NotBegunYet(_));
        dataset.moved |= moves_below;
        if moves_below && !matches!(resolved, Resolved::Refused(_)) {
            dataset.standing = Standing::Unknown;
        }
        match resolved {
            Resolved::Done => self.relist(index, None, Duration::ZERO, actions),
            Resolved::Refused(words) | Resolved::NotBegun(words) => {
                self.end(index, DatasetOutcome::Conflict(words), actions);
            }
            Resolved::Lost(words) | Resolved::NotBegunYet(words) => {
                match self.backoff.pause(dataset.tries, index as u64) {
                    Some(wait) => {
                        dataset.tries += 1;
                        // It may be done once more, if it is still needed.
                        dataset.resolved = false;
                        self.relist(index, None, wait, actions);
                    }
                    None => self.end(index, DatasetOutcome::Failed(words), actions),
                }
            }
        }
    }

    fn replanned(&mut self, index: usize, planned: Result<Box<PlannedDataset>, String>, actions: &mut Vec<Action>) {
        // It may have been given up while it was relisted.
        if !self.datasets.get(index).is_some_and(|dataset| matches!(dataset.phase, Phase::Relisting)) {
            return;
        }
        let missing = self.datasets[index].orphan;
        match (planned, missing) {
            (Ok(planned), Some(above)) if planned.placement == Placement::Create => {
                self.datasets[index].standing = Standing::Awaited(planned.placement);
                let end = self.orphaned(above);
                self.end(index, end, actions);
            }
            (Ok(planned), _) => {
                self.datasets[index].standing = Standing::of(&planned);
                self.datasets[index].withholds = planned.verdict.first_contact().map(FirstContact::withheld);
                self.datasets[index].shares_key_with.clone_from(&planned.shares_key_with);
                if planned.is_there() && self.datasets[index].withholds.is_none() {
                    self.release_children(index, actions);
                }
                self.settle(index, &planned.verdict, actions);
            }
            (Err(why), _) => self.end(index, DatasetOutcome::Failed(why), actions),
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
            if !matches!(self.datasets[index].phase, Phase::Running | Phase::Ended) {
                self.end(index, DatasetOutcome::Interrupted, actions);
            }
        }
    }
}

impl Standing {
    fn of(planned: &PlannedDataset) -> Self {
        if planned.is_there() { Self::There } else { Self::Awaited(planned.placement) }
    }

    /// Where the dataset's next stream goes.
    fn placement(self) -> Placement {
        match self {
            Self::Awaited(placement) => placement,
            Self::There | Self::Unknown => Placement::Existing,
        }
    }
}

impl Dataset {
    /// Whether it waits, and only to be told that there is nothing to send.
    fn has_nothing(&self) -> bool {
        matches!(&self.phase, Phase::Gated(verdict) if **verdict == Verdict::NoSnapshots)
    }

    fn new(planned: &PlannedDataset) -> Self {
        Self {
            source: planned.source.clone(),
            steps: Vec::new(),
            next: 0,
            standing: Standing::of(planned),
            updated: false,
            after: planned.after,
            phase: Phase::Waiting,
            relists: 0,
            tries: 0,
            resumed_at: None,
            resumes: 0,
            resolved: false,
            moved: false,
            existed: planned.placement != Placement::Create,
            orphan: None,
            children: Vec::new(),
            withholds: planned.verdict.first_contact().map(FirstContact::withheld),
            shares_key_with: planned.shares_key_with.clone(),
            target: planned.target.clone(),
        }
    }
}

//! A connections and its helpers, all simulated, with a clock of their own: what can happen, and how it happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::next::Next;
use super::target::{Clash, Shape, Target};
use crate::exec::machine::{ConnectionId, DatasetOutcome, Input, Limits, Machine, Resolved};
use crate::plan::{Plan, StepId};
use crate::remote::client::{ChannelId, SendFailure};
use zfs::{Failure, Refusal};

/// A step that runs.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub dataset: usize,
    pub channel: ChannelId,
    pub number: u64,
    pub sent: Option<bool>,
    pub aborted: bool,
    /// Neither end will ever say a word, except that an aborted stream may end.
    pub stuck: bool,
    /// When the machine last saw it move.
    pub moved: Duration,
    /// What the machine has been told.
    pub told_sent: bool,
    pub told_received: Option<bool>,
}

/// How bad it can get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Anything, as long as the dice last.
    Any,
    /// So many faults of the kind that passes.
    Faults(u32),
}

#[derive(Debug)]
pub(super) struct World {
    pub target: Target,
    pub limits: Limits,
    pub ends: Vec<Option<DatasetOutcome>>,
    pub relists: usize,
    pub connects: usize,
    pub now: Duration,
    pub stopped: bool,
    pub channels: BTreeMap<ChannelId, ConnectionId>,
    pub coming: Vec<ConnectionId>,
    /// Connections that had a channel at some time.
    pub carried: BTreeSet<ConnectionId>,
    pub connections: ConnectionId,
    pub steps: BTreeMap<StepId, Live>,
    pub dataset_of: BTreeMap<StepId, usize>,
    pub relisting: BTreeSet<usize>,
    pub resolving: BTreeSet<usize>,
    /// Resolutions that the machine may order.
    pub resolutions_left: Vec<u32>,
    /// Datasets whose resolution was told to have failed.
    pub refused: BTreeSet<usize>,
    /// Datasets that a resolution has moved although it was told to have failed.
    pub shaken: BTreeSet<usize>,
    /// Steps on which both ends have spoken, and whether all was well.
    pub concluded: BTreeMap<StepId, bool>,
    /// For each dataset: tries again since it last moved on, and whether it was told to have been updated.
    pub tries: Vec<u32>,
    pub updated: Vec<bool>,
    /// Attempts to replace what was lost since anything last moved on.
    pub reconnects: u32,
    pub weather: Weather,
    pub dice: std::vec::IntoIter<u16>,
    /// Steps that are over, whose last words may come once more.
    pub ghosts: Vec<StepId>,
    /// Steps whose connection is lost and which may still be stored.
    pub undead: Vec<(usize, u64)>,
    pub numbered: ChannelId,
}

impl World {
    pub fn new(shapes: &[Shape], gated: bool, limits: Limits, weather: Weather, dice: Vec<u16>) -> (Self, Plan) {
        let mut target = Target::new(shapes, gated);
        let plan = target.plan();
        let count = plan.datasets.len();
        let world = Self {
            target,
            limits,
            ends: vec![None; count],
            relists: 0,
            connects: 0,
            now: Duration::ZERO,
            stopped: false,
            channels: BTreeMap::new(),
            coming: vec![1; limits.channels],
            carried: BTreeSet::new(),
            connections: 1,
            steps: BTreeMap::new(),
            dataset_of: BTreeMap::new(),
            relisting: BTreeSet::new(),
            resolving: BTreeSet::new(),
            resolutions_left: vec![1; count],
            refused: BTreeSet::new(),
            shaken: BTreeSet::new(),
            concluded: BTreeMap::new(),
            tries: vec![0; count],
            updated: vec![false; count],
            reconnects: 0,
            weather,
            dice: dice.into_iter(),
            ghosts: Vec::new(),
            undead: Vec::new(),
            numbered: 0,
        };
        (world, plan)
    }

    /// A run in which everything goes well.
    pub fn calm(shapes: &[Shape], gated: bool, limits: Limits) -> (Self, Plan) {
        Self::new(shapes, gated, limits, Weather::Any, Vec::new())
    }

    pub fn roll(&mut self) -> usize {
        self.dice.next().map_or(0, usize::from)
    }

    /// Lets things happen until the machine says that all is done; that it never does is the worst of all.
    pub fn run(&mut self, plan: &Plan) {
        let (mut machine, actions) = Machine::new(plan, &self.limits);
        self.take(actions, &Input::Tick);
        let mut idle = Duration::ZERO;
        for _ in 0..100_000 {
            if machine.is_done() {
                break;
            }
            let next = self.choose();
            if matches!(next, Some(Next::Tick)) {
                idle += self.tick(&mut machine);
                let most = self.limits.stall.unwrap_or_default() + self.limits.max_wait + Duration::from_secs(60);
                assert!(idle <= most || self.dice.len() > 0, "nothing more can happen: {machine:?}\n{self:?}");
                continue;
            }
            let Some(next) = next else { continue };
            idle = Duration::ZERO;
            if let Next::Cut(connection) = next {
                self.cut(connection, &mut machine);
                continue;
            }
            for input in self.happen(next) {
                let passed = self.roll() as u64 % 100;
                self.now += Duration::from_millis(passed);
                self.tell(&mut machine, input);
            }
        }
        assert!(machine.is_done(), "it goes on for ever: {machine:?}");
        assert!(self.ends.iter().all(Option::is_some));
        assert_eq!(machine.handle(self.now, Input::Tick), []);
    }

    fn tell(&mut self, machine: &mut Machine, input: Input) {
        // What is needed to judge the answer.
        let cause = match &input {
            Input::Estimated { step, total } => Input::Estimated { step: *step, total: *total },
            _ => Input::Tick,
        };
        if let Input::Moved { step } | Input::Sent { step, .. } = &input
            && let Some(live) = self.steps.get_mut(step)
        {
            live.moved = self.now;
        }
        let actions = machine.handle(self.now, input);
        self.take(actions, &cause);
    }

    /// Time goes by; gives how much.
    fn tick(&mut self, machine: &mut Machine) -> Duration {
        let passed = Duration::from_secs(1 + self.roll() as u64 % 20);
        self.now += passed;
        if let Weather::Faults(_) = self.weather {
            // Whatever isn't stuck shows that it lives.
            let alive = self.steps.iter().filter(|(_, live)| !live.stuck).map(|(step, _)| *step);
            for step in alive.collect::<Vec<_>>() {
                self.tell(machine, Input::Moved { step });
            }
        }
        self.tell(machine, Input::Tick);
        self.check_watchdog();
        passed
    }

    fn happen(&mut self, next: Next) -> Vec<Input> {
        match next {
            Next::Tick | Next::Cut(_) => unreachable!("these have their own ways"),
            Next::Up(at) => self.up(at),
            Next::UpFails(at) => self.up_fails(at, false),
            Next::NoWay(at) => self.up_fails(at, true),
            Next::Sent(step) => vec![self.sent(step, None)],
            Next::Killed(step) => vec![self.sent(step, Some(true))],
            Next::SendFails(step) => vec![self.sent(step, Some(false))],
            Next::Received(step) => self.received(step, None),
            Next::Unlucky(step) => self.received(step, Some(&[Refusal::Busy, Refusal::Killed, Refusal::NoSession])),
            Next::Refused(step) => self.received(step, Some(REFUSALS)),
            Next::Moved(step) => vec![Input::Moved { step }],
            Next::Estimated(step) => vec![Input::Estimated { step, total: (self.roll() as u64) << 24 }],
            Next::Again(step) => vec![self.again(step)],
            Next::Sticks(step) => {
                self.steps.get_mut(&step).unwrap().stuck = true;
                Vec::new()
            }
            Next::Late(at) => {
                let (dataset, number) = self.undead.remove(at);
                if self.target.takes(dataset, number) {
                    self.target.arrive(dataset, number);
                }
                Vec::new()
            }
            Next::Relisted(dataset) => vec![self.relisted(dataset)],
            Next::RelistClashes(dataset) => {
                self.target.all[dataset].clash = Some(Clash::Stays).filter(|_| self.target.all[dataset].there);
                vec![self.relisted(dataset)]
            }
            Next::RelistFails(dataset) => {
                self.relisting.remove(&dataset);
                vec![Input::Replanned { dataset, planned: Err("no".into()) }]
            }
            Next::Resolved(dataset) => vec![self.resolved(dataset, true, Resolved::Done)],
            Next::ResolvedInVain(dataset) => vec![self.resolved(dataset, false, Resolved::Done)],
            Next::ResolutionLost(dataset) => {
                let happened = self.roll() % 2 == 1;
                self.resolutions_left[dataset] += 1;
                vec![self.resolved(dataset, happened, Resolved::Lost("cut".into()))]
            }
            Next::ResolutionRefused(dataset) => {
                let happened = self.roll() % 3 == 2;
                vec![self.resolved(dataset, happened, Resolved::Refused("no".into()))]
            }
            Next::Down(channel) => vec![self.down(channel)],
            Next::Stale => self.stale(),
            Next::Stop => {
                self.stopped = true;
                vec![Input::Stop]
            }
        }
    }

    fn up(&mut self, at: usize) -> Vec<Input> {
        let connection = self.coming.remove(at);
        self.numbered += 1;
        self.channels.insert(self.numbered, connection);
        self.carried.insert(connection);
        vec![Input::ChannelUp { channel: self.numbered, connection }]
    }

    /// Told once for each connection, when nothing of it is left.
    fn up_fails(&mut self, at: usize, fatal: bool) -> Vec<Input> {
        let connection = self.coming.remove(at);
        let more = self.coming.contains(&connection) || self.channels.values().any(|over| *over == connection);
        if more {
            return Vec::new();
        }
        vec![Input::ConnectFailed { connection, why: "refused".into(), fatal }]
    }

    /// A connection ends, and with it all its channels, one after another.
    fn cut(&mut self, connection: ConnectionId, machine: &mut Machine) {
        let over = |(id, over): (&ChannelId, &ConnectionId)| (*over == connection).then_some(*id);
        let lost: Vec<ChannelId> = self.channels.iter().filter_map(over).collect();
        for channel in lost {
            let input = self.down(channel);
            self.tell(machine, input);
        }
    }

    fn down(&mut self, channel: ChannelId) -> Input {
        self.channels.remove(&channel);
        self.lose(channel);
        Input::ChannelDown { channel, why: "cut".into() }
    }

    /// What a lost channel carried has arrived, or will, or some of it is kept, or nothing.
    pub fn lose(&mut self, channel: ChannelId) {
        let lost: Vec<StepId> =
            self.steps.iter().filter(|(_, live)| live.channel == channel).map(|(id, _)| *id).collect();
        for id in lost {
            self.lose_step(id);
        }
    }

    /// The same for one step.
    pub fn lose_step(&mut self, id: StepId) {
        let Live { dataset, number, sent, told_received, .. } = self.steps.remove(&id).unwrap();
        match self.roll() % 4 {
            1 if sent != Some(false) && told_received.is_none() && self.target.takes(dataset, number) => {
                self.target.arrive(dataset, number);
            }
            2 if told_received.is_none() => self.undead.push((dataset, number)),
            3 if told_received.is_none() => self.target.keep_some(dataset, number),
            _ => {}
        }
        self.ghosts.push(id);
    }

    /// `failing`: whether somebody has killed it.
    fn sent(&mut self, step: StepId, failing: Option<bool>) -> Input {
        let live = self.steps.get_mut(&step).unwrap();
        // Once it was answered with success it had been sent well, and aborted ones may have come to their end before.
        let well = failing.is_none() && !live.stuck && !(live.aborted && step.is_multiple_of(2));
        let well = live.sent.unwrap_or(well);
        (live.sent, live.told_sent) = (Some(well), true);
        let killed = failing.unwrap_or(false);
        let failure = (!well).then(|| SendFailure { words: "stopped".to_owned(), killed });
        self.forget(step);
        Input::Sent { step, bytes: 7, failure }
    }

    /// `refusals`: one of these, unless it was received already.
    fn received(&mut self, step: StepId, refusals: Option<&[Refusal]>) -> Vec<Input> {
        let roll = self.roll();
        let live = self.steps.get_mut(&step).unwrap();
        // Success needs the whole stream; a broken one always fails.
        let whole = live.sent.unwrap_or(!live.aborted);
        let (dataset, number) = (live.dataset, live.number);
        let refusal = match refusals {
            Some(all) => Some(all[roll % all.len()]),
            None if !self.target.takes(dataset, number) => Some(self.why_not(dataset, number)),
            None => (!whole).then_some(Refusal::Stream),
        };
        let live = self.steps.get_mut(&step).unwrap();
        live.told_received = Some(refusal.is_none());
        if refusal.is_none() {
            live.sent = Some(true);
            self.target.arrive(dataset, number);
        } else if roll % 3 == 1 {
            self.target.keep_some(dataset, number);
        }
        self.forget(step);
        let failure = refusal.map(|refusal| Failure { refusal, words: "refused".into() });
        vec![Input::Received { step, failure }]
    }

    fn why_not(&self, dataset: usize, number: u64) -> Refusal {
        let truth = &self.target.all[dataset];
        match number {
            _ if self.target.holder(dataset).is_some_and(|above| !self.target.all[above].there) => Refusal::Missing,
            _ if truth.clash.is_some() => Refusal::Modified,
            0 => Refusal::Exists,
            _ if !truth.there => Refusal::Missing,
            _ => Refusal::NotNewest,
        }
    }

    /// What was said of a step that isn't over is said once more.
    fn again(&self, step: StepId) -> Input {
        let live = &self.steps[&step];
        match (live.told_sent, live.told_received) {
            (true, _) if live.sent == Some(true) => Input::Sent { step, bytes: 7, failure: None },
            (_, Some(true)) => Input::Received { step, failure: None },
            _ => Input::Moved { step },
        }
    }

    /// Both ends have spoken.
    fn forget(&mut self, step: StepId) {
        let live = &self.steps[&step];
        if live.told_sent && live.told_received.is_some() {
            let live = self.steps.remove(&step).unwrap();
            let outcome = live.sent == Some(true) && live.told_received == Some(true);
            self.concluded.insert(step, outcome);
            self.ghosts.push(step);
        }
    }

    fn relisted(&mut self, dataset: usize) -> Input {
        self.relisting.remove(&dataset);
        let before = self.target.told[dataset].resume.clone();
        let planned = self.target.relist(dataset);
        let now = &self.target.told[dataset].resume;
        if now.is_some() && *now != before && self.ends[dataset].is_none() {
            (self.tries[dataset], self.reconnects) = (0, 0);
        }
        Input::Replanned { dataset, planned: Ok(Box::new(planned)) }
    }

    fn resolved(&mut self, dataset: usize, happened: bool, resolved: Resolved) -> Input {
        self.resolving.remove(&dataset);
        if let Resolved::Refused(_) = resolved {
            self.refused.insert(dataset);
        }
        if happened {
            let some = self.roll().is_multiple_of(2);
            let moved = self.target.resolve(dataset, some);
            self.undead.retain(|(dataset, _)| !moved.contains(dataset));
            if let Resolved::Refused(_) = resolved {
                self.shaken.extend(moved);
            }
        }
        Input::Resolved { dataset, resolved }
    }

    /// Late words of all that is over.
    fn stale(&mut self) -> Vec<Input> {
        let step = self.ghosts.pop().unwrap();
        let why = || "cut".to_owned();
        let failure = Some(Failure { refusal: Refusal::Busy, words: why() });
        let gone = self.numbered + 1000;
        let dataset = self.dataset_of[&step];
        let mut inputs = vec![
            Input::Moved { step },
            Input::Sent { step, bytes: 1, failure: None },
            Input::Received { step, failure: None },
            Input::Received { step, failure },
            Input::ChannelDown { channel: gone, why: why() },
        ];
        if let Some(connection) = self.carried.iter().find(|carried| !self.coming.contains(*carried)) {
            inputs.push(Input::ConnectFailed { connection: *connection, why: why(), fatal: true });
        }
        if !self.resolving.contains(&dataset) {
            inputs.push(Input::Resolved { dataset, resolved: Resolved::Done });
        }
        if !self.relisting.contains(&dataset) {
            inputs.push(Input::Replanned { dataset, planned: Err("late".into()) });
        }
        inputs
    }
}

/// What a receiver may answer, whatever is true.
const REFUSALS: &[Refusal] = &[
    Refusal::Modified,
    Refusal::Missing,
    Refusal::Exists,
    Refusal::Stream,
    Refusal::Partial,
    Refusal::Encryption,
    Refusal::NoSpace,
    Refusal::Permission,
    Refusal::Limit,
    Refusal::Suspended,
    Refusal::Other,
];

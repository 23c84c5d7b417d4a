//! A fleet, helpers and a target, all simulated: knows what is true, and checks every action against it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use super::{planned, step};
use crate::exec::machine::{Action, ConnectionId, End, Input, Machine};
use crate::plan::{Conflict, ConflictKind, Placement, PlannedDataset, Verdict};
use crate::remote::client::ChannelId;
use crate::remote::wire::Failure;
use crate::report::StepId;
use crate::zfs::Refusal;

/// What a dataset of a random plan is like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub parent: Index,
    pub steps: u64,
    pub there: bool,
    pub below: bool,
}

#[derive(Debug, Clone)]
struct Live {
    dataset: usize,
    channel: ChannelId,
    number: u64,
    sent: Option<bool>,
    aborted: bool,
    /// What the machine has been told.
    told_sent: bool,
    told_received: Option<bool>,
}

/// What can happen next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Up(usize),
    Sent(StepId),
    Received(StepId),
    Look(usize),
    // From here on: what goes wrong, or makes no progress.
    Estimated(StepId),
    SendFails(StepId),
    Refused(StepId),
    LookFails(usize),
    UpFails(usize),
    Down(ChannelId),
    Stale,
    Stop,
}

pub(super) struct World {
    pub plan: Vec<PlannedDataset>,
    pub ends: Vec<Option<End>>,
    pub looks: usize,
    pub connects: usize,
    limit: usize,
    dice: std::vec::IntoIter<u16>,
    /// How many steps the target still needs; the first numbers are there.
    done: Vec<u64>,
    total: Vec<u64>,
    there: Vec<bool>,
    channels: BTreeMap<ChannelId, ConnectionId>,
    coming: Vec<ConnectionId>,
    steps: BTreeMap<StepId, Live>,
    /// Lost steps whose last words may still come.
    ghosts: Vec<StepId>,
    looking: BTreeSet<usize>,
    conflicts: BTreeSet<usize>,
    /// Steps on which both ends have spoken, and whether all was well.
    concluded: BTreeMap<StepId, bool>,
    connections: ConnectionId,
    numbered: ChannelId,
    stopped: bool,
    connects_without_progress: usize,
}

impl World {
    pub fn new(shapes: &[Shape], limit: usize, dice: Vec<u16>) -> Self {
        let mut plan: Vec<PlannedDataset> = Vec::new();
        let (mut total, mut there) = (Vec::new(), Vec::new());
        for (at, shape) in shapes.iter().enumerate() {
            let parent = (at > 0 && shape.below).then(|| shape.parent.index(at));
            let is_there = shape.there && parent.is_none_or(|parent| there[parent]);
            let after = parent.filter(|parent| !there[*parent] && !is_there);
            let verdict = match shape.steps {
                0 if is_there => Verdict::InSync,
                0 => Verdict::NoSnapshots,
                count => Verdict::Send((0..count).map(step).collect()),
            };
            // A dataset without snapshots is a placeholder: nobody waits for it.
            let holds = is_there || shape.steps == 0;
            let placement = if holds { Placement::Existing } else { Placement::Create };
            plan.push(planned(at, placement, after.filter(|_| !holds), verdict));
            total.push(shape.steps);
            there.push(holds);
        }
        let count = plan.len();
        Self {
            plan,
            ends: vec![None; count],
            looks: 0,
            connects: 0,
            limit,
            dice: dice.into_iter(),
            done: vec![0; count],
            total,
            there,
            channels: BTreeMap::new(),
            coming: vec![1; limit],
            steps: BTreeMap::new(),
            ghosts: Vec::new(),
            looking: BTreeSet::new(),
            conflicts: BTreeSet::new(),
            concluded: BTreeMap::new(),
            connections: 1,
            numbered: 0,
            stopped: false,
            connects_without_progress: 0,
        }
    }

    fn roll(&mut self) -> usize {
        self.dice.next().map_or(0, usize::from)
    }

    /// Lets things happen until the machine says that all is done; that it never does is the worst of all.
    pub fn run(&mut self, mut machine: Machine, actions: Vec<Action>) {
        self.take(actions);
        for _ in 0..100_000 {
            if machine.is_done() {
                break;
            }
            let (good, bad) = self.possible();
            let roll = self.roll();
            // Mostly things go well, else nothing long would ever be tried.
            let choice = if roll % 4 == 3 || good.is_empty() { &bad } else { &good };
            assert!(
                !good.is_empty() || self.dice.len() > 0,
                "nothing more can happen, and yet it is not done: {machine:?}"
            );
            let Some(&next) = choice.get(roll / 4 % choice.len().max(1)) else { continue };
            for input in self.happen(next) {
                let actions = machine.handle(input);
                self.take(actions);
            }
        }
        assert!(machine.is_done(), "it goes on for ever: {machine:?}");
        assert!(self.ends.iter().all(Option::is_some));
    }

    fn possible(&self) -> (Vec<Next>, Vec<Next>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for at in 0..self.coming.len() {
            good.push(Next::Up(at));
            // The first channel was there before the run began.
            if self.numbered > 0 {
                bad.push(Next::UpFails(at));
            }
        }
        for (id, live) in &self.steps {
            let first = !self
                .steps
                .iter()
                .any(|(other, before)| before.channel == live.channel && other < id && before.sent.is_none());
            if !live.told_sent && first {
                good.push(Next::Sent(*id));
                bad.push(Next::SendFails(*id));
                bad.push(Next::Estimated(*id));
            }
            if live.told_received.is_none() {
                // The end of the stream can be answered before we have told the machine of it.
                good.push(Next::Received(*id));
                bad.push(Next::Refused(*id));
            }
        }
        for dataset in &self.looking {
            good.push(Next::Look(*dataset));
            bad.push(Next::LookFails(*dataset));
        }
        bad.extend(self.channels.keys().map(|channel| Next::Down(*channel)));
        if !self.ghosts.is_empty() {
            bad.push(Next::Stale);
        }
        if self.numbered > 0 {
            bad.push(Next::Stop);
        }
        (good, bad)
    }

    fn happen(&mut self, next: Next) -> Vec<Input> {
        match next {
            Next::Up(at) => {
                let connection = self.coming.remove(at);
                self.numbered += 1;
                self.channels.insert(self.numbered, connection);
                vec![Input::ChannelUp { channel: self.numbered, connection }]
            }
            Next::UpFails(at) => {
                self.coming.remove(at);
                vec![Input::ConnectFailed { why: "refused".into() }]
            }
            Next::Sent(step) => vec![self.sent(step, true)],
            Next::SendFails(step) => vec![self.sent(step, false)],
            Next::Received(step) => self.received(step, true),
            Next::Refused(step) => self.received(step, false),
            Next::Estimated(step) => {
                let total = (self.roll() as u64) << 24;
                vec![Input::Estimated { step, total }]
            }
            Next::Look(dataset) => vec![self.looked(dataset)],
            Next::LookFails(dataset) => {
                self.looking.remove(&dataset);
                vec![Input::Replanned { dataset, planned: Err("no".into()) }]
            }
            Next::Down(channel) => {
                self.channels.remove(&channel);
                self.lose(channel);
                vec![Input::ChannelDown { channel, why: "cut".into() }]
            }
            Next::Stale => {
                let step = self.ghosts.pop().unwrap();
                vec![Input::Sent { step, bytes: 1, failure: None }, Input::Received { step, failure: None }]
            }
            Next::Stop => {
                self.stopped = true;
                vec![Input::Stop]
            }
        }
    }

    fn lose(&mut self, channel: ChannelId) {
        let lost: Vec<StepId> =
            self.steps.iter().filter(|(_, live)| live.channel == channel).map(|(id, _)| *id).collect();
        for id in lost {
            let live = self.steps.remove(&id).unwrap();
            if live.sent != Some(false) && live.told_received != Some(false) && self.roll() % 2 == 1 {
                self.arrive(live.dataset, live.number);
            }
            self.ghosts.push(id);
        }
    }

    /// A step has arrived, told or not.
    fn arrive(&mut self, dataset: usize, number: u64) {
        self.there[dataset] = true;
        self.done[dataset] = self.done[dataset].max(number + 1);
    }

    fn sent(&mut self, step: StepId, well: bool) -> Input {
        let live = self.steps.get_mut(&step).unwrap();
        // Once it was answered with success it had been sent well, and aborted ones may have come to their end before.
        let well = live.sent.unwrap_or(well && !(live.aborted && step.is_multiple_of(2)));
        live.sent = Some(well);
        live.told_sent = true;
        let failure = (!well).then(|| "stopped".to_owned());
        self.forget(step);
        Input::Sent { step, bytes: 7, failure }
    }

    fn received(&mut self, step: StepId, well: bool) -> Vec<Input> {
        let roll = self.roll();
        let live = self.steps.get_mut(&step).unwrap();
        // Success needs the whole stream; a broken one always fails.
        if well && live.sent.is_none() {
            let waits = self.steps.iter().any(|(other, before)| {
                *other < step && before.channel == self.steps[&step].channel && before.sent.is_none()
            });
            if waits || self.steps[&step].aborted {
                return Vec::new();
            }
            self.steps.get_mut(&step).unwrap().sent = Some(true);
        }
        let live = self.steps.get_mut(&step).unwrap();
        let well = well && live.sent == Some(true);
        live.told_received = Some(well);
        let (dataset, number) = (live.dataset, live.number);
        if well {
            self.arrive(dataset, number);
        }
        self.forget(step);
        let all =
            [Refusal::Modified, Refusal::Missing, Refusal::Exists, Refusal::Stream, Refusal::Busy, Refusal::Partial];
        let failure = (!well).then(|| Failure { refusal: all[roll % all.len()], words: "refused".into() });
        vec![Input::Received { step, failure }]
    }

    /// Both ends have spoken.
    fn forget(&mut self, step: StepId) {
        let live = &self.steps[&step];
        if live.told_sent && live.told_received.is_some() {
            let live = self.steps.remove(&step).unwrap();
            let outcome = live.sent == Some(true) && live.told_received == Some(true);
            self.concluded.insert(step, outcome);
        }
    }

    fn looked(&mut self, dataset: usize) -> Input {
        self.looking.remove(&dataset);
        let roll = self.roll();
        let (done, total) = (self.done[dataset], self.total[dataset]);
        let placement = if self.there[dataset] { Placement::Existing } else { Placement::Create };
        let verdict = match () {
            () if done >= total => Verdict::InSync,
            () if roll % 5 == 4 && self.there[dataset] => {
                self.conflicts.insert(dataset);
                let (common, nothing) = (None, Vec::new());
                Verdict::Conflict(Conflict {
                    kind: ConflictKind::Partial,
                    common,
                    only_here: nothing.clone(),
                    only_there: nothing,
                })
            }
            () => Verdict::Send((done..total).map(step).collect()),
        };
        // What it would have waited for has been received by now.
        let planned = planned(dataset, placement, None, verdict);
        Input::Replanned { dataset, planned: Ok(Box::new(planned)) }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Start { channel, step, dataset, send, first } => {
                    assert!(!self.stopped && self.ends[dataset].is_none() && !self.looking.contains(&dataset));
                    assert!(self.channels.contains_key(&channel), "over a channel that isn't there");
                    assert!(
                        !self.steps.values().any(|live| live.dataset == dataset),
                        "two steps of a dataset at a time"
                    );
                    let sending = self.steps.values().filter(|live| !live.told_sent);
                    assert!(sending.clone().count() < self.limit);
                    assert!(
                        sending.clone().all(|live| live.channel != channel),
                        "two streams over a channel at a time"
                    );
                    assert!(self.plan[dataset].after.is_none_or(|parent| self.there[parent]), "before its parent");
                    assert_eq!(first, !self.there[dataset]);
                    assert_eq!(send.to_guid.0, self.done[dataset], "it doesn't go on where the last one ended");
                    let (sent, told_received) = (None, None);
                    let number = send.to_guid.0;
                    let live = Live { dataset, channel, number, sent, aborted: false, told_sent: false, told_received };
                    assert!(self.steps.insert(step, live).is_none(), "a step's number is used twice");
                }
                Action::Abort(step) => {
                    let live = self.steps.get_mut(&step).expect("what is over can't be aborted");
                    assert!(!live.told_sent && !std::mem::replace(&mut live.aborted, true));
                }
                Action::Look { dataset, .. } => {
                    self.looks += 1;
                    assert!(!self.stopped && self.ends[dataset].is_none());
                    assert!(!self.steps.values().any(|live| live.dataset == dataset));
                    assert!(self.looking.insert(dataset), "looks twice at a time");
                }
                Action::Connect { .. } => self.connect(),
                Action::StepDone { step, .. } => {
                    self.connects_without_progress = 0;
                    assert_eq!(self.concluded.remove(&step), Some(true), "a success that did not happen");
                }
                Action::StepFailed { step, .. } => {
                    assert_ne!(self.concluded.remove(&step), Some(true), "a failure that did not happen");
                }
                Action::DatasetEnded { dataset, end } => self.ended(dataset, end),
            }
        }
    }

    fn connect(&mut self) {
        assert!(!self.stopped);
        self.connects += 1;
        self.connects_without_progress += 1;
        assert!(self.connects_without_progress <= 10, "it connects for ever");
        self.connections += 1;
        let channels = 1 + self.roll() % 3;
        if self.roll() % 4 == 3 {
            // The connection itself fails: one word for all its channels.
            self.coming.push(self.connections);
        } else {
            self.coming.extend(std::iter::repeat_n(self.connections, channels));
        }
    }

    fn ended(&mut self, dataset: usize, end: End) {
        assert!(!self.steps.values().any(|live| live.dataset == dataset), "it ends while a step runs");
        let parent = self.plan[dataset].after;
        match &end {
            End::InSync { updated } => {
                assert_eq!(self.done[dataset], self.total[dataset], "it is not in sync");
                assert!(!updated || self.done[dataset] > 0);
            }
            End::NoSnapshots => assert_eq!(self.total[dataset], 0),
            End::Conflict(_) => assert!(self.conflicts.contains(&dataset)),
            End::Failed(_) => {}
            End::Skipped(_) => {
                let parent = parent.expect("only what waits for another can be skipped");
                assert!(self.ends[parent].is_some());
            }
            End::Interrupted => assert!(self.stopped),
        }
        assert!(self.ends[dataset].replace(end).is_none(), "it ends twice");
    }
}

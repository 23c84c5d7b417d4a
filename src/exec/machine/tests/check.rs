//! Checks every action of the machine against what is true.

use std::time::Duration;

use super::target::{Clash, How};
use super::world::{Live, World};
use crate::exec::machine::{Action, DatasetOutcome, Input};
use crate::plan::{Placement, Step, StepId};
use crate::remote::client::ChannelId;

/// Relists after a refusal that aren't counted as tries.
const RELISTS: u32 = 3;
/// So long the machine gives an aborted stream to end.
const GRACE: Duration = Duration::from_secs(10);

impl World {
    /// Takes what the machine wants done after an input.
    pub fn take(&mut self, actions: Vec<Action>, cause: &Input) {
        let mut retry = None;
        let mut replaces = false;
        for action in actions {
            if let Some((dataset, wait)) = retry.take() {
                let relists = matches!(&action, Action::Relist { dataset: which, wait: w, .. } if (*which, *w) == (dataset, wait));
                assert!(relists, "it promises to try again in {wait:?}, and doesn't: {action:?}");
            }
            match action {
                Action::Start { channel, step, dataset, send, into } => {
                    self.start(channel, step, dataset, &send, into);
                }
                Action::Abort(step) => self.abort(step),
                Action::Relist { dataset, wait, .. } => self.relist(dataset, wait),
                Action::Resolve { dataset } => self.resolve(dataset),
                Action::Connect { wait } => {
                    replaces |= !matches!(cause, Input::Estimated { .. });
                    self.connect(wait);
                }
                Action::Reopen { connection } => {
                    replaces = true;
                    assert!(!self.stopped);
                    assert!(self.channels.values().any(|over| *over == connection), "over a connection that is gone");
                    self.coming.push(connection);
                }
                Action::Drop { channel } => self.dropped(channel),
                Action::StepDone { step, .. } => {
                    let dataset = self.dataset_of[&step];
                    assert_eq!(self.concluded.remove(&step), Some(true), "a success that did not happen");
                    (self.reconnects, self.tries[dataset], self.updated[dataset]) = (0, 0, true);
                    let told = &mut self.target.told[dataset];
                    (told.next, told.resume, told.placement) = (told.next + 1, None, Placement::Existing);
                }
                Action::StepFailed { step, retry: again, .. } => {
                    self.given_up(step);
                    assert_ne!(self.concluded.remove(&step), Some(true), "a failure that did not happen");
                    retry = again.map(|wait| (self.dataset_of[&step], wait));
                    self.retries(self.dataset_of[&step], again);
                }
                Action::DatasetEnded { dataset, end } => self.ended(dataset, end),
            }
        }
        assert_eq!(retry, None, "it promises to try again, and doesn't");
        if replaces {
            self.reconnects += 1;
            assert!(self.reconnects <= self.limits.retries, "it connects for ever");
        }
        assert!(
            self.stopped
                || !self.channels.is_empty()
                || !self.coming.is_empty()
                || self.ends.iter().all(Option::is_some),
            "nothing is open, nothing is coming, and yet it goes on"
        );
    }

    fn retries(&mut self, dataset: usize, again: Option<Duration>) {
        let Some(wait) = again else { return };
        assert!(!self.stopped);
        assert!(wait <= self.limits.max_wait);
        self.tries[dataset] += 1;
        assert!(self.tries[dataset] <= self.limits.retries + RELISTS, "it tries for ever");
    }

    /// The dataset is in nobody's hands, and whatever could move it is over.
    fn is_free(&self, dataset: usize) {
        assert!(!self.stopped && self.ends[dataset].is_none());
        assert!(!self.relisting.contains(&dataset) && !self.resolving.contains(&dataset));
        assert!(!self.steps.values().any(|live| live.dataset == dataset), "two steps of a dataset at a time");
        let above: Vec<usize> = self.target.above(dataset).collect();
        assert!(!self.target.gated || above.iter().all(|above| self.ends[*above].is_some()), "before those above it");
        assert!(!above.iter().any(|above| self.resolving.contains(above) && self.moves(*above)));
    }

    /// Whether the conflict's way out moves what lies below.
    fn moves(&self, dataset: usize) -> bool {
        matches!(self.target.all[dataset].clash, Some(Clash::Solvable(How::SetAside | How::Replace)))
    }

    fn start(&mut self, channel: ChannelId, step: StepId, dataset: usize, send: &Step, into: Placement) {
        self.is_free(dataset);
        assert!(self.channels.contains_key(&channel), "over a channel that isn't there");
        let sending = self.steps.values().filter(|live| !live.told_sent);
        assert!(sending.clone().count() < self.limits.channels);
        assert!(sending.clone().all(|live| live.channel != channel), "two streams over a channel at a time");
        assert!(self.steps.values().filter(|live| live.channel == channel).count() <= 2);
        let told = &self.target.told[dataset];
        assert_eq!(into, told.placement);
        assert_eq!(send.to_guid.0, told.next, "it doesn't go on where the last one ended");
        assert_eq!(send.resume, told.resume);
        let creates = told.placement == Placement::Create;
        if let Some(above) = self.target.holder(dataset).filter(|_| creates) {
            let shaken = self.shaken.contains(&above);
            assert!(self.target.all[above].there || shaken, "before its parent");
        }
        let live = Live {
            dataset,
            channel,
            number: send.to_guid.0,
            sent: None,
            aborted: false,
            stuck: false,
            moved: self.now,
            told_sent: false,
            told_received: None,
        };
        assert!(self.steps.insert(step, live).is_none() && self.dataset_of.insert(step, dataset).is_none());
    }

    fn abort(&mut self, step: StepId) {
        let stalled = self.has_stalled(&self.steps[&step]);
        let live = self.steps.get_mut(&step).expect("what is over can't be aborted");
        assert!(!live.told_sent && !std::mem::replace(&mut live.aborted, true));
        assert!(stalled || self.stopped || live.told_received == Some(false), "aborted without a reason");
    }

    fn has_stalled(&self, live: &Live) -> bool {
        self.limits.stall.is_some_and(|limit| self.now.saturating_sub(live.moved) >= limit)
    }

    fn is_dead(&self, live: &Live) -> bool {
        self.has_stalled(live) || (live.aborted && self.now.saturating_sub(live.moved) >= GRACE)
    }

    fn relist(&mut self, dataset: usize, wait: Duration) {
        self.is_free(dataset);
        self.relists += 1;
        assert!(wait <= self.limits.max_wait);
        assert!(self.relisting.insert(dataset));
    }

    fn resolve(&mut self, dataset: usize) {
        self.is_free(dataset);
        assert!(matches!(self.target.all[dataset].clash, Some(Clash::Solvable(_))));
        let below = self.target.below(dataset);
        let busy = self.steps.values().any(|live| below.contains(&live.dataset));
        assert!(!busy || !self.moves(dataset), "it moves what is being received");
        assert!(self.resolutions_left[dataset] > 0, "it solves the same conflict again and again");
        self.resolutions_left[dataset] -= 1;
        self.resolving.insert(dataset);
    }

    fn connect(&mut self, wait: Duration) {
        assert!(!self.stopped);
        assert!(wait <= self.limits.max_wait);
        self.connects += 1;
        self.connections += 1;
        let channels = 1 + self.roll() % 3;
        self.coming.extend(std::iter::repeat_n(self.connections, channels));
    }

    fn dropped(&mut self, channel: ChannelId) {
        let mut carried = self.steps.values().filter(|live| live.channel == channel);
        assert!(carried.any(|live| (live.aborted || live.told_sent) && self.is_dead(live)), "dropped without a reason");
        assert!(self.channels.remove(&channel).is_some(), "dropped twice");
        self.lose(channel);
    }

    /// A step that failed though nobody has told its end: given up alone, as its channel carries something that lives.
    fn given_up(&mut self, step: StepId) {
        let Some(live) = self.steps.get(&step) else { return };
        assert!(live.told_sent && self.is_dead(live), "given up without a reason");
        let lives = |other: &Live| other.channel == live.channel && !self.has_stalled(other);
        assert!(self.steps.values().any(lives), "its channel has nothing else");
        self.lose_step(step);
    }

    /// After a tick nothing is left that has shown no sign of life for too long.
    pub fn check_watchdog(&self) {
        for live in self.steps.values().filter(|live| self.has_stalled(live)) {
            assert!(live.aborted, "it waits for what is stuck: {live:?}");
            let late = self.now.saturating_sub(live.moved);
            // The abort comes with a tick, and so does the end of its grace; ticks are up to 20 s apart here.
            let most = self.limits.stall.unwrap_or_default() + GRACE + Duration::from_secs(40);
            assert!(late <= most || self.stopped, "it waits for ever for what was told to stop: {live:?}");
        }
    }

    fn ended(&mut self, dataset: usize, end: DatasetOutcome) {
        assert!(!self.steps.values().any(|live| live.dataset == dataset), "it ends while a step runs");
        let truth = &self.target.all[dataset];
        match &end {
            DatasetOutcome::InSync { updated } => {
                assert!(truth.there && truth.clash.is_none() && !truth.emptied, "it is not in sync");
                assert_eq!(truth.done, truth.total, "it is not in sync");
                assert_eq!(*updated, self.updated[dataset]);
            }
            DatasetOutcome::NoSnapshots => assert_eq!(truth.total, 0),
            DatasetOutcome::Conflict(_) => assert!(truth.clash.is_some() || self.refused.contains(&dataset)),
            DatasetOutcome::Failed(_) => {}
            DatasetOutcome::Skipped(_) => {
                let failed = |above: usize| !matches!(self.ends[above], None | Some(DatasetOutcome::InSync { .. }));
                assert!(self.target.above(dataset).any(failed), "only what waits for another can be skipped");
                assert!(!truth.there, "it could have gone on");
            }
            DatasetOutcome::Interrupted => assert!(self.stopped),
        }
        assert!(self.ends[dataset].replace(end).is_none(), "it ends twice");
    }
}

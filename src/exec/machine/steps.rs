//! How steps end, and what follows from that for their datasets.

use std::time::Duration;

use super::event::{advice, shared_key_advice, source_advice, space_advice};
use super::{Action, DatasetOutcome, Machine, Phase, Running, Standing};
use crate::format::added;
use crate::plan::{Attempt, StepId};
use crate::remote::client::SendFailure;
use zfs::permission::GRANT;
use zfs::{Failure, Refusal};

/// So often in a row a dataset is relisted after a refusal that a better plan may avoid.
const RELISTS: u32 = 3;

/// What the receiver says stands before a command to copy, which is the last line of the sender's words.
fn with_echo(words: &str, echo: Option<&str>) -> String {
    let Some(theirs) = echo else { return words.to_owned() };
    let (words, grant) = match words.rfind('\n') {
        Some(at) if words[at..].contains(GRANT) => words.split_at(at),
        _ => (words, ""),
    };
    format!("{words} (the receiver: {theirs}){grant}")
}

impl Machine {
    pub(super) fn sent(&mut self, step: StepId, bytes: u64, failure: Option<SendFailure>, actions: &mut Vec<Action>) {
        let Some(running) = self.running.get_mut(&step).filter(|running| running.sent.is_none()) else { return };
        running.sent = Some((bytes, failure));
        (running.alive, running.moved) = (self.now, self.now);
        if let Some(channel) = self.channels.get_mut(&running.channel) {
            channel.sending = None;
            channel.settling.insert(step);
        }
        self.conclude(step, actions);
    }

    pub(super) fn received(&mut self, step: StepId, failure: Option<Failure>, actions: &mut Vec<Action>) {
        if !self.running.contains_key(&step) {
            // One that was given up has ended after all: its channel has room again.
            self.channels.values_mut().for_each(|channel| _ = channel.settling.remove(&step));
            return;
        }
        let Some(running) = self.running.get_mut(&step).filter(|running| running.received.is_none()) else { return };
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
            stalled,
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
            _ if stalled.is_some() => self.step_lost(dataset, step, &self.stall_words(), actions),
            // Who spoke first doesn't tell whose fault it was: the receiver's complaint can be the echo of our broken stream.
            (Some(send), Err(Failure { refusal: Refusal::Stream, words: theirs })) if aborted => {
                self.step_failed(dataset, step, &send, Some(&theirs), actions);
            }
            (_, Err(failure)) if aborted => self.step_refused(dataset, step, &failure, actions),
            // Our own stream broke off; what the receiver says then is only the echo.
            (Some(send), _) => self.step_failed(dataset, step, &send, None, actions),
            (None, Err(failure)) => self.step_refused(dataset, step, &failure, actions),
        }
    }

    fn step_done(&mut self, index: usize, step: StepId, bytes: u64, actions: &mut Vec<Action>) {
        actions.push(Action::StepDone { step, bytes });
        let dataset = &mut self.datasets[index];
        (dataset.standing, dataset.updated, dataset.phase) = (Standing::There, true, Phase::Waiting);
        (dataset.tries, dataset.relists) = (0, 0);
        dataset.next += 1;
        let through = dataset.next >= dataset.steps.len();
        self.reconnects = 0;
        self.release_children(index, actions);
        if through {
            self.end(index, DatasetOutcome::InSync { updated: true }, actions);
        } else if self.stopped {
            self.end(index, DatasetOutcome::Interrupted, actions);
        } else {
            self.ready.insert(index);
        }
    }

    /// Our own `zfs send` failed. One that somebody has killed can be tried again. What the receiver said of the broken stream
    /// is told too, but what happened, and so the advice, goes by the sender's own words.
    fn step_failed(
        &mut self,
        index: usize,
        step: StepId,
        failure: &SendFailure,
        echo: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        if self.stopped {
            return self.end(index, DatasetOutcome::Interrupted, actions);
        }
        let words = with_echo(&failure.words, echo);
        if failure.killed {
            return self.step_lost(index, step, &words, actions);
        }
        let refusal = Refusal::from_words(&failure.words);
        // Snapshots come and go: whoever prunes meanwhile must not cost the run more than a new plan, as long as it gets further.
        if refusal == Refusal::Missing && self.datasets[index].relists < RELISTS {
            self.datasets[index].relists += 1;
            actions.push(Action::StepFailed { step, retry: Some(Duration::ZERO), error: words });
            return self.relist_both(index, actions);
        }
        let words = format!("{words}{}", source_advice(refusal, &failure.words));
        actions.push(Action::StepFailed { step, retry: None, error: words.clone() });
        self.end(index, DatasetOutcome::Failed(words), actions);
    }

    /// Nothing says that the same won't work a little later: what has arrived is listed, and gone on from there.
    pub(super) fn step_lost(&mut self, index: usize, step: StepId, words: &str, actions: &mut Vec<Action>) {
        self.try_later(index, step, None, words, actions);
    }

    fn try_later(
        &mut self,
        index: usize,
        step: StepId,
        attempt: Option<Attempt>,
        words: &str,
        actions: &mut Vec<Action>,
    ) {
        if self.stopped {
            return self.end(index, DatasetOutcome::Interrupted, actions);
        }
        let wait = self.backoff.pause(self.datasets[index].tries, index as u64);
        actions.push(Action::StepFailed { step, retry: wait, error: words.to_owned() });
        let tries = self.datasets[index].tries;
        if let Some(wait) = wait {
            self.datasets[index].tries += 1;
            return self.relist(index, attempt, wait, actions);
        }
        let words = if tries > 0 { added(words, &format!(" (tried {} times)", tries + 1)) } else { words.to_owned() };
        self.end(index, DatasetOutcome::Failed(words), actions);
    }

    /// The receiver refused: where the full list can help, it is asked for.
    fn step_refused(&mut self, index: usize, step: StepId, failure: &Failure, actions: &mut Vec<Action>) {
        if self.stopped {
            return self.end(index, DatasetOutcome::Interrupted, actions);
        }
        let dataset = &mut self.datasets[index];
        let base = dataset.steps[dataset.next].base.as_ref().map(|base| base.guid);
        let resumed = dataset.steps[dataset.next].resume.is_some();
        let attempt = Some(Attempt { base, refusal: failure.refusal });
        let advice = match &dataset.shares_key_with {
            Some(other) if failure.refusal == Refusal::WrappedKey => shared_key_advice(other),
            _ if failure.refusal == Refusal::NoSpace => space_advice(&dataset.target, resumed),
            _ => advice(failure.refusal).to_owned(),
        };
        let words = format!("{}{advice}", failure.words);
        match failure.refusal {
            // A rest that is being gone on with can only be in the way while somebody else receives into it.
            Refusal::Partial if resumed => {
                let words = format!(
                    "{words}\n  another receive into it seems to be in progress: see ps -eo pid,ppid,stat,etime,args on the target's host for a \
                     zfs recv, and for the helper that started it (state T: stopped)"
                );
                self.try_later(index, step, attempt, &words, actions);
            }
            Refusal::Busy | Refusal::Killed | Refusal::NoSession | Refusal::Stream => {
                self.try_later(index, step, attempt, &words, actions);
            }
            Refusal::Modified
            | Refusal::NotNewest
            | Refusal::Exists
            | Refusal::Partial
            | Refusal::Encryption
            | Refusal::EncryptedInPlace
            | Refusal::IvSet
            | Refusal::Invalid
            | Refusal::LargeBlocks
                if dataset.relists < RELISTS =>
            {
                self.relist_refused(index, step, attempt, &failure.words, actions);
            }
            Refusal::Missing if base.is_some() && dataset.relists < RELISTS => {
                self.relist_refused(index, step, attempt, &failure.words, actions);
            }
            _ => {
                actions.push(Action::StepFailed { step, retry: None, error: failure.words.clone() });
                self.end(index, DatasetOutcome::Failed(words), actions);
            }
        }
    }

    fn relist_refused(
        &mut self,
        index: usize,
        step: StepId,
        attempt: Option<Attempt>,
        words: &str,
        actions: &mut Vec<Action>,
    ) {
        self.datasets[index].relists += 1;
        actions.push(Action::StepFailed { step, retry: Some(Duration::ZERO), error: words.to_owned() });
        self.relist(index, attempt, Duration::ZERO, actions);
    }
}

//! The watchdog: whatever shows no sign of life for too long is ended, so that no run hangs.

use std::time::Duration;

use super::{Action, Machine, Running};
use crate::plan::StepId;
use crate::remote::client::ChannelId;

/// So long a stream that is told to stop may take for that.
const GRACE: Duration = Duration::from_secs(10);

/// Signs of life without bytes are believed for so many times the stall timeout. `zfs recv` can free objects for many minutes
/// before it takes the next byte, or after the last one; but one that only seems to work must not hold up a run for ever.
pub const BELIEVED: u32 = 12;

impl Machine {
    /// Bytes have moved.
    pub(super) fn moved(&mut self, step: StepId) {
        if let Some(running) = self.running.get_mut(&step) {
            (running.alive, running.moved) = (self.now, self.now);
        }
    }

    /// A sign of life.
    pub(super) fn heartbeat(&mut self, step: StepId) {
        if let Some(running) = self.running.get_mut(&step) {
            running.alive = self.now;
        }
    }

    /// Ends what has stalled: its stream first, and its channel when that doesn't help. A step that has no stream any more is given
    /// up alone as long as its channel carries something that lives.
    pub(super) fn watch(&mut self, actions: &mut Vec<Action>) {
        let Some(limit) = self.stall else { return };
        let now = self.now;
        let mut dead = Vec::new();
        for (step, running) in &mut self.running {
            match running.stalled {
                None if !running.has_stalled(now, limit) => {}
                None => {
                    running.stalled = Some(now);
                    if running.sent.is_some() {
                        dead.push((running.channel, *step));
                    } else if !running.aborted {
                        running.aborted = true;
                        actions.push(Action::Abort(*step));
                    }
                }
                Some(since) if running.is_unending(now, since, limit) => dead.push((running.channel, *step)),
                Some(_) => {}
            }
        }
        for (channel, step) in dead {
            self.give_up(channel, step, actions);
        }
    }

    fn give_up(&mut self, channel: ChannelId, step: StepId, actions: &mut Vec<Action>) {
        let words = self.stall_words();
        let lives = |other: &Running| other.channel == channel && other.stalled.is_none();
        let settles = self.running.get(&step).is_some_and(|running| running.sent.is_some());
        if settles && !self.stopped && self.running.values().any(lives) {
            // It keeps its place among what settles on the channel until it is heard of.
            if let Some(running) = self.running.remove(&step) {
                self.step_lost(running.dataset, step, &words, actions);
            }
        } else if self.channels.contains_key(&channel) {
            actions.push(Action::Drop { channel });
            self.channel_down(channel, &words, actions);
        }
    }

    /// What is told about a stalled step.
    pub(super) fn stall_words(&self) -> String {
        let seconds = self.stall.unwrap_or_default().as_secs();
        format!("no progress for {seconds} s (--stall-timeout): the receiver accepts no data, or the sender sends none")
    }
}

impl Running {
    fn has_stalled(&self, now: Duration, limit: Duration) -> bool {
        now.saturating_sub(self.alive) >= limit || now.saturating_sub(self.moved) >= limit * BELIEVED
    }

    /// Whether it was told to end and doesn't.
    fn is_unending(&self, now: Duration, since: Duration, limit: Duration) -> bool {
        now.saturating_sub(since.max(self.alive)) >= GRACE || now.saturating_sub(since) >= limit * BELIEVED
    }
}

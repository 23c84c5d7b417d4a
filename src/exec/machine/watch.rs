//! The watchdog: whatever shows no sign of life for too long is ended, so that no run hangs.

use std::time::Duration;

use super::{Action, Machine};
use crate::report::StepId;

/// So long a stream that is told to stop may take for that.
const GRACE: Duration = Duration::from_secs(10);

impl Machine {
    /// A sign of life.
    pub(super) fn moved(&mut self, step: StepId) {
        if let Some(running) = self.running.get_mut(&step) {
            running.moved = self.now;
        }
    }

    /// Ends what has stalled: its stream first, and its channel when that doesn't help, or when there is no stream any more.
    pub(super) fn watch(&mut self, actions: &mut Vec<Action>) {
        let Some(limit) = self.stall else { return };
        let now = self.now;
        let mut dead = Vec::new();
        for (step, running) in &mut self.running {
            match running.stalled {
                None if now.saturating_sub(running.moved) < limit => {}
                None => {
                    running.stalled = Some(now);
                    if running.sent.is_some() {
                        dead.push(running.channel);
                    } else if !running.aborted {
                        running.aborted = true;
                        actions.push(Action::Abort(*step));
                    }
                }
                Some(since) if now.saturating_sub(since.max(running.moved)) >= GRACE => dead.push(running.channel),
                Some(_) => {}
            }
        }
        dead.sort_unstable();
        dead.dedup();
        for channel in dead {
            actions.push(Action::Drop { channel });
            self.channel_down(channel, &self.stall_words(), actions);
        }
    }

    /// What is told about a stalled step.
    pub(super) fn stall_words(&self) -> String {
        let seconds = self.stall.unwrap_or_default().as_secs();
        format!(
            "nothing moved for {seconds} s (--stall-timeout): the receiver takes nothing, or the sender has nothing"
        )
    }
}

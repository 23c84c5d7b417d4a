//! The machine's channels: which one takes the next step, and what becomes of those that are lost.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, ConnectionId, DatasetOutcome, Machine, Phase, Running};
use crate::plan::StepId;
use crate::remote::client::ChannelId;

/// A connection more is worth its cost when so many bytes are still to come over each of those that are there.
const BYTES_PER_CONNECTION: u64 = 256 * 1024 * 1024;
/// More connections than that are only made when the user asks for them.
pub(super) const AUTO_CONNECTIONS: usize = 4;

#[derive(Debug)]
pub(super) struct Channel {
    pub connection: ConnectionId,
    pub sending: Option<StepId>,
    /// Sent and not yet answered.
    pub settling: BTreeSet<StepId>,
}

/// Channels that were lost while others live.
#[derive(Debug)]
pub(super) struct Lost {
    /// What carried each.
    over: Vec<ConnectionId>,
    /// They are replaced then.
    until: Duration,
}

impl Machine {
    /// Hands ready steps to channels, the least busy connection first.
    pub(super) fn assign(&mut self, actions: &mut Vec<Action>) {
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
            dataset.phase = Phase::Running;
            let send = dataset.steps[dataset.next].clone();
            let into = dataset.standing.placement();
            if let Some(channel) = self.channels.get_mut(&channel) {
                channel.sending = Some(step);
            }
            let running = Running {
                dataset: index,
                channel,
                sent: None,
                received: None,
                estimate: 0,
                aborted: false,
                alive: self.now,
                moved: self.now,
                stalled: None,
            };
            self.running.insert(step, running);
            actions.push(Action::Start { channel, step, dataset: index, send, into });
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

    pub(super) fn estimated(&mut self, step: StepId, total: u64, actions: &mut Vec<Action>) {
        if let Some(running) = self.running.get_mut(&step) {
            running.estimate = total;
        }
        let coming: u64 = self.running.values().filter(|step| step.sent.is_none()).map(|step| step.estimate).sum();
        let connections = self.connections();
        let streams = self.running.values().filter(|step| step.sent.is_none()).count() + self.ready.len();
        let deserves = coming / BYTES_PER_CONNECTION >= connections as u64 && streams > connections;
        if deserves && !self.stopped && connections < self.auto_connections && !self.connecting {
            self.connecting = true;
            actions.push(Action::Connect { wait: Duration::ZERO });
        }
    }

    /// How many connections have a channel that is ready.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.channels.values().map(|channel| channel.connection).collect::<BTreeSet<_>>().len()
    }

    /// A channel is ready.
    pub(super) fn channel_up(&mut self, channel: ChannelId, connection: ConnectionId) {
        if self.carried.insert(connection) {
            self.connecting = false;
        }
        self.channels.insert(channel, Channel { connection, sending: None, settling: BTreeSet::new() });
    }

    /// Every dataset that the channel carried is relisted: what arrived of it only the target knows.
    pub(super) fn channel_down(&mut self, channel: ChannelId, why: &str, actions: &mut Vec<Action>) {
        // Whoever is gone already can't be lost once more.
        let Some(Channel { connection, .. }) = self.channels.remove(&channel) else { return };
        let lost: Vec<StepId> =
            self.running.iter().filter(|(_, running)| running.channel == channel).map(|(step, _)| *step).collect();
        for step in lost {
            if let Some(running) = self.running.remove(&step) {
                self.step_lost(running.dataset, step, why, actions);
            }
        }
        if self.channels.is_empty() {
            self.lost = None;
            return self.reconnect(why, actions);
        }
        // Others go on, unless they are lost in a moment too: all channels of a connection end with it, one after another.
        if let Some(lost) = &mut self.lost {
            lost.over.push(connection);
        } else if let Some(wait) = self.backoff.pause(self.reconnects, 0) {
            self.lost = Some(Lost { over: vec![connection], until: self.now + wait });
        }
    }

    /// What was lost while others lived is replaced, as far as it is still of use.
    pub(super) fn replace_lost(&mut self, actions: &mut Vec<Action>) {
        let now = self.now;
        let Some(lost) = self.lost.take_if(|lost| lost.until <= now) else { return };
        let useful = self.wants_channels().saturating_sub(self.channels.len());
        if self.stopped || useful == 0 {
            return;
        }
        let lives = |connection| self.channels.values().any(|other| other.connection == connection);
        let (over, gone): (Vec<_>, Vec<_>) = lost.over.into_iter().partition(|connection| lives(*connection));
        let connects = !gone.is_empty() && !self.connecting;
        self.reconnects += u32::from(connects || !over.is_empty());
        self.connecting |= connects;
        actions.extend(over.into_iter().take(useful).map(|connection| Action::Reopen { connection }));
        actions.extend(connects.then_some(Action::Connect { wait: Duration::ZERO }));
    }

    /// A connection that was to come doesn't.
    pub(super) fn connect_failed(
        &mut self,
        connection: ConnectionId,
        why: &str,
        fatal: bool,
        actions: &mut Vec<Action>,
    ) {
        // What can no longer be opened over a lost one says nothing about its successor.
        if self.carried.contains(&connection) {
            return;
        }
        if std::mem::take(&mut self.connecting) && !self.channels.is_empty() {
            // One more only for speed is not worth another try.
            self.auto_connections = self.auto_connections.min(self.connections());
        }
        if fatal {
            self.reconnects = self.backoff.retries();
        }
        self.reconnect(why, actions);
    }

    /// With no channel left a new connection is made, a few times; then the rest fails.
    fn reconnect(&mut self, why: &str, actions: &mut Vec<Action>) {
        if !self.channels.is_empty() || self.is_done() || self.connecting || self.stopped {
            return;
        }
        if let Some(wait) = self.backoff.pause(self.reconnects, 0) {
            self.reconnects += 1;
            self.connecting = true;
            actions.push(Action::Connect { wait });
            return;
        }
        // Nothing is released by what ends now.
        self.datasets.iter_mut().for_each(|dataset| dataset.children.clear());
        for index in 0..self.datasets.len() {
            self.end(index, DatasetOutcome::Failed(format!("no connection left: {why}")), actions);
        }
    }
}

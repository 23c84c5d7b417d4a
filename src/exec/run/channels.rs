//! Channels that come and go, and the claim of the target's tree over them.

use std::time::Duration;

use super::{Input, Run};
use crate::exec::connections::Opened;
use crate::exec::lock;
use crate::remote::client::ChannelId;
use crate::report::Event;
use helper::wire::Request;
use zfs::Failure;

impl Run<'_> {
    /// Greeting and handle come by different ways: the channel can be used when both are there.
    pub(super) fn channel_up(&mut self, channel: ChannelId) {
        if !self.greeted.contains(&channel) || self.connections.channel(channel).is_none() {
            return;
        }
        if self.claimed.insert(channel) {
            self.claim_on(channel);
        }
        // Before it gets its first stream.
        self.resume_pending();
        let connection = self.connections.connection_of(channel);
        self.input(Input::ChannelUp { channel, connection });
    }

    /// Each helper of the run claims the tree, before anything else is asked of it: one of them has the lock, and it is another's when that
    /// one is lost.
    pub(super) fn claim_on(&mut self, channel: ChannelId) {
        let Some(handle) = self.connections.channel(channel) else { return };
        let id = self.pending.number();
        let (dataset, owner) = (self.job.ends.target.dataset.clone(), lock::owner(&self.job.ends));
        handle.request(Request::Lock { id, dataset, run: self.job.run, owner });
        self.claims.insert(id);
    }

    /// A claim is answered. Somebody else may have taken the tree while the connection was lost: what still runs may run to its end.
    pub(super) fn claim_answered(&mut self, failure: Option<Failure>) {
        let Some(failure) = failure else { return };
        let text = format!("another run has taken over the target while the connection was lost: {}", failure.words);
        self.reporter.event(&Event::Notice { dataset: None, text });
        self.taken = true;
        self.input(Input::Stop);
    }

    pub(super) fn closed(&mut self, channel: ChannelId, why: String) {
        tracing::info!("channel {channel}: {why}");
        let was_up = self.greeted.remove(&channel) && self.connections.channel(channel).is_some();
        if was_up {
            self.connections.remove(channel);
        }
        self.lose_pending(channel, &why);
        if was_up {
            self.input(Input::ChannelDown { channel, why });
        } else {
            self.never_up(channel, why);
        }
    }

    /// A channel that doesn't answer: what it may still say counts no more.
    pub(super) fn drop_channel(&mut self, channel: ChannelId) {
        tracing::warn!("channel {channel} is given up: it doesn't answer");
        self.greeted.remove(&channel);
        self.connections.remove(channel);
        self.lose_pending(channel, "no answer");
    }

    /// A channel whose helper doesn't answer a question: it is given up, and so is its stream.
    pub(super) fn unanswered(&mut self, channel: ChannelId, why: String) {
        tracing::warn!("channel {channel} is given up: {why}");
        self.greeted.remove(&channel);
        self.connections.remove(channel);
        self.lose_pending(channel, &why);
        self.input(Input::ChannelDown { channel, why });
    }

    /// A session that the host refused: the run goes on with what it has. Told once for each connection, when its last
    /// channel is gone.
    pub(super) fn never_up(&mut self, channel: ChannelId, why: String) {
        let connection = self.connections.connection_of(channel);
        if self.connections.remove(channel) && !self.connections.carries_any(connection) {
            self.input(Input::ConnectFailed { connection, why, fatal: false });
        }
    }

    pub(super) fn opened(&mut self, opened: Opened) {
        match opened {
            Opened::Connection { connection, channels, masters: Ok(masters) } => {
                self.connections.connected(connection, channels, masters);
            }
            Opened::Connection { connection, masters: Err(error), .. } => {
                tracing::info!("no further connection: {error}");
                let (why, fatal) = (error.to_string(), error.fatal());
                self.input(Input::ConnectFailed { connection, why, fatal });
            }
            Opened::Channel { channel, opened: Ok(handle) } => {
                self.connections.add(channel, handle);
                self.channel_up(channel);
            }
            Opened::Channel { channel, opened: Err(error) } => {
                tracing::info!("no further channel: {error}");
                self.never_up(channel, error.to_string());
            }
        }
    }

    pub(super) fn connect(&mut self, wait: Duration) {
        let channels = self.job.channels.div_ceil(self.machine.connections() + 1);
        self.connections.connect(channels, wait);
    }
}

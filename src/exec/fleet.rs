//! The connections of a run and the channels over them: opening, backing off where a host refuses more, closing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::machine::ConnectionId;
use crate::config::{PushJob, with_packages};
use crate::remote::client::{Channel, ChannelId, FromChannel, GREETED_WITHIN, HelperError};
use crate::remote::ssh::{ConnectError, Master};

/// Most sessions we ask of one connection: sshd's MaxSessions is 10 by default, and someone may have lowered it.
const SESSIONS: usize = 8;
/// A refused session is asked for again so often; then the run goes on with the channels that it has.
const TRIES: u32 = 4;

/// What is to be said where `-j` asks for more streams than the connections carry.
#[must_use]
pub fn too_many_streams(job: &PushJob) -> Option<String> {
    job.target.host.as_ref()?;
    let wanted = job.channels;
    let needed = wanted.div_ceil(SESSIONS);
    let (connections, more) = match job.connections {
        Some(connections) => (connections, ""),
        None => (1, " (more are opened only for much data)"),
    };
    (needed > connections).then(|| {
        let carried = connections * SESSIONS;
        let noun = if connections == 1 { "1 connection carries" } else { &format!("{connections} connections carry") };
        format!("-j {wanted}: {noun} {carried} streams at a time{more}; for {wanted} add --connections {needed}")
    })
}

/// What opening came to.
#[derive(Debug)]
pub enum Opened {
    /// A connection.
    Connection {
        /// Its number.
        connection: ConnectionId,
        /// How many channels are wanted over it.
        channels: usize,
        /// The master, or why there is none.
        master: Result<Master, ConnectError>,
    },
    /// A channel; its helper's greeting follows as a channel event.
    Channel {
        /// Its number.
        channel: ChannelId,
        /// The handle, or why there is none.
        opened: Result<Channel, HelperError>,
    },
}

/// All connections and channels of a run.
#[derive(Debug)]
pub struct Fleet {
    job: Arc<PushJob>,
    masters: HashMap<ConnectionId, Arc<Master>>,
    channels: HashMap<ChannelId, (ConnectionId, Option<Channel>)>,
    connections: ConnectionId,
    numbered: ChannelId,
    events: UnboundedSender<FromChannel>,
    /// What is being opened.
    opening: JoinSet<()>,
    tell: UnboundedSender<Opened>,
    opened: UnboundedReceiver<Opened>,
}

impl Fleet {
    /// An empty fleet and the events of all its channels.
    #[must_use]
    pub fn new(job: Arc<PushJob>) -> (Self, UnboundedReceiver<FromChannel>) {
        let (events, from_channels) = unbounded_channel();
        let (tell, opened) = unbounded_channel();
        let (masters, channels, opening) = (HashMap::new(), HashMap::new(), JoinSet::new());
        (Self { job, masters, channels, connections: 0, numbered: 0, events, opening, tell, opened }, from_channels)
    }

    /// What the next opening came to. Cancellation safe.
    pub async fn opened(&mut self) -> Opened {
        match self.opened.recv().await {
            Some(opened) => opened,
            // The fleet itself holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Starts to open a connection for so many channels. On this machine there is nothing to connect: the channels
    /// start at once. `pause`: to wait before, after a loss.
    pub fn connect(&mut self, channels: usize, pause: Duration) {
        self.connections += 1;
        let (connection, first) = (self.connections, self.connections == 1);
        if self.job.target.host.is_none() {
            return self.open(connection, channels);
        }
        let (job, tell) = (self.job.clone(), self.tell.clone());
        self.opening.spawn(async move {
            let Some(host) = &job.target.host else { return };
            tokio::time::sleep(pause).await;
            let master = Master::connect(host, &job.ssh, first).await;
            let _ = tell.send(Opened::Connection { connection, channels, master });
        });
    }

    /// Starts to open so many channels over a connection, as far as it can carry them.
    pub fn open(&mut self, connection: ConnectionId, channels: usize) {
        let there = self.channels.values().filter(|(over, _)| *over == connection).count();
        // On this machine nothing but -j limits them.
        let most = if self.job.target.host.is_some() { SESSIONS } else { usize::MAX };
        for _ in 0..channels.min(most.saturating_sub(there)) {
            self.numbered += 1;
            let id = self.numbered;
            self.channels.insert(id, (connection, None));
            let (job, tell, events) = (self.job.clone(), self.tell.clone(), self.events.clone());
            let master = self.masters.get(&connection).cloned();
            self.opening.spawn(async move {
                let limit = job.faults.stall_timeout.map_or(GREETED_WITHIN, |stall| stall.min(GREETED_WITHIN));
                let opened = match (&master, &job.target.host) {
                    (Some(master), Some(host)) => {
                        let (host, command) = (host.to_string(), job.remote_helper.clone());
                        opened_in_time(id, Arc::clone(master), host, command, limit, events).await
                    }
                    _ => Channel::local(id, &with_packages(&job.allow), limit, events),
                };
                let _ = tell.send(Opened::Channel { channel: id, opened });
            });
        }
    }

    /// Takes a new connection and starts its channels.
    pub fn connected(&mut self, connection: ConnectionId, channels: usize, master: Master) {
        self.masters.insert(connection, Arc::new(master));
        self.open(connection, channels);
    }

    /// Takes a channel's handle.
    pub fn add(&mut self, id: ChannelId, channel: Channel) {
        if let Some((_, slot)) = self.channels.get_mut(&id) {
            *slot = Some(channel);
        }
    }

    /// A channel is gone, or never came to be; `false` if that was known.
    pub fn remove(&mut self, id: ChannelId) -> bool {
        self.channels.remove(&id).is_some()
    }

    /// Whether a connection has a channel, or one is being opened.
    #[must_use]
    pub fn carries_any(&self, connection: ConnectionId) -> bool {
        self.channels.values().any(|(over, _)| *over == connection)
    }

    /// A channel that is open.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.channels.get(&id)?.1.as_ref()
    }

    /// What carries a channel.
    #[must_use]
    pub fn connection_of(&self, id: ChannelId) -> ConnectionId {
        self.channels.get(&id).map_or(0, |(connection, _)| *connection)
    }

    /// Ends everything: the helpers by closing their stdin, then the connections, all at the same time. What is still being
    /// opened is given up; a connection that has come up unseen is closed like the others.
    pub async fn close(mut self) {
        self.channels.clear();
        self.opening.shutdown().await;
        while let Ok(opened) = self.opened.try_recv() {
            if let Opened::Connection { connection, master: Ok(master), .. } = opened {
                self.masters.insert(connection, Arc::new(master));
            }
        }
        let mut closing = JoinSet::new();
        for (_, master) in self.masters.drain() {
            closing.spawn(async move { master.close().await });
        }
        closing.join_all().await;
    }
}

/// Opens a helper over a connection, or says that the connection doesn't answer.
async fn opened_in_time(
    id: ChannelId,
    master: Arc<Master>,
    host: String,
    command: String,
    limit: Duration,
    events: UnboundedSender<FromChannel>,
) -> Result<Channel, HelperError> {
    let silent = HelperError::Silent { host: host.clone(), seconds: limit.as_secs(), words: "  nothing".into() };
    // On a task of its own, as opening a session can't be cancelled. What comes late is closed at once.
    let opening = tokio::spawn(async move { over_ssh(id, &master, &host, &command, limit, events).await });
    match tokio::time::timeout(limit, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(failed)) => Err(io::Error::other(failed).into()),
        Err(_) => Err(silent),
    }
}

/// Opens a helper over a connection, with a few tries where the host refuses a session (MaxSessions).
async fn over_ssh(
    id: ChannelId,
    master: &Master,
    host: &str,
    command: &str,
    limit: Duration,
    events: UnboundedSender<FromChannel>,
) -> Result<Channel, HelperError> {
    let mut pause = Duration::from_millis(250);
    for attempt in 1.. {
        match Channel::over_ssh(id, master, host, command, limit, events.clone()).await {
            Err(HelperError::Connect(error)) if error.retryable() && attempt < TRIES => {
                tracing::info!("{error}; trying again in {pause:?}");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
    unreachable!("the loop ends by return")
}

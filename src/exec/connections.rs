//! The connections of a run and the channels over them: opening, backing off where a host refuses more, closing.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use super::machine::ConnectionId;
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::remote::bootstrap::HelperCommand;
use crate::remote::client::{Channel, ChannelEvent, ChannelId, FromChannel, GREETED_WITHIN, HelperError};
use crate::remote::link::{Access, Link};
use crate::remote::source::{Remote, greeting, same_host};
use crate::remote::ssh::{ConnectError, Master};
use zfs::Hello;

/// Most sessions we ask of one connection: sshd's MaxSessions is 10 by default, and someone may have lowered it.
const SESSIONS: usize = zfs::STREAMS;
/// A refused session is asked for again so often; then the run goes on with the channels that it has.
const TRIES: u32 = 4;

/// What is to be said where `-j` asks for more streams than the connections carry.
#[must_use]
pub fn too_many_streams(job: &PushJob) -> Option<String> {
    job.ends.target.host().or(job.ends.source.host())?;
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
        /// The masters, or why there are none.
        masters: Result<Masters, ConnectError>,
    },
    /// A channel; its helper's greeting follows as a channel event.
    Channel {
        /// Its number.
        channel: ChannelId,
        /// The handles, or why there are none.
        opened: Result<Lane, HelperError>,
    },
}

/// The masters of a connection: of each end that is another host.
#[derive(Debug, Clone, Default)]
pub struct Masters {
    source: Option<Arc<Master>>,
    target: Option<Arc<Master>>,
}

/// What carries a stream from end to end.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The helper that receives.
    pub target: Channel,
    /// The helper that sends, where that is another host.
    pub source: Option<Channel>,
}

/// All connections and channels of a run.
#[derive(Debug)]
pub struct ConnectionPool {
    /// How the target is reached.
    target: Link,
    /// Where streams come from; without it only the target is asked.
    sender: Option<Endpoint>,
    /// What may be asked of the target.
    access: Access,
    /// A connection to the target that is there already; whoever gave it closes it.
    given: Option<Arc<Master>>,
    masters: HashMap<ConnectionId, Masters>,
    channels: HashMap<ChannelId, (ConnectionId, Option<Lane>)>,
    connections: ConnectionId,
    numbered: ChannelId,
    events: UnboundedSender<FromChannel>,
    /// What is being opened.
    opening: JoinSet<()>,
    tell: UnboundedSender<Opened>,
    opened: UnboundedReceiver<Opened>,
}

impl ConnectionPool {
    /// An empty pool, and the events of all its channels.
    #[must_use]
    pub fn new(target: Link, sender: Option<Endpoint>, access: Access) -> (Self, UnboundedReceiver<FromChannel>) {
        let (events, from_channels) = unbounded_channel();
        let (tell, opened) = unbounded_channel();
        let (masters, channels, opening) = (HashMap::new(), HashMap::new(), JoinSet::new());
        (
            Self {
                target,
                sender,
                access,
                given: None,
                masters,
                channels,
                connections: 0,
                numbered: 0,
                events,
                opening,
                tell,
                opened,
            },
            from_channels,
        )
    }

    /// The same where somebody has a connection to the target's host: it is the first, and isn't closed here.
    #[must_use]
    pub fn with_target(self, given: Option<Arc<Master>>) -> Self {
        Self { given, ..self }
    }

    /// What the next opening came to. Cancellation safe.
    pub async fn opened(&mut self) -> Opened {
        match self.opened.recv().await {
            Some(opened) => opened,
            // The pool itself holds a sender.
            None => std::future::pending().await,
        }
    }

    /// Starts to open a connection for so many channels. On this machine there is nothing to connect: the channels
    /// start at once. `pause`: to wait before, after a loss.
    pub fn connect(&mut self, channels: usize, pause: Duration) {
        self.connections += 1;
        let (connection, first) = (self.connections, self.connections == 1);
        if !self.is_remote() {
            return self.open(connection, channels);
        }
        // The first one to the source is there: its helper is asked over it.
        let known = self.origin().filter(|_| first).map(Remote::master);
        let origin = self.origin().filter(|_| !first).map(|remote| remote.link().clone());
        let given = self.given.clone().filter(|_| first);
        let (target, tell) = (self.target.clone(), self.tell.clone());
        self.opening.spawn(async move {
            tokio::time::sleep(pause).await;
            let masters = masters(&target, first, [known, given], origin).await;
            let _ = tell.send(Opened::Connection { connection, channels, masters });
        });
    }

    /// The host that sends, where that is another one.
    fn origin(&self) -> Option<&Remote> {
        self.sender.as_ref()?.remote()
    }

    fn is_remote(&self) -> bool {
        self.target.host.is_some() || self.origin().is_some()
    }

    /// Starts to open so many channels over a connection, as far as it can carry them.
    pub fn open(&mut self, connection: ConnectionId, channels: usize) {
        let there = self.channels.values().filter(|(over, _)| *over == connection).count();
        // On this machine nothing but -j limits them.
        let most = if self.is_remote() { SESSIONS } else { usize::MAX };
        for _ in 0..channels.min(most.saturating_sub(there)) {
            self.numbered += 1;
            let id = self.numbered;
            self.channels.insert(id, (connection, None));
            let (target, tell, events) = (self.target.clone(), self.tell.clone(), self.events.clone());
            let masters = self.masters.get(&connection).cloned().unwrap_or_default();
            let origin = self.origin().map(|remote| (remote.link().clone(), remote.hello().clone()));
            self.opening.spawn(async move {
                let opened = open_lane(id, &target, masters, origin.as_ref(), events).await;
                let _ = tell.send(Opened::Channel { channel: id, opened });
            });
        }
    }

    /// Takes a new connection and starts its channels.
    pub fn connected(&mut self, connection: ConnectionId, channels: usize, masters: Masters) {
        self.masters.insert(connection, masters);
        self.open(connection, channels);
    }

    /// Takes a channel's handles.
    pub fn add(&mut self, id: ChannelId, lane: Lane) {
        let Lane { target, source } = lane;
        if let Some((_, slot)) = self.channels.get_mut(&id) {
            *slot = Some(Lane { target: target.with(self.access), source });
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

    /// A channel that is open: the target's end of it.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        Some(&self.lane(id)?.target)
    }

    /// The same with both ends.
    #[must_use]
    pub fn lane(&self, id: ChannelId) -> Option<&Lane> {
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
            if let Opened::Connection { connection, masters: Ok(masters), .. } = opened {
                self.masters.insert(connection, masters);
            }
        }
        let mut closing = JoinSet::new();
        // That over which the source is asked closes with the endpoint.
        let kept = [self.origin().map(Remote::master), self.given.take()];
        let is_own = |master: &Arc<Master>| !kept.iter().flatten().any(|kept| Arc::ptr_eq(kept, master));
        for (_, Masters { source, target }) in self.masters.drain() {
            for master in source.into_iter().chain(target).filter(is_own) {
                closing.spawn(async move { master.close().await });
            }
        }
        closing.join_all().await;
    }
}

/// Connects to each end that is another host and not connected yet, both at the same time. `known`, `given`: what there is to the
/// source's host and to the target's.
async fn masters(
    target: &Link,
    first: bool,
    [known, given]: [Option<Arc<Master>>; 2],
    origin: Option<Link>,
) -> Result<Masters, ConnectError> {
    let source = async {
        match origin.as_ref().and_then(|link| Some((link.host.as_ref()?, &link.ssh))) {
            Some((host, ssh)) => Ok(Some(Arc::new(Master::connect(host, ssh, false).await?))),
            None => Ok(known),
        }
    };
    let target = async {
        match &target.host {
            Some(_) if given.is_some() => Ok(given),
            Some(host) => Ok(Some(Arc::new(Master::connect(host, &target.ssh, first).await?))),
            None => Ok(None),
        }
    };
    let (source, target) = tokio::try_join!(source, target)?;
    Ok(Masters { source, target })
}

/// Opens the helpers of both ends at the same time. When that of the source is gone, so is the channel.
async fn open_lane(
    id: ChannelId,
    link: &Link,
    masters: Masters,
    origin: Option<&(Link, Hello)>,
    events: UnboundedSender<FromChannel>,
) -> Result<Lane, HelperError> {
    let limit = link.silence.map_or(GREETED_WITHIN, |stall| stall.min(GREETED_WITHIN));
    let target = async {
        match (&masters.target, &link.host) {
            (Some(master), Some(host)) => {
                let (host, command) = (host.to_string(), link.helper.clone());
                opened_in_time(id, Arc::clone(master), host, command, limit, events.clone()).await
            }
            _ => Channel::local(id, &link.allow, limit, events.clone()),
        }
    };
    let source = async {
        let Some((master, (link, first))) = masters.source.as_ref().zip(origin) else { return Ok(None) };
        let (told, mut heard) = unbounded_channel();
        let (host, command) = (link.name(), link.helper.clone());
        let channel = opened_in_time(id, Arc::clone(master), host.clone(), command, limit, told).await?;
        // No stream may come from another host.
        same_host(&host, first, &greeting(&host, &mut heard).await?)?;
        tokio::spawn(only_its_end(id, heard, events.clone()));
        Ok(Some(channel))
    };
    let (target, source) = tokio::try_join!(target, source)?;
    Ok(Lane { target, source })
}

/// Of what a source's helper says only its end is news for the run.
async fn only_its_end(
    channel: ChannelId,
    mut heard: UnboundedReceiver<FromChannel>,
    events: UnboundedSender<FromChannel>,
) {
    while let Some(FromChannel { event, .. }) = heard.recv().await {
        if let ChannelEvent::Closed(_) = event {
            // The run may have ended.
            let _ = events.send(FromChannel { channel, event });
        }
    }
}

/// Opens a helper over a connection, or says that the connection doesn't answer.
async fn opened_in_time(
    id: ChannelId,
    master: Arc<Master>,
    host: String,
    command: HelperCommand,
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
    command: &HelperCommand,
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

//! The helper on a sender's host that is asked questions: over a channel of its own, so that no stream holds them up. One that was
//! lost is connected anew by whoever asks next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use helper::wire::{Reply, Request};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zfs::host::HANGS;
use zfs::{Answer, Failure, Hello, Query, Refusal};

use super::client::{Call, Channel, ChannelEvent, FromChannel, GREETED_WITHIN, HelperError};
use super::event::CONTROL;
use super::link::Link;
use super::ssh::Master;
use super::target::Host;
use crate::format::added;

/// An answer in many parts may take so many times as long as a part of it.
const PARTS: u32 = 20;
/// Where it couldn't be connected anew, nobody tries it again for so long.
const REMEMBERED: Duration = Duration::from_secs(10);

/// A sender's host.
#[derive(Debug)]
pub struct Remote {
    host: Host,
    link: Link,
    hello: Hello,
    took: Took,
    connection: Mutex<Connection>,
    /// One connects at a time; whoever waits for that shares its failure.
    connecting: tokio::sync::Mutex<Option<Unreachable>>,
}

/// How long the first connection took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Took {
    /// Until ssh had logged in.
    pub login: Duration,
    /// From then on, until the helper had greeted.
    pub greeting: Duration,
    /// How far the host's clock was ahead of ours by then, in seconds.
    clock: Option<i64>,
}

#[derive(Debug, Clone)]
struct Connection {
    master: Arc<Master>,
    channel: Channel,
}

/// Why it couldn't be connected anew.
#[derive(Debug)]
struct Unreachable {
    since: Instant,
    why: Failure,
}

impl Remote {
    /// Connects to a host, and has its helper greet.
    pub async fn open(host: &Host, link: &Link) -> Result<Self, HelperError> {
        let (connection, hello, took) = connect(host, link, true).await?;
        let (host, link, connection, connecting) = (host.clone(), link.clone(), Mutex::new(connection), <_>::default());
        Ok(Self { host, link, hello, took, connection, connecting })
    }

    /// Which host it is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What its helper says of itself.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// How long it took to open.
    #[must_use]
    pub fn took(&self) -> Took {
        self.took
    }

    /// How far the host's clock is ahead of ours, in seconds; older helpers don't tell.
    #[must_use]
    pub fn clock(&self) -> Option<i64> {
        self.took.clock
    }

    /// How it is reached.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channel for questions.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.connection().channel.clone()
    }

    /// The connection that carries it.
    #[must_use]
    pub fn master(&self) -> Arc<Master> {
        Arc::clone(&self.connection().master)
    }

    /// The next part of an answer that `channel` gives. A helper that doesn't give it in time is taken for dead: the next question goes
    /// to another one.
    pub async fn next(channel: &Channel, call: &mut Call, silence: Option<Duration>) -> Result<Reply, Failure> {
        let next = call.next();
        let reply = match silence {
            None => next.await,
            Some(silence) => tokio::time::timeout(silence, next).await.map_err(|_| {
                channel.give_up("it didn't answer in time");
                Failure::new(Refusal::Other, HANGS)
            })?,
        };
        reply.map_err(|error| match error {
            // Whoever tells it says of what.
            HelperError::Lost { reason, .. } => Failure::new(Refusal::Lost, &reason),
            error => Failure::new(Refusal::Lost, &error.to_string()),
        })
    }

    /// Asks its ZFS. A question whose answer is lost is asked once more over another connection; what changes something is not, as it may
    /// have been done.
    pub async fn ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        if self.channel().is_closed() {
            let not_tried = |why: Failure| {
                Failure::new(why.refusal, &added(&why.words, &format!("; {} was not tried", query.what())))
            };
            self.revive().await.map_err(|why| if query.changes() { not_tried(why) } else { why })?;
        }
        match self.try_ask(query.clone(), silence).await {
            Err(Failure { refusal: Refusal::Lost, words }) if query.changes() => {
                let unknown = format!("; it is not known whether {} has succeeded", query.what());
                Err(Failure::new(Refusal::Lost, &added(&words, &unknown)))
            }
            Err(Failure { refusal: Refusal::Lost, .. }) => {
                self.revive().await?;
                self.try_ask(query, silence).await
            }
            answer => answer,
        }
    }

    async fn try_ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        let channel = self.channel();
        let mut call = channel.call(|id| Request::Query { id, query });
        let began = Instant::now();
        let mut all: Option<Answer> = None;
        loop {
            let left = silence.map(|silence| silence.min((silence * PARTS).saturating_sub(began.elapsed())));
            match (Self::next(&channel, &mut call, left).await?, &mut all) {
                (Reply::Answer { part, .. }, None) => all = Some(part),
                (Reply::Answer { part, .. }, Some(all)) => {
                    if !all.append(part) {
                        return Err(Failure::new(Refusal::Other, "its answer has two different types"));
                    }
                }
                (Reply::Done { failure: Some(failure), .. }, _) => return Err(failure),
                (Reply::Done { .. }, Some(_)) => break,
                _ => return Err(Failure::new(Refusal::Other, "its answer doesn't match the request")),
            }
        }
        all.ok_or_else(|| Failure::new(Refusal::Other, "there was no answer"))
    }

    /// Makes a lost connection anew.
    pub async fn revive(&self) -> Result<(), Failure> {
        let mut unreachable = self.connecting.lock().await;
        if !self.channel().is_closed() {
            return Ok(());
        }
        if let Some(before) = unreachable.as_ref().filter(|before| before.since.elapsed() < REMEMBERED) {
            return Err(before.why.clone());
        }
        tracing::info!("the connection to {} was lost, and is opened again", self.host);
        match self.connect_again().await {
            Ok(connection) => {
                // Streams may still come over the old one: it ends with the last of those who have it.
                *self.connection() = connection;
                *unreachable = None;
                Ok(())
            }
            Err(error) => {
                let why = Failure::new(Refusal::Lost, &error.to_string());
                *unreachable = Some(Unreachable { since: Instant::now(), why: why.clone() });
                Err(why)
            }
        }
    }

    /// Connects to the same host, and to no other one that has its name by now.
    async fn connect_again(&self) -> Result<Connection, HelperError> {
        let (connection, hello, _) = connect(&self.host, &self.link, false).await?;
        if let Err(error) = same_host(&self.host.to_string(), &self.hello, &hello) {
            connection.channel.close();
            connection.master.close().await;
            return Err(error);
        }
        Ok(connection)
    }

    /// Ends the connection in good order, if nobody else uses it.
    pub async fn close(&self) {
        self.channel().close();
        self.master().close().await;
    }
}

/// Refuses a helper that is not on the host, and of the boot, where the first one was: after a failover behind one name the other host
/// has other content.
pub fn same_host(name: &str, first: &Hello, now: &Hello) -> Result<(), HelperError> {
    if first.may_be_same_boot(now) {
        return Ok(());
    }
    Err(HelperError::OtherHost { host: name.to_owned(), first: first.host.clone(), now: now.host.clone() })
}

/// Connects and waits for the helper's greeting. `first`: ssh may ask questions at the terminal.
async fn connect(host: &Host, link: &Link, first: bool) -> Result<(Connection, Hello, Took), HelperError> {
    let began = Instant::now();
    let master = Arc::new(Master::connect(host, &link.ssh, first).await?);
    let (login, began) = (began.elapsed(), Instant::now());
    let limit = link.silence.map_or(GREETED_WITHIN, |silence| silence.min(GREETED_WITHIN));
    let (events, mut told) = unbounded_channel();
    let channel = Channel::over_ssh(CONTROL, &master, &host.to_string(), &link.helper, limit, events).await?;
    let hello = greeting(&host.to_string(), &mut told).await?;
    let clock = hello.clock.map(|theirs| theirs.saturating_sub(jiff::Timestamp::now().as_second()));
    let took = Took { login, greeting: began.elapsed(), clock };
    Ok((Connection { master, channel }, hello, took))
}

/// Waits for the greeting of a helper, or for its end; the channel itself has a limit for that.
pub async fn greeting(host: &str, told: &mut UnboundedReceiver<FromChannel>) -> Result<Hello, HelperError> {
    loop {
        match told.recv().await.map(|FromChannel { event, .. }| event) {
            Some(ChannelEvent::Ready(hello)) => return Ok(hello),
            Some(ChannelEvent::Closed(error)) => return Err(error),
            Some(_) => {}
            None => {
                return Err(HelperError::Lost { host: host.to_owned(), reason: "the channel is closed".into() });
            }
        }
    }
}

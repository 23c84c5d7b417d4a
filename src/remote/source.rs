//! The helper on a sender's host that is asked questions: over a channel of its own, so that no stream holds them up. One that was
//! lost is connected anew by whoever asks next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use helper::wire::{Reply, Request};
use tokio::sync::mpsc::unbounded_channel;
use zfs::host::HANGS;
use zfs::{Answer, Failure, Hello, Query, Refusal};

use super::client::{Call, Channel, ChannelEvent, FromChannel, GREETED_WITHIN, HelperError};
use super::link::Link;
use super::ssh::Master;
use super::target::Host;

/// Its number among channels: those of a run have others.
const CONTROL: u32 = 0;
/// An answer in many parts may take so many times as long as a part of it.
const PARTS: u32 = 20;

/// A sender's host.
#[derive(Debug)]
pub struct Remote {
    host: Host,
    link: Link,
    hello: Hello,
    took: Took,
    connection: Mutex<Connection>,
    /// One connects at a time.
    connecting: tokio::sync::Mutex<()>,
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

    /// Asks something over the channel that is there.
    pub fn call(&self, request: impl FnOnce(u64) -> Request) -> Call {
        self.channel().call(request)
    }

    /// The next part of an answer.
    pub async fn next(&self, call: &mut Call, silence: Option<Duration>) -> Result<Reply, Failure> {
        let next = call.next();
        let reply = match silence {
            None => next.await,
            Some(silence) => {
                tokio::time::timeout(silence, next).await.map_err(|_| Failure::new(Refusal::Other, HANGS))?
            }
        };
        reply.map_err(|error| match error {
            // Whoever tells it says of what.
            HelperError::Lost { reason, .. } => Failure::new(Refusal::Lost, &reason),
            error => Failure::new(Refusal::Lost, &error.to_string()),
        })
    }

    /// Asks its ZFS. Where the connection is lost it is made anew, once.
    pub async fn ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        match self.try_ask(query.clone(), silence).await {
            Err(Failure { refusal: Refusal::Lost, .. }) => {
                self.revive().await?;
                self.try_ask(query, silence).await
            }
            answer => answer,
        }
    }

    async fn try_ask(&self, query: Query, silence: Option<Duration>) -> Result<Answer, Failure> {
        let mut call = self.call(|id| Request::Query { id, query });
        let began = Instant::now();
        let mut all: Option<Answer> = None;
        loop {
            let left = silence.map(|silence| silence.min((silence * PARTS).saturating_sub(began.elapsed())));
            match (self.next(&mut call, left).await?, &mut all) {
                (Reply::Answer { part, .. }, None) => all = Some(part),
                (Reply::Answer { part, .. }, Some(all)) => {
                    if !all.append(part) {
                        return Err(Failure::new(Refusal::Other, "its answer is of two kinds"));
                    }
                }
                (Reply::Done { failure: Some(failure), .. }, _) => return Err(failure),
                (Reply::Done { .. }, Some(_)) => break,
                _ => return Err(Failure::new(Refusal::Other, "its answer doesn't fit the question")),
            }
        }
        all.ok_or_else(|| Failure::new(Refusal::Other, "there was no answer"))
    }

    /// Makes a lost connection anew.
    pub async fn revive(&self) -> Result<(), Failure> {
        let _one = self.connecting.lock().await;
        if !self.channel().is_closed() {
            return Ok(());
        }
        tracing::info!("the connection to {} is lost and made anew", self.host);
        let made = connect(&self.host, &self.link, false).await;
        let (connection, ..) = made.map_err(|error| Failure::new(Refusal::Lost, &error.to_string()))?;
        let old = std::mem::replace(&mut *self.connection(), connection);
        old.master.close().await;
        Ok(())
    }

    /// What is told where it broke off.
    #[must_use]
    pub fn lost(&self) -> Failure {
        Failure::new(Refusal::Lost, &self.channel().why_closed())
    }

    /// Ends the connection in good order, if nobody else uses it.
    pub async fn close(&self) {
        self.channel().close();
        self.master().close().await;
    }
}

/// Connects and waits for the helper's greeting. `first`: ssh may ask questions at the terminal.
async fn connect(host: &Host, link: &Link, first: bool) -> Result<(Connection, Hello, Took), HelperError> {
    let began = Instant::now();
    let master = Arc::new(Master::connect(host, &link.ssh, first).await?);
    let (login, began) = (began.elapsed(), Instant::now());
    let limit = link.silence.map_or(GREETED_WITHIN, |silence| silence.min(GREETED_WITHIN));
    let (events, mut told) = unbounded_channel();
    let channel = Channel::over_ssh(CONTROL, &master, &host.to_string(), &link.helper, limit, events).await?;
    loop {
        match told.recv().await.map(|FromChannel { event, .. }| event) {
            Some(ChannelEvent::Ready(hello)) => {
                let clock = hello.clock.map(|theirs| theirs.saturating_sub(jiff::Timestamp::now().as_second()));
                let took = Took { login, greeting: began.elapsed(), clock };
                return Ok((Connection { master, channel }, hello, took));
            }
            Some(ChannelEvent::Closed(error)) => return Err(error),
            Some(_) => {}
            None => {
                let reason = "the channel is closed".into();
                return Err(HelperError::Lost { host: host.to_string(), reason });
            }
        }
    }
}

//! SIGINT, SIGTERM and SIGHUP as values: the first ends the run in good order, the second at once. A job's time limit is
//! like a signal.

use std::pin::Pin;
use std::time::Instant;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::error::{Signal, StartError};

/// The signals that end a run.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
    limit: Option<Pin<Box<Sleep>>>,
}

impl Signals {
    /// Starts to listen; from now on these signals don't end the process by themselves.
    pub fn listen() -> Result<Self, StartError> {
        let open = |kind| signal(kind).map_err(|error| StartError::System { what: "can't listen for signals", error });
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hangup: open(SignalKind::hangup())?,
            limit: None,
        })
    }

    /// With a time at which it is as if SIGTERM had come.
    pub fn listen_until(until: Option<Instant>) -> Result<Self, StartError> {
        let limit = until.map(|until| Box::pin(tokio::time::sleep_until(until.into())));
        Ok(Self { limit, ..Self::listen()? })
    }

    /// The next one. Cancellation safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Terminate,
            () = passed(self.limit.as_mut()) => {
                self.limit = None;
                Signal::Terminate
            }
        }
    }
}

/// Ends with the next signal.
pub async fn signalled() {
    match Signals::listen() {
        Ok(mut signals) => _ = signals.next().await,
        Err(_) => std::future::pending().await,
    }
}

async fn passed(limit: Option<&mut Pin<Box<Sleep>>>) {
    match limit {
        Some(limit) => limit.await,
        None => std::future::pending().await,
    }
}

/// Remembers the first signal that comes, and the second, for those who look now and then.
#[derive(Debug, Clone)]
pub struct Watch {
    first: watch::Receiver<Option<Signal>>,
    second: watch::Receiver<Option<Signal>>,
}

impl Watch {
    /// Waits for it on a task of its own; from now on signals don't end the process by themselves.
    pub fn start() -> Result<Self, StartError> {
        let mut signals = Signals::listen()?;
        let ((tell_first, first), (tell_second, second)) = (watch::channel(None), watch::channel(None));
        tokio::spawn(async move {
            for tell in [&tell_first, &tell_second] {
                let signal = signals.next().await;
                tell.send_replace(Some(signal));
            }
            // Whoever waits for them has them, and they are never taken back.
            tell_second.closed().await;
        });
        Ok(Self { first, second })
    }

    /// For what the first signal doesn't stop: the second is its first.
    #[must_use]
    pub fn of_second(&self) -> Self {
        Self { first: self.second.clone(), second: self.second.clone() }
    }

    /// What has come.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        *self.first.borrow()
    }

    /// Waits for the first one, or has it already. Cancellation safe.
    pub async fn first(&self) -> Signal {
        let mut seen = self.first.clone();
        match seen.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            // The task lives as long as anybody listens.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

//! What ends a job before it is through: a signal, or its time limit.

use std::future::Future;
use std::time::{Duration, Instant};

use super::signals::Watch;
use crate::error::{Signal, StartError};

/// Asked between the parts of a job.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Signals, where somebody watches them.
    pub watch: Option<Watch>,
    /// The end of the time, and how much it was.
    pub limit: Option<(Instant, Duration)>,
}

impl Stop {
    /// With a limit from now on.
    #[must_use]
    pub fn after(watch: Watch, limit: Option<Duration>) -> Self {
        Self { watch: Some(watch), limit: limit.map(|limit| (Instant::now() + limit, limit)) }
    }

    /// The signal that has come.
    #[must_use]
    pub fn signal(&self) -> Option<Signal> {
        self.watch.as_ref().and_then(Watch::signal)
    }

    /// When it is late.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.limit.map(|(until, _)| until)
    }

    /// Does some work, unless the job is ended before it is through; the work is dropped then.
    pub async fn unless<T>(&self, work: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
        let ended = async {
            tokio::select! {
                signal = signalled(self.watch.as_ref()) => StartError::Interrupted(signal),
                limit = passed(self.limit) => StartError::TooLong(limit),
            }
        };
        tokio::select! {
            done = work => done,
            error = ended => Err(error),
        }
    }

    /// An error if the job may not go on.
    pub fn check(&self) -> Result<(), StartError> {
        if let Some(signal) = self.signal() {
            return Err(StartError::Interrupted(signal));
        }
        match self.limit {
            Some((until, limit)) if Instant::now() >= until => Err(StartError::TooLong(limit)),
            _ => Ok(()),
        }
    }
}

async fn signalled(watch: Option<&Watch>) -> Signal {
    match watch {
        Some(watch) => watch.first().await,
        None => std::future::pending().await,
    }
}

async fn passed(limit: Option<(Instant, Duration)>) -> Duration {
    match limit {
        Some((until, limit)) => {
            tokio::time::sleep_until(until.into()).await;
            limit
        }
        None => std::future::pending().await,
    }
}

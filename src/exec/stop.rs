//! What ends a job before it is through: a signal, or its time limit.

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

//! SIGINT, SIGTERM and SIGHUP as values: the first ends the run in good order, the second at once.

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::error::{Signal, StartError};

/// The signals that end a run.
#[derive(Debug)]
pub struct Signals {
    interrupt: Stream,
    terminate: Stream,
    hangup: Stream,
}

impl Signals {
    /// Starts to listen; from now on these signals don't end the process by themselves.
    pub fn listen() -> Result<Self, StartError> {
        let open = |kind| signal(kind).map_err(|error| StartError::System { what: "can't listen for signals", error });
        Ok(Self {
            interrupt: open(SignalKind::interrupt())?,
            terminate: open(SignalKind::terminate())?,
            hangup: open(SignalKind::hangup())?,
        })
    }

    /// The next one. Cancellation safe.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Terminate,
        }
    }
}

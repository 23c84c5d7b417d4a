//! The receiving end: `zfsync recv --stdio` on the target host. It answers questions about the host's datasets and feeds
//! streams to `zfs recv`; it plans nothing and decides nothing. Plain threads and blocking calls, so that it starts at once.

mod host;
mod list;
mod local;
mod process;
mod query;
mod receiving;
mod replies;
mod serve;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use thiserror::Error;

pub use host::{Found, Host, Process, Sink, Snapshot, Started};
pub use local::LocalHost;
pub use serve::serve;

use super::wire::WireError;
use crate::name::DatasetName;

/// What a helper may do.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// It answers for these datasets and those below them, and touches no others; none: for all.
    pub roots: Vec<DatasetName>,
}

impl Config {
    fn allows(&self, dataset: &DatasetName) -> bool {
        self.roots.is_empty() || self.roots.iter().any(|root| dataset.is_within(root))
    }
}

/// Why a helper ended early.
#[derive(Debug, Error)]
pub enum HelperError {
    /// The sender's bytes make no sense, or it vanished within a frame.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// A frame in a place where it has no meaning.
    #[error("out of order: {0}")]
    Order(&'static str),
    /// Its own stdio can't be used.
    #[error("stdin and stdout can't be used: {0}")]
    Stdio(#[source] io::Error),
}

/// The whole of `zfsync recv --stdio`: serves on stdin and stdout until the sender is gone.
#[must_use]
pub fn main_stdio(config: Config) -> ExitCode {
    match stdio().and_then(|(input, output)| serve(config, input, output, Arc::new(LocalHost::new()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever read stderr may be gone too.
            let _ = writeln!(io::stderr(), "zfsync helper: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The descriptors themselves: `std::io::stdin` reads ahead, and would swallow bytes of a stream.
fn stdio() -> Result<(OwnedFd, OwnedFd), HelperError> {
    let own = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).map_err(|error| HelperError::Stdio(error.into()));
    Ok((own(rustix::stdio::stdin())?, own(rustix::stdio::stdout())?))
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

//! The receiving end: `zfsync recv --stdio` on the target host. It answers questions about the host's datasets and feeds
//! streams to `zfs recv`; it plans nothing and decides nothing. Plain threads and blocking calls, so that it starts at once.

pub mod command_line;
mod content;
mod context;
mod deeds;
mod examine;
mod guard;
mod incoming;
mod input;
mod judge;
mod key_guard;
mod notes;
mod outlook;
pub mod pace;
pub mod pump;
mod query;
mod receiving;
mod replies;
mod serve;
mod streams;
mod syslog;
pub mod wire;

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use serve::serve;
pub use streams::read_report;

use wire::WireError;
use zfs::name::DatasetName;
use zfs::{Allow, Failure, Limits, LocalHost, Refusal};

/// A `zfs` that answers a question, or changes something, and has said nothing for so long hangs: nobody waits for it any more.
const HANGS: Duration = Duration::from_secs(3600);

/// The ends of a replication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// `zfsync recv`: the target's.
    #[default]
    Receiver,
    /// `zfsync send`: the source's.
    Sender,
}

/// What a helper may do.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// It answers for these datasets and those below them, and touches no others; none: for all.
    pub roots: Vec<DatasetName>,
    /// What it may do beside receiving.
    pub allow: Vec<Allow>,
    /// Which end of a replication it serves.
    pub side: Side,
    /// So long the other side may be silent; `None` for [`wire::SILENCE`].
    pub silence: Option<Duration>,
    /// So long it may not read what is said to it; `None` for [`wire::SILENCE`].
    pub unread: Option<Duration>,
}

impl Config {
    /// Whether a dataset may be touched.
    fn allows(&self, dataset: &DatasetName) -> bool {
        self.roots.is_empty() || self.roots.iter().any(|root| dataset.is_within(root))
    }

    /// Whether it may be told that a dataset exists: those above a root are no secret, and a sender must know the nearest.
    fn tells_of(&self, dataset: &DatasetName) -> bool {
        self.allows(dataset) || self.roots.iter().any(|root| root.is_within(dataset))
    }

    /// For what may not be touched.
    fn check(&self, dataset: &DatasetName) -> Result<(), Failure> {
        if self.allows(dataset) {
            return Ok(());
        }
        let roots = self.roots.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let words = format!("this helper may only access {roots} (its --root), not {dataset}");
        Err(Failure::new(Refusal::NotAllowed, &words))
    }

    /// For what needs an `--allow`.
    fn check_allowed(&self, what: Allow) -> Result<(), Failure> {
        if self.allow.contains(&what) {
            return Ok(());
        }
        let word = what.word();
        let words = format!("this helper does not allow {word}: its command line has no --allow {word}");
        Err(Failure::new(Refusal::NotAllowed, &words))
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
    #[error("stdin and stdout can't be used: {}", zfs::text::os_words(.0))]
    Stdio(#[source] io::Error),
}

/// The whole of `zfsync recv --stdio`: serves on stdin and stdout until the sender is gone.
#[must_use]
pub fn main_stdio(config: Config) -> ExitCode {
    let host = LocalHost::limited(Limits { silence: Some(HANGS), ..Limits::default() });
    match stdio().and_then(|(input, output)| serve(config, input, output, Arc::new(host))) {
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
mod damage_tests;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fake_source;
#[cfg(test)]
mod guarded_tests;
#[cfg(test)]
mod notes_tests;
#[cfg(test)]
mod package_tests;
#[cfg(test)]
mod sender_tests;
#[cfg(test)]
mod streams_tests;
#[cfg(test)]
mod tests;

//! Why there is no connection, in words for the user.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a master couldn't be started.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// There is no `ssh` here.
    #[error("can't run ssh: {0}; is the OpenSSH client installed?")]
    NoSsh(io::Error),
    /// No place for the control socket.
    #[error("can't make a directory for ssh's control socket in {dir}: {error}")]
    Directory {
        /// Where it was tried.
        dir: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// ssh ended; its own words.
    #[error("can't connect to {host}: ssh says: {words}")]
    Refused {
        /// The destination.
        host: String,
        /// ssh's words.
        words: String,
        /// Whether the other end was only too busy (MaxStartups), so that trying again makes sense.
        busy: bool,
    },
    /// ssh came to no end.
    #[error(
        "can't connect to {host}: ssh has not logged in within {seconds} s; try ssh -v {host}, and ConnectTimeout in ssh_config for \
         hosts that answer late"
    )]
    Slow {
        /// The destination.
        host: String,
        /// So long.
        seconds: u64,
    },
    /// A session over an existing connection was refused.
    #[error("{host} refused another session: {error}")]
    Session {
        /// The destination.
        host: String,
        /// The crate's words.
        error: String,
    },
}

impl ConnectError {
    /// Whether it is of no use to try again, however long the host is waited for: who we are, or who they are, is wrong.
    #[must_use]
    pub fn fatal(&self) -> bool {
        let Self::Refused { words, .. } = self else { return matches!(self, Self::NoSsh(_) | Self::Directory { .. }) };
        let words = words.to_ascii_lowercase();
        let refusals =
            ["permission denied", "host key verification failed", "authentication failures", "bad configuration"];
        refusals.iter().any(|refusal| words.contains(refusal))
    }

    /// Whether the same may work a little later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Refused { busy: true, .. } | Self::Session { .. })
    }
}

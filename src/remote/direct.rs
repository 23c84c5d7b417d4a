//! A push that runs on another host (`--direct`): this end starts `zfsync direct --stdio` there, hands it one [`Order`], and hears what comes
//! of it; that end ([`service`]) takes the order.
//!
//! What is said is lines of JSON, both ways. An empty line says that who sends it lives. The first line from the other host is its greeting:
//! `ZFSYNC-DIRECT/1 {"version":"0.1.0"}`.

pub mod order;
pub mod service;
mod session;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead, Read as _};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ssh::ConnectError;
pub use order::{Look, Order};
pub use session::Session;

/// How it is started where the user says nothing else. Constant: no name ever reaches a shell.
pub const REMOTE_DIRECT: &str = "zfsync direct --stdio";

/// The first word of its greeting, before a slash and [`PROTOCOL`].
const GREETING: &str = "ZFSYNC-DIRECT";
/// Changes when what is said does.
const PROTOCOL: u32 = 1;
/// An order is no longer than this.
const MAX_ORDER: usize = 1024 * 1024;
/// What is told is no longer than this: the names of some hundred thousand snapshots.
pub const MAX_TOLD: usize = 16 * 1024 * 1024;
/// What to do where it is not possible.
const WITHOUT_DIRECT: &str = "without --direct the data passes through this machine";

/// What stands behind the greeting.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Version {
    #[serde(default)]
    version: String,
}

/// How the run is to end before it is through, as a signal would have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// What is said after the order.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Ask {
    stop: Stop,
}

/// Why nothing, or no more, is heard from the other host.
#[derive(Debug, Error)]
pub enum DirectError {
    /// The pipes or threads couldn't be made.
    #[error("can't start a session: {}", zfs::text::os_words(.0))]
    Start(#[from] io::Error),
    /// The order is longer than any that is meant.
    #[error("the options are too long for --direct: {bytes} bytes, and {MAX_ORDER} are the limit")]
    TooLong {
        /// So long.
        bytes: usize,
    },
    /// No connection, or no session over it.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no `zfsync`.
    #[error(
        "{host} has no zfsync, which has to run there for --direct: {words}\n  {WITHOUT_DIRECT}; or install the same zfsync there, or name \
         its place with --remote-zfsync PATH"
    )]
    Missing {
        /// The host.
        host: String,
        /// The shell's words.
        words: String,
    },
    /// It doesn't know the command.
    #[error(
        "zfsync on {host} does not support --direct: {words}\n  {WITHOUT_DIRECT}; or install the same version on both hosts"
    )]
    Unknown {
        /// The host.
        host: String,
        /// Its words.
        words: String,
    },
    /// It speaks another protocol.
    #[error(
        "zfsync {version} on {host} speaks protocol {theirs} of --direct, this is zfsync {} with protocol {PROTOCOL}: install the same \
         version on both hosts; {WITHOUT_DIRECT}",
        env!("CARGO_PKG_VERSION")
    )]
    Protocols {
        /// The host.
        host: String,
        /// Its number.
        theirs: String,
        /// Its version.
        version: String,
    },
    /// The key has a command of its own.
    #[error(
        "the key for {host} may only start a helper there (command=\"zfsync send --stdio\" or recv, in its authorized_keys), and --direct has \
         to run zfsync direct: use a key without that restriction; {WITHOUT_DIRECT}, for which such a key is enough"
    )]
    Restricted {
        /// The host.
        host: String,
    },
    /// It never greeted.
    #[error(
        "no greeting from zfsync direct on {host} ({status}); it, or the login shell's start-up files, wrote:\n{words}"
    )]
    NoGreeting {
        /// The host.
        host: String,
        /// How it ended.
        status: String,
        /// What came instead.
        words: String,
    },
    /// It didn't greet in time.
    #[error(
        "no greeting from zfsync direct on {host} within {seconds} s: it, or the login shell there, may be waiting for input; its output \
         so far:\n{words}"
    )]
    Late {
        /// The host.
        host: String,
        /// So long.
        seconds: u64,
        /// What came instead.
        words: String,
    },
    /// It said what no zfsync says.
    #[error("zfsync on {host} violated the protocol: {what}; the connection was closed, which ends the push there")]
    Protocol {
        /// The host.
        host: String,
        /// How.
        what: String,
    },
    /// The session has ended before the push.
    #[error(
        "the connection to zfsync on {host} was lost: {reason}\n  the push there ends by itself, and the next one resumes it"
    )]
    Lost {
        /// The host.
        host: String,
        /// Why, as far as known.
        reason: String,
    },
    /// Nothing has come for too long.
    #[error(
        "zfsync on {host} has sent nothing for {seconds} s (--stall-timeout)\n  the push there ends by itself when the connection is \
         gone, and the next one resumes it"
    )]
    Silent {
        /// The host.
        host: String,
        /// So long.
        seconds: u64,
    },
}

/// Reads a line with its line feed into `line`, which is emptied before; `false` at the end.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    line.clear();
    input.take(most as u64 + 1).read_until(b'\n', line)?;
    if line.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line of more than {most} bytes")));
    }
    // What a connection has cut is no line.
    Ok(line.pop() == Some(b'\n'))
}

/// One message as a line.
pub fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Whoever hears nothing for so long takes the other one for dead.
const SILENCE: Duration = helper::wire::SILENCE;

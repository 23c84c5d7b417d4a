//! What channels tell the run, and what can be the matter with a helper.

use std::io;

use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

use super::ssh::ConnectError;
use crate::format::count;
use helper::wire::{PROTOCOL, Reply};
use zfs::{Failure, Hello};

/// Numbers the channels of a run.
pub type ChannelId = u32;

/// The number of a channel that carries no streams; those of a run have others.
pub const CONTROL: ChannelId = 0;

/// What a channel tells the run.
#[derive(Debug)]
pub enum ChannelEvent {
    /// The helper has greeted.
    Ready(Hello),
    /// The receive of a step shows a sign of life.
    Beat {
        /// The step.
        id: u64,
    },
    /// The receive of a step is through.
    Received {
        /// The step.
        id: u64,
        /// Why it failed.
        failure: Option<Failure>,
        /// What could not be done beside it.
        warning: Option<String>,
    },
    /// `zfs send` expects so many bytes for this step.
    Estimated {
        /// The step.
        id: u64,
        /// Bytes.
        total: u64,
    },
    /// The stream is over on this side; the channel can take the next.
    Sent {
        /// The step.
        id: u64,
        /// Bytes moved.
        bytes: u64,
        /// What was wrong with `zfs send`; the stream was aborted then. Also when the receiver stopped it.
        failure: Option<SendFailure>,
    },
    /// The helper is gone.
    Closed(HelperError),
}

/// Why a stream broke off on this side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    /// The words of `zfs send`, or what happened to it.
    pub words: String,
    /// Somebody has killed it: it has nothing against being started again.
    pub killed: bool,
}

/// A [`ChannelEvent`] with its sender.
#[derive(Debug)]
pub struct FromChannel {
    /// Which channel.
    pub channel: ChannelId,
    /// What.
    pub event: ChannelEvent,
}

/// What can be the matter with a helper.
#[derive(Debug, Error)]
pub enum HelperError {
    /// The pipes or the process couldn't be made.
    #[error("can't start the helper: {}", zfs::text::os_words(.0))]
    Start(#[from] io::Error),
    /// The session couldn't be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The host has no `zfsync`.
    #[error(
        "{host} has no zfsync helper: {words}\n  install it there: zfsync helper install {host} (--system: for all users of that host); or \
         give its path with --remote-zfsync PATH"
    )]
    Missing {
        /// The host.
        host: String,
        /// The shell's words.
        words: String,
    },
    /// The host lacks what the user's own command for the helper begins with.
    #[error(
        "can't run {word} on {host}, the first word of {command:?}: {words}\n  install it there, or leave out --remote-zfsync \
         (remote-zfsync in a job): then an installed zfsync is used, or a helper is sent along"
    )]
    NoCommand {
        /// The host.
        host: String,
        /// Its first word.
        word: String,
        /// The command.
        command: String,
        /// The shell's words.
        words: String,
    },
    /// The key runs a helper, whatever was asked for.
    #[error("this key's forced command on {host} runs zfsync: use a key with a shell")]
    Forced {
        /// The host.
        host: String,
    },
    /// What is needed to run `zfs` alone isn't there.
    #[error("can't run zfs on {host} without a helper: sh could not be started there:\n{words}")]
    NoShell {
        /// The host.
        host: String,
        /// What came instead.
        words: String,
    },
    /// There is no `zfs`.
    #[error(
        "{host} has no zfs command: it is neither in the PATH of the user there, nor in /sbin, /usr/sbin or /usr/local/sbin; install OpenZFS \
         on it"
    )]
    NoZfs {
        /// The host.
        host: String,
    },
    /// `zfs` can't be called as the user wants it.
    #[error("can't run '{command}' on {host}: {}{advice}", if .words.is_empty() { "it failed without a message" } else { .words })]
    ZfsRefused {
        /// The host.
        host: String,
        /// What was tried.
        command: String,
        /// What came of it.
        words: String,
        /// What to do, on a line of its own.
        advice: String,
    },
    /// No session is left for one more channel.
    #[error("{host} permits {} at a time over a connection (MaxSessions in its sshd_config)", count(*sessions, "session"))]
    Sessions {
        /// The host.
        host: String,
        /// So many.
        sessions: usize,
    },
    /// None can be sent along.
    #[error("can't send a helper to {host}: {words}")]
    NotSent {
        /// The host.
        host: String,
        /// Why not.
        words: String,
    },
    /// One that has arrived whole does not start.
    #[error(
        "the helper that was sent to {host} can't run there: {words}\n  install a zfsync that runs there, put a static helper beside this one \
         (dist/helpers/build), or run zfs alone there (--helper plain)"
    )]
    Broken {
        /// The host.
        host: String,
        /// What its shell says, and how it ended.
        words: String,
    },
    /// It speaks another protocol.
    #[error(
        "the helper on {host} uses protocol {theirs} (zfsync {version}), but this is protocol {PROTOCOL} (zfsync {}): \
         install the same version on both hosts",
        env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The host.
        host: String,
        /// Its number, or what stood in its place.
        theirs: String,
        /// Its zfsync version, as far as it told.
        version: String,
    },
    /// It never greeted.
    #[error(
        "no greeting from the helper on {host} ({status}); it, or the login shell's start-up files, wrote:\n{words}"
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
        "no greeting from the helper on {host} within {seconds} s: the helper or the login shell there may be waiting for input; check the \
         shell's start-up files, and try the helper's command by hand; its output so far:\n{words}"
    )]
    Silent {
        /// The host.
        host: String,
        /// So long.
        seconds: u64,
        /// What came instead.
        words: String,
    },
    /// It is not where the first one was.
    #[error(
        "{host} is another host now, or was restarted, or does not report its boot ID: the first connection reached {first:?}, this one \
         {now:?}; run zfsync again"
    )]
    OtherHost {
        /// As it is reached.
        host: String,
        /// What the first one calls itself.
        first: String,
        /// What this one calls itself.
        now: String,
    },
    /// It said what no helper of ours says, or more than it may.
    #[error("the helper on {host} violated the protocol: {what}; its connection was closed")]
    Protocol {
        /// The host.
        host: String,
        /// How.
        what: String,
    },
    /// It greeted, and then the connection ended.
    #[error("the connection to the helper on {host} was lost: {reason}")]
    Lost {
        /// The host.
        host: String,
        /// Why, as far as known.
        reason: String,
    },
}

/// Sends a channel's events.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    pub(super) channel: ChannelId,
    pub(super) events: UnboundedSender<FromChannel>,
}

impl Teller {
    /// Tells what comes of a step.
    pub(super) fn step(&self, reply: Reply) {
        match reply {
            Reply::Beat { id } => self.tell(ChannelEvent::Beat { id }),
            Reply::Done { id, failure, warning } => self.tell(ChannelEvent::Received { id, failure, warning }),
            // Steps have no other replies.
            _ => {}
        }
    }

    pub(super) fn tell(&self, event: ChannelEvent) {
        // The run may have ended.
        let _ = self.events.send(FromChannel { channel: self.channel, event });
    }
}

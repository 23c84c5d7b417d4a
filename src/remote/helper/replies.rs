//! The helper's stdout: whole frames only, from several threads.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use super::syslog::Syslog;
use crate::remote::wire::{self, Failure, FrameKind, Hello, Reply, WireError};
use crate::zfs::Refusal;

/// Where replies go.
pub(super) struct Replies(Mutex<File>, OwnedFd, Syslog);

impl Replies {
    /// What is refused is noted in `log` too.
    pub(super) fn new(output: OwnedFd, log: Syslog) -> io::Result<Self> {
        let watched = output.try_clone()?;
        Ok(Self(Mutex::new(output.into()), watched, log))
    }

    pub(super) fn greet(&self, hello: &Hello) -> Result<(), WireError> {
        let line = hello.to_line()?;
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(output.write_all(line.as_bytes())?)
    }

    /// Sends one reply. Callers that can't help it ignore an error: when the sender is gone, its stdin end tells too.
    pub(super) fn send(&self, reply: &Reply) -> Result<(), WireError> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wire::write_message(&mut *output, FrameKind::Reply, reply)
    }

    /// Says that a request is through.
    pub(super) fn done(&self, id: u64, failure: Option<Failure>) {
        self.done_with(id, failure, None);
    }

    /// The same, with what was odd although it went well.
    pub(super) fn done_with(&self, id: u64, failure: Option<Failure>, warning: Option<String>) {
        if let Some(Failure { refusal: Refusal::NotAllowed | Refusal::UnexpectedStream, words }) = &failure {
            self.2.warn(words);
        }
        let _ = self.send(&Reply::Done { id, failure, warning });
    }

    /// Whether nobody reads any more.
    pub(super) fn is_broken(&self) -> bool {
        let mut fds = [self.watch()];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
    }

    /// For a poll that wants to know when nobody reads any more.
    pub(super) fn watch(&self) -> PollFd<'_> {
        PollFd::new(&self.1, PollFlags::empty())
    }
}

/// How often a wait looks whether anybody still reads the replies.
pub(super) const LOOK: Duration = Duration::from_millis(500);

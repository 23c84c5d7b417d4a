//! The helper's stdout: whole frames only, from several threads.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::syslog::Syslog;
use crate::wire::{self, FrameKind, Reply, SILENCE, WireError};
use zfs::{Failure, Hello, Refusal};

/// Where replies go.
pub(super) struct Replies(Mutex<Patient>, OwnedFd, Syslog, Queue);

/// How many replies wait to be written: a stream lets them pass between its frames, as a lock alone would hand itself back to the stream.
#[derive(Default)]
struct Queue(AtomicUsize);

/// The descriptor, for so long as somebody reads.
struct Patient {
    output: File,
    /// So long nobody may read.
    unread: Duration,
    /// Nobody has read for so long, and so half a frame may be out.
    given_up: bool,
    /// A stream is under way, whose reader takes the time that it takes.
    carries: bool,
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = Timespec::try_from(self.unread).ok();
        if self.given_up {
            return Err(io::ErrorKind::TimedOut.into());
        }
        loop {
            match rustix::event::poll(&mut [PollFd::new(&self.output, PollFlags::OUT)], most.as_ref()) {
                Ok(0) if self.carries => {}
                Ok(0) => {
                    self.given_up = true;
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // A pipe that can be written takes so much at once (pipe(7)).
                Ok(_) => match self.output.write(&bytes[..bytes.len().min(AT_ONCE)]) {
                    // A stream has made it non-blocking, and it has less room than was said.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(AGAIN),
                    written => return written,
                },
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// How soon a stream looks again whether a reply has passed.
const PASS: Duration = Duration::from_micros(100);
/// How soon a write is tried again that found no room.
const AGAIN: Duration = Duration::from_millis(10);
/// `PIPE_BUF` on Linux; elsewhere it is smaller, and a write may wait for a reader.
const AT_ONCE: usize = 4096;

impl Replies {
    /// What is refused is noted in `log` too. `unread`: so long nobody may read; `None` for [`SILENCE`].
    pub(super) fn new(output: OwnedFd, log: Syslog, unread: Option<Duration>) -> io::Result<Self> {
        let watched = output.try_clone()?;
        let (output, unread) = (output.into(), unread.unwrap_or(SILENCE));
        Ok(Self(
            Mutex::new(Patient { output, unread, given_up: false, carries: false }),
            watched,
            log,
            Queue::default(),
        ))
    }

    pub(super) fn greet(&self, hello: &Hello) -> Result<(), WireError> {
        let line = wire::greeting(hello)?;
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(output.write_all(line.as_bytes())?)
    }

    /// Sends one reply, and notes in the system's log what is refused by it. Callers that can't help it ignore an error: when the
    /// sender is gone, its stdin end tells too.
    pub(super) fn send(&self, reply: &Reply) -> Result<(), WireError> {
        if let Reply::Done { failure: Some(Failure { refusal, words }), .. } = reply
            && matches!(refusal, Refusal::NotAllowed | Refusal::UnexpectedStream | Refusal::WrappedKey)
        {
            self.2.warn(words);
        }
        self.3.0.fetch_add(1, Ordering::Relaxed);
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.3.0.fetch_sub(1, Ordering::Relaxed);
        wire::write_message(&mut *output, FrameKind::Reply, reply)
    }

    /// The right to write whole frames to [`Replies::output`], for as long as it is kept.
    pub(super) fn turn(&self) -> impl Drop + '_ {
        while self.3.0.load(Ordering::Relaxed) > 0 {
            thread::sleep(PASS);
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where replies go.
    pub(super) fn output(&self) -> &OwnedFd {
        &self.1
    }

    /// Whether a stream is under way.
    pub(super) fn carries(&self, a_stream: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).carries = a_stream;
    }

    /// Half a frame is out: nothing that is written would be understood.
    pub(super) fn give_up(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).given_up = true;
    }

    /// Ends a stream.
    pub(super) fn mark(&self, kind: FrameKind) {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever doesn't read it will see the end of the session.
        let _ = wire::write_mark(&mut *output, kind);
    }

    /// Says that a request is through.
    pub(super) fn done(&self, id: u64, failure: Option<Failure>) {
        self.done_with(id, failure, None);
    }

    /// The same, with what was odd although it went well.
    pub(super) fn done_with(&self, id: u64, failure: Option<Failure>, warning: Option<String>) {
        let _ = self.send(&Reply::Done { id, failure, warning });
    }

    /// Puts what was destroyed or moved into the system's log.
    pub(super) fn log(&self, deeds: &[String]) {
        for deed in deeds {
            self.2.deed(deed);
        }
    }

    /// Who the sender says it is.
    pub(super) fn is_for(&self, owner: &str) {
        self.2.is_for(owner);
    }

    /// Whether nobody reads any more.
    pub(super) fn is_broken(&self) -> bool {
        // Whoever holds it is writing, and will tell.
        if self.0.try_lock().is_ok_and(|output| output.given_up) {
            return true;
        }
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

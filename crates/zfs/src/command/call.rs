//! One call of `zfs` or `zpool`: its arguments, how long it may say nothing, and which machine it is for.

use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::ops::{Deref, DerefMut};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::away::Away;
use super::turns::Turn;
use crate::pipe::set_nonblocking;

/// How often a wait looks whether the call was given up.
const TICK: Duration = Duration::from_millis(100);

/// When a call is ended that doesn't end by itself.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// It says nothing for so long: the pool may be suspended, and `zfs` waits then for ever.
    pub silence: Option<Duration>,
    /// Nobody waits for it any more, once this is set.
    pub given_up: Option<Arc<AtomicBool>>,
}

impl Limits {
    /// Whether somebody has given the call up.
    #[must_use]
    pub fn are_over(&self) -> bool {
        self.given_up.as_ref().is_some_and(|given_up| given_up.load(Ordering::Relaxed))
    }

    /// So long a wait that began then may last until it looks again; `None` when its time is over.
    pub(crate) fn left(&self, began: Instant) -> Option<Duration> {
        const LONG: Duration = Duration::from_secs(3600);
        let left = self.silence.map(|silence| silence.saturating_sub(began.elapsed()));
        if self.are_over() || left.is_some_and(|left| left.is_zero()) {
            return None;
        }
        let tick = if self.given_up.is_some() { TICK } else { LONG };
        Some(left.map_or(tick, |left| left.min(tick)))
    }

    /// What is left of them for a call that has waited since then.
    pub(crate) fn since(&self, began: Instant) -> Self {
        let silence = self.silence.map(|silence| silence.saturating_sub(began.elapsed()));
        Self { silence, given_up: self.given_up.clone() }
    }

    /// Waits until something can be done with this, or the time is over.
    pub(crate) fn wait_for(&self, fd: &impl AsFd, what: PollFlags) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let left = self.left(began).ok_or(io::ErrorKind::TimedOut)?;
            match poll(&mut [PollFd::new(fd, what)], Timespec::try_from(left).ok().as_ref()) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.silence.is_none() && self.given_up.is_none()
    }
}

/// Two are the same if they allow the same time.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.silence == other.silence
    }
}

impl Eq for Limits {}

/// A command that is ready to run: messages in English (`LC_ALL=C`), nothing on stdin.
#[derive(Debug)]
pub struct Call {
    command: Command,
    limits: Limits,
    input: &'static str,
    away: Option<Away>,
    /// Its output goes where that of streams goes, but ends by itself: it doesn't wait for streams to end.
    lists: bool,
}

/// A call that has been started.
pub(crate) struct Spawned {
    pub child: Child,
    /// Held until it has ended.
    pub turn: Option<Turn>,
}

impl Call {
    pub(super) fn new(program: &Path, limits: Limits, away: Option<Away>) -> Self {
        Self { away, ..Self::of(Command::new(program), limits) }
    }

    /// A command of the system that ends within these limits.
    pub(crate) fn of(mut command: Command, limits: Limits) -> Self {
        command.env("LC_ALL", "C").stdin(Stdio::null());
        Self { command, limits, input: "", away: None, lists: false }
    }

    /// The same, as a listing.
    #[must_use]
    pub(super) fn listing(mut self) -> Self {
        self.lists = true;
        self
    }

    /// The same, with this on stdin: short enough for a pipe.
    #[must_use]
    pub(super) fn with_input(mut self, input: &'static str) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = input;
        self
    }

    /// Starts it, with stdout and stderr in pipes, and gives it what it is to read. It has waited since `began`.
    pub(crate) fn start(&mut self, began: Instant) -> io::Result<Spawned> {
        let Some(away) = &self.away else {
            let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // One that ends without reading says why on stderr.
                let _ = stdin.write_all(self.input.as_bytes());
            }
            return Ok(Spawned { child, turn: None });
        };
        let mut lines = away.lines(&self.command)?;
        lines.extend_from_slice(self.input.as_bytes());
        let turn = away.turn(false, &self.limits.since(began))?;
        let mut session = away.command();
        let mut child = session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if let Some(stdin) = child.stdin.take() {
            give(&stdin, &lines, &self.limits.since(began)).inspect_err(|_| end(&mut child))?;
        }
        Ok(Spawned { child, turn: Some(turn) })
    }

    /// Starts one that carries a stream: with the other ends of these as its stdin and stdout, where it has any. It holds them from then on
    /// where it is for this machine.
    pub(crate) fn start_stream(&mut self, stdin: Option<Feed<'_>>, stdout: Stdio) -> io::Result<Spawned> {
        let Some(away) = &self.away else {
            if let Some(Feed { reader, .. }) = stdin {
                self.command.stdin(reader);
            }
            let child = self.command.stdout(stdout).stderr(Stdio::piped()).spawn()?;
            return Ok(Spawned { child, turn: None });
        };
        let (lines, limits) = (away.lines(&self.command)?, self.begins_within());
        let began = Instant::now();
        let turn = away.turn(!self.lists, &limits)?;
        let mut own = None;
        let (reader, writer) = if let Some(Feed { reader, writer }) = stdin {
            (reader, writer)
        } else {
            let (reader, writer) = io::pipe()?;
            (reader, own.insert(writer))
        };
        let mut child = away.command().stdin(reader).stdout(stdout).stderr(Stdio::piped()).spawn()?;
        give(writer, &lines, &limits.since(began)).inspect_err(|_| end(&mut child))?;
        Ok(Spawned { child, turn: Some(turn) })
    }

    /// So long a session may take until what carries a stream is started in it, as long as somebody waits for that.
    pub(crate) fn begins_within(&self) -> Limits {
        const BEGINS_WITHIN: Duration = Duration::from_secs(120);
        let silence = self.limits.silence.map_or(BEGINS_WITHIN, |silence| silence.min(BEGINS_WITHIN));
        Limits { silence: Some(silence), given_up: self.limits.given_up.clone() }
    }

    /// Whether it is for another machine: its output begins with a mark then.
    pub(crate) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// How long it may take.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Writes what a call reads first; writes return instead of waiting afterwards. One that ends without reading says why on stderr.
fn give(stdin: &impl AsFd, mut lines: &[u8], limits: &Limits) -> io::Result<()> {
    set_nonblocking(stdin, true)?;
    while !lines.is_empty() {
        match rustix::io::write(stdin, lines) {
            Ok(written) => lines = &lines[written..],
            Err(Errno::AGAIN) => limits.wait_for(stdin, PollFlags::OUT).map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => io::Error::new(error.kind(), "the host does not read its arguments"),
                _ => error,
            })?,
            Err(Errno::INTR) => {}
            Err(Errno::PIPE) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Ends one that nobody waits for.
fn end(child: &mut Child) {
    let _ = child.kill();
    // An ssh never hangs in the kernel.
    let _ = child.wait();
}

/// The pipe that a call reads a stream from.
pub(crate) struct Feed<'a> {
    pub reader: PipeReader,
    pub writer: &'a mut PipeWriter,
}

impl Deref for Call {
    type Target = Command;

    fn deref(&self) -> &Command {
        &self.command
    }
}

impl DerefMut for Call {
    fn deref_mut(&mut self) -> &mut Command {
        &mut self.command
    }
}

//! Moves a stream's bytes between pipes without looking at them: spliced inside the kernel on Linux, copied elsewhere.
//! The sender's half puts them into frames, the helper's half takes a frame's body out again.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use thiserror::Error;

use zfs::pipe::set_nonblocking;

use crate::pace::Pace;
use crate::wire::{FrameKind, Header, MAX_DATA, PING, SILENCE};

/// How often a waiting pump looks at its abort flag.
const TICK: Duration = Duration::from_millis(200);
/// How long a pump that is to stop tries to complete the frame it is in, and how long one whose sender is gone waits for a
/// receiver that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);
/// `ssh` and `sshd` write 32 KiB at a time, `zfs send` a record. To move each piece at once takes a change of processes for each, here and
/// behind the output. So of a stream that has shown to be a long one, as many bytes are gathered in so long a time.
const GATHERED: usize = 128 * 1024;
const GATHER: Duration = Duration::from_micros(200);
const LONG: usize = 4 * 1024 * 1024;
/// An input that holds less would be full meanwhile, and its writer wait: a pipe that could not be enlarged, a socket, a pipe of FreeBSD.
#[cfg(target_os = "linux")]
const HOLDS_ENOUGH: usize = 512 * 1024;
/// Bytes at a time where they are copied.
const CHUNK: usize = 256 * 1024;

/// How a stream ended on the sender's side; each is at the border of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The input is at its end.
    Eof,
    /// The abort flag was set.
    Aborted,
}

/// Which end broke.
#[derive(Debug, Error)]
pub enum PumpError {
    /// Where the bytes come from.
    #[error("reading the stream failed: {}", zfs::text::os_words(.0))]
    Input(#[source] io::Error),
    /// Where they go. A frame may be incomplete: nothing can be written to this output any more.
    #[error("writing the stream failed: {}", zfs::text::os_words(.0))]
    Output(#[source] io::Error),
}

/// What became of a frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The receiver took it all.
    All,
    /// The receiver has closed its end; the rest of the body was read and dropped.
    Refused,
}

/// A limit of a stream's speed.
#[derive(Debug, Clone, Copy)]
pub struct Paced<'a> {
    /// It.
    pub pace: &'a Pace,
    /// Set while the stream waits for nothing else: it could go on.
    pub held: &'a AtomicBool,
}

/// Moves everything from `input` (the stdout of `zfs send`) to `output` (the helper's stdin) in data frames, and counts
/// the bytes in `progress`. Returns soon after `abort` is set. Nobody else may write to `output` meanwhile.
pub fn send(
    input: &impl AsFd,
    output: &impl AsFd,
    progress: &AtomicU64,
    abort: &AtomicBool,
    paced: Option<Paced<'_>>,
) -> Result<Sent, PumpError> {
    Sender { mover: Mover::new(), input, output, progress, abort, paced, turn: || () }.run()
}

/// The same where others write to `output` too: `turn` waits for the right to, and what it gives is kept while a frame is written.
pub fn send_in_turns<G>(
    input: &impl AsFd,
    output: &impl AsFd,
    abort: &AtomicBool,
    paced: Option<Paced<'_>>,
    turn: impl FnMut() -> G,
) -> Result<Sent, PumpError> {
    Sender { mover: Mover::new(), input, output, progress: &AtomicU64::new(0), abort, paced, turn }.run()
}

struct Sender<'a, I, O, T> {
    mover: Mover,
    input: &'a I,
    output: &'a O,
    progress: &'a AtomicU64,
    abort: &'a AtomicBool,
    paced: Option<Paced<'a>>,
    turn: T,
}

impl<I: AsFd, O: AsFd, G, T: FnMut() -> G> Sender<'_, I, O, T> {
    fn run(mut self) -> Result<Sent, PumpError> {
        set_nonblocking(self.output, true).map_err(PumpError::Output)?;
        let sent = self.frames();
        set_nonblocking(self.output, false).map_err(PumpError::Output)?;
        sent
    }

    fn aborted(&self) -> bool {
        self.abort.load(Ordering::Relaxed)
    }

    fn frames(&mut self) -> Result<Sent, PumpError> {
        let mut spoken = Instant::now();
        loop {
            // The receiver may take its time; until a header is out, the stream can be aborted properly.
            loop {
                let has_more = is_ready(self.input, PollFlags::IN, Some(TICK)).map_err(PumpError::Input)?;
                let has_room = is_ready(self.output, PollFlags::OUT, Some(TICK)).map_err(PumpError::Output)?;
                if self.aborted() {
                    return Ok(Sent::Aborted);
                }
                if has_more && has_room {
                    self.mover.gather(self.input, MAX_DATA);
                    break;
                }
                if has_room {
                    self.ping(&mut spoken)?;
                }
            }
            if self.aborted() {
                return Ok(Sent::Aborted);
            }
            let ready = rustix::io::ioctl_fionread(self.input).map_err(|error| PumpError::Input(error.into()))?;
            match usize::try_from(ready).unwrap_or(MAX_DATA).min(MAX_DATA) {
                // Readable without a byte: nobody writes any more.
                0 => return Ok(Sent::Eof),
                len => {
                    let Some(len) = self.in_time(len, &mut spoken)? else { return Ok(Sent::Aborted) };
                    spoken = Instant::now();
                    self.frame(len)?;
                }
            }
        }
    }

    /// Shows a receiver that gets nothing that it is not forgotten.
    fn ping(&mut self, spoken: &mut Instant) -> Result<(), PumpError> {
        if spoken.elapsed() <= PING {
            return Ok(());
        }
        *spoken = Instant::now();
        let _turn = (self.turn)();
        let ping = Header { kind: FrameKind::Ping, len: 0 }.encode();
        // Others may have taken the room meanwhile.
        let mut patience = Patience::default();
        write_all(self.output, &ping, &mut || patience.lasts_while(self.aborted())).map_err(PumpError::Output)
    }

    /// Waits until some of `len` bytes may be moved, and tells how many; `None` once the stream is aborted. Only between frames, as the
    /// receiver waits for the rest of one.
    fn in_time(&mut self, len: usize, spoken: &mut Instant) -> Result<Option<usize>, PumpError> {
        let Some(Paced { pace, held }) = self.paced else { return Ok(Some(len)) };
        let (len, at) = pace.next(len);
        loop {
            let left = at.saturating_duration_since(Instant::now());
            held.store(!left.is_zero(), Ordering::Relaxed);
            if left.is_zero() || self.aborted() {
                break;
            }
            std::thread::sleep(left.min(TICK));
            self.ping(spoken)?;
        }
        held.store(false, Ordering::Relaxed);
        Ok((!self.aborted()).then_some(len))
    }

    /// One frame with `len` bytes, which `input` holds ready.
    fn frame(&mut self, len: usize) -> Result<(), PumpError> {
        let _turn = (self.turn)();
        let mut patience = Patience::default();
        let header = Header { kind: FrameKind::Data, len }.encode();
        let mut go_on = || patience.lasts_while(self.abort.load(Ordering::Relaxed));
        write_all(self.output, &header, &mut go_on).map_err(PumpError::Output)?;
        let mut left = len;
        while left > 0 {
            let moved = self.mover.step(self.input, self.output, left, &mut go_on).map_err(|(_, error)| error)?;
            if moved == 0 {
                return Err(PumpError::Input(io::ErrorKind::UnexpectedEof.into()));
            }
            self.progress.fetch_add(moved as u64, Ordering::Relaxed);
            left -= moved;
        }
        Ok(())
    }
}

/// Ends a wait some time after there is a reason to end it.
#[derive(Default)]
struct Patience(Option<Instant>);

impl Patience {
    fn lasts_while(&mut self, reason: bool) -> bool {
        !reason || self.0.get_or_insert_with(Instant::now).elapsed() < PATIENCE
    }
}

/// Moves bytes between descriptors the best way they allow, which it finds out once.
#[derive(Debug)]
pub struct Mover {
    splice: bool,
    /// Of the stream that is being moved.
    moved: usize,
    /// Whether the input holds enough to wait for more.
    gathers: Option<bool>,
    buffer: Vec<u8>,
}

impl Default for Mover {
    fn default() -> Self {
        Self::new()
    }
}

impl Mover {
    /// Splices where that exists, until it turns out not to work.
    #[must_use]
    pub fn new() -> Self {
        Self { splice: cfg!(target_os = "linux"), moved: 0, gathers: None, buffer: Vec::new() }
    }

    /// Another stream comes.
    pub fn begin(&mut self) {
        (self.moved, self.gathers) = (0, None);
    }

    /// Lets more of a long stream come, if there isn't much.
    fn gather(&mut self, input: &impl AsFd, most: usize) {
        if self.moved < LONG {
            return;
        }
        let few = |ready: u64| usize::try_from(ready).is_ok_and(|ready| ready < most.min(GATHERED));
        if *self.gathers.get_or_insert_with(|| holds_enough(input)) && rustix::io::ioctl_fionread(input).is_ok_and(few)
        {
            std::thread::sleep(GATHER);
        }
    }

    /// Moves exactly `len` bytes, a frame's body, from `input` (the helper's stdin) to `output` (the stdin of `zfs recv`).
    /// When `output` breaks, or there is none, they are read and dropped. An error means that the sender is gone.
    pub fn take(&mut self, input: &impl AsFd, output: Option<&impl AsFd>, len: usize) -> io::Result<Taken> {
        let mut left = len;
        let Some(output) = output else { return self.drop_rest(input, left) };
        while left > 0 {
            let mut patience = Patience::default();
            let mut go_on = || patience.lasts_while(is_gone(input));
            match self.step(input, output, left, &mut go_on) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(moved) => left -= moved,
                Err((lost, PumpError::Output(error))) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return self.drop_rest(input, left - lost);
                }
                Err((_, PumpError::Input(error) | PumpError::Output(error))) => return Err(error),
            }
        }
        Ok(Taken::All)
    }

    /// Writes these bytes, which came from `input` before, to `output` in the same way.
    pub fn put(&self, input: &impl AsFd, output: &impl AsFd, bytes: &[u8]) -> io::Result<Taken> {
        let mut patience = Patience::default();
        match write_all(output, bytes, &mut || patience.lasts_while(is_gone(input))) {
            Ok(()) => Ok(Taken::All),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Taken::Refused),
            Err(error) => Err(error),
        }
    }

    fn drop_rest(&mut self, input: &impl AsFd, mut left: usize) -> io::Result<Taken> {
        while left > 0 {
            match self.read(input, left)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(Taken::Refused)
    }

    fn read(&mut self, input: &impl AsFd, most: usize) -> io::Result<usize> {
        self.buffer.resize(CHUNK, 0);
        let buffer = &mut self.buffer[..most.min(CHUNK)];
        loop {
            match rustix::io::read(input, &mut *buffer) {
                Ok(read) => return Ok(read),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_readable(input)?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Moves at most `most` bytes and tells how many; 0 when `input` is at its end. Waits for both; for the output only
    /// while `go_on` says so, which is asked now and then. An error comes with how many bytes were read and not written.
    fn step(
        &mut self,
        input: &impl AsFd,
        output: &impl AsFd,
        most: usize,
        go_on: &mut impl FnMut() -> bool,
    ) -> Result<usize, (usize, PumpError)> {
        let lost_nothing = |error| (0, error);
        wait_readable(input).map_err(PumpError::Input).map_err(lost_nothing)?;
        wait_writable(output, go_on).map_err(PumpError::Output).map_err(lost_nothing)?;
        self.gather(input, most);
        while self.splice {
            match splice(input, output, most) {
                Ok(moved) => {
                    self.moved = self.moved.saturating_add(moved);
                    return Ok(moved);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    wait_readable(input).map_err(PumpError::Input).map_err(lost_nothing)?;
                    wait_writable(output, go_on).map_err(PumpError::Output).map_err(lost_nothing)?;
                    // Should both claim to be ready all the same, this must not take a whole core.
                    std::thread::sleep(Duration::from_millis(1));
                }
                // Neither is a pipe, or one is something that can't be spliced, or the system doesn't know how.
                Err(Errno::INVAL | Errno::NOSYS) => self.splice = false,
                Err(error) => return Err((0, PumpError::Output(error.into()))),
            }
        }
        let read = self.read(input, most).map_err(PumpError::Input).map_err(lost_nothing)?;
        match write_all(output, &self.buffer[..read], go_on) {
            Ok(()) => {
                self.moved = self.moved.saturating_add(read);
                Ok(read)
            }
            Err(error) => Err((read, PumpError::Output(error))),
        }
    }
}

/// Whether much can wait in `fd` before its writer waits.
#[cfg(target_os = "linux")]
fn holds_enough(fd: &impl AsFd) -> bool {
    rustix::pipe::fcntl_getpipe_size(fd).is_ok_and(|size| size >= HOLDS_ENOUGH)
}

#[cfg(not(target_os = "linux"))]
fn holds_enough(_: &impl AsFd) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn splice(input: &impl AsFd, output: &impl AsFd, most: usize) -> Result<usize, Errno> {
    let flags = rustix::pipe::SpliceFlags::MOVE | rustix::pipe::SpliceFlags::NONBLOCK;
    rustix::pipe::splice(input, None, output, None, most, flags)
}

#[cfg(not(target_os = "linux"))]
fn splice(_: &impl AsFd, _: &impl AsFd, _: usize) -> Result<usize, Errno> {
    Err(Errno::NOSYS)
}

/// Whether `fd` is ready within `timeout` (`None`: wait as long as it takes), be it only to report its end or an error.
fn is_ready(fd: &impl AsFd, wanted: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
    // Any that we use fits.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    loop {
        match poll(&mut [PollFd::new(fd, wanted)], timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the other end of `input` is closed, though there may still be bytes to read.
pub(super) fn is_gone(input: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    let wanted = PollFlags::RDHUP;
    #[cfg(not(target_os = "linux"))]
    let wanted = PollFlags::empty();
    is_ready(input, wanted, Some(Duration::ZERO)).unwrap_or(true)
}

/// Waits for what must come within a frame; whoever has begun one has the rest at hand.
fn wait_readable(input: &impl AsFd) -> io::Result<()> {
    if is_ready(input, PollFlags::IN, Some(SILENCE))? { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
}

fn wait_writable(output: &impl AsFd, go_on: &mut impl FnMut() -> bool) -> io::Result<()> {
    while !is_ready(output, PollFlags::OUT, Some(TICK))? {
        if !go_on() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

fn write_all(output: &impl AsFd, mut bytes: &[u8], go_on: &mut impl FnMut() -> bool) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_writable(output, go_on)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;

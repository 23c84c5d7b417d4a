//! stdout and stderr of a run, each written by a thread of its own: whoever doesn't read them (a pager, a stopped terminal, a
//! slow program) must hold up neither a stream nor the ear for signals.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// So many bytes wait for a reader; what comes then is lost.
const ROOM: usize = 4 << 20;
/// At the end a reader that takes nothing is waited for so long.
const LAST: Duration = Duration::from_secs(3);
/// And a program that takes events for so long.
const LAST_EVENTS: Duration = Duration::from_secs(30);
/// With more than so much waiting, nobody is looking.
const BEHIND: usize = 16 * 1024;

static STDOUT: Queue = Queue::new(rustix::stdio::stdout);
static STDERR: Queue = Queue::new(rustix::stdio::stderr);

/// A way to one of them.
#[derive(Clone, Copy)]
pub struct Output(&'static Queue);

/// To stdout.
#[must_use]
pub fn stdout() -> Output {
    Output(&STDOUT)
}

/// To stderr.
#[must_use]
pub fn stderr() -> Output {
    Output(&STDERR)
}

/// Waits until all is written, as long as somebody reads. The last thing that a command does.
pub fn finish() {
    STDOUT.drain(LAST_EVENTS);
    STDERR.drain(LAST);
}

impl Output {
    /// Whether something could not be written, and never will be.
    #[must_use]
    pub fn lost(self) -> bool {
        let state = self.0.lock();
        state.lost || state.broken.is_some()
    }

    /// Whether so much waits that what is written now would be old before somebody sees it.
    #[must_use]
    pub fn is_behind(self) -> bool {
        self.0.lock().waiting > BEHIND
    }
}

impl Write for Output {
    /// Takes all of it or, with no room left, drops all of it; an error only when the reader is gone.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Queue {
    descriptor: fn() -> BorrowedFd<'static>,
    state: Mutex<State>,
    changed: Condvar,
    started: Once,
}

struct State {
    parts: VecDeque<Vec<u8>>,
    /// All bytes that are not written yet.
    waiting: usize,
    /// How many have been.
    written: u64,
    lost: bool,
    broken: Option<io::ErrorKind>,
}

impl Queue {
    const fn new(descriptor: fn() -> BorrowedFd<'static>) -> Self {
        let state = State { parts: VecDeque::new(), waiting: 0, written: 0, lost: false, broken: None };
        Self { descriptor, state: Mutex::new(state), changed: Condvar::new(), started: Once::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&'static self, bytes: &[u8]) -> io::Result<usize> {
        self.started.call_once(|| {
            let spawned = std::thread::Builder::new().name("output".into()).spawn(move || self.serve());
            if let Err(error) = spawned {
                self.lock().broken = Some(error.kind());
            }
        });
        let mut state = self.lock();
        if let Some(kind) = state.broken {
            return Err(kind.into());
        }
        if state.waiting + bytes.len() > ROOM {
            state.lost = true;
            return Ok(bytes.len());
        }
        state.waiting += bytes.len();
        state.parts.push_back(bytes.to_vec());
        self.changed.notify_all();
        Ok(bytes.len())
    }

    /// The thread.
    fn serve(&self) {
        loop {
            let mut state = self.lock();
            while state.parts.is_empty() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(part) = state.parts.pop_front() else { continue };
            drop(state);
            let mut rest = part.as_slice();
            while !rest.is_empty() {
                let wrote = write_some((self.descriptor)(), rest);
                let mut state = self.lock();
                match wrote {
                    Ok(bytes) => {
                        rest = &rest[bytes..];
                        state.waiting -= bytes;
                        state.written += bytes as u64;
                    }
                    Err(error) => {
                        state.broken = Some(error.kind());
                        state.parts.clear();
                        state.waiting = 0;
                        rest = &[];
                    }
                }
                self.changed.notify_all();
            }
        }
    }

    /// Waits until nothing waits, or until nothing has moved for so long.
    fn drain(&self, patience: Duration) {
        let mut state = self.lock();
        let (mut written, mut since) = (state.written, Instant::now());
        while state.waiting > 0 {
            if state.written != written {
                (written, since) = (state.written, Instant::now());
            }
            let Some(left) = patience.checked_sub(since.elapsed()) else {
                state.lost = true;
                return;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn write_some(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    loop {
        match rustix::io::write(descriptor, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => return Ok(written),
            Err(rustix::io::Errno::INTR) => {}
            // Whoever gave us the descriptor may have made it non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                let fd = rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::OUT);
                match rustix::event::poll(&mut [fd], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::sync::OnceLock;

    use super::*;

    /// A queue to a pipe: its other end.
    fn queue(place: &'static OnceLock<OwnedFd>, descriptor: fn() -> BorrowedFd<'static>) -> (Output, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        place.set(writer.into()).unwrap();
        (Output(Box::leak(Box::new(Queue::new(descriptor)))), reader)
    }

    #[test]
    fn a_reader_that_does_not_read_holds_nobody_up() {
        static PIPE: OnceLock<OwnedFd> = OnceLock::new();
        let (mut output, mut reader) = queue(&PIPE, || PIPE.get().unwrap().as_fd());
        let began = Instant::now();
        for _ in 0..ROOM / 1000 + 1000 {
            output.write_all(&[b'x'; 1000]).unwrap();
        }
        assert!(output.lost() && output.is_behind());
        output.0.drain(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        // Whoever reads again gets all that waited, whole lines only.
        let thread = std::thread::spawn(move || {
            let mut all = vec![0; ROOM / 1000 * 1000];
            reader.read_exact(&mut all).map(|()| all.len())
        });
        assert!(thread.join().unwrap().is_ok());
    }

    #[test]
    fn a_reader_that_is_gone_is_told_of() {
        static PIPE: OnceLock<OwnedFd> = OnceLock::new();
        let (mut output, reader) = queue(&PIPE, || PIPE.get().unwrap().as_fd());
        output.write_all(b"one\n").unwrap();
        output.0.drain(Duration::from_secs(20));
        assert!(!output.lost());
        drop(reader);
        output.write_all(b"two\n").unwrap();
        output.0.drain(Duration::from_secs(20));
        assert!(output.lost());
        assert_eq!(output.write_all(b"three\n").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

//! Streams to and from another machine. A receive takes its stream in a session in which others may follow; what is sent has a session
//! to itself, as its end could be found only by looking at all of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};

use super::claims::Passage;
use super::run_away::{CUT, NOT_STARTED, exit_status};
use super::{Died, Intake, Process, Started};
use crate::command::{Marked, Stdin, Turn};
use crate::{Call, Limits};

/// A receive reads on behind the end of its stream only if that end is none: it sees the end of its input after so long. One that is
/// still storing takes no notice.
const READS_ON: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Why nothing was started.
pub(super) enum NotStarted {
    /// The host has refused the session, in these words of ssh.
    Refused(Turn, String),
    /// A session that was there has ended, and no mark tells that the call has begun.
    Stale,
    Error(io::Error),
}

impl<E: Into<io::Error>> From<E> for NotStarted {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// Starts something, as long as its session is refused and it is of use to ask for another one.
pub(super) fn granted<T>(mut start: impl FnMut() -> Result<T, NotStarted>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        match start() {
            Ok(started) => return Ok(started),
            Err(NotStarted::Error(error)) => return Err(error),
            Err(NotStarted::Stale) => {}
            Err(NotStarted::Refused(turn, words)) => {
                tries += 1;
                if !turn.refused(tries) {
                    return Err(io::Error::other(format!("{NOT_STARTED}: {words}")));
                }
            }
        }
    }
}

/// Starts a `zfs recv`, which keeps others away until it has ended.
pub(super) fn receive(call: &Call, passage: &Arc<Passage>) -> Result<Started, NotStarted> {
    let joint = Arc::new(Joint::default());
    let Begun { mut turn, mut stdout, mut stderr } = begin(call, Stdin::Stream, &joint)?;
    stdout.input().limits = None;
    stderr.input().limits = None;
    let stdin = turn.session().and_then(crate::command::Session::take_stdin).ok_or(io::ErrorKind::NotFound)?;
    let back = Arc::clone(&joint);
    let stdin = Intake::lent(stdin, Box::new(move |stdin| back.stdin_is_back(stdin)));
    let receiving = Receiving {
        turn: Mutex::new(Some(turn)),
        stdout: Mutex::new(stdout),
        said_all: stderr.status(),
        joint,
        ended_by_us: AtomicBool::new(false),
        _passage: Arc::clone(passage),
    };
    Ok(Started { stdin, words: Box::new(stderr), process: Arc::new(receiving) })
}

/// A session in which a stream leaves that machine, and what it prints and says.
pub(super) fn outgoing(call: &Call) -> Result<(Turn, OwnedFd, File), NotStarted> {
    let Begun { mut turn, stdout, stderr } = begin(call, Stdin::Last, &Arc::default())?;
    if let Some(session) = turn.session() {
        drop(session.take_stdin());
        session.leave_stdout();
    }
    Ok((turn, stdout.into_input().file.into(), stderr.into_input().file))
}

/// A call that has begun in a session.
struct Begun {
    turn: Turn,
    stdout: Marked<Waiting>,
    stderr: Marked<Waiting>,
}

/// Gives a call to a session, and waits until the marks have come: a session in which nothing was started can end with status 0, and
/// would pass for a receive.
fn begin(call: &Call, stdin: Stdin, joint: &Arc<Joint>) -> Result<Begun, NotStarted> {
    let limits = call.begins_within();
    let (mut turn, reused) = call.start_away(stdin, &limits)?;
    let session = turn.session().ok_or(io::ErrorKind::NotFound)?;
    let (mark, limits) = (session.mark(), Some(limits));
    let waiting = |file| Waiting { file, limits: limits.clone(), joint: Arc::clone(joint) };
    let mut stdout = Marked::new(waiting(session.stdout()?), Arc::clone(&mark));
    let mut stderr = Marked::new(waiting(session.stderr()?), mark);
    if !stderr.begin()? {
        let said = stderr.before();
        let status = session.status()?;
        if turn.is_refused(&said) {
            return Err(NotStarted::Refused(turn, said));
        }
        if reused {
            return Err(NotStarted::Stale);
        }
        // Whoever is to hear that the connection is lost hears it before this failure.
        turn.ended(status);
        return Err(io::Error::other(format!("{NOT_STARTED}: {said}")).into());
    }
    // It has come already, with that on stderr.
    if !stdout.begin()? {
        return Err(io::Error::other(NOT_STARTED).into());
    }
    turn.begin();
    Ok(Begun { turn, stdout, stderr })
}

/// An output whose reader waits no longer than its limits, and closes the stdin of what reads on.
struct Waiting {
    file: File,
    limits: Option<Limits>,
    joint: Arc<Joint>,
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.limits {
            Some(limits) => limits.wait_for(&self.file, PollFlags::IN)?,
            None => loop {
                let look = Timespec::try_from(LOOK).ok();
                match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], look.as_ref()) {
                    Ok(0) => self.joint.look(),
                    Err(rustix::io::Errno::INTR) => {}
                    Ok(_) => break,
                    Err(error) => return Err(error.into()),
                }
            },
        }
        self.file.read(buffer)
    }
}

/// The two halves of a session in which a receive runs: its stdin, which whoever feeds the receive has, and the rest. It is kept once both
/// are back.
#[derive(Default)]
struct Joint(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    /// Since when it is back.
    stdin: Option<(OwnedFd, Instant)>,
    /// The receive has ended well.
    turn: Option<Turn>,
    /// The stdin is closed: nothing more can be run.
    closed: bool,
}

impl Joint {
    fn lock(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stdin_is_back(&self, stdin: Option<OwnedFd>) {
        let mut halves = self.lock();
        halves.closed = stdin.is_none();
        halves.stdin = stdin.map(|stdin| (stdin, Instant::now()));
        Self::join(halves);
    }

    fn ended_well(&self, turn: Turn) {
        let mut halves = self.lock();
        halves.turn = Some(turn);
        Self::join(halves);
    }

    fn join(mut halves: MutexGuard<'_, Halves>) {
        if halves.closed {
            let turn = halves.turn.take();
            drop(halves);
            // That waits for the session's end.
            drop(turn);
        } else if halves.turn.is_some()
            && let Some((stdin, _)) = halves.stdin.take()
            && let Some(mut turn) = halves.turn.take()
        {
            drop(halves);
            if let Some(session) = turn.session() {
                session.put_stdin(stdin);
            }
            turn.keep();
        }
    }

    /// Closes the stdin if the stream has ended long ago.
    fn look(&self) {
        let mut halves = self.lock();
        if halves.stdin.as_ref().is_some_and(|(_, since)| since.elapsed() > READS_ON) {
            halves.stdin = None;
            halves.closed = true;
        }
    }
}

/// A `zfs recv` in a session.
struct Receiving {
    turn: Mutex<Option<Turn>>,
    stdout: Mutex<Marked<Waiting>>,
    /// What stands behind all that it has said.
    said_all: Arc<OnceLock<u8>>,
    joint: Arc<Joint>,
    ended_by_us: AtomicBool,
    _passage: Arc<Passage>,
}

impl Receiving {
    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process for Receiving {
    fn wait(&self) -> Result<(), Died> {
        let status = {
            let mut stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner);
            // What can't be read has no end.
            let _ = stdout.drain();
            stdout.status().get().copied()
        };
        let Some(mut turn) = self.turn().take() else { return Ok(()) };
        match status {
            Some(0) => {
                if self.said_all.get() == Some(&0) {
                    self.joint.ended_well(turn);
                }
                Ok(())
            }
            Some(status) => Err(Died::by(exit_status(status))),
            None => Err(cut(turn.session().map(crate::command::Session::status), |status| {
                if !self.ended_by_us.load(Ordering::Relaxed) {
                    turn.ended(status);
                }
            })),
        }
    }

    fn end(&self, force: bool) {
        if let Some(session) = self.turn().as_mut().and_then(Turn::session) {
            self.ended_by_us.store(true, Ordering::Relaxed);
            signal(session.child(), force);
        }
    }
}

/// How it has ended, if nothing tells.
fn cut(status: Option<io::Result<std::process::ExitStatus>>, ended: impl FnOnce(std::process::ExitStatus)) -> Died {
    match status {
        Some(Ok(status)) => {
            ended(status);
            if status.signal().is_some() {
                return Died { status: status.to_string(), killed: true };
            }
            let how = if status.success() { String::new() } else { format!(" ({status})") };
            Died { status: format!("no exit status: {CUT}{how}"), killed: false }
        }
        Some(Err(error)) => Died { status: error.to_string(), killed: false },
        None => Died { status: format!("no exit status: {CUT}"), killed: false },
    }
}

/// Asks a process to end, or ends it, if it has not ended.
pub(super) fn signal(child: &mut Child, force: bool) {
    if matches!(child.try_wait(), Ok(None)) {
        let signal = if force { Signal::KILL } else { Signal::TERM };
        // It can't be gone: it is not reaped.
        let _ = kill_process(Pid::from_child(child), signal);
    }
}

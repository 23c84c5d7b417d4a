//! A session on another machine in which one call runs after the other: a constant line for its login shell, and what that
//! prints. The arguments of a call travel on stdin, so no shell parses them; a stream that the call reads follows them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;

use super::limits::Limits;
use crate::pipe::{grow_pipe, set_nonblocking};

/// With its comments and lines.
const SCRIPT: &str = include_str!("session.sh");

/// What a session's mark begins with.
const MARK: &str = "ZFSYNC-";
/// So much of a mark nobody can guess.
const SECRET: usize = 16;

/// A session whose end is told has so long to end.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// The line for the login shell of the other host, whichever that is.
#[must_use]
pub fn session_line() -> String {
    let script: Vec<&str> =
        SCRIPT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    format!("exec sh -c '{}' zfsync", script.join(" "))
}

/// What a call reads, and so what becomes of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stdin {
    /// Nothing: another call may follow.
    Null,
    /// A stream up to its END record: another call may follow if it is received well.
    Stream,
    /// All that comes: it is the last call.
    Last,
}

impl Stdin {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Stream => "stream",
            Self::Last => "last",
        }
    }
}

/// A session, with our ends of its pipes.
#[derive(Debug)]
pub(crate) struct Session {
    child: Child,
    mark: Arc<str>,
    /// Closed once nothing more is to be run in it.
    stdin: Option<OwnedFd>,
    /// Read by somebody else once the last call runs in it.
    stdout: Option<PipeReader>,
    stderr: PipeReader,
    /// It was given a call.
    used: bool,
}

impl Session {
    /// Opens one by this command.
    pub fn open(mut command: Command) -> io::Result<Self> {
        let mark = mark()?.into();
        let ((stdin, ours_in), (stdout, ours_out), (stderr, ours_err)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        // Before anybody uses them.
        grow_pipe(&ours_in);
        grow_pipe(&stdout);
        set_nonblocking(&ours_in, true)?;
        let child = command.stdin(stdin).stdout(ours_out).stderr(ours_err).spawn()?;
        Ok(Self { child, mark, stdin: Some(ours_in.into()), stdout: Some(stdout), stderr, used: false })
    }

    /// Whether it can't be used any more.
    pub fn has_ended(&mut self) -> bool {
        self.stdin.is_none() || !matches!(self.child.try_wait(), Ok(None))
    }

    /// Gives it a call, in the lines that stand for it; whether another one was before.
    pub fn give(&mut self, lines: &[u8], limits: &Limits) -> io::Result<bool> {
        let before = std::mem::replace(&mut self.used, true);
        let times = if before { 1 } else { 2 };
        let all = [format!("{}\n", self.mark).repeat(times).as_bytes(), lines].concat();
        match &self.stdin {
            Some(stdin) => give(stdin, &all, limits).map(|()| before),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// What it prints.
    pub fn stdout(&self) -> io::Result<File> {
        let stdout = self.stdout.as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()?;
        Ok(OwnedFd::from(stdout).into())
    }

    /// Has only whoever reads its output keep that open: its writer is to see that nobody does.
    pub fn leave_stdout(&mut self) {
        self.stdout = None;
    }

    /// What it says on stderr.
    pub fn stderr(&self) -> io::Result<File> {
        self.stderr.try_clone().map(|stderr| OwnedFd::from(stderr).into())
    }

    /// What tells where a call begins and ends.
    pub fn mark(&self) -> Arc<str> {
        Arc::clone(&self.mark)
    }

    /// Takes its stdin; without that nothing more is run in it.
    pub fn take_stdin(&mut self) -> Option<OwnedFd> {
        self.stdin.take()
    }

    /// Gives it back.
    pub fn put_stdin(&mut self, stdin: OwnedFd) {
        self.stdin = Some(stdin);
    }

    /// Its process.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it has ended: its output has, and it should soon.
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        let began = Instant::now();
        let mut pause = Duration::from_millis(1);
        while began.elapsed() < ENDS_WITHIN {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What runs in it sees the end of its stdin, as the other host's end of the session does.
        self.stdin = None;
        let _ = self.child.kill();
        // An ssh never hangs in the kernel.
        let _ = self.child.wait();
    }
}

/// A mark of 128 bits that nobody knows.
fn mark() -> io::Result<String> {
    let mut secret = [0; SECRET];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let mut mark = MARK.to_owned();
    for byte in secret {
        let _ = write!(mark, "{byte:02x}");
    }
    Ok(mark)
}

/// Writes what a call reads first, to what returns instead of waiting. One that ends without reading says why on stderr.
fn give(stdin: &impl AsFd, mut lines: &[u8], limits: &Limits) -> io::Result<()> {
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

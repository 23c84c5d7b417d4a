//! Runs calls for another machine to their end, in sessions that take one after the other.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

use super::run::{HANGS, Heard, Output, Ran, Watched, Words, judge, read_complaints, told};
use crate::command::{Marked, Probed, Stdin, Turn};
use crate::{Away, Call, Failure, Few, Lane, Limits, ParseError, Refusal, Zfs};

/// What is said of a session in which no `zfs` was started.
pub(super) const NOT_STARTED: &str = "the session ended before zfs was started";
/// What is said of one that is over while `zfs` runs.
pub(super) const CUT: &str = "the session ended before zfs did";

/// What another machine prints at most, which nobody here has counted: more would fill the memory.
pub(super) const MOST_SAID: u64 = 64 * 1024 * 1024;
/// The same where nobody keeps it; tests are to get there.
pub(super) const MOST_HEARD: u64 = if cfg!(test) { 2 * MOST_SAID } else { 64 * MOST_SAID };

/// Output up to a limit.
struct Limited {
    output: Shared,
    left: u64,
    exceeded: Arc<AtomicBool>,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| {
            self.exceeded.store(true, Ordering::Relaxed);
            io::Error::other("there is no end to it")
        })?;
        Ok(read)
    }
}

/// A call's output, of which somebody else may read the rest.
#[derive(Clone)]
struct Shared(Arc<Mutex<Marked<Heard>>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Marked<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buffer)
    }
}

/// Both outputs of the call that was given to this session.
fn outputs(turn: &mut Turn) -> io::Result<(File, File, Arc<str>)> {
    let session = turn.session().ok_or(io::ErrorKind::NotFound)?;
    Ok((session.stdout()?, session.stderr()?, session.mark()))
}

pub(super) fn run_once(
    call: &Call,
    since: Instant,
    words: Words,
    read: &mut dyn FnMut(Output) -> Result<(), ParseError>,
) -> Result<Ran, Failure> {
    let name = call.get_program().to_string_lossy().into_owned();
    let cant = |error: io::Error| Failure::new(Refusal::Other, &format!("can't run {name}: {error}"));
    let hangs = || Err(Failure::new(Refusal::Other, HANGS));
    let limits = call.limits().clone();
    let (mut turn, reused) = call.start_away(Stdin::Null, &limits.since(since)).map_err(cant)?;
    let (stdout, stderr, mark) = outputs(&mut turn).map_err(cant)?;
    let stderr = Marked::new(stderr, Arc::clone(&mark));
    let said_all = stderr.status();
    let (tell, complaints) = mpsc::channel();
    thread::Builder::new().spawn(move || tell.send(read_complaints(stderr, words))).map_err(cant)?;
    let output = Shared(Arc::new(Mutex::new(Marked::new(Heard::new(stdout, &limits, since), mark))));
    let mut begun = false;
    let mut value = output.lock().begin().map_err(ParseError::Io).and_then(|marked| {
        begun = marked;
        if !marked {
            // Its stderr says more, if there is anything.
            return Err(io::Error::other(NOT_STARTED).into());
        }
        turn.begin();
        Ok(())
    });
    let (most, exceeded) = (if call.is_kept() { MOST_SAID } else { MOST_HEARD }, Arc::<AtomicBool>::default());
    if begun {
        let output = Limited { output: output.clone(), left: most, exceeded: Arc::clone(&exceeded) };
        value = read(BufReader::new(Box::new(output)));
    }
    if exceeded.load(Ordering::Relaxed) {
        // Its session ends with the turn.
        let words = format!("{name} printed more than {} MiB, and was stopped", most >> 20);
        return Err(Failure::new(Refusal::Other, &words));
    }
    // Behind a line that isn't whole nothing more comes, and its status may tell why.
    let over = !begun || matches!(value, Ok(()) | Err(ParseError::Cut(_))) && words != Words::Unheard;
    if over
        && begun
        && let Err(error) = output.lock().drain()
    {
        value = Err(error.into());
    }
    if matches!(&value, Err(ParseError::Io(error)) if error.kind() == io::ErrorKind::TimedOut) {
        return hangs();
    }
    let status = output.lock().status().get().copied();
    if let Some(status) = status {
        let Some(complaints) = told(&complaints, &limits) else { return hangs() };
        if said_all.get() == Some(&status) {
            turn.keep();
        }
        let status = exit_status(status);
        return judge(Some(value), complaints.of_a_shell(&name, status), words, &name, status).map(Ran::Through);
    }
    let session = turn.session().ok_or_else(|| cant(io::ErrorKind::NotFound.into()))?;
    if !over {
        // Nobody reads the rest.
        let _ = session.child().kill();
    }
    let status = session.status().map_err(cant)?;
    let complaints = told(&complaints, &limits);
    if !begun && complaints.as_ref().is_some_and(|said| turn.is_refused(&said.words)) {
        return Ok(Ran::Refused(turn, complaints.unwrap_or_default().into_failure(&name, status)));
    }
    if !begun && reused {
        return Ok(Ran::Stale);
    }
    turn.ended(status);
    let Some(complaints) = complaints else { return hangs() };
    if status.success() && value.is_ok() && words != Words::Unheard {
        value = Err(io::Error::other(CUT).into());
    }
    judge(Some(value), complaints, words, &name, status).map(Ran::Through)
}

/// As the host's shell tells it: 128 and the signal of what was killed. Beyond those `zfs` itself has ended, which may return -1.
pub(super) fn exit_status(status: u8) -> ExitStatus {
    const SIGNALS: std::ops::RangeInclusive<u8> = 129..=128 + 64;
    let raw = i32::from(status);
    ExitStatus::from_raw(if SIGNALS.contains(&status) { raw - 128 } else { raw << 8 })
}

impl Zfs {
    /// A place for one more stream at a time on the connection to another machine; the error tells how few there are. Blocking.
    pub fn lane(&self) -> Result<Option<Lane>, Few> {
        let call = self.script("");
        let Some(away) = call.away() else { return Ok(None) };
        away.lane(|turn| probe(away, turn, call.limits())).map(Some)
    }
}

/// Runs what does nothing.
fn probe(away: &Away, mut turn: Turn, limits: &Limits) -> Probed {
    let mut run = || -> io::Result<Result<bool, String>> {
        let lines = away.lines(&Command::new("true"), Stdin::Null)?;
        turn.session().ok_or(io::ErrorKind::NotFound)?.give(&lines, limits)?;
        let (stdout, stderr, mark) = outputs(&mut turn)?;
        let mut stdout = Marked::new(Watched::new(stdout.into(), limits.clone()), Arc::clone(&mark));
        let mut stderr = Marked::new(Watched::new(stderr.into(), limits.clone()), mark);
        let begun = stdout.begin()?;
        if begun {
            turn.begin();
            stdout.drain()?;
        }
        let mut said = Vec::new();
        stderr.read_to_end(&mut said)?;
        let status = (stdout.status().get().copied(), stderr.status().get().copied());
        Ok(if begun { Ok(status == (Some(0), Some(0))) } else { Err(String::from_utf8_lossy(&said).into_owned()) })
    };
    match run() {
        Ok(Ok(true)) => Probed::Granted(turn),
        Ok(Err(words)) if turn.is_refused(&words) => Probed::Refused(turn),
        _ => Probed::Unknown,
    }
}

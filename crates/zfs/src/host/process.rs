//! Processes that carry streams: `zfs recv` takes one, `zfs send` and `zfs list` give one. Each can be waited for and ended.

use std::io::{self, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::away::{self, granted};
use super::claims::Passage;
use super::run_away::exit_status;
use super::{Died, Intake, Outgoing, Process, Started};
use crate::command::Turn;
use crate::{Call, Failure, Refusal, pipe};

/// Starts a `zfs recv`, which keeps others away until it has ended. The call must be gone afterwards, as it holds the other end of the
/// pipe that carries the stream: kept, a receive that ends early would never be noticed.
pub(super) fn start(mut call: Call, passage: Passage) -> Result<Started, Failure> {
    let cant = |error: io::Error| not_started("zfs recv", &error);
    let passage = Arc::new(passage);
    if call.away().is_some() {
        return granted(|| away::receive(&call, &passage)).map_err(cant);
    }
    let mut start = || {
        let (reader, writer) = io::pipe()?;
        // Before anybody uses it.
        pipe::grow_pipe(&writer);
        pipe::set_nonblocking(&writer, true)?;
        let mut child = call.start_stream(Some(reader), Stdio::null())?;
        let words = words(&mut child);
        let process = Arc::new(Running { run: Mutex::new(Run::Here(child)), _passage: Arc::clone(&passage) });
        Ok(Started { stdin: Intake::new(writer.into()), words, process })
    };
    start().map_err(cant)
}

/// Starts a call whose output is a stream: `zfs send` or `zfs list`. It must be gone afterwards, too: kept, the end of what is sent would
/// never be seen.
pub(super) fn start_outgoing(mut call: Call) -> Result<Outgoing, Failure> {
    let name = call.get_program().to_string_lossy().into_owned();
    let cant = |error: io::Error| not_started(&name, &error);
    if call.away().is_some() {
        let (turn, output, words) = granted(|| away::outgoing(&call)).map_err(cant)?;
        let process = Arc::new(Running { run: Mutex::new(Run::There(turn)), _passage: Arc::default() });
        return Ok(Outgoing { output, words: Box::new(words), process });
    }
    let mut start = || {
        let (reader, writer) = io::pipe()?;
        pipe::grow_pipe(&reader);
        let mut child = call.start_stream(None, writer.into())?;
        let words = words(&mut child);
        let process = Arc::new(Running { run: Mutex::new(Run::Here(child)), _passage: Arc::default() });
        Ok(Outgoing { output: reader.into(), words, process })
    };
    start().map_err(cant)
}

/// A session that is not to be had in time may be had later.
fn not_started(name: &str, error: &io::Error) -> Failure {
    let late = error.kind() == io::ErrorKind::TimedOut;
    Failure::new(if late { Refusal::NoSession } else { Refusal::Other }, &format!("can't start {name}: {error}"))
}

/// What it says on stderr.
fn words(child: &mut Child) -> Box<dyn Read + Send> {
    match child.stderr.take() {
        Some(stderr) => Box::new(stderr),
        None => Box::new(io::empty()),
    }
}

/// What runs.
enum Run {
    /// A process of this machine.
    Here(Child),
    /// A session that it has to itself.
    There(Turn),
    /// It has ended.
    Over,
}

impl Run {
    fn child(&mut self) -> Option<&mut Child> {
        match self {
            Self::Here(child) => Some(child),
            Self::There(turn) => turn.session().map(crate::command::Session::child),
            Self::Over => None,
        }
    }
}

/// A `zfs` that runs.
struct Running {
    run: Mutex<Run>,
    _passage: Arc<Passage>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process for Running {
    fn wait(&self) -> Result<(), Died> {
        // Without reaping it, and without the lock: until it is reaped under the lock, its id can be signalled safely.
        let pid = self.lock().child().map(|child| Pid::from_child(child));
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while pid.is_some_and(|pid| matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR))) {}
        let mut run = std::mem::replace(&mut *self.lock(), Run::Over);
        let ended = run.child().map_or_else(|| Err(io::ErrorKind::NotFound.into()), Child::wait);
        let ended = match (run, ended) {
            (Run::There(turn), Ok(status)) => {
                turn.ended(status);
                Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(status, exit_status))
            }
            (_, ended) => ended,
        };
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Died::by(status)),
            Err(error) => Err(Died { status: error.to_string(), killed: false }),
        }
    }

    fn cpu_time(&self) -> u64 {
        let Run::Here(child) = &*self.lock() else { return 0 };
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
        // Behind the name, which may hold anything: utime and stime are the 14th and 15th field of all (proc_pid_stat(5)).
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    fn end(&self, force: bool) {
        if let Some(child) = self.lock().child() {
            away::signal(child, force);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::{Away, Zfs};

    /// A host whose sessions are this script.
    fn host(script: &str, lost: Arc<AtomicUsize>) -> Zfs {
        let session = ("sh".into(), vec!["-c".into(), script.into()]);
        let lost = move || _ = lost.fetch_add(1, Ordering::Relaxed);
        Zfs::on(Away::new(session, vec!["zfs".into()], Arc::default(), lost))
    }

    #[test]
    fn a_session_that_never_begins_is_ended_and_reaped() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let lost = Arc::new(AtomicUsize::new(0));
        // The mark comes on stderr alone.
        let script =
            format!("echo $$ >{}; read -r mark; echo $mark >&2; exec >&-; exec sleep 1000 2>&-", file.display());
        let failure = start_outgoing(host(&script, lost).command(["send", "p@a"])).err().expect("it was not started");
        assert!(failure.words.contains("ended before zfs was started"), "{}", failure.words);
        let pid = std::fs::read_to_string(&file).unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
        let began = std::time::Instant::now();
        while process.exists() {
            assert!(began.elapsed() < Duration::from_secs(20), "it lives on, or is a zombie");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_session_that_starts_nothing_receives_nothing() {
        let lost = Arc::new(AtomicUsize::new(0));
        for (script, words, lost_by_now) in
            [("echo hello >&2; exit 0", "hello", 0), ("echo refused >&2; exit 255", "refused", 1)]
        {
            let call = host(script, lost.clone()).command(["recv", "p/x"]);
            let failure = start(call, Passage::default()).err().expect("it was not started");
            let whole = format!("can't start zfs recv: the session ended before zfs was started: {words}");
            assert_eq!(failure.words, whole);
            assert_eq!(lost.load(Ordering::Relaxed), lost_by_now);
        }
    }
}

//! Processes that carry streams: `zfs recv` takes one, `zfs send` and `zfs list` give one. Each can be waited for and ended.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::claims::Passage;
use super::{Died, Outgoing, Process, Started, Watched};
use crate::command::{Feed, Spawned, Turn, skip_to_mark};
use crate::{Call, Failure, Limits, Refusal, pipe};

/// What is said of a session in which no `zfs` was started.
const NOT_STARTED: &str = "the session ended before zfs was started";

/// Starts a `zfs recv`, which keeps others away until it has ended.
pub(super) fn start(mut call: Call, passage: Passage) -> Result<Started, Failure> {
    let cant = |error: io::Error| not_started("zfs recv", &error);
    let passage = Arc::new(passage);
    // A pipe has in it what a session that was refused has not read.
    granted(|| {
        let (reader, mut writer) = io::pipe()?;
        // Before anybody uses it.
        pipe::grow_pipe(&writer);
        pipe::set_nonblocking(&writer, true)?;
        let feed = Feed { reader, writer: &mut writer };
        let (words, process) = spawn(&mut call, Some(feed), Stdio::null(), &passage)?;
        Ok(Started { stdin: writer.into(), words, process })
    })
    .map_err(cant)
}

/// Starts a call whose output is a stream: `zfs send` or `zfs list`.
pub(super) fn start_outgoing(mut call: Call) -> Result<Outgoing, Failure> {
    let name = call.get_program().to_string_lossy().into_owned();
    let (passage, limits) = (Arc::default(), call.begins_within());
    granted(|| {
        let (reader, writer) = io::pipe()?;
        pipe::grow_pipe(&reader);
        let mut marked = None;
        if call.is_away() {
            marked = Some(Watched::new(reader.try_clone()?.into(), limits.clone()));
        }
        let (words, process) = spawn(&mut call, None, writer.into(), &passage)?;
        // It has come already, with that on stderr.
        match marked.as_mut().map_or(Ok((Vec::new(), true)), skip_to_mark) {
            Ok((_, true)) => Ok(Outgoing { output: reader.into(), words, process }),
            Ok((_, false)) => {
                process.abandon();
                Err(io::Error::other(NOT_STARTED).into())
            }
            Err(error) => {
                process.abandon();
                Err(error.into())
            }
        }
    })
    .map_err(|error| not_started(&name, &error))
}

/// Why nothing was started.
enum NotStarted {
    /// The host has refused the session, in these words of ssh.
    Refused(Turn, String),
    Error(io::Error),
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        Self::Error(error)
    }
}

/// Starts something, as long as its session is refused and it is of use to ask for another one.
fn granted<T>(mut start: impl FnMut() -> Result<T, NotStarted>) -> io::Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start() {
            Ok(started) => return Ok(started),
            Err(NotStarted::Error(error)) => return Err(error),
            Err(NotStarted::Refused(turn, words)) => {
                if !turn.refused(tries) {
                    return Err(io::Error::other(format!("{NOT_STARTED}: {words}")));
                }
            }
        }
    }
}

/// A session that is not to be had in time may be had later.
fn not_started(name: &str, error: &io::Error) -> Failure {
    let late = error.kind() == io::ErrorKind::TimedOut;
    Failure::new(if late { Refusal::Busy } else { Refusal::Other }, &format!("can't start {name}: {error}"))
}

/// Starts a call, and takes what it says on stderr. The call must be gone afterwards, as it holds the other end of the pipe that carries the
/// stream: kept, a receive that ends early would never be noticed, and the end of what is sent never be seen.
fn spawn(
    call: &mut Call,
    stdin: Option<Feed<'_>>,
    stdout: Stdio,
    passage: &Arc<Passage>,
) -> Result<(Box<dyn Read + Send>, Arc<Running>), NotStarted> {
    let away = call.is_away().then(|| call.begins_within());
    let Spawned { mut child, turn } = call.start_stream(stdin, stdout)?;
    let stderr = child.stderr.take();
    let running = Arc::new(Running { child: Mutex::new(child), _passage: Arc::clone(passage), turn: Mutex::new(turn) });
    let words: Box<dyn Read + Send> = match (stderr, away) {
        (Some(stderr), Some(limits)) => Box::new(begun(&running, stderr, limits)?),
        (Some(stderr), None) => Box::new(stderr),
        (None, _) => Box::new(io::empty()),
    };
    Ok((words, running))
}

/// Waits until the mark has come on stderr: a session in which nothing was started can end with status 0, and would pass for a receive.
fn begun(running: &Arc<Running>, stderr: ChildStderr, limits: Limits) -> Result<File, NotStarted> {
    let stderr = File::from(OwnedFd::from(stderr));
    let marked = stderr.try_clone().and_then(|stderr| skip_to_mark(&mut Watched::new(stderr.into(), limits)));
    match marked {
        Ok((_, true)) => {
            if let Some(turn) = running.turn().as_mut() {
                turn.begin();
            }
            Ok(stderr)
        }
        Ok((said, false)) => {
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            let refused = running.turn().take_if(|turn| turn.is_refused(&said));
            running.end(true);
            // Whoever is to hear that the connection is lost hears it before this failure.
            let _ = running.wait();
            Err(match refused {
                Some(turn) => NotStarted::Refused(turn, said),
                None => io::Error::other(format!("{NOT_STARTED}: {said}")).into(),
            })
        }
        Err(error) => {
            running.abandon();
            Err(error.into())
        }
    }
}

/// A `zfs` that runs.
struct Running {
    child: Mutex<Child>,
    _passage: Arc<Passage>,
    /// The session that it takes, until it has ended.
    turn: Mutex<Option<Turn>>,
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends one that has never begun. A thread of its own waits for it, as one that hangs in the kernel can't be killed.
    fn abandon(self: &Arc<Self>) {
        self.end(true);
        let running = Arc::clone(self);
        // Without a thread it stays a zombie until this process ends.
        let _ = thread::Builder::new().name("reaper".into()).spawn(move || running.wait());
    }
}

impl Process for Running {
    fn wait(&self) -> Result<(), Died> {
        // Without reaping it, and without the lock: until it is reaped under the lock, its id can be signalled safely.
        let pid = Pid::from_child(&self.lock());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
        let ended = self.lock().wait();
        let turn = self.turn().take();
        if let (Some(turn), Ok(status)) = (turn, &ended) {
            turn.ended(*status);
        }
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Died { status: status.to_string(), killed: status.signal().is_some() }),
            Err(error) => Err(Died { status: error.to_string(), killed: false }),
        }
    }

    fn cpu_time(&self) -> u64 {
        let pid = self.lock().id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: utime and stime are the 14th and 15th field of all (proc_pid_stat(5)).
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
    }

    fn end(&self, force: bool) {
        let mut child = self.lock();
        if matches!(child.try_wait(), Ok(None)) {
            let signal = if force { Signal::KILL } else { Signal::TERM };
            // It can't be gone: it is not reaped.
            let _ = kill_process(Pid::from_child(&child), signal);
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
        let script = format!("echo $$ >{}; echo ZFSYNC-PLAIN >&2; exec >&-; exec sleep 1000 2>&-", file.display());
        let failure = start_outgoing(host(&script, lost).command(["send", "p@a"])).err().expect("it was not started");
        assert!(failure.words.contains(NOT_STARTED), "{}", failure.words);
        let pid = std::fs::read_to_string(&file).unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", pid.trim()));
        let began = std::time::Instant::now();
        while process.exists() {
            assert!(began.elapsed() < Duration::from_secs(20), "it lives on, or is a zombie");
            thread::yield_now();
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
        let runs = "echo ZFSYNC-PLAIN >&2; cat >/dev/null; echo words >&2";
        let started = start(host(runs, lost.clone()).command(["recv", "p/x"]), Passage::default());
        let Ok(Started { stdin, words, process }) = started else { panic!("it was not started") };
        drop(stdin);
        assert_eq!(io::read_to_string(words).unwrap(), "words\n");
        assert!(process.wait().is_ok());
    }
}

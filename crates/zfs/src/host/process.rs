//! Runs `zfs` for the helper: short commands to their end, and `zfs recv` as a process that can be waited for and ended.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::claims::Passage;
use super::{Process, Started};
use crate::pipe;
use crate::{Failure, MAX_WORDS};
use crate::{ParseError, Refusal};

/// Runs a command whose failure is a failure, and reads what it prints with `read`.
pub(super) fn run<T>(
    command: Command,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    Ok(run_with(command, Words::Tolerated, read)?.0)
}

/// Runs a command that tells of one object, or all of a tree; whatever it says on stderr is a failure, as something may be left
/// out then, even with exit status 0.
pub(super) fn read<T>(
    command: Command,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    Ok(run_with(command, Words::Failure, read)?.0)
}

/// The same for one that is asked for several objects; that some of them don't exist is no failure.
pub(super) fn run_listing<T>(
    command: Command,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    Ok(run_with(command, Words::MayMiss, read)?.0)
}

/// Runs a command that is asked for several objects by name. Beside what it prints: which of them can't be read, and the words of zfs.
pub(super) fn run_naming<T>(
    command: Command,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<(T, Vec<(String, String)>), Failure> {
    run_with(command, Words::MayBeUnread, read)
}

/// Runs a command of whose output only the first part is wanted, and ends it as soon as `read` has that.
pub(super) fn read_first<T>(
    command: Command,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<T, Failure> {
    Ok(run_with(command, Words::Unheard, read)?.0)
}

/// What words on stderr mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    /// Nothing, once what was wanted is read: it is ended then.
    Unheard,
    /// Nothing, where the exit status is 0.
    Tolerated,
    /// A failure.
    Failure,
    /// A failure; but "does not exist" is an answer.
    MayMiss,
    /// The same, and that one can't be read is an answer, too, if it is said by its name.
    MayBeUnread,
}

fn run_with<T>(
    mut command: Command,
    words: Words,
    read: impl FnOnce(BufReader<ChildStdout>) -> Result<T, ParseError>,
) -> Result<(T, Vec<(String, String)>), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let cant = |error: io::Error| Failure::new(Refusal::Other, &format!("can't run {name}: {error}"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cant)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new(Refusal::Other, "no pipes to a command"));
    };
    // Beside stdout: it could fill up and block otherwise.
    let complaints = thread::Builder::new().spawn(move || read_complaints(stderr, words)).map_err(cant);
    let value = complaints.is_ok().then(|| read(BufReader::new(stdout)));
    if !matches!(value, Some(Ok(_))) || words == Words::Unheard {
        // Nobody reads the rest. It may have ended by itself.
        let _ = child.kill();
    }
    let status = child.wait().map_err(cant)?;
    let complaints = complaints?.join().unwrap_or_default();
    match value {
        Some(Err(error)) if status.success() => Err(Failure::new(Refusal::Other, &error.to_string())),
        Some(Ok(value)) if words == Words::Unheard => Ok((value, Vec::new())),
        Some(Ok(value)) if status.success() && (words == Words::Tolerated || complaints.words.is_empty()) => {
            Ok((value, complaints.unread))
        }
        Some(Ok(value)) if complaints.tolerable(status) => Ok((value, complaints.unread)),
        _ => Err(complaints.into_failure(&name, status)),
    }
}

/// What a command wrote to stderr.
#[derive(Default)]
struct Complaints {
    words: String,
    missing: bool,
    /// Names, and what was said of them.
    unread: Vec<(String, String)>,
}

impl Complaints {
    fn tolerable(&self, status: ExitStatus) -> bool {
        (self.missing || !self.unread.is_empty()) && self.words.is_empty() && status.code() == Some(1)
    }

    fn into_failure(self, name: &str, status: ExitStatus) -> Failure {
        if self.words.is_empty() {
            return Failure::new(Refusal::Other, &format!("{name} ended with {status}"));
        }
        Failure::new(Refusal::from_words(&self.words), &self.words)
    }
}

/// The name in `cannot open 'NAME': I/O error`. What concerns the pool or the user as a whole is none of a single object.
fn unread(words: &str) -> Option<String> {
    let (name, _) = words.strip_prefix("cannot open '")?.split_once("': ")?;
    (Refusal::from_words(words) == Refusal::Other).then(|| name.to_owned())
}

fn read_complaints(stderr: impl Read, means: Words) -> Complaints {
    let mut complaints = Complaints::default();
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(MAX_WORDS as u64).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return complaints,
            Ok(_) => {}
        }
        let words = String::from_utf8_lossy(&line);
        let unread = if means == Words::MayBeUnread { unread(&words) } else { None };
        if matches!(means, Words::MayMiss | Words::MayBeUnread) && Refusal::from_words(&words) == Refusal::Missing {
            complaints.missing = true;
        } else if let Some(name) = unread {
            complaints.unread.push((name, words.trim().to_owned()));
        } else if complaints.words.len() < MAX_WORDS {
            complaints.words.push_str(&words);
        }
    }
}

/// Starts a `zfs recv`, which keeps others away until it has ended.
pub(super) fn start(mut command: Command, passage: Passage) -> Result<Started, Failure> {
    let cant = |error: io::Error| Failure::new(Refusal::Other, &format!("can't start zfs recv: {error}"));
    let (reader, writer) = io::pipe().map_err(cant)?;
    // Before anybody uses it.
    pipe::grow_pipe(&writer);
    pipe::set_nonblocking(&writer, true).map_err(cant)?;
    let mut child = command.stdin(reader).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cant)?;
    // It holds the reading end: kept, a receive that ends early would never be noticed.
    drop(command);
    let words: Box<dyn Read + Send> = match child.stderr.take() {
        Some(stderr) => Box::new(stderr),
        None => Box::new(io::empty()),
    };
    Ok(Started { stdin: writer.into(), words, process: Arc::new(Recv { child: Mutex::new(child), _passage: passage }) })
}

/// A `zfs recv`.
struct Recv {
    child: Mutex<Child>,
    _passage: Passage,
}

impl Recv {
    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process for Recv {
    fn wait(&self) -> Result<(), String> {
        // Without reaping it, and without the lock: until it is reaped under the lock, its id can be signalled safely.
        let pid = Pid::from_child(&self.lock());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(pid), options), Err(rustix::io::Errno::INTR)) {}
        match self.lock().wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(error.to_string()),
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
    use super::*;

    fn named(script: &str) -> Result<(usize, Vec<(String, String)>), Failure> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run_naming(command, |output| Ok(output.lines().count()))
    }

    #[test]
    fn one_that_cannot_be_read_is_told_by_its_name() {
        let say = "say() { echo \"cannot open '$1': $2\" >&2; };";
        let io =
            named(&format!("{say} say p/b 'I/O error'; say p/c@1 'dataset does not exist'; echo p/a; exit 1")).unwrap();
        assert_eq!(io, (1, vec![("p/b".into(), "cannot open 'p/b': I/O error".into())]));
        // What isn't about one object is a failure of all.
        for words in [
            "say p/b 'pool I/O is currently suspended'",
            "say p/b 'permission denied'",
            "echo 'cannot iterate filesystems: I/O error' >&2",
        ] {
            assert!(named(&format!("{say} say p/a 'I/O error'; {words}; exit 1")).is_err(), "{words}");
        }
        assert!(named(&format!("{say} say p/b 'I/O error'; exit 2")).is_err());
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdin(Stdio::null());
        command
    }

    fn lines(output: BufReader<ChildStdout>) -> Result<Vec<String>, ParseError> {
        Ok(output.lines().collect::<Result<_, _>>()?)
    }

    #[test]
    fn a_listing_that_complains_is_none() {
        let io_error = "echo b/x; echo 'cannot iterate filesystems: I/O error' >&2";
        for code in [0, 1] {
            let script = format!("{io_error}; exit {code}");
            assert!(run_listing(shell(&script), lines).unwrap_err().words.contains("I/O error"));
            assert!(read(shell(&script), lines).unwrap_err().words.contains("I/O error"));
        }
        // A deed that is done is done.
        assert_eq!(run(shell(io_error), lines).unwrap(), ["b/x"]);
    }

    #[test]
    fn what_does_not_exist_is_an_answer_to_a_question_by_name() {
        let missing = "echo b/x; echo \"cannot open 'b/y': dataset does not exist\" >&2; exit 1";
        assert_eq!(run_listing(shell(missing), lines).unwrap(), ["b/x"]);
        assert!(read(shell(missing), lines).is_err());
        let both = format!("echo 'cannot iterate filesystems: I/O error' >&2; {missing}");
        assert!(run_listing(shell(&both), lines).is_err());
    }
}

//! Runs `zfs` to its end: what it prints is read while it comes, what it says on stderr tells whether that is all. A call that
//! has a limit is ended by it, and so is one that nobody waits for any more.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::run_away;
use crate::command::Turn;
use crate::{Call, Failure, Limits, MAX_WORDS, ParseError, Refusal, text};

/// What is told of a call that was ended because it said nothing.
pub const HANGS: &str = "it stopped responding and was killed: is the pool suspended? Check zpool status";

/// So many bytes are kept of what is said of objects that can't be read: more than a command line full of names can bring.
const MOST_UNREAD: usize = 32 * 1024 * 1024;

/// How often a wait looks whether the call was given up.
const TICK: Duration = Duration::from_millis(100);

/// Runs a command whose failure is a failure, and reads what it prints with `read`.
pub(super) fn run<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_with(call, Words::Tolerated, read)?.0)
}

/// Runs a command that tells of one object, or all of a tree; whatever it says on stderr is a failure, as something may be left
/// out then, even with exit status 0.
pub(super) fn read<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_with(call, Words::Failure, read)?.0)
}

/// The same for one that is asked for several objects; that some of them don't exist is no failure.
pub(super) fn run_listing<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_with(call, Words::MayMiss, read)?.0)
}

/// Runs a command that is asked for several objects by name. Beside what it prints: which of them can't be read, and the words of zfs.
pub(super) fn run_naming<T>(
    call: Call,
    read: impl FnOnce(Output) -> Result<T, ParseError>,
) -> Result<(T, Vec<(String, String)>), Failure> {
    run_with(call, Words::MayBeUnread, read)
}

/// Runs a command of whose output only the first part is wanted, and ends it as soon as `read` has that.
pub(super) fn read_first<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_with(call, Words::Unheard, read)?.0)
}

/// The same, where it is no matter what is missing or can't be read: what it prints counts, whatever it says.
pub(super) fn run_lenient<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_with(call, Words::Ignored, read)?.0)
}

/// What a call prints.
pub(super) type Output = BufReader<Box<dyn Read>>;

/// What words on stderr mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// Nothing, once what was wanted is read: it is ended then.
    Unheard,
    /// Nothing, and nor does the exit status.
    Ignored,
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
    call: Call,
    words: Words,
    read: impl FnOnce(Output) -> Result<T, ParseError>,
) -> Result<(T, Vec<(String, String)>), Failure> {
    let (mut read, mut found) = (Some(read), None);
    let unread = run_to_its_end(call, words, &mut |output| {
        found = read.take().map(|read| read(output)).transpose()?;
        Ok(())
    })?;
    let found = found.ok_or_else(|| Failure::new(Refusal::Other, "nothing was read of a command"))?;
    Ok((found, unread))
}

/// Whatever is read: a copy of this for each kind would be a tenth of a helper that is sent along.
fn run_to_its_end(
    mut call: Call,
    words: Words,
    read: &mut dyn FnMut(Output) -> Result<(), ParseError>,
) -> Result<Vec<(String, String)>, Failure> {
    let (began, mut tries) = (Instant::now(), 0);
    loop {
        tries += 1;
        match run_once(&mut call, began, words, read)? {
            Ran::Through(unread) => return Ok(unread),
            Ran::Refused(turn, failure) => {
                if !turn.refused(tries) {
                    return Err(failure);
                }
            }
            // Nothing is run before the mark. Where that was lost on its way the connection was, too: then no other session is granted.
            Ran::Stale => tries -= 1,
        }
    }
}

/// What came of a call.
pub(super) enum Ran {
    /// Which objects could not be read, and the words of zfs.
    Through(Vec<(String, String)>),
    /// The host has refused its session; what is told of that where nobody asks again.
    Refused(Turn, Failure),
    /// A session that was there has ended, and no mark tells that the call has begun.
    Stale,
}

fn run_once(
    call: &mut Call,
    began: Instant,
    words: Words,
    read: &mut dyn FnMut(Output) -> Result<(), ParseError>,
) -> Result<Ran, Failure> {
    if call.away().is_some() {
        return run_away::run_once(call, began, words, read);
    }
    let name = call.get_program().to_string_lossy().into_owned();
    let cant = |error: io::Error| Failure::new(Refusal::Other, &format!("can't run {name}: {error}"));
    let limits = call.limits().clone();
    let mut child = call.start().map_err(cant)?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new(Refusal::Other, "no pipes to a command"));
    };
    // Beside stdout: it could fill up and block otherwise.
    let (tell, complaints) = mpsc::channel();
    let listener = thread::Builder::new().spawn(move || tell.send(read_complaints(stderr, words))).map_err(cant);
    let value = listener.is_ok().then(|| {
        let output = Heard::new(OwnedFd::from(stdout).into(), &limits, began);
        read(BufReader::new(Box::new(output)))
    });
    let Some(status) = end(child, value.as_ref(), words, &limits).map_err(cant)? else {
        return Err(Failure::new(Refusal::Other, HANGS));
    };
    listener?;
    // Others may hold its stderr.
    let Some(complaints) = told(&complaints, &limits) else {
        return Err(Failure::new(Refusal::Other, HANGS));
    };
    judge(value, complaints, words, &name, status).map(Ran::Through)
}

/// Waits for the end of a child whose output was read, and kills it where that was not all of it; `None` when it hangs.
fn end(
    mut child: Child,
    read: Option<&Result<(), ParseError>>,
    words: Words,
    limits: &Limits,
) -> io::Result<Option<ExitStatus>> {
    // Behind a line that isn't whole nothing more comes, and its status may tell why.
    let over = matches!(read, Some(Ok(()) | Err(ParseError::Cut(_))));
    if !over || words == Words::Unheard {
        // Nobody reads the rest. It may have ended by itself.
        let _ = child.kill();
    }
    let said_nothing = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    if matches!(read, Some(Err(ParseError::Io(error))) if said_nothing(error)) {
        abandon(child);
        return Ok(None);
    }
    let status = wait(&mut child, limits)?;
    if status.is_none() {
        let _ = child.kill();
        abandon(child);
    }
    Ok(status)
}

/// What is made of a call that has ended: of what was read of it, what it has said, and its status.
pub(super) fn judge(
    value: Option<Result<(), ParseError>>,
    complaints: Complaints,
    words: Words,
    name: &str,
    status: ExitStatus,
) -> Result<Vec<(String, String)>, Failure> {
    // It was killed for what was read of it, and has said nothing itself.
    let killed = status.signal() == Some(rustix::process::Signal::KILL.as_raw()) && complaints.words.is_empty();
    match value {
        Some(Err(error)) if status.success() || killed && matches!(error, ParseError::Line { .. }) => {
            Err(Failure::new(Refusal::Other, &error.to_string()))
        }
        Some(Ok(())) if matches!(words, Words::Unheard | Words::Ignored) => Ok(Vec::new()),
        Some(Ok(())) if status.success() && (words == Words::Tolerated || complaints.words.is_empty()) => {
            Ok(complaints.unread)
        }
        Some(Ok(())) if complaints.tolerable(status) => Ok(complaints.unread),
        _ => Err(complaints.into_failure(name, status)),
    }
}

/// Waits for the end of a child whose output has ended; `None` when its time is over before.
fn wait(child: &mut Child, limits: &Limits) -> io::Result<Option<ExitStatus>> {
    if limits.are_none() {
        return child.wait().map(Some);
    }
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if limits.are_over() || limits.silence.is_some_and(|silence| began.elapsed() > silence) {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(TICK);
    }
}

/// What was said on stderr, once that has ended; `None` when the time is over before.
pub(super) fn told(complaints: &mpsc::Receiver<Complaints>, limits: &Limits) -> Option<Complaints> {
    let began = Instant::now();
    loop {
        match complaints.recv_timeout(limits.left(began)?) {
            Ok(complaints) => return Some(complaints),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Some(Complaints::default()),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
}

/// One that hangs in the kernel can't even be killed: nobody waits for it but a thread of its own.
fn abandon(mut child: Child) {
    // Without a thread it stays a zombie until this process ends.
    let _ = thread::Builder::new().name("reaper".into()).spawn(move || child.wait());
}

/// The output of a call, whose reader waits no longer than the call's limits.
pub(super) struct Heard {
    output: File,
    limits: Limits,
    /// For the first that it says: what it has waited for before counts.
    first: Option<Limits>,
}

impl Heard {
    /// That of a call which has waited since then.
    pub(super) fn new(output: File, limits: &Limits, began: Instant) -> Self {
        Self { output, limits: limits.clone(), first: Some(limits.since(began)) }
    }
}

impl Read for Heard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.limits.are_none() {
            self.first.take().as_ref().unwrap_or(&self.limits).wait_for(&self.output, PollFlags::IN)?;
        }
        self.output.read(buffer)
    }
}

/// A stream whose reader waits no longer than these limits.
#[derive(Debug)]
pub struct Watched {
    output: std::fs::File,
    limits: Limits,
}

impl Watched {
    /// Reads this.
    #[must_use]
    pub fn new(output: OwnedFd, limits: Limits) -> Self {
        Self { output: output.into(), limits }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limits.wait_for(&self.output, PollFlags::IN)?;
        self.output.read(buffer)
    }
}

/// What a command wrote to stderr.
#[derive(Default)]
pub(super) struct Complaints {
    pub(super) words: String,
    missing: bool,
    /// Names, and what was said of them.
    unread: Vec<(String, String)>,
    /// So many bytes those are.
    unread_bytes: usize,
}

impl Complaints {
    fn tolerable(&self, status: ExitStatus) -> bool {
        (self.missing || !self.unread.is_empty()) && self.words.is_empty() && status.code() == Some(1)
    }

    /// The same, where a shell has run the command: of one that was killed it tells in its own words (`Killed`).
    pub(super) fn of_a_shell(mut self, name: &str, status: ExitStatus) -> Self {
        if status.signal().is_some() && !self.words.is_empty() {
            self.words = format!("{}: {}", text::ended(name, &status), self.words);
        }
        self
    }

    pub(super) fn into_failure(self, name: &str, status: ExitStatus) -> Failure {
        if self.words.is_empty() {
            return Failure::new(Refusal::Other, &text::ended(name, &status));
        }
        Failure::new(Refusal::from_words(&self.words), &self.words)
    }
}

/// The name in `cannot open 'NAME': I/O error`. What concerns the pool or the user as a whole is none of a single object.
fn unread(words: &str) -> Option<String> {
    let (name, _) = words.strip_prefix("cannot open '")?.split_once("': ")?;
    (Refusal::from_words(words) == Refusal::Other).then(|| name.to_owned())
}

pub(super) fn read_complaints(stderr: impl Read, means: Words) -> Complaints {
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
        // More of them than anybody has asked for: that is a failure of all.
        let room = complaints.unread_bytes + line.len() <= MOST_UNREAD;
        let unread = if means == Words::MayBeUnread && room { unread(&words) } else { None };
        if matches!(means, Words::MayMiss | Words::MayBeUnread) && Refusal::from_words(&words) == Refusal::Missing {
            complaints.missing = true;
        } else if let Some(name) = unread {
            complaints.unread_bytes += line.len();
            complaints.unread.push((name, words.trim().to_owned()));
        } else if complaints.words.len() < MAX_WORDS {
            complaints.words.push_str(&words);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn named(script: &str) -> Result<(usize, Vec<(String, String)>), Failure> {
        run_naming(shell(script), |output| Ok(output.lines().count()))
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

    #[test]
    fn what_is_said_without_end_is_a_failure_of_all() {
        let line = format!("cannot open '{}': I/O error\n", "x".repeat(8000));
        let of = |bytes: usize| read_complaints(line.repeat(bytes / line.len()).as_bytes(), Words::MayBeUnread);
        let (few, many) = (of(MOST_UNREAD), of(2 * MOST_UNREAD));
        assert_eq!((few.unread.len(), few.words.as_str()), (MOST_UNREAD / line.len(), ""));
        assert_eq!(many.unread.len(), few.unread.len());
        assert!(many.words.starts_with("cannot open 'xx") && many.words.len() <= MAX_WORDS + line.len());
    }

    fn shell(script: &str) -> Call {
        within(script, Limits::default())
    }

    fn within(script: &str, limits: Limits) -> Call {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Call::of(command, limits)
    }

    #[test]
    fn one_that_says_nothing_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ >{}; exec sleep 1000", file.display());
        let limits = Limits { silence: Some(Duration::from_secs(3)), ..Limits::default() };
        assert_eq!(run(within(&script, limits), lines).unwrap_err().words, HANGS);
        gone(&file);
    }

    /// Waits until the process whose number is in this file is gone.
    fn gone(file: &std::path::Path) {
        let pid = std::fs::read_to_string(file).unwrap();
        let command_line = format!("/proc/{}/cmdline", pid.trim());
        // Killed; who reaps it is not our affair.
        while std::fs::read(&command_line).is_ok_and(|words| !words.is_empty()) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn one_that_nobody_waits_for_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ >{0}.new; mv {0}.new {0}; exec sleep 1000", file.display());
        let given_up = Arc::new(AtomicBool::new(false));
        let call = within(&script, Limits { given_up: Some(Arc::clone(&given_up)), ..Limits::default() });
        let running = thread::spawn(move || run(call, lines));
        while !file.exists() {
            thread::sleep(Duration::from_millis(10));
        }
        given_up.store(true, Ordering::Relaxed);
        assert!(running.join().unwrap().is_err());
        gone(&file);
    }

    #[test]
    fn one_that_goes_on_has_time() {
        let limits = Limits { silence: Some(Duration::from_secs(4)), ..Limits::default() };
        let call = within("for n in 1 2 3 4 5; do echo $n; sleep 1; done", limits);
        assert_eq!(run(call, lines).unwrap(), ["1", "2", "3", "4", "5"]);
    }

    fn lines(output: Output) -> Result<Vec<String>, ParseError> {
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

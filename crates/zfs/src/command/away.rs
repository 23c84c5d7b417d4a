//! Where calls run that are for another machine: in sessions, one for each call, with a constant command line. The arguments of a call
//! travel on stdin, a line each, so no shell parses them; whatever the call reads itself follows them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::call::Limits;

/// What the session says on stdout and on stderr once it has the arguments. A login shell may have printed something before.
pub const MARK: &str = "ZFSYNC-PLAIN";

/// How ssh ends when the session is lost.
const SSH_FAILED: i32 = 255;

/// So much may stand before it.
const MAX_PREAMBLE: usize = 64 * 1024;
/// So long it may take to come.
const PREAMBLE_WITHIN: Duration = Duration::from_secs(120);

/// Streams that one connection carries at a time: sshd permits 10 sessions by default (MaxSessions), and someone may have lowered that.
pub const STREAMS: usize = 8;
/// Calls beside them that end by themselves.
const CALLS: usize = 2;

/// Opens sessions on another machine by a command of this one.
#[derive(Debug, Clone)]
pub struct Away {
    /// What opens a session, e.g. ssh over a connection that there is.
    program: OsString,
    args: Vec<OsString>,
    /// The words for `zfs` there. `zpool` is called by its own name, from where the last one is: pools are only asked. What needs rights, as their history does, can't
    /// be read so.
    zfs: Vec<String>,
    turns: Arc<Turns>,
    lost: Lost,
}

/// Told when a session was lost, or could not be opened.
#[derive(Clone)]
struct Lost(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lost")
    }
}

impl Away {
    /// `zfs` is what stands for `zfs` there, word by word; `lost` is told of a session that was lost or could not be opened, before
    /// whoever waits for the call is.
    pub fn new(
        (program, args): (OsString, Vec<OsString>),
        zfs: Vec<String>,
        turns: Arc<Turns>,
        lost: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { program, args, zfs, turns, lost: Lost(Arc::new(lost)) }
    }

    /// Opens a session.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        command
    }

    /// The lines that stand for a call. No argument may have a line end in it.
    pub(crate) fn lines(&self, call: &Command) -> io::Result<Vec<u8>> {
        let called = call.get_program();
        let words = self.program_words(called);
        let args: Vec<&[u8]> =
            words.iter().map(String::as_bytes).chain(call.get_args().map(OsStrExt::as_bytes)).collect();
        let mut lines = format!("{}\n", args.len()).into_bytes();
        for arg in args {
            if arg.contains(&b'\n') {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "an argument has a line end in it"));
            }
            lines.extend_from_slice(arg);
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// `zfs` stands for the user's words; whatever else is called stands for itself.
    fn program_words(&self, called: &OsStr) -> Vec<String> {
        match called.to_string_lossy() {
            name if name == "zfs" => self.zfs.clone(),
            name if name == "zpool" => {
                let dir = self.zfs.last().and_then(|last| last.rsplit_once('/'));
                vec![dir.map_or_else(|| "zpool".into(), |(dir, _)| format!("{dir}/zpool"))]
            }
            name => vec![name.into_owned()],
        }
    }

    /// Waits within these limits until the connection may carry another session.
    pub(crate) fn turn(&self, stream: bool, limits: &Limits) -> io::Result<Turn> {
        self.turns.take(stream, &self.lost, limits)
    }
}

/// The sessions that a connection may still carry.
#[derive(Debug, Default)]
pub struct Turns {
    /// Streams, and other calls.
    running: Mutex<[usize; 2]>,
    freed: Condvar,
}

impl Turns {
    /// How many streams and other calls there are.
    #[cfg(test)]
    pub(crate) fn running(&self) -> [usize; 2] {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(self: &Arc<Self>, stream: bool, lost: &Lost, limits: &Limits) -> io::Result<Turn> {
        let (kind, most) = if stream { (0, STREAMS) } else { (1, CALLS) };
        let began = Instant::now();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running[kind] >= most {
            let Some(left) = limits.left(began) else {
                let words =
                    format!("{most} sessions of its kind are open over the connection, and none has ended in time");
                return Err(io::Error::new(io::ErrorKind::TimedOut, words));
            };
            running = self.freed.wait_timeout(running, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        running[kind] += 1;
        Ok(Turn { turns: Arc::clone(self), kind, lost: lost.clone() })
    }
}

/// A session that runs.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    kind: usize,
    lost: Lost,
}

impl Turn {
    /// The session has ended like this. Neither `zfs` nor `zpool` ends with the status that ssh has for itself (ssh(1)); it is also
    /// that of a command which was killed.
    pub(crate) fn ended(self, status: ExitStatus) {
        if status.code() == Some(SSH_FAILED) {
            (self.lost.0)();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.running.lock().unwrap_or_else(PoisonError::into_inner)[self.kind] -= 1;
        self.turns.freed.notify_all();
    }
}

/// Reads a line at a time, byte by byte, until the mark: what follows belongs to somebody else. Returns what stood before it, and
/// whether it came. All of that has a limit, however slowly it comes.
pub(crate) fn skip_to_mark(input: &mut impl Read) -> io::Result<(Vec<u8>, bool)> {
    let mut before = Vec::new();
    let mut byte = [0];
    let began = Instant::now();
    while before.len() < MAX_PREAMBLE {
        if began.elapsed() > PREAMBLE_WITHIN {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the host does not start it"));
        }
        match input.read(&mut byte) {
            Ok(0) => return Ok((before, false)),
            Ok(_) => before.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if byte[0] == b'\n' && is_marked(&before) {
            return Ok((before, true));
        }
    }
    Ok((before, false))
}

/// Whether this ends with the mark's line. A shell may have printed something without a line end before it.
fn is_marked(lines: &[u8]) -> bool {
    lines.strip_suffix(b"\n").is_some_and(|lines| lines.strip_suffix(b"\r").unwrap_or(lines).ends_with(MARK.as_bytes()))
}

/// What a call says on stderr: all behind the mark, or, where there is none, what ssh or the login shell says instead.
pub(crate) struct Words<R> {
    input: BufReader<R>,
    /// What came instead of a mark.
    before: Option<io::Cursor<Vec<u8>>>,
    begun: bool,
}

impl<R: Read> Words<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input: BufReader::new(input), before: None, begun: false }
    }
}

impl<R: Read> Read for Words<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            self.begun = true;
            let (before, marked) = skip_to_mark(&mut self.input)?;
            self.before = (!marked).then(|| io::Cursor::new(before));
        }
        if let Some(before) = &mut self.before {
            let read = before.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
        }
        self.input.read(buffer)
    }
}

/// What a call prints, once the mark is read.
pub(crate) fn behind_mark<R: Read>(mut output: BufReader<R>) -> io::Result<BufReader<R>> {
    let marked = skip_to_mark(&mut output)?.1;
    if !marked {
        // Its stderr says more, if there is anything.
        output.fill_buf().map(drop)?;
        return Err(io::Error::other("the session ended before zfs was started"));
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(zfs: &[&str], program: &str, args: &[&str]) -> String {
        let zfs = zfs.iter().map(ToString::to_string).collect();
        let away = Away::new(("ssh".into(), Vec::new()), zfs, Arc::default(), || {});
        let mut call = Command::new(program);
        call.args(args);
        String::from_utf8(away.lines(&call).unwrap()).unwrap()
    }

    #[test]
    fn each_argument_is_a_line() {
        assert_eq!(lines(&["zfs"], "zfs", &["list", "p/a b", "p/$(x)"]), "4\nzfs\nlist\np/a b\np/$(x)\n");
        assert_eq!(lines(&["sudo", "-n", "/sbin/zfs"], "zfs", &["get"]), "4\nsudo\n-n\n/sbin/zfs\nget\n");
        assert_eq!(lines(&["sudo", "-n", "/sbin/zfs"], "zpool", &["get"]), "2\n/sbin/zpool\nget\n");
        assert_eq!(lines(&["doas", "zfs"], "zpool", &[]), "1\nzpool\n");
        assert_eq!(lines(&["doas", "zfs"], "sh", &["-c"]), "2\nsh\n-c\n");
        let away = Away::new(("ssh".into(), Vec::new()), vec!["zfs".into()], Arc::default(), || {});
        let mut call = Command::new("zfs");
        call.arg("a\nb");
        assert!(away.lines(&call).is_err());
    }

    #[test]
    fn what_a_login_shell_prints_is_none_of_it() {
        let output = |text: &'static str| BufReader::new(text.as_bytes());
        let text = |output: BufReader<&[u8]>| output.lines().collect::<Result<Vec<_>, _>>().unwrap();
        assert_eq!(text(behind_mark(output("hello\nZFSYNC-PLAIN\na\nb\n")).unwrap()), ["a", "b"]);
        assert_eq!(text(behind_mark(output("no line endZFSYNC-PLAIN\r\na\n")).unwrap()), ["a"]);
        assert!(behind_mark(output("This account is not available.\n")).is_err());
        let words = |text: &'static str| io::read_to_string(Words::new(text.as_bytes())).unwrap();
        assert_eq!(words("tput: no terminal\nZFSYNC-PLAIN\ncannot open 'p'\n"), "cannot open 'p'\n");
        assert_eq!(words("mux_client: refused\n"), "mux_client: refused\n");
    }

    #[test]
    fn a_connection_carries_so_many_sessions() {
        let (turns, lost) = (Arc::new(Turns::default()), Lost(Arc::new(|| {})));
        let streams: Vec<Turn> = (0..STREAMS).map(|_| turns.take(true, &lost, &Limits::default()).unwrap()).collect();
        // Those of streams never hold up a question.
        drop(turns.take(false, &lost, &Limits::default()).unwrap());
        let waiting = std::thread::spawn({
            let turns = Arc::clone(&turns);
            move || turns.take(true, &lost, &Limits::default()).map(drop)
        });
        drop(streams);
        waiting.join().unwrap().unwrap();
        assert_eq!(*turns.running.lock().unwrap(), [0, 0]);
    }
}

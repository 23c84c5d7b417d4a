//! Where calls run that are for another machine: in sessions, one for each call, with a constant command line. The arguments of a call
//! travel on stdin, so no shell parses them; whatever the call reads itself follows them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::call::Limits;
use super::turns::{Turn, Turns};

/// What the session says on stdout and on stderr once it has the arguments. A login shell may have printed something before.
pub const MARK: &str = "ZFSYNC-PLAIN";

/// One of these that is in none of the arguments of a call stands between them.
const SEPARATORS: [u8; 4] = [0x1f, 0x1e, 0x1d, 0x1c];

/// So much may stand before it.
const MAX_PREAMBLE: usize = 64 * 1024;
/// So long it may take to come.
const PREAMBLE_WITHIN: Duration = Duration::from_secs(120);

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
pub(super) struct Lost(pub(super) Arc<dyn Fn() + Send + Sync>);

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

    /// The lines that stand for a call: the number of its arguments, what stands between them, and all of them. Whoever reads them drops
    /// an empty one at the end, so none may be empty; and none may have a line end in it.
    pub(crate) fn lines(&self, call: &Command) -> io::Result<Vec<u8>> {
        let cant = |words| Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        let words = self.program_words(call.get_program());
        let args: Vec<&[u8]> =
            words.iter().map(String::as_bytes).chain(call.get_args().map(OsStrExt::as_bytes)).collect();
        if args.iter().any(|arg| arg.is_empty()) {
            return cant("an argument is empty");
        }
        if args.iter().any(|arg| arg.contains(&b'\n')) {
            return cant("an argument has a line end in it");
        }
        let is_free = |byte: &&u8| !args.iter().any(|arg| arg.contains(*byte));
        let Some(separator) = SEPARATORS.iter().find(is_free) else {
            return cant("its arguments have too many different control characters in them");
        };
        let mut lines = format!("{}\n{}\n", args.len(), char::from(*separator)).into_bytes();
        lines.extend_from_slice(&args.join(separator));
        lines.push(b'\n');
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
    fn arguments_travel_as_they_are() {
        let of = |zfs: &[&str], program: &str, args: &[&str]| lines(zfs, program, args).replace('\x1f', "|");
        assert_eq!(of(&["zfs"], "zfs", &["list", "p/a b", "p/$(x)"]), "4\n|\nzfs|list|p/a b|p/$(x)\n");
        assert_eq!(of(&["sudo", "-n", "/sbin/zfs"], "zfs", &["get"]), "4\n|\nsudo|-n|/sbin/zfs|get\n");
        assert_eq!(of(&["sudo", "-n", "/sbin/zfs"], "zpool", &["get"]), "2\n|\n/sbin/zpool|get\n");
        assert_eq!(of(&["doas", "zfs"], "zpool", &[]), "1\n|\nzpool\n");
        assert_eq!(of(&["doas", "zfs"], "sh", &["-c"]), "2\n|\nsh|-c\n");
        // A property may have in it what stands between the others.
        assert_eq!(lines(&["zfs"], "zfs", &["set", "a:b=\x1f"]), "3\n\x1e\nzfs\x1eset\x1ea:b=\x1f\n");
    }

    #[test]
    fn what_would_arrive_as_something_else_is_not_sent() {
        let away = Away::new(("ssh".into(), Vec::new()), vec!["zfs".into()], Arc::default(), || {});
        for arg in ["a\nb", "\n", "", "\x1f\x1e\x1d\x1c"] {
            let mut call = Command::new("zfs");
            call.args(["list", arg]);
            assert_eq!(away.lines(&call).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{arg:?}");
        }
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
}

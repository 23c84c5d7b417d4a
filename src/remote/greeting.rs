//! What a helper says first: found behind whatever a login shell prints, and not waited for without end.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::bootstrap::Word;
use helper::wire::{GREETING, MAX_PREAMBLE, PROTOCOL};
use zfs::Hello;
use zfs::text::{quoted, unquoted};

/// So long a helper has for its greeting, with all that a login shell does before. A slow one takes some seconds (home directories on NFS,
/// version managers); one that asks something, or waits for a terminal, never comes.
pub const GREETED_WITHIN: Duration = Duration::from_secs(60);

/// What came before anything else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// A helper's greeting.
    Hello(Hello),
    /// That of another protocol: its number, or what stands in its place, and the helper's version.
    Version { theirs: String, version: String },
    /// What the bootstrap line says before there is a helper.
    Bootstrap(Word),
    /// None, and this instead.
    None(Vec<u8>),
    /// None within the time.
    Late(Vec<u8>),
}

/// What a helper says, which it has to begin with in time: however often something comes, the time isn't extended.
#[derive(Debug)]
pub(super) struct Timed {
    output: File,
    limit: Duration,
    until: Option<Instant>,
}

impl Timed {
    pub fn new(output: OwnedFd, limit: Duration) -> Self {
        Self { output: output.into(), limit, until: Some(Instant::now() + limit) }
    }

    /// How much time there was.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// From now on it has so long again.
    pub fn within(&mut self, limit: Duration) {
        self.until = Some(Instant::now() + limit);
    }

    /// From now on it may take its time.
    pub fn no_limit(&mut self) {
        self.until = None;
    }

    fn wait(&self, until: Instant) -> io::Result<()> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(&self.output, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Timed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(until) = self.until {
            // Whoever always has something to say isn't in time either.
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.wait(until)?;
        }
        self.output.read(buffer)
    }
}

/// What came in place of a greeting, for messages: indented and harmless.
pub(super) fn said(preamble: &[u8], stderr: &str) -> String {
    // Behind an empty line all of it is quoted.
    let words = quoted(&format!("-\n{}\n{}", String::from_utf8_lossy(preamble), unquoted(stderr)));
    let words = words.split_once('\n').map_or(String::new(), |(_, lines)| lines.to_owned());
    if words.is_empty() { "  nothing".into() } else { words }
}

/// A line that begins as a greeting does, or what came instead.
#[derive(Debug)]
pub(super) enum Line {
    /// `NAME/NUMBER JSON`.
    Found { name: &'static str, number: String, json: String },
    /// None.
    None(Vec<u8>),
    /// None within the time.
    Late(Vec<u8>),
}

/// Looks for a helper's greeting behind whatever a login shell prints.
pub(super) fn find(output: &mut impl BufRead) -> Greeting {
    let mut seen = Vec::new();
    let first = |line: &str| named(line, &[GREETING]).map(Ok).or_else(|| Word::read(line).map(Err));
    match scan(output, &mut seen, first) {
        Err(Missed::Late) => Greeting::Late(seen),
        Err(Missed::Ended) => Greeting::None(seen),
        Ok(Err(word)) => Greeting::Bootstrap(word),
        Ok(Ok(Named { number, json, .. })) if number != PROTOCOL.to_string() => {
            let version = serde_json::from_str::<serde_json::Value>(&json).ok();
            let version = version.as_ref().and_then(|json| json.get("version")?.as_str()).unwrap_or("unknown");
            Greeting::Version { theirs: number, version: version.to_owned() }
        }
        Ok(Ok(Named { json, .. })) => serde_json::from_str(&json).map_or(Greeting::None(seen), Greeting::Hello),
    }
}

/// Looks for the first line with one of these names, and all that follows one in it.
pub(super) fn find_line(output: &mut impl BufRead, names: &[&'static str]) -> Line {
    let mut seen = Vec::new();
    match scan(output, &mut seen, |line| named(line, names)) {
        Ok(Named { name, number, json }) => Line::Found { name, number, json },
        Err(Missed::Ended) => Line::None(seen),
        Err(Missed::Late) => Line::Late(seen),
    }
}

/// `NAME/NUMBER JSON`.
struct Named {
    name: &'static str,
    number: String,
    json: String,
}

/// A start-up file may have printed something without a line feed right before it.
fn named(line: &str, names: &[&'static str]) -> Option<Named> {
    names.iter().find_map(|name| {
        let (number, json) = line[line.find(name)? + name.len()..].strip_prefix('/')?.split_once(' ')?;
        Some(Named { name, number: number.to_owned(), json: json.to_owned() })
    })
}

/// Why there is no such line.
enum Missed {
    /// The output has ended, or is too long.
    Ended,
    /// The time is over.
    Late,
}

/// The first line of which `first` makes something. What it has gone through up to then is in `seen`.
fn scan<T>(output: &mut impl BufRead, seen: &mut Vec<u8>, first: impl Fn(&str) -> Option<T>) -> Result<T, Missed> {
    let mut limited = output.take(MAX_PREAMBLE as u64);
    loop {
        let start = seen.len();
        match limited.read_until(b'\n', seen) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Missed::Late),
            Ok(0) | Err(_) => return Err(Missed::Ended),
            Ok(_) => {}
        }
        if let Some(found) = first(&String::from_utf8_lossy(&seen[start..])) {
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn greet(bytes: &[u8]) -> Greeting {
        find(&mut BufReader::new(bytes))
    }

    fn hello() -> Hello {
        let (zfs, zfs_path) = (None, Some("/sbin/zfs".into()));
        Hello { version: "0.1.0".into(), zfs, zfs_path, host: "b".into(), ..Hello::default() }
    }

    #[test]
    fn the_greeting_is_found_behind_rubbish() {
        let line = helper::wire::greeting(&hello()).unwrap();
        for rubbish in ["", "Welcome!\n", "no line feed", "\u{1b}[2J\nlast login: never\n\n"] {
            assert_eq!(greet(format!("{rubbish}{line}").as_bytes()), Greeting::Hello(hello()), "{rubbish:?}");
        }
    }

    #[test]
    fn another_protocol_is_named() {
        assert_eq!(
            greet(b"ZFSYNC-HELPER/99 {\"version\":\"9.9\"}\n"),
            Greeting::Version { theirs: "99".into(), version: "9.9".into() }
        );
        assert_eq!(
            greet(b"ZFSYNC-HELPER/99 {}\n"),
            Greeting::Version { theirs: "99".into(), version: "unknown".into() }
        );
    }

    #[test]
    fn rubbish_is_kept_for_quoting_and_bounded() {
        assert_eq!(greet(b"sh: 1: nope\n"), Greeting::None(b"sh: 1: nope\n".to_vec()));
        let endless = vec![b'x'; 3 * MAX_PREAMBLE];
        assert!(matches!(greet(&endless), Greeting::None(seen) if seen.len() == MAX_PREAMBLE));
        assert!(matches!(greet(b"ZFSYNC-HELPER/2 {broken\n"), Greeting::None(_)));
    }

    #[test]
    fn a_greeting_that_only_drips_is_late() {
        use std::io::Write as _;
        let (ours, mut theirs) = io::pipe().unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let dripping = std::thread::spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                theirs.write_all(b"Z").unwrap();
            }
        });
        let mut output = BufReader::new(Timed::new(ours.into(), Duration::from_millis(300)));
        assert!(matches!(find(&mut output), Greeting::Late(seen) if seen.starts_with(b"ZZ")));
        drop(stop);
        dripping.join().unwrap();
    }
}

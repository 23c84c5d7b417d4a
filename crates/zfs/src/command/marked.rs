//! What a call says in a session of many: what stands between a mark, which only that session knows, and the same mark with the exit
//! status. Before the first one a login shell may have printed something.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// So much may stand before the mark.
const MAX_PREAMBLE: usize = 64 * 1024;
/// So long it may take to come.
const PREAMBLE_WITHIN: Duration = Duration::from_secs(120);
/// Bytes at a time.
const CHUNK: usize = 64 * 1024;

/// One of the two outputs of a call, up to the mark at its end.
#[derive(Debug)]
pub(crate) struct Marked<R> {
    input: R,
    mark: Arc<str>,
    /// The mark has come or has not; what came instead of it.
    begun: Option<bool>,
    before: io::Cursor<Vec<u8>>,
    /// What was read, up to this place given to whoever reads.
    held: Vec<u8>,
    given: usize,
    /// Nothing more comes.
    over: bool,
    status: Arc<OnceLock<u8>>,
}

impl<R: Read> Marked<R> {
    pub fn new(input: R, mark: Arc<str>) -> Self {
        let (begun, before, held, status) = (None, io::Cursor::default(), Vec::new(), Arc::default());
        Self { input, mark, begun, before, held, given: 0, over: false, status }
    }

    /// The exit status of the call, once its end has been read.
    pub fn status(&self) -> Arc<OnceLock<u8>> {
        Arc::clone(&self.status)
    }

    /// Waits for the beginning, byte by byte: what follows may belong to somebody else. An error holds what came instead; all of that
    /// has a limit, however slowly it comes.
    pub fn begin(&mut self) -> io::Result<bool> {
        if let Some(begun) = self.begun {
            return Ok(begun);
        }
        let mut before = Vec::new();
        let mut byte = [0];
        let since = Instant::now();
        let mut begun = false;
        while !begun && before.len() < MAX_PREAMBLE {
            if since.elapsed() > PREAMBLE_WITHIN {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the host does not start it"));
            }
            match self.input.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => before.push(byte[0]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            begun = byte[0] == b'\n' && is_marked(&before, &self.mark);
        }
        self.begun = Some(begun);
        if !begun {
            self.before = io::Cursor::new(before);
        }
        Ok(begun)
    }

    /// What came instead of a beginning.
    pub fn before(&self) -> String {
        String::from_utf8_lossy(self.before.get_ref()).trim().to_owned()
    }

    /// What reads it.
    pub fn input(&mut self) -> &mut R {
        &mut self.input
    }

    /// Itself, where the rest is not looked at.
    pub fn into_input(self) -> R {
        self.input
    }

    /// Reads on to the end, if that isn't far.
    pub fn drain(&mut self) -> io::Result<()> {
        const FAR: u64 = 1024 * 1024;
        io::copy(&mut self.take(FAR), &mut io::sink()).map(drop)
    }

    /// So many bytes from the first that was not given are known to be none of the mark; none at the end.
    fn known(&mut self) -> io::Result<usize> {
        loop {
            let left = &self.held[self.given..];
            // With the line that it ends.
            if let Some(at) = find(left, self.mark.as_bytes()) {
                if at > 0 {
                    return Ok(at);
                }
                if let Some(status) = status(&left[self.mark.len()..]) {
                    self.over = true;
                    let _ = self.status.set(status);
                    return Ok(0);
                }
                if self.over || left.len() > self.mark.len() + "\u{20}255\r\n".len() {
                    // That is another thing.
                    return Ok(self.mark.len());
                }
            } else if self.over {
                return Ok(left.len());
            } else if left.len() >= self.mark.len() {
                return Ok(left.len() + 1 - self.mark.len());
            }
            self.held.drain(..self.given);
            self.given = 0;
            let len = self.held.len();
            self.held.resize(len + CHUNK, 0);
            let read = self.input.read(&mut self.held[len..]);
            self.held.truncate(len + read.as_ref().map_or(0, |read| *read));
            self.over = read? == 0;
        }
    }
}

impl<R: Read> Read for Marked<R> {
    /// Where no mark has come: what ssh or the login shell says instead.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if !self.begin()? {
            let read = self.before.read(buffer)?;
            return if read > 0 { Ok(read) } else { self.input.read(buffer) };
        }
        if self.status.get().is_some() {
            return Ok(0);
        }
        let len = self.known()?.min(buffer.len());
        buffer[..len].copy_from_slice(&self.held[self.given..][..len]);
        self.given += len;
        Ok(len)
    }
}

/// Where one is in the other.
fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        if text[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// The exit status in the rest of the line with the mark; some shells have larger ones than a process for what was killed.
fn status(rest: &[u8]) -> Option<u8> {
    let line = &rest[..rest.iter().position(|byte| *byte == b'\n')?];
    let line = str::from_utf8(line).ok()?.strip_prefix(' ')?;
    let status: u16 = line.strip_suffix('\r').unwrap_or(line).parse().ok()?;
    // 384 and 256 with the signal, where others have 128 with it.
    Some(u8::try_from(status).unwrap_or(128 | (status & 127) as u8))
}

/// Whether this ends with the mark's line. A shell may have printed something without a line end before it.
fn is_marked(lines: &[u8], mark: &str) -> bool {
    lines.strip_suffix(b"\n").is_some_and(|lines| lines.strip_suffix(b"\r").unwrap_or(lines).ends_with(mark.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "ZFSYNC-0123";

    /// Gives so many bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(buffer.len()).min(self.0.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    /// What is read of it, and the status.
    fn read(text: &str) -> (String, Option<u8>) {
        let of = |pieces| {
            let mut marked = Marked::new(Pieces(text.as_bytes(), pieces), MARK.into());
            let said = io::read_to_string(&mut marked).unwrap();
            (said, marked.status().get().copied())
        };
        let all: Vec<_> = [1, 2, 3, 7, 11, 13, 1000].into_iter().map(of).collect();
        assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
        all[0].clone()
    }

    #[test]
    fn what_stands_between_two_marks() {
        let read = |text: &str| read(&text.replace('M', MARK));
        let is = |text: &str, said: &str, status| assert_eq!(read(text), (said.replace('M', MARK), status), "{text:?}");
        is("M\na\nb\nM 0\n", "a\nb\n", Some(0));
        is("hello\nno line endM\r\na\nM 1\r\n", "a\n", Some(1));
        is("M\nM 0\n", "", Some(0));
        // It doesn't end its line, and prints what the mark begins with, and a mark that is none.
        is("M\nZFSYNC-0ZZFSYNC-012M 137\n", "ZFSYNC-0ZZFSYNC-012", Some(137));
        is("M\naM\nb M x\nM 0 M y\nM 0\n", "aM\nb M x\nM 0 M y\n", Some(0));
        is("M\nM 393\n", "", Some(137));
        is("M\nM 265\n", "", Some(137));
        // It has not ended.
        is("M\na\n", "a\n", None);
        is("M\na\nM 0", "a\nM 0", None);
        // It has not begun.
        is("This account is not available.\n", "This account is not available.\n", None);
        is("xM y\nM 0\n", "xM y\nM 0\n", None);
    }

    #[test]
    fn what_follows_the_beginning_is_left_to_others() {
        let text = format!("hello\n{MARK}\nstream");
        let mut marked = Marked::new(text.as_bytes(), MARK.into());
        assert!(marked.begin().unwrap());
        assert_eq!(marked.into_input(), b"stream");
    }
}

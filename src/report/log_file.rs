//! A file that takes down what happens: appended to, each line at once and with its time, so that it can be rotated from outside
//! between runs and read during one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Event, Reporter};

/// The file.
#[derive(Debug, Clone)]
pub struct LogFile(Arc<Mutex<File>>);

impl LogFile {
    /// Opens it for appending; it and the folders above it are made if they don't exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).create(folder)?;
        }
        Ok(Self(Arc::new(Mutex::new(OpenOptions::new().append(true).create(true).open(path)?))))
    }

    /// Takes lines about something; `label` stands before each.
    #[must_use]
    pub fn about(&self, label: &str) -> Box<dyn Write + Send> {
        Box::new(Labelled { file: self.0.clone(), label: label.to_owned(), line: Vec::new() })
    }
}

/// Writes whole lines.
struct Labelled {
    file: Arc<Mutex<File>>,
    label: String,
    line: Vec<u8>,
}

impl Write for Labelled {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.ends_with(b"\n") {
                let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
                let mut line = format!("{time} {}: ", self.label).into_bytes();
                line.append(&mut self.line);
                // In one piece: other runs may write into the same file.
                self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines for somebody who reads them when all is over.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    /// What has been written.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows the same to several.
pub(super) struct Several(pub Vec<Box<dyn Reporter>>);

impl Reporter for Several {
    fn event(&mut self, event: &Event) {
        for reporter in &mut self.0 {
            reporter.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_with_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/log");
        let log = LogFile::open(&path).unwrap();
        let (mut one, mut two) = (log.about("one"), log.about("two"));
        write!(one, "half a ").unwrap();
        writeln!(two, "another").unwrap();
        write!(one, "line\nthe next\nand an open").unwrap();
        drop(LogFile::open(&path).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(lines, ["two: another", "one: half a line", "one: the next"]);
        let time = text.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert!(LogFile::open(&path.join("x")).is_err());
    }
}

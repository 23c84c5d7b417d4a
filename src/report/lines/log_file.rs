//! A file that takes down what happens: appended to, each line at once and with its time, so that it can be rotated from outside
//! between runs and read during one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::json::{Json, Label};
use super::plain::Plain;
use crate::cli::LogFormat;
use crate::config::Log;
use crate::error::StartError;
use crate::format::sanitise;
use crate::report::{DatasetEnd, Event, Reporter, SystemClock};
use crate::safe_file;

/// The file.
#[derive(Debug, Clone)]
pub struct LogFile {
    file: Arc<Mutex<Lines>>,
    format: LogFormat,
    /// Several jobs may share a file.
    job: String,
}

impl LogFile {
    /// Opens it for appending; it and the folders above it are made if they don't exist.
    pub fn open(log: &Log, job: &str) -> Result<Self, StartError> {
        let cant = |error| StartError::File { what: "write the log", path: log.path.clone(), error };
        let lines = Lines { path: log.path.clone(), file: append(&log.path).map_err(cant)?, lost: None };
        Ok(Self { file: Arc::new(Mutex::new(lines)), format: log.format, job: job.to_owned() })
    }

    /// Takes down a push; `label` tells with each line what it is about.
    #[must_use]
    pub fn reporter(&self, label: &str) -> Box<dyn Reporter> {
        match self.format {
            LogFormat::Text => Box::new(Plain::new(Box::new(self.about(label)), Box::new(SystemClock), 1)),
            LogFormat::Json => {
                let label = Label { job: self.job.clone(), about: label.to_owned() };
                Box::new(Json::new(Box::new(Whole(self.file.clone())), Box::new(SystemClock)).labelled(label))
            }
        }
    }

    /// Takes down words about something else.
    pub fn note(&self, label: &str, words: &str) {
        match self.format {
            LogFormat::Text => {
                let mut out = self.about(label);
                for line in words.lines() {
                    // What is lost is told at the end.
                    let _ = writeln!(out, "{}", sanitise(line));
                }
            }
            LogFormat::Json if words.trim().is_empty() => {}
            LogFormat::Json => self.reporter(label).event(&Event::Notice { dataset: None, text: words.to_owned() }),
        }
    }

    fn about(&self, label: &str) -> Labelled {
        Labelled { file: self.file.clone(), label: label.to_owned(), line: Vec::new() }
    }
}

fn append(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).create(folder)?;
    }
    safe_file::open(OpenOptions::new().append(true).create(true), path)
}

/// What takes whole lines, each in one piece: other runs may write into the same file. A disk that is full may have room again a little
/// later; whoever runs it is told once, at the end, that lines are missing.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    file: File,
    /// Why the first of the missing ones couldn't be written.
    lost: Option<io::Error>,
}

impl Lines {
    fn put(&mut self, line: &[u8]) {
        if let Err(error) = self.file.write_all(line) {
            self.lost.get_or_insert(error);
        }
    }

    fn complaint(&self) -> Option<String> {
        let error = self.lost.as_ref()?;
        Some(format!("lines are missing in the log {}, as it could not be written: {error}", self.path.display()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if let Some(text) = self.complaint() {
            tracing::warn!("{text}");
        }
    }
}

/// Each write is a line.
struct Whole(Arc<Mutex<Lines>>);

impl Write for Whole {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines.
struct Labelled {
    file: Arc<Mutex<Lines>>,
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
                self.file.lock().unwrap_or_else(PoisonError::into_inner).put(&line);
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
pub(in crate::report) struct Several(pub Vec<Box<dyn Reporter>>);

impl Reporter for Several {
    fn event(&mut self, event: &Event) {
        for reporter in &mut self.0 {
            reporter.event(event);
        }
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        for reporter in &mut self.0 {
            reporter.ended(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(path: &Path, format: LogFormat) -> Result<LogFile, StartError> {
        LogFile::open(&Log { path: path.to_owned(), format }, "nightly")
    }

    #[test]
    fn lines_come_whole_and_with_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/log");
        let file = log(&path, LogFormat::Text).unwrap();
        let (mut one, mut two) = (file.about("one"), file.about("two"));
        write!(one, "half a ").unwrap();
        writeln!(two, "another").unwrap();
        write!(one, "line\nthe next\nand an open").unwrap();
        log(&path, LogFormat::Text).unwrap().note("three", "a bell\u{7}\nand more\n");
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(
            lines,
            ["two: another", "one: half a line", "one: the next", "three: a bell\\u{7}", "three: and more"]
        );
        let time = text.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert!(log(&path.join("x"), LogFormat::Text).is_err());
    }

    #[test]
    fn what_a_full_disk_takes_is_told() {
        let full = || Lines {
            path: "/x/log".into(),
            file: OpenOptions::new().write(true).open("/dev/full").unwrap(),
            lost: None,
        };
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = LogFile { file: Arc::new(Mutex::new(full())), format, job: "j".into() };
            let complaint = |log: &LogFile| log.file.lock().unwrap().complaint();
            assert_eq!(complaint(&log), None);
            log.note("push", "words");
            let text = complaint(&log).unwrap();
            assert!(text.contains("missing in the log /x/log") && text.contains("No space left"), "{text}");
        }
    }

    #[test]
    fn json_lines_tell_what_they_are_about() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = log(&path, LogFormat::Json).unwrap();
        file.note("snapshot", "took @a\nand \u{7}");
        file.note("quiet", "\n");
        file.reporter("b:p").event(&crate::report::fake::dataset_failed("q/a"));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told =
            |line: &serde_json::Value| ["job", "about", "event"].map(|key| line[key].as_str().unwrap().to_owned());
        assert_eq!(
            lines.iter().map(told).collect::<Vec<_>>(),
            [["nightly", "snapshot", "notice"], ["nightly", "b:p", "dataset_failed"]]
        );
        assert_eq!((&lines[0]["text"], &lines[1]["target"]), (&"took @a\nand \u{7}".into(), &"q/x".into()));
        assert!(lines[0]["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }
}

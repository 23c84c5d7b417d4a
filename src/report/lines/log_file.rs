//! A file that takes down what happens: appended to, each line at once and with its time, so that it can be rotated from outside
//! between runs and read during one. A thread writes it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::json::{Json, Label};
use super::permissions::GrantsOnce;
use super::plain::Plain;
use crate::cli::LogFormat;
use crate::config::Log;
use crate::error::StartError;
use crate::file_thread::{self, FileThread};
use crate::format::sanitise;
use crate::report::{DatasetEnd, Event, Reporter, SystemClock};
use crate::safe_file;

/// So many bytes wait for the file; what comes then is lost.
const ROOM: usize = 4 << 20;

/// The file.
#[derive(Debug, Clone)]
pub struct LogFile {
    file: Appender,
    path: PathBuf,
    format: LogFormat,
    /// Several jobs may share a file.
    job: String,
    /// Whether each part of the job bears its name.
    names_job: bool,
    /// Whether somebody knows already that lines are missing.
    told: Arc<AtomicBool>,
}

impl LogFile {
    /// Opens it for appending; it and the folders above it are made if they don't exist.
    pub async fn open(log: &Log, job: &str) -> Result<Self, StartError> {
        let path = log.path.clone();
        let cant = |error| StartError::File { what: "write the log", path: log.path.clone(), error };
        let file = Appender::start().map_err(cant)?;
        let open = move |lines: &mut Lines| append(&path).map(|file| lines.file = Some(file));
        file.thread.ask(open).await.and_then(|opened| opened).map_err(cant)?;
        let (path, job) = (log.path.clone(), job.to_owned());
        Ok(Self { file, path, format: log.format, job, names_job: false, told: Arc::default() })
    }

    /// The log of a job with a name: what is neither about a source nor a target could be another job's.
    #[must_use]
    pub fn naming_job(self, names_job: bool) -> Self {
        Self { names_job, ..self }
    }

    /// Takes down words about a part of the job.
    pub fn note_part(&self, part: &str, words: &str) {
        match self.format {
            LogFormat::Text if self.names_job => self.note(&format!("{}: {part}", self.job), words),
            _ => self.note(part, words),
        }
    }

    /// Takes down a push; `label` tells with each line what it is about.
    #[must_use]
    pub fn reporter(&self, label: &str) -> Box<dyn Reporter> {
        match self.format {
            LogFormat::Text => {
                Box::new(GrantsOnce::new(Plain::new(Box::new(self.about(label)), Box::new(SystemClock), 1)))
            }
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

    /// Waits until all of it is written, unless `hurry` is over before; that lines are missing is told, once. To be called when
    /// nothing more is written, and before somebody else may read it.
    pub async fn written(&self, hurry: impl Future<Output = ()>) {
        if let Some(text) = self.complaint(hurry).await
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::error!("{text}");
        }
    }

    async fn complaint(&self, hurry: impl Future<Output = ()>) -> Option<String> {
        let lost = self.file.thread.ask(|lines| lines.lost.take());
        let lost = tokio::select! {
            biased;
            lost = lost => lost.unwrap_or_else(Some),
            () = hurry => Some(file_thread::hurried()),
        };
        let error = lost.or_else(|| self.file.was_full().then(|| io::Error::other("too many lines were waiting")))?;
        Some(format!(
            "lines are missing in the log {}, as it could not be written: {}",
            self.path.display(),
            zfs::text::os_words(&error)
        ))
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

/// What the thread works on: whole lines, each written in one piece, as other runs may write into the same file. A disk that is full may
/// have room again a little later; whoever runs it is told once, at the end, that lines are missing.
#[derive(Debug, Default)]
struct Lines {
    file: Option<File>,
    /// Why the first of the missing ones couldn't be written.
    lost: Option<io::Error>,
}

impl Lines {
    fn put(&mut self, line: &[u8]) -> bool {
        let Some(file) = &mut self.file else { return true };
        let written = file.write_all(line);
        let worked = written.is_ok();
        if let Err(error) = written {
            self.lost.get_or_insert(error);
        }
        worked
    }
}

/// The way to the thread, on which only so much may wait.
#[derive(Debug, Clone)]
struct Appender {
    thread: FileThread<Lines>,
    waiting: Arc<AtomicUsize>,
    full: Arc<AtomicBool>,
}

impl Appender {
    fn start() -> io::Result<Self> {
        let thread = FileThread::start("log", |_| Lines::default())?;
        Ok(Self { thread, waiting: Arc::default(), full: Arc::default() })
    }

    fn put(&self, line: Vec<u8>) {
        let (size, waiting) = (line.len(), self.waiting.clone());
        if waiting.fetch_add(size, Ordering::Relaxed) + size > ROOM {
            waiting.fetch_sub(size, Ordering::Relaxed);
            return self.full.store(true, Ordering::Relaxed);
        }
        self.thread.put(move |lines| {
            let worked = lines.put(&line);
            waiting.fetch_sub(size, Ordering::Relaxed);
            worked
        });
    }

    fn was_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}

/// Each write is a line.
struct Whole(Appender);

impl Write for Whole {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes whole lines.
struct Labelled {
    file: Appender,
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
                self.file.put(line);
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
    use std::future::pending;

    use super::*;

    async fn log(path: &Path, format: LogFormat) -> Result<LogFile, StartError> {
        LogFile::open(&Log { path: path.to_owned(), format }, "nightly").await
    }

    #[tokio::test]
    async fn lines_come_whole_and_with_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/log");
        let file = log(&path, LogFormat::Text).await.unwrap();
        let (mut one, mut two) = (file.about("one"), file.about("two"));
        write!(one, "half a ").unwrap();
        writeln!(two, "another").unwrap();
        write!(one, "line\nthe next\nand an open").unwrap();
        assert_eq!(file.complaint(pending()).await, None);
        let other = log(&path, LogFormat::Text).await.unwrap();
        other.note("three", "a bell\u{7}\nand more\n");
        assert_eq!(other.complaint(pending()).await, None);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| line.split_once("Z ").unwrap().1).collect();
        assert_eq!(
            lines,
            ["two: another", "one: half a line", "one: the next", "three: a bell\\u{7}", "three: and more"]
        );
        let time = text.split(' ').next().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{time}");
        assert!(log(&path.join("x"), LogFormat::Text).await.is_err());
    }

    #[tokio::test]
    async fn what_a_full_disk_takes_is_told() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = log(Path::new("/dev/full"), format).await.unwrap();
            assert_eq!(log.complaint(pending()).await, None);
            log.note("push", "words");
            let text = log.complaint(pending()).await.unwrap();
            assert!(text.contains("missing in the log /dev/full") && text.contains("No space left"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_file_that_takes_nothing_holds_nobody_up() {
        let (reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let log = log(Path::new(&path), LogFormat::Text).await.unwrap();
        // More than a pipe takes, and than may wait.
        (0..ROOM / 1000).for_each(|_| log.note("push", &"x".repeat(1100)));
        assert!(log.file.was_full() && log.file.waiting.load(Ordering::Relaxed) <= ROOM);
        let text = log.complaint(std::future::ready(())).await.unwrap();
        assert!(text.contains("missing in the log") && text.contains("when a signal ended the wait"), "{text}");
        // Whoever reads again gets whole lines.
        drop(writer);
        let read = std::thread::spawn(move || io::read_to_string(reader).unwrap());
        let text = log.complaint(pending()).await.unwrap();
        assert!(text.contains("too many lines were waiting"), "{text}");
        drop(log);
        let text = read.join().unwrap();
        assert!(text.ends_with("x\n") && text.lines().all(|line| line.ends_with(&"x".repeat(1100))));
    }

    #[tokio::test]
    async fn json_lines_tell_what_they_are_about() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = log(&path, LogFormat::Json).await.unwrap();
        file.note("snapshot", "took @a\nand \u{7}");
        file.note("quiet", "\n");
        file.reporter("b:p").event(&crate::report::fake::dataset_failed("q/a"));
        assert_eq!(file.complaint(pending()).await, None);
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

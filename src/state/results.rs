//! The last result of each dataset, as files for programs: one for each dataset, and `run.json` for the run, in a folder for
//! each target. docs/monitor.md tells what is in them.
//!
//! A run over many datasets with nothing to do writes `run.json` and nothing else: that names all datasets whose files say
//! something else than `in_sync`, so that no file has to be read. It is no good after a run that did not come to its end;
//! then the files are read.

mod file;
mod keeper;
mod name;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::error::{Exit, StartError};
use crate::file_thread::{self, Beat, FileThread};
use crate::plan::{Last, LastResult, LastRun};
use crate::remote::link::Ends;
use zfs::BootId;

use crate::report::{DatasetEnd, Event, Reporter, Summary};
use file::{Counts, DatasetFile, Folder, RunFile, now};
use keeper::Keeper;

/// Makes sure that a folder can be used for a target.
pub async fn check(dir: &Path, target: &str) -> Result<(), StartError> {
    let folder = Folder::at(dir, target);
    file_thread::once(move |_| folder.make()).await.map_err(|error| cant_use(dir, error))
}

fn cant_use(dir: &Path, error: io::Error) -> StartError {
    StartError::File { what: "use the state directory", path: dir.to_owned(), error }
}

/// Takes note of a run's results beside whoever shows it.
pub struct Recorder<'a> {
    shown: &'a mut dyn Reporter,
    path: PathBuf,
    run: RunFile,
    thread: FileThread<Keeper>,
    failures: mpsc::Receiver<io::Error>,
    /// Whether the folder's files are looked at.
    looks: bool,
    /// What has arrived of each dataset.
    arrived: HashMap<String, Arrived>,
    not_in_sync: BTreeMap<String, LastResult>,
    planned: bool,
}

#[derive(Default)]
struct Arrived {
    snapshots: usize,
    bytes: u64,
    newest: String,
}

impl<'a> Recorder<'a> {
    /// Starts with a run to a target. The folder's files are not looked at before the run has its lock.
    pub async fn new(dir: &Path, ends: &Ends, shown: &'a mut dyn Reporter) -> Result<Self, StartError> {
        let folder = Folder::at(dir, &ends.key());
        let (path, (tell, failures)) = (folder.path().to_owned(), mpsc::channel());
        let cant = |error| cant_use(dir, error);
        let thread = FileThread::start("state", |beat| Keeper::new(folder, tell, beat)).map_err(cant)?;
        thread.ask(|keeper| keeper.folder.make()).await.and_then(|made| made).map_err(cant)?;
        Ok(Self {
            shown,
            path,
            run: new_run(ends),
            thread,
            failures,
            looks: false,
            arrived: HashMap::new(),
            not_in_sync: BTreeMap::new(),
            planned: false,
        })
    }

    /// The run is over. What can't be written in time, or before `hurry` is over, is complained about.
    pub async fn finish(self, result: Result<Exit, &StartError>, hurry: impl Future<Output = ()>) {
        // Another run is at work: the folder is that one's.
        if let Err(StartError::Locked { .. } | StartError::There { exit: Exit::Locked, .. }) = result {
            return;
        }
        let mut run = RunFile { ended: now(), not_in_sync: self.not_in_sync, ..self.run };
        match result {
            Ok(exit) => run.exit_code = exit.code(),
            Err(error) => (run.exit_code, run.error) = (error.exit().code(), Some(error.to_string())),
        }
        let planned = self.planned;
        let finished = tokio::select! {
            biased;
            finished = self.thread.ask(move |keeper| keeper.finish(run, planned)) => finished.and_then(|done| done),
            () = hurry => Err(file_thread::hurried()),
        };
        for error in self.failures.try_recv().ok().into_iter().chain(finished.err()) {
            complain(&self.path, &error, self.shown);
        }
    }

    fn look(&mut self) {
        if !self.looks {
            self.looks = true;
            self.thread.put(Keeper::look);
        }
    }
}

fn complain(folder: &Path, error: &io::Error, shown: &mut dyn Reporter) {
    let text = format!(
        "can't save results in the state directory {}: {}; the push is not affected, but the saved results are out of date",
        folder.display(),
        zfs::text::os_words(error)
    );
    shown.event(&Event::Problem { text });
}

impl Reporter for Recorder<'_> {
    fn event(&mut self, event: &Event) {
        self.look();
        match event {
            Event::Planned { .. } => self.planned = true,
            Event::StepDone { dataset, to, snapshots, bytes, .. } => {
                let arrived = self.arrived.entry(dataset.clone()).or_default();
                arrived.snapshots += snapshots;
                arrived.bytes += bytes;
                arrived.newest.clone_from(to);
            }
            Event::Finished(summary) => {
                self.run.counts = Some(Counts::of(summary));
                self.run.error.clone_from(&summary.nothing);
            }
            _ => {}
        }
        if let Ok(error) = self.failures.try_recv() {
            complain(&self.path, &error, self.shown);
        }
        self.shown.event(event);
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        self.look();
        if end.result != LastResult::InSync {
            self.not_in_sync.insert(end.dataset.to_owned(), end.result);
        }
        let nothing_to_do = matches!(end.result, LastResult::InSync | LastResult::NoSnapshots) && !end.updated;
        let (arrived, time) = (self.arrived.remove(end.dataset), now());
        let file = DatasetFile {
            source: self.run.source.clone(),
            target: self.run.target.clone(),
            dataset: end.dataset.to_owned(),
            target_dataset: end.target.to_owned(),
            result: end.result,
            error: end.error.map(ToOwned::to_owned),
            snapshots: arrived.as_ref().map_or(0, |arrived| arrived.snapshots),
            bytes: arrived.as_ref().map_or(0, |arrived| arrived.bytes),
            newest: end.newest.map(ToOwned::to_owned).or(arrived.map(|arrived| arrived.newest)),
            last_success: (end.result == LastResult::InSync).then(|| time.clone()),
            time,
        };
        self.thread.put(move |keeper| keeper.ended(file, nothing_to_do));
        self.shown.ended(end);
    }
}

impl Counts {
    fn of(summary: &Summary) -> Self {
        Self {
            datasets: summary.datasets,
            in_sync: summary.in_sync,
            updated: summary.updated,
            failed: summary.failed,
            without_snapshots: summary.without_snapshots,
            snapshots: summary.snapshots,
            bytes: summary.bytes,
        }
    }
}

fn new_run(ends: &Ends) -> RunFile {
    RunFile {
        source: ends.source.to_string(),
        target: ends.target.to_string(),
        started: now(),
        boot_id: BootId::here(),
        ..RunFile::default()
    }
}

/// So long all that is noted at a time may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Takes note of pushes that were never tried, as what comes before them in a job went wrong. Each state directory has its thread: one
/// that hangs holds up no other, and is waited for once.
#[derive(Debug, Default)]
pub struct Untried(HashMap<PathBuf, FileThread<Beat>>);

impl Untried {
    /// Takes note of pushes, each with its state directory. Those of which that could not be noted, and why.
    pub async fn note<'a>(
        &mut self,
        all: impl IntoIterator<Item = (&'a Path, &'a Ends)>,
        exit: Exit,
        why: &str,
    ) -> Vec<(&'a Ends, io::Error)> {
        let mut folders: HashMap<&Path, Vec<(&Ends, Folder, RunFile)>> = HashMap::new();
        for (dir, ends) in all {
            let run = RunFile { ended: now(), exit_code: exit.code(), error: Some(why.to_owned()), ..new_run(ends) };
            folders.entry(dir).or_default().push((ends, Folder::at(dir, &ends.key()), run));
        }
        let (mut failed, until) = (Vec::new(), Instant::now() + LIMIT);
        let mut waiting = Vec::new();
        for (dir, some) in folders {
            let (ends, some): (Vec<&Ends>, Vec<_>) =
                some.into_iter().map(|(ends, folder, run)| (ends, (folder, run))).unzip();
            match self.thread(dir) {
                Ok(thread) => {
                    waiting.push((ends, tokio::spawn(async move { thread.ask(|beat| write_all(some, beat)).await })));
                }
                Err(error) => failed.extend(ends.into_iter().map(|ends| (ends, io::Error::from(error.kind())))),
            }
        }
        for (ends, written) in waiting {
            let written = match tokio::time::timeout_at(until.into(), written).await {
                Ok(Ok(written)) => written,
                Ok(Err(_)) => Err(io::Error::other("an internal task failed")),
                Err(_) => Err(file_thread::late(LIMIT)),
            };
            match written {
                Ok(each) => {
                    failed.extend(ends.into_iter().zip(each).filter_map(|(ends, one)| Some((ends, one.err()?))));
                }
                Err(error) => {
                    failed.extend(ends.into_iter().map(|ends| (ends, io::Error::new(error.kind(), error.to_string()))));
                }
            }
        }
        failed
    }

    fn thread(&mut self, dir: &Path) -> io::Result<FileThread<Beat>> {
        if let Some(thread) = self.0.get(dir) {
            return Ok(thread.clone());
        }
        let thread = FileThread::start("state", |beat| beat)?;
        self.0.insert(dir.to_owned(), thread.clone());
        Ok(thread)
    }
}

fn write_all(all: Vec<(Folder, RunFile)>, beat: &Beat) -> Vec<io::Result<()>> {
    let write = |(folder, run): (Folder, RunFile)| {
        let before = folder.run().unwrap_or_default();
        folder.write_run(&RunFile {
            confirmed: before.confirmed,
            not_in_sync: before.not_in_sync,
            not_looked_at: before.not_looked_at,
            // What the lists are worth has not changed.
            boot_id: before.boot_id,
            ..run
        })
    };
    all.into_iter().map(|one| write(one).inspect(|()| beat.tick())).collect()
}

/// What a state folder remembers of a target.
#[derive(Debug)]
pub struct Remembered {
    folder: Folder,
    run: Option<RunFile>,
}

impl Remembered {
    /// Reads what is known of the last run. A folder that isn't there knows nothing.
    #[must_use]
    pub fn of(dir: &Path, target: &str) -> Self {
        let folder = Folder::at(dir, target);
        Self { run: folder.run(), folder }
    }

    /// The run as a whole.
    #[must_use]
    pub fn run(&self) -> Option<LastRun> {
        let run = self.run.as_ref()?;
        Some(LastRun { ended: seconds(&run.ended), exit_code: run.exit_code, error: run.error.clone() })
    }

    /// A dataset of the source.
    #[must_use]
    pub fn dataset(&self, name: &str) -> Option<Last> {
        let file = self.folder.dataset(name)?;
        let success = match &self.run {
            Some(run) => run.last_success(&file),
            None => file.last_success.clone(),
        };
        let success = success.as_deref().and_then(seconds);
        let time = if file.result == LastResult::InSync { success } else { seconds(&file.time) };
        Some(Last { result: file.result, error: file.error, time, success })
    }
}

fn seconds(time: &str) -> Option<i64> {
    Some(time.parse::<jiff::Timestamp>().ok()?.as_second())
}

#[cfg(test)]
mod tests;

//! The last result of each dataset, as files for programs: one for each dataset, and `run.json` for the run, in a folder for
//! each target. docs/monitor.md tells what is in them.
//!
//! A run over many datasets with nothing to do writes `run.json` and nothing else: that names all datasets whose files say
//! something else than `in_sync`, so that no file has to be read. It is no good after a run that did not come to its end;
//! then the files are read.

mod file;
mod name;
mod writer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Exit, StartError};
use crate::plan::{Last, LastResult, LastRun};
use crate::remote::link::Ends;
use zfs::BootId;

use crate::report::{DatasetEnd, Event, Reporter, Summary};
use file::{Counts, DatasetFile, Folder, RunFile, now};
use name::encode;
use writer::Writer;

/// Makes sure that a folder can be used for a target.
pub fn check(dir: &Path, target: &str) -> Result<(), StartError> {
    open(dir, target).map(drop)
}

fn open(dir: &Path, target: &str) -> Result<Folder, StartError> {
    Folder::open(dir, target).map_err(|error| StartError::File {
        what: "use the state directory",
        path: dir.to_owned(),
        error,
    })
}

/// Takes note of a run's results beside whoever shows it.
pub struct Recorder<'a> {
    shown: &'a mut dyn Reporter,
    folder: Folder,
    run: RunFile,
    /// What the folder had, once somebody has looked.
    before: Option<Before>,
    /// What has arrived of each dataset.
    arrived: HashMap<String, Arrived>,
    not_in_sync: BTreeMap<String, LastResult>,
    planned: bool,
    writer: Option<Writer>,
    /// Whether something could not be written.
    failed: bool,
}

#[derive(Default)]
struct Arrived {
    snapshots: usize,
    bytes: u64,
    newest: String,
}

/// What the folder had before the run.
struct Before {
    run: Arc<RunFile>,
    /// Files whose datasets have not ended in this run.
    files: HashSet<String>,
    /// Whether `run` tells what they say.
    trusted: bool,
}

impl Before {
    fn of(folder: &Folder) -> Self {
        let (listing, run) = (folder.list(), folder.run());
        let trusted = !listing.unfinished && run.as_ref().is_some_and(|run| run.boot_id.is_same(&BootId::here()));
        Self { run: Arc::new(run.unwrap_or_default()), files: listing.files, trusted }
    }

    /// What a dataset's file says; each can be asked for once.
    fn said(&mut self, folder: &Folder, dataset: &str) -> Option<LastResult> {
        if !self.files.remove(&encode(dataset)) {
            return None;
        }
        if self.trusted {
            return Some(self.run.not_in_sync.get(dataset).copied().unwrap_or(LastResult::InSync));
        }
        folder.dataset(dataset).map(|file| file.result)
    }

    /// Datasets that have files and have not ended in this run.
    fn others(&self, folder: &Folder) -> impl Iterator<Item = String> {
        self.files.iter().filter_map(|stem| folder.name_of(stem))
    }
}

impl<'a> Recorder<'a> {
    /// Starts with a run to a target. The folder's files are not looked at before the run has its lock.
    pub fn new(dir: &Path, ends: &Ends, shown: &'a mut dyn Reporter) -> Result<Self, StartError> {
        let folder = open(dir, &ends.key())?;
        Ok(Self {
            shown,
            folder,
            run: new_run(ends),
            before: None,
            arrived: HashMap::new(),
            not_in_sync: BTreeMap::new(),
            planned: false,
            writer: None,
            failed: false,
        })
    }

    /// The run is over.
    pub fn finish(mut self, result: Result<Exit, &StartError>) {
        // Another run is at work: the folder is that one's.
        if let Err(StartError::Locked { .. } | StartError::There { exit: Exit::Locked, .. }) = result {
            return;
        }
        if let Some(error) = self.writer.take().and_then(Writer::finish) {
            self.complain(&error);
        }
        let before = self.before.take().unwrap_or_else(|| Before::of(&self.folder));
        let mut run = std::mem::take(&mut self.run);
        run.ended = now();
        match result {
            Ok(exit) => run.exit_code = exit.code(),
            Err(error) => (run.exit_code, run.error) = (error.exit().code(), Some(error.to_string())),
        }
        run.confirmed.clone_from(&before.run.confirmed);
        run.not_looked_at.clone_from(&before.run.not_looked_at);
        if self.planned {
            run.confirmed = Some(run.ended.clone());
            run.not_looked_at = before.others(&self.folder).collect();
        }
        run.not_in_sync = std::mem::take(&mut self.not_in_sync);
        let told = self.add_others(&before, &mut run.not_in_sync) && !self.failed;
        let written = self.folder.write_run(&run);
        let finished = written.and_then(|()| if told { self.folder.finish() } else { self.folder.begin() });
        if let Err(error) = finished {
            self.complain(&error);
        }
    }

    /// Adds what the files say that this run has left alone; whether all of them could be read.
    fn add_others(&self, before: &Before, all: &mut BTreeMap<String, LastResult>) -> bool {
        if before.trusted {
            let others = before.run.not_in_sync.iter().filter(|(dataset, _)| before.files.contains(&encode(dataset)));
            all.extend(others.map(|(dataset, said)| (dataset.clone(), *said)));
            return true;
        }
        let mut readable = true;
        for stem in &before.files {
            match self.folder.file_of(stem) {
                Some(file) if file.result == LastResult::InSync => {}
                Some(file) => _ = all.insert(file.dataset, file.result),
                None => readable = false,
            }
        }
        readable
    }

    fn begin(&mut self) -> &mut Before {
        self.before.get_or_insert_with(|| Before::of(&self.folder))
    }

    fn complain(&mut self, error: &io::Error) {
        self.failed = true;
        let text = format!(
            "can't save results in the state directory {}: {error}; the push is not affected, but the saved results are out of date",
            self.folder.path().display()
        );
        self.shown.event(&Event::Problem { text });
    }

    fn write(&mut self, file: DatasetFile) {
        if self.writer.is_none() && !self.failed {
            let before = self.begin().run.clone();
            match Writer::start(self.folder.clone(), before) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => self.complain(&error),
            }
        }
        if let Some(writer) = &self.writer {
            writer.put(file);
        }
    }
}

impl Reporter for Recorder<'_> {
    fn event(&mut self, event: &Event) {
        self.begin();
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
        if let Some(error) = self.writer.as_ref().and_then(Writer::failure) {
            self.complain(&error);
        }
        self.shown.event(event);
    }

    fn ended(&mut self, end: &DatasetEnd<'_>) {
        let folder = self.folder.clone();
        let said = self.begin().said(&folder, end.dataset);
        if end.result != LastResult::InSync {
            self.not_in_sync.insert(end.dataset.to_owned(), end.result);
        }
        let nothing_to_do = matches!(end.result, LastResult::InSync | LastResult::NoSnapshots) && !end.updated;
        if !(nothing_to_do && said == Some(end.result)) {
            let arrived = self.arrived.remove(end.dataset);
            let time = now();
            self.write(DatasetFile {
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
            });
        }
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

/// Takes note of a push that was never tried, as what comes before it in a job went wrong.
pub fn not_tried(dir: &Path, ends: &Ends, exit: Exit, why: &str) -> io::Result<()> {
    let folder = Folder::at(dir, &ends.key());
    let before = folder.run().unwrap_or_default();
    let run = RunFile {
        ended: now(),
        exit_code: exit.code(),
        error: Some(why.to_owned()),
        confirmed: before.confirmed,
        not_in_sync: before.not_in_sync,
        not_looked_at: before.not_looked_at,
        // What the lists are worth has not changed.
        boot_id: before.boot_id,
        ..new_run(ends)
    };
    folder.write_run(&run)
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

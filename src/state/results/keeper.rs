//! What a folder has and gets in a run. It works in a thread of its own, as a disk that is slow and a file server that hangs must not hold
//! up a push.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::mpsc::Sender;

use super::file::{DatasetFile, Folder, RunFile};
use super::name::encode;
use crate::file_thread::Beat;
use crate::plan::LastResult;
use zfs::BootId;

/// The folder of a run.
#[derive(Debug)]
pub(super) struct Keeper {
    pub folder: Folder,
    /// What it had, once somebody has looked.
    before: Option<Before>,
    /// Whether the folder says that a run is under way.
    begun: bool,
    /// Whether something could not be written.
    failed: bool,
    tell: Sender<io::Error>,
    beat: Beat,
}

/// What the folder had before the run.
#[derive(Debug)]
struct Before {
    run: RunFile,
    /// Files whose datasets have not ended in this run.
    files: HashSet<String>,
    /// Whether `run` tells what they say.
    trusted: bool,
}

impl Before {
    fn of(folder: &Folder) -> Self {
        let (listing, run) = (folder.list(), folder.run());
        let trusted = !listing.unfinished && run.as_ref().is_some_and(|run| run.boot_id.is_same(&BootId::here()));
        Self { run: run.unwrap_or_default(), files: listing.files, trusted }
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

impl Keeper {
    /// Whoever hears `tell` is told why a file could not be written, once.
    pub fn new(folder: Folder, tell: Sender<io::Error>, beat: Beat) -> Self {
        Self { folder, before: None, begun: false, failed: false, tell, beat }
    }

    /// Looks at what the folder has.
    pub fn look(&mut self) -> bool {
        let folder = &self.folder;
        self.before.get_or_insert_with(|| Before::of(folder));
        true
    }

    /// A dataset has ended. What the folder says already is not written again where there was `nothing_to_do`. Whether that has worked.
    pub fn ended(&mut self, file: DatasetFile, nothing_to_do: bool) -> bool {
        let folder = &self.folder;
        let before = self.before.get_or_insert_with(|| Before::of(folder));
        let said = before.said(folder, &file.dataset);
        if nothing_to_do && said == Some(file.result) || self.failed && !self.begun {
            return true;
        }
        let begun = if self.begun { Ok(()) } else { folder.begin() };
        self.begun |= begun.is_ok();
        let written = begun.and_then(|()| write(folder, &before.run, file));
        let worked = written.is_ok();
        if let Err(error) = written {
            if !self.failed {
                let _ = self.tell.send(error);
            }
            self.failed = true;
        }
        worked
    }

    /// The run is over; `planned` tells whether it got as far as to look at datasets.
    pub fn finish(&mut self, mut run: RunFile, planned: bool) -> io::Result<()> {
        let folder = &self.folder;
        let before = self.before.take().unwrap_or_else(|| Before::of(folder));
        run.confirmed.clone_from(&before.run.confirmed);
        run.not_looked_at.clone_from(&before.run.not_looked_at);
        if planned {
            run.confirmed = Some(run.ended.clone());
            run.not_looked_at = before.others(folder).inspect(|_| self.beat.tick()).collect();
        }
        let told = self.add_others(&before, &mut run.not_in_sync) && !self.failed;
        folder.write_run(&run)?;
        if told { folder.finish() } else { folder.begin() }
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
            self.beat.tick();
            match self.folder.file_of(stem) {
                Some(file) if file.result == LastResult::InSync => {}
                Some(file) => _ = all.insert(file.dataset, file.result),
                None => readable = false,
            }
        }
        readable
    }
}

/// Writes a file, with what the one before tells and this one doesn't.
fn write(folder: &Folder, before: &RunFile, mut file: DatasetFile) -> io::Result<()> {
    if file.result != LastResult::InSync
        && let Some(old) = folder.dataset(&file.dataset)
    {
        file.last_success = before.last_success(&old);
        // What is there of a dataset in conflict need not be what was there.
        if file.result != LastResult::Conflict {
            file.newest = file.newest.or(old.newest);
        }
    }
    folder.write_dataset(&file)
}

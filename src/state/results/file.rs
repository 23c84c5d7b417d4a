//! The files of a state folder, and how they are read and written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::name::{RUN, decode, encode};
use crate::plan::LastResult;
use crate::report::Versioned;
use crate::safe_file;
use zfs::BootId;

/// Lies there from before the first change of a run until its `run.json` is written.
const UNFINISHED: &str = ".unfinished";
const ENDING: &str = ".json";
/// Of files that were not renamed yet.
const TEMPORARY: &str = ".tmp";

/// A moment as the files have it. All have the same form, so that later ones sort behind earlier ones.
pub(super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What became of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DatasetFile {
    /// SOURCE of the run.
    pub source: String,
    /// TARGET, as it was written.
    pub target: String,
    /// The source's dataset.
    pub dataset: String,
    /// The target's.
    pub target_dataset: String,
    pub result: LastResult,
    /// All words.
    pub error: Option<String>,
    /// The newest snapshot that is there, as far as known.
    pub newest: Option<String>,
    /// What arrived in that run.
    pub snapshots: usize,
    pub bytes: u64,
    pub time: String,
    pub last_success: Option<String>,
}

/// A run as a whole: `run.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RunFile {
    pub source: String,
    pub target: String,
    pub started: String,
    pub ended: String,
    pub exit_code: u8,
    /// Why it could not start, or that there was nothing to replicate.
    pub error: Option<String>,
    pub counts: Option<Counts>,
    /// When a run last got as far as to look at datasets: then those were in sync whose files say so.
    pub confirmed: Option<String>,
    /// Datasets whose files say something else than `in_sync`, and what.
    pub not_in_sync: BTreeMap<String, LastResult>,
    /// Datasets that have a file, and that the run of `confirmed` has not looked at.
    pub not_looked_at: BTreeSet<String>,
    /// What was written before the machine's last start need not have reached the disk.
    pub boot_id: BootId,
}

/// A run in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub datasets: usize,
    pub in_sync: usize,
    pub updated: usize,
    pub failed: usize,
    pub without_snapshots: usize,
    pub snapshots: usize,
    pub bytes: u64,
}

impl RunFile {
    /// When this dataset was in sync last: its file isn't touched while it is.
    pub fn last_success(&self, file: &DatasetFile) -> Option<String> {
        let confirmed = self.confirmed.as_ref();
        let untouched = file.result == LastResult::InSync && !self.not_looked_at.contains(&file.dataset);
        file.last_success.as_ref().max(confirmed.filter(|_| untouched)).cloned()
    }
}

/// The folder of a target.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// What a folder has before a run.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The names of the datasets' files, without their ending.
    pub files: HashSet<String>,
    /// Whether a run was not finished.
    pub unfinished: bool,
}

impl Folder {
    /// The folder of this target, whether it is there or not.
    pub fn at(dir: &Path, target: &str) -> Self {
        Self(dir.join(encode(target)))
    }

    /// Makes it, and makes sure that files can be made in it.
    pub fn make(&self) -> io::Result<()> {
        safe_file::check(&self.0)?;
        fs::create_dir_all(&self.0)?;
        match self.temporary()?.close() {
            // A run that has the lock meanwhile has swept it away.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        // Monitoring may read it, as far as the umask goes.
        let mode = Permissions::from_mode(0o666);
        tempfile::Builder::new().prefix(".").suffix(TEMPORARY).permissions(mode).tempfile_in(&self.0)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, stem: &str) -> PathBuf {
        self.0.join(format!("{stem}{ENDING}"))
    }

    fn read<T: DeserializeOwned>(&self, stem: &str) -> Option<T> {
        serde_json::from_slice(&safe_file::read(&self.file(stem)).ok()?).ok()
    }

    fn write(&self, stem: &str, content: &impl Serialize) -> io::Result<()> {
        let mut text = zfs::text::json(serde_json::to_vec_pretty(&Versioned::of(content))?);
        text.push(b'\n');
        let mut file = self.temporary()?;
        file.write_all(&text)?;
        // Whoever reads it has the old one or the new one, never a part.
        file.persist(self.file(stem)).map_err(|error| error.error)?;
        Ok(())
    }

    /// What is known of the last run.
    pub fn run(&self) -> Option<RunFile> {
        self.read(RUN)
    }

    pub fn write_run(&self, run: &RunFile) -> io::Result<()> {
        self.write(RUN, run)
    }

    /// What is known of a dataset.
    pub fn dataset(&self, name: &str) -> Option<DatasetFile> {
        self.read(&encode(name)).filter(|file: &DatasetFile| file.dataset == name)
    }

    /// The content of a file whose name is given.
    pub fn file_of(&self, stem: &str) -> Option<DatasetFile> {
        self.read(stem)
    }

    pub fn write_dataset(&self, file: &DatasetFile) -> io::Result<()> {
        self.write(&encode(&file.dataset), file)
    }

    /// The dataset that a file's name stands for.
    pub fn name_of(&self, stem: &str) -> Option<String> {
        decode(stem).or_else(|| self.file_of(stem).map(|file| file.dataset))
    }

    /// Names alone, which costs little however many there are. What a killed run left half-written goes.
    pub fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name == UNFINISHED {
                listing.unfinished = true;
            } else if name.starts_with('.') && name.ends_with(TEMPORARY) {
                // The next run tries it again.
                let _ = fs::remove_file(entry.path());
            } else if let Some(stem) = name.strip_suffix(ENDING).filter(|stem| *stem != RUN) {
                listing.files.insert(stem.to_owned());
            }
        }
        listing
    }

    /// From here on `run.json` no longer tells what the files say.
    pub fn begin(&self) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        safe_file::open(options.write(true).create(true).truncate(true), &self.0.join(UNFINISHED)).map(drop)
    }

    /// It does again.
    pub fn finish(&self) -> io::Result<()> {
        match fs::remove_file(self.0.join(UNFINISHED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

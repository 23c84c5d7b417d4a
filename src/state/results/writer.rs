//! Writes the files of datasets in a thread of its own: a slow disk must not hold up a push.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::file::{DatasetFile, Folder, RunFile};
use crate::plan::LastResult;

/// The thread, and the way to it.
pub(super) struct Writer {
    work: Sender<DatasetFile>,
    failed: Receiver<io::Error>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// Starts it; `before` is what is known of the last run.
    pub fn start(folder: Folder, before: Arc<RunFile>) -> io::Result<Self> {
        folder.begin()?;
        let ((work, files), (fail, failed)) = (channel(), channel());
        let thread = std::thread::Builder::new().name("state".into()).spawn(move || {
            // One complaint is enough.
            let mut fail = Some(fail);
            for file in files {
                if let Err(error) = put(&folder, &before, file)
                    && let Some(fail) = fail.take()
                {
                    let _ = fail.send(error);
                }
            }
        })?;
        Ok(Self { work, failed, thread })
    }

    pub fn put(&self, file: DatasetFile) {
        // A thread that broke down is found at the end.
        let _ = self.work.send(file);
    }

    /// Why a file could not be written, once.
    pub fn failure(&self) -> Option<io::Error> {
        self.failed.try_recv().ok()
    }

    /// Waits until all is written.
    pub fn finish(self) -> Option<io::Error> {
        drop(self.work);
        let ended = self.thread.join();
        let broken = ended.err().map(|_| io::Error::other("an internal thread failed"));
        broken.or_else(|| self.failed.try_recv().ok())
    }
}

/// Writes a file, with what the one before tells and this one doesn't.
fn put(folder: &Folder, before: &RunFile, mut file: DatasetFile) -> io::Result<()> {
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

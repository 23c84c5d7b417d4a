//! `zfs recv -F` unmounts the filesystem that it is to replace as soon as a stream has begun, and leaves it so when nothing comes of
//! it. So what was mounted is mounted again: a sender must not take away a mount by a stream that never ends.

use std::sync::Arc;

use super::run::{read, run};
use super::{Died, Process, Started};
use crate::name::DatasetName;
use crate::{Zfs, read_facts};

/// A receive into a mounted filesystem.
struct Remounting {
    receive: Arc<dyn Process>,
    zfs: Zfs,
    dataset: DatasetName,
}

/// Has the filesystem mounted again if this receive fails.
pub(super) fn after_failure(zfs: &Zfs, dataset: &DatasetName, started: Started) -> Started {
    let Started { stdin, words, process: receive } = started;
    let process = Arc::new(Remounting { receive, zfs: zfs.clone(), dataset: dataset.clone() });
    Started { stdin, words, process }
}

impl Process for Remounting {
    fn wait(&self) -> Result<(), Died> {
        let ended = self.receive.wait();
        if ended.is_err() {
            let facts = read(self.zfs.facts(std::slice::from_ref(&self.dataset)), read_facts);
            if facts.is_ok_and(|facts| facts.iter().any(|facts| !facts.mounted)) {
                // What stands in its way now stands in the way of whoever mounts it, too, and is told to them.
                let _ = run(self.zfs.mount(&self.dataset), |_| Ok(()));
            }
        }
        ended
    }

    fn cpu_time(&self) -> u64 {
        self.receive.cpu_time()
    }

    fn end(&self, force: bool) {
        self.receive.end(force);
    }
}

//! `zfs recv -F` unmounts the filesystem that it is to replace as soon as a stream has begun, and leaves it so when nothing comes of
//! it. So what was mounted is mounted again: a sender must not take away a mount by a stream that never ends.
//!
//! It can also fail once all has arrived, and what has been received stays unmounted.

use std::sync::Arc;

use super::list::has_snapshots;
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
            let is_unmounted = facts.is_ok_and(|facts| facts.iter().any(|facts| !facts.mounted));
            // What is replaced has none.
            if is_unmounted && has_snapshots(&self.zfs, &self.dataset) == Ok(false) {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::Intake;
    use super::*;
    use crate::{Away, session_line};

    /// A receive that fails.
    struct Fails;

    impl Process for Fails {
        fn wait(&self) -> Result<(), Died> {
            Err(Died { status: "exit status: 1".into(), killed: false })
        }

        fn end(&self, _: bool) {}
    }

    /// What is mounted after a failure, where `zfs` says this of snapshots, and that it is mounted or not.
    fn mounted_after(snapshots: &str, mounted: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("played");
        let script = format!(
            r#"case "$*" in
            "list "*" snapshot "*) {snapshots} ;;
            "list "*) printf 'b/x\tfilesystem\t-\t-\t{mounted}\t0\t0\n' ;;
            "mount "*) echo "$2" >>'{}/mounted' ;;
            esac"#,
            dir.path().display()
        );
        fs::write(&program, script).unwrap();
        let session = ("sh".into(), vec!["-c".into(), session_line().into()]);
        let zfs =
            Zfs::on(Away::new(session, ["sh".into(), program.display().to_string()].into(), Arc::default(), || {}));
        let (_, writer) = std::io::pipe().unwrap();
        let started =
            Started { stdin: Intake::new(writer.into()), words: Box::new(std::io::empty()), process: Arc::new(Fails) };
        let receive = after_failure(&zfs, &"b/x".parse().unwrap(), started);
        assert!(receive.process.wait().is_err());
        fs::read_to_string(dir.path().join("mounted")).unwrap_or_default()
    }

    #[test]
    fn what_has_arrived_stays_unmounted_although_the_receive_has_failed() {
        assert_eq!(mounted_after("", "no"), "b/x\n");
        assert_eq!(mounted_after("", "yes"), "");
        assert_eq!(mounted_after(r"printf 'b/x@s\t7\t8\n'", "no"), "");
        // Nobody knows.
        assert_eq!(mounted_after("echo 'cannot iterate filesystems: I/O error' >&2; exit 1", "no"), "");
    }
}

//! The file of the record: lines are appended, each by one write, so that several runs at once don't mix theirs; at some size
//! it is renamed, and one old file is kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::safe_file;

/// What the file is called.
pub const NAME: &str = "destroyed.jsonl";
/// The one before it.
const OLD: &str = "destroyed.jsonl.1";
/// A file of this size is put aside: some fifty thousand destructions.
const FULL: u64 = 32 * 1024 * 1024;

/// Appends lines; with `sync` they have reached the disk when this returns.
pub fn append(folder: &Path, lines: &[Vec<u8>], sync: bool) -> io::Result<()> {
    append_below(folder, lines, sync, FULL)
}

fn append_below(folder: &Path, lines: &[Vec<u8>], sync: bool, full: u64) -> io::Result<()> {
    safe_file::check(folder)?;
    DirBuilder::new().recursive(true).create(folder)?;
    let mut file = open(folder)?;
    if file.metadata()?.len() >= full {
        put_aside(folder, &file)?;
        file = open(folder)?;
    }
    for line in lines {
        file.write_all(line)?;
    }
    if sync { file.sync_data() } else { Ok(()) }
}

fn open(folder: &Path) -> io::Result<File> {
    // Others may read it, as far as the umask goes.
    safe_file::open(OpenOptions::new().append(true).create(true).mode(0o666), &folder.join(NAME))
}

/// Whoever comes first renames it. Others write into whichever they have open: both are kept.
fn put_aside(folder: &Path, file: &File) -> io::Result<()> {
    if rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(());
    }
    let (ours, path) = (file.metadata()?, folder.join(NAME));
    match fs::symlink_metadata(&path) {
        // Another run has been here.
        Ok(there) if (there.dev(), there.ino()) != (ours.dev(), ours.ino()) => Ok(()),
        Ok(_) => fs::rename(&path, folder.join(OLD)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|at| format!("{at:09}\n").into_bytes()).collect()
    }

    #[test]
    fn it_grows_to_a_limit_and_one_old_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        let size = |name: &str| fs::metadata(folder.join(name)).map(|found| found.len()).ok();
        append_below(&folder, &lines(4), true, 50).unwrap();
        append_below(&folder, &lines(1), false, 50).unwrap();
        assert_eq!((size(NAME), size(OLD)), (Some(50), None));
        append_below(&folder, &lines(7), true, 50).unwrap();
        assert_eq!((size(NAME), size(OLD)), (Some(70), Some(50)));
        append_below(&folder, &lines(1), true, 50).unwrap();
        assert_eq!((size(NAME), size(OLD)), (Some(10), Some(70)));
    }

    #[test]
    fn runs_at_once_lose_no_line() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..50).for_each(|_| append_below(dir.path(), &lines(2), false, u64::MAX).unwrap()));
            }
        });
        let text = fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(text.lines().filter(|line| line.len() == 9).count(), 400, "{text}");
    }
}

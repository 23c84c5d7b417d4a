//! Snapshots of our own: taking them, and asking what speaks against one.

use std::io::BufRead;

use serde::{Deserialize, Serialize};

use super::{Call, ParseError, Zfs};
use crate::name::{DatasetName, SnapshotName};

/// The property of a snapshot that was taken of a copy: it has not come from the copy's source.
pub const TAKEN_HERE: &str = "zfsync:taken-here";

/// What speaks against a snapshot of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotState {
    /// So many bytes were written since its newest snapshot, as far as known.
    pub written: Option<u64>,
    /// It is a part of what is being received for the first time: ZFS refuses to take a snapshot of it.
    pub incomplete: bool,
}

impl Zfs {
    /// One snapshot of each of these datasets, all of one pool, and with `recursive` of all below them: one process, one
    /// ioctl, one transaction group (OpenZFS `cmd/zfs/zfs_main.c`, `zfs_do_snapshot`). All of them or none. `taken_here`: with
    /// [`TAKEN_HERE`].
    #[must_use]
    pub fn snapshot(&self, datasets: &[DatasetName], name: &SnapshotName, recursive: bool, taken_here: bool) -> Call {
        let mut command = self.command(["snapshot"]);
        if recursive {
            command.arg("-r");
        }
        if taken_here {
            command.arg("-o").arg(format!("{TAKEN_HERE}=on"));
        }
        command.args(datasets.iter().map(|dataset| dataset.at(name.as_str())));
        command
    }

    /// How much was written to each of these datasets since its newest snapshot, and whether it is only a part of what is
    /// being received; missing ones as in [`Zfs::list_names`]. Slow columns: each dataset is opened. Read it with
    /// [`read_states`].
    #[must_use]
    pub fn states(&self, datasets: &[DatasetName]) -> Call {
        let mut command = self.command(["list", "-Hp", "-t", "filesystem,volume", "-o", "name,written,inconsistent"]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command
    }

    /// How much was written between each of these snapshots and the one before it; missing ones as in
    /// [`Zfs::list_names`]. A slow column: each snapshot is opened. Read it with [`read_written`].
    #[must_use]
    pub fn written_of<S: AsRef<str>>(&self, snapshots: &[S]) -> Call {
        let mut command = self.command(["list", "-Hp", "-t", "snapshot", "-o", "name,written"]);
        command.args(snapshots.iter().map(AsRef::as_ref));
        command
    }
}

/// Reads [`Zfs::written_of`]; what zfs doesn't know is left out.
pub fn read_written(input: impl BufRead) -> Result<Vec<(String, u64)>, ParseError> {
    let mut all = Vec::new();
    for line in input.lines() {
        let line = line?;
        let wrong = || ParseError::line("not a snapshot and a number", &line);
        let (name, written) = line.rsplit_once('\t').ok_or_else(wrong)?;
        if written != "-" {
            all.push((name.to_owned(), written.parse().map_err(|_| wrong())?));
        }
    }
    Ok(all)
}

/// Reads [`Zfs::states`].
pub fn read_states(input: impl BufRead) -> Result<Vec<(DatasetName, SnapshotState)>, ParseError> {
    let mut all = Vec::new();
    for line in input.lines() {
        let line = line?;
        let wrong = || ParseError::line("not a dataset and two numbers", &line);
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, written, inconsistent] = fields[..] else { return Err(wrong()) };
        let number =
            |text: &str| if text == "-" { Ok(None) } else { text.parse::<u64>().map(Some).map_err(|_| wrong()) };
        let state = SnapshotState { written: number(written)?, incomplete: number(inconsistent)? == Some(1) };
        all.push((name.parse().map_err(|_| wrong())?, state));
    }
    Ok(all)
}

/// What `zfs` has said, without the explanation of its command line that it adds where a dataset is gone.
#[must_use]
pub fn without_usage(words: &str) -> &str {
    let end = if words.starts_with("usage:") { Some(0) } else { words.find("\nusage:") };
    end.and_then(|end| words.get(..end)).unwrap_or(words).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let zfs = Zfs::at("zfs");
        let words = |command: Call| {
            command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join("|")
        };
        let both = ["p/x y".parse().unwrap(), "p/z".parse().unwrap()];
        let name: SnapshotName = "n 1".parse().unwrap();
        assert_eq!(words(zfs.snapshot(&both, &name, true, false)), "snapshot|-r|p/x y@n 1|p/z@n 1");
        assert_eq!(words(zfs.snapshot(&both[..1], &name, false, false)), "snapshot|p/x y@n 1");
        let marked = words(zfs.snapshot(&both[..1], &name, true, true));
        assert_eq!(marked, "snapshot|-r|-o|zfsync:taken-here=on|p/x y@n 1");
        assert_eq!(words(zfs.written_of(&["p/x y@n 1", "p@a"])), "list|-Hp|-t|snapshot|-o|name,written|p/x y@n 1|p@a");
        assert_eq!(words(zfs.states(&both)), "list|-Hp|-t|filesystem,volume|-o|name,written,inconsistent|p/x y|p/z");
    }

    #[test]
    fn reads_states() {
        let all = read_states(&b"p/x y\t0\t0\np\t18446744073709551615\t1\nq\t-\t-\n"[..]).unwrap();
        let state = |written, incomplete| SnapshotState { written, incomplete };
        assert_eq!(all[0], ("p/x y".parse().unwrap(), state(Some(0), false)));
        assert_eq!([all[1].1, all[2].1], [state(Some(u64::MAX), true), state(None, false)]);
        for bad in ["p", "p\t1", "p\tx\t0", "p\t1\t2\t3", "p@s\t1\t0", "\t1\t0"] {
            assert!(read_states(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn reads_written() {
        let all = read_written(&b"p/x y@ s 1\t0\np@a\t4096\np@b\t-\n"[..]).unwrap();
        assert_eq!(all, [("p/x y@ s 1".to_owned(), 0), ("p@a".to_owned(), 4096)]);
        for bad in ["p@a", "p@a\tx", "p@a\t-1", ""] {
            assert!(read_written(format!("{bad}\n").as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_usage_is_left_out() {
        let words = "cannot open 'p/x': dataset does not exist\nusage:\n\tsnapshot [-r] ...\n";
        assert_eq!(without_usage(words), "cannot open 'p/x': dataset does not exist");
        assert_eq!(without_usage("one\r\ntwo"), "one\r\ntwo");
        assert_eq!(without_usage("usage: x"), "");
        assert_eq!(without_usage(""), "");
        assert_eq!(without_usage("\u{e4}\r\n\u{e4}\nusage:\n"), "\u{e4}\r\n\u{e4}");
    }
}

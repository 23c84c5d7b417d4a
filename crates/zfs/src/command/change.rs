//! Commands that take something away or move it: only the helper uses them, when the user has said so and its own command
//! line allows it. Each names exactly what it is about; none recurses into other datasets.

use std::io::BufRead;

use super::parse::for_lines;
use super::{Call, ParseError, Zfs};
use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::{Kind, Property};

/// A snapshot with what may keep it from being destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Its name.
    pub name: SnapshotName,
    /// Its identity.
    pub guid: Guid,
    /// Its place in the order of its dataset.
    pub txg: Txg,
    /// How many holds it has (zfs-hold(8)).
    pub holds: u64,
    /// Its clones, as ZFS lists them.
    pub clones: Option<String>,
}

impl Zfs {
    /// All snapshots of a dataset with holds and clones. Slow columns: only for a dataset that is to be changed. Read it
    /// with [`read_pinned`].
    #[must_use]
    pub fn list_pinned(&self, dataset: &DatasetName) -> Call {
        let columns = "name,guid,createtxg,userrefs,clones";
        self.command(["list", "-Hp", "-d", "1", "-t", "snapshot", "-o", columns, dataset.as_str()])
    }

    /// These snapshots as in [`Zfs::list_pinned`], as far as they exist.
    #[must_use]
    pub fn pins_of<S: AsRef<str>>(&self, names: &[S]) -> Call {
        let columns = "name,guid,createtxg,userrefs,clones";
        let mut command = self.command(["list", "-Hp", "-t", "snapshot", "-o", columns]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// The datasets below a dataset and itself, one a line. Read it with [`read_names`].
    #[must_use]
    pub fn list_below(&self, dataset: &DatasetName) -> Call {
        self.command(["list", "-Hp", "-r", "-t", "filesystem,volume", "-o", "name", dataset.as_str()])
    }

    /// All filesystems and volumes of this machine.
    #[must_use]
    pub fn list_all_names(&self) -> Call {
        self.command(["list", "-Hp", "-t", "filesystem,volume", "-o", "name"])
    }

    /// When snapshots, and those of bookmarks, were made. Read it with [`read_creations`].
    #[must_use]
    pub fn creation_of<S: AsRef<str>>(&self, names: &[S]) -> Call {
        let mut command = self.command(["list", "-Hp", "-t", "snapshot,bookmark", "-o", "name,creation"]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// The tags that hold a snapshot.
    #[must_use]
    pub fn holds(&self, dataset: &DatasetName, snapshot: &SnapshotName) -> Call {
        self.command(["holds".to_owned(), "-H".to_owned(), dataset.at(snapshot.as_str())])
    }

    /// Back to a snapshot; destroys the dataset's newer snapshots and bookmarks, never clones (`-R`), and unmounts nothing
    /// by force (`-f`).
    #[must_use]
    pub fn rollback(&self, dataset: &DatasetName, to: &SnapshotName) -> Call {
        self.command(["rollback".to_owned(), "-r".to_owned(), dataset.at(to.as_str())])
    }

    /// A new name for a dataset, and with it for all below.
    #[must_use]
    pub fn rename(&self, from: &DatasetName, to: &DatasetName) -> Call {
        self.command(["rename", from.as_str(), to.as_str()])
    }

    /// A clone that stays unmounted, with these user properties.
    #[must_use]
    pub fn clone_of(
        &self,
        origin: &DatasetName,
        snapshot: &SnapshotName,
        new: &DatasetName,
        kind: Kind,
        top: bool,
        notes: &[Property],
    ) -> Call {
        let mut command = self.command(["clone"]);
        if top {
            command.args(["-o", "readonly=on"]);
        }
        if kind == Kind::Filesystem {
            command.args(["-o", "canmount=noauto"]);
        }
        for note in notes {
            command.arg("-o").arg(format!("{}={}", note.name, note.value));
        }
        command.arg(origin.at(snapshot.as_str())).arg(new.as_str());
        command
    }

    /// A clone of a volume that takes over its snapshots while the volume is destroyed: nobody can open it.
    #[must_use]
    pub fn keeper_of(&self, volume: &DatasetName, snapshot: &SnapshotName, keeper: &DatasetName) -> Call {
        self.command(["clone", "-o", "volmode=none", &volume.at(snapshot.as_str()), keeper.as_str()])
    }

    /// Unmounts a filesystem that nobody uses.
    #[must_use]
    pub fn unmount(&self, dataset: &DatasetName) -> Call {
        self.command(["unmount", dataset.as_str()])
    }

    /// Mounts a filesystem where its properties say.
    #[must_use]
    pub fn mount(&self, dataset: &DatasetName) -> Call {
        self.command(["mount", dataset.as_str()])
    }

    /// Makes a clone the owner of the snapshots that it has in common with its origin.
    #[must_use]
    pub fn promote(&self, clone: &DatasetName) -> Call {
        self.command(["promote", clone.as_str()])
    }

    /// Destroys these snapshots of a dataset: those that are held or have clones stay, and make it fail.
    #[must_use]
    pub fn destroy_snapshots(&self, dataset: &DatasetName, snapshots: &[&SnapshotName]) -> Call {
        let names: Vec<&str> = snapshots.iter().map(|name| name.as_str()).collect();
        self.command(["destroy".to_owned(), dataset.at(&names.join(","))])
    }

    /// The same, and tells what that frees; or (`dry_run`) only what it would free. Read it with [`read_reclaimed`].
    #[must_use]
    pub fn reclaim_snapshots(&self, dataset: &DatasetName, snapshots: &[&SnapshotName], dry_run: bool) -> Call {
        let names: Vec<&str> = snapshots.iter().map(|name| name.as_str()).collect();
        let flags = if dry_run { "-nvp" } else { "-vp" };
        self.command(["destroy".to_owned(), flags.to_owned(), dataset.at(&names.join(","))])
    }

    /// Destroys a dataset that has neither snapshots nor anything below it: ZFS refuses any other.
    #[must_use]
    pub fn destroy_bare(&self, dataset: &DatasetName) -> Call {
        self.command(["destroy", dataset.as_str()])
    }
}

/// Reads [`Zfs::list_pinned`].
pub fn read_pinned(input: impl BufRead) -> Result<Vec<Pinned>, ParseError> {
    lines(input, |line| {
        let mut fields = line.split('\t');
        let name = fields.next()?.split_once('@')?.1.parse().ok()?;
        let mut number = || fields.next()?.parse::<u64>().ok();
        let (guid, txg, holds) = (Guid(number()?), Txg(number()?), number()?);
        let clones = fields.next().filter(|clones| !clones.is_empty() && *clones != "-").map(ToOwned::to_owned);
        Some(Pinned { name, guid, txg, holds, clones })
    })
}

/// Reads [`Zfs::reclaim_snapshots`]: bytes; 0 where zfs doesn't tell.
pub fn read_reclaimed(input: impl BufRead) -> Result<u64, ParseError> {
    let mut bytes = 0;
    for line in input.lines() {
        if let Some(number) = line?.strip_prefix("reclaim\t") {
            bytes = number.trim().parse().unwrap_or(0);
        }
    }
    Ok(bytes)
}

/// Reads [`Zfs::creation_of`]: full names and seconds since 1970.
pub fn read_creations(input: impl BufRead) -> Result<Vec<(String, i64)>, ParseError> {
    lines(input, |line| {
        let (name, seconds) = line.rsplit_once('\t')?;
        Some((name.to_owned(), seconds.parse().ok()?))
    })
}

/// Reads [`Zfs::list_below`], without what belongs to ZFS itself (`%recv` and the like).
pub fn read_names(input: impl BufRead) -> Result<Vec<DatasetName>, ParseError> {
    let names = lines(input, |line| if line.contains('%') { Some(None) } else { line.parse().ok().map(Some) })?;
    Ok(names.into_iter().flatten().collect())
}

fn lines<T>(input: impl BufRead, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, ParseError> {
    let mut all = Vec::new();
    // For all kinds of lines the same code.
    let each: &mut dyn FnMut(&str) -> Result<(), ParseError> = &mut |line| {
        all.push(read(line).ok_or_else(|| ParseError::line("not the columns asked for", line))?);
        Ok(())
    };
    for_lines(input, each)?;
    Ok(all)
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
        let (x, y) = ("b/x y".parse().unwrap(), "b/y".parse().unwrap());
        let s: SnapshotName = "s 1".parse().unwrap();
        assert_eq!(words(zfs.rollback(&x, &s)), "rollback|-r|b/x y@s 1");
        assert_eq!(words(zfs.rename(&x, &y)), "rename|b/x y|b/y");
        assert_eq!(
            words(zfs.clone_of(&x, &s, &y, Kind::Filesystem, true, &[])),
            "clone|-o|readonly=on|-o|canmount=noauto|b/x y@s 1|b/y"
        );
        let note = Property { on: y.clone(), name: "zfsync:received".into(), value: "a b".into() };
        assert_eq!(
            words(zfs.clone_of(&x, &s, &y, Kind::Volume, false, &[note])),
            "clone|-o|zfsync:received=a b|b/x y@s 1|b/y"
        );
        assert_eq!(words(zfs.promote(&x)), "promote|b/x y");
        assert_eq!(words(zfs.destroy_snapshots(&x, &[&s, &s])), "destroy|b/x y@s 1,s 1");
        assert_eq!(words(zfs.reclaim_snapshots(&x, &[&s], false)), "destroy|-vp|b/x y@s 1");
        assert_eq!(words(zfs.reclaim_snapshots(&x, &[&s, &s], true)), "destroy|-nvp|b/x y@s 1,s 1");
        assert_eq!(read_reclaimed(&b"destroy\tb/x@s\nreclaim\t4096\n"[..]).unwrap(), 4096);
        assert_eq!(read_reclaimed(&b""[..]).unwrap(), 0);
        assert_eq!(words(zfs.destroy_bare(&x)), "destroy|b/x y");
        assert_eq!(words(zfs.creation_of(&["b/x@s"])), "list|-Hp|-t|snapshot,bookmark|-o|name,creation|b/x@s");
    }

    #[test]
    fn reads_what_pins_a_snapshot() {
        let all = read_pinned(&b"b/x@s 1\t7\t8\t0\t-\nb/x@t\t9\t10\t2\tb/c,b/d\nb/x@u\t9\t10\t0\t\n"[..]).unwrap();
        assert_eq!((all[0].name.as_str(), all[0].guid, all[0].holds, &all[0].clones), ("s 1", Guid(7), 0, &None));
        assert_eq!((all[1].holds, all[1].clones.as_deref()), (2, Some("b/c,b/d")));
        assert_eq!(all[2].clones, None);
        assert!(read_pinned(&b"b/x\t7\t8\t0\t-\n"[..]).is_err());
        assert_eq!(read_creations(&b"b/x@a\tb\t1700000000\n"[..]).unwrap(), [("b/x@a\tb".to_owned(), 1_700_000_000)]);
        assert!(read_creations(&b"b/x@a\tnever\n"[..]).is_err());
        let names: Vec<String> = ["b", "b/x y"].map(String::from).to_vec();
        let read = read_names(&b"b\nb/x y\nb/x y/%recv\n"[..]).unwrap();
        assert_eq!(read.iter().map(ToString::to_string).collect::<Vec<_>>(), names);
        assert!(read_names(&b"b\n-r\n"[..]).is_err());
        // What is cut may be another one's name.
        assert!(matches!(read_names(&b"b\nb/home"[..]), Err(ParseError::Cut(_))));
    }
}

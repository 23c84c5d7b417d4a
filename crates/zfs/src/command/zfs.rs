//! Builds `zfs` (and `zpool`) command lines. Every name in them comes from [`crate::name`], so none can be taken for an
//! option, and none passes a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Note;
use super::away::{Away, BUILT_IN};
use super::call::Call;
use super::limits::Limits;
use super::parse::STREAM_FEATURES;
use crate::Kind;
use crate::Receive;
use crate::name::{DatasetName, ResumeToken, SnapshotName};
use crate::{SendBase, SendSpec, Volmode};

/// Where `zfs` lives on systems that keep it off an ordinary user's PATH.
const PLACES: [&str; 3] = ["/sbin", "/usr/sbin", "/usr/local/sbin"];

/// The columns that `zfs list` answers without opening each dataset (OpenZFS `cmd/zfs/zfs_iter.c`, since 2.2).
const FAST_COLUMNS: &str = "name,guid,createtxg";

/// The user property that marks the filesystems which zfsync has made only to hold others.
pub const PLACEHOLDER: &str = "zfsync:placeholder";

/// Looks for the `zfs` command: along PATH, then where systems keep it for root.
#[must_use]
pub fn find_zfs() -> Option<PathBuf> {
    find("zfs")
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    // A relative place on PATH would depend on the directory we happen to be in.
    places.filter(|place| place.is_absolute()).map(|place| place.join(name)).find(|found| is_executable(found))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The `zfs` command of this host. Its methods return commands that are ready to run: messages in English
/// (`LC_ALL=C`), nothing on stdin.
#[derive(Debug, Clone)]
pub struct Zfs {
    path: PathBuf,
    limits: Limits,
    /// The machine that it is on, if that is another one.
    away: Option<Away>,
}

impl Zfs {
    /// The `zfs` that [`find_zfs`] finds.
    #[must_use]
    pub fn find() -> Option<Self> {
        find_zfs().map(Self::at)
    }

    /// The `zfs` at `path`; `zpool` is expected beside it.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), limits: Limits::default(), away: None }
    }

    /// That of another machine.
    #[must_use]
    pub fn on(away: Away) -> Self {
        Self { away: Some(away), ..Self::at("zfs") }
    }

    /// Whether it is on another machine.
    #[must_use]
    pub fn is_away(&self) -> bool {
        BUILT_IN && self.away.is_some()
    }

    /// The same, whose calls end within these limits.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Self {
        Self { path: self.path.clone(), limits, away: self.away.clone() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A constant script of sh on the machine that it is on.
    #[must_use]
    pub fn script(&self, script: &str) -> Call {
        let mut call = Call::new(Path::new("sh"), self.limits.clone(), self.away.clone());
        call.args(["-c", script]);
        call
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Call {
        let mut call = Call::new(&self.path, self.limits.clone(), self.away.clone());
        call.args(args);
        call
    }

    /// Everything that the source has from `dataset` down to `depth` levels below it (all without one). Read it with
    /// [`super::read_source`]. `-d` counts snapshots as one level more, so the datasets at the level below `depth` come
    /// too, without their snapshots: drop them.
    #[must_use]
    pub fn list_source(&self, dataset: &DatasetName, depth: Option<usize>) -> Call {
        let mut command = self.command(["list", "-Hp", "-r"]);
        if let Some(depth) = depth {
            command.arg("-d").arg(depth.saturating_add(1).to_string());
        }
        command.args(["-t", "filesystem,volume,snapshot,bookmark", "-o", FAST_COLUMNS, dataset.as_str()]);
        command.listing()
    }

    /// A dataset and those right below it, or all pools. Read it with [`super::read_names`].
    #[must_use]
    pub fn list_children(&self, parent: Option<&DatasetName>) -> Call {
        let depth = if parent.is_some() { "1" } else { "0" };
        let mut command = self.command(["list", "-H", "-t", "filesystem,volume", "-o", "name", "-d", depth]);
        command.args(parent.map(DatasetName::as_str));
        command
    }

    /// These datasets and snapshots, as far as they exist: each that doesn't gives a line on stderr, and exit code 1 at
    /// the end. The names must have been checked by [`crate::name`].
    #[must_use]
    pub fn list_names<S: AsRef<str>>(&self, names: &[S]) -> Call {
        let mut command = self.command(["list", "-Hp", "-t", "filesystem,volume,snapshot", "-o", FAST_COLUMNS]);
        command.args(names.iter().map(AsRef::as_ref));
        command
    }

    /// All snapshots of each of these datasets, and not of those below them.
    #[must_use]
    pub fn list_snapshots(&self, datasets: &[DatasetName]) -> Call {
        let mut command = self.command(["list", "-Hp", "-d", "1", "-t", "snapshot", "-o", FAST_COLUMNS]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command.passing()
    }

    /// What these datasets are; missing ones as in [`Zfs::list_names`]. Slow columns: some 35 ms for each unmounted
    /// dataset. Read it with [`super::read_facts`].
    #[must_use]
    pub fn facts(&self, datasets: &[DatasetName]) -> Call {
        let columns = "name,type,receive_resume_token,encryptionroot,mounted,inconsistent,written";
        let mut command = self.command(["list", "-Hp", "-t", "filesystem,volume", "-o", columns]);
        command.args(datasets.iter().map(DatasetName::as_str));
        command
    }

    /// Whether each filesystem from `dataset` down is mounted: one `yes` or `no` a line.
    #[must_use]
    pub fn mounted_below(&self, dataset: &DatasetName) -> Call {
        self.command(["list", "-Hp", "-r", "-t", "filesystem", "-o", "mounted", dataset.as_str()])
    }

    /// One property's value and nothing else.
    #[must_use]
    pub fn get(&self, property: &str, dataset: &DatasetName) -> Call {
        self.command(["get", "-Hp", "-o", "value", property, dataset.as_str()])
    }

    /// How many objects (files, directories) each user owns; works on unmounted filesystems too. Read it with
    /// [`super::user_objects`].
    #[must_use]
    pub fn userspace(&self, dataset: &DatasetName) -> Call {
        self.command(["userspace", "-Hpn", "-o", "type,name,objused", dataset.as_str()])
    }

    /// The stream to stdout; with size and progress on stderr, to be read with [`super::report`].
    #[must_use]
    pub fn send(&self, spec: &SendSpec) -> Call {
        self.send_with(&[], spec)
    }

    /// The size of what [`Zfs::send`] would send, on **stdout**, to be read with [`super::report`].
    #[must_use]
    pub fn estimate(&self, spec: &SendSpec) -> Call {
        self.send_with(&["-n"], spec)
    }

    fn send_with(&self, extra: &[&str], spec: &SendSpec) -> Call {
        let SendSpec { dataset, to, base, flags } = spec;
        let mut command = self.command(["send"]);
        command.args(extra);
        let wanted = [
            (flags.large_blocks, "-L"),
            (flags.embedded, "-e"),
            (flags.compressed, "-c"),
            (flags.raw, "-w"),
            (true, "-vP"),
        ];
        command.args(wanted.iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag));
        // A base that starts with '@' or '#' belongs to the dataset that is sent.
        match base {
            None => {}
            Some(SendBase::SnapshotOne(name)) => _ = command.arg("-i").arg(format!("@{name}")),
            Some(SendBase::SnapshotAll(name)) => _ = command.arg("-I").arg(format!("@{name}")),
            Some(SendBase::Bookmark(name)) => _ = command.arg("-i").arg(format!("#{name}")),
        }
        command.arg(dataset.at(to.as_str()));
        command
    }

    /// The rest of a stream that was cut; the token holds all flags of the first attempt.
    #[must_use]
    pub fn resume(&self, token: &ResumeToken) -> Call {
        self.command(["send", "-vP", "-t", &token.0])
    }

    /// The size of what [`Zfs::resume`] would send, as [`Zfs::estimate`] tells it.
    #[must_use]
    pub fn estimate_rest(&self, token: &ResumeToken) -> Call {
        self.command(["send", "-nvP", "-t", &token.0])
    }

    /// Drops what a cut receive left; the dataset's snapshots and data stay as they are.
    #[must_use]
    pub fn clear_partial(&self, dataset: &DatasetName) -> Call {
        self.command(["recv", "-A", dataset.as_str()])
    }

    /// Receives from its stdin, which the caller sets: resumable, mounting nothing, a stream of one snapshot under the name
    /// `snapshot`, a package of them without. `-F` goes only into what was found to be empty.
    #[must_use]
    pub fn receive(&self, receive: &Receive, snapshot: Option<&SnapshotName>) -> Call {
        let mut command = self.command(["recv"]);
        if receive.resumable {
            command.arg("-s");
        }
        command.arg("-u");
        let new = receive.create || receive.into_empty || receive.overwrite;
        if receive.into_empty || receive.overwrite {
            command.arg("-F");
        }
        if receive.top && new {
            command.args(["-o", "readonly=on"]);
        }
        if receive.unencrypted && receive.create {
            command.args(["-o", "encryption=off"]);
        }
        match receive.kind {
            _ if !new => {}
            Kind::Filesystem if receive.mountable => {}
            // Not `off`: one `zfs mount` should be enough to look into a copy.
            Kind::Filesystem => _ = command.args(["-o", "canmount=noauto"]),
            // Nobody scans it for partitions, and no LVM or RAID puts itself together from copies.
            Kind::Volume if receive.volmode == Volmode::None => _ = command.args(["-o", "volmode=none"]),
            Kind::Volume => {}
        }
        if let Some(put) = receive.put.as_ref().filter(|_| new) {
            command.arg("-o").arg(format!("{}={put}", Note::Received.property()));
        }
        command.arg(snapshot.map_or_else(|| receive.dataset.to_string(), |name| receive.dataset.at(name.as_str())));
        command.watched(receive.into_empty || receive.overwrite)
    }

    /// Creates a filesystem that only holds others, is never mounted, and says by [`PLACEHOLDER`] that zfsync made it
    /// (`marked`; a delegated user may lack the right to set user properties).
    #[must_use]
    pub fn create_placeholder(&self, dataset: &DatasetName, top: bool, marked: bool) -> Call {
        // No `-u`: not every version has it, and nothing mounts with canmount=off.
        let mut command = self.command(["create", "-o", "canmount=off"]);
        if top {
            command.args(["-o", "readonly=on"]);
        }
        if marked {
            command.arg("-o").arg(format!("{PLACEHOLDER}=on"));
        }
        command.arg(dataset.as_str());
        command
    }

    /// Takes the mark of [`Zfs::create_placeholder`] away.
    #[must_use]
    pub fn unmark_placeholder(&self, dataset: &DatasetName) -> Call {
        self.command(["inherit", PLACEHOLDER, dataset.as_str()])
    }

    /// The state of those features of a pool that a stream can need, to be read with [`super::disabled_features`]. A
    /// version that doesn't know one of them leaves it out.
    #[must_use]
    pub fn pool_features(&self, pool: &str) -> Call {
        let features = STREAM_FEATURES.map(|feature| format!("feature@{feature}")).join(",");
        let mut command = self.zpool();
        command.args(["get", "-Hp", "-o", "property,value", &features, pool]);
        command
    }

    /// All that is set of a pool, for [`super::lacking`].
    #[must_use]
    pub fn pool_properties(&self, pool: &str) -> Call {
        let mut command = self.zpool();
        command.args(["get", "-Hp", "-o", "property,value", "all", pool]);
        command
    }

    /// Has what was written to a pool stored now: `written` and its like count nothing before (zpool-sync(8)).
    #[must_use]
    pub fn sync(&self, pool: &str) -> Call {
        let mut command = self.zpool();
        command.args(["sync", pool]);
        command
    }

    pub(crate) fn zpool(&self) -> Call {
        if self.is_away() {
            return Call::new(Path::new("zpool"), self.limits.clone(), self.away.clone());
        }
        let beside = self.path.with_file_name("zpool");
        // A wrapper of zfs may stand alone.
        let zpool = if beside.is_file() { None } else { find("zpool") };
        Call::new(&zpool.unwrap_or(beside), self.limits.clone(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Brings;
    use crate::SendFlags;

    fn line(command: &Call) -> String {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().replace(' ', "_")).collect::<Vec<_>>().join(" ")
    }

    fn dataset(name: &str) -> DatasetName {
        name.parse().unwrap()
    }

    fn snapshot(name: &str) -> SnapshotName {
        name.parse().unwrap()
    }

    #[test]
    fn lists_ask_only_for_fast_columns() {
        let zfs = Zfs::at("/sbin/zfs");
        let all = "-t filesystem,volume,snapshot,bookmark -o name,guid,createtxg";
        assert_eq!(line(&zfs.list_source(&dataset("p/a b"), None)), format!("/sbin/zfs list -Hp -r {all} p/a_b"));
        assert_eq!(line(&zfs.list_source(&dataset("p"), Some(0))), format!("/sbin/zfs list -Hp -r -d 1 {all} p"));
        assert_eq!(
            line(&zfs.list_names(&["p/a", "p/a@s"])),
            "/sbin/zfs list -Hp -t filesystem,volume,snapshot -o name,guid,createtxg p/a p/a@s"
        );
        assert_eq!(
            line(&zfs.list_snapshots(&[dataset("p/a"), dataset("q")])),
            "/sbin/zfs list -Hp -d 1 -t snapshot -o name,guid,createtxg p/a q"
        );
        assert_eq!(
            line(&zfs.pool_features("p")),
            "/sbin/zpool get -Hp -o property,value feature@large_blocks,feature@embedded_data,feature@lz4_compress,\
             feature@zstd_compress,feature@encryption p"
        );
    }

    #[test]
    fn sends() {
        let zfs = Zfs::at("zfs");
        let flags = SendFlags { large_blocks: true, embedded: true, compressed: true, raw: false };
        let mut spec = SendSpec { dataset: dataset("p/a"), to: snapshot("z"), base: None, flags };
        assert_eq!(line(&zfs.send(&spec)), "zfs send -L -e -c -vP p/a@z");
        spec.flags = SendFlags { raw: true, ..SendFlags::default() };
        for (base, words) in [
            (SendBase::SnapshotOne(snapshot("y")), "-i @y"),
            (SendBase::SnapshotAll(snapshot("y")), "-I @y"),
            (SendBase::Bookmark(snapshot("y")), "-i #y"),
        ] {
            spec.base = Some(base);
            assert_eq!(line(&zfs.send(&spec)), format!("zfs send -w -vP {words} p/a@z"));
            assert_eq!(line(&zfs.estimate(&spec)), format!("zfs send -n -w -vP {words} p/a@z"));
        }
    }

    #[test]
    fn only_what_is_empty_is_forced() {
        let zfs = Zfs::at("zfs");
        let plain = Receive {
            dataset: dataset("b/x"),
            ancestors: vec![],
            top_ancestor: None,
            kind: Kind::Filesystem,
            brings: Brings::Snapshot(snapshot("s")),
            create: false,
            top: false,
            into_empty: false,
            overwrite: false,
            volmode: Volmode::None,
            unencrypted: false,
            mountable: false,
            resumable: true,
            base: None,
            put: None,
            to_guid: None,
            from_guid: None,
            keeps_key: false,
        };
        assert_eq!(line(&zfs.receive(&plain, None)), "zfs recv -s -u b/x");
        let receive = Receive { create: true, top: true, ..plain.clone() };
        assert_eq!(
            line(&zfs.receive(&receive, Some(&snapshot("s")))),
            "zfs recv -s -u -o readonly=on -o canmount=noauto b/x@s"
        );
        let receive = Receive { create: true, top: true, kind: Kind::Volume, ..plain.clone() };
        assert_eq!(
            line(&zfs.receive(&receive, Some(&snapshot("s")))),
            "zfs recv -s -u -o readonly=on -o volmode=none b/x@s"
        );
        let put = Some("00000007-000000000000001f".parse().unwrap());
        let receive = Receive { put, ..receive };
        assert_eq!(
            line(&zfs.receive(&receive, Some(&snapshot("s")))),
            "zfs recv -s -u -o readonly=on -o volmode=none -o zfsync:received=00000007-000000000000001f b/x@s"
        );
        let receive = Receive { create: true, mountable: true, volmode: Volmode::Inherit, ..plain.clone() };
        assert_eq!(line(&zfs.receive(&receive, Some(&snapshot("s")))), "zfs recv -s -u b/x@s");
        let receive = Receive { create: true, unencrypted: true, ..plain.clone() };
        assert_eq!(
            line(&zfs.receive(&receive, Some(&snapshot("s")))),
            "zfs recv -s -u -o encryption=off -o canmount=noauto b/x@s"
        );
        let receive = Receive { unencrypted: true, ..plain.clone() };
        assert_eq!(line(&zfs.receive(&receive, None)), "zfs recv -s -u b/x");
        let receive = Receive { into_empty: true, ..plain };
        assert_eq!(line(&zfs.receive(&receive, Some(&snapshot("s")))), "zfs recv -s -u -F -o canmount=noauto b/x@s");
        assert_eq!(
            line(&zfs.create_placeholder(&dataset("b/x"), false, true)),
            "zfs create -o canmount=off -o zfsync:placeholder=on b/x"
        );
        assert_eq!(line(&zfs.create_placeholder(&dataset("b/x"), false, false)), "zfs create -o canmount=off b/x");
    }
}

//! Where the control socket of a master is: a private directory, on the first file system that has room for it. Those that killed runs
//! have left there are removed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use tempfile::TempDir;

use super::{ConnectError, socket};

/// The longest name of the directory: ssh adds 24 bytes for its socket, and 104 (FreeBSD) or 108 is the limit of the whole.
const LONGEST: usize = 60;
/// What the directory has to take: ssh's log and words, and a configuration. On a full tmpfs directories can still be made.
const ROOM: usize = 64 * 1024;
/// How its name begins; six letters and digits follow.
const PREFIX: &str = "zfsync-";
/// A file in it that is locked for as long as its run lives.
const HELD: &str = "held";
/// What nobody holds is left alone for so long: it may be about to be held, or its ssh about to be a master.
const LEFT: Duration = Duration::from_secs(600);

/// The directory, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct ControlDir {
    dir: TempDir,
    /// Locked, so that no other run takes it for one that was left.
    _held: Option<File>,
}

impl ControlDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Makes it.
pub(super) fn make() -> Result<ControlDir, ConnectError> {
    make_in(places(|name| std::env::var_os(name).map(PathBuf::from)))
}

/// Where it is tried, as the environment tells.
fn places(of: impl Fn(&str) -> Option<PathBuf>) -> impl Iterator<Item = PathBuf> {
    // One that is empty or relative counts as unset (XDG Base Directory Specification).
    let cache = of("XDG_CACHE_HOME").filter(|cache| cache.is_absolute()).or_else(|| Some(of("HOME")?.join(".cache")));
    let fixed = ["/tmp", "/dev/shm", "/var/tmp"].map(PathBuf::from);
    let first = of("XDG_RUNTIME_DIR").into_iter().chain([PathBuf::from("/run"), std::env::temp_dir()]);
    first.chain(fixed).chain(cache)
}

fn make_in(places: impl Iterator<Item = PathBuf>) -> Result<ControlDir, ConnectError> {
    let mut failed: Vec<(PathBuf, io::Error)> = Vec::new();
    for place in places.filter(|place| place.is_absolute()) {
        if failed.iter().any(|(tried, _)| *tried == place) {
            continue;
        }
        match try_in(&place) {
            Ok(made) => {
                sweep(&place);
                return Ok(made);
            }
            Err(error) => failed.push((place, error)),
        }
    }
    // Most machines don't have all of them; one that has none is told of each.
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let none = failed.iter().all(|(_, error)| is_missing(error));
    let words = failed.iter().filter(|(_, error)| none || !is_missing(error));
    Err(ConnectError::Directory(
        words
            .map(|(place, error)| format!("{}: {}", place.display(), zfs::text::os_words(error)))
            .collect::<Vec<_>>()
            .join("; "),
    ))
}

fn try_in(place: &Path) -> io::Result<ControlDir> {
    if place.as_os_str().len() + "/XXXXXX".len() + PREFIX.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the name is too long for a socket in it"));
    }
    let found = fs::metadata(place)?;
    let is_ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    let is_private = found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0;
    if !(is_ours && is_private) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can replace what is in it"));
    }
    // A configuration that is copied there may be nobody else's business, whatever the umask.
    let made = tempfile::Builder::new().prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir_in(place)?;
    let probe = made.path().join("room");
    fs::write(&probe, vec![0; ROOM])?;
    fs::remove_file(&probe)?;
    let held = hold(&made.path().join(HELD));
    Ok(ControlDir { dir: made, _held: held })
}

/// Makes the file that is locked; none where that isn't possible: then the directory is never taken for one that was left.
fn hold(file: &Path) -> Option<File> {
    let held = File::create_new(file).ok()?;
    if held.try_lock().is_ok() {
        return Some(held);
    }
    let _ = fs::remove_file(file);
    None
}

/// Removes what killed runs have left in a place. What goes wrong is no harm.
fn sweep(place: &Path) {
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    for left in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name)).map(|entry| entry.path()) {
        // Its lock is ours until it has gone.
        if let Some(_held) = abandoned(&left) {
            tracing::debug!("removing {}, which a run has left", left.display());
            let _ = fs::remove_dir_all(&left);
        }
    }
}

fn is_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX);
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether this is such a directory of ours, no run holds it, and no ssh listens in it; with its lock, then.
fn abandoned(dir: &Path) -> Option<File> {
    let found = fs::symlink_metadata(dir).ok()?;
    let is_ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o777 == 0o700;
    if !is_ours || found.modified().ok()?.elapsed().ok()? < LEFT {
        return None;
    }
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let held = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(dir.join(HELD)).ok()?;
    let is_free = held.metadata().ok()?.is_file() && held.try_lock().is_ok();
    (is_free && !listens(&socket(dir))).then_some(held)
}

/// Whether a process listens on this socket, or may: one that is stopped doesn't answer.
fn listens(socket: &Path) -> bool {
    let connected = || {
        let probe = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
        rustix::io::ioctl_fionbio(&probe, true)?;
        rustix::net::connect(&probe, &SocketAddrUnix::new(socket)?)
    };
    !matches!(connected(), Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn short() -> TempDir {
        tempfile::Builder::new().prefix("d").tempdir_in("/tmp").unwrap()
    }

    #[test]
    fn the_first_place_that_can_be_used_is_taken() {
        let (dir, missing) = (short(), PathBuf::from("/nowhere"));
        let (open, long) = (dir.path().join("open"), dir.path().join("l".repeat(60)));
        fs::create_dir(&open).unwrap();
        fs::create_dir(&long).unwrap();
        let chmod = |bits| fs::set_permissions(&open, Permissions::from_mode(bits)).unwrap();
        chmod(0o777);
        let places = [PathBuf::from("relative"), missing, open.clone(), long.clone(), dir.path().to_owned()];
        let made = make_in(places.clone().into_iter()).unwrap();
        assert_eq!(made.path().parent(), Some(dir.path()));
        assert_eq!(
            (fs::metadata(made.path()).unwrap().mode() & 0o777, fs::read_dir(made.path()).unwrap().count()),
            (0o700, 1)
        );
        // As /tmp is.
        chmod(0o1777);
        assert_eq!(make_in(places.clone().into_iter()).unwrap().path().parent(), Some(&*open));
        chmod(0o777);
        let error = make_in(places.into_iter().take(4)).unwrap_err().to_string();
        let words = format!(
            "can't create a directory for ssh's control socket: {}: others can replace what is in it; {}: the name is too long for a socket in it",
            open.display(),
            long.display()
        );
        assert_eq!(error, words);
    }

    #[test]
    fn where_all_places_are_missing_each_is_told() {
        let error = make_in(["/nowhere", "/neither"].map(PathBuf::from).into_iter()).unwrap_err().to_string();
        let words = "control socket: /nowhere: No such file or directory; /neither: No such file or directory";
        assert!(error.ends_with(words), "{error}");
    }

    #[test]
    fn a_cache_directory_that_is_none_counts_as_unset() {
        for (cache, last) in [("", "/home/u/.cache"), ("cache", "/home/u/.cache"), ("/cache", "/cache")] {
            let of = |name: &str| match name {
                "XDG_CACHE_HOME" => Some(cache.into()),
                "HOME" => Some("/home/u".into()),
                _ => None,
            };
            assert_eq!(places(of).last(), Some(last.into()), "{cache:?}");
        }
    }

    /// As a killed run leaves it: some time ago, if it is `old`.
    fn left(dir: PathBuf, old: bool) -> PathBuf {
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).unwrap();
        for name in [HELD, "log"] {
            fs::write(dir.join(name), "").unwrap();
        }
        drop(std::os::unix::net::UnixListener::bind(socket(&dir)).unwrap());
        if old {
            age(&dir);
        }
        dir
    }

    fn age(dir: &Path) {
        let before = std::time::SystemTime::now() - LEFT - Duration::from_secs(5);
        File::open(dir).unwrap().set_modified(before).unwrap();
    }

    #[test]
    fn what_killed_runs_have_left_goes_and_nothing_else() {
        let (place, elsewhere) = (short(), short());
        let at = |name: &str| place.path().join(name);
        let gone = [left(at("zfsync-aB3dE6"), true), left(at("zfsync-000000"), true)];
        let made = || make_in(std::iter::once(place.path().to_owned())).unwrap();
        let in_use = made();
        age(in_use.path());
        let (young, named, longer) =
            (left(at("zfsync-young1"), false), left(at("zfsync-my-dir"), true), left(at("zfsync-backups"), true));
        // Of somebody's own, by a name that might be ours.
        let own = left(at("zfsync-backup"), true);
        fs::remove_file(own.join(HELD)).unwrap();
        let open = left(at("zfsync-open00"), true);
        fs::set_permissions(&open, Permissions::from_mode(0o750)).unwrap();
        let link = at("zfsync-link00");
        std::os::unix::fs::symlink(left(elsewhere.path().join("there"), true), &link).unwrap();
        let linked = left(at("zfsync-linked"), true);
        fs::remove_file(linked.join(HELD)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("there").join(HELD), linked.join(HELD)).unwrap();
        // Its run was killed, and its ssh lives.
        let alive = left(at("zfsync-alive0"), true);
        fs::remove_file(socket(&alive)).unwrap();
        let _master = std::os::unix::net::UnixListener::bind(socket(&alive)).unwrap();
        for dir in [&own, &linked, &alive] {
            age(dir);
        }
        let mut stay = vec![young, named, longer, own, open, link, linked, alive, elsewhere.path().join("there")];
        if rustix::process::geteuid().is_root() {
            let others = left(at("zfsync-others"), true);
            std::os::unix::fs::chown(&others, Some(65534), None).unwrap();
            stay.push(others);
        }
        let second = made();
        assert!(gone.iter().all(|dir| !dir.exists()), "{gone:?}");
        assert!(in_use.path().exists() && second.path().exists());
        for dir in &stay {
            assert!(dir.exists(), "{dir:?}");
        }
        let path = in_use.path().to_owned();
        drop(in_use);
        assert!(!path.exists());
    }

    /// Takes the permission to mount.
    #[test]
    fn a_place_without_room_is_passed_over() {
        let (dir, other) = (short(), short());
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4k,mode=1777", "none"])
            .arg(dir.path())
            .stderr(Stdio::null())
            .status();
        if !mount.is_ok_and(|status| status.success()) {
            eprintln!("skipped: may not mount");
            return;
        }
        let made = make_in([dir.path(), other.path()].map(Path::to_owned).into_iter());
        let only = make_in(std::iter::once(dir.path().to_owned()));
        assert!(Command::new("umount").arg(dir.path()).status().unwrap().success());
        assert_eq!(made.unwrap().path().parent(), Some(other.path()));
        let words = format!("control socket: {}: No space left on device", dir.path().display());
        assert!(only.unwrap_err().to_string().contains(&words));
    }
}

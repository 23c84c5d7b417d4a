//! Where the control socket of a master is: a private directory, on the first file system that has room for it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ConnectError;

/// The longest name of the directory: ssh adds 24 bytes for its socket, and 104 (FreeBSD) or 108 is the limit of the whole.
const LONGEST: usize = 60;
/// What the directory has to take: ssh's log and words, and a configuration. On a full tmpfs directories can still be made.
const ROOM: usize = 64 * 1024;

/// Makes it.
pub(super) fn make() -> Result<TempDir, ConnectError> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
    let places = ["/tmp", "/dev/shm", "/var/tmp"].map(PathBuf::from);
    let first = of("XDG_RUNTIME_DIR").into_iter().chain([PathBuf::from("/run"), std::env::temp_dir()]);
    make_in(first.chain(places).chain(cache))
}

fn make_in(places: impl Iterator<Item = PathBuf>) -> Result<TempDir, ConnectError> {
    let mut failed: Vec<(PathBuf, io::Error)> = Vec::new();
    for place in places.filter(|place| place.is_absolute()) {
        if failed.iter().any(|(tried, _)| *tried == place) {
            continue;
        }
        match try_in(&place) {
            Ok(made) => return Ok(made),
            Err(error) => failed.push((place, error)),
        }
    }
    // Most machines don't have all of them.
    let is_there = |error: &io::Error| error.kind() != io::ErrorKind::NotFound;
    let words = failed.iter().filter(|(_, error)| is_there(error));
    Err(ConnectError::Directory(
        words
            .map(|(place, error)| format!("{}: {}", place.display(), zfs::text::os_words(error)))
            .collect::<Vec<_>>()
            .join("; "),
    ))
}

fn try_in(place: &Path) -> io::Result<TempDir> {
    if place.as_os_str().len() + "/zfsync-XXXXXX".len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the name is too long for a socket in it"));
    }
    let found = fs::metadata(place)?;
    let is_ours = found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw();
    let is_private = found.mode() & 0o022 == 0 || found.mode() & 0o1000 != 0;
    if !(is_ours && is_private) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others can replace what is in it"));
    }
    // A configuration that is copied there may be nobody else's business, whatever the umask.
    let made =
        tempfile::Builder::new().prefix("zfsync-").permissions(Permissions::from_mode(0o700)).tempdir_in(place)?;
    let probe = made.path().join("room");
    fs::write(&probe, vec![0; ROOM])?;
    fs::remove_file(&probe)?;
    Ok(made)
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
            (0o700, 0)
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

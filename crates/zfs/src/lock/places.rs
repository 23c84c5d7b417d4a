//! Where an account's locks are: root's in /run, where nobody else can make anything; another's where everybody can make directories.
//! `ZFSYNC_LOCK_DIR` names another place, for whoever wants runs that don't meet.
//!
//! The places are looked at in their order. The first that others have not taken before, and that can be written, is used, and made if it
//! isn't there; what this account has in the others counts as well. So whatever has led a run to a later place (a directory that was missing, or that somebody had
//! taken and gave back), the runs after it meet it there; and those that don't see it, as services with temporary files of their own,
//! meet all others in the first one.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Where other users can make directories, too; in this order. The first two are the same for services with temporary files of their
/// own.
const SHARED: [&str; 4] = ["/run/lock", "/dev/shm", "/tmp", "/var/tmp"];

/// Those that are there.
pub(super) fn those_there() -> Vec<PathBuf> {
    candidates().into_iter().filter(|dir| own(dir).is_ok()).collect()
}

/// Where they may be, in this order.
pub(super) fn candidates() -> Vec<PathBuf> {
    let user = rustix::process::geteuid();
    if let Some(dir) = std::env::var_os("ZFSYNC_LOCK_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        return vec![dir];
    }
    if user.is_root() {
        return ["/run", "/var/run"].map(|dir| Path::new(dir).join("zfsync")).to_vec();
    }
    SHARED.map(|dir| Path::new(dir).join(format!("zfsync-{}", user.as_raw()))).to_vec()
}

/// The same as [`own`]; it is made where it is missing.
pub(super) fn make_own(dir: &Path) -> io::Result<(u64, u64)> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => own(dir),
    }
}

/// Which directory it is; others must neither own it nor be able to write it, or they could hold and remove our locks.
pub(super) fn own(dir: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(dir)?;
    if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o022 != 0 {
        let reason = format!("{} is not a directory that only this user can write to", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
    }
    Ok((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::{Lock, LockError};
    use super::*;

    /// Where a lock is taken.
    fn own_directories(candidates: impl IntoIterator<Item = PathBuf>) -> Result<Vec<PathBuf>, LockError> {
        let lock = Lock::take(&candidates.into_iter().collect::<Vec<_>>(), "key", 1, "me")?;
        Ok(lock.files.iter().map(|(path, _)| path.parent().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_directory_that_others_have_planted_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        symlink(dir.path(), path("link")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        std::fs::create_dir(path("open")).unwrap();
        std::fs::set_permissions(path("open"), std::fs::Permissions::from_mode(0o777)).unwrap();
        let missing = path("no").join("such");
        let planted = [path("link"), path("file"), path("open"), missing];
        let candidates = || planted.iter().cloned().chain([path("own"), path("last")]);
        assert_eq!(own_directories(candidates()).unwrap(), [path("own")]);
        assert_eq!(own_directories(candidates()).unwrap(), [path("own")], "the same again");
        std::fs::remove_file(path("file")).unwrap();
        let both = [path("file"), path("own")];
        assert_eq!(own_directories(candidates()).unwrap(), both, "a place that was given back leads nobody away");
        std::fs::remove_dir(path("file")).unwrap();
        std::fs::write(path("file"), "").unwrap();
        let Err(LockError::Io { path: named, .. }) = own_directories(planted.clone()) else {
            panic!("planted ones were taken")
        };
        assert!(named.ends_with("link"), "{named}");
    }

    /// A service with temporary files of its own doesn't see what a login has left there.
    #[test]
    fn one_that_was_left_leads_nobody_away() {
        let dir = tempfile::tempdir().unwrap();
        let (run, tmp, private) = (dir.path().join("run/zfsync"), dir.path().join("tmp"), dir.path().join("private"));
        // There was no /run/lock.
        let login = || own_directories([run.clone(), tmp.clone()]).unwrap();
        assert_eq!(login(), std::slice::from_ref(&tmp));
        std::fs::create_dir(dir.path().join("run")).unwrap();
        assert_eq!(login(), [run.clone(), tmp.clone()]);
        assert_eq!(own_directories([run.clone(), private]).unwrap(), [run]);
    }

    #[test]
    fn two_names_of_a_directory_are_one_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("run")).unwrap();
        symlink("run", path("var-run")).unwrap();
        let names = [path("run/zfsync"), path("var-run/zfsync")];
        assert_eq!(own_directories(names.clone()).unwrap(), names[..1]);
    }
}

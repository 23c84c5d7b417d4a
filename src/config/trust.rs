//! Whether a file may say which commands are run: not where others than root and this user can write it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Write permission of the group and of all others.
const OTHERS: u32 = 0o022;
/// In such a directory nobody can replace what belongs to somebody else.
const STICKY: u32 = 0o1000;

/// Why an open file is not to be trusted, and what to do about it; `None` when it is.
pub(super) fn distrusted(path: &Path, file: &File) -> io::Result<Option<String>> {
    let found = file.metadata()?;
    if !ours(&found) {
        return Ok(Some(format!("the file belongs to another user (uid {}): use chown", found.uid())));
    }
    if found.permissions().mode() & OTHERS != 0 {
        return Ok(Some("other users can write to the file: use chmod go-w".into()));
    }
    // Where the name is, and where a link leads to.
    for directory in [directory_of(path), directory_of(&path.canonicalize()?)] {
        let found = directory.metadata()?;
        let mode = found.permissions().mode();
        if !ours(&found) || (mode & OTHERS != 0 && mode & STICKY == 0) {
            return Ok(Some(format!("other users can write to its directory {}: use chmod go-w", directory.display())));
        }
    }
    Ok(None)
}

fn ours(found: &Metadata) -> bool {
    found.uid() == 0 || found.uid() == rustix::process::geteuid().as_raw()
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    #[test]
    fn only_what_nobody_else_can_write_is_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zfsync.toml");
        fs::write(&path, "").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let why = |path: &Path| distrusted(path, &File::open(path).unwrap()).unwrap();
        for (file, directory, trusted) in [
            (0o600, 0o755, true),
            (0o644, 0o755, true),
            (0o664, 0o755, false),
            (0o646, 0o755, false),
            (0o644, 0o775, false),
            (0o644, 0o1777, true),
        ] {
            mode(&path, file);
            mode(dir.path(), directory);
            assert_eq!(why(&path).is_none(), trusted, "{file:o} {directory:o}");
            assert_eq!(why(&link).is_none(), trusted, "{file:o} {directory:o}");
        }
        if rustix::process::geteuid().is_root() {
            mode(dir.path(), 0o755);
            mode(&path, 0o644);
            std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
            assert!(why(&path).unwrap().contains("65534"));
        }
    }
}

//! The key that ssh is told of (`-i`): for one that isn't there it prints a warning and continues with others (`main` in ssh.c), which may
//! be permitted more.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that ssh is to be told of. `~/` is the user's home. Where there is but the public key, which is enough for an agent that has the
/// other, it is that: ssh looks only for the file that it is told of.
pub fn find(key: &Path) -> Result<PathBuf, &'static str> {
    let key = at_home(key)?;
    let mut public = OsString::from(&key);
    public.push(".pub");
    // ssh looks for the file as it is named, but reads another one.
    let name = key.to_string_lossy();
    if name.contains('%') || name.contains("${") {
        return Err("ssh replaces % and ${ in its name: use -o IdentityFile=...");
    }
    match is_file(&key) {
        Err("no such file") if is_file(Path::new(&public)).is_ok() => Ok(public.into()),
        is_file => is_file.map(|()| key),
    }
}

/// ssh does the same; other users' homes only it knows.
fn at_home(key: &Path) -> Result<PathBuf, &'static str> {
    if let Ok(below) = key.strip_prefix("~") {
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        return home.map(|home| home.join(below)).ok_or("the home directory is unknown: write the whole path");
    }
    if key.as_os_str().as_encoded_bytes().starts_with(b"~") {
        return Err("write the whole path instead of ~USER");
    }
    Ok(key.to_owned())
}

fn is_file(path: &Path) -> Result<(), &'static str> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("it is a directory"),
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err("no such file")
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err("permission denied"),
        Err(_) => Err("it can't be examined"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_ssh_finds() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["key", "agent.pub", "a%d", "a${HOME}", "a$b"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let found =
            |name: &str| find(&dir.path().join(name)).map(|path| path.strip_prefix(dir.path()).unwrap().to_owned());
        for (name, file) in [("key", "key"), ("agent", "agent.pub"), ("agent.pub", "agent.pub"), ("a$b", "a$b")] {
            assert_eq!(found(name), Ok(file.into()), "{name}");
        }
        assert_eq!((found("none"), found("key/none")), (Err("no such file"), Err("no such file")));
        assert_eq!(found("."), Err("it is a directory"));
        for name in ["%d/key", "${HOME}/key", "a%d", "a${HOME}"] {
            assert!(find(&dir.path().join(name)).is_err_and(|why| why.contains("IdentityFile")), "{name}");
        }
        assert!(find(Path::new("~nobody/key")).is_err_and(|why| why.contains("~USER")));
    }
}

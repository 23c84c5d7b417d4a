//! One run per target tree at a time: a lock that dies with its process, whatever ends it.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use crate::error::StartError;
use crate::remote::target::Target;

/// Held as long as it lives. The file stays, empty: to remove it would let two runs lock two files of one name.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a target tree, or says who holds it.
    pub fn take(target: &Target) -> Result<Self, StartError> {
        let path = path(target);
        let fail = |error| StartError::Lock { path: path.display().to_string(), error };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(fail)?;
        }
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = open.map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it is only for the message.
                let _ = file.read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "unknown".into() } else { holder.trim().to_owned() };
                return Err(StartError::Locked {
                    target: target.to_string(),
                    holder,
                    path: path.display().to_string(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let note = format!("process {}", std::process::id());
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(note.as_bytes())).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

/// The lock file: in the runtime directory, named by a hash, as a target's name may be longer than a file's.
fn path(target: &Target) -> PathBuf {
    let mut hash = DefaultHasher::new();
    target.to_string().hash(&mut hash);
    let name = format!("{:016x}.lock", hash.finish());
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("zfsync").join(name),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/run/zfsync").join(name),
        None => std::env::temp_dir().join(format!("zfsync-{}", rustix::process::geteuid().as_raw())).join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_holds_it() {
        let target: Target = format!("host{}:p/a", std::process::id()).parse().unwrap();
        let held = Lock::take(&target).unwrap();
        let error = Lock::take(&target).unwrap_err();
        assert!(
            matches!(&error, StartError::Locked { holder, .. } if holder.contains(&std::process::id().to_string()))
        );
        assert_eq!(error.exit().code(), 4);
        drop(held);
        drop(Lock::take(&target).unwrap());
        let other: Target = format!("host{}:p/b", std::process::id()).parse().unwrap();
        drop(Lock::take(&other).unwrap());
        for target in [target, other] {
            std::fs::remove_file(path(&target)).unwrap();
        }
    }
}

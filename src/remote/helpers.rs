//! The helpers that can be sent to other hosts: those that lie beside this zfsync, and zfsync itself for hosts of its own platform.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use helper::wire::PROTOCOL;
use sha2::{Digest, Sha256};

/// Names another directory with helpers.
const VARIABLE: &str = "ZFSYNC_HELPERS";

/// Beside `bin/zfsync`.
const BESIDE: &str = "../lib/zfsync/helpers";

/// One for a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shipped {
    /// What `uname -sm` says there, in lower case, with a hyphen between.
    pub platform: String,
    /// Of its content.
    pub sha256: String,
    path: PathBuf,
}

impl Shipped {
    fn read(platform: String, path: PathBuf) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let (mut file, mut buffer) = (File::open(&path)?, vec![0; 1 << 18]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hash.update(&buffer[..read]),
            }
        }
        let sha256 = format!("{:x}", hash.finalize());
        Ok(Self { platform, sha256, path })
    }

    /// Its bytes, and how many they are.
    pub fn open(&self) -> io::Result<(File, u64)> {
        let file = File::open(&self.path)?;
        let len = file.metadata()?.len();
        Ok((file, len))
    }
}

/// All that there are, looked for once: they are read to the end.
pub(super) fn all() -> &'static [Shipped] {
    static ALL: OnceLock<Vec<Shipped>> = OnceLock::new();
    ALL.get_or_init(|| {
        let own = std::env::current_exe().ok();
        let beside = || Some(own.as_deref()?.parent()?.join(BESIDE));
        let directory = std::env::var_os(VARIABLE).map(PathBuf::from).or_else(beside);
        let mut found = directory.map(|directory| in_directory(&directory)).unwrap_or_default();
        let platform = platform_here();
        // It is larger, and may want the C library of this machine: then it doesn't start there, which is seen.
        if let Some(own) = own.filter(|_| !found.iter().any(|one| one.platform == platform)) {
            found.extend(
                Shipped::read(platform, own)
                    .inspect_err(|error| tracing::warn!("zfsync itself: {}", zfs::text::os_words(error))),
            );
        }
        found
    })
}

pub(super) fn in_directory(directory: &Path) -> Vec<Shipped> {
    let prefix = format!("zfsync-helper-{PROTOCOL}-");
    let mut found = Vec::new();
    for entry in directory.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(platform) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else { continue };
        // It goes into the line that a login shell gets to see.
        if platform.is_empty() || !platform.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            continue;
        }
        match Shipped::read(platform.to_owned(), entry.path()) {
            Ok(one) => found.push(one),
            Err(error) => tracing::warn!("{}: {}", entry.path().display(), zfs::text::os_words(&error)),
        }
    }
    found.sort_by(|one, other| one.platform.cmp(&other.platform));
    found
}

fn platform_here() -> String {
    let name = rustix::system::uname();
    format!("{}-{}", name.sysname().to_string_lossy(), name.machine().to_string_lossy()).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_of_this_protocol_are_found_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["2-linux-x86_64", "2-freebsd-amd64", "1-linux-x86_64", "2-", "2-a b", "2-a'b"] {
            std::fs::write(dir.path().join(format!("zfsync-helper-{name}")), "abc").unwrap();
        }
        std::fs::write(dir.path().join("README"), "").unwrap();
        let found = in_directory(dir.path());
        assert_eq!(
            found.iter().map(|one| one.platform.as_str()).collect::<Vec<_>>(),
            ["freebsd-amd64", "linux-x86_64"]
        );
        assert_eq!(found[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(found[0].open().unwrap().1, 3);
        assert!(in_directory(&dir.path().join("none")).is_empty());
    }
}

//! A host on which no zfsync is installed, for tests of a helper that comes along.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use helper::wire::PROTOCOL;

use super::sshd::{Manners, Sshd, available, in_sync, login_shell};
use super::{Bed, Ended, zfsync};

/// Larger than a small disk, and than a shell reads ahead.
const SIZE: usize = 256 * 1024;

/// /var/tmp and /tmp belong to no bed: `helper remove` also finds there what another test has sent.
static OUTSIDE: Mutex<()> = Mutex::new(());

/// A host that has ssh and ZFS and no zfsync: its user's home is `home`, its login shell what `shell` says.
pub struct There {
    pub bed: Bed,
    _sshd: Sshd,
    /// The name of the cached helper.
    pub helper: String,
}

impl There {
    /// `None` where this machine has no sshd.
    pub fn new() -> Option<Self> {
        Self::with_helper_of(SIZE)
    }

    pub fn with_helper_of(size: usize) -> Option<Self> {
        if !available() {
            return None;
        }
        let bed = in_sync();
        let sshd = Sshd::start(&bed, &Manners::default());
        for dir in ["helpers", "home"] {
            fs::create_dir(bed.path(dir)).unwrap();
        }
        let helper = bed.path("helpers").join(format!("zfsync-helper-{PROTOCOL}-{}", platform()));
        // Each bed has its own, as some end up in /var/tmp.
        let mut bytes = match std::env::var_os("ZFSYNC_TEST_STATIC_HELPER") {
            Some(made) => fs::read(made).unwrap(),
            None => format!("#!/bin/sh\nexec {} \"$@\"\n", zfsync().display()).into_bytes(),
        };
        bytes.extend_from_slice(format!("\n# {}\n# ", bed.path("").display()).as_bytes());
        bytes.resize(bytes.len().max(size), b'x');
        fs::write(&helper, bytes).unwrap();
        let sum = Command::new("sha256sum").arg(&helper).output().unwrap().stdout;
        let helper = format!("helper-{}", String::from_utf8(sum).unwrap().split(' ').next().unwrap());
        let there = Self { bed, _sshd: sshd, helper };
        there.shell("sh", "");
        Some(there)
    }

    /// Has sshd start this login shell, as it does with each command; `setup` goes before it.
    pub fn shell(&self, shell: &str, setup: &str) {
        login_shell(&self.bed, shell, &format!("unset XDG_CACHE_HOME\n{setup}"));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let config = self.bed.path("ssh_config");
        let mut command = self.bed.command(&[&args[..1], &["-v", "-F", config.to_str().unwrap()], &args[1..]].concat());
        command.env("ZFSYNC_HELPERS", self.bed.path("helpers"));
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        let ended = Ended::of(self.command(args).spawn().unwrap());
        self.bed.wait_for_no_process();
        ended
    }

    pub fn push(&self) -> Ended {
        self.run(&["push", "s", "beta:d"])
    }

    pub fn cache(&self) -> PathBuf {
        self.bed.path("home/.cache/zfsync")
    }

    /// What is sent.
    pub fn source(&self) -> PathBuf {
        fs::read_dir(self.bed.path("helpers")).unwrap().next().unwrap().unwrap().path()
    }

    /// What lies in the cache.
    pub fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A push that can't use the home directory: the helper lies in /var/tmp or /tmp then. Removes it.
    #[track_caller]
    pub fn lies_elsewhere(&self) {
        let _alone = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = self.push();
        ended.expect(0, &["sending a helper", "nothing to do"]);
        let place = ended.stderr.split("the helper is sent ").nth(1).expect("told where").lines().next().unwrap();
        let place = PathBuf::from(place);
        assert!(place.starts_with("/var/tmp") || place.starts_with("/tmp"), "{ended:#?}");
        assert_eq!(place.file_name().unwrap().to_str(), Some(self.helper.as_str()));
        let dir = place.parent().unwrap();
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o777, 0o700);
        self.push().expect(0, &[&format!("the helper is cached {}", place.display()), "nothing to do"]);
        fs::remove_file(&place).unwrap();
        // Others may be in it.
        let _ = fs::remove_dir(dir);
    }

    /// `zfsync helper` about this host; all that it says stands in `stderr`.
    pub fn helper(&self, what: &str, more: &[&str]) -> Ended {
        let _alone = OUTSIDE.lock().unwrap_or_else(PoisonError::into_inner);
        let config = self.bed.path("ssh_config");
        let mut command = self.bed.command(&[&["helper", what, "-F", config.to_str().unwrap(), "beta"], more].concat());
        command.env("ZFSYNC_HELPERS", self.bed.path("helpers"));
        let mut ended = Ended::of(command.spawn().unwrap());
        self.bed.wait_for_no_process();
        ended.stderr.insert_str(0, &ended.stdout);
        ended
    }
}

pub fn platform() -> String {
    let said = Command::new("uname").arg("-sm").output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_lowercase().replace(' ', "-")
}

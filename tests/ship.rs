//! A helper that comes along: over a real ssh to a loopback sshd, where no zfsync is installed, with each login shell that this machine
//! has, and in bad places. `tests/helpers` runs all of it with the static helper that dist/helpers/build has made.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use helper::wire::PROTOCOL;
use support::sshd::{Manners, Sshd, available};
use support::{Bed, Ended, eventually, zfsync};

/// Larger than a small disk, and than a shell reads ahead.
const SIZE: usize = 256 * 1024;

/// /var/tmp and /tmp belong to no bed: `helper remove` also finds there what another test has sent.
static OUTSIDE: Mutex<()> = Mutex::new(());

/// A host that has ssh and ZFS and no zfsync: its user's home is `home`, its login shell what `shell` says.
struct There {
    bed: Bed,
    _sshd: Sshd,
    /// The name of the cached helper.
    helper: String,
}

impl There {
    fn new() -> Self {
        Self::with_helper_of(SIZE)
    }

    fn with_helper_of(size: usize) -> Self {
        let bed = Bed::new();
        bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("s/x", 2, 1), ("s/x@a", 12, 2)]);
        bed.world(&[("d", 3, 1), ("d@a", 11, 5), ("d/x", 4, 1), ("d/x@a", 12, 5)]);
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
        there
    }

    /// Has sshd start this login shell, as it does with each command; `setup` goes before it.
    fn shell(&self, shell: &str, setup: &str) {
        let (home, bin) = (self.bed.path("home"), self.bed.path("bin"));
        self.bed.script(
            "login",
            &format!(
                "#!/bin/sh\nunset XDG_CACHE_HOME\nexport HOME={} PATH={}:/usr/bin:/bin\n{setup}\nexec {shell} -c \"$SSH_ORIGINAL_COMMAND\"\n",
                home.display(),
                bin.display(),
            ),
        );
        let key = self.bed.read("key.pub");
        self.bed.write("authorized_keys", &format!("command=\"{}\" {key}", self.bed.path("login").display()));
    }

    fn command(&self, args: &[&str]) -> Command {
        let config = self.bed.path("ssh_config");
        let mut command = self.bed.command(&[&args[..1], &["-v", "-F", config.to_str().unwrap()], &args[1..]].concat());
        command.env("ZFSYNC_HELPERS", self.bed.path("helpers"));
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        let ended = Ended::of(self.command(args).spawn().unwrap());
        self.bed.wait_for_no_process();
        ended
    }

    fn push(&self) -> Ended {
        self.run(&["push", "s", "beta:d"])
    }

    fn cache(&self) -> PathBuf {
        self.bed.path("home/.cache/zfsync")
    }

    /// What is sent.
    fn source(&self) -> PathBuf {
        fs::read_dir(self.bed.path("helpers")).unwrap().next().unwrap().unwrap().path()
    }

    /// What lies in the cache.
    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache()).into_iter().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A push that can't use the home directory: the helper lies in /var/tmp or /tmp then. Removes it.
    #[track_caller]
    fn lies_elsewhere(&self) {
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
}

fn platform() -> String {
    let said = Command::new("uname").arg("-sm").output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_lowercase().replace(' ', "-")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A file system of its own until it is dropped; `None` where that isn't permitted.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(at).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: may not mount");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn with_every_login_shell() {
    if !available() {
        return;
    }
    let there = There::new();
    for shell in ["dash", "bash", "zsh", "mksh", "yash", "bsd-csh", "tcsh", "fish", "busybox sh"] {
        let program = shell.split(' ').next().unwrap();
        if !["/bin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists()) {
            eprintln!("skipped: no {shell}");
            continue;
        }
        there.shell(shell, "");
        let _ = fs::remove_dir_all(there.bed.path("home"));
        fs::create_dir(there.bed.path("home")).unwrap();
        there.push().expect(0, &["beta: sending a helper for ", "beta: the helper is sent /", "nothing to do"]);
        assert_eq!(there.cached(), [there.helper.as_str()], "{shell}");
        there.push().expect(0, &["beta: the helper is cached /", "nothing to do"]).without(&["sending"]);
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&there.cache()), mode(&there.cache().join(&there.helper))), (0o700, 0o700));
}

#[test]
fn what_is_sh_there_may_be_any_of_these() {
    if !available() {
        return;
    }
    let there = There::new();
    for shell in ["dash", "bash", "mksh", "yash", "zsh", "busybox"] {
        let Some(program) =
            ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(shell)).find(|path| path.exists())
        else {
            eprintln!("skipped: no {shell}");
            continue;
        };
        let _ = fs::remove_file(there.bed.path("bin/sh"));
        symlink(program, there.bed.path("bin/sh")).unwrap();
        there.push().expect(0, &["the helper is sent /", "nothing to do"]);
        there.push().expect(0, &["the helper is cached /", "nothing to do"]);
        fs::remove_dir_all(there.cache()).unwrap();
    }
}

#[test]
fn streams_and_a_source_through_a_helper_that_was_sent() {
    if !available() {
        return;
    }
    let there = There::new();
    there.bed.write("world", "");
    there.bed.world_with_work(6);
    there.run(&["push", "-j", "3", "s", "beta:d"]).expect(0, &["6 datasets in sync (6 updated, 1 without snapshots)"]);
    assert_eq!(there.cached(), [there.helper.as_str()]);
    there.run(&["pull", "beta:s", "d"]).expect(0, &["the helper is cached", "nothing to do"]);
}

#[test]
fn two_runs_at_once() {
    if !available() {
        return;
    }
    let there = There::new();
    let runs = [(); 3].map(|()| there.command(&["push", "-n", "s", "beta:d"]).spawn().unwrap());
    for run in runs {
        Ended::of(run).expect(0, &["the helper is "]);
    }
    there.bed.wait_for_no_process();
    assert_eq!(there.cached(), [there.helper.as_str()]);
}

#[test]
fn the_installed_one_comes_first_unless_told_otherwise() {
    if !available() {
        return;
    }
    let there = There::new();
    there.run(&["push", "--helper", "installed", "s", "beta:d"]).expect(3, &["beta has no zfsync helper: "]);
    // What is named may be sudo: nothing is tried in its place.
    there.run(&["push", "--remote-zfsync", "/none", "s", "beta:d"]).expect(3, &["beta has no zfsync helper: "]);
    let both = ["push", "--remote-zfsync", "/none", "--helper", "ship", "s", "beta:d"];
    there.run(&both).expect(2, &["--remote-zfsync", "--helper ship"]);
    there.bed.script("bin/zfsync", &format!("#!/bin/sh\nexec {} \"$@\"\n", zfsync().display()));
    there.push().expect(0, &["nothing to do"]).without(&["the helper is"]);
    assert!(there.cached().is_empty());
    there.run(&["push", "--helper", "ship", "s", "beta:d"]).expect(0, &["the helper is sent /", "nothing to do"]);
    assert_eq!(there.cached(), [there.helper.as_str()]);
}

#[test]
fn an_installed_one_of_another_protocol_is_bypassed() {
    if !available() {
        return;
    }
    let there = There::new();
    there.bed.script("bin/zfsync", "#!/bin/sh\necho 'ZFSYNC-HELPER/99 {\"version\":\"9.8.7\"}'\ncat >/dev/null\n");
    there.push().expect(0, &["uses protocol 99 (zfsync 9.8.7)", "the helper is sent /", "nothing to do"]);
}

#[test]
fn a_login_shell_that_prints_and_one_that_is_none() {
    if !available() {
        return;
    }
    let there = There::new();
    there.shell("bash", "echo 'Welcome to beta!'; printf 'no line feed'; echo 'You have mail.' >&2");
    there.push().expect(0, &["the helper is sent /", "nothing to do"]).without(&["Welcome"]);
    there.push().expect(0, &["the helper is cached /", "nothing to do"]);
    there.bed.script("nologin", "#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n");
    there.shell(there.bed.path("nologin").to_str().unwrap(), "");
    there.push().expect(3, &["no greeting from the helper on beta", "This account is currently not available."]);
}

#[test]
fn a_cache_that_was_tampered_with_is_replaced_and_old_ones_go() {
    if !available() {
        return;
    }
    let there = There::new();
    there.push().expect(0, &["the helper is sent /"]);
    let file = there.cache().join(&there.helper);
    fs::write(&file, "#!/bin/sh\ntouch \"$HOME/tampered\"\n").unwrap();
    for (name, age) in
        [("helper-old", "2 days ago"), ("new-left-1", "2 days ago"), ("helper-young", "now"), ("notes", "2 days ago")]
    {
        let made = Command::new("touch").args(["-d", age]).arg(there.cache().join(name)).status().unwrap();
        assert!(made.success());
    }
    there.push().expect(0, &["the helper is sent /", "nothing to do"]);
    assert!(!there.bed.path("home/tampered").exists());
    assert_eq!(fs::metadata(&file).unwrap().size(), fs::metadata(there.source()).unwrap().size());
    let mut expected = [there.helper.as_str(), "helper-young", "notes"];
    expected.sort_unstable();
    assert_eq!(there.cached(), expected);
}

#[test]
fn a_home_that_is_missing() {
    if !available() {
        return;
    }
    let there = There::new();
    there.shell("sh", "unset HOME");
    there.lies_elsewhere();
    there.shell("sh", "HOME=/nonexistent/home");
    there.lies_elsewhere();
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn directories_that_somebody_else_may_have_put_there() {
    if !available() {
        return;
    }
    let there = There::new();
    let cache = there.cache();
    fs::create_dir_all(cache.parent().unwrap()).unwrap();
    fs::create_dir(there.bed.path("elsewhere")).unwrap();
    symlink(there.bed.path("elsewhere"), &cache).unwrap();
    there.lies_elsewhere();
    assert!(fs::read_dir(there.bed.path("elsewhere")).unwrap().next().is_none());
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    there.lies_elsewhere();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&cache, Some(65534), None).unwrap();
        there.lies_elsewhere();
    }
    assert!(there.cached().is_empty());
}

#[test]
fn a_home_that_takes_no_program() {
    if !available() || !is_root() {
        return;
    }
    for options in ["noexec", "ro", "size=64k"] {
        let there = There::new();
        let Some(_mount) = Mount::new(&there.bed.path("home"), options) else { return };
        there.lies_elsewhere();
        assert!(there.cached().is_empty(), "{options}: {:?}", there.cached());
    }
}

#[test]
fn nowhere_at_all() {
    if !available() {
        return;
    }
    let there = There::new();
    // Everybody can write to every directory.
    there.bed.script("bin/ls", "#!/bin/sh\necho drwxrwxrwx\n");
    let words = ["beta", "can't send a helper", "no directory on it can be used", "noexec"];
    there.run(&["push", "--helper", "ship", "s", "beta:d"]).expect(3, &words);
    // Then zfs alone will do, unless the user says otherwise.
    there
        .push()
        .expect(0, &[&words[..], &["zfs alone is used on it, which takes no lock there", "nothing to do"]].concat());
    // That is said once, however many channels there are.
    let many: Vec<String> = (0..6).flat_map(|number| [format!("s/{number}"), format!("s/{number}@a")]).collect();
    let world: Vec<_> = (100..).zip(&many).map(|(number, name)| (name.as_str(), number, number)).collect();
    there.bed.world(&world);
    let ended = there.run(&["push", "-j", "4", "s", "beta:d"]);
    assert_eq!(ended.stderr.matches("zfs alone is used").count(), 1, "{ended:#?}");
    ended.expect(0, &["6 updated"]);
    assert!(there.cached().is_empty());
}

/// Built for another C library, or another loader: its hash is right, and it is the same wherever it lies.
#[test]
fn a_helper_that_cannot_run_there() {
    if !available() {
        return;
    }
    let there = There::new();
    let source = there.source();
    for (program, said, status) in [
        ("#!/nonexistent/ld-musl.so.1\n", "not found", 127),
        (
            "#!/bin/sh\necho \"$0: libc.so.6: version 'GLIBC_2.99' not found\" >&2\necho more >&2; exit 1\n",
            "libc.so.6: version 'GLIBC_2.99' not found more",
            1,
        ),
        ("#!/bin/sh\nkill -ILL $$\n", "", 132),
    ] {
        let unique = format!("# {}\n", there.bed.path("").display());
        fs::write(&source, format!("{program}{unique}")).unwrap();
        let words = ["the helper that was sent to beta can't run there: ", said, &format!("exit status {status}")];
        let ended = there.run(&["push", "--helper", "ship", "s", "beta:d"]);
        ended.expect(3, &[&words[..], &["--helper plain"]].concat()).without(&["no directory on it can be used"]);
        assert_eq!(ended.stderr.matches("sending a helper").count(), 1, "{ended:#?}");
        // What is left is zfs alone.
        there.push().expect(
            0,
            &[&words[..], &["zfs alone is used on it, which takes no lock there", "nothing to do"]].concat(),
        );
        there.helper("install", &[]).expect(3, &words);
        assert!(there.cached().is_empty(), "{:?}", there.cached());
        assert_eq!(fs::read_dir(there.bed.path("home/.local/bin")).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn a_platform_that_nobody_knows() {
    if !available() {
        return;
    }
    let there = There::new();
    there.bed.script("bin/uname", "#!/bin/sh\necho Plan9 mips\n");
    let words = format!("there is no helper for plan9-mips, only for {};", platform());
    there.run(&["push", "--helper", "ship", "s", "beta:d"]).expect(3, &["can't send a helper to beta", &words]);
    there.push().expect(0, &[&words, "zfs alone is used", "nothing to do"]);
    assert!(!there.bed.path("home/.cache").exists());
}

/// The session in which that is told ends before the next one begins.
#[test]
fn zfs_alone_where_one_session_is_permitted() {
    if !available() {
        return;
    }
    let there = There::new();
    let config = format!("{}MaxSessions 1\n", there.bed.read("sshd_config"));
    there.bed.write("sshd_config", &config);
    there.bed.script("bin/uname", "#!/bin/sh\necho Plan9 mips\n");
    there.push().expect(0, &["zfs alone is used", "nothing to do"]);
}

#[test]
fn the_connection_is_cut_while_it_is_sent() {
    if !available() {
        return;
    }
    // More than all the buffers on the way take.
    let there = There::with_helper_of(16 << 20);
    // It takes a little, and ends sshd.
    let script = "#!/bin/sh\n/usr/bin/head -c 4096\nkill -9 $(ps -o ppid= -p $PPID)\nexec /usr/bin/head \"$@\"\n";
    there.bed.script("bin/head", script);
    there.push().expect(3, &["sending a helper", "beta"]);
    there.bed.wait_for_no_process();
    assert!(eventually(|| there.cached().is_empty()), "{:?}", there.cached());
    // Nothing is in the way of the next one.
    fs::remove_file(there.bed.path("bin/head")).unwrap();
    there.push().expect(0, &["the helper is sent /", "nothing to do"]);
    assert_eq!(there.cached(), [there.helper.as_str()]);
}

impl There {
    /// `zfsync helper` about this host; all that it says stands in `stderr`.
    fn helper(&self, what: &str, more: &[&str]) -> Ended {
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

#[test]
fn a_helper_is_installed_for_good() {
    if !available() {
        return;
    }
    let there = There::new();
    let place = there.bed.path("home/.local/bin/zfsync");
    let name = place.to_str().unwrap();
    let line = format!("restrict,command=\"{name} recv --stdio --root POOL/DATASET\" KEY");
    let path = format!("use --remote-zfsync {name}");
    there.helper("install", &[]).expect(0, &[&format!("beta: installed the helper as {name}\n"), &line, &path]);
    assert_eq!(fs::read(&place).unwrap(), fs::read(there.source()).unwrap());
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
    there.run(&["push", "--remote-zfsync", name, "s", "beta:d"]).expect(0, &["nothing to do"]).without(&["sending"]);
    there.helper("install", &[]).expect(0, &[&format!("{name} is this helper already")]);

    // What is there says what it is; nothing but an older helper is replaced.
    let other = |said: &str| there.bed.script("home/.local/bin/zfsync", &format!("#!/bin/sh\necho '{said}'\n"));
    for (said, why) in [
        ("GNU coreutils 9.1", "it is not a zfsync"),
        ("zfsync 0.1.0", "it is a complete zfsync 0.1.0"),
        ("zfsync-helper 99.0.0 (protocol 9)", "it is a newer helper (99.0.0)"),
    ] {
        other(said);
        there.helper("install", &[]).expect(1, &[&format!("{name} on beta was not replaced: {why}")]);
        assert!(fs::read_to_string(&place).unwrap().contains(said));
    }
    there.helper("install", &["--force"]).expect(0, &["installed the helper"]);
    other("zfsync-helper 0.0.1 (protocol 1)");
    there.helper("install", &[]).expect(0, &["installed the helper"]);
    let left = fs::read_dir(place.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "nothing else is left");

    there.shell("sh", "unset HOME");
    there.helper("install", &[]).expect(3, &["can't send a helper to beta", "/.local/bin can't be written to"]);
    there.shell("/usr/sbin/nologin", "");
    there.helper("install", &[]).expect(3, &["This account is currently not available"]);
}

impl There {
    /// Has each session see a directory of the bed as /usr/local, in a mount namespace of its own; `then` is done in that. `None` where that
    /// isn't permitted.
    fn own_usr_local(&self, then: &str) -> Option<PathBuf> {
        let (local, shell) = (self.bed.path("local"), self.bed.path("bin/namespaced"));
        fs::create_dir_all(&local).unwrap();
        let root = if is_root() { "-m" } else { "-rm" };
        self.bed.script(
            "bin/namespaced",
            &format!(
                "#!/bin/sh\nexec unshare {root} sh -c 'mount --bind {} /usr/local && {{ {then}; }} && exec sh \"$@\"' sh \"$@\"\n",
                local.display()
            ),
        );
        self.shell(shell.to_str().unwrap(), "");
        let tried = Command::new(shell).args(["-c", "true"]).stderr(Stdio::null()).status();
        if tried.is_ok_and(|status| status.success()) {
            return Some(local);
        }
        eprintln!("skipped: may not mount");
        None
    }
}

#[test]
fn a_helper_is_installed_for_all_users() {
    if !available() {
        return;
    }
    let there = There::new();
    let name = "/usr/local/bin/zfsync";
    // That of this machine is nobody's business.
    let here = || fs::metadata(name).ok().map(|file| (file.ino(), file.mtime()));
    let before = here();
    let Some(local) = there.own_usr_local("true") else { return };
    let line = format!("restrict,command=\"{name} recv --stdio --root POOL/DATASET\" KEY");
    let path = format!("use --remote-zfsync {name}");
    there
        .helper("install", &["--system"])
        .expect(0, &[&format!("beta: installed the helper as {name}\n"), &line, &path]);
    let place = local.join("bin/zfsync");
    assert_eq!(fs::read(&place).unwrap(), fs::read(there.source()).unwrap());
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(local.join("bin")).unwrap().count(), 1, "nothing else is left");
    assert_eq!(fs::read_dir(there.bed.path("home")).unwrap().count(), 0, "it is not the user's");
    there.run(&["push", "--remote-zfsync", name, "s", "beta:d"]).expect(0, &["nothing to do"]).without(&["sending"]);
    there.helper("install", &["--system"]).expect(0, &[&format!("{name} is this helper already")]);

    let shell = there.bed.path("bin/namespaced");
    there.shell(shell.to_str().unwrap(), "PATH=/usr/local/bin:$PATH");
    there.run(&["push", "--helper", "installed", "s", "beta:d"]).expect(0, &["nothing to do"]);
    fs::write(&place, "#!/bin/sh\necho 'zfsync-helper 0.0.1 (protocol 1)'\n").unwrap();
    let ended = there.helper("install", &["--system"]);
    ended.expect(0, &["installed the helper", "command=\"zfsync recv --stdio"]).without(&["--remote-zfsync"]);

    // As somebody who isn't root.
    fs::remove_dir_all(local.join("bin")).unwrap();
    if there.own_usr_local("mount -o remount,bind,ro /usr/local").is_some() {
        let words = ["can't send a helper to beta", "/usr/local/bin can't be written to; --system needs root there"];
        there.helper("install", &["--system"]).expect(3, &words);
    }
    assert!(here() == before && !local.join("bin").exists());
}

#[test]
fn what_runs_have_left_is_removed() {
    if !available() {
        return;
    }
    let there = There::new();
    for shell in ["dash", "bash", "zsh", "mksh", "yash", "bsd-csh", "tcsh", "fish", "busybox sh"] {
        let program = shell.split(' ').next().unwrap();
        if !["/bin", "/usr/bin"].iter().any(|dir| Path::new(dir).join(program).exists()) {
            eprintln!("skipped: no {shell}");
            continue;
        }
        there.shell(shell, "");
        there.push().expect(0, &["nothing to do"]);
        let file = there.cache().join(&there.helper);
        there.helper("remove", &[]).expect(0, &["beta: removed ", &format!("  {}\n", file.display())]);
        assert!(!there.cache().exists(), "{shell}: the directory is empty, and goes");
    }
    there.shell("sh", "");
    there.helper("remove", &[]).expect(0, &["beta: no helper is in the cache"]);
    // Nothing but helpers of ours, and nothing where somebody else may write.
    fs::create_dir_all(there.cache()).unwrap();
    fs::set_permissions(there.cache(), fs::Permissions::from_mode(0o700)).unwrap();
    for name in ["helper-abc", "notes"] {
        fs::write(there.cache().join(name), "").unwrap();
    }
    there.helper("remove", &[]).expect(0, &["beta: removed "]);
    assert_eq!(there.cached(), ["notes"]);
    fs::write(there.cache().join("helper-abc"), "").unwrap();
    fs::set_permissions(there.cache(), fs::Permissions::from_mode(0o777)).unwrap();
    there.helper("remove", &[]).expect(1, &["was not looked into"]);
    assert_eq!(there.cached(), ["helper-abc", "notes"]);
}

#[test]
fn what_could_not_be_removed_is_told() {
    if !available() {
        return;
    }
    let there = There::new();
    there.push().expect(0, &["nothing to do"]);
    let file = there.cache().join(&there.helper);
    there.bed.script("bin/rm", "#!/bin/sh\necho \"rm: cannot remove $2: Read-only file system\" >&2; exit 1\n");
    let words = format!("rm: cannot remove {}: Read-only file system", file.display());
    there
        .helper("remove", &[])
        .expect(1, &["not all helpers on beta could be removed", &words])
        .without(&["in the cache"]);
    fs::remove_file(there.bed.path("bin/rm")).unwrap();
    let look = format!("{} was not looked into", there.cache().display());
    for mode in [0o777, 0o720] {
        fs::set_permissions(there.cache(), fs::Permissions::from_mode(mode)).unwrap();
        there.helper("remove", &[]).expect(1, &["not all helpers", &look]).without(&["in the cache"]);
    }
    assert_eq!(there.cached(), [there.helper.as_str()]);
    fs::remove_dir_all(there.cache()).unwrap();
    symlink("/nonexistent", there.cache()).unwrap();
    there.helper("remove", &[]).expect(1, &["not all helpers", &look]);
    assert!(there.cache().is_symlink());
}

#[test]
fn what_is_no_file_is_not_replaced() {
    if !available() {
        return;
    }
    let there = There::new();
    let place = there.bed.path("home/.local/bin/zfsync");
    fs::create_dir_all(&place).unwrap();
    let kept = |why: &str| {
        let words = format!("{} on beta was not replaced: {why}", place.display());
        there.helper("install", &["--force"]).expect(1, &[&words, "move it away first"]);
    };
    kept("it is a directory");
    assert!(fs::read_dir(&place).unwrap().next().is_none());
    fs::remove_dir(&place).unwrap();
    symlink("/nonexistent/zfsync", &place).unwrap();
    kept("it is a symbolic link that leads nowhere");
    assert!(place.is_symlink());
    fs::remove_file(&place).unwrap();
    let made = Command::new("mkfifo").arg(&place).status().unwrap();
    assert!(made.success());
    kept("it is neither a file nor a directory");
    fs::remove_file(&place).unwrap();
    // Root reads all.
    fs::write(&place, "").unwrap();
    for tool in ["sha256sum", "shasum", "sha256"] {
        there.bed.script(&format!("bin/{tool}"), "#!/bin/sh\nexit 1\n");
    }
    kept("it can't be read, or no sha256sum");
    assert_eq!(fs::read(&place).unwrap(), b"");
}

#[test]
fn a_move_that_fails_is_no_lost_connection() {
    if !available() {
        return;
    }
    let there = There::new();
    there.bed.script("bin/mv", "#!/bin/sh\necho \"mv: cannot move to $3: Text file busy\" >&2; exit 1\n");
    let words = "it has arrived, but can't be moved to its place: mv: cannot move to ";
    there.helper("install", &[]).expect(3, &[words, "Text file busy"]).without(&["connection"]);
    assert_eq!(fs::read_dir(there.bed.path("home/.local/bin")).unwrap().count(), 0, "nothing is left");
    // A directory in the place of a cached helper is none.
    fs::remove_file(there.bed.path("bin/mv")).unwrap();
    fs::create_dir_all(there.cache().join(&there.helper)).unwrap();
    fs::set_permissions(there.cache(), fs::Permissions::from_mode(0o700)).unwrap();
    there.lies_elsewhere();
    assert!(fs::read_dir(there.cache().join(&there.helper)).unwrap().next().is_none());
}

#[test]
fn no_shell_parses_the_name_of_the_home_directory() {
    if !available() {
        return;
    }
    let there = There::new();
    let ran = there.bed.path("ran");
    let home = there.bed.path(&format!("a $(touch {}) ; touch {} ;b", ran.display(), ran.display()));
    fs::create_dir_all(&home).unwrap();
    for shell in ["dash", "bash", "mksh", "yash", "zsh", "busybox"] {
        let Some(program) =
            ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(shell)).find(|path| path.exists())
        else {
            eprintln!("skipped: no {shell}");
            continue;
        };
        let _ = fs::remove_file(there.bed.path("bin/sh"));
        symlink(program, there.bed.path("bin/sh")).unwrap();
        there.shell("sh", &format!("HOME='{}'", home.display()));
        let place = home.join(".local/bin/zfsync");
        there.helper("install", &[]).expect(0, &[&format!("installed the helper as {}\n", place.display())]);
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1, "{shell}: nothing else is left");
        there.push().expect(0, &["the helper is sent ", "nothing to do"]);
        there.helper("remove", &[]).expect(0, &["beta: removed 1 helper"]);
        fs::remove_file(&place).unwrap();
        assert!(!ran.exists(), "{shell}");
    }
}

//! `zfsync helper`: a helper that is installed on a host for good, and what runs have left there, removed; over a real ssh to a loopback
//! sshd. `tests/helpers` runs it with the static helper, too.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::ship::There;
use support::sshd::{LOGIN_SHELLS, POSIX_SHELLS, installed, make_sh};
use support::zfsync;

#[test]
fn a_helper_is_installed_for_good() {
    let Some(there) = There::new() else { return };
    let place = there.bed.path("home/.local/bin/zfsync");
    let name = place.to_str().unwrap();
    let line = format!("restrict,command=\"{name} recv --stdio --root POOL/DATASET\" KEY");
    let path = format!("use --remote-zfsync {name}");
    there.helper("install", &[]).expect(0, &[&format!("beta: installed the helper as {name}\n"), &line, &path]);
    assert_eq!(fs::read(&place).unwrap(), fs::read(there.source()).unwrap());
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o755);
    there.run(&["push", "--remote-zfsync", name, "s", "beta:d"]).expect(0, &["nothing to do"]).without(&["sending"]);
    there.helper("install", &[]).expect(0, &[&format!("{name} is already this helper")]);

    // What is there says what it is; nothing but an older helper is replaced.
    let other = |said: &str| there.bed.script("home/.local/bin/zfsync", &format!("#!/bin/sh\necho '{said}'\n"));
    for (said, why) in [
        ("GNU coreutils 9.1", "it is not zfsync"),
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

/// Has each session see a directory of the bed as /usr/local, in a mount namespace of its own; `then` is done in that. `None` where that
/// isn't permitted.
fn own_usr_local(there: &There, then: &str) -> Option<PathBuf> {
    let (local, shell) = (there.bed.path("local"), there.bed.path("bin/namespaced"));
    fs::create_dir_all(&local).unwrap();
    let root = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    there.bed.script(
        "bin/namespaced",
        &format!(
            "#!/bin/sh\nexec unshare {root} sh -c 'mount --bind {} /usr/local && {{ {then}; }} && exec sh \"$@\"' sh \"$@\"\n",
            local.display()
        ),
    );
    there.shell(shell.to_str().unwrap(), "");
    let tried = Command::new(shell).args(["-c", "true"]).stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) {
        return Some(local);
    }
    eprintln!("skipped: may not mount");
    None
}

#[test]
fn a_helper_is_installed_for_all_users() {
    let Some(there) = There::new() else { return };
    let name = "/usr/local/bin/zfsync";
    // That of this machine is nobody's business.
    let here = || fs::metadata(name).ok().map(|file| (file.ino(), file.mtime()));
    let before = here();
    let Some(local) = own_usr_local(&there, "true") else { return };
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
    there.helper("install", &["--system"]).expect(0, &[&format!("{name} is already this helper")]);

    let shell = there.bed.path("bin/namespaced");
    there.shell(shell.to_str().unwrap(), "PATH=/usr/local/bin:$PATH");
    there.run(&["push", "--helper", "installed", "s", "beta:d"]).expect(0, &["nothing to do"]);
    fs::write(&place, "#!/bin/sh\necho 'zfsync-helper 0.0.1 (protocol 1)'\n").unwrap();
    let ended = there.helper("install", &["--system"]);
    ended.expect(0, &["installed the helper", "command=\"zfsync recv --stdio"]).without(&["--remote-zfsync"]);

    // As somebody who isn't root.
    fs::remove_dir_all(local.join("bin")).unwrap();
    if own_usr_local(&there, "mount -o remount,bind,ro /usr/local").is_some() {
        let words = ["can't send a helper to beta", "/usr/local/bin can't be written to; --system needs root there"];
        there.helper("install", &["--system"]).expect(3, &words);
    }
    assert!(here() == before && !local.join("bin").exists());
}

/// A user without rights.
const USER: u32 = 65534;

/// /usr/local/bin may belong to others than root.
#[test]
fn whoever_may_write_there_installs_a_helper_for_all_users() {
    let Some(there) = There::new() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs another user");
        return;
    }
    let as_user = format!("exec setpriv --reuid {USER} --regid {USER} --clear-groups sh \"$@\"");
    let Some(local) = own_usr_local(&there, &as_user) else { return };
    // The bed is closed to others.
    let copied = Command::new("cp").arg(zfsync()).arg(local.join("complete")).status().unwrap();
    assert!(copied.success());
    fs::write(there.source(), "#!/bin/sh\nexec /usr/local/complete \"$@\"\n").unwrap();

    let bin = local.join("bin");
    fs::create_dir(&bin).unwrap();
    let words = "can't send a helper to beta: /usr/local/bin can't be written to; --system needs root there";
    there.helper("install", &["--system"]).expect(3, &[words]);
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 0);

    chown(&bin, Some(USER), Some(USER)).unwrap();
    there.helper("install", &["--system"]).expect(0, &["beta: installed the helper as /usr/local/bin/zfsync\n"]);
    let place = bin.join("zfsync");
    assert_eq!(fs::read(&place).unwrap(), fs::read(there.source()).unwrap());
    let file = fs::metadata(&place).unwrap();
    assert_eq!((file.uid(), file.permissions().mode() & 0o777), (USER, 0o755));
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 1, "nothing else is left");

    // What root has put there stays, in a directory in which everybody may write but not remove.
    chown(&bin, Some(0), Some(0)).unwrap();
    fs::set_permissions(&bin, fs::Permissions::from_mode(0o1777)).unwrap();
    chown(&place, Some(0), Some(0)).unwrap();
    fs::write(&place, "#!/bin/sh\necho 'zfsync-helper 0.0.1 (protocol 1)'\n").unwrap();
    there.helper("install", &["--system"]).expect(3, &["can't be moved into place", "Operation not permitted"]);
    assert!(fs::read_to_string(&place).unwrap().contains("0.0.1"));
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn what_runs_have_left_is_removed() {
    let Some(there) = There::new() else { return };
    for (shell, _) in installed(&LOGIN_SHELLS) {
        there.shell(shell, "");
        there.push().expect(0, &["nothing to do"]);
        let file = there.cache().join(&there.helper);
        there.helper("remove", &[]).expect(0, &["beta: removed ", &format!("  {}\n", file.display())]);
        assert!(!there.cache().exists(), "{shell}: the directory is empty, and goes");
    }
    there.shell("sh", "");
    there.helper("remove", &[]).expect(0, &["beta: there is no helper in the cache"]);
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
    there.helper("remove", &[]).expect(1, &["was skipped"]);
    assert_eq!(there.cached(), ["helper-abc", "notes"]);
}

#[test]
fn what_could_not_be_removed_is_told() {
    let Some(there) = There::new() else { return };
    there.push().expect(0, &["nothing to do"]);
    let file = there.cache().join(&there.helper);
    there.bed.script("bin/rm", "#!/bin/sh\necho \"rm: cannot remove $2: Read-only file system\" >&2; exit 1\n");
    let words = format!("rm: cannot remove {}: Read-only file system", file.display());
    there
        .helper("remove", &[])
        .expect(1, &["not all helpers on beta could be removed", &words])
        .without(&["in the cache"]);
    fs::remove_file(there.bed.path("bin/rm")).unwrap();
    let look = format!("{} was skipped", there.cache().display());
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
    let Some(there) = There::new() else { return };
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
    kept("it is a dangling symbolic link");
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
    let Some(there) = There::new() else { return };
    there.bed.script("bin/mv", "#!/bin/sh\necho \"mv: cannot move to $3: Text file busy\" >&2; exit 1\n");
    let words = "it arrived, but can't be moved into place: mv: cannot move to ";
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
    let Some(there) = There::new() else { return };
    let ran = there.bed.path("ran");
    let home = there.bed.path(&format!("a $(touch {}) ; touch {} ;b", ran.display(), ran.display()));
    fs::create_dir_all(&home).unwrap();
    for (shell, program) in installed(&POSIX_SHELLS) {
        make_sh(&there.bed, &program);
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

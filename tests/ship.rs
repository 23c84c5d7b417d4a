//! A helper that comes along: over a real ssh to a loopback sshd, where no zfsync is installed, with each login shell that this machine
//! has, and in bad places. `tests/helpers` runs all of it with the static helper that dist/helpers/build has made.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::ship::{There, platform};
use support::sshd::{LOGIN_SHELLS, POSIX_SHELLS, installed, make_sh};
use support::{Ended, eventually, zfsync};

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

/// A cached helper that isn't a file of the user alone is not run, whatever its hash, and another one is put in its place.
#[track_caller]
fn others_file_is_replaced(there: &There) {
    let (file, aside) = (there.cache().join(&there.helper), there.bed.path("aside"));
    let chmod = |bits| fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
    let link = || {
        fs::copy(&file, &aside).unwrap();
        fs::remove_file(&file).unwrap();
        symlink(&aside, &file).unwrap();
    };
    let others = || std::os::unix::fs::chown(&file, Some(65534), None).unwrap();
    let group = || chmod(0o720);
    let everybody = || chmod(0o702);
    let mut ways: Vec<&dyn Fn()> = vec![&link, &group, &everybody];
    if is_root() {
        ways.push(&others);
    }
    for way in ways {
        way();
        there.push().expect(0, &["beta: the helper is sent /", "nothing to do"]);
        let found = fs::symlink_metadata(&file).unwrap();
        let owner = rustix::process::geteuid().as_raw();
        assert!(found.is_file());
        assert_eq!((found.mode() & 0o777, found.uid()), (0o700, owner));
        assert_eq!(there.cached(), [there.helper.as_str()]);
    }
    assert!(aside.exists(), "what a link leads to is nobody's business");
}

#[test]
fn with_every_login_shell() {
    let Some(there) = There::new() else { return };
    for (shell, _) in installed(&LOGIN_SHELLS) {
        there.shell(shell, "");
        let _ = fs::remove_dir_all(there.bed.path("home"));
        fs::create_dir(there.bed.path("home")).unwrap();
        there.push().expect(0, &["beta: sending a helper for ", "beta: the helper is sent /", "nothing to do"]);
        assert_eq!(there.cached(), [there.helper.as_str()], "{shell}");
        there.push().expect(0, &["beta: the helper is cached /", "nothing to do"]).without(&["sending"]);
        others_file_is_replaced(&there);
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&there.cache()), mode(&there.cache().join(&there.helper))), (0o700, 0o700));
}

#[test]
fn what_is_sh_there_may_be_any_of_these() {
    let Some(there) = There::new() else { return };
    for (_, program) in installed(&POSIX_SHELLS) {
        make_sh(&there.bed, &program);
        there.push().expect(0, &["the helper is sent /", "nothing to do"]);
        there.push().expect(0, &["the helper is cached /", "nothing to do"]);
        others_file_is_replaced(&there);
        fs::remove_dir_all(there.cache()).unwrap();
    }
}

#[test]
fn streams_and_a_source_through_a_helper_that_was_sent() {
    let Some(there) = There::new() else { return };
    there.bed.write("world", "");
    there.bed.world_with_work(6);
    there.run(&["push", "-j", "3", "s", "beta:d"]).expect(0, &["6 datasets in sync (6 updated, 1 without snapshots)"]);
    assert_eq!(there.cached(), [there.helper.as_str()]);
    there.run(&["pull", "beta:s", "d"]).expect(0, &["the helper is cached", "nothing to do"]);
}

#[test]
fn two_runs_at_once() {
    let Some(there) = There::new() else { return };
    let runs = [(); 3].map(|()| there.command(&["push", "-n", "s", "beta:d"]).spawn().unwrap());
    for run in runs {
        Ended::of(run).expect(0, &["the helper is "]);
    }
    there.bed.wait_for_no_process();
    assert_eq!(there.cached(), [there.helper.as_str()]);
}

#[test]
fn the_installed_one_comes_first_unless_told_otherwise() {
    let Some(there) = There::new() else { return };
    there.run(&["push", "--helper", "installed", "s", "beta:d"]).expect(3, &["beta has no zfsync helper: "]);
    // What is named may be sudo: nothing is tried in its place.
    there.run(&["push", "--remote-zfsync", "/none", "s", "beta:d"]).expect(3, &["can't run /none on beta"]);
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
    let Some(there) = There::new() else { return };
    there.bed.script("bin/zfsync", "#!/bin/sh\necho 'ZFSYNC-HELPER/99 {\"version\":\"9.8.7\"}'\ncat >/dev/null\n");
    there.push().expect(0, &["uses protocol 99 (zfsync 9.8.7)", "the helper is sent /", "nothing to do"]);
}

#[test]
fn a_login_shell_that_prints_and_one_that_is_none() {
    let Some(there) = There::new() else { return };
    there.shell("bash", "echo 'Welcome to beta!'; printf 'no line feed'; echo 'You have mail.' >&2");
    there.push().expect(0, &["the helper is sent /", "nothing to do"]).without(&["Welcome"]);
    there.push().expect(0, &["the helper is cached /", "nothing to do"]);
    there.bed.script("nologin", "#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n");
    there.shell(there.bed.path("nologin").to_str().unwrap(), "");
    there.push().expect(3, &["no greeting from the helper on beta", "This account is currently not available."]);
}

#[test]
fn a_cache_that_was_tampered_with_is_replaced_and_old_ones_go() {
    let Some(there) = There::new() else { return };
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
    let Some(there) = There::new() else { return };
    there.shell("sh", "unset HOME");
    there.lies_elsewhere();
    there.shell("sh", "HOME=/nonexistent/home");
    there.lies_elsewhere();
    assert!(!Path::new("/nonexistent").exists());
}

#[test]
fn directories_that_somebody_else_may_have_put_there() {
    let Some(there) = There::new() else { return };
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
    if !is_root() {
        return;
    }
    for options in ["noexec", "ro", "size=64k"] {
        let Some(there) = There::new() else { return };
        let Some(_mount) = Mount::new(&there.bed.path("home"), options) else { return };
        there.lies_elsewhere();
        assert!(there.cached().is_empty(), "{options}: {:?}", there.cached());
    }
}

#[test]
fn nowhere_at_all() {
    let Some(there) = There::new() else { return };
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
    let Some(there) = There::new() else { return };
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
    let Some(there) = There::new() else { return };
    there.bed.script("bin/uname", "#!/bin/sh\necho Plan9 mips\n");
    let words = format!("there is no helper for plan9-mips, only for {};", platform());
    there.run(&["push", "--helper", "ship", "s", "beta:d"]).expect(3, &["can't send a helper to beta", &words]);
    there.push().expect(0, &[&words, "zfs alone is used", "nothing to do"]);
    assert!(!there.bed.path("home/.cache").exists());
}

/// The session in which that is told ends before the next one begins.
#[test]
fn zfs_alone_where_one_session_is_permitted() {
    let Some(there) = There::new() else { return };
    let config = format!("{}MaxSessions 1\n", there.bed.read("sshd_config"));
    there.bed.write("sshd_config", &config);
    there.bed.script("bin/uname", "#!/bin/sh\necho Plan9 mips\n");
    there.push().expect(0, &["zfs alone is used", "nothing to do"]);
}

#[test]
fn the_connection_is_cut_while_it_is_sent() {
    // More than all the buffers on the way take.
    let Some(there) = There::with_helper_of(16 << 20) else { return };
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

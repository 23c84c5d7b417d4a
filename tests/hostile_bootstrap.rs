//! Hosts that lie, as far as nothing else covers them.

mod support;

use std::time::{Duration, Instant};

use support::Bed;
use support::sshd::{Manners, Sshd, available};

fn there(bed: &Bed, login: &str) -> Sshd {
    let sshd = Sshd::start(bed, &Manners::default());
    bed.script("login", login);
    let key = bed.read("key.pub");
    bed.write("authorized_keys", &format!("command=\"{}\" {key}", bed.path("login").display()));
    std::fs::create_dir_all(bed.path("helpers")).unwrap();
    sshd
}

fn push(bed: &Bed, args: &[&str]) -> (Option<i32>, Duration, String, usize) {
    let config = bed.path("ssh_config").display().to_string();
    let mut command = bed.command(&[&["push", "-F", &config], args, &["s", "beta:d"]].concat());
    command.env("ZFSYNC_HELPERS", bed.path("helpers"));
    let (out, err) = (bed.path("out"), bed.path("err"));
    command.stdin(std::process::Stdio::null());
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::fs::File::create(&err).unwrap());
    let began = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut code = None;
    while began.elapsed() < Duration::from_secs(90) {
        if let Some(status) = child.try_wait().unwrap() {
            code = status.code();
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed();
    let _ = child.kill();
    let _ = child.wait();
    let err = std::fs::read(&err).unwrap();
    let words = String::from_utf8_lossy(&err[..err.len().min(1500)]).into_owned();
    (code, took, words, err.len())
}

/// It ended, as it should.
#[track_caller]
fn given_up(seen: &(Option<i32>, Duration, String, usize)) {
    assert_eq!(seen.0, Some(3), "{seen:?}");
    assert!(seen.2.contains("a helper was started several times, but did not greet"), "{seen:?}");
}

/// Each such word gives it the whole time again.
#[test]
fn a_host_that_only_says_what_it_uses_is_given_up() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 3, 1), ("d@a", 11, 5)]);
    let _sshd = there(&bed, "#!/bin/sh\nwhile sleep 1; do echo ZFSYNC-BOOTSTRAP uses cached /x || exit; done\n");
    let seen = push(&bed, &["--helper", "ship"]);
    given_up(&seen);
}

/// As fast as it can.
#[test]
fn a_host_that_floods_with_what_it_uses_is_given_up() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 3, 1), ("d@a", 11, 5)]);
    let _sshd = there(&bed, "#!/bin/sh\nexec yes ZFSYNC-BOOTSTRAP uses cached /x\n");
    let seen = push(&bed, &["--helper", "ship", "-v"]);
    given_up(&seen);
}

//! zfsync over a real ssh to a loopback sshd of the test's own, with a fake `zfs` on the other side (support/fake-zfs,
//! which proves nothing about ZFS): connecting, refusals and their words, strange helpers, and what is left behind. What ssh_config says is in `ssh_config.rs`.

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use helper::wire::PROTOCOL;
use support::sshd::{Manners, Sshd, available, in_sync, keygen, left_clean, push, push_calling, pushing, reached};
use support::{Bed, Ended, zfsync};

#[test]
fn nothing_to_do() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    // The first run makes the bookmarks.
    push(&bed, &["s", "beta:d"]).expect(0, &["zfsync: 2 datasets in sync, nothing to do ("]);
    let before = bed.calls().len();
    push(&bed, &["s", "beta:d"]).expect(0, &["zfsync: 2 datasets in sync, nothing to do ("]);
    assert_eq!(bed.calls().len() - before, 4, "{:#?}", bed.calls());
    assert_eq!(sshd.connections(), 2);
    left_clean(&bed);
    let quiet = push(&bed, &["-q", "s", "beta:d"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    left_clean(&bed);
}

#[test]
fn something_to_do_over_several_connections() {
    let Some((bed, sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(12);
    push(&bed, &["-j", "4", "--connections", "2", "s", "beta:d"])
        .expect(0, &["12 datasets in sync (12 updated, 1 without snapshots)"]);
    for n in 1..=12 {
        assert!(bed.read("world").contains(&format!("d/{n}@b\t{n}2\t")), "{n}");
    }
    assert!(sshd.connections() <= 2);
    left_clean(&bed);
}

#[test]
fn options_for_ssh_are_honoured() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    // A configuration without port, key and known hosts.
    bed.write("bare", "Host *\n IdentityAgent none\n IdentitiesOnly yes\n GlobalKnownHostsFile /dev/null\n");
    let known = format!("UserKnownHostsFile={}", bed.path("known_hosts").display());
    let (port, here) = (sshd.port().to_string(), |name: &str| bed.path(name).to_str().unwrap().to_owned());
    let (bare, key, there) = (here("bare"), here("key"), here("there"));
    let ssh = ["push", "-F", &bare, "-p", &port, "-i", &key, "-o", &known, "-o", "StrictHostKeyChecking=yes"];
    bed.run(&[&ssh[..], &["--remote-zfsync", &there, "s", "127.0.0.1:d"]].concat()).expect(0, &["nothing to do"]);
    left_clean(&bed);
}

#[test]
fn a_command_of_several_words() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    let path = format!("PATH={}:/usr/bin:/bin", bed.path("bin").display());
    // Quoted twice: for zfsync, and by it for the shell over there.
    let there = format!("env 'WORDS=a b;exit 7' '{path}' {}", zfsync().display());
    push_calling(&bed, &there, &["s", "beta:d"]).expect(0, &["nothing to do"]);
    left_clean(&bed);
}

#[test]
fn this_very_machine_under_another_name() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    for target in ["beta:s", "beta:s/x/y"] {
        push(&bed, &["s", target]).expect(2, &["overlap on this machine"]);
    }
    left_clean(&bed);
}

#[test]
fn a_wrong_host_key() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    keygen(&bed, "stranger");
    bed.write("known_hosts", &format!("[127.0.0.1]:{} {}", sshd.port(), bed.read("stranger.pub")));
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", "Host key verification failed"]);
    assert_eq!(sshd.connections(), 1, "it makes no sense to try again");
    // And one that nobody knows.
    bed.write("known_hosts", "");
    push(&bed, &["s", "beta:d"]).expect(3, &["Host key verification failed"]);
    left_clean(&bed);
}

#[test]
fn a_refused_key() {
    let Some((bed, sshd)) = reached(in_sync()) else { return };
    bed.write("authorized_keys", "");
    push(&bed, &["s", "beta:d"]).expect(3, &["can't connect to beta: ssh says:", "Permission denied"]);
    assert_eq!(sshd.connections(), 1, "it makes no sense to try again");
    left_clean(&bed);
}

#[test]
fn a_closed_port() {
    if !available() {
        return;
    }
    let bed = in_sync();
    // Bound and not listening, so that nobody else gets it.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    bed.write("ssh_config", &format!("Host beta\n HostName 127.0.0.1\n Port {port}\n UserKnownHostsFile /dev/null\n"));
    // By the same ways.
    let by_hand = format!(
        "\n  try on this machine: ssh -F {} -o 'ConnectTimeout 20' beta true\n",
        bed.path("ssh_config").display()
    );
    push(&bed, &["-o", "ConnectTimeout 20", "s", "beta:d"])
        .expect(3, &["can't connect to beta: ssh says:", "Connection refused", &by_hand]);
    left_clean(&bed);
}

#[test]
fn an_unknown_host() {
    if !available() {
        return;
    }
    let bed = in_sync();
    bed.write("ssh_config", "Host *\n GlobalKnownHostsFile /dev/null\n");
    push(&bed, &["s", "no-such-host.invalid:d"])
        .expect(3, &["can't connect to no-such-host.invalid: ssh says:", "Could not resolve hostname"]);
    left_clean(&bed);
}

#[test]
fn no_ssh_here() {
    let bed = in_sync();
    // Nothing but a zfs that needs no other program.
    bed.script("bin/zfs", "#!/bin/sh\nprintf 's\\t1\\t1\\ns@a\\t11\\t2\\n'\n");
    let child = bed.command(&["push", "s", "beta:d"]).env("PATH", bed.path("bin")).spawn().unwrap();
    Ended::of(child).expect(3, &["can't run ssh: ", "is the OpenSSH client installed?"]);
}

#[test]
fn no_helper_over_there() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    push_calling(&bed, "/nonexistent/zfsync", &["s", "beta:d"])
        .expect(3, &["can't run /nonexistent/zfsync on beta, the first word of ", "leave out --remote-zfsync"]);
    push_calling(&bed, "no-sudo zfsync", &["s", "beta:d"])
        .expect(
            3,
            &[
                "can't run no-sudo on beta, the first word of \"no-sudo zfsync recv --stdio",
                "leave out --remote-zfsync",
            ],
        )
        .without(&["scp"]);
    left_clean(&bed);
}

#[test]
fn a_helper_of_another_protocol() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    bed.script(
        "there",
        "#!/bin/sh\necho 'ZFSYNC-HELPER/99 {\"version\":\"9.8.7\",\"colour\":\"red\"}'\ncat >/dev/null\n",
    );
    let ours = format!("this is protocol {PROTOCOL} (zfsync {})", env!("CARGO_PKG_VERSION"));
    push(&bed, &["s", "beta:d"])
        .expect(3, &["the helper on beta uses protocol 99 (zfsync 9.8.7)", &ours, "install the same version"]);
    left_clean(&bed);
}

/// An older one ends its session by a question that it doesn't know.
#[test]
fn a_helper_is_asked_only_what_it_announces() {
    for announces in [true, false] {
        let Some((bed, _sshd)) = reached(Bed::new()) else { return };
        bed.world_with_work(1);
        let requests = bed.path("requests").display().to_string();
        let greeting = if announces { "cat" } else { "sed 's/\"examine\"/\"other\"/'" };
        let said = format!("{{ IFS= read -r line; printf '%s\\n' \"$line\" | {greeting}; exec cat; }}");
        let there = bed.read("there").replace("exec ", &format!("tee {requests} | "));
        bed.script("there", &format!("{} | {said}\n", there.trim_end()));
        push(&bed, &["-j", "1", "s", "beta:d"]).expect(0, &["1 dataset in sync (1 updated"]);
        let asked = String::from_utf8_lossy(&fs::read(requests).unwrap()).contains("\"examine\"");
        assert_eq!(asked, announces);
        left_clean(&bed);
    }
}

#[test]
fn a_helper_without_zfs() {
    if !available() || support::has_zfs() {
        return;
    }
    let bed = in_sync();
    let _sshd = Sshd::start(&bed, &Manners::default());
    bed.script("there", &format!("#!/bin/sh\nPATH=/usr/bin:/bin exec {} \"$@\"\n", zfsync().display()));
    push(&bed, &["s", "beta:d"]).expect(3, &["no zfs command on beta (looked in PATH, "]);
    left_clean(&bed);
}

#[test]
fn zfs_is_not_permitted_over_there() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    std::fs::create_dir(bed.path("there-bin")).unwrap();
    bed.script(
        "there-bin/zfs",
        "#!/bin/sh\necho 'Permission denied the ZFS utilities must be run as root.' >&2\nexit 1\n",
    );
    let path = format!("PATH={}:/usr/bin:/bin", bed.path("there-bin").display());
    bed.script("there", &format!("#!/bin/sh\n{path} exec {} \"$@\"\n", zfsync().display()));
    push(&bed, &["s", "beta:d"]).expect(3, &["Permission denied the ZFS utilities must be run as root", "zfs allow"]);
    left_clean(&bed);
}

#[test]
fn rubbish_before_the_greeting() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    let there = bed.read("there");
    let talkative =
        there.replace("exec ", "echo 'Welcome to beta!'\necho 'You have mail.' >&2\nprintf 'no line feed'\nexec ");
    bed.script("there", &talkative);
    push(&bed, &["s", "beta:d"]).expect(0, &["nothing to do"]).without(&["Welcome"]);
    left_clean(&bed);
}

#[test]
fn rubbish_without_a_greeting() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    bed.script("there", "#!/bin/sh\necho 'This account is'\necho 'currently not available.' >&2\nexit 5\n");
    push(&bed, &["s", "beta:d"]).expect(
        3,
        &["no greeting from the helper on beta (exit status 5)", "This account is", "currently not available."],
    );
    // Without end, and with bytes that a terminal must not see.
    bed.script("there", "#!/bin/sh\nprintf '\\033[2Jred\\n'\nexec yes rubbish\n");
    let ended = push(&bed, &["s", "beta:d"]);
    ended.expect(3, &["no greeting from the helper on beta", "rubbish"]);
    assert!(!ended.stderr.contains('\u{1b}'));
    left_clean(&bed);
}

#[test]
fn a_helper_that_dies_after_its_greeting() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    bed.script(
        "there",
        "#!/bin/sh\necho 'ZFSYNC-HELPER/2 {\"version\":\"0\",\"zfs_path\":\"/sbin/zfs\"}'\necho 'out of luck' >&2\nexit 6\n",
    );
    let words = ["the connection to the helper on beta was lost", "out of luck"];
    push(&bed, &["--retries", "0", "s", "beta:d"]).expect(3, &words);
    left_clean(&bed);
}

#[test]
fn one_session_a_connection() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(8);
    let _sshd = Sshd::start(&bed, &Manners { config: "MaxSessions 1", ..Manners::default() });
    push(&bed, &["-j", "4", "s", "beta:d"]).expect(0, &["8 datasets in sync (8 updated"]);
    left_clean(&bed);
}

#[test]
fn a_host_that_is_too_busy_at_first() {
    if !available() {
        return;
    }
    let bed = in_sync();
    let sshd = Sshd::start(&bed, &Manners { refused: 2, ..Manners::default() });
    push(&bed, &["s", "beta:d"]).expect(0, &["nothing to do"]);
    assert_eq!(sshd.connections(), 3);
    left_clean(&bed);
}

#[test]
fn further_connections_are_refused() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(8);
    // The one that asks and the ones that come later; all are tried again.
    let _sshd = Sshd::start(&bed, &Manners { refused: 3, config: "MaxSessions 2" });
    push(&bed, &["-j", "6", "--connections", "3", "s", "beta:d"]).expect(0, &["8 datasets in sync (8 updated"]);
    left_clean(&bed);
}

#[test]
fn a_signal_ends_the_other_side_too() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(6);
    bed.write("on-send", "exec sleep 1000\n");
    bed.write("on-recv", "echo $$ >\"$here/receiving\"\n");
    let run = pushing(&bed, &["s", "beta:d"]).spawn().unwrap();
    bed.wait_for_file("receiving");
    support::signal(&run, rustix::process::Signal::INT);
    Ended::of(run).expect(130, &["interrupted after"]);
    left_clean(&bed);
}

/// An ssh that goes to the background as it should, but tells so only after a long time; by `late` it tells us. The first
/// `prompt` of them are ordinary ones.
fn late_ssh(bed: &Bed, prompt: usize) {
    bed.write("prompt", &"x\n".repeat(prompt));
    let here = bed.path("").display().to_string();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" != -G ] || exec /usr/bin/ssh \"$@\"\n/usr/bin/ssh \"$@\" || exit\nif [ -s {here}prompt ]; then sed -i 1d {here}prompt; exit 0; fi\n\
         echo >{here}late\nexec sleep 1000\n"
    );
    bed.script("bin/ssh", &script);
}

/// No ssh of the bed lives on, long before it would end by itself (ControlPersist).
#[track_caller]
fn no_master_left(bed: &Bed) {
    let masters = || bed.processes().into_iter().filter(|process| process.contains("ssh")).collect::<Vec<_>>();
    let began = std::time::Instant::now();
    while !masters().is_empty() {
        assert!(began.elapsed() < std::time::Duration::from_secs(50), "{:#?}", masters());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_session_that_stays_open_over_there() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    // The helper ends, the command that has started it doesn't: the session lasts, and the connection with it.
    bed.script(
        "lasting",
        &format!(
            "#!/bin/sh\n{} \"$@\"\necho $$ >{}\nexec sleep 1000\n",
            bed.path("there").display(),
            bed.path("sleeps").display()
        ),
    );
    push_calling(&bed, bed.path("lasting").to_str().unwrap(), &["s", "beta:d"]).expect(0, &["nothing to do"]);
    no_master_left(&bed);
    let sleeper = bed.read("sleeps").trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(sleeper.unwrap(), rustix::process::Signal::KILL).unwrap();
    left_clean(&bed);
}

#[test]
fn a_connection_that_comes_up_when_all_is_done() {
    let Some((bed, sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(4);
    late_ssh(&bed, 1);
    bed.write("on-send", "until [ -e \"$here/late\" ]; do sleep 0.01; done\n");
    push(&bed, &["-j", "2", "--connections", "2", "s", "beta:d"]).expect(0, &["4 datasets in sync (4 updated"]);
    assert_eq!(sshd.connections(), 2);
    no_master_left(&bed);
    left_clean(&bed);
}

#[test]
fn a_signal_while_it_connects() {
    let Some((bed, _sshd)) = reached(in_sync()) else { return };
    late_ssh(&bed, 0);
    let run = pushing(&bed, &["s", "beta:d"]).spawn().unwrap();
    bed.wait_for_file("late");
    support::signal(&run, rustix::process::Signal::TERM);
    Ended::of(run).expect(143, &[]);
    no_master_left(&bed);
    left_clean(&bed);
}

#[test]
fn killed_outright_the_other_side_ends_too() {
    let Some((bed, _sshd)) = reached(Bed::new()) else { return };
    bed.world_with_work(1);
    bed.write("on-send", "exec sleep 1000\n");
    bed.write("on-recv", "echo $$ >\"$here/receiving\"\n");
    let mut run = pushing(&bed, &["s", "beta:d"]).spawn().unwrap();
    bed.wait_for_file("receiving");
    run.kill().unwrap();
    run.wait().unwrap();
    // The helper and its receive; the master lives on for a minute at most (ControlPersist), and the orphaned send, which
    // writes nothing, until its own end.
    let helpers = || bed.processes().into_iter().filter(|process| process.contains("recv")).collect::<Vec<_>>();
    assert!(support::eventually(|| helpers().is_empty()), "{:#?}", helpers());
    for process in bed.processes() {
        let pid = process.split(' ').next().and_then(|pid| pid.parse().ok()).and_then(rustix::process::Pid::from_raw);
        // It may have gone by itself.
        let _ = rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::KILL);
    }
}

//! `--direct` over a real ssh to a loopback sshd of the test's own, which plays both other hosts, with a fake `zfs` (support/fake-zfs).

mod support;

use std::process::Stdio;

use rustix::process::Signal;
use support::sshd::{Manners, Sshd, available, keygen};
use support::{Bed, Ended, eventually, signal, zfsync};

/// The host with the source is `beta`, as this machine calls it; the one with the target too, as the first one calls it: it has an ssh of its
/// own.
fn hosts(bed: &Bed) -> Sshd {
    let sshd = Sshd::start(bed, &Manners::default());
    std::fs::create_dir(bed.path("ssh-there")).unwrap();
    let config = bed.path("ssh_config");
    bed.script("ssh-there/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", config.display()));
    let path = format!("PATH={}:{}:/usr/bin:/bin", bed.path("ssh-there").display(), bed.path("bin").display());
    bed.script("there", &format!("#!/bin/sh\n{path}\nexport PATH\nexec {} \"$@\"\n", zfsync().display()));
    sshd
}

fn arguments(bed: &Bed, there: &str, args: &[&str]) -> Vec<String> {
    let (config, there) = (bed.path("ssh_config").display().to_string(), bed.path(there).display().to_string());
    let all = ["push", "--direct", "-F", &config, "--remote-zfsync", &there];
    all.iter().chain(args).map(ToString::to_string).collect()
}

fn push_calling(bed: &Bed, there: &str, args: &[&str]) -> Ended {
    let all = arguments(bed, there, args);
    bed.run(&all.iter().map(String::as_str).collect::<Vec<_>>())
}

fn push(bed: &Bed, args: &[&str]) -> Ended {
    push_calling(bed, "there", args)
}

/// A host that says this, whatever it is started for.
fn saying(bed: &Bed, lines: &str) {
    bed.write("said", lines);
    bed.script("strange", &format!("#!/bin/sh\ncat {}\nexec cat >/dev/null\n", bed.path("said").display()));
}

const HELLO: &str = "ZFSYNC-DIRECT/1 {\"version\":\"0.1.0\"}\n";

#[test]
fn one_host_sends_to_another() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(3);
    let sshd = hosts(&bed);
    let before = bed.read("world");
    let planned = push(&bed, &["-n", "beta:s", "beta:d"]);
    planned.expect(0, &[]);
    assert!(planned.stdout.contains("3 datasets to update, 3 snapshots"), "{planned:#?}");
    assert_eq!(bed.read("world"), before);
    let planned = push(&bed, &["-n", "--json", "beta:s", "beta:d"]);
    let last = planned.stdout.lines().last().unwrap();
    let last: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!((&last["event"], last["rows"].as_array().unwrap().len()), (&"plan".into(), 4));

    let (state, log) = (bed.path("state/direct"), bed.path("log"));
    let kept = ["--state-dir", state.to_str().unwrap(), "--log-file", log.to_str().unwrap()];
    push(&bed, &[&kept[..], &["-v", "beta:s", "beta:d"]].concat()).expect(
        0,
        &["connected in", "s/1: @a -> @b, 1 snapshot", "s/1: received @b", "in sync (3 updated, 1 without snapshots)"],
    );
    for n in 1..=3 {
        assert!(bed.read("world").contains(&format!("d/{n}@b\t{n}2\t")), "{n}");
    }
    assert!(bed.read("log").contains("s/1: received @b"), "{}", bed.read("log"));
    let folder = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    assert_eq!(run["exit_code"], 0, "{run}");
    let connections = sshd.connections();
    let idle = push(&bed, &["--json", "beta:s", "beta:d"]);
    idle.expect(0, &[]);
    assert!(!idle.stdout.contains("step_started") && idle.stdout.contains("\"finished\""), "{idle:#?}");
    assert_eq!(sshd.connections() - connections, 2, "one to either host");
    bed.wait_for_no_process();
}

#[test]
fn nothing_that_could_be_meant_otherwise() {
    let bed = Bed::new();
    for ends in [["s", "beta:d"], ["beta:s", "d"], ["s", "d"]] {
        push(&bed, &ends).expect(2, &["--direct is for SOURCE and TARGET on two other hosts"]);
    }
    push(&bed, &["-p", "22", "beta:s", "gamma:d"]).expect(2, &["-p is ambiguous"]);
    push(&bed, &["-i", "/dev/null", "beta:s", "gamma:d"]).expect(2, &["-i is ambiguous"]);
    bed.run(&["push", "--forward-agent", "beta:s", "gamma:d"]).expect(2, &["--direct"]);
    assert!(bed.calls().is_empty());
}

#[test]
fn a_host_that_can_not_do_it() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(1);
    let _sshd = hosts(&bed);
    let around = "without --direct the data passes through this machine";
    push_calling(&bed, "nowhere", &["beta:s", "beta:d"]).expect(3, &["beta has no zfsync", around]);
    bed.script("strange", "#!/bin/sh\necho \"error: unrecognized subcommand 'direct'\" >&2\nexit 2\n");
    push_calling(&bed, "strange", &["beta:s", "beta:d"]).expect(3, &["does not support --direct", around]);
    saying(&bed, "Welcome!\nZFSYNC-DIRECT/9 {\"version\":\"7.7\"}\n");
    push_calling(&bed, "strange", &["beta:s", "beta:d"]).expect(3, &["zfsync 7.7 on beta speaks protocol 9", around]);
    bed.script("strange", "#!/bin/sh\necho 'Account expired'\nexit 1\n");
    push_calling(&bed, "strange", &["beta:s", "beta:d"])
        .expect(3, &["no greeting", "(exit status 1)", "Account expired"]);
    // The other one can't be reached from there, or has nothing of the kind.
    push(&bed, &["beta:s", "nosuchhost.invalid:d"]).expect(
        3,
        &[
            "zfsync: error: beta: can't connect to nosuchhost.invalid: ssh says:",
            "\n  try on beta: ssh nosuchhost.invalid true\n",
            around,
        ],
    );
    push(&bed, &["beta:nosuch", "beta:d"])
        .expect(3, &["beta: can't list nosuch on beta: ", "does not exist", "the datasets of beta"])
        .without(&[around]);
    push(&bed, &["beta:s", "beta:s/x"]).expect(2, &["beta: ", "overlap"]);
    bed.wait_for_no_process();
}

#[test]
fn a_key_that_may_only_send() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    let _sshd = hosts(&bed);
    for verb in ["send", "recv"] {
        let line =
            format!("restrict,command=\"{} {verb} --stdio\" {}", bed.path("there").display(), bed.read("key.pub"));
        bed.write("authorized_keys", &line);
        push(&bed, &["beta:s", "beta:d"])
            .expect(3, &["the key for beta may only start a helper there", "without --direct the data passes through"]);
    }
    bed.wait_for_no_process();
}

#[test]
fn a_host_that_says_what_it_likes() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    let _sshd = hosts(&bed);
    let ended = |lines: &str| {
        saying(&bed, &format!("{HELLO}{lines}"));
        push_calling(&bed, "strange", &["beta:s", "beta:d"])
    };
    let over = r#"{"over":{"exit":1,"error":null}}"#;
    let notice =
        r#"{"event":{"event":"notice","dataset":null,"text":"zfsync: all well\u001b[2J\u202e\nzfsync: in sync"}}"#;
    ended(&format!("\n\n{notice}\n{over}\n"))
        .expect(1, &["beta: zfsync: all well\\u{1b}[2J\\u{202e}\n  zfsync: in sync"])
        .without(&["\u{1b}"]);
    for (lines, words) in [
        ("{}\n", "violated the protocol"),
        ("rubbish\u{1b}\n", "violated the protocol"),
        ("{\"over\":{\"exit\":77,\"error\":null}}\n", "exit code 77"),
        ("{\"over\":{\"exit\":0,\"error\":\"but\"}}\n", "exit code 0"),
        ("{\"event\":{\"event\":\"finished\",\"seconds\":-1}}\n", "violated the protocol"),
        (
            "{\"row\":{\"dataset\":\"s\",\"target\":\"d\",\"action\":\"full\",\"from\":null,\"to\":null,\"snapshots\":1,\"bytes\":1,\"note\":null}}\n",
            "a plan that was not requested",
        ),
    ] {
        ended(lines).expect(3, &["zfsync on beta violated the protocol", words]).without(&["\u{1b}"]);
    }
    let step = |step: u32| {
        format!(
            "{{\"event\":{{\"event\":\"step_started\",\"step\":{step},\"dataset\":\"s\",\"from\":null,\"resumed\":false,\"to\":\"x\",\"snapshots\":1}}}}"
        )
    };
    let steps = (0..2000).map(step).collect::<Vec<_>>().join("\n");
    ended(&steps).expect(3, &["more steps at the same time"]);
    // What is cut is no end, and no line.
    bed.script("strange", &format!("#!/bin/sh\nprintf '%s\\n' '{}' '{over}' | head -c -1\n", HELLO.trim()));
    push_calling(&bed, "strange", &["beta:s", "beta:d"]).expect(3, &["the connection to zfsync on beta was lost"]);
    // And one that says nothing more is not waited for without end.
    saying(&bed, HELLO);
    push_calling(&bed, "strange", &["--stall-timeout", "2s", "beta:s", "beta:d"])
        .expect(3, &["zfsync on beta has sent nothing for 2 s"]);
    bed.wait_for_no_process();
}

#[test]
fn an_order_that_nobody_would_give() {
    let bed = Bed::new();
    let told = |order: &str| {
        let mut command = bed.command(&["direct", "--stdio"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), order.as_bytes()).unwrap();
        let ended = Ended::of(child);
        assert_eq!((ended.code, ended.stdout.starts_with(HELLO)), (Some(2), true), "{ended:#?}");
        ended.stdout
    };
    assert!(told("").contains("the order is cut"));
    assert!(told("{\"source\":\"s\"").contains("the order is cut"));
    assert!(told("{\"source\":\"s\"}\n").contains("missing field"));
    for field in ["state_dir", "log_file", "identity", "ssh_option", "ssh_config", "config"] {
        assert!(told(&format!("{{\"source\":\"s\",\"{field}\":\"/etc/x\"}}\n")).contains("unknown field"), "{field}");
    }
    assert!(told(&"x".repeat((1 << 20) + 1)).contains("a line of more than"));
    assert!(bed.calls().is_empty());
    bed.wait_for_no_process();
}

/// A push whose stream stands, as the other host's `zfs send` waits for a file.
fn standing(bed: &Bed) -> std::process::Child {
    bed.script("on-send", "touch \"$here/sending\"; while [ ! -e \"$here/go\" ]; do sleep 0.05; done\n");
    let all = arguments(bed, "there", &["-j", "1", "beta:s", "beta:d"]);
    let child = bed.command(&all.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    bed.wait_for_file("sending");
    child
}

#[test]
fn a_signal_ends_it_over_there() {
    if !available() {
        return;
    }
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let bed = Bed::new();
        bed.world_with_work(2);
        let _sshd = hosts(&bed);
        let child = standing(&bed);
        signal(&child, number);
        Ended::of(child).expect(code, &["zfsync: interrupted after"]);
        bed.wait_for_no_process();
    }
}

#[test]
fn whoever_started_it_is_gone() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    bed.world_with_work(2);
    let _sshd = hosts(&bed);
    let mut child = standing(&bed);
    child.kill().unwrap();
    child.wait().unwrap();
    // The connection to the source's host lives on for a minute (ControlPersist); nothing else does.
    let only_ssh = || bed.processes().iter().all(|process| process.contains(" ssh"));
    assert!(eventually(only_ssh), "{:#?}", bed.processes());
}

#[test]
fn an_agent_is_forwarded_when_asked_for() {
    if !available() {
        return;
    }
    let bed = Bed::new();
    let _sshd = hosts(&bed);
    keygen(&bed, "other");
    // The host says whether there is an agent.
    bed.script(
        "strange",
        &format!("#!/bin/sh\nprintf '%s\\n' '{}'\nread order\nprintf '{{\"over\":{{\"exit\":3,\"error\":\"agent: %s\"}}}}\\n' \"${{SSH_AUTH_SOCK:+there}}\"\nexec cat >/dev/null\n", HELLO.trim()),
    );
    // What stands for the agent is never asked: forwarding needs its socket alone.
    let socket = bed.path("agent");
    let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let run = |options: &[&str]| {
        let all = arguments(&bed, "strange", &[options, &["beta:s", "beta:d"]].concat());
        let mut command = bed.command(&all.iter().map(String::as_str).collect::<Vec<_>>());
        Ended::of(command.env("SSH_AUTH_SOCK", &socket).spawn().unwrap())
    };
    run(&["--forward-agent"]).expect(3, &["beta: agent: there"]);
    run(&[]).expect(3, &["beta: agent:\n"]).without(&["there"]);
}

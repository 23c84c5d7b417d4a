//! `zfsync doctor` over a real ssh to a loopback sshd, with a fake `zfs` on both sides (support/fake-zfs).

#[path = "support/schema.rs"]
mod schema;
mod support;

use helper::wire::PROTOCOL;
use serde_json::Value;
use support::sshd::{Manners, Sshd, available, reached};
use support::{Bed, Ended};

fn doctor(bed: &Bed, args: &[&str]) -> Ended {
    let (config, there) = (bed.path("ssh_config"), bed.path("there"));
    let ssh = ["doctor", "-F", config.to_str().unwrap(), "--remote-zfsync", there.to_str().unwrap()];
    bed.run(&[&ssh[..], args].concat())
}

fn bed() -> Bed {
    let bed = Bed::new();
    bed.world(&[("s", 1, 1), ("s/a", 2, 2), ("s/a@x", 21, 3), ("d", 3, 1)]);
    bed
}

/// Checks the exit code, and that stdout has a line with each of these words.
#[track_caller]
fn tells(ended: &Ended, code: i32, lines: &[&str]) {
    ended.expect(code, &[]);
    for words in lines {
        assert!(ended.stdout.contains(words), "no {words:?} in {ended:#?}");
    }
}

#[test]
fn all_is_well_and_nothing_is_left() {
    let Some((bed, sshd)) = reached(bed()) else { return };
    let before = bed.read("world");
    tells(
        &doctor(&bed, &["--source", "s/a", "beta:d/new"]),
        0,
        &[
            "source s/a on this machine\n",
            "target d/new on beta\n",
            " by publickey; cipher aes128-gcm@openssh.com\n",
            "  OK   sessions     10 of 10 sessions",
            "  OK   clock ",
            "  OK   OpenZFS      2.3.9-1\n",
            "  OK   dataset      d/new will be created below d\n",
            "  OK   space        4.00 GiB available; the source uses 1.00 MiB",
            "  OK   plan         a push would send 1 snapshot of 1 dataset\n",
            "no problems found\n",
        ],
    );
    bed.wait_for_no_process();
    // One connection for all of it, as ssh may ask for a password; and no size is asked for that nobody shows.
    assert_eq!((bed.read("world"), sshd.connections()), (before, 1));
    assert_eq!(sends(&bed), Vec::<String>::new());
    tells(&doctor(&bed, &["beta"]), 0, &["target on beta\n", "  OK   pool         s is ONLINE\n", "d is ONLINE\n"]);
    bed.wait_for_no_process();
    assert_eq!(sshd.connections(), 2);
}

/// The calls that ask for a stream, or for its size.
fn sends(bed: &Bed) -> Vec<String> {
    bed.calls().into_iter().filter(|call| call.starts_with("zfs send")).collect()
}

/// Each end that is another host is connected to once, also where sshd permits one session at a time.
#[test]
fn one_connection_for_each_host() {
    if !available() {
        return;
    }
    for (config, args, connections) in [
        ("", ["--source", "beta:s/a", "--local", "d/new"].as_slice(), 1),
        ("", &["--source", "beta:s/a", "beta:d/new"], 2),
        ("MaxSessions 1", &["--source", "s/a", "beta:d/new"], 1),
    ] {
        let bed = bed();
        let sshd = Sshd::start(&bed, &Manners { config, ..Manners::default() });
        tells(&doctor(&bed, args), 0, &["  OK   plan         a push would send 1 snapshot of 1 dataset\n"]);
        bed.wait_for_no_process();
        assert_eq!((sshd.connections(), sends(&bed)), (connections, Vec::new()), "{args:?}");
    }
}

/// By the plan of the push itself.
#[test]
fn what_a_push_would_refuse_is_foreseen() {
    let bed = bed();
    bed.world(&[
        ("t", 5, 1),
        ("t/x", 6, 1),
        ("u", 7, 1),
        ("u@mine", 71, 2),
        ("v", 8, 1),
        ("v/x", 9, 1),
        ("v/x@yours", 81, 2),
    ]);
    bed.world(&[("w", 10, 1), ("w@a", 91, 2), ("z", 11, 1), ("z@a", 91, 2)]);
    bed.world(&[("n", 12, 1), ("n@a", 121, 2), ("n#b", 122, 3), ("m", 13, 1), ("m@b", 122, 3)]);
    let before = bed.read("world");
    bed.write(
        "z.toml",
        "[job.a]\nsource = 't'\ntargets = ['d/t']\n[job.bare]\nsource = 't'\ntargets = ['d/t']\nsnapshot.enabled = false\n",
    );
    let config = bed.path("z.toml").display().to_string();
    let of = |source: &str, target: &str| bed.run(&["doctor", "--source", source, "--local", target]);
    for (ended, code, lines) in [
        (
            of("t", "d/t"),
            0,
            &[
                "  WARN plan         a run would have nothing to replicate: none of the 2 selected datasets has a snapshot; \
                 cron and run take a snapshot first\n",
                " -> take one first: zfsync snapshot t\n",
                "no failures, 1 warning\n",
            ][..],
        ),
        (
            of("u", "v/x"),
            1,
            &[
                "  FAIL plan         u -> v/x: conflict: no common snapshot",
                " -> to continue: name another TARGET, for example 'v/x/u', which leaves this one as it is; or run again with",
                "--set-aside",
            ],
        ),
        (
            of("n", "m"),
            0,
            &[
                "  WARN plan         n -> m: conflict: the target is ahead: its @b is newer than all",
                " -> to continue: nothing is lost, and the source's next snapshot will continue from its bookmark\n",
                "no failures, 1 warning\n",
            ],
        ),
        (
            bed.run(&["doctor", "-c", &config, "--job", "bare"]),
            1,
            &[
                "  FAIL plan         nothing to replicate: none of the 2 selected datasets has a snapshot; the job takes no snapshots\n",
            ],
        ),
        (of("w", "z"), 0, &["  OK   plan         a push has nothing to send; 1 dataset in sync\n"]),
        (bed.run(&["doctor", "-c", &config, "--job", "a"]), 0, &["  OK   plan         there is no snapshot yet"]),
    ] {
        tells(&ended, code, lines);
    }
    assert_eq!(bed.read("world"), before);
    assert!(!bed.calls().iter().any(|call| call.starts_with("zfs snapshot")), "{:#?}", bed.calls());
}

#[test]
fn what_a_run_would_fail_for() {
    let Some((bed, _sshd)) = reached(bed()) else { return };
    let ended = doctor(&bed, &["--source", "s/none", "beta:none/x"]);
    tells(
        &ended,
        1,
        &[
            "  FAIL dataset      s/none does not exist\n",
            "  FAIL pool         no pool 'none' is imported\n",
            "-> on beta: zpool import 'none'",
            "a run would fail: 2 failures\n",
        ],
    );
    let json = doctor(&bed, &["--json", "beta:none/x"]);
    json.expect(1, &[]);
    let object: Value = serde_json::from_str(&json.stdout).unwrap();
    schema::conform("doctor", [&object]);
    assert_eq!((&object["schema_version"], &object["failures"]), (&1.into(), &1.into()));
    assert_eq!(object["ends"][0]["connection"]["sessions_granted"], 10);
}

#[test]
fn an_sshd_with_few_sessions() {
    if !available() {
        return;
    }
    let bed = bed();
    let _sshd = Sshd::start(&bed, &Manners { config: "MaxSessions 2", ..Manners::default() });
    let words = ["  WARN sessions     2 of 10 sessions over one connection\n", "use -j 1;", "no failures, 1 warning\n"];
    tells(&doctor(&bed, &["beta:d"]), 0, &words);
    bed.wait_for_no_process();
}

#[test]
fn a_key_that_is_restricted_to_a_root() {
    let Some((bed, _sshd)) = reached(bed()) else { return };
    let there = bed.path("there").display().to_string();
    bed.write("authorized_keys", &format!("command=\"{there} recv --stdio --root d/own\" {}", bed.read("key.pub")));
    tells(&doctor(&bed, &["beta:d/own/x"]), 0, &["; restricted to d/own\n", "d/own/x will be created below d\n"]);
    let outside = doctor(&bed, &["beta:s/x"]);
    tells(&outside, 1, &["  FAIL helper ", "s/x is outside of that\n", "a run would fail: 1 failure\n"]);
    // That there is a pool `s` is nobody's business.
    tells(&doctor(&bed, &["beta"]), 0, &["pool         d is ONLINE\n"]);
    assert!(!doctor(&bed, &["beta"]).stdout.contains("s is ONLINE"));
    tells(&doctor(&bed, &["--source", "beta:d/own/x"]), 1, &["  FAIL helper ", "it can't send\n"]);
}

#[test]
fn an_older_helper_whose_clock_is_off() {
    let Some((bed, _sshd)) = reached(bed()) else { return };
    let hello = r#"{"version":"0.0.1","zfs":"2.2.2-1","zfs_path":"/sbin/zfs","user":"me","clock":86400}"#;
    bed.script("there", &format!("#!/bin/sh\necho 'ZFSYNC-HELPER/{PROTOCOL} {hello}'\nexec cat >/dev/null\n"));
    tells(
        &doctor(&bed, &["beta:d"]),
        0,
        &[
            "  WARN clock        its clock is ",
            " behind this machine's\n",
            "  ?    round trip   zfsync 0.0.1 on beta is too old to report this\n",
            "  ?    permissions ",
            "  OK   OpenZFS      kernel module 2.2.2-1\n",
        ],
    );
    bed.wait_for_no_process();
}

#[test]
fn nobody_to_ask() {
    let bed = bed();
    bed.run(&["doctor", "tank/data"]).expect(2, &["--local"]);
    if !available() {
        return;
    }
    let sshd = Sshd::start(&bed, &Manners::default());
    bed.script("there", "#!/bin/sh\nexit 127\n");
    let here = "source s/a on this machine\n";
    // The other end is examined all the same.
    let whole = ["--source", "s/a", "beta:d"];
    tells(
        &doctor(&bed, &whole),
        1,
        &[here, "s/a exists\n", "  FAIL ssh          beta has no zfsync helper", "a run would fail: 1 failure"],
    );
    let config = bed.read("ssh_config");
    drop(sshd);
    bed.write("ssh_config", &config);
    tells(&doctor(&bed, &whole), 1, &[here, "s/a exists\n", "  FAIL ssh          can't connect to beta"]);
    // Where that was all there is to check, nothing was.
    for target in ["beta", "beta:d"] {
        tells(&doctor(&bed, &[target]), 3, &["  FAIL ssh          can't connect to beta"]);
    }
    tells(&doctor(&bed, &["--source", "beta:s/a", "beta:d"]), 3, &["source s/a on beta\n", "target d on beta\n"]);
    let json = doctor(&bed, &["--json", "beta:d"]);
    assert_eq!(json.code, Some(3), "{json:#?}");
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&found["failures"], &found["ends"][0]["findings"][0]["mark"]),
        (&1.into(), &"failure".into()),
        "{found}"
    );
    bed.wait_for_no_process();
}

//! Connections to a source's host that are lost in the middle of something: what may have been done is not done again, what still
//! comes is left alone, and a host that is gone isn't asked again and again. With a fake `zfs`, over ssh with a loopback sshd of the
//! test's own.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::sshd::{Manners, Sshd, available};
use support::{Bed, Ended};

/// No run here may take so long.
const SOON: Duration = Duration::from_secs(40);

/// A bed with an sshd that plays the host `beta`, and `zfs` behind a script that knows `here`.
fn bed(script: &str) -> Option<(Bed, Sshd)> {
    if !available() {
        return None;
    }
    let bed = Bed::new();
    let sshd = Sshd::start(&bed, &Manners::default());
    bed.script("bin/ssh", &format!("#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n", bed.path("ssh_config").display()));
    fs::create_dir_all(bed.path("real/bin")).unwrap();
    fs::rename(bed.path("bin/zfs"), bed.path("real/zfs")).unwrap();
    // The fake one calls itself.
    fs::hard_link(bed.path("real/zfs"), bed.path("real/bin/zfs")).unwrap();
    for name in ["world", "kinds", "written", "calls", "records"] {
        std::os::unix::fs::symlink(bed.path(name), bed.path("real").join(name)).unwrap();
    }
    bed.script("bin/zfs", &format!("#!/bin/sh\nhere=${{0%/*}}/..\n{script}\nexec \"$here/real/bin/zfs\" \"$@\"\n"));
    Some((bed, sshd))
}

/// Runs a job of a configuration file.
fn run(bed: &Bed, job: &str) -> Ended {
    let there = bed.path("there").display().to_string();
    bed.write("z.toml", &format!("[job.a]\nssh.remote-zfsync = '{there}'\n{job}"));
    let began = Instant::now();
    let ended =
        Ended::of(bed.command(&["run", "--config", bed.path("z.toml").to_str().unwrap(), "-v"]).spawn().unwrap());
    assert!(began.elapsed() < SOON, "it took {:?}: {ended:#?}", began.elapsed());
    bed.wait_for_no_process();
    ended
}

fn calls(bed: &Bed, beginning: &str) -> Vec<String> {
    bed.calls().into_iter().filter(|call| call.starts_with(beginning)).collect()
}

#[test]
fn a_snapshot_is_taken_once_though_its_answer_is_lost() {
    let script = "case $* in snapshot*) \"$here/real/bin/zfs\" \"$@\"; kill -9 $PPID; exit 0 ;; esac";
    let Some((bed, _sshd)) = bed(script) else { return };
    bed.world(&[("s", 1, 1), ("s/a", 2, 2)]);
    let ended = run(&bed, "source = 'beta:s'\n");
    assert_eq!(calls(&bed, "zfs snapshot").len(), 1, "{ended:#?}\n{:#?}", bed.calls());
    ended.expect(0, &["of 2 datasets"]);
    assert_eq!(bed.read("world").matches('@').count(), 2);
}

#[test]
fn nobody_knows_what_came_of_a_snapshot_whose_host_is_gone() {
    let script = "case $* in snapshot*) printf '#!/bin/sh\\nexit 1\\n' >\"$here/gone\"; chmod 755 \"$here/gone\"
        mv \"$here/gone\" \"$here/there\"; kill -9 $PPID; exit 0 ;; esac";
    let Some((bed, sshd)) = bed(script) else { return };
    bed.world(&[("s", 1, 1), ("s/a", 2, 2), ("t", 3, 1)]);
    let ended = run(&bed, "sources = ['beta:s', 'beta:t']\n");
    ended.expect(
        1,
        &["may be missing in pool s", "it is not known whether taking @", "may be missing in pool t", "was not tried"],
    );
    ended.without(&["has got none"]);
    // The first one, and one more for all that is asked later.
    assert_eq!(sshd.connections(), 2, "{ended:#?}");
}

#[test]
fn a_host_that_dies_while_it_destroys_is_not_connected_to_for_each_dataset() {
    let script = "case $* in
        'destroy -vp '*) printf '#!/bin/sh\\nexit 1\\n' >\"$here/gone.$$\"; chmod 755 \"$here/gone.$$\"
            mv \"$here/gone.$$\" \"$here/there\"; echo \"$*\" >>\"$here/destroyed\"; kill -9 $PPID; exit 0 ;;
        esac";
    let Some((bed, sshd)) = bed(script) else { return };
    bed.world(&[("s", 1, 1)]);
    for n in 0..20 {
        let name = format!("s/{n}");
        bed.world(&[(&name, 100 * n + 2, 2)]);
        for at in 3..6 {
            bed.world(&[(&format!("{name}@26010{at}-000000_D"), 100 * n + at, at)]);
        }
    }
    let ended = run(&bed, "source = 'beta:s'\nsnapshot.enabled = false\nkeep.last = 1\n");
    ended.expect(1, &["it is not known whether destroying 2 snapshots of s/", "not tried, as the connection was lost"]);
    assert_eq!(sshd.connections(), 1, "{ended:#?}");
    // What was asked for at the same time, and nothing twice.
    let destroyed = bed.read("destroyed");
    let mut lines: Vec<&str> = destroyed.lines().collect();
    let all = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert!(lines.len() == all && all <= 4, "{destroyed}");
}

/// After a failover another host has the name, and other content.
#[test]
fn another_host_of_the_same_name_is_refused() {
    // Each start of a helper is counted; from the third one on they greet as another host.
    let Some((bed, _sshd)) = bed("") else { return };
    bed.world(&[("s", 1, 1), ("s@b", 1, 3), ("d", 4, 1)]);
    let helper = bed.read("there").replace("exec ", "");
    let helper = helper.trim_end();
    bed.script(
        "there",
        &format!(
            "{helper} | if echo >>{0}; [ $(wc -l <{0}) -gt 2 ]; then sed -u '1s/\"boot_id\":\"[^\"]*/&x/'; else cat; fi\n",
            bed.path("starts").display()
        ),
    );
    let ended = run(&bed, "source = 'beta:s'\ntargets = ['d']\nsnapshot.enabled = false\nretries = 0\n");
    ended.expect(1, &["beta is another host now, or was restarted"]);
    assert!(!bed.read("world").contains("d@b"), "{ended:#?}");
    assert_eq!(calls(&bed, "zfs send").iter().filter(|call| !call.contains(" -n")).count(), 0, "{:#?}", bed.calls());
}

/// The helper that is asked dies; streams over the same connection go on while it is connected anew.
#[test]
fn streams_outlive_the_helper_that_is_asked() {
    let script = "case $* in
        program*) [ -e \"$here/killed\" ] || { : >\"$here/killed\"; kill -9 $PPID; exit 1; } ;;
        'send -n'*) ;;
        send*s/2@*) sleep 5 ;;
        esac";
    let Some((bed, sshd)) = bed(script) else { return };
    // The guid of all streams of the fake zfs.
    bed.world(&[("s", 1, 1), ("s/1", 2, 2), ("s/1@b", 1, 3), ("s/2", 3, 2), ("s/2@b", 1, 3), ("d", 4, 1)]);
    let ended = run(&bed, "source = 'beta:s'\ntargets = ['d']\nsnapshot.enabled = false\nretries = 0\n");
    assert!(bed.path("killed").exists(), "{ended:#?}\n{:#?}", bed.calls());
    // For the job, for the push, and once more.
    assert_eq!(sshd.connections(), 3, "{ended:#?}");
    assert!(bed.read("world").contains("d/2@b"), "{ended:#?}");
    let sent = bed.calls().into_iter().filter(|call| call.starts_with("zfs send") && !call.contains(" -n"));
    assert_eq!(sent.filter(|call| call.contains("s/2@b")).count(), 1, "{ended:#?}");
}

/// A helper that stands still is given up with the first question that it doesn't answer.
#[test]
fn the_next_question_goes_to_another_helper() {
    let script = "case $* in
        'list -Hp -r '*' a') [ -e \"$here/stopped\" ] || { echo $PPID >\"$here/stopped\"; kill -STOP $PPID; sleep 30; } ;;
        esac";
    let Some((bed, _sshd)) = bed(script) else { return };
    bed.world(&[("a", 1, 1), ("a@x", 2, 2), ("b", 3, 1), ("b@x", 1, 2), ("d", 5, 1)]);
    let job = "sources = ['beta:a', 'beta:b']\ntargets = ['d']\nsnapshot.enabled = false\nstall-timeout = '5s'\n";
    let there = bed.path("there").display().to_string();
    bed.write("z.toml", &format!("[job.a]\nssh.remote-zfsync = '{there}'\n{job}"));
    let ended = bed.run(&["run", "--config", bed.path("z.toml").to_str().unwrap(), "-v"]);
    let stopped: i32 = bed.read("stopped").trim().parse().unwrap();
    let stopped = rustix::process::Pid::from_raw(stopped).unwrap();
    let _ = rustix::process::kill_process(stopped, rustix::process::Signal::KILL);
    assert!(bed.read("world").contains("d/b@x"), "{ended:#?}");
    assert_ne!(ended.code, Some(0), "{ended:#?}");
}

/// What the key doesn't allow is told before anything is done.
#[test]
fn a_source_that_may_not_do_what_the_job_wants() {
    let Some((bed, _sshd)) = bed("") else { return };
    bed.world(&[("s", 1, 1), ("s@b", 1, 3)]);
    let forced = format!("exec {} send --stdio --allow snapshot\n", support::zfsync().display());
    let there = bed.read("there");
    bed.script("there", &format!("{}{forced}", there.split("exec ").next().unwrap()));
    let (config, there) = (bed.path("ssh_config"), bed.path("there"));
    let ssh = ["-F", config.to_str().unwrap(), "--remote-zfsync", there.to_str().unwrap()];
    let ended = bed.run(&[&["prune", "--keep-last", "1", "--source", "beta:s"][..], &ssh].concat());
    ended.expect(3, &["prune, keep): not permitted: the helper on beta does not allow destroy; resolve it on beta"]);
    assert_eq!(calls(&bed, "zfs destroy").len(), 0);
}

/// What a terminal does by Ctrl-Z and `fg`: its signal reaches `zfs send`, too, whose system call ends with EINTR.
#[test]
fn a_send_that_a_signal_has_interrupted_is_tried_again() {
    let bed = Bed::new();
    bed.world_with_work(1);
    bed.write(
        "on-send",
        "if mkdir \"$here/interrupted\" 2>/dev/null; then echo \"warning: cannot send '$last': signal received\" >&2; exit 1; fi\n",
    );
    bed.run(&["push", "s", "d"])
        .expect(0, &["s/1: interrupted, retrying in ", "': signal received", "1 dataset in sync (1 updated"]);
    assert!(bed.read("world").contains("d/1@b\t"));
}

/// What a signal has interrupted says nothing of whether the stream can be sent: that is no conflict, in a dry run either.
#[test]
fn a_trial_that_a_signal_has_interrupted_is_tried_again() {
    for flags in [&["-n"][..], &[]] {
        let bed = Bed::new();
        bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 2, 1), ("d/t", 3, 1), ("d/t@own", 13, 3)]);
        bed.write(
            "on-send",
            "if mkdir \"$here/interrupted\" 2>/dev/null; then echo \"warning: cannot send '$last': signal received\" >&2; exit 1; fi\n",
        );
        let ended = bed.run(&[&["push", "--set-aside"], flags, &["s", "d/t"]].concat());
        assert!(bed.path("interrupted").exists());
        if flags.is_empty() {
            // It gets that far.
            ended.expect(1, &["it could not be resolved: the fake zfs does not know: rename d/t "]);
        } else {
            ended.expect(0, &[]).without(&["conflict"]);
        }
        let renamed = bed.changes().iter().any(|call| call.starts_with("zfs rename "));
        assert_eq!(renamed, flags.is_empty(), "{ended:#?}");
    }
}

#[test]
fn a_source_that_is_lost_while_a_dry_run_tries_is_an_error() {
    let script =
        "case $* in 'send -n'*) ;; send*) printf '#!/bin/sh\\nexit 1\\n' >\"$here/gone\"; chmod 755 \"$here/gone\"
        mv \"$here/gone\" \"$here/there\"; kill -9 $PPID; exit 1 ;; esac";
    let Some((bed, _sshd)) = bed(script) else { return };
    bed.world(&[("s", 1, 1), ("s@a", 11, 2), ("d", 2, 1), ("d/t", 3, 1), ("d/t@own", 13, 3)]);
    let (config, there) = (bed.path("ssh_config"), bed.path("there"));
    let ssh = ["-F", config.to_str().unwrap(), "--remote-zfsync", there.to_str().unwrap()];
    let ended = bed.run(&[&["push", "-n", "--set-aside"][..], &ssh, &["beta:s", "d/t"]].concat());
    ended.expect(3, &["the connection to the helper on beta was lost: "]).without(&["conflict"]);
}

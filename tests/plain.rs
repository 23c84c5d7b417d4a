//! Plain `zfs`: over a real ssh to a loopback sshd, on whose host no helper runs, with each login shell that this machine has.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::sshd::{LOGIN_SHELLS, Manners, POSIX_SHELLS, Sshd, available, in_sync, installed, login_shell, make_sh};
use support::{Bed, Ended, eventually, has_zfs, signal};

/// A host that has ssh and ZFS and runs nothing else; its login shell is what `shell` says.
struct There {
    bed: Bed,
    sshd: Sshd,
}

impl There {
    /// `None` where this machine has no sshd.
    fn new() -> Option<Self> {
        Self::with(Bed::new(), &Manners::default())
    }

    /// With nothing to do.
    fn in_sync() -> Option<Self> {
        Self::with(in_sync(), &Manners::default())
    }

    fn with(bed: Bed, manners: &Manners) -> Option<Self> {
        if !available() {
            return None;
        }
        let sshd = Sshd::start(&bed, manners);
        fs::create_dir(bed.path("home")).unwrap();
        let there = Self { bed, sshd };
        there.shell("sh", "");
        Some(there)
    }

    fn shell(&self, shell: &str, setup: &str) {
        login_shell(&self.bed, shell, setup);
    }

    fn command(&self, args: &[&str]) -> Command {
        let config = self.bed.path("ssh_config");
        let options = ["-v", "-F", config.to_str().unwrap(), "--helper", "plain"];
        // Its report is all that doctor says.
        let quiet = args[0] == "doctor" || args.contains(&"--json");
        let options = if quiet { &options[1..] } else { &options };
        self.bed.command(&[&args[..1], options, &args[1..]].concat())
    }

    fn run(&self, args: &[&str]) -> Ended {
        let ended = Ended::of(self.command(args).spawn().unwrap());
        self.bed.wait_for_no_process();
        ended
    }

    /// How many sessions there were.
    fn sessions(&self) -> usize {
        self.bed.read("sshd.log").matches("Starting session: ").count()
    }
}

#[test]
fn with_every_login_shell() {
    let Some(there) = There::in_sync() else { return };
    for (shell, _) in installed(&LOGIN_SHELLS) {
        // Start-up files may print.
        there.shell(shell, "echo welcome; echo no terminal >&2");
        there.run(&["push", "s", "beta:d"]).expect(
            0,
            &[
                "beta: plain zfs, without a helper on that host",
                "plain zfs has no lock: other runs there are not prevented",
                "nothing to do",
            ],
        );
    }
}

#[test]
fn what_is_sh_there_may_be_any_of_these() {
    let Some(there) = There::in_sync() else { return };
    for (_, program) in installed(&POSIX_SHELLS) {
        make_sh(&there.bed, &program);
        there.run(&["push", "s", "beta:d"]).expect(0, &["nothing to do"]);
    }
}

#[test]
fn streams_go_there_and_a_source_there_is_asked() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(6);
    there.bed.world(&[("s/ a  b ", 900, 2), ("s/ a  b @a", 901, 3), ("s/ a  b @ b", 902, 4)]);
    let dry = there.run(&["push", "-n", "s", "beta:d"]);
    assert!(dry.stdout.contains("7 datasets to update, 8 snapshots"), "{dry:#?}");
    there.run(&["push", "-j", "3", "s", "beta:d"]).expect(0, &["7 datasets in sync (7 updated, 1 without snapshots)"]);
    assert!(there.bed.read("world").contains("\nd/ a  b @ b\t902\t"), "{}", there.bed.read("world"));
    there.run(&["push", "s", "beta:d"]).expect(0, &["nothing to do"]);
    // What such a host sends is judged record by record, which the fake's streams don't stand: tests/vm/suite has those.
    there.run(&["pull", "beta:s", "d"]).expect(0, &["plain zfs", "nothing to do"]);
    there.run(&["status", "s", "beta:d"]).expect(0, &[]);
}

#[test]
fn nothing_to_do_takes_as_many_sessions_for_many_datasets_as_for_few() {
    if !available() {
        return;
    }
    let taken = [2, 200].map(|count| {
        let there = There::new().unwrap();
        let world: Vec<(String, u64, u64)> = ["s", "d"]
            .iter()
            .flat_map(|top| {
                (1..=count).flat_map(move |n| [(format!("{top}/{n}"), n, 1), (format!("{top}/{n}@a"), 1000 + n, 2)])
            })
            .collect();
        there.bed.world(&[("s", 9000, 1), ("s@a", 9001, 2), ("d", 9002, 1), ("d@a", 9001, 2)]);
        there.bed.world(&world.iter().map(|(name, guid, txg)| (name.as_str(), *guid, *txg)).collect::<Vec<_>>());
        there.run(&["push", "s", "beta:d"]).expect(0, &["nothing to do"]);
        there.sessions()
    });
    assert_eq!(taken[0], taken[1]);
    assert!(taken[0] <= 6, "{taken:?}");
}

#[test]
fn what_needs_a_helper_is_refused_before_anything_is_changed() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(1);
    let before = there.bed.read("world");
    let words = |option: &str| format!("beta is accessed by plain zfs, without a helper, which rules out {option}");
    there.run(&["push", "--rollback", "s", "beta:d"]).expect(3, &[&words("--rollback: leave that out")]);
    there.run(&["push", "--set-aside", "s", "beta:d"]).expect(3, &[&words("--set-aside and")]);
    there.run(&["push", "--replace", "d", "s", "beta:d"]).expect(3, &[&words("everything that destroys (--replace")]);
    there
        .run(&["push", "--delete-missing", "datasets", "s", "beta:d"])
        .expect(3, &[&words("everything that destroys")]);
    there.run(&["verify", "--content", "s", "beta:d"]).expect(3, &[&words("verify --content: leave that out")]);
    assert_eq!(there.bed.read("world"), before);
    let both = ["push", "--remote-zfsync", "/none", "s", "beta:d"];
    there.run(&both).expect(2, &["--remote-zfsync", "--helper plain"]);
}

/// A host whose user may call `zfs` by `sudo -n` alone, and `zpool` as everybody; `sudo` is what this script says.
fn with_sudo(there: &There, sudo: &str) {
    let (own, bin) = (there.bed.path("own"), there.bed.path("bin"));
    fs::create_dir_all(&own).unwrap();
    if !own.join("zpool").exists() {
        symlink(bin.join("zpool"), own.join("zpool")).unwrap();
    }
    there.bed.script("own/zfs", "#!/bin/sh\necho 'cannot receive: permission denied' >&2\nexit 1\n");
    there.bed.script("own/sudo", &format!("#!/bin/sh\n{sudo}\n"));
    there.shell("sh", &format!("PATH={}:/usr/bin:/bin", own.display()));
}

const SUDO: &str = r#"here=${0%/*}/..; for word; do printf '<%s>' "$word"; done >>"$here/sudoed"; echo >>"$here/sudoed"
    [ "$1 $2" = '-n zfs' ] || { echo "sudo: a password is required" >&2; exit 1; }
    shift 2; exec "$here/bin/zfs" "$@""#;

#[test]
fn zfs_may_be_called_by_sudo() {
    let Some(there) = There::new() else { return };
    with_sudo(&there, SUDO);
    there.bed.world_with_work(2);
    there.bed.world(&[("s/ a  b ", 900, 2), ("s/ a  b @a", 901, 3)]);
    let sudo = ["--remote-zfs", "sudo -n zfs"];
    let push = |more: &[&str]| there.run(&[&["push"], &sudo[..], more, &["s", "beta:d"]].concat());
    push(&[]).expect(0, &["plain sudo -n zfs", "3 datasets in sync"]);
    push(&[]).expect(0, &["nothing to do"]);
    let sudoed = there.bed.read("sudoed");
    assert!(sudoed.contains("<-n><zfs><recv>") && sudoed.contains("<d/ a  b @a>"), "{sudoed}");
    there.run(&[&["status"], &sudo[..], &["s", "beta:d"]].concat()).expect(0, &[]);
    there.run(&[&["pull"], &sudo[..], &["beta:s", "d"]].concat()).expect(0, &["nothing to do"]);
    // Without it nothing can be received.
    there.bed.world(&[("s/1@c", 903, 9)]);
    there.run(&["push", "s", "beta:d"]).expect(3, &["permission denied"]);
    let doctor = there.run(&[&["doctor"], &sudo[..], &["beta:d"]].concat());
    doctor.expect(0, &[]);
    for words in ["helper       none: ", " runs sudo -n zfs alone", "OpenZFS      2.3.9-1", "sessions     10 of 10"] {
        assert!(doctor.stdout.contains(words), "no {words:?} in {doctor:#?}");
    }
}

#[test]
fn a_sudo_that_wants_a_password_is_told_before_anything_else() {
    let Some(there) = There::in_sync() else { return };
    with_sudo(&there, SUDO);
    let line = "NOPASSWD: ";
    for command in ["sudo -n /sbin/zfs", "sudo zfs"] {
        let ended = there.run(&["push", "--remote-zfs", command, "s", "beta:d"]);
        ended.expect(3, &[&format!("can't run '{command}' on beta: sudo: a password is required"), line]);
    }
    there
        .run(&["push", "--remote-zfs", "nosudo zfs", "s", "beta:d"])
        .expect(3, &["can't run 'nosudo zfs' on beta: ", "not found"]);
    let doctor = there.run(&["doctor", "--remote-zfs", "sudo zfs", "beta:d"]);
    doctor.expect(3, &[]);
    for words in ["can't run 'sudo zfs' on beta: sudo: a password is required", line] {
        assert!(doctor.stdout.contains(words), "no {words:?} in {doctor:#?}");
    }
    assert!(there.bed.calls().iter().all(|call| !call.contains("recv")));
}

#[test]
fn no_zfs_there() {
    if has_zfs() {
        return;
    }
    let Some(there) = There::in_sync() else { return };
    there.shell("sh", "PATH=/usr/bin:/bin");
    there.run(&["push", "s", "beta:d"]).expect(3, &["beta has no zfs command: "]);
    assert!(there.bed.calls().iter().all(|call| !call.contains("recv")));
}

#[test]
fn a_login_shell_that_runs_nothing() {
    let Some(there) = There::in_sync() else { return };
    there.shell("sh", "echo This account is currently not available.; exit 1");
    there.run(&["push", "s", "beta:d"]).expect(3, &["can't run zfs on beta without a helper"]);
    there.shell("sh", "exit 0");
    there.run(&["push", "s", "beta:d"]).expect(3, &["can't run zfs on beta without a helper"]);
}

#[test]
fn a_failed_receive_says_why() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(2);
    there.bed.write("on-recv", "cat >/dev/null; echo 'cannot receive: permission denied' >&2; exit 1\n");
    there.run(&["push", "s", "beta:d"]).expect(1, &["permission denied"]);
}

#[test]
fn a_connection_that_is_cut_is_made_anew() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(2);
    // The first receive ends sshd's process for the connection; the next ones are as usual.
    there.bed.write(
        "on-recv",
        "if mkdir \"$here/cut\" 2>/dev/null; then\n\
         pid=$$; while [ \"$pid\" -gt 1 ]; do\n\
         read -r _ _ _ parent _ <\"/proc/$pid/stat\"; grep -aq '^sshd' \"/proc/$pid/cmdline\" && kill \"$pid\"\n\
         pid=$parent; grep -aq 'plain-' \"/proc/$pid/cmdline\" && break; done; sleep 1; exit 1; fi\n",
    );
    let ended = there.run(&["push", "s", "beta:d"]);
    ended.expect(0, &["2 datasets in sync"]);
    assert!(eventually(|| there.bed.path("cut").exists()));
}

#[test]
fn as_many_streams_as_are_wanted_run_at_a_time() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(8);
    // None goes on before all have begun.
    there.bed.write(
        "on-recv",
        "touch \"$here/begun.$$\"; n=0\n\
         while [ \"$(ls \"$here\" | grep -c '^begun')\" -lt 8 ] && [ $n -lt 300 ]; do sleep .1; n=$((n + 1)); done\n\
         [ $n -lt 300 ] || { echo 'the others have not begun' >&2; exit 1; }\n",
    );
    there.run(&["push", "-j", "8", "--retries", "0", "s", "beta:d"]).expect(0, &["8 datasets in sync"]);
}

#[test]
fn a_host_that_permits_fewer_sessions_gets_fewer_at_a_time() {
    let manners = Manners { config: "MaxSessions 3", ..Manners::default() };
    let Some(there) = There::with(Bed::new(), &manners) else { return };
    there.bed.world_with_work(12);
    // Two of them are streams: none goes on before there are so many.
    there.bed.write(
        "on-recv",
        "touch \"$here/begun.$$\"; n=0\n\
         while [ \"$(ls \"$here\" | grep -c '^begun')\" -lt 2 ] && [ $n -lt 300 ]; do sleep .1; n=$((n + 1)); done\n\
         [ $n -lt 300 ] || { echo 'the others have not begun' >&2; exit 1; }\n",
    );
    let ended = there.run(&["push", "-j", "8", "--retries", "0", "s", "beta:d"]);
    let permits = "beta permits 3 sessions at a time over a connection (MaxSessions in its sshd_config)";
    ended.expect(0, &["12 datasets in sync", &format!("{permits}: no more than 2 streams at a time")]);
    assert_eq!(ended.stderr.matches("no more than 2 streams").count(), 1, "{ended:#?}");
    ended.without(&["trying again", "retry", "was lost"]);
    // What has been tried once is not tried again for each stream.
    let refused = there.bed.read("sshd.log").matches("no more sessions").count();
    assert!(refused <= 10, "{refused} sessions were refused");
}

#[test]
fn a_host_that_permits_one_session_does_one_thing_after_the_other() {
    for sessions in ["MaxSessions 1", "MaxSessions 2"] {
        let manners = Manners { config: sessions, ..Manners::default() };
        let Some(there) = There::with(Bed::new(), &manners) else { return };
        there.bed.world_with_work(4);
        let ended = there.run(&["push", "-j", "8", "--retries", "0", "s", "beta:d"]);
        ended.expect(0, &["4 datasets in sync", "no more than 1 stream at a time"]);
        ended.without(&["trying again", "was lost"]);
        there.run(&["push", "s", "beta:d"]).expect(0, &["nothing to do"]);
        there.run(&["pull", "-j", "2", "beta:s", "d"]).expect(0, &["nothing to do"]);
        there.run(&["status", "beta:s", "d"]).expect(0, &[]);
        let doctor = there.run(&["doctor", "beta:d"]);
        assert!(doctor.stdout.contains(&format!("{} of 10", &sessions[12..])), "{doctor:#?}");
        // Whoever replaces an empty dataset looks into it over a session beside the stream's.
        there.bed.world(&[("e", 5, 1)]);
        there.bed.write("on-userspace", "printf 'POSIX User\\t0\\t1\\n'; exit 0\n");
        let ended = there.run(&["push", "--retries", "0", "s/1", "beta:e"]);
        let needs = "a stream that replaces a dataset needs two: raise MaxSessions in its sshd_config to 2";
        let (code, words) = if sessions.ends_with('1') { (1, needs) } else { (0, "1 dataset in sync") };
        ended.expect(code, &[words]);
        assert_eq!(there.bed.read("world").contains("\ne@b\t"), code == 0, "{ended:#?}");
    }
}

#[test]
fn what_compares_and_looks_works() {
    let Some(there) = There::in_sync() else { return };
    there.run(&["verify", "s", "beta:d"]).expect(0, &[]);
    there.run(&["verify", "beta:s", "d"]).expect(0, &[]);
    let status = there.run(&["status", "--json", "s", "beta:d"]);
    assert!(status.expect(0, &[]).stdout.contains("in_sync"), "{status:#?}");
    there.run(&["status", "beta:s", "d"]).expect(0, &[]);
    let doctor = there.run(&["doctor", "--source", "beta:s", "--local", "d"]);
    assert!(doctor.expect(0, &[]).stdout.contains("zfs alone"), "{doctor:#?}");
    assert_eq!(there.bed.changes(), [] as [&str; 0]);
}

#[test]
fn a_copy_is_restored_to_such_a_host() {
    let Some(there) = There::new() else { return };
    there.bed.world(&[("c", 1, 1), ("c@a", 11, 2), ("c/x", 2, 1), ("c/x@a", 12, 2), ("n", 3, 1)]);
    there.run(&["restore", "c", "beta:n/back"]).expect(0, &["n/back is writable and not mounted yet"]);
    let world = there.bed.read("world");
    assert!(world.contains("n/back@a\t11\t") && world.contains("n/back/x@a\t12\t"), "{world}");
    there.run(&["restore", "c", "beta:n/back"]).expect(3, &["n/back already exists"]);
}

#[test]
fn jobs_replicate_to_such_a_host_and_prune_only_here() {
    let Some(there) = There::in_sync() else { return };
    there.run(&["cron", "-s", "1", "s", "beta:d"]).expect(0, &[]);
    let names = |top: &str| there.bed.read("world").lines().filter(|line| line.starts_with(&format!("{top}@"))).count();
    assert_eq!((names("s"), names("d")), (2, 2));
    // What can't be done is refused before a snapshot is taken.
    there.bed.write("calls", "");
    let words = "beta is accessed by plain zfs, without a helper, which rules out everything that destroys";
    there.run(&["cron", "-s", "1", "--prune-targets", "s", "beta:d"]).expect(3, &[words]);
    there.run(&["cron", "-s", "1", "beta:s", "d"]).expect(3, &["taking snapshots of a source on it"]);
    assert_eq!(there.bed.calls(), [] as [&str; 0]);
    let config = there.bed.path("ssh_config");
    let job = format!(
        "[job.a]\nsource = 's'\ntargets = ['beta:d']\nssh.config = '{}'\nssh.helper = 'plain'\nsnapshot.format = '%Y-%m-%d-%H%M%S%6f'\n",
        config.display()
    );
    there.bed.write("z.toml", &job);
    let file = there.bed.path("z.toml");
    there.bed.run(&["run", "--config", file.to_str().unwrap()]).expect(0, &[]);
    assert_eq!((names("s"), names("d")), (3, 3));
}

#[test]
fn a_prune_leaves_such_a_target_alone_and_heeds_it() {
    let Some(there) = There::in_sync() else { return };
    there.bed.world(&[("s@b", 21, 3), ("s@c", 31, 4)]);
    let prune = ["prune", "--keep-last", "1", "--foreign", "--no-recursive"];
    there.run(&[&prune[..], &["s", "beta:d"]].concat()).expect(3, &["everything that destroys (--replace"]);
    assert_eq!(there.bed.changes(), [] as [&str; 0]);
}

/// A forced command that runs zfsync is told at once: it would wait for a request that never comes.
#[test]
fn a_key_that_runs_zfsync_is_told_at_once() {
    let Some(there) = There::in_sync() else { return };
    let key = there.bed.read("key.pub");
    for helper in ["recv --stdio --root d", "send --stdio --root d"] {
        let command = format!("{} {helper}", there.bed.path("there").display());
        there.bed.write("authorized_keys", &format!("restrict,command=\"{command}\" {key}"));
        let began = Instant::now();
        there
            .run(&["push", "s", "beta:d"])
            .expect(3, &["this key's forced command on beta runs zfsync: use a key with a shell"]);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

/// Any other command may be a slow shell: that is told long before it is given up.
#[test]
fn a_key_that_runs_something_else_is_told_soon() {
    let Some(there) = There::in_sync() else { return };
    let key = there.bed.read("key.pub");
    there.bed.write("authorized_keys", &format!("restrict,command=\"exec cat >/dev/null\" {key}"));
    let mut child = there.command(&["push", "s", "beta:d"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let told =
        lines.find(|line| line.contains("beta has not started a shell for 10 s") && line.contains("still waiting"));
    assert!(told.is_some());
    // It goes on until somebody ends it.
    assert_eq!(child.try_wait().unwrap(), None);
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

/// What a hostile source may put behind the END record of each of its streams, which `zfs receive` leaves to whoever reads next: a call
/// without the mark, one with a guess at it, and lines for a shell.
fn forged(ran: &Path) -> [String; 3] {
    let call = |mark: &str| format!("{mark}\nnull 2\n\x1f\ntouch\x1f{}\n", ran.display());
    let line = format!("touch {}\n", ran.display());
    [call(""), call("$k"), format!("\n\nexit;\n{line}'; {line}\" ; {line}")]
}

/// A push of three datasets in one session, each with such an end; nothing of it is run.
#[track_caller]
fn nothing_forged_is_run(there: &There, shells: &str) {
    let ran = there.bed.path("ran");
    there.bed.write("world", "");
    there.bed.world_with_work(3);
    for (place, behind) in (1..).zip(forged(&ran)) {
        there.bed.write(&format!("behind-{place}"), &behind);
    }
    there.bed.write("on-send", "which=${last%%@*}\ntrap 'cat \"$here/behind-${which##*/}\"' EXIT\n");
    let ended = there.run(&["push", "-j", "1", "s", "beta:d"]);
    assert!(!ran.exists(), "{shells}: {ended:#?}");
    ended.expect(0, &["3 datasets in sync (3 updated"]);
}

#[test]
fn what_is_put_behind_a_stream_is_run_by_no_login_shell() {
    let Some(there) = There::new() else { return };
    // It gets there: a receive that goes on reading finds it.
    there.bed.write(
        "on-recv",
        "which=${last%%@*}; behind=$here/behind-${which##*/}\ntrap 'head -c \"$(wc -c <\"$behind\")\" | cmp - \"$behind\" && touch \"$here/came\"' EXIT\n",
    );
    nothing_forged_is_run(&there, "sh");
    assert!(there.bed.path("came").exists());
    fs::remove_file(there.bed.path("on-recv")).unwrap();
    for (shell, _) in installed(&LOGIN_SHELLS) {
        there.shell(shell, "");
        nothing_forged_is_run(&there, shell);
    }
    there.shell("sh", "");
    for (shell, program) in installed(&POSIX_SHELLS) {
        make_sh(&there.bed, &program);
        nothing_forged_is_run(&there, shell);
    }
}

/// Of a fake `zfs`: the first one is killed.
const KILLED_ONCE: &str = "if mkdir \"$here/killed\" 2>/dev/null; then kill -9 $$; fi\n";

#[test]
fn a_receive_that_is_killed_there_is_tried_again() {
    let Some(there) = There::new() else { return };
    there.bed.world_with_work(1);
    there.bed.write("on-recv", KILLED_ONCE);
    there.run(&["push", "s", "beta:d"]).expect(0, &["in sync", "zfs receive was killed by SIGKILL", "retrying"]);
    assert!(there.bed.path("killed").exists());
}

/// Its session is none that ssh has lost: what else is asked over the connection goes on.
#[test]
fn a_send_that_is_killed_there_is_tried_again_over_the_same_connection() {
    let Some(there) = There::new() else { return };
    there
        .bed
        .write("on-send", &format!("{KILLED_ONCE}cat \"$here/records/filesystem-\" \"$here/records/end\"; exit 0\n"));
    for (shell, _) in installed(&LOGIN_SHELLS) {
        there.shell(shell, "");
        there.bed.write("world", "");
        // The snapshot that the fake's streams say they are of.
        there.bed.world(&[("s", 9, 1), ("s@x", 1, 2), ("d", 8, 1)]);
        let connections = there.sshd.connections();
        let ended = there.run(&["pull", "beta:s", "d/new"]);
        ended.expect(0, &["1 dataset in sync (1 updated", "zfs send on beta was killed by SIGKILL", "retrying"]);
        assert_eq!(there.sshd.connections(), connections + 1, "{shell}: {ended:#?}");
        fs::remove_dir(there.bed.path("killed")).unwrap();
    }
}

#[test]
fn sudo_that_finds_no_zfs() {
    if has_zfs() {
        return;
    }
    let Some(there) = There::in_sync() else { return };
    with_sudo(&there, "echo 'sudo: zfs: command not found' >&2; exit 1");
    let push = || there.run(&["push", "--remote-zfs", "sudo -n zfs", "s", "beta:d"]);
    // It looks in directories of its own.
    let whole = format!("--remote-zfs 'sudo -n {}'", there.bed.path("own/zfs").display());
    push().expect(3, &["sudo does not find it there", &whole]).without(&["NOPASSWD"]);
    fs::remove_file(there.bed.path("own/zfs")).unwrap();
    push().expect(3, &["beta has no zfs command"]).without(&["NOPASSWD"]);
    with_sudo(&there, "echo 'The ZFS modules are not loaded.' >&2; exit 1");
    push().expect(3, &["The ZFS modules are not loaded."]).without(&["NOPASSWD"]);
}

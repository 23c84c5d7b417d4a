"""Plain zfs: no helper runs on the other host, only sshd, sh and zfs (row PLAIN; scenarios A, B, C, D)."""

from cases_f_resume import MEGABYTES, big, cut, half, token
from cases_j_faults import FAILING, tries
from cases_u_encryption import encrypted_source, same_files
from harness import case
from hosts import Skipped
from pull import pull_case
from tools import sshd, wrapped_zfs

PLAIN = ("--helper", "plain")


@case("PLAIN")
def plain_whole_tree(c):
    """A tree with blanks in its names and a volume arrives with the same content, in full and as increments, unmounted and read-only; then there is nothing to do."""
    c.tree({"": "s1 s2", " a  b": ["s 1", "-x"], " a  b/its  not": "", "vol": "s1 s2", "x:y": "s1 s2"}, volumes=("vol",))
    c.push(*PLAIN, says=["plain zfs has no lock"])
    c.in_sync()
    c.safe()
    same_files(c, c.source, c.target, "s1")
    same_files(c, c.source, c.target, "s2")
    c.same(c.volume_checksum(c.beta, f"{c.target}/vol@s2"), c.volume_checksum(c.alpha, f"{c.source}/vol@s2"), "the volume's @s2")
    c.snapshot(f"{c.source}@s3", f"{c.source}/x:y@s3")
    c.snapshot(f"{c.source}@s4")
    run = c.push(*PLAIN, "--json")
    c.same({event["dataset"][len(c.source) + 1:]: event["from"] for event in run.of("step_started")}, {"": "@s2", "x:y": "@s2"}, "the steps")
    c.in_sync()
    same_files(c, c.source, c.target, "s4")
    with c.unchanged():
        run = c.push(*PLAIN, "--json")
        c.same((run.of("step_started"), run.finished["updated"]), ([], 0), "what it did")


@case("PLAIN")
def plain_dry_run(c):
    """A dry run says what a run does, and changes nothing."""
    c.tree({"": "s1 s2", "x": "s1"})
    with c.unchanged():
        run = c.push(*PLAIN, "-n")
        c.check("2 datasets to update, 3 snapshots" in run.out, "it says what would be done")


@case("PLAIN")
def plain_resume(c):
    """A receive that was cut is resumed by its token."""
    c.tree({"": "s1"})
    c.push(*PLAIN)
    big(c, "s2", "s3", megabytes=MEGABYTES)
    cut(c, half(c, f"-i @s1 {c.source}@s2", c.target))
    run = c.push(*PLAIN, "--json")
    c.check(any(event["resumed"] for event in run.of("step_started")), "nothing was resumed")
    c.same(token(c), "", "the token")
    c.in_sync()
    same_files(c, c.source, c.target, "s2")
    same_files(c, c.source, c.target, "s3")


@case("PLAIN")
def plain_killed(c):
    """A receive that is killed over there, of which the shell tells there: with enough --retries all arrives; with too few the run fails, and the next one works."""
    c.tree({"": "s1"})
    options = (*PLAIN, "--json", "-j", "1", "--retry-max-wait", "1s")
    there = f"{wrapped_zfs(c, c.beta, FAILING.format(command='recv', times=2))}/zfs"
    run = c.push(*options, "--retries", "2", "--remote-zfs", there)
    c.same(tries(run), [True, True], "which failures were followed by another try")
    c.in_sync()
    c.snapshot(f"{c.source}@s2")
    there = f"{wrapped_zfs(c, c.beta, FAILING.format(command='recv', times=2))}/zfs"
    run = c.push(*options, "--retries", "1", "--remote-zfs", there, status=1)
    c.same(tries(run), [True, False], "which failures were followed by another try")
    c.check("zfs receive was killed by SIGKILL" in run.of("dataset_failed")[0]["error"], f"it isn't said what happened: {run.of('dataset_failed')}")
    c.push(*PLAIN)
    c.in_sync()


@case("PLAIN")
def plain_conflict(c):
    """A target with a newer change is reported and left as it is; what would destroy it is refused, as that needs a helper."""
    c.tree({"": "s1", "x": "s1"})
    c.push(*PLAIN)
    c.beta(f"zfs snapshot {c.target}/x@own")
    c.alpha(f"zfs destroy {c.source}/x@s1; zfs list -H -t bookmark -o name -r {c.source}/x | xargs -n 1 zfs destroy")
    c.snapshot(f"{c.source}/x@s2", f"{c.source}@s2")
    before = c.beta.rows(f"zfs list -Hp -t snapshot -o name,guid -r {c.target}/x")
    run = c.push(*PLAIN, "--json", status=1)
    c.same([event["kind"] for event in run.of("dataset_failed")], ["conflict"], "the kinds of failure")
    c.only("", "x")
    for option in (["--rollback"], ["--set-aside"], ["--replace", f"{c.target}/x"]):
        c.push(*PLAIN, *option, status=3, says=["without a helper", "nothing was changed"])
    c.same(c.beta.rows(f"zfs list -Hp -t snapshot -o name,guid -r {c.target}/x"), before, "the snapshots of the target")


@case("PLAIN")
def plain_encrypted_raw(c):
    """An encrypted dataset arrives raw, in full and as an increment."""
    encrypted_source(c)
    c.push(*PLAIN)
    c.alpha(f"echo more >/{c.source}/more; zfs snapshot {c.source}@s2")
    c.push(*PLAIN)
    c.in_sync()
    c.same(c.beta(f"zfs get -H -o value keystatus {c.target}").strip(), "unavailable", "the key")


@case("PLAIN")
def plain_restore(c):
    """A copy on a host where only zfs runs comes back from it, as it was at a snapshot, too; and one of this machine goes there."""
    c.tree({"": "s1 s2", " a  b": ["s1", "s2"]})
    c.push(*PLAIN)
    back = f"{c.source}-back"
    c.shown.append((c.alpha, back))
    c.zfsync("restore", *PLAIN, f"beta:{c.target}", back)
    c.in_sync(target=back, target_host=c.alpha)
    c.same(c.checksums(c.alpha, f"{back}@s2"), c.checksums(c.alpha, f"{c.source}@s2"), "the files")
    c.zfsync("restore", *PLAIN, f"beta:{c.target}@s1", f"{back}1")
    c.same(c.snaps(c.alpha, f"{back}1"), ["s1"], "the snapshots up to @s1")
    c.zfsync("restore", *PLAIN, back, f"beta:{c.target}-again")
    c.in_sync(target=f"{c.target}-again")
    c.zfsync("verify", *PLAIN, c.source, f"beta:{c.target}")
    c.zfsync("status", *PLAIN, c.source, f"beta:{c.target}")


def through(c, program, rules, line, rule):
    """All that an account does which may call nothing but `zfs`, through `program -n`; without that rule it is told which line lacks."""
    if c.beta.try_run(f"command -v {program}").status:
        raise Skipped(f"beta has no {program}")
    c.cleanups.append((c.beta, f"rm -f {rules}"))
    c.tree({"": "s1 s2", " a  b": ["s 1"]})
    through, target = ("--remote-zfs", f"{program} -n zfs"), f"repl@beta:{c.target}"
    c.beta(f"rm -f {rules}")
    with c.unchanged():
        c.push(*through, target=target, status=3, says=(f"can't run '{program} -n zfs' on repl@beta", line))
    c.beta(f"echo \"{rule}\" >{rules}; chmod 440 {rules}")
    c.push(*through, target=target)
    c.in_sync()
    c.safe()
    big(c, "s3", "s4", megabytes=MEGABYTES)
    cut(c, half(c, f"-i @s2 {c.source}@s3", c.target))
    run = c.push(*through, "--json", target=target)
    c.check(any(event["resumed"] for event in run.of("step_started")), "nothing was resumed")
    c.same(token(c), "", "the token")
    c.in_sync()
    for snapshot in ("s1", "s2", "s3", "s4"):
        same_files(c, c.source, c.target, snapshot)
    with c.unchanged():
        c.push(*through, target=target)
    back = f"{c.source}-back"
    c.shown.append((c.alpha, back))
    c.zfsync("pull", *through, target, back)
    c.in_sync(target=back, target_host=c.alpha)
    c.same(c.checksums(c.alpha, f"{back}@s4"), c.checksums(c.alpha, f"{c.source}@s4"), "the files that were pulled")


@case("PLAIN")
def plain_sudo(c):
    """An account that may do nothing with ZFS but call `sudo -n zfs` is pushed to, also after a cut, and pulled from; without NOPASSWD the line that lacks is told, and nothing changes."""
    through(c, "sudo", f"/etc/sudoers.d/{c.name}", "NOPASSWD: ", "repl ALL=(root) NOPASSWD: $(command -v zfs)")


@case("PLAIN", alone=True)
def plain_doas(c):
    """The same with doas."""
    through(c, "doas", "/etc/doas.conf", "permit nopass repl as root cmd ", "permit nopass repl as root cmd zfs")


@pull_case("PLAIN")
def plain_source(c):
    """A pull from a host where only zfs runs: in full, then increments from bookmarks, then nothing to do."""
    c.tree({"": "s1 s2", " a  b": ["s 1"]})
    c.pull(*PLAIN)
    c.in_sync()
    c.safe()
    c.far(f"zfs destroy {c.source}@s2; echo new >/{c.source}/new; zfs snapshot {c.source}@s3")
    run = c.pull(*PLAIN, "--json")
    c.check([event["from"].startswith("#") for event in run.of("step_started")] == [True], "it began at a bookmark")
    c.same(c.checksums(c.near, f"{c.target}@s3"), c.checksums(c.far, f"{c.source}@s3"), "the files")
    with c.unchanged():
        c.pull(*PLAIN)


@case("PLAIN", alone=True)
def plain_max_sessions(c):
    """A server that allows one session, then three, on a connection: -j 4 succeeds at the first try of each stream, and says how many streams there are."""
    c.tree({f"d{i}" if i else "": "s1" for i in range(7)})
    for sessions, streams in ((1, "1 stream"), (3, "2 streams")):
        with sshd(c, f"MaxSessions={sessions}") as server:
            c.push(*PLAIN, "-j", "4", "--retries", "0", *server.args, says=[f"no more than {streams} at a time"])
        c.in_sync()
        c.snapshot(*(f"{c.source}{f'/d{i}' if i else ''}@with-{sessions}" for i in range(7)))
    c.push(*PLAIN)
    c.in_sync()

"""What is counted, killed or throttled: processes, sessions, signals, locks, servers that refuse (rows I13, I28, J05, J07)."""

import functools
import os
import re
import signal

from harness import MARK, case
from hosts import ALPHA, BETA
from tools import helper, log_zfs, sshd, watched_helper

BIG = "bigsrc", "bigdst"


@functools.cache
def big_pools():
    """The same pool twice, under another name on beta: everything is in sync, though nothing was ever sent.

    one: 1 dataset; many: 300 with a snapshot each; deep: 8 unmounted ones with 30 snapshots each.
    """
    place = "/var/tmp/zfsync-suite/big"
    source, target = BIG
    for host in (ALPHA, BETA):
        host(f"mkdir -p {place}; chmod 700 {place}")
    many = ["many"] + [f"many/d{number:03}" for number in range(299)]
    deep = ["deep"] + [f"deep/d{number}" for number in range(7)]
    create = "\n".join(f"{source}/{name}" for name in ["one", *many, *deep])
    rounds = ["\t".join(f"{source}/{name}@a" for name in ["one", *many])]
    rounds += ["\t".join(f"{source}/{name}@snap-{number:03}" for name in deep) for number in range(30)]
    lzc = "python3 /root/suite/lzc.py"
    ALPHA(f"""
        truncate -s 512M {place}/pool; zpool create -o cachefile=none -O mountpoint=/{source} {source} {place}/pool
        {lzc} create <<'END'\n{create}\nEND
        {lzc} snapshots <<'END'\n{chr(10).join(rounds)}\nEND
        # Nothing is mounted, so nothing writes while the file is copied; an export and import would take as long as all this.
        zpool sync {source}; zpool sync {source}
        tar -C {place} -Scf - pool | ssh beta tar -C {place} -Sxf -
        zfs mount -a""", timeout=400)
    BETA(f"zpool import -f -N -o cachefile=none -d {place} {source} {target}", timeout=300)
    return BIG


def executed(trace):
    """The programs that were started, by strace's log: an execve can be told in two lines."""
    names, under_way = [], {}
    for line in trace.split("\n"):
        pid = line.split(" ", 1)[0]
        if found := re.search(r'execve\("([^"]*)"', line):
            under_way[pid] = os.path.basename(found[1])
        if "execve" in line and line.endswith(" = 0"):
            names.append(under_way.pop(pid))
    return sorted(names)


def count_processes(c, server, tree):
    """Runs a push that has nothing to do: programs started here, zfs commands there, connections and sessions."""
    source, target = (f"{pool}/{tree}" for pool in big_pools())
    # What was put there by hand has no bookmarks yet: the first run makes them, some hundreds at a time.
    c.push(*server.args, source=source, target=f"beta:{target}")
    helper_path, remote_log = watched_helper(c)
    c.beta(f": >{remote_log}; : >{server.log}")
    trace = f"/var/tmp/zfsync-suite/{c.name}/trace"
    c.alpha(f"mkdir -p {trace.rsplit('/', 1)[0]}; rm -f {trace}")
    # A directory of its own for sockets: no connection of an earlier run may help.
    sockets = f"/tmp/zs-{tree}"
    c.alpha(f"rm -rf {sockets}; mkdir -m 700 {sockets}")
    command = ["zfsync", "push", "--json", *server.args, "--remote-zfsync", helper_path, source, f"beta:{target}"]
    argv = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve", "-e", "signal=none", "-s", "200", "-o", trace, *command]
    run = c.push(argv=argv, env={"XDG_RUNTIME_DIR": sockets})
    c.same((run.finished["updated"], run.of("step_started")), (0, []), "what it did")
    started = executed(c.alpha(f"cat {trace}"))
    return {
        "programs here": started, "zfs there": c.beta.lines(f"sed 's/ .*//' {remote_log} | sort"),
        "connections": server.count("Connection from"), "sessions": server.count("Starting session"),
    }, run


@case("I13", "J15", alone=True)
def nothing_to_do_costs_nothing(c):
    """With 1 and with 300 datasets in sync, a run starts the same number of processes and ssh sessions on both hosts."""
    with sshd(c) as server:
        one, _ = count_processes(c, server, "one")
        many, run = count_processes(c, server, "many")
    c.same(run.finished["in_sync"], 300, "the datasets in sync")
    c.same(many, one, "with 300 datasets (expected: as with 1)")
    c.check(one["connections"] == 1 and one["sessions"] <= 2, f"connections and sessions: {one}")
    c.check(len(one["programs here"]) <= 8 and 1 <= len(one["zfs there"]) <= 4, f"processes: {one}")


@case("I13", alone=True)
def one_change_among_many(c):
    """Among 300 datasets one has a new snapshot: one step, and the target is asked, not listed."""
    source, target = big_pools()
    c.alpha(f"zfs snapshot {source}/many/d123@b")
    helper_path, log = watched_helper(c)
    run = c.push("--json", "--remote-zfsync", helper_path, source=f"{source}/many", target=f"beta:{target}/many")
    c.same([event["dataset"] for event in run.of("step_done")], [f"{source}/many/d123"], "the steps")
    c.in_sync(f"{source}/many", f"{target}/many")
    commands = c.beta.lines(f"cat {log}")
    c.check(len(commands) <= 10, f"zfs commands there: {commands}")


FAST = {"name", "guid", "createtxg", "numclones", "inconsistent", "redacted", "origin"}


@case("I28", alone=True)
def fast_columns_alone(c):
    """With 8 x 30 snapshots on an unmounted target: whatever lists snapshots asks for the fast columns alone."""
    source, target = big_pools()
    helper_path, remote_log = watched_helper(c)
    here = f"/var/tmp/zfsync-suite/{c.name}"
    log_zfs(c, c.alpha, f"{here}/bin", f"{here}/zfs.log")
    run = c.push("--json", "--remote-zfsync", helper_path, source=f"{source}/deep", target=f"beta:{target}/deep",
                 env={"PATH": f"{here}/bin:{os.environ['PATH']}"})
    c.same(run.finished["in_sync"], 8, "the datasets in sync")
    local, remote = c.alpha.lines(f"cat {here}/zfs.log"), c.beta.lines(f"cat {remote_log}")
    c.check(local and remote, f"zfs was not watched: {local} {remote}")
    listings = 0
    for command in local + remote:
        words = command.split()
        if words[0] == "list" and ("snapshot" in command or "all" in command or "@" in command):
            listings += 1
            columns = {name for flag in ("-o", "-s") for at, word in enumerate(words) if word == flag for name in words[at + 1].split(",")}
            c.check(columns and columns <= FAST, f"not only fast columns: zfs {command}")
        c.check(words[0] != "get" or "snapshot" not in command, f"properties of snapshots were asked for: zfs {command}")
    c.check(listings, f"no listing of snapshots: {local} {remote}")


@case("NET", "I07", alone=True)
def max_sessions(c):
    """A server that allows one session, then two, on a connection: -j 4 succeeds all the same."""
    c.tree({f"d{i}" if i else "": "s1" for i in range(7)})
    for sessions in (1, 2):
        with sshd(c, f"MaxSessions={sessions}") as server:
            c.push("-j", "4", *server.args)
        c.in_sync()
        c.alpha(f"zfs snapshot -r {c.source}@with-{sessions}")
    c.push()
    c.in_sync()


@case("NET", "I07", machine=True)
def max_startups(c):
    """A server that turns connections away while others log in: -j 4 over 4 connections succeeds all the same."""
    c.tree({f"d{i}" if i else "": "s1" for i in range(7)})
    with sshd(c, "MaxStartups=1:100:1") as server:
        c.push("-j", "4", "--connections", "4", *server.args)
    c.in_sync()


@case("I07", alone=True)
def runs_side_by_side(c):
    """Four runs to one host at the same second: no collision of sockets or locks."""
    for number in range(4):
        c.tree({"": "s1"}, root=f"{c.source}{number}")
    runs = [c.start(source=f"{c.source}{number}", target=f"beta:{c.target}{number}") for number in range(4)]
    for number, run in enumerate(runs):
        c.same(run.end(120).status, 0, f"the exit status of run {number}\n{run.run}")
        c.in_sync(f"{c.source}{number}", f"{c.target}{number}")


def big_source(c, megabytes=48):
    """A source whose transfer takes some seconds."""
    c.tree({"": "", "kid": "k1"})
    c.alpha(f"head -c {megabytes}M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s1")


def goes_on(c, **options):
    """The next run ends the work."""
    c.push(**options)
    c.in_sync()


def interrupted(c, number, status):
    """A signal in the middle of a transfer: the exit status, no process left, nothing harmed, and the next run ends the work."""
    big_source(c)
    program = helper(c)
    running = c.start("--json", "--remote-zfsync", program)
    running.wait_for('"event":"progress"')
    running.signal(number)
    run = running.end(30)
    c.same(run.status, status, "the exit status")
    c.check(len(run.of("step_done")) < 2, "it had ended before the signal")
    c.no_process_left()
    goes_on(c)


@case("INT", machine=True)
def sigint(c):
    """Ctrl-C in the middle of a transfer ends with 130."""
    interrupted(c, signal.SIGINT, 130)


@case("INT", machine=True)
def sigterm(c):
    """SIGTERM in the middle of a transfer ends with 143."""
    interrupted(c, signal.SIGTERM, 143)


@case("INT", machine=True)
def sigint_while_connecting(c):
    """Ctrl-C while the helper hasn't answered yet."""
    c.tree({"": "s1"})
    started = f"/var/tmp/zfsync-suite/{c.name}/started"
    with c.unchanged():
        running = c.start("--remote-zfsync", helper(c, f"touch {started}", "exec cat >/dev/null"))
        c.beta.wait_for("the helper was started", f"test -e {started}")
        running.signal(signal.SIGINT)
        c.same(running.end(20).status, 130, "the exit status")
        c.no_process_left()


@case("INT", machine=True)
def killed(c):
    """SIGKILL in the middle of a transfer: the other side ends by itself, and the next run ends the work."""
    big_source(c)
    running = c.start("--json", "--remote-zfsync", helper(c))
    running.wait_for('"event":"progress"')
    running.signal(signal.SIGKILL)
    running.end(30)
    c.no_process_left(c.beta, seconds=30)
    goes_on(c)


@case("J05", machine=True)
def lock(c):
    """While one run works on a target tree, a second ends with 4; other trees are free, and a killed run leaves no lock."""
    c.tree({"": "s1"})
    go, started = (f"/var/tmp/zfsync-suite/{c.name}/{name}" for name in ("go", "started"))
    c.beta(f"rm -f {go} {started}")
    slow = helper(c, f"touch {started}; until test -e {go}; do sleep 0.1; done")
    first = c.start("--remote-zfsync", slow)
    c.beta.wait_for("the first run's helper was started", f"test -e {started}")
    c.push(status=4, says=("another", c.target))
    c.push(target=f"beta:{c.target}-other")
    c.beta(f"touch {go}")
    c.same(first.end(60).status, 0, "the first run's exit status")
    c.in_sync()
    c.push()
    c.beta(f"rm -f {go} {started}")
    second = c.start("--remote-zfsync", slow)
    c.beta.wait_for("the second run's helper was started", f"test -e {started}")
    second.signal(signal.SIGKILL)
    second.end(10)
    c.push()
    c.beta(f"touch {go}")


def masters(c):
    """The process ids of ssh masters on alpha that this case's runs have started."""
    return c.alpha(f"""for dir in $(grep -lsa '{MARK}={c.name}' /proc/[0-9]*/environ | sed 's,/environ$,,'); do
        case $(tr '\\0' ' ' <$dir/cmdline) in ssh*) echo ${{dir#/proc/}} ;; esac; done""").split()


@case("J07", machine=True)
def master_killed(c):
    """The ssh master dies in the middle: the run ends, and the next one works, whatever is left in the control directory."""
    big_source(c)
    sockets = f"/tmp/zs-{c.name[:6]}"
    env = {"XDG_RUNTIME_DIR": sockets}
    c.alpha(f"rm -rf {sockets}; mkdir -m 700 {sockets}")
    running = c.start("--json", "--remote-zfsync", helper(c), env=env)
    running.wait_for('"event":"progress"')
    pids = masters(c)
    c.check(pids, "no ssh process was found")
    c.alpha(f"kill -9 {' '.join(pids)}")
    run = running.end(60)
    c.same(run.status, 0, "the exit status")
    goes_on(c, env=env)
    # Sockets of masters that are gone, plain files and rubbish in their place.
    c.alpha(f"""cd {sockets}; mkdir -p zfsync/left; echo x >zfsync/left/master; echo x >zfsync/file
        find . -type s | while read -r socket; do rm -f "$socket"; echo x >"$socket"; done""")
    c.snapshot(f"{c.source}@s2")
    c.push(env=env)
    c.in_sync()

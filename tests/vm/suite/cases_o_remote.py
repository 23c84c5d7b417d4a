"""Both ends over there: from one host to another through this one, which has neither of the datasets (row REMOTE)."""

import signal

from cases_f_resume import ends_well
from cases_h_bookmarks import guid, own
from cases_h_targets import noted
from cases_j_faults import remaining
from cases_o_pull import same_content
from cases_u_encryption import PHRASE, encrypted_source, same_files
from harness import MARK, case
from hosts import Skipped
from tools import Gate, permit_key, pids, sshd


def remote(c, *args, source=None, target=None, command="push", **options):
    """From alpha to beta, both reached by ssh."""
    argv = ["zfsync", command, *args, f"alpha:{source or c.source}", f"beta:{target or c.target}"]
    return c.push(argv=argv, **options)


def gate_over_there(c):
    """A gate in front of the receiver. The source's host has a program of the same name, as both are started by it."""
    gate = Gate(c, 1 << 20)
    c.script(c.alpha, "gated", f'#!/bin/sh\nexport {MARK}={c.name}\nexec zfsync "$@"')
    return gate


@case("REMOTE")
def whole_tree(c):
    """A tree with a volume and odd names goes from one host to the other; increments; then there is nothing to do. Bookmarks are on the source's host."""
    c.tree({"": "s1 s2", " a  b": "s1", "vol": "s1", "none": ""}, volumes=("vol",))
    c.far, c.near = c.alpha, c.beta
    c.alpha(f"head -c 300000 /dev/urandom >'/{c.source}/Grüße'; zfs snapshot {c.source}@s3")
    with c.unchanged():
        remote(c, "-n")
    remote(c)
    c.in_sync()
    c.safe()
    same_content(c, c.source, c.target, "s1", "s3")
    c.same(c.volume_checksum(c.beta, f"{c.target}/vol@s1"), c.volume_checksum(c.alpha, f"{c.source}/vol@s1"), "the volume")
    c.same((list(own(c).values()), len(noted(c))), ([guid(c, f"{c.source}@s3")], 1), "bookmarks and notes")
    c.same(c.beta(f"zfs list -H -t bookmark -r {c.target}"), "", "bookmarks on the target")
    c.snapshot(f"{c.source}@s4", f"{c.source}@s5", f"{c.source}/ a  b@s2")
    c.alpha(f"zfs destroy {c.source}@s3")
    remote(c, command="pull")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3", "s4", "s5"], "the target's snapshots")
    same_content(c, c.source, c.target, "s5")
    with c.unchanged():
        run = remote(c, "--json")
        c.same(run.of("step_started"), [], "steps")
    # It is the same target as that of a push and of a pull.
    c.snapshot(f"{c.source}@s6")
    c.push()
    c.same((len(own(c)), len(noted(c))), (1, 1), "bookmarks and notes of a single target")
    c.beta(f"zfsync pull alpha:{c.source} {c.target}")
    c.same((len(own(c)), len(noted(c))), (1, 1), "bookmarks and notes of a single target")


@case("REMOTE")
def within_one_host(c):
    """From one pool of a host to another of the same, both named by ssh, and beside each other in one pool."""
    c.tree({"": "s1", "kid": "s1"}, root=c.target, host=c.beta)
    c.push(argv=["zfsync", "push", f"beta:{c.target}", f"beta6:{c.target}-copy"])
    c.same(c.versions(c.beta, f"{c.target}-copy"), c.versions(c.beta, c.target), "the copy")
    c.push(argv=["zfsync", "push", f"beta:{c.target}", f"beta:{c.target}/kid/x"], status=2, says="overlap")


@case("REMOTE", "BAD")
def options_for_two_hosts(c):
    """-p and -i with two remote ends are refused; -F serves both, with ports, names and keys of their own; so does -o."""
    c.tree({"": "s1"})
    key = f"/var/tmp/zfsync-suite/{c.name}/key"
    c.alpha(f"mkdir -p $(dirname {key}); rm -f {key}*; ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {key}")
    permit_key(c, c.alpha, c.alpha(f"cat {key}.pub"))
    with c.unchanged():
        remote(c, "-p", "22", status=2, says=("-p", "ssh_config"))
        remote(c, "-i", key, status=2, says=("-i", "ssh_config"))
    with sshd(c) as server:
        config = c.script(c.alpha, "config", f"Host one\n  HostName alpha\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
                                             f"Host two\n  HostName beta\n  HostKeyAlias beta\n  Port {server.port}\n")
        c.push(argv=["zfsync", "push", "-F", config, "-o", "ServerAliveInterval=10", f"one:{c.source}", f"two:{c.target}"])
        c.check(server.count("Connection from") >= 1, "the port of -F was not used")
    c.in_sync()


@case("REMOTE", "BAD")
def errors_name_the_host(c):
    """Which of two hosts can't be reached, has no such dataset or pool, is said; nothing changes."""
    c.tree({"": "s1"})
    with c.unchanged():
        c.push(argv=["zfsync", "push", f"alpha:{c.source}", f"nosuchhost.invalid:{c.target}"], status=3, says="nosuchhost.invalid")
        c.push(argv=["zfsync", "push", f"nosuchhost.invalid:{c.source}", f"beta:{c.target}"], status=3, says="nosuchhost.invalid")
        remote(c, source=f"{c.source}/nosuch", status=3, says=("does not exist", "alpha"))
        remote(c, target="nopool/x", status=3, says=("nopool", "beta"))


@case("REMOTE", "C01")
def conflicts(c):
    """A diverged target over there is a conflict with its ways out; --rollback, --set-aside, --replace do as they say; what only the target has goes by --delete-missing."""
    c.tree({"": "s1", "kid": "s1", "gone": "s1"})
    remote(c)
    own_data = f"zfs set readonly=off {c.target}/kid; zfs mount {c.target}/kid; echo x >/{c.target}/kid/x; zfs snapshot {c.target}/kid@own; zfs unmount {c.target}/kid"
    for flags in (("--rollback",), ("--replace", f"{c.target}/kid"), ("--set-aside",)):
        c.beta(own_data)
        c.snapshot(f"{c.source}/kid@{flags[0].strip('-')}")
        with c.unchanged():
            remote(c, status=1, says=("has diverged", "--rollback, which loses @own", "--set-aside", f"--replace '{c.target}/kid'"))
            remote(c, "-n", *flags)
        remote(c, *flags)
        aside = {path for path in c.versions(c.beta, c.target) if ".zfsync-" in path}
        c.same(len(aside), 1 if flags[0] == "--set-aside" else 0, "what was set aside")
        c.in_sync(extra=aside)
    c.alpha(f"zfs destroy -r {c.source}/gone")
    remote(c, "--delete-missing", "datasets", "--grace", "0")
    c.check(not c.exists(c.beta, f"{c.target}/gone"), "what the source has no more is still there")


@case("REMOTE", "INT", "D01", long=True)
def interrupted(c):
    """A signal in the middle, a killed sender's helper, a killed receiver's: nothing is left on either host; the same run or the next one resumes."""
    c.tree({"": ""})
    c.far, c.near = c.alpha, c.beta
    c.alpha(f"head -c 24M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s1")
    gate = gate_over_there(c)

    def quiet():
        for host in (c.alpha, c.beta):
            host.wait_for("nothing is left", remaining(c), 100)

    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        gate.shut()
        running = c.start(argv=["zfsync", "push", "--json", *gate.args, f"alpha:{c.source}", f"beta:{c.target}"])
        gate.reached()
        running.signal(number)
        c.same(running.end(30).status, status, f"the exit status after signal {number}")
        gate.open()
        quiet()
    gate.shut()
    for host, words in ((c.alpha, "zfsync send"), (c.beta, "zfsync recv")):
        gate.shut()
        running = c.start(argv=["zfsync", "push", "--json", "--retry-max-wait", "1s", *gate.args, f"alpha:{c.source}", f"beta:{c.target}"])
        gate.reached()
        host(f"kill -9 {' '.join(pids(c, host, words))}")
        gate.open()
        run = running.end(150)
        c.same(run.status, 0, f"the exit status after {words} was killed")
        ends_well(c, run)
        c.alpha(f"head -c 4M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@after-{host.name}")
    quiet()


@case("REMOTE", "J05")
def lock(c):
    """The target's tree is locked on its own host, whoever fills it: exit 4 for a push, a pull over there, and another through this machine."""
    c.tree({"": ""})
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s1")
    gate = gate_over_there(c)
    running = c.start(argv=["zfsync", "push", *gate.args, f"alpha:{c.source}", f"beta:{c.target}"])
    gate.reached()
    remote(c, status=4, says=("another", "run", c.target))
    c.push(status=4, says=("another", "run", c.target))
    c.push(argv=["ssh", "beta", f"zfsync pull alpha:{c.source} {c.target}"], status=4, says=("another", "run", c.target))
    gate.open()
    c.same(running.end(100).status, 0, "the exit status of the first")
    c.in_sync()


@case("REMOTE", "E07")
def encrypted(c):
    """An encrypted tree goes raw through this machine: no key is anywhere but at the source; --decrypt needs it there."""
    encrypted_source(c)
    remote(c)
    c.in_sync()
    c.same(c.properties(c.beta, c.target, "keystatus")["", "keystatus"][0], "unavailable", "the copy's key")
    c.snapshot(f"{c.source}@s2")
    remote(c)
    c.beta(f"printf %s '{PHRASE}' | zfs load-key -L prompt {c.target}")
    same_files(c, c.source, c.target, "s2")
    remote(c, "--decrypt", target=f"{c.target}-open")
    same_files(c, c.source, f"{c.target}-open", "s2")
    c.alpha(f"zfs snapshot {c.source}@s3; zfs unmount {c.source}; zfs unload-key {c.source}")
    remote(c, "--decrypt", target=f"{c.target}-open", status=1, says=("key", "alpha"))


@case("REMOTE", "STATUS", "BACK")
def status_verify_restore(c):
    """status, verify and restore with both ends over there."""
    c.tree({"": "s1", "kid": "s1"})
    remote(c)
    ends = (f"alpha:{c.source}", f"beta:{c.target}")
    c.zfsync("status", *ends)
    run = c.zfsync("verify", "--content", "--json", *ends)
    c.same({(line["state"], line["content"]) for line in run.events}, {("same", "same")}, "what is compared")
    c.snapshot(f"{c.source}/kid@s2")
    run = c.zfsync("status", "--warn", "0", *ends, status=1)
    c.check(run.out.startswith("WARNING - 1 behind"), f"the first line: {run.out}")
    c.zfsync("restore", f"beta:{c.target}", f"alpha:{c.source}-back")
    c.same(c.versions(c.alpha, f"{c.source}-back"), c.versions(c.beta, c.target), "what has come back")


@case("REMOTE")
def from_a_third_host(c):
    """Driven from gamma, which has none of it and no zfsync between: with `--gamma` alone."""
    if c.alpha.try_run("getent hosts gamma && ssh -o ConnectTimeout=5 gamma true").status != 0:
        raise Skipped("there is no gamma: tests/vm/suite/run --gamma")
    c.tree({"": "s1 s2", "kid": "s1"})
    for command in ("push", "pull"):
        c.push(argv=["ssh", "gamma", f"zfsync {command} alpha:{c.source} beta:{c.target}"])
        c.in_sync()
        c.snapshot(f"{c.source}@{command}")
    c.push(argv=["ssh", "gamma", f"zfsync status alpha:{c.source} beta:{c.target}"], status=0)
    c.same(c.alpha(f"ssh gamma zfs list -H -t all -o name | grep {c.name} || true"), "", "what is left on gamma")

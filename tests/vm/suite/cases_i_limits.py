"""Who may do what, and when: locks of two senders, users who aren't root (rows J05, J14, I24, Z05)."""

import signal

from harness import case
from tools import helper


def held_up(c, name):
    """A helper whose `zfs recv` waits for a file, and the files that say that it waits, and may go on."""
    place = f"/var/tmp/zfsync-suite/{c.name}/{name}"
    go, waits = f"{place}/go", f"{place}/waits"
    c.beta(f"""mkdir -p {place}; rm -f {go} {waits}; ln -sf /usr/sbin/zpool {place}/zpool
        cat >{place}/zfs <<'END'
#!/bin/sh
if [ "$1" = recv ]; then touch {waits}; until test -e {go}; do sleep 0.1; done; fi
exec /usr/sbin/zfs "$@"
END
        chmod 755 {place}/zfs""")
    return helper(c, f"PATH={place}:$PATH; export PATH", name=f"{name}-helper"), go, waits


@case("J05", "Z05")
def two_senders(c):
    """While a sender works on a tree, another host gets 4 and is told who it is, above it and below it too; --wait-lock waits;
    a killed sender leaves no lock."""
    c.tree({"": "s1"})
    own = f"{c.target}-source"
    c.shown.append((c.beta, own))
    c.beta(f"zfs create {c.target}; zfs create {own}; zfs snapshot {own}@s1; zfs create {c.target}/b")
    slow, go, waits = held_up(c, "slow")
    first = c.start("--remote-zfsync", slow, target=f"beta:{c.target}/a")
    c.beta.wait_for("the first run receives", f"test -e {waits}")
    for target in (f"{c.target}/a", f"{c.target}/a/below", c.target):
        second = c.beta.try_run(f"zfsync push {own} {target}")
        c.same(second.status, 4, f"the exit status of a run into {target}")
        c.check("on alpha, process" in second.err and c.source in second.err, f"it is not said who has it: {second.err}")
    c.beta(f"zfsync push {own} {c.target}/b/beside")
    patient = c.beta.try_run(f"(code=0; zfsync push --wait-lock 60s {own} {c.target}/a >{go}.log 2>&1 || code=$?;"
                             f" echo $code >{go}.status) </dev/null >/dev/null 2>&1 &")
    c.same(patient.status, 0, "starting a patient one")
    c.beta(f"touch {go}")
    c.same(first.end(60).status, 0, "the first run's exit status")
    c.beta.wait_for("the patient one ends", f"test -s {go}.status", 60)
    # It was let in; that the target is another's is its own affair.
    c.same(c.beta(f"cat {go}.status"), "1", "the patient one's exit status")
    c.check("no common snapshot" in c.beta(f"cat {go}.log"), "what the patient one says")

    slow, go, waits = held_up(c, "again")
    killed = c.start("--remote-zfsync", slow, target=f"beta:{c.target}/k")
    c.beta.wait_for("the run receives", f"test -e {waits}")
    killed.signal(signal.SIGKILL)
    killed.end(10)
    c.beta(f"touch {go}")
    c.push("--wait-lock", "60s", target=f"beta:{c.target}/k")
    c.in_sync(target=f"{c.target}/k")


@case("I24", versions=True)
def least_permissions(c):
    """Not root on either side, with what the README names: first full, increment, bookmarks, asleep; what is missing is named."""
    c.tree({"": "s1", "a": "s1"})
    c.beta(f"zfs create -o canmount=off {c.target}; zfs allow repl receive,create,mount,canmount,readonly,volmode,userprop {c.target}")
    c.alpha(f"zfs allow repl send,hold,bookmark,destroy,mount,userprop {c.source}")
    c.cleanups.append((c.alpha, f"zfs unallow repl {c.source}"))
    target = f"{c.target}/t"
    argv = ["su", "repl", "-c", f"zfsync push {c.source} repl@beta:{target}"]
    run = c.push(argv=argv)
    c.in_sync(target=target)
    c.safe(target=target)
    c.snapshot(f"{c.source}@s2", f"{c.source}/a@s2")
    run = c.push(argv=argv)
    c.in_sync(target=target)
    c.check("zfs allow" not in run.err, "something was still missing")
    c.same(len(c.alpha.lines(f"zfs list -H -r -t bookmark -o name {c.source}")), 2, "bookmarks")
    c.snapshot(f"{c.source}@s3")
    c.beta(f"zfs unallow repl receive {c.target}")
    c.push(argv=argv, status=1, says=("permission denied", "zfs allow repl receive,create,mount", target))
    c.beta(f"zfs allow repl receive {c.target}")
    c.alpha(f"zfs unallow repl send {c.source}")
    c.push(argv=argv, status=1, says=("permission denied", f"zfs allow repl send,hold,bookmark,destroy,mount,userprop '{c.source}'"))
    c.alpha(f"zfs allow repl send {c.source}")
    c.push(argv=argv)
    c.in_sync(target=target)


@case("J14")
def delegation_off(c):
    """delegation=off on the target's pool: refused for a user, with zfs's words; nothing is created."""
    source, target = c.file_pools()
    c.alpha(f"zfs snapshot {source}@s1")
    c.beta(f"zfs allow repl receive,create,mount,canmount,readonly {target}; zpool set delegation=off {target}")
    c.push(source=source, target=f"repl@beta:{target}/t", status=1, says=("delegated administration is disabled", f"zpool set delegation=on '{target}'"))
    c.check(not c.exists(c.beta, f"{target}/t"), "something was created")

"""zfsync's own bookmarks on the source (rows B05, B07, B10, B13, B14, I08, I10, R05, R06)."""

import re
import signal

from harness import case, q
from tools import helper, pids


def marks(c, dataset=None):
    """{name: guid} of a source dataset's bookmarks."""
    rows = c.alpha.rows(f"zfs list -Hp -d 1 -t bookmark -o name,guid {q(dataset or c.source)}")
    return {name.partition("#")[2]: guid for name, guid in rows if name}


def own(c, dataset=None):
    """Those of ours."""
    return {name: guid for name, guid in marks(c, dataset).items() if re.match(r"zfsync-[0-9a-f]{8}-", name)}


def guid(c, snapshot, host=None):
    """A snapshot's guid."""
    return (host or c.alpha)(f"zfs get -Hp -o value guid {q(snapshot)}")


def tag(c):
    """The tag of this case's target, read from the only bookmark of ours."""
    return next(iter(own(c)))[len("zfsync-"):][:8]


@case("B07", "B11", "I10", "I08")
def chain_holds(c):
    """All source snapshots are destroyed after each run, volumes' too: the chain holds; one bookmark a dataset; no hold anywhere."""
    c.tree({"": "s1", "a b": "s1", "v": "s1"}, volumes={"v"})
    with c.unchanged():
        c.push("-n")
    for number in range(2, 5):
        c.push()
        for path in ("", "/a b", "/v"):
            c.same(list(own(c, c.source + path).values()), [guid(c, f"{c.source}{path}@s{number - 1}")], f"the bookmarks of {path!r}")
        # The target is away for longer than the source keeps its snapshots.
        c.alpha(f"zfs snapshot -r {c.source}@between; echo {number} >/{c.source}/f{number}; zfs snapshot -r {c.source}@s{number}")
        c.alpha(f"for s in $(zfs list -H -d 1 -t snapshot -o name {c.source} | grep -v @s{number}); do zfs destroy -r $s; done")
    run = c.push("--json")
    c.same({event["from"][:8] for event in run.of("step_started")}, {"#zfsync-"}, "what the last increments start from")
    for path in ("", "/a b", "/v"):
        c.same(c.snaps(c.beta, c.target + path), ["s1", "s2", "s3", "s4"], f"the target's snapshots of {path!r}")
    for host, root in ((c.alpha, c.source), (c.beta, c.target)):
        c.same(host(f"zfs list -Hp -r -t snapshot -o userrefs {root} | sort -u"), "0", f"holds on {host.name}")
    with c.unchanged():
        c.push()


@case("B05", "B14", versions=True)
def names_and_strangers(c):
    """Foreign bookmarks, also under our names, are left alone: the guid makes ours unique; two targets have one each, stale ones go."""
    c.tree({"": "s1"})
    c.push()
    mine = tag(c)
    other = f"beta:{c.target}-two"
    c.shown.append((c.beta, f"{c.target}-two"))
    c.push(target=other)
    c.same(len(own(c)), 2, "bookmarks of ours for two targets")
    # A stranger has the name that the next one wants; stale ones of this target and of one that is no more are there too.
    c.alpha(f"""zfs snapshot {c.source}@x; zfs bookmark {c.source}@x {c.source}#user; zfs bookmark {c.source}@x {c.source}#zfsync-{mine}-s2
        zfs bookmark {c.source}@s1 {c.source}#zfsync-{mine}-old; zfs bookmark {c.source}@s1 {c.source}#zfsync-00000000-s1; zfs destroy {c.source}@x""")
    c.snapshot(f"{c.source}@s2")
    others = {name: mark for name, mark in own(c).items() if mine not in name}
    c.same(len(others), 2, "bookmarks for other targets")
    c.push()
    c.same({name: mark for name, mark in own(c).items() if mine not in name}, others, "other targets' bookmarks")
    s2, names = guid(c, f"{c.source}@s2"), marks(c)
    c.same(names.get(f"zfsync-{mine}-s2-{int(s2):016x}"), s2, "the bookmark with the guid in its name")
    left = sorted(name for name in names if mine in name)
    c.same(left, [f"zfsync-{mine}-s2-{int(s2):016x}"], "this target's bookmarks; what bears our name is ours")
    c.check({"user", "zfsync-00000000-s1"} <= set(names), f"others' bookmarks are gone: {sorted(names)}")
    c.push(target=other)
    c.same(c.snaps(c.beta, f"{c.target}-two"), ["s1", "s2"], "the second target's snapshots")


@case("B10", "B13", machine=True)
def killed_before_the_end(c):
    """The sender is killed before it hears of a receive's end; of what the target has only that run's bookmark is left here: the base of the next run, which replaces it."""
    c.tree({"": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2")
    go = f"/var/tmp/zfsync-suite/{c.name}/go"
    # The helper's answer to the step (number 1) never arrives.
    held_up = c.script(c.beta, "held-up.py", f"""
import os, sys, time
while data := os.read(0, 65536):
    while b'"done","id":1,' in data and not os.path.exists("{go}"):
        time.sleep(0.1)
    os.write(1, data)
""")
    late = helper(c, f"rm -f {go}", command=f"zfsync recv --stdio | python3 {held_up}")
    running = c.start("--json", "--remote-zfsync", late)
    c.beta.wait_for("the snapshot has arrived", f"zfs list {c.target}@s2", 60)
    c.alpha.wait_for("its bookmark is there", f"zfs list -t bookmark {c.source}#zfsync-{tag(c)}-s2", 30)
    running.signal(signal.SIGKILL)
    running.end(10)
    c.beta(f"touch {go}; kill -9 {' '.join(pids(c, c.beta, 'zfsync recv --stdio'))} || true")
    mark = f"zfsync-{tag(c)}-s2"
    c.alpha(f"zfs destroy {c.source}@s1; zfs destroy {c.source}@s2; zfs destroy {c.source}#zfsync-{tag(c)}-s1 || true")
    c.same(list(own(c)), [mark], "the bookmarks after the kill")
    c.snapshot(f"{c.source}@s3")
    run = c.push("--json", "--wait-lock", "90s")
    c.same([event["from"] for event in run.of("step_started")], [f"#{mark}"], "what the next run starts from")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.same(list(own(c).values()), [guid(c, f"{c.source}@s3")], "the bookmarks")


@case("B06", "R05")
def no_bookmark(c):
    """--no-bookmark makes none, and believes those that are there; a failed dataset keeps the one of its base."""
    c.tree({"": "s1", "bad": "s1"})
    c.push("--no-bookmark")
    c.same(marks(c), {}, "bookmarks")
    c.push()
    c.beta(f"zfs set readonly=off {c.target}/bad; zfs mount {c.target}/bad; echo x >/{c.target}/bad/x; zfs unmount {c.target}/bad")
    for number in (2, 3):
        c.snapshot(f"{c.source}/bad@s{number}")
        c.push(status=1, says="modified")
        c.same(list(own(c, f"{c.source}/bad").values()), [guid(c, f"{c.source}/bad@s1")], "the bookmarks of what is in conflict")
    c.alpha(f"zfs destroy {c.source}/bad@s1")
    c.push("--no-bookmark", "--rollback")
    c.same(c.snaps(c.beta, f"{c.target}/bad"), ["s1", "s2", "s3"], "the target's snapshots")


@case("R06", "I24")
def not_permitted(c):
    """A user who may send and not bookmark: the data arrives, and each right that is missing is said once; with them it is all there."""
    c.tree({"": "s1", "a": "s1"})
    c.alpha(f"zfs allow repl send,mount {c.source}")
    c.cleanups.append((c.alpha, f"zfs unallow repl {c.source}"))
    run = c.push(argv=["su", "repl", "-c", f"zfsync push {c.source} root@beta:{c.target}"], says=(f"zfs allow repl bookmark '{c.source}'", f"zfs allow repl userprop '{c.source}'"))
    c.same(run.err.count("--no-bookmark"), 2, "how often it is said")
    c.in_sync()
    c.same(marks(c), {}, "bookmarks")
    c.alpha(f"zfs allow repl send,hold,bookmark,destroy,mount {c.source}")
    c.snapshot(f"{c.source}@s2")
    c.push(argv=["su", "repl", "-c", f"zfsync push {c.source} root@beta:{c.target}"], says=f"zfs allow repl userprop '{c.source}'")
    c.alpha(f"zfs allow repl userprop {c.source}")
    run = c.push(argv=["su", "repl", "-c", f"zfsync push {c.source} root@beta:{c.target}"])
    c.check("userprop" not in run.err, "it is said though it is allowed")
    run = c.push(argv=["su", "repl", "-c", f"zfsync push -q {c.source} root@beta:{c.target}"])
    c.same(run.err, "", "stderr")
    c.same(list(own(c).values()), [guid(c, f"{c.source}@s2")], "the bookmarks")

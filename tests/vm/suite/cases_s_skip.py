"""--skip-empty: snapshots that change nothing are left out (rows SKIP, B19); the unit for systemd."""

import re

from cases_f_resume import big, cut, half, resumed
from cases_g_conflicts import write
from cases_h_bookmarks import guid, own
from cases_m_prune import left
from cases_q_run import config
from harness import VOLUME_DEVICE, case, change, q

UNIT = "/root/dist/systemd/zfsync@.service"
# What gives a service a mount namespace of its own (PrivateMounts= in systemd.exec(5)).
NAMESPACE = re.compile(
    "(Private(Tmp|Devices|Mounts|IPC|Users)|Protect(System|Home|Kernel(Tunables|Modules|Logs)|ControlGroups|Proc)|ProcSubset|MountFlags"
    "|(ReadOnly|ReadWrite|Inaccessible|Exec|NoExec|BindReadOnly|Bind)Paths|TemporaryFileSystem)="
)


def as_systemd(c, path):
    """The command line of the unit for the job `data` of this file, as systemd would run it: without the capabilities that it takes away, and with mounts of its own where it says so."""
    unit = c.alpha.lines(f"cat {UNIT}")
    (line,) = [line for line in unit if line.startswith("ExecStart=")]
    argv = line.removeprefix("ExecStart=").replace("%i", "data").split()
    taken = [name for line in unit if line.startswith("CapabilityBoundingSet=~") for name in line.partition("~")[2].split()]
    within = ["setpriv", "--bounding-set", ",".join("-" + name.removeprefix("CAP_").lower() for name in taken)]
    if any(NAMESPACE.match(line) for line in unit):
        within = ["unshare", "-m", "--propagation", "slave", *within]
    c.cleanups.append((c.alpha, "rm -f /etc/zfsync.toml"))
    c.alpha(f"cp {path} /etc/zfsync.toml; mkdir -p {argv[0].rpartition('/')[0]}; test -e {argv[0]} || ln -s $(command -v zfsync) {argv[0]}")
    return within, argv


def written(c, dataset):
    """[(snapshot, whether something was written since the one before)], oldest first, as zfs has it."""
    rows = c.alpha.rows(f"zfs list -Hp -d 1 -t snapshot -s createtxg -o name,written {q(dataset)}")
    return [(name.partition("@")[2], bytes != "0") for name, bytes in rows]


def wanted(c, dataset, first):
    """What a target that gets all from `first` on has: that one, all in which something was written, the newest."""
    names = written(c, dataset)
    at = [name for name, _ in names].index(first)
    return [name for place, (name, some) in enumerate(names) if place >= at and (some or place in (at, len(names) - 1))]


def series(c, dataset, words):
    """Snapshots one after another; a word with ~ is one in which nothing was written."""
    script = []
    for word in words.split():
        if not word.endswith("~"):
            script.append(change(dataset, f"before-{word}"))
        script.append(f"zfs snapshot {q(dataset + '@' + word.rstrip('~'))}")
    c.alpha("\n".join(script))


def steps(run, dataset):
    """[(from, to, number of snapshots)] of a dataset's steps, without those that were refused."""
    done = {event["step"] for event in run.of("step_done")}
    return [(event["from"], event["to"], event["snapshots"])
            for event in run.of("step_started") if event["dataset"] == dataset and event["step"] in done]


@case("SKIP", "B19", versions=True)
def empty_ones(c):
    """Of a tree with a volume and an encrypted dataset just what changed something arrives, and the newest; contents are the same; nobody misses the rest later.

    What counts: files, deletions, attributes, blocks of a volume, its size. What doesn't: snapshots alone, local properties.
    """
    s, t = c.source, c.target
    key = f"/var/tmp/zfsync-suite/{c.name}/key"
    c.tree({"": ""})
    c.alpha(f"""mkdir -p {key[:-4]}; head -c 32 /dev/urandom >{key}; zfs create -s -V 1M {s}/vol
        zfs create -o encryption=on -o keyformat=raw -o keylocation=file://{key} {s}/enc; echo x >/{s}/enc/x; echo x >/{s}/gone; zfs snapshot -r {s}@s1""")
    c.push()
    c.alpha(f"""{VOLUME_DEVICE}
        zfs snapshot -r {s}@e1; zfs snapshot -r {s}@e2
        echo y >/{s}/enc/y; rm /{s}/gone; {change(f"{s}/vol", "block", volume=True)}; zfs snapshot -r {s}@w1
        chmod 700 /{s}; zfs snapshot -r {s}@w2; zfs set compression=off {s} {s}/enc; zfs snapshot -r {s}@e3; zfs snapshot -r {s}@e4
        zfs set volsize=2M {s}/vol; echo z >/{s}/enc/z; zfs snapshot -r {s}@w3; zfs snapshot -r {s}@e5; zfs snapshot -r {s}@e6""")
    some = {path: {name for name, some in written(c, s + path) if some} for path in ("", "/vol", "/enc")}
    c.same(some, {"": {"s1", "w1", "w2"}, "/vol": {"s1", "w1", "w3"}, "/enc": {"s1", "w1", "w3"}}, "what zfs calls written")
    with c.unchanged():
        shown = c.push("-n", "--skip-empty").out
        c.check(all(word in shown for word in ("@s1", "@w1", "@w2", "@w3", "@e6")) and not re.search("@e[1-5]", shown), f"the dry run: {shown}")
    run = c.push("--skip-empty", "--json")
    c.same(steps(run, s), [("@s1", "w1", 1), ("@w1", "w2", 1), ("@w2", "e6", 1)], "the steps of the top")
    c.same(steps(run, f"{s}/vol"), [("@s1", "w1", 1), ("@w1", "w3", 1), ("@w3", "e6", 1)], "the steps of the volume")
    here, there = c.versions(c.alpha, s), c.versions(c.beta, t)
    for path in ("", "/vol", "/enc"):
        names = wanted(c, s + path, "s1")
        c.same(there[path[1:]], [version for version in here[path[1:]] if version[0] in names], f"the target's snapshots of {path!r}")
        c.same(list(own(c, s + path).values()), [guid(c, f"{s}{path}@e6")], f"the bookmarks of {path!r}")
    c.same(c.checksums(c.beta, f"{t}@e6"), c.checksums(c.alpha, f"{s}@e6"), "the content")
    c.same(c.volume_checksum(c.beta, f"{t}/vol@e6"), c.volume_checksum(c.alpha, f"{s}/vol@e6"), "the volume's content")
    c.same(c.beta(f"zfs get -Hp -o value volsize {t}/vol"), str(2 << 20), "the volume's size")
    c.safe()
    # Nobody asks for them later: neither a run with nothing to do, nor the next increment, nor the status, nor a pruning.
    with c.unchanged():
        c.same(c.push("--json").of("step_started"), [], "steps of a run with nothing to do")
    c.zfsync("status", "--warn", "0", s, f"beta:{t}")
    c.snapshot(f"{s}@w4", f"{s}@w5")
    c.same(steps(c.push("--json"), s), [("@e6", "w5", 2)], "the steps of the next plain run")
    c.zfsync("prune", "--foreign", "--keep-last", "1", s, f"beta:{t}")
    series(c, s, "e7~ w6")
    c.same(steps(c.push("--skip-empty", "--json"), s), [("@w5", "w6", 1)], "the steps after a pruning")


@case("SKIP", "B19")
def first_and_bookmark(c):
    """A first transfer begins with the oldest, were it empty (a clone's); from a bookmark it goes to the first that isn't; runs of others come by one -I."""
    origin = f"{c.source}-origin"
    c.tree({"": "s1"}, root=origin)
    c.alpha(f"zfs clone {origin}@s1 {c.source}; zfs snapshot {c.source}@first")
    series(c, c.source, "e1~ w1 w2 e2~ w3 w4 w5 e3~")
    c.same(written(c, c.source)[0], ("first", False), "what zfs calls written of a clone's first snapshot")
    run = c.push("--skip-empty", "--json")
    c.same(steps(run, c.source), [(None, "first", 1), ("@first", "w1", 1), ("@w1", "w2", 1), ("@w2", "w3", 1), ("@w3", "e3", 3)], "the steps")
    c.same(c.snaps(c.beta, c.target), ["first", "w1", "w2", "w3", "w4", "w5", "e3"], "the target's snapshots")
    c.same(c.checksums(c.beta, f"{c.target}@e3"), c.checksums(c.alpha, f"{c.source}@e3"), "the content")
    series(c, c.source, "e4~ e5~ w6 w7 e6~ w8")
    c.alpha(f"zfs destroy {c.source}@e3")
    steps_now = steps(c.push("--skip-empty", "--json"), c.source)
    c.same([(start[:8], *rest) for start, *rest in steps_now], [("#zfsync-", "w6", 1), ("@w6", "w7", 1), ("@w7", "w8", 1)], "the steps from the bookmark")
    # All are gone: the first that is left has what those had, and so it is sent.
    series(c, c.source, "e7~ e8~ w9")
    c.alpha(f"for s in $(zfs list -H -d 1 -t snapshot -o name {c.source} | grep -v '@e[78]\\|@w9'); do zfs destroy $s; done")
    c.push("--skip-empty")
    c.same(c.snaps(c.beta, c.target)[-4:], ["w7", "w8", "e7", "w9"], "the target's newest snapshots")
    series(c, c.source, "e9~ w10 w11")
    c.push("--skip-empty", "--newest-only")
    c.same(c.snaps(c.beta, c.target)[-2:], ["w9", "w11"], "the target's newest snapshots with --newest-only too")


@case("SKIP")
def with_conflicts(c):
    """Together with a rollback, a dataset set aside and one replaced; and where a refused receive leads to another plan."""
    paths = ["back", "aside", "anew", "renamed"]
    c.tree({"": "s1"} | dict.fromkeys(paths, "s1"))
    c.push()
    for path in ("back", "aside", "anew"):
        write(c, path, snap="own")
    # Its base is found by a listing only, after the receive was refused: the target's newest has another name.
    series(c, f"{c.source}/renamed", "w1")
    c.push("--no-recursive", source=f"{c.source}/renamed", target=f"beta:{c.target}/renamed")
    c.beta(f"zfs rename {c.target}/renamed@w1 {c.target}/renamed@other")
    for path in paths:
        series(c, f"{c.source}/{path}", "e1~ w2 e2~ e3~ w3 e4~")
    c.push("--rollback", "--skip-empty", source=f"{c.source}/back", target=f"beta:{c.target}/back")
    c.push("--replace", f"{c.target}/anew", "--skip-empty", source=f"{c.source}/anew", target=f"beta:{c.target}/anew")
    run = c.push("--set-aside", "--skip-empty", "--json")
    c.same(steps(run, f"{c.source}/aside"), [("@s1", "w2", 1), ("@w2", "w3", 1), ("@w3", "e4", 1)], "the steps of what was set aside")
    for path in ("back", "aside", "anew"):
        c.same(c.snaps(c.beta, f"{c.target}/{path}"), ["s1", "w2", "w3", "e4"], f"the target's snapshots of {path}")
    c.same(c.snaps(c.beta, f"{c.target}/renamed"), ["s1", "other", "w2", "w3", "e4"], "those of the one whose base was renamed")
    for path in paths:
        c.same(c.checksums(c.beta, f"{c.target}/{path}@e4"), c.checksums(c.alpha, f"{c.source}/{path}@e4"), f"the content of {path}")


@case("SKIP", "B19")
def after_a_cut(c):
    """The resumed stream comes first, then what is not empty; the name of an empty one may be taken over there."""
    c.tree({"": "a"})
    c.push()
    big(c, "b")
    cut(c, half(c, f"-w -i @a {c.source}@b", c.target))
    series(c, c.source, "e1~ w1 e2~ w2 e3~")
    run = c.push("--skip-empty", "--json")
    c.same(resumed(run)[c.source][0], True, "whether the first step was resumed")
    c.same(c.snaps(c.beta, c.target), ["a", "b", "w1", "w2", "e3"], "the target's snapshots")
    c.same(c.checksums(c.beta, f"{c.target}@e3"), c.checksums(c.alpha, f"{c.source}@e3"), "the content")
    c.beta(f"zfs rename {c.target}@a {c.target}@e4")
    series(c, c.source, "e4~ w3")
    c.push(status=1, says=("have the names of snapshots to be received", "@e4"))
    c.push("--skip-empty")
    c.same(c.snaps(c.beta, c.target), ["e4", "b", "w1", "w2", "e3", "w3"], "the target's snapshots")


@case("SKIP", "RUN", "J23", alone=True)
def jobs(c):
    """`cron --skip-empty`, and a job with skip-empty = true that the unit's own command line runs; another pool of this machine gets the same."""
    c.tree({"": "", "one": "s1", "two": "s1"})
    c.beta(f"zfs create {c.target}")
    pool = c.file_pools(make=False)[0]
    c.alpha(f"truncate -s 128M /var/tmp/{pool}.img; zpool create -o cachefile=none {pool} /var/tmp/{pool}.img")
    for name in ("one", "two"):
        series(c, f"{c.source}/{name}", "e1~ w1 e2~")
    c.zfsync("cron", "--skip-empty", "-w", "1", f"{c.source}/one", f"beta:{c.target}/one", f"{pool}/one")
    path = config(c, f"""
[defaults]
skip-empty = true
[job.data]
source = "{c.source}/two"
targets = ["beta:{c.target}/two", "{pool}/two"]
log = "{path_of(c)}/log/zfsync.log"
[job.never]
source = "{c.source}/nowhere" """)
    within, argv = as_systemd(c, path)
    run = c.push(argv=within + argv)
    c.same((run.out, run.err), ("", ""), "what the unit's command says when all is well")
    c.check("received @" in c.alpha(f"cat {path_of(c)}/log/zfsync.log"), "the log does not tell what arrived")
    for name in ("one", "two"):
        newest = left(c.alpha, f"{c.source}/{name}")[-1]
        there, beside = left(c.beta, f"{c.target}/{name}"), left(c.alpha, f"{pool}/{name}")
        c.same((there, beside), (["s1", "w1", newest],) * 2, f"the snapshots of {name} there and on the other pool")
        versions = [c.versions(*place) for place in ((c.beta, f"{c.target}/{name}"), (c.alpha, f"{pool}/{name}"))]
        c.same(versions[0], versions[1], f"the guids of {name}")
    c.push(argv=argv[:-1] + ["nosuchjob"], status=2, says=("no job", "data, never"))


@case("RUN", alone=True)
def unit_mounts(c):
    """The unit's own command line destroys a copy that is mounted on this host, whole."""
    c.tree({"": "s1", "gone": "s1 s2"})
    pool = c.file_pools(make=False)[0]
    c.alpha(f"truncate -s 128M /var/tmp/{pool}.img; zpool create -o cachefile=none {pool} /var/tmp/{pool}.img")
    path = config(c, f"""
[job.data]
source = "{c.source}"
targets = ["{pool}/copy"]
snapshot = {{ enabled = false }}
delete-missing = "datasets"
grace = "0" """)
    within, argv = as_systemd(c, path)
    c.push(argv=within + argv)
    c.alpha(f"zfs mount {pool}/copy; zfs mount {pool}/copy/gone; zfs destroy -r {c.source}/gone")
    c.push(argv=within + argv)
    names = c.alpha.lines(f"zfs list -H -o name -t all -r {pool}/copy")
    c.same(names, [f"{pool}/copy", f"{pool}/copy@s1"], "what is left of the copy")
    mounts = c.alpha("cat /proc/mounts")
    c.check(f"{pool}/copy/gone" not in mounts and f"{pool}/copy " in mounts, "the mounts of the host are not as they should be")


def path_of(c):
    """The case's directory."""
    return f"/var/tmp/zfsync-suite/{c.name}"

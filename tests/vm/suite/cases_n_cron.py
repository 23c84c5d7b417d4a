"""The job of a crontab's line: snapshot, several targets, pruning (rows Z09, R04, I10; the two-node layout)."""

import re

from cases_m_prune import DAYS, left, make
from harness import case
from tools import Gate, beside, wrapped_zfs

NAME = re.compile(r"\d{6}-\d{6}_[SMHD](-\d+)?")


def targets(c, *names):
    """The targets below this case's dataset on beta, which is made."""
    c.beta(f"zfs create {c.target}")
    return [f"beta:{c.target}/{name}" for name in names]


@case("Z09", "Z12")
def two_targets(c):
    """Says what it keeps the first time, and is quiet when all is fine then; snapshots by class, each target in sync, the source pruned by class; a log, without a dot in its name, in a folder that is made, or none."""
    c.tree({"": "", "kid": ""})
    both = targets(c, "one", "two")
    log = f"/var/tmp/zfsync-suite/{c.name}/new/folder/log"
    run = c.zfsync("cron", "-o", log, "-t", "2", c.source, *both,
                   says=(f"keeps these snapshots of {c.source}: the newest 1 of class S, 4 of M, 3 of H and 2 of D ", *(f"on {one}: all received snapshots" for one in both)))
    c.same((run.out, run.err.count("\n")), ("", 5), "what a job says that went well, and nothing else")
    c.check("This notice is printed once" in c.alpha(f"cat {log}"), "it isn't in the log")
    first = left(c.alpha, c.source)
    c.check(len(first) == 1 and NAME.fullmatch(first[0]) and first[0].endswith("_D"), f"the first snapshot: {first}")
    # Older ones of class D, to be pruned by the next run: two stay beside the newest of its class.
    c.alpha(f"zfs destroy -r {c.source}@{first[0]}; for mark in $(zfs list -H -r -t bookmark -o name {c.source}); do zfs destroy $mark; done")
    c.beta(f"zfs destroy -r {c.target}; zfs create {c.target}")
    for path in ("", "/kid"):
        make(c, c.alpha, f"{c.source}{path}", *DAYS[:4], "mine")
    run = c.zfsync("cron", "-d", "2", c.source, *both)
    c.same((run.out, run.err), ("", ""), "what a job says that went well")
    stay = left(c.alpha, c.source)
    c.same(stay[:-1], [DAYS[3], "mine"], "what is left of the old ones")
    for name in ("one", "two"):
        there = left(c.beta, f"{c.target}/{name}/kid")
        c.same(there, [*DAYS[:4], "mine", stay[-1]], f"what {name} has: it isn't pruned")
    text = c.alpha(f"cat {log}")
    c.check(re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ beta:\S+/one: .*received @", text, re.M), f"the log: {text}")
    run = c.zfsync("cron", "-v", c.source, *both, says=("snapshot: ok", f"{both[0]}: ok", f"{both[1]}: ok", f"pruning {c.source}: ok"))
    c.zfsync("cron", "-d", "3", c.source, *both, says="3 of D")
    classes = [name[-1] for name in left(c.alpha, c.source)[-2:]]
    c.check(classes[-1] in "SMH", f"the class of the next snapshot: {classes}")


@case("Z09", "A15")
def overlapping_targets(c):
    """A target that is the source by another host's name, or in it: found before a snapshot is taken."""
    c.tree({"": "", "kid": ""})
    with c.unchanged():
        for target in (f"alpha:{c.source}", f"alpha:{c.source}/kid/copy", "alpha:apool"):
            c.zfsync("cron", c.source, f"beta:{c.target}", target, status=2, says="overlap on this machine")
    c.beta(f"zfs create {c.target}; zfs create {c.target}/kid")
    # Over there, by another name.
    c.zfsync("cron", f"beta:{c.target}", f"beta6:{c.target}/kid/x", status=2, says="overlap on this machine")
    c.same(c.snaps(c.beta, c.target), [], "what was taken over there")


@case("R04", "I10")
def a_dead_target(c):
    """One target can't be reached: the other is served and in sync, exit 1, one report; what the dead one lacks stays until it is back."""
    c.tree({"": ""})
    alive, dead = targets(c, "alive", "dead")
    make(c, c.alpha, c.source, DAYS[0])
    c.zfsync("cron", c.source, alive, dead)
    base = left(c.beta, f"{c.target}/dead")[-1]
    make(c, c.alpha, c.source, *DAYS[1:6])
    # The helper for one of the targets doesn't start.
    program = c.script(c.beta, "choosy", f"""#!/bin/sh
exec zfsync recv --stdio --root {c.target}/alive""")
    run = c.zfsync("cron", "-d", "1", "--remote-zfsync", program, c.source, alive, dead, status=1,
                   says=("some of the work failed", f"{alive}: ok", f"{dead}: failed", "may only access"))
    c.same(run.out, "", "stdout")
    here = left(c.alpha, c.source)
    c.same(left(c.beta, f"{c.target}/alive")[-1], here[-1], "the newest on the target that lives")
    c.check(base in here and all(day in here for day in DAYS[1:6]), f"what the dead target lacks is still here: {here}")
    c.check(DAYS[0] not in here, "what both have had for long is gone")
    c.zfsync("cron", "-d", "1", "-h", "1", "-m", "1", "-s", "1", c.source, alive, dead)
    here = left(c.alpha, c.source)
    c.same(left(c.beta, f"{c.target}/dead")[-1], here[-1], "the newest on the target that is back")
    c.check(set(DAYS[1:6]) <= set(left(c.beta, f"{c.target}/dead")), "the target that is back has all that it lacked")
    c.check(len(here) <= 4 and DAYS[1] not in here, f"what is left when nobody lacks anything: {here}")


@case("R04")
def a_slow_target(c):
    """A slow target holds up neither the other one nor the next run, which says that the slow one is taken."""
    c.tree({"": ""})
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/file")
    slow, quick = targets(c, "slow", "quick")
    gate = Gate(c, 1 << 20)
    c.zfsync("cron", c.source, quick)
    running = c.start(argv=["zfsync", "cron", "--retries", "0", *gate.args[2:], c.source, slow])
    gate.reached()
    c.zfsync("cron", c.source, quick, slow, status=4, says=("another run is working on it", f"{quick}: ok"))
    c.same(left(c.beta, f"{c.target}/quick"), left(c.alpha, c.source)[-len(left(c.beta, f"{c.target}/quick")):], "what the quick one has")
    gate.open()
    c.same(running.end(100).status, 0, "the exit status of the slow run")
    c.zfsync("cron", c.source, quick, slow)
    newest = left(c.alpha, c.source)[-1]
    for name in ("slow", "quick"):
        c.same(left(c.beta, f"{c.target}/{name}")[-1], newest, f"the newest on {name}")


@case("I21")
def a_dataset_goes_away(c):
    """A dataset is destroyed while the job sends: it is reported, exit 1; the others arrive and are pruned, and the next run is fine."""
    c.tree({"": "", "gone": "", "kid": ""})
    (target,) = targets(c, "t")
    for path in ("", "/gone", "/kid"):
        make(c, c.alpha, c.source + path, *DAYS[:3])
    destroys = wrapped_zfs(c, c.alpha, f'if [ "$1" = send ] && mkdir $place/once 2>/dev/null; then $zfs destroy -r {c.source}/gone; fi')
    run = c.zfsync("cron", "-t", "1", "-d", "1", c.source, target, status=1, env=beside(destroys), says=(f"{c.source}/gone", f"pruning {c.source}: ok"))
    c.same(run.out, "", "stdout")
    for path in ("", "/kid"):
        newest = left(c.alpha, c.source + path)
        c.check(len(newest) == 1 and newest[0] not in DAYS, f"what is left of {path!r}: {newest}")
        c.same(left(c.beta, f"{c.target}/t{path}"), [*DAYS[:3], *newest], f"what arrived of {path!r}")
    run = c.zfsync("cron", "-d", "1", c.source, target)
    c.same((run.out, run.err), ("", ""), "what the next run says")


@case("Z09", alone=True)
def windows(c):
    """-w: runs once in each window, at whatever second, goes by the snapshots that there are, and is quiet when it isn't time."""
    c.tree({"": "", "kid": ""})
    (target,) = targets(c, "t")
    c.cleanups.append((c.alpha, f"date -s @{c.beta('date +%s')}"))
    made = []
    # Second by second: whether it is time.
    for second, is_due in (
        ("2024-11-22 10:17:43", True), ("2024-11-22 10:17:44", False), ("2024-11-22 10:59:59", False),
        ("2024-11-22 11:00:00", True), ("2024-11-22 11:30:00", False), ("2024-11-22 13:05:01", True),
    ):
        c.alpha(f"date -u -s '{second}' >/dev/null; echo {second} >/{c.source}/file")
        run = c.zfsync("cron", "-w", "3600", "-h", "9", c.source, target)
        made += [second] * is_due
        c.same(len(left(c.alpha, c.source)), len(made), f"how many there are at {second}")
        c.check(is_due or (run.out, run.err) == ("", ""), f"what it says at {second}: {run.err}")
    # A second line of the crontab, for another target: it gets what there is.
    before, other = left(c.alpha, c.source), f"{c.target}/other"
    c.zfsync("cron", "-w", "100000000", "-h", "9", c.source, f"beta:{other}")
    c.same((left(c.beta, other), left(c.alpha, c.source)), (before, before), "what the other target has, and SOURCE")
    # What somebody else has taken is none of its own; the newest own one by a clock that was ahead lies in no window of today.
    c.alpha(f"zfs snapshot {c.source}@mine; date -u -s '2039-01-01' >/dev/null")
    c.zfsync("snapshot", c.source)
    c.alpha("date -u -s '2024-11-22 14:01:00' >/dev/null")
    c.zfsync("cron", "-w", "3600", "-h", "9", c.source, target)
    c.same(left(c.alpha, c.source)[-1][:9], "241122-14", "the newest after the clock was put right")
    c.alpha("date -u -s '2024-11-22 14:02:00' >/dev/null")
    c.zfsync("cron", "-w", "60", "-h", "9", c.source, target)
    c.same(left(c.alpha, c.source)[-1], "241122-140200_M", "the newest after a window of a minute")


@case("Z09")
def mistakes(c):
    """A missing source, a target that is there twice, a log that can't be written, -H."""
    c.tree({"": ""})
    (target,) = targets(c, "t")
    c.zfsync("cron", c.source, target)
    c.zfsync("cron", c.source, target, target, status=2, says="is listed twice")
    c.zfsync("cron", f"{c.source}/missing", target, status=3, says="does not exist")
    c.zfsync("cron", "-o", f"/proc/none/{c.name}", c.source, target, status=2, says="can't write the log")
    c.check("class S" in c.zfsync("cron", "-H").out, "-H is the help")
    c.same(len(left(c.alpha, c.source)), 1, "snapshots after the mistakes")


@case("Z09", "H06")
def pruned_targets(c):
    """--prune-targets applies the same rules over there; a helper that may not destroy is a failure of the pruning, not of the push."""
    c.tree({"": "", "kid": ""})
    (target,) = targets(c, "t")
    for path in ("", "/kid"):
        make(c, c.alpha, f"{c.source}{path}", *DAYS[:4])
    c.zfsync("cron", "-d", "1", "--prune-targets", c.source, target)
    for host, name in ((c.alpha, c.source), (c.beta, f"{c.target}/t")):
        for path in ("", "/kid"):
            here = left(host, f"{name}{path}")
            c.same((len(here), DAYS[3] in here), (1, False), f"what is left of {name}{path}: {here}")
    program = c.script(c.beta, "strict", "#!/bin/sh\nexec zfsync recv --stdio")
    # By periods, in the same words.
    make(c, c.alpha, c.source, "241120-000000_D", "241120-120000_H", "241121-000000_D")
    c.zfsync("cron", "--keep-targets", "2d", c.source, target, says=f"on {target}: the newest of each of 2 days (UTC)")
    there = left(c.beta, f"{c.target}/t")
    c.same(there[:-1], ["241121-000000_D"], "what is left there: the newest of each of two days")
    c.zfsync("cron", "--prune-targets", "--remote-zfsync", program, c.source, target, status=1,
             says=(f"{target}: ok", f"pruning {target}: failed", "--allow destroy"))


@case("Z09")
def two_nodes(c):
    """Both nodes push their `local` to the other's `remote`; after a failover the roles swap, and nothing of either side is lost."""
    a, b = c.source, c.target
    c.alpha(f"zfs create {a}; zfs create {a}/local; zfs create {a}/local/db; echo one >/{a}/local/db/file; zfs create {a}/remote")
    c.beta(f"zfs create {b}; zfs create {b}/local; zfs create {b}/local/www; echo two >/{b}/local/www/file; zfs create {b}/remote")
    # From beta there is no ssh to alpha here: its push goes by the other way round, over a dataset beside.
    c.zfsync("cron", f"{a}/local", f"beta:{b}/remote")
    c.beta(f"zfsync cron {b}/local {b}/remote-of-alpha")
    c.same(c.checksums(c.beta, f"{b}/remote/db@{left(c.alpha, f'{a}/local/db')[-1]}"),
           c.checksums(c.alpha, f"{a}/local/db@{left(c.alpha, f'{a}/local/db')[-1]}"), "the content over there")
    # Alpha fails: beta serves a clone of what it has of it, its own tree is as before.
    newest = left(c.beta, f"{b}/remote/db")[-1]
    c.beta(f"zfs clone {b}/remote/db@{newest} {b}/local/db; echo more >>/{b}/local/db/file")
    c.beta(f"zfsync cron {b}/local {b}/remote-of-alpha")
    # Alpha is back and goes on with its own: what beta has written is safe in beta's local, and neither push touches it.
    c.alpha(f"echo late >>/{a}/local/db/file")
    c.zfsync("cron", f"{a}/local", f"beta:{b}/remote")
    c.same(c.beta(f"cat /{b}/local/db/file"), "one\nmore", "what was written during the failover")
    c.same(c.beta(f"cat /{b}/local/www/file"), "two", "beta's own data")
    c.same(left(c.beta, f"{b}/remote/db")[-1], left(c.alpha, f"{a}/local/db")[-1], "alpha's newest on beta")
    c.check(left(c.beta, f"{b}/remote-of-alpha/db"), "what was written during the failover is replicated")

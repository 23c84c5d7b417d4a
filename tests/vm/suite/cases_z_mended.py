"""Runs that said "fine" where something had not been done, and what is destroyed on the target with too little care (rows Z09, BACK, MISSING)."""

from cases_n_cron import targets
from cases_y_missing import mirror
from harness import case
from tools import beside, wrapped_zfs

# No test crosses the end of such a window but one in years.
WINDOW = ("-w", "1000000000")


@case("Z09")
def a_window_with_two_lines(c):
    """Two lines of a crontab with one source and a window: one snapshot is taken, both targets have it; so with one taken by hand, and with a target that was down."""
    c.tree({"": "", "kid": ""})
    one, two = targets(c, "one", "two")
    c.zfsync("cron", *WINDOW, c.source, one)
    taken = c.snaps(c.alpha, c.source)
    c.zfsync("cron", *WINDOW, c.source, two)
    c.same((len(taken), c.snaps(c.alpha, c.source)), (1, taken), "what was taken")
    for name in ("one", "one/kid", "two", "two/kid"):
        c.same(c.snaps(c.beta, f"{c.target}/{name}"), taken, f"what {name} has")
    c.zfsync("snapshot", c.source)
    down = c.script(c.beta, "down", "#!/bin/sh\nexit 1")
    c.zfsync("cron", *WINDOW, "--retries", "0", "--remote-zfsync", down, c.source, one, status=1)
    run = c.zfsync("cron", *WINDOW, c.source, one, two)
    c.same((run.out, run.err.split(":")[1].strip()), ("", "cron keeps these snapshots of " + c.source), "what it says: these two are a job of its own")
    for name in ("one", "two/kid"):
        c.same(c.snaps(c.beta, f"{c.target}/{name}"), c.snaps(c.alpha, c.source), f"what {name} has")


@case("BACK")
def no_copy_is_no_success(c):
    """verify of a target without a copy, and a restore that leaves out what should have come, end with 1."""
    c.tree({"": "", "kid": ""})
    c.zfsync("verify", c.source, f"beta:{c.target}", status=1, says="nothing to compare")
    c.alpha(f"zfs snapshot -r {c.source}@s1")
    c.push()
    c.zfsync("verify", c.source, f"beta:{c.target}")
    # The kid has lost what the rest is brought back to; its brother is younger.
    c.alpha(f"zfs snapshot -r {c.source}@s2; sleep 1.1; zfs create {c.source}/young; zfs snapshot -r {c.source}@s3; zfs destroy {c.source}/kid@s2")
    new = f"{c.target}-new"
    c.cleanups.append((c.beta, f"zfs destroy -r {new}"))
    run = c.zfsync("restore", f"{c.source}@s2", f"beta:{new}", status=1, says=(f"{c.source}/kid", "it has snapshots older than @s2", f"{c.source}/young: it has no snapshot @s2"))
    c.check("is writable and not mounted yet" not in run.err, f"it sounds like a success: {run.err}")
    c.only("", target=new)
    c.same(c.snaps(c.beta, new), ["s1", "s2"], "what has come")


@case("MISSING")
def back_during_the_run(c):
    """A dataset and a snapshot's dataset that are away when the run begins and back before it destroys: they stay on the target."""
    c.tree({"": "s1", "back": "s1", "gone": "s1", "kid": "s1"})
    mirror(c)
    away = f"{c.source}-away"
    c.cleanups.append((c.alpha, f"zfs destroy -r {away}"))
    c.alpha(f"zfs rename {c.source}/back {away}; zfs destroy -r {c.source}/gone")
    c.snapshot(f"{c.source}/kid@s2")
    returns = wrapped_zfs(c, c.alpha, f'if [ "$1" = send ] && mkdir $place/once 2>/dev/null; then $zfs rename {away} {c.source}/back; fi')
    run = c.zfsync("push", "-v", "--delete-missing", "both", "--grace", "0", c.source, f"beta:{c.target}", env=beside(returns))
    c.check("it exists on the source again" in run.err, f"why it stays isn't told: {run.err}")
    c.only("", "back", "kid")
    mirror(c)
    c.in_sync()


@case("MISSING")
def another_source_does_not_count(c):
    """The quarter of --max-delete is one of this source's datasets: what another source has nested in the target, and what was set aside, makes it no larger."""
    other = f"{c.source}-other"
    c.cleanups.append((c.alpha, f"zfs destroy -r {other}"))
    c.tree({"": "s1", **{f"d{n}": "s1" for n in range(12)}})
    c.tree({"": "s1", **{f"x{n}": "s1" for n in range(40)}}, root=other)
    c.push()
    c.push(source=other, target=f"beta:{c.target}/nested")
    c.alpha(f"for n in 0 1 2 3 4 5 6 7 8 9 10; do zfs destroy -r {c.source}/d$n; done")
    had = c.versions(c.beta, c.target)
    mirror(c, status=1, says="11 of 13 datasets and 11 of 13 snapshots")
    c.same(c.versions(c.beta, c.target), had, "what the target has")


@case("MISSING", machine=True)
def a_clock_that_jumps(c):
    """A clock that jumps ahead ends no grace: nothing goes while both sides' clocks differ, and that is told."""
    c.tree({"": "s1", "gone": "s1"})
    mirror(c, grace="7d")
    c.alpha(f"zfs destroy -r {c.source}/gone")
    mirror(c, grace="7d", says="less than --grace")
    c.cleanups.append((c.alpha, f"date -s @{c.beta('date +%s')} >/dev/null"))
    c.alpha("date -s @$(($(date +%s) + 2592000)) >/dev/null")
    mirror(c, "-n", grace="7d", status=1)
    mirror(c, grace="7d", status=1, says=("its clock is", "behind this machine's"))
    c.only("", "gone")
    # Without a grace no clock matters.
    mirror(c)
    c.only("")

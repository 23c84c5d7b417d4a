"""Cut receives: they are gone on with, or dropped when nothing can go on with them (rows D01, D05, D13, D14)."""

from harness import case
from tools import helper


def big(c, *snaps):
    """Some MB of new data before each snapshot, so that a stream can be cut in the middle."""
    for snap in snaps:
        c.alpha(f"head -c 24M /dev/urandom >/{c.source}/{snap}; zfs snapshot {c.source}@{snap}")


def token(c):
    """Whether the target has the rest of a cut receive."""
    found = c.beta(f"zfs list -H -o receive_resume_token {c.target} 2>/dev/null || echo -").strip()
    return found not in ("-", "")


def cut(c, stream, options=""):
    """A receive as zfsync makes it that gets only a part of its stream; cutting a run by a signal would be a race."""
    c.alpha(f"zfs send -w {stream} | head -c 6M | ssh beta zfs recv -s -u {options} {c.target} || true")
    c.check(token(c), "the fixture made no token")


def ends_well(c, run):
    """In sync, the same content, nothing left over, and asleep."""
    c.in_sync()
    c.check(not token(c), "a token is left")
    c.safe()
    newest = c.versions(c.alpha, c.source)[""][-1][0]
    c.same(c.checksums(c.beta, f"{c.target}@{newest}"), c.checksums(c.alpha, f"{c.source}@{newest}"), "the content")
    return run


@case("D01", "D14", alone=True)
def first_full_cut(c):
    """A first stream that was cut: the next run goes on with it, then sends the rest; a dry run shows that, changes nothing."""
    c.tree({"": ""})
    big(c, "a", "b")
    cut(c, f"{c.source}@a", "-o readonly=on -o canmount=noauto")
    c.snapshot(f"{c.source}@c")
    with c.unchanged():
        c.check("resume" in c.push("-n").out, "the dry run doesn't say resume")
    run = ends_well(c, c.push("--json"))
    c.same([event["resumed"] for event in run.of("step_started")], [True, False], "which steps were resumed")


@case("D01", alone=True)
def increment_cut(c):
    """An increment that was cut is gone on with."""
    c.tree({"": ""})
    big(c, "a")
    c.push()
    big(c, "b")
    cut(c, f"-i @a {c.source}@b")
    run = ends_well(c, c.push("--json"))
    c.check(run.of("step_started")[-1]["resumed"], "the last step was not resumed")


@case("D05", alone=True)
def useless_rest(c):
    """The snapshot of the cut stream is gone: its rest is dropped with a line that says so, and the run goes on."""
    c.tree({"": ""})
    big(c, "a")
    c.push()
    big(c, "b")
    cut(c, f"-i @a {c.source}@b")
    c.alpha(f"zfs destroy {c.source}@b; zfs snapshot {c.source}@b")
    ends_well(c, c.push(says="can't be resumed"))


@case("D14", alone=True)
def helper_lost(c):
    """The helper dies in the middle of a stream: the same run connects anew and goes on."""
    c.tree({"": ""})
    big(c, "a", "b")
    running = c.start("--json", "--remote-zfsync", helper(c))
    running.wait_for('"event":"progress"')
    c.beta("pkill -KILL -f '[z]fsync recv --stdio'")
    run = running.end(150)
    c.same(run.status, 0, "the exit status")
    c.check(any(event["retry"] for event in run.of("step_failed")), "no step was tried again")
    ends_well(c, run)

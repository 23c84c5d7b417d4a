"""Thinning out snapshots on both sides (rows H08 to H11, I09 to I11, R09, R15, R20, Z09)."""

import re

from harness import case


def make(c, host, dataset, *names):
    """Snapshots one after another, with something written before each of them."""
    host("\n".join(f"echo {name} >>/{dataset}/log; zfs snapshot '{dataset}@{name}'" for name in names))


def left(host, dataset):
    """The names of a dataset's snapshots, oldest first."""
    found = host(f"zfs list -H -d 1 -t snapshot -o name -s createtxg '{dataset}'")
    return [line.split("@")[1] for line in found.splitlines()]


DAYS = [f"2411{day:02}-000000_D" for day in range(1, 11)]


@case("Z09", "R09")
def classes(c):
    """Of each class so many stay as the rules say, on both sides; foreign snapshots stay, and so does what is left out by a glob."""
    c.tree({"": "", "kid": ""})
    names = ["241101-000000_D", "241102-000000_D", "mine", "241103-000000_D", "241103-010000_H", "241103-020000_H", "241103-021000_M"]
    for path in ("", "/kid"):
        make(c, c.alpha, f"{c.source}{path}", *names)
    c.push()
    run = c.zfsync("prune", "--keep-class", "s=1,m=1,h=1,d=1", "--exclude-snapshot", "241102*", c.source, f"beta:{c.target}", says="destroyed")
    stay = ["241102-000000_D", "mine", "241103-000000_D", "241103-020000_H", "241103-021000_M"]
    for host, top in ((c.alpha, c.source), (c.beta, c.target)):
        for path in ("", "/kid"):
            c.same(left(host, f"{top}{path}"), stay, f"what is left of {top}{path}")
    c.check(re.search(r"4 snapshots of 2 datasets destroyed", run.err), f"the figures are not told: {run.err}")
    c.in_sync()


@case("I11", "H10", "R20")
def grid_and_dry_run(c):
    """A grid keeps the oldest of each period back from the newest snapshot, whatever the clock says; a dry run lists just what goes then."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS)
    rules = ("--keep", "3d,1w", c.source)
    run = c.zfsync("prune", "-n", *rules, says="would go")
    c.same(left(c.alpha, c.source), DAYS, "what is left after a dry run")
    told = run.out.splitlines()
    c.zfsync("prune", *rules)
    stay = left(c.alpha, c.source)
    # Three days back from the 10th, each with one; then a week, with its oldest.
    c.same(stay, [DAYS[0], *DAYS[7:]], "what is left")
    c.same(told, [f"{c.source}@{name}" for name in DAYS if name not in stay], "what the dry run listed")
    run = c.zfsync("prune", "-v", *rules, says="nothing had to go")
    c.same(run.out, "", "what goes the second time")


@case("I10", "H08", "H11")
def what_a_target_needs(c):
    """A target that is behind: its newest snapshot and all later ones stay here, known by its bookmark or by asking it; an increment follows."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    c.push()
    make(c, c.alpha, c.source, *DAYS[3:6])
    run = c.zfsync("prune", "--keep-last", "1", c.source, says="still needed")
    c.same(left(c.alpha, c.source), DAYS[2:6], "what is left, going by the bookmark")
    c.check("bookmark" in run.err, f"it isn't told who needs them: {run.err}")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}", says=f"needed by beta:{c.target}")
    c.same(left(c.alpha, c.source), DAYS[2:6], "what is left, having asked the target")
    c.same(left(c.beta, c.target), DAYS[2:3], "what is left there: its newest is the common one")
    run = c.push("--json")
    c.same([step["from"] for step in run.of("step_started")], [f"@{DAYS[2]}"], "what the increment starts from")
    c.same(left(c.beta, c.target), DAYS[2:6], "what is there then")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}")
    c.same((left(c.alpha, c.source), left(c.beta, c.target)), ([DAYS[5]], [DAYS[5]]), "what is left when all have everything")
    # Nothing in common yet: nothing goes.
    c.zfsync("prune", "--keep-last", "0", "--foreign", c.source, f"beta:{c.target}/other", says="nothing had to go")
    c.in_sync()


@case("I10")
def a_forgotten_target(c):
    """A target that is known by a bookmark alone keeps snapshots here until it is told to be forgotten; the newest stays even then."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:1])
    c.push()
    make(c, c.alpha, c.source, *DAYS[1:4])
    c.zfsync("prune", "--keep-last", "0", c.source, says="--only-named-targets")
    c.same(left(c.alpha, c.source), DAYS[:4], "what is left")
    c.zfsync("prune", "--keep-last", "0", "--only-named-targets", c.source)
    c.same(left(c.alpha, c.source), DAYS[3:4], "what is left when the target is forgotten")
    # Its bookmark is still there: the next increment works.
    c.push()
    c.same(left(c.beta, c.target), [DAYS[0], DAYS[3]], "what the target has")


@case("I09", "R15", "H01", "H06")
def held_and_cloned(c):
    """Held and cloned snapshots stay and are told; all others go, on both sides."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS)
    c.push()
    c.alpha(f"zfs hold keep {c.source}@{DAYS[2]}; zfs clone {c.source}@{DAYS[4]} {c.source}-clone")
    c.beta(f"zfs hold keep {c.target}@{DAYS[1]}")
    run = c.zfsync("prune", "--keep-last", "2", c.source, f"beta:{c.target}",
                   says=(f"{c.source}@{DAYS[2]} stays: is held", f"{c.source}@{DAYS[4]} stays: has clones: {c.source}-clone"))
    c.same(left(c.alpha, c.source), [DAYS[2], DAYS[4], *DAYS[8:]], "what is left here")
    c.same(left(c.beta, c.target), [DAYS[1], *DAYS[8:]], "what is left there")
    c.check(f"beta:{c.target}@{DAYS[1]} stays: is held" in run.err, f"what is held there isn't told: {run.err}")
    c.alpha(f"zfs release keep {c.source}@{DAYS[2]}; zfs destroy {c.source}-clone")


@case("H06")
def the_target_says_no(c):
    """A helper that may not destroy refuses before anything is destroyed anywhere; so does a target that can't be reached."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:4])
    c.push()
    program = c.script(c.beta, "strict", "#!/bin/sh\nexec zfsync recv --stdio")
    c.zfsync("prune", "--keep-last", "1", "--remote-zfsync", program, c.source, f"beta:{c.target}", status=3, says="--allow destroy")
    c.zfsync("prune", "--keep-last", "1", c.source, "nowhere.invalid:x/y", status=3)
    c.same((left(c.alpha, c.source), left(c.beta, c.target)), (DAYS[:4], DAYS[:4]), "what is left")


@case("I11", "H09")
def what_makes_no_sense(c):
    """No rule (all would go), only a target, several sources with a target: refused, and nothing is destroyed."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:2])
    for arguments, words in (
        ([c.source], "no rule"),
        (["--keep-last", "1", f"beta:{c.target}"], "name the dataset of this machine too"),
        (["--keep-last", "1", c.source, f"{c.source}/x", f"beta:{c.target}"], "one DATASET"),
        (["--keep", "7d,24h", c.source], "shorter periods come first"),
        (["--keep-class", "x=1", c.source], "the classes are"),
    ):
        c.zfsync("prune", *arguments, status=2, says=words)
    c.zfsync("prune", "--keep-last", "1", f"{c.source}/missing", status=3, says="does not exist")
    c.same(left(c.alpha, c.source), DAYS[:2], "what is left")


@case("H06", "Z01")
def many_at_once(c):
    """Many snapshots of one dataset, on both sides, with long names and blanks in them."""
    c.tree({"": "", "a b": ""})
    dataset = f"{c.source}/a b"
    count = 60
    c.alpha(f"for n in $(seq 100 {100 + count}); do echo '{dataset}@foreign with a long name that costs much room on a command line '$n; done | xargs -d '\\n' -n 1 zfs snapshot")
    c.push()
    c.zfsync("prune", "--foreign", "--keep-last", "2", c.source, f"beta:{c.target}", says=f"{count - 1} snapshots of 1 dataset destroyed")
    for host, name in ((c.alpha, dataset), (c.beta, f"{c.target}/a b")):
        c.same(len(left(host, name)), 2, f"how many are left of {name}")
    c.in_sync()


# Takes the snapshots that are named on stdin by the library, as 300 processes of zfs take minutes under emulation.
MANY = """
import ctypes, sys
core, pairs = ctypes.CDLL("libzfs_core.so.3"), ctypes.CDLL("libnvpair.so.3")
core.libzfs_core_init()
for name in sys.stdin:
    wanted, errors = ctypes.c_void_p(), ctypes.c_void_p()
    pairs.nvlist_alloc(ctypes.byref(wanted), 1, 0)
    pairs.nvlist_add_boolean(wanted, name.strip().encode())
    if error := core.lzc_snapshot(wanted, None, ctypes.byref(errors)):
        sys.exit(f"{name}: error {error}")
"""


@case("J22")
def more_than_one_batch(c):
    """More names than one command of zfs gets: all portions are done, and nothing else."""
    c.tree({"": ""})
    # 64 KiB of names go into one `zfs destroy`.
    count, long = 300, "x" * (250 - len(c.source) - 6)
    program = c.script(c.alpha, "many.py", MANY)
    c.alpha(f"seq -f '{c.source}@%.0f-{long}' 1000 {1000 + count} | python3 {program}; zfs snapshot {c.source}@mine")
    c.zfsync("prune", "--foreign", "--keep-last", "2", c.source, says=f"{count} snapshots of 1 dataset destroyed")
    c.same(left(c.alpha, c.source), [f"{1000 + count}-{long}", "mine"], "what is left")


@case("I22")
def not_root(c):
    """A user who isn't root: told which permission is missing; with it, it works."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    command = f"su repl -c 'zfsync prune --keep-last 1 {c.source}' 2>&1"
    said = c.alpha(f"{command} || echo status $?")
    c.check("zfs allow" in said and "destroy,mount" in said and "status 1" in said, f"the permission isn't named: {said}")
    c.same(left(c.alpha, c.source), DAYS[:3], "what is left")
    c.alpha(f"zfs allow repl destroy,mount {c.source}; {command}")
    c.same(left(c.alpha, c.source), DAYS[2:3], "what is left with the permission")

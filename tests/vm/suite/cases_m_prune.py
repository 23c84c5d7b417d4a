"""Pruning out snapshots on both sides (rows H08 to H11, I09 to I11, R09, R15, R20, Z09)."""

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
def periods_and_dry_run(c):
    """Of each of the newest days and weeks that have a snapshot the newest stays, however long ago; a dry run lists just what goes then."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS)
    rules = ("--keep", "2w,3d", c.source)
    run = c.zfsync("prune", "-n", *rules, says="would be destroyed")
    c.same(left(c.alpha, c.source), DAYS, "what is left after a dry run")
    told = run.out.splitlines()
    c.zfsync("prune", *rules)
    stay = left(c.alpha, c.source)
    # Three days; and two weeks, of which the earlier one ends with Sunday the 3rd.
    c.same(stay, [DAYS[2], *DAYS[7:]], "what is left")
    c.same(told, [f"{c.source}@{name}" for name in DAYS if name not in stay], "what the dry run listed")
    run = c.zfsync("prune", "-v", *rules, says="nothing to destroy")
    c.same(run.out, "", "what goes the second time")


def hours(day, minutes, start=0):
    """Names of hourly snapshots, each so many minutes and seconds late."""
    return [f"{day}-{start + at:02}{late // 100:02}{late % 100:02}_H" for at, late in enumerate(minutes)]


@case("H10", "I11", alone=True)
def calendar_periods(c):
    """Late snapshots, a gap of a year, a clock that was far ahead: N hours that have one are N snapshots, on both sides, whenever it was pruned."""
    c.tree({"": "", "often": ""})
    before = hours("230601", [0, 2, 1, 0])
    late = hours("241101", [0, 2, 5959, 1, 0, 2, 5958, 3, 0, 1])
    wrong = "391124-000000_D"
    # Two in one hour: the second one stays; and one by a clock that was ahead.
    names = [*before, *late[:5], "241101-043000_M", *late[5:7], wrong, *late[7:]]
    counted = [name for name in names if name not in (wrong, late[4])]
    rules = ("--keep", "12h")
    make(c, c.alpha, c.source, *names)
    for name in names:
        make(c, c.alpha, f"{c.source}/often", name)
        c.zfsync("prune", "-q", *rules, f"{c.source}/often")
    c.push()
    target = f"beta:{c.target}"
    run = c.zfsync("prune", *rules, c.source, target, says=("2 dated in the future", f"{c.source}@{wrong} is kept: it is dated in the future"))
    stay = [name for name in names if name == wrong or name in counted[-12:]]
    c.same(len(stay), 13, "the length of what is to stay")
    for host, name in ((c.alpha, c.source), (c.beta, c.target), (c.alpha, f"{c.source}/often"), (c.beta, f"{c.target}/often")):
        c.same(left(host, name), stay, f"what is left of {name}")
    c.zfsync("prune", *rules, c.source, target, says="nothing to destroy")
    # A clock that has lost its time takes nothing away.
    c.cleanups.append((c.alpha, f"date -s @{c.beta('date +%s')}"))
    c.alpha("date -s 2001-01-01 >/dev/null")
    c.zfsync("prune", "--keep", "1h", c.source, says=("nothing to destroy", "and 23 more (-v)", "is the clock right?"))
    c.alpha(f"date -s @{c.beta('date +%s')} >/dev/null")
    c.in_sync()


@case("H10", alone=True)
def time_zones(c):
    """Days are those of --time-zone. Local time in names: the second half past two is another hour, by its class and for --keep."""
    c.tree({"": "", "utc": ""})
    berlin = "CET-1CEST,M3.5.0,M10.5.0/3"
    evening = ["241122-223000_D", "241122-233000_H", "241123-120000_D"]
    make(c, c.alpha, f"{c.source}/utc", *evening)
    c.zfsync("prune", "--keep", "2d", "--time-zone", berlin, f"{c.source}/utc")
    c.same(left(c.alpha, f"{c.source}/utc"), [evening[0], evening[2]], "what is left: half past eleven is tomorrow there")
    c.zfsync("prune", "--keep", "2d", "--time-zone", "Europe/Nowhere", f"{c.source}/utc", status=2, says="is not a time zone")
    c.cleanups.append((c.alpha, f"date -s @{c.beta('date +%s')}"))
    local = {"TZ": berlin}
    for second in ("2024-10-26 23:30:00", "2024-10-27 00:30:00", "2024-10-27 00:30:30", "2024-10-27 01:30:00", "2024-10-27 02:30:00"):
        c.alpha(f"date -u -s '{second}' >/dev/null; echo {second} >/{c.source}/file")
        c.zfsync("snapshot", "--no-recursive", "--local-time", c.source, env=local)
    names = left(c.alpha, c.source)
    c.same([name[:11] + name[13:] for name in names], ["241027-0130_D", "241027-0230_H", "241027-0230_S", "241027-0230_H-2", "241027-0330_H"], "the names")
    c.alpha(f"date -s @{c.beta('date +%s')} >/dev/null")
    c.push("--no-recursive")
    for _ in range(2):
        c.zfsync("prune", "--no-recursive", "--keep", "9h", "--local-time", c.source, f"beta:{c.target}", env=local)
        for host, name in ((c.alpha, c.source), (c.beta, c.target)):
            c.same(left(host, name), [names[0], *names[2:]], f"what is left of {name}: one of each hour, with half past two twice")


@case("I10", "H08", "H11")
def what_a_target_needs(c):
    """A target that is behind: its newest snapshot and all later ones stay here, known by its bookmark or by asking it; an increment follows."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    c.push()
    make(c, c.alpha, c.source, *DAYS[3:6])
    run = c.zfsync("prune", "--keep-last", "1", c.source, says="still needed")
    c.same(left(c.alpha, c.source), DAYS[2:6], "what is left, going by the bookmark")
    c.check(f"needed by beta:{c.target} (not queried" in run.err, f"it isn't told who needs them: {run.err}")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}", says=f"needed by beta:{c.target}")
    c.same(left(c.alpha, c.source), DAYS[2:6], "what is left, having asked the target")
    c.same(left(c.beta, c.target), DAYS[2:3], "what is left there: its newest is the common one")
    run = c.push("--json")
    c.same([step["from"] for step in run.of("step_started")], [f"@{DAYS[2]}"], "what the increment starts from")
    c.same(left(c.beta, c.target), DAYS[2:6], "what is there then")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}")
    c.same((left(c.alpha, c.source), left(c.beta, c.target)), ([DAYS[5]], [DAYS[5]]), "what is left when all have everything")
    # Nothing in common: nothing goes. What isn't there was named by mistake.
    c.zfsync("prune", "--keep-last", "0", "--foreign", c.source, f"beta:{c.target}/other", status=3, says="nothing was pruned")
    c.beta(f"zfs create {c.target}/other")
    c.zfsync("prune", "--keep-last", "0", "--foreign", c.source, f"beta:{c.target}/other", says="nothing to destroy")
    c.beta(f"zfs destroy {c.target}/other")
    c.in_sync()


@case("I10")
def a_forgotten_target(c):
    """A target that is not asked keeps snapshots here until it is told to be forgotten; the newest stays even then."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:1])
    c.push()
    make(c, c.alpha, c.source, *DAYS[1:4])
    c.zfsync("prune", "--keep-last", "0", c.source, says=f"zfsync forget {c.source}")
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
                   says=(f"{c.source}@{DAYS[2]} is kept: is held", f"{c.source}@{DAYS[4]} is kept: has clones ({c.source}-clone)"))
    c.same(left(c.alpha, c.source), [DAYS[2], DAYS[4], *DAYS[8:]], "what is left here")
    c.same(left(c.beta, c.target), [DAYS[1], *DAYS[8:]], "what is left there")
    c.check(f"beta:{c.target}@{DAYS[1]} is kept: is held" in run.err, f"what is held there isn't told: {run.err}")
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
        ([c.source], "no retention rule"),
        (["--keep-last", "1", f"beta:{c.target}"], "is a target without its source"),
        (["--keep-last", "1", c.source, f"{c.source}/x", f"beta:{c.target}"], "a single DATASET"),
        (["--keep", "7d,24h,3d", c.source], "a unit is given twice"),
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

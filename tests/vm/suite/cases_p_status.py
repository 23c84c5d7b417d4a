"""How far targets are behind: states, limits, forms of the answer, targets that don't answer (rows STATUS)."""

import re
import time

from cases_f_resume import big, cut, half
from harness import case
from hosts import Failed
from tools import Gate, helper


def rows(run):
    """{(target as named, dataset below SOURCE): the line of --json about it}."""
    found = {}
    for line in run.events:
        name = line["dataset"] and line["dataset"][len(line["source"]) + 1:]
        if found.setdefault((line["target"], name), line) is not line:
            raise Failed(f"two lines about {name!r} on {line['target']}")
    return found


def states(run):
    """{dataset below SOURCE: its state}, of a single target."""
    return {name: line["state"] for (_, name), line in rows(run).items()}


def creation(host, snapshot):
    """When a snapshot was made."""
    return int(host(f"zfs get -Hp -o value creation '{snapshot}'"))


def old(c, snapshot, seconds):
    """Waits until a snapshot is older than so many seconds."""
    c.alpha.wait_for("a snapshot is old enough", f"test $(date +%s) -gt $(($(zfs get -Hp -o value creation '{snapshot}') + {seconds}))")


@case("STATUS", "J18")
def every_state(c):
    """Each state by guid, with count and time; a tree with blanks in names; nothing is changed on either side."""
    c.tree({"": "s1", "a b": "s1", "a b/kid": "s1", "cut": "s1", "diverged": "s1", "own": "s1", "void": ""})
    c.push()
    s, t = c.source, c.target
    c.snapshot(f"{s}/a b@s2", f"{s}/a b@s3", f"{s}/diverged@s2", f"{s}/own@s2")
    c.tree({"": "s1"}, root=f"{s}/foreign")
    c.tree({"": "s1 s2"}, root=f"{s}/missing")
    c.beta(f"zfs set readonly=off {t}/diverged; zfs mount {t}/diverged; date >/{t}/diverged/file; zfs umount {t}/diverged")
    c.beta(f"zfs snapshot {t}/diverged@own {t}/own@own; zfs create {t}/foreign; zfs snapshot {t}/foreign@s1; zfs create '{t}/only there'")
    big(c, "s2", path="/cut")
    cut(c, half(c, f"-w -i @s1 {s}/cut@s2", f"{t}/cut"))
    with c.unchanged():
        run = c.zfsync("status", "--json", s, f"beta:{t}", status=2)
    c.same(states(run), {
        "": "in_sync", "a b": "behind", "a b/kid": "in_sync", "cut": "partial", "diverged": "conflict", "foreign": "conflict",
        "missing": "missing", "only there": "target_only", "own": "behind", "void": "no_snapshots"}, "the states")
    c.same([line["dataset"] for line in run.events], [f"{s}{p}" for p in (
        "", "/a b", "/a b/kid", "/cut", "/diverged", "/foreign", "/missing", "/only there", "/own", "/void")], "the order")
    found = {name: line for (_, name), line in rows(run).items()}
    behind = found["a b"]
    c.same((behind["behind_snapshots"], behind["behind_bytes"]), (2, None), "what `a b` lacks")
    c.same(behind["source_newest"], {"name": "s3", "creation": creation(c.alpha, f"{s}/a b@s3")}, "its newest here")
    c.same(behind["target_newest"], {"name": "s1", "creation": creation(c.beta, f"{t}/a b@s1")}, "its newest there")
    c.same(behind["common"], behind["target_newest"], "its newest common one")
    c.same(behind["behind_seconds"], behind["time"] - creation(c.alpha, f"{s}/a b@s2"), "since when it is behind")
    c.same(behind["gap_seconds"], creation(c.alpha, f"{s}/a b@s3") - creation(c.alpha, f"{s}/a b@s1"), "the gap")
    c.same((found["diverged"]["conflict"], found["foreign"]["conflict"]), ("diverged", "no_common"), "the conflicts")
    c.check("@own" in found["diverged"]["reason"], f"it isn't said what only the target has: {found['diverged']['reason']}")
    c.same(found["missing"]["behind_snapshots"], 2, "what is lacking of the missing one")
    with c.unchanged():
        run = c.zfsync("status", "--bytes", "--exclude", "foreign", "--exclude", "only*", s, f"beta:{t}", status=2)
        sized = c.zfsync("status", "--bytes", "--json", "--no-recursive", f"{s}/a b", f"beta:{t}/a b")
    c.check(rows(sized)[f"beta:{t}/a b", ""]["behind_bytes"] > 0, f"the size isn't told: {sized.out}")
    c.check("SIZE" in run.out and "foreign" not in run.out and "only there" not in run.out, f"the table: {run.out}")
    c.check("8 datasets: 1 in conflict, 1 missing, 1 partial, 2 behind, 1 without snapshots, 2 in sync" in run.out, f"the count: {run.out}")
    c.check("a b/kid" not in run.out, f"one in sync is listed: {run.out}")
    run = c.zfsync("status", "-v", s, f"beta:{t}", status=2)
    c.check("a b/kid" in run.out, f"one in sync is not listed with -v: {run.out}")


@case("STATUS", "J19")
def limits(c):
    """--warn and --crit: 0, 1 and 2, with the first line of a plugin; what gets no snapshots is in sync however old it is."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    target = f"beta:{c.target}"
    old(c, f"{c.source}@s1", 2)

    def told(status, word, *flags):
        run = c.zfsync("status", *flags, c.source, target, status=status)
        c.check(run.out.startswith(f"{word} - "), f"the first line: {run.out}")
        return run

    run = told(0, "OK", "--warn", "0", "--crit", "1s")
    c.check("2 in sync" in run.out.splitlines()[0], f"the first line: {run.out}")
    c.snapshot(f"{c.source}/kid@s2")
    old(c, f"{c.source}/kid@s2", 2)
    told(0, "OK", "--warn", "1h", "--crit", "1d")
    told(1, "WARNING", "--warn", "1s", "--crit", "1d")
    told(1, "WARNING", "--warn", "1s")
    told(2, "CRITICAL", "--warn", "1s", "--crit", "2s")
    run = c.zfsync("status", c.source, target)
    c.check(not re.match("OK|WARNING|CRITICAL", run.out), f"a plugin's line without limits: {run.out}")
    for flags in (("--json",), ("--prometheus",)):
        run = c.zfsync("status", *flags, "--crit", "1s", c.source, target, status=2)
        c.check("CRITICAL" not in run.out, f"a plugin's line in {flags}: {run.out}")
    # A child of the target that nobody has here is no reason to complain; a missing one is, without limits too.
    c.beta(f"zfs create {c.target}/more")
    c.zfsync("status", c.source, target)
    c.alpha(f"zfs create {c.source}/new; zfs snapshot {c.source}/new@s1")
    told(2, "CRITICAL", "--warn", "1d")
    c.zfsync("status", c.source, target, status=2)
    run = c.zfsync("status", "--warn", "1d", c.source, f"{target}-nowhere", status=2)
    c.check(run.out.startswith("CRITICAL - 3 missing"), f"the first line where nothing is: {run.out}")
    c.push()
    told(0, "OK", "--warn", "0")


@case("STATUS")
def dead_and_slow(c):
    """A dead target and one that never answers are unreachable, a row each; the rows of the others are there, and 2 is the end."""
    c.tree({"": "s1", "kid": "s1"})
    local = f"{c.source}-copy"
    c.push(target=local)
    silent = helper(c, command="exec sleep 100", name="silent")
    began = time.monotonic()
    run = c.zfsync("status", "--json", "--timeout", "8s", "--remote-zfsync", silent, c.source, "nowhere.invalid:x/y", local, f"beta:{c.target}", status=2)
    c.check(time.monotonic() - began < 40, "it took too long")
    found = rows(run)
    c.same({key: line["state"] for key, line in found.items()}, {
        ("nowhere.invalid:x/y", None): "unreachable", (local, ""): "in_sync", (local, "kid"): "in_sync",
        (f"beta:{c.target}", None): "unreachable"}, "the states")
    c.check("nowhere.invalid" in found["nowhere.invalid:x/y", None]["reason"], f"the reason: {run.out}")
    c.check("--timeout" in found[f"beta:{c.target}", None]["reason"], f"the reason: {run.out}")
    run = c.zfsync("status", c.source, local, "nowhere.invalid:x/y", status=2)
    c.check("2 datasets in sync" in run.out and "nowhere.invalid:x/y: unreachable: " in run.out, f"the table: {run.out}")
    run = c.zfsync("status", "--warn", "1d", c.source, "nowhere.invalid:x/y", local, status=2)
    c.check(run.out.startswith("CRITICAL - 1 unreachable, 2 in sync"), f"the first line: {run.out}")
    run = c.zfsync("status", "--prometheus", c.source, "nowhere.invalid:x/y", local, status=2)
    c.check(f'zfsync_target_up{{source="{c.source}",target="nowhere.invalid:x/y"}} 0\n' in run.out, f"the metrics: {run.out}")
    run = c.zfsync("status", f"{c.source}/nowhere", local, "nowhere.invalid:x/y", status=3, says="does not exist")
    c.same(run.out, "", "what is told of a source that isn't there")
    c.no_process_left(c.alpha)


SAMPLE = re.compile(r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} ([0-9]+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')


@case("STATUS")
def metrics(c):
    """--prometheus: each line parsed; help and type before the samples, all lines of a metric together, none twice, the right values."""
    c.tree({"": "s1", "a b": "s1"})
    c.push()
    c.snapshot(f"{c.source}/a b@s2")
    target = f"beta:{c.target}"
    run = c.zfsync("status", "--prometheus", c.source, target)
    c.check(run.out.endswith("\n"), "the last line has no end")
    helped, typed, samples = [], [], {}
    for line in run.out.splitlines():
        words = line.split(" ")
        if words[:2] == ["#", "HELP"]:
            helped.append(words[2])
        elif words[:2] == ["#", "TYPE"]:
            typed.append(words[2])
            c.same((words[3:], helped[-1]), (["gauge"], words[2]), f"the type after its help: {line}")
        else:
            match = SAMPLE.fullmatch(line)
            c.check(match, f"no sample: {line!r}")
            name, labels, value = match.groups()
            c.same(name, typed[-1], f"the metric of the last type, for {line}")
            key = (name, *sorted(LABEL.findall(labels)))
            c.check(key not in samples, f"twice: {line}")
            samples[key] = int(value)
    c.same(sorted(set(helped)), sorted(helped), "metrics with one help each")
    c.same(typed, ["zfsync_dataset_state", "zfsync_behind_seconds", "zfsync_behind_snapshots",
                   "zfsync_newest_common_timestamp_seconds", "zfsync_target_up", "zfsync_status_timestamp_seconds"], "the metrics")

    def value(name, path=None, **more):
        labels = {"source": c.source, **more}
        if path is not None:
            labels.update(dataset=f"{c.source}{path}", target=target)
        return samples.pop((name, *sorted(labels.items())), None)

    now = value("zfsync_status_timestamp_seconds")
    c.check(abs(now - int(c.alpha("date +%s"))) < 120, f"the time: {now}")
    c.same(value("zfsync_target_up", target=target), 1, "zfsync_target_up")
    common = creation(c.alpha, f"{c.source}@s1")
    for path, state, seconds, lacking in (("", "in_sync", 0, 0), ("/a b", "behind", now - creation(c.alpha, f"{c.source}/a b@s2"), 1)):
        c.same(value("zfsync_dataset_state", path, state=state), 1, f"the state of {path!r}")
        c.same(value("zfsync_behind_seconds", path), seconds, f"seconds of {path!r}")
        c.same(value("zfsync_behind_snapshots", path), lacking, f"snapshots of {path!r}")
        c.same(value("zfsync_newest_common_timestamp_seconds", path), common, f"the common one of {path!r}")
    c.same(samples, {}, "samples that nobody expects")


@case("STATUS")
def restricted(c):
    """A helper with --root tells of its tree and of no other; without any --allow it is enough."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    c.beta(f"zfs create {c.target}-beside; zfs snapshot {c.target}-beside@s1")
    bound = helper(c, command=f"exec zfsync recv --stdio --root {c.target}", name="bound")
    options = ("status", "--json", "--remote-zfsync", bound)
    with c.unchanged():
        run = c.zfsync(*options, c.source, f"beta:{c.target}")
        c.same(states(run), {"": "in_sync", "kid": "in_sync"}, "the states")
        run = c.zfsync(*options, f"{c.source}/kid", f"beta:{c.target}/kid")
        c.same(states(run), {"": "in_sync"}, "the states below the root")
        for outside in (f"{c.target}-beside", "bpool"):
            run = c.zfsync(*options, c.source, f"beta:{outside}", status=2)
            line = rows(run)[f"beta:{outside}", None]
            c.check(line["state"] == "unreachable" and f"may only access {c.target}" in line["reason"], f"outside of its root: {line}")
            c.same(len(run.events), 1, "lines")


@case("STATUS")
def beside_a_push(c):
    """A status works while a push is at work on the same tree, and disturbs it in nothing."""
    c.tree({"": "s1"})
    c.push()
    big(c, "s2")
    gate = Gate(c, 1 << 20)
    running = c.start(*gate.args)
    gate.reached()
    c.beta.wait_for("the receive has begun", f"test $(zfs get -H -o value receive_resume_token {c.target}) != -")
    run = c.zfsync("status", "--json", c.source, f"beta:{c.target}")
    c.same(states(run), {"": "partial"}, "the state meanwhile")
    gate.open()
    c.ended(running, 0, 120, ())
    c.same(states(c.zfsync("status", "--json", c.source, f"beta:{c.target}")), {"": "in_sync"}, "the state afterwards")
    c.in_sync()


@case("STATUS")
def known_by_a_bookmark(c):
    """All snapshots that are on the target are gone on the source: its bookmark counts, with the date that the target tells."""
    c.tree({"": "s1"})
    c.push()
    then = creation(c.beta, f"{c.target}@s1")
    c.snapshot(f"{c.source}@s2")
    c.alpha(f"zfs destroy {c.source}@s1")
    run = c.zfsync("status", "--json", "--bytes", c.source, f"beta:{c.target}")
    line = run.events[0]
    c.same((line["state"], line["behind_snapshots"], line["common"]), ("behind", 1, {"name": "s1", "creation": then}), "what is told")
    c.check(line["behind_bytes"] > 0, f"the size: {run.out}")
    # Another snapshot of the same name is not the same.
    c.alpha(f"zfs rename {c.source}@s2 {c.source}@s1")
    line = c.zfsync("status", "--json", c.source, f"beta:{c.target}", status=2).events[0]
    c.same((line["state"], line["conflict"]), ("conflict", "name_taken"), "what is told of a name that is taken")

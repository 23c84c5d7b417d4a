"""The record of destructions: what has gone, on either side, is written down by name, and nothing else is (rows DEL, R, C)."""

import json
import signal

from cases_g_conflicts import write
from cases_v_attack import LOG
from harness import case
from hosts import ALPHA
from tools import beside, cutting_helper, wrapped_zfs

EMPTY = "zfs receive -F onto an empty filesystem"


class Record:
    """A case's record, read anew after each run."""

    def __init__(self, c):
        self.c, self.place = c, f"/var/tmp/zfsync-suite/{c.name}/state"
        self.env = {"ZFSYNC_STATE_DIR": self.place}
        self.seen = 0

    def news(self):
        """The lines since the last look."""
        # Where zfsync runs, whichever way the data goes.
        lines = ALPHA.lines(f"cat {self.place}/destroyed.jsonl 2>/dev/null || true")
        new, self.seen = [json.loads(line) for line in lines[self.seen:]], len(lines)
        return new


def all_of(host, top):
    """Names and guids of a tree's datasets and snapshots."""
    rows = host.lines(f"zfs list -Hp -r -t filesystem,volume,snapshot -o name,guid {top} 2>/dev/null || true")
    return {tuple(row.split("\t")) for row in rows}


def told(lines, phase, *deeds):
    """What lines of a phase say was done: name, and guid of snapshots."""
    return {(line["name"], line.get("guid")) for line in lines if line["phase"] == phase and (not deeds or line["deed"] in deeds)}


def gone(before, after):
    """What is no longer there, as the record names it: datasets have no guid in it."""
    return {(name, guid if "@" in name else None) for name, guid in before - after}


def check(c, record, before, rule, hosts, deeds=("destroy",)):
    """The record has exactly what has gone, with this rule, and each thing was announced."""
    lines = record.news()
    after = all_of(c.alpha, c.source) | all_of(c.beta, c.target)
    c.same(told(lines, "done", *deeds), gone(before, after), "what the record says is gone")
    c.check(told(lines, "done") <= told(lines, "begin"), "something was done that was not announced")
    c.same({line["rule"] for line in lines}, {rule}, "the rules")
    c.same({line["host"] for line in lines}, set(hosts), "the hosts")
    c.same(len({line["run"] for line in lines}), 1, "runs")
    c.check(all(line["user"] == "root" and "zfsync" in line["command"] for line in lines), f"who it was: {lines}")
    return lines


def state(c):
    """Both sides."""
    return all_of(c.alpha, c.source) | all_of(c.beta, c.target)


NAMES = [f"2411{day:02}-000000_D" for day in range(1, 7)]


@case("RECORD")
def pruned(c):
    """prune on both sides, and cron: the record has what has gone, by which rule; what is held is no part of it. A dry run lists the same and records nothing."""
    record = Record(c)
    c.tree({"": "", "kid": ""})
    for name in NAMES:
        c.snapshot(f"{c.source}@{name}", f"{c.source}/kid@{name}")
    c.push()
    c.alpha(f"zfs hold mine {c.source}@{NAMES[1]}")
    before = state(c)
    rule = ("prune", "--keep-last", "2", c.source, f"beta:{c.target}")
    dry = c.zfsync(*rule[:1], "-n", *rule[1:], env=record.env, says="(--keep-last 2)")
    c.same(record.news(), [], "the record after a dry run")
    c.zfsync(*rule, env=record.env)
    lines = check(c, record, before, "--keep-last 2", [None, "beta"])
    names = {(f"{line['host']}:" if line["host"] else "") + line["name"] for line in lines if line["phase"] == "done"}
    c.same(set(dry.out.split()), names, "what the dry run listed")
    c.same({name for name, _ in told(lines, "kept")}, {f"{c.source}@{NAMES[1]}"}, "what could not go")
    before = state(c)
    c.zfsync("cron", "-d", "1", "-h", "0", "-m", "0", "-s", "0", "--prune-targets", c.source, f"beta:{c.target}", env=record.env)
    lines = record.news()
    c.same(told(lines, "done"), gone(before, state(c)), "what the record says cron has destroyed")
    c.check(told(lines, "done"), "cron has destroyed nothing")
    c.same({line["rule"] for line in lines}, {"--keep-class s=0,m=0,h=0,d=1"}, "cron's rule")


@case("RECORD")
def missing(c):
    """--delete-missing: datasets with all their snapshots, and single snapshots, each with its rule; so does the event."""
    record = Record(c)
    c.tree({"": "s1 s2 s3", "a": "s1 s2", "a/b": "s1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs destroy -r {c.source}/a; zfs destroy {c.source}@s2")
    before = state(c)
    flags = ("--delete-missing", "both", "--grace", "0", "--max-delete", "100%")
    dry = c.push("-n", *flags, env=record.env)
    c.check("--delete-missing datasets, --grace" in dry.out, f"the dry run does not name the rule: {dry.out}")
    c.same(record.news(), [], "the record after a dry run")
    run = c.push("--json", *flags, env=record.env)
    lines = record.news()
    done = told(lines, "done")
    c.same(done, gone(before, state(c)), "what the record says is gone")
    c.same({line["rule"].split(",")[0] for line in lines}, {"--delete-missing datasets", "--delete-missing snapshots"}, "the rules")
    events = {name for event in run.of("destroyed") for name in event["names"]}
    c.same(events, {name for name, _ in done}, "what the events name")


@case("RECORD")
def cures(c):
    """--rollback, --set-aside, --replace, and a first receive onto an empty filesystem."""
    record = Record(c)
    c.tree({"": "s1", "a": "s1"})
    c.beta(f"zfs create -o canmount=noauto {c.target}")
    dry = c.push("-n", env=record.env)
    c.check(f"{c.target} is replaced: {EMPTY}" in dry.out, f"the dry run does not say so: {dry.out}")
    c.push(env=record.env)
    lines = record.news()
    c.same(told(lines, "done"), {(c.target, None)}, "what was replaced")
    c.same({line["rule"] for line in lines}, {EMPTY}, "the rule")

    def diverge(number):
        write(c, "a", f"word{number}", f"mine{number}")
        c.snapshot(f"{c.source}/a@s{number}")

    diverge(2)
    before = state(c)
    c.push("--rollback", env=record.env)
    lines = check(c, record, before, "--rollback", ["beta"])
    c.same([line["to"] for line in lines if line["deed"] == "rollback" and line["phase"] == "done"], [f"{c.target}/a@s1"], "whereto")
    diverge(3)
    before = state(c)
    c.push("--set-aside", env=record.env)
    lines = record.news()
    c.same(told(lines, "done", "destroy"), set(), "what setting aside has destroyed")
    moved = [(line["name"], line["to"]) for line in lines if line["phase"] == "done"]
    c.same(len(moved), 1, "what was moved")
    c.check(moved[0][0] == f"{c.target}/a" and c.exists(c.beta, f"{moved[0][1]}@mine3"), f"it was moved elsewhere: {moved}")
    diverge(4)
    had = all_of(c.beta, f"{c.target}/a")
    c.push("--replace", f"{c.target}/a", env=record.env, status=1, says="has clones")
    lines = record.news()
    c.same({line["phase"] for line in lines}, {"begin", "kept"}, "phases of what was refused")
    c.same(told(lines, "kept"), told(lines, "begin"), "what was kept")
    c.beta(f"zfs destroy -r {moved[0][1]}")
    c.push("--replace", f"{c.target}/a", env=record.env)
    lines = record.news()
    wanted = {(name, guid) for name, guid in had if "@" in name}
    c.same(told(lines, "begin", "destroy"), wanted, "what --replace has announced")
    c.same(told(lines, "done", "destroy"), wanted, "what --replace has destroyed")
    c.check((f"{c.target}/a", None) in told(lines, "done", "replace"), f"the dataset itself is not named: {lines}")
    c.check(not c.exists(c.beta, f"{c.target}/a@mine4"), "the target's own snapshot is still there")
    c.in_sync()


@case("RECORD")
def partial(c):
    """The rest of a cut receive that can't be resumed is dropped, and that is written down."""
    record = Record(c)
    c.tree({"": "s1"})
    c.push()
    c.alpha(f"head -c 3000000 /dev/urandom >/{c.source}/big; zfs snapshot {c.source}@s2")
    c.push("--retries", "0", "--remote-zfsync", cutting_helper(c, 1_000_000), env=record.env, status=1)
    c.same(record.news(), [], "the record of a push that was cut")
    c.alpha(f"zfs destroy {c.source}@s2; zfs snapshot {c.source}@s3")
    c.push("-n", env=record.env, says="a run discards it")
    c.same(record.news(), [], "the record after a dry run")
    c.push(env=record.env)
    lines = record.news()
    c.same(told(lines, "done"), {(c.target, None)}, "what was dropped")
    c.same({(line["deed"], line["rule"]) for line in lines}, {("drop_partial", "it can't be resumed")}, "the rule")


KILLED = """
if [ "$1" = destroy ]; then
    {before}
    touch $place/reached
    sleep 600
fi"""


@case("RECORD", machine=True)
def killed_in_between(c):
    """kill -9 right before zfs destroys, and right after it has: whatever is gone is in the record."""
    record = Record(c)
    c.tree({"": ""})
    for name in NAMES:
        c.snapshot(f"{c.source}@{name}")
    for keep, before in ((4, ":"), (2, '$zfs "$@"')):
        place = wrapped_zfs(c, c.alpha, KILLED.format(before=before))
        had = state(c)
        running = c.start(argv=["zfsync", "prune", "--keep-last", str(keep), c.source], env={**record.env, **beside(place)})
        c.alpha.wait_for("zfs destroy", f"test -e {place}/reached")
        running.signal(signal.SIGKILL)
        running.end(60)
        lines = record.news()
        c.same({line["phase"] for line in lines}, {"begin"}, "phases")
        wanted = {(f"{c.source}@{name}", dict(had)[f"{c.source}@{name}"]) for name in NAMES[:-keep] if f"{c.source}@{name}" in dict(had)}
        c.same(told(lines, "begin"), wanted, "what was announced")
        lost = gone(had, state(c))
        c.same(lost, set() if before == ":" else wanted, "what is gone")


@case("RECORD", alone=True)
def target_log(c):
    """The target's system log names what was destroyed there, and for whom."""
    log, program = f"/var/tmp/zfsync-suite/{c.name}/log", c.script(c.beta, "log.py", LOG)
    c.beta(f"(setsid python3 {program} {log} >/dev/null 2>&1 &)")
    c.cleanups.append((c.beta, f"pkill -f '[p]ython3 {program}'; rm -f /dev/log"))
    c.beta.wait_for("the log listens", f"test -e {log}")
    c.tree({"": "", "a": "s1"})
    for name in NAMES:
        c.snapshot(f"{c.source}@{name}")
    c.push()
    before = all_of(c.beta, c.target)
    c.zfsync("prune", "--keep-last", "2", c.source, f"beta:{c.target}")
    lost = gone(before, all_of(c.beta, c.target))
    lines = [line for line in c.beta.lines(f"cat {log}") if "zfsync[" in line]
    c.same(len(lines), 1, "lines in the log")
    c.check(lines[0].startswith("<36>zfsync[") and f"destroyed of {c.target}:" in lines[0] and "sender at" in lines[0], lines[0])
    c.same({(f"{c.target}@{word[1:].rstrip(':')}") for word in lines[0].split() if word.startswith("@")}, {name for name, _ in lost}, "names")


@case("RECORD")
def unwritable(c):
    """A record that can't be written is told, and stops nothing."""
    c.tree({"": ""})
    for name in NAMES:
        c.snapshot(f"{c.source}@{name}")
    c.alpha(f"touch /var/tmp/zfsync-suite/{c.name}/file || (mkdir -p /var/tmp/zfsync-suite/{c.name}; touch /var/tmp/zfsync-suite/{c.name}/file)")
    place = f"/var/tmp/zfsync-suite/{c.name}/file/state"
    c.zfsync("prune", "-q", "--keep-last", "2", c.source, env={"ZFSYNC_STATE_DIR": place}, says=f"can't log what is destroyed (the run continues): {place}")
    c.same(c.snaps(c.alpha, c.source), NAMES[-2:], "what is left")

"""What runs leave for others to read: results in a state folder, logs, and the status of a job with its last outcome."""

import json
import os
import signal
import threading
from pathlib import Path
from urllib.parse import quote

from cases_m_prune import left
from cases_q_run import config
from harness import case
from hosts import Failed
from tools import Gate

# Blanks become three characters each: too long for a name of a file.
LONG = "a " * 80 + "a"


def place(c, name="state"):
    """A folder of this case, which runs on alpha itself."""
    return Path(f"/var/tmp/zfsync-suite/{c.name}/{name}")


def folder(c, target, name="state"):
    """Where the results of a target are."""
    return place(c, name) / quote(target, safe="")


def read(path):
    """A file's content, which has to be complete."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise Failed(f"{path} is no JSON: {error}") from None


def results(c, target):
    """{path below SOURCE: its file's content}."""
    files = [read(path) for path in folder(c, target).glob("*.json") if path.name != "run.json"]
    return {file["dataset"][len(c.source) + 1:]: file for file in files}


def touched(c, target):
    """What tells whether a file was written anew."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder(c, target).iterdir()}


def clean(c, target, *more):
    """There are results and nothing else."""
    odd = [path.name for path in folder(c, target).iterdir() if path.suffix != ".json" and path.name not in more]
    c.same(odd, [], "what else lies in the folder")


@case("STATE")
def good_and_bad(c):
    """A good run has a file for each dataset; nothing to do touches run.json alone; a conflict has its words and the last success."""
    c.tree({"": "s1", "a b": "s1", "kid": "s1", LONG: "s1", "void": ""})
    target, state = f"beta:{c.target}", ("--state-dir", str(place(c)))
    c.push("-n", *state)
    c.check(not place(c).exists(), "a dry run leaves something")
    c.push(*state)
    files = results(c, target)
    c.same({path: file["result"] for path, file in files.items()},
           {"": "in_sync", "a b": "in_sync", "kid": "in_sync", LONG: "in_sync", "void": "no_snapshots"}, "the results")
    kid = files["kid"]
    c.same([kid[key] for key in ("source", "target", "target_dataset", "error", "newest", "snapshots")],
           [c.source, target, f"{c.target}/kid", None, "s1", 1], "the file of `kid`")
    c.check(kid["bytes"] > 0 and kid["last_success"] == kid["time"], f"the file of `kid`: {kid}")
    run = read(folder(c, target) / "run.json")
    c.same([run["exit_code"], run["error"], run["counts"]["in_sync"], run["not_in_sync"]],
           [0, None, 4, {f"{c.source}/void": "no_snapshots"}], "run.json")
    clean(c, target)
    before = touched(c, target)
    c.push(*state)
    after = touched(c, target)
    c.check(before.pop("run.json") != after.pop("run.json"), "run.json was not written")
    c.same(after, before, "the files of what is in sync")
    confirmed = read(folder(c, target) / "run.json")["ended"]
    # One that has nothing in common any more; the others go on.
    c.snapshot(*(f"{c.source}{path}@s2" for path in ("", "/a b", "/kid")))
    c.beta(f"zfs destroy -r {c.target}/kid; zfs create -o canmount=noauto {c.target}/kid; zfs snapshot {c.target}/kid@other")
    c.push(*state, status=1, says="no common snapshot")
    files = results(c, target)
    kid = files["kid"]
    c.same([kid["result"], kid["newest"], kid["last_success"]], ["conflict", None, confirmed], "the file of `kid`")
    c.check("no common snapshot" in kid["error"] and "@other" in kid["error"], f"all words: {kid['error']}")
    c.same([files["a b"]["result"], files["a b"]["newest"]], ["in_sync", "s2"], "the file of `a b`")
    c.check(touched(c, target)[f"{quote(c.source + '/void', safe='')}.json"] == after[f"{quote(c.source + '/void', safe='')}.json"],
            "the file of one without snapshots was written")
    run = read(folder(c, target) / "run.json")
    c.same([run["exit_code"], run["counts"]["failed"], run["not_in_sync"].get(f"{c.source}/kid")], [1, 1, "conflict"], "run.json")
    c.beta(f"zfs destroy -r {c.target}/kid")
    c.push(*state)
    kid = results(c, target)["kid"]
    c.same([kid["result"], kid["error"], kid["snapshots"], kid["last_success"]], ["in_sync", None, 2, kid["time"]], "the file of `kid`")


@case("STATE")
def dead_and_alive(c):
    """cron to a good and a dead target: run.json tells of each; results from before stay; a folder that can't be used is a usage error."""
    c.tree({"": "s1", "kid": "s1"})
    c.beta(f"zfs create {c.target}")
    alive, dead = f"beta:{c.target}/alive", f"beta:nopool-{c.name}/x"
    args = ("--retries", "0", "--state-dir", str(place(c)))
    c.zfsync("cron", *args, c.source, alive, dead, status=1, says=(f"{alive}: ok", "has no pool"))
    run = read(folder(c, alive) / "run.json")
    c.same([run["exit_code"], run["error"], run["source"], run["target"]], [0, None, c.source, alive], "run.json of the one that lives")
    c.same({file["result"] for file in results(c, alive).values()}, {"in_sync"}, "the results of the one that lives")
    run = read(folder(c, dead) / "run.json")
    c.same([run["exit_code"], run["counts"]], [3, None], "run.json of the dead one")
    c.check("has no pool" in run["error"], f"why it could not start: {run['error']}")
    c.same(results(c, dead), {}, "the results of the dead one")
    # No ssh at all: what is known of the datasets stays, and when they were in sync.
    files, confirmed = results(c, alive), read(folder(c, alive) / "run.json")["confirmed"]
    c.push(*args, "-o", "PubkeyAuthentication=no", target=alive, status=3)
    run = read(folder(c, alive) / "run.json")
    c.same([run["exit_code"], run["confirmed"], results(c, alive) == files], [3, confirmed, True], "run.json after a refused login")
    c.check("denied" in run["error"].lower(), f"why it could not start: {run['error']}")
    place(c, "file").write_text("")
    for command in ("push", "cron"):
        c.zfsync(command, "--state-dir", str(place(c, "file")), c.source, alive, status=2, says="can't use the state directory")
    c.same(len(left(c.alpha, c.source)), 2, "snapshots: s1, and that of the first run")


class Reader:
    """Reads all results again and again, each of which has to be complete."""

    def __init__(self, where):
        self.where, self.stop, self.count, self.wrong = where, threading.Event(), 0, []
        self.thread = threading.Thread(target=self.read_all, daemon=True)
        self.thread.start()

    def read_all(self):
        """Until it is stopped."""
        while not self.stop.is_set():
            for path in self.where.glob("*.json"):
                try:
                    json.loads(path.read_text())
                    self.count += 1
                except ValueError as error:
                    self.wrong.append(f"{path.name}: {error}")
            self.stop.wait(0.002)

    def end(self, c):
        """Fails if it has seen a part of a file."""
        self.stop.set()
        self.thread.join()
        c.same(self.wrong, [], "files that were not complete")
        c.check(self.count > 0, "nothing was read")


@case("STATE")
def whole_files(c):
    """Whoever reads during a run finds complete files; a killed run leaves the last complete run.json, and the next run sweeps up."""
    paths = [f"n{number}" for number in range(8)]
    c.tree({"": "s1", **dict.fromkeys(paths, "s1")})
    target, state = f"beta:{c.target}", ("--state-dir", str(place(c)))
    folder(c, target).mkdir(parents=True)
    reader = Reader(folder(c, target))
    c.push(*state)
    c.snapshot(*(f"{c.source}/{path}@s2" for path in paths[1:]))
    c.push(*state)
    reader.end(c)
    clean(c, target)
    whole = read(folder(c, target) / "run.json")
    # Killed when one dataset is through and the next one stands.
    c.snapshot(f"{c.source}/n0@s2")
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/n1/file; zfs snapshot {c.source}/n1@s3")
    gate = Gate(c, 1 << 20)
    running = c.start(*gate.args, *state)
    gate.reached()
    c.alpha.wait_for("the result of the one that is through is there", f"grep -q '\"newest\": \"s2\"' {folder(c, target)}/{quote(c.source, safe='')}%2Fn0.json")
    c.same(read(folder(c, target) / "run.json"), whole, "run.json during the next run")
    running.signal(signal.SIGKILL)
    c.same(running.end(30).status, 137, "the exit status")
    gate.open()
    (folder(c, target) / ".half.tmp").write_text("{")
    c.no_process_left(c.beta, seconds=30)
    c.same(read(folder(c, target) / "run.json"), whole, "run.json after the kill")
    c.push(*state)
    c.in_sync()
    clean(c, target)
    c.same({file["result"] for file in results(c, target).values()}, {"in_sync"}, "the results")
    # A signal is an end in good order, and told.
    gate.shut()
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/n1/file; zfs snapshot {c.source}/n1@s4")
    running = c.start(*gate.args, *state)
    gate.reached()
    running.signal(signal.SIGTERM)
    c.same(running.end(60).status, 143, "the exit status")
    gate.open()
    run, n1 = read(folder(c, target) / "run.json"), results(c, target)["n1"]
    c.same([run["exit_code"], n1["result"], n1["newest"]], [143, "interrupted", "s3"], "what a stopped run leaves")
    clean(c, target)


def log_lines(c, path, job):
    """The lines of a log in JSON, all of the same job."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    c.check(lines and all(line["job"] == job and line["time"].endswith("Z") for line in lines), f"the log: {lines}")
    return lines


@case("LOG")
def both_forms(c):
    """push and cron write a log as text or as JSON, beside what they show; it may be moved away between runs."""
    c.tree({"": "s1", "kid": "s1"})
    target, text, log = f"beta:{c.target}", place(c, "new/text"), place(c, "json")
    run = c.push("-q", "--log-file", str(text))
    c.same((run.out, run.err), ("", ""), "what -q shows")
    lines = text.read_text().splitlines()
    c.check(any(f"Z {target}: {c.source}/kid: received @s1" in line for line in lines), f"the log: {lines}")
    os.rename(text, f"{text}.1")
    c.snapshot(f"{c.source}/kid@s2")
    run = c.push("--json", "--log-file", str(log), "--log-format", "json")
    told = [(line["about"], line["event"]) for line in log_lines(c, log, c.source)]
    c.check(set(told) >= {(target, "connected"), (target, "step_done"), (target, "finished")}, f"the log: {told}")
    shown = [event["event"] for event in run.events if event["event"] != "progress"]
    c.same([event for _, event in told if event != "progress"], shown, "the events in the log")
    run = c.push("--log-file", str(text), says="nothing to do")
    c.check("\x1b" not in run.err and "\r" not in run.err, f"lines for no terminal: {run.err!r}")
    c.same(len(text.read_text().splitlines()), 2, "lines in the new file")
    cron = place(c, "cron")
    c.zfsync("cron", "-o", str(cron), "--log-format", "json", c.source, target)
    about = {line["about"] for line in log_lines(c, cron, c.source)}
    c.same(about, {"snapshot", target, f"pruning {c.source}", c.source}, "what the log is about; the last is what the first run keeps")


@case("STATUS")
def of_a_job(c):
    """status JOB: all sources and targets of a job of the file, with filters, and what its last run has left."""
    c.tree({"": "", "x": "s1", "x/kid": "s1", "x/tmp": "s1", "y": "s1"})
    c.beta(f"zfs create {c.target}")
    path = config(c, f"""
[defaults]
state-dir = "{place(c)}"
snapshot.enabled = false
retries = 0
[job.both]
sources = ["{c.source}/x", "{c.source}/y"]
targets = ["beta:{c.target}"]
exclude = ["tmp"]
[job.dead]
source = "{c.source}/y"
targets = ["beta:nopool-{c.name}/y"]""")
    status = ("status", "--config", path)
    events = c.zfsync(*status, "--json", "both", status=2).events
    c.same([(line["dataset"], line["state"], line["last_result"], line["last_run"]) for line in events],
           [(f"{c.source}/{name}", "missing", None, None) for name in ("x", "x/kid", "y")], "before the first run")
    c.beta(f"zfs create -o canmount=noauto {c.target}/y; zfs snapshot {c.target}/y@other")
    c.zfsync("run", "--config", path, status=1)
    events = c.zfsync(*status, "--json", "both", status=2).events
    c.same([(line["dataset"], line["target"], line["state"], line["last_result"]) for line in events],
           [(f"{c.source}/x", f"beta:{c.target}/x", "in_sync", "in_sync"), (f"{c.source}/x/kid", f"beta:{c.target}/x", "in_sync", "in_sync"),
            (f"{c.source}/y", f"beta:{c.target}/y", "conflict", "conflict")], "after the first run")
    kid, bad = events[1], events[2]
    c.check(0 <= kid["time"] - kid["last_run"] < 300 and kid["last_success"] == kid["last_run"], f"the times: {kid}")
    c.check("no common snapshot" in bad["last_error"] and bad["last_success"] is None, f"the conflict: {bad}")
    run = c.zfsync(*status, "--crit", "1h", "-v", "both", status=2)
    c.check(run.out.startswith("CRITICAL - 1 in conflict, 2 in sync (2 sources on 2 targets)\n"), f"the first line: {run.out}")
    c.same(run.out.count("LAST RUN"), 2, "columns LAST RUN")
    c.check(" ago with exit code 1\n" in run.out, f"the table: {run.out}")
    run = c.zfsync(*status, "--prometheus", "both", status=2)
    for line in (f'zfsync_last_run_exit_code{{source="{c.source}/x",target="beta:{c.target}/x"}} 0',
                 f'zfsync_last_run_exit_code{{source="{c.source}/y",target="beta:{c.target}/y"}} 1',
                 f'zfsync_dataset_last_result{{source="{c.source}/y",target="beta:{c.target}/y",dataset="{c.source}/y",result="conflict"}} 1'):
        c.check(line in run.out.splitlines(), f"no {line} in {run.out}")
    heads = [line for line in run.out.splitlines() if line.startswith("# ")]
    c.same(len(heads), len(set(heads)), "metrics with one help and type each")
    # What a target without its pool has is not known; its last run came to no dataset.
    (line,) = c.zfsync(*status, "--json", "dead", status=2).events
    c.same((line["dataset"], line["state"], line["last_result"]), (None, "unreachable", None), "the dead target")
    c.zfsync(*status, "bth", status=2, says=('no job "bth"', 'did you mean "both"'))

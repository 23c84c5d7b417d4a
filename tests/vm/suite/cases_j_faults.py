"""What goes wrong in the middle of a run: killed processes, dead links, things that vanish (rows J, I07 to I21)."""

import signal

from cases_f_resume import big, ends_well, resumed, token
from harness import MARK, case
from tools import Gate, Terminal, beside, pids, sshd, wrapped_helper, wrapped_zfs

FAILING = """
if [ "$1" = {command} ]; then
    for n in $(seq {times}); do
        if mkdir $place/turn.$n 2>/dev/null; then kill -9 $$; fi
    done
fi"""


def tries(run):
    """For each failed step whether it was tried again."""
    return [event["retry"] for event in run.of("step_failed")]


def failures(c, run):
    """{path below the source: kind of failure}."""
    return {event["dataset"][len(c.source) + 1:]: event["kind"] for event in run.of("dataset_failed")}


@case("J01")
def killed_now_and_then(c):
    """A receive and a send are killed: with enough --retries all arrives; with too few the run fails, says how often it tried, and the next one works."""
    c.tree({"": "s1"})
    options = ("--json", "-j", "1", "--retry-max-wait", "1s")
    program = wrapped_helper(c, FAILING.format(command="recv", times=2))
    run = c.push(*options, "--retries", "2", "--remote-zfsync", program)
    c.same(tries(run), [True, True], "which failures of zfs recv were followed by another try")
    c.in_sync()
    c.snapshot(f"{c.source}@s2")
    here = beside(wrapped_zfs(c, c.alpha, FAILING.format(command="send", times=1)))
    run = c.push(*options, "--retries", "1", env=here)
    c.same(tries(run), [True], "which failures of zfs send were followed by another try")
    c.in_sync()
    c.snapshot(f"{c.source}@s3")
    program = wrapped_helper(c, FAILING.format(command="recv", times=2))
    run = c.push(*options, "--retries", "1", "--remote-zfsync", program, status=1)
    c.same(tries(run), [True, False], "which failures were followed by another try")
    c.check("tried 2 times" in run.of("dataset_failed")[0]["error"], f"it isn't said how often: {run.of('dataset_failed')}")
    c.push()
    c.in_sync()


@case("J13")
def two_at_once(c):
    """-j 2 has two streams open at the same time, -j 1 never: each receive waits for another one, or forbids it."""
    c.tree({"": "s1"})
    c.push()
    c.tree({"a": "s1", "b": "s1"})
    meeting = """
        if [ "$1" = recv ]; then
            touch $place/here.$$
            until [ $(ls $place/here.* | wc -l) -ge 2 ]; do sleep 0.1; done
        fi"""
    c.push("-j", "2", "--remote-zfsync", wrapped_helper(c, meeting), timeout=90)
    c.in_sync()
    c.snapshot(f"{c.source}/a@s2", f"{c.source}/b@s2")
    alone = """
        if [ "$1" = send ]; then
            mkdir $place/sending || echo "$*" >>$place/overlap
            $zfs "$@"; status=$?
            rmdir $place/sending
            exit $status
        fi"""
    place = wrapped_zfs(c, c.alpha, alone)
    c.push("-j", "1", env=beside(place))
    c.in_sync()
    c.same(c.alpha(f"cat {place}/overlap 2>/dev/null || true"), "", "sends beside others")


@case("J02", "J16")
def endless_sender(c):
    """A receiver that refuses while the sender could send for ever: told at once in its own words; what needs that dataset is skipped, others arrive."""
    c.tree({"": "s1", "bad": "s1", "bad/kid": "s1", "good": "s1"})
    words = "cannot receive new filesystem stream: permission denied"
    program = wrapped_helper(c, f"""case "$*" in "recv "*" {c.target}/bad@"*) echo '{words}' >&2; exit 1 ;; esac""")
    here = beside(wrapped_zfs(c, c.alpha, f"""case "$*" in "send "*{c.source}/bad@*) $zfs "$@"; exec cat /dev/zero ;; esac"""))
    run = c.push("--json", "--remote-zfsync", program, env=here, status=1)
    c.same(failures(c, run), {"bad": "failed", "bad/kid": "skipped"}, "what failed")
    c.check(words in run.of("dataset_failed")[0]["error"], f"the receiver's words are missing: {run.of('dataset_failed')}")
    c.same(tries(run), [False], "which failures were followed by another try")
    c.only("", "good")
    c.no_process_left()
    c.push()
    c.in_sync()


@case("I21")
def source_changes_meanwhile(c):
    """While the run sends the top, one dataset is destroyed, one renamed, and one loses a snapshot that is to be sent: the first two are reported, others arrive.

    The next run sends what there is then.
    """
    c.tree({"": "s1", "gone": "s1", "less": "s1 s2", "renamed": "s1", "stays": "s1"})
    change = f"""
        if [ "$1" = send ] && mkdir $place/once 2>/dev/null; then
            $zfs destroy -r {c.source}/gone; $zfs rename {c.source}/renamed {c.source}/elsewhere; $zfs destroy {c.source}/less@s1
        fi"""
    run = c.push("--json", "-j", "1", env=beside(wrapped_zfs(c, c.alpha, change)), status=1)
    c.same(failures(c, run), dict.fromkeys(("gone", "renamed"), "failed"), "what failed")
    for event in run.of("dataset_failed"):
        c.check("during the run" in event["error"], f"it isn't said what happened: {event['error']}")
    c.only("", "less", "stays")
    c.push()
    c.in_sync()


@case("I21")
def target_changes_meanwhile(c):
    """Before an increment arrives its target is destroyed, or renamed, or loses its newest snapshot: looked at again and brought in sync in the same run.

    [POLICY] What isn't there any more is received in full; what was renamed away stays where it is.
    """
    c.tree({"": "s1", "gone": "s1", "less": "s1", "renamed": "s1", "stays": "s1"})
    c.alpha(f"zfs snapshot {c.source}/less@s2")
    c.push()
    c.alpha(f"zfs snapshot -r {c.source}@s3")
    # The other receives wait: half-way through the destruction the target would be one without snapshots.
    change = f"""
        if [ "$1" = recv ] && mkdir $place/once 2>/dev/null; then
            $zfs destroy -r {c.target}/gone; $zfs rename {c.target}/renamed {c.target}/elsewhere; $zfs destroy {c.target}/less@s2
            touch $place/done
        elif [ "$1" = recv ]; then
            until test -e $place/done; do sleep 0.1; done
        fi"""
    run = c.push("--json", "-j", "1", "--remote-zfsync", wrapped_helper(c, change))
    c.in_sync(extra=("elsewhere",))
    c.check(c.exists(c.beta, f"{c.target}/elsewhere@s1"), "what was renamed away is gone")
    c.same(failures(c, run), {}, "what failed")
    c.safe()


@case("I10")
def target_down_for_long(c):
    """The target is down while the source destroys all snapshots that it knows: zfsync's bookmark of the last common one carries on.

    [POLICY] A host that refuses connections is told at once, exit 3; a later run is the retry.
    """
    c.tree({"": "s1"})
    c.push()
    for old, new in (("s1", "s2"), ("s2", "s3")):
        c.snapshot(f"{c.source}@{new}")
        c.push("-p", "1", status=3, says="refused")
        c.alpha(f"zfs destroy {c.source}@{old}")
    run = c.push("--json")
    first = run.of("step_started")[0]["from"] or ""
    c.check(first.startswith("#zfsync-") and first.endswith("-s1"), f"the base was {first!r}")
    c.same(c.snaps(c.beta, c.target), ["s1", "s3"], "the target's snapshots")


@case("I08", "I20", "J07", "J09", long=True)
def killed_in_a_tree(c):
    """A run dies half-way through a tree, three times: killed, its ssh killed, ended by SIGTERM. Nothing is left running, no hold, and the next goes on.

    What is there already is found out for each dataset, not from the top's snapshot.
    """
    c.tree({"": "s1", "big": "", "small": ""})
    # More than all buffers on the way can hold, whatever a run before has left to send.
    big(c, "s1", path="/big", megabytes=16)
    c.alpha(f"zfs snapshot {c.source}/small@s1")
    gate = Gate(c, 1 << 20)
    ends = {
        "killed": (137, lambda running: running.signal(signal.SIGKILL)),
        "connection": (1, lambda running: c.alpha(f"kill -9 {' '.join(pids(c, c.alpha, 'ControlMaster'))}")),
        "terminated": (143, lambda running: running.signal(signal.SIGTERM)),
    }
    for name, (status, end) in ends.items():
        gate.shut()
        running = c.start("--json", "--retries", "0", *gate.args)
        gate.reached()
        c.check(pids(c, c.alpha, "zfs send") and pids(c, c.beta, "zfs recv"), f"{name}: nothing runs")
        end(running)
        c.same(running.end(60).status, status, f"{name}: the exit status")
        c.beta.wait_for(f"{name}: no process is left", remaining(c), 60)
        c.alpha.wait_for(f"{name}: no zfs send is left", remaining(c, "zfs send"), 30)
        c.check(token(c, "/big"), f"{name}: what has arrived can't be gone on with")
        c.only("", "big")
    for host, root in c.shown:
        c.same(host(f"zfs list -H -o name -t snapshot -r {root} | xargs zfs holds -H"), "", f"holds on {host.name}")
    run = ends_well(c, c.push("--json"), "big", "small")
    c.same(resumed(run), {f"{c.source}/big": [True], f"{c.source}/small": [False]}, "which steps were resumed")


def remaining(c, program=""):
    """A script that fails as long as a process with the case's mark runs that program."""
    return f"""for file in $(grep -lsa '{MARK}={c.name}' /proc/[0-9]*/environ); do
        command=$(tr '\\0' ' ' <"${{file%environ}}cmdline") || continue
        case $command in *'{program}'*' '*) echo "$file: $command"; exit 1 ;; esac
    done"""


@case("I14", "J06", long=True)
def receive_stands_still(c):
    """A `zfs recv` that is stopped: --stall-timeout ends the step in time, the run fails when told not to retry, and goes on otherwise; 0 waits for ever."""
    c.tree({"": "s1"})
    c.push()
    c.tree({"once": "s1", "patient": "s1"})
    big(c, "s2", path="/once", megabytes=4)
    stop = 'if [ "$1" = recv ] && mkdir $place/stopped 2>/dev/null; then echo $$ >$place/pid; kill -STOP $$; fi'
    program = wrapped_helper(c, stop)
    run = c.push("--json", "--no-recursive", "--retries", "0", "--stall-timeout", "3s", "--remote-zfsync", program,
                 source=f"{c.source}/once", target=f"beta:{c.target}/once", status=1)
    c.check("--stall-timeout" in run.of("dataset_failed")[0]["error"], f"the reason isn't told: {run.of('dataset_failed')}")
    place = f"/var/tmp/zfsync-suite/{c.name}/wrapped"
    c.beta.wait_for("the stopped receive has been ended", f"! kill -0 $(cat {place}/pid)", 60)
    c.beta(f"rmdir {place}/stopped")
    run = c.push("--json", "--no-recursive", "--retry-max-wait", "1s", "--stall-timeout", "3s", "--remote-zfsync", program,
                 source=f"{c.source}/once", target=f"beta:{c.target}/once")
    c.same(tries(run)[0], True, "another try")
    c.beta(f"rmdir {place}/stopped; rm {place}/pid")
    # The helper that the run before has given up may hold its lock for some seconds more.
    patient = c.start("--stall-timeout", "0", "--wait-lock", "60s", "--remote-zfsync", program)
    c.beta.wait_for("the receive stands still", f"test -s {place}/pid && grep -q 'State:.T' /proc/$(cat {place}/pid)/status", 60)
    # Another run ends meanwhile by its timeout, this one goes on waiting.
    c.beta(f"mkdir {place}/second; rmdir {place}/stopped; mv {place}/pid {place}/second")
    c.tree({"": "s1"}, root=f"{c.source}-other")
    c.push("--retries", "0", "--stall-timeout", "5s", "--remote-zfsync", program, source=f"{c.source}-other",
           target=f"beta:{c.target}-other", status=1)
    c.check(patient.process.poll() is None, "--stall-timeout 0 has ended")
    c.beta(f"kill -CONT $(cat {place}/second/pid)")
    c.same(patient.end(60).status, 0, "the exit status of the patient one")
    c.in_sync()


PROXY = """#!/usr/bin/python3
import os, socket, sys, threading
# Stopped it must stay so, whoever of its parents ends.
os.setsid()
link = socket.create_connection(("beta", 22))

def out():
    while data := link.recv(65536):
        os.write(1, data)
    os._exit(0)

threading.Thread(target=out, daemon=True).start()
while data := os.read(0, 65536):
    link.sendall(data)
"""


@case("I14", long=True)
def black_hole(c):
    """The link is dead and nobody is told: the run ends by --stall-timeout, the helper over there by itself, and the next run goes on."""
    c.tree({"": ""})
    big(c, "s1", megabytes=6)
    proxy = c.script(c.alpha, "black-hole", PROXY)
    gate = Gate(c, 1 << 20)
    running = c.start("--json", "--retries", "0", "--stall-timeout", "3s", "-o", f"ProxyCommand={proxy}", *gate.args)
    gate.reached()
    links = pids(c, c.alpha, f"python3 {proxy}")
    c.check(links, "there is no link")
    c.alpha(f"kill -STOP {' '.join(links)}")
    try:
        gate.open()
        run = running.end(60)
        c.same(run.status, 1, "the exit status")
        c.check("--stall-timeout" in run.of("dataset_failed")[0]["error"], f"the reason isn't told: {run.of('dataset_failed')}")
        for program in ("zfsync recv", "zfs recv"):
            c.beta.wait_for(f"{program} has ended by itself", remaining(c, program), 150)
        c.alpha("\n".join(f"grep -q 'State:.T' /proc/{pid}/status" for pid in links))
    finally:
        c.alpha(f"kill -9 {' '.join(links)} || true")
    run = ends_well(c, c.push("--json"))
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@case("J17", "INT")
def terminal(c):
    """Bars on a terminal alone. Ctrl-C while the receiver stands still, then again: ends at once with 130; the terminal is as it was, nothing is left."""
    c.tree({"": ""})
    big(c, "s1")
    gate = Gate(c, 1 << 20)
    terminal = Terminal(c, "zfsync", "push", *gate.args, c.source, f"beta:{c.target}")
    gate.reached()
    terminal.interrupted_twice()
    text = terminal.text()
    c.check(text.rfind("\x1b[?25h") >= text.rfind("\x1b[?25l"), f"the cursor stays hidden: {text[-300:]!r}")
    c.check(terminal.restored(), "the terminal's settings have changed")
    c.beta.wait_for("no process is left", remaining(c), 60)
    c.alpha.wait_for("no zfs send is left", remaining(c, "zfs send"), 30)
    run = ends_well(c, c.push("--json", "-v"))
    c.check("\x1b" not in run.out + run.err and "\r" not in run.out + run.err, "control characters off a terminal")
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@case("I07", alone=True)
def twelve_runs(c):
    """Twelve runs at the same moment to a host that lets three log in at a time, all below one parent that is not there yet: all succeed."""
    runs = 12
    c.tree({"": "", **{f"d{number}": "s1" for number in range(runs)}})
    with sshd(c, "MaxStartups=3:100:3") as server:
        running = [c.start("-j", "1", *server.args, source=f"{c.source}/d{number}", target=f"beta:{c.target}/d{number}")
                   for number in range(runs)]
        found = [one.end(240) for one in running]
    c.same([run.status for run in found], [0] * runs, "the exit statuses\n" + "\n".join(str(run) for run in found if run.status))
    c.in_sync()

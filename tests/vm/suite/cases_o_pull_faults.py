"""What goes wrong in the middle of a pull: killed processes on either side, dead links, signals, things that vanish (row PULL)."""

import signal

from cases_f_resume import big, ends_well, resumed, token
from cases_j_faults import PROXY, failures, remaining, tries
from hosts import ALPHA, BETA
from pull import SourceGate, pull_case, source_helper
from tools import Terminal, beside, pids, wrapped_zfs


def wrapped_source(c, text, **more):
    """A helper of the source whose `zfs` does something first."""
    return source_helper(c, f"PATH={wrapped_zfs(c, BETA, text)}:$PATH; export PATH", **more)


def standing(c, gate, *args):
    """A pull whose stream stands, with its receive at work."""
    gate.shut()
    running = c.start("--json", *args, *gate.args)
    begun(c, gate)
    return running


def begun(c, gate):
    """Waits until the stream stands, with its receive at work."""
    gate.reached()
    ALPHA.wait_for("the receive has begun", f"zfs list -H -o receive_resume_token {c.target} {c.target}/%recv 2>/dev/null | grep -q .")


def quiet(c):
    """Nothing of the run is left on either side."""
    BETA.wait_for("nothing is left over there", remaining(c), 100)
    ALPHA.wait_for("nothing is left here", remaining(c), 30)


@pull_case("INT", "I08", long=True)
def signals(c):
    """SIGINT, SIGTERM and SIGKILL in the middle of a stream: 130, 143; nothing is left running on either side, what has arrived stays, the next run resumes."""
    c.tree({"": ""})
    big(c, "s1", megabytes=4)
    gate = SourceGate(c, 1 << 20)
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        running = standing(c, gate)
        c.check(pids(c, BETA, "zfsync send"), "there is no helper over there")
        running.signal(number)
        run = running.end(30)
        c.same(run.status, status, f"the exit status after signal {number}")
        c.check(run.seconds < 60, f"it took {run.seconds} s")
        quiet(c)
        c.check(token(c), f"after signal {number} nothing is left to go on with")
    run = ends_well(c, c.pull("--json"))
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@pull_case("INT")
def sigint_while_connecting(c):
    """Ctrl-C while the helper over there hasn't greeted yet, and while it hasn't answered."""
    c.tree({"": "s1"})
    place = f"/var/tmp/zfsync-suite/{c.name}"
    mute = source_helper(c, f"touch {place}/started", "exec cat >/dev/null", name="mute")
    frozen = source_helper(c, command=f'zfsync "$@" | (head -n 1; touch {place}/started; exec sleep 1000)', name="frozen")
    for program in (mute, frozen):
        BETA(f"mkdir -p {place}; rm -f {place}/started")
        running = c.start("--remote-zfsync", program)
        BETA.wait_for("the helper was started", f"test -e {place}/started")
        running.signal(signal.SIGINT)
        c.same(running.end(20).status, 130, "the exit status")
        BETA(f"kill {' '.join(pids(c, BETA, 'sleep 1000'))} 2>/dev/null || true")
        quiet(c)
    c.check(not c.exists(ALPHA, c.target), "the target was made")


@pull_case("J17", "INT")
def on_a_terminal(c):
    """Bars on a terminal; Ctrl-C twice while the source stands still: ends at once with 130, and the next run resumes."""
    c.tree({"": ""})
    big(c, "s1")
    gate = SourceGate(c, 1 << 20)
    terminal = Terminal(c, "zfsync", "pull", *gate.args, f"beta:{c.source}", c.target)
    begun(c, gate)
    terminal.interrupted_twice()
    c.check(terminal.restored(), "the terminal's settings have changed")
    quiet(c)
    run = ends_well(c, c.pull("--json"))
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@pull_case("D01", "D14", "J07", long=True)
def killed_over_there(c):
    """The helper over there, its `zfs send`, the ssh master, the receive here is killed in the middle: the same run goes on, resumed, and ends in sync."""
    c.tree({"": ""})
    gate = SourceGate(c, 1 << 20)
    victims = {"helper": (BETA, "zfsync send"), "send": (BETA, "zfs send"), "master": (ALPHA, "ControlMaster"), "receive": (ALPHA, "zfs recv")}
    for number, (name, (host, words)) in enumerate(victims.items()):
        big(c, f"s{number}", megabytes=3)
        running = standing(c, gate, "--retry-max-wait", "1s")
        found = pids(c, host, words)
        c.check(found, f"{name}: nothing to kill")
        # Before the gate opens: the next helper finds it open.
        host(f"kill -9 {' '.join(found)}")
        gate.open()
        run = running.end(150)
        c.same(run.status, 0, f"{name}: the exit status")
        c.check(True in tries(run), f"{name}: no step was tried again: {run.of('step_failed')}")
        c.check(any(resumed(run, True)[c.source][1:]), f"{name}: no further try was resumed: {resumed(run, True)}")
        ends_well(c, run)
    quiet(c)


@pull_case("D01", long=True)
def killed_for_good(c):
    """The same without retries: the run fails with 1 and says where, and the next run continues from there."""
    c.tree({"": ""})
    big(c, "s1", megabytes=4)
    gate = SourceGate(c, 1 << 20)
    for name, words in (("helper", "zfsync send"), ("send", "zfs send")):
        running = standing(c, gate, "--retries", "0")
        BETA(f"kill -9 {' '.join(pids(c, BETA, words))}")
        gate.open()
        run = running.end(100)
        c.same(run.status, 1, f"{name}: the exit status")
        c.check("beta" in str(run.of("dataset_failed")), f"{name}: the host isn't named: {run.of('dataset_failed')}")
        c.check(token(c), f"{name}: nothing is left to go on with")
        quiet(c)
    run = ends_well(c, c.pull("--json"))
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@pull_case("J01")
def killed_now_and_then(c):
    """A send is killed at its start: with enough --retries all arrives; with too few the run fails and says how often it tried."""
    c.tree({"": "s1"})
    options = ("--json", "-j", "1", "--retry-max-wait", "1s")
    kill = 'if [ "$1" = send ]; then for n in $(seq 2); do if mkdir $place/turn.$n 2>/dev/null; then kill -9 $$; fi; done; fi'
    run = c.pull(*options, "--retries", "2", "--remote-zfsync", wrapped_source(c, kill))
    c.same(tries(run), [True, True], "which failures were followed by another try")
    c.in_sync()
    c.snapshot(f"{c.source}@s2")
    run = c.pull(*options, "--retries", "1", "--remote-zfsync", wrapped_source(c, kill), status=1)
    c.same(tries(run), [True, False], "which failures were followed by another try")
    c.check("tried 2 times" in run.of("dataset_failed")[0]["error"], f"it isn't said how often: {run.of('dataset_failed')}")
    c.pull()
    c.in_sync()


@pull_case("I14", "J06", long=True)
def stands_still(c):
    """A `zfs send` over there, or the receive here, that is stopped: --stall-timeout ends the step in time; the next run goes on."""
    c.tree({"": "s1"})
    c.pull()
    stop = 'if [ "$1" = {} ] && mkdir $place/stopped 2>/dev/null; then echo $$ >$place/pid; kill -STOP $$; fi'
    place = f"/var/tmp/zfsync-suite/{c.name}/wrapped"
    for number, (name, host) in enumerate((("send", BETA), ("recv", ALPHA))):
        big(c, f"n{number}", megabytes=2)
        if name == "send":
            options, env = ("--remote-zfsync", wrapped_source(c, stop.format(name))), None
        else:
            options, env = (), beside(wrapped_zfs(c, ALPHA, stop.format(name)))
        run = c.pull("--json", "--retries", "0", "--stall-timeout", "3s", *options, env=env, status=1, timeout=60)
        c.check("--stall-timeout" in run.of("dataset_failed")[0]["error"], f"{name}: the reason isn't told: {run.of('dataset_failed')}")
        host.wait_for(f"{name}: the stopped one has been ended", f"! kill -0 $(cat {place}/pid)", 60)
        host(f"rmdir {place}/stopped; rm {place}/pid")
        run = c.pull("--json", "--retry-max-wait", "1s", "--stall-timeout", "3s", *options, env=env)
        c.same(tries(run)[:1], [True], f"{name}: another try")
        ends_well(c, run)
        host(f"rm -rf {place}/stopped")


@pull_case("I14", long=True)
def black_hole(c):
    """The link is dead and nobody is told: the run ends by --stall-timeout, the helper over there by itself, and the next run resumes."""
    c.tree({"": ""})
    big(c, "s1", megabytes=6)
    proxy = c.script(ALPHA, "black-hole", PROXY)
    gate = SourceGate(c, 1 << 20)
    running = standing(c, gate, "--retries", "0", "--stall-timeout", "3s", "-o", f"ProxyCommand={proxy}")
    links = pids(c, ALPHA, f"python3 {proxy}")
    c.check(links, "there is no link")
    ALPHA(f"kill -STOP {' '.join(links)}")
    try:
        gate.open()
        run = running.end(60)
        c.same(run.status, 1, "the exit status")
        c.check("--stall-timeout" in run.of("dataset_failed")[0]["error"], f"the reason isn't told: {run.of('dataset_failed')}")
        for program in ("zfsync send", "zfs send"):
            BETA.wait_for(f"{program} has ended by itself", remaining(c, program), 150)
    finally:
        ALPHA(f"kill -9 {' '.join(links)} || true")
    run = ends_well(c, c.pull("--json"))
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")


@pull_case("D01", "D10")
def cut_again_and_again(c):
    """Each stream is cut after some bytes: each try gets further, so the run ends well though it takes more tries than --retries has."""
    c.tree({"": ""})
    big(c, "a", megabytes=5)
    head = c.script(BETA, "head.py", "import os, sys\nleft = 1 << 20\nwhile left and (data := os.read(0, min(left, 65536))):\n    left -= len(data)\n"
                                     "    while data: data = data[os.write(1, data):]")
    program = source_helper(c, command=f'zfsync "$@" | python3 {head}')
    options = ("--json", "--retry-max-wait", "1s", "-j", "1", "--remote-zfsync", program)
    run = c.pull(*options, "--retries", "0", status=1)
    # The receive that was cut may still be ending.
    c.beta(f"for n in $(seq 600); do [ \"$(zfs list -H -o receive_resume_token {c.target})\" = - ] || exit 0; sleep 0.1; done; exit 1")
    c.snapshot(f"{c.source}@b", f"{c.source}@c")
    run = ends_well(c, c.pull(*options, "--retries", "2", "--wait-lock", "60s"))
    found = resumed(run, True)[c.source]
    c.check(len(found) >= 5 and all(found[:-1]), f"which steps were resumed: {found}")


@pull_case("I21")
def source_changes_meanwhile(c):
    """While the top is sent, one dataset is destroyed over there, one renamed, and one loses a snapshot that is to be sent: the first two are reported, others arrive."""
    c.tree({"": "s1", "gone": "s1", "less": "s1 s2", "renamed": "s1", "stays": "s1"})
    change = f"""
        if [ "$1" = send ] && mkdir $place/once 2>/dev/null; then
            $zfs destroy -r {c.source}/gone; $zfs rename {c.source}/renamed {c.source}/elsewhere; $zfs destroy {c.source}/less@s1
        fi"""
    run = c.pull("--json", "-j", "1", "--remote-zfsync", wrapped_source(c, change), status=1)
    c.same(failures(c, run), dict.fromkeys(("gone", "renamed"), "failed"), "what failed")
    for event in run.of("dataset_failed"):
        c.check("during the run" in event["error"], f"it isn't said what happened: {event['error']}")
    c.only("", "less", "stays")
    c.pull()
    c.in_sync()


@pull_case("J02", "J16")
def refusing_receiver(c):
    """A receive here that refuses while the source stands before the end of its stream: told at once in its own words; what needs it is skipped, others arrive."""
    c.tree({"": "s1", "bad": "s1", "bad/kid": "s1", "good": "s1"})
    words = "cannot receive new filesystem stream: permission denied"
    here = beside(wrapped_zfs(c, ALPHA, f"""case "$*" in "recv "*" {c.target}/bad@"*) echo '{words}' >&2; exit 1 ;; esac"""))
    # Without its END record: what came behind that would be a fault of the stream, told or not as the two went on.
    endless = wrapped_source(c, f"""case "$*" in "send "*{c.source}/bad@*) $zfs "$@" | head -c -312; exec sleep 1000 ;; esac""")
    run = c.pull("--json", "--remote-zfsync", endless, env=here, status=1)
    c.same(failures(c, run), {"bad": "failed", "bad/kid": "skipped"}, "what failed")
    c.check(words in run.of("dataset_failed")[0]["error"], f"the receiver's words are missing: {run.of('dataset_failed')}")
    c.only("", "good")
    quiet(c)
    c.pull()
    c.in_sync()


@pull_case("J13")
def many_at_once(c):
    """-j 4 has several streams open at the same time over one connection and over two; -j 1 never two."""
    c.tree({"": "s1", **{f"d{number}": "s1" for number in range(6)}})
    meeting = """
        if [ "$1" = send ] && [ ! -e $place/met ]; then
            touch $place/here.$$
            n=0
            until [ $(ls $place/here.* | wc -l) -ge 2 ] || [ $n = 300 ]; do sleep 0.1; n=$((n + 1)); done
            [ $n = 300 ] || touch $place/met
        fi"""
    # The top comes before all that lies below it.
    c.pull("--no-recursive")
    program = wrapped_source(c, meeting)
    c.pull("-j", "4", "--connections", "2", "--remote-zfsync", program, timeout=90)
    c.in_sync()
    BETA(f"test -e /var/tmp/zfsync-suite/{c.name}/wrapped/met")
    c.far(f"zfs snapshot -r {c.source}@s2")
    alone = """
        if [ "$1" = send ]; then
            mkdir $place/sending || echo "$*" >>$place/overlap
            $zfs "$@"; status=$?
            rmdir $place/sending
            exit $status
        fi"""
    c.pull("-j", "1", "--remote-zfsync", wrapped_source(c, alone))
    c.in_sync()
    c.same(BETA(f"cat /var/tmp/zfsync-suite/{c.name}/wrapped/overlap 2>/dev/null || true"), "", "sends beside others")

"""From one host straight to another (--direct): alpha has beta send to alpha, with beta's own ssh (row DIRECT)."""

import signal

from cases_f_resume import ends_well
from cases_h_bookmarks import guid, own
from cases_h_targets import noted
from cases_j_faults import remaining
from cases_o_pull import same_content
from harness import MARK
from hosts import ALPHA, BETA
from pull import pull_case
from tools import PREFIX, RELAY, permit_key, pids

AROUND = "without --direct the data passes through this machine"


def ends(c, source=None, target=None):
    """SOURCE on beta, TARGET on alpha, as this machine calls both."""
    return f"beta:{source or c.source}", f"alpha:{target or c.target}"


def direct(c, *args, command="push", source=None, target=None, **options):
    """Has beta push."""
    return c.push(argv=["zfsync", command, "--direct", *args, *ends(c, source, target)], **options)


def helpers(c, text):
    """A program for --remote-zfsync, the same on both hosts: its processes bear the mark."""
    program = f"{PREFIX}export {MARK}={c.name}\n{text}"
    for host in (ALPHA, BETA):
        path = c.script(host, "zfsync-there", program)
    return ["--remote-zfsync", path]


class DirectGate:
    """Stops the stream on the target's host (alpha) after some bytes until it is opened."""

    def __init__(self, c, limit=1 << 20):
        self.place = f"/var/tmp/zfsync-suite/{c.name}/gate"
        relay = c.script(ALPHA, "relay.py", RELAY)
        self.shut()
        self.args = ["-j", "1", *helpers(c, f'case $1 in recv) python3 {relay} {limit} {self.place} | zfsync "$@" ;; *) exec zfsync "$@" ;; esac')]

    def shut(self):
        """For a run."""
        ALPHA(f"mkdir -p {self.place}; rm -f {self.place}/*")

    def reached(self):
        """Waits until the stream stands."""
        ALPHA.wait_for("the stream stands at the gate", f"test -e {self.place}/reached", 60)

    def open(self):
        """Lets it go on."""
        ALPHA(f"touch {self.place}/go")


def quiet(c):
    """Nothing of the case runs any more on either host."""
    for host in (ALPHA, BETA):
        host.wait_for("nothing is left", remaining(c), 100)


def with_file(c, megabytes, snap):
    """A file that takes a while, and a snapshot."""
    BETA(f"head -c {megabytes}M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@{snap}")


@pull_case("DIRECT")
def direct_whole_tree(c):
    """A tree with a volume goes from host to host; a dry run before changes nothing; increments; nothing to do. The bytes don't pass through this machine's zfsync."""
    c.tree({"": "s1 s2", " a  b": "s1", "vol": "s1", "none": ""}, volumes=("vol",))
    BETA(f"head -c 300000 /dev/urandom >'/{c.source}/Grüße'; zfs snapshot {c.source}@s3")
    with c.unchanged():
        run = direct(c, "-n")
        c.check("3 datasets to update, 5 snapshots" in run.out, "the plan was not shown")
        run = direct(c, "-n", "--json")
        c.same(len(run.of("plan")[0]["rows"]), 5, "rows of the plan")
    direct(c, "-v", says=("connected", "in sync (3 updated, 1 without snapshots)"))
    c.in_sync()
    c.safe()
    same_content(c, c.source, c.target, "s1", "s3")
    c.same(c.volume_checksum(c.near, f"{c.target}/vol@s1"), c.volume_checksum(c.far, f"{c.source}/vol@s1"), "the volume")
    c.same((list(own(c).values()), len(noted(c))), ([guid(c, f"{c.source}@s3")], 1), "bookmarks and notes")
    c.snapshot(f"{c.source}@s4", f"{c.source}@s5", f"{c.source}/ a  b@s2")
    run = direct(c, "--json", command="pull")
    c.same((run.finished["snapshots"], run.finished["in_sync"]), (3, 3), "what the last event says")
    c.in_sync()
    same_content(c, c.source, c.target, "s5")
    with c.unchanged():
        c.same(direct(c, "--json").of("step_started"), [], "steps with nothing to do")
    # It is the target that beta knows from a push of its own.
    c.snapshot(f"{c.source}@s6")
    BETA(f"zfsync push {c.source} alpha:{c.target}")
    c.same((len(own(c)), len(noted(c))), (1, 1), "bookmarks and notes of a single target")


@pull_case("DIRECT", "BAD")
def direct_refused(c):
    """One end here, a host that can't be reached from the other, no zfsync there, a login that is refused there: said with what to do instead, and nothing changes."""
    c.tree({"": "s1"})
    with c.unchanged():
        c.push(argv=["zfsync", "push", "--direct", c.target, f"beta:{c.source}"], status=2, says="two other hosts")
        c.push(argv=["zfsync", "push", "--direct", f"beta:{c.source}", c.target], status=2, says="two other hosts")
        direct(c, "-p", "22", status=2, says=("-p", "ssh_config"))
        c.push(argv=["zfsync", "push", "--direct", f"beta:{c.source}", f"nosuchhost.invalid:{c.target}"], status=3,
               says=("beta: can't connect to nosuchhost.invalid: ssh says", AROUND))
        c.push(argv=["zfsync", "push", "--direct", f"beta:{c.source}", f"nobody@alpha:{c.target}"], status=3,
               says=("beta: can't connect to nobody@alpha: ssh says", "permission denied", AROUND))
        direct(c, "--remote-zfsync", "/nowhere/zfsync", status=3, says=("beta has no zfsync", AROUND))
        direct(c, source=f"{c.source}/nosuch", status=3, says=(f"beta: can't list {c.source}/nosuch on beta", "does not exist"))
        direct(c, target="nopool/x", status=3, says=("beta: ", "nopool"))


@pull_case("DIRECT", "C01")
def direct_conflicts(c):
    """A diverged target ends with 1 and its ways out, which do as they say."""
    c.tree({"": "s1", "kid": "s1"})
    direct(c)
    ALPHA(f"zfs set readonly=off {c.target}/kid; zfs mount {c.target}/kid; echo x >/{c.target}/kid/x; zfs snapshot {c.target}/kid@own; "
          f"zfs unmount {c.target}/kid")
    c.snapshot(f"{c.source}/kid@s2", f"{c.source}@s2")
    direct(c, status=1, says=("has diverged", "--rollback, which loses @own", "--set-aside", f"--replace '{c.target}/kid'", "1 of 2 datasets in conflict"))
    with c.unchanged():
        direct(c, "-n", "--rollback")
    direct(c, "--rollback")
    c.in_sync()


@pull_case("DIRECT", "INT", "D01", long=True)
def direct_interrupted(c):
    """Signals, a killed zfsync here, a connection to beta that is cut, a killed zfsync there: nothing is left on either host, and the next run resumes."""
    c.tree({"": ""})
    with_file(c, 24, "s1")
    gate = DirectGate(c)

    def started():
        gate.shut()
        running = c.start(argv=["zfsync", "push", "--direct", "--json", *gate.args, *ends(c)])
        gate.reached()
        return running

    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        running = started()
        running.signal(number)
        c.same(running.end(30).status, status, f"the exit status after signal {number}")
        gate.open()
        quiet(c)
    for number, (host, words) in enumerate(((ALPHA, "ssh -M"), (BETA, "zfsync direct"))):
        running = started()
        # The ssh that alpha has started to beta is the only one on alpha; beta's own runs there.
        host(f"kill -9 {' '.join(pids(c, host, words))}")
        run = running.end(60)
        c.same(run.status, 1, f"the exit status after {words} was killed")
        c.check("was lost" in run.out, "the lost connection was not told")
        gate.open()
        quiet(c)
        run = direct(c, "--json", *gate.args)
        c.check(any(event["resumed"] for event in run.of("step_started")), "nothing was resumed")
        ends_well(c, run)
        with_file(c, 4, f"after-{number}")
    direct(c)
    c.in_sync()


@pull_case("DIRECT", "J05")
def direct_lock(c):
    """The target's tree is locked on its own host: another run that would fill it ends with 4."""
    c.tree({"": ""})
    with_file(c, 3, "s1")
    gate = DirectGate(c)
    running = c.start(argv=["zfsync", "push", "--direct", *gate.args, *ends(c)])
    gate.reached()
    direct(c, status=4, says=("another", "run", c.target))
    c.push(argv=["zfsync", "pull", f"beta:{c.source}", c.target], status=4, says=("another", "run", c.target))
    gate.open()
    c.same(running.end(100).status, 0, "the exit status of the first")
    c.in_sync()


@pull_case("DIRECT", "KEY")
def direct_keys(c):
    """A key that may only start a helper on beta is no good for --direct; a key for alpha that only this machine's agent has is, with --forward-agent."""
    c.tree({"": "s1"})
    place, user = f"/var/tmp/zfsync-suite/{c.name}", f"u{c.name[-12:].replace('_', '')}"
    ALPHA(f"""mkdir -p {place}/home/.ssh; rm -f {place}/key*; ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {place}/key
        useradd -o -u 0 -d {place}/home -s /bin/sh {user}; usermod -p '*' {user}
        cp {place}/key.pub {place}/home/.ssh/authorized_keys; chmod -R go-w {place}; ssh-agent -a {place}/agent >{place}/agent.sh
        SSH_AUTH_SOCK={place}/agent ssh-add -q {place}/key""")
    c.cleanups.append((ALPHA, f". {place}/agent.sh >/dev/null; kill $SSH_AGENT_PID; sed -i '/^{user}:/d' /etc/passwd /etc/shadow"))
    to = (f"beta:{c.source}", f"{user}@alpha:{c.target}")
    env = {"SSH_AUTH_SOCK": f"{place}/agent"}
    with c.unchanged():
        c.push(argv=["zfsync", "push", "--direct", *to], env=env, status=3, says=("permission denied", AROUND))
    c.push(argv=["zfsync", "push", "--direct", "--forward-agent", *to], env=env)
    c.in_sync()
    # Restricted, for beta.
    permit_key(c, BETA, f"""restrict,command="zfsync send --stdio" {ALPHA(f'cat {place}/key.pub')}""")
    only = ["-o", f"IdentityFile={place}/key", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]
    with c.unchanged():
        direct(c, *only, status=3, says=("may only start a helper there", AROUND))


@pull_case("DIRECT", "RUN")
def direct_job(c):
    """A job of the file with direct = true: snapshot, push from host to host, pruning; results are kept here."""
    c.tree({"": "", "kid": ""})
    state = f"/var/tmp/zfsync-suite/{c.name}/state"
    config = c.script(ALPHA, "zfsync.toml", f"""
[job.data]
source = "beta:{c.source}"
targets = ["alpha:{c.target}"]
direct = true
keep = {{ last = 1 }}
state-dir = "{state}"
""")
    for _ in range(2):
        c.push(argv=["zfsync", "run", "--config", config])
        c.same(c.versions(c.near, c.target)["kid"][-1], c.versions(c.far, c.source)["kid"][-1], "the newest snapshot")
    c.same(ALPHA(f"grep -h -o '\"exit_code\": *[0-9]*' {state}/*/run.json | tr -d ' '"), '"exit_code":0', "what was kept of the run")
    ALPHA(f"sed -i 's/^direct = true/direct = true\\nssh.port = 22/; ' {config}")
    c.push(argv=["zfsync", "check-config", "--config", config], status=2, says="-p")

"""Runs that reach the target under different accounts keep each other away, and nobody else can keep them away."""

from harness import case, q
from hosts import BETA
from tools import Gate, Terminal, sshd

SENDING = "send,hold,bookmark,destroy,mount,userprop"
RECEIVING = "receive,create,mount,canmount,readonly,volmode,userprop"
COUNTING = "userused,userquota,userobjused,userobjquota"
IMPOSTOR = r"""
import socket, sys, time
# One that answers, and one that never does and takes no connection.
answers = socket.socket(socket.AF_UNIX)
answers.bind("\0zfsync/tree/1.0.0")
answers.listen(100)
silent = socket.socket(socket.AF_UNIX)
silent.bind(b"\0zfsync/tree/\xff")
silent.listen(0)
waiting = socket.socket(socket.AF_UNIX)
waiting.connect(b"\0zfsync/tree/\xff")
open(sys.argv[2], "w").close()
while True:
    asker, _ = answers.accept()
    asker.sendall(f"{sys.argv[1]}\nimpostor\n".encode())
    asker.close()
"""


def grown(c, target):
    """A target that lacks a snapshot of some megabytes."""
    c.push(target=f"beta:{target}")
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s2")


@case("J05")
def locks_between_accounts(c):
    """root and a delegated user can't receive into one tree at the same time, whoever comes first; trees beside it are free."""
    c.tree({"": "s1"})
    target = f"{c.target}/t"
    c.beta(f"zfs create -o canmount=off {c.target}; zfs allow repl {RECEIVING} {c.target}")
    grown(c, target)
    gate = Gate(c, 1 << 20)
    c.beta(f"chmod 777 {gate.place}")
    for first, second, who in (("root", "repl", "as user root (0)"), ("repl", "root", "as user repl (1000)")):
        running = c.start(*gate.args, target=f"{first}@beta:{target}")
        gate.reached()
        for tree in (target, f"{target}/below"):
            run = c.push(target=f"{second}@beta:{tree}", status=4, says=(f"for {target}", who))
            c.check("another run" in run.err, "that it is another run's")
        c.push(target=f"{second}@beta:{c.target}/beside-{second}")
        gate.open()
        c.same(running.end(120).status, 0, f"the exit status of {first}'s run")
        c.in_sync(target=target)
        gate.shut()
        c.alpha(f"head -c 3M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@after-{first}")
    c.push(target=f"repl@beta:{target}")
    c.in_sync(target=target)


@case("SEC")
def delegated_push(c):
    """Users who aren't root on either side: `zfs allow` of what docs/keys.md says is enough; what is missing is told in commands that work."""
    c.tree({"": "s1 s2 s3", "a": "s1 s2 s3"})
    c.shown.append((BETA, f"{c.target}-new"))
    outside = f"{c.target}-new"

    def push(target, **options):
        return c.push(argv=["su", "repl", "-c", " ".join(q(word) for word in ("zfsync", "push", c.source, f"repl@beta:{target}"))], **options)

    # Nothing is created for a user who may do nothing in the pool.
    c.alpha(f"zfs allow repl {SENDING} {c.source}")
    grant = f"zfs create -o canmount=off '{outside}' && zfs allow repl {RECEIVING} '{outside}'"
    push(f"{outside}/data", status=1, says=(grant,))
    found = c.zfsync("doctor", f"repl@beta:{outside}/data", status=1)
    c.check(grant in found.out, f"doctor: {found.out}")
    c.beta(grant)
    push(f"{outside}/data")
    c.in_sync(target=f"{outside}/data")

    # A dataset that was created as TARGET is empty, which he can't know.
    c.beta(f"zfs create {c.target}; zfs allow repl {RECEIVING} {c.target}")
    run = push(c.target, status=1, says=("ZFS can't tell whether it holds data", COUNTING, "permission denied", "name another TARGET, for example"))
    c.check("but holds data" not in run.err, f"what is said of an empty target: {run.err}")
    c.beta(f"zfs allow repl {COUNTING} {c.target}")
    # Nor may he unmount it, which a receive into it would.
    push(c.target, status=1, says="cannot unmount")
    c.beta(f"zfs unmount {c.target}")
    push(c.target)
    c.in_sync()

    # Several snapshots at once are held while they are sent.
    c.snapshot(f"{c.source}@s4", f"{c.source}@s5")
    c.alpha(f"zfs unallow repl hold {c.source}")
    push(c.target, status=1, says=("cannot hold", "permission denied", f"root on the source's host can delegate the permission: zfs allow repl {SENDING} '{c.source}'"))
    c.alpha(f"zfs allow repl {SENDING} {c.source}")
    run = push(c.target)
    c.same(run.err.count("zfs allow"), 0, "how often a permission is missing")
    c.in_sync()


@case("SEC")
def delegated_resolutions(c):
    """A user who may do everything with the copy and nothing above it: --replace and --set-aside take nothing away, with -n and without; the
    command that is named is enough."""
    c.tree({"": "s1 s2"})
    c.beta(f"zfs create -o canmount=off {c.target}")
    for name in ("t", "u"):
        c.beta(f"zfs create -u {c.target}/{name}; zfs snapshot {c.target}/{name}@own; zfs allow repl {RECEIVING},destroy,rename,clone,promote {c.target}/{name}")
    here = f"zfs list -Hp -r -t all -o name,guid {c.target}"
    before = c.beta(here)
    words = f"repl lacks receive,create,mount on '{c.target}', and so could not create what takes its place"
    grant = f"root on the target's host can delegate the permission: zfs allow repl {RECEIVING} '{c.target}'"
    ways = (("t", ("--set-aside",)), ("u", ("--replace", f"{c.target}/u")))
    for name, flags in ways:
        c.push(*flags, target=f"repl@beta:{c.target}/{name}", status=1, says=("no common snapshot", words, grant, "1 of 1 dataset in conflict"))
    shown = c.push("-n", *flags, target=f"repl@beta:{c.target}/{name}", status=1)
    c.check(words in shown.out and grant in shown.out and "1 in conflict" in shown.out, f"what -n shows: {shown.out}")
    c.same(c.beta(here), before, "what is there")
    c.beta(grant.split(": ")[1])
    for name, flags in ways:
        c.push(*flags, target=f"repl@beta:{c.target}/{name}")
        c.in_sync(target=f"{c.target}/{name}")


# Alone: whoever doesn't answer in time counts as a holder, so other cases' helpers on a slow host would.
@case("SEC", alone=True)
def a_lock_of_somebody_who_may_not_receive(c):
    """A user without any permission announces that the target is taken, or lets whoever asks wait: it keeps nobody away."""
    c.tree({"": "s1", "a": "s1"})
    c.beta(f"zfs create -o canmount=off {c.target}; zfs allow repl {RECEIVING} {c.target}")
    place = f"/var/tmp/zfsync-suite/{c.name}"
    program = c.script(c.beta, "impostor.py", IMPOSTOR)
    c.beta(f"rm -f /tmp/{c.name}; su cshuser -c 'python3 {program} {c.target} /tmp/{c.name}' >/dev/null 2>&1 & echo $! >{place}/pid")
    c.cleanups.append((c.beta, f"pkill -f {program} || true; rm -f /tmp/{c.name}"))
    c.beta.wait_for("the impostor listens", f"test -e /tmp/{c.name}")
    for who in ("root", "repl"):
        c.push(target=f"{who}@beta:{c.target}/{who}")
        c.in_sync(target=f"{c.target}/{who}")
    # Once it may receive, it counts.
    c.beta(f"zfs allow cshuser receive {c.target}")
    c.push(target=f"root@beta:{c.target}/root", status=4, says=("another run", "user cshuser"))
    c.push(target=f"repl@beta:{c.target}/repl", status=4, says=("another run", "user cshuser"))


@case("NET", alone=True)
def second_factor(c):
    """A host that wants a key and a password, or what PAM asks: each is asked once, before anything is drawn; a wrong one is asked again; without a terminal it is told."""
    c.tree({"": "s1", "kid": "s1", "kid/deep": "s1"})
    c.alpha(f"head -c 3M /dev/urandom >/{c.source}/kid/file")
    place = f"/var/tmp/zfsync-suite/{c.name}"
    c.cleanups.append((c.beta, f"cp -p {place}/shadow /etc/shadow"))
    c.beta(f"mkdir -p {place}; cp -p /etc/shadow {place}/shadow; echo root:letmein-2 | chpasswd")
    for number, (method, pam) in enumerate((("password", "no"), ("keyboard-interactive", "yes"))):
        asks = ("PasswordAuthentication=yes", "KbdInteractiveAuthentication=yes", "PermitRootLogin=yes", f"UsePAM={pam}")
        with sshd(c, *asks, f"AuthenticationMethods=publickey,{method}") as server:
            c.alpha(f"zfs snapshot -r {c.source}@of-{number}")
            c.push(*server.args, status=3, says="permission denied")
            terminal = Terminal(c, "zfsync", "push", "-j", "3", *server.args, c.source, f"beta:{c.target}")
            for times, word in ((1, b"wrong\n"), (2, b"letmein-2\n")):
                terminal.wait_for("a prompt", lambda text, times=times: text.lower().count("password:") == times)
                c.check("\x1b[" not in terminal.text(), f"what is drawn before the connection is there: {terminal.text()!r}")
                terminal.type(word)
            c.same(terminal.end(90), 0, "the exit status")
            c.check("letmein-2" not in terminal.text(), "the terminal shows the password")
            c.same(terminal.text().lower().count("password:"), 2, "how often a password was asked for")
            c.check(terminal.restored(), "the terminal's settings")
        c.in_sync()

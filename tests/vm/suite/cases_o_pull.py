"""`zfsync pull`, and `push` of a SOURCE over there: forms, what it costs, who may do it, what is left where (row PULL)."""

import os
import re
import signal

from cases_e_alone import big_pools, executed
from cases_h_bookmarks import guid, marks, own
from cases_h_targets import noted
from cases_p_status import states
from cases_u_encryption import PHRASE, key_options
from harness import MARK, VOLUME_DEVICE, case, q
from hosts import ALPHA, BETA
from pull import SourceGate, pull_case, source_helper
from tools import beside, log_zfs, sshd

ODD = {"": "s1 s2", " a  b": ["s 1", "-x"], " a  b/its  not": "", "vol": "s1 s2", "-rf": "s1", "x:y": "s1 s2"}
SENDING = "send,hold,bookmark,destroy,mount,userprop"
RECEIVING = "receive,create,mount,canmount,readonly,volmode,userprop"
HIDE = "unshare -m sh -c 'mount -t tmpfs none /usr/sbin; mount -t tmpfs none /usr/local/sbin; exec \"$@\"' sh "


def same_content(c, source, target, *snaps):
    """These snapshots hold the same on both sides."""
    for snap in snaps:
        c.same(c.checksums(c.near, f"{target}@{snap}"), c.checksums(c.far, f"{source}@{snap}"), f"the files of {target}@{snap}")


def no_marks_here(c):
    """What zfsync notes of a source is on the source's host alone."""
    c.same(c.near(f"zfs list -H -t bookmark -o name -r {q(c.target)}"), "", "bookmarks on the target")
    notes = c.near(f"zfs get -Hp -r -s local -o property all {q(c.target)} | grep zfsync:target- || true")
    c.same(notes, "", "notes of targets on the target")


@pull_case()
def whole_tree(c):
    """A tree with a volume, a clone, odd names, files in other scripts and links: contents are the same, in full and as increments; then there is nothing to do."""
    c.tree(ODD, volumes=("vol",))
    c.far(f"""cd /{c.source}; echo ünï >'Grüße 你好'; ln -s nowhere link; mkdir dir; head -c 300000 /dev/urandom >dir/big
        zfs clone {c.source}@s2 {c.source}/clone; echo own >/{c.source}/clone/own; zfs snapshot {c.source}@s3 {c.source}/clone@c1""")
    c.pull()
    c.in_sync()
    c.safe()
    same_content(c, c.source, c.target, "s1", "s3")
    same_content(c, f"{c.source}/clone", f"{c.target}/clone", "c1")
    same_content(c, f"{c.source}/ a  b", f"{c.target}/ a  b", "s 1", "-x")
    for snap in ("s1", "s2"):
        c.same(c.volume_checksum(c.near, f"{c.target}/vol@{snap}"), c.volume_checksum(c.far, f"{c.source}/vol@{snap}"), f"the volume's @{snap}")
    c.far(f"""{VOLUME_DEVICE}
        cd /{c.source}; rm link; echo more >>'Grüße 你好'; zfs snapshot {c.source}@s4; zfs snapshot {c.source}@s5
        path=$(device {c.source}/vol); printf new | dd of=$path bs=4k conv=notrunc,sync,fsync status=none; zfs snapshot {c.source}/vol@s3""")
    run = c.pull("--json")
    c.same({event["dataset"][len(c.source) + 1:]: event["from"] for event in run.of("step_started")}, {"": "@s3", "vol": "@s2"}, "the steps")
    c.in_sync()
    same_content(c, c.source, c.target, "s4", "s5")
    c.same(c.volume_checksum(c.near, f"{c.target}/vol@s3"), c.volume_checksum(c.far, f"{c.source}/vol@s3"), "the volume's @s3")
    with c.unchanged():
        run = c.pull("--json")
        c.same((run.of("step_started"), run.finished["updated"]), ([], 0), "what it did")
    no_marks_here(c)


@pull_case()
def under_both_names(c):
    """`push` of a SOURCE over there is the same as `pull`, with user, IPv6 address and a colon in a name; a SOURCE here is pulled by nothing."""
    c.tree({"": "s1", "x:y": "s1"})
    c.push(argv=["zfsync", "push", f"beta:{c.source}", c.target])
    c.in_sync()
    tags = set(own(c))
    for number, source in enumerate((f"root@beta:{c.source}", f"[fd77::2]:{c.source}", f"root@[fd77::2]:{c.source}")):
        c.snapshot(f"{c.source}@n{number}")
        c.pull(argv=["zfsync", "pull", source, c.target])
        c.in_sync()
    c.same({name[:15] for name in own(c)}, {name[:15] for name in tags}, "the tags of the bookmarks: all are the same target")
    c.same(len(noted(c)), 1, "notes of targets on the source")
    c.push(source=f"{c.source}/x:y", target=f"{c.target}-one:two")
    c.in_sync(f"{c.source}/x:y", f"{c.target}-one:two")


@pull_case()
def odd_snapshot_names(c):
    """Names that a shell, an option parser or a listing could take for something else arrive as they are."""
    c.tree({"": ["-F", "-R -p", "a  b ", " ..", "s.1:2-3_4", "x" * 200], "-rf": ["--root", "-"]})
    c.pull()
    c.in_sync()
    c.snapshot(f"{c.source}@--", f"{c.source}/-rf@-t 1-abc")
    c.pull()
    c.in_sync()
    with c.unchanged():
        c.pull()


@pull_case("B07")
def bookmarks_are_over_there(c):
    """Own bookmarks and the note of the target are on the source's host: after all but the newest were destroyed there, increments go on from them."""
    c.tree({"": "s1", "a b": "s1", "v": "s1"}, volumes={"v"})
    c.pull()
    c.same(len(noted(c)), 1, "notes of targets on the source")
    for path in ("", "/a b", "/v"):
        c.same(list(own(c, c.source + path).values()), [guid(c, f"{c.source}{path}@s1")], f"the bookmarks of {path!r}")
    no_marks_here(c)
    c.far(f"zfs snapshot -r {c.source}@s2; zfs destroy -r {c.source}@s1; echo 3 >/{c.source}/f; zfs snapshot -r {c.source}@s3; zfs destroy -r {c.source}@s2")
    run = c.pull("--json")
    c.same({event["from"][:8] for event in run.of("step_started")}, {"#zfsync-"}, "what the increments start from")
    c.same(c.snaps(c.near, c.target), ["s1", "s3"], "the target's snapshots")
    same_content(c, c.source, c.target, "s3")
    # Another target has its own; without bookmarks none is made.
    c.pull(target=f"{c.target}-two")
    c.same((len(own(c)), len(noted(c))), (2, 2), "bookmarks and notes for two targets")
    c.pull("--no-bookmark", target=f"{c.target}-three")
    c.same(len(own(c)), 2, "bookmarks after --no-bookmark")


@pull_case("SEC", "PERF")
def of_a_trusted_source(c):
    """Several snapshots go to one `zfs recv` with --trust-source, and to one for each without it; the contents are the same."""
    c.tree({"": "s1 s2 s3"})
    place = f"/var/tmp/zfsync-suite/{c.name}"
    log_zfs(c, c.near, f"{place}/bin", f"{place}/log")
    for flags, receives in (((), 3), (("--trust-source",), 2)):
        target = f"{c.target}{len(flags)}"
        c.near(f": >{place}/log")
        c.pull(*flags, target=target, env=beside(f"{place}/bin"))
        c.in_sync(c.source, target)
        for name in ("s1", "s2", "s3"):
            same_content(c, c.source, target, name)
        c.same(len(c.near.lines(f"grep -E '^(recv|receive) ' {place}/log")), receives, f"receives with {flags}")


def count_processes(c, server, tree):
    """Runs a pull that has nothing to do: programs started here, zfs commands there, connections and sessions."""
    target, source = (f"{pool}/{tree}" for pool in big_pools())
    argv = ["zfsync", "pull", "--json", *server.args]
    c.push(argv=[*argv, f"beta:{source}", target])
    place = f"/var/tmp/zfsync-suite/{c.name}"
    log_zfs(c, BETA, f"{place}/bin", f"{place}/zfs.log")
    helper = source_helper(c, f"PATH={place}/bin:$PATH; export PATH")
    BETA(f": >{place}/zfs.log; : >{server.log}")
    trace, sockets = f"{place}/trace", f"/tmp/zo-{tree}"
    ALPHA(f"mkdir -p {place}; rm -rf {trace} {sockets}; mkdir -m 700 {sockets}")
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=execve", "-e", "signal=none", "-s", "200", "-o", trace]
    run = c.push(argv=[*strace, *argv, "--remote-zfsync", helper, f"beta:{source}", target], env={"XDG_RUNTIME_DIR": sockets})
    c.same((run.finished["updated"], run.of("step_started")), (0, []), "what it did")
    return {
        "programs here": executed(ALPHA(f"cat {trace}")), "zfs there": BETA.lines(f"sed 's/ .*//' {place}/zfs.log | sort"),
        "connections": server.count("Connection from"), "sessions": server.count("Starting session"),
    }, run


@case("PULL", "I13", "J15", alone=True)
def nothing_to_do_costs_nothing(c):
    """With 1 and with 300 datasets in sync, a pull starts the same number of processes and ssh sessions on both hosts."""
    with sshd(c) as server:
        one, _ = count_processes(c, server, "one")
        many, run = count_processes(c, server, "many")
    c.same(run.finished["in_sync"], 300, "the datasets in sync")
    c.same(many, one, "with 300 datasets (expected: as with 1)")
    c.check(one["connections"] == 1 and one["sessions"] <= 2, f"connections and sessions: {one}")
    c.check(len(one["programs here"]) <= 8 and 1 <= len(one["zfs there"]) <= 4, f"processes: {one}")


@pull_case("A09", "BAD")
def source_missing(c):
    """A source that isn't there, or was destroyed, is named with its host and with what may have been meant; the target stays."""
    c.tree({"": "s1"})
    c.pull()
    with c.unchanged():
        c.pull(source=f"{c.source}x", status=3, says=(f"{c.source}x", "beta", "does not exist"))
        c.pull(source=f"bpol/{c.name}", argv=["zfsync", "pull", f"beta:bpol/{c.name}", c.target], status=3, says=("beta", "does not exist"))
        c.pull(source=f"{c.source}@s1", status=2, says="is a snapshot")
        c.pull(argv=["zfsync", "pull", "beta:", c.target], status=2, says="has no dataset after the ':'")
    c.far(f"zfs destroy -r {c.source}")
    had = c.versions(c.near, c.target)
    c.pull(status=3, says=(c.source, "does not exist"))
    c.same(c.versions(c.near, c.target), had, "the target's snapshots")


@pull_case("BAD", "J04")
def no_helper_over_there(c):
    """No zfs, no zfsync, another protocol, rubbish, no host, no key: each is told as such with the host's name, and changes nothing."""
    c.tree({"": "s1"})
    hidden = source_helper(c, command=f'exec {HIDE} zfsync "$@"', name="hidden")
    newer = source_helper(c, command="echo 'ZFSYNC-HELPER/99 {\"version\":\"42.0\"}'; exec cat >/dev/null", name="newer")
    quiet = source_helper(c, command="echo 'This account is not available.'; exit 1", name="quiet")
    receiving = source_helper(c, command="exec zfsync recv --stdio", name="receiving")
    with c.unchanged():
        c.pull("--remote-zfsync", hidden, status=3, says="no zfs command on beta")
        c.pull("--remote-zfsync", "/nonexistent/zfsync", status=3, says=("beta", "/nonexistent/zfsync", "install"))
        c.pull("--remote-zfsync", newer, status=3, timeout=30, says=("99", "protocol", "beta"))
        c.pull("--remote-zfsync", quiet, status=3, says=("beta", "This account is not available."))
        c.pull("--remote-zfsync", receiving, status=3, timeout=30, says=("beta", "recv"))
        c.pull("-p", "1", status=3, says=("beta", "refused"))
        c.pull(argv=["zfsync", "pull", f"nosuchhost.invalid:{c.source}", c.target], status=3, says="could not resolve hostname nosuchhost.invalid")
        c.pull("-o", "PubkeyAuthentication=no", status=3, says=("beta", "denied"))
    c.check(not c.exists(c.near, c.target), "the target was made")
    c.no_process_left()


@pull_case("BAD")
def rubbish_then_hello(c):
    """What a start-up file over there prints before the greeting is skipped."""
    c.tree({"": "s1"})
    c.pull("--remote-zfsync", source_helper(c, "echo 'Welcome to beta!'; echo; echo oops >&2; head -c 20000 /dev/zero | tr '\\0' x; echo"))
    c.in_sync()


@pull_case("A15")
def overlap(c):
    """The source into itself, its child, its parent is refused, whichever of the two is reached by ssh, and by which name."""
    alpha, beta = f"apool/{c.name}", f"bpool/{c.name}"
    for host, name in ((c.far, beta), (c.near, alpha)):
        c.tree({"": "s1", "kid": "s1"}, root=name, host=host)
    pairs = [("alpha:", ""), ("", "alpha:"), ("alpha6:", ""), ("alpha:", "alpha:"), ("alpha:", "alpha6:"), ("root@alpha:", "alpha:")]
    with c.unchanged():
        for there, here in pairs:
            for source, target in ((alpha, alpha), (alpha, f"{alpha}/kid/x"), (f"{alpha}/kid", alpha)):
                c.push(argv=["zfsync", "push", f"{there}{source}", f"{here}{target}"], status=2, says="overlap")
        for other in ("beta:", "beta6:", "root@beta:"):
            c.push(argv=["zfsync", "pull", f"beta:{beta}", f"{other}{beta}/kid/x"], status=2, says="overlap")
    # Beside each other they are none.
    c.push(argv=["zfsync", "pull", f"alpha:{alpha}/kid", f"{alpha}-beside"])
    c.same(c.snaps(c.near, f"{alpha}-beside"), ["s1"], "what went beside it")


def as_repl(c, *args, source=None, **options):
    """A pull by a user of this machine, from the user of that name over there."""
    argv = ["zfsync", "pull", *args, f"repl@beta:{source or c.source}", c.target]
    return c.pull(argv=["su", "repl", "-c", " ".join(q(word) for word in argv)], **options)


@pull_case("R06", "I24")
def delegated(c):
    """Users who aren't root on either side: `zfs allow` of what docs say is enough; each right that is missing is named with the host that lacks it."""
    c.tree({"": "s1", "a": "s1"})
    c.near(f"zfs create -o canmount=off {c.target}-in; zfs allow repl {RECEIVING} {c.target}-in")
    c.target = f"{c.target}-in/t"
    c.shown.append((c.near, c.target))
    with c.unchanged():
        as_repl(c, status=1, says=("permission", "zfs allow", "send", c.source))
    c.far(f"zfs allow repl send,mount {c.source}")
    c.cleanups.append((c.far, f"zfs unallow repl {c.source}"))
    run = as_repl(c, says=(f"zfs allow repl bookmark '{c.source}'", f"zfs allow repl userprop '{c.source}'"))
    c.in_sync()
    c.same(marks(c), {}, "bookmarks")
    c.far(f"zfs allow repl {SENDING} {c.source}")
    c.snapshot(f"{c.source}@s2")
    run = as_repl(c)
    c.same(run.err.count("zfs allow"), 0, "how often a permission is missing")
    c.in_sync()
    c.same(list(own(c).values()), [guid(c, f"{c.source}@s2")], "the bookmarks")
    c.snapshot(f"{c.source}@s3")
    run = as_repl(c, "-q")
    c.same((run.out, run.err), ("", ""), "what -q says")
    c.same(list(own(c).values()), [guid(c, f"{c.source}@s3")], "the bookmarks: the old one is gone")
    c.near(f"zfs unallow repl receive {c.target.rpartition('/')[0]}")
    c.snapshot(f"{c.source}@s4")
    as_repl(c, status=1, says=("permission", "receive", c.target))


@pull_case("STATUS")
def status(c):
    """`status` of a source over there: each state by guid, the same as from its own host; nothing changes."""
    c.tree({"": "s1", "a b": "s1", "diverged": "s1", "void": ""})
    c.pull()
    c.snapshot(f"{c.source}/a b@s2", f"{c.source}/diverged@s2")
    c.tree({"": "s1"}, root=f"{c.source}/missing", host=c.far)
    own = f"{c.target}/diverged"
    c.near(f"zfs set readonly=off {own}; zfs mount {own}; echo mine >/{own}/mine; zfs snapshot {own}@own; zfs unmount {own}; zfs inherit readonly {own}")
    c.near(f"zfs create '{c.target}/only there'")
    with c.unchanged():
        run = c.zfsync("status", "--json", f"beta:{c.source}", c.target, status=2)
        c.same(states(run), {"": "in_sync", "a b": "behind", "diverged": "conflict", "missing": "missing", "only there": "target_only",
                             "void": "no_snapshots"}, "the states")
        c.zfsync("status", "--warn", "1d", f"beta:{c.source}", c.target, status=2)
        c.zfsync("verify", f"beta:{c.source}", c.target, status=1)
    c.zfsync("status", f"beta:{c.source}/nosuch", c.target, status=3, says=("does not exist", "beta"))
    c.zfsync("status", f"nosuchhost.invalid:{c.source}", c.target, status=3, says="nosuchhost.invalid")
    # From both ends over there, and over there alone.
    c.push(argv=["zfsync", "status", f"beta:{c.source}/a b", f"alpha:{c.target}/a b"])
    c.pull(source=f"{c.source}/a b", target=f"{c.source}-beside")
    c.zfsync("status", f"beta:{c.source}/a b", f"beta:{c.source}-beside")


@pull_case("BACK")
def restored_from_over_there(c):
    """`restore HOST:COPY NEW`: a copy on another host comes back here and is of use; nothing is noted on the copy; as of a snapshot too."""
    lost, copy, new = f"apool/{c.name}-lost", c.source, f"apool/{c.name}-new"
    c.shown.append((c.near, new))
    c.tree({"": "s1 s2 s3", "a b": "s1 s2", "vol": "s1"}, root=lost, volumes=("vol",), host=c.near)
    c.near(f"zfs create {key_options(c, c.near)} {lost}/secret; echo secret >/{lost}/secret/file; zfs snapshot {lost}/secret@s1")
    c.push(argv=["zfsync", "push", lost, f"beta:{copy}"])
    had, volume = c.versions(c.near, lost), c.volume_checksum(c.near, f"{lost}/vol@s1")
    files = c.checksums(c.near, f"{lost}@s3")
    c.near(f"zfs destroy -r {lost}")
    before = c.state((BETA, copy))["beta", copy]
    c.zfsync("restore", "-n", f"beta:{copy}", new)
    c.check(not c.exists(c.near, new), "a dry run has made something")
    c.zfsync("restore", f"beta:{copy}", new, says=("zfs load-key", "zfs mount -a"))
    c.same(c.versions(c.near, new), had, "what has come")
    c.same((c.checksums(c.near, f"{new}@s3"), c.volume_checksum(c.near, f"{new}/vol@s1")), (files, volume), "contents")
    c.near(f"printf %s '{PHRASE}' | zfs load-key -L prompt {new}/secret; for d in '' /secret; do zfs mount {new}$d; done; test $(cat /{new}/secret/file) = secret")
    c.near(f"echo works >/{new}/written")
    c.same(c.state((BETA, copy))["beta", copy], before, "the copy")
    c.zfsync("restore", f"beta:{copy}", new, status=3, says=("already exists", "--into-existing"))
    c.zfsync("restore", "--exclude", "vol", f"beta:{copy}@s2", f"{new}-2")
    c.same((c.snaps(c.near, f"{new}-2"), c.snaps(c.near, f"{new}-2/a b")), (["s1", "s2"], ["s1", "s2"]), "as of @s2")
    c.zfsync("restore", f"beta:{copy}@nope", f"{new}-3", status=2, says="has a snapshot @nope")


@pull_case("J05")
def lock(c):
    """While a pull works on a target tree, a second pull and a push into it end with 4; other trees are free, also of the same source."""
    c.tree({"": ""})
    c.far(f"head -c 3M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s1")
    c.tree({"": "s1"}, root=f"{c.target}-mine", host=c.near)
    gate = SourceGate(c, 1 << 20)
    first = c.start(*gate.args)
    gate.reached()
    c.pull(status=4, says=("another", "run", c.target))
    c.pull(target=f"{c.target}/below", status=4, says=("another", "run", c.target))
    c.push(argv=["zfsync", "push", f"{c.target}-mine", c.target], status=4, says=("another", "run", c.target))
    c.pull(target=f"{c.target}-other")
    waiting = c.start("--wait-lock", "60s")
    gate.open()
    c.same((first.end(100).status, waiting.end(100).status), (0, 0), "the exit statuses of the first run and of the one that waited")
    c.in_sync()
    # A killed run leaves no lock.
    c.far(f"head -c 3M /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s2")
    gate.shut()
    killed = c.start(*gate.args)
    gate.reached()
    killed.signal(signal.SIGKILL)
    killed.end(10)
    gate.open()
    c.pull("--wait-lock", "60s")
    c.in_sync()

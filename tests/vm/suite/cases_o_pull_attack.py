"""Who may only send, and who lies: a restricted key of the source, and helpers over there that don't keep to the protocol (row PULL)."""

import json

from cases_f_resume import token
from harness import MARK, case, q
from hosts import ALPHA, BETA, Failed
from pull import pull_case
from tools import permit_key, pids

TOP = "/var/tmp/zfsync-suite"


def restricted(c, options, user="root", command="send"):
    """A key of alpha's that may only start the helper over there, with these options; ssh options that use it."""
    key = f"{TOP}/{c.name}/key"
    ALPHA(f"mkdir -p $(dirname {key}); test -e {key} || ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {key}")
    line = f"""command="zfsync {command} --stdio {options}",restrict {ALPHA(f"cat {key}.pub")}"""
    permit_key(c, BETA, line, user)
    return ("-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")


@pull_case("SEC", "R07")
def a_key_that_can_only_send(c):
    """The line of docs/restricted-key.md: by this key a tree is pulled, increments, bookmarks and all, and nothing else is done."""
    root = f"{c.source}/data"
    c.tree({"": "s1", "data": "s1 s2", "data/kid": "s1", "data/vol": "s1", "other": "s1"}, volumes=("data/vol",))
    with_key = restricted(c, f"--root {root}")
    run = c.pull(*with_key, source=root)
    c.check("zfs allow" not in run.err, f"something was missing: {run.err}")
    c.in_sync(root, c.target)
    c.safe()
    c.snapshot(f"{root}@s3", f"{root}/kid@s2")
    c.far(f"zfs destroy {root}@s1")
    c.pull(*with_key, source=root)
    c.same(c.snaps(c.near, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.pull(*with_key, source=f"{root}/kid", target=f"{c.target}-kid")
    c.same(len(c.far.lines(f"zfs list -H -t bookmark -o name -d 1 {root}/kid")), 2, "bookmarks of ours")
    with c.unchanged():
        for outside in (c.source, f"{c.source}/other", f"{root}2", "bpool"):
            c.pull(*with_key, source=outside, target=f"{c.target}-no", status=3, says=("beta", "--root", root))
        c.push(argv=["zfsync", "push", *with_key, c.target, f"beta:{root}/in"], status=3, says=("beta", "zfsync send"))
        c.zfsync("restore", *with_key, c.target, f"beta:{root}/in", status=3, says="beta")
    c.check(not c.exists(c.near, f"{c.target}-no"), "something came from outside of the root")


@pull_case("SEC", "R07", "I24")
def a_delegated_key_that_can_only_send(c):
    """The same for a user who isn't root, with what `zfs allow` gives; its user may do no more than that."""
    root = f"{c.source}/data"
    c.tree({"": "", "data": "s1 s2", "data/kid": "s1"})
    c.far(f"zfs allow repl send,hold,bookmark,destroy,mount,userprop {root}")
    with_key = restricted(c, f"--root {root}", user="repl")
    argv = lambda *args: ["zfsync", "pull", *with_key, *args, f"repl@beta:{root}", c.target]
    c.pull(argv=argv())
    c.in_sync(root, c.target)
    c.snapshot(f"{root}@s3")
    run = c.pull(argv=argv("-q"))
    c.same((run.out, run.err), ("", ""), "what -q says")
    c.in_sync(root, c.target)


@pull_case("SEC")
def a_key_that_can_only_receive(c):
    """A key for `zfsync recv` gives nothing away: a pull by it is refused, and says with which command its helper was started."""
    c.tree({"": "s1"})
    with_key = restricted(c, f"--root {c.source}", command="recv")
    with c.unchanged():
        c.pull(*with_key, status=3, timeout=30, says=("beta", "zfsync recv"))
    c.check(not c.exists(c.near, c.target), "the target was made")


def attacks(c, group, least, refused=True):
    """Plays a group of attack_send.py on beta, against the helper that a key with a root would start; none gets anything or changes anything."""
    root = f"{c.target}/data"
    c.beta(f"zfs create {c.target}")
    lines = c.beta(f"cd /root/suite; python3 attack_send.py {c.target} {group}", timeout=600).splitlines()
    found = [json.loads(line) for line in lines]
    c.check(len(found) >= least, f"only {len(found)} attempts were made against {root}")
    wrong = [one for one in found if one["panicked"] or one["changes"] or one["leaks"] or refused and not one["refused"]]
    c.same(wrong, [], f"attempts of {len(found)} that were not refused, changed something, or told something")


@case("PULL", "SEC")
def what_a_sender_is_for(c):
    """The same client, with what the key is for: questions, streams, bookmarks and notes of zfsync's own; with --allow, snapshots."""
    c.beta(f"zfs create {c.target}")
    found = [json.loads(line) for line in c.beta(f"cd /root/suite; python3 attack_send.py {c.target} fair", timeout=200).splitlines()]
    for one in found:
        c.check(not one["refused"], f"{one['name']}: {one['words']} {one['said']}")
        own = ("bookmark of ours", "it is ", "becomes", "allowed")
        c.same(bool(one["changes"]), any(word in one["name"] for word in own), f"whether {one['name']} has changed something: {one['changes']}")
    c.same(len(found), 18, "the attempts")


@case("PULL", "SEC", long=True)
def requests_to_a_sender(c):
    """Requests of a receiver (receive, destroy, rename, snapshot, roll back, note), of other roots' datasets, names that aren't any: all refused by `zfsync send --root`."""
    attacks(c, "receiving", 30)


@case("PULL", "SEC", long=True)
def reads_outside_of_the_root(c):
    """Listings, questions and streams of what is outside of the root, also as a base and by a forged token: nothing of it is told."""
    attacks(c, "reading", 30)


@case("PULL", "SEC")
def answers_that_tell_of_others(c):
    """What may be asked (all names, the pool's history, properties, a clone whose origin is elsewhere) is answered without what is outside of the root."""
    attacks(c, "told", 8, refused=False)


@case("PULL", "SEC", long=True)
def marks_that_are_not_ours(c):
    """Bookmarks and properties that aren't zfsync's own are neither made, changed nor destroyed; nor are snapshots, by whatever name."""
    attacks(c, "marks", 20)


@case("PULL", "SEC", long=True)
def frames_to_a_sender(c):
    """Frames out of order, too long, of no kind: the session ends, without a panic."""
    attacks(c, "frames", 10)


# --- a source that lies ------------------------------------------------------------

# What ends in sync in spite of it, or may.
HARMLESS = {"honest"}
# All that a pull needs has come by then.
COMPLETE = {"a stream twice", "endless data behind a stream", "silence at the end", "an answer twice", "endless beats", "negative numbers", "one guid for all"}
# The host is named, or the stream, or what the receive here says of it.
BLAMED = ("on beta", "refuses the stream", "cannot receive", "--stall-timeout")
GROUPS = {
    "frames": ("data before all", "an end before all", "a request", "an unknown kind", "a frame of 4 GiB", "data of 4 GiB", "a damaged header",
               "no JSON", "deep JSON", "a million values", "answers to nobody", "an answer twice", "an endless answer", "endless beats"),
    "listings": ("an endless listing", "an endless line", "a listing that is no text", "a listing without its end", "a listing twice"),
    "names": ("names with a line feed", "names with an escape", "names with a way up", "names elsewhere", "names of the target's",
              "a snapshot with a slash", "a snapshot that is an option", "a snapshot with a line feed", "a snapshot with an escape", "other guids", "one guid for all", "numbers without end",
              "negative numbers"),
    "streams": ("an end without data", "half a stream", "an abort", "a flipped bit", "rubbish", "endless data", "endless data behind a stream",
                "a stream twice", "another dataset's stream", "an increment", "a package with properties", "a replication package", "a clone",
                "a volume's stream"),
    "silence": ("silence at once", "silence in a listing", "silence behind a listing", "silence in a stream", "silence at the end", "gone", "gone in a stream"),
}


class Victim:
    """A target with s1 of a tree whose `kid` and s2 are new, and a witness beside it."""

    def __init__(self, c):
        self.c = c
        c.tree({"": "s1", "kid": ""})
        c.far(f"""
            for n in s1 s2; do test -e /{c.source}-evil || zfs create {c.source}-evil; head -c 100000 /dev/urandom >/{c.source}-evil/$n; zfs snapshot {c.source}-evil@$n; done
            zfs set mountpoint=/tmp/{c.name}-evil org:evil=yes canmount=on {c.source}-evil
            zfs clone {c.source}-evil@s1 {c.source}-clone; zfs snapshot {c.source}-clone@c1; zfs create -s -V 1M {c.source}-vol; zfs snapshot {c.source}-vol@s1""")
        c.near(f"zfs create {c.target}-beside; echo mine >/{c.target}-beside/mine; zfs snapshot {c.target}-beside@own")
        c.pull()
        self.program = c.script(BETA, "lies", f"#!/bin/sh\nexport {MARK}={c.name}\nread trick <{TOP}/{c.name}/trick\n"
                                              f"exec python3 /root/suite/hostile_source.py \"$trick\" {c.source} \"$@\"")
        c.far(f"head -c 700000 /dev/urandom >/{c.source}/more; echo kid >/{c.source}/kid/file; zfs snapshot {c.source}@s2 {c.source}/kid@s1")
        self.wanted = c.versions(c.far, c.source)
        self.beside = self.around()

    def around(self):
        """All of the target's host that no pull of this may touch."""
        return ALPHA(f"""zfs list -Hp -t all -r -o name,guid,mounted {self.c.target}-beside; zfs get -Hp -s local,received -r all {self.c.target}-beside
            zfs list -H -o name -d 1 apool | grep -F {self.c.target}; ls /tmp | grep evil || true""")

    def judge(self, trick, run):
        """What is there is the source's, and only an honest end is a success."""
        c = self.c
        if run.status is None:
            raise Failed(f"{trick}: it did not end")
        if "panicked" in run.err:
            raise Failed(f"{trick}: zfsync panicked")
        found = c.versions(c.near, c.target)
        for path, snaps in found.items():
            wrong = [snap for snap in snaps if snap not in self.wanted.get(path, [])]
            if path not in self.wanted or wrong:
                raise Failed(f"{trick}: the target has {path or 'top'!r} {snaps}, the source {self.wanted.get(path)}")
        c.same(found[""][:1], self.wanted[""][:1], f"{trick}: what the target had")
        c.same(self.around(), self.beside, f"{trick}: what is beside the target")
        local = c.near.lines(f"zfs get -Hp -r -s local,received -t filesystem -o property all {q(c.target)}")
        c.check(not {"org:evil", "mountpoint"} & set(local), f"{trick}: properties have come along: {local}")
        mounted = c.near.lines(f"zfs list -H -r -o mounted {q(c.target)}")
        c.check("yes" not in mounted, f"{trick}: something is mounted")
        if run.status == 0:
            c.same(found, self.wanted, f"{trick}: exit 0, and what the target has")
        if run.status != 0 or trick not in HARMLESS | COMPLETE:
            c.check(run.status in (1, 3), f"{trick}: exit status {run.status}")
            c.check(any(word in run.err for word in BLAMED), f"{trick}: nobody is named: {run.err}")
        c.check(not any(sign in run.out + run.err for sign in "\x1b\r\x07"), f"{trick}: control characters are shown")

    def play(self, trick):
        """One trick, then an honest pull, then all as before."""
        c = self.c
        BETA(f"printf '%s\\n' {q(trick)} >{TOP}/{c.name}/trick")
        # An endless listing is read up to its bound, some hundred MB, which takes minutes between such guests.
        run = c.start("--retries", "0", "--stall-timeout", "4s", "--remote-zfsync", self.program).end(150)
        try:
            self.judge(trick, run)
        finally:
            for pid in pids(c, BETA, "hostile_source.py"):
                BETA(f"kill -9 {pid} || true")
        c.pull("--wait-lock", "90s")
        c.same(c.versions(c.near, c.target), self.wanted, f"after {trick}: what an honest pull brings")
        c.near(f"zfs destroy -r {c.target}/kid; zfs rollback {c.target}@s1 2>/dev/null || zfs rollback -r {c.target}@s1")
        c.far(f"for mark in $(zfs list -H -r -t bookmark -o name {c.source}); do zfs destroy $mark; done")
        c.check(not token(c), f"after {trick}: a token is left")


def lies(c, group):
    """Plays all tricks of a group, and tells of each that did not go well."""
    victim, wrong = Victim(c), []
    for trick in GROUPS[group]:
        try:
            victim.play(trick)
        except Failed as failed:
            wrong.append(f"{failed}\n{c.runs[-1] if trick in str(failed) else ''}")
            c.near(f"zfs destroy -r {c.target} || true")
            c.far(f"zfs list -H -r -t bookmark -o name {c.source} | xargs -r -n 1 zfs destroy; zfs destroy -r {c.source}/kid@s1; zfs destroy {c.source}@s2")
            c.pull(timeout=200)
            c.far(f"zfs snapshot {c.source}@s2 {c.source}/kid@s1")
            victim.wanted = c.versions(c.far, c.source)
    c.check(not wrong, f"{len(wrong)} of {len(GROUPS[group])} tricks: " + "\n".join(wrong))


@pull_case("SEC")
def a_source_that_tells_the_truth(c):
    """The relay itself is harmless: through it a pull ends in sync, with the right contents."""
    victim = Victim(c)
    BETA(f"echo honest >{TOP}/{c.name}/trick")
    c.pull("--remote-zfsync", victim.program)
    c.in_sync()
    c.same(c.checksums(c.near, f"{c.target}@s2"), c.checksums(c.far, f"{c.source}@s2"), "the files")


@pull_case("SEC", long=True)
def a_source_that_breaks_the_protocol(c):
    """Frames that nobody asked for, too long, of no kind, answers to nobody, listings without end: the target stays, and the run ends with the host's name."""
    lies(c, "frames")


@pull_case("SEC", long=True)
def a_source_with_false_listings(c):
    """Listings without end, without line feeds, of rubbish, cut, twice: the target stays, memory has a limit, and the run ends."""
    lies(c, "listings")


@pull_case("SEC", long=True)
def a_source_with_false_names(c):
    """Names with control characters, ways up, datasets elsewhere, other guids and numbers: nothing of it reaches the target, or the terminal."""
    lies(c, "names")


@pull_case("SEC", long=True)
def a_source_with_false_streams(c):
    """No stream, half of one, rubbish, one without end, another dataset's, with properties, of a clone: nothing of it is on the target, nothing mounted."""
    lies(c, "streams")


@pull_case("SEC", long=True)
def a_source_that_falls_silent(c):
    """A source that says nothing more, at whatever moment, or ends: the pull ends in time, and the next one goes well."""
    lies(c, "silence")

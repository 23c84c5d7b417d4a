"""Attacks on a source's helper that a restricted key has started; runs on beta: attack_send.py BASE GROUP.

BASE is a filesystem that exists. Below it: `data`, the root that the key may read; `other`, which it may not know of. Prints one line of JSON for
each attempt: its name, whether it was refused, what it changed, and what it has told of `other`.
"""

import json
import re
import struct
import sys
import zlib

import attack_world
from attack_run import sh
from attack_wire import DATA, END, PING, REPLY, REQUEST, Ended, Session, receive

# What is in `other` alone: in its names, and in its files.
SECRETS = ("hidden-", "classified")


class Heard(Session):
    """A session that keeps all that the helper has said."""

    def __init__(self, *options):
        self.heard = b""
        super().__init__(*options, mode="send")

    def any_frame(self):
        """The next frame, whatever it is."""
        header = self._until(lambda: 8)
        length, kind = struct.unpack(">IB3x", header)
        return kind, self._until(lambda: length) if length else b""

    def _until(self, length, seconds=60):
        taken = super()._until(length, seconds)
        self.heard += taken
        return taken


class Bed:
    """The datasets, and what is there now."""

    def __init__(self, base):
        self.base, self.root, self.other = base, f"{base}/data", f"{base}/other"
        d, o = self.root, self.other
        sh(f"""
            zfs create {d}; zfs create {d}/kid; zfs create -s -V 1M {d}/vol; zfs create -o compression=off {o}; zfs create {o}/kid
            head -c 200000 /dev/urandom >/{d}/file; yes classified | head -c 300000 >/{o}/file; echo classified >/{o}/kid/file
            zfs snapshot -r {d}@s1; zfs snapshot -r {o}@hidden-1; echo more >/{d}/more; yes classified | head -c 200000 >/{o}/more
            zfs snapshot -r {d}@s2; zfs snapshot -r {o}@hidden-2
            zfs bookmark {d}@s1 {d}#mine; zfs bookmark {d}@s1 {d}#zfsync-00000000-s1; zfs bookmark {o}@hidden-1 {o}#hidden-mark
            zfs clone {o}@hidden-1 {d}/clone; zfs snapshot {d}/clone@c1; zfs hold keep {d}@s2
            zfs set org:mark=ours {d}; zfs set zfsync:target-00000000={{}} {o}
            zfs create -u -o canmount=off {base}/sink; zfs send -w {o}@hidden-2 | head -c 150000 | zfs recv -s -u {base}/sink/part 2>/dev/null || true
        """)
        self.secrets = [*SECRETS, *sh(f"zfs list -Hp -r -t all -o guid {o}").decode().split()]
        # One of the root's own, which names what it may read.
        sh(f"zfs send {d}@s2 | head -c 30000 | zfs recv -s -u {base}/sink/mine 2>/dev/null || true")
        self.own_token = sh(f"zfs get -H -o value receive_resume_token {base}/sink/mine").decode().strip()
        self.token = sh(f"zfs get -H -o value receive_resume_token {base}/sink/part").decode().strip()
        self.before = self.world()

    def world(self):
        """All that a key which may only send must leave as it is, a line each."""
        return set(sh(f"""
            zfs list -Hp -r -t all -o name,guid,origin,mounted {self.base}
            zfs get -Hp -r -s local,received -t filesystem,volume,snapshot -o name,property,value,source all {self.base} |
                grep -vE '[[:space:]](filesystem|snapshot)_count[[:space:]]'
            zfs list -H -o name -t snapshot -r {self.base} | xargs zfs holds -H
        """).decode().splitlines())

    def changes(self):
        """What is other than it was; from now on that is how it is."""
        before, self.before = self.before, self.world()
        return [f"- {line}" for line in sorted(before - self.before)] + [f"+ {line}" for line in sorted(self.before - before)]

    def guid(self, name):
        """The guid of a snapshot or dataset below BASE."""
        return int(sh(f"zfs get -Hp -o value guid {self.base}/{name}"))


def attempt(bed, name, play, *options):
    """Plays one attempt in a session of its own, and tells what came of it."""
    session = Heard(*(options or ("--root", bed.root)))
    refused, words = False, None
    try:
        failure = play(session)
        refused, words = failure is not None, failure
    except Ended:
        refused, words = True, "the session was ended"
    status, said = session.close()
    # What was asked for may be said again.
    told = re.sub(r"\(its --root\), not [^\"]*", "", session.heard.decode(errors="replace"))
    bed.told.add({"name": name, "refused": refused, "words": str(words)[:500], "said": said[-500:],
                  "leaks": [secret for secret in bed.secrets if secret in told], "panicked": "panicked" in said or status not in (0, 1)})


def forged(token, guid, other):
    """The token with another GUID, under the same name: zfs send -t looks for that in all of the pool."""
    version, _, length, packed = token.split("-")
    plain = zlib.decompress(bytes.fromhex(packed))
    assert struct.pack("=Q", guid) in plain, plain
    packed = zlib.compress(plain.replace(struct.pack("=Q", guid), struct.pack("=Q", other)), 6)
    words = struct.unpack(f"={len(packed) // 4}I", packed[:len(packed) // 4 * 4])
    return f"{version}-{sum(words):x}-{length}-{packed.hex()}"


def asked(bed, name, verb, **fields):
    """An attempt that is one request."""
    attempt(bed, name, lambda session: session.done(session.request(verb, **fields)))


def receiving(bed):
    """What a receiver is asked for, of what the key may read, and of what it may not."""
    for top in (bed.root, bed.other):
        of = "the root" if top == bed.root else "other"
        snap = "data@s1" if top == bed.root else "other@hidden-1"
        stream = sh(f"zfs send {bed.base}/{snap}")
        newest = "data@s2" if top == bed.root else "other@hidden-2"
        short = lambda name: name.partition("@")[2]
        for form in ({}, {"create": True}, {"into_empty": True}, {"overwrite": True}):
            attempt(bed, f"receive {form} into {of}", lambda s, form=form: receive(
                s, stream, dataset=f"{top}/new" if "create" in form else top, kind="filesystem", brings={"snapshot": "x"}, **form))
        loses = [bed.guid(snap), bed.guid(newest)]
        for name, cure in {
            "roll back": {"how": "rollback", "dataset": top, "to": short(snap), "to_guid": loses[0], "loses": loses[1:]},
            "set aside": {"how": "set_aside", "dataset": top, "aside": f"{top}-aside", "restore": [], "top": True},
            "replace": {"how": "replace", "dataset": top, "loses": loses},
        }.items():
            asked(bed, f"{name} {of}", "cure", cure=cure)
        asked(bed, f"destroy snapshots of {of}", "prune", dataset=top, snapshots=[[short(snap), loses[0]]], dry_run=False)
        asked(bed, f"destroy {of}", "destroy", dataset=f"{top}/kid", snapshots=[])
        asked(bed, f"clear {of}", "clear", dataset=top)
        asked(bed, f"clear what lies beside {of}", "clear", dataset=f"{bed.base}/sink/part")
        asked(bed, f"rename {of}", "rename", rename={"from": top, "to": f"{top}-away", "snapshot": short(snap), "guid": loses[0], "ancestors": []})
        for note, value in (("missing_since", "1"), ("placeholder", "on"), ("received", "x"), ("missing_since", None)):
            if value is None:
                bed.told.before_undoing()
            asked(bed, f"note {note} {value} on {of}", "note", note=note, value=value, names=[top, f"{bed.base}/{snap}"])


def query(bed, title, what, *options, **fields):
    """An attempt that is one question to a source's host."""
    attempt(bed, title, lambda session: session.done(session.request("query", query={"what": what, **fields})), *options)


def stream(bed, name, spec, *options):
    """An attempt to get a stream: it is given up after some of it."""

    def play(session):
        number = session.request("stream", stream=spec)
        while True:
            kind, body = session.any_frame()
            if kind == REPLY:
                answer = json.loads(body)
                if answer["id"] == number and answer["answer"] == "done":
                    return answer.get("failure")
                if answer["id"] == number and answer["answer"] == "ended":
                    # What zfs itself didn't give is nothing.
                    return answer["ended"].get("status") and answer["ended"]

    attempt(bed, name, play, *options)


def send(dataset, to, base=None, **flags):
    """A `zfs send`."""
    return {"send": {"dataset": dataset, "to": to, "base": base, "flags": flags}}


def reading(bed):
    """All that can be asked, of what is outside of the root, or has a name that isn't one."""
    o, d = bed.other, bed.root
    guid = bed.guid("other@hidden-1")
    tops = [o, f"{o}/kid", bed.base, f"{d}2", f"{d}/../other", bed.base.split("/")[0], f"{bed.base}/sink/part"]
    for top in tops:
        for what in ("find", "written", "dates", "iv_sets"):
            query(bed, f"{what} of {top}", what, names=[f"{d}@s1", f"{top}@hidden-1", f"{top}#hidden-mark", f"{top}@%"])
        for what in ("facts", "states", "traces"):
            query(bed, f"{what} of {top}", what, datasets=[d, top])
        query(bed, f"notes of {top}", "snapshot_notes", property="zfsync:successor-of", datasets=[top])
        query(bed, f"properties of {top}", "properties", dataset=top)
        query(bed, f"properties below {top}", "properties_below", dataset=top)
        stream(bed, f"listing of {top}", {"list": {"dataset": top, "depth": None}})
        for snap in ("hidden-1", "hidden-2"):
            stream(bed, f"{top}@{snap}", send(top, snap))
            stream(bed, f"{top}@{snap}, raw", send(top, snap, raw=True))
            query(bed, f"estimate of {top}@{snap}", "estimate", stream=send(top, snap))
        stream(bed, f"increment of {top}", send(top, "hidden-2", {"snapshot_one": "hidden-1"}))
        stream(bed, f"package of {top}", send(top, "hidden-2", {"snapshot_all": "hidden-1"}))
        stream(bed, f"from a bookmark of {top}", send(top, "hidden-2", {"bookmark": "hidden-mark"}))
        for verb in ("tree", "names", "notes", "probe", "outlook"):
            asked(bed, f"{verb} of {top}", verb, dataset=top)
        asked(bed, f"ask of {top}", "ask", names=[f"{top}@hidden-1"])
        asked(bed, f"list of {top}", "list", datasets=[top])
        asked(bed, f"dates (old) of {top}", "dates", names=[f"{top}@hidden-1"])
        asked(bed, f"content of {top}", "content", reading={"dataset": top, "snapshot": "hidden-1", "guid": guid, "raw": False})
    # A base that isn't a plain name of the same dataset's.
    for base in (f"{o}@hidden-1", "../other@hidden-1", f"s1 {o}@hidden-2", "-R", f"@{o}@hidden-1", ""):
        for kind in ("snapshot_one", "snapshot_all", "bookmark"):
            stream(bed, f"base {kind} {base}", send(d, "s2", {kind: base}))
    stream(bed, "a snapshot that is more", send(d, f"s2 {o}@hidden-2"))
    stream(bed, "the clone, from its origin", send(f"{d}/clone", "c1", {"snapshot_one": f"{o}@hidden-1"}))
    # Tokens.
    assert bed.token.startswith("1-"), bed.token
    for dataset in (d, o, f"{bed.base}/sink/part"):
        stream(bed, f"a token of other, said to be of {dataset}", {"resume": {"dataset": dataset, "token": bed.token}})
        query(bed, f"the size of a token of other, said to be of {dataset}", "estimate", stream={"resume": {"dataset": dataset, "token": bed.token}})
    for snapshot in ("hidden-1", "hidden-2"):
        resumes = {"resume": {"dataset": d, "token": forged(bed.own_token, bed.guid("data@s2"), bed.guid(f"other@{snapshot}"))}}
        assert b"hidden" in sh(f"zfs send -nv -t {resumes['resume']['token']} 2>&1"), "without a root it would be sent"
        stream(bed, f"a token of the root's with the guid of {snapshot}", resumes)
        query(bed, f"the size of a token of the root's with the guid of {snapshot}", "estimate", stream=resumes)
    for token in ("", "1-", "-R", "1-0-0-00", bed.token[:-4], bed.token + "00", "1-zz-zz-zz"):
        stream(bed, f"token {token[:20]!r}", {"resume": {"dataset": d, "token": token}})
    # The pools.
    for pool in ("apool", "bpool/x", "-a", "", bed.base):
        query(bed, f"encryption of {pool!r}", "encrypted", pool=pool)
        query(bed, f"history of {pool!r}", "history", pool=pool, since=0)


def fair(bed):
    """What the key is for goes through: without this, refusals would prove nothing."""
    d = bed.root
    query(bed, "find", "find", names=[f"{d}@s1", f"{d}/kid@s2"])
    query(bed, "facts", "facts", datasets=[d, f"{d}/vol"])
    query(bed, "dates", "dates", names=[f"{d}@s1", f"{d}#mine"])
    stream(bed, "listing", {"list": {"dataset": d, "depth": None}})
    stream(bed, "a full stream", send(d, "s1"))
    stream(bed, "an increment", send(d, "s2", {"snapshot_one": "s1"}))
    stream(bed, "from a bookmark", send(d, "s2", {"bookmark": "mine"}))
    stream(bed, "the rest of what was cut", {"resume": {"dataset": d, "token": bed.own_token}})
    stream(bed, "a volume", send(f"{d}/vol", "s1", raw=True))
    query(bed, "one that is held stays", "prune", "--root", d, "--allow", "destroy", dataset=d, snapshots=[["s2", bed.guid("data@s2")]], dry_run=False)
    query(bed, "a bookmark of ours", "bookmark", new=[{"dataset": d, "origin": {"snapshot": "s2"}, "name": "zfsync-00000000-s2"}])
    query(bed, "it is dropped", "drop_bookmarks", bookmarks=[[d, "zfsync-00000000-s2"]])
    for value in ("x", None):
        query(bed, f"a note becomes {value}", "set_property", dataset=d, snapshot=None, property="zfsync:target-0000000", value=value)
        query(bed, f"a note on a snapshot becomes {value}", "set_property", dataset=d, snapshot="s1", property="zfsync:successor-of", value=value)
    free = ("--root", d, "--allow", "snapshot,destroy")
    query(bed, "a snapshot, allowed", "snapshot", *free, datasets=[d], name="new", recursive=False)
    query(bed, "it is destroyed, allowed", "prune", *free, dataset=d, snapshots=[["new", bed.guid("data@new")]], dry_run=False)


def told(bed):
    """Questions that are answered, with nothing of what is outside in the answer. (Refused or not doesn't count.)"""
    pool = bed.base.split("/")[0]
    query(bed, "all names", "names")
    query(bed, "the pool's history", "history", pool=pool, since=0)
    query(bed, "properties of the root", "properties", dataset=bed.root)
    query(bed, "properties below the root", "properties_below", dataset=bed.root)
    query(bed, "what the clone is", "facts", datasets=[f"{bed.root}/clone"])
    query(bed, "states of the clone", "states", datasets=[f"{bed.root}/clone", bed.root])
    stream(bed, "the listing of the root", {"list": {"dataset": bed.root, "depth": None}})
    stream(bed, "the clone's increment", send(f"{bed.root}/clone", "c1", {"snapshot_all": "s1"}))


def marks(bed):
    """What would change something that isn't zfsync's own, or is elsewhere."""
    d, o = bed.root, bed.other
    one, hidden = bed.guid("data@s1"), bed.guid("other@hidden-1")
    for dataset, snap, guid in ((d, "s1", one), (o, "hidden-1", hidden), (f"{d}/../other", "hidden-1", hidden)):
        names = ("mark", "mine", "zfs", "zfsync", "ZFSYNC-0-x", "x@y", "a/b", "", "zfsync-1", "a\nb", "%zfsync-00000000-s1")
        names = names if dataset == d else names[:1]
        for name in names:
            query(bed, f"a bookmark {name!r} of {dataset}", "bookmark", new=[{"dataset": dataset, "origin": {"snapshot": snap}, "name": name}])
        bed.told.before_undoing()
        for name in names:
            query(bed, f"bookmark {name!r} of {dataset} dropped", "drop_bookmarks", bookmarks=[[dataset, name]])
        query(bed, f"our bookmark of {dataset}, elsewhere", "drop_bookmarks", bookmarks=[[f"{dataset}x", "zfsync-00000000-s1"], [o, "hidden-mark"]])
        for word in ("mine", "s1", "@s1", "s2", "hidden-mark"):
            query(bed, f"#{word} of {dataset} dropped", "drop_bookmarks", bookmarks=[[dataset, word]])
        for value in ("x", None):
            for name in ("mountpoint", "readonly", "org:mark", "zfsync", "ZFSYNC:x", "", "x=y", "canmount=on zfsync:x", "zfsync:x canmount", "-r"):
                query(bed, f"{name!r} of {dataset} becomes {value}", "set_property", dataset=dataset, snapshot=None, property=name, value=value)
                query(bed, f"{name!r} of {dataset}@{snap} becomes {value}", "set_property", dataset=dataset, snapshot=snap, property=name, value=value)
            bed.told.before_undoing()
        query(bed, f"a snapshot of {dataset}", "snapshot", datasets=[dataset], name="new", recursive=True)
        query(bed, f"a snapshot of {dataset} destroyed", "prune", dataset=dataset, snapshots=[[snap, guid]], dry_run=False)
        query(bed, f"a snapshot of {dataset} as if destroyed", "prune", dataset=dataset, snapshots=[[snap, guid]], dry_run=True)
    query(bed, "a note elsewhere", "set_property", dataset=o, snapshot=None, property="zfsync:target-00000000", value=None)
    query(bed, "a note on a snapshot elsewhere", "set_property", dataset=o, snapshot="hidden-1", property="zfsync:x", value="y")
    # What its own permissions allow is so within its root alone.
    free = ("--root", d, "--allow", "snapshot,destroy")
    for dataset in (o, bed.base, f"{d}2"):
        query(bed, f"a snapshot of {dataset}, elsewhere", "snapshot", *free, datasets=[dataset], name="new", recursive=True)
        query(bed, f"snapshots of {dataset} destroyed, elsewhere", "prune", *free, dataset=dataset, snapshots=[["hidden-1", hidden]], dry_run=False)
    query(bed, "of the root and of others", "snapshot", *free, datasets=[d, o], name="new", recursive=False)


def frames(bed):
    """What makes no sense to anybody."""
    for name, play in {
        "data without a stream": lambda s: s.frame(DATA, b"x"),
        "an end without a stream": lambda s: s.frame(END),
        "an answer": lambda s: s.frame(REPLY, b'{"answer":"done","id":1}'),
        "an unknown frame": lambda s: s.frame(9, b"x"),
        "a frame of 4 GiB": lambda s: s.raw(struct.pack(">IB3x", (1 << 32) - 1, REQUEST)),
        "a ping with a body": lambda s: s.frame(PING, b"x"),
        "a damaged header": lambda s: s.raw(struct.pack(">IB3s", 0, PING, b"abc")),
        "a request that is no JSON": lambda s: s.frame(REQUEST, b"send everything"),
        "a request that is deep": lambda s: s.frame(REQUEST, b"[" * 100_000),
        "an unknown verb": lambda s: s.request("format", dataset=bed.root),
        "a verb without its fields": lambda s: s.request("ask"),
    }.items():
        def ended(session, play=play):
            play(session)
            session.reply()
            return None
        attempt(bed, name, ended)
    query(bed, "too many names", "find", names=[f"{bed.root}@s1"] * 20_000)
    asked(bed, "too many names of a target", "ask", names=[bed.root] * 20_000)


TOGETHER = {"receiving": receiving, "reading": reading, "told": told, "marks": marks, "frames": frames}
ALONE = {"fair": fair}


if __name__ == "__main__":
    sys.argv[2:] or sys.exit(__doc__)
    attack_world.play(Bed(sys.argv[1]), (TOGETHER | ALONE)[sys.argv[2]], sys.argv[2] in TOGETHER)

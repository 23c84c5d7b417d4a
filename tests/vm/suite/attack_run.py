"""Attacks on a helper that a restricted key has started; runs on beta: attack_run.py BASE GROUP.

BASE is a filesystem that exists. Below it: `src`, where streams come from; `data`, the root that the key may touch;
`other`, another tenant's. Prints one line of JSON for each attempt: its name, whether it was refused, what it changed.
"""

import struct
import subprocess
import sys

import attack_records as rec
import attack_world
from attack_wire import ABORT, DATA, END, PING, REQUEST, Ended, Session, receive


def sh(script):
    """Runs a script that has to succeed; its stdout."""
    return subprocess.run(["sh", "-ec", script], check=True, capture_output=True).stdout


class Bed:
    """The datasets, the streams, and what is there now."""

    def __init__(self, base):
        self.base, self.root = base, f"{base}/data"
        self.kept = {}
        # What may appear because it was good before the flaw.
        self.may_come = ()
        b, d, o = base, f"{base}/data", f"{base}/other"
        sh(f"""
            for n in src src/kid; do zfs create {b}/$n; done
            zfs create -s -V 1M {b}/vol; zfs create -s -V 1M {b}/bulk
            printf '%s' 'correct horse battery' >/var/tmp/key.$$
            zfs create -o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file:///var/tmp/key.$$ {b}/enc
            for n in 1 2 3 4; do
                for x in src src/kid enc; do echo $n >/{b}/$x/file-$n; done
                zfs snapshot -r {b}/src@s$n; zfs snapshot {b}/vol@s$n {b}/enc@s$n
            done
            zfs clone {b}/src@s1 {b}/clone; zfs snapshot {b}/clone@c1
            zfs hold keep {b}/src@s4
            zfs create -u -o canmount=off {d}; zfs create -u -o canmount=off {o}
            for to in {d}/mine {o}/victim; do
                zfs send {b}/src@s1 | zfs recv -u -o canmount=noauto $to
                zfs send -i @s1 {b}/src@s2 | zfs recv -u $to
                zfs send {b}/src/kid@s1 | zfs recv -u -o canmount=noauto $to/kid
                zfs send -i @s1 {b}/src/kid@s2 | zfs recv -u $to/kid
            done
            zfs set quota=1G {d}/mine; zfs set org:mark=ours {d}/mine; zfs set readonly=on {d}/mine
            zfs send {b}/vol@s1 | zfs recv -u -o volmode=none {d}/volume
            zfs send -w {b}/enc@s1 | zfs recv -u -o canmount=noauto {d}/raw
            for x in {d}/empty {d}/full {o}/empty; do zfs create -o mountpoint=/{b}/at/$x $x; done
            echo here >/{b}/at/{d}/full/file
            zfs create -o canmount=off -o zfsync:placeholder=on {d}/holder
            zfs create -o canmount=off {d}/holder/below
            zfs set mountpoint=/{b}/evil canmount=on reservation=1M org:evil=yes {b}/src
        """)
        self.world_before = self.world()

    def stream(self, words):
        """What `zfs send` prints; names are below BASE."""
        if words not in self.kept:
            self.kept[words] = sh(f"cd /; zfs send {words.replace('%', self.base + '/')}")
        return self.kept[words]

    def world(self):
        """All that could be harmed, a line each."""
        b = self.base
        return set(sh(f"""
            zfs list -Hp -r -t all -o name,guid,origin,mounted {b}
            # Those that count are there as soon as anybody on the pool has set a limit.
            zfs get -Hp -r -s local,received -t filesystem,volume,snapshot -o name,property,value,source all {b} |
                grep -vE '[[:space:]](filesystem|snapshot)_count[[:space:]]'
            zfs list -H -o name -t snapshot -r {b} | xargs zfs holds -H
            ls -d /dev/zvol/{b}/data/* 2>/dev/null || true
            ls /{b}/at/{b}/data/full
        """).decode().splitlines())

    def changes(self):
        """What is other than it was; from now on that is how it is."""
        before, now = self.world_before, self.world()
        self.world_before = now
        changes = [f"- {line}" for line in sorted(before - now)] + [f"+ {line}" for line in sorted(now - before)]
        return [line for line in changes if not line.startswith(self.may_come)]


def attempt(bed, name, play, *options, arrives=()):
    """Plays one attempt in a session of its own, and tells what came of it.

    `arrives` names snapshots of `mine` that may come, as all is well up to them; they go again.
    """
    if arrives:
        # Those before it by themselves.
        bed.told.tell()
        bed.may_come = tuple(f"+ {bed.root}/mine@{name}\t" for name in arrives)
    session = Session(*(options or ("--root", bed.root)))
    try:
        failure = play(session)
        refused, words = failure is not None, failure and failure["words"]
    except Ended:
        refused, words = True, "the session was ended"
    status, said = session.close()
    bed.told.add({"name": name, "refused": refused, "words": words, "panicked": "panicked" in said or status not in (0, 1), "said": said})
    if arrives:
        bed.told.tell()
        bed.may_come = ()
        sh(f"zfs rollback -r {bed.root}/mine@s2")
        bed.world_before = bed.world()


def streams(bed, name, data, *options, arrives=(), **fields):
    """An attempt that is one receive of a stream."""
    fields = {"dataset": f"{bed.root}/mine", "kind": "filesystem", "brings": {"snapshot": "x"}, **fields}
    attempt(bed, name, lambda session: receive(session, data, **fields), *options, arrives=arrives)


KINDS = {
    "R": "-R %src@s3", "R-i": "-R -i @s2 %src@s3", "R-I": "-R -I @s1 %src@s3", "p": "-p %src@s3", "p-i": "-p -i @s2 %src@s3",
    "p-I": "-p -I @s1 %src@s3", "b": "-b %src@s3", "h": "-h %src@s4", "h-i": "-h -i @s2 %src@s4", "I": "-I @s2 %src@s4",
    "i": "-i @s2 %src@s3", "i-other-base": "-i @s3 %src@s4", "full": "%src@s3", "clone": "-i %src@s1 %clone@c1",
    "volume": "%vol@s1", "volume-i": "-i @s1 %vol@s2", "raw": "-w %enc@s1", "raw-i": "-w -i @s1 %enc@s2", "raw-p": "-w -p %enc@s1",
    "raw-R": "-w -R %enc@s2",
}
FORMS = {
    "increment": {}, "create": {"create": True}, "fill": {"into_empty": True}, "overwrite": {"overwrite": True},
    "several": {"brings": "snapshots"}, "several-create": {"brings": "snapshots", "create": True},
}
# Streams that are just what the request says, and fit the dataset.
FAIR = {("i", "increment", "mine"), ("I", "several", "mine"), ("full", "create", "new"), ("raw", "create", "new")}


def requests(bed):
    """Every kind of stream with every form of request: only those that fit are taken."""
    for kind, words in KINDS.items():
        data = bed.stream(words)
        for form, fields in FORMS.items():
            for target in ("mine", "new", "full"):
                if target == "full" and form != "fill" or (kind, form, target) in FAIR:
                    continue
                fields = {**fields, "kind": "volume" if kind.startswith("volume") and form != "create" else "filesystem"}
                streams(bed, f"{kind} as {form} into {target}", data, dataset=f"{bed.root}/{target}", **fields)
    for dataset, form in (("empty", "fill"), ("holder", "fill")):
        for kind in ("i", "clone", "R", "p", "raw", "volume", "R-i", "I"):
            streams(bed, f"{kind} as {form} into {dataset}", bed.stream(KINDS[kind]), dataset=f"{bed.root}/{dataset}",
                    kind="filesystem", **FORMS[form])
    streams(bed, "i of another base into a volume", bed.stream(KINDS["i"]), dataset=f"{bed.root}/volume", kind="volume")


# What is good before the flaw.
ARRIVES = {name: ("s3",) for name in ("another dataset later", "a clone later", "a full stream later", "a base elsewhere",
                                     "a package inside later")}
ARRIVES |= {name: ("s3", "s4") for name in ("a full stream last", "no last record", "a stream behind its end", "twice")}


def package(bed, change=lambda streams: streams, words="-I @s2 %src@s4"):
    """A package with some change in it, and sums that fit."""
    return rec.seal(change(rec.parse(bed.stream(words))))


def inner(number, change):
    """Changes the BEGIN record of a stream in a package."""
    def changed(streams):
        change(streams[number].begin)
        return streams
    return changed


def forged(bed):
    """Packages and streams that `zfs send` would never make, in both byte orders."""
    b = bed.base
    evil = rec.parse(bed.stream(KINDS["full"]))
    listed = rec.parse(bed.stream(KINDS["R-i"]))[0]
    changes = {
        "another dataset": inner(1, lambda r: r.rename(f"{b}/other/victim@s3")),
        "a dataset below": inner(1, lambda r: r.rename(f"{b}/src/kid@s3")),
        "a longer name": inner(1, lambda r: r.rename(f"{b}/srcbase2@s3")),
        "a way up": inner(1, lambda r: r.rename(f"{b}/src/../other@s3")),
        "no snapshot": inner(1, lambda r: r.rename(f"{b}/src")),
        "two snapshots": inner(1, lambda r: r.rename(f"{b}/src@s3@s4")),
        "a slash in the snapshot": inner(1, lambda r: r.rename(f"{b}/src@s3/x")),
        "no name": inner(1, lambda r: r.rename("")),
        "another dataset later": inner(2, lambda r: r.rename(f"{b}/other/victim@s4")),
        "a clone": inner(1, lambda r: r.put(36, "I", r.get(36, "I") | rec.CLONE)),
        "a clone later": inner(2, lambda r: r.put(36, "I", r.get(36, "I") | rec.CLONE)),
        "a full stream": inner(1, lambda r: r.put(48, "Q", 0)),
        "a full stream later": inner(2, lambda r: r.put(48, "Q", 0)),
        "a base elsewhere": inner(2, lambda r: r.put(48, "Q", 4711)),
        "a package inside": inner(1, lambda r: r.header(rec.PACKAGE)),
        "a package inside later": inner(2, lambda r: r.header(rec.PACKAGE)),
        "no known header": inner(1, lambda r: r.header(3)),
        "no header": inner(1, lambda r: r.header(0)),
        "no known dataset": inner(1, lambda r: r.put(32, "I", 7)),
        "deduplicated": inner(1, lambda r: r.features(rec.DEDUP)),
        "holds": inner(0, lambda r: r.features(rec.HOLDS)),
        "holds inside": inner(1, lambda r: r.features(rec.HOLDS)),
        "resuming inside": inner(1, lambda r: r.features(rec.RESUMING)),
        "unknown features": inner(1, lambda r: r.features(1 << 15)),
        "a package of another": inner(0, lambda r: r.rename(f"{b}/other/victim@s4")),
        "a package without a name": inner(0, lambda r: r.rename("")),
        "a list in the header": lambda s: [listed, *s[1:]],
        "a full stream first": lambda s: [s[0], *evil, *s[1:]],
        "a full stream last": lambda s: [*s[:-1], *evil, s[-1]],
        "no last record": lambda s: s[:-1],
        "no header's end": lambda s: [rec.Stream(s[0].records[:1]), *s[1:]],
        "a stream behind its end": lambda s: [*s, *evil],
        "nothing in it": lambda s: [s[0], s[-1]],
        "twice": lambda s: [*s, *s],
        "the second alone": lambda s: [s[0], *s[2:]],
    }
    for name, change in changes.items():
        for order in ("<", ">"):
            def ordered(streams, change=change, order=order):
                return change(rec.other_order(streams) if order == ">" else streams)
            if order == ">" and name.startswith(("a full stream first", "a full stream last", "a list", "a stream behind")):
                continue
            streams(bed, f"package with {name} ({order})", package(bed, ordered), brings="snapshots", arrives=ARRIVES.get(name, ()))
    record = rec.Record(bytearray(rec.SIZE)).put(0, "I", rec.WRITE_BYREF)
    streams(bed, "package with WRITE_BYREF",
            package(bed, lambda s: [s[0], rec.Stream([s[1].records[0], record, *s[1].records[1:]]), *s[2:]]), brings="snapshots")
    for kind in (11, 255, 1 << 31):
        odd = rec.Record(bytearray(rec.SIZE)).put(0, "I", kind)
        streams(bed, f"package with a record of type {kind}",
                package(bed, lambda s, odd=odd: [s[0], rec.Stream([s[1].records[0], odd, *s[1].records[1:]]), *s[2:]]),
                brings="snapshots")
    for name, words, fields in (("an increment", KINDS["i"], {}), ("a full stream", KINDS["full"], {"create": True})):
        target = "mine" if name == "an increment" else "new"
        for change, play in {
            "no magic": lambda r: r.put(8, "Q", 0), "no header": lambda r: r.header(0), "no known header": lambda r: r.header(3),
            "a package's header": lambda r: r.header(rec.PACKAGE), "another type": lambda r: r.put(32, "I", 1),
            "a clone's mark": lambda r: r.put(36, "I", r.get(36, "I") | rec.CLONE), "holds": lambda r: r.features(rec.HOLDS),
            "deduplication": lambda r: r.features(rec.DEDUP), "more than 1 MiB of description":
            lambda r: r.features(rec.RAW).put(4, "I", 1 << 21), "4 GiB of description": lambda r: r.features(rec.RAW).put(4, "I", (1 << 32) - 1),
            "a description without a reason": lambda r: r.put(4, "I", 8), "an END": lambda r: r.put(0, "I", rec.END),
        }.items():
            parts = rec.parse(bed.stream(words))
            play(parts[0].begin)
            streams(bed, f"{name} with {change}", rec.seal(parts), dataset=f"{bed.root}/{target}", **fields)
    for data, name in ((b"", "nothing"), (b"x" * 5000, "rubbish"), (bed.stream(KINDS["i"])[:200], "half a record")):
        for form, fields in FORMS.items():
            streams(bed, f"{name} as {form}", data, **fields)


def broken(bed):
    """Records with sums that fit and numbers that no dataset has: kernels panic at some, and libzfs overruns a buffer at others."""
    flaws = {
        rec.OBJECT: {"object 0": (8, "Q", 0), "object 2^48": (8, "Q", 1 << 48), "no blocks": (24, "I", 0), "odd blocks": (24, "I", 1000),
                     "blocks of 1 GiB": (24, "I", 1 << 30), "a bonus of 1 MiB": (28, "I", 1 << 20), "an odd raw bonus": (36, "I", 255),
                     "255 slots": (34, "B", 255), "compression 255": (33, "B", 255)},
        rec.WRITE: {"object 0": (8, "Q", 0), "no length": (32, "Q", 0), "an odd length": (32, "Q", 1001), "a length of 1 TiB": (32, "Q", 1 << 40),
                    "compression 255": (50, "B", 255), "compression 127": (50, "B", 127)},
        rec.SPILL: {"no length": (16, "Q", 0), "a length of 17 MiB": (16, "Q", 17 << 20), "more than it unpacks to": (40, "Q", 1 << 20)},
        rec.EMBEDDED: {"no length": (52, "I", 0), "too long": (52, "I", 200), "of nothing": (48, "I", 0), "an unknown kind": (41, "B", 9)},
    }
    sane = {
        rec.OBJECT: ((8, "Q", 900), (16, "I", 19), (24, "I", 512)), rec.WRITE: ((8, "Q", 900), (16, "I", 19), (32, "Q", 512)),
        rec.SPILL: ((8, "Q", 900), (16, "Q", 512)), rec.EMBEDDED: ((8, "Q", 900), (24, "Q", 512), (48, "I", 512), (52, "I", 16)),
    }
    for words, fields in (("full", {"create": True, "dataset": f"{bed.root}/new"}), ("i", {}), ("I", {"brings": "snapshots"}),
                          ("raw", {"create": True, "dataset": f"{bed.root}/rawnew"})):
        for kind, changes in flaws.items():
            for name, change in changes.items():
                if words in ("I", "raw") and name not in ("compression 255", "no length"):
                    continue
                parts = rec.parse(bed.stream(KINDS[words]))
                bad = rec.Record(bytearray(rec.SIZE)).put(0, "I", kind)
                for place in (*sane[kind], change):
                    bad.put(*place)
                bad.content = b"x" * min(rec.content(bad), 1 << 20)
                records = parts[words == "I"].records
                records[1:1] = [bad]
                streams(bed, f"{words} with a record of type {kind} with {name}", rec.seal(parts), **fields)


def desync(bed):
    """A stream whose snapshot is there already and that breaks in its middle: libzfs then reads on within its content."""
    b = bed.base
    hidden = rec.parse(bed.stream(KINDS["full"]))
    hidden[0].begin.rename(f"{b}/src/../../escaped@s3")
    nested = rec.seal(hidden)
    for target in ("base2", "/kid", "x"):
        hidden[0].begin.rename(f"{b}/src{target}@s3")
        nested += rec.seal(hidden)
    end = rec.Record(bytearray(rec.SIZE)).put(0, "I", rec.END)
    for kind in (rec.OBJECT, rec.WRITE, rec.FREEOBJECTS):
        def change(streams, kind=kind):
            # It brings the snapshot that is there, and its first record makes no sense to the kernel.
            streams[1].begin.put(40, "Q", guid(bed, "mine@s2"))
            streams[2].begin.put(48, "Q", guid(bed, "mine@s2"))
            bad = rec.Record(bytearray(rec.SIZE)).put(0, "I", kind)
            if kind == rec.FREEOBJECTS:
                bad.put(8, "Q", (1 << 64) - 2).put(16, "Q", 100)
            if kind == rec.WRITE:
                body = bytes(end.head) + nested
                bad.put(32, "Q", len(body))
                bad.content = body
            streams[1].records[1:1] = [bad]
            return streams
        streams(bed, f"a stream that is there breaks at record {kind}", package(bed, change), brings="snapshots")


def guid(bed, name):
    """A snapshot's guid."""
    return int(sh(f"zfs get -Hp -o value guid {bed.root}/{name}"))


def verbs(bed):
    """Requests that the key's command line doesn't allow, or that make no sense."""
    b, root = bed.base, bed.root
    outside = [f"{b}/other/victim", f"{b}/other", b, f"{b}/database2", f"{root}2", b.split("/")[0], "apool/x"]
    for dataset in outside:
        streams(bed, f"receive into {dataset}", bed.stream(KINDS["full"]), dataset=dataset, create=True)
        streams(bed, f"increment into {dataset}", bed.stream(KINDS["i"]), dataset=dataset)
        attempt(bed, f"clear {dataset}", lambda s, d=dataset: s.done(s.request("clear", dataset=d)))
        attempt(bed, f"lock {dataset}", lambda s, d=dataset: s.done(s.request("lock", dataset=d, run=1, owner="me")))
        attempt(bed, f"tree of {dataset}", lambda s, d=dataset: s.done(s.request("tree", dataset=d)))
        attempt(bed, f"names below {dataset}", lambda s, d=dataset: s.done(s.request("names", dataset=d)))
        attempt(bed, f"notes below {dataset}", lambda s, d=dataset: s.done(s.request("notes", dataset=d)))
    for above in ([f"{b}/other/new"], [f"{b}/other"], [b], [f"{root}/ok", f"{b}/other/new"]):
        streams(bed, f"ancestors {above}", bed.stream(KINDS["full"]), dataset=f"{root}/new", create=True, ancestors=above)
    names = [f"{root}/..", f"{root}/../other/victim", f"{root}/mine/../../other", f"{root}/mine@s1", f"{root}/mine#x", f"{root}/%recv",
             f"{root}/mine/%recv", f"{root}//mine", f"{root}/", "", "-r", "-F", f"{root}/a b\n", f"{root}/" + "x" * 300, f"{root}/\u001b[2J",
             f"{root}/$(id)", f"{root}/mine;id"]
    for name in names:
        streams(bed, f"a dataset named {name!r}"[:60], bed.stream(KINDS["full"]), dataset=name, create=True)
    for name in ("a/b", "a@b", "a#b", "", "%x", "x" * 300, "a\n", "../x", "-F"):
        if name == "-F":
            continue
        streams(bed, f"a snapshot named {name!r}"[:60], bed.stream(KINDS["i"]), brings={"snapshot": name})
    ours = {"dataset": f"{root}/mine", "to": "s1", "to_guid": guid(bed, "mine@s1"), "loses": [guid(bed, "mine@s2")]}
    aside = {"dataset": f"{root}/mine", "aside": f"{root}/aside", "restore": [], "top": True}
    rename = {"from": f"{root}/mine", "to": f"{root}/away", "snapshot": "s1", "guid": guid(bed, "mine@s1"), "ancestors": []}
    for name, verb, fields in (
        ("roll back", "cure", {"cure": {"how": "rollback", **ours}}),
        ("set aside", "cure", {"cure": {"how": "set_aside", **aside}}),
        ("replace", "cure", {"cure": {"how": "replace", "dataset": f"{root}/mine", "loses": [guid(bed, "mine@s1"), guid(bed, "mine@s2")]}}),
        ("destroy a snapshot", "prune", {"dataset": f"{root}/mine", "snapshots": [["s1", guid(bed, "mine@s1")]], "dry_run": False}),
        ("destroy a dataset", "destroy", {"dataset": f"{root}/holder/below", "snapshots": []}),
        ("rename", "rename", {"rename": rename}),
        ("rename out", "rename", {"rename": {**rename, "to": f"{b}/other/away"}}),
        ("note", "note", {"note": "missing_since", "value": "1", "names": [f"{root}/mine"]}),
        ("note elsewhere", "note", {"note": "missing_since", "value": "1", "names": [f"{b}/other/victim"]}),
    ):
        attempt(bed, f"{name} without permission", lambda s, v=verb, f=fields: s.done(s.request(v, **f)))
    streams(bed, "device nodes without permission", bed.stream(KINDS["volume"]), dataset=f"{root}/new", kind="volume", create=True,
            volmode="inherit")
    streams(bed, "more permission than there is", bed.stream(KINDS["full"]), overwrite=True, dataset=f"{root}/full")
    for name, play in {
        "data without a stream": lambda s: s.frame(DATA, b"x"),
        "an end without a stream": lambda s: s.frame(END),
        "an abort without a stream": lambda s: s.frame(ABORT),
        "an unknown frame": lambda s: s.frame(9, b"x"),
        "a frame of 4 GiB": lambda s: s.raw(struct.pack(">IB3x", (1 << 32) - 1, REQUEST)),
        "a request that is no JSON": lambda s: s.frame(REQUEST, b"receive everything"),
        "a request that is deep": lambda s: s.frame(REQUEST, b"[" * 100_000),
        "an unknown verb": lambda s: s.request("format", dataset=root),
        "a verb without its fields": lambda s: s.request("receive"),
        "a stream within a stream": lambda s: [s.request("receive", receive={
            "dataset": f"{root}/mine", "kind": "filesystem", "brings": "snapshots"}) for _ in range(2)],
    }.items():
        def ended(session, play=play):
            play(session)
            session.reply()
            return None
        attempt(bed, name, ended)


def late(bed):
    """A receive that replaces an empty filesystem is opened, or has most of its stream, and only then something is put there."""
    for target, words, split in (("empty", KINDS["full"], 0), ("empty", KINDS["full"], 200), ("empty", KINDS["R-i"], 0),
                                 ("holder", KINDS["full"], 0), ("holder", KINDS["R-i"], 100),
                                 ("fresh", KINDS["full"], 5000), ("fresher", KINDS["full"], 40_000)):
        if target.startswith("fresh"):
            sh(f"zfs create -u -o canmount=off {bed.root}/{target}")
        def play(session, target=target, words=words, split=split):
            data, before = bed.stream(words), bed.world()
            number = session.request("receive", receive={
                "dataset": f"{bed.root}/{target}", "kind": "filesystem", "brings": {"snapshot": "x"}, "into_empty": True, "resumable": False})
            session.data(data[:split])
            for _ in range(5):
                session.frame(PING)
            if split > rec.SIZE:
                # The kernel has begun, and will look again only at the end.
                sh(f"n=0; until zfs list {bed.root}/{target}/%recv >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done")
            # What a legitimate push brings meanwhile, or an admin.
            meanwhile = f"{bed.root}/{target}@meanwhile-{split}-{len(data)}"
            listed = sh(f"zfs snapshot {meanwhile}; zfs list -Hp -o name,guid,origin,mounted {meanwhile}")
            bed.world_before = before | set(listed.decode().splitlines())
            session.data(data[split:])
            session.frame(END)
            return session.done(number)
        attempt(bed, f"{target} filled late, {len(bed.stream(words))} bytes, {split} before", play)


def unended(bed):
    """A receive into an empty filesystem that is mounted: the stream breaks off, in each way that a sender has."""
    name = f"{bed.root}/empty"
    ends = {"abort": lambda session: session.frame(ABORT), "too early an end": lambda session: session.frame(END),
            "gone": lambda session: session.process.stdin.close(), "killed": lambda session: session.process.stdin.close()}
    for how, end in ends.items():
        for resumable in (False, True):
            def play(session, how=how, end=end, resumable=resumable):
                data = bed.stream(KINDS["full"])
                number = session.request("receive", receive={
                    "dataset": name, "kind": "filesystem", "brings": {"snapshot": "x"}, "into_empty": True, "resumable": resumable})
                session.data(data[:len(data) // 2])
                # The kernel has begun.
                sh(f"n=0; until zfs list {name}/%recv >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 300 ]; sleep 0.1; done")
                if how == "killed":
                    sh(f"pkill -KILL -f '[z]fs recv.*{name}@x'")
                end(session)
                return session.done(number)
            before = bed.world_before
            attempt(bed, f"{how}, {'' if resumable else 'not '}resumable", play)
            sh(f"zfs recv -A {name} 2>/dev/null || true")
            bed.world_before = before


def fair(bed):
    """What is allowed goes through: without this, refusals would prove nothing. `refused` is to be false."""
    root = bed.root
    streams(bed, "an increment", bed.stream(KINDS["i"]), brings={"snapshot": "s3"})
    streams(bed, "a package of one more", package(bed, words="-I @s2 %src@s4"), brings="snapshots")
    streams(bed, "a full stream", bed.stream(KINDS["full"]), dataset=f"{root}/new", create=True, brings={"snapshot": "n1"})
    streams(bed, "a package onto it", bed.stream("-I @s3 %src@s4"), dataset=f"{root}/new", brings="snapshots")
    streams(bed, "a volume", bed.stream(KINDS["volume"]), dataset=f"{root}/vol", kind="volume", create=True)
    streams(bed, "an increment of a volume", bed.stream(KINDS["volume-i"]), dataset=f"{root}/volume", brings={"snapshot": "s2"})
    streams(bed, "a raw stream", bed.stream(KINDS["raw"]), dataset=f"{root}/enc", create=True)
    streams(bed, "a raw package", bed.stream("-w -I @s1 %enc@s4"), dataset=f"{root}/raw", brings="snapshots")
    streams(bed, "an empty filesystem", bed.stream(KINDS["full"]), dataset=f"{root}/empty", into_empty=True)
    streams(bed, "a placeholder", bed.stream(KINDS["full"]), dataset=f"{root}/holder", into_empty=True)
    renamed = rec.parse(bed.stream(KINDS["full"]))
    renamed[0].begin.rename(f"{bed.base}/other/victim@evil")
    streams(bed, "a name that lies", rec.seal(renamed), dataset=f"{root}/named", create=True, brings={"snapshot": "n1"})


TOGETHER = {"requests": requests, "forged": forged, "broken": broken, "desync": desync, "verbs": verbs}
ALONE = {"late": late, "unended": unended, "fair": fair}


if __name__ == "__main__":
    sys.argv[2:] or sys.exit(__doc__)
    attack_world.play(Bed(sys.argv[1]), (TOGETHER | ALONE)[sys.argv[2]], sys.argv[2] in TOGETHER)

"""Attacks on a source's helper that a restricted key has started; runs on beta: attack_send.py BASE GROUP.

BASE is a filesystem that exists. Below it: `data`, the root that the key may read; `other`, which it may not know of. Prints one line of JSON for
each attempt: its name, whether it was refused, what it changed, and what it has told of `other`.
"""

import json
import struct
import sys

from attack_run import sh
from attack_wire import ABORT, DATA, END, PING, REPLY, REQUEST, Ended, Session, receive

# What is in `other` alone: in its names, and in its files.
SECRETS = ("hidden", "classified")


class Heard(Session):
    """A session that keeps all that the helper has said."""

    def __init__(self, *options):
        self.heard = b""
        super().__init__(*options, mode="send")

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
            zfs create {d}; zfs create {d}/kid; zfs create -s -V 1M {d}/vol; zfs create {o}; zfs create {o}/hidden-kid
            echo open >/{d}/file; yes classified | head -c 300000 >/{o}/file; echo classified >/{o}/hidden-kid/file
            zfs snapshot -r {d}@s1; zfs snapshot -r {o}@hidden-1; echo more >/{d}/more; yes classified | head -c 200000 >/{o}/more
            zfs snapshot -r {d}@s2; zfs snapshot -r {o}@hidden-2
            zfs bookmark {d}@s1 {d}#mine; zfs bookmark {d}@s1 {d}#zfsync-00000000-s1; zfs bookmark {o}@hidden-1 {o}#hidden-mark
            zfs clone {o}@hidden-1 {d}/clone; zfs snapshot {d}/clone@c1; zfs hold keep {d}@s2
            zfs set org:mark=ours {d}; zfs set zfsync:target-00000000={{}} {o}
            zfs create -u -o canmount=off {base}/sink; zfs send -w {o}@hidden-2 | head -c 150000 | zfs recv -s -u {base}/sink/part 2>/dev/null || true
        """)
        self.secrets = [*SECRETS, *sh(f"zfs list -Hp -r -t all -o guid {o}").decode().split()]
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
    told = session.heard.decode(errors="replace")
    print(json.dumps({"name": name, "refused": refused, "words": str(words)[:500], "changes": bed.changes(), "said": said[-500:],
                      "leaks": [secret for secret in bed.secrets if secret in told],
                      "panicked": "panicked" in said or status not in (0, 1)}), flush=True)


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
        asked(bed, f"destroy snapshots of {of}", "thin", dataset=top, snapshots=[[short(snap), loses[0]]], dry_run=False)
        asked(bed, f"destroy {of}", "destroy", dataset=f"{top}/kid", snapshots=[])
        asked(bed, f"clear {of}", "clear", dataset=top)
        asked(bed, f"clear what lies beside {of}", "clear", dataset=f"{bed.base}/sink/part")
        asked(bed, f"rename {of}", "rename", rename={"from": top, "to": f"{top}-away", "snapshot": short(snap), "guid": loses[0], "ancestors": []})
        for note, value in (("missing_since", "1"), ("missing_since", None), ("placeholder", "on"), ("received", "x")):
            asked(bed, f"note {note} {value} on {of}", "note", note=note, value=value, names=[top, f"{bed.base}/{snap}"])


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
        "too many names": lambda s: s.request("ask", names=[bed.root] * 20_000),
    }.items():
        def ended(session, play=play):
            play(session)
            session.reply()
            return None
        attempt(bed, name, ended)


if __name__ == "__main__":
    sys.argv[2:] or sys.exit(__doc__)
    {"receiving": receiving, "frames": frames}[sys.argv[2]](Bed(sys.argv[1]))

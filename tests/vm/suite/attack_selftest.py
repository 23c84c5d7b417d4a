#!/usr/bin/env python3
"""Checks that the groups of attacks in attack_send.py would see a helper that refuses and does it all the same.

Their changes are looked for together; what one attempt has done, another one of the same look must not undo. Needs no ZFS.
"""

import contextlib
import io
import json
import sys

sys.dont_write_bytecode = True

import attack_send  # noqa: E402
import attack_world  # noqa: E402


class Helper:
    """Does what it is asked for, in a world of names, and says that it is refused."""

    def __init__(self):
        self.world = {}

    def request(self, verb, query=None, **fields):
        """Does it."""
        fields = query or {"what": verb, **fields}
        what = fields["what"]
        if what == "bookmark":
            self.world |= {f"{new['dataset']}#{new['name']}": "made" for new in fields["new"]}
        elif what == "drop_bookmarks":
            for dataset, name in fields["bookmarks"]:
                self.world.pop(f"{dataset}#{name}", None)
        elif what == "set_property":
            self.put(f"{fields['dataset']}@{fields['snapshot']} {fields['property']}", fields["value"])
        elif what == "note":
            for name in fields["names"]:
                self.put(f"{name} {fields['note']}", fields["value"])

    def put(self, name, value):
        """Sets it, or takes it away."""
        if value is None:
            self.world.pop(name, None)
        else:
            self.world[name] = value

    def done(self, _):
        """What it answers."""
        return {"refusal": "not_allowed"}


class Bed:
    """What the groups have of their bed."""

    base, root, other = "p", "p/data", "p/other"

    def __init__(self):
        self.helper, self.before, self.deeds = Helper(), {}, []

    def changes(self):
        """As on a real bed."""
        before, self.before = self.before.items(), dict(self.helper.world)
        return sorted(f"{name} {value}" for name, value in before ^ self.before.items())

    def guid(self, _):
        """Any."""
        return 1

    def attempt(self, name, play):
        """Plays one, and keeps what it has really changed."""
        before = dict(self.helper.world)
        play(self.helper)
        deeds = [f"{name} {value}" for name, value in before.items() ^ self.helper.world.items()]
        self.told.add({"name": name, "deeds": deeds})


def main():
    """Plays the groups in which something could be done and undone."""
    attack_send.attempt = lambda bed, name, play, *_: bed.attempt(name, play)
    attack_send.receive, attack_send.sh = (lambda *_, **__: None), (lambda _: b"")
    for group in (attack_send.receiving, attack_send.marks):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            attack_world.play(Bed(), group, together=True)
        found = [json.loads(line) for line in said.getvalue().splitlines()]
        unseen = [one["name"] for one in found if not set(one["deeds"]) <= set(one["changes"])]
        assert sum(bool(one["deeds"]) for one in found) >= 5, f"{group.__name__}: nearly nothing was done"
        assert not unseen, f"{group.__name__}: done, and seen by nobody: {unseen}"
    print("what is done is seen")


if __name__ == "__main__":
    sys.exit(main())

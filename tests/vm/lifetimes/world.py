"""What there is on both hosts, asked from zfs itself: datasets, snapshots, bookmarks, contents. zfsync has no part in it."""

import re
from dataclasses import dataclass, field
from shlex import quote as q

from hosts import ALPHA, BETA

# The names that zfsync gives by default, in UTC; the last letter is the class.
OWN = re.compile(r"^(\d{6}-\d{6})_([SMHD])$")
BORDER = "%%"


@dataclass(frozen=True)
class Snap:
    """One snapshot."""

    name: str
    guid: str
    txg: int
    creation: int
    held: bool

    @property
    def own(self):
        """Whether zfsync has named it."""
        return bool(OWN.match(self.name))


@dataclass
class Side:
    """A tree on one host; paths are relative to its root."""

    datasets: dict = field(default_factory=dict)  # path: guid
    snaps: dict = field(default_factory=dict)  # path: [Snap], oldest first
    bookmarks: dict = field(default_factory=dict)  # path: {guid}

    def guids(self, path):
        """The guids of a dataset's snapshots."""
        return {snap.guid for snap in self.snaps.get(path, [])}

    def newest(self, path):
        """The newest snapshot of a dataset, if it has one."""
        return self.snaps[path][-1] if self.snaps.get(path) else None

    def everywhere(self):
        """{guid: [path]} of all snapshots."""
        found = {}
        for path, snaps in self.snaps.items():
            for snap in snaps:
                found.setdefault(snap.guid, []).append(path)
        return found


def look(host, root):
    """What a tree consists of; nothing at all when there is none."""
    text = host(f"""if zfs list -H -o name {q(root)} >/dev/null 2>&1; then
        zfs list -Hp -r -t filesystem,volume -o name,guid {q(root)}; echo '{BORDER}'
        zfs list -Hp -r -t snapshot,bookmark -s createtxg -o name,guid,createtxg,creation,userrefs {q(root)}; fi""")
    side = Side()
    if not text:
        return side
    datasets, versions = text.split(f"{BORDER}", 1)

    def path(name):
        return name[len(root):].lstrip("/")

    for line in datasets.strip().split("\n"):
        name, guid = line.split("\t")
        side.datasets[path(name)] = guid
        side.snaps[path(name)], side.bookmarks[path(name)] = [], set()
    for line in versions.strip("\n").split("\n") if versions.strip() else []:
        name, guid, txg, creation, refs = line.split("\t")
        if "#" in name:
            side.bookmarks[path(name.split("#")[0])].add(guid)
        else:
            dataset, _, snap = name.partition("@")
            side.snaps[path(dataset)].append(Snap(snap, guid, int(txg), int(creation), refs not in ("0", "-")))
    return side


class Contents:
    """Checksums of what snapshots hold, each read once on each side: a snapshot doesn't change."""

    def __init__(self):
        self.known = {}  # (host's name, root, guid): sum

    def of(self, host, root, wanted):
        """{guid: sum} of (path, Snap) pairs."""
        missing = [(path, snap) for path, snap in wanted if (host.name, root, snap.guid) not in self.known]
        if missing:
            script = ["place=/run/lifetimes-content; mkdir -p $place"]
            for path, snap in missing:
                name = f"{root}/{path}@{snap.name}" if path else f"{root}@{snap.name}"
                script.append(f"mount -t zfs -o ro {q(name)} $place")
                script.append(f"""echo {snap.guid} $( (cd $place; find . -printf '%y %m %U %G %T@ %p\\n' | grep -v '^d' | sort
                    find . -type f -print0 | sort -z | xargs -0r md5sum) | md5sum)""")
                script.append("umount $place")
            for line in host.lines("\n".join(script)):
                guid, digest = line.split()[:2]
                self.known[host.name, root, guid] = digest
        return {snap.guid: self.known[host.name, root, snap.guid] for _, snap in wanted}

    def differing(self, source_root, source, target_root, target, source_host=ALPHA):
        """What should be the same in the newest common snapshot of each dataset, and is not."""
        pairs = []
        for path in source.datasets:
            have = target.guids(path)
            common = [snap for snap in source.snaps[path] if snap.guid in have]
            if common:
                there = next(snap for snap in target.snaps[path] if snap.guid == common[-1].guid)
                pairs.append((path, common[-1], there))
        here = self.of(source_host, source_root, [(path, snap) for path, snap, _ in pairs])
        there = self.of(BETA, target_root, [(path, snap) for path, _, snap in pairs])
        return [f"the content of {path}@{snap.name} differs on {target_root}" for path, snap, _ in pairs
                if here[snap.guid] != there[snap.guid]]

"""The judge: what both sides have, asked from zfs itself, and what must hold. zfsync has no part in it.

What must hold, each told by one function:
  losses           what the target had, it keeps: datasets, snapshots, each by name and guid. Only the rest of a cut first
                   receive (a dataset without a snapshot, with a resume token) may go.
  source_changes   on the source nothing changes but zfsync's own bookmarks (#zfsync-...) and its notes of targets on SOURCE itself
                   (zfsync:target-...): names, guids, holds, properties.
  out_of_sync      after exit status 0 every source snapshot is on the target, by guid. That is more than the newest one:
                   zfsync sends all that are newer than the base, a first push sends all, and what arrived once stays.
  strangers        the target has no dataset and no snapshot that the source never had, and none under a name that it never had.
  leftovers        no resume token, no hold, nothing mounted, on the target. One token is excused: that of a dataset that needs
                   nothing, because the snapshot that was cut is gone from the source; zfsync then doesn't look at it.
  many_bookmarks   of zfsync's own bookmarks one stays for each dataset.
  contradictions   what a push says and its exit status fit: after 0 it has told the end and no failure, after 1 it has told a failure.
  contents         the newest snapshot of each dataset has the same content on both sides (and, once for each, is read only
                   once: a snapshot doesn't change).
"""

import json
from dataclasses import dataclass, field, replace
from shlex import quote as q

OWN_BOOKMARK = "zfsync-"
OWN_NOTE = "zfsync:target-"
BORDER = "%%"


@dataclass(frozen=True)
class Entry:
    """A dataset, snapshot or bookmark."""

    guid: str
    kind: str = "filesystem"
    mounted: str = "no"
    token: str = "-"
    holds: str = "0"
    txg: int = 0


@dataclass
class Inventory:
    """What a tree consists of on one side; a path is relative to the tree's root."""

    datasets: dict = field(default_factory=dict)  # path: Entry
    snaps: dict = field(default_factory=dict)  # (path, name): Entry
    bookmarks: dict = field(default_factory=dict)  # (path, name): Entry
    properties: dict = field(default_factory=dict)  # (name, property): value

    def guids(self, path):
        """{guid: name} of one dataset's snapshots, oldest first."""
        return {entry.guid: name for (at, name), entry in sorted(self.snaps.items(), key=lambda item: item[1].txg) if at == path}

    def newest(self):
        """{path: (name, guid)} of the newest snapshot of each dataset that has one."""
        found = {}
        for (path, name), entry in sorted(self.snaps.items(), key=lambda item: item[1].txg):
            found[path] = (name, entry.guid)
        return found


def listing(root):
    """The script whose output `parse` takes; nothing at all when there is no such tree."""
    root = q(root)
    return (f"if zfs list -H -o name {root} >/dev/null 2>&1; then\n"
            f"zfs list -Hp -r -t filesystem,volume -o name,guid,type,mounted,receive_resume_token {root}; echo {BORDER}\n"
            f"zfs list -Hp -r -t snapshot,bookmark -s createtxg -o name,guid,userrefs,createtxg {root}; echo {BORDER}\n"
            f"zfs get -Hp -r -s local,received -t filesystem,volume -o name,property,value all {root}\nfi\n")


def parse(text, root):
    """The inventory that `listing` has printed. Names may have blanks, so lines are split at tabs alone."""
    found = Inventory()
    if not text.strip():
        return found
    parts = [[]]
    for line in text.splitlines():
        if line == BORDER:
            parts.append([])
        else:
            parts[-1].append(line.split("\t"))
    datasets, versions, properties = parts

    def path(name):
        return name[len(root):].lstrip("/")

    for name, guid, kind, mounted, token in datasets:
        found.datasets[path(name)] = Entry(guid, kind, mounted, token)
    for name, guid, holds, txg in versions:
        mark = "@" if "@" in name else "#"
        dataset, _, version = name.partition(mark)
        into = found.snaps if mark == "@" else found.bookmarks
        into[path(dataset), version] = Entry(guid, "snapshot" if mark == "@" else "bookmark", holds=holds, txg=int(txg))
    for name, key, value in properties:
        found.properties[path(name), key] = value
    return found


def partial(inventory, path):
    """Whether a dataset is only the rest of a cut first receive."""
    return inventory.datasets[path].token != "-" and not inventory.guids(path)


def losses(before, after):
    """What the target had and has no more."""
    found = []
    for path, entry in before.datasets.items():
        if partial(before, path):
            continue
        if path not in after.datasets:
            found.append(f"the target's dataset {path!r} is gone")
        elif after.datasets[path].guid != entry.guid:
            found.append(f"the target's dataset {path!r} is another one now: {entry.guid} became {after.datasets[path].guid}")
    for (path, name), entry in before.snaps.items():
        if (path, name) not in after.snaps:
            found.append(f"the target's snapshot {path}@{name} ({entry.guid}) is gone")
        elif after.snaps[path, name].guid != entry.guid:
            found.append(f"the target's snapshot {path}@{name} is another one now")
    return found


def _changed(before, after, what):
    found = [f"the source's {what} {key} has changed: {before.get(key)} became {after.get(key)}"
             for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    return sorted(found)


def source_changes(before, after):
    """What zfsync has changed on the source, its own bookmarks and notes apart."""
    def foreign(bookmarks):
        return {key: entry for key, entry in bookmarks.items() if not key[1].startswith(OWN_BOOKMARK)}

    def others(properties):
        return {key: value for key, value in properties.items() if key[0] or not key[1].startswith(OWN_NOTE)}

    return (_changed(before.datasets, after.datasets, "dataset") + _changed(before.snaps, after.snaps, "snapshot")
            + _changed(foreign(before.bookmarks), foreign(after.bookmarks), "bookmark")
            + _changed(others(before.properties), others(after.properties), "property"))


def without_new_holds(before, after):
    """`after` with the holds of `before`: `zfs send` holds what it sends until it ends, which takes a moment after its reader was killed."""
    for key, entry in after.snaps.items():
        if key in before.snaps:
            after.snaps[key] = replace(entry, holds=before.snaps[key].holds)
    return after


def out_of_sync(source, target):
    """The source's snapshots that the target lacks."""
    found = []
    for path, entry in source.datasets.items():
        wanted = source.guids(path)
        if not wanted:
            continue
        if path not in target.datasets:
            found.append(f"the target lacks the dataset {path!r}")
            continue
        if target.datasets[path].kind != entry.kind:
            found.append(f"{path!r} is a {entry.kind} on the source, a {target.datasets[path].kind} on the target")
        have = target.guids(path)
        found += [f"the target lacks {path}@{name} ({guid})" for guid, name in wanted.items() if guid not in have]
        if (common := [guid for guid in have if guid in wanted]) != [guid for guid in wanted if guid in have]:
            found.append(f"{path!r}: the target's snapshots come in another order: {common}")
    return found


class Past:
    """All that a source tree has ever had: the target can have nothing else."""

    def __init__(self):
        self.paths = set()
        self.names = {}  # (path, guid): names

    def learn(self, source):
        """Remembers what the source has now."""
        self.paths |= set(source.datasets)
        for (path, name), entry in source.snaps.items():
            self.names.setdefault((path, entry.guid), set()).add(name)

    def strangers(self, target):
        """What the target has and the source never had."""
        found = [f"the target has {path!r}, which the source never had" for path in target.datasets if path not in self.paths]
        for (path, name), entry in target.snaps.items():
            names = self.names.get((path, entry.guid))
            if names is None:
                found.append(f"the target has {path}@{name} ({entry.guid}), which the source never had")
            elif name not in names:
                found.append(f"the target's {path}@{name} was never named so on the source, but {sorted(names)}")
        return found


def tokens(target):
    """Paths of the target that have partially received state."""
    return {path for path, entry in target.datasets.items() if entry.token != "-"}


def leftovers(target, excused=frozenset()):
    """What a finished push must not leave on the target; paths in `excused` may have a token."""
    found = [f"a resume token is left on the target's {path!r}" for path in sorted(tokens(target) - excused)]
    found += [f"the target's {path!r} is mounted" for path, entry in target.datasets.items() if entry.mounted == "yes"]
    found += [f"the target's {path}@{name} is held" for (path, name), entry in target.snaps.items() if entry.holds != "0"]
    found += [f"the target has a bookmark {path}#{name}" for path, name in target.bookmarks]
    return found


def many_bookmarks(source):
    """Datasets with more than one bookmark of zfsync's own: there is only one target."""
    own = [path for path, name in source.bookmarks if name.startswith(OWN_BOOKMARK)]
    return [f"the source's {path!r} has {own.count(path)} bookmarks of zfsync" for path in sorted(set(own)) if own.count(path) > 1]


def contradictions(status, out, err):
    """Where a push's last event (--json), its stderr and its exit status don't fit."""
    ends = [event for event in map(json.loads, out) if event["event"] == "finished"] if status in (0, 1) else []
    told = ends and (ends[-1]["failed"] or ends[-1]["failures"]) or any("error:" in line for line in err)
    if status == 0 and (not ends or ends[-1]["failed"] or ends[-1]["interrupted"]):
        return [f"exit status 0, but the end says {ends}"]
    if status == 1 and not told:
        return [f"exit status 1 without a word about what failed; the end says {ends}"]
    return []


def contents(wanted, have, names):
    """Compares {guid: checksum} of both sides; `names` tells which snapshots these guids are."""
    found = [f"{names[guid]}: the content on the target differs" for guid in wanted if guid in have and wanted[guid] != have[guid]]
    return found + [f"{names[guid]}: not read on the target" for guid in wanted if guid not in have]


READING = """
export LC_ALL=C
place=/run/chaos-content; mkdir -p $place
filesystem() {
    mount -t zfs -o ro "$2" $place
    sum=$( (cd $place
        find . ! -type d -printf '%y %m %U %G %s %T@ %p %l\\n' | sort
        find . -type f -print0 | sort -z | xargs -0r md5sum) | md5sum)
    umount $place
    echo "$1 $sum"
}
volume() {
    clone=${2%%/*}/chaos-content
    zfs clone -o readonly=on "$2" $clone
    sum=$(path=$(device $clone) && md5sum <"$path") || sum=unread
    n=0; until zfs destroy $clone; do n=$((n + 1)); [ $n -lt 50 ]; sleep 0.2; done
    echo "$1 $sum"
}
"""


def reading(device, snapshots):
    """The script that prints a checksum of each snapshot: (guid, full name, kind)."""
    return device + READING + "".join(f"{kind} {guid} {q(name)}\n" for guid, name, kind in snapshots)


def sums(text):
    """{guid: checksum} that `reading` has printed."""
    return {guid: rest.split()[0] for guid, rest in (line.split(" ", 1) for line in text.splitlines())}

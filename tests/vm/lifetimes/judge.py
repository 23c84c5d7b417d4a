"""What must hold after each step, whatever zfsync says; told by guid. Each function returns what is wrong."""

import datetime

from world import OWN

UTC = datetime.timezone.utc
CLASSES = "SMHD"


def vanished(before, after):
    """[(path, Snap)] that a side had and has no more; a dataset that was renamed takes its snapshots along."""
    left = after.everywhere()
    return [(path, snap) for path, snaps in before.snaps.items() for snap in snaps if snap.guid not in left]


def timeline(before, after, path):
    """All snapshots that a dataset had or has, oldest first: a command that prunes may take one before, and push it."""
    new = [snap for snap in after.snaps.get(path, []) if snap.guid not in before.guids(path)]
    return sorted([*before.snaps.get(path, []), *new], key=lambda snap: snap.txg)


def gone_datasets(before, after):
    """Paths of datasets that are there no more under any name."""
    return [path for path, guid in before.datasets.items() if guid not in after.datasets.values()]


def source_keeps(before, after, allowed):
    """The source loses no dataset, and snapshots only where zfsync was told to prune it."""
    found = [f"the source's dataset {path!r} is gone" for path in gone_datasets(before, after)]
    if not allowed:
        found += [f"the source's {path}@{snap.name} is gone" for path, snap in vanished(before, after)]
    return found


def pruned_rightly(before, after, whose):
    """What may go by no rule at all: foreign names, held ones, the newest of a dataset."""
    found = []
    for path, snap in vanished(before, after):
        if not snap.own:
            found.append(f"{whose}: the foreign {path}@{snap.name} is gone")
        if snap.held:
            found.append(f"{whose}: the held {path}@{snap.name} is gone")
        if timeline(before, after, path)[-1] == snap:
            found.append(f"{whose}: {path}@{snap.name}, the newest, is gone")
    return found


def kept_by_rules(before, after, rules, whose, now):
    """What the rules keep is still there. `rules`: {"last": N}, {"class": {letter: N}}, {"periods": [(letter, N)]}."""
    found, left = [], after.everywhere()
    for path, snaps in before.snaps.items():
        own = [snap for snap in snaps if snap.own]
        keep = set()
        if "last" in rules:
            keep |= {snap.guid for snap in own[-rules["last"]:]} if rules["last"] else set()
        for letter, count in rules.get("class", {}).items():
            of_class = [snap for snap in own if OWN.match(snap.name)[2] == letter]
            keep |= {snap.guid for snap in of_class[-count:]} if count else set()
        for unit, count in rules.get("periods", []):
            keep |= periods(own, unit, count, now)
        found += [f"{whose}: {path}@{snap.name} is gone, which {rules} keep" for snap in own
                  if snap.guid in keep and snap.guid not in left]
    return found


def periods(snaps, unit, count, now):
    """The newest of each of the newest `count` periods that have one, by the times in the names; what lies in the future stays."""
    newest, keep = {}, set()
    for snap in snaps:
        text = OWN.match(snap.name)[1]
        when = datetime.datetime.strptime(text, "%y%m%d-%H%M%S").replace(tzinfo=UTC)
        if when.timestamp() > now:
            keep.add(snap.guid)
            continue
        key = (when.year, when.timetuple().tm_yday) + ((when.hour,) if unit == "h" else ())
        if key not in newest or newest[key][0] <= when:
            newest[key] = (when, snap)
    return keep | {newest[key][1].guid for key in sorted(newest)[-count:]}


def needed_by(before, after, target, bound, whose):
    """What a target lacks, and what its next increment starts from, stays on the source. `bound(path)`: whether zfsync can know
    that the dataset goes to this target."""
    found, left = [], after.everywhere()
    marks = {guid for guids in after.bookmarks.values() for guid in guids}
    for path in before.snaps:
        snaps = timeline(before, after, path)
        have = target.guids(path)
        common = [at for at, snap in enumerate(snaps) if snap.guid in have]
        if not common and not bound(path):
            continue
        base = common[-1] if common else -1
        for snap in snaps[base + 1:]:
            if snap.guid not in left:
                found.append(f"{path}@{snap.name} is gone, which {whose} lacks")
        if common and snaps[base].guid not in left and snaps[base].guid not in marks:
            found.append(f"{path}@{snaps[base].name} is gone without a bookmark: {whose} has nothing newer")
    return found


def target_keeps(before, after, may_prune, may_follow, source, past, foreign, whose):
    """What a target loses was to go: by pruning, or as the source has it no more and once had it."""
    found = []
    for path in gone_datasets(before, after):
        snaps = before.snaps[path]
        if not may_follow:
            found.append(f"{whose}: the dataset {path!r} is gone")
        elif path in source.datasets:
            found.append(f"{whose}: the dataset {path!r} is gone, and the source has it")
        elif strangers := [snap.name for snap in snaps if snap.guid in foreign or snap.guid not in past]:
            found.append(f"{whose}: the dataset {path!r} is gone with {strangers}, which didn't come from the source")
    here = source.everywhere()
    for path, snap in vanished(before, after):
        if snap.guid in foreign:
            found.append(f"{whose}: {path}@{snap.name} is gone, which its admin has made")
        elif may_prune:
            continue
        elif not may_follow:
            found.append(f"{whose}: {path}@{snap.name} is gone")
        elif snap.guid in here:
            found.append(f"{whose}: {path}@{snap.name} is gone, and the source has it as {here[snap.guid]}")
    return found


def held_up(source, target, path, lost):
    """Whether a dataset of the target has what the source went back behind and no more."""
    return any(snap.guid in lost and snap.guid not in source.guids(path) for snap in target.snaps.get(path, []))


def diverged(source, target, lost):
    """Whether something on the target is in the way of the source's new history."""
    return any(held_up(source, target, path, lost) for path in source.datasets)


def in_sync(source, target, whose, paths=None):
    """After exit status 0 the newest snapshot of each dataset is there."""
    found = []
    for path in source.datasets if paths is None else paths:
        newest = source.newest(path)
        if newest and newest.guid not in target.guids(path):
            found.append(f"exit status 0, and {whose} lacks {path}@{newest.name}")
    return found

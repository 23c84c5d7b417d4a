"""Who a target is: noted on SOURCE, told from others of its name, found under other spellings, kept until it is forgotten (rows B05, H10, R05)."""

import json

from cases_h_bookmarks import guid, marks
from cases_h_needs import KEEP, grow, pruned
from harness import case

MARK = "zfsync:target-"
# Its sshd shows another key's name under this one's.
AT_ALPHA = ("-o", "HostName=alpha", "-o", "HostKeyAlias=alpha")


def noted(c, dataset=None):
    """The notes on a dataset itself: {property: what it says}."""
    rows = c.alpha.rows(f"zfs get -Hp -s local -o property,value all {dataset or c.source}")
    return {name: json.loads(value) for name, value in rows if name.startswith(MARK)}


def tags(c, dataset=None):
    """The tags of the bookmarks of ours."""
    return {name[len("zfsync-"):][:8] for name in marks(c, dataset) if name.startswith("zfsync-")}


def old_tag(text):
    """The tag as older versions made it of HOST:DATASET."""
    value = 0xCBF29CE484222325
    for byte in [*text.encode(), 0, 0]:
        value = (value ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return f"{value >> 32:08x}"


def twins(c):
    """A pool of the same name on both hosts. TARGET on it, which is the one on beta or (AT_ALPHA) that on alpha, and its dataset."""
    word = "".join(part[0] for part in c.name.split("_")[1:])
    pool, _ = c.file_pools(word, word)
    return f"beta:{pool}/t", f"{pool}/t"


@case("B05", "R05")
def two_behind_one_name(c):
    """Two hosts that are reached under one name, each with such a pool: bookmarks, notes, state and what is kept are their own."""
    target, dataset = twins(c)
    c.tree({"": "s1", "a": "s1"})
    state = ("--state-dir", f"/var/tmp/zfsync-suite/{c.name}/state")
    c.push(*state, target=target)
    c.push(*state, *AT_ALPHA, target=target)
    c.same((len(tags(c)), len(tags(c, f"{c.source}/a")), len(noted(c))), (2, 2, 2), "tags of both datasets, and notes")
    c.snapshot(f"{c.source}@s2", f"{c.source}@s3")
    c.push(*state, target=target)
    run = c.zfsync("status", *state, "--json", *AT_ALPHA, c.source, target, status=0)
    c.same([row["last_run"] for row in run.events if row["dataset"] == c.source][:1] != [None], True, "the last run of the other")
    # The one at alpha has s1 alone.
    pruned(c, ["s1", "s2", "s3"])
    c.alpha(f"zfs destroy {c.source}@s1")
    c.push(*AT_ALPHA, target=target)
    c.same(c.snaps(c.alpha, dataset), ["s1", "s2", "s3"], "what alpha's got from its bookmark")
    pruned(c, ["s3"])
    c.same(len(c.alpha(f"ls /var/tmp/zfsync-suite/{c.name}/state").split()), 2, "state folders")


@case("B05", "R05")
def pool_replaced(c):
    """A new pool under the old one's name inherits nothing: it gets all, and what the old one may need stays until that is forgotten."""
    target, dataset = twins(c)
    pool = dataset.split("/")[0]
    c.tree({"": "s1"})
    c.push(target=target)
    c.snapshot(f"{c.source}@s2", f"{c.source}@s3")
    c.beta(f"zpool export {pool}; mv /var/tmp/{pool}.img /var/tmp/{pool}.old; truncate -s 256M /var/tmp/{pool}.img; zpool create -o cachefile=none {pool} /var/tmp/{pool}.img")
    c.cleanups.append((c.beta, f"rm -f /var/tmp/{pool}.old"))
    c.push(target=target, says=["another pool", "zfsync forget"])
    c.same((len(tags(c)), len(noted(c))), (2, 2), "tags and notes")
    pruned(c, ["s1", "s2", "s3"])
    # The old one comes back, and goes on where it was.
    c.beta(f"zpool destroy {pool}; mv /var/tmp/{pool}.old /var/tmp/{pool}.img; zpool import -o cachefile=none -d /var/tmp {pool}")
    c.push(target=target)
    c.same(c.snaps(c.beta, dataset), ["s1", "s2", "s3"], "the old pool's snapshots")
    pruned(c, ["s3"])
    name = next(name for name, note in noted(c).items() if note["since"] == max(one["since"] for one in noted(c).values()))
    c.zfsync("forget", c.source, name[len(MARK):])
    c.same((len(tags(c)), len(noted(c))), (1, 1), "tags and notes")


@case("B05")
def one_under_many_names(c):
    """The same target by its host's name, with a login name, as an address, by another port: one note, one bookmark, and none is forgotten."""
    c.tree({"": "s1", "a": "s1"})
    c.push()
    first = tags(c)
    address = c.alpha("getent hosts beta").split()[0]
    for number, name in enumerate(["root@beta", address, "beta"]):
        c.snapshot(f"{c.source}@n{number}")
        c.push("-o", "HostKeyAlias=beta", target=f"{name}:{c.target}")
        c.same((tags(c), tags(c, f"{c.source}/a"), len(noted(c)), len(marks(c))), (first, tags(c, f"{c.source}/a"), 1, 1), f"after {name}")
    c.same(len(tags(c, f"{c.source}/a")), 1, "the child's tags")
    note = next(iter(noted(c).values()))
    c.same((note["as"], note["host"], note["also"]), (f"beta:{c.target}", "beta:22", [f"{address}:22"]), "what is noted")
    with c.unchanged():
        c.push()
        c.push("-o", "HostKeyAlias=beta", target=f"{address}:{c.target}")
    # A part of it, pushed alone to where it goes as a part, is known by the note above.
    before = tags(c, f"{c.source}/a")
    c.snapshot(f"{c.source}/a@alone")
    c.push(source=f"{c.source}/a", target=f"root@beta:{c.target}/a")
    c.same((noted(c, f"{c.source}/a"), tags(c, f"{c.source}/a")), ({}, before), "what is noted on the child itself, and its tags")
    c.check(f"as recorded on {c.source}" in c.zfsync("targets", f"{c.source}/a").out, "targets of the child")


@case("B05", "R05")
def old_tags_are_taken_over(c):
    """Bookmarks by an older version are believed, replaced when the new ones are there, and not by another target of the same name."""
    target, dataset = twins(c)
    c.tree({"": "s1", "a": "s1"})
    c.push("--no-bookmark", target=target)
    c.same((tags(c), noted(c)), (set(), {}), "what --no-bookmark leaves")
    old = {path: f"zfsync-{old_tag(f'beta:{dataset}{path}')}-s1" for path in ("", "/a")}
    for path, name in old.items():
        c.alpha(f"zfs bookmark {c.source}{path}@s1 {c.source}{path}#{name}")
        c.snapshot(f"{c.source}{path}@s2")
    # Somebody else of that name, who is new.
    c.push(*AT_ALPHA, target=target)
    for path, name in old.items():
        c.check(name in marks(c, c.source + path), f"the old bookmark of {path!r} is gone")
    pruned(c, ["s1", "s2"])
    c.alpha(f"zfs destroy {c.source}@s1; zfs destroy {c.source}/a@s1")
    run = c.push("--json", target=target)
    c.same({event["from"] for event in run.of("step_started")}, {f"#{name}" for name in old.values()}, "what the steps start from")
    for path, name in old.items():
        c.same((name in marks(c, c.source + path), len(tags(c, c.source + path))), (False, 2), f"the bookmarks of {path!r}")
        c.same(c.snaps(c.beta, dataset + path), ["s1", "s2"], f"the target's snapshots of {path!r}")
    c.push(*AT_ALPHA, target=target)
    c.same(len(tags(c)), 2, "tags")


@case("B05", "V01")
def liar(c):
    """A target that says that its pool is another's takes nothing from that one: neither bookmarks nor what it needs."""
    target, dataset = twins(c)
    pool = dataset.split("/")[0]
    c.tree({"": "s1"})
    c.push(target=target)
    theirs = c.beta(f"zfs get -Hp -o value guid {pool}")
    own, before = c.alpha(f"zfs get -Hp -o value guid {pool}"), marks(c)
    c.script(c.alpha, "bin/zfs", f'#!/bin/sh\ncase "$*" in *name,guid,createtxg*) /usr/sbin/zfs "$@" | sed "s/^{pool}\t{own}\t/{pool}\t{theirs}\t/"; exit ;; esac\nexec /usr/sbin/zfs "$@"')
    c.script(c.alpha, "bin/zpool", '#!/bin/sh\nexec /usr/sbin/zpool "$@"')
    lies = c.script(c.alpha, "lies", f"#!/bin/sh\nPATH=/var/tmp/zfsync-suite/{c.name}/bin:$PATH exec zfsync recv --stdio")
    c.snapshot(f"{c.source}@s2")
    for number in (3, 4):
        c.push("--remote-zfsync", f"sh {lies} --", *AT_ALPHA, target=target)
        c.same({note["pool"] for note in noted(c).values()}, {int(theirs)}, "the pools that are noted")
        c.check(before.items() <= marks(c).items(), f"the bookmarks of the other target are {marks(c)}, not {before}")
        c.snapshot(f"{c.source}@s{number}")
    run = c.zfsync("targets", "--json", c.source)
    c.same(len(run.events), 2, "targets")
    pruned(c, ["s1", "s2", "s3", "s4"])
    c.alpha(f"zfs destroy {c.source}@s1")
    c.push(target=target)
    c.same(c.snaps(c.beta, dataset), ["s1", "s2", "s3", "s4"], "what the other target got")


@case("H10", "R05")
def needed_after_a_rollback_here(c):
    """`zfs rollback -r` on SOURCE takes the only bookmark: a noted target is known all the same, and all stays until it has been asked."""
    c.tree({"": "s1", "a": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2")
    c.push()
    c.alpha(f"zfs rollback -r {c.source}@s1")
    c.same(marks(c), {}, "bookmarks after the rollback")
    own = ["250101-000000_S", "250102-000000_S"]
    c.snapshot(*(f"{c.source}@{name}" for name in own))
    run = c.zfsync("prune", "-v", *KEEP, c.source)
    c.says(run, f"beta:{c.target}", "zfsync forget")
    c.same(c.snaps(c.alpha, c.source), ["s1", *own], "what is left on SOURCE")
    # Unreachable: cron heeds it as well.
    c.zfsync("cron", "-s", "0", "-m", "0", "-h", "0", "-d", "0", "--remote-zfsync", "false", c.source, f"beta:{c.target}", status=1)
    c.check({"s1", *own} <= set(c.snaps(c.alpha, c.source)), "cron has pruned what the target may need")
    c.push(status=1, says="--rollback")
    pruned(c, [name for name in c.snaps(c.alpha, c.source)])
    c.push("--rollback")
    newest = c.snaps(c.alpha, c.source)[-1]
    c.same(c.snaps(c.beta, c.target)[0], "s1", "the base on the target")
    pruned(c, [newest])


@case("H10", "R05")
def needed_by_a_target_in_conflict(c):
    """A target that has gone back, and on from there, needs all since what is still common, whatever a bookmark says that it had."""
    c.tree({"": "s1"})
    for number in (2, 3):
        c.push()
        grow(c, f"s{number}")
    c.push()
    c.alpha(f"zfs bookmark {c.source}@s1 {c.source}#mine")
    c.beta(f"zfs rollback -r {c.target}@s1; zfs set readonly=off {c.target}; zfs mount {c.target}; date >/{c.target}/own; zfs snapshot {c.target}@own; zfs unmount {c.target}; zfs set readonly=on {c.target}")
    grow(c, "s4")
    c.push(status=1, says="--rollback")
    pruned(c, ["s1", "s2", "s3", "s4"])
    c.push("--rollback")
    pruned(c, ["s4"])


@case("B05", "R05", "MIRROR")
def renamed_needs_nothing_twice(c):
    """What was renamed at the source and sent again: the bookmark of its old name goes once all is in sync, and keeps nothing from being pruned."""
    c.tree({"": "s1", "old": "s1", "old/kid": "s1"})
    c.push()
    c.push(target=f"beta:{c.target}/two")
    new = f"{c.source}/new"
    two = tags(c, f"{c.source}/old")
    c.alpha(f"zfs rename {c.source}/old {new}; zfs snapshot -r {c.source}@s2; zfs snapshot -r {c.source}@s3")
    # The other target, which has a record of its own, still has the old name.
    c.push("--exclude", "two", says=f"the target has it already as {c.target}/old")
    left = tags(c, new)
    c.same((len(left), len(left & two), len(tags(c, f"{new}/kid"))), (2, 1, 2), "tags of the renamed one: the other target's, and its new name's")
    c.push(target=f"beta:{c.target}/two")
    c.same((len(tags(c, new)), len(tags(c, new) & two)), (2, 0), "its tags, once the other target has it under its new name")
    c.zfsync("prune", *KEEP, c.source)
    c.same(c.snaps(c.alpha, new), ["s3"], "what is left of it")
    # What an older version has left goes, too, whether or not the push tells what only the target has.
    for options in ((), ("-q",)):
        stale = f"zfsync-{min(two)}-s1"
        c.alpha(f"zfs bookmark {new}@s3 '{new}#{stale}'")
        c.push("--exclude", "two", *options)
        c.push(*options, target=f"beta:{c.target}/two")
        c.check(stale not in marks(c, new), f"{stale} is still there after a push with {options}")
    c.check("bookmark" not in c.zfsync("targets", c.source).out, "a bookmark is told that is nobody's")


@case("B05", "R05", "MIRROR")
def renamed_there_takes_its_bookmarks(c):
    """--follow-renames gives the bookmarks the new name at once, also where the dataset doesn't get in sync in that run."""
    c.tree({"": "s1", "old": "s1"})
    c.push()
    c.beta(f"zfs set readonly=off {c.target}/old; zfs snapshot {c.target}/old@own; zfs mount {c.target}/old; date >/{c.target}/old/file; zfs umount {c.target}/old")
    c.alpha(f"zfs rename {c.source}/old {c.source}/new; zfs snapshot -r {c.source}@s2")
    old = tags(c, f"{c.source}/new")
    c.push("--follow-renames", status=1, says="--rollback")
    c.check(c.exists(c.beta, f"{c.target}/new"), "nothing was renamed")
    c.same((len(tags(c, f"{c.source}/new")), tags(c, f"{c.source}/new") & old), (1, set()), "its tags")
    c.push("--rollback")
    c.zfsync("prune", *KEEP, c.source)
    c.same(c.snaps(c.alpha, f"{c.source}/new"), ["s2"], "what is left of it")


@case("B05", "R05")
def of_nobody_that_is_recorded(c):
    """A bookmark of ours that is of no recorded target keeps what it may need, and what removes it is told."""
    c.tree({"": "s1 s2 s3"})
    c.push()
    mark = f"{c.source}#zfsync-0123abcd-s1"
    c.alpha(f"zfs bookmark {c.source}@s1 '{mark}'")
    command = f"zfs destroy '{mark}'"
    c.check(command in c.zfsync("targets", c.source).out, "targets doesn't tell what removes it")
    c.says(c.zfsync("prune", "-v", *KEEP, c.source), command)
    c.same(c.snaps(c.alpha, c.source), ["s1", "s2", "s3"], "what is left")
    c.alpha(command)
    pruned(c, ["s3"])


@case("H10", "C05")
def not_needed_where_not_selected(c):
    """What no push has ever selected is no target's: a prune prunes it out."""
    c.tree({"": "s1 s2", "tmp": "s1 s2 s3", "new": ""})
    c.push("--exclude", "tmp")
    c.snapshot(f"{c.source}/new@s1", f"{c.source}/new@s2")
    c.zfsync("prune", *KEEP, c.source)
    c.same(c.snaps(c.alpha, f"{c.source}/tmp"), ["s3"], "what is left of what was left out")
    c.same(c.snaps(c.alpha, f"{c.source}/new"), ["s1", "s2"], "what is left of what the target lacks")
    # A tree below, and one above, heed it as well.
    c.zfsync("prune", *KEEP, f"{c.source}/new")
    c.same(c.snaps(c.alpha, f"{c.source}/new"), ["s1", "s2"], "what is left of it, pruned alone")
    c.push("--exclude", "tmp")
    c.zfsync("prune", *KEEP, f"{c.source}/new")
    c.same(c.snaps(c.alpha, f"{c.source}/new"), ["s2"], "what is left of it")


@case("P20")
def listed_and_forgotten(c):
    """`targets` tells who is known and how far; `forget` drops one of them, after `-n` has told what, and no other."""
    c.tree({"": "s1", "a": "s1", "b": ""})
    c.push()
    two = f"beta:{c.target}-two"
    c.shown.append((c.beta, f"{c.target}-two"))
    c.snapshot(f"{c.source}@s2", f"{c.source}/b@s2")
    c.push("--exclude", "b", target=two)
    rows = {row["target"]: row for row in c.zfsync("targets", "--json", c.source).events}
    found = {name: (row["newest_arrived"], row["datasets_with"], row["datasets_without"]) for name, row in rows.items()}
    c.same(found, {f"beta:{c.target}": (f"{c.source}@s1", 2, 1), two: (f"{c.source}@s2", 2, 0)}, "the targets")
    made = int(c.alpha(f"zfs get -Hp -o value creation {c.source}@s2"))
    c.same(rows[two]["newest_arrived_created"], made, "when the newest was made")
    text = c.zfsync("targets", c.source).out
    c.check(f"beta:{c.target}\n" in text and "2 of 3 datasets received" in text, f"the text is {text}")
    with c.unchanged():
        c.check("would be removed" in c.zfsync("forget", "-n", c.source, two).out, "what -n tells")
        c.zfsync("forget", c.source, "beta:bpool/nobody", status=2, says="zfsync targets")
        c.zfsync("forget", c.source, "0123456789abcdef", status=2, says="zfsync targets")
    left = {name: mark for name, mark in marks(c).items() if mark == guid(c, f"{c.source}@s1")}
    c.zfsync("forget", c.source, two)
    c.same((marks(c), len(noted(c))), (left, 1), "bookmarks and notes that are left")
    c.zfsync("forget", c.source, rows[f"beta:{c.target}"]["id"])
    c.same((marks(c), marks(c, f"{c.source}/a"), noted(c)), ({}, {}, {}), "bookmarks and notes that are left")
    # Nobody is heeded any more.
    pruned(c, ["s2"])


@case("M10", "H10")
def targets_of_a_prune(c):
    """A TARGET that isn't there is an error; a copy on this machine is no second source, and --target says that it is a target."""
    c.tree({"": "s1 s2 s3"})
    copy = f"{c.source}-copy"
    c.shown.append((c.alpha, copy))
    c.push(target=copy)
    c.snapshot(f"{c.source}@s4")
    with c.unchanged():
        for target in (f"beta:{c.target}", "beta:bpool/mistyped", "beta:nopool/x"):
            c.zfsync("prune", *KEEP, c.source, target, status=3, says=["nothing was pruned", "zfsync targets"])
        c.zfsync("prune", *KEEP, c.source, "--target", f"{copy}/x", status=3, says="nothing was pruned")
        c.zfsync("prune", *KEEP, c.source, copy, status=2, says=[f"--target {copy}", "nothing was pruned"])
        c.zfsync("prune", *KEEP, copy, c.source, status=2, says=f"--target {copy}")
    c.zfsync("prune", *KEEP, c.source, "--target", copy)
    c.same((c.snaps(c.alpha, c.source), c.snaps(c.alpha, copy)), (["s3", "s4"], ["s3"]), "what is left on both sides")

"""Which way a push goes, and what a look before it says of a target that has a life of its own (rows SUCCESS, STATUS, DOCTOR, Z09)."""

import json

from cases_g_conflicts import write
from cases_m_prune import DAYS, make
from harness import case


@case("SUCCESS")
def swapped(c):
    """A copy is not pushed onto what it is a copy of, whatever the options; it can be restored, and with its note gone the roles are swapped.

    Where its origin no longer exists it may be replicated under that name, again and again: what is there has come from it.
    """
    c.tree({"": "s1", "a b": "s1"})
    c.push()
    copy = f"beta:{c.target}"
    c.beta(f"zfs snapshot -r {c.target}@own")
    words = (f"{c.source} is recorded as the source of the copy {copy}", "swapped", f"zfsync restore {copy} NEW")
    with c.unchanged():
        for flags in ((), ("-n",), ("--rollback",), ("--replace", c.source)):
            c.zfsync("pull", *flags, copy, c.source, status=2, says=words)
        c.zfsync("pull", f"{copy}/a b", f"{c.source}/a b", status=2, says="swapped")
    c.zfsync("restore", copy, f"{c.source}-back")
    c.same(c.snaps(c.alpha, f"{c.source}-back/a b"), ["s1", "own"], "what was restored")
    c.alpha(f"zfs rename {c.source} {c.source}-old")
    for name in ("own", "own2"):
        c.zfsync("pull", copy, c.source)
        c.same(c.snaps(c.alpha, c.source), c.snaps(c.beta, c.target), "the snapshots under the old name")
        c.beta(f"zfs snapshot -r {c.target}@{name}2")
    c.alpha(f"zfs destroy -r {c.source}; zfs rename {c.source}-old {c.source}")
    c.beta(f"zfs destroy -r {c.target}@own2%own22; zfs inherit zfsync:received {c.target}")
    c.zfsync("pull", copy, c.source)
    c.same(c.snaps(c.alpha, f"{c.source}/a b"), ["s1", "own"], "the source that has become a copy")


@case("SUCCESS")
def swapped_above_a_copy(c):
    """What lies above a copy isn't pushed onto what the copy has come from, in sync or not; nor is that renamed. Nothing is changed."""
    c.tree({"": "s1", "kid": "s1"})
    holder, live = f"{c.target}/of alpha", f"{c.source}/tree"
    c.alpha(f"zfs create {c.source}/other; zfs rename {c.source}/kid {c.source}/other/kid; zfs rename {c.source}/other {live}; zfs snapshot {live}@s1")
    c.beta(f"zfs create {c.target}; zfs create '{holder}'")
    for path in ("tree", "tree/kid"):
        c.push(source=f"{c.source}/{path}", target=f"beta:{holder}/{path}")
    words = ("swapped", f"{live} is recorded as the source of the copy beta:{holder}/tree", "zfs inherit -r zfsync:received")
    with c.unchanged():
        c.zfsync("pull", f"beta:{holder}", c.source, status=2, says=words)
    c.beta(f"zfs snapshot -r '{holder}@own'; zfs rename '{holder}/tree/kid' '{holder}/tree/child'")
    with c.unchanged():
        for flags in ((), ("-n",), ("--no-bookmark",), ("--rollback",), ("--follow-renames",), ("--delete-missing", "both", "--grace", "0")):
            c.zfsync("pull", *flags, f"beta:{holder}", c.source, status=2, says=words)
    # Only a child is a copy, under another name now. What is alive here hasn't come from there: it isn't renamed.
    copy, kid = f"beta:{holder}/tree", c.alpha(f"zfs get -H -o value guid {live}/kid")
    c.beta(f"zfs destroy -r '{holder}@own'; zfs inherit zfsync:received '{holder}/tree'")
    c.zfsync("pull", "--follow-renames", "--no-bookmark", copy, live)
    c.same((sorted(c.versions(c.alpha, live)), c.alpha(f"zfs get -H -o value guid {live}/kid")), (["", "child", "kid"], kid), "what there is")
    # With a bookmark from a time when it was no copy it would be.
    note = c.beta(f"zfs get -H -o value zfsync:received '{holder}/tree/child'")
    c.alpha(f"zfs destroy -r {live}/child")
    c.beta(f"zfs inherit -r zfsync:received '{holder}'; zfs rename '{holder}/tree/child' '{holder}/tree/kid'")
    c.zfsync("pull", copy, live)
    c.beta(f"zfs rename '{holder}/tree/kid' '{holder}/tree/child'; zfs set zfsync:received={note} '{holder}/tree/child'")
    with c.unchanged():
        for flags in (("-n",), ()):
            c.zfsync("pull", *flags, "--follow-renames", copy, live, status=2,
                     says=("swapped", f"{live}/kid is recorded as the source of the copy {copy}/child"))
    c.beta(f"zfs inherit -r zfsync:received '{holder}'")
    c.zfsync("pull", "--follow-renames", copy, live)
    c.same(sorted(c.versions(c.alpha, live)), ["", "child"], "what there is once it is no copy any more")


@case("SUCCESS", "C12")
def swapped_after_set_aside(c):
    """What comes back after --set-aside is recorded as a copy as before, at the top and below, as is what was set aside; neither is pushed onto its source.

    The other resolutions, a receive into an empty filesystem and --follow-renames leave it recorded, too; a restored dataset is none.
    """
    c.tree({"": "s1", "kid": "s1", "kid/low": "s1"})
    c.push()
    copy = f"beta:{c.target}"
    c.beta(f"zfsync push -q {c.target}/kid {c.target}-further; zfs set zfsync:missing-since=17 {c.target}/kid")
    write(c, "kid", snap="own")
    c.cleanups.append((c.beta, f"zfs destroy -r {c.target}-further"))

    def noted(names="zfsync:received"):
        lines = c.beta.lines(f"zfs get -H -r -t filesystem -s local -o name,property,value all {c.target}")
        fields = [line.split("\t", 2) for line in lines]
        return {(name[len(c.target):].lstrip("/"), name_of, value) for name, name_of, value in fields if name_of.startswith(names)}

    def copies(also=()):
        c.same(sorted(path for path, _, _ in noted() if ".zfsync-" not in path), sorted(["", "kid", "kid/low", *also]), "what is a copy")

    before = noted(("zfsync:received", "zfsync:target-"))
    c.same(len(before), 4, "the records")
    c.snapshot(f"{c.source}@s2", f"{c.source}/kid@s2", f"{c.source}/kid/low@s2")
    c.push("--set-aside")
    after = noted("zfsync:")
    c.check(before <= after, f"records that are gone: {before - after}")
    c.same({(path, name) for path, name, _ in after if name == "zfsync:missing-since" and ".zfsync-" not in path}, set(), "what is missing")
    kept = min(path for path, _, _ in after if path.startswith("kid.zfsync-"))
    words = "swapped"
    with c.unchanged():
        for path in ("kid", "kid/low", kept):
            live = f"{c.source}/{'kid' if path == kept else path}"
            for flags in ((), ("--rollback",)):
                c.zfsync("pull", *flags, f"{copy}/{path}", live, status=2, says=words)
    # The other ways; what was set aside is a clone of what would go.
    c.beta(f"zfs destroy -r {c.target}/{kept}")
    write(c, "kid", snap="own")
    c.snapshot(f"{c.source}/kid@s3")
    c.push("--replace", f"{c.target}/kid")
    copies()
    c.zfsync("restore", f"{copy}/kid", f"{c.source}-back")
    c.same(c.alpha(f"zfs get -H -r -s local -o name zfsync:received {c.source}-back"), "", "a restored dataset that is a copy")
    c.cleanups.append((c.alpha, f"zfs destroy -r {c.source}-back"))
    c.beta(f"zfs create -o canmount=noauto {c.target}/empty")
    c.alpha(f"zfs create {c.source}/empty")
    c.snapshot(f"{c.source}/empty@s1")
    c.push()
    copies(["empty"])
    c.alpha(f"zfs rename {c.source}/empty {c.source}/full")
    c.push("--follow-renames")
    copies(["full"])


def other_names(c, push):
    """A copy that was pushed so, and the live datasets, which have other names now: all but their snapshots' GUIDs is new to it."""
    c.tree({"": "s1", "kid": "s1", "kid/low": "s1"})
    push()
    live = f"{c.source}-moved"
    c.cleanups.append((c.alpha, f"zfs destroy -r {live}"))
    c.shown.append((c.alpha, live))
    c.alpha(f"zfs rename {c.source} {live}; zfs rename {live}/kid {live}/child; zfs snapshot -r {live}@live")
    c.beta(f"zfs snapshot -r {c.target}@own")
    return f"beta:{c.target}", live


def refused(c, copy, live):
    """Nothing is changed by a push of the copy, or of a part of it, onto what it has come from."""
    def words(path_of, path):
        return "swapped", f"{live}{path} is recorded as the source of the copy {copy}{path_of}"

    with c.unchanged():
        for flags in ((), ("-n",), ("--rollback",), ("--set-aside",), ("--no-bookmark",), ("--helper", "plain")):
            c.zfsync("pull", *flags, copy, live, status=2, says=words("", ""))
        for flags in ((), ("--rollback",)):
            c.zfsync("pull", *flags, f"{copy}/kid", f"{live}/child", status=2, says=words("/kid", "/child"))
            c.zfsync("pull", *flags, f"{copy}/kid/low", f"{live}/child/low", status=2, says=words("/kid/low", "/child/low"))


@case("SUCCESS")
def swapped_after_a_rename(c):
    """A copy is not pushed onto its source after that was renamed, nor a dataset of it, whatever the options; zfs inherit lifts that, as does zfsync forget."""
    copy, live = other_names(c, c.push)
    refused(c, copy, live)
    # A record of a version that noted no guid of TARGET.
    note = c.alpha(f"zfs get -H -s local -o property,value all {live} | grep zfsync:target-").strip()
    name, value = note.split("\t")
    old = {key: kept for key, kept in json.loads(value).items() if key != "top"}
    c.alpha(f"zfs set {name}='{json.dumps(old)}' {live}")
    with c.unchanged():
        c.zfsync("pull", "--rollback", copy, live, status=2, says="swapped")
    c.alpha(f"zfs set {name}='{value}' {live}; zfsync forget {live} {copy}")
    c.zfsync("pull", "-n", "--rollback", copy, live)
    c.alpha(f"zfs set {name}='{value}' {live}")
    c.beta(f"zfs inherit -r zfsync:received {c.target}")
    c.zfsync("pull", "--rollback", f"{copy}/kid", f"{live}/child")
    c.same(c.snaps(c.alpha, f"{live}/child/low")[-1], "own", "what the copy is the source of now")


@case("SUCCESS")
def swapped_under_another_host_name(c):
    """The same where the host of the source had another name when it pushed, and the source keeps its own; a chain goes on as before."""
    def push():
        c.alpha(f"unshare -u sh -c 'hostname other && zfsync push -q {c.source} beta:{c.target}'")

    copy, live = other_names(c, push)
    refused(c, copy, live)
    c.alpha(f"zfs rename {live}/child {live}/kid; zfs rename {live} {c.source}")
    with c.unchanged():
        for flags in ((), ("--rollback",)):
            c.zfsync("pull", *flags, copy, c.source, status=2, says="swapped")
            c.zfsync("pull", *flags, f"{copy}/kid", f"{c.source}/kid", status=2, says="swapped")
    # On to a third place, and from there.
    c.beta(f"zfs destroy -r {c.target}@own")
    c.cleanups.append((c.beta, f"zfs destroy -r {c.target}-further"))
    for name in ("s2", "s3"):
        c.beta(f"zfsync push -q --rollback --no-bookmark {c.target} {c.target}-further")
        c.alpha(f"zfs snapshot -r {c.source}@{name}")
        c.push()
        c.same(c.snaps(c.beta, f"{c.target}/kid/low")[-1], name, "the newest of the copy")


@case("MIRROR")
def only_copies_are_renamed(c):
    """A dataset that has the snapshots of a new one, and has not come from this source, is not taken for its old name."""
    c.tree({"": "s1", "new": "s1"})
    c.alpha(f"zfs send {c.source}/new@s1 | ssh beta 'zfs create {c.target}; zfs receive -u {c.target}/old'")
    c.alpha(f"zfs send {c.source}@s1 | ssh beta zfs receive -F -u {c.target}")
    c.push("--no-bookmark", "--follow-renames")
    c.only("", "new", "old")


@case("SUCCESS")
def copies_that_go_on(c):
    """Copies of many hosts' datasets go on to a third place and from there; two hosts keep each other's; nothing of that is a swap."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    further, back = f"{c.target}-further", f"{c.source}-back"
    c.cleanups.append((c.beta, f"zfs destroy -r {further}"))
    c.cleanups.append((c.alpha, f"zfs destroy -r {back}"))
    # From the copy to another tree of that host, and from there to this one; each goes on with increments.
    for name in ("s2", "s3"):
        c.beta(f"zfsync push -q --no-bookmark {c.target} {further}")
        c.zfsync("pull", "--no-bookmark", f"beta:{further}", back)
        c.same(c.versions(c.alpha, back), c.versions(c.alpha, c.source), "what has come back")
        c.alpha(f"zfs snapshot -r {c.source}@{name}")
        c.push()
    # Fan-out: another target of the same source, and the copy onto that one.
    c.push(target=f"beta:{further}/two")
    c.alpha(f"zfs snapshot -r {c.source}@s4")
    c.push()
    c.beta(f"zfsync push -q {c.target} {further}/two")
    c.same(c.snaps(c.beta, f"{further}/two/kid"), ["s1", "s2", "s3", "s4"], "the other target")


@case("STATUS", versions=True)
def a_target_that_was_written_to(c):
    """What status says is what a push then does: in sync with a note, and a conflict as soon as there is something to send."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    there = f"beta:{c.target}"
    c.beta(f"""zfs set readonly=off {c.target}; zfs mount {c.target}
        echo mine >"$(zfs get -H -o value mountpoint {c.target})/mine"; zfs unmount {c.target}""")
    run = c.zfsync("status", c.source, there)
    note = f"{c.source}: the target was written to since its newest snapshot ("
    c.check(note in run.out and f"{c.source}/kid" not in run.out, f"what status says: {run.out}")
    c.snapshot(f"{c.source}@s2", f"{c.source}/kid@s2")
    run = c.zfsync("status", "--json", c.source, there, status=2)
    lines = [json.loads(line) for line in run.out.splitlines()]
    c.same([(line["state"], line["conflict"]) for line in lines], [("conflict", "modified"), ("behind", None)], "the states")
    c.check(lines[0]["target_written_bytes"] > 0 == lines[1]["target_written_bytes"], f"what was written: {lines}")
    c.push(status=1, says="the target has been modified since @s1")


@case("DOCTOR")
def the_plan_is_foreseen(c):
    """doctor says what the push would: nothing to replicate, what it would send, no common snapshot; nothing is changed."""
    c.tree({"": "", "kid": ""})
    ends = ("--source", c.source, f"beta:{c.target}")

    def plan(status):
        with c.unchanged():
            found = json.loads(c.zfsync("doctor", "--json", *ends, status=status).out)
        (one,) = [finding for end in found["ends"] for finding in end["findings"] if finding["check"] == "plan"]
        return one["mark"], one["words"], one.get("advice", "")

    c.same(plan(0), ("warning", "a run would have nothing to replicate: none of the 2 selected datasets has a snapshot; cron and run take a "
                     "snapshot first", f"take one first: zfsync snapshot {c.source}"), "without a snapshot")
    c.snapshot(f"{c.source}@s1", f"{c.source}/kid@s1")
    c.same(plan(0)[:2], ("ok", "a push would send 2 snapshots of 2 datasets"), "before the first push")
    c.push("--no-bookmark")
    c.alpha(f"zfs destroy {c.source}/kid@s1")
    c.snapshot(f"{c.source}/kid@s2")
    mark, words, advice = plan(1)
    c.check(mark == "failure" and "conflict: no common snapshot" in words and "--set-aside" in advice, f"a conflict: {words}\n{advice}")


@case("H06", "R09")
def a_record_without_its_bookmark(c):
    """push --rollback to the middle of a chain destroys the bookmark there for its end; the record of that target keeps what it needs."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:2])
    c.push()
    end = f"{c.target}-end"
    c.beta(f"zfsync push -q {c.target} {end}")
    make(c, c.alpha, c.source, DAYS[2])
    c.push()
    c.beta(f"zfsync push -q {c.target} {end}")
    c.alpha(f"zfs rollback -r {c.source}@{DAYS[1]}")
    make(c, c.alpha, c.source, *DAYS[3:6])
    c.push("--rollback")
    c.same(c.beta(f"zfs list -H -t bookmark -o name -r {c.target}").strip(), "", "the bookmarks in the middle")
    run = c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}")
    c.check("targets of this copy may need them" in run.err, f"it is not told: {run.err}")
    c.check(set(DAYS[:2]) <= set(c.snaps(c.beta, c.target)), f"what the end needs is gone: {c.snaps(c.beta, c.target)}")
    c.beta(f"zfsync push -q --rollback {c.target} {end}")
    c.same(c.snaps(c.beta, end)[-1], DAYS[5], "the newest at the end")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}")
    c.same(c.snaps(c.beta, c.target), [DAYS[5]], "what stays once the end has it")


@case("H06")
def a_damaged_record(c):
    """A record that can't be read is listed; a push to its target renews it, and forget removes it."""
    c.tree({"": "s1"})
    c.push()
    mine = c.alpha(f"zfs get -H -s local -o property all {c.source} | grep zfsync:target-").strip()
    other = "zfsync:target-0123456789abcdef"
    for value in ("damaged", '"$(printf "{\\nx")"'):
        for record in (mine, other):
            c.alpha(f"zfs set {record}={value} {c.source}")
            listed = c.alpha(f"zfsync targets {c.source}")
            c.check(f"forget {c.source} {record[14:]}" in listed, f"{record} is not listed: {listed}")
        c.push()
        c.check("can't be read" in c.alpha(f"zfsync targets {c.source}"), "the other one is listed no more")
        c.alpha(f"zfsync forget {c.source} {other[14:]}")
        c.check("can't be read" not in c.alpha(f"zfsync targets {c.source}"), "one is left")
        c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}")


@case("H06")
def a_damaged_record_elsewhere(c):
    """A record with a line feed that can't be read counts above SOURCE, and on a copy that is pruned as a target."""
    c.tree({"": "", "a": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    make(c, c.alpha, f"{c.source}/a", *DAYS[:3])
    c.push()
    record, value = "zfsync:target-0123456789abcdef", '"$(printf "{\\nx")"'
    c.alpha(f"zfs set {record}={value} {c.source}")
    c.zfsync("prune", "--keep-last", "1", f"{c.source}/a", f"beta:{c.target}/a", status=3, says=record)
    c.alpha(f"zfs inherit {record} {c.source}")
    c.beta(f"zfs set {record}={value} {c.target}")
    c.zfsync("prune", "--keep-last", "1", c.source, f"beta:{c.target}", says="4 snapshots are kept: targets of this copy may need them")
    for path in ("", "/a"):
        c.same(c.snaps(c.beta, f"{c.target}{path}"), DAYS[:3], f"the snapshots of the copy {path}")


@case("H06")
def restored_onto_its_copy(c):
    """A restore whose COPY and NEW are swapped is refused, as is its dry run."""
    c.tree({"": "s1", "a": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2", f"{c.source}/a@s2")
    for path in ("", "/a"):
        for options in (("-n",), ()):
            c.zfsync("restore", *options, "--into-existing", f"{c.source}{path}", f"beta:{c.target}{path}", status=2, says="are COPY and NEW swapped")
    c.same(c.snaps(c.beta, c.target), ["s1"], "the snapshots of the copy")
    # What is no copy of it can go on.
    c.zfsync("restore", f"beta:{c.target}", f"{c.source}/back")
    c.zfsync("restore", "--into-existing", f"beta:{c.target}", f"{c.source}/back")


@case("H06", "R09")
def a_copy_pruned_by_itself(c):
    """cron and prune of a copy as DATASET keep what its source continues from, say so, and prune the rest."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    c.push()
    cron = f"zfsync cron -s 1 -m 1 -h 1 -d 1 {c.target} {c.target}-end 2>&1"
    words = "the source of this copy may continue from there"
    said = [c.beta(cron) for _ in range(3)]
    c.same(sum(words in one for one in said), 1, f"how often it is told: {said}")
    made = sorted(set(c.snaps(c.beta, c.target)) - set(DAYS))
    c.check(made, "cron has taken none")
    c.check(DAYS[2] in c.snaps(c.beta, c.target), f"what the source continues from is gone: {c.snaps(c.beta, c.target)}")
    c.check(not set(DAYS[:2]) & set(c.snaps(c.beta, c.target)), "nothing that was received is pruned")
    make(c, c.alpha, c.source, DAYS[3])
    c.push()
    c.beta(f"zfsync push -q {c.target} {c.target}-end")
    pruned = c.beta(f"zfsync prune --keep-last 1 {c.target} 2>&1")
    c.check(words not in pruned and c.snaps(c.beta, c.target) == [DAYS[3]], f"{pruned} {c.snaps(c.beta, c.target)}")


@case("H06", "R09")
def snapshots_above_a_copy(c):
    """cron and prune of a dataset that has a copy below it, as on a host that keeps what others push to it: they keep what the copy's source continues from, and prune the rest."""
    c.tree({"": ""})
    make(c, c.alpha, c.source, *DAYS[:3])
    copy = f"{c.target}/copy"
    c.beta(f"zfs create {c.target}")
    c.push(argv=["zfsync", "push", c.source, f"beta:{copy}"])
    for _ in range(3):
        c.beta(f"zfsync cron -s 1 -m 1 -h 1 -d 1 {c.target} {c.target}-end")
    taken = set(c.snaps(c.beta, copy)) - set(DAYS)
    c.check(taken, "cron has taken none of the copy")
    marked = c.beta.lines(f"zfs get -H -t snapshot -s local -d 1 -o name zfsync:taken-here {copy}")
    c.same({name.split("@")[1] for name in marked}, taken, "which snapshots are marked as taken there")
    c.check(DAYS[2] in c.snaps(c.beta, copy), f"what the source continues from is gone: {c.snaps(c.beta, copy)}")
    c.check(not set(DAYS[:2]) & set(c.snaps(c.beta, copy)), "nothing that was received is pruned")
    make(c, c.alpha, c.source, DAYS[3])
    c.push(argv=["zfsync", "push", c.source, f"beta:{copy}"])
    c.same(c.snaps(c.beta, copy)[-1], DAYS[3], "the newest of the copy")


@case("Z09", "H06")
def what_a_copy_keeps_further(c):
    """A copy that is pruned and has a target of its own keeps what that may need; cron says so once, and again when it has begun anew."""
    c.tree({"": ""})
    target, copy = f"beta:{c.target}", f"{c.target}-further"
    cron = ("cron", "-d", "99", "-s", "99", "-m", "99", "-h", "99", "--keep-targets", "1d", c.source, target)
    words = "targets of this copy may need them"

    def told():
        return words in c.zfsync(*cron).err

    c.check(not told(), "it is told of a copy that has no targets")
    c.beta(f"zfsync push -q {c.target} {copy}")
    make(c, c.alpha, c.source, *DAYS[:3])
    c.same([told(), told()], [True, False], "whether it is told")
    c.same(sorted(set(DAYS[:3]) & set(c.snaps(c.beta, c.target))), sorted(DAYS[:3]), "what stays for the other target")
    # When the other one has them they can go.
    c.beta(f"zfsync push -q {c.target} {copy}")
    c.same([told(), sorted(set(DAYS[:3]) & set(c.snaps(c.beta, c.target)))], [False, []], "when the other one has them")
    c.beta(f"zfsync forget {c.target} {copy}")
    c.check(not told(), "it is told though there is no other target any more")
    # With nothing in common any more the old one would be a conflict.
    c.beta(f"zfsync push -q {c.target} {copy}-2")
    make(c, c.alpha, c.source, *DAYS[3:5])
    c.same(told(), True, "whether it is told when it begins anew")

"""Datasets and snapshots that the source has no more, or under another name (rows H01 to H05, I16, MIRROR)."""

from harness import case
from tools import helper


def bookmarks(c):
    """The names of the source's bookmarks, without their datasets."""
    return [row[0].split("#")[1] for row in c.alpha.rows(f"zfs list -H -r -t bookmark -o name {c.source}")]


def guid(c, dataset):
    """The identity of a dataset itself, whatever it is called."""
    return c.beta(f"zfs get -Hp -o value guid {dataset}")


def mirror(c, *options, what="both", grace="0", **more):
    """A push that clears away what is missing."""
    return c.push("--delete-missing", what, "--grace", grace, *options, **more)


@case("I16", "H05", "MIRROR")
def told_and_kept(c):
    """A dataset and a snapshot are destroyed at the source: a push counts datasets, -v names all, and nothing of it goes."""
    c.tree({"": "s1 s2", "gone": "s1", "gone/kid": "s1", "stays": "s1", "skipped": "s1"})
    c.push(says="in sync")
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs destroy {c.source}@s1; zfs destroy -r {c.source}/skipped")
    with c.unchanged():
        run = c.push("--exclude", "skipped", says="only on the target: 2 datasets (-v lists them)")
        c.check("gone" not in run.err, f"names without -v: {run.err}")
        run = c.push("-v", "--exclude", "skipped")
        for line in ("only on the target: 2 datasets, 1 snapshot", f"  {c.target}/gone", f"  {c.target}/gone/kid", f"  {c.target}: @s1"):
            c.check(line in run.err.replace("zfsync: ", ""), f"{line!r} is missing: {run.err}")
        c.check(f"{c.target}/skipped" not in run.err, f"what isn't selected is told: {run.err}")
        run = c.push("--json")
        c.same(run.of("only_there")[0]["datasets"], [f"{c.target}/{path}" for path in ("gone", "gone/kid", "skipped")], "what only the target has")


@case("H02", "H03", "I16", "MIRROR")
def datasets_go(c):
    """--delete-missing datasets: what zfsync has put there goes; what is held, cloned, written to, foreign or not selected stays, with all above it."""
    gone = ("gone", "gone/kid", "gone/vol")
    odd = ("held", "cloned", "written", "foreign", "parent", "parent/kid", "skipped", "skipped/kid")
    c.tree({path: "s1" for path in ("", "stays", *gone, *odd)}, volumes=("gone/vol",))
    c.push()
    c.alpha("\n".join(f"zfs destroy -r {c.source}/{path}" for path in ("gone", "held", "cloned", "written", "foreign", "parent", "skipped")))
    c.beta(f"""zfs hold keep {c.target}/held@s1
        zfs clone -o canmount=off {c.target}/cloned@s1 {c.target}-clone
        zfs set readonly=off canmount=on mountpoint=/tmp/{c.name} {c.target}/written
        mountpoint -q /tmp/{c.name} || zfs mount {c.target}/written
        echo precious >/tmp/{c.name}/file; zfs umount {c.target}/written
        zfs snapshot {c.target}/foreign@own
        zfs create -o canmount=off {c.target}/parent/kid/foreign""")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}/held@s1; zfs destroy {c.target}-clone"))
    options = ("--exclude", "skipped/kid", "--exclude", "skipped")
    with c.unchanged():
        run = mirror(c, "-n", "--json", *options, what="datasets")
        rows = {row["target"]: row["action"] for row in run.of("plan")[0]["rows"]}
        c.push("--delete-missing", "datasets", "--grace", "0", "--remote-zfsync", helper(c), status=3, says="--allow destroy")
    c.same({path for path in gone if rows[f"{c.target}/{path}"] == "destroy"}, set(gone), "what a dry run destroys")
    c.same({path for path in ("foreign", "parent", "parent/kid", "parent/kid/foreign") if rows[f"{c.target}/{path}"] == "stays"},
           {"foreign", "parent", "parent/kid", "parent/kid/foreign"}, "what stays by a dry run")
    run = mirror(c, "-v", *options, what="datasets", says="destroyed on the target")
    for word in ("is held", "has clones", "written to", "@own", "not known to be received by zfsync", "a dataset below it is kept"):
        c.check(word in run.err, f"{word!r} is missing: {run.err}")
    c.only("", "stays", *odd, "parent/kid/foreign")
    c.same(c.beta(f"zfs mount {c.target}/written; cat /tmp/{c.name}/file; zfs umount {c.target}/written"), "precious", "what was written there")
    # Not all of it is there for ever.
    c.beta(f"zfs release keep {c.target}/held@s1; zfs destroy {c.target}-clone; zfs destroy {c.target}/foreign@own; zfs destroy {c.target}/parent/kid/foreign")
    c.beta(f"zfs rollback {c.target}/written@s1")
    run = mirror(c, *options, what="datasets", says="datasets destroyed on the target (")
    c.check("only on the target" not in run.err and "nothing to do" not in run.err, f"what goes at once is told first, or not at the end: {run.err}")
    c.only("", "stays", "skipped", "skipped/kid")
    mirror(c, what="datasets")
    c.only("", "stays")
    c.in_sync()


@case("H01", "MIRROR")
def snapshots_go(c):
    """--delete-missing snapshots: by guid, known from the run before; the target's own, held and needed ones stay, and what it had before anybody looked."""
    c.tree({"": "s1 s2 s3", "kid": "s1 s2 s3"})
    c.push()
    c.alpha(f"zfs destroy {c.source}/kid@s1")
    mirror(c, what="snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s2", "s3"], "the kid's snapshots: it is new, so all are known")
    c.beta(f"zfs snapshot {c.target}@own; zfs hold keep {c.target}@s2")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}@s2"))
    c.snapshot(f"{c.source}@s4")
    mirror(c, what="snapshots")
    # Made anew under its old name it is another one; a foreign one stays although it is older now than the newest common.
    c.alpha(f"zfs destroy {c.source}@s1; zfs destroy {c.source}@s2; zfs snapshot {c.source}@s1; zfs destroy {c.source}/kid@s2")
    with c.unchanged():
        c.push(status=1, says="name")
        mirror(c, "-n", what="snapshots", status=1)
        # It is a conflict, and nothing goes before all is in sync.
        mirror(c, what="snapshots", status=1, says="not every selected dataset is in sync")
    c.alpha(f"zfs destroy {c.source}@s1")
    with c.unchanged():
        run = mirror(c, "-n", "--json", what="snapshots")
    goes = sorted(row["target"] for row in run.of("plan")[0]["rows"] if row["action"] == "destroy")
    c.same(goes, [f"{c.target}/kid@s2", f"{c.target}@s1"], "what a dry run destroys: s2 is held")
    run = mirror(c, "-v", what="snapshots")
    c.same(c.snaps(c.beta, c.target), ["s2", "s3", "own", "s4"], "the target's snapshots: s2 is held")
    c.check("s2 is kept on the target: is held" in run.err and "own" in run.err, f"who stays isn't told: {run.err}")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s3"], "the kid's snapshots")
    # Its name is free now.
    c.alpha(f"zfs snapshot {c.source}@s1")
    run = mirror(c, what="snapshots")
    c.same(c.snaps(c.beta, c.target), ["s2", "s3", "own", "s4", "s1"], "the target's snapshots")
    # Without snapshots at the source, its bookmark keeps the last common one.
    c.alpha(f"zfs destroy {c.source}/kid@s3; zfs snapshot {c.source}/kid@s5")
    mirror(c, what="snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s3", "s5"], "the kid's snapshots: s3 was what s5 came after")
    mirror(c, what="snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s5"], "the kid's snapshots")


@case("I16", "MIRROR")
def grace(c):
    """--grace: what is missing is noted on the target, and goes when it has been missing for so long; what comes back is forgotten about."""
    c.tree({"": "s1 s2", "gone": "s1", "back": "s1"})
    mirror(c, grace="7d")
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs rename {c.source}/back {c.source}-away; zfs destroy {c.source}@s1")
    mirror(c, grace="7d", says="missing on the source for less than --grace: 2 datasets, 1 snapshot")
    since = f"zfs get -Hp -s local -o value zfsync:missing-since {c.target}/gone {c.target}/back {c.target}@s1"
    noted = c.beta.lines(since)
    c.same(len(noted), 3, "how many are noted")
    c.alpha(f"zfs rename {c.source}-away {c.source}/back")
    mirror(c, grace="7d", says="1 dataset, 1 snapshot")
    c.same(c.beta.lines(since), [noted[0], noted[2]], "what is noted: the dataset is back, the others keep their time")
    c.only("", "back", "gone")
    mirror(c, grace="9d", says="less than --grace")
    c.only("", "back", "gone")
    # It was noted some seconds ago.
    mirror(c, says="destroyed on the target", grace="1s")
    c.only("", "back")
    c.same(c.snaps(c.beta, c.target), ["s2"], "the target's snapshots")
    c.in_sync()


@case("MIRROR")
def renames(c):
    """--follow-renames: a tree renamed at the source is renamed on the target, with one rename; without the flag it is told, and sent anew."""
    c.tree({"": "s1", "old": "s1 s2", "old/kid": "s1", "old/vol": "s1"}, volumes=("old/vol",))
    c.push()
    before = [guid(c, f"{c.target}/{path}") for path in ("old", "old/kid", "old/vol")]
    c.alpha(f"zfs rename {c.source}/old '{c.source}/new name'; zfs create {c.source}/new; zfs rename '{c.source}/new name/kid' {c.source}/new/kid")
    c.alpha(f"zfs destroy '{c.source}/new name@s1'")
    c.snapshot(f"{c.source}/new/kid@s2")
    with c.unchanged():
        c.push("-n", says="--follow-renames")
        run = c.push("-n", "--follow-renames", "--json")
        c.push("--follow-renames", "--remote-zfsync", helper(c), status=3, says="--allow rename")
    rows = run.of("plan")[0]["rows"]
    c.same([row["target"] for row in rows if row["action"] == "rename"], [f"{c.target}/new/kid", f"{c.target}/new name"], "what a dry run renames")
    c.check(all(row["action"] != "full" for row in rows), f"a dry run sends in full: {rows}")
    run = c.push("--json", "--follow-renames")
    c.same([(step["dataset"], step["from"]) for step in run.of("step_started")], [(f"{c.source}/new/kid", "@s1")], "the steps")
    after = [guid(c, f"'{c.target}/{path}'") for path in ("new name", "new/kid", "new name/vol")]
    c.same(after, before, "the datasets themselves")
    c.same(c.snaps(c.beta, f"{c.target}/new name"), ["s1", "s2"], "the snapshots of the renamed one")
    c.safe(placeholders=("new",))
    c.only("", "new name", "new name/vol", "new", "new/kid")
    c.push(says="nothing to do")
    c.same(len(bookmarks(c)), 4, "how many bookmarks there are, those under the old names are gone")
    # Only a run that may destroy notes where things are now; else what was renamed there stays for ever.
    mirror(c, what="datasets")
    # Without the flag: told, and sent anew; what had the old name stays.
    c.alpha(f"zfs rename {c.source}/new/kid {c.source}/kid")
    run = c.push(says="the target has it already as")
    c.only("", "new name", "new name/vol", "new", "new/kid", "kid")
    # In the run that sends it anew the old one would not go; now it does.
    mirror(c, what="datasets")
    c.only("", "new name", "new name/vol", "new", "kid")


@case("MIRROR")
def renames_without_bookmarks(c):
    """A rename is found by the guids of snapshots where there are no bookmarks; while a renamed dataset is sent anew, its old one stays."""
    c.tree({"": "s1", "old": "s1 s2"})
    c.push("--no-bookmark")
    before = guid(c, f"{c.target}/old")
    c.alpha(f"zfs rename {c.source}/old {c.source}/new")
    c.push("--no-bookmark", "--follow-renames", says="was renamed to")
    c.same(guid(c, f"{c.target}/new"), before, "the dataset itself")
    c.only("", "new")
    mirror(c, what="datasets")
    c.alpha(f"zfs rename {c.source}/new {c.source}/newer")
    mirror(c, "-v", what="datasets", says="is being sent")
    c.only("", "new", "newer")
    mirror(c, what="datasets")
    c.only("", "newer")
    c.in_sync()


@case("MIRROR")
def by_cron(c):
    """zfsync cron follows the source too: what it prunes there, or is destroyed or renamed, goes on the target or is renamed."""
    c.tree({"": "", "gone": "", "old": ""})
    # Whatever minute or hour it is: of the younger classes nothing is kept that nobody needs.
    cron = ("cron", "-s", "0", "-m", "0", "-h", "0", c.source, f"beta:{c.target}")
    follows = ("cron", "--delete-missing", "both", "--grace", "0", "--follow-renames", *cron[1:])
    c.zfsync(*cron)
    c.zfsync(*follows)
    had = len(c.snaps(c.beta, c.target))
    c.check(had >= 2, f"there are {had} snapshots")
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs rename {c.source}/old {c.source}/new")
    new = guid(c, f"{c.target}/old")
    c.zfsync(*follows)
    c.only("", "new")
    c.same(guid(c, f"{c.target}/new"), new, "the renamed dataset")
    # The pruning comes last: what it takes from the source goes on the target in the next run.
    before = c.snaps(c.alpha, c.source)
    c.zfsync(*follows)
    now = c.snaps(c.alpha, c.source)
    c.check(not set(before) <= set(now), f"nothing was pruned: {before}, {now}")
    c.same(c.snaps(c.beta, c.target), sorted({*before, now[-1]}), "the target's snapshots")


@case("MIRROR")
def of_another_source(c):
    """Another source's target lies below this one: nothing of it is taken for missing, though zfsync has put it there too."""
    c.tree({"": "s1", "gone": "s1"})
    c.tree({"": "s1", "kid": "s1"}, root=f"{c.source}-other")
    c.push()
    c.push(source=f"{c.source}-other", target=f"beta:{c.target}/other")
    c.alpha(f"zfs destroy -r {c.source}/gone")
    mirror(c, "-v", says="from another source")
    c.only("", "other", "other/kid")
    c.push(source=f"{c.source}-other", target=f"beta:{c.target}/other", says="nothing to do")


@case("MIRROR")
def renames_beside_a_target_within(c):
    """The copy of another target that lies within this one is not taken for a renamed dataset, though it has the same snapshots."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    c.push(target=f"beta:{c.target}/two")
    c.alpha(f"zfs rename {c.source}/kid {c.source}/kid2; zfs snapshot -r {c.source}@s2")
    c.beta(f"zfs destroy -r {c.target}/kid")
    run = c.push("--follow-renames")
    c.check("was renamed" not in run.err, f"a rename: {run.err}")
    c.same(c.snaps(c.beta, f"{c.target}/kid2"), ["s1", "s2"], "the new copy")
    c.same(c.snaps(c.beta, f"{c.target}/two/kid"), ["s1"], "the other target's")
    # That one follows in its own turn.
    c.push("--follow-renames", target=f"beta:{c.target}/two", says=f"{c.target}/two/kid was renamed to {c.target}/two/kid2")


def by_hand(c, dataset, name):
    """A copy that somebody makes on the target with zfs alone: it has the same snapshots."""
    c.beta(f"zfs send {c.target}/{dataset} | zfs recv -u {c.target}/{name}; zfs set canmount=noauto {c.target}/{name}")


@case("MIRROR")
def only_what_was_received_is_renamed(c):
    """--follow-renames takes only what zfsync has received from this source, and has left where it was: not what an admin has copied, renamed or what was set aside."""
    c.tree({"": "s1", "x": "s1", "moved": "s1", "new": "s1"})
    c.push("--no-bookmark")
    by_hand(c, "x@s1", "golden")
    golden = guid(c, f"{c.target}/golden")
    c.alpha(f"zfs send {c.source}/x@s1 | zfs recv {c.source}/x2")
    # Set aside, and back at the source under another name.
    c.alpha(f"zfs send {c.source}/new@s1 >/var/tmp/{c.name}.stream; zfs destroy -r {c.source}/new; zfs create {c.source}/new; zfs snapshot {c.source}/new@other")
    c.cleanups.append((c.alpha, f"rm -f /var/tmp/{c.name}.stream"))
    c.push("--no-bookmark", "--set-aside")
    c.alpha(f"zfs recv {c.source}/newer </var/tmp/{c.name}.stream")
    # What x2 was sent as is gone, so that it is looked for again.
    c.beta(f"zfs destroy -r {c.target}/x2; zfs rename {c.target}/moved {c.target}/keep")
    follow = ("--no-bookmark", "--follow-renames", "--exclude", "x")
    with c.unchanged():
        run = c.push("-n", "--json", *follow)
    c.check(all(row["action"] != "rename" for row in run.of("plan")[0]["rows"]), f"a dry run renames: {run.out}")
    run = c.push(*follow)
    for word in ("golden has the same snapshots", "not known to be received", "keep has the same snapshots", "was set aside"):
        c.check(word in run.err, f"{word!r} is missing: {run.err}")
    c.check("was renamed to" not in run.err, f"a rename: {run.err}")
    c.same(guid(c, f"{c.target}/golden"), golden, "the admin's dataset")
    c.check(c.exists(c.beta, f"{c.target}/keep") and c.exists(c.beta, f"{c.target}/moved"), "the admin's rename was undone")


@case("MIRROR")
def which_was_renamed(c):
    """Of a copy and an admin's dataset with the same snapshots the copy is renamed; of two copies neither, and the dry run says so too."""
    c.tree({"": "s1", "x": "s1"})
    c.push("--no-bookmark")
    by_hand(c, "x@s1", "admin")
    old = guid(c, f"{c.target}/x")
    c.alpha(f"zfs rename {c.source}/x {c.source}/y")
    follow = ("--no-bookmark", "--follow-renames")
    rows = c.push("-n", "--json", *follow).of("plan")[0]["rows"]
    c.same([row["from"] for row in rows if row["action"] == "rename"], [f"{c.target}/x"], "what a dry run renames")
    c.push(*follow)
    c.same(guid(c, f"{c.target}/y"), old, "the renamed dataset")
    c.only("", "admin", "y")
    # Two copies of one dataset, and then one of them under a third name.
    mirror(c, "--no-bookmark", what="datasets")
    c.alpha(f"zfs send {c.source}/y@s1 | zfs recv {c.source}/y2")
    c.push("--no-bookmark")
    c.alpha(f"zfs rename {c.source}/y {c.source}/z; zfs destroy -r {c.source}/y2")
    c.push("-n", *follow, says="unknown which of them was renamed")
    run = c.push(*follow, says="unknown which of them was renamed")
    c.check("was renamed to" not in run.err, f"a rename: {run.err}")
    c.only("", "admin", "y", "y2", "z")

"""Conflicts and what solves them: --rollback, --set-aside, --replace (rows C, B17, B18, I01, I22, Z04)."""

import re

from harness import case, q
from tools import helper


def write(c, path="", word="mine", snap=None):
    """Somebody uses the target: mounts it, writes, perhaps takes a snapshot."""
    name = f"{c.target}/{path}" if path else c.target
    take = f"zfs snapshot {q(f'{name}@{snap}')};" if snap else ""
    c.beta(f"zfs set readonly=off {q(name)}; zfs mount {q(name)}; echo {word} >{q(f'/{name}/{word}')}; {take} zfs unmount {q(name)};"
           f" zfs {'inherit readonly' if path else 'set readonly=on'} {q(name)}")


def guids(c, root):
    """Every guid of every snapshot below a dataset of beta's, wherever it is."""
    return set(c.beta.lines(f"zfs list -Hp -r -t snapshot -o guid {q(root)}"))


def aside(c, name=None):
    """The dataset that was set aside."""
    name = name or c.target
    parent, _, last = name.rpartition("/")
    found = [row for row in c.beta.lines(f"zfs list -H -d 1 -o name {q(parent)}") if re.fullmatch(
        re.escape(f"{parent}/{last}") + r"\.zfsync-\d{8}-\d{6}", row)]
    c.same(len(found), 1, "the number of datasets that were set aside")
    c.shown.append((c.beta, found[0]))
    return found[0]


@case("C01", "I01", "B17")
def rollback(c):
    """Diverged: nothing is touched and the text has dates and ways out; --rollback goes back to the common one, a dry run shows it."""
    c.basic()
    c.push()
    write(c, "foo", snap="t4")
    c.beta(f"zfs snapshot {c.target}/foo@t5")
    c.snapshot(f"{c.source}/foo@t4", f"{c.source}@s4")
    with c.unchanged():
        c.push("--no-recursive", "-n", source=f"{c.source}/foo", target=f"beta:{c.target}/foo", status=1)
        c.push(status=1, source=f"{c.source}/foo", target=f"beta:{c.target}/foo", says=(
            "has diverged after @t3", "common: @t3 (20", "only on the source: @t4 (20", "only on the target: @t4 (20", "@t5 (20",
            "--rollback, which loses @t4", "--set-aside", f"--replace '{c.target}/foo'"))
        shown = c.push("-n", "--rollback").out
        c.check("roll back" in shown and "@t4" in shown, f"the dry run does not show the rollback:\n{shown}")
    run = c.push("--rollback", says="rolling it back to @t3, which loses @t4")
    c.in_sync(extra={"foo/b"})
    c.safe(new=False)
    c.check("@t5" in run.err, "the second snapshot that goes is not named")


@case("C04", "C14")
def rollback_of_a_written_target(c):
    """The target was only written to, and is mounted: a conflict; --rollback goes back, and it stays mounted."""
    c.tree({"": "s1", "a": "s1"})
    c.push()
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; zfs mount {c.target}/a; echo x >/{c.target}/a/mine; sync")
    c.snapshot(f"{c.source}/a@s2")
    c.push(status=1, says=("has been modified since @s1", "--rollback, which loses what was written there since @s1"))
    c.push("--rollback")
    c.in_sync()
    c.same(c.beta(f"zfs get -H -o value mounted {c.target}/a"), "yes", "mounted")
    c.beta(f"zfs unmount {c.target}/a; zfs unmount {c.target}; zfs set readonly=on {c.target}")


@case("C01", "I08", "B24", versions=True)
def rollback_refused(c):
    """A snapshot that would go is held, or has a clone: --rollback touches nothing and names the snapshot, the tag, the clone."""
    c.tree({"": "s1", "held": "s1", "cloned": "s1", "free": "s1"})
    c.push()
    for path in ("held", "cloned", "free"):
        write(c, path, snap="own")
    c.beta(f"zfs hold keep {c.target}/held@own; zfs clone -o canmount=off {c.target}/cloned@own {c.target}-clone")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}/held@own; zfs destroy {c.target}-clone"))
    c.snapshot(*(f"{c.source}/{path}@s2" for path in ("held", "cloned", "free")))
    c.push("--rollback", status=1, says=("held@own' is held by keep", f"cloned@own' has clones ({c.target}-clone)"))
    c.same(c.snaps(c.beta, f"{c.target}/held"), ["s1", "own"], "the held one's snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/cloned"), ["s1", "own"], "the cloned one's snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/free"), ["s1", "s2"], "the free one's snapshots")


@case("C15")
def rollback_with_a_rest(c):
    """The target has partially received state and own snapshots: the rest goes, the rollback works."""
    c.tree({"": "s1"})
    c.push()
    c.alpha(f"head -c 16M /dev/urandom >/{c.source}/big; zfs snapshot {c.source}@s2")
    write(c, snap="own")
    # Onto its own newest, so that a receive can be cut there.
    c.alpha(f"zfs snapshot {c.source}@s3")
    c.beta(f"zfs rollback -r {c.target}@s1")
    c.alpha(f"zfs send -w -i @s1 {c.source}@s2 | head -c 6M | ssh beta zfs recv -s -u {c.target} || true")
    c.check(c.beta(f"zfs get -H -o value receive_resume_token {c.target}") != "-", "the fixture made no token")
    write(c, snap="own")
    c.alpha(f"zfs destroy {c.source}@s2")
    c.push("--rollback", says="can't be resumed")
    c.same(c.snaps(c.beta, c.target), ["s1", "s3"], "the target's snapshots")


@case("C02", "C06", "C11", "B18", "Z04")
def replace(c):
    """No common snapshot: refused; --replace takes exactly what it names: a parent loses its snapshots and its child nothing."""
    c.tree({"": "s1", "a": "s1", "b": "s1"})
    c.push()
    c.beta(f"zfs create -o canmount=noauto {c.target}/a/child; zfs snapshot {c.target}/a/child@own")
    c.alpha(f"""for d in {c.source}/a {c.source}/b; do zfs destroy $d@s1; zfs destroy $d#$(zfs list -H -t bookmark -o name $d | sed 's/.*#//');
        echo new >/$d/new; zfs snapshot $d@s1; done""")
    before = c.versions(c.beta, c.target)
    with c.unchanged():
        c.push(status=1, says=("no common snapshot", f"--replace '{c.target}/a', which destroys its only snapshot"))
        c.push("--rollback", status=1, says="no common snapshot")
        c.push("--replace", "bpool/elsewhere", status=2, says="not within the target")
    c.push("--replace", f"{c.target}/a", status=1, says=("destroying it with its only snapshot", "no common snapshot"))
    after = c.versions(c.beta, c.target)
    c.same(after["a/child"], before["a/child"], "the child's snapshots")
    c.same(after["b"], before["b"], "the snapshots of what was not named")
    c.push("--replace", f"{c.target}/a", "--replace", f"{c.target}/b")
    c.in_sync(extra={"a/child"})
    c.safe(placeholders=())
    c.same(c.checksums(c.beta, f"{c.target}/a@s1"), c.checksums(c.alpha, f"{c.source}/a@s1"), "the content")


@case("C12", "C13", versions=True)
def set_aside(c):
    """A tree with every kind of conflict: --set-aside keeps every snapshot under another name, sends only what is missing, and ends in sync."""
    c.tree({"": "s1", "mod": "s1 s2", "mod/kept": "s1 s2", "gone": "s1", "vol": "s1", "sub": "", "sub/space name": "s1"},
           volumes={"vol"})
    c.push()
    # Diverged with something in sync below it; all common ones gone; a volume's only snapshot destroyed.
    write(c, "mod", snap="own")
    c.alpha(f"zfs destroy {c.source}/gone@s1; zfs list -H -t bookmark -o name {c.source}/gone | xargs -n1 zfs destroy")
    c.beta(f"zfs destroy {c.target}/vol@s1; zfs create -o canmount=noauto {c.target}/mod/foreign; zfs snapshot {c.target}/mod/foreign@f")
    c.snapshot(f"{c.source}/mod@s3", f"{c.source}/gone@s2")
    before = guids(c, c.target)
    with c.unchanged():
        c.push(status=1, says=("mod: conflict", "gone: conflict", "vol: conflict", "--set-aside, which keeps everything"))
        c.push("-n", "--set-aside")
    run = c.push("--set-aside", "--json")
    c.in_sync(extra={"sub"} | {path for path in c.versions(c.beta, c.target) if ".zfsync-" in path})
    c.safe(placeholders={"sub"})
    kept = aside(c, f"{c.target}/mod")
    for name in ("gone", "vol"):
        aside(c, f"{c.target}/{name}")
    c.same(before - guids(c, c.target), set(), "snapshots that are nowhere any more")
    c.same(c.snaps(c.beta, f"{kept}/foreign"), ["f"], "what nobody knows went along")
    c.check("own" in c.snaps(c.beta, kept), "the own snapshot is not with what was set aside")
    sent = {(event["dataset"][len(c.source) + 1:], event["from"]) for event in run.of("step_started")}
    c.check(("mod", "@s2") in sent and not any(path == "mod/kept" for path, _ in sent), f"the steps are {sent}")
    c.same(c.checksums(c.beta, f"{c.target}/mod@s3"), c.checksums(c.alpha, f"{c.source}/mod@s3"), "the content")
    c.push()


@case("C08", "A30", "B18")
def clashes_set_aside(c):
    """Data without snapshots and a volume in a filesystem's place are set aside or replaced when told to, and only then."""
    c.tree({"": "s1", "fs": "s1", "data": "s1"})
    c.push("--no-recursive")
    c.beta(
        f"zfs create -s -V 1M {c.target}/fs;"
        f" zfs create {c.target}/data -o canmount=noauto -o readonly=off; zfs mount {c.target}/data; echo x >/{c.target}/data/x; zfs unmount {c.target}/data")
    c.push(status=1, says=("the source is a filesystem and the target is a volume", "no snapshots but holds data"))
    c.push("--replace", f"{c.target}/fs", "--set-aside")
    c.in_sync(extra={path for path in c.versions(c.beta, c.target) if ".zfsync-" in path})
    kept = aside(c, f"{c.target}/data")
    c.beta(f"zfs mount {kept}; test -f $(zfs get -H -o value mountpoint {kept})/x; zfs unmount {kept}")


@case("C17")
def readonly_stays(c):
    """readonly=off on an existing target, a child's or a volume's too, stays as it is and is no reason to refuse.

    [POLICY] Only a new tree gets readonly=on, at its top. What somebody has set afterwards is their wish: nothing demands it or sets it again; what
    is new below inherits it.
    """
    c.tree({"": "s1", "kid": "s1", "vol": "s1"}, volumes={"vol"})
    c.push()
    c.safe()
    c.beta(f"zfs set readonly=off {c.target} {c.target}/vol; zfs set readonly=on {c.target}/kid")
    before = c.properties(c.beta, c.target, "readonly")
    c.alpha(f"zfs create {c.source}/late; zfs snapshot -r {c.source}@s2")
    c.push()
    c.in_sync()
    after = c.properties(c.beta, c.target, "readonly")
    c.same(after.pop(("late", "readonly")), ("off", f"inherited from {c.target}"), "readonly of the new one")
    c.same(after, before, "readonly of those that were there")
    c.same(after["", "readonly"], ("off", "local"), "readonly of the top")


@case("C17", "C06")
def below_no_copy(c):
    """What is new below a dataset that is no copy is read-only and not mounted by itself; a volume that comes back after --set-aside has no device node."""
    c.tree({"": "s1", "mine": "s1", "vol": "s1"}, volumes={"vol"})
    c.push()
    c.beta(f"zfs destroy -r {c.target}/mine; zfs create -o readonly=off -o canmount=noauto {c.target}/mine; zfs snapshot {c.target}/mine@own")
    c.alpha(f"zfs create -p {c.source}/mine/none/new; zfs create {c.source}/mine/new; zfs snapshot {c.source}/mine/new@s2; zfs snapshot {c.source}/mine/none/new@s2")
    c.push(status=1, says="no common snapshot")
    found = c.properties(c.beta, f"{c.target}/mine", "readonly", "canmount", "mounted")
    for path in ("new", "none/new"):
        c.same([found[path, key][0] for key in ("readonly", "canmount", "mounted")], ["on", "noauto", "no"], f"readonly, canmount and mounted of {path}")
    c.same(found["", "readonly"], ("off", "local"), "readonly of what was there")
    c.beta(f"zfs snapshot {c.target}/vol@own")
    c.alpha(f"zfs snapshot {c.source}/vol@own")
    c.push("--set-aside", "--include", "vol")
    c.same(c.properties(c.beta, f"{c.target}/vol", "volmode")["", "volmode"], ("none", "local"), "volmode of what came back")


@case("C18")
def pool_root(c):
    """A pool's root in conflict can only be rolled back: --set-aside and --replace are refused with the reason."""
    source, target = c.file_pools()
    c.source, c.target = source, target
    c.alpha(f"zfs snapshot {source}@s1")
    c.beta(f"zfs snapshot {target}@other")
    with c.unchanged():
        for flags in ([], ["--set-aside"], ["--replace", target], ["--rollback"]):
            c.push(*flags, status=1, says="the root dataset of a pool, which can't be renamed or destroyed")


@case("C18", "C06")
def one_level_too_high(c):
    """TARGET holds somebody's datasets and nothing of the source: nothing lands beside them, whatever is resolved below; the TARGET that is advised works."""
    pool, top = c.file_pools()
    source, others = f"{pool}/data", "home other"
    c.tree({"": "s1 s2", "home": "s1", "new": "s1", "new/none": ""}, root=source)
    c.beta(f"""for d in {top} {top}/home {top}/other; do zfs list $d >/dev/null 2>&1 || zfs create $d; echo mine >/$d/file; done
        zfs snapshot -r {top}@own; echo more >/{top}/home/more""")
    target = f"beta:{top}"
    with c.unchanged():
        for flags in ([], ["--helper", "plain"], ["--set-aside"], ["--rollback"], ["--replace", f"{top}/home"]):
            run = c.push("--json", *flags, source=source, target=target, status=1)
            kinds = {event["dataset"]: event["kind"] for event in run.of("dataset_failed")}
            wanted = {source: "conflict", f"{source}/home": "skipped", f"{source}/new": "skipped"}
            c.same((kinds, len(run.of("step_started"))), (wanted, 0), f"what {flags} comes to")
            c.same((run.finished["failed"], run.finished["conflicts"]), (3, 1), f"the counts with {flags}")
        run = c.push("-n", "--json", source=source, target=target, status=1)
        rows = {row["dataset"]: row["action"] for row in run.events[-1]["rows"]}
        c.same(rows, {source: "conflict", f"{source}/home": "skipped", f"{source}/new": "skipped", f"{source}/new/none": "no_snapshots"}, "the plan")
        c.push(source=source, target=target, status=1, says=(
            "no common snapshot, and no record that the target was ever received from this source", "nothing is sent below it either (2 datasets)",
            f"name another TARGET, for example 'beta:{top}/data'", f"nothing is sent: no dataset of the source has a snapshot in common with the one in its place in '{top}'"))
        c.push("--no-recursive", source=source, target=target, status=1, says=f"name another TARGET, for example 'beta:{top}/data'")
    c.push(source=source, target=f"beta:{top}/data")
    c.in_sync(source, f"{top}/data")
    with c.unchanged():
        c.push(source=source, target=target, status=1, says=f"name 'beta:{top}/data' as TARGET, which was received from this source before")
    # What is another source's copy isn't this one's.
    c.tree({"": "s1", "home": "s1"}, root=f"{pool}/second")
    with c.unchanged():
        c.push(source=f"{pool}/second", target=f"beta:{top}/data", status=1, says=(
            "no common snapshot: the target was received from another source", f"name another TARGET, for example 'beta:{top}/data/second'"))
    for name in ("", *(f"/{path}" for path in others.split())):
        c.same((c.beta(f"cat /{top}{name}/file"), c.snaps(c.beta, f"{top}{name}")), ("mine", ["own"]), f"what was in {name or 'the top'}")
    c.same(c.beta(f"cat /{top}/home/more"), "more", "what was written after the snapshot")
    # With something in common one conflict stops itself alone.
    c.alpha(f"zfs send {source}/new@s1 | ssh beta zfs recv -u {top}/new; zfs create {source}/late; zfs snapshot {source}/late@s1")
    run = c.push("--json", source=source, target=target, status=1)
    kinds = {event["dataset"]: event["kind"] for event in run.of("dataset_failed")}
    c.same(kinds, {source: "conflict", f"{source}/home": "conflict"}, "what is in conflict beside a copy")
    c.same(c.snaps(c.beta, f"{top}/late"), ["s1"], "what is new there")


@case("C06", "C18")
def no_replace_with_others_below(c):
    """--replace leaves what lies below, in a copy that is read-only and not mounted: it is refused where others' datasets are there, and not offered; as well where SOURCE has a child of its own name, of which the copy beside is none."""
    c.tree({"": "s1 s2", "b": "s1"})
    c.beta(f"""zfs create {c.target}; zfs create {c.target}/z; zfs create -V 8M {c.target}/vol
        echo mine >/{c.target}/z/file; echo mine >/{c.target}/file; zfs snapshot {c.target}@own""")
    others = f"'{c.target}/vol', '{c.target}/z'"
    with c.unchanged():
        for flags in (["-n"], [], ["--helper", "plain"]):
            run = c.push(*flags, status=1)
            c.check("no common snapshot" in run.out + run.err, "the conflict isn't told")
            c.check("--replace" not in run.out + run.err, "--replace is offered")
        # What SOURCE doesn't have is replaced by nothing, if it is named or not.
        named = ["--replace", f"{c.target}/z", "--replace", f"{c.target}/vol"]
        for flags in (["-n"], [], ["-n", *named], named):
            run = c.push("--replace", c.target, *flags, status=1)
            told = " ".join((run.out + run.err).split())
            c.check(f"--replace destroys nothing below it, and datasets there are not copies of this source: they would be read-only, and not mounted: {others}" in told, "why it is refused isn't said")
    c.same(c.beta(f"cat /{c.target}/z/file; zfs get -H -o value readonly {c.target}/vol {c.target}/z").split(), ["mine", "off", "off"], "what lies there")
    c.beta(f"zfs destroy {c.target}/z; zfs destroy {c.target}/vol")
    c.push("--replace", c.target)
    c.in_sync()


@case("C06", "C18")
def a_copy_in_the_place_of_a_child_of_the_same_name(c):
    """One level too high, where SOURCE has a child of its own last name: the copy that lies in that child's place is none of it, and nothing is sent."""
    pool, top = c.file_pools()
    source = f"{pool}/data"
    c.tree({"": "s1", "b": "s1", "data": "s1"}, root=source)
    c.beta(f"zfs create {top}/up; echo mine >/{top}/up/file; zfs snapshot {top}/up@own")
    c.push(source=source, target=f"beta:{top}/up/data")
    with c.unchanged():
        c.push(source=source, target=f"beta:{top}/up", status=1, says=f"name 'beta:{top}/up/data' as TARGET, which was received from this source before")


@case("C06", "C18")
def an_empty_target_with_others_below(c):
    """TARGET is empty, a pool's root or not, and others' datasets lie below: it isn't filled, as they would be in a read-only copy; what was made for the source's datasets is filled."""
    pool, top = c.file_pools()
    source = f"{pool}/data"
    c.tree({"": "s1 s2", "home": "s1"}, root=source)
    c.beta(f"""zfs create -o canmount=off {top}/vms; zfs create -o canmount=noauto {top}/vms/live; zfs create -V 8M {top}/vms/vol
        zfs snapshot {top}/vms/live@own""")
    others = f"'{top}/vms/live', '{top}/vms/vol'"
    with c.unchanged():
        for flags in ([], ["--helper", "plain"], ["--rollback"]):
            c.push(*flags, source=source, target=f"beta:{top}/vms", status=1, says=(
                f"the target is empty, but has datasets below it that are not copies of this source: {others}",
                f"name another TARGET, for example 'beta:{top}/vms/data'"))
        run = c.push("-n", "--json", source=source, target=f"beta:{top}/vms", status=1)
        rows = {row["dataset"]: row["action"] for row in run.events[-1]["rows"]}
        c.same(rows, {source: "conflict", f"{source}/home": "skipped"}, "the plan")
        c.push(source=source, target=f"beta:{top}", status=1, says=(f"not copies of this source: '{top}/vms', {others}", f"'beta:{top}/data'"))
    c.same(c.beta(f"zfs get -H -o value readonly {top}/vms/vol"), "off", "whether the volume is read-only")
    # Empty ones in the places of the source's are there for it.
    c.beta(f"zfs create -p -o canmount=off {top}/made/home")
    c.push(source=source, target=f"beta:{top}/made")
    c.in_sync(source, f"{top}/made")
    # A dataset that zfsync has made above a copy is none of this source's places.
    c.push(source=source, target=f"beta:{top}/made-above/data")
    with c.unchanged():
        c.push(source=source, target=f"beta:{top}/made-above", status=1, says=f"name 'beta:{top}/made-above/data' as TARGET, which was received")
    # Whoever wants it says so.
    c.push("--set-aside", source=source, target=f"beta:{top}/vms")
    c.in_sync(source, f"{top}/vms")
    kept = c.beta(f"zfs list -H -o name -r {top} | grep '/vms.zfsync-.*/live$'")
    c.same(c.snaps(c.beta, kept), ["own"], "what was set aside")


@case("C06", "C18")
def an_empty_top_with_others_below(c):
    """SOURCE isn't sent itself, and one dataset below TARGET is in sync: another that is empty, with a dataset of others below, isn't filled."""
    c.tree({"": "", "k": "s1", "l": "s1"})
    c.beta(f"zfs create -o canmount=off {c.target}; zfs create -o canmount=off {c.target}/k; zfs create -V 8M {c.target}/k/vm")
    c.push(source=f"{c.source}/l", target=f"beta:{c.target}/l")
    for flags in (["-n"], []):
        run = c.push(*flags, status=1)
        told = " ".join((run.out + run.err).split())
        c.check(f"datasets below it that are not copies of this source: '{c.target}/k/vm'" in told, "why it isn't filled")
    c.same(c.snaps(c.beta, f"{c.target}/k"), [], "what was received")
    c.same(c.beta(f"zfs get -H -o value readonly {c.target}/k/vm"), "off", "whether the volume is read-only")
    c.beta(f"zfs destroy {c.target}/k/vm")
    c.push()
    c.same([c.snaps(c.beta, f"{c.target}/{path}") for path in "kl"], [["s1"], ["s1"]], "what is there")


@case("C06")
def swapped_names(c):
    """Two datasets swap names on the source: the conflict tells which copy is whose, and its commands bring both in sync."""
    c.tree({"": "s1", "db": "s1", "web": "s1"})
    c.push()
    c.alpha(f"zfs rename {c.source}/db {c.source}/x; zfs rename {c.source}/web {c.source}/db; zfs rename {c.source}/x {c.source}/web")
    c.alpha(f"zfs snapshot -r {c.source}@s2")
    db, web = f"{c.target}/db", f"{c.target}/web"
    swap = f"zfs rename {db} {db}.swap; zfs rename {web} {db}; zfs rename {db}.swap {web}"
    c.push(status=1, says=f"'{web}' has its snapshots, and the other way round: {swap} on the target's host")
    c.beta(swap)
    c.push()
    c.in_sync()


@case("C12")
def set_aside_is_named_at_the_end(c):
    """The end of a run names what was set aside, with the command that destroys it; also with --no-recursive, where what lies below goes along."""
    c.tree({"": "s1", "kid": "s1", "kid/deep": "s1"})
    c.push()
    write(c, snap="own")
    c.snapshot(f"{c.source}@s2")
    run = c.push("--set-aside", "--no-recursive", "--json")
    kept = aside(c)
    told = [event["text"] for event in run.of("notice") if event["text"].startswith("set aside: ")]
    destroys = f"zfs destroy -r '{kept}'"
    only = f"it is not mounted now; not replicated in this run, and so only there now: {kept}/kid, {kept}/kid/deep (zfs rename brings one back)"
    c.same(told, [f"set aside: {kept}, with all datasets below it; {only}; when nothing of it is needed any more, on the target's host: {destroys}"], "what is said at the end")
    after = [event["event"] for event in run.events if event.get("event") != "notice"][-1:] + [event.get("text", "") for event in run.events[-2:-1]]
    c.same(after, ["finished", told[0]], "the last two events")
    c.same((c.snaps(c.beta, kept), c.snaps(c.beta, f"{kept}/kid"), c.snaps(c.beta, f"{kept}/kid/deep")), (["own"], ["s1"], ["s1"]), "what was set aside")
    c.same(c.versions(c.beta, c.target).keys(), {""}, "what --no-recursive has brought back")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2"], "the snapshots of the top")
    run = c.push("--json")
    c.same(len([event for event in run.of("notice") if event.get("text", "").startswith("set aside")]), 0, "notices of a run that sets nothing aside")
    c.in_sync()
    # As it is said.
    c.beta(destroys)
    c.in_sync()
    c.push(says="nothing to do")


@case("C05")
def compatible_snapshots_stay(c):
    """Own snapshots of the target that changed nothing are kept, with and without the flags."""
    c.tree({"": "s1"})
    c.push()
    c.beta(f"zfs snapshot {c.target}@mine")
    c.snapshot(f"{c.source}@s2")
    c.push("--rollback", "--replace", c.target)
    c.push("--set-aside", "--replace", c.target)
    c.same(c.snaps(c.beta, c.target), ["s1", "mine", "s2"], "the target's snapshots")


@case("C19", machine=True)
def busy(c):
    """Another receive runs into the target: tried again with pauses, then told, also with --replace; when it is over all is well."""
    c.tree({"": "s1"})
    c.push()
    c.alpha(f"head -c 8M /dev/urandom >/{c.source}/big; zfs snapshot {c.source}@s2")
    fifo = f"/var/tmp/zfsync-suite/{c.name}.fifo"
    c.beta(f"rm -f {fifo}; mkfifo {fifo}; (setsid sh -c 'exec 3>{fifo}; sleep 1000' >/dev/null 2>&1 &);"
           f" (setsid zfs recv -s -u {c.target} <{fifo} >/dev/null 2>&1 &)")
    c.cleanups.append((c.beta, f"pkill -f '[z]fs recv -s -u {c.target}'; pkill -f '[e]xec 3>{fifo}'"))
    c.alpha(f"zfs send -w -i @s1 {c.source}@s2 | head -c 2M | ssh beta 'timeout 20 cat >{fifo}' || true", timeout=60)
    c.beta.wait_for("the other receive has begun", f"pgrep -f '[z]fs recv -s -u {c.target}'")
    c.push("--retries", "1", "--rollback", "--replace", c.target, status=1, says=("tried 2 times", "another receive"))
    c.same(c.snaps(c.beta, c.target), ["s1"], "the target's snapshots")
    c.beta(f"pkill -f '[z]fs recv -s -u {c.target}'; pkill -f '[e]xec 3>{fifo}'; true")
    c.push()
    c.in_sync()


@case("R07", "J12")
def restricted(c):
    """A helper with --root refuses what is outside before any receive; without --allow it destroys, renames and rolls back nothing."""
    c.tree({"": "s1", "a": "s1"})
    root = f"{c.target}-root"
    bound = helper(c, command=f"exec zfsync recv --stdio --root {root}", name="bound")
    c.push("--remote-zfsync", bound, status=3, says=(f"may only access {root}", "--root"))
    c.check(not c.exists(c.beta, c.target), "the forbidden dataset was created")
    c.push("--remote-zfsync", bound, target=f"beta:{root}")
    c.in_sync(target=root)
    c.target = root
    write(c, "a", snap="own")
    c.snapshot(f"{c.source}/a@s2")
    with c.unchanged():
        for flags, word in ((["--rollback"], "rollback"), (["--set-aside"], "rename"), (["--replace", f"{root}/a"], "destroy")):
            c.push("--remote-zfsync", bound, *flags, status=3, says=f"--allow {word}")
    free = helper(c, command=f"exec zfsync recv --stdio --root {root} --allow rollback", name="free")
    c.push("--remote-zfsync", free, "--rollback")
    c.in_sync()


@case("C16", "C11", "E07", versions=True)
def encryption_clashes(c):
    """A stream and a target whose encryption doesn't fit together: nothing is touched; --set-aside solves what can be solved, an encryption root isn't replaced by plaintext."""
    key = c.script(c.alpha, "key", "correct horse battery")
    there = c.script(c.beta, "key", "battery horse correct")
    form = "-o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file://"
    clear, other = f"{c.target}-clear", f"{c.target}-other"
    c.shown.extend([(c.beta, clear), (c.beta, other)])
    c.alpha(f"zfs create {c.source}; zfs create {form}{key} {c.source}/enc")
    c.snapshot(f"{c.source}/enc@s1")
    c.push()
    c.push("--decrypt", target=f"beta:{clear}")
    c.snapshot(f"{c.source}/enc@s2")
    before = c.versions(c.beta, c.target), c.versions(c.beta, clear)
    words = "the encryption of source and target doesn't match"
    c.push("--decrypt", status=1, says=f"zfs load-key '{c.target}/enc'")
    c.push(target=f"beta:{clear}", status=1, says=words)
    c.same((c.versions(c.beta, c.target), c.versions(c.beta, clear)), before, "the snapshots of both copies")
    c.push()
    c.in_sync()
    c.push("--set-aside", target=f"beta:{clear}", says="setting it aside")
    c.same(c.versions(c.beta, clear)["enc"], c.versions(c.alpha, c.source)["enc"], "the snapshots after --set-aside")
    c.same(c.properties(c.beta, clear, "keystatus", recursive=True)["enc", "keystatus"][0], "unavailable", "the key of what is there now")
    # Another's encrypted dataset.
    c.beta(f"zfs create {form}{there} {other}; echo mine >/{other}/file; zfs snapshot {other}@own")
    c.tree({"": "s1"}, root=f"{c.source}-plain")
    before = c.versions(c.beta, other)
    c.push(source=f"{c.source}-plain", target=f"beta:{other}", status=1, says="no common snapshot")
    c.same(c.versions(c.beta, other), before, "the snapshots of another's dataset")
    c.push("--replace", other, source=f"{c.source}-plain", target=f"beta:{other}", status=1, says="stored unencrypted")
    c.same(c.versions(c.beta, other), before, "the snapshots of another's dataset after --replace")

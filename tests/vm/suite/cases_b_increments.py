"""Increments: bases, bookmarks, guids, and what is refused (rows B, I01, I22, C08)."""

from harness import case


def bases(run):
    """The base of each step, in order of start."""
    return [event["from"] or "full" for event in run.of("step_started")]


def bookmark_base(c, *later):
    """snap1 is on both sides, on the source as a bookmark alone; later snapshots follow."""
    c.tree({"": "snap1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs bookmark {c.source}@snap1 {c.source}#snap1; zfs destroy {c.source}@snap1")
    c.snapshot(*(f"{c.source}@{snap}" for snap in later))


def ends_in(c, *snaps):
    """The target has these snapshots, and the newest is the source's newest by guid."""
    found = c.versions(c.beta, c.target)[""]
    c.same([name for name, _ in found], list(snaps), "the target's snapshots")
    c.same(found[-1], c.versions(c.alpha, c.source)[""][-1], "the newest snapshot")


@case("B01")
def bookmark_with_intermediates(c):
    """From a bookmark one -i step, then one -I: all snapshots arrive."""
    bookmark_base(c, "snap2", "snap3", "snap4", "snap5")
    run = c.push("--json")
    ends_in(c, "snap1", "snap2", "snap3", "snap4", "snap5")
    c.same(bases(run), ["#snap1", "@snap2"], "the bases")


@case("B02")
def bookmark_newest_only(c):
    """From a bookmark straight to the newest."""
    bookmark_base(c, "snap2", "snap3", "snap4", "snap5")
    run = c.push("--newest-only", "--json")
    ends_in(c, "snap1", "snap5")
    c.same(bases(run), ["#snap1"], "the bases")


@case("B03")
def bookmark_one_step(c):
    """From a bookmark to the only snapshot there is: one step."""
    bookmark_base(c, "snap2")
    run = c.push("--json")
    ends_in(c, "snap1", "snap2")
    c.same(bases(run), ["#snap1"], "the bases")


@case("B06")
def base_deleted(c):
    """The base snapshot is gone, two bookmarks of it are there: that does no harm, and a base it is."""
    c.tree({"": "m1 m2 d1"})
    c.push("--no-bookmark")
    c.alpha(f"""
        zfs bookmark {c.source}@d1 {c.source}#d1; zfs bookmark {c.source}@d1 {c.source}#again
        zfs bookmark {c.source}@m1 {c.source}#m1
        zfs destroy {c.source}@m2,d1""")
    c.snapshot(f"{c.source}@m3")
    c.push("--no-bookmark")
    ends_in(c, "m1", "m2", "d1", "m3")
    c.same(len(c.alpha.lines(f"zfs list -H -t bookmark -o name {c.source}")), 3, "the number of the user's bookmarks")


@case("B06")
def base_renamed(c):
    """The base snapshot has another name on the source: its guid tells that it is the same."""
    c.tree({"": "m1 d1", "kid": "m1 d1"})
    c.push()
    c.alpha(f"zfs rename -r {c.source}@d1 {c.source}@renamed")
    c.snapshot(f"{c.source}@m2", f"{c.source}/kid@m2")
    c.push()
    ends_in(c, "m1", "d1", "m2")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["m1", "d1", "m2"], "the child's snapshots")


@case("B06")
def base_renamed_with_bookmark(c):
    """Renamed, then destroyed: the bookmark under the old name is the base, though a new snapshot has taken that name."""
    c.tree({"": "d1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs bookmark {c.source}@d1 {c.source}#d1; zfs rename {c.source}@d1 {c.source}@gone; zfs destroy {c.source}@gone")
    c.snapshot(f"{c.source}@d2", f"{c.source}@d3")
    c.push("--no-bookmark")
    ends_in(c, "d1", "d2", "d3")


@case("B06")
def renamed_on_the_target(c):
    """The newest snapshot has another name on the target: that is in sync or can be brought there, nothing is sent twice."""
    c.tree({"": "s1 s2"})
    c.push()
    c.beta(f"zfs rename {c.target}@s2 {c.target}@mine")
    before = c.versions(c.beta, c.target)
    c.push()
    c.same(c.versions(c.beta, c.target), before, "the target's snapshots")
    c.snapshot(f"{c.source}@s3")
    c.push()
    ends_in(c, "s1", "mine", "s3")


@case("B09")
def bookmark_outlives_all_snapshots(c):
    """Newest only, then every source snapshot destroyed: a bookmark carries on."""
    c.tree({"": "s1 s2 s3"})
    c.push("--newest-only")
    c.same(c.snaps(c.beta, c.target), ["s3"], "the target's snapshots")
    c.alpha(f"zfs bookmark {c.source}@s3 {c.source}#s3; zfs destroy {c.source}@%")
    c.snapshot(f"{c.source}@s4")
    c.push("--newest-only")
    ends_in(c, "s3", "s4")


@case("B11", versions=True)
def common_snapshot_destroyed(c):
    """The common snapshot is destroyed in a whole tree; its bookmarks stay, also on a volume."""
    c.tree({"": "one", "kid": "one", "vol": "one"}, volumes=("vol",))
    c.push()
    paths = ("", "/kid", "/vol")
    c.alpha("\n".join(f"zfs bookmark {c.source}{path}@one {c.source}{path}#cursor" for path in paths)
            + f"\nzfs destroy -r {c.source}@one; zfs snapshot -r {c.source}@two")
    c.push()
    for path in paths:
        c.same(c.snaps(c.beta, c.target + path), ["one", "two"], f"the snapshots of {path!r}")


@case("B18", "B17")
def same_name_other_guid(c):
    """A snapshot of the same name that is another one is no base and not in sync: a conflict, and nothing is touched."""
    c.tree({"": "s1"})
    c.tree({"": "s1 t8"}, root=c.target, host=c.beta)
    with c.unchanged():
        c.push(status=1, says=("no common", "only on the source", "only on the target", "t8"))
    c.alpha(f"zfs snapshot {c.source}@t8")
    with c.unchanged():
        c.push(status=1, says=("no common", "t8"))


@case("B17")
def diverged(c):
    """Both sides went on after the last common snapshot: a conflict that names it and lists both sides."""
    c.tree({"": "s1 s2"})
    c.push()
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; echo x >/{c.target}/mine; zfs snapshot {c.target}@t3;"
           f" zfs unmount {c.target}")
    c.snapshot(f"{c.source}@t3", f"{c.source}@s4")
    with c.unchanged():
        c.push(status=1, says=("common:", "s2", "only on the source:", "s4", "only on the target:", "t3"))


@case("B19")
def minimal_steps(c):
    """Gaps on the target before the newest common snapshot are harmless, and the rest is one step; one snapshot is -i."""
    c.tree({"": "d1 h1 d2 h2"})
    c.push()
    c.beta(f"zfs destroy {c.target}@h1")
    c.snapshot(*(f"{c.source}@{snap}" for snap in ("d3", "h3", "d4")))
    run = c.push("--json")
    ends_in(c, "d1", "d2", "h2", "d3", "h3", "d4")
    c.same(bases(run), ["@h2"], "the bases")
    c.same([event["snapshots"] for event in run.of("step_done")], [3], "the snapshots of the step")


@case("B19")
def newest_gone_on_the_target(c):
    """The target's newest snapshot was destroyed there while no data changed since the one before: that one is the base."""
    c.tree({"": "d1 d2"})
    c.alpha(f"zfs snapshot {c.source}@same-data")
    c.push()
    c.beta(f"zfs destroy {c.target}@same-data")
    c.snapshot(f"{c.source}@d3")
    c.push()
    c.in_sync()


@case("B21")
def newest_only(c):
    """--newest-only: s3, then s4, then s6."""
    c.tree({"": "s1 s2 s3"})
    c.push("--newest-only")
    ends_in(c, "s3")
    c.snapshot(f"{c.source}@s4")
    c.push("--newest-only")
    ends_in(c, "s3", "s4")
    c.snapshot(f"{c.source}@s5", f"{c.source}@s6")
    c.push("--newest-only")
    ends_in(c, "s3", "s4", "s6")
    with c.unchanged():
        c.push("--newest-only")
        # Without the option the newest is there as well, so there is nothing to do.
        c.push()


@case("B22")
def missing_common(c):
    """The only common snapshot was destroyed on the source, and there is no bookmark of it: refused, the target stays."""
    c.tree({"": "s1", "kid": "s1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs destroy -r {c.source}@s1; zfs snapshot -r {c.source}@s2")
    with c.unchanged():
        c.push(status=1, says=(c.source, f"{c.source}/kid", "no common", "only on the source", "s2", "only on the target", "s1"))


@case("B23")
def taken_over(c):
    """What was replicated by hand with plain send | recv, snapshots named by somebody else, goes on without a full stream."""
    c.tree({"": "zrepl_1 zrepl_2"})
    c.alpha(f"zfs send {c.source}@zrepl_1 | ssh beta zfs recv -u {c.target};"
            f" zfs send -i @zrepl_1 {c.source}@zrepl_2 | ssh beta zfs recv -u {c.target}")
    c.snapshot(f"{c.source}@mine_3")
    run = c.push("--json")
    c.in_sync()
    c.same(bases(run), ["@zrepl_2"], "the bases")


@case("B24")
def holds_and_bookmarks(c):
    """Held snapshots, bookmarks beside snapshots and blanks in names disturb nothing; holds stay as they are."""
    c.tree({"": [" lead", "mid dle", "trail "]})
    c.alpha(f"zfs bookmark '{c.source}@mid dle' '{c.source}#mid dle'; zfs bookmark '{c.source}@ lead' '{c.source}#x y '"
            f"; zfs hold keep '{c.source}@trail '")
    c.push()
    c.in_sync()
    c.snapshot(f"{c.source}@next")
    c.push()
    c.in_sync()
    c.same(c.alpha(f"zfs get -Hp -o value userrefs '{c.source}@trail '"), "1", "the number of holds")
    c.same(c.beta.lines(f"zfs list -H -t bookmark -o name -r {c.target}"), [], "the target's bookmarks")


@case("I01")
def target_changed(c):
    """The target has an own newer snapshot with own data: refused, named, nothing rolled back."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; echo x >/{c.target}/mine; zfs snapshot {c.target}@own;"
           f" zfs unmount {c.target}")
    c.snapshot(f"{c.source}@s2", f"{c.source}/kid@s2")
    before = c.versions(c.beta, c.target)
    c.push(status=1, says=(c.target, "own"))
    found = c.versions(c.beta, c.target)
    c.same(found[""], before[""], "the changed dataset's snapshots")
    c.same(found["kid"], c.versions(c.alpha, c.source)["kid"], "its child's snapshots")
    c.check("./mine" in c.checksums(c.beta, f"{c.target}@own"), "the target's own data is gone")


@case("I01", "C04", versions=True)
def target_written(c):
    """A file was written on the target, without a snapshot: refused, named, the file stays."""
    c.tree({"": "s1"})
    c.push()
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; echo x >/{c.target}/mine; zfs unmount {c.target}")
    c.snapshot(f"{c.source}@s2")
    with c.unchanged():
        c.push(status=1, says=(c.target, "modified"))
    c.beta(f"zfs mount {c.target}; grep -q x /{c.target}/mine; zfs unmount {c.target}")


@case("C05")
def target_snapshots_without_changes(c):
    """The target's own newer snapshots that changed no data are tolerated and kept."""
    c.tree({"": "s1"})
    c.push()
    c.beta(f"zfs snapshot {c.target}@own1; zfs snapshot {c.target}@own2")
    with c.unchanged():
        c.push()
    c.snapshot(f"{c.source}@s2")
    c.push()
    ends_in(c, "s1", "own1", "own2", "s2")
    c.snapshot(f"{c.source}@s3")
    c.push()
    ends_in(c, "s1", "own1", "own2", "s2", "s3")


@case("I22")
def target_snapshots_all_destroyed(c):
    """All of the target's snapshots were destroyed by hand: its data stays, the run refuses."""
    c.tree({"": "s1 s2", "vol": "s1", "kid": "s1"}, volumes=("vol",))
    c.push()
    c.beta(f"zfs destroy -r {c.target}@%")
    with c.unchanged():
        c.push(status=1, says=(c.source, f"{c.source}/vol", f"{c.source}/kid"))
    c.snapshot(f"{c.source}@s3")
    with c.unchanged():
        c.push(status=1, says=c.source)


@case("C08")
def target_with_data(c):
    """An existing target without snapshots that holds a file, or is a volume: refused, untouched."""
    c.tree({"": "", "fs": "s1", "vol": "s1", "dir": "s1"}, volumes=("vol",))
    c.beta(f"zfs create {c.target}; zfs create {c.target}/fs; zfs create -s -V 1M {c.target}/vol; zfs create {c.target}/dir;"
           f" echo precious >/{c.target}/fs/file; mkdir /{c.target}/dir/only-a-directory")
    with c.unchanged():
        c.push(status=1, says=(f"{c.source}/fs", f"{c.source}/vol", f"{c.source}/dir"))
    c.beta(f"grep -q precious /{c.target}/fs/file; test -d /{c.target}/dir/only-a-directory")


@case("C08")
def target_with_children_only(c):
    """An existing target without snapshots whose child holds data: nothing of the child is lost."""
    c.tree({"": "s1"})
    c.beta(f"zfs create {c.target}; zfs create {c.target}/theirs; echo precious >/{c.target}/theirs/file; zfs snapshot {c.target}/theirs@x")
    before = c.versions(c.beta, f"{c.target}/theirs")
    c.push(status=1)
    c.same(c.versions(c.beta, f"{c.target}/theirs"), before, "the child's snapshots")
    c.check("./file" in c.checksums(c.beta, f"{c.target}/theirs@x"), "the child's data is gone")

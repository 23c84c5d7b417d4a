"""First replication: trees, names, parents (rows A)."""

from harness import case, q


@case("A01")
def flat_simple(c):
    """A dry run changes nothing; one dataset alone is replicated; doing it again changes nothing."""
    c.basic()
    with c.unchanged():
        run = c.push("--no-recursive", "--dry-run")
    c.check(c.source in run.out, "the dry run's table doesn't name the source")
    c.push("--no-recursive")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.only("")
    with c.unchanged():
        run = c.push("--no-recursive", "-q")
    c.same((run.out, run.err), ("", ""), "what -q says when all is well")


@case("A02")
def recursive(c):
    """A tree arrives whole, the dataset without snapshots is left out, and a second run changes nothing."""
    c.basic()
    run = c.push()
    c.in_sync()
    c.only("", "foo", "foo/a")
    c.safe()
    c.says(run, "foo/b", "without snapshots")
    with c.unchanged():
        c.push()


@case("A02")
def recursive_with_volume(c):
    """The same with a volume in the tree, its data included."""
    c.basic(volumes=("foo/a",))
    c.push()
    c.in_sync()
    c.only("", "foo", "foo/a")
    c.safe()
    for snap in ("u1", "u3"):
        c.same(c.volume_checksum(c.beta, f"{c.target}/foo/a@{snap}"),
               c.volume_checksum(c.alpha, f"{c.source}/foo/a@{snap}"), f"the checksum of {snap}")


@case("A02")
def empty_target_exists(c):
    """A target that exists, but is empty and has no snapshot, is received into."""
    c.basic()
    c.beta(f"zfs create {c.target}")
    c.push()
    c.in_sync()
    c.only("", "foo", "foo/a")
    with c.unchanged():
        c.push()


@case("A03")
def parallel(c):
    """Children and grandchildren over several channels of two connections."""
    tree = {"": ""}
    for i in range(3):
        tree[f"woo{i}"] = "w1 w2 w3"
        tree |= {f"woo{i}/q{k}": "q1 q2 q3" for k in range(3)}
    c.tree(tree)
    c.push("-j", "4", "--connections", "2")
    c.in_sync()
    c.same(len(c.versions(c.beta, c.target)), 13, "the number of datasets")


@case("A04")
def pool_root(c):
    """From a pool's root to a pool's root: nothing without snapshots, then the snapshot; foreign ones are a conflict."""
    source, target = c.file_pools()
    with c.unchanged():
        c.push(source=source, target=f"beta:{target}", status=1, says="nothing to replicate")
    c.snapshot(f"{source}@p1")
    c.push(source=source, target=f"beta:{target}")
    c.in_sync(source, target)
    c.beta(f"zpool destroy {target}; zpool create -o cachefile=none {target} /var/tmp/{target}.img; zfs snapshot {target}@q1")
    # The first run finds out that the target has no more what our bookmark says.
    c.push(source=source, target=f"beta:{target}", status=1, says="no common snapshot")
    with c.unchanged():
        c.push(source=source, target=f"beta:{target}", status=1, says=("only on the target", "q1", "only on the source", "p1"))


@case("A05")
def missing_pools(c):
    """A pool that isn't there, on either side, is named, and nothing is made."""
    c.tree({"": "s1"})
    with c.unchanged():
        c.push(target="beta:nopool/x", status=3, says="nopool")
        c.push(source="nopool/x", status=3, says="nopool")


@case("A06")
def creates_parents(c):
    """Missing parents of the target are made: unmounted, never to be mounted, and marked."""
    c.basic()
    c.push(source=f"{c.source}/foo/a", target=f"beta:{c.target}/foo/a")
    c.in_sync(f"{c.source}/foo/a", f"{c.target}/foo/a")
    c.only("", "foo", "foo/a")
    found = c.properties(c.beta, c.target, "canmount", "mounted", "zfsync:placeholder")
    for path in ("", "foo"):
        c.same(found[path, "canmount"], ("off", "local"), f"canmount of {path!r}")
        c.same(found[path, "mounted"][0], "no", f"mounted of {path!r}")
        c.same(found[path, "zfsync:placeholder"], ("on", "local"), f"the mark of {path!r}")
    c.safe(f"{c.target}/foo/a")


@case("A07")
def no_snapshot_no_parents(c):
    """Where nothing is to be sent, no parent is made, and it is no success."""
    c.basic()
    with c.unchanged():
        c.push(source=f"{c.source}/foo/b", target=f"beta:{c.target}/foo/b", status=1, says=("foo/b", "nothing to replicate"))
    c.check(not c.exists(c.beta, c.target), "a parent was made")


@case("A08")
def nested_volume(c):
    """A volume goes below parents that don't exist yet."""
    c.tree({"": "", "vol": "v1 v2"}, volumes=("vol",))
    c.push(source=f"{c.source}/vol", target=f"beta:{c.target}/deeply/nested/dst")
    c.in_sync(f"{c.source}/vol", f"{c.target}/deeply/nested/dst")
    c.only("", "deeply", "deeply/nested", "deeply/nested/dst")
    c.same(c.properties(c.beta, f"{c.target}/deeply/nested/dst", "type")["", "type"][0], "volume", "its type")


@case("A09")
def source_missing(c):
    """A source that was destroyed: refused, and the target stays as it is."""
    c.tree({"": "s1"})
    c.push()
    c.alpha(f"zfs destroy -r {c.source}")
    with c.unchanged():
        c.push(status=3, says=(c.source, "does not exist"))


@case("A10")
def nothing_todo(c):
    """No snapshot anywhere: no success, the way out is named, and nothing is made."""
    c.tree({"": "", "a": "", "b": ""})
    with c.unchanged():
        c.push(status=1, says=("nothing to replicate", f"zfsync snapshot {c.source}"))
    c.check(not c.exists(c.beta, c.target), "the target was made")


@case("A11", "A24")
def top_without_snapshots(c):
    """Children arrive below a placeholder when the top has no snapshot; the top alone: nothing at all."""
    c.tree({"": "", "x": "s1", "mid": "", "mid/y": "s1 s2"})
    with c.unchanged():
        c.push("--no-recursive", status=1)
        c.push("--depth", "0", status=1)
    c.push()
    c.in_sync()
    c.only("", "mid", "mid/y", "x")
    c.same(c.snaps(c.beta, c.target), [], "the top's snapshots")
    c.safe(placeholders=("", "mid"))
    with c.unchanged():
        c.push()


@case("A11")
def placeholder_gets_snapshots(c):
    """A dataset that had no snapshot, and so is a placeholder there, is received into once it has one."""
    c.tree({"": "", "x": "s1"})
    c.push()
    c.snapshot(f"{c.source}@late")
    c.push()
    c.in_sync()
    c.snapshot(f"{c.source}@later", f"{c.source}/x@later")
    c.push()
    c.in_sync()
    found = c.properties(c.beta, c.target, "mounted")
    c.same({value for value, _ in found.values()}, {"no"}, "mounted")


ODD_NAMES = {"": " s  nap1   ", " lead": "a  b", "trail ": " x", "two  in": "..x", "..::   exit HOME f1.2 echo ": " s  nap1   ",
             " lead/-rf": "-f"}


@case("A13", "I04")
def names_with_blanks(c):
    """Names with blanks anywhere, and with all that ZFS allows, are the same on the other side."""
    c.tree({path: [snap, f"{snap}2"] for path, snap in ODD_NAMES.items()})
    c.push()
    c.in_sync()
    c.snapshot(f"{c.source}/..::   exit HOME f1.2 echo @ last ", f"{c.source}/trail @-n")
    c.push()
    c.in_sync()
    with c.unchanged():
        c.push()


@case("A13")
def target_with_blanks(c):
    """The target's own name may have blanks too, and so may its missing parents."""
    c.tree({"": "s1", "a b": "s1"})
    c.push(target=f"beta:{c.target}/ x  y/ $".replace("$", "z "))
    c.in_sync(target=f"{c.target}/ x  y/ z ")


@case("A14")
def odd_property_values(c):
    """Property values with every kind of quote, and line feeds, disturb nothing."""
    c.tree({"": "s1", "kid": "s1"})
    quotes = "\\back`tick`\"double\"'single' \\$HOME $(id) !§%&/()="
    lines = f"a\tb\n{c.source}/fake@s9\t1\t2"
    c.alpha(f"zfs set {q('test:quotes=' + quotes)} {c.source}; zfs set {q('test:lines=' + lines)} {c.source}/kid"
            f"; zfs set test:at=@# {c.source}@s1")
    c.push()
    c.in_sync()
    c.only("", "kid")


@case("A15")
def overlap(c):
    """The source into itself, into its child, into its parent: refused here and over ssh to the same machine."""
    c.tree({"": "s1", "kid": "s1"})
    kid = f"{c.source}/kid"
    with c.unchanged():
        for target in (c.source, f"{kid}/x", c.source.rsplit("/", 1)[0]):
            c.push(target=target, status=2, says="overlap")
        c.push(source=kid, target=c.source, status=2, says="overlap")
        for target in (c.source, kid):
            c.push(target=f"alpha:{target}", status=2, says="overlap")


@case("A16")
def one_by_one(c):
    """Each dataset pushed by itself gives what one recursive run gives."""
    c.basic()
    for path in ("", "/foo", "/foo/a"):
        c.push("--depth", "0", source=c.source + path, target=f"beta:{c.target}{path}")
    c.in_sync()
    c.only("", "foo", "foo/a")


@case("A17", "J02")
def one_bad_dataset(c):
    """A conflict stops its dataset alone: the others arrive, its new child too; the exit tells, and the summary names it."""
    c.tree({"": "s1", "bad": "s1", "good": "s1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs destroy {c.source}/bad@s1")
    c.snapshot(*(f"{c.source}{path}@s2" for path in ("", "/bad", "/good")))
    c.alpha(f"zfs create {c.source}/bad/new; zfs snapshot {c.source}/bad/new@n1")
    before = c.versions(c.beta, f"{c.target}/bad")
    c.push(status=1, says=(f"{c.source}/bad", "no common", "only on the source", "s2", "only on the target", "s1", "1 of 4 datasets in conflict; 3 in sync"))
    found = c.versions(c.beta, c.target)
    c.same(found["bad"], before[""], "the bad dataset's snapshots")
    wanted = c.versions(c.alpha, c.source)
    for path in ("", "good", "bad/new"):
        c.same(found.get(path), wanted[path], f"the snapshots of {path!r}")


@case("A19", machine=True)
def clock_runs_back(c):
    """Snapshots whose creation times run backwards all arrive: createtxg orders, not the clock."""
    c.cleanups.append((c.alpha, f"date -s @{c.beta('date +%s')}"))
    c.tree({"": ""})
    for year, snap in ((2020, "older"), (2010, "oldest"), (2015, "another")):
        c.alpha(f"date -s {year}-01-01 >/dev/null; touch /{c.source}/{snap}; zfs snapshot {c.source}@{snap}")
    c.push()
    c.in_sync()
    c.alpha(f"date -s 2001-01-01 >/dev/null; zfs snapshot {c.source}@last")
    c.push()
    c.in_sync()
    c.same(c.snaps(c.beta, c.target), ["older", "oldest", "another", "last"], "the target's snapshots")


@case("A20")
def dates_in_names_disagree(c):
    """Names whose dates contradict the order of creation are only names."""
    c.tree({"": "day-01 day-03 day-02"})
    c.push()
    c.same(c.snaps(c.beta, c.target), ["day-01", "day-03", "day-02"], "the target's snapshots")
    c.snapshot(f"{c.source}@day-00")
    c.push()
    c.in_sync()


@case("A21", "B23")
def preseeded(c):
    """A target made by hand with send -R | recv is taken over: increments alone."""
    c.tree({"": "", "core": "a1", "core/kid": "a1", "other": "a1"})
    c.alpha(f"zfs send -R {c.source}/core@a1 | ssh beta 'zfs create -u {c.target}; zfs recv -u {c.target}/core'")
    c.snapshot(f"{c.source}/core@a2", f"{c.source}/core/kid@a2")
    run = c.push("--json", source=f"{c.source}/core", target=f"beta:{c.target}/core")
    c.in_sync(f"{c.source}/core", f"{c.target}/core")
    c.same(sorted(e["from"] or "full" for e in run.of("step_started")), ["@a1", "@a1"], "the bases")


@case("A22")
def growing_tree(c):
    """Children that appear between the runs join the target."""
    c.tree({"": "snap0", "sub1": "snap0"})
    c.push()
    c.in_sync()
    c.alpha(f"zfs create {c.source}/sub2; zfs create {c.source}/sub2/deep; zfs snapshot -r {c.source}@snap1")
    c.push()
    c.in_sync()
    c.alpha(f"zfs create {c.source}/sub3; zfs snapshot -r {c.source}@snap2; zfs snapshot {c.source}/sub3@snap3")
    c.push()
    c.in_sync()
    c.safe()


@case("A24", installed=True)
def chained(c):
    """What was received is pushed on, placeholders included, and they are marked on both hops."""
    c.tree({"": "", "a": "", "a/b": "one"})
    c.push(target=f"beta:{c.target}/hop1")
    back = f"{c.source}-back"
    c.shown.append((c.alpha, back))
    c.push(argv=["ssh", "beta", f"zfsync push {c.target}/hop1 alpha:{back}"])
    c.in_sync(target=back, target_host=c.alpha)
    for host, root in ((c.beta, f"{c.target}/hop1"), (c.alpha, back)):
        found = c.properties(host, root, "zfsync:placeholder", "mounted")
        for path in ("", "a"):
            c.same(found[path, "zfsync:placeholder"], ("on", "local"), f"the mark of {root}/{path}")
            c.same(found[path, "mounted"][0], "no", f"mounted of {root}/{path}")


@case("A27")
def prefix_neighbours(c):
    """Whole components count: a target beside the source whose name starts alike is no overlap, a glob no prefix."""
    c.tree({"": "", "t": "s1", "t/foo": "s1", "t/foobar": "s1"})
    c.push(source=f"{c.source}/t", target=f"{c.source}/target")
    c.in_sync(f"{c.source}/t", f"{c.source}/target", target_host=c.alpha)
    c.push("--exclude", "foo", source=f"{c.source}/t")
    c.only("", "foobar")


@case("A30")
def volume_child(c):
    """A volume as the top, and one below a filesystem."""
    c.tree({"": "", "vol": "v1 v2", "fs": "f1", "fs/vol": "v1 v2"}, volumes=("vol", "fs/vol"))
    c.push()
    c.in_sync()
    c.push(source=f"{c.source}/vol", target=f"beta:{c.target}-top")
    c.in_sync(f"{c.source}/vol", f"{c.target}-top")
    c.safe(f"{c.target}-top")


@case("A30")
def type_clash(c):
    """A volume can't go where a filesystem is, nor the reverse: both types are named, and what needs it is skipped."""
    c.tree({"": "s1", "vol": "v1", "fs": "f1", "fs/kid": "k1", "ok": "o1"}, volumes=("vol",))
    c.push("--no-recursive")
    c.beta(f"zfs create -u {c.target}/vol; zfs create -s -V 1M {c.target}/fs; zfs snapshot {c.target}/vol@x1 {c.target}/fs@x1")
    before = c.versions(c.beta, c.target)
    c.push(status=1, says=(f"{c.source}/vol", f"{c.source}/fs", "filesystem", "volume", f"{c.source}/fs/kid"))
    found = c.versions(c.beta, c.target)
    for path in ("vol", "fs"):
        c.same(found[path], before[path], f"the snapshots of {path!r}")
    c.same(found["ok"], c.versions(c.alpha, f"{c.source}/ok")[""], "the snapshots of the good one")
    c.check("fs/kid" not in found, "a filesystem was made below a volume")

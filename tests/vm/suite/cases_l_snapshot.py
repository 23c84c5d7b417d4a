"""`zfsync snapshot` on real pools. Row beside the list: SNAP."""

from harness import case, q
from tools import beside, log_zfs, wrapped_zfs

DAY = ("--format", "n-%Y%m%d")


def snapshot(c, *args, user=None, **options):
    """Runs `zfsync snapshot`."""
    argv = ["zfsync", "snapshot", *args]
    if user:
        argv = ["su", user, "-c", " ".join(q(word) for word in argv)]
    return c.push(argv=argv, **options)


def name_of(run):
    """The name that a run has given, behind the @ of the first line on stdout."""
    return run.out.split("\n")[0].partition("@")[2]


def taken(c, name, *roots):
    """{dataset: createtxg} of the snapshots of a name."""
    found = {}
    for root in roots or (c.source,):
        for full, txg in c.alpha.rows(f"zfs list -Hp -r -t snapshot -o name,createtxg {q(root)}") if c.exists(c.alpha, root) else ():
            dataset, _, snap = full.partition("@")
            if snap == name:
                found[dataset] = txg
    return found


def expect(c, name, paths, what):
    """The snapshots of a name are those of these paths below the source, all of one transaction group."""
    found = taken(c, name)
    c.same(sorted(found), sorted(f"{c.source}/{path}".rstrip("/") for path in paths), what)
    c.check(len(set(found.values())) <= 1, f"they were not taken at the same moment: {found}")


@case("SNAP")
def trees(c):
    """A tree with a volume and names with blanks, atomic, by one process; stdout has the names; the class is that of the run before."""
    place = f"/var/tmp/zfsync-suite/{c.name}/bin"
    paths = ["", "a b", "a b/c  d", "vol", "vols", "vols/v"]
    c.tree(dict.fromkeys(paths, ""), volumes=("vol", "vols/v"))
    log_zfs(c, c.alpha, place, f"{place}/log")
    run = snapshot(c, c.source, f"{c.source}/vol", c.source, env=beside(place), says="of 6 datasets")
    first = name_of(run)
    c.same(run.out, f"{c.source}@{first}\n{c.source}/vol@{first}\n", "stdout")
    c.check(first.endswith("_D"), f"the class of {first}")
    c.same(int(c.alpha(f"grep -c ^snapshot {place}/log")), 1, "zfs snapshot was run so often")
    expect(c, first, paths, "the first run's snapshots")
    run = snapshot(c, "-v", c.source)
    second = name_of(run)
    c.check(second != first and second[14] in "SMH", f"the second name is {second}, after {first}")
    c.same(sorted(run.out.splitlines()), sorted(f"{c.source}/{path}".rstrip("/") + f"@{second}" for path in paths), "stdout")
    expect(c, second, paths, "the second run's snapshots")
    # They are as good as any.
    c.push()
    c.in_sync()


@case("SNAP", "J24")
def parts(c):
    """--exclude, --include, --depth, --no-recursive name what they take, atomic too; the same name within a day gets a number."""
    paths = ["", "a", "a/tmp", "b c", "b c/d", "vol"]
    c.tree(dict.fromkeys(paths, ""), volumes=("vol",))
    for number, (args, wanted) in enumerate((
        (("--exclude", "**/tmp"), ["", "a", "b c", "b c/d", "vol"]),
        (("--include", "b*"), ["b c", "b c/d"]),
        (("--depth", "1"), ["", "a", "b c", "vol"]),
        (("--no-recursive",), [""]),
    )):
        run = snapshot(c, "--format", f"{number}-%F", *args, c.source)
        expect(c, name_of(run), wanted, f"what {args} takes")
    some = ("--no-recursive", c.source, f"{c.source}/a/tmp", f"{c.source}/b c")
    name = name_of(snapshot(c, *DAY, *some))
    expect(c, name, ["", "a/tmp", "b c"], "three datasets, each alone")
    # A name is taken where one of the selected datasets has it.
    c.same(name_of(snapshot(c, *DAY, "--exclude", "a", c.source)), f"{name}-2", "the second name of the day")
    c.same(name_of(snapshot(c, *DAY, "--no-recursive", f"{c.source}/a")), name, "the name where it is free")


@case("SNAP")
def if_changed(c):
    """--if-changed leaves out what nothing was written to since its newest snapshot, takes what has none, and nothing at all is fine."""
    c.tree({"": "s1", "a": "s1", "b": "s1", "vol": "s1", "new": ""}, volumes=("vol",))
    c.alpha(f"zpool sync apool; echo x >/{c.source}/a/x; zpool sync apool")
    run = snapshot(c, "--if-changed", "-v", c.source, says=("of 2 datasets", "skipped 3 datasets", f"{c.source}/vol: nothing written"))
    expect(c, name_of(run), ["a", "new"], "what has changed, and what has no snapshot")
    with c.unchanged():
        run = snapshot(c, "--if-changed", c.source, says="nothing to take: 5 datasets")
        c.same(run.out, "", "stdout")
        c.same(snapshot(c, "-q", "--if-changed", c.source).err, "", "stderr with -q")
    c.alpha(f"for d in {c.source} {c.source}/a {c.source}/b {c.source}/new; do echo y >/$d/y; done; zpool sync apool")
    expect(c, name_of(snapshot(c, "--if-changed", c.source)), ["", "a", "b", "new"], "what has changed later")


@case("SNAP")
def nothing_done(c):
    """A dry run, a dataset that isn't there, bad names and formats change nothing; the dry run says the command."""
    c.tree({"": "s1", "a b": ""})
    with c.unchanged():
        run = snapshot(c, *DAY, "-n", c.source, says=("would take", "of 2 datasets", f"zfs snapshot -r '{c.source}@n-"))
        snapshot(c, "-n", "--exclude", "x", c.source, says=f"'{c.source}/a b@")
        snapshot(c, c.source, f"{c.source}/nosuch", status=3, says=(f"{c.source}/nosuch", "does not exist"))
        snapshot(c, "nopool/x", c.source, status=3, says="nopool")
        snapshot(c, f"{c.source}@s1", status=2, says="is a snapshot")
        snapshot(c, "--format", "no date", c.source, status=2, says="not a valid format")
        snapshot(c, "--format", f"%F{'x' * 240}", c.source, status=2, says=("255", "--format"))
    c.alpha(f"zfs snapshot {q(run.out.strip().removeprefix('would take '))}")


@case("SNAP")
def two_pools(c):
    """Two pools: one command each; a pool that can't be written fails, and the other is taken; exit 1."""
    pool = c.file_pools()[0]
    c.tree({"": "", "a": ""})
    run = snapshot(c, *DAY, "-v", c.source, pool, says="of 3 datasets")
    name = name_of(run)
    c.same(sorted(taken(c, name, c.source, pool)), sorted([c.source, f"{c.source}/a", pool]), "the snapshots")
    c.alpha(f"zpool export {pool}; zpool import -d /var/tmp -o cachefile=none -o readonly=on {pool}")
    run = snapshot(c, *DAY, pool, c.source, status=1, says=(f"can't take @{name}-2 of {pool}", "read-only", "of 2 datasets"))
    c.same(run.out, f"{c.source}@{name}-2\n", "stdout")
    expect(c, f"{name}-2", ["", "a"], "the other pool's snapshots")


@case("SNAP")
def all_or_none(c):
    """A child is destroyed, or gets the name, right before: nothing is half-made, and what is missing is told."""
    c.tree({"": "", "a": "", "b": "", "z": ""})
    gone = beside(wrapped_zfs(c, c.alpha, f'if [ "$1" = snapshot ]; then $zfs destroy {c.source}/b; fi'))
    snapshot(c, *DAY, "--exclude", "none", c.source, env=gone, status=1, says=(f"{c.source}/b", "does not exist", "none of the 4"))
    c.check("usage" not in c.runs[-1].err, "the usage of zfs is repeated")
    c.same(c.alpha(f"zfs list -H -r -t snapshot -o name {c.source}"), "", "snapshots although one could not be taken")
    c.alpha(f"zfs create {c.source}/b")
    run = snapshot(c, *DAY, c.source, env=gone, says=(f"{c.source}/b: skipped", "of 3 datasets"))
    expect(c, name_of(run), ["", "a", "z"], "what is still there")
    other = beside(wrapped_zfs(c, c.alpha, f'if [ "$1" = snapshot ]; then for last; do :; done; $zfs snapshot {c.source}/z@"${{last#*@}}"; fi'))
    snapshot(c, *DAY, c.source, env=other, status=1, says=(f"{c.source}/z@{name_of(run)}-2", "already exists"))
    expect(c, f"{name_of(run)}-2", ["z"], "snapshots beside the one that somebody else has taken")


@case("SNAP")
def first_receive_incomplete(c):
    """A dataset whose first receive isn't complete can't have a snapshot: told, and the others are taken."""
    c.tree({"": "", "a": ""})
    c.alpha(f"""head -c 3M /dev/urandom >/{c.source}/a/big; zfs snapshot {c.source}/a@s1
        zfs send {c.source}/a@s1 | head -c 1M | zfs recv -s -u {c.source}/part || true; zfs list {c.source}/part""")
    for args in ((c.source,), ("--exclude", "none", c.source), ("--if-changed", c.source),
                 (f"{c.source}/a", f"{c.source}/part")):
        run = snapshot(c, *DAY, "-v", *args, says=f"{c.source}/part: skipped")
        c.check(f"{c.source}/part@" not in run.out, f"stdout: {run.out}")
        c.check(f"{c.source}/part" not in taken(c, name_of(run)), "it has one")
    snapshot(c, *DAY, f"{c.source}/part", status=1, says="took no snapshot: the selected dataset no longer exists, or its first receive is not complete")
    c.same(len(taken(c, c.runs[1].out.split("@")[1].split("\n")[0])), 2, "snapshots of the others")


@case("SNAP", "I24")
def users(c):
    """Not root: without the permission nothing is taken, and the line that grants it is said; with it all is taken."""
    c.tree({"": "", "a b": "", "vol": ""}, volumes=("vol",))
    c.cleanups.append((c.alpha, f"zfs unallow repl {c.source}"))
    with c.unchanged():
        run = snapshot(c, c.source, user="repl", status=1, says=("permission denied", f"zfs allow repl snapshot,mount '{c.source}'"))
    c.same(run.out, "", "stdout")
    # Exactly what was said.
    c.alpha(f"zfs allow repl snapshot,mount '{c.source}'")
    run = snapshot(c, "-v", c.source, user="repl", says="of 3 datasets")
    expect(c, name_of(run), ["", "a b", "vol"], "the snapshots")
    c.alpha(f"zpool sync apool; echo x >'/{c.source}/a b/x'; zpool sync apool")
    expect(c, name_of(snapshot(c, "--if-changed", c.source, user="repl")), ["a b"], "what has changed")

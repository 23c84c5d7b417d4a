"""Success means a copy: nothing to replicate is none, and whatever goes wrong with one dataset stops that one alone (rows SUCCESS)."""

from cases_f_resume import big, cut, ends_well, half, token
from harness import case
from tools import beside, wrapped_zfs

NOTHING = "nothing to replicate"


@case("SUCCESS", "A07", "A10", "D06")
def nothing_is_no_success(c):
    """No snapshot anywhere, a filter that matches nothing: exit 1 for push, prune and snapshot, 3 and UNKNOWN for status, and the way out is named; nothing is changed."""
    c.tree({"": "", "kid": ""})
    there = f"beta:{c.target}"
    take = f"zfsync snapshot {c.source}"
    with c.unchanged():
        for flags in ((), ("-n",), ("-q",), ("--json",), ("--no-recursive",)):
            run = c.push(*flags, status=1)
            c.check(NOTHING in run.err + run.out and take in run.err + run.out, f"{flags}: {run.err}")
        c.push("--include", "no-such", status=1, says=("no dataset of", "--include"))
        run = c.zfsync("status", "--crit", "1h", c.source, there, status=3, says=take)
        c.check(run.out.startswith(f"UNKNOWN - {NOTHING}"), f"the plugin's line: {run.out}")
        c.zfsync("status", "--include", "no-such", c.source, there, status=3, says="no dataset of")
        c.zfsync("snapshot", "--include", "no-such", c.source, status=1, says="no dataset is selected")
        c.zfsync("prune", "--keep-last", "1", "--include", "no-such", c.source, status=1, says="no dataset is selected")
    # The first run of cron notes on the source what it has said of what it keeps.
    c.zfsync("cron", "--include", "no-such", c.source, there, status=1, says="no dataset")
    c.check(not c.exists(c.beta, c.target), "the target was made")
    # One of them is enough.
    c.snapshot(f"{c.source}/kid@s1")
    c.push(says="1 without snapshots")
    c.in_sync()
    c.zfsync("status", "--crit", "1h", c.source, there)


@case("SUCCESS", "I12")
def names_too_long(c):
    """Below a long target one dataset's and one snapshot's name don't fit: both are named with their lengths, all others arrive in the same run; a dry run says the same."""
    part, deep = "a" * 120, "b" * 90
    c.tree({"": "s1", "ok": "s1", part: "s1", f"{part}/{deep}": "s1", "snap": ["s1", "z" * 190]})
    target = f"{c.target}-{'t' * 60}"
    c.shown.append((c.beta, target))
    words = ("2 of 5 datasets failed; 3 in sync", f"{part}/{deep}", "ZFS allows 255", f"{target}/snap@zzz", "a shorter TARGET")
    shown = c.push("-n", target=f"beta:{target}", status=1).out
    c.same(shown.count("its name would be too long"), 2, "the names that a dry run names")
    c.push(target=f"beta:{target}", status=1, says=words)
    for path in ("", "/ok", f"/{part}"):
        c.same(c.snaps(c.beta, f"{target}{path}"), ["s1"], f"the snapshots of {path!r}")
    c.check(not c.exists(c.beta, f"{target}/snap"), "a part of what doesn't fit has arrived")


@case("SUCCESS", "D01", "D06")
def a_useless_rest_at_the_target(c):
    """The rest of a cut first receive lies at TARGET itself and its snapshot is gone: it is dropped and all arrives in the same run."""
    c.tree({"": ""})
    big(c, "a")
    cut(c, half(c, f"-w {c.source}@a", c.target))
    c.alpha(f"zfs destroy {c.source}@a")
    with c.unchanged():
        # It stays as long as nothing is to be sent.
        c.push(status=1, says=NOTHING)
    big(c, "b")
    c.alpha(f"zfs create {c.source}/kid; zfs snapshot {c.source}/kid@b")
    with c.unchanged():
        c.push("-n")
    ends_well(c, c.push(says="can't be resumed"))
    c.same(token(c), "", "the token")


@case("SUCCESS", "B05")
def pruned_meanwhile(c):
    """Another tool destroys the base when it is about to be sent from, then what is to be sent: planned anew in the same run, exit 0."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2", f"{c.source}@s3", f"{c.source}/kid@s2")

    def pruning(names, when):
        goes = f"mkdir $place/done 2>/dev/null && {{ {'; '.join(f'$zfs destroy {name}' for name in names)}; }}"
        return beside(wrapped_zfs(c, c.alpha, f'case "$*" in send*"{when}"*) {goes} ;; esac'))

    env = pruning([f"{c.source}@s1"], f"{c.source}@s3")
    run = c.push("--json", env=env)
    c.check(not c.exists(c.alpha, f"{c.source}@s1"), "the fixture has destroyed nothing")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s1", "s2"], "the kid's snapshots")
    steps = [event["from"] for event in run.of("step_started") if event["dataset"] == c.source]
    c.check(steps[0] == "@s1" and steps[1].startswith("#"), f"the bases were {steps}")
    # What was to be the newest, and one in the middle.
    c.snapshot(*(f"{c.source}@s{n}" for n in range(4, 8)))
    env = pruning([f"{c.source}@s7", f"{c.source}@s5"], f"{c.source}@s7")
    c.push(env=env)
    c.same(c.snaps(c.beta, c.target)[-2:], ["s4", "s6"], "the target's newest snapshots")
    c.same(c.checksums(c.beta, f"{c.target}@s6"), c.checksums(c.alpha, f"{c.source}@s6"), "the content")


@case("SUCCESS", "C16", versions=True)
def large_blocks_split(c):
    """Roles swapped after a copy without -L: told as what it is, and both resolutions that are offered end in sync; nothing is touched before."""
    for name in ("aside", "replaced"):
        source, target = f"{c.source}/{name}", f"{c.target}/{name}"
        c.alpha(f"zfs list {c.source} >/dev/null 2>&1 || zfs create {c.source}")
        c.beta(f"""zfs list {c.target} >/dev/null 2>&1 || zfs create {c.target}
            zfs create -o recordsize=1M {target}; head -c 3M /dev/urandom >/{target}/big; zfs snapshot {target}@s1
            zfs send {target}@s1 | ssh alpha zfs recv {source}; zfs unmount {target}""")
        c.snapshot(f"{source}@s2")
        to = {"source": source, "target": f"beta:{target}"}
        before = c.versions(c.beta, target)
        run = c.push(status=1, says=("large blocks", "--set-aside", f"--replace '{target}'", "sends it in full"), **to)
        c.check("zpool upgrade" not in run.err and "--rollback" not in run.err, f"what is no help is offered: {run.err}")
        c.same(c.versions(c.beta, target), before, "the target's snapshots")
        c.push(*(["--set-aside"] if name == "aside" else ["--replace", target]), **to)
        c.in_sync(source, target)
        c.same(c.checksums(c.beta, f"{target}@s2"), c.checksums(c.alpha, f"{source}@s2"), "the content")
        c.snapshot(f"{source}@s3")
        c.push(**to)
        c.in_sync(source, target)


@case("SUCCESS", "POOL", versions=True)
def features_are_named(c):
    """A pool that lacks a feature which the stream needs: the feature and the command are named, the neighbour arrives; with the feature it all does."""
    source, target = c.file_pools(make=False)
    c.alpha(f"truncate -s 256M /var/tmp/{source}.img; zpool create -o cachefile=none {source} /var/tmp/{source}.img")
    c.beta(f"""truncate -s 256M /var/tmp/{target}.img
        zpool create -o cachefile=none -o feature@large_dnode=disabled {target} /var/tmp/{target}.img""")
    c.alpha(f"""zfs create {source}/t; zfs create -o dnodesize=2k {source}/t/wide; zfs create {source}/t/ok
        for d in wide ok; do for n in 1 2 3; do echo $n >/{source}/t/$d/$n; done; done; zfs snapshot -r {source}/t@s1""")
    to = {"source": f"{source}/t", "target": f"beta:{target}/t"}
    command = f"zpool set feature@large_dnode=enabled '{target}'"
    c.push(status=1, says=("the stream needs feature@large_dnode", command, "1 of 3 datasets failed; 2 in sync"), **to)
    c.beta(command)
    c.push(**to)
    c.in_sync(f"{source}/t", f"{target}/t")


@case("SUCCESS", "C12")
def a_resolution_does_not_offer_itself(c):
    """--set-aside where the new name would be too long, --rollback over a held snapshot: neither is advised again, and the reason is told; nothing is touched."""
    long = f"bpool/{c.name}-{'x' * 200}"
    c.shown.append((c.beta, long))
    c.tree({"": "s1"})
    for target in (long, c.target):
        c.push(target=f"beta:{target}")
        c.beta(f"zfs snapshot {target}@own; zfs set readonly=off {target}; zfs mount {target}; echo x >$(zfs get -H -o value mountpoint {target})/x; zfs unmount {target}")
    c.snapshot(f"{c.source}@s2")
    with c.unchanged():
        run = c.push("--set-aside", target=f"beta:{long}", status=1, says=("--set-aside can't rename it", "ZFS allows 255", "--rollback"))
        c.check("--set-aside, which" not in run.err, f"it is offered again: {run.err}")
    c.beta(f"zfs hold keep {c.target}@own")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}@own"))
    run = c.push("--rollback", status=1, says=("is held by keep", "--set-aside, which"))
    c.check("--rollback, which" not in run.err, f"it is offered again: {run.err}")


@case("SUCCESS", "I24")
def exists_is_no_missing_permission(c):
    """A user's receive that is refused for what is there is never answered with a permission to grant."""
    c.tree({"": "s1"})
    c.beta(f"""zfs create {c.target}; zfs allow repl receive,create,mount,canmount,readonly,volmode,userprop {c.target}
        zfs create {c.target}/own; zfs snapshot {c.target}/own@x; zfs create {c.target}/data
        echo x >/{c.target}/data/x; zfs create -s -V 1M {c.target}/vol""")
    for name in ("own", "data", "vol"):
        run = c.push(target=f"repl@beta:{c.target}/{name}", status=1, says="conflict")
        c.check("zfs allow" not in run.err, f"{name}: a permission is named: {run.err}")


@case("SUCCESS", "POOL")
def an_unreadable_target_dataset(c):
    """One dataset of the target has an unreadable root block: it fails with zfs's words, its child and its siblings arrive in the same run, whether in sync or behind."""
    source, target = f"{c.source}/t", c.file_pools()[1]
    c.cleanups.append((c.beta, "echo 1 >/sys/module/zfs/parameters/spa_load_verify_metadata"))
    c.alpha(f"zfs create {c.source}; for d in t t/a t/b t/b/kid t/c; do zfs create {c.source}/$d; done; echo x >/{source}/b/x; zfs snapshot -r {source}@s1")
    to = {"source": source, "target": f"beta:{target}/t"}
    c.push(**to)
    img = f"/var/tmp/{target}.img"
    c.beta(f"""for i in $(seq 12); do zfs set x:y=$i {target}; zpool sync {target}; done
        echo 0 >/sys/module/zfs/parameters/spa_load_verify_metadata; zpool export {target}
        line=$(zdb -e -p /var/tmp -dddd {target}/t/b 2>/dev/null | grep '^Dataset {target}/t/b ' | head -1)
        for v in $(echo "$line" | grep -o 'DVA\\[[0-9]\\]=<[0-9a-f:]*>' | sed 's/.*<//; s/>//'); do
            dd if=/dev/urandom of={img} bs=512 seek=$(((0x$(echo $v | cut -d: -f2) + 0x400000) / 512)) count=1 conv=notrunc 2>/dev/null
        done
        zpool import -N -d /var/tmp -o cachefile=none {target}""")
    c.check(c.beta.try_run(f"zfs list {target}/t/b").status == 1, "the fixture has damaged nothing")
    words = (f"cannot open '{target}/t/b", "I/O error", "zpool status -v", "1 of 5 datasets failed; 4 in sync")
    c.push("-q", status=1, says=words, **to)
    c.alpha(f"zfs snapshot -r {source}@s2")
    c.push("-q", "-n", status=1, **to)
    c.push("-q", status=1, says=words, **to)
    for path in ("", "/a", "/b/kid", "/c"):
        c.same(c.snaps(c.beta, f"{target}/t{path}"), ["s1", "s2"], f"the snapshots of {path!r}")

"""Targets that take no more: no space, quotas, limits, pools that are read-only or suspended. Rows beside the list: SPACE, POOL."""

from cases_f_resume import big, ends_well, resumed
from cases_j_faults import failures
from harness import case
from tools import helper


def said(run, path):
    """The error of a failed dataset."""
    return next(event["error"] for event in run.of("dataset_failed") if event["dataset"].endswith(path))


@case("SPACE", versions=True)
def quotas(c):
    """quota, refquota and a parent's quota on the target: told in plain words, other datasets go on; when they are raised the next run goes on."""
    c.tree({"": "s1", "quota": "s1", "refquota": "s1", "free": "s1", "parent": "s1", "parent/kid": "s1"})
    c.push()
    for path in ("quota", "refquota", "parent/kid"):
        big(c, "s2", path=f"/{path}")
    c.snapshot(f"{c.source}@s2", f"{c.source}/free@s2")
    c.beta(f"zfs set quota=1M {c.target}/quota; zfs set refquota=1M {c.target}/refquota; zfs set quota=1M {c.target}/parent")
    run = c.push("--json", status=1)
    failed = failures(c, run)
    # ZFS checks a refquota at a receive's end, against what is accounted for by then: sometimes nothing.
    c.same({**failed, "refquota": "failed"}, dict.fromkeys(("quota", "refquota", "parent/kid"), "failed"), "what failed")
    for path in failed:
        c.check("quota" in said(run, path) and "free space on the target" in said(run, path), f"{path}: {said(run, path)}")
    c.same({event["retry"] for event in run.of("step_failed")}, {False}, "which failures were followed by another try")
    for path in ("", "/free"):
        c.same(c.snaps(c.beta, f"{c.target}{path}"), ["s1", "s2"], f"the snapshots of {path!r}")
    c.beta(f"zfs set quota=none {c.target}/quota; zfs set refquota=none {c.target}/refquota; zfs set quota=none {c.target}/parent")
    ends_well(c, c.push("--json"), *failed)


@case("SPACE", "POOL")
def full_and_readonly_pools(c):
    """A full target pool, then one imported read-only: plain words, exit 1, and the next run goes on. From a read-only source all arrives, without a bookmark."""
    source, target = (f"{pool}/tree" for pool in c.file_pools())
    pool = target.split("/")[0]
    to = {"source": source, "target": f"beta:{target}"}
    c.alpha(f"""zfs create {source}; zfs create {source}/big; head -c 6M /dev/urandom >/{source}/big/file
        zfs snapshot {source}@s1 {source}/big@s1""")
    # What is reserved is as good as used.
    c.beta(f"zfs create -o reservation=$(($(zfs list -Hp -o avail {pool}) - 3000000)) {pool}/reserve")
    run = c.push("--json", status=1, **to)
    c.same([event["dataset"] for event in run.of("dataset_failed")], [f"{source}/big"], "what failed")
    c.check("space" in said(run, "/big") and "free space on the target" in said(run, "/big"), f"the error: {said(run, '/big')}")
    c.beta(f"zfs destroy {pool}/reserve")
    run = c.push("--json", **to)
    c.in_sync(source, target)
    c.same(resumed(run), {f"{source}/big": [True]}, "which steps were resumed")

    importing = "zpool export {0}; zpool import -d /var/tmp -o cachefile=none {1} {0}"
    c.beta(importing.format(pool, "-o readonly=on"))
    c.alpha(f"echo new >/{source}/big/new; zfs snapshot -r {source}@s2")
    run = c.push("--json", status=1, **to)
    c.same(sorted(event["dataset"] for event in run.of("dataset_failed")), [source, f"{source}/big"], "what failed")
    for event in run.of("dataset_failed"):
        c.check("pool is read-only: check zpool status" in event["error"], f"the error: {event['error']}")
    c.beta(importing.format(pool, ""))
    c.alpha(importing.format(source.split("/")[0], "-o readonly=on"))
    c.push(says="bookmark", **to)
    c.in_sync(source, target)


@case("SPACE", "R14")
def limits(c):
    """snapshot_limit and filesystem_limit on the target (for a delegated user; root has none): told as what they are, and others go on.

    When the limit is raised, the next run brings the rest.
    """
    c.tree({"": "s1", "a": "s1", "b": "s1"})
    to = {"target": f"repl@beta:{c.target}/t"}
    program = helper(c, "PATH=$PATH:/usr/sbin; export PATH")
    c.beta(f"""zfs create {c.target}; chmod 755 {program} $(dirname {program})
        zfs allow -u repl create,receive,mount,canmount,readonly,mountpoint,userprop {c.target}""")
    c.push("--exclude", "b", "--remote-zfsync", program, **to)
    c.alpha(f"zfs snapshot {c.source}/a@s2")
    # The new filesystem would be the fourth below, the new snapshot the third.
    c.beta(f"zfs set filesystem_limit=2 {c.target}; zfs set snapshot_limit=1 {c.target}/t/a")
    run = c.push("--json", "--remote-zfsync", program, status=1, **to)
    c.same(failures(c, run), {"a": "failed", "b": "failed"}, "what failed")
    for path in ("/a", "/b"):
        c.check("limit" in said(run, path), f"{path}: {said(run, path)}")
    c.beta(f"zfs set filesystem_limit=none {c.target}; zfs set snapshot_limit=none {c.target}/t/a")
    c.push("--remote-zfsync", program, **to)
    c.in_sync(target=f"{c.target}/t")


@case("POOL", machine=True)
def suspended_pool(c):
    """The target's pool is suspended in the middle of a receive (its device takes no more): the run ends in time and says what to look at; once cleared the next goes on."""
    c.tree({"": "s1"})
    big(c, "s2", megabytes=6)
    place, pool = f"/tmp/{c.name}", "psuspended"
    c.shown.append((c.beta, pool))
    c.cleanups.append((c.beta, f"""mount -o remount,size=200M {place} && zpool clear {pool} || true
        zpool destroy -f {pool} || true; umount {place}; rmdir {place}"""))
    # The pool's device is a file that can't grow any more.
    c.beta(f"""mkdir -p {place}; mount -t tmpfs -o size=200M tmpfs {place}; truncate -s 128M {place}/device
        zpool create -f -o cachefile=none -o failmode=wait {pool} {place}/device; zpool sync {pool}
        mount -o remount,size=$(($(du -k {place}/device | cut -f1) + 1500))k {place}""")
    to = {"target": f"beta:{pool}/t"}
    run = c.push("--stall-timeout", "10s", "--retries", "1", "--retry-max-wait", "1s", status=1, says="zpool status", timeout=200, **to)
    c.check(run.seconds < 150, f"it took {run.seconds:.0f} s")
    c.same(c.beta(f"zpool list -H -o health {pool}"), "SUSPENDED", "the pool's health")
    # The receive can't end before the pool goes on, and its helper keeps the tree until then.
    c.push("--stall-timeout", "10s", "--retries", "0", status=4, says="another run is already working on", timeout=200, **to)
    # Elsewhere in the pool a run finds it suspended from the start.
    c.push("--stall-timeout", "10s", "--retries", "0", status=3, says="pool I/O is currently suspended", timeout=200, target=f"beta:{pool}/u")
    c.beta(f"mount -o remount,size=200M {place}; zpool clear {pool}")
    c.beta.wait_for("no process is left", f"! pgrep -f '[z]fs recv.*{pool}'", 60)
    c.push("--wait-lock", "60s", **to)
    c.in_sync(target=f"{pool}/t")

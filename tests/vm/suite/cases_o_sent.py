"""Nothing is installed on the other host: a helper is sent along (row SENT)."""

from harness import case

CACHE = "/root/.cache/zfsync"
PROGRAM = "/usr/local/bin/zfsync"


@case("SENT", alone=True)
def nothing_installed(c):
    """A first transfer, increments and a pull from a host without zfsync: the helper is sent once, and leaves nothing but its cache. What was tampered with is replaced."""
    c.tree({"": "s1 s2", "a": "s1"})
    c.alpha(f"head -c 300000 /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s3")
    c.beta(f"rm -rf {CACHE}; mv {PROGRAM} {PROGRAM}.away")
    try:
        c.push("--helper", "installed", status=3, says="beta has no zfsync helper")
        c.push("-v", says=("beta: sending a helper for linux-", f"beta: the helper is sent {CACHE}/helper-"))
        c.in_sync()
        c.safe()
        c.same(c.checksums(c.beta, f"{c.target}@s3"), c.checksums(c.alpha, f"{c.source}@s3"), "the files of @s3")
        c.same(len(c.beta(f"ls {CACHE}").split()), 1, "files in the cache")
        c.snapshot(f"{c.source}@s4", f"{c.source}/a@s2")
        c.push("-v", says=f"beta: the helper is cached {CACHE}/helper-")
        c.in_sync()
        c.beta(f"for file in {CACHE}/*; do echo 'echo tampered' >$file; done")
        c.snapshot(f"{c.source}@s5")
        c.push("-v", says="beta: the helper is sent")
        c.in_sync()
        c.zfsync("pull", "-v", f"beta:{c.target}", f"{c.source}-back", says="beta: the helper is cached")
        c.same(c.snaps(c.alpha, f"{c.source}-back"), c.snaps(c.beta, c.target), "the snapshots that came back")
        c.same(len(c.beta(f"ls {CACHE}").split()), 1, "files in the cache")
    finally:
        c.beta(f"mv {PROGRAM}.away {PROGRAM}; rm -rf {CACHE}")

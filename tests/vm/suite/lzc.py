"""Many datasets and snapshots in a short time: libzfs_core in process, where each `zfs` command costs 60 ms.

    python3 lzc.py snapshots < LINES    each line one transaction: snapshots of different datasets, split by tabs
    python3 lzc.py create < LINES       each line one filesystem; it isn't mounted
"""

import ctypes
import glob
import sys
from concurrent.futures import ThreadPoolExecutor


def library(name):
    """The newest version there is: its number differs between the suites."""
    return ctypes.CDLL(sorted(glob.glob(f"/lib/*/{name}.so.*") + glob.glob(f"/usr/lib/*/{name}.so.*"))[-1], use_errno=True)


def create(core, names):
    """Makes filesystems, those of one level side by side: each waits for a transaction group, and they share those."""
    levels = {}
    for name in names:
        levels.setdefault(name.count("/"), []).append(name)
    with ThreadPoolExecutor(32) as pool:
        for _, level in sorted(levels.items()):
            errors = list(pool.map(lambda name: core.lzc_create(name.encode(), 2, None, None, 0), level))
            if any(errors):
                sys.exit(f"creating {level}: errors {errors}")


def snapshot(core, nvpair, names):
    """Takes the snapshots of one transaction."""
    snapshots, failures = ctypes.c_void_p(), ctypes.c_void_p()
    nvpair.nvlist_alloc(ctypes.byref(snapshots), 1, 0)
    for name in names:
        nvpair.nvlist_add_boolean(snapshots, name.encode())
    error = core.lzc_snapshot(snapshots, None, ctypes.byref(failures))
    nvpair.nvlist_free(snapshots)
    if error:
        sys.exit(f"taking {names}: error {error}")


def main():
    nvpair, core = library("libnvpair"), library("libzfs_core")
    if core.libzfs_core_init():
        sys.exit("libzfs_core_init failed")
    lines = sys.stdin.read().splitlines()
    if sys.argv[1] == "create":
        create(core, lines)
        return
    for line in lines:
        snapshot(core, nvpair, line.split("\t"))


if __name__ == "__main__":
    main()

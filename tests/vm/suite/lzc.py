"""Many datasets and snapshots in a short time: libzfs_core in process, where each `zfs` command costs 60 ms.

    python3 lzc.py snapshots < LINES    each line one transaction: snapshots of different datasets, split by tabs
    python3 lzc.py create < LINES       each line one filesystem; it isn't mounted
"""

import ctypes
import glob
import sys


def library(name):
    """The newest version there is: its number differs between the suites."""
    return ctypes.CDLL(sorted(glob.glob(f"/lib/*/{name}.so.*") + glob.glob(f"/usr/lib/*/{name}.so.*"))[-1], use_errno=True)


def main():
    nvpair, core = library("libnvpair"), library("libzfs_core")
    if core.libzfs_core_init():
        sys.exit("libzfs_core_init failed")
    for line in sys.stdin:
        names = line.rstrip("\n").split("\t")
        if sys.argv[1] == "create":
            error = core.lzc_create(names[0].encode(), 2, None, None, 0)
        else:
            snapshots, failures = ctypes.c_void_p(), ctypes.c_void_p()
            nvpair.nvlist_alloc(ctypes.byref(snapshots), 1, 0)
            for name in names:
                nvpair.nvlist_add_boolean(snapshots, name.encode())
            error = core.lzc_snapshot(snapshots, None, ctypes.byref(failures))
            nvpair.nvlist_free(snapshots)
        if error:
            sys.exit(f"{line!r}: error {error}")


if __name__ == "__main__":
    main()

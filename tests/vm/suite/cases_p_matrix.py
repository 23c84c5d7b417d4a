"""What a push can do with a helper, it does by zfs alone: cases of pushes with --helper plain (row PLAIN)."""

import cases_a_first
import cases_b_increments
import cases_c_transfer
import cases_d_input
import cases_f_resume
from harness import CASES, Context, case

PLAIN = ("--helper", "plain")
# A mounted filesystem can't be looked into from here, so it is never taken for an empty one.
MOUNTED = "it receives into an empty filesystem that is mounted"
OTHER_HELPER = "it puts a program in the helper's place"
OWN_COMMAND = "it calls zfsync by another command"
RESOLUTION = "it resolves a conflict, which needs a helper"
# Cases that can't be played so, and why.
WITHOUT = {
    "empty_target_exists": MOUNTED,
    "pool_root": MOUNTED,
    "chained": OWN_COMMAND,
    "nothing_new": OTHER_HELPER,
    "dry_run_on_a_terminal": OWN_COMMAND,
    "wire_overhead": "the arguments of each zfs go over the wire",
    "no_operands": OWN_COMMAND,
    "target_without_zfs": OTHER_HELPER,
    "source_without_zfs": OWN_COMMAND,
    "helper_missing": OTHER_HELPER,
    "other_protocol": OTHER_HELPER,
    "rubbish_then_hello": OTHER_HELPER,
    "rubbish_only": OTHER_HELPER,
    "source_not_permitted": OWN_COMMAND,
    "local_target": "its target is on this machine",
    "prefix_neighbours": "its first target is on this machine",
    "no_resume": OTHER_HELPER,
    "cut_again_and_again": OTHER_HELPER,
    "helper_lost": OTHER_HELPER,
    "helper_stopped": OTHER_HELPER,
    "into_something_empty": OTHER_HELPER,
    "in_place_of_data": RESOLUTION,
    "overtaken_by_a_snapshot_of_the_target": OTHER_HELPER,
}


class Plain(Context):
    """A case's context whose pushes use zfs alone on the target's host."""

    def __init__(self, c):
        self.__dict__.update(c.__dict__)

    def start(self, *args, **options):
        return super().start(*PLAIN, *args, **options)


def played(function):
    """Registers a case of a push as one by zfs alone."""

    def play(c):
        function(Plain(c))

    play.__name__, play.__doc__ = function.name, f"By zfs alone: {function.__doc__}"
    return case("PLAIN", *function.rows, alone=function.alone, versions=False, long=function.long, variant=True)(play)


for module in (cases_a_first, cases_b_increments, cases_c_transfer, cases_d_input, cases_f_resume):
    for one in [one for one in CASES if one.__module__ == module.__name__ and one.__name__ not in WITHOUT]:
        played(one)

"""The scenario suite on real OpenZFS; runs on alpha, see tests/vm/suite.md."""

import argparse
import contextlib
import fnmatch
import importlib
import queue
import sys
import threading
import time
import traceback
from pathlib import Path

import harness
from hosts import BETA, Failed, Skipped

# More failures than that are no matter of luck.
AGAIN = 5
# The rows that are played with nothing installed on beta: what a helper over there does all day.
SENT = "ABCG"
PROGRAM = "/usr/local/bin/zfsync"
HERE = Path(__file__).resolve().parent


def chosen(options):
    """The cases in the order of the modules: those that a pattern names, and of these the kinds that are asked for."""
    for module in sorted(HERE.glob("cases_*.py")):
        importlib.import_module(module.stem)
    patterns, kinds = options.k, [kind for kind in ("alone", "machine", "versions") if getattr(options, kind)]
    variants = [case for case in harness.CASES if case.variant]
    left_out = [case for at, case in enumerate(variants) if at % options.variants]
    return [case for case in harness.CASES
            if case not in left_out and (not patterns or any(p in case.name or fnmatch.fnmatch(case.name, p) for p in patterns))
            and (not kinds or any(getattr(case, kind) for kind in kinds))
            and (not options.sent or (case.rows[0][0] in SENT and case.rows[0][1:].isdigit() and not case.alone and not case.installed))]


@contextlib.contextmanager
def installed_on_beta(is_so):
    """Takes the program away from beta for the time of a run where it isn't to be installed."""
    if is_so:
        yield
        return
    BETA(f"rm -rf /root/.cache/zfsync; mv {PROGRAM} {PROGRAM}.away")
    try:
        yield
        sent = BETA("ls /root/.cache/zfsync").split()
        if len(sent) != 1 or not sent[0].startswith("helper-"):
            raise Failed(f"one helper was to be sent to beta; its cache has {sent}")
    finally:
        BETA(f"mv {PROGRAM}.away {PROGRAM}; rm -rf /root/.cache/zfsync")


class Report:
    """Lines as the cases end, and the count."""

    def __init__(self):
        self.lock = threading.Lock()
        self.count = {"ok": 0, "FAIL": 0, "skip": 0}
        self.failed = []

    def add(self, case, verdict, seconds, text=""):
        """One line for one case, and more when it failed."""
        with self.lock:
            self.count[verdict] += 1
            if verdict == "FAIL":
                self.failed.append(case)
            print(f"{verdict:<4} {case.name} {seconds:.1f}s" + (f" ({text})" if verdict == "skip" else ""))
            if verdict == "FAIL":
                print("    " + text.rstrip().replace("\n", "\n    "))
            sys.stdout.flush()


def run_case(case, report, suffix=""):
    """Runs one case, whatever happens in it."""
    began = time.monotonic()
    context = harness.Context(case, suffix)
    verdict, text = "ok", ""
    try:
        case(context)
    except Skipped as skipped:
        verdict, text = "skip", str(skipped)
    except Failed as failed:
        line = traceback.extract_tb(failed.__traceback__)
        place = next((f"{Path(f.filename).name}:{f.lineno}" for f in reversed(line) if "cases_" in f.filename), "")
        verdict, text = "FAIL", f"{place}: {failed}\n{context.report()}"
    except Exception:  # a mistake in a case is that case's failure alone
        verdict, text = "FAIL", f"{traceback.format_exc()}\n{context.report()}"
    finally:
        context.clean_up()
    report.add(case, verdict, time.monotonic() - began, text)


def try_again(report):
    """Runs the failed cases once more, each alone: those that pass then, in the order in which they failed."""
    failed, report.failed = report.failed, []
    for case in failed:
        report.count["FAIL"] -= 1
        run_case(case, report, "_again")
    return [case for case in failed if case not in report.failed]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", metavar="PATTERN", action="append", default=[], help="only cases whose name has this part, or fits this glob")
    parser.add_argument("-j", metavar="N", type=int, default=3, help="cases at a time (default 3)")
    parser.add_argument("-x", action="store_true", help="stop after the first failure")
    parser.add_argument("--alone", action="store_true", help="only cases beside which nothing else may run")
    parser.add_argument("--machine", action="store_true", help="of these, only cases that hang on a whole machine")
    parser.add_argument("--versions", action="store_true", help="only cases that hang on the version of OpenZFS")
    parser.add_argument("--variants", metavar="N", type=int, default=1, help="of the cases of pushes that are played as pulls and by zfs alone too, every Nth")
    parser.add_argument("--sent", action="store_true", help=f"with nothing installed on beta: cases of the rows {', '.join(SENT)} through a helper that is sent along")
    parser.add_argument("--list", action="store_true", help="name the cases, run none")
    options = parser.parse_args()
    cases = chosen(options)
    if options.list:
        for case in cases:
            print(f"{case.name:<40} {' '.join(case.__doc__.split())}")
        return 0
    if not cases:
        sys.exit("there is no such case")

    with installed_on_beta(not options.sent):
        return play(cases, options)


def play(cases, options):
    """Runs the cases, those that need quiet last; the exit status."""
    began = time.monotonic()
    report = Report()

    def go_on():
        return not (options.x and report.count["FAIL"])

    todo = queue.SimpleQueue()
    # The long ones first, or the rest would be through long before them.
    for case in sorted(cases, key=lambda case: not case.long):
        if not case.alone:
            todo.put(case)

    def work():
        while go_on():
            try:
                case = todo.get_nowait()
            except queue.Empty:
                return
            run_case(case, report)

    workers = [threading.Thread(target=work) for _ in range(options.j)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for case in cases:
        if case.alone and go_on():
            run_case(case, report)

    flaky = [] if options.x or len(report.failed) > AGAIN else try_again(report)
    for case in flaky:
        print(f"FLAKY {case.name}: it failed beside others and passed alone; its failure is above")
    print(f"{time.monotonic() - began:.0f} s; OpenZFS {BETA('cat /sys/module/zfs/version')}")
    count = report.count
    print(f"{count['ok']} passed, {count['FAIL']} failed" + (f", {count['skip']} skipped" if count["skip"] else ""))
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())

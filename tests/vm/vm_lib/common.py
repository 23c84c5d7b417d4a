"""What both engines need: who the guests are, child processes that end with us, an error that is told without a trace."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VM = HERE.parent
# gamma is a third guest that is there on demand.
HOSTS = {"alpha": 1, "beta": 2, "gamma": 3}
LIBC = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """What was attempted, and what to do next."""


def say(text):
    """A line for who looks on."""
    print(f"run: {text}", file=sys.stderr, flush=True)


def dies_with(parent):
    """For preexec_fn: the kernel kills the child when its parent is gone."""

    def prepare():
        LIBC.prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def start(argv, tied=True, **options):
    """A child process without stdin; `tied`: it is killed when we end."""
    return subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, preexec_fn=dies_with(os.getpid()) if tied else None, **options
    )


def last_line(argv):
    """The last line that a program prints; None when it fails. What it says on stderr is seen."""
    output = (program := start(argv, stdout=subprocess.PIPE, text=True)).communicate()[0]
    lines = [line for line in output.split("\n") if line]
    return lines[-1] if program.returncode == 0 and lines else None


def keepers_of(directory):
    """The processes that hold the guests of this directory: each guest's qemu, or the one that keeps User Mode Linux."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            name = os.path.basename(argv[0])
            if (name.startswith(b"qemu-system") or name == b"unshare" or b"hub.py" in b" ".join(argv)) and any(
                    os.fsencode(directory) in arg for arg in argv):
                yield int(entry.name)


def end_guests(directory):
    """Kills all guests of this directory, and waits until they are gone."""
    deadline = time.monotonic() + 10
    while (pids := list(keepers_of(directory))) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        time.sleep(0.02)

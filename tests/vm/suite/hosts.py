"""The two hosts as the suite uses them: scripts go to `sh -e` here, or to an agent on beta that stays connected."""

import json
import subprocess
import threading
import time
from dataclasses import dataclass

from agent import READY, run_script

# So many times longer than on a quiet machine may everything take: guests without KVM on a busy host are that slow.
PATIENCE = 3


class Failed(Exception):
    """An expectation that doesn't hold; the message says which and what was found instead."""


class Skipped(Exception):
    """The case can't run on these guests; the message says why."""


@dataclass
class Result:
    """What a script left."""

    status: int | None
    out: str
    err: str


class Host:
    """One of the guests."""

    def __init__(self, name, run):
        self.name = name
        self.pool = "apool" if name == "alpha" else "bpool"
        self._run = run

    def try_run(self, script, timeout=90):
        """Runs a script, whatever its status."""
        return Result(*self._run(script, timeout))

    def __call__(self, script, timeout=90):
        """Runs a script that has to succeed; its stdout without the last line feed."""
        done = self.try_run(script, timeout)
        if done.status != 0:
            end = "did not end in time" if done.status is None else f"ended with {done.status}"
            raise Failed(f"the set-up on {self.name} {end}:\n{script}\n--- stdout:\n{done.out}\n--- stderr:\n{done.err}")
        return done.out.rstrip("\n")

    def lines(self, script):
        """A script's output, split at line feeds only: names can end in blanks."""
        out = self(script)
        return out.split("\n") if out else []

    def rows(self, script):
        """A script's output, split at line feeds and tabs."""
        return [line.split("\t") for line in self.lines(script)]

    def wait_for(self, what, condition, seconds=20):
        """Waits until a script succeeds. The time is that of a machine with nothing else to do."""
        deadline = time.monotonic() + PATIENCE * seconds
        while (tried := self.try_run(condition)).status != 0:
            if time.monotonic() > deadline:
                raise Failed(f"after {PATIENCE * seconds} s still not true on {self.name}: {what}\n{tried.out}{tried.err}")
            time.sleep(0.1)


class _Agents(threading.local):
    process = None

    def _connect(self, seconds=60):
        """On a busy machine the first packets between the guests can get lost, so this is tried for a while."""
        deadline = time.monotonic() + seconds
        while True:
            self.process = subprocess.Popen(
                ["ssh", "-T", "beta", "python3 -u /root/suite/agent.py"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            )
            # A start-up file of root's shell may have printed before.
            for line in self.process.stdout:
                if line == f"{READY}\n":
                    return
            if time.monotonic() > deadline:
                raise Failed(f"beta can't be reached by ssh within {seconds} s")
            time.sleep(0.5)

    def run(self, script, timeout):
        if self.process is None or self.process.poll() is not None:
            self._connect()
        try:
            self.process.stdin.write(json.dumps({"script": script, "timeout": timeout}) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            self.process = None
            raise Failed("the connection to the agent on beta is lost")
        return json.loads(answer)


ALPHA = Host("alpha", run_script)
BETA = Host("beta", _Agents().run)

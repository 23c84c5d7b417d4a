"""The two guests as the chaos game uses them: scripts, a watched push, and what can happen to a machine from outside."""

import importlib.machinery
import importlib.util
import json
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

VM = Path(__file__).resolve().parent.parent
sys.path.append(str(VM / "vm_lib"))

from fault import Refused, fault  # noqa: E402


def load_run():
    """tests/vm/run as a module: it boots, and it cleans up whatever ends us."""
    sys.dont_write_bytecode = True
    loader = importlib.machinery.SourceFileLoader("vm_run", str(VM / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("vm_run", loader))
    loader.exec_module(module)
    return module


class Broken(Exception):
    """The test bed itself doesn't do what it should."""


class Wire:
    """A program on a guest that takes and gives lines of JSON, over an ssh of its own."""

    def __init__(self, config, host, program):
        self.host = host
        self.process = subprocess.Popen(
            ["ssh", "-F", str(config), "-T", host, f"python3 -u {program}"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def say(self, message):
        """Sends a message; one to a guest that is gone is lost."""
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass

    def hear(self, seconds):
        """The next message; None when the connection is gone. Raises queue.Empty when the time is over."""
        line = self.lines.get(timeout=max(seconds, 0.001))
        if line is None:
            self.lines.put(None)
            return None
        try:
            return json.loads(line)
        except ValueError:
            raise Broken(f"{self.host} says {line!r}") from None

    def close(self):
        """Ends the ssh, whatever the guest is doing."""
        self.process.kill()
        self.process.wait()


@dataclass
class Push:
    """One run of zfsync on alpha."""

    argv: list
    status: int | None = None  # negative: the number of a signal
    lost: bool = False  # the machine went away under it
    out: list = field(default_factory=list)
    err: list = field(default_factory=list)
    began: float = 0.0
    seconds: float = 0.0
    ended: bool = False

    def __str__(self):
        end = "lost with its machine" if self.lost else f"exit status {self.status}"
        return (f"$ {' '.join(repr(word) if ' ' in word else word for word in self.argv)}\n{end} after {self.seconds:.1f} s\n"
                f"--- stdout:\n{chr(10).join(self.out)}\n--- stderr:\n{chr(10).join(self.err)}\n")


class Guest:
    """One of the two machines."""

    def __init__(self, directory, name):
        self.directory, self.name = directory, name
        self.config = directory / "ssh_config"
        self.agent = self.runner = None

    def _connected(self, program, ready, seconds=90):
        deadline = time.monotonic() + seconds
        while True:
            wire = Wire(self.config, self.name, program)
            try:
                while (line := wire.lines.get(timeout=max(deadline - time.monotonic(), 0.001))) is not None:
                    if line == f"{ready}\n":
                        return wire
            except queue.Empty:
                pass
            wire.close()
            if time.monotonic() > deadline:
                raise Broken(f"{self.name} can't be reached by ssh within {seconds} s")
            time.sleep(0.5)

    def try_run(self, script, timeout=120):
        """[status, stdout, stderr] of an `sh -e` script."""
        if self.agent is None or self.agent.process.poll() is not None:
            self.agent = self._connected("/root/suite/agent.py", "agent ready")
        self.agent.say({"script": script, "timeout": timeout})
        try:
            answer = self.agent.hear(timeout + 60)
        except queue.Empty:
            answer = None
        if answer is None:
            self.agent.close()
            self.agent = None
            raise Broken(f"{self.name} is lost within this script:\n{script}")
        return answer

    def run(self, script, timeout=120):
        """The output of a script that has to succeed."""
        status, out, err = self.try_run(script, timeout)
        if status != 0:
            raise Broken(f"this script ended with {status} on {self.name}:\n{script}\n--- stdout:\n{out}\n--- stderr:\n{err}")
        return out

    def start(self, argv, env):
        """Starts a push that `follow` watches."""
        if self.runner is None or self.runner.process.poll() is not None:
            self.runner = self._connected("/root/chaos_lib/runner.py", "runner ready")
        self.runner.say({"argv": argv, "env": env})
        return Push(argv, began=time.monotonic())

    def follow(self, push, seconds, until=None):
        """Collects what a push says for so long, or until a line of its stdout makes `until` true; whether one did."""
        deadline = time.monotonic() + seconds
        while not push.ended:
            try:
                message = self.runner.hear(deadline - time.monotonic()) if self.runner else None
            except queue.Empty:
                return False
            if message is None or "status" in message:
                push.lost, push.status = message is None, message and message["status"]
                push.ended, push.seconds = True, time.monotonic() - push.began
                return False
            for name, text in message.items():
                getattr(push, name).append(text)
                if name == "out" and until and until(text):
                    return True
        return False

    def signal(self, number):
        """Sends a signal to the push that runs."""
        self.runner.say({"signal": number})

    def hang_up(self):
        """Forgets the connections: the machine is about to lose its memory."""
        for wire in (self.agent, self.runner):
            if wire:
                wire.close()
        self.agent = self.runner = None

    # --- what the engine can do -------------------------------------------------------

    def fault(self, action):
        """What tests/vm/vm_lib/fault.py names."""
        try:
            fault(self.directory, self.name, action)
        except (OSError, Refused) as error:
            raise Broken(f"{action} of {self.name}: {error}") from None

    def boots(self):
        """How often the machine has come up so far."""
        log = (self.directory / self.name / "console.log").read_text(errors="replace")
        if "test-bed: FAILED" in log:
            raise Broken(f"{self.name} came up only in part:\n{log[-2000:]}")
        return log.count("test-bed: up after")

    def power_cut(self):
        """Disks stay, memory is lost; the machine boots. The number of boots to wait for with `wait_up`."""
        self.hang_up()
        boots = self.boots() + 1
        self.fault("power-cut")
        return boots

    def wait_up(self, boots, seconds=240):
        """Waits until a boot is over."""
        deadline = time.monotonic() + seconds
        while self.boots() < boots:
            if time.monotonic() > deadline:
                raise Broken(f"{self.name} did not come up within {seconds} s after a power cut")
            time.sleep(0.2)

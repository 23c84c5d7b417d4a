"""Programs and servers that some cases put in zfsync's way."""

import contextlib
import fcntl
import itertools
import os
import pty
import signal
import struct
import subprocess
import termios
import threading
import time

from harness import MARK
from hosts import PATIENCE, Failed

PORTS = itertools.count(2201)
PREFIX = "#!/bin/sh\n"


def helper(c, before="", command="exec zfsync recv --stdio", name="helper"):
    """A program on beta for --remote-zfsync: does something first, then becomes the helper. Its processes bear the mark."""
    return c.script(c.beta, name, f"{PREFIX}export {MARK}={c.name}\n{before}\n{command}")


def watched_helper(c):
    """A helper whose zfs commands are logged, and the log's path on beta."""
    place = f"/var/tmp/zfsync-suite/{c.name}"
    log_zfs(c, c.beta, f"{place}/bin", f"{place}/zfs.log")
    return helper(c, f"PATH={place}/bin:$PATH; export PATH"), f"{place}/zfs.log"


def log_zfs(c, host, directory, log):
    """Puts a `zfs` into a directory that logs its arguments, a line for each run, and goes on as zfs."""
    host(f"mkdir -p {directory}; printf '%s\\n' '#!/bin/sh' 'echo \"$*\" >>{log}' 'exec /usr/sbin/zfs \"$@\"' >{directory}/zfs;"
         f" chmod 755 {directory}/zfs; ln -sf /usr/sbin/zpool {directory}/zpool; : >{log}")


def wrapped_zfs(c, host, text):
    """Puts a `zfs` into a directory that does something first (a script, `$1` is zfs's command); the directory, for PATH."""
    place = f"/var/tmp/zfsync-suite/{c.name}/wrapped"
    host(f"mkdir -p {place}; rm -rf {place}/*; ln -sf /usr/sbin/zpool {place}/zpool")
    c.script(host, "wrapped/zfs", f'{PREFIX}zfs=/usr/sbin/zfs; place={place}\n{text}\nexec $zfs "$@"')
    return place


def beside(directory):
    """PATH with a directory before all others."""
    return {"PATH": f"{directory}:{os.environ['PATH']}"}


def wrapped_helper(c, text, **more):
    """A helper on beta whose `zfs` does something first."""
    return helper(c, f"PATH={wrapped_zfs(c, c.beta, text)}:$PATH; export PATH", **more)


RELAY = """
import os, select, sys, time

def move(most):
    while most and (data := os.read(0, min(most, 65536))):
        most -= len(data)
        while data:
            data = data[os.write(1, data):]
    return not most

def closed():
    ends = select.poll()
    ends.register(0, select.POLLRDHUP)
    ends.register(1, 0)
    return bool(ends.poll(0))

limit, gate = int(sys.argv[1]), sys.argv[2:]
if move(limit) and gate:
    open(gate[0] + "/reached", "w").close()
    while not os.path.exists(gate[0] + "/go"):
        if closed():
            sys.exit()
        time.sleep(0.05)
    move(1 << 62)
"""


def cutting_helper(c, limit, times=None):
    """A helper that is cut off from its sender after so many bytes; each time, or the first times only."""
    relay = c.script(c.beta, "relay.py", RELAY)
    place = f"/var/tmp/zfsync-suite/{c.name}"
    c.beta(f"rm -rf {place}/turn.*")
    # mkdir is a counter that two helpers can't share.
    before = "" if times is None else f"""
        for n in $(seq {times}); do mkdir {place}/turn.$n 2>/dev/null && turn=$n && break; done
        [ "$turn" ] || exec zfsync recv --stdio"""
    return helper(c, before, f"python3 {relay} {limit} | zfsync recv --stdio", "cutting")


class Gate:
    """Stops a stream after some bytes until it is opened."""

    def __init__(self, c, limit, name="gated"):
        self.c, self.place = c, f"/var/tmp/zfsync-suite/{c.name}/gate"
        relay = c.script(c.beta, "relay.py", RELAY)
        c.beta(f"mkdir -p {self.place}; rm -f {self.place}/*")
        self.args = ["-j", "1", "--remote-zfsync", helper(c, "", f"python3 {relay} {limit} {self.place} | zfsync recv --stdio", name)]

    def reached(self, seconds=60):
        """Waits until the stream stands."""
        self.c.beta.wait_for("the stream stands at the gate", f"test -e {self.place}/reached", seconds)

    def open(self):
        """Lets the stream go on."""
        self.c.beta(f"touch {self.place}/go")

    def shut(self):
        """For the next run."""
        self.c.beta(f"rm -f {self.place}/*")


def pids(c, host, words):
    """The process ids on a host that bear the case's mark and have these words in their command line."""
    return host(f"""for dir in $(grep -lsa '{MARK}={c.name}' /proc/[0-9]*/environ | sed 's,/environ$,,'); do
        command=$(tr '\\0' ' ' <$dir/cmdline) || continue
        case $command in *'{words}'*) echo ${{dir#/proc/}} ;; esac; done""").split()


def permit_key(c, host, line, user="root"):
    """Gives a user of a host this line of authorized_keys, which ends with the case's name, in place of the case's last one. Cases beside it do the same."""
    keys = f"~{user}/.ssh/authorized_keys"
    locked = lambda script: f"(flock 9; touch {keys}; sed -i '/{c.name}$/d' {keys}; {script}) 9>/run/zfsync-suite-keys"
    c.cleanups.append((host, locked("true")))
    host(locked(f"cat >>{keys} <<'END'\n{line}\nEND\n"))


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, c, *argv):
        self.c, self.said = c, b""
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        self.process = subprocess.Popen(
            argv, stdin=self.theirs, stdout=self.theirs, stderr=self.theirs, start_new_session=True, cwd="/root",
            env={**os.environ, MARK: c.name, "TERM": "xterm"}, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        with contextlib.suppress(OSError):
            while data := os.read(self.ours, 65536):
                self.said += data

    def text(self):
        """What has been drawn so far."""
        return self.said.decode(errors="replace")

    def wait_for(self, what, holds, seconds=60):
        """Waits until a function of the text is true."""
        deadline = time.monotonic() + seconds
        while not holds(self.text()):
            if time.monotonic() > deadline:
                raise Failed(f"after {seconds} s there is still not on the terminal: {what}\n{self.text()!r}")
            time.sleep(0.05)

    def type(self, text):
        """As if somebody typed it."""
        os.write(self.ours, text)

    def end(self, seconds):
        """Waits for its end; its exit status."""
        try:
            return self.process.wait(PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise Failed(f"it did not end within {PATIENCE * seconds} s\n{self.text()!r}") from None

    def interrupted_twice(self):
        """Ctrl-C while a bar is shown, and again once the first was answered: it ends at once, with 130."""
        self.wait_for("a bar", lambda text: "\x1b[" in text and "%" in text)
        self.type(b"\x03")
        self.wait_for("the answer to Ctrl-C", lambda text: "^C" in text)
        began = time.monotonic()
        self.type(b"\x03")
        self.c.same(self.end(60), 130, "the exit status")
        took = time.monotonic() - began
        self.c.check(took < 8, f"it took {took:.1f} s after the second Ctrl-C")

    def restored(self):
        """Whether the terminal has the settings that it had."""
        return termios.tcgetattr(self.theirs) == self.before


class Sshd:
    """A second sshd on beta."""

    def __init__(self, c, port, log):
        self.c, self.port, self.log = c, port, log
        self.args = ["-p", str(port), "-o", "HostKeyAlias=beta"]

    def count(self, words):
        """How many lines of its log have these words."""
        return int(self.c.beta(f"grep -c '{words}' {self.log} || true"))


@contextlib.contextmanager
def sshd(c, *options):
    """An sshd on beta with options of its own (Name=value), on a port of its own, that logs connections and sessions."""
    port = next(PORTS)
    place = f"/var/tmp/zfsync-suite/{c.name}"
    log, pid = f"{place}/sshd-{port}.log", f"{place}/sshd-{port}.pid"
    settings = " ".join(f"-o '{option}'" for option in (f"PidFile={pid}", "LogLevel=VERBOSE", *options))
    c.beta(f"mkdir -p {place}; /usr/sbin/sshd -p {port} -E {log} -o HostKey=/etc/ssh/ssh_host_beta_key {settings}")
    c.beta.wait_for("the second sshd listens", f"test -s {pid} && ss -Hltn 'sport = :{port}' | grep -q .")
    try:
        yield Sshd(c, port, log)
    finally:
        c.beta(f"kill $(cat {pid}) || true")

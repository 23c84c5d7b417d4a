"""Programs and servers that some cases put in zfsync's way."""

import contextlib
import itertools

from harness import MARK

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

"""The guests as User Mode Linux: a kernel that is a process of the host, with the unmodified module of OpenZFS.

All of a run's guests live in namespaces of its own (network, processes, mounts; of users too, where we aren't root), kept by
uml_keeper.py: the host's network isn't touched, and nothing outlives its keeper.
"""

import json
import os
import shutil
import subprocess
import sys

from common import HERE, HOSTS, VM, last_line, start

NAME = "uml"
BOOT_SECONDS = 120


def refusal():
    """Why it can't be run here; None when it can."""
    if os.uname().machine != "x86_64":
        return f"User Mode Linux is for x86_64, this is {os.uname().machine}"
    for tool in ("unshare", "ip"):
        if not shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return f"the host lacks {tool} (Debian: apt-get install util-linux iproute2)"
    probe = subprocess.run(
        [*namespaces(), "sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; ip link add name zf0 type veth peer name zf1 && ip link add name zf2 type bridge"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if probe.returncode:
        kind = "" if os.geteuid() == 0 else "as a user it needs user namespaces: "
        return f"{kind}{(probe.stderr.strip().splitlines() or ['unshare failed'])[-1]}"
    return None


def kernel(suite):
    """The directory with its kernel and module for a suite, built at the first call; None when that fails, which is told."""
    return last_line([str(VM / "uml-kernel"), "--suite", suite])


def namespaces():
    """The command before a command that is to run in namespaces of its own."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]


class Uml:
    """The engine of one run."""

    name = NAME
    boot_seconds = BOOT_SECONDS

    def __init__(self, options, directory, image, kernel_directory):
        self.options, self.directory, self.image, self.kernel = options, directory, image, kernel_directory
        self.keeper = None

    def extra_payload(self):
        """More for the payload, (file, name) each: the module that fits this kernel."""
        for place, _, files in os.walk(f"{self.kernel}/lib"):
            for name in files:
                path = os.path.join(place, name)
                yield path, os.path.relpath(path, self.kernel)

    def boot(self, hosts, wait_for):
        """Starts the guests."""
        plan = {}
        for host in hosts:
            place, number = self.directory / host, HOSTS[host]
            control = f"10.0.2.1{number}"
            plan[host] = {"control": control, "gateway": f"10.0.2.{number}", "argv": [
                f"{self.kernel}/linux", f"mem={self.options.mem}M", f"ubd0={place}/root.cow,{self.image}/root.img",
                f"ubd1r={self.directory}/payload.tar", "root=/dev/ubda", "rw", "init=/sbin/init",
                f"vec0:transport=raw,ifname=c-{host},gro=1,depth=128,mac=52:54:00:77:00:0{number}",
                f"vec1:transport=raw,ifname=l-{host},gro=1,depth=128,mac=52:54:00:77:01:0{number}",
                "con0=fd:0,fd:1", "con=null", "ssl=null", f"umid={host}", f"uml_dir={place}/", "panic=-1", "quiet", "loglevel=4",
                "seccomp=auto", "net.ifnames=0", f"zfsync.host={host}", f"zfsync.control={control}/24"]}
        (self.directory / "keeper.json").write_text(json.dumps({"guests": plan}))
        with open(self.directory / "keeper.log", "wb") as log:
            # With --keep it outlives us; the janitor ends it if we don't get that far.
            self.keeper = start(
                [*namespaces(), sys.executable, "-u", str(HERE / "uml_keeper.py"), str(self.directory)],
                tied=not self.options.keep, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"})
        (self.directory / "pid").write_text(f"{self.keeper.pid}\n")
        wait_for(lambda: (self.directory / "keeper.sock").exists(), *hosts)

    def ended(self, host):
        """How a guest, or the keeper, has ended; None while it lives."""
        if self.keeper and self.keeper.poll() is not None:
            return f"the keeper of the guests ended with status {self.keeper.returncode}"
        ended = self.directory / host / "ended"
        return f"{host}'s kernel ended with status {ended.read_text().strip()}" if ended.exists() else None

    def logs(self, host):
        """The files that tell what a guest and its engine said."""
        return [self.directory / host / "console.log", self.directory / "keeper.log"]

    def ssh(self, host):
        """The lines of ssh_config that lead to a guest."""
        return (f"  HostName {host}\n  ProxyUseFdpass yes\n"
                f"  ProxyCommand {sys.executable} -I {HERE}/uml_connect.py {self.keeper.pid} 10.0.2.1{HOSTS[host]} 22\n")

    def pids(self):
        """What to kill for an end."""
        return [self.keeper.pid] if self.keeper else []

"""Keeps the guests of one run as User Mode Linux: their network, their processes, and what fault.py asks for.

It is process 1 of a namespace of its own (see uml.py), so whatever kills it ends them all.

    uml_keeper.py DIR     DIR/keeper.json says what to start
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

MS_NOSUID_NODEV = 2 | 4


def ip(*words):
    """One `ip` command; what fails ends everything, with ip's words in keeper.log."""
    subprocess.run(["ip", *words], check=True, stdin=subprocess.DEVNULL)


class Keeper:
    """All guests of a run."""

    def __init__(self, directory):
        self.directory = Path(directory)
        plan = json.loads((self.directory / "keeper.json").read_text())
        self.guests = plan["guests"]  # host: {"argv", "control": its address, "gateway"}
        self.pids = {}
        self.lock = threading.Lock()

    def private_memory(self):
        """The guests' memory is a file: one in memory that goes with us."""
        place = self.directory / "mem"
        place.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", MS_NOSUID_NODEV, b"mode=700,size=100%"):
            sys.exit(f"mounting a tmpfs for the guests' memory: {os.strerror(ctypes.get_errno())}")

    def network(self):
        """To the host's programs each guest has a cable of its own; for the guests' link all are plugged into a switch."""
        ip("link", "set", "lo", "up")
        ip("link", "add", "name", "switch", "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
        for host, guest in self.guests.items():
            ip("link", "add", "name", f"c-{host}", "type", "veth", "peer", "name", f"h-{host}")
            ip("address", "add", guest["gateway"], "peer", f"{guest['control']}/32", "dev", f"h-{host}")
            ip("link", "add", "name", f"l-{host}", "type", "veth", "peer", "name", f"p-{host}")
            ip("link", "set", f"p-{host}", "master", "switch")
        for off in Path("/proc/sys/net/ipv6/conf").glob("*/disable_ipv6"):
            off.write_text("1")  # the host has no business of its own on these
        for _, name in socket.if_nameindex():
            ip("link", "set", name, "up")

    def start(self, host):
        """Switches a guest on."""
        argv, log = self.guests[host]["argv"], str(self.directory / host / "console.log")
        self.pids[host] = os.posix_spawn(
            argv[0], argv, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self.directory / "mem")},
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                          (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                          (os.POSIX_SPAWN_DUP2, 1, 2)],
            setsid=True, setsigmask=[])

    def kill(self, host):
        """Its power is off when this returns."""
        pid = self.pids.pop(host, None)
        if pid is not None:
            os.killpg(pid, signal.SIGKILL)
            # Its processes are ours now; waiting for the group ends when none is left.
            try:
                while True:
                    os.waitpid(-pid, 0)
            except ChildProcessError:
                pass

    def do(self, host, action):
        """What fault.py names."""
        if host not in self.guests:
            return f"there is no guest {host}"
        with self.lock:
            if action in ("link-off", "link-on"):
                # Out of the switch. An interface that is down would be an error to the guest's packet socket, and stay one.
                ip("link", "set", f"p-{host}", *(["nomaster"] if action == "link-off" else ["master", "switch"]))
            elif action == "power-cut":
                self.kill(host)
                self.start(host)
            elif action in ("freeze", "thaw") and host in self.pids:
                os.killpg(self.pids[host], signal.SIGSTOP if action == "freeze" else signal.SIGCONT)
            else:
                return f"{host} is off, or can't {action}"
        return "done"

    def reap(self):
        """Processes that end by themselves: a guest that powered off, and what a dying one left to us."""
        while True:
            signal.sigwait({signal.SIGCHLD})
            with self.lock:
                own = {pid: host for host, pid in self.pids.items()}
                while True:
                    try:
                        pid, status = os.waitpid(-1, os.WNOHANG)
                    except ChildProcessError:
                        break
                    if pid == 0:
                        break
                    if pid in own:
                        host = own[pid]
                        self.pids.pop(host)
                        code = os.waitstatus_to_exitcode(status)
                        (self.directory / host / "ended").write_text(f"{code}\n")

    def serve(self):
        """Answers until the end."""
        control = socket.socket(socket.AF_UNIX)
        control.bind(str(self.directory / "keeper.sock"))
        control.listen()
        while True:
            asked, _ = control.accept()
            with asked:
                try:
                    asked.settimeout(10)
                    host, action = asked.makefile().readline().split()
                    answer = self.do(host, action)
                except Exception as error:  # pylint: disable=broad-except # one bad request doesn't end the guests
                    answer = f"{type(error).__name__}: {error}"
                try:
                    asked.sendall(f"{answer}\n".encode())
                except OSError:
                    pass


def main():
    # Before any thread: all of them leave it to `reap`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    keeper = Keeper(sys.argv[1])
    keeper.private_memory()
    keeper.network()
    for host in keeper.guests:
        keeper.start(host)
    threading.Thread(target=keeper.reap, daemon=True).start()
    keeper.serve()


main()

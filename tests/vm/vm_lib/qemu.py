"""The guests as virtual machines of qemu, with Debian's own kernel: under KVM where it works, else emulated."""

import os
import re
import select
import shutil
import sys
import time
from pathlib import Path

from common import HERE, HOSTS, Failed, start
from fault import qmp

NAME = "qemu"
# "max" stumbles over one register where the host is itself a KVM guest of some kinds.
KVM_CPUS = ["max", "max,-arch-capabilities"]
# What a newer processor has beyond this is emulated at a price: boots and program starts are faster without; the rest is within the noise
# (README.md).
TCG_CPU = "max,-la57,-smap,-smep,-umip,-pku,-xsave,-avx,-avx2"


def forced():
    """What ZFSYNC_VM_ACCEL says."""
    word = os.environ.get("ZFSYNC_VM_ACCEL")
    if word not in (None, "", "kvm", "tcg"):
        raise Failed(f"ZFSYNC_VM_ACCEL={word}: it is kvm or tcg")
    return word


def kvm_cpu(image):
    """The -cpu under which KVM really works: when our kernel gets to speak; None when it doesn't."""
    # The answer costs seconds when it is no, and stays the same until the host's next boot.
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    refused = image.parent / f"no-kvm-{boot_id}"
    if forced() == "tcg" or not os.access("/dev/kvm", os.R_OK | os.W_OK) or (refused.exists() and forced() != "kvm"):
        return None
    for cpu in KVM_CPUS:
        # Some hosts have a KVM that starts the firmware and then chokes on the kernel.
        probe = start(
            ["qemu-system-x86_64", "-machine", "q35,usb=off", "-accel", "kvm", "-cpu", cpu, "-m", "256", "-nodefaults",
             "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
             "-kernel", f"{image}/vmlinuz", "-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"],
            stdout=-1, stderr=-2)
        said = b""
        deadline = time.monotonic() + 5
        while b"Linux version" not in said and b"KVM internal error" not in said:
            if not select.select([probe.stdout], [], [], max(0, deadline - time.monotonic()))[0]:
                break
            more = os.read(probe.stdout.fileno(), 65536)
            if not more:
                break
            said += more
        probe.kill()
        probe.wait()
        probe.stdout.close()
        if b"Linux version" in said:
            return cpu
    try:
        refused.touch()
    except OSError:
        pass  # somebody else's cache: we ask again next time
    return None


def is_listening(path):
    """Whether some process listens on a unix socket; its file is there a moment before."""
    accepts_connections = 0x10000  # __SO_ACCEPTCON
    for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7] == str(path):
            if int(fields[3], 16) & accepts_connections:
                return True
    return False


class Qemu:
    """The engine of one run."""

    name = NAME

    def __init__(self, options, directory, image, cpu):
        self.options, self.directory, self.image = options, directory, image
        self.accel, self.cpu = ("kvm", cpu) if cpu else ("tcg", TCG_CPU)
        self.boot_seconds = 60 if cpu else 240
        self.guests, self.hub = {}, None

    def extra_payload(self):
        """More for the payload: nothing."""
        return []

    def boot(self, hosts, wait_for):
        """Starts the guests."""
        link = self.directory / "link.sock"
        if len(hosts) > 2:
            self.hub = start([sys.executable, str(HERE / "hub.py"), str(link)], tied=not self.options.keep, start_new_session=True)
            wait_for(lambda: is_listening(link), hosts[0])
        for host in hosts:
            place, number = self.directory / host, HOSTS[host]
            serves = "on" if host == hosts[0] and not self.hub else "off"
            argv = [
                "qemu-system-x86_64", "-name", f"zfsync-{host}", "-machine", "q35,usb=off", "-accel", self.accel, "-cpu", self.cpu,
                "-smp", str(self.options.vcpus), "-m", str(self.options.mem), "-nodefaults", "-no-user-config",
                "-display", "none", "-serial", f"file:{place}/console.log",
                "-qmp", f"unix:{place}/qmp.sock,server=on,wait=off",
                "-kernel", f"{self.image}/vmlinuz", "-initrd", f"{self.image}/initrd",
                "-append", "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off audit=0 apparmor=0 norandmaps "
                           f"random.trust_cpu=on net.ifnames=0 zfsync.host={host}",
                # Nobody writes to it; User Mode Linux, which also starts from it, has a lock on it that qemu takes for a writer's.
                "-drive", f"file={self.image}/root.img,format=raw,if=none,id=root,snapshot=on,cache=unsafe,file.locking=off",
                "-device", "virtio-blk-pci,drive=root",
                "-drive", f"file={self.directory}/payload.tar,format=raw,if=none,id=payload,readonly=on",
                "-device", "virtio-blk-pci,drive=payload",
                # To the host, and nowhere else; qemu picks a free port.
                "-netdev", "user,id=control,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
                "-device", f"virtio-net-pci,netdev=control,romfile=,mac=52:54:00:77:00:0{number}",
                "-netdev", f"stream,id=link,server={serves},addr.type=unix,addr.path={link}",
                "-device", f"virtio-net-pci,netdev=link,romfile=,mac=52:54:00:77:01:0{number}",
                "-device", "virtio-rng-pci",
            ]
            with open(place / "qemu.log", "wb") as log:
                # With --keep they outlive us; the janitor ends them if we don't get that far.
                self.guests[host] = start(
                    argv, tied=not self.options.keep, stdout=log, stderr=log, start_new_session=True,
                    env={**os.environ, "TMPDIR": str(self.directory)})
            (place / "pid").write_text(f"{self.guests[host].pid}\n")
            wait_for(lambda p=place: (p / "qmp.sock").exists(), host)
            if serves == "on":
                # The other one connects to this socket, and only once: it must not come too early.
                wait_for(lambda: is_listening(link), host)

    def ended(self, host):
        """How a guest has ended; None while it lives."""
        guest = self.guests.get(host)
        return None if guest is None or guest.poll() is None else f"{host}'s qemu ended with status {guest.returncode}"

    def logs(self, host):
        """The files that tell what a guest and its engine said."""
        return [self.directory / host / "console.log", self.directory / host / "qemu.log"]

    def ssh(self, host):
        """The lines of ssh_config that lead to a guest."""
        answer = qmp(self.directory / host / "qmp.sock", [("human-monitor-command", {"command-line": "info usernet"})])
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", str(answer))
        if not found:
            raise Failed(f"qemu didn't tell its port for ssh; it said: {answer}")
        return f"  HostName 127.0.0.1\n  Port {found.group(1)}\n"

    def pids(self):
        """What to kill for an end."""
        return [guest.pid for guest in self.guests.values()] + ([self.hub.pid] if self.hub else [])

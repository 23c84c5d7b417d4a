"""What a case is given: its own datasets on both sides, zfsync to run, and expectations that ask zfs itself."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import threading
import time
import zlib
from dataclasses import dataclass, field

from hosts import ALPHA, BETA, PATIENCE, Failed

CASES = []
# Where zfsync and its ssh children find this, they can be told from everybody else's.
MARK = "ZFSYNC_TEST_CASE"
VOLUME_DEVICE = """
device() {
    n=0
    until [ $n = 100 ]; do
        for d in /sys/block/zd*; do
            if [ "$(/lib/udev/zvol_id /dev/${d##*/} 2>/dev/null)" = "$1" ]; then echo /dev/${d##*/}; return; fi
        done
        n=$((n + 1)); sleep 0.1
    done
    echo "no device for $1" >&2; return 1
}
"""
q = shlex.quote


def case(*rows, alone=False, machine=False, versions=False, long=False, installed=False, variant=False):
    """Registers a function as a case for these rows of the scenario list.

    `alone`: nothing else may run meanwhile. `machine`: so it is, and it hangs on a whole machine: processes, signals, the clock, devices.
    `versions`: it hangs on what differs between versions of OpenZFS.
    `long`: it takes minutes, and begins before the others. `installed`: it runs zfsync on beta by hand.
    `variant`: another case, played another way: as a pull, by zfs alone.
    """

    def register(function):
        function.name = f"{rows[0].lower()}_{function.__name__}"
        function.rows, function.alone, function.machine = rows, alone or machine, machine
        function.versions, function.long, function.installed, function.variant = versions, long, installed, variant
        if any(other.name == function.name for other in CASES):
            raise ValueError(f"two cases are named {function.name}")
        CASES.append(function)
        return function

    return register


@dataclass
class Run:
    """One run of zfsync."""

    argv: list
    env: dict = field(default_factory=dict)
    status: int | None = None
    out: str = ""
    err: str = ""
    seconds: float = 0.0

    @property
    def events(self):
        """The events of --json, each line of which has to be one."""
        try:
            return [json.loads(line) for line in self.out.splitlines()]
        except ValueError as error:
            raise Failed(f"stdout is not one JSON object a line: {error}") from None

    def of(self, kind):
        """The events of one kind."""
        return [event for event in self.events if event.get("event") == kind]

    @property
    def finished(self):
        """The event that ends a run."""
        last = self.events[-1] if self.out else {}
        if last.get("event") != "finished":
            raise Failed(f"the last event is not `finished` but {last}")
        return last

    def __str__(self):
        env = "".join(f"{name}={q(value)} " for name, value in self.env.items())
        return (f"$ {env}{shlex.join(self.argv)}\n"
                f"exit status {'none: it was still running' if self.status is None else self.status},"
                f" {self.seconds:.1f} s\n--- stdout:\n{cut(self.out)}--- stderr:\n{cut(self.err)}")


def cut(text, most=6000):
    """The text, its middle left out when it is long; ends in a line feed."""
    if len(text) > most:
        text = f"{text[:most // 2]}\n[... {len(text) - most} characters ...]\n{text[-most // 2:]}"
    return text if not text or text.endswith("\n") else text + "\n"


class Running:
    """A run that has begun."""

    def __init__(self, run):
        self.run = run
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            run.argv, env={**os.environ, **run.env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, cwd="/root")
        self.parts = {"out": [], "err": []}
        self.threads = [
            threading.Thread(target=self._collect, args=(self.process.stdout, "out"), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stderr, "err"), daemon=True)]
        for thread in self.threads:
            thread.start()

    def _collect(self, stream, name):
        while data := stream.read1(65536):
            self.parts[name].append(data)

    def text(self, name="out"):
        """What it has said so far."""
        return b"".join(self.parts[name]).decode(errors="replace")

    def wait_for(self, word, name="out", seconds=60):
        """Waits until it has said a word."""
        deadline = time.monotonic() + seconds
        while word not in self.text(name):
            if self.process.poll() is not None and word not in self.text(name):
                self.end(1)
                raise Failed(f"it ended before it said {word!r} on std{name}")
            if time.monotonic() > deadline:
                self.end(0)
                raise Failed(f"after {seconds} s it has not said {word!r} on std{name}")
            time.sleep(0.02)

    def signal(self, number):
        """Sends a signal to zfsync alone, not to its children."""
        self.process.send_signal(number)

    def end(self, timeout):
        """Waits for its end; one that doesn't come in time is made, and told by a status of None."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.run.status = self.process.wait(PATIENCE * timeout)
        self.run.seconds = time.monotonic() - self.began
        if self.run.status is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        # A child that outlives it may hold its stdout: don't wait for that.
        for thread in self.threads:
            thread.join(2)
        self.run.out, self.run.err = self.text("out"), self.text("err")
        if self.run.status is not None and self.run.status < 0:
            self.run.status = 128 - self.run.status
        return self.run


class Context:
    """One case at work."""

    def __init__(self, function, suffix=""):
        self.name = function.name + suffix
        self.source = f"apool/{self.name}"
        self.target = f"bpool/{self.name}"
        self.alpha, self.beta = ALPHA, BETA
        self.runs = []
        self.shown = [(ALPHA, self.source), (BETA, self.target)]
        self.cleanups = []

    # --- zfsync ---------------------------------------------------------------

    def start(self, *args, source=None, target=None, env=None, argv=None):
        """Starts `zfsync push ARGS SOURCE TARGET`; TARGET is a full one, as beta:bpool/x."""
        source = self.source if source is None else source
        target = f"beta:{self.target}" if target is None else target
        argv = argv or ["zfsync", "push", *args, source, target]
        run = Run(argv, {MARK: self.name, **(env or {})})
        self.runs.append(run)
        return Running(run)

    def push(self, *args, status=0, timeout=150, says=(), **options):
        """Runs it to its end; `says` is what stderr must name, capital or small letters."""
        return self.ended(self.start(*args, **options), status, timeout, says)

    def zfsync(self, *args, status=0, timeout=150, says=(), env=None):
        """Runs another of its commands, with all its arguments; otherwise as push."""
        return self.ended(self.start(argv=["zfsync", *args], env=env), status, timeout, says)

    def ended(self, running, status, timeout, says):
        """Waits for the end of a run, and checks it."""
        run = running.end(timeout)
        if run.status is None:
            raise Failed(f"zfsync did not end within {PATIENCE * timeout} s")
        if run.status != status:
            raise Failed(f"exit status {run.status}, expected {status}")
        self.says(run, *([says] if isinstance(says, str) else says))
        if "panicked" in run.err:
            raise Failed("zfsync panicked")
        return run

    def says(self, run, *words):
        """Each of the words is on stderr."""
        text = " ".join(run.err.lower().split())
        for word in words:
            if " ".join(word.lower().split()) not in text:
                raise Failed(f"stderr does not say {word!r}")

    # --- set-up -----------------------------------------------------------------

    def tree(self, datasets, root=None, volumes=(), host=None):
        """Makes datasets ({path below root: "s1 s2"}) and their snapshots, a round at a time, a file or block new in each.

        The snapshots of a round are taken at once; paths below `volumes` become volumes.
        """
        host, root = host or self.alpha, root or self.source
        script = [VOLUME_DEVICE] if volumes else []
        names = {path: f"{root}/{path}" if path else root for path in datasets}
        for path, name in names.items():
            script.append(f"zfs create -s -V 1M {q(name)}" if path in volumes else f"zfs create {q(name)}")
        lists = {path: snaps.split() if isinstance(snaps, str) else snaps for path, snaps in datasets.items()}
        for number in range(max((len(snaps) for snaps in lists.values()), default=0)):
            wanted = []
            for path, snaps in lists.items():
                if number < len(snaps):
                    wanted.append(q(f"{names[path]}@{snaps[number]}"))
                    script.append(change(names[path], f"round-{number}", path in volumes))
            script.append(f"zfs snapshot {' '.join(wanted)}")
        host("\n".join(script))

    def basic(self, **options):
        """The fixture F0: four datasets, three of them with three snapshots each."""
        self.tree({"": "s1 s2 s3", "foo": "t1 t2 t3", "foo/a": "u1 u2 u3", "foo/b": ""}, **options)

    def snapshot(self, *names, host=None, write=True):
        """Takes one snapshot after the other, each with a new file before it. Names are full (filesystem@snapshot)."""
        script = []
        for name in names:
            dataset, snap = name.split("@")
            if write:
                script.append(change(dataset, f"before-{snap}"))
            script.append(f"zfs snapshot {q(name)}")
        (host or self.alpha)("\n".join(script))

    def script(self, host, name, text):
        """A program of this case on a host; its path."""
        path = f"/var/tmp/zfsync-suite/{self.name}/{name}"
        host(f"mkdir -p {os.path.dirname(path)}\ncat >{path} <<'END-OF-PROGRAM'\n{text}\nEND-OF-PROGRAM\nchmod 755 {path}")
        return path

    def file_pools(self, source="src", target="dst", make=True):
        """A pool of its own on each host, in a file; destroyed at the end. Their names."""
        # Short, as messages have to fit, and not another case's of the same row.
        stem = f"{self.name.split('_')[0]}{zlib.crc32(self.name.encode()) % 1000}"
        pools = []
        for host, name in ((self.alpha, source), (self.beta, target)):
            pool = f"{stem}{name}"
            self.cleanups.append((host, f"zpool destroy -f {pool} || true; rm -f /var/tmp/{pool}.img"))
            self.shown.append((host, pool))
            if make:
                host(f"truncate -s 256M /var/tmp/{pool}.img; zpool create -o cachefile=none {pool} /var/tmp/{pool}.img")
            pools.append(pool)
        return pools

    # --- expectations -------------------------------------------------------------

    def check(self, holds, text):
        """Fails with a text when something doesn't hold."""
        if not holds:
            raise Failed(text)

    def same(self, found, wanted, what):
        """Fails unless both are equal."""
        if found != wanted:
            raise Failed(f"{what}: found {found!r}, expected {wanted!r}")

    def exists(self, host, dataset):
        """Whether there is such a dataset or snapshot."""
        return host.try_run(f"zfs list {q(dataset)}").status == 0

    def snaps(self, host, dataset):
        """The names of one dataset's snapshots, by createtxg."""
        return [name for name, _ in self.versions(host, dataset, depth=1).get("", [])]

    def versions(self, host, root, depth=None):
        """{path: [(snapshot, guid)...]} of a tree, by createtxg; the root's path is ""."""
        recursion = "-r" if depth is None else f"-d {depth}"
        tree = {}
        for row in host.rows(f"zfs list -Hp {recursion} -t filesystem,volume,snapshot -s createtxg -o name,guid {q(root)}"):
            dataset, _, snap = row[0].partition("@")
            versions = tree.setdefault(dataset[len(root) + 1:], [])
            if snap:
                versions.append((snap, row[1]))
        return tree

    def in_sync(self, source=None, target=None, source_host=None, target_host=None, extra=()):
        """Every source dataset that has snapshots has the same ones, by name and guid, on the target; nothing else is there.

        `extra` names target datasets that the source needn't have.
        """
        wanted = self.versions(source_host or self.alpha, source or self.source)
        found = self.versions(target_host or self.beta, target or self.target)
        needed = {path for path, snaps in wanted.items() if snaps}
        above = {path[:end] for path in needed for end in range(len(path)) if path[end] == "/"} | {""}
        for path in sorted(needed | set(found)):
            if path in extra:
                continue
            if path not in found:
                raise Failed(f"the target lacks {path or 'its top'!r}")
            if path not in needed and path not in above:
                raise Failed(f"the target has {path!r}, which nobody asked for")
            have = wanted[path] if path in needed else []
            if found[path] != have:
                raise Failed(f"{path or 'top'!r}: the target's snapshots are {found[path]}, the source's {have}")
        return wanted

    def only(self, *paths, target=None):
        """The target consists of exactly these datasets."""
        self.same(sorted(self.versions(self.beta, target or self.target)), sorted(paths), "the target's datasets")

    def properties(self, host, root, *names, recursive=True):
        """{(path, property): (value, source)}."""
        rows = host.rows(f"zfs get -Hp {'-r' if recursive else ''} -t filesystem,volume -o name,property,value,source"
                         f" {','.join(names)} {q(root)}")
        return {(name[len(root) + 1:], key): (value, source) for name, key, value, source in rows}

    def safe(self, target=None, host=None, new=True, placeholders=()):
        """Nothing of the target is mounted or will be; its top, when this tool made it, is read-only."""
        found = self.properties(host or self.beta, target or self.target,
                                "type", "mounted", "canmount", "readonly", "zfsync:placeholder")
        for (path, key), (value, source) in found.items():
            volume = found[path, "type"][0] == "volume"
            wanted = None
            if key == "mounted" and not volume:
                wanted = "no"
            elif key == "canmount" and not volume:
                wanted = "off" if path in placeholders else "noauto"
            elif key == "readonly":
                wanted = "on" if new else None
            elif key == "zfsync:placeholder":
                wanted = "on" if path in placeholders else "-"
                # A placeholder's mark is inherited by what lies below it, and says nothing there.
                value = value if source == "local" else "-"
            if wanted is not None and value != wanted:
                raise Failed(f"{key} of the target's {path or 'top'!r} is {value!r} ({source}), expected {wanted!r}")
        if new:
            self.same(found["", "readonly"], ("on", "local"), "readonly of the target's top")

    def state(self, *more):
        """All that must not change when nothing may: names, guids, createtxg and every property that somebody set."""
        state = {}
        for host, root in [*self.shown, *more]:
            listed = host.try_run(
                f"zfs list -Hp -t all -r -o name,guid,createtxg,mounted,receive_resume_token,origin {q(root)}\n"
                f"zfs get -Hp -r -s local,received,temporary -o name,property,value,source all {q(root)}")
            # Whether a bookmark of ours still claims that something has arrived is bookkeeping.
            state[host.name, root] = re.sub(r"(#zfsync-[0-9a-f]+)\.", r"\1-", listed.out)
        return state

    @contextlib.contextmanager
    def unchanged(self):
        """Nothing changes on either side meanwhile."""
        before = self.state()
        yield
        after = self.state()
        for (host, root), text in before.items():
            if text != after[host, root]:
                raise Failed(f"{root} on {host} has changed:\n--- before:\n{text}--- after:\n{after[host, root]}")

    def checksums(self, host, snapshot):
        """{file: checksum} of a filesystem's snapshot, mounted for as long as that takes."""
        rows = host.lines(f"""
            place=$(mktemp -d /tmp/suite.XXXXXX); trap 'umount "$place"; rmdir "$place"' EXIT
            mount -t zfs -o ro {q(snapshot)} "$place"; cd "$place"; find . -type f -exec md5sum {{}} + ; cd /""")
        return dict(sorted(line.split("  ", 1)[::-1] for line in rows))

    def volume_checksum(self, host, snapshot):
        """The checksum of a volume's snapshot, read through a clone for as long as that takes."""
        clone = f"{snapshot.split('/')[0]}/clone-of-{self.name}"
        return host(f"""{VOLUME_DEVICE}
            zfs clone -o readonly=on {q(snapshot)} {clone}; trap 'zfs destroy {clone}' EXIT
            path=$(device {clone}); md5sum <"$path" """)

    def no_process_left(self, *hosts, seconds=15):
        """No process that bears this case's mark is alive."""
        for host in hosts or (self.alpha, self.beta):
            host.wait_for("no process of the run is left", f"""
                for file in $(grep -lsa '{MARK}={self.name}' /proc/[0-9]*/environ); do
                    command=$(tr '\\0' ' ' <"${{file%environ}}cmdline") || continue
                    if [ "$command" ]; then echo "$file: $command"; exit 1; fi
                done""", seconds)

    # --- the end ----------------------------------------------------------------

    def clean_up(self):
        """Undoes what would disturb others."""
        for host, script in reversed(self.cleanups):
            with contextlib.suppress(Failed):
                host.try_run(script)

    def report(self):
        """The last runs and what both sides have, for a failure."""
        text = [str(run) for run in self.runs[-2:]]
        for host, root in self.shown:
            try:
                listed = host.try_run(f"zfs list -t all -r -o name,guid,createtxg,type,mounted {q(root)}")
                text.append(f"{host.name}, {root}:\n{cut(listed.out + listed.err)}")
            except Failed as failed:
                text.append(f"{host.name}, {root}: {failed}")
        return "\n".join(text)


def knows(host, name):
    """Whether a host's OpenZFS has a property of this name."""
    return host.try_run(f"zfs get -H {name} {host.pool}").status == 0


def change(dataset, word, volume=False):
    """A script that changes a dataset of the source: a file named `word`, or a block."""
    if volume:
        return f'path=$(device {q(dataset)}); printf %s {q(word)} | dd of="$path" bs=4k conv=notrunc,sync,fsync status=none'
    return f'printf "%s\\n" {q(dataset + " " + word)} >{q("/" + dataset + "/" + word)}'

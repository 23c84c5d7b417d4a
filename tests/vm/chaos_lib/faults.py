"""What can go wrong during a push, and when. A fault strikes once, tells whether there was anything to hit, and is undone."""

import json
import signal
import time
from dataclasses import dataclass, field

# A push that is cut off for good is noticed by ssh after about so long; the options of every push.
KEEP_ALIVE = ["ServerAliveInterval=2", "ServerAliveCountMax=3", "ConnectTimeout=10"]
SENDER = 0, 1, 3
POINTS = ["connected", "planned", "step_started", "step_started", "step_estimated", "progress", "progress", "step_sent",
          "step_done"]


@dataclass
class Moment:
    """When a fault strikes: some time after the start, or after the count-th event of a kind."""

    delay: float
    event: str | None = None
    count: int = 1

    @classmethod
    def draw(cls, rng):
        """A random one; most come with an event, as these are where the interesting borders are."""
        if rng.random() < 0.25:
            return cls(rng.uniform(0.05, 4))
        event = rng.choice(POINTS)
        count = 1 if event in ("connected", "planned") else rng.choice([1, 1, 2, 3])
        return cls(rng.choice([0, 0, rng.uniform(0, 1)]), event, count)

    def __str__(self):
        return f"{f'{self.event} {self.count} ' if self.event else ''}+{self.delay:.2f}s"

    def come(self, guest, push, limit):
        """Follows the push until the moment has come; whether it came before the push's end."""
        if self.event:
            left = self.count

            def is_it(line):
                nonlocal left
                try:
                    left -= json.loads(line).get("event") == self.event
                except ValueError:
                    return False
                return left <= 0

            if not guest.follow(push, limit, is_it):
                return False
        guest.follow(push, self.delay)
        return not push.ended


@dataclass
class World:
    """What a fault can get at."""

    alpha: object
    beta: object
    mark: str  # in the environment of the push and of what it starts here
    room: str  # the dataset above the target, made by the game
    flag: str  # a file's name on beta, for this round
    note: callable = print
    boots: dict = field(default_factory=dict)


class Fault:
    """Nothing goes wrong. The others differ from it."""

    weight = 5
    needs = ()  # options that zfsync must have
    statuses = SENDER  # what the push may end with
    at_once = False  # it is there before the push starts
    slow = False  # it takes long, and --short leaves it out
    kills_sender = False  # ssh's master lives on for a minute, which is known and harmless

    def __init__(self, rng):
        self.rng = rng

    def __str__(self):
        return f"{self.name()} {self.details()}".strip()

    def details(self):
        """What was drawn, in a word."""
        return ""

    @classmethod
    def name(cls):
        """The fault's name in the table."""
        return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).lstrip("-")

    def prepare(self, world):
        """Before the push; options for its command line."""
        return []

    def strike(self, world, push):
        """Now; whether there was anything to hit."""
        return True

    def undo(self, world):
        """After the push's end. Whether it was hit, when only now that is known."""


class NoFault(Fault):
    """The push runs undisturbed."""


class Kill(Fault):
    """SIGKILL for some processes, found by a script that prints their ids."""

    find = host = ""
    number = "KILL"

    def __init__(self, rng):
        super().__init__(rng)
        self.which = rng.choice(["head -n 1", "tail -n 1", "cat"])

    def details(self):
        return {"head -n 1": "first", "tail -n 1": "last", "cat": "all"}[self.which]

    def strike(self, world, push):
        script = (f"export MARK={world.mark}\npids=$({{ {self.find}; }} | {self.which})\n[ \"$pids\" ] || exit 0\n"
                  f"kill -{self.number} $pids 2>/dev/null || true; echo $pids")
        return bool(getattr(world, self.host).run(script).strip())


class SendKill(Kill):
    """zfs send is killed."""

    weight, host, find = 7, "alpha", "pgrep -f '[z]fs send' || true"


class RecvKill(Kill):
    """zfs recv is killed (which the kernel may not notice before the receive is over)."""

    weight, host, find = 7, "beta", "pgrep -f '[z]fs rec' || true"


class HelperKill(Kill):
    """The helper is killed."""

    weight, host, find = 7, "beta", "pgrep -f '^[z]fsync recv --stdio' || true"


class MasterKill(Kill):
    """An ssh master of the push is killed."""

    weight, host = 6, "alpha"
    find = ("for dir in $(grep -lsa \"$MARK\" /proc/[0-9]*/environ | sed 's,/environ$,,'); do"
            " case $(tr '\\0' ' ' <$dir/cmdline) in ssh*) echo ${dir#/proc/} ;; esac; done")


class SshdKill(Kill):
    """The sshd process of the connection is killed on beta."""

    weight, host = 6, "beta"
    find = ("for pid in $(pgrep -f '^[z]fsync recv --stdio'); do while read -r word value; do"
            " if [ \"$word\" = PPid: ]; then echo $value; fi; done </proc/$pid/status; done | sort -u | grep -vx 1 || true")


class RecvStop(Kill):
    """zfs recv stands still, for as long as the push lasts."""

    slow = True
    weight, needs, host, find, number = 5, ("--stall-timeout",), "beta", "pgrep -f '[z]fs rec' || true", "STOP"

    def undo(self, world):
        world.beta.run("pkill -CONT -f '[z]fs rec' || true")


class SenderKill(Fault):
    """zfsync itself is killed."""

    weight, number, statuses, kills_sender = 8, signal.SIGKILL, (*SENDER, -9), True

    def strike(self, world, push):
        world.alpha.signal(self.number)
        return True


class SenderTerm(SenderKill):
    """zfsync gets SIGTERM."""

    weight, number, statuses, kills_sender = 5, signal.SIGTERM, (*SENDER, 143), False


class SenderInt(SenderKill):
    """zfsync gets SIGINT."""

    weight, number, statuses, kills_sender = 5, signal.SIGINT, (*SENDER, 130), False


class LinkBlink(Fault):
    """The network is gone for some seconds."""

    weight = 7

    def __init__(self, rng):
        super().__init__(rng)
        self.seconds = rng.choice([1, 3, 10]) + rng.random()

    def details(self):
        return f"{self.seconds:.0f} s"

    def strike(self, world, push):
        world.alpha.fault("link-off")
        try:
            world.alpha.follow(push, self.seconds)
        finally:
            self.undo(world)
        return True

    def undo(self, world):
        world.alpha.fault("link-on")


class LinkCut(LinkBlink):
    """The network is gone until the push has ended."""

    slow = True
    weight = 5

    def details(self):
        return ""

    def strike(self, world, push):
        world.alpha.fault("link-off")
        return True


class BetaFreeze(Fault):
    """The receiver's machine stands still for some seconds."""

    weight = 6

    def __init__(self, rng):
        super().__init__(rng)
        self.seconds = rng.choice([1, 4, 12]) + rng.random()

    def details(self):
        return f"{self.seconds:.0f} s"

    def strike(self, world, push):
        world.beta.fault("freeze")
        try:
            world.alpha.follow(push, self.seconds)
        finally:
            world.beta.fault("thaw")
        return True


class BetaPower(Fault):
    """The receiver's power fails and comes back."""

    slow = True
    weight = 4

    def strike(self, world, push):
        world.boots["beta"] = world.beta.power_cut()
        return True

    def undo(self, world):
        if "beta" in world.boots:
            world.beta.wait_up(world.boots["beta"])


class AlphaPower(Fault):
    """The sender's power fails and comes back."""

    slow = True
    weight, statuses = 4, (*SENDER, None)

    def strike(self, world, push):
        world.boots["alpha"] = world.alpha.power_cut()
        return True

    def undo(self, world):
        if "alpha" in world.boots:
            world.alpha.wait_up(world.boots["alpha"])


class TargetFull(Fault):
    """The target has too little space: a quota above it, or a pool that is nearly full."""

    weight, at_once = 6, True

    def __init__(self, rng):
        super().__init__(rng)
        self.room = rng.choice([0, 256, 1024, 4096]) * 1024
        self.quota = rng.random() < 0.5

    def details(self):
        return f"{'quota' if self.quota else 'pool'} {self.room // 1024}K"

    def prepare(self, world):
        room = world.room
        if self.quota:
            world.beta.run(f"used=$(zfs get -Hpo value used {room}); zfs set quota=$((used + {self.room} + 65536)) {room}")
        else:
            world.beta.run(f"free=$(zfs get -Hpo value available {room})\n"
                           f"zfs create -o mountpoint=none -o refreservation=$((free - {self.room} - 262144)) bpool/chaos-filler")
        return []

    def undo(self, world):
        world.beta.run(f"zfs set quota=none {world.room}\n"
                       "if zfs list bpool/chaos-filler >/dev/null 2>&1; then zfs destroy bpool/chaos-filler; fi")


class Garble(Fault):
    """One bit of the stream is flipped between ssh and the helper."""

    weight, at_once = 6, True

    def __init__(self, rng):
        super().__init__(rng)
        self.offset = int(2 ** rng.uniform(5, 22))

    def details(self):
        return f"at {self.offset}"

    def prepare(self, world):
        return ["--remote-zfsync", f"python3 /root/chaos_lib/garble.py {world.flag} {self.offset}"]

    def undo(self, world):
        return world.beta.run(f"if [ -e {world.flag} ]; then echo yes; fi").strip() == "yes"


KINDS = [NoFault, SenderKill, SenderTerm, SenderInt, SendKill, RecvKill, RecvStop, HelperKill, MasterKill, SshdKill, LinkBlink,
         LinkCut, BetaFreeze, BetaPower, AlphaPower, TargetFull, Garble]


def draw(rng, options, only=None, short=False):
    """A random fault and its moment. `only` limits the choice by name, `short` to those that don't take long.

    One for which this zfsync lacks an option becomes none, so that a seed means the same for others, as far as can be.
    """
    kinds = [kind for kind in KINDS if (kind.name() in only if only else not (short and kind.slow))]
    kind = rng.choices(kinds, [kind.weight for kind in kinds])[0]
    if not all(option in options for option in kind.needs):
        kind = NoFault
    fault = kind(rng)
    return fault, Moment.draw(rng)


def play(fault, moment, world, start, limit):
    """One push with one fault: (push, whether it hit something while the push ran).

    `start(options)` begins the push; one that has not ended after `limit` seconds is left as it is, not ended.
    """
    push = None
    hit = False
    try:
        options = fault.prepare(world)
        push = start(options)
        if fault.at_once:
            hit = True
        elif type(fault) is not NoFault and moment.come(world.alpha, push, limit):
            world.note(f"{fault} strikes after {time.monotonic() - push.began:.2f} s")
            hit = fault.strike(world, push)
            world.note(f"hit: {hit}, {time.monotonic() - push.began:.2f} s")
            if isinstance(fault, AlphaPower):
                push.ended = push.lost = True
                push.seconds = time.monotonic() - push.began
        world.alpha.follow(push, limit - (time.monotonic() - push.began))
    finally:
        told = fault.undo(world)
    return push, hit if told is None else told

"""The suite the other way round: the source is on beta, the target on alpha, where zfsync runs and pulls."""

import re

from harness import CASES, MARK, Context, case
from hosts import ALPHA, BETA, Host
from tools import PREFIX, RELAY

OTHERS = {"alpha": "beta", "beta": "alpha"}
# What a pull is asked for beyond its operands, whose pools tell which side a dataset is on.
ON_TARGET = ("--replace",)


class Turned(Host):
    """A host for scripts that were written for the other one: what calls itself there by ssh calls the other one here."""

    def __init__(self, host):
        own = re.compile(rf"\bssh {host.name}\b")
        super().__init__(host.name, lambda script, timeout: host._run(own.sub(f"ssh {OTHERS[host.name]}", script), timeout))


class Pull(Context):
    """A case's context with its sides exchanged: `alpha` is where the source is (beta), `beta` where the target is (alpha).

    So what is written for a push can be played as a pull: `push` pulls, and each operand goes where its pool is. What is
    written for a pull says `far` and `near` for the two, and `pull`.
    """

    def __init__(self, c):
        # Runs, cleanups and what is shown stay those of the case.
        self.__dict__.update(c.__dict__)
        self.alpha, self.beta = Turned(BETA), Turned(ALPHA)
        self.far, self.near = self.alpha, self.beta
        self.source, self.target = f"bpool/{self.name}", f"apool/{self.name}"
        self.shown[:] = [(BETA, self.source), (ALPHA, self.target)]
        self.there = ["bpool"]

    def file_pools(self, source="src", target="dst", make=True):
        pools = super().file_pools(source, target, make)
        self.there.append(pools[0])
        return pools

    def place(self, word):
        """An operand as zfsync on alpha has to be given it, whatever host it has in front."""
        plain = re.sub("^(root@)?(alpha|beta):", "", word)
        return f"beta:{plain}" if re.split("[/@#]", plain)[0] in self.there else plain

    def turned(self, words):
        """A command line for the other direction."""
        words = list(words)
        return [word if number and words[number - 1] in ON_TARGET or word.startswith("-") else self.place(word)
                for number, word in enumerate(words)]

    def start(self, *args, source=None, target=None, env=None, argv=None):
        """Starts `zfsync pull ARGS SOURCE TARGET`, both as a push has them; a command line of its own is left as it is."""
        if argv is None:
            argv = self.turned(["zfsync", "pull", *args, self.source if source is None else source, self.target if target is None else target])
        return super().start(argv=argv, env=env)

    def zfsync(self, *args, **options):
        return super().zfsync(*self.turned(args), **options)

    def pull(self, *args, **options):
        """The same as push, under its own name."""
        return self.push(*args, **options)


def source_helper(c, before="", command='exec zfsync "$@"', name="source-helper"):
    """A program for --remote-zfsync on beta, where the source is: does something first, then becomes the helper. Its processes bear the mark."""
    return c.script(BETA, name, f"{PREFIX}export {MARK}={c.name}\n{before}\n{command}")


def pull_case(*rows, **kinds):
    """Registers a function as a case of a pull: its name begins so, and its context is turned round."""

    def register(function):
        def play(c):
            function(Pull(c))

        play.__name__, play.__doc__ = function.__name__, function.__doc__
        return case("PULL", *rows, **kinds)(play)

    return register


def mirrored(function):
    """Registers a case of a push as one of a pull."""

    def play(c):
        function(Pull(c))

    play.__name__, play.__doc__ = function.name, f"As a pull: {function.__doc__}"
    return case("PULL", *function.rows, alone=function.alone, versions=False, long=function.long, variant=True)(play)


def mirror(module, *names):
    """The same for some of a module's cases."""
    known = {one.__name__: one for one in CASES if one.__module__ == module.__name__}
    for name in names:
        mirrored(known[name])


class SourceGate:
    """Stops what the source's helper says after some bytes until it is opened."""

    def __init__(self, c, limit, name="gated-source"):
        self.c, self.place = c, f"/var/tmp/zfsync-suite/{c.name}/gate"
        relay = c.script(BETA, "relay.py", RELAY)
        BETA(f"mkdir -p {self.place}; rm -f {self.place}/*")
        self.args = ["-j", "1", "--remote-zfsync",
                     source_helper(c, command=f'zfsync "$@" | python3 {relay} {limit} {self.place}', name=name)]

    def reached(self, seconds=60):
        """Waits until the stream stands."""
        BETA.wait_for("the stream stands at the gate", f"test -e {self.place}/reached", seconds)

    def open(self):
        """Lets the stream go on."""
        BETA(f"touch {self.place}/go")

    def shut(self):
        """For the next run."""
        BETA(f"rm -f {self.place}/*")

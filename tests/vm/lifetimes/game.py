"""Plays random lifetimes of a tree that is snapshotted, pruned and pushed to two targets, and judges each step.

    tests/vm/run [--engine E] --with tests/vm/suite tests/vm/lifetimes [--rounds N] [--seed S]

Each round something happens to the tree or to a target (writes, snapshots by zfsync and by hand, datasets that come, go and
get other names, holds, a clock that jumps, a source that another tool takes back, a target that gets another name or is destroyed), then
one command of zfsync: push, prune, cron, a push with --delete-missing, a restore, a push from a target to a third one; with a target that
is there, absent, full, or lost in the middle. judge.py says what must hold:
nothing that a rule or a target needs is lost, what is foreign stays, and exit status 0 means that the copy is there, with the same
contents. The first line that is wrong ends the game with exit status 1. The same seed plays the same game.
"""

import argparse
import random
import sys
import time
from pathlib import Path
from shlex import quote as q

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "suite"))

import judge  # noqa: E402
from hosts import ALPHA, BETA  # noqa: E402
from world import Contents, Side, look  # noqa: E402

DAY, HOUR = 86400, 3600
TREE_ROUNDS = 25


class Wrong(Exception):
    """Something that must hold does not."""


class Target:
    """One of the trees that the source goes to."""

    def __init__(self, root):
        self.root = root
        self.bound = set()  # the source's paths that a push to it has planned while it could be reached
        self.foreign = set()  # guids of what its admin has made

    def __str__(self):
        return f"beta:{self.root}"

    def look(self):
        """What it has."""
        return look(BETA, self.root)


class Game:
    """One tree, from its creation to its end, for some rounds."""

    def __init__(self, rng, number):
        self.rng, self.number = rng, number
        self.source = f"apool/life{number}"
        self.targets = [Target(f"bpool/one{number}"), Target(f"bpool/two{number}")]
        self.third = Target(f"bpool/third{number}")  # what the first target goes on to
        self.lost = set()  # guids behind which a dataset of the source went back
        self.past, self.contents, self.log, self.counter, self.offset = set(), Contents(), [], 0, 0
        ALPHA("clock-jump 0")
        ALPHA(f"""zfs create {self.source}; zfs create {self.source}/a; zfs create {self.source}/b
            zfs snapshot -r {self.source}@hand0""")

    def end(self):
        """Leaves nothing behind."""
        ALPHA("clock-jump 0")
        for host, root in [(ALPHA, self.source), *((BETA, target.root) for target in [*self.targets, self.third])]:
            host(f"""zfs list -H -o name {root} >/dev/null 2>&1 || exit 0
                zfs list -H -r -t snapshot -o name {root} | while read -r snap; do
                    zfs holds -H "$snap" | while read -r name tag rest; do zfs release "$tag" "$name"; done; done
                zfs destroy -R {root}""")
        ALPHA("zfs destroy -R apool/back 2>/dev/null || true")

    def note(self, text):
        self.log.append(text)

    def fresh(self, stem):
        self.counter += 1
        return f"{stem}{self.counter}"

    def name(self, path):
        return f"{self.source}/{path}" if path else self.source

    # --- what people and time do --------------------------------------------------------

    def happens(self):
        """Something, and how it is called."""
        deeds = [self.write] * 5 + [self.take] * 6 + [self.by_hand] * 2 + [self.clock] * 4 + [
            self.create, self.remove, self.rename, self.prune_by_hand, self.hold, self.admin, self.rename_target,
            self.go_back, self.go_back, self.lose_target]
        self.rng.choice(deeds)()

    def write(self):
        path = self.rng.choice(sorted(look(ALPHA, self.source).datasets))
        ALPHA(f"head -c {self.rng.randint(1, 60)}K /dev/urandom >/{self.name(path)}/file{self.rng.randint(1, 4)}")

    def take(self):
        """Own snapshots at different times: some classes only come after hours and days."""
        for _ in range(self.rng.randint(1, 3)):
            self.write()
            done = ALPHA.try_run(f"zfsync snapshot -q {self.source}")
            self.note(f"zfsync snapshot: {done.status} {done.err.strip()}")
            self.jump(self.rng.choice([HOUR // 3, HOUR, HOUR + 5, 7 * HOUR, DAY]))

    def jump(self, seconds):
        self.offset += seconds
        ALPHA(f"clock-jump {self.offset:+d}")

    def clock(self):
        seconds = self.rng.choice([HOUR, 6 * HOUR, DAY, 2 * DAY, -HOUR, -DAY, 400 * DAY, -400 * DAY])
        self.note(f"the clock goes {seconds / HOUR:+.0f} h")
        self.jump(seconds)

    def by_hand(self):
        path, snap = self.rng.choice(sorted(look(ALPHA, self.source).datasets)), self.fresh("hand")
        self.note(f"by hand: {path}@{snap}")
        ALPHA(f"zfs snapshot {self.name(path)}@{snap}")

    def create(self):
        path = self.fresh("c")
        self.note(f"create {path}")
        ALPHA(f"zfs create {self.name(path)}; zfs snapshot {self.name(path)}@{self.fresh('first')}")

    def leaf(self):
        paths = [path for path in sorted(look(ALPHA, self.source).datasets) if path]
        return self.rng.choice(paths) if len(paths) > 1 else None

    def remove(self):
        if path := self.leaf():
            self.note(f"destroy {path}")
            ALPHA(f"""zfs list -H -r -t snapshot -o name {self.name(path)} | while read -r snap; do
                zfs holds -H "$snap" | while read -r name tag rest; do zfs release "$tag" "$name"; done; done
                zfs destroy -r {self.name(path)}""")

    def rename(self):
        if path := self.leaf():
            new = self.fresh("r")
            self.note(f"rename {path} to {new}")
            ALPHA(f"zfs rename {self.name(path)} {self.name(new)}")
            for target in self.targets:
                target.bound.discard(path)

    def prune_by_hand(self):
        """An old snapshot goes that all targets have: a person would know."""
        side, there = look(ALPHA, self.source), [target.look() for target in self.targets]
        path = self.rng.choice(sorted(side.datasets))
        old = [snap for snap in side.snaps[path][:-2] if not snap.held and all(snap.guid in one.guids(path) for one in there)
               and not any(one.newest(path) and one.newest(path).guid == snap.guid for one in there)]
        if old:
            snap = self.rng.choice(old)
            self.note(f"by hand: destroy {path}@{snap.name}")
            ALPHA(f"zfs destroy {self.name(path)}@{snap.name}")

    def hold(self):
        side = look(ALPHA, self.source)
        path = self.rng.choice(sorted(side.datasets))
        free = [snap for snap in side.snaps[path] if not snap.held]
        if free:
            snap = self.rng.choice(free)
            self.note(f"hold {path}@{snap.name}")
            ALPHA(f"zfs hold keep {self.name(path)}@{snap.name}")

    def admin(self):
        """The target's admin takes a snapshot of something that has one."""
        target = self.rng.choice(self.targets)
        side = target.look()
        paths = [path for path in sorted(side.datasets) if side.snaps[path]]
        if paths:
            path, snap = self.rng.choice(paths), self.fresh("admin")
            name = f"{target.root}/{path}@{snap}" if path else f"{target.root}@{snap}"
            self.note(f"the admin of {target}: {path}@{snap}")
            target.foreign.add(BETA(f"zfs snapshot {name}; zfs get -Hp -o value guid {name}"))

    def rename_target(self):
        """A target gets another name, and its admin tells the pushes so."""
        target = self.rng.choice(self.targets)
        if target.look().datasets:
            new = f"bpool/{self.fresh('moved')}n{self.number}"
            self.note(f"{target} becomes {new}")
            BETA(f"zfs rename {target.root} {new}")
            target.root = new

    def go_back(self):
        """Another tool takes a dataset of the source back behind its newest snapshots, and on from there: its bookmarks stay."""
        side = look(ALPHA, self.source)
        path = self.rng.choice(sorted(side.datasets))
        snaps = side.snaps[path]
        at = self.rng.randrange(len(snaps)) if snaps else 0
        if len(snaps) - at < 2 or any(snap.held for snap in snaps[at + 1:]) or any(below.startswith(f"{path}/") for below in side.datasets if path):
            return
        name, snap = self.name(path), self.fresh("back")
        self.note(f"{path} goes back to @{snaps[at].name}, and on to @{snap}")
        ALPHA(f"""zfs send {name}@{snaps[at].name} | zfs recv apool/branch; head -c 20K /dev/urandom >/apool/branch/{snap}
            zfs snapshot apool/branch@{snap}; zfs send -i @{snaps[at].name} apool/branch@{snap} | zfs recv -F {name}
            zfs destroy -r apool/branch; zfs mount {name} 2>/dev/null || true""")
        self.lost |= {snap.guid for snap in snaps[at + 1:]}

    def lose_target(self):
        """A target is destroyed; its admin may make an empty one. What zfsync knows of it is wrong until it gets there again."""
        target = self.rng.choice(self.targets)
        if target.look().datasets:
            self.note(f"{target} is destroyed")
            BETA(f"zfs destroy -R {target.root}")
            if self.rng.random() < 0.5:
                BETA(f"zfs create -o readonly=on {target.root}")
            target.bound.clear()
            if target is self.targets[0]:
                self.third.bound.clear()

    # --- what zfsync does -----------------------------------------------------------------

    def plays(self):
        """One command of zfsync, and its judgement."""
        self.rng.choice([self.push] * 5 + [self.prune] * 4 + [self.cron] * 2 + [self.mirror] * 2 + [self.onward] * 2 + [self.restore])()

    def zfsync(self, words, host=ALPHA):
        done = host.try_run(f"zfsync {words}", timeout=300)
        self.note(f"{host.name}$ zfsync {words}\n      exit status {done.status}; {done.out.strip()[-1500:]}\n      {done.err.strip()[-1500:]}")
        if done.status is None or done.status > 4:
            raise Wrong(f"zfsync ended with {done.status}")
        return done

    def sides(self):
        source = look(ALPHA, self.source)
        self.past |= set(source.everywhere())
        return source, [target.look() for target in self.targets]

    def check(self, found):
        if found:
            raise Wrong("\n    ".join(found))

    def fault(self, target):
        """(options, whether it must succeed, what to undo) of a target that isn't always well."""
        kind = self.rng.choice(["fine"] * 4 + ["absent", "full", "lost"])
        self.note(f"{target} is {kind}")
        if kind == "absent":
            return "--retries 0 -o Port=9 -o ConnectTimeout=3", False, None
        if kind == "full":
            if not target.look().datasets:
                return "", True, None
            BETA(f"zpool sync; zfs set quota=$(($(zfs get -Hp -o value used {target.root}) + 20000)) {target.root}")
            return "--retries 0", False, f"zfs set quota=none {target.root}"
        if kind == "lost":
            # The helper's input ends in the middle.
            cut = self.rng.choice([2000, 9000, 40000])
            program = f"sh -c 'stdbuf -o0 head -c {cut} | zfsync recv --stdio'"
            return f"--retries 0 -j 1 --remote-zfsync {q(program)}", False, None
        return "", True, None

    def push(self, extra="", may_follow=False):
        target = self.rng.choice(self.targets)
        before, there = self.sides()
        at, further = self.targets.index(target), self.third.look()
        options, must, undo = self.fault(target)
        done = self.zfsync(f"push -q {options} {extra} {self.source} {target}")
        if undo:
            BETA(undo)
        after, now = self.sides()
        self.check(judge.source_keeps(before, after, False))
        if must or undo:
            target.bound |= set(after.datasets)
        if at == 0:
            self.needed_further(there[0], now[0], further)
        if must and done.status == 1 and judge.diverged(after, now[at], self.lost):
            return self.roll_back(target)
        for number, one in enumerate(self.targets):
            follows = may_follow and number == at and done.status == 0
            self.check(judge.target_keeps(there[number], now[number], False, follows, after, self.past, one.foreign, str(one)))
        if done.status == 0:
            self.check(judge.in_sync(after, now[at], str(target)))
            self.check(self.contents.differing(self.source, after, target.root, now[at]))
            target.bound |= set(after.datasets)
        elif not done.out.strip() and not done.err.strip():
            raise Wrong(f"exit status {done.status} without a word")
        elif must and "--max-delete" in done.err:
            self.check(judge.in_sync(after, now[at], str(target)))
        elif must and not judge.in_sync(after, now[at], str(target)):
            raise Wrong(f"exit status {done.status}, and {target} has all")
        elif must:
            raise Wrong(f"exit status {done.status}, and nothing was in the way")

    def needed_further(self, before, after, further):
        """What the third target needs of the first one; what was destroyed there took along all that told of it."""
        known = {path: snaps for path, snaps in before.snaps.items() if path in self.third.bound and path in after.datasets}
        self.check(judge.needed_by(Side(before.datasets, known, before.bookmarks), after, further, lambda path: True, str(self.third)))

    def roll_back(self, target):
        """What another tool took back at the source is in conflict, and rolled back by whoever wants that."""
        self.zfsync(f"push -q --rollback {self.source} {target}")
        after, now = self.sides()
        side = now[self.targets.index(target)]
        self.check(self.contents.differing(self.source, after, target.root, side))
        for path in after.datasets:
            if not judge.held_up(after, side, path, self.lost):
                self.check(judge.in_sync(after, side, str(target), [path]))

    def onward(self):
        """The first target goes on to a third one, which lags behind between."""
        first, third = self.targets[0], self.third
        if not first.look().datasets:
            return
        before = first.look()
        done = self.zfsync(f"push -q {first.root} {third.root}", BETA)
        after, there = first.look(), third.look()
        self.check(judge.source_keeps(before, after, False))
        third.bound |= set(after.datasets)
        if done.status == 0:
            self.check(judge.in_sync(after, there, third.root))
            self.check(self.contents.differing(first.root, after, third.root, there, BETA))

    def mirror(self):
        self.push(f"--delete-missing {self.rng.choice(['datasets', 'snapshots', 'both'])} --grace {self.rng.choice(['0', '0', '2h'])}"
                  f" --max-delete {self.rng.choice(['100%', '25%'])}", True)

    def rules(self):
        """Random rules, as options and for the judge."""
        rng, words, rules = self.rng, [], {}
        if rng.random() < 0.5:
            rules["periods"] = [(unit, rng.randint(1, 4)) for unit in "hd" if rng.random() < 0.8] or [("h", 2)]
            words.append("--keep " + ",".join(f"{count}{unit}" for unit, count in rules["periods"]))
        if rng.random() < 0.4 or not rules:
            rules["last"] = rng.randint(1, 4)
            words.append(f"--keep-last {rules['last']}")
        return " ".join(words), rules

    def prune(self):
        words, rules = self.rules()
        named = [target for target in self.targets if self.rng.random() < 0.4 and target.look().datasets]
        before, there = self.sides()
        further = self.third.look()
        shown = self.zfsync(f"prune -n {words} {self.source} {' '.join(map(str, named))}")
        same, _ = self.sides()
        self.check(judge.source_keeps(before, same, False))
        done = self.zfsync(f"prune -q {words} {self.source} {' '.join(map(str, named))}")
        now = time_on_alpha()
        after, there_now = self.sides()
        self.pruned(before, after, there, there_now, rules, now, named)
        self.needed_further(there[0], there_now[0], further)
        if done.status != 0 or shown.status != 0:
            raise Wrong(f"exit status {shown.status} and {done.status}, and nothing was in the way")
        # Once more: nothing is left to do.
        self.zfsync(f"prune -q {words} {self.source} {' '.join(map(str, named))}")
        again, _ = self.sides()
        if time_on_alpha() // HOUR == now // HOUR:
            self.check([f"pruned twice, {path}@{snap.name} goes the second time" for path, snap in judge.vanished(after, again)])

    def pruned(self, before, after, there, there_now, rules, now, named):
        """What holds wherever snapshots were pruned."""
        self.check(judge.source_keeps(before, after, True))
        self.check(judge.pruned_rightly(before, after, "the source"))
        self.check(judge.kept_by_rules(before, after, rules, "the source", now))
        for number, one in enumerate(self.targets):
            side, new = there[number], there_now[number]
            self.check(judge.needed_by(before, after, new, lambda path, one=one: path in one.bound or one in named, str(one)))
            self.check(judge.target_keeps(side, new, one in named, False, after, self.past, one.foreign, str(one)))
            if one in named:
                self.check(judge.pruned_rightly(side, new, str(one)))
                self.check(judge.kept_by_rules(side, new, rules, str(one), now))

    def cron(self):
        rng = self.rng
        counts = {letter: rng.randint(1, 4) for letter in judge.CLASSES}
        prune = "--prune-targets" if rng.random() < 0.4 else ""
        before, there = self.sides()
        target, further = rng.choice(self.targets), self.third.look()
        options, must, undo = self.fault(target)
        words = " ".join(f"-{letter.lower()} {count}" for letter, count in counts.items())
        done = self.zfsync(f"cron {words} {prune} {options} {self.source} {' '.join(map(str, self.targets))}")
        if undo:
            BETA(undo)
        after, there_now = self.sides()
        named = self.targets if prune else []
        if must or undo:
            for one in self.targets:
                one.bound |= set(after.datasets)
        self.needed_further(there[0], there_now[0], further)
        self.check(judge.source_keeps(before, after, True))
        self.check(judge.pruned_rightly(before, after, "the source"))
        for number, one in enumerate(self.targets):
            self.check(judge.needed_by(before, after, there_now[number], lambda path, one=one: path in one.bound, str(one)))
            self.check(judge.target_keeps(
                there[number], there_now[number], one in named, False, after, self.past, one.foreign, str(one)))
            if done.status == 0:
                self.check(judge.in_sync(after, there_now[number], str(one)))
                self.check(self.contents.differing(self.source, after, one.root, there_now[number]))
                one.bound |= set(after.datasets)
        if done.status != 0 and must and not any(judge.diverged(after, side, self.lost) for side in there_now):
            raise Wrong(f"exit status {done.status}, and nothing was in the way")

    def restore(self):
        """The copy comes back under another name, with what the copy has."""
        target = self.rng.choice(self.targets)
        there = target.look()
        if not there.snaps.get(""):
            return
        ALPHA("zfs destroy -R apool/back 2>/dev/null || true")
        done = self.zfsync(f"restore {target.root} alpha:apool/back", BETA)
        if done.status != 0:
            raise Wrong(f"exit status {done.status} of a restore, and nothing was in the way")
        back = look(ALPHA, "apool/back")
        self.check([f"restored without {path}" for path in there.datasets if there.snaps[path] and path not in back.datasets])
        self.check([f"restored {path} without {there.newest(path).name}" for path in there.datasets
                    if there.newest(path) and there.newest(path).guid not in back.guids(path)])
        self.check(self.contents.differing("apool/back", back, target.root, there))
        ALPHA("zfs destroy -R apool/back")


def time_on_alpha():
    return int(ALPHA("date +%s"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--without", action="append", default=[], help="a kind of command that isn't played")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} rounds", flush=True)
    for name in options.without:
        setattr(Game, name, Game.push)
    began, game = time.monotonic(), None
    for number in range(options.rounds):
        if number % TREE_ROUNDS == 0:
            if game:
                game.end()
            game = Game(random.Random(f"{options.seed}/{number}"), number // TREE_ROUNDS)
        game.log, start = [*game.log, f"--- round {number}"], time.monotonic()
        try:
            for _ in range(game.rng.randint(1, 3)):
                game.happens()
            game.plays()
        except Wrong as wrong:
            print("\n".join(game.log[-80:]))
            print(f"round {number} FAILED: {wrong}\n(seed {options.seed})")
            return 1
        print(f"round {number:4} {time.monotonic() - start:5.1f} s  {game.log[-1].splitlines()[0][:120]}", flush=True)
    game.end()
    print(f"{options.rounds} rounds in {time.monotonic() - began:.0f} s: all held")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The game itself: rounds of history, one disturbed push, plain pushes until all is in sync, and the judge's word on each."""

import contextlib
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checker
import faults
import history
from bed import VM, Broken, Guest

# A push that takes longer hangs: ssh notices a dead peer within 10 s, the slowest thing here is a boot of the other machine.
LIMIT = 240
PLAIN_PUSHES = 3
# A helper that lost its sender without a word waits 60 s for it to say something; ssh's masters live a minute after a kill of
# the sender (ControlPersist).
HELPERS_END, MASTERS_END = 100, 75
TREE_ROUNDS = 3, 7

PLANTS = {  # what --plant does by hand, so that the judge has to say so: where, how, and a word of what it says then
    "snapshot": ("beta", 'zfs destroy "$(zfs list -H -o name -t snapshot -r {target} | head -n 1)"', "is gone"),
    "foreign": ("beta", "zfs snapshot {target}@foreign", "which the source never had"),
    "hold": ("beta", 'zfs hold keep "$(zfs list -H -o name -t snapshot -r {target} | tail -n 1)"', "is held"),
    "dataset": ("beta", "zfs rename {target} {target}-elsewhere", "the target's dataset '' is gone"),
    "mounted": ("beta", "zfs mount {target}", "is mounted"),
    "source": ("alpha", "zfs set atime=off {source}", "source's property"),
    "process": ("beta", "(bash -c 'exec -a \"zfsync recv --stdio\" sleep 20' >/dev/null 2>&1 &)", "zfsync recv --stdio"),
    "lock": ("alpha", "mkdir -p /run/zfsync; (flock /run/zfsync/planted sleep 20 >/dev/null 2>&1 &)", "is locked"),
}

LEFT = """
n=0
while :; do
    left=$(pgrep -af '^[z]fsync (push|recv)|[z]fs (send|rec)' || true)
    for file in /run/zfsync/*; do
        if [ -f "$file" ] && ! flock -n "$file" true; then left="$left
$file is locked: $(cat "$file")"; fi
    done
    if [ ! "$left" ]; then exit 0; fi
    n=$((n + 1))
    if [ $n -gt %d ]; then echo "$left"; exit 1; fi
    sleep 0.25
done
"""
# A `zfs send -I` whose zfsync was killed holds its snapshots until it finds its pipe closed.
AGAIN = 'again() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 50 ] || return 1; sleep 0.2; done; }'
MARKED = """
for file in $(grep -lsa '%s' /proc/[0-9]*/environ); do
    command=$(tr '\\0' ' ' <"${file%%environ}cmdline") || continue
    if [ "$command" ]; then echo "$file: $command"; fi
done
"""


class Failure(Exception):
    """Something that must hold doesn't."""


class Round:
    """What is told about one round."""

    def __init__(self, number):
        self.number = number
        self.fault = self.moment = None
        self.hit, self.status, self.pushes = False, "", 0
        self.began = time.monotonic()
        self.notes = []
        self.failures = []

    def note(self, text):
        """For the evidence."""
        self.notes.append(f"[{time.monotonic() - self.began:6.2f}] {text}")

    def line(self, seed):
        """The round in one line."""
        end = "ok" if not self.failures else f"FAIL: {self.failures[0].splitlines()[0]}"
        moment = "" if self.fault.at_once else str(self.moment)
        return (f"seed {seed} round {self.number:3} {self.fault!s:22} {moment:24} {'hit ' if self.hit else 'miss'}"
                f" exit {self.status!s:5} then {self.pushes} pushes {time.monotonic() - self.began:5.1f} s  {end}")


class Game:
    """All rounds of one call."""

    def __init__(self, directory, options, log, say):
        self.options, self.log, self.say = options, log, say
        self.alpha, self.beta = (Guest(directory, name) for name in ("alpha", "beta"))
        self.both = ThreadPoolExecutor(2)
        self.tree = None
        self.trees = 0
        self.seen = {}  # guid: checksum that both sides agree on
        self.masters = []  # (mark, when its masters must be gone)
        self.rounds = []
        self.flags = set()
        self.useless_tokens = 0

    # --- asking both sides ----------------------------------------------------------

    def at_once(self, *jobs):
        """Runs functions side by side; their results."""
        return [done.result() for done in [self.both.submit(job) for job in jobs]]

    def inventory(self, guest, root, script="", timeout=300):
        """What a side has, after a script."""
        text = guest.run(f"{script}\necho BEGIN-OF-LISTING\n{checker.listing(root)}", timeout)
        return checker.parse(text.partition("BEGIN-OF-LISTING\n")[2], root)

    def target_now(self):
        """The target's inventory; what it had before must still be there."""
        found = self.inventory(self.beta, self.tree.target)
        self.fail_if(checker.losses(self.target, found))
        self.target = found

    def both_now(self, sends_may_live=False):
        """Both inventories, with the checks that hold at any time."""
        source, target = self.at_once(
            lambda: self.inventory(self.alpha, self.tree.source), lambda: self.inventory(self.beta, self.tree.target))
        if sends_may_live:
            source = checker.without_new_holds(self.source, source)
        self.fail_if(checker.losses(self.target, target) + checker.source_changes(self.source, source)
                     + self.past.strangers(target))
        self.source, self.target = source, target
        self.round.note("both sides are listed")

    def fail_if(self, findings):
        """Ends the round when there is a finding."""
        if findings:
            raise Failure("\n".join(findings))

    # --- zfsync -----------------------------------------------------------------------

    def argv(self, extra=()):
        """The command line of a push."""
        argv = ["zfsync", "push", "--json", "-v"]
        for option in faults.KEEP_ALIVE:
            argv += ["-o", option]
        for option, value in (("--stall-timeout", "20s"), ("--retry-max-wait", "5s"), ("--wait-lock", "100s")):
            if option in self.flags:
                argv += [option, value]
        return [*argv, *extra, self.tree.source, f"beta:{self.tree.target}"]

    def start(self, extra=()):
        """Starts a push of this round."""
        name, _, value = self.mark.partition("=")
        return self.alpha.start(self.argv(extra), {name: value})

    def judge_end(self, push, statuses):
        """A push has to end in time, with a status that the README lists."""
        self.round.note(str(push))
        if not push.ended:
            # What it says later is nobody's business.
            self.alpha.hang_up()
            raise Failure(f"the push did not end within {LIMIT} s")
        if "panicked" in "\n".join(push.err):
            raise Failure("zfsync panicked")
        status = None if push.lost else push.status
        if status not in statuses:
            raise Failure(f"exit status {status}, which isn't among {statuses}")
        self.fail_if(checker.contradictions(status, push.out, push.err))
        return status

    # --- a round ------------------------------------------------------------------------

    def new_tree(self, rng):
        """A new tree takes the place of the last."""
        self.end_tree()
        self.trees += 1
        room = f"c{self.trees}"
        self.tree = history.Tree(f"apool/{room}", f"bpool/{room}/t")
        self.tree.life = rng.randint(*TREE_ROUNDS)
        self.past, self.excused = checker.Past(), set()
        self.source, self.target = checker.Inventory(), checker.Inventory()
        self.beta.run(f"zfs create -o canmount=off bpool/{room}")

    def end_tree(self):
        """Makes room. Whatever still works on it must have been reported before."""
        if self.tree:
            room = self.tree.target.rpartition("/")[0]
            self.at_once(lambda: self.wipe(self.alpha, self.tree.source), lambda: self.wipe(self.beta, room))
            self.tree = None

    def wipe(self, guest, root):
        """Ends what still works there and destroys a tree."""
        guest.run(f"pkill -KILL -f '^[z]fsync (push|recv)|[z]fs (send|rec)' || true\n"
                  f"zfs list -H -o name,userrefs -t snapshot -r {root} | while IFS='\t' read -r name holds; do\n"
                  f" if [ $holds != 0 ]; then zfs holds -H \"$name\" | while IFS='\t' read -r _ tag _; do"
                  f" zfs release \"$tag\" \"$name\"; done; fi; done\n"
                  f"n=0; until zfs destroy -r {root}; do n=$((n + 1)); [ $n -lt 60 ] || exit 1; sleep 0.5; done", 300)

    def change_source(self, script):
        """Plays a piece of history on alpha and remembers what is there now."""
        self.round.note("history:\n  " + "\n  ".join(script))
        from harness import VOLUME_DEVICE
        self.source = self.inventory(self.alpha, self.tree.source, f"{VOLUME_DEVICE}\n{AGAIN}\n" + "\n".join(script))
        self.past.learn(self.source)
        self.round.note("that has happened")

    def play_round(self, number):
        """One round; what was wrong is in its failures."""
        self.round = now = Round(number)
        # Each part has its own stream, so that one decides nothing for another.
        parts = {name: random.Random(f"{self.options.seed}/{number}/{name}") for name in ("tree", "history", "fault", "after")}
        self.mark = f"ZFSYNC_CHAOS=seed{self.options.seed}-round{number}."
        now.fault, now.moment = faults.draw(parts["fault"], self.flags, self.options.only, self.options.short)
        try:
            if self.tree is None or self.tree.rounds >= self.tree.life:
                self.new_tree(parts["tree"])
            self.change_source(history.evolve(self.tree, parts["history"], self.may_prune, self.options.short))
            status = self.disturbed_push()
            if isinstance(now.fault, faults.TargetFull):
                now.hit = status != 0
            self.both_now(sends_may_live=True)
            if status == 0:
                self.fail_if(checker.out_of_sync(self.source, self.target))
            if parts["after"].random() < 0.3 and status != 0:
                self.after(parts["after"])
            self.plain_pushes()
            self.plant(number)
            self.final_check()
        except Failure as failure:
            now.failures.append(f"{self.damaged_pools()}{failure}")
        except Broken as broken:
            now.failures.append(f"the test bed: {broken}")
        self.rounds.append(now)
        now.told = now.line(self.options.seed)
        if now.failures:
            self.evidence()

    def damaged_pools(self):
        """A word about pools that can't be read: then nobody can be blamed."""
        with contextlib.suppress(Broken):
            ask = "zpool status -v | grep -A20 '^errors:'"
            states = self.at_once(lambda: self.alpha.run(ask), lambda: self.beta.run(ask))
            if any("No known data errors" not in state for state in states):
                return f"the test bed: a pool is damaged: {states}\n"
        return ""

    def after(self, rng):
        """Something more happens to the source after the disturbed push."""
        waiting = {path: set(self.source.guids(path)) for path in checker.tokens(self.target) if path in self.source.datasets}
        self.change_source(history.aftermath(self.tree, rng, self.on_target))
        # What was on its way may be gone now.
        self.excused |= {path for path, guids in waiting.items() if guids - set(self.source.guids(path))}

    def may_prune(self, path, snap):
        """Whether the newest common snapshot may go: zfsync has a bookmark of it."""
        guid = self.source.snaps[path, snap].guid
        return self.options.prune_common and any(
            entry.guid == guid and at == path and name.startswith(checker.OWN_BOOKMARK)
            for (at, name), entry in self.source.bookmarks.items())

    def on_target(self, path, snap):
        """Whether the target has this snapshot."""
        return (path, snap) not in self.source.snaps or self.source.snaps[path, snap].guid in self.target.guids(path)

    def disturbed_push(self):
        """The push with the fault; its exit status."""
        now, fault = self.round, self.round.fault
        room = self.tree.target.rpartition("/")[0]
        world = faults.World(self.alpha, self.beta, self.mark, room, f"/run/chaos-garbled-{now.number}", now.note)
        push, now.hit = faults.play(fault, now.moment, world, self.start, LIMIT)
        now.status = "?" if not push.ended else "lost" if push.lost else push.status
        if now.hit and fault.kills_sender:
            self.masters.append((self.mark, time.monotonic() + MASTERS_END))
        return self.judge_end(push, fault.statuses)

    def plain_pushes(self):
        """Undisturbed pushes until one ends with 0."""
        now = self.round
        while now.pushes < PLAIN_PUSHES:
            now.pushes += 1
            push = self.start()
            self.alpha.follow(push, LIMIT)
            status = self.judge_end(push, (0, 1, 3, 4))
            if status == 0:
                return
            self.target_now()
        raise Failure(f"not in sync after {PLAIN_PUSHES} undisturbed pushes; the last one ended with {status}")

    def final_check(self):
        """All that must hold once in sync."""
        self.both_now()
        self.fail_if(checker.out_of_sync(self.source, self.target) + checker.leftovers(self.target, self.excused)
                     + checker.many_bookmarks(self.source))
        self.excused &= checker.tokens(self.target)
        self.useless_tokens += len(self.excused)
        self.compare_contents(self.source.newest().items())
        self.tree.in_sync()
        self.no_process_left()
        if self.tree.rounds >= self.tree.life:
            self.read_all()
        self.masters_gone(wait=False)

    def compare_contents(self, snapshots):
        """Reads snapshots, (path, (name, guid)), on both sides, each only once."""
        snapshots = [(path, *rest) for path, rest in snapshots if rest[1] not in self.seen]
        if not snapshots:
            return
        from harness import VOLUME_DEVICE

        def read(guest, root, inventory):
            jobs = []
            for path, _, guid in snapshots:
                kind, name = inventory.datasets[path].kind, inventory.guids(path)[guid]
                jobs.append((guid, f"{root}/{path}@{name}" if path else f"{root}@{name}", kind))
            return checker.sums(guest.run(checker.reading(VOLUME_DEVICE, jobs), 300))

        here, there = self.at_once(
            lambda: read(self.alpha, self.tree.source, self.source), lambda: read(self.beta, self.tree.target, self.target))
        self.round.note(f"contents of {len(snapshots)} snapshots are read")
        self.fail_if(checker.contents(here, there, {guid: f"{path}@{name}" for path, name, guid in snapshots}))
        self.seen.update(here)

    def read_all(self):
        """At the end of a tree's life: every snapshot that the source still has."""
        self.compare_contents([(path, (name, entry.guid)) for (path, name), entry in self.source.snaps.items()])

    def no_process_left(self):
        """Nothing of zfsync works or holds a lock on either side. ssh's masters: see masters_gone."""
        seconds = 3 if self.round.number <= len(self.options.plant) else HELPERS_END
        script = LEFT % (seconds * 4)
        began = time.monotonic()
        ended = self.at_once(*(lambda guest=guest: guest.try_run(script, HELPERS_END + 60) for guest in (self.alpha, self.beta)))
        self.round.note(f"no process left after {time.monotonic() - began:.1f} s")
        self.fail_if([f"{seconds} s after the push there are still on {guest.name}:\n{out}{err}"
                      for guest, (status, out, err) in zip((self.alpha, self.beta), ended) if status != 0])
        if self.mark not in [mark for mark, _ in self.masters]:
            self.masters.append((self.mark, time.monotonic() + 5))

    def masters_gone(self, wait):
        """Whatever bears the mark of a push is gone: at once, or after ControlPersist's minute where the sender was killed."""
        while due := [entry for entry in self.masters if wait or entry[1] <= time.monotonic()]:
            left = self.alpha.run("".join(MARKED % mark for mark, _ in due)).strip()
            if left and any(deadline > time.monotonic() for _, deadline in due):
                time.sleep(1)
                continue
            self.masters = [entry for entry in self.masters if entry not in due]
            if left:
                raise Failure(f"processes of a push are left on alpha:\n{left}")

    def plant(self, number):
        """A violation by hand (--plant), one in each of the first rounds."""
        if number <= len(self.options.plant):
            host, script, _ = PLANTS[self.options.plant[number - 1]]
            getattr(self, host).run(script.format(target=self.tree.target, source=self.tree.source))

    def expected(self, now):
        """Whether a round went as it should: well, or with the violation that was planted found."""
        if now.number > len(self.options.plant):
            return not now.failures
        return any(PLANTS[self.options.plant[now.number - 1]][2] in text for text in now.failures)

    # --- the end --------------------------------------------------------------------------

    def evidence(self):
        """Writes all that is known about a failed round, and gives the tree up."""
        now = self.round
        parts = [now.told, *now.failures, "", *now.notes]
        for guest, root in ((self.alpha, self.tree and self.tree.source), (self.beta, self.tree and self.tree.target)):
            with contextlib.suppress(Broken):
                text = guest.try_run(
                    f"zfs list -t all -r -o name,guid,createtxg,type,mounted,receive_resume_token,userrefs {root}; "
                    "zpool status -v; ps axfo pid,ppid,lstart,stat,wchan:20,args; ss -tnp; dmesg | tail -n 20; zpool list", 60)
                parts.append(f"--- {guest.name}:\n{text[1]}{text[2]}")
        path = Path(self.log) / f"round-{now.number:03}.txt"
        path.write_text("\n".join(parts) + "\n")
        now.told += f"  ({path})"

    def set_up(self):
        """Prepares the guests, and finds out what zfsync can do."""
        help_text = self.alpha.run("zfsync push --help")
        self.flags = set(re.findall(r"--[a-z][a-z-]+", help_text))
        if self.options.prune_common is None:
            self.options.prune_common = "--no-bookmark" in self.flags

    def play(self):
        """All rounds; whether all went well."""
        self.set_up()
        for number in range(1, self.options.rounds + 1):
            self.play_round(number)
            self.say(self.round.told)
            with open(Path(self.log) / "notes.txt", "a", encoding="utf-8") as notes:
                notes.write("\n".join([f"=== {self.round.told}", *self.round.notes, ""]))
            if self.round.failures:
                # What is wrong with this tree shall not be reported again and again.
                try:
                    self.end_tree()
                except Broken as broken:
                    self.say(f"the game ends here, the guests can't be used any more: {broken}")
                    return False
        return self.finish()

    def finish(self):
        """The last check, and the table."""
        good = all(self.expected(now) for now in self.rounds)
        try:
            self.masters_gone(wait=True)
        except (Failure, Broken) as failure:
            self.say(f"FAIL at the end: {failure}")
            good = False
        return good

    def table(self):
        """What was played, by kind of fault."""
        lines = [f"{'fault':14}{'rounds':>7}{'hit':>5}{'failed':>8}  pushes afterwards (mean)  exit statuses"]
        for kind in faults.KINDS:
            rounds = [now for now in self.rounds if type(now.fault) is kind]
            if rounds:
                statuses = [str(now.status) for now in rounds]
                told = ", ".join(f"{statuses.count(status)} x {status}" for status in sorted(set(statuses)))
                failed = sum(bool(now.failures) for now in rounds)
                lines.append(f"{kind.name():14}{len(rounds):7}{sum(now.hit for now in rounds):5}{failed:8}"
                             f"  {sum(now.pushes for now in rounds) / len(rounds):24.1f}  {told}")
        failed = sum(bool(now.failures) for now in self.rounds)
        hit = sum(now.hit for now in self.rounds)
        lines.append(f"{len(self.rounds)} rounds, {self.trees} trees, {hit} faults hit, {failed} failed,"
                     f" {self.useless_tokens} times a token stayed where nothing had to be sent")
        return "\n".join(lines)


def bed_class(run, options, log, say):
    """tests/vm/run's bed, that plays the game where others run a script."""

    class Bed(run.Bed):
        def run_script(self, _name, _arguments):
            game = Game(self.directory, options, log, say)
            try:
                good = game.play()
            finally:
                if game.rounds:
                    say(game.table())
                for guest in (game.alpha, game.beta):
                    guest.hang_up()
            return 0 if good else 1

    return Bed

"""What happens to a source tree between two pushes: pure, a model of the tree and the script that makes it true.

Names of datasets and snapshots are never used twice in a tree: a name that comes again with other content is a conflict,
which zfsync rightly reports and never solves by itself.
"""

from dataclasses import dataclass, field
from shlex import quote as q

VOLUME_MIB = 16
MOST_DATASETS = 6
KIB = 1024


@dataclass
class Dataset:
    """One dataset of the source."""

    volume: bool = False
    snaps: list = field(default_factory=list)  # oldest first
    common: str | None = None  # the newest that the target has, too
    files: list = field(default_factory=list)


class Tree:
    """A source tree, from its creation to its end."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.datasets = {}
        self.counter = 0
        self.rounds = 0

    def name(self, path):
        """A dataset's full name on the source."""
        return f"{self.source}/{path}" if path else self.source

    def fresh(self, rng, stem):
        """A name that was never used in this tree, now and then with a blank."""
        self.counter += 1
        return f"{stem}{rng.choice(['', '', '-', ' ', '.', '_'])}{self.counter}"

    def in_sync(self):
        """Says that the target has everything now."""
        for dataset in self.datasets.values():
            dataset.common = dataset.snaps[-1] if dataset.snaps else None

    def leaves(self):
        """Datasets without others below."""
        return [path for path in self.datasets if path and not any(other.startswith(path + "/") for other in self.datasets)]


class Round:
    """The script of one round, in parts; each part also changes the model."""

    def __init__(self, tree, rng):
        self.tree, self.rng = tree, rng
        self.script = []

    def create(self, parent=None):
        """A new dataset: a filesystem, or now and then a volume."""
        tree, rng = self.tree, self.rng
        filesystems = [path for path, dataset in tree.datasets.items() if not dataset.volume]
        if not tree.datasets:
            path = ""
        else:
            parent = rng.choice(filesystems) if parent is None else parent
            path = f"{parent}/{tree.fresh(rng, 'd')}".lstrip("/")
        volume = bool(path) and rng.random() < 0.25
        tree.datasets[path] = Dataset(volume)
        options = f"-s -V {VOLUME_MIB}M" if volume else ""
        self.script.append(f"zfs create {options} {q(tree.name(path))}")
        return path

    def write(self, path, kib):
        """New or other content in one dataset."""
        tree, rng = self.tree, self.rng
        dataset, name = tree.datasets[path], q(tree.name(path))
        if dataset.volume:
            kib = min(kib, VOLUME_MIB * KIB // 2)
            at = rng.randrange(0, VOLUME_MIB * KIB - kib + 1, 8)
            # zvol_id has a plus where the name has a blank.
            device = q(tree.name(path).replace(" ", "+"))
            self.script.append(f"path=$(device {device}); head -c {kib}K /dev/urandom |"
                               f" dd of=\"$path\" bs=1k seek={at} conv=notrunc,fsync iflag=fullblock status=none")
            return
        place = "/" + tree.name(path)
        if len(dataset.files) > 4 and rng.random() < 0.5:
            self.script.append(f"rm {q(place + '/' + dataset.files.pop(rng.randrange(len(dataset.files))))}")
        if dataset.files and rng.random() < 0.5:
            file, how = rng.choice(dataset.files), rng.choice([">", ">>"])
        else:
            file, how = tree.fresh(rng, "file"), ">"
            dataset.files.append(file)
        self.script.append(f"head -c {kib}K /dev/urandom {how}{q(place + '/' + file)}")

    def snapshot(self, paths):
        """One snapshot of one dataset, or one of several at once."""
        snap = self.tree.fresh(self.rng, "s")
        for path in paths:
            self.tree.datasets[path].snaps.append(snap)
        self.script.append("zfs snapshot " + " ".join(q(f"{self.tree.name(path)}@{snap}") for path in paths))

    def destroy_snapshot(self, path, snap):
        """One snapshot less."""
        dataset = self.tree.datasets[path]
        dataset.snaps.remove(snap)
        if dataset.common == snap:
            dataset.common = None
        self.script.append(f"again zfs destroy {q(f'{self.tree.name(path)}@{snap}')}")

    def rename_snapshot(self, path, snap):
        """Another name for a snapshot."""
        dataset, name = self.tree.datasets[path], self.tree.name(path)
        new = self.tree.fresh(self.rng, "renamed")
        dataset.snaps[dataset.snaps.index(snap)] = new
        if dataset.common == snap:
            dataset.common = new
        self.script.append(f"zfs rename {q(f'{name}@{snap}')} {q(f'{name}@{new}')}")

    def destroy_dataset(self, path):
        """A leaf less, with its snapshots; the target keeps its copy."""
        del self.tree.datasets[path]
        self.script.append(f"again zfs destroy -r {q(self.tree.name(path))}")

    # --- a round ------------------------------------------------------------------

    def size(self, big):
        """KiB of one write: most are small, some take the link a while."""
        if big:
            return self.rng.randint(20, 40) * KIB
        return self.rng.randint(1, 4) * KIB if self.rng.random() < 0.45 else self.rng.randint(100, 800)

    def steps(self, paths, count, big):
        """Writes with snapshots in between."""
        rng = self.rng
        for number in range(count):
            touched = rng.sample(paths, min(len(paths), rng.randint(1, 2)))
            for path in touched:
                self.write(path, self.size(big and number == 0 and path == touched[0]))
            self.snapshot(touched if rng.random() < 0.7 else list(self.tree.datasets))

    def shrink(self, pruned):
        """Something goes or gets another name: a dataset, an old snapshot, the newest common one."""
        tree, rng = self.tree, self.rng
        # Drawn in any case, so that what follows doesn't depend on what the pushes left.
        # First of all, while the common one still has the name under which it was seen.
        path, prune = rng.choice(list(tree.datasets)), rng.random() < 0.5
        dataset = tree.datasets[path]
        if prune and dataset.common and pruned(path, dataset.common):
            self.destroy_snapshot(path, dataset.common)
            # Without a newer one the source would only have older ones than the target.
            self.write(path, self.size(False))
            self.snapshot([path])
        leaves = tree.leaves()
        if leaves and len(tree.datasets) > 3 and rng.random() < 0.12:
            self.destroy_dataset(rng.choice(leaves))
        every = [(path, snap) for path, dataset in tree.datasets.items() for snap in dataset.snaps]
        if every and rng.random() < 0.45:
            self.rename_snapshot(*rng.choice(every))
        every = [(path, snap) for path, dataset in tree.datasets.items() for snap in dataset.snaps if snap != dataset.common]
        if every and rng.random() < 0.55:
            self.destroy_snapshot(*rng.choice(every))


def evolve(tree, rng, pruned, short=False):
    """Plays one round on the model; the script that does the same on alpha. `short`: nothing big.

    `pruned(path, snap)` tells whether the newest common snapshot may go, because a bookmark of it stays.
    """
    play = Round(tree, rng)
    tree.rounds += 1
    if not tree.datasets:
        play.create()
        for _ in range(rng.randint(2, 3)):
            play.create()
    else:
        if len(tree.datasets) < MOST_DATASETS and rng.random() < 0.3:
            play.create()
        play.shrink(pruned)
    play.steps(list(tree.datasets), rng.randint(1, 3), rng.random() < 0.18 and not short)
    return play.script


def aftermath(tree, rng, on_target):
    """Something more after a push that was disturbed: what it was about to send is gone, has another name, or is not the last.

    `on_target(path, snap)` tells whether the target has got a snapshot by now: what it has as its newest must stay.
    """
    play = Round(tree, rng)
    choice, pick = rng.random(), rng.random()
    waiting = [(path, dataset.snaps[-1]) for path, dataset in tree.datasets.items()
               if len(dataset.snaps) > 1 and not on_target(path, dataset.snaps[-1])]
    if waiting and choice < 0.75:
        path, snap = waiting[int(pick * len(waiting))]
        if choice < 0.5:
            play.destroy_snapshot(path, snap)
        else:
            play.rename_snapshot(path, snap)
    if choice > 0.25:
        play.steps(list(tree.datasets), 1, False)
    return play.script

"""Tests the judge without guests: made-up inventories, with violations planted, each of which it has to name."""

import copy
import random

import checker
import faults
import history
from checker import Entry, Inventory

ROOT = "apool/t"
LISTING = (f"{ROOT}\t1\tfilesystem\tyes\t-\n{ROOT}/a b\t2\tvolume\t-\t-\n{checker.BORDER}\n"
           f"{ROOT}@s 1\t11\t0\t5\n{ROOT}@s2\t12\t0\t9\n{ROOT}/a b@s2\t22\t1\t9\n{ROOT}#mark\t11\t-\t5\n{checker.BORDER}\n"
           f"{ROOT}\treadonly\ton\n")


def sides():
    """A source and a target in sync, and what the source had."""
    source = Inventory(
        {"": Entry("1", mounted="yes"), "k d": Entry("2"), "vol": Entry("3", "volume", "-"), "new": Entry("4")},
        {("", "s1"): Entry("11", txg=5), ("", "s2"): Entry("12", txg=9),
         ("k d", "s2"): Entry("22", txg=9), ("vol", "s2"): Entry("32", txg=9)},
        {("", "foreign"): Entry("11", txg=5)}, {("", "atime"): "on"})
    target = Inventory(
        {"": Entry("101"), "k d": Entry("102"), "vol": Entry("103", "volume", "-")},
        {("", "s1"): Entry("11", txg=50), ("", "s2"): Entry("12", txg=60),
         ("k d", "s2"): Entry("22", txg=61), ("vol", "s2"): Entry("32", txg=62)})
    past = checker.Past()
    past.learn(source)
    return source, target, past


def judged(source, target, past, before):
    """All findings."""
    was_source, was_target = before
    return (checker.losses(was_target, target) + checker.source_changes(was_source, source) + past.strangers(target)
            + checker.out_of_sync(source, target) + checker.leftovers(target) + checker.many_bookmarks(source))


def replaced(entry, **change):
    return Entry(**{**entry.__dict__, **change})


# What is done to (source, target), and the word that has to be in the findings.
PLANTED = {
    "a snapshot is lost": (lambda s, t: t.snaps.pop(("", "s1")), "snapshot @s1 (11) is gone"),
    "a dataset is lost": (lambda s, t: (t.datasets.pop("k d"), t.snaps.pop(("k d", "s2"))), "dataset 'k d' is gone"),
    "a dataset is replaced": (lambda s, t: t.datasets.update({"k d": Entry("999")}), "another one now"),
    "a snapshot is replaced": (lambda s, t: t.snaps.update({("", "s1"): Entry("98", txg=50)}), "@s1 is another one now"),
    "a snapshot is renamed": (lambda s, t: t.snaps.update({("", "x"): t.snaps.pop(("", "s1"))}), "never named so"),
    "a stranger": (lambda s, t: t.snaps.update({("", "y"): Entry("77", txg=70)}), "@y (77), which the source never had"),
    "a strange dataset": (lambda s, t: t.datasets.update({"z": Entry("78")}), "'z', which the source never had"),
    "a token": (lambda s, t: t.datasets.update({"": replaced(t.datasets[""], token="1-abc")}), "resume token"),
    "a mount": (lambda s, t: t.datasets.update({"": replaced(t.datasets[""], mounted="yes")}), "is mounted"),
    "a hold": (lambda s, t: t.snaps.update({("", "s2"): replaced(t.snaps["", "s2"], holds="1")}), "@s2 is held"),
    "a bookmark there": (lambda s, t: t.bookmarks.update({("", "b"): Entry("11")}), "has a bookmark"),
    "the source lost a snapshot": (lambda s, t: s.snaps.pop(("", "s1")), "source's snapshot ('', 's1') has changed"),
    "the source has a new hold": (
        lambda s, t: s.snaps.update({("", "s1"): replaced(s.snaps["", "s1"], holds="1")}), "source's snapshot"),
    "the source lost a bookmark": (lambda s, t: s.bookmarks.clear(), "source's bookmark"),
    "the source has another property": (lambda s, t: s.properties.update({("", "atime"): "off"}), "source's property"),
    "a note below SOURCE": (lambda s, t: s.properties.update({("k d", "zfsync:target-0a1b"): "{}"}), "source's property"),
    "another note on SOURCE": (lambda s, t: s.properties.update({("", "zfsync:other"): "x"}), "source's property"),
    "the source is unmounted": (lambda s, t: s.datasets.update({"": replaced(s.datasets[""], mounted="no")}), "source's dataset"),
    "two own bookmarks": (
        lambda s, t: s.bookmarks.update({("", f"zfsync-0a1b2c3d-{n}"): Entry("12") for n in "ab"}), "2 bookmarks of zfsync"),
    "a wrong kind": (lambda s, t: t.datasets.update({"vol": Entry("103")}), "'vol' is a volume on the source"),
    "a wrong order": (lambda s, t: t.snaps.update({("", "s1"): Entry("11", txg=65)}), "another order"),
}
# What is no violation.
HARMLESS = {
    "nothing": lambda s, t: None,
    "a note of a target": lambda s, t: s.properties.update({("", "zfsync:target-0a1b"): "{}"}),
    "an own bookmark": lambda s, t: s.bookmarks.update({("", "zfsync-0a1b2c3d-s2"): Entry("12")}),
}


def test_planted():
    """Each violation is found, and nothing is found where there is none."""
    for what, (plant, word) in PLANTED.items():
        source, target, past = sides()
        before = copy.deepcopy((source, target))
        plant(source, target)
        found = judged(source, target, past, before)
        assert any(word in text for text in found), f"{what}: {word!r} is not in {found}"
    for what, plant in HARMLESS.items():
        source, target, past = sides()
        before = copy.deepcopy((source, target))
        plant(source, target)
        assert not (found := judged(source, target, past, before)), f"{what}: {found}"


def test_sync():
    """What the source got since must have arrived, in whichever dataset."""
    for key, entry in (("new", "n1"), Entry("41", txg=20)), (("", "s3"), Entry("13", txg=20)):
        source, target, _ = sides()
        source.snaps[key] = entry
        assert len(checker.out_of_sync(source, target)) == 1, key
        target.datasets.setdefault(key[0], Entry("104"))
        target.snaps[key] = replaced(entry, txg=90)
        assert not checker.out_of_sync(source, target), key


def test_rest_of_a_cut_receive():
    """A cut first receive may go away, but nothing that has a snapshot."""
    before = Inventory({"": Entry("1"), "a": Entry("2", token="1-x"), "b": Entry("3", token="1-y")}, {("b", "s"): Entry("31")})
    after = Inventory({"": Entry("1")})
    assert checker.losses(before, after) == ["the target's dataset 'b' is gone", "the target's snapshot b@s (31) is gone"]


def test_renamed():
    """A snapshot that was renamed on the source keeps its old name on the target, and no other."""
    source, target, past = sides()
    source.snaps["", "new name"] = source.snaps.pop(("", "s2"))
    past.learn(source)
    assert not past.strangers(target) and not checker.out_of_sync(source, target)


def test_sends_that_end():
    """Right after a sender was killed its zfs send may still hold something; that hides nothing else, and counts later on."""
    source, _, _ = sides()
    after = copy.deepcopy(source)
    after.snaps["", "s1"] = replaced(after.snaps["", "s1"], holds="1")
    assert checker.source_changes(source, copy.deepcopy(after)), "a hold that stays"
    assert not checker.source_changes(source, checker.without_new_holds(source, copy.deepcopy(after)))
    after.snaps["", "s1"] = replaced(after.snaps["", "s1"], guid="99")
    assert checker.source_changes(source, checker.without_new_holds(source, after)), "another snapshot"


def test_parse():
    """Names with blanks, holds, bookmarks, no tree at all."""
    found = checker.parse(LISTING, ROOT)
    assert found.datasets == {"": Entry("1", mounted="yes"), "a b": Entry("2", "volume", "-")}, found.datasets
    assert found.guids("") == {"11": "s 1", "12": "s2"} and found.newest()["a b"] == ("s2", "22")
    assert found.snaps["a b", "s2"].holds == "1" and list(found.bookmarks) == [("", "mark")]
    assert found.properties == {("", "readonly"): "on"}
    assert checker.parse("", ROOT) == Inventory()


def test_contents():
    """Different and missing checksums."""
    names = {"1": "a@1", "2": "a@2", "3": "a@3"}
    found = checker.contents({"1": "x", "2": "y", "3": "z"}, {"1": "x", "2": "Y"}, names)
    assert found == ["a@2: the content on the target differs", "a@3: not read on the target"], found
    assert checker.sums("11 abc  -\n12 unread\n") == {"11": "abc", "12": "unread"}


def test_contradictions():
    """An exit status needs the words that go with it."""
    good = '{"event": "finished", "failed": 0, "failures": [], "interrupted": false}'
    bad = '{"event": "finished", "failed": 1, "failures": [["a", "b"]], "interrupted": false}'
    for status, out, err, wanted in ((0, [good], [], 0), (0, [], [], 1), (0, [bad], [], 1), (1, [bad], [], 0), (1, [good], [], 1),
                                     (1, [], ["zfsync: error: x"], 0), (3, [], [], 0), (-9, ['{"eve'], [], 0)):
        assert len(checker.contradictions(status, out, err)) == wanted, (status, out, err)


def test_history():
    """The same seed plays the same, no name comes twice, the newest common snapshot stays unless it may go."""
    def play(seed, pruned):
        tree, scripts = history.Tree("apool/x", "bpool/x"), []
        for number in range(30):
            common = {path: dataset.common for path, dataset in tree.datasets.items()}
            scripts.append(history.evolve(tree, random.Random(f"{seed}/{number}"), pruned))
            for path, dataset in tree.datasets.items():
                kept = dataset.common is not None and dataset.common in dataset.snaps
                assert kept or not common.get(path) or pruned(path, common[path]), (seed, number, path)
            tree.in_sync()
        return scripts

    for seed in range(20):
        scripts = play(seed, lambda path, snap: False)
        assert scripts == play(seed, lambda path, snap: False)
        lines = [line for script in scripts for line in script]
        made = [line for line in lines if line.startswith(("zfs create", "zfs snapshot", "zfs rename"))]
        assert len(set(made)) == len(made) and any("zfs destroy" in line for line in lines)
        play(seed, lambda path, snap: True)


def test_faults():
    """Every kind can be drawn, what zfsync lacks an option for is not, and names are what they look like."""
    drawn = [faults.draw(random.Random(seed), {"--stall-timeout"}) for seed in range(2000)]
    assert {type(fault) for fault, _ in drawn} == set(faults.KINDS)
    assert not any(isinstance(faults.draw(random.Random(seed), set())[0], faults.RecvStop) for seed in range(500))
    assert {str(faults.draw(random.Random(seed), set(), ["link-cut"])[0]) for seed in range(9)} == {"link-cut"}


def main():
    tests = [function for name, function in globals().items() if name.startswith("test_")]
    for test in tests:
        test()
        print(f"ok {test.__name__.removeprefix('test_')}")
    return 0

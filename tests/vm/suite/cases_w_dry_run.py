"""A dry run tells the truth: what -n shows is what the run does then, losses included."""

from harness import case, q
from cases_u_encryption import PHRASE, encrypted_source, key_options

# What a row of a plan comes to.
SENDS = ("full", "incremental", "resume")
DESTROYS = ("rollback", "set_aside", "replace", "destroy")


def shown(c, *flags, target=None, status=0):
    """What -n says, having changed nothing: the rows of each dataset."""
    with c.unchanged():
        run = c.push("-n", "--json", *flags, target=target, status=status)
    return run.of("plan")[0]["rows"]



def done(c, *flags, target=None, status=0):
    """The run itself: what it has sent, which datasets failed and how, and all that it said."""
    run = c.push("--json", *flags, target=target, status=status)
    began = {event["step"]: event for event in run.of("step_started")}
    through = [began[event["step"]] for event in run.of("step_done")]
    sent = sorted((event["dataset"], event["from"] or "", event["to"].lstrip("@")) for event in through)
    failed = {event["dataset"]: event["kind"] for event in run.of("dataset_failed")}
    return run, sent, failed


def tells_the_truth(c, *flags, target=None, status=0):
    """A dry run, then the run: the same steps, the same datasets that fail, and the same exit code. Gives both."""
    rows = shown(c, *flags, target=target, status=status)
    run, sent, failed = done(c, *flags, target=target, status=status)
    told = sorted((row["dataset"], row["from"] or "", row["to"].lstrip("@")) for row in rows if row["action"] in SENDS)
    c.same(told, sent, f"with {flags}: what -n said would be sent, and what was")
    kinds = {"conflict": "conflict", "fails": "failed"}
    told = {row["dataset"]: kinds[row["action"]] for row in rows if row["action"] in kinds}
    c.same(told, failed, f"with {flags}: what -n said would fail, and what did")
    return rows, run


def actions(rows, dataset):
    """What is shown for one dataset, in order."""
    return [row["action"] for row in rows if row["dataset"] == dataset]


def write(c, path="", snap=None):
    """Somebody uses the target."""
    name = f"{c.target}/{path}" if path else c.target
    take = f"zfs snapshot {q(f'{name}@{snap}')};" if snap else ""
    c.beta(f"zfs set readonly=off {name}; zfs mount {name}; echo mine >/{name}/mine; {take} zfs unmount {name}; zfs set readonly=on {name}")


def grown(c):
    """A tree that has diverged in one dataset, was written to in another, has an own snapshot without data in a third, and goes on."""
    c.tree({"": "s1", "diverged": "s1", "written": "s1", "own": "s1", "fine": "s1", "still": "s1"})
    c.push()
    write(c, "diverged", snap="mine")
    write(c, "written")
    c.beta(f"zfs snapshot {c.target}/own@mine")
    c.snapshot(*(f"{c.source}/{path}@s2" for path in ("diverged", "written", "own", "fine")))


@case("DRY")
def without_flags(c):
    """Diverged and written-to targets are conflicts in a dry run as in the run; an own snapshot that changed nothing is none."""
    grown(c)
    rows, _ = tells_the_truth(c, status=1)
    for path, action in (("diverged", "conflict"), ("written", "conflict"), ("own", "incremental"), ("fine", "incremental"), ("still", "in_sync")):
        c.same(actions(rows, f"{c.source}/{path}"), [action], f"what is shown of {path}")


@case("DRY")
def just_written(c):
    """What was written to a mounted target a moment ago counts, though no transaction group with it is stored yet."""
    c.tree({"": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2")
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; zpool sync {c.target.split('/')[0]}; echo mine >/{c.target}/mine")
    run = c.push("-n", "--json", "--rollback")
    c.same(actions(run.of("plan")[0]["rows"], c.source), ["rollback", "incremental"], "what is shown with --rollback")
    c.beta(f"zfs unmount {c.target}; zfs rollback {c.target}@s1; zfs mount {c.target}; zpool sync {c.target.split('/')[0]}; echo mine >/{c.target}/mine")
    run = c.push("-n", "--json", status=1)
    c.same(actions(run.of("plan")[0]["rows"], c.source), ["conflict"], "what is shown")


@case("DRY")
def rollback(c):
    """-n --rollback shows what goes back and what that loses, and the run loses just that."""
    grown(c)
    before = set(c.beta.lines(f"zfs list -H -r -t snapshot -o name {c.target}"))
    rows, run = tells_the_truth(c, "--rollback")
    for path, loses in (("diverged", "@mine"), ("written", "what was written there since @s1")):
        c.same(actions(rows, f"{c.source}/{path}"), ["rollback", "incremental"], f"what is shown of {path}")
        note = next(row["note"] for row in rows if row["dataset"] == f"{c.source}/{path}" and row["note"])
        c.check(loses in note, f"the loss isn't shown: {note}")
        c.check(note in [event.get("text") for event in run.of("notice")], f"the run says something else than {note!r}")
    c.same(actions(rows, f"{c.source}/own"), ["incremental"], "what is shown of an own snapshot that changed nothing")
    after = set(c.beta.lines(f"zfs list -H -r -t snapshot -o name {c.target}"))
    c.same(sorted(before - after), [f"{c.target}/diverged@mine"], "what is gone")
    for path in ("diverged", "written", "fine"):
        c.same(c.snaps(c.beta, f"{c.target}/{path}"), ["s1", "s2"], f"the snapshots of {path}")


@case("DRY")
def held_and_cloned(c):
    """What would have to go is held, or has clones: -n --rollback and -n --replace say so and fail, as the run does; nothing is touched."""
    c.tree({"": "s1", "held": "s1", "cloned": "s1", "free": "s1"})
    c.push()
    for path in ("held", "cloned", "free"):
        write(c, path, snap="mine")
    c.beta(f"zfs hold keep {c.target}/held@mine; zfs clone -o canmount=off {c.target}/cloned@mine {c.target}-clone")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}/held@mine || true; zfs destroy {c.target}-clone || true"))
    c.snapshot(*(f"{c.source}/{path}@s2" for path in ("held", "cloned", "free")))
    named = [flag for path in ("held", "cloned") for flag in ("--replace", f"{c.target}/{path}")]
    for flags in (("--rollback",), named):
        rows, _ = tells_the_truth(c, *flags, status=1)
        for path, words in (("held", "is held by keep"), ("cloned", "has clones")):
            c.same(actions(rows, f"{c.source}/{path}"), ["conflict"], f"what is shown of {path} with {flags}")
            note = next(row["note"] for row in rows if row["dataset"] == f"{c.source}/{path}")
            c.check(words in note, f"the reason isn't shown: {note}")
            c.same(c.snaps(c.beta, f"{c.target}/{path}"), ["s1", "mine"], f"the snapshots of {path}")
    c.same(c.snaps(c.beta, f"{c.target}/free"), ["s1", "s2"], "the snapshots of what nothing pins")


@case("DRY")
def replace(c):
    """-n --replace shows what is destroyed, and the run destroys just that."""
    grown(c)
    named = f"{c.target}/diverged"
    rows, _ = tells_the_truth(c, "--replace", named, status=1)
    c.same(actions(rows, f"{c.source}/diverged"), ["replace", "full", "incremental"], "what is shown of what was named")
    c.same(actions(rows, f"{c.source}/written"), ["conflict"], "what is shown of what was not named")
    c.same(c.snaps(c.beta, named), ["s1", "s2"], "the snapshots of what was replaced")


@case("DRY")
def set_aside(c):
    """-n --set-aside shows what is renamed, and the run renames just that."""
    grown(c)
    rows, _ = tells_the_truth(c, "--set-aside")
    aside = [row["dataset"] for row in rows if row["action"] == "set_aside"]
    c.same(sorted(aside), [f"{c.source}/diverged", f"{c.source}/written"], "what a dry run sets aside")
    names = c.beta.lines(f"zfs list -H -r -o name {c.target} | grep '[.]zfsync-'")
    c.same(sorted(name.split(".zfsync-")[0] for name in names), [f"{c.target}/diverged", f"{c.target}/written"], "what was set aside")


@case("DRY")
def delete_missing(c):
    """-n --delete-missing: beside a diverged dataset nothing goes, in either; with that left out what goes is shown, and that is what the run does."""
    grown(c)
    c.tree({"gone": "s1"})
    c.push(status=1)
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs destroy {c.source}/fine@s1")
    c.snapshot(f"{c.source}/fine@s3")
    flags = ("--delete-missing", "both", "--grace", "0")
    rows, _ = tells_the_truth(c, *flags, status=1)
    c.same([row["target"] for row in rows if row["action"] == "destroy"], [], "what goes beside a conflict")
    c.same(actions(rows, f"{c.source}/diverged"), ["conflict"], "what is shown of the diverged one")
    for name in (f"{c.target}/fine@s1", f"{c.target}/gone"):
        c.check(c.exists(c.beta, name), f"{name} is gone")
    rows, _ = tells_the_truth(c, *flags, "--exclude", "diverged", "--exclude", "written")
    goes = sorted(row["target"] for row in rows if row["action"] == "destroy")
    c.same(goes, [f"{c.target}/fine@s1", f"{c.target}/gone"], "what a dry run destroys")
    for name in goes:
        c.check(not c.exists(c.beta, name), f"{name} is still there")
    c.check(c.exists(c.beta, f"{c.target}/diverged@mine"), "the diverged one's own snapshot is gone")


@case("DRY")
def set_aside_and_delete_missing(c):
    """-n --set-aside --delete-missing: what comes back has all snapshots up to the common one, and those that are missing go; what is only in what is set aside stays there."""
    c.tree({"": "s1", "a": "s0 s1", "a/kid": "s0 s1", "a/gone": "s1", "gone": "s1"})
    flags = ("--delete-missing", "both", "--grace", "0", "--max-delete", "100%")
    c.push(*flags)
    write(c, "a", snap="mine")
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs destroy -r {c.source}/a/gone; zfs destroy {c.source}/a@s0; zfs destroy {c.source}/a/kid@s0")
    c.snapshot(f"{c.source}/a@s2")
    before = set(c.beta.lines(f"zfs list -H -r -t all -o name {c.target}"))
    rows, _ = tells_the_truth(c, "--set-aside", *flags)
    goes = sorted(row["target"] for row in rows if row["action"] == "destroy")
    c.same(goes, [f"{c.target}/a/kid@s0", f"{c.target}/a@s0", f"{c.target}/gone"], "what a dry run destroys")
    after = c.beta.lines(f"zfs list -H -r -t all -o name {c.target}")
    for name in goes:
        c.check(name in before and name not in after, f"{name} is still there")
    aside = sorted(name.split(".zfsync-")[1][15:] for name in after if ".zfsync-" in name)
    c.same(aside, ["", "/gone", "/gone@s1", "/kid", "@mine"], "what was set aside")
    stays = sorted(row["target"].split(".zfsync-")[1][15:] for row in rows if row["action"] == "stays")
    c.same(stays, ["", "/gone", "/kid"], "what stays by a dry run")


@case("DRY", "ENC")
def key_not_loaded(c):
    """The target's key isn't loaded: -n says so, with every flag, and shows nothing that would be destroyed."""
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}")
    c.tree({"": "s1", "kid": "s1"})
    target = f"{c.target}/in"
    c.push(target=f"beta:{target}")
    c.beta(f"zfs set readonly=off {target}; zfs mount {target}; echo mine >/{target}/mine; zfs snapshot {target}@own; zfs unmount {target};"
           f" zfs unmount {c.target}; zfs unload-key {c.target}")
    c.snapshot(f"{c.source}@s2", f"{c.source}/kid@s2")
    for flags in ((), ("--rollback",), ("--set-aside",), ("--replace", target)):
        rows, _ = tells_the_truth(c, *flags, target=f"beta:{target}", status=1)
        c.same({row["action"] for row in rows}, {"fails"}, f"what is shown with {flags}")
        c.check(f"zfs load-key '{c.target}'" in rows[0]["note"], f"the key to load isn't named: {rows[0]['note']}")
    c.same(c.snaps(c.beta, target), ["s1", "own"], "the target's snapshots")


@case("DRY", "ENC")
def encryption_that_does_not_fit(c):
    """Raw onto a plain copy, raw on top of a decrypted increment, raw into an empty filesystem: conflicts in a dry run as in the run."""
    encrypted_source(c)
    c.push("--decrypt")
    c.snapshot(f"{c.source}@s2")
    rows, _ = tells_the_truth(c, status=1)
    c.check("encryption of source and target" in rows[0]["note"], f"the conflict is another one: {rows[0]['note']}")
    c.beta(f"zfs destroy -r {c.target}; zfs create {c.target}")
    rows, _ = tells_the_truth(c, status=1)
    c.check("one of them is encrypted" in rows[0]["note"], f"the conflict is another one: {rows[0]['note']}")
    c.beta(f"zfs destroy {c.target}")
    tells_the_truth(c)
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    c.snapshot(f"{c.source}@s3")
    tells_the_truth(c, "--decrypt")
    c.snapshot(f"{c.source}@s4")
    rows, _ = tells_the_truth(c, status=1)
    c.check("decrypted increment" in rows[0]["note"], f"the conflict is another one: {rows[0]['note']}")


@case("DRY", "ENC")
def own_snapshot_on_a_raw_copy(c):
    """A raw copy with a snapshot of its own that changed nothing: raw increments don't fit, and a dry run knows."""
    encrypted_source(c)
    c.push()
    c.beta(f"zfs snapshot {c.target}@own")
    c.snapshot(f"{c.source}@s2")
    rows, _ = tells_the_truth(c, status=1)
    c.same(actions(rows, c.source), ["conflict"], "what is shown")
    rows, _ = tells_the_truth(c, "--rollback")
    c.same(actions(rows, c.source), ["rollback", "incremental"], "what is shown with --rollback")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2"], "the target's snapshots")


@case("DRY", "ENC")
def target_is_an_encryption_root(c):
    """A plain stream and a target that is an encryption root: no flag shows, or does, anything that stores it in plaintext."""
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}")
    c.tree({"": "s1"})
    for flags in ((), ("--set-aside",), ("--replace", c.target)):
        rows, _ = tells_the_truth(c, *flags, status=1)
        c.same(actions(rows, c.source), ["conflict"], f"what is shown with {flags}")
    tells_the_truth(c, target=f"beta:{c.target}/below")


@case("DRY", "ENC")
def replace_with_something_below(c):
    """--replace of a plain copy by a raw one: with a dataset below it nothing could be received into what would be left, so nothing is destroyed."""
    encrypted_source(c)
    c.push("--decrypt")
    c.beta(f"zfs create -o canmount=off {c.target}/other")
    c.snapshot(f"{c.source}@s2")
    c.push("--replace", c.target, status=1, says="has datasets below it")
    c.same(c.snaps(c.beta, c.target), ["s1"], "the target's snapshots")
    c.beta(f"zfs destroy {c.target}/other")
    rows, _ = tells_the_truth(c, "--replace", c.target)
    c.same(actions(rows, c.source), ["replace", "full", "incremental"], "what is shown")
    c.in_sync()


@case("DRY")
def refused_and_delete_missing(c):
    """-n with a resolution that the target's host refuses: the dataset stays in conflict, so nothing goes, and no loss is shown."""
    c.tree({"": "s1", "held": "s1", "gone": "s1"})
    flags = ("--delete-missing", "both", "--grace", "0", "--max-delete", "100%")
    c.push(*flags)
    write(c, "held", snap="mine")
    c.beta(f"zfs hold keep {c.target}/held@mine")
    c.cleanups.append((c.beta, f"zfs release keep {c.target}/held@mine || true"))
    c.alpha(f"zfs destroy -r {c.source}/gone")
    c.snapshot(f"{c.source}/held@s2")
    rows, _ = tells_the_truth(c, "--rollback", *flags, status=1)
    c.same([row["target"] for row in rows if row["action"] == "destroy"], [], "what a dry run destroys")
    c.check(c.exists(c.beta, f"{c.target}/gone"), "what is missing is gone")

"""What a target lacks stays on SOURCE until the target has it, whatever it is that keeps it from coming (rows H10, R05, R06)."""

import signal

from cases_h_bookmarks import guid, marks, own
from harness import case
from tools import Gate, pids

KEEP = ("--keep-last", "1", "--foreign")


def grow(c, *snaps):
    """Two megabytes before each snapshot."""
    c.alpha("\n".join(f"head -c 2M /dev/urandom >/{c.source}/{snap}; zfs snapshot {c.source}@{snap}" for snap in snaps))


def pruned(c, stay, *args):
    """Prunes SOURCE, where no rule keeps more than one; the target is not asked, unless it is named."""
    c.zfsync("prune", *KEEP, *args, c.source)
    c.same(c.snaps(c.alpha, c.source), stay, "what is left on SOURCE")


def comes(c):
    """Then all arrives, with its content, and nothing is needed any more."""
    c.push()
    newest = c.snaps(c.alpha, c.source)[-1]
    c.same(guid(c, f"{c.target}@{newest}", c.beta), guid(c, f"{c.source}@{newest}"), "the target's newest snapshot")
    c.same(c.checksums(c.beta, f"{c.target}@{newest}"), c.checksums(c.alpha, f"{c.source}@{newest}"), "its content")
    c.same(set(own(c).values()), {guid(c, f"{c.source}@{newest}")}, "what the bookmarks are of")
    pruned(c, [newest])


@case("H10", "R05")
def needed_by_a_full_target(c):
    """A target that is full gets nothing more, run after run: all that it lacks stays."""
    c.tree({"": "s1"})
    c.push()
    c.beta(f"zfs set quota=1M {c.target}")
    for number in (2, 4):
        grow(c, f"s{number}", f"s{number + 1}")
        c.push(status=1, says="free space on the target")
        pruned(c, [f"s{at}" for at in range(1, number + 2)])
    c.beta(f"zfs set quota=none {c.target}")
    comes(c)


@case("H10", "R05")
def needed_by_a_slow_target(c):
    """While a first run is under way, and while an increment is, nothing goes that is not there yet."""
    c.tree({"": ""})
    grow(c, "s1", "s2", "s3")
    gate = Gate(c, 1 << 20)
    for stay, more in ((["s1", "s2", "s3"], ["s4", "s5"]), (["s3", "s4", "s5"], ["s6"])):
        running = c.start(*gate.args)
        gate.reached()
        pruned(c, stay)
        gate.open()
        c.ended(running, 0, 150, ())
        gate.shut()
        pruned(c, stay[-1:])
        grow(c, *more)
    comes(c)


@case("H10", "R05")
def needed_by_an_absent_target(c):
    """A target that can't be reached needs all since it was last there; its helper ends before it greets."""
    c.tree({"": "s1"})
    c.push()
    for number in (2, 3):
        grow(c, f"s{number}")
        c.push("--remote-zfsync", "false", "--retries", "0", status=3)
    pruned(c, ["s1", "s2", "s3"])
    comes(c)


@case("H10", "R05", alone=True)
def needed_by_a_half_received_target(c):
    """The sender is killed in the middle of a first stream, and of an increment: what lies there in part has not arrived."""
    c.tree({"": ""})
    grow(c, "s1", "s2")
    gate = Gate(c, 1 << 20)
    for stay, more in ((["s1", "s2"], ["s3", "s4"]), (["s2", "s3", "s4"], ["s5"])):
        running = c.start(*gate.args)
        gate.reached()
        running.signal(signal.SIGKILL)
        running.end(10)
        gate.open()
        c.beta(f"kill -9 {' '.join(pids(c, c.beta, 'zfsync recv --stdio'))} || true")
        gate.shut()
        pruned(c, stay)
        c.push("--wait-lock", "90s")
        pruned(c, stay[-1:])
        grow(c, *more)
    comes(c)


@case("H10", "R06")
def needed_by_a_new_target(c):
    """A target that has never got anything needs all, also where the first run to it failed; another one has it all."""
    c.tree({"": ""})
    grow(c, "s1", "s2", "s3")
    other = f"beta:{c.target}-two"
    c.shown.append((c.beta, f"{c.target}-two"))
    c.push(target=other)
    c.beta(f"zfs create -o quota=1M -o readonly=on {c.target}")
    c.push(status=1, says="free space on the target")
    pruned(c, ["s1", "s2", "s3"])
    c.beta(f"zfs set quota=none {c.target}")
    comes(c)


@case("H10", "B05")
def needed_from_a_strangers_bookmark(c):
    """An increment from a bookmark that is not ours, which fails: what it was to bring stays, although no bookmark of ours is older."""
    c.tree({"": "s1"})
    c.push("--no-bookmark")
    c.alpha(f"zfs bookmark {c.source}@s1 {c.source}#s1; zfs destroy {c.source}@s1")
    c.beta(f"zfs set quota=1M {c.target}")
    grow(c, "s2", "s3")
    c.push(status=1, says="free space on the target")
    pruned(c, ["s2", "s3"])
    c.beta(f"zfs set quota=none {c.target}")
    comes(c)


@case("H10", "R05")
def needed_by_a_target_that_was_replaced(c):
    """An empty dataset lies in the place of what had everything: what it lacks stays, whatever the bookmark of the old one says, while it is full and after."""
    c.tree({"": ""})
    grow(c, "s1", "s2")
    c.push()
    c.beta(f"zfs destroy -r {c.target}; zfs create -o quota=1M -o readonly=on {c.target}")
    grow(c, "s3")
    for _ in range(2):
        c.push(status=1, says="free space on the target")
        pruned(c, ["s1", "s2", "s3"])
    c.beta(f"zfs set quota=none {c.target}")
    comes(c)


@case("H10", "R05", "G01")
def needed_by_a_target_that_holds_something_else(c):
    """A target in conflict, and one that is encrypted and locked, have none of it: everything stays. When the old one is back it continues from its bookmark."""
    c.tree({"": ""})
    grow(c, "s1", "s2")
    c.push()
    c.beta(f"zfs rename {c.target} {c.target}-old; zfs create {c.target}; echo x >/{c.target}/x; zfs snapshot {c.target}@x")
    grow(c, "s3")
    for _ in range(2):
        c.push(status=1, says="no common snapshot")
        pruned(c, ["s1", "s2", "s3"])
    c.beta(f"zfs destroy -r {c.target}")
    c.beta(f"echo 12345678 | zfs create -o encryption=on -o keyformat=passphrase {c.target}; zfs unmount {c.target}; zfs unload-key {c.target}")
    c.push(status=1, says="choose a target below it")
    pruned(c, ["s1", "s2", "s3"])
    c.beta(f"zfs destroy -r {c.target}; zfs rename {c.target}-old {c.target}")
    c.alpha(f"zfs destroy {c.source}@s1%s2")
    run = c.push("--json")
    c.same([event["from"][:8] for event in run.of("step_started")], ["#zfsync-"], "what the increment starts from")
    c.same(c.checksums(c.beta, f"{c.target}@s3"), c.checksums(c.alpha, f"{c.source}@s3"), "its content")


@case("H10", "R05", "G09")
def needed_after_a_replace_in_mid_run(c):
    """A conflict that only the receive finds is solved by --replace, and the new copy is full after its first snapshot: that one and all after it stay."""
    target = f"{c.target}/t"
    c.alpha(f"zfs create {c.source}")
    # What takes next to nothing there takes its length in the new copy.
    c.beta(f"""
        zfs create -o compression=off -o quota=2M {c.target}; zfs create -o recordsize=1M -o compression=gzip {target}
        echo s0 >/{target}/s0; zfs snapshot {target}@s0; yes | head -c 3M >/{target}/big; zfs snapshot {target}@s1
        zfs send {target}@s0 | ssh alpha zfs recv -o compression=off -F {c.source}; zfs send -i @s0 {target}@s1 | ssh alpha zfs recv {c.source}
        zfs unmount {target}""")
    grow(c, "s2")
    c.push("--replace", target, target=f"beta:{target}", status=1, says="free space on the target")
    c.same(c.snaps(c.beta, target), ["s0"], "the target's snapshots")
    pruned(c, ["s0", "s1", "s2"])
    c.beta(f"zfs set quota=none {c.target}")
    c.push(target=f"beta:{target}")
    c.in_sync(target=target)
    c.same(c.checksums(c.beta, f"{target}@s2"), c.checksums(c.alpha, f"{c.source}@s2"), "its content")


@case("H10", "R05", "T05")
def needed_by_the_target_of_a_target(c):
    """A -> B -> C: neither a prune nor --delete-missing of B takes what C, which is away, still lacks."""
    c.tree({"": ""})
    grow(c, "s1")
    third = f"{c.target}-third"
    c.shown.append((c.beta, third))
    c.push()
    onward = ["ssh", "beta", f"zfsync push {c.target} {third}"]
    c.push(argv=onward)
    grow(c, "s2", "s3", "s4")
    c.push()
    run = c.zfsync("prune", "-v", *KEEP, c.source, f"beta:{c.target}")
    c.same(c.snaps(c.alpha, c.source), ["s4"], "what is left on SOURCE")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3", "s4"], "what is left on the target")
    c.check("#zfsync-" in run.err, f"why it stays: {run.err}")
    c.push("--delete-missing", "snapshots", "--grace", "0", "--max-delete", "100%")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3", "s4"], "what is left on the target")
    c.push(argv=onward)
    c.same(c.snaps(c.beta, third), ["s1", "s2", "s3", "s4"], "what has arrived on the third")
    c.zfsync("prune", *KEEP, c.source, f"beta:{c.target}")
    c.same(c.snaps(c.beta, c.target), ["s4"], "what is left on the target")


@case("H10", "D05")
def needed_where_the_name_is_too_long(c):
    """A dataset whose name would be too long on the target was never sent: neither cron nor a prune prunes it, whether it asks or not."""
    c.tree({"": "s1"})
    long = f"{c.source}/{'x' * (230 - len(c.source))}"
    target = f"beta:{c.target}/{'y' * 60}"
    c.beta(f"zfs create {c.target}")
    c.alpha(f"zfs create -o mountpoint=none {long}; for n in 1 2 3; do zfs snapshot {long}@20241122-10000$n; done")
    c.push(target=target, status=1, says="too long")
    for asked in ((), (target,)):
        c.zfsync("prune", *KEEP, c.source, *asked)
        c.same(len(c.snaps(c.alpha, long)), 3, "what is left of what can't be sent")
    c.zfsync("cron", "-s", "1", "-m", "1", "-h", "1", "-d", "1", c.source, target, status=1, says="too long")
    c.check(len(c.snaps(c.alpha, long)) >= 3, "what is left after cron")


@case("H10", "B05")
def withdrawn_and_back_under_a_short_name(c):
    """A bookmark whose name can't tell its snapshot's is withdrawn, too, while another dataset lies in the target's place, and a base when that is back."""
    c.alpha(f"zfs create {c.source}; echo 1 >/{c.source}/1; zfs snapshot {c.source}@{'n' * (250 - len(c.source))}")
    long = c.snaps(c.alpha, c.source)[0]
    c.push()
    c.beta(f"zfs rename {c.target} {c.target}-old; zfs create {c.target}; echo x >/{c.target}/x; zfs snapshot {c.target}@x")
    c.push(status=1, says="no common snapshot")
    c.same([(name[15:17], number) for name, number in marks(c).items()], [(".-", guid(c, f"{c.source}@{long}"))], "the bookmark")
    c.beta(f"zfs destroy -r {c.target}; zfs rename {c.target}-old {c.target}")
    c.alpha(f"echo 2 >/{c.source}/2; zfs snapshot {c.source}@s2; zfs destroy {c.source}@{long}")
    run = c.push("--json")
    c.same([event["from"][:8] for event in run.of("step_started")], ["#zfsync-"], "what the increment starts from")
    c.same(c.checksums(c.beta, f"{c.target}@s2"), c.checksums(c.alpha, f"{c.source}@s2"), "its content")

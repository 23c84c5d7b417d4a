"""What a transfer carries and costs: contents, volumes, names, encryption, options, output (rows I, R, Z, E, G)."""

import json
import re
import time

from harness import VOLUME_DEVICE, case
from hosts import PATIENCE
from tools import Terminal, watched_helper


@case("R01", "R02", "I24")
def contents(c):
    """Files arrive byte for byte, first in full, then as an increment."""
    c.tree({"": ""})
    c.alpha(f"cd /{c.source}; head -c 300000 /dev/urandom >one; ln -s one link; mkdir dir; zfs snapshot {c.source}@s1")
    c.push()
    c.same(c.snaps(c.beta, c.target), ["s1"], "the target's snapshots")
    c.same(c.checksums(c.beta, f"{c.target}@s1"), c.checksums(c.alpha, f"{c.source}@s1"), "the files of s1")
    c.alpha(f"cd /{c.source}; head -c 100000 /dev/urandom >dir/two; zfs snapshot {c.source}@s2")
    c.push()
    c.in_sync()
    found = c.checksums(c.beta, f"{c.target}@s2")
    c.same(found, c.checksums(c.alpha, f"{c.source}@s2"), "the files of s2")
    c.same(sorted(found), ["./dir/two", "./one"], "the files")
    c.safe()


@case("P10")
def safe_target(c):
    """Nothing of a new target is mounted or read-write; one that existed keeps its properties."""
    c.basic(volumes=("foo/a",))
    c.alpha(f"zfs set mountpoint=/mnt/{c.name} {c.source}/foo; zfs set canmount=on {c.source}/foo")
    c.push()
    c.in_sync()
    c.safe()
    found = c.properties(c.beta, c.target, "mountpoint", "canmount", "readonly")
    c.check(found["foo", "mountpoint"][0] != f"/mnt/{c.name}", "the target has taken over a mountpoint")
    c.beta(f"zfs set readonly=off {c.target}; zfs set canmount=on {c.target}/foo")
    c.snapshot(f"{c.source}@s4")
    c.push()
    found = c.properties(c.beta, c.target, "canmount", "readonly")
    c.same((found["", "readonly"][0], found["foo", "canmount"][0]), ("off", "on"), "what the user has set since")


@case("P10", machine=True)
def mount_all(c):
    """`zfs mount -a` on the target, as at its next boot, mounts nothing of what was received."""
    c.tree({"": "", "a": "s1", "a/b": "s1", "mid": "", "mid/c": "s1"})
    c.push()
    c.beta(f"zfs create {c.target}-own; zfs unmount {c.target}-own")
    # It fails where something can't be mounted that another case has left.
    c.beta("zfs mount -a || true")
    found = c.properties(c.beta, c.target, "mounted")
    c.same({value for value, _ in found.values()}, {"no"}, "mounted")
    c.same(c.beta(f"zfs get -H -o value mounted {c.target}-own"), "yes", "mounted of a dataset that should be")


@case("Z07", "A30", versions=True)
def volumes(c):
    """Volumes at the top and deep below: data in full and incremental, size and block size as in the source."""
    c.tree({"": "", "v": "s1", "fs": "s1"}, volumes=("v",))
    c.alpha(f"zfs create -V 2M -b 16k {c.source}/fs/v16; zfs snapshot {c.source}/fs/v16@s1")
    c.push()
    c.snapshot(f"{c.source}/fs@s2")
    c.tree({"": "s1 s2 s3"}, root=f"{c.source}/v2", volumes=("",))
    c.push()
    c.in_sync()
    for path, snap in (("v", "s1"), ("v2", "s1"), ("v2", "s3")):
        c.same(c.volume_checksum(c.beta, f"{c.target}/{path}@{snap}"),
               c.volume_checksum(c.alpha, f"{c.source}/{path}@{snap}"), f"the checksum of {path}@{snap}")
    found = c.properties(c.beta, f"{c.target}/fs/v16", "volsize", "volblocksize")
    c.same([found["", "volsize"][0], found["", "volblocksize"][0]], [str(2 << 20), "16384"], "the volume's geometry")


@case("SEC")
def volumes_without_device_nodes(c):
    """A received volume has no device node unless --volmode inherit asks for it; a copy that is there keeps what it has, and a restore gets its own."""
    c.tree({"": "s1", "v": "s1"}, volumes=("v",))
    c.push()
    c.same(c.properties(c.beta, c.target, "volmode")["v", "volmode"], ("none", "local"), "volmode of a received volume")
    again = f"{c.target}-2"
    c.push("--volmode", "inherit", target=f"beta:{again}")
    c.cleanups.append((c.beta, f"zfs destroy -r {again}"))
    c.same(c.properties(c.beta, again, "volmode")["v", "volmode"], ("default", "default"), "volmode with --volmode inherit")
    # What comes asynchronously is there when that of the other is.
    nodes = c.beta(f"{VOLUME_DEVICE} device {again}/v >/dev/null; for d in /sys/block/zd*; do /lib/udev/zvol_id /dev/${{d##*/}} || :; done")
    c.check(f"{again}/v" in nodes.split("\n"), f"no device node with --volmode inherit: {nodes}")
    c.check(f"{c.target}/v" not in nodes.split("\n"), f"a device node without: {nodes}")
    c.snapshot(f"{c.source}@s2")
    c.push()
    c.in_sync()
    c.same(c.volume_checksum(c.beta, f"{c.target}/v@s1"), c.volume_checksum(c.alpha, f"{c.source}/v@s1"), "the volume's content")


@case("Z08")
def parents_first(c):
    """Many channels, deep and wide: every parent comes before its children, and no side dataset is left anywhere."""
    tree = {"": "s1", "1": "s1", "1/2": "s1", "1/2/3": "s1", "1/2/3/4": "s1"}
    tree |= {f"w{i}": "s1" for i in range(6)}
    c.tree(tree)
    beside = c.beta.lines("zfs list -H -o name -d 1 bpool")
    c.push("-j", "8")
    c.in_sync()
    c.only(*tree)
    new = [name for name in c.beta.lines("zfs list -H -o name -d 1 bpool")
           if name not in beside and name.startswith(c.target) and name != c.target]
    c.same(new, [], "side datasets")


@case("Z10", "I18", "A07")
def without_snapshots_in_the_middle(c):
    """A dataset without snapshots in the middle: a notice, no error, and all others go on."""
    c.tree({"": "s1", "a": "s1", "b": "", "c": "s1", "d": ""})
    run = c.push(says=(f"{c.source}/b", f"{c.source}/d", "2 without snapshots"))
    c.in_sync()
    c.only("", "a", "c")
    c.check("error" not in run.err.lower(), "the notice looks like an error")


@case("Z03", "R08")
def nothing_new(c):
    """With nothing to do it returns at once, starts no receive, and says so."""
    c.tree({"": "s1", "a": "s1", "b": "s1"})
    c.push()
    helper, log = watched_helper(c)
    with c.unchanged():
        run = c.push("--json", "--remote-zfsync", helper)
    c.check(run.seconds < PATIENCE * 15, f"it took {run.seconds:.1f} s")
    c.same((run.of("step_started"), run.finished["in_sync"], run.finished["updated"]), ([], 3, 0), "what it did")
    commands = c.beta.lines(f"cat {log}")
    c.check(commands, "the helper's zfs was not the one that is watched")
    c.check(not any(line.startswith(("recv", "receive")) for line in commands), f"a receive was started: {commands}")


@case("Z01", "I12")
def many_snapshots(c):
    """32 snapshots with 17-character names in full, then 48 as an increment: few streams, not one for each."""
    c.tree({"": ""})
    names = [f"2026-01-01_00-{number:03}" for number in range(80)]
    c.same({len(name) for name in names}, {17}, "the length of the names")
    lines = "\n".join(f"{c.source}@{name}" for name in names)
    c.script(c.alpha, "names", lines)
    take = f"/var/tmp/zfsync-suite/{c.name}/names | python3 /root/suite/lzc.py snapshots"
    c.alpha(f"head -32 {take}")
    run = c.push("--json")
    c.in_sync()
    c.check(len(run.of("step_started")) <= 2, "more than two streams for the first run")
    c.alpha(f"tail +33 {take}")
    run = c.push("--json", timeout=300)
    c.in_sync()
    c.same([(e["from"], e["snapshots"]) for e in run.of("step_started")], [(f"@{names[31]}", 48)], "the streams")
    c.same(run.finished["snapshots"], 48, "the snapshots that arrived")


@case("I04", versions=True)
def longest_names(c):
    """Names of 255 bytes, and every sign that ZFS allows."""
    snap = "a-b_c.d:e f" + "x" * 20
    deep = "Zz0.-_: " + "y" * 40
    c.tree({"": [snap], deep: [snap], f"{deep}/{deep}": [snap]})
    long = "l" * (255 - len(f"{c.target}/{deep}@"))
    c.alpha(f"zfs snapshot '{c.source}/{deep}@{long}'")
    c.push()
    c.in_sync()
    c.push(target=f"beta:{c.target}-{'t' * (255 - len(f'{c.target}-/{deep}/{deep}@{snap}'))}",
           status=1, says=f"{c.source}/{deep}")


@case("R10")
def json_order(c):
    """Events of a step: started, estimated, progress that only grows, sent, done; the last progress is what was sent."""
    c.tree({"": ""})
    c.alpha(f"head -c 6000000 /dev/urandom >/{c.source}/file; zfs snapshot {c.source}@s1; zfs snapshot {c.source}@s2")
    run = c.push("--json")
    c.in_sync()
    kinds = [event["event"] for event in run.events]
    c.check(kinds.index("connected") < kinds.index("planned") < kinds.index("step_started"), f"the order is {kinds}")
    c.same(kinds[-1], "finished", "the last event")
    step = run.of("step_started")[0]["step"]
    mine = [event for event in run.events if event.get("step") == step]
    order = ["step_started", "step_estimated", "progress", "step_sent", "step_done"]
    places = [order.index(event["event"]) for event in mine]
    c.same(places, sorted(places), "the order of the step's events")
    c.check(set(places) >= {0, 1, 3, 4}, f"the step's events are {mine}")
    progress = [event["bytes"] for event in mine if event["event"] == "progress"]
    c.same(progress, sorted(progress), "the progress")
    sent, done = run.of("step_sent")[0]["bytes"], run.of("step_done")[0]["bytes"]
    c.same(done, sent, "the bytes when done")
    c.check(progress and progress[-1] == sent, f"the last progress is {progress[-1:]}, sent were {sent}")
    total = run.of("step_estimated")[0]["total"]
    c.check(sent > 6000000 and 0.9 < total / sent < 1.1, f"estimated {total}, sent {sent}")
    c.same(run.finished["bytes"], sum(event["bytes"] for event in run.of("step_done")), "the sum at the end")


@case("R11", "R12")
def one_transaction(c):
    """One child with a snapshot below a top without: one step, the source untouched, no snapshot on the target's top."""
    c.tree({"": "", "kid": "s1"})
    before = c.state((c.alpha, c.source))["alpha", c.source]
    run = c.push("--json", "--no-bookmark")
    c.same(len(run.of("step_done")), 1, "the number of steps")
    c.same(c.snaps(c.beta, c.target), [], "the snapshots of the target's top")
    c.in_sync()
    c.same(c.state((c.alpha, c.source))["alpha", c.source], before, "the source")
    c.snapshot(f"{c.source}/kid@s2")
    run = c.push("--json", "--no-bookmark")
    c.same(len(run.of("step_done")), 1, "the number of steps")


@case("Z07", versions=True)
def large_blocks(c):
    """Blocks of 1 MiB arrive as such, with their content, in full and as an increment."""
    c.alpha(f"zfs create -o recordsize=1M {c.source}; head -c 3M /dev/urandom >/{c.source}/big; zfs snapshot {c.source}@s1")
    c.push()
    c.alpha(f"dd if=/dev/urandom of=/{c.source}/big bs=1M count=1 seek=1 conv=notrunc status=none; zfs snapshot {c.source}@s2")
    c.push()
    c.in_sync()
    c.same(c.checksums(c.beta, f"{c.target}@s2"), c.checksums(c.alpha, f"{c.source}@s2"), "the content")
    size = c.beta(f"""place=$(mktemp -d /tmp/suite.XXXXXX); trap 'umount "$place"; rmdir "$place"' EXIT
        mount -t zfs -o ro {c.target}@s2 "$place"; stat -c %o "$place/big" """)
    c.same(size, str(1 << 20), "the size of the file's blocks")


@case("E07", "E01", versions=True)
def encrypted_raw(c):
    """An encrypted tree goes raw: its key is not on the target, each dataset keeps its encryption, plain ones stay plain."""
    key = c.script(c.alpha, "key", "correct horse battery")
    c.alpha(f"zfs create {c.source}; zfs create -o encryption=aes-256-gcm -o keyformat=passphrase -o pbkdf2iters=100000"
            f" -o keylocation=file://{key} {c.source}/enc; zfs create {c.source}/enc/kid; zfs create {c.source}/plain;"
            f" echo secret >/{c.source}/enc/kid/file; zfs snapshot -r {c.source}@s1")
    c.push()
    c.in_sync()
    c.safe()
    c.snapshot(f"{c.source}/enc/kid@s2", f"{c.source}/plain@s2")
    c.push()
    c.in_sync()
    found = c.properties(c.beta, c.target, "encryption", "keystatus", "encryptionroot")
    for path in ("enc", "enc/kid"):
        c.same([found[path, key][0] for key in ("encryption", "keystatus")], ["aes-256-gcm", "unavailable"], f"{path}'s encryption")
    c.same(found["plain", "encryption"][0], "off", "the plain one's encryption")
    # The key opens what has arrived.
    c.beta(f"echo correct horse battery | zfs load-key -L prompt {c.target}/enc")
    root = found["enc/kid", "encryptionroot"][0]
    if root.endswith("/kid"):
        c.beta(f"echo correct horse battery | zfs load-key -L prompt {root}")
    c.same(c.checksums(c.beta, f"{c.target}/enc/kid@s2"), c.checksums(c.alpha, f"{c.source}/enc/kid@s2"), "the files")
    c.beta(f"zfs unload-key -r {c.target}")
    # Without the key on the source as well.
    c.alpha(f"zfs snapshot {c.source}/enc@s3; zfs unmount {c.source}/enc; zfs unload-key {c.source}/enc")
    c.push()
    c.in_sync()
    c.push("--decrypt", target=f"beta:{c.target}-open", status=1, says=(f"{c.source}/enc", "key"))


@case("E02", versions=True)
def decrypt(c):
    """--decrypt sends an encrypted dataset in the clear, full and incremental."""
    key = c.script(c.alpha, "key", "correct horse battery")
    c.alpha(f"zfs create -o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file://{key} {c.source};"
            f" echo secret >/{c.source}/file; zfs snapshot {c.source}@s1")
    c.push("--decrypt")
    c.snapshot(f"{c.source}@s2")
    c.push("--decrypt")
    c.in_sync()
    c.same(c.properties(c.beta, c.target, "encryption")["", "encryption"][0], "off", "encryption")
    c.same(c.checksums(c.beta, f"{c.target}@s2"), c.checksums(c.alpha, f"{c.source}@s2"), "the files")


@case("G00")
def depth(c):
    """--depth counts levels below SOURCE."""
    c.tree({"": "s1", "a": "s1", "a/b": "s1", "a/b/c": "s1"})
    c.push("--depth", "0")
    c.only("")
    c.push("--depth", "2")
    c.only("", "a", "a/b")
    c.push()
    c.in_sync()


@case("G00")
def globs(c):
    """--exclude and --include match whole components below SOURCE, and a match takes what lies below it."""
    c.tree({"": "s1", "a": "s1", "a/tmp": "s1", "a/tmp/x": "s1", "tmp": "s1", "tmpfs": "s1", "b": "s1", "b/c": "s1"})
    def chosen(*args):
        run = c.push("-n", "--json", *args)
        return sorted(row["dataset"][len(c.source) + 1:] for event in run.of("plan") for row in event["rows"])

    c.same(chosen("--exclude", "**/tmp"), ["", "a", "b", "b/c", "tmpfs"], "without **/tmp")
    c.same(chosen("--include", "a/*"), ["a/tmp", "a/tmp/x"], "a/* alone")
    c.same(chosen("--include", "a", "--exclude", "a/tmp"), ["a"], "a without a/tmp")
    c.push("--exclude", "tmp", "--exclude", "b", "--exclude", "a/tmp/?")
    c.only("", "a", "a/tmp", "tmpfs")
    with c.unchanged():
        c.push("--exclude", "[x", status=2, says="[x")


@case("DRY")
def dry_run(c):
    """A dry run changes nothing on either side; its table and its JSON name every step, with sizes."""
    c.tree({"": "s1", "old": "s1", "bad": "s1"})
    c.push()
    c.alpha(f"zfs destroy {c.source}/bad@s1; zfs snapshot {c.source}/bad@x; zfs create {c.source}/new")
    c.alpha(f"head -c 1000000 /dev/urandom >/{c.source}/new/file; zfs snapshot {c.source}/new@n1")
    c.snapshot(f"{c.source}/old@s2", f"{c.source}/old@s3")
    with c.unchanged():
        run = c.push("--dry-run")
        for word in (f"{c.source}/old", f"{c.source}/new", f"{c.source}/bad", "s3", "n1"):
            c.check(word in run.out, f"the table doesn't name {word}")
        run = c.push("-n", "--json")
        plans = [json.loads(line) for line in run.out.splitlines() if '"plan"' in line]
        c.same(len(plans), 1, "the number of plans")
        rows = {row["dataset"]: row for row in plans[0]["rows"]}
        for path in ("/old", "/new", "/bad"):
            c.check(c.source + path in rows, f"the plan doesn't name {path}: {plans[0]}")
        sizes = [value for value in rows[f"{c.source}/new"].values() if isinstance(value, int) and value > 900000]
        c.check(sizes, f"the plan doesn't estimate the new one: {rows[f'{c.source}/new']}")


@case("OUT")
def last_line(c):
    """Off a terminal: plain lines without control characters; the last one sums up."""
    c.tree({"": "s1 s2", "a": "s1", "none": ""})
    run = c.push()
    last = run.err.rstrip("\n").split("\n")[-1]
    c.check(last.startswith("zfsync: 2 datasets in sync (2 updated, 1 without snapshots), 3 snapshots"), f"the last line is {last!r}")
    c.check(not any(sign in run.err for sign in "\x1b\r"), "there are control characters")
    run = c.push()
    last = run.err.rstrip("\n").split("\n")[-1]
    c.check(last.startswith("zfsync: 2 datasets in sync"), f"the last line is {last!r}")
    c.same(run.out, "", "stdout")


@case("OUT")
def dry_run_on_a_terminal(c):
    """On a terminal the table of a dry run begins at the left, whatever the bars have drawn."""
    c.tree({"": "s1", "a": "s1"})
    terminal = Terminal(c, "zfsync", "push", "-n", c.source, f"beta:{c.target}")
    c.same(terminal.end(60), 0, "the exit status")
    terminal.wait_for("the table", lambda text: "to update" in text)
    before, found, _ = terminal.text().partition("DATASET")
    c.check(found, f"there is no table: {before!r}")
    c.same(re.split(r"[\r\n]|\x1b\[[0-9;?]*[A-Za-z]", before)[-1], "", "what stands in front of the table")


@case("I27", alone=True)
def wire_overhead(c):
    """An increment of 100 bytes: what goes over the wire beside its stream is a few KiB."""
    c.tree({"": "s1"})
    c.push()
    count = "cat /sys/class/net/link0/statistics/tx_bytes /sys/class/net/link0/statistics/rx_bytes"

    def traffic():
        # What an earlier run or connection still says must not be counted.
        before, deadline = None, time.monotonic() + 20
        while before != (before := c.alpha(count)) and time.monotonic() < deadline:
            time.sleep(1)
        run = c.push("--json")
        return run, sum(map(int, c.alpha(count).split())) - sum(map(int, before.split()))

    def increment(base, name):
        c.snapshot(f"{c.source}@{name}")
        stream = int(c.alpha(f"zfs send -L -e -c -i @{base} {c.source}@{name} | wc -c"))
        run, took = traffic()
        bytes_sent = run.of("step_done")[0]["bytes"]
        c.check(stream <= bytes_sent <= stream + 1024, f"zfs send has {stream} bytes, the event says {bytes_sent}")
        return took - stream

    # The link has other users now and then, so the least of some counts.
    increments = [increment(f"s{number}", f"s{number + 1}") for number in range(1, 4)]
    nothing = min(traffic()[1] for _ in range(2))
    c.in_sync()
    c.check(min(increments) - nothing < 16384, f"increments took {increments} bytes on the wire beside their streams, a run without one {nothing}")
    c.check(nothing < 65536, f"a run with nothing to do took {nothing} bytes on the wire")


@case("R16")
def bandwidth_limit(c):
    """--bwlimit: the same content, and no sooner than all streams together may bring it: pushed, pulled, and sent straight from one host to another."""
    c.tree({"": "", "a": ""})
    c.alpha(f"for path in /{c.source} /{c.source}/a; do head -c 400000 /dev/urandom >$path/data; done; zfs snapshot -r {c.source}@s1")
    back, straight = f"{c.source}-back", f"{c.source}-straight"
    for command, source, target, host, copy in (
        (("push",), c.source, f"beta:{c.target}", c.beta, c.target),
        (("pull",), f"beta:{c.target}", back, c.alpha, back),
        (("push", "--direct"), f"beta:{c.target}", f"alpha:{straight}", c.alpha, straight),
    ):
        began = time.monotonic()
        run = c.push(argv=["zfsync", *command, "--json", "-j", "2", "--bwlimit", "200KiB/s", source, target])
        took, moved = time.monotonic() - began, sum(event["bytes"] for event in run.of("step_done"))
        c.check(moved > 800000, f"only {moved} bytes have moved by {command}")
        # A portion for each stream, and what a late one makes good, go at once.
        c.check(took >= moved / (200 << 10) - 0.5, f"{command}: {moved} bytes took {took:.1f} s")
        for path in ("", "/a"):
            c.same(c.checksums(host, f"{copy}{path}@s1"), c.checksums(c.alpha, f"{c.source}{path}@s1"), f"the files of {copy}{path}")

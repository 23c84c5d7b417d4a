"""Whether a copy is what its source is, and getting it back (rows BACK)."""

from cases_u_encryption import key_options
from harness import case
from tools import helper


def compared(run):
    """{dataset below SOURCE: its line} of `verify --json`."""
    return {line["dataset"][len(line["source"]) + 1:]: line for line in run.events}


@case("BACK", versions=True)
def verify_content(c):
    """All kinds of datasets are compared by what they hold, encrypted ones without their keys; nothing is mounted, changed or left."""
    c.tree({"": "s1 s2", "a b": "s1", "vol": "s1", "void": ""}, volumes=("vol",))
    c.alpha(f"""
        zfs create -o recordsize=1M -o compression=gzip {c.source}/large; zfs create -o compression=off -o xattr=sa {c.source}/odd
        dd if=/dev/urandom of=/{c.source}/large/file bs=1M count=3 status=none; cp -r /etc /{c.source}/odd
        truncate -s 5M /{c.source}/odd/sparse; ln -s nowhere /{c.source}/odd/link; chown 7:8 /{c.source}/odd/sparse
        zfs create {key_options(c, c.alpha)} {c.source}/secret; cp -r /etc /{c.source}/secret; zfs create {c.source}/secret/kid
        zfs snapshot -r {c.source}@s3; rm -r /{c.source}/odd/etc; echo new >/{c.source}/odd/new; zfs snapshot -r {c.source}@s4""")
    c.push()
    c.alpha(f"zfs unmount {c.source}/secret; zfs unload-key {c.source}/secret")
    with c.unchanged():
        run = c.zfsync("verify", "--content", "--json", c.source, f"beta:{c.target}")
    found = compared(run)
    c.same({name: (line["state"], line["content"]) for name, line in found.items()},
           {name: ("same", "same") for name in ("", "a b", "large", "odd", "secret", "secret/kid", "vol", "void")}, "what is compared")
    c.check(found["large"]["content_bytes"] > 3 << 20, f"too little was read: {run.out}")
    with c.unchanged():
        run = c.zfsync("verify", c.source, f"beta:{c.target}")
    c.check("8 datasets: 8 the same" in run.out, f"the count: {run.out}")
    c.no_process_left()


@case("BACK")
def verify_finds_wrong_content(c):
    """A snapshot with the right guid and other content, as an increment from a bookmark beside the history makes it, is found; its objects are named."""
    middle, copy = f"{c.source}-middle", c.target
    c.alpha(f"""
        zfs create {c.source}; dd if=/dev/urandom of=/{c.source}/kept bs=1M count=1 status=none; zfs snapshot {c.source}@s1
        zfs send {c.source}@s1 | zfs recv {middle}; dd if=/dev/urandom of=/{middle}/kept bs=128k count=2 conv=notrunc status=none; zfs snapshot {middle}@gone; zfs bookmark {middle}@gone {middle}#gone
        zfs send {middle}@s1 | ssh beta zfs recv -u {copy}; zfs send -i @s1 {middle}@gone | ssh beta zfs recv -u {copy}
        echo theirs >/{c.source}/theirs; zfs snapshot {c.source}@s2
        zfs send -i @s1 {c.source}@s2 | zfs recv -F {middle}; zfs send -i '#gone' {middle}@s2 | ssh beta zfs recv -u {copy}""")
    run = c.zfsync("verify", c.source, f"beta:{copy}")
    c.check("1 dataset: 1 the same" in run.out, f"the count: {run.out}")
    run = c.zfsync("verify", "--content", "--json", c.source, f"beta:{copy}", status=1)
    found = compared(run)[""]
    c.same((found["state"], found["content"], found["newest_common"]), ("same", "different", "s2"), "what is found")
    c.same([str(number) for number in found["content_objects"]], [c.alpha(f"stat -c %i /{c.source}/kept")], "the objects that differ")
    c.zfsync("verify", "--content", c.source, middle)


@case("BACK")
def verify_restricted(c):
    """A helper that may only receive tells no checksums; one with --allow verify does, below its roots."""
    c.tree({"": "s1"})
    c.push()
    bare = helper(c, command=f"exec zfsync recv --stdio --root {c.target}", name="bare")
    run = c.zfsync("verify", "--content", "--remote-zfsync", bare, c.source, f"beta:{c.target}", status=3, says="--allow verify")
    c.same(run.out, "", "what is told")
    c.zfsync("verify", "--remote-zfsync", bare, c.source, f"beta:{c.target}")


@case("BACK")
def verify_without_keys(c):
    """What was sent decrypted is compared with its source's key; without it that is said, and the others are compared."""
    c.tree({"": "s1"})
    c.alpha(f"zfs create {key_options(c, c.alpha)} {c.source}/secret; echo secret >/{c.source}/secret/file; zfs snapshot {c.source}/secret@s1")
    c.push("--decrypt")
    run = c.zfsync("verify", "--content", "--json", c.source, f"beta:{c.target}")
    c.same([line["content"] for line in run.events], ["same", "same"], "with the key")
    c.alpha(f"zfs unmount {c.source}/secret; zfs unload-key {c.source}/secret")
    run = c.zfsync("verify", "--content", "--json", c.source, f"beta:{c.target}", status=1)
    c.same([line["content"] for line in run.events], ["same", "unreadable"], "without the key")
    c.check("key" in compared(run)["secret"]["content_error"], f"the reason: {run.out}")

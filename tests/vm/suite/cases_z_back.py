"""Whether a copy is what its source is, and getting it back (rows BACK)."""

from cases_u_encryption import key_options
from harness import VOLUME_DEVICE, case
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
    c.check("8 datasets: 8 identical" in run.out, f"the count: {run.out}")
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
    c.check("1 dataset: 1 identical" in run.out, f"the count: {run.out}")
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


def facts(host, root, path=""):
    """{file: mode, owner, group, size, mtime, link} of a mounted filesystem; no directories at its top, on which others are mounted."""
    rows = host.lines(f"cd '/{root}/{path}'; find . -xdev ! \\( -type d ! -path './*/*' \\) -printf '%p\\t%M %U:%G %s %T@ %l\\n'")
    return dict(row.split("\t") for row in rows)


@case("BACK", versions=True)
def restore_end_to_end(c):
    """A copy comes back to a host that has lost it: contents, owners, modes and times, a volume with its device, an encrypted tree with its key; then the backup continues from it."""
    c.tree({"": "s1 s2", "a b": "s1", "vol": "s1", "void": ""}, volumes=("vol",))
    c.alpha(f"""
        zfs create {key_options(c, c.alpha)} {c.source}/secret; cp -a /etc /{c.source}/secret; zfs create {c.source}/secret/kid; echo kid >/{c.source}/secret/kid/file
        cp -a /etc /{c.source}/etc; chown -R 123:456 /{c.source}/etc/apt; chmod 4711 /{c.source}/etc/hosts; ln -s nowhere /{c.source}/link
        zfs set quota=1G {c.source}/'a b'; zfs snapshot -r {c.source}@s3""")
    c.push()
    before = {path: facts(c.alpha, c.source, path) for path in ("", "a b", "secret", "secret/kid")}
    volume = c.volume_checksum(c.alpha, f"{c.source}/vol@s3")
    had = c.versions(c.alpha, c.source)
    c.beta(f"zfs set compression=gzip {c.target}/'a b'; zfs clone {c.target}@s1 {c.target}/gone.zfsync-20241122-031500; zfs snapshot {c.target}/gone.zfsync-20241122-031500@s1")
    c.alpha(f"zfs destroy -r {c.source}")
    # Run where the copy is; here its host's zfsync is asked to bring it to alpha.
    new = f"{c.source}-back"
    c.shown.append((c.alpha, new))
    said = c.beta(f"zfsync restore --no-progress {c.target} alpha:{new} 2>&1", timeout=150)
    for words in ("set on the copy, but not restored: compression=gzip", "it was set aside on the copy, and is not restored", "zfs load-key -r", "zfs mount -a"):
        c.check(words in said, f"{words!r} isn't said: {said}")
    c.same(c.versions(c.alpha, new), had, "the snapshots")
    c.same({value[0] for value in c.properties(c.alpha, new, "mounted").values()} - {"-"}, {"no"}, "what is mounted by the restore alone")
    found = c.properties(c.alpha, new, "readonly", "canmount", "volmode", "zfsync:received")
    c.same({(key, value, source) for (path, key), (value, source) in found.items() if source == "local" and path != "void"}, set(), "what the restore has set")
    c.same({value[0] for (_, key), value in found.items() if key == "readonly"}, {"off"}, "readonly")
    key = c.script(c.alpha, "key", "correct horse battery")
    c.alpha(f"for d in secret secret/kid; do zfs load-key -L file://{key} {new}/$d; done; for d in '' /'a b' /secret /secret/kid; do zfs mount {new}\"$d\"; done")
    for path, wanted in before.items():
        c.same(facts(c.alpha, new, path), wanted, f"the files of {path or 'the top'!r}")
    c.alpha(f"diff -r --no-dereference /etc /{new}/secret/etc; test \"$(cat /{new}/secret/kid/file)\" = kid; echo works >/{new}/written")
    c.same(c.volume_checksum(c.alpha, f"{new}/vol@s3"), volume, "the volume")
    c.same(c.properties(c.alpha, new + "/vol", "volmode")["", "volmode"][0], "default", "volmode of the volume")
    c.alpha(f"{VOLUME_DEVICE}\ndevice {new}/vol")
    # The other way again, with increments.
    c.snapshot(f"{new}@s4", f"{new}/secret/kid@s4")
    run = c.push("--json", source=new)
    c.same(sorted(event["from"] for event in run.of("step_started")), ["@s3", "@s3"], "what the increments begin with")


@case("BACK")
def restore_as_it_was(c):
    """COPY@SNAPSHOT brings nothing newer; NEW must not exist, unless a cut restore is gone on with; a dry run and a refusal change nothing."""
    c.tree({"": "s1 s2 s3", "kid": "s1 s2", "late": "", "pruned": "s2", "hole": "", "hole/kid": "s1 s2"})
    c.alpha(f"zfs snapshot {c.source}/late@s3 {c.source}/hole@s3")
    copy = f"{c.source}-copy"
    c.push(target=copy)
    new = c.target
    back = ("restore", f"{copy}@s2", f"beta:{new}")
    with c.unchanged():
        c.zfsync(*back, "-n", says="it has no snapshot @s2")
        c.zfsync("restore", f"{copy}@nope", f"beta:{new}", status=2, says="has a snapshot @nope")
    c.zfsync(*back)
    c.same({path: [name for name, _ in snaps] for path, snaps in c.versions(c.beta, new).items()},
           {"": ["s1", "s2"], "kid": ["s1", "s2"], "pruned": ["s2"], "hole": [], "hole/kid": ["s1", "s2"]}, "what has come")
    c.same(c.alpha(f"zfs list -H -t bookmark -o name -r {copy}"), "", "bookmarks on the copy")
    with c.unchanged():
        c.zfsync(*back, status=3, says=("already exists", "--into-existing"))
    c.zfsync(*back, "--into-existing")
    c.beta(f"zfs destroy -r {new}/kid")
    c.zfsync(*back, "--into-existing", "--newest-only")
    c.same(c.snaps(c.beta, f"{new}/kid"), ["s2"], "what comes of what is missing")
    # What only held others can be mounted once it is restored itself.
    c.zfsync("restore", "--into-existing", copy, f"beta:{new}")
    c.same(c.beta(f"zfs list -Ho name,canmount,mountpoint {new}/hole && zfs mount -a && ls /{new}/hole").split(),
           [f"{new}/hole", "on", f"/{new}/hole", "kid"], "the placeholder that was filled")
    bound = helper(c, command=f"exec zfsync recv --stdio --root {new}-other", name="bound")
    c.zfsync("restore", "--remote-zfsync", bound, copy, f"beta:{new}-other", status=3, says="--allow")
    c.check(not c.exists(c.beta, f"{new}-other"), "a helper that may only receive has made something usable")

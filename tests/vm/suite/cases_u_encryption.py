"""Encryption on both sides: keys that aren't loaded, targets that are encrypted themselves, raw copies, mixed trees."""

from harness import case
from tools import helper

PHRASE = "correct horse battery"


def key_options(c, host, name="key"):
    """Options of `zfs create` for an encryption root whose key lies in a file on this host."""
    key = c.script(host, name, PHRASE)
    return f"-o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file://{key}"


def encrypted_source(c):
    """An encrypted source with one snapshot."""
    c.alpha(f"zfs create {key_options(c, c.alpha)} {c.source}; echo secret >/{c.source}/file; zfs snapshot {c.source}@s1")


def guids(c, dataset):
    """The snapshots of a dataset on the target, each with its guid."""
    return c.beta.rows(f"zfs list -Hp -d 1 -t snapshot -o name,guid {dataset}")


def conflict(c, run):
    """What is said of the one dataset in conflict."""
    failed = run.of("dataset_failed")
    c.same([event["kind"] for event in failed], ["conflict"], "the kinds of failure")
    return failed[0]["error"]


def same_files(c, source, target, snapshot):
    """The contents of a snapshot are the same on both sides."""
    c.same(c.checksums(c.beta, f"{target}@{snapshot}"), c.checksums(c.alpha, f"{source}@{snapshot}"), f"the files of @{snapshot}")


@case("ENC")
def key_not_loaded(c):
    """The target inherits a key that isn't loaded: failed and no conflict, the key is named, nothing is lost by any flag; loaded, it goes on."""
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}")
    c.tree({"": "s1 s2"})
    target = f"{c.target}/in"
    c.push(target=f"beta:{target}")
    c.alpha(f"zfs destroy {c.source}@s1")
    c.snapshot(f"{c.source}@s3")
    c.beta(f"zfs unmount {c.target}; zfs unload-key {c.target}")
    before = guids(c, target)
    for flags in ((), ("--rollback",), ("--set-aside",), ("--replace", target)):
        run = c.push("--json", *flags, target=f"beta:{target}", status=1)
        failed = run.of("dataset_failed")[0]
        c.same(failed["kind"], "failed", f"the kind of failure with {flags}")
        c.check(f"zfs load-key '{c.target}'" in failed["error"], f"{flags}: the key to load isn't named: {failed['error']}")
        for word in ("--replace", "--set-aside", "--rollback", "--decrypt"):
            c.check(word not in failed["error"], f"{flags}: {word} is offered: {failed['error']}")
        c.same(guids(c, target), before, f"the target's snapshots after {flags}")
        c.same(c.beta.lines(f"zfs list -H -o name -r {c.target}"), [c.target, target], f"the datasets after {flags}")
    c.beta(f"zfs load-key {c.target}")
    c.push(target=f"beta:{target}")
    c.same([row[0].split("@")[1] for row in guids(c, target)], ["s1", "s2", "s3"], "the target's snapshots")
    same_files(c, c.source, target, "s3")
    c.same(c.properties(c.beta, target, "encryptionroot")["", "encryptionroot"][0], c.target, "the target's encryption root")


@case("ENC", "C12")
def nothing_is_given_up_for_what_cannot_be_sent(c):
    """The source's key isn't loaded, and the copy is decrypted: no flag takes anything from the copy, and a dry run says so; with the key it goes on."""
    encrypted_source(c)
    c.push("--decrypt")
    c.beta(f"zfs set readonly=off {c.target}; zfs mount {c.target}; echo mine >/{c.target}/own; zfs snapshot {c.target}@own; zfs unmount {c.target}; zfs set readonly=on {c.target}")
    c.snapshot(f"{c.source}@s2")
    c.alpha(f"zfs unmount {c.source}; zfs unload-key {c.source}")
    before = guids(c, c.target)
    for flags in (("--rollback",), ("--set-aside",), ("--replace", c.target)):
        run = c.push("--decrypt", "-n", "--json", *flags, status=1)
        rows = [(row["action"], "key" in row["note"]) for row in run.events[-1]["rows"]]
        c.same(rows, [("conflict", True)], f"the plan with {flags}")
        run = c.push("--decrypt", *flags, status=1, says=("nothing was changed, as what would be sent then can't be: cannot send", "zfs load-key"))
        c.check("run again with" not in run.out + run.err, f"{flags}: more is offered that can't be sent either")
        c.same(guids(c, c.target), before, f"the target's snapshots after {flags}")
        c.same(c.beta.lines(f"zfs list -H -o name -r {c.target}"), [c.target], f"the datasets after {flags}")
    c.alpha(f"zfs load-key {c.source}")
    c.push("--decrypt", "--rollback")
    same_files(c, c.source, c.target, "s2")


@case("ENC")
def target_is_an_encryption_root(c):
    """The target is an empty encryption root and the stream plain: no flag puts plaintext in its place; below it, it is stored encrypted."""
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}")
    c.tree({"": "s1", "kid": "s1"})
    for flags in ((), ("--set-aside",), ("--replace", c.target)):
        run = c.push("--json", "--no-recursive", *flags, status=1)
        error = conflict(c, run)
        c.check("below it" in error, f"{flags}: what to do isn't said: {error}")
        for word in ("--replace", "--set-aside"):
            c.check(word not in error, f"{flags}: {word} is offered: {error}")
        c.same(c.beta.rows(f"zfs list -H -o name,encryptionroot -r {c.target}"), [[c.target, c.target]], f"what is there after {flags}")
    c.push(target=f"beta:{c.target}/below")
    c.same(c.beta.rows(f"zfs list -H -o name,encryptionroot -r {c.target}/below"),
           [[f"{c.target}/below", c.target], [f"{c.target}/below/kid", c.target]], "the copies and their encryption root")
    same_files(c, c.source, f"{c.target}/below", "s1")


@case("ENC")
def raw_into_an_empty_filesystem(c):
    """A raw stream and an empty filesystem that exists: a conflict that says where it would go, and it goes there."""
    encrypted_source(c)
    c.beta(f"zfs create {c.target}")
    run = c.push("--json", status=1)
    error = conflict(c, run)
    c.check("target that doesn't exist yet" in error and "--decrypt" not in error, f"what to do isn't said: {error}")
    c.same(c.beta.lines(f"zfs list -H -t all -o name -r {c.target}"), [c.target], "what is there")
    c.push(target=f"beta:{c.target}/new")
    c.beta(f"zfs destroy {c.target}/new@s1; zfs destroy -r {c.target}")
    c.push()
    c.in_sync()
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    same_files(c, c.source, c.target, "s1")


@case("ENC")
def decrypted_on_a_raw_copy(c):
    """An increment with --decrypt on a raw copy: warned of before; the next raw one is a conflict, and --rollback goes back to the last raw snapshot."""
    encrypted_source(c)
    c.snapshot(f"{c.source}@s2")
    c.push()
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    c.snapshot(f"{c.source}@s3")
    with c.unchanged():
        c.push("-n", "--decrypt", says="it can't receive raw ones until it is rolled back")
    run = c.push("--decrypt", "--json")
    c.check("is a raw copy" in " ".join(event["text"] for event in run.of("notice")), "there was no warning")
    c.snapshot(f"{c.source}@s4")
    c.push("--decrypt", says="in sync")
    c.snapshot(f"{c.source}@s5")
    with c.unchanged():
        run = c.push("--json", status=1)
        error = conflict(c, run)
        for word in ("raw copy", "its last raw snapshot is @s2", "--rollback, which loses @s3"):
            c.check(word in error, f"{word} isn't said: {error}")
        rows = c.push("-n", "--json", "--rollback").of("plan")[0]["rows"]
        c.same([row["action"] for row in rows], ["rollback", "incremental"], "what a dry run shows")
    c.same([row[0].split("@")[1] for row in guids(c, c.target)], ["s1", "s2", "s3", "s4"], "the target's snapshots")
    run = c.push("--json", "--rollback")
    c.same({event["from"] for event in run.of("step_started")}, {"@s2"}, "what the increment started from")
    c.in_sync()
    for snapshot in ("s1", "s2", "s3", "s4", "s5"):
        same_files(c, c.source, c.target, snapshot)
    # Raw on both sides again.
    c.snapshot(f"{c.source}@s6")
    c.push()


@case("ENC")
def nothing_raw_in_common(c):
    """All that came raw is gone at the source: no rollback is offered, and none is done."""
    encrypted_source(c)
    c.push()
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    c.snapshot(f"{c.source}@s2")
    c.push("--decrypt")
    c.alpha(f"zfs destroy {c.source}@s1")
    c.snapshot(f"{c.source}@s3")
    for flags in ((), ("--rollback",)):
        error = conflict(c, c.push("--json", *flags, status=1))
        c.check("--rollback" not in error and "zfs rollback -r" in error, f"what to do is wrong: {error}")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2"], "the target's snapshots")


@case("ENC")
def own_snapshot_on_a_raw_copy(c):
    """A snapshot that only the raw copy has: said as what it is, with what a rollback loses; without it the increment fits."""
    encrypted_source(c)
    c.push()
    c.beta(f"zfs snapshot {c.target}@own")
    c.snapshot(f"{c.source}@s2")
    error = conflict(c, c.push("--json", status=1))
    for word in ("a raw increment can only be received on top of the newest snapshot", "--rollback, which loses @own"):
        c.check(word in error, f"{word} isn't said: {error}")
    c.beta(f"zfs destroy {c.target}@own")
    c.push()
    c.in_sync()


@case("ENC")
def raw_on_a_plain_copy(c):
    """What was sent with --decrypt so far and now raw is a conflict; --set-aside keeps the plain copy and sends a raw one."""
    encrypted_source(c)
    c.push("--decrypt")
    c.snapshot(f"{c.source}@s2")
    run = c.push("--json", status=1)
    error = conflict(c, run)
    c.check("--set-aside" in error and "--decrypt" in error, f"what to do isn't said: {error}")
    c.push("--set-aside")
    aside = c.beta.lines(f"zfs list -H -o name -d 1 {c.beta.pool} | grep '^{c.target}[.]zfsync-'")
    c.same(len(aside), 1, "copies that were set aside")
    same_files(c, c.source, aside[0], "s1")
    c.in_sync()
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    same_files(c, c.source, c.target, "s2")


def mixed_tree(c):
    """An encrypted source with an encrypted child, and a plain one with a child of its own."""
    encrypted_source(c)
    c.alpha(f"zfs create -o encryption=off {c.source}/plain; zfs create {c.source}/kid; zfs create {c.source}/plain/below;"
            f" echo p >/{c.source}/plain/file; zfs snapshot {c.source}/plain@s1 {c.source}/plain/below@s1 {c.source}/kid@s1")


def encryption(c, dataset):
    """The property of a dataset on the target."""
    return c.properties(c.beta, dataset, "encryption")["", "encryption"][0]


@case("ENC")
def plain_below_a_raw_copy(c):
    """A child that isn't encrypted below a raw copy: it alone fails, before anything is sent of it; each way that is named brings it over."""
    mixed_tree(c)
    for _ in ("with the copy that is made in this run", "with one that is there"):
        run = c.push("--json", status=1)
        failed = {event["dataset"]: event for event in run.of("dataset_failed")}
        c.check(f"{c.source}/plain" in failed and f"{c.source}/kid" not in failed, f"what failed: {list(failed)}")
        error = failed[f"{c.source}/plain"]["error"]
        c.same(failed[f"{c.source}/plain"]["kind"], "failed", "the kind of failure")
        for word in ("--allow-unencrypted", "zfs load-key", "--exclude"):
            c.check(word in error, f"{word} isn't named: {error}")
        c.check("--decrypt" not in error, f"--decrypt is offered: {error}")
        c.same([event for event in run.of("step_started") if event["dataset"].startswith(f"{c.source}/plain")], [], "tries")
        c.only("", "kid")
    # Elsewhere it is stored as it is at the source.
    c.push("--exclude", "plain")
    c.push(source=f"{c.source}/plain", target=f"beta:{c.target}-plain")
    c.same(encryption(c, f"{c.target}-plain"), "off", "the plain copy's encryption")
    # With the key it is stored encrypted.
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    c.push()
    c.in_sync()
    c.same(encryption(c, f"{c.target}/plain"), "aes-256-gcm", "the encryption below the raw copy")
    same_files(c, f"{c.source}/plain", f"{c.target}/plain", "s1")


@case("ENC")
def plain_allowed_below_a_raw_copy(c):
    """--allow-unencrypted: the plain child arrives unencrypted, with all below it, also below a copy that was there; increments follow without it."""
    mixed_tree(c)
    c.alpha(f"zfs create -o encryption=off {c.source}/later")
    c.push("--allow-unencrypted")
    c.in_sync()
    for path, stored in (("", "aes-256-gcm"), ("/kid", "aes-256-gcm"), ("/plain", "off"), ("/plain/below", "off")):
        c.same(encryption(c, f"{c.target}{path}"), stored, f"the encryption of {path}")
    c.safe()
    same_files(c, f"{c.source}/plain", f"{c.target}/plain", "s1")
    c.snapshot(*(f"{c.source}{path}@s2" for path in ("", "/kid", "/plain", "/plain/below", "/later")))
    c.push("--json", "--exclude", "later")
    c.push("-n", "--json", status=1)
    c.push("--allow-unencrypted")
    c.in_sync()
    c.same(encryption(c, f"{c.target}/later"), "off", "the encryption of what came later")
    # A plain source goes on being encrypted where the target is.
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}-own")
    c.push("--allow-unencrypted", source=f"{c.source}/plain", target=f"beta:{c.target}-own/in")
    c.same(encryption(c, f"{c.target}-own/in"), "aes-256-gcm", "the encryption below an admin's encryption root")


@case("ENC", "P10")
def plain_below_a_raw_copy_needs_leave_over_there(c):
    """A restricted key stores nothing unencrypted below an encrypted dataset, unless its command line says --allow unencrypted."""
    mixed_tree(c)
    run = c.push("--allow-unencrypted", "--remote-zfsync", helper(c, command=f"exec zfsync recv --stdio --root {c.target}"), status=3)
    c.check("--allow unencrypted" in run.err, f"what is missing isn't named: {run.err}")
    c.check(not c.exists(c.beta, c.target), "something was received")
    c.push("--allow-unencrypted", "--remote-zfsync",
           helper(c, command=f"exec zfsync recv --stdio --root {c.target} --allow unencrypted", name="allowed"))
    c.in_sync()


def mountable(c, dataset):
    """Whether a copy can be mounted with the keys that are loaded; unmounts it again."""
    place = f"/tmp/{c.name}"
    return c.beta.try_run(f"mkdir -p {place}; mount -t zfs -o zfsutil,ro {dataset} {place} && umount {place}").status == 0


@case("ENC")
def key_of_another_dataset(c):
    """zfs change-key -i on a copy, so that it inherits a key that is not the source's: refused, as a raw increment would leave it unmountable."""
    encrypted_source(c)
    c.beta(f"zfs create {key_options(c, c.beta)} {c.target}")
    target = f"{c.target}/in"
    c.push(target=f"beta:{target}")
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {target}; zfs change-key -i {target}")
    c.check(mountable(c, target), "the fixture can't be mounted")
    c.snapshot(f"{c.source}@s2")
    for flags in ((), ("-n",), ("--rollback",), ("--set-aside",), ("--replace", target)):
        run = c.push(*flags, target=f"beta:{target}", status=1)
        text = run.out + run.err
        for word in ("zfs change-key -o keyformat=passphrase", "--allow-key-mismatch"):
            c.check(word in text, f"{flags}: {word} isn't named: {text}")
        c.same(c.snaps(c.beta, target), ["s1"], f"the copy's snapshots with {flags}")
    c.check(mountable(c, target), "the copy can't be mounted any more")
    # The way that is named.
    c.beta(f"echo another passphrase | zfs change-key -o keyformat=passphrase -o keylocation=prompt {target}")
    c.push("--allow-rekey", target=f"beta:{target}")
    c.beta(f"zfs unload-key {target}; echo {PHRASE} | zfs load-key -L prompt {target}")
    same_files(c, c.source, target, "s2")
    # And the other one, which does what it says.
    c.beta(f"zfs change-key -i {target}")
    c.snapshot(f"{c.source}@s3")
    c.push("--allow-key-mismatch", "--allow-rekey", target=f"beta:{target}")
    c.check(not mountable(c, target), "the copy can be mounted: is the refusal of any use?")


@case("ENC")
def keys_as_zfs_send_leaves_them(c):
    """A tree of `zfs send -R -w`, whose children inherit the key of its top: increments pass, of all and of a child alone, and it stays mountable."""
    encrypted_source(c)
    c.alpha(f"zfs create {c.source}/kid; echo kid >/{c.source}/kid/file; zfs snapshot -r {c.source}@s2;"
            f" zfs send -R -w {c.source}@s2 | ssh beta zfs recv -u -o canmount=noauto {c.target}")
    c.same(c.beta.rows(f"zfs list -H -o name,encryptionroot -r {c.target}"),
           [[c.target, c.target], [f"{c.target}/kid", c.target]], "the fixture's encryption roots")
    c.snapshot(f"{c.source}@s3", f"{c.source}/kid@s3")
    c.push()
    c.snapshot(f"{c.source}/kid@s4")
    c.push(source=f"{c.source}/kid", target=f"beta:{c.target}/kid")
    c.in_sync()
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    same_files(c, f"{c.source}/kid", f"{c.target}/kid", "s4")
    c.check(mountable(c, f"{c.target}/kid"), "the child can't be mounted")
    # The source's child gets a key of its own, which its copy would not open.
    c.alpha(f"echo another passphrase | zfs change-key -o keyformat=passphrase -o keylocation=prompt {c.source}/kid")
    c.snapshot(f"{c.source}@s5", f"{c.source}/kid@s5")
    run = c.push("--json", status=1)
    c.same([event["dataset"] for event in run.of("dataset_failed")], [f"{c.source}/kid"], "what failed")
    c.check(mountable(c, f"{c.target}/kid"), "the child can't be mounted any more")


@case("ENC")
def key_that_copies_share(c):
    """zfs change-key on the source of copies that share a key: no increment parts them, one for each brings all the new key, and one that was left behind follows."""
    encrypted_source(c)
    kid = f"{c.target}/kid"
    c.alpha(f"zfs create {c.source}/kid; echo kid >/{c.source}/kid/file; zfs snapshot -r {c.source}@s2;"
            f" zfs send -R -w {c.source}@s2 | ssh beta zfs recv -u -o canmount=noauto {c.target}")

    def opened(phrase):
        c.beta(f"printf %s '{phrase}' | zfs load-key -L prompt {c.target}")
        opened = [dataset for dataset in (c.target, kid) if mountable(c, dataset)]
        c.beta(f"zfs unload-key {c.target}")
        return opened

    def change_key(phrase):
        key = c.script(c.alpha, "other", phrase)
        c.alpha(f"truncate -s -1 {key}; zfs change-key -o keylocation=file://{key} {c.source}")

    change_key("another passphrase")
    # Several at once, and as one stream.
    c.snapshot(f"{c.source}@s3", f"{c.source}@s4")
    c.push(status=1, says=(f"shares its key on the target with '{kid}'", "--allow-key-mismatch"))
    c.snapshot(f"{c.source}/kid@s4")
    c.push(source=f"{c.source}/kid", target=f"beta:{kid}", status=1, says=f"shares its key on the target with '{c.target}'")
    for dataset in (c.target, kid):
        c.same(c.snaps(c.beta, dataset)[-1], "s2", f"the newest snapshot of {dataset}")
    c.same(opened(PHRASE), [c.target, kid], "what the old key opens")
    # The way that is named.
    c.alpha(f"zfs snapshot -r {c.source}@s5")
    c.push()
    c.in_sync()
    c.same(opened("another passphrase"), [c.target, kid], "what the new key opens")
    # As a run that was cut leaves it.
    change_key("one more passphrase")
    c.alpha(f"zfs snapshot -r {c.source}@s6")
    c.push("--no-recursive", "--allow-key-mismatch")
    c.same(opened("one more passphrase"), [c.target], "what the newest key opens of copies that were parted")
    c.push()
    c.in_sync()
    c.same(opened("one more passphrase"), [c.target, kid], "what the newest key opens")


@case("ENC")
def renamed_below_a_new_parent(c):
    """--follow-renames of an encrypted dataset into a parent that is new: a rename would create that one, and its stream could not be received; it is left out, in a dry run and the run."""
    encrypted_source(c)
    c.alpha(f"zfs create {c.source}/sub; zfs create {c.source}/two; zfs snapshot -r {c.source}@s2")
    c.push()
    c.alpha(f"zfs create {c.source}/z; zfs rename {c.source}/sub {c.source}/z/sub; zfs snapshot -r {c.source}@s3")
    left_out = f"{c.target}/sub is not renamed to {c.target}/z/sub"
    # A rename would create the parent with the key loaded, and fail without.
    c.beta(f"echo {PHRASE} | zfs load-key -L prompt {c.target}")
    run = c.push("-n", "--follow-renames", "--json")
    c.check(any(left_out in event["text"] for event in run.of("notice")), "that it isn't renamed")
    full = [row["target"] for row in run.of("plan")[0]["rows"] if row["action"] == "full"]
    c.same(full, [f"{c.target}/z", f"{c.target}/z/sub"], "what a dry run sends in full")
    # The way that is named.
    c.push("--include", "z", "--exclude", "z/**")
    c.push("--follow-renames", says=f"{c.target}/sub was renamed to {c.target}/z/sub")
    c.in_sync()
    c.alpha(f"zfs create {c.source}/y; zfs rename {c.source}/two {c.source}/y/two; zfs snapshot -r {c.source}@s4")
    c.push("--follow-renames", says=f"{c.target}/two is not renamed to {c.target}/y/two")
    c.same(c.snaps(c.beta, f"{c.target}/y/two")[-1], "s4", "what was sent in full")


@case("ENC")
def placeholder_that_nothing_can_fill(c):
    """An encrypted source without a snapshot of its top: said before its placeholder is made; then a conflict, and the way that it names keeps the child."""
    c.alpha(f"zfs create {key_options(c, c.alpha)} {c.source}; zfs create {c.source}/kid; echo kid >/{c.source}/kid/file; zfs snapshot {c.source}/kid@s1")
    with c.unchanged():
        c.push("-n", says="can't be received into that later")
    c.push(says=f"{c.target} is created to hold the datasets below")
    c.snapshot(f"{c.source}@s2", f"{c.source}/kid@s2")
    run = c.push("--json", status=1)
    failed = run.of("dataset_failed")
    c.same([event["dataset"] for event in failed], [c.source], "what failed")
    for word in ("zfs rename", "--no-recursive"):
        c.check(word in failed[0]["error"], f"{word} isn't named: {failed[0]['error']}")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s1", "s2"], "the child's snapshots")
    c.beta(f"zfs rename {c.target} {c.target}-old")
    c.push("--no-recursive")
    c.beta(f"zfs rename {c.target}-old/kid {c.target}/kid; zfs destroy {c.target}-old")
    c.snapshot(f"{c.source}@s3", f"{c.source}/kid@s3")
    run = c.push("--json")
    c.same(sorted(event["from"] for event in run.of("step_started")), ["@s2", "@s2"], "what the increments start from")
    c.in_sync()

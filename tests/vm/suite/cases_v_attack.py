"""Whoever holds a restricted key: attempts by a client of our own, each of which must be refused and change nothing."""

import json

from harness import case
from hosts import Skipped
from tools import permit_key


def play(c, group, timeout=900, script="attack_run.py"):
    """Plays a group of attempts on beta; what came of each."""
    c.beta(f"zfs create {c.target}")
    lines = c.beta(f"cd /root/suite; python3 {script} {c.target} {group}", timeout=timeout).splitlines()
    return [json.loads(line) for line in lines]


def refused(c, group, at_least, **options):
    """All attempts of a group are refused, and none has changed anything."""
    attempts = play(c, group, **options)
    c.check(len(attempts) >= at_least, f"only {len(attempts)} attempts were made")
    for attempt in attempts:
        c.check(not attempt["panicked"], f"the helper panicked: {attempt}")
    wrong = [attempt for attempt in attempts if not attempt["refused"] or attempt["changes"]]
    c.same(wrong, [], f"attempts of {len(attempts)} that were not refused, or changed something")
    return attempts


@case("SEC", long=True)
def streams_that_were_not_announced(c):
    """Every kind of stream that `zfs send` makes, with every form of request that doesn't fit it."""
    refused(c, "requests", 270)


@case("SEC", long=True)
def streams_that_are_forged(c):
    """Packages and BEGIN records changed by hand, with sums that fit, in both byte orders."""
    refused(c, "forged", 100)


@case("SEC", long=True)
def records_that_no_kernel_should_see(c):
    """Lengths, numbers and compressions that no dataset has: the helper refuses them, and ZFS over there never gets them."""
    for attempt in refused(c, "broken", 50):
        c.check("refuses the stream" in attempt["words"], attempt["words"])
    c.beta("zpool sync bpool; ! dmesg | grep PANIC", timeout=30)


@case("SEC")
def streams_that_break_in_their_middle(c):
    """A stream that libzfs would read on in at another place: what is hidden in its content is never received."""
    refused(c, "desync", 3)


@case("SEC", long=True)
def requests_that_are_not_allowed(c):
    """Datasets outside of the root, names that aren't any, what needs a permission, frames out of order."""
    refused(c, "verbs", 90)


@case("SEC", long=True)
def an_empty_target_that_is_filled_meanwhile(c):
    """`zfs receive -F` is opened onto an empty filesystem and fed when that is no longer empty."""
    for attempt in refused(c, "late", 7):
        c.check("not empty" in attempt["words"] or "refuses the stream" in attempt["words"], attempt["words"])


@case("SEC")
def streams_that_never_end_into_a_mounted_filesystem(c):
    """`zfs receive -F` unmounts the empty filesystem that it is to replace: when nothing comes of it, it is mounted again."""
    refused(c, "unended", 8)


@case("SEC", long=True)
def what_is_allowed_is_received(c):
    """The same client, with what the key is for: an increment, a package, new datasets, volumes, raw streams, empty targets."""
    attempts = play(c, "fair")
    for attempt in attempts:
        c.check(not attempt["refused"], f"{attempt['name']}: {attempt['words']}")
    root = f"{c.target}/data"
    found = c.versions(c.beta, root)
    names = {path: [name for name, _ in versions] for path, versions in found.items()}
    c.same(names["mine"], ["s1", "s2", "s3", "s4"], "the snapshots of an existing dataset")
    c.same(names["new"], ["n1", "s4"], "those of a new one")
    c.same(names["raw"], ["s1", "s2", "s3", "s4"], "those of a raw one")
    c.same(names["named"], ["n1"], "those of a stream whose name lies")
    c.same(c.checksums(c.beta, f"{root}/mine@s4"), c.checksums(c.beta, f"{c.target}/src@s4"), "the files of @s4")
    properties = c.properties(c.beta, root, "canmount", "volmode", "quota", "org:evil", "mountpoint")
    for path in ("new", "enc", "named", "empty", "holder"):
        c.same(properties[path, "canmount"][0], "noauto", f"canmount of {path}")
    c.same(properties["vol", "volmode"][0], "none", "volmode of a new volume")
    c.same(properties["mine", "quota"], (str(1 << 30), "local"), "a property of our own")
    c.check(all(value != "yes" for (_, key), (value, _) in properties.items() if key == "org:evil"), "a property came along")
    c.same(c.versions(c.beta, f"{c.target}/other").keys(), {"", "victim", "victim/kid", "empty"}, "another tenant's datasets")


LOG = """
import os, socket, sys
os.path.lexists("/dev/log") and os.unlink("/dev/log")
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
open(sys.argv[1], "w").close()
while line := log.recv(65536):
    with open(sys.argv[1], "ab") as kept:
        kept.write(line + b"\\n")
"""


@case("SEC", alone=True)
def refusals_are_logged_on_the_target(c):
    """What is refused goes to the target's syslog, harmless and in one line, whatever the sender says of it."""
    log, program = f"/var/tmp/zfsync-suite/{c.name}/log", c.script(c.beta, "log.py", LOG)
    c.beta(f"zfs create {c.target}; (setsid python3 {program} {log} >/dev/null 2>&1 &)")
    c.cleanups.append((c.beta, f"pkill -f '[p]ython3 {program}'; rm -f /dev/log"))
    c.beta.wait_for("the log listens", f"test -e {log}")
    c.tree({"": "s1"})
    options = f"--root {c.target}/in"
    c.beta(f"""cd /root/suite; zfs create {c.target}/in; python3 - <<'END'
import subprocess
from attack_wire import Session, receive
session = Session(*{options.split()!r})
stream = subprocess.run(["zfs", "send", "-p", "{c.target}@none"], capture_output=True).stdout or b"x" * 400
assert receive(session, stream, dataset="{c.target}/in/new", kind="filesystem", brings={{"snapshot": "x"}}, create=True)
assert receive(session, stream, dataset="{c.target}/out", kind="filesystem", brings={{"snapshot": "x"}}, create=True)
session.close()
END""")
    lines = c.beta.lines(f"cat {log}")
    c.same(len(lines), 2, "lines in the log")
    c.check(all(line.startswith("<36>zfsync[") for line in lines), f"not as syslog(3) writes: {lines}")
    c.check(f"refuses the stream for {c.target}/in/new: it is not a zfs send stream" in lines[0], lines[0])
    c.check(f"not {c.target}/out" in lines[1], lines[1])


ADDING = "receive:append,create,mount,canmount,readonly,volmode,userprop"


@case("SEC", long=True)
def a_key_that_can_only_add(c):
    """The lines of docs/restricted-key.md: a delegated user with a forced command receives, and what needs more is refused or named."""
    c.tree({"": "s1 s2", "a": "s1 s2", "v": "s1 s2"}, volumes=("v",))
    root = f"{c.target}/alpha"
    c.beta(f"zfs create -o canmount=off {c.target}; zfs create -o canmount=off {root}")
    allowed = c.beta.try_run(f"zfs allow -u repl {ADDING} {root}")
    if allowed.status != 0:
        raise Skipped("this OpenZFS doesn't know receive:append")
    key = f"/var/tmp/zfsync-suite/{c.name}/key"
    c.alpha(f"mkdir -p $(dirname {key}); rm -f {key}*; ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {key}")
    line = f"""restrict,command="zfsync recv --stdio --root {root}" {c.alpha(f"cat {key}.pub")}"""
    permit_key(c, c.beta, line, "repl")
    with_key = ("-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")
    target, host = f"{root}/data", "repl@beta"
    run = c.push(*with_key, target=f"{host}:{target}")
    c.check("zfs on the target says" not in run.err, f"something was missing: {run.err}")
    c.in_sync(target=target)
    c.safe(target=target)
    c.snapshot(f"{c.source}@s3", f"{c.source}@s4", f"{c.source}/a@s3", f"{c.source}/a@s4")
    c.push(*with_key, target=f"{host}:{target}")
    c.in_sync(target=target)
    c.push(*with_key, target=f"{host}:{c.target}/elsewhere", status=3, says=(root, "--root"))
    for flags in (("--rollback",), ("--set-aside",), ("--replace", f"{target}/a")):
        c.push(*with_key, *flags, target=f"{host}:{target}", status=3, says="--allow")
    # What needs `-F`: a delegated user can't even find out that nothing is in there.
    c.beta(f"zfs create -u -o canmount=off -o zfsync:placeholder=on {root}/empty")
    before = c.beta(f"zfs get -Hp -o value guid {root}/empty")
    c.push(*with_key, source=f"{c.source}/a", target=f"{host}:{root}/empty", status=1, says="nothing was changed")
    c.same(c.beta(f"zfs get -Hp -o value guid {root}/empty"), before, "the guid of an empty filesystem")
    # And without one permission after the other: what arrives is said to lack something.
    for lacking in ("canmount", "readonly", "volmode", "userprop"):
        c.beta(f"zfs unallow -u repl {lacking} {root}")
        run = c.push(*with_key, target=f"{host}:{root}/without-{lacking}",
                     says=f"cannot receive {'zfsync:received' if lacking == 'userprop' else lacking} property")
        c.in_sync(target=f"{root}/without-{lacking}")
        c.beta(f"zfs allow -u repl {lacking} {root}")
    for lacking in ("receive:append", "create", "mount"):
        c.beta(f"zfs unallow -u repl {lacking} {root}")
        c.push(*with_key, target=f"{host}:{root}/without-{lacking.split(':')[0]}", status=1, says="permission denied")
        c.beta(f"zfs allow -u repl {lacking} {root}")

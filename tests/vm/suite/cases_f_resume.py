"""Cut receives: they are gone on with, or dropped when nothing can go on with them (rows D01 to D17)."""

import re
import signal

from harness import MARK, VOLUME_DEVICE, case, knows, q
from tools import Gate, cutting_helper, pids

MEGABYTES = 2


def big(c, *snaps, path="", megabytes=MEGABYTES):
    """Some new data before each snapshot, so that a stream can be cut in the middle."""
    name = f"{c.source}{path}"
    c.alpha("\n".join(f"head -c {megabytes}M /dev/urandom >/{name}/{snap}; zfs snapshot {name}@{snap}" for snap in snaps))


def token(c, path="", target=None):
    """The token of a cut receive on the target; "" when there is none."""
    found = c.beta(f"zfs list -H -o receive_resume_token {target or c.target}{path} 2>/dev/null || echo -").strip()
    return "" if found == "-" else found


def cut(c, *streams):
    """Receives by hand, as zfsync makes them, that get only a part of their stream: a signal in the middle would be a race.

    Each is (arguments of zfs send, arguments of zfs recv, bytes that arrive).
    """
    place = f"/var/tmp/zfsync-suite/{c.name}/cut"
    script = [f"mkdir -p {place}"]
    script += [f"zfs send {send} | head -c {most} >{place}/{n}" for n, (send, _, most) in enumerate(streams)]
    there = "; ".join(f"zfs recv -s -u {recv} <{place}/{n} || true" for n, (_, recv, _) in enumerate(streams))
    script.append(f"tar -C / -cf - {place[1:]} | ssh beta {q(f'tar -C / -xf -; {there}; rm -r {place}')}; rm -r {place}")
    c.alpha("\n".join(script))
    for _, recv, _ in streams:
        c.check(token(c, target=recv.split()[-1]), f"the fixture made no token on {recv}")


def half(c, stream, recv, most=MEGABYTES << 19):
    """A stream of `cut` that brings half of a snapshot's data."""
    return stream, recv, most


def ends_well(c, run, *paths, target=None):
    """In sync, the same content, nothing left over, and asleep."""
    target = target or c.target
    c.in_sync(target=target)
    left = [path for path, (value, _) in c.properties(c.beta, target, "receive_resume_token").items() if value != "-"]
    c.same(left, [], "datasets with a token")
    c.safe(target)
    versions = c.versions(c.alpha, c.source)
    for path in paths or ("",):
        below, newest = f"/{path}" if path else "", versions[path][-1][0]
        c.same(c.checksums(c.beta, f"{target}{below}@{newest}"), c.checksums(c.alpha, f"{c.source}{below}@{newest}"), f"the content of {path!r}")
    return run


def resumed(run, tried=False):
    """{dataset: for each of its steps whether it was resumed}; of those that came to an end, or of all.

    The rest of a cut increment is only found when the target refuses another one, so the first try of it may be in vain.
    """
    found, done = {}, {event["step"] for event in run.of("step_done")}
    for event in run.of("step_started"):
        if tried or event["step"] in done:
            found.setdefault(event["dataset"], []).append(event["resumed"])
    return found


@case("D01", "D10", "D11", "D13", "D14", versions=True)
def every_kind(c):
    """Cut: a first stream, an increment, one of several snapshots in its second, a volume's, a package's (-pwR). All are gone on with.

    A dry run shows that, and changes nothing, neither tokens nor createtxg nor snapshots_changed.
    """
    c.tree({"": "a", "inc": "a", "many": "a"})
    c.push()
    s, t = c.source, c.target
    c.alpha(f"""{VOLUME_DEVICE}
        zfs create {s}/full; zfs create {s}/package; zfs snapshot {s}/package@empty; zfs create -s -V 8M {s}/volume
        path=$(device {s}/volume); dd if=/dev/urandom of="$path" bs=1M count={MEGABYTES} conv=fsync status=none
        zfs snapshot {s}/volume@a""")
    big(c, "a", path="/full")
    big(c, "b", path="/inc")
    big(c, "b", "c", path="/many")
    big(c, "something", path="/package")
    whole = int(c.alpha(f"zfs send -w -i @a {s}/many@b | wc -c"))
    asleep = "-o canmount=noauto"
    cut(c, half(c, f"-w {s}/full@a", f"{asleep} {t}/full"), half(c, f"-w {s}/volume@a", f"{t}/volume"),
        half(c, f"-w -i @a {s}/inc@b", f"{t}/inc"), half(c, f"-w -I @a {s}/many@c", f"{t}/many", whole + (MEGABYTES << 19)),
        half(c, f"-pwR {s}/package@something", f"{asleep} {t}/package"))
    c.snapshot(f"{s}/full@c")
    # OpenZFS 2.1 doesn't know the property; there the rest of what is compared has to do.
    changed = f"zfs get -H -r -o name,value snapshots_changed {t}" if knows(c.beta, "snapshots_changed") else "true"
    before = c.beta(changed)
    with c.unchanged():
        run = c.push("-n", "--json")
    c.same(c.beta(changed), before, "snapshots_changed after a dry run")
    rows = {}
    for row in run.of("plan")[0]["rows"]:
        rows.setdefault(row["dataset"], []).append(row["action"])
    # Where nothing is there yet the rest is seen without trying.
    for path in ("full", "volume"):
        c.check("resume" in rows[f"{s}/{path}"], f"the dry run doesn't say resume: {rows[f'{s}/{path}']}")
    run = ends_well(c, c.push("--json"), "full", "inc", "many", "package")
    c.same(resumed(run), {f"{s}/full": [True, False], f"{s}/inc": [True], f"{s}/many": [True], f"{s}/package": [True],
                          f"{s}/volume": [True]}, "which steps were resumed")
    c.same(c.volume_checksum(c.beta, f"{t}/volume@a"), c.volume_checksum(c.alpha, f"{s}/volume@a"), "the volume's content")


def encrypted(c, *paths):
    """Encrypted datasets with data and a snapshot @a, below a plain one that is on the target already."""
    key = c.script(c.alpha, "key", "correct horse battery")
    c.tree({"": "a"})
    c.alpha("\n".join(f"zfs create -o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file://{key} {c.source}/{path}"
                      for path in paths))
    for path in paths:
        big(c, "a", path=f"/{path}")


@case("D09", "E07")
def raw_or_not(c):
    """A raw stream that was cut is gone on with raw, a decrypted one decrypted; where the mode isn't the wanted one any more, the rest is dropped.

    [POLICY] The wish of the moment counts, not the token: plaintext is never sent unless --decrypt says so.
    """
    encrypted(c, "raw", "clear")
    targets = {"--json": c.target, "--decrypt": f"{c.target}-clear"}
    for target in targets.values():
        c.push("--no-recursive", target=f"beta:{target}")
    asleep = "-o canmount=noauto"
    cut(c, *(half(c, f"{flags} {c.source}/{path}@a", f"{asleep} {target}/{path}")
             for target in targets.values() for path, flags in (("raw", "-w"), ("clear", "-Lec"))))
    for flag, target in targets.items():
        fits, dropped = ("raw", "clear") if target == c.target else ("clear", "raw")
        with c.unchanged():
            had = token(c, f"/{dropped}", target)
            c.push(flag, "-n", target=f"beta:{target}")
            c.same(token(c, f"/{dropped}", target), had, "the token after a dry run")
        run = c.push(flag, "--json", target=f"beta:{target}") if flag != "--json" else c.push(flag, target=f"beta:{target}")
        said = [event["text"] for event in run.of("notice") if "can't be resumed" in event["text"]]
        c.check(len(said) == 1 and "raw" in said[0] and "decrypted" in said[0], f"what was said of the dropped one: {said}")
        c.same(resumed(run), {f"{c.source}/{fits}": [True], f"{c.source}/{dropped}": [False]}, f"which steps were resumed to {target}")
        c.in_sync(target=target)
        found = c.properties(c.beta, target, "encryption", "keystatus", "receive_resume_token")
        wanted = ("aes-256-gcm", "unavailable") if target == c.target else ("off", "-")
        for path in ("raw", "clear"):
            c.same((found[path, "encryption"][0], found[path, "keystatus"][0]), wanted, f"{target}/{path}'s encryption and key")
            c.same(found[path, "receive_resume_token"][0], "-", f"the token of {target}/{path}")
    c.same(c.checksums(c.beta, f"{c.target}-clear/raw@a"), c.checksums(c.alpha, f"{c.source}/raw@a"), "the content")


@case("D01", "D05", "D15")
def useless_rests(c):
    """Their snapshot was destroyed and another one has its name, or they are of another dataset: dropped, told, and all arrives in the same run.

    [POLICY] One run is enough: what is dropped is sent anew at once, with retries or without.
    """
    c.tree({"": "a", "inc": "a", "other": ""})
    c.push()
    s, t = c.source, c.target
    c.alpha(f"zfs create {s}/full; zfs create {s}-not-chosen; head -c {MEGABYTES}M /dev/urandom >/{s}-not-chosen/file; zfs snapshot {s}-not-chosen@b")
    big(c, "b", path="/full")
    big(c, "b", path="/inc")
    big(c, "b", path="/other", megabytes=1)
    cut(c, half(c, f"-w {s}/full@b", f"-o canmount=noauto {t}/full"), half(c, f"-w -i @a {s}/inc@b", f"{t}/inc"),
        half(c, f"-w {s}-not-chosen@b", f"-o canmount=noauto {t}/other"))
    c.alpha(f"zfs destroy {s}/full@b; zfs destroy {s}/inc@b; zfs snapshot {s}/full@b {s}/inc@b")
    run = ends_well(c, c.push("--json", "--retries", "0"), "full", "inc", "other")
    said = {event["dataset"]: event["text"] for event in run.of("notice") if "can't be resumed" in event["text"]}
    c.same(sorted(said), [f"{s}/full", f"{s}/inc", f"{s}/other"], "whose rests were dropped")
    c.check(f"{s}-not-chosen@b" in said[f"{s}/other"], f"it isn't named whose rest it was: {said[f'{s}/other']}")
    c.same(resumed(run), {f"{s}/{path}": [False] for path in ("full", "inc", "other")}, "which steps were resumed")


@case("D07")
def rest_between(c):
    """--newest-only, and the cut stream's snapshot is not the newest any more.

    [POLICY] What has arrived is not thrown away: the cut one is completed, then the newest follows. No selection of zfsync excludes
    a snapshot otherwise.
    """
    c.tree({"": "a"})
    c.push()
    big(c, "b")
    cut(c, half(c, f"-w -i @a {c.source}@b", c.target))
    c.snapshot(f"{c.source}@c", f"{c.source}@d")
    run = c.push("--newest-only", "--json")
    c.same(resumed(run), {c.source: [True, False]}, "which steps were resumed")
    c.same(c.snaps(c.beta, c.target), ["a", "b", "d"], "the target's snapshots")
    c.same(token(c), "", "the token")


@case("D03", "D12")
def no_resume(c):
    """--no-resume drops partially received state and goes on; a run with it that is cut leaves none."""
    c.tree({"": "a"})
    c.push()
    big(c, "b")
    cut(c, half(c, f"-w -i @a {c.source}@b", c.target))
    with c.unchanged():
        c.push("--no-resume", "-n")
    run = ends_well(c, c.push("--no-resume", "--json"))
    c.same(resumed(run), {c.source: [False]}, "which steps were resumed")
    big(c, "c")
    program = cutting_helper(c, MEGABYTES << 19)
    c.push("--no-resume", "--retries", "0", "-j", "1", "--remote-zfsync", program, status=1)
    c.same(token(c), "", "the token")
    c.same(c.snaps(c.beta, c.target), ["a", "b"], "the target's snapshots")


@case("D06", "D17")
def nothing_to_send(c):
    """Where nothing is to be sent the rest stays; it goes when something newer comes, with its dataset, and with --no-resume.

    [POLICY] A dataset in sync is not listed, so its token isn't seen; that keeps a run with nothing to do cheap.
    """
    c.tree({"": "a"})
    c.push()
    big(c, "b")
    cut(c, half(c, f"-w -i @a {c.source}@b", c.target))
    c.alpha(f"zfs destroy {c.source}@b")
    with c.unchanged():
        c.push()
        c.push("--include", "no-such", status=1, says="no dataset of")
    c.check(token(c), "the token is gone")
    big(c, "c")
    ends_well(c, c.push(says="can't be resumed"))
    # Pruned on the target by hand: the snapshot, then all.
    big(c, "d")
    cut(c, half(c, f"-w -i @c {c.source}@d", c.target))
    c.beta(f"zfs destroy {c.target}@a")
    run = c.push("--json")
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")
    big(c, "e")
    cut(c, half(c, f"-w -i @d {c.source}@e", c.target))
    c.beta(f"zfs destroy -r {c.target}")
    ends_well(c, c.push())


@case("D01", "D14")
def cut_again_and_again(c):
    """Every attempt is cut after some bytes: each gets further, so the run ends well with --retries 2, though it takes more than two.

    A run without retries fails, exit 1, and leaves its rest; snapshots taken after it arrive, too.
    """
    c.tree({"": ""})
    big(c, "a", megabytes=5)
    program = cutting_helper(c, 1 << 20)
    arguments = ["--retry-max-wait", "1s", "-j", "1", "--remote-zfsync", program]
    run = c.push("--json", "--retries", "0", *arguments, status=1)
    c.check(token(c), "the cut run has left no token")
    c.same(resumed(run, True), {c.source: [False]}, "which steps were resumed in the first run")
    c.snapshot(f"{c.source}@b", f"{c.source}@c")
    run = ends_well(c, c.push("--json", "--retries", "2", *arguments))
    tries = resumed(run, True)[c.source]
    c.check(len(tries) >= 5 and all(tries[:-1]), f"which steps were resumed: {tries}")
    done = sum(event["bytes"] for event in run.of("step_done"))
    c.check(run.of("finished")[0]["bytes"] > done, "what was sent before the stream was resumed is not counted")
    rests = [event["total"] for event in run.of("step_estimated")][:-1]
    c.check(all(after < before for before, after in zip(rests, rests[1:])), f"what was still to send did not always shrink: {rests}")


@case("D01", "D14")
def helper_lost(c):
    """The helper dies in the middle of a stream: its zfs recv ends, the same run connects anew and goes on; what it is told is plain."""
    c.tree({"": ""})
    big(c, "a", "b")
    gate = Gate(c, 1 << 20)
    running = c.start("--json", *gate.args)
    gate.reached()
    receives = pids(c, c.beta, "zfs recv")
    c.check(receives, "there is no zfs recv")
    c.beta(f"kill -9 {' '.join(pids(c, c.beta, 'zfsync recv'))}")
    c.beta.wait_for("its receive has ended", "\n".join(f"! test -e /proc/{pid}" for pid in receives))
    gate.open()
    run = ends_well(c, running.end(150))
    c.same(run.status, 0, "the exit status")
    failed = run.of("step_failed")
    c.check(failed and failed[0]["retry"], f"no step was tried again: {failed}")
    c.check(resumed(run, True)[c.source][1], "the second attempt did not go on")


@case("D14")
def helper_stopped(c):
    """A run was killed and its helpers are stopped: the next one is told which of them holds the lock and how to end it, and the one after that resumes."""
    c.tree({"": ""})
    big(c, "s1")
    gate = Gate(c, 1 << 20)
    running = c.start(*gate.args)
    gate.reached()
    helpers = pids(c, c.beta, "zfsync recv")
    c.beta(f"kill -STOP {' '.join(helpers)}")
    c.cleanups.append((c.beta, f"kill -9 {' '.join(helpers)} || true"))
    running.signal(signal.SIGKILL)
    running.end(60)
    run = c.push(status=4, says=(f"process {running.process.pid}, since 2", "kill -CONT "))
    found = re.search(r"helper process (\d+)\), for .*see ps -o pid,stat,etime,args -p (\d+) on beta .* kill -9 (\d+) ends it", run.err, re.DOTALL)
    c.check(found and len(set(found.groups())) == 1 and found[1] in helpers, f"the helper's process is not named: {run.err}")
    c.beta(f"kill -9 {found[1]}")
    gate.open()
    ends_well(c, c.push("--wait-lock", "60s"))


@case("D01", "D14", "A11", versions=True)
def into_something_empty(c):
    """Cut while a first stream goes into what was there and empty (a placeholder, a filesystem made by hand): gone on with, which takes `recv -F` again."""
    c.tree({"": "", "kid": "s1", "made": ""})
    c.push()
    c.beta(f"zfs create -o canmount=noauto {c.target}/made")
    big(c, "s2")
    big(c, "s2", path="/made")
    cutting = cutting_helper(c, 1 << 20)
    for path in ("", "/made"):
        options = ("--no-recursive", "-j", "1", "--retries", "0", "--remote-zfsync", cutting)
        c.push(*options, source=f"{c.source}{path}", target=f"beta:{c.target}{path}", status=1)
        c.check(token(c, path), f"the fixture made no token on {path!r}")
    run = c.push("--json")
    c.same(resumed(run), {c.source: [True], f"{c.source}/made": [True]}, "which steps were resumed")
    ends_well(c, run, "", "made")


@case("D01", "C02", long=True)
def in_place_of_data(c):
    """What --replace gave up has data still, and the stream in its place was cut: a plain run is in conflict and touches nothing; with the flag it goes on."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    c.alpha(f"zfs destroy {c.source}@s1; zfs list -H -o name -t bookmark -d 1 {c.source} | xargs -n 1 zfs destroy")
    big(c, "s2")
    replace = ("--replace", c.target, "-j", "1")
    gate = Gate(c, 1 << 20)
    gate.shut()
    relay, place = f"/var/tmp/zfsync-suite/{c.name}/relay.py", gate.place
    gated = c.script(c.beta, "gated-replace", f"#!/bin/sh\nexport {MARK}={c.name}\npython3 {relay} {1 << 20} {place} | zfsync recv --stdio --allow destroy")
    running = c.start(*replace, "--retries", "0", "--remote-zfsync", gated)
    gate.reached()
    running.signal(signal.SIGKILL)
    running.end(60)
    c.beta.wait_for("the receive has ended", f"! pgrep -f '[z]fs recv.*{c.target}'", 60)
    c.check(token(c), "the fixture made no token")
    with c.unchanged():
        c.push(status=1, says="--replace")
    c.push("--json", *replace, "--wait-lock", "60s")
    ends_well(c, None)


@case("D01")
def overtaken_by_a_snapshot_of_the_target(c):
    """Something over there takes snapshots of the copy while it receives, or of one with a cut receive: ZFS ends that with words that mislead; it is sent anew in the same run."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    big(c, "s2")
    gate = Gate(c, 1 << 20)
    running = c.start(*gate.args)
    gate.reached()
    c.beta(f"zfs snapshot {c.target}@theirs")
    gate.open()
    run = running.end(120)
    c.same(run.status, 0, "the exit status")
    c.check("a snapshot was added to the target since then" in run.err, "that the rest is dropped, and why")
    big(c, "s3")
    cut(c, half(c, f"-Lec -i @s2 {c.source}@s3", c.target))
    c.beta(f"zfs snapshot {c.target}@theirs2")
    c.push(says="a snapshot was added to the target since then")
    # One that was there before does no harm: the rest is gone on with.
    c.beta(f"zfs snapshot {c.target}@theirs3")
    big(c, "s4")
    cut(c, half(c, f"-Lec -i @s3 {c.source}@s4", c.target))
    run = c.push("--json")
    c.same(resumed(run), {c.source: [True]}, "which steps were resumed")
    c.beta(f"zfs destroy {c.target}@theirs,theirs2,theirs3")
    ends_well(c, run)

"""zfsync doctor: what it reports before a first run is what that run finds."""

import json

from harness import case
from tools import sshd

FOR_TARGET = "receive,create,mount,canmount,readonly,volmode,userprop"


def doctor(c, *args, status=0):
    """What doctor finds: {end: {check: finding}}, and the run."""
    run = c.zfsync("doctor", "--json", *args, status=status)
    found = json.loads(run.out)
    c.same(found["schema_version"], 1, "the schema's version")
    return {end["role"]: {"end": end} | {one["check"]: one for one in end["findings"]} for end in found["ends"]}


def marks(c, found, end, **wanted):
    """Each check has its mark; all others are ok. Not the clock: other cases set that meanwhile (plan/doctor_tests.rs has it)."""
    for check, finding in found[end].items():
        if check not in ("end", "clock"):
            mark = wanted.get(check.replace(" ", "_"), "ok")
            c.same(finding["mark"], mark, f"the mark of {check} of the {end}, {finding}")


@case("DOCTOR", versions=True)
def all_is_well(c):
    """Both ends, as root: everything is OK, nothing is changed, and the push that follows works; both ends of a pull too."""
    c.tree({"": "s1", "a": "s1"})
    before = c.beta.lines("zfs list -H -o name"), c.alpha.lines(f"zfs get -H -o property,value -s local all {c.source}")
    found = doctor(c, "--source", c.source, f"beta:{c.target}")
    marks(c, found, "source")
    marks(c, found, "target")
    end = found["target"]["end"]
    c.check(end["connection"]["cipher"] and end["connection"]["login_method"] == "publickey", f"the connection: {end}")
    c.same(end["connection"]["sessions_granted"], 10, "sessions")
    version = c.beta("cat /sys/module/zfs/version")
    c.same(end["zfs_kernel_module"], version, "the module's version")
    c.check(f"{c.target} will be created below bpool" in found["target"]["dataset"]["words"], found["target"]["dataset"])
    after = c.beta.lines("zfs list -H -o name"), c.alpha.lines(f"zfs get -H -o property,value -s local all {c.source}")
    c.same(after[1], before[1], "properties of the source")
    c.check(not c.exists(c.beta, c.target), "the target was made")
    text = c.zfsync("doctor", "--source", c.source, f"beta:{c.target}").out
    c.check("FAIL" not in text and "sessions over one connection" in text, text)
    c.push()
    c.in_sync()
    found = doctor(c, "--source", f"beta:{c.target}", "--local", f"{c.source}-back")
    marks(c, found, "source")
    marks(c, found, "target")


@case("DOCTOR", "I24", versions=True)
def a_permission_is_missing(c):
    """A user who lacks permissions on either side: each is named, the lines that are printed grant just them, and then a push works."""
    c.tree({"": "s1"})
    c.beta(f"zfs create -o canmount=off {c.target}; zfs allow -s @zfsync create,canmount,readonly {c.target}; zfs allow repl @zfsync,receive,userprop {c.target}")
    c.alpha(f"zfs allow repl bookmark,destroy,mount {c.source}")
    c.cleanups.append((c.alpha, f"zfs unallow repl {c.source}"))
    target = f"{c.target}/t"

    def look(status):
        command = f"zfsync doctor --json --source {c.source} repl@beta:{target}"
        run = c.ended(c.start(argv=["su", "repl", "-c", command]), status, 150, ())
        return {end["role"]: {one["check"]: one for one in end["findings"]} for end in json.loads(run.out)["ends"]}

    found = look(1)
    c.same(found["target"]["permissions"]["mark"], "failure", found["target"]["permissions"])
    c.check(f"lacks mount,volmode on {c.target}" in found["target"]["permissions"]["words"], found["target"]["permissions"])
    c.check(f"lacks send,hold,userprop on {c.source}" in found["source"]["permissions"]["words"], found["source"]["permissions"])
    for host, end in ((c.beta, "target"), (c.alpha, "source")):
        host(found[end]["permissions"]["advice"].split(", as root: ")[1])
    found = look(0)
    for end in ("source", "target"):
        c.same(found[end]["permissions"]["mark"], "ok", found[end]["permissions"])
    c.push(argv=["su", "repl", "-c", f"zfsync push {c.source} repl@beta:{target}"])
    c.in_sync(target=target)


@case("DOCTOR", "POOL", versions=True)
def pools_and_features(c):
    """A pool that lacks a feature, one imported read-only, one that is DEGRADED, one that is missing, one without room; the printed line helps."""
    source, target = c.file_pools(make=False)
    c.alpha(f"truncate -s 512M /var/tmp/{source}.img; zpool create -o cachefile=none {source} /var/tmp/{source}.img")
    c.alpha(f"zfs create -o dnodesize=2k {source}/t; head -c 150M /dev/urandom >/{source}/t/f; zfs snapshot {source}/t@s1; zpool sync {source}")
    place = f"/var/tmp/{target}"
    c.beta(f"""truncate -s 128M {place}.img {place}.two
        zpool create -o cachefile=none -o feature@large_dnode=disabled {target} mirror {place}.img {place}.two""")
    c.cleanups.append((c.beta, f"rm -f {place}.two"))
    where = ("--source", f"{source}/t", f"beta:{target}/t")
    found = doctor(c, *where)
    marks(c, found, "target", features="warning", space="warning")
    command = f"zpool set feature@large_dnode=enabled '{target}'"
    c.same(found["target"]["features"]["advice"], f"on beta: {command}", "what to do about the feature")
    c.beta(command)
    c.beta(f"zpool offline {target} {place}.two")
    marks(c, doctor(c, *where), "target", pool="warning", space="warning")
    c.beta(f"zpool export {target}")
    found = doctor(c, *where, status=1)
    c.check(f"no pool '{target}' is imported" in found["target"]["pool"]["words"], found["target"]["pool"])
    c.beta(f"zpool import -d /var/tmp -o readonly=on -o cachefile=none {target}")
    found = doctor(c, *where, status=1)
    c.check("read-only" in found["target"]["pool"]["words"], found["target"]["pool"])


@case("DOCTOR", "ENC")
def keys(c):
    """A target below a dataset whose key isn't loaded fails for an unencrypted source; the printed command helps."""
    c.tree({"": "s1"})
    key = c.script(c.beta, "key", "correct horse battery")
    c.beta(f"zfs create -o encryption=on -o keyformat=passphrase -o pbkdf2iters=100000 -o keylocation=file://{key} {c.target}")
    c.beta(f"zfs unmount {c.target}; zfs unload-key {c.target}")
    where = ("--source", c.source, f"beta:{c.target}/in")
    found = doctor(c, *where, status=1)
    marks(c, found, "target", encryption="failure")
    c.beta(found["target"]["encryption"]["advice"].removeprefix("on beta: ").split(";")[0])
    marks(c, doctor(c, *where), "target")


@case("DOCTOR", "NET", alone=True)
def few_sessions(c):
    """A server that grants two sessions: as many are counted, and -j 1 is advised."""
    with sshd(c, "MaxSessions=2") as server:
        found = doctor(c, *server.args, f"beta:{c.target}")
    marks(c, found, "target", sessions="warning")
    c.same(found["target"]["end"]["connection"]["sessions_granted"], 2, "sessions")
    c.check("-j 1" in found["target"]["sessions"]["advice"], found["target"]["sessions"])

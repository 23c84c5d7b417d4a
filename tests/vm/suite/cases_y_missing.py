"""What is missing must be known to be missing: nothing goes for a listing with a gap, a source that isn't in sync, or a wrong clock."""

import time

from cases_g_conflicts import write
from harness import VOLUME_DEVICE, case
from tools import cutting_helper


def mirror(c, *options, what="both", grace="0", **more):
    """A push that clears away what is missing."""
    return c.push("--delete-missing", what, "--grace", grace, *options, **more)


def unreadable(c, host, pool, dataset):
    """Makes a dataset's root block unreadable, all copies of it, as failing sectors would: `zfs list -r` leaves out the rest of that level."""
    file = f"/var/tmp/{pool}.img"
    host(f"""for n in 1 2 3 4 5 6 7 8 9 10 11 12; do zfs set x:y=$n {pool}; zpool sync {pool}; done
        echo 0 >/sys/module/zfs/parameters/spa_load_verify_metadata
        zpool export {pool}
        line=$(zdb -e -p /var/tmp -dddd {dataset} 2>/dev/null | grep '^Dataset {dataset} ' | head -1)
        dvas=$(echo "$line" | grep -o 'DVA\\[[0-9]\\]=<[0-9a-f:]*>' | sed 's/.*<//; s/>//')
        test -n "$dvas"
        for dva in $dvas; do
            at=$((0x$(echo $dva | cut -d: -f2) + 0x400000))
            dd if=/dev/urandom of={file} bs=512 seek=$((at / 512)) count=1 conv=notrunc 2>/dev/null
        done
        zpool import -N -o cachefile=none -d /var/tmp {pool}""")


@case("MISSING", alone=True)
def unreadable_source(c):
    """One unreadable dataset at the source: what can be read is replicated, nothing is deemed missing, exit status 1 with zfs's words."""
    src, _ = c.file_pools(make=False)
    c.alpha(f"truncate -s 300M /var/tmp/{src}.img; zpool create -O mountpoint=none -O atime=off -o cachefile=none {src} /var/tmp/{src}.img")
    source = f"{src}/s"
    c.alpha(f"zfs create {source}; for d in a b c d; do zfs create {source}/$d; done; zfs snapshot -r {source}@1")
    mirror(c, source=source)
    unreadable(c, c.alpha, src, f"{source}/b")
    had = c.versions(c.beta, c.target)
    c.alpha(f"zfs snapshot {source}@2")
    for options in ((), ("--rollback",), ("--set-aside",)):
        run = mirror(c, *options, source=source, status=1, says="i/o error")
    c.push("-q", source=source, status=1, says="cannot iterate filesystems")
    mirror(c, "-n", source=source, status=1, says="i/o error")
    c.check("2" in c.snaps(c.beta, c.target), f"what can be read was not replicated: {run.err}")
    now = c.versions(c.beta, c.target)
    c.check(all(one in now for one in had), f"something is gone on the target: {had}, {now}")
    # What takes what isn't listed for missing does nothing at all.
    c.zfsync("prune", "--keep", "24h", source, status=3, says="i/o error")
    c.zfsync("snapshot", source, status=1, says="i/o error")


@case("MISSING", alone=True)
def unreadable_target(c):
    """One unreadable dataset on the target: the others are replicated, nothing is destroyed, exit status 1 with zfs's words."""
    _, dst = c.file_pools(make=False)
    c.beta(f"truncate -s 300M /var/tmp/{dst}.img; zpool create -O mountpoint=none -O atime=off -o cachefile=none {dst} /var/tmp/{dst}.img")
    target = f"{dst}/t"
    c.tree({"": "s1", "a": "s1", "b": "s1", "d": "s1"})
    mirror(c, target=f"beta:{target}")
    unreadable(c, c.beta, dst, f"{target}/d")
    c.alpha(f"zfs destroy -r {c.source}/a; zfs destroy -r {c.source}/d")
    c.snapshot(f"{c.source}@s2")
    mirror(c, target=f"beta:{target}", status=1, says="i/o error")
    c.same(c.snaps(c.beta, target), ["s1", "s2"], "the target's snapshots")
    c.check(c.exists(c.beta, f"{target}/a"), "what was missing is gone although the target could not be listed")
    c.push("-q", target=f"beta:{target}")


@case("MISSING")
def not_in_sync(c):
    """A source that was made anew, names that went round, and a copy that does not fit: nothing is destroyed before all is in sync."""
    c.tree({"": "s1", "a": "s1", "b": "s1", "c": "s1"})
    mirror(c)
    # a -> b, b -> c: b's only copy is the target's b.
    c.alpha(f"zfs destroy -r {c.source}/c; zfs rename {c.source}/b {c.source}/c; zfs rename {c.source}/a {c.source}/b")
    had = c.versions(c.beta, c.target)
    mirror(c, status=1, says="not every selected dataset is in sync")
    mirror(c, "-n", status=1)
    now = c.versions(c.beta, c.target)
    c.check(all(one in now for one in had), f"something is gone: {had}, {now}")
    c.alpha(f"zfs destroy -r {c.source}; zfs create {c.source}; zfs snapshot {c.source}@new")
    mirror(c, status=1, says="not every selected dataset is in sync")
    now = c.versions(c.beta, c.target)
    c.check(all(one in now for one in had), f"something is gone: {had}, {now}")
    # The same where the new one has no snapshot, and so is no conflict.
    c.alpha(f"zfs destroy {c.source}@new; zfs create {c.source}/x; zfs snapshot {c.source}/x@s1")
    mirror(c, status=1, says="nothing that is missing on the source is destroyed")
    now = c.versions(c.beta, c.target)
    c.check(all(one in now for one in had), f"something is gone: {had}, {now}")


@case("MISSING")
def no_room_for_the_new_copy(c):
    """A dataset was moved at the source and its new copy does not fit: the old one stays."""
    c.tree({"": "s1", "old": "s1"})
    c.alpha(f"head -c 3000000 /dev/urandom >/{c.source}/old/big; zfs snapshot {c.source}/old@s2")
    mirror(c)
    c.alpha(f"zfs create {c.source}/dir; zfs snapshot {c.source}/dir@s1; zfs rename {c.source}/old {c.source}/dir/new")
    c.beta(f"zfs set quota=4500K {c.target}")
    for _ in range(2):
        mirror(c, status=1)
        c.same(c.snaps(c.beta, f"{c.target}/old"), ["s1", "s2"], "the old copy's snapshots")
    c.beta(f"zfs set quota=none {c.target}")
    mirror(c)
    mirror(c)
    c.only("", "dir", "dir/new")
    c.in_sync()


@case("MISSING")
def still_at_the_source(c):
    """What was moved into an excluded area, or was renamed on the target to keep it, or is another target of the source, stays."""
    c.tree({"": "s1", "moved": "s1", "kept": "s1", "kept/kid": "s1", "plain": "s1 s2", "attic": ""})
    c.push()
    c.push(target=f"beta:{c.target}/second")
    c.alpha(f"zfs rename {c.source}/moved {c.source}/attic/moved")
    c.beta(f"zfs rename {c.target}/kept {c.target}/precious")
    c.alpha(f"zfs destroy -r {c.source}/kept")
    # Renamed, with a snapshot that only the copy still has.
    c.alpha(f"zfs rename {c.source}/plain {c.source}/fancy; zfs destroy {c.source}/fancy@s1")
    options = ("-v", "--exclude", "attic/**", "--exclude", "second", "--exclude", "second/**")
    mirror(c, *options, what="datasets")
    run = mirror(c, *options, what="datasets")
    for word in (f"{c.source}/attic/moved, which is not replicated", "under another name", f"snapshots that {c.target}/fancy, its new copy, lacks"):
        c.check(word in run.err, f"{word!r} is missing: {run.err}")
    second = [f"second/{path}".rstrip("/") for path in ("", "kept", "kept/kid", "moved", "plain")]
    c.only("", "moved", "precious", "precious/kid", "plain", "fancy", *second)
    # Nested without being excluded it stays as well.
    mirror(c, "--exclude", "attic/**", what="datasets")
    c.only("", "moved", "precious", "precious/kid", "plain", "fancy", *second)
    # With the snapshots the old copy may go.
    mirror(c, "--exclude", "attic/**")
    c.only("", "moved", "precious", "precious/kid", "fancy", *second)


@case("MISSING")
def max_delete(c):
    """More than --max-delete allows: nothing is destroyed, exit status 1, and the list."""
    c.tree({"": "s1", **{f"d{n}": "s1" for n in range(12)}})
    c.push()
    c.alpha(f"for n in 0 1 2 3 4 5 6 7 8 9 10; do zfs destroy -r {c.source}/d$n; done")
    had = c.versions(c.beta, c.target)
    shown = mirror(c, "-n", status=1)
    c.check(shown.out.endswith(", 11 not to be destroyed (see above)\n"), f"the last line of -n: {shown.out}")
    run = mirror(c, status=1, says=("11 of 13 datasets and 11 of 13 snapshots", "2 datasets in sync; 11 not destroyed: more than --max-delete"))
    for n in range(11):
        c.check(f"{c.target}/d{n}" in run.err, f"d{n} is not in the list: {run.err}")
    mirror(c, "--max-delete", "50%", status=1, says="50%")
    mirror(c, "-q", status=1, says=("--max-delete", f"{c.target}/d10"))
    mirror(c, "--max-delete", "10", status=1, says="(10)")
    c.same(c.versions(c.beta, c.target), had, "what the target has")
    c.push("--max-delete", "5", status=2)
    mirror(c, "--max-delete", "11")
    c.only("", "d11")
    # Ten always may go.
    c.alpha(f"zfs destroy -r {c.source}/d11")
    mirror(c)
    c.only("")


@case("MISSING")
def wrong_clock(c):
    """What was first missed when the clock was wrong starts its grace anew."""
    c.tree({"": "s1 s2", "gone": "s1", "later": "s1"})
    mirror(c, grace="7d")
    c.alpha(f"zfs destroy -r {c.source}/gone; zfs destroy -r {c.source}/later; zfs destroy {c.source}@s1")
    mirror(c, grace="7d", says="less than --grace")
    names = f"{c.target}/gone {c.target}@s1"
    c.beta(f"zfs set zfsync:missing-since=1000000000 {names}; zfs set zfsync:missing-since=99999999999 {c.target}/later")
    mirror(c, grace="7d", says="less than --grace: 2 datasets, 1 snapshot")
    now = time.time()
    for noted in c.beta.lines(f"zfs get -Hp -s local -o value zfsync:missing-since {names} {c.target}/later"):
        c.check(abs(int(noted) - now) < 1000, f"the grace has not begun anew: {noted}")
    c.only("", "gone", "later")


@case("MISSING")
def open_volume(c):
    """A volume that somebody has open stays whole, by --delete-missing and by --replace; once it is closed it goes."""
    c.tree({"": "s1", "vol": "s1 s2"}, volumes=("vol",))
    c.push("--volmode", "inherit")
    volume, fifo = f"{c.target}/vol", f"/tmp/{c.name}.fifo"
    c.beta(f"""{VOLUME_DEVICE}
        mkfifo {fifo}; d=$(device {volume})
        (exec 3<$d 4<>{fifo}; touch {fifo}.open; read line <&4) >/dev/null 2>&1 &
        echo $! >/tmp/{c.name}.pid""")
    c.cleanups.append((c.beta, f"kill $(cat /tmp/{c.name}.pid) 2>/dev/null; rm -f {fifo} {fifo}.open"))
    c.beta.wait_for("the volume is open", f"test -e {fifo}.open")
    guids = c.versions(c.beta, volume)
    c.alpha(f"zfs rename {c.source}/vol {c.source}-away")
    mirror(c, "-v", says="is kept on the target")
    c.same(c.versions(c.beta, volume), guids, "the open volume's snapshots after --delete-missing")
    c.alpha(f"{VOLUME_DEVICE} zfs create -s -V 1M {c.source}/vol; zfs snapshot {c.source}/vol@new")
    c.push("--replace", volume, "--volmode", "inherit", status=1, says="busy")
    c.same(c.versions(c.beta, volume), guids, "the open volume's snapshots after --replace")
    c.only("", "vol")
    c.beta(f"kill $(cat /tmp/{c.name}.pid)")
    c.beta.wait_for("the volume is closed", f"! kill -0 $(cat /tmp/{c.name}.pid)")
    c.push("--replace", volume, "--volmode", "inherit")
    c.same(c.snaps(c.beta, volume), ["new"], "the volume's snapshots once it was closed")
    c.alpha(f"zfs destroy -r {c.source}/vol; zfs destroy -r {c.source}-away")
    mirror(c)
    c.only("")


@case("MISSING")
def mounted_elsewhere(c):
    """A filesystem that is mounted in another mount namespace stays whole."""
    c.tree({"": "s1", "gone": "s1 s2"})
    c.push()
    c.beta(f"""mkdir -p /tmp/{c.name}
        unshare -m sh -c 'mount -t zfs -o zfsutil,ro {c.target}/gone /tmp/{c.name} && exec sleep 1000' >/dev/null 2>&1 &
        echo $! >/tmp/{c.name}.pid""")
    c.cleanups.append((c.beta, f"kill $(cat /tmp/{c.name}.pid) 2>/dev/null; true"))
    c.beta.wait_for("it is mounted", f"grep -q {c.target}/gone /proc/$(cat /tmp/{c.name}.pid)/mountinfo")
    # The kernel goes on with it after the last process of the namespace has ended.
    mounted = f"grep -qs ' {c.target}/gone$' /proc/spl/kstat/zfs/*/objset-*"
    c.beta(mounted)
    c.alpha(f"zfs destroy -r {c.source}/gone")
    mirror(c, "-v", says="another mount namespace")
    c.same(c.snaps(c.beta, f"{c.target}/gone"), ["s1", "s2"], "its snapshots")
    c.beta(f"kill $(cat /tmp/{c.name}.pid)")
    c.beta.wait_for("it is unmounted", f"! {mounted}")
    mirror(c)
    c.only("")


@case("MISSING")
def provenance(c):
    """Snapshots that an admin takes on the target during a first transfer are not ours."""
    c.tree({"": "s1", "kid": "s1 s2 s3"})
    c.push()
    # As if taken while the transfer ran: what is newest there came after it.
    c.beta(f"zfs snapshot {c.target}/kid@own")
    c.snapshot(f"{c.source}/kid@s4")
    c.push()
    note = c.beta(f"zfs get -H -o value zfsync:received {c.target}/kid")
    newest = int(c.beta(f"zfs get -Hp -o value guid {c.target}/kid@s4"))
    head, rest = note.split("-", 1)
    upto = rest.split("+")[0]
    c.beta(f"zfs set zfsync:received={head}-{newest:016x}+{upto}{rest.split('+')[1]} {c.target}/kid")
    c.alpha(f"zfs destroy -r {c.source}/kid")
    mirror(c, "-v", says="@own")
    c.same(c.snaps(c.beta, f"{c.target}/kid"), ["s1", "s2", "s3", "own", "s4"], "the dataset with the admin's snapshot")
    c.beta(f"zfs destroy {c.target}/kid@own")
    mirror(c)
    c.only("")


@case("MISSING")
def into_anothers_copy(c):
    """Two sources into one target: nothing of the second is made inside the first one's copy."""
    c.tree({"": "s1", "kid": "s1"})
    c.push()
    other = f"{c.source}-other"
    c.tree({"": "s1", "kid": "s1", "new": "s1", "new/deep": "s1"}, root=other)
    with c.unchanged():
        c.push(source=other, status=1, says="from another source")
        c.push("-n", source=other, status=1, says=())
    c.only("", "kid")
    c.push(says="nothing to do")


@case("MISSING")
def a_forged_note(c):
    """A line feed in a property of one dataset looks like the note of another in a listing of both: the other one isn't destroyed for it."""
    c.tree({"": "s1", "x": "s1"})
    c.push()
    own = f"{c.target}/own"
    c.beta(f"zfs create -o canmount=noauto {own}; zfs snapshot {own}@keep")
    by = c.beta(f"zfs get -Hp -o value zfsync:received {c.target}/x")[:8]
    guid, txg = c.beta(f"zfs get -Hp -o value guid,createtxg {own}@keep").split()
    c.beta(f"zfs set zfsync:placeholder='on\n{own}\tzfsync:received\t{by}-{int(guid):016x}@{txg}' {c.target}/x")
    mirror(c, "-n", what="datasets")
    mirror(c, "-v", what="datasets")
    c.same(c.snaps(c.beta, own), ["keep"], "what somebody has made on the target")


@case("MISSING")
def a_forged_date(c):
    """A line feed in a property of one snapshot looks like an old date on another: its grace is not over for it."""
    c.tree({"": "s1 s2 s3", "x": "s1 s2 s3"})
    c.push()
    c.alpha(f"for d in {c.source} {c.source}/x; do zfs destroy $d@s1; zfs destroy $d@s2; done")
    old, since = 1700000000, "zfsync:missing-since"
    # On one that has no date of its own yet, and then on one that has.
    for snapshot, forger in (("s2", "s1"), ("s1", "s2")):
        c.beta(f"zfs set {since}='{old}\n{c.target}@{snapshot}\t{since}\t{old}' {c.target}/x@{forger}")
        mirror(c, "--max-delete", "100%", what="snapshots", grace="7d")
        c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.check(c.beta(f"zfs get -H -s local -o value {since} {c.target}@s1").isdigit(), "its own date was not noted")


def destroys(run):
    """What a dry run destroys."""
    return sorted(row["target"] for row in run.of("plan")[0]["rows"] if row["action"] == "destroy")


@case("MISSING")
def a_dry_run_tells_it_before(c):
    """What the run brings counts in a dry run: an old copy goes, and a snapshot that was taken on the target stays in both."""
    c.tree({"": "s1", "x": "s1"})
    options = ("--max-delete", "100%")
    mirror(c, *options)
    c.alpha(f"zfs rename {c.source}/x {c.source}/y; zfs snapshot -r {c.source}@s2")
    mirror(c, *options)
    c.only("", "x", "y")
    # As `zfsync snapshot` names them.
    own = "261129-120000_D"
    c.beta(f"zfs snapshot {c.target}@{own}")
    c.alpha(f"zfs destroy {c.source}@s1; zfs snapshot -r {c.source}@s3")
    with c.unchanged():
        run = mirror(c, "-n", "--json", *options)
    c.same(destroys(run), [f"{c.target}/x", f"{c.target}@s1"], "what a dry run destroys")
    stays = [row["target"] for row in run.of("plan")[0]["rows"] if row["action"] == "stays"]
    c.same(stays, [f"{c.target}@{own}"], "what stays by a dry run")
    mirror(c, "-v", *options, says=f"@{own}")
    c.only("", "y")
    c.same(c.snaps(c.beta, c.target), ["s2", own, "s3"], "the target's snapshots")
    # Once it is noted that it isn't the source's, it stays for good.
    c.alpha(f"zfs snapshot {c.source}@s4")
    mirror(c, *options)
    c.same(c.snaps(c.beta, c.target), ["s2", own, "s3", "s4"], "the target's snapshots")


@case("MISSING")
def promoted(c):
    """Snapshots that a promoted clone has taken over still exist on the source: they stay, whether the clone is selected or not."""
    c.tree({"": "s1", "a": "s1 s2 s3"})
    options = ("--max-delete", "100%")
    mirror(c, *options)
    c.alpha(f"zfs clone {c.source}/a@s2 {c.source}/b; zfs promote {c.source}/b")
    for select in (("--exclude", "b"), ()):
        c.same(destroys(mirror(c, "-n", "--json", *options, *select)), [], "what a dry run destroys")
        mirror(c, "-v", *options, *select, says=f"{c.target}/a@s2 is kept on the target: it still exists on the source in {c.source}/b")
        c.same(c.snaps(c.beta, f"{c.target}/a"), ["s1", "s2", "s3"], "the snapshots of its origin")
    c.alpha(f"zfs destroy {c.source}/b@s1")
    mirror(c, *options)
    c.same(c.snaps(c.beta, f"{c.target}/a"), ["s2", "s3"], "the snapshots of its origin")


@case("MISSING")
def what_came_in_a_run_that_failed(c):
    """Snapshots and datasets that came while another dataset was in conflict are known to have come: once all is in sync they go as the source's go."""
    options = ("--max-delete", "100%")
    c.tree({"": "s1", "x": "s1", "y": "s1", "z": "s1"})
    mirror(c, *options)
    c.beta(f"zfs set readonly=off {c.target}; zfs set canmount=on {c.target}; zfs mount {c.target}; zfs set canmount=on {c.target}/y; zfs mount {c.target}/y")
    c.beta(f"echo 1 >$(zfs get -Ho value mountpoint {c.target}/y)/own; zfs snapshot {c.target}/y@own")
    for name in ("s2", "s3"):
        c.alpha(f"zfs snapshot -r {c.source}@{name}")
        mirror(c, *options, status=1, says=f"{c.target}/y: conflict")
    c.same(c.snaps(c.beta, f"{c.target}/x"), ["s1", "s2", "s3"], "what came beside the conflict")
    c.alpha(f"zfs destroy -r {c.source}/x; zfs destroy {c.source}/z@s2")
    c.beta(f"zfs unmount {c.target}/y; zfs unmount {c.target}; zfs set canmount=noauto {c.target}/y; zfs rollback -r {c.target}/y@s1")
    # The first brings all in sync, and clears away.
    mirror(c, *options)
    c.only("", "y", "z")
    c.same(c.snaps(c.beta, f"{c.target}/z"), ["s1", "s3"], "the snapshots of what stays")


@case("MISSING")
def made_by_hand(c):
    """A copy that was made by hand and has diverged is not recorded as received by a run that fails because of it: it stays when its source has gone."""
    options = ("--max-delete", "100%")
    c.tree({"": "s1", "hand": "s1", "ours": "s1"})
    c.push("--exclude", "hand")
    c.alpha(f"zfs send {c.source}/hand@s1 | ssh beta zfs recv -u -o canmount=noauto {c.target}/hand")
    write(c, "hand", snap="own")
    c.snapshot(f"{c.source}/hand@s2")
    mirror(c, *options, status=1, says=f"{c.target}/hand: conflict")
    c.same(c.beta(f"zfs get -Hp -s local -o value zfsync:received {c.target}/hand"), "", "what is recorded of it")
    c.alpha(f"zfs destroy -r {c.source}/hand; zfs destroy -r {c.source}/ours")
    c.beta(f"zfs rollback -r {c.target}/hand@s1")
    mirror(c, "-v", *options, says="hand")
    c.only("", "hand")


@case("MISSING")
def restored_and_gone(c):
    """A snapshot that was taken on the target, came to the source with a restored copy and was destroyed there, stays: nobody else has it."""
    c.tree({"": "s1", "a": "s1"})
    options = ("--max-delete", "100%")
    mirror(c, *options)
    c.beta(f"zfs snapshot {c.target}/a@own")
    c.snapshot(f"{c.source}/a@s2")
    mirror(c, "-v", *options, says="@own")
    c.zfsync("restore", f"beta:{c.target}/a", f"{c.source}/restored")
    c.same(c.snaps(c.alpha, f"{c.source}/restored"), ["s1", "own", "s2"], "what was restored")
    mirror(c, *options)
    c.alpha(f"zfs destroy -r {c.source}/restored")
    mirror(c, "-v", *options, says="@own")
    mirror(c, *options)
    c.only("", "a")
    c.same(c.snaps(c.beta, f"{c.target}/a"), ["s1", "own", "s2"], "the snapshots of the copy")


@case("MISSING")
def back_in_between(c):
    """A snapshot that the source has again, if in another dataset, is no longer noted as missing: missed once more, it has the whole grace."""
    c.tree({"": "s1", "a": "s1 s2"})
    mirror(c, grace="7d")
    outside = f"{c.source}-outside"
    c.alpha(f"zfs clone {c.source}/a@s1 {outside}; zfs promote {outside}")
    c.cleanups.append((c.alpha, f"zfs promote {c.source}/a || true; zfs destroy -r {outside} || true"))

    def noted(wanted, when):
        c.same(len(c.beta.lines(f"zfs get -Hp -s local -o value zfsync:missing-since {c.target}/a@s1")), wanted, f"how many notes there are {when}")

    mirror(c, grace="7d", says="less than --grace: 1 snapshot")
    noted(1, "once it is missing")
    c.alpha(f"zfs promote {c.source}/a")
    mirror(c, grace="7d")
    noted(0, "once it is back")
    c.alpha(f"zfs promote {outside}")
    mirror(c, grace="7d", says="less than --grace: 1 snapshot")
    noted(1, "once it is missing again")
    c.alpha(f"zfs rename {outside} {c.source}/b")
    mirror(c, grace="7d")
    noted(0, "once it is in another dataset")
    c.same(c.snaps(c.beta, f"{c.target}/a"), ["s1", "s2"], "the snapshots of the copy")


@case("MISSING")
def cut_and_gone(c):
    """A first receive was cut, and its dataset destroyed at the source: -v tells how to discard it, --delete-missing does where it is known to be of this source."""
    c.tree({"": "s1"})
    mirror(c)
    new = f"{c.source}/cut"
    c.alpha(f"zfs create {new}; head -c 4M /dev/urandom >/{new}/file; zfs snapshot {new}@s1")
    c.push("-j", "1", "--retries", "0", "--remote-zfsync", cutting_helper(c, 1 << 20), status=1)
    c.alpha(f"zfs send -w {new}@s1 | head -c 2M | ssh beta zfs recv -s -u {c.target}/own || true")
    for path in ("cut", "own"):
        c.check(c.beta(f"zfs get -H -o value receive_resume_token {c.target}/{path}") != "-", f"the fixture made no token on {path}")
    c.alpha(f"zfs destroy -r {new}")
    options = ("-v", "--max-delete", "100%")
    c.push("-v", says=(f"{c.target}/cut is partially received, and the source has no such dataset", f"zfs receive -A {c.target}/own"))
    with c.unchanged():
        mirror(c, "-n", *options, says=f"{c.target}/cut")
    mirror(c, *options, grace="7d")
    c.only("", "cut", "own")
    mirror(c, *options, says=f"not known to come from this source; to discard it there: zfs receive -A {c.target}/own")
    c.only("", "own")
    c.beta(f"zfs receive -A {c.target}/own")
    mirror(c, *options)

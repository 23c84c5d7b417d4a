"""Nothing is sent from, and nothing pruned by, a bookmark whose dataset went back behind it: guids agree then and contents don't (row BACK)."""

from cases_h_bookmarks import guid, own
from harness import case, q
from tools import Gate, pids

WITNESS = "zfsync:successor-of"
GONE = "no longer belongs to this dataset's history"


def chain(c, *flags):
    """first -> SOURCE by plain zfs, with s1, s2, s3; what s3 changed is not what s4 will."""
    first = f"{c.source}-first"
    c.shown.append((c.alpha, first))
    c.alpha(f"""
        zfs create -o atime=off {first}; head -c 300K /dev/urandom >/{first}/big; echo one >/{first}/f1; zfs snapshot {first}@s1
        echo two >/{first}/f2; zfs snapshot {first}@s2
        head -c 300K /dev/urandom >/{first}/big; echo three >/{first}/f1; echo three >/{first}/only3; rm /{first}/f2; zfs snapshot {first}@s3
        zfs send {' '.join(flags)} {first}@s1 | zfs recv -u {c.source}; zfs send {' '.join(flags)} -I @s1 {first}@s3 | zfs recv -u {c.source}""")
    return first


def goes_back(c, first):
    """The first goes back to s2, and SOURCE follows: it keeps the bookmark of s3."""
    c.alpha(f"""
        zfs rollback -r {first}@s2; echo four >/{first}/f4; zfs snapshot {first}@s4
        zfs send -i @s2 {first}@s4 | zfs recv -uF {c.source}""")
    c.same(c.snaps(c.alpha, c.source), ["s1", "s2", "s4"], "SOURCE's snapshots")


def same_content(c, *snaps):
    """These snapshots hold the same on both sides."""
    for snap in snaps:
        c.same(c.checksums(c.beta, f"{c.target}@{snap}"), c.checksums(c.alpha, f"{c.source}@{snap}"), f"the content of @{snap}")


def as_user(c, *args, **options):
    """A push by a user who can't read the pool's history."""
    c.alpha(f"zfs allow repl send,hold,bookmark,destroy,mount,userprop {c.source}")
    c.beta(f"zfs allow repl receive,create,mount,canmount,readonly,volmode,userprop {c.target}")
    argv = ["zfsync", "push", *args, c.source, f"beta:{c.target}"]
    return c.push(argv=["su", "repl", "-c", " ".join(q(word) for word in argv)], **options)


@case("BACK", "G01", versions=True)
def went_back_by_a_receive(c):
    """The bookmark of a snapshot that a receive has destroyed is no base: a conflict that a rollback solves, with the right content."""
    first = chain(c)
    c.push()
    false = next(iter(own(c)))
    goes_back(c, first)
    with c.unchanged():
        c.push("-n", status=1, says=GONE)
    run = c.push(status=1, says=(f"#{false} {GONE}", "the target has diverged after @s2", "--rollback, which loses @s3"))
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s3"], "the target's snapshots")
    c.push("--rollback")
    same_content(c, "s1", "s2", "s4")
    c.same(set(own(c).values()), {guid(c, f"{c.source}@s4")}, "the bookmarks that are left")
    c.check(run.err.count(GONE) == 1, "it is said once")


@case("BACK")
def nothing_went_back(c):
    """All snapshots are pruned by others while the target is away: root continues from the bookmark silently, with the right content."""
    first = chain(c)
    c.push()
    c.alpha(f"""
        echo four >/{first}/f4; zfs snapshot {first}@s4; zfs send -i @s3 {first}@s4 | zfs recv -uF {c.source}
        zfs destroy {c.source}@s1%s3; zfs rename {c.source} {c.source}-old; zfs rename {c.source}-old {c.source}
        echo five >/{first}/f5; zfs snapshot {first}@s5; zfs send -i @s4 {first}@s5 | zfs recv -uF {c.source}; zfs destroy {c.source}@s4""")
    run = c.push("--json")
    c.same([event["from"][:8] for event in run.of("step_started")], ["#zfsync-"], "what the increment starts from")
    c.check("bookmark" not in run.err, f"nothing is said: {run.err}")
    same_content(c, "s5")


@case("BACK")
def no_history_to_read(c):
    """Without the history, a source that is received into starts from no bookmark whose snapshot is gone, unless that is wanted; another does, and says so."""
    first = chain(c, "-p")
    c.push()
    c.alpha(f"echo four >/{first}/f4; zfs snapshot {first}@s4; zfs send -i @s3 {first}@s4 | zfs recv -u {c.source}; zfs destroy {c.source}@s1%s3")
    with c.unchanged():
        as_user(c, status=1, says=("nothing proves", "received properties", "run again as root", "--allow-unproven-bookmarks"))
    as_user(c, "--allow-unproven-bookmarks", says="only root can check")
    same_content(c, "s4")
    # Its own snapshots, and nothing that was received.
    c.alpha(f"zfs destroy -r {c.source}; zfs create {c.source}; echo one >/{c.source}/f1; zfs snapshot {c.source}@s1")
    c.beta(f"zfs destroy -r {c.target}")
    c.push()
    c.alpha(f"echo two >/{c.source}/f2; zfs snapshot {c.source}@s2; zfs destroy {c.source}@s1")
    as_user(c, says="only root can check with zpool history -i")
    same_content(c, "s2")


@case("BACK", "R05")
def witnesses(c):
    """A prune leaves a witness of what a target still needs: when another tool destroys that, its bookmark is a base for whoever can't read the history."""
    first = chain(c, "-p")
    c.push()
    c.alpha(f"echo four >/{first}/f4; zfs snapshot {first}@s4; zfs send -i @s3 {first}@s4 | zfs recv -u {c.source}")
    for _ in range(2):
        c.zfsync("prune", "--keep-last", "1", "--foreign", c.source)
    c.same(c.snaps(c.alpha, c.source), ["s3", "s4"], "what is left on SOURCE")
    txg = c.alpha(f"zfs get -Hp -o value createtxg {c.source}@s4")
    c.same(c.alpha(f"zfs get -H -s local -o value {WITNESS} {c.source}@s4"),
           f"{guid(c, f'{c.source}@s4')}:{txg}:{next(iter(own(c).values()))}", "what the witness says")
    c.alpha(f"zfs destroy {c.source}@s3")
    run = as_user(c)
    c.check("bookmark" not in run.err, f"nothing is said: {run.err}")
    same_content(c, "s4")
    # What comes with a stream is no witness.
    copy = f"{c.source}-copy"
    c.shown.append((c.alpha, copy))
    c.alpha(f"zfs send -p {c.source}@s4 | zfs recv -u {copy}")
    c.same(c.alpha(f"zfs get -H -o source {WITNESS} {copy}@s4"), "received", "where the copy's note comes from")


@case("BACK")
def witness_that_went(c):
    """A receive that goes back takes the witness along: nothing starts from the bookmark then, and nobody prunes by it."""
    first = chain(c, "-p")
    c.push()
    c.alpha(f"echo new >/{first}/new; zfs snapshot {first}@s3b; zfs send -i @s3 {first}@s3b | zfs recv -u {c.source}")
    c.zfsync("prune", "--keep-last", "1", "--foreign", "--snapshot", "s1", c.source)
    c.check(WITNESS in c.alpha(f"zfs get -H -s local -o property all {c.source}@s3b"), "there is a witness")
    c.alpha(f"""
        zfs rollback -r {first}@s2; echo four >/{first}/f4; zfs snapshot {first}@s4
        zfs send -i @s2 {first}@s4 | zfs recv -uF {c.source}""")
    with c.unchanged():
        as_user(c, status=1, says="nothing proves")
    c.push(status=1, says=GONE)
    c.zfsync("prune", "--keep-last", "1", "--foreign", c.source)
    c.same(c.snaps(c.alpha, c.source), ["s2", "s4"], "what is left on SOURCE")
    c.push("--rollback")
    same_content(c, "s2", "s4")


@case("BACK", "R05")
def no_prune_by_a_false_bookmark(c):
    """Neither a prune that asks the target nor one that doesn't takes the last common snapshot for older than what the target has."""
    first = chain(c)
    c.push()
    goes_back(c, first)
    for target in ((), (f"beta:{c.target}",)):
        run = c.zfsync("prune", "-v", "--keep-last", "1", "--foreign", c.source, *target)
        left = c.snaps(c.alpha, c.source)
        c.check({"s2", "s4"} <= set(left), f"what is left on SOURCE: {left}")
        if not target:
            c.same(left, ["s1", "s2", "s4"], "what is left on SOURCE")
            c.check("unproven" in run.out + run.err, f"why it stays: {run}")
    c.push("--rollback")
    same_content(c, "s2", "s4")


@case("BACK", "F01")
def rest_from_a_false_bookmark(c):
    """A cut increment is not resumed from a bookmark behind which the source went back, though the snapshot that it brings is there again."""
    first = chain(c)
    c.push()
    c.alpha(f"""
        head -c 3M /dev/urandom >/{first}/more; zfs snapshot {first}@s4; zfs send -i @s3 {first}@s4 | zfs recv -u {c.source}""")
    gate = Gate(c, 1 << 20)
    running = c.start(*gate.args, "--retries", "0")
    gate.reached()
    c.beta(f"kill -9 {' '.join(pids(c, c.beta, 'zfs recv'))}")
    gate.open()
    running.end(60)
    gate.shut()
    c.check(c.beta(f"zfs get -Hp -o value receive_resume_token {c.target}") != "-", "there is something to resume")
    c.alpha(f"""
        zfs destroy {first}@s3; zfs destroy {c.source}@s3%s4; zfs send -i @s2 {first}@s4 | zfs recv -uF {c.source}""")
    c.same(c.snaps(c.alpha, c.source), ["s1", "s2", "s4"], "SOURCE's snapshots")
    c.push(status=1, says=(GONE, "can't be resumed"))
    c.push("--rollback")
    same_content(c, "s1", "s2", "s4")


@case("BACK", "G09")
def replaced_takes_its_bookmarks(c):
    """--replace destroys the bookmarks that it makes false."""
    c.tree({"": "s1", "a": "s1"})
    c.beta(f"""
        zfs create {c.target}; echo other >/{c.target}/other; zfs snapshot {c.target}@x; zfs create {c.target}/a; zfs snapshot {c.target}/a@y
        zfs bookmark {c.target}@x {c.target}#zfsync-0123abcd-x; zfs bookmark {c.target}/a@y {c.target}/a#zfsync-0123abcd-y""")
    c.push("--replace", c.target, "--replace", f"{c.target}/a")
    c.same(c.beta.lines(f"zfs list -H -r -t bookmark -o name {c.target}"), [], "the target's bookmarks")
    c.same(c.checksums(c.beta, f"{c.target}@s1"), c.checksums(c.alpha, f"{c.source}@s1"), "the content")

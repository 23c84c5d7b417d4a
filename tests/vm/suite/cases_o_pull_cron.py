"""Jobs whose source is over there: prune, cron, run (row PULL)."""

from cases_h_bookmarks import own
from cases_m_prune import DAYS, left, make
from cases_z_records import Record
from cases_o_pull_attack import restricted
from hosts import ALPHA
from pull import pull_case
from tools import beside, log_zfs


@pull_case("M10", "H10", "R05")
def prune(c):
    """`prune` of a source over there, and of its target here: each by the rules, and what the target still lacks stays."""
    c.tree({"": ""})
    make(c, c.far, c.source, *DAYS[:3])
    c.pull()
    make(c, c.far, c.source, *DAYS[3:6])
    with c.unchanged():
        c.zfsync("prune", "-n", "--keep-last", "1", "--source", f"beta:{c.source}")
    record = Record(c)
    said = c.zfsync("prune", "-v", "--keep-last", "1", "--source", f"beta:{c.source}", env=record.env)
    c.check(f"beta:{c.source}" in said.out + said.err, f"prune names no host: {said.out} {said.err}")
    c.same({line["host"] for line in record.news()}, {"beta"}, "whose snapshots the record speaks of")
    c.same(left(c.far, c.source), DAYS[2:6], "what is left: all that the target lacks, and the one it continues from")
    c.pull()
    c.zfsync("prune", "--keep-last", "2", "--source", f"beta:{c.source}", "--target", c.target)
    c.same((left(c.far, c.source), left(c.near, c.target)), (DAYS[4:6], DAYS[4:6]), "what is left on both sides")
    c.pull("--json")
    c.in_sync()


@pull_case("Z09", "R09")
def cron(c):
    """`cron` takes the snapshots over there, pulls them, prunes over there, and is quiet when all is fine."""
    c.tree({"": "", "kid": ""})
    c.near(f"zfs create {c.target}")
    c.target += "/t"
    for path in ("", "/kid"):
        make(c, c.far, c.source + path, *DAYS[:4], "mine")
    c.zfsync("cron", "-d", "2", f"beta:{c.source}", c.target, says="keeps these snapshots of")
    run = c.zfsync("cron", "-d", "2", f"beta:{c.source}", c.target)
    c.same((run.out, run.err), ("", ""), "what a job says that went well")
    for path in ("", "/kid"):
        there, here = left(c.far, c.source + path), left(c.near, c.target + path)
        c.same((there[:2], there[-1]), ([DAYS[3], "mine"], here[-1]), f"what is left over there of {path!r}")
        c.same(here[:5], [*DAYS[:4], "mine"], f"what has come of {path!r}")
    c.same(len(own(c)), 1, "bookmarks of ours")


@pull_case("RUN", "SEC")
def run_with_a_trusted_source(c):
    """`trust-source` in a file, for all jobs and not for one: packages go whole to one `zfs recv`, or each snapshot to its own."""
    c.tree({"": "", "whole": "s1 s2 s3", "apart": "s1 s2 s3"})
    c.near(f"zfs create {c.target}")
    place = f"/var/tmp/zfsync-suite/{c.name}"
    log_zfs(c, c.near, f"{place}/bin", f"{place}/log")
    path = f"{place}/zfsync.toml"
    c.near(f"""mkdir -p {place}; : >{place}/log; cat >{path} <<'END'
[defaults]
trust-source = true
snapshot = {{ enabled = false }}
[job.whole]
source = "beta:{c.source}/whole"
targets = ["{c.target}/whole"]
[job.apart]
source = "beta:{c.source}/apart"
targets = ["{c.target}/apart"]
trust-source = false
END""")
    c.zfsync("check-config", "--config", path)
    c.zfsync("run", "--config", path, env=beside(f"{place}/bin"))
    received = {name: len(c.near.lines(f"grep -E '^(recv|receive) .*{name}' {place}/log")) for name in ("whole", "apart")}
    c.same(received, {"whole": 2, "apart": 3}, "receives")
    for name in received:
        c.in_sync(f"{c.source}/{name}", f"{c.target}/{name}")


@pull_case("Z09", "SEC")
def cron_with_a_restricted_key(c):
    """A key that may only send is no key for `cron`: what it lacks is named; with `--allow snapshot,destroy` all of it works, within its root."""
    c.tree({"": "", "data": "", "other": ""})
    root = f"{c.source}/data"
    for name in (root, f"{c.source}/other"):
        make(c, c.far, name, *DAYS[:3])
    c.near(f"zfs create {c.target}")
    with_key = restricted(c, f"--root {root}")
    # -h of cron is its own, and so is -o.
    with_key = tuple("--ssh-option" if word == "-o" else word for word in with_key)
    c.zfsync("cron", "-d", "1", *with_key, f"beta:{root}", f"{c.target}/t", status=1, says="--allow snapshot")
    c.same(left(c.far, root), DAYS[:3], "the source's snapshots")
    restricted(c, f"--root {root} --allow snapshot")
    c.zfsync("cron", "-d", "1", *with_key, f"beta:{root}", f"{c.target}/t", status=1, says="--allow destroy")
    restricted(c, f"--root {root} --allow snapshot,destroy")
    c.zfsync("cron", "-d", "1", *with_key, f"beta:{root}", f"{c.target}/t")
    c.same(left(c.far, root)[-1], left(c.near, f"{c.target}/t")[-1], "the newest on both sides")
    c.check(not set(DAYS[:2]) & set(left(c.far, root)), f"what is left: {left(c.far, root)}")
    c.zfsync("cron", "-d", "1", *with_key, f"beta:{c.source}/other", f"{c.target}/o", status=3, says=("beta", "--root"))
    c.same(left(c.far, f"{c.source}/other"), DAYS[:3], "what is outside of the root")


@pull_case("RUN")
def jobs(c):
    """A job of the file whose source is over there, one that is from host to host, and one of this machine, in one run; `status JOB` knows them."""
    c.tree({"": "", "one": "s1", "two": "s1"})
    local = f"{c.target}-local"
    c.tree({"": "s1"}, root=local, host=c.near)
    c.near(f"zfs create {c.target}")
    path = c.script(ALPHA, "zfsync.toml", f"""
[defaults]
snapshot.enabled = false
[job.pulled]
source = "beta:{c.source}/one"
targets = ["{c.target}/one"]
[job.through]
source = "beta:{c.source}/two"
targets = ["alpha:{c.target}/two", "beta:{c.source}-copy"]
[job.pushed]
source = "{local}"
targets = ["beta:{c.source}-of-alpha"]""")
    c.zfsync("check-config", "--config", path)
    run = c.zfsync("run", "--config", path)
    c.same((run.out, run.err), ("", ""), "what jobs say that went well")
    for name in ("one", "two"):
        c.in_sync(f"{c.source}/{name}", f"{c.target}/{name}")
    c.in_sync(f"{c.source}/two", f"{c.source}-copy", target_host=c.far)
    c.same(c.versions(c.far, f"{c.source}-of-alpha"), c.versions(c.near, local), "what was pushed")
    c.zfsync("status", "--config", path, "pulled")
    c.snapshot(f"{c.source}/one@s2")
    c.zfsync("run", "--config", path, "pulled")
    c.in_sync(f"{c.source}/one", f"{c.target}/one")

"""The jobs of a configuration file: `zfsync run` and `zfsync check-config`."""

import json

from cases_m_prune import DAYS, left, make
from harness import case


def config(c, text):
    """A file of this case on alpha; its path."""
    path = f"/var/tmp/zfsync-suite/{c.name}/zfsync.toml"
    c.alpha(f"mkdir -p /var/tmp/zfsync-suite/{c.name}\ncat >{path} <<'END-OF-FILE'\n{text}\nEND-OF-FILE")
    return path


@case("RUN")
def two_jobs(c):
    """Two jobs, one of which has a dead target: the other is done and in sync, exit 1, one report, about the dead one alone."""
    c.tree({"": "", "one": "", "one/kid": "", "two": ""})
    c.beta(f"zfs create {c.target}")
    path = config(c, f"""
[defaults]
retries = 0
[job.dead]
source = "{c.source}/two"
targets = ["beta:nopool-{c.name}/two", "beta:{c.target}/two"]
[job.good]
source = "{c.source}/one"
targets = ["beta:{c.target}/one"]""")
    run = c.zfsync("run", "--config", path, status=1, says=("zfsync: dead on ", "has no pool", f"beta:{c.target}/two: ok"))
    c.check("zfsync: good on" not in run.err, f"what is told: {run.err}")
    for name in ("one", "two"):
        c.in_sync(source=f"{c.source}/{name}", target=f"{c.target}/{name}")
    run = c.zfsync("run", "--config", path, "good")
    c.same((run.out, run.err), ("", ""), "what a job says that went well")
    c.same((len(left(c.alpha, f"{c.source}/one")), len(left(c.alpha, f"{c.source}/two"))), (2, 1), "the numbers of snapshots: nothing is pruned")
    c.zfsync("run", "-v", "--config", path, "good", says=("snapshot: ok", f"beta:{c.target}/one: ok"))


@case("RUN")
def hooks(c):
    """Hooks with their environment; a failing pre hook and a late one stop their jobs, the other job is done; a failing post hook is exit 1."""
    c.tree({"": "", "a": "", "b": "", "d": ""})
    c.beta(f"zfs create {c.target}")
    dir = f"/var/tmp/zfsync-suite/{c.name}"
    note = c.script(c.alpha, "note", f"#!/bin/sh\nenv | grep ^ZFSYNC_ | grep -v TEST_CASE | sort >{dir}/$1")
    jobs = "\n".join(f"""
[job.{name}]
source = "{c.source}/{name}"
targets = ["beta:{c.target}/{name}"]
{lines}""" for name, lines in {
        "a": 'pre-snapshot = "sh -c \'echo no disk; exit 7\'"',
        "b": 'pre-push = "sh -c \'sleep 98765 & wait\'"\nhook-timeout = "2s"',
        "d": f'pre-snapshot = "{note} 1"\npost-snapshot = "{note} 2"\npre-push = "{note} 3"\npost-push = "{note} 4"\n'
             f'on-success = "tee {dir}/result"'}.items())
    path = config(c, jobs)
    c.zfsync("run", "--config", path, status=1,
             says=("zfsync: a on", "pre-snapshot hook: failed", "exit status 7", "no disk", "zfsync: b on", "took longer than 2.0 s"))
    c.same((left(c.alpha, f"{c.source}/a"), len(left(c.alpha, f"{c.source}/b"))), ([], 1), "the snapshots of a and b")
    c.check(not c.exists(c.beta, f"{c.target}/b"), "b was not sent")
    c.check("98765" not in c.alpha("ps ax -o args | grep '[s]leep 98765' || true"), "the late hook's child is gone")
    (newest,) = left(c.alpha, f"{c.source}/d")
    same = [f"ZFSYNC_JOB=d", f"ZFSYNC_SOURCE={c.source}/d"]
    targets = f"ZFSYNC_TARGETS=beta:{c.target}/d"
    for number, more in ((1, []), (2, [f"ZFSYNC_SNAPSHOT={newest}"]), (3, [f"ZFSYNC_SNAPSHOT={newest}"]),
                         (4, ["ZFSYNC_RESULT=0", f"ZFSYNC_SNAPSHOT={newest}"])):
        c.same(c.alpha(f"cat {dir}/{number}").split(), sorted([*same, targets, *more]), f"the environment of hook {number}")
    result = json.loads(c.alpha(f"cat {dir}/result"))
    c.same([result[key] for key in ("job", "result", "exit_code", "snapshot", "targets")],
           ["d", "success", 0, newest, [f"beta:{c.target}/d"]], "the result of job d on its hook's stdin")
    path = config(c, jobs + '\n[job.post]\n' + f'source = "{c.source}/a"\ntargets = ["beta:{c.target}/a"]\npost-push = "false"')
    c.zfsync("run", "--config", path, "post", status=1, says=(f"beta:{c.target}/a: ok", "post-push hook: failed"))
    c.in_sync(source=f"{c.source}/a", target=f"{c.target}/a")


@case("RUN")
def pruning(c):
    """Grids of its own for the source and for the targets; two sources get one name and go below the target."""
    c.tree({"": "", "x": "", "y": ""})
    c.beta(f"zfs create {c.target}")
    for path in ("x", "y"):
        make(c, c.alpha, f"{c.source}/{path}", *DAYS[:6], "mine")
    path = config(c, f"""
[job.both]
sources = ["{c.source}/x", "{c.source}/y"]
targets = ["beta:{c.target}"]
keep = {{ grid = "1h" }}
keep-targets.last = 3
keep-targets.grid = "2h" """)
    c.zfsync("run", "--config", path)
    names = set()
    for name in ("x", "y"):
        here, there = left(c.alpha, f"{c.source}/{name}"), left(c.beta, f"{c.target}/{name}")
        c.same((len(here), here[0]), (2, "mine"), f"what is left of {name} here: {here}")
        c.same((len(there), there[:3]), (4, [*DAYS[4:6], "mine"]), f"what is left of {name} there: {there}")
        c.same(here[-1], there[-1], "the newest")
        names.add(here[-1])
    c.same(len(names), 1, "the number of names")


@case("RUN")
def mistakes(c):
    """check-config and run tell errors with their line; an unknown job lists those that there are; nothing happens."""
    c.tree({"": ""})
    path = config(c, f'[job.data]\nsource = "{c.source}"\ntargets = ["beta:{c.target}"]\nkeep.grid = "24h,7d"')
    run = c.zfsync("check-config", "--config", path)
    c.check(f"replicates {c.source}, with all datasets below, to beta:{c.target}" in run.out, f"what it tells: {run.out}")
    c.zfsync("run", "--config", path, "dat", status=2, says=('no job "dat"', "(jobs: data)"))
    path = config(c, f'[job.data]\nsource = "{c.source}"\ntarget = "beta:{c.target}"')
    for command in ("check-config", "run"):
        c.zfsync(command, "--config", path, status=2, says=(f"{path}:3: job data: unknown key", 'did you mean "targets"'))
    c.same(left(c.alpha, c.source), [], "snapshots")


@case("RUN")
def time_limit(c):
    """--job-timeout stops a push in good order: exit 1, told; the next run continues from there."""
    c.tree({"": ""})
    c.alpha(f"head -c 4M /dev/urandom >/{c.source}/file")
    c.beta(f"zfs create {c.target}")
    program = c.script(c.beta, "slow", "#!/bin/sh\nexec sleep 300")
    text = f'[job.data]\nsource = "{c.source}"\ntargets = ["beta:{c.target}/t"]\n'
    path = config(c, f'{text}ssh.remote-zfsync = "{program}"')
    c.zfsync("run", "--job-timeout", "10s", "--config", path, status=1, timeout=100, says=("zfsync: data on", "longer than its job-timeout of 10.0 s"))
    c.zfsync("run", "--config", config(c, text))
    c.in_sync(target=f"{c.target}/t")

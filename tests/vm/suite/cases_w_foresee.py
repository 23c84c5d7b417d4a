"""A dry run asks the target's host: what would stay although it is missing at the source, who has the tree, how much room there is."""

from cases_f_resume import big, cut, ends_well, half, token
from cases_w_dry_run import actions, done, shown, tells_the_truth
from harness import case

CLAIM = """
import sys, time
sys.path.insert(0, "/root/suite")
from attack_wire import Session
session = Session()
session.done(session.request("lock", dataset=sys.argv[1], run=4711, owner="somebody else's run"))
open(sys.argv[2], "w").close()
time.sleep(600)
"""


@case("DRY")
def missing_that_stays(c):
    """-n --delete-missing: what is held, mounted, has clones, or lies above such stays, as in the run; what only depends on what goes goes."""
    paths = ("held", "mounted", "cloned", "outer", "outer/held", "all", "all/below", "pair", "free", "kept", "prune")
    c.tree({"": "s1", **dict.fromkeys(paths, "s1")})
    c.push()
    c.alpha("; ".join(f"zfs destroy -r {c.source}/{path}" for path in ("held", "mounted", "cloned", "outer", "all", "pair", "free")))
    c.snapshot(*(f"{c.source}{path}@s2" for path in ("", "/kept", "/prune")))
    c.push()
    c.alpha(f"zfs destroy {c.source}/kept@s1; zfs destroy {c.source}/prune@s1")
    t = c.target
    c.beta(f"""zfs hold keep {t}/held@s1 {t}/outer/held@s1 {t}/kept@s1; zfs mount {t}/mounted
        zfs clone -o canmount=off {t}/cloned@s1 {t}-clone""")
    c.cleanups.append((c.beta, f"zfs release keep {t}/held@s1 {t}/outer/held@s1 {t}/kept@s1 || true; zfs destroy {t}-clone || true"))
    flags = ("--delete-missing", "both", "--grace", "0", "--max-delete", "100%")
    rows = shown(c, *flags)
    run, _, _ = done(c, *flags)
    cleared = run.of("cleared")[0]
    goes = sorted(row["target"] for row in rows if row["action"] == "destroy")
    c.same(goes, sorted([*cleared["datasets"], *cleared["snapshots"]]), "what -n said would go, and what went")
    c.same(goes, sorted(f"{t}/{name}" for name in ("all", "all/below", "pair", "free", "prune@s1")), "what goes")
    stays = {row["target"]: row["note"] for row in rows if row["action"] == "stays"}
    c.same(sorted(stays), sorted(name for name, _ in cleared["stay"]), "what -n said would stay, and what did")
    for name, words in {"held": "is held by keep", "mounted": "is mounted", "cloned": "has clones", "outer/held": "is held by keep",
                        "outer": "has datasets below it", "kept@s1": "is held"}.items():
        c.check(words in stays.get(f"{t}/{name}", ""), f"{name}: {stays.get(f'{t}/{name}')}")
        c.check(c.exists(c.beta, f"{t}/{name}"), f"{name} is gone")


@case("DRY")
def newest_only_and_a_cut_receive(c):
    """--newest-only goes on with the rest of an older snapshot, in a dry run as in the run, and brings nothing else but the newest."""
    c.tree({"": "s1", "new": "s1"})
    c.push("--exclude", "new")
    big(c, "s2")
    big(c, "s1a", path="/new")
    cut(c, half(c, f"-i @s1 {c.source}@s2", c.target), half(c, f"{c.source}/new@s1a", f"-o canmount=noauto {c.target}/new"))
    c.snapshot(*(f"{c.source}{path}@{snap}" for path in ("", "/new") for snap in ("s3", "s4")))
    c.check(token(c) and token(c, "/new"), "nothing was cut")
    rows, _ = tells_the_truth(c, "--newest-only")
    c.same(actions(rows, c.source), ["resume", "incremental"], "what is shown of a cut increment")
    c.same(actions(rows, f"{c.source}/new"), ["resume", "incremental"], "what is shown of a cut first stream")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s4"], "the snapshots after a cut increment")
    c.same(c.snaps(c.beta, f"{c.target}/new"), ["s1a", "s4"], "those after a cut first stream")
    big(c, "s5")
    cut(c, half(c, f"-i @s4 {c.source}@s5", c.target))
    c.snapshot(f"{c.source}@s6")
    rows, _ = tells_the_truth(c, "--newest-only", "--no-resume")
    c.same(actions(rows, c.source), ["incremental"], "what is shown with --no-resume")
    c.same(c.snaps(c.beta, c.target), ["s1", "s2", "s4", "s6"], "the snapshots after --no-resume")


@case("DRY")
def another_run_has_the_tree(c):
    """Another run has TARGET or a part of it: -n says who, changes nothing and shows the plan; a run fails."""
    c.tree({"": "s1", "a": "s1"})
    c.push()
    c.snapshot(f"{c.source}@s2")
    program = c.script(c.beta, "claim.py", CLAIM)
    for tree in (c.target, f"{c.target}/a"):
        mark = f"{program}.{tree.count('/')}"
        c.beta(f"(setsid python3 {program} {tree} {mark} >/dev/null 2>&1 &)")
        c.cleanups.append((c.beta, f"pkill -f '[p]ython3 {program} {tree} '"))
        c.beta.wait_for("the tree is claimed", f"test -e {mark}")
        with c.unchanged():
            run = c.push("-n", "--json")
            c.check(any("somebody else's run" in event["text"] for event in run.of("notice")), f"nothing is said of the lock on {tree}")
            c.same(actions(run.of("plan")[0]["rows"], c.source), ["incremental"], "what is shown")
            c.push(status=4, says="somebody else's run")
        c.beta(f"pkill -f '[p]ython3 {program} {tree} '")
        c.beta.wait_for("the claim ends", f"! pgrep -f '[p]ython3 {program} {tree} '")
    run = c.push("-n", "--json")
    c.check(not any("another run" in event["text"] for event in run.of("notice")), "a lock is told of that nobody has")
    c.push()


@case("DRY", "SPACE")
def no_room(c):
    """A quota over there that leaves too little: -n says so and shows the plan; the run fails. Where there is room nothing is said."""
    c.tree({"": "s1"})
    c.push()
    big(c, "s2", megabytes=8)
    c.beta(f"zfs set quota=3M {c.target}")
    run = c.push("-n", "--json")
    told = [event["text"] for event in run.of("notice")]
    c.check(any("may run out of space" in text and "8.02 MiB are to be sent" in text for text in told), f"it isn't told: {told}")
    c.same(actions(run.of("plan")[0]["rows"], c.source), ["incremental"], "what is shown")
    c.push(status=1, says="quota")
    c.beta(f"zfs set quota=none {c.target}")
    run = c.push("-n", "--json")
    c.check(not any("space" in event["text"] for event in run.of("notice")), "room is missed where it is")
    ends_well(c, c.push())

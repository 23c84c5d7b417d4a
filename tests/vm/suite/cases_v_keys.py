"""The keys of raw copies, and whoever may send increments into them with a restricted key."""

from cases_u_encryption import PHRASE, key_options, same_files
from cases_v_attack import ADDING, play, refused
from harness import case
from hosts import Skipped
from tools import permit_key

SCRIPT = "attack_keys.py"


@case("SEC", long=True)
def keys_that_would_be_replaced(c):
    """Raw increments with another wrapped key, whatever differs in it: refused, and the owner's passphrase still opens the copy."""
    for attempt in refused(c, "keys", 20, script=SCRIPT):
        c.check(not attempt["words"] or "refuses the stream" in attempt["words"], attempt["words"])


@case("SEC")
def keys_that_stay_or_may_go(c):
    """Raw increments with the same wrapped key are received, and with `--allow rekey` those with another one."""
    for attempt in play(c, "fair", script=SCRIPT):
        c.check(not attempt["refused"], f"{attempt['name']}: {attempt['words']}")
        c.check(any(line.startswith(f"+ {c.target}/data/") for line in attempt["changes"]), f"{attempt['name']} brought nothing")
        closed = [line for line in attempt["changes"] if line.endswith("/raw opens")]
        c.same(bool(closed), attempt["name"] == "another key, allowed", f"whether the old passphrase is lost by {attempt['name']}")


@case("SEC")
def a_changed_key_and_a_restricted_one(c):
    """`zfs change-key` on the source: a forced command takes nothing more, and says what to do; --allow rekey lets it through."""
    c.alpha(f"zfs create {key_options(c, c.alpha)} {c.source}; echo 1 >/{c.source}/file; zfs snapshot {c.source}@s1")
    root, key = f"{c.target}/alpha", f"/var/tmp/zfsync-suite/{c.name}/ssh"
    c.beta(f"zfs create -o canmount=off {c.target}; zfs create -o canmount=off {root}")
    allowed = c.beta.try_run(f"zfs allow -u repl {ADDING} {root}")
    if allowed.status != 0:
        raise Skipped("this OpenZFS doesn't know receive:append")
    c.alpha(f"mkdir -p $(dirname {key}); rm -f {key}*; ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {key}")
    public = c.alpha(f"cat {key}.pub")

    def permit(options=""):
        permit_key(c, c.beta, f"""restrict,command="zfsync recv --stdio --root {root} {options}" {public}""", "repl")

    copy = f"{root}/data"
    permit()
    with_key = ("-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")
    push = lambda **options: c.push(*with_key, target=f"repl@beta:{copy}", **options)
    opens = lambda phrase: c.beta.try_run(f"printf %s '{phrase}' | zfs load-key -n -L prompt {copy}").status == 0
    push()
    c.snapshot(f"{c.source}@s2")
    # To know the key of a copy the user must be allowed to read it.
    push(status=1, says=("must not replace", f"zfs allow repl send '{copy}'"))
    c.beta(f"zfs allow -u repl send {root}")
    push()
    c.in_sync(target=copy)
    c.snapshot(f"{c.source}@s3", f"{c.source}@s4")
    other = c.script(c.alpha, "other", "another passphrase")
    c.alpha(f"zfs change-key -o keylocation=file://{other} {c.source}")
    push(status=1, says=("would replace the wrapped encryption key", "zfs change-key", "--allow rekey"))
    c.same(c.snaps(c.beta, copy), ["s1", "s2"], "the copy's snapshots")
    c.check(opens(PHRASE), "the old passphrase doesn't open the copy any more")
    permit("--allow rekey")
    push()
    c.in_sync(target=copy)
    c.check(opens("another passphrase") and not opens(PHRASE), "the copy has the old key")
    # A key with a shell was never held up.
    permit()
    c.snapshot(f"{c.source}@s5")
    c.alpha(f"zfs change-key -o keylocation=file://{c.script(c.alpha, 'third', 'one more passphrase')} {c.source}")
    push(status=1, says="would replace the wrapped encryption key")
    c.push(target=f"beta:{copy}")
    c.in_sync(target=copy)
    c.check(opens("one more passphrase"), "the copy has another key")
    c.beta(f"printf %s 'one more passphrase' | zfs load-key -L prompt {copy}")
    same_files(c, c.source, copy, "s5")


@case("SEC")
def a_root_stays(c):
    """A key that may destroy below its root can't have the root itself replaced: its quota and what is delegated on it would go."""
    c.tree({"": "s1"})
    root, key = f"{c.target}/root", f"/var/tmp/zfsync-suite/{c.name}/ssh"
    c.beta(f"zfs create {c.target}; zfs create -o quota=50M {root}; zfs snapshot {root}@own")
    c.alpha(f"mkdir -p $(dirname {key}); rm -f {key}*; ssh-keygen -q -t ed25519 -N '' -C {c.name} -f {key}")
    public = c.alpha(f"cat {key}.pub")
    permit_key(c, c.beta, f"""restrict,command="zfsync recv --stdio --root {root} --allow destroy" {public}""")
    with_key = ("-i", key, "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none")
    run = c.push(*with_key, target=f"beta:{root}", status=1, says=("no common snapshot", "name another TARGET"))
    c.check("run again with" not in run.out + run.err, "what this key can't do is offered")
    c.push(*with_key, "--replace", root, target=f"beta:{root}", status=1, says="is the root of this helper (--root)")
    c.same(c.beta(f"zfs list -H -o quota {root}").strip(), "50M", "the root's quota")
    c.same(c.snaps(c.beta, root), ["own"], "the root's snapshots")

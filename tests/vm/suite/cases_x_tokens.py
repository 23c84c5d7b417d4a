"""A target that lies about what it has received: resume tokens of other datasets, of decrypted streams, and of no stream at all."""

from cases_u_encryption import key_options
from harness import case, q
from tools import beside, log_zfs, wrapped_helper

COLUMNS = "list -Hp -t filesystem,volume -o name,type,receive_resume_token,"


def lying_helper(c, tokens):
    """A helper whose datasets show these tokens ({path: token}) until they are cleared."""
    lies = "".join(f"""
        [ -e $place/cleared-{path} ] || sed -i 's#^\\({c.target}/{path}\t[^\t]*\\)\t[^\t]*#\\1\t'{q(token)}'#' $out""" for path, token in tokens.items())
    return wrapped_helper(c, f"""
        case "$*" in
        "{COLUMNS}"*)
            out=$(mktemp); $zfs "$@" >$out; status=$?{lies}
            cat $out; rm $out; exit $status ;;
        "recv -A "*) touch $place/cleared-${{3##*/}}; exit 0 ;;
        esac""", command="exec zfsync recv --stdio --allow rollback")


def partial(c, send, name):
    """The token of a stream that was cut on the target's host."""
    place = f"{c.target}-cut"
    c.beta(f"zfs list {place} >/dev/null 2>&1 || zfs create {place}")
    c.alpha(f"zfs send {send} | head -c 1M | ssh beta zfs recv -s -u {place}/{name} || true")
    found = c.beta(f"zfs get -H -o value receive_resume_token {place}/{name}")
    c.check(found.startswith("1-"), f"no token: {found}")
    return found


@case("SEC", "ENC")
def tokens_of_what_was_not_asked_for(c):
    """Neither another dataset nor plaintext of an encrypted one leaves the source, whatever token its target shows; each lie is named, and the run ends in sync."""
    secret = f"{c.source}-secret"
    c.cleanups += [(c.alpha, f"zfs destroy -r {secret}"), (c.beta, f"zfs destroy -r {c.target}-cut")]
    c.alpha(f"""zfs create {c.source}; zfs create {secret}; head -c 3M /dev/urandom >/{secret}/file; zfs snapshot {secret}@x
        zfs create {key_options(c, c.alpha)} {c.source}/enc
        for n in other rubbish long; do zfs create {c.source}/$n; done
        for n in enc other rubbish long; do echo 1 >/{c.source}/$n/file; done; zfs snapshot -r {c.source}@s1""")
    c.push()
    c.alpha(f"for n in enc other rubbish long; do head -c 3M /dev/urandom >/{c.source}/$n/file; done; zfs snapshot -r {c.source}@s2")
    tokens = {
        "other": partial(c, f"{secret}@x", "other"),
        "enc": partial(c, f"{c.source}/enc@s2", "enc"),
        "rubbish": "1-0-0-ff",
        "long": "1-" + "7" * 40_000,
    }
    log = f"/var/tmp/zfsync-suite/{c.name}/zfs.log"
    log_zfs(c, c.alpha, f"/var/tmp/zfsync-suite/{c.name}/logged", log)
    run = c.push("--rollback", "--remote-zfsync", lying_helper(c, tokens), env=beside(f"/var/tmp/zfsync-suite/{c.name}/logged"))
    c.in_sync()
    sends = [line for line in c.alpha.lines(f"cat {log}") if line.startswith("send ")]
    c.same([line for line in sends if " -t" in line], [], "sends by a token")
    c.check(sends and not any(secret in line for line in sends), f"another dataset was sent: {sends}")
    c.check(all(" -w" in line for line in sends if f"{c.source}/enc" in line), f"an encrypted dataset was sent in the clear: {sends}")
    c.says(run, "is not a snapshot of", "it was sent decrypted, but is to be sent raw now", "damaged")
    c.same(c.properties(c.beta, c.target, "encryptionroot")["enc", "encryptionroot"][0], f"{c.target}/enc", "the encryption root of the copy")

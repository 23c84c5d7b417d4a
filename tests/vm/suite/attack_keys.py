"""Attacks on the keys of a raw copy by whoever may send increments into it; runs on beta: attack_keys.py BASE GROUP, as attack_run.py."""

import json
import struct
import sys

import attack_records as rec
import attack_world
from attack_run import Bed, attempt, sh, streams
from attack_wire import receive

# The lengths of what is in the list of a BEGIN record (`dsl_crypto_populate_key_nvlist` in dsl_crypt.c).
BYTES = {"DSL_CRYPTO_MASTER_KEY_1": 32, "DSL_CRYPTO_HMAC_KEY_1": 64, "DSL_CRYPTO_IV": 12, "DSL_CRYPTO_MAC": 16}
NUMBERS = ("DSL_CRYPTO_SUITE", "DSL_CRYPTO_GUID", "DSL_CRYPTO_VERSION", "keyformat", "pbkdf2iters", "pbkdf2salt")


class KeyBed(Bed):
    """Beside all else: whether the owner's passphrase still opens the copies."""

    def __init__(self, base):
        self.file = ""
        super().__init__(base)
        self.file = sh(f"zfs get -Ho value keylocation {base}/enc").decode().strip()
        # A copy below its encryption root, as `zfs send -R -w` of a tree leaves it.
        sh(f"""
            zfs create {base}/enc/kid; echo 1 >/{base}/enc/kid/file; zfs snapshot -r {base}/enc@t1
            zfs send -R -w {base}/enc@t1 | zfs recv -u -o canmount=noauto {self.root}/tree
            zfs snapshot -r {base}/enc@t2
        """)
        self.world_before = self.world()

    def world(self):
        opens = sh(f"""
            for copy in raw tree; do
                zfs load-key -n -L {self.file} {self.root}/$copy >/dev/null 2>&1 && echo "{self.root}/$copy opens"
            done; true
        """) if self.file else b""
        return super().world() | set(opens.decode().splitlines())

    def opens(self, copy):
        """What the owner's passphrase shows of a copy: its first snapshot's file, by a clone."""
        return sh(f"""
            zfs load-key -L {self.file} {self.root}/{copy} >/dev/null 2>&1 || {{ echo closed; exit 0; }}
            zfs clone -o mountpoint=/{self.base}/look -o canmount=on {self.root}/{copy}@s1 {self.root}/look 2>/dev/null || true
            cat /{self.base}/look/file-1 2>/dev/null || echo unreadable
            zfs destroy {self.root}/look 2>/dev/null || true; zfs unload-key {self.root}/{copy}
        """).decode().strip()


def pair(content, name):
    """Where a pair begins and ends in a packed list."""
    at = content.index(name.encode() + b"\0") - 16
    return at, at + struct.unpack_from("<i", content, at)[0]


def changed(content, name):
    """The same list with one bit of a value changed."""
    start, end = pair(content, name)
    value = start + -(-(16 + len(name) + 1) // 8) * 8
    assert end - value >= BYTES.get(name, 8), name
    content = bytearray(content)
    content[value] ^= 1
    return bytes(content)


def list_twice(content, other):
    """Two lists of the same name: that of `content`, then that of `other`."""
    start, _ = pair(content, "crypt_keydata")
    # The list ends with the size 0, and so does what it lies in.
    return content[:-4] + other[start:]


def forged(bed, change, words="-w -i @s1 %enc@s2", at=0):
    """A raw increment with another list in its BEGIN record."""
    parts = rec.parse(bed.stream(words))
    begin = parts[at].begin
    begin.content = change(begin.content)
    begin.put(4, "I", len(begin.content))
    return rec.seal(parts)


def change_key(bed):
    """The source's passphrase becomes another one; the copies know nothing of it."""
    sh(f"printf %s 'another passphrase' >/var/tmp/key2.$$; zfs change-key -o keylocation=file:///var/tmp/key2.$$ {bed.base}/enc")
    bed.world_before = bed.world()


def keys(bed):
    """Increments that would replace the wrapped key; each would be taken by ZFS if it weren't for the helper, or nearly."""
    raw, root = f"{bed.root}/raw", bed.root
    before = bed.opens("raw")
    for name in (*BYTES, *NUMBERS):
        streams(bed, f"{name} is changed", forged(bed, lambda content: changed(content, name)), dataset=raw, brings={"snapshot": "s2"})
    damaged = lambda content: changed(content, "DSL_CRYPTO_MAC")
    for name, change in {
        "the right list and another": lambda content: list_twice(content, damaged(content)),
        "another list and the right one": lambda content: list_twice(damaged(content), content),
        "no list": lambda content: b"",
        "a list that is cut": lambda content: content[:-4],
        "a list in XDR": lambda content: b"\1" + content[1:],
        "another field twice": lambda content: content.replace(b"to_ivset_guid", b"DSL_CRYPTO_IV", 1),
    }.items():
        streams(bed, name, forged(bed, change), dataset=raw, brings={"snapshot": "s2"})
    package = forged(bed, damaged, words="-w -I @s1 %enc@s3", at=2)

    def later(session):
        failure = receive(session, package, dataset=raw, kind="filesystem", brings="snapshots")
        # The first stream is good, and has arrived.
        sh(f"zfs list {raw}@s2; zfs rollback -r {raw}@s1")
        return failure
    attempt(bed, "a changed key later in a package", later)
    # The children's keys are wrapped with the root's.
    streams(bed, "the salt of a tree's root", forged(bed, lambda content: changed(content, "pbkdf2salt"), "-w -i @t1 %enc@t2"),
            dataset=f"{root}/tree", brings={"snapshot": "t2"})
    streams(bed, "a key below a tree's root", forged(bed, damaged, "-w -i @t1 %enc/kid@t2"), dataset=f"{root}/tree/kid", brings={"snapshot": "t2"})
    # One with which zfs itself has wrapped it anew, with a hint at a base that isn't there.
    change_key(bed)
    for hint in ("s1", "gone", None):
        streams(bed, f"zfs change-key, base {hint}", sh(f"zfs send -w -i @s1 {bed.base}/enc@s2"), dataset=raw, brings={"snapshot": "s2"}, base=hint)
    print(json.dumps({"name": "the copy is read", "refused": True, "words": "", "panicked": False,
                      "changes": [line for line in (before, bed.opens("raw")) if line != "1"]}), flush=True)


def fair(bed):
    """What leaves the key as it is, and what `--allow rekey` permits."""
    raw = f"{bed.root}/raw"
    streams(bed, "the same key", bed.stream("-w -i @s1 %enc@s2"), dataset=raw, brings={"snapshot": "s2"}, base="s1")
    streams(bed, "the same key, in a package", bed.stream("-w -I @s2 %enc@s4"), dataset=raw, brings="snapshots")
    streams(bed, "below a root", bed.stream("-w -i @t1 %enc/kid@t2"), dataset=f"{bed.root}/tree/kid", brings={"snapshot": "t2"})
    change_key(bed)
    streams(bed, "another key, allowed", sh(f"zfs send -w -i @s4 {bed.base}/enc@t1"), "--root", bed.root, "--allow", "rekey",
            dataset=raw, brings={"snapshot": "t1"})
    streams(bed, "the new one, again", sh(f"zfs send -w -i @t1 {bed.base}/enc@t2"), dataset=raw, brings={"snapshot": "t2"})


if __name__ == "__main__":
    sys.argv[2:] or sys.exit(__doc__)
    attack_world.play(KeyBed(sys.argv[1]), {"keys": keys, "fair": fair}[sys.argv[2]], together=False)

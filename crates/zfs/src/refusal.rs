//! Tells from the words of a failed `zfs` command which case it is. The words stay with the case: they are shown.

use serde::{Deserialize, Serialize};

/// Why `zfs` refused, as far as its words tell (libzfs has no other channel; its messages are those of
/// OpenZFS `lib/libzfs/libzfs_sendrecv.c` and `libzfs_util.c`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The target has changed since its newest snapshot.
    Modified,
    /// The increment doesn't start at the target's newest snapshot.
    NotNewest,
    /// A receive was cut here; its state must be resumed or cleared first.
    Partial,
    /// The dataset is there already, and the stream would make it anew.
    Exists,
    /// A dataset or snapshot isn't there.
    Missing,
    /// Somebody else uses it right now (another receive, a send, a mount).
    Busy,
    /// Not enough rights.
    Permission,
    /// No space, or a quota is used up.
    NoSpace,
    /// The pool or dataset can't be written.
    ReadOnly,
    /// The stream needs a feature that the receiver's pool or version lacks.
    Feature,
    /// ZFS calls the stream invalid (EINVAL) and doesn't say why: the receiver may lack a feature, or the target has got a snapshot
    /// since the receive began, which ends it in that way (`dsl_dataset_clone_swap_check_impl` in `module/zfs/dsl_dataset.c`).
    Invalid,
    /// The base has blocks above 128 KiB and the stream comes without: one of both sides was received without `zfs send -L`.
    LargeBlocks,
    /// The key of the target's encryption root is not loaded there.
    KeyNotLoaded,
    /// A full stream can't take the place of what is there: one of both is encrypted (`zfs receive -F`).
    EncryptedInPlace,
    /// A raw increment on top of an increment that was received decrypted.
    IvSet,
    /// A raw increment would replace the wrapped key of what is there, and this helper isn't allowed to let it.
    WrappedKey,
    /// Encryption of stream and target don't fit together.
    Encryption,
    /// The stream ended early or was damaged.
    Stream,
    /// A snapshot in the way is held (zfs-hold(8)).
    Held,
    /// A snapshot in the way has clones.
    HasClones,
    /// `snapshot_limit` or `filesystem_limit` is reached.
    Limit,
    /// The pool is suspended.
    Suspended,
    /// The process was killed by somebody, or a signal has interrupted what it did.
    Killed,
    /// No ssh session for it has come free in time, so nothing was started.
    NoSession,
    /// The helper's own command line doesn't allow it.
    NotAllowed,
    /// The stream isn't what the request spoke of, or of a kind that a helper never takes.
    UnexpectedStream,
    /// Another run works on the same target tree; the words say which.
    Locked,
    /// What is there is no longer what the request was made for.
    Changed,
    /// The connection to the host was lost, so that nobody knows.
    Lost,
    /// Anything else; a newer helper's unknown case too.
    #[serde(other)]
    Other,
}

/// Phrases of OpenZFS 2.1 to 2.4 (`lib/libzfs/libzfs_sendrecv.c`, `libzfs_util.c`, `cmd/zfs/zfs_main.c`) and the case
/// that each tells; in lower case, line feeds as blanks. The first that occurs decides, so the more telling come first.
const PHRASES: &[(Refusal, &[&str])] = &[
    (
        Refusal::Partial,
        &[
            "contains partially-complete state",
            "resuming recv on existing destination",
            "resuming recv on existing dataset",
        ],
    ),
    (Refusal::Modified, &["has been modified since most recent snapshot"]),
    (Refusal::NotNewest, &["does not match incremental source"]),
    (Refusal::KeyNotLoaded, &["key must be loaded", "key not loaded"]),
    (Refusal::EncryptedInPlace, &["cannot be used to destroy an encrypted filesystem"]),
    (Refusal::IvSet, &["iv set guid"]),
    (
        Refusal::Encryption,
        &[
            "failed to create encryption key",
            "encryption key does not match existing key",
            "cannot perform raw receive on top of existing unencrypted dataset",
            "may not be sent with properties without the raw flag",
            "crypto parameters not compatible",
            "encryption failure",
        ],
    ),
    // What libzfs says of every EINVAL (`zfs_receive_one` in `lib/libzfs/libzfs_sendrecv.c`).
    (
        Refusal::Invalid,
        &["kernel modules must be upgraded to receive", "embedded data stream feature with encrypted receive"],
    ),
    (Refusal::LargeBlocks, &["requires -l (--large-block)"]),
    (
        Refusal::Feature,
        &[
            "must be upgraded",
            "unsupported version or feature",
            "stream has unsupported feature",
            "spill block flag missing",
            "stream is not compatible with the data in the pool",
            "no longer supports deduplicated send streams",
            "does not support this operation",
            "does not support an option for this operation",
            "operation not supported by zfs kernel module",
        ],
    ),
    (Refusal::NoSpace, &["out of space", "no space left on device", "space quota exceeded", "disk quota exceeded"]),
    (Refusal::ReadOnly, &["read-only file system", "pool is read-only", "dataset is read-only", "pool is unavailable"]),
    (Refusal::Suspended, &["pool i/o is currently suspended", "pool is suspended"]),
    (Refusal::HasClones, &["has dependent clones", "has dependent clone"]),
    (Refusal::Held, &["it's being held", "snapshot is held", "user hold"]),
    (Refusal::Limit, &["snapshot limit", "snapshot_limit", "filesystem limit", "filesystem_limit"]),
    (
        Refusal::Exists,
        &[
            "must specify -f to overwrite it",
            "must destroy them to overwrite it",
            "must destroy it to overwrite it",
            "cannot overwrite with a zvol",
            "destination already exists",
            "dataset already exists",
            "pool or dataset exists",
        ],
    ),
    (
        Refusal::Stream,
        &[
            "incomplete stream",
            "checksum mismatch",
            "invalid stream",
            "invalid backup stream",
            "failed to read from stream",
            "invalid record type",
        ],
    ),
    // EINTR (`zfs_common_error` in `lib/libzfs/libzfs_util.c`): a send or receive that a terminal has stopped ends so when it goes on.
    (Refusal::Killed, &["signal received"]),
    (
        Refusal::Busy,
        &["dataset is busy", "target is busy", "device or resource busy", "filesystem is busy", "unmount failed"],
    ),
    (
        Refusal::Permission,
        &[
            "permission denied",
            "must be run as root",
            "operation not permitted",
            "delegated administration is disabled",
            "insufficient privileges",
        ],
    ),
    (
        Refusal::Missing,
        &[
            "does not exist",
            "no such pool",
            "could not find any snapshots",
            "no longer exists",
            "incremental source could not be found",
        ],
    ),
];

impl Refusal {
    /// Classifies what `zfs` wrote to stderr. Names in quotes are left out: a dataset may be called anything.
    #[must_use]
    pub fn from_words(words: &str) -> Self {
        let words = without_names(&words.to_ascii_lowercase());
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
        PHRASES.iter().find(|(_, phrases)| says(phrases)).map_or(Self::Other, |(refusal, _)| *refusal)
    }

    /// Whether what was to be destroyed rightly stays: somebody uses it, or it is not what it was.
    #[must_use]
    pub fn is_a_reason_to_stay(self) -> bool {
        matches!(self, Self::Held | Self::HasClones | Self::Changed | Self::Busy)
    }
}

/// Takes out what stands in single quotes (no name can hold one) and joins wrapped lines.
fn without_names(words: &str) -> String {
    let outside = words.split('\'').step_by(2).collect::<Vec<_>>().join("");
    outside.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_words_of_openzfs() {
        for (words, refusal) in [
            (
                "cannot receive incremental stream: destination b/x has been modified\nsince most recent snapshot",
                Refusal::Modified,
            ),
            (
                "cannot receive incremental stream: most recent snapshot of b/x does not\nmatch incremental source",
                Refusal::NotNewest,
            ),
            (
                "cannot receive new filesystem stream: destination 'b/x' exists\nmust specify -F to overwrite it",
                Refusal::Exists,
            ),
            (
                "cannot receive resume stream: destination b/x contains partially-complete state from \"zfs receive -s\".",
                Refusal::Partial,
            ),
            ("cannot open 'b/x': dataset does not exist", Refusal::Missing),
            ("cannot receive new filesystem stream: permission denied", Refusal::Permission),
            ("cannot receive incremental stream: out of space", Refusal::NoSpace),
            ("cannot receive new filesystem stream: dataset is busy", Refusal::Busy),
            ("cannot receive: invalid stream (checksum mismatch)", Refusal::Stream),
            ("internal error: what is this", Refusal::Other),
            (
                "cannot receive resume stream: Resuming recv on existing destination 'b/x'\nmust specify -F to overwrite it",
                Refusal::Partial,
            ),
            (
                "cannot receive new filesystem stream: destination has snapshots (eg. b/x@s)\nmust destroy them to overwrite it",
                Refusal::Exists,
            ),
            ("cannot restore to b/x: destination already exists", Refusal::Exists),
            ("cannot receive incremental stream: inherited key must be loaded", Refusal::KeyNotLoaded),
            ("warning: cannot send 'apool/e@1': dataset key must be loaded", Refusal::KeyNotLoaded),
            (
                "cannot receive incremental stream: IV set guid mismatch. See the 'zfs receive' man page section\n discussing the limitations of raw encrypted send streams.",
                Refusal::IvSet,
            ),
            (
                "cannot receive incremental stream: cannot perform raw receive on top of existing unencrypted dataset",
                Refusal::Encryption,
            ),
            (
                "cannot receive new filesystem stream: zfs receive -F cannot be used to destroy an encrypted filesystem or overwrite an unencrypted one with an encrypted one",
                Refusal::EncryptedInPlace,
            ),
            ("cannot receive: pool must be upgraded to receive this stream.", Refusal::Feature),
            (
                "cannot receive resume stream: incompatible embedded data stream feature with encrypted receive.",
                Refusal::Invalid,
            ),
            (
                "cannot receive incremental stream: kernel modules must be upgraded to receive this stream.",
                Refusal::Invalid,
            ),
            (
                "cannot receive incremental stream: incremental send stream requires -L (--large-block), to match previous receive.",
                Refusal::LargeBlocks,
            ),
            (
                "cannot receive resume stream: checksum mismatch or incomplete stream.\nPartially received snapshot is saved.\nA resuming stream can be generated on the sending system by running:\n    zfs send -t 1-abc",
                Refusal::Stream,
            ),
            ("cannot receive new filesystem stream: destination b/x space quota exceeded.", Refusal::NoSpace),
            ("cannot open 'b/x': pool I/O is currently suspended", Refusal::Suspended),
            ("cannot unmount '/b/x': pool or dataset is busy", Refusal::Busy),
            ("cannot open 'b/out of space': dataset does not exist", Refusal::Missing),
            ("cannot create 'b/x': permission denied", Refusal::Permission),
            ("warning: cannot send 'b/x@s': signal received", Refusal::Killed),
            ("cannot receive incremental stream: signal received", Refusal::Killed),
            ("Permission denied the ZFS utilities must be run as root.", Refusal::Permission),
        ] {
            assert_eq!(Refusal::from_words(words), refusal, "{words}");
        }
    }

    #[test]
    fn a_newer_helpers_case_is_other() {
        assert_eq!(serde_json::from_str::<Refusal>("\"sunspots\"").unwrap(), Refusal::Other);
    }
}

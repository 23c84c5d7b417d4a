//! What the [`super::Machine`] takes and what it gives.

use std::time::Duration;

use crate::plan::{Attempt, Placement, PlannedDataset, Sharer, Step, StepId, discard};
use crate::remote::client::{ChannelId, SendFailure};
use zfs::name::DatasetName;
use zfs::permission::GRANT;
use zfs::{Failure, Refusal};

/// Numbers the connections of a run.
pub type ConnectionId = u32;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A channel's helper is ready.
    ChannelUp {
        /// The channel.
        channel: ChannelId,
        /// What carries it.
        connection: ConnectionId,
    },
    /// A channel is gone; what it carried is lost.
    ChannelDown {
        /// The channel.
        channel: ChannelId,
        /// Why, in plain words.
        why: String,
    },
    /// No further connection could be made.
    ConnectFailed {
        /// Its number.
        connection: ConnectionId,
        /// Why, in plain words.
        why: String,
        /// Whether it is of no use to try again: authentication, a wrong host key.
        fatal: bool,
    },
    /// Bytes of a step have moved.
    Moved {
        /// The step.
        step: StepId,
    },
    /// A step's sender or receiver shows that it works, though no bytes move. That is believed only for so long.
    Heartbeat {
        /// The step.
        step: StepId,
    },
    /// Time goes by; to be told every second or so.
    Tick,
    /// What came of an [`Action::Resolve`].
    Resolved {
        /// Its place in the plan.
        dataset: usize,
        /// What.
        resolved: Resolved,
    },
    /// `zfs send` has told how much will come.
    Estimated {
        /// The step.
        step: StepId,
        /// Bytes.
        total: u64,
    },
    /// A stream is over on this side.
    Sent {
        /// The step.
        step: StepId,
        /// Its bytes.
        bytes: u64,
        /// What was wrong with `zfs send` when it failed.
        failure: Option<SendFailure>,
    },
    /// The receiver has answered a step.
    Received {
        /// The step.
        step: StepId,
        /// `None` when all went well.
        failure: Option<Failure>,
    },
    /// A dataset was relisted.
    Replanned {
        /// Its place in the plan.
        dataset: usize,
        /// Its new plan, or why there is none.
        planned: Result<Box<PlannedDataset>, String>,
    },
    /// A signal: end in good order.
    Stop,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a step over this channel.
    Start {
        /// The channel.
        channel: ChannelId,
        /// The number of the step.
        step: StepId,
        /// Its dataset's place in the plan.
        dataset: usize,
        /// What to send.
        send: Step,
        /// Where it goes.
        into: Placement,
    },
    /// Stop a step's stream: the receiver doesn't want it any more.
    Abort(StepId),
    /// List this dataset's target in full (and what the source has of it, too) and plan it anew.
    Relist {
        /// Its place in the plan.
        dataset: usize,
        /// What was refused; `None` after a lost connection.
        attempt: Option<Attempt>,
        /// To wait before.
        wait: Duration,
        /// Whether the source has changed since the plan.
        source: bool,
    },
    /// Make one more connection with channels.
    Connect {
        /// To wait before.
        wait: Duration,
    },
    /// Open a channel over this connection in place of a lost one.
    Reopen {
        /// Which.
        connection: ConnectionId,
    },
    /// Close this channel without waiting for anything: it doesn't answer. It counts as gone already.
    Drop {
        /// Which.
        channel: ChannelId,
    },
    /// Get the conflict of this dataset out of the way, as its verdict says.
    Resolve {
        /// Its place in the plan.
        dataset: usize,
    },
    /// A step is through.
    StepDone {
        /// The step.
        step: StepId,
        /// Its bytes.
        bytes: u64,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: StepId,
        /// When its dataset is relisted, to go on from there; `None`: not in this run.
        retry: Option<Duration>,
        /// In plain words.
        error: String,
    },
    /// A dataset reached its end.
    DatasetEnded {
        /// Its place in the plan.
        dataset: usize,
        /// How.
        end: DatasetOutcome,
    },
}

/// What came of a resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// It is done.
    Done,
    /// It was refused; the whole text for the user.
    Refused(String),
    /// Nothing was begun; the whole text for the user.
    NotBegun(String),
    /// Nothing was begun, and it may be later.
    NotBegunYet(String),
    /// The connection was lost meanwhile.
    Lost(String),
}

/// What a run may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams at the same time.
    pub channels: usize,
    /// Whether more connections may be made when the data deserves them.
    pub auto: bool,
    /// Tries without progress.
    pub retries: u32,
    /// Longest pause between two of them.
    pub max_wait: Duration,
    /// So long a step may show no sign of life; `None` for ever.
    pub stall: Option<Duration>,
    /// For the jitter of pauses.
    pub seed: u64,
}

/// How a dataset ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatasetOutcome {
    /// In sync; `updated` when something arrived in this run.
    InSync {
        /// Whether something arrived.
        updated: bool,
    },
    /// The source has nothing to send.
    NoSnapshots,
    /// In conflict: the text has everything.
    Conflict(String),
    /// Failed.
    Failed(String),
    /// Not tried, as the dataset above it couldn't be created.
    Skipped(String),
    /// Not finished, as the run was stopped.
    Interrupted,
}

/// What to do about a refusal, as far as its kind tells.
pub fn advice(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoSpace => {
            "\n  free space on the target, or raise its quota, refquota or snapshot_limit (zfs reports all of them alike), and run again"
        }
        Refusal::Busy => "\n  the target dataset is busy; run again when it is no longer in use",
        Refusal::Feature => {
            "\n  the stream needs a newer pool version or OpenZFS on the target: use zpool upgrade, or choose another target"
        }
        Refusal::Invalid => {
            "\n  zfs doesn't say why: either a snapshot of the target was taken during the receive (run again), or the stream \
             needs a newer pool version or OpenZFS on the target"
        }
        // Which key, and on which host, the helper has said. No resolution that destroys anything would help.
        Refusal::KeyNotLoaded => "\n  load it and run again",
        Refusal::Encryption => {
            "\n  the encryption of the stream doesn't match the target: use --decrypt to send it decrypted, or choose a target outside of \
             the encrypted dataset"
        }
        Refusal::WrappedKey => {
            "\n  if the key of the source was not changed on purpose (zfs change-key), find out who changed it; if it was: \
             replicate to a new target, or accept this one increment with --allow-rekey (with a restricted key, the helper's command in \
             authorized_keys on the target's host needs --allow rekey); from then on, only the new key unlocks the copy"
        }
        Refusal::ReadOnly => "\n  the target's pool is read-only: check zpool status there",
        Refusal::Suspended => "\n  the target's pool is suspended: check zpool status there; zpool clear resumes it",
        Refusal::Limit => "\n  raise snapshot_limit or filesystem_limit on the target (zfs set) and run again",
        Refusal::NotAllowed => {
            "\n  what the helper may do is set in its command in authorized_keys on the target's host"
        }
        _ => "",
    }
}

/// The same where this dataset of the target could not be received for lack of space. `resumed`: what arrived before is known to be there.
pub fn space_advice(target: &DatasetName, resumed: bool) -> String {
    let kept = if resumed { "is" } else { "may be" };
    let discard = discard(target);
    format!(
        "{}; what has arrived {kept} kept for resuming, and takes space: {discard} on the target's host discards it",
        advice(Refusal::NoSpace)
    )
}

/// The same where a raw increment would replace a key that others of the target have, too.
pub fn shared_key_advice(sharer: &Sharer) -> String {
    format!(
        "\n  {sharer}: after zfs change-key on the source, the new key would open only one of them; take a snapshot of all datasets that share it on the source (zfsync snapshot, or zfs \
         snapshot -r), so that each gets an increment, and run again; what has none there any more must first be made an encryption root \
         on the target's host (zfs load-key, then zfs change-key -o keyformat=passphrase); --allow-key-mismatch sends the increment anyway"
    )
}

/// The same for a refusal of the source's `zfs send`, with these words.
pub fn source_advice(refusal: Refusal, words: &str) -> &'static str {
    match refusal {
        // The helper of another host has named user and dataset itself.
        Refusal::Permission if words.contains(GRANT) => "",
        Refusal::Missing => {
            "\n  it was repeatedly destroyed or renamed on the source's host during the run; the next run continues with what exists then"
        }
        Refusal::Permission => {
            "\n  root on the source's host can delegate the permission: zfs allow USER send,hold,bookmark,destroy,mount,userprop DATASET"
        }
        Refusal::KeyNotLoaded => "\n  --decrypt needs the dataset's key on the source's host: zfs load-key",
        _ => "",
    }
}

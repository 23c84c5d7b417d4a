//! What the [`super::Machine`] takes and what it gives.

use crate::plan::{Attempt, PlannedDataset, Step};
use crate::remote::client::ChannelId;
use crate::remote::wire::Failure;
use crate::report::StepId;
use crate::zfs::Refusal;

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
        /// Why, in plain words.
        why: String,
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
        /// The words of `zfs send` when it failed.
        failure: Option<String>,
    },
    /// The receiver has answered a step.
    Received {
        /// The step.
        step: StepId,
        /// `None` when all went well.
        failure: Option<Failure>,
    },
    /// A dataset was looked at again.
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
        /// Whether the dataset's target is there already.
        first: bool,
    },
    /// Stop a step's stream: the receiver doesn't want it any more.
    Abort(StepId),
    /// List this dataset's target in full and plan it anew.
    Look {
        /// Its place in the plan.
        dataset: usize,
        /// What was refused; `None` after a lost connection.
        attempt: Option<Attempt>,
    },
    /// Make one more connection with channels.
    Connect {
        /// How many connections were lost in this run; 0 when one more is only for speed.
        losses: u32,
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
        /// Whether its dataset is looked at again.
        retry: bool,
        /// In plain words.
        error: String,
    },
    /// A dataset reached its end.
    DatasetEnded {
        /// Its place in the plan.
        dataset: usize,
        /// How.
        end: End,
    },
}

/// How a dataset ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
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
pub(super) fn advice(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Permission => {
            "\n  the user on the target host needs more rights, for example: zfs allow USER \
             receive,create,mount,canmount,readonly,userprop DATASET"
        }
        Refusal::NoSpace => "\n  make room on the target (or raise its quota) and run again",
        Refusal::Busy => "\n  something else uses the target dataset right now; run again when it is through",
        Refusal::Feature => {
            "\n  the target's pool or OpenZFS is older than what the stream needs: zpool upgrade, or another target"
        }
        Refusal::Encryption => {
            "\n  stream and target don't fit in encryption: --decrypt sends plaintext, or choose a target outside of the \
             encrypted dataset"
        }
        Refusal::ReadOnly => "\n  the target's pool can't be written: look at zpool status there",
        _ => "",
    }
}

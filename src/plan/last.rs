//! What became of a dataset, and of a run as a whole, the last time: what the state folder of a run remembers and a status
//! tells.

use serde::{Deserialize, Serialize};

/// What became of a dataset in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastResult {
    /// The source's newest snapshot is there.
    InSync,
    /// Something went wrong.
    Failed,
    /// It can't go on without a loss.
    Conflict,
    /// Not tried, as the dataset above it couldn't be created.
    Skipped,
    /// The source has nothing to send.
    NoSnapshots,
    /// The run was stopped before.
    Interrupted,
}

impl LastResult {
    /// For programs.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Failed => "failed",
            Self::Conflict => "conflict",
            Self::Skipped => "skipped",
            Self::NoSnapshots => "no_snapshots",
            Self::Interrupted => "interrupted",
        }
    }

    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::NoSnapshots => "no snapshots",
            other => other.key(),
        }
    }
}

/// What is known of a dataset's last run. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// What became of it.
    pub result: LastResult,
    /// Why it isn't in sync.
    pub error: Option<String>,
    /// When that was found out, or confirmed, last.
    pub time: Option<i64>,
    /// When it was in sync last.
    pub success: Option<i64>,
}

/// What is known of the last run to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// When it ended, in seconds since 1970.
    pub ended: Option<i64>,
    /// How.
    pub exit_code: u8,
    /// Why it could not start.
    pub error: Option<String>,
}

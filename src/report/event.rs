//! What a run has to tell, as values: the run says what happened, the reporters decide how it looks.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{LastResult, StepId};

/// When people are told what only the target has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// At once.
    #[default]
    Now,
    /// Not before the run tells at its end what has become of each: that is enough.
    AtEnd,
    /// Never, as the plan of a dry run names each.
    ByPlan,
}

impl Telling {
    /// Of a run that tells later what has become of each, or of one that shows its plan alone.
    #[must_use]
    pub fn of(tells_later: bool, dry_run: bool) -> Self {
        match (tells_later, dry_run) {
            (false, _) => Self::Now,
            (true, false) => Self::AtEnd,
            (true, true) => Self::ByPlan,
        }
    }
}

/// Something that happened. Names are ready to print: dataset and snapshot names of ZFS are plain ASCII.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first helper has answered.
    Connected {
        /// The target host as the user wrote it; `None` for a target on this machine.
        host: Option<String>,
        /// The helper's version and OpenZFS version, for `-v`.
        helper: String,
        /// Since the start of the run.
        #[serde(rename = "seconds", with = "seconds")]
        took: Duration,
    },
    /// The plan is made; steps start now.
    Planned {
        /// Selected datasets.
        datasets: usize,
        /// Those that are in sync already.
        in_sync: usize,
        /// Steps to do, as far as known.
        steps: usize,
    },
    /// Something has gone wrong, beside what failed for single datasets; told in the quiet mode too. The exit code tells whether the run is
    /// a success.
    Problem {
        /// A sentence, perhaps with more lines.
        text: String,
    },
    /// Something worth a line that is no error, such as a dataset without snapshots.
    Notice {
        /// Of which dataset of the source; `None` for the run itself.
        dataset: Option<String>,
        /// In plain words.
        text: String,
    },
    /// A step has begun.
    StepStarted {
        /// Which.
        step: StepId,
        /// The source's dataset.
        dataset: String,
        /// The base (`@snapshot` or `#bookmark`); `None` for a full stream.
        from: Option<String>,
        /// Whether it goes on with a stream that was cut.
        resumed: bool,
        /// The snapshot that will be the newest afterwards, without `@`.
        to: String,
        /// How many snapshots the stream brings.
        snapshots: usize,
    },
    /// `zfs send` has told how large a step's stream will be.
    StepEstimated {
        /// Which.
        step: StepId,
        /// Expected bytes; the true stream can differ by a few percent.
        total: u64,
    },
    /// How far a step has come: sent several times a second.
    Progress {
        /// Which.
        step: StepId,
        /// Bytes so far.
        bytes: u64,
    },
    /// All bytes are sent, and the receiver is finishing its transaction.
    StepSent {
        /// Which.
        step: StepId,
        /// All bytes of the stream.
        bytes: u64,
    },
    /// The receiver has confirmed the step.
    StepDone {
        /// Which.
        step: StepId,
        /// The source's dataset.
        dataset: String,
        /// The snapshot that is the newest there now, without `@`.
        to: String,
        /// How many snapshots arrived.
        snapshots: usize,
        /// All bytes of the stream.
        bytes: u64,
        /// From its start to the receiver's confirmation.
        #[serde(rename = "seconds", with = "seconds")]
        took: Duration,
    },
    /// A step failed or was cut; its dataset is reported by [`Event::DatasetFailed`] unless it is tried again.
    StepFailed {
        /// Which.
        step: StepId,
        /// The source's dataset.
        dataset: String,
        /// Whether it will be tried again in this run.
        retry: bool,
        /// After how long.
        #[serde(rename = "wait", with = "seconds")]
        wait: Duration,
        /// In plain words, those of zfs or ssh included.
        error: String,
    },
    /// A dataset can't be brought in sync in this run.
    DatasetFailed {
        /// The source's dataset.
        dataset: String,
        /// The target's.
        target: String,
        /// `conflict`, `failed` or `skipped` (a parent failed, or TARGET itself is in conflict).
        kind: Cow<'static, str>,
        /// Several lines: what was attempted, zfs's words, what to do next.
        error: String,
    },
    /// What the target has and the source has no more, as far as that was looked for.
    OnlyThere {
        /// Datasets of the target.
        datasets: Vec<String>,
        /// Datasets of the target with those of their snapshots; only where the target was listed.
        snapshots: Vec<(String, Vec<String>)>,
        /// Whether the target was listed.
        listed: bool,
        /// When people are told.
        #[serde(skip)]
        told: Telling,
    },
    /// What is gone, or was moved: told when that is certain, and as in the record of destructions.
    Destroyed {
        /// Where; `None` for this machine.
        host: Option<String>,
        /// Full names of datasets and snapshots.
        names: Vec<String>,
        /// Why.
        rule: String,
    },
    /// What was destroyed on the target as the source has it no more.
    Cleared {
        /// Datasets.
        datasets: Vec<String>,
        /// Full names of snapshots of datasets that both sides have.
        snapshots: Vec<String>,
        /// How many bytes the snapshots freed.
        freed: u64,
        /// How many datasets have to wait for the end of the grace.
        datasets_wait: usize,
        /// How many snapshots have to.
        snapshots_wait: usize,
        /// When the next of these may go, in seconds since 1970.
        next: Option<i64>,
        /// Datasets and snapshots that rightly stay, and why.
        stay: Vec<(String, String)>,
        /// Those that were to go and could not, and why.
        failed: Vec<(String, String)>,
        /// Whether the user wants to know why something stays.
        #[serde(skip)]
        verbose: bool,
    },
    /// The run is over.
    Finished(Summary),
}

/// How a dataset has ended in this run. No [`Event`]: nobody wants a line for each of those that were in sync all along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetEnd<'a> {
    /// The source's dataset.
    pub dataset: &'a str,
    /// The target's.
    pub target: &'a str,
    /// What became of it.
    pub result: LastResult,
    /// Whether something arrived in this run.
    pub updated: bool,
    /// Why it isn't in sync.
    pub error: Option<&'a str>,
    /// The newest snapshot that is there, where this end tells.
    pub newest: Option<&'a str>,
}

/// How many conflicts were resolved, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResolvedConflicts {
    /// By `--rollback`.
    pub rolled_back: usize,
    /// By `--set-aside`.
    pub set_aside: usize,
    /// By `--replace`.
    pub replaced: usize,
}

/// A run in numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Selected datasets.
    pub datasets: usize,
    /// Those that were in sync before or are now.
    pub in_sync: usize,
    /// Those that got something in this run.
    pub updated: usize,
    /// Those that failed or are in conflict, and those skipped for such a parent.
    pub failed: usize,
    /// Those of them that are in conflict.
    #[serde(default)]
    pub conflicts: usize,
    /// Those of them that were skipped, where that is told.
    #[serde(skip)]
    pub skipped: usize,
    /// Datasets and snapshots that were destroyed on the target as the source has them no more, where that is told.
    #[serde(skip)]
    pub destroyed: (usize, usize),
    /// What was done about conflicts.
    #[serde(skip)]
    pub resolved: ResolvedConflicts,
    /// Why what the source has no more stays on the target, where the run is no success for that.
    #[serde(skip)]
    pub withheld: Option<String>,
    /// How much of streams that were interrupted the target keeps, as far as it says so.
    #[serde(skip)]
    pub kept: u64,
    /// Those that have no snapshot.
    pub without_snapshots: usize,
    /// Snapshots that arrived.
    pub snapshots: usize,
    /// Bytes of all confirmed streams, with what had come in this run before they were resumed.
    pub bytes: u64,
    /// Wall-clock time of the run.
    #[serde(rename = "seconds", with = "seconds")]
    pub took: Duration,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// Why there was nothing to replicate, where that is so: the run is no success then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// Source dataset and first line of the error of each failed one, in the order of their names.
    pub failures: Vec<(String, String)>,
}

impl Summary {
    /// Whether all selected datasets are in sync.
    #[must_use]
    pub fn went_well(&self) -> bool {
        self.failed == 0 && !self.interrupted && self.nothing.is_none()
    }

    /// Whether each selected dataset is told to be in sync, or to have nothing to send. For a summary that another host sends.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.in_sync.checked_add(self.without_snapshots) == Some(self.datasets)
    }
}

/// A duration as a number of seconds.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(took: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        // Milliseconds are enough for a reader and keep the lines short.
        serializer.serialize_f64((took.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

//! The messages: what the sender asks for, and what the helper answers.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{
    Answer, BaseFacts, Ended, Examination, Examine, Failure, Note, Noted, Outlook, Part, Pruned, Query, Reading,
    Receive, Rename, Resolution, StreamSpec, TargetFacts,
};

/// What the sender asks for; the helper answers with the same id, not always in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Which of these datasets (`a/b`) and snapshots (`a/b@s`) exist? Answered by [`Reply::Found`].
    Ask {
        /// Comes back in the answer.
        id: u64,
        /// At most [`super::MAX_NAMES`], and so many that the frame stays within [`super::MAX_CONTROL`].
        names: Vec<String>,
    },
    /// All snapshots of each of these datasets (not below them). Answered by [`Reply::Listed`] frames, then [`Reply::Done`].
    List {
        /// Comes back in the answers.
        id: u64,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// The same for a dataset and all below it; nothing if it doesn't exist. Answered as [`Request::List`].
    Tree {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        dataset: DatasetName,
    },
    /// What the pool and its nearest dataset allow a stream to carry. Answered by [`Reply::Probed`].
    Probe {
        /// Comes back in the answer.
        id: u64,
        /// The nearest dataset of the target that exists.
        dataset: DatasetName,
    },
    /// Drop what a cut receive left in this dataset (`zfs recv -A`), as it can't be resumed. Answered by [`Reply::Done`].
    Clear {
        /// Comes back in the answer.
        id: u64,
        /// The dataset; with a first receive that was cut it goes away.
        dataset: DatasetName,
    },
    /// Claim this tree for a run, until the helper ends. Answered by [`Reply::Done`], with [`zfs::Refusal::Locked`] when another run has
    /// it, or a part of it, or what it is a part of.
    Lock {
        /// Comes back in the answer.
        id: u64,
        /// TARGET.
        dataset: DatasetName,
        /// The run, the same for all its helpers.
        run: u64,
        /// Who it is, for the message that others get.
        owner: String,
    },
    /// Get a conflict out of the way. Refused unless the helper's command line allows it. Answered by [`Reply::Done`].
    #[serde(rename = "cure")]
    Resolve {
        /// Comes back in the answer.
        id: u64,
        /// How.
        #[serde(rename = "cure")]
        resolution: Resolution,
    },
    /// Would [`Request::Resolve`] do it? Checks all that it checks, and changes nothing. Answered by [`Reply::Done`].
    #[serde(rename = "try_cure")]
    TryResolve {
        /// Comes back in the answer.
        id: u64,
        /// How.
        #[serde(rename = "cure")]
        resolution: Resolution,
    },
    /// When were these snapshots made? Answered by [`Reply::Dated`].
    Dates {
        /// Comes back in the answer.
        id: u64,
        /// Full names (`a/b@s`), as in [`Request::Ask`].
        names: Vec<String>,
    },
    /// What do datasets say of these snapshots of theirs, as bases of increments? Or (`a/b`) of how they are encrypted? Answered by
    /// [`Reply::Bases`].
    Bases {
        /// Comes back in the answer.
        id: u64,
        /// Full names, as in [`Request::Ask`].
        names: Vec<String>,
        /// Whether only the IV sets are wanted.
        #[serde(default)]
        iv_sets_only: bool,
    },
    /// Destroy these snapshots as far as they are still the same, and neither held nor cloned. Refused unless the helper's
    /// command line allows it. Answered by [`Reply::Pruned`].
    Prune {
        /// Comes back in the answer.
        id: u64,
        /// The dataset.
        dataset: DatasetName,
        /// Its snapshots that go; at most [`zfs::host::MAX_PRUNE`].
        snapshots: Vec<(SnapshotName, Guid)>,
        /// Whether only to tell what would be done.
        dry_run: bool,
    },
    /// What datasets are there, from this one down? Answered by [`Reply::Names`] frames, then [`Reply::Done`].
    Names {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        dataset: DatasetName,
    },
    /// Rename a dataset, and with it all below, as the source has done. Refused unless the helper's command line allows it.
    /// Answered by [`Reply::Done`].
    Rename {
        /// Comes back in the answer.
        id: u64,
        /// How.
        rename: Rename,
    },
    /// What is noted of a tree's datasets, and of these snapshots. Answered by [`Reply::Notes`] frames, then [`Reply::Done`].
    Notes {
        /// Comes back in the answers.
        id: u64,
        /// The top of the tree.
        #[serde(default)]
        dataset: Option<DatasetName>,
        /// Full names of snapshots; at most [`super::MAX_NAMES`].
        #[serde(default)]
        snapshots: Vec<String>,
    },
    /// Note something on these datasets and snapshots, or (`value` is `None`) drop the note. Refused unless the helper's command
    /// line allows to destroy: that is what notes are for. Answered by [`Reply::Done`].
    Note {
        /// Comes back in the answer.
        id: u64,
        /// Which note.
        note: Note,
        /// What it says.
        value: Option<String>,
        /// Full names; at most [`super::MAX_NAMES`]. One that is gone already does no harm.
        names: Vec<String>,
    },
    /// Destroy a dataset that has just these snapshots, with neither holds nor clones, nothing written since, nothing below, and that
    /// is not mounted. Refused unless the helper's command line allows it. Answered by [`Reply::Done`].
    Destroy {
        /// Comes back in the answer.
        id: u64,
        /// The dataset.
        dataset: DatasetName,
        /// All its snapshots.
        snapshots: Vec<Guid>,
    },
    /// Would [`Request::Destroy`] do it, after those of which this was asked before in the same session and answered well? Checks all
    /// that can be known, and changes nothing. Answered by [`Reply::Done`].
    TryDestroy {
        /// Comes back in the answer.
        id: u64,
        /// The dataset.
        dataset: DatasetName,
        /// All its snapshots.
        snapshots: Vec<Guid>,
    },
    /// What else would a run find over there that wants to fill this tree? Answered by [`Reply::Outlook`].
    Outlook {
        /// Comes back in the answer.
        id: u64,
        /// The tree.
        dataset: DatasetName,
    },
    /// What does a snapshot hold? Refused unless the helper's command line allows it. Answered by [`Reply::Content`] frames, then
    /// [`Reply::Done`].
    Content {
        /// Comes back in the answers.
        id: u64,
        /// Which, and how.
        reading: Reading,
    },
    /// A question to the host of a source, or something that it is to do. Answered by [`Reply::Answer`] frames, then [`Reply::Done`].
    Query {
        /// Comes back in the answers.
        id: u64,
        /// Which.
        query: Query,
    },
    /// Give a stream: [`Reply::Begin`], then data frames up to [`super::FrameKind::End`] or [`super::FrameKind::Abort`], then
    /// [`Reply::Ended`]. The mark tells whether all that its process gave has come, the last reply how the process ended: only both
    /// together make it whole. One after the other: a channel carries one stream at a time in each direction. Its number is that of
    /// no other that is open. One that is given up before it has begun is answered by [`Reply::Done`].
    Stream {
        /// Comes back in the answers.
        id: u64,
        /// Which.
        stream: StreamSpec,
        /// So many bytes may be sent in a second.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per_second: Option<NonZeroU64>,
    },
    /// What speaks for or against a replication? Helpers of both sides answer, if they announce [`super::EXAMINES`], by
    /// [`Reply::Examined`].
    Examine {
        /// Comes back in the answer.
        id: u64,
        /// What is to be looked at.
        what: Examine,
    },
    /// Nobody wants the stream any more that was asked for with this id.
    Cancel {
        /// The id of its [`Request::Stream`].
        id: u64,
    },
    /// Receive the stream that follows in data frames. Answered by [`Reply::Done`].
    Receive {
        /// Comes back in the answer.
        id: u64,
        /// How.
        receive: Receive,
    },
}

/// The helper's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Ask`]: those that exist, by their place in the question. All others don't.
    Found {
        /// The request's.
        id: u64,
        /// Place, guid, createtxg.
        found: Vec<(u32, Guid, Txg)>,
    },
    /// To [`Request::List`] and [`Request::Tree`]: a part of one dataset's snapshots. Several may follow each other for one dataset; the facts
    /// are the same in each.
    Listed {
        /// The request's.
        id: u64,
        /// Which dataset.
        dataset: DatasetName,
        /// What it is.
        facts: TargetFacts,
        /// Its snapshots, or some of them.
        snapshots: Vec<(SnapshotName, Guid, Txg)>,
    },
    /// To [`Request::Ask`], [`Request::List`] and [`Request::Tree`], before what they are answered with: something exists and can't be read.
    Unread {
        /// The request's.
        id: u64,
        /// A dataset or snapshot that was asked for.
        name: String,
        /// The words of zfs.
        words: String,
    },
    /// To [`Request::Probe`].
    Probed {
        /// The request's.
        id: u64,
        /// Features of the pool that are `disabled`, of those that a stream can need.
        disabled: Vec<String>,
        /// Whether the dataset is encrypted, and so what is created below it would be.
        encrypted: bool,
    },
    /// To [`Request::Outlook`].
    Outlook {
        /// The request's.
        id: u64,
        /// What it looks like.
        outlook: Outlook,
    },
    /// To [`Request::Prune`].
    Pruned {
        /// The request's.
        id: u64,
        /// What came of it.
        pruned: Pruned,
    },
    /// To [`Request::Dates`].
    Dated {
        /// The request's.
        id: u64,
        /// Place in the question, seconds since 1970 (`creation`); what doesn't exist is left out.
        dates: Vec<(u32, i64)>,
    },
    /// To [`Request::Bases`].
    Bases {
        /// The request's.
        id: u64,
        /// Place in the question, and what its dataset says; what doesn't exist is left out.
        bases: Vec<(u32, BaseFacts)>,
    },
    /// To [`Request::Names`]: some of them.
    Names {
        /// The request's.
        id: u64,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// To [`Request::Notes`]: some of them.
    Notes {
        /// The request's.
        id: u64,
        /// The notes.
        notes: Vec<Noted>,
    },
    /// To [`Request::Content`]: some of it, or (without parts) a sign of life.
    Content {
        /// The request's.
        id: u64,
        /// So many bytes have been read so far.
        bytes: u64,
        /// The checksums.
        parts: Vec<Part>,
    },
    /// To [`Request::Query`]: the answer, or a part of it.
    Answer {
        /// The request's.
        id: u64,
        /// What.
        part: Answer,
    },
    /// To [`Request::Stream`]: the data frames that follow are its.
    Begin {
        /// The request's.
        id: u64,
    },
    /// Beside a stream: so many bytes are expected.
    Estimated {
        /// The request's.
        id: u64,
        /// Bytes.
        total: u64,
    },
    /// To [`Request::Stream`]: it is over, and that is how.
    Ended {
        /// The request's.
        id: u64,
        /// How.
        ended: Ended,
    },
    /// To [`Request::Examine`].
    Examined {
        /// The request's.
        id: u64,
        /// What there is.
        examination: Box<Examination>,
    },
    /// A sign of life of a running receive: sent only when it has moved on since the last one, or works.
    Beat {
        /// The id of its [`Request::Receive`].
        id: u64,
    },
    /// The request is through: nothing, or why not.
    Done {
        /// The request's.
        id: u64,
        /// `None` when all went well.
        #[serde(default)]
        failure: Option<Failure>,
        /// What `zfs` complained of although all went well: above all that a delegated user may not set `canmount` or
        /// `readonly`, so that what has arrived could be mounted at the next boot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warning: Option<String>,
    },
}

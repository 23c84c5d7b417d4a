//! What a sender's host can be asked, and asked to do: each question with the kind of answer that it has. The same for this machine
//! and, over the wire, for another one.

use serde::{Deserialize, Serialize};

use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::{Failure, Kind, NewBookmark, Pruned, Record, SnapshotState, StreamSpec, Traces};

/// A question to the host of a source, or something that it is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Query {
    /// Which of these snapshots exist? [`Answer::Found`].
    Find {
        /// Full names.
        names: Vec<String>,
    },
    /// What are these datasets? What doesn't exist is left out. [`Answer::Facts`].
    Facts {
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// What speaks against snapshots of these datasets? [`Answer::States`].
    States {
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// How much was written between each of these snapshots and the one before it? [`Answer::Numbers`].
    Written {
        /// Full names.
        names: Vec<String>,
    },
    /// When were these snapshots and bookmarks made? In seconds since 1970. [`Answer::Dates`].
    Dates {
        /// Full names.
        names: Vec<String>,
    },
    /// The IV sets of these snapshots and bookmarks. [`Answer::IvSets`].
    IvSets {
        /// Full names.
        names: Vec<String>,
    },
    /// May a pool have encrypted datasets? One that can't be asked may. [`Answer::Maybe`].
    Encrypted {
        /// The pool.
        pool: String,
    },
    /// How many bytes would a stream have? [`Answer::Size`].
    Estimate {
        /// The stream.
        stream: StreamSpec,
    },
    /// The pool's history from a transaction group on; only root is told. [`Answer::Records`].
    History {
        /// The pool.
        pool: String,
        /// Nothing older.
        since: Txg,
    },
    /// Is something received into these datasets? [`Answer::Traces`].
    Traces {
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// What do the snapshots of these datasets say by a user property of zfsync's? [`Answer::Texts`].
    SnapshotNotes {
        /// The property.
        property: String,
        /// The datasets.
        datasets: Vec<DatasetName>,
    },
    /// What was set on a dataset, and above it as far as it counts for it? [`Answer::Properties`].
    Properties {
        /// The dataset.
        dataset: DatasetName,
    },
    /// What was set on a dataset or below it? [`Answer::Properties`].
    PropertiesBelow {
        /// The top of the tree.
        dataset: DatasetName,
    },
    /// The datasets of the host, or those that the helper may tell of. [`Answer::Names`].
    Names,
    /// Make these bookmarks, as many as possible in one transaction. [`Answer::Failures`], in the same order.
    Bookmark {
        /// Of one pool.
        new: Vec<NewBookmark>,
    },
    /// Destroy these bookmarks. [`Answer::Failures`], in the same order.
    DropBookmarks {
        /// Datasets and what follows `#`.
        bookmarks: Vec<(DatasetName, SnapshotName)>,
    },
    /// Set a user property of zfsync's, or drop it. [`Answer::Done`].
    SetProperty {
        /// Of which dataset.
        dataset: DatasetName,
        /// Or of this snapshot of it.
        snapshot: Option<SnapshotName>,
        /// Its name.
        property: String,
        /// Its value; without one it is dropped.
        value: Option<String>,
    },
    /// Take a snapshot of each of these datasets, in one transaction. [`Answer::Done`].
    Snapshot {
        /// Of one pool.
        datasets: Vec<DatasetName>,
        /// What follows `@`.
        name: SnapshotName,
        /// Whether of all below them too.
        recursive: bool,
        /// Whether they get [`crate::TAKEN_HERE`], where that is permitted.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        taken_here: bool,
    },
    /// Destroy these snapshots as far as they are still the same, and neither held nor cloned. [`Answer::Pruned`].
    Prune {
        /// The dataset.
        dataset: DatasetName,
        /// What goes.
        snapshots: Vec<(SnapshotName, Guid)>,
        /// Whether only to tell what would be done.
        dry_run: bool,
    },
}

impl Query {
    /// How many names it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Find { names } | Self::Written { names } | Self::Dates { names } | Self::IvSets { names } => {
                names.len()
            }
            Self::Facts { datasets }
            | Self::States { datasets }
            | Self::Traces { datasets }
            | Self::SnapshotNotes { datasets, .. }
            | Self::Snapshot { datasets, .. } => datasets.len(),
            Self::Bookmark { new } => new.len(),
            Self::DropBookmarks { bookmarks } => bookmarks.len(),
            Self::Prune { snapshots, .. } => snapshots.len(),
            Self::Encrypted { .. }
            | Self::Estimate { .. }
            | Self::History { .. }
            | Self::Properties { .. }
            | Self::PropertiesBelow { .. }
            | Self::Names
            | Self::SetProperty { .. } => 1,
        }
    }

    /// Whether it has none, and so needs nobody to answer it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it changes anything on the host: what may have been done already must not be asked for again.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Bookmark { .. }
            | Self::DropBookmarks { .. }
            | Self::SetProperty { .. }
            | Self::Snapshot { .. }
            | Self::Prune { dry_run: false, .. } => true,
            Self::Find { .. }
            | Self::Facts { .. }
            | Self::States { .. }
            | Self::Written { .. }
            | Self::Dates { .. }
            | Self::IvSets { .. }
            | Self::Encrypted { .. }
            | Self::Estimate { .. }
            | Self::History { .. }
            | Self::Traces { .. }
            | Self::SnapshotNotes { .. }
            | Self::Properties { .. }
            | Self::PropertiesBelow { .. }
            | Self::Names
            | Self::Prune { dry_run: true, .. } => false,
        }
    }

    /// What it wants, for messages.
    #[must_use]
    pub fn what(&self) -> String {
        let len = self.len();
        match self {
            Self::Find { .. } | Self::Written { .. } | Self::Dates { .. } | Self::IvSets { .. } => {
                format!("a request about {len} snapshots")
            }
            Self::Facts { .. } | Self::States { .. } | Self::Traces { .. } | Self::SnapshotNotes { .. } => {
                format!("a request about {len} datasets")
            }
            Self::Encrypted { pool } | Self::History { pool, .. } => format!("a request about the pool {pool}"),
            Self::Estimate { stream } => format!("an estimate of a stream of {}", stream.dataset()),
            Self::Properties { dataset } | Self::PropertiesBelow { dataset } => {
                format!("a request about properties of {dataset}")
            }
            Self::Names => "a request about all datasets".into(),
            Self::Bookmark { .. } => format!("making {len} bookmarks"),
            Self::DropBookmarks { .. } => format!("destroying {len} bookmarks"),
            Self::SetProperty { dataset, property, .. } => format!("setting {property} of {dataset}"),
            Self::Snapshot { name, .. } => format!("taking @{name} of {len} datasets"),
            Self::Prune { dataset, .. } => format!("destroying {len} snapshots of {dataset}"),
        }
    }
}

/// So many items of an answer go into a message.
const ITEMS: usize = 1000;

impl Answer {
    /// Cuts it into parts that have room in a message each: one at least.
    #[must_use]
    pub fn parts(self) -> Vec<Self> {
        match self {
            Self::Found(all) => parts(all, Self::Found),
            Self::Facts(all) => parts(all, Self::Facts),
            Self::States(all) => parts(all, Self::States),
            Self::Numbers(all) => parts(all, Self::Numbers),
            Self::Dates(all) => parts(all, Self::Dates),
            Self::IvSets(all) => parts(all, Self::IvSets),
            Self::Records(all) => parts(all, Self::Records),
            Self::Traces(all) => parts(all, Self::Traces),
            Self::Texts(all) => few(all, Self::Texts),
            Self::Properties(all) => few(all, Self::Properties),
            Self::Names(all) => parts(all, Self::Names),
            Self::Failures(all) => few(all, Self::Failures),
            whole @ (Self::Maybe(_) | Self::Size(_) | Self::Pruned(_) | Self::Done) => vec![whole],
        }
    }

    /// How many items it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Found(all) => all.len(),
            Self::Facts(all) => all.len(),
            Self::States(all) => all.len(),
            Self::Numbers(all) => all.len(),
            Self::Dates(all) => all.len(),
            Self::IvSets(all) => all.len(),
            Self::Records(all) => all.len(),
            Self::Traces(all) => all.len(),
            Self::Texts(all) => all.len(),
            Self::Properties(all) => all.len(),
            Self::Names(all) => all.len(),
            Self::Failures(all) => all.len(),
            Self::Pruned(pruned) => pruned.pinned.len() + pruned.absent.len(),
            Self::Maybe(_) | Self::Size(_) | Self::Done => 1,
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How long its texts are together.
    #[must_use]
    pub fn text(&self) -> usize {
        match self {
            Self::Found(all) => all.iter().map(|(name, _)| name.as_str().len()).sum(),
            Self::Facts(all) => all.iter().map(|one| one.name.as_str().len()).sum(),
            Self::States(all) => all.iter().map(|(name, _)| name.as_str().len()).sum(),
            Self::Numbers(all) => all.iter().map(|(name, _)| name.len()).sum(),
            Self::Dates(all) => all.iter().map(|(name, _)| name.len()).sum(),
            Self::IvSets(all) => all.iter().map(|(name, _)| name.len()).sum(),
            Self::Records(all) => all.iter().map(|record| record.what.text()).sum(),
            Self::Traces(all) => all.iter().map(|(name, _)| name.len()).sum(),
            Self::Texts(all) => all.iter().map(|(name, text)| name.len() + text.len()).sum(),
            Self::Properties(all) => {
                all.iter().map(|one| one.on.as_str().len() + one.name.len() + one.value.len()).sum()
            }
            Self::Names(all) => all.iter().map(String::len).sum(),
            Self::Failures(all) => all.iter().flatten().map(|failure| failure.words.len()).sum(),
            Self::Pruned(pruned) => pruned.pinned.iter().map(|(name, why)| name.as_str().len() + why.len()).sum(),
            Self::Maybe(_) | Self::Size(_) | Self::Done => 0,
        }
    }

    /// Puts the next part behind it; `false` when it is of another kind.
    #[must_use]
    pub fn append(&mut self, next: Self) -> bool {
        match (self, next) {
            (Self::Found(all), Self::Found(more)) => all.extend(more),
            (Self::Facts(all), Self::Facts(more)) => all.extend(more),
            (Self::States(all), Self::States(more)) => all.extend(more),
            (Self::Numbers(all), Self::Numbers(more)) => all.extend(more),
            (Self::Dates(all), Self::Dates(more)) => all.extend(more),
            (Self::IvSets(all), Self::IvSets(more)) => all.extend(more),
            (Self::Records(all), Self::Records(more)) => all.extend(more),
            (Self::Traces(all), Self::Traces(more)) => all.extend(more),
            (Self::Texts(all), Self::Texts(more)) => all.extend(more),
            (Self::Properties(all), Self::Properties(more)) => all.extend(more),
            (Self::Names(all), Self::Names(more)) => all.extend(more),
            (Self::Failures(all), Self::Failures(more)) => all.extend(more),
            _ => return false,
        }
        true
    }
}

fn parts<T>(all: Vec<T>, answer: impl Fn(Vec<T>) -> Answer) -> Vec<Answer> {
    in_parts(all, ITEMS, answer)
}

/// For items that can have 8 KiB each.
fn few<T>(all: Vec<T>, answer: impl Fn(Vec<T>) -> Answer) -> Vec<Answer> {
    in_parts(all, ITEMS / 20, answer)
}

fn in_parts<T>(all: Vec<T>, most: usize, answer: impl Fn(Vec<T>) -> Answer) -> Vec<Answer> {
    let mut rest = all.into_iter().peekable();
    let mut parts = vec![answer(rest.by_ref().take(most).collect())];
    while rest.peek().is_some() {
        parts.push(answer(rest.by_ref().take(most).collect()));
    }
    parts
}

/// What a [`Query`] is answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "of", rename_all = "snake_case")]
pub enum Answer {
    /// Snapshots: dataset and identity.
    Found(Vec<(DatasetName, Guid)>),
    /// What datasets are.
    Facts(Vec<DatasetFacts>),
    /// What speaks against snapshots.
    States(Vec<(DatasetName, SnapshotState)>),
    /// Bytes by full names.
    Numbers(Vec<(String, u64)>),
    /// Seconds since 1970 by full names.
    Dates(Vec<(String, i64)>),
    /// IV sets by full names.
    IvSets(Vec<(String, Guid)>),
    /// Whether it may be so.
    Maybe(bool),
    /// Bytes, as far as known.
    Size(Option<u64>),
    /// A pool's history.
    Records(Vec<Record>),
    /// What tells of receives, by datasets.
    Traces(Vec<(String, Traces)>),
    /// Values by full names.
    Texts(Vec<(String, String)>),
    /// Properties that were set.
    Properties(Vec<Property>),
    /// Datasets.
    Names(Vec<String>),
    /// Why each of them failed, if it did.
    Failures(Vec<Option<Failure>>),
    /// What came of the snapshots.
    Pruned(Pruned),
    /// It is done.
    Done,
}

/// What one dataset of a source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// The dataset.
    pub name: DatasetName,
    /// Filesystem or volume.
    pub kind: Kind,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// How many levels above it its encryption root is; 0 for one that is its own, and where it isn't encrypted.
    pub root_up: usize,
}

/// A property that was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// On this dataset.
    pub on: DatasetName,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What a copy has set because it is one, what comes with a volume's stream, and what zfs counts by itself where there are limits.
const OF_A_COPY: [&str; 7] =
    ["readonly", "canmount", "volmode", "volsize", "volblocksize", "filesystem_count", "snapshot_count"];

impl Property {
    /// Whether it is neither zfsync's own, nor set because the dataset is a copy, nor part of the stream, nor what a new one has anyway.
    #[must_use]
    pub fn is_the_users(&self) -> bool {
        let is_default = self.name == "keylocation" && self.value == "prompt";
        !is_default && !OF_A_COPY.contains(&self.name.as_str()) && !self.name.starts_with("zfsync:")
    }
}

/// How a stream has ended on its host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What was said beside it.
    pub words: String,
    /// The exit status, where it wasn't 0.
    pub status: Option<String>,
    /// Somebody has killed it.
    pub killed: bool,
}

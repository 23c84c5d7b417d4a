//! What zfsync knows of ZFS: names and identities, the vocabulary that both ends of a replication share, the `zfs` command line
//! (its arguments and what it prints), streams, and [`Host`]: all that can be done to one machine's ZFS. Blocking, without an
//! async runtime.

mod allow;
mod clones;
mod command;
mod examination;
mod facts;
mod failure;
pub mod hash;
pub mod host;
mod inventory;
pub mod lock;
pub mod name;
mod own_bookmark;
pub mod pipe;
mod provenance;
mod query;
mod receive;
mod recorded;
mod refusal;
mod resolution;
mod send;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;
mod volmode;

pub use allow::Allow;
pub use clones::{has_clones, without_clones};
pub use command::*;
pub use examination::{
    EncryptionState, Examination, Examine, Feature, FeatureState, Granted, MountState, Place, PoolState, Rights,
};
pub use facts::{BootId, Hello, KEEPS_KEY, Outlook, PLAIN, Pruned, TargetFacts};
pub use failure::{Failure, MAX_WORDS};
pub use host::{Account, Host, LocalHost};
pub use inventory::{Inventory, Kind, Version, Versions};
pub use own_bookmark::{
    KnownTarget, MarkKind, Tag, Tags, is_our_bookmark, known_targets, snapshot_of, snapshot_of_name,
};
pub use provenance::{Put, place};
pub use query::{Answer, DatasetFacts, Ended, Property, Query};
pub use receive::{Brings, Receive, Rename};
#[cfg(any(test, feature = "testing"))]
pub use recorded::testing as recorded_targets;
pub use recorded::{SentTo, TARGET_PROPERTY};
pub use refusal::Refusal;
pub use resolution::{Resolution, Restore};
pub use send::{SendBase, SendFlags, SendSpec, StreamSpec};
pub use stream::*;
pub use volmode::Volmode;

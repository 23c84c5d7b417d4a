//! What a message may ask for or say at most, beyond the length of its frame.

use super::{MAX_NAMES, Reply, Request, WireError};
use zfs::host::MAX_PRUNE;
use zfs::text::{on_one_line, quoted};
use zfs::{Answer, BootId, Examination, Examine, Failure, Granted, Hello, Note, Resolution, Rights};

/// ZFS nests datasets no deeper than 50 levels unless it is told otherwise (`zfs_max_dataset_nesting`).
const MAX_ANCESTORS: usize = 128;
/// Longest name of who claims a tree.
const MAX_OWNER: usize = 1024;
/// Longest of the short texts in a greeting.
const MAX_SHORT: usize = 256;
/// Most words of a list in a greeting.
const MAX_WORDS: usize = 64;
/// Most pools that a host is believed to have, and permissions that a user has.
const MAX_LIST: usize = 1000;

impl Request {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Ask { id, .. }
            | Self::List { id, .. }
            | Self::Tree { id, .. }
            | Self::Probe { id, .. }
            | Self::Clear { id, .. }
            | Self::Lock { id, .. }
            | Self::Resolve { id, .. }
            | Self::TryResolve { id, .. }
            | Self::Dates { id, .. }
            | Self::Bases { id, .. }
            | Self::Prune { id, .. }
            | Self::Names { id, .. }
            | Self::Rename { id, .. }
            | Self::Notes { id, .. }
            | Self::Note { id, .. }
            | Self::Destroy { id, .. }
            | Self::TryDestroy { id, .. }
            | Self::Outlook { id, .. }
            | Self::Content { id, .. }
            | Self::Examine { id, .. }
            | Self::Query { id, .. }
            | Self::Stream { id, .. }
            | Self::Cancel { id }
            | Self::Receive { id, .. } => *id,
        }
    }

    /// Whether it changes anything on the host. A claim of a tree doesn't: it ends with the session.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Query { query, .. } => query.changes(),
            Self::Clear { .. }
            | Self::Resolve { .. }
            | Self::Prune { dry_run: false, .. }
            | Self::Rename { .. }
            | Self::Note { .. }
            | Self::Destroy { .. }
            | Self::Receive { .. } => true,
            Self::Ask { .. }
            | Self::List { .. }
            | Self::Tree { .. }
            | Self::Probe { .. }
            | Self::Lock { .. }
            | Self::TryResolve { .. }
            | Self::Dates { .. }
            | Self::Bases { .. }
            | Self::Prune { dry_run: true, .. }
            | Self::Names { .. }
            | Self::Notes { .. }
            | Self::TryDestroy { .. }
            | Self::Outlook { .. }
            | Self::Content { .. }
            | Self::Examine { .. }
            | Self::Stream { .. }
            | Self::Cancel { .. } => false,
        }
    }

    /// What it wants to do, for messages.
    #[must_use]
    pub fn what(&self) -> String {
        match self {
            Self::Ask { names, .. } => format!("a request for {} names", names.len()),
            Self::Dates { names, .. } => format!("a request for the dates of {} snapshots", names.len()),
            Self::Bases { names, .. } => format!("a request for {} incremental sources", names.len()),
            Self::List { datasets, .. } => format!("a listing of {} datasets", datasets.len()),
            Self::Tree { dataset, .. } | Self::Names { dataset, .. } => format!("a listing of {dataset}"),
            Self::Probe { dataset, .. }
            | Self::Outlook { dataset, .. }
            | Self::Examine { what: Examine::Dataset(dataset), .. } => format!("a request about {dataset}"),
            Self::Clear { dataset, .. } => format!("clearing {dataset}"),
            Self::Lock { dataset, .. } => format!("claiming {dataset}"),
            Self::Resolve { resolution: Resolution::Rollback { dataset, loses, .. }, .. }
            | Self::TryResolve { resolution: Resolution::Rollback { dataset, loses, .. }, .. } => {
                format!("a rollback of {dataset} over {} snapshots", loses.len())
            }
            Self::Resolve { resolution: Resolution::SetAside { dataset, restore, .. }, .. }
            | Self::TryResolve { resolution: Resolution::SetAside { dataset, restore, .. }, .. } => {
                format!("setting aside {dataset} with {} datasets", restore.len())
            }
            Self::Resolve { resolution: Resolution::Replace { dataset, loses, .. }, .. }
            | Self::TryResolve { resolution: Resolution::Replace { dataset, loses, .. }, .. } => {
                format!("replacing {dataset} with {} snapshots", loses.len())
            }
            Self::Prune { dataset, snapshots, .. } => format!("destroying {} snapshots of {dataset}", snapshots.len()),
            Self::Rename { rename, .. } => format!("renaming {}", rename.from),
            Self::Notes { snapshots, .. } => format!("a request for properties of {} snapshots", snapshots.len()),
            Self::Note { names, .. } => format!("a property for {} names", names.len()),
            Self::Destroy { dataset, snapshots, .. } | Self::TryDestroy { dataset, snapshots, .. } => {
                format!("destroying {dataset} with {} snapshots", snapshots.len())
            }
            Self::Content { reading, .. } => format!("reading a snapshot of {}", reading.dataset),
            Self::Query { query, .. } => query.what(),
            Self::Stream { stream, .. } => format!("a stream of {}", stream.dataset()),
            Self::Examine { .. } => "a question about the host".into(),
            Self::Cancel { .. } => "the end of a stream".into(),
            Self::Receive { receive, .. } => format!("a receive into {}", receive.dataset),
        }
    }

    /// Whether it keeps within the limits. A helper ends the session of a sender that doesn't.
    pub fn check(&self) -> Result<(), WireError> {
        let fits = match self {
            Self::Lock { owner, .. } if on_one_line(owner) != *owner => {
                return Err(WireError::Limit("control characters in the name of a run"));
            }
            Self::Lock { owner, .. } => owner.len() <= MAX_OWNER,
            Self::Dates { names, .. } | Self::Bases { names, .. } | Self::Notes { snapshots: names, .. } => {
                names.len() <= MAX_NAMES
            }
            Self::Note { names, value, .. } => {
                names.len() <= MAX_NAMES && value.as_ref().is_none_or(|value| value.len() <= Note::MAX_VALUE)
            }
            Self::List { datasets, .. } => datasets.len() <= MAX_NAMES,
            Self::Prune { snapshots, .. } => snapshots.len() <= MAX_PRUNE,
            Self::Query { query, .. } => query.len() <= MAX_NAMES,
            Self::Rename { rename, .. } => rename.ancestors.len() <= MAX_ANCESTORS,
            Self::Receive { receive, .. } => receive.ancestors.len() <= MAX_ANCESTORS,
            // Too many names in a question are told to the sender in an answer.
            Self::Ask { .. }
            | Self::Tree { .. }
            | Self::Probe { .. }
            | Self::Clear { .. }
            | Self::Resolve { .. }
            | Self::TryResolve { .. }
            | Self::Names { .. }
            | Self::Destroy { .. }
            | Self::TryDestroy { .. }
            | Self::Outlook { .. }
            | Self::Stream { .. }
            | Self::Cancel { .. }
            | Self::Examine { .. }
            | Self::Content { .. } => true,
        };
        if fits { Ok(()) } else { Err(WireError::Limit("more names, or longer words, than a request may have")) }
    }
}

impl Reply {
    /// The number of its request.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Found { id, .. }
            | Self::Listed { id, .. }
            | Self::Unread { id, .. }
            | Self::Probed { id, .. }
            | Self::Outlook { id, .. }
            | Self::Pruned { id, .. }
            | Self::Dated { id, .. }
            | Self::Bases { id, .. }
            | Self::Names { id, .. }
            | Self::Notes { id, .. }
            | Self::Content { id, .. }
            | Self::Answer { id, .. }
            | Self::Begin { id }
            | Self::Estimated { id, .. }
            | Self::Ended { id, .. }
            | Self::Examined { id, .. }
            | Self::Beat { id }
            | Self::Done { id, .. } => *id,
        }
    }

    /// With all words made harmless. Names are: they are of the types of [`zfs::name`].
    #[must_use]
    pub fn harmless(mut self) -> Self {
        match &mut self {
            Self::Done { failure, warning, .. } => {
                if let Some(Failure { words, .. }) = failure {
                    *words = quoted(words);
                }
                if let Some(words) = warning {
                    *words = quoted(words);
                }
            }
            Self::Outlook { outlook, .. } => {
                if let Some(words) = &mut outlook.locked {
                    *words = quoted(words);
                }
            }
            Self::Examined { examination, .. } => shorten(examination),
            Self::Unread { words, .. } => *words = quoted(words),
            Self::Listed { facts, .. } => facts.unsure = facts.unsure.as_deref().map(quoted),
            Self::Answer { part: Answer::Failures(failures), .. } => {
                failures.iter_mut().flatten().for_each(|failure| failure.words = quoted(&failure.words));
            }
            Self::Answer { part: Answer::Pruned(pruned), .. } => {
                pruned.pinned.iter_mut().for_each(|(_, why)| *why = quoted(why));
            }
            Self::Ended { ended, .. } => {
                ended.words = quoted(&ended.words);
                ended.status = ended.status.as_deref().map(short);
            }
            Self::Pruned { pruned, .. } => {
                for (_, why) in &mut pruned.pinned {
                    *why = quoted(why);
                }
            }
            Self::Probed { disabled, .. } => disabled.iter_mut().for_each(|feature| *feature = short(feature)),
            // They are compared, and never shown.
            Self::Content { .. }
            | Self::Begin { .. }
            | Self::Estimated { .. }
            // Their names are compared with names that were asked for, their values are read.
            | Self::Answer { .. }
            // What a note says is read, and shown only where it makes sense.
            | Self::Notes { .. }
            | Self::Found { .. }
            | Self::Dated { .. }
            | Self::Bases { .. }
            | Self::Names { .. }
            | Self::Beat { .. } => {}
        }
        self
    }
}

/// The greeting with all words made harmless and short.
#[must_use]
pub fn harmless(mut hello: Hello) -> Hello {
    for text in [&mut hello.version, &mut hello.host, &mut hello.user] {
        *text = short(text);
    }
    hello.boot_id = BootId::new(&short(hello.boot_id.as_str()));
    for text in [&mut hello.zfs, &mut hello.zfs_path].into_iter().flatten() {
        *text = short(text);
    }
    for words in [&mut hello.capabilities, &mut hello.allow] {
        words.truncate(MAX_WORDS);
        for word in words.iter_mut() {
            *word = short(word);
        }
    }
    hello
}

/// Makes all words of an examination harmless and short, and its lists too.
fn shorten(found: &mut Examination) {
    for text in [&mut found.userland, &mut found.module].into_iter().flatten() {
        *text = short(text);
    }
    if let Some(pools) = &mut found.pools {
        pools.truncate(MAX_LIST);
    }
    for pool in found.pools.iter_mut().flatten() {
        (pool.name, pool.health) = (short(&pool.name), short(&pool.health));
    }
    let Some(place) = &mut found.place else { return };
    place.features.truncate(MAX_LIST);
    place.features.iter_mut().for_each(|feature| feature.name = short(&feature.name));
    for words in [&mut place.locked, &mut place.unread].into_iter().flatten() {
        *words = quoted(words);
    }
    if let Some(mount) = &mut place.mount {
        // A path may be longer than what else is told.
        for text in std::iter::once(&mut mount.mountpoint).chain(&mut mount.canmount) {
            *text = on_one_line(text).chars().take(MAX_OWNER).collect();
        }
    }
    if let Rights::Granted(Granted { here, below }) = &mut place.rights {
        for granted in [here, below] {
            granted.truncate(MAX_LIST);
            for one in granted.iter_mut() {
                *one = short(one);
            }
        }
    }
}

/// On one line and not long.
#[must_use]
pub fn short(text: &str) -> String {
    on_one_line(text.trim()).chars().take(MAX_SHORT).collect()
}

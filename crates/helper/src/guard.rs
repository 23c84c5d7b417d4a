//! What a helper lets a session do to its host: nothing outside of its roots, and nothing that its command line doesn't allow. All of
//! that is decided here; whoever answers a request asks first.

use std::collections::HashSet;

use zfs::name::{DatasetName, MAX_NAME, SnapshotName};
use zfs::{
    Allow, Answer, Examine, Failure, Happened, NewBookmark, Note, Property, Pruned, Query, Receive, Record, Refusal,
    Rename, Resolution, SentTo, StreamSpec, TARGET_PROPERTY, Token, Volmode, is_our_bookmark,
};

use super::context::Context;
use super::{Config, Side};
use crate::wire::{Reply, Request};

/// Begins the names of all user properties that are zfsync's own.
const OWN: &str = "zfsync:";

/// Whether a session may ask this, or have it done. Streams have checks of their own, [`receive`] and [`stream`]. Of names in a list,
/// those that aren't [`is_askable`] are left out of the answer, as if there were no such thing.
pub(super) fn request(config: &Config, request: &Request) -> Result<(), Failure> {
    match request {
        Request::Query { query, .. } => return self::query(config, query),
        Request::Content { reading, .. } => {
            config.check_allowed(Allow::Verify)?;
            return config.check(&reading.dataset);
        }
        Request::Examine { what, .. } => {
            return match what {
                Examine::Nothing | Examine::Host => Ok(()),
                Examine::Dataset(dataset) => config.check(dataset),
            };
        }
        // Nothing comes of the first but the end of what was allowed.
        Request::Cancel { .. } | Request::Stream { .. } | Request::Receive { .. } => return Ok(()),
        _ => side(config, Side::Receiver)?,
    }
    match request {
        Request::Ask { .. } | Request::List { .. } | Request::Dates { .. } | Request::Bases { .. } => Ok(()),
        Request::Notes { dataset, .. } => dataset.as_ref().map_or(Ok(()), |dataset| config.check(dataset)),
        Request::Probe { dataset, .. } if config.tells_of(dataset) => Ok(()),
        Request::Tree { dataset, .. }
        | Request::Names { dataset, .. }
        | Request::Probe { dataset, .. }
        | Request::Outlook { dataset, .. }
        | Request::Lock { dataset, .. }
        | Request::Clear { dataset, .. } => config.check(dataset),
        Request::Resolve { resolution, .. } | Request::TryResolve { resolution, .. } => resolve(config, resolution),
        Request::Prune { dataset, .. } => {
            config.check_allowed(Allow::Destroy)?;
            config.check(dataset)
        }
        Request::Rename { rename, .. } => self::rename(config, rename),
        Request::Note { names, value, .. } => {
            value.as_deref().map_or(Ok(()), plain_value)?;
            note(config, names)
        }
        Request::Destroy { dataset, .. } | Request::TryDestroy { dataset, .. } => destroy(config, dataset),
        // See above.
        Request::Query { .. }
        | Request::Content { .. }
        | Request::Examine { .. }
        | Request::Cancel { .. }
        | Request::Stream { .. }
        | Request::Receive { .. } => Err(refused("it is not a question")),
    }
}

/// Whether a session may have this received, as far as the request tells. The stream itself is judged while it comes.
pub(super) fn receive(config: &Config, receive: &Receive) -> Result<(), Failure> {
    side(config, Side::Receiver)?;
    std::iter::once(&receive.dataset).chain(&receive.ancestors).try_for_each(|dataset| config.check(dataset))?;
    let needs = [
        (receive.overwrite, Allow::Destroy),
        (receive.volmode == Volmode::Inherit, Allow::Volmode),
        (receive.unencrypted, Allow::Unencrypted),
        (receive.mountable, Allow::Mountable),
    ];
    needs.into_iter().filter(|(asked, _)| *asked).try_for_each(|(_, allow)| config.check_allowed(allow))
}

/// Whether a resolution is allowed, and all that it touches.
fn resolve(config: &Config, resolution: &Resolution) -> Result<(), Failure> {
    match resolution {
        Resolution::Rollback { dataset, .. } => {
            config.check_allowed(Allow::Rollback)?;
            config.check(dataset)
        }
        Resolution::SetAside { dataset, aside, restore, .. } => {
            config.check_allowed(Allow::Rename)?;
            no_root(config, dataset)?;
            let restored = restore.iter().map(|one| &one.dataset);
            [dataset, aside].into_iter().chain(restored).try_for_each(|one| config.check(one))
        }
        Resolution::Replace { dataset, .. } => destroy(config, dataset),
    }
}

fn rename(config: &Config, rename: &Rename) -> Result<(), Failure> {
    config.check_allowed(Allow::Rename)?;
    no_root(config, &rename.from)?;
    [&rename.from, &rename.to].into_iter().chain(&rename.ancestors).try_for_each(|dataset| config.check(dataset))
}

/// A root's parents may be told of, and no more.
fn note(config: &Config, names: &[String]) -> Result<(), Failure> {
    config.check_allowed(Allow::Destroy)?;
    let datasets = names.iter().filter(|name| is_askable(config, name)).filter_map(|name| name.parse().ok());
    datasets.into_iter().try_for_each(|dataset: DatasetName| config.check(&dataset))
}

fn destroy(config: &Config, dataset: &DatasetName) -> Result<(), Failure> {
    config.check_allowed(Allow::Destroy)?;
    config.check(dataset)?;
    no_root(config, dataset)
}

/// What a forced command is confined to stays, with its quota and what is delegated on it.
fn no_root(config: &Config, dataset: &DatasetName) -> Result<(), Failure> {
    if config.roots.contains(dataset) {
        return Err(refused(&format!("{dataset} is the root of this helper (--root)")));
    }
    Ok(())
}

/// Whether a session may ask this of a source's host, or have it done; or of a target's, what it is told of.
fn query(config: &Config, query: &Query) -> Result<(), Failure> {
    // A sender has to know whether it is itself a target of what it would change: see [`proofs`].
    if !matches!(query, Query::Properties { .. } | Query::PropertiesBelow { .. }) {
        side(config, Side::Sender)?;
    }
    match query {
        Query::Find { names } | Query::Written { names } | Query::Dates { names } | Query::IvSets { names } => {
            names.iter().try_for_each(|name| full_name(config, name))
        }
        Query::Facts { datasets } | Query::States { datasets } | Query::Traces { datasets } => {
            datasets.iter().try_for_each(|dataset| config.check(dataset))
        }
        Query::SnapshotNotes { datasets, property } => {
            own_property(property)?;
            datasets.iter().try_for_each(|dataset| config.check(dataset))
        }
        Query::Encrypted { pool } | Query::History { pool, .. } => known_pool(config, pool),
        Query::Properties { dataset } | Query::PropertiesBelow { dataset } => config.check(dataset),
        // What is asked of the host is the stream as [`stream`] gives it.
        Query::Names | Query::Estimate { .. } => Ok(()),
        Query::Bookmark { new } => new.iter().try_for_each(|new| bookmark(config, new)),
        Query::DropBookmarks { bookmarks } => bookmarks.iter().try_for_each(|(dataset, name)| {
            own_bookmark(name.as_str())?;
            config.check(dataset)
        }),
        Query::SetProperty { dataset, property, value, .. } => {
            own_property(property)?;
            value.as_deref().map_or(Ok(()), plain_value)?;
            config.check(dataset)
        }
        Query::Snapshot { datasets, .. } => {
            config.check_allowed(Allow::Snapshot)?;
            datasets.iter().try_for_each(|dataset| config.check(dataset))
        }
        Query::Prune { dataset, .. } => {
            config.check_allowed(Allow::Destroy)?;
            config.check(dataset)
        }
    }
}

/// Whether a session may have this stream.
///
/// What `zfs send -t` sends is the snapshot with the GUID in the token: it looks for that from the token's name upwards, in the whole
/// pool if need be (`guid_to_name` in OpenZFS `lib/libzfs/libzfs_sendrecv.c`). So both must be of the same snapshot.
///
/// That is checked just before `zfs` is started. Where the snapshot is destroyed in between, by a prune of the source or by a session
/// that may destroy, `zfs` looks for its GUID in the rest of the pool: SECURITY.md names that.
///
/// Gives the stream as it goes to `zfs`, with a token of our own making: none of the other host's bytes.
pub(super) fn stream(context: &Context, stream: &StreamSpec) -> Result<StreamSpec, Failure> {
    let config = &context.config;
    side(config, Side::Sender)?;
    config.check(stream.dataset())?;
    let StreamSpec::Resume { dataset, token } = stream else { return Ok(stream.clone()) };
    let token = Token::decode(token).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))?;
    let name = &token.to_name;
    match name.split_once('@') {
        Some((of, _)) if of == dataset.as_str() && is_askable(config, name) => {}
        _ => return Err(refused("the resume token is of another dataset")),
    }
    let checked = StreamSpec::Resume { dataset: dataset.clone(), token: token.encode(name) };
    // Without roots there is nothing that it could lead out of.
    if config.roots.is_empty() {
        return Ok(checked);
    }
    let found = match context.host.query(&Query::Find { names: vec![name.clone()] })? {
        Answer::Found(found) => found,
        _ => Vec::new(),
    };
    // The words of zfs itself.
    let gone = |how: &str| {
        let words = format!("cannot resume send: '{name}' {how}");
        Err(Failure::new(Refusal::from_words(&words), &words))
    };
    if found.is_empty() {
        return gone("used in the initial send no longer exists");
    }
    if !found.iter().any(|(of, guid)| of == dataset && *guid == token.to_guid) {
        return gone("is no longer the same snapshot used in the initial send");
    }
    Ok(checked)
}

/// What of a pool's history a session may be told: what happened within its roots.
pub(super) struct Chronicle<'a> {
    config: &'a Config,
    /// The snapshots that were told of and are not destroyed yet, by their numbers.
    alive: HashSet<u64>,
    /// So many names were replaced.
    hidden: usize,
}

impl<'a> Chronicle<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        Self { config, alive: HashSet::new(), hidden: 0 }
    }

    /// What may be told of the next record. What came into the roots by a rename had a name that is nobody's business: it gets one that
    /// no dataset has, and no other of its kind.
    pub(super) fn told(&mut self, record: Record) -> Option<Record> {
        if self.config.roots.is_empty() {
            return Some(record);
        }
        let tells_of = |name: &str| name.parse().is_ok_and(|name: DatasetName| self.config.tells_of(&name));
        let what = match record.what {
            Happened::Snapshot { dataset, object } if tells_of(&dataset) => {
                self.alive.insert(object);
                Happened::Snapshot { dataset, object }
            }
            Happened::Destroyed { object } if self.alive.remove(&object) => Happened::Destroyed { object },
            Happened::Swapped { dataset } if tells_of(&dataset) => Happened::Swapped { dataset },
            Happened::Renamed { from, to } if tells_of(&to) => {
                let from = if tells_of(&from) { from } else { self.hide() };
                Happened::Renamed { from, to }
            }
            // What has left the roots is told of no more; that it is gone has to be known.
            Happened::Renamed { from, .. } if tells_of(&from) => Happened::Renamed { from, to: self.hide() },
            _ => return None,
        };
        Some(Record { what, ..record })
    }

    fn hide(&mut self) -> String {
        self.hidden += 1;
        format!("#{}", self.hidden)
    }
}

/// Takes out of an answer what is nobody's business. A history is told record by record: see [`Chronicle`].
pub(super) fn answer(config: &Config, answer: Answer) -> Answer {
    let answer = match answer {
        Answer::Properties(all) if config.side == Side::Receiver => Answer::Properties(proofs(all)),
        answer => answer,
    };
    if config.roots.is_empty() {
        return answer;
    }
    let told = |name: &str| name.parse().is_ok_and(|name: DatasetName| config.tells_of(&name));
    match answer {
        Answer::Names(names) => Answer::Names(names.into_iter().filter(|name| told(name)).collect()),
        Answer::Properties(all) => {
            let may = |on: &DatasetName, name: &str| config.allows(on) || config.tells_of(on) && name.starts_with(OWN);
            Answer::Properties(all.into_iter().filter(|one| may(&one.on, &one.name)).collect())
        }
        Answer::Pruned(pruned) => Answer::Pruned(self::pruned(config, pruned)),
        whole => whole,
    }
}

/// What a sender may be told of what was set on a target: of the records of targets that the target has itself, who they are; of one that
/// can't be read, that there is one.
fn proofs(all: Vec<Property>) -> Vec<Property> {
    let records = all.into_iter().filter(|one| one.name.starts_with(TARGET_PROPERTY));
    let value = |text: &str| SentTo::read(text).map_or_else(String::new, |record| record.value());
    records.map(|one| Property { value: value(&one.value), ..one }).collect()
}

fn pruned(config: &Config, mut pruned: Pruned) -> Pruned {
    for (_, why) in &mut pruned.pinned {
        *why = zfs::without_clones(why, |name| config.tells_of(name));
    }
    pruned
}

/// Of what went wrong whatever may be told: clones can lie outside of the roots.
pub(super) fn failure(config: &Config, failure: Failure) -> Failure {
    if config.roots.is_empty() {
        return failure;
    }
    Failure { words: zfs::without_clones(&failure.words, |name| config.tells_of(name)), ..failure }
}

/// The same of a reply.
pub(super) fn reply(config: &Config, reply: Reply) -> Reply {
    match reply {
        Reply::Pruned { id, pruned } if !config.roots.is_empty() => {
            Reply::Pruned { id, pruned: self::pruned(config, pruned) }
        }
        Reply::Done { id, failure: Some(why), warning } => {
            Reply::Done { id, failure: Some(failure(config, why)), warning }
        }
        other => other,
    }
}

/// Whether this helper was started for that end of a replication.
fn side(config: &Config, side: Side) -> Result<(), Failure> {
    if config.side == side {
        return Ok(());
    }
    Err(refused(match side {
        Side::Sender => "this helper can only receive: its command is zfsync recv; zfsync send is needed to send",
        Side::Receiver => "this helper can only send: its command is zfsync send; zfsync recv is needed to receive",
    }))
}

fn refused(words: &str) -> Failure {
    Failure::new(Refusal::NotAllowed, words)
}

/// Whether a dataset or snapshot may be asked for: its name is legal, and not outside of the roots.
pub(super) fn is_askable(config: &Config, name: &str) -> bool {
    let (dataset, snapshot) = name.split_once('@').map_or((name, None), |(dataset, rest)| (dataset, Some(rest)));
    let legal = snapshot.is_none_or(|snapshot| snapshot.parse::<SnapshotName>().is_ok());
    // Each part can be legal and the whole too long; zfs would refuse to look at anything then.
    let may = |name: DatasetName| if snapshot.is_some() { config.allows(&name) } else { config.tells_of(&name) };
    legal && name.len() <= MAX_NAME && dataset.parse().is_ok_and(may)
}

fn full_name(config: &Config, name: &str) -> Result<(), Failure> {
    let dataset = name.split(['@', '#']).next().unwrap_or_default();
    let legal = is_askable(config, &name.replacen('#', "@", 1));
    match dataset.parse() {
        Ok(dataset) if legal || !config.allows(&dataset) => config.check(&dataset),
        _ => Err(Failure::new(Refusal::Other, "not a valid snapshot name")),
    }
}

fn known_pool(config: &Config, pool: &str) -> Result<(), Failure> {
    let name: Result<DatasetName, _> = pool.parse();
    let legal = name.is_ok_and(|name| name.pool() == pool);
    if legal && (config.roots.is_empty() || config.roots.iter().any(|root| root.pool() == pool)) {
        return Ok(());
    }
    Err(refused("this helper may not access that pool"))
}

fn bookmark(config: &Config, new: &NewBookmark) -> Result<(), Failure> {
    own_bookmark(new.name.as_str())?;
    config.check(&new.dataset)
}

fn own_bookmark(name: &str) -> Result<(), Failure> {
    if is_our_bookmark(name) { Ok(()) } else { Err(refused("it is not a bookmark of zfsync")) }
}

fn own_property(name: &str) -> Result<(), Failure> {
    // One property: a comma would make it a list, an equals sign would end it (zfsprops(7)).
    let legal = |ch: char| ch.is_ascii_lowercase() || ch.is_ascii_digit() || "-_.:".contains(ch);
    match name.strip_prefix(OWN) {
        Some(rest) if name.len() <= MAX_NAME && rest.chars().all(legal) => Ok(()),
        _ => Err(refused("it is not a property of zfsync")),
    }
}

/// What is set is read line by line later, by others too: a line feed in it would forge lines.
fn plain_value(value: &str) -> Result<(), Failure> {
    if value.len() <= Note::MAX_VALUE && !value.contains(char::is_control) {
        return Ok(());
    }
    Err(refused("it is not a valid value of a property of zfsync: too long, or with control characters"))
}

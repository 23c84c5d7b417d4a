//! What a helper lets a session do to its host: nothing outside of its roots, and nothing that its command line doesn't allow.

use zfs::name::DatasetName;
use zfs::{Allow, Answer, Failure, Happened, NewBookmark, Query, Refusal, StreamSpec, Token, is_our_bookmark};

use super::{Config, Side};

/// Begins the names of all user properties that are zfsync's own.
const OWN: &str = "zfsync:";

/// Whether a session may ask this, or have it done.
pub(super) fn query(config: &Config, query: &Query) -> Result<(), Failure> {
    side(config, Side::Sender)?;
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
        Query::Estimate { stream: asked } => stream(config, asked),
        Query::Properties { dataset } | Query::PropertiesBelow { dataset } => config.check(dataset),
        Query::Names => Ok(()),
        Query::Bookmark { new } => new.iter().try_for_each(|new| bookmark(config, new)),
        Query::DropBookmarks { bookmarks } => bookmarks.iter().try_for_each(|(dataset, name)| {
            own_bookmark(name.as_str())?;
            config.check(dataset)
        }),
        Query::SetProperty { dataset, property, .. } => {
            own_property(property)?;
            config.check(dataset)
        }
        Query::Snapshot { datasets, .. } => {
            config.check_allowed(Allow::Snapshot)?;
            datasets.iter().try_for_each(|dataset| config.check(dataset))
        }
        Query::Thin { dataset, .. } => {
            config.check_allowed(Allow::Destroy)?;
            config.check(dataset)
        }
    }
}

/// Whether a session may have this stream. The name in a resume token is what `zfs send -t` goes by.
pub(super) fn stream(config: &Config, stream: &StreamSpec) -> Result<(), Failure> {
    side(config, Side::Sender)?;
    config.check(stream.dataset())?;
    let StreamSpec::Resume { dataset, token } = stream else { return Ok(()) };
    let token = Token::decode(token).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))?;
    match token.to_name.split_once('@') {
        Some((name, _)) if name == dataset.as_str() => Ok(()),
        _ => Err(refused("the resume token is of another dataset")),
    }
}

/// Takes out of an answer what is nobody's business.
pub(super) fn answer(config: &Config, answer: Answer) -> Answer {
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
        Answer::Records(records) => Answer::Records(
            records
                .into_iter()
                .filter(|record| match &record.what {
                    Happened::Snapshot { dataset, .. } | Happened::Swapped { dataset } => told(dataset),
                    Happened::Renamed { from, to } => told(from) || told(to),
                    // A number.
                    Happened::Destroyed { .. } => true,
                })
                .collect(),
        ),
        whole => whole,
    }
}

/// Whether this helper was started for that end of a replication.
pub(super) fn side(config: &Config, side: Side) -> Result<(), Failure> {
    if config.side == side {
        return Ok(());
    }
    Err(refused(match side {
        Side::Sender => "this helper only receives: its command is zfsync recv, and zfsync send is what sends",
        Side::Receiver => "this helper only sends: its command is zfsync send, and zfsync recv is what receives",
    }))
}

fn refused(words: &str) -> Failure {
    Failure::new(Refusal::NotAllowed, words)
}

fn full_name(config: &Config, name: &str) -> Result<(), Failure> {
    let dataset = name.split(['@', '#']).next().unwrap_or_default();
    let legal = super::context::is_askable(config, &name.replacen('#', "@", 1));
    match dataset.parse() {
        Ok(dataset) if legal || !config.allows(&dataset) => config.check(&dataset),
        _ => Err(Failure::new(Refusal::Other, "no legal name of a snapshot")),
    }
}

fn known_pool(config: &Config, pool: &str) -> Result<(), Failure> {
    let name: Result<DatasetName, _> = pool.parse();
    let legal = name.is_ok_and(|name| name.pool() == pool);
    if legal && (config.roots.is_empty() || config.roots.iter().any(|root| root.pool() == pool)) {
        return Ok(());
    }
    Err(refused("this helper may not tell of that pool"))
}

fn bookmark(config: &Config, new: &NewBookmark) -> Result<(), Failure> {
    own_bookmark(new.name.as_str())?;
    config.check(&new.dataset)
}

fn own_bookmark(name: &str) -> Result<(), Failure> {
    if is_our_bookmark(name) { Ok(()) } else { Err(refused("it is no bookmark of zfsync's")) }
}

fn own_property(name: &str) -> Result<(), Failure> {
    if name.starts_with(OWN) { Ok(()) } else { Err(refused("it is no property of zfsync's")) }
}

//! Lists the targets that are noted on SOURCE, and forgets one. No target is asked.

use std::time::Duration;

use super::link::sender_of;
use super::targets::{Around, drop_note, noted_around, noted_on, seen_from};
use super::{lock, source};
use crate::config::{ForgetJob, run_number};
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::plan::{Registered, SourceDataset, arrived, bookmarks_of, strangers};
use crate::remote::link::{Access, Link};
use crate::report::view::targets::{Forgotten, KnownTarget, Targets};
use zfs::name::{DatasetName, SnapshotName};
use zfs::{Refusal, TARGET_PROPERTY, Tag, Tags};

/// So long zfs may say nothing.
const STALL: Duration = Duration::from_secs(300);

/// The targets of a dataset.
pub async fn targets((origin, source): &(Link, DatasetName)) -> Result<Targets, StartError> {
    let sender = sender_of(origin, std::slice::from_ref(source)).await?.with_access(Access::ReadOnly);
    let datasets = source::list(&sender, source.clone(), None, Some(STALL)).await?;
    let noted = noted_on(&sender, source).await?;
    let above = noted.above.into_iter().map(|(on, target)| (sender.full_name(&on), target.written)).collect();
    let mut targets = Vec::new();
    for target in noted.own.iter() {
        let arrived = arrived(source, &datasets, target);
        let newest = match &arrived.newest {
            Some((bookmark, _)) => sender.dates(std::slice::from_ref(bookmark), Some(STALL)).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let date = newest.first().map(|(_, date)| *date);
        targets.push(KnownTarget { target: target.clone(), arrived, date });
    }
    let around = noted_around(&sender, source).await?;
    let ids =
        around.unread.iter().filter(|(on, _)| on == source).filter_map(|(_, id)| id.strip_prefix(TARGET_PROPERTY));
    let unread = ids.map(str::to_owned).collect();
    let others = others(&around, source, &datasets);
    let (host, written) = (sender.name(), sender.full_name(source));
    sender.close().await;
    Ok(Targets {
        source: source.clone(),
        written,
        host,
        now: jiff::Timestamp::now().as_second(),
        targets,
        above,
        unread,
        others,
    })
}

/// Bookmarks of ours that are of no target that is noted, on SOURCE or around it.
fn others(Around { noted, unread, .. }: &Around, source: &DatasetName, datasets: &[SourceDataset]) -> Vec<String> {
    if !unread.is_empty() {
        // They may be of those.
        return Vec::new();
    }
    let mut names = Vec::new();
    for dataset in datasets {
        let Ok(name) = source.join(&dataset.path) else { continue };
        let tag = |(on, target): &(DatasetName, Registered)| target.any_tag(&name.below(on)?);
        let tags: Vec<Tag> = noted.iter().filter_map(tag).collect();
        let unknown = strangers(dataset, &tags);
        let theirs = dataset.bookmarks.iter().filter(|mark| unknown.iter().any(|tag| tag.owns(mark.name)));
        names.extend(theirs.map(|mark| format!("{name}#{}", mark.name)));
    }
    names
}

/// The properties on SOURCE that record a target and can't be read.
async fn unread_on(sender: &Endpoint, source: &DatasetName) -> Result<Vec<String>, StartError> {
    let unread = noted_around(sender, source).await?.unread;
    Ok(unread.into_iter().filter(|(on, _)| on == source).map(|(_, property)| property).collect())
}

/// Drops what is known of a target.
pub async fn forget(job: &ForgetJob) -> Result<Forgotten, StartError> {
    let source = &job.source;
    let sender = sender_of(&job.origin, std::slice::from_ref(source)).await?;
    let sender = sender.with_access(Access::of(job.dry_run));
    let datasets = source::list(&sender, source.clone(), None, Some(STALL)).await?;
    let (target, damaged) = find(job, &sender).await?;
    let property = target.as_ref().map(Registered::property).or(damaged);
    let tags = |dataset: &SourceDataset| match (&target, &job.ends) {
        (Some(target), _) => target.any_tag(&dataset.path),
        // What older versions have left.
        (None, Some(ends)) => {
            let name = ends.target.dataset.join(&dataset.path).ok()?;
            Some(Tags::by_name(&ends.host_in_old_tags()).of(&name))
        }
        (None, None) => None,
    };
    let mut bookmarks = bookmarks_of(source, &datasets, tags);
    let around = noted_around(&sender, source).await?.noted;
    bookmarks.retain(|(dataset, name)| !is_of_another(&around, (source, target.as_ref()), dataset, name));
    if property.is_none() && bookmarks.is_empty() {
        return Err(StartError::UnknownTarget { target: job.target.clone(), source_dataset: sender.full_name(source) });
    }
    // A run that is under way would note it again.
    let _lock = match &job.ends {
        Some(ends) if !job.dry_run => lock::take(ends, run_number(), None).await?.0,
        _ => None,
    };
    let failures =
        if job.dry_run { Vec::new() } else { drop_all(&sender, source, &bookmarks, property.as_deref()).await };
    sender.close().await;
    let bookmarks = bookmarks.iter().map(|(dataset, name)| format!("{dataset}#{name}")).collect();
    Ok(Forgotten {
        source: source.clone(),
        name: job.target.clone(),
        target,
        property,
        bookmarks,
        dry_run: job.dry_run,
        failures,
    })
}

/// Whether a bookmark is also that of a target that stays known: one that was recorded on a dataset above or below has the same tag.
fn is_of_another(
    around: &[(DatasetName, Registered)],
    (source, forgotten): (&DatasetName, Option<&Registered>),
    dataset: &DatasetName,
    name: &SnapshotName,
) -> bool {
    let stays =
        |(on, one): &&(DatasetName, Registered)| on != source || forgotten.is_none_or(|gone| gone.id() != one.id());
    let owns = |(on, one): &(DatasetName, Registered)| {
        dataset.below(on).and_then(|path| one.tag(&path)).is_some_and(|tag| tag.owns(name.as_str()))
    };
    around.iter().filter(stays).any(owns)
}

/// Which of the noted targets is meant; none, if it may be one of an older version. Or the property that records it and can't be read.
async fn find(job: &ForgetJob, sender: &Endpoint) -> Result<(Option<Registered>, Option<String>), StartError> {
    let registry = noted_on(sender, &job.source).await?.own;
    let host = match &job.ends {
        Some(ends) => seen_from(ends).await,
        None => String::new(),
    };
    let found: Vec<&Registered> = match &job.ends {
        None => registry.iter().filter(|one| one.id() == job.target).collect(),
        Some(ends) => match registry.at(&host, &ends.target.dataset).collect::<Vec<_>>() {
            // It was noted by another way, as with a port that isn't given now.
            none if none.is_empty() => registry.iter().filter(|one| one.written == job.target).collect(),
            found => found,
        },
    };
    let of_id = |property: &String| job.ends.is_none() && property.strip_prefix(TARGET_PROPERTY) == Some(&*job.target);
    let damaged = if found.is_empty() && job.ends.is_none() {
        unread_on(sender, &job.source).await?.into_iter().find(of_id)
    } else {
        None
    };
    match found[..] {
        [] if job.ends.is_none() && damaged.is_none() => {
            Err(StartError::UnknownTarget { target: job.target.clone(), source_dataset: sender.full_name(&job.source) })
        }
        [] => Ok((None, damaged)),
        [one] => Ok((Some(one.clone()), None)),
        [..] => {
            let ids: Vec<String> = found.iter().map(|one| one.id()).collect();
            Err(StartError::Usage(format!(
                "{} stands for several targets (zfsync targets {} lists them): select one by its ID: {}",
                job.target,
                sender.full_name(&job.source),
                ids.join(", ")
            )))
        }
    }
}

/// The bookmarks first: what is only half forgotten keeps all.
async fn drop_all(
    sender: &Endpoint,
    source: &DatasetName,
    bookmarks: &[(DatasetName, SnapshotName)],
    property: Option<&str>,
) -> Vec<String> {
    let ended = sender.drop_bookmarks(bookmarks.to_vec(), Some(STALL)).await.unwrap_or_else(|why| vec![Some(why)]);
    let ended = ended.into_iter().flatten().filter(|why| why.refusal != Refusal::Missing);
    let mut failures: Vec<String> = ended.map(|why| why.words).collect();
    if let (Some(property), true) = (property, failures.is_empty()) {
        failures.extend(drop_note(sender, source, property).await.err());
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::MarkKind;
    use zfs::name::Guid;

    fn record(dataset: &str, without: Option<&str>) -> Registered {
        let mut value = serde_json::json!({
            "as": format!("beta:{dataset}"), "host": "beta:22", "dataset": dataset, "pool": Guid(7), "since": 1
        });
        if let Some(glob) = without {
            value["selected"] = serde_json::json!([{ "exclude": [glob] }]);
        }
        serde_json::from_value(value).unwrap()
    }

    /// `a -> b` is forgotten, and `a/data -> b/data` was recorded by itself: the tags of what both cover are the same.
    #[test]
    fn what_another_record_covers_stays() {
        let name = |text: &str| text.parse::<DatasetName>().unwrap();
        let (source, whole) = (name("a"), record("b", None));
        let below = (name("a/data"), record("b/data", Some("tmp")));
        let mark = |dataset: &str| {
            let tag = whole.any_tag(&name(dataset).below(&source).unwrap()).unwrap();
            tag.name_for(MarkKind::Arrived, &name(dataset), (&SnapshotName::from_checked("x"), Guid(1)), &[]).unwrap()
        };
        let stays = |around: &[(DatasetName, Registered)], dataset: &str| {
            is_of_another(around, (&source, Some(&whole)), &name(dataset), &mark(dataset))
        };
        let both = [(source.clone(), whole.clone()), below];
        for (dataset, kept) in
            [("a", false), ("a/other", false), ("a/data", true), ("a/data/x", true), ("a/data/tmp", false)]
        {
            assert_eq!(stays(&both, dataset), kept, "{dataset}");
            assert!(!stays(&both[..1], dataset), "{dataset}");
        }
    }
}

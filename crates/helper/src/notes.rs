//! Answers what concerns datasets that the source has no more, or under another name.

use super::context::{Context, done};
use super::guard::is_askable;
use crate::wire::{MAX_NAMES, Reply};
use zfs::name::{DatasetName, Guid};
use zfs::{Failure, Note, Noted, Refusal, Rename, permission};

/// So many notes go into one frame: names and values are shorter than 300 and, a few long ones apart, 100 bytes.
const NOTES_A_FRAME: usize = 100;

pub(super) fn rename(context: &Context, rename: &Rename) -> Result<(), Failure> {
    let host = &context.host;
    let explained = |why| context.explain(why, permission::RENAME, &rename.from);
    for ancestor in &rename.ancestors {
        let top = rename.top_ancestor.as_ref() == Some(ancestor);
        host.create_placeholder(ancestor, top).map_err(explained)?;
    }
    host.rename(rename).map_err(explained)
}

pub(super) fn notes(
    context: &Context,
    id: u64,
    dataset: Option<&DatasetName>,
    snapshots: &[String],
) -> Result<Reply, Failure> {
    let mut all: Vec<Noted> = Vec::new();
    if let Some(dataset) = dataset {
        all.extend(context.host.notes_below(dataset)?);
    }
    let legal = |name: &&str| name.contains('@') && is_askable(&context.config, name);
    let legal: Vec<&str> = snapshots.iter().take(MAX_NAMES).map(String::as_str).filter(legal).collect();
    if !legal.is_empty() {
        all.extend(context.host.notes_on(&legal)?);
    }
    for some in all.chunks(NOTES_A_FRAME) {
        let reply = Reply::Notes { id, notes: some.to_vec() };
        context.replies.send(&reply).map_err(|error| Failure::new(Refusal::Other, &error.to_string()))?;
    }
    Ok(done(id, None))
}

pub(super) fn note(context: &Context, note: Note, value: Option<&str>, names: &[String]) -> Result<(), Failure> {
    let Context { config, host, .. } = context;
    if names.len() > MAX_NAMES || value.is_some_and(|value| value.len() > Note::MAX_VALUE) {
        return Err(Failure::new(Refusal::Other, "a property that is too long, or for too many datasets"));
    }
    let legal: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_askable(config, name)).collect();
    if legal.is_empty() {
        return Ok(());
    }
    let top = legal[0].split('@').next().and_then(|name| name.parse::<DatasetName>().ok());
    let noted = host.note(note, value, &legal);
    noted.map_err(|why| match &top {
        Some(top) => context.explain(why, permission::NOTE, top),
        None => why,
    })
}

/// Destroys a dataset, or (`dry_run`) only checks whether that would be done.
pub(super) fn destroy(
    context: &Context,
    dataset: &DatasetName,
    snapshots: &[Guid],
    dry_run: bool,
) -> Result<(), Failure> {
    context
        .host
        .destroy(dataset, snapshots, dry_run)
        .map_err(|why| context.explain(why, permission::DESTROY_DATASETS, dataset))
}

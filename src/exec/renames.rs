//! Datasets that have another name at the source: found on the target by bookmarks or snapshots, told, and renamed if the user says so.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::bookmarks::BATCH;
use super::missing::{notes_of, targets};
use super::receiver::Receiver;
use super::targets::Targets;
use super::{recorded, source};
use crate::config::PushJob;
use crate::endpoint::Endpoint;
use crate::error::StartError;
use crate::format::count;
use crate::plan::{Guess, LeftOut, Move, Namesake, Negotiation, Notes, is_of_another_target};
use crate::report::{Event, Reporter};
use zfs::name::{DatasetName, SnapshotName};
use zfs::{NewBookmark, Origin, Put, Rename};

/// More datasets than these are not listed only to find out which of them was renamed.
const FEW: usize = 200;

/// Which of these the source has under another name.
pub(super) async fn renamed(
    job: &PushJob,
    negotiation: &Negotiation,
    receiver: &mut Receiver<'_>,
    only_there: &[DatasetName],
    reporter: &mut dyn Reporter,
) -> Result<Vec<Guess>, StartError> {
    if only_there.is_empty() || !negotiation.lacks_any() {
        return Ok(Vec::new());
    }
    let (mut only_there, mut notes, by) = (only_there.to_vec(), HashMap::new(), job.missing.by);
    if job.missing.follow_renames {
        // Another target of this source that lies within TARGET has the same snapshots, and bookmarks of its own.
        let target = &job.ends.target.dataset;
        notes = notes_of(receiver.notes().await?);
        only_there.retain(|name| !is_of_another_target(name, target, put_into(&notes, name)));
    }
    let guesses = negotiation.guesses(&only_there, &notes, by);
    let names: Vec<String> = guesses.iter().map(|guess| guess.from.at(guess.snapshot.as_str())).collect();
    let found = if names.is_empty() { Vec::new() } else { receiver.ask(&names).await? };
    let mut right: Vec<Guess> = found
        .into_iter()
        .filter_map(|(place, guid, _)| guesses.get(usize::try_from(place).ok()?).filter(|guess| guess.guid == guid))
        .cloned()
        .collect();
    // Without bookmarks only the snapshots themselves tell; that is worth a listing where it saves sending it all. Whatever this one has
    // come from has them, too, and whatever somebody has copied there: only what has come from here is renamed.
    let known: HashSet<&DatasetName> = right.iter().map(|guess| &guess.from).collect();
    let mut rest: Vec<DatasetName> = only_there.into_iter().filter(|name| !known.contains(name)).collect();
    rest.sort_by_key(|name| negotiation.not_received(name, &notes, by).is_some());
    rest.truncate(FEW);
    if job.missing.follow_renames && !rest.is_empty() {
        let there = targets(receiver.list(rest).await?);
        let (more, others) = negotiation.guesses_by_guid(&there, &notes, by);
        let known: HashSet<usize> = right.iter().map(|guess| guess.index).collect();
        let is_new = |index| !known.contains(&index);
        tell_namesakes(negotiation, reporter, others.into_iter().filter(|other| is_new(other.index)));
        let new: Vec<Guess> = more.into_iter().filter(|guess| is_new(guess.index)).collect();
        right.extend(new);
    }
    Ok(right)
}

/// Tells why a dataset is sent in full although the target has it, as it seems.
fn tell_namesakes(negotiation: &Negotiation, reporter: &mut dyn Reporter, others: impl Iterator<Item = Namesake>) {
    for Namesake { index, name, why } in others {
        let Some((source, target)) = negotiation.names(index) else { continue };
        let text = format!("{name} has the same snapshots and is not renamed to {target}: {why}");
        reporter.event(&Event::Notice { dataset: Some(source.to_string()), text });
    }
}

/// What zfsync has put into a dataset.
fn put_into<'a>(notes: &'a HashMap<DatasetName, Notes>, name: &DatasetName) -> Option<&'a Put> {
    notes.get(name)?.put.as_ref()
}

/// Finds out which bookmarks of the source are of names that datasets had on the target before they were renamed, and sent again.
pub(super) async fn supersede(
    job: &PushJob,
    negotiation: &mut Negotiation,
    (receiver, known): (&mut Receiver<'_>, &Targets),
    names: &[DatasetName],
) -> Result<(), StartError> {
    if !job.bookmarks || job.dry_run {
        return Ok(());
    }
    let pairs = negotiation.formerly(names, |path| known.tags(&job.ends.source.dataset, path));
    if !pairs.is_empty() {
        // Where nobody tells who has put them there, they stay.
        let notes = notes_of(receiver.readable_notes().await?);
        negotiation.supersede(pairs, &notes, job.missing.by);
    }
    Ok(())
}

/// So long zfs may take for the bookmarks of what was renamed.
const LIMIT: Duration = Duration::from_secs(300);

/// Gives the bookmarks of what was renamed on the target their new names: whoever comes later doesn't know the old ones.
pub(super) async fn bring_along(job: &PushJob, sender: &Endpoint, negotiation: &mut Negotiation) {
    let renamed = if job.bookmarks && !job.dry_run { negotiation.brought_along() } else { Vec::new() };
    if renamed.is_empty() {
        return;
    }
    let copy = |(dataset, old, new): &(DatasetName, SnapshotName, SnapshotName)| NewBookmark {
        dataset: dataset.clone(),
        origin: Origin::Bookmark(old.clone()),
        name: new.clone(),
    };
    let mut done = Vec::new();
    for some in renamed.chunks(BATCH) {
        let made = sender.bookmark(some.iter().map(copy).collect(), Some(LIMIT)).await;
        let made = made.unwrap_or_else(|why| vec![Some(why); some.len()]);
        for (one, failure) in some.iter().zip(made) {
            match failure {
                None => done.push(one.clone()),
                // It goes at the end of a run that brings the dataset in sync.
                Some(why) => tracing::info!("{}#{}: {}", one.0, one.1, why.words),
            }
        }
    }
    let old = done.iter().map(|(dataset, old, _)| (dataset.clone(), old.clone())).collect();
    let gone = sender.drop_bookmarks(old, Some(LIMIT)).await.unwrap_or_else(|why| vec![Some(why)]);
    for why in gone.into_iter().flatten() {
        tracing::info!("{}", why.words);
    }
    negotiation.bookmarks_renamed(&done);
}

/// Tells what is sent in full although the target has it under another name.
pub(super) fn tell_renamed(negotiation: &Negotiation, reporter: &mut dyn Reporter) {
    for (source, from, target) in negotiation.sent_again() {
        let text = format!(
            "the target has it already as {from}: it was renamed, or that is another target of the same source; it is sent in full as {target} \
             (--follow-renames renames it on the target instead)"
        );
        reporter.event(&Event::Notice { dataset: Some(source.to_string()), text });
    }
}

/// Those of these that can be renamed before anything is sent; tells of the others.
pub(super) async fn can_follow(
    (sender, target_top): (&Endpoint, &DatasetName),
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    renamed: &[Guess],
    reporter: &mut dyn Reporter,
) -> Result<Vec<Guess>, StartError> {
    let parents = negotiation.new_parents(renamed);
    let Some(nearest) = negotiation.nearest().filter(|_| !parents.is_empty()) else { return Ok(renamed.to_vec()) };
    negotiation.facts(&source::facts(sender, &parents, receiver.stall()).await?);
    let encrypted = receiver.probe(nearest).await?.encrypted;
    let (can, cannot) = negotiation.can_follow(renamed, encrypted);
    for LeftOut { guess: Guess { index, from, .. }, parent, below } in cannot {
        let Some((source, target)) = negotiation.names(index) else { continue };
        let with = if below > 0 { format!(" with {} below it", count(below, "dataset")) } else { String::new() };
        let first = parent.below(target_top).map_or_else(String::new, |path| {
            let (alone, below) = (shell_words::quote(path.as_str()), format!("{}/**", path.as_str()));
            format!(
                " (this command with --include {alone} --exclude {} first saves the full send)",
                shell_words::quote(&below)
            )
        });
        let text = format!(
            "{from} is not renamed to {target}, but sent in full{with}: {parent} must be received first, since nothing encrypted can take the place \
             of what a rename creates there{first}"
        );
        reporter.event(&Event::Notice { dataset: Some(source.to_string()), text });
    }
    Ok(can)
}

/// Renames on the target what has another name at the source now, and lists it anew there.
pub(super) async fn follow(
    job: &PushJob,
    negotiation: &mut Negotiation,
    receiver: &mut Receiver<'_>,
    reporter: &mut dyn Reporter,
    moves: Vec<Move>,
) -> Result<Vec<Move>, StartError> {
    if moves.is_empty() {
        return Ok(moves);
    }
    let mut done = Vec::new();
    if job.dry_run {
        done.clone_from(&moves);
    } else {
        // Nothing is changed in a tree that another run has.
        receiver.claimed().await?;
        for one in moves {
            let rename = Rename {
                from: one.from.clone(),
                to: one.to.clone(),
                snapshot: one.snapshot.clone(),
                guid: one.guid,
                ancestors: one.ancestors.clone(),
                top_ancestor: one.top_ancestor.clone(),
            };
            let open = recorded::renamed(job, &rename);
            let failure = receiver.rename(rename).await?;
            open.ended(failure.as_ref());
            let text = match failure {
                None => {
                    let text = format!("{} was renamed to {} on the target, as on the source", one.from, one.to);
                    done.push(one);
                    text
                }
                Some(failure) => {
                    format!("{} could not be renamed to {}: {}", one.from, one.to, failure.words)
                }
            };
            reporter.event(&Event::Notice { dataset: None, text });
        }
    }
    negotiation.moved(&done);
    Ok(done)
}

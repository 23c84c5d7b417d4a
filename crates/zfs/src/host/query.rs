//! Answers a [`Query`] by the `zfs` command line.

use std::collections::HashSet;
use std::io::{BufRead as _, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::portions::portions;
use super::prune::prune;
use super::run::{Output, read, run, run_lenient, run_listing, run_naming};
use super::{NameSink, RecordSink};
use crate::name::{DatasetName, Guid, SnapshotName, Txg};
use crate::{
    Answer, Call, DatasetFacts, Estimate, Failure, NewBookmark, ParseError, Property, Query, Refusal, StreamSpec, Zfs,
    feature_is_active, read_creations, read_facts, read_failed_bookmarks, read_history, read_iv_sets, read_listed,
    read_settings, read_sources, read_states, read_values, read_written, without_usage,
};

/// So many commands run at a time where each is one transaction: they share it.
const AT_ONCE: usize = 4;

/// Answers it. `programs`: whether many bookmarks are made by one channel program; it finds out.
pub(super) fn answer(zfs: &Zfs, query: &Query, programs: &AtomicBool) -> Result<Answer, Failure> {
    Ok(match query {
        Query::Find { names } => Answer::Found(of_each(names, |some| run_listing(zfs.list_names(some), found))?),
        Query::Facts { datasets } => Answer::Facts(facts(zfs, datasets)?),
        Query::States { datasets } => {
            Answer::States(of_each(datasets, |some| readable(zfs.states(some), read_states))?)
        }
        Query::Written { names } => {
            Answer::Numbers(of_each(names, |some| readable(zfs.written_of(some), read_written))?)
        }
        Query::Dates { names } => {
            Answer::Dates(of_each(names, |some| readable(zfs.creation_of(some), read_creations))?)
        }
        Query::IvSets { names } => Answer::IvSets(of_each(names, |some| readable(zfs.iv_sets(some), read_iv_sets))?),
        Query::Encrypted { pool } => Answer::Maybe(has_encrypted(zfs, pool)),
        Query::Estimate { stream } => Answer::Size(estimate(zfs, stream)?),
        Query::History { pool, since } => {
            let mut all = Vec::new();
            history(zfs, pool, *since, &mut |record| {
                all.push(record);
                Ok(())
            })?;
            Answer::Records(all)
        }
        Query::Traces { datasets } => {
            let read = |output: Output| Ok(read_sources(&all(output)?).into_iter().collect());
            Answer::Traces(of_each(datasets, |some| readable(zfs.property_sources(some), read))?)
        }
        Query::SnapshotNotes { property, datasets } => {
            let read = |output: Output| Ok(read_values(&all(output)?).into_iter().collect());
            Answer::Texts(of_each(datasets, |some| readable(zfs.notes_of_snapshots(property, some), read))?)
        }
        Query::Properties { dataset } => {
            Answer::Properties(properties(&run(zfs.set_properties(dataset), all)?, dataset))
        }
        Query::PropertiesBelow { dataset } => {
            let property = |(on, name, value)| Property { on, name, value };
            let said = run(zfs.settings_below(dataset), all)?;
            Answer::Properties(read_settings(&said).into_iter().map(property).collect())
        }
        Query::Names => {
            let mut all = Vec::new();
            names(zfs, &mut |name| {
                all.push(name.to_owned());
                Ok(())
            })?;
            Answer::Names(all)
        }
        Query::Bookmark { new } => Answer::Failures(bookmark(zfs, new, programs)),
        Query::DropBookmarks { bookmarks } => {
            let calls = bookmarks.iter().map(|(dataset, name)| zfs.destroy_bookmark(dataset, name));
            Answer::Failures(run_all(calls.collect()))
        }
        Query::SetProperty { dataset, snapshot, property, value } => {
            run(set_property(zfs, dataset, snapshot.as_ref(), property, value.as_deref()), |_| Ok(()))?;
            Answer::Done
        }
        Query::Snapshot { datasets, name, recursive, taken_here } => {
            take_snapshots(zfs, (datasets, name), *recursive, *taken_here)?;
            Answer::Done
        }
        Query::Prune { dataset, snapshots, dry_run } => Answer::Pruned(prune(zfs, dataset, snapshots, *dry_run)?),
    })
}

/// Takes snapshots of this name.
fn take_snapshots(
    zfs: &Zfs,
    (datasets, name): (&[DatasetName], &SnapshotName),
    recursive: bool,
    taken_here: bool,
) -> Result<(), Failure> {
    let take = |marked| run(zfs.snapshot(datasets, name, recursive, marked), |_| Ok(()));
    let taken = match take(taken_here) {
        // A delegated user may lack the right to set user properties.
        Err(Failure { refusal: Refusal::Permission, .. }) if taken_here => take(false),
        taken => taken,
    };
    taken.map_err(|why| Failure { words: without_usage(&why.words).to_owned(), ..why })
}

/// The stream that is asked for, as a call whose output it is.
pub(super) fn stream(zfs: &Zfs, stream: &StreamSpec) -> Call {
    match stream {
        StreamSpec::Send(send) => zfs.send(send),
        StreamSpec::Resume { token, .. } => zfs.resume(token),
        StreamSpec::List { dataset, depth } => zfs.list_source(dataset, *depth),
    }
}

/// What is known of each of these names, a command line full of them at a time.
fn of_each<N: AsRef<str>, T>(names: &[N], ask: impl Fn(&[N]) -> Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    let mut known = Vec::with_capacity(names.len());
    for some in portions(names, |name| name.as_ref().len()) {
        known.extend(ask(some)?);
    }
    Ok(known)
}

/// Runs a command that is asked for several objects by name, and leaves out those that don't exist or can't be read themselves: nobody
/// takes that for an answer. What concerns all of them (a suspended pool, permission denied) is a failure.
fn readable<T>(call: Call, read: impl FnOnce(Output) -> Result<T, ParseError>) -> Result<T, Failure> {
    Ok(run_naming(call, read)?.0)
}

pub(super) fn all(mut output: Output) -> Result<Vec<u8>, ParseError> {
    let mut said = Vec::new();
    output.read_to_end(&mut said)?;
    Ok(said)
}

/// Tells the names of all datasets, as they are read.
pub(super) fn names(zfs: &Zfs, each: &mut NameSink<'_>) -> Result<(), Failure> {
    run_lenient(zfs.list_all_names(), |output| {
        for name in output.lines() {
            each(&name?)?;
        }
        Ok(())
    })
}

fn found(output: Output) -> Result<Vec<(DatasetName, Guid)>, ParseError> {
    let mut found = Vec::new();
    read_listed(output, |listed| {
        found.push((listed.dataset, listed.guid));
        Ok::<_, ParseError>(())
    })?;
    Ok(found)
}

fn facts(zfs: &Zfs, datasets: &[DatasetName]) -> Result<Vec<DatasetFacts>, Failure> {
    let facts = of_each(datasets, |some| readable(zfs.facts(some), read_facts))?;
    let one = |one: crate::Facts| DatasetFacts {
        encrypted: one.encryption.is_on(),
        name: one.name,
        kind: one.kind,
        root_up: one.root_up,
    };
    Ok(facts.into_iter().map(one).collect())
}

fn has_encrypted(zfs: &Zfs, pool: &str) -> bool {
    run(zfs.encryption_feature(pool), |output| Ok(feature_is_active(&all(output)?))).unwrap_or(true)
}

/// `-n` with `-P` writes to stdout. `None` where it doesn't say.
fn estimate(zfs: &Zfs, stream: &StreamSpec) -> Result<Option<u64>, Failure> {
    let call = match stream {
        StreamSpec::Send(send) => zfs.estimate(send),
        StreamSpec::Resume { token, .. } => zfs.estimate_rest(token),
        StreamSpec::List { .. } => return Ok(None),
    };
    run_lenient(call, |output| {
        let mut estimate = Estimate::default();
        for line in output.lines() {
            estimate.add(&line?);
        }
        Ok(estimate.total())
    })
}

/// Tells the records of a pool's history, as they are read: it can have a gigabyte.
pub(super) fn history(zfs: &Zfs, pool: &str, since: Txg, each: &mut RecordSink<'_>) -> Result<(), Failure> {
    read(zfs.history(pool), |output| read_history(output, since, each))
}

/// Reads [`Zfs::set_properties`] of this dataset. A line that makes no sense says nothing: it is the rest of a value with a line feed, of
/// which the beginning counts.
pub(super) fn properties(said: &[u8], dataset: &DatasetName) -> Vec<Property> {
    let text = String::from_utf8_lossy(said);
    let property = |line: &str| {
        let mut fields = line.splitn(3, '\t');
        let (name, from, value) = (fields.next()?, fields.next()?, fields.next()?);
        let on = if from == "local" { dataset.clone() } else { from.strip_prefix("inherited from ")?.parse().ok()? };
        Some(Property { on, name: name.to_owned(), value: value.to_owned() })
    };
    text.lines().filter_map(property).collect()
}

fn set_property(
    zfs: &Zfs,
    dataset: &DatasetName,
    snapshot: Option<&SnapshotName>,
    property: &str,
    value: Option<&str>,
) -> Call {
    match (value, snapshot) {
        (Some(value), None) => zfs.set_property(property, value, dataset),
        (Some(value), Some(snapshot)) => zfs.note_snapshot(property, value, dataset, snapshot),
        (None, None) => zfs.drop_property(property, dataset),
        (None, Some(snapshot)) => zfs.drop_snapshot_property(property, dataset, snapshot),
    }
}

/// Makes bookmarks: many by one channel program, which only root may run, and those that it couldn't make one by one.
fn bookmark(zfs: &Zfs, new: &[NewBookmark], programs: &AtomicBool) -> Vec<Option<Failure>> {
    let mut rest: HashSet<usize> = (0..new.len()).collect();
    if new.len() > 1 && programs.load(Ordering::Relaxed) {
        match run(zfs.bookmark_many(new), |output| read_failed_bookmarks(output, new)) {
            // Each is tried once more alone, for its words.
            Ok(failed) => rest = failed,
            Err(why) if never_runs(&why) => programs.store(false, Ordering::Relaxed),
            // The pool is full or busy, say: the next ones may be made by a program again.
            Err(_) => {}
        }
    }
    let mut places: Vec<usize> = rest.into_iter().collect();
    places.sort_unstable();
    let ended = run_all(places.iter().map(|place| zfs.bookmark(&new[*place])).collect());
    let mut all = vec![None; new.len()];
    for (place, failure) in places.into_iter().zip(ended) {
        all[place] = failure;
    }
    all
}

/// Whether no channel program will ever make bookmarks here: this user may run none, or this version of ZFS has no such function.
fn never_runs(why: &Failure) -> bool {
    matches!(why.refusal, Refusal::Permission | Refusal::Feature) || why.words.contains("attempt to call field")
}

/// Runs calls, a few at a time: they share transactions. Why each of them failed, if it did.
fn run_all(calls: Vec<Call>) -> Vec<Option<Failure>> {
    let mut results = Vec::with_capacity(calls.len());
    let mut calls = calls.into_iter().peekable();
    while calls.peek().is_some() {
        thread::scope(|scope| {
            let some = calls.by_ref().take(AT_ONCE);
            let running: Vec<_> = some.map(|call| scope.spawn(move || run(call, |_| Ok(())).err())).collect();
            results.extend(running.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Some(Failure::new(Refusal::Other, "an internal thread failed")))
            }));
        });
    }
    results
}

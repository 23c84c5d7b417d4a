//! Finds out whether bookmarks still belong to the history of their datasets, from this machine's `zfs` and `zpool`. What that means
//! is in [`crate::plan`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::endpoint::Endpoint;
use crate::plan::{Doubt, Proof, Proofs, Settled, Sign, SourceDataset, WITNESS, note_of, replay};
use crate::report::{Event, Reporter};
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{Refusal, Traces};

/// So many notes are taken at a time.
const AT_ONCE: usize = 4;
/// So many datasets at most get a witness of what doesn't go now: each is a process, and a transaction.
const MOST: usize = 1000;

/// Tells what became of doubts.
pub fn tell(settled: &Settled, reporter: &mut dyn Reporter) {
    for (dataset, text) in &settled.notices {
        reporter.event(&Event::Notice { dataset: Some(dataset.to_string()), text: text.clone() });
    }
    let Some(first) = settled.unproven.first() else { return };
    let who = match settled.unproven.len() {
        1 => format!("{first} continues from a bookmark whose snapshot no longer exists"),
        more => format!("{more} datasets (first: {first}) continue from bookmarks whose snapshots no longer exist"),
    };
    let text = format!(
        "{who}; only root can check with zpool history -i that the dataset was not rolled back past it, and this run can't; there are no \
         other signs of a rollback"
    );
    reporter.event(&Event::Notice { dataset: None, text });
}

/// Settles all that can be settled: each bookmark asked for has an answer afterwards.
pub async fn find_out(sender: &Endpoint, mut doubts: Vec<Doubt>, stall: Option<Duration>) -> Proofs {
    if doubts.is_empty() {
        return Proofs::new();
    }
    let datasets: Vec<DatasetName> = doubts.iter().map(|doubt| doubt.dataset.clone()).collect();
    // Without notes nothing is proven by one.
    let notes = sender.snapshot_notes(WITNESS, &datasets, stall).await.unwrap_or_default();
    let mut proofs: Proofs = doubts.iter_mut().map(|doubt| (doubt.index, doubt.settle_by_witnesses(&notes))).collect();
    doubts.retain(|doubt| !doubt.marks.is_empty());
    for (index, found) in by_history(sender, &doubts, stall).await {
        proofs.entry(index).or_default().extend(found);
    }
    for doubt in &mut doubts {
        let known = proofs.entry(doubt.index).or_default();
        doubt.marks.retain(|(guid, _)| !known.contains_key(guid));
    }
    doubts.retain(|doubt| !doubt.marks.is_empty());
    for (doubt, sign) in doubts.iter().zip(signs(sender, &doubts, stall).await) {
        let unknown = doubt.marks.iter().map(|(guid, _)| (*guid, Proof::Unknown(sign)));
        proofs.entry(doubt.index).or_default().extend(unknown);
    }
    proofs
}

/// What is known of one bookmark of a dataset, if its snapshot is gone.
pub async fn of_one(
    sender: &Endpoint,
    dataset: &DatasetName,
    listed: &SourceDataset,
    mark: Guid,
    stall: Option<Duration>,
) -> Option<Proof> {
    let mut doubt = listed.doubt(0, dataset);
    doubt.marks.retain(|(guid, _)| *guid == mark);
    if doubt.marks.is_empty() {
        return None;
    }
    find_out(sender, vec![doubt], stall).await.remove(&0)?.remove(&mark)
}

async fn by_history(sender: &Endpoint, doubts: &[Doubt], stall: Option<Duration>) -> Proofs {
    let mut pools: BTreeMap<&str, Vec<Doubt>> = BTreeMap::new();
    for doubt in doubts {
        pools.entry(doubt.dataset.pool()).or_default().push(doubt.clone());
    }
    let mut all = Proofs::new();
    for (pool, doubts) in pools {
        let since = doubts.iter().flat_map(|doubt| &doubt.marks).map(|(_, txg)| *txg).min().unwrap_or(Txg(0));
        match sender.history(pool, since, stall).await {
            Ok(records) => all.extend(replay(&records, &doubts)),
            Err(why) => tracing::info!("can't read the history of {pool}: {}", why.words),
        }
    }
    all
}

/// Whether something is received into these datasets. Who can't be asked looks as if.
async fn signs(sender: &Endpoint, doubts: &[Doubt], stall: Option<Duration>) -> Vec<Sign> {
    let datasets: Vec<DatasetName> = doubts.iter().map(|doubt| doubt.dataset.clone()).collect();
    let traces = sender.traces(&datasets, stall).await;
    let oldest = |doubt: &Doubt| doubt.snapshots.first().map(|(name, ..)| doubt.dataset.at(name.as_str()));
    let names: Vec<String> = doubts.iter().filter_map(oldest).collect();
    let dates: HashMap<String, i64> = sender.dates(&names, stall).await.unwrap_or_default().into_iter().collect();
    let sign = |doubt: &Doubt| {
        let Some(traces) = traces.get(doubt.dataset.as_str()) else { return Sign::Unread };
        let oldest = match oldest(doubt).map(|name| dates.get(&name)) {
            None => Oldest::None,
            Some(date) => date.map_or(Oldest::Undated, |date| Oldest::At(*date)),
        };
        sign(traces, oldest)
    };
    doubts.iter().map(sign).collect()
}

/// When the oldest snapshot of a dataset was made.
#[derive(Debug, Clone, Copy)]
enum Oldest {
    /// It has none.
    None,
    At(i64),
    /// That can't be told.
    Undated,
}

fn sign(traces: &Traces, oldest: Oldest) -> Sign {
    match traces {
        Traces { received: true, .. } => Sign::ReceivedProperties,
        Traces { noted: true, .. } => Sign::Note,
        Traces { partial: true, .. } => Sign::PartialReceive,
        Traces { creation, .. } => match (creation, oldest) {
            (Some(own), Oldest::At(oldest)) if oldest < *own => Sign::OlderSnapshot,
            (Some(_), Oldest::At(_)) | (_, Oldest::None) => Sign::None,
            (None, Oldest::At(_)) | (_, Oldest::Undated) => Sign::Unread,
        },
    }
}

/// Before these snapshots are destroyed, the newest that stays of each dataset becomes the witness of those that have a bookmark of ours:
/// they may go, now or later and by whatever tool. Who may not do that loses nothing but the proof; the words of the first that failed.
pub async fn leave_witnesses<'a>(
    sender: &Endpoint,
    datasets: impl Iterator<Item = (&'a DatasetName, &'a SourceDataset, HashSet<Guid>)>,
    stall: Option<Duration>,
) -> Option<String> {
    let wanted = datasets.filter_map(|(name, source, going)| {
        let (witness, older) = source.witness(&going)?;
        Some((name, source, going, witness, older))
    });
    let (mut wanted, others): (Vec<_>, Vec<_>) =
        wanted.partition(|(_, _, going, _, older)| older.iter().any(|guid| going.contains(guid)));
    wanted.extend(others.into_iter().take(MOST));
    let names: Vec<DatasetName> = wanted.iter().map(|(name, ..)| (*name).clone()).collect();
    // A note that can't be read must not be replaced: bookmarks may hang on what it says of snapshots that are gone.
    let before = match sender.snapshot_notes(WITNESS, &names, stall).await {
        Ok(before) => before,
        Err(why) => return Some(why.words),
    };
    let open: Vec<_> = wanted
        .into_iter()
        .map(|(name, source, going, witness, older)| {
            (name, source, witness, source.unwitnessed(name, older, &going, &before))
        })
        .collect();
    // The listing took its time: only what is there after the witness was listed was there together with it.
    let names = open.iter().flat_map(|(name, source, _, older)| {
        let all = source.snapshots.iter().filter(|snapshot| older.contains(&snapshot.guid));
        all.map(|snapshot| name.at(snapshot.name))
    });
    let there = sender.find(&names.collect::<Vec<_>>(), stall).await.unwrap_or_default();
    let mut notes = Vec::new();
    for (name, _, witness, older) in open {
        let older: Vec<Guid> = older.into_iter().filter(|guid| there.contains(&(name.clone(), *guid))).collect();
        if !older.is_empty() {
            let note = note_of(witness, &older, before.get(&name.at(witness.name)).map(String::as_str));
            notes.push((name.clone(), witness.snapshot_name(), note));
        }
    }
    note_witnesses(sender, notes, stall).await
}

/// Takes these notes on snapshots, a few at a time and no more once the host is lost; the words of the first that failed.
async fn note_witnesses(
    sender: &Endpoint,
    notes: Vec<(DatasetName, SnapshotName, String)>,
    stall: Option<Duration>,
) -> Option<String> {
    let mut failed = None;
    let mut rest = notes.into_iter();
    let mut is_lost = false;
    loop {
        let some = rest.by_ref().take(AT_ONCE).map(|(dataset, snapshot, note)| {
            let sender = sender.clone();
            async move { sender.set_property((&dataset, Some(snapshot)), WITNESS, Some(note), stall).await }
        });
        let some: JoinSet<_> = some.collect();
        if some.is_empty() {
            return failed;
        }
        for why in some.join_all().await.into_iter().filter_map(Result::err) {
            is_lost |= why.refusal == Refusal::Lost;
            if why.refusal != Refusal::Missing {
                failed.get_or_insert(why.words);
            }
        }
        if is_lost {
            return failed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_date_is_no_proof_that_nothing_was_received() {
        let traces = |creation| Traces { received: false, noted: false, partial: false, creation };
        for (creation, oldest, expected) in [
            (Some(10), Oldest::At(20), Sign::None),
            (Some(10), Oldest::At(5), Sign::OlderSnapshot),
            (Some(10), Oldest::None, Sign::None),
            (Some(10), Oldest::Undated, Sign::Unread),
            (None, Oldest::At(5), Sign::Unread),
        ] {
            assert_eq!(sign(&traces(creation), oldest), expected, "{creation:?} {oldest:?}");
        }
    }
}

//! Whether a bookmark still belongs to the history of its dataset. No property tells: `zfs rollback` refuses to go back behind a
//! bookmark, but the end of a receive with `-F` does not look (`dmu_recv_end_sync` in `module/zfs/dmu_recv.c`), and what then is
//! sent from the bookmark has the right guid and the wrong content.
//!
//! Only where a bookmark's snapshot is gone there is a doubt. A *witness* settles it: a snapshot that is newer than the one of the
//! bookmark, that was there together with it, and that is still there. Else the pool's history is replayed.

use std::collections::{HashMap, HashSet};

use super::SourceDataset;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::{Happened, Record, Version, is_our_bookmark};

/// The user property of a snapshot that makes it a witness. It holds its own guid and createtxg, so that one that came with a stream
/// or was copied says nothing, and the guids of snapshots that were there, and older, when it was set.
pub const WITNESS: &str = "zfsync:successor-of";
/// So many guids fit into a property (8191 bytes, zfsprops(7)) behind the snapshot's own.
const MOST: usize = 380;

/// What is known of a bookmark whose snapshot is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It belongs to the dataset's history.
    Holds,
    /// The dataset went back behind it.
    WentBack(Txg),
    /// Nobody knows.
    Unknown(Sign),
}

impl Proof {
    /// What speaks against going on without a proof, unless the user has given leave.
    #[must_use]
    pub fn objection(self, allowed: bool) -> Option<Sign> {
        match self {
            Self::Unknown(sign) if sign != Sign::None && !allowed => Some(sign),
            _ => None,
        }
    }
}

/// Whether a dataset looks as if something were received into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Nothing speaks for it.
    None,
    /// It has properties that came with a stream.
    ReceivedProperties,
    /// zfsync has noted that it put it there.
    Note,
    /// A receive into it was cut.
    PartialReceive,
    /// Its oldest snapshot is older than itself.
    OlderSnapshot,
    /// Its properties can't be read.
    Unread,
}

impl Sign {
    /// What it is that was seen.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::ReceivedProperties => "it has received properties",
            Self::Note => "it was received by zfsync (zfsync:received)",
            Self::PartialReceive => "it has partially received state",
            Self::Unread => "its properties can't be read",
            Self::OlderSnapshot => "it has a snapshot that is older than the dataset itself",
        }
    }
}

/// A dataset with bookmarks about which there is a doubt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// Its place in what is asked about.
    pub index: usize,
    /// The dataset.
    pub dataset: DatasetName,
    /// Those of its bookmarks whose snapshots are gone.
    pub marks: Vec<(Guid, Txg)>,
    /// Its snapshots, oldest first: name, guid, createtxg.
    pub snapshots: Vec<(SnapshotName, Guid, Txg)>,
}

/// What was found out of bookmarks, by the places of their [`Doubt`]s.
pub type Proofs = HashMap<usize, HashMap<Guid, Proof>>;

impl SourceDataset {
    /// The bookmarks whose snapshots are gone.
    pub fn orphans(&self) -> impl Iterator<Item = Version<'_>> {
        let there: HashSet<Guid> = self.snapshots.iter().map(|snapshot| snapshot.guid).collect();
        self.bookmarks.iter().filter(move |mark| !there.contains(&mark.guid))
    }

    /// The place in its order of a snapshot that it has, or has a bookmark of.
    #[must_use]
    pub fn place_of(&self, guid: Guid) -> Option<Txg> {
        let all = self.bookmarks.iter().chain(self.false_bookmarks.iter()).chain(self.snapshots.iter());
        all.filter(|version| version.guid == guid).map(|version| version.txg).next()
    }

    /// The same without the bookmarks that are not proven to belong to its history: for whoever destroys.
    #[must_use]
    pub fn with_proven(&self, proofs: &HashMap<Guid, Proof>) -> Self {
        let mut proven = self.clone();
        proven.disown(|guid| proofs.get(&guid).is_some_and(|proof| *proof != Proof::Holds));
        proven
    }

    /// Sets bookmarks apart that are not to be believed; whether there were any.
    pub(super) fn disown(&mut self, is_false: impl Fn(Guid) -> bool) -> bool {
        if !self.bookmarks.iter().any(|mark| is_false(mark.guid)) {
            return false;
        }
        let (gone, kept): (Vec<_>, Vec<_>) = self.bookmarks.iter().partition(|mark| is_false(mark.guid));
        let gone = gone.into_iter().chain(self.false_bookmarks.iter()).collect();
        (self.bookmarks, self.false_bookmarks) = (kept.into_iter().collect(), gone);
        true
    }

    /// What is to be found out about this dataset's bookmarks.
    #[must_use]
    pub fn doubt(&self, index: usize, dataset: &DatasetName) -> Doubt {
        let all = self.snapshots.iter();
        Doubt {
            index,
            dataset: dataset.clone(),
            marks: self.orphans().map(|mark| (mark.guid, mark.txg)).collect(),
            snapshots: all.map(|one| (one.snapshot_name(), one.guid, one.txg)).collect(),
        }
    }
}

impl Doubt {
    /// Settles by witnesses what they can settle, and takes it out. `notes`: what the property [`WITNESS`] says, by the names of the
    /// snapshots.
    pub fn settle_by_witnesses(&mut self, notes: &HashMap<String, String>) -> HashMap<Guid, Proof> {
        let mut seen = HashMap::new();
        for (name, guid, txg) in &self.snapshots {
            let note = notes.get(&self.dataset.at(name.as_str()));
            let older = note.and_then(|note| witnessed(note, *guid, *txg)).unwrap_or_default();
            for mark in older {
                // They come oldest first.
                seen.insert(mark, *txg);
            }
        }
        let (proven, open) = self.marks.iter().partition(|(guid, txg)| seen.get(guid).is_some_and(|at| at > txg));
        self.marks = open;
        let proven: Vec<(Guid, Txg)> = proven;
        proven.into_iter().map(|(guid, _)| (guid, Proof::Holds)).collect()
    }
}

/// The guids that a snapshot's note is about, if it is its own.
fn witnessed(note: &str, own: Guid, txg: Txg) -> Option<Vec<Guid>> {
    let mut parts = note.splitn(3, ':');
    let (guid, at, older) = (parts.next()?, parts.next()?, parts.next()?);
    if guid.parse() != Ok(own.0) || at.parse() != Ok(txg.0) {
        return None;
    }
    Some(older.split(',').filter_map(|guid| guid.parse().ok().map(Guid)).collect())
}

/// The note by which a snapshot becomes the witness of others that are about to go; `before` is what it says already.
#[must_use]
pub fn note_of(witness: Version<'_>, going: &[Guid], before: Option<&str>) -> String {
    let before = before.and_then(|note| witnessed(note, witness.guid, witness.txg)).unwrap_or_default();
    let older = before.iter().filter(|guid| !going.contains(guid));
    // The newest are those that a target may still have.
    let mut all: Vec<&Guid> = going.iter().rev().chain(older.rev()).take(MOST).collect();
    all.reverse();
    let all: Vec<String> = all.into_iter().map(|guid| guid.0.to_string()).collect();
    format!("{}:{}:{}", witness.guid.0, witness.txg.0, all.join(","))
}

impl SourceDataset {
    /// Snapshots that have a bookmark of ours and are not the newest that stays when these go, and that one: it can be their witness.
    #[must_use]
    pub fn witness(&self, going: &HashSet<Guid>) -> Option<(Version<'_>, Vec<Guid>)> {
        let marked: HashSet<Guid> =
            self.bookmarks.iter().filter(|mark| is_our_bookmark(mark.name)).map(|mark| mark.guid).collect();
        let witness = self.snapshots.iter().rev().find(|snapshot| !going.contains(&snapshot.guid))?;
        let older = self.snapshots.iter().filter(|one| one.txg < witness.txg && marked.contains(&one.guid));
        let older: Vec<Guid> = older.map(|one| one.guid).collect();
        (!older.is_empty()).then_some((witness, older))
    }

    /// Those of these snapshots that have no witness yet that stays. `notes` as for [`Doubt::settle_by_witnesses`].
    #[must_use]
    pub fn unwitnessed(
        &self,
        name: &DatasetName,
        older: Vec<Guid>,
        going: &HashSet<Guid>,
        notes: &HashMap<String, String>,
    ) -> Vec<Guid> {
        let staying = self.snapshots.iter().filter(|snapshot| !going.contains(&snapshot.guid));
        let notes = staying.filter_map(|one| witnessed(notes.get(&name.at(one.name))?, one.guid, one.txg));
        let seen: HashSet<Guid> = notes.flatten().collect();
        older.into_iter().filter(|guid| !seen.contains(guid)).collect()
    }
}

/// Replays a pool's history for these datasets, which lie in it; what it doesn't settle is left out. `records` are all there are from
/// the oldest of the bookmarks on, as far as they go back.
#[must_use]
pub fn replay(records: &[Record], doubts: &[Doubt]) -> Proofs {
    // Numbers are used again, but not while their snapshot is there.
    let mut ends: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, record) in records.iter().enumerate() {
        if let Happened::Destroyed { object } = record.what {
            ends.entry(object).or_default().push(at);
        }
    }
    let events = events(records, doubts);
    let judged = |(doubt, events): (&Doubt, &Vec<Event>)| {
        let life = Life::new(records, events, &ends);
        let proofs = doubt.marks.iter().filter_map(|(guid, txg)| Some((*guid, life.judge(*txg, &doubt.snapshots)?)));
        (doubt.index, proofs.collect())
    };
    doubts.iter().zip(&events).map(judged).collect()
}

/// What happened to a dataset, by the record's place.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// It got a snapshot: this object.
    Snapshot(usize, u64),
    /// It went on from one of its snapshots.
    Swapped(usize),
}

/// What happened to each of these datasets, in order. Records have the names of their time, so this walks back from the present ones.
fn events(records: &[Record], doubts: &[Doubt]) -> Vec<Vec<Event>> {
    let mut names = Names::new(doubts);
    let mut all = vec![Vec::new(); doubts.len()];
    for (at, record) in records.iter().enumerate().rev() {
        match &record.what {
            Happened::Snapshot { dataset, object } => {
                if let Some(&place) = names.places.get(dataset) {
                    all[place].push(Event::Snapshot(at, *object));
                }
            }
            Happened::Swapped { dataset } => {
                if let Some(&place) = names.places.get(dataset) {
                    all[place].push(Event::Swapped(at));
                }
            }
            Happened::Renamed { from, to } => names.back(from, to),
            Happened::Destroyed { .. } => {}
        }
    }
    for events in &mut all {
        events.reverse();
    }
    all
}

/// How the datasets were called at some time.
struct Names {
    places: HashMap<String, usize>,
    /// All of these and what lies above them: nearly every rename is about something else.
    touched: HashSet<String>,
}

impl Names {
    fn new(doubts: &[Doubt]) -> Self {
        let places = doubts.iter().enumerate().map(|(place, doubt)| (doubt.dataset.to_string(), place)).collect();
        let mut names = Self { places, touched: HashSet::new() };
        names.touch();
        names
    }

    fn touch(&mut self) {
        self.touched.clear();
        for name in self.places.keys() {
            let above = name.match_indices('/').map(|(at, _)| name[..at].to_owned());
            self.touched.extend(above.chain([name.clone()]));
        }
    }

    /// Goes back behind a rename.
    fn back(&mut self, from: &str, to: &str) {
        if !self.touched.contains(to) {
            return;
        }
        let old = |name: String| match name.strip_prefix(to) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{from}{rest}"),
            _ => name,
        };
        self.places = std::mem::take(&mut self.places).into_iter().map(|(name, place)| (old(name), place)).collect();
        self.touch();
    }
}

/// A snapshot in the history.
struct Lived {
    at: usize,
    txg: Txg,
    /// The place of the record of its end.
    end: Option<usize>,
}

/// The history of one dataset.
struct Life<'a> {
    records: &'a [Record],
    snapshots: Vec<Lived>,
    swaps: Vec<usize>,
}

impl<'a> Life<'a> {
    fn new(records: &'a [Record], events: &[Event], ends: &HashMap<u64, Vec<usize>>) -> Self {
        let mut life = Self { records, snapshots: Vec::new(), swaps: Vec::new() };
        for event in events {
            match *event {
                Event::Snapshot(at, object) => {
                    let ends = ends.get(&object).map_or(&[][..], Vec::as_slice);
                    let end = ends.get(ends.partition_point(|end| *end < at)).copied();
                    life.snapshots.push(Lived { at, txg: records[at].txg, end });
                }
                Event::Swapped(at) => life.swaps.push(at),
            }
        }
        life
    }

    /// Whether the dataset ever went on from something older than the snapshot that was made at `mark`. `None`: this history doesn't
    /// tell, or contradicts what is there (`zfs_snapshot_history_enabled` may have been off).
    fn judge(&self, mark: Txg, present: &[(SnapshotName, Guid, Txg)]) -> Option<Proof> {
        let first = self.snapshots.iter().position(|snapshot| snapshot.txg == mark)?;
        let since = &self.snapshots[first..];
        if !agrees(since, mark, present) {
            return None;
        }
        let (mut before, mut lasts) = (since.iter().peekable(), 0);
        for &swap in self.swaps.iter().filter(|swap| **swap > since[0].at) {
            while let Some(snapshot) = before.next_if(|snapshot| snapshot.at < swap) {
                lasts = lasts.max(snapshot.end.unwrap_or(usize::MAX));
            }
            // What a receive destroys goes right before, in the same transaction group.
            if lasts < swap {
                return Some(Proof::WentBack(self.records[swap].txg));
            }
        }
        Some(Proof::Holds)
    }
}

/// Whether what is left at the end of the history is what is there.
fn agrees(since: &[Lived], mark: Txg, present: &[(SnapshotName, Guid, Txg)]) -> bool {
    let there: HashSet<Txg> = present.iter().map(|(_, _, txg)| *txg).filter(|txg| *txg >= mark).collect();
    let newest = present.iter().map(|(_, _, txg)| *txg).max().unwrap_or(Txg(0));
    let known: HashSet<Txg> = since.iter().map(|snapshot| snapshot.txg).collect();
    // What came after the listing is none of its business.
    let mut left = since.iter().filter(|snapshot| snapshot.end.is_none() && snapshot.txg <= newest);
    left.all(|snapshot| there.contains(&snapshot.txg)) && there.iter().all(|txg| known.contains(txg))
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;

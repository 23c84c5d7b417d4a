//! What the target has and the source has no more: which of it zfsync has put there and may clear away again, and when.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::diff::newest_common;
use super::item::Item;
use super::negotiate::Negotiation;
use super::{Format, TargetDataset, Version};
use crate::name::{DatasetName, Guid, RelPath, SnapshotName, Txg};

/// More strangers than a property has room for (8 KiB).
const MAX_FOREIGN: usize = 400;

/// How closely the target follows what goes away or gets another name at the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    /// Whether datasets that the source has no more go.
    pub datasets: bool,
    /// Whether snapshots that the source has no more go.
    pub snapshots: bool,
    /// So long after they were first found missing.
    pub grace: Duration,
    /// Whether a dataset that has another name at the source is renamed.
    pub follow_renames: bool,
    /// Snapshots with such names are zfsync's own.
    pub format: Format,
    /// Stands for the source in what is noted: what another one has put there is none of ours, though it lies below the target.
    pub by: u32,
}

impl Mirror {
    /// Whether anything may be destroyed.
    #[must_use]
    pub fn destroys(&self) -> bool {
        self.datasets || self.snapshots
    }
}

/// What zfsync has put into a dataset of the target, as a property of that dataset tells: all snapshots up to one of them, but
/// for those that were taken there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Put {
    /// Which source it has come from: see [`Mirror::by`].
    pub by: u32,
    /// The newest that has arrived.
    pub upto: Guid,
    /// Its createtxg there, once somebody has looked; it counts on when the snapshot itself is gone.
    pub txg: Option<Txg>,
    /// Snapshots before it that came from elsewhere.
    pub foreign: Vec<Guid>,
}

impl Put {
    /// For a receive that is about to make a dataset.
    #[must_use]
    pub fn new(by: u32, upto: Guid) -> Self {
        Self { by, upto, txg: None, foreign: Vec::new() }
    }
}

impl From<Put> for String {
    fn from(put: Put) -> Self {
        put.to_string()
    }
}

impl TryFrom<String> for Put {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|()| "no note of what was put there")
    }
}

impl fmt::Display for Put {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.by, self.upto.0)?;
        if let Some(txg) = self.txg {
            write!(f, "@{}", txg.0)?;
        }
        self.foreign.iter().try_for_each(|guid| write!(f, ",{:016x}", guid.0))
    }
}

impl FromStr for Put {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let guid = |text: &str| u64::from_str_radix(text, 16).map(Guid).map_err(|_| ());
        let (by, text) = text.split_once('-').ok_or(())?;
        let by = u32::from_str_radix(by, 16).map_err(|_| ())?;
        let mut parts = text.split(',');
        let first = parts.next().ok_or(())?;
        let (upto, txg) = match first.split_once('@') {
            Some((upto, txg)) => (upto, Some(Txg(txg.parse().map_err(|_| ())?))),
            None => (first, None),
        };
        Ok(Self { by, upto: guid(upto)?, txg, foreign: parts.map(guid).collect::<Result<_, _>>()? })
    }
}

/// What is noted of a dataset of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// What zfsync has put there.
    pub put: Option<Put>,
    /// Since when the source lacks it, in seconds since 1970.
    pub since: Option<i64>,
    /// It was made only to hold others.
    pub placeholder: bool,
}

/// Why something that only the target has stays there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stays {
    /// Nothing says that zfsync has put it there.
    NotOurs,
    /// Another source has put it there.
    OfAnother,
    /// It has snapshots that may come from elsewhere.
    Foreign(Vec<SnapshotName>),
    /// Something below it stays.
    Below,
    /// `--set-aside` has put it out of the way.
    SetAside,
    /// It has data and no snapshots.
    NoSnapshots,
    /// It is what has another name at the source now, and is sent anew in this run.
    Renamed(DatasetName),
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("nothing tells that zfsync has put it there"),
            Self::OfAnother => f.write_str("zfsync has put it there from another source"),
            Self::Foreign(names) => {
                let some: Vec<String> = names.iter().take(3).map(|name| format!("@{name}")).collect();
                let more = names.len().saturating_sub(some.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(f, "it has snapshots that zfsync is not known to have put there: {}{more}", some.join(", "))
            }
            Self::Below => f.write_str("something below it stays"),
            Self::SetAside => f.write_str("--set-aside has put it out of the way"),
            Self::NoSnapshots => f.write_str("it has no snapshots, and so nobody knows what is in it"),
            Self::Renamed(to) => write!(f, "it is called {to} at the source now, and that is being sent"),
        }
    }
}

/// A dataset that the source has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doomed {
    /// The target's dataset.
    pub dataset: DatasetName,
    /// All that it has: if there is more by then, it stays.
    pub snapshots: Vec<Guid>,
    /// Since when, if that is noted.
    pub since: Option<i64>,
}

/// What the target has and the source has no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    /// Datasets that may go, those below before those above.
    pub datasets: Vec<Doomed>,
    /// Snapshots that may go, of datasets that both sides have.
    pub snapshots: Vec<(DatasetName, Vec<(SnapshotName, Guid)>)>,
    /// Datasets that stay, and why.
    pub stay: Vec<(DatasetName, Stays)>,
    /// Snapshots that stay, as they may come from elsewhere.
    pub foreign: Vec<(DatasetName, Vec<SnapshotName>)>,
    /// What is to be noted as put there by zfsync.
    pub puts: Vec<(DatasetName, Put)>,
    /// Datasets that are back at the source: they are no longer missing.
    pub back: Vec<DatasetName>,
}

impl Negotiation {
    /// Those of these datasets of the target that the source has no more, in tree order.
    #[must_use]
    pub fn only_there<'a>(&self, names: impl IntoIterator<Item = &'a DatasetName>) -> Vec<DatasetName> {
        let mut paths: Vec<RelPath> = names
            .into_iter()
            .filter_map(|name| name.below(&self.target))
            .filter(|path| path.depth() > 0 && self.filter.selects(path) && !self.has(path))
            .collect();
        paths.sort();
        paths.into_iter().filter_map(|path| self.target.join(&path).ok()).filter(|name| !self.is_moving(name)).collect()
    }

    /// Snapshots that only the target has, of datasets that both sides have: older than the newest common one, so that what a push
    /// reports as a conflict is not told twice.
    #[must_use]
    pub fn snapshots_only_there(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
    ) -> Vec<(DatasetName, Vec<SnapshotName>)> {
        let of = |item: &Item| {
            let names =
                only_there(item, there.get(&item.target_name)?).map(|version| version.snapshot_name()).collect();
            Some((item.target_name.clone(), names))
        };
        self.items.iter().filter_map(of).filter(|(_, names): &(_, Vec<_>)| !names.is_empty()).collect()
    }

    /// Those of these targets' snapshots that the source has anywhere: what was renamed there, and has been sent anew.
    fn guids_among<'a>(&self, targets: impl Iterator<Item = &'a TargetDataset>) -> HashSet<Guid> {
        let theirs: HashSet<Guid> = targets.flat_map(|target| target.snapshots.iter()).map(|one| one.guid).collect();
        let here = self.items.iter().flat_map(|item| item.source.snapshots.iter().chain(item.source.bookmarks.iter()));
        here.map(|version| version.guid).filter(|guid| theirs.contains(guid)).collect()
    }

    /// Whether the source has a dataset, selected or not.
    fn has(&self, path: &RelPath) -> bool {
        self.find(path).is_some() || self.unselected.contains(path)
    }

    /// What is missing at the source, given all that the target has.
    #[must_use]
    pub fn missing(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &Mirror,
    ) -> Missing {
        let mut missing = Missing::default();
        let none = Notes::default();
        for item in &self.items {
            let Some(target) = there.get(&item.target_name) else { continue };
            let notes = notes.get(&item.target_name).unwrap_or(&none);
            if notes.since.is_some() {
                missing.back.push(item.target_name.clone());
            }
            let Some(common) = newest_common(&item.source, target) else { continue };
            let ours = notes.put.as_ref().filter(|put| put.by == mirror.by);
            let known = Known::new(target, ours, &mirror.format);
            let (mut goes, mut foreign) = (Vec::new(), Vec::new());
            for version in only_there(item, target) {
                let list = if known.put(&version) { &mut goes } else { &mut foreign };
                list.push((version.snapshot_name(), version.guid));
            }
            // What bears a name of ours needs no place in the list.
            let put = Put {
                by: mirror.by,
                upto: common.there.guid,
                txg: Some(common.there.txg),
                foreign: foreign.iter().map(|(_, guid)| *guid).collect(),
            };
            if put.foreign.len() <= MAX_FOREIGN && notes.put.as_ref() != Some(&put) {
                missing.puts.push((item.target_name.clone(), put));
            }
            if mirror.snapshots && !goes.is_empty() {
                missing.snapshots.push((item.target_name.clone(), goes));
            }
            if mirror.snapshots && !foreign.is_empty() {
                let names = foreign.into_iter().map(|(name, _)| name).collect();
                missing.foreign.push((item.target_name.clone(), names));
            }
        }
        if mirror.datasets {
            self.doom(there, notes, mirror, &mut missing);
        }
        missing
    }

    /// Goes through what only the target has, from below.
    fn doom(
        &self,
        there: &HashMap<DatasetName, TargetDataset>,
        notes: &HashMap<DatasetName, Notes>,
        mirror: &Mirror,
        missing: &mut Missing,
    ) {
        let only_there = self.only_there(there.keys());
        let doomed: HashSet<&DatasetName> = only_there.iter().collect();
        // Parents of what stays: that can be something that isn't selected, too.
        let mut holding: HashSet<DatasetName> =
            there.keys().filter(|name| !doomed.contains(name)).flat_map(DatasetName::ancestors).collect();
        let here = self.guids_among(only_there.iter().filter_map(|name| there.get(name)));
        let none = Notes::default();
        for name in only_there.iter().rev() {
            let (Some(target), notes) = (there.get(name), notes.get(name).unwrap_or(&none)) else { continue };
            let renamed = self.renamed_from(name).map(|to| Stays::Renamed(to.clone()));
            let below = holding.contains(name).then_some(Stays::Below);
            if let Some(stays) = renamed.or(below).or_else(|| stays(name, target, notes, mirror, &here)) {
                holding.extend(name.ancestors());
                missing.stay.push((name.clone(), stays));
            } else {
                let snapshots = target.snapshots.iter().map(|version| version.guid).collect();
                missing.datasets.push(Doomed { dataset: name.clone(), snapshots, since: notes.since });
            }
        }
        missing.stay.reverse();
    }
}

/// The snapshots that only the target has, of those before the newest common one; none without that.
fn only_there<'a>(item: &'a Item, target: &'a TargetDataset) -> impl Iterator<Item = Version<'a>> {
    let common = newest_common(&item.source, target);
    let here: HashSet<Guid> = match &common {
        Some(_) => item.source.snapshots.iter().chain(item.source.bookmarks.iter()).map(|one| one.guid).collect(),
        None => HashSet::new(),
    };
    let before = common.map_or(Txg(0), |common| common.there.txg);
    target.snapshots.iter().filter(move |version| version.txg < before && !here.contains(&version.guid))
}

/// Why a dataset that only the target has stays, going by itself alone. `here`: snapshots of it that the source has elsewhere.
fn stays(
    name: &DatasetName,
    target: &TargetDataset,
    notes: &Notes,
    mirror: &Mirror,
    here: &HashSet<Guid>,
) -> Option<Stays> {
    if is_set_aside(name) {
        return Some(Stays::SetAside);
    }
    if target.snapshots.is_empty() {
        return match notes {
            Notes { placeholder: true, .. } => None,
            Notes { put: Some(_), .. } => Some(Stays::NoSnapshots),
            _ => Some(Stays::NotOurs),
        };
    }
    match &notes.put {
        None => return Some(Stays::NotOurs),
        Some(put) if put.by != mirror.by => return Some(Stays::OfAnother),
        Some(_) => {}
    }
    let known = Known::new(target, notes.put.as_ref(), &mirror.format);
    let foreign: Vec<SnapshotName> = target
        .snapshots
        .iter()
        .filter(|version| !known.put(version) && !here.contains(&version.guid))
        .map(|version| version.snapshot_name())
        .collect();
    (!foreign.is_empty()).then_some(Stays::Foreign(foreign))
}

/// Whether this, or what it lies in, has a name that `--set-aside` gives.
fn is_set_aside(name: &DatasetName) -> bool {
    name.as_str().split('/').any(|part| {
        let stamp = part.rsplit_once(".zfsync-").map(|(_, stamp)| stamp.as_bytes());
        stamp.is_some_and(|stamp| {
            stamp.len() == 15
                && stamp
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| if at == 8 { *byte == b'-' } else { byte.is_ascii_digit() })
        })
    })
}

/// Tells which snapshots zfsync has put there.
struct Known<'a> {
    upto: Option<Txg>,
    foreign: &'a [Guid],
    format: &'a Format,
}

impl<'a> Known<'a> {
    fn new(target: &TargetDataset, put: Option<&'a Put>, format: &'a Format) -> Self {
        let upto = put.and_then(|put| {
            let there = target.snapshots.iter().find(|version| version.guid == put.upto);
            there.map(|version| version.txg).or(put.txg)
        });
        Self { upto, foreign: put.map_or(&[], |put| &put.foreign), format }
    }

    fn put(&self, version: &Version<'_>) -> bool {
        let received = self.upto.is_some_and(|upto| version.txg <= upto) && !self.foreign.contains(&version.guid);
        received || self.format.parse(version.name).is_some()
    }
}

/// What is to be done now about what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Datasets that go, those below before those above.
    pub datasets: Vec<Doomed>,
    /// Snapshots that go.
    pub snapshots: Vec<(DatasetName, Vec<(SnapshotName, Guid)>)>,
    /// Datasets and snapshots that are noted as missing from now on.
    pub noted: Vec<String>,
    /// How many datasets have to wait.
    pub datasets_wait: usize,
    /// How many snapshots have to wait.
    pub snapshots_wait: usize,
    /// When the next of those may go, in seconds since 1970.
    pub next: Option<i64>,
}

impl Missing {
    /// The full names of the snapshots of which it matters since when they are missing.
    #[must_use]
    pub fn undated(&self) -> Vec<String> {
        let names = |(dataset, snapshots): &(DatasetName, Vec<(SnapshotName, Guid)>)| {
            snapshots.iter().map(|(name, _)| dataset.at(name.as_str())).collect::<Vec<_>>()
        };
        self.snapshots.iter().flat_map(names).collect()
    }

    /// What goes now, and what has to wait. `since` tells of snapshots since when they are missing.
    #[must_use]
    pub fn due(&self, since: &HashMap<String, i64>, now: i64, grace: Duration) -> Due {
        let mut due = Due::default();
        let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        // Above what has to wait everything waits.
        let mut waiting: HashSet<DatasetName> = HashSet::new();
        for doomed in &self.datasets {
            let is_due = due.is_due(doomed.dataset.as_str(), doomed.since, now, grace);
            if is_due && !waiting.contains(&doomed.dataset) {
                due.datasets.push(doomed.clone());
            } else {
                waiting.extend(doomed.dataset.ancestors());
                due.datasets_wait += 1;
            }
        }
        for (dataset, snapshots) in &self.snapshots {
            let (mut goes, all) = (Vec::new(), snapshots.len());
            for (name, guid) in snapshots {
                let full = dataset.at(name.as_str());
                if due.is_due(&full, since.get(&full).copied(), now, grace) {
                    goes.push((name.clone(), *guid));
                }
            }
            due.snapshots_wait += all - goes.len();
            if !goes.is_empty() {
                due.snapshots.push((dataset.clone(), goes));
            }
        }
        due
    }
}

impl Due {
    fn is_due(&mut self, name: &str, since: Option<i64>, now: i64, grace: i64) -> bool {
        if grace == 0 {
            return true;
        }
        // A time to come is one of a clock that was wrong.
        let since = since.filter(|since| *since <= now).unwrap_or_else(|| {
            self.noted.push(name.to_owned());
            now
        });
        let end = since.saturating_add(grace);
        if end > now {
            self.next = Some(self.next.map_or(end, |next| next.min(end)));
        }
        end <= now
    }
}

#[cfg(test)]
#[path = "missing_tests.rs"]
mod tests;

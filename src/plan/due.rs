//! What of the missing goes now: only what has been missing for the grace, and never so much that a mistake is the likelier reason.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use super::max_delete::MaxDelete;
use super::missing::{Doomed, Missing};
use super::negotiate::Negotiation;
use super::not_destroyed::NotDestroyed;
use super::{SourceDataset, TargetDataset};
use zfs::name::{DatasetName, Guid, RelPath, SnapshotName};

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

/// More would go than may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooMuch {
    datasets: (usize, usize),
    snapshots: (usize, usize),
    max: MaxDelete,
    /// All that would go, by its full name.
    pub names: Vec<String>,
}

impl TooMuch {
    /// For the last words of a run.
    #[must_use]
    pub fn in_short(&self) -> String {
        format!("{} not destroyed: more than --max-delete", self.names.len())
    }
}

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { datasets, snapshots, max, .. } = self;
        write!(
            f,
            "{} of {} datasets and {} of {} snapshots would be destroyed on the target, more than --max-delete allows ({max}): \
             nothing is destroyed. If this is intended, allow more: --max-delete N or N%",
            datasets.0, datasets.1, snapshots.0, snapshots.1
        )
    }
}

/// So many snapshots of the target tell whether a clock is behind.
const DATED: usize = 100;

/// More than so many seconds apart, one of two clocks is wrong: of so many, or of a shorter grace, but a minute is nothing.
const APART: i64 = 3600;

/// The clocks of both sides, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// This machine's.
    here: i64,
    /// How much the target's is ahead, as far as that is known.
    ahead: Option<i64>,
}

impl Clocks {
    /// What both said at the same time.
    #[must_use]
    pub fn new(here: i64, there: Option<i64>) -> Self {
        Self { here, ahead: there.map(|there| there.saturating_sub(here)) }
    }

    /// The same, later by this machine's clock.
    #[must_use]
    pub fn at(self, here: i64) -> Self {
        Self { here, ..self }
    }

    /// The earlier of both: nothing goes too early because one is ahead.
    #[must_use]
    pub fn now(self) -> i64 {
        self.here.saturating_add(self.ahead.unwrap_or(0).min(0))
    }

    /// So many seconds apart they may be.
    fn tolerated(grace: Duration) -> i64 {
        i64::try_from(grace.as_secs()).unwrap_or(i64::MAX).clamp(60, APART)
    }

    /// The same if one of these snapshots was made in time to come: then the clocks may agree and be behind, and a time that is noted now
    /// would let the grace end too early. Or the clock of the host that took it was ahead: its time comes with the stream.
    #[must_use]
    pub fn behind(self, dates: &[(String, i64)], grace: Duration) -> Option<String> {
        let (name, date) = dates.iter().filter(|_| !grace.is_zero()).max_by_key(|(_, date)| *date)?;
        let early = date.saturating_sub(self.now());
        if early <= Self::tolerated(grace) {
            return None;
        }
        Some(format!(
            "nothing that is missing on the source is destroyed on the target: {name} was made {early} seconds after the time that the \
             clocks show, so the end of --grace can't be determined. Check the clocks of both hosts, and of the one that took the snapshot; \
             if they are right now, nothing is destroyed until that time has passed"
        ))
    }

    /// Why a grace can't be told from these clocks, where they differ so much.
    #[must_use]
    pub fn wrong(self, grace: Duration) -> Option<String> {
        let ahead = self.ahead.filter(|_| !grace.is_zero())?;
        let limit = Self::tolerated(grace);
        let apart = ahead.checked_abs().unwrap_or(i64::MAX);
        (apart > limit).then(|| {
            let which = if ahead > 0 { "ahead of" } else { "behind" };
            format!(
                "nothing that is missing on the source is destroyed on the target: its clock is {apart} seconds {which} this machine's, so \
                 the end of --grace can't be determined (set the clocks)"
            )
        })
    }
}

/// Since when things are missing, and since when they exist.
#[derive(Debug, Clone, Copy)]
pub struct Times<'a> {
    /// When snapshots were first found missing, by their full names, as far as that is noted.
    pub since: &'a HashMap<String, i64>,
    /// When snapshots were made, as far as that is known.
    pub made: &'a HashMap<String, i64>,
    /// In seconds since 1970, as all of them.
    pub now: i64,
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

    /// The snapshots whose age tells whether what was noted can be right: of what would go now. Nothing was missing before it was
    /// made.
    #[must_use]
    pub fn witnesses(&self, since: &HashMap<String, i64>, now: i64, grace: Duration) -> Vec<String> {
        let over = |since: Option<i64>| since.is_some_and(|since| ends(since, grace) <= now);
        let datasets = self.datasets.iter().filter(|doomed| over(doomed.since));
        let newest = datasets.filter_map(|doomed| Some(doomed.dataset.at(doomed.newest.as_ref()?.as_str())));
        newest.chain(self.undated().into_iter().filter(|name| over(since.get(name).copied()))).collect()
    }

    /// What goes now, and what has to wait.
    #[must_use]
    pub fn due(&self, times: Times<'_>, grace: Duration) -> Due {
        let mut due = Due::default();
        // Above what has to wait everything waits.
        let mut waiting: HashSet<DatasetName> = HashSet::new();
        for doomed in &self.datasets {
            let made = match &doomed.newest {
                Some(newest) => times.made.get(&doomed.dataset.at(newest.as_str())).copied(),
                None => Some(i64::MIN),
            };
            let is_due = due.is_due(doomed.dataset.as_str(), doomed.since, made, times.now, grace);
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
                let (since, made) = (times.since.get(&full).copied(), times.made.get(&full).copied());
                if due.is_due(&full, since, made, times.now, grace) {
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

/// The snapshots of the target whose dates tell whether a clock is behind: the newest, one of each name, as those that are taken
/// together have the same date.
#[must_use]
pub fn dated<S: BuildHasher>(there: &HashMap<DatasetName, TargetDataset, S>) -> Vec<String> {
    let mut newest = BTreeSet::new();
    let mut by_name = HashMap::new();
    for (dataset, target) in there {
        for version in target.snapshots.iter().rev() {
            let one = (version.txg, version.name, dataset);
            // Those before it are older.
            if newest.len() >= DATED && newest.first().is_some_and(|oldest| one < *oldest) {
                break;
            }
            if by_name.get(version.name).is_some_and(|known| *known >= one) {
                continue;
            }
            if let Some(known) = by_name.insert(version.name, one) {
                newest.remove(&known);
            }
            newest.insert(one);
            if newest.len() > DATED
                && let Some((_, oldest, ..)) = newest.pop_first()
            {
                by_name.remove(oldest);
            }
        }
    }
    newest.into_iter().rev().map(|(_, name, dataset)| dataset.at(name)).collect()
}

/// When something may go that is missing since then.
fn ends(since: i64, grace: Duration) -> i64 {
    since.saturating_add(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX))
}

impl Negotiation {
    /// Takes out of what goes whatever a later listing of all of the source has again; the datasets of it, and why they stay.
    pub fn keep_what_is_back(&self, due: &mut Due, now: &[SourceDataset]) -> Vec<(DatasetName, NotDestroyed)> {
        let versions = |dataset: &'_ SourceDataset| -> Vec<Guid> {
            dataset.snapshots.iter().chain(dataset.bookmarks.iter()).map(|version| version.guid).collect()
        };
        let before = self.items.iter().map(|item| &item.source).chain(self.unselected.values());
        let before: HashSet<Guid> = before.flat_map(versions).collect();
        let new: HashSet<Guid> = now.iter().flat_map(versions).filter(|guid| !before.contains(guid)).collect();
        let now: HashMap<&RelPath, &SourceDataset> = now.iter().map(|dataset| (&dataset.path, dataset)).collect();
        let there = |name: &DatasetName| name.below(&self.target).and_then(|path| now.get(&path).copied());
        let mut stay: Vec<(DatasetName, NotDestroyed)> = Vec::new();
        // What lies above something that stays.
        let mut holding: HashSet<DatasetName> = HashSet::new();
        due.datasets.retain(|doomed| {
            let is_back =
                there(&doomed.dataset).is_some() || doomed.snapshots.iter().any(|(_, guid)| new.contains(guid));
            let holds = holding.contains(&doomed.dataset);
            if is_back || holds {
                holding.extend(doomed.dataset.ancestors());
                stay.push((doomed.dataset.clone(), if is_back { NotDestroyed::Back } else { NotDestroyed::Below }));
            }
            !is_back && !holds
        });
        for (dataset, snapshots) in &mut due.snapshots {
            let here: HashSet<Guid> = there(dataset).map(versions).unwrap_or_default().into_iter().collect();
            snapshots.retain(|(_, guid)| !here.contains(guid) && !new.contains(guid));
        }
        due.snapshots.retain(|(_, snapshots)| !snapshots.is_empty());
        stay
    }
}

impl Due {
    /// `made`: what existed then was not missing yet; unknown, it proves nothing.
    fn is_due(&mut self, name: &str, since: Option<i64>, made: Option<i64>, now: i64, grace: Duration) -> bool {
        if grace.is_zero() {
            return true;
        }
        // A time to come, or one before there was anything to miss, is one of a clock that was wrong.
        let right =
            |since: &i64| *since <= now && (ends(*since, grace) > now || made.is_some_and(|made| made <= *since));
        let since = since.filter(right).unwrap_or_else(|| {
            self.noted.push(name.to_owned());
            now
        });
        let end = ends(since, grace);
        if end > now {
            self.next = Some(self.next.map_or(end, |next| next.min(end)));
        }
        end <= now
    }

    /// Whether that is more than may go, of so many datasets and snapshots that the target has. The snapshots of datasets that go
    /// count too.
    #[must_use]
    pub fn too_much(&self, total: (usize, usize), max: MaxDelete) -> Option<TooMuch> {
        let single: usize = self.snapshots.iter().map(|(_, some)| some.len()).sum();
        let snapshots = single + self.datasets.iter().map(|doomed| doomed.snapshots.len()).sum::<usize>();
        let datasets = self.datasets.len();
        if datasets <= max.of(total.0) && snapshots <= max.of(total.1) {
            return None;
        }
        let names = self.datasets.iter().map(|doomed| doomed.dataset.to_string());
        let each = |(dataset, some): &(DatasetName, Vec<(SnapshotName, Guid)>)| {
            some.iter().map(|(name, _)| dataset.at(name.as_str())).collect::<Vec<_>>()
        };
        let names = names.chain(self.snapshots.iter().flat_map(each)).collect();
        Some(TooMuch { datasets: (datasets, total.0), snapshots: (snapshots, total.1), max, names })
    }
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;

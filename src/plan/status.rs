//! How far targets are behind their source: what both sides have of each dataset is compared, and judged by limits. Nothing
//! here needs more than lists and dates; what time it is now is told from outside.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::time::Duration;

use serde::Serialize;

use super::diff::{Common, full, newest_common};
use super::step::{BaseKind, Step};
use super::{Filter, Last, LastRun, Nothing};
use super::{SourceDataset, TargetDataset};
use zfs::Version;
use zfs::name::{DatasetName, RelPath, SnapshotName};

/// How far a dataset is on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    /// The source's newest snapshot is there.
    InSync,
    /// An older one is.
    Behind,
    /// A receive is under way, or was cut and can be gone on with.
    Partial,
    /// It can't go on without a loss, as far as both lists tell.
    Conflict,
    /// It isn't there, or is empty.
    Missing,
    /// It is there and not on the source.
    TargetOnly,
    /// The source has nothing to send.
    NoSnapshots,
}

impl SyncState {
    /// All of them, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Conflict, Self::Missing, Self::Partial, Self::Behind, Self::NoSnapshots, Self::TargetOnly, Self::InSync];

    /// For programs.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Behind => "behind",
            Self::Partial => "partial",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::TargetOnly => "target_only",
            Self::NoSnapshots => "no_snapshots",
        }
    }
}

/// Why a dataset is in conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clash {
    /// Both sides have snapshots; none is common.
    NoCommon,
    /// The target has no snapshot, but data (or ZFS can't tell that it has none).
    DataWithoutSnapshots,
    /// The target was written to since the newest common snapshot, which is its newest.
    Modified,
    /// The target has snapshots of its own after the newest common one, and changed data (or nobody has told that it didn't).
    Diverged,
    /// The newest common snapshot is newer than all that the source still has.
    Ahead,
    /// Snapshots that the target lacks have the names of others there.
    NameTaken,
}

/// The host that can tell something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRole {
    /// That of the source.
    Sender,
    /// That of the target.
    Receiver,
}

/// A snapshot and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Its name.
    pub name: SnapshotName,
    /// Seconds since 1970, as soon as somebody has told.
    pub creation: Option<i64>,
    /// Who is to be asked for that, and for which full name.
    pub asked: (HostRole, String),
}

/// What a dataset is that has diverged, should its target have changed no data since the newest common snapshot: a push goes on then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchanged {
    /// The newest common snapshot on the target, by its full name.
    pub since: String,
    verdict: (SyncState, Option<Clash>, Vec<SnapshotName>),
    steps: Vec<Step>,
}

/// One dataset on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetStatus {
    /// The source's dataset; for one that only the target has, how it would be called.
    pub dataset: String,
    /// The target's.
    pub target: String,
    /// What it is there.
    pub state: SyncState,
    /// Why it is in conflict.
    pub clash: Option<Clash>,
    /// The snapshots that this is about: the target's own ones, or those whose names are taken.
    pub own: Vec<SnapshotName>,
    /// What it is instead, if the target's host tells that no data was changed.
    pub unchanged: Option<Box<Unchanged>>,
    /// Whether the target has partially received state, whatever the state.
    pub partial: bool,
    /// How many bytes were written to the target since its newest snapshot, as far as its host tells.
    pub written: Option<u64>,
    /// The source's newest snapshot.
    pub newest_here: Option<Moment>,
    /// The target's newest snapshot.
    pub newest_there: Option<Moment>,
    /// The newest that both have.
    pub common: Option<Moment>,
    /// The oldest that the target lacks, of those newer than the common one.
    pub oldest_lacking: Option<Moment>,
    /// How many the target lacks of those.
    pub lacking: usize,
    /// What would have to be sent.
    pub steps: Vec<Step>,
    /// How many bytes that is, if somebody has asked.
    pub bytes: Option<u64>,
    /// What became of it in the last run, if somebody remembers.
    pub last: Option<Last>,
}

/// A target, and what was found there or why nothing was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetStatus {
    /// As the user has named it.
    pub target: String,
    /// Its datasets in tree order; or why it can't be reached.
    pub found: Result<Vec<DatasetStatus>, String>,
    /// Whether the results of runs are kept.
    pub kept: bool,
    /// The last run, if somebody remembers.
    pub last_run: Option<LastRun>,
}

/// All targets of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The top of the tree.
    pub source: DatasetName,
    /// When this was found out, in seconds since 1970.
    pub now: i64,
    /// By what it is judged.
    pub limits: Limits,
    /// The targets as they were named.
    pub targets: Vec<TargetStatus>,
}

/// How far behind in time a dataset may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Beyond this is a warning.
    pub warn: Option<Duration>,
    /// Beyond this is critical.
    pub crit: Option<Duration>,
}

/// How bad it is, as monitoring systems have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Ok,
    /// Nobody can say: there is nothing that could be replicated.
    Unknown,
    /// Somebody should have a look.
    Warning,
    /// Something is wrong.
    Critical,
}

impl Limits {
    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.warn.is_some() || self.crit.is_some()
    }

    /// What being behind for so many seconds means. A time that nobody could tell is beyond the lower limit.
    fn judge(&self, behind: Option<u64>) -> Level {
        let beyond = |limit: Option<Duration>| limit.is_some_and(|limit| behind.is_some_and(|s| s > limit.as_secs()));
        match behind {
            None if self.warn.is_some() => Level::Warning,
            None if self.crit.is_some() => Level::Critical,
            _ if beyond(self.crit) => Level::Critical,
            _ if beyond(self.warn) => Level::Warning,
            _ => Level::Ok,
        }
    }
}

impl DatasetStatus {
    /// For how many seconds the target has been lacking something: the age of the oldest snapshot that it lacks, 0 when it
    /// lacks none. So a dataset that gets no snapshots is never behind. `None` where it makes no sense or can't be told.
    #[must_use]
    pub fn behind(&self, now: i64) -> Option<u64> {
        match (self.state, &self.oldest_lacking) {
            (SyncState::TargetOnly | SyncState::NoSnapshots, _) => None,
            (_, None) => Some(0),
            (_, Some(oldest)) => Some(age(oldest.creation?, now)),
        }
    }

    /// The time from the newest common snapshot to the source's newest one, in seconds.
    #[must_use]
    pub fn gap(&self) -> Option<u64> {
        Some(age(self.common.as_ref()?.creation?, self.newest_here.as_ref()?.creation?))
    }

    /// Whether the source has something to send, and so a copy is expected.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        !matches!(self.state, SyncState::TargetOnly | SyncState::NoSnapshots)
    }

    /// Whether the target was written to, so that no increment can be received on top of its newest snapshot.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.is_replicated() && self.written.is_some_and(|written| written > 0)
    }

    /// How bad it is.
    #[must_use]
    pub fn level(&self, limits: &Limits, now: i64) -> Level {
        match self.state {
            SyncState::Conflict | SyncState::Missing => Level::Critical,
            SyncState::Behind | SyncState::Partial => limits.judge(self.behind(now)),
            SyncState::InSync | SyncState::TargetOnly | SyncState::NoSnapshots => Level::Ok,
        }
    }

    fn moments(&mut self) -> impl Iterator<Item = &mut Moment> {
        [&mut self.newest_here, &mut self.newest_there, &mut self.common, &mut self.oldest_lacking]
            .into_iter()
            .flatten()
    }

    /// The full names of the snapshots whose dates are to be asked for on a side.
    #[must_use]
    pub fn undated(&self, side: HostRole) -> Vec<String> {
        let all = [&self.newest_here, &self.newest_there, &self.common, &self.oldest_lacking].into_iter().flatten();
        all.filter(|moment| moment.asked.0 == side).map(|moment| moment.asked.1.clone()).collect()
    }

    /// Takes what was written to the target since its newest common snapshot, by the full name of that, as its host has told.
    pub fn changed(&mut self, written: &HashMap<String, u64>) {
        let Some(unchanged) = self.unchanged.take_if(|unchanged| written.get(&unchanged.since) == Some(&0)) else {
            return;
        };
        (self.state, self.clash, self.own) = unchanged.verdict;
        self.steps = unchanged.steps;
    }

    /// Takes the dates that a side has told.
    pub fn date(&mut self, side: HostRole, dates: &HashMap<String, i64>) {
        for moment in self.moments().filter(|moment| moment.asked.0 == side) {
            moment.creation = dates.get(&moment.asked.1).copied();
        }
    }
}

impl TargetStatus {
    /// How bad it is: the worst of its datasets, that it can't be reached, or that there is nothing to compare.
    #[must_use]
    pub fn level(&self, limits: &Limits, now: i64) -> Level {
        let worst = |all: &Vec<DatasetStatus>| {
            let replicated = all.iter().filter(|one| one.is_replicated());
            replicated.map(|one| one.level(limits, now)).max().unwrap_or(Level::Unknown)
        };
        self.found.as_ref().map_or(Level::Critical, worst)
    }
}

impl Status {
    /// Why there is nothing to replicate, where that is so.
    #[must_use]
    pub fn nothing(&self) -> Option<Nothing> {
        let rows = self.targets.iter().find_map(|target| target.found.as_ref().ok())?;
        let selected = rows.iter().filter(|row| row.state != SyncState::TargetOnly).count();
        Nothing::of(&self.source, selected, rows.iter().filter(|row| row.state == SyncState::NoSnapshots).count())
    }

    /// How bad it is: the worst of all.
    #[must_use]
    pub fn level(&self) -> Level {
        self.targets.iter().map(|target| target.level(&self.limits, self.now)).max().unwrap_or(Level::Ok)
    }
}

fn age(then: i64, now: i64) -> u64 {
    // Another clock may be ahead.
    u64::try_from(now.saturating_sub(then)).unwrap_or(0)
}

/// Compares the datasets of a source (those that `filter` selects) with the whole tree of a target, in tree order.
#[must_use]
pub fn compare<S: BuildHasher>(
    (source, datasets): (&DatasetName, &[SourceDataset]),
    (target, there): (&DatasetName, &HashMap<DatasetName, TargetDataset, S>),
    filter: &Filter,
) -> Vec<DatasetStatus> {
    let mut all: Vec<(RelPath, DatasetStatus)> = Vec::new();
    for dataset in datasets {
        let place = Place::new(source, target, &dataset.path);
        let found = target.join(&dataset.path).ok().and_then(|name| there.get(&name));
        all.push((dataset.path.clone(), place.compare(dataset, found)));
    }
    let known: HashSet<&RelPath> = datasets.iter().map(|dataset| &dataset.path).collect();
    for (name, dataset) in there {
        let Some(path) = name.below(target) else { continue };
        if !known.contains(&path) && filter.selects(&path) {
            let row = Place::new(source, target, &path).only_there(dataset);
            all.push((path, row));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, row)| row).collect()
}

/// A dataset's names on both sides. They may be too long to exist.
struct Place {
    here: String,
    there: String,
}

impl Place {
    fn new(source: &DatasetName, target: &DatasetName, path: &RelPath) -> Self {
        let full = |top: &DatasetName| match path.as_str() {
            "" => top.to_string(),
            path => format!("{top}/{path}"),
        };
        Self { here: full(source), there: full(target) }
    }

    fn moment(&self, side: HostRole, name: &str, shown: &str) -> Moment {
        let dataset = if side == HostRole::Sender { &self.here } else { &self.there };
        let asked = (side, format!("{dataset}@{name}"));
        Moment { name: SnapshotName::from_checked(shown), creation: None, asked }
    }

    fn here(&self, version: Version<'_>) -> Moment {
        self.moment(HostRole::Sender, version.name, version.name)
    }

    fn there(&self, version: Version<'_>) -> Moment {
        self.moment(HostRole::Receiver, version.name, version.name)
    }

    fn row(&self, state: SyncState) -> DatasetStatus {
        DatasetStatus {
            dataset: self.here.clone(),
            target: self.there.clone(),
            state,
            clash: None,
            own: Vec::new(),
            unchanged: None,
            partial: false,
            written: None,
            newest_here: None,
            newest_there: None,
            common: None,
            oldest_lacking: None,
            lacking: 0,
            steps: Vec::new(),
            bytes: None,
            last: None,
        }
    }

    fn only_there(&self, there: &TargetDataset) -> DatasetStatus {
        let newest_there = there.snapshots.newest().map(|version| self.there(version));
        DatasetStatus { partial: there.partial, newest_there, ..self.row(SyncState::TargetOnly) }
    }

    fn compare(&self, source: &SourceDataset, there: Option<&TargetDataset>) -> DatasetStatus {
        let common = there.and_then(|there| newest_common(source, there));
        let lacking = |version: &Version<'_>| common.as_ref().is_none_or(|common| version.txg > common.version.txg);
        let mut row = self.row(SyncState::NoSnapshots);
        row.newest_here = source.snapshots.newest().map(|version| self.here(version));
        row.oldest_lacking = source.snapshots.iter().find(lacking).map(|version| self.here(version));
        row.lacking = source.snapshots.iter().filter(lacking).count();
        row.common = common.as_ref().map(|common| match common.kind {
            BaseKind::Snapshot => self.here(common.version),
            // A bookmark's snapshot is left on the target only.
            BaseKind::Bookmark => self.there(common.there),
        });
        if let Some(there) = there {
            row.partial = there.partial;
            row.written = there.written.filter(|_| !there.snapshots.is_empty());
            row.newest_there = there.snapshots.newest().map(|newest| self.newest_there(source, newest));
        }
        (row.state, row.clash, row.own) = judge(source, there, common.as_ref());
        let is_behind = |state| matches!(state, SyncState::Behind | SyncState::Partial | SyncState::Missing);
        // A raw increment needs the newest snapshot as its base.
        if let (Some(Clash::Diverged), Some(there), Some(common)) = (row.clash, there, &common)
            && !there.encryption.is_on()
        {
            let (since, verdict) = (format!("{}@{}", self.there, common.there.name), arriving(source, there, common));
            let steps = if is_behind(verdict.0) { common.steps(source, false) } else { Vec::new() };
            row.unchanged = Some(Box::new(Unchanged { since, verdict, steps }));
        }
        if is_behind(row.state) {
            row.steps = common.map_or_else(|| full(source, false), |common| common.steps(source, false));
        }
        row
    }

    /// A snapshot keeps its date when it is sent, so what the source has too needs no question to the target.
    fn newest_there(&self, source: &SourceDataset, newest: Version<'_>) -> Moment {
        let same = source.snapshots.iter().rev().find(|version| version.guid == newest.guid);
        same.map_or_else(|| self.there(newest), |same| self.moment(HostRole::Sender, same.name, newest.name))
    }
}

/// The state of a dataset of the source; with a conflict also why, and the snapshots that it is about.
fn judge(
    source: &SourceDataset,
    there: Option<&TargetDataset>,
    common: Option<&Common<'_>>,
) -> (SyncState, Option<Clash>, Vec<SnapshotName>) {
    let clear = |state| (state, None, Vec::new());
    let conflict = |clash, own| (SyncState::Conflict, Some(clash), own);
    let Some(newest) = source.snapshots.newest() else { return clear(SyncState::NoSnapshots) };
    let Some(there) = there else { return clear(SyncState::Missing) };
    if there.snapshots.iter().any(|version| version.guid == newest.guid) {
        return clear(SyncState::InSync);
    }
    let Some(common) = common else {
        return match () {
            () if !there.snapshots.is_empty() => conflict(Clash::NoCommon, Vec::new()),
            () if there.partial => clear(SyncState::Partial),
            () if there.empty => clear(SyncState::Missing),
            () => conflict(Clash::DataWithoutSnapshots, Vec::new()),
        };
    };
    if common.version.txg > newest.txg {
        return conflict(Clash::Ahead, Vec::new());
    }
    let own: Vec<SnapshotName> =
        there.snapshots.iter().filter(|v| v.txg > common.there.txg).map(|v| v.snapshot_name()).collect();
    if !own.is_empty() {
        return conflict(Clash::Diverged, own);
    }
    let verdict = arriving(source, there, common);
    // What was partially received may have been there first.
    if verdict.0 == SyncState::Behind && there.written.is_some_and(|written| written > 0) {
        return conflict(Clash::Modified, Vec::new());
    }
    verdict
}

/// The state of a dataset that nothing of the target's own stands against, unless it is a name.
fn arriving(
    source: &SourceDataset,
    there: &TargetDataset,
    common: &Common<'_>,
) -> (SyncState, Option<Clash>, Vec<SnapshotName>) {
    let names: HashSet<&str> = there.snapshots.iter().map(|version| version.name).collect();
    let arriving = source.snapshots.iter().filter(|version| version.txg > common.version.txg);
    let taken: Vec<SnapshotName> =
        arriving.filter(|version| names.contains(version.name)).map(|version| version.snapshot_name()).collect();
    if !taken.is_empty() {
        return (SyncState::Conflict, Some(Clash::NameTaken), taken);
    }
    (if there.partial { SyncState::Partial } else { SyncState::Behind }, None, Vec::new())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

//! First contact: TARGET holds something else, and nothing there shows that it was ever a copy of SOURCE. It may have been named by
//! mistake, such as one level too high, so nothing is sent to lie beside what is there, unless the user has said what to do with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::blocked::Blocked;
use super::conflict::{Beside, Conflict, ConflictKind, some_of};
use super::diff::{diff, newest_common};
use super::foresee::from_the_start;
use super::item::{Item, OnTarget};
use super::missing::Notes;
use super::negotiate::Negotiation;
use super::placement::{Placement, PlannedDataset};
use super::restore::comes_back;
use super::verdict::Verdict;
use zfs::name::{DatasetName, RelPath};
use zfs::{Kind, Put, place};

/// Where a dataset of the target has come from, as zfsync has recorded on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing is recorded.
    Unrecorded,
    /// From this source, or with the tree of a dataset above it, for this place as far as that is recorded.
    ThisSource,
    /// From this source, for another place.
    AnotherPlace,
    /// From another one.
    AnotherSource,
}

/// What is recorded on the target, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Records {
    origins: HashMap<DatasetName, Origin>,
    /// Whether something was received into TARGET's tree as a part of SOURCE: TARGET is the right one.
    in_place: bool,
    /// A dataset below TARGET that has come from SOURCE itself.
    copy: Option<DatasetName>,
    /// A dataset below TARGET that doesn't exist, in which SOURCE would find its place.
    vacant: Option<DatasetName>,
    /// What was asked for of what lies below it: TARGET, or tops that are empty.
    asked: HashSet<DatasetName>,
    /// Tops that are empty and about to be filled.
    filled: HashSet<DatasetName>,
    /// Datasets below these that are not known to be copies of SOURCE's, sorted.
    others: Vec<DatasetName>,
    /// The same, sorted, as far as they were asked for: they would stay below what `--replace` destroys, and be in a copy then.
    staying: Option<Vec<DatasetName>>,
    /// Why it isn't known what lies below TARGET, in the words of zfs.
    below_unknown: Option<String>,
    /// What stands before a dataset of the target's host where TARGET is written.
    host: String,
    /// All datasets of TARGET's tree, sorted, where some of them may be set aside.
    pub(super) tree: Vec<DatasetName>,
}

/// A TARGET that nothing shows to be a copy of SOURCE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstContact {
    /// TARGET's dataset.
    pub target: DatasetName,
    /// How many datasets are not sent because of it.
    pub withheld: usize,
    /// What to do instead, in words.
    pub instead: String,
}

/// Why a dataset is not sent although nothing is in its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// The first contact with this TARGET ends in a conflict.
    FirstContact(DatasetName),
    /// It would lie in the copy of this dataset of the source, which can't be replicated.
    Above(DatasetName),
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstContact(target) => write!(
                f,
                "nothing is sent: no dataset of the source has a snapshot in common with the one in its place in '{target}'"
            ),
            Self::Above(source) => write!(f, "{source} above it could not be replicated"),
        }
    }
}

impl FirstContact {
    /// What is said of all other datasets.
    #[must_use]
    pub fn withheld(&self) -> Withheld {
        Withheld::FirstContact(self.target.clone())
    }
}

impl Verdict {
    /// Whether it tells of a first contact: what lies below is not sent before the conflict is out of the way.
    #[must_use]
    pub fn first_contact(&self) -> Option<&FirstContact> {
        match self {
            Self::Conflict(conflict) => conflict.first_contact.as_deref(),
            Self::Resolve(solvable) => solvable.conflict.first_contact.as_deref(),
            _ => None,
        }
    }

    fn conflict_mut(&mut self) -> Option<&mut Conflict> {
        match self {
            Self::Conflict(conflict) => Some(conflict),
            Self::Resolve(solvable) => Some(&mut solvable.conflict),
            _ => None,
        }
    }
}

impl Negotiation {
    /// What stands before a dataset of the target's host where TARGET is written: `beta:`; nothing for this machine.
    #[must_use]
    pub fn with_target_host(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.records.host);
        self
    }

    /// Datasets of the target of which it must be known what lies below: tops that are empty, below which nothing has a snapshot in common
    /// with the source. It may have nothing to do with SOURCE, and would be in its copy, which is unmounted and read-only.
    ///
    /// The same, and then all below TARGET, where a dataset is in the way that `--replace` would destroy, or may be by the time of its
    /// receive: those below it would stay.
    #[must_use]
    pub fn wants_below(&self) -> Vec<DatasetName> {
        if self.records.staying.is_some() {
            return Vec::new();
        }
        let tops = self.unproven_tops();
        let may_replace = || self.target_exists() && !self.resolutions.replace.is_empty();
        let is_one = tops.len() > 1 || may_replace() || self.items.iter().any(|item| self.is_in_the_way(item));
        if is_one && !self.records.asked.contains(&self.target) {
            return vec![self.target.clone()];
        }
        tops.into_iter().filter(|top| !self.records.asked.contains(top)).collect()
    }

    /// Empty datasets that are about to be filled, get `readonly=on` as tops of their trees, and in whose trees no snapshot shows that they
    /// are the right ones.
    fn unproven_tops(&self) -> Vec<DatasetName> {
        let tops: Vec<&Item> = self.items.iter().filter(|item| self.fills(item) && self.is_top(item)).collect();
        if tops.is_empty() {
            return Vec::new();
        }
        let common = self.items.iter().filter(|item| item.common_there().is_some());
        let proven: HashSet<RelPath> =
            common.flat_map(|item| std::iter::successors(Some(item.source.path.clone()), RelPath::parent)).collect();
        tops.into_iter()
            .filter(|item| !proven.contains(&item.source.path))
            .map(|item| item.target_name.clone())
            .collect()
    }

    fn fills(&self, item: &Item) -> bool {
        let OnTarget::Listed(target) = &item.on_target else { return false };
        let kind = item.facts.map_or(target.kind, |facts| facts.kind);
        let verdict = diff(&item.source, kind, target, item.attempt, self.newest_only);
        matches!(verdict, Verdict::FillEmpty(steps) if from_the_start(&steps))
    }

    /// Takes all datasets below this one. What lies in the place of one of SOURCE's, and isn't in its way, may have been made for it; what
    /// SOURCE has below `--depth`, or can't be read of it, has no place that is known.
    pub fn below(&mut self, dataset: &DatasetName, names: &[DatasetName]) {
        let is_other = |name: &&DatasetName| {
            let path = name.below(&self.target).filter(|path| *path != RelPath::default() && comes_back(path));
            *name != dataset
                && path.is_some_and(|path| match self.find(&path) {
                    Some(item) => self.is_in_the_way(item),
                    None => !self.unselected.contains_key(&path),
                })
        };
        let mut others: Vec<DatasetName> = names.iter().filter(is_other).cloned().collect();
        others.sort();
        if *dataset == self.target {
            self.records.staying = Some(others.clone());
        }
        self.records.asked.insert(dataset.clone());
        let tops: HashSet<DatasetName> =
            self.unproven_tops().into_iter().filter(|top| top.is_within(dataset)).collect();
        others.retain(|name| name.ancestors().iter().any(|above| tops.contains(above)));
        self.records.filled.extend(tops);
        self.records.others.extend(others);
        self.records.others.sort();
        self.records.others.dedup();
    }

    /// It can't be listed what lies below this one. Whether the run can do without: something is in the way, and it may be that nothing is
    /// to be replaced there; but an empty top isn't filled.
    pub fn below_unknown(&mut self, dataset: &DatasetName, words: String) -> bool {
        self.records.asked.insert(dataset.clone());
        if *dataset == self.target {
            self.records.below_unknown = Some(words);
        }
        !self.unproven_tops().contains(dataset)
    }

    /// Why `--replace` may not destroy this one: it destroys nothing below, and others' datasets there would be read-only, and not mounted.
    /// What is a copy of this source already changes nothing for them.
    pub(super) fn stays_below(&self, item: &Item) -> Option<String> {
        let is_copy = self.records.origins.get(&item.target_name) == Some(&Origin::ThisSource);
        if is_copy || item.common_there().is_some() {
            return None;
        }
        if let Some(words) = &self.records.below_unknown {
            return Some(format!(
                "--replace destroys nothing below it, and datasets there that are not copies of this source would be read-only, and not \
                 mounted; they can't be listed: {words}"
            ));
        }
        let Some(staying) = &self.records.staying else {
            // Only what came into being after the plan was made.
            return self.resolutions.replace.contains(&item.target_name).then(|| {
                "--replace destroys nothing below it, and it was not known at the start of this run what lies there: run again".into()
            });
        };
        // What SOURCE doesn't have there is replaced by nothing, whoever names it.
        let is_replaced = |name: &DatasetName| self.resolutions.replace.contains(name) && self.item_of(name).is_some();
        let mut staying = all_below(staying, &item.target_name).filter(|name| !is_replaced(name)).peekable();
        staying.peek()?;
        Some(format!(
            "--replace destroys nothing below it, and datasets there are not copies of this source: they would be read-only, and not \
             mounted: {}",
            some_of(staying)
        ))
    }

    /// Tells the conflict of one without snapshots which datasets below it are not known to be copies of SOURCE's, as far as they were asked
    /// for. They may be many: what is only weighed for those below it does without.
    pub(super) fn tell_others_below(&self, item: &Item, verdict: &mut Verdict) {
        let conflict = match verdict {
            Verdict::Conflict(conflict) => conflict,
            Verdict::Resolve(solvable) => &mut solvable.conflict,
            _ => return,
        };
        if conflict.kind == ConflictKind::DataWithoutSnapshots {
            let all = self.records.staying.iter().flat_map(|staying| all_below(staying, &item.target_name));
            let others: Vec<DatasetName> = all.cloned().collect();
            conflict.beside = (!others.is_empty()).then(|| Box::new(Beside::OthersBelow(others)));
        }
    }

    /// Whether a top, or what would lie in one, may not be filled as it is, because of these below it.
    pub(super) fn holds_others(&self, item: &Item, verdict: &Verdict) -> Option<ConflictKind> {
        let fills = matches!(verdict, Verdict::FillEmpty(steps) if from_the_start(steps));
        if !fills || self.records.others.is_empty() {
            return None;
        }
        let datasets: Vec<_> = all_below(&self.records.others, &item.target_name).cloned().collect();
        (!datasets.is_empty()).then_some(ConflictKind::HoldsOthers { datasets })
    }

    /// Datasets of the target that have nothing in common with the source and are in the way: what is recorded on them tells more.
    #[must_use]
    pub fn wants_records(&self) -> BTreeSet<DatasetName> {
        let strangers = self.items.iter().filter(|item| self.is_in_the_way(item));
        strangers.map(|item| item.target_name.clone()).collect()
    }

    /// Whether records tell of more than these: which datasets below what may be replaced are copies.
    pub(super) fn has_staying(&self) -> bool {
        !self.resolutions.replace.is_empty() && self.records.staying.as_ref().is_some_and(|staying| !staying.is_empty())
    }

    /// Takes what is recorded on all datasets of TARGET's tree. `asked`: what [`Negotiation::wants_records`] has named; `tag`: what stands
    /// in records for a source of this host.
    pub fn records(
        &mut self,
        asked: BTreeSet<DatasetName>,
        notes: &HashMap<DatasetName, Notes>,
        tag: impl Fn(&DatasetName) -> u32,
    ) {
        // SOURCE may have come with the tree of a dataset above it.
        let trees: Vec<_> =
            self.source.ancestors().into_iter().chain([self.source.clone()]).map(|top| (tag(&top), top)).collect();
        let by = tag(&self.source);
        let put = |name: &DatasetName| notes.get(name).and_then(|notes| notes.put.as_ref());
        // Whether it was received as what lies at this path below SOURCE.
        let is_of = |put: &Put, path: &RelPath| {
            let at = |top: &DatasetName| Some(place(&self.source.join(path).ok()?.below(top)?));
            put.at.is_some() && trees.iter().any(|(of, top)| *of == put.by && at(top) == put.at)
        };
        let is_in_its_place =
            |name: &DatasetName| name.below(&self.target).zip(put(name)).is_some_and(|(path, put)| is_of(put, &path));
        let origin = |name: &DatasetName| match put(name) {
            None => Origin::Unrecorded,
            Some(_) if is_in_its_place(name) => Origin::ThisSource,
            Some(put) if put.by != by => Origin::AnotherSource,
            Some(put) if put.at.is_none() => Origin::ThisSource,
            Some(_) => Origin::AnotherPlace,
        };
        self.records.origins.extend(asked.into_iter().map(|name| (name.clone(), origin(&name))));
        let is_copy = |name: &&DatasetName| {
            let below = name.below(&self.target).filter(|path| *path != RelPath::default() && comes_back(path));
            below.is_some() && put(name).is_some_and(|put| is_of(put, &RelPath::default()))
        };
        self.records.copy = notes.keys().filter(is_copy).min_by_key(|name| self.as_copy(name, put(name))).cloned();
        if let Some(staying) = &mut self.records.staying {
            let is_ours = |name: &DatasetName| put(name).is_some_and(|put| put.by == by) || is_in_its_place(name);
            staying.retain(|name| !is_ours(name));
        }
        let in_place: Vec<&DatasetName> = notes.keys().filter(|name| is_in_its_place(name)).collect();
        self.records.in_place = !in_place.is_empty();
        let Records { filled, others, .. } = &mut self.records;
        let up = in_place.into_iter().flat_map(|name| std::iter::successors(Some(name.clone()), DatasetName::parent));
        let proven: HashSet<DatasetName> = up.filter(|name| filled.contains(name)).collect();
        others.retain(|name| !name.ancestors().iter().any(|above| proven.contains(above)));
    }

    /// The smaller, the more likely is this copy of SOURCE the one that is meant: one that is in sync, has SOURCE's own name, lies high.
    fn as_copy<'a>(&self, name: &'a DatasetName, put: Option<&Put>) -> (bool, bool, usize, &'a DatasetName) {
        let newest =
            self.items.first().and_then(|top| top.source.snapshots.iter().next_back()).map(|newest| newest.guid);
        let is_behind = newest.is_none() || put.map(|put| put.upto) != newest;
        (is_behind, last_part(name) != last_part(&self.source), name.ancestors().len(), name)
    }

    /// A dataset that could be TARGET instead, if it doesn't exist; where there is something to say about that.
    #[must_use]
    pub fn wants_vacancy(&self) -> Option<DatasetName> {
        let top = self.stranger_at_the_top()?;
        if self.records.copy.is_some() || !holds_others(top) {
            return None;
        }
        format!("{}/{}", self.target, last_part(&self.source)).parse().ok()
    }

    /// Takes the answer.
    pub fn vacant(&mut self, name: DatasetName, is_vacant: bool) {
        self.records.vacant = Some(name).filter(|_| is_vacant);
    }

    /// Whether zfsync has put this dataset of the target there from another source.
    pub(super) fn is_anothers(&self, name: &DatasetName) -> bool {
        self.records.origins.get(name) == Some(&Origin::AnotherSource)
    }

    /// The conflict of a target that shares nothing with its source, by what is recorded on it.
    pub(super) fn unrelated(&self, target: &DatasetName) -> Option<ConflictKind> {
        match self.records.origins.get(target)? {
            Origin::ThisSource | Origin::AnotherPlace => None,
            Origin::AnotherSource => Some(ConflictKind::Unrelated { recorded: true }),
            Origin::Unrecorded => Some(ConflictKind::Unrelated { recorded: false }),
        }
    }

    /// Whether a dataset of the target is there, shares nothing with its source, and nothing is sent to it as it is.
    fn is_in_the_way(&self, item: &Item) -> bool {
        let OnTarget::Listed(target) = &item.on_target else { return false };
        newest_common(&item.source, target).is_none()
            && match self.verdict(item) {
                Verdict::Conflict(_) | Verdict::Resolve(_) => true,
                Verdict::Blocked(why) => matches!(why, Blocked::KeyNotLoaded { .. }),
                _ => false,
            }
    }

    /// TARGET, if it is in the way and nothing there is known to have come from SOURCE.
    fn stranger_at_the_top(&self) -> Option<&Item> {
        let top = self.items.first().filter(|item| item.target_name == self.target)?;
        let is_copy = |item: &Item| {
            item.common_there().is_some() || self.records.origins.get(&item.target_name) == Some(&Origin::ThisSource)
        };
        (self.is_in_the_way(top) && !self.records.in_place && !self.items.iter().any(is_copy)).then_some(top)
    }

    /// Whether TARGET is met for the first time, and in the way.
    pub(super) fn first_contact(&self) -> Option<FirstContact> {
        self.stranger_at_the_top()?;
        Some(FirstContact { target: self.target.clone(), withheld: 0, instead: self.instead() })
    }

    /// Whether nothing is sent because of that.
    pub(super) fn withholds_all(&self) -> bool {
        self.stranger_at_the_top().is_some_and(|top| !matches!(self.verdict(top), Verdict::Resolve(_)))
    }

    /// What to do instead: it works, and loses nothing.
    fn instead(&self) -> String {
        let word = if self.is_restore { "NEW" } else { "TARGET" };
        let written = |name: &DatasetName| format!("'{}{name}'", self.records.host);
        let leaves = match self.target.parent() {
            Some(_) => "which leaves this one as it is",
            None => "which leaves this one as it is: the root dataset of a pool, which can't be renamed or destroyed",
        };
        match (&self.records.copy, &self.records.vacant) {
            (Some(copy), _) if !self.is_restore => {
                format!("name {} as TARGET, which was received from this source before", written(copy))
            }
            (_, Some(vacant)) => format!("name another {word}, for example {}, {leaves}", written(vacant)),
            _ => format!("name another {word}, one that does not exist yet, {leaves}"),
        }
    }

    /// Marks the conflict of TARGET as one of a first contact, and keeps back all that would lie beside what is there.
    pub(super) fn withhold(&self, datasets: &mut [PlannedDataset]) {
        let Some(mut contact) = self.first_contact() else { return };
        let Some((top, others)) = datasets.split_first_mut() else { return };
        let withheld = contact.withheld();
        if !matches!(top.verdict, Verdict::Resolve(_)) {
            for planned in others.iter_mut().filter(|planned| planned.verdict != Verdict::NoSnapshots) {
                contact.withheld += 1;
                planned.keep_back(withheld.clone());
            }
        }
        if let Some(conflict) = top.verdict.conflict_mut() {
            conflict.first_contact = Some(Box::new(contact));
        }
    }

    /// The same for a dataset that is planned anew.
    pub(super) fn mark_first_contact(&self, planned: &mut PlannedDataset) {
        if planned.target == self.target
            && let Some(conflict) = planned.verdict.conflict_mut()
        {
            conflict.first_contact = self.first_contact().map(Box::new);
        }
    }
}

/// All datasets below this one. `sorted`: as strings, so they stand together.
pub(super) fn all_below<'a>(
    sorted: &'a [DatasetName],
    dataset: &'a DatasetName,
) -> impl Iterator<Item = &'a DatasetName> {
    let start = format!("{dataset}/");
    let first = sorted.partition_point(|name| *name.as_str() < *start);
    sorted[first..].iter().take_while(|name| name.is_within(dataset))
}

/// The name without those above it.
fn last_part(name: &DatasetName) -> &str {
    name.as_str().rsplit_once('/').map_or(name.as_str(), |(_, last)| last)
}

/// Whether datasets can be made below it.
fn holds_others(item: &Item) -> bool {
    matches!(&item.on_target, OnTarget::Listed(target) if target.kind == Kind::Filesystem && !target.partial)
}

impl PlannedDataset {
    fn keep_back(&mut self, why: Withheld) {
        self.verdict = Verdict::Withheld(why);
        (self.placement, self.after) = (Placement::Existing, None);
        (self.top, self.top_ancestor) = (false, None);
        self.ancestors.clear();
    }
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;

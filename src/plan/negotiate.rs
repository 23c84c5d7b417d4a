//! Finds out what the target has with as few questions as possible: **ask, don't list** (docs/design.md). Each round
//! names what the source believes to be there; the shell asks it in one batch and hands the answers back.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::contact::Records;
use super::diff::{Attempt, diff, full};
use super::item::{Item, OnTarget, Seen, SourceFacts};
use super::names::Misfit;
use super::proof::Proof;
use super::shared_key::SharedKeys;
use super::step::BaseKind;
use super::verdict::Verdict;
use super::{Filter, Resolutions, SourceDataset, TargetDataset, Vain};
use zfs::name::{DatasetName, Guid, RelPath, Txg};
use zfs::{BaseFacts, Refusal, Tags, snapshot_of};

/// Snapshots and bookmarks asked for by name in the last round; what then is still unknown gets listed.
const FEW: usize = 12;

/// How a run sends encrypted datasets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EncryptedAs {
    /// As they lie on disk (`zfs send -w`).
    #[default]
    Raw,
    /// In plaintext (`--decrypt`).
    Plaintext,
}

/// What a run does where encryption is at stake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncryptionRules {
    /// How encrypted datasets are sent.
    pub sent: EncryptedAs,
    /// Whether what is unencrypted below an encrypted dataset of the source may be stored so below its raw copy.
    pub allow_unencrypted: bool,
    /// Whether copies get raw increments whose keys they can't open.
    pub allow_key_mismatch: bool,
}

/// What of the target is listed in full, with all its snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// What questions by name can't settle.
    AsNeeded,
    /// Each dataset that is not in sync: for a run that may destroy something, or shows what one would.
    AllBehind,
}

#[derive(Debug, Clone)]
enum What {
    /// Does this dataset of the target exist?
    Dataset(DatasetName),
    /// Does the item's target exist?
    Target(usize),
    /// Does it have this one of the item's snapshots, or what this one of its bookmarks is of?
    Version(usize, BaseKind, usize),
}

/// The questions and what is known so far.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Negotiation {
    pub(super) source: DatasetName,
    pub(super) target: DatasetName,
    pub(super) items: Vec<Item>,
    /// Selected datasets that can't be items, as their names would be too long on the target.
    pub(super) misfits: Vec<Misfit>,
    pub(super) newest_only: bool,
    /// Whether snapshots that change nothing are left out.
    pub(super) skip_empty: bool,
    /// What is done where encryption is at stake.
    pub(super) encryption: EncryptionRules,
    /// Whether bookmarks are believed that nothing proves.
    pub(super) allow_unproven: bool,
    /// What the user allows to be done about conflicts.
    pub(super) resolutions: Resolutions,
    /// Whether zfs alone is used on the target's host, which resolves none.
    pub(super) plain_target: bool,
    /// What the helper's own command on the target's host doesn't allow.
    pub(super) forbidden: Vain,
    /// What it is confined to, which stays itself.
    pub(super) roots: Vec<DatasetName>,
    /// Whether this is a restore, which overwrites nothing.
    pub(super) is_restore: bool,
    /// Whether the run makes bookmarks of what is in sync, or records it as received.
    pub(super) marks_what_is_in_sync: bool,
    pub(super) refused: HashSet<usize>,
    /// The date in the names of what is set aside.
    pub(super) stamp: String,
    /// How datasets of the target are encrypted that hold what will be made.
    pub(super) holders: HashMap<DatasetName, BaseFacts>,
    /// Which copies have a key in common.
    pub(super) shared: SharedKeys,
    /// What zfsync has recorded on datasets of the target that are in the way.
    pub(super) records: Records,
    /// What of the target is listed in full.
    pub(super) listing: Listing,
    /// Names our own bookmarks for this target; `None` where there are none to be believed.
    pub(super) tags: Option<Tags>,
    /// Which datasets take part, and those of the source that don't.
    pub(super) filter: Filter,
    pub(super) unselected: HashMap<RelPath, SourceDataset>,
    /// Whether all of the source could be listed: else nothing is deemed missing.
    pub(super) complete: bool,
    /// Datasets of the target that are items under an old name, and those items' targets: they are sent anew.
    pub(super) renamed: HashMap<DatasetName, DatasetName>,
    /// The old names of datasets of the target whose copies by those names are superseded.
    pub(super) former: HashMap<DatasetName, Vec<DatasetName>>,
    /// What this run renames, by the old names.
    pub(super) moving: HashSet<DatasetName>,
    round: u32,
    asked: Vec<What>,
    /// Datasets of the target that exist and are no items with snapshots.
    pub(super) existing: HashSet<DatasetName>,
    /// Whether TARGET itself exists.
    pub(super) target_exists: bool,
    /// Datasets of the target that exist and can't be read.
    pub(super) unread: HashSet<DatasetName>,
    /// The guids of datasets of the target that were asked for as such.
    pub(super) guids: HashMap<DatasetName, Guid>,
}

impl Negotiation {
    /// Starts with the selected datasets.
    #[must_use]
    pub fn new(source: &DatasetName, target: &DatasetName, datasets: Vec<SourceDataset>, newest_only: bool) -> Self {
        let mut misfits = Vec::new();
        let item = |dataset: SourceDataset| {
            // What was listed has a name that ZFS allows here.
            let source_name = source.join(&dataset.path).ok()?;
            let Ok(target_name) = target.join(&dataset.path) else {
                misfits.push(Misfit::new(source_name, target, &dataset));
                return None;
            };
            Some(Item::new(dataset, source_name, target_name))
        };
        let mut items: Vec<Item> = datasets.into_iter().filter_map(item).collect();
        // Parents before children, and to be found by path.
        items.sort_by(|a, b| a.source.path.cmp(&b.source.path));
        Self {
            source: source.clone(),
            target: target.clone(),
            items,
            misfits,
            newest_only,
            skip_empty: false,
            encryption: EncryptionRules::default(),
            allow_unproven: false,
            resolutions: Resolutions::default(),
            plain_target: false,
            forbidden: Vain::default(),
            roots: Vec::new(),
            is_restore: false,
            marks_what_is_in_sync: false,
            refused: HashSet::new(),
            stamp: String::new(),
            holders: HashMap::new(),
            shared: SharedKeys::default(),
            records: Records::default(),
            listing: Listing::AsNeeded,
            tags: None,
            filter: Filter::default(),
            unselected: HashMap::new(),
            complete: true,
            renamed: HashMap::new(),
            former: HashMap::new(),
            moving: HashSet::new(),
            round: 0,
            asked: Vec::new(),
            existing: HashSet::new(),
            target_exists: false,
            unread: HashSet::new(),
            guids: HashMap::new(),
        }
    }

    /// What is done where encryption is at stake; what is encrypted is sent raw, unless somebody says otherwise.
    #[must_use]
    pub fn with_encryption(mut self, rules: EncryptionRules) -> Self {
        self.encryption = rules;
        self
    }

    /// Solves conflicts as far as the user allows; `stamp` goes into the names of what is set aside.
    #[must_use]
    pub fn with_resolutions(mut self, resolutions: Resolutions, stamp: &str) -> Self {
        self.resolutions = resolutions;
        stamp.clone_into(&mut self.stamp);
        self
    }

    /// A conflict of this item was got out of the way. It is not done twice in a run.
    pub fn resolved(&mut self, index: usize) {
        if let Some(item) = self.items.get_mut(index) {
            item.resolved = true;
            item.attempt = None;
            item.seen.iter_mut().for_each(Seen::is_old);
        }
    }

    /// The source's dataset at this place in the plan.
    #[must_use]
    pub fn source(&self, index: usize) -> Option<&SourceDataset> {
        self.items.get(index).map(|item| &item.source)
    }

    /// The next batch of names to ask the target for; empty when asking by name is through. There are at most three
    /// rounds, however many datasets.
    pub fn questions(&mut self) -> Vec<String> {
        while self.round < 3 {
            self.asked = match self.round {
                0 => self.first_round(),
                1 => self.next_round(1, 2),
                _ => self.next_round(FEW, FEW),
            };
            self.round += 1;
            if !self.asked.is_empty() {
                break;
            }
        }
        if self.asked.is_empty() {
            self.give_up_asking();
        }
        self.asked.iter().map(|what| self.name_of(what)).collect()
    }

    /// What names didn't settle gets listed.
    fn give_up_asking(&mut self) {
        let everything = self.listing == Listing::AllBehind;
        let unsettled = |known: &OnTarget| match known {
            OnTarget::Asked { .. } => true,
            // A run that may destroy something, or shows what one would, knows what is there.
            OnTarget::Based(..) => everything,
            _ => false,
        };
        for item in self.items.iter_mut().filter(|item| unsettled(&item.on_target)) {
            item.on_target = OnTarget::Unlisted;
        }
    }

    fn first_round(&self) -> Vec<What> {
        let wanted = self.items.iter().enumerate().filter(|(_, item)| !item.source.snapshots.is_empty());
        let newest: Vec<What> = wanted
            .map(|(index, item)| What::Version(index, BaseKind::Snapshot, item.source.snapshots.len() - 1))
            .collect();
        if newest.is_empty() {
            return newest;
        }
        let above = self.target.ancestors().into_iter().chain([self.target.clone()]).map(What::Dataset);
        above.chain(newest).collect()
    }

    fn next_round(&mut self, more_snapshots: usize, more_bookmarks: usize) -> Vec<What> {
        let mut names = Vec::new();
        let mut above = BTreeSet::new();
        for index in 0..self.items.len() {
            let OnTarget::Asked { snapshots, bookmarks } = self.items[index].on_target else { continue };
            if self.round == 1 {
                self.placeholders(index, &mut above);
                names.push(What::Target(index));
            }
            let item = &mut self.items[index];
            let total = item.source.snapshots.len();
            let until = total.min(snapshots + more_snapshots);
            names.extend((snapshots..until).map(|age| What::Version(index, BaseKind::Snapshot, total - 1 - age)));
            let marks = item.source.bookmarks.len();
            let marks_until = marks.min(bookmarks + more_bookmarks);
            names.extend((bookmarks..marks_until).map(|age| What::Version(index, BaseKind::Bookmark, marks - 1 - age)));
            let tags = self.tags.as_ref().filter(|_| self.round == 1);
            let own = tags.and_then(|tags| tags.of(&item.target_name).newest(&item.source.bookmarks));
            names.extend(
                own.filter(|at| marks - at > marks_until).map(|at| What::Version(index, BaseKind::Bookmark, at)),
            );
            item.on_target = OnTarget::Asked { snapshots: until, bookmarks: marks_until };
        }
        above.into_iter().map(What::Dataset).chain(names).collect()
    }

    /// The target's datasets between TARGET and this item that no item with snapshots stands for.
    fn placeholders(&self, index: usize, above: &mut BTreeSet<DatasetName>) {
        let mut path = self.items[index].source.path.parent();
        while let Some(rel) = path {
            if rel.as_str().is_empty() || self.find(&rel).is_some_and(|item| !item.source.snapshots.is_empty()) {
                return;
            }
            if let Ok(name) = self.target.join(&rel) {
                above.insert(name);
            }
            path = rel.parent();
        }
    }

    /// The item at `path`; items are sorted by path.
    pub(super) fn find(&self, path: &RelPath) -> Option<&Item> {
        self.index_of(path).map(|index| &self.items[index])
    }

    /// Its place.
    pub(super) fn index_of(&self, path: &RelPath) -> Option<usize> {
        self.items.binary_search_by(|item| item.source.path.cmp(path)).ok()
    }

    fn name_of(&self, what: &What) -> String {
        match what {
            What::Dataset(name) => name.to_string(),
            What::Target(index) => self.items[*index].target_name.to_string(),
            What::Version(index, kind, at) => self.snapshot_name(*index, *kind, *at),
        }
    }

    /// A bookmark is asked for as the snapshot it was made from.
    fn snapshot_name(&self, index: usize, kind: BaseKind, at: usize) -> String {
        let Item { source, target_name, .. } = &self.items[index];
        let name = match kind {
            BaseKind::Snapshot => source.snapshots.get(at).map(|version| version.name),
            BaseKind::Bookmark => source.bookmarks.get(at).map(|version| snapshot_of(&version)),
        };
        target_name.at(name.unwrap_or_default())
    }

    /// Takes the answers to the last questions: those that exist, by their place.
    pub fn answers(&mut self, found: &[(u32, Guid, Txg)]) {
        let mut there: Vec<Option<Guid>> = vec![None; self.asked.len()];
        for &(place, guid, _) in found {
            if let Some(slot) = there.get_mut(place as usize) {
                *slot = Some(guid);
            }
        }
        let asked = std::mem::take(&mut self.asked);
        for (what, guid) in asked.iter().zip(&there) {
            self.absorb(what, *guid);
        }
        self.conclude();
    }

    fn absorb(&mut self, what: &What, there: Option<Guid>) {
        match what {
            What::Dataset(name) => {
                if let Some(guid) = there {
                    self.guids.insert(name.clone(), guid);
                    self.target_exists |= *name == self.target;
                    // What lies above it is there too, even where a helper that may not touch it doesn't tell.
                    self.existing.extend(name.ancestors());
                    self.existing.insert(name.clone());
                }
            }
            What::Target(index) => {
                let item = &mut self.items[*index];
                if there.is_none() && !matches!(item.on_target, OnTarget::Settled(_)) {
                    item.on_target = OnTarget::Missing;
                }
            }
            What::Version(index, kind, at) => self.items[*index].compare(there, *kind, *at),
        }
    }

    /// After a round: settles what can be settled, and gives up asking where the last round is over.
    fn conclude(&mut self) {
        let (target_exists, tags) = (self.target_exists, self.tags.as_ref());
        for item in &mut self.items {
            if !target_exists && matches!(item.on_target, OnTarget::Asked { .. }) {
                item.on_target = OnTarget::Missing;
            }
            item.settle(tags);
        }
        if self.round == 1 {
            for item in &mut self.items {
                if let OnTarget::Asked { snapshots, .. } = &mut item.on_target {
                    *snapshots = 1;
                }
            }
        }
    }

    /// Target datasets that must be listed in full.
    #[must_use]
    pub fn unlisted(&self) -> Vec<DatasetName> {
        let unlisted = self.items.iter().filter(|item| item.on_target == OnTarget::Unlisted);
        unlisted.map(|item| item.target_name.clone()).collect()
    }

    /// The source of a target dataset.
    #[must_use]
    pub fn source_of(&self, target: &DatasetName) -> Option<&DatasetName> {
        let item = self.find(&target.below(&self.target)?)?;
        Some(&item.source_name)
    }

    /// Takes the listings; a dataset that isn't among them doesn't exist.
    pub fn listed(&mut self, mut listings: HashMap<DatasetName, TargetDataset>) {
        for item in self.items.iter_mut().filter(|item| item.on_target == OnTarget::Unlisted) {
            item.on_target = listings.remove(&item.target_name).map_or(OnTarget::Missing, OnTarget::Listed);
            if item.on_target == OnTarget::Missing {
                // The rest of a first receive was dropped, and with it the dataset.
                self.existing.remove(&item.target_name);
                self.target_exists &= item.target_name != self.target;
            }
        }
    }

    /// A receive for the dataset at `index` was refused, or its connection was lost (no attempt then): only a full listing
    /// tells what to do instead.
    pub fn relist(&mut self, index: usize, attempt: Option<Attempt>) {
        if let Some(item) = self.items.get_mut(index) {
            // That a dataset couldn't be created tells nothing about what is there now instead.
            item.attempt = attempt.filter(|attempt| attempt.base.is_some() || item.on_target != OnTarget::Missing);
            item.on_target = OnTarget::Unlisted;
            // A refusal changes nothing; but whatever else leads here may have moved the dataset.
            if attempt.is_none() {
                item.seen.iter_mut().for_each(Seen::is_old);
            }
        }
    }

    /// Why the last receive for the dataset at `index` was refused, while its dataset is being relisted.
    #[must_use]
    pub fn refusal(&self, index: usize) -> Option<Refusal> {
        self.items.get(index)?.attempt.map(|attempt| attempt.refusal)
    }

    /// The source's dataset at `index` was listed anew, after [`Negotiation::relist`]: snapshots of it were gone.
    pub fn source_relisted(&mut self, index: usize, listed: SourceDataset) {
        if let Some(item) = self.items.get_mut(index) {
            let path = std::mem::take(&mut item.source.path);
            item.source = SourceDataset { path, ..listed };
            // What took its snapshots away may have taken it back behind its bookmarks, too.
            item.proofs.retain(|_, proof| matches!(proof, Proof::WentBack(_)));
            item.drop_false_marks();
            (item.weighed_from, item.agreed) = (None, None);
        }
    }

    /// The listing that [`Negotiation::relist`] waited for; `None`: the target doesn't exist.
    pub fn relisted(&mut self, index: usize, target: Option<TargetDataset>) {
        if let Some(item) = self.items.get_mut(index) {
            item.on_target = target.map_or(OnTarget::Missing, OnTarget::Listed);
        }
    }

    /// Source datasets whose kind and encryption the plan must know: those that will be made anew, and those that were listed;
    /// `all`, where encryption may matter, are all that are sent, and those right above what will be made.
    #[must_use]
    pub fn wants_facts(&self, all: bool) -> Vec<DatasetName> {
        let known = |item: &Item| match item.on_target {
            OnTarget::Missing | OnTarget::Listed(_) => true,
            OnTarget::Based(..) => all,
            _ => false,
        };
        // What is made below an encrypted dataset may be in need of more.
        let missing = self.items.iter().filter(|item| all && item.on_target == OnTarget::Missing);
        let above: HashSet<&RelPath> =
            missing.filter_map(|item| self.holder(item)).map(|above| &above.source.path).collect();
        let held: HashSet<DatasetName> = if all { self.placeholders_to_make() } else { HashSet::new() };
        let matters =
            |item: &Item| known(item) || above.contains(&item.source.path) || held.contains(&item.target_name);
        let wanted = self.items.iter().filter(|item| item.facts.is_none() && matters(item));
        wanted.map(|item| item.source_name.clone()).collect()
    }

    /// Takes them.
    pub fn facts(&mut self, facts: &HashMap<DatasetName, SourceFacts>) {
        for (name, facts) in facts {
            let Some(path) = name.below(&self.source) else { continue };
            if let Some(index) = self.index_of(&path) {
                self.items[index].facts = Some(*facts);
            }
        }
    }

    /// The verdict of one item, once nothing is left to ask.
    pub(super) fn verdict(&self, item: &Item) -> Verdict {
        let verdict = self.verdict_by_what_is_there(item);
        let blocked = item.name_too_long(&verdict).or_else(|| self.unproven(item, &verdict));
        let blocked = blocked.or_else(|| self.unguarded(item, &verdict));
        blocked.map_or(verdict, Verdict::Blocked)
    }

    fn verdict_by_what_is_there(&self, item: &Item) -> Verdict {
        match &item.on_target {
            _ if item.source.snapshots.is_empty() => Verdict::NoSnapshots,
            OnTarget::Settled(verdict) => verdict.clone(),
            OnTarget::Based(kind, at) => Verdict::with(Verdict::Send, item.steps(*kind, *at, self.newest_only)),
            OnTarget::Missing => match self.in_anothers(item).or_else(|| self.blocked_above(item)) {
                Some(blocked) => Verdict::Blocked(blocked),
                None => Verdict::with(Verdict::Send, full(&item.source, self.newest_only)),
            },
            OnTarget::Listed(target) => {
                let kind = item.facts.map_or(target.kind, |facts| facts.kind);
                let verdict = diff(&item.source, kind, target, item.attempt, self.newest_only);
                match self.foresee(item, target, verdict) {
                    Verdict::Conflict(conflict) => self.solve(item, target, conflict),
                    verdict => verdict,
                }
            }
            OnTarget::Asked { .. } | OnTarget::Unlisted => Verdict::Unresolved,
        }
    }
}

//! Copies that share their key on the target, below the encryption root that has it. `zfs change-key` at the source wraps the keys of all
//! of them anew; a raw increment brings that of its own dataset alone. Where some get an increment and others don't, a new key would open
//! only one part of them: so the helper is told to let none through.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::blocked::Blocked;
use super::item::Item;
use super::negotiate::{EncryptedAs, Negotiation};
use super::step::Step;
use super::verdict::Verdict;
use zfs::name::DatasetName;

/// Who has a key on the target and gets no increment, while others that have it do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sharer {
    /// This dataset has it.
    Dataset(DatasetName),
    /// Nothing is known of this dataset, so that it may have it.
    Unknown(DatasetName),
    /// The datasets of the target can't be listed, so that any may have it.
    Unlisted,
}

impl fmt::Display for Sharer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dataset(name) => {
                write!(f, "it shares its key on the target with '{name}', which gets no increment in this run")
            }
            Self::Unknown(name) => {
                write!(f, "it may share its key on the target with '{name}', which gets no increment in this run")
            }
            Self::Unlisted => f.write_str(
                "it may share its key on the target with datasets that get no increment in this run, as those of the target could not be \
                 listed (zfs list -r there says why)",
            ),
        }
    }
}

/// Which copies have the same key, as far as that matters.
#[derive(Debug, Default)]
pub(super) struct SharedKeys {
    /// The datasets below TARGET.
    below: Vec<DatasetName>,
    /// Whether they were asked for in vain.
    unlisted: bool,
    /// Encryption roots of the target, each with one that has its key and gets no increment.
    stragglers: HashMap<DatasetName, Sharer>,
    /// Whether the helper would take a new key all the same.
    pub(super) unguarded: bool,
    /// Whether nothing is sent: then they matter only where it would be refused.
    dry_run: bool,
}

impl Item {
    /// The dataset of the target whose key its copy has, where that is known.
    fn key_of(&self) -> Option<&DatasetName> {
        self.seen.as_ref().and_then(|seen| seen.facts.encryption_root.as_ref())
    }
}

impl Negotiation {
    /// Whether it is only shown what would be done.
    #[must_use]
    pub fn with_dry_run(mut self, dry_run: bool) -> Self {
        self.shared.dry_run = dry_run;
        self
    }

    /// TARGET, where all datasets below it must be known: a raw increment goes to an encryption root, and others may have its key.
    #[must_use]
    pub fn wants_sharers_below(&self) -> Option<DatasetName> {
        // Nobody would look at the keys.
        let guarded = !self.plain_target && !self.encryption.allow_key_mismatch;
        let guarded = guarded && (self.shared.unguarded || !self.shared.dry_run);
        (guarded && self.renewed().any(|item| item.key_of() == Some(&item.target_name))).then(|| self.target.clone())
    }

    /// Takes them; `None`: they can't be listed.
    pub fn sharers_below(&mut self, names: Option<Vec<DatasetName>>) {
        self.shared.unlisted = names.is_none();
        let names = names.unwrap_or_default();
        self.shared.below = if self.shared.dry_run { self.as_renamed(names) } else { names };
    }

    /// These datasets of the target, by the names that they have once what would be renamed is.
    fn as_renamed(&self, names: Vec<DatasetName>) -> Vec<DatasetName> {
        let now: HashMap<&DatasetName, &DatasetName> =
            self.items.iter().filter_map(|item| Some((item.was.as_ref()?, &item.target_name))).collect();
        let renamed = |name: &DatasetName| {
            let mut up = std::iter::successors(Some(name.clone()), DatasetName::parent);
            up.find_map(|above| now.get(&above)?.join(&name.below(&above)?).ok())
        };
        names.into_iter().map(|name| renamed(&name).unwrap_or(name)).collect()
    }

    /// Datasets of the target that get no raw increment, and of which it must be known whether they have a key that one replaces.
    #[must_use]
    pub fn wants_sharers(&self) -> Vec<DatasetName> {
        self.unknown_sharers().into_iter().map(|(name, _)| name).filter(|name| !self.unread.contains(name)).collect()
    }

    /// The same, with what can't be read, each with the encryption root of the one above.
    fn unknown_sharers(&self) -> Vec<(DatasetName, DatasetName)> {
        if self.shared.below.is_empty() {
            return Vec::new();
        }
        let keys: HashMap<&DatasetName, Option<&DatasetName>> =
            self.renewed().map(|item| (&item.target_name, item.key_of())).collect();
        // One that shares a key shares it with the one right above.
        let root =
            |name: &DatasetName| keys.get(&name.parent()?).copied().flatten().filter(|root| keys.contains_key(root));
        let unknown = |name: &&DatasetName| {
            !keys.contains_key(name)
                && self.item_of(name).is_none_or(|item| item.key_of().is_none())
                && !self.holders.contains_key(name)
        };
        let below = self.shared.below.iter().filter(unknown);
        below.filter_map(|name| Some((name.clone(), root(name)?.clone()))).collect()
    }

    /// Notes which encryption roots of the target have a dataset that gets no raw increment while others of them do.
    pub fn note_stragglers(&mut self) {
        if self.plain_target || self.encryption.allow_key_mismatch {
            return;
        }
        let renewed: HashSet<&DatasetName> = self.renewed().map(|item| &item.target_name).collect();
        // An encryption root that gets none itself.
        let roots = self.renewed().filter_map(Item::key_of).filter(|root| !renewed.contains(*root));
        let mut stragglers: HashMap<DatasetName, Sharer> =
            roots.map(|root| (root.clone(), Sharer::Dataset(root.clone()))).collect();
        let holders = self.holders.iter().filter_map(|(name, facts)| Some((name, facts.encryption_root.as_ref()?)));
        let items = self.items.iter().filter_map(|item| Some((&item.target_name, item.key_of()?)));
        // A clone of what isn't above it, such as that which `--set-aside` leaves, has the very key of its origin: a new one opens both
        // (`dsl_crypto_key_clone_sync` in `module/zfs/dsl_crypt.c`).
        let stays = |(name, root): &(&DatasetName, &DatasetName)| !renewed.contains(*name) && name.is_within(root);
        // So is what `--replace` is to destroy: it may yet stay.
        let mut others: Vec<(&DatasetName, &DatasetName)> = holders.chain(items).filter(stays).collect();
        others.sort();
        for (name, root) in others {
            stragglers.entry(root.clone()).or_insert_with(|| Sharer::Dataset(name.clone()));
        }
        // Whoever isn't answered for may have it.
        for (name, root) in self.unknown_sharers() {
            stragglers.entry(root).or_insert(Sharer::Unknown(name));
        }
        if self.shared.unlisted {
            for root in self.renewed().filter_map(Item::key_of) {
                stragglers.entry(root.clone()).or_insert(Sharer::Unlisted);
            }
        }
        self.shared.stragglers = stragglers;
    }

    /// What of the target has this one's key and gets no increment.
    pub(super) fn straggler(&self, item: &Item) -> Option<Sharer> {
        let sharer = self.shared.stragglers.get(item.key_of()?)?;
        let is_itself = matches!(sharer, Sharer::Dataset(name) if *name == item.target_name);
        (self.sends_raw(item) == Some(true) && !is_itself).then(|| sharer.clone())
    }

    /// Whether it gets no raw increment since a new key would go unnoticed.
    pub(super) fn unguarded(&self, item: &Item, verdict: &Verdict) -> Option<Blocked> {
        let is_increment = self.shared.unguarded && verdict.steps().first().is_some_and(goes_on);
        let sharer = is_increment.then(|| self.straggler(item)).flatten()?;
        Some(Blocked::KeyUnguarded { sharer })
    }

    /// Those that get raw increments.
    fn renewed(&self) -> impl Iterator<Item = &Item> {
        let raw = self.encryption.sent == EncryptedAs::Raw;
        // What is in sync wasn't asked for.
        let encrypted =
            move |item: &&Item| raw && item.seen.is_some() && item.facts.is_some_and(|facts| facts.encrypted);
        self.items.iter().filter(encrypted).filter(move |item| self.verdict(item).steps().first().is_some_and(goes_on))
    }

    /// The dataset of SOURCE that has its place there.
    pub(super) fn item_of(&self, target: &DatasetName) -> Option<&Item> {
        self.find(&target.below(&self.target)?)
    }
}

/// Whether something is there that a stream goes on with.
fn goes_on(step: &Step) -> bool {
    step.base.is_some() || step.resume.is_some()
}

#[cfg(test)]
#[path = "shared_key_tests.rs"]
mod tests;

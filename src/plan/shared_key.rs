//! Copies that share their key on the target, below the encryption root that has it. `zfs change-key` at the source wraps the keys of all
//! of them anew; a raw increment brings that of its own dataset alone. Where some get an increment and others don't, a new key would open
//! only one part of them: so the helper is told to let none through.

use std::collections::{HashMap, HashSet};

use super::item::Item;
use super::negotiate::{EncryptedAs, Negotiation};
use super::step::Step;
use zfs::name::DatasetName;

/// Which copies have the same key, as far as that matters.
#[derive(Debug, Default)]
pub(super) struct SharedKeys {
    /// The datasets below TARGET.
    below: Vec<DatasetName>,
    /// Encryption roots of the target, each with a dataset that has its key and gets no increment.
    stragglers: HashMap<DatasetName, DatasetName>,
}

impl Item {
    /// The dataset of the target whose key its copy has, where that is known.
    fn key_of(&self) -> Option<&DatasetName> {
        self.seen.as_ref().and_then(|seen| seen.facts.encryption_root.as_ref())
    }
}

impl Negotiation {
    /// TARGET, where all datasets below it must be known: a raw increment goes to an encryption root, and others may have its key.
    #[must_use]
    pub fn wants_sharers_below(&self) -> Option<DatasetName> {
        // Nobody would look at the keys.
        let guarded = !self.plain_target && !self.encryption.allow_key_mismatch;
        (guarded && self.renewed().any(|item| item.key_of() == Some(&item.target_name))).then(|| self.target.clone())
    }

    /// Takes them.
    pub fn sharers_below(&mut self, names: Vec<DatasetName>) {
        self.shared.below = names;
    }

    /// Datasets of the target that get no raw increment, and of which it must be known whether they have a key that one replaces.
    #[must_use]
    pub fn wants_sharers(&self) -> Vec<DatasetName> {
        if self.shared.below.is_empty() {
            return Vec::new();
        }
        let keys: HashMap<&DatasetName, Option<&DatasetName>> =
            self.renewed().map(|item| (&item.target_name, item.key_of())).collect();
        let matters =
            |above: DatasetName| keys.get(&above).copied().flatten().is_some_and(|root| keys.contains_key(root));
        // One that shares a key shares it with the one right above.
        let wanted = |name: &&DatasetName| {
            !keys.contains_key(name)
                && name.parent().is_some_and(matters)
                && self.item_of(name).is_none_or(|item| item.key_of().is_none())
                && !self.holders.contains_key(name)
                && !self.unread.contains(name)
        };
        self.shared.below.iter().filter(wanted).cloned().collect()
    }

    /// Notes which encryption roots of the target have a dataset that gets no raw increment while others of them do.
    pub fn note_stragglers(&mut self) {
        if self.plain_target || self.encryption.allow_key_mismatch {
            return;
        }
        let renewed: HashSet<&DatasetName> = self.renewed().map(|item| &item.target_name).collect();
        // An encryption root that gets none itself.
        let roots = self.renewed().filter_map(Item::key_of).filter(|root| !renewed.contains(*root));
        let mut stragglers: HashMap<DatasetName, DatasetName> =
            roots.map(|root| (root.clone(), root.clone())).collect();
        let holders = self.holders.iter().filter_map(|(name, facts)| Some((name, facts.encryption_root.as_ref()?)));
        let items = self.items.iter().filter_map(|item| Some((&item.target_name, item.key_of()?)));
        // A clone of what isn't above it, such as that which `--set-aside` leaves, has the very key of its origin: a new one opens both
        // (`dsl_crypto_key_clone_sync` in `module/zfs/dsl_crypt.c`).
        let stays = |(name, root): &(&DatasetName, &DatasetName)| !renewed.contains(*name) && name.is_within(root);
        let mut others: Vec<(&DatasetName, &DatasetName)> = holders.chain(items).filter(stays).collect();
        others.sort();
        for (name, root) in others {
            stragglers.entry(root.clone()).or_insert_with(|| name.clone());
        }
        self.shared.stragglers = stragglers;
    }

    /// The dataset of the target that has this one's key and gets no increment.
    pub(super) fn straggler(&self, item: &Item) -> Option<DatasetName> {
        let straggler = self.shared.stragglers.get(item.key_of()?)?;
        (self.sends_raw(item) == Some(true) && *straggler != item.target_name).then(|| straggler.clone())
    }

    /// Those that get raw increments.
    fn renewed(&self) -> impl Iterator<Item = &Item> {
        let raw = self.encryption.sent == EncryptedAs::Raw;
        let goes_on = |step: &Step| step.base.is_some() || step.resume.is_some();
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

#[cfg(test)]
#[path = "shared_key_tests.rs"]
mod tests;

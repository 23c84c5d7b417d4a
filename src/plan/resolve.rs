//! From a conflict to what the user has allowed to be done about it.

use std::collections::HashSet;

use super::TargetDataset;
use super::conflict::Hindrance;
use super::contact::all_below;
use super::diff::{full, newest_common};
use super::item::{Item, OnTarget};
use super::negotiate::{EncryptedAs, Negotiation};
use super::permitted::could_not_create;
use super::set_aside::Along;
use super::step::BaseKind;
use super::{Conflict, ConflictKind, Solvable, Vain, Verdict};
use zfs::name::{DatasetName, Guid, MAX_NAME, NameError, SnapshotName};
use zfs::{Allow, Encryption, Failure, Hello, Refusal, Resolution, Restore, snapshot_of};

impl Negotiation {
    /// Where zfs alone is used on the target's host, what needs a helper there isn't offered.
    #[must_use]
    pub fn with_plain_target(mut self, plain_target: bool) -> Self {
        self.plain_target = plain_target;
        self
    }

    /// A helper that is confined to some datasets was started by a command that isn't ours: what that doesn't allow isn't offered.
    #[must_use]
    pub fn with_confined_helper(mut self, hello: &Hello) -> Self {
        let forbids =
            |allow: Allow| !hello.roots.is_empty() && !hello.allow.iter().any(|allowed| allowed == allow.word());
        self.forbidden = Vain {
            rollback: forbids(Allow::Rollback),
            set_aside: forbids(Allow::Rename),
            replace: forbids(Allow::Destroy),
        };
        self.roots.clone_from(&hello.roots);
        self.shared.unguarded = hello.leaves_keys_unguarded();
        self
    }

    /// A restore overwrites nothing, so it has no resolutions to offer.
    #[must_use]
    pub fn of_restore(mut self, restore: bool) -> Self {
        self.is_restore = restore;
        self
    }

    /// The verdict about an item whose listed target is in conflict.
    pub(super) fn solve(&self, item: &Item, target: &TargetDataset, mut conflict: Conflict) -> Verdict {
        conflict.target = Some(item.target_name.clone());
        if conflict.kind == ConflictKind::NoCommon {
            conflict.kind = self.unrelated(&item.target_name).unwrap_or(conflict.kind);
        }
        let plain = self.encryption.sent == EncryptedAs::Plaintext || item.facts.is_none_or(|facts| !facts.encrypted);
        conflict.would_decrypt = plain && target.encryption == Encryption::Root;
        let aside = format!("{}.zfsync-{}", item.target_name, self.stamp).parse::<DatasetName>();
        conflict.vain.set_aside = aside.is_err();
        // What lies below would stay, and be in a read-only copy.
        let staying = self.stays_below(item);
        conflict.vain.replace = matches!(conflict.kind, ConflictKind::HoldsOthers { .. }) || staying.is_some();
        if self.plain_target || self.is_restore {
            conflict.vain = Vain { rollback: true, set_aside: true, replace: true };
            conflict.hindrance = (self.plain_target && !self.is_restore).then_some(Hindrance::NoHelper);
        }
        let is_root = self.roots.contains(&item.target_name);
        let otherwise = conflict.vain.or(Vain { rollback: false, set_aside: is_root, replace: is_root });
        conflict.forbidden = self.forbidden.without(otherwise);
        conflict.vain = otherwise.or(self.forbidden);
        if item.resolved {
            // Once more it would not help either.
            let replace = self.resolutions.replace.contains(&item.target_name);
            let tried = Vain { rollback: self.resolutions.rollback, set_aside: self.resolutions.set_aside, replace };
            conflict.vain = conflict.vain.or(tried);
            // What `--replace` has left where datasets lie below.
            let emptied = self.resolutions.replace.contains(&item.target_name) && target.snapshots.is_empty();
            return match item.facts {
                Some(facts) if emptied && facts.kind == target.kind => {
                    Verdict::with(Verdict::Overwrite, full(&item.source, self.newest_only))
                }
                _ => Verdict::Conflict(conflict),
            };
        }
        if self.resolutions.any()
            && let Some(blocked) = self.blocked(item)
        {
            return Verdict::Blocked(blocked);
        }
        let everything = || target.snapshots.iter().map(|version| version.guid).collect();
        let dataset = item.target_name.clone();
        let is_pool = dataset.parent().is_none();
        if self.resolutions.replace.contains(&dataset) && (is_pool || staying.is_some()) {
            conflict.why_not = if is_pool { Some(of_pool("--replace can't destroy it")) } else { staying };
            return Verdict::Conflict(conflict);
        }
        if self.resolutions.replace.contains(&dataset) && conflict.new_start_helps() {
            let then = full(&item.source, self.newest_only);
            let whole = self.sends_raw(item) == Some(true) || target.encryption.is_on();
            return resolved(conflict, Resolution::Replace { dataset, loses: everything(), whole }, then);
        }
        let common = Self::common_behind(item, target, &conflict.kind);
        if let Some(common) = common.as_ref().filter(|_| self.resolutions.rollback && conflict.rollback_helps()) {
            let (to, to_guid) = (common.there.snapshot_name(), common.there.guid);
            let newer = target.snapshots.iter().filter(|version| version.txg > common.there.txg);
            let loses = newer.map(|version| version.guid).collect();
            let then = common.steps(&item.source, self.newest_only);
            return resolved(conflict, Resolution::Rollback { dataset, to, to_guid, loses }, then);
        }
        if !self.resolutions.set_aside || !conflict.new_start_helps() {
            conflict.why_not = (self.resolutions.set_aside && is_pool).then(|| of_pool("--set-aside can't rename it"));
            return Verdict::Conflict(conflict);
        }
        let aside = match aside {
            Ok(aside) => aside,
            Err(error) => {
                conflict.why_not = Some(format!("--set-aside can't rename it: {error}"));
                return Verdict::Conflict(conflict);
            }
        };
        let common = common.filter(|_| conflict.restart().is_some());
        let restore =
            self.restore(item, common.as_ref().map(|common| (common.there.snapshot_name(), common.there.guid)));
        let steps = common.map_or_else(
            || full(&item.source, self.newest_only),
            |common| common.steps(&item.source, self.newest_only),
        );
        let top = self.is_top(item);
        resolved(conflict, Resolution::SetAside { dataset, aside, restore, top }, steps)
    }

    /// The verdict, unless it sets something aside of which a name would be too long: ZFS refuses to rename any then (`dsl_valid_rename` in
    /// `module/zfs/dsl_dir.c`).
    pub(super) fn if_names_fit(&self, item: &Item, verdict: Verdict) -> Verdict {
        let Verdict::Resolve(solvable) = &verdict else { return verdict };
        let Resolution::SetAside { aside, .. } = &solvable.resolution else { return verdict };
        let Some(long) = self.too_long(item, aside) else { return verdict };
        let mut conflict = solvable.conflict.clone();
        conflict.vain.set_aside = true;
        conflict.why_not = Some(format!("--set-aside can't rename it: {}", NameError::TooLong(long)));
        Verdict::Conflict(conflict)
    }

    /// A name that would be too long if this one were called so, of those below it and of the snapshots that are known.
    fn too_long(&self, item: &Item, aside: &DatasetName) -> Option<String> {
        let old = item.target_name.as_str();
        let room = (MAX_NAME + old.len()).saturating_sub(aside.as_str().len());
        let first = self.items.partition_point(|other| other.source.path < item.source.path);
        let items = self.items[first..].iter().take_while(|other| other.target_name.is_within(&item.target_name));
        let tree = all_below(&self.records.tree, &item.target_name).filter(|name| name.as_str().len() > room);
        let mut long = items
            .filter_map(Item::longest_there)
            .filter(|name| name.len() > room)
            .chain(tree.map(|name| name.as_str().to_owned()));
        long.next().map(|name| name.replacen(old, aside.as_str(), 1))
    }

    /// What comes back after a dataset was set aside: itself and those below it, each if the one right above it does.
    fn restore(&self, item: &Item, common: Option<(SnapshotName, Guid)>) -> Vec<Restore> {
        let Some((snapshot, guid)) = common else { return Vec::new() };
        let mut all = vec![Restore { dataset: item.target_name.clone(), snapshot, guid }];
        let mut back = HashSet::from([item.target_name.clone()]);
        // Sorted by path, so what lies below it comes next, and those above come first.
        let next = self.items.partition_point(|other| other.source.path <= item.source.path);
        for below in self.items[next..].iter().take_while(|other| other.target_name.is_within(&item.target_name)) {
            if !below.target_name.parent().is_some_and(|above| back.contains(&above)) {
                continue;
            }
            if let Some((snapshot, guid)) = below.common_there() {
                back.insert(below.target_name.clone());
                all.push(Restore { dataset: below.target_name.clone(), snapshot, guid });
            }
        }
        all
    }
}

impl Negotiation {
    /// Takes the names of all datasets of TARGET's tree, for whoever wants to know what was set aside.
    pub fn tree(&mut self, names: &[DatasetName]) {
        if self.resolutions.set_aside {
            self.records.tree = names.to_vec();
            self.records.tree.sort_unstable();
        }
    }
}

fn of_pool(why_not: &str) -> String {
    format!("{why_not}: it is the root dataset of a pool")
}

fn resolved(mut conflict: Conflict, resolution: Resolution, then: Vec<super::Step>) -> Verdict {
    // Should it be refused, the text offers the other ways.
    match resolution {
        Resolution::Rollback { .. } => conflict.vain.rollback = true,
        Resolution::SetAside { .. } => conflict.vain.set_aside = true,
        Resolution::Replace { .. } => conflict.vain.replace = true,
    }
    Verdict::Resolve(Box::new(Solvable { conflict, resolution, then }))
}

impl Item {
    /// The longest name of a snapshot that the target is known to have of it.
    fn longest_there(&self) -> Option<String> {
        let names = match &self.on_target {
            OnTarget::Listed(target) => target.snapshots.iter().map(|version| version.snapshot_name()).collect(),
            _ => Vec::from_iter(self.common_there().map(|(name, _)| name)),
        };
        let longest = names.iter().max_by_key(|name| name.as_str().len())?;
        Some(self.target_name.at(longest.as_str()))
    }

    /// The newest snapshot that the target is known to have in common with the source, by the target's name of it.
    pub(super) fn common_there(&self) -> Option<(SnapshotName, Guid)> {
        match &self.on_target {
            OnTarget::Settled(Verdict::InSync) => {
                self.source.snapshots.newest().map(|version| (version.snapshot_name(), version.guid))
            }
            OnTarget::Based(BaseKind::Snapshot, at) => {
                self.source.snapshots.get(*at).map(|version| (version.snapshot_name(), version.guid))
            }
            OnTarget::Based(BaseKind::Bookmark, at) => {
                let mark = self.source.bookmarks.get(*at)?;
                Some((snapshot_of(&mark).parse().ok()?, mark.guid))
            }
            OnTarget::Listed(target) => {
                let common = newest_common(&self.source, target)?;
                Some((common.there.snapshot_name(), common.there.guid))
            }
            _ => None,
        }
    }
}

impl Solvable {
    /// What is said where the resolution was refused: what a hold or a clone keeps here, it keeps from the other ways that destroy it,
    /// too; and where nothing could be created, no other way that needs that is offered.
    #[must_use]
    pub fn refused(&self, failure: &Failure) -> String {
        let Failure { refusal, words } = failure;
        if !matches!(refusal, Refusal::Held | Refusal::HasClones) {
            let mut conflict = self.conflict.clone();
            if *refusal == Refusal::Permission && could_not_create(words, self.resolution.dataset()) {
                (conflict.vain.set_aside, conflict.vain.replace) = (true, true);
            }
            return format!("{conflict}\n  it could not be resolved: {words}");
        }
        let mut conflict = self.conflict.clone();
        let newer = conflict.only_there.iter().any(|name| words.contains(&format!("@{name}' ")));
        match self.resolution {
            Resolution::Rollback { .. } => conflict.vain.replace = true,
            Resolution::Replace { .. } => conflict.vain.rollback |= newer,
            Resolution::SetAside { .. } => {}
        }
        conflict.why_not = Some(format!("it could not be resolved: {words}"));
        conflict.to_string()
    }

    /// What is said where it isn't begun, as what would be sent then can't be: no other way would help.
    #[must_use]
    pub fn unsendable(&self, why: &str) -> String {
        let hindrance = Some(Hindrance::CannotSend);
        Conflict { why_not: Some(why.to_owned()), hindrance, ..self.conflict.clone() }.to_string()
    }

    /// One line for the user, before it is done: what is about to happen, and what it costs.
    #[must_use]
    pub fn describe(&self, along: &Along) -> String {
        let headline = self.conflict.headline();
        match &self.resolution {
            Resolution::Rollback { to, .. } => {
                format!("{headline}; rolling it back to @{to}, which loses {}", self.conflict.rollback_cost())
            }
            Resolution::SetAside { aside, restore, .. } => {
                format!("{headline}; setting it aside as {aside}{along}: {}", along.what_comes(restore))
            }
            Resolution::Replace { loses, .. } => {
                let snapshots = match loses.len() {
                    0 => String::new(),
                    1 => " with its only snapshot".into(),
                    more => format!(" with its {more} snapshots"),
                };
                format!("{headline}; destroying it{snapshots}, and sending it in full")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Needs;
    use zfs::{Granted, Rights};

    fn solvable(resolution: Resolution) -> Solvable {
        let mut conflict = Conflict::bare(ConflictKind::Diverged);
        conflict.common = Some("s1".parse().unwrap());
        conflict.only_there = vec!["own".parse().unwrap()];
        let Verdict::Resolve(solvable) = resolved(conflict, resolution, Vec::new()) else { panic!("none") };
        *solvable
    }

    /// A hold that keeps a rollback from its way keeps `--replace` too: nobody is sent from one to the other.
    #[test]
    fn what_a_hold_refuses_is_not_offered_by_another_name() {
        let dataset: DatasetName = "q/a".parse().unwrap();
        let rollback = solvable(Resolution::Rollback {
            dataset: dataset.clone(),
            to: "s1".parse().unwrap(),
            to_guid: Guid(1),
            loses: Vec::new(),
        });
        let replace = solvable(Resolution::Replace { dataset, loses: Vec::new(), whole: false });
        let held = |name: &str| {
            let words = format!(
                "'q/a@{name}' is held by keep: nothing was changed; if it may go: zfs release keep 'q/a@{name}'"
            );
            Failure::new(Refusal::Held, &words)
        };
        for (solvable, name, offered) in [
            (&rollback, "own", ["--set-aside"].as_slice()),
            (&replace, "own", &["--set-aside"]),
            (&replace, "s1", &["--rollback", "--set-aside"]),
        ] {
            let words = solvable.refused(&held(name));
            let ways = ["--rollback", "--set-aside", "--replace"].into_iter().filter(|way| words.contains(way));
            assert_eq!(ways.collect::<Vec<_>>(), offered, "{words}");
            let (reason, ways) = words.split_once("to continue").unwrap();
            assert!(
                reason.contains(&format!("zfs release keep 'q/a@{name}'")) && ways.contains("--set-aside"),
                "{words}"
            );
        }
        let failed = rollback.refused(&Failure::new(Refusal::Busy, "dataset is busy"));
        assert!(
            failed.ends_with("it could not be resolved: dataset is busy") && failed.contains("--replace"),
            "{failed}"
        );
        let unsendable = rollback.unsendable("dataset key must be loaded");
        assert!(
            unsendable.ends_with("can't be: dataset key must be loaded") && unsendable.contains("@own"),
            "{unsendable}"
        );
        assert!(!unsendable.contains("--"), "{unsendable}");
    }

    /// What is lacking above is lacking for each new start: nobody is sent from one to the other.
    #[test]
    fn what_could_not_be_created_is_not_offered_by_another_name() {
        let granted = |here: &str| {
            let here: Vec<String> = here.split_terminator(',').map(ToOwned::to_owned).collect();
            Rights::Granted(Granted { below: here.clone(), here })
        };
        let dataset: DatasetName = "q/a".parse().unwrap();
        let replace = solvable(Resolution::Replace { dataset: dataset.clone(), loses: Vec::new(), whole: true });
        let restore = vec![Restore { dataset: dataset.clone(), snapshot: "s1".parse().unwrap(), guid: Guid(1) }];
        let aside = "q/a.old".parse().unwrap();
        let set_aside = solvable(Resolution::SetAside { dataset, aside, restore, top: false });
        let all = "receive,create,mount,canmount,readonly,volmode,userprop,clone,rename";
        for (solvable, own, above, offered) in [
            (&replace, "destroy,mount", "", ["--rollback"].as_slice()),
            (&replace, "destroy,mount", "receive,create", &["--rollback"]),
            (&set_aside, "rename,mount,clone,promote", "mount,create", &["--rollback"]),
            // The others don't need these.
            (&set_aside, "rename,mount,clone,promote", all, &["--rollback", "--replace"]),
            (&replace, "mount", all, &["--rollback", "--set-aside"]),
        ] {
            let needs = Needs::of(&solvable.resolution, false).unwrap();
            let words = solvable.refused(&needs.refusal("repl", &granted(own), &granted(above), false).unwrap());
            let ways = ["--rollback", "--set-aside", "--replace"].into_iter().filter(|way| words.contains(way));
            assert_eq!(ways.collect::<Vec<_>>(), offered, "{words}");
            assert!(words.contains("zfs allow repl "), "{words}");
        }
    }
}

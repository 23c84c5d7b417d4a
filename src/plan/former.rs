//! What datasets were called on the target before they were renamed at the source and sent again: found by zfsync's own bookmarks, which
//! a rename takes along. Once the copy under the new name is in sync, such a bookmark only keeps snapshots from being pruned.

use std::collections::HashMap;

use super::Notes;
use super::negotiate::Negotiation;
use super::not_destroyed::{is_set_aside, not_put_there};
use super::registry::strangers;
use zfs::Tag;
use zfs::name::{DatasetName, RelPath, SnapshotName};

impl Negotiation {
    /// Whether the source has bookmarks of ours that are of none of its targets: `known` has those targets' tags of a dataset.
    #[must_use]
    pub fn has_strangers(&self, known: impl Fn(&RelPath) -> Vec<Tag>) -> bool {
        self.items.iter().any(|item| !strangers(&item.source, &known(&item.source.path)).is_empty())
    }

    /// The datasets among these of the target that an item has a bookmark of, though its own counterpart is another one.
    #[must_use]
    pub fn formerly(
        &self,
        names: &[DatasetName],
        known: impl Fn(&RelPath) -> Vec<Tag>,
    ) -> Vec<(DatasetName, DatasetName)> {
        let Some(tags) = &self.tags else { return Vec::new() };
        let unknown = |item: &super::item::Item| {
            let mut of_known = known(&item.source.path);
            of_known.push(tags.of(&item.target_name));
            strangers(&item.source, &of_known)
        };
        let unknown: Vec<_> = self.items.iter().map(|item| (item, unknown(item))).collect();
        let unknown: Vec<_> = unknown.into_iter().filter(|(_, tags)| !tags.is_empty()).collect();
        if unknown.is_empty() {
            return Vec::new();
        }
        let there: Vec<(Tag, &DatasetName)> = names.iter().map(|name| (tags.of(name), name)).collect();
        let by_tag: HashMap<&str, &DatasetName> =
            there.iter().flat_map(|(tag, name)| tag.names().map(|one| (one, *name))).collect();
        let found = unknown.into_iter().flat_map(|(item, tags)| {
            let names = tags.into_iter().filter_map(|tag| tag.names().find_map(|one| by_tag.get(one).copied()));
            names.map(|name| (item.target_name.clone(), name.clone())).collect::<Vec<_>>()
        });
        found.collect()
    }

    /// Believes those pairs of new and old name where the notes on the target say that this source has put the old one there, as a part of
    /// this target: another target of the same source that lies within this one has bookmarks, too.
    pub fn supersede(&mut self, pairs: Vec<(DatasetName, DatasetName)>, notes: &HashMap<DatasetName, Notes>, by: u32) {
        for (name, old) in pairs {
            let put = notes.get(&old).and_then(|notes| notes.put.as_ref());
            let Some(path) = old.below(&self.target).filter(|path| path.depth() > 0) else { continue };
            let is_ours = put.is_some_and(|put| put.at.is_some()) && not_put_there(put, &path, by).is_none();
            if is_ours && !is_set_aside(&old) {
                self.former.entry(name).or_default().push(old);
            }
        }
    }

    /// What a dataset of the target was called before, where a copy by that name is superseded.
    #[must_use]
    pub fn former_names(&self, index: usize) -> &[DatasetName] {
        let item = self.items.get(index);
        item.and_then(|item| self.former.get(&item.target_name)).map_or(&[], Vec::as_slice)
    }

    /// The bookmarks that items brought along from names that the target's datasets had before this run renamed them: the dataset, the
    /// bookmark, and how it is called now.
    #[must_use]
    pub fn brought_along(&self) -> Vec<(DatasetName, SnapshotName, SnapshotName)> {
        let Some(tags) = &self.tags else { return Vec::new() };
        let mut all = Vec::new();
        for item in &self.items {
            let Some(was) = &item.was else { continue };
            let (old, new) = (tags.of(was), tags.of(&item.target_name));
            let mut there: Vec<(SnapshotName, _)> =
                item.source.bookmarks.iter().map(|mark| (mark.snapshot_name(), mark.guid)).collect();
            for mark in item.source.bookmarks.iter() {
                let Some(name) = old.renamed(&new, &item.source_name, (mark.name, mark.guid), &there) else { continue };
                there.push((name.clone(), mark.guid));
                all.push((item.source_name.clone(), mark.snapshot_name(), name));
            }
        }
        all
    }

    /// These bookmarks have got their new names.
    pub fn bookmarks_renamed(&mut self, renamed: &[(DatasetName, SnapshotName, SnapshotName)]) {
        let renamed: HashMap<(&DatasetName, &str), &SnapshotName> =
            renamed.iter().map(|(dataset, old, new)| ((dataset, old.as_str()), new)).collect();
        for item in self.items.iter_mut().filter(|item| item.was.is_some()) {
            let name = |old: &str| {
                let new = renamed.get(&(&item.source_name, old)).map(|new| (*new).clone());
                new.unwrap_or_else(|| SnapshotName::from_checked(old))
            };
            let mut marks = zfs::Versions::default();
            for mark in item.source.bookmarks.iter() {
                marks.push(&name(mark.name), mark.guid, mark.txg);
            }
            item.source.bookmarks = marks;
        }
    }
}

#[cfg(test)]
#[path = "former_tests.rs"]
mod tests;

//! Which snapshots on the way to the newest one are sent, and in how few steps: without what `--newest-only` and
//! `--skip-empty` leave out.

use std::collections::HashMap;
use std::ops::Range;

use super::SourceDataset;
use super::diff::newest_common;
use super::item::OnTarget;
use super::negotiate::Negotiation;
use super::step::{BaseKind, Step};
use super::verdict::Verdict;
use zfs::Version;
use zfs::name::Guid;

impl SourceDataset {
    /// Whether the snapshot at `index` is sent to a target that has an older one. The newest always is.
    pub(super) fn sends(&self, index: usize, newest_only: bool) -> bool {
        let wanted = |version: Version<'_>| !newest_only && !self.empty.contains(&version.guid);
        index + 1 == self.snapshots.len() || self.snapshots.get(index).is_some_and(wanted)
    }

    /// The first snapshot at `index` or after it that is sent.
    pub(super) fn next_sent(&self, index: usize, newest_only: bool) -> Option<usize> {
        (index..self.snapshots.len()).find(|&at| self.sends(at, newest_only))
    }

    /// How a target that has the snapshot at `index` gets all that it is sent: where each step ends, and whether all that
    /// lies between comes along. There is no shorter way: nothing but a step of its own leaves something out.
    pub(super) fn hops(&self, index: usize, newest_only: bool) -> Vec<(usize, bool)> {
        let mut hops = Vec::new();
        let mut at = index;
        while let Some(mut to) = self.next_sent(at + 1, newest_only) {
            if to == at + 1 {
                while to + 1 < self.snapshots.len() && self.sends(to + 1, newest_only) {
                    to += 1;
                }
                hops.push((to, to - at > 1));
            } else {
                hops.push((to, false));
            }
            at = to;
        }
        hops
    }

    /// The snapshots that the steps could leave out: those after the first that the target has, or gets in any case, and
    /// before the newest.
    fn between(&self, steps: &[Step]) -> Range<usize> {
        let (Some(first), Some(last)) = (steps.first(), self.snapshots.len().checked_sub(1)) else { return 0..0 };
        let after = |guid: Guid| self.snapshots.iter().position(|version| version.guid == guid).map(|at| at + 1);
        let from = match &first.base {
            Some(base) if base.kind == BaseKind::Bookmark => {
                let mark = self.bookmarks.iter().find(|mark| mark.guid == base.guid);
                mark.and_then(|mark| self.snapshots.iter().position(|version| version.txg > mark.txg))
            }
            Some(base) => after(base.guid),
            None => after(first.to_guid),
        };
        from.unwrap_or(last).min(last)..last
    }
}

impl Negotiation {
    /// Leaves out snapshots that change nothing.
    #[must_use]
    pub fn with_skip_empty(mut self, skip_empty: bool) -> Self {
        self.skip_empty = skip_empty;
        self
    }

    /// The source's snapshots of which it must be known whether they change anything, and isn't yet; by full names.
    #[must_use]
    pub fn wants_written(&self) -> Vec<String> {
        (0..self.items.len()).flat_map(|index| self.wants_written_of(index)).collect()
    }

    /// The same for one item.
    #[must_use]
    pub fn wants_written_of(&self, index: usize) -> Vec<String> {
        let Some(item) = self.items.get(index).filter(|_| self.skip_empty && !self.newest_only) else {
            return Vec::new();
        };
        let steps = match (self.verdict(item), &item.on_target) {
            // It may be about the name of one that changes nothing.
            (Verdict::Conflict(_), OnTarget::Listed(target)) => newest_common(&item.source, target)
                .map(|common| common.steps(&item.source, self.newest_only))
                .unwrap_or_default(),
            (verdict, _) => verdict.steps().to_vec(),
        };
        let Range { start, end } = item.source.between(&steps);
        let unknown = (start..item.weighed_from.unwrap_or(end).min(end)).filter_map(|at| item.source.snapshots.get(at));
        unknown.map(|version| item.source_name.at(version.name)).collect()
    }

    /// Takes the answers: how much was written between each of them and the snapshot before it. One that isn't among
    /// them counts as full.
    pub fn written(&mut self, written: &[(String, u64)]) {
        let mut found: HashMap<&str, HashMap<&str, u64>> = HashMap::new();
        for (name, bytes) in written {
            if let Some((dataset, snapshot)) = name.split_once('@') {
                found.entry(dataset).or_default().insert(snapshot, *bytes);
            }
        }
        for item in &mut self.items {
            let Some(found) = found.get(item.source_name.as_str()) else { continue };
            for (at, version) in item.source.snapshots.iter().enumerate() {
                let Some(bytes) = found.get(version.name) else { continue };
                item.weighed_from = Some(item.weighed_from.map_or(at, |from| from.min(at)));
                if *bytes == 0 {
                    item.source.empty.insert(version.guid);
                }
            }
        }
    }
}

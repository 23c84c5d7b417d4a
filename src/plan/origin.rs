//! What copies are copies of. Where SOURCE has copies of datasets of TARGET, the two are swapped, and what would be received is none of
//! the target's business.

use super::Negotiation;
use super::item::OnTarget;
use super::verdict::Verdict;
use zfs::name::DatasetName;
use zfs::{Put, place};

/// Whether this dataset is what the note on a copy says that it has come from. `tag`: what stands in notes for a source of its host.
pub fn is_origin(put: &Put, dataset: &DatasetName, tag: impl Fn(&DatasetName) -> u32) -> bool {
    let tops = dataset.ancestors().into_iter().chain([dataset.clone()]);
    let mut tops = tops.filter(|top| tag(top) == put.by);
    tops.any(|top| dataset.below(&top).is_some_and(|path| put.at.map_or(top == *dataset, |at| at == place(&path))))
}

impl Negotiation {
    /// Tells that the run makes bookmarks of what is in sync, or of nothing.
    #[must_use]
    pub fn with_bookmarks(mut self, makes: bool) -> Self {
        self.makes_bookmarks = makes;
        self
    }

    /// Datasets of the source whose counterparts exist and may be what they have come from, each with that: there is no bookmark for
    /// this target. In sync is only of interest what would get one now.
    #[must_use]
    pub fn wants_origins(&self) -> Vec<(DatasetName, DatasetName)> {
        // A restore goes this way on purpose, and overwrites nothing.
        if self.is_restore {
            return Vec::new();
        }
        let items = self.items.iter().filter(|item| match &item.on_target {
            OnTarget::Settled(Verdict::InSync) => self.makes_bookmarks,
            OnTarget::Based(..) | OnTarget::Unlisted | OnTarget::Listed(_) => true,
            OnTarget::Settled(_) | OnTarget::Asked { .. } | OnTarget::Missing => false,
        });
        let is_known =
            |target, bookmarks| self.tags.as_ref().is_some_and(|tags| tags.of(target).newest(bookmarks).is_some());
        let unknown = items.filter(|item| !is_known(&item.target_name, &item.source.bookmarks));
        unknown.map(|item| (item.source_name.clone(), item.target_name.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zfs::hash::stable;
    use zfs::name::Guid;

    fn name(text: &str) -> DatasetName {
        text.parse().unwrap()
    }

    fn tag(host: &str, dataset: &DatasetName) -> u32 {
        u32::try_from(stable(&format!("{host}:{dataset}")) >> 32).unwrap()
    }

    #[test]
    fn a_copy_knows_what_it_is_a_copy_of() {
        let put = |source: &str, path: &str| Put {
            by: tag("alpha", &name(source)),
            at: Some(place(&name(path).below(&name("c")).unwrap())),
            upto: Guid(1),
            txg: None,
            came: Vec::new(),
            foreign: Vec::new(),
            missing: Some(Vec::new()),
        };
        let comes_from = |put: &Put, host: &str, dataset: &str| is_origin(put, &name(dataset), |top| tag(host, top));
        let top = put("p/data", "c");
        assert!(comes_from(&top, "alpha", "p/data"));
        assert!(!comes_from(&top, "beta", "p/data") && !comes_from(&top, "alpha", "p/data2"));
        // What lies below is a copy of what lies below, and nothing else.
        assert!(comes_from(&put("p/data", "c/home/x"), "alpha", "p/data/home/x"));
        assert!(!comes_from(&put("p/data", "c/home/x"), "alpha", "p/data/home"));
        assert!(!comes_from(&put("p/data", "c/home"), "alpha", "p/data"));
        assert!(!comes_from(&top, "alpha", "p/data/new") && !comes_from(&top, "alpha", "p"));
        // Notes of older versions don't tell the place.
        let without = Put { at: None, ..top };
        assert!(comes_from(&without, "alpha", "p/data"));
        assert!(!comes_from(&without, "alpha", "p/data/home"));
    }
}

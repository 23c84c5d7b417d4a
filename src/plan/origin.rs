//! What copies are copies of. Where SOURCE has copies of datasets of TARGET, the two are swapped, and what would be received is none of
//! the target's business.

use std::collections::HashMap;

use super::Negotiation;
use super::item::OnTarget;
use super::verdict::Verdict;
use zfs::name::DatasetName;
use zfs::{Put, place};

/// What stands in a copy's note for what it has come from: which source, and where below the target it was put.
type Origin = (u32, Option<u32>);

/// Those of SOURCE's datasets that are copies, by what the notes on them say that they have come from.
#[derive(Debug, Default)]
pub struct Copies {
    by_name: HashMap<DatasetName, Origin>,
    by_origin: HashMap<Origin, DatasetName>,
}

impl Copies {
    /// Whether this copy has come from this dataset. `tag`: what stands in notes for a source of its host.
    pub fn has_come_from(&self, copy: &DatasetName, dataset: &DatasetName, tag: impl Fn(&DatasetName) -> u32) -> bool {
        self.by_name.get(copy).is_some_and(|origin| origins(dataset, &tag).any(|one| one == *origin))
    }

    /// A copy that has come from this dataset.
    pub fn copy_of(&self, dataset: &DatasetName, tag: impl Fn(&DatasetName) -> u32) -> Option<&DatasetName> {
        origins(dataset, &tag).find_map(|origin| self.by_origin.get(&origin))
    }
}

impl<'a> FromIterator<(DatasetName, &'a Put)> for Copies {
    fn from_iter<T: IntoIterator<Item = (DatasetName, &'a Put)>>(all: T) -> Self {
        let mut copies = Self::default();
        for (name, put) in all {
            copies.by_origin.entry((put.by, put.at)).or_insert_with(|| name.clone());
            copies.by_name.insert(name, (put.by, put.at));
        }
        copies
    }
}

/// All that can stand for a dataset: SOURCE may have been any dataset above it. Notes of older versions have no place, and tell only of
/// SOURCE itself.
fn origins(dataset: &DatasetName, tag: &impl Fn(&DatasetName) -> u32) -> impl Iterator<Item = Origin> {
    let placed = |top: DatasetName| Some((tag(&top), Some(place(&dataset.below(&top)?))));
    let tops = dataset.ancestors().into_iter().chain([dataset.clone()]);
    tops.filter_map(placed).chain([(tag(dataset), None)])
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

    fn put(source: &str, path: &str) -> Put {
        Put {
            by: tag("alpha", &name(source)),
            at: Some(place(&name(path).below(&name("c")).unwrap())),
            upto: Guid(1),
            txg: None,
            came: Vec::new(),
            foreign: Vec::new(),
            missing: Some(Vec::new()),
        }
    }

    #[test]
    fn a_copy_knows_what_it_is_a_copy_of() {
        let comes_from = |put: &Put, host: &str, dataset: &str| {
            let copies: Copies = [(name("c/x"), put)].into_iter().collect();
            let (copy, dataset, tag) = (name("c/x"), name(dataset), |top: &DatasetName| tag(host, top));
            let is_known = copies.copy_of(&dataset, tag).is_some();
            assert_eq!(copies.has_come_from(&copy, &dataset, tag), is_known);
            assert!(!copies.has_come_from(&name("c/y"), &dataset, tag));
            is_known
        };
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

    #[test]
    fn each_is_found_among_many() {
        let of = |number: usize| (name(&format!("c/{number}")), put("p/data", &format!("c/{number}")));
        let all: Vec<(DatasetName, Put)> = (0..20_000).map(of).collect();
        let copies: Copies = all.iter().map(|(name, put)| (name.clone(), put)).collect();
        let copy_of = |dataset: &str| copies.copy_of(&name(dataset), |top| tag("alpha", top)).map(DatasetName::as_str);
        for number in 0..20_000 {
            assert_eq!(copy_of(&format!("p/data/{number}")), Some(&*format!("c/{number}")));
        }
        assert_eq!((copy_of("p/data/20000"), copy_of("p/data")), (None, None));
    }
}

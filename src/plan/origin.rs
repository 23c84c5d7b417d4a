//! What copies are copies of. Where SOURCE has copies of datasets of TARGET, the two are swapped, and what would be received is none of
//! the target's business.

use std::collections::HashMap;

use super::Negotiation;
use super::item::OnTarget;
use super::verdict::Verdict;
use zfs::name::{DatasetName, Guid};
use zfs::{Put, SentTo, place};

/// What stands in a copy's note for what it has come from: which source, and where below the target it was put.
pub(super) type Origin = (u32, Option<u32>);

/// Those of SOURCE's datasets that are copies, by what the notes on them say that they have come from.
#[derive(Debug, Default)]
pub struct Copies {
    by_name: HashMap<DatasetName, Origin>,
    by_origin: HashMap<Origin, DatasetName>,
}

impl Copies {
    /// Whether this copy has come from this dataset. `tag`: what stands in notes for a source of its host.
    #[must_use]
    pub fn has_come_from(&self, copy: &DatasetName, dataset: &DatasetName, tag: impl Fn(&DatasetName) -> u32) -> bool {
        self.by_name.get(copy).is_some_and(|origin| origins(dataset, &tag).any(|one| one == *origin))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &DatasetName> {
        self.by_name.keys()
    }

    /// Whether this dataset is a copy.
    #[must_use]
    pub fn has(&self, name: &DatasetName) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether this copy has come with the tree that was put here: its note says that it has this place in it, or that it is of the same
    /// source.
    fn came_with(&self, copy: &DatasetName, target: &DatasetName) -> bool {
        let Some((by, at)) = self.by_name.get(copy) else { return false };
        let is_in_place = at.is_some() && copy.below(target).map(|path| place(&path)) == *at;
        is_in_place || self.by_name.get(target).is_some_and(|(other, _)| other == by)
    }

    /// A copy that has come from this dataset.
    #[must_use]
    pub fn copy_of(&self, dataset: &DatasetName, tag: impl Fn(&DatasetName) -> u32) -> Option<&DatasetName> {
        origins(dataset, &tag).find_map(|origin| self.by_origin.get(&origin))
    }
}

/// What datasets of TARGET's host are recorded to have as targets, of which SOURCE, or datasets in or above it, may be some. Neither new
/// names nor a new host name change that.
#[derive(Debug, Default)]
pub struct Proven {
    /// A dataset there, and its target on SOURCE's host.
    sent: Vec<(DatasetName, DatasetName)>,
}

impl Proven {
    /// From the records, each with the dataset that has it, and the guids of datasets of SOURCE's pool: of its root as far as it may be known.
    #[must_use]
    pub fn new(records: &[(DatasetName, SentTo)], guids: &HashMap<DatasetName, Guid>) -> Self {
        let by_guid: HashMap<Guid, &DatasetName> = guids.iter().map(|(name, guid)| (*guid, name)).collect();
        let target = |to: &SentTo| {
            let name = match (to.top, &to.dataset) {
                (Some(top), _) => *by_guid.get(&top)?,
                (None, Some(dataset)) => guids.get_key_value(dataset)?.0,
                (None, None) => return None,
            };
            let pool = name.pool().parse().ok().and_then(|root: DatasetName| guids.get(&root)).copied();
            // Who may not look at the pool's root has the guid of the dataset itself.
            let is_it = pool.map_or(to.top.is_some(), |pool| pool == to.pool);
            is_it.then(|| name.clone())
        };
        Self { sent: records.iter().filter_map(|(on, to)| Some((on.clone(), target(to)?))).collect() }
    }

    /// Whether there is nothing of the kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether this copy has come from this dataset: the one that lies where it would have been put; or another one in that tree, which
    /// was renamed since, if the copy has come with the tree. `is_copy`: the dataset is one itself.
    #[must_use]
    pub fn has_come_from(&self, copies: &Copies, copy: &DatasetName, dataset: &DatasetName, is_copy: bool) -> bool {
        self.sent.iter().any(|(on, target)| match (dataset.below(on), copy.below(target)) {
            (Some(here), Some(there)) => here == there || !is_copy && copies.came_with(copy, target),
            _ => false,
        })
    }

    /// The copy that would have been put there from this dataset.
    #[must_use]
    pub fn copy_of(&self, copies: &Copies, dataset: &DatasetName) -> Option<DatasetName> {
        let copy = |(on, target): &(DatasetName, DatasetName)| target.join(&dataset.below(on)?).ok();
        self.sent.iter().filter_map(copy).find(|copy| copies.has(copy))
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
pub(super) fn origins(dataset: &DatasetName, tag: &impl Fn(&DatasetName) -> u32) -> impl Iterator<Item = Origin> {
    let placed = |top: DatasetName| Some((tag(&top), Some(place(&dataset.below(&top)?))));
    let tops = dataset.ancestors().into_iter().chain([dataset.clone()]);
    tops.filter_map(placed).chain([(tag(dataset), None)])
}

impl Negotiation {
    /// Tells that the run makes bookmarks of what is in sync, or records it as received; or nothing of the kind.
    #[must_use]
    pub fn with_marks(mut self, marks: bool) -> Self {
        self.marks_what_is_in_sync = marks;
        self
    }

    /// Datasets of the source whose counterparts exist and may be what they have come from, each with that: there is no bookmark for
    /// this target. In sync is only of interest what would be marked now.
    #[must_use]
    pub fn wants_origins(&self) -> Vec<(DatasetName, DatasetName)> {
        // A restore goes this way on purpose, and overwrites nothing.
        if self.is_restore {
            return Vec::new();
        }
        let items = self.items.iter().filter(|item| match &item.on_target {
            OnTarget::Settled(Verdict::InSync) => self.marks_what_is_in_sync,
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
    fn a_copy_is_known_by_guids() {
        let guids: HashMap<DatasetName, Guid> =
            [("b", 1), ("b/c", 2), ("b/c/kid", 3)].map(|(name_of, guid)| (name(name_of), Guid(guid))).into();
        let (here, other) = (put("old/name", "c"), put("x/y", "c"));
        let copies: Copies = [("b/c", &here), ("b/c/kid", &here), ("b/c/of x", &other)]
            .map(|(copy, put)| (name(copy), put))
            .into_iter()
            .collect();
        let sent = |pool, top, dataset: Option<&str>| SentTo { pool: Guid(pool), top, dataset: dataset.map(name) };
        let comes = |to: SentTo, copy: &str, dataset: &str, is_copy| {
            let proven = Proven::new(&[(name("p/live"), to)], &guids);
            proven.has_come_from(&copies, &name(copy), &name(dataset), is_copy)
        };
        let top = || sent(1, Some(Guid(2)), None);
        for (copy, dataset, is_copy, expected) in [
            ("b/c", "p/live", false, true),
            ("b/c/kid", "p/live/kid", true, true),
            // Renamed since.
            ("b/c/kid", "p/live/child", false, true),
            ("b/c/kid", "p/live/child", true, false),
            // From elsewhere, or to it.
            ("b/c/of x", "p/live/copy", false, false),
            ("b/c", "p/live2", false, false),
            ("b", "p/live", false, false),
        ] {
            assert_eq!(comes(top(), copy, dataset, is_copy), expected, "{copy} {dataset} {is_copy}");
        }
        // Where SOURCE is in the tree, nothing is known of its top.
        let (kid, elsewhere) = (put("old/name", "c/kid"), put("old/name", "c"));
        let proven = Proven::new(&[(name("p/live"), top())], &guids);
        for (put, expected) in [(&kid, true), (&elsewhere, false)] {
            let only: Copies = [(name("b/c/kid"), put)].into_iter().collect();
            assert_eq!(proven.has_come_from(&only, &name("b/c/kid"), &name("p/live/child"), false), expected);
        }
        // Only a dataset in it was sent.
        assert!(comes(sent(1, Some(Guid(3)), None), "b/c/kid", "p/live", false));
        assert!(!comes(sent(1, Some(Guid(3)), None), "b/c", "p/live", false));
        // Another dataset, another pool; and a record without the guid of its target.
        assert!(!comes(sent(1, Some(Guid(4)), None), "b/c", "p/live", false));
        assert!(!comes(sent(2, Some(Guid(2)), None), "b/c", "p/live", false));
        assert!(comes(sent(1, None, Some("b/c")), "b/c", "p/live", false));
        assert!(!comes(sent(2, None, Some("b/c")), "b/c", "p/live", false));
        assert!(!comes(sent(1, None, Some("b/d")), "b/c", "p/live", false));
        let proven = Proven::new(&[(name("p/live"), top())], &guids);
        let copy_of = |dataset: &str| proven.copy_of(&copies, &name(dataset)).map(|copy| copy.to_string());
        assert_eq!(copy_of("p/live/kid").as_deref(), Some("b/c/kid"));
        assert_eq!((copy_of("p/live/child"), copy_of("p")), (None, None));
        // Whose key is for less than the pool knows no guid of its root: that of the dataset is enough, a name isn't.
        let few: HashMap<DatasetName, Guid> = [(name("b/c"), Guid(2))].into();
        let is_known = |to| Proven::new(&[(name("p/live"), to)], &few).copy_of(&copies, &name("p/live")).is_some();
        assert!(is_known(top()) && !is_known(sent(1, None, Some("b/c"))));
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

//! The renames of a run, one after the other: what a dataset is called after them, and what it was called before.

use std::collections::HashMap;

use super::Move;
use zfs::name::DatasetName;

/// Renames, each of which names what there is after those before it.
#[derive(Debug, Default)]
pub struct Renames {
    /// The old name and the new one of each.
    all: Vec<(DatasetName, DatasetName)>,
    /// Their places by the old names, in order.
    from: HashMap<DatasetName, Vec<usize>>,
    /// By the new ones.
    to: HashMap<DatasetName, Vec<usize>>,
}

impl Renames {
    /// One more.
    pub(super) fn push(&mut self, one: &Move) {
        let place = self.all.len();
        self.from.entry(one.from.clone()).or_default().push(place);
        self.to.entry(one.to.clone()).or_default().push(place);
        self.all.push((one.from.clone(), one.to.clone()));
    }

    /// What a dataset is called after them.
    #[must_use]
    pub fn after(&self, name: &DatasetName) -> DatasetName {
        let (mut name, mut start) = (name.clone(), 0);
        let first = |all: &Vec<usize>, start| all.get(all.partition_point(|place| *place < start)).copied();
        while let Some(next) = up(&name).filter_map(|top| first(self.from.get(&top)?, start)).min() {
            let (from, to) = &self.all[next];
            name = instead(&name, from, to).unwrap_or(name);
            start = next + 1;
        }
        name
    }

    /// What a dataset was called before them.
    pub(super) fn before(&self, name: &DatasetName) -> DatasetName {
        let (mut name, mut end) = (name.clone(), self.all.len());
        let last = |all: &Vec<usize>, end| all[..all.partition_point(|place| *place < end)].last().copied();
        while let Some(next) = up(&name).filter_map(|top| last(self.to.get(&top)?, end)).max() {
            let (from, to) = &self.all[next];
            name = instead(&name, to, from).unwrap_or(name);
            end = next;
        }
        name
    }

    /// Whether one of them gives a dataset this name.
    pub(super) fn gives(&self, name: &DatasetName) -> bool {
        self.to.contains_key(name)
    }

    /// Whether one of them gives this name to a dataset, or to one above.
    pub(super) fn reaches(&self, name: &DatasetName) -> bool {
        up(name).any(|top| self.gives(&top))
    }
}

impl<'a> FromIterator<&'a Move> for Renames {
    fn from_iter<I: IntoIterator<Item = &'a Move>>(moves: I) -> Self {
        let mut all = Self::default();
        moves.into_iter().for_each(|one| all.push(one));
        all
    }
}

/// The name of a dataset and of those above it, upwards.
pub(super) fn up(name: &DatasetName) -> impl Iterator<Item = DatasetName> + use<> {
    std::iter::successors(Some(name.clone()), DatasetName::parent)
}

/// The name with one part at its start in place of another; `None`: it doesn't start so, or would be too long.
fn instead(name: &DatasetName, old: &DatasetName, new: &DatasetName) -> Option<DatasetName> {
    new.join(&name.below(old)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use zfs::name::Guid;

    fn a_move((from, to): &(DatasetName, DatasetName)) -> Move {
        let (from, to, snapshot) = (from.clone(), to.clone(), "s".parse().unwrap());
        Move { from, to, snapshot, guid: Guid(1), ancestors: Vec::new(), top_ancestor: None }
    }

    fn renames(all: &[(DatasetName, DatasetName)]) -> Renames {
        all.iter().map(a_move).collect::<Vec<_>>().iter().collect()
    }

    #[test]
    fn each_names_what_there_is_after_those_before_it() {
        let name = |text: &str| text.parse::<DatasetName>().unwrap();
        let all = renames(&[
            (name("t/a"), name("t/b")),
            (name("t/b/kid"), name("t/c")),
            (name("t/new"), name("t/a")),
            (name("t/ab"), name("t/d")),
        ]);
        for (before, after) in [
            ("t/a", "t/b"),
            ("t/a/x", "t/b/x"),
            ("t/a/kid/x", "t/c/x"),
            ("t/new", "t/a"),
            ("t/ab", "t/d"),
            ("t/abc", "t/abc"),
        ] {
            assert_eq!((all.after(&name(before)), all.before(&name(after))), (name(after), name(before)));
        }
        assert!(all.gives(&name("t/c")) && !all.gives(&name("t/c/x")) && !all.gives(&name("t/new")));
        assert!(all.reaches(&name("t/c/x")) && !all.reaches(&name("t/cx")) && !all.reaches(&name("t")));
    }

    /// Names of few parts, so that many lie below others; some are too long once they have moved down.
    fn a_name() -> impl Strategy<Value = DatasetName> {
        let part = prop_oneof![4 => Just("a".to_owned()), 4 => Just("b".to_owned()), 1 => Just("x".repeat(80))];
        let name = |parts: Vec<String>| format!("t/{}", parts.join("/")).parse().unwrap();
        prop::collection::vec(part, 1..=3).prop_map(name)
    }

    proptest! {
        /// As one rename after the other does it, however many there are of a name.
        #[test]
        fn found_by_path_as_one_after_the_other(
            all in prop::collection::vec((a_name(), a_name()), 0..8),
            name in a_name(),
        ) {
            let found = renames(&all);
            let (mut after, mut before) = (name.clone(), name.clone());
            for (from, to) in &all {
                after = instead(&after, from, to).unwrap_or(after);
            }
            for (from, to) in all.iter().rev() {
                before = instead(&before, to, from).unwrap_or(before);
            }
            prop_assert_eq!((found.after(&name), found.before(&name)), (after, before));
            prop_assert_eq!(found.gives(&name), all.iter().any(|(_, to)| *to == name));
            prop_assert_eq!(found.reaches(&name), all.iter().any(|(_, to)| name.is_within(to)));
        }
    }
}

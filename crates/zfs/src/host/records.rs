//! The targets that are recorded on the datasets of a tree of copies. A prune asks for one dataset after the other: from the fifth on,
//! the records of the whole tree are read by two processes, however many datasets it has.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::query::{all, properties};
use super::run::{read, run};
use crate::name::DatasetName;
use crate::recorded::Recorded;
use crate::{Failure, Property, TARGET_PROPERTY, Tag, Zfs, read_target_records};

/// So many datasets are asked for alone: a few of a large tree must not cost reading all of it.
const ALONE: usize = 4;

/// What is known of the records. Like the listing that a prune goes by, it is read once: it may be older than a new target, which has no
/// snapshot yet to continue from.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// So many datasets were asked for alone.
    asked: usize,
    /// What holds all that were asked for.
    top: Option<DatasetName>,
    tree: Tree,
}

/// The records of a tree, and those above it, by the dataset that has them.
#[derive(Debug, Default)]
enum Tree {
    #[default]
    Unread,
    /// Each dataset is asked for alone, as one of them can't be read.
    Unreadable,
    Read(HashMap<DatasetName, Vec<Property>>),
}

impl Records {
    /// The records of targets that a dataset is selected for, each with the tag of its bookmarks; none where the record can't be read.
    pub fn of(&self, zfs: &Zfs, dataset: &DatasetName) -> Result<Vec<(String, Option<Tag>)>, Failure> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let top = known.reach(dataset);
        if known.asked < ALONE {
            known.asked += 1;
        } else {
            if matches!(known.tree, Tree::Unread) {
                known.tree = read_tree(zfs, &top).map_or(Tree::Unreadable, Tree::Read);
            }
            if let Tree::Read(tree) = &known.tree {
                // Also what one nearer hides: a line that was forged by a line feed in another dataset's value hides nothing.
                let around = std::iter::successors(Some(dataset.clone()), DatasetName::parent);
                return Ok(around
                    .filter_map(|on| tree.get(&on))
                    .flatten()
                    .filter_map(|one| tag(one, dataset))
                    .collect());
            }
        }
        drop(known);
        let set = properties(&run(zfs.set_properties(dataset), all)?, dataset);
        Ok(set.iter().filter_map(|one| tag(one, dataset)).collect())
    }
}

impl Known {
    /// Takes one more dataset into the tree, and tells its top. A tree that was read below that counts no more.
    fn reach(&mut self, dataset: &DatasetName) -> DatasetName {
        let top = match &self.top {
            Some(top) if dataset.is_within(top) => return top.clone(),
            Some(top) => around(top, dataset),
            None => dataset.clone(),
        };
        self.top = Some(top.clone());
        self.tree = Tree::Unread;
        top
    }
}

/// The lowest dataset that holds both; the second one itself where they are of different pools.
fn around(one: &DatasetName, other: &DatasetName) -> DatasetName {
    let mut above = std::iter::successors(Some(other.clone()), DatasetName::parent);
    above.find(|above| one.is_within(above)).unwrap_or_else(|| other.clone())
}

fn read_tree(zfs: &Zfs, top: &DatasetName) -> Result<HashMap<DatasetName, Vec<Property>>, Failure> {
    let mut tree: HashMap<_, Vec<_>> = HashMap::new();
    let above = properties(&run(zfs.set_properties(top), all)?, top);
    let below = read(zfs.settings_below(top), read_target_records)?;
    for one in above.into_iter().filter(|one| one.on != *top && is_record(one)).chain(below) {
        tree.entry(one.on.clone()).or_default().push(one);
    }
    Ok(tree)
}

fn is_record(property: &Property) -> bool {
    property.name.starts_with(TARGET_PROPERTY)
}

/// The record in a property, if it is one of a target that this dataset is selected for, and how that target's bookmarks are tagged.
fn tag(property: &Property, dataset: &DatasetName) -> Option<(String, Option<Tag>)> {
    let path = dataset.below(&property.on).filter(|_| is_record(property))?;
    let tag = match serde_json::from_str::<Recorded>(&property.value) {
        Ok(target) => Some(target.tag(&path)?),
        Err(_) => None,
    };
    Some((property.name.clone(), tag))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;

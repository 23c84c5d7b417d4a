//! What datasets say of their snapshots as bases of increments. As recursive snapshots share their names, there is a process for
//! each name and not for each dataset.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::portions::portions;
use super::run::{run, run_listing};
use crate::Failure;
use crate::name::{DatasetName, Guid, SnapshotName};
use crate::{BaseFacts, Zfs, read_base_facts, read_iv_sets};

/// Answers for these snapshots and datasets, by their names.
pub(super) fn facts(zfs: &Zfs, names: &[&str]) -> Result<HashMap<String, BaseFacts>, Failure> {
    // The receive will see what was written a moment ago. Without it only that would be missed.
    for pool in pools(names) {
        let _ = run(zfs.sync(pool), |_| Ok(()));
    }
    let mut all = HashMap::with_capacity(names.len());
    for (snapshot, datasets) in by_snapshot(names) {
        for some in portions(&datasets, |dataset| dataset.as_str().len()) {
            for (dataset, mut facts) in run_listing(zfs.base_facts(snapshot.as_ref(), some), read_base_facts)? {
                let name = match &snapshot {
                    None => {
                        // Since its newest snapshot, which nobody has asked for.
                        facts.written = None;
                        dataset.to_string()
                    }
                    Some(_) if facts.written.is_none() => continue,
                    Some(snapshot) => dataset.at(snapshot.as_str()),
                };
                all.insert(name, facts);
            }
        }
    }
    let encrypted =
        |name: &&&str| name.contains('@') && all.get(**name).is_some_and(|facts| facts.encryption_root.is_some());
    let encrypted: Vec<&str> = names.iter().filter(encrypted).copied().collect();
    for (name, iv_set) in iv_sets(zfs, &encrypted)? {
        if let Some(facts) = all.get_mut(&name) {
            facts.iv_set = Some(iv_set);
        }
    }
    Ok(all)
}

/// Only the IV sets of these snapshots: one process, whatever they are called.
pub(super) fn iv_sets_of(zfs: &Zfs, names: &[&str]) -> Result<HashMap<String, BaseFacts>, Failure> {
    let snapshots: Vec<&str> = names.iter().filter(|name| name.contains('@')).copied().collect();
    let found = iv_sets(zfs, &snapshots)?.into_iter();
    Ok(found.map(|(name, iv_set)| (name, BaseFacts { iv_set: Some(iv_set), ..BaseFacts::default() })).collect())
}

/// The pools of these names, each once.
fn pools<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().filter_map(|name| name.split(['/', '@']).next()).collect()
}

/// Datasets by the name of the snapshot that is asked for.
fn by_snapshot(names: &[&str]) -> BTreeMap<Option<SnapshotName>, Vec<DatasetName>> {
    let mut groups: BTreeMap<Option<SnapshotName>, Vec<DatasetName>> = BTreeMap::new();
    for name in names {
        let (dataset, snapshot) = name.split_once('@').map_or((*name, None), |(dataset, rest)| (dataset, Some(rest)));
        let (Ok(dataset), Ok(snapshot)) = (dataset.parse(), snapshot.map(str::parse).transpose()) else { continue };
        groups.entry(snapshot).or_default().push(dataset);
    }
    groups
}

fn iv_sets(zfs: &Zfs, names: &[&str]) -> Result<Vec<(String, Guid)>, Failure> {
    let mut all = Vec::with_capacity(names.len());
    for some in portions(names, |name| name.len()) {
        all.extend(run_listing(zfs.iv_sets(some), read_iv_sets)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pool_is_synced_once() {
        assert_eq!(pools(&["b/x@s", "b", "c@s", "b/y"]).into_iter().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn one_process_for_each_name_of_a_snapshot() {
        let groups = by_snapshot(&["b/x@s", "b/y@s", "b/y@t", "b", "b/@s"]);
        let groups: Vec<(Option<String>, usize)> =
            groups.into_iter().map(|(name, datasets)| (name.map(|name| name.to_string()), datasets.len())).collect();
        assert_eq!(groups, [(None, 1), (Some("s".into()), 2), (Some("t".into()), 1)]);
    }
}

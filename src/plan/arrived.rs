//! What SOURCE's bookmarks tell of the targets that are noted on it.

use super::SourceDataset;
use super::registry::Registered;
use zfs::name::{DatasetName, SnapshotName, Txg};

use zfs::{Tag, snapshot_of};

/// How far a target is, as far as SOURCE knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrived {
    /// So many datasets of SOURCE have a snapshot that it is known to have.
    pub with: usize,
    /// So many have snapshots, of which it is not known to have any.
    pub without: usize,
    /// The newest that it is known to have: full name of the bookmark, and name of the snapshot.
    pub newest: Option<(String, String)>,
}

/// How far a target is; `source` is what it is noted on, and these are its datasets.
#[must_use]
pub fn arrived(source: &DatasetName, datasets: &[SourceDataset], target: &Registered) -> Arrived {
    let (mut told, mut newest) = (Arrived::default(), None);
    for dataset in datasets {
        let (Some(tag), Ok(name)) = (target.tag(&dataset.path), source.join(&dataset.path)) else { continue };
        match tag.has(&dataset.bookmarks) {
            Some(mark) => {
                told.with += 1;
                if newest.is_none_or(|newest: Txg| mark.txg > newest) {
                    newest = Some(mark.txg);
                    told.newest = Some((format!("{name}#{}", mark.name), format!("{name}@{}", snapshot_of(&mark))));
                }
            }
            None if dataset.snapshots.is_empty() => {}
            None => told.without += 1,
        }
    }
    told
}

/// The bookmarks of a target: by dataset, whether that is selected for it or not. `tag` gives its tag for each.
#[must_use]
pub fn bookmarks_of(
    source: &DatasetName,
    datasets: &[SourceDataset],
    tag: impl Fn(&SourceDataset) -> Option<Tag>,
) -> Vec<(DatasetName, SnapshotName)> {
    let own = |dataset: &SourceDataset| {
        let (name, tag) = (source.join(&dataset.path).ok()?, tag(dataset)?);
        let own = dataset.bookmarks.iter().filter(|mark| tag.owns(mark.name));
        Some(own.map(|mark| (name.clone(), mark.snapshot_name())).collect::<Vec<_>>())
    };
    datasets.iter().filter_map(own).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Given, Registry, Seen};
    use zfs::name::Guid;

    #[test]
    fn how_far_a_target_is() {
        let source: DatasetName = "t/a".parse().unwrap();
        let all = Given::default();
        let (written, host, dataset) = ("beta:b/t".into(), "beta:22".into(), "b/t".parse().unwrap());
        let seen = Seen { written, host, dataset, pool: Guid(7), top: None, now: 1, selected: &all };
        let target = Registry::default().identify(&seen).target;
        let dataset = |name: &str, marks: &[(&str, u64)]| {
            let path = name.parse::<DatasetName>().unwrap().below(&source).unwrap();
            let mut dataset = SourceDataset { path, ..SourceDataset::default() };
            dataset.snapshots.push(&"new".parse().unwrap(), Guid(99), Txg(99));
            let tag = target.tag(&dataset.path).unwrap();
            for (mark, txg) in marks {
                dataset.bookmarks.push(&format!("zfsync-{tag}{mark}").parse().unwrap(), Guid(*txg), Txg(*txg));
            }
            dataset
        };
        let datasets = [
            dataset("t/a", &[("-s1", 3), ("-s2", 4)]),
            dataset("t/a/b", &[("-s0", 5)]),
            dataset("t/a/c", &[(".s0", 6)]),
        ];
        let told = arrived(&source, &datasets, &target);
        assert_eq!((told.with, told.without), (2, 1));
        assert_eq!(told.newest.unwrap().1, "t/a/b@s0");
        let of = bookmarks_of(&source, &datasets, |dataset| target.tag(&dataset.path));
        let names: Vec<&str> = of.iter().map(|(dataset, _)| dataset.as_str()).collect();
        assert_eq!(names, ["t/a", "t/a", "t/a/b", "t/a/c"]);
    }
}

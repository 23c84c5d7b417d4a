//! What of a copy comes back: not what was set aside there, and nothing newer than the snapshot that was asked for.

use super::SourceDataset;
use crate::name::{RelPath, SnapshotName};

/// What of a copy comes back, and what doesn't.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restorable {
    /// What comes.
    pub datasets: Vec<SourceDataset>,
    /// What was set aside, with all below it.
    pub set_aside: Vec<RelPath>,
    /// What has no snapshot of the name that was asked for, and none that is older: it may have come later.
    pub without: Vec<RelPath>,
    /// What was there then, and has lost the snapshot of that name.
    pub lost: Vec<RelPath>,
}

/// Chooses what comes back.
#[must_use]
pub fn restorable(listed: Vec<SourceDataset>, until: Option<&SnapshotName>) -> Restorable {
    let mut all = Restorable::default();
    // When the first of them got it, on the copy.
    let named = |dataset: &SourceDataset| {
        until
            .and_then(|until| dataset.snapshots.iter().find(|version| version.name == until.as_str()))
            .map(|version| version.txg)
    };
    let then = listed.iter().filter_map(named).min();
    for mut dataset in listed {
        if is_set_aside(&dataset.path) {
            all.set_aside.push(dataset.path);
            continue;
        }
        if let Some(until) = until {
            let Some(then) = dataset.snapshots.iter().find(|version| version.name == until.as_str()) else {
                let older = dataset.snapshots.oldest().is_some_and(|oldest| then.is_some_and(|then| oldest.txg < then));
                let list = if older { &mut all.lost } else { &mut all.without };
                list.push(dataset.path);
                continue;
            };
            let txg = then.txg;
            dataset.snapshots = dataset.snapshots.iter().filter(|version| version.txg <= txg).collect();
        }
        all.datasets.push(dataset);
    }
    all
}

/// Whether a dataset, or one above it, has a name that `--set-aside` gives: `NAME.zfsync-20241122-031500`.
fn is_set_aside(path: &RelPath) -> bool {
    let stamped = |name: &str| {
        let stamp = name.rsplit_once(".zfsync-").map(|(_, stamp)| stamp);
        stamp.and_then(|stamp| stamp.split_once('-')).is_some_and(|(day, time)| {
            let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(day, 8) && digits(time, 6)
        })
    };
    path.as_str().split('/').any(stamped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{DatasetName, Guid, Txg};
    use crate::plan::Versions;

    fn dataset(path: &str, snapshots: &[&str]) -> SourceDataset {
        let top: DatasetName = "p".parse().unwrap();
        let full: DatasetName = format!("p{path}").parse().unwrap();
        let mut versions = Versions::default();
        for (txg, name) in (1..).zip(snapshots) {
            versions.push(&name.parse().unwrap(), Guid(txg), Txg(txg));
        }
        SourceDataset { path: full.below(&top).unwrap(), snapshots: versions, ..SourceDataset::default() }
    }

    fn names(all: &[RelPath]) -> Vec<&str> {
        all.iter().map(RelPath::as_str).collect()
    }

    #[test]
    fn what_was_set_aside_stays_where_it_is() {
        let listed = [
            dataset("", &["a"]),
            dataset("/x.zfsync-20241122-031500", &["a"]),
            dataset("/x.zfsync-20241122-031500/kid", &["a"]),
            dataset("/x.zfsync-notes", &["a"]),
            dataset("/x.zfsync-20241122", &["a"]),
        ];
        let all = restorable(listed.to_vec(), None);
        assert_eq!(names(&all.set_aside), ["x.zfsync-20241122-031500", "x.zfsync-20241122-031500/kid"]);
        let come: Vec<&str> = all.datasets.iter().map(|dataset| dataset.path.as_str()).collect();
        assert_eq!(come, ["", "x.zfsync-notes", "x.zfsync-20241122"]);
    }

    #[test]
    fn nothing_newer_than_what_was_asked_for_comes() {
        let new = SourceDataset {
            snapshots: dataset("", &["-", "-", "-", "c"]).snapshots.iter().skip(3).collect(),
            ..dataset("/new", &[])
        };
        let listed = vec![dataset("", &["a", "b", "c"]), dataset("/lost", &["a", "c"]), new, dataset("/none", &[])];
        let all = restorable(listed, Some(&"b".parse().unwrap()));
        assert_eq!((names(&all.without), names(&all.lost)), (vec!["new", "none"], vec!["lost"]));
        let left: Vec<&str> = all.datasets[0].snapshots.iter().map(|version| version.name).collect();
        assert_eq!(left, ["a", "b"]);
    }
}

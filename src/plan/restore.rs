//! What of a copy comes back: not what was set aside there, and nothing newer than the snapshot that was asked for.

use std::collections::HashMap;

use super::SourceDataset;
use zfs::name::{RelPath, SnapshotName};

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
    /// What hasn't got it, and may have been there then: its date, or that of the snapshot, can't be told.
    pub unknown: Vec<RelPath>,
}

/// The snapshots whose dates tell which datasets were there when the one was taken that was asked for: that one where it is found first,
/// then the oldest of each dataset that hasn't got it, each with its dataset's path. Nothing where all have it. Dates come with streams;
/// createtxg is that of the copy, which may have got all of them in one run.
#[must_use]
pub fn wanted_dates(listed: &[SourceDataset], until: &SnapshotName) -> Vec<(RelPath, SnapshotName)> {
    let has = |dataset: &&SourceDataset| dataset.snapshots.iter().any(|version| version.name == until.as_str());
    let (with, without): (Vec<&SourceDataset>, Vec<&SourceDataset>) =
        listed.iter().filter(|dataset| !is_set_aside(&dataset.path)).partition(has);
    let oldest = without.into_iter().filter_map(|dataset| {
        let oldest = dataset.snapshots.oldest()?;
        Some((dataset.path.clone(), oldest.snapshot_name()))
    });
    let oldest: Vec<_> = oldest.collect();
    let first = with.first().filter(|_| !oldest.is_empty());
    first.map(|first| (first.path.clone(), until.clone())).into_iter().chain(oldest).collect()
}

/// Chooses what comes back. `dates`: those of the snapshots of [`wanted_dates`], in seconds since 1970, in the same order; `None` for one
/// that can't be told.
#[must_use]
pub fn restorable(
    listed: Vec<SourceDataset>,
    until: Option<&SnapshotName>,
    dates: &[(RelPath, Option<i64>)],
) -> Restorable {
    let mut all = Restorable::default();
    let then = dates.first().and_then(|(_, date)| *date);
    // `None`: nobody can tell.
    let oldest: HashMap<&RelPath, Option<i64>> = dates.iter().skip(1).map(|(of, oldest)| (of, *oldest)).collect();
    let was_there = |path: &RelPath| match oldest.get(path) {
        // It has no snapshot at all.
        None => Some(false),
        Some(oldest) => oldest.zip(then).map(|(oldest, then)| oldest < then),
    };
    for mut dataset in listed {
        if is_set_aside(&dataset.path) {
            all.set_aside.push(dataset.path);
            continue;
        }
        if let Some(until) = until {
            let Some(then) = dataset.snapshots.iter().find(|version| version.name == until.as_str()) else {
                let list = match was_there(&dataset.path) {
                    Some(true) => &mut all.lost,
                    Some(false) => &mut all.without,
                    None => &mut all.unknown,
                };
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

/// Whether a dataset comes back when the copy above it does: not if it was set aside.
#[must_use]
pub fn comes_back(path: &RelPath) -> bool {
    !is_set_aside(path)
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
    use zfs::Versions;
    use zfs::name::{DatasetName, Guid, Txg};

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
        let all = restorable(listed.to_vec(), None, &[]);
        assert_eq!(names(&all.set_aside), ["x.zfsync-20241122-031500", "x.zfsync-20241122-031500/kid"]);
        let come: Vec<&str> = all.datasets.iter().map(|dataset| dataset.path.as_str()).collect();
        assert_eq!(come, ["", "x.zfsync-notes", "x.zfsync-20241122"]);
    }

    #[test]
    fn nothing_newer_than_what_was_asked_for_comes() {
        let listed = vec![
            dataset("", &["a", "b", "c"]),
            dataset("/lost", &["a", "c"]),
            dataset("/new", &["c"]),
            dataset("/none", &[]),
        ];
        let until = "b".parse().unwrap();
        let wanted = wanted_dates(&listed, &until);
        let named: Vec<String> = wanted.iter().map(|(path, name)| format!("{}@{name}", path.as_str())).collect();
        assert_eq!(named, ["@b", "lost@a", "new@c"]);
        assert!(wanted_dates(&listed[..1], &until).is_empty(), "all have it");
        let dated = |dates: [Option<i64>; 3]| -> Vec<(RelPath, Option<i64>)> {
            wanted.iter().zip(dates).map(|((path, _), date)| (path.clone(), date)).collect()
        };
        // What has no date may have been there.
        for (dates, unknown, without) in [
            ([None, Some(10), Some(30)], &["lost", "new"][..], &["none"][..]),
            ([None; 3], &["lost", "new"], &["none"]),
            ([Some(20), None, Some(30)], &["lost"], &["new", "none"]),
        ] {
            let all = restorable(listed.clone(), Some(&until), &dated(dates));
            assert_eq!((names(&all.unknown), names(&all.without)), (unknown.to_vec(), without.to_vec()), "{dates:?}");
            assert!(all.lost.is_empty());
        }
        let all = restorable(listed, Some(&until), &dated([Some(20), Some(10), Some(30)]));
        assert!(all.unknown.is_empty());
        assert_eq!((names(&all.without), names(&all.lost)), (vec!["new", "none"], vec!["lost"]));
        let left: Vec<&str> = all.datasets[0].snapshots.iter().map(|version| version.name).collect();
        assert_eq!(left, ["a", "b"]);
    }
}

//! What is missing at the source: told by guid, only what zfsync has put there, and only in time.

use super::*;
use crate::plan::{Filter, Kind, SourceDataset, Tags, Versions};

const HOUR: Duration = Duration::from_secs(3600);

fn versions(all: &[(&str, u64)]) -> Versions {
    let mut versions = Versions::default();
    for (name, number) in all {
        versions.push(&name.parse().unwrap(), Guid(*number), Txg(*number));
    }
    versions.sort();
    versions
}

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

fn negotiation(source: &[(&str, &[(&str, u64)])], exclude: &[&str]) -> Negotiation {
    let top = name("a/s");
    let filter = Filter::new(None, &[], &exclude.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    let dataset = |(path, snapshots): &(&str, &[(&str, u64)])| SourceDataset {
        path: name(&format!("a/s{path}")).below(&top).unwrap(),
        snapshots: versions(snapshots),
        bookmarks: Versions::default(),
        ..SourceDataset::default()
    };
    let (selected, unselected): (Vec<_>, Vec<_>) =
        source.iter().map(dataset).partition(|dataset| filter.selects(&dataset.path));
    Negotiation::new(&top, &name("b/t"), selected, false)
        .with_tags(Tags::new(Some("beta")))
        .with_surroundings(&filter, unselected.into_iter().map(|dataset| dataset.path).collect())
}

type There<'a> = &'a [(&'a str, &'a [(&'a str, u64)], &'a str)];

/// The target's datasets with their snapshots, and what is noted: a [`Put`], or `p` for a placeholder.
fn there(all: There<'_>) -> (HashMap<DatasetName, TargetDataset>, HashMap<DatasetName, Notes>) {
    let (mut datasets, mut notes) = (HashMap::new(), HashMap::new());
    for (path, snapshots, note) in all {
        let full = name(&format!("b/t{path}"));
        let dataset = TargetDataset {
            kind: Kind::Filesystem,
            partial: false,
            resume: None,
            unborn: false,
            empty: snapshots.is_empty(),
            encryption: crate::zfs::Encryption::Off,
            snapshots: versions(snapshots),
        };
        datasets.insert(full.clone(), dataset);
        let put = if note.contains('-') { note.parse() } else { format!("0-{note}").parse() };
        notes.insert(full, Notes { put: put.ok(), since: None, placeholder: *note == "p" });
    }
    (datasets, notes)
}

fn both() -> Mirror {
    Mirror { datasets: true, snapshots: true, ..Mirror::default() }
}

fn missing(source: &[(&str, &[(&str, u64)])], exclude: &[&str], target: There<'_>) -> Missing {
    let (datasets, notes) = there(target);
    negotiation(source, exclude).missing(&datasets, &notes, &both())
}

fn goes(missing: &Missing) -> Vec<&str> {
    missing.datasets.iter().map(|doomed| doomed.dataset.as_str()).collect()
}

fn stay(missing: &Missing) -> Vec<(&str, &Stays)> {
    missing.stay.iter().map(|(name, why)| (name.as_str(), why)).collect()
}

#[test]
fn notes_can_be_read_again() {
    let put = Put { by: 0xab, upto: Guid(0x1f), txg: Some(Txg(77)), foreign: vec![Guid(1), Guid(u64::MAX)] };
    assert_eq!(put.to_string(), "000000ab-000000000000001f@77,0000000000000001,ffffffffffffffff");
    for put in [put, Put::new(1, Guid(7))] {
        assert_eq!(put.to_string().parse(), Ok(put));
    }
    for bad in
        ["", "-", "x", "1f", "1-", "1-1f@", "1-1f@x", "1-1f,", "1-1f,,2", "1-fffffffffffffffff", "1ffffffff-1", "x-1"]
    {
        assert!(bad.parse::<Put>().is_err(), "{bad:?}");
    }
}

#[test]
fn only_what_zfsync_has_put_there_goes() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)])];
    let found = missing(
        source,
        &[],
        &[
            ("", &[("s1", 1)], "1"),
            ("/ours", &[("x", 2), ("y", 3)], "3"),
            ("/ours/deep", &[("x", 4)], "4"),
            ("/foreign", &[("x", 2)], "-"),
            ("/later", &[("x", 2), ("own", 3)], "2"),
            ("/named", &[("x", 2), ("241122-000000_D", 3)], "2"),
            ("/between", &[("x", 2), ("own", 3), ("y", 4)], "4@4,3"),
            ("/thinned", &[("x", 2)], "5@9"),
            ("/holds", &[("x", 5)], "5"),
            ("/holds/foreign", &[("x", 6)], "-"),
            ("/place", &[], "p"),
            ("/place/ours", &[("x", 7)], "7"),
            ("/empty", &[], "7"),
            ("/x.zfsync-20261124-143000", &[("x", 8)], "8"),
            ("/yours", &[("x", 9)], "5-9"),
        ],
    );
    assert_eq!(
        goes(&found),
        ["b/t/thinned", "b/t/place/ours", "b/t/place", "b/t/ours/deep", "b/t/ours", "b/t/named"],
        "those below before those above"
    );
    let own = || Stays::Foreign(vec!["own".parse().unwrap()]);
    assert_eq!(
        stay(&found),
        [
            ("b/t/between", &own()),
            ("b/t/empty", &Stays::NoSnapshots),
            ("b/t/foreign", &Stays::NotOurs),
            ("b/t/holds", &Stays::Below),
            ("b/t/holds/foreign", &Stays::NotOurs),
            ("b/t/later", &own()),
            ("b/t/x.zfsync-20261124-143000", &Stays::SetAside),
            ("b/t/yours", &Stays::OfAnother),
        ]
    );
}

#[test]
fn what_the_source_has_elsewhere_came_from_there() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/new", &[("x", 2), ("y", 3)])];
    let target: There<'_> =
        &[("", &[("s1", 1)], "1"), ("/new", &[("x", 2), ("y", 3)], "3"), ("/old", &[("x", 2), ("y", 3)], "2")];
    assert_eq!(goes(&missing(source, &[], target)), ["b/t/old"], "y came later than the note");
    let unmarked: There<'_> = &[("", &[("s1", 1)], "1"), ("/old", &[("x", 2)], "-")];
    assert_eq!(stay(&missing(source, &[], unmarked)), [("b/t/old", &Stays::NotOurs)]);
}

#[test]
fn what_is_not_selected_stays() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/skipped", &[("s1", 2)])];
    let target: There<'_> = &[
        ("", &[("s1", 1)], "1"),
        ("/skipped", &[("s1", 2)], "2"),
        ("/skipped/gone", &[("s1", 3)], "3"),
        ("/gone", &[("s1", 4)], "4"),
        ("/gone/skipped", &[("s1", 5)], "5"),
    ];
    let found = missing(source, &["skipped", "**/skipped"], target);
    assert_eq!(goes(&found), [""; 0]);
    assert_eq!(stay(&found), [("b/t/gone", &Stays::Below)]);
    assert_eq!(goes(&missing(source, &[], target)), ["b/t/skipped/gone", "b/t/gone/skipped", "b/t/gone"]);
}

#[test]
fn snapshots_go_by_guid_and_only_before_the_newest_common() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 9), ("s3", 30)])];
    // s1 has been made anew at the source; s2 is gone; `own` was taken there, before anybody looked.
    let target: &[(&str, u64)] = &[("s1", 1), ("s2", 2), ("own", 3), ("241122-000000_D", 4), ("s3", 30), ("new", 31)];
    let found = missing(source, &[], &[("", target, "1")]);
    assert_eq!(found.undated(), ["b/t@s1", "b/t@241122-000000_D"], "what the note and the names tell");
    let unknown = vec!["s2".parse().unwrap(), "own".parse().unwrap()];
    assert_eq!(found.foreign, [(name("b/t"), unknown)]);
    let put = Put { by: 0, upto: Guid(30), txg: Some(Txg(30)), foreign: vec![Guid(2), Guid(3)] };
    assert_eq!(found.puts, [(name("b/t"), put.clone())], "from now on it is known");
    let again = missing(source, &[], &[("", target, &put.to_string())]);
    assert_eq!((again.puts, again.foreign.len()), (Vec::new(), 1));
    // Nothing in common: nothing is known.
    let none = missing(&[("", &[("s1", 9)])], &[], &[("", target, "30")]);
    assert_eq!((none.snapshots, none.puts), (Vec::new(), Vec::new()));
}

#[test]
fn a_bookmark_protects_its_snapshot() {
    let (datasets, notes) = there(&[("", &[("s1", 1), ("s2", 2), ("s3", 3)], "3")]);
    let mut source = SourceDataset { snapshots: versions(&[("s3", 3)]), ..SourceDataset::default() };
    source.bookmarks = versions(&[("m", 1)]);
    let negotiation = Negotiation::new(&name("a/s"), &name("b/t"), vec![source], false);
    assert_eq!(negotiation.missing(&datasets, &notes, &both()).undated(), ["b/t@s2"]);
}

#[test]
fn the_grace_counts_from_when_it_was_first_missed() {
    let found = Missing {
        datasets: ["b/t/a/b", "b/t/a", "b/t/c"]
            .iter()
            .map(|text| Doomed { dataset: name(text), snapshots: vec![], since: None })
            .collect(),
        snapshots: vec![(name("b/t"), vec![("s".parse().unwrap(), Guid(1)), ("u".parse().unwrap(), Guid(2))])],
        ..Missing::default()
    };
    let now = 1_000_000;
    let none = HashMap::new();
    let at_once = found.due(&none, now, Duration::ZERO);
    assert_eq!((at_once.datasets.len(), at_once.snapshots[0].1.len(), at_once.noted.len()), (3, 2, 0));
    let first = found.due(&none, now, HOUR);
    assert_eq!(first.noted, ["b/t/a/b", "b/t/a", "b/t/c", "b/t@s", "b/t@u"]);
    assert_eq!((first.datasets_wait, first.snapshots_wait, first.next), (3, 2, Some(now + 3600)));
    assert_eq!((first.datasets, first.snapshots), (vec![], vec![]));

    let mut later = found;
    // The child came later: its parent has to wait for it. A time to come is no time.
    for (doomed, since) in later.datasets.iter_mut().zip([now - 10, now - 5000, now + 5000]) {
        doomed.since = Some(since);
    }
    let since = HashMap::from([("b/t@s".to_owned(), now - 3600), ("b/t@u".to_owned(), now - 3599)]);
    let due = later.due(&since, now, HOUR);
    assert_eq!((due.datasets, due.datasets_wait, due.noted), (vec![], 3, vec!["b/t/c".to_owned()]));
    assert_eq!(due.snapshots, [(name("b/t"), vec![("s".parse().unwrap(), Guid(1))])]);
    assert_eq!((due.snapshots_wait, due.next), (1, Some(now + 1)));
}

#[test]
fn what_is_back_is_no_longer_missing() {
    let (datasets, mut notes) = there(&[("", &[("s1", 1)], "1@1")]);
    notes.get_mut(&name("b/t")).unwrap().since = Some(5);
    let found = negotiation(&[("", &[("s1", 1)])], &[]).missing(&datasets, &notes, &both());
    assert_eq!((found.back, found.puts), (vec![name("b/t")], vec![]));
}

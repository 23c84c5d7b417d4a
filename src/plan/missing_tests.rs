//! What is missing at the source: told by guid, only what zfsync has put there, and only in time.

use super::*;
use crate::plan::SourceDataset;
use crate::plan::fixture::{self, numbered as versions};
use crate::plan::missing_fixture::{Row, There, both, goes, missing, name, negotiation, negotiation_with, stay, there};
use zfs::name::{Guid, Txg};

#[test]
fn only_what_zfsync_has_put_there_goes() {
    // As many as there is room for, the oldest of these is x.
    let came: Vec<String> = (1051..=1500_u64).rev().map(|guid| format!("{guid:016x}")).collect();
    let long = format!("5dc+{}", came.concat());
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)])];
    let found = missing(
        source,
        &[],
        &[
            ("", &[("s1", 1)], "1"),
            ("/ours", &[("x", 2), ("y", 3)], "3+0000000000000002"),
            ("/ours/deep", &[("x", 4)], "4"),
            ("/foreign", &[("x", 2)], "-"),
            ("/later", &[("x", 2), ("own", 3)], "2"),
            ("/named", &[("x", 2), ("241122-000000_D", 3)], "2"),
            ("/long", &[("241121-000000_D", 2), ("own", 3), ("241122-000000_D", 4), ("x", 1500)], &long),
            ("/between", &[("x", 2), ("own", 3), ("y", 4)], "4@4,3"),
            ("/first", &[("x", 2), ("own", 3), ("y", 4)], "4+0000000000000002"),
            ("/pruned", &[("x", 2)], "5@9"),
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
        ["b/t/pruned", "b/t/place/ours", "b/t/place", "b/t/ours/deep", "b/t/ours"],
        "those below before those above"
    );
    let foreign = |name: &str| NotDestroyed::Foreign(vec![name.parse().unwrap()]);
    let own = || foreign("own");
    assert_eq!(
        stay(&found),
        [
            ("b/t/between", &own()),
            ("b/t/empty", &NotDestroyed::NoSnapshots),
            ("b/t/first", &own()),
            ("b/t/foreign", &NotDestroyed::NotOurs),
            ("b/t/holds", &NotDestroyed::Below),
            ("b/t/holds/foreign", &NotDestroyed::NotOurs),
            ("b/t/later", &own()),
            ("b/t/long", &own()),
            ("b/t/named", &foreign("241122-000000_D")),
            ("b/t/x.zfsync-20261124-143000", &NotDestroyed::SetAside),
            ("b/t/yours", &NotDestroyed::OfAnother),
        ]
    );
}

#[test]
fn the_rest_of_a_first_receive_goes_if_it_is_known_to_be_of_this_source() {
    let at = |path: &str| format!("~0.{:08x}-7", zfs::place(&name(&format!("a/s{path}")).below(&name("a/s")).unwrap()));
    let (right, wrong) = (at("/cut"), at("/other"));
    let target: There<'_> = &[
        ("", &[("s1", 1)], "1"),
        ("/cut", &[], &right),
        ("/moved", &[], &wrong),
        ("/own", &[], "~-"),
        ("/yours", &[], "~5-9"),
        ("/x.zfsync-20261124-143000", &[], "~7"),
    ];
    let found = missing(&[("", &[("s1", 1)])], &[], target);
    assert_eq!(goes(&found), ["b/t/cut"]);
    let unborn = |text: &str| NotDestroyed::Unborn(name(text));
    assert_eq!(
        stay(&found),
        [
            ("b/t/moved", &unborn("b/t/moved")),
            ("b/t/own", &unborn("b/t/own")),
            ("b/t/x.zfsync-20261124-143000", &NotDestroyed::SetAside),
            ("b/t/yours", &unborn("b/t/yours")),
        ]
    );
    assert!(unborn("b/t/a b").to_string().ends_with("zfs receive -A 'b/t/a b'"));
}

#[test]
fn what_the_source_has_elsewhere_came_from_there() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/new", &[("x", 2), ("y", 3)])];
    let target: There<'_> =
        &[("", &[("s1", 1)], "1"), ("/new", &[("x", 2), ("y", 3)], "3"), ("/old", &[("x", 2), ("y", 3)], "2")];
    assert_eq!(goes(&missing(source, &[], target)), ["b/t/old"], "y came later than the note");
    let unmarked: There<'_> = &[("", &[("s1", 1)], "1"), ("/old", &[("x", 2)], "-")];
    assert_eq!(stay(&missing(source, &[], unmarked)), [("b/t/old", &NotDestroyed::NotOurs)]);
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
    assert_eq!(stay(&found), [("b/t/gone", &NotDestroyed::Below)]);
    assert_eq!(goes(&missing(source, &[], target)), ["b/t/skipped/gone", "b/t/gone/skipped", "b/t/gone"]);
}

#[test]
fn snapshots_go_by_guid_and_only_before_the_newest_common() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 9), ("s3", 30)])];
    // s1 has been made anew at the source; s2 is gone; `own` was taken there, before anybody looked.
    let target: &[(&str, u64)] = &[("s1", 1), ("s2", 2), ("own", 3), ("241122-000000_D", 4), ("s3", 30), ("new", 31)];
    let found = missing(source, &[], &[("", target, "1")]);
    assert_eq!(found.undated(), ["b/t@s1"], "what the note tells; a name tells nothing");
    let unknown = vec!["s2".parse().unwrap(), "own".parse().unwrap(), "241122-000000_D".parse().unwrap()];
    assert_eq!(found.foreign, [(name("b/t"), unknown)]);
    let at = Some(place(&RelPath::default()));
    let put = Put {
        by: 0,
        at,
        upto: Guid(30),
        txg: Some(Txg(30)),
        came: vec![],
        foreign: vec![Guid(2), Guid(3), Guid(4)],
        missing: Some(vec![]),
    };
    assert_eq!(found.puts, [(name("b/t"), put.clone())], "from now on it is known");
    let again = missing(source, &[], &[("", target, &put.to_string())]);
    assert_eq!((again.puts, again.foreign.len()), (Vec::new(), 1));
    // Nothing in common: nothing is known.
    let none = missing(&[("", &[("s1", 9)])], &[], &[("", target, "30")]);
    assert_eq!((none.snapshots, none.puts), (Vec::new(), Vec::new()));
}

/// The target was the source of what is its source now, and kept more.
#[test]
fn a_name_alone_proves_nothing() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("241124-000000_D", 30)])];
    let target: &[(&str, u64)] = &[("241122-000000_D", 1), ("241123-000000_H", 2), ("241124-000000_D", 30)];
    let found = missing(source, &[], &[("", target, "-")]);
    assert_eq!((found.undated(), found.foreign[0].1.len()), (vec![], 2));
    // What is noted now is believed later; what comes after it may have been taken on the target (`zfsync snapshot`).
    let put = found.puts[0].1.to_string();
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("241126-000000_D", 50)])];
    let later = [target, &[("241125-000000_D", 40), ("241126-000000_D", 50)]].concat();
    let again = missing(source, &[], &[("", &later, &put)]);
    assert_eq!((again.undated(), again.foreign[0].1.len()), (vec!["b/t@241124-000000_D".to_owned()], 3));
    assert_eq!(again.puts[0].1.foreign, [Guid(1), Guid(2), Guid(40)]);
}

/// What a dry run shows is what the run finds at its end.
#[test]
fn a_dry_run_counts_what_the_run_brings() {
    let source: &[(&str, &[(&str, u64)])] =
        &[("", &[("s1", 1), ("s9", 9)]), ("/y", &[("s2", 25), ("s3", 30)]), ("/z", &[("s1", 50), ("s3", 51)])];
    let before: There<'_> = &[
        ("", &[("s1", 1), ("241125-000000_D", 5)], "1@1"),
        ("/y", &[("s0", 20), ("s1", 21), ("s2", 25)], "19@25"),
        ("/x", &[("s1", 21), ("s2", 25)], "19+0000000000000015"),
        ("/w", &[("s1", 50)], "32@50"),
    ];
    let (datasets, notes) = there(before);
    let look = |datasets, when| negotiation_with(source, &[], datasets).missing(datasets, &notes, &both(), when);
    let found = look(&datasets, When::Before);
    let mut after = datasets.clone();
    let mut arrive = |path: &str, all: &[(&str, u64, u64)]| {
        let copy = after.entry(name(&format!("b/t{path}"))).or_insert_with(|| fixture::target(versions(&[])));
        for (name, guid, txg) in all {
            copy.snapshots.push(&name.parse().unwrap(), Guid(*guid), Txg(*txg));
        }
    };
    arrive("", &[("s9", 9, 100)]);
    arrive("/y", &[("s3", 30, 101)]);
    arrive("/z", &[("s1", 50, 102), ("s3", 51, 103)]);
    let run = look(&after, When::After);
    assert_eq!(goes(&found), ["b/t/x", "b/t/w"]);
    assert_eq!(found.foreign, [(name("b/t"), vec!["241125-000000_D".parse().unwrap()])]);
    let all = |missing: &Missing| {
        (
            missing.datasets.clone(),
            missing.snapshots.clone(),
            missing.stay.clone(),
            missing.foreign.clone(),
            missing.total,
        )
    };
    assert_eq!(all(&found), all(&run));
}

/// A clone that was promoted has the snapshots of its origin.
#[test]
fn a_snapshot_that_the_source_has_elsewhere_stays() {
    let source: &[(&str, &[(&str, u64)])] =
        &[("", &[("s3", 3)]), ("/a", &[("s3", 13)]), ("/b", &[("s1", 11), ("s2", 12)])];
    let target: There<'_> =
        &[("", &[("s3", 3)], "3@3"), ("/a", &[("s0", 10), ("s1", 11), ("s2", 12), ("s3", 13)], "d@13")];
    for exclude in [&["b"][..], &[]] {
        let found = missing(source, exclude, target);
        assert_eq!(found.undated(), ["b/t/a@s0"], "{exclude:?}");
        let stay: Vec<_> = found.elsewhere().map(|(name, why)| (name, why.to_string())).collect();
        let why = || "it still exists on the source in a/s/b".to_owned();
        assert_eq!(stay, [("b/t/a@s1".to_owned(), why()), ("b/t/a@s2".to_owned(), why())]);
        assert!(found.puts.iter().all(|(_, put)| put.foreign.is_empty()), "it came from there");
    }
}

#[test]
fn a_bookmark_protects_its_snapshot() {
    let (datasets, notes) = there(&[("", &[("s1", 1), ("s2", 2), ("s3", 3)], "3@3")]);
    let mut source = SourceDataset { snapshots: versions(&[("s3", 3)]), ..SourceDataset::default() };
    source.bookmarks = versions(&[("m", 1)]);
    let negotiation = Negotiation::new(&name("a/s"), &name("b/t"), vec![source], false);
    assert_eq!(negotiation.missing(&datasets, &notes, &both(), When::After).undated(), ["b/t@s2"]);
}

/// In another dataset its bookmark is a base, too; but the snapshot isn't there.
#[test]
fn a_bookmark_in_another_dataset_is_told_as_one() {
    let (datasets, notes) =
        there(&[("", &[("s3", 3)], "3@3"), ("/a", &[("s1", 11), ("s3", 13)], "d@13"), ("/b", &[("x", 20)], "14@20")]);
    let source = |path: &str, snapshots: &[(&str, u64)], bookmarks: &[(&str, u64)]| SourceDataset {
        path: name(&format!("a/s{path}")).below(&name("a/s")).unwrap(),
        snapshots: versions(snapshots),
        bookmarks: versions(bookmarks),
        ..SourceDataset::default()
    };
    let all =
        vec![source("", &[("s3", 3)], &[]), source("/a", &[("s3", 13)], &[]), source("/b", &[("x", 20)], &[("m", 11)])];
    let found =
        Negotiation::new(&name("a/s"), &name("b/t"), all, false).missing(&datasets, &notes, &both(), When::After);
    assert_eq!(found.undated(), Vec::<String>::new());
    let stay: Vec<_> = found.elsewhere().map(|(name, why)| (name, why.to_string())).collect();
    assert_eq!(stay, [("b/t/a@s1".to_owned(), "the source has a bookmark of it in a/s/b".to_owned())]);
}

/// A renamed dataset that was sent anew: as many snapshots as a year of quarters of an hour has.
#[test]
fn many_snapshots_are_looked_up_in_time() {
    let names: Vec<String> = (1..=35_000_u64).map(|number| format!("s{number}")).collect();
    let all: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(1..).collect();
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("t", 100_000)]), ("/new", &all)];
    let target: There<'_> =
        &[("", &[("t", 100_000)], "186a0@100000"), ("/new", &all, "88b8@35000"), ("/old", &all, "88b8@35000")];
    assert_eq!(goes(&missing(source, &[], target)), ["b/t/old"]);
}

#[test]
fn what_is_back_is_no_longer_missing() {
    let (datasets, mut notes) = there(&[("", &[("s1", 1)], &format!("0.{:x}-1@1", place(&RelPath::default())))]);
    notes.get_mut(&name("b/t")).unwrap().since = Some(5);
    let found =
        negotiation_with(&[("", &[("s1", 1)])], &[], &datasets).missing(&datasets, &notes, &both(), When::Before);
    assert_eq!((found.back, found.puts), (vec![name("b/t")], vec![]));
}

/// It was noted as missing, and is in its dataset again, or in another one: missed once more, it has the whole grace.
#[test]
fn a_snapshot_that_is_back_is_no_longer_missing() {
    let graced = MissingPolicy { grace: Duration::from_secs(3600), ..both() };
    let look = |source: &[(&str, &[(&str, u64)])], note: &str, policy: &MissingPolicy| {
        let (datasets, notes) = there(&[("", &[("s1", 1), ("s2", 2), ("s3", 3)], note)]);
        negotiation_with(source, &[], &datasets).missing(&datasets, &notes, policy, When::After)
    };
    let lacking: &[(&str, &[(&str, u64)])] = &[("", &[("s3", 3)])];
    let gone = look(lacking, "3@3", &graced);
    assert_eq!((gone.undated(), gone.snapshots_back.clone()), (vec!["b/t@s1".into(), "b/t@s2".into()], vec![]));
    let note = gone.puts[0].1.to_string();
    let still = look(lacking, &note, &graced);
    assert_eq!((still.puts, still.snapshots_back), (vec![], vec![]));
    let here: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1), ("s2", 2), ("s3", 3)])];
    let elsewhere: &[(&str, &[(&str, u64)])] = &[("", &[("s3", 3)]), ("/clone", &[("s1", 1), ("s2", 2)])];
    for source in [here, elsewhere] {
        for policy in [&graced, &both(), &MissingPolicy { snapshots: false, ..graced.clone() }] {
            let back = look(source, &note, policy);
            assert_eq!(back.snapshots_back, ["b/t@s1", "b/t@s2"]);
            assert_eq!(back.puts[0].1.missing, Some(vec![]));
        }
    }
    // Without a grace nothing is noted. Where the list had no room for all of them, any may be noted.
    assert_eq!(look(lacking, "3@3", &both()).puts[0].1.missing, Some(vec![]));
    assert_eq!(look(lacking, "3@3!*", &graced).snapshots_back, ["b/t@s3"]);
}

/// A dataset that the source has under another name, or has left out, isn't missing either.
#[test]
fn a_dataset_that_the_source_has_is_no_longer_missing() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("t", 9)]), ("/attic/moved", &[("x", 5)]), ("/attic/out", &[])];
    let (datasets, mut notes) = there(&[
        ("", &[("t", 9)], "9@9"),
        ("/moved", &[("x", 5)], "5@5"),
        ("/attic/out", &[("x", 6)], "6@6"),
        ("/gone", &[("x", 7)], "7@7"),
    ]);
    for notes in notes.values_mut() {
        notes.since = Some(5);
    }
    let negotiation = negotiation(source, &["attic", "attic/**"]);
    let mut found = negotiation.missing(&datasets, &notes, &both(), When::After);
    found.back.sort();
    assert_eq!(found.back, [name("b/t"), name("b/t/attic/out"), name("b/t/moved")]);
    assert_eq!(goes(&found), ["b/t/gone"]);
}

#[test]
fn nothing_is_missing_while_something_is_not_in_sync() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1), ("s2", 2)]), ("/bare", &[])];
    let target = |top: &'static [(&'static str, u64)], bare: &'static str| -> Vec<Row<'_>> {
        vec![("", top, "1"), ("/bare", &[("s1", 5)], bare), ("/gone", &[("s1", 3)], "3")]
    };
    let after = |target: There<'_>| {
        let (datasets, notes) = there(target);
        negotiation(source, &[]).missing(&datasets, &notes, &both(), When::After)
    };
    let fine = after(&target(&[("s1", 1), ("s2", 2)], "-"));
    assert_eq!((goes(&fine), fine.not_in_sync.clone()), (vec!["b/t/gone"], vec![]));
    let behind = after(&target(&[("s0", 9), ("s1", 1)], "-"));
    assert_eq!((goes(&behind), behind.undated(), behind.not_in_sync.clone()), (vec![], vec![], vec![name("a/s")]));
    // It has no snapshot by now, and had some: nobody knows what has become of it.
    let bare = after(&target(&[("s1", 1), ("s2", 2)], "5"));
    assert_eq!((goes(&bare), bare.not_in_sync.clone()), (vec![], vec![name("a/s/bare")]));
    // What a listing leaves out is not missing.
    let (datasets, notes) = there(&target(&[("s1", 1), ("s2", 2)], "-"));
    let unread = negotiation(source, &[]).with_complete(false).missing(&datasets, &notes, &both(), When::After);
    assert_eq!(goes(&unread), [""; 0]);
}

#[test]
fn what_the_source_has_anywhere_lives_on() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/new", &[("y", 3)]), ("/attic/moved", &[("x", 5)])];
    let target: There<'_> = &[
        ("", &[("s1", 1)], "1"),
        ("/new", &[("y", 3)], "3"),
        ("/old", &[("x", 2), ("y", 3)], "3@3"),
        ("/moved", &[("x", 5)], "5"),
    ];
    let (datasets, notes) = there(target);
    let stays_by = |mirror: &MissingPolicy| {
        let found = negotiation(source, &["attic", "attic/**"]).missing(&datasets, &notes, mirror, When::After);
        found.stay.into_iter().map(|(name, why)| (name.to_string(), why)).collect::<Vec<_>>()
    };
    let moved = || ("b/t/moved".to_owned(), NotDestroyed::Unselected(name("a/s/attic/moved")));
    assert_eq!(stays_by(&both()), [moved()]);
    // Snapshots of its own are not to go where only datasets are.
    let datasets_only = MissingPolicy { datasets: true, ..MissingPolicy::default() };
    assert_eq!(stays_by(&datasets_only), [moved(), ("b/t/old".to_owned(), NotDestroyed::HasMore(name("b/t/new")))]);
}

#[test]
fn what_got_another_name_on_the_target_stays() {
    let at = |path: &str| {
        format!("00000000.{:08x}-0000000000000002", place(&name(&format!("b/t{path}")).below(&name("b/t")).unwrap()))
    };
    let (here, there_, inner) = (at("/kept"), at("/gone"), at(""));
    let found = missing(
        &[("", &[("s1", 1)])],
        &[],
        &[
            ("", &[("s1", 1)], "1"),
            ("/kept", &[("x", 2)], &here),
            ("/renamed", &[("x", 2)], &there_),
            // The same source has another target below this one.
            ("/second", &[("x", 2)], &inner),
        ],
    );
    assert_eq!(goes(&found), ["b/t/kept"]);
    assert_eq!(stay(&found), [("b/t/renamed", &NotDestroyed::OtherName), ("b/t/second", &NotDestroyed::OtherName)]);
}

mod any {
    use proptest::prelude::*;

    use super::*;

    type Tree = Vec<(String, Vec<(String, u64)>)>;

    /// Some of these paths, each with some of these snapshots: guids are spread over all paths, so that datasets move.
    fn tree() -> impl Strategy<Value = Tree> {
        let paths = ["", "/a", "/a/k", "/b", "/x"].map(str::to_owned).to_vec();
        let dataset = proptest::sample::subsequence((1..9_u64).collect::<Vec<_>>(), 0..4);
        let snapshots = |guids: Vec<u64>| guids.into_iter().map(|guid| (format!("s{guid}"), guid)).collect();
        proptest::sample::subsequence(paths, 1..5).prop_flat_map(move |paths| {
            let number = paths.len();
            proptest::collection::vec(dataset.clone().prop_map(snapshots), number)
                .prop_map(move |all| paths.iter().cloned().zip(all).collect())
        })
    }

    fn borrowed(tree: &Tree) -> Vec<(&str, Vec<(&str, u64)>)> {
        tree.iter()
            .map(|(path, all)| (path.as_str(), all.iter().map(|(name, guid)| (name.as_str(), *guid)).collect()))
            .collect()
    }

    proptest! {
        #[test]
        fn nothing_goes_that_the_source_still_has(source in tree(), target in tree(), looked in any::<bool>(), only in any::<bool>()) {
            let (source, target) = (borrowed(&source), borrowed(&target));
            let source: Vec<(&str, &[(&str, u64)])> = source.iter().map(|(path, all)| (*path, all.as_slice())).collect();
            let note = if looked { "9@9" } else { "9+0000000000000001000000000000000200000000000000030000000000000004" };
            let target: Vec<Row<'_>> =
                target.iter().map(|(path, all)| (*path, all.as_slice(), note)).collect();
            let (datasets, notes) = there(&target);
            let mirror = MissingPolicy { snapshots: !only, ..both() };
            let found = negotiation(&source, &["x"]).missing(&datasets, &notes, &mirror, When::After);
            let kept: HashSet<Guid> = datasets
                .iter()
                .filter(|(name, _)| found.datasets.iter().all(|doomed| doomed.dataset != **name))
                .flat_map(|(_, dataset)| dataset.snapshots.iter().map(|version| version.guid))
                .collect();
            for doomed in &found.datasets {
                for (_, guid) in &doomed.snapshots {
                    let here = source.iter().any(|(_, all)| all.iter().any(|(_, number)| number == &guid.0));
                    // What the source has is there under its new name, or it would not have gone.
                    prop_assert!(!here || kept.contains(guid), "{guid:?} of {}", doomed.dataset);
                }
            }
            for guid in found.snapshots.iter().flat_map(|(_, all)| all.iter().map(|(_, guid)| *guid)) {
                prop_assert!(!source.iter().any(|(_, all)| all.iter().any(|(_, number)| *number == guid.0)), "{guid:?}");
            }
            for (path, all) in source.iter().filter(|(path, _)| *path != "/x") {
                let Some((_, newest)) = all.iter().max_by_key(|(_, number)| number) else { continue };
                let copy = datasets.get(&name(&format!("b/t{path}")));
                if !copy.is_some_and(|copy| has(copy, Guid(*newest))) {
                    prop_assert!(found.datasets.is_empty() && found.snapshots.is_empty(), "a/s{path} is not in sync");
                }
            }
        }
    }
}

#[test]
fn only_what_is_of_this_source_counts() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("s1", 1)]), ("/a", &[("s1", 2)])];
    let found = missing(
        source,
        &[],
        &[
            ("", &[("s1", 1)], "1@1"),
            ("/a", &[("s1", 2), ("own", 9)], ""),
            ("/gone", &[("s1", 3), ("s2", 4)], "4@4"),
            ("/empty", &[], "p"),
            ("/other", &[("s1", 5), ("s2", 6), ("s3", 7)], "7-7@7"),
            ("/a.zfsync-20241122-031500", &[("s1", 10), ("s2", 11)], "b@11"),
            ("/by-hand", &[("x", 12)], ""),
        ],
    );
    assert_eq!((goes(&found), found.total), (vec!["b/t/gone", "b/t/empty"], (4, 5)));
}

#[test]
fn what_the_source_has_again_stays() {
    let before: &[(&str, &[(&str, u64)])] = &[("", &[("s9", 9)])];
    let target: There<'_> = &[
        ("", &[("s1", 1), ("s2", 2), ("s9", 9)], "9@9"),
        ("/up", &[("s1", 20)], "14@20"),
        ("/up/back", &[("s1", 21)], "15@21"),
        ("/moved", &[("s1", 22)], "16@22"),
        ("/gone", &[("s1", 23)], "17@23"),
    ];
    let (datasets, notes) = there(target);
    let negotiation = negotiation(before, &[]);
    let found = negotiation.missing(&datasets, &notes, &both(), When::After);
    let none = HashMap::new();
    let times = crate::plan::Times { since: &none, made: &none, now: 0 };
    let due = found.due(times, Duration::ZERO);
    assert_eq!((due.datasets.len(), due.snapshots[0].1.len()), (4, 2));
    let now = |path: &str, snapshots: &[(&str, u64)]| SourceDataset {
        path: name(&format!("a/s{path}")).below(&name("a/s")).unwrap(),
        snapshots: versions(snapshots),
        ..SourceDataset::default()
    };
    let mut same = due.clone();
    assert_eq!(negotiation.keep_what_is_back(&mut same, &[now("", &[("s9", 9)])]), []);
    assert_eq!(same, due);
    // A snapshot is there by another name, a dataset was renamed back, one came under another name.
    let mut left = due;
    let later = [now("", &[("x", 2), ("s9", 9)]), now("/up/back", &[]), now("/new", &[("s1", 22)])];
    let stay = negotiation.keep_what_is_back(&mut left, &later);
    let mut stay: Vec<_> = stay.iter().map(|(name, why)| (name.as_str(), why)).collect();
    stay.sort_by_key(|(name, _)| *name);
    assert_eq!(
        stay,
        [("b/t/moved", &NotDestroyed::Back), ("b/t/up", &NotDestroyed::Below), ("b/t/up/back", &NotDestroyed::Back)]
    );
    let goes: Vec<&str> = left.datasets.iter().map(|doomed| doomed.dataset.as_str()).collect();
    assert_eq!(goes, ["b/t/gone"]);
    assert_eq!(left.snapshots, [(name("b/t"), vec![("s1".parse().unwrap(), Guid(1))])]);
}

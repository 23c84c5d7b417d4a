//! What records tell of a TARGET that nothing shows to be a copy of SOURCE.

use super::*;
use crate::plan::SourceDataset;
use crate::plan::fixture::{numbered as versions, target};
use zfs::name::Guid;

/// A target that has nothing in common with its only source, and these records in its tree: by whom, and where they were put;
/// `=GUID` behind a name: the newest snapshot that it has received.
fn asked(records: &[(&str, u32, &str)], vacant: bool, restore: bool) -> Negotiation {
    let top: DatasetName = "bpool".parse().unwrap();
    let source = SourceDataset { snapshots: versions(&[("a", 1)]), ..SourceDataset::default() };
    let mut talk = Negotiation::new(&"tank/data".parse().unwrap(), &top, vec![source], false)
        .with_target_host("beta:")
        .of_restore(restore);
    talk.relist(0, None);
    talk.relisted(0, Some(target(versions(&[("x", 9)]))));
    let note = |(name, by, at): &(&str, u32, &str)| {
        let (name, upto) = name.split_once('=').unwrap_or((name, "1"));
        let at = format!("c{at}").parse::<DatasetName>().unwrap().below(&"c".parse().unwrap()).unwrap();
        let put = Put {
            by: *by,
            at: Some(place(&at)),
            upto: Guid(upto.parse().unwrap()),
            txg: None,
            came: Vec::new(),
            foreign: Vec::new(),
            missing: Some(Vec::new()),
        };
        (name.parse().unwrap(), Notes { put: Some(put), ..Notes::default() })
    };
    let wanted = talk.wants_records();
    let tag = |top: &DatasetName| if top.as_str() == "tank/data" { 7 } else { 70 };
    let notes = records.iter().map(note).collect::<HashMap<_, _>>();
    talk.below(&top, &notes.keys().cloned().collect::<Vec<_>>());
    talk.records(wanted, &notes, tag);
    if let Some(name) = talk.wants_vacancy() {
        assert_eq!(name.as_str(), "bpool/data");
        talk.vacant(name, vacant);
    }
    talk
}

/// What is said of it.
fn told(records: &[(&str, u32, &str)], vacant: bool, restore: bool) -> String {
    let talk = asked(records, vacant, restore);
    let Verdict::Conflict(conflict) = talk.plan().datasets.remove(0).verdict else { panic!("no conflict") };
    format!("{}\n{}", conflict.headline(), conflict.first_contact.map(|contact| contact.instead).unwrap_or_default())
}

#[test]
fn what_lies_below_stands_together() {
    let mut sorted: Vec<DatasetName> =
        ["t", "t/a", "t/a b", "t/a-b/x", "t/a.b", "t/a/b", "t/a/b c", "t/a/b/c", "t/a:b", "t/ab", "u/a"]
            .map(|name| name.parse().unwrap())
            .into();
    sorted.sort();
    for dataset in &sorted {
        let each: Vec<_> = sorted.iter().filter(|name| name.is_within(dataset) && *name != dataset).collect();
        assert_eq!(all_below(&sorted, dataset).collect::<Vec<_>>(), each, "{dataset}");
    }
}

#[test]
fn records_tell_what_to_name_instead() {
    const NONE: &str = "no common snapshot, and no record that the target was ever received from this source\n";
    const LEAVES: &str =
        "which leaves this one as it is: the root dataset of a pool, which can't be renamed or destroyed";
    let another = |name: &str| format!("name another TARGET, for example 'beta:{name}', {LEAVES}");
    assert_eq!(told(&[], true, false), format!("{NONE}{}", another("bpool/data")));
    assert!(told(&[], false, false).ends_with(&format!("name another TARGET, one that does not exist yet, {LEAVES}")));
    assert!(told(&[], true, true).contains("another NEW, for example 'beta:bpool/data'"));
    // Of several the one in sync, then the one of the source's name, then the highest.
    let best = |records: &[(&str, u32, &str)]| told(records, true, false).lines().last().unwrap().to_owned();
    for (records, best_one) in [
        (&[("bpool/a=1", 7, ""), ("bpool/data=9", 7, "")][..], "bpool/a"),
        (&[("bpool/a=9", 7, ""), ("bpool/z/data=9", 7, "")], "bpool/z/data"),
        (&[("bpool/a/b=9", 7, ""), ("bpool/c=9", 7, ""), ("bpool/d=9", 7, "")], "bpool/c"),
    ] {
        assert_eq!(
            best(records),
            format!("name 'beta:{best_one}' as TARGET, which was received from this source before")
        );
    }
    // It was one level lower before. What was set aside, what another has put there, or what lies below a copy is none.
    let copy = ("bpool/backup", 7, "");
    assert_eq!(
        told(&[copy, ("bpool/z", 7, "")], true, false),
        format!("{NONE}name 'beta:bpool/backup' as TARGET, which was received from this source before")
    );
    for other in [("bpool/x.zfsync-20241122-031500", 7, ""), ("bpool/x", 8, ""), ("bpool/x", 7, "/kid")] {
        assert_eq!(told(&[other], true, false), format!("{NONE}{}", another("bpool/data")), "{other:?}");
    }
    // It has come with the tree of the dataset above it.
    assert_eq!(
        told(&[("bpool", 70, ""), ("bpool/data", 70, "/data"), ("bpool/x", 70, "/x")], true, false),
        "no common snapshot: the target was received from another source\n\
         name 'beta:bpool/data' as TARGET, which was received from this source before"
    );
    // So has the target itself, or what lies below it in its place.
    let came = told(&[("bpool", 70, "/data")], true, false);
    assert!(came.ends_with("or all common snapshots were destroyed\n"), "{came}");
    let records = [("bpool/gone", 70, "/data/gone"), ("bpool/x", 70, "/x"), ("bpool/y", 8, "/y"), ("bpool/z", 7, "/a")];
    let others = ["bpool/x", "bpool/y"].map(|name| name.parse().unwrap());
    assert_eq!(asked(&records, true, false).records.staying, Some(others.into()));
    assert!(told(&[("bpool/kid", 70, "/data/kid")], true, false).ends_with("from this source\n"));
    assert!(!told(&[("bpool/kid", 70, "/kid")], true, false).ends_with("from this source\n"));
    let stranger = told(&[("bpool", 8, "")], true, false);
    assert_eq!(
        stranger,
        format!("no common snapshot: the target was received from another source\n{}", another("bpool/data"))
    );
    // What is recorded for another place says nothing of this one.
    assert!(told(&[("bpool", 7, "/kid")], true, false).ends_with(&another("bpool/data")));
    // All that was common is gone: that is no first contact.
    let ours = told(&[("bpool", 7, "")], true, false);
    assert!(ours.ends_with("or all common snapshots were destroyed\n"), "{ours}");
}

/// Tops below TARGET are listed at once, or each by itself where that fails; one that can't be listed isn't filled.
#[test]
fn tops_that_are_filled_are_listed() {
    let asked = |tops: &[&str]| {
        let source = |path: &str, snapshots: &[(&str, u64)]| SourceDataset {
            path: format!("s{path}").parse::<DatasetName>().unwrap().below(&"s".parse().unwrap()).unwrap(),
            snapshots: versions(snapshots),
            ..SourceDataset::default()
        };
        let datasets = [source("", &[])].into_iter().chain(tops.iter().map(|path| source(path, &[("a", 1)])));
        let mut talk = Negotiation::new(&"s".parse().unwrap(), &"b/t".parse().unwrap(), datasets.collect(), false);
        for place in 1..=tops.len() {
            talk.relist(place, None);
            talk.relisted(place, Some(crate::plan::TargetDataset { empty: true, ..target(versions(&[])) }));
        }
        talk
    };
    let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<DatasetName>>();
    let conflicts = |talk: &Negotiation| {
        let planned = talk.plan().datasets.into_iter();
        planned.skip(1).map(|planned| matches!(planned.verdict, Verdict::Conflict(_))).collect::<Vec<_>>()
    };
    // There is one.
    let mut talk = asked(&["/k"]);
    assert_eq!(talk.wants_below(), names(&["b/t/k"]));
    assert!(!talk.below_unknown(&"b/t/k".parse().unwrap(), "denied".into()));
    // There are two: all at once.
    let (mut talk, all) = (asked(&["/k", "/l"]), names(&["b/t", "b/t/k", "b/t/k/vm", "b/t/l", "b/t/other"]));
    assert_eq!(talk.wants_below(), all[..1]);
    talk.below(&all[0], &all);
    assert_eq!((talk.wants_below(), conflicts(&talk)), (Vec::new(), vec![true, false]));
    // Where that fails, each.
    let mut talk = asked(&["/k", "/l"]);
    assert!(talk.below_unknown(&all[0], "denied".into()));
    assert_eq!(talk.wants_below(), names(&["b/t/k", "b/t/l"]));
    talk.below(&all[1], &all[1..3]);
    talk.below(&all[3], &all[3..4]);
    assert_eq!((talk.wants_below(), conflicts(&talk)), (Vec::new(), vec![true, false]));
}

//! Bookmarks of a name that a dataset had before: recognised by the names on the target, believed by the notes there, renamed.

use super::*;
use crate::plan::fixture::numbered as versions;
use crate::plan::{Filter, SourceDataset};
use zfs::name::Guid;
use zfs::{Put, Tags, place};

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

fn tags() -> Tags {
    Tags::new("beta:22", Guid(1))
}

/// `a/s/new`, which has these bookmarks of ours, each of a dataset below the target.
fn negotiation(marks: &[(&str, u64)]) -> Negotiation {
    let marks: Vec<(String, u64)> =
        marks.iter().map(|(of, at)| (format!("zfsync-{}-s{at}", tags().of(&name(of))), *at)).collect();
    let dataset = SourceDataset {
        path: name("a/s/new").below(&name("a/s")).unwrap(),
        snapshots: versions(&[("s1", 1), ("s2", 2)]),
        bookmarks: versions(&marks.iter().map(|(name, at)| (name.as_str(), *at)).collect::<Vec<_>>()),
        ..SourceDataset::default()
    };
    Negotiation::new(&name("a/s"), &name("b/t"), vec![dataset], false)
        .with_tags(tags())
        .with_surroundings(&Filter::default(), Vec::new())
}

fn put(by: u32, at: Option<&str>) -> Notes {
    let at = at.map(|at| place(&name(&format!("b/t{at}")).below(&name("b/t")).unwrap()));
    let (upto, txg) = (Guid(1), None);
    let put = Put { by, at, upto, txg, came: Vec::new(), foreign: Vec::new(), missing: None };
    Notes { put: Some(put), ..Notes::default() }
}

#[test]
fn a_former_name_is_known_by_names_and_notes() {
    let there: Vec<DatasetName> = ["b/t", "b/t/old", "b/t/new", "b/t/two/new"].into_iter().map(name).collect();
    let found = |marks: &[(&str, u64)], known: &[&str]| {
        negotiation(marks).formerly(&there, |_| known.iter().map(|one| tags().of(&name(one))).collect())
    };
    let old = vec![(name("b/t/new"), name("b/t/old"))];
    assert_eq!(found(&[("b/t/old", 1), ("b/t/new", 2)], &[]), old);
    assert_eq!(found(&[("b/t/old", 1)], &["b/t/new"]), old);
    // Its own; another target's, which is recorded; what isn't there.
    assert_eq!(found(&[("b/t/new", 1)], &[]), []);
    assert_eq!(found(&[("b/t/two/new", 1)], &["b/t/two/new"]), []);
    assert_eq!(found(&[("b/t/older", 1), ("c/x", 1)], &[]), []);

    let believed = |notes: Notes| {
        let mut negotiation = negotiation(&[("b/t/old", 1)]);
        negotiation.supersede(old.clone(), &HashMap::from([(name("b/t/old"), notes)]), 7);
        negotiation.former_names(0).to_vec()
    };
    assert_eq!(believed(put(7, Some("/old"))), [name("b/t/old")]);
    for notes in [Notes::default(), put(8, Some("/old")), put(7, Some("/kid")), put(7, Some("")), put(7, None)] {
        assert_eq!(believed(notes.clone()), [], "{notes:?}");
    }
}

#[test]
fn what_is_renamed_there_takes_its_bookmarks_along() {
    let mut negotiation = negotiation(&[("b/t/old", 1), ("c/x", 2)]);
    assert_eq!(negotiation.brought_along(), []);
    negotiation.items[0].was = Some(name("b/t/old"));
    let mark = |of: &str, at: u64| format!("zfsync-{}-s{at}", tags().of(&name(of))).parse::<SnapshotName>().unwrap();
    let renamed = [(name("a/s/new"), mark("b/t/old", 1), mark("b/t/new", 1))];
    assert_eq!(negotiation.brought_along(), renamed);
    negotiation.bookmarks_renamed(&renamed);
    let now: Vec<(String, Guid)> =
        negotiation.items[0].source.bookmarks.iter().map(|one| (one.name.to_owned(), one.guid)).collect();
    assert_eq!(now, [(mark("b/t/new", 1).to_string(), Guid(1)), (mark("c/x", 2).to_string(), Guid(2))]);
    assert_eq!(negotiation.brought_along(), [], "once");
}

//! What is once noted as foreign stays so as long as it is there, wherever the source has it meanwhile; and what is noted as ours.

use crate::plan::missing_fixture::{There, both, goes, missing, negotiation, negotiation_with, stay, there};
use crate::plan::{Missing, NotDestroyed, When};
use zfs::name::Guid;

/// `own` was taken on the target, and is noted so.
const OWN: &[(&str, u64)] = &[("s1", 1), ("own", 2), ("s3", 3)];
const NOTE: &str = "3@3,2";

/// What the next run notes of the top dataset, given that the source has these, and what goes in the run after that.
fn after(meanwhile: &[(&str, &[(&str, u64)])], later: &[(&str, &[(&str, u64)])], more: &[(&str, u64)]) -> Missing {
    let found = missing(meanwhile, &[], &[("", OWN, NOTE)]);
    assert_eq!(found.undated(), Vec::<String>::new());
    let put = found.puts.first().map_or(NOTE.to_owned(), |(_, put)| put.to_string());
    let target = [OWN, more].concat();
    missing(later, &[], &[("", &target, &put)])
}

fn is_foreign(found: &Missing) {
    assert_eq!(found.undated(), Vec::<String>::new());
    assert_eq!(found.foreign, [("b/t".parse().unwrap(), vec!["own".parse().unwrap()])]);
}

/// The copy was restored at the source, in SOURCE's own tree; then that went.
#[test]
fn a_foreign_snapshot_that_the_source_has_elsewhere_is_foreign() {
    is_foreign(&after(
        &[("", &[("s1", 1), ("s3", 3)]), ("/restored", &[("own", 2)])],
        &[("", &[("s1", 1), ("s3", 3)])],
        &[],
    ));
}

/// The copy was restored in place of the source, which has destroyed `own` then.
#[test]
fn a_foreign_snapshot_that_the_source_has_too_is_foreign() {
    is_foreign(&after(&[("", OWN)], &[("", &[("s1", 1), ("s3", 3)])], &[]));
    // Or it was the newest that both had; of what was newer nothing is known then.
    let found = after(&[("", &[("s1", 1), ("own", 2)])], &[("", &[("s1", 1), ("s4", 4)])], &[("s4", 4)]);
    assert_eq!(found.undated(), Vec::<String>::new());
    assert_eq!(found.foreign, [("b/t".parse().unwrap(), vec!["own".parse().unwrap(), "s3".parse().unwrap()])]);
}

/// Another source has put the dataset there, and was told of `own`.
#[test]
fn a_foreign_snapshot_is_foreign_to_every_source() {
    let found = missing(&[("", OWN)], &[], &[("", OWN, "7-3@3,2")]);
    let put = found.puts[0].1.to_string();
    is_foreign(&missing(&[("", &[("s1", 1), ("s3", 3)])], &[], &[("", OWN, &put)]));
}

#[test]
fn a_dataset_with_a_foreign_snapshot_stays_though_the_source_has_that_elsewhere() {
    let source: &[(&str, &[(&str, u64)])] = &[("", &[("t", 9)]), ("/restored", &[("s1", 1), ("own", 2)])];
    let target: There<'_> = &[
        ("", &[("t", 9)], "9@9"),
        ("/restored", &[("s1", 1), ("own", 2)], "2@2"),
        ("/noted", &[("s1", 1), ("own", 2)], "2@2,2"),
        ("/later", &[("s1", 1), ("own", 2)], "1@1"),
    ];
    let found = missing(source, &[], target);
    assert_eq!(goes(&found), ["b/t/later"], "nobody has said that it isn't the source's");
    assert_eq!(stay(&found), [("b/t/noted", &NotDestroyed::Foreign(vec!["own".parse().unwrap()]))]);
}

/// A copy that was made by hand, another source's, and ours: all of them have diverged, so this run has put nothing there.
#[test]
fn a_diverged_dataset_is_not_noted_as_received() {
    let source: &[(&str, &[(&str, u64)])] = &[
        ("", &[("s1", 1)]),
        ("/hand", &[("s1", 5), ("s3", 8)]),
        ("/other", &[("s1", 2), ("s3", 4)]),
        ("/ours", &[("s1", 10), ("s2", 11), ("s9", 19)]),
        ("/back", &[("s1", 20), ("s9", 29)]),
        ("/sync", &[("s1", 30)]),
    ];
    let (datasets, mut notes) = there(&[
        ("", &[("s1", 1)], "1@1"),
        ("/hand", &[("s1", 5), ("own", 7)], "-"),
        ("/other", &[("s1", 2), ("own", 3)], "5-2"),
        // The last increment has not come, the one before has.
        ("/ours", &[("s1", 10), ("s2", 11)], "a@10"),
        // s2 has come, and was destroyed on the source.
        ("/back", &[("s1", 20), ("s2", 21), ("own", 22)], "15@21"),
        ("/sync", &[("s1", 30)], "-"),
    ]);
    let found = negotiation_with(source, &[], &datasets).missing(&datasets, &notes, &both(), When::After);
    let put = |name: &str| found.puts.iter().find(|(put, _)| put.as_str() == name).map(|(_, put)| (put.by, put.upto));
    assert_eq!((put("b/t/hand"), put("b/t/other"), put("b/t/back")), (None, None, None));
    assert_eq!((put("b/t/ours"), put("b/t/sync")), (Some((0, Guid(11))), Some((0, Guid(30)))));
    // Then both sides lose what stood in the way.
    for (name, put) in found.puts {
        notes.get_mut(&name).unwrap().put = Some(put);
    }
    let (datasets, _) = there(&[
        ("", &[("s1", 1)], "-"),
        ("/hand", &[("s1", 5)], "-"),
        ("/other", &[("s1", 2)], "-"),
        ("/ours", &[("s1", 10), ("s2", 11)], "-"),
    ]);
    let found = negotiation(&[("", &[("s1", 1)])], &[]).missing(&datasets, &notes, &both(), When::After);
    assert_eq!(goes(&found), ["b/t/ours"]);
    assert_eq!(stay(&found), [("b/t/hand", &NotDestroyed::NotOurs), ("b/t/other", &NotDestroyed::OfAnother)]);
}

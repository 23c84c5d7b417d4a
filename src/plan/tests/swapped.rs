//! Copies that have each other's names.

use super::shorthand::{push, side};

/// What the conflict of each of these says to do, where the target has their copies as `there`.
fn told(there: &[(&str, &str)]) -> String {
    let source = [("", "t"), ("db", "1=d1 2=d2"), ("db/kid", "1=k1"), ("web", "1=w1 2=w2"), ("web/kid", "1=l1")];
    push(&side("a/s", &source), &mut side("b/t", there), false)
}

#[test]
fn swapped_names_are_told_with_what_swaps_them_back() {
    let text = told(&[
        ("", "t"),
        ("db", "1=w1 came"),
        ("db/kid", "1=l1 came"),
        ("web", "1=d1 came"),
        ("web/kid", "1=k1 came"),
    ]);
    let commands = "'b/t/web' has its snapshots, and the other way round: zfs rename b/t/db b/t/db.swap; zfs rename b/t/web b/t/db; \
                    zfs rename b/t/db.swap b/t/web on the target's host, and run again; or run again with\n";
    assert!(text.contains(commands), "{text}");
    assert!(
        text.contains("'b/t/db' has its snapshots, and the other way round: the conflict of a/s/db has the commands"),
        "{text}"
    );
    // What lies below goes along.
    for kid in ["'b/t/web/kid' has its snapshots; rename it, or", "'b/t/db/kid' has its snapshots; rename it, or"] {
        assert!(text.contains(kid), "{text}");
    }
}

#[test]
fn one_that_only_has_other_content_is_not() {
    let text = told(&[("", "t"), ("db", "1=x1 came"), ("web", "1=d1 came")]);
    assert!(text.contains("'b/t/web' has its snapshots; rename it"), "{text}");
    assert_eq!(text.matches("has its snapshots").count(), 1, "{text}");
    assert!(!told(&[("", "t"), ("db", "1=x1 came"), ("web", "1=y1 came")]).contains("has its snapshots"));
}

//! Single cases, most of them known from the tests of other tools (zrepl, syncoid, bzfs, zelta): what is asked, sent, told.

use std::fmt::Write;

use insta::assert_snapshot;

use super::shorthand::{newest, one, push, side};

/// zrepl's `diff_test.go` (B15 a to l).
#[test]
fn the_nearest_base_is_found() {
    assert_snapshot!(one("a b c d", "a b"), @r"
    rounds 3, listed 0, refused 0
    : [-I @b @d] InSync
    ");
    assert_snapshot!(one("c d", "a b"), @r"
    rounds 2, listed 1, refused 0
    : [] no common snapshot, and no record that the target was ever received from this source
      only on the source: @c, @d
      only on the target: @a, @b
      nothing was changed; to continue: name another TARGET, for example 'b/t/s', which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its 2 snapshots and sends it in full
    ");
    assert_snapshot!(one("a b=b2", "a b=b1"), @r"
    rounds 1, listed 1, refused 0
    : [] the target has diverged after @a: it has snapshots of its own, with names of snapshots to be received: @b
      common: @a
      only on the source: @b
      only on the target: @b
      nothing was changed; to continue: run again with
        --rollback, which loses @b and what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t', which destroys its 2 snapshots and sends it in full
    ");
    assert_snapshot!(one("b c d", "a b c"), @r"
    rounds 2, listed 0, refused 0
    : [-i @c @d] InSync
    ");
    assert_snapshot!(one("a b c", "a c"), @r"
    rounds 1, listed 0, refused 0
    : [] InSync
    ");
    assert_snapshot!(one("a b", "a b"), @r"
    rounds 1, listed 0, refused 0
    : [] InSync
    ");
    assert_snapshot!(one("b", "a b"), @r"
    rounds 1, listed 0, refused 0
    : [] InSync
    ");
    assert_snapshot!(one("", "a b"), @r"
    rounds 0, listed 0, refused 0
    : [] NoSnapshots
    ");
    assert_snapshot!(one("#m=a b c", "m=a"), @r"
    rounds 2, listed 0, refused 0
    : [-i #m @b, -i @b @c] InSync
    ");
    assert_snapshot!(one("a b #b", "a"), @r"
    rounds 2, listed 0, refused 0
    : [-i @a @b] InSync
    ");
    assert_snapshot!(one("a #a b", "a"), @r"
    rounds 2, listed 0, refused 0
    : [-i @a @b] InSync
    ");
    assert_snapshot!(one("a b", "a #x"), @r"
    rounds 2, listed 0, refused 0
    : [-i @a @b] InSync
    ");
    assert_snapshot!(one("a b", "#a"), @r"
    rounds 2, listed 1, refused 0
    : [@a, -i @a @b] InSync
    ");
}

/// syncoid 001, 002, 004 (B01 to B03).
#[test]
fn a_bookmark_is_a_base() {
    assert_snapshot!(one("#snap1 snap2 snap3 snap4 snap5", "snap1"), @r"
    rounds 3, listed 0, refused 0
    : [-i #snap1 @snap2, -I @snap2 @snap5] InSync
    ");
    assert_snapshot!(newest("#snap1 snap2 snap3 snap4 snap5", "snap1"), @r"
    rounds 3, listed 0, refused 0
    : [-i #snap1 @snap5] InSync
    ");
    assert_snapshot!(one("#snap1 snap2", "snap1"), @r"
    rounds 2, listed 0, refused 0
    : [-i #snap1 @snap2] InSync
    ");
    assert_snapshot!(one("#cursor=snap1 snap2 snap3", "snap1"), @r"
    rounds 2, listed 1, refused 0
    : [-i #cursor @snap2, -i @snap2 @snap3] InSync
    ");
    assert_snapshot!(one("a #late=b c", "a b"), @r"
    rounds 2, listed 0, refused 1
    : [-i #late @c] InSync
    ");
}

/// A rollback would lose @s2 and get nowhere, as @s1 would still be in the way.
#[test]
fn names_taken_on_both_sides_of_the_base() {
    assert_snapshot!(one("a s1 s2", "s1=x a s2=y"), @r"
    rounds 1, listed 1, refused 0
    : [] other snapshots on the target have the names of snapshots to be received: @s1
      common: @a
      only on the source: @s1, @s2
      only on the target: @s2
      nothing was changed; to continue: rename them on the target host (zfs rename) and run again; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its 3 snapshots and sends it in full
    ");
}

/// bzfs `test_incremental_send_steps` (B19), as far as nothing is filtered yet: always the fewest steps.
#[test]
fn as_few_steps_as_possible() {
    assert_snapshot!(one("d1 h1 d2 d3 d4", "-"), @r"
    rounds 1, listed 0, refused 0
    : [@d1, -I @d1 @d4] InSync
    ");
    assert_snapshot!(one("h0 h1 d1 d2 h2 h3 d3 d4", "h0"), @r"
    rounds 3, listed 0, refused 0
    : [-I @h0 @d4] InSync
    ");
    assert_snapshot!(one("d1 h1", "d1"), @r"
    rounds 2, listed 0, refused 0
    : [-i @d1 @h1] InSync
    ");
    assert_snapshot!(one("s1", "-"), @r"
    rounds 1, listed 0, refused 0
    : [@s1] InSync
    ");
}

/// bzfs `test_nostream` (B21).
#[test]
fn newest_only_skips_what_lies_between() {
    let mut there = side("b/t", &[]);
    let mut held = String::new();
    for here in ["s1 s2 s3", "s1 s2 s3 s4", "s1 s2 s3 s4 s5 s6", "s1 s2 s3 s4 s5 s6"] {
        writeln!(held, "{}", push(&side("a/s", &[("", here)]), &mut there, true)).unwrap();
        let names = there.datasets[&"b/t".parse().unwrap()].snapshots.iter().map(|snap| snap.name.as_str());
        writeln!(held, "= {}", names.collect::<Vec<_>>().join(" ")).unwrap();
    }
    assert_snapshot!(held, @r"
    rounds 1, listed 0, refused 0
    : [@s3] InSync
    = s3
    rounds 2, listed 0, refused 0
    : [-i @s3 @s4] InSync
    = s3 s4
    rounds 3, listed 0, refused 0
    : [-i @s4 @s6] InSync
    = s3 s4 s6
    rounds 1, listed 0, refused 0
    : [] InSync
    = s3 s4 s6
    ");
}

/// B17, B18, B22, B23 and relatives.
#[test]
fn names_decide_nothing() {
    assert_snapshot!(one("s1 t7=x", "s1 t7=y t8"), @r"
    rounds 1, listed 1, refused 0
    : [] the target has diverged after @s1: it has snapshots of its own, with names of snapshots to be received: @t7
      common: @s1
      only on the source: @t7
      only on the target: @t7, @t8
      nothing was changed; to continue: run again with
        --rollback, which loses @t7, @t8 and what was written there since @s1
        or --set-aside, which keeps everything under another name, and continues from @s1
        or --replace 'b/t', which destroys its 3 snapshots and sends it in full
    ");
    assert_snapshot!(one("s1 s2", "s1=other"), @r"
    rounds 2, listed 1, refused 0
    : [] no common snapshot, and no record that the target was ever received from this source
      only on the source: @s1, @s2
      only on the target: @s1
      nothing was changed; to continue: name another TARGET, for example 'b/t/s', which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its only snapshot and sends it in full
    ");
    assert_snapshot!(one("s2 s3", "s1"), @r"
    rounds 2, listed 1, refused 0
    : [] no common snapshot, and no record that the target was ever received from this source
      only on the source: @s2, @s3
      only on the target: @s1
      nothing was changed; to continue: name another TARGET, for example 'b/t/s', which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its only snapshot and sends it in full
    ");
    assert_snapshot!(one("s1 s2 s3", "s1 mine~ s2 yours~"), @r"
    rounds 2, listed 0, refused 0
    : [-i @s2 @s3] InSync
    ");
    assert_snapshot!(one("renamed=s1 s2", "s1"), @r"
    rounds 2, listed 1, refused 0
    : [-i @renamed @s2] InSync
    ");
    assert_snapshot!(one("s1 s2", "s0 renamed=s1"), @r"
    rounds 2, listed 1, refused 0
    : [-i @s1 @s2] InSync
    ");
    assert_snapshot!(one("previous=one latest=two", "latest=one"), @r"
    rounds 1, listed 1, refused 0
    : [] other snapshots on the target have the names of snapshots to be received: @latest
      common: @previous
      only on the source: @latest
      nothing was changed; to continue: rename them on the target host (zfs rename) and run again; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its only snapshot and sends it in full
    ");
    assert_snapshot!(newest("previous=one latest=two last=three", "latest=one"), @r"
    rounds 2, listed 1, refused 0
    : [-i @previous @last] InSync
    ");
}

/// What the target did by itself.
#[test]
fn a_target_of_its_own_mind() {
    assert_snapshot!(one("a b", "a !"), @r"
    rounds 2, listed 0, refused 1
    : [] the target has been modified since @a, the newest common snapshot
      common: @a
      only on the source: @b
      only on the target: changes that are in no snapshot
      nothing was changed; to continue: run again with
        --rollback, which loses what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t', which destroys its only snapshot and sends it in full
    ");
    assert_snapshot!(one("a b", "a own~"), @r"
    rounds 2, listed 0, refused 0
    : [-i @a @b] InSync
    ");
    assert_snapshot!(one("raw a b", "raw a own~"), @r"
    rounds 2, listed 0, refused 1
    : [] the target has snapshots of its own after @a, and a raw increment can only be received on top of the newest snapshot
      common: @a
      only on the source: @b
      only on the target: @own
      nothing was changed; to continue: run again with
        --rollback, which loses @own and what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t', which destroys its 2 snapshots and sends it in full
    ");
    assert_snapshot!(one("a b", "a own"), @r"
    rounds 2, listed 0, refused 1
    : [] the target has diverged after @a: it has snapshots of its own
      common: @a
      only on the source: @b
      only on the target: @own
      nothing was changed; to continue: run again with
        --rollback, which loses @own and what was written there since @a
        or --set-aside, which keeps everything under another name, and continues from @a
        or --replace 'b/t', which destroys its 2 snapshots and sends it in full
    ");
    assert_snapshot!(one("a b", ""), @r"
    rounds 2, listed 1, refused 0
    : [@a, -i @a @b] InSync
    ");
    assert_snapshot!(one("a b", "!"), @r"
    rounds 2, listed 1, refused 0
    : [] the target has no snapshots but holds data
      only on the source: @a, @b
      nothing was changed; to continue: name another TARGET, for example 'b/t/s', which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its content and sends it in full
    ");
    assert_snapshot!(one("a b", "volume"), @r"
    rounds 2, listed 1, refused 0
    : [] the source is a filesystem and the target is a volume
      only on the source: @a, @b
      nothing was changed; to continue: name another TARGET, one that does not exist yet, which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
        or --replace 'b/t', which destroys its content and sends it in full
    ");
    assert_snapshot!(one("a b", "a partial"), @r"
    rounds 2, listed 0, refused 1
    : [] the target has partially received state of an interrupted receive, which is in the way
      common: @a
      only on the source: @b
      nothing was changed; to continue: discard the partially received state on the target host (zfs receive -A DATASET; this loses only what was received of the interrupted stream) and run again
    ");
    assert_snapshot!(one("old #new", "new"), @r"
    rounds 2, listed 1, refused 0
    : [] the target is ahead: its @new is newer than all snapshots that the source still has
      common: @new
      nothing was changed; to continue: nothing is lost, and the source's next snapshot will continue from its bookmark
    ");
    assert_snapshot!(one("old #new !  newer", "new"), @r"
    rounds 2, listed 0, refused 0
    : [-i #new @newer] InSync
    ");
}

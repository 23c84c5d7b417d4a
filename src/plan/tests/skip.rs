//! Snapshots that change nothing are left out: the steps, what the target has afterwards, and what is asked for.

use crate::plan::fixture;
use insta::assert_snapshot;
use proptest::prelude::*;

use super::histories::{World, names, op, push_and_check};
use super::shorthand::without_empty;
use crate::plan::model::{Dataset, Snap, config, notation};
use crate::plan::{Negotiation, SourceDataset, TargetDataset, Verdict};
use zfs::Versions;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};

fn steps(here: &str, there: &str) -> String {
    let said = without_empty(here, there, false);
    assert!(said.ends_with(" InSync"), "{said}");
    said.split_once(": [").unwrap().1.trim_end_matches("] InSync").to_owned()
}

/// `~` is what changes nothing.
#[test]
fn as_few_steps_as_leave_out_exactly_what_is_empty() {
    assert_eq!(steps("a b c d", "a"), "-I @a @d");
    assert_eq!(steps("a b~ c~ d", "a"), "-i @a @d");
    assert_eq!(steps("a b~ c~ d~", "a"), "-i @a @d", "the newest comes in any case");
    assert_eq!(steps("a b c~ d e f", "a"), "-i @a @b, -i @b @d, -I @d @f");
    assert_eq!(steps("a b c d~ e", "a"), "-I @a @c, -i @c @e");
    assert_eq!(steps("a b~ c d~ e f~ g~ h", "a"), "-i @a @c, -i @c @e, -i @e @h");
    assert_eq!(steps("a b~", "a"), "-i @a @b");
    assert_eq!(steps("a b~", "a b"), "");
    assert_eq!(steps("a b~ c", "a b"), "-i @b @c", "an empty one that is there is as good a base as any");
}

#[test]
fn a_first_transfer_starts_with_the_oldest() {
    assert_eq!(steps("a b~ c d e~ f", "-"), "@a, -i @a @c, -i @c @d, -i @d @f");
    assert_eq!(steps("a b~", "-"), "@a, -i @a @b");
    assert_eq!(steps("a~", "-"), "@a");
}

#[test]
fn from_a_bookmark_to_the_first_that_is_not_empty() {
    assert_eq!(steps("z #a b~ c~ d e f~ g", "z a"), "-i #a @d, -i @d @e, -i @e @g");
    assert_eq!(steps("z #a b~ c~", "z a"), "-i #a @c");
}

#[test]
fn together_with_newest_only() {
    assert_snapshot!(without_empty("a b~ c d", "a", true), @r"
    rounds 3, listed 0, refused 0
    : [-i @a @d] InSync
    ");
}

/// A stranger's snapshot with the name of an empty one is in nobody's way.
#[test]
fn names_of_what_is_left_out_may_be_taken() {
    assert_snapshot!(without_empty("a b~ c", "b=x a", false), @r"
    rounds 2, listed 1, refused 0
    : [-i @a @c] InSync
    ");
}

fn source(snapshots: &[&str]) -> SourceDataset {
    let mut all = Versions::default();
    for (number, name) in (1..).zip(snapshots) {
        all.push(&name.parse::<SnapshotName>().unwrap(), Guid(number), Txg(number));
    }
    SourceDataset { snapshots: all, ..SourceDataset::default() }
}

/// What lies between is asked for, nothing else, and only when it is to be left out.
#[test]
fn only_what_lies_between_is_asked_for() {
    let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let wants = |has: u64, newest_only, skip_empty| {
        let all = vec![source(&["a", "b", "c", "d"])];
        let mut talk = Negotiation::new(&here, &there, all, newest_only).with_skip_empty(skip_empty);
        loop {
            let names = talk.questions();
            if names.is_empty() {
                break;
            }
            let found = (0..).zip(&names).filter_map(|(place, name)| match name.split_once("b/t@") {
                Some((_, snapshot)) => {
                    let guid = snapshot.bytes().next().map(|byte| u64::from(byte - b'a') + 1)?;
                    (guid <= has).then_some((place, Guid(guid), Txg(guid)))
                }
                None => (has > 0 || name == "b").then_some((place, Guid(99), Txg(1))),
            });
            talk.answers(&found.collect::<Vec<_>>());
        }
        talk.wants_written()
    };
    assert_eq!(wants(1, false, true), ["a/s@b", "a/s@c"]);
    assert_eq!(wants(3, false, true), [""; 0], "the newest is sent in any case");
    assert_eq!(wants(4, false, true), [""; 0]);
    assert_eq!(wants(0, false, true), ["a/s@b", "a/s@c"]);
    assert_eq!(wants(1, true, true), [""; 0]);
    assert_eq!(wants(1, false, false), [""; 0]);
}

/// The resumed stream comes first, whatever it brings; then it goes on from there.
#[test]
fn after_the_rest_of_a_cut_stream() {
    let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let all = vec![source(&["a", "b", "c", "d", "e"])];
    let mut talk = Negotiation::new(&here, &there, all, false).with_skip_empty(true);
    while !talk.questions().is_empty() {
        talk.answers(&[(0, Guid(9), Txg(1)), (1, Guid(9), Txg(1))]);
    }
    talk.relist(0, None);
    let resume = Some(crate::plan::ResumePoint { token: zfs::name::ResumeToken("1-x".into()), to: Guid(2) });
    let target = TargetDataset { partial: true, resume, ..fixture::target(source(&["a"]).snapshots) };
    talk.relisted(0, Some(target));
    assert_eq!(talk.wants_written(), ["a/s@c", "a/s@d"]);
    let written = [("a/s@c", 0), ("a/s@d", 7), ("a/other@e", 0)].map(|(name, bytes)| (name.to_owned(), bytes));
    talk.written(&written);
    let Verdict::Send(steps) = talk.replan(0).unwrap().verdict else { panic!("nothing to send") };
    assert_eq!(steps.iter().map(notation).collect::<Vec<_>>(), ["@b", "-i @b @d", "-i @d @e"]);
    assert!(steps[0].resume.is_some() && steps[1].resume.is_none());
    // Relisted: what is known isn't asked for again, and still counts.
    talk.relist(0, None);
    let whole = |names: &[&str]| fixture::target(source(names).snapshots);
    talk.relisted(0, Some(whole(&["a", "b"])));
    assert_eq!(talk.wants_written(), [""; 0]);
    let Verdict::Send(steps) = talk.replan(0).unwrap().verdict else { panic!("nothing to send") };
    assert_eq!(steps.iter().map(notation).collect::<Vec<_>>(), ["-i @b @d", "-i @d @e"]);
    talk.relisted(0, Some(whole(&["a"])));
    assert_eq!(talk.wants_written(), ["a/s@b"]);
}

proptest! {
    #![proptest_config(config(500))]

    /// All that a push promises holds; and what arrives is just what is not empty, the first of a new dataset, and the newest.
    #[test]
    fn the_target_lacks_exactly_what_is_empty(
        ops in prop::collection::vec(op(), 1..60),
        empties in prop::collection::vec((0..9_usize, 0..60_usize, 0..9_usize), 0..12),
    ) {
        let mut world = World::new();
        world.skip_empty = true;
        for op in &ops {
            world.apply(op, &mut push_and_check);
        }
        for (path, from, count) in empties {
            world.empty_out(path, from, count);
        }
        let before = world.there.clone();
        push_and_check(&mut world, false, 0xff);
        let (top, target) = names();
        for (name, there) in &world.there.datasets {
            let Some(path) = name.below(&target) else { continue };
            let Some(source) = world.here.datasets.get(&top.join(&path).unwrap()) else { continue };
            let had: &[_] = before.datasets.get(name).map_or(&[], |dataset| &dataset.snapshots);
            lacks_what_is_empty(&world, source, there, had.len());
        }
    }
}

/// What has arrived, behind the first `had` snapshots. One that is there already under an old name may arrive once more.
fn lacks_what_is_empty(world: &World, source: &Dataset, there: &Dataset, had: usize) {
    let (before, arrived) = there.snapshots.split_at(had);
    let is_common = |snap: &Snap| before.iter().any(|other| other.guid == snap.guid);
    if !arrived.iter().any(|snap| !is_common(snap)) {
        return;
    }
    let base =
        source.snapshots.iter().chain(&source.bookmarks).filter(|snap| is_common(snap)).map(|snap| snap.txg).max();
    let wanted = source.snapshots.iter().enumerate().filter(|(at, snap)| match base {
        None => *at == 0 || world.sends(source, snap, false),
        Some(base) => snap.txg > base && world.sends(source, snap, false),
    });
    let wanted: Vec<u64> = wanted.map(|(_, snap)| snap.guid).collect();
    let arrived: Vec<u64> = arrived.iter().filter(|snap| !is_common(snap)).map(|snap| snap.guid).collect();
    assert_eq!(arrived, wanted);
}

//! Random histories, then a push that may solve conflicts: what the flags don't name stays, and what they solve ends in sync.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::histories::{Op, World, judge, names, op, selects};
use crate::plan::model::{Job, ModelHost, PushOutcome, Report, config};
use crate::plan::{ConflictKind, Resolutions};
use zfs::name::DatasetName;

fn push(world: &mut World, newest_only: bool, selected: u8, resolutions: Resolutions) -> Report {
    let (source, target) = names();
    let job =
        Job { source, target, selects: &selects(selected), newest_only, skip_empty: world.skip_empty, resolutions };
    job.push(&world.here, &mut world.there, &mut |_| {})
}

/// Every snapshot of a side, wherever it is.
fn all(side: &ModelHost) -> BTreeSet<u64> {
    side.datasets.values().flat_map(|dataset| dataset.snapshots.iter().map(|snap| snap.guid)).collect()
}

fn play(ops: &[Op], resolutions: &Resolutions, check: &mut dyn FnMut(&World, &World, &Report)) {
    let mut world = World::new();
    for op in ops {
        world.apply(op, &mut |world, newest_only, selected| {
            let before = world.clone();
            let report = push(world, newest_only, selected, resolutions.clone());
            for (target, end) in &report.ends {
                if !matches!(end, PushOutcome::Failed(_)) {
                    judge(world, target, end, newest_only);
                }
            }
            check(&before, world, &report);
        });
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_is_set_aside_is_lost_nowhere(ops in prop::collection::vec(op(), 1..60)) {
        let resolutions = Resolutions { set_aside: true, ..Resolutions::default() };
        play(&ops, &resolutions, &mut |before, after, report| {
            let lost: Vec<u64> = all(&before.there).difference(&all(&after.there)).copied().collect();
            assert!(lost.is_empty(), "{lost:?} {report:?}");
            for (target, end) in &report.ends {
                let solved = match end {
                    PushOutcome::Conflict(conflict) => matches!(conflict.kind, ConflictKind::Partial | ConflictKind::Ahead) || conflict.would_decrypt,
                    _ => true,
                };
                assert!(solved, "{target}: {end:?}");
            }
        });
    }

    #[test]
    fn a_dry_run_shows_what_is_sent(ops in prop::collection::vec(op(), 1..60), set_aside in any::<bool>()) {
        let resolutions = Resolutions { set_aside, rollback: !set_aside, ..Resolutions::default() };
        play(&ops, &resolutions, &mut |_, _, report| {
            // A refusal is what no dry run foresees.
            if report.refused == 0 {
                let sorted = |mut all: Vec<(DatasetName, String)>| {
                    all.sort();
                    all
                };
                assert_eq!(sorted(report.foretold.clone()), sorted(report.sent.clone()));
            }
        });
    }

    #[test]
    fn a_rollback_takes_only_what_is_newer_than_the_common(ops in prop::collection::vec(op(), 1..60)) {
        let resolutions = Resolutions { rollback: true, ..Resolutions::default() };
        play(&ops, &resolutions, &mut |before, after, report| {
            for (name, was) in &before.there.datasets {
                let now = &after.there.datasets[name];
                let kept = was.snapshots.iter().take_while(|snap| now.has(snap.guid)).count();
                let lost = &was.snapshots[kept..];
                if lost.is_empty() {
                    continue;
                }
                assert!(report.ends.get(name) == Some(&PushOutcome::InSync), "{name}: {:?}", report.ends.get(name));
                let path = name.below(&names().1).unwrap();
                let source = &before.here.datasets[&names().0.join(&path).unwrap()];
                let is_common = |snap: &crate::plan::model::Snap| {
                    source.has(snap.guid) || source.bookmarks.iter().any(|mark| mark.guid == snap.guid)
                };
                assert!(!lost.iter().any(is_common), "a common one was lost: {lost:?}");
            }
            let stays = |end: &&PushOutcome| match end {
                PushOutcome::Conflict(conflict) => matches!(conflict.kind, ConflictKind::Diverged | ConflictKind::Modified),
                _ => false,
            };
            assert_eq!(report.ends.values().find(stays), None);
        });
    }

    #[test]
    fn replace_takes_what_it_names_and_nothing_else(
        ops in prop::collection::vec(op(), 1..60),
        named in prop::sample::subsequence(vec!["bpool/t/u", "bpool/t/u/a", "bpool/t/u/a/b", "bpool/t/u/v"], 0..=4),
    ) {
        let replace = named.iter().map(|name| name.parse().unwrap()).collect();
        let resolutions = Resolutions { replace, ..Resolutions::default() };
        play(&ops, &resolutions, &mut |before, after, _| {
            for (name, was) in before.there.datasets.iter().filter(|(name, _)| !resolutions.replace.contains(name)) {
                let now = &after.there.datasets[name];
                assert_eq!(now.snapshots.get(..was.snapshots.len()), Some(&was.snapshots[..]), "{name}");
            }
        });
    }
}

//! Whatever happens, in whatever order: the run ends, and tells nothing that isn't so.

use std::time::Duration;

use proptest::prelude::*;

use super::target::{Clash, How, Shape};
use super::world::{Weather, World};
use crate::exec::machine::{DatasetOutcome, Limits};
use crate::plan::model::config;

fn clash(stays: bool) -> impl Strategy<Value = Option<Clash>> {
    let solvable = |how| Just(Some(Clash::Solvable(how)));
    let stays = u32::from(stays);
    prop_oneof![
        8 => Just(None),
        1 => solvable(How::Rollback),
        1 => solvable(How::SetAside),
        1 => solvable(How::Replace),
        stays => Just(Some(Clash::Stays)),
        stays => Just(Some(Clash::HalfMade)),
    ]
}

fn shape(stays: bool) -> impl Strategy<Value = Shape> {
    let (parent, below) = (any::<prop::sample::Index>(), prop::bool::weighted(0.7));
    (parent, below, 0..5_u64, any::<bool>(), 0..5_u64, clash(stays))
        .prop_map(|(parent, below, snapshots, there, has, clash)| Shape { parent, below, snapshots, there, has, clash })
}

fn shapes(most: usize, stays: bool) -> impl Strategy<Value = Vec<Shape>> {
    prop::collection::vec(shape(stays), 1..most)
}

fn limits(retries: u32) -> impl Strategy<Value = Limits> {
    let (waits, stalls) = (0..90_u64, prop::option::weighted(0.8, 1..400_u64));
    (1..9_usize, any::<bool>(), 0..=retries, waits, stalls, any::<u64>()).prop_map(
        |(channels, auto, retries, wait, stall, seed)| Limits {
            channels,
            auto,
            retries,
            max_wait: Duration::from_secs(wait),
            stall: stall.map(Duration::from_secs),
            seed,
        },
    )
}

fn dice(most: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any::<u16>(), 0..most)
}

fn well(end: Option<&DatasetOutcome>) -> bool {
    matches!(end, Some(DatasetOutcome::InSync { .. } | DatasetOutcome::NoSnapshots))
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn every_run_ends_and_tells_the_truth(
        shapes in shapes(12, true),
        gated: bool,
        limits in limits(6),
        dice in dice(400),
    ) {
        let (mut world, plan) = World::new(&shapes, gated, limits, Weather::Any, dice);
        world.run(&plan);
    }

    /// Faults that pass, fewer than there are retries, stop nothing.
    #[test]
    fn what_passes_is_got_over(
        shapes in shapes(12, false),
        gated: bool,
        limits in limits(6),
        dice in dice(400),
    ) {
        let (mut world, plan) = World::new(&shapes, gated, limits, Weather::Faults(limits.retries), dice);
        world.run(&plan);
        prop_assert!(world.ends.iter().all(|end| well(end.as_ref())), "{:?}", world.ends);
    }

    #[test]
    fn a_calm_run_brings_everything_in_sync(shapes in shapes(30, false), gated: bool, limits in limits(6)) {
        let (mut world, plan) = World::calm(&shapes, gated, limits);
        world.run(&plan);
        prop_assert!(world.ends.iter().all(|end| well(end.as_ref())), "{:?}", world.ends);
        prop_assert_eq!(world.connects, 0);
        let resolutions = shapes.iter().any(|shape| shape.clash.is_some());
        prop_assert!(world.relists == 0 || resolutions);
    }
}

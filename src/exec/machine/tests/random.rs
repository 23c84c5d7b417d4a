//! Whatever happens, in whatever order: the run ends, and tells nothing that isn't so.

use proptest::prelude::*;

use super::plan;
use super::world::{Shape, World};
use crate::exec::machine::{End, Machine};
use crate::plan::model::config;

fn shape() -> impl Strategy<Value = Shape> {
    let steps = 0..4_u64;
    (any::<prop::sample::Index>(), steps, any::<bool>(), prop::bool::weighted(0.7))
        .prop_map(|(parent, steps, there, below)| Shape { parent, steps, there, below })
}

fn shapes(most: usize) -> impl Strategy<Value = Vec<Shape>> {
    prop::collection::vec(shape(), 1..most)
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn every_run_ends_and_tells_the_truth(
        shapes in shapes(12),
        limit in 1..5_usize,
        auto: bool,
        dice in prop::collection::vec(any::<u16>(), 0..300),
    ) {
        let mut world = World::new(&shapes, limit, dice);
        let (machine, actions) = Machine::new(&plan(world.plan.clone()), limit, auto);
        world.run(machine, actions);
    }

    #[test]
    fn a_calm_run_brings_everything_in_sync(shapes in shapes(30), limit in 1..5_usize, auto: bool) {
        let mut world = World::new(&shapes, limit, Vec::new());
        let (machine, actions) = Machine::new(&plan(world.plan.clone()), limit, auto);
        world.run(machine, actions);
        let well = |end: &Option<End>| matches!(end, Some(End::InSync { .. } | End::NoSnapshots));
        prop_assert!(world.ends.iter().all(well));
        prop_assert!(world.looks == 0 && world.connects == 0);
    }
}

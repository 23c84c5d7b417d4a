//! A TARGET that was never a copy of SOURCE: nothing lands beside what is there, unless somebody has said so.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::histories::{World, names, op, push_and_check};
use super::shorthand::{push, push_with, side};
use crate::plan::conflict::Beside;
use crate::plan::fixture::{self, named as versions};
use crate::plan::model::{Dataset, Job, ModelHost, PushOutcome, config};
use crate::plan::{Negotiation, Resolutions, SourceDataset, Verdict};
use zfs::Kind;
use zfs::name::DatasetName;

const SOURCE: [(&str, &str); 4] = [("", "a b"), ("home", "a"), ("new", "a"), ("new/none", "")];

/// What a push to a target with these datasets says, and that it changes nothing.
fn withheld(there: &[(&str, &str)], resolutions: Resolutions) -> String {
    let (here, mut there) = (side("a/s", &SOURCE), side("b/t", there));
    let before = there.datasets.clone();
    let told = push_with(&here, &mut there, resolutions);
    assert_eq!(there.datasets, before);
    told
}

/// Someone else's data lies where TARGET is, one level too high.
#[test]
fn nothing_lands_beside_what_is_there() {
    assert_snapshot!(withheld(&[("", "!"), ("home", "x"), ("other", "y")], Resolutions::default()), @r"
    rounds 2, listed 2, refused 0
    : [] the target has no snapshots, and holds data or has mounted filesystems below it; datasets below it are not copies of this source: 'b/t/home', 'b/t/other'
      only on the source: @a, @b
      nothing is sent below it either (2 datasets): none has a snapshot in common with the one in its place there
      nothing was changed; to continue: name another TARGET, for example 'b/t/s', which leaves this one as it is; or run again with
        --set-aside, which keeps everything under another name, and sends it in full
    home: [] Skipped
    new: [] Skipped
    new/none: [] NoSnapshots
    ");
}

#[test]
fn a_name_that_is_in_use_is_not_advised() {
    for there in [&[("", "x"), ("s", "y")][..], &[("", "volume x")], &[("", "x partial")]] {
        let told = withheld(there, Resolutions::default());
        assert!(told.contains("another TARGET, one that does not exist yet, which"), "{told}");
    }
}

/// An empty TARGET with others' datasets below is left alone; what lies in the places of the source's, and is empty, is there for them.
#[test]
fn an_empty_target_is_filled_unless_others_lie_below() {
    let told = withheld(&[("", ""), ("home", ""), ("vms", "x"), ("vms/vol", "")], Resolutions::default());
    assert!(
        told.contains(
            ": [] the target is empty, but has datasets below it that are not copies of this source: 'b/t/vms', 'b/t/vms/vol'"
        ) && told.contains("name another TARGET, for example 'b/t/s'")
            && !told.contains("--replace"),
        "{told}"
    );
    assert!(
        withheld(&[("", ""), ("home", "y")], Resolutions::default()).contains("not copies of this source: 'b/t/home'")
    );
    let fills: [&[(&str, &str)]; 4] = [
        &[("", ""), ("home", ""), ("new/none", ""), ("new", "")],
        &[("", ""), ("home", "a"), ("vms", "x")],
        &[("", ""), ("vms.zfsync-20241122-031500", "x")],
        &[("", ""), ("gone", "x came")],
    ];
    for there in fills {
        let told = push(&side("a/s", &SOURCE), &mut side("b/t", there), false);
        assert!(told.contains(": [@a, -i @a @b] InSync") && told.contains("new: [@a] InSync"), "{there:?} {told}");
    }
}

/// What a verdict is only weighed by carries no names: it is weighed for each dataset below.
#[test]
fn only_what_is_told_names_the_others_below() {
    let (source, target): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let dataset = |name: &str| SourceDataset {
        path: name.parse::<DatasetName>().unwrap().below(&source).unwrap(),
        snapshots: versions(&["a"]),
        ..SourceDataset::default()
    };
    for set_aside in [false, true] {
        let mut talk = Negotiation::new(&source, &target, vec![dataset("a/s"), dataset("a/s/home")], false)
            .with_resolutions(Resolutions { set_aside, ..Resolutions::default() }, "20261130-120000");
        talk.relisted(0, Some(fixture::target(versions(&[]))));
        talk.relisted(1, None);
        talk.below(&target, &[target.clone(), "b/t/vms".parse().unwrap()]);
        let beside = |verdict: Verdict| match verdict {
            Verdict::Conflict(conflict) => conflict.beside,
            Verdict::Resolve(solvable) => solvable.conflict.beside,
            other => panic!("{other:?}"),
        };
        let others = Beside::OthersBelow(vec!["b/t/vms".parse().unwrap()]);
        for planned in [talk.plan().datasets.remove(0), talk.replan(0).unwrap()] {
            assert_eq!(beside(planned.verdict).as_deref(), Some(&others));
        }
        assert_eq!(beside(talk.verdict(&talk.items[0])), None);
    }
}

/// The same where SOURCE itself isn't sent, so that those below it are tops.
#[test]
fn an_empty_top_below_target_is_filled_unless_others_lie_below() {
    let here = side("a/s", &[("", ""), ("k", "a"), ("l", "a")]);
    let there = [("", ""), ("k", ""), ("k/vm", "volume x"), ("l", ""), ("other", "y")];
    let told = push(&here, &mut side("b/t", &there), false);
    let conflict =
        "k: [] the target is empty, but has datasets below it that are not copies of this source: 'b/t/k/vm'\n";
    assert!(told.contains(conflict) && told.contains("l: [@a] InSync"), "{told}");
    // What another top has in common, or was received there, shows nothing for this one; what lies in its own tree does.
    for common in [("l", "a"), ("gone", "x came")] {
        let there = [("", ""), ("k", ""), ("k/vm", "volume x"), common];
        let told = push(&here, &mut side("b/t", &there), false);
        assert!(told.contains(conflict) && told.contains("l: [") && told.contains("] InSync"), "{common:?}: {told}");
    }
    for own in [("k/old", "x came"), ("k/kid", "a")] {
        let here = side("a/s", &[("", ""), ("k", "a"), ("k/kid", "a"), ("l", "a")]);
        let there = [("", ""), ("k", ""), ("k/vm", "volume x"), own, ("l", "a")];
        let told = push(&here, &mut side("b/t", &there), false);
        assert!(told.contains("k: [@a] InSync"), "{own:?}: {told}");
    }
}

/// What lies below a dataset that is destroyed with `--replace` stays, and would be in a read-only copy: others' datasets aren't to be.
#[test]
fn a_dataset_with_others_below_is_not_replaced() {
    let replace = |names: &[&str]| Resolutions {
        replace: names.iter().map(|name| name.parse().unwrap()).collect(),
        ..Resolutions::default()
    };
    for there in [[("", "!"), ("vms", ""), ("vms/vol", "!")], [("", "own"), ("vms", ""), ("vms/vol", "x")]] {
        let told = withheld(&there, replace(&["b/t"]));
        assert!(
            told.contains("--replace destroys nothing below it")
                && told.contains("'b/t/vms', 'b/t/vms/vol'")
                && !told.contains("or --replace"),
            "{told}"
        );
        assert!(!withheld(&there, Resolutions::default()).contains("--replace"));
    }
    // The same below TARGET.
    let there = [("", "a"), ("home", "x"), ("home/theirs", "y")];
    let told = push_with(&side("a/s", &SOURCE), &mut side("b/t", &there), replace(&["b/t/home"]));
    assert!(told.contains("home: [] ") && told.contains("'b/t/home/theirs'"), "{told}");
    // What is named as well, or was received from this source, isn't in the way.
    for there in [[("", "x"), ("home", "y")], [("", "x"), ("gone", "y came")]] {
        let told = push_with(&side("a/s", &SOURCE), &mut side("b/t", &there), replace(&["b/t", "b/t/home"]));
        assert!(told.contains(": [@a, -i @a @b] InSync"), "{there:?} {told}");
    }
}

/// What comes to be in the way only after the plan is made has others below it, too.
#[test]
fn a_later_conflict_is_not_replaced_either() {
    let (target, home): (DatasetName, DatasetName) = ("b/t".parse().unwrap(), "b/t/home".parse().unwrap());
    let replace = |there: &[(&str, &str)]| {
        let job = Job {
            source: "a/s".parse().unwrap(),
            target: target.clone(),
            selects: &|_| true,
            newest_only: false,
            skip_empty: false,
            resolutions: Resolutions { replace: [home.clone()].into(), ..Resolutions::default() },
        };
        let (mut there, mut is_planned) = (side("b/t", there), false);
        let here = side("a/s", &SOURCE);
        let mut report = crate::plan::model::Report::default();
        let (_, plan) = job.negotiate(&here, &mut there.clone(), &mut |_| {}, &mut report);
        assert!(plan.datasets.iter().all(|planned| !matches!(planned.verdict, Verdict::Resolve(_))));
        let before_plan = report.rounds + 2;
        let mut calls = 0;
        let report = job.push(&here, &mut there, &mut |there| {
            calls += 1;
            if calls >= before_plan && !is_planned {
                is_planned = true;
                there.datasets.entry(home.clone()).or_insert_with(|| Dataset::new(Kind::Filesystem)).data = 7;
            }
        });
        assert!(is_planned);
        (report.ends[&home].clone(), there.datasets[&home].data)
    };
    for (there, reason) in [
        (&[("", "a"), ("home", ""), ("home/theirs", "x")][..], "'b/t/home/theirs'"),
        (&[], "it was not known at the start"),
    ] {
        let (PushOutcome::Conflict(conflict), 7) = replace(there) else { panic!("{there:?}") };
        let told = conflict.to_string();
        assert!(told.contains("--replace destroys nothing below it") && told.contains(reason), "{told}");
    }
    // Nobody else's lies below.
    for there in [&[("", "a"), ("home", "")][..], &[("", "a"), ("home", ""), ("home/gone", "x came")]] {
        assert_eq!(replace(there).0, PushOutcome::InSync, "{there:?}");
    }
}

/// Whoever has named the top has said what is to become of it; other resolutions are no leave.
#[test]
fn only_a_resolution_of_the_top_goes_on() {
    let there = [("", "x"), ("home", "x"), ("other", "y")];
    let replace = |name: &str| Resolutions { replace: [name.parse().unwrap()].into(), ..Resolutions::default() };
    for none in [Resolutions { rollback: true, ..Resolutions::default() }, replace("b/t/home")] {
        let told = withheld(&there, none);
        assert!(told.contains("home: [] Skipped") && told.contains("new: [] Skipped"), "{told}");
    }
    let set_aside = Resolutions { set_aside: true, ..Resolutions::default() };
    for (there, some) in [(&there[..], set_aside), (&[("", "x"), ("home", "a")], replace("b/t"))] {
        let told = push_with(&side("a/s", &SOURCE), &mut side("b/t", there), some);
        assert!(told.contains(": [@a, -i @a @b] InSync") && told.contains("new: [@a] InSync"), "{told}");
    }
}

/// A pool's root can't be set aside: what lies below stays, too.
#[test]
fn below_the_root_of_a_pool_nothing_is_set_aside() {
    let job = |resolutions| Job {
        source: "a/s".parse().unwrap(),
        target: "b".parse().unwrap(),
        selects: &|_| true,
        newest_only: false,
        skip_empty: false,
        resolutions,
    };
    let mut there = side("b", &[("", "!")]);
    there.datasets.extend(side("b/home", &[("", "x")]).datasets.into_iter().filter(|(name, _)| name.as_str() != "b"));
    let before = there.datasets.clone();
    let set_aside = Resolutions { set_aside: true, ..Resolutions::default() };
    let replacing = Resolutions { replace: ["b".parse().unwrap()].into(), ..Resolutions::default() };
    for (resolutions, why_not) in
        [(set_aside, "--set-aside can't rename it"), (replacing, "--replace can't destroy it")]
    {
        let report = job(resolutions).push(&side("a/s", &SOURCE), &mut there, &mut |_| {});
        assert_eq!((&there.datasets, report.sent), (&before, Vec::new()));
        assert_eq!(report.ends.values().filter(|end| **end == PushOutcome::Skipped).count(), 2, "{:?}", report.ends);
        let PushOutcome::Conflict(conflict) = &report.ends[&job(Resolutions::default()).target] else { panic!() };
        let text = conflict.to_string();
        assert!(text.contains(&format!("\n  {why_not}: it is the root dataset of a pool\n")), "{text}");
    }
}

/// What is there has something of the source, or is recorded as its copy: one conflict stops itself alone.
#[test]
fn a_copy_goes_on_without_what_is_in_conflict() {
    for there in [&[("", "x"), ("home", "a")][..], &[("", "x came")], &[("", "x"), ("home", "y came")]] {
        let told = push(&side("a/s", &SOURCE), &mut side("b/t", there), false);
        assert!(told.contains("new: [@a] InSync") && !told.contains("TARGET"), "{told}");
    }
}

/// It was empty when the plan was made.
#[test]
fn data_that_appears_meanwhile_withholds_the_rest() {
    let target: DatasetName = "b/t".parse().unwrap();
    let job = Job {
        source: "a/s".parse().unwrap(),
        target: target.clone(),
        selects: &|_| true,
        newest_only: false,
        skip_empty: false,
        resolutions: Resolutions::default(),
    };
    let mut there = side("b/t", &[("", ""), ("home", "")]);
    let report = job.push(&side("a/s", &SOURCE), &mut there, &mut |there| {
        there.datasets.get_mut(&target).unwrap().data = 7;
    });
    assert_eq!(report.sent, []);
    assert!(matches!(report.ends[&target], PushOutcome::Conflict(_)));
    assert_eq!(report.ends.values().filter(|end| **end == PushOutcome::Skipped).count(), 2, "{:?}", report.ends);
}

/// Whether a dataset of the target has nothing of its source, and no record of it.
fn is_stranger(world: &World, name: &DatasetName, there: &Dataset) -> bool {
    let (source, top) = names();
    let here = &world.here.datasets[&source.join(&name.below(&top).unwrap()).unwrap()];
    let is_common = |guid| there.has(guid);
    !there.came && !here.snapshots.iter().chain(&here.bookmarks).any(|snap| is_common(snap.guid))
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn the_first_contact_changes_nothing_or_has_no_conflict_at_the_top(ops in prop::collection::vec(op(), 1..60)) {
        let mut world = World::new();
        for op in &ops {
            world.apply(op, &mut push_and_check);
        }
        let (source, target) = names();
        let job = Job {
            source,
            target: target.clone(),
            selects: &|_| true,
            newest_only: false,
            skip_empty: false,
            resolutions: Resolutions::default(),
        };
        let before: ModelHost = world.there.clone();
        let report = job.push(&world.here, &mut world.there, &mut |_| {});
        let strangers = report.ends.keys().filter_map(|name| Some((name, before.datasets.get(name)?)));
        // A copy of what the source has no more tells as much.
        let recorded = before.datasets.iter().any(|(name, there)| there.came && name.is_within(&target));
        let first = !recorded && strangers.clone().all(|(name, there)| is_stranger(&world, name, there));
        match report.ends.get(&target) {
            Some(PushOutcome::Conflict(_)) if first => assert_eq!((&world.there.datasets, &report.sent), (&before.datasets, &Vec::new())),
            Some(PushOutcome::Conflict(conflict)) => assert_eq!(conflict.first_contact, None),
            _ => {}
        }
    }
}

//! What a conflict offers: only what would work, and never what has just been tried.

use crate::plan::fixture::{self, named as versions};
use std::collections::HashMap;

use crate::plan::{Along, Aside, Attempt, Negotiation, Resolutions, SourceDataset, SourceFacts, Verdict};
use zfs::name::DatasetName;
use zfs::{Kind, MountState, Refusal, Resolution};

/// A source with a and b, and a target with these snapshots, which has refused a stream.
fn negotiation(target: &str, there: &[&str], resolutions: Resolutions, refusal: Option<Refusal>) -> Negotiation {
    let source = SourceDataset { snapshots: versions(&["a", "b"]), ..SourceDataset::default() };
    let (here, target): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), target.parse().unwrap());
    let mut talk =
        Negotiation::new(&here, &target, vec![source], false).with_resolutions(resolutions, "20260101-000000");
    relist(&mut talk, there, refusal);
    talk.facts(&HashMap::from([(here, SourceFacts { kind: Kind::Filesystem, encrypted: false, root_up: 0 })]));
    talk
}

fn relist(talk: &mut Negotiation, there: &[&str], refusal: Option<Refusal>) {
    let base = versions(&["a"]).newest().map(|version| version.guid);
    talk.relist(0, refusal.map(|refusal| Attempt { base, refusal }));
    let target = fixture::target(versions(there));
    talk.relisted(0, Some(target));
}

fn told(talk: &Negotiation) -> String {
    match talk.replan(0).unwrap().verdict {
        Verdict::Conflict(conflict) => conflict.to_string(),
        Verdict::Resolve(solvable) => solvable.conflict.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_tried_is_not_offered_again() {
    let [rollback, set_aside, replace] = ["--rollback", "--set-aside", "--replace"];
    let resolutions = |words: &str| Resolutions {
        rollback: words == rollback,
        set_aside: words == set_aside,
        replace: if words == replace { ["b/t".parse().unwrap()].into() } else { [].into() },
    };
    let (there, refusal) = (["a", "own"], Some(Refusal::NotNewest));
    for given in ["", rollback, set_aside, replace] {
        let mut talk = negotiation("b/t", &there, resolutions(given), refusal);
        let before = told(&talk);
        talk.resolved(0);
        relist(&mut talk, &there, refusal);
        for text in [before, told(&talk)] {
            for word in [rollback, set_aside, replace] {
                let offered =
                    text.contains(&format!("{word}, which")) || text.contains(&format!("{word} 'b/t', which"));
                assert_eq!(offered, word != given, "{given}: {text}");
            }
        }
    }
}

#[test]
fn a_name_that_would_be_too_long_is_not_offered() {
    let long = format!("b/{}", "x".repeat(240));
    let plain = told(&negotiation(&long, &["own"], Resolutions::default(), None));
    assert!(!plain.contains("--set-aside") && plain.contains("--replace"), "{plain}");
    let asked = told(&negotiation(&long, &["own"], Resolutions { set_aside: true, ..Resolutions::default() }, None));
    assert!(asked.contains("--set-aside can't rename it") && asked.contains("ZFS allows 255"), "{asked}");
    assert!(!asked.contains("--set-aside, which"), "{asked}");
}

#[test]
fn where_zfs_alone_is_used_nothing_is_offered_that_needs_a_helper() {
    for refusal in [Refusal::NotNewest, Refusal::LargeBlocks, Refusal::Modified] {
        let talk = negotiation("b/t", &["a", "own"], Resolutions::default(), Some(refusal));
        assert!(!told(&talk).contains("--helper"), "{}", told(&talk));
        let text = told(&talk.with_plain_target(true));
        assert!(text.contains("install zfsync on the target host") && text.contains("--helper ship"), "{text}");
        for word in ["--rollback", "--set-aside", "--replace"] {
            assert!(!text.contains(word), "{text}");
        }
    }
    // Nor what would not help with one either.
    let root = told(&negotiation("b", &["own"], Resolutions::default(), None).with_plain_target(true));
    assert!(root.contains("to continue: name another TARGET") && !root.contains("--helper"), "{root}");
}

#[test]
fn a_restore_offers_no_resolution() {
    for refusal in [Refusal::NotNewest, Refusal::LargeBlocks, Refusal::Modified] {
        let text = told(&negotiation("b/t", &["a", "own"], Resolutions::default(), Some(refusal)).of_restore(true));
        assert!(text.contains("move it out of the way") && text.contains("choose another target"), "{text}");
        for word in ["--rollback", "--set-aside", "--replace", "--helper"] {
            assert!(!text.contains(word), "{text}");
        }
    }
}

#[test]
fn split_blocks_need_a_new_start() {
    let refusal = Some(Refusal::LargeBlocks);
    let text = told(&negotiation("b/t", &["a"], Resolutions::default(), refusal));
    assert!(text.contains("large blocks") && text.contains("and sends it in full"), "{text}");
    assert!(!text.contains("--rollback") && !text.contains("continues from"), "{text}");
    let talk =
        negotiation("b/t", &["a"], Resolutions { set_aside: true, rollback: true, ..Resolutions::default() }, refusal);
    let Verdict::Resolve(solvable) = talk.replan(0).unwrap().verdict else { panic!() };
    assert!(matches!(&solvable.resolution, Resolution::SetAside { restore, .. } if restore.is_empty()), "{solvable:?}");
    assert!(solvable.then[0].base.is_none(), "{solvable:?}");
}

/// What lies below one that is set aside moves with it, and is relisted after that.
#[test]
fn only_the_highest_resolutions_are_known_beforehand() {
    let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let dataset = |name: &&str| SourceDataset {
        path: name.parse::<DatasetName>().unwrap().below(&here).unwrap(),
        snapshots: versions(&["a", "b"]),
        ..SourceDataset::default()
    };
    let all = ["a/s", "a/s/x", "a/s/x/y", "a/s/z"].iter().map(dataset).collect();
    let resolutions = Resolutions { set_aside: true, ..Resolutions::default() };
    let mut talk = Negotiation::new(&here, &there, all, false).with_resolutions(resolutions, "20260101-000000");
    for index in 0..4 {
        talk.relist(index, None);
        let mut target = fixture::target(versions(&["a"]));
        if index > 0 {
            target.snapshots = versions(&["own"]);
        }
        talk.relisted(index, Some(target));
    }
    let found = talk.plan().resolutions();
    let places: Vec<(usize, &str)> =
        found.iter().map(|(place, resolution)| (*place, resolution.dataset().as_str())).collect();
    assert_eq!(places, [(1, "b/t/x"), (3, "b/t/z")]);
}

#[test]
fn what_is_set_aside_and_what_comes_back_is_told() {
    let set_aside = Resolutions { set_aside: true, ..Resolutions::default() };
    let aside: DatasetName = "b/t.zfsync-20260101-000000".parse().unwrap();
    let names = ["b/t", "b/t/x", "b/t/y", "b/two"].map(|name| name.parse::<DatasetName>().unwrap());
    let only = "; not replicated in this run, and so only there then: b/t/x, b/t/y";
    for (there, alone, with_others) in [
        (
            &["a", "own"][..],
            "it comes back as a clone of the common snapshot",
            "the dataset itself comes back as a clone of the common snapshot, without them",
        ),
        (&["own"], "it is sent in full", "the dataset itself is sent in full"),
    ] {
        let mut talk = negotiation("b/t", there, set_aside.clone(), Some(Refusal::NotNewest));
        let Verdict::Resolve(solvable) = talk.replan(0).unwrap().verdict else { panic!("{there:?}") };
        let mut told = |names: &[DatasetName]| {
            talk.tree(names);
            let text = solvable.describe(&talk.along(&names[0], []));
            text.split_once("; setting it aside as ").unwrap().1.to_owned()
        };
        assert_eq!(told(&[names[0].clone(), names[3].clone()]), format!("{aside}: {alone}"));
        assert_eq!(told(&names), format!("{aside} with all datasets below it: {with_others}{only}"));
        let along = talk.along(&names[0], []);
        assert_eq!((along.alone, &along.stay_away[..]), (false, &names[1..3]));
        assert_eq!(talk.along(&names[1], []), Along { alone: true, stay_away: Vec::new() });
        // What lay below it has gone with the one above.
        assert_eq!(talk.along(&names[0], &["b".parse().unwrap()]), Along::default());
    }
    let mount = |mounted| MountState { mountpoint: "/b/old".into(), mounted, canmount: None, readonly: None };
    let told = |stay_away: &[&str], mounted: Option<bool>, confirmed| {
        let stay_away = stay_away.iter().map(|name| name.parse().unwrap()).collect();
        let along = Along { alone: mounted.is_some(), stay_away };
        let (dataset, name) = (names[0].clone(), aside.clone());
        Aside { dataset, name, along, mount: mounted.map(mount), confirmed, settled: true }.to_string()
    };
    let (head, tail) = (
        format!("set aside: {aside}"),
        format!("; when nothing of it is needed any more, on the target's host: zfs destroy -r '{aside}'"),
    );
    assert_eq!(told(&[], Some(false), true), format!("{head}; it is not mounted now{tail}"));
    assert_eq!(told(&[], Some(true), true), format!("{head}; it is mounted at '/b/old'{tail}"));
    let head = format!("{head}, with all datasets below it");
    assert_eq!(told(&[], None, true), format!("{head}{tail}"));
    let only = "; not replicated in this run, and so only there now:";
    let back = "(zfs rename brings one back)";
    assert_eq!(told(&["b/t/x"], None, true), format!("{head}{only} {aside}/x {back}{tail}"));
    let five = told(&["b/t/1", "b/t/2", "b/t/3", "b/t/4", "b/t/5"], None, true);
    assert_eq!(five, format!("{head}{only} {aside}/1, {aside}/2, {aside}/3 and 2 more {back}{tail}"));
    assert!(told(&[], None, false).starts_with("probably set aside, as the answer was lost: b/t.zfsync-"));
}

/// ZFS renames nothing if one of the names below, or of the snapshots, gets too long: that is known before.
#[test]
fn what_is_set_aside_fits_with_all_below_it() {
    for (length, below, fits) in [(228, 1, true), (229, 1, false), (202, 29, true), (202, 30, false)] {
        let (top, kid) = ("b/".to_owned() + &"x".repeat(length - 2), "k".repeat(below));
        let set_aside = Resolutions { set_aside: true, ..Resolutions::default() };
        let mut talk = negotiation(&top, &["a", "own"], set_aside, Some(Refusal::NotNewest));
        talk.tree(&[String::new(), format!("/{kid}")].map(|path| format!("{top}{path}").parse().unwrap()));
        match talk.replan(0).unwrap().verdict {
            Verdict::Resolve(_) => assert!(fits, "{length} {below}"),
            Verdict::Conflict(conflict) => {
                let text = conflict.to_string();
                assert!(
                    !fits && text.contains("--set-aside can't rename it: ") && text.contains("256 bytes"),
                    "{text}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A helper that is confined to a root says what it may do; one that we have started ourselves is told.
#[test]
fn what_a_forced_command_forbids_is_not_offered() {
    let confined = |allow: &[&str], root: Option<&str>| {
        let roots = root.iter().map(|root| root.parse().unwrap()).collect();
        let allow = allow.iter().map(ToString::to_string).collect();
        let talk = negotiation("b/t", &["a", "own"], Resolutions::default(), Some(Refusal::NotNewest));
        told(&talk.with_confined_helper(&zfs::Hello { roots, allow, ..zfs::Hello::default() }))
    };
    let ways = |text: &str| ["--rollback, ", "--set-aside, ", "--replace "].map(|way| text.contains(way));
    assert_eq!(ways(&confined(&[], None)), [true; 3]);
    assert_eq!(ways(&confined(&["rename"], Some("b"))), [false, true, false]);
    // The root itself stays, whatever may be done below it.
    assert_eq!(ways(&confined(&["rollback", "rename", "destroy"], Some("b/t"))), [true, false, false]);
    let text = confined(&["volmode"], Some("b"));
    assert_eq!(ways(&text), [false; 3]);
    assert!(text.ends_with("(authorized_keys: --allow rollback, rename or destroy)"), "{text}");
    // What nobody may do with a root, no permission brings back.
    let text = confined(&["rename", "destroy"], Some("b/t"));
    assert!(text.ends_with("(authorized_keys: --allow rollback)"), "{text}");
    let hello = zfs::Hello { roots: vec!["b".parse().unwrap()], ..zfs::Hello::default() };
    let talk = negotiation("b/t", &["a", "own"], Resolutions::default(), Some(Refusal::NotNewest));
    let text = told(&talk.of_restore(true).with_confined_helper(&hello));
    assert!(!text.contains("authorized_keys"), "{text}");
}

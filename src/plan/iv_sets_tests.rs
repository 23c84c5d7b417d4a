use super::*;
use crate::plan::fixture;
use crate::plan::{EncryptionRules, PlannedDataset, Resolutions, SourceDataset, SourceFacts};
use zfs::name::Txg;
use zfs::{Encryption, Kind, Resolution, Versions};

fn versions(names: &[&str]) -> Versions {
    let mut all = Versions::default();
    for (at, name) in (1..).zip(names) {
        all.push(&name.parse().unwrap(), Guid(u64::from(name.as_bytes()[0])), Txg(at));
    }
    all
}

/// An encrypted source with a to d and a copy with a to c, of which these have the source's IV set.
fn copy(raw: &[&str], rules: EncryptionRules, resolutions: Resolutions) -> (Negotiation, PlannedDataset) {
    let source = SourceDataset { snapshots: versions(&["a", "b", "c", "d"]), ..SourceDataset::default() };
    let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let mut negotiation =
        Negotiation::new(&here, &there, vec![source], false).with_encryption(rules).with_resolutions(resolutions, "x");
    negotiation.relist(0, None);
    let target = TargetDataset { encryption: Encryption::Root, ..fixture::target(versions(&["a", "b", "c"])) };
    negotiation.relisted(0, Some(target));
    negotiation.facts(&[(here, SourceFacts { kind: Kind::Filesystem, encrypted: true, root_up: 0 })].into());
    let iv_set = |name: &str| Guid(if raw.contains(&name) { 1 } else { 2 });
    let facts = |name: &str| BaseFacts {
        written: Some(0),
        iv_set: Some(iv_set(name)),
        encryption_root: Some("b/t".parse().unwrap()),
        key_loaded: true,
    };
    let wanted = negotiation.wants_bases();
    assert_eq!(wanted, [(0, "b/t@c".to_owned())]);
    negotiation.bases(&wanted, vec![(0, facts("c"))]);
    let here = |names: Vec<String>| names.into_iter().map(|name| (name, Guid(1))).collect::<Vec<_>>();
    let ours = here(negotiation.wants_iv_sets());
    negotiation.iv_sets(&ours);
    let pairs = negotiation.wants_history();
    let last = |name: &String| name.split('@').nth(1).unwrap().to_owned();
    let there = (0..).zip(&pairs).map(|(place, pair)| (place, facts(&last(&pair.there)))).collect::<Vec<_>>();
    let ours = here(pairs.iter().map(|pair| pair.here.clone()).collect());
    negotiation.history(&pairs, &there, &ours);
    let planned = negotiation.plan().datasets.remove(0);
    (negotiation, planned)
}

#[test]
fn the_way_back_is_the_last_raw_snapshot() {
    let (_, planned) = copy(&["a", "b"], EncryptionRules::default(), Resolutions::default());
    let Verdict::Conflict(conflict) = planned.verdict else { panic!("{planned:?}") };
    assert_eq!(conflict.kind, ConflictKind::IvSet { last_raw: Some("b".parse().unwrap()) });
    assert_eq!(conflict.only_there, ["c".parse().unwrap()]);
    let text = conflict.to_string();
    assert!(text.contains("--rollback, which loses @c") && !text.contains("zfs rollback -r"), "{text}");
    let (_, planned) =
        copy(&["a", "b"], EncryptionRules::default(), Resolutions { rollback: true, ..Resolutions::default() });
    let Verdict::Resolve(solvable) = planned.verdict else { panic!("{planned:?}") };
    assert!(
        matches!(&solvable.resolution, Resolution::Rollback { to, loses, .. } if to.as_str() == "b" && *loses == [Guid(99)])
    );
    assert_eq!(solvable.then[0].base.as_ref().unwrap().name.as_str(), "b");
}

#[test]
fn without_a_raw_snapshot_in_common_there_is_no_way_back() {
    for resolutions in [Resolutions::default(), Resolutions { rollback: true, ..Resolutions::default() }] {
        let (_, planned) = copy(&[], EncryptionRules::default(), resolutions);
        let Verdict::Conflict(conflict) = planned.verdict else { panic!("{planned:?}") };
        assert_eq!(conflict.kind, ConflictKind::IvSet { last_raw: None });
        assert!(!conflict.to_string().contains("--rollback"), "{conflict}");
    }
}

#[test]
fn a_decrypted_increment_is_warned_of_once() {
    let decrypt = EncryptionRules { sent: EncryptedAs::Plaintext, ..EncryptionRules::default() };
    let (raw, _) = copy(&["a", "b", "c"], decrypt, Resolutions::default());
    assert_eq!(raw.warnings().len(), 1);
    // It went on so already.
    assert_eq!(copy(&["a", "b"], decrypt, Resolutions::default()).0.warnings(), []);
    assert_eq!(copy(&["a", "b", "c"], EncryptionRules::default(), Resolutions::default()).0.warnings(), []);
}

use super::*;
use crate::plan::fixture::{self, named as versions};
use crate::plan::{EncryptionRules, Resolutions, SourceDataset, SourceFacts};
use zfs::name::Txg;
use zfs::{Encryption, Kind};

const KEY: &str = "b/t";

/// A source with the snapshots a and b, and a listed target.
struct Scene {
    encrypted: bool,
    decrypt: bool,
    /// What ends with `_` has the source's name and is another snapshot.
    there: &'static [&'static str],
    encryption: Encryption,
    facts: BaseFacts,
    iv_set_here: Option<Guid>,
    /// Levels from the source to its encryption root.
    root_up: usize,
    allow_key_mismatch: bool,
    resolutions: Resolutions,
}

impl Scene {
    /// An encrypted source and its raw copy, which has a.
    fn raw() -> Self {
        let root = Some(KEY.parse().unwrap());
        Self {
            encrypted: true,
            decrypt: false,
            there: &["a"],
            encryption: Encryption::Root,
            facts: BaseFacts { written: Some(0), iv_set: Some(Guid(5)), encryption_root: root, ..BaseFacts::default() },
            iv_set_here: Some(Guid(5)),
            root_up: 0,
            allow_key_mismatch: false,
            resolutions: Resolutions::default(),
        }
    }

    /// A plain source and its plain copy.
    fn plain() -> Self {
        let facts = BaseFacts { written: Some(0), ..BaseFacts::default() };
        Self { encrypted: false, encryption: Encryption::Off, facts, iv_set_here: None, ..Self::raw() }
    }

    fn verdict(self) -> Verdict {
        let source = SourceDataset { snapshots: versions(&["a", "b"]), ..SourceDataset::default() };
        let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
        let mut negotiation = Negotiation::new(&here, &there, vec![source], false)
            .with_listing(Listing::AllBehind)
            .with_resolutions(self.resolutions, "x")
            .with_encryption(EncryptionRules {
                sent: if self.decrypt { EncryptedAs::Plaintext } else { EncryptedAs::Raw },
                allow_key_mismatch: self.allow_key_mismatch,
                ..EncryptionRules::default()
            });
        negotiation.relist(0, None);
        let target = TargetDataset {
            empty: self.there.is_empty(),
            written: None,
            encryption: self.encryption,
            ..fixture::target(there_of(self.there))
        };
        negotiation.relisted(0, Some(target));
        let facts = SourceFacts { kind: Kind::Filesystem, encrypted: self.encrypted, root_up: self.root_up };
        negotiation.facts(&[(here, facts)].into());
        let wanted = negotiation.wants_bases();
        negotiation.bases(&wanted, vec![(0, self.facts)]);
        let iv_sets: Vec<(String, Guid)> = negotiation.wants_iv_sets().into_iter().zip(self.iv_set_here).collect();
        negotiation.iv_sets(&iv_sets);
        negotiation.plan().datasets.remove(0).verdict
    }

    fn conflict(self) -> Option<ConflictKind> {
        match self.verdict() {
            Verdict::Conflict(conflict) => Some(conflict.kind),
            Verdict::Send(_) | Verdict::FillEmpty(_) => None,
            other => panic!("{other:?}"),
        }
    }
}

fn there_of(names: &[&str]) -> zfs::Versions {
    let mut all = zfs::Versions::default();
    for version in versions(names).iter() {
        all.push(&version.name.trim_end_matches('_').parse().unwrap(), version.guid, version.txg);
    }
    all
}

fn written(scene: Scene) -> Scene {
    Scene { facts: BaseFacts { written: Some(512), ..scene.facts }, ..scene }
}

#[test]
fn what_fits_is_sent() {
    assert_eq!(Scene::raw().conflict(), None);
    assert_eq!(Scene::plain().conflict(), None);
    assert_eq!(Scene { there: &["a", "own"], ..Scene::plain() }.conflict(), None);
    // Nobody has told: the receive will.
    let unknown = || BaseFacts::default();
    assert_eq!(Scene { facts: unknown(), ..Scene::raw() }.conflict(), None);
    assert_eq!(Scene { iv_set_here: None, ..Scene::raw() }.conflict(), None);
}

#[test]
fn what_was_written_to_is_known_before() {
    assert_eq!(written(Scene::plain()).conflict(), Some(ConflictKind::Modified));
    assert_eq!(written(Scene::raw()).conflict(), Some(ConflictKind::Modified));
    let own = || Scene { there: &["a", "own"], ..Scene::plain() };
    assert_eq!(written(own()).conflict(), Some(ConflictKind::Diverged));
}

#[test]
fn a_raw_increment_fits_on_the_newest_snapshot_alone() {
    let own = || Scene { there: &["a", "own"], ..Scene::raw() };
    assert_eq!(own().conflict(), Some(ConflictKind::OwnSnapshots));
    assert_eq!(written(own()).conflict(), Some(ConflictKind::Diverged));
}

#[test]
fn encryption_must_fit() {
    assert_eq!(Scene { encryption: Encryption::Off, ..Scene::raw() }.conflict(), Some(ConflictKind::Encryption));
    assert_eq!(
        Scene { iv_set_here: Some(Guid(6)), ..Scene::raw() }.conflict(),
        Some(ConflictKind::IvSet { last_raw: None })
    );
    for (encryption, encrypted) in [(Encryption::Off, true), (Encryption::Root, false), (Encryption::Inherited, false)]
    {
        let scene = Scene { there: &[], encryption, encrypted, ..Scene::raw() };
        assert_eq!(scene.conflict(), Some(ConflictKind::EncryptedInPlace), "{encryption:?}");
    }
    assert_eq!(Scene { there: &[], ..Scene::plain() }.conflict(), None);
}

#[test]
fn a_key_that_the_copy_inherits_must_be_the_sources() {
    let inherits = |root: &str, up| {
        let scene = Scene::raw();
        let facts = BaseFacts { encryption_root: Some(root.parse().unwrap()), ..scene.facts };
        Scene { encryption: Encryption::Inherited, facts, root_up: up, ..Scene::raw() }
    };
    // Made so by `zfs change-key -i`, or the source's has got a key of its own since.
    assert_eq!(inherits("b", 0).conflict(), Some(ConflictKind::KeyMismatch));
    assert_eq!(inherits("b", 2).conflict(), Some(ConflictKind::KeyMismatch));
    // As `zfs send -R -w` leaves it, or a copy with a key of its own.
    assert_eq!(inherits("b", 1).conflict(), None);
    assert_eq!(Scene { root_up: 1, ..Scene::raw() }.conflict(), None);
    let allowed = Scene { allow_key_mismatch: true, ..inherits("b", 0) };
    assert_eq!(allowed.conflict(), None);
    let decrypted =
        Scene { decrypt: true, facts: BaseFacts { key_loaded: true, ..inherits("b", 0).facts }, ..inherits("b", 0) };
    assert_eq!(decrypted.conflict(), None);
}

#[test]
fn nothing_is_rolled_back_for_an_increment_that_encryption_refuses() {
    let rollback = || Resolutions { rollback: true, ..Resolutions::default() };
    let inherited = || BaseFacts { encryption_root: Some("b".parse().unwrap()), ..Scene::raw().facts };
    // The last has a snapshot whose name the increment brings.
    for there in [&["a"][..], &["a", "own"], &["a", "b_"]] {
        let scene = || Scene { there, resolutions: rollback(), ..Scene::raw() };
        let foreign = || Scene { encryption: Encryption::Inherited, facts: inherited(), ..scene() };
        assert_eq!(foreign().conflict(), Some(ConflictKind::KeyMismatch), "{there:?}");
        let both = Scene { iv_set_here: Some(Guid(6)), ..foreign() };
        assert_eq!(both.conflict(), Some(ConflictKind::KeyMismatch), "{there:?}");
        let decrypted = Scene { iv_set_here: Some(Guid(6)), ..scene() };
        assert_eq!(decrypted.conflict(), Some(ConflictKind::IvSet { last_raw: None }), "{there:?}");
        let plain = Scene { encryption: Encryption::Off, ..scene() };
        assert_eq!(plain.conflict(), Some(ConflictKind::Encryption), "{there:?}");
    }
}

#[test]
fn nothing_is_given_up_where_a_key_is_not_loaded() {
    let all = || Resolutions { rollback: true, set_aside: true, replace: [KEY.parse().unwrap()].into() };
    let blocked = Verdict::Blocked(Blocked::KeyNotLoaded { root: Some(KEY.parse().unwrap()) });
    let locked = |there, resolutions| Scene { decrypt: true, there, resolutions, ..Scene::raw() };
    assert_eq!(locked(&["a"], Resolutions::default()).verdict(), blocked);
    for there in [&["a"][..], &["a", "own"], &["x"], &[]] {
        assert_eq!(locked(there, all()).verdict(), blocked, "{there:?}");
        // A raw stream needs no key there.
        assert!(!matches!(Scene { there, resolutions: all(), ..Scene::raw() }.verdict(), Verdict::Blocked(_)));
    }
}

/// A tree with an encrypted top and a plain child, of which the target has what is told.
fn mixed(allow: bool, top: Option<BaseFacts>, kid_encrypted: bool) -> crate::plan::PlannedDataset {
    let dataset = |path: &str| SourceDataset {
        path: format!("a/s{path}").parse::<DatasetName>().unwrap().below(&"a/s".parse().unwrap()).unwrap(),
        snapshots: versions(&["a"]),
        ..SourceDataset::default()
    };
    let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
    let mut negotiation = Negotiation::new(&here, &there, vec![dataset(""), dataset("/kid")], false)
        .with_encryption(EncryptionRules { allow_unencrypted: allow, ..EncryptionRules::default() });
    let there = |name: &String| match name.as_str() {
        "b" => Some((Guid(1), Txg(1))),
        "b/t" if top.is_some() => Some((Guid(2), Txg(2))),
        "b/t@a" if top.is_some() => versions(&["a"]).newest().map(|version| (version.guid, version.txg)),
        _ => None,
    };
    loop {
        let names = negotiation.questions();
        if names.is_empty() {
            break;
        }
        let found = (0..).zip(&names).filter_map(|(at, name)| there(name).map(|(guid, txg)| (at, guid, txg)));
        negotiation.answers(&found.collect::<Vec<_>>());
    }
    assert!(negotiation.unlisted().is_empty());
    let wanted = negotiation.wants_facts(true);
    assert_eq!(wanted.len(), 2, "what lies above matters too: {wanted:?}");
    let facts = |encrypted| SourceFacts { kind: Kind::Filesystem, encrypted, root_up: 0 };
    negotiation.facts(&[(here.clone(), facts(true)), ("a/s/kid".parse().unwrap(), facts(kid_encrypted))].into());
    let holders = negotiation.wants_holders();
    let answers = top.into_iter().filter(|_| !holders.is_empty()).map(|facts| (0, facts)).collect();
    negotiation.holders(&holders, answers);
    negotiation.plan().datasets.remove(1)
}

#[test]
fn a_plain_child_of_a_raw_copy_needs_leave() {
    let locked = || BaseFacts { encryption_root: Some("b/t".parse().unwrap()), ..BaseFacts::default() };
    let blocked = Verdict::Blocked(Blocked::PlainBelowRaw { above: "b/t".parse().unwrap() });
    for top in [None, Some(locked())] {
        let refused = mixed(false, top.clone(), false);
        assert_eq!(refused.verdict, blocked);
        assert!(!refused.unencrypted && !refused.is_there());
        let allowed = mixed(true, top.clone(), false);
        assert!(allowed.unencrypted && matches!(allowed.verdict, Verdict::Send(_)), "{allowed:?}");
        for allow in [false, true] {
            let raw = mixed(allow, top.clone(), true);
            assert!(!raw.unencrypted && matches!(raw.verdict, Verdict::Send(_)), "{raw:?}");
        }
    }
    // With the key loaded it would be encrypted there, and with leave it still isn't.
    let open = || Some(BaseFacts { key_loaded: true, ..locked() });
    assert!(matches!(mixed(false, open(), false).verdict, Verdict::Send(_)));
    assert!(!mixed(false, open(), false).unencrypted && mixed(true, open(), false).unencrypted);
}

#[test]
fn a_placeholder_that_nothing_can_fill_is_told() {
    let told = |encrypted, inherits, rules: EncryptionRules| {
        let dataset = |path: &str, names: &[&str]| SourceDataset {
            path: format!("a/s{path}").parse::<DatasetName>().unwrap().below(&"a/s".parse().unwrap()).unwrap(),
            snapshots: versions(names),
            ..SourceDataset::default()
        };
        let (here, there): (DatasetName, DatasetName) = ("a/s".parse().unwrap(), "b/t".parse().unwrap());
        let datasets = vec![dataset("", &[]), dataset("/none", &[]), dataset("/kid", &["a"])];
        let mut negotiation = Negotiation::new(&here, &there, datasets, false).with_encryption(rules);
        loop {
            let names = negotiation.questions();
            if names.is_empty() {
                break;
            }
            let found = (0..).zip(&names).filter(|(_, name)| *name == "b").map(|(at, _)| (at, Guid(1), Txg(1)));
            negotiation.answers(&found.collect::<Vec<_>>());
        }
        let wanted = negotiation.wants_facts(true);
        assert_eq!(wanted.len(), 2, "nothing is made for what holds nothing: {wanted:?}");
        let facts = SourceFacts { kind: Kind::Filesystem, encrypted, root_up: 0 };
        negotiation.facts(&wanted.into_iter().map(|name| (name, facts)).collect());
        negotiation.unfillable(inherits).into_iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    let raw = EncryptionRules::default();
    assert_eq!(told(true, false, raw), ["a/s"]);
    assert_eq!(told(false, true, raw), ["a/s"]);
    assert_eq!(told(false, false, raw), [""; 0]);
    let decrypt = EncryptionRules { sent: EncryptedAs::Plaintext, ..raw };
    assert_eq!(told(true, false, decrypt), [""; 0]);
}

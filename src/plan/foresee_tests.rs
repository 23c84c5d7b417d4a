use super::*;
use crate::name::Txg;
use crate::plan::{Cures, Kind, SourceDataset, SourceFacts, Versions};
use crate::zfs::Encryption;

const KEY: &str = "b/t";

fn versions(names: &[&str]) -> Versions {
    let mut all = Versions::default();
    for (at, name) in (1..).zip(names) {
        // The same name is the same snapshot.
        let guid = name.bytes().fold(7_u64, |sum, byte| sum * 131 + u64::from(byte));
        all.push(&name.parse().unwrap(), Guid(guid), Txg(at));
    }
    all
}

/// A source with the snapshots a and b, and a listed target.
struct Scene {
    encrypted: bool,
    decrypt: bool,
    there: &'static [&'static str],
    encryption: Encryption,
    facts: BaseFacts,
    iv_set_here: Option<Guid>,
    cures: Cures,
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
            cures: Cures::default(),
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
            .unwrap()
            .with_listing(Listing::AllBehind)
            .with_cures(self.cures, "x")
            .with_encrypted(if self.decrypt { EncryptedAs::Plaintext } else { EncryptedAs::Raw });
        negotiation.look_again(0, None);
        let target = TargetDataset {
            kind: Kind::Filesystem,
            partial: false,
            resume: None,
            unborn: false,
            empty: self.there.is_empty(),
            encryption: self.encryption,
            snapshots: versions(self.there),
        };
        negotiation.looked(0, Some(target));
        let facts = SourceFacts { kind: Kind::Filesystem, encrypted: self.encrypted, root_up: 0 };
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
    assert_eq!(Scene { there: &["a", "own"], ..Scene::raw() }.conflict(), Some(ConflictKind::Diverged));
}

#[test]
fn encryption_must_fit() {
    assert_eq!(Scene { encryption: Encryption::Off, ..Scene::raw() }.conflict(), Some(ConflictKind::Encryption));
    assert_eq!(Scene { iv_set_here: Some(Guid(6)), ..Scene::raw() }.conflict(), Some(ConflictKind::IvSet));
    for (encryption, encrypted) in [(Encryption::Off, true), (Encryption::Root, false), (Encryption::Inherited, false)]
    {
        let scene = Scene { there: &[], encryption, encrypted, ..Scene::raw() };
        assert_eq!(scene.conflict(), Some(ConflictKind::EncryptedInPlace), "{encryption:?}");
    }
    assert_eq!(Scene { there: &[], ..Scene::plain() }.conflict(), None);
}

#[test]
fn nothing_is_given_up_where_a_key_is_not_loaded() {
    let all = || Cures { rollback: true, set_aside: true, replace: [KEY.parse().unwrap()].into() };
    let blocked = Verdict::Blocked(Blocked::KeyNotLoaded { root: Some(KEY.parse().unwrap()) });
    let locked = |there, cures| Scene { decrypt: true, there, cures, ..Scene::raw() };
    assert_eq!(locked(&["a"], Cures::default()).verdict(), blocked);
    for there in [&["a"][..], &["a", "own"], &["x"], &[]] {
        assert_eq!(locked(there, all()).verdict(), blocked, "{there:?}");
        // A raw stream needs no key there.
        assert!(!matches!(Scene { there, cures: all(), ..Scene::raw() }.verdict(), Verdict::Blocked(_)));
    }
}

use std::collections::HashMap;

use super::*;
use crate::plan::fixture::{self, named as versions};
use crate::plan::{Ask, EncryptionRules, Filter, Inquiry, Move, Resolutions, SourceDataset, SourceFacts, TargetLimits};
use zfs::name::{Guid, Txg};
use zfs::{BaseFacts, Encryption, Hello, Kind};

const SOURCE: &str = "a/e";
const TARGET: &str = "b/e";

/// The datasets below SOURCE and TARGET, those first that are above others.
struct Tree {
    /// The path, and whether the source has a snapshot that the target doesn't have.
    source: &'static [(&'static str, bool)],
    /// The path, and the dataset whose key the copy has.
    target: &'static [(&'static str, &'static str)],
    rules: EncryptionRules,
    plain: bool,
    /// Whether the datasets of the target can't be listed.
    unlisted: bool,
    /// What isn't answered for, or is in conflict and replaced.
    silent: Option<&'static str>,
    replaced: Option<&'static str>,
    /// What the helper announces and allows.
    hello: Hello,
    dry_run: bool,
}

/// What a run finds out: each dataset to be sent, with the one that shares its key and gets none; and what was asked of others.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    sent: Vec<(&'static str, Option<String>)>,
    asked: Vec<String>,
}

fn tree(source: &'static [(&'static str, bool)], target: &'static [(&'static str, &'static str)]) -> Tree {
    let hello = Hello { capabilities: vec![zfs::KEEPS_KEY.into()], allow: vec!["rekey".into()], ..Hello::default() };
    let (rules, plain, unlisted, silent, replaced) = (EncryptionRules::default(), false, false, None, None);
    Tree { source, target, rules, plain, unlisted, silent, replaced, hello, dry_run: false }
}

impl Tree {
    fn negotiation(&self) -> Negotiation {
        let dataset = |&(path, behind): &(&'static str, bool)| SourceDataset {
            path: name(SOURCE, path).below(&SOURCE.parse().unwrap()).unwrap(),
            snapshots: versions(match behind {
                _ if self.replaced == Some(path) => &["other"],
                true => &["s", "new"],
                false => &["s"],
            }),
            ..SourceDataset::default()
        };
        let datasets = self.source.iter().map(dataset).collect();
        Negotiation::new(&SOURCE.parse().unwrap(), &TARGET.parse().unwrap(), datasets, false)
            .with_surroundings(&Filter::default(), Vec::new())
            .with_encryption(self.rules)
            .with_plain_target(self.plain)
            .with_confined_helper(&self.hello)
            .with_dry_run(self.dry_run)
            .with_resolutions(
                Resolutions {
                    replace: self.replaced.iter().map(|path| name(TARGET, path)).collect(),
                    ..Resolutions::default()
                },
                "20261130-120000",
            )
    }

    fn facts(&self, of: &str) -> Option<BaseFacts> {
        let dataset = of.split('@').next()?;
        let (_, root) = self.target.iter().find(|(path, _)| name(TARGET, path).as_str() == dataset)?;
        let iv_set = Some(Guid(5)).filter(|_| of.contains('@'));
        Some(BaseFacts { written: Some(0), iv_set, encryption_root: Some(root.parse().unwrap()), key_loaded: true })
    }

    fn has(&self, asked: &str) -> Option<(Guid, Txg)> {
        let snapshot = versions(&["s"]).newest().map(|version| (version.guid, version.txg))?;
        match asked.split_once('@') {
            Some((dataset, "s")) => self.facts(dataset).map(|_| snapshot),
            Some(_) => None,
            None => (asked == "b" || self.facts(asked).is_some()).then_some((Guid(1), Txg(1))),
        }
    }

    fn found(&self) -> Found {
        let (mut negotiation, mut inquiry, mut asked) = (self.negotiation(), Inquiry::default(), Vec::new());
        let root_up = |name: &DatasetName| name.below(&SOURCE.parse().unwrap()).map_or(0, |path| path.depth());
        let facts = |name: DatasetName| {
            let root_up = root_up(&name);
            (name, SourceFacts { kind: Kind::Filesystem, encrypted: true, root_up })
        };
        while let Some(ask) = inquiry.next(&mut negotiation).unwrap() {
            match ask {
                Ask::Names(names) => {
                    let found =
                        (0..).zip(&names).filter_map(|(at, name)| self.has(name).map(|(guid, txg)| (at, guid, txg)));
                    negotiation.answers(&found.collect::<Vec<_>>());
                }
                Ask::List(datasets) => {
                    let listing = |_| crate::plan::TargetDataset {
                        encryption: Encryption::Root,
                        ..fixture::target(versions(&["s"]))
                    };
                    let listed = datasets.into_iter().filter(|name| self.facts(name.as_str()).is_some());
                    negotiation.listed(listed.map(|name| (name.clone(), listing(name))).collect());
                }
                Ask::Facts { .. } => {
                    inquiry.limited(&TargetLimits::default());
                    negotiation.facts(&negotiation.wants_facts(true).into_iter().map(facts).collect::<HashMap<_, _>>());
                }
                Ask::Bases(wanted) => {
                    let answers = (0..).zip(&wanted).filter_map(|(at, (_, name))| Some((at, self.facts(name)?)));
                    negotiation.bases(&wanted, answers.collect());
                }
                Ask::IvSets(names) => {
                    negotiation.iv_sets(&names.into_iter().map(|name| (name, Guid(5))).collect::<Vec<_>>());
                }
                Ask::SharersBelow(target) => {
                    asked.push(format!("below {target}"));
                    let names = self.target.iter().map(|(path, _)| name(TARGET, path));
                    negotiation.sharers_below((!self.unlisted).then(|| names.collect()));
                }
                Ask::Holders(wanted) => {
                    asked.extend(wanted.iter().map(ToString::to_string));
                    let silent = self.silent.map(|path| name(TARGET, path));
                    let told = (0..).zip(&wanted).filter(|(_, name)| silent.as_ref() != Some(*name));
                    let answers = told.filter_map(|(at, name)| Some((at, self.facts(name.as_str())?)));
                    negotiation.holders(&wanted, answers.collect());
                }
                Ask::Below(wanted) => {
                    let names: Vec<DatasetName> = self.target.iter().map(|(path, _)| name(TARGET, path)).collect();
                    for below in &wanted {
                        negotiation.below(below, &names);
                    }
                }
                _ => {}
            }
        }
        let datasets = negotiation.plan().datasets;
        let is_sent = |verdict: &Verdict| !verdict.steps().is_empty() || matches!(verdict, Verdict::Blocked(_));
        let sent = datasets.iter().zip(self.source).filter(|(planned, _)| is_sent(&planned.verdict));
        let sent = sent.map(|(planned, (path, _))| {
            let sharer = planned.shares_key_with.as_ref().map(|sharer| match sharer {
                Sharer::Dataset(name) => name.to_string(),
                Sharer::Unknown(name) => format!("{name}?"),
                Sharer::Unlisted => "?".into(),
            });
            match &planned.verdict {
                Verdict::Blocked(Blocked::KeyUnguarded { .. }) => {
                    (*path, sharer.map(|sharer| format!("refused: {sharer}")))
                }
                Verdict::Blocked(why) => panic!("{why}"),
                _ => (*path, sharer),
            }
        });
        Found { sent: sent.collect(), asked }
    }
}

fn name(top: &str, path: &str) -> DatasetName {
    format!("{top}{path}").parse().unwrap()
}

fn found(sent: &[(&'static str, Option<&str>)], asked: &[&str]) -> Found {
    let sent = sent.iter().map(|(path, other)| (*path, other.map(str::to_owned)));
    Found { sent: sent.collect(), asked: asked.iter().map(ToString::to_string).collect() }
}

/// As `zfs send -Rw` leaves them.
const SHARED: &[(&str, &str)] = &[("", "b/e"), ("/sub", "b/e"), ("/sub/low", "b/e"), ("/two", "b/e")];
/// As they come from zfsync.
const OWN: &[(&str, &str)] = &[("", "b/e"), ("/sub", "b/e/sub"), ("/sub/low", "b/e/sub/low"), ("/two", "b/e/two")];

#[test]
fn all_get_an_increment() {
    let all: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", true)];
    let sent = [("", None), ("/sub", None), ("/sub/low", None), ("/two", None)];
    assert_eq!(tree(all, SHARED).found(), found(&sent, &["below b/e"]));
    assert_eq!(tree(all, OWN).found(), found(&sent, &["below b/e"]));
}

/// E.g. as they have changed nothing, and snapshots are taken of what has.
#[test]
fn one_that_is_in_sync_would_be_left_behind() {
    let low = Some("b/e/sub/low");
    let behind: &[_] = &[("", true), ("/sub", true), ("/sub/low", false), ("/two", true)];
    assert_eq!(
        tree(behind, SHARED).found(),
        found(&[("", low), ("/sub", low), ("/two", low)], &["below b/e", "b/e/sub/low"])
    );
    // Nothing is asked of what lies below one that is left behind.
    let behind: &[_] = &[("", true), ("/sub", false), ("/sub/low", false), ("/two", true)];
    let sub = Some("b/e/sub");
    assert_eq!(tree(behind, SHARED).found(), found(&[("", sub), ("/two", sub)], &["below b/e", "b/e/sub"]));
    // Whoever has a key of its own has it to itself.
    assert_eq!(tree(behind, OWN).found(), found(&[("", None), ("/two", None)], &["below b/e", "b/e/sub"]));
}

#[test]
fn the_one_that_has_the_key_gets_none() {
    // In sync, or not in this source; nothing needs to be asked.
    let kids: &[_] = &[("", false), ("/sub", true), ("/sub/low", true), ("/two", false)];
    let sent = [("/sub", Some("b/e")), ("/sub/low", Some("b/e"))];
    assert_eq!(tree(kids, SHARED).found(), found(&sent, &[]));
    assert_eq!(tree(&[("/sub", true), ("/sub/low", true)], SHARED).found(), found(&sent, &[]));
    let own = tree(kids, OWN).found();
    assert_eq!(own, found(&[("/sub", None), ("/sub/low", None)], &["below b/e"]));
}

/// It is excluded, or gone from the source.
#[test]
fn what_is_no_part_of_the_source_has_the_key_too() {
    let alone: &[_] = &[("", true)];
    assert_eq!(tree(alone, SHARED).found(), found(&[("", Some("b/e/sub"))], &["below b/e", "b/e/sub", "b/e/two"]));
    assert_eq!(tree(alone, OWN).found(), found(&[("", None)], &["below b/e", "b/e/sub", "b/e/two"]));
}

/// What was set aside, and came back as a promoted clone.
#[test]
fn a_clone_has_the_very_key_of_its_origin() {
    const ASIDE: &[(&str, &str)] =
        &[("", "b/e"), ("/sub", "b/e/sub"), ("/sub.zfsync-20261130-094602", "b/e/sub"), ("/two", "b/e/two")];
    let all: &[_] = &[("", true), ("/sub", true), ("/two", true)];
    let sent = [("", None), ("/sub", None), ("/two", None)];
    assert_eq!(tree(all, ASIDE).found(), found(&sent, &["below b/e", "b/e/sub.zfsync-20261130-094602"]));
}

#[test]
fn nothing_is_asked_where_nothing_would_come_of_it() {
    let behind: &[_] = &[("", true), ("/sub", false), ("/sub/low", false), ("/two", true)];
    let sent = || found(&[("", None), ("/two", None)], &[]);
    let allowed = EncryptionRules { allow_key_mismatch: true, ..EncryptionRules::default() };
    assert_eq!(Tree { rules: allowed, ..tree(behind, SHARED) }.found(), sent());
    let decrypted = EncryptionRules { sent: EncryptedAs::Plaintext, ..EncryptionRules::default() };
    assert_eq!(Tree { rules: decrypted, ..tree(behind, SHARED) }.found(), sent());
    assert_eq!(Tree { plain: true, ..tree(behind, SHARED) }.found(), sent());
    let in_sync: &[_] = &[("", false), ("/sub", false)];
    assert_eq!(tree(in_sync, SHARED).found(), found(&[], &[]));
}

/// What nobody tells of may have the key: a new one is told from the old one by the helper.
#[test]
fn what_is_unknown_has_the_key() {
    let all: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", true)];
    for target in [SHARED, OWN] {
        let sent = [("", Some("?")), ("/sub", Some("?")), ("/sub/low", Some("?")), ("/two", Some("?"))];
        assert_eq!(Tree { unlisted: true, ..tree(all, target) }.found(), found(&sent, &["below b/e"]));
    }
    let behind: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", false)];
    let (two, asked) = (Some("b/e/two?"), ["below b/e", "b/e/two"]);
    let silent = || Tree { silent: Some("/two"), ..tree(behind, OWN) };
    assert_eq!(silent().found(), found(&[("", two), ("/sub", None), ("/sub/low", None)], &asked));
    let unlisted = || Tree { unlisted: true, ..tree(&[("", false), ("/sub", false)], SHARED) };
    assert_eq!(unlisted().found(), found(&[], &[]));
}

/// It may yet stay, with its key: what is sent next to it waits for a run after that.
#[test]
fn what_is_to_be_replaced_shares_its_key_until_then() {
    let behind: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", false)];
    let replaced = Tree { replaced: Some("/two"), ..tree(behind, SHARED) }.found();
    let two = Some("b/e/two");
    let sent = [("", two), ("/sub", two), ("/sub/low", two), ("/two", None)];
    assert_eq!(replaced.sent, found(&sent, &[]).sent);
}

/// A helper of an older version takes whatever a sender brings that it trusts.
#[test]
fn a_helper_that_would_not_notice_gets_no_new_key() {
    let behind: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", false)];
    let older = |allow: &[&str], target| {
        let hello = Hello { allow: allow.iter().map(ToString::to_string).collect(), ..Hello::default() };
        Tree { hello, ..tree(behind, target) }.found().sent
    };
    for allow in ["rekey", "packages"] {
        let two = Some("refused: b/e/two");
        assert_eq!(older(&[allow], SHARED), found(&[("", two), ("/sub", two), ("/sub/low", two)], &[]).sent, "{allow}");
        assert_eq!(older(&[allow], OWN), found(&[("", None), ("/sub", None), ("/sub/low", None)], &[]).sent, "{allow}");
    }
    // It takes no new key at all.
    let two = Some("b/e/two");
    assert_eq!(older(&["rollback"], SHARED), found(&[("", two), ("/sub", two), ("/sub/low", two)], &[]).sent);
}

/// What the run would refuse, its dry run shows as refused; where nothing is refused, it asks for nothing.
#[test]
fn a_dry_run_refuses_what_the_run_refuses() {
    let behind: &[_] = &[("", true), ("/sub", true), ("/sub/low", true), ("/two", false)];
    for target in [SHARED, OWN] {
        for (silent, unlisted) in [(None, false), (Some("/two"), false), (None, true)] {
            let older = || Hello { allow: vec!["rekey".into()], ..Hello::default() };
            let found = |dry_run| Tree { hello: older(), silent, unlisted, dry_run, ..tree(behind, target) }.found();
            assert_eq!(found(true), found(false), "{silent:?} {unlisted}");
        }
        let sent = [("", None), ("/sub", None), ("/sub/low", None)];
        assert_eq!(Tree { dry_run: true, ..tree(behind, target) }.found(), found(&sent, &[]));
    }
}

/// Whatever a dry run would rename has its old name yet.
#[test]
fn a_dry_run_knows_what_would_be_renamed() {
    let names = |paths: &[&str]| paths.iter().map(|path| name(TARGET, path)).collect::<Vec<_>>();
    for (dry_run, there) in [(true, ["", "/old", "/old/theirs"]), (false, ["", "/sub", "/sub/theirs"])] {
        let mut negotiation = Tree { dry_run, ..tree(&[("", true), ("/sub", true)], SHARED) }.negotiation();
        negotiation.moved(&[Move {
            from: name(TARGET, "/old"),
            to: name(TARGET, "/sub"),
            snapshot: "s".parse().unwrap(),
            guid: Guid(1),
            ancestors: Vec::new(),
            top_ancestor: None,
        }]);
        negotiation.sharers_below(Some(names(&there)));
        assert_eq!(negotiation.shared.below, names(&["", "/sub", "/sub/theirs"]), "{dry_run}");
    }
}

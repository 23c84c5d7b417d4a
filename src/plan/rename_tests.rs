//! Renames at the source: guessed by bookmarks or guids, and followed with as few renames as it takes.

use super::*;
use crate::plan::EncryptionRules;
use crate::plan::Filter;
use crate::plan::SourceDataset;
use crate::plan::fixture::{self, numbered as versions};
use zfs::Tags;
use zfs::name::{Guid, Txg};

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

/// Items with one snapshot each, of the path's number, and (`was`) a bookmark for the target's dataset of that name; those that the
/// target lacks are known to be missing, the others are there.
fn negotiation(items: &[(&str, u64, Option<&str>)], there: &[&str]) -> Negotiation {
    let top = name("a/s");
    let tags = Tags::new("beta:22", Guid(1));
    let dataset = |(path, number, was): &(&str, u64, Option<&str>)| {
        let mark = was.map(|was| (format!("zfsync-{}-s", tags.of(&name(&format!("b/t{was}")))), *number));
        SourceDataset {
            path: name(&format!("a/s{path}")).below(&top).unwrap(),
            snapshots: versions(&[("s", *number)]),
            bookmarks: versions(&mark.iter().map(|(name, number)| (name.as_str(), *number)).collect::<Vec<_>>()),
            ..SourceDataset::default()
        }
    };
    let mut negotiation = Negotiation::new(&top, &name("b/t"), items.iter().map(dataset).collect(), false)
        .with_tags(tags.clone())
        .with_surroundings(&Filter::default(), Vec::new());
    let questions = negotiation.questions();
    let found: Vec<_> = (0..)
        .zip(&questions)
        .filter_map(|(place, question)| {
            let (dataset, snapshot) = question.split_once('@').map_or((question.as_str(), ""), |(a, b)| (a, b));
            let path = dataset.strip_prefix("b/t")?;
            let item = items.iter().find(|(other, ..)| *other == path);
            let exists = there.contains(&path);
            (exists || (dataset == "b/t" && snapshot.is_empty()))
                .then(|| (place, Guid(item.map_or(0, |item| item.1)), Txg(1)))
        })
        .collect();
    negotiation.answers(&found);
    let questions = negotiation.questions();
    assert!(questions.iter().all(|question| !question.contains("nowhere")));
    negotiation.answers(&[]);
    while !negotiation.questions().is_empty() {
        negotiation.answers(&[]);
    }
    negotiation
}

fn right(negotiation: &Negotiation, only_there: &[&str]) -> Vec<Guess> {
    let names: Vec<DatasetName> = only_there.iter().map(|path| name(&format!("b/t{path}"))).collect();
    negotiation.guesses(&names, &HashMap::new(), 7)
}

fn lines(moves: &[Move]) -> Vec<String> {
    moves.iter().map(|one| format!("{} -> {}", one.from, one.to)).collect()
}

#[test]
fn bookmarks_tell_the_old_name() {
    let items = [("", 1, None), ("/new", 2, Some("/old")), ("/other", 3, Some("/elsewhere")), ("/fresh", 4, None)];
    let negotiation = negotiation(&items, &[""]);
    assert!(negotiation.lacks_any());
    let guesses = right(&negotiation, &["/old", "/else"]);
    let [guess] = &guesses[..] else { panic!("{guesses:?}") };
    assert_eq!((guess.from.as_str(), guess.snapshot.as_str(), guess.guid), ("b/t/old", "s", Guid(2)));
    assert_eq!(lines(&negotiation.moves(&guesses)), ["b/t/old -> b/t/new"]);
}

#[test]
fn what_another_source_has_taken_over_is_not_renamed() {
    let negotiation = negotiation(&[("", 1, None), ("/new", 2, Some("/old"))], &[""]);
    let guessed = |notes| negotiation.guesses(&[name("b/t/old")], &notes, 7).len();
    assert_eq!(guessed(received(&[("/old", 8, "/old")])), 0);
    for ours in [&[("/old", 7, "/old")][..], &[("/other", 8, "/other")], &[]] {
        assert_eq!(guessed(received(ours)), 1, "{ours:?}");
    }
}

#[test]
fn guids_tell_it_too() {
    let negotiation = negotiation(&[("", 1, None), ("/new", 2, None)], &[""]);
    let target = |snapshots: &[(&str, u64)]| fixture::target(versions(snapshots));
    let there =
        HashMap::from([(name("b/t/x"), target(&[("called", 2), ("y", 9)])), (name("b/t/y"), target(&[("s", 8)]))]);
    let (guesses, others) = negotiation.guesses_by_guid(&there, &received(&[("/x", 7, "/x"), ("/y", 7, "/y")]), 7);
    assert_eq!((guesses[0].from.as_str(), guesses[0].snapshot.as_str()), ("b/t/x", "called"));
    assert_eq!((guesses.len(), others), (1, vec![]));
}

/// Notes: by whom, and at which path it was put.
fn received(all: &[(&str, u32, &str)]) -> HashMap<DatasetName, Notes> {
    let note = |(path, by, at): &(&str, u32, &str)| {
        let at = name(&format!("b/t{at}")).below(&name("b/t")).map(|path| place(&path));
        let put = Put { by: *by, at, upto: Guid(1), txg: None, came: vec![], foreign: vec![], missing: Some(vec![]) };
        (name(&format!("b/t{path}")), Notes { put: Some(put), ..Notes::default() })
    };
    all.iter().map(note).collect()
}

#[test]
fn only_a_copy_of_this_source_at_its_place_is_renamed() {
    let negotiation = negotiation(&[("", 1, None), ("/new", 2, None)], &[""]);
    let listed = |paths: &[&str]| -> HashMap<DatasetName, TargetDataset> {
        paths.iter().map(|path| (name(&format!("b/t{path}")), fixture::target(versions(&[("s", 2)])))).collect()
    };
    let aside = "/x.zfsync-20261129-183000";
    for (path, notes, why) in [
        ("/golden", received(&[]), "not known to be received"),
        ("/golden", received(&[("/golden", 8, "/golden")]), "from another source"),
        ("/keep", received(&[("/keep", 7, "/x")]), "under another name"),
        (aside, received(&[(aside, 7, aside)]), "set aside"),
    ] {
        let (guesses, others) = negotiation.guesses_by_guid(&listed(&[path]), &notes, 7);
        assert!(guesses.is_empty() && others.len() == 1 && others[0].why.contains(why), "{path}: {others:?}");
        // Beside the copy itself it doesn't count.
        let notes = notes.into_iter().chain(received(&[("/x", 7, "/x")])).collect();
        let (guesses, others) = negotiation.guesses_by_guid(&listed(&[path, "/x"]), &notes, 7);
        assert_eq!((guesses[0].from.as_str(), guesses.len(), others), ("b/t/x", 1, vec![]), "{path}");
    }
    // Of two copies nobody knows which it was.
    let (guesses, others) =
        negotiation.guesses_by_guid(&listed(&["/x", "/x2"]), &received(&[("/x", 7, "/x"), ("/x2", 7, "/x2")]), 7);
    assert_eq!((guesses, others[0].name.as_str()), (vec![], "b/t/x"));
    assert!(others[0].why.contains("b/t/x2 has the same snapshots"), "{others:?}");
}

#[test]
fn children_come_along() {
    let items = [
        ("", 1, None),
        ("/a", 2, Some("/z")),
        ("/a/kid", 3, Some("/z/kid")),
        ("/a/moved", 4, Some("/z/old")),
        ("/out", 5, Some("/z/out")),
        ("/p", 6, None),
        ("/p/in", 7, Some("/loose")),
    ];
    let mut negotiation = negotiation(&items, &[""]);
    let guesses = right(&negotiation, &["/z", "/z/kid", "/z/old", "/z/out", "/loose"]);
    let moves = negotiation.moves(&guesses);
    assert_eq!(
        lines(&moves),
        ["b/t/z -> b/t/a", "b/t/a/old -> b/t/a/moved", "b/t/a/out -> b/t/out", "b/t/loose -> b/t/p/in"]
    );
    assert_eq!(moves[3].ancestors, [name("b/t/p")], "its parent isn't there yet");
    assert!(moves[..3].iter().all(|one| one.ancestors.is_empty()));
    negotiation.moved(&moves);
    let old = |path: &str| negotiation.name_before(&name(&format!("b/t{path}"))).map(ToString::to_string);
    assert_eq!(old("/a/kid").as_deref(), Some("b/t/z/kid"));
    assert_eq!(old("/a/moved").as_deref(), Some("b/t/z/old"));
    assert_eq!(old("/out").as_deref(), Some("b/t/z/out"));
    assert_eq!(old("/p"), None);
    let mut unlisted: Vec<String> = negotiation.unlisted().iter().map(ToString::to_string).collect();
    unlisted.sort();
    assert_eq!(unlisted, ["b/t/a", "b/t/a/kid", "b/t/a/moved", "b/t/out", "b/t/p/in"]);
    // In a dry run the old names are still there.
    let left = negotiation.only_there(&["b/t/z", "b/t/z/kid", "b/t/z/out", "b/t/gone"].map(name));
    assert_eq!(left, [name("b/t/gone")]);
}

#[test]
fn what_could_not_be_renamed_is_sent_anew() {
    let items = [("", 1, None), ("/a", 2, Some("/z")), ("/b", 3, Some("/y"))];
    let mut negotiation = negotiation(&items, &[""]);
    let guesses = right(&negotiation, &["/y", "/z"]);
    let moves = negotiation.moves(&guesses);
    negotiation.moved(&moves[..1]);
    negotiation.sent_anew(&guesses);
    let old = |name_there: &str| negotiation.renamed_from(&name(name_there)).map(ToString::to_string);
    assert_eq!((old("b/t/z"), old("b/t/y").as_deref()), (None, Some("b/t/b")));
}

#[test]
fn one_old_name_becomes_one_new_one() {
    let items = [("", 1, None), ("/a", 2, Some("/z")), ("/b", 2, Some("/z"))];
    let negotiation = negotiation(&items, &[""]);
    let moves = negotiation.moves(&right(&negotiation, &["/z"]));
    assert_eq!(lines(&moves), ["b/t/z -> b/t/a"], "a clone has the same bookmarks");
}

#[test]
fn names_that_were_exchanged_stay() {
    // Both are there under both names: nothing is lacking, and the guids tell the conflict.
    let items = [("", 1, None), ("/a", 2, Some("/b")), ("/b", 3, Some("/a"))];
    let negotiation = negotiation(&items, &["", "/a", "/b"]);
    assert!(!negotiation.lacks_any());
    assert_eq!(right(&negotiation, &[]), []);
}

#[test]
fn the_copy_of_another_target_is_known_by_its_note() {
    let put = |path: &str| Put {
        by: 1,
        at: Some(place(&name(&format!("x{path}")).below(&name("x")).unwrap())),
        upto: Guid(1),
        txg: None,
        came: Vec::new(),
        foreign: Vec::new(),
        missing: Some(Vec::new()),
    };
    let target = name("b/t");
    let another = |dataset: &str, put: Option<Put>| is_of_another_target(&name(dataset), &target, put.as_ref());
    // The target b/t/two: its top, and what lies below.
    assert!(another("b/t/two", Some(put(""))) && another("b/t/two/kid", Some(put("/kid"))));
    assert!(another("b/t/two/a/kid", Some(put("/a/kid"))));
    // Where it was received, or under another name since.
    assert!(!another("b/t/kid", Some(put("/kid"))) && !another("b/t/kid2", Some(put("/kid"))));
    assert!(!another("b/t/two/kid", Some(put("/two/kid"))) && !another("b/t", Some(put(""))));
    assert!(!another("b/t/two/kid", None) && !another("b/t/two/kid", Some(Put { at: None, ..put("/kid") })));
}

/// What a rename creates above takes no stream where one of both is encrypted: what is to be sent there comes first.
#[test]
fn below_what_is_to_be_sent_encrypted_nothing_is_renamed() {
    let items = [
        ("", 1, None),
        ("/new", 2, Some("/old")),
        ("/new/kid", 3, Some("/other")),
        ("/z", 4, None),
        ("/z/sub", 5, Some("/sub")),
        ("/z/sub/low", 6, Some("/low")),
    ];
    let mut negotiation = negotiation(&items, &[""]);
    let guesses = right(&negotiation, &["/old", "/other", "/sub", "/low"]);
    assert_eq!(negotiation.new_parents(&guesses), [name("a/s/z")]);
    let told = |negotiation: &Negotiation, encrypted| {
        let (can, cannot) = negotiation.can_follow(&guesses, encrypted);
        let cannot = cannot.iter().map(|one| format!("{} for {}", one.guess.from, one.parent)).collect::<Vec<_>>();
        (lines(&negotiation.moves(&can)), cannot)
    };
    let rest = ["b/t/old -> b/t/new", "b/t/other -> b/t/new/kid"];
    let left = |(can, cannot): (Vec<String>, Vec<String>)| {
        assert_eq!(can, rest);
        assert_eq!(cannot, ["b/t/sub for b/t/z", "b/t/low for b/t/z"]);
    };
    let facts = |encrypted| crate::plan::SourceFacts { kind: zfs::Kind::Filesystem, encrypted, root_up: 0 };
    left(told(&negotiation, false));
    negotiation.facts(&HashMap::from([(name("a/s/z"), facts(true))]));
    left(told(&negotiation, false));
    // In plaintext it takes the place of what is there.
    let decrypt = EncryptionRules { sent: EncryptedAs::Plaintext, ..EncryptionRules::default() };
    negotiation = negotiation.with_encryption(decrypt);
    assert_eq!(told(&negotiation, false).1, Vec::<String>::new());
    left(told(&negotiation, true));
    negotiation = negotiation.with_encryption(EncryptionRules::default());
    negotiation.facts(&HashMap::from([(name("a/s/z"), facts(false))]));
    left(told(&negotiation, true));
    let (can, cannot) = told(&negotiation, false);
    assert_eq!((can.len(), cannot), (4, Vec::new()));
}

/// What moved with the dataset above it is told with that one, and only that.
#[test]
fn a_moved_subtree_that_is_left_out_is_told_once() {
    let items = [
        ("", 1, None),
        ("/z", 2, None),
        ("/z/sub", 3, Some("/sub")),
        ("/z/sub/a", 4, Some("/sub/a")),
        ("/z/sub/a/b", 5, Some("/sub/a/b")),
        ("/z/sub/low", 6, Some("/low")),
        ("/z/two", 7, Some("/two")),
    ];
    let negotiation = negotiation(&items, &[""]);
    let guesses = right(&negotiation, &["/sub", "/sub/a", "/sub/a/b", "/low", "/two"]);
    let (can, cannot) = negotiation.can_follow(&guesses, true);
    assert_eq!(can, []);
    let told: Vec<_> = cannot.iter().map(|one| (one.guess.from.as_str(), one.parent.as_str(), one.below)).collect();
    assert_eq!(told, [("b/t/sub", "b/t/z", 2), ("b/t/low", "b/t/z", 0), ("b/t/two", "b/t/z", 0)]);
}

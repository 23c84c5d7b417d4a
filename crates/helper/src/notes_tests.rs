//! What only a helper that is allowed to may do to whole datasets: rename, note, destroy; and never outside its roots.

use super::Config;
use super::fake::Session;
use crate::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid};
use zfs::{Allow, Note, Refusal, Rename};

fn name(text: &str) -> DatasetName {
    text.parse().unwrap()
}

fn rename(from: &str, to: &str, ancestors: &[&str]) -> Request {
    let ancestors = ancestors.iter().map(|text| name(text)).collect();
    let rename = Rename {
        from: name(from),
        to: name(to),
        snapshot: "s".parse().unwrap(),
        guid: Guid(1),
        ancestors,
        top_ancestor: None,
    };
    Request::Rename { id: 7, rename }
}

fn note(names: &[&str]) -> Request {
    let names = names.iter().map(ToString::to_string).collect();
    Request::Note { id: 7, note: Note::MissingSince, value: Some("17".into()), names }
}

fn destroy(dataset: &str) -> Request {
    Request::Destroy { id: 7, dataset: name(dataset), snapshots: vec![Guid(1)] }
}

fn asked(session: &mut Session, request: &Request) -> Option<Refusal> {
    session.request(request);
    let (id, refusal) = session.done();
    assert_eq!(id, 7);
    refusal
}

#[test]
fn only_what_is_allowed_is_done() {
    for allow in [vec![], vec![Allow::Rename], vec![Allow::Destroy], vec![Allow::Rollback]] {
        let may = |what| if allow.contains(&what) { None } else { Some(Refusal::NotAllowed) };
        let mut session = Session::start(Config { roots: vec![], allow: allow.clone(), ..Config::default() });
        assert_eq!(asked(&mut session, &rename("b/x", "b/y", &[])), may(Allow::Rename));
        assert_eq!(asked(&mut session, &note(&["b/x", "b/x@s"])), may(Allow::Destroy));
        assert_eq!(asked(&mut session, &destroy("b/x")), may(Allow::Destroy));
        let lens =
            [&session.host.renamed, &session.host.noted, &session.host.destroyed].map(|all| all.lock().unwrap().len());
        let expected = [usize::from(allow.contains(&Allow::Rename)), 2, 1];
        let destroys = allow.contains(&Allow::Destroy);
        assert_eq!(lens, [expected[0], if destroys { 2 } else { 0 }, usize::from(destroys)]);
        session.close().unwrap();
    }
}

#[test]
fn all_of_it_stays_within_the_roots() {
    let allow = vec![Allow::Rename, Allow::Destroy];
    let mut session = Session::start(Config { roots: vec![name("b/x")], allow, ..Config::default() });
    for outside in [
        rename("b/y", "b/x/y", &[]),
        rename("b/x/y", "b/y", &[]),
        rename("b/x/y", "b/x/z/y", &["b", "b/x/z"]),
        note(&["b"]),
        destroy("b/y"),
        // What it serves is there for good.
        destroy("b/x"),
    ] {
        assert_eq!(asked(&mut session, &outside), Some(Refusal::NotAllowed), "{outside:?}");
    }
    // Names from elsewhere are passed over, as in a question.
    assert_eq!(asked(&mut session, &note(&["b/y@s", "c", "-r", "b/x/a@s"])), None);
    assert_eq!(*session.host.noted.lock().unwrap(), ["b/x/a@s=17"]);
    assert_eq!(asked(&mut session, &rename("b/x/y", "b/x/z/y", &["b/x/z"])), None);
    assert_eq!(*session.host.created.lock().unwrap(), ["b/x/z"]);
    assert_eq!(asked(&mut session, &destroy("b/x/y")), None);
    assert_eq!(session.host.destroyed.lock().unwrap().len(), 1);
    session.close().unwrap();
}

#[test]
fn notes_and_names_come_in_frames() {
    let mut session = Session::start(Config::default());
    let snapshots = vec!["b/x@s".into(), "no snapshot".into(), "b@".into()];
    session.request(&Request::Notes { id: 7, dataset: Some(name("b/t")), snapshots });
    let mut notes = Vec::new();
    loop {
        match session.reply() {
            Some(Reply::Notes { id: 7, notes: some }) => notes.push(some.len()),
            Some(Reply::Done { id: 7, failure: None, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(notes, [100, 100, 51]);
    session.request(&Request::Names { id: 7, dataset: name("b") });
    let Some(Reply::Names { datasets, .. }) = session.reply() else { panic!("no names") };
    assert_eq!(datasets, [name("b"), name("b/x y"), name("b/no")]);
    assert_eq!(session.done(), (7, None));
    session.close().unwrap();
}

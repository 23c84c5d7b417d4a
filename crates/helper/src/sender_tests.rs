//! What a session with a source may ask, and have done: nothing outside of the roots, nothing without its leave, and nothing that is
//! not zfsync's own.

use super::fake::Session;
use super::fake_source::{DATASETS, guid_of};
use super::{Config, Side};
use crate::wire::{Reply, Request};
use zfs::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use zfs::{
    Allow, Answer, Failure, Happened, NewBookmark, Note, Origin, Property, Query, Reading, Refusal, Rename, Resolution,
    SendBase, SendFlags, SendSpec, StreamSpec, Token,
};

pub fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

pub fn snapshot(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

/// The name of a bookmark of ours.
const OURS: &str = "zfsync-01234567-s";

pub fn sender(roots: &[&str], allow: &[Allow]) -> Session {
    let roots = roots.iter().map(|root| dataset(root)).collect();
    Session::start(Config { roots, allow: allow.to_vec(), side: Side::Sender, ..Config::default() })
}

pub fn send_of(name: &str) -> StreamSpec {
    let flags = SendFlags::default();
    StreamSpec::Send(SendSpec { dataset: dataset(name), to: snapshot("s"), base: None, flags })
}

pub fn token(to_name: &str, to_guid: Guid) -> ResumeToken {
    let token = Token {
        to_guid,
        to_name: to_name.into(),
        from_guid: None,
        object: 1,
        offset: 0,
        bytes: 0,
        large_blocks: false,
        embedded: false,
        compressed: false,
        raw: false,
    };
    token.encode(to_name)
}

fn resume(of: &str, to_name: &str, to_guid: Guid) -> StreamSpec {
    StreamSpec::Resume { dataset: dataset(of), token: token(to_name, to_guid) }
}

/// Asks, and gives what was answered in one piece, or the refusal.
pub fn ask(session: &mut Session, query: Query) -> Result<Answer, Failure> {
    session.request(&Request::Query { id: 7, query });
    let mut all: Option<Answer> = None;
    loop {
        match session.reply().unwrap() {
            Reply::Answer { id: 7, part } => match &mut all {
                None => all = Some(part),
                Some(all) => assert!(all.append(part)),
            },
            Reply::Done { id: 7, failure: None, .. } => return Ok(all.unwrap()),
            Reply::Done { id: 7, failure: Some(failure), .. } => {
                assert_eq!(all, None);
                return Err(failure);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every query about this dataset, with what it needs leave for.
fn queries(name: &str) -> Vec<(Query, Option<Allow>)> {
    let (one, all) = (|| dataset(name), || vec![dataset(name)]);
    let names = || vec![format!("{name}@s"), format!("{name}#m")];
    let property = || "zfsync:note".to_owned();
    let set = |snapshot, value: Option<&str>| Query::SetProperty {
        dataset: one(),
        snapshot,
        property: property(),
        value: value.map(String::from),
    };
    let bookmark = |origin| NewBookmark { dataset: one(), origin, name: snapshot(OURS) };
    let prune = |dry_run| Query::Prune { dataset: one(), snapshots: vec![(snapshot("s"), Guid(1))], dry_run };
    let take = |recursive| Query::Snapshot { datasets: all(), name: snapshot("s"), recursive, taken_here: false };
    let free = [
        Query::Find { names: names() },
        Query::Written { names: names() },
        Query::Dates { names: names() },
        Query::IvSets { names: names() },
        Query::Facts { datasets: all() },
        Query::States { datasets: all() },
        Query::Traces { datasets: all() },
        Query::SnapshotNotes { property: property(), datasets: all() },
        Query::Estimate { stream: send_of(name) },
        Query::Estimate { stream: StreamSpec::List { dataset: one(), depth: None } },
        Query::Properties { dataset: one() },
        Query::PropertiesBelow { dataset: one() },
        Query::Bookmark { new: vec![bookmark(Origin::Snapshot(snapshot("s")))] },
        Query::Bookmark { new: vec![bookmark(Origin::Bookmark(snapshot("other")))] },
        Query::DropBookmarks { bookmarks: vec![(one(), snapshot(OURS))] },
        set(None, Some("v")),
        set(Some(snapshot("s")), None),
    ];
    let free = free.into_iter().map(|query| (query, None));
    let bound = [(prune(false), Allow::Destroy), (prune(true), Allow::Destroy)];
    let bound = bound.into_iter().chain([(take(false), Allow::Snapshot), (take(true), Allow::Snapshot)]);
    free.chain(bound.map(|(query, allow)| (query, Some(allow)))).collect()
}

#[test]
fn every_query_stays_within_the_roots() {
    let mut session = sender(&["b/x"], &[Allow::Destroy, Allow::Snapshot]);
    for outside in ["b/xx", "b", "c", "b/x-y", "b/X"] {
        for (query, _) in queries(outside) {
            let refused = ask(&mut session, query.clone()).unwrap_err();
            assert_eq!(refused.refusal, Refusal::NotAllowed, "{query:?}: {refused:?}");
        }
    }
    for pool in ["c", "b/x", "b/", "", "-v", "bb", "b c"] {
        let pool = pool.to_owned();
        for query in [Query::Encrypted { pool: pool.clone() }, Query::History { pool, since: Txg(0) }] {
            assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed);
        }
    }
    assert_eq!(*session.host.queried.lock().unwrap(), []);
    for inside in ["b/x", "b/x/y"] {
        for (query, _) in queries(inside) {
            ask(&mut session, query).unwrap();
        }
    }
    ask(&mut session, Query::Encrypted { pool: "b".into() }).unwrap();
    session.close().unwrap();
}

#[test]
fn one_name_outside_refuses_all() {
    let mut session = sender(&["b/x"], &[Allow::Destroy, Allow::Snapshot]);
    let (inside, outside) = (|| dataset("b/x"), || dataset("b/xx"));
    let both = || vec![inside(), outside()];
    let bookmark = |dataset| NewBookmark { dataset, origin: Origin::Snapshot(snapshot("s")), name: snapshot(OURS) };
    for query in [
        Query::Find { names: vec!["b/x@s".into(), "b/xx@s".into()] },
        Query::Facts { datasets: both() },
        Query::Snapshot { datasets: both(), name: snapshot("s"), recursive: false, taken_here: false },
        Query::Bookmark { new: both().into_iter().map(bookmark).collect() },
        Query::DropBookmarks { bookmarks: both().into_iter().map(|one| (one, snapshot(OURS))).collect() },
    ] {
        assert_eq!(ask(&mut session, query.clone()).unwrap_err().refusal, Refusal::NotAllowed, "{query:?}");
    }
    assert_eq!(*session.host.queried.lock().unwrap(), []);
    session.close().unwrap();
}

#[test]
fn what_changes_much_needs_its_leave() {
    for allowed in [&[][..], &[Allow::Destroy], &[Allow::Snapshot], &[Allow::Verify, Allow::Rename, Allow::Rollback]] {
        let mut session = sender(&[], allowed);
        for (query, needs) in queries("b/x") {
            let answer = ask(&mut session, query.clone());
            match needs.filter(|needs| !allowed.contains(needs)) {
                None => assert!(answer.is_ok(), "{query:?}: {answer:?}"),
                Some(needs) => {
                    let refused = answer.unwrap_err();
                    assert_eq!(refused.refusal, Refusal::NotAllowed);
                    assert!(refused.words.contains(&format!("--allow {}", needs.word())), "{}", refused.words);
                    assert!(!session.host.queried.lock().unwrap().contains(&query));
                }
            }
        }
        session.close().unwrap();
    }
}

#[test]
fn a_sender_receives_nothing() {
    let x = || dataset("b/x");
    let names = || vec!["b/x".to_owned(), "b/x@s".to_owned()];
    let rollback = || Resolution::Rollback { dataset: x(), to: snapshot("s"), to_guid: Guid(1), loses: vec![] };
    let rename = Rename {
        from: x(),
        to: dataset("b/y"),
        snapshot: snapshot("s"),
        guid: Guid(1),
        ancestors: vec![],
        top_ancestor: None,
    };
    let all = [Allow::Rollback, Allow::Rename, Allow::Destroy, Allow::Snapshot];
    let mut session = sender(&[], &all);
    let requests = [
        Request::Ask { id: 1, names: names() },
        Request::List { id: 1, datasets: vec![x()] },
        Request::Tree { id: 1, dataset: x() },
        Request::Probe { id: 1, dataset: x() },
        Request::Clear { id: 1, dataset: x() },
        Request::Lock { id: 1, dataset: x(), run: 1, owner: "me".into() },
        Request::Resolve { id: 1, resolution: rollback() },
        Request::TryResolve { id: 1, resolution: rollback() },
        Request::Dates { id: 1, names: names() },
        Request::Bases { id: 1, names: names(), iv_sets_only: false },
        Request::Prune { id: 1, dataset: x(), snapshots: vec![], dry_run: true },
        Request::Names { id: 1, dataset: x() },
        Request::Rename { id: 1, rename },
        Request::Notes { id: 1, dataset: Some(x()), snapshots: vec![] },
        Request::Note { id: 1, note: Note::MissingSince, value: None, names: names() },
        Request::Destroy { id: 1, dataset: x(), snapshots: vec![] },
        Request::TryDestroy { id: 1, dataset: x(), snapshots: vec![] },
        Request::Outlook { id: 1, dataset: x() },
    ];
    for request in requests {
        session.request(&request);
        assert_eq!(session.done(), (1, Some(Refusal::NotAllowed)), "{request:?}");
    }
    assert_eq!(session.host.touched(), Vec::<String>::new());
    // Data would follow.
    session.receive(2, "b/x");
    assert!(session.close().is_err());
    assert!(session.host.began.lock().unwrap().is_empty());
}

/// Whether a receiver answers it, too.
fn tells_of_targets(query: &Query) -> bool {
    matches!(query, Query::Properties { .. } | Query::PropertiesBelow { .. })
}

#[test]
fn a_receiver_tells_only_which_its_own_targets_are() {
    let told = |roots: &[&str], of: &str| {
        let roots = roots.iter().map(|root| dataset(root)).collect();
        let mut session = Session::start(Config { roots, ..Config::default() });
        let asked = queries(of).into_iter().map(|(query, _)| query).filter(tells_of_targets);
        let answers: Vec<_> = asked.map(|query| ask(&mut session, query)).collect();
        session.close().unwrap();
        answers
    };
    let record =
        |on: &str| Property { on: dataset(on), name: "zfsync:target-1".into(), value: r#"{"pool":7,"top":70}"#.into() };
    let some = |all: &[&str]| Ok(Answer::Properties(all.iter().map(|on| record(on)).collect()));
    assert_eq!(told(&[], "b/x"), [some(&DATASETS), some(&DATASETS)]);
    let within = ["b", "b/x", "b/x/y"];
    assert_eq!(told(&["b/x"], "b/x"), [some(&within), some(&within)]);
    for refused in told(&["b/x"], "b/secret") {
        assert_eq!(refused.unwrap_err().refusal, Refusal::NotAllowed);
    }
}

#[test]
fn a_receiver_sends_nothing() {
    let allow = vec![Allow::Rollback, Allow::Rename, Allow::Destroy, Allow::Snapshot];
    let mut session = Session::start(Config { allow, ..Config::default() });
    for (query, _) in queries("b/x").into_iter().filter(|(query, _)| !tells_of_targets(query)) {
        assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed);
    }
    for (id, stream) in [(3, send_of("b/x")), (4, resume("b/x", "b/x@s", Guid(5)))] {
        session.request(&Request::Stream { id, stream, per_second: None });
        assert_eq!(session.done(), (id, Some(Refusal::NotAllowed)));
    }
    session.request(&Request::Cancel { id: 3 });
    session.close().unwrap();
    assert_eq!(*session.host.queried.lock().unwrap(), []);
    assert!(session.host.streamed.0.lock().unwrap().is_empty());
}

#[test]
fn content_is_told_only_with_leave() {
    let reading = Reading { dataset: dataset("b/x"), snapshot: snapshot("s"), guid: Guid(1), raw: false, only: None };
    for (allow, refusal) in [(&[][..], Refusal::NotAllowed), (&[Allow::Verify], Refusal::Other)] {
        let mut session = sender(&[], allow);
        session.request(&Request::Content { id: 1, reading: reading.clone() });
        assert_eq!(session.done(), (1, Some(refusal)), "the fake has no content");
        session.close().unwrap();
    }
}

#[test]
fn only_bookmarks_and_properties_of_zfsyncs_are_changed() {
    let mut session = sender(&["b/x"], &[]);
    let x = || dataset("b/x");
    for name in ["mine", "zfsync", "zfsync-", "zfsync-xyz-s", "Zfsync-01234567-s"] {
        let new = NewBookmark { dataset: x(), origin: Origin::Snapshot(snapshot("s")), name: snapshot(name) };
        for query in [
            Query::Bookmark { new: vec![new] },
            Query::DropBookmarks { bookmarks: vec![(x(), snapshot(OURS)), (x(), snapshot(name))] },
        ] {
            assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed, "{name}");
        }
    }
    let long = format!("zfsync:{}", "x".repeat(300));
    for property in [
        "readonly",
        "zfsync",
        "com.zfsync:x",
        "-r",
        "",
        "zfsync:a,keylocation",
        "zfsync:a=b",
        "zfsync:a b",
        "zfsync:a\nb",
        "zfsync:A",
        &long,
    ] {
        for (snapshot, value) in [(None, Some("v".to_owned())), (Some(snapshot("s")), None)] {
            let query = Query::SetProperty { dataset: x(), snapshot, property: property.into(), value };
            assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed, "{property}");
        }
        let query = Query::SnapshotNotes { property: property.into(), datasets: vec![x()] };
        assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed, "{property}");
    }
    for value in ["a\nb/y\tlocal", "a\tb", "\u{1b}[2J", "\0", &"v".repeat(8192)] {
        let (property, value) = ("zfsync:a".into(), Some(value.to_owned()));
        let query = Query::SetProperty { dataset: x(), snapshot: None, property, value };
        assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::NotAllowed);
    }
    assert_eq!(*session.host.queried.lock().unwrap(), []);
    session.close().unwrap();
}

#[test]
fn illegal_names_never_reach_zfs() {
    let mut session = sender(&[], &[Allow::Snapshot]);
    let long = format!("b/x@{}", "s".repeat(252));
    let names = [
        "",
        "@",
        "#",
        "@s",
        "b/x@",
        "b/x#",
        "b/x@s@t",
        "b/x@s#m",
        "b/x#m@s",
        "b/x@%recv",
        "b/%recv@s",
        "b/x@s\n",
        "b/x\n@s",
        "b/x@s\t1",
        "-r@s",
        "-d",
        "/b/x@s",
        "b//x@s",
        "b/../c@s",
        "b/x@s,t",
        "b/x@s%t",
        "b/x@\u{202e}s",
        &long,
    ];
    for name in names {
        let names = || vec!["b/x@s".to_owned(), name.to_owned()];
        for query in [
            Query::Find { names: names() },
            Query::Written { names: names() },
            Query::Dates { names: names() },
            Query::IvSets { names: names() },
        ] {
            assert_eq!(ask(&mut session, query).unwrap_err().refusal, Refusal::Other, "{name:?}");
        }
    }
    assert_eq!(*session.host.queried.lock().unwrap(), []);
    session.close().unwrap();
    // Where a name has a type, a message with such a one makes no sense.
    for name in ["b/x@s", "b/x#m", "b/%x", "", "b\\nx", "-b"] {
        let mut session = sender(&[], &[]);
        let body = format!(r#"{{"verb":"query","id":1,"query":{{"what":"facts","datasets":["{name}"]}}}}"#);
        let kind = crate::wire::FrameKind::Request;
        session.raw(&crate::wire::Header { kind, len: body.len() }.encode());
        session.raw(body.as_bytes());
        assert!(session.close().is_err(), "{name:?}");
    }
}

#[test]
fn a_resume_token_is_of_what_it_says() {
    let right = guid_of("b/x@s");
    let streams = [
        (resume("b/x", "b/x@s", right), None),
        (resume("b/x", "b/x/y@s", guid_of("b/x/y@s")), Some(Refusal::NotAllowed)),
        (resume("b/x", "b/secret@s", guid_of("b/secret@s")), Some(Refusal::NotAllowed)),
        (resume("b/secret", "b/secret@s", guid_of("b/secret@s")), Some(Refusal::NotAllowed)),
        (resume("b/x", "b/x", right), Some(Refusal::NotAllowed)),
        (resume("b/x", "b/x#m", right), Some(Refusal::NotAllowed)),
        (resume("b/x", "b/x@s@t", right), Some(Refusal::NotAllowed)),
        (resume("b/x", "b/x@s\n", right), Some(Refusal::NotAllowed)),
        // zfs would look for it in the whole pool, and send that.
        (resume("b/x", "b/x@s", guid_of("b/secret@s")), Some(Refusal::Other)),
        (resume("b/x", "b/x@gone", guid_of("b/secret@s")), Some(Refusal::Missing)),
        (StreamSpec::Resume { dataset: dataset("b/x"), token: ResumeToken("1-0-0-00".into()) }, Some(Refusal::Other)),
        (StreamSpec::Resume { dataset: dataset("b/x"), token: ResumeToken("-n".into()) }, Some(Refusal::Other)),
    ];
    for (stream, refusal) in streams {
        let mut session = sender(&["b/x"], &[]);
        let estimate = ask(&mut session, Query::Estimate { stream: stream.clone() });
        assert_eq!(estimate.as_ref().err().map(|why| why.refusal), refusal, "{stream:?}: {estimate:?}");
        if refusal.is_some() {
            session.request(&Request::Stream { id: 3, stream, per_second: None });
            assert_eq!(session.done(), (3, refusal));
            assert!(session.host.streamed.0.lock().unwrap().is_empty());
        }
        session.close().unwrap();
    }
}

#[test]
fn streams_stay_within_the_roots() {
    let base = |name: &str, base| {
        let (dataset, flags) = (dataset(name), SendFlags::default());
        StreamSpec::Send(SendSpec { dataset, to: snapshot("s"), base: Some(base), flags })
    };
    let mut session = sender(&["b/x"], &[]);
    let mut id = 0;
    for outside in ["b", "b/xx", "c"] {
        for stream in [
            send_of(outside),
            base(outside, SendBase::SnapshotAll(snapshot("r"))),
            base(outside, SendBase::Bookmark(snapshot("r"))),
            StreamSpec::List { dataset: dataset(outside), depth: None },
            StreamSpec::List { dataset: dataset(outside), depth: Some(0) },
        ] {
            id += 1;
            session.request(&Request::Stream { id, stream, per_second: None });
            assert_eq!(session.done(), (id, Some(Refusal::NotAllowed)));
        }
    }
    assert!(session.host.streamed.0.lock().unwrap().is_empty());
    session.close().unwrap();
}

#[test]
fn answers_tell_nothing_of_what_lies_outside() {
    let told = |answer: Answer| -> Vec<String> {
        match answer {
            Answer::Names(names) => names,
            Answer::Properties(all) => all.into_iter().map(|one| format!("{}:{}", one.on, one.name)).collect(),
            Answer::Records(records) => records
                .into_iter()
                .map(|record| match record.what {
                    Happened::Snapshot { dataset, .. } | Happened::Swapped { dataset } => dataset,
                    Happened::Renamed { to, .. } => to,
                    Happened::Destroyed { .. } => unreachable!(),
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let history = || Query::History { pool: "b".into(), since: Txg(0) };
    let properties = || Query::Properties { dataset: dataset("b/x") };
    let mut session = sender(&["b/x"], &[]);
    assert_eq!(told(ask(&mut session, Query::Names).unwrap()), ["b", "b/x", "b/x/y"]);
    let known = told(ask(&mut session, properties()).unwrap());
    assert_eq!(
        known,
        [
            "b:zfsync:a",
            "b:zfsync:target-1",
            "b/x:zfsync:a",
            "b/x:zfsync:target-1",
            "b/x:quota",
            "b/x/y:zfsync:a",
            "b/x/y:zfsync:target-1",
            "b/x/y:quota",
        ]
    );
    let mut of = told(ask(&mut session, history()).unwrap());
    of.dedup();
    assert_eq!(of, ["b", "b/x", "b/x/y"]);
    session.close().unwrap();
    let mut open = sender(&[], &[]);
    assert_eq!(told(ask(&mut open, Query::Names).unwrap()), DATASETS);
    assert_eq!(told(ask(&mut open, history()).unwrap()).len(), 3 * DATASETS.len());
    open.close().unwrap();
}

#[test]
fn long_answers_come_in_parts() {
    let mut session = sender(&[], &[]);
    let names: Vec<String> = (0..2500).map(|n| format!("b/x@{n}")).collect();
    session.request(&Request::Query { id: 1, query: Query::Dates { names } });
    let mut parts = Vec::new();
    while let Reply::Answer { id: 1, part } = session.reply().unwrap() {
        parts.push(part.len());
    }
    assert_eq!(parts, [1000, 1000, 500]);
    session.close().unwrap();
}

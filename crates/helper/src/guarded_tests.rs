//! What a helper permits, request by request; what a source's writes into the system's log, hands to ZFS, and tells of a pool's history.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::Session;
use super::fake_source::guid_of;
use super::guard::{self, Chronicle};
use super::sender_tests::{ask, dataset, sender, snapshot, token};
use super::syslog::Syslog;
use super::{Config, Side};
use crate::wire::Request;
use zfs::name::{Guid, ResumeToken, Txg};
use zfs::{Allow, Examine, Happened, Note, Query, Reading, Record, Refusal, Rename, Resolution, StreamSpec, Token};

/// What a system log of its own has been told.
fn logged(play: impl FnOnce(&mut Session)) -> Vec<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("zfsync-log-{}-{number}", std::process::id()));
    let log = UnixDatagram::bind(&path).unwrap();
    log.set_nonblocking(true).unwrap();
    let config =
        Config { roots: vec![dataset("b/x")], allow: vec![Allow::Destroy], side: Side::Sender, ..Config::default() };
    let mut session = Session::logging(config, Syslog::at(path.clone()));
    play(&mut session);
    session.close().unwrap();
    std::fs::remove_file(path).unwrap();
    let mut lines = Vec::new();
    let mut line = [0; 2048];
    // All of them were written before the session ended.
    while let Ok(len) = log.recv(&mut line) {
        lines.push(String::from_utf8(line[..len].to_vec()).unwrap());
    }
    lines
}

#[test]
fn what_a_source_loses_is_logged_whatever_comes_of_it() {
    let prune = |name: &str, dry_run| Query::Prune {
        dataset: dataset(name),
        snapshots: vec![(snapshot("s"), Guid(1))],
        dry_run,
    };
    let lines = logged(|session| {
        ask(session, prune("b/x", true)).unwrap();
        ask(session, prune("b/x", false)).unwrap();
        // The host fails behind the first batch.
        ask(session, prune("b/x/broken", false)).unwrap_err();
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("destroyed of b/x: @s"), "{lines:?}");
    assert!(lines[1].contains("destroyed not all of 1 snapshots of b/x/broken"), "{lines:?}");
}

#[test]
fn what_is_refused_is_logged() {
    let lines = logged(|session| {
        let refused = ask(session, Query::Facts { datasets: vec![dataset("b/xx")] }).unwrap_err();
        assert_eq!(refused.refusal, Refusal::NotAllowed);
    });
    assert!(lines.len() == 1 && lines[0].contains("b/xx"), "{lines:?}");
}

#[test]
fn none_of_a_tokens_own_bytes_reach_zfs() {
    let name = "b/x@s";
    let made = token(name, guid_of(name));
    // The same list, and a checksum of leading zeros: still a token, of other bytes.
    let (version, rest) = made.0.split_once('-').unwrap();
    let theirs = ResumeToken(format!("{version}-0{rest}"));
    assert!(Token::decode(&theirs).is_ok());
    let mut session = sender(&["b/x"], &[]);
    let stream = |token| StreamSpec::Resume { dataset: dataset("b/x"), token };
    ask(&mut session, Query::Estimate { stream: stream(theirs) }).unwrap();
    let queried = session.host.queried.lock().unwrap().clone();
    assert!(queried.contains(&Query::Estimate { stream: stream(made) }), "{queried:?}");
    session.close().unwrap();
}

#[test]
fn a_history_tells_what_happened_within_the_roots() {
    let config = Config { roots: vec![dataset("b/x")], side: Side::Sender, ..Config::default() };
    let mut chronicle = Chronicle::new(&config);
    let mut told = |what: Happened| chronicle.told(Record { txg: Txg(1), what }).map(|record| record.what);
    let taken = |name: &str, object| Happened::Snapshot { dataset: name.into(), object };
    let renamed = |from: &str, to: &str| Happened::Renamed { from: from.into(), to: to.into() };
    assert_eq!(told(taken("b/x", 1)), Some(taken("b/x", 1)));
    assert_eq!(told(taken("b/secret", 2)), None);
    assert_eq!(told(Happened::Destroyed { object: 2 }), None);
    assert_eq!(told(Happened::Destroyed { object: 1 }), Some(Happened::Destroyed { object: 1 }));
    assert_eq!(told(renamed("b/secret", "b/x/new")), Some(renamed("#1", "b/x/new")));
    assert_eq!(told(renamed("b/x/new", "b/hidden")), Some(renamed("b/x/new", "#2")));
    assert_eq!(told(renamed("b/secret", "b/hidden")), None);
}

/// Each request that touches a dataset of this name, and what it needs beside `--root`.
fn requests(name: &str) -> Vec<(Request, Option<Allow>)> {
    let (x, names) = (dataset(name), vec![format!("{name}@s")]);
    let rollback = || Resolution::Rollback { dataset: x.clone(), to: snapshot("s"), to_guid: Guid(1), loses: vec![] };
    let (aside, to) = (dataset(&format!("{name}-aside")), dataset(&format!("{name}/to")));
    let aside = Resolution::SetAside { dataset: x.clone(), aside, restore: vec![], top: false };
    let (snapshot, guid, ancestors) = (snapshot("s"), Guid(1), vec![]);
    let rename = Rename { from: x.clone(), to, snapshot: snapshot.clone(), guid, ancestors, top_ancestor: None };
    let reading = Reading { dataset: x.clone(), snapshot: snapshot.clone(), guid, raw: false, only: None };
    let snapshots = vec![(snapshot, guid)];
    vec![
        (Request::Tree { id: 1, dataset: x.clone() }, None),
        (Request::Names { id: 1, dataset: x.clone() }, None),
        (Request::Probe { id: 1, dataset: x.clone() }, None),
        (Request::Outlook { id: 1, dataset: x.clone() }, None),
        (Request::Lock { id: 1, dataset: x.clone(), run: 1, owner: "alpha".into() }, None),
        (Request::Clear { id: 1, dataset: x.clone() }, None),
        (Request::Examine { id: 1, what: Examine::Dataset(x.clone()) }, None),
        (Request::Notes { id: 1, dataset: Some(x.clone()), snapshots: names.clone() }, None),
        (Request::Resolve { id: 1, resolution: rollback() }, Some(Allow::Rollback)),
        (Request::TryResolve { id: 1, resolution: rollback() }, Some(Allow::Rollback)),
        (Request::Resolve { id: 1, resolution: aside }, Some(Allow::Rename)),
        (Request::Rename { id: 1, rename }, Some(Allow::Rename)),
        (Request::Prune { id: 1, dataset: x.clone(), snapshots, dry_run: false }, Some(Allow::Destroy)),
        (Request::Destroy { id: 1, dataset: x.clone(), snapshots: vec![] }, Some(Allow::Destroy)),
        (Request::TryDestroy { id: 1, dataset: x.clone(), snapshots: vec![] }, Some(Allow::Destroy)),
        (Request::Content { id: 1, reading }, Some(Allow::Verify)),
    ]
}

#[test]
fn each_request_stays_within_the_roots_and_needs_its_permission() {
    let receiver = |allow: &[Allow]| Config { roots: vec![dataset("b/x")], allow: allow.to_vec(), ..Config::default() };
    let refused = |config: &Config, request: &Request| match guard::request(config, request) {
        Ok(()) => false,
        Err(why) => {
            assert_eq!(why.refusal, Refusal::NotAllowed, "{request:?}");
            true
        }
    };
    for outside in ["b/xx", "b/secret", "a/x"] {
        for (request, _) in requests(outside) {
            assert!(refused(&receiver(&Allow::OF_A_TARGET), &request), "{request:?}");
        }
    }
    for (request, needs) in requests("b/x/in") {
        for allowed in Allow::OF_A_TARGET {
            let expected = needs.is_some_and(|needed| needed != allowed);
            assert_eq!(refused(&receiver(&[allowed]), &request), expected, "{request:?} with {allowed:?}");
        }
        assert_eq!(refused(&receiver(&[]), &request), needs.is_some(), "{request:?}");
        // A source's helper only looks.
        let sender = Config { side: Side::Sender, ..receiver(&[Allow::Verify]) };
        let both = matches!(request, Request::Content { .. } | Request::Examine { .. });
        assert_eq!(refused(&sender, &request), !both, "{request:?}");
    }
    // The root itself stays, whatever is allowed.
    let all = receiver(&Allow::OF_A_TARGET);
    for (request, _) in requests("b/x") {
        let (moves, goes) = match &request {
            Request::Rename { .. } => (true, false),
            Request::Resolve { resolution, .. } => (matches!(resolution, Resolution::SetAside { .. }), false),
            request => (false, matches!(request, Request::Destroy { .. } | Request::TryDestroy { .. })),
        };
        assert_eq!(refused(&all, &request), moves || goes, "{request:?}");
    }
    let replace = Resolution::Replace { dataset: dataset("b/x"), loses: vec![], whole: false };
    assert!(refused(&all, &Request::Resolve { id: 1, resolution: replace }));
    // What is above it may be known to exist, and no more.
    let note = |name: &str| Request::Note { id: 1, note: Note::MissingSince, value: None, names: vec![name.into()] };
    // A line feed would forge the note of another dataset.
    let (names, value) = (vec!["b/x/in".into()], Some("1\nb/x/own\tzfsync:received\t1".into()));
    assert!(refused(&all, &Request::Note { id: 1, note: Note::MissingSince, value, names }));
    assert!(!refused(&all, &Request::Probe { id: 1, dataset: dataset("b") }));
    assert!(refused(&all, &note("b")) && !refused(&all, &note("b/x/in")) && refused(&receiver(&[]), &note("b/x/in")));
}

//! What a source's helper writes into the system's log, hands to ZFS, and tells of a pool's history.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fake::Session;
use super::fake_source::guid_of;
use super::guard::Chronicle;
use super::sender_tests::{ask, dataset, sender, snapshot, token};
use super::syslog::Syslog;
use super::{Config, Side};
use zfs::name::{Guid, ResumeToken, Txg};
use zfs::{Allow, Happened, Query, Record, Refusal, StreamSpec, Token};

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

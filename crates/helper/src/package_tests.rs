//! Packages in a session: one receive for each stream in it, told as one; and nothing of what is refused.

use std::sync::atomic::Ordering;

use super::Config;
use super::fake::{Session, begin, receive};
use crate::wire::{FrameKind, Reply, Request};
use zfs::name::Guid;
use zfs::record::{Begin, HeaderType, SIZE};
use zfs::{Allow, Brings, Receive, Refusal};

fn end() -> Vec<u8> {
    let mut record = vec![0; SIZE];
    record[0] = 5;
    record
}

/// A stream in a package; the fake host takes it for complete as its last bytes say so.
fn part(from: u64, to: u64, name: &str) -> Vec<u8> {
    // WRITE with 3 bytes of content, then an END record that ends in the fake's own mark.
    let content = super::tests::write(3);
    let mut end = end();
    end[SIZE - 3..].copy_from_slice(b"end");
    [&Begin { to: Guid(to), ..begin(Some(Guid(from)), name) }.to_bytes()[..], &content, b"abc", &end].concat()
}

fn header() -> Vec<u8> {
    let header = Begin { header: HeaderType::Package, kind: None, to: Guid(0), ..begin(None, "p/x@c") };
    [&header.to_bytes()[..], &end()].concat()
}

fn package(dataset: &str) -> Request {
    Request::Receive { id: 1, receive: Receive { brings: Brings::Snapshots, ..receive(dataset) } }
}

/// The names that the receives were given, in order.
fn began(session: &Session) -> Vec<String> {
    session.host.began.lock().unwrap().clone()
}

#[test]
fn each_stream_of_a_package_gets_a_receive_and_the_sender_one_answer() {
    let mut session = Session::start(Config::default());
    session.request(&package("b/settle"));
    session.data(&[header(), part(1, 2, "p/x@a"), part(2, 3, "p/x@b"), part(3, 4, "p/x@c"), end()].concat());
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, None));
    assert_eq!(began(&session), ["b/settle@a", "b/settle@b", "b/settle@c"]);
    // The next stream is none of its.
    session.receive(2, "b/x");
    session.data(&super::tests::stream(10));
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (2, None));
    session.close().unwrap();
}

#[test]
fn a_package_passes_whole_where_that_is_allowed() {
    let mut session = Session::start(Config { allow: vec![Allow::Packages], ..Config::default() });
    session.request(&package("b/x"));
    let mut last = end();
    last[SIZE - 3..].copy_from_slice(b"end");
    let bytes = [header(), part(1, 2, "p/x@a"), part(2, 3, "p/x@b"), last].concat();
    session.data(&bytes);
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, None));
    assert_eq!(began(&session), ["b/x"]);
    assert_eq!(session.host.received.lock().unwrap()["b/x"], bytes.len());
    session.close().unwrap();
}

#[test]
fn a_receive_that_fails_ends_its_package() {
    let mut session = Session::start(Config::default());
    session.request(&package("b/refuse"));
    session.data(&[header(), part(1, 2, "p/x@a"), part(2, 3, "p/x@b"), end()].concat());
    session.mark(FrameKind::End);
    assert_eq!(session.done(), (1, Some(Refusal::Modified)));
    // Whether the second one was started is a matter of time; it got nothing.
    session.close().unwrap();
    assert!(session.host.received.lock().unwrap().is_empty());
}

#[test]
fn what_is_refused_is_told_and_what_came_before_it_stays() {
    for bad in [part(7, 8, "p/x@b"), part(2, 3, "p/y@b"), vec![0; SIZE], header()] {
        let mut session = Session::start(Config::default());
        session.request(&package("b/x"));
        session.data(&[header(), part(1, 2, "p/x@a"), bad].concat());
        assert_eq!(session.done(), (1, Some(Refusal::UnexpectedStream)));
        session.data(&part(2, 3, "p/x@b"));
        session.mark(FrameKind::Abort);
        session.receive(2, "b/x");
        session.data(&super::tests::stream(10));
        session.mark(FrameKind::End);
        assert_eq!(session.done(), (2, None));
        assert_eq!(began(&session), ["b/x@a", "b/x@s"]);
        session.close().unwrap();
    }
}

#[test]
fn a_package_without_its_end_or_that_is_aborted_is_a_failure() {
    let (one, two) = (part(1, 2, "p/x@a"), part(2, 3, "p/x@b"));
    for (bytes, mark) in [
        ([header(), one.clone(), two.clone()].concat(), FrameKind::End),
        ([header(), one.clone(), two.clone(), end()].concat(), FrameKind::Abort),
        ([header(), one.clone(), two[..SIZE + 5].to_vec()].concat(), FrameKind::End),
        ([header(), one[..SIZE + 5].to_vec()].concat(), FrameKind::Abort),
        (header(), FrameKind::End),
        (header()[..9].to_vec(), FrameKind::Abort),
        (Vec::new(), FrameKind::End),
    ] {
        let mut session = Session::start(Config::default());
        session.request(&package("b/x"));
        session.data(&bytes);
        session.mark(mark);
        assert_eq!(session.done(), (1, Some(Refusal::Stream)), "{} bytes, {mark:?}", bytes.len());
        session.close().unwrap();
    }
}

#[test]
fn a_refused_stream_starts_nothing_that_it_could_reach() {
    // Forced receives are started only when a stream has begun that may replace what is there.
    let mut session = Session::start(Config::default());
    let into = Receive { into_empty: true, ..receive("b/empty") };
    session.request(&Request::Receive { id: 1, receive: into });
    session.data(&header());
    let Some(Reply::Done { failure: Some(failure), .. }) = session.reply() else { panic!("it was taken") };
    assert_eq!(failure.refusal, Refusal::UnexpectedStream);
    assert!(failure.words.contains("the stream for b/empty: it is a package of several streams"), "{}", failure.words);
    session.mark(FrameKind::Abort);
    session.close().unwrap();
    assert!(began(&session).is_empty());
}

#[test]
fn what_is_replaced_is_looked_at_again_before_the_end() {
    let mut session = Session::start(Config::default());
    session.request(&Request::Receive { id: 1, receive: Receive { into_empty: true, ..receive("b/empty") } });
    session.data(&begin(None, "p/x@s").to_bytes());
    while began(&session).is_empty() {
        std::thread::yield_now();
    }
    // Somebody uses it meanwhile.
    *session.host.filled_meanwhile.lock().unwrap() = true;
    session.data(&end());
    assert_eq!(session.done(), (1, Some(Refusal::Exists)));
    session.mark(FrameKind::End);
    session.close().unwrap();
    assert!(session.host.received.lock().unwrap().is_empty());
}

#[test]
fn a_receive_that_ends_before_its_stream_is_a_failure_of_the_package() {
    let whole = part(1, 2, "p/x@a");
    let (begin, records) = whole.split_at(SIZE);
    // What it no longer takes is a record in the middle, or the last one of its stream.
    for rest in [records, &end()] {
        let mut session = Session::start(Config::default());
        session.request(&package("b/early"));
        session.data(&[header(), begin.to_vec()].concat());
        while began(&session).is_empty() || session.host.running.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        session.data(rest);
        session.data(&[part(2, 3, "p/x@b"), end()].concat());
        session.mark(FrameKind::End);
        assert_eq!(session.done(), (1, Some(Refusal::Stream)));
        assert_eq!(began(&session), ["b/early@a"]);
        session.close().unwrap();
    }
}

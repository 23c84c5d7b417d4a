//! Streams that leave: whole, failed, unwanted, several, with answers between their frames, and for nobody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fake::{FakeHost, Session, Shared, nowhere, piped, receive};
use super::fake_source::WHOLE;
use super::sender_tests::send_of;
use super::{Config, HelperError, Side, serve};
use crate::wire::{self, FrameKind, Header, Reply, Request};
use zfs::name::DatasetName;
use zfs::{Allow, Answer, Ended, Host, Query, Refusal, StreamSpec};

fn sender() -> Session {
    Session::start(Config { side: Side::Sender, ..Config::default() })
}

impl Session {
    fn stream(&mut self, id: u64, dataset: &str) {
        self.request(&Request::Stream { id, stream: send_of(dataset), per_second: None });
    }

    fn ask_names(&mut self, id: u64) {
        self.request(&Request::Query { id, query: Query::Names });
    }

    /// The next frame, whichever; `None` at the end of the session.
    fn frame(&mut self) -> Option<Said> {
        let output = self.output.as_mut().unwrap();
        let Header { kind, len } = Header::read(output).unwrap()?;
        let body = wire::read_bytes(output, len).unwrap();
        Some(match kind {
            FrameKind::Reply => Said::Reply(wire::parse_body(&body).unwrap()),
            FrameKind::Data => Said::Data(body),
            FrameKind::Ping => return self.frame(),
            mark => Said::Mark(mark),
        })
    }

    /// Everything up to the end of so many streams, whatever that is.
    fn until_over(&mut self, streams: usize) -> Vec<Said> {
        let (mut all, mut over) = (Vec::new(), 0);
        while over < streams {
            let said = self.frame().expect("the session goes on");
            over += usize::from(matches!(said, Said::Reply(Reply::Ended { .. })));
            all.push(said);
        }
        all
    }

    fn send_runs(&self) -> usize {
        self.host.streamed.1.load(Ordering::SeqCst)
    }
}

#[derive(Debug, PartialEq)]
enum Said {
    Reply(Reply),
    Data(Vec<u8>),
    Mark(FrameKind),
}

/// The stream of this number, in what was said: its bytes, its mark and its end. Nothing else is within it but answers.
#[track_caller]
fn stream_in(said: &[Said], id: u64) -> (Vec<u8>, FrameKind, Ended) {
    let place = |wanted: &dyn Fn(&Reply) -> bool| {
        said.iter().position(|said| matches!(said, Said::Reply(reply) if wanted(reply))).expect("it is there")
    };
    let begin = place(&|reply| *reply == Reply::Begin { id });
    let end = place(&|reply| matches!(reply, Reply::Ended { id: ended, .. } if *ended == id));
    let (mut bytes, mut mark) = (Vec::new(), None);
    for said in &said[begin + 1..end] {
        match said {
            Said::Data(data) => {
                assert_eq!(mark, None, "nothing comes behind the mark");
                bytes.extend(data);
            }
            Said::Mark(kind) => assert_eq!(mark.replace(*kind), None),
            Said::Reply(Reply::Begin { .. } | Reply::Ended { .. }) => panic!("another stream within it"),
            Said::Reply(Reply::Estimated { id: of, .. }) => assert_eq!(*of, id),
            Said::Reply(_) => {}
        }
    }
    let Said::Reply(Reply::Ended { ended, .. }) = &said[end] else { unreachable!() };
    (bytes, mark.expect("a mark"), ended.clone())
}

fn bytes_of(name: &str) -> Vec<u8> {
    name.bytes().cycle().take(WHOLE).collect()
}

#[test]
fn a_stream_comes_whole() {
    let mut session = sender();
    session.stream(1, "b/plain");
    let said = session.until_over(1);
    assert!(said.contains(&Said::Reply(Reply::Estimated { id: 1, total: 300_000 })));
    assert_eq!(stream_in(&said, 1), (bytes_of("b/plain"), FrameKind::End, Ended::default()));
    session.close().unwrap();
}

#[test]
fn a_stream_comes_no_faster_than_it_is_asked_for() {
    let mut session = sender();
    let per_second = std::num::NonZeroU64::new(500_000);
    let started = Instant::now();
    session.request(&Request::Stream { id: 1, stream: send_of("b/plain"), per_second });
    // Answers don't wait for it.
    session.ask_names(2);
    let said = session.until_over(1);
    // The last portion, of 50,000 bytes, goes when all before it are paid for; a moment is made good.
    assert!(started.elapsed() >= Duration::from_millis(450), "{:?}", started.elapsed());
    assert_eq!(stream_in(&said, 1), (bytes_of("b/plain"), FrameKind::End, Ended::default()));
    let place = |wanted: &dyn Fn(&Said) -> bool| said.iter().position(wanted).unwrap();
    let answered = place(&|said| matches!(said, Said::Reply(Reply::Done { id: 2, .. })));
    assert!(answered < place(&|said| matches!(said, Said::Mark(_))));
    session.close().unwrap();
}

#[test]
fn how_a_process_ended_is_told() {
    let ended = |words: &str, status: &str, killed| Ended { words: words.into(), status: Some(status.into()), killed };
    let fails = ended("cannot send: nothing there", "exit status: 1", false);
    let middle = ended("warning: cannot send: I/O error", "exit status: 1", false);
    for (dataset, bytes, told) in
        [("b/fails", 0, fails), ("b/middle", 100, middle), ("b/killed", 100, ended("", "signal: 9 (SIGKILL)", true))]
    {
        let mut session = sender();
        session.stream(1, dataset);
        let (had, mark, ended) = stream_in(&session.until_over(1), 1);
        // All of what it gave has come: what that is worth its end tells.
        assert_eq!((had.len(), mark, ended), (bytes, FrameKind::End, told), "{dataset}");
        session.stream(2, "b/plain");
        assert_eq!(stream_in(&session.until_over(1), 2).1, FrameKind::End, "the next one is as good as ever");
        session.close().unwrap();
    }
    let mut session = sender();
    session.stream(1, "b/unheld");
    let words = stream_in(&session.until_over(1), 1).2.words;
    assert!(words.starts_with("cannot hold: permission denied\nroot on the source's host can delegate"), "{words}");
    assert!(words.ends_with(" send,hold,bookmark,destroy,mount,userprop 'b/unheld'"), "{words}");
    session.close().unwrap();
    let mut session = sender();
    session.stream(1, "b/cant");
    let Some(Reply::Done { id: 1, failure: Some(failure), .. }) = session.reply() else { panic!() };
    assert_eq!(failure.refusal, Refusal::Permission);
    assert!(!failure.words.contains("target"), "{}", failure.words);
    session.close().unwrap();
}

#[test]
fn two_streams_come_one_after_the_other() {
    let mut session = sender();
    session.stream(1, "b/one");
    session.stream(2, "b/two");
    let said = session.until_over(2);
    assert_eq!(stream_in(&said, 1), (bytes_of("b/one"), FrameKind::End, Ended::default()));
    assert_eq!(stream_in(&said, 2), (bytes_of("b/two"), FrameKind::End, Ended::default()));
    session.close().unwrap();
}

#[test]
fn answers_go_between_the_frames_of_a_stream_that_nobody_reads() {
    let unread = Some(Duration::from_millis(300));
    let mut session = Session::start(Config { side: Side::Sender, unread, ..Config::default() });
    session.stream(1, "b/endless");
    for id in 10..16 {
        session.ask_names(id);
    }
    // Much longer than anybody may be silent who carries nothing.
    for _ in 0..12 {
        thread::sleep(Duration::from_millis(100));
        session.mark(FrameKind::Ping);
    }
    let mut answered = Vec::new();
    while answered.len() < 6 {
        match session.frame().expect("the session goes on") {
            Said::Reply(Reply::Done { id, failure: None, .. }) => answered.push(id),
            Said::Reply(Reply::Answer { part, .. }) => {
                assert!(matches!(part, Answer::Names(names) if names.len() == 6));
            }
            Said::Reply(Reply::Begin { id: 1 } | Reply::Estimated { id: 1, .. }) | Said::Data(_) => {}
            other => panic!("{other:?}"),
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, (10..16).collect::<Vec<_>>());
    session.request(&Request::Cancel { id: 1 });
    while session.frame() != Some(Said::Mark(FrameKind::Abort)) {}
    let stopped = Ended { words: "stopped".into(), status: Some("stopped".into()), killed: false };
    assert_eq!(session.frame(), Some(Said::Reply(Reply::Ended { id: 1, ended: stopped })));
    session.close().unwrap();
    assert_eq!(session.send_runs(), 0);
}

#[test]
fn the_end_of_a_stream_waits_for_its_reader() {
    let unread = Some(Duration::from_millis(300));
    for _ in 0..3 {
        let mut session = Session::start(Config { side: Side::Sender, unread, ..Config::default() });
        session.stream(1, "b/plain");
        let began = Instant::now();
        let mut all = Vec::new();
        // Whoever takes it is slow to the very end.
        loop {
            if began.elapsed() < Duration::from_secs(2) {
                thread::sleep(Duration::from_millis(200));
            }
            session.mark(FrameKind::Ping);
            let said = session.frame().expect("the session goes on");
            let over = matches!(said, Said::Reply(Reply::Ended { .. }));
            all.push(said);
            if over {
                break;
            }
        }
        assert_eq!(stream_in(&all, 1).1, FrameKind::End);
        session.close().unwrap();
    }
}

#[test]
fn without_a_stream_whoever_reads_nothing_is_given_up() {
    let unread = Some(Duration::from_millis(300));
    // Together more than its pipe holds.
    let names: Vec<String> = (0..4500).map(|n| format!("b/{}@{n}", "a-name-that-is-long-enough-".repeat(8))).collect();
    // With one question nothing waits for room, so the next frame has to tell.
    for questions in [1, 4] {
        let mut session = Session::start(Config { side: Side::Sender, unread, ..Config::default() });
        // It may be gone before the last of them is written.
        for id in 0..questions {
            session.request_or_gone(&Request::Query { id, query: Query::Dates { names: names.clone() } });
        }
        let began = Instant::now();
        // It doesn't even wait for the end of our requests.
        while wire::write_mark(session.input.as_mut().unwrap(), FrameKind::Ping).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is still there after {questions}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Session {
    fn request_or_gone(&mut self, request: &Request) {
        let _ = wire::write_message(self.input.as_mut().unwrap(), FrameKind::Request, request);
    }
}

#[test]
fn a_stream_can_be_given_up() {
    for dataset in ["b/endless", "b/stuck"] {
        let mut session = sender();
        session.stream(1, dataset);
        while !matches!(session.frame(), Some(Said::Data(_))) {}
        for id in [1, 1, 99] {
            session.request(&Request::Cancel { id });
        }
        let mut mark = None;
        let ended = loop {
            match session.frame().expect("the session goes on") {
                Said::Mark(kind) => mark = Some(kind),
                Said::Reply(Reply::Ended { id: 1, ended }) => break ended,
                Said::Reply(Reply::Estimated { .. }) | Said::Data(_) => {}
                other @ Said::Reply(_) => panic!("{other:?}"),
            }
        };
        assert_eq!((mark, ended.status.as_deref()), (Some(FrameKind::Abort), Some("stopped")), "{dataset}");
        assert_eq!(session.send_runs(), 0, "{dataset}");
        // One that is over can't be given up, and the next one knows nothing of it.
        session.request(&Request::Cancel { id: 1 });
        session.stream(2, "b/plain");
        assert_eq!(stream_in(&session.until_over(1), 2).1, FrameKind::End);
        session.close().unwrap();
    }
}

#[test]
fn a_stream_that_waits_can_be_given_up_and_never_begins() {
    let mut session = sender();
    session.stream(1, "b/stuck");
    while !matches!(session.frame(), Some(Said::Data(_))) {}
    for id in 2..5 {
        session.stream(id, "b/plain");
    }
    for id in [3, 1] {
        session.request(&Request::Cancel { id });
    }
    let (mut begun, mut refused) = (Vec::new(), Vec::new());
    while begun.len() + refused.len() < 3 {
        match session.frame().expect("the session goes on") {
            Said::Reply(Reply::Begin { id }) => begun.push(id),
            Said::Reply(Reply::Done { id, failure: Some(failure), .. }) => refused.push((id, failure.words)),
            _ => {}
        }
    }
    begun.sort_unstable();
    assert_eq!((begun, refused), (vec![2, 4], vec![(3, "stopped".to_owned())]));
    assert_eq!(session.host.streamed.0.lock().unwrap().len(), 3);
    drop(session.output.take());
    let _ = session.close();
}

#[test]
fn a_client_that_leaves_in_mid_stream_leaves_nothing_behind() {
    for dataset in ["b/endless", "b/stuck"] {
        for reads_no_more in [false, true] {
            let mut session = sender();
            session.stream(1, dataset);
            session.stream(2, dataset);
            while !matches!(session.frame(), Some(Said::Data(_))) {}
            assert_eq!(session.send_runs(), 1);
            let began = Instant::now();
            if reads_no_more {
                session.output = None;
            }
            session.close().unwrap();
            assert!(began.elapsed() < Duration::from_secs(15), "{dataset}: {:?}", began.elapsed());
            assert_eq!(session.send_runs(), 0, "{dataset}");
            assert_eq!(session.host.streamed.0.lock().unwrap().len(), 1, "the other one never began");
        }
    }
}

#[test]
fn a_client_that_only_stops_reading_ends_the_session() {
    let mut session = sender();
    session.stream(1, "b/endless");
    while !matches!(session.frame(), Some(Said::Data(_))) {}
    session.output = None;
    let input = session.input.take();
    session.close().unwrap();
    drop(input);
    assert_eq!(session.send_runs(), 0);
}

#[test]
fn a_session_has_so_many_streams_and_each_its_own_number() {
    let mut session = sender();
    for id in 0..64 {
        session.stream(id, "b/stuck");
    }
    session.ask_names(100);
    while !matches!(session.frame().unwrap(), Said::Reply(Reply::Done { id: 100, failure: None, .. })) {}
    session.stream(64, "b/stuck");
    assert!(matches!(session.close(), Err(HelperError::Order("too many streams"))));
    assert_eq!(session.send_runs(), 0);
    // Whoever gives two streams one number could have any number of them.
    let mut session = sender();
    session.stream(1, "b/stuck");
    session.stream(1, "b/stuck");
    assert!(matches!(session.close(), Err(HelperError::Order("a stream with the number of another"))));
    assert_eq!(session.send_runs(), 0);
}

/// Serves these bytes as the host of a source, with leave to do everything below `b/x`.
fn run(bytes: Vec<u8>) -> Result<(), HelperError> {
    let host = Arc::new(FakeHost::default());
    let own: Arc<dyn Host> = Arc::new(Shared(Arc::clone(&host)));
    let started = Instant::now();
    let root: DatasetName = "b/x".parse().unwrap();
    let allow = vec![Allow::Rollback, Allow::Rename, Allow::Destroy, Allow::Snapshot];
    let config = Config { roots: vec![root.clone()], allow, side: Side::Sender, ..Config::default() };
    let served = serve(config, piped(bytes).into(), nowhere().into(), own);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(host.streamed.1.load(Ordering::SeqCst), 0);
    assert_eq!(host.touched(), Vec::<String>::new());
    for name in host.streamed.0.lock().unwrap().iter() {
        assert!(name.parse::<DatasetName>().unwrap().is_within(&root), "{name:?}");
    }
    let queried = format!("{:?}", host.queried.lock().unwrap());
    assert!(!queried.contains("\"b/s") && !queried.contains("\"c"), "{queried}");
    served
}

/// A sensible session, as bytes.
fn sensible() -> Vec<u8> {
    let mut bytes = Vec::new();
    let x = || "b/x".parse::<DatasetName>().unwrap();
    for request in [
        Request::Query { id: 1, query: Query::Find { names: vec!["b/x@s".into(), "b/x/y#m".into()] } },
        Request::Stream { id: 2, stream: send_of("b/x/plain"), per_second: None },
        Request::Query {
            id: 3,
            query: Query::Snapshot {
                datasets: vec![x()],
                name: "s".parse().unwrap(),
                recursive: true,
                taken_here: false,
            },
        },
        Request::Stream { id: 4, stream: StreamSpec::List { dataset: x(), depth: None }, per_second: None },
        Request::Stream { id: 5, stream: send_of("b/x/stuck"), per_second: None },
        Request::Query { id: 6, query: Query::Names },
        Request::Cancel { id: 5 },
        Request::Stream { id: 7, stream: send_of("b/x/fails"), per_second: None },
    ] {
        wire::write_message(&mut bytes, FrameKind::Request, &request).unwrap();
    }
    wire::write_mark(&mut bytes, FrameKind::Ping).unwrap();
    bytes
}

#[test]
fn the_sensible_session_is_sensible() {
    run(sensible()).unwrap();
}

#[test]
fn what_is_out_of_order_ends_the_session() {
    let mut receive_bytes = Vec::new();
    let request = Request::Receive { id: 1, receive: receive("b/x") };
    wire::write_message(&mut receive_bytes, FrameKind::Request, &request).unwrap();
    let mark = |kind| Header { kind, len: 0 }.encode().to_vec();
    for bytes in [
        mark(FrameKind::Data),
        mark(FrameKind::End),
        mark(FrameKind::Abort),
        mark(FrameKind::Reply),
        receive_bytes,
        b"SSH-2.0-nonsense\n".to_vec(),
        vec![0xff; 100],
        [&[0, 0, 0, 20, 1, 0, 0, 0], &b"{}"[..]].concat(),
    ] {
        assert!(run(bytes.clone()).is_err(), "{bytes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::damage_tests::runs(), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end_the_session(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = run(bytes);
    }

    #[test]
    fn a_damaged_session_ends(damage in super::damage_tests::any_damage()) {
        let _ = run(damage.done_to(sensible()));
    }
}

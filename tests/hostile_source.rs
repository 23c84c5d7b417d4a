//! Hosts of a source that lie: what they say in place of a stream or an answer ends in time, with an error that names the host, and
//! never looks like a complete stream.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use helper::wire::{self, FrameKind, HEADER, Header, MAX_CONTROL, Reply, Request, write_message};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use zfs::name::DatasetName;
use zfs::{Answer, Ended, Failure, Hello, Most, Property, Query, Refusal, StreamSpec, read_source_within};
use zfsync::remote::client::{Channel, ChannelEvent, FromChannel, HelperError, Report};

const LIMIT: Duration = Duration::from_secs(30);

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

fn list() -> StreamSpec {
    StreamSpec::List { dataset: dataset("a/s"), depth: None }
}

/// A channel to a helper whose part a function plays, once it has greeted.
fn play(
    part: impl FnOnce(&mut dyn Read, &mut dyn Write) + Send + 'static,
) -> (Channel, UnboundedReceiver<FromChannel>) {
    let (mut stdin, ours_in) = io::pipe().unwrap();
    let (ours_out, mut stdout) = io::pipe().unwrap();
    let (ours_err, stderr) = io::pipe().unwrap();
    thread::spawn(move || {
        let _stderr = stderr;
        let hello = Hello { version: "1".into(), host: "alpha".into(), ..Hello::default() };
        stdout.write_all(wire::greeting(&hello).unwrap().as_bytes()).unwrap();
        part(&mut stdin, &mut stdout);
    });
    let (tell, events) = unbounded_channel();
    let ends = [OwnedFd::from(ours_in), ours_out.into(), ours_err.into()];
    (Channel::over(1, ends, "alpha", tell).unwrap(), events)
}

/// The next request.
fn request(input: &mut dyn Read) -> Option<Request> {
    loop {
        let mut header = [0; HEADER];
        input.read_exact(&mut header).ok()?;
        let Header { kind, len } = Header::decode(header).unwrap();
        let mut body = vec![0; len];
        input.read_exact(&mut body).ok()?;
        if kind == FrameKind::Request {
            return Some(wire::parse_body(&body).unwrap());
        }
    }
}

/// How the channel ended.
fn closed(events: &mut UnboundedReceiver<FromChannel>) -> HelperError {
    let began = Instant::now();
    loop {
        match events.try_recv() {
            Ok(FromChannel { event: ChannelEvent::Closed(error), .. }) => return error,
            Ok(_) => {}
            Err(_) => {
                assert!(began.elapsed() < LIMIT, "the channel hangs");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

fn reply(reply: &Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_message(&mut bytes, FrameKind::Reply, reply).unwrap();
    bytes
}

fn mark(kind: FrameKind) -> Vec<u8> {
    Header { kind, len: 0 }.encode().to_vec()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    [&Header { kind: FrameKind::Data, len: bytes.len() }.encode()[..], bytes].concat()
}

fn begin(id: u64) -> Vec<u8> {
    reply(&Reply::Begin { id })
}

fn ended(id: u64) -> Vec<u8> {
    reply(&Reply::Ended { id, ended: Ended::default() })
}

fn done(id: u64, failure: Option<Failure>) -> Vec<u8> {
    reply(&Reply::Done { id, failure, warning: None })
}

/// What is told beside a stream, to its end. Whether all of it has come is in it.
/// What is reported of a stream, beside that it has begun.
fn told(reports: &Receiver<Report>) -> Vec<Report> {
    let mut all = Vec::new();
    loop {
        match reports.recv_timeout(LIMIT) {
            Ok(Report::Begun) => {}
            Ok(report) => all.push(report),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => panic!("nobody tells the end"),
        }
    }
}

fn is_complete(reports: &[Report]) -> bool {
    reports.iter().any(|report| matches!(report, Report::Ended(Ended { status: None, .. }, true)))
}

/// What came of a stream that a helper answers with these bytes, and then nothing more.
fn streamed(said: impl FnOnce(u64) -> Vec<u8> + Send + 'static) -> (Vec<u8>, Vec<Report>, HelperError) {
    let (channel, mut events) = play(move |input, output| {
        let id = request(input).unwrap().id();
        let _ = output.write_all(&said(id));
    });
    let (output, reports, _) = channel.ask_stream(list(), None).unwrap();
    let mut bytes = Vec::new();
    File::from(output).read_to_end(&mut bytes).unwrap();
    (bytes, told(&reports), closed(&mut events))
}

type Said = fn(u64) -> Vec<u8>;
type Line = fn(usize) -> String;

#[test]
fn a_stream_out_of_order_is_never_complete() {
    let lines = b"a/s\t1\t1\n";
    assert_eq!(lines.len(), 8);
    let cases: [(&str, Said, &str); 18] = [
        ("data without a beginning", |_| data(b"a/s\t1\t1\n"), "not requested"),
        ("an end without a beginning", |_| mark(FrameKind::End), "not requested"),
        ("the beginning of another", |id| begin(id + 1), "was not made"),
        ("two beginnings", |id| [begin(id), begin(id)].concat(), "a stream within a stream"),
        (
            "a second beginning behind the end",
            |id| [begin(id), mark(FrameKind::End), begin(id)].concat(),
            "doesn't match the request",
        ),
        (
            "data behind the end",
            |id| [begin(id), data(b"x"), mark(FrameKind::End), data(b"y")].concat(),
            "not requested",
        ),
        ("two ends", |id| [begin(id), mark(FrameKind::End), mark(FrameKind::End)].concat(), "not requested"),
        ("over before its end", |id| [begin(id), data(b"x"), ended(id)].concat(), "without its end marker"),
        ("over before its beginning", ended, "doesn't match the request"),
        ("an end, and nothing more", |id| [begin(id), data(b"x"), mark(FrameKind::End)].concat(), "was lost"),
        ("through without an end", |id| done(id, None), "without its end"),
        (
            "refused while it comes",
            |id| [begin(id), data(b"x"), done(id, Some(Failure::new(Refusal::Other, "no")))].concat(),
            "without its end marker",
        ),
        ("an estimate before it begins", |id| reply(&Reply::Estimated { id, total: 1 }), "doesn't match the request"),
        (
            "endless estimates",
            |id| [begin(id), reply(&Reply::Estimated { id, total: 1 }).repeat(1000)].concat(),
            "too many estimates",
        ),
        (
            "a huge data frame",
            |id| [begin(id), vec![0, 0x20, 0, 0, 2, 0, 0, 0], vec![0; 100]].concat(),
            "at most 1048576 are allowed",
        ),
        ("a huge message", |_| vec![0xff, 0, 0, 0, 5, 0, 0, 0], "at most 1048576 are allowed"),
        (
            "cut in the middle of a frame",
            |id| {
                let data = data(&[7; 5000]);
                [begin(id), data[..2000].to_vec()].concat()
            },
            "was lost",
        ),
        ("cut in the middle of a header", |id| [begin(id), vec![0, 0, 0]].concat(), "was lost"),
    ];
    for (what, said, words) in cases {
        let (_, reports, error) = streamed(said);
        assert!(!is_complete(&reports), "{what}: {reports:?}");
        let error = error.to_string();
        assert!(error.contains("alpha") && error.contains(words), "{what}: {error}");
    }
}

#[test]
fn a_stream_that_is_given_up_is_not_complete() {
    let (bytes, reports, _) = streamed(|id| [begin(id), data(b"x"), mark(FrameKind::Abort), ended(id)].concat());
    assert_eq!(bytes, b"x");
    assert!(matches!(&reports[..], [Report::Ended(Ended { status: None, .. }, false)]), "{reports:?}");
}

#[test]
fn an_end_is_told_once() {
    let (bytes, reports, error) = streamed(|id| {
        let whole = [begin(id), data(b"x"), mark(FrameKind::End), ended(id)].concat();
        [whole, ended(id)].concat()
    });
    assert_eq!((bytes.as_slice(), reports.len()), (&b"x"[..], 1));
    assert!(error.to_string().contains("it answers a request that was not made"), "{error}");
}

#[test]
fn another_stream_does_not_get_what_is_not_its() {
    let (channel, mut events) = play(|input, output| {
        let [one, two] = [request(input).unwrap().id(), request(input).unwrap().id()];
        let _ = output.write_all(&[begin(one), data(b"one"), begin(two), data(b"two")].concat());
    });
    let (first, of_first, _) = channel.ask_stream(list(), None).unwrap();
    let (second, of_second, _) = channel.ask_stream(list(), None).unwrap();
    let read = |output: OwnedFd| {
        let mut bytes = Vec::new();
        File::from(output).read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!((read(first), read(second)), (b"one".to_vec(), vec![]));
    assert!(!is_complete(&told(&of_first)) && !is_complete(&told(&of_second)));
    assert!(closed(&mut events).to_string().contains("a stream within a stream"));
}

#[test]
fn whoever_wants_no_more_of_a_stream_holds_nothing_up() {
    // An endless stream, with an answer in its middle; it ends only when it is told to.
    let (channel, mut events) = play(|input, output| {
        let id = request(input).unwrap().id();
        output.write_all(&begin(id)).unwrap();
        let block = data(&vec![7; 1 << 20]);
        // Nobody reads: these fill the pipe, and go through once it is dropped.
        for _ in 0..8 {
            output.write_all(&block).unwrap();
        }
        let Some(Request::Query { id: asked, .. }) = request(input) else { panic!() };
        output.write_all(&reply(&Reply::Answer { id: asked, part: Answer::Maybe(true) })).unwrap();
        output.write_all(&done(asked, None)).unwrap();
        assert_eq!(request(input), Some(Request::Cancel { id }));
        output.write_all(&[mark(FrameKind::Abort), ended(id)].concat()).unwrap();
        assert_eq!(request(input), None);
    });
    let (output, reports, id) = channel.ask_stream(list(), None).unwrap();
    let mut some = [0; 10];
    let mut output = File::from(output);
    output.read_exact(&mut some).unwrap();
    drop(output);
    let mut call = channel.call(|id| Request::Query { id, query: Query::Encrypted { pool: "a".into() } });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answer = runtime.block_on(async { tokio::time::timeout(LIMIT, call.next()).await.expect("in time") });
    assert!(matches!(answer, Ok(Reply::Answer { part: Answer::Maybe(true), .. })), "{answer:?}");
    channel.cancel_stream(id);
    assert!(matches!(&told(&reports)[..], [Report::Ended(_, false)]));
    drop(channel);
    assert!(matches!(closed(&mut events), HelperError::Lost { .. }));
}

#[test]
fn a_stream_of_a_channel_that_is_gone_ends_at_once() {
    let (channel, mut events) = play(|_, _| {});
    closed(&mut events);
    assert!(channel.is_closed());
    let (output, reports, _) = channel.ask_stream(list(), None).unwrap();
    assert_eq!(File::from(output).read(&mut [0; 1]).unwrap(), 0);
    assert!(told(&reports).is_empty());
}

/// All replies to this query from a helper that says `said` again and again, and how that ended.
fn asked(query: Query, said: impl Fn(u64) -> Vec<u8> + Send + 'static) -> (usize, HelperError, HelperError) {
    let (channel, mut events) = play(move |input, output| {
        let said = said(request(input).unwrap().id());
        while output.write_all(&said).is_ok() {}
    });
    let mut call = channel.call(|id| Request::Query { id, query });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (parts, lost) = runtime.block_on(async {
        let mut parts = 0;
        loop {
            match tokio::time::timeout(LIMIT, call.next()).await.expect("in time") {
                Ok(_) => parts += 1,
                Err(error) => return (parts, error),
            }
        }
    });
    (parts, lost, closed(&mut events))
}

#[test]
fn an_answer_that_is_longer_than_the_question_ends_the_channel() {
    let part = |part: Answer| move |id| reply(&Reply::Answer { id, part: part.clone() });
    let find = Query::Find { names: vec!["a/s@1".into(), "a/s@2".into()] };
    let (parts, lost, error) = asked(find.clone(), part(Answer::Dates(vec![("a/s@1".into(), 1)])));
    assert_eq!(parts, 3);
    for error in [lost, error] {
        assert!(error.to_string().contains("alpha") && error.to_string().contains("longer than"), "{error}");
    }
    // An empty part is one, too.
    let (parts, _, error) = asked(find, part(Answer::Found(vec![])));
    assert!(parts == 3 && error.to_string().contains("longer than"), "{parts}: {error}");
    // Few items, each of them long.
    let long = Property { on: dataset("a/s"), name: "x:y".into(), value: "v".repeat(8000) };
    let (parts, _, error) =
        asked(Query::Properties { dataset: dataset("a/s") }, part(Answer::Properties(vec![long; 100])));
    assert!(parts < 50 && error.to_string().contains("longer than"), "{parts}: {error}");
    let refused = Failure::new(Refusal::Other, &"w".repeat(8000));
    let drop = Query::DropBookmarks { bookmarks: vec![(dataset("a/s"), "m".parse().unwrap()); 2000] };
    let (parts, _, error) = asked(drop, part(Answer::Failures(vec![Some(refused); 100])));
    assert!(parts < 10 && error.to_string().contains("longer than"), "{parts}: {error}");
}

#[test]
fn an_answer_is_of_one_kind() {
    let (_, _, error) = asked(Query::Names, |id| {
        let parts = [Answer::Names(vec!["a".into()]), Answer::Dates(vec![])];
        parts.map(|part| reply(&Reply::Answer { id, part })).concat()
    });
    assert!(error.to_string().contains("alpha") && error.to_string().contains("two different types"), "{error}");
}

#[test]
fn an_answer_is_no_more_values_than_a_message_may_have() {
    let (_, _, error) = asked(Query::Names, |id| {
        let (head, tail) = (format!(r#"{{"answer":"answer","id":{id},"part":{{"kind":"names","of":["#), "\"a\"]}}");
        let names = "\"a\",".repeat((MAX_CONTROL - head.len() - tail.len()) / 4);
        let body = [head, names, tail.to_owned()].concat();
        [&Header { kind: FrameKind::Reply, len: body.len() }.encode()[..], body.as_bytes()].concat()
    });
    assert!(error.to_string().contains("at most 100000 are allowed"), "{error}");
}

#[test]
fn a_listing_is_of_the_source_and_no_longer_than_one_can_be() {
    let most = Most { datasets: 100, marks: 5000, text: 100_000 };
    let cases: [(&str, Line, &str); 9] = [
        ("another dataset", |_| "a/t\t1\t1\n".into(), "not below the source"),
        ("one above", |_| "a\t1\t1\n".into(), "not below the source"),
        ("a path", |_| "a/s/../t\t1\t1\n".into(), "not valid"),
        ("a blank line", |_| "\n".into(), "not three fields"),
        ("a tab in a name", |_| "a/s@x\ty\t1\t1\n".into(), "not three fields"),
        ("an odd name", |_| "a/s@\u{1b}[2J\t1\t1\n".into(), "not valid"),
        ("a line without an end", |_| "a".repeat(70_000), "too long"),
        ("snapshots without an end", |n| format!("a/s@{n}\t1\t1\n"), "too long"),
        ("datasets without an end", |n| format!("a/s/{n}\t1\t1\n"), "too long"),
    ];
    for (what, line, words) in cases {
        let (channel, mut events) = play(move |input, output| {
            let id = request(input).unwrap().id();
            output.write_all(&begin(id)).unwrap();
            for n in 0.. {
                if output.write_all(&data(line(n).as_bytes())).is_err() {
                    return;
                }
                // As much as no limit allows.
                if n == 6000 {
                    let _ = output.write_all(&[mark(FrameKind::Abort), ended(id)].concat());
                    return;
                }
            }
        });
        let (output, reports, id) = channel.ask_stream(list(), None).unwrap();
        let error = read_source_within(BufReader::new(File::from(output)), &dataset("a/s"), most).unwrap_err();
        assert!(error.to_string().contains(words), "{what}: {error}");
        channel.cancel_stream(id);
        drop(channel);
        // All that still came went nowhere.
        assert!(!is_complete(&told(&reports)));
        assert!(closed(&mut events).to_string().contains("alpha"));
    }
}

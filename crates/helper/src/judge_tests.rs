//! What a stream may be, for each kind of request; and that a judge never loses its place.

use proptest::prelude::*;

use super::super::fake::{begin, receive};
use super::*;

const LITTLE: ByteOrder = ByteOrder::Little;

/// A record of this type that has no content.
fn record(kind: u32, order: ByteOrder) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    bytes[..4].copy_from_slice(&if order == LITTLE { kind.to_le_bytes() } else { kind.to_be_bytes() });
    bytes
}

fn end(order: ByteOrder) -> [u8; SIZE] {
    record(5, order)
}

/// A WRITE record with its content.
fn write(order: ByteOrder, len: u64) -> Vec<u8> {
    let mut bytes = record(3, order).to_vec();
    for (at, number) in [(8, 1), (32, len.next_multiple_of(512)), (96, len)] {
        bytes[at..at + 8].copy_from_slice(&if order == LITTLE { number.to_le_bytes() } else { number.to_be_bytes() });
    }
    bytes[50] = 15;
    bytes.resize(SIZE + usize::try_from(len).unwrap(), b'c');
    bytes
}

fn header(order: ByteOrder, name: &str) -> Begin {
    Begin { order, header: HeaderType::Package, kind: None, to: Guid(0), ..begin(None, name) }
}

/// A stream in a package, from one guid to another.
fn inner(order: ByteOrder, name: &str, from: u64, to: u64) -> Begin {
    Begin { order, to: Guid(to), ..begin(Some(Guid(from)), name) }
}

/// What `zfs send -I` makes of two snapshots.
fn package(order: ByteOrder) -> Vec<u8> {
    let one = inner(order, "p/x@a", 1, 2).to_bytes();
    let two = inner(order, "p/x@b", 2, 3).to_bytes();
    let parts: [&[u8]; 11] = [
        &header(order, "p/x@b").to_bytes(),
        &end(order),
        &one,
        &write(order, 10_000),
        &record(4, order),
        &end(order),
        &two,
        &write(order, 512),
        &record(2, order),
        &end(order),
        &end(order),
    ];
    parts.concat()
}

fn several() -> Receive {
    Receive { brings: Brings::Snapshots, ..receive("b/x") }
}

/// What reaches each receive: the name that it was begun with, its bytes, and whether it was ended.
type Received = Vec<(Option<String>, Vec<u8>, bool)>;

/// Judges a stream that comes in portions of this size.
fn judge(receive: &Receive, packages: Packages, stream: &[u8], portion: usize) -> Result<(Received, bool), String> {
    let mut judge = Judge::new(receive, packages);
    let mut received: Received = Vec::new();
    for mut bytes in stream.chunks(portion) {
        while !bytes.is_empty() {
            let most = match judge.wants() {
                Wants::Bytes(most) => most,
                Wants::Pass(most) => usize::try_from(most).unwrap_or(usize::MAX),
                Wants::Rest => usize::MAX,
                Wants::Nothing => return Err("more than enough".into()),
            };
            assert!(most > 0);
            let (some, rest) = bytes.split_at(most.min(bytes.len()));
            bytes = rest;
            let act = if let Wants::Bytes(_) = judge.wants() {
                judge.read(some)?
            } else {
                judge.passed(some.len() as u64);
                Some(Act::Forward(some.to_vec()))
            };
            match act {
                None => {}
                Some(Act::Begin { snapshot, bytes }) => {
                    received.push((snapshot.map(|snapshot| snapshot.to_string()), bytes, false));
                }
                Some(Act::Forward(bytes)) => received.last_mut().expect("a receive has begun").1.extend(bytes),
                Some(Act::End(bytes)) => {
                    let last = received.last_mut().expect("a receive has begun");
                    last.1.extend(bytes);
                    last.2 = true;
                }
            }
        }
    }
    Ok((received, judge.may_end()))
}

fn refused(receive: &Receive, stream: &[u8]) -> String {
    let whole = judge(receive, Packages::Whole, stream, 100_000).expect_err("it should be refused");
    let apart = judge(receive, Packages::Apart, stream, 100_000).expect_err("it should be refused");
    assert_eq!(whole, apart);
    apart
}

#[test]
fn a_plain_stream_passes_unchanged() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let begin = Begin { order, ..begin(Some(Guid(1)), "whatever@s") }.to_bytes();
        let stream = [&begin[..], &write(order, 5000), &record(4, order), &end(order)].concat();
        for (packages, ended) in [(Packages::Apart, true), (Packages::Whole, false)] {
            let (received, may_end) = judge(&receive("b/x"), packages, &stream, 77).unwrap();
            assert_eq!(received, [(None, stream.clone(), ended)]);
            assert!(may_end);
        }
        // Of who may do anything anyway, only the first record is read.
        let other = [&begin[..], &[7; 5000]].concat();
        judge(&receive("b/x"), Packages::Whole, &other, 77).unwrap();
        assert!(judge(&receive("b/x"), Packages::Apart, &other, 77).is_err());
    }
}

#[test]
fn what_a_begin_record_brings_along_comes_with_it() {
    let raw = Begin { features: Features::RAW, content: 1000, ..begin(None, "p/x@s") };
    let stream = [&raw.to_bytes()[..], &[9; 1000], b"rest"].concat();
    let create = Receive { create: true, ..receive("b/x") };
    let mut judge = Judge::new(&create, Packages::Apart);
    assert_eq!(judge.wants(), Wants::Bytes(SIZE));
    assert_eq!(judge.read(&stream[..SIZE]), Ok(None));
    assert_eq!(judge.wants(), Wants::Bytes(1000));
    assert_eq!(judge.read(&stream[SIZE..=SIZE]), Ok(None));
    assert!(!judge.may_end());
    let act = judge.read(&stream[SIZE + 1..SIZE + 1000]);
    assert_eq!(act, Ok(Some(Act::Begin { snapshot: None, bytes: stream[..SIZE + 1000].to_vec() })));
    assert_eq!(judge.wants(), Wants::Bytes(SIZE));
}

#[test]
fn a_package_is_taken_apart_or_passes_whole() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let stream = package(order);
        let (received, may_end) = judge(&several(), Packages::Whole, &stream, 1000).unwrap();
        assert_eq!(received, [(None, stream.clone(), false)]);
        assert!(may_end);
        let (received, may_end) = judge(&several(), Packages::Apart, &stream, 1000).unwrap();
        assert!(may_end);
        let (first, second) = (2 * SIZE, 2 * SIZE + 4 * SIZE + 10_000);
        let parts = [
            (Some("a".to_owned()), stream[first..second].to_vec(), true),
            (Some("b".to_owned()), stream[second..stream.len() - SIZE].to_vec(), true),
        ];
        assert_eq!(received, parts);
    }
}

#[test]
fn a_package_that_is_cut_may_not_end() {
    let stream = package(LITTLE);
    for len in (0..stream.len()).step_by(SIZE / 2) {
        let (_, may_end) = judge(&several(), Packages::Apart, &stream[..len], 1000).unwrap();
        assert!(!may_end, "{len}");
    }
    let more = [stream, vec![0]].concat();
    assert_eq!(refused(&several(), &more), "more than enough");
}

#[test]
fn only_what_was_announced_is_taken() {
    let increment = |begin: Begin| (receive("b/x"), begin);
    let create = |begin: Begin| (Receive { create: true, ..receive("b/x") }, begin);
    let from = || begin(Some(Guid(1)), "p/x@s");
    let full = || begin(None, "p/x@s");
    let resuming = |begin: Begin| Begin { features: Features::RESUMING, content: 9, ..begin };
    for ((receive, begin), why) in [
        (increment(full()), "it is a full stream"),
        (create(from()), "it is an increment"),
        (create(resuming(full())), "it resumes a stream"),
        ((Receive { into_empty: true, ..receive("b/x") }, from()), "it is an increment"),
        ((Receive { overwrite: true, ..receive("b/x") }, from()), "it is an increment"),
        (increment(Begin { clone: true, ..from() }), "it creates a clone"),
        (create(Begin { clone: true, ..full() }), "it creates a clone"),
        (increment(Begin { name: b"p/x".to_vec(), ..from() }), "it names no snapshot"),
        (increment(Begin { name: b"p/x@\x1b[2J".to_vec(), ..from() }), "the name of its snapshot is not valid"),
        (create(Begin { kind: Some(Kind::Volume), ..full() }), "it is of a volume"),
        (increment(Begin { kind: None, ..from() }), "it is neither of a filesystem"),
        ((Receive { kind: Kind::Volume, create: true, ..receive("b/x") }, full()), "it is of a filesystem"),
        (increment(Begin { features: Features::DEDUP, ..from() }), "it is deduplicated"),
        (increment(Begin { features: Features::HOLDS, ..from() }), "it contains holds"),
        (
            increment(Begin { content: MAX_BEGIN + 1, features: Features::RAW, ..from() }),
            "its description has 1048577 bytes",
        ),
        (increment(header(LITTLE, "p/x@s")), "it is a package of several streams"),
        ((several(), from()), "it is a stream of one snapshot"),
        ((several(), full()), "it is a stream of one snapshot"),
        ((several(), Begin { content: 1, ..header(LITTLE, "p/x@s") }), "it is a replication package"),
        ((several(), Begin { features: Features::HOLDS, ..header(LITTLE, "p/x@s") }), "it contains holds"),
        ((several(), header(LITTLE, "p/x")), "it names no snapshot"),
        ((several(), header(LITTLE, "p/x@a/b")), "the name of its snapshot is not valid"),
    ] {
        let said = refused(&receive, &begin.to_bytes());
        assert!(said.starts_with(why), "{said} instead of {why}");
    }
    assert_eq!(refused(&receive("b/x"), &[b'x'; SIZE]), "it is not a zfs send stream");
    // One from a redacted snapshot says so in its BEGIN record, and has no feature for that.
    let described = Begin { content: 8, ..from() };
    judge(&receive("b/x"), Packages::Apart, &[&described.to_bytes()[..], &[0; 8]].concat(), 99).unwrap();
    // Where a cut stream goes on, it may be a full one: `zfs recv` makes nothing of it that isn't there.
    let (received, _) =
        judge(&receive("b/x"), Packages::Apart, &[&resuming(full()).to_bytes()[..], &[0; 9]].concat(), 99).unwrap();
    assert_eq!(received.len(), 1);
    let into = Receive { into_empty: true, ..receive("b/x") };
    judge(&into, Packages::Apart, &[&resuming(full()).to_bytes()[..], &[0; 9]].concat(), 99).unwrap();
}

#[test]
fn every_stream_in_a_package_is_judged() {
    let good = inner(LITTLE, "p/x@a", 1, 2);
    let other = Begin { kind: None, ..good.clone() };
    let begun = [&header(LITTLE, "p/x@b").to_bytes()[..], &end(LITTLE)].concat();
    let first = [&begun[..], &good.to_bytes(), &write(LITTLE, 100), &end(LITTLE)].concat();
    for (begun, next, why) in [
        (&begun, inner(LITTLE, "p/xy@a", 1, 2), "it is a package with streams of several datasets"),
        (&begun, inner(LITTLE, "p/x/y@a", 1, 2), "it is a package with streams of several datasets"),
        (&begun, inner(LITTLE, "p@a", 1, 2), "it is a package with streams of several datasets"),
        (&begun, inner(LITTLE, "p/x@a@b", 1, 2), "the name of its snapshot is not valid"),
        (&begun, inner(LITTLE, "p/x@", 1, 2), "the name of its snapshot is not valid"),
        (&begun, inner(LITTLE, "p/x", 1, 2), "it names no snapshot"),
        (&begun, begin(None, "p/x@a"), "it is a full stream"),
        (&begun, other, "it is neither of a filesystem"),
        (&begun, Begin { clone: true, ..good.clone() }, "it creates a clone"),
        (&begun, Begin { features: Features::RESUMING, content: 1, ..good.clone() }, "it resumes in the middle"),
        (&begun, header(LITTLE, "p/x@b"), "it is a package within a package"),
        (&first, inner(LITTLE, "p/x@b", 1, 3), "its streams don't follow each other"),
        (&first, inner(LITTLE, "p/y@b", 2, 3), "it is a package with streams of several datasets"),
        (&first, header(LITTLE, "p/x@b"), "it is a package within a package"),
    ] {
        let said = refused(&several(), &[begun, &next.to_bytes()[..]].concat());
        assert!(said.starts_with(why), "{said} instead of {why}");
    }
    for (bytes, why) in [
        (write(LITTLE, 8), "there are records between its streams"),
        (record(6, LITTLE).to_vec(), "it has a record of type 6"),
    ] {
        assert!(refused(&several(), &[&first, &bytes[..]].concat()).starts_with(why));
    }
    let within = [&begun[..], &good.to_bytes(), &good.to_bytes()].concat();
    assert_eq!(refused(&several(), &within), "a stream begins within another");
    assert_eq!(refused(&several(), &[&begun[..SIZE], &good.to_bytes()].concat()), "its package header doesn't end");
    // One with a record that only deduplicated streams have.
    let within = [&begun[..], &good.to_bytes(), &record(6, LITTLE)].concat();
    assert!(refused(&several(), &within).starts_with("it has a record of type 6"));
}

proptest! {
    /// However a stream is cut into portions, what comes of it is the same.
    #[test]
    fn portions_make_no_difference(portion in 1_usize..3000, whole in any::<bool>()) {
        let packages = if whole { Packages::Whole } else { Packages::Apart };
        let stream = package(LITTLE);
        let expected = judge(&several(), packages, &stream, stream.len()).unwrap();
        prop_assert_eq!(judge(&several(), packages, &stream, portion).unwrap(), expected);
    }

    /// Whatever comes, a receive gets nothing but streams of one dataset whose BEGIN records are allowed.
    #[test]
    fn damage_never_gets_past_the_judge(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        portion in 1_usize..5000,
    ) {
        let mut stream = package(LITTLE);
        for (place, value) in damage {
            let place = place.index(stream.len());
            stream[place] = value;
        }
        if let Ok((received, _)) = judge(&several(), Packages::Apart, &stream, portion) {
            for (name, bytes, _) in received {
                let begin = Begin::read(bytes[..SIZE].try_into().unwrap()).unwrap();
                prop_assert!(name.is_some() && !begin.clone && begin.from.is_some());
                prop_assert_eq!(begin.header, HeaderType::Substream);
                prop_assert!(begin.kind.is_some());
            }
        }
    }
}

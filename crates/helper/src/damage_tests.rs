//! Sessions that are damaged or out of order: they end, leave nothing behind, and touch nothing that the helper may not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fake::{FakeHost, Shared, nowhere, piped, receive};
use super::tests::stream;
use super::{Config, serve};
use crate::wire::{self, FrameKind, HEADER, Header, Request};
use zfs::name::{DatasetName, Guid};
use zfs::{Allow, Host, Resolution};

#[test]
fn what_is_out_of_order_ends_the_session() {
    let request = |request: &Request| {
        let mut bytes = Vec::new();
        wire::write_message(&mut bytes, FrameKind::Request, request).unwrap();
        bytes
    };
    let receive = request(&Request::Receive { id: 1, receive: receive("b/x") });
    let mark = |kind| Header { kind, len: 0 }.encode().to_vec();
    for bytes in [
        mark(FrameKind::Data),
        mark(FrameKind::End),
        mark(FrameKind::Abort),
        mark(FrameKind::Reply),
        [receive.clone(), receive.clone()].concat(),
        [receive, vec![0; HEADER]].concat(),
        b"SSH-2.0-nonsense\n".to_vec(),
        vec![0xff; 100],
        [&[0, 0, 0, 2, 1, 0, 0, 0], &b"{}"[..]].concat(),
        [&[0, 0, 0, 20, 1, 0, 0, 0], &b"{}"[..]].concat(),
    ] {
        assert!(run(bytes.clone()).is_err(), "{bytes:?}");
    }
}

/// Serves these bytes, with leave to do everything below `b`.
fn run(bytes: Vec<u8>) -> Result<(), super::HelperError> {
    let host = Arc::new(FakeHost::default());
    let own: Arc<dyn Host> = Arc::new(Shared(Arc::clone(&host)));
    let started = Instant::now();
    let root: DatasetName = "b".parse().unwrap();
    let allow = vec![Allow::Rollback, Allow::Rename, Allow::Destroy];
    let config = Config { roots: vec![root.clone()], allow, ..Config::default() };
    let served = serve(config, piped(bytes).into(), nowhere().into(), own);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(host.running.load(Ordering::SeqCst), 0);
    for name in host.touched() {
        let name = name.split(['@', '=']).next().unwrap_or_default();
        assert!(name.parse::<DatasetName>().unwrap().is_within(&root), "{name:?}");
    }
    served
}

/// A sensible session, as bytes.
fn sensible() -> Vec<u8> {
    let mut bytes = Vec::new();
    let names = || ["b/x", "b/x@s"].map(String::from).to_vec();
    let x = || "b/x".parse::<DatasetName>().unwrap();
    let loses = vec![Guid(2)];
    for request in [
        Request::Ask { id: 1, names: names() },
        Request::Lock { id: 5, dataset: x(), run: 1, owner: "me".into() },
        Request::Note { id: 6, note: zfs::Note::MissingSince, value: None, names: names() },
        Request::Resolve { id: 7, resolution: Resolution::Replace { dataset: x(), loses, whole: false } },
        Request::Destroy { id: 8, dataset: x(), snapshots: vec![Guid(1)] },
    ] {
        wire::write_message(&mut bytes, FrameKind::Request, &request).unwrap();
    }
    for (id, dataset) in [(2, "b/x"), (3, "b/refuse"), (4, "b/early")] {
        let receive = receive(dataset);
        wire::write_message(&mut bytes, FrameKind::Request, &Request::Receive { id, receive }).unwrap();
        let stream = stream(300);
        bytes.extend(Header { kind: FrameKind::Data, len: stream.len() }.encode());
        bytes.extend(stream);
        wire::write_mark(&mut bytes, FrameKind::End).unwrap();
    }
    bytes
}

#[test]
fn the_sensible_session_is_sensible() {
    run(sensible()).unwrap();
}

/// How many damaged sessions are played; more with `ZFSYNC_HELPER_RUNS=10000`.
pub fn runs() -> u32 {
    std::env::var("ZFSYNC_HELPER_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(200)
}

/// What becomes of a session's bytes: some are others, and the rest is cut off.
#[derive(Debug)]
pub(super) struct Damage {
    changed: Vec<(prop::sample::Index, u8)>,
    cut: prop::sample::Index,
}

impl Damage {
    pub(super) fn done_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for (place, value) in &self.changed {
            let place = place.index(bytes.len());
            bytes[place] = *value;
        }
        bytes.truncate(self.cut.index(bytes.len() + 1));
        bytes
    }
}

pub(super) fn any_damage() -> impl Strategy<Value = Damage> {
    let changed = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (changed, any::<prop::sample::Index>()).prop_map(|(changed, cut)| Damage { changed, cut })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: runs(), ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_end_the_session(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = run(bytes);
    }

    #[test]
    fn a_damaged_session_ends(damage in any_damage()) {
        let _ = run(damage.done_to(sensible()));
    }
}

//! The seeds of the fuzz targets that are frames of the protocol: those in the tree are what today's messages give.
//! `ZFSYNC_RENEW_SEEDS=1 cargo test --test fuzz_seeds` writes them anew. (What `zfs` prints is recorded by `fuzz/record`.)

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use helper::wire::{FrameKind, Header, Reply, Request, write_mark, write_message};
use zfs::name::{DatasetName, Guid, ResumeToken, SnapshotName, Txg};
use zfs::record::{Begin, ByteOrder, Features, HeaderType, SIZE};
use zfs::{
    BaseFacts, Brings, Encryption, Examine, Failure, Kind, Note, Noted, Outlook, Pruned, Put, Receive, Refusal, Rename,
    Resolution, Restore, TargetFacts, Volmode,
};

type Seeds = BTreeMap<String, Vec<u8>>;

fn dataset(name: &str) -> DatasetName {
    name.parse().unwrap()
}

fn snapshot(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

fn receive(name: &str) -> Receive {
    Receive {
        dataset: dataset(name),
        ancestors: vec![dataset("b/above")],
        top_ancestor: Some(dataset("b/above")),
        kind: Kind::Filesystem,
        brings: Brings::Snapshot(snapshot("s1")),
        create: true,
        top: true,
        into_empty: false,
        overwrite: false,
        volmode: Volmode::None,
        unencrypted: false,
        resumable: true,
        mountable: false,
        put: Some(Put {
            by: 0x0123_abcd,
            at: Some(0x89),
            upto: Guid(255),
            txg: Some(Txg(17)),
            came: vec![Guid(5)],
            foreign: vec![Guid(170)],
            missing: Some(Vec::new()),
        }),
        base: Some(snapshot("s0")),
        to_guid: None,
        from_guid: None,
        keeps_key: false,
    }
}

/// One of each verb, and of each resolution.
fn requests() -> Vec<Request> {
    let (x, names) = (|| dataset("b/x y"), || vec!["b/x y@s 1".to_owned(), "b/x:y".to_owned()]);
    let rollback =
        Resolution::Rollback { dataset: x(), to: snapshot("s1"), to_guid: Guid(1), loses: vec![Guid(2), Guid(3)] };
    let restore = vec![Restore { dataset: x(), snapshot: snapshot("s1"), guid: Guid(1) }];
    let aside = Resolution::SetAside { dataset: x(), aside: dataset("b/x-aside"), restore, top: true };
    let rename = Rename {
        from: x(),
        to: dataset("b/z"),
        snapshot: snapshot("s1"),
        guid: Guid(1),
        ancestors: vec![dataset("b/new")],
        top_ancestor: None,
    };
    vec![
        Request::Lock { id: 1, dataset: x(), run: 7, owner: "alpha (pid 17)".into() },
        Request::Ask { id: 2, names: names() },
        Request::List { id: 3, datasets: vec![x(), dataset("b")] },
        Request::Tree { id: 4, dataset: x() },
        Request::Probe { id: 5, dataset: x() },
        Request::Clear { id: 6, dataset: x() },
        Request::TryResolve { id: 7, resolution: rollback.clone() },
        Request::Resolve { id: 7, resolution: rollback },
        Request::Resolve { id: 8, resolution: aside },
        Request::Resolve { id: 9, resolution: Resolution::Replace { dataset: x(), loses: vec![Guid(2)], whole: true } },
        Request::Dates { id: 10, names: names() },
        Request::Prune { id: 11, dataset: x(), snapshots: vec![(snapshot("s 1"), Guid(1))], dry_run: true },
        Request::Names { id: 12, dataset: x() },
        Request::Rename { id: 13, rename },
        Request::Notes { id: 14, dataset: Some(x()), snapshots: names() },
        Request::Note { id: 15, note: Note::MissingSince, value: Some("1700000000".into()), names: names() },
        Request::Destroy { id: 16, dataset: x(), snapshots: vec![Guid(1), Guid(2)] },
        Request::TryDestroy { id: 16, dataset: x(), snapshots: vec![Guid(1), Guid(2)] },
        Request::Outlook { id: 16, dataset: x() },
        Request::Examine { id: 16, what: Examine::Dataset(x()) },
        Request::Receive { id: 17, receive: receive("b/x y") },
        Request::Bases { id: 18, names: names(), iv_sets_only: false },
    ]
}

/// One of each answer.
fn replies() -> Vec<Reply> {
    let facts = TargetFacts {
        kind: Kind::Volume,
        partial: true,
        token: Some(ResumeToken("1-1049d9e7e0-d0-789c636064000310a5".into())),
        unborn: true,
        empty: false,
        unsure: None,
        written: Some(4096),
        encryption: Encryption::Root,
    };
    let base = BaseFacts {
        written: Some(4096),
        iv_set: Some(Guid(3)),
        encryption_root: Some(dataset("b/x")),
        key_loaded: true,
    };
    let failure = Failure { refusal: Refusal::Modified, words: "destination b/x has been modified".into() };
    vec![
        Reply::Found { id: 1, found: vec![(0, Guid(u64::MAX), Txg(1)), (1, Guid(2), Txg(u64::MAX))] },
        Reply::Listed { id: 2, dataset: dataset("b/x y"), facts, snapshots: vec![(snapshot("s 1"), Guid(1), Txg(2))] },
        Reply::Probed { id: 3, disabled: vec!["zstd_compress".into()], encrypted: true },
        Reply::Outlook { id: 3, outlook: Outlook { locked: Some("alpha (pid 17)".into()), available: Some(4096) } },
        Reply::Pruned {
            id: 4,
            pruned: Pruned {
                destroyed: 1,
                freed: 4096,
                pinned: vec![(snapshot("s"), "it is held".into())],
                absent: Vec::new(),
            },
        },
        Reply::Dated { id: 5, dates: vec![(0, 1_700_000_000), (1, -1)] },
        Reply::Names { id: 6, datasets: vec![dataset("b/x y")] },
        Reply::Notes {
            id: 7,
            notes: vec![Noted {
                name: "b/x y@s".into(),
                note: Note::Received,
                value: "0123abcd-00000000000000ff".into(),
            }],
        },
        Reply::Beat { id: 8 },
        Reply::Done { id: 9, failure: Some(failure), warning: Some("cannot receive canmount property".into()) },
        Reply::Bases { id: 10, bases: vec![(0, base), (1, BaseFacts::default())] },
        Reply::Unread { id: 9, name: "b/x y@s 1".into(), words: "cannot open 'b/x y@s 1': I/O error".into() },
    ]
}

/// Bytes of a sender's frames.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn request(mut self, request: &Request) -> Self {
        write_message(&mut self.0, FrameKind::Request, request).unwrap();
        self
    }

    fn reply(mut self, reply: &Reply) -> Self {
        write_message(&mut self.0, FrameKind::Reply, reply).unwrap();
        self
    }

    fn data(mut self, bytes: &[u8]) -> Self {
        self.0.extend(Header { kind: FrameKind::Data, len: bytes.len() }.encode());
        self.0.extend(bytes);
        self
    }

    fn mark(mut self, kind: FrameKind) -> Self {
        write_mark(&mut self.0, kind).unwrap();
        self
    }

    fn stream(self, name: &str, end: FrameKind) -> Self {
        self.request(&Request::Receive { id: 1, receive: receive(name) })
            .data(&begin(HeaderType::Substream, None))
            .data(b"")
            .data(b"end")
            .mark(end)
    }

    /// A package of two snapshots.
    fn package(self) -> Self {
        let receive = Receive { brings: Brings::Snapshots, create: false, ..receive("b/x") };
        self.request(&Request::Receive { id: 1, receive })
            .data(&[begin(HeaderType::Package, None), record(5)].concat())
            .data(&[begin(HeaderType::Substream, Some(Guid(1))), record(3), record(5)].concat())
            .data(&[begin(HeaderType::Substream, Some(Guid(1))), record(4), record(5), record(5)].concat())
            .mark(FrameKind::End)
    }
}

fn record(kind: u8) -> [u8; SIZE] {
    let mut record = [0; SIZE];
    record[0] = kind;
    record
}

fn begin(header: HeaderType, from: Option<Guid>) -> [u8; SIZE] {
    let (order, features) = (ByteOrder::Little, Features::default());
    let (kind, name) = (Some(Kind::Filesystem), b"p/x@s".to_vec());
    Begin { order, header, features, kind, clone: false, to: Guid(1), from, name, content: 0 }.to_bytes()
}

/// `NUMBER-verb` or `NUMBER-answer` of a message.
fn title(number: usize, message: &impl serde::Serialize, tag: &str) -> String {
    let value = serde_json::to_value(message).unwrap();
    format!("{number:02}-{}", value[tag].as_str().unwrap())
}

fn wire() -> Seeds {
    let requests = requests();
    let requests =
        requests.iter().enumerate().map(|(n, one)| (title(n, one, "verb"), Frames::default().request(one).0));
    let replies = replies();
    let replies = replies.iter().enumerate().map(|(n, one)| (title(n, one, "answer"), Frames::default().reply(one).0));
    let marks = Frames::default().data(b"bytes").mark(FrameKind::End).mark(FrameKind::Abort).mark(FrameKind::Ping);
    requests.chain(replies).chain([("marks".to_owned(), marks.0)]).collect()
}

fn helper_serve() -> Seeds {
    let (mut all, requests) = (Frames::default(), requests());
    let (last, questions) = requests.split_last().unwrap();
    for request in questions {
        all = all.request(request);
    }
    let two = Frames::default().stream("b/x", FrameKind::End).mark(FrameKind::Ping).stream("b/y", FrameKind::Abort);
    let cut = Frames::default().request(last).data(&[7; 50]);
    let mut within = Frames::default().request(last).data(&[7; 50]).0;
    within.truncate(within.len() - 10);
    [
        ("questions", all.0),
        ("streams", two.0),
        ("package", Frames::default().package().0),
        (
            "questions-within-a-stream",
            Frames::default()
                .request(last)
                .request(&requests[1])
                .data(b"x")
                .request(&requests[3])
                .mark(FrameKind::End)
                .0,
        ),
        ("cut-between-frames", cut.0),
        ("cut-within-a-frame", within),
        ("stream-within-a-stream", Frames::default().request(last).request(last).0),
        ("data-without-stream", Frames::default().data(b"x").0),
        ("end-without-stream", Frames::default().mark(FrameKind::End).0),
        ("a-reply", Frames::default().reply(&replies()[0]).0),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

#[test]
fn committed_seeds_are_fresh() {
    for (target, fresh) in [("wire", wire()), ("helper_serve", helper_serve())] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        if std::env::var_os("ZFSYNC_RENEW_SEEDS").is_some() {
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            for (name, bytes) in &fresh {
                fs::write(dir.join(name), bytes).unwrap();
            }
        }
        let entry = |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
        let committed: Seeds = fs::read_dir(&dir).unwrap().map(|file| entry(file.unwrap())).collect();
        let names = |seeds: &Seeds| seeds.keys().cloned().collect::<Vec<_>>();
        let renew = "renew them by: ZFSYNC_RENEW_SEEDS=1 cargo test --test fuzz_seeds";
        assert_eq!(names(&committed), names(&fresh), "fuzz/seeds/{target} is stale; {renew}");
        for (name, bytes) in &fresh {
            assert!(committed[name] == *bytes, "fuzz/seeds/{target}/{name} is stale; {renew}");
        }
    }
}

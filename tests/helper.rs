//! The helper as the sender meets it: the real binary over real pipes, with a shell script in the place of `zfs`.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use helper::wire::{self, FrameKind, Header, Reply, Request};
use tempfile::TempDir;
use zfs::name::{DatasetName, Guid, SnapshotName, Txg};
use zfs::record::SIZE;
use zfs::testing::write_script;
use zfs::{Brings, Encryption, Hello, Kind, Note, Receive, Refusal, Rename, Resolution, TargetFacts, Volmode};

/// Behaves as `zfs` does, for a pool `b` that holds `x` (one snapshot), `e` (empty) and `f` (not empty). A received
/// stream goes to a file; what is called goes to `calls`.
const ZFS: &str = r#"#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/calls"
last() { for one; do :; done; echo "$one"; }
target=$(last "$@")
target=${target%@*}
case "$*" in
"list -Hp -t filesystem,volume,snapshot"*)
    shift 6
    for name; do
        case $name in
        b/x) printf 'b/x\t11\t5\n' ;;
        b/x@s) printf 'b/x@s\t12\t6\n' ;;
        b/denied) echo "cannot open 'b/denied': permission denied" >&2; code=1 ;;
        *) echo "cannot open '$name': dataset does not exist" >&2; code=1 ;;
        esac
    done
    exit ${code:-0} ;;
"list -Hp -t filesystem,volume "*)
    shift 6
    for name; do
        case $name in
        b/[xef]) printf '%s\tfilesystem\t-\t-\tno\t0\t0\n' "$name" ;;
        *) echo "cannot open '$name': dataset does not exist" >&2; code=1 ;;
        esac
    done
    exit ${code:-0} ;;
"list -Hp -d 1"*) case "$*" in *b/x*) printf 'b/x@s\t12\t6\n' ;; esac ;;
"list -Hp -r -t filesystem -o mounted"*) echo no ;;
userspace*) case $target in b/e) printf 'POSIX User\t0\t1\n' ;; *) printf 'POSIX User\t0\t2\n' ;; esac ;;
create*) case $target in b/a) echo "cannot create 'b/a': dataset already exists" >&2; exit 1 ;; esac ;;
recv*)
    case $target in
    b/refuse) echo "cannot receive incremental stream: destination b/refuse has been modified" >&2
        echo "since most recent snapshot" >&2; exit 1 ;;
    b/stuck) trap '' TERM; echo $$ > "$here/stuck"; while :; do sleep 0.2; done ;;
    esac
    cat > "$here/stream" ;;
esac
"#;

/// The helper that is tested: `zfsync`, or one of those that dist/helpers/build has made (tests/helpers).
fn binary() -> PathBuf {
    std::env::var_os("ZFSYNC_TEST_HELPER").map_or_else(|| env!("CARGO_BIN_EXE_zfsync").into(), PathBuf::from)
}

struct Helper {
    dir: TempDir,
    locks: PathBuf,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    hello: Hello,
}

impl Helper {
    /// With locks of its own.
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let locks = dir.path().join("locks");
        Self::start_in(dir, locks, &[])
    }

    /// Another one on the same host.
    fn beside(&self) -> Self {
        Self::start_in(TempDir::new().unwrap(), self.locks.clone(), &[])
    }

    /// The same, and it may do more than receive.
    fn beside_with(&self, allow: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), self.locks.clone(), allow)
    }

    fn start_in(dir: TempDir, locks: PathBuf, allow: &[&str]) -> Self {
        let zfs = dir.path().join("zfs");
        write_script(&zfs, ZFS);
        let path = format!("{}:/usr/bin:/bin", dir.path().display());
        let mut command = Command::new(binary());
        command
            .args(["recv", "--stdio"])
            .args(allow.iter().flat_map(|word| ["--allow", word]))
            .env("PATH", path)
            .env("ZFSYNC_LOCK_DIR", &locks);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let hello = serde_json::from_str(line.strip_prefix("ZFSYNC-HELPER/2 ").unwrap()).unwrap();
        Self { dir, locks, input: child.stdin.take(), child, output, hello }
    }

    fn request(&mut self, request: &Request) {
        wire::write_message(self.input.as_mut().unwrap(), FrameKind::Request, request).unwrap();
    }

    /// Sends a stream of so many bytes, and returns it.
    fn receive(&mut self, id: u64, receive: Receive, len: usize) -> Vec<u8> {
        let stream = stream(&receive, len);
        self.request(&Request::Receive { id, receive });
        self.data(&stream);
        stream
    }

    fn data(&mut self, stream: &[u8]) {
        use std::io::Write;
        let input = self.input.as_mut().unwrap();
        for part in stream.chunks(wire::MAX_DATA) {
            input.write_all(&Header { kind: FrameKind::Data, len: part.len() }.encode()).unwrap();
            input.write_all(part).unwrap();
        }
    }

    fn mark(&mut self, kind: FrameKind) {
        wire::write_mark(self.input.as_mut().unwrap(), kind).unwrap();
    }

    fn reply(&mut self) -> Reply {
        let header = Header::read(&mut self.output).unwrap().expect("a reply");
        wire::read_body(&mut self.output, header.len).unwrap()
    }

    fn done(&mut self) -> (u64, Option<Refusal>) {
        match self.reply() {
            Reply::Done { id, failure, .. } => (id, failure.map(|failure| failure.refusal)),
            other => panic!("{other:?}"),
        }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Closes its stdin; its exit code and what it wrote to stderr.
    fn close(&mut self) -> (Option<i32>, String) {
        self.input = None;
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        (self.child.wait().unwrap().code(), words)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream of so many bytes that fits the receive.
fn stream(receive: &Receive, len: usize) -> Vec<u8> {
    let full = receive.create || receive.into_empty || receive.overwrite;
    let begin = support::begin(Some(receive.kind), (!full).then_some(Guid(1)));
    if receive.into_empty || receive.overwrite {
        let mut end = [0; SIZE];
        end[0] = 5;
        return [begin, end].concat();
    }
    let mut write = [0; SIZE];
    let mut put = |at: usize, number: usize| write[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
    for (at, number) in [(0, 3), (8, 1), (32, len.next_multiple_of(512)), (96, len)] {
        put(at, number);
    }
    write[50] = 15;
    begin.into_iter().chain(write).chain((0..=250).cycle().take(len)).collect()
}

fn plain(dataset: &str) -> Receive {
    let dataset = dataset.parse().unwrap();
    Receive {
        dataset,
        brings: Brings::Snapshot("s".parse().unwrap()),
        volmode: Volmode::None,
        ancestors: vec![],
        top_ancestor: None,
        kind: Kind::Filesystem,
        create: false,
        top: false,
        into_empty: false,
        overwrite: false,
        unencrypted: false,
        resumable: true,
        mountable: false,
        put: None,
        base: None,
        to_guid: None,
        from_guid: None,
        keeps_key: false,
    }
}

#[test]
fn greets_and_answers() {
    let mut helper = Helper::start();
    assert_eq!(helper.hello.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(helper.hello.zfs_path.as_deref(), helper.dir.path().join("zfs").to_str());
    let names = ["b/no", "b/x@s", "b/x"].map(String::from).to_vec();
    helper.request(&Request::Ask { id: 1, names });
    let found = vec![(1, Guid(12), Txg(6)), (2, Guid(11), Txg(5))];
    assert_eq!(helper.reply(), Reply::Found { id: 1, found });
    let names = ["b/x", "b/denied"].map(String::from).to_vec();
    helper.request(&Request::Ask { id: 2, names });
    assert_eq!(helper.done(), (2, Some(Refusal::Permission)));
    assert_eq!(helper.close(), (Some(0), String::new()));
}

#[test]
fn lists_and_tells_what_is_empty() {
    let mut helper = Helper::start();
    let datasets = ["b/e", "b/f", "b/no", "b/x"].map(|name| name.parse().unwrap()).to_vec();
    helper.request(&Request::List { id: 1, datasets });
    for (name, empty, count) in [("b/x", false, 1), ("b/e", true, 0), ("b/f", false, 0)] {
        let Reply::Listed { id: 1, dataset, facts, snapshots } = helper.reply() else { panic!("not listed") };
        let expected = TargetFacts {
            kind: Kind::Filesystem,
            partial: false,
            token: None,
            unborn: false,
            empty,
            unsure: None,
            written: Some(0),
            encryption: Encryption::Off,
        };
        assert_eq!((dataset.as_str(), facts, snapshots.len()), (name, expected, count));
    }
    assert_eq!(helper.done(), (1, None));
}

#[test]
fn a_stream_reaches_zfs_recv_unchanged() {
    let mut helper = Helper::start();
    let ancestors = ["b/a", "b/a/c"].map(|name| name.parse().unwrap()).to_vec();
    let new = Receive { ancestors, create: true, top: true, ..plain("b/a/c/new") };
    let stream = helper.receive(1, new, 3_333_333);
    helper.mark(FrameKind::End);
    assert_eq!(helper.done(), (1, None));
    assert!(fs::read(helper.dir.path().join("stream")).unwrap() == stream);
    assert_eq!(
        helper.file("calls"),
        "create -o canmount=off -o zfsync:placeholder=on b/a\n\
         create -o canmount=off -o zfsync:placeholder=on b/a/c\n\
         recv -s -u -o readonly=on -o canmount=noauto b/a/c/new@s\n"
    );
    assert_eq!(helper.close().0, Some(0));
}

#[test]
fn a_refusal_comes_at_once() {
    let mut helper = Helper::start();
    helper.receive(1, plain("b/refuse"), 300_000);
    assert_eq!(helper.done(), (1, Some(Refusal::Modified)));
    helper.data(&vec![0; 3_000_000]);
    helper.mark(FrameKind::Abort);
    let stream = helper.receive(2, plain("b/y"), 400);
    helper.mark(FrameKind::End);
    assert_eq!(helper.done(), (2, None));
    assert!(fs::read(helper.dir.path().join("stream")).unwrap() == stream);
}

#[test]
fn only_what_is_empty_is_forced() {
    let mut helper = Helper::start();
    helper.receive(1, Receive { into_empty: true, ..plain("b/f") }, 400);
    helper.mark(FrameKind::End);
    assert_eq!(helper.done(), (1, Some(Refusal::Exists)));
    assert!(!helper.file("calls").contains("recv"));
    helper.receive(2, Receive { into_empty: true, ..plain("b/e") }, 400);
    helper.mark(FrameKind::End);
    assert_eq!(helper.done(), (2, None));
    let calls = helper.file("calls");
    // Once before it begins, and once before it ends; the second look may come before the process that receives has said so.
    assert_eq!(calls.matches("list -Hp -d 1 -t snapshot -o name,guid,createtxg b/e\n").count(), 2, "{calls}");
    let (looked, _) = calls.split_once("recv -s -u -F -o canmount=noauto b/e@s\n").unwrap();
    assert!(looked.contains("list -Hp -d 1 -t snapshot -o name,guid,createtxg b/e\n"), "{calls}");
    assert!(calls.ends_with("inherit zfsync:placeholder b/e\n"), "{calls}");
}

#[test]
fn nothing_is_left_behind_when_the_sender_vanishes() {
    let mut helper = Helper::start();
    // It neither reads nor ends when asked to.
    helper.receive(1, plain("b/stuck"), 100_000);
    let started = Instant::now();
    while helper.file("stuck").is_empty() && started.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = helper.file("stuck").trim().to_owned();
    let (code, words) = helper.close();
    assert_eq!((code, words.as_str()), (Some(0), ""));
    assert!(started.elapsed() < Duration::from_secs(40));
    assert!(!pid.is_empty() && !Path::new(&format!("/proc/{pid}")).exists());
}

#[test]
fn nonsense_ends_it_with_words() {
    use std::io::Write;
    let mut helper = Helper::start();
    helper.input.as_mut().unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (code, words) = helper.close();
    assert_eq!(code, Some(1));
    assert!(words.starts_with("zfsync helper: ") && words.lines().count() == 1, "{words}");
}

fn claim(helper: &mut Helper, id: u64, dataset: &str, run: u64) -> Option<Refusal> {
    helper.request(&Request::Lock { id, dataset: dataset.parse().unwrap(), run, owner: format!("run {run}") });
    let (answered, refusal) = helper.done();
    assert_eq!(answered, id);
    refusal
}

#[test]
fn nobody_receives_into_what_another_run_has_claimed() {
    let mut first = Helper::start();
    assert_eq!(claim(&mut first, 1, "b/x", 1), None);
    // Neither without a claim, nor by one of its own.
    let mut other = first.beside();
    for dataset in ["b/x", "b/x/y", "b"] {
        other.request(&Request::Clear { id: 2, dataset: dataset.parse().unwrap() });
        assert_eq!(other.done(), (2, Some(Refusal::Locked)), "{dataset}");
        other.receive(3, plain(dataset), 1000);
        other.mark(FrameKind::End);
        assert_eq!(other.done(), (3, Some(Refusal::Locked)), "{dataset}");
        assert_eq!(claim(&mut other, 4, dataset, 2), Some(Refusal::Locked), "{dataset}");
    }
    assert!(!other.file("calls").contains("recv"), "{}", other.file("calls"));
    // What lies beside is free.
    other.receive(5, plain("b/f"), 1000);
    other.mark(FrameKind::End);
    assert_eq!(other.done(), (5, None));
    // A helper of the same run belongs to it at once, and takes over when the first is gone.
    let mut second = first.beside();
    assert_eq!(claim(&mut second, 6, "b/x", 1), None);
    second.receive(7, plain("b/x"), 1000);
    second.mark(FrameKind::End);
    assert_eq!(second.done(), (7, None));
    first.close();
    assert!(support::eventually(|| second.locks.read_dir().unwrap().count() > 0), "nobody has taken over");
    assert_eq!(claim(&mut other, 9, "b/x", 2), Some(Refusal::Locked));
    second.close();
    assert_eq!(claim(&mut other, 10, "b/x", 2), None);
}

#[test]
fn nobody_changes_anything_in_what_another_run_has_claimed() {
    let mut first = Helper::start();
    assert_eq!(claim(&mut first, 1, "b/x", 1), None);
    let mut other = first.beside_with(&["destroy", "rename", "rollback"]);
    let (x, free): (DatasetName, DatasetName) = ("b/x".parse().unwrap(), "b/free".parse().unwrap());
    let s = || "s".parse::<SnapshotName>().unwrap();
    let rename = |from: &DatasetName, to: &DatasetName| {
        let (from, to, ancestors, top_ancestor) = (from.clone(), to.clone(), vec![], None);
        Request::Rename { id: 2, rename: Rename { from, to, snapshot: s(), guid: Guid(12), ancestors, top_ancestor } }
    };
    let resolution = |resolution| Request::Resolve { id: 2, resolution };
    for request in [
        resolution(Resolution::Rollback { dataset: x.clone(), to: s(), to_guid: Guid(12), loses: vec![] }),
        resolution(Resolution::Replace { dataset: x.clone(), loses: vec![Guid(12)], whole: false }),
        resolution(Resolution::SetAside { dataset: x.clone(), aside: free.clone(), restore: vec![], top: false }),
        resolution(Resolution::SetAside {
            dataset: free.clone(),
            aside: "b/x/y".parse().unwrap(),
            restore: vec![],
            top: false,
        }),
        rename(&x, &free),
        rename(&free, &"b/x/y".parse().unwrap()),
        Request::Prune { id: 2, dataset: x.clone(), snapshots: vec![(s(), Guid(12))], dry_run: false },
        Request::Destroy { id: 2, dataset: x.clone(), snapshots: vec![Guid(12)] },
        Request::Note { id: 2, note: Note::MissingSince, value: Some("17".into()), names: vec!["b/x@s".into()] },
        Request::Clear { id: 2, dataset: x.clone() },
    ] {
        other.request(&request);
        assert_eq!(other.done(), (2, Some(Refusal::Locked)), "{request:?}");
    }
    let below = Receive { ancestors: vec!["b/x/new".parse().unwrap()], create: true, ..plain("b/x/new/y") };
    other.receive(3, below, 1000);
    assert_eq!(other.done(), (3, Some(Refusal::Locked)));
    other.mark(FrameKind::Abort);
    assert_eq!(other.file("calls"), "", "zfs was called");
}

#[test]
fn a_claim_of_a_part_is_none_of_the_whole() {
    let mut first = Helper::start();
    assert_eq!(claim(&mut first, 1, "b/x/a", 1), None);
    let mut stranger = first.beside();
    assert_eq!(claim(&mut stranger, 1, "b/x/b", 2), None);
    let mut second = first.beside();
    // Its own run has only a part of this, and the other one the rest.
    assert_eq!(claim(&mut second, 1, "b/x", 1), Some(Refusal::Locked));
    stranger.close();
    assert_eq!(claim(&mut second, 2, "b/x", 1), Some(Refusal::Locked));
    assert_eq!(claim(&mut second, 3, "b/x/a/below", 1), None);
}

#[test]
fn what_is_received_without_a_claim_keeps_claims_away_until_it_is_through() {
    let mut first = Helper::start();
    let stream = stream(&plain("b/f"), 1000);
    first.request(&Request::Receive { id: 1, receive: plain("b/f") });
    first.data(&stream[..500]);
    assert!(support::eventually(|| first.file("calls").contains("recv")), "nothing was started");
    let mut other = first.beside();
    assert_eq!(claim(&mut other, 1, "b", 7), Some(Refusal::Locked));
    // A second receive of the same session is none of others.
    first.data(&stream[500..]);
    first.mark(FrameKind::End);
    first.receive(2, plain("b/f"), 1000);
    first.mark(FrameKind::End);
    assert_eq!(first.done(), (1, None));
    assert_eq!(first.done(), (2, None));
    assert!(support::eventually(|| claim(&mut other, 2, "b", 7).is_none()), "it is still kept away");
    first.receive(3, plain("b/f"), 1000);
    first.mark(FrameKind::End);
    assert_eq!(first.done(), (3, Some(Refusal::Locked)));
}

#[test]
fn a_session_claims_few_trees_and_waits_for_itself_never() {
    let mut helper = Helper::start();
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(claim(&mut helper, 1, "b/x", 1), None);
        assert_eq!(claim(&mut helper, 2, "b/x/below", 1), None);
    }
    let refused = (0..40).filter(|n| claim(&mut helper, 3, &format!("b/{n}"), 1).is_some()).count();
    assert!(refused > 30, "{refused}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert!(helper.locks.read_dir().unwrap().count() < 20);
    helper.close();
    assert_eq!(helper.locks.read_dir().unwrap().count(), 0, "something is left behind");
}

//! The fake host as a source: what it answers, and streams that behave as the names of their datasets say.

use std::io::{self, PipeWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use zfs::host::{Died, Outgoing, Process};
use zfs::name::{Guid, Txg};
use zfs::{Answer, Failure, Happened, Property, Pruned, Query, Record, Refusal, StreamSpec};

/// The datasets that it has.
pub const DATASETS: [&str; 6] = ["b", "b/x", "b/x/y", "b/xx", "b/secret", "c"];

/// The record of a target, which each dataset has.
const RECORD: (&str, &str) =
    ("zfsync:target-1", r#"{"as":"e:d/t","host":"e:22","dataset":"d/t","pool":7,"top":70,"since":17}"#);

/// The GUID of a snapshot of this name.
pub fn guid_of(name: &str) -> Guid {
    Guid(name.len() as u64)
}

/// What is asked.
pub fn answer(query: &Query) -> Answer {
    let property = |on: &str, name: &str| {
        let (on, name) = (on.parse().unwrap(), name.to_owned());
        let value = if name == RECORD.0 { RECORD.1 } else { "v" };
        Property { on, name, value: value.into() }
    };
    match query {
        // Nothing is left of "gone".
        Query::Find { names } => {
            let found = names.iter().filter(|name| !name.contains("gone"));
            Answer::Found(found.map(|name| (dataset_of(name).parse().unwrap(), guid_of(name))).collect())
        }
        Query::Facts { .. } => Answer::Facts(Vec::new()),
        Query::States { .. } => Answer::States(Vec::new()),
        Query::Written { names } => Answer::Numbers(names.iter().map(|name| (name.clone(), 1)).collect()),
        Query::Dates { names } => Answer::Dates(names.iter().map(|name| (name.clone(), 1)).collect()),
        Query::IvSets { names } => Answer::IvSets(names.iter().map(|name| (name.clone(), Guid(1))).collect()),
        Query::Encrypted { .. } => Answer::Maybe(false),
        Query::Estimate { .. } => Answer::Size(Some(1)),
        Query::History { .. } => Answer::Records(DATASETS.into_iter().flat_map(records).collect()),
        Query::Traces { .. } => Answer::Traces(Vec::new()),
        Query::SnapshotNotes { .. } => Answer::Texts(Vec::new()),
        Query::Properties { .. } | Query::PropertiesBelow { .. } => Answer::Properties(
            DATASETS.iter().flat_map(|on| ["zfsync:a", RECORD.0, "quota"].map(|name| property(on, name))).collect(),
        ),
        Query::Names => Answer::Names(DATASETS.map(String::from).to_vec()),
        Query::Bookmark { new } => Answer::Failures(vec![None; new.len()]),
        Query::DropBookmarks { bookmarks } => Answer::Failures(vec![None; bookmarks.len()]),
        Query::SetProperty { .. } | Query::Snapshot { .. } => Answer::Done,
        Query::Prune { snapshots, .. } => Answer::Pruned(Pruned { destroyed: snapshots.len(), ..Pruned::default() }),
    }
}

fn dataset_of(name: &str) -> &str {
    name.split(['@', '#']).next().unwrap()
}

fn records(dataset: &str) -> [Record; 3] {
    [
        Happened::Snapshot { dataset: dataset.into(), object: 1 },
        Happened::Swapped { dataset: dataset.into() },
        Happened::Renamed { from: format!("{dataset}/old"), to: dataset.into() },
    ]
    .map(|what| Record { txg: Txg(1), what })
}

/// The datasets of the streams that have begun, and how many of them still run.
pub type Streamed = (Mutex<Vec<String>>, Arc<AtomicUsize>);

/// A thread that stands for a process of `zfs`.
pub(super) struct FakeProcess {
    pub(super) thread: Mutex<Option<JoinHandle<Result<(), String>>>>,
    pub(super) ended: Arc<AtomicBool>,
}

impl Process for FakeProcess {
    fn wait(&self) -> Result<(), Died> {
        let thread = self.thread.lock().unwrap().take().unwrap();
        let died = |status: String| Died { killed: status.contains("SIGKILL"), status };
        thread.join().unwrap().map_err(died)
    }

    fn end(&self, _: bool) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// Begins a stream.
pub fn stream(streamed: &Streamed, stream: &StreamSpec) -> Result<Outgoing, Failure> {
    let name = stream.dataset().to_string();
    if name.contains("cant") {
        return Err(Failure::new(Refusal::Permission, "cannot send: permission denied"));
    }
    streamed.0.lock().unwrap().push(name.clone());
    let running = Arc::clone(&streamed.1);
    running.fetch_add(1, Ordering::SeqCst);
    let (output, ours) = io::pipe().unwrap();
    let (words, theirs) = io::pipe().unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&ended);
    let thread = thread::spawn(move || {
        let result = behave(&name, ours, theirs, &told);
        running.fetch_sub(1, Ordering::SeqCst);
        result
    });
    let process = Arc::new(FakeProcess { thread: Mutex::new(Some(thread)), ended });
    Ok(Outgoing { output: output.into(), words: Box::new(words), process })
}

/// So many bytes has a whole stream, of its dataset's name.
pub const WHOLE: usize = 300_000;

fn behave(name: &str, mut output: PipeWriter, mut words: PipeWriter, ended: &AtomicBool) -> Result<(), String> {
    let _ = words.write_all(b"size\t300000\n");
    if name.contains("fails") {
        let _ = words.write_all(b"cannot send: nothing there\n");
        return Err("exit status: 1".into());
    }
    if name.contains("unheld") {
        let _ = words.write_all(b"cannot hold: permission denied\n");
        return Err("exit status: 1".into());
    }
    let bytes: Vec<u8> = name.bytes().cycle().take(WHOLE).collect();
    if name.contains("endless") {
        while output.write_all(&bytes).is_ok() {}
        return Err("signal: 13 (SIGPIPE)".into());
    }
    if ["middle", "killed", "stuck"].iter().any(|word| name.contains(word)) {
        let _ = output.write_all(&bytes[..100]);
    }
    if name.contains("middle") {
        let _ = words.write_all(b"warning: cannot send: I/O error\n");
        return Err("exit status: 1".into());
    }
    if name.contains("killed") {
        return Err("signal: 9 (SIGKILL)".into());
    }
    if name.contains("stuck") {
        while !ended.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        return Err("signal: 9 (SIGKILL)".into());
    }
    output.write_all(&bytes).map_err(|_| "signal: 13 (SIGPIPE)".to_owned())
}

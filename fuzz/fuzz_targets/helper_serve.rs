//! A whole session of the helper, with a host that does nothing: no bytes from the peer may make it panic or hang.
#![no_main]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use helper::{Config, serve};
use libfuzzer_sys::fuzz_target;
use zfs::Host;
use zfs::host::{Died, Found, Intake, Process, Sink, Started, Unread};
use zfs::name::{DatasetName, Guid, SnapshotName};
use zfs::{Failure, Hello, Note, Noted, Receive, Rename, Resolution, Pruned};

struct Tame;

impl Host for Tame {
    fn hello(&self) -> Hello {
        let (version, host) = ("0".into(), "fuzz".into());
        Hello { version, host, ..Hello::default() }
    }

    fn find(&self, _: &[&str], _: &mut Unread<'_>) -> Result<Found, Failure> {
        Ok(Found::new())
    }

    fn list(&self, _: &[DatasetName], _: &mut Sink<'_>, _: &mut Unread<'_>) -> Result<(), Failure> {
        Ok(())
    }

    fn tree(&self, _: &DatasetName) -> Result<Vec<DatasetName>, Failure> {
        Ok(Vec::new())
    }

    fn probe(&self, _: &DatasetName) -> Result<(Vec<String>, bool), Failure> {
        Ok((Vec::new(), false))
    }

    fn create_placeholder(&self, _: &DatasetName, _: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn clear(&self, _: &DatasetName) -> Result<(), Failure> {
        Ok(())
    }

    fn dates(&self, _: &[&str]) -> Result<Vec<(String, i64)>, Failure> {
        Ok(Vec::new())
    }

    fn resolve(&self, _: &Resolution, _: bool) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn prune(&self, _: &DatasetName, _: &[(SnapshotName, Guid)], _: bool) -> Result<Pruned, Failure> {
        Ok(Pruned::default())
    }

    fn rename(&self, _: &Rename) -> Result<(), Failure> {
        Ok(())
    }

    fn notes_below(&self, _: &DatasetName) -> Result<Vec<Noted>, Failure> {
        Ok(Vec::new())
    }

    fn notes_on(&self, _: &[&str]) -> Result<Vec<Noted>, Failure> {
        Ok(Vec::new())
    }

    fn note(&self, _: Note, _: Option<&str>, _: &[&str]) -> Result<(), Failure> {
        Ok(())
    }

    fn destroy(&self, _: &DatasetName, _: &[Guid], _: bool) -> Result<(), Failure> {
        Ok(())
    }

    fn claim(&self, _: &DatasetName, _: u64, _: &str) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    fn has_snapshots(&self, _: &DatasetName) -> Result<bool, Failure> {
        Ok(false)
    }

    fn is_empty(&self, _: &DatasetName) -> Result<bool, Failure> {
        Ok(true)
    }

    fn receive(&self, _: &Receive, _: Option<&SnapshotName>) -> Result<Started, Failure> {
        let (mut input, stdin) = io::pipe().expect("a pipe");
        zfs::pipe::set_nonblocking(&stdin, true).expect("a pipe can be made non-blocking");
        // Takes everything, as `zfs recv` would.
        let thread = thread::spawn(move || _ = io::copy(&mut input.by_ref(), &mut io::sink()));
        let process = Arc::new(Reader(Mutex::new(Some(thread))));
        Ok(Started { stdin: Intake::new(stdin.into()), words: Box::new(io::empty()), process })
    }

    fn filled(&self, _: &DatasetName, _: bool) {}
}

struct Reader(Mutex<Option<JoinHandle<()>>>);

impl Process for Reader {
    fn wait(&self) -> Result<(), Died> {
        let thread = self.0.lock().ok().and_then(|mut thread| thread.take());
        thread.map_or(Ok(()), |thread| thread.join().map_err(|_| Died { status: "panicked".into(), killed: false }))
    }

    fn end(&self, _: bool) {}
}

/// How many threads this process has.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fuzz_target!(|bytes: &[u8]| {
    let before = threads();
    let (input, mut feeder) = io::pipe().expect("a pipe");
    let output = File::options().write(true).open("/dev/null").expect("/dev/null");
    thread::scope(|scope| {
        scope.spawn(move || _ = feeder.write_all(bytes));
        let _ = serve(Config::default(), input.into(), output.into(), Arc::new(Tame));
    });
    // A session leaves its last threads to themselves. Where the fuzzer ends, or looks for leaks, beside one that begins or
    // ends, that one's memory counts as leaked. So each input waits for its own, which also shows any that never ends.
    let deadline = Instant::now() + Duration::from_secs(15);
    while threads() > before {
        assert!(Instant::now() < deadline, "a thread of the session has not ended");
        thread::sleep(Duration::from_micros(50));
    }
});

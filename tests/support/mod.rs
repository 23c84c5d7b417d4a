//! A bed for tests of the command line: a temporary directory with a fake `zfs`, its own lock directory, and the means to
//! start zfsync in it and to see what it leaves behind.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod ship;
pub mod sshd;
pub mod terminal;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zfs::Kind;
use zfs::name::Guid;
use zfs::record::{Begin, ByteOrder, Features, HeaderType, SIZE};
use zfs::testing::write_script;

const FAKE_ZFS: &str = include_str!("fake-zfs");

/// What is waited for happens within this time, or the test fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// The zfsync under test.
pub fn zfsync() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_zfsync"))
}

/// A BEGIN record. All are of the same dataset and snapshot, and increments of their own.
pub fn begin(kind: Option<Kind>, from: Option<Guid>) -> [u8; SIZE] {
    let (order, header, features) = (ByteOrder::Little, HeaderType::Substream, Features::default());
    let name = b"s@x".to_vec();
    Begin { order, header, features, kind, clone: false, to: Guid(1), from, name, content: 0 }.to_bytes()
}

/// The temporary directory with all that a run needs.
pub struct Bed {
    dir: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bed {
    /// With a fake `zfs` on PATH, and a world of nothing.
    pub fn new() -> Self {
        let bed = Self::without_zfs();
        for name in ["zfs", "zpool"] {
            bed.script(&format!("bin/{name}"), FAKE_ZFS);
        }
        for name in ["world", "kinds", "written", "calls"] {
            bed.write(name, "");
        }
        bed.records();
        bed
    }

    /// What the streams of the fake `zfs` are put together from.
    fn records(&self) {
        fs::create_dir(self.path("records")).unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(self.path("records").join(name), bytes).unwrap();
        for kind in [Kind::Filesystem, Kind::Volume] {
            put(&format!("{kind}-"), &begin(Some(kind), None));
            put(&format!("{kind}-increment"), &begin(Some(kind), Some(Guid(1))));
        }
        let package = Begin::read(&begin(None, None)).unwrap();
        put("package", &Begin { header: HeaderType::Package, to: Guid(0), ..package }.to_bytes());
        let record = |kind: u8| {
            let mut record = [0; SIZE];
            record[0] = kind;
            record
        };
        put("end", &record(5));
        // WRITE into object 1, with a logical size of 512 bytes.
        let mut content = record(3);
        content[8] = 1;
        content[33] = 2;
        put("content", &content);
    }

    /// With nothing on PATH but the system.
    pub fn without_zfs() -> Self {
        let bed = Self { dir: tempfile::Builder::new().prefix("bed").tempdir().unwrap() };
        for dir in ["bin", "run"] {
            fs::create_dir(bed.path(dir)).unwrap();
        }
        bed
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Writes an executable file.
    pub fn script(&self, name: &str, text: &str) {
        write_script(&self.path(name), text);
    }

    /// Adds datasets and snapshots, each `(name, guid, createtxg)`.
    pub fn world(&self, objects: &[(&str, u64, u64)]) {
        let mut text = self.read("world");
        for (name, guid, txg) in objects {
            writeln!(text, "{name}\t{guid}\t{txg}").unwrap();
        }
        self.write("world", &text);
    }

    /// `count` datasets below `s`, each with snapshots `@a` and `@b`, and the same below `d` with `@a` alone.
    pub fn world_with_work(&self, count: u64) {
        self.world(&[("s", 1, 1), ("d", 2, 1)]);
        for n in 1..=count {
            let (here, there) = (format!("s/{n}"), format!("d/{n}"));
            self.world(&[
                (&here, n * 10, 2),
                (&format!("{here}@a"), n * 10 + 1, 3),
                (&format!("{here}@b"), n * 10 + 2, 4),
                (&there, n * 10 + 3, 2),
                (&format!("{there}@a"), n * 10 + 1, 3),
            ]);
        }
    }

    /// What `zfs` was called with, one call a line.
    pub fn calls(&self) -> Vec<String> {
        self.read("calls").lines().map(ToOwned::to_owned).collect()
    }

    /// The calls of the fake `zfs` that change something, on either side: all that don't only ask.
    pub fn changes(&self) -> Vec<String> {
        let asks = ["zfs list ", "zfs get ", "zpool ", "zfs userspace ", "zfs version", "zfs send -n", "zfs allow "];
        self.calls().into_iter().filter(|call| !asks.iter().any(|asks| call.starts_with(asks))).collect()
    }

    /// zfsync with the bed's PATH and lock directory, not started yet. No stdin, and no trace of the user's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(zfsync());
        command
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("ZFSYNC_LOCK_DIR", self.path("run/zfsync"))
            .env("ZFSYNC_STATE_DIR", self.path("state/own"))
            .env("TMPDIR", std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
            command.env("LLVM_PROFILE_FILE", profile);
        }
        command
    }

    /// Runs zfsync to its end.
    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).spawn().unwrap())
    }

    /// Processes that belong to this bed: those that have its directory in their arguments or environment. Not sshd, which
    /// outlives a connection by a moment.
    pub fn processes(&self) -> Vec<String> {
        let bed = self.dir.path().as_os_str().as_encoded_bytes().to_vec();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|byte| byte.is_ascii_digit()) || pid == std::process::id().to_string() {
                continue;
            }
            // Any of these may go away at any moment.
            let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
            let arguments = read("cmdline");
            let mine = [&arguments, &read("environ")].iter().any(|bytes| contains(bytes, &bed));
            let words = String::from_utf8_lossy(&arguments).replace('\0', " ");
            if mine && !words.contains("sshd") {
                found.push(format!("{pid} {words}"));
            }
        }
        found
    }

    /// Waits until no process of this bed is left.
    pub fn wait_for_no_process(&self) {
        let mut left = Vec::new();
        let gone = eventually(|| {
            left = self.processes();
            left.is_empty()
        });
        assert!(gone, "still running: {left:#?}");
    }

    /// Waits for a file that some process of the bed writes.
    pub fn wait_for_file(&self, name: &str) {
        assert!(eventually(|| self.path(name).exists()), "{name} never appeared");
    }
}

impl Ended {
    /// Waits for a process with piped output.
    pub fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Checks the exit code and that stderr has each of these words.
    #[track_caller]
    pub fn expect(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Checks that stderr has none of these words.
    #[track_caller]
    pub fn without(&self, words: &[&str]) -> &Self {
        for word in words {
            assert!(!self.stderr.contains(word), "{word:?} in {self:#?}");
        }
        self
    }
}

/// Asks again and again until it is so; `false` when the deadline passes.
pub fn eventually(mut so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while !so() {
        if started.elapsed() > DEADLINE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Sends a signal to a child that has not been waited for.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// Whether this machine has a `zfs` of its own in the places that zfsync searches beside PATH.
pub fn has_zfs() -> bool {
    ["/sbin", "/usr/sbin", "/usr/local/sbin", "/bin", "/usr/bin"].iter().any(|dir| Path::new(dir).join("zfs").exists())
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

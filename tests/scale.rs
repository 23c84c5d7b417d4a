//! Much to look at and nothing to do: the memory and the processor time of sender and helper, and that the number of
//! processes stays the same. The `zfs` is a fake (support/fake-zfs), so nothing is said about what ZFS itself takes.
//!
//! docs/benchmarks.md tells how to get figures; ZFSYNC_SCALE=DATASETSxSNAPSHOTS sets another size.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use support::{Bed, Ended};

const MIB: u64 = 1 << 20;
/// A debug build has more of its own code and tables in memory: 16 MiB in all were seen of a helper that has 6 in a release build.
const DEBUG: u64 = if cfg!(debug_assertions) { 12 * MIB } else { 0 };
/// What the sender may use at most for a thousand datasets with a thousand snapshots each.
const SENDER: u64 = 64 * MIB + DEBUG;
/// And the helper.
const HELPER: u64 = 16 * MIB + DEBUG;

/// One listing here; there the names of the datasets, and one question, which several processors share.
const MOST_CALLS: usize = 1 + 1 + 4;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, Default)]
struct Used {
    /// Peak of its resident memory, in bytes.
    memory: u64,
    /// Processor time of all its threads in clock ticks (100 a second), its children left out.
    ticks: u64,
}

impl Used {
    /// PendingRequests again, as long as it is there; memory is gone a moment before the time is.
    fn update(&mut self, pid: u32) {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let status = read("status");
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse::<u64>().ok());
        self.memory = self.memory.max(peak.unwrap_or(0) * 1024);
        // Behind the name, which may hold anything.
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        self.ticks = self.ticks.max(ticks(11) + ticks(12));
    }

    fn show(self) -> String {
        let (tenths, ticks) = (self.memory * 10 / MIB, self.ticks);
        format!("{}.{} MiB, {}.{:02} s CPU", tenths / 10, tenths % 10, ticks / 100, ticks % 100)
    }
}

/// The helper among a process's children.
fn helper_of(pid: u32) -> Option<u32> {
    let children = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().flat_map(|task| {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()).collect::<Vec<_>>()
    });
    children.into_iter().find(|child| {
        let arguments = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        arguments.windows(13).any(|words| words == b"recv\0--stdio\0")
    })
}

/// Watches sender and helper to their ends.
fn watch(sender: &Child) -> (Used, Used) {
    let (mut of_sender, mut of_helper) = (Used::default(), Used::default());
    let pid = Pid::from_child(sender);
    let mut helper = None;
    loop {
        of_sender.update(sender.id());
        helper = helper.or_else(|| helper_of(sender.id()));
        if let Some(helper) = helper {
            of_helper.update(helper);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), options).unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // Not reaped yet: its time is complete.
    of_sender.update(sender.id());
    assert!(of_helper.memory > 0, "the helper was never seen");
    (of_sender, of_helper)
}

/// A tree on both sides that is in sync, with the bookmarks that a run leaves.
fn world(bed: &Bed, datasets: u64, snapshots: u64) {
    let tags = zfs::Tags::new("", zfs::name::Guid(5));
    for (file, top) in [("source", "tank/data"), ("world", "backup/copies")] {
        let mut text = String::new();
        if file == "world" {
            text.push_str("backup\t5\t1\n");
        }
        let mut dataset = |name: &str, number: u64| {
            writeln!(text, "{name}\t{}\t{}", (number + 1) * 7_777_777, number + 2).unwrap();
            let mut last = String::new();
            for snapshot in 0..snapshots {
                let guid = (number * snapshots + snapshot + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                last = format!("auto_2026-11-22_{snapshot:05}\t{guid}\t{}", 1000 + snapshot * 100 + number);
                writeln!(text, "{name}@{last}").unwrap();
            }
            if file == "source" {
                let there = name.replacen("tank/data", "backup/copies", 1);
                let tag = tags.of(&there.parse().unwrap());
                writeln!(text, "{name}#zfsync-{tag}-{last}").unwrap();
            }
        };
        dataset(top, 0);
        for number in 1..datasets {
            dataset(&format!("{top}/department-{:03}/user-{number:06}", number / 1000), number);
        }
        bed.write(file, &text);
    }
}

fn size() -> (u64, u64) {
    let parse = |size: String| size.split_once('x').and_then(|(d, s)| Some((d.parse().ok()?, s.parse().ok()?)));
    std::env::var("ZFSYNC_SCALE").ok().and_then(parse).unwrap_or((1000, 1000))
}

#[test]
fn a_large_tree_with_nothing_to_do() {
    if !cfg!(target_os = "linux") {
        return eprintln!("skipped: reads /proc");
    }
    let bed = Bed::new();
    let (datasets, snapshots) = size();
    world(&bed, datasets, snapshots);
    let run = bed.command(&["push", "tank/data", "backup/copies"]).spawn().unwrap();
    let (sender, helper) = watch(&run);
    let ended = Ended::of(run);
    ended.expect(0, &[&format!("zfsync: {datasets} datasets in sync, nothing to do (")]);
    eprintln!("{datasets} datasets x {snapshots} snapshots on both sides, nothing to do:");
    eprintln!("  sender {}; helper {}; {}", sender.show(), helper.show(), ended.stderr.trim());
    let calls = bed.calls();
    eprintln!("  {} calls of zfs", calls.len());
    if (datasets, snapshots) == (1000, 1000) {
        assert!(calls.len() <= MOST_CALLS, "{calls:#?}");
        assert!(sender.memory <= SENDER, "sender: {}", sender.show());
        assert!(helper.memory <= HELPER, "helper: {}", helper.show());
    }
}

#[test]
fn more_datasets_take_no_more_processes() {
    for datasets in [1, 300, 1500] {
        let bed = Bed::new();
        world(&bed, datasets, 3);
        bed.run(&["push", "tank/data", "backup/copies"]).expect(0, &["nothing to do"]);
        let calls = bed.calls();
        assert!(calls.len() <= MOST_CALLS, "{datasets} datasets: {calls:#?}");
    }
}

#[test]
fn results_of_what_is_in_sync_are_written_once() {
    let bed = Bed::new();
    let (datasets, _) = size();
    world(&bed, datasets, 3);
    let state = bed.path("state").display().to_string();
    let args = ["push", "--state-dir", &state, "tank/data", "backup/copies"];
    let folder = bed.path("state").join("backup%2Fcopies");
    let files = || {
        let entries = fs::read_dir(&folder).unwrap().map(Result::unwrap);
        let files = entries.map(|entry| (entry.file_name(), entry.metadata().unwrap().modified().unwrap()));
        files.collect::<BTreeMap<_, _>>()
    };
    let run = |args: &[&str]| {
        let run = bed.command(args).spawn().unwrap();
        let used = watch(&run).0;
        Ended::of(run).expect(0, &["nothing to do"]);
        used
    };
    let without = run(&["push", "tank/data", "backup/copies"]);
    let first = run(&args);
    let mut before = files();
    assert_eq!(before.len() as u64, datasets + 1);
    let second = run(&args);
    let mut after = files();
    let run_file = OsStr::new("run.json");
    assert!(before.remove(run_file) < after.remove(run_file));
    assert_eq!(before, after);
    eprintln!("{datasets} datasets, nothing to do: without a state folder {}", without.show());
    eprintln!("  the first run with one {}; the next {}", first.show(), second.show());
}

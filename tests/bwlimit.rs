//! A bandwidth limit: kept over all streams, and no reason to end one. Bounds are lower ones alone, as a busy machine may take any time.

mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::sshd::reached;
use support::{Bed, Ended, signal};

/// What the content of a stream has at least, for each dataset.
const CONTENT: u32 = 400 * 824;

/// `count` datasets below `s` with a stream of [`CONTENT`] each.
fn bed(count: u64) -> Bed {
    let bed = Bed::new();
    bed.world_with_work(count);
    bed.write(
        "on-send",
        "cat \"$here/records/filesystem-${base:+increment}\"\n\
         perl -e 'local $/; open my $file, \"<\", $ARGV[0]; print +(<$file> . \"x\" x 512) x 400' \"$here/records/content\"\n\
         cat \"$here/records/content\"\nprintf '\\nbrings %-504.504s' \"$(grep \"^$last\" \"$here/world\")\"\n\
         cat \"$here/records/end\"\nexit 0\n",
    );
    bed
}

/// Less than that would be too fast: a portion for each stream and a moment go at once.
fn at_least(datasets: u32, per_second: u32) -> Duration {
    Duration::from_millis(u64::from(datasets * CONTENT) * 1000 / u64::from(per_second) - 500)
}

#[test]
fn all_streams_together_keep_the_limit() {
    let bed = bed(3);
    let began = Instant::now();
    let ended = bed.run(&["push", "-j", "3", "--bwlimit", "200KiB/s", "s", "d"]);
    let took = began.elapsed();
    ended.expect(0, &["3 datasets in sync (3 updated"]);
    assert!(took >= at_least(3, 200 << 10), "{took:?}");
    for dataset in 1..=3 {
        assert!(bed.read("world").contains(&format!("d/{dataset}@b\t")), "{dataset}");
    }
}

#[test]
fn over_ssh_in_both_directions() {
    let Some((bed, _sshd)) = reached(bed(0)) else { return };
    // All streams of the fake zfs bring a snapshot with this GUID.
    bed.world(&[("s/x", 3, 1), ("s/x@a", 1, 2)]);
    let (config, there) = (bed.path("ssh_config"), bed.path("there"));
    let options = ["-F", config.to_str().unwrap(), "--remote-zfsync", there.to_str().unwrap(), "--bwlimit", "150K"];
    for ends in [["push", "s/x", "beta:d/pushed"], ["pull", "beta:s/x", "d/pulled"]] {
        let began = Instant::now();
        let ended = bed.run(&[&ends[..], &options].concat());
        let took = began.elapsed();
        ended.expect(0, &["1 dataset in sync (1 updated"]);
        assert!(took >= at_least(1, 150 << 10), "{ends:?}: {took:?}");
    }
    let world = bed.read("world");
    assert!(world.contains("d/pushed@a\t1\t") && world.contains("d/pulled@a\t1\t"), "{world}");
}

/// A stream's turn comes every 2.5 seconds, a heartbeat every 15.
#[test]
fn what_waits_for_its_turn_has_not_stalled() {
    let bed = Bed::new();
    bed.world_with_work(10);
    let began = Instant::now();
    let ended = bed.run(&["push", "-j", "10", "--retries", "0", "--stall-timeout", "3s", "--bwlimit", "1K", "s", "d"]);
    ended.expect(0, &["10 datasets in sync (10 updated"]).without(&["no progress"]);
    // BEGIN, WRITE with its content, and END: what the fake zfs sends by itself.
    let bytes = 10 * (312 + 824 + 312);
    assert!(began.elapsed() >= Duration::from_secs(1) * (bytes - 10 * 512) / 1024, "{:?}", began.elapsed());
}

#[test]
fn a_signal_ends_a_run_that_waits_for_its_turn() {
    let bed = Bed::new();
    bed.world_with_work(2);
    bed.write("on-send", "cat \"$here/records/filesystem-increment\" /dev/zero\nexit\n");
    bed.write("on-recv", "echo $$ >\"$here/receiving\"\n");
    let run = bed.command(&["push", "--bwlimit", "1K", "s", "d"]).spawn().unwrap();
    bed.wait_for_file("receiving");
    let began = Instant::now();
    signal(&run, Signal::INT);
    Ended::of(run).expect(130, &["interrupted after"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    bed.wait_for_no_process();
}

#[test]
fn what_is_no_limit_is_refused() {
    let bed = Bed::new();
    for (rate, words) in [
        ("0", "leave the limit out"),
        ("5000", "the unit is missing"),
        ("5Mbit/s", "in bytes, not in bits"),
        ("fast", "such as 500K, 50M or 1.5GiB"),
    ] {
        for command in [["push", "s", "d"], ["pull", "beta:s", "d"], ["restore", "s", "d"], ["cron", "s", "d"]] {
            let ended = bed.run(&[&command[..], &["--bwlimit", rate]].concat());
            ended.expect(2, &[&format!("invalid value '{rate}' for '--bwlimit <RATE>'"), words]);
        }
    }
    assert_eq!(bed.calls(), [] as [&str; 0], "zfs was called");
}

//! Tests of the pump on real pipes.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::sync::Arc;
use std::thread;

use super::*;
use zfs::pipe::grow_pipe;

/// Bytes that tell their place.
fn pattern(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

fn feed(len: usize) -> PipeReader {
    let (input, mut feeder) = pipe().unwrap();
    grow_pipe(&input);
    thread::spawn(move || {
        // Odd pieces, as `zfs send` writes them.
        for piece in pattern(len).chunks(7919) {
            if feeder.write_all(piece).is_err() {
                return;
            }
        }
    });
    input
}

/// Takes frames apart until the end.
fn unframe(mut input: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(header) = Header::read(&mut input).unwrap() {
        assert_eq!(header.kind, FrameKind::Data);
        assert!(header.len > 0);
        let start = all.len();
        all.resize(start + header.len, 0);
        input.read_exact(&mut all[start..]).unwrap();
    }
    all
}

fn pump(mover: Mover, len: usize) -> Vec<u8> {
    let (reader, output) = pipe().unwrap();
    let sink = thread::spawn(move || unframe(reader));
    let (progress, abort) = (AtomicU64::new(0), AtomicBool::new(false));
    let sender = Sender {
        mover,
        input: &feed(len),
        output: &output,
        progress: &progress,
        abort: &abort,
        paced: None,
        turn: || (),
    };
    assert_eq!(sender.run().unwrap(), Sent::Eof);
    drop(output);
    assert_eq!(progress.into_inner(), len as u64);
    sink.join().unwrap()
}

fn copying() -> Mover {
    Mover { splice: false, ..Mover::new() }
}

#[test]
fn every_byte_arrives_spliced_or_copied() {
    for len in [0, 1, 4095, 65_537, 1_048_577, 5_000_003, 9_000_007] {
        assert!(pump(Mover::new(), len) == pattern(len), "{len} spliced");
        assert!(pump(copying(), len) == pattern(len), "{len} copied");
    }
}

#[test]
fn an_idle_or_blocked_stream_can_be_aborted() {
    for blocked in [false, true] {
        let (input, mut feeder) = pipe().unwrap();
        let (_reader, output) = pipe().unwrap();
        let abort = Arc::new(AtomicBool::new(false));
        let setter = Arc::clone(&abort);
        thread::spawn(move || {
            // The nobody-reads pipe takes 64 KiB.
            let _ = feeder.write_all(&vec![0; if blocked { 600_000 } else { 10 }]);
            thread::sleep(Duration::from_millis(300));
            setter.store(true, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(60));
        });
        let started = Instant::now();
        let watcher = Arc::clone(&abort);
        if blocked {
            // The feeder itself is stuck.
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                watcher.store(true, Ordering::Relaxed);
            });
        }
        let sent = send(&input, &output, &AtomicU64::new(0), &abort, None);
        // Within a frame that nobody takes, the channel is given up; never is it waited for long.
        assert!(matches!(sent, Ok(Sent::Aborted) | Err(PumpError::Output(_))), "{sent:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_closed_output_is_told_apart() {
    let (reader, output) = pipe().unwrap();
    drop(reader);
    let sent = send(&feed(100_000), &output, &AtomicU64::new(0), &AtomicBool::new(false), None);
    assert!(matches!(sent, Err(PumpError::Output(ref error)) if error.kind() == io::ErrorKind::BrokenPipe), "{sent:?}");
}

fn take(mut mover: Mover, output: Option<&PipeWriter>, len: usize) -> (io::Result<Taken>, PipeReader) {
    let input = feed(len + 1000);
    if let Some(output) = output {
        set_nonblocking(output, true).unwrap();
    }
    (mover.take(&input, output, len), input)
}

#[test]
fn a_long_stream_is_gathered_and_the_next_one_begins_at_once() {
    let len = LONG + 3_000_001;
    let mut mover = Mover::new();
    let input = feed(2 * len);
    for part in 0..2 {
        let (mut reader, output) = pipe().unwrap();
        let sink = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        mover.begin();
        assert_eq!(mover.moved, 0);
        let mut left = len;
        while left > 0 {
            let frame = left.min(MAX_DATA);
            assert_eq!(mover.take(&input, Some(&output), frame).unwrap(), Taken::All);
            left -= frame;
        }
        assert_eq!(mover.moved, len);
        drop(output);
        assert!(sink.join().unwrap() == pattern(2 * len)[part * len..][..len], "part {part}");
    }
}

#[test]
fn exactly_one_body_is_taken() {
    for mover in [Mover::new(), copying()] {
        let (mut reader, output) = pipe().unwrap();
        let sink = thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        let (taken, mut rest) = take(mover, Some(&output), 777_777);
        assert_eq!(taken.unwrap(), Taken::All);
        drop(output);
        assert!(sink.join().unwrap().unwrap() == pattern(777_777));
        let mut left = Vec::new();
        rest.read_to_end(&mut left).unwrap();
        assert!(left == pattern(778_777)[777_777..]);
    }
}

#[test]
fn what_a_broken_receiver_refuses_is_dropped_exactly() {
    for (mover, reads) in [(Mover::new(), 0), (copying(), 0), (Mover::new(), 100_000), (copying(), 100_000)] {
        let (mut reader, output) = pipe().unwrap();
        let sink = thread::spawn(move || reader.read_exact(&mut vec![0; reads]));
        let (taken, mut rest) = take(mover, Some(&output), 1_000_000);
        assert_eq!(taken.unwrap(), Taken::Refused);
        sink.join().unwrap().unwrap();
        let mut left = Vec::new();
        rest.read_to_end(&mut left).unwrap();
        assert_eq!(left.len(), 1000);
    }
    let (taken, mut rest) = take(Mover::new(), None, 1_000_000);
    assert_eq!(taken.unwrap(), Taken::Refused);
    assert_eq!(rest.read_to_end(&mut Vec::new()).unwrap(), 1000);
}

#[test]
fn a_sender_that_is_gone_is_not_waited_for() {
    // In the middle of a body.
    let (_reader, output) = pipe().unwrap();
    let error = Mover::new().take(&feed(1000), Some(&output), 2000).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    // While a receiver takes nothing: all its 64 KiB are full.
    let (_reader, output) = pipe().unwrap();
    let (input, mut feeder) = pipe().unwrap();
    grow_pipe(&input);
    feeder.write_all(&pattern(500_000)).unwrap();
    drop(feeder);
    let started = Instant::now();
    assert!(Mover::new().take(&input, Some(&output), 500_000).is_err());
    assert!(started.elapsed() < PATIENCE + Duration::from_secs(5));
}

/// A limit that lets bytes pass in portions, in whole frames, and can be aborted at any time.
#[test]
fn a_paced_stream_arrives_in_portions_and_not_too_early() {
    let (reader, output) = pipe().unwrap();
    let sink = thread::spawn(move || unframe(reader));
    let (pace, held) = (Pace::new(40_000.try_into().unwrap()), AtomicBool::new(true));
    let started = Instant::now();
    let paced = Some(Paced { pace: &pace, held: &held });
    let sent = send(&feed(20_000), &output, &AtomicU64::new(0), &AtomicBool::new(false), paced);
    assert_eq!(sent.unwrap(), Sent::Eof);
    drop(output);
    assert!(sink.join().unwrap() == pattern(20_000));
    // The last portion goes when all before it are paid for; a moment is made good.
    assert!(started.elapsed() >= Duration::from_millis(350), "{:?}", started.elapsed());
    assert!(!held.into_inner());
}

#[test]
fn a_stream_that_is_held_says_so_and_can_be_aborted() {
    let (mut reader, output) = pipe().unwrap();
    let (pace, held, abort) = (Pace::new(1.try_into().unwrap()), AtomicBool::new(false), AtomicBool::new(false));
    let input = feed(100_000);
    thread::scope(|scope| {
        let paced = Some(Paced { pace: &pace, held: &held });
        let (abort, output) = (&abort, &output);
        let stream = scope.spawn(move || send(&input, output, &AtomicU64::new(0), abort, paced));
        let mut first = [0; 8 + 512];
        reader.read_exact(&mut first).unwrap();
        while !held.load(Ordering::Relaxed) {
            assert!(!stream.is_finished());
            thread::yield_now();
        }
        abort.store(true, Ordering::Relaxed);
        assert_eq!(stream.join().unwrap().unwrap(), Sent::Aborted);
    });
    assert!(!held.into_inner());
    drop(output);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "half a frame");
}

//! Tests of the bucket, by a clock of their own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn bucket(per_second: u64) -> Bucket {
    Bucket::new(NonZeroU64::new(per_second).unwrap())
}

/// Streams that always have enough to move, and each does so as soon as it may: the bytes of each, and all portions with their times.
fn moved(per_second: u64, streams: usize, span: Duration) -> (BTreeMap<usize, usize>, Vec<(Duration, usize)>) {
    let (start, mut bucket) = (Instant::now(), bucket(per_second));
    // What each has bought, and when that may go.
    let mut waiting: Vec<_> = (0..streams).map(|_| bucket.next(start, MAX_DATA)).collect();
    let (mut of_each, mut all) = (BTreeMap::new(), Vec::new());
    loop {
        let first = (0..streams).min_by_key(|stream| waiting[*stream].1).unwrap();
        let (len, now) = waiting[first];
        if now >= start + span {
            return (of_each, all);
        }
        *of_each.entry(first).or_default() += len;
        all.push((now - start, len));
        waiting[first] = bucket.next(now, MAX_DATA);
    }
}

#[test]
fn a_rate_is_kept_from_the_first_second_to_the_last() {
    for per_second in [1024, 5000, 100 << 10, 50_000_000, 10 << 30] {
        let seconds = if per_second > 1 << 30 { 3 } else { 30 };
        let (_, all) = moved(per_second, 3, Duration::from_secs(seconds));
        let portion = all.iter().map(|(_, len)| *len).max().unwrap();
        for second in 0..seconds {
            let within = |at: &Duration| at.as_secs() == second;
            let bytes: usize = all.iter().filter(|(at, _)| within(at)).map(|(_, len)| len).sum();
            let expected = usize::try_from(per_second).unwrap();
            assert!(bytes.abs_diff(expected) <= portion, "{bytes} bytes in second {second} at {per_second}");
        }
    }
}

#[test]
fn no_portion_is_more_than_a_fraction_of_a_second() {
    for (per_second, portion) in [(1, 512), (1024, 512), (10_000, 1000), (1 << 20, 104_857), (1 << 40, MAX_DATA)] {
        assert_eq!(bucket(per_second).next(Instant::now(), usize::MAX).0, portion);
    }
    assert_eq!(bucket(1 << 20).next(Instant::now(), 7).0, 7);
}

#[test]
fn streams_have_equal_shares() {
    let (of_each, _) = moved(100_000, 7, Duration::from_secs(60));
    let (least, most) = (of_each.values().min().unwrap(), of_each.values().max().unwrap());
    assert_eq!(of_each.len(), 7);
    assert!(most - least <= 10_000, "{of_each:?}");
}

#[test]
fn time_that_nobody_has_used_is_lost_but_for_a_moment() {
    let (start, mut bucket) = (Instant::now(), bucket(1000));
    assert_eq!(bucket.next(start, 100), (100, start));
    // After an hour: 50 ms are good for 50 bytes.
    let later = start + Duration::from_secs(3600);
    assert_eq!(bucket.next(later, 100), (100, later));
    assert_eq!(bucket.next(later, 100), (100, later + Duration::from_millis(50)));
    assert_eq!(bucket.next(later, 100), (100, later + Duration::from_millis(150)));
}

#[test]
fn rates_beyond_all_measure_overflow_nothing() {
    for per_second in [1, u64::MAX] {
        let (now, mut bucket) = (Instant::now(), bucket(per_second));
        let (mut last, mut sum) = (now, 0);
        for _ in 0..1000 {
            let (len, at) = bucket.next(now, usize::MAX);
            assert!(at >= last);
            (last, sum) = (at, sum + len);
        }
        assert!(sum >= 512_000);
    }
}

proptest! {
    #[test]
    fn never_more_than_the_rate(per_second in 1_u64..1 << 31, asked in prop::collection::vec((0_u64..2_000, 1_usize..3 << 20), 1..200)) {
        let (start, mut bucket) = (Instant::now(), bucket(per_second));
        let (mut now, mut moved) = (start, 0);
        for (pause, ready) in asked {
            now += Duration::from_millis(pause);
            let (len, at) = bucket.next(now, ready);
            prop_assert!(at >= now && len > 0 && len <= ready);
            // Without this portion, as that is moved from then on.
            let most = (at - start + LATE).as_nanos() * u128::from(per_second) / 1_000_000_000;
            prop_assert!(moved as u128 <= most + 1, "{moved} bytes, {most} allowed");
            moved += len;
            now = at;
        }
    }
}

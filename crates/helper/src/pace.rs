//! How fast streams may go: a token bucket that all of them draw on, and that sells its tokens in advance. Whoever asks gets a portion
//! and the time at which it may be moved, so those who wait are served in the order in which they have asked, each once.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::wire::MAX_DATA;

/// A portion takes a tenth of a second at most, unless the rate is very low: less than this isn't worth a frame.
const PARTS: u64 = 10;
const LEAST: usize = 512;
/// So much time that nobody has used is made good: whoever sleeps wakes up a little late. All else is lost, as it would make a burst.
const LATE: Duration = Duration::from_millis(50);

/// A limit that streams have in common.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU64,
    bucket: Mutex<Bucket>,
}

impl Pace {
    /// So many bytes in a second.
    #[must_use]
    pub fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, bucket: Mutex::new(Bucket::new(per_second)) }
    }

    /// How many bytes in a second.
    #[must_use]
    pub fn per_second(&self) -> NonZeroU64 {
        self.per_second
    }

    /// How many of `ready` bytes may be moved next, and when; they count as moved.
    #[must_use]
    pub fn next(&self, ready: usize) -> (usize, Instant) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.next(Instant::now(), ready)
    }
}

/// The same without a clock.
#[derive(Debug)]
struct Bucket {
    per_second: NonZeroU64,
    /// When all that was sold has been moved.
    free: Option<Instant>,
}

impl Bucket {
    fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, free: None }
    }

    fn next(&mut self, now: Instant, ready: usize) -> (usize, Instant) {
        let portion = usize::try_from(self.per_second.get() / PARTS).unwrap_or(MAX_DATA).clamp(LEAST, MAX_DATA);
        let len = ready.min(portion);
        let earliest = now.checked_sub(LATE).unwrap_or(now);
        let at = self.free.map_or(now, |free| free.max(earliest));
        self.free = Some(at + self.time_of(len));
        (len, at.max(now))
    }

    /// Rounded up: never faster than allowed.
    fn time_of(&self, len: usize) -> Duration {
        let nanos = (len as u128 * 1_000_000_000).div_ceil(u128::from(self.per_second.get()));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;

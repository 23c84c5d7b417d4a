//! How often is tried again, and after which pauses.

use std::time::Duration;

use super::Limits;
use crate::backoff;

/// The first pause; each further one is twice as long. A receive that was cut may still be storing what it has got.
const FIRST: Duration = Duration::from_secs(2);

impl Limits {
    /// How long to wait after so many tries without progress; `None` when it was tried often enough.
    pub fn pause(&self, tries: u32) -> Option<Duration> {
        Backoff::new(self).pause(tries, 0)
    }
}

/// Pauses that grow and differ, so that runs which failed together don't come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    retries: u32,
    max_wait: Duration,
    seed: u64,
}

impl Backoff {
    pub fn new(limits: &Limits) -> Self {
        Self { retries: limits.retries, max_wait: limits.max_wait, seed: limits.seed }
    }

    /// How many tries there are without progress.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// How long to wait after so many tries without progress; `None` when it was tried often enough. `salt` sets apart
    /// those who wait at the same time.
    pub fn pause(&self, tries: u32, salt: u64) -> Option<Duration> {
        if tries >= self.retries {
            return None;
        }
        let seed = self.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(backoff::pause(FIRST, self.max_wait, tries, Some(seed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(retries: u32, max_wait: u64) -> Backoff {
        Backoff { retries, max_wait: Duration::from_secs(max_wait), seed: 5 }
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = backoff(9, 60);
        for (tries, most) in [(0, 2), (1, 4), (2, 8), (4, 32), (5, 60), (8, 60)] {
            let most = Duration::from_secs(most);
            for salt in 0..50 {
                let pause = backoff.pause(tries, salt).unwrap();
                assert!(pause <= most && pause >= most / 2, "{tries}: {pause:?}");
            }
            assert_ne!(backoff.pause(tries, 1), backoff.pause(tries, 2));
        }
        assert_eq!(backoff.pause(9, 0), None);
        assert_eq!(super::tests::backoff(0, 60).pause(0, 0), None);
        assert_eq!(super::tests::backoff(9, 0).pause(3, 7), Some(Duration::ZERO));
        assert!(super::tests::backoff(u32::MAX, 60).pause(4_000_000_000, 0).is_some());
    }
}

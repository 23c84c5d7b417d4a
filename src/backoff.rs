//! Pauses between tries: they grow, and differ, so that those who failed together don't come back together. By backon.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// So many times a pause doubles; whoever tries more often has long been at the longest one.
const DOUBLES: u32 = 20;

/// The pause after so many tries: about `first` times two to the power of `tries`, and at most `longest`; between half of that and all of
/// it. `seed` makes it the same each time.
#[must_use]
pub fn pause(first: Duration, longest: Duration, tries: u32, seed: Option<u64>) -> Duration {
    // backon adds up to as much again.
    let half = |pause: Duration| pause / 2;
    let mut builder = ExponentialBuilder::new().without_max_times().with_jitter();
    builder = builder.with_min_delay(half(first.min(longest))).with_max_delay(half(longest));
    if let Some(seed) = seed {
        builder = builder.with_jitter_seed(seed.wrapping_add(tries.into()));
    }
    let number = usize::try_from(tries.min(DOUBLES)).unwrap_or_default();
    builder.build().nth(number).unwrap_or(longest).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = Duration::from_secs;
        for (tries, most) in [(0, 2), (1, 4), (2, 8), (4, 32), (5, 60), (8, 60), (u32::MAX, 60)] {
            for seed in 0..50 {
                let pause = pause(seconds(2), seconds(60), tries, Some(seed));
                assert!(pause <= seconds(most) && pause >= seconds(most) / 2, "{tries}: {pause:?}");
            }
            let of = |seed| pause(seconds(2), seconds(60), tries, Some(seed));
            assert_eq!(of(1), of(1));
            assert_ne!(of(1), of(2));
        }
        assert_eq!(pause(seconds(2), Duration::ZERO, 3, Some(7)), Duration::ZERO);
        let one = pause(seconds(2), seconds(60), 3, None);
        assert!(one <= seconds(16) && one >= seconds(8), "{one:?}");
        assert!(pause(Duration::MAX, Duration::MAX, 9, Some(1)) > seconds(60));
    }
}

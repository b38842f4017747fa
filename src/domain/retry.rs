//! When to try again.

use chrono::TimeDelta;

/// First wait of a backoff.
const FIRST: TimeDelta = TimeDelta::seconds(1);
/// Longest wait of a backoff.
const LONGEST: TimeDelta = TimeDelta::seconds(300);

/// How long to wait after the `attempts`-th failure (0 for the first): doubling from 1 s to 300 s, and up to a quarter
/// longer by `jitter` in 0..1, so that many waiters don't come back at once.
#[must_use]
pub fn backoff(attempts: u32, jitter: f64) -> TimeDelta {
    let factor = 2_i32.saturating_pow(attempts.min(20));
    let wait = FIRST.checked_mul(factor).map_or(LONGEST, |wait| wait.min(LONGEST));
    let extra = wait.num_milliseconds() / 4;
    let share = (jitter.clamp(0.0, 1.0) * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
    let share = share as i64;
    wait + TimeDelta::milliseconds(extra * share / 1000)
}

/// How long after the start of a job's `used`-th runner its next one is made at the earliest: 16 s, 128 s, then 300 s. A fault
/// of a minute then uses up one attempt or two, and not all of them.
#[must_use]
pub fn spacing(used: u32) -> TimeDelta {
    backoff(used.saturating_mul(3).saturating_add(1), 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_attempts_are_minutes_apart() {
        assert_eq!(
            [1, 2, 3, u32::MAX].map(|used| spacing(used).num_seconds()),
            [16, 128, 300, 300]
        );
    }

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits: Vec<i64> = [0, 1, 2, 8, 9, u32::MAX]
            .map(|n| backoff(n, 0.0).num_seconds())
            .to_vec();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300]);
        assert_eq!(backoff(2, 1.0), TimeDelta::milliseconds(5000));
    }
}

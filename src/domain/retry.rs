//! Retry delays.

use chrono::TimeDelta;

const MIN_DELAY: TimeDelta = TimeDelta::seconds(1);
const MAX_DELAY: TimeDelta = TimeDelta::seconds(300);

/// Returns the delay after the `attempts`-th failure (0 for the first). It doubles from 1 s to 300 s and is extended by
/// up to a quarter, scaled by `jitter` in 0..1, so that waiting deliveries do not return at the same moment.
#[must_use]
pub fn backoff(attempts: u32, jitter: f64) -> TimeDelta {
    let factor = 2_i32.saturating_pow(attempts.min(20));
    let wait = MIN_DELAY
        .checked_mul(factor)
        .map_or(MAX_DELAY, |wait| wait.min(MAX_DELAY));
    let extra = wait.num_milliseconds() / 4;
    let share = (jitter.clamp(0.0, 1.0) * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
    let share = share as i64;
    wait + TimeDelta::milliseconds(extra * share / 1000)
}

/// Returns the minimum time between the start of a job's `used`-th runner and its next one: 16 s, 128 s, then 300 s. A
/// fault of one minute then uses one or two attempts instead of all of them.
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

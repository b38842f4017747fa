//! The intervals of recovery. They grow as the quota shrinks; below half of the quota the calls are refused locally.

use chrono::TimeDelta;

/// Interval between two passes over the delivery log. A pass over an unchanged log costs one call, which is free.
const LOG_INTERVAL: TimeDelta = TimeDelta::minutes(3);
/// Interval between two polls of runs.
const POLL_INTERVAL: TimeDelta = TimeDelta::seconds(60);
/// Minimum interval between two polls while a trusted pull request is open. Jitter extends it by up to a half.
const FAST_POLL_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// Returns the interval to the next pass over the delivery log. `left_percent` is the rest of the quota.
#[must_use]
pub fn log_interval(left_percent: Option<u64>, jitter: f64) -> TimeDelta {
    stretched(LOG_INTERVAL, left_percent, jitter)
}

/// Returns the interval to the next poll: 10 s to 15 s while a trusted pull request is open, otherwise 60 s to 90 s.
#[must_use]
pub fn poll_interval(is_fast: bool, left_percent: Option<u64>, jitter: f64) -> TimeDelta {
    let interval = if is_fast { FAST_POLL_INTERVAL } else { POLL_INTERVAL };
    stretched(interval, left_percent, jitter)
}

fn stretched(interval: TimeDelta, left_percent: Option<u64>, jitter: f64) -> TimeDelta {
    let factor = match left_percent.unwrap_or(100) {
        75.. => 1,
        60..75 => 2,
        _ => 4,
    };
    let share = (jitter.clamp(0.0, 1.0) * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1000")]
    let share = share as i64;
    interval * factor + TimeDelta::milliseconds(interval.num_milliseconds() / 2 * share / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_polled_every_10_to_15_seconds_while_a_trusted_pull_request_is_open() {
        let seconds = |fast, left, jitter| poll_interval(fast, left, jitter).num_seconds();
        assert_eq!((seconds(true, None, 0.0), seconds(true, Some(80), 1.0)), (10, 15));
        assert_eq!((seconds(false, Some(100), 0.0), seconds(false, None, 1.0)), (60, 90));
    }

    #[test]
    fn the_interval_stretches_as_the_quota_shrinks() {
        let of = |left| {
            let log = log_interval(Some(left), 0.0).num_seconds();
            (poll_interval(true, Some(left), 0.0).num_seconds(), log)
        };
        assert_eq!(
            [75, 74, 60, 59, 0].map(of),
            [(10, 180), (20, 360), (20, 360), (40, 720), (40, 720)]
        );
    }
}

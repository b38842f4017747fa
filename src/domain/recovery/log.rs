//! The delivery log: which deliveries never arrived, and which of them to request again.
//!
//! GitHub never repeats a delivery by itself. The log contains every attempt of the last three days; all attempts of a
//! delivery have one GUID. A delivery arrived if any attempt was answered with a success, or if the queue knows its GUID.
//!
//! | attempts | earlier request | step |
//! |---|---|---|
//! | one succeeded, or the queue knows the GUID | any | arrived |
//! | the newest was rejected in a way that no repetition mends | any | rejected |
//! | failed | none | ask; too old after three days |
//! | failed, none newer than the request | accepted | in flight for [`REDELIVERY_TIMEOUT`], then ask |
//! | failed, none newer than the request | not confirmed (a crash) | in flight for [`CONFIRMATION_TIMEOUT`], then ask |
//! | failed, one newer than the request | any | later by [`REPEAT_DELAYS`], then ask; given up when they are used up |

use crate::domain::ids::DeliveryId;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// GitHub redelivers for three days.
pub const REDELIVERABLE_FOR: TimeDelta = TimeDelta::days(3);
/// The time that a pass reads again. GitHub lists an attempt some seconds after its start.
pub const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// The look-back of the first pass on a store. GitHub has failed every job that is older.
pub const FIRST_LOOK_BACK: TimeDelta = TimeDelta::hours(24);
/// Time after which an accepted request without an attempt in the log counts as lost.
pub const REDELIVERY_TIMEOUT: TimeDelta = TimeDelta::minutes(15);
/// Time after which a request whose answer is unknown, and that shows no attempt in the log, counts as not sent.
pub const CONFIRMATION_TIMEOUT: TimeDelta = TimeDelta::minutes(1);
/// The delays between a request and the next one if its delivery fails again.
pub const REPEAT_DELAYS: [TimeDelta; 4] = [
    TimeDelta::minutes(2),
    TimeDelta::minutes(10),
    TimeDelta::hours(1),
    TimeDelta::hours(6),
];

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The id of the attempt; later attempts have higher ids.
    pub id: u64,
    pub guid: DeliveryId,
    pub at: DateTime<Utc>,
    /// The status of the response; 0 if there was none.
    pub status: u16,
}

/// The attempts on one GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts {
    pub first_at: DateTime<Utc>,
    pub newest_id: u64,
    newest_status: u16,
    succeeded: bool,
}

impl Attempts {
    fn of(attempt: &Attempt) -> Self {
        Self {
            first_at: attempt.at,
            newest_id: attempt.id,
            newest_status: attempt.status,
            succeeded: is_success(attempt.status),
        }
    }

    fn add(&mut self, attempt: &Attempt) {
        self.first_at = self.first_at.min(attempt.at);
        self.succeeded |= is_success(attempt.status);
        if attempt.id > self.newest_id {
            self.newest_id = attempt.id;
            self.newest_status = attempt.status;
        }
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Returns true if the receiver rejects the same bytes every time: they are not JSON, too large or of another type.
fn is_final(status: u16) -> bool {
    matches!(status, 400 | 413 | 415)
}

/// The attempts in the log, by GUID.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log(BTreeMap<DeliveryId, Attempts>);

impl Log {
    /// Adds an attempt. Attempts can be added in any order, and twice.
    pub fn add(&mut self, attempt: &Attempt) {
        self.0
            .entry(attempt.guid.clone())
            .and_modify(|known| known.add(attempt))
            .or_insert_with(|| Attempts::of(attempt));
    }

    /// Returns the GUIDs of which no attempt succeeded, oldest first.
    #[must_use]
    pub fn failed(&self) -> Vec<(DeliveryId, Attempts)> {
        let failed = self.0.iter().filter(|(_, attempts)| !attempts.succeeded);
        let mut failed: Vec<_> = failed.map(|(guid, attempts)| (guid.clone(), *attempts)).collect();
        failed.sort_by(|(a_guid, a), (b_guid, b)| (a.first_at, a_guid).cmp(&(b.first_at, b_guid)));
        failed
    }
}

/// An earlier request for a redelivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The time of the newest request.
    pub at: DateTime<Utc>,
    /// The number of requests.
    pub times: u32,
    /// The newest attempt in the log before the request.
    pub newest_id: u64,
    /// True if GitHub accepted the newest request.
    #[serde(default)]
    pub accepted: bool,
    /// True if GitHub refuses to send it again.
    #[serde(default)]
    pub refused: bool,
}

impl Asked {
    /// Returns the record of the next request.
    #[must_use]
    pub fn again(before: Option<&Self>, newest_id: u64, at: DateTime<Utc>) -> Self {
        Self {
            at,
            times: before.map_or(0, |before| before.times) + 1,
            newest_id,
            accepted: false,
            refused: false,
        }
    }
}

/// The next step for one GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It arrived.
    Arrived,
    /// It was rejected, and so would be every repetition.
    Rejected,
    /// GitHub cannot send it any more.
    TooOld,
    /// It failed after every request.
    GivenUp,
    /// It was requested and is on its way.
    InFlight,
    /// It failed after a request; the next one follows at this time.
    Later(DateTime<Utc>),
    /// It must be requested now.
    Ask,
}

impl Step {
    /// Returns true if a later pass must look at the GUID again.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::InFlight | Self::Later(_) | Self::Ask)
    }
}

/// Returns the next step for a GUID of which no attempt succeeded. `is_known` is true if the queue knows it.
#[must_use]
pub fn next_step(attempts: &Attempts, is_known: bool, asked: Option<&Asked>, now: DateTime<Utc>) -> Step {
    if is_known || attempts.succeeded {
        return Step::Arrived;
    }
    if is_final(attempts.newest_status) {
        return Step::Rejected;
    }
    let Some(asked) = asked else {
        return ask_unless_too_old(attempts, now);
    };
    if asked.refused {
        return Step::TooOld;
    }
    if attempts.newest_id <= asked.newest_id {
        let timeout = if asked.accepted {
            REDELIVERY_TIMEOUT
        } else {
            CONFIRMATION_TIMEOUT
        };
        if now - asked.at < timeout {
            return Step::InFlight;
        }
    }
    let used = usize::try_from(asked.times.saturating_sub(1)).unwrap_or(usize::MAX);
    match REPEAT_DELAYS.get(used) {
        None => Step::GivenUp,
        Some(delay) if attempts.newest_id > asked.newest_id && now - asked.at < *delay => {
            Step::Later(asked.at + *delay)
        }
        Some(_) => ask_unless_too_old(attempts, now),
    }
}

fn ask_unless_too_old(attempts: &Attempts, now: DateTime<Utc>) -> Step {
    if now - attempts.first_at >= REDELIVERABLE_FOR {
        Step::TooOld
    } else {
        Step::Ask
    }
}

/// Returns the time to which a pass reads the log: `since` if an operator chose it, otherwise the newest point that a
/// complete pass covered, with an overlap. GitHub has nothing before [`REDELIVERABLE_FOR`].
#[must_use]
pub fn reads_back_to(
    since: Option<DateTime<Utc>>,
    covered_until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let covered = covered_until.map_or(now - FIRST_LOOK_BACK, |covered| covered - OVERLAP);
    since.unwrap_or(covered).max(now - REDELIVERABLE_FOR)
}

/// Returns the point that a complete pass covers: its start, or the first attempt on the oldest GUID that is still open.
#[must_use]
pub fn covers_until(began: DateTime<Utc>, steps: impl IntoIterator<Item = (DateTime<Utc>, Step)>) -> DateTime<Utc> {
    let open = steps.into_iter().filter(|(_, step)| step.is_open());
    open.map(|(first_at, _)| first_at).fold(began, DateTime::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(400) + TimeDelta::seconds(second)
    }

    fn guid(text: &str) -> DeliveryId {
        DeliveryId::parse(text).expect("a GUID")
    }

    fn attempt(id: u64, name: &str, second: i64, status: u16) -> Attempt {
        Attempt {
            id,
            guid: guid(name),
            at: at(second),
            status,
        }
    }

    fn log(attempts: &[(u64, &str, i64, u16)]) -> Log {
        let mut log = Log::default();
        for (id, name, second, status) in attempts {
            log.add(&attempt(*id, name, *second, *status));
        }
        log
    }

    /// The step for a GUID with these attempts `(id, second, status)`.
    fn step(attempts: &[(u64, i64, u16)], asked: Option<Asked>, now: i64) -> Step {
        let attempts: Vec<_> = attempts
            .iter()
            .map(|(id, second, status)| (*id, "a", *second, *status))
            .collect();
        let failed = log(&attempts).failed();
        let (_, attempts) = failed.first().expect("a failed delivery");
        next_step(attempts, false, asked.as_ref(), at(now))
    }

    fn asked(times: u32, second: i64, newest_id: u64, accepted: bool) -> Option<Asked> {
        Some(Asked {
            at: at(second),
            times,
            newest_id,
            accepted,
            refused: false,
        })
    }

    #[test]
    fn a_guid_arrived_if_any_of_its_attempts_succeeded_in_whatever_order_they_are_read() {
        let attempts = [
            (1, "a", 0, 502),
            (2, "b", 1, 0),
            (3, "a", 2, 202),
            (4, "c", 3, 503),
            (5, "c", 4, 500),
        ];
        let names = |log: &Log| -> Vec<String> { log.failed().iter().map(|(guid, _)| guid.to_string()).collect() };
        assert_eq!(names(&log(&attempts)), ["b", "c"]);
        let mut reversed = attempts;
        reversed.reverse();
        assert_eq!(log(&reversed), log(&attempts));
        assert_eq!(names(&log(&[&attempts[..], &reversed[..]].concat())), ["b", "c"]);
    }

    #[test]
    fn the_oldest_delivery_comes_first_by_its_first_attempt() {
        let failed = log(&[
            (9, "new", 50, 0),
            (8, "old", 60, 0),
            (1, "old", 10, 0),
            (2, "mid", 20, 0),
        ])
        .failed();
        let order: Vec<&str> = failed.iter().map(|(guid, _)| guid.as_str()).collect();
        assert_eq!(order, ["old", "mid", "new"]);
        assert_eq!(failed[0].1.newest_id, 8);
    }

    #[test]
    fn every_row_of_the_table_has_its_step() {
        let day = 86_400;
        for (what, attempts, asked, now, expected) in [
            ("never asked", vec![(1, 0, 502)], None, 5, Step::Ask),
            ("no response", vec![(1, 0, 0)], None, 5, Step::Ask),
            ("a full queue", vec![(1, 0, 503)], None, 5, Step::Ask),
            ("not JSON", vec![(1, 0, 400)], None, 5, Step::Rejected),
            ("too large", vec![(1, 0, 413)], None, 5, Step::Rejected),
            ("another secret", vec![(1, 0, 401)], None, 5, Step::Ask),
            ("in time", vec![(1, 0, 502)], None, 3 * day - 1, Step::Ask),
            ("too old", vec![(1, 0, 502)], None, 3 * day, Step::TooOld),
            (
                "on its way",
                vec![(1, 0, 502)],
                asked(1, 10, 1, true),
                10 + 899,
                Step::InFlight,
            ),
            (
                "lost on its way",
                vec![(1, 0, 502)],
                asked(1, 10, 1, true),
                10 + 900,
                Step::Ask,
            ),
            (
                "a crash",
                vec![(1, 0, 502)],
                asked(1, 10, 1, false),
                10 + 59,
                Step::InFlight,
            ),
            (
                "a crash before the request",
                vec![(1, 0, 502)],
                asked(1, 10, 1, false),
                10 + 60,
                Step::Ask,
            ),
            (
                "failed again",
                vec![(1, 0, 502), (2, 11, 502)],
                asked(1, 10, 1, true),
                10 + 119,
                Step::Later(at(10 + 120)),
            ),
            (
                "its delay is over",
                vec![(1, 0, 502), (2, 11, 502)],
                asked(1, 10, 1, true),
                10 + 120,
                Step::Ask,
            ),
            (
                "rejected then",
                vec![(1, 0, 502), (2, 11, 400)],
                asked(1, 10, 1, true),
                12,
                Step::Rejected,
            ),
            (
                "the last delay",
                vec![(1, 0, 502), (9, 11, 502)],
                asked(4, 10, 8, true),
                10 + 6 * 3600 - 1,
                Step::Later(at(10 + 6 * 3600)),
            ),
            (
                "the last request",
                vec![(1, 0, 502), (9, 11, 502)],
                asked(4, 10, 8, true),
                10 + 6 * 3600,
                Step::Ask,
            ),
            (
                "given up",
                vec![(1, 0, 502), (10, 11, 502)],
                asked(5, 10, 9, true),
                2 * day,
                Step::GivenUp,
            ),
            (
                "too old to repeat",
                vec![(1, 0, 502), (2, 9, 502)],
                asked(1, 10, 1, true),
                3 * day,
                Step::TooOld,
            ),
        ] {
            assert_eq!(step(&attempts, asked, now), expected, "{what}");
        }
        let refused = asked(1, 10, 1, false).map(|asked| Asked { refused: true, ..asked });
        assert_eq!(step(&[(1, 0, 502)], refused, 11), Step::TooOld);
        let failed = log(&[(1, "a", 0, 502)]).failed();
        assert_eq!(next_step(&failed[0].1, true, None, at(5)), Step::Arrived);
    }

    #[test]
    fn a_delivery_that_always_fails_is_requested_five_times_in_three_days() {
        let mut asked: Option<Asked> = None;
        let mut attempts = vec![(1, 0, 502)];
        let mut requests = 0;
        for minute in 0..3 * 24 * 60 {
            if step(&attempts, asked, minute * 60) == Step::Ask {
                requests += 1;
                let newest = attempts.last().map_or(0, |(id, _, _)| *id);
                asked = Some(Asked {
                    accepted: true,
                    ..Asked::again(asked.as_ref(), newest, at(minute * 60))
                });
                attempts.push((newest + 1, minute * 60 + 1, 502));
            }
        }
        assert_eq!(requests, 5);
    }

    #[test]
    fn a_pass_reads_back_to_what_is_covered_and_never_beyond_three_days() {
        let now = at(0);
        let hours = TimeDelta::hours;
        assert_eq!(reads_back_to(None, None, now), now - hours(24));
        assert_eq!(reads_back_to(None, Some(now - hours(5)), now), now - hours(5) - OVERLAP);
        assert_eq!(reads_back_to(None, Some(now - hours(99)), now), now - hours(72));
        assert_eq!(reads_back_to(Some(now - hours(2)), None, now), now - hours(2));
    }

    #[test]
    fn what_is_still_open_is_read_again() {
        let steps = [
            (at(5), Step::Arrived),
            (at(6), Step::TooOld),
            (at(20), Step::InFlight),
            (at(10), Step::Later(at(99))),
        ];
        assert_eq!(covers_until(at(100), steps), at(10));
        assert_eq!(covers_until(at(100), steps.into_iter().take(2)), at(100));
    }
}

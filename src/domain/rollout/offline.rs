//! Runners that should be online and are offline: noticed, then recovered once, then timed.
//!
//! | state | runners are missing | no runner is missing |
//! |---|---|---|
//! | online | offline since now | online |
//! | offline | after the recovery delay: a recovery attempt is due | online |
//! | attempted | the time since the attempt counts | online |

use super::trigger::{EvidenceItem, Outage};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// Time before a recovery attempt. A slot that is replaced after a job is back earlier.
pub const RECOVERY_DELAY: TimeDelta = TimeDelta::seconds(30);

/// Missing runners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offline {
    /// The missing runners, in words.
    pub what: String,
    /// The names of missing runners that have names.
    #[serde(default)]
    pub runners: Vec<String>,
    pub since: DateTime<Utc>,
    /// The time of jitgate's attempt to recover them.
    pub recovery_attempted_at: Option<DateTime<Utc>>,
}

/// An observation of runners that should be online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The missing runners, in words.
    pub what: String,
    /// Their names, if they have names.
    pub runners: Vec<String>,
}

/// The state after an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// None if no runner is missing.
    pub state: Option<Offline>,
    /// True if a recovery attempt is due now. The state already has its time.
    pub must_recover: bool,
}

/// Applies an observation to the last state.
#[must_use]
pub fn observe(known: Option<&Offline>, missing: Option<Missing>, now: DateTime<Utc>) -> Observed {
    let Some(Missing { what, runners }) = missing else {
        return Observed {
            state: None,
            must_recover: false,
        };
    };
    let since = known.map_or(now, |known| known.since);
    let attempted = known.and_then(|known| known.recovery_attempted_at);
    let must_recover = attempted.is_none() && now - since >= RECOVERY_DELAY;
    Observed {
        state: Some(Offline {
            what,
            runners,
            since,
            recovery_attempted_at: if must_recover { Some(now) } else { attempted },
        }),
        must_recover,
    }
}

/// Returns the outage of all workers together: none while one of them has its runners.
#[must_use]
pub fn of_all(workers: &[Option<Offline>]) -> Option<Offline> {
    let offline: Vec<&Offline> = workers.iter().flatten().collect();
    let last = offline.iter().max_by_key(|offline| offline.since)?;
    if offline.len() < workers.len() {
        return None;
    }
    let attempts = offline.iter().map(|offline| offline.recovery_attempted_at);
    let attempts: Option<Vec<DateTime<Utc>>> = attempts.collect();
    let mut what: Vec<&str> = offline.iter().map(|offline| offline.what.as_str()).collect();
    what.dedup();
    Some(Offline {
        what: what.join("; "),
        runners: offline.iter().flat_map(|offline| offline.runners.clone()).collect(),
        since: last.since,
        recovery_attempted_at: attempts.and_then(|attempts| attempts.into_iter().max()),
    })
}

impl Offline {
    /// Returns the evidence for the rollback trigger.
    #[must_use]
    pub fn outage(&self) -> Outage {
        let item = |name: &String| EvidenceItem {
            detail: format!("{name} is not online at GitHub"),
            ..EvidenceItem::default()
        };
        Outage {
            summary: self.what.clone(),
            runners: self.runners.iter().map(item).collect(),
            since: self.since,
            recovery_attempted_at: self.recovery_attempted_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    fn missing() -> Option<Missing> {
        Some(Missing {
            what: "0 of 1 slots are up".to_owned(),
            runners: Vec::new(),
        })
    }

    fn offline(since: i64, attempted: Option<i64>) -> Offline {
        Offline {
            what: "0 of 1 slots are up".to_owned(),
            runners: Vec::new(),
            since: at(since),
            recovery_attempted_at: attempted.map(at),
        }
    }

    #[test]
    fn the_table_of_states_is_complete() {
        for (known, is_missing, second, state, must_recover) in [
            (None, false, 0, None, false),
            (None, true, 0, Some(offline(0, None)), false),
            (Some(offline(0, None)), true, 29, Some(offline(0, None)), false),
            (Some(offline(0, None)), true, 30, Some(offline(0, Some(30))), true),
            (Some(offline(0, None)), false, 30, None, false),
            (Some(offline(0, Some(30))), true, 900, Some(offline(0, Some(30))), false),
            (Some(offline(0, Some(30))), false, 900, None, false),
        ] {
            let seen = missing().filter(|_| is_missing);
            let observed = observe(known.as_ref(), seen, at(second));
            assert_eq!(
                observed,
                Observed { state, must_recover },
                "{known:?} {is_missing} {second}"
            );
        }
    }

    #[test]
    fn one_worker_with_runners_is_enough() {
        assert_eq!(of_all(&[]), None);
        assert_eq!(of_all(&[Some(offline(0, Some(30))), None]), None);
        let both = [Some(offline(0, Some(30))), Some(offline(20, Some(50)))];
        assert_eq!(of_all(&both), Some(offline(20, Some(50))), "the later one counts");
        let one_without_attempt = [Some(offline(0, Some(30))), Some(offline(20, None))];
        assert_eq!(of_all(&one_without_attempt), Some(offline(20, None)));
    }
}

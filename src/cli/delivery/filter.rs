//! The filter flags for deliveries.

use crate::adapters::clock::SystemClock;
use crate::cli::list::ListArgs;
use crate::domain::ids::JobId;
use crate::ports::Clock;
use crate::ports::queue::{DeliveryState, Filter};
use chrono::{DateTime, TimeDelta, Utc};

/// The filter flags for deliveries.
#[derive(Debug, Clone, clap::Args)]
pub struct FilterArgs {
    #[command(flatten)]
    pub(in crate::cli) list: ListArgs,
    /// Id of the job
    #[arg(long, value_name = "ID")]
    pub job: Option<u64>,
    /// Earliest time of receipt: a date such as 2026-11-23T12:00:00Z, or a duration before now such as 90s, 30m, 2h or 3d
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
}

impl FilterArgs {
    pub(in crate::cli) fn in_states(&self, states: Vec<DeliveryState>) -> Filter {
        Filter {
            states,
            repository: self.list.repository.clone(),
            job: self.job.map(JobId),
            since: self.since.map(|since| since.before(SystemClock.now())),
        }
    }
}

/// A point in time, or a duration before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    At(DateTime<Utc>),
    Ago(TimeDelta),
}

impl Since {
    /// Parses a time or a duration.
    ///
    /// # Errors
    /// If the text is neither; the error names the expected formats.
    pub fn parse(text: &str) -> Result<Self, String> {
        let span = || {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let number: i64 = number.parse::<u32>().ok()?.into();
            match unit {
                "s" => TimeDelta::try_seconds(number),
                "m" => TimeDelta::try_minutes(number),
                "h" => TimeDelta::try_hours(number),
                "d" => TimeDelta::try_days(number),
                _ => None,
            }
        };
        let time = || DateTime::parse_from_rfc3339(text).ok();
        time()
            .map(|at| Self::At(at.to_utc()))
            .or_else(|| span().map(Self::Ago))
            .ok_or_else(|| "expected a time such as 2026-11-23T12:00:00Z, or a duration such as 2h".to_owned())
    }

    pub(super) fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(span) => now.checked_sub_signed(span).unwrap_or(DateTime::<Utc>::MIN_UTC),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_spans_are_read_and_nothing_else() {
        let at = DateTime::from_timestamp(1_795_435_200, 0).expect("in range");
        assert_eq!(Since::parse("2026-11-23T13:00:00+01:00"), Ok(Since::At(at)));
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200), ("3d", 259_200)] {
            assert_eq!(
                Since::parse(text),
                Ok(Since::Ago(TimeDelta::seconds(seconds))),
                "{text}"
            );
        }
        for text in ["", "h", "2", "-2h", "2w", "2é", "yesterday", "2026-11-23"] {
            assert!(Since::parse(text).is_err(), "{text:?} was taken");
        }
        let long_ago = Since::parse("4294967295d").expect("a span");
        assert_eq!(long_ago.before(at), DateTime::<Utc>::MIN_UTC);
    }
}

//! Points in time relative to the clock of a scenario, such as `now-3600s`. A fixed date would depend on the clock of
//! the tested process, and would expire.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// The word that every relative time begins with.
const NOW: &str = "now";

/// A point in time of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Relative to the scenario's clock.
    Relative(TimeDelta),
    /// A date, for callers with the same clock as the simulator.
    Absolute(DateTime<Utc>),
}

impl Moment {
    /// Returns the date at `now`.
    pub(super) fn at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Relative(offset) => now + offset,
            Self::Absolute(date) => date,
        }
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if let Some(offset) = offset(&text) {
            return Ok(Self::Relative(offset));
        }
        let date = date(&text)
            .ok_or_else(|| Error::custom(format!("invalid time {text:?}; expected a time such as \"now-3600s\"")))?;
        Ok(Self::Absolute(date))
    }
}

/// Parses `now`, `now-5s` or `now+5s`.
fn offset(text: &str) -> Option<TimeDelta> {
    let rest = text.strip_prefix(NOW)?;
    if rest.is_empty() {
        return Some(TimeDelta::zero());
    }
    let (sign, number) = match rest.strip_suffix('s')?.split_at_checked(1)? {
        ("-", number) => (-1, number),
        ("+", number) => (1, number),
        _ => return None,
    };
    let seconds: u32 = number.parse().ok()?;
    TimeDelta::try_seconds(sign * i64::from(seconds))
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// Replaces every relative time in `value` by its date at `now`.
pub fn resolve_times(value: &mut Value, now: DateTime<Utc>) {
    replace_texts(value, &|text| {
        let offset = offset(text)?;
        Some((now + offset).to_rfc3339_opts(SecondsFormat::Secs, true))
    });
}

/// Replaces every date in `value` by its distance from `now`, in whole seconds.
pub fn relate_times(value: &mut Value, now: DateTime<Utc>) {
    replace_texts(value, &|text| {
        let seconds = (date(text)? - now).num_seconds();
        Some(format!("{NOW}{seconds:+}s"))
    });
}

/// Returns the first date in `value`.
#[must_use]
pub fn first_date(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => fields.values().find_map(first_date),
        Value::Array(items) => items.iter().find_map(first_date),
        Value::String(text) => date(text).map(|_| text.as_str()),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn replace_texts(value: &mut Value, replacement: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|field| replace_texts(field, replacement)),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_texts(item, replacement)),
        Value::String(text) => {
            if let Some(new) = replacement(text) {
                *text = new;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_survive_a_round_trip() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a date");
        let scenario = json!({"a": ["now-90000s", {"b": "now+5s"}], "c": "nowhere", "d": "now+0s"});
        let mut dated = scenario.clone();
        resolve_times(&mut dated, now);
        assert_eq!(dated["a"][0], "1970-01-11T12:46:40Z");
        assert!(first_date(&dated).is_some());
        relate_times(&mut dated, now);
        assert_eq!(dated, scenario);
        assert_eq!(first_date(&dated), None);
    }
}

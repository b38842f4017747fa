//! A change that a person made with a command: who, when, why, and with which result.

use super::rollout::Origin;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Maximum length of a stored subject, in characters.
const MAX_SUBJECT_CHARS: usize = 300;
/// Maximum length of a stored error, in characters.
const MAX_ERROR_CHARS: usize = 500;

/// A change that a person made with a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorChange {
    /// The id, which sorts newer changes before older ones.
    pub id: String,
    /// The start of the command.
    pub at: DateTime<Utc>,
    /// The command without its arguments, such as `pool scale`.
    pub command: String,
    /// The object of the change, such as a repository or a file.
    pub subject: String,
    /// The person.
    pub by: Option<String>,
    /// The reason in the person's words.
    pub why: Option<String>,
    pub result: ChangeResult,
    /// The error of a command that failed.
    #[serde(default)]
    pub error: Option<String>,
}

/// The result of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeResult {
    Done,
    /// The command ran to its end, with a negative answer.
    Negative,
    /// The command failed. A part of the change may have happened.
    Failed,
}

impl ChangeResult {
    /// Returns the word of the JSON form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Negative => "negative",
            Self::Failed => "failed",
        }
    }
}

impl OperatorChange {
    /// Returns the record of a change. `word` distinguishes changes of the same millisecond.
    #[must_use]
    pub fn new(
        command: &str,
        subject: &str,
        origin: Origin,
        (result, error): (ChangeResult, Option<&str>),
        word: &str,
    ) -> Self {
        let age = u64::MAX - origin.at.timestamp_millis().unsigned_abs();
        Self {
            id: format!("{age:020}-{word}"),
            at: origin.at,
            command: command.to_owned(),
            subject: shortened(subject, MAX_SUBJECT_CHARS),
            by: origin.by,
            why: origin.why,
            result,
            error: error.map(|error| shortened(error, MAX_ERROR_CHARS)),
        }
    }
}

/// Merges lists of changes, newest first. A change that is in several lists appears once.
#[must_use]
pub fn merged(lists: impl IntoIterator<Item = Vec<OperatorChange>>, limit: usize) -> Vec<OperatorChange> {
    let all = lists.into_iter().flatten();
    let by_id: BTreeMap<String, OperatorChange> = all.map(|change| (change.id.clone(), change)).collect();
    by_id.into_values().take(limit).collect()
}

fn shortened(text: &str, longest: usize) -> String {
    match text.chars().count().cmp(&longest) {
        Ordering::Greater => text.chars().take(longest - 1).chain(['…']).collect(),
        Ordering::Less | Ordering::Equal => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples::at;

    fn change(second: i64, word: &str) -> OperatorChange {
        let origin = Origin {
            by: Some("alice".to_owned()),
            why: None,
            at: at(second),
        };
        OperatorChange::new("pool scale", "max 4", origin, (ChangeResult::Done, None), word)
    }

    #[test]
    fn the_newest_change_comes_first_and_each_one_once() {
        let ledger = vec![change(1, "a"), change(3, "a")];
        let file = vec![change(2, "b"), change(3, "a"), change(3, "b")];
        let merged_words = |limit| {
            let merged = merged([ledger.clone(), file.clone()], limit);
            merged
                .iter()
                .map(|it| (it.at, it.id[21..].to_owned()))
                .collect::<Vec<_>>()
        };
        let expected = [(at(3), "a"), (at(3), "b"), (at(2), "b"), (at(1), "a")].map(|(at, word)| (at, word.to_owned()));
        assert_eq!(merged_words(10), expected);
        assert_eq!(merged_words(2), expected[..2]);
    }

    #[test]
    fn a_long_subject_and_a_long_error_are_shortened() {
        let origin = Origin::unknown(at(1));
        let long = "é".repeat(2000);
        let failed = OperatorChange::new("x", &long, origin, (ChangeResult::Failed, Some(&long)), "w");
        assert_eq!(failed.subject.chars().count(), MAX_SUBJECT_CHARS);
        assert_eq!(failed.error.map(|error| error.chars().count()), Some(MAX_ERROR_CHARS));
    }

    #[test]
    fn the_json_form_is_stable() {
        let json = serde_json::to_value(change(7, "w")).expect("JSON");
        let mut keys: Vec<&str> = json
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, ["at", "by", "command", "error", "id", "result", "subject", "why"]);
        assert_eq!(json["result"], ChangeResult::Done.as_str());
    }
}

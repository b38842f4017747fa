//! The judgement on files with credentials that a clean-up finds.
//!
//! A file is removed only if it belongs to the person who runs the clean-up, if its form is known, and if its content is
//! worthless by its own date.

use chrono::{DateTime, TimeDelta, Utc};

/// The most time between the note of a refresh and the last write of its token file.
const WRITE_TOLERANCE: TimeDelta = TimeDelta::minutes(1);

/// The form of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The token of `app refresh-token`, as its status file names it.
    Token {
        refreshed_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    },
    /// A just-in-time configuration of `jit request`.
    Jit,
    /// The draft of a file, and whether its writer still runs.
    Draft { is_in_use: bool },
    /// Anything else.
    Unknown,
}

/// A file that a clean-up looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub content: Content,
    /// True for a regular file of the user who runs the clean-up.
    pub is_own: bool,
    pub modified_at: DateTime<Utc>,
}

/// The judgement on a file, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    Stale(String),
    Kept(String),
}

/// Judges a file. A just-in-time configuration is worthless after `jit_lifetime`.
#[must_use]
pub fn judge(candidate: &Candidate, jit_lifetime: TimeDelta, now: DateTime<Utc>) -> Judgement {
    let kept = |why: &str| Judgement::Kept(why.to_owned());
    if !candidate.is_own {
        return kept("it belongs to another user, or is not a regular file");
    }
    match &candidate.content {
        Content::Token { refreshed_at, .. } if candidate.modified_at > *refreshed_at + WRITE_TOLERANCE => {
            kept("it was changed after the refresh that its status file describes")
        }
        Content::Token { expires_at, .. } if *expires_at > now => Judgement::Kept(format!("valid until {expires_at}")),
        Content::Token { expires_at, .. } => Judgement::Stale(format!("the token expired at {expires_at}")),
        Content::Jit if now - candidate.modified_at < jit_lifetime => {
            Judgement::Kept(format!("written at {}", candidate.modified_at))
        }
        Content::Jit => Judgement::Stale(format!(
            "the just-in-time configuration of {} is too old to be used",
            candidate.modified_at
        )),
        Content::Draft { is_in_use: true } => kept("it is being written"),
        Content::Draft { is_in_use: false } => Judgement::Stale("the draft of a process that has ended".to_owned()),
        Content::Unknown => kept("it is neither a token of a refresh nor a just-in-time configuration"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a date") + TimeDelta::minutes(minute)
    }

    #[test]
    fn each_row_of_the_judgement() {
        let token = |refreshed, expires| Content::Token {
            refreshed_at: at(refreshed),
            expires_at: at(expires),
        };
        let rows = [
            // The content, the minute of the last write, own, stale. It is minute 100 now.
            (token(30, 90), 30, true, true),
            (token(40, 100), 40, true, true),
            (token(50, 110), 50, true, false),
            (token(30, 90), 31, true, true),
            (token(30, 90), 32, true, false),
            (token(30, 90), 30, false, false),
            (Content::Jit, 39, true, true),
            (Content::Jit, 40, true, true),
            (Content::Jit, 41, true, false),
            (Content::Jit, 39, false, false),
            (Content::Draft { is_in_use: false }, 100, true, true),
            (Content::Draft { is_in_use: true }, 0, true, false),
            (Content::Draft { is_in_use: false }, 0, false, false),
            (Content::Unknown, 0, true, false),
        ];
        for (content, minute, is_own, is_stale) in rows {
            let candidate = Candidate {
                content,
                is_own,
                modified_at: at(minute),
            };
            let judgement = judge(&candidate, TimeDelta::hours(1), at(100));
            assert_eq!(
                matches!(judgement, Judgement::Stale(_)),
                is_stale,
                "{candidate:?}: {judgement:?}"
            );
        }
    }
}

//! The release of a runner program against the releases that GitHub accepts.

use chrono::{DateTime, TimeDelta, Utc};
use std::fmt;

/// The oldest release that GitHub accepts.
pub const MINIMUM: Release = Release([2, 329, 0]);
/// The time in which GitHub expects that a release is adopted.
pub const ADOPTION: TimeDelta = TimeDelta::days(30);

/// A release such as 2.336.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release([u32; 3]);

impl Release {
    /// Parses three numbers.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Option<Vec<u32>> = text.trim().split('.').map(|part| part.parse().ok()).collect();
        numbers?.try_into().ok().map(Self)
    }

    /// Parses the name of an archive such as `actions-runner-linux-x64-2.336.0.tar.gz`.
    #[must_use]
    pub fn of_archive(name: &str) -> Option<Self> {
        Self::parse(name.strip_suffix(".tar.gz")?.rsplit('-').next()?)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The judgement on a runner program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// A newer release exists. It must be adopted by this time, if its date is known.
    Outdated(Option<DateTime<Utc>>),
    /// GitHub rejects it: a newer release is older than [`ADOPTION`].
    Expired,
    /// It is older than [`MINIMUM`].
    TooOld,
}

/// Judges a program. `released_at` is the date of the current release.
#[must_use]
pub fn judge(installed: Release, current: Release, released_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Standing {
    let deadline = released_at.map(|at| at + ADOPTION);
    match deadline {
        _ if installed < MINIMUM => Standing::TooOld,
        _ if installed >= current => Standing::Current,
        Some(deadline) if deadline < now => Standing::Expired,
        deadline => Standing::Outdated(deadline),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_standing_of_a_program() {
        let release = |text| Release::parse(text).expect("a release");
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a date");
        let days_ago = |days| now - TimeDelta::days(days);
        let current = release("2.340.0");
        for (installed, released_at, expected) in [
            ("2.340.0", Some(days_ago(90)), Standing::Current),
            ("2.341.0", None, Standing::Current),
            ("2.339.9", Some(days_ago(31)), Standing::Expired),
            ("2.339.9", Some(days_ago(30)), Standing::Outdated(Some(now))),
            ("2.329.0", None, Standing::Outdated(None)),
            ("2.328.9", Some(days_ago(1)), Standing::TooOld),
        ] {
            assert_eq!(
                judge(release(installed), current, released_at, now),
                expected,
                "{installed}"
            );
        }
        assert_eq!(judge(release("2.1.0"), release("2.1.0"), None, now), Standing::TooOld);
    }

    #[test]
    fn releases_are_read_from_archives_and_versions() {
        let archive = "actions-runner-linux-x64-2.336.10.tar.gz";
        assert_eq!(Release::of_archive(archive), Release::parse("2.336.10\n"));
        assert!(Release::parse("2.336.10") > Release::parse("2.336.9"));
        for text in ["", "2.336", "2.336.0.1", "v2.336.0", "2.x.0"] {
            assert_eq!(Release::parse(text), None, "{text}");
        }
        assert_eq!(Release::of_archive("actions-runner-win-x64-2.336.0.zip"), None);
    }
}

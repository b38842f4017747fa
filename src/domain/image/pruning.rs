//! The rule by which images are removed.

use super::manifest::ImageName;
use chrono::{DateTime, Utc};

/// An image that could be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub name: ImageName,
    pub built_at: DateTime<Utc>,
    /// The image of the next virtual machine, or the configured one.
    pub is_current: bool,
    /// Number of slots that use it.
    pub slots: usize,
}

/// Returns the images to remove: all but the newest `keep`, never the current one and never one that a slot uses.
#[must_use]
pub fn superfluous(mut images: Vec<Candidate>, keep: usize) -> Vec<Candidate> {
    images.sort_by(|one, other| {
        other
            .built_at
            .cmp(&one.built_at)
            .then_with(|| one.name.cmp(&other.name))
    });
    let old = images.into_iter().skip(keep);
    old.filter(|image| !image.is_current && image.slots == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_the_current_and_the_used_ones_stay() {
        let image = |name: char, age: i64, is_current, slots| Candidate {
            name: ImageName::parse(&String::from(name).repeat(16)).expect("a name"),
            built_at: DateTime::from_timestamp(1_000_000 - age, 0).expect("a time"),
            is_current,
            slots,
        };
        let all = || {
            vec![
                image('e', 5, false, 0),
                image('a', 1, false, 0),
                image('c', 3, true, 0),
                image('d', 4, false, 2),
                image('b', 2, false, 0),
            ]
        };
        let removed = |keep| {
            let names = superfluous(all(), keep).into_iter();
            names
                .map(|image| image.name.as_str()[..1].to_owned())
                .collect::<String>()
        };
        assert_eq!(removed(0), "abe");
        assert_eq!(removed(1), "be");
        assert_eq!(removed(2), "e");
        assert_eq!(removed(5), "");
        assert_eq!(removed(usize::MAX), "");
    }
}

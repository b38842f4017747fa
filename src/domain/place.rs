//! The places of slots. A slot has a place with a number, and a display name that depends only on this number:
//! `home-self-host`, `home-self-host-2` and so on. A slot keeps its place for its whole life; a new slot gets the lowest free
//! place.

use super::slot::SlotSize;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The display name of the first place, and the stem of the others.
const STEM: &str = "home-self-host";

/// Returns the display name of a place. Places are numbered from 1.
#[must_use]
pub fn display_name(index: u32) -> String {
    match index {
        0 | 1 => STEM.to_owned(),
        _ => format!("{STEM}-{index}"),
    }
}

/// Returns the place with this display name, or none if it is another name.
#[must_use]
pub fn index_of(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(STEM)?;
    if rest.is_empty() {
        return Some(1);
    }
    let index = rest.strip_prefix('-')?.parse().ok()?;
    (display_name(index) == name).then_some(index)
}

/// Returns the place of each slot: known slots keep theirs, and new slots get the lowest free ones in the given order.
#[must_use]
pub fn assign_places<'a>(
    known: &BTreeMap<String, u32>,
    slots: impl IntoIterator<Item = &'a str>,
) -> BTreeMap<String, u32> {
    let slots: Vec<&str> = slots.into_iter().collect();
    let mut taken = BTreeSet::new();
    let mut places = BTreeMap::new();
    for slot in &slots {
        if let Some(index) = known.get(*slot).filter(|index| taken.insert(**index)) {
            places.insert((*slot).to_owned(), *index);
        }
    }
    for slot in slots {
        if places.contains_key(slot) {
            continue;
        }
        let index = lowest_free(&taken);
        taken.insert(index);
        places.insert(slot.to_owned(), index);
    }
    places
}

/// Returns the lowest place that is not taken.
#[must_use]
pub fn lowest_free(taken: &BTreeSet<u32>) -> u32 {
    (1..u32::MAX).find(|index| !taken.contains(index)).unwrap_or(u32::MAX)
}

/// A slot in its place, as the last pass of a worker saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedSlot {
    pub index: u32,
    /// The id of the slot.
    pub slot: String,
    #[serde(default)]
    pub size: SlotSize,
    /// The word of its state.
    pub state: String,
    /// True if a runner has the slot or is about to get it.
    pub busy: bool,
    /// True if nothing runs in it any more and the worker removes it.
    #[serde(default)]
    pub ended: bool,
    /// The name of its runner.
    pub runner: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_one_name() {
        assert_eq!(display_name(1), "home-self-host");
        assert_eq!(display_name(2), "home-self-host-2");
        for index in 1..200 {
            assert_eq!(index_of(&display_name(index)), Some(index));
        }
        for other in [
            "home-self-host-0",
            "home-self-host-1",
            "home-self-host-02",
            "home-self-host-",
            "home-self-host2",
            "home-self-hosts",
            "home-self-host-99999999999",
            "chem-jit-abcdefgh-1-1",
        ] {
            assert_eq!(index_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_slot_keeps_its_place_and_a_new_one_takes_the_lowest_free_place() {
        let first = assign_places(&BTreeMap::new(), ["a", "b", "c"]);
        assert_eq!(first.values().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let second = assign_places(&first, ["a", "c", "d", "e"]);
        let expected = [("a", 1), ("c", 3), ("d", 2), ("e", 4)];
        let expected: BTreeMap<String, u32> = expected.map(|(slot, index)| (slot.to_owned(), index)).into();
        assert_eq!(second, expected);
    }

    #[test]
    fn slots_that_were_in_one_place_get_places_of_their_own() {
        let known = ["a", "b"].map(|slot| (slot.to_owned(), 2)).into();
        let places = assign_places(&known, ["a", "b", "c"]);
        assert_eq!(places.into_values().collect::<Vec<_>>(), [2, 1, 3]);
    }
}

//! The comparison of a state machine with its transition table, for unit tests.

use std::fmt::Debug;

/// Asserts that each pair of a state and an event leads where the table says, and that a pair outside of the table changes
/// nothing. A row has a state, an event and the result.
pub(crate) fn assert_complete<S, E, R>(
    states: &[S],
    events: &[E],
    after: impl Fn(S, E) -> Option<R>,
    table: &[(S, E, R)],
) where
    S: Copy + PartialEq + Debug,
    E: Copy + PartialEq + Debug,
    R: Copy + PartialEq + Debug,
{
    for state in states {
        for event in events {
            let row = table.iter().find(|row| (row.0, row.1) == (*state, *event));
            assert_eq!(after(*state, *event), row.map(|row| row.2), "{state:?} {event:?}");
        }
    }
}

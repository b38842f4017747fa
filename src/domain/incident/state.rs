//! The states of an incident and their transition table.
//!
//! Acknowledgement and safety are independent of each other: a person must look at a contained incident too, and an
//! acknowledged incident must reach a safe routing state.
//!
//! | state | acknowledged | made safe | made unsafe | escalated | closed |
//! |---|---|---|---|---|---|
//! | `open` | `acknowledged` | `safe` | | `open` | `closed` |
//! | `acknowledged` | | `handled` | | `acknowledged` | `closed` |
//! | `safe` | `handled` | | `open` | `safe` | `closed` |
//! | `handled` | | | `acknowledged` | `handled` | `closed` |
//! | `closed` | | | | | |

use serde::{Deserialize, Serialize};

/// The state of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentState {
    /// No person has acknowledged it, and there is no safe routing state.
    Open,
    /// A person has acknowledged it, and there is no safe routing state.
    Acknowledged,
    /// There is a safe routing state, and no person has acknowledged it.
    Safe,
    /// A person has acknowledged it, and there is a safe routing state.
    Handled,
    /// The alert is resolved.
    Closed,
}

/// An event of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IncidentEvent {
    /// A person acknowledged the alert.
    Acknowledged,
    /// A safe routing state was reached.
    MadeSafe,
    /// The alert was raised again while routing was on.
    MadeUnsafe,
    /// The alert escalated. A safe state that another worker saw at the same moment does not undo this.
    Escalated,
    /// The alert was resolved.
    Closed,
}

impl IncidentEvent {
    /// All events.
    pub const ALL: [Self; 5] = [
        Self::Acknowledged,
        Self::MadeSafe,
        Self::MadeUnsafe,
        Self::Escalated,
        Self::Closed,
    ];
}

impl IncidentState {
    /// All states.
    pub const ALL: [Self; 5] = [Self::Open, Self::Acknowledged, Self::Safe, Self::Handled, Self::Closed];

    /// Returns the name used in records and commands.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Safe => "safe",
            Self::Handled => "handled",
            Self::Closed => "closed",
        }
    }

    /// Returns true if a person has acknowledged the incident, or it is over.
    #[must_use]
    pub fn is_acknowledged(self) -> bool {
        matches!(self, Self::Acknowledged | Self::Handled | Self::Closed)
    }

    /// Returns true if there is a safe routing state.
    #[must_use]
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Safe | Self::Handled | Self::Closed)
    }

    /// Returns the state after an event, or `None` if the event changes nothing in this state.
    #[must_use]
    pub fn after(self, event: IncidentEvent) -> Option<Self> {
        match (self, event) {
            (Self::Closed, _) => None,
            (_, IncidentEvent::Closed) => Some(Self::Closed),
            (same, IncidentEvent::Escalated) => Some(same),
            (Self::Open, IncidentEvent::Acknowledged) | (Self::Handled, IncidentEvent::MadeUnsafe) => {
                Some(Self::Acknowledged)
            }
            (Self::Open, IncidentEvent::MadeSafe) => Some(Self::Safe),
            (Self::Acknowledged, IncidentEvent::MadeSafe) | (Self::Safe, IncidentEvent::Acknowledged) => {
                Some(Self::Handled)
            }
            (Self::Safe, IncidentEvent::MadeUnsafe) => Some(Self::Open),
            (Self::Acknowledged | Self::Handled, IncidentEvent::Acknowledged)
            | (Self::Safe | Self::Handled, IncidentEvent::MadeSafe)
            | (Self::Open | Self::Acknowledged, IncidentEvent::MadeUnsafe) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_complete_and_every_state_is_reached_from_the_first() {
        let word = |state: Option<IncidentState>| state.map_or("", IncidentState::as_str);
        let table = IncidentState::ALL.map(|state| IncidentEvent::ALL.map(|event| word(state.after(event))));
        assert_eq!(
            table,
            [
                ["acknowledged", "safe", "", "open", "closed"],
                ["", "handled", "", "acknowledged", "closed"],
                ["handled", "", "open", "safe", "closed"],
                ["", "", "acknowledged", "handled", "closed"],
                ["", "", "", "", ""],
            ]
        );
        let mut reached = BTreeSet::from([IncidentState::Open]);
        for _ in IncidentState::ALL {
            let next = reached
                .iter()
                .flat_map(|state| IncidentEvent::ALL.map(|event| state.after(event)));
            let next: Vec<_> = next.flatten().collect();
            reached.extend(next);
        }
        assert_eq!(reached, BTreeSet::from(IncidentState::ALL));
    }

    #[test]
    fn acknowledgement_and_safety_do_not_depend_on_each_other() {
        for state in IncidentState::ALL {
            for event in IncidentEvent::ALL {
                let Some(next) = state.after(event) else { continue };
                let (acknowledged, safe) = (next.is_acknowledged(), next.is_safe());
                match event {
                    IncidentEvent::Acknowledged => assert_eq!((acknowledged, safe), (true, state.is_safe())),
                    IncidentEvent::MadeSafe => assert_eq!((acknowledged, safe), (state.is_acknowledged(), true)),
                    IncidentEvent::MadeUnsafe => assert_eq!((acknowledged, safe), (state.is_acknowledged(), false)),
                    IncidentEvent::Escalated => assert_eq!(next, state),
                    IncidentEvent::Closed => assert_eq!((acknowledged, safe), (true, true)),
                }
            }
        }
    }
}

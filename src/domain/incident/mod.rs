//! Incidents: each is one episode of a critical alert, with its owners' deadlines, its timeline and its evidence.

mod evidence;
mod follow;
mod record;
mod safety;
mod state;

pub use evidence::JobEvidence;
pub use record::{Happened, Incident, TimelineEntry};
pub use safety::{Deadlines, Routing};
pub use state::{IncidentEvent, IncidentState};

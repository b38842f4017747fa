//! Incidents: kept in step with the critical alerts (`store`), escalated at their deadlines (`pass`), and made safe by
//! routing that is off (`routing`).

mod evidence;
mod memory;
pub mod pass;
mod routing;
mod store;

pub use evidence::decisions;
pub use memory::Looks;
pub(in crate::app) use store::follow;
pub use store::{IncidentFilter, find, list};

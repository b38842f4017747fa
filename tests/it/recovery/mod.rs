//! What GitHub did not deliver: redelivery, polling, jobs without a decision, lost jobs. The clock is manual.

mod lost;
mod outage;
mod polling;
mod redelivery;
mod stage;
mod undecided;

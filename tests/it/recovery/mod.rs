//! What GitHub did not deliver: redelivery, polling, and jobs without a decision. The clock is manual.

mod outage;
mod polling;
mod redelivery;
mod stage;
mod undecided;

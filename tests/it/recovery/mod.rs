//! Tests of the recovery of missed deliveries: redelivery, polling, jobs without a decision, and lost jobs. The clock is
//! manual.

mod lost;
mod outage;
mod outsiders;
mod polling;
mod redelivery;
mod stage;
mod undecided;
mod workers;

//! Measured runs and service levels: real deliveries, a simulated GitHub, and a clock that the test advances.

mod history;
mod stage;
mod stories;

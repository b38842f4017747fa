//! `/metrics`: what is counted while it happens (`counted`), what is asked at the moment of the scrape (`asked`), and the
//! text that Prometheus reads (`exposition`).
//!
//! Label values come from closed sets or from the configuration; what outsiders write never becomes one.

mod asked;
mod counted;
mod exposition;

pub(super) use asked::{Scrape, scrape};
pub use counted::Metrics;

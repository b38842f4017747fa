//! `/metrics`: the metrics that are counted when events happen (`counted`), those that are read at a scrape (`asked`),
//! and the text format of Prometheus (`exposition`).
//!
//! Label values come from closed sets or from the configuration, never from text of outsiders.

mod asked;
mod counted;
mod exposition;

pub(super) use asked::{Scrape, scrape};
pub use counted::Metrics;

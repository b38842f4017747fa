//! `/metrics`: the metrics that are counted when events happen (`counted`), those that are read at a scrape (`sampled`),
//! and the text format of Prometheus (`exposition`).
//!
//! Label values come from closed sets or from the configuration, never from text of outsiders.

mod counted;
mod exposition;
mod sampled;

pub use counted::Metrics;
pub(super) use sampled::{Scrape, scrape};

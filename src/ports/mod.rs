//! The traits that the application requires of the outside world, and their common failure type.

pub mod alert_sink;
pub mod clock;
pub mod credentials;
pub mod event;
pub mod failure;
pub mod github;
pub mod ledger;
pub mod promise;
pub mod queue;
pub mod runner_host;
pub mod tools;

pub use clock::Clock;
pub use credentials::ReplaceCredentials;
pub use event::{Event, FanOut, Observer};
pub use failure::Failure;
pub use github::GitHub;
pub use ledger::Ledger;
pub use promise::Durability;
pub use queue::Queue;
pub use runner_host::RunnerHost;
pub use tools::Tools;

//! The traits that the application requires of the outside world, and their common failure type.

pub mod administration;
pub mod alert_sink;
pub mod change_journal;
pub mod clock;
pub mod credentials;
pub mod event;
pub mod examination;
pub mod failure;
pub mod github;
pub mod github_app;
pub mod ledger;
pub mod promise;
pub mod queue;
pub mod registration;
pub mod runner_home;
pub mod runner_host;
pub mod tools;

pub use administration::Administration;
pub use change_journal::ChangeJournal;
pub use clock::Clock;
pub use credentials::ReplaceCredentials;
pub use event::{Event, FanOut, Observer};
pub use examination::Examination;
pub use failure::Failure;
pub use github::GitHub;
pub use github_app::{AppManifests, GitHubApp};
pub use ledger::Ledger;
pub use promise::Durability;
pub use queue::Queue;
pub use registration::RegistrationTokens;
pub use runner_home::RunnerHomes;
pub use runner_host::RunnerHost;
pub use tools::{AttendedTools, Tools};

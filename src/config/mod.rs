//! Configuration: raw types as written, validated types as used.
//!
//! [`load`] reads the defaults, a file, the environment and overrides, compares each with the [`schema`], merges and
//! validates them. All problems are reported together. A validated [`Config`] needs no further checks and prints no
//! secret.

mod alerts;
mod check;
mod conform;
mod github;
mod layer;
mod load;
mod local;
mod mask;
mod node;
mod problem;
mod proxy;
mod qemu;
mod raw;
mod repositories;
mod rollout;
mod routing;
mod runners;
mod schema;
mod secret_file;
mod server;
mod settings;
mod slo;
mod spelling;
mod store;
mod synthetic;
mod telemetry;
mod trust;
mod webhook;
mod without_effect;

pub use alerts::{AlertPlace, AlertWebhook, Alerts};
pub use github::{Credentials, Github};
pub use load::{FileSource, Loaded, Sources, load};
pub use local::{Local, Network, Sandbox};
pub use problem::{Origin, Problem, Problems, Setting};
pub use proxy::Proxies;
pub use qemu::{Accel, Machine, Qemu, Size, VmNetwork};
pub use repositories::{DEFAULT_VARIABLE, Repository, Scope};
pub use rollout::{Advance, Rollout};
pub use routing::Routing;
pub use runners::{Host, Runners};
pub use schema::schema;
pub use secret_file::{SecretFileError, read as read_secret_file};
pub use server::{AdminListen, Server};
pub use settings::{Config, Role};
pub use slo::Slo;
pub use store::{Store, StoreUrl};
pub use synthetic::Synthetic;
pub use telemetry::{BadLogFilter, LogFormat, Telemetry, parse_log};
pub use webhook::Webhook;

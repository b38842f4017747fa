//! Wiring only: connects ports and adapters, and starts and stops the listeners and the worker.

mod activation;
mod descriptors;
mod durability;
mod github_clients;
mod identity;
mod liveness;
mod local;
mod person;
mod process;
mod receivers;
mod wiring;
mod writable;

pub use activation::ActivationError;
pub use durability::{Unasked, open_place, promises, try_out_store};
pub use github_clients::{open_github_or_anonymous, open_registration_tokens};
pub use identity::{
    IdentityError, Instance, admin_token, check_state_dir, own_instance, prepare_state_dir, shared_instance,
};
pub use liveness::{Silent, running_gate};
pub use local::inspect_host;
pub use person::{default_runner_name, is_root, login_name, own_uid};
pub use process::{CLOSE_STORE, Ended, Process, StartError, serve};
pub use wiring::{
    Store, WiringError, admin_bind, build_context, health, open_admin, open_alerts, open_github, open_ingress,
    open_store, open_store_beside, repositories, rollout_policy, slo_policy,
};
pub use writable::can_write;

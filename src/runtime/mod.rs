//! Wiring only: connects ports and adapters, and starts and stops the listeners and the worker.

mod activation;
mod descriptors;
mod durability;
mod github;
mod hosts;
mod identity;
mod liveness;
mod person;
mod pool_lock;
mod process;
mod receivers;
mod reconcile;
mod stored_bounds;
mod wiring;
mod wiring_error;
mod writable;

pub use activation::ActivationError;
pub use durability::{Unasked, open_place, promises, try_out_store};
pub use github::{
    open_administration, open_app_manifests, open_examination, open_github, open_github_app, open_github_or_anonymous,
    open_registration_tokens,
};
pub use hosts::inspect_host;
pub use identity::{
    IdentityError, Instance, admin_token, check_state_dir, own_instance, pool_name, prepare_state_dir, random_word,
    shared_instance,
};
pub use liveness::{Silent, running_gate};
pub use person::{default_runner_name, is_root, login_name, own_uid};
pub use pool_lock::{LockHolder, PoolAccess, PoolLock, PoolLockError};
pub use process::{CLOSE_STORE, Ended, Process, StartError, serve};
pub use reconcile::{Reconciled, reconcile};
pub use stored_bounds::overridden_bounds;
pub use wiring::{
    Store, admin_bind, build_context, empty_store, health, open_admin, open_alerts, open_ingress, open_store,
    open_store_beside, repositories, rollout_policy, slo_policy,
};
pub use wiring_error::WiringError;
pub use writable::can_write;

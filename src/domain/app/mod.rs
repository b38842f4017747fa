//! The GitHub App of jitgate: the access that it needs, its manifest, and the files with its credentials.

mod access;
mod manifest;
mod stale;

pub use access::{
    EVENTS, Level, Permission, excess_permissions, grantable, is_skewed, lacking_events, lacking_permissions, required,
};
pub use manifest::{Hook, Manifest, Owner, default_name};
pub use stale::{Candidate, Content, Judgement, judge};

//! The GitHub REST API, through octocrab.
//!
//! octocrab is the HTTP client (TLS, connection pool, base URL). Authentication, rate limits and response types are
//! jitgate's own, because octocrab's repeat requests, drop tokens and fail on nulls that GitHub sends. From the bottom
//! up:
//!
//! - `request` one request; `answers` the response bodies, converted to facts of the domain
//! - `limits`, `etag` the rate limits, and the cache that saves quota
//! - `client` one request, one classified answer
//! - `token` the credentials: the App's JWT, its installations, installation tokens
//! - `app`, `app_calls` the App itself
//! - `adapter`, `api` the implementation of the port
//!
//! No request is repeated here, with one exception: 401 means that GitHub did nothing, so the request is sent once more
//! with a fresh token, for every method. (hyper may pick another connection for a request of which no byte was
//! written.) The caller that gets a [`Failure`](crate::ports::Failure) decides on a retry.
//!
//! # Permissions
//!
//! An App needs these permissions, and each token is minted with no more than its calls need:
//!
//! | token | permissions | used for |
//! |---|---|---|
//! | jobs, one repository | `actions: write` | read runs and jobs, cancel, re-run |
//! | | `actions_variables: write` | the routing variable |
//! | | `pull_requests: read`, `contents: read` | pull requests and their changed files |
//! | | `metadata: read` | permissions of users |
//! | runners, one repository | `administration: write` | list, create and delete runners, tokens for their registration |
//! | runners, organization | `organization_self_hosted_runners: write` | the same at the organization |
//!
//! The delivery log, the webhook and the installations need no permission: the App reads them with its JWT (`app_calls`).

mod adapter;
mod administration;
mod answers;
mod api;
mod app;
mod client;
mod etag;
mod examination;
mod history;
mod limits;
mod own_bot;
mod pull_request;
mod pulls;
mod registration;
mod request;
mod settings;
mod token;

pub use crate::ports::credentials::Credentials;
pub use adapter::GitHubAdapter;
pub use settings::{Settings, SetupError};

//! GitHub over REST, through octocrab.
//!
//! octocrab is the HTTP client (TLS, pool, base URL). Authentication, limits and models are ours: its own repeat requests,
//! forget tokens and fail on nulls that GitHub sends. From the bottom up:
//!
//! - `request` what to ask; `answers` what GitHub says, as the facts the domain knows
//! - `limits`, `etag` when not to ask, and what an answer still costs
//! - `client` one request in, one classified answer out
//! - `token` whom to ask as: the App's JWT, installations, installation tokens
//! - `adapter`, `api` the port itself
//!
//! Nothing is ever repeated here, with one exception: an answer of 401 means that GitHub did nothing at all, so the call
//! is made once more with a fresh token, whatever its method. (Below us hyper may pick another connection for a request
//! of which no byte was written.) Whoever gets a [`Failure`](crate::ports::Failure) decides what to do next.
//!
//! # Permissions
//!
//! An App needs these, and each token is minted with no more than its calls need:
//!
//! | token | permissions | used for |
//! |---|---|---|
//! | jobs, one repository | `actions: write` | read runs and jobs, cancel, re-run |
//! | | `actions_variables: write` | the routing variable |
//! | | `pull_requests: read`, `contents: read` | pull requests and the files they change |
//! | | `metadata: read` | permissions of users |
//! | runners, one repository | `administration: write` | list, make and delete runners |
//! | runners, organization | `organization_self_hosted_runners: write` | the same at the organization |

mod adapter;
mod answers;
mod api;
mod client;
mod etag;
mod limits;
mod pulls;
mod request;
mod settings;
mod token;

pub use adapter::GitHubAdapter;
pub use settings::{Credentials, Settings, SetupError};

//! What the ledger's records say. Every payload carries `v`, the version of its own layout.
//!
//! | kind | id | holds | kept |
//! |---|---|---|---|
//! | job | job id | how far it is, its decisions and facts, its runner | for ever while unfinished, then `retention_s` |
//! | want | job id | a job that was admitted and did not begin yet; the index of the pool | until it begins, or is over |
//! | run | run id | what was already done to the run | `retention_s` |
//! | runner | name | a runner of which anything is left | until it is destroyed |
//! | past_runner | name | the same, afterwards | `retention_s` |
//! | repository | `owner/name` | whether jitgate switched its routing off | for ever |
//! | pin | `owner/name` in lower case | which repository that is, by GitHub's ids | for ever |
//! | group | repository or `org#group` | untrusted jobs and thefts that hold up minting | `retention_s` |
//! | alert | its id | the alert, and who was told of it | for ever until it is over, then `retention_s` |
//! | live-alert | the alert's id | nothing: it is there while the alert is not over, or somebody has yet to be told | for ever |

mod access;
mod job;
mod pin;
mod run;
mod runner;
mod want;

pub use access::{Page, Record, all, list, load, page, remove, update};
pub use job::{Entry, JobRecord, Moment};
pub use pin::PinRecord;
pub use run::{RepositoryRecord, RolledBack, RunRecord};
pub use runner::{Entered, PastRunner, RunnerRecord};
pub use want::{Holder, Want};

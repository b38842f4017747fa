//! The records of the ledger. Every payload has a field `v`, the version of its layout.
//!
//! | kind | id | holds | kept |
//! |---|---|---|---|
//! | job | job id | how far it is, its decisions and facts, its runner | for ever while it is served or waits for that, then `retention_s`; 36 days after its latest event if its end is not heard of |
//! | | | the same of one that never was trusted: four decisions at most, without facts | 6 hours after its end, the newest 10,000 at most; 48 hours if its end is not heard of |
//! | want | job id | a waiting job: admitted and not started; the index of the pool | until it starts or is over |
//! | run | run id | what was already done to the run | `retention_s` |
//! | runner | name | a runner of which anything is left | until it is destroyed |
//! | past_runner | name | the same, afterwards | `retention_s` |
//! | repository | `owner/name` | jitgate's rollback, and the workflows that set run labels | for ever |
//! | rollout | `owner/name` | the canary, the triggers, and the history of routing | for ever |
//! | measured-run | `owner/name#`, newest first | the measurements of a trusted run | 400 days |
//! | verdicts | `owner/name` | counts of routing verdicts, and the mismatches | for ever |
//! | pin | `owner/name` in lower case | which repository that is, by GitHub's ids | for ever |
//! | group | repository or `org#group` | untrusted jobs and thefts that hold up minting | `retention_s` |
//! | recovery | `log` or `poll` | which worker looks for lost deliveries, and up to when all are settled | for ever |
//! | redelivery | GUID | the requests to GitHub to send a delivery again | 4 days, the newest 10,000 at most |
//! | lost | job id | a job that ended with its runner after it had started | until it is reported and re-run, then `retention_s` |
//! | instance | its name | which worker goes by it | some seconds after it was heard of last |
//! | offline | the name of a worker | the runners that this worker misses | until they are back, `retention_s` at most |
//! | bounds | the name of a pool | the bounds of the pool that an operator set, and the busy slots to remove | until they are reset |
//! | pool | the name of a worker | the slots of this worker in its last pass | `retention_s` |
//! | operator-change | newest first | a change that a person made with a command | 90 days, or `retention_s` if it is longer |
//! | alert | its id | the alert, and the sinks that received it | for ever until it is over, then `retention_s` |
//! | live-alert | the alert's id | nothing: it exists while the alert is not over or a sink has not received it | for ever |
//! | incident | newest first | one episode of a critical alert, with its timeline and evidence | for ever until it is over, then 90 days; `retention_s` if the design contained it |

mod access;
mod incident;
mod instance;
mod job;
mod measured;
mod offline;
mod operator_change;
mod pin;
mod pool;
mod recovery;
mod rollout;
mod run;
mod runner;
mod timing;
mod waiting;

pub use access::{Page, Record, all, change, list, load, page, remove, update, with_prefix};
pub use instance::InstanceRecord;
pub use job::{Entry, JobRecord, Moment, RETENTION_OF_OUTSIDERS};
pub use measured::{CountChange, MeasuredRecord, VerdictsRecord};
pub use offline::OfflineRecord;
pub use pin::PinRecord;
pub use pool::{BoundsRecord, PoolRecord};
pub use recovery::{LostRecord, RecoveryRecord, RedeliveryRecord};
pub use rollout::RolloutRecord;
pub use run::{RepositoryRecord, RolledBack, RunRecord};
pub use runner::{Entered, PastRunner, RunnerRecord};
pub use timing::{Counted, JobTiming};
pub use waiting::{Holder, WaitingRecord};

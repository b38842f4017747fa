//! The cost of outsiders in the store: they can create any number of jobs.

use crate::ledgers::{GitHub, Ledger, guid};
use jitgate::adapters::clock::SystemClock;
use jitgate::app::events::worker;
use jitgate::domain::event::Action;
use jitgate::domain::ids::JobId;
use jitgate::ports::Clock;
use jitgate::ports::queue::{Accepted, Arrival, Priority, Work};
use rusqlite::Connection;
use serde_json::json;
use std::time::Duration;

/// The first job of an outsider; one before it is there for one whose end is lost.
const FIRST_OF_OUTSIDERS: u64 = 30_000_000;
/// The limits on the record of an outsider's finished job: its size and its age.
const MOST_BYTES: u64 = 4000;
const LONGEST: Duration = Duration::from_secs(6 * 3600);

impl Ledger {
    /// Jobs of a fork, with all that an outsider can write.
    pub(crate) async fn outsiders_jobs_come_and_go(&self, count: u64) {
        for job in FIRST_OF_OUTSIDERS..FIRST_OF_OUTSIDERS + count {
            for action in [
                Action::Queued,
                Action::Waiting,
                Action::Queued,
                Action::InProgress,
                Action::Completed,
            ] {
                self.outsiders_job(job, action).await;
            }
        }
    }

    pub(crate) async fn outsiders_job_comes_and_its_end_is_lost(&self) {
        self.outsiders_job(FIRST_OF_OUTSIDERS - 1, Action::Queued).await;
    }

    async fn outsiders_job(&self, job: u64, action: Action) {
        let mut labels = vec!["self-hosted".to_owned(), "chem-trusted-pr".to_owned()];
        labels.extend((0..100).map(|n| format!("{}{n}", "label".repeat(40))));
        let payload = json!({
            "action": action.as_str(),
            "repository": {"id": 1_296_269, "full_name": "octo-org/chem-model"},
            "workflow_job": {
                "id": job, "run_id": 30, "run_attempt": 1, "name": "name".repeat(100), "status": action.as_str(),
                "conclusion": (action == Action::Completed).then_some("cancelled"), "head_sha": "evil", "labels": labels,
            },
        });
        let arrival = Arrival {
            id: guid(self.next()),
            event: "workflow_job".to_owned(),
            received_at: SystemClock.now(),
            work: Work::Queue {
                action,
                repository: "octo-org/chem-model".to_owned(),
                job: JobId(job),
                priority: Priority::Reaching,
                body: payload.to_string().into_bytes(),
            },
        };
        assert_eq!(self.store.queue.accept(arrival).await, Ok(Accepted::Taken), "{job}");
        assert_eq!(worker::run_until_idle(&self.gate, "outsiders").await, Ok(1));
    }

    /// Bytes of each record of an outsider's job, with what finds it again, and how long it is still kept.
    pub(crate) fn kept_of_outsiders(&self) -> Vec<(u64, Duration)> {
        let Some(server) = &self._server else {
            let file = Connection::open(self.folder.path().join("jitgate.db")).expect("a database");
            let mut select = file
                .prepare("SELECT length(value), expires_at FROM records WHERE kind = 'job' AND id >= ?1")
                .expect("the statement is right");
            let now = SystemClock.now().timestamp_millis();
            let kept = select.query_map([(FIRST_OF_OUTSIDERS - 1).to_string()], |row| {
                let (bytes, at): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
                let left = at.map_or(i64::MAX, |at| at - now);
                Ok((bytes.unsigned_abs(), Duration::from_millis(left.unsigned_abs())))
            });
            return kept.expect("it is asked").map(|kept| kept.expect("a row")).collect();
        };
        let number = |command: &[&str]| server.cli(command).trim().parse::<i64>().expect("a number");
        let jobs = FIRST_OF_OUTSIDERS - 1..FIRST_OF_OUTSIDERS + 40;
        let keys = jobs.map(|job| format!("{{jitgate:0}}:record:job:{job}"));
        keys.filter(|key| number(&["EXISTS", key]) == 1)
            .map(|key| {
                // Three indexes hold its id.
                let bytes = number(&["MEMORY", "USAGE", &key]) + 3 * 100;
                let left = u64::try_from(number(&["PTTL", &key])).expect("it is not kept for ever");
                (bytes.unsigned_abs(), Duration::from_millis(left))
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outsiders_cannot_fill_the_store_with_finished_jobs() {
    let github = GitHub::start().await;
    for ledger in [Ledger::in_sqlite(&github, 1).await, Ledger::in_redis(&github, 1).await] {
        ledger.outsiders_jobs_come_and_go(40).await;
        let kept = ledger.kept_of_outsiders();
        assert_eq!(kept.len(), 40);
        let bytes = kept.iter().map(|(bytes, _)| bytes).sum::<u64>() / 40;
        println!("{bytes} bytes for an outsider's job");
        assert!(bytes < MOST_BYTES, "{bytes} bytes each");
        assert!(
            kept.iter().all(|(_, left)| *left <= LONGEST && !left.is_zero()),
            "{kept:?}"
        );
        // One whose end is not heard of is not kept for ever either.
        ledger.outsiders_job_comes_and_its_end_is_lost().await;
        let latest = ledger.kept_of_outsiders().into_iter().map(|(_, left)| left).max();
        assert!(
            latest.is_some_and(|left| left > LONGEST && left <= 8 * LONGEST),
            "{latest:?}"
        );
    }
}

//! A gate whose ledger holds many finished jobs, and what an operation on it takes. Shared by a test and a benchmark.

use crate::redis::{DURABLE, Server};
use chrono::DateTime;
use futures::future::join_all;
use jitgate::adapters::clock::SystemClock;
use jitgate::app::Context;
use jitgate::app::events::worker;
use jitgate::app::jobs::history;
use jitgate::config::{self, FileSource, Sources};
use jitgate::domain::event::Action;
use jitgate::domain::ids::{DeliveryId, JobId};
use jitgate::ports::Clock;
use jitgate::ports::ledger::{Keep, Key, Kind, Put};
use jitgate::ports::queue::{Accepted, Arrival, Lease, Priority, Work};
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// The first finished job; the others follow, all with as many digits.
const FIRST: u64 = 10_000_000;
/// The first job that is worked on while it is measured.
const FIRST_MEASURED: u64 = 20_000_000;
/// Writes on their way at the same time while a ledger is filled.
const AT_ONCE: usize = 512;
/// Copies the first finished job with all that belongs to it.
const MULTIPLY: &str = "
    CREATE TEMP TABLE copies AS
        WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :count) SELECT n FROM counted;
    INSERT INTO deliveries (place, id, event, action, repository, job, received_at, state, attempts, finished_at, body_bytes)
        SELECT place + n, printf('72d3162e-cc78-11e3-81ab-%012d', job + n), event, action, repository, job + n, received_at,
            state, attempts, finished_at, body_bytes
        FROM deliveries, copies;
    INSERT INTO bodies
        SELECT deliveries.number, encoding, bytes FROM deliveries, bodies WHERE deliveries.number <> bodies.number;
    UPDATE totals SET last_place = last_place + (SELECT count(*) FROM copies);
    INSERT INTO records
        SELECT kind, id + n, version, replace(value, id, id + n), expires_at, spare_since FROM records, copies WHERE kind = 'job';";
const LONG: Duration = Duration::from_secs(3600);

/// GitHub, as all ledgers of a measurement see it.
pub(crate) struct GitHub(Simulator);

impl GitHub {
    pub(crate) async fn start() -> Self {
        let simulator = Simulator::start(Arc::new(SystemClock), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let world = json!({
            "pulls": [
                {"number": 7},
                {"number": 8, "author": "mallory", "association": "NONE", "files": [".github/workflows/ci.yml"],
                 "head": {"repository": "mallory/chem-model", "branch": "main", "sha": "evil"}},
            ],
            "runs": [{"id": 20, "pull": 7, "jobs": []}, {"id": 30, "pull": 8, "jobs": []}],
            "variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
            "rate_limit": {"limit": 1_000_000, "remaining": 1_000_000},
        });
        let client = Client::new(simulator.url(), reqwest::Client::new());
        client.apply(&world).await.expect("a world");
        Self(simulator)
    }
}

/// The measured operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A delivery is taken.
    Take,
    /// A delivery is claimed.
    Claim,
    /// A delivery is worked through: claimed, decided on, recorded, acknowledged.
    Decide,
    /// The admin API returns the history of a finished job.
    Why,
    /// The same, by the command.
    WhyCommand,
}

/// A gate on a store of its own.
pub(crate) struct Ledger {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
    pub(crate) gate: Arc<Context>,
    finished: u64,
    measured: AtomicU64,
    // Gone with the ledger.
    pub(crate) _server: Option<Server>,
}

impl Ledger {
    pub(crate) async fn in_sqlite(github: &GitHub, finished: u64) -> Self {
        let ledger = Self::with_one(github, None, finished, "").await;
        let mut file = Connection::open(ledger.folder.path().join("jitgate.db")).expect("a database");
        let together = file.transaction().expect("a transaction");
        let copies = (finished - 1).to_string();
        together
            .execute_batch(&MULTIPLY.replace(":count", &copies))
            .expect("the statements are right");
        together.commit().expect("it is written");
        ledger
    }

    pub(crate) async fn in_redis(github: &GitHub, finished: u64) -> Self {
        let server = Server::start(DURABLE);
        // Only the filling is in a hurry.
        server.cli(&["CONFIG", "SET", "appendfsync", "no"]);
        let ledger = Self::with_one(github, Some(server), finished, "").await;
        ledger.fill().await;
        let server = ledger._server.as_ref().expect("it was started");
        server.cli(&["CONFIG", "SET", "appendfsync", "always"]);
        ledger
    }

    /// With one job that the gate itself has finished, and with more configuration; in SQLite without a server.
    pub(crate) async fn with_one(github: &GitHub, server: Option<Server>, finished: u64, more: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), "sim-scale").expect("a file");
        fs::set_permissions(at("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
        let store_url = match &server {
            Some(server) => format!("redis://{}", server.address()),
            None => format!("sqlite:{}", at("jitgate.db").display()),
        };
        let toml = format!(
            "[webhook]\nsecrets = [\"nobody posts anything\"]\n[github]\napi_url = \"{}\"\ntoken_file = \"{}\"\n\
             [runners]\nhost = \"synthetic\"\n[store]\nurl = \"{store_url}\"\n[[repositories]]\nfull_name = \"octo-org/chem-model\"\n{more}",
            github.0.url(),
            at("token").display(),
        );
        fs::write(at("jitgate.toml"), toml).expect("a file");
        let loaded = config::load(Sources {
            file: FileSource::Path(at("jitgate.toml")),
            ..Sources::default()
        });
        let config = loaded.expect("a configuration").config;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = runtime::open_store(&config, clock.clone()).expect("a store");
        let gate = runtime::build_context(&config, &clock, &store, None, "scale000", Arc::new(())).expect("a gate");
        let ledger = Self {
            folder,
            store,
            gate,
            finished,
            measured: AtomicU64::new(FIRST_MEASURED),
            _server: server,
        };
        ledger.arrives(FIRST).await;
        assert_eq!(worker::run_until_idle(&ledger.gate, "filling").await, Ok(1));
        ledger
    }

    /// Writes the other jobs down as if the gate had finished them.
    async fn fill(&self) {
        let first = self
            .store
            .ledger
            .get(&Key::new(Kind::Job, FIRST))
            .await
            .expect("the store answers");
        let first = first.expect("its record").value;
        let jobs: Vec<u64> = (FIRST + 1..FIRST + self.finished).collect();
        for some in jobs.chunks(AT_ONCE) {
            join_all(some.iter().map(|job| self.arrives(*job))).await;
            let leases = self.store.queue.claim("filling", some.len(), LONG).await;
            let leases = leases.expect("the store answers");
            assert_eq!(leases.len(), some.len());
            join_all(leases.into_iter().map(|lease| self.finish(lease, &first))).await;
        }
    }

    async fn arrives(&self, job: u64) {
        let payload = json!({
            "action": "completed",
            "repository": {"id": 1_296_269, "full_name": "octo-org/chem-model"},
            "workflow_job": {
                "id": job, "run_id": 20, "run_attempt": 1, "name": "changes", "status": "completed",
                "conclusion": "success", "head_sha": "c0ffee00".repeat(5), "labels": ["ubuntu-latest"],
            },
        });
        let arrival = Arrival {
            id: guid(job),
            event: "workflow_job".to_owned(),
            received_at: DateTime::from_timestamp(1_795_435_200, 0).expect("in range"),
            work: Work::Queue {
                action: Action::Completed,
                repository: "octo-org/chem-model".to_owned(),
                job: JobId(job),
                priority: Priority::Other,
                body: payload.to_string().into_bytes(),
            },
        };
        assert_eq!(self.store.queue.accept(arrival).await, Ok(Accepted::Taken), "{job}");
    }

    async fn finish(&self, lease: Lease, first: &str) {
        let body: Value = serde_json::from_slice(&lease.body).expect("JSON");
        let job = body["workflow_job"]["id"].as_u64().expect("an id");
        let record = first.replace(&FIRST.to_string(), &job.to_string());
        let key = Key::new(Kind::Job, job);
        let put = self.store.ledger.put(&key, &record, None, Keep::For(LONG)).await;
        assert_eq!(put, Ok(Put::Written(1)));
        self.store.queue.ack(lease).await.expect("the store answers");
    }

    /// Measures an operation once.
    pub(crate) async fn time(&self, operation: Operation) -> Duration {
        match operation {
            Operation::Take => self.take().await,
            Operation::Claim => self.claim().await,
            Operation::Decide => self.decide().await,
            Operation::Why => self.why().await,
            Operation::WhyCommand => self.why_command(),
        }
    }

    async fn take(&self) -> Duration {
        let began = Instant::now();
        self.arrives(self.next()).await;
        let took = began.elapsed();
        self.claim_and_finish().await;
        took
    }

    async fn claim(&self) -> Duration {
        self.arrives(self.next()).await;
        self.claim_and_finish().await
    }

    /// Gives how long the claim took.
    async fn claim_and_finish(&self) -> Duration {
        let began = Instant::now();
        let leases = self
            .store
            .queue
            .claim("measured", 1, LONG)
            .await
            .expect("the store answers");
        let took = began.elapsed();
        assert_eq!(leases.len(), 1);
        for lease in leases {
            self.store.queue.ack(lease).await.expect("the store answers");
        }
        took
    }

    async fn decide(&self) -> Duration {
        self.arrives(self.next()).await;
        let began = Instant::now();
        assert_eq!(worker::run_until_idle(&self.gate, "measured").await, Ok(1));
        began.elapsed()
    }

    async fn why(&self) -> Duration {
        let job = self.one_of_all();
        let began = Instant::now();
        let told = history::of_job(self.store.queue.as_ref(), self.store.ledger.as_ref(), JobId(job)).await;
        let took = began.elapsed();
        assert_eq!(told.expect("the store answers").expect("a story").history.len(), 1);
        took
    }

    fn why_command(&self) -> Duration {
        let began = Instant::now();
        let told = Command::new(env!("CARGO_BIN_EXE_jitgate"))
            .arg("--config")
            .arg(self.folder.path().join("jitgate.toml"))
            .args(["why", &self.one_of_all().to_string()])
            .output()
            .expect("jitgate runs");
        let took = began.elapsed();
        assert!(told.status.success(), "{told:?}");
        took
    }

    pub(crate) fn next(&self) -> u64 {
        self.measured.fetch_add(1, Ordering::Relaxed)
    }

    /// A finished job, another one each time.
    fn one_of_all(&self) -> u64 {
        FIRST + self.next().wrapping_mul(0x9e37_79b9) % self.finished
    }
}

/// A GUID of its own for each job.
pub(crate) fn guid(job: u64) -> DeliveryId {
    DeliveryId::parse(&format!("72d3162e-cc78-11e3-81ab-{job:012}")).expect("a GUID")
}

/// Returns the durations of an operation on two ledgers, each in ascending order. The ledgers take turns, so that the load of
/// the machine is the same for both.
pub(crate) async fn side_by_side(
    few: &Ledger,
    many: &Ledger,
    operation: Operation,
    rounds: usize,
) -> [Vec<Duration>; 2] {
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        if round % 2 == 0 {
            of_few.push(few.time(operation).await);
            of_many.push(many.time(operation).await);
        } else {
            of_many.push(many.time(operation).await);
            of_few.push(few.time(operation).await);
        }
    }
    of_few.sort_unstable();
    of_many.sort_unstable();
    [of_few, of_many]
}

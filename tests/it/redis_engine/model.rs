//! The queue in Redis gives the same answers as the queue in memory, for any sequence of operations.
//!
//! Times are either over at once or never, so that the two clocks don't matter.

use super::*;
use crate::support::redis::Server;
use jitgate::adapters::clock::ManualClock;
use jitgate::adapters::memory::MemoryStore;
use jitgate::ports::queue::{Delivery, Depth, Filter};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::sync::Arc;

/// Bounds that are met.
const TIGHT: Bounds = Bounds {
    max_entries: 6,
    max_entries_other: 4,
    bodies_max_bytes: 300,
    retention: LONG,
    max_spare_records: 1000,
};

#[derive(Debug, Clone)]
enum Step {
    Accept { id: u8, other: bool, bytes: usize },
    Remember { id: u8 },
    Claim { limit: usize, is_lost: bool },
    Ack { held: usize },
    Retry { held: usize, is_due: bool },
    Bury { held: usize },
    Requeue { id: u8 },
    Forget { id: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..9_u8;
    let held = 0..4_usize;
    let step = prop_oneof![
        6 => (id.clone(), any::<bool>(), 0..120_usize).prop_map(|(id, other, bytes)| Step::Accept { id, other, bytes }),
        1 => id.clone().prop_map(|id| Step::Remember { id }),
        5 => (0..4_usize, any::<bool>()).prop_map(|(limit, is_lost)| Step::Claim { limit, is_lost }),
        3 => held.clone().prop_map(|held| Step::Ack { held }),
        3 => (held.clone(), any::<bool>()).prop_map(|(held, is_due)| Step::Retry { held, is_due }),
        2 => held.prop_map(|held| Step::Bury { held }),
        2 => id.clone().prop_map(|id| Step::Requeue { id }),
        1 => id.prop_map(|id| Step::Forget { id }),
    ];
    proptest::collection::vec(step, 1..60)
}

fn over_if(now: bool) -> Duration {
    if now { Duration::ZERO } else { LONG }
}

fn arrival_of(step: &Step) -> Arrival {
    match *step {
        Step::Accept { id, other, bytes } => {
            let work = Work::Queue {
                action: Action::Queued,
                repository: "octo-org/chem".to_owned(),
                job: JobId((id % 3).into()),
                priority: if other { Priority::Other } else { Priority::Reaching },
                body: vec![id; bytes],
            };
            arrival(&id.to_string(), work)
        }
        Step::Remember { id } => arrival(&id.to_string(), Work::Remember),
        _ => unreachable!("nothing arrives"),
    }
}

/// Both engines, and what they have handed out.
struct Both {
    stores: [Arc<dyn Queue>; 2],
    held: Vec<[Lease; 2]>,
}

impl Both {
    /// Does the same to both, and gives what they answer.
    async fn take(&mut self, step: &Step) -> [String; 2] {
        let mut answers = [String::new(), String::new()];
        let handed_back = match *step {
            Step::Ack { held } | Step::Retry { held, .. } | Step::Bury { held } if held < self.held.len() => {
                self.held.remove(held).map(Some)
            }
            _ => [None, None],
        };
        let mut handed_out = Vec::new();
        for ((store, lease), answer) in self.stores.iter().zip(handed_back).zip(&mut answers) {
            *answer = match (step, lease) {
                (Step::Accept { .. } | Step::Remember { .. }, _) => {
                    format!("{:?}", store.accept(arrival_of(step)).await)
                }
                (Step::Claim { limit, is_lost }, _) => {
                    let leases = store
                        .claim("worker", *limit, over_if(*is_lost))
                        .await
                        .expect("it answers");
                    let seen = leases
                        .iter()
                        .map(|lease| (&lease.id, lease.attempts, &lease.body, lease.received_at));
                    let seen = format!("{:?}", seen.collect::<Vec<_>>());
                    handed_out.push(leases);
                    seen
                }
                (Step::Ack { .. }, Some(lease)) => format!("{:?}", store.ack(lease).await),
                (Step::Retry { is_due, .. }, Some(lease)) => {
                    format!("{:?}", store.retry(lease, over_if(*is_due), "again").await)
                }
                (Step::Bury { .. }, Some(lease)) => format!("{:?}", store.dead_letter(lease, "enough").await),
                (Step::Requeue { id }, _) => format!("{:?}", store.requeue(&guid(&id.to_string())).await),
                (Step::Forget { id }, _) => format!("{:?}", store.forget_dead(&guid(&id.to_string())).await),
                (Step::Ack { .. } | Step::Retry { .. } | Step::Bury { .. }, None) => String::new(),
            };
        }
        if let (Some(second), Some(first)) = (handed_out.pop(), handed_out.pop()) {
            self.held
                .extend(first.into_iter().zip(second).map(|(first, second)| [first, second]));
        }
        answers
    }

    /// The visible state of a queue, without times.
    async fn shown(&self) -> [(Vec<(Delivery, bool, Option<Vec<u8>>)>, Depth); 2] {
        let shown = self.stores.iter().map(|store| async move {
            let mut deliveries = Vec::new();
            for delivery in store.deliveries(&Filter::default(), 100).await.expect("it answers") {
                let body = store.body(&delivery.id).await.expect("it answers");
                let is_due_some_day = delivery.due_at.is_some();
                deliveries.push((
                    Delivery {
                        due_at: None,
                        ..delivery
                    },
                    is_due_some_day,
                    body,
                ));
            }
            (deliveries, store.depth().await.expect("it answers"))
        });
        let shown = futures::future::join_all(shown).await;
        shown.try_into().unwrap_or_else(|_| unreachable!("two stores"))
    }
}

#[test]
fn redis_gives_the_same_answers_as_memory() {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut runner = TestRunner::new(Config {
        cases: 60,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&steps(), |steps| {
        server.cli(&["FLUSHALL"]);
        runtime.block_on(async {
            let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
            let settings = Settings {
                bounds: TIGHT,
                ..settings(&format!("redis://{}", server.address()), 1)
            };
            let mut both = Both {
                stores: [
                    Arc::new(MemoryStore::new(clock, TIGHT)),
                    Arc::new(RedisStore::new(settings).expect("a good URL")),
                ],
                held: Vec::new(),
            };
            for step in &steps {
                let [memory, redis] = both.take(step).await;
                prop_assert_eq!(memory, redis, "{:?}", step);
                let [memory, redis] = both.shown().await;
                prop_assert_eq!(memory, redis, "after {:?}", step);
            }
            Ok::<(), TestCaseError>(())
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

//! A bounded cache of answers with one request for all concurrent callers.

use crate::ports::Failure;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Maximum number of cached answers of each kind.
const MAX_ANSWERS: usize = 4096;

/// A pending answer with its waiting callers.
struct Flight<V> {
    turn: tokio::sync::Mutex<()>,
    landed: Mutex<Landed<V>>,
}

/// The number of completed requests, and the last result.
struct Landed<V> {
    times: u64,
    /// The arrival time of the caller of the last request.
    asked_at: DateTime<Utc>,
    answer: Result<Option<V>, Failure>,
}

/// The answers by question, with the times of their requests.
pub(in crate::app) struct Recent<K, V> {
    answers: Mutex<HashMap<K, (DateTime<Utc>, V)>>,
    flights: Mutex<HashMap<K, Arc<Flight<V>>>>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self {
            answers: Mutex::new(HashMap::new()),
            flights: Mutex::new(HashMap::new()),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    /// Returns the answer, unless it is too old.
    pub(in crate::app) fn get(&self, key: &K, now: DateTime<Utc>, max_age: TimeDelta) -> Option<V> {
        let answers = held(&self.answers);
        let (at, value) = answers.get(key)?;
        (now - *at < max_age).then(|| value.clone())
    }

    /// Returns the time of the request.
    pub(in crate::app) fn asked_at(&self, key: &K) -> Option<DateTime<Utc>> {
        held(&self.answers).get(key).map(|(at, _)| *at)
    }

    /// Discards the answer.
    pub(in crate::app) fn forget(&self, key: &K) {
        held(&self.answers).remove(key);
    }

    /// Stores an answer that was requested at `now`.
    pub(in crate::app) fn put(&self, key: K, value: V, now: DateTime<Utc>) {
        let mut answers = held(&self.answers);
        if answers.len() >= MAX_ANSWERS {
            let oldest = answers.values().map(|(at, _)| *at).min().unwrap_or(now);
            let middle = oldest + (now - oldest) / 2;
            answers.retain(|_, (at, _)| *at > middle);
        }
        answers.insert(key, (now, value));
    }

    /// Returns the cached answer or the result of `ask`. While one caller asks, all other callers with the same key
    /// wait and receive its result, including an absence or a failure. Neither of these is cached for later callers.
    pub(in crate::app) async fn get_or_ask(
        &self,
        key: &K,
        now: DateTime<Utc>,
        max_age: TimeDelta,
        ask: impl Future<Output = Result<Option<V>, Failure>>,
    ) -> Result<Option<V>, Failure> {
        if let Some(known) = self.get(key, now, max_age) {
            return Ok(Some(known));
        }
        let flight = {
            let mut flights = held(&self.flights);
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            Arc::clone(flights.entry(key.clone()).or_insert_with(|| Arc::new(Flight::new())))
        };
        let before = held(&flight.landed).times;
        // A caller that is cancelled while it asks releases its turn, and the next caller asks.
        let _turn = flight.turn.lock().await;
        {
            let landed = held(&flight.landed);
            // An answer to an older request is not fresh enough for a caller that needs a fresh one.
            let is_fresh = landed.answer.is_err() || now - landed.asked_at < max_age;
            if landed.times != before && is_fresh {
                return landed.answer.clone();
            }
        }
        let answer = ask.await;
        if let Ok(Some(value)) = &answer {
            self.put(key.clone(), value.clone(), now);
        }
        let mut landed = held(&flight.landed);
        landed.times += 1;
        landed.asked_at = now;
        landed.answer = answer.clone();
        answer
    }
}

impl<V> Flight<V> {
    fn new() -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            landed: Mutex::new(Landed {
                times: 0,
                asked_at: DateTime::UNIX_EPOCH,
                answer: Ok(None),
            }),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    async fn asked_by_64(answer: Result<Option<u32>, Failure>) -> (u32, Vec<Result<Option<u32>, Failure>>) {
        let recent: Recent<u8, u32> = Recent::default();
        let asked = AtomicU32::new(0);
        let ask = || async {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            answer.clone()
        };
        let callers = (0..64).map(|_| recent.get_or_ask(&1, DateTime::UNIX_EPOCH, TimeDelta::seconds(1), ask()));
        let got = futures::future::join_all(callers).await;
        (asked.load(Ordering::SeqCst), got)
    }

    #[tokio::test]
    async fn sixty_four_at_once_ask_once_and_share_what_comes() {
        for answer in [Ok(Some(7)), Ok(None), Err(Failure::Transient("no answer".to_owned()))] {
            let (asked, got) = asked_by_64(answer.clone()).await;
            assert_eq!(asked, 1, "{answer:?}");
            assert!(got.iter().all(|one| *one == answer), "{got:?}");
        }
    }

    #[tokio::test]
    async fn one_that_gives_up_while_it_asks_leaves_the_question_to_the_next() {
        let recent: Recent<u8, u32> = Recent::default();
        let (now, age) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(1));
        let never = recent.get_or_ask(&1, now, age, std::future::pending());
        let second = recent.get_or_ask(&1, now, age, async { Ok(Some(2)) });
        {
            let mut never = Box::pin(never);
            let both = futures::future::poll_immediate(&mut never).await;
            assert!(both.is_none());
        }
        assert_eq!(second.await, Ok(Some(2)));
    }

    #[tokio::test]
    async fn a_fresh_answer_is_not_one_that_was_asked_for_long_before() {
        let recent: Recent<u8, u32> = Recent::default();
        let (now, age) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(2));
        let slow = recent.get_or_ask(&1, now, age, async {
            tokio::task::yield_now().await;
            Ok(Some(1))
        });
        let close = recent.get_or_ask(&1, now + TimeDelta::seconds(1), age, async { Ok(Some(2)) });
        let late = recent.get_or_ask(&1, now + TimeDelta::seconds(2), age, async { Ok(Some(3)) });
        let got = futures::join!(slow, close, late);
        assert_eq!(got, (Ok(Some(1)), Ok(Some(1)), Ok(Some(3))));
    }

    #[tokio::test]
    async fn failures_and_absences_are_not_remembered() {
        let recent: Recent<u8, u32> = Recent::default();
        let (now, age) = (DateTime::UNIX_EPOCH, TimeDelta::seconds(1));
        let lost = Err(Failure::Transient("no answer".to_owned()));
        assert_eq!(recent.get_or_ask(&1, now, age, async { lost.clone() }).await, lost);
        assert_eq!(recent.get_or_ask(&1, now, age, async { Ok(None) }).await, Ok(None));
        assert_eq!(
            recent.get_or_ask(&1, now, age, async { Ok(Some(3)) }).await,
            Ok(Some(3))
        );
        assert_eq!(
            recent.get_or_ask(&1, now, age, async { Ok(Some(4)) }).await,
            Ok(Some(3))
        );
    }
}

//! The budget of outsiders: their share of GitHub's quota and of this process, so that no outsider delays a trusted
//! job.
//!
//! Calls about their runs are counted by person and by fork, in windows of [`WINDOW`]. A person over the budget is
//! parked: the job is held with `over-budget` and judged after the window. The number of their deliveries in progress
//! is limited, in total and for one person. Other deliveries return to the queue without a question to GitHub and leave
//! the worker to the jobs of this repository. The budget is memory of this process; a restart begins with new windows.

use crate::domain::facts::{Facts, Run};
use crate::domain::ids::RepositoryId;
use crate::domain::policy::TrustPolicy;
use crate::domain::trust::{self, Trust};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The window for the number of calls.
pub(in crate::app) const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// Maximum number of calls about the runs of one person or fork in a window: nine pull requests with the maximum number
/// of files in GitHub's list.
const MAX_CALLS_OF_ONE: u32 = 300;
/// Maximum number of calls about the runs of all outsiders in a window: less than GitHub's smallest quota without the
/// reserve.
const MAX_CALLS_OF_ALL: u32 = 600;
/// Maximum number of outsiders' deliveries in progress; the worker has more than twice as many places.
const MAX_PLACES: u32 = 16;
/// Maximum number of deliveries of one person or fork in progress.
const MAX_PLACES_OF_ONE: u32 = 4;
/// Maximum number of persons with a separate count. The calls of others count in the total.
const MAX_ACCOUNTS: usize = 4096;

/// The person or fork behind a run that does not belong to this repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) struct Outsider {
    accounts: Vec<Account>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Account {
    /// Login in lower case.
    Person(String),
    Fork(RepositoryId),
}

impl Outsider {
    /// Returns the outsider behind a run, as far as the facts show. A run whose head is in this repository counts as
    /// its own until its pull requests show that it is not trusted.
    pub(in crate::app) fn behind(facts: &Facts, policy: &TrustPolicy) -> Option<Self> {
        let run = facts.run.known()?;
        let is_settled = || trust::is_their_own(facts, policy) || !facts.ledger.catching_up;
        let is_untrusted = || facts.pulls.known().is_some() && trust::judge(facts, policy).trust == Trust::Untrusted;
        match Self::of(run) {
            None if is_untrusted() && is_settled() => Some(Self {
                accounts: person(run).into_iter().collect(),
            }),
            outsider => outsider,
        }
    }

    /// Returns the outsider behind a run whose head is in another or a deleted repository.
    pub(in crate::app) fn of(run: &Run) -> Option<Self> {
        let head = run.head_repository.as_ref();
        if head.is_some_and(|head| head.id == run.repository_id) {
            return None;
        }
        let fork = head.map(|head| Account::Fork(head.id));
        Some(Self {
            accounts: person(run).into_iter().chain(fork).collect(),
        })
    }
}

fn person(run: &Run) -> Option<Account> {
    let actor = run.actor.as_ref()?;
    Some(Account::Person(actor.login.to_ascii_lowercase()))
}

/// The use by all outsiders.
#[derive(Default)]
pub struct Budget(Mutex<Books>);

#[derive(Default)]
struct Books {
    spent: HashMap<Account, Spent>,
    spent_by_all: Spent,
    places: HashMap<Account, u32>,
    places_of_all: u32,
}

/// The calls in a window.
#[derive(Default, Clone, Copy)]
struct Spent {
    since: DateTime<Utc>,
    calls: u32,
}

impl Spent {
    fn add(&mut self, calls: u32, now: DateTime<Utc>) {
        if now - self.since >= WINDOW {
            *self = Self { since: now, calls: 0 };
        }
        self.calls = self.calls.saturating_add(calls);
    }

    /// Returns the time when calls are available again, or `None` if they are available now.
    fn used_up_until(&self, most: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = self.since + WINDOW;
        (self.calls >= most && now < until).then_some(until)
    }
}

/// A place for one delivery of an outsider. Dropping it frees the place.
pub(in crate::app) struct Place<'a> {
    budget: &'a Budget,
    outsider: Outsider,
}

impl Budget {
    /// Counts calls about a run of `outsider`.
    pub(in crate::app) fn charge(&self, outsider: &Outsider, calls: u32, now: DateTime<Utc>) {
        let mut books = self.books();
        books.spent_by_all.add(calls, now);
        if books.spent.len() >= MAX_ACCOUNTS {
            books.spent.retain(|_, spent| now - spent.since < WINDOW);
        }
        for account in &outsider.accounts {
            if books.spent.len() < MAX_ACCOUNTS || books.spent.contains_key(account) {
                books.spent.entry(account.clone()).or_default().add(calls, now);
            }
        }
    }

    /// Returns the time of the next permitted call about a run of `outsider`, or `None` if it is permitted now.
    pub(in crate::app) fn used_up_until(&self, outsider: &Outsider, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let books = self.books();
        let of_one = |account| {
            let spent: &Spent = books.spent.get(account)?;
            spent.used_up_until(MAX_CALLS_OF_ONE, now)
        };
        let of_all = books.spent_by_all.used_up_until(MAX_CALLS_OF_ALL, now);
        outsider.accounts.iter().filter_map(of_one).chain(of_all).max()
    }

    /// Returns a place for a delivery, if one is free.
    pub(in crate::app) fn place(&self, outsider: &Outsider) -> Option<Place<'_>> {
        let mut books = self.books();
        let taken = |account| books.places.get(account).copied().unwrap_or(0);
        if books.places_of_all >= MAX_PLACES || outsider.accounts.iter().any(|one| taken(one) >= MAX_PLACES_OF_ONE) {
            return None;
        }
        books.places_of_all += 1;
        for account in &outsider.accounts {
            *books.places.entry(account.clone()).or_default() += 1;
        }
        Some(Place {
            budget: self,
            outsider: outsider.clone(),
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut books = self.budget.books();
        books.places_of_all -= 1;
        for account in &self.outsider.accounts {
            if let Some(taken) = books.places.get_mut(account) {
                *taken -= 1;
            }
        }
        books.places.retain(|_, taken| *taken > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outsider(name: &str, fork: u64) -> Outsider {
        Outsider {
            accounts: vec![Account::Person(name.to_owned()), Account::Fork(RepositoryId(fork))],
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::seconds(second)
    }

    #[test]
    fn a_second_account_or_a_second_fork_buys_nothing() {
        let budget = Budget::default();
        budget.charge(&outsider("mallory", 7), MAX_CALLS_OF_ONE, at(0));
        for other in [outsider("mallory", 8), outsider("trudy", 7)] {
            assert_eq!(budget.used_up_until(&other, at(1)), Some(at(600)));
            assert_eq!(budget.used_up_until(&other, at(600)), None, "a new window");
        }
        assert_eq!(budget.used_up_until(&outsider("trudy", 8), at(1)), None);
    }

    #[test]
    fn a_crowd_of_accounts_shares_one_budget_and_sixteen_places() {
        let budget = Budget::default();
        for number in 0..40 {
            budget.charge(&outsider(&format!("sock-{number}"), number), 15, at(0));
        }
        assert!(budget.used_up_until(&outsider("honest", 99), at(1)).is_some());

        let crowd: Vec<Outsider> = (0..40).map(|n| outsider(&format!("sock-{n}"), n)).collect();
        let mut places: Vec<Place<'_>> = crowd.iter().filter_map(|one| budget.place(one)).collect();
        assert_eq!(places.len(), 16);
        places.pop();
        let mut of_one = Vec::new();
        of_one.extend(budget.place(&crowd[39]));
        assert_eq!(of_one.len(), 1, "a place that was given back is free");
    }

    #[test]
    fn one_person_has_four_places() {
        let budget = Budget::default();
        let places: Vec<Place<'_>> = (0..9)
            .filter_map(|fork| budget.place(&outsider("mallory", fork)))
            .collect();
        assert_eq!(places.len(), 4);
        assert!(budget.place(&outsider("trudy", 3)).is_some(), "another person's place");
        drop(places);
        assert!(budget.books().places.is_empty());
    }
}

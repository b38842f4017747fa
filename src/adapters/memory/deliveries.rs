//! The deliveries in their order of arrival, each with its state.
//!
//! One time says when an unfinished delivery may be claimed. A claim only moves it to the end of the lease, so an
//! expired lease needs no clean-up. The position and the number of attempts identify a lease; the pair is unique.

use crate::domain::event::Action;
use crate::domain::ids::{DeliveryId, JobId};
use crate::ports::queue::{Accepted, Arrival, Bounds, Delivery, DeliveryState, Depth, Filter, Lease, Work};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

pub(super) struct Deliveries {
    bounds: Bounds,
    last_place: u64,
    places: HashMap<DeliveryId, u64>,
    entries: BTreeMap<u64, Entry>,
    unfinished: BTreeSet<u64>,
    unfinished_bytes: u64,
    /// The finished deliveries by their finishing time.
    finished: BTreeSet<(DateTime<Utc>, u64)>,
    /// The finished deliveries that still have a body; dead letters come last.
    spare_bodies: BTreeSet<(bool, u64)>,
    body_bytes: u64,
}

struct Entry {
    id: DeliveryId,
    event: String,
    subject: Option<Subject>,
    received_at: DateTime<Utc>,
    attempts: u32,
    cause: Option<String>,
    stage: Stage,
    body: Option<Vec<u8>>,
}

/// The subject of a delivery that was queued.
struct Subject {
    action: Option<Action>,
    repository: Option<String>,
    job: Option<JobId>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Waits; can be claimed from this time on.
    Waiting(DateTime<Utc>),
    /// Leased; can be claimed again from this time on.
    Leased(DateTime<Utc>),
    /// Finished at this time, in one of the final states.
    Finished(DeliveryState, DateTime<Utc>),
}

impl Stage {
    fn due_at(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Waiting(at) | Self::Leased(at) => Some(at),
            Self::Finished(..) => None,
        }
    }

    fn is_due(self, now: DateTime<Utc>) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    fn state(self, now: DateTime<Utc>) -> DeliveryState {
        match self {
            Self::Leased(until) if until > now => DeliveryState::Leased,
            Self::Waiting(_) | Self::Leased(_) => DeliveryState::Queued,
            Self::Finished(state, _) => state,
        }
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.len() as u64)
    }

    fn describe(&self, now: DateTime<Utc>) -> Delivery {
        let state = self.stage.state(now);
        let subject = self.subject.as_ref();
        Delivery {
            synthesized: self.id.is_synthesized(),
            id: self.id.clone(),
            event: self.event.clone(),
            action: subject.and_then(|subject| subject.action),
            repository: subject.and_then(|subject| subject.repository.clone()),
            job: subject.and_then(|subject| subject.job),
            received_at: self.received_at,
            state,
            attempts: self.attempts,
            due_at: self.stage.due_at().filter(|_| state == DeliveryState::Queued),
            cause: self.cause.clone(),
        }
    }
}

impl Deliveries {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            last_place: 0,
            places: HashMap::new(),
            entries: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            unfinished_bytes: 0,
            finished: BTreeSet::new(),
            spare_bodies: BTreeSet::new(),
            body_bytes: 0,
        }
    }

    /// Removes the deliveries that finished longer ago than the retention.
    pub(super) fn expire(&mut self, now: DateTime<Utc>) {
        while let Some((at, place)) = self.finished.first().copied()
            && later(at, self.bounds.retention) <= now
        {
            self.remove(place);
        }
    }

    pub(super) fn accept(&mut self, arrival: Arrival, now: DateTime<Utc>) -> Accepted {
        let known = self.places.get(&arrival.id).copied();
        let is_dead = known.is_some_and(|place| self.is_dead(place));
        let waiting = Stage::Waiting(now);
        let over = |state| Stage::Finished(state, now);
        let (stage, subject, body, cause) = match arrival.work {
            _ if known.is_some() && !is_dead => return Accepted::AlreadySeen,
            Work::Remember | Work::Bury { .. } if is_dead => return Accepted::AlreadySeen,
            Work::Remember => (over(DeliveryState::Ignored), None, None, None),
            Work::Bury {
                action,
                repository,
                job,
                cause,
                body,
            } => {
                let subject = Subject {
                    action,
                    repository,
                    job,
                };
                (over(DeliveryState::Dead), Some(subject), Some(body), Some(cause))
            }
            Work::Queue {
                action,
                repository,
                job,
                priority,
                body,
            } => {
                let unfinished = self.unfinished.len() as u64;
                if !self
                    .bounds
                    .have_room(priority, body.len() as u64, unfinished, self.unfinished_bytes)
                {
                    return Accepted::Full;
                }
                let subject = Subject {
                    action: Some(action),
                    repository: Some(repository),
                    job: Some(job),
                };
                (waiting, Some(subject), Some(body), None)
            }
        };
        if let Some(place) = known {
            self.remove(place);
        }
        self.insert_last(Entry {
            id: arrival.id,
            event: arrival.event,
            subject,
            received_at: arrival.received_at,
            attempts: 0,
            cause,
            stage,
            body,
        });
        self.make_room();
        Accepted::Taken
    }

    pub(super) fn claim(&mut self, limit: usize, now: DateTime<Utc>, lease_for: Duration) -> Vec<Lease> {
        let due: Vec<u64> = self.next_of_each_job(now).take(limit).collect();
        let lease = |place: u64| {
            let entry = self.entries.get_mut(&place)?;
            let attempts = entry.attempts;
            entry.attempts = attempts.saturating_add(1);
            entry.stage = Stage::Leased(later(now, lease_for));
            Some(Lease {
                id: entry.id.clone(),
                received_at: entry.received_at,
                attempts,
                body: entry.body.clone().unwrap_or_default(),
                token: token(place, entry.attempts),
            })
        };
        due.into_iter().filter_map(lease).collect()
    }

    pub(super) fn hold(&mut self, lease: &Lease, now: DateTime<Utc>, lease_for: Duration) -> bool {
        self.change_leased(lease, now, |entry| entry.stage = Stage::Leased(later(now, lease_for)))
    }

    pub(super) fn ack(&mut self, lease: &Lease, now: DateTime<Utc>) {
        self.change_leased(lease, now, |entry| {
            entry.stage = Stage::Finished(DeliveryState::Done, now);
        });
    }

    pub(super) fn retry(&mut self, lease: &Lease, now: DateTime<Utc>, delay: Duration, cause: &str) {
        self.change_leased(lease, now, |entry| {
            entry.stage = Stage::Waiting(later(now, delay));
            entry.cause = Some(cause.to_owned());
        });
    }

    pub(super) fn dead_letter(&mut self, lease: &Lease, now: DateTime<Utc>, cause: &str) {
        self.change_leased(lease, now, |entry| {
            entry.stage = Stage::Finished(DeliveryState::Dead, now);
            entry.cause = Some(cause.to_owned());
        });
    }

    pub(super) fn requeue(&mut self, id: &DeliveryId, now: DateTime<Utc>) -> bool {
        let Some(place) = self.places.get(id).copied() else {
            return false;
        };
        if self.unfinished.contains(&place) {
            return true;
        }
        match self.remove(place) {
            Some(entry) if entry.body.is_some() => {
                self.insert_last(Entry {
                    attempts: 0,
                    cause: None,
                    stage: Stage::Waiting(now),
                    ..entry
                });
                self.make_room();
                true
            }
            Some(entry) => {
                self.insert(place, entry);
                false
            }
            None => false,
        }
    }

    /// Returns the time of the next due delivery: a retry or the end of a lease.
    pub(super) fn next_due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ready = self.next_of_each_job(now).next().map(|_| now);
        let later = self.unfinished().filter_map(|(_, entry)| entry.stage.due_at());
        ready.or_else(|| later.filter(|at| *at > now).min())
    }

    pub(super) fn get(&self, id: &DeliveryId, now: DateTime<Utc>) -> Option<Delivery> {
        Some(self.entry(id)?.describe(now))
    }

    pub(super) fn forget_dead(&mut self, id: &DeliveryId) -> bool {
        let place = self.places.get(id).copied().filter(|place| self.is_dead(*place));
        place.and_then(|place| self.remove(place)).is_some()
    }

    pub(super) fn newest(&self, filter: &Filter, limit: usize, now: DateTime<Utc>) -> Vec<Delivery> {
        let newest = self.entries.values().rev().map(|entry| entry.describe(now));
        newest.filter(|delivery| filter.matches(delivery)).take(limit).collect()
    }

    pub(super) fn body(&self, id: &DeliveryId) -> Option<Vec<u8>> {
        self.entry(id)?.body.clone()
    }

    pub(super) fn depth(&self, now: DateTime<Utc>) -> Depth {
        let mut depth = Depth {
            body_bytes: self.body_bytes,
            ..Depth::default()
        };
        for entry in self.entries.values() {
            match entry.stage.state(now) {
                DeliveryState::Queued if entry.stage.is_due(now) => depth.ready += 1,
                DeliveryState::Queued => depth.delayed += 1,
                DeliveryState::Leased => depth.leased += 1,
                DeliveryState::Dead => depth.dead += 1,
                DeliveryState::Done | DeliveryState::Ignored => {}
            }
        }
        depth.oldest = self.unfinished().map(|(_, entry)| entry.received_at).min();
        depth
    }

    fn is_dead(&self, place: u64) -> bool {
        let stage = self.entries.get(&place).map(|entry| entry.stage);
        matches!(stage, Some(Stage::Finished(DeliveryState::Dead, _)))
    }

    fn entry(&self, id: &DeliveryId) -> Option<&Entry> {
        self.entries.get(self.places.get(id)?)
    }

    /// Iterates over the unfinished deliveries in order of arrival.
    fn unfinished(&self) -> impl Iterator<Item = (u64, &Entry)> {
        let entry = |place: &u64| Some((*place, self.entries.get(place)?));
        self.unfinished.iter().filter_map(entry)
    }

    /// Iterates over the oldest due delivery of each job that has no leased delivery, in order of arrival.
    fn next_of_each_job(&self, now: DateTime<Utc>) -> impl Iterator<Item = u64> {
        // Deliveries without a known job are served as if they belonged to one job.
        let job = |entry: &Entry| entry.subject.as_ref().map(|subject| subject.job);
        let leased = self
            .unfinished()
            .filter(|(_, entry)| entry.stage.state(now) == DeliveryState::Leased);
        let mut taken: HashSet<_> = leased.filter_map(|(_, entry)| job(entry)).collect();
        self.unfinished()
            .filter(move |(_, entry)| entry.stage.is_due(now) && job(entry).is_some_and(|job| taken.insert(job)))
            .map(|(place, _)| place)
    }

    /// Changes a leased delivery if the lease still holds it. Returns whether it does.
    fn change_leased(&mut self, lease: &Lease, now: DateTime<Utc>, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(place) = self.places.get(&lease.id).copied() else {
            return false;
        };
        let is_held = self.entries.get(&place).is_some_and(|entry| {
            entry.stage.state(now) == DeliveryState::Leased && token(place, entry.attempts) == lease.token
        });
        if is_held && let Some(mut entry) = self.remove(place) {
            change(&mut entry);
            self.insert(place, entry);
        }
        is_held
    }

    /// Drops bodies of finished deliveries until the rest fits.
    fn make_room(&mut self) {
        while self.body_bytes > self.bounds.bodies_max_bytes
            && let Some((_, place)) = self.spare_bodies.first().copied()
            && let Some(entry) = self.remove(place)
        {
            self.insert(place, Entry { body: None, ..entry });
        }
    }

    fn insert_last(&mut self, entry: Entry) {
        self.last_place += 1;
        self.insert(self.last_place, entry);
    }

    /// Inserts an entry and updates every index.
    fn insert(&mut self, place: u64, entry: Entry) {
        self.places.insert(entry.id.clone(), place);
        self.body_bytes += entry.bytes();
        match entry.stage {
            Stage::Waiting(_) | Stage::Leased(_) => {
                self.unfinished.insert(place);
                self.unfinished_bytes += entry.bytes();
            }
            Stage::Finished(state, at) => {
                self.finished.insert((at, place));
                if entry.body.is_some() {
                    self.spare_bodies.insert((state == DeliveryState::Dead, place));
                }
            }
        }
        self.entries.insert(place, entry);
    }

    /// Removes an entry and updates every index.
    fn remove(&mut self, place: u64) -> Option<Entry> {
        let entry = self.entries.remove(&place)?;
        self.places.remove(&entry.id);
        self.body_bytes -= entry.bytes();
        match entry.stage {
            Stage::Waiting(_) | Stage::Leased(_) => {
                self.unfinished.remove(&place);
                self.unfinished_bytes -= entry.bytes();
            }
            Stage::Finished(state, at) => {
                self.finished.remove(&(at, place));
                self.spare_bodies.remove(&(state == DeliveryState::Dead, place));
            }
        }
        Some(entry)
    }
}

fn token(place: u64, attempts: u32) -> String {
    format!("{place}.{attempts}")
}

fn later(than: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    let by = TimeDelta::from_std(by).unwrap_or(TimeDelta::MAX);
    than.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

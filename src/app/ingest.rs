//! Ingest: verifies and parses a delivery and stores it in the durable queue before it is answered. Nothing here calls
//! GitHub.

use super::alerts::{Alerts, OldSecret};
use super::repositories::renamed::Renamed;
use super::settings::Repository;
use crate::domain::event::{Action, JobEvent};
use crate::domain::ids::DeliveryId;
use crate::domain::payload::{self, Parsed};
use crate::domain::pin::RepositoryIds;
use crate::domain::signature;
use crate::ports::event::{Event, Observer};
use crate::ports::queue::{Accepted, Arrival, Priority, Queue, Work};
use crate::ports::{Clock, Failure};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

/// The ingress.
pub struct Ingest {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    secrets: RwLock<Arc<Secrets>>,
    repositories: Vec<Repository>,
    observer: Arc<dyn Observer>,
    alerts: Arc<Alerts>,
    old_secret: OldSecret,
    renamed: Renamed,
}

/// The webhook secrets with their use counts.
struct Secrets {
    all: Vec<SecretString>,
    used: Vec<AtomicU64>,
}

impl Secrets {
    /// Creates the new secrets and keeps the counts of those that remain.
    fn after(before: Option<&Self>, all: Vec<SecretString>) -> Arc<Self> {
        let known = |secret: &SecretString| {
            let before = before?;
            let is_same = |other: &SecretString| other.expose_secret() == secret.expose_secret();
            let position = before.all.iter().position(is_same)?;
            Some(before.used.get(position)?.load(Ordering::Relaxed))
        };
        let used = all
            .iter()
            .map(|secret| AtomicU64::new(known(secret).unwrap_or_default()));
        let used = used.collect();
        Arc::new(Self { all, used })
    }
}

/// The relevant headers, unchanged.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    /// `X-GitHub-Event`.
    pub event: Option<&'a str>,
    /// `X-GitHub-Delivery`.
    pub delivery: Option<&'a str>,
    /// `X-Hub-Signature-256`.
    pub signature: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
}

/// An accepted or ignored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub delivery: DeliveryId,
    pub status: Status,
}

/// The result of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The delivery is in the durable queue.
    Queued,
    /// The GUID is already known.
    Duplicate,
    /// jitgate does not use this kind of event.
    IgnoredEvent,
    /// The action of the `workflow_job` event is unknown.
    IgnoredAction,
    /// The signed delivery may concern us, but this version cannot parse it. It is stored as a dead letter and can be
    /// retried.
    Unreadable,
    /// The repository is not configured.
    IgnoredRepository,
    /// The event is GitHub's test of a new webhook.
    Pong,
}

impl Status {
    /// Returns the name used in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Duplicate => "duplicate",
            Self::IgnoredEvent | Self::IgnoredAction | Self::IgnoredRepository => "ignored",
            Self::Unreadable => "unreadable",
            Self::Pong => "pong",
        }
    }
}

/// The measured parts of a delivery, as far as it was parsed.
#[derive(Default)]
struct Seen {
    action: Option<Action>,
    lag: Option<Duration>,
    /// The repository, if it is not configured.
    elsewhere: Option<(RepositoryIds, String)>,
}

/// The reason for a rejected delivery.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// A header that GitHub always sends is missing or not readable.
    #[error("the header {0} is missing or malformed")]
    MissingHeader(&'static str),
    /// The body has no signature by a configured secret.
    #[error("the signature is missing or does not fit the body")]
    Signature,
    /// The content type is not JSON.
    #[error("only application/json is taken; set the content type in the webhook's settings")]
    MediaType,
    /// The body is signed, but it is not JSON.
    #[error("{0}")]
    Malformed(#[from] payload::Malformed),
    /// The queue is full.
    #[error("the queue is full; redeliver later")]
    Full,
    /// The store did not answer. No partial change remains.
    #[error("the store is not available; redeliver later")]
    Store(#[source] Failure),
}

impl Rejected {
    /// Returns the code used in answers and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingHeader(_) => "missing-header",
            Self::Signature => "signature",
            Self::MediaType => "unsupported-media-type",
            Self::Malformed(_) => "malformed",
            Self::Full => "queue-full",
            Self::Store(_) => "store-unavailable",
        }
    }
}

impl Ingest {
    /// Creates the ingress. It accepts deliveries about `repositories` that one of `secrets` signed (the first one is
    /// current, the use of others raises an alert), and stores them in `queue`. It reports deliveries about other
    /// repositories to `renamed`.
    #[must_use]
    pub fn new(
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        secrets: Vec<SecretString>,
        repositories: Vec<Repository>,
        observer: Arc<dyn Observer>,
        alerts: Arc<Alerts>,
        renamed: Renamed,
    ) -> Self {
        Self {
            queue,
            clock,
            secrets: RwLock::new(Secrets::after(None, secrets)),
            repositories,
            observer,
            old_secret: OldSecret::new(alerts.clone()),
            alerts,
            renamed,
        }
    }

    /// Replaces the webhook secrets.
    pub fn replace_secrets(&self, secrets: Vec<SecretString>) {
        let mut held = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = Secrets::after(Some(&held), secrets);
        *held = replaced;
    }

    fn secrets(&self) -> Arc<Secrets> {
        self.secrets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Processes one delivery. The contract defines the order of the checks.
    ///
    /// # Errors
    /// [`Rejected`] with the fault of the request.
    pub async fn receive(&self, headers: Headers<'_>, body: &[u8]) -> Result<Received, Rejected> {
        let began = Instant::now();
        let mut seen = Seen::default();
        let answer = self.take(headers, body, &mut seen).await;
        let result = match &answer {
            Ok(received) => received.status.as_str(),
            Err(rejected) => rejected.code(),
        };
        self.observer.observe(&Event::DeliveryAnswered {
            event: headers.event.unwrap_or_default(),
            action: seen.action,
            result,
            lag: seen.lag.filter(|_| result == Status::Queued.as_str()),
            took: began.elapsed(),
        });
        answer
    }

    async fn take(&self, headers: Headers<'_>, body: &[u8], seen: &mut Seen) -> Result<Received, Rejected> {
        let received_at = self.clock.now();
        let event = headers.event.ok_or(Rejected::MissingHeader("X-GitHub-Event"))?;
        let delivery = headers
            .delivery
            .and_then(DeliveryId::parse)
            // The signature does not cover the id, so a sender could anticipate a synthesized event.
            .filter(|id| !id.is_synthesized())
            .ok_or(Rejected::MissingHeader("X-GitHub-Delivery"))?;
        let signature = headers.signature.ok_or(Rejected::Signature)?;
        let secrets = self.secrets();
        let position = signature::signed_by(&secrets.all, signature, body).ok_or(Rejected::Signature)?;
        self.count_secret(&secrets, position);
        if !is_json(headers.content_type) {
            return Err(Rejected::MediaType);
        }
        let taken = |status| Received {
            delivery: delivery.clone(),
            status,
        };
        let (work, status) = match event {
            "ping" => {
                payload::check_json(body)?;
                return Ok(taken(Status::Pong));
            }
            "workflow_job" => match payload::parse(body) {
                Ok(parsed) => self.take_in(parsed, body, received_at, seen),
                Err(error) => self.give_up(&error, body, seen)?,
            },
            _ => {
                payload::check_json(body)?;
                (Work::Remember, Status::IgnoredEvent)
            }
        };
        let arrival = Arrival {
            id: delivery.clone(),
            event: event.chars().take(64).collect(),
            received_at,
            work,
        };
        let buried = match &arrival.work {
            Work::Bury { repository, cause, .. } => Some((repository.clone(), cause.clone())),
            Work::Queue { .. } | Work::Remember => None,
        };
        match self.queue.accept(arrival).await.map_err(Rejected::Store)? {
            Accepted::Taken => {
                if let Some((ids, full_name)) = &seen.elsewhere {
                    self.renamed.report(*ids, full_name).await;
                }
                if let Some((repository, cause)) = buried {
                    tracing::error!(delivery = %delivery, cause, "delivery {delivery} cannot be read and is a dead letter");
                    let repository = repository.and_then(|name| self.repository(&name));
                    self.alerts
                        .unreadable(repository.map(|repository| &repository.name), &cause)
                        .await;
                }
                Ok(taken(status))
            }
            Accepted::AlreadySeen => Ok(taken(Status::Duplicate)),
            Accepted::Full => Err(Rejected::Full),
        }
    }

    /// Returns the number of uses of each secret since the start, in configured order.
    #[must_use]
    pub fn secrets_used(&self) -> Vec<u64> {
        self.secrets().used.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }

    fn take_in(&self, parsed: Parsed, body: &[u8], at: DateTime<Utc>, seen: &mut Seen) -> (Work, Status) {
        let event = match parsed {
            Parsed::Job(event) => event,
            Parsed::UnknownAction => return (Work::Remember, Status::IgnoredAction),
        };
        seen.action = Some(event.action);
        // Clocks differ, so a delivery can arrive before the time of its event. Its lag counts as zero.
        seen.lag = happened_at(&event).map(|then| (at - then).to_std().unwrap_or_default());
        let Some(repository) = self.repository(&event.repository) else {
            seen.elsewhere = Some((event.ids, event.repository));
            return (Work::Remember, Status::IgnoredRepository);
        };
        let reaching = repository.policy.labels.classify(&event.job).could_reach_us();
        let work = Work::Queue {
            action: event.action,
            repository: repository.name.to_string(),
            job: event.job.id,
            priority: if reaching { Priority::Reaching } else { Priority::Other },
            body: body.to_vec(),
        };
        (work, Status::Queued)
    }

    /// Handles a delivery that cannot be parsed. A redelivery would be equal, so GitHub must not send it again. If it
    /// may concern us, it is kept for a version that can parse it.
    fn give_up(&self, error: &payload::Malformed, body: &[u8], seen: &mut Seen) -> Result<(Work, Status), Rejected> {
        payload::check_json(body)?;
        let outline = payload::outline(body);
        seen.action = outline.action.as_deref().and_then(Action::parse);
        if outline.action.is_some() && seen.action.is_none() {
            return Ok((Work::Remember, Status::IgnoredAction));
        }
        let ours = outline.repository.as_deref().and_then(|name| self.repository(name));
        if outline.repository.is_some() && ours.is_none() {
            return Ok((Work::Remember, Status::IgnoredRepository));
        }
        let work = Work::Bury {
            action: seen.action,
            repository: ours.map(|repository| repository.name.to_string()),
            job: outline.job,
            cause: error.to_string(),
            body: body.to_vec(),
        };
        Ok((work, Status::Unreadable))
    }

    fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories
            .iter()
            .find(|repository| repository.name.matches(name))
    }

    fn count_secret(&self, secrets: &Secrets, position: usize) {
        if let Some(count) = secrets.used.get(position) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.observer.observe(&Event::SecretUsed { position });
        if position > 0 {
            tracing::warn!(
                position,
                "delivery signed with webhook secret {position}, which is being replaced"
            );
            self.old_secret.used(position);
        }
    }
}

/// Returns the time of the event by GitHub's clock. The payload has no time for the end of a job or the start of its
/// wait.
fn happened_at(event: &JobEvent) -> Option<DateTime<Utc>> {
    match event.action {
        Action::Queued => event.job.created_at,
        Action::InProgress => event.job.started_at,
        Action::Waiting | Action::Completed => None,
    }
}

fn is_json(content_type: Option<&str>) -> bool {
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

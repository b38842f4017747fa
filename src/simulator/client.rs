//! A client of the control API, for a simulator in this process and for one that `jitgate simulate` started.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one simulator.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// The failure of a call of the control API.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It does not answer, or its answer is not a simulator's.
    #[error("no answer from a simulator at {url}: {source}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// It rejected the call, for example because of an unknown key or job.
    #[error("{0}")]
    Refused(String),
}

/// A delivery that the simulated GitHub sends.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Delivery {
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The body, not yet signed.
    pub payload: Value,
}

/// The final state of a world.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// JIT runners that were created.
    pub minted: u64,
    /// Jobs that ran their steps on a JIT runner.
    pub ran: u64,
    /// Records of JIT runners that still exist.
    pub runners_left: u64,
    /// Ids of the re-run runs, one for each re-run.
    pub reruns: Vec<u64>,
    /// Jobs by id.
    pub jobs: BTreeMap<u64, JobTally>,
    /// The values of variables by name; for other repositories than the default one, by `owner/name/VARIABLE`.
    pub variables: BTreeMap<String, String>,
    /// REST calls by endpoint.
    pub calls: BTreeMap<String, u64>,
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobTally {
    /// The status, in GitHub's word.
    pub status: String,
    /// The conclusion, in GitHub's word.
    pub conclusion: Option<String>,
    /// The name of its runner.
    pub runner: Option<String>,
    /// True if it ran its steps.
    pub ran: bool,
}

impl Client {
    /// Creates a client of the simulator at `url`.
    #[must_use]
    pub fn new(url: &str, http: reqwest::Client) -> Self {
        Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
        }
    }

    /// Empties the world.
    ///
    /// # Errors
    /// Returns a [`ClientError`], like every method here.
    pub async fn reset(&self) -> Result<(), ClientError> {
        self.post::<Value>("reset", &json!({})).await.map(drop)
    }

    /// Applies a change: the `github` object of a fixture or of one of its steps.
    ///
    /// # Errors
    /// Returns [`ClientError::Refused`] with the name of an unknown key.
    pub async fn apply(&self, change: &Value) -> Result<(), ClientError> {
        self.post::<Value>("apply", change).await.map(drop)
    }

    /// Returns the payload that GitHub would send about a job of this world, with a JSON merge patch (RFC 7396)
    /// applied.
    ///
    /// # Errors
    /// Returns [`ClientError::Refused`] if the job does not exist.
    pub async fn render(
        &self,
        event: &str,
        action: &str,
        job: u64,
        patch: Option<&Value>,
    ) -> Result<Value, ClientError> {
        #[derive(Deserialize)]
        struct Rendered {
            payload: Value,
        }
        let requested = json!({"event": event, "action": action, "job": job, "payload": patch});
        self.post::<Rendered>("render", &requested)
            .await
            .map(|rendered| rendered.payload)
    }

    /// Applies everything that is due, and returns the number of changed jobs.
    ///
    /// # Errors
    /// Returns a [`ClientError`].
    pub async fn settle(&self) -> Result<usize, ClientError> {
        #[derive(Deserialize)]
        struct Settled {
            changes: usize,
        }
        self.post::<Settled>("settle", &json!({}))
            .await
            .map(|settled| settled.changes)
    }

    /// Takes the waiting deliveries.
    ///
    /// # Errors
    /// Returns a [`ClientError`].
    pub async fn outbox(&self) -> Result<Vec<Delivery>, ClientError> {
        #[derive(Deserialize)]
        struct Taken {
            deliveries: Vec<Delivery>,
        }
        self.post::<Taken>("outbox", &json!({}))
            .await
            .map(|taken| taken.deliveries)
    }

    /// Returns the state of the world.
    ///
    /// # Errors
    /// Returns a [`ClientError`].
    pub async fn tally(&self) -> Result<Tally, ClientError> {
        self.send(self.http.get(self.endpoint("tally"))).await
    }

    fn endpoint(&self, name: &str) -> String {
        format!("{}/_simulator/{name}", self.url)
    }

    async fn post<T: DeserializeOwned>(&self, name: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.send(self.http.post(self.endpoint(name)).json(body)).await
    }

    async fn send<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        #[derive(Deserialize)]
        struct Problem {
            error: String,
        }
        let unreachable = |source| ClientError::Unreachable {
            url: self.url.clone(),
            source,
        };
        let response = request.timeout(TIMEOUT).send().await.map_err(unreachable)?;
        if response.status() == reqwest::StatusCode::UNPROCESSABLE_ENTITY {
            let problem: Problem = response.json().await.map_err(unreachable)?;
            return Err(ClientError::Refused(problem.error));
        }
        response
            .error_for_status()
            .map_err(unreachable)?
            .json()
            .await
            .map_err(unreachable)
    }
}

//! A client of the control API: the same code for a simulator in this process and for one started by `jitgate simulate`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Talks to a simulator.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
}

/// Why a call of the control API failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It does not answer, or not as a simulator would.
    #[error("no simulator answers at {url}: {source}")]
    Unreachable {
        /// Where it should be.
        url: String,
        /// What happened instead.
        #[source]
        source: reqwest::Error,
    },
    /// It refused: a key it does not know, a job that does not exist.
    #[error("{0}")]
    Refused(String),
}

/// A delivery of GitHub's own.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Delivery {
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The body, not yet signed.
    pub payload: Value,
}

/// What became of the world.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Tally {
    /// JIT runners made.
    pub minted: u64,
    /// Jobs that ran their steps on a JIT runner.
    pub ran: u64,
    /// Records of JIT runners that still exist.
    pub runners_left: u64,
    /// Jobs by id.
    pub jobs: BTreeMap<u64, JobTally>,
    /// Values of variables by name; of a repository that is not the default one, by `owner/name/VARIABLE`.
    pub variables: BTreeMap<String, String>,
    /// REST calls by endpoint.
    pub calls: BTreeMap<String, u64>,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobTally {
    /// GitHub's word for its status.
    pub status: String,
    /// GitHub's word for how it ended.
    pub conclusion: Option<String>,
    /// Name of the runner it was given to.
    pub runner: Option<String>,
    /// Whether it ran its steps.
    pub ran: bool,
}

impl Client {
    /// A client of the simulator at `url`.
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
    /// [`ClientError`], as every method here.
    pub async fn reset(&self) -> Result<(), ClientError> {
        self.post::<Value>("reset", &json!({})).await.map(drop)
    }

    /// Applies a change: the `github` object of a fixture or of one of its steps.
    ///
    /// # Errors
    /// [`ClientError::Refused`] names the key that is not known.
    pub async fn apply(&self, change: &Value) -> Result<(), ClientError> {
        self.post::<Value>("apply", change).await.map(drop)
    }

    /// The payload GitHub would send about a job of this world, with a JSON merge patch (RFC 7396) over it.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the world has no such job.
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
        let wanted = json!({"event": event, "action": action, "job": job, "payload": patch});
        self.post::<Rendered>("render", &wanted)
            .await
            .map(|rendered| rendered.payload)
    }

    /// Lets everything happen that is due; returns how many jobs changed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn settle(&self) -> Result<usize, ClientError> {
        #[derive(Deserialize)]
        struct Settled {
            changes: usize,
        }
        self.post::<Settled>("settle", &json!({}))
            .await
            .map(|settled| settled.changes)
    }

    /// Takes the deliveries that wait.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outbox(&self) -> Result<Vec<Delivery>, ClientError> {
        #[derive(Deserialize)]
        struct Taken {
            deliveries: Vec<Delivery>,
        }
        self.post::<Taken>("outbox", &json!({}))
            .await
            .map(|taken| taken.deliveries)
    }

    /// What became of the world.
    ///
    /// # Errors
    /// [`ClientError`].
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

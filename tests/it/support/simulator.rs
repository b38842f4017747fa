//! A simulator with a clock that stands still, and ways to talk to it.

use super::world::noon;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::adapters::clock::ManualClock;
use jitgate::simulator::{Client, Simulator};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// A person's token: always valid.
pub(crate) const TOKEN: &str = "sim-test";
/// The default repository's path.
pub(crate) const REPO: &str = "/repos/octo-org/chem-model";

pub(crate) struct Stage {
    pub(crate) simulator: Simulator,
    pub(crate) control: Client,
    clock: Arc<ManualClock>,
    http: reqwest::Client,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("plain text"))
    }
}

impl Stage {
    /// Starts a simulator and applies a world.
    pub(crate) async fn with(world: Value) -> Self {
        let clock = Arc::new(ManualClock::at(noon()));
        let simulator = Simulator::start(clock.clone(), ([127, 0, 0, 1], 0).into()).expect("it starts");
        let stage = Self {
            control: Client::new(simulator.url(), reqwest::Client::new()),
            simulator,
            clock,
            http: reqwest::Client::new(),
        };
        stage.change(world).await;
        stage
    }

    /// A JWT of the App that is valid now.
    pub(crate) fn app_token(&self) -> String {
        let now = self.now().timestamp();
        jwt(now - 60, now + 540)
    }

    pub(crate) async fn change(&self, change: Value) {
        self.control.apply(&change).await.expect("a valid change");
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        jitgate::ports::Clock::now(self.clock.as_ref())
    }

    /// A request with a token; `Err` when the connection is closed without an answer.
    pub(crate) async fn try_call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.simulator.url()));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.bearer_auth(TOKEN);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await?).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.try_call(method, path, &[], body).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Makes a JIT runner; returns its id.
    pub(crate) async fn mint(&self, name: &str, labels: &[&str]) -> u64 {
        let wanted = json!({"name": name, "runner_group_id": 1, "labels": labels, "work_folder": "_work"});
        let answer = self
            .post(&format!("{REPO}/actions/runners/generate-jitconfig"), wanted)
            .await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["runner"]["id"].as_u64().expect("an id")
    }

    /// The runner program connects; returns the job it was given.
    pub(crate) async fn online(&self, runner: u64) -> Option<u64> {
        self.post(&format!("/_runner/{runner}/online"), json!({})).await.body["job"].as_u64()
    }

    /// The runner's environment is destroyed.
    pub(crate) async fn offline(&self, runner: u64) {
        assert_eq!(
            self.post(&format!("/_runner/{runner}/offline"), json!({})).await.status,
            200
        );
    }
}

/// An App's JWT, right in everything but its signature.
pub(crate) fn jwt(issued: i64, expires: i64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "1", "iat": issued, "exp": expires});
    let signature = URL_SAFE_NO_PAD.encode([0; 256]);
    format!(
        "{}.{}.{signature}",
        part(json!({"alg": "RS256", "typ": "JWT"})),
        part(claims)
    )
}

async fn read(response: Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.bytes().await?;
    Ok(Answer {
        status,
        headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    })
}

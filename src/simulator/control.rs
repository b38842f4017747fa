//! The control API, through which a fixture builds the world, changes it, and reads the result.

use super::call::{Reply, Request};
use super::render::webhook;
use super::simulation::Simulation;
use super::world::{Change, Status};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// A request to render a payload.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rendering {
    event: String,
    /// The action; by default the payload's.
    action: Option<String>,
    /// The job's id; by default the payload's.
    job: Option<u64>,
    #[serde(default)]
    payload: Value,
}

type Answer = Result<Value, String>;

impl Simulation {
    /// Serves a call of the control API; `path` is the part after its prefix.
    pub(super) fn control(&mut self, path: &str, request: &Request) -> Reply {
        let answer = match (request.method.as_str(), path) {
            ("POST", "reset") => {
                self.reset();
                Ok(json!({}))
            }
            ("POST", "apply") => self.apply_json(&request.body),
            ("POST", "render") => parse(&request.body).and_then(|rendering| self.render(rendering)),
            ("POST", "settle") => Ok(json!({"changes": self.settle()})),
            ("POST", "outbox") => Ok(json!({"deliveries": self.outbox.take()})),
            ("GET", "tally") => Ok(self.tally()),
            _ => return Reply::json(404, &json!({"error": "unknown endpoint of the control API"})),
        };
        match answer {
            Ok(body) => Reply::json(200, &body),
            Err(error) => Reply::json(422, &json!({"error": error})),
        }
    }

    fn apply_json(&mut self, body: &[u8]) -> Answer {
        let change: Change = parse(body)?;
        self.apply(change).map_err(|e| e.to_string())?;
        Ok(json!({}))
    }

    fn render(&mut self, requested: Rendering) -> Answer {
        let patch = requested.payload;
        let mut payload = if requested.event == "workflow_job" {
            let action = requested.action.as_deref().or_else(|| patch["action"].as_str());
            let action = action.ok_or("a workflow_job requires an action")?;
            let job = requested.job.or_else(|| patch["workflow_job"]["id"].as_u64());
            let job = job.ok_or("a workflow_job requires the id of a job")?;
            // An action that GitHub does not have yet looks like `queued`, except for its name.
            let known = serde_json::from_value(json!(action)).unwrap_or(Status::Queued);
            let mut payload = webhook::workflow_job(&self.state, known, job);
            if let Some(payload) = &mut payload {
                payload["action"] = json!(action);
            }
            payload.ok_or_else(|| format!("unknown job {job}"))?
        } else {
            let default = self.state.default_repository();
            let owner = self
                .state
                .repository(default)
                .map_or("", |repository| repository.name.owner());
            let mut payload = webhook::about(&self.state, default, owner);
            if let Some(action) = requested.action {
                payload["action"] = json!(action);
            }
            payload
        };
        if !patch.is_null() {
            webhook::merge(&mut payload, &patch);
        }
        Ok(json!({"payload": payload}))
    }

    fn tally(&self) -> Value {
        let state = &self.state;
        let jobs: Map<String, Value> = (state.jobs.values())
            .map(|job| {
                let completed = job.status == Status::Completed;
                let tally = json!({
                    "status": job.status.as_str(),
                    "conclusion": job.conclusion.filter(|_| completed).map(|conclusion| conclusion.as_str()),
                    "runner": job.runner.as_ref().map(|runner| runner.name.as_str()),
                    "ran": completed && !job.steps.is_empty(),
                });
                (job.id.to_string(), tally)
            })
            .collect();
        let default = state
            .repositories
            .iter()
            .find(|repository| !repository.fork)
            .map(|repository| repository.id);
        let mut variables = Map::new();
        for repository in &state.repositories {
            for (name, variable) in &repository.variables {
                let is_default = default == Some(repository.id);
                let key = if is_default {
                    name.clone()
                } else {
                    format!("{}/{name}", repository.name)
                };
                variables.insert(key, json!(variable.value));
            }
        }
        json!({
            "minted": state.minted,
            "ran": state.ran,
            "runners_left": state.runners.values().filter(|runner| runner.jit).count(),
            "reruns": state.reruns,
            "jobs": jobs,
            "variables": variables,
            "calls": self.calls,
        })
    }
}

/// Parses a body; the error names the position.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|e| e.to_string())
}

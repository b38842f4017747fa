//! The payloads of deliveries.

use super::accounts::{organization, repository, user};
use super::runs::job_as;
use super::words::node_id;
use crate::simulator::state::State;
use crate::simulator::world::Status;
use serde_json::{Value, json};

/// Returns the current `workflow_job` payload for a job; none if the job does not exist. Values of a later status than
/// the action's are not shown yet. The `queued` event of a job that is held back has the status `waiting`, like
/// GitHub's.
pub(in crate::simulator) fn workflow_job(state: &State, action: Status, job: u64) -> Option<Value> {
    let job = state.jobs.get(&job)?;
    let run = state.runs.get(&job.run)?;
    let status = match action {
        Status::Queued if job.status == Status::Waiting => Status::Waiting,
        other => other,
    };
    let mut payload = about(state, run.repository, run.triggering_actor(job.attempt));
    payload["action"] = json!(action.as_str());
    payload["workflow_job"] = job_as(state, job, status);
    Some(payload)
}

/// Returns the common part of every payload about a repository.
pub(in crate::simulator) fn about(state: &State, id: u64, sender: &str) -> Value {
    let mut payload = json!({
        "repository": repository(state, id),
        "sender": user(state, sender),
        "installation": {"id": 1, "node_id": node_id("Installation", 1)},
    });
    if let Some(organization) = state
        .repository(id)
        .and_then(|repository| organization(state, repository))
    {
        payload["organization"] = organization;
    }
    payload
}

/// Applies a JSON merge patch (RFC 7396): objects are merged, null removes, any other value replaces.
pub(in crate::simulator) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    if let Value::Object(fields) = target {
        for (key, value) in patch {
            if value.is_null() {
                fields.remove(key);
            } else {
                merge(fields.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_adds_replaces_and_removes() {
        let mut target = json!({"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"});
        merge(
            &mut target,
            &json!({"a": {"b": null, "f": {"g": null, "h": 1}}, "d": [3], "e": {"i": 1}}),
        );
        assert_eq!(target, json!({"a": {"c": 2, "f": {"h": 1}}, "d": [3], "e": {"i": 1}}));
    }
}

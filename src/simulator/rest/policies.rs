//! The policies of a repository for workflows.

use super::path::repository;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::settings::Policies;
use crate::simulator::simulation::Simulation;
use serde_json::json;

pub(in crate::simulator) fn get_approval(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    let policies = of(simulation, call)?;
    Ok(Reply::json(200, &json!({"approval_policy": policies.fork_approval})))
}

pub(in crate::simulator) fn set_approval(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    let body = call.body()?;
    let policy = body["approval_policy"].as_str();
    let policy = policy.ok_or_else(|| Refused::new(422, "Invalid request.\n\n\"approval_policy\" wasn't supplied."))?;
    policy.clone_into(&mut of(simulation, call)?.fork_approval);
    Ok(Reply::empty(204))
}

pub(in crate::simulator) fn get_token(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    let policies = of(simulation, call)?;
    let level = if policies.token_can_write { "write" } else { "read" };
    let body = json!({
        "default_workflow_permissions": level,
        "can_approve_pull_request_reviews": policies.token_can_approve,
    });
    Ok(Reply::json(200, &body))
}

pub(in crate::simulator) fn set_token(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    let body = call.body()?;
    let policies = of(simulation, call)?;
    if let Some(level) = body["default_workflow_permissions"].as_str() {
        policies.token_can_write = level == "write";
    }
    if let Some(can_approve) = body["can_approve_pull_request_reviews"].as_bool() {
        policies.token_can_approve = can_approve;
    }
    Ok(Reply::empty(204))
}

fn of<'s>(Simulation { state, .. }: &'s mut Simulation, call: &Call<'_>) -> Result<&'s mut Policies, Refused> {
    let id = repository(state, call)?;
    let repository = state.repository_mut(id).ok_or_else(Refused::not_found)?;
    Ok(&mut repository.policies)
}

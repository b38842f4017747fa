//! Runner groups of organizations, and their repositories.

use super::runners::of_organization;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::render::accounts;
use crate::simulator::settings::Group;
use crate::simulator::simulation::Simulation;
use crate::simulator::state::{Repository, Scope, State};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The group that GitHub gives to every organization.
const DEFAULT_GROUP: u64 = 1;

pub(in crate::simulator) fn list(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let organization = organization(state, call)?;
    let mut groups = vec![Group::open("Default")];
    let own = state.groups.iter().filter(|((owner, _), _)| *owner == organization);
    let mut ids = vec![DEFAULT_GROUP];
    for ((_, id), group) in own {
        ids.push(*id);
        groups.push(group.clone());
    }
    let total = ids.len();
    let shown = ids
        .into_iter()
        .zip(&groups)
        .map(|(id, group)| show(state, &organization, id, group));
    let (found, _) = call.page(shown.collect(), &state.url);
    Ok(Reply::json(200, &json!({"total_count": total, "runner_groups": found})))
}

pub(in crate::simulator) fn get(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let organization = organization(state, call)?;
    let id = call.number(1)?;
    if id == DEFAULT_GROUP {
        return Ok(Reply::json(
            200,
            &show(state, &organization, id, &Group::open("Default")),
        ));
    }
    let group = state
        .groups
        .get(&(organization.clone(), id))
        .ok_or_else(Refused::not_found)?;
    Ok(Reply::json(200, &show(state, &organization, id, group)))
}

pub(in crate::simulator) fn create(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let organization = organization(state, call)?;
    let body = call.body()?;
    let name = body["name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refused::new(422, "Invalid request.\n\n\"name\" wasn't supplied."))?;
    let is_taken =
        |(owner, group): (&(String, u64), &Group)| owner.0 == organization && group.name.eq_ignore_ascii_case(name);
    if name.eq_ignore_ascii_case("Default") || state.groups.iter().any(is_taken) {
        return Err(Refused::new(
            409,
            "Already exists - A runner group with this name already exists.",
        ));
    }
    let mut group = Group::open(name);
    limit(&mut group, &body);
    let ids = body["selected_repository_ids"].as_array().into_iter().flatten();
    group.members = ids.filter_map(Value::as_u64).collect();
    let id = state.groups.keys().map(|(_, id)| *id).max().unwrap_or(DEFAULT_GROUP) + 1;
    let shown = show(state, &organization, id, &group);
    state.groups.insert((organization, id), group);
    Ok(Reply::json(201, &shown))
}

pub(in crate::simulator) fn update(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let organization = organization(state, call)?;
    let (id, body) = (call.number(1)?, call.body()?);
    let group = state
        .groups
        .get_mut(&(organization.clone(), id))
        .ok_or_else(Refused::not_found)?;
    limit(group, &body);
    let group = group.clone();
    Ok(Reply::json(200, &show(state, &organization, id, &group)))
}

pub(in crate::simulator) fn repositories(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let organization = organization(state, call)?;
    let group = state
        .groups
        .get(&(organization, call.number(1)?))
        .ok_or_else(Refused::not_found)?;
    let members: Vec<u64> = group
        .members
        .iter()
        .copied()
        .filter(|id| state.repository(*id).is_some())
        .collect();
    let total = members.len();
    let (found, _) = call.page(members, &state.url);
    let found: Vec<Value> = found.into_iter().map(|id| accounts::repository(state, id)).collect();
    Ok(Reply::json(200, &json!({"total_count": total, "repositories": found})))
}

pub(in crate::simulator) fn add_repository(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    set_member(simulation, call, true)
}

pub(in crate::simulator) fn remove_repository(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    set_member(simulation, call, false)
}

fn set_member(Simulation { state, .. }: &mut Simulation, call: &Call<'_>, has_access: bool) -> Answer {
    let organization = organization(state, call)?;
    let (group, member) = (call.number(1)?, call.number(2)?);
    let is_own = |known: &Repository| known.name.owner().eq_ignore_ascii_case(&organization);
    if !state.repository(member).is_some_and(is_own) {
        return Err(Refused::not_found());
    }
    let group = state
        .groups
        .get_mut(&(organization, group))
        .ok_or_else(Refused::not_found)?;
    if has_access {
        group.members.insert(member);
    } else {
        group.members.remove(&member);
    }
    Ok(Reply::empty(204))
}

/// Returns the lower-case login of the organization in a path.
fn organization(state: &State, call: &Call<'_>) -> Result<String, Refused> {
    match of_organization(state, call)? {
        Scope::Organization(login) => Ok(login),
        Scope::Repository(_) => Err(Refused::not_found()),
    }
}

fn limit(group: &mut Group, body: &Value) {
    if let Some(visibility) = body["visibility"].as_str() {
        visibility.clone_into(&mut group.visibility);
    }
    if let Some(allows) = body["allows_public_repositories"].as_bool() {
        group.allows_public = allows;
    }
    if let Some(restricted) = body["restricted_to_workflows"].as_bool() {
        group.restricted = restricted;
    }
    if let Some(workflows) = body["selected_workflows"].as_array() {
        group.workflows = workflows
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<BTreeSet<_>>();
    }
}

fn show(state: &State, organization: &str, id: u64, group: &Group) -> Value {
    let api = format!("{}/orgs/{organization}/actions/runner-groups/{id}", state.url);
    json!({
        "id": id,
        "name": group.name,
        "visibility": group.visibility,
        "default": id == DEFAULT_GROUP,
        "selected_repositories_url": format!("{api}/repositories"),
        "runners_url": format!("{api}/runners"),
        "inherited": false,
        "allows_public_repositories": group.allows_public,
        "workflow_restrictions_read_only": false,
        "restricted_to_workflows": group.restricted,
        "selected_workflows": group.workflows,
    })
}

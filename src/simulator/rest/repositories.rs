//! Repositories, permissions, variables and pull requests.

use super::path::repository;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::render::words::date;
use crate::simulator::render::{accounts, pulls};
use crate::simulator::simulation::Simulation;
use crate::simulator::state::{Pull, Repository, State, Variable};
use crate::simulator::world::Role;
use serde_json::{Value, json};

/// The most files that GitHub lists for a pull request.
const MAX_LISTED_FILES: usize = 3000;

pub(in crate::simulator) fn repository_itself(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    Ok(Reply::json(200, &accounts::repository(state, id)))
}

pub(in crate::simulator) fn permission(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let login = call.arg(2).to_owned();
    let account = state.mention(&login, None);
    if account.deleted {
        return Err(Refused::not_found());
    }
    let mut account = accounts::user(state, &login);
    let repository = known(state, id)?;
    let default = if repository.private { Role::None } else { Role::Read };
    let role = *repository
        .permissions
        .get(&login.to_ascii_lowercase())
        .unwrap_or(&default);
    account["role_name"] = json!(role.as_str());
    let body = json!({"permission": role.permission(), "role_name": role.as_str(), "user": account});
    Ok(Reply::json(200, &body))
}

pub(in crate::simulator) fn list_pulls(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let requested = call.query("state").unwrap_or("open");
    // A head without an owner is ignored as a filter.
    let head = call.query("head").and_then(|head| head.split_once(':'));
    let fits = |pull: &Pull| {
        let owner = pulls::head_owner(state, &pull.head).unwrap_or_default();
        pull.repository == id
            && (requested == "all" || requested == pull.state.as_str())
            && head.is_none_or(|(login, branch)| owner.eq_ignore_ascii_case(login) && pull.head.branch == branch)
    };
    let found = state.pulls.iter().filter(|pull| fits(pull)).collect();
    Ok(listed(state, call, found))
}

pub(in crate::simulator) fn commit_pulls(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let fits = |pull: &&Pull| pull.repository == id && pull.head.sha.eq_ignore_ascii_case(call.arg(2));
    let found = state.pulls.iter().filter(fits).collect();
    Ok(listed(state, call, found))
}

/// Returns a page of pull requests, the newest first.
fn listed(state: &State, call: &Call<'_>, mut found: Vec<&Pull>) -> Reply {
    found.sort_by_key(|pull| std::cmp::Reverse(pull.number));
    let (found, link) = call.page(found, &state.url);
    let items: Vec<Value> = found.into_iter().map(|pull| pulls::pull(state, pull)).collect();
    linked(Reply::json(200, &json!(items)), link)
}

pub(in crate::simulator) fn get_pull(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    Ok(Reply::json(200, &pulls::full_pull(state, pull(state, call)?)))
}

pub(in crate::simulator) fn pull_files(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let pull = pull(state, call)?;
    let paths = pull.files.iter().take(MAX_LISTED_FILES).collect();
    let (paths, link) = call.page(paths, &state.url);
    let items: Vec<Value> = paths.into_iter().map(|path| pulls::file(state, pull, path)).collect();
    Ok(linked(Reply::json(200, &json!(items)), link))
}

pub(in crate::simulator) fn pull_commits(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let commits = pulls::commits(state, pull(state, call)?);
    let (commits, link) = call.page(commits, &state.url);
    Ok(linked(Reply::json(200, &json!(commits)), link))
}

pub(in crate::simulator) fn issue_events(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let events = pulls::events(state, pull(state, call)?);
    let (events, link) = call.page(events, &state.url);
    Ok(linked(Reply::json(200, &json!(events)), link))
}

fn pull<'s>(state: &'s State, call: &Call<'_>) -> Result<&'s Pull, Refused> {
    state
        .pull(repository(state, call)?, call.number(2)?)
        .ok_or_else(Refused::not_found)
}

fn linked(reply: Reply, link: Option<String>) -> Reply {
    match link {
        Some(link) => reply.header("link", link),
        None => reply,
    }
}

pub(in crate::simulator) fn get_variable(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let name = call.arg(2).to_ascii_uppercase();
    let found: Option<&Variable> = known(state, id)?.variables.get(&name);
    let found = found.ok_or_else(Refused::not_found)?;
    let body = json!({
        "name": name,
        "value": found.value,
        "created_at": date(found.created_at),
        "updated_at": date(found.updated_at),
    });
    Ok(Reply::json(200, &body))
}

pub(in crate::simulator) fn set_variable(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let (id, now) = (repository(state, call)?, state.now());
    let body = call.body()?;
    let repository = state.repository_mut(id).ok_or_else(Refused::not_found)?;
    let name = call.arg(2).to_ascii_uppercase();
    if !repository.variables.contains_key(&name) {
        return Err(Refused::not_found());
    }
    if let Some(value) = body["value"].as_str() {
        repository.set_variable(&name, value.to_owned(), now);
    }
    Ok(Reply::empty(204))
}

pub(in crate::simulator) fn create_variable(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let (id, now) = (repository(state, call)?, state.now());
    let body = call.body()?;
    let (Some(name), Some(value)) = (body["name"].as_str(), body["value"].as_str()) else {
        return Err(Refused::new(
            422,
            "Invalid request.\n\n\"name\", \"value\" weren't supplied.",
        ));
    };
    let repository = state.repository_mut(id).ok_or_else(Refused::not_found)?;
    if repository.variables.contains_key(&name.to_ascii_uppercase()) {
        return Err(Refused::new(409, "Already exists - Variable already exists"));
    }
    repository.set_variable(name, value.to_owned(), now);
    Ok(Reply::json(201, &json!({})))
}

pub(in crate::simulator) fn delete_variable(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let repository = state.repository_mut(id).ok_or_else(Refused::not_found)?;
    let removed = repository.variables.remove(&call.arg(2).to_ascii_uppercase());
    removed.map(|_| Reply::empty(204)).ok_or_else(Refused::not_found)
}

fn known(state: &State, id: u64) -> Result<&Repository, Refused> {
    state.repository(id).ok_or_else(Refused::not_found)
}

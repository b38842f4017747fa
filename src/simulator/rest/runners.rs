//! Self-hosted runners of repositories and organizations: just-in-time configurations, lists, removal.

use super::path::repository;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::render::words::date;
use crate::simulator::simulation::Simulation;
use crate::simulator::state::{Runner, Scope, State};
use crate::simulator::world::RunnerStatus;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Value, json};

/// The token of every registration.
const REGISTRATION_TOKEN: &str = "AABF3JGZDX3P5PMEXLND6TS6FCWO6";
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// The current release of the runner program.
pub(super) const RUNNER_RELEASE: &str = "2.336.0";
const MAX_LABELS: usize = 100;
/// The group of all runners of repositories.
const DEFAULT_GROUP: u64 = 1;

pub(in crate::simulator) fn jit_for_repository(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_repository(state, call)?;
    jit(state, call, scope)
}

pub(in crate::simulator) fn jit_for_organization(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_organization(state, call)?;
    jit(state, call, scope)
}

pub(in crate::simulator) fn list_of_repository(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_repository(state, call)?;
    Ok(list(state, call, &scope))
}

pub(in crate::simulator) fn list_of_organization(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_organization(state, call)?;
    Ok(list(state, call, &scope))
}

pub(in crate::simulator) fn get_of_repository(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_repository(state, call)?;
    Ok(Reply::json(200, &show(runner(state, &scope, call.number(2)?)?)))
}

pub(in crate::simulator) fn get_of_organization(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_organization(state, call)?;
    Ok(Reply::json(200, &show(runner(state, &scope, call.number(1)?)?)))
}

pub(in crate::simulator) fn delete_of_repository(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let scope = of_repository(state, call)?;
    delete(state, &scope, call.number(2)?)
}

pub(in crate::simulator) fn delete_of_organization(
    Simulation { state, .. }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    let scope = of_organization(state, call)?;
    delete(state, &scope, call.number(1)?)
}

pub(in crate::simulator) fn registration_token_for_repository(
    Simulation { state, .. }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    of_repository(state, call)?;
    Ok(registration_token(state))
}

pub(in crate::simulator) fn registration_token_for_organization(
    Simulation { state, .. }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    of_organization(state, call)?;
    Ok(registration_token(state))
}

/// Returns a token for `config.sh`. The simulator registers no runner with it.
fn registration_token(state: &State) -> Reply {
    let expires_at = date(state.now() + TOKEN_LIFETIME);
    Reply::json(201, &json!({"token": REGISTRATION_TOKEN, "expires_at": expires_at}))
}

fn of_repository(state: &State, call: &Call<'_>) -> Result<Scope, Refused> {
    repository(state, call).map(Scope::Repository)
}

pub(super) fn of_organization(state: &State, call: &Call<'_>) -> Result<Scope, Refused> {
    let login = call.arg(0).to_ascii_lowercase();
    let owns = state
        .repositories
        .iter()
        .any(|repository| repository.name.owner().eq_ignore_ascii_case(&login));
    owns.then_some(Scope::Organization(login))
        .ok_or_else(Refused::not_found)
}

fn jit(state: &mut State, call: &Call<'_>, scope: Scope) -> Answer {
    let body = call.body()?;
    let name = body["name"].as_str().filter(|name| (1..=64).contains(&name.len()));
    let name = name.ok_or_else(|| Refused::new(422, "Invalid Argument - Runner name must be 1 to 64 characters."))?;
    let labels: Option<Vec<String>> = (body["labels"].as_array().into_iter().flatten())
        .map(|label| label.as_str().map(str::to_owned))
        .collect();
    let labels = labels
        .filter(|labels| (1..=MAX_LABELS).contains(&labels.len()))
        .ok_or_else(|| Refused::new(422, "Invalid Argument - Between 1 and 100 labels are needed."))?;
    let group = body["runner_group_id"].as_u64();
    let group = group.ok_or_else(|| Refused::new(422, "Invalid Argument - runner_group_id is needed."))?;
    if matches!(scope, Scope::Repository(_)) && group != DEFAULT_GROUP {
        return Err(Refused::not_found());
    }
    if state
        .runners
        .values()
        .any(|known| known.scope == scope && known.name.eq_ignore_ascii_case(name))
    {
        let message = format!("Already exists - A runner with the name *{name}* already exists.");
        return Err(Refused::new(409, &message));
    }
    let id = state.new_runner_id();
    let runner = Runner {
        id,
        name: name.to_owned(),
        scope,
        group,
        labels,
        status: RunnerStatus::Offline,
        job: None,
        busy_elsewhere: false,
        jit: true,
        gated: false,
        seen_at: None,
    };
    let body = json!({"runner": show(&runner), "encoded_jit_config": configuration(state, &runner)});
    state.runners.insert(id, runner);
    state.minted += 1;
    Ok(Reply::json(201, &body))
}

/// Returns the configuration for the runner program: base64 of an object of base64 files. It contains no key, because
/// the synthetic host calls `serverUrl` without one.
fn configuration(state: &State, runner: &Runner) -> String {
    let url = &state.url;
    let place = match &runner.scope {
        Scope::Repository(id) => state.repository(*id).map_or("", |repository| repository.name.as_str()),
        Scope::Organization(login) => login,
    };
    let settings = json!({
        "agentId": runner.id,
        "agentName": runner.name,
        "poolId": runner.group,
        "poolName": "Default",
        "serverUrl": format!("{url}/_runner/{}", runner.id),
        "gitHubUrl": format!("{url}/{place}"),
        "workFolder": "_work",
        "ephemeral": true,
        "simulated": true,
    });
    let file = |content: &Value| STANDARD.encode(content.to_string());
    let files = json!({
        ".runner": file(&settings),
        ".credentials": file(&json!({"scheme": "OAuth", "data": {"clientId": format!("simulated-{}", runner.id)}})),
        ".credentials_rsaparams": file(&json!({"simulated": true})),
    });
    STANDARD.encode(files.to_string())
}

fn list(state: &State, call: &Call<'_>, scope: &Scope) -> Reply {
    let name = call.query("name");
    let found: Vec<&Runner> = (state.runners.values())
        .filter(|runner| runner.scope == *scope)
        .filter(|runner| name.is_none_or(|name| runner.name.eq_ignore_ascii_case(name)))
        .collect();
    let total = found.len();
    let (found, link) = call.page(found, &state.url);
    let runners: Vec<Value> = found.into_iter().map(show).collect();
    let reply = Reply::json(200, &json!({"total_count": total, "runners": runners}));
    match link {
        Some(link) => reply.header("link", link),
        None => reply,
    }
}

fn delete(state: &mut State, scope: &Scope, id: u64) -> Answer {
    let found = runner(state, scope, id)?;
    if found.is_busy() {
        let message = format!(
            "Runner \"{}\" is currently running a job and cannot be deleted.",
            found.name
        );
        return Err(Refused::new(422, &message));
    }
    state.runners.remove(&id);
    Ok(Reply::empty(204))
}

fn runner<'s>(state: &'s State, scope: &Scope, id: u64) -> Result<&'s Runner, Refused> {
    state
        .runners
        .get(&id)
        .filter(|runner| runner.scope == *scope)
        .ok_or_else(Refused::not_found)
}

fn show(runner: &Runner) -> Value {
    let labels = runner
        .labels
        .iter()
        .zip(1..)
        .map(|(name, id)| json!({"id": id, "name": name, "type": "custom"}));
    json!({
        "id": runner.id,
        "runner_group_id": runner.group,
        "name": runner.name,
        "os": "linux",
        "status": runner.status.as_str(),
        "busy": runner.is_busy(),
        "ephemeral": runner.jit,
        "labels": labels.collect::<Vec<_>>(),
    })
}

pub(in crate::simulator) fn downloads(_: &mut Simulation, _: &Call<'_>) -> Answer {
    let download = |architecture: &str| {
        let filename = format!("actions-runner-linux-{architecture}-{RUNNER_RELEASE}.tar.gz");
        let url = format!("https://github.com/actions/runner/releases/download/v{RUNNER_RELEASE}/{filename}");
        json!({"os": "linux", "architecture": architecture, "filename": filename, "download_url": url})
    };
    Ok(Reply::json(200, &json!([download("x64"), download("arm64")])))
}

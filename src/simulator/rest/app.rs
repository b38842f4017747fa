//! The App: its data, installations, tokens and deliveries; and GitHub's metadata.

use super::path;
use crate::simulator::access::Level;
use crate::simulator::apps::{CreatedApp, FIRST_APP, FirstApp};
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::render::accounts::{LONG_AGO, repository, user};
use crate::simulator::render::words::{date, node_id};
use crate::simulator::simulation::Simulation;
use crate::simulator::state::{Repository, State};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const APP_SLUG: &str = "jitgate";

pub(in crate::simulator) fn meta(_: &mut Simulation, _: &Call<'_>) -> Answer {
    Ok(Reply::json(
        200,
        &json!({"verifiable_password_authentication": false, "simulator": "jitgate"}),
    ))
}

pub(in crate::simulator) fn rate_limit(Simulation { state, quota, .. }: &mut Simulation, _: &Call<'_>) -> Answer {
    let (limit, used, remaining, reset) = quota.figures(state.now());
    let rate = json!({"limit": limit, "used": used, "remaining": remaining, "reset": reset});
    Ok(Reply::json(
        200,
        &json!({"resources": {"core": rate, "search": rate}, "rate": rate}),
    ))
}

pub(in crate::simulator) fn app(Simulation { state, apps, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let body = match apps.caller(call.request) {
        Some(created) => shown(state, created),
        None => first_app(state, &apps.first),
    };
    Ok(Reply::json(200, &body))
}

/// The App of every world.
fn first_app(state: &mut State, app: &FirstApp) -> Value {
    let owner = owner(state);
    json!({
        "id": FIRST_APP,
        "slug": APP_SLUG,
        "client_id": "Iv1.simulated",
        "node_id": "MDM6QXBwMQ==",
        "owner": user(state, &owner),
        "name": APP_SLUG,
        "description": null,
        "external_url": state.url,
        "html_url": format!("{}/apps/{APP_SLUG}", state.url),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "permissions": app.permissions,
        "events": app.events,
        "installations_count": 1,
    })
}

fn shown(state: &mut State, app: &CreatedApp) -> Value {
    state.mention(&app.owner, None);
    json!({
        "id": app.id,
        "slug": app.slug,
        "client_id": app.client_id,
        "node_id": node_id("App", app.id),
        "owner": user(state, &app.owner),
        "name": app.name,
        "description": null,
        "external_url": app.home,
        "html_url": format!("{}/apps/{}", state.url, app.slug),
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "permissions": app.permissions,
        "events": app.events,
        "installations_count": 0,
    })
}

/// Gives the credentials of a new App, once.
pub(in crate::simulator) fn convert(Simulation { state, apps, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let app = apps.convert(call.arg(0)).ok_or_else(Refused::not_found)?;
    let mut body = shown(state, app);
    body["client_secret"] = json!("simulated-client-secret");
    body["webhook_secret"] = json!(app.hook.secret);
    body["pem"] = json!(app.private_key);
    Ok(Reply::json(201, &body))
}

pub(in crate::simulator) fn hook(Simulation { apps, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let hook = apps.hook(call.request);
    let content_type = Some(hook.content_type.as_str()).filter(|text| !text.is_empty());
    let insecure = if hook.accepts_any_certificate { "1" } else { "0" };
    let mut body = json!({"content_type": content_type.unwrap_or("json"), "insecure_ssl": insecure});
    if let Some(url) = &hook.url {
        body["url"] = json!(url);
    }
    if hook.secret.is_some() {
        body["secret"] = json!("********");
    }
    Ok(Reply::json(200, &body))
}

pub(in crate::simulator) fn set_hook(simulation: &mut Simulation, call: &Call<'_>) -> Answer {
    let body = call.body()?;
    let set = simulation.apps.hook(call.request);
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    set.url = text("url").or(set.url.take());
    set.secret = text("secret").or(set.secret.take());
    if let Some(content_type) = text("content_type") {
        set.content_type = content_type;
    }
    hook(simulation, call)
}

/// Every owner has an installation, whose id is the owner's id.
pub(in crate::simulator) fn installation(Simulation { state, apps, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    path::repository(state, call)?;
    Ok(Reply::json(200, &installation_on(state, &apps.first, call.arg(0))))
}

pub(in crate::simulator) fn installation_of_account(
    Simulation { state, apps, .. }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    let of_account = |repository: &Repository| repository.name.owner().eq_ignore_ascii_case(call.arg(0));
    if !state.repositories.iter().any(of_account) {
        return Err(Refused::not_found());
    }
    Ok(Reply::json(200, &installation_on(state, &apps.first, call.arg(0))))
}

pub(in crate::simulator) fn installation_by_id(
    Simulation { state, apps, .. }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    let id = call.number(0)?;
    let account = state
        .users
        .values()
        .find(|user| user.id == id)
        .map(|user| user.login.clone());
    let login = account.ok_or_else(Refused::not_found)?;
    Ok(Reply::json(200, &installation_on(state, &apps.first, &login)))
}

fn installation_on(state: &State, app: &FirstApp, login: &str) -> Value {
    let account = user(state, login);
    let id = &account["id"];
    json!({
        "id": id,
        "account": account,
        "app_id": FIRST_APP,
        "app_slug": APP_SLUG,
        "target_id": id,
        "target_type": account["type"],
        "repository_selection": "all",
        "access_tokens_url": format!("{}/app/installations/{id}/access_tokens", state.url),
        "repositories_url": format!("{}/installation/repositories", state.url),
        "html_url": format!("{}/settings/installations/{id}", state.url),
        "single_file_name": null,
        "permissions": app.installed,
        "events": app.events,
        "created_at": LONG_AGO,
        "updated_at": LONG_AGO,
        "suspended_by": if app.is_suspended { account.clone() } else { Value::Null },
        "suspended_at": app.is_suspended.then_some(LONG_AGO),
    })
}

pub(in crate::simulator) fn token(
    Simulation {
        state, tokens, apps, ..
    }: &mut Simulation,
    call: &Call<'_>,
) -> Answer {
    let installation = call.number(0)?;
    if apps.first.is_suspended {
        return Err(Refused::new(403, "This installation has been suspended"));
    }
    let installed = &apps.first.installed;
    let account = state
        .users
        .values()
        .find(|user| user.id == installation)
        .ok_or_else(Refused::not_found)?;
    let owner = account.login.clone();
    let body = call.body()?;
    let permissions = match body.get("permissions").and_then(Value::as_object) {
        None => {
            let held = |(name, word): (&String, &String)| Some((name.clone(), Level::parse(word)?));
            installed.iter().filter_map(held).collect()
        }
        Some(requested) => requested
            .iter()
            .map(|(name, level)| Ok((name.clone(), granted(installed, name, level)?)))
            .collect::<Result<BTreeMap<_, _>, Refused>>()?,
    };
    let of_owner = |id: u64| {
        let repository = state.repository(id)?;
        repository
            .name
            .owner()
            .eq_ignore_ascii_case(&owner)
            .then_some(repository)
    };
    let requested = |key: &str| body.get(key).and_then(Value::as_array).into_iter().flatten();
    let by_name = requested("repositories").map(|name| {
        let name = name.as_str()?;
        state.repository_named(&format!("{owner}/{name}"))
    });
    let by_id = requested("repository_ids").map(|id| of_owner(id.as_u64()?));
    let chosen: Option<Vec<_>> = by_name.chain(by_id).collect();
    let chosen = chosen.ok_or_else(|| {
        Refused::new(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent \
                           installation.",
        )
    })?;
    let names: Vec<String> = chosen
        .iter()
        .map(|repository| repository.name.name().to_ascii_lowercase())
        .collect();
    let shown: Vec<Value> = chosen.iter().map(|chosen| repository(state, chosen.id)).collect();
    let words: Map<String, Value> = permissions
        .iter()
        .map(|(name, level)| (name.clone(), json!(level.as_str())))
        .collect();
    let all = names.is_empty();
    let (text, expires_at) = tokens.issue(state.now(), permissions, (!all).then_some(names));
    let mut body = json!({
        "token": text,
        "expires_at": date(expires_at),
        "permissions": words,
        "repository_selection": if all { "all" } else { "selected" },
    });
    if !all {
        body["repositories"] = json!(shown);
    }
    Ok(Reply::json(201, &body))
}

fn granted(installed: &BTreeMap<String, String>, name: &str, level: &Value) -> Result<Level, Refused> {
    let had = installed.get(name).and_then(|word| Level::parse(word));
    let requested = level.as_str().and_then(Level::parse);
    requested
        .filter(|requested| had >= Some(*requested))
        .ok_or_else(|| Refused::new(422, "The permissions requested are not granted to this installation."))
}

/// Lists deliveries, the newest first, with a cursor.
pub(in crate::simulator) fn deliveries(Simulation { state, outbox, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let per_page = call
        .query("per_page")
        .and_then(|n| n.parse().ok())
        .unwrap_or(30_usize)
        .clamp(1, 100);
    let before = match call.query("cursor") {
        Some(cursor) => cursor.parse().map_err(|_| Refused::new(400, "Invalid cursor"))?,
        None => u64::MAX,
    };
    let mut found: Vec<_> = outbox.record.iter().rev().filter(|sent| sent.id < before).collect();
    let more = found.len() > per_page;
    found.truncate(per_page);
    let items: Vec<Value> = (found.iter())
        .map(|sent| {
            json!({
                "id": sent.id,
                "guid": sent.guid,
                "delivered_at": date(sent.at),
                "redelivery": sent.redelivery,
                "duration": 0.1,
                "status": if sent.arrived { "OK" } else { "failed to connect to host" },
                "status_code": if sent.arrived { 202 } else { 502 },
                "event": sent.event,
                "action": sent.payload["action"],
                "installation_id": sent.payload["installation"]["id"],
                "repository_id": sent.payload["repository"]["id"],
                "throttled_at": null,
            })
        })
        .collect();
    let reply = Reply::json(200, &json!(items));
    Ok(match found.last().filter(|_| more) {
        Some(last) => {
            let next = format!(
                "{}{}?per_page={per_page}&cursor={}",
                state.url, call.request.path, last.id
            );
            reply.header("link", format!("<{next}>; rel=\"next\""))
        }
        None => reply,
    })
}

pub(in crate::simulator) fn redeliver(Simulation { state, outbox, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let now = state.now();
    outbox.redeliver(call.number(0)?, now).ok_or_else(Refused::not_found)?;
    Ok(Reply::json(202, &json!({})))
}

/// Returns the owner of the App, who is the default repository's owner.
fn owner(state: &mut State) -> String {
    let default = state.default_repository();
    state
        .repository(default)
        .map_or_else(String::new, |repository| repository.name.owner().to_owned())
}

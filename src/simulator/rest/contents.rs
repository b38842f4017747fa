//! Protected branches, the workflow in each repository, and the current release of the runner program.

use super::path::repository;
use super::runners::RUNNER_RELEASE;
use crate::simulator::call::{Answer, Call, Refused, Reply};
use crate::simulator::render::accounts::{LONG_AGO, user};
use crate::simulator::render::words::node_id;
use crate::simulator::simulation::Simulation;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The only file of every repository.
const WORKFLOW: &str = include_str!("../../../deploy/workflow/ci.yml");
const FOLDER: &str = ".github/workflows";
const FILE: &str = ".github/workflows/ci.yml";
/// The commit and the blob of everything.
const SHA: &str = "6dcb09b5b57875f334f61aebed695e2e4193db5e";

/// The default branch is the only one, and it is protected.
pub(in crate::simulator) fn branches(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let found = state.repository(id).ok_or_else(Refused::not_found)?;
    let url = format!("{}/repos/{}/commits/{SHA}", state.url, found.name);
    let branch = json!({"name": found.default_branch, "commit": {"sha": SHA, "url": url}, "protected": true});
    let is_listed = call.query("protected") != Some("false");
    Ok(Reply::json(
        200,
        &json!(if is_listed { vec![branch] } else { Vec::new() }),
    ))
}

pub(in crate::simulator) fn contents(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let id = repository(state, call)?;
    let found = state.repository(id).ok_or_else(Refused::not_found)?;
    let branch = call.query("ref").unwrap_or(&found.default_branch);
    let path = call.arg(2).replace("%2F", "/").replace("%2f", "/");
    let place = format!("{}/repos/{}/contents", state.url, found.name);
    match path.as_str() {
        _ if branch != found.default_branch => Err(Refused::not_found()),
        FOLDER => Ok(Reply::json(200, &json!([file(&place)]))),
        FILE => {
            let mut body = file(&place);
            body["encoding"] = json!("base64");
            body["content"] = json!(STANDARD.encode(WORKFLOW));
            Ok(Reply::json(200, &body))
        }
        _ => Err(Refused::not_found()),
    }
}

fn file(place: &str) -> Value {
    let url = format!("{place}/{FILE}");
    json!({
        "type": "file",
        "name": "ci.yml",
        "path": FILE,
        "size": WORKFLOW.len(),
        "sha": SHA,
        "url": url,
        "git_url": url,
        "html_url": url,
        "download_url": url,
        "_links": {"self": url, "git": url, "html": url},
    })
}

/// The runner program is the only project with releases.
pub(in crate::simulator) fn release(Simulation { state, .. }: &mut Simulation, call: &Call<'_>) -> Answer {
    let tag = format!("v{RUNNER_RELEASE}");
    if (call.arg(0), call.arg(1), call.arg(2)) != ("actions", "runner", tag.as_str()) {
        return Err(Refused::not_found());
    }
    state.mention("actions", None);
    let url = format!("{}/repos/actions/runner/releases/{tag}", state.url);
    let body = json!({
        "id": 1,
        "node_id": node_id("Release", 1),
        "url": url,
        "html_url": url,
        "assets_url": format!("{url}/assets"),
        "upload_url": format!("{url}/assets"),
        "tarball_url": url,
        "zipball_url": url,
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "body": "",
        "draft": false,
        "prerelease": false,
        "author": user(state, "actions"),
        "assets": [],
        "created_at": LONG_AGO,
        "published_at": LONG_AGO,
    });
    Ok(Reply::json(200, &body))
}

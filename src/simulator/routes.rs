//! All endpoints: GitHub's path templates, short names for them, and the required access.

use super::access::Access::{self, Anyone, App, Needs, Token};
use super::access::Level::{Read, Write};
use super::call::{Answer, Call};
use super::rest::{actions, app, contents, groups, policies, repositories, runners};
use super::simulation::Simulation;

type Handler = fn(&mut Simulation, &Call<'_>) -> Answer;

pub(super) struct Route {
    /// The name in faults and tallies. Endpoints with the same purpose in two scopes share a name.
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) template: &'static str,
    pub(super) access: Access,
    pub(super) handler: Handler,
}

/// Returns the name, the method and the path template (as in GitHub's `OpenAPI` description) of every endpoint.
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    ROUTES.iter().map(|route| (route.name, route.method, route.template))
}

/// Returns the endpoint for a path, and the path's variable parts in order.
pub(super) fn find<'p>(method: &str, path: &'p str) -> Option<(&'static Route, Vec<&'p str>)> {
    let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| Some((route, bind(route.template, &parts)?)))
}

fn bind<'p>(template: &str, parts: &[&'p str]) -> Option<Vec<&'p str>> {
    if template.split('/').count() != parts.len() {
        return None;
    }
    let mut bound = Vec::new();
    for (expected, part) in template.split('/').zip(parts) {
        if expected.starts_with('{') {
            bound.push(*part);
        } else if expected != *part {
            return None;
        }
    }
    Some(bound)
}

const fn route(
    name: &'static str,
    method: &'static str,
    template: &'static str,
    access: Access,
    handler: Handler,
) -> Route {
    Route {
        name,
        method,
        template,
        access,
        handler,
    }
}

const ACTIONS_READ: Access = Needs("actions", Read);
const ACTIONS_WRITE: Access = Needs("actions", Write);
const CONTENTS: Access = Needs("contents", Read);
const PULLS: Access = Needs("pull_requests", Read);
const METADATA: Access = Needs("metadata", Read);
const VARIABLES_READ: Access = Needs("actions_variables", Read);
const VARIABLES_WRITE: Access = Needs("actions_variables", Write);
const RUNNERS_READ: Access = Needs("administration", Read);
const RUNNERS_WRITE: Access = Needs("administration", Write);
const ORG_RUNNERS_READ: Access = Needs("organization_self_hosted_runners", Read);
const ORG_RUNNERS_WRITE: Access = Needs("organization_self_hosted_runners", Write);

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    route("meta", "GET", "/meta", Anyone, app::meta),
    route("rate-limit", "GET", "/rate_limit", Token, app::rate_limit),
    route("app", "GET", "/app", App, app::app),
    route("convert", "POST", "/app-manifests/{code}/conversions", Anyone, app::convert),
    route("hook", "GET", "/app/hook/config", App, app::hook),
    route("set-hook", "PATCH", "/app/hook/config", App, app::set_hook),
    route("deliveries", "GET", "/app/hook/deliveries", App, app::deliveries),
    route("redeliver", "POST", "/app/hook/deliveries/{delivery_id}/attempts", App, app::redeliver),
    route("token", "POST", "/app/installations/{installation_id}/access_tokens", App, app::token),
    route("installation", "GET", "/repos/{owner}/{repo}/installation", App, app::installation),
    route("installation", "GET", "/orgs/{org}/installation", App, app::installation_of_account),
    route("installation", "GET", "/users/{username}/installation", App, app::installation_of_account),
    route("installation", "GET", "/app/installations/{installation_id}", App, app::installation_by_id),

    route("repository", "GET", "/repos/{owner}/{repo}", METADATA, repositories::repository_itself),
    route("permission", "GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", METADATA, repositories::permission),
    route("list-pulls", "GET", "/repos/{owner}/{repo}/pulls", PULLS, repositories::list_pulls),
    route("get-pull", "GET", "/repos/{owner}/{repo}/pulls/{pull_number}", PULLS, repositories::get_pull),
    route("pull-files", "GET", "/repos/{owner}/{repo}/pulls/{pull_number}/files", PULLS, repositories::pull_files),
    route("pull-commits", "GET", "/repos/{owner}/{repo}/pulls/{pull_number}/commits", PULLS, repositories::pull_commits),
    route("issue-events", "GET", "/repos/{owner}/{repo}/issues/{issue_number}/events", PULLS, repositories::issue_events),
    route("commit-pulls", "GET", "/repos/{owner}/{repo}/commits/{commit_sha}/pulls", PULLS, repositories::commit_pulls),
    route("get-variable", "GET", "/repos/{owner}/{repo}/actions/variables/{name}", VARIABLES_READ, repositories::get_variable),
    route("set-variable", "PATCH", "/repos/{owner}/{repo}/actions/variables/{name}", VARIABLES_WRITE, repositories::set_variable),
    route("create-variable", "POST", "/repos/{owner}/{repo}/actions/variables", VARIABLES_WRITE, repositories::create_variable),
    route("delete-variable", "DELETE", "/repos/{owner}/{repo}/actions/variables/{name}", VARIABLES_WRITE, repositories::delete_variable),

    route("list-branches", "GET", "/repos/{owner}/{repo}/branches", CONTENTS, contents::branches),
    route("contents", "GET", "/repos/{owner}/{repo}/contents/{path}", CONTENTS, contents::contents),
    route("release", "GET", "/repos/{owner}/{repo}/releases/tags/{tag}", Anyone, contents::release),

    route("get-approval", "GET", "/repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval", RUNNERS_READ, policies::get_approval),
    route("set-approval", "PUT", "/repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval", RUNNERS_WRITE, policies::set_approval),
    route("get-token-policy", "GET", "/repos/{owner}/{repo}/actions/permissions/workflow", RUNNERS_READ, policies::get_token),
    route("set-token-policy", "PUT", "/repos/{owner}/{repo}/actions/permissions/workflow", RUNNERS_WRITE, policies::set_token),

    route("list-groups", "GET", "/orgs/{org}/actions/runner-groups", ORG_RUNNERS_READ, groups::list),
    route("create-group", "POST", "/orgs/{org}/actions/runner-groups", ORG_RUNNERS_WRITE, groups::create),
    route("get-group", "GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}", ORG_RUNNERS_READ, groups::get),
    route("update-group", "PATCH", "/orgs/{org}/actions/runner-groups/{runner_group_id}", ORG_RUNNERS_WRITE, groups::update),
    route("group-repositories", "GET", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories", ORG_RUNNERS_READ, groups::repositories),
    route("add-to-group", "PUT", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}", ORG_RUNNERS_WRITE, groups::add_repository),
    route("remove-from-group", "DELETE", "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories/{repository_id}", ORG_RUNNERS_WRITE, groups::remove_repository),

    route("list-runs", "GET", "/repos/{owner}/{repo}/actions/runs", ACTIONS_READ, actions::list_runs),
    route("get-run", "GET", "/repos/{owner}/{repo}/actions/runs/{run_id}", ACTIONS_READ, actions::get_run),
    route("get-attempt", "GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}", ACTIONS_READ, actions::get_attempt),
    route("list-jobs", "GET", "/repos/{owner}/{repo}/actions/runs/{run_id}/jobs", ACTIONS_READ, actions::list_jobs),
    route("get-job", "GET", "/repos/{owner}/{repo}/actions/jobs/{job_id}", ACTIONS_READ, actions::get_job),
    route("cancel", "POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/cancel", ACTIONS_WRITE, actions::cancel),
    route("force-cancel", "POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/force-cancel", ACTIONS_WRITE, actions::cancel),
    route("rerun", "POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun", ACTIONS_WRITE, actions::rerun),
    route("rerun-failed", "POST", "/repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs", ACTIONS_WRITE, actions::rerun_failed),

    route("jit", "POST", "/repos/{owner}/{repo}/actions/runners/generate-jitconfig", RUNNERS_WRITE, runners::jit_for_repository),
    route("jit", "POST", "/orgs/{org}/actions/runners/generate-jitconfig", ORG_RUNNERS_WRITE, runners::jit_for_organization),
    route("registration-token", "POST", "/repos/{owner}/{repo}/actions/runners/registration-token", RUNNERS_WRITE, runners::registration_token_for_repository),
    route("registration-token", "POST", "/orgs/{org}/actions/runners/registration-token", ORG_RUNNERS_WRITE, runners::registration_token_for_organization),
    route("runner-downloads", "GET", "/repos/{owner}/{repo}/actions/runners/downloads", RUNNERS_READ, runners::downloads),
    route("runner-downloads", "GET", "/orgs/{org}/actions/runners/downloads", ORG_RUNNERS_READ, runners::downloads),
    route("list-runners", "GET", "/repos/{owner}/{repo}/actions/runners", RUNNERS_READ, runners::list_of_repository),
    route("list-runners", "GET", "/orgs/{org}/actions/runners", ORG_RUNNERS_READ, runners::list_of_organization),
    route("get-runner", "GET", "/repos/{owner}/{repo}/actions/runners/{runner_id}", RUNNERS_READ, runners::get_of_repository),
    route("get-runner", "GET", "/orgs/{org}/actions/runners/{runner_id}", ORG_RUNNERS_READ, runners::get_of_organization),
    route("delete-runner", "DELETE", "/repos/{owner}/{repo}/actions/runners/{runner_id}", RUNNERS_WRITE, runners::delete_of_repository),
    route("delete-runner", "DELETE", "/orgs/{org}/actions/runners/{runner_id}", ORG_RUNNERS_WRITE, runners::delete_of_organization),
];

//! Users, organizations and repositories.

use super::words::node_id;
use crate::simulator::state::{Repository, State};
use crate::simulator::world::UserKind;
use serde_json::{Map, Value, json};

/// The date of objects whose age has no effect.
pub(in crate::simulator) const LONG_AGO: &str = "2024-01-01T00:00:00Z";

/// Returns a user in the format of other objects; null if the account is deleted.
pub(in crate::simulator) fn user(state: &State, login: &str) -> Value {
    let Some(user) = state.user(login).filter(|user| !user.deleted) else {
        return Value::Null;
    };
    let (web, login) = (&state.url, &user.login);
    // A bot's login has brackets.
    let path = login.replace('[', "%5B").replace(']', "%5D");
    let api = format!("{web}/users/{path}");
    json!({
        "login": login,
        "id": user.id,
        "node_id": node_id("User", user.id),
        "avatar_url": format!("{web}/avatars/{}", user.id),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("{web}/{path}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": user.kind.as_str(),
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// Returns the organization that owns a repository; none if a user does.
pub(in crate::simulator) fn organization(state: &State, repository: &Repository) -> Option<Value> {
    let owner = state
        .user(repository.name.owner())
        .filter(|owner| owner.kind == UserKind::Organization)?;
    let api = format!("{}/orgs/{}", state.url, owner.login);
    Some(json!({
        "login": owner.login,
        "id": owner.id,
        "node_id": node_id("Organization", owner.id),
        "url": api,
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events"),
        "hooks_url": format!("{api}/hooks"),
        "issues_url": format!("{api}/issues"),
        "members_url": format!("{api}/members{{/member}}"),
        "public_members_url": format!("{api}/public_members{{/member}}"),
        "avatar_url": format!("{}/avatars/{}", state.url, owner.id),
        "description": "",
    }))
}

/// The fields of a repository that are URLs below its own.
const BELOW: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];
const COUNTS: [&str; 10] = [
    "forks",
    "forks_count",
    "network_count",
    "open_issues",
    "open_issues_count",
    "size",
    "stargazers_count",
    "subscribers_count",
    "watchers",
    "watchers_count",
];

/// Returns a complete repository; null if it is deleted.
pub(in crate::simulator) fn repository(state: &State, id: u64) -> Value {
    let Some(repository) = state.repository(id).filter(|repository| !repository.deleted) else {
        return Value::Null;
    };
    let (name, web) = (&repository.name, &state.url);
    let api = format!("{web}/repos/{name}");
    let mut fields = Map::new();
    let mut put = |field: &str, value: Value| drop(fields.insert(field.to_owned(), value));
    for (field, below) in BELOW {
        put(field, json!(format!("{api}{below}")));
    }
    for field in COUNTS {
        put(field, json!(0));
    }
    for field in [
        "archived",
        "disabled",
        "has_downloads",
        "has_pages",
        "has_projects",
        "has_wiki",
        "has_discussions",
    ] {
        put(field, json!(false));
    }
    for field in ["description", "homepage", "language", "license", "mirror_url"] {
        put(field, Value::Null);
    }
    for field in ["created_at", "pushed_at", "updated_at"] {
        put(field, json!(LONG_AGO));
    }
    for (field, value) in [
        ("id", json!(repository.id)),
        ("node_id", json!(node_id("Repository", repository.id))),
        ("name", json!(name.name())),
        ("full_name", json!(name.as_str())),
        ("owner", user(state, name.owner())),
        ("private", json!(repository.private)),
        (
            "visibility",
            json!(if repository.private { "private" } else { "public" }),
        ),
        ("fork", json!(repository.fork)),
        ("default_branch", json!(repository.default_branch)),
        ("has_issues", json!(true)),
        ("allow_forking", json!(true)),
        ("is_template", json!(false)),
        ("web_commit_signoff_required", json!(false)),
        ("topics", json!([])),
        ("html_url", json!(format!("{web}/{name}"))),
        ("clone_url", json!(format!("{web}/{name}.git"))),
        ("svn_url", json!(format!("{web}/{name}"))),
        ("git_url", json!(format!("git://github.com/{name}.git"))),
        ("ssh_url", json!(format!("git@github.com:{name}.git"))),
    ] {
        put(field, value);
    }
    Value::Object(fields)
}

//! Pull requests and their files.

use super::accounts::{repository, user};
use super::words::{date, node_id};
use crate::simulator::state::{Head, Pull, State, sha};
use crate::simulator::world::{CommitChange, PullState};
use serde_json::{Value, json};

/// Returns a pull request in the format of lists.
pub(in crate::simulator) fn pull(state: &State, pull: &Pull) -> Value {
    let Some(base) = state.repository(pull.repository) else {
        return Value::Null;
    };
    let (web, name, number) = (&state.url, &base.name, pull.number);
    let api = format!("{web}/repos/{name}");
    let (itself, issue) = (format!("{api}/pulls/{number}"), format!("{api}/issues/{number}"));
    let html = format!("{web}/{name}/pull/{number}");
    let id = pull_id(pull);
    let statuses = format!("{api}/statuses/{}", pull.head.sha);
    let base_head = Head {
        repository: base.id,
        branch: pull.base.clone(),
        sha: sha(&pull.base),
    };
    let link = |href: &str| json!({"href": href});
    let links = json!({
        "self": link(&itself),
        "html": link(&html),
        "issue": link(&issue),
        "comments": link(&format!("{issue}/comments")),
        "review_comments": link(&format!("{itself}/comments")),
        "review_comment": link(&format!("{api}/pulls/comments{{/number}}")),
        "commits": link(&format!("{itself}/commits")),
        "statuses": link(&statuses),
    });
    json!({
        "id": id,
        "node_id": node_id("PullRequest", id),
        "number": number,
        "state": pull.state.as_str(),
        "locked": false,
        "title": format!("Change {}", pull.files.join(", ")),
        "user": user(state, &pull.author),
        "author_association": pull.association.as_str(),
        "body": null,
        "labels": [],
        "assignee": null,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "milestone": null,
        "auto_merge": null,
        "active_lock_reason": null,
        "draft": false,
        "created_at": date(pull.created_at),
        "updated_at": date(pull.updated_at),
        "closed_at": (pull.state == PullState::Closed).then(|| date(pull.updated_at)),
        "merged_at": null,
        "merge_commit_sha": null,
        "head": end(state, &pull.head, &pull.author),
        "base": end(state, &base_head, base.name.owner()),
        "url": itself,
        "html_url": html,
        "diff_url": format!("{html}.diff"),
        "patch_url": format!("{html}.patch"),
        "issue_url": issue,
        "commits_url": format!("{itself}/commits"),
        "comments_url": format!("{issue}/comments"),
        "review_comments_url": format!("{itself}/comments"),
        "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
        "statuses_url": statuses,
        "_links": links,
    })
}

/// Returns GitHub's id of a pull request, which differs from its number.
pub(super) fn pull_id(pull: &Pull) -> u64 {
    pull.repository.wrapping_mul(1000).wrapping_add(pull.number)
}

/// Returns a pull request in the format of its own endpoint.
pub(in crate::simulator) fn full_pull(state: &State, pull_request: &Pull) -> Value {
    let files = pull_request.files.len();
    let mut value = pull(state, pull_request);
    if let Value::Object(fields) = &mut value {
        for (field, more) in [
            ("additions", json!(files)),
            ("deletions", json!(0)),
            ("changed_files", json!(files)),
            ("comments", json!(0)),
            ("commits", json!(1)),
            ("maintainer_can_modify", json!(false)),
            ("mergeable", json!(true)),
            ("mergeable_state", json!("clean")),
            ("merged", json!(false)),
            ("merged_by", Value::Null),
            ("rebaseable", json!(true)),
            ("review_comments", json!(0)),
        ] {
            fields.insert(field.to_owned(), more);
        }
    }
    value
}

/// Returns one end of a pull request. The owner is known even if the repository was deleted.
fn end(state: &State, head: &Head, author: &str) -> Value {
    let owner = head_owner(state, head).unwrap_or(author);
    json!({
        "label": format!("{owner}:{}", head.branch),
        "ref": head.branch,
        "sha": head.sha,
        "user": user(state, owner),
        "repo": repository(state, head.repository),
    })
}

/// Returns the account that owns a head.
pub(in crate::simulator) fn head_owner<'s>(state: &'s State, head: &Head) -> Option<&'s str> {
    state
        .repository(head.repository)
        .map(|repository| repository.name.owner())
}

/// Returns the events of a pull request, which are only its retargetings.
pub(in crate::simulator) fn events(state: &State, pull: &Pull) -> Vec<Value> {
    let name = state
        .repository(pull.repository)
        .map_or("", |repository| repository.name.as_str());
    let event = |number: u32| {
        let id = pull_id(pull).wrapping_mul(100).wrapping_add(number.into());
        json!({
            "id": id,
            "node_id": node_id("BaseRefChangedEvent", id),
            "url": format!("{}/repos/{name}/issues/events/{id}", state.url),
            "actor": user(state, &pull.author),
            "event": "base_ref_changed",
            "commit_id": null,
            "commit_url": null,
            "created_at": date(pull.updated_at),
        })
    };
    (0..pull.base_changes).map(event).collect()
}

/// Returns the commits of a pull request, the oldest first. The last one is its head.
pub(in crate::simulator) fn commits(state: &State, pull: &Pull) -> Vec<Value> {
    let single = [CommitChange {
        author: None,
        verified: false,
    }];
    let commits = if pull.commits.is_empty() {
        &single
    } else {
        pull.commits.as_slice()
    };
    let last = commits.len() - 1;
    let shown = commits.iter().enumerate().map(|(index, commit)| {
        let id = match index == last {
            true => pull.head.sha.clone(),
            false => sha(&format!("{}~{}", pull.head.sha, last - index)),
        };
        shown_commit(state, pull, commit, &id)
    });
    shown.collect()
}

fn shown_commit(state: &State, pull: &Pull, commit: &CommitChange, id: &str) -> Value {
    let name = state
        .repository(pull.repository)
        .map_or("", |repository| repository.name.as_str());
    let api = format!("{}/repos/{name}", state.url);
    let login = commit.author.as_deref().unwrap_or(&pull.author);
    let account = user(state, login);
    let signed = json!({"name": login, "email": format!("{login}@example.com"), "date": date(pull.created_at)});
    json!({
        "url": format!("{api}/commits/{id}"),
        "sha": id,
        "node_id": node_id("Commit", pull_id(pull)),
        "html_url": format!("{}/{name}/commit/{id}", state.url),
        "comments_url": format!("{api}/commits/{id}/comments"),
        "commit": {
            "url": format!("{api}/git/commits/{id}"),
            "author": signed,
            "committer": signed,
            "message": "Change it",
            "comment_count": 0,
            "tree": {"sha": id, "url": format!("{api}/git/trees/{id}")},
            "verification": {
                "verified": commit.verified,
                "reason": if commit.verified { "valid" } else { "unsigned" },
                "signature": null,
                "payload": null,
                "verified_at": null,
            },
        },
        "author": account,
        "committer": account,
        "parents": [],
    })
}

/// Returns a file of a pull request. `NEW <- OLD` is a moved file.
pub(in crate::simulator) fn file(state: &State, pull: &Pull, path: &str) -> Value {
    let name = state
        .repository(pull.repository)
        .map_or("", |repository| repository.name.as_str());
    let (path, previous) = match path.split_once(" <- ") {
        Some((new, old)) => (new, Some(old)),
        None => (path, None),
    };
    let (web, sha) = (&state.url, &pull.head.sha);
    let mut file = json!({
        "sha": sha,
        "filename": path,
        "status": if previous.is_some() { "renamed" } else { "modified" },
        "additions": 1,
        "deletions": 0,
        "changes": 1,
        "blob_url": format!("{web}/{name}/blob/{sha}/{path}"),
        "raw_url": format!("{web}/{name}/raw/{sha}/{path}"),
        "contents_url": format!("{web}/repos/{name}/contents/{path}?ref={sha}"),
        "patch": "@@ -0,0 +1 @@\n+x",
    });
    if let (Value::Object(fields), Some(previous)) = (&mut file, previous) {
        fields.insert("previous_filename".to_owned(), json!(previous));
    }
    file
}

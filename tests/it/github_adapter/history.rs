//! The delivery log and the lists of runs: the requests, the pages and what each answer means.

use crate::support::scripted::{ManualClock, Scripted, adapter, app, json, repository, token, with_headers};
use chrono::TimeDelta;
use jitgate::adapters::github::GitHubAdapter;
use jitgate::domain::ids::{AccountId, RepositoryId, RunId};
use jitgate::domain::pin::RepositoryIds;
use jitgate::ports::github::{ListedRun, Purpose, Redelivery, RunState};
use jitgate::ports::{Clock, Failure, GitHub};
use serde_json::{Value, json as value};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn attempt(id: u64, guid: &str, status_code: u16) -> Value {
    value!({
        "id": id, "guid": guid, "delivered_at": "2026-11-23T12:00:00Z", "redelivery": false, "duration": 0.1,
        "status": "OK", "status_code": status_code, "event": "workflow_job", "action": "queued",
        "installation_id": 9, "repository_id": 7, "throttled_at": null,
    })
}

#[tokio::test]
async fn the_delivery_log_is_read_as_the_app_page_by_page_and_never_filtered() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|asked| {
        assert!(!asked.query.contains("status"), "{}", asked.query);
        if asked.query.contains("cursor=v1_12") {
            return json(200, value!([attempt(11, "aa-2", 502)]));
        }
        let next = "<https://elsewhere.example/app/hook/deliveries?per_page=100&cursor=v1_12>; rel=\"next\"";
        with_headers(
            200,
            &[("link", next)],
            value!([attempt(12, "aa-1", 202), attempt(13, "not a GUID", 202)]),
        )
    });
    let github = adapter(&server, &clock, app());
    assert!(github.has_delivery_log());
    let first = github.deliveries(None).await.expect("a page");
    assert_eq!(first.next.as_deref(), Some("v1_12"));
    let [only] = &first.deliveries[..] else {
        panic!("{first:?}")
    };
    assert_eq!(
        (only.id, only.guid.as_str(), only.status_code, only.redelivery),
        (12, "aa-1", 202, false)
    );
    assert_eq!(only.repository_id, Some(RepositoryId(7)));
    assert_eq!(
        (only.event.as_str(), only.action.as_deref()),
        ("workflow_job", Some("queued"))
    );
    let second = github.deliveries(first.next.as_deref()).await.expect("a page");
    assert_eq!((second.deliveries[0].status_code, second.next), (502, None));
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "no token is minted: {asked:?}");
    assert!(
        asked
            .iter()
            .all(|asked| asked.authorization.as_ref().is_some_and(|jwt| jwt.contains('.')))
    );
}

#[tokio::test]
async fn an_unchanged_page_keeps_the_cursor_of_the_next_one() {
    let server = Scripted::bare(|asked| match asked.if_none_match.as_deref() {
        Some("\"a\"") => with_headers(304, &[("etag", "\"a\"")], Value::Null),
        _ => with_headers(
            200,
            &[("etag", "\"a\""), ("link", "<http://x/y?cursor=c-1>; rel=\"next\"")],
            value!([attempt(12, "aa-1", 202)]),
        ),
    });
    let github = adapter(&server, &ManualClock::new(), app());
    let first = github.deliveries(None).await.expect("a page");
    let again = github.deliveries(None).await.expect("the same page");
    assert_eq!(first, again);
    assert_eq!(again.next.as_deref(), Some("c-1"));
}

#[tokio::test]
async fn a_token_has_no_delivery_log() {
    let server = Scripted::bare(|_| json(200, value!([])));
    let github = adapter(&server, &ManualClock::new(), token());
    assert!(!github.has_delivery_log());
    let Err(Failure::Permanent(what)) = github.deliveries(None).await else {
        panic!("it was read");
    };
    assert!(what.contains("GitHub App"), "{what}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_redelivery_is_accepted_or_impossible() {
    for (status, outcome) in [
        (202, Redelivery::Accepted),
        (400, Redelivery::Impossible),
        (404, Redelivery::Impossible),
        (422, Redelivery::Impossible),
    ] {
        let server = Scripted::bare(move |_| json(status, if status == 202 { value!({}) } else { Value::Null }));
        let github = adapter(&server, &ManualClock::new(), app());
        assert_eq!(github.redeliver(12).await, Ok(outcome), "{status}");
        assert_eq!(server.asked()[0].line(), "POST /app/hook/deliveries/12/attempts");
    }
}

fn run(id: u64) -> Value {
    value!({"id": id, "run_attempt": 2, "event": "pull_request", "created_at": "2026-11-23T12:00:00Z",
            "repository": {"id": 1, "owner": {"id": 3}}})
}

#[tokio::test]
async fn the_runs_of_a_state_are_listed_over_all_pages() {
    let server = Scripted::bare(|asked| {
        let full = asked.query.contains("page=1");
        let runs: Vec<Value> = (0..if full { 50 } else { 1 }).map(run).collect();
        json(200, value!({"total_count": 51, "workflow_runs": runs}))
    });
    let github = adapter(&server, &ManualClock::new(), token());
    let runs = github.runs(&repository(), RunState::InProgress, Purpose::Recover).await;
    let runs = runs.expect("runs");
    assert_eq!(runs.len(), 51);
    let first = ListedRun {
        id: RunId(0),
        attempt: 2,
        event: "pull_request".to_owned(),
        of: RepositoryIds {
            id: Some(RepositoryId(1)),
            owner_id: Some(AccountId(3)),
        },
        from_fork: false,
        created_at: Some("2026-11-23T12:00:00Z".parse().expect("a time")),
    };
    assert_eq!(runs[0], first);
    assert_eq!(server.asked()[1].query, "status=in_progress&per_page=50&page=2");
}

#[tokio::test]
async fn a_run_comes_from_a_fork_if_its_head_repository_is_another_one_or_gone() {
    for (head, from_fork) in [
        (Some(value!({"id": 1, "full_name": "octo-org/octo-repo"})), false),
        (Some(value!({"id": 2, "owner": {"id": 9}})), true),
        (Some(Value::Null), true),
        (None, false),
    ] {
        let mut shown = run(5);
        if let Some(head) = &head {
            shown["head_repository"] = head.clone();
        }
        let server = Scripted::bare(move |_| json(200, value!({"total_count": 1, "workflow_runs": [shown.clone()]})));
        let github = adapter(&server, &ManualClock::new(), token());
        let runs = github
            .runs(&repository(), RunState::Queued, Purpose::Recover)
            .await
            .expect("runs");
        assert_eq!(runs[0].from_fork, from_fork, "{head:?}");
    }
}

/// An adapter for a GitHub that reports `left` of 5,000 calls, and the time of its reset.
fn limited(left: usize) -> (Scripted, GitHubAdapter, Arc<AtomicUsize>) {
    let clock = ManualClock::new();
    let reset = (clock.now() + TimeDelta::minutes(20)).timestamp().to_string();
    let left = Arc::new(AtomicUsize::new(left));
    let counted = Arc::clone(&left);
    let server = Scripted::bare(move |_| {
        let remaining = counted.load(Ordering::SeqCst).to_string();
        let quota = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", remaining.as_str()),
            ("x-ratelimit-reset", reset.as_str()),
        ];
        with_headers(200, &quota, value!({"total_count": 0, "workflow_runs": []}))
    });
    let github = adapter(&server, &clock, token());
    (server, github, left)
}

#[tokio::test]
async fn recovery_stops_at_half_of_the_quota_and_other_calls_go_on() {
    let (server, github, left) = limited(2500);
    let ask = async |purpose| github.runs(&repository(), RunState::Queued, purpose).await.map(|_| ());
    assert_eq!(github.quota_left_percent(), None);
    ask(Purpose::Recover).await.expect("2,500 are left after it");
    assert_eq!(github.quota_left_percent(), Some(50));
    left.store(2499, Ordering::SeqCst);
    ask(Purpose::Recover).await.expect("half of the quota");
    let refused = ask(Purpose::Recover).await;
    assert!(matches!(refused, Err(Failure::RateLimited { .. })), "{refused:?}");
    assert_eq!(server.asked().len(), 2);
    ask(Purpose::Judge).await.expect("not reserved from this");
}

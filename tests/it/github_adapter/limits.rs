//! GitHub's limits: who is told to wait, waits, and the rest of the quota is for admissions.

use crate::support::scripted::{
    Crowd, ManualClock, Reply, Requests, Scripted, adapter, app, json, repository, run_body, settings, token,
    with_headers,
};
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::adapters::clock::SystemClock;
use jitgate::adapters::github::GitHubAdapter;
use jitgate::domain::ids::{RepositoryName, RunId};
use jitgate::ports::github::{JitRequest, Purpose, RunnerScope};
use jitgate::ports::{Clock, Failure, GitHub};
use serde_json::{Value, json as value};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

type Headers<'a> = &'a [(&'static str, &'a str)];

async fn ask(github: &GitHubAdapter, purpose: Purpose) -> Result<(), Failure> {
    github.run(&repository(), RunId(5), purpose).await.map(|_| ())
}

/// When the limit ends that `result` tells of.
fn limited_until(result: &Result<(), Failure>) -> DateTime<Utc> {
    match result {
        Err(Failure::RateLimited { until, .. }) => *until,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nothing_is_sent_until_the_limit_ends_and_others_are_not_held_up() {
    let clock = ManualClock::new();
    let now = clock.now();
    let server = Scripted::start(&clock, move |asked| {
        if asked.path.starts_with("/repos/octo/") {
            with_headers(403, &[("retry-after", "30")], value!({"message": "Slow down"}))
        } else {
            json(200, run_body())
        }
    });
    let github = adapter(&server, &clock, app());
    let first = ask(&github, Purpose::Admit).await;
    assert_eq!(limited_until(&first), now + TimeDelta::seconds(30));
    clock.advance(TimeDelta::seconds(29));
    for purpose in [Purpose::Judge, Purpose::Admit] {
        assert_eq!(
            limited_until(&ask(&github, purpose).await),
            now + TimeDelta::seconds(30)
        );
    }
    assert_eq!(server.count("octo/chem/actions/runs"), 1);

    let other = RepositoryName::parse("octopus/chem").expect("a name");
    github
        .run(&other, RunId(5), Purpose::Judge)
        .await
        .expect("another installation's run");

    clock.advance(TimeDelta::seconds(1));
    limited_until(&ask(&github, Purpose::Judge).await);
    assert_eq!(server.count("octo/chem/actions/runs"), 2);
}

/// Returns an adapter by the system's clock, and a GitHub that limits every second call for some seconds.
fn every_second_call_is_limited(seconds: &'static str) -> (Scripted, GitHubAdapter) {
    let calls = AtomicUsize::new(0);
    let server = Scripted::bare(move |_| match calls.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => with_headers(429, &[("retry-after", seconds)], value!({"message": "Slow down"})),
        _ => json(200, run_body()),
    });
    let github = GitHubAdapter::new(&settings(&server, token()), Arc::new(SystemClock)).expect("an adapter");
    (server, github)
}

#[tokio::test]
async fn a_call_outlasts_a_limit_that_ends_soon() {
    let (server, github) = every_second_call_is_limited("1");
    for answered in 1..=2 {
        ask(&github, Purpose::Judge).await.expect("an answer after the limit");
        assert_eq!(server.count("actions/runs"), 2 * answered);
    }
    let (server, github) = every_second_call_is_limited("3");
    limited_until(&ask(&github, Purpose::Admit).await);
    assert_eq!(server.count("actions/runs"), 1, "a longer limit is left to the caller");
}

#[tokio::test]
async fn every_way_to_announce_a_limit_is_understood() {
    let clock = ManualClock::new();
    let now = clock.now();
    let in_40_s = (now + TimeDelta::seconds(40)).timestamp().to_string();
    let date = (now + TimeDelta::seconds(50))
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", in_40_s.as_str())];
    let secondary = "You have exceeded a secondary rate limit.";
    let cases: [(u16, Headers<'_>, &str, i64); 8] = [
        (429, &[("retry-after", "30")], "", 30),
        (403, &[("retry-after", &date)], "", 50),
        (403, &used_up, "API rate limit exceeded", 40),
        (429, &used_up, "", 40),
        (403, &[], secondary, 60),
        (403, &[], "You have triggered an abuse detection mechanism", 60),
        (429, &[], "", 60),
        (403, &[("retry-after", "99999999")], "", 3600),
    ];
    for (status, headers, message, seconds) in cases {
        let headers: Vec<(&'static str, String)> = headers.iter().map(|(n, v)| (*n, (*v).to_owned())).collect();
        let body = value!({"message": message});
        let server = Scripted::bare(move |_| Reply::Json(status, headers.clone(), body.clone()));
        let answer = ask(&adapter(&server, &clock, token()), Purpose::Admit).await;
        assert_eq!(
            limited_until(&answer),
            now + TimeDelta::seconds(seconds),
            "{status} {message}"
        );
    }
}

#[tokio::test]
async fn a_403_that_is_no_limit_is_final() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| json(403, value!({"message": "Resource not accessible by integration"})));
    let answer = ask(&adapter(&server, &clock, token()), Purpose::Judge).await;
    assert_eq!(
        answer,
        Err(Failure::Permanent(
            "GET /repos/octo/chem/actions/runs/5: GitHub answered 403: Resource not accessible by integration"
                .to_owned()
        ))
    );
}

#[tokio::test]
async fn the_last_tenth_of_the_quota_is_kept_for_admissions() {
    let clock = ManualClock::new();
    let reset = clock.now() + TimeDelta::minutes(20);
    let left = Arc::new(AtomicUsize::new(501));
    let counted = Arc::clone(&left);
    let server = Scripted::bare(move |_| {
        let remaining = counted.fetch_sub(1, Ordering::SeqCst) - 1;
        with_headers(
            200,
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", &remaining.to_string()),
                ("x-ratelimit-reset", &reset.timestamp().to_string()),
                ("x-ratelimit-resource", "core"),
            ],
            run_body(),
        )
    });
    let github = adapter(&server, &clock, token());
    for _ in 0..2 {
        ask(&github, Purpose::Judge).await.expect("500 left before this one");
    }
    assert_eq!(github.remaining_quota().get("core"), Some(&499));
    assert_eq!(limited_until(&ask(&github, Purpose::Judge).await), reset);
    ask(&github, Purpose::Admit).await.expect("kept for this");
    assert_eq!(server.asked().len(), 3);

    left.store(1, Ordering::SeqCst);
    ask(&github, Purpose::Admit).await.expect("the very last");
    assert_eq!(limited_until(&ask(&github, Purpose::Admit).await), reset);
    assert_eq!(server.asked().len(), 4, "with nothing left nothing is sent");

    clock.advance(TimeDelta::minutes(20));
    left.store(5000, Ordering::SeqCst);
    ask(&github, Purpose::Judge).await.expect("a new hour");
}

#[tokio::test]
async fn no_more_than_150_jit_runners_are_asked_for_within_a_minute() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| json(409, Value::Null));
    let github = adapter(&server, &clock, token());
    let scope = RunnerScope::Repository(repository());
    let request = JitRequest {
        name: "chem-jit-1".to_owned(),
        runner_group_id: 1,
        labels: vec!["x64".to_owned()],
    };
    let start = clock.now();
    for _ in 0..150 {
        github.generate_jit(&scope, &request).await.expect("an answer");
    }
    let one_more = github.generate_jit(&scope, &request).await.map(|_| ());
    assert_eq!(limited_until(&one_more), start + TimeDelta::minutes(1));
    assert_eq!(server.asked().len(), 150);
    clock.advance(TimeDelta::minutes(1));
    github.generate_jit(&scope, &request).await.expect("an answer");
}

#[tokio::test]
async fn requests_and_their_outcomes_are_counted() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |asked| match asked.path.as_str() {
        "/meta" => Reply::HangUp,
        _ => json(404, Value::Null),
    });
    let observer = Arc::new(Requests(Mutex::default()));
    let calls = Arc::clone(&observer);
    let github = GitHubAdapter::observed(&settings(&server, app()), Arc::clone(&clock) as Arc<dyn Clock>, calls)
        .expect("an adapter");
    github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("no such run");
    github.is_simulated().await.expect_err("no answer");
    assert_eq!(
        *observer.0.lock().expect("the observer"),
        [
            ("installation", Some(200)),
            ("access_token", Some(201)),
            ("run", Some(404)),
            ("meta", None),
        ]
    );
}

#[tokio::test]
async fn fifty_requests_are_under_way_at_once_and_no_more() {
    let crowd = Arc::new(Crowd {
        arrivals: Semaphore::new(0),
        gate: Semaphore::new(0),
    });
    let held = Arc::clone(&crowd);
    let server = Scripted::bare(move |_| Reply::Held(Arc::clone(&held)));
    let github = Arc::new(adapter(&server, &ManualClock::new(), token()));
    let start = |purpose| {
        let github = Arc::clone(&github);
        tokio::spawn(async move { ask(&github, purpose).await })
    };
    let fifty: Vec<_> = (0..50).map(|_| start(Purpose::Judge)).collect();
    let arrived = tokio::time::timeout(Duration::from_secs(20), crowd.arrivals.acquire_many(50)).await;
    arrived.expect("fifty in time").expect("a count").forget();

    let mut one_more = start(Purpose::Admit);
    let waited = tokio::time::timeout(Duration::from_millis(200), &mut one_more).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(server.asked().len(), 50);

    crowd.gate.add_permits(51);
    for call in fifty.into_iter().chain([one_more]) {
        call.await.expect("no panic").expect("a run");
    }
}

#[tokio::test]
async fn a_run_at_first_sight_gets_at_half_of_the_reserve_and_a_cancellation_at_none() {
    let clock = ManualClock::new();
    let reset = clock.now() + TimeDelta::minutes(20);
    let left = Arc::new(AtomicUsize::new(500));
    let counted = Arc::clone(&left);
    let server = Scripted::bare(move |asked| {
        let remaining = counted.load(Ordering::SeqCst).to_string();
        let body = if asked.method == "GET" { run_body() } else { value!({}) };
        let quota = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", remaining.as_str()),
            ("x-ratelimit-reset", &reset.timestamp().to_string()),
        ];
        with_headers(if asked.method == "GET" { 200 } else { 202 }, &quota, body)
    });
    let github = adapter(&server, &clock, token());
    let cancel = async || github.cancel_run(&repository(), RunId(5)).await.map(|_| ());
    let force_cancel = async || github.force_cancel_run(&repository(), RunId(5)).await.map(|_| ());
    ask(&github, Purpose::Admit).await.expect("500 are left");
    cancel().await.expect("the reserve is whole");

    left.store(499, Ordering::SeqCst);
    ask(&github, Purpose::Admit).await.expect("499 are left");
    assert_eq!(limited_until(&cancel().await), reset);
    assert_eq!(limited_until(&force_cancel().await), reset);
    left.store(249, Ordering::SeqCst);
    ask(&github, Purpose::Sight).await.expect("half of the reserve");
    assert_eq!(limited_until(&ask(&github, Purpose::Sight).await), reset);
    ask(&github, Purpose::Admit).await.expect("kept for this");
}

#[tokio::test]
async fn a_crowd_at_once_does_not_get_at_the_reserve() {
    let clock = ManualClock::new();
    let reset = clock.now() + TimeDelta::minutes(20);
    let left = Arc::new(AtomicUsize::new(511));
    let counted = Arc::clone(&left);
    let server = Scripted::bare(move |_| {
        let remaining = counted.fetch_sub(1, Ordering::SeqCst) - 1;
        let quota = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", &*remaining.to_string()),
            ("x-ratelimit-reset", &*reset.timestamp().to_string()),
        ];
        with_headers(200, &quota, run_body())
    });
    let github = adapter(&server, &clock, token());
    ask(&github, Purpose::Judge)
        .await
        .expect("the first tells of the quota");
    let crowd = futures::future::join_all((0..40).map(|_| ask(&github, Purpose::Judge))).await;
    assert!(crowd.iter().any(Result::is_ok));
    assert!(crowd.iter().any(Result::is_err));
    assert!(left.load(Ordering::SeqCst) >= 499, "{left:?} are left");
}

#[tokio::test]
async fn calls_of_one_endpoint_stay_below_githubs_limit_for_a_minute() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| json(200, run_body()));
    let github = adapter(&server, &clock, token());
    let until = clock.now() + TimeDelta::minutes(1);
    for (purpose, more) in [(Purpose::Judge, 600), (Purpose::Sight, 100), (Purpose::Admit, 100)] {
        for _ in 0..more {
            ask(&github, purpose).await.expect("an answer");
        }
        assert_eq!(limited_until(&ask(&github, purpose).await), until, "{purpose:?}");
    }
    assert_eq!(server.asked().len(), 800);
    let other = github.repository(&repository(), Purpose::Judge).await;
    assert!(
        matches!(other, Err(Failure::Transient(_))),
        "another endpoint is asked: {other:?}"
    );
    clock.advance(TimeDelta::minutes(1));
    ask(&github, Purpose::Judge).await.expect("a new minute");
}

//! The wire: hangs, drops, redirects, repeats, tags, and what must never show.

use crate::support::scripted::{
    ManualClock, Reply, Scripted, adapter, app, hasty_adapter, json, repository, run_body, settings, token,
    with_headers,
};
use jitgate::adapters::github::{GitHubAdapter, Settings};
use jitgate::domain::ids::{JobId, RepositoryId, RunId, RunnerId};
use jitgate::ports::github::{JitOutcome, JitRequest, Purpose, RunnerScope};
use jitgate::ports::{Clock, Failure, GitHub};
use serde_json::{Value, json as value};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Makes the same reply again and again.
type Replying = fn() -> Reply;

fn jit_request() -> JitRequest {
    JitRequest {
        name: "chem-jit-1".to_owned(),
        runner_group_id: 1,
        labels: vec!["self-hosted".to_owned(), "x64".to_owned()],
    }
}

#[tokio::test]
async fn a_github_that_hangs_trickles_or_floods_is_given_up_on() {
    let clock = ManualClock::new();
    let replies: [Replying; 4] = [|| Reply::Hang, || Reply::HangUp, || Reply::Trickle, || Reply::Flood];
    for reply in replies {
        let server = Scripted::bare(move |_| reply());
        let github = match reply() {
            Reply::Flood => adapter(&server, &clock, token()),
            _ => hasty_adapter(&server, &clock, token()),
        };
        let begun = tokio::time::Instant::now();
        let run = github.run(&repository(), RunId(5), Purpose::Judge).await;
        assert!(matches!(run, Err(Failure::Transient(_))), "{run:?}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_transient_failure() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| Reply::Hang);
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let nowhere = Settings {
        api_url: format!("http://{}", port.local_addr().expect("its address")),
        ..settings(&server, token())
    };
    drop(port);
    let github = GitHubAdapter::new(&nowhere, Arc::clone(&clock) as Arc<dyn Clock>).expect("an adapter");
    let Err(Failure::Transient(text)) = github.reachable().await else {
        panic!("it was reached");
    };
    assert!(
        text.starts_with("GET /rate_limit: ") && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn a_jit_request_is_sent_exactly_once_after_any_failure() {
    let clock = ManualClock::new();
    let replies: [(&str, Replying); 6] = [
        ("transient", || Reply::HangUp),
        ("transient", || Reply::Hang),
        ("transient", || json(503, value!({"message": "Unicorn"}))),
        ("transient", || {
            json(201, value!({"runner": null, "encoded_jit_config": "c2VjcmV0"}))
        }),
        ("taken", || json(409, value!({"message": "Already exists"}))),
        ("permanent", || {
            json(403, value!({"message": "Resource not accessible by integration"}))
        }),
    ];
    for (expected, reply) in replies {
        let server = Scripted::bare(move |_| reply());
        let hangs = matches!(reply(), Reply::Hang);
        let github = if hangs { hasty_adapter } else { adapter }(&server, &clock, token());
        let outcome = github
            .generate_jit(&RunnerScope::Repository(repository()), &jit_request())
            .await;
        let got = match &outcome {
            Ok(JitOutcome::NameTaken) => "taken",
            Err(Failure::Transient(_)) => "transient",
            Err(Failure::Permanent(_)) => "permanent",
            _ => "something else",
        };
        assert_eq!(got, expected, "{outcome:?}");
        let sent = server.asked().len();
        assert!(sent == 1 || (hangs && sent == 0), "{sent} sent: {outcome:?}");
        assert!(!format!("{outcome:?}").contains("c2VjcmV0"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_jit_request_on_a_connection_that_dies_under_it_is_not_repeated() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|asked| match asked.method.as_str() {
        "GET" => json(200, run_body()),
        _ => Reply::HangUp,
    });
    let github = adapter(&server, &clock, token());
    github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("a run, and a connection to use again");
    let outcome = github
        .generate_jit(&RunnerScope::Repository(repository()), &jit_request())
        .await;
    assert!(matches!(outcome, Err(Failure::Transient(_))), "{outcome:?}");
    assert_eq!(server.count("generate-jitconfig"), 1);
}

#[tokio::test]
async fn an_answer_that_has_not_changed_is_not_sent_again() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|asked| {
        let status = if asked.path.ends_with("/6") {
            "completed"
        } else {
            "queued"
        };
        let tag = format!("\"{status}\"");
        match &asked.if_none_match {
            Some(known) if *known == tag => with_headers(304, &[("etag", &tag)], Value::Null),
            Some(other) => panic!("{other} was never given out"),
            None => with_headers(200, &[("etag", &tag)], value!({"id": 5, "run_id": 6, "status": status})),
        }
    });
    let github = adapter(&server, &clock, token());
    let repository = repository();
    let ask = |id| github.job(&repository, JobId(id), Purpose::Admit);
    let first = ask(5).await.expect("a job");
    let other = ask(6).await.expect("another job");
    assert_ne!(first, other);
    assert_eq!(ask(5).await.expect("the same job"), first);
    assert_eq!(server.asked().len(), 3, "every use is asked for");
    assert_eq!(server.asked()[2].if_none_match.as_deref(), Some("\"queued\""));
}

#[tokio::test]
async fn an_answer_that_has_changed_replaces_the_old_one() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|asked| match asked.if_none_match.as_deref() {
        None => with_headers(200, &[("etag", "\"a\"")], value!({"value": "true"})),
        Some("\"a\"") => with_headers(200, &[("etag", "W/\"b\"")], value!({"value": "false"})),
        Some(_) => json(304, Value::Null),
    });
    let github = adapter(&server, &clock, token());
    for expected in ["true", "false", "false"] {
        let variable = github
            .variable(&repository(), "ROUTING", Purpose::Judge)
            .await
            .expect("an answer");
        assert_eq!(variable.expect("a variable").value, expected);
    }
}

#[tokio::test]
async fn a_redirect_takes_our_token_nowhere() {
    let clock = ManualClock::new();
    let elsewhere = Scripted::bare(|_| json(200, run_body()));
    let target = elsewhere.url.clone();
    let server = Scripted::bare(move |_| with_headers(301, &[("location", &target)], Value::Null));
    let run = adapter(&server, &clock, token())
        .run(&repository(), RunId(5), Purpose::Judge)
        .await;
    let Err(Failure::Permanent(text)) = run else {
        panic!("{run:?}");
    };
    assert!(text.contains("renamed"), "{text}");
    assert!(elsewhere.asked().is_empty());
}

const HTML: &str = "<!DOCTYPE html><html><title>Page not found</title></html>";

/// The answers of balancers, captive portals and web sites: a status, a content type and a body.
fn pages() -> Vec<(u16, Option<&'static str>, &'static str)> {
    let mut pages = Vec::new();
    for status in [200, 201, 202, 301, 302, 307, 400, 401, 403, 404, 409, 410, 422, 429] {
        pages.push((status, Some("text/html; charset=utf-8"), HTML));
        pages.push((status, None, HTML));
        if status >= 300 {
            pages.push((status, None, ""));
            pages.push((status, Some("application/json"), r#"{"error": "no route"}"#));
            pages.push((status, Some("application/json"), r#"["message"]"#));
            pages.push((status, Some("application/json"), r#"{"message": 7}"#));
            pages.push((status, Some("text/plain"), r#"{"message": "Not Found"}"#));
        }
    }
    pages.push((204, Some("text/html"), ""));
    pages
}

#[tokio::test]
async fn a_page_that_is_not_githubs_word_is_no_answer() {
    for (status, content_type, body) in pages() {
        let server = Scripted::bare(move |_| Reply::Page(status, content_type, body));
        let github = adapter(&server, &ManualClock::new(), token());
        let (repository, run, job) = (repository(), RunId(5), JobId(5));
        let scope = RunnerScope::Repository(repository.clone());
        let answers = [
            github.run(&repository, run, Purpose::Judge).await.map(drop),
            github.job(&repository, job, Purpose::Judge).await.map(drop),
            github.permission(&repository, "ann", Purpose::Judge).await.map(drop),
            github.variable(&repository, "V", Purpose::Judge).await.map(drop),
            github.repository(&repository, Purpose::Judge).await.map(drop),
            github.cancel_run(&repository, run).await.map(drop),
            github.set_variable(&repository, "V", "false").await,
            github.generate_jit(&scope, &jit_request()).await.map(drop),
            github.delete_runner(&scope, RunnerId(5)).await.map(drop),
            github.reachable().await,
        ];
        for answer in answers {
            let Err(Failure::Transient(text)) = answer else {
                panic!("{status} {content_type:?} {body}: {answer:?}");
            };
            assert!(text.contains(&format!("answered {status} without the JSON")), "{text}");
            assert!(text.contains("/api/v3"), "{text}");
        }
    }
}

#[tokio::test]
async fn not_modified_without_our_asking_is_no_answer() {
    let server = Scripted::bare(|_| Reply::Page(304, None, ""));
    let github = adapter(&server, &ManualClock::new(), token());
    let run = github.run(&repository(), RunId(5), Purpose::Judge).await;
    assert!(matches!(run, Err(Failure::Transient(_))), "{run:?}");
    let reachable = github.reachable().await;
    assert!(matches!(reachable, Err(Failure::Transient(_))), "{reachable:?}");
}

#[tokio::test]
async fn a_page_teaches_nothing_of_quotas_and_limits() {
    let server = Scripted::bare(|asked| match asked.path.ends_with("/5") {
        true => Reply::Page(429, Some("text/html"), "<p>secondary rate limit, abuse</p>"),
        false => json(200, run_body()),
    });
    let github = adapter(&server, &ManualClock::new(), token());
    let page = github.run(&repository(), RunId(5), Purpose::Judge).await;
    assert!(matches!(page, Err(Failure::Transient(_))), "{page:?}");
    let run = github.run(&repository(), RunId(6), Purpose::Judge).await;
    run.expect("others are not held up").expect("a run");
}

#[tokio::test]
async fn an_api_below_a_path_is_asked_below_that_path() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| json(200, run_body()));
    for (base, asked) in [
        ("/api/v3/", "/api/v3/repos/octo/chem/actions/runs/5"),
        ("/repos", "/repos/repos/octo/chem/actions/runs/5"),
    ] {
        let below = Settings {
            api_url: format!("{}{base}", server.url),
            ..settings(&server, token())
        };
        let github = GitHubAdapter::new(&below, Arc::clone(&clock) as Arc<dyn Clock>).expect("an adapter");
        github
            .run(&repository(), RunId(5), Purpose::Judge)
            .await
            .expect("a run");
        assert_eq!(server.asked().last().expect("a request").path, asked);
    }
}

#[tokio::test]
async fn no_failure_and_no_debug_text_shows_a_secret() {
    let clock = ManualClock::new();
    let private_line = crate::support::scripted::KEY
        .private_pem
        .lines()
        .nth(1)
        .expect("a line of the key");
    let replies: [Replying; 6] = [
        || Reply::Hang,
        || Reply::HangUp,
        || json(500, value!({"message": "boom"})),
        || json(401, value!({"message": "Bad credentials"})),
        || json(403, value!({"message": "no\u{1b}[31m\r\nSet-Cookie: x"})),
        || json(201, value!({"token": "ghs_unreadable", "expires_at": "ghs_someday"})),
    ];
    for reply in replies {
        let server = Scripted::bare(move |asked| {
            if asked.path.ends_with("/installation") {
                json(200, value!({"id": 1}))
            } else {
                reply()
            }
        });
        for credentials in [app(), token()] {
            let settings = Settings {
                timeout: Duration::from_millis(200),
                ..settings(&server, credentials)
            };
            let github = GitHubAdapter::new(&settings, Arc::clone(&clock) as Arc<dyn Clock>).expect("an adapter");
            let failure = github
                .run(&repository(), RunId(5), Purpose::Judge)
                .await
                .expect_err("a failure");
            let shown = format!("{failure} {failure:?} {github:?} {settings:?}");
            for secret in [private_line, "ghp_fixed", "ghs_", "Bearer", "eyJ"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            assert!(!failure.to_string().contains(char::is_control), "{failure:?}");
        }
    }
}

/// The output of tracing.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("the log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_every_call_and_no_secret_at_any_level() {
    let written = Written::default();
    let sink = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |asked| match asked.method.as_str() {
        "GET" => json(200, value!([])),
        _ => json(201, value!({"runner": {"id": 9}, "encoded_jit_config": "c2VjcmV0"})),
    });
    let github = adapter(&server, &clock, app());
    let repository = repository();
    let pulls = github.pulls_of_head(&repository, "octo", "hush-hush", RepositoryId(1), Purpose::Judge);
    pulls.await.expect("a list");
    let outcome = github
        .generate_jit(&RunnerScope::Repository(repository), &jit_request())
        .await;
    outcome.expect("a runner");

    let log = String::from_utf8(written.0.lock().expect("the log").clone()).expect("text");
    for endpoint in ["installation", "access_token", "pulls", "generate_jit"] {
        assert!(log.contains(&format!("endpoint=\"{endpoint}\"")), "{log}");
    }
    for secret in ["ghs_", "Bearer", "eyJ", "c2VjcmV0", "hush-hush", "PRIVATE"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

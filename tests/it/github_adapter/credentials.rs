//! The credentials of the adapter: JWT, installations, tokens, and the handling of a 401.

use crate::support::scripted::{
    Asked, KEY, ManualClock, Scripted, adapter, app, hasty_adapter, json, repository, run_body, settings, token,
};
use chrono::TimeDelta;
use futures::future::join_all;
use jitgate::adapters::github::{Credentials, GitHubAdapter, Settings};
use jitgate::domain::ids::{RepositoryName, RunId};
use jitgate::ports::github::{JitOutcome, JitRequest, Purpose, RunnerScope};
use jitgate::ports::{Clock, Failure, GitHub};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json as value;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    exp: i64,
    iss: String,
}

fn bearer(asked: &Asked) -> &str {
    let authorization = asked.authorization.as_deref().expect("an authorization header");
    authorization.strip_prefix("Bearer ").expect("a bearer")
}

#[tokio::test]
async fn the_app_shows_a_short_lived_jwt_and_gets_a_token_with_just_the_permissions_needed() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(200, run_body()));
    let github = adapter(&server, &clock, app());
    github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("a run");

    let asked = server.asked();
    let lines: Vec<String> = asked.iter().map(Asked::line).collect();
    assert_eq!(
        lines,
        [
            "GET /repos/octo/chem/installation",
            "POST /app/installations/104/access_tokens",
            "GET /repos/octo/chem/actions/runs/5",
        ]
    );
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    let key = DecodingKey::from_rsa_pem(KEY.public_pem.as_bytes()).expect("a public key");
    let now = clock.now().timestamp();
    for request in &asked[..2] {
        let claims: Claims = jsonwebtoken::decode(bearer(request), &key, &validation)
            .expect("our signature")
            .claims;
        assert_eq!(
            (claims.iat, claims.exp, claims.iss.as_str()),
            (now - 60, now + 540, "4711")
        );
    }
    assert_eq!(
        asked[1].body,
        value!({
            "repositories": ["chem"],
            "permissions": {
                "actions": "write",
                "actions_variables": "write",
                "contents": "read",
                "metadata": "read",
                "pull_requests": "read",
            }
        })
    );
    assert_eq!(bearer(&asked[2]), "ghs_first");
}

#[tokio::test]
async fn only_a_token_for_runners_may_administer_and_one_for_an_organization_only_its_runners() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(200, value!({"runners": []})));
    let github = adapter(&server, &clock, app());
    let scopes = [
        RunnerScope::Repository(repository()),
        RunnerScope::Organization(repository()),
    ];
    for scope in &scopes {
        github.runners_named(scope, "chem-jit-1").await.expect("a list");
    }
    let bodies: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|a| a.path.ends_with("tokens"))
        .map(|a| a.body)
        .collect();
    assert_eq!(
        bodies,
        [
            value!({"repositories": ["chem"], "permissions": {"administration": "write"}}),
            value!({"permissions": {"organization_self_hosted_runners": "write"}}),
        ]
    );
    assert_eq!(
        server.count("/installation"),
        3,
        "the installation was looked up once: {:?}",
        server.asked()
    );
    assert_eq!(server.count("GET /orgs/octo/actions/runners"), 1);
}

#[tokio::test]
async fn fifty_callers_share_one_token() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(200, run_body()));
    let github = adapter(&server, &clock, app());
    let repository = repository();
    let runs = (0..50).map(|id| github.run(&repository, RunId(id), Purpose::Judge));
    for run in join_all(runs).await {
        run.expect("a run");
    }
    assert_eq!(server.count("access_tokens"), 1);
    assert_eq!(server.count("GET /repos/octo/chem/installation"), 1);
    assert_eq!(server.count("actions/runs"), 50);
}

#[tokio::test]
async fn fifty_callers_share_one_failure_too() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| crate::support::scripted::Reply::Hang);
    let github = hasty_adapter(&server, &clock, app());
    let repository = repository();
    let runs = (0..50).map(|id| github.run(&repository, RunId(id), Purpose::Judge));
    for run in join_all(runs).await {
        assert!(matches!(run, Err(Failure::Transient(_))), "{run:?}");
    }
    assert!(
        server.asked().len() <= 1,
        "one looks the installation up, and fifty wait for it"
    );
}

#[tokio::test]
async fn a_token_is_replaced_five_minutes_before_it_expires() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(200, run_body()));
    let github = adapter(&server, &clock, app());
    for (minutes, tokens) in [(0, 1), (54, 1), (1, 2), (54, 2)] {
        clock.advance(TimeDelta::minutes(minutes));
        github
            .run(&repository(), RunId(5), Purpose::Judge)
            .await
            .expect("a run");
        assert_eq!(server.count("access_tokens"), tokens, "at {}", clock.now());
    }
    assert_eq!(bearer(server.asked().last().expect("a request")), "ghs_second");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_any_call_is_repeated_once() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |asked| match bearer(asked) {
        "ghs_first" => json(401, value!({"message": "Bad credentials"})),
        _ => json(201, value!({"runner": {"id": 9}, "encoded_jit_config": "c2VjcmV0"})),
    });
    let github = adapter(&server, &clock, app());
    let request = JitRequest {
        name: "chem-jit-1".to_owned(),
        runner_group_id: 1,
        labels: vec!["x64".to_owned()],
    };
    let outcome = github
        .generate_jit(&RunnerScope::Repository(repository()), &request)
        .await;
    assert!(matches!(outcome, Ok(JitOutcome::Made(_))), "{outcome:?}");
    assert_eq!(
        server.count("generate-jitconfig"),
        2,
        "the first did nothing but fail to log in"
    );
    assert_eq!(server.count("access_tokens"), 2);
}

#[tokio::test]
async fn a_second_401_is_final_and_names_the_source_of_the_credential() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(401, value!({"message": "Bad credentials"})));
    let by_app = adapter(&server, &clock, app())
        .run(&repository(), RunId(5), Purpose::Judge)
        .await;
    let Err(Failure::Permanent(text)) = by_app else {
        panic!("{by_app:?}");
    };
    assert!(text.contains("app 4711"), "{text}");
    assert_eq!((server.count("actions/runs"), server.count("access_tokens")), (2, 2));

    let by_token = adapter(&server, &clock, token())
        .run(&repository(), RunId(5), Purpose::Judge)
        .await;
    let Err(Failure::Permanent(text)) = by_token else {
        panic!("{by_token:?}");
    };
    assert!(text.contains("configured token"), "{text}");
    assert_eq!(server.count("actions/runs"), 3, "there is no other token to try");
}

#[tokio::test]
async fn a_missing_permission_of_the_app_is_named() {
    let clock = ManualClock::new();
    let cases = [
        ("installation", 401, "JWT of app 4711"),
        ("installation", 404, "app 4711 is not installed on octo/chem"),
        ("access_tokens", 404, "app 4711 has no installation 104"),
        (
            "access_tokens",
            422,
            "actions:write, actions_variables:write, contents:read, metadata:read, pull_requests:read",
        ),
    ];
    for (place, status, said) in cases {
        let server = Scripted::bare(move |asked| {
            if asked.path.ends_with(place) {
                json(status, value!({"message": "No."}))
            } else {
                json(200, value!({"id": 104}))
            }
        });
        let run = adapter(&server, &clock, app())
            .run(&repository(), RunId(5), Purpose::Judge)
            .await;
        let Err(Failure::Permanent(text)) = run else {
            panic!("{run:?}");
        };
        assert!(text.contains(said), "{text}");
        assert!(text.ends_with("No.") || status == 404, "{text}");
    }
}

#[tokio::test]
async fn an_app_that_was_installed_anew_is_found_again() {
    let clock = ManualClock::new();
    let installations = AtomicUsize::new(1);
    let expires_at = clock.now() + TimeDelta::hours(1);
    let server = Scripted::bare(move |asked| match asked.line().as_str() {
        "GET /repos/octo/chem/installation" => json(200, value!({"id": installations.fetch_add(1, Ordering::SeqCst)})),
        "POST /app/installations/1/access_tokens" => json(404, value!({"message": "Not Found"})),
        "POST /app/installations/2/access_tokens" => json(201, value!({"token": "ghs_x", "expires_at": expires_at})),
        _ => json(200, run_body()),
    });
    let github = adapter(&server, &clock, app());
    let first = github.run(&repository(), RunId(5), Purpose::Judge).await;
    assert!(matches!(first, Err(Failure::Permanent(_))), "{first:?}");
    github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("a run");
}

#[tokio::test]
async fn each_owner_has_an_installation_and_a_configured_one_is_not_looked_up() {
    let clock = ManualClock::new();
    let server = Scripted::start(&clock, |_| json(200, run_body()));
    let github = adapter(&server, &clock, app());
    for name in ["octo/chem", "octopus/chem"] {
        let repository = RepositoryName::parse(name).expect("a name");
        github.run(&repository, RunId(5), Purpose::Judge).await.expect("a run");
    }
    assert_eq!(
        (server.count("installations/104"), server.count("installations/107")),
        (1, 1)
    );

    let server = Scripted::start(&clock, |_| json(200, run_body()));
    let Credentials::App {
        app_id, private_key, ..
    } = app()
    else {
        panic!("an app");
    };
    let configured = Credentials::App {
        app_id,
        private_key,
        installation_id: Some(7),
    };
    let github = adapter(&server, &clock, configured);
    github
        .run(&repository(), RunId(5), Purpose::Judge)
        .await
        .expect("a run");
    assert_eq!(
        (server.count("chem/installation"), server.count("installations/7/")),
        (0, 1)
    );
}

#[tokio::test]
async fn unusable_credentials_are_refused_at_once_without_being_shown() {
    let clock = ManualClock::new();
    let server = Scripted::bare(|_| json(200, run_body()));
    let not_a_key = Credentials::App {
        app_id: "4711".to_owned(),
        private_key: SecretString::from("hush hush"),
        installation_id: None,
    };
    let not_a_token = Credentials::Token(SecretString::from("hush\nhush"));
    for (credentials, said) in [(not_a_key, "app 4711"), (not_a_token, "token")] {
        let settings: Settings = settings(&server, credentials);
        let refused = GitHubAdapter::new(&settings, Arc::clone(&clock) as Arc<dyn Clock>).expect_err("a refusal");
        let shown = format!("{refused} {refused:?} {settings:?}");
        assert!(refused.to_string().contains(said) && !shown.contains("hush"), "{shown}");
    }
}

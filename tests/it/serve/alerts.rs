//! Alerts reach those who are to be told, whatever happens on the way, and nothing an outsider writes does anything there.

use super::alertmanager::Alertmanager;
use super::outage::Hanging;
use super::story::Story;
use crate::support::gate::{Gate, OLD_SECRET, Place, TIMEOUT, often};
use crate::support::payload::{guid, sign};
use crate::support::receiver::{Received, Receiver};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

const WEBHOOK_SECRET: &str = "what gate and receiver share";
const OUTSIDER_ON_SELF_HOSTED: &str = "untrusted-on-self-hosted";

/// Names by an outsider: they end lines, control terminals, mention users, link, format, reorder and hide text.
const HOSTILE: &str = "x\r\n<!channel> @here <@U1|a> [b](https://evil.example) *c* _d_ ~e~ `f` :g: # h\u{1b}[2J\u{202e}\
                       \u{200b}\u{85}\u{2028}<script>i</script>&amp;$(j)${k}";

/// Outsiders' jobs, from 101 on, each of a pull request of its own.
fn outsiders(names: &[&str]) -> Value {
    let numbered = || (1_u64..).zip(names);
    let pulls = numbered().map(|(n, name)| {
        json!({"number": n, "author": name, "association": "NONE", "files": [".github/workflows/ci.yml"],
            "head": {"repository": format!("mallory-{n}/chem-model"), "branch": name}})
    });
    let runs = numbered().map(|(n, name)| json!({"id": n, "pull": n, "jobs": [{"id": 100 + n, "name": name}]}));
    json!({"variables": {"CI_SELF_HOSTED_TRUSTED_ROUTING": "true"},
        "pulls": pulls.collect::<Vec<_>>(), "runs": runs.collect::<Vec<_>>()})
}

fn is_open(request: &Received) -> bool {
    request.was_taken() && request.json()["alert"]["state"] == "open"
}

/// The HMAC of a body, by openssl.
fn hmac(body: &str) -> String {
    let spawned = Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", WEBHOOK_SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = spawned.expect("openssl is missing: install the Debian package `openssl`");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(body.as_bytes()).expect("openssl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8(output.stdout).expect("text");
    text.trim().rsplit_once(' ').expect("NAME= DIGEST").1.to_owned()
}

/// Asks for the metrics again and again, until all samples are there.
async fn counted_until(gate: &Gate, samples: &[&str]) {
    let deadline = Instant::now() + TIMEOUT;
    let mut often = often();
    loop {
        often.tick().await;
        let request = gate.http.get(format!("http://{}/metrics", gate.admin));
        let answer = request.bearer_auth(&gate.token).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        if samples.iter().all(|sample| text.contains(sample)) {
            return;
        }
        assert!(Instant::now() < deadline, "{samples:?} are not all in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_hears_of_an_alert_and_that_it_is_over() {
    let alertmanager = Alertmanager::start().await;
    let settings = [
        ("alerts.alertmanager_url", alertmanager.url.as_str()),
        ("store.url", "sqlite:store/jitgate.db"),
    ];
    let mut story = Story::of(outsiders(&["mallory", "trudy"]), &settings).await;
    story.deliver("queued", 101).await;
    story.deliver("queued", 102).await;
    let firing = alertmanager.firing_until(|firing| firing.len() == 2).await;
    for alert in &firing {
        let labels = alert["labels"].as_object().expect("labels");
        let names: Vec<&str> = labels.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["alert", "alertname", "repository", "service", "severity", "verdict"]
        );
        assert_eq!(labels["alertname"], OUTSIDER_ON_SELF_HOSTED);
        assert_eq!(labels["severity"], "critical");
        assert_eq!(labels["repository"], "octo-org/chem-model");
        assert_eq!(labels["verdict"], "attempt");
        let summary = alert["annotations"]["summary"].as_str().expect("a summary");
        assert!(summary.contains("is not trusted (fork, association:NONE)"), "{summary}");
    }
    // One is resolved beside the gate, the other through it.
    let id = |at: usize| firing[at]["labels"]["alert"].as_str().expect("an id");
    let by_command = ["alert", "resolve", &id(0)[..6], "--by", "alice"];
    let mut command = story.gate.place.start(&by_command, &settings);
    assert_eq!(command.code().await, Some(0), "{}", command.err.text());
    let left = alertmanager.firing_until(|firing| firing.len() == 1).await;
    assert_eq!(left[0]["labels"]["alert"], id(1));
    assert_eq!(story.gate.say(&format!("{}/resolve", id(1)), "").await.status, 200);
    alertmanager.firing_until(|firing| firing.is_empty()).await;
    let listed = story.gate.ask("/api/v1/alerts?state=resolved").await.body;
    let mut by: Vec<&str> = listed["alerts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|alert| alert["resolved_by"].as_str())
        .collect();
    by.sort_unstable();
    assert_eq!(by, ["admin API", "alice"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alertmanager_hears_of_an_escalation_as_an_alert_of_its_own() {
    let alertmanager = Alertmanager::start().await;
    let settings = [
        ("alerts.alertmanager_url", alertmanager.url.as_str()),
        ("alerts.ack_deadline_s", "1"),
        ("alerts.owners.primary", "ci"),
        ("alerts.owners.secondary", "infrastructure"),
        ("store.url", "sqlite:store/jitgate.db"),
    ];
    let mut story = Story::of(outsiders(&["mallory"]), &settings).await;
    story.deliver("queued", 101).await;
    let firing = alertmanager.firing_until(|firing| firing.len() == 2).await;
    let (escalations, alerts): (Vec<&Value>, Vec<&Value>) = firing
        .iter()
        .partition(|alert| alert["labels"]["escalation"] == "acknowledgement");
    let (escalation, alert) = (escalations[0], alerts[0]);
    assert_eq!(escalation["labels"]["escalated_to"], "infrastructure");
    assert_eq!(escalation["labels"]["alert"], alert["labels"]["alert"]);
    assert_eq!(alert["annotations"]["owner"], "infrastructure");
    assert!(
        alert["labels"]["escalated_to"].is_null(),
        "the labels of an alert stay as they are: {alert}"
    );
    // An acknowledgement ends the escalation and not the alert.
    let id = alert["labels"]["alert"].as_str().expect("an id").to_owned();
    assert_eq!(
        story.gate.say(&format!("{id}/ack"), r#"{"by": "alice"}"#).await.status,
        200
    );
    let left = alertmanager.firing_until(|firing| firing.len() == 1).await;
    assert!(left[0]["labels"]["escalation"].is_null(), "{left:#?}");
    let is_handled = |answer: &Value| answer["incidents"][0]["state"] == "handled";
    let incidents = story.gate.ask_until("/api/v1/incidents", is_handled).await;
    assert_eq!(incidents["incidents"][0]["escalations"][0]["to"], "infrastructure");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_sent_although_receivers_fail_and_the_worker_is_killed() {
    let (slack, webhook) = (Receiver::start().await, Receiver::start().await);
    let (slack_url, webhook_url) = (
        format!("{}/secret-path", slack.url),
        format!("{}/alerts?a=b", webhook.url),
    );
    let settings = [
        ("alerts.slack_webhook_url", slack_url.as_str()),
        ("alerts.webhook_url", &webhook_url),
        ("alerts.webhook_secret", WEBHOOK_SECRET),
        ("store.url", "sqlite:store/jitgate.db"),
    ];
    slack.answers(302);
    webhook.answers(503);
    let mut story = Story::of(outsiders(&["mallory"]), &settings).await;
    story.deliver("queued", 101).await;
    slack.until(|_| true).await;
    webhook.until(|_| true).await;
    let log = story.gate.process.err.line_with("to slack; it is sent again").await;
    assert!(log.contains("Slack answered 302; redirects are not followed"), "{log}");
    counted_until(
        &story.gate,
        &[
            r#"jitgate_alert_deliveries_total{sink="slack",result="failed"}"#,
            r#"jitgate_alert_deliveries_total{sink="log",result="delivered"} 1"#,
            r#"jitgate_alerts_open{severity="critical"} 1"#,
        ],
    )
    .await;

    let mut log = story.gate.process.err.text();
    let place = story.gate.killed();
    slack.answers(200);
    webhook.answers(200);
    let gate = Gate::start_in(place, story.simulator.url(), &settings, &[]).await;
    let told = slack.until(Received::was_taken).await;
    assert!(
        told.json()["text"]
            .as_str()
            .expect("text")
            .contains("CRITICAL: untrusted-on-self-hosted")
    );
    let told = webhook.until(is_open).await;
    assert_eq!(told.path, "/alerts?a=b");
    let body = told.json();
    assert_eq!(
        told.headers["x-jitgate-signature-256"],
        format!("sha256={}", hmac(&told.body))
    );
    assert_eq!(told.headers["x-jitgate-delivery"], body["id"].as_str().expect("an id"));
    let sent_at: chrono::DateTime<chrono::Utc> = serde_json::from_value(body["sent_at"].clone()).expect("a time");
    assert_eq!(told.headers["x-jitgate-timestamp"], sent_at.timestamp().to_string());
    assert_eq!(body["alert"]["kind"], OUTSIDER_ON_SELF_HOSTED);
    assert_eq!(body["alert"]["count"], 1);

    // The action of a person is sent as well, and then no notification is left.
    let id = body["alert"]["id"].as_str().expect("an id");
    assert_eq!(gate.say(&format!("{id}/ack"), r#"{"by": "alice"}"#).await.status, 200);
    webhook
        .until(|request| request.json()["alert"]["acked_by"] == "alice")
        .await;
    assert_eq!(gate.say(&format!("{id}/resolve"), "").await.status, 200);
    webhook
        .until(|request| request.json()["alert"]["state"] == "resolved")
        .await;
    slack
        .until(|request| {
            request.json()["text"]
                .as_str()
                .is_some_and(|text| text.contains("resolved by"))
        })
        .await;
    let is_settled = |alert: &Value| {
        let told = alert["told"].as_object().expect("sinks");
        told.len() == 3 && told.values().all(|told| told["revision"] == alert["revision"])
    };
    gate.ask_until("/api/v1/alerts", |answer| is_settled(&answer["alerts"][0]))
        .await;
    log.push_str(&gate.process.err.text());
    for secret in ["secret-path", WEBHOOK_SECRET, "a=b"] {
        assert!(!log.contains(secret), "{secret} is in {log}");
    }
    assert_eq!(
        slack
            .all()
            .iter()
            .filter(|request| request.path != "/secret-path")
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_no_other_receiver() {
    let (slack, webhook) = (Hanging::start().await, Receiver::start().await);
    let settings = [
        ("alerts.slack_webhook_url", slack.url.as_str()),
        ("alerts.webhook_url", &webhook.url),
        ("alerts.webhook_secret", WEBHOOK_SECRET),
    ];
    let names: Vec<String> = (1..=10).map(|n| format!("mallory-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut story = Story::of(outsiders(&names), &settings).await;
    let begun = Instant::now();
    for job in 101..=110 {
        story.deliver("queued", job).await;
    }
    webhook.until(|request| request.json()["alert"]["job_id"] == 110).await;
    // One answer of Slack's is waited for for 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    story.gate.process.terminate();
    assert_eq!(story.gate.process.code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_outsiders_is_inert_everywhere() {
    let alertmanager = Alertmanager::start().await;
    let (slack, webhook) = (Receiver::start().await, Receiver::start().await);
    let settings = [
        ("alerts.alertmanager_url", alertmanager.url.as_str()),
        ("alerts.slack_webhook_url", &slack.url),
        ("alerts.webhook_url", &webhook.url),
        ("alerts.webhook_secret", WEBHOOK_SECRET),
        ("store.url", "sqlite:store/jitgate.db"),
    ];
    let long = "x".repeat(100_000);
    let mut story = Story::of(outsiders(&[HOSTILE, &long]), &settings).await;
    story.deliver("queued", 101).await;
    story.deliver("queued", 102).await;
    let firing = alertmanager.firing_until(|firing| firing.len() == 2).await;
    let mut written: Vec<String> = firing
        .iter()
        .flat_map(|alert| {
            let texts = ["labels", "annotations"].map(|part| alert[part].as_object().expect("texts").clone());
            texts.into_iter().flatten().filter(|(name, _)| name != "remedy")
        })
        .filter_map(|(_, text)| text.as_str().map(str::to_owned))
        .collect();
    for job in [101, 102] {
        let told = webhook.until(|request| request.json()["alert"]["job_id"] == job).await;
        written.push(told.json()["alert"]["summary"].as_str().expect("text").to_owned());
        let part = format!("job {job}");
        let in_chat = |request: &Received| request.json()["text"].as_str().map(str::to_owned);
        let told = slack
            .until(|request| in_chat(request).is_some_and(|text| text.contains(&part)))
            .await;
        assert!(!in_chat(&told).expect("text").contains("<!"));
        // The rest of the text is jitgate's own.
        let text = in_chat(&told).expect("text");
        written.push(text.split("\nRemedy").next().expect("text").to_owned());
    }
    let mut command = story.gate.place.start(&["alert", "list"], &settings);
    assert_eq!(command.code().await, Some(0));
    written.extend(command.out.text().lines().map(str::to_owned));
    let alerts = story.gate.ask("/api/v1/alerts").await.body;
    for alert in alerts["alerts"].as_array().expect("a list") {
        written.extend(["key", "summary"].map(|key| alert[key].as_str().expect("text").to_owned()));
    }
    assert!(written.len() > 20, "{written:#?}");
    for text in &written {
        let markup = [
            "<",
            ">",
            "`",
            "*",
            "~",
            "@",
            "](",
            "://",
            ":g:",
            "_d_",
            "# h",
            "evil.example",
            "&amp",
            "$(",
            "${",
        ];
        for part in markup {
            assert!(!text.contains(part), "{part} is in {text:?}");
        }
        assert!(
            !text.contains(|c: char| c.is_control() || "\u{202e}\u{200b}\u{2028}".contains(c)),
            "{text:?}"
        );
        assert!(text.chars().count() < 1000, "{} characters", text.chars().count());
    }
    let hostile_is_there = written.iter().any(|text| text.contains("＜!channel＞ ＠here"));
    assert!(hostile_is_there, "a person can still read it: {written:#?}");
    story.gate.process.terminate();
    assert_eq!(story.gate.process.code().await, Some(0));
    for line in story.gate.process.err.text().lines() {
        let event: Value = serde_json::from_str(line).expect("a line of ours");
        assert!(event["timestamp"].is_string(), "{line}");
        if let Some(text) = event["message"].as_str().filter(|text| text.starts_with("alert ")) {
            assert!(!text.contains(['<', '@', '`']), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_are_validated() {
    let mut story = Story::of(outsiders(&["mallory"]), &[]).await;
    story.deliver("queued", 101).await;
    let gate = &story.gate;
    let alert = gate
        .ask("/api/v1/alerts?state=open&kind=untrusted-on-self-hosted")
        .await
        .body["alerts"][0]
        .clone();
    let id = alert["id"].as_str().expect("an id");
    assert!(
        id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
    let ack = format!("{id}/ack");
    for (path, body, status) in [
        (ack.as_str(), "{", 400),
        (&ack, r#"{"who": "alice"}"#, 400),
        (&ack, &"x".repeat(5000), 413),
        ("0123456789abcdef/ack", "", 404),
        ("%2e%2e/ack", "", 404),
        (&format!("{}/ack", &id[..8]), "", 404),
    ] {
        let answer = gate.say(path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let bare = gate.http.post(format!("http://{}/api/v1/alerts/{ack}", gate.admin));
    assert_eq!(crate::support::gate::read(bare).await.status, 401);
    let asked = gate.ask(&format!("/api/v1/alerts/{ack}")).await;
    assert_eq!((asked.status, asked.header("allow")), (405, "POST"));
    for query in ["state=closed", "kind=x", "colour=red"] {
        assert_eq!(
            gate.ask(&format!("/api/v1/alerts?{query}")).await.status,
            400,
            "{query}"
        );
    }
    let acked = gate.say(&ack, r#"{"by": "al\nice<!here>"}"#).await.body["alert"].clone();
    assert_eq!(
        (&acked["state"], &acked["acked_by"]),
        (&json!("acked"), &json!("al ice＜!here＞"))
    );
    let again = gate.say(&ack, r#"{"by": "bob"}"#).await.body["alert"].clone();
    assert_eq!(again["acked_by"], acked["acked_by"], "the first one stays");
    assert_eq!(
        gate.say(&format!("{id}/resolve"), "").await.body["alert"]["state"],
        "resolved"
    );
    let late = gate.say(&ack, "").await;
    assert_eq!((late.status, late.body["type"].as_str()), (409, Some("resolved")));
    for (query, count) in [
        ("", 1),
        ("?state=open,acked", 0),
        ("?repository=Octo-Org/Chem-Model", 1),
        ("?limit=0", 0),
    ] {
        let listed = gate.ask(&format!("/api/v1/alerts{query}")).await.body;
        assert_eq!(
            listed["alerts"].as_array().map(Vec::len),
            Some(count),
            "{query}: {listed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_webhook_secret_raises_one_alert() {
    let github = Hanging::start().await;
    let gate = Gate::start_in(Place::new(), &github.url, &[], &[]).await;
    for number in 1..=20 {
        let old = gate
            .request(reqwest::Method::POST, "/webhooks/github")
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "ping")
            .header("X-GitHub-Delivery", guid(number))
            .header("X-Hub-Signature-256", sign(OLD_SECRET, b"{}"))
            .body("{}");
        assert_eq!(crate::support::gate::read(old).await.status, 200);
    }
    let alerts = gate
        .ask_until("/api/v1/alerts", |answer| !answer["alerts"][0].is_null())
        .await;
    let alert = &alerts["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["count"]),
        (&json!("old-webhook-secret-used"), &json!(1))
    );
    assert_eq!((&alert["repository"], &alert["job_id"]), (&json!("-"), &Value::Null));
}

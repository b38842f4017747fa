//! Machines that reach the world by a proxy only.

use crate::support::gate::{Gate, OLD_SECRET, Place, read};
use crate::support::payload::{body, guid, sign};
use crate::support::receiver::Receiver;
use reqwest::Method;

const WEB: (&str, &str) = ("github.api_url", "https://github.invalid/api/v3");
const PLAIN: (&str, &str) = ("github.api_url", "http://github.invalid/api/v3");

/// Returns the requests to the proxy while `jitgate verify` calls GitHub.
async fn asked_of(proxy: &Receiver, first: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let before = proxy.all().len();
    let place = Place::new();
    let mut process = place.start_after(first, &["verify"], settings);
    assert!(
        process.code().await.is_some_and(|code| code != 0 && code != 3),
        "{}",
        process.err.text()
    );
    let asked = proxy.all().into_iter().skip(before);
    asked.map(|request| request.path).collect()
}

#[tokio::test]
async fn github_is_reached_by_the_proxy_that_the_environment_names() {
    let proxy = Receiver::start().await;
    proxy.answers(502);
    let (url, place) = (proxy.url.as_str(), proxy.url.trim_start_matches("http://"));
    for first in [
        format!("export HTTPS_PROXY={url}"),
        format!("export https_proxy={place}"),
        format!("export ALL_PROXY={url}"),
        format!("export HTTPS_PROXY={url} NO_PROXY=example.com,notgithub.invalid"),
    ] {
        let asked = asked_of(&proxy, &first, &[WEB]).await;
        assert!(
            !asked.is_empty() && asked.iter().all(|path| path == "github.invalid:443"),
            "{first}: {asked:?}"
        );
    }
    let asked = asked_of(&proxy, &format!("export HTTP_PROXY={url}"), &[PLAIN]).await;
    assert!(
        asked
            .iter()
            .any(|path| path.starts_with("http://github.invalid/api/v3/")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn hosts_that_need_no_proxy_are_reached_without() {
    let proxy = Receiver::start().await;
    proxy.answers(502);
    let url = proxy.url.as_str();
    for (first, setting) in [
        (format!("export HTTPS_PROXY={url} NO_PROXY=github.invalid"), WEB),
        (format!("export HTTPS_PROXY={url} no_proxy=.invalid"), WEB),
        (format!("export HTTPS_PROXY={url} NO_PROXY=\\*"), WEB),
        (format!("export HTTP_PROXY={url}"), WEB),
        (format!("export HTTPS_PROXY={url}"), PLAIN),
        // Our loopback is not the proxy's.
        (
            format!("export HTTP_PROXY={url}"),
            ("github.api_url", "http://127.0.0.1:9"),
        ),
        (
            format!("export HTTP_PROXY={url}"),
            ("github.api_url", "http://localhost:9"),
        ),
    ] {
        assert_eq!(asked_of(&proxy, &first, &[setting]).await, [] as [&str; 0], "{first}");
    }
    let none = [WEB, ("github.proxy", "none")];
    assert_eq!(
        asked_of(&proxy, &format!("export HTTPS_PROXY={url}"), &none).await,
        [] as [&str; 0]
    );
}

#[tokio::test]
async fn the_proxy_of_the_configuration_wins_and_no_password_is_shown() {
    let (proxy, other) = (Receiver::start().await, Receiver::start().await);
    proxy.answers(502);
    let with_password = proxy.url.replace("http://", "http://me:hunter2@");
    let first = format!("export HTTPS_PROXY={} NO_PROXY=github.invalid", other.url);
    let asked = asked_of(&proxy, &first, &[WEB, ("github.proxy", &with_password)]).await;
    assert!(asked.iter().any(|path| path == "github.invalid:443"), "{asked:?}");
    let request = proxy.all().remove(0);
    let authorization = request.headers.get("proxy-authorization").map(String::as_str);
    assert_eq!(authorization, Some("Basic bWU6aHVudGVyMg=="));
    assert_eq!(other.all().len(), 0);

    let shown = async |first: String, settings: &[(&str, &str)]| {
        let place = Place::new();
        let mut process = place.start_after(&first, &["config", "show"], settings);
        assert_eq!(process.code().await, Some(0), "{}", process.err.text());
        let text = process.out.text();
        assert!(!text.contains("hunter2"), "{text}");
        let line = text
            .lines()
            .find(|line| line.contains("github.proxy"))
            .map(str::to_owned);
        line.expect("a line")
    };
    let masked = proxy.url.replace("http://", "http://****@");
    let first = format!("export HTTPS_PROXY={with_password}");
    assert_eq!(
        shown(first.clone(), &[WEB]).await,
        format!("github.proxy = \"{masked}\"  # from HTTPS_PROXY")
    );
    let exempt = format!("{first} NO_PROXY=.invalid");
    assert_eq!(shown(exempt, &[WEB]).await, "github.proxy = \"none\"  # from NO_PROXY");
    assert_eq!(shown(String::from(":"), &[WEB]).await, "# github.proxy is not set");
    let set = [WEB, ("github.proxy", with_password.as_str())];
    assert_eq!(
        shown(String::from(":"), &set).await,
        format!("github.proxy = \"{masked}\"  # from JITGATE__GITHUB__PROXY")
    );
    // An unusable proxy is reported.
    let place = Place::new();
    let mut process = place.start_after("export ALL_PROXY=socks5://me:hunter2@x", &["config", "check"], &[]);
    assert_eq!(process.code().await, Some(0));
    let text = process.out.text();
    assert!(text.contains("ALL_PROXY = ") && !text.contains("hunter2"), "{text}");
    let place = Place::new();
    let mut process = place.start(&["config", "check"], &[("github.proxy", "socks5://me:hunter2@x")]);
    assert_eq!(process.code().await, Some(3));
    let text = process.err.text();
    assert!(
        text.contains("github.proxy = \"socks5://****@x\"") && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn alerts_reach_their_receivers_by_the_proxy() {
    let proxy = Receiver::start().await;
    let place = Place::new();
    let settings = [
        ("github.api_url", "http://127.0.0.1:9"),
        ("alerts.webhook_url", "http://alerts.invalid/jitgate"),
        ("alerts.webhook_secret", "what gate and receiver share"),
    ];
    let process = place.start_after(&format!("export HTTP_PROXY={}", proxy.url), &["serve"], &settings);
    let gate = Gate::of(process, place).await;
    // A signature of the old secret is told of.
    let body = body("queued", 1);
    let request = gate
        .request(Method::POST, "/webhooks/github")
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "workflow_job")
        .header("X-GitHub-Delivery", guid(1))
        .header("X-Hub-Signature-256", sign(OLD_SECRET, &body))
        .body(body);
    assert_eq!(read(request).await.status, 202);
    let told = proxy
        .until(|request| request.path == "http://alerts.invalid/jitgate")
        .await;
    assert_eq!(told.json()["alert"]["kind"], "old-webhook-secret-used");
}

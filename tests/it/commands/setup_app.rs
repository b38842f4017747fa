//! `jitgate setup app` with a browser's requests and a simulated GitHub: from nothing to a working app.

use crate::support::gate::{Place, Process};
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use jitgate::simulator::{Client as SimulatorClient, Simulator};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

const HOOK: &str = "https://gate.example.com/webhooks/github";
const ORGANIZATION: [&str; 4] = ["--organization", "octo-org", "--webhook-url", HOOK];

/// A machine without a configuration, and a simulated GitHub.
struct Scene {
    simulator: Simulator,
    control: SimulatorClient,
    place: Place,
    http: Client,
}

/// The end of a command.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

impl Scene {
    async fn set() -> Self {
        let place = Place::new();
        fs::remove_file(place.path("jitgate.toml")).expect("a file");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let simulator = Simulator::start(clock, ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let scene = Self {
            control: SimulatorClient::new(simulator.url(), Client::new()),
            simulator,
            place,
            http: Client::builder().redirect(Policy::none()).build().expect("a client"),
        };
        let world = json!({"repositories": [{"full_name": "octo-org/chem-model"}]});
        scene.control.apply(&world).await.expect("a world");
        scene
    }

    fn start(&self, args: &[&str]) -> Process {
        let url = self.simulator.url();
        let args = [&["setup", "app", "--folder", "etc", "--api-url", url], args].concat();
        self.place.start(&args, &[])
    }

    async fn run(&self, args: &[&str]) -> Ended {
        ended(self.place.start(args, &[])).await
    }

    /// Runs `setup app` to its end; it must not ask for a browser.
    async fn run_setup(&self, args: &[&str]) -> Ended {
        ended(self.start(args)).await
    }

    /// Opens the page and GitHub's form, and returns the fields of the form that creates the app.
    async fn open_form(&self, page: &str) -> BTreeMap<String, String> {
        let html = text(self.http.get(page).send().await.expect("a page")).await;
        let manifest = attribute(&html, "name=\"manifest\" value=");
        let form = attribute(&html, "action=");
        let shown = text(post(&self.http, &form, &[("manifest", &manifest)]).await).await;
        let field = |name: &str| (name.to_owned(), attribute(&shown, &format!("name=\"{name}\" value=")));
        ["name", "owner", "state", "manifest"].map(field).into()
    }

    /// Creates the app at GitHub; returns the address that the browser is sent back to.
    async fn create(&self, fields: &BTreeMap<String, String>) -> String {
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let url = format!("{}/settings/apps/create", self.simulator.url());
        let answer = post(&self.http, &url, &fields).await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        answer.headers()["location"].to_str().expect("text").to_owned()
    }

    async fn get(&self, url: &str) -> (StatusCode, String) {
        let answer = self.http.get(url).send().await.expect("an answer");
        (answer.status(), text(answer).await)
    }

    fn mode(&self, name: &str) -> u32 {
        let about = fs::metadata(self.place.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        about.permissions().mode() & 0o7777
    }
}

async fn ended(mut process: Process) -> Ended {
    Ended {
        code: process.code().await,
        out: process.out.text(),
        err: process.err.text(),
    }
}

/// Returns the address of the page that the command prints.
async fn page(process: &mut Process) -> String {
    process.err.line_with("    http://127.0.0.1:").await.trim().to_owned()
}

async fn text(response: Response) -> String {
    response.text().await.expect("text")
}

async fn post(http: &Client, url: &str, fields: &[(&str, &str)]) -> Response {
    let encoded = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let body: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded");
    request.body(body.join("&")).send().await.expect("an answer")
}

/// Returns the value of an attribute of a page.
fn attribute(html: &str, start: &str) -> String {
    let rest = html
        .split(start)
        .nth(1)
        .unwrap_or_else(|| panic!("{start} is not in {html}"));
    let value = rest.trim_start_matches('"').split('"').next().expect("a value");
    let value = value
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'");
    value.replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_created_without_typing_anything() {
    let scene = Scene::set().await;
    let mut process = scene.start(
        &[
            &ORGANIZATION[..],
            &["--repo", "octo-org/chem-model", "--json", "--why", "the start"],
        ]
        .concat(),
    );
    let fields = scene.open_form(&page(&mut process).await).await;
    assert_eq!(
        (fields["name"].as_str(), fields["owner"].as_str()),
        ("jitgate-octo-org", "octo-org")
    );
    let back = scene.create(&fields).await;
    let (status, shown) = scene.get(&back).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert!(shown.contains("/apps/jitgate-octo-org/installations/new"), "{shown}");
    let ended = ended(process).await;
    let made = ended.json();
    assert_eq!(
        (&made["created"], &made["owner"], &made["slug"]),
        (&json!(true), &json!("octo-org"), &json!("jitgate-octo-org"))
    );
    assert_eq!(made["configuration"]["action"], "written");

    for (name, mode) in [
        ("etc", 0o700),
        ("etc/app.pem", 0o600),
        ("etc/webhook-secret", 0o600),
        ("etc/jitgate.toml", 0o600),
        ("etc/app.json", 0o644),
    ] {
        assert_eq!(scene.mode(name), mode, "{name}");
    }
    assert_eq!(
        fs::read_dir(scene.place.path("etc")).expect("a folder").count(),
        4,
        "nothing else is left"
    );
    let secret = fs::read_to_string(scene.place.path("etc/webhook-secret")).expect("a secret");
    let key = fs::read_to_string(scene.place.path("etc/app.pem")).expect("a key");
    let secret_line = key.lines().nth(1).expect("a line");
    for text in [&ended.out, &ended.err] {
        assert!(
            !text.contains(secret.trim()) && !text.contains(secret_line),
            "a secret is printed"
        );
    }
    let note: Value =
        serde_json::from_slice(&fs::read(scene.place.path("etc/app.json")).expect("a note")).expect("JSON");
    assert_eq!((&note["why"], &note["app_id"]), (&json!("the start"), &made["app_id"]));

    // The written configuration is all that the other commands need, and GitHub verifies the signatures of the key.
    let config = scene.place.path("etc/jitgate.toml").display().to_string();
    let check = scene.run(&["app", "check", "--json", "--config", &config]).await.json();
    assert_eq!(
        (&check["app_id"], &check["missing_permissions"]),
        (&made["app_id"], &json!([]))
    );
    let token = scene.run(&["app", "token", "--config", &config]).await;
    assert_eq!(token.code, Some(0), "{}", token.err);
    assert_eq!(scene.run(&["config", "check", "--config", &config]).await.code, Some(0));

    // A second run has nothing to do, and a new address of the webhook is one step.
    let again = scene.run_setup(&ORGANIZATION).await;
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.out.contains("nothing is to do"), "{}", again.out);
    let moved = [
        &ORGANIZATION[..3],
        &["https://new.example.com/webhooks/github", "--json"],
    ]
    .concat();
    for (more, set) in [(&["--dry-run"][..], "gate.example.com"), (&[], "new.example.com")] {
        let answer = scene.run_setup(&[&moved[..], more].concat()).await.json();
        assert_eq!(answer["steps"].as_array().expect("a list").len(), 1, "{answer}");
        let hook = scene
            .run_setup(
                &[
                    &ORGANIZATION[..3],
                    &[&format!("https://{set}/webhooks/github")[..], "--dry-run", "--json"],
                ]
                .concat(),
            )
            .await;
        assert_eq!(hook.json()["steps"], json!([]), "the webhook is at {set}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_app_is_rejected() {
    let scene = Scene::set().await;
    for folder in ["etc", "other"] {
        let mut process = scene.start(&["--webhook-url", HOOK, "--name", folder]);
        let fields = scene.open_form(&page(&mut process).await).await;
        assert_eq!(scene.get(&scene.create(&fields).await).await.0, 200);
        assert_eq!(process.code().await, Some(0), "{}", process.err.text());
        if folder == "etc" {
            fs::rename(scene.place.path("etc"), scene.place.path("first")).expect("a folder");
        }
    }
    let url = scene.simulator.url();
    let note: Value =
        serde_json::from_slice(&fs::read(scene.place.path("first/app.json")).expect("a note")).expect("JSON");
    let id = note["app_id"].to_string();
    for (key, code) in [("first/app.pem", 0), ("etc/app.pem", 4)] {
        let key = scene.place.path(key).display().to_string();
        let flags = [
            "app",
            "check",
            "--api-url",
            url,
            "--app-id",
            &id,
            "--app-private-key-file",
            &key,
        ];
        let answer = scene.run(&flags).await;
        assert_eq!(answer.code, Some(code), "{}", answer.err);
        assert_eq!(
            answer.err.contains("its private key belong together"),
            code == 4,
            "{}",
            answer.err
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_with_the_right_answer_is_heard() {
    let scene = Scene::set().await;
    let mut process = scene.start(&ORGANIZATION);
    let page = page(&mut process).await;
    let (origin, entrance) = page.rsplit_once('/').expect("a path");
    assert_eq!(entrance.len(), 32, "{page}");
    let port = origin.rsplit_once(':').expect("a port").1;
    process.err.line_with(&format!("ssh -L {port}:127.0.0.1:{port} ")).await;

    for (path, status) in [
        ("/", 404),
        ("/callback", 403),
        ("/callback?code=stolen", 403),
        ("/callback?code=stolen&state=guess", 403),
        ("/0123456789abcdef0123456789abcdef", 404),
    ] {
        assert_eq!(scene.get(&format!("{origin}{path}")).await.0, status, "{path}");
    }
    let foreign = scene
        .http
        .get(&page)
        .header("host", "evil.example")
        .send()
        .await
        .expect("an answer");
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
    assert!(!text(foreign).await.contains("manifest"));
    let own = scene.http.get(&page).send().await.expect("an answer");
    let header = |name: &str| own.headers()[name].to_str().expect("text").to_owned();
    assert_eq!(
        (header("cache-control"), header("referrer-policy")),
        ("no-store".to_owned(), "strict-origin".to_owned())
    );
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"));

    // The listener is on loopback only.
    let fields = scene.open_form(&page).await;
    let manifest: Value = serde_json::from_str(&fields["manifest"]).expect("JSON");
    assert_eq!(manifest["redirect_url"], format!("{origin}/callback"));
    let back = scene.create(&fields).await;
    assert_eq!(scene.get(&back).await.0, 200);
    assert_eq!(process.code().await, Some(0), "{}", process.err.text());
    // Another program may have the port by now, but not the secret path.
    let later = scene.http.get(&page).send().await;
    assert!(
        !later.is_ok_and(|answer| answer.status().is_success()),
        "the page is closed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_github_does_not_accept_stores_nothing() {
    let scene = Scene::set().await;
    let mut process = scene.start(&ORGANIZATION);
    let fields = scene.open_form(&page(&mut process).await).await;
    let manifest: Value = serde_json::from_str(&fields["manifest"]).expect("JSON");
    let callback = manifest["redirect_url"].as_str().expect("an address");
    let (status, shown) = scene
        .get(&format!("{callback}?code=unknown-code&state={}", fields["state"]))
        .await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(shown.contains("The App is not created"), "{shown}");
    assert_eq!(process.code().await, Some(4));
    let err = process.err.text();
    assert!(
        err.contains("remedy: delete the app on ") && !err.contains("unknown-code"),
        "{err}"
    );
    assert_eq!(fs::read_dir(scene.place.path("etc")).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_never_returns_ends_the_command() {
    let scene = Scene::set().await;
    let late = scene
        .run_setup(&[&ORGANIZATION[..], &["--timeout-s", "1"]].concat())
        .await;
    assert_eq!(late.code, Some(1), "{}", late.err);
    assert!(
        late.err.contains("no answer came from the browser within 1 s"),
        "{}",
        late.err
    );

    let mut process = scene.start(&ORGANIZATION);
    page(&mut process).await;
    process.terminate();
    assert_eq!(process.code().await, Some(1));
    assert_eq!(
        fs::read_dir(scene.place.path("etc")).expect("a folder").count(),
        0,
        "no draft is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_the_manifest_and_changes_nothing() {
    let scene = Scene::set().await;
    let shown = scene
        .run_setup(&[&ORGANIZATION[..], &["--dry-run", "--json"]].concat())
        .await
        .json();
    assert_eq!(
        shown["manifest"]["hook_attributes"],
        json!({"url": HOOK, "active": true})
    );
    assert_eq!(
        shown["manifest"]["default_permissions"]["organization_self_hosted_runners"],
        "write"
    );
    let form = format!("{}/organizations/octo-org/settings/apps/new", scene.simulator.url());
    assert_eq!(shown["form"], form.as_str());
    assert!(!scene.place.path("etc").exists());

    let person = scene.run_setup(&["--repo", "alice/tool", "--dry-run", "--json"]).await;
    assert!(
        person.err.contains("without --webhook-url the app receives no events"),
        "{}",
        person.err
    );
    let person = person.json();
    assert_eq!(person["manifest"]["name"], "jitgate-alice");
    assert!(person["form"].as_str().expect("text").ends_with("/settings/apps/new"));
    assert_eq!(scene.control.tally().await.expect("a tally").calls.len(), 0);
    for wrong in [
        &["--organization", "a/b"][..],
        &["--webhook-url", "gate.example.com"],
        &["--name", ""],
        &["--timeout-s", "0"],
    ] {
        let answer = scene.run_setup(&[wrong, &["--dry-run"]].concat()).await;
        assert_eq!(answer.code, Some(2), "{wrong:?}: {}", answer.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_never_overwritten_and_never_put_into_a_repository() {
    let scene = Scene::set().await;
    scene.place.file("etc/app.pem", "the key of another app", 0o600);
    let answer = scene.run_setup(&ORGANIZATION).await;
    assert_eq!(answer.code, Some(3), "{}", answer.err);
    assert!(
        answer.err.contains("exists already") && answer.err.contains("another --folder"),
        "{}",
        answer.err
    );
    assert_eq!(
        fs::read_to_string(scene.place.path("etc/app.pem")).expect("a file"),
        "the key of another app"
    );

    fs::remove_file(scene.place.path("etc/app.pem")).expect("a file");
    scene.place.file(".git/HEAD", "ref: refs/heads/main\n", 0o600);
    let answer = scene.run_setup(&ORGANIZATION).await;
    assert_eq!(answer.code, Some(3), "{}", answer.err);
    assert!(answer.err.contains("inside the git work tree"), "{}", answer.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_configuration_is_kept_and_its_missing_lines_are_shown() {
    let scene = Scene::set().await;
    scene.place.file(
        "etc/jitgate.toml",
        "[github]\napp_id = \"7\"\nprivate_key_file = \"etc/old.pem\"\n",
        0o600,
    );
    fs::set_permissions(scene.place.path("etc"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let mut process = scene.start(&ORGANIZATION);
    let fields = scene.open_form(&page(&mut process).await).await;
    let back = scene.create(&fields).await;
    assert_eq!(scene.get(&back).await.0, 200);
    let ended = ended(process).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended.out.contains("jitgate.toml needs these lines:") && ended.out.contains("app_id = \"Iv23li"),
        "{}",
        ended.out
    );
    let kept = fs::read_to_string(scene.place.path("etc/jitgate.toml")).expect("a file");
    assert!(kept.contains("etc/old.pem"), "{kept}");
}

//! The `route` job of `deploy/workflow/ci.yml` against `domain::trust`: GitHub's own expression library evaluates the one,
//! and in no situation there is do they differ. What differs here is a misroute for every pull request out there.

use crate::support::world::{FORK, OURS, World, bot, policy, pull, user};
use jitgate::domain::facts::{Fact, HeadRepository, User};
use jitgate::domain::labels::LabelsClass;
use jitgate::domain::trust::{self, Trust};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const EVENTS: [&str; 5] = [
    "pull_request",
    "pull_request_target",
    "push",
    "merge_group",
    "workflow_dispatch",
];
const ASSOCIATIONS: [&str; 9] = [
    "OWNER",
    "MEMBER",
    "COLLABORATOR",
    "CONTRIBUTOR",
    "FIRST_TIMER",
    "FIRST_TIME_CONTRIBUTOR",
    "MANNEQUIN",
    "NONE",
    "",
];
const VARIABLES: [Option<&str>; 5] = [Some("true"), Some("True"), Some("false"), Some(""), None];

/// A run as GitHub's API shows it to us, and as it shows itself to its workflow.
struct Situation {
    world: World,
    variable: Option<&'static str>,
}

impl Situation {
    fn all() -> Vec<Self> {
        let heads = [Some(OURS), Some(FORK), None];
        let actors = [Some(user("ann")), Some(bot("ci")), Some(user("ci[Bot]")), None];
        let mut all = Vec::new();
        for event in EVENTS {
            for head in heads {
                for actor in &actors {
                    for association in ASSOCIATIONS {
                        let world = World::trusted().with(|w| {
                            w.truth.pulls = Fact::Known(vec![pull(5, "ann", association)]);
                            let run = w.run();
                            run.event = event.to_owned();
                            run.actor = actor.clone();
                            let owner = "somebody".to_owned();
                            run.head_repository = head.map(|id| HeadRepository { id, owner });
                        });
                        all.extend(VARIABLES.map(|variable| Self {
                            world: world.clone(),
                            variable,
                        }));
                    }
                }
            }
        }
        all
    }

    /// The contexts of the workflow's expressions.
    fn contexts(&self) -> Value {
        let run = self.world.truth.run.known().expect("a run");
        let mut event = json!({
            "repository": {"id": run.repository_id},
            "sender": run.actor,
        });
        if run.event.starts_with("pull_request") {
            let head = run.head_repository.as_ref().map(|head| json!({"id": head.id}));
            let pulls = self.world.truth.pulls.known().expect("pulls");
            event["pull_request"] = json!({
                "head": {"repo": head},
                "author_association": pulls[0].author_association,
            });
        }
        let login = |user: &User| user.login.clone();
        let mut contexts = json!({
            "github": {
                "event_name": run.event,
                "actor": run.actor.as_ref().map(login).unwrap_or_default(),
                "run_id": self.world.event.job.run_id.to_string(),
                "run_attempt": self.world.event.job.run_attempt.to_string(),
                "event": event,
            },
            "vars": {},
            "strategy": {},
        });
        if let Some(value) = self.variable {
            contexts["vars"]["CI_SELF_HOSTED_TRUSTED_ROUTING"] = json!(value);
        }
        contexts
    }

    fn is_trusted(&self) -> bool {
        trust::judge(&self.world.truth, &self.world.policy.trust).trust == Trust::Trusted
    }

    fn is_on(&self) -> bool {
        self.variable.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// Returns the value of `runs-on` in each of the contexts.
fn routes(contexts: &[Value]) -> Vec<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node")
        .arg("route.mjs")
        .arg(root.join("deploy/workflow/ci.yml"))
        .current_dir(root.join("tests/node"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node; run ./tests/run, which installs it");
    let mut stdin = node.stdin.take().expect("a pipe");
    stdin
        .write_all(json!(contexts).to_string().as_bytes())
        .expect("node reads");
    drop(stdin);
    let output = node.wait_with_output().expect("it ends");
    assert!(output.status.success(), "run ./tests/run, or npm ci in tests/node");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_route_job_asks_for_our_runners_exactly_where_we_trust_and_routing_is_on() {
    let all = Situation::all();
    let contexts: Vec<Value> = all.iter().map(Situation::contexts).collect();
    let routes = routes(&contexts);
    assert_eq!(routes.len(), all.len());
    for (situation, labels) in all.iter().zip(routes) {
        let mut job = situation.world.event.job.clone();
        job.labels = labels;
        let expected = match situation.is_trusted() && situation.is_on() {
            true => LabelsClass::Pool,
            false => LabelsClass::Hosted,
        };
        assert_eq!(
            policy().labels.classify(&job),
            expected,
            "{:?} in {}",
            job.labels,
            situation.contexts()
        );
    }
    // Three associations, and two ways to write what is on.
    let routed = all.iter().filter(|it| it.is_trusted() && it.is_on()).count();
    assert_eq!(routed, 3 * 2);
}

#[test]
fn no_two_jobs_ask_for_a_runner_by_the_same_labels() {
    let trusted = Situation {
        world: World::trusted().with(|w| w.event.job.run_attempt = 3),
        variable: Some("true"),
    };
    let run = trusted.world.event.job.run_id;
    // Outside of a matrix GitHub gives no place, or the first one.
    let places = [
        json!({}),
        json!({"job-index": 0}),
        json!({"job-index": 1}),
        json!({"job-index": 17}),
    ];
    let contexts = places.map(|strategy| {
        let mut contexts = trusted.contexts();
        contexts["strategy"] = strategy;
        contexts
    });
    for (labels, index) in routes(&contexts).into_iter().zip([0, 0, 1, 17]) {
        let own = format!("chem-run-{run}-3-web-{index}");
        assert_eq!(labels, ["self-hosted", "linux", "x64", "chem-trusted-pr", own.as_str()]);
        let mut job = trusted.world.event.job.clone();
        job.labels = labels;
        assert_eq!(policy().labels.classify(&job), LabelsClass::Pool, "{own}");
    }
}

//! Incidents of critical alerts: their deadlines on a controlled clock, across restarts and with several workers on one
//! store, what reaches the owners, and what counts as a safe routing state.

use crate::support::gate::Settings;
use crate::support::in_process::{VARIABLE, configuration, token};
use crate::support::receiver::Receiver;
use crate::support::stores::on_each_store;
use crate::support::world::noon;
use chrono::{DateTime, TimeDelta, Utc};
use jitgate::adapters::clock::ManualClock;
use jitgate::app::Context;
use jitgate::app::incidents::{self, IncidentFilter, pass};
use jitgate::config::Config;
use jitgate::domain::alert::{Alert, AlertKey, AlertKind, Overdue};
use jitgate::domain::ids::{JobId, RepositoryName};
use jitgate::domain::incident::{Incident, IncidentState};
use jitgate::ports::Clock;
use jitgate::runtime::{self, Store};
use jitgate::simulator::{Client, Simulator};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;

const PRIMARY: &str = "@octo-org/ci";
const SECONDARY: &str = "<!subteam^S012AB3CD>";

/// A worker with receivers of alerts, on a clock that only the test moves.
struct Stage {
    /// The store and the worker; none during a restart.
    open: Option<(Store, Arc<Context>)>,
    config: Config,
    clock: Arc<ManualClock>,
    slack: Receiver,
    webhook: Receiver,
    github: Client,
    _simulator: Simulator,
    _folder: TempDir,
}

impl Stage {
    async fn set(store: Settings<'_>) -> Self {
        Self::with(store, json!({"primary": PRIMARY, "secondary": SECONDARY})).await
    }

    async fn with(store: Settings<'_>, owners: Value) -> Self {
        let clock = Arc::new(ManualClock::at(noon()));
        let time: Arc<dyn Clock> = clock.clone();
        let simulator = Simulator::start(time.clone(), ([127, 0, 0, 1], 0).into()).expect("a simulator");
        let folder = TempDir::new().expect("a folder");
        let file = format!("sqlite:{}", folder.path().join("state/jitgate.db").display());
        let url = store.first().map_or(file.as_str(), |(_, url)| url);
        let (slack, webhook) = (Receiver::start().await, Receiver::start().await);
        let overrides = json!({
            "github": {"api_url": simulator.url()},
            "repositories": [{"full_name": "octo-org/chem-model"}],
            "store": {"url": url},
            "alerts": {
                "slack_webhook_url": slack.url, "webhook_url": webhook.url, "webhook_secret": "a shared secret",
                "owners": owners,
            },
        });
        let config = configuration(&overrides, token());
        let stage = Self {
            open: Some(open(&config, &clock)),
            config,
            clock,
            slack,
            webhook,
            github: Client::new(simulator.url(), reqwest::Client::new()),
            _simulator: simulator,
            _folder: folder,
        };
        stage.routing("true").await;
        stage
    }

    async fn routing(&self, value: &str) {
        let change = json!({"variables": {VARIABLE: value}});
        self.github.apply(&change).await.expect("a valid change");
    }

    /// Ends the worker and the connection to its store, and starts both again.
    fn restart(mut self) -> Self {
        // The lock of the database ends with its last owner.
        drop(self.open.take());
        self.open = Some(open(&self.config, &self.clock));
        self
    }

    fn ctx(&self) -> &Context {
        &self.open.as_ref().expect("a worker").1
    }

    fn alert(&self, kind: AlertKind, job: u64) -> Alert {
        let repository = RepositoryName::parse("octo-org/chem-model").expect("a name");
        let key = AlertKey::new(kind, Some(&repository));
        Alert::new(&key, Some(JobId(job)), "a job took a runner", self.clock.now())
    }

    async fn raise(&self, job: u64) -> String {
        let alert = self.alert(AlertKind::StolenRunner, job);
        let id = alert.id.clone();
        self.ctx().alerts.raise(alert).await.expect("stored");
        id
    }

    /// Advances the clock, and lets the worker do what is due. Returns the number of escalations.
    async fn after(&self, seconds: i64) -> usize {
        self.clock.advance(TimeDelta::seconds(seconds));
        let escalated = pass::run_once(self.ctx()).await.expect("a pass");
        self.ctx().alerts.run_until_idle().await.expect("sent");
        pass::run_once(self.ctx()).await.expect("a pass");
        escalated
    }

    async fn incidents(&self) -> Vec<Incident> {
        let all = IncidentFilter::default();
        let listed = incidents::list(self.ctx().ledger.as_ref(), &self.ctx().alerts, &all, 1000);
        listed.await.expect("listed")
    }

    async fn incident(&self) -> Incident {
        let mut listed = self.incidents().await;
        assert_eq!(listed.len(), 1, "{listed:#?}");
        listed.remove(0)
    }

    /// The texts of all messages in the chat.
    fn chat(&self) -> Vec<String> {
        let text = |message: Value| message["text"].as_str().expect("text").to_owned();
        self.slack.all().iter().map(|request| text(request.json())).collect()
    }

    /// The alerts in all messages to the webhook.
    fn messages(&self) -> Vec<Value> {
        let alert = |message: Value| message["alert"].clone();
        self.webhook.all().iter().map(|request| alert(request.json())).collect()
    }
}

fn open(config: &Config, clock: &Arc<ManualClock>) -> (Store, Arc<Context>) {
    let store = runtime::open_store(config, clock.clone()).expect("a store");
    let ctx = worker(config, clock, &store);
    (store, ctx)
}

fn worker(config: &Config, clock: &Arc<ManualClock>, store: &Store) -> Arc<Context> {
    let time: Arc<dyn Clock> = clock.clone();
    runtime::build_context(config, &time, store, None, "incident", Arc::new(())).expect("a worker")
}

fn events(incident: &Incident) -> Vec<String> {
    let word = |value: &Value| value["event"].as_str().expect("a word").to_owned();
    let timeline = json!(incident)["timeline"].as_array().cloned().expect("a timeline");
    timeline.iter().map(word).collect()
}

async fn an_unacknowledged_alert_reaches_the_second_owner_across_a_restart(store: Settings<'_>) {
    let stage = Stage::set(store).await;
    stage.raise(101).await;
    assert_eq!(stage.after(0).await, 0);
    assert_eq!(stage.chat().len(), 1);
    assert!(
        stage.chat()[0].contains(&format!("\nOwner: {PRIMARY}\n")),
        "{:?}",
        stage.chat()
    );
    assert_eq!(stage.messages()[0]["owner"], PRIMARY);
    assert_eq!(stage.after(899).await, 0);
    let stage = stage.restart();
    assert_eq!(stage.after(0).await, 0, "one second is left");
    assert_eq!((stage.chat().len(), stage.messages().len()), (1, 1));

    assert_eq!(stage.after(1).await, 1);
    let (chat, messages) = (stage.chat(), stage.messages());
    assert_eq!((chat.len(), messages.len()), (2, 2));
    for part in [
        "ESCALATED, unacknowledged since 2026-11-23T12:00:00Z: stolen-runner in octo-org/chem-model",
        &format!("\nOwner: {SECONDARY}\n"),
        "acknowledge: jitgate alert ack",
    ] {
        assert!(chat[1].contains(part), "{part} is not in {}", chat[1]);
    }
    assert_eq!(messages[1]["owner"], SECONDARY);
    let escalation = &messages[1]["escalations"][0];
    assert_eq!(
        (&escalation["at"], &escalation["to"], &escalation["overdue"]),
        (
            &json!("2026-11-23T12:15:00Z"),
            &json!(SECONDARY),
            &json!("acknowledgement")
        )
    );

    let stage = stage.restart();
    assert_eq!(stage.after(60).await, 0, "it escalates once");
    assert_eq!((stage.chat().len(), stage.messages().len()), (2, 2));
    let incident = stage.incident().await;
    assert_eq!(incident.state, IncidentState::Open);
    assert_eq!(
        events(&incident),
        ["opened", "sent", "sent", "sent", "escalated", "sent", "sent", "sent"]
    );
}
on_each_store!(an_unacknowledged_alert_reaches_the_second_owner_across_a_restart);

async fn an_acknowledged_alert_escalates_only_without_a_safe_routing_state(store: Settings<'_>) {
    let stage = Stage::set(store).await;
    let id = stage.raise(101).await;
    stage.after(0).await;
    stage.after(899).await;
    stage.ctx().alerts.ack(&id, "alice").await.expect("stored");
    assert_eq!(stage.after(0).await, 0);
    let stage = stage.restart();
    for seconds in [1, 600, 299] {
        assert_eq!(stage.after(seconds).await, 0);
    }
    let incident = stage.incident().await;
    assert_eq!(
        (incident.state, incident.acknowledged_by.as_deref()),
        (IncidentState::Acknowledged, Some("alice"))
    );
    let before = stage.chat().len();
    assert_eq!(stage.after(1).await, 1, "30 minutes are over");
    let chat = stage.chat();
    assert_eq!(chat.len(), before + 1);
    for part in [
        "ESCALATED, without a safe routing state since 2026-11-23T12:00:00Z",
        "acknowledged by alice",
        SECONDARY,
    ] {
        assert!(chat[before].contains(part), "{part} is not in {}", chat[before]);
    }
    assert_eq!(stage.after(3600).await, 0);

    let resolved = stage.ctx().alerts.resolve(&id, "bob").await;
    resolved.expect("stored");
    stage.after(0).await;
    let incident = stage.incident().await;
    assert_eq!(
        (
            incident.state,
            incident.closed_by.as_deref(),
            incident.safe_by.as_deref()
        ),
        (IncidentState::Closed, Some("bob"), Some("bob"))
    );
    assert_eq!(incident.escalations.len(), 1);
}
on_each_store!(an_acknowledged_alert_escalates_only_without_a_safe_routing_state);

#[tokio::test(flavor = "multi_thread")]
async fn routing_that_is_switched_off_in_time_is_a_safe_state() {
    let stage = Stage::set(&[]).await;
    let id = stage.raise(101).await;
    stage.ctx().alerts.ack(&id, "alice").await.expect("stored");
    stage.after(0).await;
    assert_eq!(stage.after(1790).await, 0);
    stage.routing("false").await;
    // A question was asked less than 30 s ago, but at a deadline the answer counts.
    assert_eq!(stage.after(10).await, 0);
    let incident = stage.incident().await;
    assert_eq!(incident.state, IncidentState::Handled);
    let at = |seconds: i64| DateTime::<Utc>::from_timestamp(1_795_435_200 + seconds, 0);
    assert_eq!((incident.safe_at, incident.safe_by), (at(1790), None));

    // The theft returns while routing is on: the time begins again.
    stage.routing("true").await;
    stage.clock.advance(TimeDelta::seconds(200));
    stage.raise(102).await;
    assert_eq!(stage.after(0).await, 0);
    let incident = stage.incident().await;
    assert_eq!((incident.state, incident.safe_at), (IncidentState::Acknowledged, None));
    assert_eq!(stage.after(1799).await, 0);
    assert_eq!(stage.after(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn github_is_asked_at_most_every_30_s_and_not_at_all_once_routing_is_off() {
    let stage = Stage::set(&[]).await;
    stage.raise(101).await;
    let asked = async || {
        let tally = stage.github.tally().await.expect("a tally");
        tally.calls.get("get-variable").copied().unwrap_or_default()
    };
    stage.after(0).await;
    for _ in 0..29 {
        stage.after(1).await;
    }
    assert_eq!(asked().await, 1);
    stage.after(1).await;
    assert_eq!(asked().await, 2);
    stage.routing("false").await;
    stage.after(30).await;
    assert_eq!(asked().await, 3);
    for _ in 0..10 {
        stage.after(60).await;
    }
    assert_eq!(asked().await, 3);
}

async fn several_workers_escalate_each_alert_once(store: Settings<'_>) {
    let stage = Stage::set(store).await;
    let (opened, _) = stage.open.as_ref().expect("a store");
    for number in 0..10_u64 {
        let key = AlertKey::new(AlertKind::StolenRunner, None).caused_by(&format!("cause-{number}"));
        let alert = Alert::new(&key, Some(JobId(number)), "it happened", stage.clock.now());
        stage.ctx().alerts.raise(alert).await.expect("stored");
    }
    stage.after(0).await;
    stage.clock.advance(TimeDelta::seconds(900));
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let ctx = worker(&stage.config, &stage.clock, opened);
            tokio::spawn(async move {
                let escalated = pass::run_once(&ctx).await.expect("a pass");
                ctx.alerts.run_until_idle().await.expect("sent");
                escalated
            })
        })
        .collect();
    let mut escalated = 0;
    for worker in workers {
        escalated += worker.await.expect("it ends");
    }
    assert_eq!(escalated, 10);
    let sent = stage.messages().into_iter().filter(|alert| alert["owner"] == SECONDARY);
    assert_eq!(sent.count(), 10, "each reaches the second owner once");
    for incident in stage.incidents().await {
        let escalations: Vec<Overdue> = incident.escalations.iter().map(|it| it.overdue).collect();
        assert_eq!(escalations, [Overdue::Acknowledgement]);
    }
}
on_each_store!(several_workers_escalate_each_alert_once);

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_owner_every_receiver_gets_the_alert_again() {
    let stage = Stage::with(&[], json!({})).await;
    stage.raise(101).await;
    stage.after(0).await;
    assert!(!stage.chat()[0].contains("Owner"), "{:?}", stage.chat());
    assert_eq!(stage.after(900).await, 1);
    let (chat, messages) = (stage.chat(), stage.messages());
    assert_eq!((chat.len(), messages.len()), (2, 2));
    assert!(
        chat[1].contains("unacknowledged since 2026-11-23T12:00:00Z"),
        "{}",
        chat[1]
    );
    assert_eq!(
        (&messages[1]["owner"], &messages[1]["escalations"][0]["to"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_critical_alert_opens_an_incident() {
    let stage = Stage::set(&[]).await;
    let alert = stage.alert(AlertKind::JobStuck, 101);
    stage.ctx().alerts.raise(alert).await.expect("stored");
    assert_eq!(stage.after(0).await, 0);
    assert_eq!(stage.after(86_400).await, 0);
    assert_eq!(stage.incidents().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_over_before_any_pass_leaves_its_incident() {
    let stage = Stage::set(&[]).await;
    let id = stage.raise(101).await;
    stage.clock.advance(TimeDelta::seconds(5));
    stage.ctx().alerts.resolve(&id, "alice").await.expect("stored");
    stage.ctx().alerts.run_until_idle().await.expect("sent");
    assert_eq!(stage.ctx().alerts.live().await.expect("listed"), []);
    let first = stage.incident().await;
    assert_eq!(
        (first.state, first.closed_by.as_deref()),
        (IncidentState::Closed, Some("alice"))
    );

    // It opens again, which is another incident, and ends and opens once more between two passes.
    stage.raise(102).await;
    stage.after(60).await;
    stage.ctx().alerts.resolve(&id, "bob").await.expect("stored");
    stage.raise(103).await;
    stage.after(60).await;
    let listed = stage.incidents().await;
    let told: Vec<_> = listed
        .iter()
        .map(|incident| {
            (
                incident.episode,
                incident.state,
                incident.closed_by.as_deref(),
                &incident.jobs[..],
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (3, IncidentState::Open, None, &[103][..]),
            (2, IncidentState::Closed, Some("bob"), &[102]),
            (1, IncidentState::Closed, Some("alice"), &[101]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_incidents_are_listed_first_and_open_ones_without_the_history() {
    let stage = Stage::set(&[]).await;
    for number in 0..450_u64 {
        let key = AlertKey::new(AlertKind::StolenRunner, None).caused_by(&format!("cause-{number}"));
        let alert = Alert::new(&key, Some(JobId(number)), "it happened", stage.clock.now());
        let id = alert.id.clone();
        stage.ctx().alerts.raise(alert).await.expect("stored");
        if number != 3 && number != 448 {
            stage.ctx().alerts.resolve(&id, "alice").await.expect("stored");
        }
        stage.clock.advance(TimeDelta::seconds(1));
    }
    pass::run_once(stage.ctx()).await.expect("a pass");
    let jobs = async |states: &[IncidentState], limit: usize| {
        let filter = IncidentFilter {
            states: states.to_vec(),
            ..IncidentFilter::default()
        };
        let listed = incidents::list(stage.ctx().ledger.as_ref(), &stage.ctx().alerts, &filter, limit).await;
        let listed = listed.expect("listed");
        listed
            .into_iter()
            .map(|incident| incident.jobs[0])
            .collect::<Vec<u64>>()
    };
    assert_eq!(jobs(&[], 3).await, [449, 448, 447]);
    assert_eq!(jobs(&[], 1000).await.len(), 450);
    assert_eq!(jobs(&[IncidentState::Open], 10).await, [448, 3]);
    assert_eq!(
        jobs(&[IncidentState::Open, IncidentState::Closed], 4).await,
        [449, 448, 447, 446]
    );
    assert_eq!(jobs(&[IncidentState::Handled], 10).await, [0; 0]);
}

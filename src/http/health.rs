//! `/healthz` and `/readyz`, on both listeners.
//!
//! A request for readiness is answered from memory, which one task of the process refreshes. A client of the public
//! listener therefore cannot cause calls to GitHub or to the store, or wait for one.

use crate::ports::{GitHub, Queue};
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// The timeout for a check of the store or of GitHub.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// The interval between two checks of the store.
const STORE_INTERVAL: Duration = Duration::from_millis(500);
/// The interval between two checks of GitHub. The check counts against no quota.
const GITHUB_INTERVAL: Duration = Duration::from_secs(10);

/// The last known state of the store and of GitHub.
pub struct Health {
    queue: Arc<dyn Queue>,
    github: Arc<dyn GitHub>,
    store_answers: watch::Sender<Option<bool>>,
    github_answers: watch::Sender<Option<bool>>,
    refreshing: OnceLock<AbortHandle>,
}

/// The readiness to accept deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    pub store: bool,
    pub github: bool,
}

impl Health {
    /// Creates the health state. Only the store decides readiness: deliveries are accepted without GitHub, which is
    /// reported.
    #[must_use]
    pub fn new(queue: Arc<dyn Queue>, github: Arc<dyn GitHub>) -> Arc<Self> {
        Arc::new(Self {
            queue,
            github,
            store_answers: watch::Sender::new(None),
            github_answers: watch::Sender::new(None),
            refreshing: OnceLock::new(),
        })
    }

    /// Starts the refreshing task, unless it runs already. It must be called inside a tokio runtime.
    pub fn begin(&self) {
        self.refreshing.get_or_init(|| {
            let (queue, github) = (self.queue.clone(), self.github.clone());
            let store = refresh(self.store_answers.clone(), STORE_INTERVAL, move || {
                let queue = queue.clone();
                async move { queue.depth().await.is_ok() }
            });
            let github = refresh(self.github_answers.clone(), GITHUB_INTERVAL, move || {
                let github = github.clone();
                async move { github.reachable().await.is_ok() }
            });
            let both = async { futures::join!(store, github) };
            tokio::spawn(both).abort_handle()
        });
    }

    /// Returns the last known state. It waits only for the first results.
    pub async fn readiness(&self) -> Readiness {
        self.begin();
        let (store, github) = futures::join!(known(&self.store_answers), known(&self.github_answers));
        Readiness { store, github }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        if let Some(task) = self.refreshing.get() {
            task.abort();
        }
    }
}

async fn refresh<F: Future<Output = bool> + Send>(
    memory: watch::Sender<Option<bool>>,
    interval: Duration,
    answers: impl Fn() -> F + Send,
) {
    loop {
        let answered = tokio::time::timeout(CHECK_TIMEOUT, answers()).await;
        memory.send_replace(Some(answered.unwrap_or(false)));
        tokio::time::sleep(interval).await;
    }
}

async fn known(memory: &watch::Sender<Option<bool>>) -> bool {
    let mut memory = memory.subscribe();
    match memory.wait_for(Option::is_some).await {
        Ok(known) => known.unwrap_or(false),
        // The sender lives as long as [`Health`].
        Err(_) => false,
    }
}

/// Answers that the process runs.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// Answers with the result of the last check.
pub(super) async fn readyz(health: Data<Health>) -> HttpResponse {
    let readiness = health.readiness().await;
    let word = |good| if good { "ok" } else { "unavailable" };
    let mut answer = if readiness.store {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(json!({
        "status": word(readiness.store),
        "store": word(readiness.store),
        "github": word(readiness.github),
    }))
}

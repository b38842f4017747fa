//! `/healthz` and `/readyz`, on both listeners.

use actix_web::HttpResponse;
use actix_web::web::Data;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

use crate::ports::{GitHub, Queue};

/// How long a readiness answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked.
pub struct Health {
    /// The store makes the gate ready or not.
    pub queue: Arc<dyn Queue>,
    /// GitHub is reported and makes no difference: deliveries are taken without it.
    pub github: Arc<dyn GitHub>,
}

/// Whether the gate can take deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The store answers.
    pub store: bool,
    /// GitHub answers.
    pub github: bool,
}

impl Health {
    /// Asks both, for two seconds at most.
    pub async fn check(&self) -> Readiness {
        let store = tokio::time::timeout(PATIENCE, self.queue.depth());
        let github = tokio::time::timeout(PATIENCE, self.github.reachable());
        let (store, github) = futures::join!(store, github);
        Readiness {
            store: matches!(store, Ok(Ok(_))),
            github: matches!(github, Ok(Ok(()))),
        }
    }
}

/// The process answers.
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok"}))
}

/// The store answers.
pub(super) async fn readyz(health: Data<Health>) -> HttpResponse {
    let readiness = health.check().await;
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

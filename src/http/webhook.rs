//! `POST /webhooks/github`: reads the body within its limits, passes it on, and answers.

use super::body::{Bodies, drain};
use super::problem::Problem;
use crate::app::Ingest;
use crate::app::ingest::{Headers, Received, Rejected, Status};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The seconds after which a sender may retry when nothing can be accepted.
const RETRY_AFTER_S: &str = "30";

/// The state of the handler.
pub(super) struct Webhook {
    ingest: Arc<Ingest>,
    bodies: Bodies,
    read_timeout: Duration,
}

impl Webhook {
    pub(super) fn new(ingest: Arc<Ingest>, body_limit_bytes: usize, read_timeout: Duration) -> Self {
        Self {
            ingest,
            bodies: Bodies::new(body_limit_bytes, read_timeout),
            read_timeout,
        }
    }
}

/// Receives a delivery.
pub(super) async fn receive(request: HttpRequest, mut payload: Payload, state: Data<Webhook>) -> HttpResponse {
    let body = match state.bodies.read(&request, &mut payload).await {
        Ok(body) => body,
        Err(problem) => {
            // A slow sender has used its time.
            if problem.status != StatusCode::REQUEST_TIMEOUT {
                drain(&mut payload, state.read_timeout).await;
            }
            return answer_and_close(&problem);
        }
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let headers = Headers {
        event: header("X-GitHub-Event"),
        delivery: header("X-GitHub-Delivery"),
        signature: header("X-Hub-Signature-256"),
        content_type: header(CONTENT_TYPE.as_str()),
    };
    match state.ingest.receive(headers, &body.bytes).await {
        Ok(received) => accepted_response(&received),
        Err(rejected) => rejected_response(&rejected),
    }
}

/// Answers before the body was read to its end. The connection cannot be used again.
fn answer_and_close(problem: &Problem) -> HttpResponse {
    let mut builder = problem.builder();
    builder.insert_header((CONNECTION, "close"));
    if problem.status == StatusCode::SERVICE_UNAVAILABLE {
        builder.insert_header((RETRY_AFTER, RETRY_AFTER_S));
    }
    builder.force_close().body(problem.body())
}

fn accepted_response(received: &Received) -> HttpResponse {
    let guid = received.delivery.as_str();
    let ignored =
        |reason: &str| HttpResponse::Ok().json(json!({"delivery": guid, "status": "ignored", "reason": reason}));
    match received.status {
        Status::Queued => HttpResponse::Accepted().json(json!({"delivery": guid, "status": "queued"})),
        Status::Unreadable => {
            HttpResponse::Accepted().json(json!({"delivery": guid, "status": "queued", "reason": "unreadable"}))
        }
        Status::Duplicate => {
            HttpResponse::Ok().json(json!({"delivery": guid, "status": "duplicate", "reason": "already-seen"}))
        }
        Status::IgnoredEvent => ignored("event"),
        Status::IgnoredAction => ignored("action"),
        Status::IgnoredRepository => ignored("repository"),
        Status::Pong => HttpResponse::Ok().json(json!({"delivery": guid, "status": "pong"})),
    }
}

fn rejected_response(rejected: &Rejected) -> HttpResponse {
    let (status, title) = match rejected {
        Rejected::MissingHeader(_) | Rejected::Malformed(_) => (StatusCode::BAD_REQUEST, "Bad request"),
        Rejected::Signature => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Rejected::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"),
        Rejected::Full => (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
        Rejected::Store(failure) => {
            tracing::error!(%failure, "failed to queue a delivery");
            (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable")
        }
    };
    let problem = Problem::new(status, rejected.code(), title, rejected.to_string());
    let mut builder = problem.builder();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        builder.insert_header((RETRY_AFTER, RETRY_AFTER_S));
    }
    builder.body(problem.body())
}

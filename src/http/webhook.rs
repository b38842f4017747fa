//! `POST /webhooks/github`: reads the body within its limits, has it received, and answers.

use super::problem::Problem;
use crate::app::Ingest;
use crate::app::ingest::{Headers, Received, Rejected, Status};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures::StreamExt;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Seconds a sender is asked to wait when nothing can be taken.
const RETRY_AFTER_S: &str = "30";
/// Bodies held in memory at once, in KiB; beyond it senders are told to come back.
const BODIES_IN_FLIGHT_KIB: usize = 256 * 1024;

/// A sender that pauses this long waits for the answer.
const QUIET: Duration = Duration::from_millis(250);
/// What is read at most of a body that is refused.
const HEARD_OUT_BYTES: usize = 64 << 20;

/// What the handler needs.
pub(super) struct Webhook {
    ingest: Arc<Ingest>,
    body_limit_bytes: usize,
    read_timeout: Duration,
    memory: Semaphore,
}

impl Webhook {
    pub(super) fn new(ingest: Arc<Ingest>, body_limit_bytes: usize, read_timeout: Duration) -> Self {
        // One body of the largest size always fits.
        let room = BODIES_IN_FLIGHT_KIB.max(body_limit_bytes / 1024 + 64);
        Self {
            ingest,
            body_limit_bytes,
            read_timeout,
            memory: Semaphore::new(room),
        }
    }
}

/// A delivery.
pub(super) async fn receive(request: HttpRequest, mut payload: Payload, state: Data<Webhook>) -> HttpResponse {
    let mut held = Vec::new();
    let body = match tokio::time::timeout(state.read_timeout, read(&request, &mut payload, &state, &mut held)).await {
        Ok(Ok(body)) => body,
        Ok(Err(problem)) => {
            hear_out(&mut payload, state.read_timeout).await;
            return cut_off(&problem);
        }
        Err(_) => {
            return cut_off(&Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "too-slow",
                "Request timeout",
                format!("the body did not arrive within {} s", state.read_timeout.as_secs()),
            ));
        }
    };
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let headers = Headers {
        event: header("X-GitHub-Event"),
        delivery: header("X-GitHub-Delivery"),
        signature: header("X-Hub-Signature-256"),
        content_type: header(CONTENT_TYPE.as_str()),
    };
    match state.ingest.receive(headers, &body).await {
        Ok(received) => taken(&received),
        Err(rejected) => turned_away(&rejected),
    }
}

async fn read<'a>(
    request: &HttpRequest,
    payload: &mut Payload,
    state: &'a Webhook,
    held: &mut Vec<SemaphorePermit<'a>>,
) -> Result<Vec<u8>, Problem> {
    let limit = state.body_limit_bytes;
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Payload too large",
            format!("the body is larger than {limit} bytes"),
        )
    };
    let declared = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        return Err(too_large());
    }
    let mut body: Vec<u8> = Vec::new();
    let mut room_kib = 0;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "incomplete",
                "Bad request",
                "the body ended early",
            )
        })?;
        let length = body.len() + chunk.len();
        if length > limit {
            return Err(too_large());
        }
        let needed_kib = length / 1024 + 1;
        if let Some(more) = needed_kib.checked_sub(room_kib).filter(|more| *more > 0) {
            let permits = u32::try_from(more).unwrap_or(u32::MAX);
            held.push(state.memory.try_acquire_many(permits).map_err(|_| busy())?);
            room_kib = needed_kib;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Service unavailable",
        "too many deliveries are being read; redeliver later",
    )
}

/// Reads on and forgets, while the sender keeps sending: a connection that is closed under it takes the answer along.
async fn hear_out(payload: &mut Payload, at_most: Duration) {
    let until_quiet = async {
        let mut heard_bytes = 0;
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(QUIET, payload.next()).await {
            heard_bytes += chunk.len();
            if heard_bytes > HEARD_OUT_BYTES {
                break;
            }
        }
    };
    // Whoever sends longer than that has had its chance.
    drop(tokio::time::timeout(at_most, until_quiet).await);
}

/// An answer before the body was read to its end: the connection cannot be used again.
fn cut_off(problem: &Problem) -> HttpResponse {
    let mut builder = problem.builder();
    builder.insert_header((CONNECTION, "close"));
    if problem.status == StatusCode::SERVICE_UNAVAILABLE {
        builder.insert_header((RETRY_AFTER, RETRY_AFTER_S));
    }
    builder.force_close().body(problem.body())
}

fn taken(received: &Received) -> HttpResponse {
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

fn turned_away(rejected: &Rejected) -> HttpResponse {
    let (status, title) = match rejected {
        Rejected::MissingHeader(_) | Rejected::Malformed(_) => (StatusCode::BAD_REQUEST, "Bad request"),
        Rejected::Signature => (StatusCode::UNAUTHORIZED, "Unauthorized"),
        Rejected::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type"),
        Rejected::Full => (StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
        Rejected::Store(failure) => {
            tracing::error!(%failure, "cannot queue a delivery");
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

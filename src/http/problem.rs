//! Errors as `application/problem+json` (RFC 9457).

use crate::ports::Failure;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

/// An error response. `type` is a short code of the contract.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
        }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", "unknown path")
    }

    pub(super) fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            "this path does not support the method",
        )
    }

    pub(super) fn builder(&self) -> HttpResponseBuilder {
        let mut builder = HttpResponse::build(self.status);
        builder.content_type("application/problem+json");
        builder
    }

    pub(super) fn body(&self) -> String {
        json!({
            "type": self.code,
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
        .to_string()
    }

    pub(super) fn answer(&self) -> HttpResponse {
        self.builder().body(self.body())
    }
}

pub(super) fn store_failed(failure: &Failure) -> HttpResponse {
    tracing::error!(%failure, "failed to answer from the store");
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "store-unavailable",
        "Service unavailable",
        failure.to_string(),
    )
    .answer()
}

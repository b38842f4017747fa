//! One REST request. Every part that comes from outside is percent-encoded.

use crate::domain::ids::RepositoryName;
use crate::ports::github::Purpose;
use http::Method;
use serde_json::Value;
use std::fmt::{self, Write};

/// The largest page size that GitHub accepts.
pub(super) const PER_PAGE: usize = 100;

/// A request. Its text form, used in errors, is the method and the path, without the query.
pub(super) struct Request {
    /// The name in metrics and logs, out of a closed set.
    pub(super) endpoint: &'static str,
    pub(super) method: Method,
    /// The path below the API URL, encoded.
    pub(super) path: String,
    /// The query without the question mark, encoded; empty for none.
    pub(super) query: String,
    pub(super) body: Option<Value>,
    pub(super) purpose: Purpose,
}

impl Request {
    pub(super) fn get(endpoint: &'static str, path: String, purpose: Purpose) -> Self {
        Self {
            endpoint,
            method: Method::GET,
            path,
            query: String::new(),
            body: None,
            purpose,
        }
    }

    /// Creates a request that changes something. Its purpose is [`Purpose::Admit`], so it may use the whole quota.
    pub(super) fn change(endpoint: &'static str, method: Method, path: String, body: Option<Value>) -> Self {
        Self {
            method,
            body,
            ..Self::get(endpoint, path, Purpose::Admit)
        }
    }

    /// Adds a query parameter.
    pub(super) fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(key);
        self.query.push('=');
        self.query.push_str(&encoded(&value.to_string()));
        self
    }

    /// Returns the points that GitHub's secondary limit counts for the request.
    pub(super) fn points(&self) -> u32 {
        if self.method == Method::GET { 1 } else { 5 }
    }

    /// Returns the path and the query.
    pub(super) fn target(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// Returns `/repos/{owner}/{name}/{rest}`. The type of the name guarantees safe characters.
pub(super) fn under(repository: &RepositoryName, rest: &str) -> String {
    format!("/repos/{repository}/{rest}")
}

/// Percent-encodes everything except unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(out, "%{byte:02X}").ok();
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_a_query_are_percent_encoded() {
        let request = Request::get("pulls", "/repos/o/r/pulls".to_owned(), Purpose::Judge)
            .with("state", "all")
            .with("head", "o:feature/ä b&x=1#?+%");
        assert_eq!(
            request.target(),
            "/repos/o/r/pulls?state=all&head=o%3Afeature%2F%C3%A4%20b%26x%3D1%23%3F%2B%25"
        );
        assert_eq!(request.to_string(), "GET /repos/o/r/pulls");
        assert_eq!(encoded("dependabot[bot]"), "dependabot%5Bbot%5D");
    }
}

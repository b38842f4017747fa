//! One REST call: the request, and the reply or the refusal of an endpoint.

use serde_json::{Value, json};
use std::collections::BTreeMap;

const DOCUMENTATION: &str = "https://docs.github.com/rest";
/// Tokens with this prefix belong to a person, have every permission and do not expire.
pub(super) const PERSONAL: &str = "sim-";

/// The parts of a request that the model uses.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) authorization: Option<String>,
    pub(super) if_none_match: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Returns the token of the `Authorization` header.
    pub(super) fn credential(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_deref()?.split_once(' ')?;
        (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")).then_some(token)
    }

    /// Returns the login of the account that sends the request.
    pub(super) fn caller(&self) -> &'static str {
        match self.credential() {
            Some(token) if token.starts_with(PERSONAL) => "operator",
            _ => "jitgate[bot]",
        }
    }
}

#[derive(Default)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// The body; none for an answer without one.
    pub(super) body: Option<Vec<u8>>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            body: Some(body.to_string().into_bytes()),
            ..Self::default()
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// A refusal in GitHub's form.
pub(super) struct Refused(pub(super) Reply);

impl Refused {
    pub(super) fn new(status: u16, message: &str) -> Self {
        let body = json!({"message": message, "documentation_url": DOCUMENTATION, "status": status.to_string()});
        Self(Reply::json(status, &body))
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "Not Found")
    }

    pub(super) fn header(self, name: &str, value: impl ToString) -> Self {
        Self(self.0.header(name, value))
    }
}

pub(super) type Answer = Result<Reply, Refused>;

/// A call of an endpoint.
pub(super) struct Call<'a> {
    /// The variable parts of the path, in order.
    pub(super) args: Vec<&'a str>,
    pub(super) request: &'a Request,
}

impl Call<'_> {
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).copied().unwrap_or_default()
    }

    /// Returns a number in the path. Any other text refers to an object that does not exist.
    pub(super) fn number(&self, at: usize) -> Result<u64, Refused> {
        self.arg(at).parse().map_err(|_| Refused::not_found())
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.request.query.get(name).map(String::as_str)
    }

    pub(super) fn body(&self) -> Result<Value, Refused> {
        if self.request.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.request.body).map_err(|_| Refused::new(400, "Problems parsing JSON"))
    }

    /// Returns one page of `items`, and the `Link` header if there are more.
    pub(super) fn page<T>(&self, items: Vec<T>, url: &str) -> (Vec<T>, Option<String>) {
        let number = |name: &str, default: usize| self.query(name).and_then(|n| n.parse().ok()).unwrap_or(default);
        let (per_page, page) = (number("per_page", 30).clamp(1, 100), number("page", 1).max(1));
        let rest = items.len().saturating_sub(per_page.saturating_mul(page));
        let skipped = per_page.saturating_mul(page - 1);
        let link = (rest > 0).then(|| {
            let mut query = self.request.query.clone();
            query.insert("page".to_owned(), (page + 1).to_string());
            let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("<{url}{}?{}>; rel=\"next\"", self.request.path, query.join("&"))
        });
        (items.into_iter().skip(skipped).take(per_page).collect(), link)
    }
}

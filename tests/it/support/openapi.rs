//! A GitHub that is built from GitHub's own description of its API, independent of jitgate's simulator.
//!
//! It holds each request against the description (method, path, query, body), records it, and answers with GitHub's own
//! example unless a test sets another answer. Answers of a test are held against the description as well.

use super::description::Description;
use super::scripted::{Asked, Reply, Scripted, json, with_headers};
use chrono::TimeDelta;
use jitgate::adapters::clock::SystemClock;
use jitgate::ports::Clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

static DESCRIPTION: LazyLock<Description> = LazyLock::new(Description::of_the_api);

/// A request, as the description names it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// The path with its variables, for example `/repos/{owner}/{repo}`.
    pub(crate) template: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Call {
    /// Returns the method and the template.
    pub(crate) fn operation(&self) -> String {
        format!("{} {}", self.method, self.template)
    }

    /// Reports whether the request changes something at GitHub. A token changes nothing.
    pub(crate) fn is_change(&self) -> bool {
        self.method != "GET" && !self.template.ends_with("/access_tokens")
    }
}

/// A refusal or a fault that GitHub documents or that its users know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Status(u16),
    Hang,
}

impl Fault {
    /// The faults that each command reports with exit code 4 and a remedy.
    pub(crate) const ALL: [Self; 8] = [
        Self::Status(401),
        Self::Status(403),
        Self::Status(404),
        Self::Status(409),
        Self::Status(422),
        Self::Status(429),
        Self::Status(502),
        Self::Hang,
    ];

    /// Reports whether the standard error of a command has one error and one remedy that fits.
    pub(crate) fn is_met_by(self, err: &str) -> bool {
        let lines = |start: &str| -> Vec<String> {
            err.lines()
                .filter_map(|line| line.strip_prefix(start))
                .map(str::to_owned)
                .collect()
        };
        let (errors, remedies) = (lines("jitgate: error: "), lines("jitgate: remedy: "));
        let ([_], [remedy]) = (errors.as_slice(), remedies.as_slice()) else {
            return false;
        };
        let words: &[&str] = match self {
            Self::Status(401 | 403 | 404) => &["credentials", "token", "permission", "access", "app", "administrator"],
            Self::Status(409 | 422) => &["again", "check", "use", "add"],
            Self::Status(_) | Self::Hang => &["again"],
        };
        words.iter().any(|word| remedy.contains(word))
    }

    fn reply(self) -> Reply {
        let refusal = |status, message: &str| {
            json(
                status,
                json!({"message": message, "documentation_url": "https://docs.github.com"}),
            )
        };
        match self {
            Self::Status(401) => refusal(401, "Bad credentials"),
            Self::Status(403) => refusal(403, "Resource not accessible by integration"),
            Self::Status(404) => refusal(404, "Not Found"),
            Self::Status(409) => refusal(409, "Conflict"),
            Self::Status(422) => refusal(422, "Validation Failed"),
            Self::Status(429) => with_headers(
                429,
                &[("retry-after", "60")],
                json!({"message": "You have exceeded a secondary rate limit."}),
            ),
            Self::Status(status) => Reply::Page(status, Some("text/html"), "<html>Unicorn!</html>"),
            Self::Hang => Reply::Hang,
        }
    }
}

type Reaction = Arc<dyn Fn(&Call) -> (u16, Value) + Send + Sync>;

#[derive(Default)]
struct State {
    reactions: BTreeMap<String, Reaction>,
    faults: BTreeMap<String, Fault>,
    calls: Vec<Call>,
    problems: Vec<String>,
}

/// The model; it stops when it is dropped.
pub(crate) struct OpenApiGithub {
    server: Scripted,
    state: Arc<Mutex<State>>,
}

impl OpenApiGithub {
    /// Starts a model on a free port of the loopback interface.
    pub(crate) fn start() -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let model = Self {
            server: Scripted::bare(move |asked| shared.lock().expect("the state").serve(asked)),
            state,
        };
        // GitHub's own example has expired.
        model.react("POST /app/installations/{installation_id}/access_tokens", |_| {
            (
                201,
                json!({"token": "ghs_model", "expires_at": SystemClock.now() + TimeDelta::hours(1)}),
            )
        });
        model
    }

    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    /// Sets the answer of an operation such as `GET /repos/{owner}/{repo}`.
    pub(crate) fn answer(&self, operation: &str, status: u16, body: Value) {
        self.react(operation, move |_| (status, body.clone()));
    }

    /// Sets the reaction of an operation.
    pub(crate) fn react(&self, operation: &str, reaction: impl Fn(&Call) -> (u16, Value) + Send + Sync + 'static) {
        let (method, template) = operation.split_once(' ').expect("a method and a template");
        assert!(
            DESCRIPTION.has(method, template),
            "GitHub does not describe {operation}"
        );
        self.state().reactions.insert(operation.to_owned(), Arc::new(reaction));
    }

    /// Returns GitHub's own example of the answer of an operation.
    pub(crate) fn example(operation: &str) -> Value {
        let (method, template) = operation.split_once(' ').expect("a method and a template");
        let example = DESCRIPTION.example(method, template).and_then(|(_, body)| body);
        example.unwrap_or_else(|| panic!("{operation} has no example"))
    }

    /// Lets an operation fail.
    pub(crate) fn fail(&self, operation: &str, fault: Fault) {
        self.state().faults.insert(operation.to_owned(), fault);
    }

    /// Ends all failures.
    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Returns all requests so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the number of requests of an operation.
    pub(crate) fn calls_of(&self, operation: &str) -> usize {
        self.state()
            .calls
            .iter()
            .filter(|call| call.operation() == operation)
            .count()
    }

    /// Returns the operations of all requests that changed something.
    pub(crate) fn changes(&self) -> Vec<String> {
        let state = self.state();
        let changes = state.calls.iter().filter(|call| call.is_change());
        changes.map(Call::operation).collect()
    }

    /// Fails if a request or an answer differs from the description.
    pub(crate) fn assert_as_documented(&self) {
        let problems = &self.state().problems;
        assert!(problems.is_empty(), "{problems:#?}");
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }
}

impl State {
    fn serve(&mut self, asked: &Asked) -> Reply {
        let Some((template, variables)) = DESCRIPTION.operation(&asked.method, &asked.path) else {
            self.problems.push(format!("GitHub does not describe {}", asked.line()));
            return json(404, json!({"message": "Not Found"}));
        };
        let call = Call {
            method: asked.method.clone(),
            template,
            variables,
            query: asked.query.clone(),
            body: asked.body.clone(),
        };
        let operation = call.operation();
        self.check(&call);
        self.calls.push(call.clone());
        if let Some(fault) = self.faults.get(&operation) {
            return fault.reply();
        }
        let (status, body) = match self.reactions.get(&operation) {
            Some(react) => react(&call),
            None => self.example(&call),
        };
        self.check_answer(&call, status, &body);
        json(status, body)
    }

    fn check(&mut self, call: &Call) {
        let operation = call.operation();
        let described = DESCRIPTION.query_names(&call.method, &call.template);
        for pair in call.query.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or(pair);
            if !described.contains(name) {
                self.problems
                    .push(format!("{operation} takes no query parameter {name}"));
            }
        }
        match DESCRIPTION.request(&call.method, &call.template) {
            Some(schema) => {
                // A body that may be left out is empty.
                let body = if call.body.is_null() {
                    json!({})
                } else {
                    call.body.clone()
                };
                let problems = DESCRIPTION.problems(&schema, &body);
                self.problems.extend(
                    problems
                        .into_iter()
                        .map(|problem| format!("{operation}: body {problem}")),
                );
                let unknown = unknown_fields(&schema, &body);
                self.problems
                    .extend(unknown.map(|field| format!("{operation}: body has no field {field}")));
            }
            None if !call.body.is_null() => self.problems.push(format!("{operation} takes no body: {}", call.body)),
            None => {}
        }
    }

    fn example(&mut self, call: &Call) -> (u16, Value) {
        match DESCRIPTION.example(&call.method, &call.template) {
            Some((status, Some(body))) => (status, body),
            Some((204, None)) => (204, Value::Null),
            Some((status, None)) => (status, json!({})),
            None => {
                self.problems.push(format!("{} has no example", call.operation()));
                (500, json!({}))
            }
        }
    }

    fn check_answer(&mut self, call: &Call, status: u16, body: &Value) {
        let operation = call.operation();
        // Refusals are the same for all operations, and the description leaves most of them out.
        if status >= 400 || status == 204 {
            return;
        }
        match DESCRIPTION.answer(&call.method, &call.template, status) {
            Ok(Some(schema)) if self.reactions.contains_key(&operation) => {
                // A test writes down the fields that matter to it.
                let problems = DESCRIPTION.problems(&schema, body).into_iter();
                let wrong = problems.filter(|problem| !problem.contains("required property"));
                self.problems
                    .extend(wrong.map(|problem| format!("{operation}: answer {problem}")));
            }
            Ok(_) => {}
            Err(problem) => self.problems.push(problem),
        }
    }
}

/// Returns the fields of a body that a plain object schema does not name.
fn unknown_fields(schema: &Value, body: &Value) -> impl Iterator<Item = String> {
    let known = schema["properties"].as_object().cloned();
    let fields = body.as_object().cloned().unwrap_or_default();
    let names = fields.into_iter().map(|(name, _)| name);
    names.filter(move |name| known.as_ref().is_some_and(|known| !known.contains_key(name)))
}

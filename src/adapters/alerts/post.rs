//! One POST to a receiver of alerts: bounded in time, following no redirect, reading no answer but its head. Errors name
//! neither the URL nor anything the receiver wrote, since both can hold secrets.

use crate::config::Proxies;
use crate::ports::{Clock, Failure};
use chrono::TimeDelta;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// For a connection to be there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// For the answer, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longest pause that a receiver can ask for.
const LONGEST_PAUSE_S: i64 = 3600;

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the client that posts alerts")]
pub struct SetupError(#[source] reqwest::Error);

/// Posts alerts.
#[derive(Clone)]
pub struct Post {
    http: Client,
    clock: Arc<dyn Clock>,
}

impl Post {
    /// A client for all receivers.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn new(clock: Arc<dyn Clock>, proxies: &Proxies) -> Result<Self, SetupError> {
        let mut http = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .redirect(Policy::none())
            // None but those of the configuration.
            .no_proxy()
            .user_agent(concat!("jitgate/", env!("CARGO_PKG_VERSION")));
        for proxy in proxies.for_client().map_err(SetupError)? {
            http = http.proxy(proxy);
        }
        let http = http.build().map_err(SetupError)?;
        Ok(Self { http, clock })
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Posts JSON to `receiver`, which is what errors call it.
    pub(super) async fn json(
        &self,
        receiver: &str,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(), Failure> {
        let request = self.http.post(url).headers(headers);
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let answer = request.send().await.map_err(|error| unanswered(receiver, error))?;
        let status = answer.status();
        let failed = |more: &str| format!("{receiver} answered {}{more}", status.as_u16());
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Err(match pause(answer.headers()) {
                Some(pause) => Failure::RateLimited {
                    until: self.clock.now() + pause,
                    detail: failed(""),
                },
                None => Failure::Transient(failed("")),
            }),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Err(Failure::Transient(failed(""))),
            _ if status.is_server_error() => Err(Failure::Transient(failed(""))),
            _ if status.is_redirection() => Err(Failure::Permanent(failed(", and redirects are not followed"))),
            _ => Err(Failure::Permanent(failed(""))),
        }
    }
}

fn pause(headers: &HeaderMap) -> Option<TimeDelta> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    TimeDelta::try_seconds(seconds.clamp(0, LONGEST_PAUSE_S))
}

/// What went wrong on the way, without the URL.
fn unanswered(receiver: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        return Failure::Transient(format!("{receiver} did not answer in {} s", ANSWER_WITHIN.as_secs()));
    }
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let what = if error.is_connect() {
        "is out of reach"
    } else {
        "gave no answer"
    };
    Failure::Transient(format!("{receiver} {what}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use reqwest::header::HeaderValue;
    use tokio::net::TcpListener;

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> DateTime<Utc> {
            DateTime::default()
        }
    }

    #[tokio::test]
    async fn an_error_says_what_happened_and_not_where() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/secret", listener.local_addr().expect("its address"));
        drop(listener);
        let post = Post::new(Arc::new(Stopped), &Proxies::default()).expect("a client");
        let failed = post.json("Slack", &url, HeaderMap::new(), Vec::new()).await;
        let Err(Failure::Transient(what)) = failed else {
            panic!("{failed:?}")
        };
        assert!(what.starts_with("Slack is out of reach: Connection refused"), "{what}");
        assert!(!what.contains("secret") && !what.contains("127.0.0.1"), "{what}");
    }

    #[test]
    fn a_receiver_can_ask_for_a_pause_within_bounds() {
        let asked = |text: &'static str| pause(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(asked("30"), Some(TimeDelta::seconds(30)));
        assert_eq!(asked("999999999"), Some(TimeDelta::hours(1)));
        assert_eq!(asked("-5"), Some(TimeDelta::zero()));
        assert_eq!(asked("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(pause(&HeaderMap::new()), None);
    }
}

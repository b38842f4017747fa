//! One POST to a receiver of alerts. It has a timeout, follows no redirect and reads only the head of the response.
//! Errors contain neither the URL nor any text of the receiver, since both can hold secrets.

use crate::config::Proxies;
use crate::ports::{Clock, Failure};
use chrono::TimeDelta;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The timeout for the response, including the connection.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause that a receiver can request.
const MAX_PAUSE_S: i64 = 3600;

/// A failure to build the HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("failed to build the HTTP client for alerts")]
pub struct SetupError(#[source] reqwest::Error);

/// An HTTP client that posts alerts.
#[derive(Clone)]
pub struct Post {
    http: Client,
    clock: Arc<dyn Clock>,
}

impl Post {
    /// Creates one client for all receivers.
    ///
    /// # Errors
    /// Returns a [`SetupError`] if the HTTP client cannot be built.
    pub fn new(clock: Arc<dyn Clock>, proxies: &Proxies) -> Result<Self, SetupError> {
        let mut http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(RESPONSE_TIMEOUT)
            .redirect(Policy::none())
            // The only proxies are those of the configuration.
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

    /// Posts JSON to a receiver. Errors name it `receiver`.
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
            _ if status.is_redirection() => Err(Failure::Permanent(failed("; redirects are not followed"))),
            _ => Err(Failure::Permanent(failed(""))),
        }
    }
}

fn pause(headers: &HeaderMap) -> Option<TimeDelta> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    TimeDelta::try_seconds(seconds.clamp(0, MAX_PAUSE_S))
}

/// Converts an error of the HTTP client without its URL.
fn unanswered(receiver: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if error.is_timeout() && !error.is_connect() {
        return Failure::Transient(format!(
            "{receiver} did not answer within {} s",
            RESPONSE_TIMEOUT.as_secs()
        ));
    }
    let mut cause: &dyn Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let fault = if error.is_connect() {
        "is unreachable"
    } else {
        "did not answer"
    };
    Failure::Transient(format!("{receiver} {fault}: {cause}"))
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
    async fn an_error_names_the_fault_and_not_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/secret", listener.local_addr().expect("its address"));
        drop(listener);
        let post = Post::new(Arc::new(Stopped), &Proxies::default()).expect("a client");
        let failed = post.json("Slack", &url, HeaderMap::new(), Vec::new()).await;
        let Err(Failure::Transient(what)) = failed else {
            panic!("{failed:?}")
        };
        assert!(what.starts_with("Slack is unreachable: Connection refused"), "{what}");
        assert!(!what.contains("secret") && !what.contains("127.0.0.1"), "{what}");
    }

    #[test]
    fn a_receiver_can_ask_for_a_pause_within_bounds() {
        let requested =
            |text: &'static str| pause(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]));
        assert_eq!(requested("30"), Some(TimeDelta::seconds(30)));
        assert_eq!(requested("999999999"), Some(TimeDelta::hours(1)));
        assert_eq!(requested("-5"), Some(TimeDelta::zero()));
        assert_eq!(requested("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(pause(&HeaderMap::new()), None);
    }
}

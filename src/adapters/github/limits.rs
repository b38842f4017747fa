//! GitHub's rate limits, shared by all callers: a limit that one call of an account runs into stops all calls of this
//! account.
//!
//! A call is refused before it is sent for four reasons: a limit that GitHub announced, a quota of which the rest is
//! reserved for admissions, too many calls of one endpoint within a minute, and too many JIT requests.

use super::request::Request;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, Method, StatusCode};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The reserve for admissions is the quota divided by this number.
const RESERVE_DIVISOR: u64 = 10;
/// Recovery stops when less than the quota divided by this number is left.
const RECOVERY_DIVISOR: u64 = 2;
/// The points that the calls of one endpoint may use within a minute, by purpose. GitHub accepts 900 from all users of
/// an account.
const MAX_POINTS_TO_RECOVER: u32 = 500;
const MAX_POINTS_TO_JUDGE: u32 = 600;
const MAX_POINTS_AT_SIGHT: u32 = 700;
const MAX_POINTS_TO_ADMIT: u32 = 800;
/// GitHub's name of the quota that jitgate's calls use.
const CORE: &str = "core";
/// GitHub accepts 180 JIT requests a minute: 900 points, 5 for each.
const MAX_JIT_REQUESTS_PER_MINUTE: usize = 150;
/// The wait that GitHub's documentation asks for if a response names no time.
const DEFAULT_WAIT: TimeDelta = TimeDelta::minutes(1);
/// GitHub's longest rate limit window. A longer wait is a mistake of the sender and must not stop jitgate for ever.
const MAX_WAIT: TimeDelta = TimeDelta::hours(1);

/// The account that GitHub counts a call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Account {
    /// No credential was sent.
    Anonymous,
    /// The App itself.
    App,
    /// One installation of the App.
    Installation(u64),
    /// The owner of a token.
    Token,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous calls"),
            Self::App => f.write_str("the app"),
            Self::Installation(id) => write!(f, "installation {id}"),
            Self::Token => f.write_str("the token"),
        }
    }
}

/// A limit that GitHub announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The time of the response.
    pub(super) since: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) cause: &'static str,
}

/// The times of calls with their points.
type Pace = VecDeque<(DateTime<Utc>, u32)>;

#[derive(Debug, Default)]
pub(super) struct Limits {
    accounts: Mutex<HashMap<Account, AccountState>>,
    jit_requests: Mutex<VecDeque<DateTime<Utc>>>,
    /// The calls of each endpoint within the last minute.
    paces: Mutex<HashMap<&'static str, Pace>>,
}

#[derive(Debug, Default)]
struct AccountState {
    limit: Option<Limit>,
    /// Calls that have no result yet.
    in_flight: u64,
    /// The quotas by resource.
    quotas: BTreeMap<String, Quota>,
}

#[derive(Debug)]
struct Quota {
    limit: u64,
    remaining: u64,
    reset: DateTime<Utc>,
}

impl Limits {
    /// Checks that a call may be sent now. The call counts as in flight until the returned guard is dropped.
    pub(super) fn check(
        &self,
        account: Account,
        purpose: Purpose,
        now: DateTime<Utc>,
    ) -> Result<InFlight<'_>, Failure> {
        let mut accounts = self.accounts();
        let state = accounts.entry(account).or_default();
        state.check(account, purpose, now)?;
        state.in_flight += 1;
        Ok(InFlight { limits: self, account })
    }

    /// Takes the points of a call from the budget of its endpoint.
    pub(super) fn pace(&self, request: &Request, now: DateTime<Utc>) -> Result<(), Failure> {
        let max_points = match request.purpose {
            // No other purpose requests redeliveries.
            Purpose::Recover if request.method == Method::POST => MAX_POINTS_TO_ADMIT,
            Purpose::Recover => MAX_POINTS_TO_RECOVER,
            Purpose::Judge => MAX_POINTS_TO_JUDGE,
            Purpose::Sight => MAX_POINTS_AT_SIGHT,
            Purpose::Admit => MAX_POINTS_TO_ADMIT,
        };
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let made = paces.entry(request.endpoint).or_default();
        while made.front().is_some_and(|(at, _)| *at + TimeDelta::minutes(1) <= now) {
            made.pop_front();
        }
        let points: u32 = made.iter().map(|(_, points)| points).sum();
        if points + request.points() > max_points
            && let Some((oldest, _)) = made.front()
        {
            return Err(Failure::RateLimited {
                until: *oldest + TimeDelta::minutes(1),
                detail: format!("{request}: too many calls of {} within a minute", request.endpoint),
            });
        }
        made.push_back((now, request.points()));
        Ok(())
    }

    /// Records the quota that a response reports.
    pub(super) fn record_quota(&self, account: Account, headers: &HeaderMap) {
        let (Some(limit), Some(remaining), Some(reset)) = (
            number(headers, "x-ratelimit-limit"),
            number(headers, "x-ratelimit-remaining"),
            reset(headers),
        ) else {
            return;
        };
        let resource = text(headers, "x-ratelimit-resource").unwrap_or(CORE);
        let is_valid = resource.len() <= 64 && resource.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if account != Account::Anonymous && is_valid {
            let quota = Quota {
                limit,
                remaining,
                reset,
            };
            let mut accounts = self.accounts();
            let state = accounts.entry(account).or_default();
            state.quotas.insert(resource.to_owned(), quota);
        }
    }

    /// Stops all calls of `account` until the limit ends.
    pub(super) fn apply(&self, account: Account, limit: Limit) {
        let mut accounts = self.accounts();
        let state = accounts.entry(account).or_default();
        // Responses can arrive out of order; the later end counts.
        if state.limit.as_ref().is_none_or(|known| known.until < limit.until) {
            state.limit = Some(limit);
        }
    }

    /// Returns true if GitHub has announced a limit of at most this length for the account.
    pub(super) fn is_short(&self, account: Account, longest: TimeDelta) -> bool {
        let accounts = self.accounts();
        let limit = accounts.get(&account).and_then(|state| state.limit.as_ref());
        limit.is_some_and(|limit| limit.until - limit.since <= longest)
    }

    /// Takes one JIT request from the budget of the minute.
    pub(super) fn take_jit_request(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        if let Some(until) = self.jit_not_before(now) {
            let detail = format!("{MAX_JIT_REQUESTS_PER_MINUTE} JIT runners were requested within a minute");
            return Err(Failure::RateLimited { until, detail });
        }
        self.jit_requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(now);
        Ok(())
    }

    /// Returns the time from which the next JIT request may be sent; none if it may be sent now.
    pub(super) fn jit_not_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut sent = self.jit_requests.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.front().is_some_and(|at| *at + TimeDelta::minutes(1) <= now) {
            sent.pop_front();
        }
        let oldest = sent.front().filter(|_| sent.len() >= MAX_JIT_REQUESTS_PER_MINUTE)?;
        Some(*oldest + TimeDelta::minutes(1))
    }

    /// Returns the remaining quota of each resource as last reported; the lowest of all accounts.
    pub(super) fn remaining(&self) -> BTreeMap<String, u64> {
        let mut least = BTreeMap::new();
        for (resource, quota) in self.accounts().values().flat_map(|state| &state.quotas) {
            let known = least.entry(resource.clone()).or_insert(quota.remaining);
            *known = quota.remaining.min(*known);
        }
        least
    }

    /// Returns the percentage of the calls that is left, as last reported; the lowest of all accounts.
    pub(super) fn left_percent(&self, now: DateTime<Utc>) -> Option<u64> {
        let accounts = self.accounts();
        let quotas = accounts.values().filter_map(|state| state.quotas.get(CORE));
        let current = quotas.filter(|quota| quota.reset > now);
        current
            .map(|quota| quota.remaining.saturating_mul(100) / quota.limit.max(1))
            .min()
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Account, AccountState>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountState {
    fn check(&self, account: Account, purpose: Purpose, now: DateTime<Utc>) -> Result<(), Failure> {
        if let Some(limit) = self.limit.as_ref().filter(|limit| limit.until > now) {
            return Err(Failure::RateLimited {
                until: limit.until,
                detail: format!("GitHub limits {account}: {}", limit.cause),
            });
        }
        let Some(quota) = self.quotas.get(CORE).filter(|quota| quota.reset > now) else {
            return Ok(());
        };
        let reserved = match purpose {
            Purpose::Recover => quota.limit / RECOVERY_DIVISOR,
            Purpose::Judge => quota.limit / RESERVE_DIVISOR,
            Purpose::Sight => quota.limit / RESERVE_DIVISOR / 2,
            Purpose::Admit => 0,
        };
        // GitHub may not have counted the calls in flight yet; a burst must not use up the reserve.
        let available = quota.remaining.saturating_sub(self.in_flight);
        if quota.remaining == 0 || (reserved > 0 && available < reserved) {
            return Err(Failure::RateLimited {
                until: quota.reset,
                detail: format!(
                    "{account} has {} of {} calls left, of which {reserved} are reserved for other calls",
                    quota.remaining, quota.limit
                ),
            });
        }
        Ok(())
    }
}

/// The guard of a call in flight.
pub(super) struct InFlight<'a> {
    limits: &'a Limits,
    account: Account,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.limits.accounts().get_mut(&self.account) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
    }
}

/// Returns the limit that a response announces, if any.
pub(super) fn announced_limit(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Option<Limit> {
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    let secondary = body.contains("secondary rate limit") || body.contains("abuse");
    let used_up = number(headers, "x-ratelimit-remaining") == Some(0);
    let wait = retry_after(headers, now);
    let (until, cause) = match wait {
        Some(until) => (until, "the response has a Retry-After header"),
        None if used_up && !secondary => (reset(headers).unwrap_or(now + DEFAULT_WAIT), "the quota is exhausted"),
        None if secondary => (now + DEFAULT_WAIT, "secondary rate limit"),
        None if status == StatusCode::TOO_MANY_REQUESTS => (now + DEFAULT_WAIT, "too many requests"),
        None => return None,
    };
    Some(Limit {
        since: now,
        until: until.clamp(now + TimeDelta::seconds(1), now + MAX_WAIT),
        cause,
    })
}

/// Parses a `Retry-After` header: seconds or an HTTP date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let value = text(headers, "retry-after")?;
    match value.parse::<u32>() {
        Ok(seconds) => Some(now + TimeDelta::seconds(i64::from(seconds))),
        Err(_) => DateTime::parse_from_rfc2822(value).ok().map(|at| at.to_utc()),
    }
}

fn reset(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let seconds = text(headers, "x-ratelimit-reset")?.parse().ok()?;
    DateTime::from_timestamp(seconds, 0)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

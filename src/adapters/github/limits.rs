//! GitHub's limits, kept by everybody: who was told to wait waits, and all others of that account with it.
//!
//! Four things end a call before it is sent: a limit GitHub announced, a quota so low that the rest is kept for
//! admissions, too many calls of one endpoint within a minute, and too many JIT requests.

use super::request::Request;
use crate::ports::Failure;
use crate::ports::github::Purpose;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One part in so many of the quota is kept for admissions.
const RESERVE: u64 = 10;
/// Points that the calls of one endpoint may use within a minute, by purpose. GitHub takes 900, from all who use the account.
const MAX_POINTS_TO_JUDGE: u32 = 600;
const MAX_POINTS_AT_SIGHT: u32 = 700;
const MAX_POINTS_TO_ADMIT: u32 = 800;
/// The quota that our calls use up, in GitHub's word.
const CORE: &str = "core";
/// GitHub takes 180 JIT requests a minute: 900 points, 5 for each.
const JIT_A_MINUTE: usize = 150;
/// What GitHub asks for where it names no time.
const DEFAULT_WAIT: TimeDelta = TimeDelta::minutes(1);
/// GitHub's longest window. A longer wait is a mistake of somebody's, and must not stop us for ever.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// Whom GitHub counts a call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Account {
    /// Nobody: no credential was sent.
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

/// A limit GitHub announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) until: DateTime<Utc>,
    pub(super) why: &'static str,
}

/// When calls were made, with their points.
type Pace = VecDeque<(DateTime<Utc>, u32)>;

#[derive(Debug, Default)]
pub(super) struct Limits {
    standings: Mutex<HashMap<Account, Standing>>,
    jit_requests: Mutex<VecDeque<DateTime<Utc>>>,
    /// When calls of each endpoint were made within the last minute, with their points.
    paces: Mutex<HashMap<&'static str, Pace>>,
}

#[derive(Debug, Default)]
struct Standing {
    limit: Option<Limit>,
    /// Calls that have not come back.
    under_way: u64,
    /// By resource.
    quotas: BTreeMap<String, Quota>,
}

#[derive(Debug)]
struct Quota {
    limit: u64,
    remaining: u64,
    reset: DateTime<Utc>,
}

impl Limits {
    /// Whether a call may go out now; it is under way until what is returned is dropped.
    pub(super) fn check(
        &self,
        account: Account,
        purpose: Purpose,
        now: DateTime<Utc>,
    ) -> Result<UnderWay<'_>, Failure> {
        let mut standings = self.standings();
        let standing = standings.entry(account).or_default();
        standing.allows(account, purpose, now)?;
        standing.under_way += 1;
        Ok(UnderWay { limits: self, account })
    }

    /// Takes the points of a call from those of its endpoint.
    pub(super) fn pace(&self, request: &Request, now: DateTime<Utc>) -> Result<(), Failure> {
        let most = match request.purpose {
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
        if points + request.points() > most
            && let Some((oldest, _)) = made.front()
        {
            return Err(Failure::RateLimited {
                until: *oldest + TimeDelta::minutes(1),
                detail: format!("{request}: calls of {} are paced", request.endpoint),
            });
        }
        made.push_back((now, request.points()));
        Ok(())
    }

    /// Notes the quota an answer tells of.
    pub(super) fn learn(&self, account: Account, headers: &HeaderMap) {
        let (Some(limit), Some(remaining), Some(reset)) = (
            number(headers, "x-ratelimit-limit"),
            number(headers, "x-ratelimit-remaining"),
            reset(headers),
        ) else {
            return;
        };
        let resource = text(headers, "x-ratelimit-resource").unwrap_or(CORE);
        let is_a_word = resource.len() <= 64 && resource.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if account != Account::Anonymous && is_a_word {
            let quota = Quota {
                limit,
                remaining,
                reset,
            };
            let mut standings = self.standings();
            let standing = standings.entry(account).or_default();
            standing.quotas.insert(resource.to_owned(), quota);
        }
    }

    /// Stops all calls of `account` until the limit ends.
    pub(super) fn stop(&self, account: Account, limit: Limit) {
        let mut standings = self.standings();
        let standing = standings.entry(account).or_default();
        // Of two answers that crossed on the way the stricter one counts.
        if standing.limit.as_ref().is_none_or(|known| known.until < limit.until) {
            standing.limit = Some(limit);
        }
    }

    /// Takes one of the JIT requests that may go out within a minute.
    pub(super) fn take_jit_request(&self, now: DateTime<Utc>) -> Result<(), Failure> {
        if let Some(until) = self.jit_not_before(now) {
            let detail = format!("{JIT_A_MINUTE} JIT runners were asked for within a minute");
            return Err(Failure::RateLimited { until, detail });
        }
        self.jit_requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(now);
        Ok(())
    }

    /// When the next JIT request may go out; none if it is now.
    pub(super) fn jit_not_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut sent = self.jit_requests.lock().unwrap_or_else(PoisonError::into_inner);
        while sent.front().is_some_and(|at| *at + TimeDelta::minutes(1) <= now) {
            sent.pop_front();
        }
        let oldest = sent.front().filter(|_| sent.len() >= JIT_A_MINUTE)?;
        Some(*oldest + TimeDelta::minutes(1))
    }

    /// What was left of each resource's quota when GitHub last said; the least of all accounts.
    pub(super) fn remaining(&self) -> BTreeMap<String, u64> {
        let mut least = BTreeMap::new();
        for (resource, quota) in self.standings().values().flat_map(|standing| &standing.quotas) {
            let known = least.entry(resource.clone()).or_insert(quota.remaining);
            *known = quota.remaining.min(*known);
        }
        least
    }

    fn standings(&self) -> MutexGuard<'_, HashMap<Account, Standing>> {
        self.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Standing {
    fn allows(&self, account: Account, purpose: Purpose, now: DateTime<Utc>) -> Result<(), Failure> {
        if let Some(limit) = self.limit.as_ref().filter(|limit| limit.until > now) {
            return Err(Failure::RateLimited {
                until: limit.until,
                detail: format!("GitHub limits {account}: {}", limit.why),
            });
        }
        let Some(quota) = self.quotas.get(CORE).filter(|quota| quota.reset > now) else {
            return Ok(());
        };
        let kept = match purpose {
            Purpose::Judge => quota.limit / RESERVE,
            Purpose::Sight => quota.limit / RESERVE / 2,
            Purpose::Admit => 0,
        };
        // What is under way may not be counted yet; a crowd at once must not get at what is kept.
        let counted_on = quota.remaining.saturating_sub(self.under_way);
        if quota.remaining == 0 || (kept > 0 && counted_on < kept) {
            return Err(Failure::RateLimited {
                until: quota.reset,
                detail: format!(
                    "{account} has {} of {} calls left, {kept} are kept for admissions",
                    quota.remaining, quota.limit
                ),
            });
        }
        Ok(())
    }
}

/// A call that was let go out and has not come back.
pub(super) struct UnderWay<'a> {
    limits: &'a Limits,
    account: Account,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(standing) = self.limits.standings().get_mut(&self.account) {
            standing.under_way = standing.under_way.saturating_sub(1);
        }
    }
}

/// The limit an answer announces, if it does.
pub(super) fn announced(status: StatusCode, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Option<Limit> {
    if status != StatusCode::FORBIDDEN && status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let body = String::from_utf8_lossy(body).to_ascii_lowercase();
    let secondary = body.contains("secondary rate limit") || body.contains("abuse");
    let used_up = number(headers, "x-ratelimit-remaining") == Some(0);
    let wait = retry_after(headers, now);
    let (until, why) = match wait {
        Some(until) => (until, "it asked to wait"),
        None if used_up && !secondary => (reset(headers).unwrap_or(now + DEFAULT_WAIT), "the quota is used up"),
        None if secondary => (now + DEFAULT_WAIT, "secondary rate limit"),
        None if status == StatusCode::TOO_MANY_REQUESTS => (now + DEFAULT_WAIT, "too many requests"),
        None => return None,
    };
    Some(Limit {
        until: until.clamp(now + TimeDelta::seconds(1), now + LONGEST_WAIT),
        why,
    })
}

/// Seconds, or an HTTP date.
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

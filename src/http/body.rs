//! Reads the body of a delivery within limits of size, time and memory.
//!
//! The signature covers the whole body, so any client can begin as many bodies as there are connections. The first part
//! of each body is free and holds all that GitHub usually sends. The parts beyond it share one memory limit. If that is
//! used up, the body that has been arriving for the longest is dropped: GitHub's bodies arrive at once, and only a body
//! that stalls or trickles gets old.

use super::problem::Problem;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::Payload;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// The bytes of each body that do not count against the shared memory.
const FREE_BYTES: usize = 64 * 1024;
/// The shared memory for the other bytes of all bodies, in KiB.
const MAX_SHARED_KIB: usize = 256 * 1024;
/// The longest pause between two reads of a body.
const MAX_PAUSE: Duration = Duration::from_secs(3);
/// A body of this age can be dropped in favour of others.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The time for which a body waits for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(3);
/// The interval at which a waiting body checks for one that can be dropped.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);

/// A sender that pauses this long waits for the answer.
const QUIET_DELAY: Duration = Duration::from_millis(250);
/// The most bytes that are drained from a rejected body.
const MAX_DRAINED_BYTES: usize = 64 << 20;

/// The limits of bodies and their shared memory.
pub(super) struct Bodies {
    limit_bytes: usize,
    timeout: Duration,
    room: Arc<Semaphore>,
    large: Mutex<BTreeMap<u64, Arc<Large>>>,
    next: AtomicU64,
}

/// A body that uses shared memory.
struct Large {
    since: Instant,
    dropped: Notify,
}

/// A complete body, and the shared memory that it uses until it is dropped.
#[derive(Default)]
pub(super) struct Body {
    pub(super) bytes: Vec<u8>,
    room: Option<OwnedSemaphorePermit>,
}

impl Body {
    fn room_kib(&self) -> usize {
        self.room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

impl Bodies {
    pub(super) fn new(limit_bytes: usize, timeout: Duration) -> Self {
        // One body of the largest size always fits.
        let room = MAX_SHARED_KIB.max(limit_bytes / 1024 + 1);
        Self {
            limit_bytes,
            timeout,
            room: Arc::new(Semaphore::new(room)),
            large: Mutex::default(),
            next: AtomicU64::default(),
        }
    }

    /// Reads a body to its end.
    pub(super) async fn read(&self, request: &HttpRequest, payload: &mut Payload) -> Result<Body, Problem> {
        let declared = request.headers().get(CONTENT_LENGTH);
        let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let is_too_large = |length: u64| usize::try_from(length).map_or(true, |length| length > self.limit_bytes);
        if declared.is_some_and(is_too_large) {
            return Err(self.too_large());
        }
        let read = timeout(self.timeout, self.read_within(payload)).await;
        read.unwrap_or_else(|_| Err(too_slow(format!("within {} s", self.timeout.as_secs()))))
    }

    async fn read_within(&self, payload: &mut Payload) -> Result<Body, Problem> {
        let mut body = Body::default();
        // The entry is removed when this call returns, for any reason.
        let mut entry: Option<Entry<'_>> = None;
        let pause = MAX_PAUSE.min(self.timeout);
        loop {
            let chunk = tokio::select! {
                chunk = timeout(pause, payload.next()) => chunk,
                () = wait_until_dropped(entry.as_ref()) => {
                    return Err(too_slow("in time, and other deliveries need the memory".to_owned()));
                }
            };
            let chunk = match chunk {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(_))) => return Err(incomplete()),
                Ok(None) => return Ok(body),
                Err(_) => return Err(too_slow(format!("without a pause of {} s", pause.as_secs()))),
            };
            let length = body.bytes.len() + chunk.len();
            if length > self.limit_bytes {
                return Err(self.too_large());
            }
            let needed_kib = length.saturating_sub(FREE_BYTES).div_ceil(1024);
            if let Some(more @ 1..) = needed_kib.checked_sub(body.room_kib()) {
                let entry = entry.get_or_insert_with(|| self.entry());
                let more = self.make_room(entry, more).await?;
                match &mut body.room {
                    Some(room) => room.merge(more),
                    None => body.room = Some(more),
                }
            }
            body.bytes.extend_from_slice(&chunk);
        }
    }

    fn entry(&self) -> Entry<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let large = Arc::new(Large {
            since: Instant::now(),
            dropped: Notify::new(),
        });
        self.large().insert(number, large.clone());
        Entry {
            bodies: self,
            number,
            large,
        }
    }

    /// Waits for shared memory for this many more KiB of a body.
    async fn make_room(&self, entry: &Entry<'_>, kib: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let began = Instant::now();
        loop {
            if let Ok(Ok(permit)) = timeout(MEMORY_INTERVAL, self.room.clone().acquire_many_owned(kib)).await {
                return Ok(permit);
            }
            if began.elapsed() > MEMORY_TIMEOUT {
                return Err(busy());
            }
            let large = self.large();
            let oldest = large.iter().find(|(number, _)| **number != entry.number);
            if let Some((_, oldest)) = oldest.filter(|(_, oldest)| oldest.since.elapsed() > MAX_AGE) {
                oldest.dropped.notify_one();
            }
        }
    }

    fn too_large(&self) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Payload too large",
            format!("the body is larger than {} bytes", self.limit_bytes),
        )
    }

    fn large(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Large>>> {
        self.large.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a large body among the others, ordered by age.
struct Entry<'a> {
    bodies: &'a Bodies,
    number: u64,
    large: Arc<Large>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.bodies.large().remove(&self.number);
    }
}

async fn wait_until_dropped(entry: Option<&Entry<'_>>) {
    match entry {
        Some(entry) => entry.large.dropped.notified().await,
        None => std::future::pending().await,
    }
}

fn too_slow(how: String) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "too-slow",
        "Request timeout",
        format!("the body did not arrive {how}"),
    )
}

fn incomplete() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "incomplete",
        "Bad request",
        "the body ended early",
    )
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Service unavailable",
        "too many deliveries are being received; redeliver later",
    )
}

/// Drains the rest of the body, since closing early could reset the connection before the response is read.
pub(super) async fn drain(payload: &mut Payload, at_most: Duration) {
    let until_quiet = async {
        let mut drained_bytes = 0;
        while let Ok(Some(Ok(chunk))) = timeout(QUIET_DELAY, payload.next()).await {
            drained_bytes += chunk.len();
            if drained_bytes > MAX_DRAINED_BYTES {
                break;
            }
        }
    };
    // A sender that needs longer may lose the response.
    drop(timeout(at_most, until_quiet).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::FromRequest;
    use actix_web::test::TestRequest;

    #[tokio::test]
    async fn the_first_64_kib_of_a_body_take_no_room_from_large_ones() {
        let bodies = Bodies::new(25 << 20, Duration::from_secs(10));
        for (length, room_kib) in [(65_536, 0), (65_537, 1), (65_536 + 2048, 2)] {
            let request = TestRequest::default().set_payload(vec![b' '; length]);
            let (request, mut payload) = request.to_http_parts();
            let payload = Payload::from_request(&request, &mut payload).await;
            let read = bodies.read(&request, &mut payload.expect("a payload")).await;
            let Ok(body) = read else {
                panic!("{length} bytes are read")
            };
            assert_eq!(body.room_kib(), room_kib, "{length} bytes");
        }
    }
}

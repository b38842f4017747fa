//! A database file that another program holds: a backup, a person with a shell.

use super::outage::Hanging;
use crate::support::gate::{Gate, Place};
use crate::support::payload::{body, guid};
use futures::future::join_all;
use rusqlite::Connection;
use std::time::Duration;
use tokio::time::Instant;

/// GitHub hangs up after 10 s; those who are answered before know what to do.
const SOON: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_locked_database_does_not_delay_answers_to_github() {
    let github = Hanging::start().await;
    let place = Place::new();
    let database = place.path("locked.db");
    let url = format!("sqlite:{}", database.display());
    let gate = Gate::start_in(place, &github.url, &[("store.url", &url)], &["--role", "ingress"]).await;
    assert_eq!(
        gate.deliver("workflow_job", &guid(0), body("queued", 1)).await.status,
        202
    );

    let other = Connection::open(&database).expect("a database");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let one = |number: usize| {
        let gate = &gate;
        async move {
            let began = Instant::now();
            let answer = gate.deliver("workflow_job", &guid(number), body("queued", 1)).await;
            (answer.status, began.elapsed())
        }
    };
    // One comes alone; of the others some come while it waits, and some after it.
    let mut answers = vec![one(1).await];
    answers.extend(join_all((2..50).map(one)).await);
    for (status, took) in &answers {
        assert_eq!(*status, 503);
        assert!(*took < SOON, "{took:?}");
    }

    other.execute_batch("ROLLBACK").expect("no lock");
    let again = join_all((1..50).map(one)).await;
    assert!(
        again.iter().all(|(status, _)| *status == 202),
        "nothing was half-done: {again:?}"
    );
}

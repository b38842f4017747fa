//! The tables, and the migration of a file from an earlier version.
//!
//! `PRAGMA application_id` is "jitg"; `PRAGMA user_version` is the number of applied migrations. Times are milliseconds
//! since 1970, UTC.
//!
//! `deliveries`: one row per GUID. Unfinished rows stay; a finished row is removed `retention_s` after it finished.
//!
//! | column | holds |
//! |---|---|
//! | `number` | the row, for `bodies` |
//! | `place` | position in the order of arrival and of requeues; never used twice |
//! | `id` | `X-GitHub-Delivery` |
//! | `event` | `X-GitHub-Event` |
//! | `action`, `repository`, `job` | the subject of a queued delivery; null for an ignored one and for values that
//! could not be parsed. `job` is an unsigned number in a signed column |
//! | `received_at` | time at which the ingress had received it |
//! | `state` | `queued`, `leased`, `done`, `ignored` or `dead` |
//! | `attempts` | claims since it arrived or was requeued; with `place` it identifies a lease |
//! | `due_at` | time from which it may be claimed, which is the end of the lease for a leased one; null once finished |
//! | `finished_at` | time at which it became done, ignored or dead; null before |
//! | `cause` | cause of the last retry or of the dead letter |
//! | `body_bytes` | length of its body as received, 0 without a body |
//!
//! `bodies`: the body of a delivery, as long as its row exists and room permits. `encoding` is the version of the
//! payload: 0 as received, 1 an LZ4 block after its length.
//!
//! `totals`: one row, maintained by triggers, so that bounds are checked without counting. `last_place` only grows.
//!
//! `records`: the ledger, with `kind` and `id` as in `ports::ledger`. `value` carries its own version. `expires_at` is
//! null for records that are kept for ever. `spare_since` is a number that grows with every write for spare records,
//! and null otherwise.

use rusqlite::{Connection, TransactionBehavior};

const APPLICATION_ID: i64 = 0x6a69_7467;

/// Each migration turns a file of version `n` into one of version `n + 1`. Released migrations never change.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY,
        place INTEGER NOT NULL UNIQUE,
        id TEXT NOT NULL UNIQUE,
        event TEXT NOT NULL,
        action TEXT,
        repository TEXT,
        job INTEGER,
        received_at INTEGER NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        due_at INTEGER,
        finished_at INTEGER,
        cause TEXT,
        body_bytes INTEGER NOT NULL,
        CHECK ((due_at IS NULL) = (finished_at IS NOT NULL))
    ) STRICT;
    CREATE INDEX deliveries_by_turn ON deliveries (place, due_at) WHERE finished_at IS NULL;
    CREATE INDEX deliveries_by_job ON deliveries (job, place, due_at, state) WHERE finished_at IS NULL;
    CREATE INDEX deliveries_by_end ON deliveries (finished_at, body_bytes) WHERE finished_at IS NOT NULL;
    CREATE INDEX deliveries_given_up ON deliveries (finished_at) WHERE state = 'dead';
    CREATE INDEX deliveries_to_strip ON deliveries (state = 'dead', place)
        WHERE finished_at IS NOT NULL AND body_bytes > 0;

    CREATE TABLE bodies (
        number INTEGER PRIMARY KEY REFERENCES deliveries ON DELETE CASCADE,
        encoding INTEGER NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;

    CREATE TABLE totals (
        last_place INTEGER NOT NULL,
        unfinished INTEGER NOT NULL,
        unfinished_bytes INTEGER NOT NULL,
        body_bytes INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (0, 0, 0, 0);
    CREATE TRIGGER delivery_comes AFTER INSERT ON deliveries BEGIN
        UPDATE totals SET
            unfinished = unfinished + (NEW.finished_at IS NULL),
            unfinished_bytes = unfinished_bytes + NEW.body_bytes * (NEW.finished_at IS NULL),
            body_bytes = body_bytes + NEW.body_bytes;
    END;
    CREATE TRIGGER delivery_goes AFTER DELETE ON deliveries BEGIN
        UPDATE totals SET
            unfinished = unfinished - (OLD.finished_at IS NULL),
            unfinished_bytes = unfinished_bytes - OLD.body_bytes * (OLD.finished_at IS NULL),
            body_bytes = body_bytes - OLD.body_bytes;
    END;
    CREATE TRIGGER delivery_changes AFTER UPDATE OF finished_at, body_bytes ON deliveries BEGIN
        UPDATE totals SET
            unfinished = unfinished + (NEW.finished_at IS NULL) - (OLD.finished_at IS NULL),
            unfinished_bytes = unfinished_bytes
                + NEW.body_bytes * (NEW.finished_at IS NULL) - OLD.body_bytes * (OLD.finished_at IS NULL),
            body_bytes = body_bytes + NEW.body_bytes - OLD.body_bytes;
    END;

    CREATE TABLE records (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        version INTEGER NOT NULL,
        value TEXT NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (kind, id)
    ) STRICT;
    CREATE INDEX records_by_end ON records (expires_at) WHERE expires_at IS NOT NULL;
",
    "
    ALTER TABLE records ADD COLUMN spare_since INTEGER;
    CREATE INDEX records_to_spare ON records (spare_since) WHERE spare_since IS NOT NULL;
    ALTER TABLE totals ADD COLUMN spare_records INTEGER NOT NULL DEFAULT 0;
    CREATE TRIGGER record_comes AFTER INSERT ON records WHEN NEW.spare_since IS NOT NULL BEGIN
        UPDATE totals SET spare_records = spare_records + 1;
    END;
    CREATE TRIGGER record_goes AFTER DELETE ON records WHEN OLD.spare_since IS NOT NULL BEGIN
        UPDATE totals SET spare_records = spare_records - 1;
    END;
    CREATE TRIGGER record_changes AFTER UPDATE OF spare_since ON records BEGIN
        UPDATE totals SET
            spare_records = spare_records + (NEW.spare_since IS NOT NULL) - (OLD.spare_since IS NOT NULL);
    END;
",
];

/// The version that [`migrate`] produces.
pub(super) const CURRENT: usize = MIGRATIONS.len();

/// Returns the version of a file; none for a database of another program. An empty file has version 0.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_ours = tables == 0 || pragma("application_id")? == APPLICATION_ID;
    let version = pragma("user_version")?;
    // A negative number is treated as a newer version.
    Ok(is_ours.then(|| usize::try_from(version).unwrap_or(usize::MAX)))
}

/// Applies the missing migrations, all or none.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let from = version(&transaction)?.unwrap_or(CURRENT);
    for migration in MIGRATIONS.iter().skip(from) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", i64::try_from(CURRENT).unwrap_or(i64::MAX))?;
    transaction.commit()
}

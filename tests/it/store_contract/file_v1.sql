-- A file as version 1 of the layout left it.
PRAGMA application_id = 0x6a697467;
PRAGMA user_version = 1;

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
CREATE TABLE records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    value TEXT NOT NULL,
    expires_at INTEGER,
    PRIMARY KEY (kind, id)
) STRICT;

INSERT INTO deliveries VALUES
    (1, 1, 'done', 'workflow_job', 'queued', 'octo-org/chem', 1, 1789999990000, 'done', 1, NULL, 1789999995000, NULL, 120),
    (2, 2, 'dead', 'workflow_job', 'queued', 'octo-org/chem', 2, 1789999991000, 'dead', 3, NULL, 1789999996000, 'unreadable', 0),
    (3, 3, 'leased', 'workflow_job', 'in_progress', 'octo-org/chem', 3, 1789999992000, 'leased', 1, 1790003600000, NULL, NULL, 0),
    (4, 4, 'waiting', 'workflow_job', 'completed', 'octo-org/chem', -1, 1789999993000, 'queued', 2, 1790000000000, NULL, 'slow', 3),
    (5, 5, 'ignored', 'star', NULL, NULL, NULL, 1789999994000, 'ignored', 0, NULL, 1789999994000, NULL, 0);
INSERT INTO bodies VALUES
    (1, 1, x'780000003f61626303005d506263616263'),
    (3, 0, x''),
    (4, 0, x'726177');
INSERT INTO totals VALUES (5, 2, 3, 123);
INSERT INTO records VALUES ('job', '7', 3, '{"v":1}', NULL);

CREATE INDEX deliveries_by_turn ON deliveries (place, due_at) WHERE finished_at IS NULL;
CREATE INDEX deliveries_by_job ON deliveries (job, place, due_at, state) WHERE finished_at IS NULL;
CREATE INDEX deliveries_by_end ON deliveries (finished_at, body_bytes) WHERE finished_at IS NOT NULL;
CREATE INDEX deliveries_given_up ON deliveries (finished_at) WHERE state = 'dead';
CREATE INDEX deliveries_to_strip ON deliveries (state = 'dead', place)
    WHERE finished_at IS NOT NULL AND body_bytes > 0;
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
CREATE INDEX records_by_end ON records (expires_at) WHERE expires_at IS NOT NULL;

-- The database of the embedded drive, format 1. Times are milliseconds since 1970. Ids are the drive's; numbers (`no`) are
-- this database's own, and are never used twice.

-- The drive itself: one row.
CREATE TABLE drive (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    root          TEXT NOT NULL,      -- id of the folder at the top
    permission_id TEXT NOT NULL,      -- id of the account
    secret        TEXT NOT NULL,      -- signs page tokens
    change        INTEGER NOT NULL,   -- number of the last change
    used          INTEGER NOT NULL    -- sum of items.quota_bytes, kept by triggers
);

-- Files, folders, shortcuts and documents. `trashed` holds for an item if `explicitly_trashed` does or the parent is
-- trashed. `version` is the number of the item's last change: the feed of changes is the order of `version`, which holds
-- each item once by construction.
CREATE TABLE items (
    no                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    parent               INTEGER REFERENCES items (no) ON DELETE CASCADE,   -- null: the root
    name                 TEXT NOT NULL,
    folded               TEXT NOT NULL,                 -- the name as it is compared
    mime_type            TEXT NOT NULL,
    created              INTEGER NOT NULL,
    modified             INTEGER NOT NULL,
    viewed               INTEGER,
    starred              INTEGER NOT NULL,
    trashed              INTEGER NOT NULL,
    explicitly_trashed   INTEGER NOT NULL,
    details              TEXT NOT NULL,                 -- JSON: fields that are kept and given back, nothing more
    indexable_text       TEXT,
    shortcut_target      TEXT,
    shortcut_mime_type   TEXT,
    head                 INTEGER,                       -- number of the current revision; null without content
    quota_bytes          INTEGER NOT NULL DEFAULT 0,    -- current revision and those kept for ever
    children             INTEGER NOT NULL DEFAULT 0,    -- kept by triggers
    version              INTEGER NOT NULL UNIQUE,
    changed              INTEGER NOT NULL               -- time of the last change
);
CREATE INDEX items_by_parent ON items (parent);         -- with the row number: pages of a folder are one range each
CREATE INDEX items_by_name ON items (folded, parent);
CREATE INDEX items_by_target ON items (shortcut_target) WHERE shortcut_target IS NOT NULL;
CREATE INDEX items_trashed ON items (trashed) WHERE trashed = 1;

CREATE TRIGGER item_added AFTER INSERT ON items BEGIN
    UPDATE items SET children = children + 1 WHERE no = new.parent;
    UPDATE drive SET used = used + new.quota_bytes;
END;
CREATE TRIGGER item_deleted AFTER DELETE ON items BEGIN
    UPDATE items SET children = children - 1 WHERE no = old.parent;
    UPDATE drive SET used = used - old.quota_bytes;
END;
CREATE TRIGGER item_moved AFTER UPDATE OF parent ON items WHEN old.parent IS NOT new.parent BEGIN
    UPDATE items SET children = children - 1 WHERE no = old.parent;
    UPDATE items SET children = children + 1 WHERE no = new.parent;
END;
CREATE TRIGGER item_resized AFTER UPDATE OF quota_bytes ON items BEGIN
    UPDATE drive SET used = used + new.quota_bytes - old.quota_bytes;
END;

-- Items deleted for good, for the feed of changes.
CREATE TABLE removed (
    version INTEGER PRIMARY KEY,
    id      TEXT NOT NULL,
    time    INTEGER NOT NULL
);

-- Custom properties. `app` is empty for public ones and names the application for private ones.
CREATE TABLE properties (
    item  INTEGER NOT NULL REFERENCES items (no) ON DELETE CASCADE,
    app   TEXT NOT NULL,
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (item, app, key)
) WITHOUT ROWID;
CREATE INDEX properties_by_value ON properties (key, value, app);

-- Ids handed out by generateIds. A used one stays used, whatever becomes of the item.
CREATE TABLE minted (
    id       TEXT PRIMARY KEY,
    shortcut INTEGER NOT NULL,
    used     INTEGER NOT NULL
) WITHOUT ROWID;

-- Contents of files. `blob` is null if there are no bytes, or none any more.
CREATE TABLE revisions (
    no                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                TEXT NOT NULL UNIQUE,
    item              INTEGER NOT NULL REFERENCES items (no) ON DELETE CASCADE,
    blob              TEXT,
    size              INTEGER NOT NULL,
    md5               TEXT NOT NULL,
    sha1              TEXT NOT NULL,
    sha256            TEXT NOT NULL,
    mime_type         TEXT NOT NULL,
    original_filename TEXT NOT NULL,
    modified          INTEGER NOT NULL,
    keep_forever      INTEGER NOT NULL
);
CREATE INDEX revisions_by_item ON revisions (item);
CREATE INDEX revisions_by_blob ON revisions (blob) WHERE blob IS NOT NULL;

-- Resumable uploads. An open one has a blob and no answer; a finished one keeps the answer it gave, a cancelled one nothing.
CREATE TABLE sessions (
    id      TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    request TEXT NOT NULL,        -- JSON: what was asked for at the start
    length  INTEGER,              -- as announced at the start
    blob    TEXT,
    answer  TEXT
) WITHOUT ROWID;
CREATE INDEX sessions_by_age ON sessions (created);

-- Every file of bytes in the data folder is named in revisions or sessions, which own it, or in one of these two:
-- `drafts`, being written by a request under way, and `doomed`, to be unlinked. So none is ever lost, whatever moment the
-- process dies at. The triggers see to it.
CREATE TABLE drafts (blob TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE doomed (blob TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE TRIGGER revision_added AFTER INSERT ON revisions WHEN new.blob IS NOT NULL BEGIN
    DELETE FROM drafts WHERE blob = new.blob;
END;
CREATE TRIGGER revision_deleted AFTER DELETE ON revisions
WHEN old.blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revisions WHERE blob = old.blob) BEGIN
    INSERT INTO doomed VALUES (old.blob);
END;
CREATE TRIGGER revision_emptied AFTER UPDATE OF blob ON revisions
WHEN old.blob IS NOT NULL AND new.blob IS NULL AND NOT EXISTS (SELECT 1 FROM revisions WHERE blob = old.blob) BEGIN
    INSERT INTO doomed VALUES (old.blob);
END;
CREATE TRIGGER session_deleted AFTER DELETE ON sessions
WHEN old.blob IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revisions WHERE blob = old.blob) BEGIN
    INSERT INTO doomed VALUES (old.blob);
END;
CREATE TRIGGER session_closed AFTER UPDATE OF blob ON sessions
WHEN old.blob IS NOT NULL AND new.blob IS NULL AND NOT EXISTS (SELECT 1 FROM revisions WHERE blob = old.blob) BEGIN
    INSERT INTO doomed VALUES (old.blob);
END;

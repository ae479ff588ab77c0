-- The database of the embedded drive, format 2. Times are milliseconds since 1970. Ids are the drive's; numbers (`no`) are
-- this database's own, and are never used twice.

-- The drive as a whole: one row.
CREATE TABLE drive (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    secret TEXT NOT NULL,      -- signs page tokens
    change INTEGER NOT NULL    -- number of the last change
);

-- Who has a My Drive. Number 1 is the person whose drive this is.
CREATE TABLE users (
    no            INTEGER PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    permission_id TEXT NOT NULL UNIQUE,   -- id of the account
    root          INTEGER NOT NULL,       -- the folder at the top of My Drive
    has_storage   INTEGER NOT NULL,       -- whether they can own contents
    used          INTEGER NOT NULL        -- sum of items.quota_bytes of what they own, kept by triggers
);

-- Files, folders, shortcuts and documents. `trashed` holds for an item if `explicitly_trashed` does or the parent is
-- trashed. `version` is the number of the item's last change: a log of changes is the order of `version`, which holds each
-- item once by construction. All logs share one count, so that an item keeps its number whichever log it is read in.
CREATE TABLE items (
    no                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                   TEXT NOT NULL UNIQUE,
    parent               INTEGER REFERENCES items (no) ON DELETE CASCADE,   -- null: a folder at the top
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
    changed              INTEGER NOT NULL,              -- time of the last change
    drive                INTEGER,                       -- the shared drive, by its top folder; null: My Drive
    trashed_time         INTEGER,                       -- when it was put into the trash itself
    owner                INTEGER,                       -- a user; null: in a shared drive
    modifier             INTEGER,                       -- the user who changed it last
    app                  TEXT,                          -- the application that made it
    app_data             TEXT                           -- the application whose hidden folder it is in; null: none's
);
CREATE INDEX items_by_parent ON items (parent);         -- with the row number: pages of a folder are one range each
CREATE INDEX items_by_name ON items (folded, parent);
CREATE INDEX items_by_target ON items (shortcut_target) WHERE shortcut_target IS NOT NULL;
CREATE INDEX items_trashed ON items (trashed) WHERE trashed = 1;
CREATE INDEX items_by_drive ON items (drive) WHERE drive IS NOT NULL;            -- My Drive pays nothing for these two
CREATE INDEX items_by_change ON items (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX items_by_app_data ON items (app_data, owner) WHERE app_data IS NOT NULL;

-- Shared drives. The top folder is an item like others, of a fixed name; what the drive is called is here. `version` and
-- `changed` are those of the last change of the drive itself.
CREATE TABLE drives (
    no      INTEGER PRIMARY KEY,      -- number of the top folder
    name    TEXT NOT NULL,
    request TEXT NOT NULL UNIQUE,     -- by which its creator asked for it
    hidden  INTEGER NOT NULL,
    details TEXT NOT NULL,            -- JSON: fields that are kept and given back, nothing more
    items   INTEGER NOT NULL,         -- all but the top folder, kept by triggers
    version INTEGER NOT NULL UNIQUE,
    changed INTEGER NOT NULL
);

CREATE TRIGGER item_added AFTER INSERT ON items BEGIN
    UPDATE items SET children = children + 1 WHERE no = new.parent;
    UPDATE users SET used = used + new.quota_bytes WHERE no = new.owner;
    UPDATE drives SET items = items + 1 WHERE no = new.drive;
END;
CREATE TRIGGER item_deleted AFTER DELETE ON items BEGIN
    UPDATE items SET children = children - 1 WHERE no = old.parent;
    UPDATE users SET used = used - old.quota_bytes WHERE no = old.owner;
    UPDATE drives SET items = items - 1 WHERE no = old.drive;
END;
CREATE TRIGGER item_moved AFTER UPDATE OF parent ON items WHEN old.parent IS NOT new.parent BEGIN
    UPDATE items SET children = children - 1 WHERE no = old.parent;
    UPDATE items SET children = children + 1 WHERE no = new.parent;
END;
CREATE TRIGGER item_resized AFTER UPDATE OF quota_bytes ON items BEGIN
    UPDATE users SET used = used + new.quota_bytes - old.quota_bytes WHERE no = new.owner;
END;
CREATE TRIGGER item_given AFTER UPDATE OF owner ON items WHEN old.owner IS NOT new.owner BEGIN
    UPDATE users SET used = used - new.quota_bytes WHERE no = old.owner;
    UPDATE users SET used = used + new.quota_bytes WHERE no = new.owner;
END;
CREATE TRIGGER item_emigrated AFTER UPDATE OF drive ON items WHEN old.drive IS NOT new.drive BEGIN
    UPDATE drives SET items = items - 1 WHERE no = old.drive;
    UPDATE drives SET items = items + 1 WHERE no = new.drive;
END;

-- Who may do what with an item, and with all that is in it. Its owner is not among them. A member of a shared drive has
-- one on the top folder.
CREATE TABLE permissions (
    item    INTEGER NOT NULL REFERENCES items (no) ON DELETE CASCADE,
    id      TEXT NOT NULL,         -- that of the person, group or domain, whatever the item
    kind    TEXT NOT NULL,         -- user, group, domain, anyone
    address TEXT,                  -- of a person or group by mail, or the domain
    user    INTEGER,               -- the person, if they have a My Drive here
    role    TEXT NOT NULL,
    found   INTEGER NOT NULL,      -- whether searches find it, for domain and anyone
    expires INTEGER,
    time    INTEGER NOT NULL,      -- when it was given
    giver   INTEGER NOT NULL,      -- the user who gave it
    PRIMARY KEY (item, id)
) WITHOUT ROWID;
CREATE INDEX permissions_by_user ON permissions (user, item) WHERE user IS NOT NULL;

-- What left a log of changes: an item deleted for good, moved to another drive or not shared any more (then it is still an
-- item, and this row goes away when it comes back), or a whole shared drive. Drives are named by id here, since they may be
-- gone.
CREATE TABLE removed (
    version  INTEGER PRIMARY KEY,
    id       TEXT NOT NULL,
    time     INTEGER NOT NULL,
    drive    TEXT,                         -- the shared drive whose log it left; null: a user's
    is_drive INTEGER NOT NULL DEFAULT 0,
    user     INTEGER                       -- the user whose log it left; null: a shared drive's
);
CREATE INDEX removed_by_drive ON removed (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX removed_by_id ON removed (id);

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
    length  INTEGER,              -- as announced, at the start or by a piece
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

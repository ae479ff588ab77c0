-- From format 1 to 2.

-- What was sent of files before they were closed.
CREATE TABLE stream (
    ino     INTEGER PRIMARY KEY,
    id      TEXT    NOT NULL,              -- the item that it was sent for
    creates INTEGER NOT NULL,              -- whether that is a new one
    session TEXT    NOT NULL,              -- the address of the resumable upload: a secret
    started INTEGER NOT NULL,              -- milliseconds since 1970
    sent    INTEGER NOT NULL,              -- bytes that were sent, or are about to be
    md5     BLOB    NOT NULL               -- of these bytes
);

-- The removal of an item asks who still builds on it.
CREATE INDEX staging_base ON staging (base_id) WHERE base_id IS NOT NULL;

-- Entries that this mount made lately: what of them is removed may be ours to delete for good.
CREATE TABLE made (
    ino   INTEGER PRIMARY KEY,
    since INTEGER NOT NULL                 -- milliseconds since 1970
);

-- Collisions with edits made elsewhere, until their copy is renamed or removed.
CREATE TABLE conflict (
    folder INTEGER NOT NULL,               -- inode of the folder of both
    copy   TEXT    NOT NULL,               -- the name of ours
    name   TEXT    NOT NULL,               -- the name that both edited; it has theirs
    PRIMARY KEY (folder, copy)
) WITHOUT ROWID;

-- What was put into the folder unfinished/, until it is taken out of there.
CREATE TABLE aside (
    file TEXT PRIMARY KEY,                 -- its name in that folder
    path TEXT NOT NULL,                    -- what it was to become, below the mountpoint
    why  TEXT NOT NULL                     -- the end of a sentence that begins with the path
) WITHOUT ROWID;

-- 0: a loss of power may have damaged it; 1: not; 2: nor may it, by fsync. What format 1 left is taken as it is.
ALTER TABLE staging ADD COLUMN synced INTEGER NOT NULL DEFAULT 0;
UPDATE staging SET synced = 1;

-- The metadata that a request of ours without an answer asked for, by the id of the item: if the drive tells it, it is no news.
CREATE TABLE asked (
    id     TEXT PRIMARY KEY,
    parent TEXT,                           -- as in base, to gid
    name   TEXT    NOT NULL,
    mtime  INTEGER NOT NULL,
    mode   INTEGER,
    uid    INTEGER,
    gid    INTEGER,
    looked INTEGER NOT NULL                -- what became of it was looked at
) WITHOUT ROWID;

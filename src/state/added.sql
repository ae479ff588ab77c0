-- Tables that came after the first caches of format 1: made at every start, if they are missing. Whoever does not know them can
-- do without.

-- The metadata that a request of ours without an answer asked for, by the id of the item: if the drive tells it, it is no news.
CREATE TABLE IF NOT EXISTS asked (
    id     TEXT PRIMARY KEY,
    parent TEXT,                           -- as in base, to mode ...
    name   TEXT    NOT NULL,
    mtime  INTEGER NOT NULL,
    mode   INTEGER,
    uid    INTEGER,
    gid    INTEGER,                        -- ... here
    looked INTEGER NOT NULL                -- what became of it was looked at
) WITHOUT ROWID;

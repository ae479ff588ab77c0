-- Format 1 of state.db; what came later stands in files of their own. The words are those of docs/DESIGN.md.

-- Single facts: the account, the change cursor, the next inode number.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- The tree: one row an entry, clustered by folder, so that listing a folder reads neighbouring pages.
-- Folder 0 is nowhere: unlinked entries that are still needed are kept there, under their inode number as a name.
CREATE TABLE node (
    parent     INTEGER NOT NULL,           -- inode of the folder
    name       TEXT    NOT NULL,           -- dentry name: legal, unique in its folder
    ino        INTEGER NOT NULL,           -- inode number; never used twice
    id         TEXT,                       -- on the drive; NULL until one is reserved
    kind       INTEGER NOT NULL,           -- 0 folder, 1 file, 2 symbolic link, 3 document
    mode       INTEGER,                    -- NULL: the default of the mount, as for the two below
    uid        INTEGER,
    gid        INTEGER,
    size       INTEGER NOT NULL,
    mtime      INTEGER NOT NULL,           -- nanoseconds since 1970, as the two below
    atime      INTEGER NOT NULL,
    ctime      INTEGER NOT NULL,
    created    INTEGER NOT NULL,           -- milliseconds since 1970: decides which of two twins keeps the plain name
    drive_name TEXT,                       -- the name on the drive where it is not the dentry name
    revision   TEXT,                       -- the content that the drive has
    md5        BLOB,                       -- of that content
    version    INTEGER NOT NULL,           -- of the state that the drive last told us; 0: never
    target     TEXT,                       -- of a symbolic link; the text shown for a document
    listed     INTEGER NOT NULL DEFAULT 0, -- folder whose children are all here
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE UNIQUE INDEX node_ino ON node (ino);
CREATE UNIQUE INDEX node_id ON node (id) WHERE id IS NOT NULL;
-- Twins and names that had to be made legal: few, and looked for when a plain name becomes free.
CREATE INDEX node_drive_name ON node (parent, drive_name) WHERE drive_name IS NOT NULL;

-- What the drive has, for each entry that is not (yet) the same here. What must be sent is the difference between the node
-- (what shall be) and its base (what is), so changes coalesce by themselves. Exists exactly while a journal row does.
CREATE TABLE base (
    ino       INTEGER PRIMARY KEY,
    on_drive  INTEGER NOT NULL,            -- 0: the drive does not have this entry yet; the rest is empty
    parent    TEXT,                        -- id of the folder
    name      TEXT,
    mtime     INTEGER,                     -- milliseconds
    mode      INTEGER,
    uid       INTEGER,
    gid       INTEGER,
    rewritten INTEGER NOT NULL,            -- the content here is newer than the drive's
    timed     INTEGER NOT NULL             -- the mtime of a folder was set here, not only moved on by its entries
);
CREATE INDEX base_parent ON base (parent) WHERE parent IS NOT NULL;

-- The journal: one row an entry with something to send, and how far that is.
CREATE TABLE journal (
    ino      INTEGER PRIMARY KEY,
    seq      INTEGER NOT NULL,             -- of the last change here; grows over the whole journal
    acked    INTEGER NOT NULL,             -- the drive has everything up to this seq
    gone     INTEGER NOT NULL,             -- removed here, to be removed there
    unclosed INTEGER NOT NULL,             -- created and not closed yet: not to be sent
    content  INTEGER,                      -- seq of the sealed content to upload; NULL: none
    attempts INTEGER NOT NULL DEFAULT 0,
    error    TEXT                          -- why the last attempt failed
);

-- Content written here and not yet on the drive: an ordered pile of layers over a base revision.
CREATE TABLE staging (
    ino           INTEGER PRIMARY KEY,
    size          INTEGER NOT NULL,
    seq           INTEGER NOT NULL,        -- journal seq at which it was sealed
    base_id       TEXT,                    -- the revision that shines through where nothing was written; NULL: none
    base_revision TEXT,
    base_size     INTEGER,
    base_md5      BLOB,
    origin_id       TEXT,                  -- what the drive had when the edit began, or last took from us; NULL: nothing.
    origin_revision TEXT,                  -- Most often the base; not if the file took over the identity of another
    origin_size     INTEGER,
    origin_md5      BLOB,
    retired       INTEGER NOT NULL DEFAULT 0 -- needed no more: its files are about to be removed
);
CREATE TABLE layer (
    ino     INTEGER NOT NULL,
    level   INTEGER NOT NULL,              -- 0 is the lowest
    file    INTEGER NOT NULL,              -- staging/<file>
    below   INTEGER NOT NULL,              -- so many bytes of what lies beneath shine through
    written BLOB    NOT NULL,              -- ranges that this layer holds
    PRIMARY KEY (ino, level)
) WITHOUT ROWID;

-- What was sent for an entry and has no answer yet: to be continued after a new start, and to tell our own revisions, should
-- their answers be lost or they arrive late, from somebody else's.
CREATE TABLE upload (
    ino     INTEGER NOT NULL,
    seq     INTEGER NOT NULL,              -- the sealed content that is sent
    size    INTEGER NOT NULL,
    md5     BLOB,                          -- once it is known
    session TEXT,                          -- the address of a resumable upload: a secret
    started INTEGER NOT NULL,              -- milliseconds since 1970
    inherited INTEGER NOT NULL,            -- it was of another file, whose identity this entry took over
    PRIMARY KEY (ino, seq)
) WITHOUT ROWID;

-- Ids reserved on the drive and not used yet.
CREATE TABLE reserved (
    id TEXT PRIMARY KEY
) WITHOUT ROWID;

-- From format 2 to 3.

-- Items that the drive told of and that have no place in the tree now: they, or a folder above them, are in the trash, or their
-- folder is one that was not heard of yet. When it is, they are there at once, and nothing has to be listed.
CREATE TABLE unplaced (
    id     TEXT PRIMARY KEY,
    parent TEXT,                           -- id of the folder
    item   TEXT,                           -- as the drive last told it, in JSON; NULL: not known, only that it was here
    listed INTEGER NOT NULL                -- a folder whose children are all here, or in the tree
) WITHOUT ROWID;
CREATE INDEX unplaced_parent ON unplaced (parent) WHERE parent IS NOT NULL;

-- Folders that are still to be listed.
CREATE INDEX node_unlisted ON node (ino) WHERE kind = 0 AND listed = 0;

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
-- What this account may not do with the item of an entry, a bit each; 0: nothing known to be denied.
ALTER TABLE node ADD COLUMN access INTEGER NOT NULL DEFAULT 0;

-- The shared drive that an entry is in, of those that no other folder of the tree holds: the folder at its top, and what is held by
-- its id alone. For all below, the folders above tell.
ALTER TABLE node ADD COLUMN drive TEXT;
CREATE INDEX node_drive ON node (drive) WHERE drive IS NOT NULL;

-- Shortcuts are a kind of their own, 4, whose target is the id of the item that they lead to.
CREATE INDEX node_shortcut ON node (target) WHERE kind = 4;

-- Format 2 took them for documents. Their folders are listed anew.
UPDATE node SET listed = 0
WHERE ino IN (SELECT parent FROM node WHERE kind = 3 AND target LIKE '%"application/vnd.google-apps.shortcut"%');
DELETE FROM node
WHERE kind = 3 AND target LIKE '%"application/vnd.google-apps.shortcut"%' AND ino NOT IN (SELECT ino FROM base);

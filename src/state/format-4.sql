-- From format 3 to 4.

-- Special files are kinds of their own, 6 to 9: fifo, socket, character and block device. The target of a device is its numbers.

-- The folders of a folder, whose number its link count tells.
CREATE INDEX node_folders ON node (parent) WHERE kind = 0;

-- Extended attributes: the properties that the drive keeps them in, in JSON; NULL: none.
ALTER TABLE node ADD COLUMN xattrs TEXT;
ALTER TABLE base ADD COLUMN xattrs TEXT;
ALTER TABLE asked ADD COLUMN xattrs TEXT;

-- Further names of files (hard links) are a kind of their own, 5, whose target is the id of the item that the drive has them lead to;
-- NULL while the drive has none. The number of the file, as long as it has a place in the tree:
ALTER TABLE node ADD COLUMN link INTEGER;
CREATE INDEX node_link ON node (link) WHERE link IS NOT NULL;
CREATE INDEX node_link_target ON node (target) WHERE kind = 5;

-- A drive gives ids for shortcuts, which are good for nothing else.
ALTER TABLE reserved ADD COLUMN shortcut INTEGER NOT NULL DEFAULT 0;

-- Format 3 took them for shortcuts. Which of those are links only the drive knows, so their folders are listed anew.
UPDATE node SET listed = 0 WHERE ino IN (SELECT parent FROM node WHERE kind = 4);
DELETE FROM node WHERE kind = 4 AND ino NOT IN (SELECT ino FROM base);

-- Requests of the kernel that are done, by their numbers: the last ones, for the daemon that is asked the same again because this
-- one died before it answered.
CREATE TABLE done (
    turn    INTEGER PRIMARY KEY,
    request INTEGER NOT NULL
);
CREATE INDEX done_request ON done (request);

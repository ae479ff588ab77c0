-- From format 3 to 4.

-- Special files are kinds of their own, 6 to 9: fifo, socket, character and block device. The target of a device is its numbers.

-- The folders of a folder, whose number its link count tells.
CREATE INDEX node_folders ON node (parent) WHERE kind = 0;

-- Extended attributes: the properties that the drive keeps them in, in JSON; NULL: none.
ALTER TABLE node ADD COLUMN xattrs TEXT;
ALTER TABLE base ADD COLUMN xattrs TEXT;
ALTER TABLE asked ADD COLUMN xattrs TEXT;

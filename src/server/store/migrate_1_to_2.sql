-- From format 1 to format 2: shared drives, other users than the one, permissions, and the hidden folders of applications.
-- What was there is in My Drive, and the one user's.
CREATE TABLE users (
    no            INTEGER PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    permission_id TEXT NOT NULL UNIQUE,   -- id of the account
    root          INTEGER NOT NULL,       -- the folder at the top of My Drive
    has_storage   INTEGER NOT NULL,       -- whether they can own contents
    used          INTEGER NOT NULL        -- sum of items.quota_bytes of what they own, kept by triggers
);
INSERT INTO users SELECT 1, 'owner@drive.localhost', 'Drive Owner', drive.permission_id, items.no, 1, drive.used
                  FROM drive JOIN items ON items.id = drive.root;

DROP TRIGGER item_added;
DROP TRIGGER item_deleted;
DROP TRIGGER item_resized;

ALTER TABLE drive DROP COLUMN root;
ALTER TABLE drive DROP COLUMN permission_id;
ALTER TABLE drive DROP COLUMN used;
ALTER TABLE items ADD COLUMN drive INTEGER;
ALTER TABLE items ADD COLUMN trashed_time INTEGER;
ALTER TABLE items ADD COLUMN owner INTEGER;
ALTER TABLE items ADD COLUMN modifier INTEGER;
ALTER TABLE items ADD COLUMN app TEXT;
ALTER TABLE items ADD COLUMN app_data TEXT;
ALTER TABLE removed ADD COLUMN drive TEXT;
ALTER TABLE removed ADD COLUMN is_drive INTEGER NOT NULL DEFAULT 0;
ALTER TABLE removed ADD COLUMN user INTEGER;
UPDATE items SET owner = 1, modifier = 1, app = iif(parent IS NULL, NULL, 'drivemount');
UPDATE removed SET user = 1;

CREATE INDEX items_by_drive ON items (drive) WHERE drive IS NOT NULL;
CREATE INDEX items_by_change ON items (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX items_by_app_data ON items (app_data, owner) WHERE app_data IS NOT NULL;
CREATE INDEX removed_by_drive ON removed (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX removed_by_id ON removed (id);

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

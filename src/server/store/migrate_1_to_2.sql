-- From format 1 to format 2: shared drives. What was there is in My Drive.
ALTER TABLE items ADD COLUMN drive INTEGER;
ALTER TABLE items ADD COLUMN trashed_time INTEGER;
ALTER TABLE removed ADD COLUMN drive TEXT;
ALTER TABLE removed ADD COLUMN is_drive INTEGER NOT NULL DEFAULT 0;

CREATE INDEX items_by_drive ON items (drive) WHERE drive IS NOT NULL;
CREATE INDEX items_by_change ON items (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX removed_by_drive ON removed (drive, version) WHERE drive IS NOT NULL;
CREATE INDEX removed_by_id ON removed (id);

DROP TRIGGER item_added;
DROP TRIGGER item_deleted;
DROP TRIGGER item_resized;

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
    UPDATE drive SET used = used + new.quota_bytes WHERE new.drive IS NULL;
    UPDATE drives SET items = items + 1 WHERE no = new.drive;
END;
CREATE TRIGGER item_deleted AFTER DELETE ON items BEGIN
    UPDATE items SET children = children - 1 WHERE no = old.parent;
    UPDATE drive SET used = used - old.quota_bytes WHERE old.drive IS NULL;
    UPDATE drives SET items = items - 1 WHERE no = old.drive;
END;
CREATE TRIGGER item_resized AFTER UPDATE OF quota_bytes ON items WHEN new.drive IS NULL BEGIN
    UPDATE drive SET used = used + new.quota_bytes - old.quota_bytes;
END;
CREATE TRIGGER item_emigrated AFTER UPDATE OF drive ON items WHEN old.drive IS NOT new.drive BEGIN
    UPDATE drive SET used = used + iif(new.drive IS NULL, new.quota_bytes, 0) - iif(old.drive IS NULL, old.quota_bytes, 0);
    UPDATE drives SET items = items - 1 WHERE no = old.drive;
    UPDATE drives SET items = items + 1 WHERE no = new.drive;
END;

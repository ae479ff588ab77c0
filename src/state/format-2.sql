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

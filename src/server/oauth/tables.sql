-- Signing in. Secrets are here as their SHA-256 only; times are milliseconds since 1970.

-- Consent pages that were shown and not answered.
CREATE TABLE IF NOT EXISTS oauth_requests (
    ticket       BLOB PRIMARY KEY,
    client       TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    redirect_uri TEXT,              -- of a browser on this machine
    state        TEXT,
    challenge    TEXT,              -- PKCE, always as S256
    device       BLOB,              -- of a sign-in from another screen
    expires      INTEGER NOT NULL
) STRICT;

-- Codes that were not exchanged yet.
CREATE TABLE IF NOT EXISTS oauth_codes (
    code         BLOB PRIMARY KEY,
    client       TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge    TEXT,
    expires      INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS oauth_devices (
    device       BLOB PRIMARY KEY,
    user_code    TEXT NOT NULL UNIQUE,
    client       TEXT NOT NULL,
    scopes       TEXT NOT NULL,     -- asked for; then granted
    decision     TEXT NOT NULL CHECK (decision IN ('pending', 'allowed', 'denied')),
    polled       INTEGER,           -- the last time
    interval     INTEGER NOT NULL,  -- that polls must be apart
    expires      INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS oauth_access (
    token        BLOB PRIMARY KEY,
    client       TEXT NOT NULL,
    user         INTEGER NOT NULL,  -- for whom the client acts
    scopes       TEXT NOT NULL,
    expires      INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS oauth_refresh (
    token        BLOB PRIMARY KEY,
    client       TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    used         INTEGER NOT NULL   -- the last time
) STRICT;

-- When a refresh token ends by itself: those of applications in testing do.
CREATE TABLE IF NOT EXISTS oauth_ends (
    token        BLOB PRIMARY KEY,
    ends         INTEGER NOT NULL
) STRICT;

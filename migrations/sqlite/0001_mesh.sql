-- One mesh: its nodes, the tokens that let nodes join, and who may administrate it.
-- Times are seconds since 1970, UTC.

CREATE TABLE network (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    name       TEXT    NOT NULL,
    ipv4       TEXT    NOT NULL,
    ipv6       TEXT    NOT NULL,
    -- Grows by one with every change of any node's map.
    revision   INTEGER NOT NULL,
    -- Where the search for a free host number starts: an address rests as long as others are free.
    next_host  INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- AUTOINCREMENT: the id of a removed node never comes back.
CREATE TABLE node (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    kind          TEXT    NOT NULL CHECK (kind IN ('agent', 'unmanaged')),
    -- The node's place in both overlay prefixes.
    host          INTEGER NOT NULL UNIQUE CHECK (host > 0),
    -- Ed25519; NULL for peers that never speak to us.
    identity_key  BLOB    UNIQUE CHECK (length(identity_key) = 32),
    wireguard_key BLOB    NOT NULL UNIQUE CHECK (length(wireguard_key) = 32),
    version       TEXT,
    created_at    INTEGER NOT NULL,
    last_seen_at  INTEGER,
    CHECK ((kind = 'agent') = (identity_key IS NOT NULL))
) STRICT;

CREATE TABLE node_tag (
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    tag     TEXT    NOT NULL,
    PRIMARY KEY (node_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE node_endpoint (
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    address TEXT    NOT NULL,
    kind    TEXT    NOT NULL,
    PRIMARY KEY (node_id, address)
) STRICT, WITHOUT ROWID;

-- What an unmanaged peer may send and receive beside its overlay addresses.
CREATE TABLE node_prefix (
    node_id INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    prefix  TEXT    NOT NULL,
    PRIMARY KEY (node_id, prefix)
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- SHA-256 of the secret; the secret itself is nowhere.
    secret_hash  BLOB    NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    description  TEXT    NOT NULL,
    reusable     INTEGER NOT NULL CHECK (reusable IN (0, 1)),
    uses         INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE token_tag (
    token_id INTEGER NOT NULL REFERENCES token (id) ON DELETE CASCADE,
    tag      TEXT    NOT NULL,
    PRIMARY KEY (token_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE account (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL COLLATE NOCASE UNIQUE,
    -- argon2id, PHC string.
    password_hash TEXT    NOT NULL,
    role          TEXT    NOT NULL CHECK (role IN ('owner')),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    -- SHA-256 of the bearer token.
    token_hash BLOB    PRIMARY KEY CHECK (length(token_hash) = 32),
    account_id INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

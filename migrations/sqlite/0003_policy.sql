-- What the choice of a pair's protocol obeys.
ALTER TABLE network ADD COLUMN policy_version INTEGER NOT NULL DEFAULT 0;

CREATE TABLE policy_rule (
    id         INTEGER PRIMARY KEY,
    -- Of the nodes with that tag; else of that pair; else of the whole network.
    tag        TEXT    UNIQUE,
    node_a     INTEGER REFERENCES node (id) ON DELETE CASCADE,
    node_b     INTEGER REFERENCES node (id) ON DELETE CASCADE,
    -- NULL: says nothing of it.
    protocol   TEXT    CHECK (protocol IN ('auto', 'wireguard', 'esp')),
    throughput INTEGER CHECK (throughput IN (0, 1)),
    compliance INTEGER NOT NULL CHECK (compliance IN (0, 1)),
    UNIQUE (node_a, node_b),
    CHECK ((node_a IS NULL) = (node_b IS NULL)),
    CHECK (node_a < node_b),
    CHECK (tag IS NULL OR node_a IS NULL)
) STRICT;

-- What a node said at its last hello: whether its processor has AES instructions, and whether it can keep to
-- approved algorithms.
ALTER TABLE node ADD COLUMN has_aes INTEGER NOT NULL DEFAULT 0 CHECK (has_aes IN (0, 1));
ALTER TABLE node ADD COLUMN keeps_compliance INTEGER NOT NULL DEFAULT 0 CHECK (keeps_compliance IN (0, 1));

-- Maps hold more of each peer from now on: a map of the present revision is out of date.
UPDATE network SET revision = revision + 1;

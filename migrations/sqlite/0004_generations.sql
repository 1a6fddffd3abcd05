-- Since when the choice of each pair's protocol rests on what it rests on now, in revisions: the newest of these is the
-- pair's generation.
ALTER TABLE node ADD COLUMN chosen_at INTEGER NOT NULL DEFAULT 0;

-- When what the policy says of the whole network last changed.
ALTER TABLE network ADD COLUMN protocol_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE network ADD COLUMN throughput_since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE network ADD COLUMN compliance_since INTEGER NOT NULL DEFAULT 0;

-- The same of a tag, also of one of which nothing is said any more.
CREATE TABLE policy_tag_age (
    tag              TEXT    PRIMARY KEY,
    protocol_since   INTEGER NOT NULL,
    throughput_since INTEGER NOT NULL,
    compliance_since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The same of a pair, whether by the policy or by a failure.
CREATE TABLE pair_choice (
    node_a    INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    node_b    INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    chosen_at INTEGER NOT NULL,
    PRIMARY KEY (node_a, node_b),
    CHECK (node_a < node_b)
) STRICT, WITHOUT ROWID;
CREATE INDEX pair_choice_by_node_b ON pair_choice (node_b);

-- Protocols that failed between two nodes, as one of them reported.
CREATE TABLE pair_failure (
    node_a     INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    node_b     INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    protocol   TEXT    NOT NULL CHECK (protocol IN ('wireguard', 'esp')),
    code       TEXT    NOT NULL,
    reporter   INTEGER NOT NULL,
    -- One after another, this one included.
    times      INTEGER NOT NULL CHECK (times > 0),
    failed_at  INTEGER NOT NULL,
    -- It is avoided up to then, and remembered for a while after.
    until      INTEGER NOT NULL,
    is_avoided INTEGER NOT NULL CHECK (is_avoided IN (0, 1)),
    PRIMARY KEY (node_a, node_b, protocol),
    CHECK (node_a < node_b)
) STRICT, WITHOUT ROWID;
CREATE INDEX pair_failure_by_node_b ON pair_failure (node_b);

-- Maps hold generations from now on: a map of the present revision is out of date.
UPDATE network SET revision = revision + 1;
UPDATE node SET chosen_at = (SELECT revision FROM network WHERE id = 1);

-- What stands between a node and the Internet, as it measured last.
CREATE TABLE node_nat (
    node_id   INTEGER NOT NULL REFERENCES node (id) ON DELETE CASCADE,
    -- Version of IP.
    family    INTEGER NOT NULL CHECK (family IN (4, 6)),
    class     TEXT    NOT NULL,
    filtering TEXT,
    hairpin   INTEGER CHECK (hairpin IN (0, 1)),
    PRIMARY KEY (node_id, family)
) STRICT, WITHOUT ROWID;

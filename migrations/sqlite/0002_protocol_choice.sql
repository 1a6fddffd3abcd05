-- What a node said at its last hello, on which the choice of a pair's protocol rests.
ALTER TABLE node ADD COLUMN preference TEXT NOT NULL DEFAULT 'auto'
    CHECK (preference IN ('auto', 'wireguard', 'esp'));
-- Whether it can carry the traffic to other agents in ESP.
ALTER TABLE node ADD COLUMN speaks_esp INTEGER NOT NULL DEFAULT 0 CHECK (speaks_esp IN (0, 1));

-- Maps hold more of each peer from now on: a map of the present revision is out of date.
UPDATE network SET revision = revision + 1;

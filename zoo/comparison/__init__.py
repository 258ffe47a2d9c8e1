"""Which rows may be ranked together: seed groups, statistics, claims and tables."""

"""Cases of `test_sources.py` that fail today, by their names; remove a line when its fault is gone."""

NOT_YET: frozenset[str] = frozenset()

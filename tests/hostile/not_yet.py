"""Cases of `test_sources.py` that fail today, by their names; remove a line when its fault is gone."""

ENDS_THE_PROCESS: frozenset[str] = frozenset(
    {
        "broken: mhd of a pattern: prepare",
        "among: mhd of a pattern: prepare",
    }
)
"""Cases in which a native library crashes, which are not run."""

NOT_YET: frozenset[str] = ENDS_THE_PROCESS | frozenset()

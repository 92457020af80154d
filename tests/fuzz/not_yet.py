"""Problems that are known, by the kind of file: a part of what they say. Remove a line when the fault is gone."""

NOT_YET: dict[str, str] = {}

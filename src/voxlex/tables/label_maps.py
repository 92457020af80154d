"""Label maps and masks among scans: pictures and volumes of numbers that name regions, which no scanner took."""

import re
from collections.abc import Sequence

from voxlex.tables.naming import sequence_of, stem_of

_NAME = re.compile(
    r"(?:^|.*[-_. +])(d?seg(?:mentation)?s?|probseg|a(?:parc\+?a)?seg|masks?|label(?:map|s)?|roi|ground[-_]?truth|gt)",
    re.IGNORECASE,
)
_FOLDER = re.compile(
    r"(masks?|labels?(?:tr|ts|val)?|seg(?:mentation)?s?|annotations?|label[-_ ]?maps?|ground[-_ ]?truth|gt)",
    re.IGNORECASE,
)


def label_map_named(path: str) -> str:
    """Return the word in a relative path that names a label map or a mask, such as "dseg"; "" for other scans."""
    *folders, _ = path.split("/")
    found = _NAME.fullmatch(stem_of(path)) or next(filter(None, map(_FOLDER.fullmatch, folders)), None)
    return found[1].lower() if found else "seg" if sequence_of(path) == "seg" else ""


def notes_on_label_maps(paths: Sequence[str]) -> list[str]:
    """Return a sentence for people if some scans are named like label maps, and others are not."""
    words = [word for word in map(label_map_named, paths) if word]
    if not words or len(words) == len(paths):
        return []
    listed = ", ".join(sorted(set(words)))
    return [
        f"{len(words):,} of {len(paths):,} scans are named like label maps or masks ({listed}), and are used like all "
        "others; to leave them out, write a table with 'voxlex data index', and remove their rows"
    ]

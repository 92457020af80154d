import re

import pytest

from voxlex.data.public.catalogue import CATALOGUE, find_set
from voxlex.errors import DataError


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_every_set_says_where_it_is_and_under_which_terms(name: str) -> None:
    public = find_set(name)
    assert public.licence
    assert public.licence_url.startswith("https://")
    assert public.homepage.startswith("https://")
    assert public.citation
    for archive in public.archives:
        assert re.fullmatch(r"https://[^ ]+/[^/ ]+\.tar(\.gz)?", archive.url)
        assert archive.size > 1e6
        assert archive.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", archive.checksum)


def test_no_two_files_share_a_checksum() -> None:
    sums = {archive.url: archive.checksum for public in CATALOGUE.values() for archive in public.archives}
    known = [checksum for checksum in sums.values() if checksum]
    assert len(set(known)) == len(known)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"public set: expected one of neurite-oasis-2d, .*ixi-pd, got oasis"):
        find_set("oasis")

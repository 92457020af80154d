"""What an address is, and that no credentials of one are shown."""

from pathlib import Path

import pytest

from voxlex.errors import DataError
from voxlex.stores.addresses import (
    address_of,
    is_address,
    joined,
    masked,
    name_of,
    remember,
    shown,
    without_credentials,
)
from voxlex.stores.listing import place_for


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://AKIA:secret@bucket/a.png: denied", "s3://***@bucket/a.png: denied"),
        ("s3://AKIA:with/slash+@bucket/a.png", "s3://***@bucket/a.png"),
        ("s3://AKIA:secret", "s3://***"),
        ("s3:/AKIA:secret@bucket/a.png", "s3:/***@bucket/a.png"),
        ("S3://AKIA:secret@bucket", "S3://***@bucket"),
        ("https://user:pass@host.org:8443/a.png", "https://***@host.org:8443/a.png"),
        ("https://token@host.org/a.png", "https://***@host.org/a.png"),
        ("got 'https://host.org/a.png?X-Amz-Signature=1&token=2' here", "got 'https://host.org/a.png?***' here"),
        ("https://host.org/a.png#access_token=3", "https://host.org/a.png#***"),
        ("https://u:p@a.org/x and https://v:q@b.org/y", "https://***@a.org/x and https://***@b.org/y"),
        ("http://127.0.0.1:80/a.png: gone", "http://127.0.0.1:80/a.png: gone"),
        ("http://[::1]:80: gone", "http://[::1]:80: gone"),
        ("hf://owner/name@v1.0", "hf://owner/name@v1.0"),
        ("s3://bucket/visit@2/a.png", "s3://bucket/visit@2/a.png"),
        ("/data/a@b/c.png: expected x, got y?", "/data/a@b/c.png: expected x, got y?"),
    ],
)
def test_credentials_are_masked(text: str, expected: str) -> None:
    assert masked(text) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize(
    "place", ["s3://bucket/x", "S3://bucket", "gs://b/x", "https://h/x", "hf://datasets/o/n", "xy://z"]
)
def test_addresses_are_known(place: str) -> None:
    assert is_address(place)
    assert is_address(Path(place))


@pytest.mark.parametrize("place", ["scans", "/a//b", "phantom", "C:/x", "hf://owner/name", "hf://owner/name@v1", "a:b"])
def test_other_places_are_none(place: str) -> None:
    assert not is_address(place)
    assert not is_address(Path(place))


def test_what_is_kept_of_an_address_has_no_credentials() -> None:
    assert without_credentials("https://u:p@host.org:80/a/b.png?sig=1") == "https://host.org:80/a/b.png"
    assert without_credentials("s3://bucket/what?.png") == "s3://bucket/what?.png"
    assert name_of("https://u:p@host.org/a/b%20c.png?sig=1") == "b c.png"
    assert joined("s3://bucket/tables", "../scans/a b.png") == "s3://bucket/scans/a b.png"
    assert joined("https://u:p@host.org/tables?sig=1", "a b.png") == "https://u:p@host.org/tables/a%20b.png"


def test_copies_are_shown_as_their_addresses(tmp_path: Path) -> None:
    remember(tmp_path / "s3" / "heads", "s3://heads", below=tmp_path)
    remember(tmp_path / "https" / "h" / "x.png", "https://u:p@h/x.png?sig=1", below=tmp_path)
    text = f"{tmp_path}/s3/heads/my scans/a.png: bad, {tmp_path}/https/h/x.png: bad, {tmp_path}/s3/heads2, {tmp_path}2"
    shown_text = f"s3://heads/my scans/a.png: bad, https://***@h/x.png?***: bad, {tmp_path}/s3/heads2, {tmp_path}2"
    assert shown(text) == shown_text
    assert address_of(tmp_path / "s3" / "heads" / "a.png") == "s3://heads/a.png"
    assert address_of(tmp_path) is None


@pytest.mark.parametrize(
    "name", ["bucket/../../etc/passwd", "bucket//a.png", "bucket/./a.png", "bucket/a\0b", "b/" + "x" * 300]
)
def test_names_that_would_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="expected"):
        place_for(name, "s3")


def test_names_of_the_web_do_not_lead_elsewhere() -> None:
    assert place_for("https://u:p@h:80/a/b%20c.png", "https") == Path("https/h+80/a/b c.png")
    one, other = (place_for(f"https://h/get?id={number}", "https") for number in (1, 2))
    assert one != other
    assert one.name == other.name == "get"
    with pytest.raises(DataError, match="expected a name"):
        place_for("https://h/a/%2e%2e/%2fetc", "https")

"""Fetching from a server that has the ways of real ones: ranges, broken connections, wrong files, refusals."""

import fcntl
import hashlib
import io
import json
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import requests

from voxlex.data.public import fetching
from voxlex.data.public.catalogue import Archive, PublicSet
from voxlex.data.public.downloading import ResumingDownloader
from voxlex.data.public.fetching import RECORD_FILE, WORKPLACE, fetch_set
from voxlex.errors import DataError


class Server(ThreadingHTTPServer):
    """Serves `files` with ranges; `break_after` cuts each answer after so many bytes, as often as `breaks` says."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.break_after, self.breaks = 0, 0
        self.ranges = True
        self.etag = '"one"'
        self.content_type = "application/x-tar"
        self.odd_ranges = ""  # what the server does with ranges: "416", or "another" range
        self.says_length = True
        self.requests: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Answer)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append(wanted)
        content = self.server.files.get(self.path[1:])
        if content is None:
            self.send_error(404)
            return
        start = 0
        if wanted and self.server.ranges and self.headers.get("If-Range") in (None, self.server.etag):
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1))
            if start >= len(content) or self.server.odd_ranges == "416":
                self.send_error(416)
                return
            self.send_response(206)
            start = 0 if self.server.odd_ranges else start
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Type", self.server.content_type)
        if self.server.says_length:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if self.server.breaks > 0:
            self.server.breaks -= 1
            body = body[: self.server.break_after]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def tar(**files: bytes) -> bytes:
    """An archive of files; two underscores stand for a slash, and `up` for the folder above."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("up/", "../"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def a_set(*urls: str, checksum: str | None = None) -> PublicSet:
    return PublicSet(
        title="Two scans",
        homepage="http://example.org",
        licence="CC0",
        licence_url="http://example.org/licence",
        terms="None.",
        citation="Nobody",
        archives=tuple(Archive(url=url, size=1000, checksum=checksum) for url in urls),
    )


NOISE = np.random.default_rng(0).bytes(400_000)
CHUNK = 1 << 16


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_set_arrives_unpacked_and_once(server: Server, tmp_path: Path) -> None:
    server.files = {"a.tar.gz": tar(OAS1_0001_MR1__scan=NOISE), "b.tar.gz": tar(OAS1_0002_MR1__scan=b"2")}
    public = a_set(server.url("a.tar.gz"), server.url("b.tar.gz"))
    calls: list[tuple[int, int]] = []
    fetch_set(public, folder=tmp_path / "set", progress=lambda done, total: calls.append((done, total)))
    assert (tmp_path / "set/OAS1_0001_MR1/scan").read_bytes() == NOISE
    assert left_in(tmp_path / "set") == {"OAS1_0001_MR1", "OAS1_0002_MR1", RECORD_FILE}
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {2000}
    asked = len(server.requests)
    fetch_set(public, folder=tmp_path / "set")
    assert len(server.requests) == asked


def test_a_broken_connection_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    content = tar(scan=NOISE)
    server.files["a.tar.gz"] = content
    server.break_after, server.breaks = 2 * CHUNK + 9, 2
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    fetch_set(a_set(server.url("a.tar.gz"), checksum=checksum), folder=tmp_path / "set", wait_s=0)
    assert server.requests == [None, f"bytes={2 * CHUNK}-", f"bytes={4 * CHUNK}-"]
    assert (tmp_path / "set/scan").read_bytes() == NOISE


def test_a_download_that_was_given_up_goes_on_days_later(server: Server, tmp_path: Path) -> None:
    content = tar(scan=NOISE)
    server.files["a.tar.gz"] = content
    server.break_after, server.breaks = CHUNK, 1
    part = tmp_path / "part"
    with pytest.raises(DataError, match=r"no connection to 127\.0\.0\.1:\d+, or it broke off.*goes on from there"):
        ResumingDownloader(part, attempts=1)(server.url("a.tar.gz"), str(tmp_path / "whole"), None)
    assert part.read_bytes() == content[:CHUNK]
    ResumingDownloader(part)(server.url("a.tar.gz"), str(tmp_path / "whole"), None)
    assert (tmp_path / "whole").read_bytes() == content
    assert server.requests[-1] == f"bytes={CHUNK}-"
    assert left_in(tmp_path) == {"whole"}


@pytest.mark.parametrize("why", ["another file by now", "a server without ranges", "a part too long", "no tag"])
def test_a_part_that_cannot_be_continued_is_begun_anew(why: str, server: Server, tmp_path: Path) -> None:
    content = tar(scan=NOISE)
    server.files["a.tar.gz"] = content
    part = tmp_path / "part"
    part.write_bytes(b"x" * (len(content) + 5 if why == "a part too long" else 40))
    if why != "no tag":
        (tmp_path / "part.tag").write_text('"two"' if why == "another file by now" else '"one"')
    server.ranges = why != "a server without ranges"
    ResumingDownloader(part, wait_s=0)(server.url("a.tar.gz"), str(tmp_path / "whole"), None)
    assert (tmp_path / "whole").read_bytes() == content


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar(scan=NOISE)
    public = a_set(server.url("a.tar.gz"), checksum="md5:" + "0" * 32)
    with pytest.raises(DataError, match=r"expected the hash md5:000.*, got a file with another hash"):
        fetch_set(public, folder=tmp_path / "set")
    assert left_in(tmp_path / "set") == {RECORD_FILE}
    assert json.loads((tmp_path / "set" / RECORD_FILE).read_text())["archives"] == {}


def test_without_a_checksum_the_first_download_is_remembered(server: Server, tmp_path: Path) -> None:
    content = tar(scan=b"first")
    server.files["a.tar.gz"] = content
    public = a_set(server.url("a.tar.gz"))
    fetch_set(public, folder=tmp_path / "set")
    record = json.loads((tmp_path / "set" / RECORD_FILE).read_text())
    assert record["archives"]["a.tar.gz"]["sha256"] == hashlib.sha256(content).hexdigest()
    (tmp_path / "set/scan").unlink()
    fetch_set(public, folder=tmp_path / "set")
    assert (tmp_path / "set/scan").read_bytes() == b"first"
    (tmp_path / "set/scan").unlink()
    server.files["a.tar.gz"] = tar(scan=b"other")
    server.requests.clear()
    with pytest.raises(DataError, match=f"expected the hash sha256:[0-9a-f]* of {RECORD_FILE}, got"):
        fetch_set(public, folder=tmp_path / "set")
    assert not (tmp_path / "set/scan").exists()
    assert len(server.requests) == 1


def test_a_refusal_is_named_and_not_repeated(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.tar: the server answers 404"):
        fetch_set(a_set(server.url("gone.tar")), folder=tmp_path / "set", wait_s=0)
    assert len(server.requests) == 1
    assert left_in(tmp_path / "set") == {RECORD_FILE}


def test_offline_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_set(a_set("http://127.0.0.1:9/a.tar"), folder=tmp_path / "set", wait_s=0)
    said = str(caught.value)
    assert said.endswith("no connection to 127.0.0.1:9, or it broke off; is this machine online?")
    assert "HTTPConnectionPool" not in said


def test_an_archive_that_reaches_out_of_its_folder_is_not_used(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar(good=b"1", up__evil=b"2")
    with pytest.raises(DataError, match="expected a safe archive, got one that was refused"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert left_in(tmp_path / "set") == {RECORD_FILE}
    assert left_in(tmp_path) == {"set"}


def test_a_file_of_another_content_is_not_replaced(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar(scans__1=b"1", scans__2=b"2", readme=b"theirs")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "1").write_bytes(b"1")  # as an unpacking that was interrupted has left it
    (tmp_path / "readme").write_bytes(b"mine")
    with pytest.raises(DataError, match="readme: exists already and is not of this set"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path)
    assert (tmp_path / "readme").read_bytes() == b"mine"
    assert left_in(tmp_path / "scans") == {"1"}
    (tmp_path / "readme").rename(tmp_path / "mine")
    fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path)
    assert left_in(tmp_path / "scans") == {"1", "2"}
    assert (tmp_path / "readme").read_bytes() == b"theirs"


def test_a_page_to_log_in_does_not_cost_what_has_arrived(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = b"<html>Please log in</html>"
    server.content_type, server.ranges = "text/html; charset=utf-8", False
    (tmp_path / "part").write_bytes(NOISE)
    (tmp_path / "part.tag").write_text('"one"')
    with pytest.raises(DataError, match=r"expected a file, got a web page.*goes on from there"):
        ResumingDownloader(tmp_path / "part", wait_s=0)(server.url("a.tar.gz"), str(tmp_path / "whole"), None)
    assert (tmp_path / "part").read_bytes() == NOISE
    assert len(server.requests) == 1


def test_a_page_that_calls_itself_an_archive(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = b"<html>Please log in</html>"
    with pytest.raises(DataError, match=r"a\.tar\.gz: expected a complete tar archive, got a damaged file"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert left_in(tmp_path / "set") == {RECORD_FILE}


def test_an_archive_cut_short_by_its_maker(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar(scan=NOISE)[:-60]
    with pytest.raises(DataError, match="expected a complete tar archive"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert left_in(tmp_path / "set") == {RECORD_FILE}


def test_too_small_a_disk_is_said_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 999})
    monkeypatch.setattr("voxlex.data.public.fetching.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"expected 0\.0 GB of free space for a\.tar, got 0\.0 GB"):
        fetch_set(a_set(server.url("a.tar")), folder=tmp_path / "set")
    assert server.requests == []


def test_a_disk_that_fills_keeps_what_has_arrived(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["a.tar.gz"] = tar(scan=NOISE)

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("voxlex.data.public.fetching._move", no_space)
        with pytest.raises(DataError, match="set: cannot be written: No space left on device"):
            fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert left_in(tmp_path / "set" / WORKPLACE) == {"a.tar.gz"}
    fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert len(server.requests) == 1
    assert (tmp_path / "set/scan").read_bytes() == NOISE


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / RECORD_FILE).write_text("{")
    with pytest.raises(DataError, match=f"{RECORD_FILE}: damaged; remove it"):
        fetch_set(a_set("http://127.0.0.1:9/a.tar"), folder=tmp_path)


@pytest.mark.parametrize("record", ["[]", '{"accepted": [], "archives": {"a": 5}}', '{"accepted": 1, "archives": {}}'])
def test_a_record_of_another_form_is_named(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD_FILE).write_text(record)
    with pytest.raises(DataError, match=f"{RECORD_FILE}: damaged; remove it"):
        fetch_set(a_set("http://127.0.0.1:9/a.tar"), folder=tmp_path)


@pytest.mark.parametrize("odd", ["416", "another"])
def test_a_server_that_cannot_go_on_sends_all_in_the_same_command(server: Server, tmp_path: Path, odd: str) -> None:
    content = tar(scan=NOISE)
    server.files["a.tar.gz"], server.odd_ranges = content, odd
    (tmp_path / "part").write_bytes(content[:CHUNK])
    (tmp_path / "part.tag").write_text(server.etag)
    ResumingDownloader(tmp_path / "part", attempts=1)(server.url("a.tar.gz"), str(tmp_path / "whole"), None)
    assert (tmp_path / "whole").read_bytes() == content
    assert server.requests == [f"bytes={CHUNK}-", None]


@pytest.mark.parametrize("says_length", [True, False])
def test_more_than_the_catalogue_says_is_not_accepted(
    server: Server, tmp_path: Path, says_length: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_SLACK", 2 * CHUNK)
    server.files["a.tar.gz"], server.says_length = tar(scan=NOISE), says_length
    with pytest.raises(DataError, match=r"a\.tar\.gz: expected at most 0 MB, got more"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set", wait_s=0)
    assert len(server.requests) == 1
    assert not (tmp_path / "set" / "scan").exists()


def with_a_long_header() -> bytes:
    member = tarfile.TarInfo("scan")
    member.pax_headers = {"comment": "x" * 5000}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("bound", "value", "content", "said"),
    [
        ("_LARGEST_RATIO", 10, tar(scan=bytes(10**7)), r"it would unpack to more than 0\.0 GB"),
        ("_MOST_MEMBERS", 2, tar(a=b"", b=b"", c=b""), "it would unpack to 2 files"),
        ("_LARGEST_READ", 1000, with_a_long_header(), "it has a header of an implausible size"),
    ],
    ids=["size", "number", "header"],
)
def test_archives_that_unpack_to_too_much_are_refused(
    server: Server, tmp_path: Path, bound: str, value: int, content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, bound, value)
    monkeypatch.setattr(fetching, "_SLACK", 10**6)
    server.files["a.tar.gz"] = content
    with pytest.raises(DataError, match=f"expected a safe archive, got one that was refused: {said}"):
        fetch_set(a_set(server.url("a.tar.gz")), folder=tmp_path / "set")
    assert left_in(tmp_path / "set") == {RECORD_FILE}


@pytest.mark.parametrize("packing", ["", "gz", "bz2", "xz"])
def test_archives_of_every_packing(server: Server, tmp_path: Path, packing: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(tar(scan=NOISE))) as archive, io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode=f"w:{packing}") as other:
            other.addfile(archive.getmember("scan"), archive.extractfile("scan"))
        server.files["a.tar"] = buffer.getvalue()
    fetch_set(a_set(server.url("a.tar")), folder=tmp_path / "set")
    assert (tmp_path / "set" / "scan").read_bytes() == NOISE


def test_no_redirection_leaves_the_encrypted_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def send(_: object, request: requests.PreparedRequest, **__: object) -> requests.Response:
        asked.append(request.url)
        answer = requests.Response()
        answer.status_code, answer.url, answer.request, answer.raw = 302, str(request.url), request, io.BytesIO()
        answer.headers["Location"] = "http://example.org/a.tar"
        return answer

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DataError, match=r"expected an encrypted connection, got a redirection to http://example\.org"):
        fetch_set(a_set("https://example.org/a.tar"), folder=tmp_path, wait_s=0)
    assert asked == ["https://example.org/a.tar"]


def test_an_unknown_certificate_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object, **__: object) -> requests.Response:
        raise requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    with pytest.raises(DataError, match=r"the certificate of example\.org is not known to this machine"):
        fetch_set(a_set("https://example.org/a.tar"), folder=tmp_path, wait_s=0)


def test_one_process_fetches_at_a_time(server: Server, tmp_path: Path) -> None:
    server.files["a.tar.gz"] = tar(scan=NOISE)
    public = a_set(server.url("a.tar.gz"))
    (tmp_path / WORKPLACE).mkdir()
    with (tmp_path / WORKPLACE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is fetching into this folder"):
            fetch_set(public, folder=tmp_path)
    assert server.requests == []
    fetch_set(public, folder=tmp_path)  # a lock that nobody holds is no obstacle
    assert left_in(tmp_path) == {"scan", RECORD_FILE}

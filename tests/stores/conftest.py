"""A store that speaks S3 and a server of the web, both in this process, and scans on them."""

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from scans.pictures import picture

SECRET = "wJalrXUtnFEMIsecretsecret"
BUCKET = "heads"


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The address of the store, which this process finds in its environment with its credentials."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield f"http://{host}:{port}"
    server.stop()


class Bucket:
    """A bucket and what a test wants to know of it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def put(self, key: str, content: bytes | Path) -> None:
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def upload(self, folder: Path, key: str) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(f"{key}/{file.relative_to(folder).as_posix()}", file)

    def content(self) -> dict[str, bytes]:
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {one["Key"]: self.client.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read() for one in listed}

    def below(self, key: str) -> dict[str, bytes]:
        return {
            name.removeprefix(f"{key}/"): held for name, held in self.content().items() if name.startswith(f"{key}/")
        }


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket; the cache and the working folder are empty, too."""
    monkeypatch.setenv("VOXLEX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield Bucket(client)
    for one in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=one["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of six small pictures in two classes."""
    for number in range(6):
        file = tmp_path / "scans" / ("ill" if number % 2 else "healthy") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(file)
    return tmp_path / "scans"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with a page for each folder in it; a folder called "closed" has none."""

    def list_directory(self, path: Any) -> Any:
        if "closed" in str(path):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>Welcome</p>")
            return None
        return super().list_directory(path)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """A server of `tmp_path`. It is called for its address, and with `stop` it goes away."""
    monkeypatch.setenv("VOXLEX_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    running = [True]

    def address(*, stop: bool = False) -> str:
        if stop and running:
            running.clear()
            server.shutdown()
            thread.join()
            server.server_close()
        return f"http://127.0.0.1:{server.server_port}"

    yield address
    address(stop=True)

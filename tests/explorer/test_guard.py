"""Who may ask: hosts, origins, tokens, and requests that are too large or too many."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.guard import LARGEST_BODY, is_loopback, new_token

TOKEN = "a-token-for-tests"


@pytest.fixture(scope="module")
def afar(exhibit: Exhibit) -> TestClient:
    """A client of an explorer that listens to the network."""
    app = make_app(exhibit, host="0.0.0.0", port=8421, token=TOKEN)
    return TestClient(app, base_url="http://192.0.2.7:8421", follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8421", "localhost:8421", "[::1]:8421"])
def test_its_own_addresses_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/run", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8421", "127.0.0.1:80", "127.0.0.1", "127.0.0.1.evil.example:8421", "", "192.168.0.1:8421"]
)
def test_a_foreign_host_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/api/run", headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "null", "file://", "http://[", "https://x:8421"]
)
def test_a_foreign_origin_is_refused(client: TestClient, origin: str) -> None:
    assert client.post("/api/sample", json={}, headers={"origin": origin}).status_code == 403
    assert client.get("/api/run", headers={"origin": origin}).status_code == 403
    assert client.get("/api/run", headers={"origin": "http://127.0.0.1:8421"}).status_code == 200


def test_another_site_may_link_here_and_nothing_more(client: TestClient) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.get("/api/scan/0/original", headers={**foreign, "sec-fetch-mode": "no-cors"}).status_code == 403
    assert client.get("/api/run", headers={**foreign, "sec-fetch-mode": "navigate"}).status_code == 403
    assert client.get("/", headers={**foreign, "sec-fetch-mode": "navigate"}).status_code == 200


def test_every_answer_is_protected(client: TestClient) -> None:
    for path in ("/", "/api/run", "/api/none"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "<script>" not in client.get("/").text
    assert " style=" not in client.get("/").text


def test_the_network_needs_the_token(afar: TestClient) -> None:
    assert afar.get("/api/run").status_code == 401
    assert afar.get("/").status_code == 401
    assert afar.get("/?token=wrong").status_code == 401
    assert afar.get("/api/run?token=" + TOKEN).status_code == 401
    assert afar.get("/api/run", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert afar.get("/api/run", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    taken = afar.get("/", params={"token": TOKEN})
    assert (taken.status_code, taken.headers["location"]) == (303, "/")
    assert "HttpOnly" in taken.headers["set-cookie"]
    assert "SameSite=Strict" in taken.headers["set-cookie"]
    assert afar.get("/api/run").status_code == 200  # with the cookie
    assert afar.get("/api/run", headers={"host": "evil.example:8421"}).status_code == 403
    assert new_token() != new_token()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/assets/../../../config.yaml",
        "/assets/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/assets/%00",
        "/built-from.json",
        "/api/training/../../etc/passwd.png",
        "/api/training/..%2Fmetadata.png",
        "/api/scan/..%2f..%2f0",
    ],
)
def test_no_path_reaches_the_file_system(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_a_request_that_is_too_large_is_refused(client: TestClient) -> None:
    assert client.post("/api/sample", content=b" " * (LARGEST_BODY + 1)).status_code == 413

    def parts() -> Iterator[bytes]:  # without Content-Length
        for _ in range(20):
            yield b" " * (LARGEST_BODY // 10)

    assert client.post("/api/sample", content=parts()).status_code == 413
    assert client.post("/api/sample", content=b"{}", headers={"content-length": "-3"}).status_code == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/run").status_code == 405


def test_many_requests_at_once_are_answered_or_told_to_wait(client: TestClient) -> None:
    def ask(number: int) -> int:
        path = ("/api/run", f"/api/scan/{number % 20}", "/api/thumbs/0", "/api/figures")[number % 4]
        return client.get(path, headers={"x-voxlex-tab": f"tab-{number % 8}"}).status_code

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(200)))
    assert set(found) <= {200, 503}
    assert found.count(200) > 100
    assert client.get("/api/run").status_code == 200

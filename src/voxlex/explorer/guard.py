"""The guard in front of the explorer: who may ask, from which page, and how much at once."""

import hmac
import ipaddress
import json
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 2**20
"""Bytes of a request."""

EVERY_ADDRESS = ("0.0.0.0", "::")
"""Hosts that mean every address of the machine."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self' blob: data:; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def is_loopback(host: str) -> bool:
    """Return whether a host can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets through what comes from the explorer's own page, and refuses everything else.

    A page of another site can make a browser send requests to this machine, and with DNS rebinding even read the
    answers. So the `Host` must be an address at which the explorer listens, and `Origin` and `Sec-Fetch-Site`, where a
    browser sends them, must be its own.

    Args:
        app: The application.
        host: The host at which it listens.
        port: Its port.
        token: The token that clients must have; None on the loopback interface.
    """

    def __init__(self, app: ASGIApp, *, host: str, port: int, token: str | None = None) -> None:
        self._app = app
        self._names = {name.lower() for name in (host, f"[{host}]" if ":" in host else host)}
        if is_loopback(host):
            self._names |= set(_LOOPBACK)
        self._any_address = host in EVERY_ADDRESS  # which we do not know by name
        self._port = port
        self._token = token
        self._cookie = f"voxlex-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and hand it on."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _answer(send, *refused)
            return
        if self._token is not None and not self._knows_token(headers):
            await self._ask_for_token(scope, send)
            return
        await self._app(scope, _limited(receive), _protected(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return why a request is refused; None if it is not."""
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, f"expected GET or POST, got {scope['method'][:20]}"
        if not self._is_own(headers.get("host", "")):
            return 403, "expected the address at which the explorer listens as Host, got another one"
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != headers["host"].lower():
            return 403, "expected a request of the explorer's own page, got one of another site"
        navigating = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not navigating:
            return 403, "expected a request of the explorer's own page, got one of another site"
        if not headers.get("content-length", "0").isdecimal():
            return 400, "expected a number as Content-Length"
        if int(headers.get("content-length", "0")) > LARGEST_BODY:
            return 413, f"expected a request of at most {LARGEST_BODY:,} bytes, got more"
        return None

    def _is_own(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host, "80"
        if port != str(self._port):
            return False
        if name.lower() in self._names:
            return True
        if not self._any_address:
            return False
        try:  # a name could have been pointed at this machine by anybody; an address could not
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _knows_token(self, headers: dict[str, str]) -> bool:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            cookies = SimpleCookie()
            try:
                cookies.load(headers.get("cookie", ""))
            except CookieError:
                return False
            given = cookies[self._cookie].value if self._cookie in cookies else ""
        return self._fits(given)

    def _fits(self, given: str) -> bool:
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    async def _ask_for_token(self, scope: Scope, send: Send) -> None:
        """Take the token of an address such as `/?token=…` as a cookie, so that it leaves the address."""
        try:
            given = parse_qs(scope["query_string"].decode("ascii", "replace")).get("token", [""])[0]
        except ValueError:
            given = ""
        if scope["path"] != "/" or not self._fits(given):
            await _answer(send, 401, "expected the token that voxlex explore has printed; open the address with it")
            return
        cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})


def _protected(send: Send) -> Send:
    async def protecting(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_encoded(_HEADERS)]
            if not any(name == b"cache-control" for name, _ in message["headers"]):
                message["headers"].append((b"cache-control", b"no-store"))
        await send(message)

    return protecting


class TooLargeError(Exception):
    """A request sends more than it may."""


def _limited(receive: Receive) -> Receive:
    """Count what comes, because a request need not say how much that is."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST_BODY:
            raise TooLargeError
        return message

    return limited


async def _answer(send: Send, status: int, words: str, headers: dict[str, str] | None = None) -> None:
    body = json.dumps({"error": words}).encode()
    own: dict[str, Any] = {"content-type": "application/json", "content-length": str(len(body))}
    own |= {"cache-control": "no-store", **_HEADERS, **(headers or {})}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(own)})
    await send({"type": "http.response.body", "body": body})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]

"""Serve an exhibit until it is interrupted."""

import errno
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import closing

import torch
import uvicorn

from voxlex.errors import DataError
from voxlex.explorer.app import make_app
from voxlex.explorer.exhibit import Exhibit
from voxlex.explorer.guard import EVERY_ADDRESS, is_loopback, new_token

USUAL_PORT = 8421


def serve(
    exhibit: Exhibit,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    browse: bool = True,
    say: Callable[[str], None],
) -> None:
    """Serve an exhibit until Ctrl-C.

    Args:
        exhibit: What is shown.
        host: Where to listen. Any other place than the loopback interface needs a token, which is part of the address.
        port: The port; 0 for any free one. By default `USUAL_PORT`, or any free one if that is taken.
        browse: Whether to open the page in a browser.
        say: Function that shows the address.

    Raises:
        DataError: If it cannot listen there.
    """
    # Quick work, a long job and the survey go on at once; more threads than cores would wait for each other.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    with closing(listening(host, USUAL_PORT if port is None else port, otherwise_any=port is None)) as heard:
        found = heard.getsockname()[1]
        token = None if is_loopback(host) else new_token()
        named = reachable(host)
        shown = f"[{named}]" if ":" in named else named
        address = f"http://{shown}:{found}/" + ("" if token is None else f"?token={token}")
        say(address)
        app = make_app(exhibit, host=host, port=found, token=token)
        config = uvicorn.Config(
            app, log_level="error", access_log=False, server_header=False, timeout_graceful_shutdown=2, lifespan="on"
        )
        if browse:
            threading.Timer(0.5, webbrowser.open, [address]).start()
        uvicorn.Server(config).run(sockets=[heard])


def reachable(host: str) -> str:
    """Return an address that a browser can open where one that means every address of the machine is listened at.

    It is the address by which this machine reaches others, or the loopback address if it reaches none. Nothing is sent.
    """
    if host not in EVERY_ADDRESS:
        return host
    family, far, otherwise = (
        (socket.AF_INET6, "2001:db8::1", "::1") if ":" in host else (socket.AF_INET, "192.0.2.1", "127.0.0.1")
    )
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return otherwise


def listening(host: str, port: int, *, otherwise_any: bool = False) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: Where.
        port: The port; 0 for any free one.
        otherwise_any: Take any free port if this one is taken.

    Raises:
        DataError: If it cannot listen there.
    """
    try:
        return _bound(host, port)
    except OverflowError as cause:
        raise DataError(f"--port: expected a port from 0 to 65535, got {port}") from cause
    except OSError as cause:
        if otherwise_any and cause.errno == errno.EADDRINUSE:
            return listening(host, 0)
        raise DataError(f"{host}:{port}: cannot listen there: {cause.strerror or cause}") from cause


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(2048)
    except BaseException:
        bound.close()
        raise
    return bound

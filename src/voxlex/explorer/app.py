"""The application: the routes of the explorer, and errors in words."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from voxlex.errors import VoxlexError
from voxlex.explorer import files, jobs, live, replies
from voxlex.explorer.exhibit import Exhibit, UnknownError
from voxlex.explorer.guard import Guard, TooLargeError
from voxlex.explorer.lanes import BusyError, ClosedError
from voxlex.explorer.replies import Binary
from voxlex.names import printable

T = TypeVar("T")

PAGE = "page"
_KEPT = {"cache-control": "private, max-age=31536000, immutable"}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_CLIENT = re.compile(r"[A-Za-z0-9-]{1,40}")


def page_files() -> dict[str, bytes]:
    """Return the files of the built page by their names in its address."""
    found: dict[str, bytes] = {}
    folder = resources.files("voxlex.explorer") / PAGE
    for place in (folder, folder / "assets"):
        if place.is_dir():
            prefix = "" if place is folder else "assets/"
            found |= {prefix + file.name: file.read_bytes() for file in place.iterdir() if file.is_file()}
    return found


def make_app(exhibit: Exhibit, *, host: str, port: int, token: str | None = None) -> Guard:
    """Return the application for an exhibit, behind its guard.

    Args:
        exhibit: What is shown.
        host: The host at which it listens.
        port: Its port.
        token: The token that clients must have; None on the loopback interface.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        exhibit.refresh()
        yield
        await run_in_threadpool(exhibit.close)

    app = Starlette(
        routes=[*_page_routes(page_files()), *_routes(exhibit), *_routes_beside(exhibit)],
        lifespan=lifespan,
        exception_handlers={404: _not_found, 405: _not_found, TooLargeError: _too_large, Exception: _failed},
    )
    return Guard(app, host=host, port=port, token=token)


def _page_routes(page: dict[str, bytes]) -> list[Route]:
    """Return a route for each file of the page. A request chooses among these, and reaches no other file."""

    def show(content: bytes, kind: str, kept: bool) -> Callable[[Request], Any]:
        async def shown(request: Request) -> Response:
            return Response(content, media_type=kind, headers=_KEPT if kept else {"cache-control": "no-cache"})

        return shown

    routes = []
    for name, content in page.items():
        kind = _TYPES.get(name.rpartition(".")[2])
        if kind is not None:
            path = "/" if name == "index.html" else f"/{name}"
            routes.append(Route(path, show(content, kind, name.startswith("assets/"))))
    return routes


def _scan_routes(exhibit: Exhibit, prefix: str) -> list[Route]:
    """Return the routes of what a run makes of one scan, and of its codewords."""
    model = partial(_answering, exhibit, model=True)
    get: list[tuple[str, Any]] = [
        ("/scan/{row}", model(replies.scan)),
        ("/scan/{row}/measures", model(replies.measures)),
        ("/word/{level}/{codebook}/{code}", model(replies.one_word)),
        ("/volume/{row}/{kind}.nii", model(files.volume)),
    ]
    post: list[tuple[str, Any]] = [
        ("/scan/{row}/decode", model(replies.decode)),
        ("/scan/{row}/bits", model(replies.bits)),
    ]
    gets = [Route(prefix + path, one) for path, one in get]
    return gets + [Route(prefix + path, one, methods=["POST"]) for path, one in post]


def _routes_beside(exhibit: Exhibit) -> list[Route]:
    """Return the routes of the run that is shown beside the first one: the same answers, of another exhibit."""
    return [] if exhibit.beside is None else _scan_routes(exhibit.beside, "/api/beside")


def _routes(exhibit: Exhibit) -> list[Route]:
    plain = partial(_answering, exhibit)
    model = partial(_answering, exhibit, model=True)
    get: list[tuple[str, Any]] = [
        ("/api/run", plain(replies.run)),
        ("/api/scans", plain(replies.scans)),
        ("/api/figures", plain(replies.figures)),
        ("/api/thumbs/{block}", plain(replies.thumbs)),
        ("/api/scan/{row}/original", plain(replies.original)),
        ("/api/words/{level}/{codebook}", plain(replies.words)),
        ("/api/training", plain(live.training)),
        ("/api/training/{name}.png", plain(files.training_picture)),
        ("/api/jobs", plain(jobs.every)),
        ("/api/jobs/{number}", plain(jobs.one)),
        ("/api/jobs/{number}/sketch", model(jobs.sketch)),
        ("/api/jobs/{number}/image/{index}", plain(jobs.image)),
        ("/api/jobs/{number}/image/{index}/file", plain(files.drawn)),
    ]
    post: list[tuple[str, Any]] = [
        ("/api/scan/{row}/codes.parquet", model(files.codes)),
        ("/api/scan/{row}/picture.png", model(files.picture)),
        ("/api/sample", plain(jobs.sample)),
        ("/api/region", plain(jobs.region)),
        ("/api/jobs/{number}/cancel", plain(jobs.cancel)),
        ("/api/jobs/{number}/discard", plain(jobs.discard)),
    ]
    routes = [Route(path, one) for path, one in get] + [Route(path, one, methods=["POST"]) for path, one in post]
    return _scan_routes(exhibit, "/api") + routes


def _answering(exhibit: Exhibit, answer: replies.Answer, *, model: bool = False) -> Callable[[Request], Any]:
    """Return the endpoint of an answer.

    Args:
        exhibit: What is shown.
        answer: Makes the answer of a question.
        model: Whether this is work of the model, which has a queue.
    """

    async def endpoint(request: Request) -> Response:
        client = request.headers.get("x-voxlex-tab", "")
        if not _CLIENT.fullmatch(client):
            client = request.client.host if request.client else "unknown"
        question = replies.Question(
            path=request.path_params, query=request.query_params, body=await request.body(), client=client
        )
        work = partial(answer, exhibit, question)
        try:
            if model:
                found = await asyncio.wrap_future(exhibit.quick.submit(work, client=client))
            else:
                found = await run_in_threadpool(work)
        except asyncio.CancelledError:  # the explorer ends
            return Response(status_code=503)
        except BusyError as error:
            return _words(503, error, {} if isinstance(error, ClosedError) else {"retry-after": "1"})
        except UnknownError as error:
            return _words(404, error)
        except (VoxlexError, ValueError, TypeError) as error:
            return _words(400 if isinstance(error, ValueError | TypeError) else 409, error)
        return _response(found)

    return endpoint


def _response(found: "Binary | dict[str, Any] | list[Any]") -> Response:
    if not isinstance(found, Binary):
        text = json.dumps(found, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return Response(text, media_type="application/json")
    headers = dict(_KEPT) if found.kept else {}
    if found.figures is not None:
        headers["x-voxlex-figures"] = json.dumps(found.figures, ensure_ascii=True)
    if found.name is not None:
        headers["content-disposition"] = f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", found.name)}"'
    return Response(found.content, media_type=found.kind, headers=headers)


def _words(status: int, error: BaseException, headers: dict[str, str] | None = None) -> JSONResponse:
    words = printable(" ".join(str(error).split())) or type(error).__name__
    return JSONResponse({"error": words}, status_code=status, headers=headers)


async def _not_found(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "there is nothing at this address"}, status_code=404)


async def _too_large(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "expected a smaller request"}, status_code=413)


async def _failed(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)
    return JSONResponse({"error": f"this is a bug in voxlex: {type(error).__name__}"}, status_code=500)

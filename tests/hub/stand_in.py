"""A stand-in of the Hub: repositories with commits, behind the part of its HTTP interface that is used."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """Files of each commit, oldest first."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        sha = hashlib.sha1(f"{len(self.commits)} {sorted(files)}".encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def resolved(self, revision: str) -> str | None:
        if revision == "main":
            return next(reversed(self.commits))
        return revision if revision in self.commits else None


@dataclass
class StandIn:
    """A server, what is in it, and what it was asked for: method, path and authorization."""

    token: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    status: int | None = None  # answers everything with it
    address: str = ""

    def add(self, name: str, files: dict[str, bytes]) -> str:
        return self.repositories.setdefault(name, Repository()).commit(files)

    def last(self, name: str) -> dict[str, bytes]:
        return next(reversed(self.repositories[name].commits.values()))


@contextmanager
def serving(hub: StandIn) -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Authorization")))
            if hub.status is not None:
                self.send(hub.status, {"error": f"no, {self.headers.get('Authorization')}"})
            elif self.command == "POST" and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self.send(401, {"error": "Invalid credentials"})
            elif path == "/api/repos/create":
                self.create(json.loads(body))
            elif path == "/api/validate-yaml":
                self.send(200, {"errors": [], "warnings": []})
            elif path.startswith("/api/models/"):
                owner, name, *rest = path.removeprefix("/api/models/").split("/")
                self.repository(f"{owner}/{name}", rest, body)
            elif path.startswith("/api/"):  # such as what the library asks of its surroundings
                self.send(404, {"error": "not here"})
            else:
                owner, name, _, revision, *rest = path[1:].split("/")
                self.file(f"{owner}/{name}", revision, "/".join(rest))

        def create(self, wanted: dict[str, Any]) -> None:
            name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            url = f"{hub.address}/{name}"
            if name in hub.repositories:
                self.send(409, {"error": "You already created this model repo", "url": url})
                return
            hub.repositories[name] = Repository(private=wanted.get("private") or wanted.get("visibility") == "private")
            hub.add(name, {".gitattributes": b""})
            self.send(200, {"url": url, "name": name})

        def repository(self, name: str, rest: list[str], body: bytes) -> None:
            found = hub.repositories.get(name)
            if found is None:
                self.send(404, {"error": "Repository not found"}, code="RepoNotFound")
                return
            kind, revision = (rest[0], rest[1]) if rest else ("revision", "main")
            sha = found.resolved(revision)
            if sha is None:
                self.send(404, {"error": f"Invalid rev id: {revision}"}, code="RevisionNotFound")
                return
            files = found.commits[sha]
            match kind:
                case "revision":
                    siblings = [{"rfilename": path} for path in files]
                    self.send(200, {"id": name, "modelId": name, "sha": sha, "siblings": siblings, "private": False})
                case "tree":
                    folders = {str(above) for path in files for above in PurePosixPath(path).parents} - {"."}
                    above = "/".join([*rest[2:], ""]).lstrip("/")
                    inside = [path for path in (*files, *folders) if path.startswith(above)]
                    if "recursive=true" not in self.path.lower():
                        inside = [path for path in inside if "/" not in path.removeprefix(above)]
                    self.send(200, [entry(files, path) for path in inside])
                case "preupload":
                    modes = [
                        {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                        for file in json.loads(body)["files"]
                    ]
                    self.send(200, {"files": modes})
                case "commit":
                    self.commit(name, found, dict(files), body)

        def commit(self, name: str, repository: Repository, files: dict[str, bytes], body: bytes) -> None:
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            sha = repository.commit(files)
            self.send(200, {"success": True, "commitOid": sha, "commitUrl": f"{hub.address}/{name}/commit/{sha}"})

        def file(self, name: str, revision: str, path: str) -> None:
            repository = hub.repositories[name]
            sha = repository.resolved(revision)
            content = None if sha is None else repository.commits[sha].get(path)
            if content is None:
                self.send(404, {"error": "Entry not found"}, code="EntryNotFound")
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", str(sha))
            self.send_header("ETag", f'"{etag(content)}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def send(self, status: int, content: object, code: str | None = None) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            if code is not None:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def entry(files: dict[str, bytes], path: str) -> dict[str, Any]:
    """Return what the Hub tells of a file or a folder."""
    if path not in files:
        return {"type": "directory", "path": path, "oid": "0"}
    return {"type": "file", "path": path, "size": len(files[path]), "oid": etag(files[path])}


def etag(content: bytes) -> str:
    """Return the identity of a file in git."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

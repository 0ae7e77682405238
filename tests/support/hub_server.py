"""A Hugging Face hub on this machine: the few routes that downloads need, on a server that can misbehave."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from support.local_server import LocalServer, Request


def commit_of(repository: str) -> str:
    return hashlib.sha1(repository.encode()).hexdigest()


@dataclass
class Hub(LocalServer):
    """Serves `repositories` (name -> file -> content), each at the commit `commit_of(name)`, which is `main`.

    Files that end in `.safetensors`, `.bin` are in large file storage: the hub tells their sha256 and
    redirects to where they lie.

    Attributes:
        gated: repository -> status (401, 403) with which its files are refused.
        lies: file -> sha256 that the hub claims it to have.
        swapped: sha256 -> content that is sent instead of the content of that hash.
        tokens: the authorization of every request but those for storage.
        leaked: requests for storage that carried an authorization.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: dict[str, int] = field(default_factory=dict)
    lies: dict[str, str] = field(default_factory=dict)
    swapped: dict[str, bytes] = field(default_factory=dict)
    tokens: list[str | None] = field(default_factory=list)
    leaked: int = 0

    @property
    def storage(self) -> str:
        """Another host, as on the real hub."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def downloads(self) -> list[str]:
        """Names of the files that were asked for, in order."""
        return [
            request.path.split("/resolve/")[1].split("/", 1)[1]
            for request in self.log
            if "/resolve/" in request.path
        ]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        if path.startswith("/storage/"):
            self.leaked += handler.headers.get("Authorization") is not None
            return super().answer(handler)
        self.tokens.append(handler.headers.get("Authorization"))
        if path.startswith("/api/models/"):
            repository, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            return self._describe(handler, repository, revision or "main")
        repository, _, rest = path.removeprefix("/").partition("/resolve/")
        commit, _, name = rest.partition("/")
        return self._send(handler, repository, commit, name)

    def _describe(self, handler: BaseHTTPRequestHandler, repository: str, revision: str) -> None:
        self.log.append(Request(handler.path, None, None))
        if repository not in self.repositories:
            return self._refuse(handler, 404, "RepoNotFound")
        if revision not in ("main", commit_of(repository)):
            return self._refuse(handler, 404, "RevisionNotFound")
        siblings = []
        for name, content in self.repositories[repository].items():
            entry: dict = {"rfilename": name, "size": len(content)}
            entry["blobId"] = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            if large(name):
                digest = self.lies.get(name, hashlib.sha256(content).hexdigest())
                entry["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 130}
            siblings.append(entry)
        body = json.dumps({"id": repository, "sha": commit_of(repository), "siblings": siblings}).encode()
        self._reply(handler, 200, body, {"Content-Type": "application/json"})

    def _send(self, handler: BaseHTTPRequestHandler, repository: str, commit: str, name: str) -> None:
        if repository in self.gated:
            self.log.append(Request(handler.path, None, None))
            return self._refuse(handler, self.gated[repository], "GatedRepo")
        content = self.repositories.get(repository, {}).get(name)
        if content is None or commit not in ("main", commit_of(repository)):
            self.log.append(Request(handler.path, None, None))
            return self._refuse(handler, 404, "EntryNotFound")
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "X-Repo-Commit": commit_of(repository),
            "ETag": f'"{digest}"',
            "X-Linked-Size": str(len(content)),
        }
        if large(name):
            self.files[f"/storage/{digest}"] = self.swapped.get(digest, content)
            self.log.append(Request(handler.path, handler.headers.get("Range"), None))
            return self._reply(
                handler,
                302,
                b"",
                {**headers, "X-Linked-ETag": f'"{digest}"', "Location": f"{self.storage}/storage/{digest}"},
            )
        if handler.command == "HEAD":
            return self._reply(handler, 200, content, headers)
        self.files[handler.path] = content
        return super().answer(handler)

    def _refuse(self, handler: BaseHTTPRequestHandler, status: int, code: str) -> None:
        self._reply(handler, status, b"{}", {"X-Error-Code": code})

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)


def large(name: str) -> bool:
    return name.endswith((".safetensors", ".bin"))

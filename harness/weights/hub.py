"""The Hugging Face hub: the files of a repository at a commit, and their addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.downloads.http import BrokenOff, DownloadFailed, ask, read_pieces, status_text
from harness.errors import UserError
from harness.files import parse_json
from harness.messages import bytes_text
from harness.weights.listing import HubFile, listed_files, names_problem

if TYPE_CHECKING:
    import requests

ENDPOINT = "https://huggingface.co"
_COMMIT = re.compile("[0-9a-f]{40}")
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)

_LONGEST_LISTING = 64_000_000
"""Bytes of a hub's answer: that of a repository of a hundred thousand files has a third of them."""


class HubFailed(UserError):
    """A repository, or a file of it, could not be had. The caller adds what the user can do instead."""


class HubUnreachable(HubFailed):
    """The hub could not be reached, so that another repository would fail as well."""


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Attributes:
        name: `owner/name`.
        commit: 40 hex digits.
        files: name -> file.
    """

    name: str
    commit: str
    files: Mapping[str, HubFile]

    def url(self, file: str) -> str:
        """The address of a file at this commit."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.name, file, revision=self.commit, endpoint=endpoint())


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or the official one. Read when it is needed, not when something is
    imported.
    """
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT


def open_repository(name: str, revision: str | None = None) -> Repository:
    """Opens a repository at a branch, tag or commit (`main` by default), resolved to a commit.

    Raises:
        HubFailed: the hub is offline, has no such repository, wants a login, or answers with something else.
    """
    from huggingface_hub import constants, errors

    # Public, but not in the package's `__all__`.
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except errors.HFValidationError as error:
        raise HubFailed(f"{name} is not the name of a repository: expected owner/name") from error
    if constants.HF_HUB_OFFLINE:
        raise HubUnreachable("HF_HUB_OFFLINE forbids the network")
    url = f"{endpoint()}/api/models/{name}"
    if revision is not None:
        url = f"{url}/revision/{quote(revision, safe='')}"
    try:
        # Not by the hub's own client, which waits and reads without end.
        with ask(f"{url}?blobs=true", authorization()) as response:
            _check_status(name, revision, response)
            content = _read(response)
    except DownloadFailed as error:
        reason = str(error).removeprefix(f"{url}?blobs=true: ")
        raise HubUnreachable(f"{endpoint()} cannot be reached ({reason})") from error
    try:
        listing = parse_json(content)
        commit, files = listed_files(listing)
    except ValueError as error:  # a proxy's page instead of JSON
        raise HubUnreachable(f"{endpoint()} does not answer as a Hugging Face hub does ({error})") from error
    if not _COMMIT.fullmatch(commit):
        raise HubFailed(f"{name}: {endpoint()} names no commit for revision '{revision or 'main'}'")
    return Repository(name, commit, files)


def _check_status(name: str, revision: str | None, response: requests.Response) -> None:
    """Raises `HubFailed` for an answer other than a listing, as the hub's headers explain it."""
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if status == HTTPStatus.OK:
        return
    if code == "GatedRepo":
        raise HubFailed(login_message(name))
    if code == "RevisionNotFound":
        raise HubFailed(f"{name} has no revision '{revision}'")
    # The hub answers 401 for names that do not exist: they might be somebody's own.
    is_token_bad = response.headers.get("X-Error-Message") == "Invalid credentials in Authorization header"
    if code == "RepoNotFound" or (status == HTTPStatus.UNAUTHORIZED and not is_token_bad):
        raise HubFailed(f"{name} is not on {endpoint()}, or not public")
    if status in _DENIED:
        raise HubFailed(login_message(name))
    raise HubFailed(f"{name}: {endpoint()} answers {status_text(response)}")


def _read(response: requests.Response) -> bytes:
    content = bytearray()
    try:
        for piece in read_pieces(response):
            content += piece
            if len(content) > _LONGEST_LISTING:
                raise BrokenOff(f"more than {bytes_text(_LONGEST_LISTING)} for a list of files")
    except BrokenOff as error:
        raise HubUnreachable(f"{endpoint()} does not answer as a Hugging Face hub does ({error})") from error
    return bytes(content)


def check_names(repository: Repository, names: Sequence[str]) -> None:
    """Checks the names of the files that are wanted of a repository, before one of them is written.

    Raises `HubFailed`, which names the file, where a name leads out of the folder, is that of no file, or
    stands for another file too.
    """
    if problem := names_problem(names):
        raise HubFailed(f"{repository.name} lists {problem}; refused")


def authorization() -> dict[str, str]:
    """The header that carries the user's token (HF_TOKEN, or that of `hf auth login`), if there is one."""
    # Public, but not in the package's `__all__`.
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    # Nothing else of the client's headers: downloads here send their own.
    headers = build_hf_headers()
    return {name: headers[name] for name in headers if name.lower() == "authorization"}


def login_message(name: str) -> str:
    """Message for a repository that is open to known users only, with the way to become one."""
    return (
        f"{name} is gated: accept its terms at {endpoint()}/{name}, "
        "then log in with 'hf auth login' or set HF_TOKEN"
    )

"""The Hugging Face hub: the files of a repository at a commit, and their addresses."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError

ENDPOINT = "https://huggingface.co"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DENIED = (401, 403)


class HubFailed(UserError):
    """A repository, or a file of it, could not be had. The caller adds what the user can do instead."""


class HubUnreachable(HubFailed):
    """The hub could not be reached, so that another repository would fail as well."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository.

    Attributes:
        size: bytes, where the hub says.
        sha256: of its content; empty for small files, for which the hub knows git's hash only.
        blob: git's hash of its content.
    """

    size: int | None
    sha256: str
    blob: str

    def is_same(self, path: Path, sha256: str) -> bool:
        """True where a file on disk, with this sha256, is this file of the repository."""
        if self.size not in (None, path.stat().st_size):
            return False
        if self.sha256:
            return sha256 == self.sha256
        return git_hash(path) == self.blob


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
    from huggingface_hub import HfApi, errors

    # httpx's, or that of whatever the installed huggingface_hub talks through.
    transport: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]
    try:
        info = HfApi(endpoint=endpoint()).model_info(name, revision=revision, files_metadata=True, timeout=30)
    except errors.GatedRepoError as error:
        raise HubFailed(login_message(name)) from error
    except errors.RevisionNotFoundError as error:
        raise HubFailed(f"{name} has no revision '{revision}'") from error
    except errors.RepositoryNotFoundError as error:
        raise HubFailed(f"{name} is not on {endpoint()}, or not public") from error
    except errors.HFValidationError as error:
        raise HubFailed(f"{name} is not the name of a repository: expected owner/name") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in _DENIED:
            raise HubFailed(login_message(name)) from error
        reason = error.response.reason_phrase
        raise HubFailed(f"{name}: {endpoint()} answers {status} {reason}".rstrip()) from error
    except errors.OfflineModeIsEnabled as error:
        raise HubUnreachable("HF_HUB_OFFLINE forbids the network") from error
    except (transport, OSError) as error:
        raise HubUnreachable(f"{endpoint()} cannot be reached ({_short_line(error)})") from error
    except (ValueError, TypeError, KeyError) as error:  # a proxy's page instead of JSON
        raise HubUnreachable(
            f"{endpoint()} does not answer as a Hugging Face hub does ({_short_line(error)})"
        ) from error
    if not info.sha or not _COMMIT.fullmatch(info.sha):
        raise HubFailed(f"{name}: {endpoint()} names no commit for revision '{revision or 'main'}'")
    files: dict[str, HubFile] = {}
    for file in info.siblings or ():
        sha256 = file.lfs.sha256 if file.lfs else ""
        files[file.rfilename] = HubFile(file.size, sha256, file.blob_id or "")
    return Repository(name, info.sha, files)


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


def git_hash(path: Path) -> str:
    """git's hash of a file's content, as the hub gives it for files outside of large file storage."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _short_line(error: BaseException) -> str:
    """The message in one line, since the hub's client wraps its own; the class where there is no message."""
    return (" ".join(str(error).split()) or type(error).__name__)[:120]

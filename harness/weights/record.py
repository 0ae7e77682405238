"""`bench-weights.json`: the origin and the hashes of fetched files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.errors import UserError
from harness.files import file_sha256, read_json, replacing
from harness.weights.content import RECORD

SCHEMA = 1


@dataclass(frozen=True)
class FileRecord:
    """One file: hex sha256 and bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Of a file on disk."""
        return cls(file_sha256(path), path.stat().st_size)


@dataclass(frozen=True)
class WeightRecord:
    """The record that a fetch leaves beside its files.

    Attributes:
        source: the weight source's name.
        repository: of the Hugging Face hub; empty for plain addresses.
        commit: 40 hex digits; empty for plain addresses.
        urls: the addresses, for files that are not from the hub.
        fetched: UTC.
        files: name -> hash and size.
    """

    source: str
    repository: str
    commit: str
    urls: tuple[str, ...]
    fetched: str
    files: Mapping[str, FileRecord]

    @classmethod
    def now(
        cls,
        source: str,
        files: Mapping[str, FileRecord],
        *,
        repository: str = "",
        commit: str = "",
        urls: tuple[str, ...] = (),
    ) -> WeightRecord:
        """A record of files that have just arrived."""
        fetched = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(source, repository, commit, urls, fetched, files)

    @property
    def origin(self) -> str:
        """`owner/name@commit`, or the addresses."""
        return f"{self.repository}@{self.commit}" if self.repository else " ".join(self.urls)


def write_record(folder: Path, record: WeightRecord) -> None:
    """Writes the record beside the files, whole or not at all."""
    text = json.dumps({"schema": SCHEMA, **asdict(record)}, indent=1, sort_keys=True)
    with replacing(folder / RECORD) as file:
        file.write(f"{text}\n".encode())


def read_record(folder: Path) -> WeightRecord | None:
    """The record beside a folder's files; None where they were put there by hand.

    Raises:
        UserError: it is damaged, or of a newer version of this package.
    """
    path = folder / RECORD
    try:
        content = read_json(path)
        schema = content.pop("schema")
        if schema != SCHEMA:
            raise UserError(
                f"{path}: schema {schema}, this version reads {SCHEMA}; update correspondence-bench"
            )
        files = {name: FileRecord(**file) for name, file in content.pop("files").items()}
        return WeightRecord(files=files, urls=tuple(content.pop("urls")), **content)
    except (FileNotFoundError, NotADirectoryError):  # the second where `folder` is a single file
        return None
    except UserError:
        raise
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: damaged ({type(error).__name__}: {error}); delete it and fetch the weights again"
        ) from error

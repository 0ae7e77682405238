"""Arrays that belong to pictures, computed once and kept on disk: each in a file of its own, which is there whole or not at all.

A process killed while it fills a store leaves pictures without a file, which the next one computes; nothing half-written is ever read.
Several processes may fill one store at the same time: what they write is the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.atomic import replacing
from harness.errors import UserError

KEY = "key.json"


class Store:
    """float32 arrays of one shape, one for each picture.

    Args:
        root: the cache's folder, which holds any number of stores.
        name: what the arrays are, such as `posterior`.
        key: everything they depend on besides the picture: preprocessing, hashes of the weights, precision. Other values, another store.
        shape: of every array.
    """

    def __init__(self, root: Path, name: str, key: Mapping[str, object], shape: Sequence[int]) -> None:
        content = json.dumps({**key, "shape": list(shape)}, sort_keys=True)
        self.folder = root / f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        self._content, self.shape = content, tuple(shape)

    def missing(self, identities: Iterable[str]) -> list[str]:
        """The pictures that have no array yet, or a damaged one; each once, in their order."""
        return [identity for identity in dict.fromkeys(identities) if self._open(identity) is None]

    def fill(
        self,
        identities: Iterable[str],
        compute: Callable[[str], np.ndarray],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Computes what is missing; returns how many those were.

        Args:
            progress: called with pictures done and pictures to do.

        Raises:
            UserError: the cache's folder cannot be written.
        """
        missing = self.missing(identities)
        if missing:
            self._describe()
        for number, identity in enumerate(missing, start=1):
            array = np.ascontiguousarray(compute(identity), dtype=np.float32)
            if array.shape != self.shape:
                raise ValueError(f"an array of shape {array.shape} for a store of {self.shape}")
            with replacing(self._path(identity)) as file:
                np.save(file, array)
            progress(number, len(missing))
        return len(missing)

    def __getitem__(self, identity: str) -> np.ndarray:
        """A picture's array, mapped from disk. Raises `KeyError` where there is none."""
        found = self._open(identity)
        if found is None:
            raise KeyError(identity)
        return found

    def _open(self, identity: str) -> np.ndarray | None:
        try:
            array = np.load(self._path(identity), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            # Not there, or not what was written: a file cut short cannot be mapped.
            return None
        return array if array.shape == self.shape and array.dtype == np.float32 else None

    def _path(self, identity: str) -> Path:
        # Folders of some thousand files are slow to list on many file systems.
        return self.folder / identity[:2] / f"{identity}.npy"

    def _describe(self) -> None:
        try:
            with replacing(self.folder / KEY) as file:
                file.write(self._content.encode() + b"\n")
        except OSError as error:
            raise UserError(f"cache folder {self.folder.parent}: {error.strerror or error}; choose another with --cache") from error

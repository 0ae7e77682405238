"""Arrays that belong to pictures, computed once and kept on disk, each in a file of its own.

A file is there whole or not at all. A process that is killed while it fills a store leaves pictures without a
file, which the next process computes; nothing half-written is ever read. Several processes may use one store
at the same time: they write the same bytes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from harness.errors import UserError
from harness.files import remove_abandoned, replacing, try_writing

KEY = "key.json"

_DIGEST = hashlib.sha256().digest_size


class Store:
    """float32 arrays of one shape, one for each picture.

    Args:
        root: the cache's folder, which holds any number of stores.
        name: the kind of the arrays, such as `posterior`.
        key: everything they depend on besides the picture, see `harness.caching.disk_cache.Cache.store`.
            Other values make another store.
        shape: of every array.

    Attributes:
        found, computed: how often `once` read an array, and how often it had to compute one.
        trouble: the reason why `once` has stopped writing; empty as long as it writes.
    """

    def __init__(self, root: Path, name: str, key: Mapping[str, object], shape: Sequence[int]) -> None:
        # Sorted, so that the order in which a key is put together makes no other store.
        content = json.dumps({**key, "shape": list(shape)}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        self.folder = root / f"{name}-{digest[:16]}"
        self._content, self.shape = content, tuple(shape)
        self.found = self.computed = 0
        # Folders in which nothing is left of a process that was killed.
        self._swept: set[Path] = set()
        self.trouble = ""

    def once(self, identity: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns a picture's array, read or else computed and written.

        Where it cannot be written, work goes on without: see `trouble`.

        Raises:
            ValueError: the computed array has another shape.
        """
        array = self.get(identity)
        if array is not None:
            self.found += 1
            return array
        array = compute()
        self.computed += 1
        if not self.trouble:
            try:
                self._put(identity, array)
            except OSError as error:
                # Somebody's folder where this file belongs: the other files can be written.
                if error.errno != errno.EISDIR:
                    self.trouble = _reason(error)
        return array

    def missing(self, identities: Iterable[str]) -> list[str]:
        """The pictures without an array, or with a damaged one; each once, in their order."""
        missing: list[str] = []
        for identity in dict.fromkeys(identities):
            if self.get(identity) is None:
                missing.append(identity)
        return missing

    def fill(
        self,
        identities: Iterable[str],
        compute: Callable[[str], np.ndarray],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> int:
        """Computes the missing arrays, and returns their number.

        Args:
            progress: called with pictures done and pictures to do.

        Raises:
            NotWritten: the cache's folder cannot be written; what was computed before is there.
            ValueError: a computed array has another shape.
        """
        missing = self.missing(identities)
        for number, identity in enumerate(missing, start=1):
            self._put(identity, compute(identity))
            progress(number, len(missing))
        return len(missing)

    def get(self, identity: str) -> np.ndarray | None:
        """Reads a picture's array; None where its file is missing or differs from what was written."""
        try:
            content = self._path(identity).read_bytes()
        except OSError:
            return None
        array, digest = content[:-_DIGEST], content[-_DIGEST:]
        # A damaged array counts as missing, and is computed and written again.
        if digest != self._digest(identity, array):
            return None
        return np.load(io.BytesIO(array), allow_pickle=False)  # type: ignore[no-any-return]

    def __getitem__(self, identity: str) -> np.ndarray:
        """Maps a picture's array from disk, without the check of its bytes: for arrays that `fill` has seen.

        Raises:
            KeyError: the array is missing.
        """
        try:
            array: np.ndarray = np.load(self._path(identity), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise KeyError(identity) from error
        return array

    def _put(self, identity: str, array: np.ndarray) -> None:
        if array.shape != self.shape:
            raise ValueError(f"an array of shape {array.shape} for a store of {self.shape}")
        key = self.folder / KEY
        if not key.exists():
            # For people: nothing reads it.
            with replacing(key) as file:
                file.write(self._content.encode() + b"\n")
        path = self._path(identity)
        if path.parent not in self._swept:
            self._swept.add(path.parent)
            remove_abandoned(path.parent)
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
        content = buffer.getvalue()
        with replacing(path) as file:
            file.write(content + self._digest(identity, content))

    def _digest(self, identity: str, array: bytes) -> bytes:
        """The end of a file, behind the array: it shows damage, and a file that belongs elsewhere."""
        return hashlib.sha256(f"{self._content}\n{identity}\n".encode() + array).digest()

    def _path(self, identity: str) -> Path:
        name = identity
        # A plugin's dataset may give its pictures identities that are not names of files.
        if not re.fullmatch(r"[\w-]{2,128}", identity, re.ASCII):
            name = hashlib.sha256(identity.encode()).hexdigest()
        # Folders of some thousand files are slow to list on many file systems.
        return self.folder / name[:2] / f"{name}.npy"


def make_cache_folder(root: Path) -> None:
    """Makes a cache's folder and checks that it can be written, so that the error comes before the work.

    Raises:
        UserError: it cannot be made or written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        try_writing(root)
    except OSError as error:
        raise UserError(f"cache folder {root}: {_reason(error)}; choose another with --cache") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

"""Where weights lie on this machine: beside a plugin, where `bench weights fetch` put them, or in the Hugging
Face cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import UserError
from harness.specs import WeightSource
from harness.weights.content import patterns_of, select_files_in, used_files
from harness.weights.record import read_record

Kind = Literal["package", "fetched", "hub-cache", "own"]
"""Who put the weights there: a package, `bench weights fetch` (or a hand that knew the place), another tool
of the Hugging Face, or the user, who says so with --weights NAME=PATH."""


@dataclass(frozen=True)
class WeightLocation:
    """Where a source was found.

    Attributes:
        path: what an extractor gets: a folder, or the file of a source that is one.
        origin: `owner/name@commit` or address they came from, empty where that is not known.
    """

    path: Path
    kind: Kind
    origin: str = ""

    @property
    def folder(self) -> Path:
        """The path itself, or the folder that the file lies in."""
        return self.path.parent if self.path.is_file() else self.path


def weights_root(root: Path | None = None) -> Path:
    """Folder of everything fetched: the one named, else BENCH_WEIGHTS, else the user's cache folder."""
    if root or os.environ.get("BENCH_WEIGHTS"):
        return (root or Path(os.environ["BENCH_WEIGHTS"])).expanduser()
    return _cache_home() / "correspondence-bench" / "weights"


def weights_folder(source: WeightSource, root: Path | None = None) -> Path:
    """A source's own folder."""
    return weights_root(root) / source.name


def find_weights(source: WeightSource, root: Path | None = None) -> WeightLocation:
    """Where a source lies, without the network.

    Raises:
        UserError: nowhere, or only a part of it. One line that says what to get and where to put it.
    """
    if source.locate:
        path = source.locate()
        if not path.exists():
            raise UserError(
                f"weights {source.name}: {path} does not exist; give their place with --weights {source.name}=PATH"
            )
        return WeightLocation(path, "package")
    folder = weights_folder(source, root)
    if _whole(source, folder):
        record = read_record(folder)
        return WeightLocation(folder / source.file, "fetched", record.origin if record else "")
    for origin, snapshot in _snapshots(source):
        if _whole(source, snapshot):
            return WeightLocation(snapshot / source.file, "hub-cache", origin)
    raise UserError(missing_message(source, root))


def missing_message(source: WeightSource, root: Path | None = None) -> str:
    """What is missing, what to get and where to put it, in one line."""
    folder = weights_folder(source, root)
    lacking = select_files_in(source, folder).missing
    state = f"{folder} lacks {', '.join(lacking)}" if folder.is_dir() and lacking else "not on this machine"
    return f"weights {source.name}: {state}; {remedy(source, root)}"


def remedy(source: WeightSource, root: Path | None = None) -> str:
    """The ways to get a source."""
    whence = ", else ".join([*source.mirrors, *(file.url for file in source.downloads)])
    ways = (
        [f"'bench weights fetch {source.name}' gets {whence}{f' ({source.advice})' if source.advice else ''}"]
        if whence
        else []
    )
    return ", or ".join([*ways, manual_remedy(source, root)])


def manual_remedy(source: WeightSource, root: Path | None = None) -> str:
    """How to bring files that are already at hand."""
    what = source.file or (
        f"a folder with {', '.join(map(_first, patterns_of(source)))}" if patterns_of(source) else "the files"
    )
    return f"put {what} at {weights_folder(source, root) / source.file}, or give --weights {source.name}=PATH"


def _first(pattern: str) -> str:
    return pattern.split("|", maxsplit=1)[0]


def _whole(source: WeightSource, folder: Path) -> bool:
    """Whether nothing is missing. Files that nobody has named are all there only once a fetch has said so.

    Raises `UserError` where the folder is what the source refuses.
    """
    chosen = select_files_in(source, folder)
    if chosen.missing or not chosen.files or not (patterns_of(source) or read_record(folder)):
        return False
    used_files(source, folder)
    return True


def _snapshots(source: WeightSource) -> Iterator[tuple[str, Path]]:
    """(`owner/name@commit`, folder) of a source's repositories in the Hugging Face cache; the one `main`
    stands for first.
    """
    for mirror in source.mirrors:
        repository, _, revision = mirror.partition("@")
        folder = hub_cache() / f"models--{repository.replace('/', '--')}"
        main = folder / "refs" / (revision or "main")
        commit = main.read_text(encoding="utf-8").strip() if main.is_file() else revision
        there = sorted(one.name for one in (folder / "snapshots").glob("*"))
        for name in sorted(there, key=lambda name: (name != commit, name)):
            if name == commit or not revision:
                yield f"{repository}@{name}", folder / "snapshots" / name


def hub_cache() -> Path:
    """Where tools of the Hugging Face keep repositories, by the environment variables they go by."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    if named := os.environ.get("HF_HOME"):
        return Path(named).expanduser() / "hub"
    return _cache_home() / "huggingface" / "hub"


def _cache_home() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named).expanduser() if named else Path.home() / ".cache"

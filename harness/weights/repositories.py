"""Repositories of the hub that users name and no plugin has as a weight source, as sources of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.downloads.holding import FETCHING
from harness.errors import UserError
from harness.plugins.host import Host
from harness.specs import WeightSource
from harness.weights.content import RECORD, patterns_of
from harness.weights.named import NamedModel, is_repository
from harness.weights.places import (
    WeightLocation,
    find_fetched,
    find_snapshot,
    missing_message,
    weights_folder,
    weights_root,
)


def source_named(host: Host, text: str) -> WeightSource:
    """The source that users name to fetch, verify or find it.

    Args:
        text: name of a source; or a repository: of the source that has it as a mirror, else of its own.

    Raises:
        UserError: no source has that name, and it is no repository's.
    """
    if text in host.weight_sources or not is_repository(text):
        return host.weight_sources[text]
    for known in host.weight_sources.values():
        if text in known.mirrors:
            return known
    layouts = list(_layouts(host))
    # Without a method that takes networks by name, nobody knows which of the files would be read.
    return repository_source(text, layouts) if layouts else host.weight_sources[text]


def repository_source(text: str, layouts: Sequence[WeightSource]) -> NamedModel:
    """A repository as a source, which is fetched into a folder of its name.

    Args:
        layouts: sources whose place it may take. It needs the files that all of them need, and has those that
            any of them reads.
    """
    needed_by = [patterns_of(layout) for layout in layouts]
    every = dict.fromkeys(pattern for needed in needed_by for pattern in needed)
    shared = tuple(pattern for pattern in every if all(pattern in needed for needed in needed_by))
    optional = [part for pattern in every if pattern not in shared for part in re.split("[|&]", pattern)]
    for layout in layouts:
        optional += layout.optional
    return NamedModel(
        name=text, text=text, mirrors=(text,), files=shared, optional=tuple(dict.fromkeys(optional))
    )


def mirrors_to_ask(source: WeightSource, text: str, root: Path | None = None) -> tuple[str, ...]:
    """The repositories to fetch a source from where the user named one of them; none where it is here.

    Args:
        source: the one that `source_named` says.
        text: the repository.
    """
    # Of its own, the only one.
    if source.name == text:
        return ()
    location = find_fetched(source, root) or find_snapshot(source)
    return () if location and location.origin.startswith(f"{text}@") else (text,)


def fetched_repositories(host: Host, root: Path | None = None) -> list[WeightSource]:
    """Repositories that a fetch has got by their own name, or has begun to, in order of name."""
    base, layouts = weights_root(root), list(_layouts(host))
    sources: list[WeightSource] = []
    for folder in sorted(base.glob("*/*")):
        name = folder.relative_to(base).as_posix()
        is_fetched = (folder / RECORD).is_file() or (folder / FETCHING).exists()
        if layouts and is_fetched and is_repository(name):
            sources.append(repository_source(name, layouts))
    return sources


def find_repository(source: NamedModel, root: Path | None = None) -> WeightLocation | None:
    """Finds a repository among those that are fetched, then in the Hugging Face cache; None without one.

    Args:
        source: a repository, at a revision perhaps, and the files that are needed of it.

    Raises:
        UserError: a fetch of it has broken off, or still goes on.
    """
    by_name = replace(source, name=source.text, mirrors=(source.text,))
    if (weights_folder(by_name, root) / FETCHING).exists():
        raise UserError(missing_message(by_name, root))
    if location := find_fetched(by_name, root):
        return location
    # What was fetched without a revision is at that commit, perhaps.
    latest = find_fetched(replace(by_name, name=source.text.partition("@")[0]), root)
    if latest and latest.origin == source.text:
        return latest
    return find_snapshot(by_name)


def _layouts(host: Host) -> Iterator[WeightSource]:
    """Yields the sources whose place a parameter's value takes."""
    names = {source for spec in host.extractors.values() for source in spec.weights_params.values()}
    for name in sorted(names):
        if name in host.weight_sources:
            yield host.weight_sources[name]

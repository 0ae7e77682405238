"""Networks that a parameter names: a folder, a weight source, or a repository in the Hugging Face cache.

`--set model=PATH` puts it in the place of a method's own weight source, for that cell alone, so that a list
of values is a table of networks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath

from harness.errors import UserError
from harness.files import with_home
from harness.plugins.host import Host
from harness.specs import ExtractorSpec, Scalar, WeightSource
from harness.weights.choice import WeightChoice, Weights, is_bundled_at, own_weights, resolve_weights
from harness.weights.content import files_at
from harness.weights.named import NamedModel, is_repository
from harness.weights.places import WeightLocation, find_fetched, hub_cache
from harness.weights.repositories import find_repository


def models_of(extractor: ExtractorSpec, params: Mapping[str, Scalar]) -> tuple[tuple[str, str], ...]:
    """Parameter -> network that it names, of those that are set."""
    named = []
    for name in sorted(extractor.weights_params):
        value = params.get(name)
        if value is not None:
            named.append((name, str(value)))
    return tuple(named)


def short_name(text: str, all_texts: Iterable[Scalar] = ()) -> str:
    """Name of a network in tables: the last part of its path, with the part before it where two are alike.

    Args:
        text: as the user gave it.
        all_texts: all values of the sweep.
    """
    parts = _parts(text)
    alike = [other for other in map(_parts, map(str, all_texts)) if other[-1] == parts[-1]]
    return "/".join(parts[-2:]) if len(dict.fromkeys(alike)) > 1 else parts[-1]


def _parts(text: str) -> tuple[str, ...]:
    """Parts of a path or name; those of a repository for a folder of the Hugging Face cache."""
    path = PurePath(os.path.normpath(text))
    if path.parent.name == "snapshots":
        # A snapshot is named by its commit, which says little.
        path = path.parents[1]
    if path.name.startswith("models--"):
        return tuple(path.name.split("--")[1:])
    # Of "." and "..", the folder that they are.
    return path.parts if path.name not in ("", "..") else PurePath(path.parent, "..").parts


def find_model(host: Host, choice: WeightChoice, name: str, text: str) -> Weights:
    """Finds a network that a parameter names.

    Args:
        name: the source whose place it takes; the network has the same files.
        text: a folder or file, else the name of a weight source, else a repository `OWNER/NAME[@REVISION]`
            that a tool of the Hugging Face or `bench weights fetch` has fetched. Nothing is fetched here.

    Raises:
        UserError: it is none of these, or lacks files. One line that says what to do.
    """
    path = with_home(text)
    short = short_name(text)
    # What was published about the source is not true of what takes its place.
    place = host.weight_sources[name]
    source = NamedModel(
        name=short,
        text=text,
        files=place.files,
        optional=place.optional,
        file=place.file,
        conversion=place.conversion,
    )
    if _is_path(path):
        for known in host.weight_sources.values():
            if is_bundled_at(known, path):
                return _known_source(host, choice, known.name, source)
        return replace(own_weights(source, path), name=short)
    if text in host.weight_sources:
        return _known_source(host, choice, text, source)
    if not is_repository(text):
        raise UserError(
            f"{text}: no such folder; give a folder as transformers saves it, a name of "
            "'bench weights list', or a repository of the hub, OWNER/NAME"
        )
    location = _find_mirror(host, choice, text) or find_repository(source, choice.root)
    if location is None:
        raise UserError(
            f"{text}: no folder, and neither fetched nor in the hub's cache ({hub_cache()}); "
            f"'bench weights fetch {text}' gets it"
        )
    return Weights(source, location, files_at(source, location.path), short)


def _is_path(path: Path) -> bool:
    """Says whether a file or folder is there; a name that no disk can have is that of none."""
    try:
        return path.exists()
    except OSError:  # too long
        return False


def _find_mirror(host: Host, choice: WeightChoice, text: str) -> WeightLocation | None:
    """Finds a repository where it is that of a known source, which is fetched under the source's name."""
    for known in host.weight_sources.values():
        # A repository at a revision is not asked for by name.
        location = find_fetched(known, choice.root) if text in known.mirrors else None
        if location and location.origin.startswith(f"{text}@"):
            return location
    return None


def _known_source(host: Host, choice: WeightChoice, name: str, wanted: WeightSource) -> Weights:
    """The weights of a source that a parameter names: those themselves, and no stand-in.

    Raises `UserError` where they are missing or not of the kind that is wanted.
    """
    used = resolve_weights(host, replace(choice, which="paper"), [name])[name]
    files_at(wanted, used.path)
    return used

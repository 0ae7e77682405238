"""The weights that a run uses: resolves `--weights tiny`, `paper` and `NAME=PATH`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from harness.errors import SeveralErrors, UserError
from harness.files import file_sha256, with_home
from harness.messages import listed
from harness.plugins.host import Host
from harness.specs import WeightSource
from harness.weights.content import files_at, name_refusal
from harness.weights.named import advice_on_changed
from harness.weights.places import WeightLocation, find_weights, snapshot_in
from harness.weights.record import read_record

_LOG = logging.getLogger(__name__)

SETS = ("tiny", "paper")


@dataclass(frozen=True)
class WeightChoice:
    """The weights that the user chose.

    Attributes:
        which: `tiny` puts bundled stand-ins in the place of the sources that have one, `paper` uses the
            sources themselves.
        own: source -> the user's file or folder, which wins over both.
        root: where fetched weights lie; see `harness.weights.places.weights_root`.
    """

    which: Literal["tiny", "paper"] = "tiny"
    own: Mapping[str, Path] = field(default_factory=dict)
    root: Path | None = None

    @classmethod
    def parse(
        cls,
        host: Host,
        texts: Sequence[str],
        root: Path | None = None,
    ) -> WeightChoice:
        """Parses the values of --weights.

        Raises `UserError` for a name that no source has, and where two values contradict each other.
        """
        sets = list(dict.fromkeys(text for text in texts if text in SETS))
        if len(sets) > 1:
            raise UserError(
                f"--weights {sets[0]} and --weights {sets[1]} contradict each other; give one of them"
            )
        own: dict[str, Path] = {}
        for text in texts:
            if text in SETS:
                continue
            name, equals, path = text.partition("=")
            if not (name and equals and path):
                raise UserError(
                    f"--weights {text}: expected {', '.join(SETS)} or NAME=PATH "
                    "('bench weights list' shows the names)"
                )
            expanded = with_home(path)
            # Under the source's own name, and an error where no plugin has such a source.
            if own.setdefault(host.weight_sources[name].name, expanded) != expanded:
                raise UserError(f"--weights {name} is given twice, as {own[name]} and {path}")
        return cls("paper" if sets == ["paper"] else "tiny", own, root)


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights that a run uses under the name of a source.

    Attributes:
        source: the named source, or its stand-in.
        files: name -> file, of those used.
        name: in tables, where it is not the source's.
    """

    source: WeightSource
    location: WeightLocation
    files: Mapping[str, Path]
    name: str = ""

    @property
    def path(self) -> Path:
        """A folder or a file: handed to an extractor or prompt."""
        return self.location.path

    def hashes(self) -> dict[str, str]:
        """File -> sha256, of the files used.

        Raises:
            UserError: a file is not the published one, or has changed since it was fetched. The user's own
                may be anything.
        """
        hashes = {name: file_sha256(file) for name, file in self.files.items()}
        if self.location.kind == "own":
            return hashes
        recorded: dict[str, str] = {}
        if self.location.kind == "fetched" and (record := read_record(self.location.folder)):
            recorded = {name: file.sha256 for name, file in record.files.items()}
        expected = {**recorded, **self.source.sha256}
        for name, digest in hashes.items():
            if expected.get(name, digest) != digest:
                raise UserError(
                    f"weights {self.source.name}: {self.files[name]} has sha256 {digest}, "
                    f"expected {expected[name]}; {advice_on_changed(self.source)}"
                )
        return hashes

    def label(self, hashes: Mapping[str, str]) -> str:
        """Name of the weights in tables.

        All but the published ones, by their files and their configuration, are marked with the name of their
        file or folder.
        """
        if self.name:
            return self.name
        if self.location.kind == "package":
            return self.source.name
        published = self.source.sha256
        has_published_files = all(hashes.get(name) == published[name] for name in published)
        # Without published hashes there is nothing that the user's own files could be shown to equal.
        is_known = bool(published) or self.location.kind != "own"
        if is_known and has_published_files and not self.differences:
            return self.source.name
        # A snapshot of the Hugging Face cache is named by its commit, which says little.
        folder = self.path.parents[1] if self.path.parent.name == "snapshots" else self.path
        return f"{self.source.name}={folder.name}"

    @cached_property
    def differences(self) -> Sequence[str]:
        """Values of the configuration that are not the published ones, a line each."""
        if self.source.differences is None or not self.path.is_dir():
            return ()
        return self.source.differences(self.path)


def backbone_label(used: Mapping[str, Weights], hashes: Mapping[str, Mapping[str, str]]) -> str:
    """Name of several weights in tables, `none` for none.

    It has their sources, and the first hex digits of a hash over all their files.
    """
    if not used:
        return "none"
    labels: dict[str, None] = {}  # in order, each once: two sources may share a stand-in
    files: dict[str, dict[str, str]] = {}
    for name, weights in used.items():
        labels[weights.label(hashes[name])] = None
        files[weights.source.name] = dict(hashes[name])
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return f"{'+'.join(labels)}@{digest[:8]}"


def warn_of_strange_pictures(used: Iterable[Weights], dataset: str) -> str:
    """Says that networks were trained on the pictures of another dataset alone; empty where none was.

    Args:
        dataset: name of the dataset that they are to be run on; empty for pictures of no dataset.
    """
    strangers: dict[str, str] = {}
    for weights in used:
        known = weights.source.trained_on
        # The user's own files under that name may know anything.
        if known and known != dataset and weights.location.kind != "own":
            strangers[weights.source.name] = known
    if not strangers:
        return ""
    verb = "knows" if len(strangers) == 1 else "know"
    known = listed(list(dict.fromkeys(strangers.values())))
    return (
        f"{listed(list(strangers))} {verb} the pictures of {known} alone, so what comes out says nothing of "
        "the method on other pictures; --weights paper takes the published weights"
    )


def resolve_weights(host: Host, choice: WeightChoice, names: Iterable[str]) -> dict[str, Weights]:
    """Resolves names of sources: name -> weights.

    Raises:
        UserError: a source is missing. All missing ones are named, one line each (`SeveralErrors`).
    """
    weights: dict[str, Weights] = {}
    missing: dict[str, None] = {}
    for name in dict.fromkeys(names):
        try:
            weights[name] = _resolve(host, choice, name)
            _log_origin(weights[name])
        except UserError as error:
            missing[str(error)] = None
    if missing:
        raise SeveralErrors(missing)
    return weights


def _log_origin(weights: Weights) -> None:
    location = weights.location
    how = {"package": "bundled", "fetched": "fetched", "hub-cache": "in the hub's cache", "own": "your own"}
    origin = f", from {location.origin}" if location.origin else ""
    _LOG.info("weights %s: %s, %s%s", weights.source.name, how[location.kind], location.path, origin)


def _resolve(host: Host, choice: WeightChoice, name: str) -> Weights:
    source = host.weight_sources[name]
    stand_in = host.weight_sources[source.stand_in] if source.stand_in else None
    if name in choice.own:
        path = choice.own[name]
        # The bundled weights keep their name, by whichever option or path the user names them.
        for candidate in (source, stand_in):
            if candidate and is_bundled_at(candidate, path):
                return _weights_at(candidate, WeightLocation(path, "package"))
        return own_weights(source, path)
    if choice.which == "tiny" and stand_in:
        source = stand_in
    # The user may name the stand-in itself, to put other files in its place.
    if source.name in choice.own:
        return own_weights(source, choice.own[source.name])
    return _weights_at(source, find_weights(source, choice.root))


def own_weights(source: WeightSource, path: Path) -> Weights:
    """The user's own files. Their origin is known where a fetch has left its record beside them.

    Raises `UserError` where the files are refused or incomplete.
    """
    # Before the path is looked at: a repository's name that is given as a path gets the better reason.
    if refused := name_refusal(source, str(path)):
        raise UserError(f"weights {source.name}: {refused}")
    if not path.exists():
        message = (
            f"weights {source.name}: {path} does not exist; "
            f"--weights {source.name}=PATH takes a file or folder"
        )
        if _is_like_repository(path):
            message += f"; for a repository of the hub: 'bench weights fetch {source.name} --from {path}'"
        raise UserError(message)
    path = snapshot_in(source, path)
    inner = path / source.file
    if source.file and path.is_dir() and inner.is_file():
        path = inner
    record = read_record(WeightLocation(path, "own").folder)
    origin = record.origin if record and record.source == source.name else ""
    return _weights_at(source, WeightLocation(path, "own", origin))


def _weights_at(source: WeightSource, location: WeightLocation) -> Weights:
    return Weights(source, location, files_at(source, location.path))


def is_bundled_at(source: WeightSource, path: Path) -> bool:
    """True for the path of a bundled source."""
    try:
        return bool(source.locate) and path.exists() and path.samefile(find_weights(source).path)
    except UserError:  # the bundled source is absent, so the path is another
        return False


def _is_like_repository(path: Path) -> bool:
    """True where a path that does not exist reads like a repository of the hub, `owner/name`."""
    return (
        len(path.parts) == 2
        and not path.is_absolute()
        and not path.suffix
        and path.parts[0] not in (".", "..")
    )

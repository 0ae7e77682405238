"""Which weights a run uses: `--weights tiny`, `paper` and `NAME=PATH`, resolved in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import SeveralErrors, UserError
from harness.files import file_sha256
from harness.plugins.host import Host
from harness.specs import WeightSource
from harness.weights.content import refused_name, used_files
from harness.weights.places import WeightLocation, find_weights
from harness.weights.record import read_record

SETS = ("tiny", "paper")


@dataclass(frozen=True)
class WeightChoice:
    """What the user said.

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
    def parse(cls, host: Host, texts: Sequence[str], root: Path | None = None) -> WeightChoice:
        """The values of --weights. Raises `UserError` for a name that no source has, and where two values
        contradict each other.
        """
        sets = list(dict.fromkeys(text for text in texts if text in SETS))
        if len(sets) > 1:
            raise UserError(
                f"--weights {sets[0]} and --weights {sets[1]} contradict each other; give one of them"
            )
        own: dict[str, Path] = {}
        for text in texts:
            name, equals, path = text.partition("=")
            if text in SETS:
                continue
            if not (name and equals and path):
                raise UserError(
                    f"--weights {text}: expected {', '.join(SETS)} or NAME=PATH ('bench weights list' shows the names)"
                )
            if (
                own.setdefault(host.weight_sources[name].name, Path(path).expanduser())
                != Path(path).expanduser()
            ):
                raise UserError(f"--weights {name} is given twice, as {own[name]} and {path}")
        return cls("paper" if sets == ["paper"] else "tiny", own, root)


@dataclass(frozen=True, eq=False)
class Weights:
    """What the name of a source stands for in a run.

    Attributes:
        source: the source used: the one named, or its stand-in.
        place: where it lies.
        files: name -> file, of those used.
    """

    source: WeightSource
    place: WeightLocation
    files: Mapping[str, Path]

    @property
    def path(self) -> Path:
        """What an extractor or prompt gets: a folder or a file."""
        return self.place.path

    def hashes(self) -> dict[str, str]:
        """File -> sha256, of the files used.

        Raises:
            UserError: a file is not the published one, or has changed since it was fetched. The user's own
                may be anything.
        """
        found = {name: file_sha256(file) for name, file in self.files.items()}
        if self.place.kind == "own":
            return found
        record = read_record(self.place.folder) if self.place.kind == "fetched" else None
        expected = {
            **({name: file.sha256 for name, file in record.files.items()} if record else {}),
            **self.source.sha256,
        }
        for name, digest in found.items():
            if expected.get(name, digest) != digest:
                raise UserError(
                    f"weights {self.source.name}: {self.files[name]} has sha256 {digest}, expected {expected[name]}; "
                    f"'bench weights fetch {self.source.name}' gets it again, --weights {self.source.name}=PATH uses a folder as it is"
                )
        return found

    def label(self, hashes: Mapping[str, str]) -> str:
        """What tables call them. The user's own are marked with the file or folder they lie in, unless they
        are the published ones.
        """
        published = self.source.sha256 and all(
            hashes.get(name) == digest for name, digest in self.source.sha256.items()
        )
        return (
            self.source.name
            if self.place.kind != "own" or published
            else f"{self.source.name}={self.path.name}"
        )


def backbone_label(used: Mapping[str, Weights], hashes: Mapping[str, Mapping[str, str]]) -> str:
    """What tables call weights together: their sources, and the first hex digits of a hash over all their
    files; `none` for none.
    """
    labels = dict.fromkeys(one.label(hashes[name]) for name, one in used.items())
    files = {one.source.name: dict(hashes[name]) for name, one in used.items()}
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:8]
    return f"{'+'.join(labels)}@{digest}" if labels else "none"


def resolve_weights(host: Host, choice: WeightChoice, names: Iterable[str]) -> dict[str, Weights]:
    """What the names of sources stand for, by name.

    Raises:
        UserError: a source is not there. All that are missing are named, one line each (`SeveralErrors`).
    """
    found: dict[str, Weights] = {}
    missing: dict[str, None] = {}
    for name in dict.fromkeys(names):
        try:
            found[name] = _resolve(host, choice, name)
        except UserError as error:
            missing[str(error)] = None
    if missing:
        raise SeveralErrors(missing)
    return found


def _resolve(host: Host, choice: WeightChoice, name: str) -> Weights:
    source = host.weight_sources[name]
    stand_in = host.weight_sources[source.stand_in] if source.stand_in else None
    if name in choice.own:
        path = choice.own[name]
        # The bundled weights stay what they are, whichever way they are named.
        bundled = next((one for one in (source, stand_in) if one and one.locate and _same(one, path)), None)
        return _own(source, path) if bundled is None else _found(bundled, WeightLocation(path, "package"))
    if choice.which == "tiny" and stand_in:
        source = stand_in
    if source.name in choice.own:
        return _own(source, choice.own[source.name])
    return _found(source, find_weights(source, choice.root))


def _own(source: WeightSource, path: Path) -> Weights:
    """The user's own files, where they are whole; what came with them says where they are from."""
    if refused := refused_name(source, str(path)):
        raise UserError(f"weights {source.name}: {refused}")
    if not path.exists():
        ways = (
            f"; for a repository of the hub: 'bench weights fetch {source.name} --from {path}'"
            if _repository(path)
            else ""
        )
        raise UserError(
            f"weights {source.name}: {path} does not exist; --weights {source.name}=PATH takes a file or folder{ways}"
        )
    inner = path / source.file
    if source.file and path.is_dir() and inner.is_file():
        path = inner
    record = read_record(WeightLocation(path, "own").folder)
    return _found(
        source, WeightLocation(path, "own", record.origin if record and record.source == source.name else "")
    )


def _found(source: WeightSource, place: WeightLocation) -> Weights:
    return Weights(source, place, used_files(source, place.path))


def _same(source: WeightSource, path: Path) -> bool:
    """Whether a path is where a bundled source lies."""
    try:
        return bool(source.locate) and path.exists() and path.samefile(find_weights(source).path)
    except UserError:  # the bundled source is absent, so the path is another
        return False


def _repository(path: Path) -> bool:
    """Whether what does not exist as a path reads like a repository of the hub, `owner/name`."""
    return (
        len(path.parts) == 2
        and not path.is_absolute()
        and not path.suffix
        and path.parts[0] not in (".", "..")
    )

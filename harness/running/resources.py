"""Splits, weights and hashes that cells share, each read once."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.datasets.splits import SplitIndex, Splits
from harness.errors import SeveralErrors, UserError
from harness.plugins.host import Host
from harness.plugins.version import engine_version
from harness.scoring.criteria import Criterion
from harness.specs import NO_PROMPT, SharedObjects
from harness.sweep import Cell, DatasetChoice, Shard
from harness.weights.choice import WeightChoice, Weights, resolve_weights
from harness.weights.learned import prompt_weight_names
from harness.weights.models import find_model
from harness.weights.used import network_weights

_LOG = logging.getLogger(__name__)

Models = tuple[tuple[str, str], ...]
"""Weight source -> what a parameter puts in its place, as pairs."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run. Of them only `precision` and `weights` are part of a cell's identity.

    Attributes:
        data_root: folder that holds the datasets' own folders.
        device: torch device name.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether networks are compiled, which changes numbers by rounding only, as device and batch
            size do.
        limit: only so many pairs of a split, spread over the categories.
        shard: only one part of these pairs; None for all of them.
        out: results folder.
        criteria: protocols to score under, with alphas.
        weights: choice of the weights.
        cache_bytes: memory for results that are kept: a half for feature maps, a quarter each for extractor
            and prompt; where features follow from the pair, a half for the extractor and a quarter for maps.
        cache: folder in which extractor and prompt keep theirs on disk, too; None for memory alone.
        workers: processes that decode pictures ahead.
        fresh: whether finished cells are computed anew, with nothing read from `cache`.
        resumes: whether what an interrupted run with `fresh` has left of a cell is used; not where nobody
            knows whether the code is the same still.
        waits: whether a cell that another process works on is waited for.
        timeout: seconds that one call of an extractor may take; None for any number.
    """

    data_root: Path
    out: Path
    criteria: tuple[Criterion, ...]
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    batch_size: int = 8
    limit: int | None = None
    shard: Shard | None = None
    weights: WeightChoice = field(default_factory=WeightChoice)
    cache_bytes: int = 4 << 30
    cache: Path | None = None
    workers: int = 0
    fresh: bool = False
    resumes: bool = True
    waits: bool = False
    timeout: float | None = None


class Resources:
    """Splits, weights and hashes that cells share, each read once.

    Attributes:
        shared: loaded networks, which stay from one cell to the next.
    """

    def __init__(self, host: Host, options: RunOptions, shared: SharedObjects | None = None) -> None:
        self.host, self.options = host, options
        self.shared = SharedObjects() if shared is None else shared
        self._splits = Splits(host.datasets, options.data_root)
        self._weights: dict[str, Weights] = {}
        self._models: dict[tuple[str, str], Weights] = {}
        self._hashes: dict[tuple[str, Path], dict[str, str]] = {}

    @cached_property
    def engine(self) -> str:
        """Our own version and code, which all cells go through."""
        return engine_version()

    def split(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """Returns a split. Raises `UserError` where the dataset is not there."""
        return self._splits.read(choice, split)

    def require_weights(self, cells: Sequence[Cell]) -> None:
        """Finds the weights of all cells.

        Raises:
            UserError: sources are missing; it names all of them, one line each.
        """
        missing: dict[str, None] = {}
        for models, names in self._names_by_models(cells).items():
            try:
                self.weights(names, models)
            except UserError as error:
                lines = error.lines if isinstance(error, SeveralErrors) else (str(error),)
                missing |= dict.fromkeys(lines)
        if missing:
            raise SeveralErrors(missing)

    def _names_by_models(self, cells: Sequence[Cell]) -> dict[Models, list[str]]:
        """What cells have in the place of sources -> the sources that they read."""
        names: dict[Models, list[str]] = {}
        for cell in cells:
            names.setdefault(models_in(self.host, cell), []).extend(weight_names(self.host, cell))
        return names

    def weights_of(self, cell: Cell) -> dict[str, Weights]:
        """Returns the weights that a cell reads: name of a source -> what stands in its place.

        Raises:
            UserError: some are missing.
        """
        return self.weights(weight_names(self.host, cell), models_in(self.host, cell))

    def weights(self, names: Sequence[str], models: Models = ()) -> dict[str, Weights]:
        """Returns the weights that each name of a source stands for.

        Args:
            models: source -> what a parameter of the cell has put in its place.

        Raises:
            UserError: some are missing.
        """
        texts = dict(models)
        new = [name for name in names if name not in self._weights and name not in texts]
        self._weights.update(resolve_weights(self.host, self.options.weights, new))
        used: dict[str, Weights] = {}
        for name in names:
            if name not in texts:
                used[name] = self._weights[name]
                continue
            key = (name, texts[name])
            if key not in self._models:
                self._models[key] = find_model(self.host, self.options.weights, *key)
            used[name] = self._models[key]
        return used

    def hashes(self, weights: Mapping[str, Weights]) -> dict[str, dict[str, str]]:
        """Returns name -> file -> sha256. Raises `UserError` where a file is damaged."""
        hashes: dict[str, dict[str, str]] = {}
        for name, used in weights.items():
            key = (used.source.name, used.path)
            # A backbone of gigabytes takes seconds to hash: once for all cells that read it.
            if key not in self._hashes:
                _LOG.info("reading the files of weights %s, for their hashes", used.source.name)
                self._hashes[key] = used.hashes()
            hashes[name] = self._hashes[key]
        return hashes


def models_in(host: Host, cell: Cell) -> Models:
    """Source -> folder, source or repository that a parameter of the cell puts in its place."""
    sources = host.extractors[cell.extractor].weights_params
    return tuple((sources[parameter], text) for parameter, text in cell.models)


def weight_names(host: Host, cell: Cell) -> list[str]:
    """Names of the weight sources that a cell reads: its extractor's, its matcher's, then its prompt's."""
    if cell.not_applicable:
        # Nobody should have to fetch weights for a cell that does not run.
        return []
    names = network_weights(host, cell.extractor, cell.matcher)
    if cell.prompt != NO_PROMPT:
        names += prompt_weight_names(host.prompts[cell.prompt], cell.prompt_file)
    return list(dict.fromkeys(names))

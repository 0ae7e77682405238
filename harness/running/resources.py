"""What cells share: splits, weights and hashes, each read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.datasets.splits import SplitIndex, Splits
from harness.plugins.host import Host
from harness.scoring.criteria import Criterion
from harness.specs import NO_PROMPT, SharedObjects
from harness.sweep import Cell, DatasetChoice
from harness.weights.choice import WeightChoice, Weights, resolve_weights


@dataclass(frozen=True)
class RunOptions:
    """How cells are run: nothing here but `precision` and `weights` is part of a cell's identity.

    Attributes:
        data_root: folder that holds the datasets' own folders.
        device: torch device name.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether networks are compiled, which changes numbers by rounding only, as device and batch size do.
        limit: only the first so many pairs of a split.
        weights: which weights to use.
        measures: protocols to score under, with alphas.
        cache_bytes: memory for what is kept of pictures: a half for feature maps, a quarter each for what extractor and prompt keep; where
            features follow from the pair, a half for the extractor and a quarter for maps.
        cache: folder in which that is also kept on disk; None for memory alone.
        workers: processes that decode pictures ahead.
    """

    data_root: Path
    out: Path
    criteria: tuple[Criterion, ...]
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    batch_size: int = 8
    limit: int | None = None
    weights: WeightChoice = field(default_factory=WeightChoice)
    cache_bytes: int = 4 << 30
    cache: Path | None = None
    workers: int = 0


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
        self._hashes: dict[tuple[str, Path], dict[str, str]] = {}

    def split(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """A split, read once. Raises `UserError` where it is not there."""
        return self._splits.read(choice, split)

    def require_weights(self, cells: Sequence[Cell]) -> None:
        """Finds the weights of all cells. Raises `UserError` that names every source that is missing, one line each."""
        self.weights([name for cell in cells for name in weight_names(self.host, cell)])

    def weights(self, names: Sequence[str]) -> dict[str, Weights]:
        """What each weight source stands for, looked for once. Raises `UserError`."""
        new = [name for name in names if name not in self._weights]
        self._weights.update(resolve_weights(self.host, self.options.weights, new))
        return {name: self._weights[name] for name in names}

    def hashes(self, weights: Mapping[str, Weights]) -> dict[str, dict[str, str]]:
        """Weight source -> file -> sha256, each file read once. Raises `UserError` where one is damaged."""
        for one in weights.values():
            if (one.source.name, one.path) not in self._hashes:
                self._hashes[one.source.name, one.path] = one.hashes()
        return {name: self._hashes[one.source.name, one.path] for name, one in weights.items()}


def weight_names(host: Host, cell: Cell) -> list[str]:
    """The weight sources that a cell reads: its extractor's, then its prompt's."""
    if cell.not_applicable:
        return []
    if cell.prompt == NO_PROMPT:
        return list(host.extractors[cell.extractor].weights)
    prompt = host.prompts[cell.prompt]
    source = [prompt.learned.source] if prompt.learned and not cell.prompt_file else []
    return [*host.extractors[cell.extractor].weights, *prompt.weights, *source]

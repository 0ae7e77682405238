"""A cell with its data at hand and its identity known: what comes before the work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.datasets.index import SplitIndex, read_split
from harness.errors import UserError
from harness.frames import Size
from harness.measures import Measure
from harness.plan import NO_PROMPT, Cell, DatasetChoice, cell_id
from harness.plugins import Host
from harness.provenance import weight_hashes
from harness.records import CellInfo
from harness.specs import MethodSpec, Scalar


@dataclass(frozen=True)
class RunOptions:
    """How cells are run: nothing here but `precision` and `weights` is part of a cell's identity.

    Attributes:
        data_root: folder that holds the datasets' own folders.
        device: torch device name.
        precision: `fp32`, `bf16` or `fp16`.
        limit: only the first so many pairs of a split.
        weights: weight source -> local path, instead of where it would be looked for.
        measures: protocols to score under, with alphas.
    """

    data_root: Path
    out: Path
    measures: tuple[Measure, ...]
    device: str = "cpu"
    precision: str = "fp32"
    batch_size: int = 8
    limit: int | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)


class Bench:
    """Runs cells one after another in this process, and keeps the splits they share."""

    def __init__(self, host: Host, options: RunOptions) -> None:
        self.host, self.options = host, options
        self._splits: dict[tuple[DatasetChoice, str], SplitIndex] = {}
        self._hashes: dict[Path, dict[str, str]] = {}

    def split(self, choice: DatasetChoice, split: str) -> SplitIndex:
        """A split, read once. Raises `UserError` where it is not there."""
        key = (choice, split)
        if key not in self._splits:
            spec = self.host.dataset(choice.name)
            self._splits[key] = read_split(spec, choice.place or self.options.data_root / spec.home, split)
        return self._splits[key]

    def prepare(self, cell: Cell) -> PreparedCell:
        """Everything but the work: what the cell's id follows from. Raises `UserError` where data or weights are missing."""
        return PreparedCell.of(self, cell)

    def weight_paths(self, names: Sequence[str]) -> dict[str, Path]:
        """Local path of each weight source. Raises `UserError`."""
        found = {}
        for name in names:
            path = self.options.weights.get(name) or self.host.weight_source(name).locate()
            if not path.exists():
                raise UserError(f"weights {name}: {path} does not exist; give their place with --weights {name}=PATH")
            found[name] = path
        return found

    def hashes(self, paths: Mapping[str, Path]) -> dict[str, dict[str, str]]:
        """Hashes of the files behind weight sources, read once."""
        for name, path in paths.items():
            if path not in self._hashes:
                self._hashes[path] = weight_hashes({name: path})[name]
        return {name: self._hashes[path] for name, path in paths.items()}


@dataclass(frozen=True, eq=False)
class PreparedCell:
    """A cell with its data at hand and its identity known."""

    bench: Bench
    cell: Cell
    method: MethodSpec
    index: SplitIndex
    weights: Mapping[str, Path]
    hashes: Mapping[str, Mapping[str, str]]
    plugins: Mapping[str, str]
    id: str

    @classmethod
    def of(cls, bench: Bench, cell: Cell) -> PreparedCell:
        """See `Bench.prepare`."""
        host = bench.host
        extractor, method = host.extractor(cell.extractor), host.method(cell.method)
        names = [*extractor.weights, *(host.prompt(cell.prompt).weights if cell.prompt != NO_PROMPT else ())]
        weights = bench.weight_paths([] if cell.not_applicable else names)
        hashes = bench.hashes(weights)
        index = bench.split(cell.dataset, cell.split)
        plugins = {"extractor": plugin_version(host, "bench_extractors", extractor.name)}
        prompt_params: dict[str, Scalar] = {}
        if cell.prompt != NO_PROMPT:
            plugins["prompt"] = plugin_version(host, "bench_prompts", cell.prompt)
            prompt_params = dict(host.prompt(cell.prompt).params)
        ingredients = {
            "manifest": index.manifest,
            "weights": hashes,
            "precision": bench.options.precision,
            "plugins": plugins,
            "prompt_params": prompt_params,
        }
        return cls(bench, cell, method, index, weights, hashes, plugins, cell_id(cell, index.label, ingredients))

    @property
    def folder(self) -> Path:
        """Where the cell's files go."""
        return self.bench.options.out / self.id

    @property
    def fed(self) -> Size:
        """Size in pixels of the image the extractor is fed."""
        return Size(*self.bench.host.extractor(self.cell.extractor).image_size)

    def info(self) -> CellInfo:
        """What the record says the cell is."""
        digest = hashlib.sha256(json.dumps(self.hashes, sort_keys=True).encode()).hexdigest()[:8]
        return CellInfo(
            id=self.id,
            method=self.cell.method,
            label=self.cell.label,
            extractor=self.cell.extractor,
            prompt=self.cell.prompt,
            dataset=self.index.label,
            split=self.cell.split,
            seed=self.cell.seed,
            params=dict(self.cell.params),
            backbone="@".join([*sorted(self.hashes), digest]) if self.hashes else "none",
            supervision=self.method.supervision,
            trained_on=self.method.trained_on,
            fed=self.fed,
            notes=self.method.notes,
        )

    def localizer_options(self, name: str) -> dict[str, Scalar]:
        """A localizer's options, as the method's recipe sets them."""
        options = dict(self.bench.host.localizer(name).options)
        return options | {key: value for key, value in self.method.localizer_options.get(name, {}).items() if key in options}

    def signature(self, name: str) -> str:
        """What a localizer's predictions depend on besides the cell."""
        options = json.dumps(self.localizer_options(name), sort_keys=True)
        return f"{options} of {plugin_version(self.bench.host, 'bench_localizers', name)}"


def plugin_version(host: Host, hook: str, name: str) -> str:
    """The plugin that brought a record, with its package and version."""
    plugin = host.origin(hook, name)
    return f"{plugin.name} ({plugin.distribution} {plugin.version})"

"""A cell with its data at hand and its identity known: what comes before the work."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness.caching.disk_cache import Cache
from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.files import file_sha256
from harness.frames import Size
from harness.plugins.host import Host
from harness.plugins.version import plugin_version
from harness.records.schema import CellInfo
from harness.running.resources import Resources, weight_names
from harness.specs import NO_PROMPT, LearnedFile, MethodSpec, Scalar
from harness.sweep import Cell, cell_id
from harness.weights.choice import Weights, backbone_label


@dataclass(frozen=True, eq=False)
class ResolvedCell:
    """A cell with its data at hand and its identity known."""

    bench: Resources
    cell: Cell
    method: MethodSpec
    index: SplitIndex
    used: Mapping[str, Weights]
    hashes: Mapping[str, Mapping[str, str]]
    plugins: Mapping[str, str]
    learned: LearnedFile | None
    id: str

    @classmethod
    def of(cls, bench: Resources, cell: Cell) -> ResolvedCell:
        """Everything but the work: what the cell's id follows from. Raises `UserError` where data or weights are missing."""
        host = bench.host
        extractor, method = host.extractors[cell.extractor], host.methods[cell.method]
        used = bench.weights(weight_names(host, cell))
        fed = None
        if not cell.not_applicable:
            # Reads the backbone's configuration: a damaged one is told before the work begins.
            fed = extractor.fed({name: one.path for name, one in used.items()})
        learned = _learned_file(host, cell, used)
        if cell.train_timestep and learned:
            cell = _at_training(cell, learned)
        # Of a source of prompts only the one that is used counts, or a better one of another method would make all cells new.
        hashes = bench.hashes({name: one for name, one in used.items() if name != _prompt_source(host, cell)})
        if learned:
            hashes[PROMPT_FILE] = _content_hashes(learned.path)
        index = bench.split(cell.dataset, cell.split)
        plugins = {"extractor": plugin_version(host, host.extractors, extractor.name)}
        prompt_params: dict[str, Scalar] = {}
        if cell.prompt != NO_PROMPT:
            plugins["prompt"] = plugin_version(host, host.prompts, cell.prompt)
            prompt_params = dict(host.prompts[cell.prompt].params)
        ingredients = {
            "manifest": index.manifest,
            "weights": hashes,
            "precision": bench.options.precision,
            "plugins": plugins,
            "prompt_params": prompt_params,
            "extractor": {
                "fed": fed,
                "scope": extractor.scope,
                "prompt_kinds": sorted(extractor.prompt_kinds),
            },
        }
        return cls(
            bench,
            cell,
            method,
            index,
            used,
            hashes,
            plugins,
            learned,
            cell_id(cell, index.label, ingredients),
        )

    @property
    def weights(self) -> dict[str, Path]:
        """Local path of each weight source, by the name that the extractor or prompt knows it by."""
        return {name: one.path for name, one in self.used.items()}

    @property
    def weight_files(self) -> dict[str, dict[str, str]]:
        """Source used -> file -> sha256. Two names may stand for one source: every stand-in is shared."""
        files = {
            one.source.name: dict(self.hashes[name]) for name, one in self.used.items() if name in self.hashes
        }
        return files | ({PROMPT_FILE: dict(self.hashes[PROMPT_FILE])} if self.learned else {})

    @property
    def weight_origins(self) -> dict[str, str]:
        """Source used -> repository and commit it came from, where that is known."""
        return {one.source.name: one.place.origin for one in self.used.values() if one.place.origin}

    @property
    def backbone(self) -> str:
        """The weights in a table: the sources used, and the first hex digits of a hash over their files."""
        return self._label(list(self.used))

    @property
    def features(self) -> str:
        """The same for the extractor's weights alone."""
        return self._label(self.bench.host.extractors[self.cell.extractor].weights)

    def _label(self, names: Sequence[str]) -> str:
        return backbone_label(
            {name: self.used[name] for name in names if name in self.used and name in self.hashes},
            self.hashes,
        )

    @property
    def folder(self) -> Path:
        """Where the cell's files go."""
        return self.bench.options.out / self.id

    @property
    def fed(self) -> Size:
        """Size in pixels of the image the extractor is fed. Unknown where not applicable: no weights were looked for."""
        return self.bench.host.extractors[self.cell.extractor].fed(self.weights)

    @cached_property
    def cache(self) -> Cache | None:
        """Where what networks make of pictures is kept on disk; None without `--cache`."""
        options = self.bench.options
        return (
            Cache(options.cache, self.hashes, options.device, options.precision, options.compiled)
            if options.cache
            else None
        )

    def info(self) -> CellInfo:
        """What the record says the cell is."""
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
            backbone=self.backbone,
            features=self.features,
            supervision=self.method.supervision,
            trained_on=(self.learned.trained_on or None) if self.learned else self.method.trained_on,
            fed=None if self.cell.not_applicable else self.fed,
            notes=self.method.notes,
        )

    def localizer_options(self, name: str) -> dict[str, Scalar]:
        """A localizer's options, as the method's recipe sets them."""
        options = dict(self.bench.host.localizers[name].options)
        return options | {
            key: value for key, value in self.method.localizer_options.get(name, {}).items() if key in options
        }

    def signature(self, name: str) -> str:
        """What a localizer's predictions depend on besides the cell."""
        options = json.dumps(self.localizer_options(name), sort_keys=True)
        return f"{options} of {plugin_version(self.bench.host, self.bench.host.localizers, name)}"


PROMPT_FILE = "prompt file"
"""What a learned prompt's file is called among the weights of a record."""


def _prompt_source(host: Host, cell: Cell) -> str | None:
    """The weight source of the learned prompts there are, where the cell uses one of them."""
    learned = host.prompts[cell.prompt].learned if cell.prompt != NO_PROMPT and not cell.prompt_file else None
    return learned.source if learned else None


def _learned_file(host: Host, cell: Cell, used: Mapping[str, Weights]) -> LearnedFile | None:
    """Where the cell's learned prompt lies. Raises `UserError` where it is missing or is none."""
    if cell.prompt == NO_PROMPT or cell.not_applicable:
        return None
    learned = host.prompts[cell.prompt].learned
    if learned is None:
        return None
    if cell.prompt_file is None:
        return learned.find(used[learned.source].path, cell.trained_on)
    if not cell.prompt_file.exists():
        raise UserError(f"--prompt-file {cell.method}={cell.prompt_file}: no such file or folder")
    return learned.inspect(cell.prompt_file)


def _at_training(cell: Cell, learned: LearnedFile) -> Cell:
    """The cell at the timestep that its prompt was tuned at. Raises `UserError` where nothing says which that was."""
    params = dict(cell.params)
    if learned.timestep is None or "timestep" not in params:
        raise UserError(
            f"--train-timestep: {learned.path} does not say at which timestep it was tuned; give --timestep T"
        )
    changed = {**dict(cell.changed), "timestep": learned.timestep}
    return replace(
        cell,
        params=tuple(sorted((params | {"timestep": learned.timestep}).items())),
        changed=tuple(sorted(changed.items())),
    )


def _content_hashes(path: Path) -> dict[str, str]:
    """Name -> sha256 of a file, or of every file in a folder."""
    files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    try:
        return {str(one.relative_to(path.parent)): file_sha256(one) for one in files}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error

"""Cells with their data at hand and their identity known, before the work begins."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.datasets.splits import SplitIndex
from harness.errors import UserError
from harness.frames import Size
from harness.plugins.host import Host
from harness.plugins.portable import PortableSpec, portable_spec
from harness.records.folders import FRESH, RECORD, SHARDS
from harness.records.schema import CellInfo
from harness.running.annotations import partners_hash
from harness.running.content import content_hashes, named_file_hashes
from harness.running.resources import Resources, RunOptions
from harness.running.training import Training, training_of, tuned_on_of
from harness.specs import (
    NO_MATCHER,
    NO_PROMPT,
    CellSummary,
    ExtractorSpec,
    LearnedFile,
    Localizer,
    LocalizerSpec,
    MakeContext,
    MatcherSpec,
    MethodSpec,
    PictureNames,
    PromptSpec,
    Scalar,
)
from harness.sweep import Cell, cell_id
from harness.weights.choice import Weights, backbone_label
from harness.weights.learned import find_learned_file

PROMPT_FILE = "prompt file"
"""Name of the prompt's file among the weights of a record: a learned prompt's, or the user's own."""


@dataclass(frozen=True, eq=False)
class ResolvedLocalizer:
    """A localizer as a method's recipe sets it up.

    Attributes:
        options: all of its options.
        files: those that its spec names -> sha256.
        partners: hash of the keypoints' partners, for one that reads annotations.
    """

    record: PortableSpec[LocalizerSpec]
    options: Mapping[str, Scalar]
    files: Mapping[str, str]
    partners: str = ""

    @property
    def fingerprint(self) -> str:
        """Everything that its predictions depend on besides the cell: its options, code and files."""
        text = f"{json.dumps(self.options, sort_keys=True)} of {self.record.version}"
        if self.files:
            text += f" with {json.dumps(self.files, sort_keys=True)}"
        return f"{text} told partners {self.partners}" if self.partners else text

    def make(self) -> Localizer:
        """Builds it."""
        return self.record.spec.make(**self.options)


def fingerprint_options(fingerprint: str) -> dict[str, Scalar]:
    """The options in a localizer's fingerprint."""
    options: dict[str, Scalar] = json.JSONDecoder().raw_decode(fingerprint)[0]
    return options


@dataclass(frozen=True, eq=False)
class ResolvedWeights:
    """The weights that a cell reads.

    Attributes:
        paths: name that the extractor or prompt knows a source by -> its local path.
        hashes: the same name -> file -> sha256; the prompt's file is under `PROMPT_FILE`, and the files that
            a spec names under `files of NAME`.
        files: source used -> file -> sha256. Two names may stand for one source: every stand-in is shared.
        origins: source used -> repository and commit it came from, where that is known.
        backbone: name in tables: the sources used, and the first hex digits of a hash over their files.
        features: the same for the extractor's weights alone.
    """

    paths: Mapping[str, Path]
    hashes: Mapping[str, Mapping[str, str]]
    files: Mapping[str, Mapping[str, str]]
    origins: Mapping[str, str]
    backbone: str
    features: str


@dataclass(frozen=True, eq=False)
class ResolvedCell:
    """A cell with its data at hand and its identity known.

    It holds values alone and pickles, so that another process can do its work (`harness.running.predict`).
    Records of plugins pickle by name (`PortableSpec`), the split by value: for work elsewhere the images of a
    dataset (`ImageSource`) must pickle, and files of images and weights must have the same paths there.

    Attributes:
        options: how the cell is run.
        prompt: None for a method without prompts.
        matcher: None for a method without one.
        localizers: name -> those that the cell asks for.
        index: the split, with all of its pairs.
        fed: size in pixels of the image the extractor is fed; None where method and prompt do not fit
            together, since no weights were looked for.
        learned: file of the learned prompt; None for a prompt that is not learned.
        training: what network and prompt together were tuned with.
        notes: what a reader of the numbers should know of the prompt's file, one line each.
        engine: our own version and code, which all predictions go through.
        remarks: what the extractor says of the cell (`ExtractorSpec.remarks`).
    """

    id: str
    cell: Cell
    options: RunOptions
    method: MethodSpec
    extractor: PortableSpec[ExtractorSpec]
    prompt: PortableSpec[PromptSpec] | None
    matcher: PortableSpec[MatcherSpec] | None
    localizers: Mapping[str, ResolvedLocalizer]
    index: SplitIndex
    fed: Size | None
    weights: ResolvedWeights
    learned: LearnedFile | None
    training: Training
    engine: str
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the cell's files."""
        return self.options.out / self.id

    @property
    def prompt_file(self) -> Path | None:
        """The file of a learned prompt, or the user's for a prompt that reads one; None for other prompts."""
        return self.learned.path if self.learned else self.cell.prompt_file

    @property
    def pictures(self) -> Mapping[str, PictureNames]:
        """Identity -> names of the pictures, for a prompt that reads a file of the user's own."""
        return self.index.pictures if self.prompt and self.prompt.spec.check_file else {}

    @property
    def shards(self) -> Path:
        """The folder of predictions that are not in the cell's one file yet."""
        return self.folder / (FRESH if self.options.fresh else SHARDS)

    @property
    def plugins(self) -> dict[str, str]:
        """`extractor`, `prompt` and `matcher` -> the plugin that brought it, with its version.

        `harness` is our own.
        """
        return {"harness": self.engine, **_plugin_versions(self.extractor, self.prompt, self.matcher)}

    def summary(self) -> CellSummary:
        """What reporters are told of the cell."""
        return CellSummary(
            id=self.id,
            folder=self.folder,
            label=self.cell.label,
            method=self.cell.method,
            extractor=self.cell.extractor,
            prompt=self.cell.prompt,
            dataset=self.index.label,
            split=self.cell.split,
            seed=self.cell.seed,
            params=dict(self.cell.params),
            localizers=self.cell.localizers,
            pairs=len(self.index.pair_ids),
            matcher=self.cell.matcher,
        )

    def info(self) -> CellInfo:
        """The cell's description in its record."""
        return CellInfo(
            id=self.id,
            method=self.cell.method,
            label=self.cell.label,
            extractor=self.cell.extractor,
            prompt=self.cell.prompt,
            matcher=self.cell.matcher,
            dataset=self.index.label,
            split=self.cell.split,
            seed=self.cell.seed,
            params=dict(self.cell.params),
            backbone=self.weights.backbone,
            features=self.weights.features,
            supervision=self.training.supervision,
            trained_on=self.training.dataset,
            tuned_on=tuned_on_of(
                self.method,
                self.learned,
                is_changed=bool(self.cell.changed),
                network=self.training.tuned_on,
            ),
            fed=self.fed,
            notes=" ".join((self.method.notes, *self.remarks)).strip(),
        )


def resolve_cell(resources: Resources, cell: Cell) -> ResolvedCell:
    """Finds everything that a cell needs and that its id follows from.

    Raises:
        UserError: data or weights are missing or damaged.
    """
    host = resources.host
    method = host.methods[cell.method]
    extractor = portable_spec(host, host.extractors, cell.extractor)
    prompt = None
    if cell.prompt != NO_PROMPT:
        prompt = portable_spec(host, host.prompts, cell.prompt)
    matcher = None
    if cell.matcher != NO_MATCHER:
        matcher = portable_spec(host, host.matchers, cell.matcher)
    used = resources.weights_of(cell)
    fed = None
    remarks: tuple[str, ...] = ()
    if not cell.not_applicable:
        # Reads the backbone's configuration: a damaged one is reported before the work begins.
        paths = {name: weights.path for name, weights in used.items()}
        fed = extractor.spec.fed(paths, dict(cell.params))
        if extractor.spec.remarks:
            try:
                remarks = tuple(extractor.spec.remarks(paths, dict(cell.params)))
            except UserError as error:
                raise UserError(f"{cell.label}: {error}") from error
    learned = _find_prompt_file(cell, prompt, used)
    # Before the id is made: it holds the timestep that the prompt brings.
    if cell.train_timestep and learned:
        cell = _at_training_timestep(cell, learned)
    index = resources.split(cell.dataset, cell.split)
    # Chosen categories as the dataset has them: two ways to write one are one cell.
    cell = replace(cell, split=index.split)
    paths = {name: weights.path for name, weights in used.items()}
    notes = _check_own_file(cell, prompt, index, paths)
    prompt_file = learned.path if learned else cell.prompt_file
    weights = _resolve_weights(resources, cell, extractor.spec, prompt, matcher, used, prompt_file)
    ingredients = {
        "manifest": index.manifest,
        "weights": weights.hashes,
        "precision": resources.options.precision,
        "plugins": _plugin_versions(extractor, prompt, matcher),
        "engine": resources.engine,
        "prompt_params": dict(prompt.spec.params) if prompt else {},
        "extractor": {
            "fed": fed,
            "scope": extractor.spec.scope,
            "prompt_kinds": sorted(extractor.spec.prompt_kinds),
        },
    }
    return ResolvedCell(
        id=_known_id(resources.options.out, cell_id(cell, index.label, ingredients)),
        cell=cell,
        options=resources.options,
        method=method,
        extractor=extractor,
        prompt=prompt,
        matcher=matcher,
        localizers={name: _resolve_localizer(host, method, name, index) for name in cell.localizers},
        index=index,
        fed=fed,
        weights=weights,
        learned=learned,
        training=training_of(host, method, prompt.spec if prompt else None, learned, used),
        engine=resources.engine,
        notes=notes,
        remarks=remarks,
    )


def _known_id(out: Path, new: str) -> str:
    """The id under which a cell's numbers stand in the results folder already, else the new one.

    The words before the hash say how the user asked: `--trained-on shapes` may be the prompt that is used
    anyway, and a `--prompt-file` a copy of it.
    """
    digest = new.rpartition(".")[2]
    try:
        if (out / new).exists():
            return new
        known = sorted(path.parent.name for path in out.glob(f"*.{digest}/{RECORD}"))
    except OSError:
        # A name that no file system takes: whoever makes the folder says so.
        return new
    return known[0] if known else new


def _resolve_localizer(host: Host, method: MethodSpec, name: str, index: SplitIndex) -> ResolvedLocalizer:
    """Gives a localizer the options that a method's recipe sets, as far as it has them."""
    record = portable_spec(host, host.localizers, name)
    options = dict(record.spec.options)
    recipe = method.localizer_options.get(name, {})
    for option, value in recipe.items():
        if option in options:
            options[option] = value
    files = named_file_hashes(f"localizer '{name}'", record.spec.files, options)
    partners = partners_hash(index) if record.spec.reads_annotations else ""
    return ResolvedLocalizer(record, options, files, partners)


def _resolve_weights(
    resources: Resources,
    cell: Cell,
    extractor: ExtractorSpec,
    prompt: PortableSpec[PromptSpec] | None,
    matcher: PortableSpec[MatcherSpec] | None,
    used: Mapping[str, Weights],
    prompt_file: Path | None,
) -> ResolvedWeights:
    """Hashes the files of the weights used. Raises `UserError` where one is damaged."""
    # Of a source of prompts only the file in use counts: a better prompt of another method must not make all
    # cells new.
    prompt_source = None
    if prompt and prompt.spec.learned and not cell.prompt_file:
        prompt_source = prompt.spec.learned.source
    networks = {name: weights for name, weights in used.items() if name != prompt_source}
    hashes = resources.hashes(networks)
    files: dict[str, dict[str, str]] = {}
    for name, weights in networks.items():
        files[weights.source.name] = dict(hashes[name])
    of_extractor = {name: networks[name] for name in extractor.weights if name in networks}
    backbone, features = backbone_label(networks, hashes), backbone_label(of_extractor, hashes)
    if prompt_file and not cell.not_applicable:
        hashes[PROMPT_FILE] = files[PROMPT_FILE] = content_hashes(prompt_file)
    for key, named in _named_files(cell, extractor, prompt, matcher).items():
        hashes[key] = files[key] = named
    paths: dict[str, Path] = {}
    origins: dict[str, str] = {}
    for name, weights in used.items():
        paths[name] = weights.path
        # Empty where it is unknown, as of a folder of the user's own.
        if weights.location.origin:
            origins[weights.source.name] = weights.location.origin
    return ResolvedWeights(
        paths=paths,
        hashes=hashes,
        files=files,
        origins=origins,
        backbone=backbone,
        features=features,
    )


def _plugin_versions(
    extractor: PortableSpec[ExtractorSpec],
    prompt: PortableSpec[PromptSpec] | None,
    matcher: PortableSpec[MatcherSpec] | None,
) -> dict[str, str]:
    versions = {"extractor": extractor.version}
    if prompt:
        versions["prompt"] = prompt.version
    if matcher:
        versions["matcher"] = matcher.version
    return versions


def _find_prompt_file(
    cell: Cell, prompt: PortableSpec[PromptSpec] | None, used: Mapping[str, Weights]
) -> LearnedFile | None:
    """The file of the cell's learned prompt. Raises `UserError` where it is missing or not a prompt."""
    if prompt is None or cell.not_applicable:
        return None
    if prompt.spec.learned and cell.prompt_file and not cell.prompt_file.exists():
        raise UserError(f"--prompt-file {cell.method}={cell.prompt_file}: no such file or folder")
    return find_learned_file(prompt.spec, used, cell.prompt_file, cell.trained_on)


def _check_own_file(
    cell: Cell,
    prompt: PortableSpec[PromptSpec] | None,
    index: SplitIndex,
    weights: Mapping[str, Path],
) -> tuple[str, ...]:
    """Lets a prompt look at the user's file, and returns what should be known of it.

    Args:
        weights: name of each source -> its local path.

    Raises:
        UserError: the file is not what the prompt needs.
    """
    if prompt is None or prompt.spec.check_file is None or cell.not_applicable:
        return ()
    context = MakeContext(
        params=dict(cell.params),
        weights=weights,
        prompt_file=cell.prompt_file,
        pictures=index.pictures,
        categories=index.categories,
        all_categories=index.words_of_all,
    )
    return tuple(prompt.spec.check_file(context))


def _at_training_timestep(cell: Cell, learned: LearnedFile) -> Cell:
    """Sets the timestep that the prompt was tuned at. Raises `UserError` where its file does not name it."""
    params = dict(cell.params)
    if learned.timestep is None or "timestep" not in params:
        raise UserError(
            f"--train-timestep: {learned.path} does not say at which timestep it was tuned; give --timestep T"
        )
    # Among the changes too, so that tables tell the cell from one at the method's own timestep.
    changed = dict(cell.changed)
    if params["timestep"] != learned.timestep:
        params["timestep"] = changed["timestep"] = learned.timestep
    return replace(
        cell,
        params=tuple(sorted(params.items())),
        changed=tuple(sorted(changed.items())),
    )


def _named_files(
    cell: Cell,
    extractor: ExtractorSpec,
    prompt: PortableSpec[PromptSpec] | None,
    matcher: PortableSpec[MatcherSpec] | None,
) -> dict[str, dict[str, str]]:
    """Hashes of the files that the cell's specs name. Raises `UserError` where one is missing."""
    if cell.not_applicable:
        return {}
    named = {
        files_key(extractor.name): named_file_hashes(
            f"extractor '{extractor.name}'", extractor.files, dict(cell.params)
        )
    }
    if prompt:
        spec = prompt.spec
        named[files_key(spec.name)] = named_file_hashes(f"prompt '{spec.name}'", spec.files, spec.params)
    if matcher:
        name, files = matcher.spec.name, matcher.spec.files
        named[files_key(f"matcher {name}")] = named_file_hashes(f"matcher '{name}'", files, dict(cell.params))
    return {key: hashes for key, hashes in named.items() if hashes}


def files_key(name: str) -> str:
    """Name, among the weights of a record, of the files that a spec names."""
    return f"files of {name}"

"""A training made ready from a request: splits, weights, the network, an earlier run's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from harness.datasets.splits import dataset_folder
from harness.environment import hardware, package_versions, source_state
from harness.errors import UserError
from harness.plugins.host import Host
from harness.running.clock import peak_memory
from harness.specs import Scalar
from harness.sweep import DatasetChoice
from harness.training.checkpoint import State, load
from harness.training.data import Data, DataRequest, read_data
from harness.training.file_names import LAST
from harness.training.record import LossAt, PckAt
from harness.weights.choice import WeightChoice, Weights, backbone_label, resolve_weights
from matchers.training.features import PictureFeatures, open_features, start_names
from matchers.training.inputs import BatchMaker, Masks, seeded
from matchers.training.loop import Training, TrainingParts
from matchers.training.objective import Objective, Tensors, TrainingSettings
from matchers.training.objectives import MODULES, find_objective
from matchers.training.record import MatcherRecord
from matchers.training.settings import Recipe, Settings, choose_settings, count_steps
from matchers.training.validation import Measured, Validation

VALIDATIONS = 5
"""Validations over a training, unless the user says how often."""


@dataclass(frozen=True)
class Request:
    """The training that the user asks for.

    Attributes:
        modules: method -> the module with its objective.
        recipe: whose defaults; None for those that fit the weights it starts from.
        changes: fields of `TrainingSettings`; None for those that the user leaves alone.
        options: the method's own settings, as typed.
        validate_every: None for five times over the training.
    """

    method: str
    data: DataRequest
    weights: WeightChoice
    out: Path
    device: str
    modules: Mapping[str, str] = field(default_factory=lambda: MODULES)
    recipe: Recipe | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    validate_every: int | None = None
    save_every: int = 100


@dataclass(frozen=True, eq=False)
class Start:
    """The weights that a training starts from, by the name of their source, with file -> sha256 of each."""

    used: Mapping[str, Weights]
    hashes: Mapping[str, Mapping[str, str]]

    @property
    def is_bundled(self) -> bool:
        """Whether all come with the package."""
        return all(weights.location.kind == "package" for weights in self.used.values())

    def hashes_by_source(self) -> dict[str, dict[str, str]]:
        """Source used -> file -> sha256. Two names may stand for one source: every stand-in is shared."""
        return {weights.source.name: dict(self.hashes[name]) for name, weights in self.used.items()}

    def origins(self) -> dict[str, str]:
        """Source used -> where it came from, as far as that is known."""
        return {
            weights.source.name: weights.location.origin
            for weights in self.used.values()
            if weights.location.origin
        }


@dataclass(frozen=True, eq=False)
class Job:
    """A training that is ready, and the facts of its record.

    Attributes:
        resumed: steps that earlier runs have done.
    """

    request: Request
    objective: Objective
    settings: Settings
    data: Data
    start: Start
    training: Training
    resumed: int
    started: str

    def describe(self, status: Literal["finished", "stopped"]) -> MatcherRecord:
        """Returns the record of the steps done so far."""
        history, step, start = self.training.history, self.training.step, self.start
        commit, dirty = source_state()
        is_gpu = self.request.device.startswith("cuda")
        names = {image.name for pair in self.data.pairs for image in (pair.source, pair.target)}
        return MatcherRecord(
            status=status,
            step=step,
            settings=self.settings,
            published=self.objective.published,
            source=self.objective.source,
            notes=self.objective.notes,
            trained_parameters=self.training.trained_parameters,
            train_pairs=len(self.data.pairs),
            validation_pairs=len(self.data.validation_pairs),
            train_images=len(names),
            losses=[LossAt(step=loss_step, loss=loss) for loss_step, loss in history.losses],
            validation=[PckAt(step=pck_step, pck=pck) for pck_step, pck in history.validation],
            best_step=history.best,
            weights=start.hashes_by_source(),
            weight_origins=start.origins(),
            versions=package_versions(),
            commit=commit,
            dirty=dirty,
            hardware=hardware(self.request.device),
            device=self.request.device,
            started=self.started,
            seconds={name: round(duration, 3) for name, duration in history.seconds.items()},
            seconds_per_step=round(history.seconds["train"] / step, 5) if step else None,
            peak_memory_bytes=peak_memory(),
            gpu_peak_memory_bytes=torch.cuda.max_memory_allocated() if is_gpu else None,
            files=self.training.files,
        )


def make_job(host: Host, request: Request, started: str) -> Job:
    """Prepares a training up to its steps.

    Raises:
        UserError: data, masks or weights are missing, settings contradict each other, or the folder holds a
            training with other settings.
    """
    objective = find_objective(host.methods[request.method].name, request.modules)
    start = _find_start(host, request, objective)
    recipe: Recipe = request.recipe or ("small" if start.is_bundled else "published")
    chosen = choose_settings(objective, recipe, request.changes, request.options)
    data = read_data(host, request.data)
    settings = _make_settings(request, objective, recipe, chosen, data, start)
    state = _load_state(request, settings)
    masks = None
    if chosen.supervision == "masks":
        masks = _open_masks(host, request, data)
    device = torch.device(request.device)
    features = open_features(host, objective, chosen, data.index, start.used, request.device)
    tensors = _starting_tensors(objective, start, features)
    # All random numbers of a new head.
    torch.manual_seed(seeded("network", settings.seed).initial_seed())
    network = objective.make_network(tensors, chosen).to(device)
    batches = BatchMaker(
        objective, chosen, data.pairs, masks, settings.seed, settings.steps, device, features
    )
    validation = _make_validation(host, request, objective, data)
    parts = TrainingParts(
        objective=objective,
        settings=settings,
        network=network,
        batches=batches,
        validation=validation,
        folder=request.out,
        device=device,
        facts=_facts(settings),
        save_every=request.save_every,
    )
    training = Training(parts, state)
    return Job(request, objective, settings, data, start, training, state.step if state else 0, started)


def _find_start(host: Host, request: Request, objective: Objective) -> Start:
    own, names = request.weights.own, start_names(host, objective)
    if objective.source in own and objective.source not in names:
        raise UserError(
            f"--weights {objective.source}={own[objective.source]}: these are what the training makes; "
            f"--weights {names[0]}=PATH names what it starts from"
        )
    used = resolve_weights(host, request.weights, names)
    return Start(used, {name: weights.hashes() for name, weights in used.items()})


def _starting_tensors(objective: Objective, start: Start, features: PictureFeatures | None) -> Tensors:
    """Tensors of the backbone; of features, empty ones that tell the channels of each level."""
    if features is None:
        return objective.read_start(start.used[objective.start].path)
    return {f"level{number}": torch.empty(count, 0, 0) for number, count in enumerate(features.channels)}


def _make_settings(
    request: Request,
    objective: Objective,
    recipe: Recipe,
    chosen: TrainingSettings,
    data: Data,
    start: Start,
) -> Settings:
    steps = count_steps(chosen, len(data.pairs))
    validation = data.validation_index
    return Settings(
        method=objective.method,
        dataset=data.index.label,
        split=data.index.split,
        validation_split=validation.split if validation else None,
        manifest=data.index.manifest,
        validation_manifest=validation.manifest if validation else None,
        limit_train=request.data.limit_train,
        limit_validation=request.data.limit_validation,
        weights=backbone_label(start.used, start.hashes),
        recipe=recipe,
        training=chosen,
        pairs=len(data.pairs),
        steps=steps,
        seed=request.seed,
        validate_every=request.validate_every or max(1, -(-steps // VALIDATIONS)),
    )


def _load_state(request: Request, settings: Settings) -> State | None:
    return load(request.out, settings, request.device)


def _open_masks(host: Host, request: Request, data: Data) -> Masks:
    choice: DatasetChoice = request.data.dataset
    spec = host.datasets[choice.name]
    return Masks.of(spec, dataset_folder(spec, choice, request.data.data_root), data.index.split)


def _make_validation(host: Host, request: Request, objective: Objective, data: Data) -> Validation | None:
    if data.validation_index is None:
        return None
    weights = WeightChoice(
        request.weights.which,
        {**request.weights.own, objective.source: request.out / LAST},
        request.weights.root,
    )
    measured = Measured(
        method=objective.method,
        dataset=request.data.dataset,
        split=data.validation_index.split,
        data_root=request.data.data_root,
        weights=weights,
        out=request.out,
        device=request.device,
        limit=request.data.limit_validation,
    )
    return Validation(host, measured)


def _facts(settings: Settings) -> dict[str, Scalar]:
    """Facts of the making in a file's settings, equal for two equal trainings."""
    chosen: dict[str, Scalar] = {}
    if settings.validation_split:
        # Its PCK chooses the step.
        chosen["validation_split"] = settings.validation_split
    return {
        "method": settings.method,
        "dataset": settings.dataset,
        "split": settings.split,
        **chosen,
        "backbone": settings.weights,
        "recipe": settings.recipe,
        "seed": settings.seed,
    }

"""From a request to a training that is ready to go: splits, weights, what is kept of pictures, where an earlier run stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from baselines.sources import DINOV2, STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from harness.caching.array_store import make_cache_folder
from harness.caching.disk_cache import Cache
from harness.datasets.splits import SplitIndex, Splits
from harness.environment import hardware, package_versions, source_state
from harness.errors import UserError
from harness.plugins.host import Host
from harness.running.clock import StageClock
from harness.specs import DatasetSpec, ImagePair
from harness.sweep import DatasetChoice
from harness.weights.choice import WeightChoice, Weights, backbone_label, resolve_weights
from sd4match_plugin.prompts.descriptors import Describer
from sd4match_plugin.tuning.checkpoint import load
from sd4match_plugin.tuning.images import Descriptors, Images, Posteriors, Progress, images_of
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.pairs import usable_pairs
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import (
    PromptEncoder,
    Prompting,
    ablation_case,
    make_conditional,
    make_learned,
)
from sd4match_plugin.tuning.record import LossAt, PckAt, TrainingRecord
from sd4match_plugin.tuning.settings import METHODS, Settings
from sd4match_plugin.tuning.training import ExecutionOptions, Training, TrainingInputs
from sd4match_plugin.tuning.validation import Validation

TRAINING_SPLITS = ("train", "trn", "training")

VALIDATION_SPLITS = ("val", "validation", "valid", "dev")

NO_SPLIT = "none"

EVERY = 500
"""Least steps between validations, where the user says nothing."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        split, validation_split: None for the dataset's own; `none` for no validation.
        settings: those that the user sets; the others follow from data and weights.
        cache: folder of what is kept of pictures.
        validate_every: None for once in every pass over the pairs, but not more often than every 500 steps.
        pairs_at_once: None for what 8 images of 768 x 768 need.
    """

    method: str
    dataset: DatasetChoice
    data_root: Path
    weights: WeightChoice
    out: Path
    cache: Path
    device: str
    settings: Mapping[str, Any]
    split: str | None = None
    validation_split: str | None = None
    limit_train: int | None = None
    limit_validation: int | None = None
    validate_every: int | None = None
    save_every: int = 100
    pairs_at_once: int | None = None
    checkpointing: bool = False


@dataclass(frozen=True, eq=False)
class Data:
    """The pairs of a training."""

    index: SplitIndex
    pairs: Sequence[ImagePair]
    validation_index: SplitIndex | None
    validation_pairs: Sequence[ImagePair]


@dataclass(frozen=True, eq=False)
class Job:
    """A training that is ready, and what its record says of it."""

    request: Request
    inputs: TrainingInputs
    data: Data
    execution: ExecutionOptions
    training: Training
    resumed: int
    record: Mapping[str, Any]
    clock: StageClock

    @property
    def settings(self) -> Settings:
        """All of them."""
        return self.inputs.settings

    def describe(self, status: Literal["finished", "stopped"]) -> TrainingRecord:
        """The record, as things stand."""
        history, step = self.training.history, self.training.step
        stages = {name: stage.seconds for name, stage in self.clock.stages().items()}
        cuda = self.inputs.processes.device.startswith("cuda")
        return TrainingRecord(
            **self.record,
            status=status,
            settings=self.settings,
            step=step,
            losses=[LossAt(step=at, loss=loss) for at, loss in history.losses],
            validation=[PckAt(step=at, pck=pck) for at, pck in history.validation],
            best_step=history.best,
            seconds={name: round(seconds, 3) for name, seconds in {**stages, **history.seconds}.items()},
            seconds_per_step=round(history.seconds["train"] / step, 5) if step else None,
            peak_memory_bytes=max(
                (stage.peak_memory_bytes for stage in self.clock.stages().values()), default=0
            ),
            gpu_peak_memory_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        )


def known_method(host: Host, name: str) -> str:
    """A method that can be tuned. Raises `UserError` for one that cannot, or does not exist."""
    if name not in METHODS:
        host.methods[name]
        raise UserError(f"method '{name}' has nothing to train; those that have are {', '.join(METHODS)}")
    return name


def make_job(
    host: Host, request: Request, processes: Processes, progress: Progress, clock: StageClock, started: str
) -> Job:
    """Everything but the steps.

    Raises:
        UserError: data or weights are missing, numbers do not go together, or the folder holds a training with other settings.
        DataError: a picture is missing or broken.
    """
    conditional = request.method == "sd4match-cpm"
    names = [STABLE_DIFFUSION_2_1, DINOV2] if conditional else [STABLE_DIFFUSION_2_1]
    used = resolve_weights(host, request.weights, names)
    with clock.stage("read"):
        hashes = {name: one.hashes() for name, one in used.items()}
        data = _read(host, request)
    settings = _settings(host, request, data, used, hashes)
    _check(settings, processes, data)
    state = load(request.out, settings, processes.device)
    if state and state.step > settings.steps:
        raise UserError(
            f"{request.out} has {state.step} steps already, --steps is {settings.steps}; choose another --out"
        )
    make_cache_folder(request.cache)
    with clock.stage("load"):
        backbone = StableDiffusion(used[STABLE_DIFFUSION_2_1].path, processes.device, settings.precision)
        images = _images(request, settings, backbone, used, hashes, processes)
        prompting = _prompting(settings, backbone, data, images)
        encoder = PromptEncoder(backbone, settings.precision)
        maps = Maps(backbone, images.posteriors, settings, request.checkpointing)
    with clock.stage("encode"):
        train_images = images_of(data.pairs)
        everything = list(
            {one.identity(): one for one in (*train_images, *images_of(data.validation_pairs))}.values()
        )
        # Every process has a share, and waits until the others have theirs.
        encoded = sum(processes.gather(images.fill(everything[processes.rank :: processes.count], progress)))
    validation = None
    if data.validation_index:
        validation = Validation(data.validation_index, data.validation_pairs, maps, encoder, processes)
    metadata = _metadata(settings)
    inputs = TrainingInputs(
        settings, prompting, encoder, maps, data.pairs, validation, processes, request.out, metadata
    )
    execution = ExecutionOptions(request.pairs_at_once or maps.pairs_at_once, request.save_every)
    training = Training(inputs, execution, state)
    commit, dirty = source_state()
    record = {
        "trained_parameters": sum(parameter.numel() for parameter in prompting.module.parameters()),
        "train_pairs": len(data.pairs),
        "validation_pairs": len(data.validation_pairs),
        "train_images": len(train_images),
        "weights": {one.source.name: hashes[name] for name, one in used.items()},
        "weight_origins": {
            one.source.name: one.location.origin for one in used.values() if one.location.origin
        },
        "versions": package_versions(),
        "commit": commit,
        "dirty": dirty,
        "hardware": hardware(processes.device),
        "device": processes.device,
        "processes": processes.count,
        "pairs_at_once": execution.pairs_at_once,
        "checkpointing": request.checkpointing,
        "encoded_images": encoded,
        "started": started,
    }
    return Job(request, inputs, data, execution, training, state.step if state else 0, record, clock)


def _read(host: Host, request: Request) -> Data:
    spec = host.datasets[request.dataset.name]
    splits = Splits(host.datasets, request.data_root)
    index = splits.read(request.dataset, _training_split(spec, request.split))
    name = _validation_split(spec, request.validation_split)
    validation = splits.read(request.dataset, name) if name else None
    return Data(
        index,
        usable_pairs(index, request.limit_train),
        validation,
        usable_pairs(validation, request.limit_validation) if validation else (),
    )


def _training_split(spec: DatasetSpec, asked: str | None) -> str:
    """Raises `UserError` where the dataset has none."""
    found = asked or next((name for name in TRAINING_SPLITS if name in spec.splits), None)
    if found is None:
        raise UserError(
            f"dataset '{spec.name}' has no training split, only {', '.join(spec.splits)}; --split names one to train on"
        )
    return _known(spec, "--split", found)


def _validation_split(spec: DatasetSpec, asked: str | None) -> str | None:
    if asked == NO_SPLIT:
        return None
    found = asked or next((name for name in VALIDATION_SPLITS if name in spec.splits), None)
    return _known(spec, "--validation-split", found) if found else None


def _known(spec: DatasetSpec, option: str, name: str) -> str:
    if name not in spec.splits:
        raise UserError(f"{option} {name}: dataset '{spec.name}' has the splits {', '.join(spec.splits)}")
    return name


def _settings(
    host: Host,
    request: Request,
    data: Data,
    used: Mapping[str, Weights],
    hashes: Mapping[str, Mapping[str, str]],
) -> Settings:
    # Maps are those of the method's own evaluation.
    recipe = host.methods.get(request.method)
    params = {**host.extractors[recipe.extractor].params, **recipe.params} if recipe else {}
    own = {name: params[name] for name in ("level", "resample") if name in params}
    facts = {
        "method": request.method,
        "dataset": data.index.label,
        "split": data.index.split,
        "validation_split": data.validation_index.split if data.validation_index else None,
        "manifest": data.index.manifest,
        "validation_manifest": data.validation_index.manifest if data.validation_index else None,
        "limit_train": request.limit_train,
        "limit_validation": request.limit_validation,
        "weights": backbone_label(used, hashes),
        "validate_every": request.validate_every
        or max(EVERY, math.ceil(len(data.pairs) / int(request.settings["batch"]))),
    }
    made = Settings.model_validate({**own, **request.settings, **facts})
    made.check()
    return made


def _check(settings: Settings, processes: Processes, data: Data) -> None:
    """What goes wrong later is told before anything is loaded. Raises `UserError`."""
    if settings.method == "sd4match-cpm":
        ablation_case(settings.ablation)
    if settings.recipe == "release" and processes.count > 1:
        raise UserError(
            "--recipe release is what one of three processes did that never synchronised; run it in one process"
        )
    if processes.count > settings.pairs_per_step:
        raise UserError(
            f"{processes.count} processes for {settings.pairs_per_step} pairs a step; start no more processes than pairs"
        )
    if settings.method == "sd4match-class" and data.validation_index:
        unseen = sorted(set(data.validation_index.categories) - set(data.index.categories))
        if unseen:
            raise UserError(
                f"the validation split has the category '{unseen[0]}', which the training split lacks; choose another split"
            )


def _metadata(settings: Settings) -> dict[str, str]:
    """What a prompt's file says of its making; nothing that differs between two equal trainings."""
    return {
        "method": settings.method,
        "dataset": settings.dataset,
        "backbone": settings.weights,
        "recipe": settings.recipe,
        "timestep": str(settings.timestep),
        **({} if settings.method == "sd4match-cpm" else {"tokens": str(settings.tokens)}),
        # The number of steps may be raised later, and is told by the step itself.
        "settings": json.dumps(
            settings.model_dump(exclude={"steps"} if settings.rate_decay == "constant" else set()),
            sort_keys=True,
        ),
    }


def _images(
    request: Request,
    settings: Settings,
    backbone: StableDiffusion,
    used: Mapping[str, Weights],
    hashes: Mapping[str, Mapping[str, str]],
    processes: Processes,
) -> Images:
    cache = Cache(request.cache, hashes, processes.device, settings.precision)
    posteriors = Posteriors(cache, backbone, settings.resample)
    if DINOV2 not in used:
        return Images(posteriors)
    kind = ablation_case(settings.ablation).descriptor
    return Images(
        posteriors,
        Descriptors(cache, Describer(used[DINOV2].path, kind, processes.device, settings.precision)),
    )


def _prompting(settings: Settings, backbone: StableDiffusion, data: Data, images: Images) -> Prompting:
    if images.descriptors:
        return make_conditional(settings, backbone, images.descriptors)
    return make_learned(settings, backbone, data.index)

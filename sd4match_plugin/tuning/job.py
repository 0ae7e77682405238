"""A training made ready from a request: splits, weights, encoded pictures, an earlier run's state."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from baselines.sources import DINOV2, STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.vit.card import VitCard
from harness.caching.array_store import make_cache_folder
from harness.caching.disk_cache import Cache
from harness.environment import hardware, package_versions, source_state
from harness.errors import UserError
from harness.plugins.host import Host
from harness.running.clock import StageClock
from harness.sweep import DatasetChoice
from harness.training.checkpoint import State, load
from harness.training.data import Data, DataRequest, read_data
from harness.training.record import LossAt, PckAt
from harness.weights.choice import WeightChoice, Weights, backbone_label, resolve_weights
from sd4match_plugin.prompts.descriptors import Describer
from sd4match_plugin.tuning.images import Descriptors, Images, Posteriors, Progress, annotated_images
from sd4match_plugin.tuning.maps import Maps
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.prompting import (
    PromptEncoder,
    Prompting,
    ablation_case,
    make_conditional,
    make_learned,
)
from sd4match_plugin.tuning.record import TrainingRecord
from sd4match_plugin.tuning.settings import METHODS, Settings
from sd4match_plugin.tuning.training import ExecutionOptions, Training, TrainingInputs
from sd4match_plugin.tuning.validation import Validation

MIN_VALIDATION_INTERVAL = 500
"""Smallest number of steps between validations, unless the user sets it."""


@dataclass(frozen=True)
class Request:
    """The training that the user asks for.

    Attributes:
        split, validation_split: None for the dataset's own; `none` for no validation.
        settings: those that the user sets; the others follow from data and weights.
        cache: folder of encoded pictures.
        validate_every: None for once in every pass over the pairs, but not more often than every 500 steps.
        pairs_at_once: None for the memory of 8 images of 768 x 768.
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

    @property
    def data(self) -> DataRequest:
        """The part that says which pairs are used."""
        return DataRequest(
            self.dataset,
            self.data_root,
            self.split,
            self.validation_split,
            self.limit_train,
            self.limit_validation,
        )


@dataclass(frozen=True, eq=False)
class TrainingWeights:
    """The weights of a training, by source: their files, and file -> sha256."""

    used: Mapping[str, Weights]
    hashes: Mapping[str, Mapping[str, str]]

    @property
    def label(self) -> str:
        """Their name in tables."""
        return backbone_label(self.used, self.hashes)


@dataclass(frozen=True, eq=False)
class Job:
    """A training that is ready, and the facts of its record.

    Attributes:
        resumed: steps that earlier runs have done.
        record: fields of the record that are known before the steps.
    """

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
        """All settings."""
        return self.inputs.settings

    def describe(self, status: Literal["finished", "stopped"]) -> TrainingRecord:
        """Returns the record of the steps done so far."""
        history, step = self.training.history, self.training.step
        losses = [LossAt(step=loss_step, loss=loss) for loss_step, loss in history.losses]
        validation = [PckAt(step=pck_step, pck=pck) for pck_step, pck in history.validation]
        stages = self.clock.stages()
        # Stages of the preparation are this run's; those of the steps are over all runs.
        seconds = {name: stage.seconds for name, stage in stages.items()} | history.seconds
        peak_memory = max((stage.peak_memory_bytes for stage in stages.values()), default=0)
        seconds_per_step, gpu_peak_memory = None, None
        if step:
            seconds_per_step = round(history.seconds["train"] / step, 5)
        if self.inputs.processes.device.startswith("cuda"):
            gpu_peak_memory = torch.cuda.max_memory_allocated()
        return TrainingRecord(
            **self.record,
            status=status,
            settings=self.settings,
            step=step,
            losses=losses,
            validation=validation,
            best_step=history.best,
            seconds={name: round(duration, 3) for name, duration in seconds.items()},
            seconds_per_step=seconds_per_step,
            peak_memory_bytes=peak_memory,
            gpu_peak_memory_bytes=gpu_peak_memory,
        )


def check_method(host: Host, name: str) -> None:
    """Raises `UserError` for a method that cannot be tuned or does not exist."""
    if name not in METHODS:
        host.methods[name]
        raise UserError(f"method '{name}' has nothing to train; those that have are {', '.join(METHODS)}")


def make_job(
    host: Host, request: Request, processes: Processes, progress: Progress, clock: StageClock, started: str
) -> Job:
    """Prepares a training up to its steps.

    Raises:
        UserError: data or weights are missing, settings contradict each other, or the folder holds a training
            with other settings.
        DataError: a picture is missing or broken.
    """
    with clock.stage("read"):
        weights = _read_weights(host, request)
        data = read_data(host, request.data)
    settings = _make_settings(host, request, data, weights)
    _check_settings(settings, processes, data)
    state = _load_state(request, settings, processes)
    make_cache_folder(request.cache)
    with clock.stage("load"):
        backbone = StableDiffusion(
            weights.used[STABLE_DIFFUSION_2_1].path, processes.device, settings.precision
        )
        images = _make_images(request, settings, backbone, weights, processes)
        prompting = _make_prompting(settings, backbone, data, images)
        encoder = PromptEncoder(backbone, settings.precision)
        maps = Maps(backbone, images.posteriors, settings, request.checkpointing)
    with clock.stage("encode"):
        encoded = _encode(data, images, processes, progress)
    validation = None
    if data.validation_index:
        validation = Validation(data.validation_index, data.validation_pairs, maps, encoder, processes)
    inputs = TrainingInputs(
        settings=settings,
        prompting=prompting,
        encoder=encoder,
        maps=maps,
        pairs=data.pairs,
        validation=validation,
        processes=processes,
        folder=request.out,
        metadata=_metadata(settings),
    )
    execution = ExecutionOptions(request.pairs_at_once or maps.pairs_at_once, request.save_every)
    training = Training(inputs, execution, state)
    record = {
        **_record_of_inputs(inputs, data, weights),
        "pairs_at_once": execution.pairs_at_once,
        "checkpointing": request.checkpointing,
        "encoded_images": encoded,
        "started": started,
    }
    return Job(request, inputs, data, execution, training, state.step if state else 0, record, clock)


def _read_weights(host: Host, request: Request) -> TrainingWeights:
    names = [STABLE_DIFFUSION_2_1]
    if request.method == "sd4match-cpm":
        names.append(DINOV2)
    used = resolve_weights(host, request.weights, names)
    return TrainingWeights(used, {name: weights.hashes() for name, weights in used.items()})


def _make_settings(host: Host, request: Request, data: Data, weights: TrainingWeights) -> Settings:
    # Maps are those of the method's own evaluation.
    params: dict[str, Any] = {}
    recipe = host.methods.get(request.method)
    if recipe:
        params = {**host.extractors[recipe.extractor].params, **recipe.params}
    map_settings = {name: params[name] for name in ("level", "resample") if name in params}
    steps_of_a_pass = math.ceil(len(data.pairs) / int(request.settings["batch"]))
    facts: dict[str, Any] = {
        "method": request.method,
        "dataset": data.index.label,
        "split": data.index.split,
        "validation_split": data.validation_index.split if data.validation_index else None,
        "manifest": data.index.manifest,
        "validation_manifest": data.validation_index.manifest if data.validation_index else None,
        "limit_train": request.limit_train,
        "limit_validation": request.limit_validation,
        "weights": weights.label,
        "validate_every": request.validate_every or max(MIN_VALIDATION_INTERVAL, steps_of_a_pass),
    }
    if DINOV2 in weights.used:
        facts["position_offset"] = VitCard.of(weights.used[DINOV2].path).position_offset()
    settings = Settings.model_validate({**map_settings, **request.settings, **facts})
    settings.check()
    return settings


def _check_settings(settings: Settings, processes: Processes, data: Data) -> None:
    """Raises `UserError` for mistakes that would show later, before anything is loaded."""
    if settings.method == "sd4match-cpm":
        ablation_case(settings.ablation)
    if settings.recipe == "release" and processes.count > 1:
        raise UserError(
            "--recipe release does the work of one of three processes that never synchronised; "
            "run it in one process"
        )
    if processes.count > settings.pairs_per_step:
        raise UserError(
            f"{processes.count} processes for {settings.pairs_per_step} pairs a step; "
            "start no more processes than pairs"
        )
    if settings.method == "sd4match-class":
        data.check_categories()


def _load_state(request: Request, settings: Settings, processes: Processes) -> State | None:
    """The state of an earlier run. Raises `UserError` where it has more steps than are asked for."""
    state = load(request.out, settings, processes.device)
    if state and state.step > settings.steps:
        raise UserError(
            f"{request.out} has {state.step} steps already, --steps is {settings.steps}; choose another --out"
        )
    return state


def _make_images(
    request: Request,
    settings: Settings,
    backbone: StableDiffusion,
    weights: TrainingWeights,
    processes: Processes,
) -> Images:
    cache = Cache(request.cache, weights.hashes, processes.device, settings.precision)
    posteriors = Posteriors(cache, backbone, settings.resample)
    if DINOV2 not in weights.used:
        return Images(posteriors)
    kind = ablation_case(settings.ablation).descriptor
    describe = Describer(
        weights.used[DINOV2].path, kind, processes.device, settings.precision, settings.position_offset
    )
    return Images(posteriors, Descriptors(cache, describe))


def _make_prompting(settings: Settings, backbone: StableDiffusion, data: Data, images: Images) -> Prompting:
    if images.descriptors:
        return make_conditional(settings, backbone, images.descriptors)
    return make_learned(settings, backbone, data.index)


def _encode(data: Data, images: Images, processes: Processes, progress: Progress) -> int:
    """Encodes all pictures, each process a share of them; returns the number of new ones over all."""
    annotated = {**annotated_images(data.pairs), **annotated_images(data.validation_pairs)}
    share = dict(islice(annotated.items(), processes.rank, None, processes.count))
    # Every process waits here until the shares of all are encoded.
    return sum(processes.gather(images.fill(share, progress)))


def _metadata(settings: Settings) -> dict[str, str]:
    """Facts of the making in a prompt's file, equal for two equal trainings."""
    # At a constant rate the number of steps may be raised later, and is in the header as the step.
    left_out = {"steps"} if settings.rate_decay == "constant" else set()
    metadata = {
        "method": settings.method,
        "dataset": settings.dataset,
        "backbone": settings.weights,
        "recipe": settings.recipe,
        "timestep": str(settings.timestep),
        "settings": json.dumps(settings.model_dump(exclude=left_out), sort_keys=True),
    }
    if settings.method != "sd4match-cpm":
        metadata["tokens"] = str(settings.tokens)
    return metadata


def _record_of_inputs(inputs: TrainingInputs, data: Data, weights: TrainingWeights) -> dict[str, Any]:
    """Fields of the record that follow from code, machine, data and weights."""
    commit, dirty = source_state()
    processes, parameters = inputs.processes, inputs.prompting.module.parameters()
    hashes: dict[str, Mapping[str, str]] = {}
    origins: dict[str, str] = {}
    for name, used in weights.used.items():
        hashes[used.source.name] = weights.hashes[name]
        if used.location.origin:
            origins[used.source.name] = used.location.origin
    return {
        "trained_parameters": sum(parameter.numel() for parameter in parameters),
        "train_pairs": len(data.pairs),
        "validation_pairs": len(data.validation_pairs),
        "train_images": len(annotated_images(data.pairs)),
        "weights": hashes,
        "weight_origins": origins,
        "versions": package_versions(),
        "commit": commit,
        "dirty": dirty,
        "hardware": hardware(processes.device),
        "device": processes.device,
        "processes": processes.count,
    }

"""Our way, through the code that `bench run` and `bench train` run, with counters at its caches."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measuring import synchronise

from baselines.sources import STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.backbone import StableDiffusion
from baselines.stable_diffusion.shared import shared_backbone
from harness.caching.lru import ByteLRU, Tensors
from harness.datasets.splits import SplitIndex
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.running.clock import StageClock
from harness.running.plan import plan
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.running.run_cell import run_cell
from harness.scoring.criteria import make_criterion
from harness.specs import (
    ImageExtractor,
    ImagePair,
    ImageRequest,
    Localizer,
    MakeContext,
    Scalar,
    SharedObjects,
)
from harness.sweep import DatasetChoice, Sweep
from harness.training.steps import deterministic_kernels
from harness.weights.choice import WeightChoice
from sd4match_plugin.prompts.image_patches import ImagePatches
from sd4match_plugin.tuning.images import Posteriors
from sd4match_plugin.tuning.job import Job, Request, make_job
from sd4match_plugin.tuning.processes import Processes
from sd4match_plugin.tuning.settings import Settings


@dataclass(frozen=True)
class Setup:
    """Data, device and weights that all measurements share.

    Attributes:
        data: a folder of pictures with `pairs.json`.
        work: a folder for what runs leave behind.
        weights: values of `--weights`.
        prompt_file: of `sd4match-cpm`; None for the bundled one.
        cache: folder of `bench run --cache`; None for memory alone.
        workers: processes that decode pictures ahead.
        compiled: whether networks are compiled.
        keeps_networks: whether a measurement finds the networks of the one before, and hashes of their files,
            though nothing that was kept of any picture; else they are loaded anew.
        shared: the loaded backbone.
        hashes: those of files, where networks are kept.
    """

    data: Path
    work: Path
    device: str = "cpu"
    precision: str = "fp32"
    weights: tuple[str, ...] = ("tiny",)
    prompt_file: Path | None = None
    cache: Path | None = None
    workers: int = 0
    compiled: bool = False
    keeps_networks: bool = False
    host: Host = field(default_factory=load_plugins)
    shared: SharedObjects = field(default_factory=SharedObjects)
    hashes: dict[tuple[str, Path], dict[str, str]] = field(default_factory=dict)

    def resolve(
        self, method: str, out: str = "results", limit: int | None = None, **overrides: Scalar
    ) -> ResolvedCell:
        """A cell of a method with its own prompt and localizer, ready to run.

        Args:
            overrides: such as `ensemble=4`.
        """
        prompt_files = {}
        # Other methods have no prompt that is read from a file.
        if self.prompt_file and method == "sd4match-cpm":
            prompt_files[method] = (self.prompt_file,)
        sweep = Sweep(
            methods=(method,),
            datasets=(self.choice,),
            overrides={name: (value,) for name, value in overrides.items()},
            prompt_files=prompt_files,
        )
        options = RunOptions(
            data_root=self.work,
            out=self.work / out,
            criteria=(make_criterion(self.host, "sd4match"),),
            device=self.device,
            precision=self.precision,
            compiled=self.compiled,
            limit=limit,
            weights=WeightChoice.parse(self.host, self.weights),
            cache=self.cache,
            workers=self.workers,
        )
        (cell,) = plan(sweep, self.host)
        resources = Resources(self.host, options, self.shared)
        if self.keeps_networks:
            # Networks of true size are gigabytes, which take seconds to hash.
            resources._hashes = self.hashes
        return resolve_cell(resources, cell)

    @property
    def choice(self) -> DatasetChoice:
        """The data as a command line names it."""
        return DatasetChoice("folder", self.data)

    def backbone(self, prepared: ResolvedCell) -> tuple[StableDiffusion, ByteLRU[Tensors]]:
        """The Stable Diffusion that a cell's extractor will find loaded, with nothing kept of any picture."""
        if not self.keeps_networks:
            self.shared.clear()
        context = MakeContext(
            device=self.device, precision=self.precision, compiled=self.compiled, shared=self.shared
        )
        backbone, memory = shared_backbone(context, prepared.weights.paths[STABLE_DIFFUSION_2_1], 1 << 30)
        for key in list(memory):
            memory.drop(key)
        return backbone, memory


def requests_of(pairs: list[ImagePair], index: SplitIndex, mark: str = "") -> list[ImageRequest]:
    """A request for each picture of the pairs, each once, without a prompt.

    A new `mark` makes them pictures never seen before.
    """
    requests: dict[str, ImageRequest] = {}
    for pair in pairs:
        for image in (pair.source, pair.target):
            if image.identity() not in requests:
                requests[image.identity()] = ImageRequest(
                    image.open(), image.identity() + mark, index.prompt_category(pair)
                )
    return list(requests.values())


def rename_pictures(requests: list[ImageRequest], mark: str) -> list[ImageRequest]:
    """The same pictures as if never seen before."""
    return [replace(request, identity=request.identity + mark) for request in requests]


def with_category_prompts(requests: list[ImageRequest]) -> list[ImageRequest]:
    """The same requests with DIFT's prompts."""
    prompted = []
    for request in requests:
        prompted.append(replace(request, prompt=f"a photo of a {request.category}"))
    return prompted


def extractor_of(setup: Setup, prepared: ResolvedCell) -> ImageExtractor:
    """The cell's extractor."""
    context = MakeContext(
        device=setup.device,
        precision=setup.precision,
        params=dict(prepared.cell.params),
        weights=prepared.weights.paths,
        shared=setup.shared,
    )
    extractor: Any = setup.host.extractors[prepared.cell.extractor].make(context)
    return extractor  # type: ignore[no-any-return]


def localizer_of(prepared: ResolvedCell) -> Localizer:
    """The cell's first localizer, new, with the recipe's options."""
    return prepared.localizers[prepared.cell.localizers[0]].make()


@dataclass
class Counts:
    """Numbers of requests to a cache, and of those that had to be computed."""

    asked: int = 0
    computed: int = 0

    @property
    def hit_rate(self) -> float:
        """Share of requests that the cache answered; 0 where a batch computed more than was asked for."""
        if not self.asked:
            return 0.0
        return max(0.0, 1 - self.computed / self.asked)


@dataclass(frozen=True)
class Evaluation:
    """A cell that was run.

    Attributes:
        seconds: all but the loading of the networks: features, points, predictions on disk, scores with
            intervals, record.
        stages: seconds of each stage that the record has.
        caches: what is kept -> how often it was asked and missed.
    """

    pairs: int
    seconds: float
    stages: dict[str, float]
    caches: dict[str, Counts]


def evaluate(setup: Setup, prepared: ResolvedCell) -> Evaluation:
    """Runs a cell from nothing, with its networks loaded. Raises `RuntimeError` where a pair fails."""
    shutil.rmtree(prepared.folder, ignore_errors=True)
    backbone, memory = setup.backbone(prepared)
    with _count_requests(backbone, memory) as caches:
        synchronise(setup.device)
        start = time.perf_counter()
        record = run_cell(Resources(setup.host, prepared.options, setup.shared), prepared)
        synchronise(setup.device)
        seconds = time.perf_counter() - start
    if record.status != "ok" or record.provenance is None:
        raise RuntimeError(f"{prepared.cell.label}: {record.error or record.failures[:1]}")
    stages = {name: stage.seconds for name, stage in record.provenance.stages.items()}
    pairs = record.provenance.computed_pairs
    # The runner keeps feature maps itself: it asks the extractor for those that it lacks.
    caches["feature maps of pictures"].asked = 2 * pairs
    for name, use in record.provenance.cache.items():
        caches[f"{name} on disk"] = Counts(use.found + use.computed, use.computed)
    # Loading is left out, because the published way starts with its networks loaded, too.
    return Evaluation(pairs, seconds - stages["load"], stages, caches)


@contextmanager
def _count_requests(backbone: StableDiffusion, memory: ByteLRU[Tensors]) -> Iterator[dict[str, Counts]]:
    """Counters at what is kept of pictures."""
    maps, posteriors, beginnings, describing = Counts(), Counts(), Counts(), Counts()
    caches = {
        "feature maps of pictures": maps,
        "posteriors": posteriors,
        "what comes before the prompt": beginnings,
        "DINO features": describing,
    }
    # Taken before they are replaced below: each counter calls the original.
    once = memory.once
    posterior = backbone.posterior
    mean = backbone.mean_activations
    begin = backbone.run_prefix
    patches = ImagePatches.patches

    def count_once(key: Any, compute: Callable[[], Any]) -> Any:
        posteriors.asked += 1
        return once(key, compute)

    def count_posterior(pixels: Any) -> Any:
        posteriors.computed += len(pixels)
        return posterior(pixels)

    def count_mean(
        noisy: Any, timestep: int, prompts: Any, submodule: str, members: int, prefix_outputs: Any = None
    ) -> Any:
        pictures = len(noisy) // members
        maps.computed += pictures
        if prefix_outputs:
            beginnings.asked += pictures
            # A pair's prompt is made of DINO's view of both.
            describing.asked += pictures
        return mean(noisy, timestep, prompts, submodule, members, prefix_outputs)

    def count_prefix(noisy: Any, timestep: int, *where: Any) -> Any:
        beginnings.computed += 1
        return begin(noisy, timestep, *where)

    def count_patches(self: Any, images: Any) -> Any:
        describing.computed += len(images)
        return patches(self, images)

    with (
        patch.object(memory, "once", count_once),
        patch.object(backbone, "posterior", count_posterior),
        patch.object(backbone, "mean_activations", count_mean),
        patch.object(backbone, "run_prefix", count_prefix),
        patch.object(ImagePatches, "patches", count_patches),
    ):
        yield caches
    # A method that has no such cache gets no line in the report.
    for name, count in list(caches.items()):
        if not count.asked and name != "feature maps of pictures":
            del caches[name]


class CountedTraining:
    """A training of SD4Match-CPM with the paper's settings, one step at a time.

    Args:
        batch: pairs of a step.
        limit: pairs to train on, spread over all of them; None for all.

    Attributes:
        posteriors: how often a picture's posterior was asked for by steps, and how many were encoded before.
    """

    def __init__(
        self, setup: Setup, batch: int = Settings.model_fields["batch"].default, limit: int | None = None
    ) -> None:
        settings = {"batch": batch, "steps": 1000, "precision": setup.precision}
        request = Request(
            method="sd4match-cpm",
            dataset=setup.choice,
            data_root=setup.work,
            weights=WeightChoice.parse(setup.host, setup.weights),
            out=setup.work / "training",
            cache=setup.work / "encoded",
            device=setup.device,
            settings=settings,
            split="test",
            validation_split="none",
            limit_train=limit,
        )
        self.job: Job = make_job(
            setup.host,
            request,
            Processes(0, 1, setup.device),
            lambda what, done, total: None,
            StageClock(),
            "",
        )
        # The job counts posteriors and DINO's features alike, one of each for a picture.
        self.posteriors = Counts(computed=int(self.job.record["encoded_images"]) // 2)

    def step(self) -> float:
        """Takes one step of Adam and returns the loss.

        Validation and files, which are a small part of a real training, are left out.
        """
        training = self.job.training
        asked, call = self.posteriors, Posteriors.__call__

        def count_identities(posteriors: Posteriors, identities: Any) -> Any:
            asked.asked += len(identities)
            return call(posteriors, identities)

        # On a GPU a training selects kernels that add in a fixed order, which may be slower.
        kernels = deterministic_kernels(self.job.inputs.maps.device)
        with patch.object(Posteriors, "__call__", count_identities), kernels:
            loss = training._update()
        training.step += 1
        return loss

    def pairs(self, step: int) -> list[ImagePair]:
        """The pairs of a step, in its order."""
        settings, pairs = self.job.settings, self.job.inputs.pairs
        order = self.job.training.gradients._order
        numbers = order.numbers(step * settings.batch, settings.pairs_per_step)
        return [pairs[number] for number in numbers]

"""The options of a run, and the sweep and the run's options that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.api.overrides import merge_overrides
from harness.errors import UserError
from harness.files import with_home
from harness.plugins.host import Host
from harness.specs import Scalar
from harness.sweep import DatasetChoice, Shard, Sweep, prompt_choices

if TYPE_CHECKING:
    from harness.engines.cluster_options import ClusterOptions
    from harness.running.resources import RunOptions


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The options of `bench run` after parsing. The help text of each says what it is for."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    split: str | None
    categories: tuple[str, ...] | None = None
    prompts: tuple[str, ...] | None
    localizers: tuple[str, ...] | None
    protocols: tuple[str, ...]
    alphas: tuple[float, ...] | None
    timestep: tuple[int, ...] | None
    ensemble: tuple[int, ...] | None
    settings: Mapping[str, tuple[Scalar, ...]]
    train_timestep: bool
    prompt_files: tuple[str, ...]
    trained_on: str | None
    seed: tuple[int, ...]
    limit: int | None
    shard: Shard | None
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    precision: str
    compile: bool
    batch_size: int
    cache_bytes: int
    cache: Path | None
    workers: int | None
    fresh: bool
    timeout: float | None = None
    engine: str = "local"
    address: str | None = None
    gpus_per_worker: float | None = None
    workers_per_node: int | None = None
    start_timeout: float | None = None
    allow_mixed_devices: bool = False
    wait: bool = False
    dry_run: bool = False
    out: Path
    data_root: Path

    @property
    def prompt_names(self) -> tuple[str, ...] | None:
        """The prompts without their files; None for each method's own."""
        return None if self.prompts is None else prompt_choices(self.prompts)[0]

    def sweep(self) -> Sweep:
        """The part that says which cells are run.

        Raises:
            UserError: a --prompt-file has no path, or a parameter is set twice.
        """
        short = {"timestep": self.timestep, "ensemble": self.ensemble}
        return Sweep(
            methods=self.methods,
            datasets=tuple(map(DatasetChoice.parse, self.datasets)),
            prompts=self.prompt_names,
            localizers=self.localizers,
            split=self.split,
            categories=self.categories,
            seeds=self.seed,
            overrides=merge_overrides(self.settings, short),
            prompt_files=_merge_files(_parse_prompt_files(self.prompt_files), self.prompts or ()),
            trained_on=self.trained_on,
            train_timestep=self.train_timestep,
        )

    def cluster_options(self) -> ClusterOptions | None:
        """The part that says on which machines; None for this one alone.

        Raises:
            UserError: there are options of a cluster, and no cluster.
        """
        from harness.engines.cluster_options import START_TIMEOUT, ClusterOptions

        if self.engine == "ray":
            return ClusterOptions(
                address=self.address,
                gpus_per_worker=self.gpus_per_worker,
                workers_per_node=self.workers_per_node,
                start_timeout=START_TIMEOUT if self.start_timeout is None else self.start_timeout,
                allows_mixed_devices=self.allow_mixed_devices,
            )
        for option in ("address", "gpus_per_worker", "workers_per_node", "start_timeout"):
            if getattr(self, option) is not None:
                raise _needs_ray(option)
        if self.allow_mixed_devices:
            raise _needs_ray("allow_mixed_devices")
        return None

    def run_options(self, host: Host, worker_device: str | None = None) -> RunOptions:
        """The part that says how cells are run.

        Args:
            worker_device: the device of workers on other machines, which need not be there on this one; None
                where this machine computes.

        Raises:
            UserError: the device, a protocol or weights are not there.
        """
        from harness.environment import device_name, require_compiler
        from harness.features.prefetch import default_workers
        from harness.running.resources import RunOptions
        from harness.scoring.criteria import make_criterion
        from harness.weights.choice import WeightChoice

        criteria = []
        # A protocol that is named twice is scored once.
        for name in dict.fromkeys(self.protocols):
            criteria.append(make_criterion(host, name, self.alphas))
        device = worker_device or device_name(self.device)
        if self.compile and not worker_device:
            # Without a compiler every pair would fail, one after another.
            require_compiler(device)
        workers = self.workers
        if workers is None:
            workers = default_workers(device)
        return RunOptions(
            data_root=self.data_root,
            out=self.out,
            criteria=tuple(criteria),
            device=device,
            precision=self.precision,
            compiled=self.compile,
            batch_size=self.batch_size,
            limit=self.limit,
            shard=self.shard,
            weights=WeightChoice.parse(host, self.weights, self.weights_root),
            cache_bytes=self.cache_bytes,
            cache=self.cache,
            workers=workers,
            fresh=self.fresh,
            timeout=self.timeout,
            waits=self.wait,
        )


def _needs_ray(name: str) -> UserError:
    option = f"--{name.replace('_', '-')}"
    return UserError(f"{option}: says how a cluster is used; add --engine ray, or leave {option} out")


def _merge_files(named: dict[str, tuple[Path, ...]], prompts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Adds the files that the prompts bring, `NAME=FILE`."""
    for name, files in prompt_choices(prompts)[1].items():
        named[name] = (*named.get(name, ()), *files)
    return named


def _parse_prompt_files(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """The values of --prompt-file by method. Raises `UserError` for one that is not METHOD=PATH."""
    files: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not (name and path):
            raise UserError(f"--prompt-file {text}: expected METHOD=PATH")
        files[name] = (*files.get(name, ()), with_home(path))
    return files

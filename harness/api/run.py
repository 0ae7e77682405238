"""`harness.run`: methods on datasets, as `bench run` does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from harness.api import values
from harness.api.lists import large_alphas_question
from harness.api.notices import NoticeReporter
from harness.api.run_arguments import RunArguments
from harness.api.values import FilePath, Integers, Numbers, Texts
from harness.notices import warn
from harness.plugins.loading import load_plugins
from harness.running.parameters import SHORT_NAMES, IntegerRule

if TYPE_CHECKING:
    import pandas as pd

    from harness.api.run_sweep import RunOutcome
    from harness.plugins.host import Host


def run(
    methods: Texts,
    datasets: Texts = "shapes",
    *,
    split: str | None = None,
    categories: Texts | None = None,
    prompts: Texts | None = None,
    localizers: Texts | None = None,
    protocols: Texts = "sd4match",
    alphas: Numbers | None = None,
    timestep: Integers | None = None,
    ensemble: Integers | None = None,
    params: Mapping[str, Any] | None = None,
    train_timestep: bool = False,
    prompt_files: Mapping[str, Any] | None = None,
    trained_on: str | None = None,
    seeds: Integers = 0,
    limit: int | None = None,
    shard: str | None = None,
    weights: Texts = (),
    weights_root: FilePath | None = None,
    device: str = "auto",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    compile: bool = False,
    batch_size: int = 8,
    cache_gb: float = 4.0,
    cache: FilePath | None = None,
    workers: int | None = None,
    fresh: bool = False,
    timeout: float | None = None,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    gpus_per_worker: float | None = None,
    workers_per_node: int | None = None,
    start_timeout: float | None = None,
    allow_mixed_devices: bool = False,
    wait: bool = False,
    out: FilePath = "results",
    data_root: FilePath | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Runs methods on datasets, as `bench run` does, and returns their leaderboard.

    Cells that are finished in the results folder are not computed again; an interrupted one goes on where it
    stopped. Lists are a text, a text with commas, or a list of texts; numbers likewise.

    Args:
        methods: names of `bench list methods`.
        datasets: names of `bench list datasets`, or `NAME=PATH`, as `folder=my/photos`.
        split: one split for all datasets; None for each one's default.
        categories: only pairs of these categories, as a cell of its own; None for all. A name with a comma is
            an item of a list.
        prompts, localizers: names of `bench list`; None for each method's own. A prompt that reads a file is
            `NAME=FILE`.
        protocols: those to score under.
        alphas: thresholds; None for each protocol's own.
        timestep, ensemble: values to sweep, such as `[50, 261]` or `"0..500:100"`; None for the method's own.
        params: any parameters of the methods, each with one value or several: `{"layer": [9, 11]}`.
        train_timestep: whether learned prompts are used at the timestep that they were tuned at.
        prompt_files: method -> file of a learned prompt of your own, or several.
        trained_on: of the learned prompts there are, those trained on this dataset.
        seeds: one or several.
        limit: only so many pairs of each split, spread over the categories.
        shard: only one part of these pairs, `"3/8"` for the third of eight; None for all of them.
        weights: `tiny` (the default), `paper` or `NAME=PATH`, or a list of these. A text is one of them.
        weights_root: folder of fetched weights; None for the usual one.
        device: a torch device; `auto` takes a GPU if there is one.
        precision: `fp32`, `bf16` or `fp16`.
        compile: whether networks are compiled.
        batch_size: images, or pairs, computed at once.
        cache_gb: memory in GB for features that are kept.
        cache: folder that keeps latents and the like for later runs.
        workers: processes that decode pictures ahead; None for up to 4 beside a GPU and none on a CPU.
        fresh: whether finished cells are computed anew.
        timeout: seconds that one call of an extractor, prompt or localizer may take; the pairs of one that
            takes longer fail. None for any time.
        engine: `local` for this process, `ray` for workers on a Ray cluster.
        address: `HOST:PORT` of the cluster, `auto` or `local`; None for the one this program is connected to,
            RAY_ADDRESS, the one that runs on this machine, or one of this run's own.
        gpus_per_worker: GPUs of each worker, 0.5 for two on one; None for 1 where the cluster has any.
        workers_per_node: workers on each node at most; None for as many as GPUs, or cores, are enough for.
        start_timeout: seconds that a worker may take to start; None for 300.
        allow_mixed_devices: whether nodes may have different GPUs, or processors.
        wait: whether cells that another process is running are waited for; otherwise they are left to it.
        out: the results folder.
        data_root: the folder that holds the datasets' own; None for BENCH_DATA_ROOT, or `data`.
        progress: whether a bar on stderr shows how far the run is.

    Returns:
        The table that the command prints, numbers as floats: a row for each method, prompt and localizer, a
        column for each dataset and threshold, `NAME ±` with half the 95 % interval, a note. With several
        protocols, their tables one below the other, with a column `protocol`. `frame.attrs["caption"]` says
        what the numbers are, `frame.attrs["cells"]` has the cells' folders. A cell that failed keeps its row,
        with the reason in the note, and is told in a `harness.errors.BenchWarning`.

    Raises:
        UserError: a name is unknown, a value is wrong, or data or weights are missing; in one line.
    """
    host = load_plugins()
    arguments = read_run_arguments(
        methods=methods,
        datasets=datasets,
        split=split,
        categories=categories,
        prompts=prompts,
        localizers=localizers,
        protocols=protocols,
        alphas=alphas,
        timestep=timestep,
        ensemble=ensemble,
        params=params,
        train_timestep=train_timestep,
        prompt_files=prompt_files,
        trained_on=trained_on,
        seeds=seeds,
        limit=limit,
        shard=shard,
        weights=weights,
        weights_root=weights_root,
        device=device,
        precision=precision,
        compile=compile,
        batch_size=batch_size,
        cache_gb=cache_gb,
        cache=cache,
        workers=workers,
        fresh=fresh,
        timeout=timeout,
        engine=engine,
        address=address,
        gpus_per_worker=gpus_per_worker,
        workers_per_node=workers_per_node,
        start_timeout=start_timeout,
        allow_mixed_devices=allow_mixed_devices,
        wait=wait,
        out=out,
        data_root=data_root,
    )
    return run_to_frame(host, arguments, has_progress=progress)


def read_run_arguments(
    *,
    methods: Texts,
    datasets: Texts,
    split: str | None = None,
    categories: Texts | None = None,
    prompts: Texts | None = None,
    localizers: Texts | None = None,
    protocols: Texts = "sd4match",
    alphas: Numbers | None = None,
    timestep: Integers | None = None,
    ensemble: Integers | None = None,
    params: Mapping[str, Any] | None = None,
    train_timestep: bool = False,
    prompt_files: Mapping[str, Any] | None = None,
    trained_on: str | None = None,
    seeds: Integers = 0,
    limit: int | None = None,
    shard: str | None = None,
    weights: Texts = (),
    weights_root: FilePath | None = None,
    device: str = "auto",
    precision: str = "fp32",
    compile: bool = False,
    batch_size: int = 8,
    cache_gb: float = 4.0,
    cache: FilePath | None = None,
    workers: int | None = None,
    fresh: bool = False,
    timeout: float | None = None,
    engine: str = "local",
    address: str | None = None,
    gpus_per_worker: float | None = None,
    workers_per_node: int | None = None,
    start_timeout: float | None = None,
    allow_mixed_devices: bool = False,
    wait: bool = False,
    out: FilePath = "results",
    data_root: FilePath | None = None,
) -> RunArguments:
    """The arguments of `run` as the command has its options. Raises `UserError` for a wrong value."""
    thresholds = values.read_alphas("alphas", alphas) if alphas is not None else None
    if question := large_alphas_question(thresholds or ()):
        warn(f"alphas {question}")
    short = {}
    for name, given in (("timestep", timestep), ("ensemble", ensemble)):
        short[name] = None if given is None else values.read_whole_numbers(name, given, SHORT_NAMES[name])
    return RunArguments(
        methods=values.read_texts("methods", methods),
        datasets=values.read_datasets("datasets", datasets),
        split=split,
        categories=_read_optional("categories", categories),
        prompts=_read_optional("prompts", prompts),
        localizers=_read_optional("localizers", localizers),
        protocols=values.read_texts("protocols", protocols),
        alphas=thresholds,
        timestep=short["timestep"],
        ensemble=short["ensemble"],
        settings=values.read_settings("params", params or {}),
        train_timestep=train_timestep,
        prompt_files=values.read_paths("prompt_files", prompt_files or {}),
        trained_on=trained_on,
        seed=values.read_whole_numbers("seeds", seeds, IntegerRule()),
        limit=None if limit is None else values.read_count("limit", limit, least=1),
        shard=None if shard is None else values.read_shard("shard", shard),
        weights=read_weights(weights),
        weights_root=values.read_path(weights_root) if weights_root else None,
        device=str(device),
        precision=values.read_choice("precision", precision, ("fp32", "bf16", "fp16")),
        compile=compile,
        batch_size=values.read_count("batch_size", batch_size, least=1),
        cache_bytes=values.read_gigabytes("cache_gb", cache_gb),
        cache=values.read_path(cache) if cache else None,
        workers=None if workers is None else values.read_count("workers", workers, least=0),
        fresh=fresh,
        timeout=None if timeout is None else values.read_seconds("timeout", timeout),
        engine=values.read_choice("engine", engine, ("local", "ray")),
        address=address,
        gpus_per_worker=values.read_number("gpus_per_worker", gpus_per_worker, least=0),
        workers_per_node=None
        if workers_per_node is None
        else values.read_count("workers_per_node", workers_per_node, least=1),
        start_timeout=values.read_number("start_timeout", start_timeout, least=1),
        allow_mixed_devices=allow_mixed_devices,
        wait=wait,
        out=values.read_path(out),
        data_root=values.read_data_root(data_root),
    )


def read_weights(value: Texts) -> tuple[str, ...]:
    """Values of `--weights`. A text is one of them: a path may have commas."""
    if isinstance(value, str):
        return (value,)
    weights = tuple(value)
    return values.read_texts("weights", weights) if weights else ()


def _read_optional(name: str, value: Texts | None) -> tuple[str, ...] | None:
    return None if value is None else values.read_texts(name, value)


def run_to_frame(
    host: Host, arguments: RunArguments, *, has_progress: bool, resumes: bool = True
) -> pd.DataFrame:
    """Runs a sweep and returns its leaderboard, as `run` describes it.

    Args:
        resumes: whether what an interrupted run has left of a cell is used.
    """
    from harness.api.run_sweep import run_sweep

    reporter = NoticeReporter(has_progress=has_progress)
    outcome = run_sweep(host, arguments, reporter, resumes=resumes)
    frame = _frame_of_outcome(outcome)
    frame.attrs["cells"] = [str(arguments.out / record.cell.id) for record in outcome.records]
    return frame


def _frame_of_outcome(outcome: RunOutcome) -> pd.DataFrame:
    """The leaderboards of all protocols, one below the other."""
    import pandas as pd

    from harness.api.frames import frame_of

    frames = {protocol: frame_of(table) for protocol, table in outcome.leaderboards.items()}
    if len(frames) == 1:
        return next(iter(frames.values()))
    if not frames:
        # Another process runs all of the cells.
        return pd.DataFrame()
    for protocol, frame in frames.items():
        frame.insert(0, "protocol", protocol)
    joined = pd.concat(frames.values(), ignore_index=True)
    joined.attrs["caption"] = " ".join(frame.attrs["caption"] for frame in frames.values())
    return joined

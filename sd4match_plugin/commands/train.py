"""`bench train`: from names to a tuned prompt."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.options import data_root, number_range, weights
from harness.cli.progress import ProgressBar
from harness.plugins.host import Host
from harness.sweep import DatasetChoice
from sd4match_plugin.tuning.settings import Settings

if TYPE_CHECKING:
    from sd4match_plugin.tuning.job import Job, Request
    from sd4match_plugin.tuning.processes import Processes

Command = TypeVar("Command", bound=Callable[..., Any])

_SEEDS = click.IntRange(0, 2**31 - 1)

_PASSED_ON = (
    *("timestep", "temperature", "kernel", "batch", "steps", "rate", "linear_rate", "rate_decay", "warmup"),
    *("init", "tokens", "ablation", "gate", "recipe", "precision", "seed"),
)
"""Options that are settings of the same name."""


def train_command() -> click.Command:
    """The command `train`."""
    return _train


def _setting(name: str, kind: Any, help_: str) -> Callable[[Command], Command]:
    """An option whose default is the paper's."""
    default = Settings.model_fields[name].default
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=kind,
        default=default,
        show_default=bool(default),
        help=help_,
    )


@click.command("train")
@click.argument("method")
@click.option(
    "--dataset",
    "dataset_name",
    default="shapes",
    show_default=True,
    metavar="NAME|NAME=PATH",
    help="What to tune on.",
)
@click.option("--split", help="Split to train on; the dataset's own otherwise.")
@click.option(
    "--validation-split",
    help="Split that chooses the best prompt; the dataset's own otherwise; 'none' for the newest prompt.",
)
@click.option(
    "--limit-train",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs, evenly spread over the split.",
)
@click.option(
    "--limit-validation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs, evenly spread over the split.",
)
@_setting("timestep", click.IntRange(min=0), "Diffusion timestep of the features.")
@_setting("temperature", number_range, "Of the softmax over the target's cells.")
@_setting("kernel", click.IntRange(min=1), "Side in cells of the Gaussian around the true position; odd.")
@_setting("batch", click.IntRange(min=1), "Pairs of one step, over all processes.")
@_setting("steps", click.IntRange(min=1), "Steps in all.")
@_setting("rate", number_range, "Adam's learning rate.")
@_setting("linear_rate", number_range, "Of the linear layers of sd4match-cpm.")
@_setting(
    "rate_decay", click.Choice(["constant", "cosine"]), "How the rate goes on; constant is the paper's."
)
@_setting("warmup", click.IntRange(min=0), "Steps over which the rate rises.")
@_setting(
    "init",
    click.Choice(["random", "empty", "text"]),
    "Single and Class start from random tokens, '', or 'a photo of a (category)'.",
)
@_setting("tokens", click.IntRange(min=1), "Learned tokens of Single and Class.")
@_setting(
    "ablation",
    str,
    "sd4match-cpm: a case of the paper's Fig. 3(a), such as pair-head, image-patches or no-global.",
)
@_setting(
    "gate",
    click.Choice(["release", "paper"]),
    "sd4match-cpm: tanh(alpha) (position + x), or x alpha + position.",
)
@_setting(
    "recipe",
    click.Choice(["paper", "release"]),
    "Gradients of the whole batch; or the published code's: a third of it, and momentum moves the prompts of absent categories.",
)
@_setting(
    "precision",
    click.Choice(["fp32", "bf16", "fp16"]),
    "Of the frozen networks; the prompt is in single precision.",
)
@_setting("seed", _SEEDS, "Of the start, the order of pairs, and all noise.")
@click.option(
    "--validate-every",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Once in every pass over the pairs, at most every 500 steps.",
)
@click.option(
    "--save-every",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="STEPS",
    help="Steps between checkpoints.",
)
@click.option(
    "--pairs-at-once",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pairs that pass through the U-Net together; fewer need less memory.",
)
@click.option(
    "--checkpointing", is_flag=True, help="Compute the U-Net's activations twice instead of keeping them."
)
@weights
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of this training; prompts/METHOD-DATASET otherwise.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder of what is kept of pictures; 'encoded' beside --out otherwise.",
)
@click.option(
    "--tensorboard/--no-tensorboard",
    default=None,
    help="Scalars for TensorBoard; written where it is installed.",
)
@data_root
@click.pass_obj
def _train(host: Host, /, **options: Any) -> int:
    """Tune the prompt of sd4match-single, sd4match-class or sd4match-cpm on a dataset with keypoints.

    The defaults are the paper's. The networks stay as they are. A training that was interrupted goes on where it stopped when the same
    command is given again. On several GPUs: accelerate launch --multi_gpu -m harness.cli train ...; on several CPU processes, which
    accelerate starts through MPI alone: torchrun --nproc-per-node 2 -m harness.cli train ...
    """
    from harness.environment import device_name
    from sd4match_plugin.tuning.job import known_method
    from sd4match_plugin.tuning.processes import processes
    from sd4match_plugin.tuning.record import wants_tensorboard

    known_method(host, options["method"])
    wants_tensorboard(options["tensorboard"])
    # Read when cuBLAS is first used: sums in a fixed order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with processes(device_name(options["device"])) as mine:
        return _run(host, _request(host, options, mine), options, mine)


def _request(host: Host, options: Mapping[str, Any], mine: Processes) -> Request:
    from harness.weights.choice import WeightChoice
    from sd4match_plugin.tuning.job import Request

    dataset = DatasetChoice.parse(options["dataset_name"])
    name = f"{dataset.name}-{dataset.path.name}" if dataset.path else dataset.name
    out = options["out"] or Path("prompts") / f"{options['method']}-{name}"
    return Request(
        method=options["method"],
        dataset=dataset,
        data_root=options["data_root"],
        weights=WeightChoice.parse(host, options["weights"], options["weights_root"]),
        out=out,
        cache=options["cache"] or out.parent / "encoded",
        device=mine.device,
        settings={name: options[name] for name in _PASSED_ON},
        split=options["split"],
        validation_split=options["validation_split"],
        limit_train=options["limit_train"],
        limit_validation=options["limit_validation"],
        validate_every=options["validate_every"],
        save_every=options["save_every"],
        pairs_at_once=options["pairs_at_once"],
        checkpointing=options["checkpointing"],
    )


def _run(host: Host, request: Request, options: Mapping[str, Any], mine: Processes) -> int:
    from harness.running.clock import StageClock
    from sd4match_plugin.tuning.job import make_job

    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), StageClock()
    with _held(request.out, mine):
        with ProgressBar("image", is_enabled=mine.main) as bar:
            job = make_job(host, request, mine, bar.show, clock, started)
        return _tune(job, options, mine)


@contextmanager
def _held(out: Path, mine: Processes) -> Iterator[None]:
    """The training's folder, kept from other trainings. Raises `UserError` where it cannot be written."""
    from harness.records.folders import lock_folder, make_results_folder

    if not mine.main:
        yield
        return
    make_results_folder(out)
    with lock_folder(out):
        for leftover in out.glob(".*.tmp"):
            leftover.unlink()
        yield


def _tune(job: Job, options: Mapping[str, Any], mine: Processes) -> int:
    from sd4match_plugin.tuning.record import Log, write_record
    from sd4match_plugin.tuning.training import Diverged

    out, settings = job.request.out, job.settings
    _tell_beginning(job, mine)
    log = Log(out, job.resumed, options["tensorboard"]) if mine.main else None
    try:
        with ProgressBar("step", is_enabled=mine.main) as bar:
            bar.show(settings.method, job.resumed, settings.steps)
            job.training.run(
                log, lambda step, loss: bar.show(settings.method, step, settings.steps, f"loss {loss:.3f}")
            )
    except Diverged as error:
        if mine.main:
            write_record(out, job.describe("stopped"))
            click.echo(f"bench: {error}", err=True)
        return 1
    finally:
        if log:
            log.close()
    if mine.main:
        write_record(out, job.describe("finished"))
        _tell_end(job, options)
    return 0


def _tell_beginning(job: Job, mine: Processes) -> None:
    """What a user should know before hours of work, on stderr."""
    if not mine.main:
        return
    index = job.data.index
    if index.broken:
        first = next(iter(index.broken.values()))
        click.echo(
            f"bench: {len(index.broken)} of {len(index.pair_ids)} pairs cannot be read and are left out; the first: {first}",
            err=True,
        )
    if job.data.validation_index is None:
        click.echo("bench: no validation split; the newest prompt counts as the best", err=True)


def _tell_end(job: Job, options: Mapping[str, Any]) -> None:
    """Where the prompt is, how good, and how to evaluate it, on stdout."""
    from sd4match_plugin.prompts.prompt_file import BEST
    from sd4match_plugin.tuning.validation import ALPHA

    settings, history, path = job.settings, job.training.history, job.request.out / BEST
    pck = history.pck(history.best)
    told = (
        f"validation PCK@{ALPHA} {pck:.2f} at step {history.best}"
        if pck is not None
        else f"not validated, step {job.training.step}"
    )
    click.echo(f"{path} ({told})")
    words = ["bench", "run", "--methods", settings.method, "--datasets", options["dataset_name"]]
    words += ["--prompt-file", f"{settings.method}={path}"]
    words += [word for one in options["weights"] for word in ("--weights", one)]
    if options["weights_root"]:
        words += ["--weights-root", str(options["weights_root"])]
    if options["data_root"] != Path("data"):
        words += ["--data-root", str(options["data_root"])]
    click.echo(shlex.join(words))

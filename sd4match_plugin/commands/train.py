"""`bench train`: from names to a tuned prompt."""

from __future__ import annotations

import copy
import functools
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import data_root, positive_number, typed_arguments, weights
from harness.cli.progress import ProgressBar
from harness.cli.terminal import print_warning
from harness.errors import NotWritten
from harness.messages import OncePerSubject
from harness.plugins.host import Host
from harness.sweep import DatasetChoice
from harness.training.file_names import BEST
from sd4match_plugin.tuning.settings import USER_SETTINGS, Settings

if TYPE_CHECKING:
    from sd4match_plugin.tuning.job import Job, Request
    from sd4match_plugin.tuning.processes import Processes

Command = TypeVar("Command", bound=Callable[..., Any])

_SEEDS = click.IntRange(0, 2**31 - 1)


def train_command(method: str) -> click.Command:
    """The command that tunes the prompt of a method."""
    command = copy.copy(_train)
    assert _train.callback is not None
    command.callback = functools.partial(_train.callback, method=method)
    return command


def default_setting(name: str) -> Any:
    """The paper's value of a setting."""
    return Settings.model_fields[name].default


@dataclass(frozen=True, kw_only=True)
class SharedArguments:
    """The options that `bench train` and `bench ablation` share, after parsing. The help text of each says
    what it is for.
    """

    dataset: str
    split: str | None
    validation_split: str | None
    limit_train: int | None
    limit_validation: int | None
    timestep: int
    temperature: float
    kernel: int
    batch: int
    steps: int
    rate: float
    linear_rate: float
    rate_decay: str
    warmup: int
    gate: str
    recipe: str
    precision: str
    seed: int
    validate_every: int | None
    save_every: int
    pairs_at_once: int | None
    checkpointing: bool
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    cache: Path | None
    tensorboard: bool | None
    data_root: Path

    @property
    def dataset_choice(self) -> DatasetChoice:
        """The dataset, and where it lies if the user says so."""
        return DatasetChoice.parse(self.dataset)

    def evaluation_options(self, method: str, prompt_files: Sequence[Path]) -> list[str]:
        """Options of the `bench run` that evaluates tuned prompts on the same data, with the same weights."""
        words = ["--methods", method, "--datasets", self.dataset_choice.in_list]
        for path in prompt_files:
            words += ["--prompt-file", f"{method}={path}"]
        for text in self.weights:
            words += ["--weights", text]
        if self.weights_root:
            words += ["--weights-root", str(self.weights_root)]
        if self.data_root != Path("data"):
            words += ["--data-root", str(self.data_root)]
        return words


@dataclass(frozen=True, kw_only=True)
class TrainArguments(SharedArguments):
    """All options of `bench train`, after parsing."""

    method: str
    init: str = default_setting("init")
    tokens: int = default_setting("tokens")
    ablation: str = default_setting("ablation")
    out: Path | None = None

    @property
    def folder(self) -> Path:
        """The training's folder."""
        if self.out:
            return self.out
        dataset = self.dataset_choice
        name = f"{dataset.name}-{dataset.path.name}" if dataset.path else dataset.name
        return Path("prompts") / f"{self.method}-{name}"

    def request(self, host: Host, device: str) -> Request:
        """The training that is asked for, on a process's device. Raises `UserError` for unknown weights."""
        from harness.weights.choice import WeightChoice
        from sd4match_plugin.tuning.job import Request

        return Request(
            method=self.method,
            dataset=self.dataset_choice,
            data_root=self.data_root,
            weights=WeightChoice.parse(host, self.weights, self.weights_root),
            out=self.folder,
            cache=self.cache or self.folder.parent / "encoded",
            device=device,
            settings={name: getattr(self, name) for name in USER_SETTINGS},
            split=self.split,
            validation_split=self.validation_split,
            limit_train=self.limit_train,
            limit_validation=self.limit_validation,
            validate_every=self.validate_every,
            save_every=self.save_every,
            pairs_at_once=self.pairs_at_once,
            checkpointing=self.checkpointing,
        )


def _setting(
    name: str, kind: Any, help_: str, *, flag: str = "", old: Sequence[str] = ()
) -> Callable[[Command], Command]:
    """An option whose default is the paper's; `flag` where it is not called as the setting."""
    default = default_setting(name)
    return option(
        flag or f"--{name.replace('_', '-')}",
        name,
        old=old,
        type=kind,
        default=default,
        show_default=bool(default),
        help=help_,
    )


@click.command(
    "prompts",
    epilog=examples(
        "bench train sd4match-class --steps 100 --batch-size 4",
        "bench train sd4match-cpm --dataset spair-71k --data-root data --weights paper",
    ),
)
@option(
    "--dataset", default="shapes", show_default=True, metavar="NAME|NAME=PATH", help="Dataset to tune on."
)
@option("--split", help="Split to train on; the dataset's own otherwise.")
@option(
    "--validation-split",
    help="Split that chooses the best prompt; the dataset's own otherwise; 'none' for the newest prompt.",
)
@option(
    "--limit-train",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs, spread over the categories.",
)
@option(
    "--limit-validation",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only N pairs, spread over the categories.",
)
@_setting("timestep", click.IntRange(min=0), "Diffusion timestep of the features.")
@_setting("temperature", positive_number, "Of the softmax over the target's positions.")
@_setting("kernel", click.IntRange(min=1), "Side in positions of the Gaussian around the true one; odd.")
@_setting(
    "batch",
    click.IntRange(min=1),
    "Pairs of one step, over all processes.",
    flag="--batch-size",
    old=("--batch",),
)
@_setting("steps", click.IntRange(min=1), "Steps in all.")
@_setting("rate", positive_number, "Adam's learning rate.")
@_setting("linear_rate", positive_number, "Of the linear layers of sd4match-cpm.")
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
    "Gradients of the whole batch; or the published code's: a third of it, "
    "and momentum moves the prompts of absent categories.",
)
@_setting(
    "precision",
    click.Choice(["fp32", "bf16", "fp16"]),
    "Of the frozen networks; the prompt is in single precision.",
)
@_setting("seed", _SEEDS, "Of the start, the order of pairs, and all noise.")
@option(
    "--validate-every",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Once in every pass over the pairs, at most every 500 steps.",
)
@option(
    "--save-every",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="STEPS",
    help="Steps between checkpoints.",
)
@option(
    "--pairs-at-once",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pairs that pass through the U-Net together; fewer need less memory.",
)
@option(
    "--checkpointing", is_flag=True, help="Compute the U-Net's activations twice instead of keeping them."
)
@weights
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of this training; prompts/METHOD-DATASET otherwise.",
)
@option(
    "--cache-dir",
    "cache",
    old=("--cache",),
    type=click.Path(path_type=Path),
    help="Folder of encoded pictures; 'encoded' beside --out otherwise.",
)
@option(
    "--tensorboard/--no-tensorboard",
    default=None,
    help="Scalars for TensorBoard; written where it is installed.",
)
@data_root
@typed_arguments(TrainArguments)
def _train(host: Host, arguments: TrainArguments) -> int:
    """Tune the prompt of sd4match-single, sd4match-class or sd4match-cpm on a dataset with keypoints.

    The defaults are the paper's. The networks stay as they are. A training that was interrupted goes on where
    it stopped when the same command is given again. On several GPUs: accelerate launch --multi_gpu -m
    harness.cli train ...; on several CPU processes, which accelerate starts through MPI alone: torchrun
    --nproc-per-node 2 -m harness.cli train ...
    """
    return run_training(host, arguments)


def run_training(host: Host, arguments: TrainArguments) -> int:
    """Tunes a prompt, or goes on with it; returns the exit status, 1 where the loss is not finite.

    Raises:
        UserError: the method has nothing to tune, data or weights are missing, or settings contradict each
            other.
        NotWritten: the disk is full or the like; the last checkpoint is kept.
    """
    from harness.environment import device_name
    from harness.training.log import wants_tensorboard
    from sd4match_plugin.tuning.job import check_method
    from sd4match_plugin.tuning.processes import join_processes

    check_method(host, arguments.method)
    wants_tensorboard(arguments.tensorboard)
    # cuBLAS reads this when it is first used; its sums are then in a fixed order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    with join_processes(device_name(arguments.device)) as processes:
        request = arguments.request(host, processes.device)
        with _lock(request.out) if processes.is_main else nullcontext():
            job = _prepare(host, request, processes)
            return _tune(job, arguments, processes)


def _lock(folder: Path) -> AbstractContextManager[None]:
    from harness.training.folder import lock_training

    return lock_training(folder, OncePerSubject(print_warning))


def _prepare(host: Host, request: Request, processes: Processes) -> Job:
    from harness.running.clock import StageClock
    from sd4match_plugin.tuning.job import make_job

    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = StageClock()
    with ProgressBar("image", is_enabled=processes.is_main) as bar:
        bar.show(request.method, 0, None)
        bar.note("reading the dataset and loading weights")
        return make_job(host, request, processes, bar.show, clock, started)


def _tune(job: Job, arguments: TrainArguments, processes: Processes) -> int:
    from harness.training.data import notes_on_data
    from harness.training.log import Log
    from harness.training.record import write_record
    from harness.training.steps import Diverged, describe_kept

    folder, settings = job.request.out, job.settings
    log = None
    if processes.is_main:
        for note in notes_on_data(job.data, "prompt"):
            print_warning(note)
        log = Log(folder, job.resumed, arguments.tensorboard)
    try:
        with ProgressBar("step", is_enabled=processes.is_main) as bar:
            bar.show(settings.method, job.resumed, settings.steps)

            def show(step: int, loss: float) -> None:
                bar.show(settings.method, step, settings.steps, f"loss {loss:.3f}")

            job.training.run(log, show)
    except Diverged as error:
        if processes.is_main:
            write_record(folder, job.describe("stopped"))
            click.echo(f"bench: {error}", err=True)
        return 1
    except NotWritten as error:
        error.kept = describe_kept(job.training.saved)
        # Small, it may fit where a checkpoint does not.
        with suppress(NotWritten):
            write_record(folder, job.describe("stopped"))
        raise
    finally:
        if log:
            log.close()
    if processes.is_main:
        write_record(folder, job.describe("finished"))
        _print_result(job, arguments)
    return 0


def _print_result(job: Job, arguments: TrainArguments) -> None:
    """Prints the prompt's path and validation PCK, and the command that evaluates it, on stdout."""
    from sd4match_plugin.tuning.validation import ALPHA

    history, path = job.training.history, job.request.out / BEST
    pck = history.pck(history.best)
    result = f"not validated, step {job.training.step}"
    if pck is not None:
        result = f"validation PCK@{ALPHA} {pck:.2f} at step {history.best}"
    click.echo(f"{path} ({result})")
    options = arguments.evaluation_options(job.settings.method, [path])
    click.echo(shlex.join(["bench", "run", *options]))

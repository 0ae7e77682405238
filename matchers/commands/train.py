"""`bench train` for matchers: from names to a file of weights."""

from __future__ import annotations

import copy
import functools
import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import data_root, positive_number, typed_arguments, weights
from harness.cli.progress import ProgressBar
from harness.cli.terminal import print_warning
from harness.errors import NotWritten, UserError
from harness.messages import OncePerSubject
from harness.plugins.host import Host
from harness.sweep import DatasetChoice
from harness.training.file_names import BEST
from matchers.training.objectives import MODULES

if TYPE_CHECKING:
    from matchers.training.job import Job, Request
    from matchers.training.settings import Recipe

_RECIPES = {"auto": None, "published": "published", "small": "small"}


def train_command(
    method: str,
    modules: Mapping[str, str] = MODULES,
    weights: str = "--weights resnet101=resnet101.pth",
) -> click.Command:
    """The command that trains a method's network.

    Args:
        modules: method -> the module with its objective.
        weights: the option of the last example that names what such a training starts from.
    """
    command = copy.copy(_train)
    assert _train.callback is not None
    command.callback = functools.partial(_train.callback, method=method, modules=modules)
    command.epilog = examples(
        f"bench train {method} --steps 100 --limit-train 500",
        f"bench train {method} --dataset spair-71k --data-root data {weights}",
    )
    return command


@dataclass(frozen=True, kw_only=True)
class TrainArguments:
    """The options of `bench train` for matchers, after parsing. The help text of each says what it is for."""

    method: str
    modules: Mapping[str, str]
    dataset: str
    split: str | None
    validation_split: str | None
    limit_train: int | None
    limit_validation: int | None
    defaults: str
    steps: int | None
    batch: int | None
    rate: float | None
    backbone_rate: float | None
    settings: tuple[str, ...]
    seed: int
    validate_every: int | None
    save_every: int
    weights: tuple[str, ...]
    weights_root: Path | None
    device: str
    out: Path | None
    tensorboard: bool | None
    data_root: Path

    @property
    def dataset_choice(self) -> DatasetChoice:
        """The dataset, and where it lies if the user says so."""
        return DatasetChoice.parse(self.dataset)

    @property
    def folder(self) -> Path:
        """The training's folder."""
        if self.out:
            return self.out
        dataset = self.dataset_choice
        name = f"{dataset.name}-{dataset.path.name}" if dataset.path else dataset.name
        return Path("trained") / f"{self.method}-{name}"

    def request(self, host: Host, device: str) -> Request:
        """The training that is asked for. Raises `UserError` for unknown weights, and for a wrong --set."""
        from harness.training.data import DataRequest
        from harness.weights.choice import WeightChoice
        from matchers.training.job import Request

        recipe: Recipe | None = _RECIPES[self.defaults]  # type: ignore[assignment]
        return Request(
            method=self.method,
            modules=self.modules,
            data=DataRequest(
                dataset=self.dataset_choice,
                data_root=self.data_root,
                split=self.split,
                validation_split=self.validation_split,
                limit_train=self.limit_train,
                limit_validation=self.limit_validation,
            ),
            weights=WeightChoice.parse(host, self.weights, self.weights_root),
            out=self.folder,
            device=device,
            recipe=recipe,
            changes={
                "steps": self.steps,
                "batch": self.batch,
                "rate": self.rate,
                "backbone_rate": self.backbone_rate,
            },
            options=_read_settings(self.settings),
            seed=self.seed,
            validate_every=self.validate_every,
            save_every=self.save_every,
        )

    def evaluation(self, method: str, source: str, path: Path) -> list[str]:
        """The words of the `bench run` that evaluates the trained weights on the same data."""
        words = ["bench", "run", "--methods", method, "--datasets", self.dataset_choice.in_list]
        words += ["--weights", f"{source}={path}"]
        for text in self.weights:
            words += ["--weights", text]
        if self.weights_root:
            words += ["--weights-root", str(self.weights_root)]
        if self.data_root != Path("data"):
            words += ["--data-root", str(self.data_root)]
        return words


def _read_settings(texts: tuple[str, ...]) -> dict[str, str]:
    """Reads the values of --set. Raises `UserError`."""
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise UserError(f"--set {text}: expected NAME=VALUE")
        if values.setdefault(name.strip(), value.strip()) != value.strip():
            raise UserError(f"--set {name} is given twice; give it once")
    return values


@click.command("matchers")
@option(
    "--dataset", default="shapes", show_default=True, metavar="NAME|NAME=PATH", help="Dataset to train on."
)
@option("--split", help="Split to train on; the dataset's own otherwise.")
@option(
    "--validation-split",
    help="Split that chooses the best step; the dataset's own otherwise; 'none' for the newest step.",
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
@option(
    "--defaults",
    type=click.Choice(list(_RECIPES)),
    default="auto",
    show_default=True,
    help="Settings that hold where no option says otherwise: the authors', or small ones. auto takes the "
    "small ones where the training starts from bundled weights.",
)
@option("--steps", type=click.IntRange(min=1), help="Steps in all.")
@option("--batch-size", "batch", old=("--batch",), type=click.IntRange(min=1), help="Pairs of one step.")
@option("--rate", type=positive_number, help="Learning rate of the head.")
@option(
    "--backbone-rate",
    type=click.FloatRange(min=0, max=1e6),
    help="Learning rate of the backbone; 0 leaves it as it is.",
)
@option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    shell_complete=None,
    help="Any other setting, also the method's own; an unknown name lists them. Repeatable.",
)
@option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    help="Of the start, the order of pairs, and all other random numbers.",
)
@option(
    "--validate-every",
    type=click.IntRange(min=1),
    metavar="STEPS",
    help="Steps between validations; five over the whole training otherwise.",
)
@option(
    "--save-every",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="STEPS",
    help="Steps between checkpoints.",
)
@weights
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of this training; trained/METHOD-DATASET otherwise.",
)
@option(
    "--tensorboard/--no-tensorboard",
    default=None,
    help="Scalars for TensorBoard; written where it is installed.",
)
@data_root
@typed_arguments(TrainArguments)
def _train(host: Host, arguments: TrainArguments) -> int:
    """Train a method's network on a dataset, by its authors' loss.

    The training starts from a backbone's weights, and writes a file with the names of the authors' tensors.
    Validation measures that file as 'bench run' does. A training that was interrupted goes on where it
    stopped when the same command is given again, and ends in the same bytes.
    """
    return run_training(host, arguments)


def run_training(host: Host, arguments: TrainArguments) -> int:
    """Trains a network, or goes on with it; returns the exit status, 1 where the loss is not finite.

    Raises:
        UserError: the method has nothing to train, data or weights are missing, or settings contradict each
            other.
        NotWritten: the disk is full or the like; the last checkpoint is kept.
    """
    from harness.environment import device_name
    from harness.training.folder import lock_training
    from harness.training.log import wants_tensorboard

    wants_tensorboard(arguments.tensorboard)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("matchers are trained by one process; start without accelerate launch or torchrun")
    # cuBLAS reads this when it is first used; its sums are then in a fixed order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    request = arguments.request(host, device_name(arguments.device))
    with lock_training(request.out, OncePerSubject(print_warning)):
        return _train_to_the_end(_prepare(host, request), arguments)


def _prepare(host: Host, request: Request) -> Job:
    from matchers.training.job import make_job

    started = datetime.now(UTC).isoformat(timespec="seconds")
    with ProgressBar("step") as bar:
        bar.show(request.method, 0, None)
        bar.note("reading the dataset and loading weights")
        return make_job(host, request, started)


def _train_to_the_end(job: Job, arguments: TrainArguments) -> int:
    from harness.training.data import notes_on_data
    from harness.training.log import Log
    from harness.training.record import write_record
    from harness.training.steps import Diverged, describe_kept

    folder, settings = job.request.out, job.settings
    for note in notes_on_data(job.data, "step"):
        print_warning(note)
    log = Log(folder, job.resumed, arguments.tensorboard)
    try:
        with ProgressBar("step") as bar:
            bar.show(settings.method, job.resumed, settings.steps)

            def show(step: int, loss: float) -> None:
                bar.show(settings.method, step, settings.steps, f"loss {loss:.3f}")

            job.training.run(log, show)
    except Diverged as error:
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
        log.close()
    write_record(folder, job.describe("finished"))
    _print_result(job, arguments)
    return 0


def _print_result(job: Job, arguments: TrainArguments) -> None:
    """Prints the file and its validation PCK, and the command that evaluates it, on stdout."""
    from matchers.training.validation import ALPHA

    history, path = job.training.history, job.request.out / BEST
    pck = history.pck(history.best)
    result = f"not validated, step {job.training.step}"
    if pck is not None:
        before: Any = history.pck(0)
        begun = f", {before:.2f} untrained" if before is not None else ""
        result = f"validation PCK@{ALPHA} {pck:.2f} at step {history.best}{begun}"
    click.echo(f"{path} ({result})")
    click.echo(shlex.join(arguments.evaluation(job.settings.method, job.objective.source, path)))

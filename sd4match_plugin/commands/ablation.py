"""`bench ablation`: the six cases of SD4Match's Fig. 3(a), tuned and evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import click

from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import typed_arguments
from harness.cli.run import run
from harness.cli.verbosity import print_information
from harness.errors import UserError
from harness.plugins.host import Host
from harness.training.file_names import BEST
from sd4match_plugin.commands.train import SharedArguments, TrainArguments, run_training, train_command

METHOD = "sd4match-cpm"

_SHARED = frozenset(field.name for field in fields(SharedArguments))
"""Options of `bench train` that this command takes as well; it sets the others itself."""


@dataclass(frozen=True, kw_only=True)
class AblationArguments(SharedArguments):
    """The options of `bench ablation`, after parsing."""

    out: Path
    results: Path
    test_split: str | None

    def training(self, case: str) -> TrainArguments:
        """The training of one case. Cases share the folder of encoded pictures."""
        shared = {name: getattr(self, name) for name in _SHARED}
        shared["cache"] = self.cache or self.out / "encoded"
        return TrainArguments(**shared, method=METHOD, ablation=case, out=self.out / case)

    def evaluation(self, prompt_files: Sequence[Path]) -> list[str]:
        """Options of the `bench run` that compares the cases."""
        words = self.evaluation_options(METHOD, prompt_files)
        words += ["--data-root", str(self.data_root), "--out", str(self.results)]
        words += ["--device", self.device, "--precision", self.precision, "--seed", str(self.seed)]
        if self.test_split:
            words += ["--split", self.test_split]
        return words


def ablation_command() -> click.Command:
    """The command `ablation`, which takes the options of `bench train sd4match-cpm`."""
    return _ablation


@click.command(
    "ablation",
    short_help="Tune and compare the variants of sd4match-cpm.",
    epilog=examples(
        "bench ablation --limit-train 20 --steps 10",
        "bench ablation --dataset pf-pascal --data-root data --weights paper",
    ),
)
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("prompts/ablation"),
    show_default=True,
    help="Folder of the trainings, one a case.",
)
@option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results/ablation"),
    show_default=True,
    help="Results folder of the comparison.",
)
@option("--test-split", help="Split to compare on; the dataset's own otherwise.")
@typed_arguments(AblationArguments)
def _ablation(host: Host, arguments: AblationArguments) -> int:
    """Tune the six cases of the conditional prompting module in SD4Match's Fig. 3(a), evaluate them and print
    the table.

    Cases: patches or the head token of DINOv2, of the image pair or of each image alone; without the global
    tokens; without the layer over patches. All are tuned alike. Given again, the command goes on where it was
    stopped.
    """
    from sd4match_plugin.prompts.cpm import ABLATION

    _check(host, arguments)
    prompt_files: list[Path] = []
    failed = 0
    for number, case in enumerate(ABLATION, start=1):
        print_information(f"{number}/{len(ABLATION)} {case}")
        # A case that diverges does not stop the others; its best prompt so far is compared, too.
        failed |= run_training(host, arguments.training(case))
        best = arguments.out / case / BEST
        if best.is_file():
            prompt_files.append(best)
    if not prompt_files:
        return 1
    status = _compare(arguments, prompt_files)
    return failed or status


_ablation.params += [option for option in train_command(METHOD).params if option.name in _SHARED]


def _check(host: Host, arguments: AblationArguments) -> None:
    """Raises `UserError` for a mistake that would end hours of tuning."""
    from sd4match_plugin.tuning.processes import count_processes

    if count_processes() > 1:
        raise UserError(
            "bench ablation is for one process; "
            "on several, tune each case with 'bench train sd4match-cpm --ablation CASE'"
        )
    dataset = host.datasets[arguments.dataset_choice.name]
    split = arguments.test_split
    if split and split not in dataset.splits:
        raise UserError(
            f"--test-split {split}: dataset '{dataset.name}' has the splits {', '.join(dataset.splits)}"
        )


def _compare(arguments: AblationArguments, prompt_files: Sequence[Path]) -> int:
    """Evaluates the prompts of all cases as `bench run` does, and prints its table."""
    context = run.make_context("run", arguments.evaluation(prompt_files), parent=click.get_current_context())
    # A dataset's path may hold commas, which separate datasets on the command line.
    context.params["datasets"] = (arguments.dataset,)
    status: int = run.invoke(context)
    return status

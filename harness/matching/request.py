"""The options of a match, and the cell of a run that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.files import with_home
from harness.plugins.host import Host
from harness.running.plan import plan
from harness.specs import NO_PROMPT, Scalar
from harness.sweep import Cell, DatasetChoice, Sweep, prompt_choices


@dataclass(frozen=True, kw_only=True)
class MatchRequest:
    """The method that finds the points, and its options; `match` describes each of them."""

    method: str
    category: str = ""
    prompt: str | None = None
    localizer: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    prompt_file: Path | None = None
    trained_on: str | None = None
    weights: Sequence[str] = ()
    weights_root: Path | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"


def cell_of_request(host: Host, request: MatchRequest) -> Cell:
    """The method as a cell of a run. Raises `UserError` where its options do not fit together."""
    method = host.methods[request.method]
    file = request.prompt_file
    # `bench run` passes over a combination that does not fit; here it is the only one.
    if request.prompt and not host.extractors[method.extractor].prompt_kinds:
        raise UserError(f"--prompt {request.prompt}: method {method.name} takes no prompt")
    if file and request.trained_on:
        raise UserError(
            f"--trained-on {request.trained_on}: --prompt-file {file} already names the prompt; "
            "give one of them"
        )
    # None: the method's own.
    prompts, prompt_files = prompt_choices((request.prompt,)) if request.prompt else (None, {})
    localizers = (request.localizer,) if request.localizer else None
    overrides = {name: (value,) for name, value in request.params.items()}
    if file:
        prompt_files[method.name] = (with_home(file),)
    sweep = Sweep(
        methods=(method.name,),
        # One pair of the user's photos is a dataset of that kind.
        datasets=(DatasetChoice("folder"),),
        prompts=prompts,
        localizers=localizers,
        seeds=(request.seed,),
        overrides=overrides,
        prompt_files=prompt_files,
        trained_on=request.trained_on,
    )
    cells = plan(sweep, host)
    # A value may be a range, such as `1..9:2`, of which the plan makes several cells.
    if len(cells) > 1:
        raise UserError("--set: bench match takes one value of each parameter; 'bench run' sweeps several")
    cell = cells[0]
    # The user's photos have no category unless it is given, and a prompt would name none in silence.
    if not request.category:
        subject = _needs_category(host, cell)
        if subject:
            raise UserError(
                f"{subject} needs a category: give --category NAME, the kind of object in both images"
            )
    return cell


def _needs_category(host: Host, cell: Cell) -> str:
    """The prompt or method that depends on the category, for a message; empty where neither does."""
    if cell.prompt != NO_PROMPT and host.prompts[cell.prompt].scope == "category":
        return f"prompt '{cell.prompt}'"
    if host.extractors[cell.extractor].scope == "category":
        return f"method {cell.method}"
    return ""

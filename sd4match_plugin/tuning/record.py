"""The files of a training besides prompts: `record.json`, `log.jsonl`, and scalars for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pydantic

from harness.errors import UserError
from harness.files import parse_json, replacing, writing
from sd4match_plugin.file_names import LOG, RECORD, TENSORBOARD
from sd4match_plugin.tuning.settings import Settings

SCHEMA = 1


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class LossAt(_Model):
    """Mean loss of the steps since the milestone before."""

    step: int
    loss: float


class PckAt(_Model):
    """PCK of the validation pairs, in percent."""

    step: int
    pck: float


class TrainingRecord(_Model):
    """The making of a prompt, as `record.json` holds it."""

    schema_: int = pydantic.Field(default=SCHEMA, alias="schema")
    kind: Literal["training"] = "training"
    status: Literal["finished", "stopped"]
    """`stopped`: interrupted, or the loss was not finite; the checkpoint goes on from the last step saved."""
    settings: Settings
    step: int
    """Steps done."""
    trained_parameters: int
    train_pairs: int
    validation_pairs: int
    train_images: int
    losses: list[LossAt]
    validation: list[PckAt]
    best_step: int | None
    """Null without validation: the newest prompt then counts as the best."""
    weights: dict[str, dict[str, str]]
    """Weight source -> file -> sha256."""
    weight_origins: dict[str, str] = {}
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    hardware: dict[str, str]
    device: str
    processes: int
    pairs_at_once: int
    """Pairs that passed through the U-Net at once in each process."""
    checkpointing: bool
    encoded_images: int
    """Pictures that this run had to encode; the others were in the cache."""
    started: str
    """Start of the last run, in UTC."""
    seconds: dict[str, float]
    """Stage -> seconds, over all runs that this one went on from."""
    seconds_per_step: float | None
    peak_memory_bytes: int
    """High-water mark of the first process's memory."""
    gpu_peak_memory_bytes: int | None


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Writes `record.json`, whole or not at all."""
    with replacing(folder / RECORD) as file:
        file.write(record.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


class Log:
    """Numbers of a training at some of its steps: one JSON object a line, and the same for TensorBoard.

    Args:
        resumed_at: the step that a training goes on from; lines of a killed run beyond it are dropped.
        tensorboard: True asks for it, None uses it where it is installed.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, resumed_at: int, tensorboard: bool | None) -> None:
        self._folder, self._path = folder, folder / LOG
        self._drop_beyond(resumed_at)
        self._board: Any = None
        if wants_tensorboard(tensorboard):
            from torch.utils.tensorboard import SummaryWriter

            purge_step = resumed_at + 1 if resumed_at else None
            with writing(folder / TENSORBOARD):
                self._board = SummaryWriter(str(folder / TENSORBOARD), purge_step=purge_step)

    def _drop_beyond(self, step: int) -> None:
        content = ""
        if self._path.exists():
            # Whatever a disk has made of a line, the others are kept.
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                line_step = _step(line)
                if line_step is not None and line_step <= step:
                    content += f"{line}\n"
        with replacing(self._path) as file:
            file.write(content.encode())

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Adds a line with the numbers of a step, counted from 1. Raises `NotWritten`."""
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        if self._board:
            with writing(self._folder / TENSORBOARD):
                for name, value in numbers.items():
                    self._board.add_scalar(name.replace("_", " "), value, step)

    def close(self) -> None:
        """Lets TensorBoard write its last numbers. Raises `NotWritten`."""
        if self._board:
            with writing(self._folder / TENSORBOARD):
                self._board.close()


def wants_tensorboard(asked: bool | None) -> bool:
    """Returns True if scalars are written for TensorBoard: None for `asked` means, where it is installed.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """
    is_installed = find_spec("tensorboard") is not None
    if asked and not is_installed:
        raise UserError(
            "--tensorboard: the package is not installed; 'pip install tensorboard' gets it, "
            "log.jsonl has the same numbers"
        )
    return is_installed if asked is None else asked


def _step(line: str) -> int | None:
    """The step of a line; None for a line that a kill cut short, or that is damaged otherwise."""
    try:
        step = parse_json(line)["step"]
    except (KeyError, TypeError, ValueError):
        return None
    return step if type(step) is int else None

"""What a training leaves behind besides prompts: `record.json`, `log.jsonl`, and TensorBoard's scalars where that is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pydantic

from harness.errors import UserError
from harness.files import replacing
from sd4match_plugin.tuning.settings import Settings

SCHEMA = 1

RECORD, LOG, TENSORBOARD = "record.json", "log.jsonl", "tensorboard"


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
    """How a prompt was made."""

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
    """UTC, of the last run."""
    seconds: dict[str, float]
    """Stage -> seconds, over all runs that this one went on from."""
    seconds_per_step: float | None
    peak_memory_bytes: int
    """High-water mark of the first process's memory."""
    gpu_peak_memory_bytes: int | None


def write_record(folder: Path, record: TrainingRecord) -> None:
    """Puts `record.json` in place, whole."""
    with replacing(folder / RECORD) as file:
        file.write(record.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


class Log:
    """One JSON object a line, and the same numbers for TensorBoard.

    Args:
        first: the step that a training goes on from; what a killed one noted beyond it is dropped.
        tensorboard: True asks for it, None takes it where it is installed.

    Raises:
        UserError: TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, first: int, tensorboard: bool | None) -> None:
        self._path = folder / LOG
        self._drop_beyond(first)
        self._board: Any = None
        if wants_tensorboard(tensorboard):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / TENSORBOARD), purge_step=first + 1 if first else None)

    def _drop_beyond(self, step: int) -> None:
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if (noted := _step(line)) is not None and noted <= step]
        with replacing(self._path) as file:
            file.write("".join(f"{line}\n" for line in kept).encode())

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Notes numbers at a step, counted from 1."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
        if self._board:
            for name, value in numbers.items():
                self._board.add_scalar(name.replace("_", " "), value, step)

    def close(self) -> None:
        """Writes what TensorBoard has not written yet."""
        if self._board:
            self._board.close()


def wants_tensorboard(asked: bool | None) -> bool:
    """Whether to write for TensorBoard. Raises `UserError` where it is asked for and not installed."""
    there = find_spec("tensorboard") is not None
    if asked and not there:
        raise UserError(
            "--tensorboard: the package is not installed; 'pip install tensorboard' gets it, log.jsonl has the same numbers"
        )
    return there if asked is None else asked


def _step(line: str) -> int | None:
    """The step of a line; None for one that a kill cut short."""
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        return None

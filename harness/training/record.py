"""What the record of every training says, and the file `record.json` that it lies in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydantic

from harness.files import replacing
from harness.training.file_names import RECORD

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


class TrainingFacts(_Model):
    """The facts of a training that do not depend on what was trained."""

    schema_: int = pydantic.Field(default=SCHEMA, alias="schema")
    kind: Literal["training"] = "training"
    status: Literal["finished", "stopped"]
    """`stopped`: interrupted, or the loss was not finite; the checkpoint goes on from the last step saved."""
    step: int
    """Steps done."""
    trained_parameters: int
    train_pairs: int
    validation_pairs: int
    train_images: int
    losses: list[LossAt]
    validation: list[PckAt]
    best_step: int | None
    """Null without validation: the newest step then counts as the best."""
    weights: dict[str, dict[str, str]]
    """Weight source -> file -> sha256."""
    weight_origins: dict[str, str] = {}
    versions: dict[str, str]
    commit: str | None
    dirty: bool | None
    hardware: dict[str, str]
    device: str
    started: str
    """Start of the last run, in UTC."""
    seconds: dict[str, float]
    """Stage -> seconds, over all runs that this one went on from."""
    seconds_per_step: float | None
    peak_memory_bytes: int
    """High-water mark of the first process's memory."""
    gpu_peak_memory_bytes: int | None


def write_record(folder: Path, record: TrainingFacts) -> None:
    """Writes `record.json`, whole or not at all."""
    with replacing(folder / RECORD) as file:
        file.write(record.model_dump_json(by_alias=True, indent=1).encode() + b"\n")

"""The state of a training on disk: written whole or not at all, read without running anything in the file."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from harness.errors import UserError
from harness.files import replacing
from harness.messages import first_line
from sd4match_plugin.file_names import CHECKPOINT
from sd4match_plugin.tuning.settings import Settings, refuse_changed_settings

MESSAGE_LIMIT = 160
"""Characters of a library's message that are repeated in ours."""


@dataclass
class History:
    """Losses, validations and times of a training so far.

    Attributes:
        recent: losses of the steps since the last line of the log.
        losses: (step, mean loss of the steps before it), at the log's lines.
        validation: (step, PCK in percent).
        best: step of the best PCK; None before the first validation.
        seconds: stage -> seconds, over all runs.
    """

    recent: list[float] = field(default_factory=list)
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def pck(self, step: int | None) -> float | None:
        """The PCK of the validation at a step; None for a step without one."""
        return dict(self.validation).get(step) if step is not None else None


@dataclass(frozen=True, eq=False)
class State:
    """Everything that a step depends on besides (settings, step).

    Attributes:
        step: steps done.
        module, optimizer, scaler: their `state_dict`.
        best: the module's state at the best step, None before the first validation.
    """

    step: int
    module: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]
    best: Mapping[str, torch.Tensor] | None
    history: History


def save(folder: Path, settings: Settings, state: State) -> None:
    """Writes `checkpoint.pt`, whole or not at all."""
    content = {**vars(state), "history": asdict(state.history), "settings": settings.model_dump_json()}
    with replacing(folder / CHECKPOINT) as file:
        torch.save(content, file)


def load(folder: Path, settings: Settings, device: str) -> State | None:
    """Reads the state of the training in a folder; None where it has not begun.

    Raises:
        UserError: the checkpoint is damaged, or was made with other settings; the message names the first
            that differs.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        # weights_only: a file from elsewhere must not run code.
        content = torch.load(path, weights_only=True, map_location=device)
        earlier = Settings.model_validate_json(content.pop("settings"))
        state = State(**{**content, "history": History(**content["history"])})
    except (
        OSError,
        RuntimeError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
    ) as error:
        reason = first_line(error, MESSAGE_LIMIT)
        raise UserError(
            f"{path}: cannot be read as a checkpoint ({reason}); "
            "remove it to begin anew, or choose another --out"
        ) from error
    refuse_changed_settings(str(path), earlier, settings)
    return state

"""The state of a training on disk: written whole or not at all, read without running anything in the file.

`checkpoint.pt` is what `torch.save` writes, a zip archive, whose comment holds a sha256 of all before it:
file and hash are one write, and every changed bit is found.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pydantic
import torch

from harness.errors import UserError
from harness.files import replacing
from harness.messages import first_line
from harness.networks.tensor_files import PICKLE_ERRORS, load_pickle
from harness.training.file_names import CHECKPOINT
from harness.training.settings import ResumableSettings, refuse_changed_settings

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


def save(folder: Path, settings: ResumableSettings, state: State) -> None:
    """Writes `checkpoint.pt`, whole or not at all."""
    content = {
        **vars(state),
        "history": asdict(state.history),
        "settings": settings.model_dump_json(),
        "sealed": True,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with replacing(folder / CHECKPOINT) as file:
        file.write(_with_seal(buffer.getvalue()))


def load(folder: Path, settings: ResumableSettings, device: str) -> State | None:
    """Reads the state of the training in a folder; None where it has not begun.

    Raises:
        UserError: the checkpoint is damaged, or was made with other settings; the message names the first
            that differs.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        archive, is_sealed = _without_seal(path.read_bytes())
        content = load_pickle(io.BytesIO(archive), device)
        # Those of earlier versions have no seal. One that says it has, and shows none, is damaged there.
        if content.pop("sealed", False) and not is_sealed:
            raise ValueError(_CHANGED)
        earlier = type(settings).model_validate_json(content.pop("settings"))
        state = State(**{**content, "history": _HISTORY.validate_python(content["history"])})
        _check_kinds(state)
    except PICKLE_ERRORS as error:
        reason = first_line(error, MESSAGE_LIMIT)
        raise UserError(
            f"{path}: cannot be read as a checkpoint ({reason}); "
            "remove it to begin anew, or choose another --out"
        ) from error
    refuse_changed_settings(str(path), earlier, settings)
    return state


_HISTORY = pydantic.TypeAdapter(History)


def _check_kinds(state: State) -> None:
    """Raises `ValueError` for a state that no training has, as damage to a file without a hash leaves it."""
    networks = [state.module] if state.best is None else [state.module, state.best]
    if not all(isinstance(network, Mapping) for network in (*networks, state.optimizer, state.scaler)):
        raise ValueError("a part of it is no dictionary")
    tensors = [tensor for network in networks for tensor in network.values()]
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        raise ValueError("a network has something else than tensors")
    if type(state.step) is not int or state.step < 0:
        raise ValueError("it does not say how many steps were made")


_NO_COMMENT = b"\0\0"
"""The last bytes of a zip archive without a comment: its length."""

_SEAL = b"sha256 "

_CHANGED = "its content is not what was written"


def _with_seal(archive: bytes) -> bytes:
    """A zip archive with the sha256 of its bytes as its comment, which programs that read zip files skip."""
    if not archive.endswith(_NO_COMMENT):
        raise ValueError("a zip archive without a comment is expected")
    comment = _SEAL + hashlib.sha256(archive).hexdigest().encode()
    return archive.removesuffix(_NO_COMMENT) + len(comment).to_bytes(2, "little") + comment


def _without_seal(content: bytes) -> tuple[bytes, bool]:
    """The archive as it was sealed, and whether it was. Raises `ValueError` where its bytes have changed."""
    length = len(_SEAL) + 64
    start = len(content) - length - len(_NO_COMMENT)
    head, size, comment = content[: max(start, 0)], content[max(start, 0) : -length], content[-length:]
    if not comment.startswith(_SEAL):
        return content, False
    archive = head + _NO_COMMENT
    expected = _SEAL + hashlib.sha256(archive).hexdigest().encode()
    if comment != expected or size != length.to_bytes(2, "little"):
        raise ValueError(_CHANGED)
    return archive, True

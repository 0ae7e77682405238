"""Numbers of a training line by line: `log.jsonl`, and scalars for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.files import parse_json, replacing, writing
from harness.training.file_names import LOG, TENSORBOARD


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

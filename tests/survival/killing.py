"""Kills of a command at random instants, and what must hold afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from support.commands import command
from support.warm_bench import PATIENCE, Ended, Kill, WarmBench, orphans_of

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

KILLS = 30
"""Of each signal and each command."""

every_kill = pytest.mark.parametrize(
    ("number", "count"),
    [
        pytest.param(number, count, id=f"{number.name}-{count}")
        for number in SIGNALS
        for count in range(KILLS)
    ],
)

every_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
"""Of processes that begin as any command does, which takes seconds."""

Left = Mapping[str, object]
"""What a command leaves: name -> bytes, or what is read of a file whose bytes tell the time."""

INTERRUPTED = "; the same command goes on where it stopped"
"""End of the one line that says that a command was interrupted."""


@dataclass
class Scene:
    """A command that can be killed, and what it leaves when nothing happens to it.

    Args:
        warm: runs it.
        start: a folder as it is before the command.
        words: the command, in a copy of that folder.
        read: folder -> what the command has left in it.
        environment: variables of the command.
    """

    warm: WarmBench
    start: Path
    words: Sequence[object]
    read: Callable[[Path], Left]
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        warm_up = self.start.with_name(f"{self.start.name}-warm-up")
        shutil.copytree(self.start, warm_up)
        self.warm.warm_up(*self.words, folder=warm_up, environment=self.environment)
        folder = self.start.with_name(f"{self.start.name}-whole")
        shutil.copytree(self.start, folder)
        self.whole = self.run(folder)
        assert self.whole.status == 0, self.whole
        self.expected = self.read(folder)
        self.files = _names(folder)

    def run(self, folder: Path, kill: Kill | None = None) -> Ended:
        """Runs the command in a folder."""
        return self.warm(*self.words, folder=folder, kill=kill, environment=dict(self.environment))

    def draw(self, number: signal.Signals, count: int, instants: Random) -> Kill:
        """A kill at a random step or, every other, after a random time; every third of the whole group."""
        to_group = count % 3 == 2
        if count % 2:
            return Kill(number, after=instants.uniform(0, self.whole.seconds), to_group=to_group)
        return Kill(number, at_step=instants.randint(1, self.whole.steps), to_group=to_group)

    def check(self, kill: Kill, folder: Path) -> None:
        """Kills the command in a copy of the start, runs it again, and compares with an undisturbed run."""
        shutil.copytree(self.start, folder)
        self._compare(kill, self.run(folder, kill), folder)

    def check_begun_anew(self, number: signal.Signals, instants: Random, folder: Path) -> None:
        """The same of a process that is begun as any command is, and killed once it listens to signals."""
        shutil.copytree(self.start, folder)
        kill = Kill(number, after=instants.uniform(0, 10), to_group=True)
        outputs = [folder.with_name(name) for name in ("out", "err")]
        with outputs[0].open("w") as out, outputs[1].open("w") as err:
            environment = {**self.warm.environment, **self.environment}
            process = subprocess.Popen(
                command(*self.words),
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
            begin = time.monotonic()
            _wait_for_handlers(process)
            with suppress(subprocess.TimeoutExpired):
                process.wait(kill.after)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            status = process.wait(PATIENCE)
        texts = [path.read_text(errors="replace") for path in outputs]
        orphans = tuple(orphans_of(process.pid))
        # Steps are not counted: -1.
        self._compare(kill, Ended(status, *texts, -1, time.monotonic() - begin, orphans), folder)

    def _compare(self, kill: Kill, killed: Ended, folder: Path) -> None:
        explanation = f"{kill}: {killed}"
        check_end(kill, killed, self.whole, explanation)
        again = self.run(folder)
        explanation += f"\nagain: {again}"
        assert again.status == 0, explanation
        assert not again.orphans, explanation
        left = self.read(folder)
        assert set(left) == set(self.expected), explanation
        for name, content in self.expected.items():
            assert left[name] == content, f"{name}\n{explanation}"
        assert _names(folder) == self.files, explanation


def _wait_for_handlers(process: subprocess.Popen) -> None:
    """Waits until a process has a handler of SIGTERM: before, Python is beginning, and ends as it likes."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.005)


def check_end(kill: Kill, killed: Ended, whole: Ended, explanation: str) -> None:
    """Checks how a command ended that was killed: by the signal or with its status, in one line."""
    assert not killed.orphans, explanation
    if kill.number == signal.SIGKILL:
        assert killed.status in (-signal.SIGKILL, 0), explanation
        return
    told = [line for line in killed.err.splitlines() if line.endswith(INTERRUPTED)]
    if killed.status == -kill.number or (killed.status == 128 + kill.number and not told):
        # While Python itself was beginning or ending. For a shell, these are the same status.
        assert killed.steps == 0 or killed.out == whole.out, explanation
        return
    assert killed.status in (128 + kill.number, 0), explanation
    assert "Traceback" not in killed.err, explanation
    assert "Exception ignored" not in killed.err, explanation
    assert len(told) == (killed.status != 0), explanation
    assert all(line.startswith("bench: ") for line in killed.err.splitlines()), explanation


def _names(folder: Path) -> list[str]:
    """Every file and folder below, the hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def read_results(results: Path) -> dict[str, object]:
    """Predictions of every cell as bytes, and its record without what tells time and machine."""
    left: dict[str, object] = {}
    for path in sorted(results.glob("*/predictions.parquet")):
        left[f"{path.parent.name} predictions"] = path.read_bytes()
    for path in sorted(results.glob("*/record.json")):
        left[f"{path.parent.name} record"] = read_record(path)
    return left


def read_record(path: Path) -> dict:
    """A record without its seal, and of its provenance what does not tell time and machine."""
    record = json.loads(path.read_text())
    del record["sealed"]
    provenance = record.get("provenance")
    if provenance:
        names = ("plugins", "weights", "weight_origins", "manifest", "precision", "batch_size")
        record["provenance"] = {name: provenance[name] for name in names}
    return record

"""`bench ...` in processes of their own that begin within milliseconds, and can be killed at any step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socketpair
from typing import Any

import psutil
from support.paths import ROOT

PATIENCE = 900.0
"""Seconds after which a command counts as hanging, or a process as left behind: many, for a busy machine."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: its exit status; minus the signal that ended it.
        steps: number of steps it made: files, locks, connections, processes.
        seconds: how long it took.
        orphans: processes that it left behind and that did not end by themselves.
    """

    status: int
    out: str
    err: str
    steps: int
    seconds: float
    orphans: tuple[str, ...]

    def __str__(self) -> str:
        return f"status {self.status} after {self.steps} steps, {self.seconds:.2f} s\n{self.out}{self.err}"


@dataclass(frozen=True)
class Kill:
    """A signal, and when it comes: just before a step, or after some seconds.

    Attributes:
        to_group: whether all processes of the command get it, as Ctrl-C and batch systems do it.
    """

    number: signal.Signals
    at_step: int | None = None
    after: float | None = None
    to_group: bool = False

    def __str__(self) -> str:
        place = f"step {self.at_step}" if self.at_step is not None else f"{self.after:.3f} s"
        return f"{self.number.name} at {place}{' to all its processes' if self.to_group else ''}"

    def request(self) -> dict[str, object]:
        values: dict[str, object] = {"signal": int(self.number), "to_group": self.to_group}
        if self.at_step is not None:
            values["kill_at"] = self.at_step
        if self.after is not None:
            values["kill_after"] = self.after
        return values


class WarmBench:
    """Runs commands one after another, each in a fork of a process that has imported all of it.

    Args:
        folder: where outputs gather for a moment.
        environment: variables besides this process's own.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        own, remote = socketpair()
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        with remote:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "support.warm_server", str(remote.fileno())],
                pass_fds=[remote.fileno()],
                env=self.environment,
            )
        self._own, self._lines = own, own.makefile("rw", encoding="utf-8")

    def close(self) -> None:
        """Ends the process that forks."""
        self._lines.close()
        self._own.close()
        self._server.wait()

    def warm_up(self, *words: object, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        """Runs a command within the process that forks; those that come after need not import and read
        what it did. Without `--workers`: a process that has processes of its own cannot be forked.
        """
        request = {**self._request(words, folder), "warm_up": True}
        request["environment"] |= environment or {}
        assert self._ask(request)["status"] == 0, words

    def __call__(
        self,
        *words: object,
        folder: Path,
        kill: Kill | None = None,
        environment: Mapping[str, str] | None = None,
        **more,
    ) -> Ended:
        """Runs `bench ...` in a folder, below which its steps are counted.

        Args:
            more: `setup` (`module:function`, called in the process before the command), `setup_arguments`,
                `limits` (name of a limit of the process -> its value).
        """
        request = {**self._request(words, folder), **(kill.request() if kill else {}), **more}
        request["environment"] |= environment or {}
        (ended,) = self._run([request])
        return ended

    def together(
        self, commands: Sequence[Sequence[object]], folder: Path, environment: Mapping[str, str] | None = None
    ) -> list[Ended]:
        """Runs several commands in one folder at the same time."""
        requests = []
        for number, words in enumerate(commands):
            request = self._request(words, folder)
            request["environment"] |= environment or {}
            request |= {key: f"{path}-{number}" for key, path in self._outputs.items()}
            requests.append(request)
        return self._run(requests)

    def _run(self, requests: Sequence[dict]) -> list[Ended]:
        endings = []
        for request, answer in zip(requests, self._ask({"together": list(requests)}), strict=True):
            out, err = (Path(request[key]).read_text(errors="replace") for key in ("out", "err"))
            orphans = tuple(orphans_of(answer["pid"]))
            endings.append(Ended(answer["status"], out, err, answer["steps"], answer["seconds"], orphans))
        return endings

    @property
    def _outputs(self) -> dict[str, str]:
        return {key: str(self.folder / key) for key in ("out", "err")}

    def _request(self, words: Sequence[object], folder: Path) -> dict:
        return {
            "words": [str(word) for word in words],
            "folder": str(folder),
            "root": str(folder),
            "environment": dict(self.environment),
            "patience": PATIENCE,
            **self._outputs,
        }

    def _ask(self, request: dict) -> Any:
        self._lines.write(json.dumps(request) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())


def orphans_of(session: int, patience: float = 120.0) -> list[str]:
    """Processes of a session that has lost its leader, and that do not end by themselves in time."""
    end = time.monotonic() + patience
    while processes := processes_of(session):
        if time.monotonic() > end:
            return [" ".join(process.info["cmdline"] or [process.info["name"]]) for process in processes]
        time.sleep(0.01)
    return []


def processes_of(session: int) -> list[psutil.Process]:
    """The processes of a session that are not yet dead."""
    processes = []
    for process in psutil.process_iter(["name", "cmdline", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except (ProcessLookupError, PermissionError):
            continue
    return processes

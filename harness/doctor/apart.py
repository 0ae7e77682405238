"""An examination in a copy of this process: whatever a plugin's code does to it, its findings stand.

The copy sends a line for each check that it begins and for each finding. Where it ends before its last one,
or is silent for too long, the check that it began last is the culprit.
"""

from __future__ import annotations

import faulthandler
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, NoReturn

from harness.doctor.examine import Circumstances, examine
from harness.doctor.findings import Finding, on_check
from harness.errors import BenchError, SeveralErrors, UserError
from harness.isolation.origin import traceback_of
from harness.messages import whole_message
from harness.plugins.host import Host

PREPARATION = "what it needs can be found"
"""What comes before the first check: weights, pictures, and the code that names them."""

_PATIENCE = 5.0
"""Seconds that a copy has to end after its last word."""


class Examination:
    """An examination that goes on in a copy of this process.

    Attributes:
        subject: kind and name of what is examined, for the head of a table, once the copy has said it.
    """

    def __init__(self, name: str, process: int, messages: int) -> None:
        self.subject = name
        self._process, self._messages = process, messages
        self._has_ended = False

    def findings(self, seconds: float) -> Iterator[Finding]:
        """Yields the findings as they come.

        Args:
            seconds: longest that one check may take.

        Raises:
            UserError: nothing has that name, or weights that it needs are missing.
        """
        check = PREPARATION
        for message in self._received(seconds):
            if message is None:
                yield Finding(check, "failed", f"no result after {seconds:g} s (--time-limit){_REST}")
                return
            kind, value = message
            if kind == "subject":
                self.subject = value
            elif kind == "check":
                check = value
            elif kind == "finding":
                yield Finding(**value)
            elif kind == "refused":
                raise SeveralErrors(value) if len(value) > 1 else UserError(value[0])
            else:
                return
        yield Finding(check, "failed", f"{self._death()}{_REST}")

    def _received(self, seconds: float) -> Iterator[tuple[str, Any] | None]:
        """Yields the copy's messages until it ends; None where one does not come in time."""
        waiting, deadline = b"", time.monotonic() + seconds
        while True:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._messages], [], [], left)[0]:
                yield None
                return
            content = os.read(self._messages, 1 << 16)
            if not content:
                return
            *lines, waiting = (waiting + content).split(b"\n")
            for line in lines:
                # The plugin's code may write to any descriptor that it finds.
                with suppress(ValueError, TypeError):
                    kind, value = json.loads(line)
                    deadline = time.monotonic() + seconds
                    yield kind, value

    def _death(self) -> str:
        """The way in which the copy ended."""
        status = self._wait(_PATIENCE)
        if status is None:
            return "it closed the files of the process"
        if status < 0:
            name = signal.Signals(-status).name
            cause = {"SIGSEGV": "a fault in C code", "SIGKILL": "for want of memory, perhaps"}.get(name, "")
            return f"the process was killed by {name}{f' ({cause})' if cause else ''}"
        return f"it ended the process with exit status {status} (os._exit, or the like)"

    def _wait(self, seconds: float) -> int | None:
        """The exit status of the copy, less than 0 for a signal; None where it goes on."""
        deadline = time.monotonic() + seconds
        while True:
            process, status = os.waitpid(self._process, os.WNOHANG)
            if process:
                self._has_ended = True
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                return None
            time.sleep(0.01)

    def close(self) -> None:
        """Ends the copy, with all processes that it began."""
        os.close(self._messages)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process, signal.SIGKILL)
        if not self._has_ended:
            os.waitpid(self._process, 0)


_REST = "; the checks after it were not made"


def can_be_copied() -> bool:
    """Says whether a copy of this process could do all that it can: CUDA works in one process alone."""
    torch = sys.modules.get("torch")
    return torch is None or not torch.cuda.is_initialized()


@contextmanager
def examining(host: Host, name: str, circumstances: Circumstances, seconds: float) -> Iterator[Examination]:
    """Begins an examination in a copy of this process, which is ended with the context.

    Args:
        seconds: longest that one check may take; a copy that is left alone ends itself then, too.
    """
    receiver, sender = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        # What waits would be printed by both.
        stream.flush()
    process = os.fork()
    if process == 0:
        os.close(receiver)
        _examine_and_exit(host, name, circumstances, sender, seconds)
    # By both, since nobody knows who comes first.
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(process, process)
    os.close(sender)
    examination = Examination(name, process, receiver)
    try:
        yield examination
    finally:
        examination.close()


def _examine_and_exit(
    host: Host, name: str, circumstances: Circumstances, sender: int, seconds: float
) -> NoReturn:
    """Examines, sends what is found, and ends this copy without what the process does at its end."""
    status = 1
    try:
        # Signals of the terminal are for the other process, which ends this one.
        os.setpgid(0, 0)
        # Whatever is printed, by C code too: stdout belongs to the findings. Nobody answers questions.
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        torch = sys.modules.get("torch")
        if torch is not None:
            # Threads of the process are not in its copy, and OpenMP would wait for them.
            torch.set_num_threads(1)

        def begin(check: str) -> None:
            # Where nobody is left who would end this process.
            faulthandler.dump_traceback_later(seconds + _PATIENCE, exit=True, file=nothing)
            _send(sender, "check", check)

        begin(PREPARATION)
        on_check.set(begin)
        _send_findings(host, name, circumstances, sender)
        status = 0
    finally:
        os._exit(status)


def _send(sender: int, kind: str, value: object) -> None:
    content = json.dumps([kind, value]).encode() + b"\n"
    while content:
        content = content[os.write(sender, content) :]


def _send_findings(host: Host, name: str, circumstances: Circumstances, sender: int) -> None:
    try:
        subject, findings = examine(host, name, circumstances)
        _send(sender, "subject", subject)
        for finding in findings:
            _send(sender, "finding", asdict(finding))
    except SeveralErrors as error:
        _send(sender, "refused", error.lines)
    except UserError as error:
        _send(sender, "refused", [str(error)])
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error is the finding
        traceback = "" if isinstance(error, BenchError) else traceback_of(error)
        _send(sender, "finding", asdict(Finding(PREPARATION, "failed", whole_message(error), traceback)))
    _send(sender, "done", None)

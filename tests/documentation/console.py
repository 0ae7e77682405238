"""Commands of a page, run one after another in one folder, and what they print."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import venv
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT

SECONDS = 300
"""Time that a command of a page may take."""


class Command(NamedTuple):
    """A command of a block, and the lines of output that the page shows below it."""

    text: str
    expected: list[str]


def split_commands(source: str) -> list[Command]:
    """Takes a block apart: lines after `$ `, each with its output, or one command a line without output."""
    lines = source.replace("\\\n", "").splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return [Command(line, []) for line in lines if line.strip() and not line.startswith("#")]
    commands: list[Command] = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(Command(line.removeprefix("$ "), []))
        elif commands:
            commands[-1].expected.append(line)
    return commands


def is_same(expected: list[str], output: str) -> bool:
    """Says whether an output is what a page shows; `...` is any text, alone on a line any lines."""
    pattern = []
    for line in "\n".join(expected).strip().splitlines():
        if line.strip() == "...":
            pattern.append(r"(?:.*\n)*?")
        else:
            pattern.append(".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"\n")
    lines = "".join(f"{line.rstrip()}\n" for line in output.strip().splitlines())
    return re.fullmatch("".join(pattern), lines) is not None


class Shell:
    """A shell in a folder: the folder and the variables that a command leaves are the next one's.

    `bench`, `python` and `pip` are of a virtual environment of the page's own, on top of this one, so that a
    page may install its plugin.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "page"
        self.folder.mkdir()
        self._state = folder / "state"
        self._environment = folder / "environment"
        _make_environment(self._environment)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
        variables |= {
            "PATH": f"{self._environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            # The order of both streams is that of a terminal.
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "110",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "HF_HUB_OFFLINE": "1",
            # Nothing is fetched: what a page's own package needs is in the environment below.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        variables.pop("VIRTUAL_ENV", None)
        self._variables = variables

    def run(self, command: str) -> tuple[int, str]:
        """Runs a command. Returns its exit status and what it printed, errors too."""
        state = shlex.quote(str(self._state))
        script = (
            f"if [ -f {state} ]; then . {state}; fi\n{command}\nstatus=$?\n"
            f'{{ export -p; echo cd "$(printf %q "$PWD")"; }} > {state}; exit $status'
        )
        # In a group of its own, so that what a command has started can be ended with it.
        with subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                return process.returncode, f"{output}\nended after {SECONDS} s: too long for a page\n"
        return process.returncode, output


def _make_environment(folder: Path) -> None:
    """Makes an environment that has all packages of this one, and can get more."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    # Not the paths alone: their own `.pth` files count, too.
    lines = [f"import site; site.addsitedir({path!r})" for path in sys.path if path.endswith("site-packages")]
    (packages / "parent.pth").write_text("\n".join(lines), encoding="utf-8")
    for name, module in (("bench", "harness.cli"), ("pip", "pip")):
        script = folder / "bin" / name
        script.write_text(
            f'#!/bin/sh\nexec "{folder / "bin" / "python"}" -m {module} "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)

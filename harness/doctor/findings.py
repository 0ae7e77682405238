"""What a check found, and the loop that makes checks one after another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from os import environ, pathsep
from typing import Any, Literal, TypeVar

from harness.errors import BenchError
from harness.isolation.origin import traceback_of
from harness.messages import whole_message
from harness.plugins.host import Host
from harness.plugins.registry import Plugin

CHEAP = "the plugin's import is cheap"

HEAVY = ("torch", "pandas", "transformers", "diffusers")
"""Packages that importing a plugin must not import."""

_IMPORTED = "imported:"
"""What a fresh process says behind the import of a plugin."""

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Finding:
    """Result of one check."""

    check: str
    result: Literal["ok", "failed", "skipped", "warned"]
    detail: str = ""
    traceback: str = ""


on_check: ContextVar[Callable[[str], None]] = ContextVar("on_check", default=lambda check: None)
"""Called with the name of each check before it is made."""


class Failed(BenchError):
    """A check that is not passed."""


class Skipped(BenchError):
    """A check that does not apply."""


class Warned(BenchError):
    """A check that says how good something is, and not that it is wrong."""


def make_checks(checks: Mapping[str, Callable[[Subject], str]], subject: Subject) -> Iterator[Finding]:
    """Makes every check of a subject in turn.

    Args:
        checks: name -> check, which returns a detail, or raises with one.
    """
    for name, check in checks.items():
        on_check.get()(name)
        try:
            yield Finding(name, "ok", check(subject))
        except Skipped as error:
            yield Finding(name, "skipped", str(error))
        except Warned as error:
            yield Finding(name, "warned", str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's error is the finding
            traceback = "" if isinstance(error, Failed) else traceback_of(error)
            yield Finding(name, "failed", whole_message(error), traceback)


def check_import(host: Host, plugin: Plugin) -> str:
    """Imports a plugin's module in a fresh process.

    Returns:
        The module's name.

    Raises:
        Failed: it imports a heavy package, or cannot be imported.
        Skipped: the plugin is not a module.
    """
    module = getattr(host.manager.get_plugin(plugin.name), "__name__", None)
    if module is None or module == "__main__":
        raise Skipped("the plugin is not a module")
    # In a process of its own: this one has imported torch already.
    code = f"import sys, {module}; print('{_IMPORTED}', *(name for name in {HEAVY} if name in sys.modules))"
    # It looks for modules where this one does, such as in the folder that tests are run from.
    variables = {**environ, "PYTHONPATH": pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=variables,
    )
    if done.returncode:
        # The last line of a traceback is the error itself.
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise Failed(f"import {module} fails in a fresh process: {lines[-1]}")
    # The import may print, too.
    _, is_imported, heavy = done.stdout.rpartition(_IMPORTED)
    if not is_imported:
        raise Failed(f"import {module} ends the process, with exit status 0")
    if heavy.strip():
        raise Failed(f"import {module} imports {', '.join(heavy.split())}; import it in make")
    return str(module)


def are_equal(value: Any, other: Any) -> bool:
    """Says whether two values of a plugin, such as texts, tensors or lists of them, are the same."""
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(are_equal, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(are_equal(value[key], other[key]) for key in value)
    is_equal = value == other
    # Arrays and tensors compare element by element, and one of another shape may raise or give False.
    return bool(is_equal.all()) if hasattr(is_equal, "all") else bool(is_equal)

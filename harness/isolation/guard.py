"""The door through which plugins' code is called.

The settings of the process are read before and put back after, also where an error or an interrupt ends the
code. Whatever the code set for itself is in place again when code of the same owner runs the next time, so
that its numbers are what it gets alone and the numbers of others are not changed. A change is told once.
"""

from __future__ import annotations

import builtins
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Any

from harness.errors import BenchError
from harness.isolation.escapes import as_error, end_copy, may_pass
from harness.isolation.first_import import watching_imports
from harness.isolation.interpreter import BUILTIN_NAMES, put_builtin_names
from harness.isolation.origin import remember_origin
from harness.isolation.output import printing_to_stderr
from harness.isolation.owner import Owner, is_plain
from harness.isolation.reads import noting_reads, tell_reads
from harness.isolation.settings import (
    ABSENT,
    ENVIRONMENT,
    changes,
    group_of,
    read_values,
    write_values,
)
from harness.isolation.torch_settings import STREAM, first_stream
from harness.isolation.visit import Visit
from harness.messages import listed

_visits: list[Visit] = []
"""The calls that have not returned, the outermost first."""


def running_code_of(owner: Owner, *, redirects: bool = True) -> _Call:
    """Runs a plugin's code, within `with`: its own settings are in place before, those of the process after.

    Args:
        redirects: whether what it prints goes to stderr. A command's output is meant for stdout.

    Raises:
        BenchError: a setting of the process cannot be put back, or the code raises what ends a process, as
            `sys.exit` does.
    """
    return _Call(owner, redirects)


class _Call:
    """A call of a plugin's code. No built-in name is used while they may be the plugin's own."""

    def __init__(self, owner: Owner, redirects: bool) -> None:
        self._owner, self._process = owner, os.getpid()
        self._settings = _settings_of(owner, redirects)

    def __enter__(self) -> None:
        self._names = vars(builtins).copy()
        visit = self._settings.__enter__()
        if visit.names is not None:
            put_builtin_names(visit.names)
        self._visit = visit

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._visit.names = put_builtin_names(self._names)
        if os.getpid() != self._process:
            end_copy(self._owner.name)
        return self._settings.__exit__(kind, error, trace)


@contextmanager
def _settings_of(owner: Owner, redirects: bool) -> Iterator[Visit]:
    """Puts settings in place and back."""
    if _visits and _visits[-1].owner.plugin is owner.plugin:
        # Its code calls us, and we call it: it is inside already.
        with noting_reads(owner.reads):
            yield Visit(owner, {})
        _tell_reads(owner)
        return
    visit = Visit(owner, read_values())
    _visits.append(visit)
    changed: dict[str, Any] = {}
    try:
        with (
            noting_reads(owner.reads),
            watching_imports(_visits),
            printing_to_stderr() if redirects else nullcontext(),
        ):
            entered = _enter(visit)
            try:
                yield visit
            except BaseException as error:
                remember_origin(error, owner.name)
                # Of a command `sys.exit` is the exit status.
                is_status = isinstance(error, SystemExit) and not redirects
                if is_status or may_pass(error):
                    raise
                # It would end the run, and without a word.
                raise as_error(error, owner.name) from error
            finally:
                changed = _leave(visit, entered)
    finally:
        _visits.remove(visit)
        _tell(visit, changed)
        _tell_reads(owner)


def _enter(visit: Visit) -> Mapping[str, Any]:
    """Puts an owner's settings in place. Returns all settings as its code finds them."""
    owner = visit.owner
    # Within another plugin's code, the process's own settings are those from before that one was called.
    wanted = {**visit.before, **_visits[0].before}
    if STREAM in wanted:
        # As a process begins: numbers of code that draws must not depend on who drew before.
        wanted.update(first_stream())
    wanted |= {**owner.inherited(), **owner.own}
    missing = changes(visit.before, wanted)
    # Last of all: from then on nothing of ours may run.
    visit.names = missing.pop(BUILTIN_NAMES, None)
    own_names = {} if visit.names is None else {BUILTIN_NAMES: visit.names}
    if not missing:
        return {**visit.before, **own_names}
    for label, error in write_values(missing):
        # Its working directory is gone, or the like; its own code will say what it lacks.
        owner.own.pop(label, None)
        _log(f"plugin '{owner.name}': {label} cannot be set for it again ({error})")
    if all(group_of(label).is_stream for label in missing):
        return {**visit.before, **missing, **own_names}
    # One setting may have changed others.
    return {**read_values(), **own_names}


def _leave(visit: Visit, entered: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps what the code set for its owner, and puts the process's settings back.

    Returns:
        The settings that the code changed, with their new values.
    """
    owner, after = visit.owner, read_values()
    # They have been put back already.
    own_names = {} if visit.names is None else {BUILTIN_NAMES: visit.names}
    # Settings of a module that the code imported are known as they were right after its import.
    changed = changes({**visit.before, **entered}, {**after, **own_names})
    reference = {**visit.before, **owner.inherited()}
    for label, value in changed.items():
        if not group_of(label).is_kept:
            continue
        if reference.get(label, ABSENT) == value:
            owner.own.pop(label, None)
        else:
            owner.own[label] = value
    for label, error in write_values(changes(after, visit.before)):
        raise BenchError(
            f"plugin '{owner.name}' set {label}, which cannot be put back ({error}); the numbers of others "
            f"would not be right: mend the plugin, or keep it out with --no-plugin {owner.name}"
        )
    return changed


def _tell(visit: Visit, changed: Mapping[str, Any]) -> None:
    """Tells the user of changes, each kind once for a plugin."""
    owner, phrases, is_kept = visit.owner, [], True
    for label, value in changed.items():
        group = group_of(label)
        if not group.is_told or label in owner.told or label in visit.quiet:
            continue
        owner.told.add(label)
        phrases.append(_phrase(label, value))
        is_kept = is_kept and group.is_kept
    if phrases:
        outcome = "it holds for that plugin alone" if is_kept else "it was put back"
        _log(f"plugin '{owner.name}' set {listed(phrases)}; {outcome}")


def _tell_reads(owner: Owner) -> None:
    if owner.reads is not None:
        tell_reads(owner.name, owner.reads.uncovered(owner.loading), owner.told)


def _phrase(label: str, value: Any) -> str:
    # Variables may hold secrets; handlers and the like have no value to read.
    if label.startswith(ENVIRONMENT):
        return f"the {label}"
    if value is None or not is_plain(value):
        return label
    return f"{label} to {str(value).removeprefix('torch.')}"


def _log(message: str) -> None:
    logging.getLogger(__name__).warning("bench: %s", message)

"""The process-wide settings that are put back after a plugin's code has run."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.isolation.interpreter import (
    read_folder,
    read_interpreter,
    read_limits,
    read_locale,
    read_signals,
    read_traces,
    write_folder,
    write_interpreter,
    write_limits,
    write_locale,
    write_signals,
    write_traces,
)
from harness.isolation.torch_modes import (
    read_hooks,
    read_modes,
    reading_without_modes,
    write_hooks,
    write_modes,
    writing_without_modes,
)
from harness.isolation.torch_settings import (
    read_precision,
    read_streams,
    read_switches,
    write_precision,
    write_streams,
    write_switches,
)

Values = Mapping[str, Any]
"""Label of a setting, as messages name it -> its value. A variable that is not set has no entry."""

ABSENT = object()
"""Stands for a setting without a value, such as an environment variable that is not set."""

ENVIRONMENT = "environment variable "


@dataclass(frozen=True)
class Group:
    """Settings that are read and written together.

    Attributes:
        read: the present values, by label.
        write: puts some of them, by label, in place; `ABSENT` takes a setting away.
        module: they exist once it has been imported; empty for those that are always there.
        is_told: whether users learn of a change. Libraries change the others all the time.
        is_kept: whether a plugin finds its own values again when its code runs the next time.
        is_stream: whether the values are states of random generators.
    """

    read: Callable[[], Values]
    write: Callable[[Values], None]
    module: str = ""
    is_told: bool = True
    is_kept: bool = True
    is_stream: bool = False


@reading_without_modes()
def read_values() -> dict[str, Any]:
    """Returns the values of all settings of the process, by label."""
    values: dict[str, Any] = {}
    for group in GROUPS:
        if not group.module or _is_ready(group.module):
            values.update(read_group(group))
    return values


def _is_ready(name: str) -> bool:
    """Says whether a module has been imported to its end: before that it lacks what is asked of it."""
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


def read_group(group: Group) -> Values:
    """Returns the values of a group, by label."""
    values = group.read()
    for label in values:
        _GROUPS_BY_LABEL.setdefault(label, group)
    return values


_GROUPS_BY_LABEL: dict[str, Group] = {}


def group_of(label: str) -> Group:
    """The group of a setting that has been read."""
    return _GROUPS_BY_LABEL[label]


def changes(values: Values, others: Values) -> dict[str, Any]:
    """Returns the settings that have other values in `others`, with those.

    A setting that only one of the two has belongs to a module that has just been imported, and is no change;
    but for environment variables, which come and go.
    """
    changed: dict[str, Any] = {}
    for label in dict.fromkeys([*values, *others]):
        old, new = values.get(label, ABSENT), others.get(label, ABSENT)
        if old is new or old == new:
            continue
        if label.startswith(ENVIRONMENT) or (old is not ABSENT and new is not ABSENT):
            changed[label] = new
    return changed


def write_values(values: Values) -> Iterator[tuple[str, Exception]]:
    """Puts settings in place. Yields those that could not be written."""
    for group in GROUPS:
        wanted = {label: value for label, value in values.items() if group_of(label) is group}
        if not wanted:
            continue
        try:
            with writing_without_modes(values):
                group.write(wanted)
        except Exception as error:  # noqa: BLE001 - the settings of many libraries; the caller reports it
            yield next(iter(wanted)), error


_environment_seen: tuple[dict[bytes, bytes], Values] = ({}, {})


def _read_environment() -> Values:
    global _environment_seen  # noqa: PLW0603 - of this process, as the environment is
    # Without decoding every variable at every call: most are called with the one that was there before.
    raw = os.environb.__dict__["_data"]
    if raw != _environment_seen[0]:
        values = {ENVIRONMENT + name: value for name, value in os.environ.items()}
        _environment_seen = (dict(raw), values)
    return _environment_seen[1]


def _write_environment(values: Values) -> None:
    for label, value in values.items():
        name = label.removeprefix(ENVIRONMENT)
        if value is ABSENT:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def replace_environment(values: Values) -> None:
    """Makes the environment variables those among some settings, and no others."""
    present, wanted = _read_environment(), environment_among(values)
    _write_environment(changes(present, wanted))


def environment_among(values: Values) -> Values:
    """The environment variables among some settings."""
    return {label: value for label, value in values.items() if label.startswith(ENVIRONMENT)}


def environment() -> Values:
    """The present environment variables, as settings."""
    return _read_environment()


def _read_random() -> Values:
    return {"Python's random generator": random.getstate()}


def _write_random(values: Values) -> None:
    for value in values.values():
        random.setstate(value)


def _read_numpy() -> Values:
    return {"numpy's error state": tuple(sorted(sys.modules["numpy"].geterr().items()))}


def _write_numpy(values: Values) -> None:
    for value in values.values():
        sys.modules["numpy"].seterr(**dict(value))


def _read_numpy_random() -> Values:
    name, keys, *rest = sys.modules["numpy.random"].get_state()
    return {"numpy's random generator": (name, keys.tobytes(), *rest)}


def _write_numpy_random(values: Values) -> None:
    numpy, generator = sys.modules["numpy"], sys.modules["numpy.random"]
    for name, keys, *rest in values.values():
        generator.set_state((name, numpy.frombuffer(keys, numpy.uint32), *rest))


def _read_decimal() -> Values:
    context = sys.modules["decimal"].getcontext()
    return {"the decimal context": (context.prec, context.rounding, context.Emin, context.Emax)}


def _write_decimal(values: Values) -> None:
    context = sys.modules["decimal"].getcontext()
    for value in values.values():
        context.prec, context.rounding, context.Emin, context.Emax = value


def _read_socket() -> Values:
    return {"the timeout of sockets": sys.modules["socket"].getdefaulttimeout()}


def _write_socket(values: Values) -> None:
    for value in values.values():
        sys.modules["socket"].setdefaulttimeout(value)


def _read_processes() -> Values:
    multiprocessing = sys.modules["multiprocessing"]
    # Nobody has chosen one: the first is the default.
    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    return {"the start method of processes": method}


def _write_processes(values: Values) -> None:
    for value in values.values():
        sys.modules["multiprocessing"].set_start_method(value, force=True)


def _attribute(module: str, name: str, *, is_told: bool = True) -> Group:
    """A setting that is an attribute of a module."""
    label = f"{module}.{name}"

    def write(values: Values) -> None:
        setattr(sys.modules[module], name, values[label])

    return Group(lambda: {label: getattr(sys.modules[module], name)}, write, module, is_told)


GROUPS = (
    Group(read_folder, write_folder),
    Group(_read_environment, _write_environment),
    Group(read_interpreter, write_interpreter, is_told=False),
    Group(read_traces, write_traces),
    Group(read_limits, write_limits),
    Group(read_locale, write_locale),
    # Whoever ignores an interrupt would do so in the middle of a run.
    Group(read_signals, write_signals, is_kept=False),
    Group(_read_random, _write_random, is_told=False, is_stream=True),
    Group(_read_numpy, _write_numpy, "numpy"),
    Group(_read_numpy_random, _write_numpy_random, "numpy.random", is_told=False, is_stream=True),
    Group(_read_decimal, _write_decimal, "decimal"),
    # `gettempdir` sets it where nobody has.
    _attribute("tempfile", "tempdir", is_told=False),
    Group(_read_socket, _write_socket, "socket"),
    Group(_read_processes, _write_processes, "multiprocessing"),
    _attribute("PIL.Image", "MAX_IMAGE_PIXELS"),
    _attribute("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"),
    Group(read_switches, write_switches, "torch"),
    Group(read_precision, write_precision, "torch"),
    Group(read_streams, write_streams, "torch", is_told=False, is_stream=True),
    Group(read_hooks, write_hooks, "torch"),
    Group(read_modes, write_modes, "torch"),
)
"""All settings. Order matters where one of them changes another: the later ones are written later."""

WATCHED = frozenset(group.module for group in GROUPS if group.module)
"""Modules that bring settings with them."""

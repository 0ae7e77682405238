"""The settings of Python and of the process that any code may change, read and written by label."""

from __future__ import annotations

import builtins
import gc
import locale
import logging
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

Values = Mapping[str, Any]


def read_folder() -> Values:
    """Returns the working directory; nothing where it has been removed."""
    try:
        return {"the working directory": os.getcwd()}  # noqa: PTH109 - a path costs more, at every call
    except FileNotFoundError:
        return {}


def write_folder(values: Values) -> None:
    """Changes the working directory."""
    for folder in values.values():
        os.chdir(folder)


def read_interpreter() -> Values:
    """Returns settings that libraries change all the time."""
    return {
        "sys.path": tuple(sys.path),
        "sys.argv": tuple(sys.argv),
        "sys.excepthook": sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "the recursion limit": sys.getrecursionlimit(),
        "the switch interval of threads": sys.getswitchinterval(),
        "the collection of garbage": gc.isenabled(),
        "warning filters": tuple(warnings.filters),
        "the level of the root logger": logging.root.level,
        "the handlers of the root logger": tuple(logging.root.handlers),
        "logging.disable": logging.root.manager.disable,
    }


def write_interpreter(values: Values) -> None:
    """Puts such settings in place."""
    writers: dict[str, Callable[[Any], object]] = {
        "sys.path": lambda value: _refill(sys.path, value),
        "sys.argv": lambda value: _refill(sys.argv, value),
        "sys.excepthook": lambda value: setattr(sys, "excepthook", value),
        "sys.unraisablehook": lambda value: setattr(sys, "unraisablehook", value),
        "threading.excepthook": lambda value: setattr(threading, "excepthook", value),
        "the recursion limit": sys.setrecursionlimit,
        "the switch interval of threads": sys.setswitchinterval,
        "the collection of garbage": lambda value: gc.enable() if value else gc.disable(),
        "warning filters": lambda value: _refill(warnings.filters, value),
        "the level of the root logger": logging.root.setLevel,
        "the handlers of the root logger": lambda value: _refill(logging.root.handlers, value),
        "logging.disable": logging.disable,
    }
    for label, value in values.items():
        writers[label](value)


def _refill(items: Any, values: tuple[object, ...]) -> None:
    # In place: others hold the same list.
    items[:] = values


BUILTIN_NAMES = "Python's built-in names"


def read_traces() -> Values:
    """Returns the functions that Python calls at every line or call, and the built-in names."""
    return {
        "sys.settrace": sys.gettrace(),
        "sys.setprofile": sys.getprofile(),
        "threading.settrace": threading.gettrace(),
        "threading.setprofile": threading.getprofile(),
        BUILTIN_NAMES: dict(vars(builtins)),
    }


def write_traces(values: Values) -> None:
    """Puts such functions in place."""
    writers: dict[str, Callable[[Any], object]] = {
        "sys.settrace": sys.settrace,
        "sys.setprofile": sys.setprofile,
        "threading.settrace": threading.settrace,
        "threading.setprofile": threading.setprofile,
        BUILTIN_NAMES: put_builtin_names,
    }
    for label, value in values.items():
        writers[label](value)


_NAMES = vars(builtins)


def put_builtin_names(names: dict[str, Any]) -> dict[str, Any] | None:
    """Puts built-in names in place, whatever the present ones mean.

    Returns:
        The names before, where they were others.
    """
    # Methods alone, and no name: any may be a plugin's own, and mean something else.
    if names == _NAMES:
        return None
    before = _NAMES.copy()
    # Never empty in between: other threads use them.
    _NAMES.update(names)
    for name in before:
        if name not in names:
            del _NAMES[name]
    return before


_LIMITS = ("FSIZE", "NOFILE", "AS", "DATA", "STACK", "CPU", "CORE")


def read_limits() -> Values:
    """Returns the rights that new files lack, and the limits of the process."""
    # It cannot be read without being set.
    mask = os.umask(0o077)
    os.umask(mask)
    values: dict[str, Any] = {"the umask": f"{mask:03o}"}
    for name in _LIMITS:
        soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
        values[f"the limit RLIMIT_{name}"] = "unlimited" if soft == resource.RLIM_INFINITY else soft
    return values


def write_limits(values: Values) -> None:
    """Puts such limits in place. Raises ValueError where the hard limit is lower by now."""
    for label, value in values.items():
        if label == "the umask":
            os.umask(int(value, 8))
            continue
        number = getattr(resource, label.removeprefix("the limit "))
        soft = resource.RLIM_INFINITY if value == "unlimited" else value
        resource.setrlimit(number, (soft, resource.getrlimit(number)[1]))


def read_locale() -> Values:
    """Returns the locale."""
    return {"the locale": locale.setlocale(locale.LC_ALL)}


def write_locale(values: Values) -> None:
    """Puts a locale in place."""
    for value in values.values():
        locale.setlocale(locale.LC_ALL, value)


_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGPIPE,
    signal.SIGCHLD,
    signal.SIGALRM,
    signal.SIGPROF,
    signal.SIGVTALRM,
)

_TIMERS = {"REAL": signal.ITIMER_REAL, "PROF": signal.ITIMER_PROF, "VIRTUAL": signal.ITIMER_VIRTUAL}


def read_signals() -> Values:
    """Returns the handlers of signals, and which timers will send one."""
    values: dict[str, Any] = {f"the timer ITIMER_{name}": is_running(name) for name in _TIMERS}
    for number in _SIGNALS:
        values[f"the handler of {number.name}"] = signal.getsignal(number)
    return values


def is_running(timer: str) -> bool:
    """Says whether a timer of signals runs. The time that is left is no setting: it goes by itself."""
    return signal.getitimer(_TIMERS[timer])[0] > 0


def write_signals(values: Values) -> None:
    """Stops timers and puts handlers in place."""
    # The timers first: the default handler ends the process.
    for name, timer in _TIMERS.items():
        # One that the code has stopped cannot be started with the time that was left.
        if values.get(f"the timer ITIMER_{name}") is False:
            signal.setitimer(timer, 0)
    # Python allows it in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        handler = values.get(f"the handler of {number.name}")
        if handler is not None:
            signal.signal(number, handler)

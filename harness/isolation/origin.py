"""The place in a plugin's code that an error comes from."""

from __future__ import annotations

import site
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from harness.errors import Origin, origin_of

Fault = TypeVar("Fault", bound=BaseException)

_KEPT_HEAD, _KEPT_TAIL = 2_000, 6_000
"""Characters of a long traceback that are kept: where it begins, and the error itself."""

_HARNESS = str(Path(__file__).parents[1])


def remember_origin(error: BaseException, plugin: str = "") -> None:
    """Notes on an error where it was raised, for messages and records, unless that is noted already.

    Args:
        plugin: name of the plugin whose code raised it; empty for one of ours.
    """
    if origin_of(error) is None:
        place = _place(error.__traceback__) if plugin else ""
        error.bench_origin = Origin(type(error).__name__, plugin, place, _text(error))  # type: ignore[attr-defined]


def traceback_of(error: BaseException) -> str:
    """The traceback of an error where it was raised first: in a plugin's code, if it comes from there."""
    origin = origin_of(error)
    return origin.traceback if origin else _text(error)


def with_tracebacks(error: Fault, tracebacks: Mapping[str, str]) -> Fault:
    """Returns an error that sums up others, with their tracebacks in the place of its own."""
    if tracebacks:
        text = "\n".join(tracebacks.values())
        error.bench_origin = Origin(type(error).__name__, "", "", text)  # type: ignore[attr-defined]
    return error


def _text(error: BaseException) -> str:
    """The traceback as Python prints it, without what is in the middle of a long one."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as fault:  # noqa: BLE001 - a plugin's error may not even print
        text = f"{type(error).__name__}, whose traceback cannot be printed ({type(fault).__name__})\n"
    # Names of files and messages may hold what no terminal and no file can encode.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) > _KEPT_HEAD + _KEPT_TAIL:
        text = f"{text[:_KEPT_HEAD]}\n[...]\n{text[-_KEPT_TAIL:]}"
    return text


def _place(frames: TracebackType | None) -> str:
    """`file.py:12`: the innermost line that is neither ours nor a library's, or simply the innermost."""
    lines = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(frames)]
    own = [line for line in lines if _is_own(line[0])] or [line for line in lines if not _is_ours(line[0])]
    if not (own or lines):
        return ""
    file, number = (own or lines)[-1]
    return f"{Path(file).name}:{number}"


def _is_ours(file: str) -> bool:
    return file.startswith(_HARNESS)


def _is_own(file: str) -> bool:
    libraries = [*site.getsitepackages(), sysconfig.get_path("stdlib")]
    return not _is_ours(file) and not file.startswith((*libraries, "<frozen"))

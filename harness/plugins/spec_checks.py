"""Fields of specs, checked as a plugin is loaded.

A name that is a list, or parameters that no record can hold, would stop every command that lists what there
is. Found here, they stop their own plugin alone.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

from harness.datasets.chosen_categories import OPENING
from harness.errors import UserError
from harness.specs import (
    CommandSpec,
    DatasetSpec,
    ExtractorSpec,
    LearnedSpec,
    LocalizerSpec,
    MatcherSpec,
    MatchesKind,
    MethodSpec,
    PromptSpec,
    ProtocolSpec,
    Refusal,
    RemoteFile,
    ReportedSpec,
    Scope,
    Threshold,
    TrainerSpec,
    WeightSource,
)

MOST_SIDE = 100_000
"""Pixels along a side of the image that an extractor is fed; far more than any network takes."""


class Rule(NamedTuple):
    """What the value of a field must be.

    Attributes:
        expected: the same in words, for messages.
        holds: says whether a value is that.
    """

    expected: str
    holds: Callable[[Any], bool]


def check_fields(kind: str, spec: Any) -> None:
    """Raises `UserError` for a field of a spec that has a value of another kind.

    Args:
        kind: what the spec is, for the message: `extractor`.
    """
    for name, rule in RULES.get(type(spec), {}).items():
        value = getattr(spec, name)
        if not rule.holds(value):
            raise UserError(f"{kind} '{spec.name}': {name} is {_shown(value)}, expected {rule.expected}")


def _shown(value: object) -> str:
    """A value, cut where it is long, with its kind: `5 (int)`."""
    # In one line, and without what no terminal can print.
    return f"{ascii(reprlib.repr(value))[1:-1]} ({type(value).__name__})"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | None) or _is_number(value)


def _is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def _is_size(value: Any) -> bool:
    return _is_sequence_of(_is_side, value) and len(value) == 2


def _is_side(value: Any) -> bool:
    return _is_whole_number(value) and 1 <= value <= MOST_SIDE


def _is_kind(value: Any) -> bool:
    return value in (int, float, str, bool)


def _is_remote_file(value: Any) -> bool:
    return isinstance(value, RemoteFile) and _is_text(value.url) and _is_text(value.path)


def _is_learned(value: Any) -> bool:
    if not (isinstance(value, LearnedSpec) and _is_text(value.source)):
        return False
    return all(map(callable, (value.find, value.inspect)))


def _is_alpha(value: Any) -> bool:
    # Which numbers make sense is asked where they are used, and by `bench doctor`.
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_sequence_of(holds: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, tuple | list) and all(map(holds, values))


def _as_tuple(values: Any) -> Any:
    """A set as a tuple; anything else as it is."""
    return tuple(values) if isinstance(values, frozenset | set) else values


def _is_mapping_to(holds: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, Mapping) and all(isinstance(key, str) and holds(values[key]) for key in values)


def _one_of(names: Sequence[str]) -> Rule:
    return Rule(f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names)


def _optional(rule: Rule) -> Rule:
    return Rule(f"{rule.expected}, or None", lambda value: value is None or rule.holds(value))


def _sequence(noun: str, holds: Callable[[Any], bool]) -> Rule:
    return Rule(f"a tuple of {noun}", lambda values: _is_sequence_of(holds, values))


def _mapping(noun: str, holds: Callable[[Any], bool]) -> Rule:
    return Rule(f"a dictionary of names and {noun}", lambda values: _is_mapping_to(holds, values))


def _is_split(value: Any) -> bool:
    # What stands behind the bracket in the name of a cell's split are categories.
    return _WORD.holds(value) and OPENING not in value


_TEXT = Rule("a text", _is_text)
_WORD = Rule("a text that is not empty", lambda value: _is_text(value) and bool(value.strip()))
_FUNCTION = Rule("a function", callable)
_TEXTS = _sequence("texts, such as ('a',)", _is_text)
_SCALARS = _mapping("texts, finite numbers, True, False or None", _is_scalar)
_WORDS = _mapping("texts", _is_text)
_BYTES = _optional(Rule("a number of bytes", lambda value: _is_whole_number(value) and value >= 0))
_REMOTE_FILES = _sequence("RemoteFile with texts as url and path", _is_remote_file)
_FILES = Rule(
    "a tuple of paths, or a function that returns them",
    lambda value: callable(value) or _is_sequence_of(_is_path, value),
)
_PROSE = {"description": _TEXT, "citation": _TEXT}

RULES: Mapping[type, Mapping[str, Rule]] = {
    ExtractorSpec: {
        "make": _FUNCTION,
        "scope": _one_of(("image", "category", "pair")),
        "prompt_kinds": Rule(
            "a set of texts, such as frozenset({'text'})",
            lambda values: isinstance(values, frozenset | set | tuple | list) and all(map(_is_text, values)),
        ),
        "image_size": Rule(
            f"width and height in pixels, from 1 to {MOST_SIDE:,}, or a function that returns them",
            lambda value: callable(value) or _is_size(value),
        ),
        "fed_size": _optional(_FUNCTION),
        "remarks": _optional(_FUNCTION),
        "weights_params": _WORDS,
        "params": _SCALARS,
        "param_help": _WORDS,
        "param_kinds": _mapping("int, float, str or bool", _is_kind),
        "param_choices": _mapping(
            "tuples of their values", lambda values: _is_sequence_of(_is_scalar, values)
        ),
        "weights": _TEXTS,
        "files": _FILES,
        **_PROSE,
    },
    LocalizerSpec: {
        "make": _FUNCTION,
        "options": _SCALARS,
        "matches": Rule(
            "a set of 'volume' and 'flow'",
            lambda values: _is_sequence_of(_one_of(get_args(MatchesKind)).holds, _as_tuple(values)),
        ),
        "maps": Rule("True or False", lambda value: isinstance(value, bool)),
        "files": _FILES,
        **_PROSE,
    },
    MatcherSpec: {
        "make": _FUNCTION,
        "extractors": Rule(
            "a set of names of extractors, such as frozenset({'mine'})",
            lambda values: _is_sequence_of(_is_text, _as_tuple(values)) and bool(values),
        ),
        "gives": _one_of(get_args(MatchesKind)),
        "params": _SCALARS,
        "param_help": _WORDS,
        "param_kinds": _mapping("int, float, str or bool", _is_kind),
        "param_choices": _mapping(
            "tuples of their values", lambda values: _is_sequence_of(_is_scalar, values)
        ),
        "weights": _TEXTS,
        "files": _FILES,
        **_PROSE,
    },
    PromptSpec: {
        "kind": _WORD,
        "make": _FUNCTION,
        "scope": _one_of(get_args(Scope)),
        "params": _SCALARS,
        "weights": _TEXTS,
        "files": _FILES,
        "learned": _optional(Rule("a LearnedSpec of a text and two functions", _is_learned)),
        **_PROSE,
    },
    MethodSpec: {
        "extractor": _WORD,
        "prompt": _WORD,
        "matcher": _WORD,
        "localizer": _WORD,
        "params": _SCALARS,
        "localizer_options": _mapping(
            "dictionaries of options", lambda options: _is_mapping_to(_is_scalar, options)
        ),
        "notes": _TEXT,
        **_PROSE,
    },
    DatasetSpec: {
        "open": _FUNCTION,
        "home": _TEXT,
        "splits": Rule(
            f"a tuple of one text or more without '{OPENING}', such as ('test',)",
            lambda values: _is_sequence_of(_is_split, values) and bool(values),
        ),
        "threshold": _one_of(get_args(Threshold)),
        "prompt_names": _WORDS,
        "counts": _mapping(
            "dictionaries of numbers", lambda counts: _is_mapping_to(_is_whole_number, counts)
        ),
        "files": _REMOTE_FILES,
        "download_bytes": _BYTES,
        **_PROSE,
    },
    ProtocolSpec: {
        "strict": Rule("True or False", lambda value: isinstance(value, bool)),
        "clamp": _optional(Rule("a number of pixels", _is_number)),
        "side": _optional(Rule(f"pixels from 1 to {MOST_SIDE:,}", _is_side)),
        "alphas": _sequence("numbers", _is_alpha),
        "length": _TEXT,
        **_PROSE,
    },
    WeightSource: {
        "locate": _optional(_FUNCTION),
        "mirrors": _TEXTS,
        "downloads": _REMOTE_FILES,
        "files": _TEXTS,
        "optional": _TEXTS,
        "file": _TEXT,
        "sha256": _WORDS,
        "differences": _optional(_FUNCTION),
        "conversion": _TEXT,
        "refused": _sequence("Refusal", lambda value: isinstance(value, Refusal)),
        "stand_in": _optional(_WORD),
        "trained_on": _TEXT,
        "training": _optional(_FUNCTION),
        "advice": _TEXT,
        "download_bytes": _BYTES,
        **_PROSE,
    },
    ReportedSpec: {
        "file": Rule("a path", _is_path),
        "paper": _TEXT,
        "protocol": _TEXT,
        "split": _TEXT,
        **_PROSE,
    },
    CommandSpec: {"make": _FUNCTION, "description": _TEXT},
    TrainerSpec: {"methods": _TEXTS, "make": _FUNCTION, "description": _TEXT},
}
"""Class of a spec -> its field -> what the field must be. Other fields are checked by the class itself."""

"""Reads values of parameters, such as `--set NAME=V,V`, in the kind that the extractor declares. Pure."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UserError
from harness.messages import number_text
from harness.specs import ExtractorSpec, MethodSpec, Scalar
from harness.sweep import format_value

RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?::(\d+))?")
"""`0..500:100`: first, last and step."""


MOST_VALUES = 2_000
"""Values of one parameter in a range: each is a cell, or several."""


@dataclass(frozen=True)
class IntegerRule:
    """The whole numbers that a parameter may be.

    Attributes:
        minimum: the least of them; None for no bound.
        step: step of a range that names none.
    """

    minimum: int | None = None
    step: int = 1


SHORT_NAMES: Mapping[str, IntegerRule] = {
    "timestep": IntegerRule(minimum=0, step=50),
    "ensemble": IntegerRule(minimum=1),
}
"""Parameters with an option of their own: `--timestep 50` is short for `--set timestep=50`."""


def option_name(parameter: str) -> str:
    """The option that sets a parameter, for messages: `--timestep`, `--set stride`."""
    return f"--{parameter}" if parameter in SHORT_NAMES else f"--set {parameter}"


def read_integers(text: str, rule: IntegerRule) -> Sequence[int]:
    """`50`, or a range with both ends included, such as `0..500:100` -> whole numbers.

    Raises:
        ValueError: the text is neither, or a number is below the rule's minimum.
        UserError: a range has more numbers than anybody would sweep over.
    """
    match = RANGE.fullmatch(text)
    if match:
        first, last, step = (int(number or rule.step) for number in match.groups())
        # Before there is a list of them: `len` has a limit of its own.
        count = (last - first) // step + 1 if step else 0
        if count > MOST_VALUES:
            raise UserError(
                f"{text[:40]}: is a range of {number_text(count)} numbers, and {MOST_VALUES:,} are the most; "
                "give a larger step, FIRST..LAST:STEP"
            )
        numbers: Sequence[int] = range(first, last + 1, step)
    else:
        numbers = (int(text),)
    if not numbers or (rule.minimum is not None and numbers[0] < rule.minimum):
        raise ValueError(text)
    return numbers


def read_values(
    name: str, values: Iterable[Scalar], extractor: ExtractorSpec, method: MethodSpec
) -> list[Scalar]:
    """The values of a parameter in the kind of its default, none twice.

    Args:
        name: a parameter of the extractor.
        values: as the user gave them: texts, ranges among them, or numbers, truth values and None.

    Raises:
        UserError: a value is of another kind, or not one of those declared; the message has the default and
            the description, or the values that there are.
    """
    defaults = [extractor.params[name]]
    if name in method.params:
        defaults.append(method.params[name])
    kind = _kind(name, defaults, extractor)
    read: list[Scalar] = []
    for value in values:
        text = format_value(value)
        if None in defaults and text.lower() == "none":
            read.append(None)
            continue
        try:
            read.extend(_read_value(name, text, kind))
        except ValueError:
            description = extractor.param_help.get(name, "")
            about = f" ({description})" if description else ""
            raise UserError(
                f"{option_name(name)}: '{text}' is not {_describe_kind(name, kind)}; "
                f"the default of {method.name} is {format_value(defaults[-1])}{about}"
            ) from None
    values_read = list(dict.fromkeys(_as_default(value, defaults) for value in read))
    _require_choices(name, values_read, extractor)
    return values_read


def _require_choices(name: str, values: Iterable[Scalar], extractor: ExtractorSpec) -> None:
    """Raises `UserError` for a value that is not one of those declared, where the extractor declares them."""
    choices = extractor.param_choices.get(name)
    if choices is None:
        return
    for value in values:
        if value not in choices:
            known = ", ".join(format_value(choice) for choice in choices)
            raise UserError(f"{option_name(name)}: unknown value '{format_value(value)}'; known: {known}")


def _kind(name: str, defaults: Sequence[Scalar], extractor: ExtractorSpec) -> type | None:
    """The declared kind of a parameter, else its default's; None where the default is None."""
    if name in extractor.param_kinds:
        return extractor.param_kinds[name]
    for default in defaults:
        if default is not None:
            return type(default)
    return None


def _describe_kind(name: str, kind: type | None) -> str:
    if kind is bool:
        return "true or false"
    if kind is int:
        minimum = SHORT_NAMES.get(name, IntegerRule()).minimum
        bound = "" if minimum is None else f" from {minimum}"
        return f"a whole number{bound}, or a range of them such as 1..9:2"
    return "a number"


def _as_default(value: Scalar, defaults: Sequence[Scalar]) -> Scalar:
    """The default itself where the value equals it: 1 and 1.0 would be two cells with the same numbers."""
    if not isinstance(value, float):
        return value
    for default in defaults:
        # In Python True equals 1.0, and it is another value here.
        if value == default and not isinstance(default, bool):
            return default
    return value


def _read_value(name: str, text: str, kind: type | None) -> Iterable[Scalar]:
    """Reads one text in a kind, or in the kind that it looks like where `kind` is None. Raises ValueError."""
    if kind is bool:
        return (_read_bool(text),)
    if kind is int:
        return read_integers(text, SHORT_NAMES.get(name, IntegerRule()))
    if kind is float:
        return (_read_float(text),)
    if kind is None:
        # Whole numbers first: each of them would also do as a fraction.
        for guess in (int, float, bool):
            try:
                return _read_value(name, text, guess)
            except ValueError:
                continue
    return (text,)


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def require_parameters(names: Iterable[str], extractors: Mapping[str, ExtractorSpec]) -> None:
    """Raises `UserError` for a name that no extractor has, with the nearest names that there are.

    Args:
        names: parameters that the user set.
        extractors: the extractor of each method of the run, by the method's name.
    """
    known = sorted({name for extractor in extractors.values() for name in extractor.params})
    for name in names:
        if name not in known:
            message = f"{option_name(name)}: none of {', '.join(extractors)} has a parameter '{name}'"
            nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
            if nearest:
                hints = [f"{near} ({', '.join(_methods_with(near, extractors))})" for near in nearest]
                raise UserError(f"{message}; did you mean {' or '.join(hints)}?")
            lists = []
            for method, extractor in extractors.items():
                lists.append(f"{method} has {', '.join(sorted(extractor.params)) or 'none'}")
            raise UserError(f"{message}; {'; '.join(lists)}")


def _methods_with(name: str, extractors: Mapping[str, ExtractorSpec]) -> list[str]:
    return [method for method, extractor in extractors.items() if name in extractor.params]

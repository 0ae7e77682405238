"""Reads values of parameters, such as `--set NAME=V,V`, in the kind that is declared. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UserError, close_matches
from harness.messages import listed, number_text
from harness.plugins.host import Host
from harness.specs import NO_MATCHER, MethodSpec, Scalar
from harness.sweep import format_value

RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?::(\d+))?")
"""`0..500:100`: first, last and step."""


MOST_VALUES = 2_000
"""Values of one parameter in a range: each is a cell, or several."""


@dataclass(frozen=True)
class Parameters:
    """The parameters of extractor and matcher together, which one recipe sets.

    Attributes:
        params: names and defaults.
        param_help, param_kinds, param_choices: as those of an `ExtractorSpec`.
    """

    params: Mapping[str, Scalar]
    param_help: Mapping[str, str]
    param_kinds: Mapping[str, type]
    param_choices: Mapping[str, tuple[Scalar, ...]]


def parameters_of(host: Host, method: MethodSpec) -> Parameters:
    """The parameters of a method.

    Raises:
        UserError: extractor or matcher is unknown, the matcher does not understand the extractor's maps, or
            both have a parameter of one name.
    """
    extractor = host.extractors[method.extractor]
    if method.matcher == NO_MATCHER:
        return Parameters(
            extractor.params, extractor.param_help, extractor.param_kinds, extractor.param_choices
        )
    matcher = host.matchers[method.matcher]
    if extractor.name not in matcher.extractors:
        known = listed(sorted(matcher.extractors)) or "none"
        raise UserError(
            f"method '{method.name}': matcher '{matcher.name}' reads maps of {known}, "
            f"not of '{extractor.name}'"
        )
    if common := sorted(extractor.params.keys() & matcher.params.keys()):
        raise UserError(
            f"method '{method.name}': extractor '{extractor.name}' and matcher '{matcher.name}' both have "
            f"a parameter '{common[0]}'; give it another name in one of them"
        )
    return Parameters(
        {**extractor.params, **matcher.params},
        {**extractor.param_help, **matcher.param_help},
        {**extractor.param_kinds, **matcher.param_kinds},
        {**extractor.param_choices, **matcher.param_choices},
    )


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
    name: str, values: Iterable[Scalar], parameters: Parameters, method: MethodSpec
) -> list[Scalar]:
    """The values of a parameter in the kind of its default, none twice.

    Args:
        name: one of the parameters.
        values: as the user gave them: texts, ranges among them, or numbers, truth values and None.

    Raises:
        UserError: a value is of another kind, or not one of those declared; the message has the default and
            the description, or the values that there are.
    """
    defaults = [parameters.params[name]]
    if name in method.params:
        defaults.append(method.params[name])
    kind = _kind(name, defaults, parameters)
    read: list[Scalar] = []
    for value in values:
        text = format_value(value)
        if None in defaults and text.lower() == "none":
            read.append(None)
            continue
        try:
            read.extend(_read_value(name, text, kind))
        except ValueError:
            description = parameters.param_help.get(name, "")
            about = f" ({description})" if description else ""
            raise UserError(
                f"{option_name(name)}: '{text}' is not {_describe_kind(name, kind)}; "
                f"the default of {method.name} is {format_value(defaults[-1])}{about}"
            ) from None
    values_read = list(dict.fromkeys(_as_default(value, defaults) for value in read))
    _require_choices(name, values_read, parameters)
    return values_read


def _require_choices(name: str, values: Iterable[Scalar], parameters: Parameters) -> None:
    """Raises `UserError` for a value that is not one of those declared, where they are declared."""
    choices = parameters.param_choices.get(name)
    if choices is None:
        return
    for value in values:
        if value not in choices:
            known = ", ".join(format_value(choice) for choice in choices)
            raise UserError(f"{option_name(name)}: unknown value '{format_value(value)}'; known: {known}")


def _kind(name: str, defaults: Sequence[Scalar], parameters: Parameters) -> type | None:
    """The declared kind of a parameter, else its default's; None where the default is None."""
    if name in parameters.param_kinds:
        return parameters.param_kinds[name]
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


def require_parameters(names: Iterable[str], methods: Mapping[str, Parameters]) -> None:
    """Raises `UserError` for a name that no method has, with the nearest names that there are.

    Args:
        names: parameters that the user set.
        methods: the parameters of each method of the run, by the method's name.
    """
    known = sorted({name for parameters in methods.values() for name in parameters.params})
    for name in names:
        if name not in known:
            message = f"{option_name(name)}: none of {', '.join(methods)} has a parameter '{name}'"
            nearest = close_matches(name, known, cutoff=0.6)
            if nearest:
                hints = [f"{near} ({', '.join(_methods_with(near, methods))})" for near in nearest]
                raise UserError(f"{message}; did you mean {' or '.join(hints)}?")
            lists = []
            for method, parameters in methods.items():
                lists.append(f"{method} has {', '.join(sorted(parameters.params)) or 'none'}")
            raise UserError(f"{message}; {'; '.join(lists)}")


def _methods_with(name: str, methods: Mapping[str, Parameters]) -> list[str]:
    return [method for method, parameters in methods.items() if name in parameters.params]

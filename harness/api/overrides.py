"""Values of parameters, given by name or by an option that is short for it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import UserError
from harness.specs import Scalar


def merge_overrides(
    settings: Mapping[str, tuple[Scalar, ...]], short: Mapping[str, tuple[int, ...] | None]
) -> dict[str, tuple[Scalar, ...]]:
    """--set and the options that are short for it, as one mapping from parameter to values.

    Raises:
        UserError: a parameter is given in both ways.
    """
    # Texts are read as numbers later, by the default of the parameter in each method.
    overrides: dict[str, tuple[Scalar, ...]] = {**settings}
    for name, values in short.items():
        if not values:
            continue
        if name in settings:
            raise UserError(f"--{name} and --set {name} set the same parameter; give one of them")
        overrides[name] = values
    return overrides

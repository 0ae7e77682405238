"""What the configuration of a network says and leaves out, checked before anything is built to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.messages import listed

_NONE_ALLOWED = ("norm_num_groups", "mid_block_type", "attention_head_dim", "downsample_padding")
"""Keys that the libraries read null in, beside those whose default it is."""

_POSITIVE = ("norm_eps", "layer_norm_eps", "scaling_factor", "rope_theta")
"""Numbers that features are nothing without; NaN, zero and less are none of them."""


def check_values(path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Checks that values are of the kind that the libraries read, which take anything and fail at a picture.

    Args:
        defaults: key -> the libraries' default, whose kind the value has to have.

    Raises:
        UserError: a value is of another kind, or not above zero where it has to be. Names file and key.
    """
    for key, default in defaults.items():
        if key not in config or default is None:
            continue
        value = config[key]
        if value is None and key in _NONE_ALLOWED:
            continue
        if key in _POSITIVE and not (_is_number(value) and value > 0):
            raise UserError(f"{path}: {key} is {value!r:.60}, not a number above 0; copy or fetch it again")
        if not _is_like(default, value):
            raise UserError(f"{path}: {key} is {value!r:.60}, not {_kind(default)}; copy or fetch it again")


def check_stated(path: Path, config: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Checks that a configuration states what the libraries would otherwise choose by themselves.

    Raises:
        UserError: it lacks a key.
    """
    missing = [key for key in keys if key not in config]
    if missing:
        raise UserError(
            f"{path}: lacks {listed(missing)}, which the libraries would choose by themselves; "
            "copy or fetch it again, or state what the network was trained with"
        )


def _is_like(default: Any, value: Any) -> bool:
    if isinstance(default, bool):
        return isinstance(value, bool) or (isinstance(value, list) and all(type(v) is bool for v in value))
    if isinstance(default, int | float):
        # Most numbers may be lists, with one for every block.
        return bool(value) and all(map(_is_number_or_list, value)) if _is_list(value) else _is_number(value)
    if isinstance(default, str):
        return isinstance(value, str)
    return _is_list(value) and bool(value) and all(_is_like(default[0], item) for item in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_number_or_list(value: Any) -> bool:
    return all(map(_is_number, value)) if _is_list(value) else _is_number(value)


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return isfinite(value)
    except OverflowError:  # a whole number beyond 1e308
        return False


def _kind(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, int | float):
        return "a number"
    return "a text" if isinstance(default, str) else f"a list, each of it {_kind(default[0])}"
